"""``syntax``: does slang parse and elaborate the candidate? 1 or 0; the verdict tells which of the two failed.

Blind to function, and to what only a simulator refuses.
"""

from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem, is_plain_name
from itertl.tools import slang


def score(item: ScoreItem) -> Score:
    """1 where the whole code parses and elaborates from ``item.top``, else 0. The header is not put before it."""
    version = slang.version().rsplit(" ", 1)[-1]

    def result(value: float | None, verdict: Verdict, detail: str) -> Score:
        return Score(scorer="syntax", value=value, verdict=verdict, detail=detail, tool="slang", tool_version=version)

    if item.top is not None and not is_plain_name(item.top):
        return result(None, Verdict.UNJUDGEABLE, f"the problem's top module name {item.top[:80]!r} is no identifier")
    check = slang.check(item.code, item.top)
    return result(float(check.verdict is Verdict.PASSED), check.verdict, check.detail)
