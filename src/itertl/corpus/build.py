"""A corpus of existing code and books: every file is kept or left out for one reason, and both are written down.

Files are judged one by one (``examine``), then together: licence, exact repeats, near-duplicates. The order of rows is
that of their paths, so neither the file system's order nor the number of workers shows. Of files that repeat each
other the first whose licence is wanted stays; where a file of another licence is like one that stays, the row says so.
"""

import hashlib
import itertools
import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from itertl.corpus import examine, sources
from itertl.corpus.examine import Examined, Rules, Task
from itertl.corpus.report import FAILED, LICENCE, NEAR_REPEAT, REPEAT, CorpusReport
from itertl.corpus.sources import Entry, Origin
from itertl.errors import DataError, UsageError, nearest
from itertl.problems.licences import KNOWN, PERMISSIVE, RESERVED, UNKNOWN, Found, canonical, in_text, joined, permits
from itertl.problems.overlap import Link, near_earlier
from itertl.problems.texts import CorpusText, LeftOut
from itertl.progress import SILENT, Tracker
from itertl.records import content_hash
from itertl.runs import storage
from itertl.work.pool import Job, Outcome, Workers

NEAR = 0.8  # Jaccard of 6-grams of tokens from which two files are one
_CHUNK_BYTES, _CHUNK_FILES = 1 << 20, 64
_CHUNK_S, _BOOK_S, _BOOK_MB = 120.0, 600.0, 3000
_FEW = 2 * _CHUNK_BYTES  # bytes of Verilog that are examined here, without workers


@dataclass(slots=True)
class _Read:
    """What the sources held, by path."""

    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    digests: dict[str, str] = field(default_factory=dict[str, str])
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])
    licences: dict[str, list[Found]] = field(default_factory=dict[str, list[Found]])  # of folders, by their files
    opened: Counter[str] = field(default_factory=Counter[str])  # what was read and is no text of the corpus itself

    def tasks(self, found: Iterable[Entry], rules: Rules) -> Iterator[Task]:
        """The Verilog files and books of ``found``; all other entries are put in their places."""
        for entry in found:
            self.origins[entry.path] = entry.origin
            if entry.data is None:
                self.left_out.append(LeftOut(path=entry.path, reason=entry.reason, detail=entry.detail))
                continue
            if entry.kind == "licence":
                self.opened["licence files"] += 1
                text = entry.data.decode("utf-8", "replace")
                folder = str(PurePosixPath(entry.path).parent)
                self.licences.setdefault(folder, []).extend(in_text(text, f"licence file {entry.path}"))
                continue
            self.digests[entry.path] = hashlib.sha256(entry.data).hexdigest()
            yield entry.path, entry.data, rules

    def of_folder(self, path: str, root: str) -> list[Found]:
        """The licences of the nearest folder that has one, up to ``root`` and what was found around it."""
        folder = PurePosixPath(path).parent
        for above in (folder, *folder.parents):
            if found := self.licences.get(str(above)):
                return found
            if str(above) == root:
                break
        return self.licences.get(f"{root}/..", [])


def wanted_licences(given: Sequence[str]) -> frozenset[str] | None:
    """The licences that ``--licences`` asks for: "permissive" and SPDX names, "unknown" among them; None for "any".
    Raises UsageError for what is neither."""
    names: set[str] = set()
    for name in (part.strip() for one in given for part in one.split(",")):
        if name == "any":
            return None
        is_name = re.fullmatch(r"[\w.+-]+", name) and (canonical(name) in KNOWN or re.search(r"\d|-", name))
        if name != "permissive" and not is_name:
            known = ["any", "permissive", *sorted(KNOWN)]
            raise UsageError(
                f"--licences {name!r}: {nearest(name, known)} give any, permissive, or SPDX names with commas between"
            )
        names |= PERMISSIVE if name == "permissive" else {canonical(name)}
    return frozenset(names)


def build(
    paths: Sequence[Path],
    out: Path,
    *,
    rules: Rules,
    licences: Collection[str] | None = None,
    near: float = NEAR,
    num_workers: int = 0,
    tracker: Tracker = SILENT,
) -> CorpusReport:
    """Make the corpus of ``paths`` and write it to ``out``, and what is not in it to ``left_out_file(out)``.

    ``licences``: SPDX names that a file's expression must be met by; None: any. Raises DataError, UsageError (see
    ``sources.entries``), and DataError where nothing is left.
    """
    read = _Read()
    found = sorted(_examined(read, paths, rules, num_workers, tracker), key=lambda one: (one.path, one.number))
    kept: list[Examined] = []
    for one in found:
        if one.reason:
            read.left_out.append(LeftOut(path=one.name, reason=one.reason, detail=one.detail))
        else:
            kept.append(one)
    rows = _chosen(read, kept, licences, near)
    read.left_out.sort(key=lambda one: one.path)
    report = CorpusReport.of(
        [str(path) for path in paths], rows, read.left_out, read.opened, files=len(read.origins), out=str(out),
        left_out_file=str(left_out_file(out)),
    )  # fmt: skip
    if not rows:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in report.left_out.items())
        raise DataError(f"{', '.join(map(str, paths))}: no file is left ({reasons or 'there is none'})")
    storage.write_records(left_out_file(out), read.left_out)
    storage.write_records(out, rows)
    return report


def left_out_file(out: Path) -> Path:
    """Where the files that are not in the corpus ``out`` are named, with the reason of each."""
    return out.with_name(f"{out.stem}.left-out.jsonl")


def _examined(
    read: _Read, paths: Sequence[Path], rules: Rules, num_workers: int, tracker: Tracker
) -> Iterator[Examined]:
    """Of every Verilog file and of every passage of a book."""
    tasks = read.tasks(sources.entries(paths), rules)
    first, size = list[Task](), 0
    for task in tasks:
        first.append(task)
        size += len(task[1])
        if size > _FEW or examine.is_book(task):
            yield from _by_workers(read, itertools.chain(first, tasks), num_workers, tracker)
            return
    for task in first:
        yield from _examined_here(task)
        tracker.advance(1)


def _examined_here(task: Task) -> list[Examined]:
    try:
        return examine.chunk([task])
    except Exception as error:  # whatever a file does, it costs itself alone
        return [Examined(task[0], reason=FAILED, detail=f"{type(error).__name__}: {error}"[:200])]


def _by_workers(read: _Read, tasks: Iterator[Task], num_workers: int, tracker: Tracker) -> Iterator[Examined]:
    """In chunks; what a chunk's worker could not end is asked file by file."""
    failed: list[Task] = []
    for chunk, outcome in _mapped(_chunks(tasks), num_workers):
        if outcome.status != "ok" and not examine.is_book(chunk[0]):
            failed += chunk
            continue
        tracker.advance(len(chunk))
        if outcome.status != "ok":
            yield Examined(chunk[0][0], reason=examine.NO_BOOK, detail=outcome.detail)
            continue
        read.opened["books"] += examine.is_book(chunk[0]) and outcome.value[0].reason != examine.NO_BOOK
        yield from outcome.value
    for chunk, outcome in _mapped(iter([[task] for task in failed]), num_workers):
        tracker.advance(1)
        unknown = [Examined(chunk[0][0], reason=FAILED, detail=outcome.detail)]
        yield from outcome.value if outcome.status == "ok" else unknown


def _chunks(tasks: Iterator[Task]) -> Iterator[list[Task]]:
    """Some files each; a book is one by itself."""
    chunk, size = list[Task](), 0
    for task in tasks:
        if examine.is_book(task):
            yield [task]
            continue
        chunk.append(task)
        size += len(task[1])
        if size >= _CHUNK_BYTES or len(chunk) >= _CHUNK_FILES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _mapped(chunks: Iterator[list[Task]], num_workers: int) -> Iterator[tuple[list[Task], Outcome]]:
    """(chunk, outcome) as they finish; few chunks are held at a time."""
    held: dict[int, list[Task]] = {}
    waiting: deque[Job] = deque()
    numbered = enumerate(chunks)

    def take(count: int) -> None:
        for number, chunk in itertools.islice(numbered, count):
            held[number] = chunk
            limits = (_BOOK_S, _BOOK_MB) if examine.is_book(chunk[0]) else (_CHUNK_S, None)
            waiting.append(Job(number, chunk, *limits))

    with Workers("itertl.corpus.examine:chunk", num_workers) as workers:
        take(2 * workers.count)
        for number, outcome in workers.work(waiting):
            take(1)
            yield held.pop(number), outcome


def _chosen(read: _Read, found: Sequence[Examined], licences: Collection[str] | None, near: float) -> list[CorpusText]:
    """The rows that stay of texts that are good by themselves; the others are left out with their reasons."""
    licensed = [(one, *_licence_of(read, one)) for one in found]
    wanted = [one for one in licensed if licences is None or permits(one[1], licences)]
    names = {one.name for one, *_ in wanted}
    others = [one for one in licensed if one[0].name not in names]
    links = _repeats([one for one, *_ in (*wanted, *others)], near)
    alike: dict[str, list[str]] = {}
    for one, licence, _ in others:
        read.left_out.append(LeftOut(path=one.name, reason=LICENCE, detail=licence))
        if (link := links.get(one.name)) is not None and link[0] in names:
            alike.setdefault(link[0], []).append(f"{one.name}: {licence}")
    rows: list[CorpusText] = []
    for one, licence, evidence in wanted:
        link = links.get(one.name)
        if link is None:
            rows.append(_row(read, one, licence, evidence, alike.get(one.name, [])))
            continue
        reason, detail = (REPEAT, link[0]) if link[1] == 1.0 else (NEAR_REPEAT, f"{link[0]} ({link[1]:.2f})")
        read.left_out.append(LeftOut(path=one.name, reason=reason, detail=detail))
    return rows


def _repeats(texts: Sequence[Examined], near: float) -> dict[str, tuple[str, float]]:
    """path -> (path of the earlier text that stays, likeness; 1: the same tokens), of those that repeat one."""
    first: dict[bytes, Examined] = {}
    found: dict[str, tuple[str, float]] = {}
    for one in texts:
        if (earlier := first.setdefault(one.code, one)) is not one:
            found[one.name] = (earlier.name, 1.0)
    distinct = list(first.values())
    empty = np.zeros(0, dtype=np.uint64)
    links: list[Link | None] = near_earlier([one.grams if one.grams is not None else empty for one in distinct], near)
    for one, link in zip(distinct, links, strict=True):
        if link is not None:
            found[one.name] = (distinct[link.first].name, min(link.similarity, 0.9999))
    for path, (earlier, likeness) in list(found.items()):  # the same tokens as one that is near another that stays
        if earlier in found:
            found[path] = (found[earlier][0], found[earlier][1] if likeness == 1.0 else likeness)
    return found


def _licence_of(read: _Read, one: Examined) -> tuple[str, tuple[str, ...]]:
    """(SPDX expression, evidence): what the text says itself, else the nearest folder's licence files. That all rights
    are reserved is said above many a text that such a file licenses."""
    found = list(one.licences)
    if all(own.licence == RESERVED for own in found):
        found = read.of_folder(one.path, read.origins[one.path].root) or found
    return joined(found) if found else UNKNOWN, tuple(f.evidence for f in found)


def _row(read: _Read, one: Examined, licence: str, evidence: tuple[str, ...], alike: Sequence[str]) -> CorpusText:
    origin = read.origins[one.path]
    return CorpusText(
        id=content_hash(one.text), text=one.text, path=one.name, kind="passage" if one.place else "file",
        licence=licence, evidence=evidence, source=origin.source, commit=origin.commit, sha256=read.digests[one.path],
        encoding=one.encoding, removed=one.removed, alike=tuple(alike),
    )  # fmt: skip
