"""A second check of what was proven, by two ways that share only the gate and Yosys's reader with the proof.

Simulation: the texts as they are, under other seeds, without netlist or solver. Induction: Yosys's own ``miter`` and
``sat`` (temporal induction from registers that are X, base case and step), without this package's model of X, and
without ABC. What either contradicts is undecided; a proof is ``confirmed`` where both agree, ``simulated`` where the
induction does not end (deep state, limits) and the simulation agrees.
"""

import os
import re
from collections.abc import Sequence

from itertl.judging import gate
from itertl.judging.gate import Design
from itertl.judging.outcomes import cut
from itertl.records import Score, Verdict
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.scoring import interface
from itertl.scoring.equivalence.rewrite import TOP, for_yosys
from itertl.scoring.item import ScoreItem
from itertl.tools import yosys
from itertl.verilog.header import derive_top
from itertl.work.engine import map_unordered

SEEDS = ("recheck 1", "recheck 2", "recheck 3")
_SEED = "ITERTL_VECTORS_SEED"
_SOLVE_S, _MOST_STEPS = 8, 40
_LIMITS = Limits(wall_s=60, cpu_s=20, memory_mb=3072, file_mb=64, proc=True)
_PROVEN = re.compile(r"Induction step proven: SUCCESS|SAT proof finished - no model found: SUCCESS")
_DIFFERS = re.compile(r"SAT (temporal induction )?proof finished - model found( for base case)?: FAIL")
_SIDES = ("gold", "gate")
KINDS = ("confirmed", "simulated", "contradicted", "open")


def again(item: ScoreItem) -> tuple[str, str]:
    """(one of ``KINDS``, the difference in words or ""). In a worker.

    Raises ToolMissing.
    """
    agreed, difference = simulated(item)
    if difference:
        return "contradicted", f"simulated anew: {difference}"
    said = induced(item)
    if said == "differs":
        return "contradicted", "Yosys's sat finds a difference"
    if agreed < len(SEEDS):
        return "open", ""
    return ("confirmed" if said == "proven" else "simulated"), ""


def induced(item: ScoreItem) -> str:
    """The result of Yosys's induction on the two texts: "proven", "differs" or "open". Raises ToolMissing."""
    top = item.top or derive_top(item.reference or "") or ""
    with sandbox.scratch() as folder:
        clocks: list[object] = []
        for side, code in zip(_SIDES, (item.reference or "", item.code), strict=True):
            design = gate.examine(code, top)
            if not isinstance(design, Design):
                return "open"
            try:
                seen = interface.read(design.text, top)
                (folder / f"{side}.v").write_text(for_yosys(design.text, top), encoding="utf-8", errors="replace")
            except (interface.Unsupported, ValueError):
                return "open"
            is_plain = not seen.has_latch and len(seen.clocks) <= 1
            clocks.append([(clock.name, clock.edges) for clock in seen.clocks] if is_plain else None)
        yosys.passes(folder, [_script(is_plain=clocks[0] is not None and clocks[0] == clocks[1])], _LIMITS)
        path = folder / "said.txt"
        said = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "proven" if _PROVEN.search(said) else "differs" if _DIFFERS.search(said) else "open"


def _script(*, is_plain: bool) -> list[str]:
    """``is_plain``: one clock, of the same edges in both, so that a step is a cycle; else a step is any change of any
    input."""
    lines: list[str] = []
    for side in _SIDES:
        lines += [
            f"read_verilog -sv -noassert -noassume -norestrict -nodisplay {side}.v", f"hierarchy -check -top {TOP}",
            "proc", "flatten", "memory_map", "opt_clean", f"rename {TOP} {side}", f"design -stash {side}",
        ]  # fmt: skip
    lines += [f"design -copy-from {side} -as {side} {side}" for side in _SIDES]
    lines += ["miter -equiv -flatten -ignore_gold_x gold gate miter", "hierarchy -check -top miter"]
    lines += ["async2sync" if is_plain else "clk2fflogic", "dffunmap", "opt_clean"]
    start = f"-tempinduct -seq 1 -maxsteps {_MOST_STEPS} -set-init-undef -set-def-inputs"
    return [*lines, f"tee -q -o said.txt sat {start} -timeout {_SOLVE_S} -prove trigger 0 miter"]


def simulated(item: ScoreItem) -> tuple[int, str]:
    """(simulations under other seeds that agreed, the first difference or ""). In a worker. Raises ToolMissing."""
    from itertl.scoring.vectors import score as vectors

    before, agreed = os.environ.get(_SEED), 0
    try:
        for seed in SEEDS:
            os.environ[_SEED] = seed
            found = vectors.score(item)
            if found.verdict is Verdict.WRONG_OUTPUT:
                return agreed, found.detail
            agreed += found.verdict is Verdict.PASSED
    finally:
        os.environ.pop(_SEED, None) if before is None else os.environ.update({_SEED: before})
    return agreed, ""


def recheck(
    items: Sequence[ScoreItem], taken: Sequence[tuple[Score, ...]], *, num_workers: int, timeout_s: float
) -> tuple[list[tuple[Score, ...]], dict[int, str]]:
    """The scores, where the detail of a proof says what came of it, and one that is contradicted becomes undecided; and
    the result (of ``KINDS``) of each item that was proven, by its place."""
    proven = [number for number, scores in enumerate(taken) if any(_is_proof(score) for score in scores)]
    result, found = list(taken), dict.fromkeys(proven, "open")
    payloads = [items[number] for number in proven]
    again_one, longest_s = "itertl.scoring.equivalence.recheck:again", len(SEEDS) * timeout_s + _LIMITS.wall_s
    for place, outcome in map_unordered(again_one, payloads, num_workers=num_workers, timeout_s=longest_s):
        said, difference = outcome.value if outcome.status == "ok" else ("open", "")
        number = proven[place]
        found[number] = said
        result[number] = tuple(_with(score, said, difference) if _is_proof(score) else score for score in taken[number])
    return result, found


def _is_proof(score: Score) -> bool:
    return score.scorer == "equivalence" and score.verdict is Verdict.PASSED


_SAYS = {
    "confirmed": "confirmed (simulation and induction agree)",
    "simulated": "simulated (other seeds agree, the induction did not finish)",
    "open": "open (the second check came to no result)",
}


def _with(score: Score, said: str, difference: str) -> Score:
    """The proof with the second result at the begin of its detail, whose end may be cut."""
    if said == "contradicted":
        detail = cut(f"unknown: proven, but contradicted: {difference}")
        return score.model_copy(update={"value": None, "verdict": Verdict.UNDECIDED, "detail": detail})
    outcome, _, rest = score.detail.partition(": ")
    return score.model_copy(update={"detail": cut(f"{outcome}, {_SAYS[said]}: {rest}")})
