"""What an iteration's folder says of its finished stages."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from itertl.records import JsonValue, Record


class StageRecord(BaseModel):
    """What one finished stage was made from and made. Inputs and settings decide whether it is still valid."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    settings: dict[str, JsonValue]
    inputs: dict[str, str]  # name -> SHA-256
    outputs: dict[str, str]  # file or folder, relative to the iteration's folder -> SHA-256
    versions: dict[str, str]
    seed: int
    summary: dict[str, JsonValue] = Field(default_factory=dict)
    linked_from: str | None = None  # folder of another run's equal stage, relative to what both share; None: made here


class Manifest(Record):
    """``manifest.json`` of one iteration's folder: its finished stages in order."""

    schema_name: ClassVar[str] = "itertl.manifest/1"

    iteration: int | None  # None: the untouched model
    stages: dict[str, StageRecord] = Field(default_factory=dict)
