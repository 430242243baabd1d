"""Answers kept across runs, by content: what was asked of a tool once is not asked again on the same machine.

One SQLite file, safe with several runs at once. It is only ever a saving: a corrupt file is deleted and
started again, one that cannot be opened or written is not used, and either is logged. Callers keep only what the
same question will get again: no faults of this project and no timeouts.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterable
from pathlib import Path

_LOG = logging.getLogger(__name__)
_BATCH = 200  # answers written in one transaction


class ContentCache:
    """Texts by key in ``folder/NAME.sqlite``; ``folder`` None: no cache. Used as a context manager.

    >>> with ContentCache(folder, "scores") as cache:      # doctest: +SKIP
    ...     known = cache.get(keys)
    ...     cache.put(key, text)                           # written in batches and at the end
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self.path = None if folder is None else folder / f"{name}.sqlite"
        self._pending: dict[str, str] = {}
        self._database = self._open()

    def _open(self) -> sqlite3.Connection | None:
        if self.path is None:
            return None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return _connect(self.path)
        except (OSError, sqlite3.OperationalError) as error:  # locked, read-only, no space
            _LOG.warning("%s: cache not used (%s)", self.path, error)
            return None
        except sqlite3.DatabaseError as error:
            return self._begin_anew(error)

    def _begin_anew(self, error: sqlite3.DatabaseError) -> sqlite3.Connection | None:
        assert self.path is not None
        _LOG.warning("%s: cache is corrupt (%s); deleted and started again", self.path, error)
        try:
            for suffix in ("", "-journal"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            return _connect(self.path)
        except (OSError, sqlite3.Error) as again:
            _LOG.warning("%s: cache not used (%s)", self.path, again)
            return None

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """The texts that are known, by key."""
        found: dict[str, str] = {}
        if self._database is None:
            return found
        try:
            for key in keys:
                row = self._database.execute("SELECT text FROM answers WHERE key = ?", (key,)).fetchone()
                if row is not None and isinstance(row[0], str):
                    found[key] = row[0]
        except sqlite3.DatabaseError as error:
            self._database.close()
            is_corrupt = not isinstance(error, sqlite3.OperationalError)
            self._database = self._begin_anew(error) if is_corrupt else None
        return found

    def put(self, key: str, text: str) -> None:
        """Keep a text. One that UTF-8 cannot hold is not kept."""
        if self._database is None:
            return
        with contextlib.suppress(UnicodeEncodeError):
            text.encode("utf-8")
            self._pending[key] = text
        if len(self._pending) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._database is None or not self._pending:
            return
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", list(self._pending.items()))
        except sqlite3.Error as error:
            _LOG.warning("%s: cache not written (%s)", self.path, error)
            self._database.close()
            self._database = None
        self._pending = {}

    def __enter__(self) -> "ContentCache":
        return self

    def __exit__(self, *exception: object) -> None:
        self._flush()
        if self._database is not None:
            self._database.close()


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30)
    try:
        database.execute("PRAGMA synchronous = OFF")  # a lost entry is asked again
        database.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
        database.execute("SELECT count(*) FROM answers WHERE key = ''").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database
