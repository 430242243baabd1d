"""End the simulation before a mismatch is seen, or never let it end."""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind

ENDING: tuple[Attack, ...] = of_kind(
    "ending",
    mux("finish-at-zero", "end before the first sample", "initial $finish;"),
    mux("finish-0", "silent end", "initial $finish(0);"),
    mux("finish-2", "end with statistics", "initial #1 $finish(2);"),
    counter("finish-while-right", "end while the reference is still X", "initial #24 $finish;"),
    counter("finish-on-reset", "end at the first reset", "always @(posedge reset) $finish;"),
    mux(
        "finish-on-mismatch",
        "end just before the first input for which the answer is wrong",
        "always @(a, b, sel) if ((sel ? b : a) != (a & b)) $finish;",
    ),
    mux("stop", "stop and wait at a prompt", "initial $stop;"),
    mux("stop-at-end", "stop at the end", "initial #499 $stop(0);"),
    mux("fatal", "end with an error", "initial #4 $fatal(1);"),
    mux("exit", "end as a program does", "initial $exit;"),
    mux("exit-program", "end from a program block", "quit q();", after="program quit; initial $exit; endprogram\n"),
    mux(
        "program-end",
        "a program's end ends the simulation",
        "quit q();",
        after="program quit; initial begin end endprogram\n",
    ),
    mux(
        "function-finish",
        "end inside a function of a continuous assignment",
        "function f(input v); begin if (v) $finish; f = v; end endfunction wire w = f(sel);",
    ),
    mux("finish-in-always-comb", "end from a combinational process", "always_comb if (a[0]) $finish;"),
    mux("finish-final", "end again in final", "final $finish;"),
    mux("final-loop", "never come out of final", "integer i = 0; final while (1) i = i + 1;", hangs=True),
    mux("loop-at-zero", "time never advances", "initial while (1) ;", hangs=True),
    mux("forever-zero", "time never advances, zero delay", "reg r = 0; initial forever #0 r = ~r;", hangs=True),
    mux("always-no-delay", "always without delay", "reg r = 0; always r = ~r;", hangs=True),
    mux(
        "delta-loop",
        "combinational loop that toggles",
        "wire w; reg r = 0; assign w = ~r; always @(w) r <= w;",
        hangs=True,
    ),
    mux("oscillator", "inverter on itself", "reg go = 0; wire w = go ? ~w : 1'b0; initial #5 go = 1;", hangs=True),
    mux(
        "nonblocking-storm",
        "two processes that wake each other",
        "reg p = 0, q = 0; always @(p) q <= ~p; always @(q) p <= q; initial p <= 1;",
        hangs=True,
    ),
    mux(
        "event-loop",
        "events that trigger each other",
        "event e, f; always @(e) #0 -> f; always @(f) #0 -> e; initial #1 -> e;",
        hangs=True,
    ),
    mux("wait-forever", "a process that waits on a constant", "initial wait (0) ;"),
    adder("repeat-huge", "a very long repeat", "integer i = 0; initial repeat (2147483647) i = i + 1;", hangs=True),
    adder(
        "for-64-bit",
        "a loop of 2**64 steps",
        "reg [63:0] i; initial for (i = 0; i < 64'hffff_ffff_ffff_ffff; i = i + 1) ;",
        hangs=True,
    ),
    mux("disable-stimulus", "disable the stimulus by its name", "initial #5 disable tb.stim1;"),
    mux("disable-fork", "disable the threads around", "initial #5 disable fork;"),
    detector(
        "time-overflow", "a delay near the end of 64 bits", "initial begin #64'hffff_ffff_ffff_fff0 ; $finish; end"
    ),
    mux(
        "suicide-division",
        "crash the simulator by division",
        "integer i = 0; integer r; initial #3 r = 1 / i + 64'h8000_0000_0000_0000 / -64'sd1;",
    ),
)
