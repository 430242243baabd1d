"""The gate: a design is read alone, by slang, before anything runs, and only what was read is simulated.

``examine`` expands macros, drops comments, conditional text and modules that the design does not use, and prints the
rest; every check is on that printed text, and the simulator gets that text, so that nothing hides behind a
preprocessor, a comment or a character that two tools read differently. What is refused, with the rule's name:

- ``text``: longer than 64 KiB; control, bidirectional or other invisible characters in code; escaped names that are not
  plain ones (Icarus takes ``\\$finish`` for a system task, and its preprocessor obeys a directive inside a name) unless
  ``harmless`` renamed them.
- ``directive``: ``include``, and directives that change how later text is read; conditions on a tool's own macro,
  unless the text is the same with and without it, or its caller judges it both ways.
- ``system-task``: any that is not in ``TASKS`` and that ``harmless`` leaves, but for what ends the run, which shows
  when it does; time functions anywhere but in the arguments of a printing task.
- ``construct``: force, release, final, bind, DPI, programs, configurations, checkers, alias, bidirectional switches.
- ``attribute``: those by which Icarus reschedules a process.
- ``hierarchy``: a dotted name that does not begin inside its own module, ``$root``, ``$unit``.
- ``testbench-name``: a name of the testbench's that the design itself does not define.

It runs in the calling process: a text that makes slang crash or hang ends that process, so call it in a worker.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from itertl.judging import harmless
from itertl.judging.harmless import ENDING, PRINTING
from itertl.records import Verdict
from itertl.sandbox import bounds
from itertl.tools import slang
from itertl.tools.slang import ParsedText

MAX_BYTES = 64 * 1024
MAX_EXPANDED_BYTES = 256 * 1024
_KEPT = 16  # findings in memory: one candidate's scorers ask for the same
_DETAIL_CHARS = 300
TASKS = frozenset(
    """
    $signed $unsigned $clog2 $bits $size $high $low $left $right $increment $dimensions $unpacked_dimensions $typename
    $countones $countbits $onehot $onehot0 $isunknown $itor $rtoi $bitstoreal $realtobits $bitstoshortreal
    $shortrealtobits $ln $log10 $exp $sqrt $pow $floor $ceil $sin $cos $tan $asin $acos $atan $atan2 $hypot $sinh $cosh
    $tanh $asinh $acosh $atanh $cast $isunbounded $past $rose $fell $stable $changed $sampled
    """.split()
)
TIME = frozenset({"$time", "$stime", "$realtime"})
_TOOL_MACRO = re.compile(r"(?i)^_*(icarus|iverilog|vvp|slang\w*|verilator\w*|yosys\w*|pyverilog|ivl\w*)_*$")
_DIRECTIVES = frozenset(
    """
    DefineDirective UndefDirective UndefineAllDirective IfDefDirective IfNDefDirective ElsIfDirective ElseDirective
    EndIfDirective MacroUsage TimeScaleDirective DefaultNetTypeDirective ResetAllDirective CellDefineDirective
    EndCellDefineDirective
    """.split()
)
_FORBIDDEN = {
    "ProceduralForceStatement": "force", "ProceduralReleaseStatement": "release", "FinalBlock": "final",
    "BindDirective": "bind", "DPIImport": "DPI import", "DPIExport": "DPI export", "NetAlias": "alias",
    "ProgramDeclaration": "program", "ConfigDeclaration": "config", "CheckerDeclaration": "checker",
    "ExternModuleDecl": "extern module", "ExternUdpDecl": "extern primitive", "AnonymousProgram": "program",
}  # fmt: skip
_SWITCHES = frozenset({"tran", "tranif0", "tranif1", "rtran", "rtranif0", "rtranif1"})
_HOSTILE = re.compile("[\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # NUL and bidirectional controls
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\xa0\xad\u180e\u200b-\u200d\u2028\u2029\u2060-\u2064"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_PLAIN_SPACE = {0x0B: " ", 0x0C: " ", 0x0D: "\n"}  # what ends a name or a line must do so in every tool
_EMPTY = re.compile(r"\binitial\s+begin\s(?:\s|begin\s+end\b)*end\b")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a text is not simulated. Example: ``Refusal(Verdict.GAMED, "system-task: $fopen at line 3")``."""

    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Design:
    """What is simulated: ``text`` holds the module ``top`` and what it uses; no macro, comment or condition."""

    text: str
    top: str
    key: str  # equal for texts that differ in white space alone
    variants: tuple[str, ...] = ()  # what it is where a tool's own macro is defined, where that changes it


GateResult: TypeAlias = Design | Refusal


def examine(
    code: str, top: str, *, testbench_names: frozenset[str] = frozenset(), with_variants: bool = False
) -> GateResult:
    """Read ``code`` as a compilation unit of its own and return what may be simulated of it as module ``top``.

    ``testbench_names``: modules and instances of the testbench; a design that asks for them does not just have a
    mistake. ``with_variants``: a text that a tool's own macro changes does not count as gaming, and its caller judges
    it both ways. Refusals are GAMED, or NO_CODE, SYNTAX_ERROR, ELABORATION_ERROR and TIMEOUT as ``slang.check``
    has them. Raises ToolMissing.
    """
    return _examined(code, top, testbench_names, with_variants)


@functools.lru_cache(maxsize=_KEPT)
@bounds.reading()
def _examined(code: str, top: str, testbench_names: frozenset[str], with_variants: bool) -> GateResult:
    text = code.replace("\r\n", "\n").removeprefix("\ufeff").translate(_PLAIN_SPACE)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return _gamed("text", f"longer than {MAX_BYTES >> 10} KiB")
    hostile = _HOSTILE.search(text)
    if hostile is not None:
        return _gamed("text", f"holds the character U+{ord(hostile[0]):04X}")
    unit = slang.parse(text)
    refused, macros = _directive(unit.tree.root) if "`" in text else (None, {})
    if refused is not None:
        return refused
    if not unit.modules:
        return Refusal(Verdict.NO_CODE, unit.error or "the text holds no module")
    if unit.error:
        return Refusal(Verdict.SYNTAX_ERROR, unit.error)
    if top not in unit.modules:
        return Refusal(Verdict.ELABORATION_ERROR, slang.no_module(top, unit))
    printed = harmless.without(_print_used(unit, top), top)
    variants: list[str] = []
    for name, which in macros.items():
        other = slang.parse(text, macros=[f"{name}=1"])
        changed = harmless.without(_print_used(other, top), top) if not other.error and top in other.modules else ""
        if _bare(changed) != _bare(printed):
            own = _examine_printed(changed, top, other, testbench_names) if with_variants and changed else None
            if not isinstance(own, Design):
                return own or _gamed("directive", which)
            variants.append(own.text)
    if len(printed.encode("utf-8", "replace")) > MAX_EXPANDED_BYTES:
        return _gamed("text", f"grows to more than {MAX_EXPANDED_BYTES >> 10} KiB when its macros are expanded")
    found = _examine_printed(printed, top, unit, testbench_names)
    return replace(found, variants=tuple(variants)) if isinstance(found, Design) else found


def _bare(text: str) -> list[str]:
    """The words of a text, without processes that ``harmless`` left empty."""
    return _EMPTY.sub(" ", text).split()


def _gamed(rule: str, what: str) -> Refusal:
    return Refusal(Verdict.GAMED, f"{rule}: {what}"[:_DETAIL_CHARS])


def _examine_printed(text: str, top: str, original: ParsedText, testbench_names: frozenset[str]) -> GateResult:
    """Every check on the text that will be simulated. ``original`` serves only to place an error in the user's text."""
    invisible = _INVISIBLE.search(text)
    if invisible is not None:
        return _gamed("text", f"holds the invisible character U+{ord(invisible[0]):04X} in its code")
    unit = slang.parse(text)
    if unit.error or top not in unit.modules:
        return Refusal(Verdict.SYNTAX_ERROR, unit.error or "cannot be read once its macros are expanded")
    twice = min((name for name, count in Counter(unit.modules).items() if count > 1), default="")
    if twice:
        return Refusal(Verdict.ELABORATION_ERROR, f"module {twice} is defined twice")
    words: list[str] = []
    for item in unit.items:
        refused = next(_constructs(item, words), None)
        if refused is not None:
            return refused
    error = slang.elaborate(unit, top)[1]
    if error:
        foreign = min(testbench_names.intersection(_WORD.findall(text)), default="")
        if foreign:
            return _gamed("testbench-name", f"{foreign}; {error}")
        if error == slang.TOO_LARGE:
            return Refusal(Verdict.TIMEOUT, error)
        return Refusal(Verdict.ELABORATION_ERROR, _placed(error, original, top))
    return Design(text, top, text if "`" in text else "\n".join(words))


def _placed(error: str, original: ParsedText, top: str) -> str:
    """The same error with its line in the user's text, which differs where comments or conditions were dropped."""
    message, in_original = error.partition(": ")[2] or error, slang.elaborate(original, top)[1]
    return in_original if in_original.endswith(message) else message


def _directive(root: Any) -> tuple[Refusal | None, dict[str, str]]:
    """The first active directive that a design may not use, and the tools' macros on which a condition depends, with
    the directive that names each. What a false condition leaves out is ignored."""
    macros: dict[str, str] = {}
    for trivia in (trivia for token in slang.nodes(root) for trivia in getattr(token, "trivia", ())):
        syntax = trivia.syntax()
        if syntax is None:
            continue
        kind, text = syntax.kind.name, str(syntax).strip()
        name = text.split(None, 1)[0] if text else kind
        if kind.endswith("Directive") and kind not in _DIRECTIVES:
            return _gamed("directive", name), macros
        if kind in ("IfDefDirective", "IfNDefDirective", "ElsIfDirective"):
            for word in filter(_TOOL_MACRO.match, _WORD.findall(text)):
                macros.setdefault(word, f"{name} {word}")
    return None, macros


def _print_used(unit: ParsedText, top: str) -> str:
    """The text of ``top`` and of all that it may use, macros expanded, without comments and conditional text.

    Modules that nothing names on the way from ``top`` are left out: a testbench that a model wrote below its answer is
    neither simulated nor held against it.
    """
    members = slang.members(unit)
    kept, todo = {top}, [top]
    bodies = {name: set(_WORD.findall(text)) for name, text in members if name}
    shared = {word for name, text in members if name is None for word in _WORD.findall(text)}
    # uses of escaped names are not looked for
    todo += [name for name in bodies if name in shared or not _WORD.fullmatch(name)]
    kept.update(todo)
    while todo:
        used = bodies.get(todo.pop(), set()) & bodies.keys() - kept
        kept |= used
        todo += used
    return "\n".join(text for name, text in members if name is None or name in kept) + "\n"


def _constructs(item: Any, words: list[str]) -> Iterator[Refusal]:
    """What one module (or other outermost item) must not hold. The texts of its tokens are added to ``words``."""
    paths: list[tuple[str, str]] = []  # (first name, whole name)
    declared: set[str] = set()
    printing: list[tuple[int, int]] = []  # spans of the arguments of printing tasks
    times: list[tuple[str, int]] = []
    token = slang.library().parsing.Token
    nodes = slang.nodes(item)
    words += [node.rawText for node in nodes if isinstance(node, token)]
    for node in nodes:
        kind = node.kind.name
        if kind == "Identifier" and node.rawText.startswith("\\") and not _WORD.fullmatch(node.valueText):
            yield _gamed("text", f"the escaped name {node.rawText}")
        elif kind == "SystemName":
            name = node.systemIdentifier.valueText
            if name in TIME:
                times.append((name, slang.span(node)[0]))
            elif name not in TASKS and name not in PRINTING and name not in ENDING:
                yield _gamed("system-task", name)
        elif kind == "InvocationExpression" and str(node.left).strip() in PRINTING:
            printing.append(slang.span(node))
        elif kind in _FORBIDDEN:
            yield _gamed("construct", _FORBIDDEN[kind])
        elif kind == "PrimitiveInstantiation" and node.type.valueText in _SWITCHES:
            yield _gamed("construct", node.type.valueText)
        elif kind == "AttributeSpec" and "ivl_" in node.name.valueText:
            yield _gamed("attribute", node.name.valueText)
        elif kind in ("RootScope", "UnitScope"):
            yield _gamed("hierarchy", str(node).strip())
        elif kind == "ScopedName" and node.separator.rawText == "." and "::" not in str(node):
            # a member of a package's constant is not a path
            paths.append((_leftmost(node), "".join(str(node).split())))
        elif kind in ("Declarator", "InstanceName", "NamedBlockClause"):
            declared.add(node.name.valueText)
    for name, at in times:
        if not any(start <= at < end for start, end in printing):
            yield _gamed("system-task", f"{name} outside the arguments of a printing task")
    yield from (_gamed("hierarchy", whole) for first, whole in paths if first not in declared)


def _leftmost(node: Any) -> str:
    """First component of a dotted name: ``g`` of ``g[0].w.x``."""
    while node.kind.name == "ScopedName":
        node = node.left
    token = getattr(node, "identifier", None)
    return token.valueText if token is not None else str(node).strip()
