"""Find a benchmark's files: at the path that the user gives, or under the folder that ``ITERTL_DATA`` names.

Benchmarks of other people are never bundled; each is read from a clone of its own repository.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from itertl.errors import DataError


def roots(name: str, data: Path | None, folders: Sequence[str], fetch: str) -> list[Path]:
    """Where to look: ``data`` alone, or ``ITERTL_DATA`` and its ``folders``. ``fetch`` says how to get the files.

    Raises DataError where neither is given, and where ``data`` does not exist.
    """
    if data is not None:
        if not data.exists():
            raise DataError(f"{name}: {data} does not exist; {fetch}")
        return [data]
    folder = os.environ.get("ITERTL_DATA")
    if not folder:
        raise DataError(
            f"{name}: needs the benchmark's files: {fetch} (or set ITERTL_DATA to the folder that holds them)"
        )
    return [Path(folder), *(Path(folder) / sub for sub in folders)]


def read(path: Path) -> str:
    """The text of a clone's file. Bytes that are not UTF-8 (an author's name, say) are replaced. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); get a fresh copy") from error
