"""What a report reads from a run folder: everything that is there, and a note on what is not.

A piece that a run has not come to is not an error (the report says that the run is unfinished); a piece that is there
and cannot be read is one. Checkpoints are not opened.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from itertl.config import Recipe, load_recipe
from itertl.errors import DataError, RecipeError
from itertl.records import IterationMetrics, Problem, TrainStep
from itertl.runs import storage
from itertl.runs import wording as text
from itertl.runs.manifest import Manifest
from itertl.runs.rows import read_lines
from itertl.runs.selection import is_exhausted


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder, read. ``train`` maps the number of an iteration (1, 2, …) to its optimizer steps."""

    folder: Path
    name: str  # distinct among the runs of one report
    recipe: Recipe
    recipe_text: str
    metrics: tuple[IterationMetrics, ...]  # by number of iterations
    train: Mapping[int, tuple[TrainStep, ...]]
    manifests: Mapping[str, Manifest]  # by folder name: base, iter-00, …
    num_problems: int | None  # training pairs; None where problems.jsonl is not there
    notes: tuple[str, ...]  # what was looked for and not found

    @property
    def iterations_done(self) -> int:
        return max((m.iterations for m in self.metrics), default=0)

    @property
    def is_finished(self) -> bool:
        is_done = self.iterations_done >= self.recipe.iterations or is_exhausted(self.metrics, self.recipe.select)
        return bool(self.metrics) and is_done


def read_run(folder: Path, name: str | None = None) -> Run:
    """Read a run folder. Raises DataError naming the file and the fix."""
    recipe, recipe_text = _read_recipe(folder)
    notes: list[str] = []
    metrics = _read_metrics(folder / "metrics.jsonl", notes)
    train = _read_train(folder, max((m.iterations for m in metrics), default=0), notes)
    problems = folder / "problems.jsonl"
    num_problems = sum(1 for _ in read_lines(problems)) if problems.exists() else None
    return Run(
        folder, text.one_line(name or recipe.name, 80) or "run", recipe, recipe_text, metrics, train,
        _read_manifests(folder), num_problems, tuple(notes),
    )  # fmt: skip


def _read_recipe(folder: Path) -> tuple[Recipe, str]:
    path = folder / "recipe.yaml"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of a run, as `itertl run` made it")
    if not path.is_file():
        raise DataError(f"{path}: not found, so {folder} is not a run folder; give a folder that `itertl run` made")
    try:
        return load_recipe(path), path.read_text(encoding="utf-8")
    except RecipeError as error:
        raise DataError(f"{error}; start the run's command again, which writes recipe.yaml again") from error


def _read_metrics(path: Path, notes: list[str]) -> tuple[IterationMetrics, ...]:
    if not path.exists():
        notes.append("metrics.jsonl is not there yet: no model of this run has been evaluated")
        return ()
    latest = {m.iterations: m for m in storage.read_records(path, IterationMetrics)}
    if not latest:
        notes.append("metrics.jsonl is empty: no model of this run has been evaluated")
    return tuple(latest[n] for n in sorted(latest))


def iteration_folders(folder: Path) -> dict[int, Path]:
    """Folders iter-00, iter-01, … by the number of iterations that each completes (iter-00 -> 1)."""
    found = {}
    for path in folder.iterdir():
        match = re.fullmatch(r"iter-(\d{2,9})", path.name)
        if match and path.is_dir():
            found[int(match[1]) + 1] = path
    return dict(sorted(found.items()))


def _read_train(folder: Path, done: int, notes: list[str]) -> dict[int, tuple[TrainStep, ...]]:
    """Steps of each iteration that has a training log; a note for one that is done and has none."""
    logs = {number: path / "train.jsonl" for number, path in iteration_folders(folder).items()}
    steps = {
        number: tuple(sorted(storage.read_records(log, TrainStep), key=lambda s: s.step))
        for number, log in logs.items()
        if log.exists()
    }
    for number in range(1, done + 1):
        if not steps.get(number):
            notes.append(f"iter-{number - 1:02d}/train.jsonl is missing or empty: iteration {number} has no loss curve")
    return steps


def _read_manifests(folder: Path) -> dict[str, Manifest]:
    found = {part.name: part / "manifest.json" for part in (folder / "base", *iteration_folders(folder).values())}
    return {name: storage.read_manifest(path) for name, path in found.items() if path.exists()}


def evaluation_file(folder: Path, stem: str, benchmark: str) -> Path | None:
    """``folder/STEM-NAME.jsonl`` where it is there; None too for a name that no file of a run can have.

    ``benchmark`` is a summary's label, the name and, after a space, the version; files go by the name.
    """
    name = f"{stem}-{benchmark.partition(' ')[0]}.jsonl"
    if "/" in name or "\0" in name or len(name.encode("utf-8", "surrogatepass")) > 255:
        return None
    try:
        return path if (path := folder / name).is_file() else None
    except UnicodeEncodeError:  # a lone surrogate
        return None


def read_problems(path: Path | None) -> dict[str, Problem]:
    """Problems by id, and by the id that their source gave them; empty where there is no file."""
    if path is None:
        return {}
    problems = storage.read_records(path, Problem)
    by_upstream = {p.upstream_id: p for p in problems if p.upstream_id is not None}
    return {**by_upstream, **{p.id: p for p in problems}}


def read_runs(folders: Sequence[Path]) -> tuple[Run, ...]:
    """Read several run folders and give each a name of its own: the recipe's, else the folder's, else numbered.

    Raises DataError where a folder cannot be read, is given twice, or none is given.
    """
    if not folders:
        raise DataError("no run folder given; give one or more folders that `itertl run` made")
    resolved = [Path(os.path.realpath(folder)) for folder in folders]  # unlike resolve, also of links in a circle
    for folder, place in zip(folders, resolved, strict=True):
        if resolved.count(place) > 1:
            raise DataError(f"{folder}: given twice; give each run once")
    runs = [read_run(folder) for folder in folders]
    taken = [run.name for run in runs]
    names: list[str] = []
    for run, folder in zip(runs, resolved, strict=True):
        is_alone = taken.count(run.name) == 1
        name = run.name if is_alone else f"{run.name} ({text.one_line(folder.name, 60)})"
        serial = 2
        while name in names:
            name = f"{name.rsplit(' #', 1)[0]} #{serial}"
            serial += 1
        names.append(name)
    return tuple(replace(run, name=name) for run, name in zip(runs, names, strict=True))


def finite(value: float | None) -> float:
    """The value, or NaN where there is none: what matplotlib leaves out of a line."""
    return math.nan if value is None or not math.isfinite(value) else float(value)
