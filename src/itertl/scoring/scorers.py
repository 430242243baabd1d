"""The scorers, one record each: a scorer is its module and its row here."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from itertl import plugins
from itertl.errors import UsageError
from itertl.records import Score
from itertl.scoring.item import ScoreItem

REVISION = 4  # of the rules here; a change of what a scorer returns raises it, and cached scores go stale


@dataclass(frozen=True, slots=True)
class Scorer:
    """What is known of a scorer beside its code. One of the user's own has a name alone.

    Example: ``Scorer("syntax", "itertl.scoring.text_checks:syntax", "itertl.tools.slang:version", runs_tool=True)``.
    """

    name: str
    function: str  # "module:function", ScoreItem -> Score
    version: str = ""  # "module:function" that names the tools and rules behind a score; "": the function's file counts
    needs_reference: bool = False
    runs_tool: bool = False  # on the candidate: that it does not end may be the text's doing
    gives_up: bool = False  # its tools' limits are not a verdict on a candidate
    repeats: tuple[
        str, ...
    ] = ()  # scorers whose work it does again: a text on which one timed out is a TIMEOUT here too
    refutes: str | None = None  # the scorer that was wrong where this one finds a wrong output
    is_passed: bool = False  # a ladder goes on above it where it is undecided
    may_stay_open: bool = False  # a rung that needs no answer: the default of ``score.optional``
    judges_syntax: bool = False  # its verdict says whether the text parses
    judges_function: bool = False  # its value says whether the text does what it should
    bars_function: bool = False  # what it gives less than 1 cannot do what it should
    in_audit: bool = False  # references are scored against themselves by it
    needs_twin: bool = False  # there it takes a reference's own text as right without a look


_READ = ("gate", "syntax")  # of scorers that have slang elaborate the candidate
_SIMULATED = (*_READ, "vectors")
_SLANG = "itertl.tools.slang:version"
_TABLE = (
    Scorer(
        "rtlcoder", "itertl.scoring.rtlcoder:score", "itertl.scoring.rtlcoder:version", needs_reference=True,
        runs_tool=True, judges_syntax=True, in_audit=True,
    ),
    Scorer(
        "syntax", "itertl.scoring.text_checks:syntax", _SLANG, runs_tool=True, repeats=_READ, judges_syntax=True,
        bars_function=True, in_audit=True,
    ),
    Scorer(
        "rouge-l", "itertl.scoring.rouge_l:characters", "itertl.scoring.rouge_l:rapidfuzz_version", needs_reference=True
    ),
    Scorer(
        "rouge-l-tokens", "itertl.scoring.rouge_l:tokens", "itertl.scoring.rouge_l:rapidfuzz_version",
        needs_reference=True,
    ),
    Scorer(
        "icarus", "itertl.scoring.compilation:score", "itertl.tools.icarus:version", runs_tool=True, judges_syntax=True,
        in_audit=True,
    ),
    Scorer(
        "gate", "itertl.scoring.text_checks:gate", _SLANG, runs_tool=True, repeats=_READ, bars_function=True
    ),
    Scorer(
        "text", "itertl.scoring.text_checks:text", _SLANG, needs_reference=True, runs_tool=True, bars_function=True
    ),
    Scorer(
        "synthesis", "itertl.scoring.synthesis:score", "itertl.scoring.synthesis:version", runs_tool=True,
        gives_up=True, repeats=_READ, is_passed=True, bars_function=True,
    ),
    Scorer(
        "ast", "itertl.scoring.ast_likeness:score", _SLANG, needs_reference=True, runs_tool=True, repeats=_READ,
        in_audit=True,
    ),
    Scorer(
        "vectors", "itertl.scoring.vectors.score:simulated", "itertl.scoring.vectors.score:version",
        needs_reference=True, runs_tool=True, repeats=_READ, judges_function=True, in_audit=True,
    ),
    Scorer(
        "equivalence", "itertl.scoring.equivalence.score:score", "itertl.scoring.equivalence.score:version",
        needs_reference=True, gives_up=True, repeats=_SIMULATED, refutes="vectors", may_stay_open=True,
        judges_function=True, in_audit=True, needs_twin=True,
    ),
    Scorer(
        "ppa", "itertl.scoring.ppa:score", "itertl.scoring.ppa:version", needs_reference=True, gives_up=True,
        repeats=_SIMULATED, may_stay_open=True, in_audit=True,
    ),
    Scorer(
        "signals", "itertl.scoring.signals:score", "itertl.scoring.signals:version", needs_reference=True,
        runs_tool=True, repeats=_SIMULATED,
    ),
    Scorer(
        "repair", "itertl.scoring.repair:score", "itertl.scoring.repair:version", needs_reference=True, runs_tool=True,
        repeats=_READ,
    ),
)  # fmt: skip
SCORERS = {scorer.name: scorer for scorer in _TABLE}


def scorer_of(name: str) -> Scorer:
    """The record of that name; of the user's own "package.module:function", of which nothing is known, a bare one."""
    return SCORERS.get(name) or Scorer(name, name)


def names_where(holds: Callable[[Scorer], bool]) -> tuple[str, ...]:
    """Names of the scorers of which that holds, in the order of the table: what rests on another comes after it."""
    return tuple(scorer.name for scorer in SCORERS.values() if holds(scorer))


def get_scorer(name: str) -> Callable[[ScoreItem], Score]:
    """The scorer's function, or the user's own "package.module:function". Raises UsageError."""
    return plugins.resolve("scorer", name, {scorer.name: scorer.function for scorer in SCORERS.values()})


def check_scorers(names: Sequence[str]) -> None:
    """Raise UsageError where a name is unknown, given twice, or none is given: for planning, before any work."""
    if not names:
        raise UsageError(f"no scorer given; known: {', '.join(sorted(SCORERS))}")
    for position, name in enumerate(names):
        if name in names[:position]:
            raise UsageError(f"scorer {name!r} is given twice")
        get_scorer(name)


def check_tools(names: Sequence[str]) -> dict[str, str]:
    """Version of the tools behind each scorer. Raises ToolMissing: for planning, so that a run does not end
    unscored."""
    return {name: version(name) for name in names}


@functools.cache
def version(name: str) -> str:
    """What a score of that name depends on, beside the item. Raises ToolMissing, UsageError.

    A user's own function counts by its file's content.
    """
    named = scorer_of(name).version
    if named:
        return str(plugins.resolve("version", named, {})())
    return plugins.content_of(get_scorer(name))
