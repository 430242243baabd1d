"""Files in: JSON Lines, JSON arrays, CSV/TSV and Parquet become rows that know their place in the file.

The content decides, not the file's name: a byte order mark, gzip, CRLF and an object around the list ({"data": […]})
are all read. What cannot be read raises DataError: "FILE:LINE: what; what to do". Values are not interpreted here.
"""

import contextlib
import csv
import gzip
import io
import json
import math
import stat
import zlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from itertl.errors import DataError

MAX_UNSIZED = 4 << 30  # bytes taken from a pipe or unpacked from gzip before it counts as endless
_WRAPPERS = ("data", "rows", "examples", "items", "train")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row. Example: ``SourceRow("pairs.jsonl:3", {"instruction": "…", "response": "…"})``."""

    where: str  # file and line, or file and row number, for messages
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one source, and all column names in order of first appearance."""

    name: str
    rows: tuple[SourceRow, ...]
    columns: tuple[str, ...]

    @staticmethod
    def of(name: str, rows: Iterable[SourceRow]) -> "Table":
        kept = tuple(rows)
        if not kept:
            raise DataError(f"{name}: holds no rows; give a file with at least one pair")
        return Table(name, kept, tuple(dict.fromkeys(column for row in kept for column in row.values)))


def read_bytes(path: Path) -> bytes:
    """The bytes of a file or pipe, unpacked where they are gzip. Raises DataError (path and fix), also for a device,
    which has no end, and for more than ``MAX_UNSIZED`` bytes of a pipe or packed file."""
    with _opened(path) as (handle, has_size):
        if has_size:
            return handle.read()
        parts: list[bytes] = []
        taken = 0
        while block := handle.read(1 << 20):
            taken += len(block)
            if taken > MAX_UNSIZED:
                raise DataError(
                    f"{path}: more than {MAX_UNSIZED >> 30} GiB came without an end; give a file, in parts if need be"
                )
            parts.append(block)
        return b"".join(parts)


@contextlib.contextmanager
def _opened(path: Path) -> Generator[tuple[BinaryIO, bool]]:
    """(the file's bytes, unpacked; whether it ends at a size that is known). The system's errors become DataError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: is a folder; give a file of it")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise DataError(f"{path}: is a device, not a file; give a file, a folder or a pipe")
        with path.open("rb") as handle:
            if handle.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(handle) as unpacked:
                    yield cast("BinaryIO", unpacked), False
            else:
                yield handle, stat.S_ISREG(mode)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); check the path and that the file is whole") from error


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (1-based line number, object) of a JSON Lines file as it is read; blank lines are skipped.

    Raises DataError, naming file and line, where the file is absent or a line is not a JSON object.
    """
    with _opened(path) as (handle, _):
        for number, raw in enumerate(handle, 1):
            if line := raw.strip():
                yield number, _object(_parse(line, str(path), number), f"{path}:{number}")


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """``objects`` of a file. Raises DataError."""
    yield from objects(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a file that holds JSON: half a surrogate pair, as this project's own files may hold, is read
    too."""
    return decode(read_bytes(path), str(path), "surrogatepass")


def is_array(text: str) -> bool:
    """Whether a file's text is one JSON array, not JSON Lines."""
    return text.lstrip().startswith("[")


def objects(text: str, name: str, *, is_strict: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, object) of each line of JSON Lines, or of each element of one JSON array.

    ``where`` is "FILE:LINE" or "FILE: item N" (1-based). ``is_strict``: numbers that JSON does not have, NaN and those
    out of range, are refused. Raises DataError.
    """
    if is_array(text):
        numbered = (
            (f"{name}: item {n}", value) for n, value in enumerate(_parse(text, name, 1, is_strict=is_strict), 1)
        )
    else:
        lines = ((n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip())
        numbered = ((f"{name}:{n}", _parse(line.lstrip("\ufeff"), name, n, is_strict=is_strict)) for n, line in lines)
    for where, value in numbered:
        yield where, _object(value, where)


def _parse(text: str | bytes, name: str, line: int, *, is_strict: bool = False) -> Any:
    """``json.loads``; ``line`` is where ``text`` begins in the file."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite) if is_strict else json.loads(text)
    except (ValueError, RecursionError) as error:
        at, reason = line, str(error)
        if isinstance(error, json.JSONDecodeError):
            at, reason = line + error.lineno - 1, f"{error.msg}, column {error.colno}"
        raise DataError(
            f"{name}:{at}: not JSON ({reason}); give one JSON object a line, or one array of objects"
        ) from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: a {type(value).__name__}, not a JSON object; each row must map names to values")
    return value


def decode(data: bytes, name: str, errors: str = "strict") -> str:
    """Text of UTF-8 bytes, or of UTF-16 where a byte order mark says so. Raises DataError with the line."""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}:{line}: not {encoding} text ({error.reason}); save the file as UTF-8") from error


def read_table(path: Path) -> Table:
    """Read any supported file. Raises DataError (file, line, and what to do)."""
    data = read_bytes(path)
    if data[:4] == b"PAR1":
        return Table.of(str(path), _parquet(data, str(path)))
    text = decode(data, str(path))
    first = text.lstrip()[:1]
    if not first:
        raise DataError(f"{path}: is empty; give a file with at least one pair")
    names = {suffix.lower() for suffix in path.suffixes}
    if first == "[" or first == "{":
        return Table.of(str(path), _json(text, str(path)))
    if names & {".csv", ".tsv"}:
        return Table.of(str(path), _csv(text, str(path), "\t" if ".tsv" in names else None))
    if names & {".json", ".jsonl", ".ndjson"}:
        line = text[: text.index(first)].count("\n") + 1
        raise DataError(
            f"{path}:{line}: starts with {first!r}, not with {{ or [; give JSON Lines or a JSON array of objects"
        )
    raise DataError(
        f"{path}: neither JSON, JSON Lines nor Parquet; name a comma- or tab-separated table .csv or .tsv, "
        "or give a folder of .v files"
    )


def _json(text: str, name: str) -> list[SourceRow]:
    """A JSON array, JSON Lines, or one object that holds the list."""
    rows: list[SourceRow] = []
    try:
        for where, value in objects(text, name):
            rows.append(SourceRow(where, value))
    except DataError:
        if rows or is_array(text):
            raise
        value = _parse(text, name, 1)  # one object over many lines, or a broken first line
        rows.append(SourceRow(f"{name}: item 1", _object(value, f"{name}: item 1")))
    return rows if is_array(text) else _unwrap(rows)


def _unwrap(rows: list[SourceRow]) -> list[SourceRow]:
    """Rows of ``{"data": [{…}, …]}``; anything else as it is."""
    if len(rows) == 1:
        for key in _WRAPPERS:
            inner = rows[0].values.get(key)
            if inner == [] and len(rows[0].values) == 1:
                return []
            if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
                name = rows[0].where.split(": item")[0]
                return [SourceRow(f"{name}: item {n}", item) for n, item in enumerate(cast("list[Any]", inner), 1)]
    return rows


def _csv(text: str, name: str, delimiter: str | None) -> list[SourceRow]:
    """Delimited text with a header line; an empty cell is a missing value (None)."""
    text = text.replace("\r\n", "\n")
    if delimiter is None:
        heading = text.lstrip("\n").split("\n", 1)[0]
        delimiter = max(",;\t|", key=heading.count)
    limit = csv.field_size_limit(len(text) + 1)  # the default of 128 KiB refuses long references
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[SourceRow] = []
    try:
        header = [cell.strip() for cell in next(line for line in reader if line)]
        if len(set(header)) < len(header):
            twice = next(column for column in header if header.count(column) > 1)
            raise DataError(f"{name}:{reader.line_num}: column {twice!r} occurs twice; rename one of them")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{name}:{reader.line_num}: {len(cells)} cells under {len(header)} columns; "
                    f"quote cells that hold {delimiter!r}, quotes or line ends"
                )
            values = {column: cell if cell else None for column, cell in zip(header, cells, strict=True)}
            rows.append(SourceRow(f"{name}:{reader.line_num}", values))
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: not well-formed CSV ({error}); check the quotes") from error
    finally:
        csv.field_size_limit(limit)
    return rows


def _parquet(data: bytes, name: str) -> list[SourceRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        # without threads: an error that ends the program while they wait made its end an abort, one time in some
        values = pyarrow.parquet.read_table(pyarrow.BufferReader(data), use_threads=False, pre_buffer=False).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{name}: not a whole Parquet file ({error}); download or write it again") from error
    return [SourceRow(f"{name}: row {number}", value) for number, value in enumerate(values, 1)]
