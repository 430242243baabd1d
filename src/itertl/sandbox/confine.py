"""The launcher: a small process that starts tools under confinement, reads their output, and leaves none of their
processes.

One belongs to each process that calls ``sandbox.run``, which asks it over a socket (``launcher``). It is a process of
its own because forking it is cheap and free of threads whatever the caller has loaded, because as a subreaper it
inherits and reaps whatever a tool abandons, and because it sees the end of its caller, SIGKILL included, and then ends
the tool at once.

A tool gets a session and process group of its own, which the seccomp filter keeps it from leaving, so that killing the
group kills all; where there is no filter, descendants are hunted until none is left. What memory, processes and folder
amount to in total is looked at every ``TICK_S`` (``step``), so that a short run pays nothing; in between a tool may
exceed them.
Imports little: it is started for each worker.
"""

import contextlib
import ctypes
import errno
import marshal
import os
import signal
import socket
import sys
from typing import Any

from itertl.sandbox import identity, landlock, restrictions, seccomp, spawn
from itertl.sandbox.bubblewrap import Holder
from itertl.sandbox.restrictions import Request, Restrictions
from itertl.sandbox.spawn import CannotStart, ConfinementFailed
from itertl.sandbox.step import CallerGone, Reply, Step
from itertl.sandbox.totals import reap_all
from itertl.sandbox.warm import WarmProgram

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SUBREAPER = 1, 4, 36


def serve(number: int) -> None:
    """The launcher's life, on the socket of that descriptor: one request, one reply, until the caller is gone.

    Descriptors above it are closed.
    """
    os.set_inheritable(number, False)
    os.closerange(number + 1, 1 << 20)  # what the caller had marked as inheritable is not for tools
    caller = socket.socket(fileno=number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prctl(_PR_SET_SUBREAPER, 1)
    _prctl(_PR_SET_DUMPABLE, 0)  # no other process of this user may trace it or open its memory
    launcher = _LauncherState(caller)
    scratch: str | None = None
    while (request := receive(caller)) is not None:
        scratch = request["cwd"] if request["is_scratch"] else scratch
        try:
            reply = launcher.serve(request)
        except CallerGone:
            break
        except ConfinementFailed as error:
            reply = {"failed": str(error)}
        except CannotStart as error:
            reply = {"cannot_start": error.args}
        try:
            send(caller, reply)
        except OSError:
            break
    launcher.close()
    if scratch is not None:
        _remove_scratch(scratch)


def _remove_scratch(scratch: str) -> None:
    """Remove the last run's private folder, if the caller was killed before it could, and the folder of them all."""
    base = os.path.dirname(scratch)  # noqa: PTH120
    with contextlib.suppress(OSError):
        os.chmod(base, 0o711)  # noqa: PTH101
        if os.path.isdir(scratch):  # noqa: PTH112
            from itertl.sandbox.removal import remove

            remove(scratch)
        os.rmdir(base)  # noqa: PTH106


def send(connection: socket.socket, value: Any) -> None:
    """One value, of the kinds that ``marshal`` holds."""
    data = marshal.dumps(value)
    connection.sendall(len(data).to_bytes(8, "little") + data)


def receive(connection: socket.socket) -> Any | None:
    """One value, or None where the other end is closed."""
    with connection.makefile("rb") as reader, contextlib.suppress(ConnectionResetError):
        length = int.from_bytes(head, "little") if len(head := reader.read(8)) == 8 else 0
        if length and len(body := reader.read(length)) == length:
            return marshal.loads(body)
    return None


def _prctl(option: int, value: int) -> int:
    if sys.platform != "linux":
        return -1
    return landlock.libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0)


# --- one request


class _LauncherState:
    """What a launcher knows for all its runs."""

    def __init__(self, caller: socket.socket) -> None:
        self.caller = caller
        self.owner = identity.identity()
        self.machine = seccomp.architecture(landlock.libc())
        self.abi = landlock.abi()
        self.kept: Holder | None = None
        self._warm: dict[tuple[str, str], WarmProgram | None] = {}

    def serve(self, request: Request) -> Reply:
        run = ConfinedRun(self, request)
        try:
            return {"done": run.steps()}
        finally:
            run.close()

    def hold(self, view: list[str], *, may_keep: bool) -> Holder:
        """Namespaces for one run. Those of a view that may be kept serve run after run, while no run leaves anything.

        Without the filter they are never kept: a process could leave its group, and System V memory outlives its maker.
        """
        if not may_keep or self.machine is None:
            return Holder(view)
        if self.kept is None or self.kept.line != view or not self.kept.is_empty():
            self._close_namespaces()
            self.kept = Holder(view)
        return self.kept

    def warm(self, step: Request) -> WarmProgram | None:
        """The program of a step that is to be kept linked and waiting, where that is possible here."""
        if step.get("warm") is None or os.environ.get("ITERTL_LAUNCHER") == "exec":
            return None
        if self.machine is None or spawn.machine_code() is None:
            return None
        if os.geteuid() == 0 and self.owner is None:
            return None  # a root that stays root has its rights from exec
        library, modules = step["warm"]
        key = step["program"], modules
        if key not in self._warm:
            self._warm[key] = WarmProgram.start(step["program"], library, modules)
        return self._warm[key]

    def drop(self, program: WarmProgram) -> None:
        """A warm program does not work: from now on it is started anew for each step."""
        program.close()
        self._warm = {key: None if kept is program else kept for key, kept in self._warm.items()}

    def own(self) -> set[int]:
        """Children that outlive a run."""
        warm = {program.pid for program in self._warm.values() if program is not None}
        return warm | ({self.kept.pid} if self.kept is not None else set[int]())

    def _close_namespaces(self) -> None:
        if self.kept is not None:
            self.kept.close()
            self.kept = None
            reap_all(spare=self.own())

    def close(self) -> None:
        """Let go of the namespaces and programs that are kept."""
        self._close_namespaces()
        for program in self._warm.values():
            if program is not None:
                program.close()
        self._warm.clear()
        reap_all()

    def let_go(self, holder: Holder | None) -> None:
        """After a run: end its namespaces, or keep them if it left nothing in them. Every other child is reaped."""
        if holder is not None and (holder is not self.kept or not holder.is_empty()):
            holder.close()
            self.kept = None if holder is self.kept else self.kept
        reap_all(spare=self.own())


class ConfinedRun:
    """One request: ``level``, ``cwd``, ``steps`` (program, argv, env, limits), ``readable``, ``view``."""

    def __init__(self, launcher: _LauncherState, request: Request) -> None:
        self.launcher, self.request = launcher, request
        self.level: str = request["level"]
        self.folder: str = request["cwd"]
        self.handles: list[int] = []
        self.rules = -1
        self.holder: Holder | None = None
        try:
            self._prepare()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | ConfinementFailed):
                raise ConfinementFailed(f"{self.level}: {error}") from error
            raise

    def _prepare(self) -> None:
        owner = self.launcher.owner
        self.keeps_reading = False
        if owner is not None:
            identity.give(self.folder, owner)
            shown = self.folder if self.level != "bubblewrap" else None
            self.keeps_reading = identity.needs_reading(self.request["readable"], shown)
        self.stdin = self.keep(os.open(os.devnull, os.O_RDONLY))
        self.ends = [self._pipes() for _ in self.request["steps"]]
        if self.level == "landlock":
            rules = restrictions.landlock_rules(self.launcher.abi, self.folder, self.request["readable"])
            self.rules = self.keep(rules)
        if self.level == "bubblewrap":
            self.holder = self.launcher.hold(self.request["view"], may_keep=self.request["is_scratch"])

    def keep(self, handle: int) -> int:
        self.handles.append(handle)
        return handle

    def release(self, handle: int) -> None:
        os.close(handle)
        self.handles.remove(handle)

    def _pipes(self) -> tuple[int, ...]:
        """For one step: (read, write) ends of stdout, stderr and the notice of a failed start."""
        return tuple(self.keep(end) for _ in range(3) for end in os.pipe())

    def steps(self) -> list[Reply]:
        """Run the steps, up to the first that does not end with status 0."""
        done: list[Reply] = []
        for number in range(len(self.request["steps"])):
            done.append(Step(self, number).run())
            if done[-1]["returncode"] != 0:
                break
        return done

    def start(self, number: int) -> int:
        """Start a step; its process number as this process sees it. Raises ConfinementFailed, CannotStart."""
        step = self.request["steps"][number]
        warm = self.launcher.warm(step)
        if warm is not None:
            try:
                pid, failed = self._start_warm(warm, number)
            except (OSError, ValueError):
                self.launcher.drop(warm)
                return self.start(number)
        else:
            pid, failed = self._start_new(number)
        if failed is None:
            return pid
        os.waitpid(pid, 0)
        name, reason = failed
        if name == "execve":
            raise CannotStart(reason, step["program"])
        raise ConfinementFailed(f"{self.level}: {name}: {os.strerror(reason)}")

    def _start_new(self, number: int) -> tuple[int, tuple[str, int] | None]:
        step = self.request["steps"][number]
        calls = spawn.Calls()
        self._list_calls(calls, number)
        try:
            calls.execve(step["program"], step["argv"], step["env"])
        except ValueError as error:
            raise CannotStart(errno.EINVAL, str(error)) from error
        pid = calls.start()
        if spawn.machine_code() is None:
            self._wait_for_exec(number)
        return pid, calls.failure()

    def _start_warm(self, warm: WarmProgram, number: int) -> tuple[int, tuple[str, int] | None]:
        step = self.request["steps"][number]
        notice, notice_w = self.ends[number][4:]
        calls = spawn.Calls(warm.base)
        calls.handle(notice_w)
        if self.holder is None:
            calls.fork()
        self._list_calls(calls, number)
        pid = warm.go(calls.message(step["argv"], step["env"]), calls.handles)
        self.release(notice_w)
        failed = os.read(notice, 16)
        return pid, (calls.name(failed[0]), -int.from_bytes(failed[8:], "little", signed=True)) if failed else None

    def _list_calls(self, calls: spawn.Calls, number: int) -> None:
        if self.holder is not None:
            self.holder.join(calls)
        self._prepare_process(calls, number)
        restrictions.restrict(calls, self.plan(self.request["steps"][number]["limits"]))
        calls.add("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
        calls.add("rt_sigprocmask", 2, bytes(8), 0, 8)

    def _prepare_process(self, calls: spawn.Calls, number: int) -> None:
        """A session of its own, the three descriptors, the folder, signals as a program expects them."""
        _, out, _, err, _, _ = self.ends[number]
        calls.add("setsid")
        for source, target in ((self.stdin, 0), (out, 1), (err, 2)):
            calls.add("dup3", spawn.Handle(source), target, 0)
        calls.add("chdir", os.fsencode(self.folder) + b"\0")
        calls.add("umask", 0o022)
        for name in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # Python and the launcher ignore them
            calls.add("rt_sigaction", name, bytes(32), 0, 8)

    def _wait_for_exec(self, number: int) -> None:
        """Until the descriptor that closes on exec is closed: a forked child makes its calls at the same time."""
        _, _, _, _, notice, notice_w = self.ends[number]
        self.release(notice_w)
        os.read(notice, 1)

    def plan(self, limits: Request) -> Restrictions:
        """What one step is held to."""
        owner, processes = self.launcher.owner, self._countable(limits["processes"])
        program = restrictions.filter_program(self.level, self.launcher.machine, self.launcher.abi, limits, owner)
        return Restrictions(limits, processes, owner, self.keeps_reading, self.rules, program)

    def _countable(self, processes: int) -> int | None:
        """The value for RLIMIT_NPROC; None where it would count other processes of the user too."""
        if self.launcher.owner is not None:
            return processes
        if self.level == "bubblewrap" and restrictions.counts_processes_in_namespace():
            return processes + 2  # the holder, and the process that joins and starts the step
        return None

    def close(self) -> None:
        """End what is left, and let go of all that the run held."""
        self.launcher.let_go(self.holder)
        for handle in self.handles:
            os.close(handle)
        self.handles = []
