"""Pyverilog as a yes/no oracle: would ``VerilogCodeParser([file]).parse()`` succeed on this text?

The answer is upstream's, at a hundredth of its cost: the LALR tables are built once in a process (upstream builds them
for each text, about a second), nothing is written in the current folder (upstream writes ``preprocess.output``,
``parser.out`` and ``parsetab.py`` there, so that workers overwrite each other's), and the preprocessor, a run of
``iverilog -E``, is left out where it cannot change the text. What it does not: return the syntax tree.
"""

import functools
import importlib.metadata
import re
from typing import Any

from itertl.errors import ToolMissing
from itertl.sandbox import bounds, sandbox
from itertl.sandbox.sandbox import Limits
from itertl.tools import icarus

DETAIL_CHARS = 300
MAX_EXPANDED = 512 << 10  # characters; its parser takes half a minute for more
PREPROCESS_LIMITS = Limits(wall_s=20, cpu_s=20, memory_mb=1024, file_mb=16)

_LINE_END = re.compile("\r\n|\n\r|\r")  # one line end each to Icarus's preprocessor


@functools.cache
def version() -> str:
    """For example ``"Pyverilog 1.3.0"``. Raises ToolMissing."""
    try:
        return f"Pyverilog {importlib.metadata.version('pyverilog')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolMissing("Pyverilog is not installed: pip install pyverilog==1.3.0") from error


def parses(code: str) -> tuple[bool, str]:
    """Whether Pyverilog's own route (preprocess, then parse) accepts ``code``, and if not, its first complaint.

    Whatever upstream's route raises means "no": a ParseError, but also a text that is not UTF-8 or one that breaks the
    parser's actions. Any line end is read as LF, as upstream does. The answer does not depend on earlier calls.
    Raises ToolMissing where Pyverilog, or for a text with a backtick ``iverilog``, is not installed.
    """
    with bounds.uncounted():
        parser = _parser()
    try:
        text = _preprocess(code) if "`" in code else _as_read_back(code)
    except UnicodeDecodeError as error:
        return False, f"not valid UTF-8: {error.reason}"
    if text is None:
        return False, "preprocessing did not end within its limits"
    if len(text) > MAX_EXPANDED:
        return False, f"grows to more than {MAX_EXPANDED >> 10} Ki characters when its macros are expanded"
    parser.lexer.reset_lineno()
    parser.lexer.directives = []
    parser.lexer.default_nettype = "wire"
    try:
        parser.parse(text)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # upstream's caller sees any of these as a failed parse
        kind = "" if type(error).__name__ == "ParseError" else f"{type(error).__name__}: "
        return False, f"{kind}{error}".strip()[:DETAIL_CHARS] or type(error).__name__
    return True, ""


def _as_read_back(code: str) -> str:
    """What ``iverilog -E`` makes of a text without backticks: the same text, strict UTF-8, line ends made LF."""
    return _LINE_END.sub("\n", code.encode("utf-8", "surrogatepass").decode("utf-8"))


def _preprocess(code: str) -> str | None:
    """The output of ``iverilog -E``, whatever its exit status: upstream does not look at that. None: no end."""
    with sandbox.scratch() as folder:
        (folder / "design.v").write_bytes(code.encode("utf-8", "surrogatepass"))
        output = folder / "preprocess.output"
        done = sandbox.run([icarus.find(), "-E", "-o", output.name, "design.v"], cwd=folder, limits=PREPROCESS_LIMITS)
        if done.timed_out:
            return None
        return output.read_text(encoding="utf-8") if output.exists() else ""


@functools.cache
def _parser() -> Any:
    """Pyverilog's parser with its tables, once per process. Raises ToolMissing."""
    try:
        from ply.yacc import NullLogger, yacc
        from pyverilog.vparser.lexer import VerilogLexer
        from pyverilog.vparser.parser import VerilogParser
    except ImportError as error:
        raise ToolMissing(f"Pyverilog cannot be imported ({error}): pip install pyverilog==1.3.0") from error

    class QuietParser(VerilogParser):
        """Upstream's grammar; its constructor, without log and table files."""

        def __init__(self) -> None:
            self.lexer: Any = VerilogLexer(error_func=self._lexer_error_func)
            self.lexer.build()
            self.tokens = self.lexer.tokens
            # tabmodule: ply would else import any "parsetab" that lies on the path
            self.parser: Any = yacc(
                module=self, method="LALR", debug=False, write_tables=False, tabmodule="itertl_keeps_no_tables",
                errorlog=NullLogger(),
            )  # fmt: skip

    return QuietParser()
