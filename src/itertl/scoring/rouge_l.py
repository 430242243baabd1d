"""``rouge-l`` and ``rouge-l-tokens``: likeness of the whole code to the whole reference.

Blind to function: a right design written differently scores low, and a wrong operator in a long copy scores high.
"""

from collections.abc import Hashable, Sequence
from importlib.metadata import version

from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem
from itertl.scoring.likeness import rouge_l_f1
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
    value, verdict, detail = None, Verdict.UNJUDGEABLE, "no reference"
    if reference is not None:
        value = rouge_l_f1(code, reference) if code or reference else 1.0
        verdict, detail = (Verdict.SCORED, "") if code else (Verdict.NO_CODE, "nothing to compare")
    return Score(
        scorer=scorer, value=value, verdict=verdict, detail=detail, tool="rapidfuzz", tool_version=version("rapidfuzz")
    )
