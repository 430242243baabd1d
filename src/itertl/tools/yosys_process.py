"""The process in which a Yosys script runs: a new one, or one forked from a worker that has the library loaded."""

import contextlib
import functools
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from itertl.sandbox import bounds, identity, landlock, reach, sandbox
from itertl.sandbox.sandbox import Limits

DETAIL_CHARS = 300
_SCRIPT = "script.ys"
_RULES = "itertl_techmap"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Ran:
    """How a script ended. ``error``: its first error, or "". ``timed_out``: a limit of time ended it."""

    error: str
    timed_out: bool = False


def package_roots() -> list[str]:
    """The folders that this package and pyosys were imported from."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None and spec.origin is not None
    return [str(Path(__file__).resolve().parents[2]), str(Path(spec.origin).resolve().parents[1])]


def can_confine_a_fork() -> bool:
    """A forked child can be confined by Landlock alone."""
    return sandbox.level() == "rlimits" or landlock.abi() > 0


def started(folder: Path, commands: Sequence[str], limits: Limits, program: str | None) -> Ran:
    """The script in a fresh process: of ``program``, or of Python with the library where that is None."""
    (folder / _SCRIPT).write_text("".join(f"{command}\n" for command in commands), encoding="ascii")
    if program is None:
        roots = package_roots()
        argv = [sys.executable, "-I", "-c", _HOST.format(paths=roots)]
        limits = replace(limits, readable=(*limits.readable, *roots))
    else:
        argv = [program, "-q", "-s", _SCRIPT]
    done = sandbox.run(argv, cwd=folder, limits=limits)
    if done.timed_out or done.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
        return Ran("ran out of time", timed_out=True)
    return Ran(_error(done.returncode, done.stderr + done.stdout))


# -I: nothing of the scratch folder or of the environment gets onto the child's path
_HOST = """
import sys
sys.path[:0] = {paths!r}
from itertl.tools.yosys_process import host
host()
"""


def host() -> None:
    """In a disposable process: run ./script.ys and leave; an error ends the process inside ``run_pass``."""
    _quiet_stdout()
    libyosys = importlib.import_module("pyosys.libyosys")
    _run_here(libyosys, [Path(_SCRIPT).read_text(encoding="ascii").splitlines()])


@functools.cache
def _prepared_library() -> Any:
    """The library for a worker's children, with what all of them need read already: the rules of ``techmap``."""
    libyosys = importlib.import_module("pyosys.libyosys")
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


def forked(folder: Path, parts: Iterable[Sequence[str]], limits: Limits) -> Ran:
    """In a pool worker, which has one thread: fork, let the child run the scripts, read what it said."""
    with bounds.uncounted():
        libyosys = _prepared_library()  # before the fork, so that it is loaded once
    limits, owner = replace(bounds.within(limits), readable=(*limits.readable, *package_roots())), _owner()
    reach.readable((sys.executable,), limits.readable)  # likewise: it is remembered
    child = os.fork()
    if child == 0:
        _child(libyosys, folder, parts, limits, owner)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # until it is reaped, its group's number is not reused
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, ended, usage = os.wait4(child, 0)
    status = os.waitstatus_to_exitcode(ended)
    ran_out = status in (-signal.SIGALRM, -signal.SIGXCPU)
    bounds.charge(usage.ru_utime + usage.ru_stime, ran_out=ran_out)
    if ran_out:
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
        landlock.libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a worker that is stopped takes it along
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
