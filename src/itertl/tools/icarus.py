"""Icarus Verilog: find it, name its version, compile, simulate."""

import functools
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from itertl.errors import ToolMissing
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Completed, Limits
from itertl.tools import ivl, warm

# what it says of legal SystemVerilog that it does not know, where slang has elaborated the design before
LACKS = re.compile(
    r"\S*:\d+: (?:sorry: |internal error|syntax error|assert: .*failed assertion|error: (?:This assignment requires an "
    r"explicit cast"
    r"|Cannot assign to array|No function named|A reference to a wire or reg .* is not allowed in|Function \S+ port "
    r"\S+ is not an input port))"
    r"|ivl\b.*\bAssertion\b.*\bfailed\b|Segmentation fault|Aborted|iverilog ended with status -(?:6|11)\b"
)
# on its stderr, where a design cannot write, when it ends by a failure of its own
BROKE = re.compile(r"^vvp: .*Assertion .*failed", re.MULTILINE)
COMPILE_LIMITS = Limits(wall_s=30, cpu_s=30, memory_mb=2048, file_mb=64)
RUN_LIMITS = Limits(wall_s=30, cpu_s=30, memory_mb=2048, file_mb=64)
WAVE = "wave.vcd"


def find(program: str = "iverilog") -> str:
    """Path of ``iverilog`` or ``vvp``; ``ITERTL_IVERILOG`` / ``ITERTL_VVP`` override the search path.

    Raises ToolMissing.
    """
    path = _which(os.environ.get(f"ITERTL_{program.upper()}", program), os.environ.get("PATH"))
    if path is None:
        raise ToolMissing(f"{program} not found: apt-get install iverilog, or set ITERTL_{program.upper()} to its path")
    return path


@functools.cache
def _which(program: str, path: str | None) -> str | None:
    return shutil.which(program, path=path)


@functools.cache
def version() -> str:
    """For example ``"Icarus Verilog 11.0"``. Raises ToolMissing."""
    with sandbox.scratch() as folder:
        done = sandbox.run([find(), "-V"], cwd=folder, limits=Limits(wall_s=20))
    found = re.search(r"Icarus Verilog version (\S+)", done.stdout)
    return f"Icarus Verilog {found[1] if found else '(unknown version)'}"


@dataclass(frozen=True, slots=True)
class Simulation:
    """A compilation and, where it succeeded, the simulation."""

    compiled: Completed
    ran: Completed | None
    waveform: bytes | None = None  # what the simulation left in the file ``WAVE``


def simulate(
    sources: Mapping[str, str],
    *,
    top: str | None = None,
    flags: Sequence[str] = ("-g2012",),
    data_files: Mapping[str, str] | None = None,
    run: bool = True,
    dump: bool = True,
    is_expanded: bool = False,
    limits: tuple[Limits, Limits] = (COMPILE_LIMITS, RUN_LIMITS),
) -> Simulation:
    """Compile ``sources`` (file name -> text, compiled in this order) in a private folder and run the result.

    ``data_files`` are put beside them but not compiled. ``run=False`` only elaborates (``-t null``). ``dump=False``:
    ``$dumpvars`` and related tasks write no waveform, which can take longer than the simulation. ``is_expanded``: the
    sources hold no macro, condition or include, so the compiler is called without its preprocessor, where that works.
    ``limits``: of the compiler, and of the simulation. Raises ToolMissing; never raises for what the design does.
    """
    compile_limits, run_limits = limits
    short = ivl.call(find()) if is_expanded and run and top and tuple(flags) == ("-g2012",) else None
    if short is not None and top is not None:
        sources = {"all.sv": "".join(f'`line 1 "{name}" 0\n{text}\n' for name, text in sources.items())}
        data_files = {**(data_files or {}), **short.files(top)}
    with sandbox.scratch() as folder:
        for name, text in [*sources.items(), *(data_files or {}).items()]:
            (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        argv = [find(), *flags, *(["-s", top] if top else [])]
        argv += ["-o", "design.vvp"] if run else ["-t", "null"]
        if not run:
            return Simulation(sandbox.run([*argv, *sources], cwd=folder, limits=compile_limits), None)
        compiler = short.argv("all.sv") if short is not None else [*argv, *sources]
        steps = [compiler, [find("vvp"), "-n", "design.vvp", *([] if dump else ["-none"])]]
        # vvp starts no other process, and without waveforms writes no file, so a design cannot make it
        alone = replace(run_limits, processes=1, read_only=not dump)
        kept = _warm(short)
        done = sandbox.run_steps(steps, cwd=folder, limits=[compile_limits, alone], warm=kept)
        # with a multiple of 256 errors the compiler's status is 0, and there is nothing to run
        has_program = len(done) == 2 and (folder / "design.vvp").exists()
        waveform = (folder / WAVE).read_bytes() if dump and (folder / WAVE).is_file() else None
        return Simulation(done[0], done[1] if has_program else None, waveform)


def _warm(short: ivl.Call | None) -> tuple[sandbox.Warm | None, sandbox.Warm | None]:
    """Compiler and simulator are kept waiting, where the compiler is called without the driver."""
    made = warm.library() if short is not None else None
    if short is None or made is None:
        return None, None
    return sandbox.Warm(made, short.libraries), sandbox.Warm(made, short.modules)
