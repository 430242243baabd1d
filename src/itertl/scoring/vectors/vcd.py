"""The first mismatch as a small VCD: inputs, and both designs' outputs, in the steps around it; made on request."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from itertl.errors import DataError
from itertl.judging import gate
from itertl.runs.storage import write_text
from itertl.runs.waves import Lane, Wave
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors import outcome, testbench
from itertl.scoring.vectors.mismatch import split_inputs, split_outputs
from itertl.scoring.vectors.oracle import Oracle, ReferenceRun, consult
from itertl.scoring.vectors.score import seed
from itertl.verilog.header import derive_top

BEFORE, AFTER = 32, 8  # steps


def wave_of(item: ScoreItem, before: int, after: int) -> Wave:
    """Simulate again, and give from ``before`` steps before the first mismatch to ``after`` steps after it; where there
    is none, as many steps from the beginning.

    Raises DataError where there is nothing to compare (no reference that serves, a candidate refused or without the
    reference's ports, a run that did not come to its end), ToolMissing.
    """
    seen: tuple[ReferenceRun, tuple[str, ...]] | None = None
    for run, outputs in replayed(item):
        seen = seen or (run, outputs)
        first = outcome.compare(run.expected, outputs).first
        if first is not None:
            return _wave(run, outputs, range(max(0, first - before), min(len(outputs), first + after + 1)), first)
    assert seen is not None  # every oracle has a run
    return _wave(*seen, range(min(len(seen[1]), before + after + 1)), None)


def look(task: tuple[ScoreItem, int, int]) -> Wave:
    """``wave_of`` in a worker, for it runs tools on the text."""
    return wave_of(*task)


def write_vcd(item: ScoreItem, path: Path) -> bool:
    """The steps around the first mismatch, in scopes ``inputs``, ``candidate``, ``reference``; one step is one unit of
    time. False, and no file, where there is no mismatch. Raises as ``wave_of``."""
    wave = wave_of(item, BEFORE, AFTER)
    if wave.mismatch is not None:
        write_text(path, _vcd(wave))
    return wave.mismatch is not None


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


def _wave(run: ReferenceRun, outputs: Sequence[str], steps: range, mismatch: int | None) -> Wave:
    words = [dict(split_inputs(run, step)) for step in steps]
    mine, its = ([split_outputs(run, texts[step]) for step in steps] for texts in (outputs, run.outputs))
    inputs = [
        Lane(name=p.name, width=p.width, got=tuple(f"{word[p]:0{p.width}b}" for word in words))
        for p in run.interface.inputs
    ]
    answers = [
        Lane(
            name=p.name, width=p.width, got=tuple(word[p.name] for word in mine),
            expected=tuple(word[p.name] for word in its),
        )
        for p in run.interface.outputs
    ]  # fmt: skip
    return Wave(first=steps.start, mismatch=mismatch, lanes=(*inputs, *answers))


def _vcd(wave: Wave) -> str:
    answers = [lane for lane in wave.lanes if lane.expected is not None]
    scopes = {"inputs": [lane for lane in wave.lanes if lane.expected is None], "candidate": answers}
    scopes["reference"] = [lane.model_copy(update={"got": lane.expected}) for lane in answers]
    shown = [(scope, lane) for scope, lanes in scopes.items() for lane in lanes]
    codes = {(scope, lane.name): _code(number) for number, (scope, lane) in enumerate(shown)}
    lines = [f"$comment first mismatch at step {wave.mismatch} $end", "$timescale 1ns $end"]
    for scope, lanes in scopes.items():
        lines.append(f"$scope module {scope} $end")
        lines += [f"$var wire {lane.width} {codes[scope, lane.name]} {lane.name} $end" for lane in lanes]
        lines.append("$upscope $end")
    lines.append("$enddefinitions $end")
    for at in range(wave.steps):
        lines.append(f"#{wave.first + at}")
        lines += [
            f"{lane.got[at]}{codes[scope, lane.name]}" if lane.width == 1
            else f"b{lane.got[at]} {codes[scope, lane.name]}"
            for scope, lane in shown
            if at == 0 or lane.got[at] != lane.got[at - 1]
        ]  # fmt: skip
    return "\n".join([*lines, f"#{wave.first + wave.steps}", ""])


def _code(number: int) -> str:
    """The identifier code of the n-th variable: printable characters, as VCD wants it."""
    text = ""
    while True:
        number, digit = divmod(number, 94)
        text += chr(33 + digit)
        if number == 0:
            return text
