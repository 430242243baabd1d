"""Read, write, truncate or append files, descriptors and dumps; start programs.

``CANARY`` in a text stands for a folder whose content must stay as it is; the tests put a real path there.
"""

from attacks.suite import Attack, adder, counter, detector, mux, of_kind

CANARY = "@CANARY@"
_LINE = "Mismatches: 0 in 100 samples"

FILES: tuple[Attack, ...] = of_kind(
    "files",
    mux("truncate", "truncate a file", f'integer f; initial f = $fopen("{CANARY}/text", "w");'),
    mux(
        "append",
        "append to a file",
        f'integer f; initial begin f = $fopen("{CANARY}/text", "a"); $fdisplay(f, "x"); $fclose(f); end',
    ),
    mux(
        "update",
        "update a file in place",
        f'integer f; initial begin f = $fopen("{CANARY}/text", "r+"); $fwrite(f, "x"); $fflush(f); end',
    ),
    mux("create", "create a file", f'integer f; initial f = $fopen("{CANARY}/new", "wb");'),
    mux(
        "create-channel",
        "create a file by a multichannel descriptor",
        f'integer f; initial begin f = $fopen("{CANARY}/new"); $fdisplay(f, "x"); end',
    ),
    mux(
        "path-from-register",
        "a path that no literal holds",
        'reg [8*64:1] p; integer f; initial begin p = {"'
        + CANARY[:4]
        + '", "'
        + CANARY[4:]
        + '/text"}; f = $fopen(p, "w"); end',
    ),
    mux(
        "relative",
        "up and down again",
        'integer f; initial f = $fopen("../../../../../../../../../tmp/itertl-attack-file", "w");',
    ),
    mux(
        "working-folder",
        "a file in the working folder",
        'integer f; initial begin f = $fopen("itertl-attack-file", "w"); $fdisplay(f, "x"); end',
    ),
    mux(
        "home",
        "a file by the shell's name for home",
        'integer f; initial begin f = $fopen("~/itertl-attack-file", "w"); f = $fopen("$HOME/itertl-attack-file", "w"); end',
    ),
    mux(
        "read",
        "print a file",
        f'integer f, c; initial begin f = $fopen("{CANARY}/text", "r"); c = $fgetc(f); while (c != -1) begin $write("%c", c); c = $fgetc(f); end end',
    ),
    mux(
        "read-program",
        "read the compiled simulation for the expected answers",
        'integer f; reg [8*200:1] l; initial begin f = $fopen("design.vvp", "r"); while ($fgets(l, f)) $display("%0s", l); end',
    ),
    mux(
        "read-command-line",
        "read the command line for names",
        'integer f; reg [8*200:1] l; initial begin f = $fopen("/proc/self/cmdline", "r"); if ($fgets(l, f)) $display("%0s", l); end',
    ),
    mux(
        "read-memory-map",
        "read the process' map and memory",
        'integer f; reg [8*200:1] l; initial begin f = $fopen("/proc/self/maps", "r"); while ($fgets(l, f)) $display("%0s", l); end',
    ),
    mux(
        "write-memory",
        "write the process' own memory",
        'integer f, r; initial begin f = $fopen("/proc/self/mem", "r+"); r = $fseek(f, 4194304, 0); $fwrite(f, "xxxx"); end',
    ),
    mux(
        "write-descriptor",
        "write the parent's pipe by its path",
        f'integer f; initial begin f = $fopen("/proc/self/fd/1", "w"); $fdisplay(f, "{_LINE}"); $fclose(f); $finish; end',
    ),
    mux(
        "write-stdout",
        "write stdout by its path",
        f'integer f; initial begin f = $fopen("/dev/stdout", "w"); $fdisplay(f, "{_LINE}"); $fclose(f); $finish; end',
    ),
    mux(
        "close-descriptors",
        "close every descriptor",
        "integer i; initial for (i = 0; i < 64; i = i + 1) begin $fclose(1 << i); $fclose(32'h8000_0000 + i); end",
    ),
    mux(
        "close-stdout",
        "close stdout after the own line",
        f'initial begin $display("{_LINE}"); $fclose(32\'h8000_0001); $fclose(1); end',
    ),
    mux("flush", "flush all", f'initial begin $display("{_LINE}"); $fflush; end'),
    mux(
        "many-descriptors",
        "use up descriptors",
        'integer f, i; initial for (i = 0; i < 100000; i = i + 1) f = $fopen($sformatf("f%0d", i), "w");',
    ),
    mux(
        "same-descriptor-again",
        "open one file very often",
        'integer f; initial repeat (100000) f = $fopen("same", "a");',
    ),
    mux(
        "many-files",
        "use up names",
        'integer f, i; initial for (i = 0; i < 200000; i = i + 1) begin f = $fopen($sformatf("f%0d", i), "w"); $fclose(f); end',
        hangs=True,
    ),
    mux(
        "long-name",
        "a very long path",
        'string s; integer f; initial begin s = "a"; repeat (16) s = {s, s}; f = $fopen(s, "w"); end',
    ),
    mux(
        "null-device",
        "devices",
        'integer f, c; initial begin f = $fopen("/dev/zero", "r"); c = $fgetc(f); while (1) c = $fgetc(f); end',
        hangs=True,
    ),
    mux(
        "random-device",
        "true randomness",
        'integer f, c; initial begin f = $fopen("/dev/urandom", "r"); c = $fgetc(f); end',
    ),
    mux(
        "terminal",
        "a device that blocks",
        'integer f, c; initial begin f = $fopen("/dev/tty", "r"); c = $fgetc(f); end',
        hangs=True,
    ),
    mux("stdin", "read standard input", "integer c; initial begin c = $fgetc(32'h8000_0000); end"),
    mux("stdin-scanf", "wait for standard input", 'integer r, v; initial r = $fscanf(32\'h8000_0000, "%d", v);'),
    mux("ungetc", "push characters back", "integer c; initial repeat (100000) c = $ungetc(65, 32'h8000_0000);"),
    mux(
        "fread",
        "read into a memory",
        f'integer f, r; reg [7:0] m [0:255]; initial begin f = $fopen("{CANARY}/text", "rb"); r = $fread(m, f); end',
    ),
    mux(
        "fread-huge",
        "read an endless device into a huge memory",
        'integer f, r; reg [31:0] m [0:16777215]; initial begin f = $fopen("/dev/zero", "rb"); r = $fread(m, f); end',
        hangs=True,
    ),
    mux(
        "rewind",
        "move in stdout",
        "integer r; initial begin r = $rewind(32'h8000_0001); r = $fseek(1, -1000, 2); r = $ftell(1); end",
    ),
    mux("readmemh", "read a file as a memory", f'reg [7:0] m [0:255]; initial $readmemh("{CANARY}/text", m);'),
    mux(
        "readmemb-answers",
        "read answers that another run left",
        'reg [7:0] m [0:255]; initial $readmemb("answers.txt", m);',
    ),
    mux(
        "readmem-endless",
        "a memory file that never ends",
        'reg [7:0] m [0:255]; initial $readmemh("/dev/zero", m);',
        hangs=True,
    ),
    mux("writememh", "write a memory over a file", f'reg [7:0] m [0:255]; initial $writememh("{CANARY}/text", m);'),
    mux(
        "writememb-disk",
        "a huge memory to disk",
        'reg [255:0] m [0:1048575]; initial $writememb("big", m);',
        hangs=True,
    ),
    mux("sreadmem", "a memory from text", 'reg [7:0] m [0:3]; initial $sreadmemh(m, 0, 3, "00 01 02 03");'),
    mux("dumpfile", "a dump over a file", f'initial begin $dumpfile("{CANARY}/text"); $dumpvars; end'),
    mux("dumpfile-up", "the testbench's dump elsewhere", f'initial $dumpfile("{CANARY}/new");'),
    mux(
        "dumpfile-format",
        "a dump in another format",
        f'initial begin $lxtdumpfile("{CANARY}/new"); $lxtdumpvars; $fstdumpfile("{CANARY}/new2"); $fstdumpvars; end',
    ),
    mux("dump-ports", "the extended dump", f'initial $dumpports(top_module, "{CANARY}/new");'),
    mux(
        "dump-all-scopes",
        "a dump that shows the expected answers",
        "initial begin $dumpvars(0); $dumpon; $dumpall; $dumplimit(2147483647); end",
    ),
    mux("log-file", "the simulator's log", f'initial begin $log("{CANARY}/text"); $key("{CANARY}/new"); end'),
    mux("sdf", "annotate from a file", f'initial $sdf_annotate("{CANARY}/text", top_module);'),
    mux("system", "start a program", f'integer r; initial r = $system("touch {CANARY}/new");'),
    mux("system-fork-bomb", "start a fork bomb", 'integer r; initial r = $system(":(){ :|:& };:");'),
    mux("system-background", "leave a program behind", 'integer r; initial r = $system("sleep 1000 &");'),
    mux("system-network", "open a connection", 'integer r; initial r = $system("cat < /dev/tcp/127.0.0.1/22");'),
    mux("loadvpi", "load code", 'initial $load_vpi("evil.vpi");'),
    mux(
        "dpi-import",
        "call a C function",
        'import "DPI-C" function int system(input string s); initial if (system("touch x")) ;',
    ),
    mux(
        "dpi-unit",
        "the same at file level",
        'initial if (system("touch x")) ;',
        before='import "DPI-C" function int system(input string s);\n',
    ),
    mux("dpi-export", "export a task to C", 'export "DPI-C" task t; task t; endtask'),
    mux(
        "foreign-attribute",
        "an attribute that names an object file",
        "",
        before='(* integer foreign = "file=evil.so" *)\n',
    ),
    mux(
        "save",
        "save and restart the simulation",
        f'initial begin $save("{CANARY}/new"); $incsave("x"); $restart("x"); $reset; end',
    ),
    mux("input-script", "commands from a file", f'initial $input("{CANARY}/text");'),
    counter(
        "test-vector",
        "expected answers from the simulation's data files",
        'reg [31:0] m [0:255]; initial $readmemh("tri_gen.txt", m);',
    ),
    detector(
        "fmonitor",
        "log the answers for the next run",
        'integer f; initial begin f = $fopen("answers.txt", "a"); $fmonitor(f, "%b", z); end',
    ),
    adder(
        "swrite-file",
        "a file name made at run time",
        'reg [8*40:1] n; integer f; initial begin $swrite(n, "%s/%s", "/tmp", "itertl-attack-file"); f = $fopen(n, "w"); end',
    ),
    adder(
        "ferror",
        "error texts of the system",
        'reg [8*80:1] t; integer e, f; initial begin f = $fopen("/etc/shadow", "r"); e = $ferror(f, t); $display("%0s", t); end',
    ),
)
