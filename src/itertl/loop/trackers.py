"""Trackers of experiments (``train.report_to``): TensorBoard, Weights & Biases, MLflow, trackio, through accelerate.

The driver logs, whatever number of processes trains. Steps run on over the iterations. ``trackers.json`` in the run
folder holds each tracker's own run and the last step that was logged: a run that was killed goes on in them without
logging a step twice (at most the one at which it died). A tracker that fails is reported once and left out; the run
goes on.
"""

import importlib.util
import json
import os
import socket
import uuid
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from itertl.config import Recipe
from itertl.errors import ToolMissing
from itertl.progress import Reporter
from itertl.records import IterationMetrics, TrainStep
from itertl.runs import storage

_STATE = "trackers.json"
_TELEMETRY = {
    "mean_z": "z", "kl_old_new": "kl", "share_parses": "parses", "share_active_pairs": "active_pairs",
    "share_hinged_pairs": "hinged_pairs", "share_duplicates": "duplicates", "share_truncated": "truncated",
}  # fmt: skip


def wanted(recipe: Recipe) -> tuple[str, ...]:
    """Names of the trackers; where the recipe names none, TensorBoard if it is installed."""
    if recipe.train.report_to is not None:
        return tuple(dict.fromkeys(recipe.train.report_to))
    return ("tensorboard",) if importlib.util.find_spec("tensorboard") is not None else ()


def check(recipe: Recipe) -> None:
    """Raise ToolMissing, with the command that installs it, for a tracker that is not installed."""
    for name in wanted(recipe):
        if importlib.util.find_spec(name) is None:
            raise ToolMissing(
                f"train.report_to: {name} is not installed: pip install 'itertl[{name}]', or leave it out"
            )


class Trackers:
    """All trackers of one run. ``close`` ends them; nothing is opened before there is something to log."""

    def __init__(self, recipe: Recipe, folder: Path, reporter: Reporter) -> None:
        self._recipe, self._folder, self._reporter = recipe, folder, reporter
        self._names = wanted(recipe)
        self._open: dict[str, Any] | None = None
        state = json.loads((folder / _STATE).read_text(encoding="utf-8")) if (folder / _STATE).is_file() else {}
        self._ids: dict[str, str] = state.get("ids", {})
        self._step: int = state.get("step", 0)  # the last that was logged
        self._iterations: int = state.get("iterations", -1)
        self._before = 0  # steps of the iterations that are done
        if self._names:
            reporter.on_measured = self.step

    def step(self, values: Mapping[str, float], step: int) -> None:
        """One optimizer step of the iteration that is being trained, from 1."""
        if self._before + step > self._step:
            self._log({f"train/{name}": value for name, value in values.items()}, self._before + step)
            self._step = self._before + step
            self._save()

    def iteration(self, metrics: IterationMetrics, log: Path | None = None) -> None:
        """What an iteration came to, at its last step; ``log``: its ``train.jsonl``, of which steps that were not seen
        are logged first."""
        if not self._names:
            return
        steps = [] if log is None else storage.read_records(log, TrainStep)
        for row in steps:
            self.step(row.tracked(), row.step)
        self._before += len(steps)
        if metrics.iterations > self._iterations:
            self._log(iteration_values(metrics), self._before)
            self._iterations = metrics.iterations
            self._save()

    def close(self) -> None:
        self._reporter.on_measured = None
        for name, tracker in (self._open or {}).items():
            try:
                tracker.finish()
            except Exception as error:
                self._reporter.say(f"{name} could not be ended: {type(error).__name__}: {error}")
        self._open = None

    def _log(self, values: Mapping[str, float], step: int) -> None:
        if self._open is None:
            self._open = {}
            for name in self._names:
                self._guarded(name, lambda n=name: self._start(n))
        for name, tracker in list(self._open.items()):
            self._guarded(name, lambda t=tracker: t.log(dict(values), step=step))

    def _guarded(self, name: str, work: Any) -> None:
        try:
            work()
        except Exception as error:  # of somebody's service or package: no reason to lose a run
            self._reporter.say(f"[red]{name} is left out from here on[/red]: {type(error).__name__}: {error}")
            assert self._open is not None
            self._open.pop(name, None)

    def _start(self, name: str) -> None:
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState()  # its logger asks for one
        assert self._open is not None
        project, options = _options(name, self._recipe.name, self._folder, self._ids)
        is_new = name not in self._ids
        tracker: Any = LOGGER_TYPE_TO_CLASS[name](project, **options)
        tracker.main_process_only = False  # this is the driver, which belongs to no group
        tracker.start()
        if name == "mlflow":
            self._ids[name] = tracker.active_run.info.run_id
        elif name != "tensorboard":
            self._ids.setdefault(name, options["id"] if name == "wandb" else options["name"])
        if name != "tensorboard" and is_new:  # TensorBoard would open a second run for them
            tracker.store_init_configuration(_flat(self._recipe.model_dump(mode="json")))
        self._open[name] = tracker

    def _save(self) -> None:
        state = {"ids": self._ids, "step": self._step, "iterations": self._iterations}
        storage.write_json(self._folder / _STATE, state)


def iteration_values(metrics: IterationMetrics) -> dict[str, float]:
    """What is logged of an iteration; what was not measured is absent."""
    found: dict[str, float | None] = {"iteration": float(metrics.iterations)}
    telemetry = metrics.telemetry
    if telemetry is not None:
        values = telemetry.model_dump()
        found |= {f"iteration/{short}": values[name] for name, short in _TELEMETRY.items()}
        for rung, count in (telemetry.rungs or {}).items():
            found[f"rungs/{rung or 'none'}"] = count / telemetry.candidates if telemetry.candidates else None
    for summary in metrics.evals:
        at = "" if summary.temperature is None else f"_T{summary.temperature:g}"
        key = f"eval/{summary.benchmark.split()[0]}{at}"
        found |= {f"{key}/pass_at_1": summary.pass_at_1, f"{key}/compiles": summary.compile_rate}
        found[f"{key}/z"] = summary.mean_surrogate
    return {name: float(value) for name, value in found.items() if value is not None}


def _options(name: str, project: str, folder: Path, ids: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The tracker's first argument, and the others: they name its run, so that a later call goes on with it."""
    own = ids.get(name) or uuid.uuid4().hex[:12]
    if name == "tensorboard":
        return "tensorboard", {"logging_dir": str(folder)}
    if name == "wandb":
        os.environ.setdefault("WANDB_SILENT", "true")
        mode = os.environ.get("WANDB_MODE") or ("online" if _reaches_wandb() else "offline")
        return project, {
            "id": own, "name": folder.name, "resume": "allow", "dir": str(folder.resolve()), "mode": mode,
        }  # fmt: skip
    if name == "mlflow":
        os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        artifacts = str(folder.resolve() / "mlflow")
        return project, {"run_id": ids.get(name), "run_name": folder.name, "logging_dir": artifacts}
    return project, {"name": own, "resume": "allow"}


def _reaches_wandb() -> bool:
    """Whether there is a key and a network: without either wandb would ask for a login, or wait."""
    url = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host, port = url.hostname or "", url.port or (80 if url.scheme == "http" else 443)
    try:
        has_key = bool(os.environ.get("WANDB_API_KEY")) or netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        has_key = False
    if not has_key:
        return False
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
    return flat
