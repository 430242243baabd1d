"""The library by which a program is kept waiting before its main function (``sandbox/warm.c``), compiled here."""

import functools
import platform
import shutil
from importlib import resources
from pathlib import Path

from itertl.errors import ItertlError
from itertl.sandbox import bounds, sandbox
from itertl.sandbox.sandbox import Limits

_LIMITS = Limits(wall_s=60, cpu_s=20, file_mb=16, builds=True)
_MOST_BYTES = 1 << 18


@functools.cache
def library() -> bytes | None:
    """Its bytes; None where this machine has no C compiler that makes it. Takes a tenth of a second, once a process."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or platform.machine() != "x86_64":
        return None
    source = resources.files("itertl.sandbox").joinpath("warm.c").read_text(encoding="utf-8")
    with bounds.uncounted(), sandbox.scratch() as folder:
        (folder / "warm.c").write_text(source, encoding="utf-8")
        argv = [str(Path(compiler).resolve()), "-O1", "-shared", "-fPIC", "-s", "-o", "warm.so", "warm.c", "-ldl"]
        try:
            done = sandbox.run(argv, cwd=folder, limits=_LIMITS)
        except (OSError, ItertlError):
            return None
        made = folder / "warm.so"
        if done.returncode != 0 or not made.is_file() or made.stat().st_size > _MOST_BYTES:
            return None
        return made.read_bytes()
