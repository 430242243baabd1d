"""Waveforms of judged answers: what a design's ports did in a few steps, beside what the reference does."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, StringConstraints, model_validator

from itertl.records import Record
from itertl.runs import storage

FILE = "waves.jsonl"  # in a run's folder
_Bits = Annotated[str, StringConstraints(pattern="^[01xz]+$")]


class Lane(BaseModel):
    """One port over the steps of a wave, each value in binary digits, x and z among them.

    Example: ``Lane(name="q", width=2, got=("00", "01"), expected=("00", "1x"))``; ``expected`` None: an input.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    width: int
    got: tuple[_Bits, ...]
    expected: tuple[_Bits, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.expected is not None and len(self.expected) != len(self.got):
            raise ValueError("got and expected differ in their number of steps")
        if any(len(bits) != self.width for bits in (*self.got, *(self.expected or ()))):
            raise ValueError(f"a value is not {self.width} bits wide")
        return self


class Wave(Record):
    """The steps of a simulation from ``first`` on; ``mismatch`` is the first step in which an output is wrong."""

    schema_name: ClassVar[str] = "itertl.wave/1"

    benchmark: str = ""
    task_id: str = ""
    completion_hash: str = ""  # of the answer, as in its verdict's row
    first: NonNegativeInt
    mismatch: int | None
    lanes: Annotated[tuple[Lane, ...], Field(min_length=1)]

    @property
    def steps(self) -> int:
        return len(self.lanes[0].got)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.steps == 0 or any(len(lane.got) != self.steps for lane in self.lanes):
            raise ValueError("lanes have no steps, or not the same number")
        if self.mismatch is not None and self.mismatch - self.first not in range(self.steps):
            raise ValueError(f"the mismatch at step {self.mismatch} is not among the steps")
        return self


def read_waves(folder: Path) -> list[Wave]:
    """Those of a run; none where it has not come to its end. Raises DataError where the file cannot be read."""
    path = folder / FILE
    return storage.read_records(path, Wave) if path.exists() else []
