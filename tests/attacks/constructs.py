"""Use a construct that one tool reads and another does not, or that reaches further than it looks.

``hidden`` holds texts in which the simulator sees code where a checker sees a string, a comment, a macro or nothing.
"""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind

EVIL = "initial #1 $finish;"
_STREAM = "reg [16:0] p, A; assign y = p[0] ? p[8:1] : p[16:9];\n"
_REPLAY = "integer s = 0; initial begin p = 0; forever #5 p <= $random(s); end"

HIDDEN: tuple[Attack, ...] = of_kind(
    "hidden",
    mux("define-line-comment", "a comment that continues a macro for one tool alone", f"`define A 1 // c \\\n{EVIL}"),
    mux("define-block-comment", "a comment opened in a macro", f"`define A /*\n{EVIL}\n// */"),
    mux("define-block-comments", "a comment from one macro to the next", f"`define A 1 /*\n{EVIL}\n`define B */"),
    mux(
        "define-escaped-name",
        "a macro by an escaped name with a vertical tab",
        f"`define \\zz\v/* foo\n{EVIL}\n`define B */",
    ),
    mux("define-triple-quote", "a string of three quotes over lines", f'`define A """\n{EVIL}\n`define B """'),
    mux("skipped-string", "a directive in a string of skipped text", f'`ifdef NOPE\n" `else //"\n{EVIL}\n`endif'),
    mux("skipped-escaped", "a directive as an escaped name in skipped text", f"`ifdef NOPE\n\\`else \n{EVIL}\n`endif"),
    mux("skipped-escaped-tail", "the same at a name's end", f"`ifdef NOPE\n\\x`else \n{EVIL}\n`endif"),
    mux(
        "undefineall",
        "a macro that only one tool forgets",
        f"`define A\n`undefineall\n`ifndef A\n`else\n{EVIL}\n`endif",
    ),
    mux("coverage-macro", "a macro that only one tool has", f"`ifndef SV_COV_START\n{EVIL}\n`endif"),
    mux(
        "vertical-tab-name",
        "a vertical tab that ends an escaped name for one tool",
        f"wire \\zz\v/* ;\n{EVIL}\nwire \\zzb\v*/ ;",
    ),
    mux(
        "vertical-tab-string",
        "a name that takes a string's quote",
        f'localparam \\zz\v=" = 0; {_REPLAY} wire \\qq\v" ;',
        wrong=_STREAM,
    ),
    mux(
        "form-feed-name",
        "a form feed in an escaped name",
        f'localparam \\zz\f=" = 0; {_REPLAY} wire \\qq\f" ;',
        wrong=_STREAM,
    ),
    mux(
        "backspace-name",
        "a backspace in an escaped name",
        f'localparam \\zz\b=" = 0; {_REPLAY} wire \\qq\b" ;',
        wrong=_STREAM,
    ),
    mux(
        "carriage-return-name",
        "a carriage return in an escaped name",
        f'localparam \\zz\r=" = 0; {_REPLAY} wire \\qq\r" ;',
        wrong=_STREAM,
    ),
    mux(
        "no-break-name",
        "a no-break space in an escaped name",
        f'localparam \\zz\u00a0=" = 0; {_REPLAY} wire \\qq\u00a0" ;',
        wrong=_STREAM,
    ),
    mux(
        "conditional-name",
        "a directive in an escaped name takes a string's quote",
        f'initial begin : \\bb`ifdef  A = " `else ; end {_REPLAY} initial begin // `endif ";\nbegin : \\cc`endif  A = 0; end end',
        wrong=_STREAM,
    ),
    mux(
        "define-name", "a directive in an escaped name eats a line", f"initial begin : \\bb`define  A = 1; end\n{EVIL}"
    ),
    mux("include-name", "an include in an escaped name", 'wire \\zz`include"/etc/passwd" ;'),
    mux(
        "system-name",
        "a system function by an escaped name",
        "function [31:0] \\$random (input integer s); \\$random = s; endfunction\ninteger s = 0; reg [16:0] p = 0; "
        "always #5 p <= \\$random (s); assign y = p[0] ? p[8:1] : p[16:9];",
        wrong="",
    ),
    mux(
        "system-name-finish",
        "a system task by an escaped name",
        "task \\$finish ; begin end endtask initial #4 \\$finish ;",
    ),
    mux(
        "system-name-file",
        "a file by an escaped name",
        'function integer \\$fopen (input [63:0] n, input [7:0] m); \\$fopen = 0; endfunction integer f; initial f = \\$fopen ("tb.sv", "w");',
    ),
    mux(
        "system-name-print",
        "a verdict by an escaped name",
        'task \\$display (input [223:0] t); begin end endtask initial \\$display ("Mismatches: 0 in 100 samples");',
    ),
    mux(
        "pragma-protect",
        "protected text that one tool skips",
        f"`pragma protect data_block\n{EVIL}\n`pragma protect end_protected",
    ),
    mux("protected", "the old form of it", f"`protected\n{EVIL}\n`endprotected"),
    mux(
        "generate-wide",
        "a branch that only one tool takes: width of a literal",
        f"generate if ((4294967295 + 1) > 0) begin {EVIL} end endgenerate",
    ),
    mux(
        "generate-shift",
        "the same by a shift",
        f"localparam P = 4294967296 >> 32; generate if (P) begin {EVIL} end endgenerate",
    ),
    mux("generate-signed", "the same by a sign", f"generate if (-8'sd128 / 8'sd1 > 0) begin {EVIL} end endgenerate"),
    mux(
        "generate-case-x",
        "the same by an unknown",
        f"generate case (1'bx) 1'b0: wire q0; 1'bx: begin {EVIL} end default: wire q1; endcase endgenerate",
    ),
    mux("generate-time", "the same by a time literal", f"generate if (1ns > 500) begin {EVIL} end endgenerate"),
    mux(
        "generate-parameter",
        "the same by a parameter's type",
        f"parameter bit P = 4; generate if (P > 3) begin {EVIL} end endgenerate",
    ),
    mux(
        "generate-initialiser",
        "the same by a variable's initial value",
        "function automatic integer f(input integer x); integer k = 5; f = k; endfunction generate if (f(1)) begin "
        f"{EVIL} end endgenerate",
    ),
    mux(
        "generate-loop-width",
        "the same by a loop's width",
        f"genvar i; generate for (i = 8'd255; i < 257; i = i + 1) begin : g if (i == 256) begin {EVIL} end end "
        "endgenerate",
    ),
    adder(
        "generate-input",
        "a driver of an input in such a branch",
        "generate if ((4294967295 + 1) > 0) begin assign a = 4'hx; assign b = 4'hx; end endgenerate",
    ),
    adder(
        "generate-below",
        "the same in a module below",
        "x u(a), v(b);",
        after="module x(output [3:0] o); parameter P = 4294967296 >> 32; generate if (P) assign o = 4'hx; endgenerate endmodule\n",
    ),
    mux(
        "defparam",
        "a branch that a defparam uncovers",
        "s u(); defparam u.P = 1;",
        after=f"module s #(parameter P = 0)(); generate if (P) begin {EVIL} end endgenerate endmodule\n",
    ),
    mux(
        "array-reversed",
        "an array of instances by a reversed range",
        "s u[0:-1]();",
        after=f"module s(); {EVIL} endmodule\n",
    ),
    mux(
        "parameter-order",
        "a parameter by an order that two tools read differently",
        "s #(1) u();",
        after=f"module s #(localparam Q = 0, parameter P = 0)(); generate if (P) begin {EVIL} end endgenerate endmodule\n",
    ),
    mux(
        "nettype-comment",
        "a comment in a directive",
        "",
        before='`default_nettype /* wire module e; initial begin $display("Mismatches: 0 in 100 samples"); $finish; end endmodule */ wire\n',
    ),
    mux(
        "nettype-conditional",
        "a condition in a directive",
        "",
        before='`default_nettype\n`ifdef NOPE\n" `else //"\nmodule e; endmodule\n`endif\nwire\n',
    ),
    mux("timescale-comment", "a comment in a time scale", "", before='`timescale 1ps /* " */ / 1ps\n'),
    mux(
        "line-directive",
        "a preprocessor's own line mark",
        'parameter line = 1; reg [7:0] q; initial begin\n#line q = "\\\n0; end initial #1 $finish; initial begin q = 0; // ";\nend',
    ),
    mux("string-continued", "a string over two lines", f'localparam P = "\\\n"; {EVIL} localparam Q = "";'),
    mux("string-backslashes", "backslashes before a quote", f'localparam P = "a\\\\"; {EVIL} localparam Q = "\\"";'),
    mux("attribute-string", "an attribute's end in a string", f'(* x = "*)" *) {EVIL}'),
    mux(
        "macro-in-string",
        "a macro whose argument ends a string",
        f'`define S(x) "x"\nlocalparam P = `S("); {EVIL} localparam Q = (");',
    ),
    mux("macro-argument-comment", "a comment in an argument", f"`define S(x) x\n`S(/* ) {EVIL} */ )"),
)

CONSTRUCTS: tuple[Attack, ...] = of_kind(
    "constructs",
    mux("program", "a program block", "quit q();", after=f"program quit; {EVIL} endprogram\n"),
    mux("anonymous-program", "a program without a name", "", after="program; initial $finish; endprogram\n"),
    mux("nested-program", "a program in the module", f"program quit; {EVIL} endprogram quit q();"),
    mux("nested-module", "a module in the module", f"module quit; {EVIL} endmodule quit q();"),
    mux("interface", "a process in an interface", "quit q();", after=f"interface quit; {EVIL} endinterface\n"),
    mux(
        "modport-task",
        "a task of an interface",
        "quit q(); initial #1 q.t;",
        after="interface quit; task t; $finish; endtask modport m(import t); endinterface\n",
    ),
    mux("checker", "a checker", f"checker quit; {EVIL} endchecker quit q();"),
    mux("clocking", "a clocking block", "clocking cb @(posedge sel); input a; endclocking always @(cb) $finish;"),
    mux("class-constructor", "a constructor", "class C; function new(); $finish; endfunction endclass C c = new;"),
    mux("class-static", "a static initialiser", 'class C; static int v = $fopen("x", "w"); endclass'),
    mux(
        "class-virtual",
        "a virtual method",
        "class B; virtual task t; endtask endclass class D extends B; task t; super.t(); this.q(); endtask task q; "
        "$finish; endtask endclass B b; D d; initial begin d = new; b = d; #1 b.t; end",
    ),
    mux(
        "package-initialiser",
        "a variable's initial value in a package",
        "import p::*;",
        before='package p; int f = $fopen("x", "w"); endpackage\n',
    ),
    mux(
        "package-function",
        "a function of a package",
        "initial #1 p::quit();",
        before="package p; function automatic void quit(); $finish; endfunction endpackage\n",
    ),
    mux(
        "package-wildcard",
        "names from a package that hide",
        "import p::*; wire w = tb_match;",
        before="package p; bit tb_match = 1; bit y_ref; endpackage\n",
    ),
    mux("unit-task", "a task at file level", "initial #1 quit;", before="task quit; $finish; endtask\n"),
    mux("unit-scope", "$unit", "initial #1 $unit::quit;", before="task quit; $finish; endtask\n"),
    mux("root-scope", "$root", "wire w = $root.tb.tb_match;"),
    mux(
        "library",
        "a library and a configuration",
        "",
        after="config c; design work.tb; default liblist work; cell reference_module use top_module; endconfig\n",
    ),
    mux(
        "udp-sequential",
        "a primitive with an initial value",
        "wire w; p u(w, a[0]);",
        after="primitive p(o, i); output reg o; input i; initial o = 1; table ? : ? : -; endtable endprimitive\n",
    ),
    mux(
        "extern-method",
        "an extern method",
        "class C; extern task t; endclass task C::t; $finish; endtask C c; initial begin c = new; #1 c.t; end",
    ),
    mux("let", "a let expression", "let f(x) = $random(x); integer s = 0; wire [31:0] w = f(s);"),
    mux(
        "default-disable",
        "default clocking and disable",
        "default disable iff (sel); default clocking @(posedge a); endclocking",
    ),
    mux("immediate-assert", "an assertion's action", "always @* assert (a == b) else $finish;"),
    mux("deferred-assert", "a deferred assertion's action", "always @* assert #0 (a == b) else $finish;"),
    mux("final-assert", "an observed assertion's action", "always @* assert final (a == b) else $finish;"),
    mux("cover", "a cover statement's action", "always @* cover (a == b) $finish;"),
    mux("wait-order", "wait order", "event e, f; initial wait_order (e, f) $finish; else $finish;"),
    mux("process-kill", "kill other processes", "process q; initial begin q = process::self(); q.kill(); end"),
    mux("semaphore", "the standard package", "semaphore s = new(0); mailbox m = new(); initial s.get(1);"),
    mux("randomize", "the standard randomize", "int v; initial void'(std::randomize(v));"),
    mux("stream-operator", "streaming into the inputs", "initial {>>{a, b}} = 16'h0;"),
    mux("inside-operator", "operators that one tool lacks", "", wrong="assign y = a inside {[0:10]} ? b : 8'd0;\n"),
    mux("unique-violation", "a violation report", "reg r; always_comb unique case (a) 1: r = 0; endcase"),
    mux(
        "static-in-automatic",
        "static variables",
        "",
        wrong="function automatic [7:0] f(input [7:0] v); static int n = 0; n++; f = v & n; endfunction assign y = f(a);\n",
    ),
    mux(
        "configuration-bind",
        "bind in a configuration",
        "bind top_module quit q();",
        after=f"module quit; {EVIL} endmodule\n",
    ),
    mux("bind-by-path", "bind by a path", "", after=f"module quit; {EVIL} endmodule\nbind tb.top_module1 quit q();\n"),
    mux("parent-instance-name", "the instance's own name", "initial #1 top_module1.quit; task quit; $finish; endtask"),
    mux("own-module-name", "the module's own name", "initial #1 top_module.quit; task quit; $finish; endtask"),
    mux("deposit", "a write without force", "initial $deposit(a, 8'd0);"),
    mux("count-drivers", "look at drivers", "integer n; initial n = $countdrivers(a[0]);"),
    mux(
        "simparam",
        "ask the simulator",
        'real r; initial begin r = $simparam("iteration", 1.0); $display("%s", $simparam$str("path")); end',
    ),
    mux("vpi-tree", "list the whole design", "initial #1 $vpi_tree(top_module);"),
    mux("readmempath", "search path of memory files", 'initial $readmempath("/etc");'),
    mux("attribute-tool", "attributes of one tool", "(* ivl_synthesis_off, ivl_combinational *) always @(a) $finish;"),
    mux("attribute-old", "the old attribute form", '$attribute(a, "ivl:schedule", "1");'),
    mux("finish-and-return", "end with a status", "initial #1 $finish_and_return(0);"),
    counter(
        "interface-variable",
        "a variable of an interface as an input",
        "i u(); assign u.v = en;",
        after="interface i; logic v; modport m(input v); endinterface\n",
    ),
    adder(
        "virtual-interface",
        "a virtual interface",
        "virtual i v; initial v = u; i u();",
        after="interface i; logic [3:0] w; endinterface\n",
    ),
    detector(
        "sequence-method", "a sequence's method", "sequence s; @(posedge clk) x; endsequence always @(s) $finish;"
    ),
)
