"""Golden references, independently written equal ones, and one-point mutants of them that compile."""

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.evaluation.benchmarks import load, task_id
from itertl.judging import gate
from itertl.records import Verdict
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.synth.generate import generate
from itertl.synth.mutants import CLASSES, Mutant, mutants
from itertl.work.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Golden:
    """One reference: ``text`` is what the gate prints of it."""

    name: str
    top: str
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """A mutant of a reference."""

    golden: Golden
    mutant: Mutant

    @property
    def item(self) -> ScoreItem:
        return ScoreItem(self.mutant.text, "", self.golden.text, self.golden.top)


def references(data: Path, count: int, seed: int) -> list[Golden]:
    """``count`` references: two thirds of VerilogEval where ``data`` holds it, the rest of the bundled generator."""
    found: list[Golden] = []
    if (data / "verilogeval_v1_human.jsonl").exists():
        problems = load("verilogeval-v1-human", data).problems
        found = [g for p in problems if (g := _golden(task_id(p), p.reference, p.top)) is not None]
        random.Random(derive_seed(seed, "references")).shuffle(found)
        found = found[: count * 2 // 3]
    needed = count - len(found)
    made = (_golden(f"synth:{p.family}:{p.id}", p.reference, p.top) for p in generate(seed, 2 * needed + 20))
    return found + list(itertools.islice((g for g in made if g is not None), needed))


def _golden(name: str, reference: str | None, top: str | None) -> Golden | None:
    design = gate.examine(reference or "", top or "")
    return Golden(name, design.top, design.text) if isinstance(design, gate.Design) else None


def rewritten(data: Path) -> list[tuple[str, ScoreItem]]:
    """VerilogEval v2's reference of each problem as a candidate against v1's; none where the files are absent."""
    folder = data / "upstream" / "verilog-eval-v2"
    if not folder.is_dir() or not (data / "verilogeval_v1_human.jsonl").exists():
        return []
    first = {task_id(p): p for p in load("verilogeval-v1-human", data).problems}
    found: list[tuple[str, ScoreItem]] = []
    for problem in load("verilogeval-v2-spec-to-rtl", folder).problems:
        name = task_id(problem).split("_", 1)[1]
        if name in first:
            code = re.sub(r"\bTopModule\b", "top_module", problem.reference or "")
            found.append((name, ScoreItem(code, "", first[name].reference, "top_module")))
    return found


def draw(goldens: Sequence[Golden], count: int, seed: int) -> list[Case]:
    """Mutants in the order in which they are to be used: the classes in turn, the references in turn.

    About a third more than ``count``, for some do not compile.
    """
    sources = [_in_turn(golden, seed, number) for number, golden in enumerate(goldens)]
    wanted, drawn = count + count // 3 + 20, list[Case]()
    while sources and len(drawn) < wanted:
        rows = [(source, next(source, None)) for source in sources]
        drawn += [case for _, case in rows if case is not None]
        sources = [source for source, case in rows if case is not None]
    return drawn[:wanted]


def _in_turn(golden: Golden, seed: int, number: int) -> Iterator[Case]:
    """All mutants of one reference: one of each class it has, then again; beginning with another class each time."""
    rng = random.Random(derive_seed(seed, "mutants", golden.name))
    first = number % len(CLASSES)
    classes = (*CLASSES[first:], *CLASSES[:first])
    return (Case(golden, mutant) for mutant in mutants(golden.text, rng, classes))


def compiling(cases: Sequence[Case], count: int, num_workers: int, cache: Path | None) -> list[Case]:
    """The first ``count`` that gate and Icarus take."""
    rows = score_items(
        [case.item for case in cases], ["syntax", "ast", "icarus"], effort=Effort(num_workers=num_workers, cache=cache)
    )
    good = [
        c for c, row in zip(cases, rows, strict=True) if all(s.verdict in (Verdict.PASSED, Verdict.SCORED) for s in row)
    ]
    return good[:count]
