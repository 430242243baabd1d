"""``cluster``: N draws simulated on the same inputs; the largest group that behaves alike answers.

(VRank, Zhao et al., 2025, arXiv:2502.00028.) The inputs are drawn from the ports alone, so no reference is needed, and
what most draws agree on is taken for right.
"""

from collections import Counter
from collections.abc import Sequence

from itertl.records import Attempt, Candidate, Examined, Verdict
from itertl.scoring.engine import Effort
from itertl.search import traces
from itertl.search.strategy import Ask, Drawn, Strategy, check_count
from itertl.search.workers import examine
from itertl.tools import icarus


class Cluster(Strategy):
    """``draws`` of one prompt, run for ``steps`` steps. Ties: the likelier group where tokens carry their
    probabilities, else the one drawn first."""

    feedback = "compiler"

    def __init__(self, draws: int = 8, steps: int = 512) -> None:
        check_count(draws=draws, steps=steps)
        self._draws, self._steps = draws, steps

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        return [] if attempts else [Ask(self._draws)]

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        """By the size of the group, largest first; what did not run comes last."""
        sizes = Counter(a.examined.group for a in attempts if a.examined.group)
        likely: dict[str, float] = {}
        for attempt in attempts:
            group = attempt.examined.group
            likely[group] = max(likely.get(group, -float("inf")), _mean_logprob(attempt.candidate))
        first = {attempt.examined.group: number for number, attempt in reversed(list(enumerate(attempts)))}

        def place(number: int) -> tuple[float, ...]:
            said = attempts[number].examined
            return (-sizes[said.group], -likely[said.group], first[said.group], -said.rank, number)

        return sorted(range(len(attempts)), key=place)

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        questions = [
            traces.Question(one.candidate.code, one.problem.header, one.problem.top, self._steps) for one in drawn
        ]
        return examine("itertl.search.traces:trace", questions, effort, lost=lost)

    def settings(self) -> dict[str, object]:
        return {"version": f"{icarus.version()}, traces {traces.REVISION}"}


def _mean_logprob(candidate: Candidate) -> float:
    known = candidate.token_logprobs
    return sum(known) / len(known) if known else 0.0


def lost(detail: str) -> Examined:
    """Of a design on which the worker crashed or hung."""
    return Examined(verdict=Verdict.TOOL_FAILED, rank=-3.0, message=detail)
