"""Verilog as text: tokens, comments, module spans, renaming of identifiers. Needs no tool and never raises.

The lexical rules are those of IEEE 1364-2005 clause 3 with the operators and keywords of IEEE 1800-2017. Broken text is
read as far as it goes: an unterminated string ends at its line, an unterminated block comment at the end of the text,
and a character that no rule knows is a token by itself. Left out: macros are not expanded and files are not included.
Every function takes time linear in the length of the text.
"""

import functools
import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

TokenKind = Literal["keyword", "identifier", "escaped", "system", "directive", "number", "string", "operator", "other"]

_REMEMBERED_CHARS = 1 << 14

KEYWORDS = frozenset(
    """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
    binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
    constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
    else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
    endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event eventually expect
    export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global
    highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input
    inside instance int integer interconnect interface intersect join join_any join_none large let liblist library
    local localparam logic longint macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
    noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
    property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
    randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
    rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
    signed small soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1
    sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri
    tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var
    vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
    """.split()
)

_OPERATORS = """
    <<<= >>>= <<< >>> === !== ==? !=? <<= >>= <-> |-> |=> ->> &&& ## ** *> == != <= >= && || << >> ~& ~| ~^ ^~ -> =>
    += -= *= /= %= &= |= ^= ++ -- :: := :/ +: -: .* '{ `` `"
    """.split()

_SPACE = r"[ \t\r\n\f\v]"
_DIGITS = r"[0-9][0-9_]*+"
_LEXER = re.compile(
    rf"""
      (?P<space>{_SPACE}++)
    | (?P<line_comment>//[^\n]*+)
    | (?P<block_comment>/\*.*?(?:\*/|\Z))
    | (?P<string>"(?:[^"\\\n]|\\.)*+"?)
    | (?P<escaped>\\[^ \t\r\n\f\v]++)
    | (?P<word>[A-Za-z_][A-Za-z0-9_$]*+)
    | (?P<system>\$[A-Za-z0-9_$]++)
    | (?P<directive>`[A-Za-z_][A-Za-z0-9_$]*+)
    | (?P<number>
        (?:{_DIGITS}[ \t]*+)?'[sS]?(?:[bB]{_SPACE}*+[01xXzZ?][01xXzZ?_]*+ | [oO]{_SPACE}*+[0-7xXzZ?][0-7xXzZ?_]*+
            | [dD]{_SPACE}*+(?:{_DIGITS}|[xXzZ?]_*+) | [hH]{_SPACE}*+[0-9a-fA-FxXzZ?][0-9a-fA-FxXzZ?_]*+)
      | '[01xXzZ](?![A-Za-z0-9_$])
      | {_DIGITS}(?:\.{_DIGITS})?(?:[eE][+-]?{_DIGITS})?(?:[munpf]?s(?![A-Za-z0-9_$]))?
      )
    | (?P<operator>
        \({_SPACE}*+\*{_SPACE}*+\) | \(\* | \*\)
      | {"|".join(re.escape(o) for o in sorted(_OPERATORS, key=len, reverse=True))}
      | [-+*/%&|^~!<>=?:;,.@\#()\[\]{{}}'$]
      )
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENTS = ("line_comment", "block_comment")
NAME_KINDS = ("identifier", "escaped")
SIMULATION_TASKS = {"$finish", "$stop", "$dumpfile", "$dumpvars", "$monitor", "$display"}


class Token(NamedTuple):
    """One token. Example: ``Token("number", "8'hFF", 12)``; ``text == code[start:end]``."""

    kind: TokenKind
    text: str  # as in the source
    start: int  # character offset

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def canonical(self) -> str:
        """The text without the white space that a number (``8 'h FF``) or an event control (``( * )``) may hold."""
        text = self.text
        if len(text) > 2 and self.kind in ("number", "operator"):
            return "".join(text.split())
        return text


@dataclass(frozen=True, slots=True)
class ModuleSpan:
    """One module of a text: ``code[start:end]``, from ``module`` to ``endmodule`` (an end label included)."""

    name: str
    start: int
    end: int
    is_terminated: bool = True  # False: no endmodule; the span ends where the next module or the end of the text is


def _lex(code: str) -> Iterator[re.Match[str]]:
    return _LEXER.finditer(code)


def unix_lines(code: str) -> str:
    """A text whose lines end in carriage returns alone with line feeds instead, of the same length; any other as it is.

    To a lexer such a text is one line, and its first ``//`` a comment to the end.
    """
    return code if "\n" in code else code.replace("\r", "\n")


def tokenize(code: str) -> list[Token]:
    """All tokens in order; white space and comments are dropped. Attributes come as ``(*``, …, ``*)``."""
    return list(_remembered(code)) if len(code) <= _REMEMBERED_CHARS else _tokenize(code)


@functools.lru_cache(maxsize=16)
def _remembered(code: str) -> tuple[Token, ...]:
    """Taking a design out of an answer reads its parts several times."""
    return tuple(_tokenize(code))


def _tokenize(code: str) -> list[Token]:
    found: list[Token] = []
    for match in _lex(code):
        kind = cast("str", match.lastgroup)
        if kind == "space" or kind in _COMMENTS:
            continue
        text = match.group()
        if kind == "word":
            kind = "keyword" if text in KEYWORDS else "identifier"
        found.append(Token(cast("TokenKind", kind), text, match.start()))
    return found


def tokens(code: str) -> list[str]:
    """The canonical texts of ``tokenize(code)``: equal for two texts that differ in layout and comments alone."""
    return [token.canonical for token in tokenize(code)]


def strip_comments(code: str) -> str:
    """``code`` without comments. A block comment leaves a space, or its line ends, so that line numbers stay."""
    pieces: list[str] = []
    for match in _lex(code):
        text = match.group()
        if match.lastgroup == "block_comment":
            text = "\n" * text.count("\n") or " "
        elif match.lastgroup == "line_comment":
            text = ""
        pieces.append(text)
    return "".join(pieces)


def comments(code: str) -> list[tuple[int, int]]:
    """(start, end) of each comment; a line comment ends before its line end."""
    return [match.span() for match in _lex(code) if match.lastgroup in _COMMENTS]


def is_prose(text: str) -> bool:
    """Whether the text around modules has three plain words in a row, comments left out."""
    run = 0
    for token in tokenize(strip_comments(text)):
        run = run + 1 if token.kind in ("identifier", "keyword") else 0
        if run >= 3:
            return True
    return False


def comment_before(code: str, end: int) -> str:
    """The comments of ``code[:end]`` as plain text, "" for none.

    Comment marks and frames of ``*``, ``-``, ``=`` and the like go; a blank line stays between paragraphs.
    """
    lines: list[str] = []
    for match in _lex(code):
        if match.start() >= end:
            break
        text = match.group()
        if match.lastgroup == "line_comment":
            lines.append(text[2:])
        elif match.lastgroup == "block_comment":
            lines += text[2:].removesuffix("*/").split("\n")
        elif match.lastgroup == "space" and text.count("\n") > 1:
            lines.append("")
    return _plain(lines)


_FRAME = re.compile(r"^[\s*/=#+~_-]*$")


def _plain(lines: Iterable[str]) -> str:
    """Comment lines without marks and frames, blank lines at both ends removed, inner ones made single."""
    kept: list[str] = []
    for line in lines:
        line = re.sub(r"^(?:[ \t]*[/*!]+)?[ \t]?", "", line.rstrip(), count=1).rstrip("*").rstrip()
        line = "" if _FRAME.match(line) else line
        if line or (kept and kept[-1]):
            kept.append(line)
    return textwrap.dedent("\n".join(kept)).strip("\n")


def rename_identifiers(tokens: Iterable[Token]) -> list[str]:
    """Canonical texts with each identifier replaced by ``v0``, ``v1``, … in order of first use (alpha-renaming).

    Modules are numbered separately, as ``m0``, ``m1``, …: where they are declared, and where a declared one is
    instantiated (its name, then an identifier or ``#``), so that a port may have its module's name. Keywords, system
    names, directives and literals stay; ``\\a`` (escaped) is the same name as ``a``.
    """
    stream = list(tokens)
    declared = [
        following.kind in NAME_KINDS and token.text in ("module", "macromodule") and token.kind == "keyword"
        for token, following in itertools.pairwise(stream)
    ]
    module_names: dict[str, str] = {}
    for token, is_declared in zip(stream[1:], declared, strict=True):
        if is_declared:
            module_names.setdefault(token.text.removeprefix("\\"), f"m{len(module_names)}")
    names: dict[str, str] = {}
    renamed: list[str] = []
    for index, token in enumerate(stream):
        name = token.text.removeprefix("\\")
        if token.kind not in NAME_KINDS:
            renamed.append(token.canonical)
        elif (index and declared[index - 1]) or (name in module_names and _is_instance(stream, index)):
            renamed.append(module_names[name])
        else:
            renamed.append(names.setdefault(name, f"v{len(names)}"))
    return renamed


def _is_instance(stream: list[Token], index: int) -> bool:
    after = stream[index + 1 : index + 2]
    return bool(after) and (after[0].text == "#" or after[0].kind in NAME_KINDS)


@dataclass(slots=True)
class _Open:
    name: str
    start: int
    inner: list[ModuleSpan] = field(default_factory=list)


def modules(code: str) -> list[ModuleSpan]:
    """The outermost modules of a text, by position.

    ``module`` or ``macromodule`` counts where a name follows and then ``(``, ``;``, ``#``, ``import``, a directive or
    the end of the text, so that the word in prose does not. Properly nested modules belong to their outer one. A module
    without ``endmodule`` ends where the next one begins, and is marked; a stray ``endmodule`` is passed over.
    """
    stack: list[_Open] = []
    found: list[ModuleSpan] = []
    stream = tokenize(code)
    for index, token in enumerate(stream):
        if token.kind != "keyword":
            continue
        if token.text in ("module", "macromodule"):
            name = _module_name(stream, index)
            if name is not None:
                stack.append(_Open(name, token.start))
        elif token.text == "endmodule" and stack:
            done = stack.pop()
            span = ModuleSpan(done.name, done.start, _end_with_label(stream, index))
            (stack[-1].inner if stack else found).append(span)
    for position, left in enumerate(stack):
        following = [span.start for span in left.inner] + [later.start for later in stack[position + 1 : position + 2]]
        found.append(ModuleSpan(left.name, left.start, min(following, default=len(code)), is_terminated=False))
        found += left.inner
    return sorted(found, key=lambda span: span.start)


def _module_name(stream: list[Token], index: int) -> str | None:
    """Name of the module whose keyword is ``stream[index]``; None where this is not the beginning of a module."""
    if index and stream[index - 1].text == "extern":
        return None
    index += 1
    while index < len(stream) and stream[index].text in ("automatic", "static"):
        index += 1
    if index >= len(stream) or stream[index].kind not in NAME_KINDS:
        return None
    if index + 1 < len(stream):
        after = stream[index + 1]
        if after.text[0] not in "(;#" and after.text != "import" and after.kind != "directive":
            return None
    return stream[index].text.removeprefix("\\")


def _end_with_label(stream: list[Token], index: int) -> int:
    """End of ``endmodule`` with its ``: label``, if it has one."""
    label = stream[index + 1 : index + 3]
    if len(label) == 2 and label[0].text == ":" and label[1].kind in NAME_KINDS:
        return label[1].end
    return stream[index].end
