"""Input words worth trying: corners, walking bits, the constants of the reference and their neighbours, random
words."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from itertl.verilog import text as verilog_text

MAX_CONSTANTS, MAX_FIELDS = 64, 16
_BASES = {"b": 2, "o": 8, "d": 10, "h": 16}


@dataclass(frozen=True, slots=True)
class Constant:
    """A number in a text. ``width`` is 0 where it gives none. Example: ``Constant(13, 4)`` for
    ``4'b1101``."""

    value: int
    width: int


@dataclass(frozen=True, slots=True)
class Hints:
    """What the text of a reference says of words that matter to it: its constants, and the parts of names that it
    selects."""

    constants: tuple[Constant, ...] = ()
    fields: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict[str, Sequence[tuple[int, int]]])


def hints(text: str) -> Hints:
    """The hints of a text without comments and macros."""
    return Hints(tuple(constants(text)), fields(text))


def constants(text: str) -> list[Constant]:
    """The distinct whole numbers of a text, those with a width first, in order of appearance; X, Z and ``?`` are read
    as 0."""
    found = dict.fromkeys(
        _constant(token.canonical)
        for token in verilog_text.tokenize(text)
        if token.kind == "number" and "." not in token.text
    )
    kept = [constant for constant in found if constant is not None]
    return sorted(kept, key=lambda constant: constant.width == 0)[:MAX_CONSTANTS]


def _constant(number: str) -> Constant | None:
    plain = number.replace("_", "").lower()
    size, tick, rest = plain.partition("'")
    if not tick:
        return Constant(int(plain), 0) if plain.isdecimal() else None
    rest = rest.removeprefix("s")
    base, digits = _BASES.get(rest[:1]), "".join("0" if digit in "xz?" else digit for digit in rest[1:])
    if base is None or not digits:
        return None
    return Constant(int(digits, base), int(size) if size else 0)


def fields(text: str) -> dict[str, list[tuple[int, int]]]:
    """Name -> (lowest bit, width) of each part of it that a text selects by numbers, in order of appearance."""
    found: dict[str, dict[tuple[int, int], None]] = {}
    stream = verilog_text.tokenize(text)
    for at, token in enumerate(stream):
        if token.kind != "identifier" or at + 3 >= len(stream) or stream[at + 1].text != "[":
            continue
        bounds = [part.text for part in stream[at + 2 : at + (3 if stream[at + 3].text == "]" else 6)]]
        numbers = [int(bound) for bound in bounds if bound.isdecimal() and len(bound) < 6]
        if len(bounds) == len(numbers) or (len(numbers) == 2 and bounds[1] == ":" and bounds[3:] == ["]"]):
            found.setdefault(token.text, {})[min(numbers), abs(numbers[0] - numbers[-1]) + 1] = None
    return {name: list(places)[:MAX_FIELDS] for name, places in found.items()}


class Words:
    """Draws words of one width. ``parts``: (lowest bit, width) of the fields that the word has for the reference."""

    def __init__(
        self, width: int, known: Iterable[Constant], rng: random.Random, parts: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.width, self._rng, self._mask = width, rng, (1 << width) - 1
        listed = list(known)
        self.pool = self._corners(listed)
        self._narrow = [c for c in listed if 1 < c.width < width]
        self._parts = [(low, size) for low, size in parts if low + size <= width and size < width]

    def _corners(self, known: Iterable[Constant]) -> list[int]:
        full, top = self._mask, 1 << (self.width - 1)
        alternating = int("01" * ((self.width + 1) // 2), 2)
        found = [0, full, 1, top, full ^ 1, top - 1, alternating, alternating << 1, full >> (self.width // 2)]
        for constant in known:
            if constant.value <= full:
                found += [constant.value, constant.value, constant.value + 1, constant.value - 1, ~constant.value]
        return list(dict.fromkeys(word & full for word in found))

    def draw(self, last: int, others: Sequence[int] = ()) -> int:
        """A word that has something to do with the last one, with others, with the pool, or with nothing."""
        rng, full = self._rng, self._mask
        if self.width <= 3:
            return rng.getrandbits(self.width)
        match rng.randrange(22):
            case 0 | 1 | 2:
                word = rng.choice(self.pool)
            case 3:
                word = 1 << rng.randrange(self.width)
            case 4:
                word = full ^ (1 << rng.randrange(self.width))
            case 5:
                word = (1 << rng.randrange(self.width + 1)) - 1
            case 6:
                word = last ^ (1 << rng.randrange(self.width))
            case 7:
                word = last + rng.choice((1, -1))
            case 8 | 9 if others:
                word = rng.choice(others) + rng.choice((0, 0, 1, -1))
            case 10 if others:
                word = ~rng.choice(others) + rng.choice((0, 1))
            case 11 | 12 if self._parts:
                word = self._composed()
            case 13 if self._narrow:
                word = self._placed(rng.getrandbits(self.width), rng.randrange(self.width))
            case 14:
                word = rng.getrandbits(rng.randrange(1, self.width + 1))
            case 15:
                word = rng.getrandbits(self.width) & rng.getrandbits(self.width) & rng.getrandbits(self.width)
            case 16:
                word = rng.getrandbits(self.width) | rng.getrandbits(self.width) | rng.getrandbits(self.width)
            case _:
                word = rng.getrandbits(self.width)
        return word & full

    def _composed(self) -> int:
        """A word of fields, each a corner, a constant or random by itself."""
        rng, word = self._rng, self._rng.choice((0, self._mask, self._rng.getrandbits(self.width)))
        for low, size in self._parts:
            fitting = [c.value for c in self._narrow if c.width == size]
            part = rng.choice((0, -1, 1 << rng.randrange(size), rng.getrandbits(size), *fitting[:4]))
            full = (1 << size) - 1
            word = word & ~(full << low) | (part & full) << low
        return word

    def _placed(self, word: int, low: int) -> int:
        """The word with a narrower constant of the reference at some place."""
        constant = self._rng.choice(self._narrow)
        return word & ~(((1 << constant.width) - 1) << low) | constant.value << low
