"""What results depend on beside texts and settings, of one machine: nodes of a cluster must be alike in it."""

import contextlib
import functools
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import itertl
from itertl.config import ComputeConfig
from itertl.errors import ToolMissing
from itertl.sandbox import sandbox
from itertl.tools import icarus, slang, verilator, yosys
from itertl.work import engine


def look() -> dict[str, str]:
    """Versions by name, "" for what is missing, and the sandbox."""
    tools = {"Icarus": icarus.version, "slang": slang.version, "Yosys": yosys.version, "Verilator": verilator.version}
    found = {"itertl": f"{itertl.__version__} (sources {_sources()})"}
    for name in ("pyverilog", "rapidfuzz"):
        found[name] = ""
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    for name, ask in tools.items():
        found[name] = ""
        with contextlib.suppress(ToolMissing):
            found[name] = ask()
    return {**found, "sandbox": sandbox.level()}


@functools.cache
def _sources() -> str:
    """A hash of this package's files: between versions they change too."""
    root = Path(itertl.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in (".py", ".c")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def machines(config: ComputeConfig, say: Callable[[str], object]) -> AbstractContextManager[engine.Engine]:
    """Work where the recipe says, on nodes that are like this machine. See ``engine.using``."""
    return engine.using(config, f"{__name__}:look", say)
