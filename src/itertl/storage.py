"""Files that are either complete or absent, and append-only logs that survive a torn last line.

``write_*`` write aside in the same folder, fsync, rename, fsync the folder. ``AppendLog`` is for work in progress
(``NAME.partial``); the stage that owns it sorts it into its final file and removes it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import ValidationError

from itertl import faults
from itertl.errors import DataError
from itertl.records import Record

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
    """Write ``data`` so that ``path`` is old or new, never torn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with aside.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    aside.replace(path)
    fsync_dir(path.parent)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON Lines, atomically."""
    write_text(path, "".join(record.to_line() + "\n" for record in records))


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, indented, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (1-based line number, object) of a JSON Lines file; blank lines are skipped.

    Raises DataError, naming file and line, where the file is absent or a line is no JSON object.
    """
    try:
        handle = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    with handle:
        for number, raw in enumerate(handle, 1):
            if not raw.strip():
                continue
            try:
                value = json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: not JSON ({error}); each line must be one JSON object") from error
            if not isinstance(value, dict):
                raise DataError(f"{path}:{number}: a {type(value).__name__}, not a JSON object; put one object a line")
            yield number, value


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


class AppendLog:
    """An append-only JSON Lines file for work in progress; opening it drops a torn last line.

    >>> with AppendLog(path) as log:          # doctest: +SKIP
    ...     done = log.existing                # objects that survived
    ...     log.append([{"key": 1}])           # flushed to the system before it returns
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.existing: list[dict[str, Any]] = []
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
        self._handle = path.open("ab")
        self._handle.truncate(keep)

    def append(self, objects: Iterable[dict[str, Any]]) -> None:
        """Write all objects in one go and flush: after a kill they are all there or cut at the end."""
        data = "".join(json.dumps(o, ensure_ascii=False, allow_nan=False) + "\n" for o in objects)
        self._handle.write(data.encode("utf-8", "surrogatepass"))
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> "AppendLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
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
