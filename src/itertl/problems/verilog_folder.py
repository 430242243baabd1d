"""A folder of Verilog files in: a file's comments ask for what it holds, its modules are the reference.

Directives and declarations around the modules go with them, as do modules of other files that they instantiate; a testbench is no
training pair. Lines of tools' templates, people's names and licence notices are no instruction. Nothing is parsed here: ``itertl data audit`` says what elaborates.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from itertl.errors import DataError
from itertl.problems.cells import Counts
from itertl.problems.header import derive_top, instances, is_testbench
from itertl.problems.importers import Request
from itertl.problems.rows import decode
from itertl.records import Problem
from itertl.storage import read_bytes
from itertl.tools.verilog_text import ModuleSpan, comment_before, modules, strip_comments, tokenize

SUFFIXES = (".v", ".sv")
_NOTICE = re.compile(
    r"copyright|\(c\)\s*(19|20)\d\d|spdx-|licen[sc]ed? (under|file)|all rights reserved|redistribut|warrant(y|ies)|without limitation", re.I
)
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([^\s*][^\n*]*)")
# what tools and people put at the head of a file, which says nothing of the design
_TEMPLATE = re.compile(
    r"^\W*(company|engineer|author|authors|designer|written by|created by|create date|created|creation date|date|design name|module name|"
    r"project name|project|target devices?|device|tool versions?|tools?|simulator|dependencies|revision( history)?|revision \d.*|version|"
    r"additional comments|file( ?name)?|e-?mail|contact|last modified|modified|organi[sz]ation|university|maintainer|\$?id|@\w+)\s*[:=].*$"
    r"|^\W*revision\s+\d.*$|^\W*(by|\(c\)|©)\s.*$|^.*spdx-[\w-]+:.*$|^\W*copyright\b.*$",
    re.I,
)
_DESCRIPTION = re.compile(r"^\W*(description|purpose|function|abstract|summary)\s*:\s*", re.I)


def verilog_files(path: Path) -> list[Path]:
    """The Verilog files at or below ``path``, sorted by relative path; hidden folders are passed over."""
    if path.is_file():
        return [path]
    found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts))


def import_folder(request: Request, counts: Counts) -> Iterator[Problem]:
    """One problem of each file that has whole modules and a comment on them; the others are named in ``counts.dropped``."""
    root = Path(request.source)
    if request.columns or request.filter:
        raise DataError(f"{root}: columns and filter are for tables; a folder of Verilog files has neither")
    files = verilog_files(root)
    if not files:
        raise DataError(f"{root}: holds no {' or '.join(SUFFIXES)} file; check the path")
    names = [path.name if root.is_file() else path.relative_to(root).as_posix() for path in files]
    texts = [_read(path, counts) for path in files]
    elsewhere = {span.name: text[span.start : span.end] for text in texts for span in modules(text) if span.is_terminated}
    for name, text in zip(names, texts, strict=True):
        found = _problem(text, name, root.name or root.resolve().name, counts, elsewhere)
        if isinstance(found, str):
            counts.skip(found, name)
        else:
            yield counts.came_from(found, name)


def _read(path: Path, counts: Counts) -> str:
    """UTF-8 or UTF-16; older files as Latin-1, counted; line ends made LF."""
    data = read_bytes(path)
    try:
        text = decode(data, str(path))
    except DataError:
        counts.notes["file read as Latin-1"] += 1
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _problem(text: str, name: str, source: str, counts: Counts, elsewhere: Mapping[str, str]) -> Problem | str:
    """The problem of one file, or why it has none. ``elsewhere``: the modules of the whole folder by name."""
    spans = modules(text)
    if not spans:
        return "file without a module"
    if not all(span.is_terminated for span in spans):
        return "file with a module that has no endmodule"
    designs = [span for span in spans if not is_testbench(text[span.start : span.end])]
    if not designs:
        return "file that is a testbench"
    comment = comment_before(text, designs[0].start)
    asked = without_notices(comment) or without_notices(_comment_after_ports(text[designs[0].start : designs[0].end]))
    if not asked:
        return "file without a comment that says what the module does"
    if "`include" in {token.text for token in tokenize(text)}:
        counts.notes["file with an include, which is not opened"] += 1
    reference = _with_needed(_reference(text, spans, designs), elsewhere, counts)
    spdx = _SPDX.search(comment)
    return Problem.create(
        instruction=asked, reference=reference, top=derive_top(text) or (designs[0].name if len(designs) == 1 else None),
        source=source, upstream_id=name, licence=spdx.group(1).strip() if spdx else "unknown",
    )  # fmt: skip


def _reference(text: str, spans: Sequence[ModuleSpan], designs: Sequence[ModuleSpan]) -> str:
    """The file with its directives and declarations, without the comments around its modules, and without testbenches."""
    parts, at = [], 0
    for span in spans:
        parts.append(strip_comments(text[at : span.start]).strip())
        parts.append(text[span.start : span.end] if span in designs else "")
        at = span.end
    parts.append(strip_comments(text[at:]).strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _with_needed(reference: str, elsewhere: Mapping[str, str], counts: Counts) -> str:
    """``reference`` and the modules of other files that it instantiates, and that these do."""
    known = {span.name for span in modules(reference)}
    needed: list[str] = []
    waiting = [reference]
    while waiting:
        text = waiting.pop()
        for _, name in sorted(instances(text, modules(text))):
            if name not in known and name in elsewhere:
                known.add(name)
                needed.append(elsewhere[name])
                waiting.append(elsewhere[name])
    counts.notes["modules taken from other files of the folder"] += len(needed)
    return "\n".join([reference, *(module + "\n" for module in needed)])


def _comment_after_ports(module: str) -> str:
    """The comment that stands between a module's port list and its first statement."""
    stream = tokenize(module)
    closing = next((n for n, token in enumerate(stream) if token.text == ";"), None)
    if closing is None or closing + 1 >= len(stream):
        return ""
    return comment_before(module[stream[closing].end :], stream[closing + 1].start - stream[closing].end)


def without_notices(comment: str) -> str:
    """``comment`` without the lines of tools' templates (company, engineer, dates …) and the paragraphs that speak of copyright or
    licence; a line "Description: …" keeps what it says."""
    lines = [_DESCRIPTION.sub("", line) for line in comment.split("\n") if not _TEMPLATE.match(line)]
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    kept = [p for p in paragraphs if re.search(r"\w", p) and not _NOTICE.search(p)]
    return "\n\n".join(kept).strip()
