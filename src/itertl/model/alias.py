"""Models with a short name: on the hub, or as a GGUF file that is known by its checksum, wherever it lies.

A file is looked for in the folders of ``ITERTL_MODELS`` (and the files that it names), in the cache, and in the hub's
cache. Neither its name nor where it came from is trusted, its SHA-256 alone.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itertl.errors import ToolMissing
from itertl.model import hub as model_hub
from itertl.runs.storage import hash_file

_DEPTH = 4  # folders below a named one that are looked through


@dataclass(frozen=True, slots=True)
class Alias:
    """A model's name on the hub, and one published file of it. Example: see ``ALIASES``."""

    title: str
    hub: str
    licence: str
    file: str
    sha256: str
    bytes: int | None = None  # of the file: others of that name are not read
    # the form of its prompts where a recipe says none (docs/sampling.md)
    prompt: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def remedy(self) -> str:
        """How to get the model."""
        return (
            f"where there is a network the hub has it ({self.hub}); elsewhere bring {self.file} (hf download "
            f"{self.hub}-GGUF {self.file} --local-dir FOLDER, or any copy with SHA-256 {self.sha256}) and set "
            "ITERTL_MODELS=FOLDER, or give the file as model.path"
        )


# the best of the forms measured for the untouched model (docs/sampling.md)
_PREFILLED = {"style": "chat", "system": "", "header": "prefill"}

ALIASES: Mapping[str, Alias] = {
    "qwen2.5-coder-0.5b": Alias(
        "Qwen2.5-Coder-0.5B-Instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct", "apache-2.0",
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", 491400064, _PREFILLED,
    ),
    "qwen2.5-coder-1.5b": Alias(
        "Qwen2.5-Coder-1.5B-Instruct", "Qwen/Qwen2.5-Coder-1.5B-Instruct", "apache-2.0",
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", None, _PREFILLED,
    ),
}  # fmt: skip


def by_checksum(sha256: str) -> Alias | None:
    """The model whose file has that SHA-256."""
    return next((alias for alias in ALIASES.values() if alias.sha256 == sha256), None)


def resolve(name: str, cache: Path) -> Path | str:
    """The file of an alias by its checksum, or its name on the hub where the file is nowhere.

    Raises ToolMissing where it cannot be had; the message names a file that only has its name.
    """
    alias = ALIASES[name]
    wrong: list[Path] = []
    for path in _candidates(cache):
        size = path.stat().st_size
        is_as_large = size == alias.bytes or (alias.bytes is None and size > 2**29)
        if is_as_large and hash_file(path) == alias.sha256:
            return path
        wrong += [path] if path.name.lower() == alias.file else []
    if model_hub.is_had(alias.hub):
        return alias.hub
    if wrong:
        raise ToolMissing(
            f"{wrong[0]} is not {alias.title}: its SHA-256 is another (a part of the file, or another file); "
            f"{alias.remedy}"
        )
    raise ToolMissing(f"the model {name!r} is not here: {alias.remedy}")


def _candidates(cache: Path) -> Iterator[Path]:
    """GGUF files of the places, each once, those that are named first."""
    from huggingface_hub import constants

    named = [Path(part).expanduser() for part in os.environ.get("ITERTL_MODELS", "").split(os.pathsep) if part]
    seen: set[Path] = set()
    for place in (*named, cache, Path(constants.HF_HUB_CACHE)):
        for path in [place] if place.is_file() else _below(place):
            real = path.resolve()
            if real not in seen and real.is_file():
                seen.add(real)
                yield path


def _below(folder: Path) -> Iterator[Path]:
    base = len(folder.parts)
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(folders) if len(Path(root).parts) - base < _DEPTH else []
        yield from (Path(root) / name for name in sorted(files) if name.lower().endswith(".gguf"))
