"""A process group: one function on several processes that compute together (torch.distributed), for example a training
round.

The processes are started by torch's elastic launcher. One that dies ends the group, which is started again and resumes
from what the function has saved; three deaths without progress between them end the stage. All end with the caller,
whatever ends it. The first process sends its progress and its remarks to the caller.
"""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from itertl import faults
from itertl.errors import ItertlError, ToolFailed
from itertl.progress import Reporter, Tracker, check
from itertl.work import children

_LOOK_S = 0.1  # from one look at the group to the next
_END_S = 20.0  # that a group gets to end when it is asked to
_ERRORS = "error-*.pickle"
_LAUNCHED_BY = "ITERTL_GROUP_LAUNCHER"
_JOB, _RESULT, _EVENTS, _LAUNCHER = "job.pickle", "result.pickle", "events.jsonl", "launcher.log"
_FIRST = "first-death.json"  # the process that died first, and its exit status as in subprocess


def run_group(
    function: str, job: Any, processes: int, folder: Path, *, reporter: Reporter, env: Mapping[str, str] | None = None
) -> Any:
    """The result of ``function(job, reporter)`` ("module:function") in the first of ``processes`` processes.

    ``folder``: for what the processes exchange and log; made here and removed at the end. Raises what the function
    raises in any of them, and ToolFailed where the group dies three times without progress in between.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _JOB).write_bytes(pickle.dumps((function, job)))
    deaths, events = 0, Events(folder / _EVENTS, reporter)
    try:
        while True:
            before = dict(events.furthest)
            for path in [*folder.glob(_ERRORS), *folder.glob(_FIRST), *folder.glob("*.log")]:
                path.unlink()
            status = _attempt(folder, processes, env or {}, events)
            if (folder / _RESULT).is_file():
                return pickle.loads((folder / _RESULT).read_bytes())
            for path in sorted(folder.glob(_ERRORS)):
                raise pickle.loads(path.read_bytes())
            deaths = 1 if events.furthest != before else deaths + 1
            if deaths >= children.ATTEMPTS:
                raise ToolFailed(_last_words(folder, processes, deaths, status))
            reporter.say(f"a process of the group died; all {processes} are started again")
    finally:
        events.close()
        shutil.rmtree(folder, ignore_errors=True)


def _last_words(folder: Path, processes: int, deaths: int, status: int) -> str:
    """Of the process that died first, the last time; of the launcher where that is not known."""
    who, log = "its launcher", folder / _LAUNCHER
    if (folder / _FIRST).is_file():
        rank, status = json.loads((folder / _FIRST).read_bytes())
        who, own = f"process {rank}", folder / f"rank-{rank}.log"
        log = own if own.exists() else log
    return (
        f"the group of {processes} processes died {deaths} times at the same place (the last time {who} first: "
        f"{children.ending(status)}); {children.last_words(log)}"
    )


def _attempt(folder: Path, processes: int, env: Mapping[str, str], events: "Events") -> int:
    """Start the group and follow it to its end; the launcher's exit status."""
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    command = [sys.executable, "-m", "itertl.work.group", str(folder), str(processes)]
    launcher = children.start(command, folder / _LAUNCHER, {"OMP_NUM_THREADS": threads, **os.environ, **env})
    faults.point("group.begun")
    try:
        while launcher.poll() is None:
            check()
            events.pass_on()
            time.sleep(_LOOK_S)
        return launcher.returncode
    finally:
        if launcher.poll() is None:
            launcher.terminate()
            try:
                launcher.wait(_END_S)
            except subprocess.TimeoutExpired:
                launcher.kill()
                launcher.wait()
        events.pass_on()


class Events:
    """What the first process says, passed on to the caller's reporter. ``path``: of the file that it writes it into."""

    def __init__(self, path: Path, reporter: Reporter) -> None:
        self._path, self._reporter, self._read = path, reporter, 0
        self._stack = contextlib.ExitStack()
        self._tracker: Tracker | None = None
        # stage -> units of work that were ever reported done; what is done again does not count
        self.furthest: dict[str, int] = {}
        self._name, self._done = "", 0

    def pass_on(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as handle:
            handle.seek(self._read)
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self.take(*json.loads(line))

    def take(self, kind: str, *rest: Any) -> None:
        """Pass one on."""
        if kind == "say":
            self._reporter.say(*rest)
        elif kind == "stage":
            self.close()
            self._name, _, self._done = rest
            self._tracker = self._stack.enter_context(self._reporter.stage(*rest))
        elif kind == "measured":
            self._reporter.measured(*rest)
        elif kind == "advance" and self._tracker is not None:
            self._done += rest[0]
            self.furthest[self._name] = max(self._done, self.furthest.get(self._name, 0))
            self._tracker.advance(*rest)

    def close(self) -> None:
        self._stack.close()
        self._tracker = None


class Relay(Reporter, Tracker):
    """In the first process: writes what is to be passed on. In the others: nothing."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(quiet=True)
        self._path = path

    def send(self, *event: Any) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(event) + "\n")

    def say(self, text: object) -> None:
        self.send("say", str(text))

    def measured(self, values: Mapping[str, float], step: int) -> None:
        self.send("measured", dict(values), step)

    @contextlib.contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Tracker]:
        self.send("stage", name, total, done)
        yield self

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.send("advance", amount, note)


def _launch(folder: Path, processes: str) -> None:
    """What the launcher does. Its members know it by its number: one that was killed while they start has them
    inherited by another process."""
    children.quiet_libraries()
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ[_LAUNCHED_BY] = str(os.getpid())
    try:
        run.main(
            [
                "--standalone", "--nproc-per-node", processes, "--max-restarts", "0", "--monitor-interval", "0.1",
                "-m", "itertl.work.group", str(folder),
            ]
        )  # fmt: skip
    except ChildFailedError as error:
        statuses = {rank: (failure.timestamp, failure.exitcode) for rank, failure in error.failures.items()}
        rank = first_death(statuses)
        (folder / _FIRST).write_text(json.dumps([rank, statuses[rank][1]]), encoding="utf-8")
        sys.exit(1)


def first_death(deaths: Mapping[int, tuple[int, int]]) -> int:
    """The process whose death the others followed, of (second, exit status) of each.

    Within a second, one that a signal killed comes before one that lost its connection to it; SIGTERM is what the
    launcher ends the rest with.
    """
    return min(
        deaths, key=lambda rank: (deaths[rank][0], deaths[rank][1] == -signal.SIGTERM, deaths[rank][1] >= 0, rank)
    )


def _member(folder: Path) -> None:
    """What a process of the group does."""
    rank = int(os.environ["RANK"])
    children.serve(int(os.environ[_LAUNCHED_BY]), folder / f"rank-{rank}.log")
    function, job = pickle.loads((folder / _JOB).read_bytes())
    module, _, name = function.partition(":")
    try:
        result = getattr(import_module(module), name)(job, Relay(folder / _EVENTS if rank == 0 else None))
    except ItertlError as error:  # other errors are in the log: most follow from the death of another process
        _leave(folder / f"error-{rank}.pickle", error)
        raise
    if rank == 0:
        _leave(folder / _RESULT, result)


def _leave(path: Path, value: Any) -> None:
    aside = path.with_suffix(".aside")
    aside.write_bytes(pickle.dumps(value))
    aside.replace(path)


if __name__ == "__main__":
    _launch(Path(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 2 else _member(Path(sys.argv[1]))
