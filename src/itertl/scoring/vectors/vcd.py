"""The first mismatch as a small VCD: inputs, and both designs' outputs, in the steps around it; made on request."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from itertl.errors import DataError
from itertl.judging import gate
from itertl.runs.storage import write_text
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors import outcome, testbench
from itertl.scoring.vectors.mismatch import split_inputs, split_outputs
from itertl.scoring.vectors.oracle import Oracle, ReferenceRun, consult
from itertl.scoring.vectors.score import seed
from itertl.verilog.header import derive_top

BEFORE, AFTER = 32, 8  # steps


def write_vcd(item: ScoreItem, path: Path) -> bool:
    """Simulate again, and write what happens from ``BEFORE`` steps before the first mismatch to ``AFTER`` steps after
    it.

    Scopes ``inputs``, ``candidate``, ``reference``; one step is one unit of time. False, and no file, where there is no
    mismatch. Raises DataError where there is nothing to compare (no reference that serves, a candidate refused or
    without the reference's ports, a run that did not come to its end), ToolMissing.
    """
    for run, outputs in replayed(item):
        first = outcome.compare(run.expected, outputs).first
        if first is not None:
            steps = range(max(0, first - BEFORE), min(len(outputs), first + AFTER + 1))
            write_text(path, _vcd(run, outputs, steps, first))
            return True
    return False


def draw(task: tuple[ScoreItem, str]) -> bool:
    """``write_vcd`` in a worker, for it runs tools on the text."""
    item, path = task
    return write_vcd(item, Path(path))


def replayed(item: ScoreItem) -> Iterator[tuple[ReferenceRun, tuple[str, ...]]]:
    """Each run of the reference with the candidate's outputs. Raises DataError where there is nothing to compare."""
    top = item.top or derive_top(item.reference or "") or ""
    oracle = consult(item.reference or "", top, seed())
    if not isinstance(oracle, Oracle):
        raise DataError(oracle.reason)
    found = gate.examine(item.code, top, with_variants=True)
    if isinstance(found, gate.Refusal):
        raise DataError(f"the candidate is refused: {found.verdict}: {found.detail}")
    for run in oracle.runs:
        done = testbench.run(found.text, run.bench, run.parameters)
        if done.stopped is not None:
            raise DataError(f"the candidate's run has no samples: {done.stopped[0]}: {done.stopped[1]}")
        yield run, done.outputs


def _vcd(run: ReferenceRun, outputs: Sequence[str], steps: range, first: int) -> str:
    seen = run.interface
    scopes = {"inputs": seen.inputs, "candidate": seen.outputs, "reference": seen.outputs}
    variables = [(scope, port.name) for scope, ports in scopes.items() for port in ports]
    codes = {variable: _code(number) for number, variable in enumerate(variables)}
    lines = [f"$comment first mismatch at step {first} $end", "$timescale 1ns $end"]
    for scope, ports in scopes.items():
        lines.append(f"$scope module {scope} $end")
        lines += [f"$var wire {port.width} {codes[scope, port.name]} {port.name} $end" for port in ports]
        lines.append("$upscope $end")
    lines.append("$enddefinitions $end")
    last: dict[tuple[str, str], str] = {}
    for step in steps:
        now = {("inputs", port.name): f"{value:0{port.width}b}" for port, value in split_inputs(run, step)}
        for side, text in (("candidate", outputs[step]), ("reference", run.outputs[step])):
            now |= {(side, name): bits for name, bits in split_outputs(run, text).items()}
        lines.append(f"#{step}")
        lines += [
            f"{bits}{codes[key]}" if len(bits) == 1 else f"b{bits} {codes[key]}"
            for key, bits in now.items()
            if last.get(key) != bits
        ]
        last = now
    return "\n".join([*lines, f"#{steps.stop}", ""])


def _code(number: int) -> str:
    """The identifier code of the n-th variable: printable characters, as VCD wants it."""
    text = ""
    while True:
        number, digit = divmod(number, 94)
        text += chr(33 + digit)
        if number == 0:
            return text
