"""Instructions that a teacher writes, and its code for them: RTLCoder's three stages, each filtered before the next.

(S. Liu et al., "RTLCoder", 2024, arXiv:2312.08617, section III.) Keywords by area give instructions, so does existing
code, and earlier instructions are changed into others; then the code is asked for. A round takes all stages, so that a
budget that ends leaves whole pairs. There is no original to compare with: of several answers to an instruction most
must behave alike, of one nothing says that it does what is asked.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itertl.config import Recipe
from itertl.errors import UsageError
from itertl.records import Problem
from itertl.runs.storage import write_json
from itertl.scoring.engine import Effort
from itertl.verilog.header import derive_top
from itertl.work.seeds import derive_seed
from itertl.writing import fields, prompts
from itertl.writing.draft import Draft, Funnel, in_running
from itertl.writing.filters import by_agreement, by_header, by_tools
from itertl.writing.flow import Rounds, Task, existing, finish
from itertl.writing.pool import Pool, grow
from itertl.writing.prompts import Question
from itertl.writing.teacher import opened


@dataclass(frozen=True, slots=True)
class Plan:
    """How many instructions are asked for, and what they are written from.

    ``mutate``: share of them that are changed from earlier ones, of which the first round has none and the next has
    more; the others come from keywords and, where ``sources`` of code are given, every second one from that. ``grow``:
    keywords that the teacher adds.
    """

    count: int
    pool: Pool
    sources: Sequence[str] = ()
    grow: int = 0
    mutate: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.mutate < 1:
            raise UsageError(f"--mutate {self.mutate}: give a share from 0 to below 1; the first come from keywords")


def keywords_file(out: Path) -> Path:
    """Where the pool lies that the teacher has added to."""
    return out.with_name(f"{out.stem}.keywords.json")


def write(task: Task, plan: Plan) -> tuple[dict[str, Any], Funnel]:
    """Write pairs into ``task.out``; the account of them, and the funnel.

    A call that was stopped goes on from its journal. Raises what the back end raises, and DataError for code that
    cannot be read.
    """
    codes = [p for source in plan.sources for p in existing(task.recipe, source, "data write").problems if p.reference]
    more: dict[str, Any] = {}
    with task.reporter.stage("write", 0) as tracker, opened(task.recipe, task.out, task.budget, tracker) as teacher:
        pool = plan.pool
        if plan.grow:
            pool = grow(pool, plan.grow, teacher, task.recipe.prompt, task.recipe.seed)
            write_json(keywords_file(task.out), pool)
            more["keywords_out"] = str(keywords_file(task.out))
        more["keywords"] = sum(map(len, pool.values()))
        more["keywords_added"] = more["keywords"] - sum(map(len, plan.pool.values()))
        rounds = Rounds(task, teacher, prompts.INSTRUCTION, lambda drafts: _read(drafts, task.effort))
        drafts = _Writer(plan, rounds, pool, codes).all()
        teacher.rest()
        steps = ["answer", "length", "duplicate", "code", "parse", "elaborate", "sound"]
        by_tools(in_running(drafts), task.effort, tracker.advance)
        if task.answers > 1:
            by_agreement(in_running(drafts), task.answers, task.effort)
            steps.append("agreement")
        more |= {"asked": plan.count, "not_begun": plan.count - len(drafts)}
        funnel = Funnel(f"Pairs written by {task.recipe.model.path}", drafts, steps)
        return finish(task, teacher, {d.name: _row(d) for d in in_running(drafts)}, funnel, more)


@dataclass(slots=True)
class _Writer:
    """The rounds of one call."""

    plan: Plan
    rounds: Rounds
    pool: Pool
    codes: Sequence[Problem]
    seeds: list[Draft] = field(default_factory=list[Draft])  # instructions that may be changed into others
    mutated: int = 0  # that were asked for so

    def all(self) -> list[Draft]:
        """Round by round until the count or the budget is reached."""
        drafts: list[Draft] = []
        keywords, codes = self._keywords(), self._codes()
        size = self._recipe.sample.batch_size
        while len(drafts) < self.plan.count and not self.rounds.teacher.is_spent:
            numbers = range(len(drafts), min(self.plan.count, len(drafts) + size))
            begun = self.rounds.take([self._planned(number, keywords, codes) for number in numbers])
            self.seeds += [draft for draft in begun if "duplicate" in draft.passed]  # whatever became of their code
            drafts += begun
        return drafts

    @property
    def _recipe(self) -> Recipe:
        return self.rounds.task.recipe

    def _planned(
        self, number: int, keywords: Iterator[tuple[str, str]], codes: Iterator[Problem]
    ) -> tuple[Draft, Question]:
        if self.seeds and self.mutated < self.plan.mutate * (number + 1):
            self.mutated += 1
            old = random.Random(derive_seed(self._recipe.seed, "mutation", number)).choice(self.seeds)
            question = prompts.by_mutation(old.instruction, old.header, old.top or "")
            return Draft(f"mutation/{number}", "mutation", (old.name,)), question
        if self.codes and number % 2:
            one = next(codes)
            about = {"of_source": one.source, "of_licence": one.licence}
            return Draft(f"code/{number}", "code", (one.id,), about), prompts.from_code(one.reference or "", number)
        area, keyword = next(keywords)
        about = {"area": area, "keyword": keyword}
        return Draft(f"keyword/{number}", "keyword", (), about), prompts.from_keyword(area, keyword, number)

    def _keywords(self) -> Iterator[tuple[str, str]]:
        every = [(area, keyword) for area, listed in self.pool.items() for keyword in listed]
        return _shuffled(every, self._recipe.seed, "keywords")

    def _codes(self) -> Iterator[Problem]:
        return _shuffled(self.codes, self._recipe.seed, "codes")


def _shuffled(items: Sequence[Any], seed: int, name: str) -> Iterator[Any]:
    """All of them in an order of chance, and again in another, without end."""
    cycle = 0
    while items:
        order = list(items)
        random.Random(derive_seed(seed, name, cycle)).shuffle(order)
        yield from order
        cycle += 1


def _read(drafts: Sequence[Draft], effort: Effort) -> None:
    """The fields of the answers."""
    for draft in drafts:
        candidate = draft.draws[0][0]
        found = fields.exercise(candidate.text)
        if isinstance(found, str):
            draft.drop("answer", "cut off" if candidate.is_cut else found)
        else:
            draft.instruction, draft.header, draft.top = found.instruction, found.header, derive_top(found.header)
    by_header(in_running(drafts), effort)


def _row(draft: Draft) -> Problem:
    code = draft.codes[0]
    return Problem.create(
        instruction=draft.instruction, header=draft.header, reference=code if code.endswith("\n") else code + "\n",
        top=draft.top, source=f"write:{draft.form}", upstream_id=draft.name,
    )  # fmt: skip
