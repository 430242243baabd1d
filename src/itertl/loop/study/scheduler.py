"""Starts a study's runs: each arm and seed is one ordinary ``itertl run`` in a process of its own, so memory is freed.

Order: all arms of the first seed, then of the next, so that a stopped study already compares. On one device they run
one after another, on several side by side. The runs end with this process, whatever ends it, and the same command
continues them.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rich.markup import escape

from itertl import faults
from itertl.config import ComputeConfig, Recipe
from itertl.doctor.node import machines
from itertl.errors import DataError, RunError, UsageError
from itertl.loop import shown
from itertl.loop.study.file import Arm, Study, needs
from itertl.loop.study.fit import Fitter
from itertl.model.prompt_form import with_form
from itertl.progress import Reporter
from itertl.runs import selection
from itertl.runs.folder import exclusive
from itertl.runs.read import Run, iteration_folders, read_run
from itertl.sampling import lengths
from itertl.work import children, devices

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
_NICENESS = 10


class StudyRun(NamedTuple):
    """One run of a study."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm.name}/seed-{self.seed}"

    def folder(self, out: Path) -> Path:
        return out / self.arm.name / f"seed-{self.seed}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run runs: what it sees of the devices (None: all)."""

    number: int
    devices: str | None = None


@dataclass(slots=True)
class StudyOutcome:
    """What became of the runs: the finished ones, those that failed, and those left out because one that they need
    failed, with why."""

    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def pin(core: int) -> None:
    """Put this process, and all that it starts, on one core with one thread, behind whatever else wants it.

    Raises UsageError for a core that this process may not use.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if core not in allowed:
        raise UsageError(
            f"--background-core {core}: this process may use cores {', '.join(map(str, allowed))}; give one of them"
        )
    os.sched_setaffinity(0, {core})
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    if os.getpriority(os.PRIO_PROCESS, 0) < _NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the study's folder. Raises RunError where another process does, or where ``out`` holds other things."""
    mark = out / ".study-lock"
    if out.is_dir() and any(out.iterdir()) and not mark.exists():
        raise RunError(
            f"{out} is not the folder of a study (it has files, and no study made them); give another with --out"
        )
    with exclusive(out, mark.name):
        yield


def places(at_once: int | None, compute: ComputeConfig, say: Callable[[str], object]) -> list[Place]:
    """So many runs side by side; None: one for each GPU that can be seen, else one; on a cluster as many as there is
    room for.

    Several share out the GPUs of this machine among them; on a cluster each waits for what it needs.
    """
    if compute.engine != "local":
        with machines(compute, say) as used:
            return [Place(number) for number in range(at_once or used.runs_at_once(compute))]
    gpus = devices.gpus()
    count = at_once or max(1, len(gpus))
    if count == 1 or not gpus:
        return [Place(number) for number in range(count)]
    mine = [gpus[number::count] or [gpus[number % len(gpus)]] for number in range(count)]
    return [Place(number, ",".join(some)) for number, some in enumerate(mine)]


def is_finished(recipe: Recipe, folder: Path) -> bool:
    """Whether the folder holds a finished run of exactly this recipe with its report written."""
    try:
        run = read_run(folder)
        is_last = (folder / "report.html").stat().st_mtime_ns >= (folder / "metrics.jsonl").stat().st_mtime_ns
    except (DataError, OSError):
        return False
    return run.is_finished and is_last and is_as_asked(run, recipe)


def is_as_asked(run: Run, recipe: Recipe) -> bool:
    """Whether a run was made with exactly this recipe."""
    asked = with_form(recipe, lambda _: None)
    return run.recipe == lengths.settled(asked, lambda: shown.load(asked).problems)


def drop_checkpoints(study: Study, job: StudyRun, out: Path) -> None:
    """Remove the checkpoints of a finished run but its result and those that an arm starts from. `itertl run` in that
    folder would make them again."""
    folder = job.folder(out)
    run = read_run(folder)
    kept = {selection.chosen(run.metrics, run.recipe.select), run.iterations_done}
    kept |= {arm.start.iteration for arm in study.arms if arm.start is not None and arm.start.arm == job.arm.name}
    for number, iteration in iteration_folders(folder).items():
        if number not in kept:
            shutil.rmtree(iteration / "checkpoint", ignore_errors=True)


class Scheduler:
    """Starts and watches the runs of one study in the folder ``out``. ``after`` is called whenever one has ended."""

    def __init__(
        self, study: Study, out: Path, reporter: Reporter, after: Callable[[], object], *, at_once: int | None = None,
        resume_changed: bool = False, keep_last: bool = False,
    ) -> None:  # fmt: skip
        self.study, self.out, self.reporter, self._after, self._keep_last = study, out, reporter, after, keep_last
        self._fitter = Fitter(study, out)
        self._options = ["--resume-changed"] if resume_changed else []
        self._free = places(at_once, self._compute(), reporter.say)
        self._running: list[tuple[StudyRun, Place, subprocess.Popen[bytes], float]] = []
        self._asked: set[str] = set()
        self._begun: dict[str, tuple[str, ...]] = {}  # job -> the settings that it was last begun with
        self.outcome = StudyOutcome()

    def _compute(self) -> ComputeConfig:
        """Where the runs work: as the first one does."""
        arm, seed = next(self.study.jobs())
        return self.study.recipe(arm, seed).compute

    def run(self, only: Sequence[str] = ()) -> StudyOutcome:
        """Do all jobs, or those of the arms ``only``. A run that fails stops no other but those that need it."""
        waiting = [StudyRun(arm, seed) for arm, seed in self.study.jobs() if not only or arm.name in only]
        self._asked = {job.name for job in waiting}
        try:
            while True:
                waiting = [job for job in waiting if not self._settle(job)]
                if not self._running and not waiting:
                    return self.outcome
                waiting = self._collect() + waiting
        finally:
            self._stop()

    def _settle(self, job: StudyRun) -> bool:
        """Start a job that can be, and note one that is done or cannot be; False where it must wait."""
        for name in sorted(needs(job.arm)):
            other = StudyRun(self.study.arm(name), job.seed)
            if other.name in self.outcome.done:
                continue
            if other.name in self._asked and other.name not in {**self.outcome.failed, **self.outcome.left_out}:
                return False
            if other.name not in self._asked and self._is_finished(other):
                continue
            self.outcome.left_out[job.name] = f"needs {other.name}, which is not finished"
            self.reporter.say(f"{job.name} is left out: {self.outcome.left_out[job.name]}")
            return True
        if not self._free:
            return False
        settings = (*self.study.settings(*job, self.out), *self._fitter.overrides(*job))
        is_done = self._begun.get(job.name) == settings  # a growing arm is begun again with more iterations
        if is_done or self._is_finished(job):
            self.reporter.say(f"{job.name}: done{'' if job.name in self._begun else ' before'}")
            self.outcome.done.add(job.name)
            if self._keep_last:
                drop_checkpoints(self.study, job, self.out)
            return True
        self._begin(job, settings, self._free.pop(0))
        return True

    def _is_finished(self, job: StudyRun) -> bool:
        return is_finished(self._fitter.recipe(*job, self.out), job.folder(self.out))

    def _begin(self, job: StudyRun, settings: tuple[str, ...], place: Place) -> None:
        log = self.log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "itertl", "run", str(self.study.base), *settings,
            "--out", str(job.folder(self.out)), "--share-from", str(self.out), *self._options,
        ]  # fmt: skip
        process = children.start(command, log, {} if place.devices is None else {"CUDA_VISIBLE_DEVICES": place.devices})
        fitted = self._fitter.overrides(*job)
        self.reporter.say(f"{job.name}: begins{' with ' + ' '.join(fitted) if fitted else ''} (log in {log})")
        self._begun[job.name] = settings
        self._running.append((job, place, process, time.monotonic()))
        faults.point("study.run-begun")

    def notes(self, runs: Mapping[str, Mapping[int, Run]]) -> Iterator[str]:
        """Which of the ``runs`` in the table (arm -> seed -> run) are not what the study asks for now, and why."""
        for job in (StudyRun(arm, seed) for arm, seed in self.study.jobs() if seed in runs.get(arm.name, {})):
            name = f"{job.arm.name}, seed {job.seed}"
            if job.name in self.outcome.failed:
                yield f"{name}: failed ({self.outcome.failed[job.name]}); what the table has of it is from before"
            elif job.name not in self.outcome.done and not self._is_as_asked(job, runs[job.arm.name][job.seed]):
                yield f"{name}: was made with another recipe than the study asks for now; start the study again for it"

    def _is_as_asked(self, job: StudyRun, run: Run) -> bool:
        try:
            recipe = self._fitter.recipe(*job, self.out)
        except DataError:  # it grows towards a run that is not there
            return True
        if job.arm.equal == "candidate_tokens":
            recipe = recipe.model_copy(update={"iterations": run.recipe.iterations})
        return is_as_asked(run, recipe)

    def log(self, job: StudyRun) -> Path:
        return self.out / "logs" / f"{job.arm.name}-seed-{job.seed}.log"

    def _collect(self) -> list[StudyRun]:
        """Wait for a run to end, and note how it did; those that ended well are to be looked at once more."""
        assert self._running, "jobs wait for each other"
        well: list[StudyRun] = []
        while not (ended := [entry for entry in self._running if entry[2].poll() is not None]):
            time.sleep(0.1)
        for entry in ended:
            job, place, process, begun = entry
            self._running.remove(entry)
            self._free.append(place)
            if process.returncode == 0:
                well.append(job)
                self.reporter.say(f"{job.name}: ended well after {time.monotonic() - begun:.0f} s")
            else:
                self.outcome.failed[job.name] = self._why(job, process.returncode)
                self.reporter.say(f"[red]{job.name} failed[/red]: {escape(self.outcome.failed[job.name])}")
            faults.point("study.run-ended")
            self._after()
        return well

    def _why(self, job: StudyRun, status: int) -> str:
        """The last line that a failed run said, and where the rest is."""
        lines = children.last_lines(self.log(job), 1)
        last = lines[-1].removeprefix("itertl: ") if lines else "it said nothing"
        return f"{last} ({children.ending(status)}; log in {self.log(job)})"

    def _stop(self) -> None:
        """Ask the runs that are still going to end, and wait: each saves what it has."""
        for _, _, process, _ in self._running:
            process.terminate()
        try:
            for _, _, process, _ in self._running:
                process.wait()
        except KeyboardInterrupt:  # asked a second time
            for _, _, process, _ in self._running:
                process.kill()
            raise
