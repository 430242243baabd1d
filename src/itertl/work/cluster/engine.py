"""The engine of ``compute.engine: ray``."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from itertl.config import ComputeConfig
from itertl.errors import RecipeError
from itertl.progress import Reporter
from itertl.work.cluster import connect
from itertl.work.cluster.actors import ClusterActors
from itertl.work.cluster.connect import Node
from itertl.work.cluster.group import run_group
from itertl.work.cluster.map import ClusterWorkers
from itertl.work.engine import GroupJob


class Cluster:
    """The nodes of a Ray cluster that may work."""

    def __init__(self, config: ComputeConfig, nodes: list[Node]) -> None:
        self.config, self.nodes = config, nodes

    def workers(self, function: str, num_workers: int = 0) -> ClusterWorkers:
        return ClusterWorkers(self.nodes, function, num_workers)

    def actors(self, make: str, arguments: Sequence[Any], count: int, reads: Sequence[Path] = ()) -> ClusterActors:
        config = self.config
        return ClusterActors(self.nodes, make, arguments, count, reads, config.storage, config.runtime_env)

    def group(self, job: GroupJob, processes: int, reporter: Reporter) -> Any:
        return run_group(self.nodes, job, processes, reporter)

    def processes(self, config: ComputeConfig) -> int:
        """Those of the recipe, else one for each GPU, else one for each node."""
        gpus, cpus = sum(node.gpus for node in self.nodes), sum(node.cpus for node in self.nodes)
        if config.strategy != "ddp" and not gpus:
            raise RecipeError(f"compute.strategy: {config.strategy} needs GPUs, and the cluster has none; use ddp")
        most, kind = (gpus, "GPUs") if gpus else (cpus, "CPUs")
        if config.processes is not None and config.processes > most:
            raise RecipeError(
                f"compute.processes: {config.processes}, but the cluster has {most} {kind}; leave it out, or give fewer"
            )
        if config.strategy != "ddp" and config.storage is None and len(self.nodes) > 1:
            raise RecipeError(
                f"compute.strategy: {config.strategy} saves its pieces on every node: set compute.storage, a folder "
                "that all nodes see"
            )
        return config.processes or gpus or len(self.nodes)

    def runs_at_once(self, config: ComputeConfig) -> int:
        """Where a run takes all of the cluster, one."""
        room = sum(node.gpus for node in self.nodes) or sum(node.cpus for node in self.nodes)
        return 1 if config.processes is None else max(1, room // config.processes)

    def is_apart(self, count: int) -> bool:
        return True

    def described(self) -> str:
        return f"ray at {self.config.address or 'auto'}, nodes: {', '.join(map(str, self.nodes))}"


@contextlib.contextmanager
def opened(config: ComputeConfig, look: str, say: Callable[[str], object]) -> Iterator[Cluster]:
    """See ``engine.using``."""
    with connect.connected(config.address or "auto"):
        yield Cluster(config, connect.admitted(look, say))
