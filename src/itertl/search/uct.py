"""Which nodes of a search tree get a further child: upper confidence bounds for trees (UCT).

(Kocsis and Szepesvári, 2006.) A node's value is the mean reward of itself and of all below it; the way down goes to the
child with the largest ``value + c * sqrt(ln(visits of the node) / visits of the child)``, of equals the first. What is
chosen and not yet drawn counts as a visit with reward 0, so that several choices at once differ.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

REVISION = 1  # of the choice
Node = int | None  # None: the root, which stands for the problem and has no reward


def select(
    parents: Mapping[int, Node], rewards: Mapping[int, float], count: int, *, children: int, c: float
) -> list[Node]:
    """Up to ``count`` nodes to expand, one after the other. ``parents``: of each node; ``rewards``: in [0, 1].

    No node gets more than ``children``, those chosen here included; fewer than ``count`` come back where all that may
    have one waits to be drawn itself.
    """
    tree = _Tree(parents, children, c)
    for node in parents:
        tree.visit(node, rewards[node])
    chosen: list[Node] = []
    while len(chosen) < count and (found := tree.expandable()) != _NOWHERE:
        chosen.append(found)
        tree.waiting[found] += 1
        tree.visit(found, 0.0)
    return chosen


_NOWHERE = -1


class _Tree:
    def __init__(self, parents: Mapping[int, Node], children: int, c: float) -> None:
        self.parents, self.children, self.c = parents, children, c
        self.below: defaultdict[Node, list[int]] = defaultdict(list)
        for node, parent in parents.items():
            self.below[parent].append(node)
        self.waiting: Counter[Node] = Counter()
        self.visits: Counter[Node] = Counter()
        self.total: defaultdict[Node, float] = defaultdict(float)

    def visit(self, node: Node, reward: float) -> None:
        """Count it for the node and for all above it."""
        while node is not None:
            self.visits[node] += 1
            self.total[node] += reward
            node = self.parents[node]
        self.visits[None] += 1

    def expandable(self) -> Node:
        """The first node with room on the way down; the next best way where one ends in what waits. ``_NOWHERE``."""
        ways: list[Node] = [None]
        while ways:
            node = ways.pop()
            if len(self.below[node]) + self.waiting[node] < self.children:
                return node
            ways += sorted(self.below[node], key=lambda child: (self.bound(node, child), -child))
        return _NOWHERE

    def bound(self, node: Node, child: int) -> float:
        visits = self.visits[child]
        return self.total[child] / visits + self.c * math.sqrt(math.log(self.visits[node]) / visits)
