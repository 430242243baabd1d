"""``repair``: draw, look at what the tools say, and go on from the best attempt with that in the prompt.

(AutoChip, Thakur et al., 2023, arXiv:2311.04887.) Each round draws ``breadth`` answers to one conversation; ``depth``
rounds of repair follow the first. What AutoChip does otherwise is an option: ``carry="round"`` goes on from the last
round's best even where an earlier one was better, ``context="full"`` shows the whole conversation instead of the last
answer alone, and ``rank="autochip"`` is its own rank, which a design that prints can forge.
"""

from collections.abc import Sequence
from typing import Literal

from itertl.errors import UsageError
from itertl.judging import strict
from itertl.records import Attempt, Examined, Problem
from itertl.scoring.engine import Effort
from itertl.scoring.vectors import score as vectors
from itertl.search import autochip, look
from itertl.search.strategy import Ask, Drawn, Feedback, Strategy, best_first, check_count
from itertl.search.workers import examine
from itertl.tools import icarus

_CHOICES = {
    "feedback": ("compiler", "reference"),
    "carry": ("best", "round"),
    "context": ("succinct", "full"),
    "rank": ("own", "autochip"),
}


class Repair(Strategy):
    """See the module. It ends where an attempt is right: all that ``feedback`` looks at holds."""

    def __init__(
        self,
        breadth: int = 3,
        depth: int = 2,
        feedback: Literal["compiler", "reference"] = "compiler",
        carry: Literal["best", "round"] = "best",
        context: Literal["succinct", "full"] = "succinct",
        rank: Literal["own", "autochip"] = "own",
    ) -> None:
        check_count(breadth=breadth)
        if depth != 0:
            check_count(depth=depth)
        given = {"feedback": feedback, "carry": carry, "context": context, "rank": rank}
        for name, value in given.items():
            if value not in _CHOICES[name]:
                raise UsageError(
                    f"sample.strategy_options.{name} is {value!r}; give one of {', '.join(_CHOICES[name])}"
                )
        if rank == "autochip" and feedback != "reference":
            raise UsageError("rank: autochip reads the testbench; add feedback: reference")
        self._breadth, self._depth, self._carry, self._context = breadth, depth, carry, context
        self._by_autochip = rank == "autochip"
        self.feedback: Feedback = feedback

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        if not attempts:
            return [Ask(self._breadth)]
        last = attempts[-1].round
        if last >= self._depth or any(a.examined.rank >= look.RIGHT for a in attempts):
            return []
        carried = [n for n, a in enumerate(attempts) if self._carry == "best" or a.round == last]
        best = next(n for n in best_first(attempts) if n in carried)
        return [Ask(self._breadth, (*self._before(attempts, best), best))]

    def _before(self, attempts: Sequence[Attempt], number: int) -> tuple[int, ...]:
        return tuple(a for a, _ in attempts[number].shown) if self._context == "full" else ()

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        return best_first(attempts)

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        function = "itertl.search.autochip:look" if self._by_autochip else "itertl.search.look:look"
        with_reference = self.feedback == "reference"
        texts = {one.problem.id: one.problem.model_dump_json() for one in drawn}
        questions = [
            look.Question(texts[one.problem.id], one.candidate.code, with_reference, effort.bound) for one in drawn
        ]
        return examine(function, questions, effort, lost=look.lost)

    def check(self, problems: Sequence[Problem]) -> None:
        if self.feedback == "reference" and not all(p.reference for p in problems):
            raise UsageError("feedback: reference needs one for each problem; use feedback: compiler")
        if self._by_autochip and not all(p.testbench for p in problems):
            raise UsageError("rank: autochip needs a testbench for each problem; use rank: own")

    def settings(self) -> dict[str, object]:
        revisions = [look.REVISION, autochip.REVISION, strict.REVISION]
        return {"version": f"{icarus.version()}, look {revisions}, {vectors.version()}"}
