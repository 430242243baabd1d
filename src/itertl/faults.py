"""Fault injection for the kill tests: named points at which a process can be made to die as by kill -9.

``ITERTL_KILL_AT="train.step:3"`` kills the process the third time that it passes the point ``train.step``; with
``ITERTL_KILL_ONCE=FILE`` only the first process that comes there, which makes the file. Unset, a point costs one
look-up.
"""

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Mark a place where a run may be killed by a test."""
    wanted = os.environ.get("ITERTL_KILL_AT")
    if not wanted:
        return
    target, _, count = wanted.partition(":")
    if target == name:
        _passed[name] += 1
        if _passed[name] == int(count or 1) and _is_first():
            os.kill(os.getpid(), signal.SIGKILL)


def _is_first() -> bool:
    mark = os.environ.get("ITERTL_KILL_ONCE")
    if mark is None:
        return True
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
