"""A program that has been loaded and linked and waits before its main function: each run is a fork of it.

For a compiler or simulator that works for two milliseconds, starting takes longer than working. ``warm.c``, loaded
before the program, stops it before ``main``, and for each run a child makes the same list of calls (``spawn``) that a
new process makes before exec: it joins the namespaces, is given its descriptors, limits, user, Landlock's rules and the
filter, and then calls ``main``. The waiting program has read nothing of any run but argument lists, and a run can
change nothing in it: a child is a copy. What it does not: draw a new layout of memory for each run.

Where it cannot be (no 64-bit x86, no filter, a script or static program in its place, no library) a program is started
anew for each run. ``ITERTL_LAUNCHER=exec`` always does so.
"""

import array
import contextlib
import os
import select
import signal
import socket
import struct
from collections.abc import Sequence

_PATIENCE_S = 10.0


class WarmProgram:
    """One waiting program of this process. ``base``: where what it is sent lies in its memory."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid, self._connection = pid, connection
        self.base = struct.unpack("=Q", self._receive(8))[0]

    @classmethod
    def start(cls, program: str, library: bytes, modules: str) -> "WarmProgram | None":
        """None where it does not come to wait."""
        with contextlib.suppress(OSError, struct.error), contextlib.ExitStack() as kept:
            with open(program, "rb") as file:  # noqa: PTH123
                if file.read(4) != b"\x7fELF":
                    return None
            memory = os.memfd_create("itertl-warm")
            kept.callback(os.close, memory)
            os.write(memory, library)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            kept.callback(theirs.close)
            actions = [(os.POSIX_SPAWN_OPEN, at, os.devnull, os.O_RDWR, 0) for at in range(3)]
            actions += [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3), (os.POSIX_SPAWN_DUP2, memory, 4)]
            env = {"LC_ALL": "C.UTF-8", "LD_PRELOAD": "/proc/self/fd/4", "ITERTL_MODULES": modules}
            pid = os.posix_spawn(program, [program], env, file_actions=actions, setsid=True)
            theirs.close()
            try:
                return cls(pid, ours)
            except (OSError, struct.error):
                _end(pid, ours)
        return None

    def go(self, message: bytes, handles: Sequence[int]) -> int:
        """Start a run by ``spawn.Calls.message`` and its descriptors; its process number, also where a call failed
        before it was forked. Raises OSError."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", handles))
        self._connection.sendmsg([message], [rights])
        first, pid = struct.unpack("=2q", self._receive(16))
        if first < 0:
            raise OSError(-first, os.strerror(-first))
        if pid <= 0:
            return first
        os.waitpid(first, 0)
        return pid

    def close(self) -> None:
        """End it."""
        _end(self.pid, self._connection)

    def _receive(self, length: int) -> bytes:
        waiting = select.poll()
        waiting.register(self._connection, select.POLLIN)
        data = self._connection.recv(length) if waiting.poll(_PATIENCE_S * 1000) else b""
        if len(data) != length:
            raise OSError("a program that was kept waiting does not answer")
        return data


def _end(pid: int, connection: socket.socket) -> None:
    connection.close()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
