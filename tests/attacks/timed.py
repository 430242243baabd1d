"""What a worker process does for the attack suite: the judge's own work, with the time of each program noted."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from itertl.evaluation import worker
from itertl.sandbox import sandbox


@dataclass(frozen=True, slots=True)
class Timed:
    """A task's result, its seconds, and (seconds, limit in seconds) of each program that it started."""

    value: Any
    seconds: float
    programs: tuple[tuple[float, float], ...]


def work(task: worker.Task) -> Timed:
    """``worker.work``, timed."""
    start = time.monotonic()
    with _noted() as programs:
        value = worker.work(task)
    return Timed(value, time.monotonic() - start, tuple(programs))


@contextmanager
def _noted() -> Iterator[list[tuple[float, float]]]:
    programs: list[tuple[float, float]] = []
    original = sandbox.run_steps

    def run_steps(steps: Sequence[Sequence[str]], **options: Any) -> list[sandbox.Completed]:
        limits = options["limits"]
        done = original(steps, **options)
        programs.extend((one.seconds, limit.wall_s) for one, limit in zip(done, limits, strict=False))
        return done

    sandbox.run_steps = run_steps
    try:
        yield programs
    finally:
        sandbox.run_steps = original
