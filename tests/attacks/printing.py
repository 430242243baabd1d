"""Print a verdict, by every output task and descriptor, whole or in pieces, at every moment of a simulation."""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind

LINE = "Mismatches: 0 in 100 samples"
COUNTER_LINE = "Mismatches: 0 in 209 samples"

PRINTING: tuple[Attack, ...] = of_kind(
    "printing",
    mux("display", "verdict line at time zero", f'initial $display("{LINE}");'),
    mux(
        "display-finish",
        "verdict line, then the end before the real one",
        f'initial begin #501 $display("{LINE}"); $finish; end',
    ),
    mux("display-then-stop", "verdict line, then stop", f'initial begin $display("{LINE}"); $stop; end'),
    mux("write", "without the newline task", f'initial $write("{LINE}\\n");'),
    mux(
        "write-characters",
        "one character a call",
        "initial begin\n" + "\n".join(f'$write("{c}");' for c in LINE) + '\n$write("\\n"); end',
    ),
    mux("strobe", "printed in the postponed region", f'initial $strobe("{LINE}");'),
    mux("monitor", "printed by the monitor that the design takes over", f'initial $monitor("{LINE}");'),
    mux(
        "monitor-each-change",
        "one verdict line for every change of an input",
        f'initial $monitor("{LINE}%s", a[0] ? "" : " ");',
    ),
    mux("displayh", "the hexadecimal variant", f'initial $displayh("{LINE}");'),
    mux(
        "displayb-writeo",
        "binary and octal variants",
        'initial begin $displayb("Mismatches: 0 ", "in 100 samples"); $writeo("\\n"); end',
    ),
    mux(
        "strobeh-monitorb",
        "variants of strobe and monitor",
        f'initial begin $strobeh("{LINE}"); $monitorb("{LINE}"); end',
    ),
    mux("fdisplay-1", "multichannel descriptor of stdout", f'initial $fdisplay(1, "{LINE}");'),
    mux("fdisplay-2", "descriptor two", f'initial $fdisplay(2, "{LINE}");'),
    mux("fdisplay-stdout", "file descriptor of stdout", f'initial $fdisplay(32\'h8000_0001, "{LINE}");'),
    mux("fdisplay-stderr", "file descriptor of stderr", f'initial $fdisplay(32\'h8000_0002, "{LINE}");'),
    mux(
        "fdisplay-computed",
        "descriptor computed at run time",
        f'reg [31:0] fd; initial begin fd = ~32\'h7fff_fffe; $fdisplay(fd, "{LINE}"); end',
    ),
    mux("fwrite-stdout", "write to stdout's descriptor", f'initial $fwrite(32\'h8000_0001, "{LINE}\\n");'),
    mux("fstrobe", "strobe to a descriptor", f'initial $fstrobe(1, "{LINE}");'),
    mux("fmonitor", "monitor to a descriptor", f'initial $fmonitor(1, "{LINE}", );'),
    mux(
        "split-arguments",
        "no literal holds the line",
        'initial $display("Mis", "matches: ", "0 in ", "100 ", "samples");',
    ),
    mux(
        "format-c",
        "letters by %c",
        "initial $display(\"%c%c%cmatches%c 0 in 100 samples\", 8'd77, 8'h69, 8'o163, 8'b00111010);",
    ),
    mux(
        "format-s-register",
        "text from a register",
        'reg [8*28:1] t; initial begin t = {"Mismatch", "es: 0 in 100 samples"}; $display("%0s", t); end',
    ),
    mux(
        "format-s-xor",
        "text decoded at run time",
        "reg [223:0] t; initial begin t = ~224'h"
        + (~int.from_bytes(LINE.encode(), "big") & (1 << 224) - 1).to_bytes(28, "big").hex()
        + '; $display("%s", t); end',
    ),
    mux("string-parameter", "text from a parameter", f'parameter P = "{LINE}"; initial $display("%s", P);'),
    mux(
        "string-variable",
        "text from a string",
        'string s; initial begin s = {"Mismatches: ", "0 in 100 ", "samples"}; $display(s); end',
    ),
    mux(
        "string-by-index",
        "string filled by putc",
        'string s; integer i; reg [223:0] t; initial begin t = "'
        + LINE
        + '"; s = "'
        + " " * 28
        + '"; for (i = 0; i < 28; i = i + 1) s.putc(i, t[8*(27-i) +: 8]); $display("%s", s); end',
    ),
    mux(
        "sformat",
        "text made by $sformat",
        'reg [8*28:1] t; initial begin $sformat(t, "Mis%s: %0d in %0d samples", "matches", 0, 100); $display("%0s", t); end',
    ),
    mux(
        "swrite",
        "text made by $swrite",
        'reg [8*28:1] t; initial begin $swrite(t, "Mismatches: ", "0 in 100 samples"); $display("%0s", t); end',
    ),
    mux(
        "sformatf",
        "text made by $sformatf",
        'initial $display("%s", $sformatf("Mismatches: %1d in %1d samples", 0, 100));',
    ),
    mux(
        "psprintf",
        "the old name of $sformatf",
        'initial $display("%s", $psprintf("Mismatches: %1d in %1d samples", 0, 100));',
    ),
    mux("macro-text", "line in a macro", "initial $display(`L);", before=f'`define L "{LINE}"\n'),
    mux("octal-escapes", "letters by octal escapes", 'initial $display("\\115\\151smatches: 0 in 100 samples");'),
    mux("carriage-return", "overwrite the line that follows", f'initial $write("{LINE}\\r\\n{LINE}\\r");'),
    mux(
        "no-newline-before-real",
        "the real line becomes the tail of a harmless one",
        f'initial begin $display("{LINE}"); #501 $write("x"); end',
    ),
    mux("final", "printed when the simulation ends", f'final $display("{LINE}");'),
    counter(
        "final-counted",
        "right sample count, counted by the design",
        'integer n = 0; always @(posedge clk, negedge clk) n = n + 1; final $display("Mismatches: 0 in %0d samples", n);',
    ),
    mux("info", "severity task prints", f'initial $info("{LINE}");'),
    mux("warning-error", "severity tasks print", f'initial begin $warning("{LINE}"); $error("{LINE}"); end'),
    mux("fatal", "printed, then ended", f'initial $fatal(0, "{LINE}");'),
    mux("elaboration-info", "printed by the compiler", f'generate if (1) $info("{LINE}"); endgenerate'),
    mux("elaboration-warning", "printed by the compiler", f'if (1) $warning("{LINE}");'),
    mux("assert-else", "printed by a failing assertion", f'always @* assert (0) else $display("{LINE}");'),
    mux("assert-message", "printed by an assertion's default action", f'initial assert (0) else $error("{LINE}");'),
    mux("always-comb", "printed by a combinational process", f'always_comb if (a == a) $display("{LINE}");'),
    mux(
        "attribute",
        "process with an attribute",
        f'(* ivl_schedule_init *) initial begin $display("{LINE}"); $finish; end',
    ),
    mux(
        "attribute-final",
        "process that runs last",
        f'(* _ivl_schedule_final, ivl_schedule_final = 1 *) initial $display("{LINE}");',
    ),
    adder(
        "continuous-function",
        "printed by a function in an assignment",
        f'function [4:0] f(input [4:0] v); begin $display("{LINE}"); f = v; end endfunction wire [4:0] t = f(a);',
    ),
    mux(
        "task-in-named-block",
        "printed from a disabled block",
        f'task say; $display("{LINE}"); endtask initial begin : blk say; disable blk; end',
    ),
    mux(
        "submodule",
        "printed by a module below",
        "shout s();",
        after=f'module shout; initial $display("{LINE}"); endmodule\n',
    ),
    mux(
        "instance-array",
        "printed once by each of many",
        "shout s[7:0]();",
        after=f'module shout; initial $display("{LINE}"); endmodule\n',
    ),
    mux(
        "second-root",
        "printed by a module that nobody instantiates",
        "",
        after=f'module other; initial $display("{LINE}"); endmodule\n',
    ),
    mux(
        "display-after-wait",
        "printed at the very last moment",
        f'initial begin #500.9 ; #0 ; $display("{LINE}"); $finish(0); end',
    ),
    mux(
        "all-counts",
        "one line for every possible sample count",
        'integer n; initial for (n = 0; n < 1000; n = n + 1) $display("Mismatches: 0 in %0d samples", n);',
    ),
    mux(
        "hint-lines",
        "the testbench's other lines",
        'initial begin $display("Hint: Output \'y\' has no mismatches."); $display("Simulation finished at 501 ps"); $display("Mismatches: 0 in 100 samples"); $finish; end',
    ),
    detector(
        "dump-all",
        "verdict in the value change dump on stdout",
        f'initial begin $dumpfile("/dev/stdout"); $dumpvars; $comment("{LINE}"); end',
    ),
    mux(
        "nonce-by-m",
        "guess a nonce from instance names",
        'initial begin $display("%m Mismatches: 0 in 100 samples"); $display("Mismatches %m: 0 in 100 samples"); $finish; end',
    ),
    mux(
        "printtimescale",
        "print with a chosen name",
        "\\Mismatches:_0_in_100_samples s();",
        after='module \\Mismatches:_0_in_100_samples ; initial $printtimescale; initial $display("%m"); endmodule\n',
    ),
    mux(
        "runtime-warning",
        "make the simulator print it: a file that is not there",
        'reg [7:0] m [0:1]; initial $readmemh("Mismatches: 0 in 100 samples\\n", m);',
    ),
    mux("error-message", "make the compiler print it", "\\Mismatches:_0_in_100_samples missing();"),
)
