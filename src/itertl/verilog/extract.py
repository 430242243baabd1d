"""The Verilog inside a model's answer, and an account of everything that is not.

The answer is cut at code fences and chat markers; of the pieces those with a whole module are read as one text, and of
its modules the one asked for is kept with the modules that it instantiates. What is kept goes up to the last
``endmodule`` and is closed with one where it is missing. Every other character of the answer is in ``dropped`` with a
reason, and an addition is noted there with an empty text. Left out: the code is not parsed, so prose in the middle of a
module stays (and is a syntax error, as it should be).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from itertl.records import Dropped
from itertl.verilog.text import is_prose, tokenize, unix_lines
from itertl.verilog.thoughts import Span, answer_spans, has_thought
from itertl.verilog.units import CodeUnit, find_units, looks_like_code, module_name
from itertl.verilog.versions import choose_versions

THOUGHT = "thought"
ADDED_END = "added a missing endmodule"
ADDED_ENDIF = "added the endif of the header's ifdef"
ADDED_BREAK = "added a line break between two modules"
ADDED_HEADER = "added the header that the answer goes on from"

_NAMES = (
    "im_start im_end im_sep endoftext begin_of_text end_of_text start_header_id end_header_id eot_id eom_id eot end "
    "pad assistant user system endofprompt begin_of_sentence end_of_sentence fim_prefix fim_middle fim_suffix fim_pad "
    "file_sep"
)
_MARKER = re.compile(
    rf"<\|(?:{_NAMES.replace(' ', '|')})\|>|<｜[^｜<>\n]{{1,40}}｜>|</?s>(?=\s|$)|\[/?INST\]", re.IGNORECASE
)
_FENCE = re.compile(
    r"`{3,}(?:[ \t]*(?!endmodule)[\w+#.-]*[ \t\r]*(?:\n|\Z)|(?:systemverilog|verilog|sv|v)\b)?|^[ \t]*~{3,}[ \t]*\w*[ "
    r"\t\r]*$\n?",
    re.MULTILINE,
)
_ENDMODULE = re.compile(r"(?<![\w$`])endmodule(?![\w$])")
_COMMENT_OR_STRING = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"[^\"\n]*\"?", re.DOTALL)


_GATE = re.compile(
    r"^\s*(?:x?n?or|n?and|not|buf|(?:buf|not)if[01]|[rt]?(?:pmos|nmos|cmos)"
    r"|r?tran(?:if[01])?)\b\s*(?:#\s*[\w.]+\s*)?(?:\w+\s*)?\([^;]*\)\s*[;,]",
    re.M,
)
_STATEMENT = re.compile(
    r"\s*(?:always\w*|initial|assign|wire|reg|logic|bit|int|integer|input|output|inout|parameter|localparam|genvar"
    r"|generate|function|task|typedef|case[xz]?|if|for|begin|end)\b"
)
_WRAPPING = re.compile(r"^\s*(?:`{3,}|~~~)|^\s*(?:CODE (?:BEGIN|END)|\[(?:BEGIN|DONE|END)\])", re.M | re.I)


def is_wrapped(text: str) -> bool:
    """Whether a text holds marks of an answer around code: fences, chat markers, thoughts, ``CODE BEGIN``."""
    return bool(_WRAPPING.search(text) or _MARKER.search(text)) or has_thought(text)


@dataclass(frozen=True, slots=True)
class Extraction:
    """``code`` is a whole text of one or more modules, or ""; ``dropped`` all else, in the order of the text."""

    code: str
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of the answer between marks: ``text[start:end]``."""

    start: int
    end: int
    is_fenced: bool


@dataclass(frozen=True, slots=True)
class _Drop:
    start: int
    end: int
    reason: str


def extract(
    text: str, *, header: str = "", prefill: str = "", top: str | None = None, opened: bool = False, opening: str = ""
) -> Extraction:
    """Take the Verilog out of ``text``; never raises.

    A thought (``thoughts``) is not an answer, ``opened`` where the prompt ended inside one; of several modules of one
    name the last that is presented as the answer counts (``versions``).

    ``prefill`` was the start of the answer and comes before ``text``; ``opening`` is the text before it, without code
    but perhaps with a fence, which then ends where ``text`` closes it. ``header`` is the module header of the task: it
    names the module that is wanted (``top`` does so where there is none), and comes before an answer that goes on from
    it. The characters of ``code`` and of ``dropped`` together are those of ``text``, except for prefill or header and
    the additions that ``dropped`` notes.
    """
    text = unix_lines(text)
    is_fenced = len(_FENCE.findall(opening)) % 2 == 1
    found = [_extract(text, spans, header, prefill, top, is_fenced) for spans in answer_spans(text, opened=opened)]
    return next((one for one in found if one.code), found[0])


def _extract(
    text: str, spans: Sequence[Span], header: str, prefill: str, top: str | None, is_fenced: bool
) -> Extraction:
    """``extract`` of one reading: text outside ``spans`` is thought; ``is_fenced``: it begins within a fence."""
    pieces, drops = _cut_at_marks(text, spans, is_fenced)
    chosen = _choose(text, pieces, prefill, header or prefill)
    kept = [p for p in pieces if p in chosen]
    unfit = {True: "code block without a whole module", False: "prose outside the code"}
    drops += [_Drop(p.start, p.end, unfit[p.is_fenced]) for p in pieces if p not in chosen]
    start, notes = _start_of_code(text, kept, header, prefill)
    if start is None:
        return _account(text, "", _nothing(text, drops), [])
    if notes == [ADDED_HEADER] and not kept[0].is_fenced:
        at = _behind_prose(text, kept[0])
        drops += [_Drop(kept[0].start, at, "prose before the code")] if at > kept[0].start else []
        kept = [replace(kept[0], start=at), *kept[1:]]
    joined, offsets = _join(text, kept, start)
    wanted = module_name(header or prefill) or top
    asked = frozenset(t.text for t in tokenize(header or prefill) if t.kind == "identifier")
    code, inner, added = _keep_modules(joined, wanted, asked, lambda low, high: _between(text, offsets, low, high))
    if not code:
        return _account(text, "", _nothing(text, drops), [])
    missing = min(_open_conditions(start or ""), _open_conditions(code))
    code += "\n`endif" * missing
    added += [ADDED_ENDIF] * missing
    drops += [d for cut in inner for d in _back(cut, offsets)]
    return _account(text, code, drops, [*notes, *added])


def _nothing(text: str, drops: Sequence[_Drop]) -> list[_Drop]:
    """The account of an answer without code: its thoughts, and the rest."""
    thoughts = [drop for drop in drops if drop.reason == THOUGHT]
    rest = [
        _Drop(low, high, "no module in the text")
        for low, high in _gaps([(d.start, d.end) for d in thoughts], len(text))
    ]
    return [*thoughts, *rest]


def _gaps(spans: Sequence[Span], end: int) -> list[Span]:
    """What of [0, end) no span covers."""
    found, position = [], 0
    for low, high in sorted(spans):
        if low > position:
            found.append((position, low))
        position = max(position, high)
    return [*found, (position, end)] if position < end else found


def _between(text: str, offsets: Sequence[tuple[int, int, int]], low: int, high: int) -> str:
    """What stands in the answer between two places of the joined text, dropped pieces included."""
    begin = next((there + low - place for place, there, size in offsets if place < low <= place + size), 0)
    end = next((there + high - place for place, there, size in offsets if place <= high < place + size), 0)
    return text[begin:end]


def _cut_at_marks(text: str, spans: Sequence[Span], is_fenced: bool) -> tuple[list[_Piece], list[_Drop]]:
    """Split each span at fences and chat markers; what lies outside of the spans is thought."""
    pieces: list[_Piece] = []
    drops = [_Drop(low, high, THOUGHT) for low, high in _gaps(spans, len(text))]
    for low, high in spans:
        mine, gone = _cut_span(text[low:high], is_fenced and low == 0)
        pieces += [_Piece(p.start + low, p.end + low, p.is_fenced) for p in mine]
        drops += [_Drop(d.start + low, d.end + low, d.reason) for d in gone]
    return pieces, drops


def _cut_span(text: str, fenced: bool) -> tuple[list[_Piece], list[_Drop]]:
    """Split at fences and chat markers. A fence toggles prose and code (``fenced``: at first) up to the end."""
    marks = [(m.start(), m.end(), "code fence") for m in _FENCE.finditer(text)]
    marks += [(m.start(), m.end(), "chat marker") for m in _MARKER.finditer(text)]
    pieces: list[_Piece] = []
    drops: list[_Drop] = []
    position = 0
    for start, end, reason in sorted(marks):
        if start < position:
            continue
        if start > position:
            pieces.append(_Piece(position, start, fenced))
        drops.append(_Drop(start, end, reason))
        fenced = not fenced if reason == "code fence" else fenced
        position = end
    if position < len(text):
        pieces.append(_Piece(position, len(text), fenced))
    return pieces, drops


def _choose(text: str, pieces: list[_Piece], prefill: str, header: str) -> list[_Piece]:
    """The pieces that hold the answer: with a whole module, else with a beginning of one, else with a body."""
    shown = {p: (prefill if n == 0 else "") + text[p.start : p.end] for n, p in enumerate(pieces)}
    units = {p: [u for u in find_units(shown[p]) if u.is_module] for p in pieces}
    whole = [p for p in pieces if any(u.is_closed for u in units[p])]
    everything = [u for p in pieces for u in units[p]]
    goes_on = [p for p in pieces[:1] if header and _goes_on(shown[p], units[p], everything, module_name(header))]
    # its own end is missing or a slip
    if prefill and not any(u.is_closed and u.name == module_name(prefill) for u in everything):
        goes_on = [p for p in pieces[:1] if _has_statement(text[p.start : p.end], find_units(text[p.start : p.end]))]
    if whole or goes_on:
        return list(dict.fromkeys([*goes_on, *whole]))
    for group in ([p for p in pieces if p.is_fenced], pieces):
        # a prefill with nothing behind it is not an answer
        begun = [p for p in group if units[p] and text[p.start : p.end].strip()]
        if begun:
            return begun[:1]
        for p in group if header else ():
            is_inside = p.is_fenced and (_GATE.search(shown[p]) or _goes_on(shown[p], [], everything, None))
            if is_inside or looks_like_code(shown[p]):
                return [p]
    return []


def _goes_on(text: str, units: Sequence[CodeUnit], everything: Sequence[CodeUnit], wanted: str | None) -> bool:
    """Whether ``text`` is the inside of the wanted module up to its ``endmodule``, before any module of its own.

    Not so where what precedes the ``endmodule`` has no statement; where it is empty, unless the wanted module
    follows as a whole.
    """
    blanked = _COMMENT_OR_STRING.sub(lambda m: " " * len(m.group()), text)
    first = _ENDMODULE.search(blanked)
    if first is None or first.start() > min((u.start for u in units), default=len(text)):
        return False
    before = blanked[: first.start()]
    return ";" in before if before.strip() else not any(u.is_closed and u.name == wanted for u in everything)


def _has_statement(text: str, units: Sequence[CodeUnit]) -> bool:
    """Whether ``;`` or ``endmodule`` ends something before the first module: the inside of one that was begun."""
    before = _COMMENT_OR_STRING.sub(" ", text[: min((u.lead for u in units), default=len(text))])
    return looks_like_code(before) or ";" in before or _ENDMODULE.search(before) is not None


def _start_of_code(text: str, kept: list[_Piece], header: str, prefill: str) -> tuple[str | None, list[str]]:
    """What stands before the kept pieces (None: there is no code at all), with the notes that it calls for."""
    if not kept:
        return None, []
    body = text[kept[0].start : kept[0].end]
    modules = [u for u in find_units(body) if u.is_module]
    everything = [u for p in kept for u in find_units(text[p.start : p.end]) if u.is_module]
    wanted = module_name(header or prefill)
    is_inside = bool(prefill) and not any(u.name == wanted for u in everything) and _has_statement(body, modules)
    if modules and not is_inside and not _goes_on(body, modules, everything, wanted):
        return "", []
    if prefill:
        return prefill, []
    head = _ENDMODULE.split(header)[0]
    if not head.strip():
        return None, []
    return head if head.endswith("\n") else head + "\n", [ADDED_HEADER]


def _behind_prose(text: str, piece: _Piece) -> int:
    """Where the first line of a body begins that is not prose; the piece's start where there is none."""
    at = piece.start
    for line in text[piece.start : piece.end].splitlines(keepends=True):
        if line.strip() and (_STATEMENT.match(line) or re.search(r"[;=`]|//|/\*", line) or not is_prose(line)):
            return at
        at += len(line)
    return piece.start


def _join(text: str, kept: list[_Piece], start: str) -> tuple[str, list[tuple[int, int, int]]]:
    """The kept pieces after ``start`` as one text, with (place in it, place in ``text``, length) of each.

    A line break stands between two pieces, so that ``endmodule`` and ``module`` do not become one word.
    """
    parts, offsets, place = [start], [], len(start)
    for piece in kept:
        part = text[piece.start : piece.end]
        joint = "\n" if parts[-1] and len(parts) > 1 and not parts[-1].endswith("\n") else ""
        joint += ";\n" if len(parts) > 1 and part.lstrip().startswith(":") else ""  # no label of the module before
        if joint:
            parts.append(joint)
            place += len(joint)
        offsets.append((place, piece.start, len(part)))
        parts.append(part)
        place += len(part)
    return "".join(parts), offsets


def _back(cut: _Drop, offsets: Sequence[tuple[int, int, int]]) -> list[_Drop]:
    """A stretch of the joined text as stretches of the answer; what lies in prefill or header has none."""
    found: list[_Drop] = []
    for place, origin, length in offsets:
        low, high = max(cut.start, place), min(cut.end, place + length)
        if low < high:
            found.append(_Drop(low - place + origin, high - place + origin, cut.reason))
    return found


def _keep_modules(
    code: str, wanted: str | None, ports: frozenset[str], between: Callable[[int, int], str]
) -> tuple[str, list[_Drop], list[str]]:
    """Keep the wanted module with its helpers. Returns (code, what was cut from it, notes of additions)."""
    units = find_units(code)
    modules = [u for u in units if u.is_module]
    ends = [0, *(u.end for u in modules)]
    before = [between(end, u.start) for end, u in zip(ends, modules, strict=False)]
    reasons = _reasons_to_drop(modules, wanted, choose_versions(modules, before, ports))
    kept: list[str] = []
    cuts: list[_Drop] = []
    added: list[str] = []
    position = 0
    for unit in units:
        reason, lead = reasons.get(unit.start), unit.lead
        if reason is None and kept and not kept[-1].endswith("\n"):
            if lead > position and code[lead - 1] == "\n":
                lead -= 1
            else:
                kept.append("\n")
                added.append(ADDED_BREAK)
        cuts += [_Drop(position, lead, "text around the code")] if lead > position else []
        if reason is not None:
            cuts.append(_Drop(lead, unit.end, reason))
        else:
            kept.append(code[lead : unit.end])
            if unit.is_module and not unit.is_closed:
                kept.append("endmodule" if kept[-1].endswith("\n") else "\nendmodule")
                added.append(ADDED_END)
        position = unit.end
    guard = _open_guard("".join(kept), code[position:])
    kept.append(code[position : position + guard])
    if position + guard < len(code):
        cuts.append(_Drop(position + guard, len(code), "text after the last endmodule"))
    has_module = any(u.is_module and u.start not in reasons for u in units)
    return ("".join(kept) if has_module else ""), cuts, added


def _open_guard(kept: str, rest: str) -> int:
    """Length of the ``endif`` directly after the code that closes an ``ifdef`` before it; 0 where none does."""
    closing = re.match(r"\s*`endif\b[^\n]*", rest) if _open_conditions(kept) else None
    return closing.end() if closing else 0


def _open_conditions(code: str) -> int:
    return max(len(re.findall(r"`(?:ifdef|ifndef)\b", code)) - len(re.findall(r"`endif\b", code)), 0)


def _reasons_to_drop(modules: list[CodeUnit], wanted: str | None, versions: dict[int, str]) -> dict[int, str]:
    """Which modules go (by place), and why. ``versions``: those of which another one of the same name counts."""
    reasons = dict(versions)
    closed = {u.name for u in modules if u.is_closed}
    for unit in modules:
        if not unit.is_closed and closed and unit.name != wanted:
            reasons.setdefault(unit.start, "unfinished module")
    left = [u for u in modules if u.start not in reasons]
    designs = [u for u in left if u.name == wanted or not u.is_testbench] or left
    top = _top(designs, wanted)
    needed = _with_helpers(top, left)
    for unit in left:
        if unit.name not in needed:
            reasons[unit.start] = "testbench" if unit.is_testbench else "module that the first one does not use"
    return reasons


def _top(designs: list[CodeUnit], wanted: str | None) -> CodeUnit | None:
    """The wanted module; else the first that no other one uses; else the first."""
    named = [u for u in designs if u.name == wanted]
    used = {name for u in designs for name in u.mentions - {u.name}}
    roots = [u for u in designs if u.name not in used]
    return next(iter([*named, *roots, *designs]), None)


def _with_helpers(top: CodeUnit | None, units: list[CodeUnit]) -> set[str]:
    """Names of the top module and of all that it uses, directly or not."""
    by_name = {u.name: u for u in units}
    needed: set[str] = set()
    waiting = [top.name] if top else []
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [m for m in by_name[name].mentions if m in by_name]
    return needed


def _account(text: str, code: str, drops: list[_Drop], notes: list[str]) -> Extraction:
    """Drops in the order of the text, neighbours of one reason joined, then the notes."""
    merged: list[_Drop] = []
    for drop in sorted(drops, key=lambda d: (d.start, d.end)):
        last = merged[-1] if merged else None
        if last is not None and last.end == drop.start and last.reason == drop.reason:
            merged[-1] = _Drop(last.start, drop.end, drop.reason)
        else:
            merged.append(drop)
    pieces = [(d.reason, text[d.start : d.end]) for d in merged]
    dropped = [Dropped(reason=reason if piece.strip() else "white space", text=piece) for reason, piece in pieces]
    return Extraction(code, (*dropped, *(Dropped(reason=note, text="") for note in notes)))
