"""A process group on a Ray cluster: actors placed together, one a GPU or a share of a node's CPUs, that compute
together by torch.distributed as under ``group``.

Not Ray Train's TorchTrainer: it opens the group itself, by the host's name, which fails where a host has several
networks; it wants a folder that all nodes see; and it counts failures where only those without progress should count.
The processes work on files of their own machine. What the first one saves comes to the caller when it changes, and a
group that is begun again gets it: on the nodes that are left, with fewer processes where there is less room.
"""

import contextlib
import fcntl
import os
import socket
import struct
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from itertl.errors import ItertlError, ToolFailed
from itertl.progress import Reporter, check
from itertl.records import content_hash
from itertl.work import actors, children, devices, places
from itertl.work.cluster import connect, files
from itertl.work.cluster.actors import carried, resources
from itertl.work.cluster.connect import Node
from itertl.work.cluster.files import Parcel
from itertl.work.engine import GroupJob
from itertl.work.group import Events, Relay

_LOOK_S = 0.2  # from one look at the group to the next
_NODES_S = 5.0  # the same at the nodes
_AFTER_S = 2.0  # that the others get to say why, when one has failed
_GET_ADDRESS = 0x8915  # SIOCGIFADDR


class _Board:
    """Where the first process leaves what it says."""

    def __init__(self) -> None:
        self._events: list[tuple[Any, ...]] = []

    def post(self, *event: Any) -> None:
        self._events.append(event)

    def take(self) -> list[tuple[Any, ...]]:
        taken, self._events = self._events, []
        return taken


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a member is: its node, the address and a free port of it, and its GPUs."""

    node: str
    address: str
    port: int
    gpus: tuple[str, ...]


class _Member:
    """A process of the group."""

    def __init__(self, job: GroupJob, env: Mapping[str, str], reads: Sequence[Parcel], saves: Sequence[Parcel]) -> None:
        os.environ.update(env)
        children.quiet_libraries()
        self._job, self._own = job, files.own_folder()
        made = places_of(job, self._own / "made")
        for parcel in saves:
            parcel.become(made[str(parcel.path)])
        laid = {str(p.path): p.lay(self._own / "read" / f"{n}" / p.path.name) for n, p in enumerate(reads)}
        places.put(laid | made)

    def seat(self) -> Seat:
        address = ray.util.get_node_ip_address()
        with socket.socket() as free:
            free.bind((address, 0))
            port = free.getsockname()[1]
        gpus = tuple(str(gpu) for gpu in ray.get_gpu_ids())
        return Seat(ray.get_runtime_context().get_node_id(), address, port, gpus)

    def work(self, env: Mapping[str, str], board: Any) -> tuple[str, Any]:
        """("done", result), ("raised", an error of ours), or ("died", its traceback)."""
        os.environ.update(env)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _interface(ray.util.get_node_ip_address()))
        os.environ.update(devices.group_environment(self._job.compute))
        is_first = env.get("RANK", "0") == "0"
        relay = _ToBoard(board, self._job) if is_first else Relay(None)
        module, _, name = self._job.function.partition(":")
        try:
            result = getattr(import_module(module), name)(self._job.job, relay)
        except ItertlError as error:
            answer = "raised", actors.sendable(error)
        except Exception:
            answer = "died", traceback.format_exc()
        else:
            answer = "done", result
        if isinstance(relay, _ToBoard):
            relay.send_files(is_done=answer[0] == "done")
        return answer


class _ToBoard(Relay):
    """In the first process."""

    def __init__(self, board: Any, job: GroupJob) -> None:
        super().__init__(None)
        self._board, self._job = board, job
        self._sent = {path: _state(places.here(path)) for path in job.saves}

    def send(self, *event: Any) -> None:
        self.send_files(is_done=False)
        ray.get(self._board.post.remote(*event))

    def send_files(self, *, is_done: bool) -> None:
        """What has changed of what is saved; at the end what is written too, first."""
        now = {path: _state(places.here(path)) for path in self._job.saves}
        changed = [path for path in self._job.saves if now[path] != self._sent[path]]
        for path in [*(self._job.writes if is_done else ()), *changed]:
            at = places.here(path)
            parcel = files.pack(at, self._job.compute.storage) if at.exists() else None
            ray.get(self._board.post.remote("files", path, parcel))
        self._sent = now


def _state(path: Path) -> tuple[Any, ...]:
    """What tells one content of a file or folder from another: it is written aside and renamed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def places_of(job: GroupJob, own: Path) -> dict[str, Path]:
    """Where the processes write: in ``compute.storage``, else in a folder of their own; what lies side by side here
    lies side by side there."""
    root = own if job.compute.storage is None else _shared(job)
    every = [path.absolute() for path in (*job.writes, *job.saves)]
    parents = list(dict.fromkeys(path.parent for path in every))
    for number in range(len(parents)):
        (root / f"{number}").mkdir(parents=True, exist_ok=True)
    return {str(path): root / f"{parents.index(path.parent)}" / path.name for path in every}


def _shared(job: GroupJob) -> Path:
    return Path(str(job.compute.storage)) / f".itertl-{content_hash(str(job.folder.absolute()), 16)}"


def _interface(address: str) -> str:
    """The name of the network interface that has the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                row = fcntl.ioctl(asked.fileno(), _GET_ADDRESS, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(row[20:24]) == address:
                    return name
    return ""


def run_group(nodes: list[Node], job: GroupJob, processes: int, reporter: Reporter) -> Any:
    """See ``Engine.group``. Raises what the function raises in any process, and ToolFailed where the group dies three
    times without progress in between."""
    deaths, events = 0, Events(job.folder, reporter)
    reads = [files.pack(path, job.compute.storage) for path in job.reads]
    try:
        while True:
            before = dict(events.furthest)
            nodes = connect.check(nodes)
            processes = min(processes, _room(nodes))
            with contextlib.closing(_Group(nodes, job, processes, reads)) as group:
                kind, value = group.follow(events)
            if kind == "done":
                return value
            if kind == "raised":
                raise value
            deaths = 1 if events.furthest != before else deaths + 1
            if deaths >= children.ATTEMPTS:
                raise ToolFailed(
                    f"the group of {processes} processes died {deaths} times at the same place on the cluster; the "
                    f"last time: {value}"
                )
            left = min(processes, _room(connect.check(nodes)))
            reporter.say(f"a process of the group died; all {left} are started again")
    finally:
        events.close()
        if job.compute.storage is not None:
            files.remove(_shared(job))


def _room(nodes: Sequence[Node]) -> int:
    return sum(node.gpus for node in nodes) or sum(node.cpus for node in nodes)


class _Group:
    """One attempt."""

    def __init__(self, nodes: list[Node], job: GroupJob, processes: int, reads: Sequence[Parcel]) -> None:
        self._nodes, self._job, self._looked = nodes, job, time.monotonic()
        asked = resources(nodes, processes)
        bundle = {"CPU": asked["num_cpus"], **({"GPU": 1.0} if "num_gpus" in asked else {})}
        self._placement = placement_group(
            [bundle] * processes, strategy="PACK", bundle_label_selector=[connect.on(nodes)] * processes
        )
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._board = connect.remote(_Board, num_cpus=0).options(scheduling_strategy=here).remote()
        made = places_of(job, job.folder) if job.compute.storage is not None else {}
        for path in (path for path in job.saves if made and path.exists()):
            Parcel(path).become(made[str(path.absolute())])
        saves = [files.pack(path, None) for path in job.saves if not made and path.exists()]
        kind = connect.remote(_Member, max_restarts=0, max_task_retries=0, **asked)
        self._members = [
            kind.options(
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._placement, number)
            ).remote(job, carried(), reads, saves)
            for number in range(processes)
        ]  # fmt: skip

    def follow(self, events: Events) -> tuple[str, Any]:
        """To its end: ("done", result), ("raised", error) or ("died", how)."""
        try:
            seats = self._wait([member.seat.remote() for member in self._members], events)
            if isinstance(seats, str):
                return "died", seats
            ranked = environments(seats)
            refs = [
                member.work.remote(env, self._board)
                for member, env in zip(self._members, ranked, strict=True)
            ]  # fmt: skip
            answers = self._wait(refs, events)
            if isinstance(answers, str):
                return "died", answers
            first = next(number for number, env in enumerate(ranked) if env.get("RANK", "0") == "0")
            return answers[first]
        except RayError as error:
            return "died", connect.said(error)

    def _wait(self, refs: Sequence[Any], events: Events) -> list[Any] | str:
        """All their values; how one died. Raises an error of ours that one of them met."""
        left, failed_at, how = list(refs), None, ""
        while left and (failed_at is None or time.monotonic() < failed_at + _AFTER_S):
            check()
            done, left = ray.wait(left, num_returns=1, timeout=_LOOK_S)
            self._pass_on(events)
            if time.monotonic() > self._looked + _NODES_S:
                self._nodes, self._looked = connect.check(self._nodes), time.monotonic()
                if _room(self._nodes) < len(self._members):
                    return how or "a node is gone"
            for ref in done:
                value: Any
                try:
                    value = ray.get(ref)
                except RayError as error:
                    value = "died", connect.said(error)
                if isinstance(value, tuple) and value[0] == "raised":
                    raise value[1]
                if isinstance(value, tuple) and value[0] == "died":
                    failed_at, how = failed_at or time.monotonic(), how or value[1]
        self._pass_on(events)
        return how if failed_at is not None else [ray.get(ref) for ref in refs]

    def _pass_on(self, events: Events) -> None:
        for kind, *rest in ray.get(self._board.take.remote()):
            if kind != "files":
                events.take(kind, *rest)
                continue
            path, parcel = rest
            with contextlib.suppress(RayError):  # it was lost with its owner; what was saved before stays
                parcel.become(path) if parcel is not None else files.remove(path)

    def close(self) -> None:
        for handle in (*self._members, self._board):
            with contextlib.suppress(RayError, RuntimeError):
                ray.kill(handle)
        with contextlib.suppress(RayError, RuntimeError):
            remove_placement_group(self._placement)


def environments(seats: Sequence[Seat]) -> list[dict[str, str]]:
    """What makes torch.distributed a group of the members: those of a node have ranks that follow each other, and see
    the node's GPUs together. Nothing for a single process."""
    if len(seats) == 1:
        return [{}]
    order = sorted(range(len(seats)), key=lambda number: (seats[number].address, seats[number].node, number))
    first, found = seats[order[0]], [dict[str, str]() for _ in seats]
    for rank, number in enumerate(order):
        mates = [other for other in order if seats[other].node == seats[number].node]
        gpus = [gpu for other in mates for gpu in seats[other].gpus]
        found[number] = {
            "RANK": f"{rank}", "WORLD_SIZE": f"{len(seats)}", "LOCAL_RANK": f"{mates.index(number)}",
            "LOCAL_WORLD_SIZE": f"{len(mates)}", "MASTER_ADDR": first.address, "MASTER_PORT": f"{first.port}",
            **({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}),
        }  # fmt: skip
    return found
