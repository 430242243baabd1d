"""``repair``: draw, look at what the tools say, and go on from the best attempt with that in the prompt.

(AutoChip, Thakur et al., 2023, arXiv:2311.04887.) Each round draws ``breadth`` answers to one conversation; ``depth``
rounds of repair follow the first. What AutoChip does otherwise is an option: ``carry="round"`` goes on from the last
round's best even where an earlier one was better, ``context="full"`` shows the whole conversation instead of the last
answer alone, and ``rank="autochip"`` is its own rank, which a design that prints can forge. ``models`` lets others draw
from a round on, as AutoChip mixes a cheap model with a dear one: ``[{"model": "NAME", "from_round": 1}]``.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from itertl.errors import UsageError
from itertl.records import Attempt, Candidate, Examined, Problem
from itertl.scoring.engine import Effort
from itertl.search import autochip
from itertl.search.feedback import Looking
from itertl.search.strategy import Ask, Drawn, Feedback, Strategy, best_first, check_choice, check_count, is_right

_CHOICES = {
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
        feedback: Feedback = "compiler",
        tests: int = 1,
        carry: Literal["best", "round"] = "best",
        context: Literal["succinct", "full"] = "succinct",
        rank: Literal["own", "autochip"] = "own",
        models: Sequence[Mapping[str, object]] = (),
    ) -> None:
        check_count(breadth=breadth)
        if depth != 0:
            check_count(depth=depth)
        for name, value in {"carry": carry, "context": context, "rank": rank}.items():
            check_choice(name, value, _CHOICES[name])
        if rank == "autochip" and feedback != "reference":
            raise UsageError("rank: autochip reads the testbench; add feedback: reference")
        self._breadth, self._depth, self._carry, self._context = breadth, depth, carry, context
        self._from_round = _from_round(models, depth)
        self.models = tuple(self._from_round.values())
        self._by_autochip = rank == "autochip"
        self._looking = Looking(feedback, tests, *(["itertl.search.autochip:look"] if self._by_autochip else []))
        self.feedback: Feedback = feedback

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        if not attempts:
            return [*self._looking.asks(attempts), Ask(self._breadth)]
        last = attempts[-1].round
        if last >= self._depth or any(map(is_right, attempts)):
            return []
        carried = [n for n, a in enumerate(attempts) if self._carry == "best" or a.round == last]
        best = next(n for n in best_first(attempts) if n in carried)
        begun = [model for turn, model in self._from_round.items() if turn <= last + 1]
        return [Ask(self._breadth, (*self._before(attempts, best), best), model=begun[-1] if begun else "")]

    def _before(self, attempts: Sequence[Attempt], number: int) -> tuple[int, ...]:
        return tuple(a for a, _ in attempts[number].shown) if self._context == "full" else ()

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        return best_first(attempts)

    def taken(self, drawn: Drawn) -> Candidate:
        return self._looking.taken(drawn)

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        return self._looking.examine(drawn, effort)

    def check(self, problems: Sequence[Problem]) -> None:
        self._looking.check(problems)
        if self._by_autochip and not all(p.testbench for p in problems):
            raise UsageError("rank: autochip needs a testbench for each problem; use rank: own")

    def settings(self) -> dict[str, object]:
        return {"version": f"{self._looking.version()}, autochip {autochip.REVISION}"}


def _from_round(models: object, depth: int) -> dict[int, str]:
    """Round -> the model that draws from it on, in rising order. Raises UsageError for what is not that."""
    form = "give a list of {model: NAME, from_round: N}"
    found: dict[int, str] = {}
    if not isinstance(models, list | tuple):
        raise UsageError(f"sample.strategy_options.models is {models!r}; {form}")
    for number, one in enumerate(cast("Sequence[object]", models)):
        where = f"sample.strategy_options.models.{number}"
        if not isinstance(one, dict) or set(cast("dict[str, object]", one)) != {"model", "from_round"}:
            raise UsageError(f"{where} is {one!r}; {form}")
        model, turn = cast("dict[str, object]", one)["model"], cast("dict[str, object]", one)["from_round"]
        if not isinstance(model, str) or not model.strip():
            raise UsageError(f"{where}.model is {model!r}; give the name of a model, as for --model")
        least = max(found, default=0) + 1
        if not isinstance(turn, int) or isinstance(turn, bool) or not least <= turn <= depth:
            raise UsageError(
                f"{where}.from_round is {turn!r}; give a round from {least} to the depth, {depth}, in rising order "
                "(round 0 is the searched model's own)"
            )
        found[turn] = model
    return found
