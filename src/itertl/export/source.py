"""What is to be exported: a checkpoint of a run, a checkpoint folder, or a folder with a peft adapter; and its base."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import parse_yaml
from itertl.errors import DataError, ItertlError, UsageError
from itertl.model import alias as model_alias
from itertl.model import find
from itertl.records import IterationMetrics
from itertl.runs import storage
from itertl.runs.read import Run, iteration_folders, read_run
from itertl.runs.selection import chosen

ADAPTER_FILE = "adapter_config.json"
_HUB_NAME = re.compile(r"^[\w-][\w.-]*/[\w.-]+$")


@dataclass(frozen=True, slots=True)
class Source:
    """``folder`` holds the weights. ``run``, ``iteration`` and ``choice`` are None for a folder outside a run."""

    folder: Path
    name: str  # without any path
    is_adapter: bool
    run: Run | None = None
    iteration: int | None = None  # iterations done: 1 is iter-00
    choice: str | None = None  # "last", "best", "selected" or "given"

    @property
    def base_model(self) -> str | None:
        """What the weights began from, as the run's recipe or the adapter names it; None: not known."""
        if self.run is not None:
            return self.run.recipe.model.path
        named = adapter_config(self.folder).get("base_model_name_or_path") if self.is_adapter else None
        return str(named) if named else None


def find_source(path: Path, iteration: str | None = None) -> Source:
    """What ``path`` is. ``iteration``: a number as in the report (1 is ``iter-00``), "last" or "best"; by default the
    one that the recipe's ``select`` chooses, else the last.

    "best" has the highest mean pass@1 over the run's own benchmarks, the earliest of equals.
    Raises UsageError for a folder that is none of the three or an iteration that is not finished, DataError for a run
    folder that cannot be read or a checkpoint that is not the one that its run trained.
    """
    if not path.is_dir():
        raise UsageError(
            f"{path}: no such folder; give a run folder, a checkpoint folder or a folder with a peft adapter"
        )
    if (path / "recipe.yaml").is_file():
        return _of_run(path, iteration or "selected")
    if iteration is not None:
        raise UsageError(f"--iteration is for run folders; {path} has no recipe.yaml")
    is_adapter = (path / ADAPTER_FILE).is_file() and not any(path.glob("model*.safetensors"))
    if not is_adapter and not (path / "config.json").is_file():
        raise UsageError(
            f"{path}: neither a run (recipe.yaml), a checkpoint (config.json) nor a peft adapter ({ADAPTER_FILE})"
        )
    return Source(path, path.resolve().name, is_adapter)


def _of_run(path: Path, wanted: str) -> Source:
    run = read_run(path)
    rows = {m.iterations: m for m in run.metrics}
    folders = {n: f / "checkpoint" for n, f in iteration_folders(path).items()}
    # A row of metrics.jsonl is written when all stages of its iteration are done.
    finished = [n for n, folder in folders.items() if n in rows and (folder / "config.json").is_file()]
    if not finished:
        raise UsageError(f"{path}: no iteration of this run is finished; go on with `itertl run`, then export")
    select = run.recipe.select
    if wanted == "selected" and select.benchmark is None:
        wanted = "last"
    if wanted == "selected":
        number = chosen([rows[n] for n in finished], select)
    elif wanted == "last":
        number = finished[-1]
    elif wanted == "best":
        number = _best(finished, rows, path)
    elif wanted.isdigit() and int(wanted) in finished:
        number = int(wanted)
    else:
        known = ", ".join(map(str, finished))
        raise UsageError(
            f"--iteration {wanted}: give last, best or a finished iteration of {path}: {known} (1 is iter-00)"
        )
    _check_recorded(run, number, folders[number])
    choice = wanted if wanted in ("last", "best", "selected") else "given"
    return Source(folders[number], f"{run.name}-iter-{number - 1:02d}", False, run, number, choice)


def _best(finished: list[int], rows: dict[int, IterationMetrics], path: Path) -> int:
    rates = {n: [e.pass_at_1 for e in rows[n].evals if e.pass_at_1 is not None] for n in finished}
    means = {n: sum(found) / len(found) for n, found in rates.items() if found}
    if not means:
        raise UsageError(f"--iteration best: no iteration of {path} has a pass@1; give a number, or last")
    return max(means, key=lambda n: (means[n], -n))


def _check_recorded(run: Run, number: int, folder: Path) -> None:
    """The card gives the run's figures, so the weights must be those that the run judged. Raises DataError."""
    manifest = run.manifests.get(f"iter-{number - 1:02d}")
    stage = manifest.stages.get("train") if manifest else None
    recorded = stage.outputs.get("checkpoint") if stage else None
    if recorded is not None and storage.hash_file(folder) != recorded:
        raise DataError(
            f"{folder}: altered since the run trained it; run `itertl run` again, or export the folder itself"
        )


def adapter_config(folder: Path) -> dict[str, Any]:
    """The settings of a peft adapter. Raises DataError where they cannot be read."""
    return read_json(folder / ADAPTER_FILE)


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises DataError."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it must be a JSON object") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: not a JSON object")
    return value


def front_matter(readme: Path) -> dict[str, Any]:
    """The YAML header of a model card; empty where there is none that can be read."""
    try:
        parts = readme.read_text(encoding="utf-8").split("---\n", 2)
        value = parse_yaml(parts[1], str(readme)) if len(parts) == 3 and not parts[0].strip() else None
    except (OSError, UnicodeDecodeError, ItertlError):
        return {}
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """What the weights began from. ``hub``: its name on the hub, where it has one."""

    name: str
    hub: str | None = None
    licence: str | None = None


def base_of(source: Source) -> ModelOrigin | None:
    """The base model of ``source``; None: not known."""
    return None if source.base_model is None else origin_of(source.base_model)


def origin_of(name: str) -> ModelOrigin:
    """A model by the name in a recipe, with its licence where a file at hand states it; nothing is fetched."""
    if name == find.SMOLLM2:
        return ModelOrigin("SmolLM2-135M-Instruct", find.SMOLLM2_HUB, "apache-2.0")
    if name in model_alias.ALIASES:
        alias = model_alias.ALIASES[name]
        return ModelOrigin(alias.title, alias.hub, alias.licence)
    if name in find.RANDOM_TINY:
        return ModelOrigin(f"{name} (random weights)")
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf":
        if path.is_file() and (known := model_alias.by_checksum(storage.hash_file(path))):
            return ModelOrigin(known.title, known.hub, known.licence)
        return ModelOrigin(path.name, None, _gguf_licence(path))
    if path.is_dir():
        matter = front_matter(path / "README.md")
        hub = matter.get("base_model")
        hub = hub if isinstance(hub, str) and _HUB_NAME.match(hub) else None
        return ModelOrigin(path.resolve().name, hub, _word(matter.get("license")))
    if _HUB_NAME.match(name):
        return ModelOrigin(name, name, _cached_licence(name))
    return ModelOrigin(path.name)


def licence_of(source: Source) -> str | None:
    """The licence of the base model, or of the exported folder's own card; None: not known."""
    base = base_of(source)
    return (base.licence if base else None) or _word(front_matter(source.folder / "README.md").get("license"))


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.+-]{1,60}", value) else None


def _gguf_licence(path: Path) -> str | None:
    from gguf import GGUFReader

    try:
        field = GGUFReader(path).fields.get("general.license")
        return None if field is None else _word(field.contents())
    except (OSError, ValueError):
        return None


def _cached_licence(name: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "README.md")
    return _word(front_matter(Path(found)).get("license")) if isinstance(found, str) else None
