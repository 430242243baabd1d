"""``ppa``: how large and how deep is a right candidate, next to the reference?

Both are synthesized by the same generic script (Yosys with ABC): cells, transistors (``stat -tech cmos``), and the
longest path through logic between registers (``ltp``); with ``ITERTL_LIBERTY`` set to a Liberty file both are mapped
to its cells, and its area takes the place of the transistors. The value is the geometric mean of (reference + 1) /
(candidate + 1) over these figures, each at most 1: 1 where the candidate is as good or better in all, in (0, 1] else.

Only right designs have a value: where ``vectors`` finds a difference its verdict is taken over, with 0. Texts of which
synthesis makes something else than a simulator (delays, say) are not measured: they could be small by doing nothing.
What it is blind to: timing and power, and the sense of a specification that asks for a slow or a large design.
"""

import functools
import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from itertl.errors import ToolMissing
from itertl.judging import gate
from itertl.judging.outcomes import cut
from itertl.records import Score, Verdict
from itertl.sandbox import bounds, sandbox
from itertl.sandbox.sandbox import Limits
from itertl.scoring.equivalence import rewrite
from itertl.scoring.equivalence.checks import hazard
from itertl.scoring.equivalence.rewrite import TOP
from itertl.scoring.item import ScoreItem, ScoreMaker
from itertl.scoring.lowering import readings
from itertl.scoring.vectors import score as vectors
from itertl.scoring.vectors.score import simulated
from itertl.tools import yosys
from itertl.verilog.header import derive_top

REVISION = 2  # of script and rule: part of what a kept score depends on
LIMITS = Limits(wall_s=40, cpu_s=4, memory_mb=3072, file_mb=64, proc=True)
_LIBRARY = "cells.lib"
_REGISTER = re.compile(r"\$_(S?DFF|ALDFF|DFFSR|SDFFCE|FF)")
_LATCH = re.compile(r"\$_(DLATCH|SR)")
_KNOWN_REGISTERS = frozenset({"$_DFF_P_", "$_DFF_N_"})  # to ``stat -tech cmos``, at 16 transistors
_LENGTH = re.compile(r"\(length=(\d+)\)")
_SYNTHESIZE = (
    "read_verilog -sv -noassert -noassume -norestrict -nodisplay -noblackbox design.v",
    f"hierarchy -check -top {TOP}", "proc", "flatten", "opt_expr", "opt_clean", "opt -nodffe -nosdff", "wreduce",
    "peepopt", "opt_clean", "alumacc", "share", "opt", "memory -nomap", "opt_clean", "memory_map", "dffunmap",
    "opt -nodffe -nosdff -full", "techmap", "opt -nodffe -nosdff -fast",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """One synthesized design. ``size``: transistors, or area in the library's unit. ``depth``: cells on the longest
    path."""

    cells: float
    size: float
    depth: float


class _Unmeasured(Exception):
    """Why there are no figures."""


def version() -> str:
    """What a score depends on beside the item. Raises ToolMissing."""
    yosys.abc_program()
    library = liberty()
    content = hashlib.sha256(library.read_bytes()).hexdigest()[:16] if library else "generic"
    return f"{yosys.version()}, ppa {REVISION}, {content}, {vectors.version()}"


def liberty() -> Path | None:
    """The Liberty file that ``ITERTL_LIBERTY`` names, or None. Raises ToolMissing where it cannot be read."""
    named = os.environ.get("ITERTL_LIBERTY")
    if not named:
        return None
    if not os.access(named, os.R_OK) or not Path(named).is_file():
        raise ToolMissing(f"ITERTL_LIBERTY is {named!r}, which is not a file that can be read")
    return Path(named)


def score(item: ScoreItem) -> Score:
    """SCORED with the value above; what ``vectors`` says of a candidate that is not right, with 0.

    UNJUDGEABLE where the reference cannot be synthesized, UNDECIDED where the candidate cannot. Raises ToolMissing,
    ToolFailed.
    """
    result = ScoreMaker("ppa", "yosys", yosys.version().split(" ")[1])
    simulation = simulated(item)
    if simulation.verdict is not Verdict.PASSED:
        return result(None if simulation.value is None else 0.0, simulation.verdict, cut(simulation.detail))
    assert item.reference is not None
    top, library = item.top or derive_top(item.reference) or "", str(liberty() or "")
    theirs = _reference(item.reference, top, library)
    if isinstance(theirs, str):
        return result.unjudgeable(cut(f"the reference cannot be synthesized: {theirs}"))
    mine = figures(item.code, top, library)
    if isinstance(mine, str):
        return result(None, Verdict.UNDECIDED, cut(f"unsupported: {mine}"))
    detail = (
        f"cells {mine.cells:g} (reference {theirs.cells:g}), {'area' if library else 'transistors'} {mine.size:g} "
        f"({theirs.size:g}), depth {mine.depth:g} ({theirs.depth:g})"
    )
    return result(_value(mine, theirs), Verdict.SCORED, detail)


def _value(mine: Figures, theirs: Figures) -> float:
    pairs = ((theirs.cells, mine.cells), (theirs.size, mine.size), (theirs.depth, mine.depth))
    ratios = [min(1.0, (reference + 1) / (candidate + 1)) for reference, candidate in pairs]
    return math.prod(ratios) ** (1 / len(ratios))


@functools.lru_cache(maxsize=32)
def _reference(code: str, top: str, library: str) -> Figures | str:
    with bounds.uncounted():
        return figures(code, top, library)


def figures(code: str, top: str, library: str) -> Figures | str:
    """What a design that the simulator finds right amounts to, or why that is not known. ``library``: the path of a
    Liberty file, or "" for generic gates. Raises ToolMissing."""
    found = gate.examine(code, top, with_variants=True)
    if isinstance(found, gate.Refusal):
        return f"{found.verdict}: {found.detail}"
    try:
        return hazard(found.text, top) or _measured(found.text, top, library)
    except (_Unmeasured, ValueError) as error:
        return str(error)


def _measured(text: str, top: str, library: str) -> Figures:
    """Of the text, or of the plain Verilog that it can be written as where Yosys cannot read it."""
    failures: list[_Unmeasured] = []
    for reading in readings(text, top):
        try:
            return _synthesized(rewrite.for_yosys(reading, top), library)
        except _Unmeasured as error:
            failures.append(error)
    raise failures[0]


def _synthesized(text: str, library: str) -> Figures:
    with sandbox.scratch() as folder:
        (folder / "design.v").write_text(text, encoding="utf-8", errors="replace")
        if library:
            (folder / _LIBRARY).write_bytes(Path(library).read_bytes())
        ran = yosys.passes(folder, [[*_SYNTHESIZE, *_mapped(bool(library))]], LIMITS)
        if ran.error:
            raise _Unmeasured(ran.error)
        return _read(folder, bool(library))


def _mapped(has_library: bool) -> list[str]:
    library = f"-liberty {_LIBRARY}"
    mapping = [f"dfflibmap {library}", f"abc {library}"] if has_library else ["abc -g cmos"]
    stat = f"tee -q -o stat.json stat {library if has_library else '-tech cmos'} -json"
    return [*mapping, "opt_clean", stat, "tee -q -o ltp.txt ltp -noff"]


def _read(folder: Path, has_library: bool) -> Figures:
    """What ``stat`` and ``ltp`` wrote. Raises _Unmeasured."""
    try:
        [module] = json.loads((folder / "stat.json").read_text(encoding="utf-8", errors="replace"))["modules"].values()
        cells = float(module["num_cells"])
        size = _transistors(module) if not has_library else float(module["area"]) if cells else 0.0
        lengths = _LENGTH.findall((folder / "ltp.txt").read_text(encoding="utf-8", errors="replace"))
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise _Unmeasured(f"Yosys's figures cannot be read: {error}") from error
    return Figures(cells, size, max(map(float, lengths), default=0.0))


def _transistors(module: dict[str, dict[str, int]]) -> float:
    """Those that Yosys estimates, and for what it has no number: 24 for a register with asynchronous controls, 12 for a
    latch."""
    counted = float(str(module["estimated_num_transistors"]).rstrip("+"))
    for kind, count in module["num_cells_by_type"].items():
        if _LATCH.match(kind):
            counted += 12 * count
        elif _REGISTER.match(kind) and kind not in _KNOWN_REGISTERS:
            counted += 24 * count
    return counted
