"""The caller's side of the launcher (``confine``): limits, what came of a run, and one request at a given level.

A launcher is started when first needed and kept; several threads get one each. It ends with this process, whichever way
that ends, and its tools with it.
"""

import atexit
import contextlib
import functools
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from itertl.errors import ToolFailed, ToolMissing
from itertl.sandbox import bubblewrap, confine, reach, restrictions
from itertl.sandbox.removal import remove


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process tree. Example: ``Limits(wall_s=30, memory_mb=2048)``."""

    wall_s: float = 30.0
    cpu_s: int = 30  # per process
    memory_mb: int = 2048  # address space, per process; all together may hold twice as much
    file_mb: int = 64  # largest file that it may write
    open_files: int = 256
    output_kb: int = 1024  # of stdout and of stderr, each; what is more ends the run
    processes: int = 64  # at once, threads too; with 1 the tool cannot start another
    folder_mb: int = 256  # all that lies in the private folder
    folder_files: int = 4096  # files and folders in it
    readable: tuple[str, ...] = ()  # files and folders to read besides the system's and the tool's own
    proc: bool = False  # wants /proc, which bubblewrap's view else lacks: some find their own files by it
    read_only: bool = False  # may write no file at all (by the filter; "rlimits" has nothing else to keep it from that)
    builds: bool = False  # may change modes of files even where only that could hurt others: linkers do


@dataclass(frozen=True, slots=True)
class Completed:
    """How a process ended. ``returncode`` is negative for a signal, as in subprocess."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool  # hit wall_s or cpu_s
    flooded: bool  # wrote more than output_kb and was stopped
    seconds: float
    cpu_s: float = 0.0  # processor time of the program and all it waited for
    overran: str = ""  # "folder", "memory" or "processes" where it was stopped for what it amounted to in total


@dataclass(frozen=True, slots=True)
class Warm:
    """A trusted program that is kept linked and waiting before its main function, for each run to continue from there
    instead of starting anew; only where that works (``warm``)."""

    library: bytes  # ``warm.c``, compiled
    modules: tuple[str, ...] = ()  # libraries that it will load itself


def minimal_env() -> dict[str, str]:
    """The environment given to tools: a search path, C locale, nothing else of ours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def execute(
    level: str,
    steps: Sequence[Sequence[str]],
    *,
    cwd: Path,
    limits: Sequence[Limits],
    env: Mapping[str, str] | None = None,
    warm: Sequence[Warm | None] = (),
) -> list[Completed]:
    """Run the steps one after the other at that level, up to the first that does not end with status 0.

    Raises OSError (FileNotFoundError and so on) where a program cannot be executed, ToolFailed where the confinement
    cannot be set up.
    """
    folder = os.path.realpath(cwd)
    environment = {**(minimal_env() if env is None else env), "TMPDIR": folder}
    path = environment.get("PATH", os.defpath)
    programs = [_find(argv[0], path) for argv in steps]
    readable = reach.readable(tuple(programs), tuple(p for limit in limits for p in limit.readable))
    is_scratch = folder in _scratches
    shown = os.path.dirname(folder) if is_scratch else folder  # noqa: PTH120
    view = None
    if level == "bubblewrap":
        view = _view(shown, readable, any(limit.proc for limit in limits), is_scratch)
    request = {
        "level": level, "cwd": folder, "is_scratch": is_scratch, "readable": list(readable), "view": view,
        "steps": [
            {"program": program, "argv": list(map(os.fspath, argv)), "env": environment, "limits": as_request(limit),
             "warm": None if kept is None else (kept.library, ":".join(kept.modules))}
            for program, argv, limit, kept in zip(programs, steps, limits, warm or [None] * len(steps), strict=True)
        ],
    }  # fmt: skip
    return [_completed(done) for done in _ask(request, sum(limit.wall_s for limit in limits))]


@functools.lru_cache(maxsize=256)
def as_request(limits: Limits) -> restrictions.Request:
    """As the launcher takes them."""
    return {**asdict(limits), "readable": None}


@functools.lru_cache(maxsize=64)
def _find(program: str, path: str) -> str:
    """The path of ``program``; looked up once. A relative path is left as it is. Raises FileNotFoundError."""
    if os.sep in program:
        if os.path.isabs(program) and not os.path.exists(program):  # noqa: PTH117, PTH110
            raise FileNotFoundError(2, "No such file or directory", program)
        return program
    found = shutil.which(program, path=path)
    if found is None:
        raise FileNotFoundError(2, "No such file or directory", program)
    return os.path.abspath(found)  # noqa: PTH100


def _view(folder: str, readable: Sequence[str], proc: bool, is_shared: bool) -> list[str]:
    as_root = os.geteuid() == 0
    return bubblewrap.arguments(*find_bubblewrap(), folder, readable, as_root=as_root, proc=proc, is_tmp=not is_shared)


@functools.cache
def find_bubblewrap() -> tuple[str, str]:
    """Paths of ``bwrap`` and of ``cat``, by which it is kept. Raises ToolMissing."""
    found = shutil.which(os.environ.get("ITERTL_BWRAP", "bwrap"))
    cat = next((path for path in ("/usr/bin/cat", "/bin/cat") if os.access(path, os.X_OK)), None)
    if found is None or cat is None:
        raise ToolMissing("bwrap not found: apt-get install bubblewrap, or set ITERTL_BWRAP to its path")
    return found, cat


def _completed(done: Mapping[str, object]) -> Completed:
    fields = {name: v.decode("utf-8", "replace") if isinstance(v, bytes) else v for name, v in done.items()}
    return Completed(**fields)  # type: ignore[arg-type]


# --- private folders

_scratches: set[str] = set()  # made by this process: a launcher removes them if we are killed before we do
_bases = threading.local()


def make_scratch() -> Path:
    """A new private folder. Those of a thread lie in one folder, into which only we can put anything.

    So that one view serves all runs of a thread: within it a tool sees its own run's folder, and no other is visible.
    """
    base = getattr(_bases, "folder", None)
    if base is None or not os.path.isdir(base):  # noqa: PTH112
        parent = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
        base = os.path.realpath(tempfile.mkdtemp(prefix="itertl-", dir=parent))
        _bases.folder = base
        atexit.register(_remove_base, base, os.getpid())
    with _opened(base):
        folder = tempfile.mkdtemp(dir=base)
    _scratches.add(folder)
    return Path(folder)


def remove_scratch(folder: Path) -> None:
    """Remove a folder of ``make_scratch``, whatever lies in it."""
    with _opened(os.fspath(folder.parent)):
        remove(folder)
    _scratches.discard(os.fspath(folder))


@contextlib.contextmanager
def _opened(base: str) -> Iterator[None]:
    """Let this process change ``base``; a tool of the same user cannot: the filter refuses changes of modes."""
    with contextlib.suppress(OSError):
        os.chmod(base, 0o711)  # noqa: PTH101
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.chmod(base, 0o111)  # noqa: PTH101


def _remove_base(base: str, pid: int) -> None:
    if os.getpid() == pid and os.path.isdir(base):  # noqa: PTH112
        with contextlib.suppress(OSError):
            os.chmod(base, 0o700)  # noqa: PTH101
        remove(base)


# --- launchers

_CODE = "import sys; sys.path.append(sys.argv[1]); from itertl.sandbox.confine import serve; serve(3)"
_SLACK_S = 60.0  # beyond the wall limits: a launcher that has said nothing by then is broken


class _Launcher:
    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parents[2])
        argv = [sys.executable, "-I", "-S", "-c", _CODE, root]
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3),
        ]
        with theirs:
            if theirs.fileno() == 3:
                theirs.set_inheritable(True)
                actions.pop()
            env = {"LC_ALL": "C.UTF-8", **{n: v for n, v in os.environ.items() if n == "ITERTL_LAUNCHER"}}
            self.pid = os.posix_spawn(sys.executable, argv, env, file_actions=actions, setsid=True)

    def close(self) -> None:
        """Hang up, upon which it ends what runs and itself, and wait for that."""
        self.connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


_idle: list[_Launcher] = []
_all: list[_Launcher] = []
_lock = threading.Lock()


def _ask(request: restrictions.Request, wall_s: float) -> list[dict[str, object]]:
    with _lock:
        launcher = _idle.pop() if _idle else None
    if launcher is None:
        launcher = _Launcher()
        with _lock:
            _all.append(launcher)
    try:
        launcher.connection.settimeout(wall_s + _SLACK_S)
        confine.send(launcher.connection, request)
        reply = confine.receive(launcher.connection)
        if reply is None:
            raise ToolFailed("the sandbox's launcher ended unexpectedly (killed from outside?)")
    except BaseException as error:
        with _lock:
            _all.remove(launcher)
        launcher.close()
        if isinstance(error, OSError):
            raise ToolFailed(f"the sandbox's launcher does not answer: {error}") from error
        raise
    with _lock:
        _idle.append(launcher)
    if "failed" in reply:
        raise ToolFailed(f"the sandbox cannot be set up: {reply['failed']}")
    if "cannot_start" in reply:
        number, program = reply["cannot_start"]
        raise OSError(number, os.strerror(number), program)
    return reply["done"]


def close_all() -> None:
    """End every launcher of this process; later runs start new ones."""
    with _lock:
        ours = list(_all)
        _all.clear()
        _idle.clear()
    for launcher in ours:
        launcher.close()


def _forget() -> None:
    """In a forked child: the launchers are the parent's, and must see its end, so no copy of a socket stays open."""
    global _lock
    _lock = threading.Lock()
    for launcher in _all:
        launcher.connection.close()
    _all.clear()
    _idle.clear()
    _scratches.clear()
    _bases.__dict__.clear()


os.register_at_fork(after_in_child=_forget)
atexit.register(close_all)
