"""Reads Hugging Face data sets: ``hf:NAME[:split]`` (hub or cache), or a folder that ``save_to_disk`` wrote."""

from pathlib import Path
from typing import Any

from itertl.errors import DataError, ToolMissing
from itertl.model import hub as model_hub
from itertl.runs.rows import SourceRow, Table


def is_saved_dataset(path: Path) -> bool:
    """Whether ``path`` is a folder written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    return (path / "dataset_dict.json").is_file() or (
        (path / "state.json").is_file() and (path / "dataset_info.json").is_file()
    )


def read_hub(source: str) -> Table:
    """Rows of ``hf:NAME``, ``hf:NAME:split``, ``hf:FOLDER`` or a saved folder.

    Without a split: the only one, or "train". Raises DataError where the data set or its split cannot be read.
    """
    name, split = source.removeprefix("hf:"), None
    if not Path(name).exists() and ":" in name:
        name, _, split = name.rpartition(":")
    if not name:
        raise DataError(f"{source}: names no data set; write hf:NAME or hf:NAME:split")
    found = _load(name)
    if isinstance(found, dict):
        found = found[_split(name, list(found), split)]
    elif split not in (None, "train"):
        raise DataError(f"{source}: the saved data set has no splits; leave {split!r} out")
    return Table.of(source, (SourceRow(f"{source}: row {n}", dict(row)) for n, row in enumerate(found, 1)))


def _load(name: str) -> Any:
    """A Dataset, or a dict of them by split. Without a network the library reads its cache and does not ask the hub."""
    if not Path(name).exists():
        model_hub.is_reachable()
    try:
        import datasets
    except ImportError as error:
        raise ToolMissing(f"the package datasets cannot be imported ({error}): pip install datasets") from error
    try:
        if is_saved_dataset(Path(name)):
            return datasets.load_from_disk(name)
        return datasets.load_dataset(name)
    except Exception as error:  # the library raises a dozen kinds, of its own and of the network's
        reason = str(error).strip().split("\n")[0][:300]
        raise DataError(
            f"hf:{name}: cannot be loaded ({type(error).__name__}: {reason}); check the name and the network, "
            "or give a folder written by save_to_disk"
        ) from error


def _split(name: str, splits: list[str], wanted: str | None) -> str:
    if wanted is None and len(splits) == 1:
        return splits[0]
    if (wanted or "train") in splits:
        return wanted or "train"
    asked = f"no split {wanted!r}" if wanted else "no split 'train'"
    raise DataError(f"hf:{name}: {asked}; it has {', '.join(splits)}: write hf:{name}:{splits[0]}")
