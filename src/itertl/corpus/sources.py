"""What lies at the paths that a corpus is made of: folders, git clones, archives and single files, file by file.

Every file comes once, with its bytes where it is Verilog, a book or a licence, and with a reason where it is left out
at once. Paths are named from the given path's own name on, so that a corpus says nothing of the machine; links are
not followed, and what version control keeps for itself is not looked at.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from itertl.corpus import archives, books
from itertl.corpus.clones import Clone, is_clone
from itertl.errors import DataError, UsageError

VERILOG = (".v", ".sv", ".vh", ".svh", ".vlg", ".verilog")
MIN_BYTES, MAX_BYTES = 10, 1_000_000  # of a Verilog file (VeriGen's)
MAX_BOOK = 256 << 20
MAX_LICENCE = 200_000
OTHER = "another kind of file"
UNREADABLE = "cannot be read"
_LICENCE = re.compile(r"^(?:un)?licen[sc]e|^copying|^copyright", re.I)
_OWN = frozenset({".git", ".hg", ".svn", "CVS"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where files come from. ``root``: the part of their paths above which no licence file counts for them."""

    root: str
    source: str
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. ``data`` is None exactly where ``reason`` says why it is left out."""

    path: str
    kind: str  # "verilog", "book", "licence" or "other"
    origin: Origin
    data: bytes | None = None
    reason: str = ""
    detail: str = ""


def kind_of(name: str) -> str:
    """By the last part of a path."""
    suffix, base = PurePosixPath(name).suffix.lower(), PurePosixPath(name).name
    if suffix in VERILOG:
        return "verilog"
    if _LICENCE.match(base) and suffix not in (".py", ".c", ".h", ".html", ".pdf"):
        return "licence"
    return "book" if suffix in books.SUFFIXES else "other"


_USEFUL = {"verilog": MAX_BYTES, "book": MAX_BOOK, "licence": MAX_LICENCE, "other": 0}


def entries(paths: Sequence[Path]) -> Iterator[Entry]:
    """All files at ``paths``; the order is that of the file system or archive. Raises DataError for a path that is not
    there or of no use, UsageError for one that is given twice or lies in another."""
    _check(paths)
    names: dict[str, int] = {}
    for path in paths:
        label = _label(path.resolve().name or "root", names)
        yield from _named_once(_at(path, label))


def _check(paths: Sequence[Path]) -> None:
    for number, path in enumerate(paths):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; check the path")
        if path.is_file() and kind_of(path.name) not in ("verilog", "book") and not archives.is_archive(path.name):
            known = ", ".join((*VERILOG, *books.SUFFIXES, *archives.SUFFIXES))
            raise DataError(f"{path}: neither Verilog, a book nor an archive ({known}); give one, or a folder of them")
        for other in paths[:number]:
            here, there = path.resolve(), other.resolve()
            if here == there or here in there.parents or there in here.parents:
                raise UsageError(f"{path} and {other}: one is or holds the other; give each file once")


def _label(name: str, names: dict[str, int]) -> str:
    names[name] = names.get(name, 0) + 1
    return name if names[name] == 1 else f"{name}~{names[name]}"


def _named_once(found: Iterable[Entry]) -> Iterator[Entry]:
    """Members of one name, which archives may have, get numbers."""
    names: dict[str, int] = {}
    for entry in found:
        label = _label(entry.path, names)
        yield entry if label == entry.path else replace(entry, path=label)


def _at(path: Path, label: str) -> Iterator[Entry]:
    if path.is_dir():
        yield from _enclosing_licences(path, label)
        yield from _folder(path, label, Origin(label, label))
    elif archives.is_archive(path.name):
        yield from _archive(path, label)
    else:
        yield _file(path, label, Origin(label, label))


def _folder(folder: Path, label: str, origin: Origin) -> Iterator[Entry]:
    if is_clone(folder):
        yield from _clone(folder, label)
        return
    try:
        with os.scandir(folder) as found:
            items = sorted(found, key=lambda item: os.fsencode(item.name))
    except OSError as error:
        yield Entry(label, "other", origin, reason=UNREADABLE, detail=str(error.strerror))
        return
    for item in items:
        path, name = folder / item.name, f"{label}/{_text(item.name)}"
        if item.name in _OWN:
            continue
        if item.is_symlink():
            yield Entry(name, "other", origin, reason="link")
        elif item.is_dir():
            yield from _folder(path, name, origin)
        elif not item.is_file():
            yield Entry(name, "other", origin, reason="not a file")
        elif archives.is_archive(item.name):
            yield from _archive(path, name)
        else:
            yield _file(path, name, origin)


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _file(path: Path, name: str, origin: Origin) -> Entry:
    kind = kind_of(name)
    try:
        mode = path.stat()
        if not stat.S_ISREG(mode.st_mode):
            return Entry(name, "other", origin, reason="not a file")
        if (refused := _refused(name, kind, mode.st_size, origin)) is not None:
            return refused
        return Entry(name, kind, origin, path.read_bytes())
    except OSError as error:
        return Entry(name, kind, origin, reason=UNREADABLE, detail=str(error.strerror))


def _refused(name: str, kind: str, size: int, origin: Origin) -> Entry | None:
    """The entry of a file that is left out by its kind or size, which is then not read."""
    if kind == "other":
        inner = "archive in an archive or clone" if archives.is_archive(name) else OTHER
        return Entry(name, kind, origin, reason=inner)
    smallest = MIN_BYTES if kind == "verilog" else 1
    if smallest <= size <= _USEFUL[kind]:
        return None
    why = f"smaller than {smallest} bytes" if size < smallest else f"larger than {_USEFUL[kind]} bytes"
    return Entry(name, kind, origin, reason=why, detail=f"{size} bytes")


def _archive(path: Path, label: str) -> Iterator[Entry]:
    origin = Origin(label, PurePosixPath(label).name)
    for member in archives.members(path, lambda name: _USEFUL[kind_of(name)]):
        name = f"{label}/{member.path}" if member.path else label
        kind = kind_of(name) if member.path else "other"
        if member.reason:
            yield Entry(name, kind, origin, reason=member.reason, detail=member.detail)
            continue
        refused = _refused(name, kind, member.size, origin)
        yield refused or Entry(name, kind, origin, member.data)


def _clone(folder: Path, label: str) -> Iterator[Entry]:
    clone = Clone(folder)
    origin = Origin(label, clone.origin or label, clone.commit)
    wanted: list[tuple[str, str, str]] = []
    for item in clone.entries():
        name, kind = f"{label}/{item.path}", kind_of(item.path)
        if item.kind != "file":
            yield Entry(name, "other", origin, reason=item.kind)
        elif (refused := _refused(name, kind, item.size, origin)) is not None:
            yield refused
        else:
            wanted.append((name, kind, item.object_id))
    for (name, kind, _), data in zip(wanted, clone.blobs([ident for *_, ident in wanted]), strict=True):
        yield Entry(name, kind, origin, data)


def _enclosing_licences(folder: Path, label: str) -> Iterator[Entry]:
    """Licence files above a folder that lies in a clone, up to the clone's own: those of the nearest folder."""
    above = list(folder.resolve().parents)
    root = next((n for n, parent in enumerate(above) if (parent / ".git").exists()), None)
    if root is None or is_clone(folder):
        return
    origin = Origin(label, label)
    for parent in above[: root + 1]:
        files = [p for p in sorted(parent.iterdir()) if p.is_file() and kind_of(p.name) == "licence"]
        if files:
            yield from (_file(path, f"{label}/../{path.name}", origin) for path in files)
            return
