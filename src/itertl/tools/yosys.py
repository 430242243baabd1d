"""Yosys (pyosys): does a design synthesize?

A Yosys error ends the process that hosts the library without an exception, so each design has a process of its own:
``synthesizes`` starts one (about 0.3 s), ``synthesizes_many`` forks one from a worker that has the library loaded
(milliseconds). What it does not: map to a cell library, or judge area and timing.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from itertl.errors import ToolFailed, ToolMissing
from itertl.tools import identity, landlock, pool, sandbox
from itertl.tools.sandbox import Limits

LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=4096, file_mb=64, proc=True)
DETAIL_CHARS = 300
_MODULES = "modules.txt"  # where the script lists what is left: a text without a module is no error to Yosys
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def _program() -> str | None:
    """Path of a ``yosys`` program (``ITERTL_YOSYS`` overrides the search path), or None."""
    return shutil.which(os.environ.get("ITERTL_YOSYS", "yosys"))


def _has_library() -> bool:
    return importlib.util.find_spec("pyosys") is not None


def _missing() -> ToolMissing:
    return ToolMissing("Yosys not found: pip install pyosys, or apt-get install yosys, or set ITERTL_YOSYS to its path")


@functools.cache
def version() -> str:
    """For example ``"Yosys 0.70 (pyosys)"``. Raises ToolMissing."""
    if _has_library():
        return f"Yosys {importlib.metadata.version('pyosys')} (pyosys)"
    program = _program()
    if program is None:
        raise _missing()
    with sandbox.scratch() as folder:
        done = sandbox.run([program, "-V"], cwd=folder, limits=Limits(wall_s=20, proc=True))
    found = re.search(r"Yosys (\S+)", done.stdout)
    return f"Yosys {found[1] if found else '(unknown version)'}"


def _script(top: str) -> list[str]:
    """The passes. ``top`` has been checked to be a plain name; "" lets Yosys find it."""
    synth = f"synth -noabc -top {top}" if top else "synth -noabc -auto-top"
    return ["read_verilog -sv design.v", synth, f"tee -q -o {_MODULES} ls"]


def _refusal(top: str) -> str | None:
    """Why ``top`` cannot be written into a script, or None."""
    if top and not _PLAIN_NAME.fullmatch(top):
        return f"the top module's name {top[:80]!r} is not a plain identifier"
    return None


def synthesizes(code: str, top: str) -> tuple[bool, str]:
    """Whether Yosys reads ``code`` and synthesizes it from ``top`` ("": the top it finds itself), and its first error.

    Modules that are instantiated but absent are errors. Running into ``LIMITS`` is "no". Raises ToolMissing.
    """
    if refusal := _refusal(top):
        return False, refusal
    with sandbox.scratch() as folder:
        _write(folder, code)
        if _has_library():
            argv = [sys.executable, "-I", "-c", _HOST.format(paths=_package_roots()), top]
            limits = replace(LIMITS, readable=tuple(_package_roots()))
        elif program := _program():
            argv, limits = [program, "-q", "-p", "; ".join(_script(top))], LIMITS
        else:
            raise _missing()
        done = sandbox.run(argv, cwd=folder, limits=limits)
        empty = _is_empty(folder)
    if done.timed_out:
        return False, f"synthesis did not end within {LIMITS.wall_s:g} s"
    return _verdict(done.returncode, done.stderr + done.stdout, empty)


def synthesizes_many(designs: Iterable[tuple[str, str]], *, num_workers: int = 0) -> list[tuple[bool, str]]:
    """``synthesizes`` for each (code, top), in their order, on all cores. Raises ToolMissing, ToolFailed."""
    rows = list(designs)
    function = "itertl.tools.yosys:_worker" if _has_library() else "itertl.tools.yosys:_worker_by_program"
    if not _has_library() and _program() is None:
        raise _missing()
    results: dict[int, tuple[bool, str]] = {}
    limit = LIMITS.wall_s + 30
    for number, outcome in pool.map_unordered(function, rows, num_workers=num_workers, timeout_s=limit):
        if outcome.status == "timeout":
            results[number] = (False, f"synthesis did not end within {limit:g} s")
        elif outcome.status != "ok":
            raise ToolFailed(f"Yosys worker failed on design {number}: {outcome.detail}")
        else:
            results[number] = outcome.value
    return [results[number] for number in range(len(rows))]


def _package_roots() -> list[str]:
    """The folders that this package and pyosys were imported from."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None and spec.origin is not None
    return [str(Path(__file__).resolve().parents[2]), str(Path(spec.origin).resolve().parents[1])]


# -I: nothing of the scratch folder or of the environment gets onto the child's path
_HOST = """
import sys
sys.path[:0] = {paths!r}
from itertl.tools.yosys import _host
_host(sys.argv[1])
"""


def _host(top: str) -> None:
    """In a disposable process: synthesize ./design.v and leave; an error ends the process inside ``run_pass``."""
    _quiet_stdout()
    _passes(_library(), top)


def _library() -> Any:
    return importlib.import_module("pyosys.libyosys")


def _quiet_stdout() -> None:
    """Yosys logs each pass at length; only its errors, which it writes to stderr, are wanted."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _passes(libyosys: Any, top: str) -> None:
    design = libyosys.Design()
    for command in _script(top):
        libyosys.run_pass(command, design)
    os._exit(0)


def _write(folder: Path, code: str) -> None:
    (folder / "design.v").write_bytes(code.encode("utf-8", "surrogatepass"))


def _is_empty(folder: Path) -> bool:
    listed = folder / _MODULES
    return listed.exists() and not listed.read_text(errors="replace").strip()


def _verdict(returncode: int, output: str, empty: bool) -> tuple[bool, str]:
    if returncode == 0:
        return (False, "the text holds no module") if empty else (True, "")
    lines = output.splitlines()
    error = next((line for line in lines if "ERROR" in line), lines[-1] if lines else f"ended with status {returncode}")
    return False, error.strip()[:DETAIL_CHARS]


def _worker_by_program(design: tuple[str, str]) -> tuple[bool, str]:
    return synthesizes(*design)


def _worker(design: tuple[str, str]) -> tuple[bool, str]:
    """In a pool worker, which has one thread: fork, let the child synthesize, read what it said."""
    code, top = design
    if refusal := _refusal(top):
        return False, refusal
    if sandbox.level() != "rlimits" and not landlock.abi():
        return synthesizes(code, top)  # a forked child can be confined by Landlock alone
    libyosys = _library()  # before the fork, so that it is loaded once
    limits, owner = replace(LIMITS, readable=tuple(_package_roots())), _owner()
    with sandbox.scratch() as folder:
        _write(folder, code)
        child = os.fork()
        if child == 0:
            _child(libyosys, folder, top, limits, owner)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # until it is reaped, its group's number is not reused
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = (folder / "stderr").read_bytes()[: LIMITS.output_kb * 1024].decode("utf-8", "replace")
        empty = _is_empty(folder)
    if status in (-signal.SIGALRM, -signal.SIGXCPU):
        return False, f"synthesis did not end within {LIMITS.wall_s:g} s"
    return _verdict(status, said, empty)


@functools.cache
def _owner() -> int | None:
    """The user that this worker's children become; None where they cannot."""
    return identity.identity()


def _child(libyosys: Any, folder: Path, top: str, limits: Limits, owner: int | None) -> None:
    """The forked half: stderr into a file, confinement, passes. Never returns."""
    with contextlib.suppress(BaseException):
        os.chdir(folder)
        said = os.open("stderr", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(said, 2)
        _quiet_stdout()
        sandbox.confine_here(folder, limits, owner)
        signal.alarm(int(limits.wall_s))
        _passes(libyosys, top)
    os._exit(3)
