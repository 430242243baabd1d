"""Yosys (pyosys, or the program): passes in a process of their own, and the question whether a design synthesizes.

A Yosys error ends the process that hosts the library without an exception, so each script has a process of its own:
``passes`` starts one (about 0.3 s) or, in a pool's worker, forks one from the worker, which has the library loaded
(milliseconds). A script holds fixed words alone: a name that a design chose can run a command there, so names stand in
the files that a script reads, under names of ours. What it does not: read a design's text for what it hides from a
synthesizer; see ``judging.gate``.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from itertl.errors import ToolFailed, ToolMissing
from itertl.tools import identity, landlock, pool, reach, sandbox
from itertl.tools.sandbox import Limits

LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=4096, file_mb=64, proc=True)
DETAIL_CHARS = 300
_SCRIPT = "script.ys"
_MODULES = "modules.txt"  # where the script lists what is left: a text without a module is no error to Yosys
_RULES = "itertl_techmap"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a script ended. ``error``: its first error, "" where it came to its end. ``timed_out``: a limit of time ended it."""

    error: str
    timed_out: bool = False


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


def package_roots() -> list[str]:
    """The folders that this package and pyosys were imported from."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None and spec.origin is not None
    return [str(Path(__file__).resolve().parents[2]), str(Path(spec.origin).resolve().parents[1])]


def passes(folder: Path, parts: Iterable[Sequence[str]], limits: Limits) -> Ran:
    """Run scripts, in which no name of a design stands, one after the other in the private folder.

    Each starts from nothing. ``parts`` may be a generator: what it does between two of its scripts, on files in the
    working folder or by ``folder``, happens between them, in a forked child where there is one. Raises ToolMissing.
    """
    if not has_library() and _program() is None:
        raise _missing()
    if has_library() and multiprocessing.parent_process() is not None and _can_confine_a_fork():
        return _forked(folder, parts, limits)
    for commands in parts:
        ran = _started(folder, commands, limits)
        if ran.error:
            return ran
    return Ran("")


def _can_confine_a_fork() -> bool:
    """A forked child can be confined by Landlock alone."""
    return sandbox.level() == "rlimits" or landlock.abi() > 0


def _started(folder: Path, commands: Sequence[str], limits: Limits) -> Ran:
    """The script in a fresh process."""
    (folder / _SCRIPT).write_text("".join(f"{command}\n" for command in commands), encoding="ascii")
    if has_library():
        roots = package_roots()
        argv = [sys.executable, "-I", "-c", _HOST.format(paths=roots)]
        limits = replace(limits, readable=(*limits.readable, *roots))
    else:
        argv = [_program() or "yosys", "-q", "-s", _SCRIPT]
    done = sandbox.run(argv, cwd=folder, limits=limits)
    if done.timed_out or done.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
        return Ran("ran out of time", timed_out=True)
    return Ran(_error(done.returncode, done.stderr + done.stdout))


# -I: nothing of the scratch folder or of the environment gets onto the child's path
_HOST = """
import sys
sys.path[:0] = {paths!r}
from itertl.tools.yosys import _host
_host()
"""


def _host() -> None:
    """In a disposable process: run ./script.ys and leave; an error ends the process inside ``run_pass``."""
    _quiet_stdout()
    _run_here(_library(), [Path(_SCRIPT).read_text(encoding="ascii").splitlines()])


def _library() -> Any:
    return importlib.import_module("pyosys.libyosys")


@functools.cache
def _prepared_library() -> Any:
    """The library for a worker's children, with what all of them need read already: the rules of ``techmap``."""
    libyosys = _library()
    out = os.dup(1)
    _quiet_stdout()
    try:
        design = libyosys.Design()
        libyosys.run_pass("read_verilog -sv -nooverwrite -noblackbox -icells +/techmap.v", design)
        libyosys.run_pass(f"design -save {_RULES}", design)
    finally:
        os.dup2(out, 1)
        os.close(out)
    return libyosys


def _quiet_stdout() -> None:
    """Yosys logs each pass at length; only its errors, which it writes to stderr, are wanted."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _run_here(libyosys: Any, parts: Iterable[Sequence[str]], *, has_rules: bool = False) -> None:
    for commands in parts:
        design = libyosys.Design()
        for command in commands:
            libyosys.run_pass(f"techmap -map %{_RULES}" if has_rules and command == "techmap" else command, design)
    os._exit(0)


def _forked(folder: Path, parts: Iterable[Sequence[str]], limits: Limits) -> Ran:
    """In a pool worker, which has one thread: fork, let the child run the scripts, read what it said."""
    libyosys = _prepared_library()  # before the fork, so that it is loaded once
    limits, owner = replace(limits, readable=(*limits.readable, *package_roots())), _owner()
    reach.readable((sys.executable,), limits.readable)  # likewise: it is remembered
    child = os.fork()
    if child == 0:
        _child(libyosys, folder, parts, limits, owner)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # until it is reaped, its group's number is not reused
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (-signal.SIGALRM, -signal.SIGXCPU):
        return Ran("ran out of time", timed_out=True)
    said = (folder / "stderr").read_bytes()[: limits.output_kb * 1024] if (folder / "stderr").exists() else b""
    return Ran(_error(status, said.decode("utf-8", "replace")))


@functools.cache
def _owner() -> int | None:
    """The user that this worker's children become; None where they cannot."""
    return identity.identity()


def _child(libyosys: Any, folder: Path, parts: Iterable[Sequence[str]], limits: Limits, owner: int | None) -> None:
    """The forked half: stderr into a file, confinement, passes. Never returns."""
    try:
        os.chdir(folder)
        said = os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(said, 2)
        _quiet_stdout()
        os.environ["TMPDIR"] = str(folder)  # the one place where passes that start a program may write
        sandbox.confine_here(folder, limits, owner)
        signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
        _run_here(libyosys, parts, has_rules=True)
    except BaseException as error:
        os.write(2, f"ERROR: {type(error).__name__}: {error}\n".encode(errors="replace"))
    os._exit(3)


def _error(returncode: int, output: str) -> str:
    """The first error of a script that ended with that status, or ""."""
    if returncode == 0:
        return ""
    lines = output.splitlines()
    error = next((line for line in lines if "ERROR" in line), lines[-1] if lines else f"ended with status {returncode}")
    return error.strip()[:DETAIL_CHARS] or f"ended with status {returncode}"


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


def synthesizes_many(designs: Iterable[tuple[str, str]], *, num_workers: int = 0) -> list[tuple[bool, str]]:
    """``synthesizes`` for each (code, top), in their order, on all cores. Raises ToolMissing, ToolFailed."""
    rows = list(designs)
    if not has_library() and _program() is None:
        raise _missing()
    results: dict[int, tuple[bool, str]] = {}
    limit = LIMITS.wall_s + 30
    for number, outcome in pool.map_unordered(
        "itertl.tools.yosys:_worker", rows, num_workers=num_workers, timeout_s=limit
    ):
        if outcome.status == "timeout":
            results[number] = (False, f"synthesis did not end within {limit:g} s")
        elif outcome.status != "ok":
            raise ToolFailed(f"Yosys worker failed on design {number}: {outcome.detail}")
        else:
            results[number] = outcome.value
    return [results[number] for number in range(len(rows))]


def _worker(design: tuple[str, str]) -> tuple[bool, str]:
    return synthesizes(*design)
