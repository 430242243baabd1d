"""What is installed, which versions, what works, how to get what is missing.

Every part is put to real work in a disposable process (``probes``), so one that crashes is reported and costs nothing
else. What it does not: reach the network, or change anything but a file that it writes and removes in the cache.
"""

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from itertl.doctor.probes import PARTS
from itertl.runs.storage import cache_folder
from itertl.work import pool

if TYPE_CHECKING:
    from rich.table import Table

Status = Literal["ok", "missing", "broken", "optional-missing"]


MIN_FREE_GIB = 5.0  # the default model converted, and two checkpoints with optimizer state
MIN_MEMORY_GIB = 6.0


@dataclass(frozen=True, slots=True)
class PartCheck:
    """One part. ``remedy`` is "" where the part is ok; "optional-missing" also where only the default run lacks it."""

    name: str
    status: Status
    version: str
    detail: str
    remedy: str


def examine() -> list[PartCheck]:
    """Examine Python, the machine and every part, in a fixed order; about 20 s on two busy cores.

    Never raises for what a part does.
    """
    return [_python(), _cores_and_memory(), _disk(cache_folder()), *examine_parts(PARTS)]


def examine_parts(
    names: Iterable[str], *, function: str = "itertl.doctor.probes:work", num_workers: int = 2, timeout_s: float = 180.0
) -> list[PartCheck]:
    """Run the probes of those names in disposable processes, and return their checks in the order of ``names``.

    A part that does not answer within ``timeout_s`` is broken.
    """
    wanted = list(names)
    checks: dict[int, PartCheck] = {}
    for number, outcome in pool.map_unordered(function, wanted, num_workers=num_workers, timeout_s=timeout_s):
        ended = {"status": "broken", "version": "", "detail": f"{outcome.status}: {outcome.detail}"}
        checks[number] = _check(wanted[number], outcome.value if outcome.status == "ok" else ended)
    return [checks[number] for number in range(len(wanted))]


def _check(name: str, found: Mapping[str, str]) -> PartCheck:
    if found["status"] == "ok":
        return PartCheck(name, "ok", found["version"], found["detail"], "")
    part = PARTS[name]
    if found["status"] == "missing":
        return PartCheck(name, "optional-missing" if part.is_optional else "missing", "", found["detail"], part.remedy)
    return PartCheck(name, "broken", found["version"], found["detail"], f"install it again: {part.remedy}")


def _python() -> PartCheck:
    detail = f"{platform.python_implementation()} at {sys.executable}"
    return PartCheck("Python", "ok", platform.python_version(), detail, "")


def _cores_and_memory() -> PartCheck:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = memory_gib()
    if memory is None:
        return PartCheck("cores and memory", "ok", "", f"{cores} cores; memory not known on this system", "")
    detail = f"{cores} cores, {memory:.1f} GiB of memory"
    if memory >= MIN_MEMORY_GIB:
        return PartCheck("cores and memory", "ok", "", detail, "")
    remedy = f"training the default model needs {MIN_MEMORY_GIB:.0f} GiB; use a smaller batch or train.lora"
    return PartCheck("cores and memory", "optional-missing", "", detail, remedy)


def memory_gib(
    proc: Path = Path("/proc/meminfo"), control_group: Path = Path("/sys/fs/cgroup/memory.max")
) -> float | None:
    """Memory that this process may use, in GiB: the machine's, or its control group's limit where that is lower.

    None where neither can be read.
    """
    limits: list[float] = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in proc.read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                limits.append(int(line.split()[1]) / 2**20)
    with contextlib.suppress(OSError, ValueError):  # absent, or the word "max"
        limits.append(int(control_group.read_text(encoding="ascii")) / 2**30)
    return min(limits, default=None)


def _disk(cache: Path) -> PartCheck:
    """Whether the cache's disk has room and takes a file. The folder itself need not exist yet."""
    place = cache.expanduser().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    remedy = "free some space, or set ITERTL_CACHE to a folder on another disk"
    try:
        free = shutil.disk_usage(place).free / 2**30
        with tempfile.TemporaryFile(dir=place) as handle:
            handle.write(b"x")
    except OSError as error:
        return PartCheck("cache", "broken", "", f"{cache}: cannot be written ({error.strerror})", remedy)
    detail = f"{cache}: {free:.1f} GiB free"
    if free >= MIN_FREE_GIB:
        return PartCheck("cache", "ok", "", detail, "")
    return PartCheck("cache", "optional-missing", "", f"{detail}, the default model wants {MIN_FREE_GIB:.0f}", remedy)


def is_healthy(checks: Iterable[PartCheck]) -> bool:
    """Whether nothing that the work needs is missing or broken."""
    return all(check.status in ("ok", "optional-missing") for check in checks)


def to_json(checks: Iterable[PartCheck]) -> dict[str, Any]:
    """One object: ``healthy``, and ``checks`` with the fields of ``PartCheck``."""
    every = list(checks)
    return {"healthy": is_healthy(every), "checks": [asdict(check) for check in every]}


_LOOK: Mapping[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "missing": ("missing", "bold red"),
    "broken": ("broken", "bold red"),
    "optional-missing": ("missing (optional)", "dim"),
}


def render(checks: Iterable[PartCheck]) -> "Table":
    """A table for a terminal: part, status, version, and what works or how to fix it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading, most in (("part", 18), ("status", 10), ("version", 16), ("what was seen; how to fix it", None)):
        table.add_column(heading, overflow="fold", max_width=most)
    for check in checks:
        word, style = _LOOK[check.status]
        shown = Text(check.detail)
        if check.remedy:
            shown = Text(f"{check.remedy}\n") + Text(check.detail, style="dim")
        table.add_row(Text(check.name), Text(word, style=style), Text(check.version), shown)
    return table
