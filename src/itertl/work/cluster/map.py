"""A map over the processors of a Ray cluster: tasks of one CPU each, every one with some jobs for a disposable worker
that lives on its node.

What a job may use, and what becomes of it where it crashes, stalls or uses up its bound, is decided on the node by
``pool.Workers`` as on one machine. A task that is lost with its node is done again elsewhere.
"""

import contextlib
import sys
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from itertl.errors import ItertlError, ToolFailed
from itertl.progress import check
from itertl.work import children
from itertl.work.cluster import connect
from itertl.work.cluster.connect import Node
from itertl.work.pool import Job, Outcome, Workers

_TASK_S = 0.5  # of work in one task: against some milliseconds that a task costs
_MOST = 64  # jobs in one task
_LOOK_S = 5.0  # without an answer, until the nodes are looked at


class ClusterWorkers(Workers):
    """``Workers`` on the nodes of a cluster, one for each CPU."""

    def __init__(self, nodes: list[Node], function: str, num_workers: int = 0) -> None:
        cpus = sum(node.cpus for node in nodes)
        self.function, self.count = function, min(num_workers or cpus, cpus)
        self._at_once = self.count if self.count < cpus else 2 * cpus  # so that the next lies ready
        self._nodes, self._seconds = nodes, _TASK_S / 2
        self._begin = _CHUNK.options(label_selector=connect.on(nodes))
        self._busy: dict[Any, list[Job]] = {}

    def work(self, waiting: deque[Job]) -> Iterator[tuple[int, Outcome]]:
        """See ``Workers.work``. Raises ToolFailed where one job's tasks are lost three times, or all nodes are."""
        losses = Counter[int]()
        try:
            while waiting or self._busy:
                check()
                while waiting and len(self._busy) < self._at_once:
                    share = len(waiting) / self._at_once
                    count = max(1, int(min(_TASK_S / self._seconds, share, _MOST)))
                    jobs = [waiting.popleft() for _ in range(count)]
                    self._busy[self._begin.remote(self.function, jobs)] = jobs
                done, _ = ray.wait(list(self._busy), num_returns=1, timeout=_LOOK_S)
                if not done:
                    self._nodes = connect.check(self._nodes)
                for ref in done:
                    yield from self._taken(ref, waiting, losses)
        finally:
            if waiting or self._busy:
                self.close()

    def _taken(self, ref: Any, waiting: deque[Job], losses: Counter[int]) -> list[tuple[int, Outcome]]:
        """The outcomes of a task; none where it was lost: then its jobs wait again."""
        jobs = self._busy.pop(ref)
        try:
            outcomes: list[tuple[int, Outcome]] = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, ItertlError) else ToolFailed(connect.said(error)) from error
        except RayError as error:  # its process, its node, or what it had made
            self._nodes = connect.check(self._nodes)
            losses.update(job.number for job in jobs)
            if max(losses.values()) >= children.ATTEMPTS:
                raise ToolFailed(
                    f"a task of the cluster was lost {children.ATTEMPTS} times (the last: {connect.said(error)}); the "
                    "same command goes on"
                ) from error
            waiting.extendleft(reversed(jobs))
            return []
        mean = sum(outcome.seconds for _, outcome in outcomes) / len(outcomes)
        self._seconds = max(1e-4, 0.7 * self._seconds + 0.3 * mean)
        return outcomes

    def close(self) -> None:
        """End what is being done; a later call begins anew."""
        for ref in self._busy:
            with contextlib.suppress(RayError, RuntimeError):
                ray.cancel(ref, force=True)
        self._busy = {}


_kept: dict[str, Workers] = {}  # of this process on a node: the worker that the last task had


def _chunk(function: str, jobs: list[Job]) -> list[tuple[int, Outcome]]:
    """On a node: do the jobs, one after the other."""
    if function not in _kept:
        for other in _kept.values():
            other.close()
        _kept.clear()
        children.quiet_libraries()
        vars(sys.modules["__main__"]).pop("__file__", None)  # Ray's program, which spawned workers would import
        _kept[function] = Workers(function, 1)
    return list(_kept[function].work(deque(jobs)))


_CHUNK = connect.remote(_chunk, num_cpus=1, max_retries=0)
