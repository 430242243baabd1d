"""Scores kept across runs, by content: the same code against the same reference is scored once on a machine.

One SQLite file, safe with several runs at once. It is only ever a saving: a file that is corrupt is put aside and begun
anew, one that cannot be opened or written is done without, and either is said on the log. Kept are scores that the same
text will get again, so no faults of ours and no timeouts.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from itertl.records import Fault, Score, Verdict

_LOG = logging.getLogger(__name__)
_BATCH = 200  # scores written in one transaction


def is_lasting(score: Score) -> bool:
    """Whether the same item would get the same score on a less busy machine."""
    return score.verdict.fault is not Fault.OURS and score.verdict is not Verdict.TIMEOUT


class ScoreCache:
    """Scores by key in ``folder/scores.sqlite``; ``folder`` None: no cache. Used as a context manager.

    >>> with ScoreCache(folder) as cache:      # doctest: +SKIP
    ...     known = cache.get(keys)
    ...     cache.put(key, score)              # written in batches and at the end
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / "scores.sqlite"
        self._pending: dict[str, str] = {}
        self._database = self._open()

    def _open(self) -> sqlite3.Connection | None:
        if self.path is None:
            return None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return _connect(self.path)
        except sqlite3.OperationalError as error:  # locked, read-only, no space
            _LOG.warning("%s: score cache not used (%s)", self.path, error)
        except sqlite3.DatabaseError as error:
            return self._begin_anew(error)
        except OSError as error:
            _LOG.warning("%s: score cache not used (%s)", self.path, error)
        return None

    def _begin_anew(self, error: sqlite3.DatabaseError) -> sqlite3.Connection | None:
        assert self.path is not None
        _LOG.warning("%s: score cache is corrupt (%s); dropped and begun anew", self.path, error)
        try:
            for suffix in ("", "-journal"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            return _connect(self.path)
        except (OSError, sqlite3.Error) as again:
            _LOG.warning("%s: score cache not used (%s)", self.path, again)
            return None

    def get(self, keys: Iterable[str]) -> dict[str, Score]:
        """The scores that are known, by key. An entry that cannot be read is as good as none."""
        found: dict[str, Score] = {}
        if self._database is None:
            return found
        try:
            for key in keys:
                row = self._database.execute("SELECT score FROM scores WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    with contextlib.suppress(ValidationError):
                        found[key] = Score.model_validate_json(row[0])
        except sqlite3.DatabaseError as error:
            self._database.close()
            is_corrupt = not isinstance(error, sqlite3.OperationalError)
            self._database = self._begin_anew(error) if is_corrupt else None
        return found

    def put(self, key: str, score: Score) -> None:
        """Keep a score, if it is one that lasts."""
        if self._database is not None and is_lasting(score):
            with contextlib.suppress(UnicodeEncodeError, ValueError):  # a detail that JSON in UTF-8 cannot hold
                self._pending[key] = score.model_dump_json()
            if len(self._pending) >= _BATCH:
                self._flush(self._pending)

    def _flush(self, pending: Mapping[str, str]) -> None:
        if self._database is None or not pending:
            return
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", list(pending.items()))
        except sqlite3.Error as error:
            _LOG.warning("%s: score cache not written (%s)", self.path, error)
            self._database.close()
            self._database = None
        self._pending = {}

    def __enter__(self) -> "ScoreCache":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._flush(self._pending)
        if self._database is not None:
            self._database.close()


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30)
    try:
        database.execute("PRAGMA synchronous = OFF")  # a lost entry costs one scoring
        database.execute("CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, score TEXT NOT NULL)")
        database.execute("SELECT count(*) FROM scores WHERE key = ''").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database
