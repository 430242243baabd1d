"""Outputs against expected outputs, bit by bit: the rule, the share, the scale.

The rule is VerilogEval's: a bit that the reference has as X or Z matches anything; where it is 0 or 1, only the same matches. A run
is one string of samples, and a string is compared as two whole numbers, so that long runs cost little.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# a sample as the mask of its ones, and of its zeros
ONES = str.maketrans("xXzZ", "0000")
ZEROS = str.maketrans("01xXzZ", "100000")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reference's run says. Bits stand as in the samples' text: the first sample's first character is the highest."""

    width: int  # bits of a sample
    length: int  # samples
    ones: int  # the bits that must be 1
    zeros: int  # the bits that must be 0
    constant: int  # how many of them the best outputs without any logic get right

    @property
    def known(self) -> int:
        """How many bits are compared."""
        return self.ones.bit_count() + self.zeros.bit_count()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a candidate did. ``first`` is the first sample that differs, None where none does."""

    matching: int
    known: int
    constant: int
    first: int | None

    @property
    def is_equal(self) -> bool:
        return self.first is None

    @property
    def share(self) -> float:
        """Share of compared bits that match."""
        return self.matching / self.known

    @property
    def value(self) -> float:
        """1 where all match; else the share on a scale on which the best constant outputs have 0, and below 1."""
        if self.is_equal:
            return 1.0
        return max(0, self.matching - self.constant) / (self.known - self.constant) if self.known > self.constant else 0.0


def expect(samples: Sequence[str], is_compared: Sequence[bool]) -> Expected:
    """``samples`` of the reference: strings of 0, 1, x, z of one length."""
    width = len(samples[0]) if samples else 0
    blank = "x" * width
    text = "".join(s if compared else blank for s, compared in zip(samples, is_compared, strict=True))
    constant = sum(max(column.count("0"), column.count("1")) for column in (text[bit::width] for bit in range(width)))
    return Expected(width, len(samples), _number(text, ONES), _number(text, ZEROS), constant)


def compare(expected: Expected, samples: Sequence[str]) -> Outcome:
    """``samples`` of the candidate, as many and as long as the reference's."""
    text = "".join(samples)
    wrong = (expected.ones & ~_number(text, ONES)) | (expected.zeros & ~_number(text, ZEROS))
    first = (len(text) - wrong.bit_length()) // expected.width if wrong else None
    known = expected.known
    return Outcome(known - wrong.bit_count(), known, expected.constant, first)


def joined(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of several runs as one; ``first`` tells no more than whether there is a difference."""
    parts = list(outcomes)
    first = next((part.first for part in parts if part.first is not None), None)
    return Outcome(
        sum(p.matching for p in parts), sum(p.known for p in parts), sum(p.constant for p in parts), first
    )


def _number(text: str, table: dict[int, int]) -> int:
    return int(text.translate(table) or "0", 2)
