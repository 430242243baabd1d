"""``repair``: what a text that does not compile, or has a port wrong, would be worth with one token, one name or one
range set right.

One change is tried at a time, where slang's first complaints point: the token that it misses, what closes a block put
before the statements above, a token left out or put for one that is easily taken for it, a misspelt keyword, a name
that nothing declares given the nearest declared one or declared, a net that a process sets made a variable, the module
or a port given the reference's name or width. What then compiles is a candidate like any other: the gate reads it and
``vectors`` says what it is worth. The best of ``TRIES`` counts. 0 where the text compiles with the reference's ports,
and where no change fixes it.

Blind to two mistakes at once, but for tokens that the parser itself asks for one after the other: up to ``CHAIN`` of
these are put in, and each beyond the first halves the value. Which changes are tried depends on the text alone, and so
does how many: ``CHECKS`` are parsed at most, and ``ELABORATIONS`` elaborated.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from itertl.judging.outcomes import cut
from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem, ScoreMaker, is_plain_name
from itertl.scoring.vectors import score as vectors
from itertl.scoring.vectors.score import simulated
from itertl.tools import slang
from itertl.verilog import text as verilog_text
from itertl.verilog.header import derive_top
from itertl.verilog.text import Token

REVISION = 1
CHECKS, ELABORATIONS, TRIES, CHAIN = 100, 24, 3, 3
MAX_CHARS = 1 << 14  # a longer text is not changed: reading it so often would cost too much
_SITES = 8  # places for what closes a block
_CLOSERS = ("end", "endcase", "endmodule", "endfunction", "endgenerate", "endtask")
_SMALL = tuple("; ) , begin : } ] ( = output input assign <= always if default == @".split())
_ITEMS = frozenset(
    """assign always always_comb always_ff always_latch initial endmodule end else endcase wire reg logic generate
    function""".split()
)
_TAKEN_FOR = {
    "=": ("==", "<="), "<=": ("=",), "==": ("=",), ":": (";",), ";": (",", ":"), ",": (";",), "&&": ("&",), "{": ("(",),
    "}": (")", "end"), ")": ("]", "}"), "]": (")",), "(": ("{", "["), "'": ("",),
}  # fmt: skip
_KEYWORDS = tuple(
    """always always_comb always_ff always_latch and assign begin buf case casex casez default edge else end endcase
    endfunction endgenerate endmodule endtask for function generate genvar if initial inout input integer localparam
    logic module negedge not or output parameter posedge reg repeat signed task while wire xor""".split()
)

Ports = dict[str, tuple[str, int]]  # name -> direction and width


@dataclass(frozen=True, slots=True)
class Fix:
    """A text with one change. Example: ``Fix("module m; endmodule", "';' put in at line 1")``."""

    text: str
    what: str
    worth: float = 1.0  # the share of its value that counts


def version() -> str:
    """What a score depends on beside the item. Raises ToolMissing."""
    return f"{slang.version()}, repair {REVISION}, {vectors.version()}"


def score(item: ScoreItem) -> Score:
    """SCORED and the value of ``vectors`` for the best changed text; the complaint's verdict and 0 where there is none.
    Raises ToolMissing.

    UNJUDGEABLE and None without a reference that can serve; what stops the simulation by our fault is passed on, unless
    another change serves.
    """
    result = ScoreMaker("repair", "slang", slang.version().rsplit(" ", 1)[-1])
    reference = item.reference
    top = item.top or (derive_top(reference) if reference is not None else None)
    asked = ports_of(reference, top) if reference is not None and top is not None and is_plain_name(top) else None
    if top is None or asked is None:
        return result.unjudgeable("there is no reference whose ports can be read")
    found = slang.check(item.code, top)
    if found.verdict is Verdict.PASSED and ports_of(item.code, top) == asked:
        return result(0.0, Verdict.SCORED, "it compiles, and its ports are the reference's")
    if found.verdict is Verdict.NO_CODE or len(item.code) > MAX_CHARS:
        return result(0.0, found.verdict, cut(found.detail or "it is too long to be fixed"))
    best: tuple[float, str] | None = None
    fault: Score | None = None
    for fix in fixes(item.code, top, asked):
        taken = simulated(ScoreItem(fix.text, item.header, item.reference, item.top))
        if taken.value is None:
            fault = fault or taken
        elif best is None or taken.value * fix.worth > best[0]:
            best = taken.value * fix.worth, fix.what
        if best is not None and best[0] >= 1:
            break
    if best is None and fault is not None:
        return result(None, fault.verdict, cut(f"with one change: {fault.detail}"))
    if best is None:
        complaint = found.verdict if found.verdict is not Verdict.PASSED else Verdict.ELABORATION_ERROR
        return result(0.0, complaint, "no change of one token fixes it")
    return result(best[0], Verdict.SCORED, cut(f"worth {best[0]:.4f} with {best[1]}"))


@functools.lru_cache(maxsize=64)
def ports_of(code: str, top: str) -> Ports | None:
    """The ports of a module; None where they cannot be read."""
    unit = slang.parse(code)
    if unit.error or top not in unit.modules:
        return None
    compilation, error = slang.elaborate(unit, top)  # owns the symbols: it must outlive their use
    if error:
        return None
    found: Ports = {}
    for port in compilation.getRoot().topInstances[0].body.portList:
        if port.kind.name != "Port" or not port.name:
            return None
        found[port.name] = (port.direction.name, int(port.type.bitWidth))
    return found


def fixes(code: str, top: str, asked: Ports) -> Iterator[Fix]:
    """Up to ``TRIES`` texts, each with one change, that compile with the ports that are asked for."""
    found = elaborations = 0
    seen = {code}
    for fix in itertools.chain(itertools.islice(_changes(code, top, asked), CHECKS - CHAIN), _chained(code, top)):
        if found >= TRIES or elaborations >= ELABORATIONS or (found and fix.worth < 1):
            return
        if fix.text in seen or slang.parse(fix.text).error:
            continue
        seen.add(fix.text)
        elaborations += 1
        if ports_of(fix.text, top) == asked:
            found += 1
            yield fix


def _changes(code: str, top: str, asked: Ports) -> Iterator[Fix]:
    """What is tried, the likeliest first."""
    text = _Text(code)
    unit = slang.parse(code)
    if not unit.error and unit.modules and top not in unit.modules:
        for name in difflib.get_close_matches(top, unit.modules, 1, 0.0):
            yield text.renamed(name, top)
        return
    troubles = slang.troubles(code, top)
    if not troubles:
        yield from _port_changes(text, ports_of(code, top) or {}, asked)
        return
    for trouble in troubles[:1]:
        if trouble.kind == "UndeclaredIdentifier":
            yield from _name_changes(text, trouble.word, asked)
        elif trouble.kind == "AssignToNet":
            yield from _variable_changes(text, [t.offset for t in troubles if t.kind == "AssignToNet"])
    for trouble in troubles[:2]:
        yield from _token_changes(text, trouble)
    at = text.after(troubles[0].offset)
    for name in [name for name in asked if name not in text.names()] if at < len(text.tokens) else ():
        yield text.put_in(text.tokens[at].start, name)


def _chained(code: str, top: str) -> Iterator[Fix]:
    """The tokens that the parser asks for, one after the other."""
    what = list[str]()
    while len(what) < CHAIN:
        trouble = next(iter(slang.troubles(code, top)), None)
        if trouble is None or trouble.kind != "ExpectedToken" or not trouble.word:
            return
        fix = _Text(code).put_in(trouble.offset, trouble.word)
        code = fix.text
        what.append(fix.what)
        yield Fix(code, ", ".join(what), 0.5 ** (len(what) - 1))


class _Text:
    """A text that is changed at one place at a time."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.tokens: list[Token] = list(verilog_text.tokenize(code))

    def put(self, start: int, end: int, new: str, what: str) -> Fix:
        line = self.code.count("\n", 0, start) + 1
        return Fix(self.code[:start] + new + self.code[end:], f"{what} at line {line}")

    def put_in(self, offset: int, new: str) -> Fix:
        return self.put(offset, offset, f" {new} ", f"{new!r} put in")

    def renamed(self, name: str, new: str) -> Fix:
        """Every occurrence of a name."""
        parts, at = list[str](), 0
        for token in self.tokens:
            if token.text == name:
                parts += [self.code[at : token.start], new]
                at = token.start + len(name)
        return Fix("".join([*parts, self.code[at:]]), f"{name!r} called {new!r}")

    def after(self, offset: int) -> int:
        """Number of the first token that begins at ``offset`` or later."""
        return next((n for n, token in enumerate(self.tokens) if token.start >= offset), len(self.tokens))

    def names(self) -> list[str]:
        """Names in the text, each once, in order of appearance."""
        return list(dict.fromkeys(token.text for token in self.tokens if token.kind == "identifier"))


def _token_changes(text: _Text, trouble: slang.Trouble) -> Iterator[Fix]:
    """What a parser's complaint suggests: the token it names, one of those that go missing, or a token too many or
    wrong."""
    at = text.after(trouble.offset)
    near = [n for n in (at, at - 1) if 0 <= n < len(text.tokens)]
    if trouble.kind == "ExpectedToken" and trouble.word:
        yield text.put_in(trouble.offset, trouble.word)
    for n in near:
        token = text.tokens[n]
        start, end = token.start, token.start + len(token.text)
        is_name = token.kind == "identifier"
        keywords = difflib.get_close_matches(token.text.lower(), _KEYWORDS, 2, 0.6) if is_name else []
        for word in (*keywords, *_TAKEN_FOR.get(token.text, ())):
            yield text.put(start, end, word, f"{word!r} in place of {token.text!r}")
        yield text.put(start, end, " ", f"{token.text!r} left out")
    above = [n for n in range(min(at, len(text.tokens) - 1), 0, -1) if text.tokens[n].text in _ITEMS][:_SITES]
    closers = [word for word in _CLOSERS if word != trouble.word]
    for word in ([trouble.word] if trouble.word in _CLOSERS else []) + closers[:2]:
        for n in above:
            yield text.put_in(text.tokens[n].start, word)
    for word in (*_SMALL, *closers):
        for n in (*near, *([at - 2] if at > 2 else [])):
            yield text.put_in(text.tokens[n].start, word)
        if not near or at == len(text.tokens):
            yield text.put_in(len(text.code), word)


def _name_changes(text: _Text, name: str, asked: Ports) -> Iterator[Fix]:
    """A name that nothing declares: a keyword misspelt, another name misspelt, or a declaration forgotten."""
    names = text.names()
    for word in difflib.get_close_matches(name, [n for n in names if n != name], 2, 0.6):
        yield text.renamed(name, word)
        if name in asked:
            yield text.renamed(word, name)
    for word in difflib.get_close_matches(name.lower(), _KEYWORDS, 1, 0.75):
        yield text.renamed(name, word)
    body = _body(text)
    if body is not None:
        wide = max(width for _, width in asked.values())
        for kind in ("integer", "logic", *([f"logic [{wide - 1}:0]"] if wide > 1 else [])):
            yield text.put_in(body, f"{kind} {name};")


def _body(text: _Text) -> int | None:
    """Where the body of the last module begins."""
    start = max((n for n, token in enumerate(text.tokens) if token.text == "module"), default=len(text.tokens))
    return next((token.start + 1 for token in text.tokens[start:] if token.text == ";"), None)


def _variable_changes(text: _Text, offsets: Sequence[int]) -> Iterator[Fix]:
    """Nets that a process sets: their declarations made such of variables, of the first, and of all at once."""
    places = [at for at in map(text.after, offsets) if at < len(text.tokens)]
    names = list(dict.fromkeys(text.tokens[at].text for at in places))
    for some in (names[:1], names):
        starts = sorted({start for name in some if (start := _declared(text, name)) is not None}, reverse=True)
        code = text.code
        for start in starts:
            code = code[:start] + re.sub(
                "^(?:output +)?wire|^output", lambda found: "reg" if found[0] == "wire" else "output reg", code[start:]
            )
        yield Fix(code, f"{', '.join(some)} made variables")
    for name in names[:1]:  # where the list of ports has names alone
        start = _declared(text, name)
        end = next((t.end for t in text.tokens if start is not None and t.start > start and t.text == ";"), None)
        if start is not None and end is not None:
            dimension = re.match(r"output\s*(\[[^\]]*\])?", text.code[start:])
            yield text.put_in(end, f"reg {(dimension and dimension[1]) or ''} {name};")


def _declared(text: _Text, name: str) -> int | None:
    """Where the word ``output`` or ``wire`` of the declaration of a name stands."""
    for n in [n for n, token in enumerate(text.tokens) if token.text == name][:3]:
        for back in range(n - 1, -1, -1):
            token, before = text.tokens[back], text.tokens[back - 1]
            if token.text in ("wire", "output"):
                return before.start if (before.text, token.text) == ("output", "wire") else token.start
            if token.text in (";", "input", "module", "begin"):
                break
    return None


def _port_changes(text: _Text, mine: Ports, asked: Ports) -> Iterator[Fix]:
    """One port that has another name or width than the reference's."""
    missing, extra = [n for n in asked if n not in mine], [n for n in mine if n not in asked]
    if len(missing) == 1 and len(extra) == 1 and mine[extra[0]] == asked[missing[0]]:
        yield text.renamed(extra[0], missing[0])
    other = [n for n in asked if n in mine and mine[n] != asked[n]]
    if missing or extra or len(other) != 1:
        return
    name, width = other[0], asked[other[0]][1]
    new = f"[{width - 1}:0] " if width > 1 else ""
    for n in [n for n, token in enumerate(text.tokens) if token.text == name and n][:3]:
        start = end = text.tokens[n].start
        if text.tokens[n - 1].text == "]":
            start = next((t.start for t in reversed(text.tokens[:n]) if t.text == "["), start)
        yield text.put(start, end, new, f"{width} bits for {name!r}")
