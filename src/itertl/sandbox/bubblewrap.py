"""Bubblewrap: a view of the file system and namespaces of their own, held for the steps of one run or of many."""

import contextlib
import os
import re
import select
import signal
from collections.abc import Sequence

from itertl.sandbox import spawn
from itertl.sandbox.spawn import ConfinementFailed
from itertl.sandbox.totals import descendants

# What a program needs of the system besides its own folders. Landlock's rules are made from the same list.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives")
DEVICES = ("/dev/null", "/dev/urandom")

_PREPARE_S = 20.0
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000


class Holder:
    """A bubblewrap that holds namespaces for steps to join.

    Its own command is ``cat``, whose echo says that the view is complete. The steps join the namespaces and are the
    launcher's own children, so that limits, pipes and exit status are those of the other levels; they die with the
    namespace's first process, which is that ``cat``.

    ``line``: from ``arguments``. Raises ConfinementFailed, OSError.
    """

    def __init__(self, line: list[str]) -> None:
        self.line = line
        self.pid = self.first = self.handle = -1
        self._handles: list[int] = []
        try:
            self._hold()
            self.handle = self._keep(os.pidfd_open(self.first))
        except BaseException:
            self.close()
            raise

    def _keep(self, handle: int) -> int:
        self._handles.append(handle)
        return handle

    def _hold(self) -> None:
        (feed_r, feed_w), (echo_r, echo_w), (told_r, told_w), (info_r, info_w) = (
            tuple(map(self._keep, os.pipe())) for _ in range(4)
        )
        os.write(feed_w, b"\n")
        actions = [
            (os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate((feed_r, echo_w, told_w, info_w))
        ]
        self.pid = os.posix_spawn(self.line[0], self.line, {}, file_actions=actions, setsid=True)
        for theirs in (feed_r, echo_w, told_w, info_w):
            os.close(theirs)
            self._handles.remove(theirs)
        waiting = select.poll()
        waiting.register(echo_r, select.POLLIN)
        if not waiting.poll(_PREPARE_S * 1000) or not os.read(echo_r, 1):
            os.set_blocking(told_r, False)
            with contextlib.suppress(BlockingIOError):
                raise ConfinementFailed(os.read(told_r, 2000).decode("utf-8", "replace").strip() or "bwrap ended")
            raise ConfinementFailed("bwrap does not answer")
        found = re.search(rb'"child-pid": *(\d+)', os.read(info_r, 4096))
        if found is None:
            raise ConfinementFailed("bwrap does not report its child's process number")
        self.first = int(found[1])

    def is_empty(self) -> bool:
        """Whether the namespaces live on, and hold no process but their first."""
        ended = select.poll()
        ended.register(self.handle, select.POLLIN)
        return not ended.poll(0) and next(iter(descendants(self.first)), None) is None

    def join(self, calls: spawn.Calls) -> None:
        """The calls by which a process enters; only its child is in the process namespace."""
        spaces = _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS | (_NEWUSER if os.geteuid() != 0 else 0)
        calls.add("setns", spawn.Handle(self.handle), spaces)
        calls.fork()

    def close(self) -> None:
        """End bubblewrap and all that runs within. They are reaped with the launcher's other children."""
        for pid in (self.first, self.pid):
            if pid > 0:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        for handle in self._handles:
            os.close(handle)
        self._handles = []


def arguments(
    bwrap: str, cat: str, cwd: str, readable: Sequence[str], *, as_root: bool, proc: bool, is_tmp: bool
) -> list[str]:
    """The command line of a view that holds the system, ``readable`` and, writable, ``cwd``; ``is_tmp``: as ``/tmp``
    too.

    Root's namespaces need no user namespace, and the steps there change to a user without rights anyway.
    """
    line = [bwrap, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    line += ["--cap-drop", "ALL"] if as_root else ["--unshare-user"]
    line += ["--die-with-parent", "--new-session", "--as-pid-1", "--info-fd", "3"]
    for path in SYSTEM:
        if os.path.islink(path):  # noqa: PTH114
            line += ["--symlink", os.readlink(path), path]  # noqa: PTH115
        elif os.path.isdir(path):  # noqa: PTH112
            line += ["--ro-bind", path, path]
    line += ["--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/dev"]
    for path in SYSTEM_FILES:
        line += ["--ro-bind-try", path, path]
    for path in DEVICES:
        line += ["--dev-bind", path, path]
    if is_tmp and not any(_is_under(path, "/tmp") for path in (*readable, cwd)):
        line += ["--symlink", cwd, "/tmp"]  # what a tool writes there counts as the private folder's
    line += ["--proc", "/proc"] if proc else []
    made: set[str] = set()
    for path in (*sorted(readable), cwd):
        for parent in _parents(path):  # bubblewrap would close them to the tool's user where what it binds is closed
            if parent not in made and not any(_is_under(parent, bound) for bound in readable):
                line += ["--perms", "0755", "--dir", parent]
                made.add(parent)
        line += ["--bind" if path == cwd else "--ro-bind-try", path, path]
    return [*line, "--remount-ro", "/", "--", cat]


def _parents(path: str) -> list[str]:
    """The folders above a path, outermost first, without the root."""
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def _is_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
