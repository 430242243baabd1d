"""Files that are either complete or absent, and append-only logs that survive a torn last line.

``write_*`` write aside in the same folder, fsync, rename, fsync the folder; a link is written through, a device or pipe
is written to. ``AppendLog`` is for work in progress (``partial_of``); the stage that owns it sorts it into its final
file and removes it.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import ValidationError

from itertl import faults
from itertl.errors import DataError, WriteFailed
from itertl.records import Record
from itertl.runs.manifest import Manifest
from itertl.runs.rows import read_lines

R = TypeVar("R", bound=Record)


def fsync_dir(folder: Path) -> None:
    """Make a rename inside ``folder`` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 so that ``path`` is old or new, never torn."""
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` is old or new, never torn. Raises WriteFailed (path and fix)."""
    with writes_to(path):
        if is_stdout(path):  # at its own place in the file or pipe that it leads to
            sys.stdout.flush()
            with os.fdopen(os.dup(1), "wb") as handle:
                handle.write(data)
            return
        if is_node(path):
            with path.open("wb") as handle:
                handle.write(data)
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with aside.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            aside.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        fsync_dir(target.parent)


def is_node(path: Path) -> bool:
    """Whether ``path`` is a device, pipe or socket, or a name for one that the system keeps (``/dev/stdout``)."""
    if path.absolute().parts[1:2] in (("dev",), ("proc",)):
        return path.exists() and not path.is_dir()
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_stdout(path: Path) -> bool:
    """Whether ``path`` is a name of this process's standard output, such as ``/dev/stdout``."""
    if path.absolute().parts[1:2] not in (("dev",), ("proc",)) or path.name == "null":
        return False
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def partial_of(out: Path) -> Path:
    """Where the log of work towards ``out`` lies: ``NAME.partial`` beside it; for a device or pipe, in the system's
    temporary folder."""
    if is_node(out):
        return Path(tempfile.gettempdir()) / f"itertl-{os.getpid()}-{out.name}.partial"
    return out.with_name(out.name + ".partial")


@contextlib.contextmanager
def taken_up(out: Path) -> Generator[Path]:
    """Work towards ``out``, from where a killed call left it: gives its log (``partial_of``), which goes where the
    block ends without an error: by then ``out`` is written."""
    partial = partial_of(out)
    yield partial
    partial.unlink(missing_ok=True)


_NO_SPACE = 1 << 20  # bytes; a disk with fewer is full
_FIXES = {
    errno.ENOSPC: "the disk is full: free some space, and call the same command again",
    errno.EDQUOT: "your quota is used up: free some space, and call the same command again",
    errno.EROFS: "it lies on a read-only file system: give another place",
    errno.EACCES: "give a place that you may write to",
    errno.EPERM: "give a place that you may write to",
}


@contextlib.contextmanager
def writes_to(path: Path) -> Iterator[None]:
    """Turn the system's errors of writing into WriteFailed, which names ``path`` and the fix."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteFailed(
            f"{path}: cannot be written ({error.strerror or error}); "
            f"{_FIXES.get(error.errno or 0, 'give another place')}"
        ) from error


@contextlib.contextmanager
def saves_to(folder: Path) -> Iterator[None]:
    """``writes_to`` for libraries that report a full disk by their own errors, with or without the system's number."""
    with writes_to(folder):
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            quoted = next((number for number in _FIXES if os.strerror(number) in str(error)), None)
            if quoted is None and shutil.disk_usage(folder.parent).free < _NO_SPACE:
                quoted = errno.ENOSPC
            if quoted is None:
                raise
            raise OSError(quoted, os.strerror(quoted)) from error


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON Lines, atomically."""
    write_text(path, "".join(record.to_line() + "\n" for record in records))


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, indented, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def parse_record(kind: type[R], value: dict[str, Any], where: str) -> R:
    """Validate one object as a record. Raises DataError that names ``where`` and the field."""
    value = dict(value)
    schema = value.pop("schema", None)
    if schema != kind.schema_name:
        raise DataError(f"{where}: schema is {schema!r}, expected {kind.schema_name!r}; is this the right file?")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(object)"
        raise DataError(f"{where}: field {field}: {first['msg']}") from error


def read_records(path: Path, kind: type[R]) -> list[R]:
    """Read a JSON Lines file of one record kind. Raises DataError (file, line, field)."""
    return [parse_record(kind, value, f"{path}:{number}") for number, value in read_lines(path)]


def read_manifest(path: Path) -> Manifest:
    """The manifest of an iteration's folder. Raises DataError where it cannot be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); delete it, and the run's command makes it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: not a JSON object; delete it, and the run's command makes it again")
    return parse_record(Manifest, value, str(path))


class AppendLog:
    """An append-only JSON Lines file for work in progress; opening it drops a torn last line.

    >>> with AppendLog(path) as log:          # doctest: +SKIP
    ...     done = log.existing                # objects that survived
    ...     log.append([{"key": 1}])           # flushed to the system before it returns
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.existing: list[dict[str, Any]] = []
        with writes_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._open(path)

    def _open(self, path: Path) -> BinaryIO:
        keep = 0
        if path.exists():
            data = path.read_bytes()
            for line in data.splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                try:
                    self.existing.append(json.loads(line))
                except ValueError:
                    break
                keep += len(line)
        handle = path.open("ab")
        handle.truncate(keep)
        return handle

    def append(self, objects: Iterable[dict[str, Any]]) -> None:
        """Write all objects in one go and flush: after a kill they are all there or cut at the end."""
        data = "".join(json.dumps(o, ensure_ascii=False, allow_nan=False) + "\n" for o in objects)
        with writes_to(self.path):
            self._handle.write(data.encode("utf-8", "surrogatepass"))
            self._handle.flush()
            os.fsync(self._handle.fileno())

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what is still buffered then is what could not be written, and was reported
            self._handle.close()

    def __enter__(self) -> "AppendLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's relative names and bytes in sorted order."""
    digest = hashlib.sha256()
    if path.is_dir():
        for child in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(child.relative_to(path).as_posix().encode() + b"\0" + hash_file(child).encode() + b"\0")
        return digest.hexdigest()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def commit_folder(staged: Path, final: Path) -> None:
    """Make ``staged`` (a complete folder beside ``final``) take the name ``final``; the old one goes only after.

    A kill leaves the old folder, the new one, or ``final`` absent with the old one under ``.NAME.old``:
    ``recover_folder`` repairs the last case.
    """
    for child in staged.rglob("*"):
        if child.is_file():
            with child.open("rb") as handle:
                os.fsync(handle.fileno())
    for folder in [*(p for p in staged.rglob("*") if p.is_dir()), staged]:
        fsync_dir(folder)
    faults.point(f"commit.{final.name}.synced")
    old = final.with_name(f".{final.name}.old")
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
        faults.point(f"commit.{final.name}.moved")
    staged.rename(final)
    faults.point(f"commit.{final.name}.renamed")
    fsync_dir(final.parent)
    faults.point(f"commit.{final.name}.durable")
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(final: Path) -> None:
    """Undo the one half-done state that ``commit_folder`` can leave."""
    old = final.with_name(f".{final.name}.old")
    if old.exists():
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(final)


def cache_folder() -> Path:
    """The folder for what is kept across runs: converted models, answers of tools. Not made here."""
    named = os.environ.get("ITERTL_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "itertl"
