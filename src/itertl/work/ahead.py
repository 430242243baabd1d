"""Scoring and judging ahead: what has been sampled is worked on while the rest is being sampled.

Nothing is kept here. The work fills the caches by content, and the stage that comes after sampling finds most of its
answers there; its result is the same as without. Where sampling runs on these processor cores itself nothing would be
gained, so ``sampling.stage`` calls no one then. Mistakes and stalls of work done ahead are of no consequence: the stage
does it again.
"""

import queue
import threading
from collections.abc import Callable, Sequence

from itertl.records import Candidate

_AT_ONCE = 128  # candidates: leaving waits for those that are being worked on


class Ahead:
    """Calls ``work`` on what it is given, in a thread of its own, in order. Used as a context manager."""

    def __init__(self, work: Callable[[Sequence[Candidate]], object]) -> None:
        self._work = work
        self._waiting: queue.SimpleQueue[list[Candidate] | None] = queue.SimpleQueue()
        self._is_left = False
        self._thread = threading.Thread(target=self._run, name="itertl-ahead", daemon=True)

    def __call__(self, candidates: Sequence[Candidate]) -> None:
        """Hand over a finished batch. Returns at once."""
        self._waiting.put(list(candidates))

    def _run(self) -> None:
        while not self._is_left:
            some = self._waiting.get()
            while some is not None and len(some) < _AT_ONCE and not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    return
                some += more
            if some is None or self._is_left:
                return
            try:
                self._work(some)
            except Exception:  # the stage meets it too, and says so
                return

    def __enter__(self) -> "Ahead":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_left = True
        self._waiting.put(None)
        if exception[0] is None:
            self._thread.join()
