"""JSON Lines or one JSON array with places in the file, plain or gzipped, and their fields, checked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from itertl.errors import DataError
from itertl.runs.storage import read_bytes


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file:line", object). Blank lines are skipped; a byte order mark and CRLF do no harm.

    Raises DataError, naming file and line, for what is no JSON object, and for a file that cannot be read.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give a JSON Lines file")
    data = read_bytes(path)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        yield from (
            (f"{path}: item {number}", _object(value, f"{path}: item {number}"))
            for number, value in enumerate(_parsed(data, f"{path}:1"), 1)
        )
        return
    for number, raw in enumerate(data.split(b"\n"), 1):
        if raw.strip():
            yield f"{path}:{number}", _object(_parsed(raw, f"{path}:{number}"), f"{path}:{number}")


def _parsed(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error}); give one JSON object a line, or one array of objects") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: a {type(value).__name__}, not a JSON object; put one object a line")
    return value


def text_field(row: dict[str, Any], key: str, where: str) -> str:
    """The string at ``key``. Raises DataError that names place, key and what is there instead."""
    value = _required(row, key, where)
    if not isinstance(value, str):
        raise DataError(f"{where}: {key} is {_shown(value)}; make it a string")
    return value


def flag_field(row: dict[str, Any], key: str, where: str) -> bool:
    """The boolean at ``key``, False where it is absent or null."""
    value = row.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise DataError(f"{where}: {key} is {_shown(value)}; make it true or false")
    return value


def temperature_field(row: dict[str, Any], where: str) -> float | None:
    """The sampling temperature, None where it is absent or null."""
    value = row.get("temperature")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
        raise DataError(f"{where}: temperature is {_shown(value)}; make it a number, 0 (greedy) or more")
    return float(value)


def _required(row: dict[str, Any], key: str, where: str) -> Any:
    if key not in row:
        raise DataError(f"{where}: has no {key!r} (it has: {', '.join(sorted(row)) or 'nothing'}); add it")
    return row[key]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
