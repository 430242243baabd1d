"""Rouge-L's F1 over any sequence: how much of two texts is a common subsequence.

The longest common subsequence is rapidfuzz's, bit-parallel: O(|a| |b| / 64).
"""

from collections.abc import Hashable, Sequence

from rapidfuzz.distance import LCSseq


def lcs_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence of two strings, or of two sequences of hashables."""
    if not isinstance(a, str) or not isinstance(b, str):
        a, b = _numbered(a, b)
    return LCSseq.similarity(a, b)


def _numbered(a: Sequence[Hashable], b: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """The same sequences with each distinct element replaced by a number: rapidfuzz compares hashes, and those of
    two elements may be equal."""
    numbers: dict[Hashable, int] = {}
    first = [numbers.setdefault(element, len(numbers)) for element in a]
    return first, [numbers.setdefault(element, len(numbers)) for element in b]


def rouge_l_f1(candidate: Sequence[Hashable], reference: Sequence[Hashable]) -> float:
    """Rouge-L F1 with equal weight on precision and recall: 2·LCS / (|candidate| + |reference|), in [0, 1].

    Raises ZeroDivisionError where both are empty: what that means is for the scorer to say.
    """
    return 2 * lcs_length(candidate, reference) / (len(candidate) + len(reference))
