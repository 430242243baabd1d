"""Numbers and foreign text as a reader sees them: one spelling for terminal, markdown and page.

A value that was not measured is shown as a dash, never as zero.
"""

import math
import re

from itertl.records import EvalSummary, PassAtK, SearchCost, Verdict

NOT_MEASURED = "–"
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """``text`` with CRLF made LF, and with what neither XML nor a terminal can carry (NUL, escape codes, lone
    surrogates, marks that reverse the reading direction) shown as U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str, length: int = 200) -> str:
    """Printable text on one line, cut to ``length`` characters."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def searched(cost: SearchCost) -> str:
    """How answers were searched for: ``"repair, looking at the reference"``."""
    return by_search(cost.strategy, cost.feedback)


def by_search(strategy: str, feedback: str) -> str:
    """``searched``, of a strategy's name and of what it looked at."""
    return f"{strategy}, looking at {'its own texts alone' if feedback == 'none' else f'the {feedback}'}"


def percent(value: float | None) -> str:
    """0.1254 -> "12.5%"."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    return f"{100 * value:.1f}%"


def number(value: float | None, digits: int = 3) -> str:
    """``digits`` significant digits, without an exponent where that is readable: 0.41, 12.3, 4.0e-05."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:.{decimals}f}"
    return f"{value:.{digits - 1}e}"


def count(value: int | None) -> str:
    """Thousands separated: 12345 -> "12,345"."""
    return NOT_MEASURED if value is None else f"{value:,}"


def interval(low: float | None, high: float | None) -> str:
    """(0.101, 0.2) -> "10.1–20.0", in percent; "" where there is no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{100 * low:.1f}–{100 * high:.1f}"


def rate_with_interval(rate: PassAtK | None) -> str:
    """ "12.5% (7.3–18.8)"; a dash where the rate was not measured."""
    if rate is None or rate.value is None:
        return NOT_MEASURED
    span = interval(rate.low, rate.high)
    return f"{percent(rate.value)} ({span})" if span else percent(rate.value)


def gamed(summary: EvalSummary) -> int:
    """Designs refused unrun."""
    return summary.by_verdict.get(Verdict.GAMED.value, 0)


def counts(summary: EvalSummary) -> str:
    """ "correct/wrong/truncated/unjudged", which add up to all completions."""
    return f"{summary.correct}/{summary.wrong}/{summary.truncated}/{summary.unjudged}"
