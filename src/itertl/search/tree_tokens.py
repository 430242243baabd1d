"""``tree-tokens``: Monte-Carlo tree search over an answer's tokens; a leaf is judged by the greedy answer behind it.

(MCTS decoding, DeLorenzo et al., 2024, arXiv:2402.03289.) A node is a prefix of the answer's tokens. Each simulation
goes down by PUCT (``puct``) to a leaf, opens it by its most likely tokens if it was visited before, and lets the model
end the answer from there, greedily. Its reward: -1 where it does not compile, 0.8 - 1.6 × the share that is wrong, and
1 where it is right; with ``area_delay`` right is 0.5 + 1 - ADP / ADP of the first right one, within [-2, 2].

The answer of a node's most likely child is the node's own: that simulation draws nothing. Where such a chain outgrows
what is known of the most likely tokens, an attempt of the kind ``PRIOR`` asks for them: a few tokens, and no design.

The tree is made again from the attempts each time: all that it does follows from them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from itertl.errors import UsageError
from itertl.records import Attempt, Candidate, Examined, Fault, Problem, Verdict
from itertl.runs.storage import hash_file
from itertl.sampling.batching import Continuation
from itertl.scoring import ppa
from itertl.scoring.engine import Effort
from itertl.scoring.scorers import check_tools, version
from itertl.search import aim, look, puct
from itertl.search.feedback import Looking
from itertl.search.puct import Node
from itertl.search.strategy import Ask, Drawn, Feedback, Strategy, check_count, check_number, is_right

REVISION = 1  # of rewards and rounds
PRIOR = "prior"  # the kind of an attempt that asks for the most likely tokens alone
_PLACES = 16  # tokens of an answer for which the most likely ones are reported
_ROLLOUTS = 100  # where no budget is named
_MOST_FREE = 1000  # simulations one after the other that draw nothing: the search goes in a circle


class TreeTokens(Strategy):
    """See the module. ``rollouts`` simulations or ``tokens`` drawn, whichever ends first; ``width`` leaves a round."""

    continues = True

    def __init__(
        self,
        rollouts: int | None = None,
        tokens: int | None = None,
        branches: int = 20,
        width: int = 8,
        c: float = 1.0,
        feedback: Feedback = "compiler",
        comments: bool = False,
        area_delay: bool = False,
    ) -> None:
        given = {"rollouts": rollouts, "tokens": tokens}
        check_count(branches=branches, width=width, **{name: n for name, n in given.items() if n is not None})
        check_number("c", c, "MCTS decoding: 1")
        for name, value in {"comments": comments, "area_delay": area_delay}.items():
            if not isinstance(value, bool):
                raise UsageError(f"sample.strategy_options.{name} is {value!r}; give true or false")
        self.rollouts = _ROLLOUTS if rollouts is None and tokens is None else rollouts
        self.tokens, self.branches, self.width, self.c = tokens, branches, width, float(c)
        self.has_comments, self.by_area = comments, area_delay
        self._looking = Looking(feedback)
        self._library = str(ppa.liberty() or "") if area_delay else ""
        self.feedback: Feedback = feedback

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        if any(map(is_right, attempts)) and not self.by_area:
            return []
        asks = Search(self, attempts).asks()
        return [*self._looking.asks(attempts), *asks]

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        """Designs by rank, those that are right by cost where that is known, then by number."""

        def place(number: int) -> tuple[object, ...]:
            attempt = attempts[number]
            cost = attempt.examined.cost
            return bool(attempt.kind), -attempt.examined.rank, math.inf if cost is None else cost, number

        return sorted(range(len(attempts)), key=place)

    def taken(self, drawn: Drawn) -> Candidate:
        return self._looking.taken(drawn)

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        looked = [one for one in drawn if one.ask.kind != PRIOR]
        found = dict(zip(map(id, looked), self._looking.examine(looked, effort) if looked else (), strict=True))
        right = [one for one in looked if self.by_area and not one.ask.kind and found[id(one)].rank >= look.RIGHT]
        designs = [(one.problem, one.candidate.code) for one in right]
        for one, figures in zip(right, aim.costs(designs, self._library, effort) if right else (), strict=True):
            calls = found[id(one)].tool_calls + figures.tool_calls
            found[id(one)] = found[id(one)].model_copy(update={"cost": figures.cost, "tool_calls": calls})
        return [found.get(id(one), _NOTHING) for one in drawn]

    def check(self, problems: Sequence[Problem]) -> None:
        self._looking.check(problems)
        if self.by_area:
            check_tools(["ppa"])

    def settings(self) -> dict[str, object]:
        found = f"{self._looking.version()}, puct {puct.REVISION}, tree-tokens {REVISION}"
        if self.by_area:
            library = hash_file(Path(self._library)) if self._library else "generic"
            found += f", aim {aim.REVISION}, {version('ppa')}, {library}"
        return {"version": found}


_NOTHING = Examined(verdict=Verdict.SCORED, rank=0.0, message="The most likely tokens.")


def reward(said: Examined, first: float | None = None) -> float:
    """What an answer counts in the tree; ``first``: cost of the first right one, with ``area_delay``.

    Example: one of which a quarter is wrong has ``0.8 - 1.6 * 0.25 == 0.4``; what a tool of ours broke on, 0.
    """
    if said.verdict.fault is Fault.OURS:
        return 0.0
    if said.rank >= look.RIGHT:
        if first is None:
            return 1.0
        if said.cost is None or said.cost == first:
            return 0.5
        return min(max(0.5 + 1 - (said.cost / first if first else math.inf), -2.0), 2.0)
    return -1.0 if said.rank < look.NO_RUN else 0.8 - 1.6 * (1 - said.rank)


@dataclass(slots=True)
class Search:
    """The tree of one search, grown round by round from its attempts.

    ``counted``: of each simulation, in order, the leaf's tokens and the attempt that holds its answer.
    """

    strategy: TreeTokens
    attempts: Sequence[Attempt]
    root: Node = field(default_factory=Node)
    counted: list[tuple[tuple[int, ...], int]] = field(default_factory=list[tuple[tuple[int, ...], int]])
    drawn: int = 0  # tokens
    first: float | None = None  # with ``area_delay``, cost of the first right one
    number_of: dict[tuple[str, tuple[int, ...]], int] = field(init=False)  # (kind, prefix) -> attempt
    rollout: dict[Node, int] = field(default_factory=dict[Node, int])  # the attempt that holds a node's answer
    likely: dict[tuple[int, ...], tuple[tuple[int, float], ...]] = field(init=False)  # by prefix

    def __post_init__(self) -> None:
        self.number_of, self.likely = {}, {}
        for number, attempt in enumerate(self.attempts):
            continued = attempt.candidate.continued
            if continued is not None:
                self.number_of[attempt.kind, self._ids(number)[: continued.prefix_tokens]] = number
        if self.strategy.by_area:
            right = [self.attempts[number] for number in self.number_of.values() if is_right(self.attempts[number])]
            self.first = next((a.examined.cost for a in right if a.examined.cost is not None), math.nan)

    def asks(self) -> list[Ask]:
        """What the first round that is not answered asks for; nothing where the search has ended."""
        while wanted := self._round():
            missing = [one for one in wanted if (_kind(one), one.tokens) not in self.number_of]
            if missing:
                return [self._ask(node) for node in missing]
            for node in wanted:
                self._answer(node)
        return []

    def _round(self) -> list[Node]:
        """Leaves to draw from; those whose answer is known are counted on the way.

        From the first that waits on these are ``width`` choices in all: else what is free would be chosen over and over
        by rewards that are about to change.
        """
        wanted: list[Node] = []
        free, left = 0, self.strategy.width
        while left and free < _MOST_FREE and not self._is_over(len(wanted)):
            leaf = puct.select(self.root, self.strategy.c)
            if leaf is None:
                break
            likely = self._likely(leaf) if leaf.visits else None
            if leaf.visits and likely:
                leaf.open(likely)
                continue
            if (leaf.visits and likely is None) or not self._is_known(leaf):
                leaf.wait(is_waiting=True)
                wanted.append(leaf)
            else:
                self._count(leaf)
                free += 1
            left -= bool(wanted)
        return wanted

    def _is_over(self, waiting: int) -> bool:
        rollouts, tokens = self.strategy.rollouts, self.strategy.tokens
        is_done = rollouts is not None and len(self.counted) + waiting >= rollouts
        return is_done or (tokens is not None and self.drawn >= tokens)

    def _likely(self, leaf: Node) -> tuple[tuple[int, float], ...] | None:
        """Its children to be; none where it is a whole answer, None where they are to be asked for."""
        if len(self._ids(self.rollout[leaf])) <= len(leaf.tokens):
            return ()
        return self.likely.get(leaf.tokens)

    def _is_known(self, leaf: Node) -> bool:
        """Whether its answer is there: an earlier one of its own, or its parent's, which goes on with its token."""
        if leaf not in self.rollout and leaf.parent is not None:
            number, place = self.rollout[leaf.parent], len(leaf.tokens) - 1
            if self._ids(number)[place : place + 1] == leaf.tokens[-1:]:
                self.rollout[leaf] = number
        return leaf in self.rollout

    def _count(self, leaf: Node) -> None:
        self.counted.append((leaf.tokens, self.rollout[leaf]))
        leaf.visit(reward(self.attempts[self.rollout[leaf]].examined, self.first))

    def _answer(self, leaf: Node) -> None:
        """Take in what was drawn for it."""
        leaf.wait(is_waiting=False)
        number = self.number_of[_kind(leaf), leaf.tokens]
        ids, continued = self._ids(number), self.attempts[number].candidate.continued
        assert continued is not None
        self.drawn += len(ids) - len(leaf.tokens)
        self.likely.setdefault(leaf.tokens, ())
        for place, pairs in enumerate(continued.likely, len(leaf.tokens)):
            self.likely[ids[:place]] = pairs
        if not leaf.visits:
            self.rollout[leaf] = number
            self._count(leaf)

    def _ids(self, number: int) -> tuple[int, ...]:
        return self.attempts[number].candidate.token_ids or ()

    def _ask(self, leaf: Node) -> Ask:
        asked = Continuation(
            leaf.tokens, _PLACES if leaf.visits else None, self.strategy.branches, _PLACES, self.strategy.has_comments
        )
        return Ask(1, kind=_kind(leaf), continuation=asked)


def _kind(leaf: Node) -> str:
    """A leaf that was visited has its answer: its most likely tokens alone are asked for."""
    return PRIOR if leaf.visits else ""
