"""Which rows of a table are kept, and the message for a column that it does not have."""

from collections.abc import Mapping, Sequence
from typing import Any

from itertl.errors import DataError, nearest
from itertl.problems.cells import Counts
from itertl.runs.rows import SourceRow, Table

ANY = "any"  # a condition's value that lets every row pass: takes a default condition away


def listed(names: Sequence[str]) -> str:
    shown = [str(name) for name in names[:30]]
    return ", ".join(shown) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def nearest_column(name: str, known: Sequence[str]) -> str:
    return nearest(name, known, then=f"it has: {listed(known)}")


def check_filter(table: Table, conditions: Mapping[str, object]) -> None:
    """Raise DataError where a condition names a column that the table does not have."""
    for column in conditions:
        if column not in table.columns:
            raise DataError(
                f"{table.name}: the filter's column is not one of the table: {column!r}; "
                f"{nearest_column(column, table.columns)}"
            )


def passes(row: SourceRow, conditions: Mapping[str, object], counts: Counts) -> bool:
    """Whether a row meets every condition; the first one that it does not meet is counted."""
    for column, wanted in conditions.items():
        choices = wanted if isinstance(wanted, list | tuple | set) else [wanted]
        value = row.values.get(column)
        if not any(_equal(value, choice) for choice in choices):
            counts.skipped[f"filter: {column} is not {wanted}"] += 1
            return False
    return True


def _equal(value: Any, wanted: object) -> bool:
    """Equality that takes the text of a CSV cell for the number or truth value that it spells."""
    if isinstance(value, str) and not isinstance(wanted, str) and wanted is not None:
        if isinstance(wanted, bool):
            return value.strip().casefold() == str(wanted).casefold()
        try:
            return float(value) == wanted
        except ValueError:
            return False
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted
