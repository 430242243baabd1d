"""What one piece of work may use in all: this process and the tools that it starts, together.

Within ``held`` every tool is given the smaller of its own limits and of what is left (``sandbox`` and ``yosys_process``
ask ``within``), and this process limits itself: its address space may grow by ``READING_MB``, and beyond its share of
processor time SIGPROF ends it, for a native library that reads a text cannot be interrupted. ``reading`` narrows that
to what reading one text may take. What is not the text's doing (a tool's warming up, the reference) runs ``apart``:
its time is not counted. Without ``held`` none of this has an effect.

What it does not: stop Python code that waits, and sum up processes; the pool's clock and its look at memory do.
"""

import math
import resource
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from itertl.tools.launcher import Limits

READING_CPU_S = 5  # of processor time for one text, where honest designs take milliseconds
READING_MB = 1024
_LEAST_MB = 256  # for a tool, however much this process holds


@dataclass(frozen=True, slots=True)
class Bound:
    """Of one candidate, over all its scorers and their tools. Example: ``Bound(30.0, 2048)``."""

    seconds: float = 30.0  # by the wall clock; this process's processor time has the same limit
    memory_mb: int = 2048  # resident, of all processes together


class BoundReached(Exception):
    """There is no time left for a tool, or what was left ended it."""


@dataclass(slots=True)
class _Account:
    deadline: float
    memory_mb: int
    begin: float
    apart_s: float = 0.0

    def left(self) -> float:
        return self.deadline - time.monotonic()


_account: _Account | None = None


@contextmanager
def held(bound: Bound) -> Generator[None]:
    """Hold this process and what it starts to ``bound``. Not to be nested."""
    global _account
    begin = time.monotonic()
    _account = _Account(begin + bound.seconds, bound.memory_mb, begin)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [_used_mb()[0] + min(READING_MB, bound.memory_mb) << 20, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    signal.setitimer(signal.ITIMER_PROF, max(0.001, bound.seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        _account = None


def spent_s() -> float:
    """Seconds since the work began that count."""
    return time.monotonic() - _account.begin - _account.apart_s if _account is not None else 0.0


@contextmanager
def reading() -> Generator[None]:
    """A native library reads one text: at most ``READING_CPU_S`` of processor time, else SIGPROF ends this process."""
    outer = signal.getitimer(signal.ITIMER_PROF)[0] if _account is not None else 0.0
    if not outer:
        yield
        return
    mine = min(outer, READING_CPU_S)
    signal.setitimer(signal.ITIMER_PROF, mine)
    try:
        yield
    finally:
        used = mine - signal.getitimer(signal.ITIMER_PROF)[0]
        signal.setitimer(signal.ITIMER_PROF, max(0.001, outer - used))


@contextmanager
def apart() -> Generator[None]:
    """What is done here is not the text's doing: its time does not count. The bound on memory stays."""
    account = _account
    if account is None or account.deadline == math.inf:
        yield
        return
    begin, deadline = time.monotonic(), account.deadline
    outer = signal.setitimer(signal.ITIMER_PROF, 0)[0]
    account.deadline = math.inf
    try:
        yield
    finally:
        took = time.monotonic() - begin
        account.deadline, account.apart_s = deadline + took, account.apart_s + took
        signal.setitimer(signal.ITIMER_PROF, outer)


def within(limits: Limits) -> Limits:
    """``limits``, none of them above what is left. Raises BoundReached where no time is."""
    if _account is None:
        return limits
    left = _account.left()
    if left <= 0:
        raise BoundReached
    memory = max(_LEAST_MB, _account.memory_mb - _used_mb()[1])
    if left >= max(limits.wall_s, limits.cpu_s) and memory >= limits.memory_mb:
        return limits
    wall_s = limits.wall_s if left == math.inf else min(limits.wall_s, math.ceil(10 * left) / 10)
    return replace(limits, wall_s=wall_s, cpu_s=min(limits.cpu_s, max(1, math.ceil(wall_s))), memory_mb=min(memory, limits.memory_mb))


def check() -> None:
    """After a tool that ran out of time: raises BoundReached where it was the bound's."""
    if _account is not None and _account.left() <= 0.1:
        raise BoundReached


def _used_mb() -> tuple[int, int]:
    """(address space, resident memory that it does not share) of this process."""
    try:
        with open("/proc/self/statm", encoding="ascii") as handle:  # noqa: PTH123
            size, resident, shared, *_ = map(int, handle.read().split())
    except OSError:
        return 1 << 20, 0  # a system that does not tell: no limit of ours
    page = resource.getpagesize()
    return size * page >> 20, (resident - shared) * page >> 20
