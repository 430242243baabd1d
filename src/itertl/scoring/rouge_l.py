"""``rouge-l`` and ``rouge-l-tokens``: likeness of the whole code to the whole reference.

Blind to function: a right design written differently scores low, and a wrong operator in a long copy scores high.
"""

from collections.abc import Hashable, Sequence
from importlib.metadata import version

from rapidfuzz.distance import LCSseq

from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem, ScoreMaker
from itertl.verilog import text as verilog_text


def rapidfuzz_version() -> str:
    """What a score depends on beside the item."""
    return f"rapidfuzz {version('rapidfuzz')}"


def characters(item: ScoreItem) -> Score:
    """Rouge-L F1 over characters, comments and white space included."""
    return _likeness("rouge-l", item.code, item.reference)


def tokens(item: ScoreItem) -> Score:
    """Rouge-L F1 over Verilog tokens: operators count, comments, layout and the spelling of numbers do not.

    (Rouge-L over words, as usually computed, drops operators: ``a & b`` and ``a | b`` would be equal.)
    """
    reference = None if item.reference is None else verilog_text.tokens(item.reference)
    return _likeness("rouge-l-tokens", verilog_text.tokens(item.code), reference)


def _likeness(scorer: str, code: Sequence[Hashable], reference: Sequence[Hashable] | None) -> Score:
    """SCORED with the value; an empty code scores 0, or 1 if the reference is empty too (it is the same text)."""
    result = ScoreMaker(scorer, "rapidfuzz", version("rapidfuzz"))
    if reference is None:
        return result.unjudgeable("no reference")
    if not code:
        return result(0.0 if reference else 1.0, Verdict.NO_CODE, "nothing to compare")
    return result(rouge_l_f1(code, reference), Verdict.SCORED)


def rouge_l_f1(candidate: Sequence[Hashable], reference: Sequence[Hashable]) -> float:
    """Rouge-L F1 with equal weight on precision and recall: 2·LCS / (|candidate| + |reference|), in [0, 1].

    LCS is the length of the longest common subsequence of two strings, or of two sequences of hashables: rapidfuzz's,
    bit-parallel, O(|a| |b| / 64). Raises ZeroDivisionError where both are empty: what that means is for the scorer to
    say.
    """
    length = len(candidate) + len(reference)
    if not isinstance(candidate, str) or not isinstance(reference, str):
        numbers: dict[Hashable, int] = {}  # rapidfuzz compares hashes, and those of two elements may be equal
        candidate = [numbers.setdefault(element, len(numbers)) for element in candidate]
        reference = [numbers.setdefault(element, len(numbers)) for element in reference]
    return 2 * LCSseq.similarity(candidate, reference) / length
