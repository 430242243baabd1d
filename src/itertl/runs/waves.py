"""Waveforms of judged answers: what a design's ports did in a few steps, beside what the reference does."""

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from itertl.records import Record
from itertl.runs import storage

FILE = "waves.jsonl"  # in a run's folder


class Lane(BaseModel):
    """One port over the steps of a wave, each value in binary digits, x and z among them.

    Example: ``Lane(name="q", width=2, got=("00", "01"), expected=("00", "1x"))``; ``expected`` None: an input.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    width: int
    got: tuple[str, ...]
    expected: tuple[str, ...] | None = None


class Wave(Record):
    """The steps of a simulation from ``first`` on; ``mismatch`` is the first step in which an output is wrong."""

    schema_name: ClassVar[str] = "itertl.wave/1"

    benchmark: str = ""
    task_id: str = ""
    iterations: int = 0  # done when the answer was drawn
    first: int
    mismatch: int | None
    lanes: tuple[Lane, ...]


def read_waves(folder: Path) -> list[Wave]:
    """Those of a run; none where it has not come to its end. Raises DataError where the file cannot be read."""
    path = folder / FILE
    return storage.read_records(path, Wave) if path.exists() else []
