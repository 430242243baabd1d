"""The only place where a process starts: under limits and confinement, its output capped, nothing left behind.

At every level (``LEVELS``, see ``levels``): limits of address space, processor time, file size, open files and
processes; no new privileges, a seccomp filter (``seccomp``) without sockets, tracing and escapes from the process
group; as root a user of the launcher's own; stdin empty, a minimal environment, no descriptor of ours, capped
stdout and stderr, a wall-clock limit; at the end the whole group is killed and every descendant reaped, also when this
process itself is killed (``confine``). Within ``bounds.held`` limits are no larger than what is left of that bound. The
private folder is bounded in bytes and files.

What it does not: at ``rlimits`` it hides no file, so a tool reads what its user may, and writes it unless it is root's
run; as an ordinary user there, another process of that user is shielded from signals and tracing but not from a write
to ``/proc/PID/mem`` unless the system forbids that. Totals (folder, memory, processes where the kernel cannot count
them) are looked at 20 times a second and may be exceeded in between; as a container's root without CAP_SYS_PTRACE files
that are open but unlinked are not counted. Nothing here hides the time, or what a program can learn of the processor.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from itertl.sandbox import bounds, launcher, reach, restrictions
from itertl.sandbox.launcher import Completed, Limits, Warm, minimal_env
from itertl.sandbox.levels import LEVELS, Finding, level, probe, require

__all__ = (
    "LEVELS", "Completed", "Finding", "Limits", "Warm", "confine_here", "level", "minimal_env", "probe", "require",
    "run", "run_steps", "scratch",
)  # fmt: skip

DEFAULT = Limits()


def run(argv: Sequence[str], *, cwd: Path, limits: Limits = DEFAULT, env: Mapping[str, str] | None = None) -> Completed:
    """Run ``argv`` in the private folder ``cwd`` and return how it ended; never raises for what the program does.

    Raises FileNotFoundError where the program does not exist (callers turn it into ToolMissing), ToolMissing where the
    forced level does not work here, ToolFailed where the confinement cannot be set up, BoundReached (``bounds``).
    """
    done = launcher.execute(level(), [argv], cwd=cwd, limits=[bounds.within(limits)], env=env)
    return _in_time(done)[0]


def run_steps(
    steps: Sequence[Sequence[str]],
    *,
    cwd: Path,
    limits: Limits | Sequence[Limits] = DEFAULT,
    warm: Sequence[Warm | None] = (),
) -> list[Completed]:
    """Run the argument lists one after the other in one sandbox and folder, up to the first that does not end with 0.

    One ``Completed`` for each that ran; every step has pipes and limits of its own (``limits``: one for all, or one
    each). Nothing that a step starts outlives it. ``warm``: of each step, where its program is to be kept waiting.
    Raises as ``run``.
    """
    each = [limits] * len(steps) if isinstance(limits, Limits) else list(limits)
    return _in_time(
        launcher.execute(level(), steps, cwd=cwd, limits=[bounds.within(limit) for limit in each], warm=warm)
    )


def _in_time(done: list[Completed]) -> list[Completed]:
    """What came of a run, which counts against the bound of all work here. Raises BoundReached where that ended it."""
    bounds.charge(sum(step.cpu_s for step in done), ran_out=done[-1].timed_out)
    return done


def confine_here(folder: Path, limits: Limits, owner: int | None) -> None:
    """Put on this process, for good, what ``run`` puts on tools, and make it the leader of its group.

    For a child that was forked from a worker to call a native library on a hostile text; ``owner`` is the worker's
    ``identity.identity()``. Namespaces cannot be put on so late: at "bubblewrap" this is what "landlock" gives, and the
    caller must not use it where the kernel has no Landlock. Raises OSError.
    """
    applied = "rlimits" if level() == "rlimits" else "landlock"
    readable = reach.readable((sys.executable,), limits.readable)
    restrictions.confine_here(applied, os.path.realpath(folder), readable, launcher.as_request(limits), owner)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A private folder that is gone afterwards, whatever lies in it; in memory where the machine offers /dev/shm."""
    folder = launcher.make_scratch()
    try:
        yield folder
    finally:
        launcher.remove_scratch(folder)
