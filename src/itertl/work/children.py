"""Child processes that end with the process that started them, and the last words of those that died."""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
ATTEMPTS = 3  # that one part of the work gets before it ends the stage
_libc = ctypes.CDLL(None)
_LIBRARIES = (
    "transformers", "torch", "peft", "accelerate", "huggingface_hub", "gguf", "safetensors", "datasets", "deepspeed",
    "bitsandbytes",
)  # fmt: skip


def quiet_libraries() -> None:
    """A terminal and the logs of workers show our lines, not the remarks of libraries. What the user sets stays."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for library in ("accelerate", "bitsandbytes"):  # the latter warns of a kernel that it does not need
        logging.getLogger(library).setLevel(logging.ERROR)
    if not sys.warnoptions:
        for library in _LIBRARIES:
            warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


def die_with_parent() -> None:
    """Called in a child: it is killed when the thread that started it ends, in whatever way."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start(command: Sequence[str], log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own that ends with this process; what it says is added to ``log``.

    ``env``: besides this process's environment.
    """
    with log.open("ab") as handle:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, env={**os.environ, **env},
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Around the start of a worker: a Ctrl-C that comes before its ``serve`` waits, there and here.

    A spawned process would import the main module of the program again: a script without a main guard would start its
    run once more in each worker. Ours need nothing of it, so for that moment the main module is an empty one.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(parent: int, log: Path | None = None) -> None:
    """Called first in a worker: it ends with ``parent``, leaves Ctrl-C to it, and writes its remarks into ``log``,
    those of libraries left out."""
    die_with_parent()
    quiet_libraries()
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    if log is not None:
        with log.open("ab") as handle:
            os.dup2(handle.fileno(), 2)


def ending(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None or status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else "unnamed"
    cause = ", as when memory runs out" if -status == signal.SIGKILL else ""
    return f"killed by signal {-status} ({name}){cause}"


def last_lines(log: Path, count: int = 12) -> list[str]:
    """The end of a worker's log, for an error's message: its last lines that are not blank."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:]


def last_words(log: Path) -> str:
    """``last_lines`` as they end an error's message."""
    lines = last_lines(log)
    return "its log is empty" if not lines else "the last lines of its log:" + "".join(f"\n  {line}" for line in lines)
