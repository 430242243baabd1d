"""Where work is done, chosen in one place: by this machine's processes, or by those of a Ray cluster.

An engine does three things: a map over items (``pool``), parts by actors (``actors``), and a process group (``group``).
What needs one asks for the one in use; ``using`` sets it for as long as a command works. Results do not depend on it.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from itertl.config import ComputeConfig
from itertl.errors import UsageError
from itertl.progress import Reporter
from itertl.work import devices, group
from itertl.work.actors import Actors
from itertl.work.pool import Outcome, Workers


@dataclass(frozen=True, slots=True)
class GroupJob:
    """What a process group does: ``function`` ("module:function") is called in each process with ``job`` and a
    reporter, and finds by ``places.here`` where what it reads and writes lies on its machine."""

    function: str
    job: Any
    compute: ComputeConfig
    folder: Path  # for what the processes exchange
    reads: Sequence[Path]
    writes: Sequence[Path]  # by the first process, at the end
    saves: Sequence[Path]  # on the way, so that another attempt goes on from there


class Engine(Protocol):
    """What does the work."""

    def workers(self, function: str, num_workers: int = 0) -> Workers: ...

    def actors(self, make: str, arguments: Sequence[Any], count: int, reads: Sequence[Path] = ()) -> Actors:
        """``reads``: files and folders that they need, of which ``places.here`` gives the path where they are."""
        ...

    def group(self, job: GroupJob, processes: int, reporter: Reporter) -> Any: ...

    def processes(self, config: ComputeConfig) -> int:
        """That sample, and that train together. Raises RecipeError."""
        ...

    def runs_at_once(self, config: ComputeConfig) -> int:
        """Runs of a study that there is room for."""
        ...

    def is_apart(self, count: int) -> bool:
        """Whether so many processes are others than this one."""
        ...

    def described(self) -> str:
        """For a plan, one line; "" for this machine."""
        ...


class Local:
    """This machine."""

    def workers(self, function: str, num_workers: int = 0) -> Workers:
        return Workers(function, num_workers)

    def actors(self, make: str, arguments: Sequence[Any], count: int, reads: Sequence[Path] = ()) -> Actors:
        return Actors(make, arguments, count)

    def group(self, job: GroupJob, processes: int, reporter: Reporter) -> Any:
        env = devices.group_environment(job.compute)
        return group.run_group(job.function, job.job, processes, job.folder, reporter=reporter, env=env)

    def processes(self, config: ComputeConfig) -> int:
        if config.engine != "local":
            raise UsageError(f"compute.engine: {config.engine} is not for this command, which works on this machine")
        return devices.processes(config)

    def runs_at_once(self, config: ComputeConfig) -> int:
        return max(1, len(devices.gpus()))

    def is_apart(self, count: int) -> bool:
        return count > 1

    def described(self) -> str:
        return ""


_current: Engine = Local()


def current() -> Engine:
    """The engine in use."""
    return _current


@contextlib.contextmanager
def using(config: ComputeConfig, look: str, say: Callable[[str], object]) -> Iterator[Engine]:
    """Use the recipe's engine; within another call, that one's.

    ``look``: "module:function" that tells of a machine what results depend on, by name: nodes of a cluster that differ
    from this machine are refused, which is said by ``say``. Raises RecipeError and ToolMissing where the cluster cannot
    be reached or used.
    """
    global _current
    if config.engine == "local" or not isinstance(_current, Local):
        yield _current
        return
    from itertl.work.cluster.engine import opened  # Ray, where it is chosen

    with opened(config, look, say) as engine:
        _current = engine
        try:
            yield engine
        finally:
            _current = Local()


def map_unordered(
    function: str, payloads: Iterable[Any], *, num_workers: int = 0, timeout_s: float = 60.0
) -> Iterator[tuple[int, Outcome]]:
    """``Workers.map_unordered`` with workers of the engine for this call alone."""
    with _current.workers(function, num_workers) as workers:
        yield from workers.map_unordered(payloads, timeout_s=timeout_s)
