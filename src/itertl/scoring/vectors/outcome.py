"""Outputs against expected outputs, bit by bit: the rule and the share.

The rule is VerilogEval's: a bit that the reference has as X or Z matches anything; where it is 0 or 1, only the same
matches. A run is one string of samples, and a string is compared as two whole numbers, so that long runs cost little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# a sample as the mask of its ones, and of its zeros
ONES = str.maketrans("xXzZ", "0000")
ZEROS = str.maketrans("01xXzZ", "100000")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reference's run gives. Bits are in the order of the samples' text: the first sample's first character is
    the highest."""

    width: int  # bits of a sample
    length: int  # samples
    ones: int  # the bits that must be 1
    zeros: int  # the bits that must be 0

    @property
    def known(self) -> int:
        """How many bits are compared."""
        return self.ones.bit_count() + self.zeros.bit_count()


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a candidate did. ``first`` is the first sample that differs, None where none does."""

    matching: int
    known: int
    first: int | None

    @property
    def is_equal(self) -> bool:
        return self.first is None

    @property
    def share(self) -> float:
        """Share of compared bits that match."""
        return self.matching / self.known


def expect(samples: Sequence[str], is_compared: Sequence[bool]) -> Expected:
    """``samples`` of the reference: strings of 0, 1, x, z of one length."""
    width = len(samples[0]) if samples else 0
    blank = "x" * width
    text = "".join(s if compared else blank for s, compared in zip(samples, is_compared, strict=True))
    return Expected(width, len(samples), number(text, ONES), number(text, ZEROS))


def compare(expected: Expected, samples: Sequence[str]) -> Comparison:
    """``samples`` of the candidate, as many and as long as the reference's."""
    text = "".join(samples)
    wrong = (expected.ones & ~number(text, ONES)) | (expected.zeros & ~number(text, ZEROS))
    first = (len(text) - wrong.bit_length()) // expected.width if wrong else None
    return Comparison(expected.known - wrong.bit_count(), expected.known, first)


def number(text: str, table: dict[int, int]) -> int:
    """The bits of a text of samples by ``ONES`` or ``ZEROS``, the first character the highest."""
    return int(text.translate(table) or "0", 2)
