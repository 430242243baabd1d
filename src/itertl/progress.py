"""Progress of a stage on stderr: a bar with time left on a terminal, a line now and then elsewhere, nothing if quiet.

Here a stage also learns that it must end: a Ctrl-C that arrives inside a library's C code or lazy import can be
swallowed there, or come out as that import's failure. ``interrupt`` notes it, and the next unit of work raises it
again.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_INTERVAL_S = 15.0
_asked: list[int] = []  # signals that asked this process to end


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Handler of SIGINT and SIGTERM for the command line.

    Raises KeyboardInterrupt, here and, where that gets lost, in ``check``.
    """
    _asked.append(number)
    raise KeyboardInterrupt


def is_interrupted() -> bool:
    return bool(_asked)


def check() -> None:
    """Raise a KeyboardInterrupt that was requested and got lost; not where one is being handled, for example by
    saving what is done."""
    if _asked and sys.exc_info()[1] is None:
        raise KeyboardInterrupt


class Tracker:
    """Handed to the stage that does the work; this one shows nothing."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """So many units are done. ``note``: a short text after the bar ("loss 0.41")."""
        check()


SILENT = Tracker()


class _Bar(Tracker):
    def __init__(self, progress: Progress, task: object) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1, note: str = "") -> None:
        check()
        self._progress.update(self._task, advance=amount, note=note)  # type: ignore[arg-type]


class _Lines(Tracker):
    """At most one line every ``_INTERVAL_S`` seconds, with the time left estimated from the pace so far."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self.name, self.total, self.done, self.first = name, total, done, done
        self.start = self.last = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        check()
        self.done += amount
        now = time.monotonic()
        if now - self.last < _INTERVAL_S:
            return
        self.last = now
        if not self.total:
            print(f"{self.name}: {self.done} done {note}".rstrip(), file=sys.stderr, flush=True)
            return
        left = (now - self.start) / max(1, self.done - self.first) * (self.total - self.done)
        print(f"{self.name}: {self.done}/{self.total}, {left:.0f} s left {note}".rstrip(), file=sys.stderr, flush=True)


class Reporter:
    """Where stages say what they do. ``quiet``: nothing at all (``--json``, tests)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.on_measured: Callable[[Mapping[str, float], int], None] | None = None  # of a run with trackers
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: object) -> None:
        """One line, or any rich renderable."""
        self.console.print(text)

    def measured(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of one training step, for trackers; dropped where there is none."""
        if self.on_measured is not None:
            self.on_measured(values, step)

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Tracker]:
        """Track ``total`` units of work (0: not known), of which ``done`` were found on disk."""
        check()
        if self.quiet:
            yield SILENT
        elif self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            )  # fmt: skip
            with Progress(*columns, console=self.console) as progress:
                yield _Bar(progress, progress.add_task(name, total=total or None, completed=done, note=""))
        else:
            start = time.monotonic()
            yield _Lines(name, total, done)
            print(f"{name}: done in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


QUIET = Reporter(quiet=True)
