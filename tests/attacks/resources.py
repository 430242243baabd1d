"""Use up time, memory, output or disk, when the simulation runs and when it is compiled; crash a tool."""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind, whole
from attacks.targets import MUX

RESOURCES: tuple[Attack, ...] = of_kind(
    "resources",
    mux("flood-stdout", "endless output", 'initial forever $display("%0512d", 1);', hangs=True),
    mux(
        "flood-write",
        "output without a newline",
        'initial forever $write("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");',
        hangs=True,
    ),
    mux(
        "flood-stderr",
        "endless output on stderr",
        'initial forever $fdisplay(32\'h8000_0002, "xxxxxxxxxxxxxxxx");',
        hangs=True,
    ),
    mux("flood-warnings", "endless warnings of the simulator", 'initial forever $display("%d %s", , 1);', hangs=True),
    mux("flood-width", "one line of a gigabyte", 'initial $display("%01000000000d", 1);', hangs=True),
    mux("flood-error", "endless error messages", 'initial forever $error("x");', hangs=True),
    mux(
        "flood-monitor",
        "one line for each of very many changes",
        'reg [31:0] n = 0; initial $monitor("%d", n); always #0.001 n = n + 1;',
        before="`timescale 1ps/1fs\n",
        hangs=True,
    ),
    mux(
        "flood-dump",
        "a very large dump",
        'reg [65535:0] r = 0; initial begin $dumpfile("wave.vcd"); $dumpvars; forever #0.001 r = ~r; end',
        before="`timescale 1ps/1fs\n",
        hangs=True,
    ),
    mux(
        "flood-disk",
        "a very large file",
        'integer f; initial begin f = $fopen("big", "w"); forever $fdisplay(f, "%04096d", 1); end',
        hangs=True,
    ),
    mux(
        "flood-verdicts",
        "so many verdict lines that the real one is cut off",
        'initial repeat (200000) $display("Mismatches: 0 in 100 samples");',
        hangs=True,
    ),
    mux("memory-array", "an array of two gigabytes", "reg [31:0] m [0:536870911]; initial m[0] = 1;", hangs=True),
    mux("memory-vector", "a vector of a gigabit", "reg [1073741823:0] r; initial r = 1;", hangs=True),
    mux(
        "memory-wide-multiply",
        "arithmetic on very wide vectors",
        "reg [1048575:0] r = 3; initial repeat (1000000) r = r * r;",
        hangs=True,
    ),
    mux("memory-queue", "a queue that grows", "int q[$]; initial forever q.push_back(1);", hangs=True),
    mux(
        "memory-dynamic",
        "a dynamic array that grows",
        "int d[]; int n = 1; initial forever begin n = n * 2; d = new[n]; end",
        hangs=True,
    ),
    mux(
        "memory-string", "a string that doubles", 'string s; initial begin s = "x"; forever s = {s, s}; end', hangs=True
    ),
    mux(
        "memory-class",
        "objects without end",
        "class C; C next; int p[100]; endclass C c, d; initial forever begin d = new; d.next = c; c = d; end",
        hangs=True,
    ),
    mux(
        "memory-events",
        "scheduled events without end",
        "reg r; initial forever begin r <= #1000000 1; r <= #2000000 0; end",
        hangs=True,
    ),
    mux("memory-threads", "threads without end", "initial forever fork #1000000; join_none", hangs=True),
    mux(
        "memory-recursion",
        "a function that calls itself",
        "function automatic integer f(input integer n); f = f(n + 1) + 1; endfunction initial if (f(0)) ;",
        hangs=True,
    ),
    mux(
        "memory-task-recursion",
        "a task that calls itself twice",
        "task automatic t(input integer n); fork t(n + 1); t(n + 1); join endtask initial t(0);",
        hangs=True,
    ),
    mux("memory-real-array", "reals without end", "real m [0:134217727]; initial m[0] = 1.0;", hangs=True),
    mux(
        "delayed-net",
        "a transport of very many values",
        "reg [63:0] r = 0; wire [63:0] w; assign #100000000 w = r; always #0.001 r <= #100000000 r + 1;",
        before="`timescale 1ps/1fs\n",
        hangs=True,
    ),
    mux(
        "slow-at-each-sample",
        "a second of work at each sample",
        "integer i; always @(a, b, sel) for (i = 0; i < 100000000; i = i + 1) ;",
        hangs=True,
    ),
    mux(
        "slow-net-ring",
        "a long ring of inverters that settles late",
        "wire [4096:0] w; assign w[0] = a[0]; genvar i; generate for (i = 0; i < 4096; i = i + 1) begin : g assign "
        "w[i+1] = ~w[i] ^ w[0]; end endgenerate",
    ),
    counter(
        "clock-divider-fine",
        "a clock of femtoseconds",
        "reg c = 0; always #0.001 c = ~c;",
        before="`timescale 1ps/1fs\n",
        hangs=True,
    ),
    detector("sleep", "waits without work", "initial #18446744073709551614 ;"),
    adder("zero-delay-ring", "a ring of zero delays", "reg p = 0; always @(p) #0 p = ~p; initial p = 1;", hangs=True),
)


def _deep(opening: str, middle: str, closing: str, times: int) -> str:
    return opening * times + middle + closing * times


def _doubling(levels: int, last: str) -> str:
    """Macros of which each uses the one below twice."""
    lines = [f"`define M0 {last}", *(f"`define M{n} `M{n - 1} `M{n - 1}" for n in range(1, levels))]
    return "\n".join(lines) + "\n"


def _tree(width: int, depth: int, body: str) -> str:
    """Modules of which each instantiates the one below ``width`` times."""
    modules = [f"module t0(); {body} endmodule"]
    modules += [
        f"module t{n}(); {' '.join(f't{n - 1} u{k}();' for k in range(width))} endmodule" for n in range(1, depth)
    ]
    return "\n".join(modules) + "\n"


BOMBS: tuple[Attack, ...] = of_kind(
    "bombs",
    mux(
        "recursion",
        "a module in itself by way of another",
        "r x();",
        after="module r(); r2 x(); endmodule module r2(); r x(); endmodule\n",
        hangs=True,
    ),
    mux(
        "recursion-parameter",
        "a recursion that a parameter would end very late",
        "r #(100000000) x();",
        after="module r #(parameter N = 1)(); generate if (N > 0) r #(N - 1) x(); endgenerate endmodule\n",
        hangs=True,
    ),
    mux(
        "recursion-tree",
        "a recursion that doubles",
        "r #(40) x();",
        after="module r #(parameter N = 1)(); generate if (N > 0) begin r #(N - 1) x(); r #(N - 1) y(); end endgenerate endmodule\n",
        hangs=True,
    ),
    mux("tree", "16**8 instances", "t8 x();", after=_tree(16, 9, "reg q = 0;"), hangs=True),
    mux(
        "tree-arrays",
        "arrays of arrays of instances",
        "t4 x[1023:0]();",
        after="module t0(); reg q; endmodule\n"
        + "".join(f"module t{n}(); t{n - 1} x[1023:0](); endmodule\n" for n in range(1, 5)),
        hangs=True,
    ),
    mux(
        "instance-array",
        "an array of a billion instances",
        "t x[999999999:0]();",
        after="module t(); reg q; endmodule\n",
        hangs=True,
    ),
    mux("replication", "a replication of a billion bits", "wire [1073741823:0] w = {1073741824{1'b1}};", hangs=True),
    mux(
        "replication-nested",
        "replications in replications",
        "wire w = ^{1000{{1000{{1000{{1000{1'b1}}}}}}}};",
        hangs=True,
    ),
    mux(
        "replication-constant",
        "a large constant",
        "localparam P = {16777215{1'b1}}; localparam Q = P * P; wire w = Q[5];",
        hangs=True,
    ),
    mux("vector", "a vector of 2**31 bits", "wire [2147483647:0] w; assign w = a;", hangs=True),
    mux(
        "vectors-many",
        "very many large vectors",
        "genvar i; generate for (i = 0; i < 100000; i = i + 1) begin : g reg [1000000:0] r = i; end endgenerate",
        hangs=True,
    ),
    mux(
        "generate-long",
        "a generate loop of 2**31 steps",
        "genvar i; generate for (i = 0; i < 2147483647; i = i + 1) begin : g wire w = i; end endgenerate",
        hangs=True,
    ),
    mux(
        "generate-nested",
        "generate loops in generate loops",
        "genvar i, j, k; generate for (i = 0; i < 1000; i = i + 1) begin : g for (j = 0; j < 1000; j = j + 1) begin : "
        "h for (k = 0; k < 1000; k = k + 1) begin : l wire w; assign w = a[0]; end end end endgenerate",
        hangs=True,
    ),
    mux(
        "generate-endless",
        "a generate loop that never ends",
        "genvar i; generate for (i = 0; i >= 0; i = i) begin : g end endgenerate",
        hangs=True,
    ),
    mux(
        "macros-doubling",
        "macros that double forty times",
        "wire [`M40 0:0] w;",
        before=_doubling(41, "1+"),
        hangs=True,
    ),
    mux("macros-doubling-empty", "macros that double to nothing", "`M30", before=_doubling(31, ""), hangs=True),
    mux(
        "macros-arguments",
        "arguments that double",
        "wire w = " + _deep("`D(", "1", ")", 30) + ";",
        before="`define D(x) x + x\n",
        hangs=True,
    ),
    mux("macros-recursive", "a macro that uses itself", "`R", before="`define R `R `R\n", hangs=True),
    mux("macros-mutual", "macros that use each other", "`P", before="`define P `Q\n`define Q `P\n", hangs=True),
    mux("macros-long-name", "a very long name", f"wire {'x' * 60000};"),
    mux("parentheses", "ten thousand parentheses", f"wire w = {_deep('(', '1', ')', 10000)};"),
    mux("begins", "ten thousand blocks", f"initial {_deep('begin ', ';', ' end', 5000)}"),
    mux("ternaries", "ten thousand conditions", f"wire w = {'a[0] ? 1 : ' * 5000}0;"),
    mux("ternaries-left", "conditions in conditions", f"wire w = {_deep('(a[0] ? ', '1', ' : 0)', 4000)};"),
    mux("operators", "a sum of very many terms", f"wire [7:0] w = {'a+' * 30000}b;", hangs=True),
    mux("unary", "very many negations", f"wire w = {'~ ' * 30000}a[0];"),
    mux("concatenations", "concatenations in concatenations", f"wire w = ^{_deep('{', 'a', '}', 10000)};"),
    mux("selects", "indices in indices", f"wire w = {_deep('a[', '0', ']', 10000)};"),
    mux("ifs", "a very long else-if chain", "reg r; always @* " + "if (a[0]) r = 1; else " * 2500 + "r = 0;"),
    mux(
        "case-table",
        "a very large case",
        "reg [7:0] r; always @* case ({a, b}) "
        + "".join(f"{n}:r={n & 255};" for n in range(5000))
        + " default: r = 0; endcase",
    ),
    mux(
        "case-wildcards",
        "a large case of wildcards",
        "reg r; always @* casez ({a, b}) " + "".join(f"16'b{n:012b}????:r={n & 1};" for n in range(2048)) + " endcase",
    ),
    mux("sensitivity", "very many names in a sensitivity list", f"reg r; always @({'a or ' * 10000}b) r = 1;"),
    mux(
        "ports-many",
        "very many ports below",
        "",
        after=f"module wide({','.join(f'p{n}' for n in range(4000))}); {''.join(f'input p{n};' for n in range(2000))} endmodule\n",
    ),
    mux(
        "function-endless",
        "a constant function that never ends",
        "function integer f(input integer n); while (1) f = n; endfunction localparam P = f(1);",
        hangs=True,
    ),
    mux(
        "function-long",
        "a constant function that ends very late",
        "function integer f(input integer n); integer i; begin f = 0; for (i = 0; i < 2000000000; i = i + 1) f = f + "
        "n; end endfunction localparam P = f(1); wire [P:0] w;",
        hangs=True,
    ),
    mux(
        "function-recursive",
        "a constant function that calls itself",
        "function automatic integer f(input integer n); f = f(n + 1); endfunction localparam P = f(1);",
        hangs=True,
    ),
    mux(
        "function-fibonacci",
        "a constant function of exponential cost",
        "function automatic integer f(input integer n); f = n < 2 ? n : f(n - 1) + f(n - 2); endfunction localparam P "
        "= f(45); wire [P:0] w;",
        hangs=True,
    ),
    mux("power", "a very large power", "localparam P = 3 ** 100000000; wire [31:0] w = P;", hangs=True),
    mux(
        "power-wide", "a power in a wide context", "localparam [1000000:0] P = 3 ** 600000; wire w = P[7];", hangs=True
    ),
    mux("shift", "a very large shift", "localparam P = 1 << 1000000000; wire w = P >> 999999999;"),
    mux(
        "divide-wide",
        "division of very wide constants",
        "localparam [999999:0] P = {1000000{1'b1}} / 3; localparam Q = P % 7; wire w = Q;",
        hangs=True,
    ),
    mux("clog2", "the logarithm of a huge number", "localparam P = $clog2({1000000{1'b1}}); wire [P:0] w;"),
    mux("literal-decimal", "a literal of sixty thousand digits", f"wire [31:0] w = {'9' * 60000};", hangs=True),
    mux("literal-hex", "a wide literal", f"wire [239999:0] w = 240000'h{'f' * 60000};"),
    mux("literal-size", "a literal of a huge size", "wire [31:0] w = 2147483647'd1;", hangs=True),
    mux("delay-literal", "a delay beyond all time", "initial #99999999999999999999999999999 ;"),
    mux("real-exponent", "a real out of range", "real r = 1e999999999; wire [31:0] w = 1e308;"),
    mux("string-long", "a string of sixty thousand letters", 'localparam P = "' + "x" * 60000 + '"; wire w = P > 1;'),
    mux("one-line", "sixty kilobytes in a line", "wire " + ",".join(f"w{n}" for n in range(9000)) + ";"),
    mux("assignments", "sixty kilobytes of statements", "reg [7:0] r; initial begin " + "r=r+1;" * 9500 + " end"),
    mux("attributes-many", "very many attributes", "(* " + ",".join(f"a{n}=1" for n in range(6000)) + " *) wire w;"),
    mux("enum-huge", "an enumeration by range", "enum int {A[2000000000]} e;", hangs=True),
    mux(
        "struct-deep",
        "types of exponential size",
        "typedef struct packed {logic [7:0] a, b;} s0; "
        + " ".join(f"typedef struct packed {{s{n} a, b;}} s{n + 1};" for n in range(40))
        + " s40 r;",
        hangs=True,
    ),
    mux("array-dimensions", "an array of very many dimensions", "reg r " + "[0:1]" * 40 + ";", hangs=True),
    mux(
        "udp-table",
        "a very large table",
        "",
        after="primitive p(o, a, b, c, d, e, f); output o; input a, b, c, d, e, f; table\n"
        + "\n".join(
            f"{' '.join(f'{n % 729:06d}'[k % 6] if f'{n % 729:06d}'[k % 6] in '01' else '?' for k in range(6))} : "
            f"{n & 1};"
            for n in range(2500)
        )
        + "\nendtable endprimitive\n",
    ),
    mux(
        "defparam-endless",
        "a defparam that depends on itself",
        "r x(); defparam x.N = x.M + 1;",
        after="module r(); parameter N = 1; parameter M = N + 1; endmodule\n",
    ),
    mux("parameter-cycle", "parameters in a cycle", "parameter P = Q + 1; parameter Q = P + 1; wire [P:0] w;"),
    mux("inherit-cycle", "a class that extends itself", "class A extends B; endclass class B extends A; endclass A a;"),
    mux("too-long", "longer than any design", "// " + "x" * 100_000),
    mux(
        "too-long-code",
        "more code than any design",
        "wire w;" + "".join(f"wire q{n} = a[{n % 8}];" for n in range(12000)),
        hangs=True,
    ),
)

CRASHES: tuple[Attack, ...] = of_kind(
    "crashes",
    whole(
        MUX,
        "trailing-comma-ports",
        "an empty port at the end of a list",
        "module top_module (input [7:0] a, b, input sel, output [7:0] y,);\nassign y = a;\nendmodule\nmodule m(a,); "
        "input a; endmodule\n",
    ),
    mux("unclosed-gate", "a gate list cut off", "nand n2(w1,\nnand n1(w2);"),
    mux("bits-none", "a literal without digits", "assign y = 1'b_;"),
    mux(
        "instance-as-function",
        "a module called as a function",
        "assign y = latch();",
        after="module latch(); endmodule\n",
    ),
    mux(
        "function-out-of-range",
        "a constant function that writes beyond its result",
        "function automatic [2:0] f; input [2:0] i; begin f[0] = i[0]; f[3] = i[3]; f[3:2] = i[3:2]; end endfunction "
        "localparam C = f(3'b110); wire w = C;",
    ),
    mux("real-array-range", "a real array read beyond its end", "real l [1:0]; reg [7:0] o; always @(a) o <= l[a];"),
    mux(
        "array-one-word",
        "an array of one word with a part in a concatenation",
        "wire [7:0] x [0:0]; assign x[0] = a; assign y = {x[0]};",
    ),
    mux("dynamic-bit", "a dynamic array of single bits", "reg d[]; initial d = new[3];"),
    mux("array-pattern-empty", "an empty pattern for an array", "bit v [0:-1]; assign v = '{};"),
    mux("queue-size-wait", "a wait on a queue's size", "int q[$]; initial begin q.push_back(1); wait (q.size()); end"),
    mux("pop-empty", "take from an empty queue", "int q[$]; int v; initial repeat (1000) v = q.pop_front();"),
    mux("null-object", "a member of no object", "class C; int v; endclass C c; initial c.v = 1;"),
    mux("null-method", "a method of no object", "class C; int v; task t; v = 1; endtask endclass C c; initial c.t();"),
    mux(
        "join-any",
        "threads that outlive their block",
        "task t; #1000; endtask initial begin fork #1 t; #1 t; join_none #5; fork #1 t; #1 t; join_any end",
    ),
    mux(
        "disable-self",
        "a block that disables itself in a fork",
        "initial begin : b fork begin disable b; end begin #1; end join end",
    ),
    mux(
        "ternary-strings",
        "a condition of strings and reals",
        'string s; real r; initial begin s = a ? "x" : ""; r = a ? 1 : 0.5; s = r; end',
    ),
    mux("format-odd", "formats without arguments", 'initial $display("%", "%d%d%s%v%u%z%p%t%e%g%f%l%m");'),
    mux("format-unformatted", "binary formats", 'reg [7:0] r = 8\'hxz; initial $display("%u%z%v", r, r, r);'),
    mux(
        "format-width",
        "odd widths in a format",
        'initial $display("%-99999999d %0s %.99999f", 1, "", 0.1);',
        hangs=True,
    ),
    mux(
        "part-select-odd",
        "part selects that are empty or reversed",
        "wire [7:0] w; assign w[0:7] = a; assign y = a[3:5];",
    ),
    mux(
        "part-select-huge",
        "indexed parts far outside",
        "wire w = a[2147483647 +: 1]; wire [3:0] v = a[-2147483648 -: 4]; reg [7:0] r; initial r[32'hffff_fff0 +: 8] "
        "= 1;",
    ),
    mux("zero-replication", "a replication of nothing", "wire [7:0] w = {0{a}}; wire v = {-1{a}};"),
    mux("x-replication", "a replication by X", "wire w = {1'bx{a}}; wire [1'bz:0] v;"),
    mux("x-range", "a range of X", "reg [32'bx:0] r; reg m [0:32'bz];"),
    mux("casting-odd", "odd casts", "wire w = 0'(a); wire v = (-5)'(a); wire [7:0] u = top_module'(a);"),
    mux("enum-empty", "odd enumerations", "enum {} e; enum logic [0:0] {A, B, C, D} f; enum bit {X = 1'bx} g;"),
    mux("package-missing", "packages that are not there", "import nothing::*; wire w = none::v;"),
    mux(
        "function-no-body",
        "odd functions",
        "function f; endfunction function void g(); endfunction wire w = f(); wire v = g();",
    ),
    mux("task-as-function", "a task in an expression", "task t; endtask wire w = t;"),
    mux("event-odd", "odd events", "event e; wire w = e; always @(posedge e) ; initial @(negedge 1'b0 or posedge 5) ;"),
    mux(
        "specify-odd",
        "odd specify blocks",
        "specify (a *> y) = (1, 2, 3, 4, 5, 6, 7); $width(posedge a, 1); pulsestyle_onevent y; endspecify",
    ),
    mux(
        "udp-odd",
        "a table of contradictions",
        "wire w; p u(w, a[0]);",
        after="primitive p(o, i); output o; reg o; input i; initial o = 1'bx; table 0 : ? : 1; 0 : ? : 0; (??) : ? : -; endtable endprimitive\n",
    ),
    mux(
        "udp-wide",
        "a primitive with vectors",
        "",
        after="primitive p(o, i); output [3:0] o; input [7:0] i; table 0 : 1; endtable endprimitive\n",
    ),
    mux(
        "interface-self",
        "an interface that takes itself",
        "i u();",
        after="interface i(i x); modport m(input x); endinterface\n",
    ),
    mux("hidden-type", "a type that names itself", "typedef t; typedef t u; typedef u t; t x;"),
    mux("struct-self", "a structure that holds itself", "typedef struct packed { s m; logic b; } s; s x;"),
    mux("typedef-chain", "a parameter that is its own type", "parameter type T = T; T x;"),
    mux("let-recursive", "a let that uses itself", "let f(x) = f(x) + 1; wire w = f(1);"),
    mux(
        "property",
        "properties and sequences",
        "property p(a, b, c, d, e); logic [$bits(b)-1:0] v; @(a) (c, v = b) ##0 (d or !d ##1 e) |-> v == e; "
        "endproperty assert property (p(a, b, sel, y, a));",
    ),
    mux(
        "assert-property",
        "an assertion with a label and disable",
        "lbl: assert property (@(posedge sel) disable iff (a) b);",
    ),
    mux(
        "covergroup",
        "cover groups",
        "covergroup g @(posedge sel); coverpoint a { bins x[] = {[0:255]}; } endgroup g c = new;",
    ),
    mux(
        "constraint",
        "random constraints",
        "class C; rand int v; constraint k { v > v; v < v; } endclass C c; initial begin c = new; "
        "void'(c.randomize()); end",
    ),
    mux(
        "ivl-comma-port", "a port connection without a name", "t u(.(a), .x());", after="module t(input x); endmodule\n"
    ),
    mux(
        "always-star-nets",
        "pass transistors by processes",
        "wire p, q, r; s u0(q, p, r); s u1(r, p, p);",
        after="module s(output reg o, input wire i, input wire c); always @* if (c === 1) o <= i; endmodule\n",
    ),
    mux("fuzzed-port-star", "a cut-off module header", "", after="module mod(.*);Y"),
    mux(
        "fuzzed-function",
        "a torn function",
        "",
        after="function tion tion foo(ion foo(o; enfun#pionQf)v)foo(o; enfun#pion#f)v));t\n",
    ),
    mux(
        "fuzzed-keywords",
        "keywords in no order",
        "",
        after="endmodule module begin end case endcase fork join ( [ { ' \" \n",
    ),
    mux("fuzzed-numbers", "numbers in no order", "wire w = 4'b12 + 'h + 3'd9x + 1.e + .5 + 1..2 + 5'sq;"),
    detector("clock-real", "an edge of a real", "real r; always @(posedge r) ; always @(r) r = r + 1;", hangs=True),
    counter(
        "edge-vector",
        "an edge of a constant and of an array",
        "reg [3:0] m [0:3]; always @(posedge m[1'bx]) ; always @(posedge 4'b10x1) ;",
    ),
)
