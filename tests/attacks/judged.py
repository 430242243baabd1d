"""Judge many attacks at once at one sandbox level, with canaries around and every process counted."""

import contextlib
import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attacks.files import CANARY
from attacks.suite import Attack
from attacks.targets import PROBLEMS
from attacks.timed import Timed
from itertl.evaluation import judge
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.completions import Completion
from itertl.evaluation.worker import GateTask, RunTask
from itertl.judging import gate, strict
from itertl.records import EvalRow
from itertl.sandbox import launcher, levels
from itertl.sandbox.sandbox import Limits
from itertl.work import pool
from itertl.work.pool import Outcome

LIMITS = Limits(wall_s=4, cpu_s=1, memory_mb=512, file_mb=8, folder_mb=16, folder_files=256)
GATE_S = 6.0
SLACK_S = 1.0  # what a program may take beyond its limit, until it is dead and reaped
OUTSIDE = Path(tempfile.gettempdir()) / "itertl-attack-file"  # attacks name it
_BENCHMARK = Benchmark(name="attacks", version="1", problems=tuple(PROBLEMS.values()))
_PR_SET_CHILD_SUBREAPER = 36

Snapshot = dict[str, tuple[int, int, bytes]]


@dataclass(slots=True)
class Batch:
    """What became of a batch. ``overruns``: attack's name -> a program or worker that outlived its limit."""

    rows: dict[str, EvalRow] = field(default_factory=dict)
    said: dict[str, strict.Said | None] = field(default_factory=dict)  # without the gate; None: the worker died
    overruns: dict[str, str] = field(default_factory=dict)
    before: Snapshot = field(default_factory=dict)
    after: Snapshot = field(default_factory=dict)
    left: tuple[str, ...] = ()  # processes that are still there, by command line


def through_judge(level: str, attacks: Sequence[Attack]) -> Batch:
    """All attacks through the judge's front door, under its strict rule."""
    with _surroundings(level, attacks) as (batch, texts):
        completions = [Completion(a.target, n, texts[a.name], full_module=True) for n, a in enumerate(attacks)]
        with _watched(batch, {(a.target, texts[a.name]): a.name for a in attacks}):
            conditions = judge.Conditions(limits=LIMITS)
            rows = judge.judge(_BENCHMARK, completions, rule="strict", conditions=conditions, num_workers=2)
        batch.rows.update({a.name: row for a, row in zip(attacks, rows, strict=True)})
    return batch


def without_gate(level: str, attacks: Sequence[Attack]) -> Batch:
    """The attacks straight into compiler and simulator: what the sandbox and the renamed testbench hold alone."""
    with _surroundings(level, attacks) as (batch, texts):
        tasks = [RunTask(PROBLEMS[a.target], texts[a.name], "icarus", LIMITS) for a in attacks]
        for number, outcome in pool.map_unordered("attacks.timed:work", tasks, num_workers=2, timeout_s=60):
            name = attacks[number].name
            batch.said[name] = outcome.value.value if outcome.status == "ok" else None
            _note(batch, name, outcome)
    return batch


@contextlib.contextmanager
def _surroundings(level: str, attacks: Sequence[Attack]) -> Iterator[tuple[Batch, dict[str, str]]]:
    """A canary folder, a home and a working folder that must stay as they are; a level; no process of ours before."""
    batch = Batch()
    folder = Path(tempfile.mkdtemp(prefix="canary-"))
    texts = {a.name: a.text.replace(CANARY, str(folder / "canary")) for a in attacks}
    _lay_out(folder, is_open=level != "rlimits")
    OUTSIDE.unlink(missing_ok=True)  # left by a judge that was weaker
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    existing = _children()
    try:
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder / "work"):
            patch.setenv("HOME", str(folder / "home"))
            patch.setenv(levels.FORCED, level)
            patch.setattr(judge, "GATE_TIMEOUT_S", GATE_S)
            batch.before = snapshot(folder)
            yield batch, texts
            batch.after = snapshot(folder)
            launcher.close_all()  # what this process keeps for its own runs is no leftover of an attack
            batch.left = _left_since(existing)
    finally:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        shutil.rmtree(folder)


def _lay_out(folder: Path, *, is_open: bool) -> None:
    """``is_open``: anybody may write everything, so that the sandbox alone protects it.

    At the level ``rlimits`` files of the user are open by its definition: there only what is root's is protected.
    """
    folder.chmod(0o777 if is_open else 0o755)
    for name in ("canary", "home", "work"):
        inner = folder / name
        inner.mkdir()
        (inner / "text").write_text("00 11 22 33\ncanary\n", encoding="ascii")
        (inner / "text").chmod(0o666 if is_open else 0o644)
        inner.chmod(0o777 if is_open else 0o755)


def snapshot(folder: Path) -> Snapshot:
    """Path -> mode, time of change in ns, content (names, for a folder), of all below; with ``OUTSIDE``."""
    found: Snapshot = {str(OUTSIDE): (0, 0, b"there" if OUTSIDE.exists() else b"absent")}
    for path in [folder, *sorted(folder.rglob("*"))]:
        state = path.stat()
        content = (
            path.read_bytes() if path.is_file() else b"\n".join(sorted(os.fsencode(p.name) for p in path.iterdir()))
        )
        found[str(path.relative_to(folder))] = (state.st_mode, state.st_mtime_ns, content)
    return found


def _left_since(existing: dict[int, str]) -> tuple[str, ...]:
    """Command lines of descendants that were not there before and are still there when ``SLACK_S`` is over."""
    deadline = time.monotonic() + SLACK_S
    while (left := _children().keys() - existing.keys()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return tuple(sorted(line for number, line in _children().items() if number in left))


def _children() -> dict[int, str]:
    """Living descendants of this process: number -> command line. Orphans come to it, since it is their reaper."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, parent = (entry / "stat").read_text("latin-1").rsplit(")", 1)[1].split()[:2]
            if state not in "ZX":
                parents[int(entry.name)] = int(parent)
    ours, known = {os.getpid()}, 0
    while known != len(ours):
        known = len(ours)
        ours |= {number for number, parent in parents.items() if parent in ours}
    lines: dict[int, str] = {}
    for number in ours - {os.getpid()}:
        with contextlib.suppress(OSError):
            line = (Path("/proc") / str(number) / "cmdline").read_text("latin-1").replace("\0", " ")
            if "resource_tracker" not in line:
                lines[number] = line
    return lines


@contextlib.contextmanager
def _watched(batch: Batch, names: dict[tuple[str, str], str]) -> Iterator[None]:
    """Note the times of every task that the judge gives to its workers."""
    original = pool.Workers.map_unordered
    designs: dict[tuple[str, str], str] = {}

    def map_unordered(workers: pool.Workers, payloads: Any, **options: Any) -> Iterator[tuple[int, Outcome]]:
        tasks = list(payloads)
        for number, outcome in original(workers, tasks, **options):
            task = tasks[number]
            key = (str(task.problem.upstream_id), getattr(task, "code", getattr(task, "design", "")))
            name = (names if isinstance(task, GateTask) else designs).get(key)
            if name is not None:
                _note(batch, name, outcome)
                if outcome.status == "ok" and isinstance(outcome.value.value, gate.Design):
                    designs[key[0], outcome.value.value.text] = name
            yield number, Outcome("ok", outcome.value.value) if outcome.status == "ok" else outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "WORKER", "attacks.timed:work")
        patch.setattr(pool.Workers, "map_unordered", map_unordered)
        yield


def _note(batch: Batch, name: str, outcome: Outcome) -> None:
    if outcome.status != "ok":
        return  # the pool ended it at its own limit
    timed: Timed = outcome.value
    late = [f"{seconds:.1f} s of {limit:g} s" for seconds, limit in timed.programs if seconds > limit + SLACK_S]
    limit = sum(limit for _, limit in timed.programs) if timed.programs else GATE_S
    if timed.seconds > limit + SLACK_S:
        late.append(f"{timed.seconds:.1f} s in all, of {limit:g} s")
    if late:
        batch.overruns[name] = "; ".join(late)
