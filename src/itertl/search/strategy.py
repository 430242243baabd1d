"""What a search strategy is, and the names by which a recipe or an option chooses one.

A strategy is two pure functions of what was tried so far: what to draw next, and in which order the attempts answer.
All state lies in the attempts, so that a search that was stopped goes on from its log, and a test needs no model.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from itertl import plugins
from itertl.errors import UsageError, nearest
from itertl.records import Attempt, Candidate, Examined, Problem
from itertl.sampling.batching import Continuation
from itertl.scoring.engine import Effort

STRATEGIES = {
    "adaptive": "itertl.search.adaptive:Adaptive",
    "best-of": "itertl.search.best_of:BestOf",
    "proven": "itertl.search.best_of:Proven",
    "cluster": "itertl.search.cluster:Cluster",
    "repair": "itertl.search.repair:Repair",
    "tree-code": "itertl.search.tree_code:TreeCode",
    "tree-tokens": "itertl.search.tree_tokens:TreeTokens",
}
AIMS = {"ppa": "itertl.search.aim:Smaller"}
_AIM_OPTIONS = ("aim_rounds", "aim_breadth", "liberty")

MOST = 1_000_000  # of what an option counts, and attempts of one search
RIGHT = 1.0  # from this rank on all holds that a strategy looks at

# what a strategy looks at beside the model's own texts; "reference" is the problem's reference or testbench
Feedback = Literal["none", "compiler", "own tests", "reference"]


@dataclass(frozen=True, slots=True)
class Ask:
    """``count`` draws behind the turns of ``path``: attempts, oldest first, each with its message.

    ``instruction``: what is asked in place of the problem, for a text of another ``kind`` than a design; "" is one.
    ``{instruction}`` and ``{header}`` in it stand for the problem's, and ``header`` is what that text begins with.
    ``is_edit``: the answer is edits to the last code of ``path``, so that nothing of it is prefilled and no
    ``endmodule`` ends it. ``continuation``: the answer goes on from tokens, for a strategy that ``continues``.
    ``model``: one of the strategy's ``models`` that draws it; "" is the searched one.
    """

    count: int
    path: tuple[int, ...] = ()
    kind: str = ""
    instruction: str | None = None
    header: str = ""
    is_edit: bool = False
    continuation: Continuation | None = None
    model: str = ""

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
    search: int = 0  # which of its problem's searches


class Strategy(ABC):
    """Made with the options of ``sample.strategy_options``; raises UsageError for those that cannot be."""

    feedback: Feedback = "none"
    continues: bool = False  # whether it asks for answers that go on from tokens, which not all back ends can give
    models: Sequence[str] = ()  # that it asks beside the searched one
    adapts: bool = False  # whether in training all its designs answer, and what earlier iterations found counts

    def of_problem(self, mean_z: float | None) -> "Strategy":
        """The strategy for one problem, by the mean z that its candidates had in earlier iterations; None: unknown."""
        del mean_z
        return self

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
    """The strategy of that name, with the aim that its options name. Raises UsageError for an unknown name or option,
    or a value that cannot be."""
    make = plugins.resolve("search strategy", name, STRATEGIES)
    own = {key: value for key, value in options.items() if key != "aim" and key not in _AIM_OPTIONS}
    _check_names(name, make, own)
    found = _made(make, own)
    if not isinstance(found, Strategy):
        raise UsageError(f"search strategy {name!r} is not an itertl.search.strategy.Strategy; derive it from that")
    further = {key: options[key] for key in _AIM_OPTIONS if key in options}
    aim = options.get("aim")
    if aim is None and further:
        raise UsageError(f"sample.strategy_options.{next(iter(further))} is for a search with an aim; add aim: ppa")
    if aim is None:
        return found
    if found.adapts:
        raise UsageError(
            f"sample.strategy_options.aim: {name} draws candidates to compare, and has no one best; leave it out"
        )
    return _made(plugins.resolve("aim (sample.strategy_options.aim)", str(aim), AIMS), {"inner": found, **further})


def _check_names(name: str, make: Callable[..., Any], own: Mapping[str, object]) -> None:
    """Raise UsageError for an option that neither the strategy nor an aim takes."""
    slip = next((key for key in own if key.startswith("aim")), None)
    if slip is not None and slip not in inspect.signature(make).parameters:
        raise UsageError(f"sample.strategy_options.{slip} is not an option; {nearest(slip, ('aim', *_AIM_OPTIONS))}")
    plugins.check_arguments("search strategy", name, make, own)


def _made(make: Callable[..., Any], options: Mapping[str, object]) -> Any:
    try:
        return make(**options)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"sample.strategy_options: {error}") from error


def check_strategy(name: str | None, options: Mapping[str, object], temperatures: Sequence[float]) -> None:
    """Raise UsageError for a strategy of a recipe that cannot be used, or not at these temperatures."""
    if name is not None:
        check_chance(open_strategy(name, options), temperatures)
    elif options:
        raise UsageError(f"strategy_options: {', '.join(options)} is given, and no strategy; name one by strategy")


def check_chance(strategy: Strategy, temperatures: Sequence[float]) -> None:
    """Raise UsageError where the first draws would all be the same text, for a temperature is 0."""
    count = sum(ask.count for ask in strategy.next([]) if not ask.kind and ask.continuation is None)
    if count > 1 and 0 in temperatures:
        raise UsageError(f"temperature 0 draws the same text {count} times: give the strategy a temperature above 0")


def best_first(attempts: Sequence[Attempt]) -> list[int]:
    """Designs by rank, then by number; what is not a design comes last."""
    said = [(bool(attempt.kind), -attempt.examined.rank) for attempt in attempts]
    return sorted(range(len(attempts)), key=lambda number: (said[number], number))


def is_right(attempt: Attempt) -> bool:
    """Whether it is a design of which all holds that its strategy looks at."""
    return not attempt.kind and attempt.examined.rank >= RIGHT


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise UsageError where an option is not one of ``known``."""
    if value not in known:
        raise UsageError(f"sample.strategy_options.{name} is {_short(value)}; give one of {', '.join(known)}")


def check_count(**counts: object) -> None:
    """Raise UsageError where an option is not a whole number from 1 to ``MOST``."""
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
            raise UsageError(f"sample.strategy_options.{name} is {_short(value)}; give a whole number from 1 to {MOST}")


def check_number(name: str, value: object, hint: str) -> None:
    """Raise UsageError where an option is not a number from 0 to ``MOST``. ``hint``: what it is elsewhere."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MOST:
        raise UsageError(f"sample.strategy_options.{name} is {_short(value)}; give a number from 0 to {MOST} ({hint})")


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:60]}…"
