"""A new process that makes a prepared list of system calls, the last of which turns it into a program.

Between fork and exec every page that Python touches is copied, which costs more than all the confinement. So the list
is laid out in memory beforehand and executed by 84 bytes of machine code in a child that shares this process's memory
(CLONE_VM and CLONE_VFORK, as posix_spawn does it): it touches nothing but the list, and uses no stack. Where there is
no such code (other than 64-bit x86) or memory may not be made executable, a forked child of Python executes the same
list; that takes 7 to 9 ms more for each program (``benchmarks/sandbox.py``, with ``ITERTL_LAUNCHER=fork``).

The list records what each call returned, so a failure is read there. After a call of ``fork`` the list continues in the
new child, whose parent is this process (CLONE_PARENT), while the process that made it ends: after joining a process
namespace only a child is in it.
"""

import ctypes
import functools
import mmap
import os
import signal
import struct
from typing import NoReturn

from itertl.sandbox.landlock import libc

# name: (x86_64, all newer architectures)
_NUMBERS = {
    "setsid": (112, 157), "dup3": (292, 24), "chdir": (80, 49), "umask": (95, 166), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "prlimit64": (302, 261), "setgroups": (116, 159), "setresgid": (119, 149),
    "setresuid": (117, 147), "prctl": (157, 167), "capset": (126, 91), "landlock_restrict_self": (446, 446),
    "execve": (59, 221), "clone": (56, 220), "setns": (308, 268), "close_range": (436, 436),
}  # fmt: skip
_CLONE_VM, _CLONE_VFORK, _CLONE_PARENT = 0x100, 0x4000, 0x8000
_IS_X86 = os.uname().machine == "x86_64"
_ENTRY = 72  # number, six arguments, result, mask: a result with one of these bits ends the list
_FAILED = 1 << 63
_NOT_RUN = -(1 << 62)
# as ``warm.c`` has them: room for the list, and with what it points to; the number of the first descriptor
LIST_BYTES, SENT_BYTES, FIRST_HANDLE = 1 << 13, 1 << 17, 100

# spawn(list, top of an unused stack, flags of clone) -> process number
_MACHINE_CODE = bytes.fromhex(
    "53"            # push rbx
    "4889fb"        # mov rbx, rdi
    "4889d7"        # mov rdi, rdx
    "31d2"          # xor edx, edx
    "4531d2"        # xor r10d, r10d
    "4531c0"        # xor r8d, r8d
    "b838000000"    # mov eax, 56 (clone)
    "0f05"          # syscall
    "4885c0"        # test rax, rax
    "7402"          # jz +2: the child
    "5b"            # pop rbx
    "c3"            # ret
    "488b03"        # mov rax, [rbx]
    "488b7b08"      # mov rdi, [rbx+8]
    "488b7310"      # mov rsi, [rbx+16]
    "488b5318"      # mov rdx, [rbx+24]
    "4c8b5320"      # mov r10, [rbx+32]
    "4c8b4328"      # mov r8, [rbx+40]
    "4c8b4b30"      # mov r9, [rbx+48]
    "0f05"          # syscall
    "48894338"      # mov [rbx+56], rax
    "48854340"      # test [rbx+64], rax
    "488d5b48"      # lea rbx, [rbx+72] (leaves the flags)
    "74d5"          # jz -43: the next call
    "bf7f000000"    # mov edi, 127
    "b8e7000000"    # mov eax, 231 (exit_group)
    "0f05"          # syscall
)  # fmt: skip


class ConfinementFailed(Exception):
    """The confinement could not be set up; nothing of the tool ran."""


class CannotStart(Exception):
    """The system would not execute the program; the first argument is its error number."""


class Handle(int):
    """An argument that is a descriptor of this process."""


class Calls:
    """The list. Arguments are numbers, ``Handle``, or bytes, whose address is passed.

    ``base``: the list is not for a child of this process, but for one of a warm program (``warm``), which is sent the
    list, what its addresses point to, laid out from ``base`` on, and its descriptors.
    """

    def __init__(self, base: int | None = None) -> None:
        self._rows: list[list[int]] = []
        self._names: list[str] = []
        self._kept: list[object] = []
        self._memory: mmap.mmap | None = None
        self.base, self._sent, self.handles = base, bytearray(), list[int]()

    def add(self, name: str, *arguments: int | bytes, mask: int = _FAILED) -> None:
        words = [self._word(a) for a in arguments]
        number = _NUMBERS[name][0 if _IS_X86 else 1]
        self._rows.append([number, *words, *[0] * (6 - len(words)), _NOT_RUN & (2**64 - 1), mask])
        self._names.append(name)

    def fork(self) -> None:
        """Go on in a new child of this process."""
        is_shared = machine_code() is not None and self.base is None
        flags = _CLONE_PARENT | signal.SIGCHLD | ((_CLONE_VM | _CLONE_VFORK) if is_shared else 0)
        self.add("clone", flags, mask=2**64 - 1)

    def execve(self, program: str, argv: list[str], env: dict[str, str]) -> None:
        """Raises ValueError for a NUL."""
        words = [self._texts(argv), self._texts([f"{name}={value}" for name, value in env.items()])]
        self.add("execve", self._text(program), *words)

    def message(self, argv: list[str], env: dict[str, str]) -> bytes:
        """What a warm program is sent: that list, and how its main function is called then. Raises ValueError for a
        NUL or what is too long."""
        words = [self._texts(argv), self._texts([f"{name}={value}" for name, value in env.items()])]
        head = struct.pack("=q2Q2q", len(argv), *words, len(self.handles), self._names.index("clone"))
        rows = b"".join(struct.pack("=9Q", *row) for row in self._rows) + b"\xff" * _ENTRY
        if len(head) + len(rows) > LIST_BYTES or len(self._sent) > SENT_BYTES - LIST_BYTES:
            raise ValueError("arguments and environment of a program are too long")
        return (head + rows).ljust(LIST_BYTES, b"\0") + self._sent

    def name(self, row: int) -> str:
        """Of a call of the list."""
        return self._names[row]

    def handle(self, number: int) -> int:
        """What a descriptor of this process is called where the list is executed."""
        if self.base is None:
            return number
        if number not in self.handles:
            self.handles.append(number)
        return FIRST_HANDLE + self.handles.index(number)

    def _word(self, argument: int | bytes) -> int:
        if isinstance(argument, bytes):
            return self.address(argument)
        return self.handle(argument) if isinstance(argument, Handle) else argument & (2**64 - 1)

    def address(self, data: bytes) -> int:
        if self.base is not None:
            place = self.base + LIST_BYTES + len(self._sent)
            self._sent += data + bytes(8 - len(data) % 8)
            return place
        kept = ctypes.create_string_buffer(data, len(data) or 1)
        self._kept.append(kept)
        return ctypes.addressof(kept)

    def _text(self, text: str) -> int:
        data = os.fsencode(text)
        if b"\0" in data:
            raise ValueError("embedded null byte in a program's argument or environment")
        return self.address(data + b"\0")

    def _texts(self, texts: list[str]) -> int:
        return self.address(struct.pack(f"={len(texts) + 1}Q", *map(self._text, texts), 0))

    def make_here(self) -> None:
        """Make the calls in this very process. Raises OSError at the first that fails."""
        for name, row in zip(self._names, self._rows, strict=True):
            if libc().syscall(*(ctypes.c_long(word) for word in row[:7])) < 0:
                raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

    def start(self) -> int:
        """Start the process; returns when it is the program, or has failed. Its number, also if it failed.

        Signals are blocked meanwhile: no handler of this process may run in the child.
        """
        self._memory = mmap.mmap(-1, _ENTRY * len(self._rows))
        self._memory[:] = b"".join(struct.pack("=9Q", *row) for row in self._rows)
        place = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            code = machine_code()
            first = code(place) if code else _fork(place)
            if first < 0:
                raise OSError(-first, f"cannot start a process: {os.strerror(-first)}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._reap_intermediate(first)

    def _reap_intermediate(self, first: int) -> int:
        """The number of the process that reaches the list's end."""
        if "clone" not in self._names:
            return first
        if not machine_code():
            os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # it has written its child's number by then
        forked = self._result(self._names.index("clone"))
        if forked <= 0:
            return first
        os.waitpid(first, 0)
        return forked

    def _result(self, row: int) -> int:
        assert self._memory is not None
        return struct.unpack_from("=q", self._memory, row * _ENTRY + 56)[0]

    def failure(self) -> tuple[str, int] | None:
        """The call that failed, and its error number; None where all has gone well so far."""
        for row, name in enumerate(self._names):
            if _NOT_RUN < (found := self._result(row)) < 0:
                return name, -found
        return None


def _fork(place: int) -> int:
    """Without machine code: the number of a forked child that makes the list's calls."""
    pid = os.fork()
    if pid == 0:
        _make_calls(place)
    return pid


def _make_calls(place: int) -> NoReturn:
    call = libc().syscall
    call.restype = ctypes.c_long
    while True:
        row = (ctypes.c_int64 * 9).from_address(place)
        found = call(*(ctypes.c_long(word) for word in row[:7]))
        if found != 0:  # 0 is not recorded: the two that return from a fork would race for the place
            row[7] = found if found > 0 else -ctypes.get_errno()
            if row[7] & row[8]:
                os._exit(127)
        place += _ENTRY


class _Native:
    """The machine code, in memory that is executable and not writable, and a stack that nobody uses."""

    def __init__(self) -> None:
        address = libc().mmap
        address.restype, address.argtypes = (
            ctypes.c_void_p,
            [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long],
        )
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        page = address(None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if page in (None, ctypes.c_void_p(-1).value):
            raise OSError("no memory")
        ctypes.memmove(page, _MACHINE_CODE, len(_MACHINE_CODE))
        protect = libc().mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if protect(page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
            raise OSError("memory may not be made executable")
        self._stack = ctypes.create_string_buffer(4096)
        self._spawn = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long)(page)

    def __call__(self, place: int) -> int:
        top = (ctypes.addressof(self._stack) + 4096) & ~15
        return self._spawn(place, top, _CLONE_VM | _CLONE_VFORK | signal.SIGCHLD)


@functools.cache
def machine_code() -> _Native | None:
    """The native way, or None where it does not exist."""
    if not _IS_X86 or os.environ.get("ITERTL_LAUNCHER") == "fork":
        return None
    try:
        return _Native()
    except OSError:
        return None
