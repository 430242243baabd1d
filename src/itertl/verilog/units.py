"""The design units of a text that is part Verilog and part prose: modules, and the other units between them.

Works on tokens, so the word "module" in a comment, a string or a sentence begins nothing: it must be followed by a
name and then ``(``, ``;``, ``#`` or ``import`` (or by ``(`` at once: models forget the name).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from itertl.verilog.text import NAME_KINDS, SIMULATION_TASKS, Token, tokenize

_CLOSERS = {"package": "endpackage", "interface": "endinterface", "primitive": "endprimitive"}
_ITEM = re.compile(r"^(?:typedef\b|import\s+\w+\s*::|(?:localparam|parameter)\b[^;\n]*=)", re.ASCII)
_DIRECTIVES = (
    "timescale define include default_nettype resetall ifdef ifndef else elsif endif undef celldefine endcelldefine "
    "line pragma unconnected_drive nounconnected_drive begin_keywords end_keywords"
).replace(" ", "|")
_LEAD_LINE = re.compile(rf"^[ \t]*(?://|`(?:{_DIRECTIVES})\b|\(\*|$)")
_TEST_NAME = re.compile(r"(?:^|_)(?:tb|test)(?![a-z])|testbench", re.IGNORECASE)
_BODY = re.compile(
    r"(?<![\w$])(?:assign|always|always_comb|always_ff|always_latch|reg|wire|logic|case|endcase|generate|genvar"
    r"|localparam)"
    r"(?![\w$])[^\n]*(?:[;=@(\[]|\bbegin\b)|(?<![\w$])always_(?:comb|ff|latch)(?![\w$])"
)

_DECLARATIONS = frozenset("input output inout wire reg logic tri integer parameter localparam genvar signed".split())
_OPEN_PLACE = re.compile(
    r"(?://|/\*)[^\n]*(?:\bTODO\b|\b(?:your|the|rest of the|actual|add|insert|write|fill in)\b[^\n]{0,20}"
    r"\b(?:code|logic|implementation|here)\b|\.\.\.\s*$)|^\s*\.\.\.",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class CodeUnit:
    """``code[start:end]``; comments and directives that belong to it begin at ``lead``."""

    name: str  # "" for what is not a module, and for a module without a name
    lead: int
    start: int
    end: int
    is_module: bool
    is_closed: bool
    is_testbench: bool
    mentions: frozenset[str]  # identifiers in its body: a superset of the modules that it instantiates
    is_hollow: bool = False  # ports and declarations, or a place left open: a skeleton


def find_units(code: str) -> list[CodeUnit]:
    """All design units of a text, by position, without overlaps; prose between them belongs to none."""
    stream = _split_glued(tokenize(code))
    units: list[CodeUnit] = []
    index, free = 0, 0
    while index < len(stream):
        found = _unit_at(code, stream, index, free)
        if found is None:
            index += 1
            continue
        unit, index = found
        units.append(unit)
        free = unit.end
        if unit.is_module and index < len(stream) and stream[index].text == "<doubled>":
            break
    return units


def module_name(text: str) -> str | None:
    """Name of the first module that ``text`` begins, None where it begins none."""
    return next((u.name for u in find_units(text) if u.is_module and u.name), None)


def looks_like_code(text: str) -> bool:
    """Whether a text without a module can be the inside of one: a statement's keyword, and its punctuation."""
    return _BODY.search(text) is not None


def _split_glued(stream: list[Token]) -> list[Token]:
    """``endmodulemodule`` (a known slip of tuned models) is an end, and what follows it a repetition to be cut."""
    split: list[Token] = []
    for token in stream:
        if token.kind == "identifier" and token.text in ("endmodulemodule", "endmoduleendmodule"):
            split.append(Token("keyword", "endmodule", token.start))
            split.append(Token("other", "<doubled>", token.start + len("endmodule")))
        else:
            split.append(token)
    return split


def _unit_at(code: str, stream: list[Token], index: int, free: int) -> tuple[CodeUnit, int] | None:
    """The unit that begins at token ``index``, and the index of the token after it."""
    token = stream[index]
    if token.kind != "keyword":
        return None
    if token.text in ("module", "macromodule"):
        name = None if _is_slip(code, stream, index) else _declared_name(stream, index)
        return None if name is None else _module(code, stream, index, free, name)
    if token.text in _CLOSERS and _declared_name(stream, index):
        last = next((i for i in range(index, len(stream)) if stream[i].text == _CLOSERS[token.text]), None)
        return None if last is None else _other(code, stream, index, last, free)
    if _at_line_start(code, token.start) and _ITEM.match(code[token.start : token.start + 400]):
        last = _semicolon(stream, index)
        return None if last is None else _other(code, stream, index, last, free)
    return None


def _declared_name(stream: list[Token], index: int) -> str | None:
    """The name that follows a unit's keyword, "" for a module whose name was forgotten, None for a mere word."""
    after = index + 1
    while after < len(stream) and stream[after].text in ("automatic", "static"):
        after += 1
    if after >= len(stream):
        return None
    if stream[after].text == "(":
        return ""
    if stream[after].kind not in NAME_KINDS or after + 1 >= len(stream):
        return None
    following = stream[after + 1].text
    return stream[after].text.removeprefix("\\") if following[0] in "(;#" or following == "import" else None


def _is_slip(code: str, stream: list[Token], index: int) -> bool:
    """``end module NAME;`` on one line: a slip for ``endmodule``, which begins nothing."""
    if index == 0 or stream[index - 1].text != "end" or "\n" in code[stream[index - 1].end : stream[index].start]:
        return False
    return index + 2 >= len(stream) or stream[index + 1].kind not in NAME_KINDS or stream[index + 2].text == ";"


def _is_hollow(text: str, body: Sequence[Token]) -> bool:
    """Whether a module does nothing yet: its body is declarations, or a comment that says where code goes."""
    if _OPEN_PLACE.search(text):
        return True
    header = next((i for i, token in enumerate(body) if token.text == ";"), len(body))
    starts = [after for before, after in zip(body[header:], body[header + 1 :], strict=False) if before.text == ";"]
    return all(token.text in _DECLARATIONS for token in starts) and all(token.text != "=" for token in body)


def _module(code: str, stream: list[Token], index: int, free: int, name: str) -> tuple[CodeUnit, int]:
    last = index + 1
    while last < len(stream) and stream[last].text != "endmodule":
        begins = stream[last].text in ("module", "macromodule") and _declared_name(stream, last) is not None
        if begins and not _is_slip(code, stream, last):
            break
        last += 1
    is_closed = last < len(stream) and stream[last].text == "endmodule"
    body = stream[index + 1 : last]
    after = last + 1 if is_closed else last
    if is_closed:
        end = stream[last].end
        label = stream[after : after + 2]
        # on a line of its own it may be of what a fence cut off
        is_beside = len(label) == 2 and "\n" not in code[end : label[0].start]
        if is_beside and label[0].text == ":" and label[1].text.removeprefix("\\") == name:
            after, end = after + 2, label[1].end
    else:
        end = stream[last].start if last < len(stream) else len(code)
    lead = _lead(code, free, stream[index].start)
    mentions = frozenset(t.text.removeprefix("\\") for t in body if t.kind in NAME_KINDS)
    test = _is_testbench(name, body)
    hollow = _is_hollow(code[stream[index].start : end], body)
    return CodeUnit(name, lead, stream[index].start, end, True, is_closed, test, mentions, hollow), after


def _other(code: str, stream: list[Token], index: int, last: int, free: int) -> tuple[CodeUnit, int]:
    start = stream[index].start
    return CodeUnit("", _lead(code, free, start), start, stream[last].end, False, True, False, frozenset()), last + 1


def _semicolon(stream: list[Token], index: int) -> int | None:
    depth = 0
    for i in range(index, len(stream)):
        text = stream[i].text
        depth += (text == "{") - (text == "}")
        if text == ";" and depth == 0:
            return i
        if text in ("module", "endmodule"):
            return None
    return None


def _at_line_start(code: str, place: int) -> bool:
    return not code[code.rfind("\n", 0, place) + 1 : place].strip()


def _lead(code: str, free: int, start: int) -> int:
    """Where the comments, directives and blank lines that stand directly before ``start`` begin."""
    line = code.rfind("\n", 0, start) + 1
    if line < free or (code[line:start].strip(" \t") and not _LEAD_LINE.match(code[line:start])):
        return start
    while line > free:
        previous = _line_before(code, line)
        if previous < free or previous == line:
            break
        line = previous
    blank = re.match(r"(?:[ \t\r]*\n)*", code[line:start])
    return line + (blank.end() if blank else 0)


def _line_before(code: str, line: int) -> int:
    """Start of the comment, directive or blank line that ends where ``line`` begins; ``line`` where there is none."""
    start = code.rfind("\n", 0, line - 1) + 1
    text = code[start : line - 1].rstrip()
    if text.endswith("*/"):
        opening = code.rfind("/*", 0, line)
        return code.rfind("\n", 0, opening) + 1 if opening >= 0 and _at_line_start(code, opening) else line
    while start > 0 and code[:start].endswith("\\\n"):  # a macro's body goes on over several lines
        start = code.rfind("\n", 0, start - 1) + 1
    return start if _LEAD_LINE.match(code[start : line - 1]) else line


def _is_testbench(name: str, body: Sequence[Token]) -> bool:
    """No ports, and a test's name or an ``initial`` block that calls simulation tasks."""
    if not _has_no_ports(body):
        return False
    texts = {t.text for t in body}
    return bool(_TEST_NAME.search(name)) or ("initial" in texts and not SIMULATION_TASKS.isdisjoint(texts))


def _has_no_ports(body: Sequence[Token]) -> bool:
    """Whether the port list is absent or empty and no direction is declared in the body."""
    header = [t.text for t in body[:8]]
    if any(t.text in ("input", "output", "inout") for t in body):
        return False
    if ";" not in header:
        return False
    ports = header[1 : header.index(";")]
    return ports in ([], ["(", ")"])
