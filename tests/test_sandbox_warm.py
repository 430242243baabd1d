"""A program that is kept waiting: held to the same as one that is started anew, and replaced where it does not work."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from itertl.sandbox import launcher, levels, sandbox
from itertl.sandbox.sandbox import Completed, Limits, Warm
from itertl.sandbox.totals import children_of
from itertl.tools import icarus, warm

# all that the kernel says of a process that could differ
STATE = """
import json, os, resource, signal, sys
keys = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapAmb",
        "NoNewPrivs", "Seccomp", "Seccomp_filters", "Threads")
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
print(json.dumps({
    **{key: lines.get(key) for key in keys}, "limits": [resource.getrlimit(one) for one in limits],
    "descriptors": sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd")[:-1]),
    "environment": {k: v for k, v in os.environ.items() if k != "TMPDIR"}, "arguments": sys.argv,
    "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()], "here": os.getcwd() == sys.argv[2],
}))
"""
LIMITS = Limits(wall_s=20, proc=True, cpu_s=7, open_files=99)
WAITING = Warm(warm.library() or b"", ())


@pytest.fixture(params=sandbox.LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each level that works here, forced, with launchers of its own."""
    finding = levels.probe(request.param)
    if not finding.works:
        pytest.skip(f"{request.param}: {finding.detail}")
    monkeypatch.setenv("ITERTL_SANDBOX", request.param)
    launcher.close_all()
    yield request.param
    launcher.close_all()


def python(code: str, *arguments: str, kept: Warm | None = WAITING, limits: Limits = LIMITS) -> Completed:
    with sandbox.scratch() as folder:
        argv = [os.path.realpath(sys.executable), "-I", "-S", "-c", code, *arguments, str(folder)]
        return sandbox.run_steps([argv], cwd=folder, limits=limits, warm=[kept])[0]


def waiting() -> list[int]:
    """Processes of Python that launchers keep waiting."""
    own = os.path.realpath(sys.executable).encode() + b"\0"
    below = [pid for one in children_of(os.getpid()) for pid in children_of(one)]
    return [pid for pid in below if Path(f"/proc/{pid}/cmdline").read_bytes() == own]


def test_a_run_is_held_to_the_same(level: str) -> None:
    limits = replace(LIMITS, readable=("/proc",)) if level == "landlock" else LIMITS
    anew = python(STATE, "x", kept=None, limits=limits)
    assert not waiting()
    kept = [python(STATE, "x", limits=limits) for _ in range(2)]
    assert len(waiting()) == (1 if WAITING.library else 0)
    assert all(done.stdout for done in (anew, *kept)), (anew, *kept)
    states = [json.loads(done.stdout) for done in (anew, *kept)]
    for state in states:
        state["arguments"].pop()
    assert states[1] == states[0] and states[2] == states[0]
    assert states[0]["Seccomp"].strip() == "2" and states[0]["leads"] == [True, True] and states[0]["here"]


def test_it_ends_as_any_program_and_leaves_the_next_run_alone(level: str) -> None:
    ways = {"sys.exit(3)": 3, "os.kill(os.getpid(), 9)": -signal.SIGKILL, "print(refused())": 0}
    for _ in range(2):
        for way, status in ways.items():
            code = f"import os, sys\ndef refused():\n    try: os.fork()\n    except OSError: return True\n{way}"
            done = python(code, limits=Limits(wall_s=20, processes=1))
            assert (done.returncode, done.stdout) == (status, "True\n" if status == 0 else ""), done
    done = python("while True: pass", limits=Limits(wall_s=20, cpu_s=1))
    assert done.timed_out and done.cpu_s < 3


@pytest.mark.parametrize("library", [b"", b"no library"])
def test_without_a_library_that_works_a_program_is_started_anew(library: bytes) -> None:
    launcher.close_all()
    assert python("print(1)", kept=Warm(library)).stdout == "1\n"
    assert not waiting()


def test_one_that_is_killed_is_replaced_by_plain_starts() -> None:
    launcher.close_all()
    assert python("print(1)").stdout == "1\n"
    for pid in waiting():
        os.kill(pid, signal.SIGKILL)
    assert [python("print(2)").stdout for _ in range(2)] == ["2\n", "2\n"]
    assert not waiting()


def test_none_outlives_its_launcher() -> None:
    launcher.close_all()
    python("print(1)")
    left = waiting()
    launcher.close_all()
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]


def test_icarus_gives_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        'initial begin $display("%0d", $clog2(9)); $finish; end',
        "initial x = 1;",
        "initial begin #1; $stop(; end",
    ]
    found: list[list[object]] = []
    for way in ("", "exec"):
        monkeypatch.setenv("ITERTL_LAUNCHER", way)
        launcher.close_all()
        runs = [
            icarus.simulate({"a.sv": f"module m; {text} endmodule\n"}, top="m", dump=False, is_expanded=True)
            for text in texts * 2
        ]
        found.append([(d.returncode, d.stdout, d.stderr) for run in runs for d in (run.compiled, run.ran) if d])
    launcher.close_all()
    assert found[0] == found[1] and (0, "4\n", "") in found[0]
