"""Fault injection for the kill tests: named points at which a process can be made to die as by kill -9.

``ITERTL_KILL_AT="train.step:3"`` kills the process the third time that it passes the point ``train.step``. Unset,
a point costs one dictionary look-up.
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
        if _passed[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
