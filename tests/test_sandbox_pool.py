"""Where processes start: limits hold, groups die, a worker's end costs one task."""

import os
import sys
import time
from pathlib import Path

import pytest

from itertl.errors import ToolFailed
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.work import pool


def python(code: str, tmp_path: Path, limits: Limits) -> sandbox.Completed:
    return sandbox.run([sys.executable, "-c", code], cwd=tmp_path, limits=limits)


def test_output_and_status(tmp_path: Path) -> None:
    done = python("import sys; print('héllo'); print('err', file=sys.stderr); sys.exit(3)", tmp_path, Limits())
    assert (done.returncode, done.stdout, done.stderr, done.timed_out) == (3, "héllo\n", "err\n", False)


def test_stdin_is_empty(tmp_path: Path) -> None:
    assert python("import sys; print(repr(sys.stdin.read()))", tmp_path, Limits()).stdout == "''\n"


def test_the_wall_clock_ends_it_and_its_children(tmp_path: Path) -> None:
    start = time.monotonic()
    code = "import os, time\nos.fork()\nprint('up', flush=True)\ntime.sleep(60)"
    done = sandbox.run([sys.executable, "-c", code, "marked-for-the-wall-clock"], cwd=tmp_path, limits=Limits(wall_s=1))
    assert done.timed_out and time.monotonic() - start < 3
    assert done.stdout == "up\nup\n"
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"marked-for-the-wall-clock" in line for line in lines), "a child outlived its group"


def test_a_child_that_keeps_the_pipe_open_does_not_hold_us(tmp_path: Path) -> None:
    start = time.monotonic()
    done = sandbox.run(["sh", "-c", "sleep 60 & echo done"], cwd=tmp_path, limits=Limits(wall_s=1))
    assert done.stdout == "done\n" and time.monotonic() - start < 3


def test_cpu_time_is_limited(tmp_path: Path) -> None:
    assert python("while True: pass", tmp_path, Limits(wall_s=20, cpu_s=1)).timed_out


def test_memory_is_limited(tmp_path: Path) -> None:
    done = python("x = bytearray(900 << 20)", tmp_path, Limits(memory_mb=512))
    assert done.returncode != 0 and "MemoryError" in done.stderr


def test_a_flood_is_cut(tmp_path: Path) -> None:
    done = python("while True: print('x' * 1000)", tmp_path, Limits(wall_s=20, output_kb=64))
    assert done.flooded and len(done.stdout) == 64 * 1024 and done.seconds < 10


def test_file_size_is_limited(tmp_path: Path) -> None:
    python("open('big', 'wb').write(b'x' * (8 << 20))", tmp_path, Limits(file_mb=1))
    assert (tmp_path / "big").stat().st_size <= 1 << 20


def test_the_environment_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    assert "hunter2" not in python("import os; print(os.environ)", tmp_path, Limits()).stdout


def test_a_missing_program_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sandbox.run(["no-such-program-here"], cwd=tmp_path)


def test_scratch_is_gone_afterwards() -> None:
    with sandbox.scratch() as folder:
        (folder / "x").write_text("1")
    assert not folder.exists()


# --- worker pool: functions are found by name in this module


def double(value: int) -> int:
    return 2 * value


def misbehave(what: str) -> str:
    if what == "crash":
        os._exit(9)
    if what == "hang":
        time.sleep(60)
    if what == "raise":
        raise ValueError("a bad one")
    return what


def test_results_of_all_tasks_come_back() -> None:
    found = {n: o.value for n, o in pool.map_unordered("test_sandbox_pool:double", range(40), num_workers=2)}
    assert found == {n: 2 * n for n in range(40)}


def test_no_tasks_start_no_worker() -> None:
    assert list(pool.map_unordered("no_such_module:function", [])) == []


def test_a_crash_a_hang_and_an_exception_cost_one_task_each() -> None:
    tasks = ["fine", "crash", "also fine", "hang", "raise", "last"]
    found = dict(pool.map_unordered("test_sandbox_pool:misbehave", tasks, num_workers=2, timeout_s=1.0))
    assert [found[n].status for n in range(6)] == ["ok", "crashed", "ok", "timeout", "raised", "ok"]
    assert "a bad one" in found[4].detail


def test_workers_that_cannot_start_are_our_error() -> None:
    with pytest.raises(ToolFailed, match="cannot start"):
        list(pool.map_unordered("no_such_module:function", [1]))


def test_closing_early_leaves_no_worker() -> None:
    results = pool.map_unordered("test_sandbox_pool:whoami", range(100), num_workers=2)
    _, first = next(results)
    results.close()  # type: ignore[attr-defined]
    time.sleep(0.1)
    assert not Path(f"/proc/{first.value}").exists()


def whoami(_: int) -> int:
    return os.getpid()
