"""Force, clear or call what belongs to the testbench; read the reference by hierarchy."""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind, whole
from attacks.targets import MUX

STATE: tuple[Attack, ...] = of_kind(
    "state",
    mux("clear-errors", "write the statistics downwards from the root", "always @(a, b, sel) #1 tb.stats1.errors = 0;"),
    mux(
        "clear-stats",
        "write the whole structure",
        "initial forever #1 tb.stats1 = {32'd0, 32'd0, 32'd0, 32'd0, tb.stats1[31:0]};",
    ),
    mux("clear-at-end", "clear once, late", "initial #500.5 tb.stats1.errors = 0;"),
    mux(
        "clear-upward",
        "the same through upward resolution of the instance's name",
        "initial #500.5 top_module1.clear; task clear; tb.stats1 = 100; endtask",
    ),
    mux("root-clear", "the same from $root", "initial forever #1 $root.tb.stats1.errors = 0;"),
    mux("force-match", "force the comparison", "initial force tb.tb_match = 1;"),
    mux("force-mismatch", "force the comparison's inverse", "initial force tb.tb_mismatch = 0;"),
    mux("force-output", "force the compared output to the reference's", "initial force tb.y_dut = tb.y_ref;"),
    mux("force-reference", "force the reference's output to this one", "initial force tb.y_ref = tb.y_dut;"),
    mux("force-upward", "force through the neighbour's name", "initial force good1.y = 8'bx;"),
    mux("force-x", "force the reference to X", "initial force tb.good1.y = 8'hxx;"),
    mux(
        "force-inputs", "force the inputs to what this answers right", "initial force tb.a = 0; initial force tb.b = 0;"
    ),
    mux("force-clock", "stop the clock", "initial #3 force tb.clk = 0;", hangs=True),
    mux("assign-clock", "procedural assign of the clock", "initial assign tb.clk = 0;", hangs=True),
    mux(
        "assign-deassign",
        "procedural assign of the statistics",
        "initial begin assign tb.stats1 = 0; #500.5 deassign tb.stats1; end",
    ),
    mux(
        "release",
        "release and force again",
        "initial forever begin #1 force tb.tb_match = 1'b1; #1 release tb.tb_match; end",
    ),
    mux("strobe-task", "call the testbench's task by upward resolution", "initial wait_for_end_of_timestep;"),
    mux("call-task-by-root", "call the testbench's task by its path", "initial tb.wait_for_end_of_timestep;"),
    mux("defparam-up", "change a parameter above", "defparam tb.good1.P = 0;"),
    mux(
        "defparam-self",
        "change an own parameter from outside",
        "parameter P = 0; wire w = P; defparam top_module1.P = 1;",
    ),
    mux("disable-final", "disable the testbench's processes", "initial #1 disable tb;"),
    mux("trigger-stim", "write the stimulus' register", "initial tb.stim1.a = 0;"),
    counter("hold-reset", "hold the reset through the hierarchy", "initial force tb.reset = 1;"),
    detector("stop-stimulus", "stop the inputs", "initial force tb.stim1.x = 0;"),
    adder("event-control-up", "wait for the testbench's strobe", "always @(tb.strobe) tb.stats1.errors = 0;"),
    mux(
        "bind",
        "bind a module to the testbench",
        "",
        after="module clear; initial forever #1 tb.stats1.errors = 0; endmodule\nbind tb clear c();\n",
    ),
    mux(
        "bind-reference",
        "bind a module to the reference",
        "",
        after="module x(output [7:0] y); assign y = 8'hxx; endmodule\nbind reference_module x c(.y(y));\n",
    ),
    mux(
        "unit-function",
        "a function at file level that writes the testbench",
        "initial forever #1 clear();",
        before="function void clear(); tb.stats1.errors = 0; endfunction\n",
    ),
    mux("escaped-path", "escaped names in the path", "initial force \\tb .\\tb_match = 1;"),
    mux("with-default-nettype", "an undeclared path component", "always @* force tb . tb_match = 1'b1;"),
)

READING: tuple[Attack, ...] = of_kind(
    "reading",
    mux("reference-output", "the reference's output by its path", "", wrong="assign y = tb.good1.y;\n"),
    mux("expected-signal", "the expected value in the testbench", "", wrong="assign y = tb.y_ref;\n"),
    mux("upward", "by the neighbour's instance name", "", wrong="assign y = good1.y;\n"),
    mux("module-name", "by the module's name", "", wrong="assign y = reference_module.y;\n"),
    mux("root", "from $root", "", wrong="assign y = $root.tb.good1.y;\n"),
    mux("always", "in a process", "", wrong="reg [7:0] r; always @(tb.good1.y) r = tb.good1.y; assign y = r;\n"),
    mux(
        "top-module-name", "by the parent's name and upward resolution", "", wrong="assign y = tb.good1.a | tb.y_ref;\n"
    ),
    mux(
        "task-argument",
        "through a task's argument",
        "",
        wrong="reg [7:0] r; task copy(input [7:0] v); r = v; endtask always @* copy(tb.y_ref); assign y = r;\n",
    ),
    mux(
        "port-expression",
        "through an instance's port",
        "",
        wrong="pass p(.v(tb.y_ref), .w(y));\n",
        after="module pass(input [7:0] v, output [7:0] w); assign w = v; endmodule\n",
    ),
    mux(
        "in-submodule",
        "from a module below",
        "",
        wrong="pass p(y);\n",
        after="module pass(output [7:0] w); assign w = good1.y; endmodule\n",
    ),
    mux(
        "in-function",
        "from a function",
        "",
        wrong="function [7:0] f(input [7:0] v); f = tb.y_ref ^ (v & 0); endfunction assign y = f(tb.y_ref);\n",
    ),
    mux(
        "in-package",
        "from a package's function",
        "",
        wrong="assign y = p::f(a);\n",
        before="package p; function automatic [7:0] f(input [7:0] v); f = tb.y_ref; endfunction endpackage\n",
    ),
    counter("internal", "the reference's internal register", "", wrong="assign q = tb.good1.value;\n"),
    detector("internal-state", "the reference's state", "", wrong="assign z = good1.state == 3;\n"),
    adder("expected-sum", "the expected sum", "", wrong="assign sum = tb.sum_ref;\n"),
    mux(
        "through-dump",
        "through a dump of all variables",
        'initial begin $dumpfile("wave.vcd"); $dumpvars(0, tb); $dumpflush; end',
    ),
    mux("through-showvars", "through the simulator's own listing", "initial begin #7 $showvars(tb); $showscopes; end"),
    whole(
        MUX,
        "default-argument",
        "a path as a port's default value",
        "module top_module (input [7:0] a, b, input sel, output [7:0] y);\nsub s(.y(y));\nendmodule\nmodule sub(input "
        "[7:0] v = tb.y_ref, output [7:0] y); assign y = v; endmodule\n",
    ),
)

INSTANTIATING: tuple[Attack, ...] = of_kind(
    "instantiating",
    mux("reference", "instantiate the reference", "", wrong="reference_module r(.*);\n"),
    mux("reference-by-order", "instantiate the reference by order", "", wrong="reference_module r(a, b, sel, y);\n"),
    mux(
        "reference-array", "instantiate the reference as an array", "", wrong="reference_module r[0:0](a, b, sel, y);\n"
    ),
    mux(
        "reference-generate",
        "instantiate the reference in a generate",
        "",
        wrong="generate if (1) begin : g reference_module r(a, b, sel, y); end endgenerate\n",
    ),
    mux(
        "reference-escaped",
        "instantiate the reference by an escaped name",
        "",
        wrong="\\reference_module r(a, b, sel, y);\n",
    ),
    mux(
        "reference-below",
        "instantiate the reference in a module below",
        "",
        wrong="w i(a, b, sel, y);\n",
        after="module w(input [7:0] a, b, input sel, output [7:0] y); reference_module r(a, b, sel, y); endmodule\n",
    ),
    mux(
        "reference-macro",
        "name of the reference glued by a macro",
        "",
        wrong="`J(refer,ence_module) r(a, b, sel, y);\n",
        before="`define J(p,q) p``q\n",
    ),
    mux(
        "stimulus",
        "instantiate the stimulus, to see the same inputs again",
        "wire [7:0] p, q; wire s; stimulus_gen g(tb_clk, p, q, s); reg tb_clk = 0; always #5 tb_clk = ~tb_clk;",
    ),
    mux("testbench", "instantiate the testbench", "tb t();"),
    mux(
        "own-testbench",
        "a testbench of its own under a name of the real one",
        "",
        after='module tb(); initial begin $display("Mismatches: 0 in 100 samples"); $finish; end endmodule\n',
    ),
    counter("reference-counter", "instantiate the counter's reference", "", wrong="reference_module r(.*);\n"),
    detector("reference-detector", "instantiate the detector's reference", "", wrong="reference_module r(.*);\n"),
    adder("reference-adder", "instantiate the adder's reference", "", wrong="reference_module r(a, b, sum);\n"),
    mux("self", "instantiate itself", "", wrong="top_module r(.*);\n", hangs=True),
    mux("ref-module-v2", "the reference's name in newer benchmarks", "", wrong="RefModule r(.*);\n"),
)
