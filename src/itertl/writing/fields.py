"""What a teacher's answer says: the marked fields of an exercise, a description, keywords. Nothing is parsed by a tool.

An answer is read as it is meant: marks may stand in bold, brackets or another case, a thought and prose before the
first mark are passed over, and what follows the header (a solution, say) is not read.
"""

import re
from dataclasses import dataclass

from itertl.verilog.header import derive_header
from itertl.verilog.text import modules, tokenize
from itertl.verilog.thoughts import answer_spans

_EDGE = r"[ \t>*#_\[\](){}`-]*"
_ENDED = rf"(?:{_EDGE}(?::|$){_EDGE}|[*_ ]*[\]>)][\]>)*_: ]*)"  # by a colon, the end of the line or a bracket
_INSTRUCTION = re.compile(rf"^{_EDGE}(?:new )?instruction{_ENDED}", re.I | re.M)
_INPUT = re.compile(rf"^{_EDGE}(?:input|(?:module )?header){_ENDED}", re.I | re.M)
_DESCRIPTION = re.compile(rf"^{_EDGE}(?:(?:high-level|detailed) )?description{_EDGE}:{_EDGE}", re.I | re.M)
_NEXT = re.compile(rf"^{_EDGE}(?:module{_EDGE}:|```)", re.I | re.M)  # a base model goes on with an example of its own
_CODE = re.compile(r"\bendmodule\b|\balways(?:_ff|_comb)?\s*@|\bassign\s+\w+(?:\[[^\]]*\])?\s*=")
_ANNOUNCED = re.compile(r"\A[^\n]{0,80}\bdescription\b[^\n]{0,60}:[ \t]*\n", re.I)  # "Here is a description …:"
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):])?\s*")
_MOST_KEYWORD_WORDS = 6


@dataclass(frozen=True, slots=True)
class Exercise:
    """The two fields. ``header`` ends with the semicolon behind the ports."""

    instruction: str
    header: str


def exercise(text: str) -> Exercise | str:
    """The fields of an answer, or what it lacks."""
    answer = without_thoughts(text)
    if not answer.strip():
        return "empty answer"
    found = _header(answer)
    if found is None:
        return "no module header with directions of its ports"
    end, header = found
    mark = _INSTRUCTION.search(answer, 0, end)  # None where the answer was begun with it
    instruction = _plain(answer[mark.end() if mark else 0 : end])
    if not re.search(r"\w", instruction):
        return "no instruction"
    return "shows code" if _CODE.search(instruction) else Exercise(instruction, header)


def description(text: str) -> tuple[str, str]:
    """(a description, why it is none, or ""). It is no use where it shows the code that is to be written."""
    answer = without_thoughts(text)
    mark = _DESCRIPTION.search(answer)
    answer = answer[mark.end() :] if mark else answer
    following = _NEXT.search(answer)
    said = _plain(_ANNOUNCED.sub("", answer[: following.start()] if following else answer))
    if not re.search(r"\w", said):
        return "", "empty answer"
    return said, "shows code" if _CODE.search(said) else ""


def keywords(text: str) -> list[str]:
    """Keywords of an answer, one a line or between commas; what is longer than a keyword is left out."""
    answer = without_thoughts(text).strip()
    lines = answer.splitlines() if "\n" in answer else answer.split(",")
    found: list[str] = []
    for line in lines:
        word = re.split(r"\s+[-–—]\s+|:", _BULLET.sub("", line), maxsplit=1)[0].strip(" \t.,;*_`\"'")
        if re.search(r"[A-Za-z]", word) and len(word.split()) <= _MOST_KEYWORD_WORDS and len(word) <= 60:
            found.append(word)
    return found


def without_thoughts(text: str) -> str:
    """The answer of a model that thinks aloud."""
    return "".join(text[start:end] for start, end in answer_spans(text)[0])


def _header(answer: str) -> tuple[int, str] | None:
    """(where the instruction ends, the header): behind the first mark of the field that has one, else the first one.
    A base model may go on with exercises of its own."""
    for mark in _INPUT.finditer(answer):
        behind = answer[mark.end() :]
        spans = modules(behind)
        if spans and not re.search(r"\w", re.sub(r"```\w*", "", behind[: spans[0].start])):
            header = derive_header(behind[spans[0].start :])
            if _has_directions(header):
                return mark.start(), header
    for span in modules(answer):
        header = derive_header(answer[span.start :])
        if _has_directions(header):
            return span.start, header
    return None


def _has_directions(header: str) -> bool:
    return any(token.text in ("output", "inout") for token in tokenize(header))


def _plain(text: str) -> str:
    """Without the fences and lone marks at its ends."""
    lines = text.replace("\r\n", "\n").strip().split("\n")
    while lines and (
        not lines[-1].strip(" \t*#_`-") or re.fullmatch(r"\s*```\w*\s*", lines[-1]) or _INPUT.fullmatch(lines[-1])
    ):
        lines.pop()
    return "\n".join(line.rstrip() for line in lines).strip(" \t\n*_`")
