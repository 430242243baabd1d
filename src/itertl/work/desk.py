"""The desk: distinct questions are asked of tools once, over worker processes, and the answers remembered.

Questions go by key, a content hash of all that the answer depends on. What is known already comes from the journal of a
call that was stopped, else from the cache of earlier calls (``content_cache``); what workers bring is written to both.
The ``Form`` of an answer says whose fault it is, and so which answers are kept where: the callers differ in it.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from itertl import faults
from itertl.work import engine
from itertl.work.content_cache import ContentCache
from itertl.work.pool import Outcome, Workers

Answer = TypeVar("Answer")
Name = TypeVar("Name")
Entry = TypeVar("Entry")


class Journal(Protocol):
    """A log of work in progress, such as ``runs.storage.AppendLog``: entries that survived, and more of them."""

    existing: list[dict[str, Any]]

    def append(self, objects: Iterable[dict[str, Any]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Form(Generic[Answer]):
    """How the answers of one caller are written and read back; None, either way, is for one that is to be asked again.

    Reading may raise LookupError, TypeError or ValueError where an entry has another shape: it is as good as none.
    """

    name: str  # of the cache's file
    point: str  # of ``faults``, passed after each answer that was journalled
    logged: Callable[[Answer], dict[str, Any] | None]  # a journal's entry, but for its key
    from_log: Callable[[dict[str, Any]], Answer | None]
    kept: Callable[[Answer], str | None]  # for the cache: what the same question gets on a less busy machine too
    from_cache: Callable[[str], Answer | None]


class Desk(Generic[Answer]):
    """One call's questions. ``cache``: folder of answers kept across calls; None: none. Used as a context manager.

    >>> with Desk(form, "module:function", cache=folder) as desk:      # doctest: +SKIP
    ...     answers = dict(desk.ask(questions, judged, timeout_s=60))
    """

    def __init__(
        self,
        form: Form[Answer],
        worker: str,
        *,
        num_workers: int = 0,
        cache: Path | None = None,
        journal: Journal | None = None,
        workers: Workers | None = None,
    ) -> None:
        """``workers``: the caller's own, who keeps them; None: the engine's, of this call alone."""
        self.form, self._is_host = form, workers is not None
        self.workers = workers or engine.current().workers(worker, num_workers)
        self._journal, self._logged = journal, dict[str, dict[str, Any]]()
        for entry in journal.existing if journal is not None else []:
            with contextlib.suppress(LookupError, TypeError):
                self._logged[str(entry["key"])] = entry
        self._texts = ContentCache(cache, form.name)

    def known(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that are known, by key: the journal's, which this call would have had, before the cache's."""
        asked = list(keys)
        found = _read(self._texts.get(asked), self.form.from_cache)
        return found | _read({key: self._logged[key] for key in asked if key in self._logged}, self.form.from_log)

    def keep(self, key: str, answer: Answer) -> None:
        """Write an answer down where its form says so."""
        entry = self.form.logged(answer)
        if self._journal is not None and entry is not None:
            self._journal.append([{"key": key, **entry}])
            faults.point(self.form.point)
        with contextlib.suppress(ValueError):  # what JSON in UTF-8 cannot hold
            text = self.form.kept(answer)
            if text is not None:
                self._texts.put(key, text)

    def ask(
        self, questions: Mapping[str, Any], answered: Callable[[str, Outcome], Answer], *, timeout_s: float
    ) -> Iterator[tuple[str, Answer]]:
        """(key, answer) of each question: what is known at once, the others as they come, and kept.

        ``questions``: by key, what the worker is given. ``answered``: what an outcome amounts to.
        """
        known = self.known(questions)
        yield from known.items()
        for key, outcome in self.outcomes({k: q for k, q in questions.items() if k not in known}, timeout_s=timeout_s):
            answer = answered(key, outcome)
            self.keep(key, answer)
            yield key, answer

    def outcomes(
        self, tasks: Mapping[Name, Any], *, timeout_s: float, again: Callable[[Outcome], bool] = lambda outcome: False
    ) -> Iterator[tuple[Name, Outcome]]:
        """What came of each task, in the order in which they end.

        Where ``again`` says so, a task has a second try, alone.
        """
        names, twice = list(tasks), list[Name]()
        for number, outcome in self.workers.map_unordered(tasks.values(), timeout_s=timeout_s):
            if again(outcome):
                twice.append(names[number])
            else:
                yield names[number], outcome
        for name in twice:
            [(_, outcome)] = self.workers.map_unordered([tasks[name]], timeout_s=timeout_s)
            yield name, outcome

    def rest(self) -> None:
        """End the workers, unless they are the caller's."""
        if not self._is_host:
            self.workers.close()

    def __enter__(self) -> "Desk[Answer]":
        return self

    def __exit__(self, *exception: object) -> None:
        self.rest()
        self._texts.__exit__(*exception)


def _read(entries: Mapping[str, Entry], read: Callable[[Entry], Answer | None]) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for key, entry in entries.items():
        with contextlib.suppress(LookupError, TypeError, ValueError):
            answer = read(entry)
            if answer is not None:
                found[key] = answer
    return found
