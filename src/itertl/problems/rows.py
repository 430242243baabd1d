"""Tables in: JSON array, JSON Lines, CSV/TSV or Parquet becomes rows that know where they stand.

The content decides, not the file's name: a byte order mark, gzip, CRLF and an object around the list ({"data": […]})
are all read. What cannot be read raises DataError with file, line and the fix; values are not interpreted here.
"""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.errors import DataError
from itertl.runs.storage import read_bytes

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


def decode(data: bytes, name: str) -> str:
    """Text of UTF-8 bytes, or of UTF-16 where a byte order mark says so. Raises DataError with the line."""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
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
        line = text[: len(text) - len(text.lstrip())].count("\n") + 1
        raise DataError(
            f"{path}:{line}: starts with {first!r}, not with {{ or [; give JSON Lines or a JSON array of objects"
        )
    raise DataError(
        f"{path}: neither JSON, JSON Lines nor Parquet; name a comma- or tab-separated table .csv or .tsv, "
        "or give a folder of .v files"
    )


def _json(text: str, name: str) -> list[SourceRow]:
    """A JSON array, JSON Lines, or one object that holds the list."""
    if text.lstrip().startswith("["):
        return _items(_parse(text, name, 1), name)
    rows: list[SourceRow] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = _parse(line, name, number)
        except DataError:
            if rows:
                raise
            value = _parse(text, name, 1)  # one object over many lines, or a broken first line
            return _unwrap([SourceRow(f"{name}: item 1", _object(value, f"{name}: item 1"))])
        rows.append(SourceRow(f"{name}:{number}", _object(value, f"{name}:{number}")))
    return _unwrap(rows)


def _parse(text: str, name: str, line: int) -> Any:
    """``json.loads``; ``line`` is where ``text`` begins in the file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name}:{line + error.lineno - 1}: not JSON ({error.msg}, column {error.colno}); "
            "give one JSON object a line, or one array of objects"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}:{line}: cannot be read as JSON ({error}); simplify this value") from error


def _items(values: Any, name: str) -> list[SourceRow]:
    return [SourceRow(f"{name}: item {n}", _object(value, f"{name}: item {n}")) for n, value in enumerate(values, 1)]


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: a {type(value).__name__}, not a JSON object; each row must map columns to values")
    return value


def _unwrap(rows: list[SourceRow]) -> list[SourceRow]:
    """Rows of ``{"data": [{…}, …]}``; anything else as it is."""
    if len(rows) == 1:
        for key in _WRAPPERS:
            inner = rows[0].values.get(key)
            if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
                return _items(inner, rows[0].where.split(": item")[0])
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
