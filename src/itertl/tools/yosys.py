"""Yosys (pyosys, or the program): passes in a process of their own, and the question whether a design synthesizes.

A Yosys error ends the process that hosts the library without an exception, so each script has a process of its own:
``passes`` starts one (about 0.3 s) or, in a pool's worker, forks one from the worker, which has the library loaded
(milliseconds). A script holds fixed words alone: a name that a design chose can run a command there, so names are in
the files that a script reads, which this package names. What it does not: read a design's text for what it hides from a
synthesizer; see ``judging.gate``.
"""

import functools
import importlib.metadata
import importlib.util
import multiprocessing
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from itertl.errors import ToolMissing
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.tools.yosys_process import Ran, can_confine_a_fork, forked, package_roots, started

__all__ = (
    "LIMITS", "Ran", "abc_program", "has_library", "package_roots", "passes", "synthesizes",
    "version",
)  # fmt: skip

LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=4096, file_mb=64, proc=True)
_MODULES = "modules.txt"  # where the script lists what is left: Yosys reports no error for a text without a module
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def _program() -> str | None:
    """Path of a ``yosys`` program (``ITERTL_YOSYS`` overrides the search path), or None."""
    return shutil.which(os.environ.get("ITERTL_YOSYS", "yosys"))


def has_library() -> bool:
    """Whether Yosys is here as a library: pyosys."""
    return importlib.util.find_spec("pyosys") is not None


def _missing() -> ToolMissing:
    return ToolMissing("Yosys not found: pip install pyosys, or apt-get install yosys, or set ITERTL_YOSYS to its path")


@functools.cache
def version() -> str:
    """For example ``"Yosys 0.70 (pyosys)"``. Raises ToolMissing."""
    if has_library():
        return f"Yosys {importlib.metadata.version('pyosys')} (pyosys)"
    program = _program()
    if program is None:
        raise _missing()
    with sandbox.scratch() as folder:
        done = sandbox.run([program, "-V"], cwd=folder, limits=Limits(wall_s=20, proc=True))
    found = re.search(r"Yosys (\S+)", done.stdout)
    return f"Yosys {found[1] if found else '(unknown version)'}"


def abc_program() -> str:
    """Path of the ABC that comes with Yosys. Raises ToolMissing."""
    beside = [str(Path(root) / "pyosys" / "yosys-abc") for root in package_roots()] if has_library() else []
    program = _program()
    beside += [str(Path(program).parent / "yosys-abc")] if program else []
    found = next((path for path in beside if os.access(path, os.X_OK)), None) or shutil.which("yosys-abc")
    if found is None:
        raise ToolMissing("yosys-abc not found: it comes with Yosys; pip install pyosys, or apt-get install yosys-abc")
    return found


def passes(folder: Path, parts: Iterable[Sequence[str]], limits: Limits) -> Ran:
    """Run scripts, which hold no name of a design, one after the other in the private folder.

    Each starts from nothing. ``parts`` may be a generator: what it does between two of its scripts, on files in the
    working folder or by ``folder``, happens between them, in a forked child where there is one. Raises ToolMissing.
    """
    if not has_library() and _program() is None:
        raise _missing()
    if has_library() and multiprocessing.parent_process() is not None and can_confine_a_fork():
        return forked(folder, parts, limits)
    for commands in parts:
        ran = started(folder, commands, limits, None if has_library() else _program())
        if ran.error:
            return ran
    return Ran("")


def synthesizes(code: str, top: str) -> tuple[bool, str]:
    """Whether Yosys reads ``code`` and synthesizes it from ``top`` ("": the top it finds itself), and its first error.

    Modules that are instantiated but absent are errors. Running into ``LIMITS`` is "no". Raises ToolMissing.
    """
    if top and not _PLAIN_NAME.fullmatch(top):
        return False, f"the top module's name {top[:80]!r} is not a plain identifier"
    synth = f"synth -noabc -top {top}" if top else "synth -noabc -auto-top"
    with sandbox.scratch() as folder:
        (folder / "design.v").write_bytes(code.encode("utf-8", "surrogatepass"))
        ran = passes(folder, [["read_verilog -sv design.v", synth, f"tee -q -o {_MODULES} ls"]], LIMITS)
        listed = folder / _MODULES
        is_empty = listed.exists() and not listed.read_text(errors="replace").strip()
    if ran.timed_out:
        return False, f"synthesis did not end within {LIMITS.wall_s:g} s"
    if ran.error:
        return False, ran.error
    return (False, "the text holds no module") if is_empty else (True, "")
