"""The fields of a benchmark's or a samples' row, checked."""

from typing import Any

from itertl.errors import DataError


def text_field(row: dict[str, Any], key: str, where: str) -> str:
    """The string at ``key``. Raises DataError that names place, key and what is there instead."""
    if key not in row:
        raise DataError(f"{where}: has no {key!r} (it has: {', '.join(sorted(row)) or 'nothing'}); add it")
    value = row[key]
    if not isinstance(value, str):
        raise DataError(f"{where}: {key} is {_shown(value)}; make it a string")
    return value


def flag_field(row: dict[str, Any], key: str, where: str) -> bool:
    """The boolean at ``key``, False where it is absent or null."""
    value = row.get(key)
    if value is not None and not isinstance(value, bool):
        raise DataError(f"{where}: {key} is {_shown(value)}; make it true or false")
    return bool(value)


def temperature_field(row: dict[str, Any], where: str) -> float | None:
    """The sampling temperature, None where it is absent or null."""
    value = row.get("temperature")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
        raise DataError(f"{where}: temperature is {_shown(value)}; make it a number, 0 (greedy) or more")
    return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
