"""Who a tool runs as: a user without rights of its own, where the launcher may change to one."""

import contextlib
import os
import re
import secrets
import stat
import struct
import sys
from collections.abc import Sequence

from itertl.sandbox import spawn

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT = 8, 47
_CAP_CHOWN, _CAP_READ_ALL, _CAP_KILL, _CAP_SETGID, _CAP_SETUID = 0, 2, 5, 6, 7
_NEEDED_TO_DROP = (_CAP_CHOWN, _CAP_KILL, _CAP_SETGID, _CAP_SETUID)


def identity() -> int | None:
    """A user and group number of its own for this launcher's tools, where it may change to one; None elsewhere.

    Drawn at random from a range that no system hands out, or, where a container maps few numbers, from those it maps.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or not all(_has_capability(c) for c in _NEEDED_TO_DROP):
        return None
    ends = []
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/self/{name}", encoding="ascii") as handle:  # noqa: PTH123
            mapped = [tuple(map(int, line.split())) for line in handle]
        ends.append(max((first + count for first, _, count in mapped if first <= 20_000), default=0))
    end = min(ends)
    if end > 2_147_483_647:
        return 1_879_048_192 + secrets.randbelow(2**28)
    return 20_000 + secrets.randbelow(end - 20_000) if end > 30_000 else None


def _has_capability(number: int) -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as handle:  # noqa: PTH123
        found = re.search(r"^CapEff:\s*([0-9a-f]+)", handle.read(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> number & 1)


def change(calls: spawn.Calls, number: int, keep_reading: bool) -> None:
    """Become that user and group with no other group and no right, but for reading all files where asked."""
    if keep_reading:
        calls.add("prctl", _PR_SET_KEEPCAPS, 1)
    calls.add("setgroups", 0, 0)
    calls.add("setresgid", number, number, number)
    calls.add("setresuid", number, number, number)
    if keep_reading:
        bit = 1 << _CAP_READ_ALL
        calls.add("capset", struct.pack("=II", 0x20080522, 0), struct.pack("=6I", bit, bit, bit, 0, 0, 0))
        calls.add("prctl", _PR_CAP_AMBIENT, 2, _CAP_READ_ALL)  # 2: raise


def give(folder: str, owner: int) -> None:
    """Make the private folder and what lies in it the tool's. Files with a second name elsewhere are left alone."""
    os.chown(folder, owner, owner)
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                is_folder = stat.S_ISDIR(found.st_mode)
                if is_folder:
                    waiting.append(entry.path)
                if found.st_uid != owner and (is_folder or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)):
                    os.chown(entry.path, owner, owner, follow_symlinks=False)


def needs_reading(readable: Sequence[str], folder: str | None) -> bool:
    """Whether something that a tool must reach is closed to other users, so that it has to keep the right to read.

    ``folder`` None: the tool gets a view of its own, in which the ways to all are open.
    """
    checked = [path for path in readable if not path.startswith("/usr/")]
    if not all(map(_is_open_to_all, checked)):
        return True
    return folder is not None and not all(map(_is_on_open_way, [*checked, folder]))


def _is_open_to_all(path: str) -> bool:
    """Whether any user may look into (or read) ``path`` itself."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return True  # nothing to reach
    needed = 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
    return found.st_mode & needed == needed


def _is_on_open_way(path: str) -> bool:
    """Whether any user may pass through the folders above ``path``."""
    while (path := os.path.dirname(path)) not in ("", "/"):  # noqa: PTH120
        with contextlib.suppress(OSError):
            if not os.stat(path).st_mode & 0o1:  # noqa: PTH116
                return False
    return True
