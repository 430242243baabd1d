"""A model at work for a user: instructions in, Verilog out, the best of what a search strategy finds.

The text can be watched while it is written.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import Recipe
from itertl.errors import UsageError
from itertl.model.policy import sampled_policy
from itertl.model.prompts import clean
from itertl.problems.load import from_config
from itertl.records import Attempt, Problem, Verdict
from itertl.runs import rows
from itertl.runs.storage import read_records, write_records
from itertl.sampling.draw import SamplingJob
from itertl.scoring.candidates import effort_of
from itertl.search.best_of import UNSCORED
from itertl.search.drive import attempts_file, find_candidates
from itertl.search.feedback import UNTESTED
from itertl.search.strategy import Strategy, open_strategy
from itertl.work.seeds import derive_seed

Show = Callable[[str], None]  # gets each new part of the first sample's text

# what a strategy looked at -> how an answer with nothing against it is called: less than "passed" where that is less
_WORDS = {"none": "drawn", "compiler": "compiles", "own tests": "passes its own tests", "reference": "passed"}


@dataclass(frozen=True, slots=True)
class Ranked:
    """The designs that one problem's search tried, best first; ``by``: the strategy, or the scorer of ``best-of``."""

    problem: Problem
    attempts: tuple[Attempt, ...]
    by: str
    strategy: str
    feedback: str

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and ``--out``: one object."""
        best = self.attempts[0]
        answer, said = best.candidate, best.examined
        scores = [None if a.examined.rank == UNSCORED else a.examined.rank for a in self.attempts]
        return {
            "problem_id": self.problem.id, "instruction": self.problem.instruction, "policy": answer.policy,
            "code": answer.code, "text": answer.text, "finish_reason": answer.finish_reason,
            "strategy": self.strategy, "feedback": self.feedback, "scorer": self.by, "score": scores[0],
            "verdict": self._verdict(), "detail": said.message, "scores": scores,
        }  # fmt: skip

    def _verdict(self) -> str:
        said = self.attempts[0].examined
        if said.verdict is not Verdict.PASSED:
            return said.verdict.value
        if self.feedback == "own tests" and UNTESTED in said.message:
            return _WORDS["compiler"]
        return "parses" if self.by == "syntax" else _WORDS[self.feedback]


def problems_of(instruction: str | None, file: Path | None, header: str, recipe: Recipe) -> list[Problem]:
    """The one instruction, or those of a file: plain text is one, else what ``data import`` understands."""
    if (instruction is None) == (file is None):
        raise UsageError("give an instruction or --file, one of the two")
    if file is not None and file.suffix in (".txt", ".md"):
        instruction, file = rows.decode(rows.read_bytes(file), str(file)), None
    if file is None:
        if not (instruction or "").strip():
            raise UsageError("the instruction is empty")
        return [Problem.create(instruction=clean(instruction or ""), header=clean(header), source="generate")]
    return list(from_config(recipe.data.of(str(file)), recipe.seed).problems)


def generate(
    problems: Sequence[Problem], recipe: Recipe, *, out: Path | None = None, show: Show | None = None
) -> list[Ranked]:
    """Search an answer to each problem by the strategy of ``recipe.sample``, and rank what was tried.

    ``out``: all attempts are written beside it. ``show``: gets the text of a single draw as it comes. Raises as
    ``find_candidates``.
    """
    config = recipe.sample
    strategy = open_strategy(str(config.strategy), config.strategy_options)
    seed = derive_seed(recipe.seed, "generate")
    job = SamplingJob(problems, sampled_policy(recipe), config, seed, num_samples=1, first_word="module")
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.jsonl"
        find_candidates(job, answers, effort=effort_of(recipe.score, None), show=show)
        attempts = read_records(attempts_file(answers), Attempt)
    if out is not None:
        write_records(attempts_file(out), attempts)
    by = str(config.strategy_options.get("scorer", "icarus")) if config.strategy == "best-of" else str(config.strategy)
    tried = {p.id: [a for a in attempts if a.candidate.problem_id == p.id] for p in problems}
    return [Ranked(p, _ordered(strategy, tried[p.id]), by, str(config.strategy), strategy.feedback) for p in problems]


def _ordered(strategy: Strategy, attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """The designs among the attempts, best first."""
    return tuple(attempts[number] for number in strategy.order(attempts) if not attempts[number].kind)
