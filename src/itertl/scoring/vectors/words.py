"""Input words worth trying: corners, walking bits, the constants of the reference and their neighbours, random words."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from itertl.tools import verilog_text

MAX_CONSTANTS = 64
_BASES = {"b": 2, "o": 8, "d": 10, "h": 16}


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that stands in a text. ``width`` is 0 where it gives none. Example: ``Constant(13, 4)`` for ``4'b1101``."""

    value: int
    width: int


def constants(text: str) -> list[Constant]:
    """The distinct whole numbers of a text, those with a width first, in order of appearance; X, Z and ``?`` are read as 0."""
    found = dict.fromkeys(
        _constant(token.canonical) for token in verilog_text.tokenize(text) if token.kind == "number" and "." not in token.text
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


class Words:
    """Draws words of one width. ``others`` are the values that other inputs of the width have at the time."""

    def __init__(self, width: int, known: Iterable[Constant], rng: random.Random) -> None:
        self.width, self._rng, self._mask = width, rng, (1 << width) - 1
        self.pool = self._corners(known)

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
        match rng.randrange(20):
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
            case 11:
                word = rng.getrandbits(rng.randrange(1, self.width + 1))
            case 12:
                word = rng.getrandbits(self.width) & rng.getrandbits(self.width) & rng.getrandbits(self.width)
            case 13:
                word = rng.getrandbits(self.width) | rng.getrandbits(self.width) | rng.getrandbits(self.width)
            case _:
                word = rng.getrandbits(self.width)
        return word & full
