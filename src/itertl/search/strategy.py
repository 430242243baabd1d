"""What a search strategy is, and the names by which a recipe or an option chooses one.

A strategy is two pure functions of what was tried so far: what to draw next, and in which order the attempts answer.
All state lies in the attempts, so that a search that was stopped goes on from its log, and a test needs no model.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from itertl import plugins
from itertl.errors import UsageError
from itertl.records import Attempt, Candidate, Examined, Problem
from itertl.scoring.engine import Effort

STRATEGIES = {
    "best-of": "itertl.search.best_of:BestOf",
    "cluster": "itertl.search.cluster:Cluster",
    "repair": "itertl.search.repair:Repair",
}

# what a strategy looks at beside the model's own texts; "reference" is the problem's reference or testbench
Feedback = Literal["none", "compiler", "own tests", "reference"]


@dataclass(frozen=True, slots=True)
class Ask:
    """``count`` draws behind the turns of ``path``: attempts, oldest first, each with its message.

    ``instruction``: what is asked in place of the problem, for a text of another ``kind`` than a design; "" is one.
    """

    count: int
    path: tuple[int, ...] = ()
    kind: str = ""
    instruction: str | None = None

    @property
    def parent(self) -> int | None:
        return self.path[-1] if self.path else None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draw that is to be examined, and all that its search tried in earlier rounds."""

    problem: Problem
    candidate: Candidate
    ask: Ask
    earlier: Sequence[Attempt]


class Strategy(ABC):
    """Made with the options of ``sample.strategy_options``; raises UsageError for those that cannot be."""

    feedback: Feedback = "none"

    @abstractmethod
    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        """What is drawn in the next round; nothing ends the search. ``attempts``: of one search, by number."""

    @abstractmethod
    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        """Numbers of the attempts, the best answer first."""

    @abstractmethod
    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        """What tools say of a round's draws, in their order. Raises ToolMissing."""

    def taken(self, drawn: Drawn) -> Candidate:
        """The candidate, with other code where its text is not a whole module: edits to an earlier one, say."""
        return drawn.candidate

    def check(self, problems: Sequence[Problem]) -> None:  # noqa: B027 (optional)
        """Raise UsageError where the strategy cannot be used on a problem."""

    def settings(self) -> Mapping[str, object]:
        """All that an answer depends on: versions of tools, say."""
        return {}


def open_strategy(name: str, options: Mapping[str, object]) -> Strategy:
    """The strategy of that name. Raises UsageError for an unknown name or option, or a value that cannot be."""
    make = plugins.resolve("search strategy", name, STRATEGIES)
    plugins.check_arguments("search strategy", name, make, options)
    try:
        found = make(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"sample.strategy_options: {error}") from error
    if not isinstance(found, Strategy):
        raise UsageError(f"search strategy {name!r} is not an itertl.search.strategy.Strategy; derive it from that")
    return found


def check_strategy(name: str | None, options: Mapping[str, object]) -> None:
    """Raise UsageError for a strategy of a recipe that cannot be used."""
    if name is not None:
        open_strategy(name, options)
    elif options:
        raise UsageError(f"strategy_options: {', '.join(options)} is given, and no strategy; name one by strategy")


def best_first(attempts: Sequence[Attempt]) -> list[int]:
    """By rank, then by number."""
    return sorted(range(len(attempts)), key=lambda number: (-attempts[number].examined.rank, number))


def check_count(**counts: object) -> None:
    """Raise UsageError where an option is not a whole number from 1 on."""
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"sample.strategy_options.{name} is {value!r}; give a whole number from 1 on")
