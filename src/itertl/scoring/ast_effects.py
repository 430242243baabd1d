"""Which statements of a block may change places: what each reads and writes, and its level among the others.

Two statements are independent where neither writes what the other touches; a nonblocking write touches nothing but
other writes of the same variable. Reordering independent neighbours never changes a statement's level, which is one
more than the highest level of the earlier statements that it depends on (Foata's normal form of a trace: Cartier and
Foata, 1969), and any two orders with equal levels can be turned into each other that way.

Guard's limits: a variable counts as a whole, so writes of two of its bits keep their order; whatever waits, jumps or
calls a task or function of the design keeps its place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Effects:
    """Names that a piece of code reads, writes at once, and writes nonblocking; ``is_barrier``: nothing may pass it."""

    reads: set[str] = field(default_factory=set[str])
    writes: set[str] = field(default_factory=set[str])
    later: set[str] = field(default_factory=set[str])
    is_barrier: bool = False

    def size(self) -> int:
        return len(self.reads) + len(self.writes) + len(self.later)


def merged(parts: Iterable[Effects]) -> Effects:
    """The union. It reuses the largest part, so that a chain of any depth costs O(n log n); the parts are used up."""
    ordered = sorted(parts, key=Effects.size, reverse=True)
    if not ordered:
        return Effects()
    whole = ordered[0]
    for part in ordered[1:]:
        whole.reads |= part.reads
        whole.writes |= part.writes
        whole.later |= part.later
        whole.is_barrier |= part.is_barrier
    return whole


def levels(statements: Sequence[Effects]) -> list[int]:
    """The level of each statement, from 0; linear in the number of names."""
    read: dict[str, int] = {}
    written: dict[str, int] = {}
    later: dict[str, int] = {}
    found: list[int] = []
    floor = top = 0  # no later statement may lie below ``floor``; all so far lie below ``top``
    for one in statements:
        if one.is_barrier:
            level = top
            floor = level + 1
        else:
            before = [written.get(name, -1) for name in one.reads]
            before += [max(m.get(name, -1) for m in (read, written, later)) for name in one.writes]
            before += [max(m.get(name, -1) for m in (written, later)) for name in one.later]
            level = max(floor, 1 + max(before, default=-1))
        for names, latest in ((one.reads, read), (one.writes, written), (one.later, later)):
            for name in names:
                latest[name] = max(level, latest.get(name, -1))
        top = max(top, level + 1)
        found.append(level)
    return found
