"""Imports a folder of Verilog files: a file's comments are the instruction, its modules the reference.

Directives and declarations around the modules go with them, as do the modules and macros of other files that they use;
a testbench is not a training pair. Lines of tools' templates, people's names and licence notices are not an
instruction. Nothing is parsed here: ``itertl data audit`` reports what elaborates.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path, PurePath

from itertl.errors import DataError
from itertl.problems.cells import Counts
from itertl.problems.importers import Request
from itertl.records import Problem
from itertl.runs.rows import decode, read_bytes
from itertl.verilog.header import derive_top, instances, is_testbench
from itertl.verilog.text import ModuleSpan, comment_before, modules, strip_comments, tokenize

SUFFIXES = (".v", ".sv")
NOTICE = re.compile(
    r"copyright|\(c\)\s*(19|20)\d\d|spdx-|licen[sc]ed? (under|file)|all rights reserved|redistribut|warrant(y|ies)"
    r"|without limitation|free software|permission is hereby|\blicen[sc]e\b",
    re.I,
)
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([^\s*][^\n*]*)")
# what tools and people put at the head of a file, which does not describe the design
_PERSON = (
    r"company|engineers?|authors?|designers?|written by|created by|maintainers?|organi[sz]ation|university|contacts?"
)
_TEMPLATE = re.compile(
    rf"^\W*({_PERSON}|create date|created|creation date|design name|module name|project name|target devices?|tool "
    rf"versions?|"
    r"dependencies|revision( history)?|revision \d.*|file( ?name)?|e-?mail|last modified|modified|\$id|@\w+)\s*[:=].*$"
    # with more words it describes the design
    r"|^\W*(date|project|device|tools?|simulator|version|id)\s*[:=]\s*(\W*\d.*|(\S+\s+){0,4}\S*)$"
    r"|^\W*revision\s+\d.*$|^\W*(by|\(c\)|©)\s.*$|^.*spdx-[\w-]+:.*$|^\W*copyright\b.*$",
    re.I,
)
PEOPLE = re.compile(rf"^(\W*)({_PERSON})\s*[:=]\s*(.*)$", re.I)
NAME = re.compile(r"^\W*([A-Z][\w.'-]*(\s+|,\s*)?){1,4}(<.*>|\(.*\))?\W*$|^.*\w@\w.*$")
ADDRESS = re.compile(r"^[^:;]{0,60}<[^<>@\s]+@[^<>\s]+>")
_MACRO = re.compile(r"^[ \t]*`define\s+(\w+)(?:[^\n]*\\\n)*[^\n]*$", re.M)
_SHARED = re.compile(
    r"^[ \t]*(package|interface)\s+(?:automatic\s+|static\s+)?(\w+)\b.*?^[ \t]*end\1\b(?:\s*:\s*\w+)?", re.M | re.S
)
_INCLUDE = re.compile(r"^[ \t]*`include[ \t]+\"([^\"\n]+)\"[^\n]*$", re.M)
_FEW = 3  # words: a shorter comment on the top module ("the top") says less than the one at the head of the file
_HEADERS = (".vh", ".svh", ".h", ".inc")
_PART_OF = re.compile(r"this (file|program|code|work|software|design) is|part of", re.I)
_DESCRIPTION = re.compile(
    r"^\W*(description|purpose|function|abstract|summary|additional comments|notes?)\s*:\s*", re.I
)


def verilog_files(path: Path) -> list[Path]:
    """The Verilog files at or below ``path``, sorted by relative path; hidden folders are passed over."""
    if path.is_file():
        return [path]
    found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts))


def import_folder(request: Request, counts: Counts) -> Iterator[Problem]:
    """One problem of each file with whole modules and a comment on them; ``counts.dropped`` names the others."""
    for name, text, folder, root in _texts(request, counts):
        found = _problem(text, name, root, counts, folder)
        if isinstance(found, str):
            counts.skip(found, name)
        else:
            yield counts.came_from(found, name)


def import_modules(request: Request, counts: Counts) -> Iterator[Problem]:
    """One problem of each module that no other of its file instantiates, commented or not: the module with what it
    needs is the reference, and nothing is asked. For those who describe code. What is left out is counted by file."""
    for name, text, folder, root in _texts(request, counts):
        spans = modules(text)
        designs = _designs(text, spans)
        if isinstance(designs, str):
            counts.skip(designs, name)
            continue
        names = {span.name for span in designs}
        used = {inner for outer, inner in instances(text, spans) if outer in names and outer != inner}
        tops = dict.fromkeys(span.name for span in designs if span.name not in used)
        if not tops:
            counts.skip("file whose modules all instantiate one another", name)
        for top in tops:  # with its versions, where directives choose among some
            versions = [span for span in designs if span.name == top]
            reference = _with_needed(_reference(text, spans, versions), name, folder, counts)
            place = name if len(tops) == 1 else f"{name}:{top}"
            yield counts.came_from(_created("", reference, top, root, place, text[: designs[0].start]), name)


def _texts(request: Request, counts: Counts) -> Iterator[tuple[str, str, "_Folder", str]]:
    """(name, text, what the folder has for it, the folder's name) of each file. Raises DataError."""
    root = Path(request.source)
    if request.columns or request.filter:
        raise DataError(f"{root}: columns and filter are for tables; a folder of Verilog files has neither")
    files = verilog_files(root)
    if not files:
        raise DataError(f"{root}: holds no {' or '.join(SUFFIXES)} file; check the path")
    names = [path.name if root.is_file() else path.relative_to(root).as_posix() for path in files]
    texts = [_read(path, counts) for path in files]
    headers = {path.relative_to(root).as_posix(): _read(path, Counts()) for path in _headers(root)}
    texts = [_opened(text, {**headers, **dict(zip(names, texts, strict=True))}, counts) for text in texts]
    folder = _Folder.of(names, texts, list(headers.values()))
    for name, text in zip(names, texts, strict=True):
        yield name, text, folder, root.name or root.resolve().name


def _headers(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in _HEADERS and p.is_file()) if root.is_dir() else []


def _opened(text: str, files: Mapping[str, str], counts: Counts, depth: int = 0) -> str:
    """``text`` with the files of the folder that it includes in the place of their directives."""

    def put(match: re.Match[str]) -> str:
        asked = PurePath(match.group(1))
        near = [name for name in files if PurePath(name).name == asked.name]
        if not near or depth == 8:
            return match.group()
        counts.notes["include that was opened in the folder"] += 1
        whole = [name for name in near if PurePath(name).parts[-len(asked.parts) :] == asked.parts]
        return _opened(files[(whole or near)[0]].rstrip("\n"), files, counts, depth + 1)

    return _INCLUDE.sub(put, text)


@dataclass(frozen=True, slots=True)
class _Folder:
    """What the files of a folder have for one another."""

    modules: Mapping[str, Mapping[str, str]]  # name -> file -> text
    macros: Mapping[str, str]  # name -> its `define
    shared: Mapping[str, str]  # name of a package or interface -> its text

    @staticmethod
    def of(names: Sequence[str], texts: Sequence[str], headers: Sequence[str]) -> "_Folder":
        found: dict[str, dict[str, str]] = {}
        for name, text in zip(names, texts, strict=True):
            for span in modules(text):
                if span.is_terminated:
                    found.setdefault(span.name, {})[name] = text[span.start : span.end]
        every = (*headers, *texts)
        macros = {m.group(1): m.group() for text in every for m in _MACRO.finditer(text)}
        return _Folder(
            found, macros, {m.group(2): m.group().strip() + "\n" for text in every for m in _SHARED.finditer(text)}
        )

    def module(self, name: str, file: str, counts: Counts) -> str | None:
        """The module of that name, from the nearest file where several have one."""
        found = self.modules.get(name, {})
        if len(set(found.values())) > 1:
            counts.notes["module that several files hold, taken from the nearest"] += 1
        return (
            found[max(sorted(found), key=lambda other: len(PurePath(commonpath([other, file])).parts))]
            if found
            else None
        )

    def with_shared(self, code: str, counts: Counts) -> str:
        """``code`` behind the packages and interfaces of other files that it uses, and that these do."""
        own = {m.group(2) for m in _SHARED.finditer(code)}
        added: dict[str, str] = {}
        waiting = [code]
        while waiting:
            used = set(re.findall(r"[A-Za-z_]\w*", strip_comments(waiting.pop())))
            for name in self.shared.keys() & used - own - added.keys():
                added[name] = self.shared[name]
                waiting.append(added[name])
        counts.notes["packages and interfaces taken from other files of the folder"] += len(added)
        ordered = sorted(
            added, key=lambda name: (sum(other in re.findall(r"\w+", added[name]) for other in added), name)
        )
        return "".join(added[name] for name in ordered) + code

    def with_macros(self, code: str, counts: Counts) -> str:
        """``code`` behind the macros of other files that it uses and does not define."""
        own, added = {m.group(1) for m in _MACRO.finditer(code)}, dict[str, str]()
        waiting = [code]
        while waiting:
            for name in re.findall(r"`(\w+)", strip_comments(waiting.pop())):
                if name in self.macros and name not in own and name not in added:
                    added[name] = self.macros[name]
                    waiting.append(self.macros[name])
        counts.notes["macros taken from other files of the folder"] += len(added)
        return "".join(f"{text}\n" for name, text in self.macros.items() if name in added) + code


def _read(path: Path, counts: Counts) -> str:
    """UTF-8 or UTF-16; older files as Latin-1, counted; line ends made LF."""
    data = read_bytes(path)
    try:
        text = decode(data, str(path))
    except DataError:
        counts.notes["file read as Latin-1"] += 1
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _problem(text: str, name: str, source: str, counts: Counts, folder: _Folder) -> Problem | str:
    """The problem of one file, or why it has none."""
    spans = modules(text)
    designs = _designs(text, spans)
    if isinstance(designs, str):
        return designs
    top = derive_top(text) or (designs[0].name if len(designs) == 1 else None)
    comment = comment_before(text, designs[0].start)
    asked = _asked(text, next((span for span in designs[1:] if span.name == top), None), _FEW) or _asked(
        text, designs[0], 1
    )
    if not asked:
        return "file without a comment that says what the module does"
    if "`include" in {token.text for token in tokenize(text)}:
        counts.notes["file with an include, which is not opened"] += 1
    reference = _with_needed(_reference(text, spans, designs), name, folder, counts)
    return _created(asked, reference, top, source, name, comment)


def _designs(text: str, spans: Sequence[ModuleSpan]) -> list[ModuleSpan] | str:
    """The modules of a file that are no testbenches, or why it is of no use."""
    if not spans:
        return "file without a module"
    if not all(span.is_terminated for span in spans):
        return "file with a module that has no endmodule"
    return [span for span in spans if not is_testbench(text[span.start : span.end])] or "file that is a testbench"


def _created(asked: str, reference: str, top: str | None, source: str, name: str, comment: str) -> Problem:
    """The problem; ``comment``: where its licence would be named."""
    spdx = _SPDX.search(comment)
    return Problem.create(
        instruction=asked, reference=reference, top=top,
        source=source, upstream_id=name, licence=spdx.group(1).strip() if spdx else "unknown",
    )  # fmt: skip


def _asked(text: str, design: ModuleSpan | None, words: int) -> str:
    """What the comment on a module says of it, "" where too short; the file's comment precedes its first module."""
    if design is None:
        return ""
    above = [span.end for span in modules(text) if span.end <= design.start]
    between = text[above[-1] : design.start].partition("\n")[2] if above else text[: design.start]
    said = without_notices(comment_before(between, len(between))) or without_notices(
        _comment_after_ports(text[design.start : design.end])
    )
    return said if len(said.split()) >= words else ""


def _reference(text: str, spans: Sequence[ModuleSpan], designs: Sequence[ModuleSpan]) -> str:
    """The file with its directives and declarations, without testbenches and comments around its modules."""
    parts, at = [], 0
    for span in spans:
        parts.append(strip_comments(text[at : span.start]).strip())
        parts.append(text[span.start : span.end] if span in designs else "")
        at = span.end
    parts.append(strip_comments(text[at:]).strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def _with_needed(reference: str, file: str, folder: _Folder, counts: Counts) -> str:
    """What all share, ``reference``, and the modules of other files that it instantiates, directly or not."""
    known = {span.name for span in modules(reference)}
    needed: list[str] = []
    waiting = [reference]
    while waiting:
        text = waiting.pop()
        for _, name in sorted(instances(text, modules(text))):
            module = None if name in known else folder.module(name, file, counts)
            if module is not None:
                known.add(name)
                needed.append(module)
                waiting.append(module)
    counts.notes["modules taken from other files of the folder"] += len(needed)
    return folder.with_macros(
        folder.with_shared("\n".join([reference, *(module + "\n" for module in needed)]), counts), counts
    )


def _comment_after_ports(module: str) -> str:
    """The comment that stands between a module's port list and its first statement."""
    stream = tokenize(module)
    closing = next((n for n, token in enumerate(stream) if token.text == ";"), None)
    if closing is None or closing + 1 >= len(stream):
        return ""
    return comment_before(module[stream[closing].end :], stream[closing + 1].start - stream[closing].end)


def without_notices(comment: str) -> str:
    """``comment`` without the lines of tools' templates (company, engineer, dates …) and the paragraphs about
    copyright or licence; a line "Description: …" keeps what it says."""
    lines: list[str] = []
    people: re.Match[str] | None = None  # the key above, whose names may go on below it
    for line in comment.split("\n"):
        indent = len(line) - len(line.lstrip(" \t*/"))
        if people is not None and NAME.match(line) and (not people[3].strip() or indent > len(people[1]) + 2):
            continue
        people = PEOPLE.match(line)
        if not _TEMPLATE.match(line) and not ADDRESS.match(line):
            lines.append(_DESCRIPTION.sub("", line))
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    kept = [said for p in paragraphs if re.search(r"\w", said := _before_notice(p))]
    return "\n\n".join(kept).strip()


def _before_notice(paragraph: str) -> str:
    """The sentences before the first on copyright or licence; continuation lines lose their alignment."""
    sentences = re.split(r"(?<=[.!?;])(?=\s)", paragraph)
    said = "".join(itertools.takewhile(lambda sentence: not NOTICE.search(sentence), sentences))
    return "" if said != paragraph and _PART_OF.search(said) else re.sub(r"\n[ \t]{6,}", "\n", said)
