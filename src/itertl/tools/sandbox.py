"""The place where a process starts: with limits, in its own process group, its output capped, nothing left behind.

What it does now: resource limits (address space, CPU time, file size, open files, core dumps off), stdin closed or
given, a wall-clock limit, SIGKILL to the whole process group at the end, and a capped reader of stdout and stderr, so
that a flood costs neither memory nor disk here. What it does not: it hides no file and cuts no network.
"""

import contextlib
import os
import resource
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process tree. Example: ``Limits(wall_s=30, memory_mb=2048)``."""

    wall_s: float = 30.0
    cpu_s: int = 30  # per process
    memory_mb: int = 2048  # address space, per process
    file_mb: int = 64  # largest file that it may write
    open_files: int = 256
    output_kb: int = 1024  # of stdout and of stderr, each; what is more ends the run


@dataclass(frozen=True, slots=True)
class Completed:
    """How a process ended. ``returncode`` is negative for a signal, as in subprocess."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool  # hit wall_s or cpu_s
    flooded: bool  # wrote more than output_kb and was stopped
    seconds: float


def minimal_env() -> dict[str, str]:
    """The environment given to tools: a search path, C locale, nothing else of ours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    limits: Limits = Limits(),
    stdin: str | None = None,
    env: dict[str, str] | None = None,
) -> Completed:
    """Run ``argv`` in ``cwd`` and return how it ended; never raises for what the program does.

    Raises FileNotFoundError where the program does not exist: callers turn it into ToolMissing.
    """
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        source: int | tempfile._TemporaryFileWrapper[bytes] = subprocess.DEVNULL
        if stdin is not None:
            source = stack.enter_context(tempfile.NamedTemporaryFile(dir=cwd))
            source.write(stdin.encode("utf-8", "surrogatepass"))
            source.seek(0)
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=minimal_env() if env is None else env,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: _apply(limits),
        )
        try:
            out, err, timed_out, flooded = _read(process, start + limits.wall_s, limits.output_kb * 1024)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
    timed_out = timed_out or process.returncode == -signal.SIGXCPU
    return Completed(process.returncode, _text(out), _text(err), timed_out, flooded, time.monotonic() - start)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _apply(limits: Limits) -> None:
    """In the child, before exec."""
    memory, largest_file = limits.memory_mb << 20, limits.file_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(process: subprocess.Popen[bytes], deadline: float, cap: int) -> tuple[bytes, bytes, bool, bool]:
    """Read both pipes until they close and the process ends, the deadline passes, or one exceeds the cap."""
    assert process.stdout is not None and process.stderr is not None
    buffers = {process.stdout: bytearray(), process.stderr: bytearray()}
    timed_out = flooded = False
    with selectors.DefaultSelector() as selector:
        for pipe in buffers:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            for key, _ in selector.select(min(left, 1.0)):
                pipe = key.fileobj
                data = os.read(key.fd, 65536)
                buffer = buffers[pipe]  # type: ignore[index]
                buffer += data
                if not data:
                    selector.unregister(pipe)
                if len(buffer) > cap:
                    flooded = True
            if flooded:
                break
    if not timed_out and not flooded:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
    return bytes(buffers[process.stdout][:cap]), bytes(buffers[process.stderr][:cap]), timed_out, flooded


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A private folder that is gone afterwards; in memory where the machine offers /dev/shm."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="itertl-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
