"""Workers: actors that do parts in turn, and groups that compute together; what a death of one of them costs."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from itertl.config import ComputeConfig, load_recipe
from itertl.errors import DataError, RecipeError, ToolFailed
from itertl.loop.run import run
from itertl.progress import QUIET, Reporter
from itertl.records import Candidate, TrainStep
from itertl.runs.storage import read_records
from itertl.work import devices
from itertl.work.actors import Actors
from itertl.work.group import first_death, run_group

HERE = Path(__file__).parent
SMOKE = HERE.parent / "recipes" / "smoke.yaml"


def run_parts(make: str, arguments: Sequence[Any], parts: Sequence[Any], count: int) -> Iterator[tuple[int, Any]]:
    with contextlib.closing(Actors(make, arguments, count)) as actors:
        yield from actors.run(parts)


@pytest.mark.slow
def test_actors_stay_for_later_parts_until_one_fails() -> None:
    with contextlib.closing(Actors("work_cases:process", (), 2)) as actors:
        assert not actors.are_there
        first = {value for _, value in actors.run(range(4))}
        assert {value for _, value in actors.run(range(4))} | {value for _, value in actors.run([0])} == first
        assert {number for number, _ in first} == {0, 1}
        with pytest.raises(DataError, match="below zero"):
            list(actors.run([-1]))
        assert not actors.are_there
        assert not first & {value for _, value in actors.run(range(4))}


def test_parts_are_done_once_each_by_all_actors_together() -> None:
    assert dict(run_parts("work_cases:squares", (100,), range(7), 2)) == {n: 100 + n * n for n in range(7)}
    assert list(run_parts("work_cases:squares", (100,), [], 2)) == []


def test_what_a_part_raises_is_raised() -> None:
    with pytest.raises(DataError, match="part -1 is below zero"):
        list(run_parts("work_cases:squares", (0,), [1, -1], 2))


def test_a_dead_actor_is_replaced_and_its_part_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_KILL_AT", "actor.part:2")
    monkeypatch.setenv("ITERTL_KILL_ONCE", str(tmp_path / "mark"))
    assert dict(run_parts("work_cases:squares", (0,), range(5), 1)) == {n: n * n for n in range(5)}
    assert (tmp_path / "mark").exists()


def test_three_deaths_of_one_part_end_the_stage_with_the_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_KILL_AT", "actor.part:1")
    with pytest.raises(ToolFailed, match=r"killed its worker 3 times .*\(SIGKILL\), as when memory.*\n  doing 4"):
        list(run_parts("work_cases:squares", (0,), [4], 1))


class Heard(Reporter):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []

    def say(self, text: object) -> None:
        self.said.append(str(text))


def count(folder: Path, reporter: Reporter = QUIET, **job: Any) -> Any:
    job = {"to": 4, "saved": str(folder / "saved"), **job}
    env = {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return run_group("work_cases:member", job, 2, folder / "group", reporter=reporter, env=env)


def test_a_group_computes_together_and_a_death_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last sum is 3 + (3 + 1) = 7. One of the two is killed at its third step; the group goes on from what
    was saved."""
    monkeypatch.setenv("ITERTL_KILL_AT", "member.step:3")
    monkeypatch.setenv("ITERTL_KILL_ONCE", str(tmp_path / "mark"))
    heard = Heard()
    assert count(tmp_path, heard) == [7, 2]
    assert heard.said == ["a process of the group died; all 2 are started again", "counted"]
    assert (tmp_path / "mark").exists() and not (tmp_path / "group").exists()


@pytest.mark.slow
def test_an_error_of_ours_in_a_member_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="number 2 is bad"):
        count(tmp_path, bad=2)
    assert not (tmp_path / "group").exists()


@pytest.mark.slow
def test_three_deaths_at_one_place_end_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 1 is killed each time, and process 0 fails as it loses its connection: the message is of the former."""
    monkeypatch.setenv("ITERTL_KILL_AT", "member.second:1")
    with pytest.raises(ToolFailed) as caught:
        count(tmp_path)
    assert str(caught.value) == (
        "the group of 2 processes died 3 times at the same place (the last time process 1 first: killed by signal 9 "
        "(SIGKILL), as when memory runs out); the last lines of its log:\n  process 1 begins"
    )


def test_the_first_death_is_the_one_that_the_others_followed() -> None:
    """Of (second, exit status): a kill before a lost connection, both before what the launcher ended."""
    assert first_death({0: (10, 1), 1: (10, -9), 2: (10, -15)}) == 1
    assert first_death({0: (10, -15), 1: (10, 1)}) == 1
    assert first_death({0: (41, -9), 1: (10, 1)}) == 1  # 0 did not end when it was asked to


def run_smoke(out: Path, processes: int) -> Path:
    """One iteration; its folder."""
    settings = ["iterations=1", "data.limit=4", "evals=[]", f"compute.processes={processes}", "sample.batch_size=4"]
    run(load_recipe(SMOKE, settings), out, reporter=QUIET)
    return out / "iter-00"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The iteration of a run on one process."""
    return run_smoke(tmp_path_factory.mktemp("alone") / "run", 1)


def test_two_processes_draw_as_one(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError("the draws are done")

    monkeypatch.setattr("itertl.training.launch.train", stop)
    with pytest.raises(InterruptedError, match="the draws are done"):
        run_smoke(tmp_path / "run", 2)
    folder = tmp_path / "run" / "iter-00"
    assert len(read_records(folder / "candidates.jsonl", Candidate)) == 12
    for name in ("candidates.jsonl", "scored.jsonl"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes()


def test_two_processes_train_as_one(alone: Path, tmp_path: Path) -> None:
    """From the same draws: the other run's folder without its checkpoint, which is made again."""
    shutil.copytree(alone.parent, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "iter-00" / "checkpoint")
    (tmp_path / "run" / "iter-00" / "train.jsonl").unlink()
    folder = run_smoke(tmp_path / "run", 2)
    assert (folder / "checkpoint" / "model.safetensors").is_file() and not (folder / "checkpoint.group").exists()
    one, two = (read_records(at / "train.jsonl", TrainStep) for at in (alone, folder))
    assert [row.loss for row in two] == pytest.approx([row.loss for row in one], rel=1e-4)
    assert [row.groups for row in two] == [row.groups for row in one]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("point", ["sample.batch:1", "group.begun", "train.step:2", "train.before-manifest"])
def test_a_killed_driver_leaves_no_worker_and_the_same_command_goes_on(point: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "itertl", "run", str(SMOKE), "iterations=1", "compute.processes=2", "--out"]
    mark = f"killed-{os.getpid()}-{re.sub('[^a-z]', '', point)}"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ITERTL_TEST_MARK": mark}
    for name, more in (
        ("killed", {"ITERTL_KILL_AT": point, "ITERTL_KILL_ONCE": str(tmp_path / "mark")}),
        ("killed", {}),
        ("calm", {}),
    ):
        subprocess.run([*command, str(tmp_path / name)], env={**env, **more}, check=False, capture_output=True)
        deadline = time.monotonic() + 10
        while processes_with(mark) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_with(mark) == []
    assert (tmp_path / "mark").exists()
    for name in ("iter-00/candidates.jsonl", "iter-00/checkpoint/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_at_every_stage_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "itertl", "run", str(SMOKE), "iterations=1", "--out"]

    def go(name: str, processes: int, point: str = "") -> int:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "ITERTL_CACHE": str(tmp_path / f"cache-{name}")}
        asked = [*command, str(tmp_path / name), f"compute.processes={processes}"]
        return subprocess.run(asked, env={**env, "ITERTL_KILL_AT": point}, capture_output=True).returncode

    points = (
        (2, "eval-synth-heldout.before-manifest"), (1, "sample.batch:1"), (2, "sample.before-manifest"),
        (1, "score.item:3"), (2, "group.begun"), (1, "train.step:2"), (2, "train.before-manifest"),
    )  # fmt: skip
    assert [go("killed", processes, point) for processes, point in points] == [-9] * len(points)
    assert (go("killed", 1), go("calm", 1)) == (0, 0)
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    for name in ("iter-00/candidates.jsonl", "iter-00/scored.jsonl", "base/eval-synth-heldout.jsonl"):
        assert (killed / name).read_bytes() == (calm / name).read_bytes(), name
    after, wanted = (load_file(run / "iter-00/checkpoint/model.safetensors") for run in (killed, calm))
    for name, weight in wanted.items():
        torch.testing.assert_close(after[name], weight, rtol=1e-4, atol=1e-5)


def processes_with(mark: str) -> list[int]:
    """Living processes that have the mark in their environment."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"ITERTL_TEST_MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_a_run_is_not_launched_as_a_group(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "itertl", "run", str(SMOKE), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, env={**os.environ, "WORLD_SIZE": "2", "RANK": "0"}, capture_output=True, text=True)
    assert done.returncode == 2 and "compute.processes" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "out").exists()


def test_processes_are_those_of_the_recipe_or_one_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.processes(ComputeConfig()) == 1 and devices.processes(ComputeConfig(processes=3)) == 3
    with pytest.raises(RecipeError, match=r"compute.strategy: fsdp needs GPUs"):
        devices.processes(ComputeConfig(strategy="fsdp"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert devices.processes(ComputeConfig()) == 2
    with pytest.raises(RecipeError, match=r"compute.processes: 3, but there are 2 GPUs"):
        devices.processes(ComputeConfig(processes=3))


def test_the_group_s_environment_makes_the_strategy_that_is_tested_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """On GPUs accelerate takes its plugins from the environment: they come out as test_training_processes puts them in."""
    from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    for name, value in devices.group_environment(ComputeConfig(strategy="fsdp")).items():
        monkeypatch.setenv(name, value)
    by_hand = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", state_dict_type="SHARDED_STATE_DICT",
        cpu_ram_efficient_loading=False, reshard_after_forward=True,
    )  # fmt: skip
    made = FullyShardedDataParallelPlugin()
    for name in ("fsdp_version", "auto_wrap_policy", "state_dict_type", "reshard_after_forward"):
        assert getattr(made, name) == getattr(by_hand, name), name
    assert str(made.cpu_ram_efficient_loading).lower() == "false"
    for name, value in devices.group_environment(ComputeConfig(strategy="deepspeed")).items():
        monkeypatch.setenv(name, value)
    assert DeepSpeedPlugin().zero_stage == 2
