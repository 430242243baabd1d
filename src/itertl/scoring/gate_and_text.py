"""``gate`` and ``text``: the lowest rungs of a ladder, on which a text becomes code, honest, and readable.

Blind to function; their point is an order among what does not run, so that a model that writes none of it yet is told
apart.
"""

from collections.abc import Callable

from itertl.judging import gate as judge
from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem, has_module, is_plain_name
from itertl.scoring.likeness import rouge_l_f1
from itertl.tools import slang

GAMED = 0.5


def gate(item: ScoreItem) -> Score:
    """0 where there is no module, 0.5 where the judge's gate refuses it as gamed, else 1, also where it does not
    parse."""
    result = _results("gate")
    if not has_module(item.code):
        return result(0.0, Verdict.NO_CODE, "the text holds no module")
    if item.top is not None and not is_plain_name(item.top):
        return result(None, Verdict.UNJUDGEABLE, f"the problem's top module name {item.top[:80]!r} is no identifier")
    unit = slang.parse(item.code)
    tops = [item.top] if item.top is not None else list(unit.modules)
    for top in tops:  # without a name to look for, what any module does counts
        found = judge.examine(item.code, top, with_variants=True)
        if isinstance(found, judge.Refusal) and found.verdict is Verdict.GAMED:
            return result(GAMED, Verdict.GAMED, found.detail)
    return result(1.0, Verdict.PASSED)


def text(item: ScoreItem) -> Score:
    """1 where slang parses the code, else character Rouge-L F1 to the reference: the paper's score with slang as its
    parser."""
    result = _results("text")
    if item.reference is None:
        return result(None, Verdict.UNJUDGEABLE, "no reference")
    unit = slang.parse(item.code)
    if unit.modules and not unit.error:
        return result(1.0, Verdict.PASSED)
    value = rouge_l_f1(item.code, item.reference) if item.code or item.reference else 0.0
    if not unit.modules and not has_module(item.code):
        return result(value, Verdict.NO_CODE, unit.error or "the text holds no module")
    return result(min(value, 1 - 1e-9), Verdict.SYNTAX_ERROR, unit.error)


def _results(scorer: str) -> Callable[..., Score]:
    """Makes scores of that name; slang's version goes with each."""

    def result(value: float | None, verdict: Verdict, detail: str = "") -> Score:
        version = slang.version().rsplit(" ", 1)[-1]
        return Score(scorer=scorer, value=value, verdict=verdict, detail=detail, tool="slang", tool_version=version)

    return result
