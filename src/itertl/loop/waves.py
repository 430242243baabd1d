"""Waveforms of the report's examples and of wrong answers, simulated once the run is done: its ``waves.jsonl``.

Of wrong answers, the first ``MOST_WRONG`` in the order in which a page keeps answers (``report.embed``): held-out ones
before training candidates, those of the last model first. One text on one problem is simulated once.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from itertl.records import Candidate, EvalRow, Scored, Verdict
from itertl.report import embed, gallery, waveform
from itertl.report.catalogue import Answer, Catalogue, candidate_place, read_catalogue
from itertl.report.gallery import BeforeAfter
from itertl.runs import storage
from itertl.runs.read import read_run
from itertl.runs.waves import FILE, Wave
from itertl.scoring.candidates import item_of
from itertl.scoring.item import ScoreItem
from itertl.work.pool import map_unordered

BEFORE, AFTER = 15, 4  # steps
MOST_WRONG = 60
_TIMEOUT_S = 60.0
_Place = tuple[str, str, str]  # benchmark, task, hash of the text


def write_waves(folder: Path) -> str:
    """Simulate examples and wrong answers whose problem has a reference, and whose code compiles and has its ports.

    Returns, for a terminal, the first design that the run won, with its waveform; "" where there is none.
    """
    run = read_run(folder)
    examples = gallery.examples(run)[0]
    asked = dict(_examples(examples))
    most = len(asked) + MOST_WRONG
    for place, item in _wrong(read_catalogue([run])):
        if len(asked) >= most:
            break
        asked.setdefault(place, item)
    places = list(asked)
    tasks = [(item, BEFORE, AFTER) for item in asked.values()]
    found: dict[int, Wave] = {}
    for number, done in map_unordered("itertl.scoring.vectors.vcd:look", tasks, timeout_s=_TIMEOUT_S):
        if done.status == "ok":
            place = dict(zip(("benchmark", "task_id", "completion_hash"), places[number], strict=True))
            found[number] = done.value.model_copy(update=place)
    waves = [found[number] for number in sorted(found)]
    storage.write_records(folder / FILE, waves)
    return _won(examples, waves)


def _examples(examples: Sequence[BeforeAfter]) -> Iterator[tuple[_Place, ScoreItem]]:
    for example in examples:
        if example.problem is None or example.problem.reference is None:
            continue
        for candidate, row in (example.before, example.after):
            if candidate.code:
                place = (example.benchmark, row.task_id, row.completion_hash)
                yield place, item_of(candidate, example.problem)


def _wrong(catalogue: Catalogue) -> Iterator[tuple[_Place, ScoreItem]]:
    for number in embed.by_worth(catalogue):
        answer = catalogue.answers[number]
        problem = catalogue.tasks[answer.task].problem
        if answer.verdict == Verdict.WRONG_OUTPUT and problem is not None and problem.reference is not None:
            candidate, place = _read(answer)
            if candidate.code:
                yield place, item_of(candidate, problem)


def _read(answer: Answer) -> tuple[Candidate, _Place]:
    """What was answered, and the place under which a page looks for its wave."""
    if answer.row is not None:
        row = answer.row.read(EvalRow)
        return answer.text.read(Candidate), (row.benchmark, row.task_id, row.completion_hash)
    candidate = answer.text.read(Scored).candidate
    return candidate, candidate_place(candidate)


def _won(examples: Sequence[BeforeAfter], waves: Sequence[Wave]) -> str:
    drawn = {(wave.benchmark, wave.task_id, wave.completion_hash): wave for wave in waves}
    for example in examples:
        candidate, row = example.after
        wave = drawn.get((example.benchmark, row.task_id, row.completion_hash))
        if example.kind == "won" and wave is not None and example.problem is not None:
            asked = " ".join(example.problem.instruction.split())
            return f"{asked}\n\n{candidate.code.strip()}\n\n{waveform.text(wave)}"
    return ""
