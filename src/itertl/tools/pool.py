"""Disposable worker processes: a task that crashes or hangs its worker costs that task alone.

Workers are spawned (never forked from a process that holds a model), import the function by name once, and take one
task at a time. A worker that dies or overruns is killed with its process group and replaced; the task's outcome says
which. Results come as they finish; callers that need an order sort by task number.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

_IMPORT_S = 120.0  # for a fresh worker to import what it needs
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task. ``value`` holds the function's result exactly when ``status`` is "ok"."""

    status: Literal["ok", "raised", "crashed", "timeout"]
    value: Any = None
    detail: str = ""


class _Worker:
    def __init__(self, function: str) -> None:
        ours, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.connection: Connection = ours
        self.task: int | None = None
        self.deadline = float("inf")
        self.ready = False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.ready and self.process.pid is not None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(function: str, connection: Connection) -> None:
    """A worker's life: own process group, no terminal signals, one function."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    module, _, name = function.partition(":")
    call = getattr(import_module(module), name)
    connection.send(("ready", None))
    while True:
        try:
            payload = connection.recv()
        except EOFError:
            return
        try:
            result = ("ok", call(payload))
        except MemoryError:
            result = ("raised", "MemoryError")
        except BaseException as error:
            result = ("raised", f"{type(error).__name__}: {error}"[:500])
        connection.send(result)


class Workers:
    """Up to ``num_workers`` (0: one for each core) processes that call ``function`` ("module:name"), kept from one
    ``map_unordered`` to the next. Used as a context manager; leaving it kills them.
    """

    def __init__(self, function: str, num_workers: int = 0) -> None:
        self.function = function
        self.count = num_workers or os.cpu_count() or 1
        self._workers: list[_Worker] = []

    def map_unordered(self, payloads: Iterable[Any], *, timeout_s: float = 60.0) -> Iterator[tuple[int, Outcome]]:
        """Call the function on each payload; yield (payload's number, outcome) as they finish.

        Payloads and results must pickle. ``timeout_s`` counts from the moment a worker takes the task; a fresh worker's
        imports get 120 s of their own. An iterator that is not used to its end leaves busy workers: they are killed.
        """
        waiting = deque(enumerate(payloads))
        while len(self._workers) < min(self.count, len(waiting)):
            self._workers.append(_started(self.function))
        try:
            while waiting or any(w.task is not None for w in self._workers):
                yield from _turn(self._workers, waiting, self.function, timeout_s)
        finally:
            if waiting or any(w.task is not None for w in self._workers):
                self.close()

    def close(self) -> None:
        """Kill the workers; a later call starts new ones."""
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _started(function: str) -> _Worker:
    worker = _Worker(function)
    worker.deadline = time.monotonic() + _IMPORT_S
    return worker


def map_unordered(
    function: str, payloads: Iterable[Any], *, num_workers: int = 0, timeout_s: float = 60.0
) -> Iterator[tuple[int, Outcome]]:
    """``Workers.map_unordered`` with workers for this call alone. Closing the iterator early kills them."""
    with Workers(function, num_workers) as workers:
        yield from workers.map_unordered(payloads, timeout_s=timeout_s)


def _turn(
    workers: list[_Worker], waiting: "deque[tuple[int, Any]]", function: str, timeout_s: float
) -> list[tuple[int, Outcome]]:
    """Hand out tasks, wait for news, collect it. One step of ``map_unordered``."""
    for worker in workers:
        if worker.ready and worker.task is None and waiting:
            worker.task, payload = waiting.popleft()
            worker.deadline = time.monotonic() + timeout_s
            with contextlib.suppress(BrokenPipeError):
                worker.connection.send(payload)
    busy = [w for w in workers if w.task is not None or not w.ready]
    left = min(w.deadline for w in busy) - time.monotonic()
    ready = wait([w.connection for w in busy], timeout=max(0.0, min(left, 1.0)))
    news: list[tuple[int, Outcome]] = []
    for position, worker in enumerate(workers):
        outcome: Outcome | None = None
        if worker.connection in ready:
            try:
                status, value = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join(5)
                outcome = Outcome("crashed", detail=f"worker ended with status {worker.process.exitcode}")
            else:
                if status == "ready":
                    worker.ready, worker.deadline = True, float("inf")
                    continue
                outcome = Outcome("ok", value) if status == "ok" else Outcome("raised", detail=value)
        elif worker in busy and time.monotonic() > worker.deadline:
            outcome = Outcome("timeout", detail=f"no answer within {timeout_s:g} s")
        if outcome is None:
            continue
        if not worker.ready:
            raise RuntimeError(f"workers for {function} cannot start: {outcome.detail}")
        assert worker.task is not None
        news.append((worker.task, outcome))
        worker.task, worker.deadline = None, float("inf")
        if outcome.status in ("crashed", "timeout"):
            worker.kill()
            workers[position] = _started(function)
    return news
