"""Which confinement works here: a ladder of three, each tried by a program that attempts what it must not manage.

``bubblewrap``  namespaces of its own: no file but the system's, the tool's and the private folder, no network, no
                process but its own.
``landlock``    the kernel refuses files other than those, and network by the filter and by Landlock.
``rlimits``     limits and the filter alone: any file that its user may read or write is open to the tool. As root it
                runs as a user of its own, which leaves what is open to all.

The choice is made once for a program and its workers, which inherit it by the environment: ``ITERTL_SANDBOX`` holds the
level (set beforehand, it forces one), ``ITERTL_SANDBOX_PROBED`` that it was tried.
"""

import functools
import json
import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from itertl.errors import ItertlError, ToolMissing, UsageError
from itertl.sandbox import landlock, launcher, seccomp
from itertl.sandbox.launcher import Limits

LEVELS = ("rlimits", "landlock", "bubblewrap")  # weakest first
FORCED, PROBED = "ITERTL_SANDBOX", "ITERTL_SANDBOX_PROBED"

_FIX = {
    "bubblewrap": "apt-get install bubblewrap, and allow user namespaces to this user",
    "landlock": "a kernel from 5.13 on with Landlock enabled (boot parameter lsm=landlock,…)",
    "rlimits": "a Linux kernel on which programs can be started",
}

# In the sandbox: the result of each forbidden act.
_ATTEMPTS = """
import json, socket, sys
canary = sys.argv[1]
def attempt(act):
    try:
        return act()
    except OSError:
        return None
print(json.dumps({
    "read": attempt(lambda: open(canary).read()),
    "write": attempt(lambda: open(canary, "a").write("changed")),
    "socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).fileno()),
    "work": attempt(lambda: open("own", "w").write("own")),
}))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a level works here, and what was seen: ``Finding("landlock", True, "ABI 7; seccomp filter")``."""

    level: str
    works: bool
    detail: str


def probe(level: str) -> Finding:
    """Try a level for real, about 30 ms. Never raises for what the machine lacks."""
    with tempfile.TemporaryDirectory(prefix="itertl-") as name:
        folder, canary, secret = Path(name) / "own", Path(name) / "canary", secrets.token_hex(8)
        folder.mkdir()
        canary.write_text(secret, encoding="ascii")
        for path, mode in ((Path(name), 0o777), (canary, 0o666)):
            path.chmod(mode)  # so that only the sandbox can refuse
        argv = [sys.executable, "-I", "-S", "-c", _ATTEMPTS, str(canary)]
        if level == "landlock" and not landlock.abi():
            return Finding(level, False, "this kernel offers no Landlock")
        try:
            [done] = launcher.execute(level, [argv], cwd=folder, limits=[Limits(wall_s=30, cpu_s=10)])
        except (OSError, ItertlError) as error:
            return Finding(level, False, str(error)[:300])
        try:
            seen = json.loads(done.stdout)
        except ValueError:
            return Finding(level, False, f"the trial ended with status {done.returncode}: {done.stderr.strip()[-200:]}")
        # by their effect: in a view of its own a tool may well write a file of the canary's name
        managed = {"read": seen["read"] == secret, "write": canary.read_text(encoding="ascii") != secret}
        has_worked = (folder / "own").exists()
    managed["socket"] = seen["socket"] is not None
    failed = [act for act, succeeded in managed.items() if succeeded and level != "rlimits"]
    if failed or not has_worked:
        return Finding(level, False, f"did not refuse: {', '.join(failed)}" if failed else "cannot write in its folder")
    return Finding(level, True, _describe(level, not managed["socket"]))


def _describe(level: str, refuses_sockets: bool) -> str:
    machine = seccomp.architecture(landlock.libc()) if sys.platform == "linux" else None
    if level == "landlock":
        what = f"Landlock ABI {landlock.abi()}"
    elif level == "bubblewrap":
        what = launcher.find_bubblewrap()[0]
    else:
        what = "files of this user are not protected" + ("" if refuses_sockets else ", nor is the network")
    return f"{what}; seccomp filter for {machine}" if machine else f"{what}; no seccomp filter on this machine"


def level() -> str:
    """The level at which ``run`` works, chosen once for this process and its workers.

    Raises UsageError where ``ITERTL_SANDBOX`` names no level, ToolMissing where that level does not work here.
    """
    return _choose(os.environ.get(FORCED) or None)


@functools.cache
def _choose(forced: str | None) -> str:
    if forced is not None and forced not in LEVELS:
        raise UsageError(f"{FORCED}={forced!r} is not a sandbox level: choose {', '.join(LEVELS)}")
    if forced is not None and os.environ.get(PROBED) == forced:
        return forced
    findings: list[Finding] = []
    for name in [forced] if forced else reversed(LEVELS):
        findings.append(probe(name))
        if findings[-1].works:
            return _announce(name, findings)
    if forced:
        raise ToolMissing(f"{FORCED}={forced} does not work here ({findings[0].detail}): {_FIX[forced]}")
    raise ToolMissing("no sandbox works here: " + "; ".join(f"{f.level}: {f.detail}" for f in findings))


def _announce(chosen: str, findings: list[Finding]) -> str:
    """Pass the choice to workers by the environment, and warn the user where it is the weakest."""
    os.environ[FORCED] = os.environ[PROBED] = chosen
    if chosen == "rlimits":
        why = "; ".join(f"{f.level}: {f.detail}" for f in findings if not f.works) or f"{FORCED}=rlimits"
        width = min(100, shutil.get_terminal_size().columns)
        text = (
            "WARNING: the sandbox is at its weakest level, rlimits: designs are limited in time and memory, but the "
            f"tools that run them can read and write this user's files. Judge no design that you do not trust. ({why}) "
            f"To fix it: {_FIX['bubblewrap']}."
        )
        print("!" * width, text, "!" * width, sep="\n", file=sys.stderr, flush=True)
    return chosen


def require(least: str) -> None:
    """Raise ToolMissing if ``level()`` is weaker than ``least``, UsageError if that is not a level."""
    if least not in LEVELS:
        raise UsageError(f"--require-sandbox {least!r} is not a sandbox level: choose {', '.join(LEVELS)}")
    if LEVELS.index(level()) < LEVELS.index(least):
        raise ToolMissing(f"sandbox level {least} is required, but only {level()} works here: {_FIX[least]}")
