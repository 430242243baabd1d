"""The run folder: which stages are done, whether they are still valid, and who may write.

A stage is valid while the settings and the SHA-256 of the inputs that it was made from are those of now, and its
outputs are as it left them. ``RunFolder.stage`` skips a valid stage, and says which of the three makes it stale.
What takes wall-clock time into account (``timings.jsonl``, ``tensorboard/``) is not in the manifests: everything
that a manifest names is the same bytes however often the run was stopped.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from itertl import faults, memory
from itertl.config import Recipe, build_recipe, dump_recipe, parse_yaml
from itertl.errors import RecipeError, RunError
from itertl.progress import QUIET, Reporter
from itertl.records import IterationMetrics
from itertl.runs import storage
from itertl.runs.manifest import Manifest, StageRecord
from itertl.runs.shared_stages import SharedStages, link

# keys whose change makes no finished stage stale
_HARMLESS = (
    "name: ", "iterations: ", "select.", "train.save_every_", "score.num_workers: ", "compute.", "score.keep_going: ",
)  # fmt: skip
_VERSIONED = (
    "itertl", "torch", "numpy", "transformers", "tokenizers", "accelerate", "peft", "pyslang", "pyosys", "pyverilog",
    "rapidfuzz",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Versions of what can change a result; packages that are absent are left out."""
    found: dict[str, str] = {}
    for name in _VERSIONED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@contextlib.contextmanager
def exclusive(folder: Path, mark: str) -> Generator[None]:
    """Hold ``folder``, which is made, by a lock on its file ``mark``. Raises RunError where another process has it."""
    with storage.writes_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / mark).open("a+")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise RunError(
                f"{folder} is in use by process {holder}; wait for it, or give another folder with --out"
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


class IterationFolder:
    """``base/`` (the untouched model) or ``iter-NN/``, with its manifest."""

    def __init__(self, root: Path, index: int | None) -> None:
        self.index = index
        self.path = root / ("base" if index is None else f"iter-{index:02d}")
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        return self.path.name

    def manifest(self) -> Manifest:
        """The manifest on disk, or an empty one. Raises DataError where it is damaged."""
        path = self.path / "manifest.json"
        return storage.read_manifest(path) if path.exists() else Manifest(iteration=self.index)

    def record(self, name: str, stage: StageRecord) -> None:
        """Put one finished stage into the manifest."""
        stages = {**self.manifest().stages, name: stage}
        storage.write_records(self.path / "manifest.json", [Manifest(iteration=self.index, stages=stages)])


class RunFolder:
    """A locked run folder. Use as a context manager.

    ``resume_changed``: continue under another recipe, which makes finished stages stale. ``share``: link equal stages
    that other runs have done.
    Raises RunError where another process holds it, where the folder holds other things than a run, or a run of another
    recipe.
    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        reporter: Reporter = QUIET,
        *,
        resume_changed: bool = False,
        share: SharedStages | None = None,
    ) -> None:
        self.path, self.recipe, self.reporter = path, recipe, reporter
        self._resume_changed, self._share = resume_changed, share
        self._held = contextlib.ExitStack()
        self._hashes: dict[Path, tuple[int, int, str]] = {}

    def __enter__(self) -> "RunFolder":
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file; give a folder with --out")
        is_ours = (self.path / ".lock").exists() or self._is_begun()
        if self.path.is_dir() and any(self.path.iterdir()) and not is_ours:
            raise RunError(
                f"{self.path} is not a run folder (it has files, and no run made them); give another with --out"
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(exclusive(self.path, ".lock"))
            self._note_recipe(self.path / "recipe.yaml")
            self._held = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def _note_recipe(self, known: Path) -> None:
        """Write the resolved recipe; where it differs from the one before, say in which keys, or refuse."""
        if known.exists():
            changes = differences(_tree(known), self.recipe.model_dump(mode="json"))
            grave = [change for change in changes if not change.startswith(_HARMLESS)]
            if grave and self._is_begun() and not self._resume_changed:
                raise RunError(
                    f"{self.path} holds a run of another recipe "
                    f"({'; '.join(grave[:5])}{'; …' if len(grave) > 5 else ''}); "
                    "give another folder with --out, or --resume-changed to make again what the change makes stale"
                )
            for change in changes:
                self.reporter.say(f"recipe changed: {change}")
        storage.write_text(known, dump_recipe(self.recipe))

    def _is_begun(self) -> bool:
        """Whether a stage of a run is done here."""
        return any(self.path.glob("base/manifest.json")) or any(self.path.glob("iter-*/manifest.json"))

    def iteration(self, index: int | None) -> IterationFolder:
        return IterationFolder(self.path, index)

    def hash(self, path: Path) -> str:
        """SHA-256 of a file or folder, taken once while its time and size stay."""
        stat = path.stat()
        key = (stat.st_mtime_ns, stat.st_size)
        cached = self._hashes.get(path)
        if path.is_dir() or cached is None or cached[:2] != key:
            self._hashes[path] = (*key, storage.hash_file(path))
        return self._hashes[path][2]

    def stage(
        self,
        folder: IterationFolder,
        name: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        outputs: Sequence[str],
        seed: int,
        work: Callable[[], Mapping[str, Any]],
    ) -> StageRecord:
        """Skip the stage if it is done and valid, else do ``work`` and record it. Returns its record.

        ``inputs`` maps names to SHA-256; ``outputs`` are paths relative to the folder that ``work`` leaves complete;
        ``work`` returns the stage's summary (JSON values).
        """
        resolved: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        old = folder.manifest().stages.get(name)
        reason = "" if old is None else self._stale(folder, old, resolved, inputs, seed)
        if old is not None and not reason:
            self.reporter.say(f"{folder.name}/{name}: done before, still valid")
            return old
        if reason:
            self.reporter.say(f"{folder.name}/{name}: made again, because {reason}")
        start = time.time()
        wanted = StageRecord(settings=resolved, inputs=dict(inputs), outputs={}, versions=package_versions(), seed=seed)
        with self._claim(folder, name, wanted):
            record = self._linked(folder, name, wanted)
            if record is None:
                try:
                    summary = dict(work())
                finally:
                    memory.give_back()
                faults.point(f"{name}.before-manifest")
                made = {output: self.hash(folder.path / output) for output in outputs}
                record = wanted.model_copy(update={"outputs": made, "summary": summary})
            folder.record(name, record)
        with (self.path / "timings.jsonl").open("a", encoding="utf-8") as log:
            row = {"folder": folder.name, "stage": name, "started": round(start, 3)}
            row |= {"seconds": round(time.time() - start, 3)}
            row |= {"linked_from": record.linked_from} if record.linked_from else {}
            log.write(json.dumps(row) + "\n")
        faults.point(f"{name}.after-manifest")
        return record

    def _claim(
        self, folder: IterationFolder, name: str, wanted: StageRecord
    ) -> contextlib.AbstractContextManager[None]:
        if self._share is None:
            return contextlib.nullcontext()
        return self._share.claim(
            name, wanted, lambda: self.reporter.say(f"{folder.name}/{name}: waits for a run that makes the same")
        )

    def _linked(self, folder: IterationFolder, name: str, wanted: StageRecord) -> StageRecord | None:
        """The record of an equal stage of another run, its outputs linked into this one; None where there is none."""
        found = self._share.find(name, wanted, self.hash) if self._share is not None else None
        if found is None or self._share is None:
            return None
        link(found, folder.path)
        origin = found.record.linked_from or found.folder.relative_to(self._share.root).as_posix()
        self.reporter.say(f"{folder.name}/{name}: linked from {origin}, which was made from the same")
        return found.record.model_copy(update={"linked_from": origin})

    def _stale(
        self, folder: IterationFolder, old: StageRecord, settings: dict[str, Any], inputs: Mapping[str, str], seed: int
    ) -> str:
        """Why the recorded stage no longer holds; "" where it does."""
        changed = [*differences(old.settings, settings), *([f"seed: {old.seed} -> {seed}"] if old.seed != seed else [])]
        if changed:
            return "its settings changed: " + "; ".join(changed[:5])
        moved = sorted(k for k in {*old.inputs, *inputs} if old.inputs.get(k) != inputs.get(k))
        if moved:
            return "its input changed: " + ", ".join(moved)
        for output, digest in old.outputs.items():
            path = folder.path / output
            if not path.exists():
                return f"{output} is missing"
            if self.hash(path) != digest:
                return f"{output} was altered"
        return ""

    def write_metrics(self, metrics: Sequence[IterationMetrics]) -> None:
        storage.write_records(self.path / "metrics.jsonl", metrics)


def _tree(known: Path) -> Any:
    """The recipe of an earlier call; keys that it does not know yet have their defaults."""
    old = parse_yaml(known.read_text(encoding="utf-8"), str(known))
    try:
        return build_recipe(old, (), str(known)).model_dump(mode="json")
    except (RecipeError, TypeError):
        return old


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Changed leaves of two JSON trees as "key: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        keys: list[str] = [*old, *(k for k in new if k not in old)]  # pyright: ignore[reportUnknownVariableType]
        for key in keys:
            below = f"{at}.{key}" if at else key
            found += differences(old.get(key), new.get(key), below)  # pyright: ignore
        return found
    return [] if old == new else [f"{at or '(all)'}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 60 else text[:57] + "..."
