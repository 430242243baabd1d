"""The sandbox at each level that works here: one test for each thing that a hostile program must not manage.

``rlimits`` hides no file and, where there is no seccomp filter, cuts no network; tests of those run at the other
levels. Programs are Python's, started by absolute path, and say what they managed on stdout.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from itertl.errors import ToolFailed, ToolMissing, UsageError
from itertl.sandbox import confine, launcher, levels, removal, sandbox, seccomp
from itertl.sandbox.landlock import libc
from itertl.sandbox.sandbox import Completed, Limits
from itertl.tools import icarus

IS_ROOT = os.geteuid() == 0
FILTERED = seccomp.architecture(libc()) is not None
TRY = """
import os, sys
def refused(act):
    try:
        act()
    except OSError:
        return True
    return False
"""


@pytest.fixture(params=sandbox.LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each level that works here, forced."""
    finding = levels.probe(request.param)
    if not finding.works:
        pytest.skip(f"{request.param}: {finding.detail}")
    monkeypatch.setenv("ITERTL_SANDBOX", request.param)
    assert sandbox.level() == request.param
    return request.param


@pytest.fixture
def folder() -> Iterator[Path]:
    with sandbox.scratch() as place:
        yield place


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that any user of the machine may read and write, in a folder that any may change."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        place = Path(name)
        place.chmod(0o777)
        (place / "canary").write_text("alive", encoding="ascii")
        (place / "canary").chmod(0o666)
        yield place / "canary"


def python(folder: Path, code: str, *arguments: object, limits: Limits | None = None) -> Completed:
    argv = [sys.executable, "-I", "-S", "-c", TRY + code, *map(str, arguments)]
    return sandbox.run(argv, cwd=folder, limits=limits or Limits(wall_s=20))


def in_level(level: str, *names: str) -> None:
    if level not in names:
        pytest.skip(f"{level} does not protect from this")


def nobody_left(token: str) -> bool:
    """Whether no process has ``token`` on its command line, within a second."""
    end = time.monotonic() + 1
    while True:
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(path.read_bytes())
            except OSError:
                continue
        if not any(token.encode() in line for line in lines):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.02)


# --- files


def test_a_file_outside_cannot_be_read(level: str, folder: Path, canary: Path) -> None:
    in_level(level, "landlock", "bubblewrap")
    done = python(
        folder, "print(refused(lambda: open(sys.argv[1]).read()), refused(lambda: os.listdir('/var')))", canary
    )
    assert done.stdout == "True True\n", done


WAYS = {
    "write": "open(path, 'w').close()",
    "append": "os.write(os.open(path, os.O_WRONLY | os.O_APPEND), b'x')",
    "truncate": "os.truncate(path, 0)",
    "truncate on opening to read": "os.open(path, os.O_RDONLY | os.O_TRUNC)",
    "delete": "os.unlink(path)",
    "rename": "os.rename(path, path + '-moved')",
    "replace": "(open('mine', 'w').close(), os.rename('mine', path))",
    "create beside": "open(path + '-new', 'w').close()",
    "link in": "os.link(path, 'linked')",
    "make a folder": "os.mkdir(path + '-folder')",
}


def test_nothing_outside_can_be_changed(level: str, folder: Path, canary: Path) -> None:
    in_level(level, "landlock", "bubblewrap")
    for name, act in WAYS.items():
        done = python(folder, f"path = sys.argv[1]\nprint(refused(lambda: {act}))", canary)
        assert done.stdout == "True\n", (name, done)
        assert [entry.name for entry in canary.parent.iterdir()] == ["canary"], name
        assert canary.read_text(encoding="ascii") == "alive", name


def test_a_tool_that_may_only_read_changes_nothing_at_any_level(level: str, folder: Path, canary: Path) -> None:
    """Neither what any user may write outside, nor its own folder; to read is left to it."""
    if not FILTERED:
        pytest.skip("no seccomp filter here")
    (folder / "given").write_text("hello", encoding="ascii")
    limits = Limits(wall_s=20, read_only=True)
    for name, act in WAYS.items():
        for path in (canary, folder / "given"):
            done = python(folder, f"path = sys.argv[1]\nprint(refused(lambda: {act}))", path, limits=limits)
            assert done.stdout == "True\n", (name, done)
    assert [entry.name for entry in canary.parent.iterdir()] == ["canary"]
    assert [entry.name for entry in folder.iterdir()] == ["given"]
    assert canary.read_text(encoding="ascii") == "alive"
    assert python(folder, "print(open('given').read())", limits=limits).stdout == "hello\n"


@pytest.mark.skipif(not IS_ROOT, reason="only root's tools run as a user of their own")
def test_roots_tools_change_nothing_of_root_even_at_the_weakest_level(level: str, folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("alive", encoding="ascii")
    done = python(folder, "print(refused(lambda: open(sys.argv[1], 'a')), os.getuid() not in (0, 65534))", mine)
    assert done.stdout == "True True\n", done


def test_links_and_special_files_cannot_be_laid_for_the_reader(level: str, folder: Path) -> None:
    if not FILTERED:
        pytest.skip("no seccomp filter here")
    code = "print(refused(lambda: os.symlink('/etc/passwd', 'out')), refused(lambda: os.mkfifo('pipe')))"
    assert python(folder, code).stdout == "True True\n"


def test_the_private_folder_is_writable_and_what_was_laid_there_readable(level: str, folder: Path) -> None:
    (folder / "given").write_text("hello", encoding="ascii")
    (folder / "given").chmod(0o600)
    (folder / "sub").mkdir(0o700)
    code = "open('sub/made', 'w').write(open('given').read()); os.mkdir('new'); os.rename('sub/made', 'new/made')"
    assert python(folder, code).returncode == 0
    assert (folder / "new" / "made").read_text(encoding="ascii") == "hello"


def test_extra_folders_are_readable_where_named(level: str, folder: Path, canary: Path) -> None:
    limits = Limits(wall_s=20, readable=(str(canary.parent),))
    code = "print(open(sys.argv[1]).read(), refused(lambda: open(sys.argv[1], 'a')))"
    done = python(folder, code, canary, limits=limits)
    assert done.stdout.split()[0] == "alive", done
    assert done.stdout.split()[1] == "True" or level == "rlimits"


def test_a_tool_outside_the_system_brings_its_own_folders_and_no_more(level: str, folder: Path, tmp_path: Path) -> None:
    """A link in one ``bin`` to a program in another prefix, whose library folder it reads; a neighbour stays hidden."""
    prefix = tmp_path / "tool-1.2"
    for name in ("bin", "lib", "secrets"):
        (prefix / name).mkdir(parents=True)
        (prefix / name / "text").write_text(name, encoding="ascii")
    program = prefix / "bin" / "tool"
    program.write_text('#!/bin/sh\ncat "$1/lib/text"; cat "$1/secrets/text"\n', encoding="ascii")
    program.chmod(0o755)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "tool"
    link.symlink_to(program)
    done = sandbox.run([str(link), str(prefix)], cwd=folder, limits=Limits(wall_s=20))
    assert done.stdout == ("libsecrets" if level == "rlimits" else "lib"), done


# --- network and other processes


def test_no_socket_of_any_kind(level: str, folder: Path) -> None:
    if level == "rlimits" and not FILTERED:
        pytest.skip("no seccomp filter here")
    place = folder / "live"
    with socket.socket(socket.AF_UNIX) as server, socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        for each, address in ((server, str(place)), (tcp, ("127.0.0.1", 0)), (udp, ("127.0.0.1", 0))):
            each.bind(address)
        server.listen()
        tcp.listen()
        code = """
import socket
def reach(family, kind, address):
    with socket.socket(family, kind) as s:
        s.connect(address); s.send(b"x")
tcp, udp = int(sys.argv[1]), int(sys.argv[2])
print(refused(lambda: reach(socket.AF_UNIX, socket.SOCK_STREAM, "live")),
      refused(lambda: reach(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", tcp))),
      refused(lambda: reach(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", udp))),
      refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)), refused(lambda: socket.socketpair()))
"""
        done = python(folder, code, tcp.getsockname()[1], udp.getsockname()[1])
        assert done.stdout == "True True True True True\n", done


def test_no_signal_and_no_trace_reaches_us(level: str, folder: Path) -> None:
    code = """
import ctypes, signal
parent, libc = int(sys.argv[1]), ctypes.CDLL(None, use_errno=True)
print(refused(lambda: os.kill(parent, signal.SIGUSR1)), refused(lambda: os.kill(parent, 0)),
      libc.ptrace(16, parent, 0, 0) == -1, libc.prlimit(parent, 7, (ctypes.c_uint64 * 2)(4, 4), None) == -1,
      refused(lambda: os.sched_setaffinity(parent, {0})), refused(lambda: os.setpriority(os.PRIO_PROCESS, parent, 19)))
"""
    got: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    try:
        done = python(folder, code, os.getpid())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not got
    assert done.stdout == "True True True True True True\n", done


@pytest.mark.skipif(not FILTERED, reason="no seccomp filter here")
@pytest.mark.parametrize(
    "call",
    ["setsid()", "setpgid(0, 0)", "unshare(0x10000000)", "syscall(425, 1, 0)", "setns(0, 0)",
     "mount(b'x', b'/', b'tmpfs', 0, 0)", "memfd_create(b'x', 0)", "userfaultfd(0)", "syscall(435, 0, 0)", "setuid(0)"],
)  # fmt: skip
def test_calls_that_lead_out_are_refused(level: str, folder: Path, call: str) -> None:
    if call == "setuid(0)" and not IS_ROOT:
        call = "setuid(1)"
    if call == "userfaultfd(0)":
        call = "syscall(323, 0)" if os.uname().machine == "x86_64" else "syscall(282, 0)"
    code = f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.{call} == -1, ctypes.get_errno())"
    done = python(folder, code)
    assert done.stdout.split() in (["True", "1"], ["True", "38"], *([["True", "22"]] if "setuid" in call else [])), done


# --- limits


def test_memory(level: str, folder: Path) -> None:
    done = python(folder, "x = bytearray(900 << 20)", limits=Limits(wall_s=20, memory_mb=512))
    assert done.returncode != 0
    assert "MemoryError" in done.stderr


def test_memory_of_many_together(level: str, folder: Path) -> None:
    code = """
import time
for _ in range(6):
    if os.fork() == 0:
        x = bytearray(b"x") * (100 << 20)
        time.sleep(30)
time.sleep(30)
"""
    done = python(folder, code, limits=Limits(wall_s=20, memory_mb=150))
    assert done.overran == "memory", done
    assert done.seconds < 10


def test_processor_time(level: str, folder: Path) -> None:
    done = python(folder, "while True: pass", limits=Limits(wall_s=20, cpu_s=1))
    assert done.timed_out


def test_processor_time_of_one_who_ignores_the_warning(level: str, folder: Path) -> None:
    code = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    done = python(folder, code, limits=Limits(wall_s=30, cpu_s=1))
    assert done.timed_out
    assert done.returncode == -signal.SIGKILL


def test_wall_clock(level: str, folder: Path) -> None:
    start = time.monotonic()
    done = python(folder, "import time; print('here', flush=True); time.sleep(60)", limits=Limits(wall_s=1))
    assert done.timed_out
    assert time.monotonic() - start < 2
    assert done.stdout == "here\n"


def test_file_size(level: str, folder: Path) -> None:
    done = python(folder, "open('big', 'wb').write(b'x' * (8 << 20))", limits=Limits(wall_s=20, file_mb=1))
    assert (folder / "big").stat().st_size <= 1 << 20
    assert done.returncode != 0


FILL = "import time\nfor n in range(10**6): {0}\ntime.sleep(30)"


@pytest.mark.parametrize(
    ("act", "limits"),
    [
        ("open(f'f{n}', 'wb').write(b'x' * (1 << 20))", Limits(wall_s=20, folder_mb=8, folder_files=10**7)),
        ("open(f'f{n}', 'wb').close()", Limits(wall_s=20, folder_files=200)),
        ("os.mkdir('d'); os.chdir('d')", Limits(wall_s=20, folder_files=200)),
        (
            "(h := os.open(f'f{n}', 66), os.unlink(f'f{n}'), os.write(h, b'x' * (1 << 20)), "
            "time.sleep(30 if n == 30 else 0))",
            Limits(wall_s=20, folder_mb=8),
        ),
    ],
    ids=["bytes", "files", "depth", "unlinked"],
)
def test_folder(level: str, folder: Path, act: str, limits: Limits) -> None:
    done = python(folder, FILL.format(act), limits=limits)
    assert done.overran == "folder", done
    assert done.seconds < 10


def test_descriptors(level: str, folder: Path) -> None:
    code = "handles = []\nprint(refused(lambda: [handles.append(os.open('/dev/null', 0)) for _ in range(300)]), len(handles))"
    done = python(folder, code, limits=Limits(wall_s=20, open_files=64))
    assert done.stdout.startswith("True ")
    assert int(done.stdout.split()[1]) < 64


BOMB = """
import time
while True:
    try:
        if os.fork() == 0:
            continue
    except OSError:
        time.sleep(0.01)
"""


def test_fork_bomb(level: str, folder: Path) -> None:
    start = time.monotonic()
    done = python(folder, BOMB, "marked-as-a-bomb", limits=Limits(wall_s=2, processes=12))
    assert done.timed_out or done.overran == "processes"
    assert time.monotonic() - start < 10  # its two seconds, on a busy machine
    assert nobody_left("marked-as-a-bomb")


def test_no_second_process_where_one_is_allowed(level: str, folder: Path) -> None:
    if not FILTERED:
        pytest.skip("no seccomp filter here")
    code = """
import threading
print(refused(lambda: os.fork()), refused(lambda: os.posix_spawn('/bin/true', ['true'], {})))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print('alone')
"""
    assert python(folder, code, limits=Limits(wall_s=20, processes=1)).stdout == "True True\nalone\n"


def test_processes_within_the_limit_work(level: str, folder: Path) -> None:
    done = sandbox.run(
        ["sh", "-c", "(echo a | cat) & wait; sh -c 'exit 3'"], cwd=folder, limits=Limits(wall_s=20, processes=8)
    )
    assert (done.returncode, done.stdout, done.overran) == (3, "a\n", "")


DAEMON = """
import time
if os.fork() == 0:
    try:
        os.setsid()
    except OSError:
        pass
    if os.fork() == 0:
        for n in (0, 1, 2):
            os.close(n)
        time.sleep(60)
    os._exit(0)
print("started", flush=True)
"""


def test_a_daemon_is_gone(level: str, folder: Path) -> None:
    start = time.monotonic()
    done = python(folder, DAEMON, "marked-as-a-daemon", limits=Limits(wall_s=10))
    assert done.stdout == "started\n"
    assert time.monotonic() - start < 5
    assert nobody_left("marked-as-a-daemon")


def test_a_daemon_is_gone_without_the_filter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no filter to keep it in its group, the launcher hunts what it inherits."""
    monkeypatch.setattr(seccomp, "architecture", lambda libc: None)
    ours, theirs = socket.socketpair()
    code = TRY + DAEMON.replace("print(", "time.sleep(0.5); print(")
    pid = os.fork()
    if pid == 0:
        ours.close()
        confine.serve(os.dup(theirs.fileno()))
        os._exit(0)
    theirs.close()
    limits = launcher.as_request(Limits(wall_s=10))
    step = {"program": sys.executable, "argv": ["python", "-c", code, "marked-unfiltered"], "env": {}, "limits": limits}
    readable = list(launcher.reach.readable((sys.executable,), ()))
    request = {
        "level": "rlimits",
        "cwd": str(folder),
        "is_scratch": False,
        "readable": readable,
        "view": None,
        "steps": [step],
    }
    confine.send(ours, request)
    reply = confine.receive(ours)
    ours.close()
    os.waitpid(pid, 0)
    assert reply and reply["done"][0]["stdout"] == b"started\n", reply
    assert nobody_left("marked-unfiltered")


def test_a_flood_is_cut(level: str, folder: Path) -> None:
    for stream in (1, 2):
        code = f"while True: os.write({stream}, b'x' * 4096)"
        done = python(folder, code, limits=Limits(wall_s=20, output_kb=64))
        assert done.flooded
        assert len(done.stdout + done.stderr) == 64 * 1024
        assert done.seconds < 10


def test_the_environment_is_minimal(level: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    done = python(folder, "import json; print(json.dumps(dict(os.environ)))")
    assert set(json.loads(done.stdout)) <= {"PATH", "LC_ALL", "HOME", "TMPDIR", "LC_CTYPE"}


def test_stdin_is_empty(level: str, folder: Path) -> None:
    assert python(folder, "print(repr(sys.stdin.read()))").stdout == "''\n"


def test_no_descriptor_of_ours_is_there(level: str, folder: Path) -> None:
    with (folder / "ours").open("w", encoding="ascii") as handle:
        os.set_inheritable(handle.fileno(), True)
        code = """
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
print([n for n in range(200) if is_open(n)])
"""
        assert python(folder, code).stdout == "[0, 1, 2]\n"


def test_no_core_is_dumped(level: str, folder: Path) -> None:
    done = python(folder, "import ctypes; ctypes.string_at(0)")
    assert done.returncode == -signal.SIGSEGV
    assert list(folder.iterdir()) == []


def test_there_is_no_privilege_to_gain(level: str, folder: Path) -> None:
    code = "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    assert python(folder, code).stdout == "1\n"


# --- several steps


def test_steps_share_the_folder_and_nothing_else(level: str, folder: Path) -> None:
    steps = [
        ["sh", "-c", "echo first; echo complaint >&2; echo text >made; (sleep 60; echo late) & "],
        ["sh", "-c", "cat made; exit 9"],
        ["sh", "-c", "echo never"],
    ]
    done = sandbox.run_steps(steps, cwd=folder, limits=Limits(wall_s=20))
    assert [(d.returncode, d.stdout, d.stderr) for d in done] == [(0, "first\n", "complaint\n"), (9, "text\n", "")]


def test_each_step_has_its_own_limits(level: str, folder: Path) -> None:
    steps = [["sh", "-c", "echo one; sleep 0.2"], ["sh", "-c", "sleep 60"]]
    done = sandbox.run_steps(steps, cwd=folder, limits=[Limits(wall_s=20), Limits(wall_s=0.3)])
    assert [d.timed_out for d in done] == [False, True]


def test_a_step_can_run_what_the_one_before_made(level: str, folder: Path) -> None:
    steps = [["sh", "-c", "printf '#!/bin/sh\\necho made\\n' >tool && chmod +x tool"], ["./tool"]]
    done = sandbox.run_steps(steps, cwd=folder, limits=Limits(wall_s=20, builds=True))
    assert [d.stdout for d in done] == ["", "made\n"], done


def test_a_missing_or_unfit_program_is_an_error_of_its_own(level: str, folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sandbox.run(["no-such-program-here"], cwd=folder)
    with pytest.raises(FileNotFoundError):
        sandbox.run(["./not-made"], cwd=folder)
    (folder / "text").write_text("no program", encoding="ascii")
    with pytest.raises(PermissionError):
        sandbox.run(["./text"], cwd=folder)
    with pytest.raises(OSError, match="Invalid"):
        sandbox.run(["/bin/true", "a\0b"], cwd=folder)
    assert sandbox.run(["/bin/true"], cwd=folder).returncode == 0


def test_icarus_compiles_and_simulates(level: str) -> None:
    done = icarus.simulate({"t.v": 'module t; initial $display("%d", 6 * 7); endmodule'}, top="t")
    assert done.ran is not None
    assert done.ran.stdout.strip() == "42"


# --- our own end


def test_threads_run_side_by_side(level: str) -> None:
    seen: list[str] = []

    def work(number: int) -> None:
        with sandbox.scratch() as place:
            seen.append(sandbox.run(["sh", "-c", f"sleep 0.3; echo {number}"], cwd=place).stdout)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == ["0\n", "1\n", "2\n", "3\n"]
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_caller_leaves_no_tool(level: str, tmp_path: Path, signal_number: signal.Signals) -> None:
    code = (
        "from pathlib import Path; from itertl.sandbox import sandbox\n"
        "with sandbox.scratch() as f:\n"
        "    print(f, flush=True)\n"
        "    sandbox.run(['sh', '-c', 'touch up; (sleep 61; : marked-orphan) & sleep 61; : marked-orphan'], cwd=f)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        place = Path(caller.stdout.readline().strip())
        end = time.monotonic() + 20
        while not (place / "up").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        caller.send_signal(signal_number)
        caller.wait()
    assert nobody_left("marked-orphan")
    end = time.monotonic() + 5
    while place.exists():
        assert time.monotonic() < end, "the private folder is left"
        time.sleep(0.02)


def test_a_launcher_that_dies_is_an_error_of_ours_and_replaced(level: str, folder: Path) -> None:
    sandbox.run(["/bin/true"], cwd=folder)
    victim = launcher._idle[-1].pid
    threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()
    with pytest.raises(ToolFailed, match="launcher"):
        sandbox.run(["sleep", "30"], cwd=folder)
    assert sandbox.run(["/bin/true"], cwd=folder).returncode == 0


def test_a_forked_child_has_launchers_of_its_own(level: str, folder: Path) -> None:
    sandbox.run(["/bin/true"], cwd=folder)
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(sandbox.run(["sh", "-c", "exit 7"], cwd=folder).returncode)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert sandbox.run(["sh", "-c", "exit 6"], cwd=folder).returncode == 6


# --- without machine code, and as an ordinary user


def test_the_slower_way_to_start_works_too(level: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The way of machines for which there is no machine code, in launchers of their own."""
    monkeypatch.setenv("ITERTL_LAUNCHER", "fork")
    launcher.close_all()
    try:
        done = sandbox.run_steps([["sh", "-c", "echo a >f"], ["cat", "f"], ["sh", "-c", "exit 4"]], cwd=folder)
        assert [(d.returncode, d.stdout) for d in done] == [(0, ""), (0, "a\n"), (4, "")]
        with pytest.raises(FileNotFoundError):
            sandbox.run(["./not-made"], cwd=folder)
        assert levels.probe(level).works
    finally:
        launcher.close_all()


AS_NOBODY = """
import os, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
os.chdir("/")
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


QUICK = (
    "outside or socket or signal or bomb or daemon or icarus or chmod or step or killed or scratch or held or launcher"
)


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
@pytest.mark.parametrize("chosen", [QUICK, pytest.param("test", marks=pytest.mark.slow)], ids=["quick", "all"])
def test_every_level_works_for_an_ordinary_user(chosen: str) -> None:
    """This file again, by a user without rights, where Python and the project can be read by all."""
    from sandbox_user import copy_project, system_python

    program = system_python()
    if program is None:
        pytest.skip("no Python that another user could run")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        place.chmod(0o755)
        paths = copy_project(place)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHONPATH": ":".join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        options = ["-q", "-p", "no:cacheprovider", "-rs", "-k", f"({chosen}) and not test_every_level"]
        options += [str(place / "tests" / name) for name in ("test_sandbox.py", "test_sandbox_warm.py")]
        command = [program, "-c", AS_NOBODY, *options]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    worked = {name for name in sandbox.LEVELS if levels.probe(name).works}
    assert not any(f"{name}: " in done.stdout for name in worked - {"bubblewrap"}), "a level was skipped"


# --- choice of the level


def test_an_unknown_level_is_the_users_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_SANDBOX", "jail")
    with pytest.raises(UsageError, match="choose rlimits, landlock, bubblewrap"):
        sandbox.level()
    with pytest.raises(UsageError, match="choose"):
        sandbox.require("jail")


@pytest.fixture
def chooses_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("ITERTL_SANDBOX", raising=False)
    monkeypatch.delenv("ITERTL_SANDBOX_PROBED", raising=False)
    levels._choose.cache_clear()
    launcher.find_bubblewrap.cache_clear()
    yield
    levels._choose.cache_clear()
    launcher.find_bubblewrap.cache_clear()


@pytest.mark.usefixtures("chooses_anew")
def test_a_bwrap_that_fails_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    monkeypatch.setenv("ITERTL_BWRAP", str(broken))
    finding = levels.probe("bubblewrap")
    assert not finding.works
    assert "No permissions" in finding.detail
    assert sandbox.level() in ("landlock", "rlimits")
    assert os.environ["ITERTL_SANDBOX"] == os.environ["ITERTL_SANDBOX_PROBED"] == sandbox.level()
    with pytest.raises(ToolMissing, match="apt-get install bubblewrap"):
        sandbox.require("bubblewrap")
    sandbox.require("rlimits")


@pytest.mark.usefixtures("chooses_anew")
def test_a_bwrap_that_confines_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It answers as the real one does but makes no namespace: nothing can be joined, or all is still to be seen."""
    liar = tmp_path / "bwrap"
    liar.write_text('#!/bin/sh\necho "{\\"child-pid\\": $$}" >&3\nexec cat\n', encoding="ascii")
    liar.chmod(0o755)
    monkeypatch.setenv("ITERTL_BWRAP", str(liar))
    assert not levels.probe("bubblewrap").works


@pytest.mark.usefixtures("chooses_anew")
def test_a_forced_level_that_does_not_work_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_SANDBOX", "bubblewrap")
    monkeypatch.setenv("ITERTL_BWRAP", "/nonexistent/bwrap")
    with pytest.raises(ToolMissing, match="ITERTL_SANDBOX=bubblewrap does not work here"):
        sandbox.level()


@pytest.mark.usefixtures("chooses_anew")
def test_without_landlock_and_bubblewrap_one_loud_warning(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ITERTL_BWRAP", "/nonexistent/bwrap")
    monkeypatch.setattr("itertl.sandbox.landlock.abi", lambda: 0)
    assert sandbox.level() == "rlimits"
    assert sandbox.level() == "rlimits"
    assert capfd.readouterr().err.count("WARNING: the sandbox is at its weakest level") == 1
    code = "from itertl.sandbox import sandbox; print(sandbox.level())"
    worker = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (worker.stdout, worker.stderr) == ("rlimits\n", "")
    with pytest.raises(ToolMissing, match="landlock is required"):
        sandbox.require("landlock")


# --- scratch folders


def test_scratch_is_gone_whatever_lies_in_it(level: str) -> None:
    with sandbox.scratch() as place:
        code = """
top = os.getcwd()
for n in range(1500):
    os.mkdir("deep" * 20); os.chdir("deep" * 20)
os.chdir(top); os.makedirs("locked/inner"); open("locked/inner/f", "w").close()
try:
    os.chmod("locked/inner", 0); os.chmod("locked", 0o500)
except OSError:
    pass
"""
        done = python(place, code, limits=Limits(wall_s=20, folder_files=10_000))
        assert done.returncode == 0, done
        if not IS_ROOT:
            (place / "locked").chmod(0o500)
    assert not place.exists()


def test_removal_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "f").write_text("x", encoding="ascii")
    place = tmp_path / "place"
    (place / "a" / "b").mkdir(parents=True)
    (place / "link").symlink_to(tmp_path / "kept")
    (place / "a" / "link").symlink_to(tmp_path / "kept")
    removal.flatten_and_remove(place)
    assert not place.exists()
    assert stat.S_ISREG((tmp_path / "kept" / "f").stat().st_mode)
