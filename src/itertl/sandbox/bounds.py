"""What one piece of work may use in all: this process and the tools that it starts, together.

Within ``held`` every tool is given the smaller of its own limits and of what is left (``sandbox`` and ``yosys_process``
ask ``within``, and ``charge`` what each took), and this process limits itself: its address space may grow by
``READING_MB``, and beyond its share of processor time SIGPROF ends it, for a native library that reads a text cannot be
interrupted. ``reading`` narrows that to what reading one text may take. What is not the text's doing (a tool's warming
up, the reference) runs ``uncounted``: its time does not count. Without ``held`` none of this has an effect.

What it does not: end this process where it waits, and sum up the memory of processes; the pool's clock and its look do.
"""

import math
import resource
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from itertl.sandbox.launcher import Limits

READING_CPU_S = 5  # of processor time for one text, where honest designs take milliseconds
READING_MB = 1024
_PATIENCE = 5  # a tool's limit by the clock, in what it has of processor time
_LEAST_MB = 256  # for a tool, however much this process holds


@dataclass(frozen=True, slots=True)
class Bound:
    """Of one candidate, over all its scorers and their tools. Example: ``Bound(30.0, 2048)``."""

    seconds: float = 30.0  # of processor time, so that it does not depend on what else the machine does
    memory_mb: int = 2048  # resident, of all processes together


class BoundReached(Exception):
    """There is no time left for a tool, or what was left ended it."""


@dataclass(slots=True)
class _Account:
    bound: Bound
    begin: float  # this process's processor time when the work began
    tools_s: float = 0.0
    uncounted_s: float = 0.0
    is_uncounted: bool = False
    is_short: bool = False  # a tool was given less than its own limits

    def used(self) -> float:
        """Processor time so far, what does not count included."""
        return time.process_time() - self.begin + self.tools_s

    def left(self) -> float:
        return math.inf if self.is_uncounted else self.bound.seconds - self.used() + self.uncounted_s


_account: _Account | None = None


@contextmanager
def held(bound: Bound) -> Generator[None]:
    """Hold this process and what it starts to ``bound``. Not to be nested."""
    global _account
    _account = _Account(bound, time.process_time())
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [
        _used_mb()[0] + min(READING_MB, bound.memory_mb) << 20,
        *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY),
    ]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    signal.setitimer(signal.ITIMER_PROF, max(0.001, bound.seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        _account = None


def spent_s() -> float:
    """Processor time that counts, since the work began."""
    return _account.used() - _account.uncounted_s if _account is not None else 0.0


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
def uncounted() -> Generator[None]:
    """What is done here is not the text's doing: its time does not count. The bound on memory stays."""
    account = _account
    if account is None or account.is_uncounted:
        yield
        return
    before, account.is_uncounted = account.used(), True
    outer = signal.setitimer(signal.ITIMER_PROF, 0)[0]
    try:
        yield
    finally:
        account.uncounted_s, account.is_uncounted = account.uncounted_s + account.used() - before, False
        signal.setitimer(signal.ITIMER_PROF, outer)


def within(limits: Limits) -> Limits:
    """``limits``, none of them above what is left. Raises BoundReached where no time is."""
    if _account is None:
        return limits
    left = _account.left()
    if left <= 0:
        raise BoundReached
    memory = min(limits.memory_mb, max(_LEAST_MB, _account.bound.memory_mb - _used_mb()[1]))
    _account.is_short = left < limits.cpu_s
    if not _account.is_short:
        return limits if memory == limits.memory_mb else replace(limits, memory_mb=memory)
    cpu_s = math.ceil(left)
    return replace(limits, cpu_s=cpu_s, wall_s=min(limits.wall_s, float(_PATIENCE * cpu_s)), memory_mb=memory)


def charge(cpu_s: float, *, ran_out: bool) -> None:
    """A tool under the limits of ``within`` took ``cpu_s`` of processor time. Raises BoundReached at the bound."""
    if _account is None:
        return
    _account.tools_s += cpu_s
    if ran_out and _account.is_short:
        _account.tools_s += max(0.0, _account.left())  # by the clock, perhaps: it is used up all the same
        raise BoundReached


def _used_mb() -> tuple[int, int]:
    """(address space, resident memory that it does not share) of this process."""
    try:
        with open("/proc/self/statm", encoding="ascii") as handle:  # noqa: PTH123
            size, resident, shared, *_ = map(int, handle.read().split())
    except OSError:
        return 1 << 20, 0  # a system that does not say: no limit of ours
    page = resource.getpagesize()
    return size * page >> 20, (resident - shared) * page >> 20
