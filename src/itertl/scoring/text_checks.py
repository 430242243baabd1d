"""``gate``, ``text`` and ``syntax``: is a text code, honest, and readable? The first two are the lowest rungs of a
ladder.

Blind to function, and to what only a simulator refuses. The rungs order what does not run, for a model that does not
write code that runs yet.
"""

from itertl.judging import gate as judge
from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem, ScoreMaker, has_module, is_plain_name
from itertl.scoring.rouge_l import rouge_l_f1
from itertl.tools import slang

GAMED = 0.5


def gate(item: ScoreItem) -> Score:
    """0 where there is no module, 0.5 where the judge's gate refuses it as gamed, else 1, also where it does not
    parse."""
    result = _results("gate")
    if not has_module(item.code):
        return result(0.0, Verdict.NO_CODE, "the text holds no module")
    if item.top is not None and not is_plain_name(item.top):
        return result.misnamed(item.top)
    tops = [item.top] if item.top is not None else slang.parse(item.code).modules
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
        return result.unjudgeable("no reference")
    unit = slang.parse(item.code)
    if unit.modules and not unit.error:
        return result(1.0, Verdict.PASSED)
    value = rouge_l_f1(item.code, item.reference) if item.code or item.reference else 0.0
    if not unit.modules and not has_module(item.code):
        return result(value, Verdict.NO_CODE, unit.error or "the text holds no module")
    return result(min(value, 1 - 1e-9), Verdict.SYNTAX_ERROR, unit.error)


def syntax(item: ScoreItem) -> Score:
    """1 where the whole code parses and elaborates from ``item.top``, else 0; the verdict says which of the two failed.

    The header is not put before it.
    """
    result = _results("syntax")
    if item.top is not None and not is_plain_name(item.top):
        return result.misnamed(item.top)
    check = slang.check(item.code, item.top)
    return result(float(check.verdict is Verdict.PASSED), check.verdict, check.detail)


def _results(scorer: str) -> ScoreMaker:
    return ScoreMaker(scorer, "slang", slang.version().rsplit(" ", 1)[-1])
