"""Icarus's compiler proper, ``ivl``, called without the driver, the shell and the preprocessor around it.

For text that needs no preprocessor this is half the processor time of ``iverilog``, and one program less that reads
hostile text. What the driver passes to its compiler is read off the installed driver itself, once in a process, and the
short way is only taken where both compile a probe to the same program; elsewhere ``call`` is None.
"""

import functools
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits

CONFIG = "ivl.conf"
_TRANSLATE = re.compile(r"""^translate: .*?\|\s*"?(?P<ivl>[^"|\s]+/ivl)"?\s""", re.MULTILINE)
_SPY = '#!/bin/sh\nfor word; do case "$word" in -C*) cat "${word#-C}";; esac; done\n'
_PROBE = (
    '`timescale 1ns/1ps\nmodule probe; reg [3:0] a; initial begin a = $clog2(9); #1 $display("%b", a); end endmodule\n'
)
_LIMITS = Limits(wall_s=20)


@dataclass(frozen=True, slots=True)
class Call:
    """How ``ivl`` is called. ``config`` lacks the lines that name the root module and the output."""

    program: str
    config: str

    def files(self, top: str) -> Mapping[str, str]:
        """What must lie beside the source."""
        return {CONFIG: f"root:{top}\nout:design.vvp\n{self.config}"}

    @property
    def modules(self) -> tuple[str, ...]:
        """Libraries that the simulator loads, and the compiler too."""
        return tuple(re.findall(r"^module:(.+)$", self.config, re.MULTILINE))

    @property
    def libraries(self) -> tuple[str, ...]:
        """Libraries that the compiler loads."""
        base = re.search(r"^basedir:(.+)$", self.config, re.MULTILINE)
        target = re.search(r"^flag:DLL=(.+)$", self.config, re.MULTILINE)
        return (*self.modules, *([f"{base[1]}/{target[1]}"] if base and target else []))

    def argv(self, source: str) -> list[str]:
        return [self.program, f"-C{CONFIG}", "--", source]


@functools.cache
def call(iverilog: str) -> Call | None:
    """The call by which this driver's compiler makes what ``iverilog -g2012`` makes, or None."""
    with sandbox.scratch() as folder:
        (folder / "probe.v").write_text(_PROBE, encoding="utf-8")
        argv = [iverilog, "-v", "-g2012", "-s", "probe", "-o", "driver.vvp", "probe.v"]
        made = sandbox.run(argv, cwd=folder, limits=_LIMITS)
        found = _TRANSLATE.search(made.stdout + made.stderr)
        if found is None or not (folder / "driver.vvp").exists():
            return None
        if (config := _config(iverilog, Path(found["ivl"]).parent, folder)) is None:
            return None
        short = Call(found["ivl"], config)
        for name, text in short.files("probe").items():
            (folder / name).write_text(text, encoding="utf-8")
        sandbox.run(short.argv("probe.v"), cwd=folder, limits=_LIMITS)
        program = folder / "design.vvp"
        is_same = program.exists() and _program(program) == _program(folder / "driver.vvp")
        return short if is_same else None


def _config(iverilog: str, base: Path, folder: Path) -> str | None:
    """What the driver writes for its compiler, seen by a stand-in that it calls instead."""
    spied = folder / "base"
    spied.mkdir()
    for entry in base.iterdir():
        (spied / entry.name).symlink_to(entry)
    (spied / "ivl").unlink(missing_ok=True)
    (spied / "ivl").write_text(_SPY, encoding="ascii")
    (spied / "ivl").chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IRGRP | stat.S_IROTH | stat.S_IXOTH)
    argv = [iverilog, f"-B{spied}", "-g2012", "-s", "probe", "-o", "spied.vvp", "probe.v"]
    answer = sandbox.run(argv, cwd=folder, limits=Limits(wall_s=20, readable=(str(base),)))
    lines = [line for line in answer.stdout.splitlines() if line.split(":")[0] not in ("root", "out", "ivlpp", "")]
    kept = [line for line in lines if not line.startswith("module:") or "/vhdl_" not in line]  # loading them takes time
    return "".join(f"{line.replace(str(spied), str(base))}\n" for line in kept) or None


def _program(path: Path) -> str:
    """A compiled program without addresses, the libraries it names, and source files with their numbers."""
    text = re.sub(r"0x[0-9a-f]{4,}", "0x", path.read_text(encoding="utf-8", errors="replace"))
    text = re.sub(r'(%vpi_call\S*|" "\S*") \d+ (\d+)', r"\1 \2", text.partition(":file_names")[0])
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", ":vpi_module")))
