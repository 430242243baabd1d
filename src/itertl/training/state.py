"""Training state on disk: what an interrupted round needs to end in the same bytes as an undisturbed one.

Weights, optimizer and loss scaler are saved by accelerate (which knows sharded models); the rest is ``Progress``. The
random generator needs no state, for every step seeds it anew.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from itertl import faults, storage
from itertl.errors import DataError
from itertl.records import TrainStep

_PROGRESS = "progress.json"


@dataclass(slots=True)
class Progress:
    """How far a round is."""

    step: int = 0
    rows: list[TrainStep] = field(default_factory=list)  # log of the steps done
    old_logp: list[float] = field(default_factory=list)  # of sampled candidates, under the policy they came from


def _staged(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.staged")


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
    accelerator.save_state(str(staged))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        value = {
            "digest": digest,
            "step": progress.step,
            "old_logp": progress.old_logp,
            "rows": [row.to_line() for row in progress.rows],
        }
        storage.write_json(staged / _PROGRESS, value)
        faults.point("train.save")
        storage.commit_folder(staged, folder)
    accelerator.wait_for_everyone()


def restore_state(accelerator: Any, folder: Path, digest: str) -> Progress | None:
    """Load the state of these very inputs into the prepared model and optimizer; None where there is none.

    A state of other inputs, or one that cannot be read, is discarded.
    """
    if accelerator.is_main_process:
        storage.recover_folder(folder)
        shutil.rmtree(_staged(folder), ignore_errors=True)
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


def _read_progress(path: Path, digest: str) -> Progress | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["digest"] != digest:
            return None
        rows = [storage.parse_record(TrainStep, json.loads(line), str(path)) for line in value["rows"]]
        return Progress(int(value["step"]), rows, [float(v) for v in value["old_logp"]])
    except (OSError, ValueError, KeyError, TypeError, ValidationError, DataError):
        return None
