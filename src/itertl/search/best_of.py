"""``best-of``: N draws, ranked by a scorer."""

from collections.abc import Sequence

from itertl.errors import UsageError
from itertl.records import Attempt, Examined, Problem
from itertl.scoring.candidates import item_of
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.scorers import check_scorers, check_tools, scorer_of, version
from itertl.search.strategy import Ask, Drawn, Feedback, Strategy, best_first, check_count

UNSCORED = -3.0  # rank where a scorer came to no value: below all that it says


class BestOf(Strategy):
    """``draws`` of one prompt; the answer is what ``scorer`` gives most, of equals the first."""

    def __init__(self, draws: int = 8, scorer: str = "icarus") -> None:
        check_count(draws=draws)
        check_scorers([scorer])
        check_tools([scorer])
        self._draws, self._scorer = draws, scorer
        self.feedback: Feedback = "reference" if scorer_of(scorer).needs_reference else "compiler"

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        return [] if attempts else [Ask(self._draws)]

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        return best_first(attempts)

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
