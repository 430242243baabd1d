"""Members of zip and tar archives, read one after the other and never unpacked to disk.

So no name can lead out of a folder; one that would is left out all the same, as are links, devices and members that
need a password. What an archive may unpack to is bounded, in bytes and against its own size; a member is read up to the
length that is of use.
"""

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
MAX_UNPACKED = 8 << 30  # bytes of one archive
MAX_RATIO, SMALL = 500, 256 << 20  # unpacked to packed size, where it unpacks to more than that many bytes
MAX_MEMBERS = 2_000_000
LEADS_OUT = "name that leads out of its archive"
BROKEN = "archive that is not whole"
TOO_LARGE = "archive that unpacks to too much"
# what the standard library raises for bytes that are wrong; zipfile's NotImplementedError, for a method of compression
# that it lacks, is a RuntimeError
_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError,
    MemoryError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """A member, or what is wrong with it or with the archive (``path`` "")."""

    path: str
    size: int = 0
    data: bytes | None = None  # None: not wanted, or ``reason`` says why
    reason: str = ""
    detail: str = ""


class _TooLarge(Exception):
    pass


def is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def members(path: Path, wanted: Callable[[str], int]) -> Iterator[Member]:
    """All members but folders, in the archive's order. ``wanted``: bytes of a member of that name that are of use; 0:
    none. What breaks off or goes too far ends in a member without path that says so."""
    try:
        with path.open("rb") as handle:
            if path.suffix.lower() == ".zip":
                yield from _zip(path, wanted)
            else:
                yield from _tar(handle, path.stat().st_size, wanted)
    except _TooLarge as error:
        yield Member("", reason=TOO_LARGE, detail=str(error))
    except _BROKEN as error:
        yield Member("", reason=BROKEN, detail=f"{type(error).__name__}: {error}"[:200])


class _Bound:
    """Counts what is unpacked. Raises _TooLarge."""

    def __init__(self, packed: int) -> None:
        self.limit = min(MAX_UNPACKED, max(SMALL, MAX_RATIO * packed))
        self.taken = self.members = 0

    def take(self, count: int) -> None:
        self.taken += count
        if self.taken > self.limit:
            raise _TooLarge(f"more than {self.limit >> 20} MiB")

    def next_member(self) -> None:
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise _TooLarge(f"more than {MAX_MEMBERS} members")


def _safe(name: str) -> str | None:
    """The name as a relative path; None where it leads out."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        return None
    return path.as_posix()


def _zip(path: Path, wanted: Callable[[str], int]) -> Iterator[Member]:
    bound = _Bound(path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            bound.next_member()
            if info.is_dir():
                continue
            name, mode = _safe(info.filename), info.external_attr >> 16
            if name is None:
                yield Member(info.filename.replace("..", "__"), info.file_size, reason=LEADS_OUT)
            elif mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
                yield Member(name, info.file_size, reason="link" if stat.S_ISLNK(mode) else "not a file")
            elif info.flag_bits & 1:
                yield Member(name, info.file_size, reason="member that needs a password")
            else:
                yield _zip_member(archive, info, name, wanted(name), bound)


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, useful: int, bound: _Bound
) -> Member:  # fmt: skip
    if not useful:
        return Member(name, info.file_size)
    try:
        with archive.open(info) as handle:
            data = handle.read(min(useful, info.file_size) + 1)
    except _BROKEN as error:
        return Member(name, info.file_size, reason="member that cannot be read", detail=str(error)[:200])
    bound.take(len(data))
    return Member(name, max(info.file_size, len(data)), data)


class _Counted:
    """A stream of a packed tar whose unpacked bytes are counted: what ``tarfile`` reads goes through here."""

    def __init__(self, handle: BinaryIO, bound: _Bound) -> None:
        self.handle, self.bound = handle, bound

    def read(self, count: int = -1) -> bytes:
        data = self.handle.read(count)
        self.bound.take(len(data))
        return data


def _opened(handle: BinaryIO) -> BinaryIO:
    """The tar inside gzip, bzip2 or xz, by the first bytes."""
    head = handle.read(6)
    handle.seek(0)
    if head[:2] == b"\x1f\x8b":
        return cast("BinaryIO", gzip.GzipFile(fileobj=handle))
    if head[:3] == b"BZh":
        return cast("BinaryIO", bz2.BZ2File(handle))
    return cast("BinaryIO", lzma.LZMAFile(handle)) if head == b"\xfd7zXZ\x00" else handle


def _tar(handle: BinaryIO, packed: int, wanted: Callable[[str], int]) -> Iterator[Member]:
    bound = _Bound(packed)
    stream = cast("BinaryIO", _Counted(_opened(handle), bound))
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        while (info := archive.next()) is not None:
            bound.next_member()
            archive.members = []  # type: ignore[attr-defined]  # a stream's are remembered for nothing
            if info.isdir():
                continue
            name = _safe(info.name)
            if name is None:
                yield Member(info.name.replace("..", "__").lstrip("/"), info.size, reason=LEADS_OUT)
            elif not info.isfile():
                yield Member(name, info.size, reason="link" if info.islnk() or info.issym() else "not a file")
            else:
                useful = wanted(name)
                file = archive.extractfile(info) if useful else None
                data = file.read(min(useful, info.size) + 1) if file is not None else None
                yield Member(name, info.size, data)
        _check_end(cast("BinaryIO", archive.fileobj))


def _check_end(rest: BinaryIO) -> None:
    """That nothing but zeros is left: ``tarfile`` takes a header that it cannot read for the end. What packs the tar
    compares its checksum as the last of it is read. Raises ValueError."""
    while block := rest.read(1 << 16):
        if block.strip(b"\0"):
            raise ValueError("goes on behind its last member with what is no member")
