"""slang (pyslang): does a text parse as Verilog-2005/SystemVerilog, and does it elaborate?

The library runs in this process and a hostile text can crash or stall it, so call ``check`` only inside a disposable
worker (``tools.pool``). It reads no file: an `` `include`` is refused as a syntax error. What it does not: simulate,
or judge whether the design does what was asked.
"""

import functools
import importlib.metadata
from dataclasses import dataclass
from typing import Any

from itertl.errors import ToolMissing
from itertl.records import Verdict

DETAIL_CHARS = 300


@dataclass(frozen=True, slots=True)
class Check:
    """What slang says of a text. ``detail`` is its first error, with the line, or "".

    ``verdict`` is PASSED, NO_CODE (no module in the text), SYNTAX_ERROR or ELABORATION_ERROR. Example:
    ``Check(Verdict.ELABORATION_ERROR, "line 3: use of undeclared identifier 'carry'")``.
    """

    verdict: Verdict
    detail: str = ""


def _load() -> Any:
    """The package. Raises ToolMissing."""
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


def check(code: str, top: str | None = None) -> Check:
    """Parse ``code`` and elaborate it from ``top``, or from every module that nothing instantiates.

    Warnings do not count, nor does a name used before its declaration (a port's width by a parameter of the body, say):
    Verilog simulators take it, and real designs rely on that. Unknown modules, undeclared names and a ``top`` that is not there are elaboration errors.
    Code points that UTF-8 cannot hold are read as U+FFFD. Raises ToolMissing.
    """
    pyslang = _load()
    source = pyslang.SourceManager()
    options = _options(pyslang, top)
    text = code.encode("utf-8", "replace").decode("utf-8")
    tree = pyslang.syntax.SyntaxTree.fromFileInMemory(text, source, "design.sv", "design.sv", options)
    modules = _module_names(pyslang, tree)
    first = _first_error(pyslang, source, tree.diagnostics)
    if not modules:
        return Check(Verdict.NO_CODE, first or "the text holds no module")
    if first:
        return Check(Verdict.SYNTAX_ERROR, first)
    if top is not None and top not in modules:
        return Check(Verdict.ELABORATION_ERROR, f"no module named {top!r}; the text has {', '.join(modules)}"[:DETAIL_CHARS])
    compilation = pyslang.ast.Compilation(options)
    compilation.addSyntaxTree(tree)
    first = _first_error(pyslang, source, compilation.getAllDiagnostics())
    return Check(Verdict.ELABORATION_ERROR, first) if first else Check(Verdict.PASSED)


def _options(pyslang: Any, top: str | None) -> Any:
    """One bag for lexer, preprocessor and compilation. Include depth 0: no file is opened."""
    preprocessor = pyslang.parsing.PreprocessorOptions()
    preprocessor.maxIncludeDepth = 0
    compilation = pyslang.ast.CompilationOptions()
    compilation.flags |= pyslang.ast.CompilationFlags.AllowUseBeforeDeclare
    if top is not None:
        compilation.topModules = {top}
    bag = pyslang.Bag()
    bag.preprocessorOptions = preprocessor
    bag.compilationOptions = compilation
    return bag


def _module_names(pyslang: Any, tree: Any) -> list[str]:
    """Names of the modules at the outermost level, in order of appearance."""
    kind = pyslang.syntax.SyntaxKind
    root = tree.root
    members = root.members if root.kind == kind.CompilationUnit else [root]
    return [m.header.name.valueText for m in members if m.kind == kind.ModuleDeclaration]


def _first_error(pyslang: Any, source: Any, diagnostics: Any) -> str:
    """The first error as "line N: message", or ""."""
    engine = pyslang.DiagnosticEngine(source)
    for diagnostic in diagnostics:
        if diagnostic.isError():
            line = source.getLineNumber(source.getFullyOriginalLoc(diagnostic.location))
            message = engine.formatMessage(diagnostic).encode("utf-8", "replace").decode("utf-8")
            return f"line {line}: {message}"[:DETAIL_CHARS] if line else message[:DETAIL_CHARS]
    return ""
