"""Landlock, the kernel's own file and network restriction that needs no rights, through its three system calls.

Each version of the interface (ABI) knows more rights; all that this kernel knows are handled. What older ones miss is
refused by the seccomp filter (truncation before ABI 3, sockets before ABI 4, signals before ABI 6). Numbers and bits
are from the kernel's ``include/uapi/linux/landlock.h``.
"""

import contextlib
import ctypes
import errno
import functools
import os
import stat
import struct
import sys
from collections.abc import Iterable

SIGNALS_ABI = 6  # from here on, signals do not leave the domain

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL

LOOK = _EXECUTE | _READ | _LIST
PRIVATE = LOOK | _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_FILE | _REFER | _TRUNCATE
DEVICE = _READ | _WRITE | _TRUNCATE


@functools.cache
def libc() -> ctypes.CDLL:
    """The C library, called with Python's lock held: a raw clone or fork must not return without it."""
    return ctypes.PyDLL(None, use_errno=True)


def abi() -> int:
    """Version of the interface that this kernel offers; 0 where it has none, or it is not enabled."""
    if sys.platform != "linux":
        return 0
    return max(0, libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def _handled(version: int) -> tuple[int, bytes]:
    """File rights that this version knows, and the structure that asks for all it knows."""
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    files = (1 << rights) - 1
    if version < 4:
        return files, struct.pack("=Q", files)
    network = 0b11  # bind and connect of TCP
    if version < SIGNALS_ABI:
        return files, struct.pack("=QQ", files, network)
    scopes = 0b11  # abstract unix sockets, signals
    return files, struct.pack("=QQQ", files, network, scopes)


def ruleset(version: int, allowed: Iterable[tuple[str, int]]) -> int:
    """A descriptor of the rules: nothing, but for what lies at or under these paths; paths that do not exist are left
    out.

    Raises OSError.
    """
    files, attributes = _handled(version)
    rules = _call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path, rights in allowed:
            with contextlib.suppress(FileNotFoundError):
                _add(rules, path, rights & files)
    except BaseException:
        os.close(rules)
        raise
    return rules


def _add(rules: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _ON_FILES
        _call(_ADD, rules, 1, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)


def restrict(rules: int) -> None:
    """Put the rules on this process and all that it starts. Needs no_new_privs. Raises OSError."""
    _call(_RESTRICT, rules, 0)


def _call(number: int, *arguments: object) -> int:
    found = libc().syscall(number, *arguments)
    if found < 0:
        reason = ctypes.get_errno() or errno.ENOSYS
        raise OSError(reason, f"landlock: {os.strerror(reason)}")
    return found
