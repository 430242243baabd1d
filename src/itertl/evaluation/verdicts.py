"""Verdicts and references' runs that are known already: from the log of a call that was stopped, or from other runs."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from itertl.judging.outcomes import Judgement
from itertl.judging.strict import Said
from itertl.records import Fault, Verdict
from itertl.runs.storage import AppendLog
from itertl.work.content_cache import ContentCache


class VerdictCache:
    """``folder/verdicts.sqlite`` and the log ``partial``, either of them None for none. Used as a context manager.

    The log keeps every verdict that is no fault of ours; the cache, which other runs read, also leaves out timeouts.
    """

    def __init__(self, folder: Path | None, partial: Path | None) -> None:
        self._texts = ContentCache(folder, "verdicts")
        self._log = AppendLog(partial) if partial is not None else None
        self._logged: dict[str, Any] = {}
        for entry in self._log.existing if self._log is not None else []:
            with contextlib.suppress(KeyError, TypeError):
                self._logged[str(entry["key"])] = entry["found"]

    def verdicts(self, keys: Iterable[str]) -> dict[str, Judgement]:
        """The verdicts that are known, by key. What has another shape is not known."""
        asked = list(keys)
        found: dict[str, Judgement] = {}
        for source in (self._from_cache(asked), self._logged):
            for key in asked:
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    verdict, detail = source[key]
                    found[key] = (Verdict(verdict), str(detail))
        return found

    def put_verdict(self, key: str, judgement: Judgement) -> None:
        """Keep a verdict, if it is not our fault."""
        verdict, detail = judgement
        if verdict.fault is not Fault.OURS:
            self._put(key, [verdict.value, detail], is_lasting=verdict is not Verdict.TIMEOUT)

    def said(self, key: str) -> Said | Judgement | None:
        """What a reference said, or the judgement on it under a rule without a run of its own; None: not known."""
        known = self._logged.get(key, self._from_cache([key]).get(key))
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if isinstance(known, dict):
                return Said(None, tuple(str(line) for line in known["lines"]))
            if known is not None:
                verdict, detail = known
                return Verdict(verdict), str(detail)
        return None

    def put_said(self, key: str, said: Said | Judgement | None) -> None:
        """Keep what a reference said where that was right; what went wrong is tried again by the next call."""
        if isinstance(said, Said):
            if said.stopped is None and said.lines:
                self._put(key, {"lines": list(said.lines)}, is_lasting=True)
        elif said is not None and said[0] is Verdict.PASSED:
            self._put(key, [said[0].value, said[1]], is_lasting=True)

    def _from_cache(self, keys: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, text in self._texts.get(keys).items():
            with contextlib.suppress(ValueError):
                found[key] = json.loads(text)
        return found

    def _put(self, key: str, found: Any, *, is_lasting: bool) -> None:
        if self._log is not None:
            self._log.append([{"key": key, "found": found}])
        if is_lasting:
            self._texts.put(key, json.dumps(found, ensure_ascii=False))

    def __enter__(self) -> "VerdictCache":
        self._texts.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._texts.__exit__(kind, error, tb)
        if self._log is not None:
            self._log.close()
