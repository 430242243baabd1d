"""The testbench: it applies a list of words to the inputs of one design and prints its outputs after each.

It knows nothing of the design but its ports, and nothing of what is right. Names and nonce are drawn for each run (64
and 128 bits): a line that does not begin with the nonce is printed by the design. Each input is behind a one-way net.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from itertl.judging.outcomes import Judgement, compile_failure, cut, first_error, limit_or_kill
from itertl.records import Verdict
from itertl.sandbox.sandbox import Limits
from itertl.scoring.interface import Interface
from itertl.scoring.lowering import lowered
from itertl.scoring.vectors.delays import STEP_NS
from itertl.scoring.vectors.stimulus import Stimulus
from itertl.tools import icarus

WORDS_FILE, SKIPS_FILE = "words.hex", "skips.hex"
COMPILE_LIMITS = Limits(wall_s=20, cpu_s=5, memory_mb=2048, file_mb=64)
RUN_LIMITS = Limits(wall_s=20, cpu_s=3, memory_mb=2048, file_mb=64, output_kb=1024)


@dataclass(frozen=True, slots=True)
class Samples:
    """What a run printed. ``outputs[i]``: all outputs after step i in binary, the last port first; ``stopped``: why the
    run is not complete."""

    stopped: Judgement | None
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """A stimulus made ready for designs of an interface: what all candidates of a problem share."""

    interface: Interface
    steps: int
    clock: int  # mask of the clock of skipped cycles
    step: int  # nanoseconds from one step to the next
    files: Mapping[str, str]  # what the testbench reads

    @property
    def width(self) -> int:
        """Bits of a sample."""
        return sum(port.width for port in self.interface.outputs)


def prepare(stimulus: Stimulus, interface: Interface, step: int = STEP_NS) -> Bench:
    """Write the words and skips as files for ``$readmemh``."""
    digits = -(-max(1, sum(port.width for port in interface.inputs)) // 4)
    files = {WORDS_FILE: "".join(f"{word:0{digits}x}\n" for word in stimulus.words)}
    if stimulus.skips:
        files[SKIPS_FILE] = "".join(f"{skip:x}\n" for skip in stimulus.skips)
    return Bench(interface, len(stimulus.words), stimulus.clock, step, files)


def run(
    design: str, bench: Bench, parameters: Mapping[str, int] | None = None, cpu_s: int = RUN_LIMITS.cpu_s
) -> Samples:
    """Simulate a text that the gate let through and that has the bench's ports, for at most ``cpu_s`` of processor
    time.

    ``parameters`` of the design's top module are set to these values. Raises ToolMissing.
    """
    nonce, width, steps = secrets.token_hex(16), bench.width, bench.steps
    limits = replace(RUN_LIMITS, cpu_s=cpu_s, output_kb=1024 + (steps * (width + len(nonce) + 1) >> 10))
    done = _simulate(design, bench, parameters or {}, nonce, limits, scanned=0)
    ran = done.ran
    if ran is None or done.compiled.returncode != 0:
        return Samples(compile_failure(done.compiled))
    stopped = limit_or_kill(ran)
    outputs = tuple(part[:width] for part in ran.stdout.split(nonce)[1:])
    if stopped is None and ran.returncode != 0:
        why = first_error(ran.stderr or ran.stdout)
        verdict = Verdict.UNDECIDED if icarus.BROKE.search(ran.stderr) else Verdict.RUNTIME_ERROR
        stopped = verdict, cut(f"the simulator ended with status {ran.returncode}: {why}")
    elif stopped is None and (len(outputs) != steps or any(len(sample) != width for sample in outputs[-1:])):
        stopped = Verdict.RUNTIME_ERROR, f"{len(outputs)} samples of {steps}: the simulation ended early or late"
    return Samples(stopped, outputs)


def scan(design: str, bench: Bench, mask: int, most_kb: int) -> list[tuple[int, int, str]] | None:
    """(step, cycle, outputs) of every change of an output bit of ``mask`` in skipped cycles, for a design that is
    trusted.

    The outputs before the first cycle are given as cycle -1. None where the run did not come to its end or printed more
    than ``most_kb``.
    """
    nonce = secrets.token_hex(4)
    ran = _simulate(design, bench, {}, nonce, replace(RUN_LIMITS, output_kb=most_kb), scanned=mask).ran
    if ran is None or ran.returncode != 0 or ran.timed_out or ran.flooded:
        return None
    lines = (part.split() for part in ran.stdout.split(nonce)[1:])
    return [(int(words[0]), int(words[1]), words[2]) for words in lines if len(words) == 3]


def _simulate(
    design: str, bench: Bench, parameters: Mapping[str, int], nonce: str, limits: Limits, *, scanned: int
) -> icarus.Simulation:
    """What Icarus cannot compile though slang elaborates it is run as what it is written as in plain Verilog, where
    that is possible."""
    top = f"n{secrets.token_hex(8)}"
    bench_text = _render(bench, parameters, top, nonce, scanned)

    def simulate(text: str) -> icarus.Simulation:
        return icarus.simulate(
            {"tb.sv": bench_text, "design.sv": text},
            top=top, data_files=bench.files, dump=False, is_expanded=True, limits=(COMPILE_LIMITS, limits),
        )  # fmt: skip

    if "foreach" in design:  # Icarus 11 walks a descending range upwards, and the standard (12.7.3) from its left bound
        design = lowered(design, bench.interface.top, parameters) or design
    done = simulate(design)
    if (done.ran is None or done.compiled.returncode != 0) and icarus.LACKS.match(compile_failure(done.compiled)[1]):
        other = lowered(design, bench.interface.top, parameters)
        again = simulate(other) if other is not None else done
        return again if again.ran is not None and again.compiled.returncode == 0 else done
    return done


def _render(bench: Bench, parameters: Mapping[str, int], top: str, nonce: str, scanned: int) -> str:
    """The testbench's text. ``scanned``: bits of the outputs whose changes in skipped cycles it prints, in place of
    samples."""
    interface, steps = bench.interface, bench.steps
    width = max(1, sum(port.width for port in interface.inputs))
    n = f"n{secrets.token_hex(8)}"
    nets: list[str] = []
    links: list[str] = []
    at = 0
    for number, port in enumerate(interface.inputs):
        nets.append(f"  wire [{port.width - 1}:0] {n}_i{number} = {n}_word[{at} +: {port.width}];")
        links.append(f".\\{port.name} ({n}_i{number})")
        at += port.width
    for number, port in enumerate(interface.outputs):
        nets.append(f"  wire [{port.width - 1}:0] {n}_o{number};")
        links.append(f".\\{port.name} ({n}_o{number})")
    outputs = "{" + ", ".join(f"{n}_o{number}" for number in reversed(range(len(interface.outputs)))) + "}"
    values = ", ".join(f".\\{name} ({value})" for name, value in parameters.items())
    sample = f'#{bench.step} $display("{nonce}%b", {outputs});' if not scanned else f"#{bench.step};"
    return "\n".join([
        "`timescale 1ns/1ps", f"module {top};", f"  reg [{width - 1}:0] {n}_word, {n}_words [0:{steps - 1}];",
        f"  reg [31:0] {n}_skips [0:{steps - 1}];", f"  reg [{bench.width - 1}:0] {n}_last;",
        f"  integer {n}_step, {n}_skip;", *nets,
        f"  \\{interface.top} {f'#({values}) ' if values else ''}{n}_dut ({', '.join(links)});",
        "  initial begin", f'    $readmemh("{WORDS_FILE}", {n}_words);',
        *([f'    $readmemh("{SKIPS_FILE}", {n}_skips);'] if SKIPS_FILE in bench.files else []),
        f"    for ({n}_step = 0; {n}_step < {steps}; {n}_step = {n}_step + 1) begin",
        *(_skipping(n, bench, nonce, outputs, scanned) if SKIPS_FILE in bench.files else []),
        f"      {n}_word = {n}_words[{n}_step];", f"      {sample}",
        "    end", "    $finish;", "  end", "endmodule", "`default_nettype wire", "",
    ])  # fmt: skip


def _skipping(n: str, bench: Bench, nonce: str, outputs: str, scanned: int) -> list[str]:
    turn = f"{n}_word = {n}_word ^ {bench.clock.bit_length()}'h{bench.clock:x}; #{bench.step};"
    if not scanned:
        return [f"      repeat ({n}_skips[{n}_step]) begin {turn} {turn} end"]
    say = f'$display("{nonce} %0d %0d %b", {n}_step, {n}_skip, {n}_last);'
    return [
        f"      {n}_skip = -1;", f"      {n}_last = {outputs};", f"      if ({n}_skips[{n}_step] > 0) {say}",
        f"      for ({n}_skip = 0; {n}_skip < {n}_skips[{n}_step]; {n}_skip = {n}_skip + 1) begin", f"        {turn}",
        f"        if ((({n}_last ^ {outputs}) & {bench.width}'h{scanned:x}) !== 0) begin",
        f"          {n}_last = {outputs};",
        f"          {say}", "        end", f"        {turn}", "      end",
    ]  # fmt: skip
