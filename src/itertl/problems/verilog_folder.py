"""A folder of Verilog files in: the comments before the first module ask for it, the module is the reference.

Directives and declarations before the module go with it; later modules of a file are left (and counted). Paragraphs
that are only a licence notice are no instruction. Nothing is parsed here: ``itertl data audit`` says what elaborates.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from itertl.errors import DataError
from itertl.problems.cells import Counts
from itertl.problems.importers import Request
from itertl.problems.rows import decode
from itertl.records import Problem
from itertl.storage import read_bytes
from itertl.tools.verilog_text import comment_before, modules, strip_comments

SUFFIXES = (".v", ".sv")
_NOTICE = re.compile(
    r"copyright|\(c\)\s*(19|20)\d\d|spdx-|licen[sc]ed? (under|file)|all rights reserved|redistribut|warrant(y|ies)|without limitation", re.I
)
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([^\s*][^\n*]*)")


def verilog_files(path: Path) -> list[Path]:
    """The Verilog files at or below ``path``, sorted by relative path; hidden folders are passed over."""
    if path.is_file():
        return [path]
    found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts))


def import_folder(request: Request, counts: Counts) -> Iterator[Problem]:
    """One problem of each file that has both a comment and a whole module after it."""
    root = Path(request.source)
    if request.columns or request.filter:
        raise DataError(f"{root}: columns and filter are for tables; a folder of Verilog files has neither")
    files = verilog_files(root)
    if not files:
        raise DataError(f"{root}: holds no {' or '.join(SUFFIXES)} file; check the path")
    for path in files:
        name = path.name if root.is_file() else path.relative_to(root).as_posix()
        problem = _problem(_read(path, counts), name, root.name or root.resolve().name, counts)
        if problem is not None:
            yield problem


def _read(path: Path, counts: Counts) -> str:
    """UTF-8 or UTF-16; older files as Latin-1, counted; line ends made LF."""
    data = read_bytes(path)
    try:
        text = decode(data, str(path))
    except DataError:
        counts.notes["file read as Latin-1"] += 1
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _problem(text: str, name: str, source: str, counts: Counts) -> Problem | None:
    """The problem of one file; None where it has none, and why is counted."""
    spans = modules(text)
    if not spans:
        counts.skipped["file without a module"] += 1
        return None
    span = spans[0]
    if not span.is_terminated:
        counts.skipped["file whose first module has no endmodule"] += 1
        return None
    comment = comment_before(text, span.start)
    asked = without_notices(comment)
    if not asked:
        counts.skipped["file with only a licence notice before the module" if comment else "file without a comment before the module"] += 1
        return None
    if len(spans) > 1:
        counts.notes["file with several modules, first one taken"] += 1
    before = strip_comments(text[: span.start]).strip()
    reference = (f"{before}\n\n" if before else "") + text[span.start : span.end] + "\n"
    spdx = _SPDX.search(comment)
    return Problem.create(
        instruction=asked, reference=reference, top=span.name, source=source, upstream_id=name,
        licence=spdx.group(1).strip() if spdx else "unknown",
    )  # fmt: skip


def without_notices(comment: str) -> str:
    """``comment`` without its paragraphs that speak of copyright or licence."""
    paragraphs = re.split(r"\n\s*\n", comment)
    return "\n\n".join(p for p in paragraphs if p.strip() and not _NOTICE.search(p)).strip()
