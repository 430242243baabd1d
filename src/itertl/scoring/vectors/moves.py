"""What the outputs of a reference do over time: which bits have risen and fallen, and when something happens for the
first time."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from itertl.scoring.vectors.outcome import ONES, ZEROS, number

MOST_EVENTS = 64  # of those that are not a bit's first move

Sample = tuple[int, int]  # (mask of the bits that are 1, of those that are 0)
Change = tuple[int, Sample]  # (cycle, outputs from then on)


@dataclass(frozen=True, slots=True)
class Novelty:
    """A cycle at which the reference's outputs do something new. ``is_first``: a bit rises or falls for the
    first time."""

    cycle: int
    is_first: bool


@dataclass(slots=True)
class Moves:
    """The bits of the outputs that have risen, and those that have fallen, as masks."""

    rises: int = 0
    falls: int = 0

    @property
    def complete(self) -> int:
        """The bits that have done both."""
        return self.rises & self.falls

    def add(self, old: Sample, new: Sample) -> bool:
        """Note what happens between two samples; whether some bit does it for the first time."""
        rises, falls = new[0] & old[1] & ~self.rises, new[1] & old[0] & ~self.falls
        self.rises |= rises
        self.falls |= falls
        return bool(rises or falls)

    def __or__(self, other: "Moves") -> "Moves":
        return Moves(self.rises | other.rises, self.falls | other.falls)


def sample(text: str) -> Sample:
    """A sample of a run, as masks."""
    return number(text, ONES), number(text, ZEROS)


def moves(samples: Iterable[Sample]) -> Moves:
    """All that the bits do in a run."""
    found = Moves()
    for old, new in itertools.pairwise(samples):
        if old != new:
            found.add(old, new)
    return found


def events(changes: Sequence[Change], seen: Moves) -> list[Novelty]:
    """What is new among the changes: first moves of a bit, and first occurrences of a set of bits that change
    together."""
    found: list[Novelty] = []
    done = Moves(seen.rises, seen.falls)
    patterns: set[Sample] = set()
    for (_, old), (cycle, new) in itertools.pairwise(changes):
        is_first = done.add(old, new)
        pattern = old[0] ^ new[0], old[1] ^ new[1]
        if is_first or (pattern not in patterns and len(patterns) < MOST_EVENTS):
            found.append(Novelty(cycle, is_first))
            patterns.add(pattern)
    return found
