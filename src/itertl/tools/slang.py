"""slang (pyslang): does a text parse as Verilog-2005/SystemVerilog, and does it elaborate?

The library runs in this process and a hostile text can crash or stall it, so call ``check`` only inside a disposable
worker (``work.pool``). It reads no file: an `` `include`` is refused as a syntax error. What it does not: simulate,
or judge whether the design does what was asked.
"""

import functools
import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from itertl.errors import ToolMissing
from itertl.records import Verdict
from itertl.sandbox import bounds

DETAIL_CHARS = 300
MAX_PARTS = 1 << 16  # instances, generate blocks, signals and processes of a design: the tools have no use for more
TOO_LARGE = f"elaborates to more than {MAX_PARTS} instances, blocks and signals"


@dataclass(frozen=True, slots=True)
class SlangVerdict:
    """What slang says of a text. ``detail`` is its first error, with the line, or "".

    ``verdict`` is PASSED, NO_CODE (no module in the text), SYNTAX_ERROR, ELABORATION_ERROR or TIMEOUT (too large).
    Example: ``SlangVerdict(Verdict.ELABORATION_ERROR, "line 3: use of undeclared identifier 'carry'")``.
    """

    verdict: Verdict
    detail: str = ""


def library() -> Any:
    """The package ``pyslang``. Raises ToolMissing."""
    try:
        import pyslang
    except ImportError as error:
        raise ToolMissing(f"pyslang cannot be imported ({error}): pip install 'pyslang>=12,<13'") from error
    return pyslang


@functools.cache
def version() -> str:
    """For example ``"slang 12.1.0"``. Raises ToolMissing."""
    try:
        return f"slang {importlib.metadata.version('pyslang')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolMissing("pyslang is not installed: pip install 'pyslang>=12,<13'") from error


@dataclass(frozen=True, slots=True)
class ParsedText:
    """A text as one compilation unit: its syntax tree, and what the parser said."""

    tree: Any  # pyslang.syntax.SyntaxTree
    source: Any  # pyslang.SourceManager
    modules: tuple[str, ...]  # names of the modules at the outermost level, in order of appearance
    error: str  # the first error of lexer, preprocessor or parser as "line N: message", or ""

    @property
    def items(self) -> list[Any]:
        """The syntax nodes at the outermost level: modules, packages …"""
        return _outermost(self.tree)


TextEdit: TypeAlias = tuple[int, int, str]  # the bytes (UTF-8) from the first to before the second become the text


@bounds.reading()
def parse(code: str, *, macros: Sequence[str] = ()) -> ParsedText:
    """Parse ``code`` with ``macros`` ("NAME=TEXT") defined; never fails for what the text holds.

    Code points that UTF-8 cannot hold are read as U+FFFD. Raises ToolMissing.
    """
    pyslang = library()
    source = pyslang.SourceManager()
    text = code.encode("utf-8", "replace").decode("utf-8")
    bag = _options(pyslang, None, macros)
    tree = pyslang.syntax.SyntaxTree.fromFileInMemory(text, source, "design.sv", "design.sv", bag)
    names = (_module_name(item) for item in _outermost(tree))
    modules = tuple(name for name in names if name is not None)
    return ParsedText(tree, source, modules, _first_error(pyslang, source, tree.diagnostics))


def _outermost(tree: Any) -> list[Any]:
    """The items at the outermost level of a syntax tree, in order."""
    return list(tree.root.members) if tree.root.kind.name == "CompilationUnit" else [tree.root]


def _module_name(item: Any) -> str | None:
    return item.header.name.valueText if item.kind.name == "ModuleDeclaration" else None


@bounds.reading()
def elaborate(unit: ParsedText, top: str | None, *, parameters: Sequence[str] = ()) -> tuple[Any, str]:
    """(compilation, first error as "line N: message" or "") of a unit that parsed, from ``top`` or from every root.

    ``parameters`` ("NAME=VALUE") override those of the root. The error is ``TOO_LARGE`` for a design of more than
    ``MAX_PARTS`` instances, blocks and signals, of which no more are made.
    """
    pyslang = library()
    compilation, is_too_large = _compilation(pyslang, unit, top, parameters)
    if is_too_large:
        return compilation, TOO_LARGE
    return compilation, _first_error(pyslang, unit.source, compilation.getAllDiagnostics())


def _compilation(pyslang: Any, unit: ParsedText, top: str | None, parameters: Sequence[str] = ()) -> tuple[Any, bool]:
    compilation = pyslang.ast.Compilation(_options(pyslang, top, parameters=parameters))
    compilation.addSyntaxTree(unit.tree)
    return compilation, _is_too_large(compilation.getRoot())


@dataclass(frozen=True, slots=True)
class Trouble:
    """One error. Example: ``Trouble("ExpectedToken", 25, ";")``."""

    kind: str  # slang's name for it
    offset: int  # into the text, in characters
    word: str  # what is expected, undeclared or unexpected, where slang names it; else ""


@bounds.reading()
def troubles(code: str, top: str | None) -> list[Trouble]:
    """The errors of a text in order: the parser's, or else those of elaboration from ``top``. Raises ToolMissing."""
    pyslang, unit = library(), parse(code)
    found = [d for d in unit.tree.diagnostics if d.isError()]
    if not found:
        compilation, is_too_large = _compilation(pyslang, unit, top)
        found = [] if is_too_large else [d for d in compilation.getAllDiagnostics() if d.isError()]
    text = code.encode("utf-8", "replace")
    return [
        Trouble(
            str(d.code).removeprefix("DiagCode(").removesuffix(")"),
            len(text[: unit.source.getFullyOriginalLoc(d.location).offset].decode("utf-8", "replace")),
            next((word for word in d.args if isinstance(word, str)), ""),
        )
        for d in found
    ]  # fmt: skip


def _is_too_large(root: Any) -> bool:
    """Whether a design has more than ``MAX_PARTS``. Scopes are made when looked into; it looks no further."""
    count, waiting = 0, list(root.topInstances)
    while waiting:
        scope = waiting.pop()
        for part in scope.body if scope.kind.name == "Instance" else scope:
            count += 1
            if count > MAX_PARTS:
                return True
            kind = part.kind.name
            is_taken = kind == "GenerateBlock" and not part.isUninstantiated
            if is_taken or kind in ("Instance", "GenerateBlockArray", "InstanceArray"):
                waiting.append(part)
    return False


@bounds.reading()
def check(code: str, top: str | None = None) -> SlangVerdict:
    """Parse ``code`` and elaborate it from ``top``, or from every module that nothing instantiates.

    Warnings do not count, nor does a name used before its declaration (a port's width by a parameter of the body, say):
    Verilog simulators take it, and real designs rely on that. Unknown modules, undeclared names and a ``top`` that is
    not there are elaboration errors. Raises ToolMissing.
    """
    unit = parse(code)
    if not unit.modules:
        return SlangVerdict(Verdict.NO_CODE, unit.error or "the text holds no module")
    if unit.error:
        return SlangVerdict(Verdict.SYNTAX_ERROR, unit.error)
    if top is not None and top not in unit.modules:
        return SlangVerdict(Verdict.ELABORATION_ERROR, no_module(top, unit))
    error = elaborate(unit, top)[1]
    if error == TOO_LARGE:
        return SlangVerdict(Verdict.TIMEOUT, error)
    return SlangVerdict(Verdict.ELABORATION_ERROR, error) if error else SlangVerdict(Verdict.PASSED)


def no_module(top: str, unit: ParsedText) -> str:
    """What to say of a text without the module that was asked for."""
    return f"no module named {top!r}; the text has {', '.join(unit.modules)}"[:DETAIL_CHARS]


def members(unit: ParsedText) -> list[tuple[str | None, str]]:
    """(module's name, or None for what is not a module; its text) of each outermost item, in order.

    Macros are expanded; comments and what a condition leaves out are gone. The time scale and default net type that
    hold for an item precede it as directives: nothing else of the preprocessor is left.
    """
    printer = library().syntax.SyntaxPrinter
    found: list[tuple[str | None, str]] = []
    held: dict[str, str] = {}
    for item in unit.items:
        _hold(item.getFirstToken(), held)
        one = printer(unit.source).setExpandMacros(True).setIncludeDirectives(False)
        text = one.setIncludeComments(False).setIncludeSkipped(False).print(item).str()
        found.append((_module_name(item), "".join(f"{line}\n" for line in held.values()) + text))
        if "`" in str(item):
            item.visit(lambda node: _hold(node, held))
    return found


def walk(node: Any, look: Callable[[Any], Any]) -> None:
    """``look`` at every node of elaborated slang below ``node`` that has a meaning.

    Left out: what a generate condition does not take, and what slang calls invalid, which has none of the members of
    its kind. slang elaborates texts with such nodes without an error: a negative replication in a branch that is not
    taken, a part select the wrong way round. ``look`` may give back an action of slang's, such as to pass over what is
    below.
    """
    skip, advance = library().ast.VisitAction.Skip, library().ast.VisitAction.Advance

    def visit(inner: Any) -> Any:
        if inner.kind.name == "Invalid" or (inner.kind.name == "GenerateBlock" and inner.isUninstantiated):
            return skip
        found = look(inner)
        return advance if found is None else found

    node.visit(visit)


def nodes(root: Any, *kinds: str) -> list[Any]:
    """All nodes of these kinds (of any kind, where none is given) at and below ``root``, in order.

    ``root`` is a syntax node, whose tokens count as nodes, or an elaborated symbol, statement or expression.
    """
    found: list[Any] = []
    root.visit(_collect(found, kinds))
    return found


def live_nodes(root: Any, *kinds: str) -> list[Any]:
    """As ``nodes``, of elaborated slang and without what ``walk`` leaves out."""
    found: list[Any] = []
    walk(root, _collect(found, kinds))
    return found


def _collect(found: list[Any], kinds: Iterable[str]) -> Callable[[Any], None]:
    wanted = frozenset(kinds)

    def look(node: Any) -> None:
        if not wanted or node.kind.name in wanted:
            found.append(node)

    return look


def span(node: Any) -> tuple[int, int]:
    """Of a syntax node or token: the offset of its first byte, and of the one after its last."""
    where = node.sourceRange if hasattr(node, "sourceRange") else node.range
    return where.start.offset, where.end.offset


def edited(text: str, edits: Iterable[TextEdit]) -> str:
    """Make all edits. One inside another is left out; insertions at one place keep their order."""
    data, at, parts = text.encode("utf-8", "replace"), 0, list[bytes]()
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if start >= at:
            parts += (data[at:start], new.encode())
            at = end
    return b"".join([*parts, data[at:]]).decode()


def _hold(token: Any, held: dict[str, str]) -> None:
    """Note the directives before ``token`` that hold for later text: time scale and default net type."""
    for trivia in getattr(token, "trivia", ()):
        syntax = trivia.syntax()
        kind = syntax.kind.name if syntax is not None else ""
        if kind in ("TimeScaleDirective", "DefaultNetTypeDirective"):
            held[kind] = " ".join(str(syntax).split())
        elif kind == "ResetAllDirective":
            held.clear()


def _options(pyslang: Any, top: str | None, macros: Sequence[str] = (), parameters: Sequence[str] = ()) -> Any:
    """One bag for lexer, preprocessor and compilation. Include depth 0: no file is opened."""
    preprocessor = pyslang.parsing.PreprocessorOptions()
    preprocessor.maxIncludeDepth = 0
    preprocessor.predefines = list(macros)
    compilation = pyslang.ast.CompilationOptions()
    compilation.flags |= pyslang.ast.CompilationFlags.AllowUseBeforeDeclare
    if top is not None:
        compilation.topModules = {top}
    if parameters:
        compilation.paramOverrides = list(parameters)
    bag = pyslang.Bag()
    bag.preprocessorOptions = preprocessor
    bag.compilationOptions = compilation
    return bag


def _first_error(pyslang: Any, source: Any, diagnostics: Any) -> str:
    """The first error as "line N: message", or ""."""
    engine = pyslang.DiagnosticEngine(source)
    for diagnostic in diagnostics:
        if diagnostic.isError():
            line = source.getLineNumber(source.getFullyOriginalLoc(diagnostic.location))
            message = engine.formatMessage(diagnostic).encode("utf-8", "replace").decode("utf-8")
            return f"line {line}: {message}"[:DETAIL_CHARS] if line else message[:DETAIL_CHARS]
    return ""
