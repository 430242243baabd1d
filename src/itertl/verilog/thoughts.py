"""Where a reasoning model's thought ends and its answer begins.

The text before the last closing mark is a draft, also where the opening mark came with the prompt and only the closing
one is in the text. A thought that was begun and never closed goes to the end of the text. Answers that are marked as
such (``<answer>``, ``<|begin_of_solution|>``) are taken from between their marks. A mark in quotes, or in a comment or
string of a whole module, is a mention and marks nothing.
"""

import re
from dataclasses import dataclass

from itertl.verilog.units import find_units

_THOUGHT = r"(?:[\w-]+:)?(?:think|thinking|thoughts?|thought_process|reasoning|reason|reflection|analysis|scratch_?pad)"
_ANSWER = r"(?:answer|final_answer|solution)"
_CHANNEL = r"<\|channel\|>\s*{}[^<\n]{{0,80}}<\|message\|>"
_OPEN = (
    rf"<{_THOUGHT}>|<\|(?:begin_of_)?(?:{_THOUGHT})\|>|◁think▷|\[THINK\]|{_CHANNEL.format('(?:analysis|commentary)')}"
)
_CLOSE = rf"</{_THOUGHT}>|<\|(?:end_of_|/){_THOUGHT}\|>|◁/think▷|\[/THINK\]|{_CHANNEL.format('final')}|assistantfinal"
_MARKS = re.compile(
    rf"(?:(?P<open>{_OPEN})|(?P<close>{_CLOSE})"
    rf"|(?P<answer><{_ANSWER}>|<\|begin_of_{_ANSWER}\|>)|(?P<answered></{_ANSWER}>|<\|end_of_{_ANSWER}\|>))",
    re.IGNORECASE,
)
_CLOSING_OF = (("<|begin_of_", "<|end_of_"), ("<|", "<|/"), ("<", "</"), ("◁", "◁/"), ("[", "[/"))
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Mark:
    kind: str
    start: int
    end: int


def answer_spans(text: str, *, opened: bool = False) -> list[list[Span]]:
    """Readings of ``text``, the likeliest first: in each the spans that hold the answer; all else is thought.

    ``opened``: the prompt ended inside a thought. A later reading is for where the earlier holds no code: what is
    marked as the answer, what follows the last thought, what is between thoughts.
    """
    marks = _marks(text)
    thoughts = [m for m in marks if m.kind in ("open", "close")]
    last = max((m.end for m in thoughts if m.kind == "close"), default=None)
    low = last or 0
    unfinished = next((m.start for m in thoughts if m.kind == "open" and m.start >= low), len(text))
    readings = [[span] for span in _marked_answers(marks, low, unfinished)]
    if last is None and opened:
        return [reading for reading in readings if reading[0][0] > 0] or [[]]
    readings.append([(low, unfinished)])
    between = _between(thoughts, opened) if last is not None else []
    return [*readings, between] if between else readings


def opens_thought(prompt: str) -> str | None:
    """The mark that closes the thought in which a prompt ends, None where it ends in none."""
    found = re.search(rf"(?:{_OPEN})\s*\Z", prompt, re.IGNORECASE)
    if found is None or "channel" in found.group():
        return None
    mark = found.group().rstrip()
    old, new = next(pair for pair in _CLOSING_OF if mark.startswith(pair[0]))
    return new + mark.removeprefix(old)


def closes_thought(text: str) -> bool:
    """Whether a closing mark of a thought is in ``text``."""
    return any(mark.kind == "close" for mark in _marks(text))


def has_thought(text: str) -> bool:
    """Whether any mark of a thought or of an answer is in ``text``."""
    return bool(_marks(text))


def _marks(text: str) -> list[_Mark]:
    found = [
        _Mark(str(m.lastgroup), m.start(), m.end())
        for m in _MARKS.finditer(text)
        if not _is_named(text, m.start(), m.end())
    ]
    if not found:
        return []
    modules = [u for u in find_units(text) if u.is_module and u.is_closed]
    return [m for m in found if not (_is_quoted(text, m.start) and any(u.start < m.start < u.end for u in modules))]


def _is_named(text: str, start: int, end: int) -> bool:
    """Whether a mark stands in quotes, as a mention does. Three backticks behind it are a fence."""
    return (
        text[start - 1 : start] in ("`", "'", '"')
        and text[end : end + 1] == text[start - 1]
        and text[end : end + 3] != "```"
    )


def _is_quoted(text: str, place: int) -> bool:
    """Whether a comment or a string began before ``place`` on its line."""
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return "//" in line or line.count('"') % 2 == 1 or line.rfind("/*") > line.rfind("*/")


def _marked_answers(marks: list[_Mark], low: int, high: int) -> list[Span]:
    """The text between marks of an answer in [low, high), the last first; up to ``high`` where it is not closed."""
    spans: list[Span] = []
    start: int | None = None
    for mark in (m for m in marks if low <= m.start < high):
        if mark.kind == "answer":
            start = mark.end
        elif mark.kind == "answered":
            spans.append((low if start is None else start, mark.start))
            start = None
    if start is not None:
        spans.append((start, high))
    return spans[::-1]


def _between(thoughts: list[_Mark], opened: bool) -> list[Span]:
    """The text outside of thoughts before the last closing mark."""
    spans: list[Span] = []
    position: int | None = None if opened else 0
    for mark in thoughts:
        if mark.kind == "open" and position is not None:
            spans.append((position, mark.start))
            position = None
        elif mark.kind == "close":
            position = mark.end
    return [(low, high) for low, high in spans if low < high]
