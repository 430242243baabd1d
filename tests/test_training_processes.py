"""Several processes take the same steps as one: copies of the weights (DDP), pieces of them (FSDP), DeepSpeed; over gloo.

accelerate chooses the last two for GPUs alone, so the tests put their plugins in place by hand; what shards, saves and loads is
their own.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import training_cases as cases
from itertl.model.load import load_model
from itertl.records import TrainStep
from itertl.runs import storage

SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
options = json.loads(sys.argv[4])
kind, method, settings = options["kind"], options["method"], options["settings"]
if kind == "fsdp":
    from accelerate import PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
    from itertl.training import session
    make = session._accelerator
    def sharded(config, tracking):
        made = make(config, tracking)
        made.state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
        made.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", state_dict_type="SHARDED_STATE_DICT",
            cpu_ram_efficient_loading=False, reshard_after_forward=True,
        )
        return made
    session._accelerator = sharded
if kind == "deepspeed":
    import deepspeed
    from accelerate import DeepSpeedPlugin, PartialState
    from accelerate.utils import DistributedType
    from itertl.training import session
    make = session._accelerator
    def with_engine(config, tracking):
        made = make(config, tracking)
        deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False)
        made.state.distributed_type = PartialState().distributed_type = DistributedType.DEEPSPEED
        plugin = DeepSpeedPlugin(zero_stage=options["zero_stage"])
        made.state.deepspeed_plugins = {"only": plugin}
        plugin.select(_from_accelerator_state=True)
        made.deepspeed_engine_wrapped = None
        return made
    session._accelerator = with_engine
import training_cases as cases
model, tokenizer = cases.tiny(Path(sys.argv[3]))
made = cases.case(5, tokenizer)
print(cases.run_stage(Path(sys.argv[2]), model, made.problems, made.rows, method, groups_per_step=3, save_every_steps=1, **settings))
"""


def launch(
    folder: Path,
    cache: Path,
    processes: int,
    kind: str = "ddp",
    method: str = "itertl",
    kill_at: str = "",
    zero_stage: int = 2,
    gets_there: bool = True,
    **settings: object,
) -> None:
    """Run a round on so many processes. ``gets_there``: to the point where it is to be killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # a large epsilon: Adam else turns the rounding of a gradient near zero into a step of the full learning rate
    options = json.dumps(
        {
            "kind": kind,
            "method": method,
            "zero_stage": zero_stage,
            "settings": {"epochs": 3, "epsilon": 1e-3, **settings},
        }
    )
    started: list[subprocess.Popen[str]] = []
    for rank in range(processes):
        env = {
            **os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "RANK": str(rank), "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "ITERTL_KILL_AT": kill_at, "DS_ACCELERATOR": "cpu",
        }  # fmt: skip
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(folder), str(cache), options]
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == (-9 if kill_at and gets_there else 0), errors


def assert_same_round(one: Path, other: Path, atol: float = 2e-6) -> None:
    """Losses of each step, and the weights at the end, within what another order of sums explains (a step is 1e-3)."""
    first, second = (storage.read_records(path / "train.jsonl", TrainStep) for path in (one, other))
    assert [row.groups for row in first] == [row.groups for row in second] == [3, 2, 3, 2, 3, 2]
    for name in ("loss", "loss_ranking", "grad_norm", "tokens", "pairs_hinged", "epoch"):
        assert [getattr(row, name) for row in second] == pytest.approx([getattr(row, name) for row in first], rel=1e-3)
    before, after = (load_model(path / "checkpoint", device="cpu").state_dict() for path in (one, other))
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(before[name], after[name], rtol=1e-4, atol=atol)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    cases.tiny(folder)
    return folder


@pytest.mark.slow  # test_work.py trains on two processes, too
@pytest.mark.timeout(600)
def test_two_processes_take_the_steps_of_one(tmp_path: Path, cache: Path) -> None:
    """5 groups, 3 a step, 6 steps: every step falls unevenly on two processes."""
    launch(tmp_path / "1", cache, 1)
    launch(tmp_path / "2", cache, 2)
    assert_same_round(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_two_processes_train_adapters_as_one_does(tmp_path: Path, cache: Path, quantize: str | None) -> None:
    if quantize:
        pytest.importorskip("bitsandbytes")
    for processes in (1, 2):
        launch(tmp_path / f"{processes}", cache, processes, lora={"rank": 4, "quantize": quantize})
    assert_same_round(tmp_path / "1", tmp_path / "2", atol=1e-4 if quantize else 2e-6)  # coarser products


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "settings",
    [{}, {"micro_batch_tokens": 100}, {"packing": "off"}, {"lora": {"rank": 4}}],
    ids=["packed", "two passes", "padded", "adapters"],
)
def test_pieces_of_the_weights_take_the_steps_of_the_whole(
    tmp_path: Path, cache: Path, settings: dict[str, object]
) -> None:
    launch(tmp_path / "1", cache, 1, **settings)
    launch(tmp_path / "2", cache, 2, "fsdp", **settings)
    assert_same_round(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("zero_stage", [1, 2])
@pytest.mark.parametrize(
    "settings", [{}, {"micro_batch_tokens": 100}, {"lora": {"rank": 4}}], ids=["packed", "two passes", "adapters"]
)
def test_deepspeed_takes_the_steps_of_one(
    tmp_path: Path, cache: Path, settings: dict[str, object], zero_stage: int
) -> None:
    pytest.importorskip("deepspeed")
    launch(tmp_path / "1", cache, 1, **settings)
    launch(tmp_path / "2", cache, 2, "deepspeed", zero_stage=zero_stage, **settings)
    assert_same_round(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_deepspeed_goes_on_after_a_kill(tmp_path: Path, cache: Path) -> None:
    """On as many processes from the saved step; a state of two cannot be read by one, which begins the round again."""
    pytest.importorskip("deepspeed")
    launch(tmp_path / "whole", cache, 1)
    for after in (2, 1):
        launch(tmp_path / f"{after}", cache, 2, "deepspeed", kill_at="train.step:4")
        if after == 1:  # all six steps again, so it comes by the fourth
            launch(tmp_path / "1", cache, 1, "deepspeed", kill_at="train.step:4")
        launch(tmp_path / f"{after}", cache, after, "deepspeed", kill_at="train.step:4", gets_there=False)
        assert_same_round(tmp_path / "whole", tmp_path / f"{after}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
@pytest.mark.parametrize("after", [3, 1])
def test_a_round_goes_on_with_another_number_of_processes(tmp_path: Path, cache: Path, kind: str, after: int) -> None:
    """Killed on two processes after the third step; gone on with on ``after``."""
    launch(tmp_path / "whole", cache, 1, kind)
    launch(tmp_path / "cut", cache, 2, kind, kill_at="train.step:4")
    assert not (tmp_path / "cut" / "checkpoint").exists()
    launch(tmp_path / "cut", cache, after, kind)
    assert_same_round(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_method_that_asks_the_first_policy_resumes_with_its_answers(tmp_path: Path, cache: Path) -> None:
    launch(tmp_path / "whole", cache, 1, method="dpo")
    launch(tmp_path / "cut", cache, 2, method="dpo", kill_at="train.step:4")
    launch(tmp_path / "cut", cache, 2, method="dpo")
    assert_same_round(tmp_path / "whole", tmp_path / "cut")
