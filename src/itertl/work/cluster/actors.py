"""Actors on a Ray cluster: one for each GPU, or for a share of a node's CPUs.

Parts are given to those that have begun, so one that waits for a free node holds nothing up. An actor that dies with
its node, or alone, is begun again elsewhere and its part is done again; three deaths of one part on nodes that live end
the stage.
"""

import contextlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from itertl.errors import ToolFailed
from itertl.progress import check
from itertl.work import actors, children, places
from itertl.work.cluster import connect, files
from itertl.work.cluster.connect import Node
from itertl.work.cluster.files import Parcel

_LOOK_S = 5.0
CARRIED = ("OMP_NUM_THREADS", "ITERTL_PRECISION")  # of the environment: the bytes of floats depend on them


def resources(nodes: Sequence[Node], count: int) -> dict[str, float]:
    """What each of ``count`` processes takes: a GPU, or an equal share of the CPUs of a node."""
    if any(node.gpus for node in nodes):
        return {"num_gpus": 1, "num_cpus": 1}
    on_a_node = -(-count // len(nodes))
    return {"num_cpus": max(1, min(node.cpus for node in nodes) // on_a_node)}


def carried() -> dict[str, str]:
    """What processes on other machines take over of this one's environment."""
    return {name: os.environ[name] for name in CARRIED if name in os.environ}


class _Host:
    """An actor's process."""

    def __init__(self, env: Mapping[str, str], parcels: Sequence[Parcel]) -> None:
        os.environ.update(env)
        children.quiet_libraries()
        folder = files.own_folder()
        places.put({str(p.path): p.lay(folder / f"{n}" / p.path.name) for n, p in enumerate(parcels)})
        self._do: Callable[[Any], Any] | None = None

    def begun(self) -> None:
        """Answers when it can work."""

    def work(self, make: str, number: int, arguments: Sequence[Any], part: Any) -> tuple[str, Any]:
        module, _, name = make.partition(":")
        try:
            self._do = self._do or getattr(import_module(module), name)(number, *arguments)
            assert self._do is not None
            return "done", self._do(part)
        except Exception as error:
            return "raised", actors.sendable(error)


_HOST = connect.remote(_Host, max_restarts=0, max_task_retries=0)


@dataclass(slots=True)
class _Actor:
    handle: Any
    number: int
    part: int | None = None


class ClusterActors(actors.Actors):
    """``Actors`` on the nodes of a cluster."""

    def __init__(
        self, nodes: list[Node], make: str, arguments: Sequence[Any], count: int, reads: Sequence[Path],
        storage: str | None, runtime_env: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        super().__init__(make, arguments, count)
        self._nodes, self._reads, self._storage = nodes, reads, storage
        env = {} if runtime_env is None else {"runtime_env": dict(runtime_env)}
        self._options = {**resources(nodes, count), **env, "scheduling_strategy": "SPREAD"}
        self._parcels: list[Parcel] = []
        self._waited: dict[Any, _Actor] = {}  # by what is waited for: that one has begun, or its part
        self._idle: list[_Actor] = []

    @property
    def are_there(self) -> bool:
        return bool(self._waited or self._idle)

    def run(self, parts: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See ``Actors.run``."""
        waiting, deaths = deque(range(len(parts))), Counter[int]()
        is_done = False
        try:
            for number in range(len(self._waited) + len(self._idle), min(self._count, len(parts))):
                self._begin(number)
            left = len(parts)
            while left:
                check()
                self._give(waiting, parts)
                done, _ = ray.wait(list(self._waited), num_returns=1, timeout=_LOOK_S)
                if not done:
                    self._nodes = connect.check(self._nodes)
                for ref in done:
                    for part, value in self._taken(ref, waiting, deaths, len(parts)):
                        left -= 1
                        self._give(waiting, parts)
                        yield part, value
            is_done = True
        finally:
            if not is_done:
                self.close()

    def _begin(self, number: int) -> None:
        if not self._parcels:
            self._parcels = [files.pack(path, self._storage) for path in self._reads]
        made = _HOST.options(label_selector=connect.on(self._nodes), **self._options)
        handle = made.remote(carried(), self._parcels)
        self._waited[handle.begun.remote()] = _Actor(handle, number)

    def _give(self, waiting: deque[int], parts: Sequence[Any]) -> None:
        while waiting and self._idle:
            actor = self._idle.pop(0)
            actor.part = waiting.popleft()
            ref = actor.handle.work.remote(self._make, actor.number, self._arguments, parts[actor.part])
            self._waited[ref] = actor

    def _taken(self, ref: Any, waiting: deque[int], deaths: Counter[int], count: int) -> Iterator[tuple[int, Any]]:
        """The part that was done; none where the actor has just begun, or died."""
        actor = self._waited.pop(ref)
        part, actor.part = actor.part, None
        try:
            answer = ray.get(ref)
        except RayError as error:
            before, self._nodes = len(self._nodes), connect.check(self._nodes)
            if not isinstance(error, RayActorError) and part is None:
                raise ToolFailed(f"an actor of the cluster cannot begin: {connect.said(error)}") from error
            with contextlib.suppress(RayError):
                ray.kill(actor.handle)
            if part is not None:
                waiting.appendleft(part)
            number = -1 if part is None else part
            deaths[number] += len(self._nodes) == before  # not the part's doing where its node is gone
            if deaths[number] >= children.ATTEMPTS:
                what = "an actor" if part is None else f"part {part + 1} of {count}"
                raise ToolFailed(
                    f"{what} died {deaths[number]} times on the cluster (the last: {connect.said(error)}); the logs of "
                    "Ray on that node (/tmp/ray/session_latest/logs) say more"
                ) from error
            self._begin(actor.number)
            return
        self._idle.append(actor)
        if answer is None:
            return
        kind, value = answer
        if kind == "raised":
            raise value
        assert part is not None
        yield part, value

    def close(self) -> None:
        """End them all. Later parts begin new ones."""
        for actor in [*self._waited.values(), *self._idle]:
            with contextlib.suppress(RayError, RuntimeError):
                ray.kill(actor.handle)
        self._waited, self._idle, self._parcels = {}, [], []
