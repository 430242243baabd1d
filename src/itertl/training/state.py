"""Training state on disk: what an interrupted round needs to end in the same bytes as an undisturbed one.

Weights, optimizer and loss scaler are saved by accelerate (which knows sharded models); the rest is ``Progress``. The
random generator needs no state, because every step seeds it anew.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from itertl import faults
from itertl.errors import DataError
from itertl.records import TrainStep
from itertl.runs import storage

_PROGRESS = "progress.json"


@dataclass(slots=True)
class Progress:
    """How far a round is."""

    step: int = 0
    rows: list[TrainStep] = field(default_factory=list)  # log of the steps done
    old_logp: list[float] = field(default_factory=list)  # of sampled candidates, under the policy they came from
    budget: int | None = None  # tokens of a micro-batch, where memory ran out with as many as the recipe asks for


def _staged(final: Path) -> Path:
    return final.with_name(f".{final.name}.staged")


def discard_staged(final: Path) -> None:
    """Repair what a kill while ``final`` was written can leave."""
    storage.recover_folder(final)
    shutil.rmtree(_staged(final), ignore_errors=True)


def stage_folder(accelerator: Any, final: Path) -> Path:
    """An empty folder beside ``final`` to write into, the same on all processes."""
    staged = _staged(final)
    if accelerator.is_main_process:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
    accelerator.wait_for_everyone()
    return staged


def save_state(accelerator: Any, folder: Path, digest: str, progress: Progress) -> None:
    """Save all of it atomically. Called by all processes at the same step."""
    staged = stage_folder(accelerator, folder)
    faults.point("train.save.staged")
    with storage.saves_to(folder):
        accelerator.save_state(str(staged))
    faults.point("train.save.weights")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        value = {
            "digest": digest, "step": progress.step, "old_logp": progress.old_logp, "budget": progress.budget,
            "threads": torch.get_num_threads(), "rows": [row.to_line() for row in progress.rows],
        }  # fmt: skip
        storage.write_json(staged / _PROGRESS, value)
        faults.point("train.save")
        storage.commit_folder(staged, folder)
    accelerator.wait_for_everyone()


def restore_state(accelerator: Any, folder: Path, digest: str) -> Progress | None:
    """Load the state of these very inputs into the prepared model and optimizer; None where there is none.

    A state of other inputs, or one that cannot be read, is discarded.
    """
    if accelerator.is_main_process:
        discard_staged(folder)
    accelerator.wait_for_everyone()
    progress = _read_progress(folder / _PROGRESS, digest)
    if progress is None:
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            remove_state(folder)
        return None
    accelerator.load_state(str(folder))
    return progress


def remove_state(folder: Path) -> None:
    """Forget the state; a kill in the middle leaves none, or one that is discarded."""
    (folder / _PROGRESS).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(_staged(folder), ignore_errors=True)
    _initial_file(folder).unlink(missing_ok=True)


# --- what the round's first policy says of each response, for methods that ask


def _initial_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-initial.safetensors")


def save_initial(accelerator: Any, folder: Path, digest: str, table: Mapping[tuple[int, int], Tensor]) -> None:
    """Store token log-probabilities by (group, slot), beside the state: a state of later steps cannot be resumed
    without."""
    if accelerator.is_main_process:
        names = sorted(table)
        tensors = {
            "logp": torch.cat([table[name] for name in names]) if names else torch.zeros(0),
            "slots": torch.tensor(names, dtype=torch.int64).reshape(-1, 2),
            "lengths": torch.tensor([len(table[name]) for name in names], dtype=torch.int64),
        }
        storage.write_bytes(_initial_file(folder), safetensors.torch.save(tensors, {"digest": digest}))
    accelerator.wait_for_everyone()


def load_initial(folder: Path, digest: str) -> dict[tuple[int, int], Tensor]:
    """What ``save_initial`` stored. Raises DataError where it is gone or of other inputs."""
    path = _initial_file(folder)
    try:
        with safetensors.safe_open(path, "pt") as file:
            if file.metadata()["digest"] != digest:
                raise DataError(f"{path}: of another round; delete {folder} and the round begins again")
            logp, slots, lengths = (file.get_tensor(name) for name in ("logp", "slots", "lengths"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); delete {folder} and the round begins again") from error
    return dict(zip(map(tuple, slots.tolist()), logp.split(lengths.tolist()), strict=True))


def _read_progress(path: Path, digest: str) -> Progress | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["digest"] != digest:
            return None
        rows = [storage.parse_record(TrainStep, json.loads(line), str(path)) for line in value["rows"]]
        progress = Progress(int(value["step"]), rows, [float(v) for v in value["old_logp"]], value["budget"])
        torch.set_num_threads(int(value["threads"]))  # sums over another number of threads round otherwise
        return progress
    except (OSError, ValueError, KeyError, TypeError, ValidationError, DataError):
        return None
