"""One step of a run in the launcher: from its program's start to the end of its whole group."""

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

from itertl.sandbox.restrictions import Request
from itertl.sandbox.totals import descendants, folder_size, reap_all, resident_bytes, unlinked_bytes

if TYPE_CHECKING:
    from itertl.sandbox.confine import ConfinedRun

TICK_S = 0.05
_DRAIN_S = 0.5  # for what the pipes still hold once all who could write are dead
_MAX_READ = 1 << 16

Reply = dict[str, Any]


class CallerGone(Exception):
    """The caller is dead or has hung up."""


class Step:
    """One program from its start to the end of its whole group, its output read up to the cap."""

    def __init__(self, run: "ConfinedRun", number: int) -> None:
        self.run_, self.number = run, number
        self.limits: Request = run.request["steps"][number]["limits"]
        self.began = time.monotonic()
        self.deadline = self.began + self.limits["wall_s"]
        self.cap = self.limits["output_kb"] * 1024
        self.timed_out = self.flooded = False
        self.overran = ""

    def run(self) -> Reply:
        out, out_w, err, err_w, _, _ = self.run_.ends[self.number]
        self.pid = self.run_.start(self.number)
        for theirs in (out_w, err_w):
            self.run_.release(theirs)
        self.buffers = {out: bytearray(), err: bytearray()}
        try:
            self._read()
        finally:
            returncode, used_s = self._end()
        self._drain()
        if returncode == -signal.SIGXCPU or (returncode == -signal.SIGKILL and used_s >= self.limits["cpu_s"]):
            self.timed_out = True
        return {
            "returncode": returncode,
            "stdout": bytes(self.buffers[out][: self.cap]),
            "stderr": bytes(self.buffers[err][: self.cap]),
            "timed_out": self.timed_out,
            "flooded": self.flooded,
            "overran": self.overran,
            "seconds": time.monotonic() - self.began,
            "cpu_s": used_s,
        }

    def _read(self) -> None:
        """Read both pipes until the program ends or a limit is reached."""
        caller = self.run_.launcher.caller.fileno()
        ended = self._handle_of_end()
        poll = select.poll()
        for handle in (*self.buffers, caller, *([ended] if ended >= 0 else [])):
            poll.register(handle, select.POLLIN)
        next_tick = self.began + TICK_S
        try:
            while not (self.timed_out or self.flooded or self.overran):
                now = time.monotonic()
                if now >= next_tick:
                    self.overran = self._excess()
                    next_tick = time.monotonic() + max(TICK_S, 10 * (time.monotonic() - now))
                left = min(self.deadline, next_tick) - time.monotonic()
                self.timed_out = self.deadline <= time.monotonic()
                step_ms = max(0, int(left * 1000) + 1)
                for handle, _ in poll.poll(step_ms if ended >= 0 else min(step_ms, 5)):
                    if handle == caller:
                        raise CallerGone
                    if handle in self.buffers and not self._take(handle):
                        poll.unregister(handle)
                if self._has_ended():
                    return
        finally:
            if ended >= 0:
                os.close(ended)

    def _handle_of_end(self) -> int:
        """A descriptor that becomes readable when the program ends; -1 where the kernel offers none."""
        try:
            return os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            return -1

    def _has_ended(self) -> bool:
        """Whether the program itself has ended. It stays a zombie, so that its number is not given to another."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _take(self, handle: int) -> bool:
        """Read once; False at the end of the pipe."""
        data = os.read(handle, _MAX_READ)
        buffer = self.buffers[handle]
        if len(buffer) <= self.cap:
            buffer += data
        self.flooded = self.flooded or len(buffer) > self.cap
        return bool(data)

    def _excess(self) -> str:
        """Which total is exceeded now: "processes", "memory", "folder", or ""."""
        holder = self.run_.holder
        tree = {self.pid, *descendants(self.pid)}
        tree |= set(descendants(holder.first if holder else os.getpid()))  # with whoever has lost its parent
        tree -= self.run_.launcher.own()
        if len(tree) > self.limits["processes"]:
            return "processes"
        if resident_bytes(tree) > 2 * self.limits["memory_mb"] << 20:
            return "memory"
        size, count = folder_size(self.run_.folder, self.limits["folder_files"])
        size += unlinked_bytes(tree, os.stat(self.run_.folder).st_dev)  # noqa: PTH116
        is_over = size > self.limits["folder_mb"] << 20 or count > self.limits["folder_files"]
        return "folder" if is_over else ""

    def _end(self) -> tuple[int, float]:
        """Kill the group, reap what is ours; the program's exit status and the processor time of all it waited for."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)  # not yet the leader of a group
        _, status, usage = os.wait4(self.pid, 0)
        if self.run_.holder is None:
            reap_all(spare=self.run_.launcher.own())
        return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime

    def _drain(self) -> None:
        """What the pipes still hold."""
        end = time.monotonic() + _DRAIN_S
        for handle, buffer in self.buffers.items():
            os.set_blocking(handle, False)
            with contextlib.suppress(BlockingIOError):
                while len(buffer) <= self.cap and time.monotonic() < end and self._take(handle):
                    pass
            self.flooded = self.flooded or len(buffer) > self.cap
