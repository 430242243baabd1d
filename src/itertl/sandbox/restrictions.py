"""What a process is held to (limits, another user, Landlock, seccomp), as calls that it makes on itself."""

import os
import re
import resource
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from itertl.sandbox import identity, landlock, seccomp, spawn
from itertl.sandbox.bubblewrap import DEVICES, SYSTEM, SYSTEM_FILES

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a process is held to: limits, RLIMIT_NPROC, other user, Landlock's rules (-1: none), filter (None: none)."""

    limits: Request
    processes: int | None
    owner: int | None
    keeps_reading: bool
    rules: int
    program: bytes | None


def restrict(calls: spawn.Calls, plan: Restrictions) -> None:
    """The calls by which a process puts them on itself, for good."""
    for name, soft, hard in _resource_limits(plan.limits, plan.processes):
        calls.add("prlimit64", 0, name, struct.pack("=QQ", soft, hard), 0)
    if plan.owner is not None:
        identity.change(calls, plan.owner, plan.keeps_reading)
    calls.add("prctl", _PR_SET_NO_NEW_PRIVS, 1)
    if plan.rules >= 0:
        calls.add("landlock_restrict_self", spawn.Handle(plan.rules), 0)
    if calls.base is not None:  # what a program's start does else
        if not plan.keeps_reading:
            calls.add("capset", struct.pack("=II", 0x20080522, 0), bytes(24))
        calls.add("prctl", _PR_SET_DUMPABLE, 1)
        calls.add("close_range", 4, 2**32 - 1, 0)  # 3 is the notice
    if plan.program is not None:
        length, address = len(plan.program) // 8, calls.address(plan.program)
        calls.add("prctl", _PR_SET_SECCOMP, 2, struct.pack("=HxxxxxxQ", length, address))


def landlock_rules(abi: int, folder: str, readable: Sequence[str]) -> int:
    """A descriptor of the rules: the system and ``readable`` to read and execute, ``folder`` to write."""
    looks = [(path, landlock.LOOK) for path in (*SYSTEM, *SYSTEM_FILES, *readable)]
    devices = [(path, landlock.DEVICE) for path in DEVICES]
    return landlock.ruleset(abi, [*looks, *devices, (folder, landlock.PRIVATE)])


def filter_program(level: str, machine: str | None, abi: int, limits: Request, owner: int | None) -> bytes | None:
    """The seccomp filter for one step; None where this machine has none.

    Where the tool runs as our own user, it guards what else that user has.
    """
    if machine is None:
        return None
    guards = level != "bubblewrap" and owner is None
    return seccomp.assemble(
        machine,
        single=limits["processes"] == 1,
        read_only=limits["read_only"],
        guard_owner=guards and not limits["builds"],
        guard_signals=guards and (level == "rlimits" or abi < landlock.SIGNALS_ABI),
    )


def confine_here(level: str, folder: str, readable: Sequence[str], limits: Request, owner: int | None) -> None:
    """Put on this process, for good, what a step at "landlock" or "rlimits" is held to. Raises OSError.

    For a forked child that continues in Python instead of executing a program. ``owner``: from ``identity``.
    """
    machine, abi = seccomp.architecture(landlock.libc()), landlock.abi()
    calls = spawn.Calls()
    calls.add("setsid")
    if owner is not None:
        identity.give(folder, owner)
    processes = limits["processes"] if owner is not None else None
    keeps_reading = owner is not None and identity.needs_reading(readable, folder)
    rules = landlock_rules(abi, folder, readable) if level == "landlock" else -1
    program = filter_program(level, machine, abi, limits, owner)
    restrict(calls, Restrictions(limits, processes, owner, keeps_reading, rules, program))
    calls.make_here()


def _resource_limits(limits: Request, processes: int | None) -> list[tuple[int, int, int]]:
    """(resource, soft, hard), none of them above what this process was given itself."""
    memory, file = limits["memory_mb"] << 20, limits["file_mb"] << 20
    wanted = [
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 1),
        (resource.RLIMIT_FSIZE, file, file),
        (resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"]),
        # too small for a file; and, unlike 0, it keeps a core from being piped to a program
        (resource.RLIMIT_CORE, 1, 1),
    ]
    if processes is not None:
        wanted.append((resource.RLIMIT_NPROC, processes, processes))
    ceilings = [resource.getrlimit(name)[1] for name, _, _ in wanted]
    largest = [1 << 62 if ceiling == resource.RLIM_INFINITY else ceiling for ceiling in ceilings]
    return [(name, min(soft, most), min(hard, most)) for (name, soft, hard), most in zip(wanted, largest, strict=True)]


def counts_processes_in_namespace() -> bool:
    """Whether RLIMIT_NPROC counts within a user namespace alone: Linux 5.14 or newer."""
    version = [int(n) for n in re.findall(r"\d+", os.uname().release)[:2]]
    return version >= [5, 14]
