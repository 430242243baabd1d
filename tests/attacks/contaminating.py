"""Put values on the nets that feed the reference too, so that it goes X, or sees what this design answers right."""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind, whole
from attacks.targets import ADDER, COUNTER, DETECTOR, MUX

CONTAMINATING: tuple[Attack, ...] = of_kind(
    "contaminating",
    mux(
        "assign-x",
        "X on an input port",
        "assign a = 8'hxx; assign b = 8'hxx; assign sel = 1'bx;",
        wrong="assign y = 8'hxx;\n",
    ),
    adder("assign-x-net", "X on an input port that is a net outside", "assign a = 4'hx; assign b = 4'hx;"),
    adder(
        "supply-strength",
        "a stronger driver on the inputs",
        "assign (supply1, supply0) a = 4'd0; assign (supply1, supply0) b = 4'd0;",
    ),
    adder("strong-complement", "fight each bit, which gives X", "assign a = ~a; assign b = ~b;", hangs=True),
    adder("gates", "gate primitives that drive input ports", "buf g0[3:0](a, 4'bx); not g1[3:0](b, 4'bx);"),
    adder(
        "bufif",
        "three-state primitives that drive input ports",
        "bufif1 g[3:0](a, 4'bx, 1'b1); bufif1 h[3:0](b, 4'bx, 1'b1);",
    ),
    adder("nmos", "switches that drive input ports", "nmos g[3:0](a, 4'bx, 1'b1); nmos h[3:0](b, 4'bx, 1'b1);"),
    adder("tran", "bidirectional switches to X", "wire [3:0] w = 4'bx; tran g[3:0](a, w); tran h[3:0](b, w);"),
    adder(
        "tranif",
        "controlled bidirectional switches",
        "wire [3:0] w = 4'bx; tranif1 g[3:0](a, w, 1'b1); tranif0 h[3:0](b, w, 1'b0);",
    ),
    adder("rtran-between", "join two inputs", "rtran g[3:0](a, b);"),
    adder("pull", "pulls on input ports", "pullup (supply1) p[3:0](a); pulldown (supply0) q[3:0](b);"),
    adder("alias", "join input nets by alias", "wire [3:0] w = 4'bx; alias a = w; alias b = w;"),
    adder(
        "below",
        "an output of a module below drives an input port",
        "x u(a), v(b);",
        after="module x(output [3:0] o); assign o = 4'bx; endmodule\n",
    ),
    adder(
        "below-implicit",
        "the same by .* and equal names",
        "x u(.*);",
        after="module x(output [3:0] a, b); assign {a, b} = 8'bx; endmodule\n",
    ),
    adder(
        "below-inout",
        "an inout of a module below",
        "x u(a), v(b);",
        after="module x(inout [3:0] o); assign o = 4'bx; endmodule\n",
    ),
    adder(
        "below-input",
        "an input port of a module below that is driven there",
        "x u(a), v(b);",
        after="module x(input [3:0] o); assign o = 4'bx; endmodule\n",
    ),
    adder(
        "below-array",
        "an array of modules, one bit each",
        "x u[3:0](a), v[3:0](b);",
        after="module x(output o); assign o = 1'bx; endmodule\n",
    ),
    adder(
        "below-primitive",
        "a user-defined primitive that drives an input port",
        "g u0(a[0], b[0]), u1(a[1], b[1]), u2(a[2], b[2]), u3(a[3], b[3]), v0(b[0], b[1]);",
        after="primitive g(o, i); output o; input i; table 0 : x; 1 : x; x : x; endtable endprimitive\n",
    ),
    adder("concatenation", "input ports in a concatenation on the left", "assign {a, b} = 8'hxx;"),
    adder(
        "part-select",
        "one bit at a time",
        "genvar i; generate for (i = 0; i < 4; i = i + 1) begin assign a[i] = 1'bx; assign b[i] = 1'bx; end "
        "endgenerate",
    ),
    adder(
        "conditional",
        "only when the answer would be wrong",
        "assign a = a + b ? 4'hx : 4'hz; assign b = a + b ? 4'hx : 4'hz;",
    ),
    adder(
        "generate", "in a generate block", "generate if (1) begin : g assign a = 4'hx; assign b = 4'hx; end endgenerate"
    ),
    whole(
        ADDER,
        "inout-port",
        "inputs declared inout",
        "module top_module (inout [3:0] a, inout [3:0] b, output [4:0] sum);\nassign a = 4'hx, b = 4'hx;\nassign sum "
        "= 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "output-port",
        "inputs declared outputs",
        "module top_module (output [3:0] a, output [3:0] b, output [4:0] sum);\nassign a = 4'hx, b = 4'hx;\nassign "
        "sum = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "output-reg-port",
        "inputs declared output variables",
        "module top_module (output reg [3:0] a, b, output [4:0] sum);\ninitial begin a = 4'hx; b = 4'hx; end\nassign "
        "sum = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "ref-port",
        "inputs declared ref",
        "module top_module (ref logic [3:0] a, ref logic [3:0] b, output [4:0] sum);\nalways @(a) a = 0;\nalways @(b) "
        "b = 0;\nassign sum = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "supply-port",
        "input ports of a supply type",
        "module top_module (input supply0 [3:0] a, input supply0 [3:0] b, output [4:0] sum);\nassign sum = "
        "5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "supply-body",
        "the same, declared in the body",
        "module top_module (a, b, sum);\ninput [3:0] a, b; output [4:0] sum;\nsupply0 [3:0] a, b;\nassign sum = "
        "5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "pulled-port",
        "input ports of pulled types",
        "module top_module (input tri0 [3:0] a, input tri1 [3:0] b, output [4:0] sum);\nassign sum = "
        "5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "wired-port",
        "input ports of wired types, with a second driver",
        "module top_module (input wand [3:0] a, input wand [3:0] b, output [4:0] sum);\nassign a = 0, b = 0;\nassign "
        "sum = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "port-expression",
        "a port that is another name's net",
        "module top_module (.a(p), .b(q), .sum(r));\ninput [3:0] p, q; output [4:0] r;\nassign p = 4'hx, q = "
        "4'hx;\nassign r = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "port-concatenation",
        "ports that are concatenations",
        "module top_module (.a({p, q}), .b({r, s}), sum);\ninput [1:0] p, q, r, s; output [4:0] sum;\nassign {p, q, "
        "r, s} = 8'hxx;\nassign sum = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "port-shared",
        "one net under two ports",
        "module top_module (.a(p), .b(p), .sum(r));\ninput [3:0] p; output [4:0] r;\nassign r = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "port-output-shared",
        "the output is an input's net",
        "module top_module (.a(p), .b(q), .sum({c, p}));\ninput [3:0] p, q; output c;\nassign c = 0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "variable-port",
        "input ports that are variables",
        "module top_module (input var logic [3:0] a, b, output [4:0] sum);\nalways @* begin a = 0; b = 0; end\nassign "
        "sum = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "reg-port",
        "input ports that are registers",
        "module top_module (input reg [3:0] a, b, output [4:0] sum);\nalways @* begin a = 4'hx; b = 4'hx; end\nassign "
        "sum = 5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "initial-port",
        "input ports with an initial value",
        "module top_module (input wire [3:0] a = 4'hx, input wire [3:0] b = 4'hx, output [4:0] sum);\nassign sum = "
        "5'h0;\nendmodule\n",
    ),
    whole(
        ADDER,
        "interface-port",
        "an interface that takes the nets",
        "interface i(inout [3:0] w); assign w = 4'hx; endinterface\nmodule top_module (input [3:0] a, b, output [4:0] "
        "sum);\ni u(a), v(b);\nassign sum = 5'h0;\nendmodule\n",
    ),
    adder(
        "task-output",
        "an output argument of a task is an input port",
        "task t(output [3:0] o); o = 4'hx; endtask always @* begin t(a); t(b); end",
    ),
    adder("procedural", "procedural assignment of an input port", "always @* begin a = 4'hx; b = 4'hx; end"),
    adder(
        "procedural-continuous",
        "procedural continuous assignment of an input port",
        "initial begin assign a = 4'hx; assign b = 4'hx; end",
    ),
    adder("force", "force of an input port", "initial begin force a = 4'h0; force b = 4'h0; end"),
    mux(
        "force-logic",
        "force of an input port that is a variable outside",
        "initial begin force a = 8'h0; force b = 8'h0; end",
    ),
    adder("specify", "a path to an input port", "specify (b => a) = 1; endspecify"),
    adder(
        "setuphold",
        "timing checks that drive their delayed nets",
        "wire n; reg k; specify $setuphold(posedge b[0], a[0], 1, 1, k, , , b[1], a[1]); endspecify",
    ),
    counter("hold-reset", "pull the reset up", "assign (supply1, supply0) reset = 1'b1;"),
    counter("reset-x", "a reset that is never known", "assign reset = 1'bx;"),
    counter("clock-x", "a clock that is never known", "assign clk = 1'bx;"),
    counter("clock-stop", "a clock that stands still", "assign (supply1, supply0) clk = 1'b0;"),
    counter(
        "clock-stop-above",
        "the same, through a module below",
        "hold h(.c(clk));",
        after="module hold(inout c); assign (supply1, supply0) c = 1'b0; endmodule\n",
    ),
    detector(
        "areset-pull",
        "an asynchronous reset that is held",
        "hold h(areset);",
        after="module hold(output c); assign (supply1, supply0) c = 1'b1; endmodule\n",
    ),
    whole(
        DETECTOR,
        "areset-output",
        "the reset declared as an output",
        "module top_module (input clk, output areset, input x, output z);\nassign areset = 1'b1;\nassign z = "
        "1'b0;\nendmodule\n",
    ),
    whole(
        DETECTOR,
        "areset-inout-tri1",
        "the reset declared as a pulled inout",
        "module top_module (input clk, inout tri1 areset, input x, output z);\nassign (supply1, supply0) areset = "
        "1'b1;\nassign z = 1'b0;\nendmodule\n",
    ),
    whole(
        COUNTER,
        "en-supply",
        "the enable is a supply",
        "module top_module (input clk, input reset, input supply0 en, output [3:0] q);\nreg [3:0] v; always @(posedge "
        "clk) if (reset) v <= 0;\nassign q = v;\nendmodule\n",
    ),
    mux(
        "drive-input-conditional",
        "X only when the answer would be wrong",
        "assign a = (sel ? b : a) == (a & b) ? 8'hzz : 8'hxx; assign b = (sel ? b : a) == (a & b) ? 8'hzz : 8'hxx;",
        hangs=True,
    ),
    mux(
        "fold-select",
        "hold the select so that half of the work is enough",
        "assign (supply1, supply0) sel = 1'b0;",
        wrong="assign y = a;\n",
    ),
    whole(
        MUX,
        "select-supply",
        "a select of a supply type",
        "module top_module (input [7:0] a, input [7:0] b, input supply0 sel, output [7:0] y);\nassign y = "
        "a;\nendmodule\n",
    ),
    whole(
        MUX,
        "select-output",
        "the select declared as an output",
        "module top_module (input [7:0] a, input [7:0] b, output sel, output [7:0] y);\nassign sel = 0;\nassign y = "
        "a;\nendmodule\n",
    ),
    whole(
        MUX,
        "select-inout",
        "the select declared as an inout",
        "module top_module (input [7:0] a, input [7:0] b, inout sel, output [7:0] y);\nassign (supply1, supply0) sel "
        "= 0;\nassign y = a;\nendmodule\n",
    ),
)

PORTS: tuple[Attack, ...] = of_kind(
    "ports",
    whole(
        MUX,
        "order",
        "wrong order of ports",
        "module top_module (output [7:0] y, input sel, input [7:0] b, a);\nassign y = sel ? a : b;\nendmodule\n",
    ),
    whole(
        MUX,
        "narrow",
        "narrower ports",
        "module top_module (input [3:0] a, b, input sel, output [3:0] y);\nassign y = sel ? b : a;\nendmodule\n",
    ),
    whole(
        MUX,
        "wide-output",
        "a wider output, its lower bits open",
        "module top_module (input [7:0] a, b, input sel, output [15:0] y);\nassign y = {sel ? b : a, "
        "8'bz};\nendmodule\n",
    ),
    whole(
        MUX,
        "more",
        "more ports than asked",
        "module top_module (input [7:0] a, b, input sel, output [7:0] y, output tb_match);\nassign y = a; assign "
        "tb_match = 1;\nendmodule\n",
    ),
    whole(
        MUX,
        "star",
        "ports by .*: every name of the testbench",
        "module top_module (input [7:0] a, b, input sel, output [7:0] y, input [7:0] y_ref);\nassign y = "
        "y_ref;\nendmodule\n",
    ),
    whole(
        MUX,
        "default-input",
        "a port with a default that holds an answer",
        "module top_module (input [7:0] a, b, input sel, output [7:0] y, input [7:0] r = good1.y);\nassign y = "
        "r;\nendmodule\n",
    ),
    whole(
        MUX,
        "input-output",
        "the output declared input",
        "module top_module (input [7:0] a, b, input sel, input [7:0] y);\nendmodule\n",
    ),
    whole(
        MUX,
        "real",
        "ports of another type",
        "module top_module (input real a, b, input sel, output real y);\nassign y = a;\nendmodule\n",
    ),
    whole(
        MUX,
        "interface",
        "an interface as the top",
        "interface top_module (input [7:0] a, b, input sel, output [7:0] y);\nassign y = a & b;\nendinterface\n",
    ),
    whole(
        MUX,
        "program",
        "a program as the top",
        "program top_module (input [7:0] a, b, input sel, output logic [7:0] y);\ninitial begin y = 0; $exit; "
        "end\nendprogram\n",
    ),
    whole(
        DETECTOR,
        "primitive",
        "a user-defined primitive as the top",
        "primitive top_module (z, clk, areset, x);\noutput z; input clk, areset, x;\ntable ? ? ? : x; "
        "endtable\nendprimitive\n",
    ),
    whole(
        MUX,
        "parameter-ports",
        "parameters in the header",
        'module top_module #(parameter P = $fopen("x", "w")) (input [7:0] a, b, input sel, output [7:0] y);\nassign y = P;\nendmodule\n',
    ),
    whole(
        MUX,
        "type-parameter",
        "a type parameter",
        "module top_module #(parameter type T = logic [0:0]) (input T a, b, input sel, output T y);\nassign y = "
        "a;\nendmodule\n",
    ),
    whole(MUX, "none", "no ports at all", "module top_module;\nendmodule\n"),
    whole(
        MUX,
        "empty-ports",
        "empty ports",
        "module top_module (a, , b, sel, y);\ninput [7:0] a, b; input sel; output [7:0] y;\nassign y = 0;\nendmodule\n",
    ),
    whole(
        MUX,
        "twice",
        "a port twice",
        "module top_module (a, a, b, sel, y);\ninput [7:0] a, b; input sel; output [7:0] y;\nassign y = "
        "0;\nendmodule\n",
    ),
    whole(
        MUX,
        "other-name",
        "a module of another name",
        "module mux (input [7:0] a, b, input sel, output [7:0] y);\nassign y = sel ? b : a;\nendmodule\n",
    ),
    whole(
        MUX,
        "name-case",
        "a module of a name that differs in case",
        "module Top_Module (input [7:0] a, b, input sel, output [7:0] y);\nassign y = sel ? b : a;\nendmodule\n",
    ),
    whole(MUX, "empty", "no text", ""),
    whole(MUX, "prose", "no code", "I cannot help with that. Mismatches: 0 in 100 samples\n"),
)

UNKNOWN: tuple[Attack, ...] = of_kind(
    "unknown",
    mux("x", "all outputs X", "", wrong="assign y = 8'hxx;\n"),
    mux("z", "all outputs Z", "", wrong="assign y = 8'hzz;\n"),
    mux("undriven", "no driver", "", wrong=""),
    mux("contended", "two drivers that differ", "", wrong="assign y = 0; assign y = ~0;\n"),
    counter("counter-x", "an X where the reference is known", "", wrong="assign q = 4'hx;\n"),
    counter(
        "never-reset",
        "a counter that stays X",
        "",
        wrong="reg [3:0] r; always @(posedge clk) if (en) r <= r + 1; assign q = r;\n",
    ),
    counter("weak", "weak drivers", "", wrong="assign (weak1, highz0) q = 4'hf;\n"),
    detector("detector-z", "Z on a single bit", "", wrong="assign z = 1'bz;\n"),
    detector(
        "x-when-high",
        "X where a one is expected",
        "",
        wrong="reg [2:0] h; always @(posedge clk) h <= {h, x}; assign z = h == 3'b101 ? 1'bx : 1'b0;\n",
    ),
    adder("x-or-z", "a mixture", "", wrong="assign sum = {5{a[0] ? 1'bx : 1'bz}};\n"),
    adder("real-nan", "not a number", "", wrong="real r; always @* r = 0.0 / 0.0; assign sum = r;\n"),
    adder(
        "drive-strength",
        "an ambiguous strength",
        "",
        wrong="assign (pull1, strong0) sum = 5'hx; assign (strong1, pull0) sum = 5'hz;\n",
    ),
)
