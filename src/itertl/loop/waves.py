"""Waveforms of the report's examples, simulated once the run is done: ``waves.jsonl`` in its folder."""

from collections.abc import Iterator
from pathlib import Path

from itertl.records import Candidate, Problem
from itertl.report import gallery, waveform
from itertl.runs import storage
from itertl.runs.read import read_run
from itertl.runs.waves import FILE, Wave, read_waves
from itertl.scoring.candidates import item_of
from itertl.work.pool import map_unordered

BEFORE, AFTER = 15, 4  # steps
_TIMEOUT_S = 60.0


def write_waves(folder: Path) -> None:
    """Simulate the examples whose problem has a reference, and whose code compiles and has its ports."""
    asked = list(_asked(folder))
    tasks = [(item_of(candidate, problem), BEFORE, AFTER) for _, candidate, problem in asked]
    found: dict[int, Wave] = {}
    for number, done in map_unordered("itertl.scoring.vectors.vcd:look", tasks, timeout_s=_TIMEOUT_S):
        if done.status == "ok":
            found[number] = done.value.model_copy(update=asked[number][0])
    storage.write_records(folder / FILE, [found[number] for number in sorted(found)])


def shown(folder: Path) -> str:
    """For a terminal: the first design that the run won, with its waveform; "" where none was."""
    waves = {(w.benchmark, w.task_id, w.iterations): w for w in read_waves(folder)}
    for example in gallery.examples(read_run(folder))[0]:
        wave = waves.get((example.benchmark, example.task_id, example.iterations))
        if example.kind == "won" and wave is not None and example.problem is not None:
            asked = " ".join(example.problem.instruction.split())
            return f"{asked}\n\n{example.after[0].code.strip()}\n\n{waveform.text(wave)}"
    return ""


def _asked(folder: Path) -> Iterator[tuple[dict[str, object], Candidate, Problem]]:
    for example in gallery.examples(read_run(folder))[0]:
        if example.problem is None or example.problem.reference is None:
            continue
        for iterations, (candidate, _) in ((0, example.before), (example.iterations, example.after)):
            place = {"benchmark": example.benchmark, "task_id": example.task_id, "iterations": iterations}
            if candidate.code:
                yield place, candidate, example.problem
