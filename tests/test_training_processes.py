"""Two processes (DDP on the CPU) take the same steps as one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import training_cases as cases
from itertl import storage
from itertl.models import load_model
from itertl.records import TrainStep

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import training_cases as cases
model, tokenizer = cases.tiny(Path(sys.argv[3]))
made = cases.case(5, tokenizer)
print(cases.run_stage(Path(sys.argv[2]), model, made.problems, made.rows, groups_per_step=3, save_every_steps=1))
"""


def launch(folder: Path, cache: Path, processes: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started: list[subprocess.Popen[str]] = []
    for rank in range(processes):
        env = {
            **os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "RANK": str(rank), "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(folder), str(cache)]
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """5 groups, 3 a step: every step falls unevenly on two processes."""
    cases.tiny(tmp_path / "cache")
    for processes in (1, 2):
        launch(tmp_path / str(processes), tmp_path / "cache", processes)
    one, two = (storage.read_records(tmp_path / name / "train.jsonl", TrainStep) for name in "12")
    assert [row.groups for row in one] == [row.groups for row in two] == [3, 2, 3, 2]
    for name in ("loss", "loss_ranking", "grad_norm", "tokens", "pairs_hinged", "epoch"):
        assert [getattr(row, name) for row in two] == pytest.approx([getattr(row, name) for row in one], rel=1e-3)
    before, after = (load_model(tmp_path / name / "checkpoint", device="cpu").state_dict() for name in "12")
    for name in before:
        torch.testing.assert_close(before[name], after[name], rtol=1e-2, atol=1e-4)
