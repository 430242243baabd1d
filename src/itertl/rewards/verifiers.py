"""A taskset of the library verifiers (its v1 interface): Verilog problems, rewarded by ``itertl.rewards``.

Not imported by the package: it needs that library. Rows are what ``itertl data export --for trl --kind rl`` writes. A
completion that cannot be judged by our fault gets no reward: the error that is raised is one that verifiers expects of
a task, notes on the trace and keeps out of training.
"""

import asyncio
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]

from itertl.errors import UsageError
from itertl.rewards.rewarder import Rewarder
from itertl.runs.rows import read_objects

__all__ = ["VerilogTaskset"]


class VerilogData(vf.TaskData):
    """One problem. ``ground_truth``: what ``itertl.rewards.answer`` reads."""

    ground_truth: str


class VerilogTaskConfig(vf.TaskConfig):
    """How answers are rewarded: as ``itertl.rewards.Rewarder``."""

    score: dict[str, Any] | str | None = None
    cache: str | bool = True


class VerilogTask(vf.Task[VerilogData, vf.State, VerilogTaskConfig]):
    """One problem with its reward."""

    @cached_property
    def _rewarder(self) -> Rewarder:
        return Rewarder(self.config.score, cache=self.config.cache)

    @vf.reward
    async def verilog(self, trace: vf.Trace) -> float:
        """z of the last reply; what it was made of goes into the trace. Raises TaskError where it was not judged."""
        [found] = await asyncio.to_thread(self._rewarder, [trace.last_reply], [self.data.ground_truth])
        trace.info["itertl"] = {
            "verdict": found.verdict, "detail": found.detail, "is_right": found.is_right,
            "scores": {name: dict(score) for name, score in found.scores.items()},
        }  # fmt: skip
        for name, score in found.scores.items():
            if score["value"] is not None:
                trace.record_metric(name, score["value"])
        if found.value is None:
            raise vf.TaskError(f"not judged ({found.verdict}): {found.detail}")
        trace.record_metric("right", float(found.is_right is True))
        return found.value


class VerilogConfig(vf.TasksetConfig):
    """``path``: the file of prompts with their ground truth."""

    path: Path | None = None
    task: VerilogTaskConfig = VerilogTaskConfig()


class VerilogTaskset(vf.Taskset[VerilogTask, VerilogConfig]):
    """The problems of a file."""

    def load(self) -> Iterator[VerilogTask]:
        """Raises UsageError without a path, DataError for a file that cannot be read."""
        if self.config.path is None:
            raise UsageError("the taskset needs path: the train.jsonl of itertl data export --for trl --kind rl")
        for where, row in read_objects(self.config.path):
            system, prompt = _asked(row, where)
            yield VerilogTask(
                VerilogData(
                    prompt=prompt, system_prompt=system, ground_truth=row["ground_truth"], id=row.get("problem_id")
                ),
                self.config.task,
            )


def _asked(row: dict[str, Any], where: str) -> tuple[str | None, str]:
    """System message and question of a row. Raises UsageError that names it."""
    prompt = row.get("prompt")
    texts = {"user": prompt} if isinstance(prompt, str) else {one["role"]: one["content"] for one in prompt or []}
    if "user" not in texts or not isinstance(row.get("ground_truth"), str):
        raise UsageError(f"{where}: needs prompt and ground_truth, as itertl data export --for trl --kind rl writes")
    return texts.get("system"), texts["user"]
