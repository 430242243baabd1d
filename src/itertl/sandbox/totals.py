"""What a tool and all that it started use at a moment, read from ``/proc`` and its folder; and how to end them."""

import contextlib
import os
import resource
import signal
import stat
import time
from collections.abc import Callable, Container, Iterator

_PATIENCE_S = 5.0  # for children that do not end at once


def children_of(pid: int) -> list[int]:
    """Its children's process numbers, zombies among them."""
    return _finder(pid)(pid)


def descendants(pid: int) -> Iterator[int]:
    """Process numbers of its children, their children and so on, zombies among them."""
    find, waiting = _finder(pid), [pid]
    while waiting:
        found = find(waiting.pop())
        waiting += found
        yield from found


def _finder(pid: int) -> Callable[[int], list[int]]:
    """Gives the children of a process at or below ``pid``, by the kernel's list (CONFIG_PROC_CHILDREN) or a scan."""
    if os.path.exists(f"/proc/{pid}/task/{pid}/children"):  # noqa: PTH110
        return _listed
    below: dict[int, list[int]] = {}
    for child, parent in _parents():
        below.setdefault(parent, []).append(child)
    return lambda number: below.get(number, [])


def _listed(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            children = f"/proc/{pid}/task/{task}/children"
            with contextlib.suppress(OSError), open(children, encoding="ascii") as handle:  # noqa: PTH123
                found += map(int, handle.read().split())
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """(process, its parent) of every process that can be seen."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as handle:  # noqa: PTH123
                yield int(name), int(handle.read().rpartition(b")")[2].split()[1])


def resident_bytes(pids: set[int]) -> int:
    """Memory that these processes hold and do not share."""
    pages = 0
    for pid in pids:
        statm = f"/proc/{pid}/statm"
        with contextlib.suppress(OSError, ValueError), open(statm, encoding="ascii") as handle:  # noqa: PTH123
            _, held, shared, *_ = map(int, handle.read().split())
            pages += held - shared
    return pages * resource.getpagesize()


def folder_size(folder: str, most: int) -> tuple[int, int]:
    """Bytes on disk and number of entries; counting stops soon after ``most`` entries."""
    size = count = 0
    waiting = [folder]
    while waiting and count <= most:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size, count


def unlinked_bytes(pids: set[int], device: int) -> int:
    """Bytes of files on that device that these processes hold open and no folder shows any more."""
    seen: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116
                    if found.st_nlink == 0 and found.st_dev == device and stat.S_ISREG(found.st_mode):
                        seen[found.st_ino] = found.st_blocks * 512
    return sum(seen.values())


def reap_all(*, spare: Container[int] = ()) -> None:
    """Wait for every child of this process, inherited ones too, killing those that still live; but for ``spare``."""
    end = time.monotonic() + _PATIENCE_S
    pause = 0.0
    while time.monotonic() < end:
        left = [pid for pid in children_of(os.getpid()) if pid not in spare]
        if not left:
            return
        if sum(map(_is_reaped, left)) == 0:
            if pause:
                time.sleep(pause)
                for pid in [*left, *(below for child in left for below in descendants(child))]:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            pause = min(0.01, pause * 2 or 0.0001)


def _is_reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
