"""``best-of``: N draws, ranked by a scorer; ``proven``: ranked by what is proven of them."""

from collections.abc import Sequence

from itertl.errors import UsageError
from itertl.records import Attempt, Examined, Problem, Score
from itertl.scoring.candidates import item_of
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.scorers import check_scorers, check_tools, scorer_of, version
from itertl.search.strategy import Ask, Drawn, Feedback, Strategy, best_first, check_count

UNSCORED = -3.0  # rank where a scorer came to no value: below all that it says


class _Draws(Strategy):
    """``draws`` of one prompt, the best rank first."""

    _draws: int

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        return [] if attempts else [Ask(self._draws)]

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        return best_first(attempts)


class BestOf(_Draws):
    """``draws`` of one prompt; the answer is what ``scorer`` gives most, of equals the first."""

    def __init__(self, draws: int = 8, scorer: str = "icarus") -> None:
        check_count(draws=draws)
        if not isinstance(scorer, str):
            raise UsageError(f"sample.strategy_options.scorer is {scorer!r}; give the name of one scorer")
        check_scorers([scorer])
        check_tools([scorer])
        self._draws, self._scorer = draws, scorer
        self.feedback: Feedback = "reference" if scorer_of(scorer).needs_reference else "compiler"

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        items = [item_of(one.candidate, one.problem) for one in drawn]
        return [
            Examined(
                verdict=score.verdict, rank=UNSCORED if score.value is None else score.value, message=score.detail,
                tool_calls=1,
            )
            for (score,) in score_items(items, [self._scorer], effort=effort)
        ]  # fmt: skip

    def check(self, problems: Sequence[Problem]) -> None:
        if scorer_of(self._scorer).needs_reference and not all(p.reference for p in problems):
            raise UsageError(
                f"scorer {self._scorer!r} compares with a reference, and there is none; use icarus or syntax"
            )

    def settings(self) -> dict[str, object]:
        return {"version": version(self._scorer)}


class Proven(_Draws):
    """``draws`` of one prompt, of which those are right that ``vectors`` finds equal and ``equivalence`` proves.

    A rank is half of the sum of both values, and 1 where it is proven: ``equivalence`` is asked of what ``vectors``
    finds equal.
    """

    feedback: Feedback = "reference"
    _rungs = ("vectors", "equivalence")

    def __init__(self, draws: int = 8) -> None:
        check_count(draws=draws)
        check_tools(self._rungs)
        self._draws = draws

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        items = [item_of(one.candidate, one.problem) for one in drawn]
        found = score_items(items, self._rungs, rungs=self._rungs, effort=effort)
        return [_proof(scores) for scores in found]

    def check(self, problems: Sequence[Problem]) -> None:
        if not all(p.reference for p in problems):
            raise UsageError("strategy proven compares with a reference, and a problem has none; use best-of")

    def settings(self) -> dict[str, object]:
        return {"version": [version(name) for name in self._rungs]}


def _proof(scores: Sequence[Score]) -> Examined:
    """Of the rungs that were reached, lowest first."""
    said, count = scores[-1], len(scores)
    rank = UNSCORED if said.value is None else (count - 1 + said.value) / 2
    return Examined(verdict=said.verdict, rank=rank, message=said.detail, tool_calls=count)
