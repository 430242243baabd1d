"""The list of input words that every candidate of a problem is given, drawn from the reference's interface and a seed.

A word holds all inputs, the first port in its lowest bits. Clocks are bits like others: what an edge is and when inputs
change around it is decided here, so that one testbench serves every kind of design. Rules kept throughout:

- inputs never change in the step in which a clock has an edge that counts, and whatever can make an edge (asynchronous
  resets, what gates a clock) changes in a step of its own: two right designs that resolve a race differently must
  agree;
- outputs are compared after every step: before an edge with fresh inputs, after it, with inputs changed while the clock
  is active, and after the other edge;
- where there is a reset, nothing is compared before it has been asserted through an edge.

Combinational designs are given in ``combinational``, the rest in ``clocked``.
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass

from itertl.scoring.interface import Port
from itertl.scoring.vectors.words import Hints, Words

MAX_BITS = 3 << 19  # of all words together: what a simulator reads in some 20 ms


@dataclass(frozen=True, slots=True)
class Stimulus:
    """``words[i]`` is what the inputs are in step i; outputs are compared where ``is_compared[i]``.

    Before step i the clock goes through ``skips[i]`` whole cycles while all else stays as it was; ``skips`` is empty
    where no step has any. ``clock`` is the mask of the clock's bit in a word.
    """

    words: tuple[int, ...]
    is_compared: tuple[bool, ...]
    skips: tuple[int, ...] = ()
    clock: int = 0


class Inputs:
    """The inputs of a design while a stimulus is made: their values now, and the steps so far."""

    def __init__(self, ports: Sequence[Port], known: Hints, rng: random.Random) -> None:
        self.rng = rng
        self.ports = {port.name: port for port in ports}
        self.values = {port.name: 0 for port in ports}
        self.sources = {
            port.name: Words(port.width, known.constants, rng, known.fields.get(port.name, ())) for port in ports
        }
        self.words: list[int] = []
        self.is_compared: list[bool] = []
        self.skips: dict[int, int] = {}  # step -> whole cycles of the clock before it
        self.max_steps = max(64, MAX_BITS // max(1, sum(port.width for port in ports)))

    def copy(self) -> "Inputs":
        """The same steps and values, to go on from in another way."""
        other = copy.copy(self)
        other.values, other.skips = dict(self.values), dict(self.skips)
        other.words, other.is_compared = list(self.words), list(self.is_compared)
        return other

    @property
    def is_full(self) -> bool:
        return len(self.words) >= self.max_steps

    def step(self, *, compare: bool = True, skip: int = 0) -> None:
        """Let the inputs be what they are for one step, after ``skip`` cycles of the clock."""
        word, at = 0, 0
        if skip:
            self.skips[len(self.words)] = skip
        for name, port in self.ports.items():
            word |= self.values[name] << at
            at += port.width
        self.words.append(word)
        self.is_compared.append(compare)

    def draw(self, name: str) -> None:
        """A new word for one input."""
        width = self.ports[name].width
        others = [v for n, v in self.values.items() if n != name and self.ports[n].width == width]
        self.values[name] = self.sources[name].draw(self.values[name], others)

    def spread(self, number: int) -> None:
        """Set all inputs from the bits of a number, the first port from the lowest."""
        for name, port in self.ports.items():
            self.values[name] = number & ((1 << port.width) - 1)
            number >>= port.width

    def done(self, clock: str | None = None) -> Stimulus:
        """The stimulus so far; ``clock`` is the input that skipped cycles are cycles of."""
        count = len(self.words) if self.skips else self.max_steps
        skips = tuple(self.skips.get(step, 0) for step in range(len(self.words))) if self.skips else ()
        mask = 0
        for name, port in reversed(self.ports.items()):
            mask = mask << port.width | ((1 << port.width) - 1 if name == clock else 0)
        return Stimulus(tuple(self.words[:count]), tuple(self.is_compared[:count]), skips, mask)
