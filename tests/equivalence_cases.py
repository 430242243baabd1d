"""Pairs of designs whose equality is known, by the trap that they set; and what runs in a worker for the tests of it.

In each pair the reference comes first. EQUAL: the same function both ways. REFINED: the candidate fixes what the
reference leaves undefined, so that it is right, and the other way round it is wrong. DIFFERENT: never equal, either way
round.
"""

from itertl.judging import gate
from itertl.judging.gate import Design
from itertl.scoring.equivalence import proof
from itertl.scoring.equivalence.proof import Proof

Pair = tuple[str, str]


def clocked(body: str) -> str:
    return f"module m(input clk, input rst, input d, output reg q); {body} endmodule"


def logic(body: str, more: str = "") -> str:
    return f"module m(input [3:0] a, b, input [1:0] s, output reg [3:0] y); {body} endmodule\n{more}"


def examined(text: str) -> Design:
    found = gate.examine(text, "m")
    assert isinstance(found, Design), found
    return found


def prove_texts(pair: Pair) -> Proof:
    """The proof alone, without the simulation that goes before and after it."""
    return proof.prove(examined(pair[0]), examined(pair[1]))


_SUM = "wire [4:0] c; assign c[0] = 0; genvar i; generate for (i = 0; i < 4; i = i + 1) begin : g assign c[i+1] = (a[i] & b[i]) | (c[i] & (a[i] ^ b[i])); end endgenerate always @* y = a ^ b ^ c[3:0];"
_SUB_XOR = "module sub(input [3:0] a, b, output [3:0] y); assign y = a ^ b; endmodule"
_RESET = "always @(posedge clk or posedge rst) if (rst) q <= 0; else q <= d;"
_RARE = "(a == 4'd9 && b == 4'd6 && s == 2'd1)"

EQUAL: dict[str, Pair] = {
    "mux": (logic("always @* y = s[0] ? a : b;"), logic("always @* y = ({4{s[0]}} & a) | ({4{~s[0]}} & b);")),
    "adder": (logic("always @* y = a + b;"), logic(_SUM)),
    "signed": (
        logic("always @* y = $signed(a) < $signed(b) ? 4'd1 : 4'd0;"),
        logic("always @* y = {3'b0, (a[3] ^ b[3]) ? a[3] : (a < b)};"),
    ),
    "casez": (
        logic("always @* casez (s) 2'b1?: y = a; 2'b01: y = b; default: y = 0; endcase"),
        logic("always @* if (s[1]) y = a; else if (s[0]) y = b; else y = 0;"),
    ),
    "promise that is kept": (
        logic("always_comb unique case (s) 0: y = a; 1: y = b; 2: y = 1; 3: y = 2; endcase"),
        logic("always @* (* full_case, parallel_case *) case (s) 0: y = a; 1: y = b; 2: y = 1; default: y = 2; endcase"),
    ),
    "helpers of one name": (
        logic("wire [3:0] t; sub u(a, b, t); always @* y = t;", _SUB_XOR),
        logic("wire [3:0] t; sub u(t, a, b); always @* y = t;", "module sub(output [3:0] y, input [3:0] a, b); assign y = b ^ a; endmodule"),
    ),
    "order of ports": ("module m(input a, input b, output y); assign y = a & b; endmodule", "module m(output y, input b, a); and g(y, a, b); endmodule"),
    "escaped name": ("module m(input \\if_a , output y); assign y = \\if_a ; endmodule", "module m(input if_a, output y); assign y = ~(~if_a); endmodule"),
    "port called as what is proven": (
        "module m(input gold, gate, i0, differs, output known, miter); assign known = gold & i0, miter = gate | "
        "differs; endmodule",
        "module m(input gold, gate, i0, differs, output known, miter); and(known, i0, gold); or(miter, differs, "
        "gate); endmodule",
    ),
    "synchronous reset": (clocked("always @(posedge clk) if (rst) q <= 0; else q <= d;"), clocked("always @(posedge clk) q <= d & ~rst;")),
    "asynchronous reset": (clocked(_RESET), clocked("always @(posedge clk, posedge rst) begin if (rst == 1'b1) q <= 1'b0; else q <= d; end")),
    "reset that is low": (
        clocked("always @(posedge clk or negedge rst) if (!rst) q <= 0; else q <= q ^ d;"),
        clocked("always @(posedge clk or negedge rst) if (~rst) q <= 0; else if (d) q <= ~q;"),
    ),
    "falling edge": (clocked("always @(negedge clk) q <= d;"), clocked("wire c = ~clk; always @(posedge c) q <= d;")),
    "no reset": (
        clocked("reg t; always @(posedge clk) begin t <= d; q <= t; end"),
        clocked("reg [1:0] t; always @(posedge clk) t <= {t[0], d}; always @* q = t[1];"),
    ),
    "other codes of states": (
        "module m(input clk, rst, x, output z); reg [1:0] s; always @(posedge clk) if (rst) s <= 0; else case (s) 0: "
        "s <= x; 1: s <= x ? 2 : 0; 2: s <= x ? 2 : 0; default: s <= 0; endcase assign z = (s == 2) & x; endmodule",
        "module m(input clk, rst, x, output z); reg [2:0] s; always @(posedge clk) if (rst) s <= 3'b001; else begin "
        "s[0] <= ~x; s[1] <= s[0] & x; s[2] <= (s[1] | s[2]) & x; end assign z = s[2] & x; endmodule",
    ),
    "counting down": (
        "module m(input clk, rst, output [3:0] q); reg [3:0] c; always @(posedge clk) if (rst) c <= 0; else c <= c == "
        "9 ? 0 : c + 1; assign q = c; endmodule",
        "module m(input clk, rst, output [3:0] q); reg [3:0] c; always @(posedge clk) if (rst) c <= 9; else c <= c == "
        "0 ? 9 : c - 1; assign q = 9 - c; endmodule",
    ),
    "initial value": (
        "module m(input clk, d, output q); reg t = 0; always @(posedge clk) t <= t ^ d; assign q = t; endmodule",
        "module m(input clk, d, output q); reg t = 1; always @(posedge clk) if (d) t <= ~t; assign q = ~t; endmodule",
    ),
    "latch": (clocked("always @* if (clk) q = d;"), clocked("always @(clk or d) begin if (clk) q <= d; end")),
    "memory": (
        "module m(input clk, we, input [1:0] wa, ra, input [3:0] d, output [3:0] q); reg [3:0] r[0:3]; always "
        "@(posedge clk) if (we) r[wa] <= d; assign q = r[ra]; endmodule",
        "module m(input clk, we, input [1:0] wa, ra, input [3:0] d, output reg [3:0] q); reg [3:0] r0, r1, r2, r3; "
        "always @(posedge clk) if (we) case (wa) 0: r0 <= d; 1: r1 <= d; 2: r2 <= d; 3: r3 <= d; endcase always @* "
        "case (ra) 0: q = r0; 1: q = r1; 2: q = r2; default: q = r3; endcase endmodule",
    ),
    "two clocks": (
        "module m(input c1, c2, d1, d2, output reg q1, q2); always @(posedge c1) q1 <= d1; always @(posedge c2) q2 <= "
        "d2; endmodule",
        "module m(input c1, c2, d1, d2, output reg q1, q2); always @(posedge c2) q2 <= !(!d2); always @(posedge c1) "
        "q1 <= d1; endmodule",
    ),
    "set and reset": (
        "module m(input clk, s, r, d, output reg q); always @(posedge clk or posedge r or posedge s) if (r) q <= 0; "
        "else if (s) q <= 1; else q <= d; endmodule",
        "module m(input clk, s, r, d, output reg q); always @(posedge clk or posedge s or posedge r) if (r) q <= "
        "1'b0; else if (s) q <= 1'b1; else q <= d; endmodule",
    ),
    "gated clock, both": (
        "module m(input clk, en, d, output reg q); wire g = clk & en; always @(posedge g) q <= d; endmodule",
        "module m(input clk, en, d, output reg q); wire g; and(g, en, clk); always @(posedge g) q <= d; endmodule",
    ),
}  # fmt: skip

REFINED: dict[str, Pair] = {
    "X that a synthesizer folds": (logic("wire [3:0] u; always @* y = a & b | u & ~u;"), logic("always @* y = a & b;")),
    "X in a register": (
        clocked("always @(posedge clk) if (rst) q <= 1'bx; else q <= d;"),
        clocked("always @(posedge clk) if (rst) q <= 0; else q <= d;"),
    ),
    "default of X": (logic("always @* case (s) 0: y = a; 1: y = b; default: y = 4'bx; endcase"), logic("always @* y = s[0] ? b : a;")),
    "division by zero": (logic("always @* y = a / b;"), logic("always @* y = (b == 0) ? 4'd15 : a / b;")),
    "select out of range": (
        "module m(input [4:0] a, input [2:0] i, output y); assign y = a[i]; endmodule",
        "module m(input [4:0] a, input [2:0] i, output y); assign y = i < 5 ? a >> i : 0; endmodule",
    ),
    "initial value added": (
        "module m(input clk, en, d, output reg q); always @(posedge clk) if (en) q <= d; endmodule",
        "module m(input clk, en, d, output reg q); initial q = 0; always @(posedge clk) if (en) q <= d; endmodule",
    ),
}  # fmt: skip

DIFFERENT: dict[str, Pair] = {
    "one input of many": (logic("always @* y = a + b;"), logic(f"always @* y = a + b + {_RARE};")),
    "changed edge": (clocked("always @(posedge clk) q <= d;"), clocked("always @(negedge clk) q <= d;")),
    "changed edge, no data": (
        clocked("always @(posedge clk) if (rst) q <= 0; else q <= ~q;"),
        clocked("always @(negedge clk) if (rst) q <= 0; else q <= ~q;"),
    ),
    "asynchronous for synchronous": (clocked("always @(posedge clk) if (rst) q <= 0; else q <= d;"), clocked(_RESET)),
    "synchronous behind a mask": (clocked(_RESET), clocked("reg r; always @(posedge clk) if (rst) r <= 0; else r <= d; always @* q = r & ~rst;")),
    "gated clock": (
        "module m(input clk, en, d, output reg q); always @(posedge clk) if (en) q <= d; endmodule",
        "module m(input clk, en, d, output reg q); wire g = clk & en; always @(posedge g) q <= d; endmodule",
    ),
    "clock as data": (
        "module m(input clk, d, output q); reg r; always @(posedge clk) r <= d; assign q = r; endmodule",
        "module m(input clk, d, output q); reg r; always @(posedge clk) r <= d; assign q = r & clk; endmodule",
    ),
    "clock that a register makes": (
        "module m(input clk, rst, d, output reg q); reg h; always @(posedge clk) if (rst) h <= 0; else h <= ~h; reg "
        "e; always @(posedge clk) e <= d; always @(posedge h) q <= e; endmodule",
        "module m(input clk, rst, d, output reg q); reg h; always @(posedge clk) if (rst) h <= 0; else h <= ~h; reg "
        "e, f; always @(posedge clk) begin e <= d; f <= e; end always @(posedge h) q <= f; endmodule",
    ),
    "code under a synthesis macro": (
        logic("always @* y = a & b;"), logic("`ifdef SYNTHESIS\nalways @* y = a & b;\n`else\nalways @* y = a | b;\n`endif\n"),
    ),
    "translate_off": (
        logic("always @* y = a & b;"),
        logic("always @* begin y = a & b;\n// synopsys translate_off\ny = a | b;\n// synopsys translate_on\nend"),
    ),
    "incomplete list of sensitivity": (logic("always @* y = a & b;"), logic("always @(a) y = a & b;")),
    "delay of a register": (clocked("always @(posedge clk) q <= d;"), clocked("always @(posedge clk) q <= #100 d;")),
    "delay of a net": (logic("always @* y = a ^ b;"), logic("wire [3:0] t; assign #50 t = a ^ b; always @* y = t;")),
    "other initial value": (
        clocked("initial q = 0; always @(posedge clk) if (d) q <= 1;"), clocked("initial q = 1; always @(posedge clk) if (d) q <= 1;"),
    ),
    "module without content": (
        logic("always @* y = a & b;"),
        logic("wire [3:0] t; sub u(a, b, t); always @* y = t;", "module sub(input [3:0] a, b, output [3:0] y); endmodule"),
    ),
    "full_case": (
        logic("always @* begin y = 0; case (s) 0: y = a; 1: y = b; endcase end"),
        logic("always @* begin y = 0; (* full_case *) case (s) 0: y = a; 1: y = b; 2: y = a; endcase end"),
    ),
    "full_case over a latch": (
        logic("always @* case (s) 0: y = a; 1: y = b; 2: y = a; default: y = b; endcase"),
        logic("always @* (* full_case *) case (s) 0: y = a; 1: y = b; 2: y = a; endcase"),
    ),
    "parallel_case": (
        logic("always @* begin y = 0; if (s[0]) y = a; else if (s[1]) y = b; end"),
        logic("always @* begin y = 0; (* parallel_case *) case (1'b1) s[1]: y = b; s[0]: y = a; endcase end"),
    ),
    "unique": (
        logic("always @* begin y = 0; if (s[0]) y = a; else if (s[1]) y = b; end"),
        logic("always_comb begin y = 0; unique case (1'b1) s[1]: y = b; s[0]: y = a; endcase end"),
    ),
    "reset that always holds": (
        clocked("always @(posedge clk) if (rst) q <= 0; else q <= q | d;"), clocked("always @(posedge clk) if (1) q <= 0; else q <= q | d;"),
    ),
    "after 255 cycles": (
        "module m(input clk, rst, output q); reg [7:0] c; always @(posedge clk) if (rst) c <= 0; else c <= c + 1; "
        "assign q = &c; endmodule",
        "module m(input clk, rst, output q); reg [7:0] c; always @(posedge clk) if (rst) c <= 0; else c <= c + 1; "
        "assign q = c == 254; endmodule",
    ),
    "one word of 2 to the 32": (
        "module m(input clk, rst, input [31:0] x, output reg q); always @(posedge clk) if (rst) q <= 0; else q <= ^x; "
        "endmodule",
        "module m(input clk, rst, input [31:0] x, output reg q); always @(posedge clk) if (rst) q <= 0; else q <= "
        "(^x) ^ (x[31:16] - x[15:0] == 16'h5eed && x[15:0] == 16'hbead); endmodule",
    ),
    "blocking race": (
        clocked("reg t; always @(posedge clk) t <= d; always @(posedge clk) q <= t;"),
        clocked("reg t; always @(posedge clk) t = d; always @(posedge clk) q <= t;"),
    ),
    "latch for a gate": (logic("always @* y = s[0] ? a : 4'd0;"), logic("always @* if (s[0]) y = a;")),
    "X item under case": (logic("always @* case (s) 2'b1x: y = a; default: y = b; endcase"), logic("always @* y = s[1] ? a : b;")),
    "width of a sum": (logic("always @* y = (a + b) >> 1;"), logic("always @* y = ({1'b0, a} + {1'b0, b}) >> 1;")),
    "signedness": (logic("always @* y = {3'b0, a < b};"), logic("always @* y = {3'b0, $signed(a) < $signed(b)};")),
    "several drivers": (logic("always @* y = a;"), logic("wire [3:0] w; assign w = a; assign w = b; always @* y = w;")),
    "input that is driven": (logic("always @* y = a & b;"), logic("assign a = 4'b0; always @* y = a & b;")),
    "X where a latch is": (
        logic("always @* case (s) 0: y = 4'bx; 1: y = 0; 2: y = 1; 3: y = 1; endcase"),
        logic("always @* case (s) 1: y = 4'bx; 1: y = 0; 2: y = 1; 3: y = 1; endcase"),
    ),
}  # fmt: skip
