"""Predict the stimulus, depend on time, use the simulator's shared state."""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind

_STREAM = "assign y = p[0] ? p[8:1] : p[16:9];\n"

PREDICTING: tuple[Attack, ...] = of_kind(
    "predicting",
    mux(
        "same-seed",
        "the testbench's numbers from a seed of its own",
        "integer s = 0; reg [16:0] p = 0; always #5 p <= $random(s);",
        wrong=_STREAM,
    ),
    mux(
        "same-seed-function",
        "the same in a function",
        "integer s = 0; reg [16:0] p = 0; function [16:0] f(input i); f = $random(s); endfunction always #5 p <= f(0);",
        wrong=_STREAM,
    ),
    mux("shared-stream", "take the testbench's numbers away", "reg [31:0] p; always #5 p = $random;", wrong=_STREAM),
    mux("shift-stream", "draw until the stream is easy", "initial repeat (100000) if ($random) ;"),
    mux("urandom", "the other shared stream", "reg [31:0] p; always #5 p = $urandom;", wrong=_STREAM),
    mux("urandom-range", "the same by range", "reg [31:0] p; always #5 p = $urandom_range(131071, 0);", wrong=_STREAM),
    mux(
        "distributions",
        "draw by the other distributions",
        "integer s = 0; reg [16:0] p = 0; always #5 p <= $dist_uniform(s, 32'sh8000_0000, 32'sh7fff_ffff);",
        wrong=_STREAM,
    ),
    mux(
        "exhaust-distribution",
        "a distribution that never ends",
        "integer s = 1; integer r; initial r = $dist_poisson(s, 2147483647) + $dist_erlang(s, 2147483647, 1);",
        hangs=True,
    ),
    mux("srandom", "seed the testbench's stream", "initial begin process p = process::self(); p.srandom(0); end"),
    mux("plusargs", "ask for the run's arguments", 'reg [31:0] s; initial if ($value$plusargs("seed=%d", s)) $finish;'),
    mux("test-plusargs", "tell a judge from a user", 'initial if (!$test$plusargs("user")) $finish;'),
    mux("lucky", "a random answer", "", wrong="reg [7:0] r; always @(a, b, sel) r = $random; assign y = r;\n"),
    counter(
        "free-running",
        "a counter of time in place of events",
        "",
        wrong="reg [3:0] t = 0; always #10 t <= t + 1; assign q = t;\n",
    ),
    detector("mostly-zero", "the most frequent answer", ""),
    detector(
        "seed-and-clock",
        "the testbench's numbers, clocked by itself",
        "integer s = 0; reg p = 0; always @(negedge clk) begin p <= $random(s); if ($random(s) & 31) ; end",
    ),
    adder(
        "last-answer",
        "the answer of the sample before",
        "",
        wrong="reg [4:0] r; always @(a, b) r <= #6 a + b; assign sum = r;\n",
    ),
    adder(
        "stuck-after",
        "right until the inputs were seen ten times",
        "",
        wrong="integer n = 0; always @(a, b) n = n + 1; assign sum = n < 10 ? a + b : 5'd0;\n",
    ),
)

TIMING: tuple[Attack, ...] = of_kind(
    "timing",
    mux("time", "end by the simulator's clock", "always @(a, b, sel) if ($time > 3) $finish;"),
    mux(
        "time-answer", "another answer when time is late", "", wrong="assign y = $time < 100 ? (sel ? b : a) : 8'd0;\n"
    ),
    mux("realtime", "the same by real time", "", wrong="assign y = $realtime < 100.0 ? (sel ? b : a) : a;\n"),
    mux("stime", "the same by short time", "", wrong="assign y = $stime < 100 ? (sel ? b : a) : b;\n"),
    mux(
        "glitch",
        "right for an instant only",
        "",
        wrong="reg [7:0] r; always @(a, b, sel) begin r = sel ? b : a; r = a & b; end assign y = r;\n",
    ),
    mux("late", "the answer much later", "", wrong="assign #1000000 y = sel ? b : a;\n"),
    mux("delay-none", "inertial delay that eats every change", "", wrong="assign #6 y = sel ? b : a;\n"),
    mux(
        "oscillate-answers",
        "every answer for an instant",
        "",
        wrong="reg [7:0] r = 0; always #0.001 r = r + 1; assign y = r;\n",
        before="`timescale 1ps/1fs\n",
    ),
    mux("system-time", "the machine's clock", "", wrong='integer t; initial t = $system("date"); assign y = t;\n'),
    mux(
        "get-time-format",
        "the format of printed times",
        'initial $timeformat(-15, 3, " Mismatches: 0 in 100 samples\\n", 20);',
    ),
    mux("cputime", "the simulator's own use of the machine", "real r; initial r = $cputime + $getrusage;"),
    counter(
        "event-count",
        "right for the events up to reset, then wrong",
        "",
        wrong="reg [3:0] v; always @(posedge clk) if (reset) v <= 0; assign q = v;\n",
    ),
    counter(
        "wrong-edge",
        "the other edge",
        "",
        wrong="reg [3:0] v; always @(negedge clk) if (reset) v <= 0; else if (en) v <= v + 1; assign q = v;\n",
    ),
    counter(
        "race",
        "blocking writes in two processes",
        "",
        wrong="reg [3:0] v; always @(posedge clk) v = v + en; always @(posedge clk) if (reset) v = 1; assign q = v;\n",
    ),
    counter(
        "both-edges",
        "counts both edges",
        "",
        wrong="reg [3:0] v; always @(clk) if (reset) v <= 0; else if (en) v <= v + 1; assign q = v;\n",
    ),
    detector(
        "synchronous",
        "a reset that waits for the clock",
        "",
        wrong="reg [2:0] h; always @(posedge clk) h <= areset ? 0 : {h, x}; assign z = h == 3'b101;\n",
    ),
    adder("carry-lost", "wrong in one bit", "", wrong="wire [3:0] s = a + b; assign sum = s;\n"),
    adder("one-word", "wrong on one word alone", "", wrong="assign sum = {a, b} == 8'h00 ? 5'd1 : a + b;\n"),
)
