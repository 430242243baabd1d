"""Plain Verilog in place of what Icarus and Yosys lack: it means what the text means, or there is none."""

import re
from collections.abc import Iterator

import pytest

from itertl.judging.gate import Design
from itertl.records import Verdict
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.equivalence import proof
from itertl.scoring.equivalence.score import score as equivalence
from itertl.scoring.item import ScoreItem
from itertl.scoring.lowering import Refused, lower, lowered
from itertl.scoring.synthesis import score as synthesis
from itertl.scoring.vectors.score import score as vectors
from itertl.tools import icarus, slang

TYPES = """
  typedef enum logic [2:0] {A = 1, B = 4, C = 6} e_t;
  typedef enum bit [1:0] {P, Q, R} f_t;
  typedef struct packed {logic [2:0] t; logic [3:0] d; logic v;} s_t;
  typedef struct packed {logic [1:0][3:0] w;} n_t;
  typedef union packed {logic [7:0] w; struct packed {logic [2:0] h; logic [4:0] l;} p;} u_t;
  typedef struct {logic [3:0] x; logic [3:0] z;} o_t;
  localparam logic [7:0] T [4] = '{1, 8'hx3, 77, 200};
  localparam byte S [1:2] = '{-3, 5};
"""
# bodies of ``function automatic logic [7:0] f(logic [7:0] a, b, logic [2:0] k)``; slang's interpreter says what each gives
BODIES = """
return a[0] ? B : C;                                                              | return 8'(signed'(a[3:0])) + unsigned'(b);
return e_t'(a[2:0] + 1);                                                          | e_t s = e_t'(k); return {s.next(), 2'b0, s.prev(2)};
f_t s = f_t'(a[1:0]); return {s.next, s.first, s.last} + s.num();                 | return int'(a) * 2 + byte'(b);
return shortint'(signed'(a)) >>> 4;                                               | return 4'(a) + 5'(b[3:0] * 3);
return {7'b0, a inside {8'd3, [8'd10:8'd120], 8'b11??_0?00, b}};                  | return {7'b0, a ==? 8'b1?0?1??0};
return {6'b0, a !=? b, $signed(a) inside {[-20:20]}};                             | return a inside {T} ? 1 : 0 /*?*/;
for (int i = 0; i < 8; i++) if (a[i]) return i; return 8;                         | logic [7:0] n = 0; for (int i = 0; i < 8; i++) begin if (!a[i]) continue; n += i; end return n;
logic [7:0] n = 0; int i; for (i = 0; i < 8; i++) begin if (b[i]) break; n++; end return n ^ i;
logic [7:0] n = 0; for (int i = 0; i < 8; i++) begin for (int j = 0; j < 8; j++) begin if (a[j] && j > i) break; n++; end if (b[i]) break; end return n;
logic [7:0] n = 0; for (int i = 0, j = 7; i < 8; i++, j--) n[i] = a[j]; return n; | logic [7:0] n = 0; begin : w for (int i = 0; i < 8; i++) begin if (a[i]) disable w; n++; end end return n;
logic [7:0] n = 0, t = a & 31; do begin n += t[0]; t >>= 1; end while (t != 0); return n;
logic [7:0] n = 0, t = a & 15; while (t) begin n++; if (n == k) break; t = t & (t - 1); end return n;
logic [7:0] n = a; repeat (k) begin n = {n[6:0], ~n[7]}; if (n[1:0] == 2) continue; n ^= 8'h11; end return n;
return {<<{a}};                                                                   | logic [7:0] y; y = {<<3{a}}; return y;
logic [15:0] w; w = {<<4{a, b}}; return w[7:0] ^ w[15:8];                         | logic [3:0] x, y; {>>{x, y}} = a; return {y, x};
logic [4:0] x; logic [2:0] y; {<<3{x, y}} = a; return {x, y};                     | logic [7:0] m [4]; m = '{a, b, a + b, a - b}; return m[k[1:0]];
logic [7:0] m [0:5] = '{default: b}; m[k % 6] = a; return m[b[1:0]] ^ m[1];          | logic [7:0] m [2][3] = '{default: '{default: 8'd9}}; foreach (m[i, j]) if (i != j) m[i][j] = a + j; return m[k[0]][k[2:1]];
s_t s = '{v: a[0], default: '0}; s.t = b; s.d[k[1:0]] = a[1]; return s;               | s_t s = s_t'(a); return {s.v, s.d, s.t} ^ {7'b0, s.d[b[1:0]]};
n_t n = '{w: '{a[3:0], b[3:0]}}; n.w[k[0]][2:1] = a[7:6]; return {n.w[1][k[1:0]], n.w[0], n.w[k[2]][2:0]};
u_t u; u.w = a; u.p.h += 3; return u.w;                                           | o_t o = '{a[3:0], b[3:0]}; o.z++; return {o.z, o.x};
logic [0:7] r = a; return {r[k], r[1 +: 3], r[k[2:1] + 1 -: 2], 2'b0};                    | logic [9:2] r = a; return {r[k], r[k + 2], r[4 +: 3], r[k[1:0] + 2 +: 3]};
return T[k[1:0]] ^ T[3];                                                          | return S[k[0] + 1] + a;
case (a) inside 8'b1???_????: return 1; [8'd16:8'd31]: return 2; 3, 5, 7: return 3; default: return 0; endcase
casez (a) 8'b1?????1?: return 7; 8'b01??????: return 6; default: return b; endcase | unique case (k) 0: return a; 1, 2: return b; default: return 4; endcase
int s = 0; for (int i = 0; i < 8; i++) s += a[i] ? i : -i; return s / 3;          | byte s = a; s = s % 7; s++; s <<= 1; return s >>> 1;
bit [7:0] q = a; return q === a ? b : q;                                          | return $countones(a) + $onehot(b) + $onehot0(k) + $isunknown(a[3:0]);
return {6'b0, (a[0] -> b[0]), (a <-> b)};                                         | return {$signed(a) < $signed(b), $signed(a) >>> k, 2 ** k[1:0]};
logic signed [3:0] n = a; return n * $signed(b[3:0]) + n;                         | logic c; logic [6:0] y; {c, y} = a + b; return {y, c};
logic [7:0] m [3] = '{a, b, a}; return m.sum() ^ m.xor();                         | logic [1:0] p [2] = '{a[1:0], b[1:0]}, q [2] = '{b[1:0], a[1:0]}; return {p == q, k};
logic [15:0] w = '1; w[k +: 8] = a; w[15 -: 2] = b[1:0]; return w[k +: 4];        | logic [3:0][1:0] v = '{a[1:0], a[3:2], b[1:0], 2'd1}; return v;
logic [7:0] m [4] = '{a, b, 3, 9}, n [2]; n = m[1:2]; m[0:1] = n; return n[0] ^ m[1]; | return {<<{a[3:0], 4'(k)}};
return (a + b) >> 1;                                                              | return 8'(a + b) >> 1;
return signed'(a[3:0]) == $signed(b);                                             | return -a / 3;
"""
INPUTS = [(0x5A, 0x0F, 3, "0"), (0xC0, 0x0A, 7, "0"), (0x13, 0x80, 1, "0"), (0xFF, 0xFE, 0, "0"), (0x06, 0x41, 5, "0"),
          (0x5A, 0x0F, 3, "x"), (0x24, 0x99, 6, "x"), (0xBB, 0xBF, 4, "x")]  # fmt: skip


def bodies() -> Iterator[str]:
    for line in BODIES.strip().splitlines():
        yield from (part.strip() for part in re.split(r"\s\|\s(?=\w|casez|\{)", line) if "/*?*/" not in part)


def functions() -> str:
    head = "function automatic logic [7:0] f{}(logic [7:0] a, logic [7:0] b, logic [2:0] k); {} endfunction"
    return TYPES + "\n".join(head.format(number, body) for number, body in enumerate(bodies()))


def spoiled(a: int, b: int, k: int, mask: str) -> tuple[str, str, str]:
    """The inputs as bits, an X in ``a`` where ``mask`` says so."""
    first = f"{a:08b}" if mask == "0" else f"{a:08b}"[:5] + "x" + f"{a:08b}"[6:]
    return first, f"{b:08b}", f"{k:03b}"


def wanted(count: int) -> list[list[str]]:
    """By slang: for each input, what each function gives."""
    lines = [functions()]
    for at, case in enumerate(INPUTS):
        a, b, k = spoiled(*case)
        lines += [f"localparam logic [7:0] r{at}_{n} = f{n}(8'b{a}, 8'b{b}, 3'b{k});" for n in range(count)]
    unit = slang.parse("module t;" + "\n".join(lines) + "\nendmodule")
    compilation, error = slang.elaborate(unit, "t")
    assert not error
    found = {
        symbol.name: symbol.value.value
        for symbol in compilation.getRoot().topInstances[0].body
        if symbol.kind.name == "Parameter"
    }
    return [
        ["".join(str(found[f"r{at}_{n}"][bit]) for bit in reversed(range(8))) for n in range(count)]
        for at in range(len(INPUTS))
    ]


def test_what_is_written_gives_what_slangs_interpreter_gives() -> None:
    count = len(list(bodies()))
    outputs = ", ".join(f"output logic [7:0] y{n}" for n in range(count))
    assigns = "\n".join(f"assign y{n} = f{n}(a, b, k);" for n in range(count))
    text = f"module t(input logic [7:0] a, b, input logic [2:0] k, {outputs});{functions()}\n{assigns}\nendmodule\n"
    bench = [
        f"module tb; reg [7:0] a, b; reg [2:0] k; wire [7:0] {', '.join(f'y{n}' for n in range(count))};",
        "t dut(.*); initial begin",
    ]
    for case in INPUTS:
        a, b, k = spoiled(*case)
        values = "\\n".join(["%b"] * count)
        bench.append(
            f"a = 8'b{a}; b = 8'b{b}; k = 3'b{k}; #1 $display(\"{values}\", {', '.join(f'y{n}' for n in range(count))});"
        )
    done = icarus.simulate({"t.sv": lower(text, "t"), "tb.sv": "\n".join([*bench, "end endmodule"])}, top="tb")
    assert done.ran is not None, done.compiled.stderr
    said = done.ran.stdout.split()
    for at, expected in enumerate(wanted(count)):
        got = said[at * count : (at + 1) * count]
        different = [
            (body, mine, theirs) for body, mine, theirs in zip(bodies(), got, expected, strict=True) if mine != theirs
        ]
        assert not different, (spoiled(*INPUTS[at]), different)


HEAD = "module t(input logic clk, rst, input logic [7:0] a, b, input logic [2:0] k, output logic [7:0] y);\n"
# what Icarus 11 does not compile: (before the module, its body, what in it is changed, into what: another design)
DESIGNS = {
    "enum by ?:": ("", "typedef enum logic [1:0] {A, B, C} t_e; t_e s, n; always_comb n = a[0] ? B : C; always_ff @(posedge clk) begin $display(\"%s %0d\", s.name(), a + 1); if (rst) s <= A;"
                   "else s <= (s == A) ? n : A; end assign y = {6'b0, s};", "? B : C", "? C : B"),
    "cast to an enum": ("", "typedef enum logic [1:0] {A, B, C, D} t_e; t_e s; always_ff @(posedge clk) if (rst) s <= A; else s <= t_e'(s + 1);"
                        "assign y = {6'b0, s};", "s + 1", "s + 3"),
    "break": ("", "always_comb begin y = 8; for (int i = 0; i < 8; i++) if (a[i]) begin y = i; break; end end", "break;", ""),
    "inside": ("", "always_ff @(posedge clk) y <= (a inside {[0:9], 8'b11??_0?00}) ? a : b;", "[0:9]", "[1:9]"),
    "package, function, pattern": ("package p; typedef struct packed {logic [3:0] h, l;} s_t; function automatic s_t f(s_t x); return '{h: x.l, l: x.h}; endfunction endpackage\n",
                                   "assign y = p::f(p::s_t'(a));", "p::f(p::s_t'(a))", "p::s_t'(a)"),
    "interface": ("interface bus(input logic clk); logic req, ack; endinterface\nmodule sub(bus i); always_ff @(posedge i.clk) i.ack <= i.req; endmodule\n",
                  "bus i(clk); assign i.req = a[0]; sub s(i); assign y = {7'b0, i.ack};", "a[0]", "a[1]"),
    "void function": ("", "logic [7:0] n, q; function void nx(); n = a[0] ? q + b : q; endfunction always_comb nx(); always_ff @(posedge clk) q <= rst ? 0 : n;"
                      "assign y = q;", "a[0]", "a[7]"),
    "parameters": ("module sub #(parameter type T = logic, parameter W = 1)(input T a, output T q); assign q = a + W; endmodule\n",
                   "localparam logic [7:0] T [4] = '{1, 5, 9, 200}; logic [7:0] z; sub #(.T(logic [7:0]), .W(3)) s(.a(T[k[1:0]]), .q(z)); assign y = z ^ a;", "(3)", "(4)"),
}  # fmt: skip


def design(name: str, *, is_changed: bool = False) -> str:
    before, body, old, new = DESIGNS[name]
    assert body.count(old) == 1
    return f"{before}{HEAD}{body.replace(old, new) if is_changed else body}\nendmodule\n"


@pytest.mark.parametrize("name", DESIGNS)
def test_icarus_lacks_it_and_vectors_judges_it(name: str) -> None:
    right, wrong = (design(name, is_changed=changed) for changed in (False, True))
    assert icarus.simulate({"t.sv": right}, top="t", run=False).compiled.returncode != 0
    one, other = (vectors(ScoreItem(code=code, reference=right, top="t")) for code in (right, wrong))
    assert (one.value, one.verdict) == (1.0, Verdict.PASSED)
    assert other.verdict is Verdict.WRONG_OUTPUT and other.value is not None and other.value < 1


def test_yosys_lacks_it_and_is_given_plain_verilog() -> None:
    plain = HEAD.replace("output logic", "output reg") + (
        "integer i; reg hit; always @* begin y = 8; hit = 0; for (i = 0; i < 8; i = i + 1) if (a[i] && !hit) begin y = i; hit = 1; end end endmodule"
    )
    early, late = design("break"), design("break", is_changed=True)
    assert equivalence(ScoreItem(code=early, reference=plain, top="t")).verdict is Verdict.PASSED
    refuted = Design(late, "t", "")
    assert proof.prove(Design(plain, "t", "plain"), refuted).trace is not None
    rotating = (
        HEAD
        + "typedef enum logic [1:0] {A, B, C} t_e; t_e s; always_ff @(posedge clk) if (rst) s <= A; else s <= s.next(); assign y = {6'b0, s}; endmodule"
    )
    assert synthesis(ScoreItem(code=rotating, reference=rotating, top="t")).value == 1
    stuck = synthesis(ScoreItem(code=rotating.replace("s <= s.next()", "s <= s.first()"), reference=rotating, top="t"))
    assert stuck.value is not None and stuck.value < 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("always_ff @(posedge clk) y <= #1 a;", "a delay"),
        ("real r; assign y = a;", "the type real"),
        ("event e; always @(e) y = a; always @(a) -> e;", "event"),
        ("wire [7:0] w; and g[7:0](w, a, b); assign y = w;", "Primitive"),
        (
            "function logic [7:0] n(logic [7:0] x); y2 = y2 + 1; return x; endfunction logic [7:0] y2 = 0; assign y = n(a) inside {1, 2};",
            "called twice",
        ),
        ("wire (weak0, weak1) [7:0] w = a; assign y = w;", "the net w"),
    ],
)
def test_what_is_not_understood_is_refused(body: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        lower(f"{HEAD}{body}\nendmodule\n", "t")


def test_an_index_that_names_nothing_reads_x_and_writes_nothing() -> None:
    """``t`` lies above ``v`` in the struct: element 5 of ``v`` must not be a bit of ``t``."""
    text = HEAD + (
        "typedef struct packed {logic [3:0] t; logic [3:0] v;} s_t; s_t s; always_comb begin s = s_t'(a); s.v[k] = 1'b1; y = {7'b0, s.v[k]} ^ {s, 1'b0}; end endmodule"
    )
    bench = 'module tb; reg clk, rst; reg [7:0] a, b; reg [2:0] k; wire [7:0] y; t d(.*); initial begin a = 0; k = 1; #1 $display("%b", y); k = 5; #1 $display("%b", y); end endmodule'
    done = icarus.simulate({"t.sv": lower(text, "t"), "tb.sv": bench}, top="tb")
    assert done.ran is not None and done.ran.stdout.split() == ["00000101", "0000000x"]


def test_parameters_of_the_top_are_set_by_whoever_uses_it() -> None:
    text = "module t #(parameter W = 4)(input [W-1:0] a, output [W-1:0] y); assign y = {<<{a}}; endmodule"
    written = lower(text, "t", {"W": 3})
    assert "parameter W" in written and "[2:0] y" in written
    assert lowered("module t(output y); supply1 s; assign y = s; endmodule", "t") is None


def test_a_descending_foreach_and_a_method_without_parentheses_mean_what_the_standard_says() -> None:
    """Icarus 11 walks [7:0] upwards, Yosys takes ``.next`` for a net."""
    reference = "module t(input [7:0] a, output reg [3:0] y); integer i;\nalways @* begin y = 8; for (i = 7; i >= 0; i = i - 1) if (a[i]) y = i; end endmodule\n"
    walked = "module t(input [7:0] a, output logic [3:0] y); always_comb begin y = 8; foreach (a[i]) if (a[i]) y = i; end endmodule\n"
    last = reference.replace("i = 7; i >= 0; i = i - 1", "i = 0; i < 8; i = i + 1")
    following = (
        "module t(input a, output y); typedef enum bit {P, Q} e; e c; assign c = e'(a); assign y = c.next; endmodule\n"
    )
    inverter = "module t(input a, output y); assign y = ~a; endmodule\n"
    asked = [ScoreItem(code=walked, reference=r, top="t") for r in (reference, last)] + [
        ScoreItem(code=following, reference=inverter, top="t")
    ]
    said = score_items(asked, ["synthesis", "vectors"], effort=Effort(num_workers=2, timeout_s=60))
    assert [scores[1].value == 1 for scores in said] == [True, False, True]
    assert [scores[0].value for scores in said] == [1.0, 1.0, 1.0]
