"""What the simulator is, by what it answers: two builds that call themselves the same need not answer the same.

Each probe is a few lines on which simulators, or versions of one, are known to differ: constructs that some refuse, and
values that the standard leaves open or that have been wrong. The hash is over the answers alone (what was printed, or
that it did not compile or run), never over messages, so that the same build gives the same hash on every machine. Equal
hashes do not prove equal simulators.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from itertl.records import content_hash
from itertl.tools import icarus
from itertl.tools.icarus import Simulation

PROBES: Mapping[str, str] = {
    "break": "integer i; initial begin for (i = 0; i < 9; i = i + 1) if (i == 3) break; $display(i); end",
    "bit select of a result": 'wire [3:0] w = 4\'b1010; initial #1 $display("%b", {w + 1}[2:1]);',
    "division by zero": 'reg [3:0] a = 7, b = 0; initial $display("%b %b", a / b, a % b);',
    "enum": 'typedef enum logic [1:0] {A, B = 2} t; t e = B; initial $display("%0d %s", e, e.name());',
    "foreach": "int a[3]; int s; initial begin foreach (a[i]) a[i] = i * i; s = a[0] + a[1] + a[2]; $display(s); end",
    "inside": 'reg [3:0] a = 5; initial $display("%b", a inside {1, [4:6]});',
    "interface": (
        "interface bus; logic v; endinterface\nmodule probe; bus b(); initial begin b.v = 1; $display(b.v); end"
    ),
    "order of processes": 'reg a = 0; always @(a) $display("p"); always @(a) $display("q"); initial #1 a = 1;',
    "power": 'initial $display("%0d %0d %0d", 2 ** -1, (-2) ** 3, 0 ** 0);',
    "queue": "int q[$]; initial begin q.push_back(4); q.push_front(2); $display(q.size(), q[0]); end",
    "random": 'integer s = 7; initial $display("%0d %0d", $random(s), $urandom % 1);',
    "real": 'initial $display("%g %0d %0d", 1.0 / 3, $rtoi(-2.5), $clog2(5));',
    "signed shift": 'reg signed [7:0] a = -7; initial $display("%b %b", a >>> 1, $unsigned(a) >>> 1);',
    "size of an expression": 'reg [3:0] a = 15, b = 1; initial $display("%0d %0d", a + b, {a + b});',
    "streaming": 'reg [7:0] a = 8\'hd2; reg [7:0] b; initial begin b = {<<{a}}; $display("%b", b); end',
    "string": 'string s = "ab"; initial begin s = {s, "c"}; $display("%s %0d", s, s.len()); end',
    "struct": 'typedef struct packed {logic [1:0] x; logic y;} t; t v = 3\'b101; initial $display("%b %b", v.x, v.y);',
    "unique case": 'reg [1:0] a = 3; initial unique case (a) 0: $display("0"); 1: $display("1"); endcase',
    "unknown condition": (
        'reg a; initial begin if (a) $display("t"); else $display("f"); $display("%b", a ? 2\'b10 : 2\'b11); end'
    ),
    "unpacked array port": "sub s(.a('{1, 2})); endmodule\nmodule sub(input int a[2]); initial #1 $display(a[1]);",
    "unsized constant": "initial $display(\"%b %b\", 'bx, 'hz);",
    "zero replication": "initial $display(\"%b\", {{0{1'b1}}, 2'b01});",
}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Example: ``Fingerprint("/usr/bin/iverilog", "Icarus Verilog 11.0", "9c1e…", {"break": "refused", …})``."""

    program: str
    version: str
    hash: str  # of the answers, 12 hexadecimal digits
    answers: dict[str, str]  # probe -> what it printed, "refused", or "failed"


def fingerprint(simulate: Callable[..., Simulation] = icarus.simulate) -> Fingerprint:
    """Ask Icarus every probe. Raises ToolMissing."""
    answers = {name: _answer(simulate({"probe.sv": _module(text)}, top="probe")) for name, text in PROBES.items()}
    return Fingerprint(icarus.find(), icarus.version(), content_hash(answers, 12), answers)


def _module(text: str) -> str:
    return (text if "module probe" in text else f"module probe; {text}") + "\nendmodule\n"


def _answer(done: Simulation) -> str:
    if done.ran is None:
        return "refused"
    return "failed" if done.ran.returncode != 0 else done.ran.stdout.strip()
