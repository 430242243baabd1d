"""What the actors and groups of test_work.py do; each of their processes imports this, so it imports little."""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from itertl import faults
from itertl.errors import DataError
from itertl.progress import Reporter


def squares(number: int, base: int) -> Callable[[int], int]:
    def do(part: int) -> int:
        if part < 0:
            raise DataError(f"part {part} is below zero")
        print(f"doing {part}", file=sys.stderr, flush=True)
        return base + part * part

    return do


def process(number: int) -> Callable[[int], tuple[int, int]]:
    def do(part: int) -> tuple[int, int]:
        if part < 0:
            raise DataError(f"part {part} is below zero")
        return number, os.getpid()

    return do


def member(job: dict[str, Any], reporter: Reporter) -> list[int]:
    """Counts to ``job["to"]`` on every process, saving as it goes; adds up over the group."""
    import torch
    import torch.distributed as group

    group.init_process_group("gloo")
    rank, saved = int(os.environ["RANK"]), Path(job["saved"])
    begin = int(saved.read_text()) if saved.exists() else 0
    total = torch.zeros(1)
    warnings.warn_explicit("a remark of a library", FutureWarning, "torch/__init__.py", 1, module="torch.some")
    print(f"process {rank} begins", file=sys.stderr, flush=True)
    with reporter.stage("count", job["to"], begin) as tracker:
        for number in range(begin, job["to"]):
            if number == job.get("bad"):
                raise DataError(f"number {number} is bad")
            if rank == 1:
                faults.point("member.second")
            total = torch.tensor([float(number + rank)])
            group.all_reduce(total)
            faults.point("member.step")
            if rank == 0 and number != job.get("unsaved"):
                saved.write_text(str(number + 1))
            tracker.advance(1)
    reporter.say("counted")
    group.destroy_process_group()
    return [int(total), group.get_world_size() if group.is_initialized() else int(os.environ["WORLD_SIZE"])]


def double(number: int) -> int:
    """Of a number; below zero it ends its process, or hangs."""
    if number == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -2:
        time.sleep(600)
    return 2 * number
