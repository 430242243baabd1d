"""The scorers by name, the version of the tool behind each, and what a call that does not end means."""

import functools
import hashlib
import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from itertl import plugins
from itertl.errors import ToolMissing, UsageError
from itertl.records import Score
from itertl.scoring.item import ScoreItem
from itertl.tools import icarus, pyverilog, slang, yosys

Scorer = Callable[[ScoreItem], Score]

SCORERS: dict[str, str] = {
    "rtlcoder": "itertl.scoring.rtlcoder:score",
    "syntax": "itertl.scoring.syntax:score",
    "rouge-l": "itertl.scoring.rouge_l:characters",
    "rouge-l-tokens": "itertl.scoring.rouge_l:tokens",
    "icarus": "itertl.scoring.icarus:score",
    "gate": "itertl.scoring.gate_and_text:gate",
    "text": "itertl.scoring.gate_and_text:text",
    "synthesis": "itertl.scoring.synthesis:score",
    "vectors": "itertl.scoring.simulated:simulated",
    "ast": "itertl.scoring.ast_likeness:score",
    "equivalence": "itertl.scoring.equivalence.score:score",
    "ppa": "itertl.scoring.ppa:score",
    "repair": "itertl.scoring.repair:score",
}
NEEDS_REFERENCE = frozenset(
    {"rtlcoder", "rouge-l", "rouge-l-tokens", "text", "ast", "vectors", "equivalence", "ppa", "repair"}
)
STALLED_BY_TEXT = frozenset(
    {"rtlcoder", "syntax", "icarus", "gate", "text", "synthesis", "ast", "vectors", "repair"}
)  # they run a tool on the candidate: it may not end
GIVES_UP = frozenset({"synthesis", "equivalence", "ppa"})  # whose tools' limits are no verdict on a candidate
READS = frozenset(
    {"gate", "syntax", "ast", "synthesis", "vectors", "equivalence", "ppa", "repair"}
)  # they have slang elaborate the candidate
REVISION = 4  # of the rules here; a change of what a scorer returns raises it, and cached scores go stale


def get_scorer(name: str) -> Scorer:
    """The scorer of that name, or the user's own "package.module:function". Raises UsageError."""
    return plugins.resolve("scorer", name, SCORERS)


def check_scorers(names: Sequence[str]) -> None:
    """Raise UsageError where a name is unknown, given twice, or none is given: for planning, before any work."""
    if not names:
        raise UsageError(f"no scorer given; known: {', '.join(sorted(SCORERS))}")
    for position, name in enumerate(names):
        if name in names[:position]:
            raise UsageError(f"scorer {name!r} is given twice")
        get_scorer(name)


def check_tools(names: Sequence[str]) -> dict[str, str]:
    """Version of the tools behind each scorer. Raises ToolMissing: for planning, so that a run does not end unscored."""
    return {name: version(name) for name in names}


@functools.cache
def version(name: str) -> str:
    """What a score of that name depends on, beside the item. Raises ToolMissing, UsageError.

    Pyverilog preprocesses by Icarus, so both count. A user's own function counts by its file's content.
    """
    if name == "rtlcoder":
        return f"{pyverilog.version()}, {_icarus_or_none()}"
    if name in ("syntax", "gate", "text", "ast"):
        return slang.version()
    if name == "synthesis":
        from itertl.scoring import synthesis

        return f"{yosys.version()}, {slang.version()}, synthesis {synthesis.REVISION}"
    if name == "icarus":
        return icarus.version()
    if name == "vectors":
        from itertl.scoring.vectors import score

        return score.version()
    if name in ("equivalence", "ppa", "repair"):
        return importlib.import_module(SCORERS[name].partition(":")[0]).version()
    if name in SCORERS:
        return f"rapidfuzz {importlib.metadata.version('rapidfuzz')}"
    function = inspect.unwrap(get_scorer(name))
    file = inspect.getsourcefile(function) if inspect.isroutine(function) else None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else "unknown"


def _icarus_or_none() -> str:
    try:
        return icarus.version()
    except ToolMissing:
        return "no Icarus Verilog"
