"""``tree-code``: a tree of whole designs, each with what the tools said of it, grown where it promises most.

(After EvolVE, 2026, arXiv:2601.18067.) A node is a design; its children are drawn behind it and its message. Which node
gets the next child is decided by UCT (``uct``) over rewards in [0, 1] that are made of ranks: 0 without a module, 0.1
where it does not compile, and from 0.2 on by the share that ``feedback`` finds right. With ``edits: blocks`` a child is
asked for as SEARCH/REPLACE blocks against its parent's code.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from itertl.records import Attempt, Candidate, Examined, Problem
from itertl.scoring.engine import Effort
from itertl.search import edits, look, uct
from itertl.search.edits import Edited
from itertl.search.feedback import Looking
from itertl.search.strategy import (
    Ask,
    Drawn,
    Feedback,
    Strategy,
    best_first,
    check_choice,
    check_count,
    check_number,
    is_right,
)


class TreeCode(Strategy):
    """At most ``nodes`` designs, ``width`` of them a round; it ends where one is right."""

    def __init__(
        self,
        nodes: int = 16,
        width: int = 3,
        children: int = 3,
        c: float = 1.4,
        edits: Literal["whole", "blocks"] = "whole",
        feedback: Feedback = "compiler",
        tests: int = 1,
    ) -> None:
        check_count(nodes=nodes, width=width, children=children)
        check_number("c", c, "EvolVE: 1.4")
        check_choice("edits", edits, ("whole", "blocks"))
        self._nodes, self._width, self._children, self._c = nodes, width, children, float(c)
        self._by_blocks = edits == "blocks"
        self._looking = Looking(feedback, tests)
        self.feedback: Feedback = feedback

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        designs = [number for number, attempt in enumerate(attempts) if not attempt.kind]
        left = min(self._width, self._nodes - len(designs))
        if left <= 0 or any(map(is_right, attempts)):
            return []
        chosen = uct.select(
            {number: attempts[number].parent for number in designs},
            {number: reward(attempts[number].examined.rank) for number in designs},
            left, children=self._children, c=self._c,
        )  # fmt: skip
        asks = [self._ask(attempts, parent, count) for parent, count in Counter(chosen).items()]
        return [*self._looking.asks(attempts), *asks]

    def _ask(self, attempts: Sequence[Attempt], parent: int | None, count: int) -> Ask:
        if parent is None:
            return Ask(count)
        return Ask(count, (parent,), is_edit=self._by_blocks and attempts[parent].examined.rank > look.NO_MODULE)

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        return best_first(attempts)

    def taken(self, drawn: Drawn) -> Candidate:
        if not drawn.ask.is_edit:
            return self._looking.taken(drawn)
        return drawn.candidate.model_copy(update={"code": _edited(drawn).code, "dropped": ()})

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        found = self._looking.examine(drawn, effort)
        return [self._worded(one, said) for one, said in zip(drawn, found, strict=True)]

    def _worded(self, drawn: Drawn, said: Examined) -> Examined:
        """The message with what of the edits could not be used, and with the request for the next."""
        message = said.message
        if self._by_blocks and said.rank > look.NO_MODULE and message.endswith(look.AGAIN):
            message = message.removesuffix(look.AGAIN) + edits.REQUEST
        trouble = _edited(drawn).trouble if drawn.ask.is_edit else ""
        return said.model_copy(update={"message": f"{trouble}\n{message}" if trouble else message})

    def check(self, problems: Sequence[Problem]) -> None:
        self._looking.check(problems)

    def settings(self) -> dict[str, object]:
        return {"version": f"{self._looking.version()}, uct {uct.REVISION}, edits {edits.REVISION}"}


def reward(rank: float) -> float:
    """A rank of ``look`` in [0, 1]. Example: ``reward(0.5) == 0.6``."""
    return 0.1 * (min(max(rank, look.NO_MODULE), 0.0) + 2.0) + 0.8 * min(max(rank, 0.0), 1.0)


def _edited(drawn: Drawn) -> Edited:
    """What the answer makes of its parent's code."""
    problem, parent = drawn.problem, drawn.earlier[drawn.ask.path[-1]].candidate
    return edits.edited(parent.code, edits.answer_text(drawn.candidate), header=problem.header, top=problem.top)
