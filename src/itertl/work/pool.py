"""Disposable worker processes: a task that crashes or hangs its worker costs that task alone.

Workers are spawned (never forked from a process that holds a model), import the function by name once, and take one
task at a time. A worker that dies or overruns is killed with its process group and replaced; the task's outcome says
which. Results come as they finish; callers that need an order sort by task number. What a task used up (processor time,
by SIGPROF; memory, by MemoryError or by a look at its worker and all that it started) is distinguished from a crash and
a stall.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from itertl.errors import ToolFailed
from itertl.sandbox.totals import descendants, resident_bytes
from itertl.work import children

_IMPORT_S = 120.0  # for a fresh worker to import what it needs
ALL = "memory of all its processes"  # how a detail begins where a look found too much
_LOOK_S = 0.1  # from one look at the memory of long tasks to the next
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task. ``value`` holds the function's result exactly when ``status`` is "ok"; "spent": the task
    used up the memory or the processor time that its worker had, whatever else the machine did."""

    status: Literal["ok", "raised", "crashed", "timeout", "spent"]
    value: Any = None
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """One call. ``memory_mb``: resident, of the worker and all that it starts; None: not looked at."""

    number: int
    payload: Any
    timeout_s: float
    memory_mb: int | None = None


class _Worker:
    def __init__(self, function: str) -> None:
        ours, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(function, theirs, os.getpid()), daemon=True)
        with children.starting():
            self.process.start()
        theirs.close()
        self.connection: Connection = ours
        self.task: Job | None = None
        self.deadline = float("inf")
        self.ready = False
        self.began = self.looked = 0.0
        self.most_mb = 0  # resident, at any look during the task

    def begin(self, job: Job) -> None:
        self.task, self.began, self.most_mb = job, time.monotonic(), 0
        self.looked, self.deadline = self.began, self.began + job.timeout_s
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(job.payload)

    def look(self) -> int:
        """Resident memory now, in MiB, of the worker and all that it started: where the task is a long one, and not too
        often."""
        now, pid = time.monotonic(), self.process.pid
        if self.task is None or self.task.memory_mb is None or pid is None or now < self.looked + _LOOK_S:
            return 0
        self.looked = now
        resident = resident_bytes({pid, *descendants(pid)}) >> 20
        self.most_mb = max(self.most_mb, resident)
        return resident

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.ready and self.process.pid is not None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(function: str, connection: Connection, parent: int) -> None:
    """A worker's life: own process group, no terminal signals, one function."""
    os.setpgid(0, 0)
    children.serve(parent)
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
            result = ("spent", "memory")
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
        return self.work(deque(Job(number, payload, timeout_s) for number, payload in enumerate(payloads)))

    def work(self, waiting: "deque[Job]") -> Iterator[tuple[int, Outcome]]:
        """As ``map_unordered``, of jobs; who takes an outcome may put another job into ``waiting`` in its place.

        A job that is put first goes to the worker that brought the outcome, unless several came at once.
        """
        while len(self._workers) < min(self.count, len(waiting)):
            self._workers.append(_started(self.function))
        try:
            while waiting or any(w.task is not None for w in self._workers):
                yield from _turn(self._workers, waiting, self.function)
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


def _turn(workers: list[_Worker], waiting: "deque[Job]", function: str) -> list[tuple[int, Outcome]]:
    """Hand out tasks, wait for news, collect it. One step of ``Workers.work``."""
    for worker in workers:
        if worker.ready and worker.task is None and waiting:
            worker.begin(waiting.popleft())
    busy = [w for w in workers if w.task is not None or not w.ready]
    left = min(w.deadline for w in busy) - time.monotonic()
    longest = _LOOK_S if any(w.task is not None and w.task.memory_mb is not None for w in busy) else 1.0
    ready = wait([w.connection for w in busy], timeout=max(0.0, min(left, longest)))
    news: list[tuple[int, Outcome]] = []
    for position, worker in enumerate(workers):
        outcome = _news(worker, worker.connection in ready) if worker in busy else None
        if outcome is None:
            continue
        if worker.task is None:
            raise ToolFailed(f"workers for {function} cannot start: {outcome.detail}")
        news.append((worker.task.number, replace(outcome, seconds=time.monotonic() - worker.began)))
        is_large = worker.task.memory_mb is not None and worker.most_mb > worker.task.memory_mb // 2
        worker.task, worker.deadline = None, float("inf")
        if is_large or outcome.status not in ("ok", "raised"):
            worker.kill()
            workers[position] = _started(function)
    return news


def _news(worker: _Worker, has_spoken: bool) -> Outcome | None:
    """What became of a busy worker's task, if that is known."""
    if has_spoken:
        try:
            status, value = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(5)
            return _ended(worker, worker.process.exitcode)
        if status == "ready":
            worker.ready, worker.deadline = True, float("inf")
            return None
        return Outcome("ok", value) if status == "ok" else Outcome(status, detail=value)
    if time.monotonic() > worker.deadline:
        timeout_s = worker.task.timeout_s if worker.task is not None else _IMPORT_S
        return Outcome("timeout", detail=f"no answer within {timeout_s:g} s")
    resident, limit = worker.look(), worker.task.memory_mb if worker.task is not None else None
    return Outcome("spent", detail=f"{ALL}: more than {limit} MiB") if limit is not None and resident > limit else None


def _ended(worker: _Worker, status: int | None) -> Outcome:
    """Of a worker that is gone. A native library that gets no memory may end its process: the last looks show it."""
    if status == -signal.SIGPROF:
        return Outcome("spent", detail="processor time")
    limit = worker.task.memory_mb if worker.task is not None else None
    is_abrupt = status in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL)
    if is_abrupt and limit is not None and worker.most_mb > limit // 4:
        return Outcome("spent", detail=f"memory: {worker.most_mb} MiB when its process ended")
    return Outcome("crashed", detail=f"worker: {children.ending(status)}")
