"""Which leaf of a tree of token prefixes is tried next: upper confidence bounds with a prior (PUCT).

(Rosin, 2011; Silver et al., 2017.) The way down goes to the child with the largest ``Q + U``: ``Q = W / (1 + N)`` and
``U = c * prior * sqrt(N of its parent) / (1 + N)``, with N visits and W their summed rewards; of equals to the first.
A leaf that is chosen and not yet answered counts as a visit with the reward ``WAITING``, and is not chosen again.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

REVISION = 1  # of the choice
WAITING = -1.0  # the reward of a visit that waits: least of all, so that choices at once differ


@dataclass(slots=True, eq=False)
class Node:
    """A prefix of an answer. ``likely``: (token, probability) of its children, falling; open: the way leads on."""

    tokens: tuple[int, ...] = ()
    prior: float = 1.0
    parent: "Node | None" = None
    visits: int = 0
    total: float = 0.0  # of rewards
    waiting: int = 0  # visits that wait, its own and those below it
    is_waiting: bool = False
    is_open: bool = False
    likely: tuple[tuple[int, float], ...] = ()
    children: list["Node"] = field(default_factory=list["Node"])  # the first of ``likely``: those tried, and the next

    def open(self, likely: tuple[tuple[int, float], ...]) -> None:
        """Make it a node with children."""
        self.is_open, self.likely = True, likely

    def visit(self, reward: float) -> None:
        """Count it for the node and for all above it."""
        for node in self.way_up():
            node.visits += 1
            node.total += reward

    def wait(self, *, is_waiting: bool) -> None:
        """Begin or end to wait for its answer."""
        self.is_waiting = is_waiting
        for node in self.way_up():
            node.waiting += 1 if is_waiting else -1

    def way_up(self) -> Iterator["Node"]:
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def bound(self, c: float) -> float:
        """``Q + U``."""
        assert self.parent is not None
        count, above = self.visits + self.waiting, self.parent.visits + self.parent.waiting
        mean = (self.total + WAITING * self.waiting) / (1 + count)
        return mean + c * self.prior * math.sqrt(above) / (1 + count)

    def choices(self) -> list["Node"]:
        """The children that were tried and the next: of those that were not, none after it is better."""
        if len(self.children) < len(self.likely) and (not self.children or self.children[-1].is_tried):
            token, prior = self.likely[len(self.children)]
            self.children.append(Node((*self.tokens, token), prior, self))
        return self.children

    @property
    def is_tried(self) -> bool:
        return self.visits + self.waiting > 0


def select(root: Node, c: float) -> Node | None:
    """The leaf on the best way down; the next best way where one ends in what waits. None: all of it waits."""
    ways = [root]
    while ways:
        node = ways.pop()
        if node.is_open:
            below = node.choices()
            places = sorted(range(len(below)), key=lambda place: (below[place].bound(c), -place))
            ways += [below[place] for place in places]
        elif not node.is_waiting:
            return node
    return None
