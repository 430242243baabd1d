"""Descriptions of existing modules, each proven by its way back: the teacher writes the code of it again, and that must
be equal to the original.

(Descriptions at two levels: M. Liu et al., "VerilogEval", 2023, arXiv:2309.07544; the round trip: CodeV-R1.) Equal is
what the scorer ``vectors`` finds equal and ``equivalence`` proves, as in distillation. The pair's reference is the
original; a description of which no answer is proven is dropped, for it, or the teacher, may be wrong.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from itertl.errors import DataError
from itertl.records import Examined, Fault, Problem, Verdict
from itertl.search.best_of import Proven
from itertl.search.strategy import RIGHT, Ask, Drawn
from itertl.writing import fields, prompts
from itertl.writing.draft import OURS, Draft, Funnel, in_running
from itertl.writing.filters import by_tools
from itertl.writing.flow import Rounds, Task, existing, finish
from itertl.writing.teacher import Teacher, opened

_STEPS = ("parse", "elaborate", "sound", "answer", "length", "duplicate", "code", "round trip")


def describe(task: Task, sources: Sequence[str], levels: Sequence[str]) -> tuple[dict[str, Any], Funnel]:
    """Write the proven descriptions of the modules of all sources into ``task.out``; the account, and the funnel.

    A call that was stopped goes on from its journal. Raises DataError where no source has code, and for a benchmark.
    """
    problems: dict[str, Problem] = {}
    skipped = Counter[str]()
    for source in sources:
        loaded = existing(task.recipe, source, "data describe")
        skipped.update(loaded.skipped)
        problems |= {p.id: p for p in loaded.problems}
    originals = [p for p in problems.values() if p.reference]
    skipped["without code to describe"] += len(problems) - len(originals)
    if not originals:
        raise DataError(f"{', '.join(sources)}: holds no code to describe; give Verilog, or pairs with references")
    drafts = [_draft(p, level) for p in originals for level in levels]
    with task.reporter.stage("describe", 0) as tracker, opened(task.recipe, task.out, task.budget, tracker) as teacher:
        by_tools(drafts, task.effort, tracker.advance)
        begun = _asked(task, teacher, drafts)
        teacher.rest()
        _round_trip(in_running(begun), task)
        more = {"modules": len(originals), "skipped": dict(+skipped)}
        more |= {"asked": len(drafts), "not_begun": len(drafts) - len(begun)}
        funnel = Funnel(f"Modules described by {task.recipe.model.path}", begun, _STEPS)
        return finish(task, teacher, {d.name: _row(d) for d in in_running(begun)}, funnel, more)


def _draft(original: Problem, level: str) -> Draft:
    about = {
        "level": level, "of_problem": original.id, "of_source": original.source, "of_upstream_id": original.upstream_id
    }  # fmt: skip
    return Draft(
        f"{level}/{original.id}", f"describe-{level}", (original.id,), about, header=original.header, top=original.top,
        codes=[original.reference or ""], original=original,
    )  # fmt: skip


def _asked(task: Task, teacher: Teacher, drafts: Sequence[Draft]) -> list[Draft]:
    """Ask for descriptions and their code, round by round; the drafts but for those that the budget left out."""
    rounds = Rounds(task, teacher, prompts.DESCRIPTION, _read)
    sound, size = in_running(drafts), task.recipe.sample.batch_size
    planned = [(d, prompts.description(d.codes[0], str(d.about["level"]), n)) for n, d in enumerate(sound)]
    begun = {d.name for at in range(0, len(sound), size) for d in rounds.take(planned[at : at + size])}
    late = {d.name for d in sound} - begun
    return [draft for draft in drafts if draft.name not in late]


def _read(drafts: Sequence[Draft]) -> None:
    """The descriptions of the answers."""
    for draft in drafts:
        candidate = draft.draws[0][0]
        said, lacks = fields.description(candidate.text)
        if candidate.is_cut or lacks:
            draft.drop("answer", "cut off" if candidate.is_cut else lacks)
        else:
            draft.instruction = said
            draft.passed.append("answer")


def _round_trip(drafts: Sequence[Draft], task: Task) -> None:
    """Keep the drafts of which an answer is proven equal to the original."""
    drawn = [
        Drawn(draft.original, candidate, Ask(1), ())
        for draft in drafts
        for candidate, _ in draft.draws[1:]
        if draft.original is not None and candidate.code in draft.codes
    ]
    examined = iter(Proven(task.answers).examine(drawn, task.effort) if drawn else ())
    for draft in drafts:
        said = [next(examined) for candidate, _ in draft.draws[1:] if candidate.code in draft.codes]
        best = max(said, key=lambda one: one.rank)
        draft.about["right"] = [sum(one.rank >= RIGHT for one in said), len(draft.draws) - 1]
        if best.rank >= RIGHT:
            draft.passed.append("round trip")
        else:
            draft.drop("round trip", _not_proven(best), best.message)


def _not_proven(said: Examined) -> str:
    if said.verdict.fault is Fault.OURS:
        return f"{OURS}{said.verdict.value.replace('_', ' ')}"
    return {Verdict.WRONG_OUTPUT: "another function"}.get(said.verdict, said.verdict.value.replace("_", " "))


def _row(draft: Draft) -> Problem:
    """The original, asked for by its description."""
    assert draft.original is not None
    fields_of = draft.original.model_dump(exclude={"id", "instruction", "source"})
    return Problem.create(**fields_of, instruction=draft.instruction, source=f"describe:{draft.original.source}")
