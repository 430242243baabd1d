"""How long inputs must stay for a reference to settle: 4 ns, or ten of its own longest delay where it has delays.

A candidate is given the same time. One whose own delays are longer has not settled when a user looks.
"""

import re
from collections.abc import Sequence

from itertl.verilog import text as verilog_text
from itertl.verilog.text import Token

STEP_NS = 4
_MOST_NS = 10**6
_TIMESCALE = re.compile(r"`timescale\s+(\d+)\s*(f|p|n|u|m)?s")
_UNITS = {"f": 1e-6, "p": 1e-3, "n": 1.0, "u": 1e3, "m": 1e6, None: 1e9}


def step_ns(text: str) -> int:
    """Nanoseconds from one step to the next for a reference of that text."""
    stream = verilog_text.tokenize(text)
    marks = [at for at, token in enumerate(stream[:-1]) if token.text == "#" and not _is_parameters(stream, at)]
    if not marks:
        return STEP_NS
    longest = max(_delay(stream, at + 1) for at in marks)
    if longest == 0:  # by a name: some number of the text is its value
        numbers = [t.text for t in stream if t.kind == "number" and t.text.isdecimal() and len(t.text) < 5]
        longest = max([1.0, *map(float, numbers)])
    units = [int(number) * _UNITS[unit or None] for number, unit in _TIMESCALE.findall(text)]  # in nanoseconds
    return min(_MOST_NS, STEP_NS + round(10 * longest * max(units, default=1.0)))  # the longest, where several are set


def _delay(stream: Sequence[Token], at: int) -> float:
    """The number that follows ``#``, 0 where it is none."""
    if stream[at].text == "(" and at + 1 < len(stream):
        at += 1
    found = re.match(r"\d+(\.\d+)?", stream[at].text)
    return float(found[0]) if found else 0.0


def _is_parameters(stream: Sequence[Token], at: int) -> bool:
    """Whether ``#(`` gives parameters: after ``module NAME``, or before an instance's name and its ports."""
    if stream[at + 1].text != "(":
        return False
    if at > 1 and stream[at - 2].text in ("module", "macromodule"):
        return True
    depth, end = 0, at + 1
    while end < len(stream):
        depth += (stream[end].text == "(") - (stream[end].text == ")")
        end += 1
        if depth == 0:
            break
    is_named = at + 2 < len(stream) and stream[at + 2].text == "."
    before = at > 0 and stream[at - 1].kind in ("identifier", "escaped")
    return is_named or (before and end < len(stream) and stream[end].kind in ("identifier", "escaped"))
