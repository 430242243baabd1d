"""Waveforms of the report's examples, simulated once the run is done: ``waves.jsonl`` in its folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from itertl.records import EvalRow
from itertl.report import gallery, waveform
from itertl.report.gallery import BeforeAfter
from itertl.runs import storage
from itertl.runs.read import read_run
from itertl.runs.waves import FILE, Wave
from itertl.scoring.candidates import item_of
from itertl.scoring.item import ScoreItem
from itertl.work.pool import map_unordered

BEFORE, AFTER = 15, 4  # steps
_TIMEOUT_S = 60.0


def write_waves(folder: Path) -> str:
    """Simulate the examples whose problem has a reference, and whose code compiles and has its ports.

    Returns, for a terminal, the first design that the run won, with its waveform; "" where there is none.
    """
    examples = gallery.examples(read_run(folder))[0]
    asked = list(_asked(examples))
    tasks = [(item, BEFORE, AFTER) for item, _, _ in asked]
    found: dict[int, Wave] = {}
    for number, done in map_unordered("itertl.scoring.vectors.vcd:look", tasks, timeout_s=_TIMEOUT_S):
        if done.status == "ok":
            _, benchmark, row = asked[number]
            place = {"benchmark": benchmark, "task_id": row.task_id, "completion_hash": row.completion_hash}
            found[number] = done.value.model_copy(update=place)
    waves = [found[number] for number in sorted(found)]
    storage.write_records(folder / FILE, waves)
    return _won(examples, waves)


def _asked(examples: Sequence[BeforeAfter]) -> Iterator[tuple[ScoreItem, str, EvalRow]]:
    """What to simulate, its benchmark, and the row of its verdict; an answer that stayed the same once."""
    seen: set[tuple[str, str, str]] = set()
    for example in examples:
        if example.problem is None or example.problem.reference is None:
            continue
        for candidate, row in (example.before, example.after):
            place = (example.benchmark, row.task_id, row.completion_hash)
            if candidate.code and place not in seen:
                seen.add(place)
                yield item_of(candidate, example.problem), example.benchmark, row


def _won(examples: Sequence[BeforeAfter], waves: Sequence[Wave]) -> str:
    drawn = {(wave.benchmark, wave.task_id, wave.completion_hash): wave for wave in waves}
    for example in examples:
        candidate, row = example.after
        wave = drawn.get((example.benchmark, row.task_id, row.completion_hash))
        if example.kind == "won" and wave is not None and example.problem is not None:
            asked = " ".join(example.problem.instruction.split())
            return f"{asked}\n\n{candidate.code.strip()}\n\n{waveform.text(wave)}"
    return ""
