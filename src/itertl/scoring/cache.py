"""Scores kept across runs, by content: the same code against the same reference is scored once on a machine.

Kept are scores that the same text will get again, so no faults of ours and no timeouts.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from itertl.records import Fault, Score, Verdict
from itertl.work.content_cache import ContentCache


def is_lasting(score: Score) -> bool:
    """Whether the same item would get the same score on a less busy machine."""
    return score.verdict.fault is not Fault.OURS and score.verdict is not Verdict.TIMEOUT


class ScoreCache:
    """Scores by key in ``folder/scores.sqlite``; ``folder`` None: no cache. Used as a context manager."""

    def __init__(self, folder: Path | None) -> None:
        self._texts = ContentCache(folder, "scores")

    def get(self, keys: Iterable[str]) -> dict[str, Score]:
        """The scores that are known, by key. An entry that cannot be read is as good as none."""
        found: dict[str, Score] = {}
        for key, text in self._texts.get(keys).items():
            with contextlib.suppress(ValidationError):
                found[key] = Score.model_validate_json(text)
        return found

    def put(self, key: str, score: Score) -> None:
        """Keep a score, if it is one that lasts."""
        if is_lasting(score):
            with contextlib.suppress(UnicodeEncodeError, ValueError):  # a detail that JSON in UTF-8 cannot hold
                self._texts.put(key, score.model_dump_json())

    def __enter__(self) -> "ScoreCache":
        self._texts.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._texts.__exit__(kind, error, tb)
