"""The miter's question: is ``differs`` ever 1, and was there anything to compare?

Where simulation alone decides (``aig``), no solver runs; the rest goes to ABC. A network without registers goes to
ABC's combinational engine, one with registers through its sequential ones (register correspondence and induction,
bounded search, property-directed reachability) in one process. Only the statuses that it prints count.
"""

import re
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from itertl.errors import ToolFailed
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.scoring.equivalence import aig
from itertl.scoring.equivalence.script import DIFFERS, KNOWN, MITER, SETTLED
from itertl.tools import yosys

Answer = Literal["never", "ever", "unknown", "timeout"]
_STATUS = re.compile(r"^Status = *(-?\d)", re.MULTILINE)
_COVER_FRAMES = 80
_TRACE = "trace.txt"
_READ = f"read_aiger {MITER}.aig; cone -a -O {{}}; strash"


@dataclass(frozen=True, slots=True)
class Solved:
    """ABC's answer, or that of simulation."""

    differs: Answer  # whether the outputs can differ
    is_defined: bool  # everything of the reference, outputs and state, was seen defined
    trace: tuple[str, ...] = ()  # for each step, the inputs' bits in the order of the map


def solve(folder: Path, *, cpu_s: int, memory_mb: int = 2048) -> Solved:
    """Answer for ``miter.aig`` in the folder. Raises ToolMissing, ToolFailed."""
    network = aig.read(folder / f"{MITER}.aig")
    differs, settled = network.names[DIFFERS], network.names[SETTLED]
    known = [number for name, number in network.names.items() if name.startswith(KNOWN)]
    is_defined = aig.reached(network, known)
    found = aig.exhausted(network, differs)
    if found:
        return Solved("ever", is_defined, tuple(found))
    if is_defined and (found is not None or aig.explored(network, differs) is False):
        return Solved("never", is_defined)
    search = f"bmc3 -F {_COVER_FRAMES} -T 1" if network.latches else "dprove -T 1"
    cover = [_READ.format(settled), search, "print_status"] if not is_defined else []
    question = [_READ.format(differs), f"dprove -T 1; pdr -T {cpu_s}", "print_status", f"write_cex -a {_TRACE}"]
    limits = Limits(wall_s=5.0 * cpu_s, cpu_s=cpu_s, memory_mb=memory_mb)
    return _asked(folder, [*cover, *question], bool(network.latches), limits)


def _asked(folder: Path, commands: list[str], has_state: bool, limits: Limits) -> Solved:
    """ABC's answer: the last status is the question's, one before it whether all is ever defined."""
    readable = tuple(yosys.package_roots()) if yosys.has_library() else ()
    done = sandbox.run(
        [yosys.abc_program(), "-c", "; ".join(commands)], cwd=folder, limits=replace(limits, readable=readable)
    )
    said = [int(found) for found in _STATUS.findall(done.stdout)]
    wanted = commands.count("print_status")
    if done.timed_out or done.returncode in (-signal.SIGXCPU, -signal.SIGKILL) or "bad_alloc" in done.stderr:
        return Solved("timeout", wanted == 1)
    if len(said) != wanted:
        raise ToolFailed(f"ABC ended with status {done.returncode}: {(done.stderr or done.stdout)[-200:]}")
    answer: Answer = {0: "ever", 1: "never"}.get(said[-1], "unknown")  # type: ignore[assignment]
    return Solved(answer, wanted == 1 or said[0] == 0, _trace(folder / _TRACE, has_state) if answer == "ever" else ())


def _trace(path: Path, has_state: bool) -> tuple[str, ...]:
    """The lines of inputs of what ABC wrote, one a step; with registers, a line of their first values comes before."""
    text = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return tuple(lines[1:] if has_state else lines)
