"""``vectors``: candidates against their reference by simulation. Real tools; each class of design with right and
wrong answers."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itertl.records import Score, Verdict
from itertl.scoring import interface
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import SCORERS, version
from itertl.scoring.vectors import outcome
from itertl.scoring.vectors.delays import step_ns
from itertl.scoring.vectors.oracle import Oracle, Silent, consult, make
from itertl.scoring.vectors.score import score
from itertl.scoring.vectors.vcd import wave_of, write_vcd
from itertl.scoring.vectors.words import Constant, Hints, constants, fields


def module(ports: str, body: str) -> str:
    return f"module m({ports});\n{body}\nendmodule\n"


def take(ports: str, right: str, body: str) -> Score:
    return score(ScoreItem(module(ports, body), "", module(ports, right), "m"))


CLK = "input clk, input rst, input en, input [3:0] d, output reg [3:0] q"
LOGIC = "input [7:0] a, input [7:0] b, input [1:0] s, output [7:0] y"
# ports, a right body, another right body, wrong bodies
CLASSES: dict[str, tuple[str, str, str, list[str]]] = {
    "logic": (
        LOGIC, "assign y = s[0] ? (s[1] ? a - b : a & b) : (s[1] ? a ^ b : a + b);",
        "reg [7:0] r; assign y = r; always @* case (s) 0: r = b + a; 1: r = a & b; 2: r = b ^ a; default: r = a + ~b "
        "+ 1; endcase",
        ["assign y = s[0] ? (s[1] ? a - b : a & b) : (s[1] ? a ^ b : a | b);",
         "reg [7:0] r; assign y = r; always @* case (s) 0: r = b + a; 1: r = a & b; 2: r = b ^ a; endcase"],
    ),
    "comparator against a constant": (
        "input [31:0] a, input [31:0] b, output x, output y", "assign x = a >= 32'd31415926; assign y = a == b;",
        "assign x = !(a < 31415926), y = ~|(a ^ b);",
        ["assign x = a > 32'd31415926, y = a == b;", "assign x = a >= 32'd31415926, y = a[31:1] == b[31:1];"],
    ),
    "signed": (
        "input signed [7:0] a, input signed [7:0] b, output lt, output signed [7:0] r", "assign lt = a < b, r = a >>> 2;",
        "assign lt = {~a[7], a[6:0]} < {~b[7], b[6:0]}; assign r = {{2{a[7]}}, a[7:2]};",
        ["assign lt = {1'b0, a} < {1'b0, b}, r = a >>> 2;", "assign lt = a < b, r = a >> 2;"],
    ),
    "fields of a word": (
        "input [31:0] a, output y", "assign y = a[31] & a[30:23] == 8'hff & a[22:0] != 0;", "wire [22:0] m = a; assign y = &a[31:23] && |m;",
        ["assign y = a[31] & a[30:23] == 8'hff & a[22:0] != 23'h400000;", "assign y = a[31] & a[30:23] == 8'hfe & a[22:0] != 0;"],
    ),
    "wide reduction": (
        "input [99:0] a, output x, output y, output z", "assign x = &a, y = |a, z = ^a;", "assign x = ~|(~a), y = a != 0, z = ^a;",
        ["assign x = &a[99:1], y = |a, z = ^a;", "assign x = &a, y = |a[98:0], z = ^a;", "assign x = &a, y = |a, z = ~^a;"],
    ),
    "wide multiplexer": (
        "input [255:0] a, input [7:0] s, output y", "assign y = a[s];", "assign y = a >> s;", ["assign y = a[{s[7:1], 1'b0}];", "assign y = a[s ^ 8'h80];"],
    ),
    "synchronous reset": (
        CLK, "always @(posedge clk) if (rst) q <= 0; else if (en) q <= d;",
        "always @(posedge clk) q <= {4{~rst}} & (en ? d : q);",
        ["always @(posedge clk or posedge rst) if (rst) q <= 0; else if (en) q <= d;", "always @(negedge clk) if (rst) q <= 0; else if (en) q <= d;",
         "always @(posedge clk) if (en) q <= d;", "always @(posedge clk) if (rst) q <= 0; else q <= d;", "always @(posedge clk) if (!rst) q <= 0; else if (en) q <= d;",
         "always @* if (clk) begin if (rst) q = 0; else if (en) q = d; end"],
    ),
    "asynchronous reset": (
        CLK, "always @(posedge clk or posedge rst) if (rst) q <= 5; else if (en) q <= d;",
        "reg [3:0] t; always @* q = t ^ 5; always @(posedge clk, posedge rst) t <= rst ? 0 : en ? d ^ 5 : t;",
        ["always @(posedge clk) if (rst) q <= 5; else if (en) q <= d;", "always @(posedge clk or posedge rst) if (rst) q <= 4; else if (en) q <= d;",
         "always @(negedge clk or posedge rst) if (rst) q <= 5; else if (en) q <= d;", "always @(posedge clk or negedge rst) if (!rst) q <= 5; else if (en) q <= d;"],
    ),
    "reset active low": (
        "input clk, input rst_n, output reg [2:0] q", "always @(posedge clk or negedge rst_n) if (!rst_n) q <= 0; else q <= q + 3;",
        "wire r = ~rst_n; always @(posedge clk or posedge r) if (r) q <= 0; else q <= q - 5;",
        ["always @(posedge clk) if (!rst_n) q <= 0; else q <= q + 3;", "always @(posedge clk or negedge rst_n) if (!rst_n) q <= 0; else q <= q + 2;"],
    ),
    "falling edge": (
        "input clk, input d, output reg q", "always @(negedge clk) q <= d;", "wire n = !clk; always @(posedge n) q <= d;",
        ["always @(posedge clk) q <= d;", "always @* if (!clk) q = d;", "always @(clk) q <= d;"],
    ),
    "both edges": (
        "input clk, input d, output q", "reg p, n; always @(posedge clk) p <= d; always @(negedge clk) n <= d; assign q = clk ? p : n;",
        "reg p, n; always @(posedge clk) p <= d ^ n; always @(negedge clk) n <= d ^ p; assign q = p ^ n; initial "
        "begin p = 0; n = 0; end",
        ["reg p; always @(posedge clk) p <= d; assign q = p;", "assign q = d;"],
    ),
    "a bit of a vector is the clock": (
        "input [3:0] key, input d, output reg q", "always @(posedge key[0]) if (key[1]) q <= key[2] ? d : ~q;",
        "wire c = key[0]; always @(posedge c) q <= key[1] ? (key[2] ? d : !q) : q;",
        ["always @(negedge key[0]) if (key[1]) q <= key[2] ? d : ~q;", "always @(posedge key[3]) if (key[1]) q <= key[2] ? d : ~q;", "always @(posedge key[0]) if (key[1]) q <= key[2] ? d : q;"],
    ),
    "two clocks": (
        "input ca, input cb, input d, output reg q", "reg p; always @(posedge ca) p <= d; always @(posedge cb) q <= p;",
        "reg p; always @(posedge cb) q <= p; always @(posedge ca) p <= d;",
        ["reg p; always @(posedge ca) p <= d; always @(posedge ca) q <= p;", "reg p; always @(posedge ca) p <= d; always @(negedge cb) q <= p;",
         "reg p; always @(posedge ca) p <= ~d; always @(posedge cb) q <= p;"],
    ),
    "one clock while another is active": (
        "input ca, input cb, input d, output reg q, output reg r", "always @(posedge ca) if (!cb) q <= d; always @(posedge cb) r <= q;",
        "always @(posedge ca) q <= cb ? q : d; always @(posedge cb) r <= q;",
        ["always @(posedge ca) q <= d; always @(posedge cb) r <= q;", "always @(posedge ca) if (cb) q <= d; always @(posedge cb) r <= q;"],
    ),
    "gated clock": (
        "input clk, input en, input d, output reg q", "wire g = clk & en; always @(posedge g) q <= d;", "wire g; and (g, en, clk); always @(posedge g) q <= d;",
        ["always @(posedge clk) q <= d;", "wire g = clk | en; always @(posedge g) q <= d;"],
    ),
    "latch": (
        "input en, input [3:0] d, output reg [3:0] q", "always @* if (en) q = d;", "always_latch if (en) q <= d;",
        ["always @* q = d;", "always @(posedge en) q <= d;", "always @* if (!en) q = d;"],
    ),
    "outputs that follow inputs": (
        "input clk, input rst, input x, output z", "reg s; always @(posedge clk) if (rst) s <= 0; else s <= x; assign z = s & ~x;",
        "reg s, t; always @(posedge clk) begin s <= rst ? 1'b0 : x; end always @* z1 = s && !x; reg z1; assign z = z1;",
        ["reg s, r; always @(posedge clk) if (rst) s <= 0; else begin s <= x; r <= s & ~x; end assign z = r;", "reg s; always @(posedge clk) if (rst) s <= 0; else s <= x; assign z = s & x;"],
    ),
    "memory": (
        "input clk, input we, input [3:0] a, input [7:0] d, output [7:0] q", "reg [7:0] r [0:15]; always @(posedge clk) if (we) r[a] <= d; assign q = r[a];",
        "reg [127:0] r; always @(posedge clk) if (we) r[a*8 +: 8] <= d; assign q = r[a*8 +: 8];",
        ["reg [7:0] r [0:15]; always @(posedge clk) if (we) r[a[2:0]] <= d; assign q = r[a[2:0]];", "reg [7:0] r [0:15]; always @(posedge clk) r[a] <= d; assign q = r[a];",
         "reg [7:0] r [0:15]; reg [7:0] o; always @(posedge clk) begin if (we) r[a] <= d; o <= r[a]; end assign q = o;"],
    ),
    "long count": (
        "input clk, input rst, output tick", "reg [11:0] c; always @(posedge clk) if (rst) c <= 0; else c <= c == 2999 ? 0 : c + 1; assign tick = c == 2999;",
        "reg [11:0] c; always @(posedge clk) if (rst || c == 0) c <= 2999; else c <= c - 1; assign tick = c == 0;",
        ["reg [11:0] c; always @(posedge clk) if (rst) c <= 0; else c <= c == 3000 ? 0 : c + 1; assign tick = c == 3000;", "assign tick = 0;"],
    ),
    "divider by one of two numbers": (
        "input clk, input en, input [1:0] mode, output reg o", "reg [15:0] c; initial begin c = 0; o = 0; end always @(posedge clk) if (en) begin if (c == (mode[0] ? 4999 : 9999)) begin c <= 0; o <= ~o; end else c <= c + 1; end",
        "reg [15:0] c = 1; initial o = 0; wire [15:0] n = mode[0] ? 5000 : 10000; always @(posedge clk) if (en) begin "
        "c <= c == n ? 1 : c + 1; o <= o ^ (c == n); end",
        ["reg [15:0] c; initial begin c = 0; o = 0; end always @(posedge clk) if (en) begin if (c == (mode[0] ? 4998 : 9999)) begin c <= 0; o <= ~o; end else c <= c + 1; end",
         "reg [15:0] c; initial begin c = 0; o = 0; end always @(posedge clk) if (en) begin if (c == (mode[0] ? 4999 : 9998)) begin c <= 0; o <= ~o; end else c <= c + 1; end"],
    ),
    "serial pattern": (
        "input clk, input rst, input x, output reg y",
        "reg [7:0] s; always @(posedge clk) if (rst) begin s <= 0; y <= 0; end else begin s <= {s[6:0], x}; y <= "
        "{s[6:0], x} == 8'b11010010; end",
        "reg [6:0] s; always @(posedge clk) begin s <= rst ? 7'd0 : {s[5:0], x}; y <= !rst && s == 7'b1101001 && !x; "
        "end",
        ["reg [7:0] s; always @(posedge clk) if (rst) begin s <= 0; y <= 0; end else begin s <= {s[6:0], x}; y <= {s[6:0], x} == 8'b11010011; end", "always @* y = 0;"],
    ),
    "hierarchy": (
        "input [3:0] a, input [3:0] b, output [4:0] y",
        "wire [4:0] c; assign c[0] = 0, y[4] = c[4]; genvar i; generate for (i = 0; i < 4; i = i + 1) begin : g fa "
        "f(a[i], b[i], c[i], y[i], c[i+1]); end endgenerate endmodule module fa(input a, input b, input c, output s, "
        "output o); assign {o, s} = a + b + c;",
        "assign y = a + b;", ["assign y = {1'b0, a + b};", "assign y = a + b + (a == 4'hf && b == 4'hf);"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_right_and_wrong_answers_of_a_class(name: str) -> None:
    ports, right, other, wrong = CLASSES[name]
    for body in (right, other):
        found = take(ports, right, body)
        assert (found.value, found.verdict) == (1.0, Verdict.PASSED), found.detail
    for body in wrong:
        found = take(ports, right, body)
        assert found.verdict is Verdict.WRONG_OUTPUT, body
        assert found.value is not None and 0 <= found.value < 1
        assert re.match(
            r"share [01]\.\d+; output \w+: \d+'b[01xz]+, the reference has \d+'b[01xz]+, at step \d+ of \d+ \(",
            found.detail,
        )


def test_order_of_ports_and_sign_are_free() -> None:
    reference = "module m(input [3:0] a, input b, output [3:0] y); assign y = b ? a : 0; endmodule"
    code = "module m(y, b, a); output reg [0:3] y; input signed [3:0] a; input b; always @* y = {4{b}} & a; endmodule"
    assert score(ScoreItem(code, "", reference)).value == 1.0


@pytest.mark.parametrize(
    ("code", "verdict", "detail"),
    [
        ("", Verdict.NO_CODE, ""),
        ("module m(input a, output y", Verdict.SYNTAX_ERROR, ""),
        ("module n(input a, output y); assign y = a; endmodule", Verdict.ELABORATION_ERROR, "no module named 'm'"),
        ("module m(input a, output z); assign z = a; endmodule", Verdict.ELABORATION_ERROR, "port y: missing"),
        (
            "module m(input a, output [1:0] y); assign y = a; endmodule",
            Verdict.ELABORATION_ERROR,
            "port y: 2 bits, the reference has 1",
        ),
        ("module m(input a, inout y); assign y = a; endmodule", Verdict.ELABORATION_ERROR, "port y is bidirectional"),
        ("module m(input a, output y); assign y = b; endmodule", Verdict.ELABORATION_ERROR, "b"),
    ],
)
def test_what_is_no_answer(code: str, verdict: Verdict, detail: str) -> None:
    found = score(ScoreItem(code, "", module("input a, output y", "assign y = a;"), "m"))
    assert (found.value, found.verdict) == (0.0, verdict)
    assert detail in found.detail


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (None, "no reference"),
        (module("input a, output y", "assign y = ;"), "syntax_error"),
        (module("input a", ""), "no outputs"),
        (module("inout a, output y", ""), "bidirectional"),
        (module("input a, output y", ""), "ever known"),
        (module("input clk, output reg q", "always @(posedge clk) q <= ~q;"), "ever known"),
        (module("input a, output y", "reg r; assign y = r; initial forever r = a;"), "timeout"),
    ],
)
def test_a_reference_that_tells_nothing_is_our_fault(reference: str | None, why: str) -> None:
    found = score(ScoreItem(module("input a, output y", "assign y = a;"), "", reference, "m"))
    assert (found.value, found.verdict) == (None, Verdict.UNJUDGEABLE)
    assert why in found.detail


RIGHT = module("input clk, input rst, output reg [3:0] q", "always @(posedge clk) if (rst) q <= 0; else q <= q + 1;")
ATTACKS = {
    "prints samples": "assign q = 0; initial begin repeat (9999) $display(\"%b\", q); end",
    "floods": "assign q = 0; always @* forever $display(\"0000000000000000000000000000000000000000000000000000000000000000\");",
    "finishes": "assign q = 0; initial #5 $finish;",
    "stops": "assign q = 0; always @(posedge clk) $stop;",
    "reads the testbench": "assign q = tb.u.q;",
    "reads upward": "assign q = $root.q;",
    "reads the words": "reg [5:0] w [0:99]; initial $readmemh(\"words.hex\", w); assign q = w[0];",
    "writes a file": "assign q = 0; integer f; initial begin f = $fopen(\"words.hex\", \"w\"); $fdisplay(f, \"0\"); end",
    "drives its inputs": "assign rst = 1'b1; assign q = 0;",
    "forces": "assign q = 0; initial force clk = 0;",
    "zero-delay loop": "assign q = 0; reg t = 0; always @(t) t = ~t; initial t = 1; always @* begin while (1) ; end",
    "X everywhere": "assign q = 4'bx;",
    "Z everywhere": "assign q = 4'bz;",
    "nothing": "",
    "unresolved by both": "assign q = 0; assign q = 4'b1111;",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_next_to_nothing(name: str) -> None:
    found = score(ScoreItem(module("input clk, input rst, output [3:0] q", ATTACKS[name]), "", RIGHT, "m"))
    assert found.verdict.value in (
        "gamed",
        "wrong_output",
        "timeout",
        "elaboration_error",
        "compile_error",
        "runtime_error",
    )
    assert found.value is not None and found.value < 0.05, found.detail


def test_a_module_called_like_something_of_the_reference_does_not_replace_it() -> None:
    reference = module(
        "input a, output y", "inv u(.a(a), .y(y)); endmodule module inv(input a, output y); assign y = ~a;"
    )
    code = module("input a, output y", "inv u(.a(a), .y(y)); endmodule module inv(input a, output y); assign y = a;")
    assert score(ScoreItem(code, "", reference, "m")).verdict is Verdict.WRONG_OUTPUT


def test_delays_shorter_than_a_step_do_not_matter_and_longer_ones_do() -> None:
    right = module("input a, input b, output y", "assign y = a & b;")
    for delay, is_equal in (("#1", True), ("#50", False)):
        late = right.replace("assign", f"assign {delay}")
        assert (score(ScoreItem(late, "", right, "m")).value == 1.0) is is_equal
        assert score(ScoreItem(right, "", late, "m")).value == 1.0


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("module m #(parameter W = 9) (input a); n #(7) u(a); n #(.W(8)) v(a); endmodule", 4),
        ("always @(posedge clk) q <= #1 d;", 14),
        ("and #(3) g(y, a, b);", 34),
        ("assign #2.5 y = a;", 29),
        ("`timescale 1us/1ns\nalways @* #2 q = d;", 20004),
        ("`timescale 10ps/1ps\nalways @* #2 q = d;", 4),
        ("localparam D = 100; always @* #D q = d;", 1004),
    ],
)
def test_a_reference_with_delays_is_given_time(text: str, nanoseconds: int) -> None:
    assert step_ns(text) == nanoseconds


def test_what_the_reference_leaves_open_is_free() -> None:
    right = module(
        "input [1:0] s, output reg y", "always @* case (s) 0: y = 0; 1: y = 1; 2: y = 1; default: y = 1'bx; endcase"
    )
    for last in ("0", "1", "1'bz"):
        closed = right.replace("1'bx", last)
        assert score(ScoreItem(closed, "", right, "m")).value == 1.0
        assert (score(ScoreItem(right, "", closed, "m")).value == 1.0) is (last == "1'bz")


def test_before_a_reset_nothing_is_compared() -> None:
    ports = "input clk, input rst, output reg [3:0] q"
    body = "always @(posedge clk) if (rst) q <= 0; else q <= q + 1;"
    assert take(ports, "initial q = 7; " + body, body).value == 1.0
    assert take(ports, body, "initial q = 9; " + body).value == 1.0


def test_a_second_value_of_a_parameter() -> None:
    reference = "module m #(parameter W = 4) (input [W-1:0] a, output [W-1:0] y); assign y = ~a; endmodule"
    right = "module m #(parameter W = 4) (input [W-1:0] a, output reg [W-1:0] y); integer i; always @* for (i = 0; i < W; i = i + 1) y[i] = !a[i]; endmodule"
    assert score(ScoreItem(right, "", reference)).value == 1.0
    fixed = score(ScoreItem(right.replace("i < W", "i < 4"), "", reference))
    assert fixed.verdict is Verdict.WRONG_OUTPUT and fixed.detail.startswith("with W = 5: ")
    stiff = score(ScoreItem(right.replace("[W-1:0]", "[3:0]"), "", reference))
    assert stiff.verdict is Verdict.WRONG_OUTPUT and "other ports" in stiff.detail
    without = "module m(input [3:0] a, output [3:0] y); assign y = ~a; endmodule"
    assert score(ScoreItem(without, "", reference)).value == 1.0


def test_codes_of_states_are_not_changed() -> None:
    text = "module m #(parameter A = 0, B = 1)(input clk, rst, x, output y); reg s; always @(posedge clk) if (rst) s <= A; else case (s) A: s <= x ? B : A; B: s <= A; endcase assign y = s == B; endmodule"
    oracle = consult(text, "m", "0")
    assert isinstance(oracle, Oracle) and len(oracle.runs) == 1


def test_the_same_seed_gives_the_same_score_and_another_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = RIGHT.replace("q + 1", "q + 2")
    first = score(ScoreItem(wrong, "", RIGHT, "m"))
    consult.cache_clear()
    assert score(ScoreItem(wrong, "", RIGHT, "m")) == first
    monkeypatch.setenv("ITERTL_VECTORS_SEED", "1")
    again, before = consult(RIGHT, "m", "1"), consult(RIGHT, "m", "0")
    assert not isinstance(again, Silent) and not isinstance(before, Silent)
    assert again.runs[0].stimulus.words != before.runs[0].stimulus.words
    assert score(ScoreItem(RIGHT, "", RIGHT, "m")).value == 1.0


def test_a_scorer_by_name_with_a_version() -> None:
    assert SCORERS["vectors"].function == "itertl.scoring.vectors.score:simulated"  # which keeps its last answer
    assert re.search(r"vectors \d+, seed 0", version("vectors"))


def test_vcd_of_the_first_mismatch(tmp_path: Path) -> None:
    path = tmp_path / "wave.vcd"
    assert not write_vcd(ScoreItem(RIGHT, "", RIGHT, "m"), path) and not path.exists()
    assert write_vcd(ScoreItem(RIGHT.replace("q + 1", "q + 2"), "", RIGHT, "m"), path)
    text = path.read_text()
    assert [scope for scope in ("inputs", "candidate", "reference") if f"$scope module {scope} $end" in text] == [
        "inputs",
        "candidate",
        "reference",
    ]
    assert "$var wire 4 " in text and text.index("$enddefinitions") < text.index("\n#")
    times = [int(line[1:]) for line in text.splitlines() if re.fullmatch(r"#\d+", line)]
    assert times == sorted(times) and len(times) <= 42
    first = re.search(r"first mismatch at step (\d+)", text)
    assert first is not None and int(first[1]) in times


def naive(expected: list[str], got: list[str], compared: list[bool]) -> tuple[int, int, int | None]:
    """(matching, known, first sample that differs), bit by bit."""
    matching = known = 0
    first = None
    for number, (e, g, c) in enumerate(zip(expected, got, compared, strict=True)):
        for bit, other in zip(e, g, strict=True):
            if c and bit in "01":
                known += 1
                matching += bit == other
                if bit != other and first is None:
                    first = number
    return matching, known, first


@given(st.data())
def test_comparison_against_a_naive_oracle(data: st.DataObject) -> None:
    width, length = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 12))
    samples = st.lists(st.text("01xz", min_size=width, max_size=width), min_size=length, max_size=length)
    expected, got = data.draw(samples), data.draw(samples)
    compared = data.draw(st.lists(st.booleans(), min_size=length, max_size=length))
    rule = outcome.expect(expected, compared)
    found = outcome.compare(rule, got)
    assert (found.matching, found.known, found.first) == naive(expected, got, compared)


def test_constants_of_a_text() -> None:
    found = constants("assign y = a == 8'hA5 ? 4'b1x01 : 12'o7_7; // 99\ninitial q = 1000; real r = 1.5; x = 'd7;")
    assert found == [Constant(0xA5, 8), Constant(0b1001, 4), Constant(0o77, 12), Constant(1000, 0), Constant(7, 0)]


def test_parts_that_a_text_selects() -> None:
    found = fields("assign y = a[15] ? a[14:10] + b[i] : a[9:0]; assign z = {c[W-1:0], d[0:3]};")
    assert found == {"a": [(15, 1), (10, 5), (0, 10)], "d": [(0, 4)]}


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_inputs_and_clock_never_change_in_one_step(seed: int, width: int) -> None:
    """Of a design with an edge that counts; where both edges do, neither; resets that are edges change alone."""
    text = (
        f"module m(input clk, input rst, input [{width - 1}:0] d, input e, output reg q); "
        "always @(posedge clk or posedge rst) if (rst) q <= 0; else if (e) q <= ^d; endmodule"
    )
    words = make(interface.read(text, "m"), Hints((Constant(5, 3),)), seed, 600).done().words
    for before, after in itertools.pairwise(words):
        changed = before ^ after
        if not before & 1 and after & 1:
            assert changed == 1
        if changed & 2:
            assert not changed & ~2 or not (changed & 1 and after & 1)
    assert {word & 3 for word in words} == {0, 1, 2, 3}


def test_verilogeval_references_against_themselves_and_the_other_version(shared_data: Path) -> None:
    """A part of the problems: the reference of version 2 is right by that of version 1, and the other way round."""
    folder = shared_data / "upstream" / "verilog-eval-v2" / "dataset_code-complete-iccad2023"
    rows = [
        json.loads(line)
        for line in (shared_data / "verilogeval_v1_human.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for row in rows[::11]:
        own = row["prompt"] + "\n" + row["canonical_solution"]
        [file] = folder.glob(f"Prob???_{row['task_id']}_ref.sv")
        other = re.sub(r"\bRefModule\b", "top_module", file.read_text(encoding="utf-8"))
        for code, reference in ((own, own), (other, own), (own, other)):
            found = score(ScoreItem(code, row["prompt"], reference, "top_module"))
            assert found.value == 1.0 or found.verdict is Verdict.UNJUDGEABLE, (row["task_id"], found)


LOCK = """
module lock(input clk, input rst, input [7:0] key, output reg open); reg [1:0] s;
always @(posedge clk) if (rst) begin s <= 0; open <= 0; end else begin open <= s == 3 && key == 8'h5c;
s <= s == 0 && key == 8'h91 ? 1 : s == 1 && key == 8'h2e ? 2 : s == 2 && key == 8'hd7 ? 3 : 0; end
endmodule
"""


def test_an_output_that_random_words_never_move_is_moved_or_named() -> None:
    never = "module lock(input clk, input rst, input [7:0] key, output open); assign open = 0; endmodule"
    assert score(ScoreItem(code=LOCK + "// same", reference=LOCK)).value == 1.0
    assert score(ScoreItem(code=never, reference=LOCK)).value == 0.0
    far = "module f(input clk, rst, output reg o); reg [47:0] c; always @(posedge clk) if (rst) begin c <= 0; o <= 0; end "
    far += "else begin c <= c + 1; o <= &c; end endmodule"
    found = score(ScoreItem(code=far, reference=far))
    assert (found.value, found.verdict) == (None, Verdict.UNDECIDED)
    assert "output o " in found.detail


def test_slangs_invalid_nodes_are_no_fault_of_ours() -> None:
    dead = "module z #(parameter O = 4, N = 2)(input [O-1:0] a, output [N-1:0] y); generate if (N > O) assign y = {{N-O{1'b0}}, a}; "
    dead += "else assign y = a[N-1:0]; endgenerate endmodule"
    assert score(ScoreItem(code=dead, reference=dead)).value == 1.0
    right = "module t(input [31:0] a, output [7:0] y); assign y = {a[15:8]}; endmodule"
    found = score(ScoreItem(code=right.replace("15:8", "8:15"), reference=right))
    assert (found.value, found.verdict) == (0.0, Verdict.ELABORATION_ERROR)


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("always_comb y = {<<{a}};", Verdict.PASSED),
        ("always_comb y = {3'd0, a inside {1, 2, 4, 8}};", Verdict.WRONG_OUTPUT),
        ("logic [3:0] q [1:0]; always_comb begin q = '{a, a}; y = q.sum() with (item ^ item); end", Verdict.UNDECIDED),
    ],
)
def test_what_the_simulator_lacks_is_no_fault_of_the_design(body: str, verdict: Verdict) -> None:
    """It is judged as plain Verilog, or nothing is said of it."""
    reference = "module m(input [3:0] a, output reg [3:0] y); always @* y = {a[0], a[1], a[2], a[3]}; endmodule"
    found = score(
        ScoreItem(
            code=f"module m(input logic [3:0] a, output logic [3:0] y); {body} endmodule", reference=reference, top="m"
        )
    )
    assert found.verdict is verdict and (found.value is None) == (verdict is Verdict.UNDECIDED)


@pytest.mark.parametrize(("hidden", "value"), [("b & a", 1.0), ("a | b", None)])
def test_both_branches_of_a_tools_macro_must_be_right(hidden: str, value: float | None) -> None:
    reference = "module m(input a, input b, output y);\nassign y = a & b;\nendmodule\n"
    for branches in ((hidden, "a & b"), ("a & b", hidden)):
        code = "module m(input a, input b, output y);\n`ifdef __ICARUS__\nassign y = {};\n`else\nassign y = {};\n`endif\nendmodule\n".format(
            *branches
        )
        found = score(ScoreItem(code=code, reference=reference, top="m"))
        assert (found.value == 1.0) == (value == 1.0) and found.value is not None, found


def test_a_wave_begins_at_the_first_steps_where_nothing_is_wrong_and_ends_behind_the_first_mismatch_elsewhere() -> None:
    right = wave_of(ScoreItem(RIGHT, "", RIGHT, "m"), 5, 2)
    assert (right.first, right.mismatch, {len(lane.got) for lane in right.lanes}) == (0, None, {8})
    assert all(lane.expected in (None, lane.got) for lane in right.lanes)
    wrong = wave_of(ScoreItem(RIGHT.replace("q + 1", "q + 2"), "", RIGHT, "m"), 5, 2)
    assert wrong.mismatch is not None
    at = wrong.mismatch - wrong.first
    q = next(lane for lane in wrong.lanes if lane.name == "q")
    assert q.expected is not None and at == 5
    assert q.got[:at] == q.expected[:at] and q.got[at] != q.expected[at]
