"""A seccomp filter, assembled by hand: the system calls by which a tool could reach beyond its own process tree.

It refuses what no compiler or simulator needs: sockets, tracing, other processes' memory and limits, leaving the
process group (so that killing the group kills all), namespaces and mounts, kernel interfaces with a history of holes,
links and special files. A refused call fails with EPERM, as it would for lack of rights; a call newer than this table,
and two whose arguments a filter cannot read (clone3, openat2), with ENOSYS, upon which the C library uses the older.

What it does not: it lists what is refused, so all else is allowed; it exists for 64-bit x86 and ARM alone
(``architecture`` is None elsewhere). Programs of another word size are killed. Numbers are from the kernel's
``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``.
"""

import ctypes
import errno
import functools
import os
import struct
import sys
from collections.abc import Iterable

# name: (x86_64, aarch64), -1 where the architecture has no such call
_ALWAYS = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "setsid": (112, 157),
    "setpgid": (109, 154), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "userfaultfd": (323, 282), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "syslog": (103, 116), "quotactl": (179, 60), "quotactl_fd": (443, 443), "nfsservctl": (180, 42),
    "vhangup": (153, 58), "settimeofday": (164, 170), "adjtimex": (159, 171), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, -1),
    "ioperm": (173, -1), "modify_ldt": (154, -1), "lookup_dcookie": (212, 18), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "shmget": (29, 194),
    "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "setpriority": (141, 140), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    "ioprio_set": (251, 30), "move_pages": (279, 239), "migrate_pages": (256, 238), "link": (86, -1),
    "linkat": (265, 37), "symlink": (88, -1), "symlinkat": (266, 36), "mknod": (133, -1), "mknodat": (259, 33),
    "truncate": (76, 45),
}  # fmt: skip

# Refused where the tool runs as the user who owns files outside, and nothing but this filter guards their modes.
_OWNER = {
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, -1),
    "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54), "utime": (132, -1), "utimes": (235, -1),
    "utimensat": (280, 88), "futimesat": (261, -1), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip

# Refused where a signal could reach the user's other processes. abort() then ends by an illegal instruction.
_SIGNALS = {
    "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
}  # fmt: skip
_KILL = (62, 129)

# With ``open`` for writing, by which a file can come to be, go, or change its name.
_CHANGES = {
    "creat": (85, -1), "mkdir": (83, -1), "mkdirat": (258, 34), "rmdir": (84, -1), "unlink": (87, -1),
    "unlinkat": (263, 35), "rename": (82, -1), "renameat": (264, 38), "renameat2": (316, 276),
}  # fmt: skip

_FORKS = {"clone": (56, 220), "fork": (57, -1), "vfork": (58, -1)}
_NEWEST = 462
_UNREADABLE = (435, 437)  # clone3, openat2: their flags lie in memory

_NEW_NAMESPACES = 0x7E020000
_O_TMPFILE, _O_TRUNC_OR_ACCESS, _O_TRUNC, _O_CREAT_OR_WRITE = 0o20000000, 0o1003, 0o1000, 0o103
_IOCTLS = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
_FCNTLS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to any process

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _AND, _EQUAL, _GREATER, _SET, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
_NUMBER_AT, _ARCH_AT = 0, 4
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k


def architecture(libc: ctypes.CDLL) -> str | None:
    """ "x86_64" or "aarch64" where the filter exists for this machine and its kernel takes filters, otherwise None."""
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _AUDIT or sys.maxsize <= 2**32:
        return None
    libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), None, 0, 0)  # a bad address, if it is looked at at all
    return machine if ctypes.get_errno() == errno.EFAULT else None


@functools.cache
def assemble(machine: str, *, single: bool, read_only: bool, guard_owner: bool, guard_signals: bool) -> bytes:
    """The filter's program: instructions of 8 bytes, in the machine's byte order.

    ``single``: no second process or thread. ``read_only``: no file is written, made, renamed or removed.
    ``guard_owner``: no change of modes, owners, times and attributes.
    ``guard_signals``: signals reach the tool's own group alone.
    """
    column = 0 if machine == "x86_64" else 1
    refused = [
        *_ALWAYS.values(),
        *(_OWNER.values() if guard_owner else ()),
        *(_SIGNALS.values() if guard_signals else ()),
    ]
    if single:
        refused += _FORKS.values()
    if read_only:
        refused += _CHANGES.values()
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_GREATER, 0, 1, _NEWEST),  # the x32 calls too, whose numbers have bit 30 set
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for number in _UNREADABLE:
        program += _refuse(number, errno.ENOSYS)
    for numbers in refused:
        if numbers[column] >= 0:
            program += _refuse(numbers[column], errno.EPERM)
    program += _by_arguments(column, single, read_only, guard_signals)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _refuse(number: int, error: int) -> list[_Instruction]:
    return [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | error)]


def _by_arguments(column: int, single: bool, read_only: bool, guard_signals: bool) -> list[_Instruction]:
    """Calls that are refused for some arguments. Each part begins and ends with the call's number loaded."""
    parts: list[_Instruction] = []
    if not single:
        parts += _when(
            _FORKS["clone"][column], 0, [(_SET, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
        )
    writing = [(_SET, 0, 1, _O_CREAT_OR_WRITE), (_RETURN, 0, 0, _ERRNO | errno.EACCES)]
    opening = [
        *(writing if read_only else ()),
        (_SET, 0, 1, _O_TMPFILE),
        (_RETURN, 0, 0, _ERRNO | errno.EOPNOTSUPP),
        (_AND, 0, 0, _O_TRUNC_OR_ACCESS),
        (_EQUAL, 0, 1, _O_TRUNC),  # truncates with no right to write asked for, which older Landlock lets through
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    parts += _when((257, 56)[column], 2, opening)
    if column == 0:
        parts += _when(2, 1, opening)
    parts += _when((16, 29)[column], 1, _each(_IOCTLS))
    parts += _when((72, 25)[column], 1, _each(_FCNTLS))
    parts += _when((302, 261)[column], 0, [(_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _ERRNO | errno.EPERM)])  # prlimit64
    if guard_signals:
        parts += _when(_KILL[column], 0, [(_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _ERRNO | errno.EPERM)])
    return parts


def _each(values: Iterable[int]) -> list[_Instruction]:
    return [instruction for value in values for instruction in _refuse(value, errno.EPERM)]


def _when(number: int, argument: int, body: list[_Instruction]) -> list[_Instruction]:
    """``body`` with the low half of an argument loaded, for the call of that number."""
    low = 16 + 8 * argument + (0 if sys.byteorder == "little" else 4)
    return [(_EQUAL, 0, len(body) + 2, number), (_LOAD, 0, 0, low), *body, (_LOAD, 0, 0, _NUMBER_AT)]
