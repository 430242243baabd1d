"""Likeness of sets of n-grams: groups of near-duplicates within one collection, nearest neighbours in another.

All is exact, with no sketching. Near-duplicates use prefix filtering (Bayardo, Ma and Srikant, "Scaling up all pairs
similarity search", 2007): two sets of Jaccard likeness t share one of their rarest n-grams, so only those are indexed.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

Grams = frozenset[int]
GramArray = np.ndarray  # distinct 64-bit n-grams, ascending: a set of which millions fit into memory


def jaccard(a: Grams, b: Grams) -> float:
    """|a ∩ b| / |a ∪ b|; 0 where both are empty."""
    shared = len(a & b)
    union = len(a) + len(b) - shared
    return shared / union if union else 0.0


def containment(a: Grams, b: Grams) -> float:
    """|a ∩ b| over the size of the smaller: 1 where one holds the other whole; 0 where one is empty."""
    smaller = min(len(a), len(b))
    return len(a & b) / smaller if smaller else 0.0


Likeness = Callable[[Grams, Grams], float]


@dataclass(frozen=True, slots=True)
class Link:
    """Two items whose likeness reaches the threshold. Example: ``Link(3, 8, 0.91)``."""

    first: int
    second: int
    similarity: float


@dataclass(slots=True)
class _Groups:
    """Disjoint sets of items; ``members`` holds those of each root."""

    members: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    root: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, item: int) -> None:
        self.members[item] = {item}
        self.root[item] = item

    def join(self, a: int, b: int) -> None:
        small, large = sorted((self.root[a], self.root[b]), key=lambda r: len(self.members[r]))
        for item in self.members[small]:
            self.root[item] = large
        self.members[large] |= self.members.pop(small)


def near_links(sets: Sequence[Grams], threshold: float, likeness: Likeness = jaccard) -> list[Link]:
    """Links that join every pair with a likeness >= ``threshold`` into one group: a spanning forest, not all pairs.

    Two items lie in one group exactly when a chain of such pairs leads from one to the other. Empty sets are left out.
    ``threshold`` lies in (0, 1]; ``likeness`` is ``jaccard`` or ``containment``. Of two sets alike the smaller has one
    of its rarest n-grams in the other, under Jaccard among the rarest of that one too.
    """
    frequency = Counter(gram for grams in sets for gram in grams)
    order = sorted((i for i, grams in enumerate(sets) if grams), key=lambda i: (len(sets[i]), i))
    index: dict[int, list[int]] = defaultdict(list)
    groups = _Groups()
    links: list[Link] = []
    for item in order:
        grams = sets[item]
        rarest = sorted(grams, key=lambda gram: (frequency[gram], gram))
        prefix = rarest[: len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1]
        candidates: set[int] = set()
        for gram in prefix if likeness is jaccard else grams:
            candidates.update(index.get(gram, ()))
        groups.add(item)
        links += _joined(item, candidates, sets, threshold, likeness, groups)
        for gram in prefix:
            index[gram].append(item)
    return links


def _joined(
    item: int, candidates: set[int], sets: Sequence[Grams], threshold: float, likeness: Likeness, groups: _Groups
) -> list[Link]:
    """Join ``item`` to every group of a candidate that is like it, verifying one such candidate a group."""
    links: list[Link] = []
    grams = sets[item]
    while candidates:
        other = candidates.pop()
        if likeness is jaccard and len(sets[other]) < threshold * len(grams) - 1e-9:
            continue
        similarity = likeness(grams, sets[other])
        if similarity >= threshold - 1e-12:
            candidates -= groups.members[groups.root[other]]
            groups.join(item, other)
            links.append(Link(min(item, other), max(item, other), similarity))
    return links


def components(links: Iterable[Link]) -> list[tuple[list[int], float]]:
    """(sorted members, lowest likeness of a link) of each group, by first member."""
    groups = _Groups()
    lowest: list[Link] = list(links)
    for link in lowest:
        for item in (link.first, link.second):
            if item not in groups.root:
                groups.add(item)
        if groups.root[link.first] != groups.root[link.second]:
            groups.join(link.first, link.second)
    weakest: dict[int, float] = {}
    for link in lowest:
        root = groups.root[link.first]
        weakest[root] = min(weakest.get(root, 1.0), link.similarity)
    return sorted((sorted(items), weakest[root]) for root, items in groups.members.items())


def near_earlier(sets: Sequence[GramArray], threshold: float) -> list[Link | None]:
    """For each set, in order: the link to the kept set that it is most like, by Jaccard >= ``threshold``; None: it is
    kept.

    No two kept sets reach the threshold, and each other set reaches it with a kept one before it (of equals the first).
    Empty sets are kept. Memory beyond the sets is that of the n-grams that several have: what one set alone holds finds
    no other. Frequencies are counted in buckets of hashes, which makes the order a little worse and no answer wrong.
    """
    shift = np.uint64(64 - _bucket_bits(sum(map(len, sets))))
    counts = np.zeros(1 << (64 - int(shift)), dtype=np.uint8)  # of sets, up to 255
    for grams in sets:
        buckets = grams >> shift
        counts[buckets] = np.minimum(counts[buckets], 254) + 1
    index: dict[int, list[int]] = {}
    found: list[Link | None] = []
    for number, grams in enumerate(sets):
        frequency = counts[grams >> shift]
        rarest = np.lexsort((grams, frequency))[: len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1]
        prefix = grams[rarest[frequency[rarest] > 1]].tolist()
        candidates = set(chain.from_iterable(index.get(gram, ()) for gram in prefix))
        link = _nearest(number, candidates, sets, threshold)
        for gram in prefix if link is None else ():
            index.setdefault(gram, []).append(number)
        found.append(link)
    return found


def _bucket_bits(total: int) -> int:
    """For about four buckets an n-gram, of a byte each."""
    return min(28, max(10, total.bit_length() + 2))


def _nearest(number: int, candidates: Iterable[int], sets: Sequence[GramArray], threshold: float) -> Link | None:
    grams, best = sets[number], None
    for other in sorted(candidates):
        theirs = sets[other]
        small, large = sorted((len(grams), len(theirs)))
        if small < threshold * large - 1e-9:
            continue
        shared = len(np.intersect1d(grams, theirs, assume_unique=True))
        similarity = shared / (small + large - shared)
        if similarity >= threshold - 1e-12 and (best is None or similarity > best.similarity):
            best = Link(other, number, similarity)
    return best


@dataclass(slots=True)
class Inverted:
    """Sets that are asked for their overlap with others: n-gram -> the sets that hold it."""

    sizes: list[int]
    index: dict[int, list[int]]

    @staticmethod
    def of(sets: Sequence[Grams]) -> "Inverted":
        index: dict[int, list[int]] = defaultdict(list)
        for number, grams in enumerate(sets):
            for gram in grams:
                index[gram].append(number)
        return Inverted([len(grams) for grams in sets], dict(index))

    def shared(self, grams: Grams) -> Counter[int]:
        """How many n-grams each set of the index has in common with ``grams``; sets with none are left out."""
        return Counter(chain.from_iterable(self.index[gram] for gram in grams & self.index.keys()))

    def jaccards(self, grams: Grams) -> dict[int, float]:
        """Jaccard likeness with each set that shares anything."""
        return {n: shared / (len(grams) + self.sizes[n] - shared) for n, shared in self.shared(grams).items()}

    def containments(self, grams: Grams) -> dict[int, float]:
        """Shared n-grams over those of the smaller set: 1 where one text holds the other whole."""
        return {n: shared / min(len(grams), self.sizes[n]) for n, shared in self.shared(grams).items()}
