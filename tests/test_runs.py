"""The run folder: stages are skipped while valid, redone with the reason when stale, and one process writes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from itertl import memory
from itertl.config import build_recipe
from itertl.errors import DataError, RunError
from itertl.progress import Reporter
from itertl.runs.folder import RunFolder, differences
from itertl.runs.storage import write_text


class Recorder(Reporter):
    """Keeps what stages say."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []
        self.console = Console(quiet=True)

    def say(self, text: object) -> None:
        self.lines.append(str(text))


def do_stage(
    run: RunFolder, calls: list[str], *, settings: Mapping[str, Any], inputs: Mapping[str, str], seed: int = 0
) -> Any:
    folder = run.iteration(0)

    def work() -> dict[str, Any]:
        calls.append("worked")
        write_text(folder.path / "out.txt", f"{settings}{inputs}")
        return {"count": len(calls)}

    return run.stage(folder, "sample", settings=settings, inputs=inputs, outputs=["out.txt"], seed=seed, work=work)


def test_a_valid_stage_is_skipped_and_a_stale_one_says_why(tmp_path: Path) -> None:
    reporter, calls = Recorder(), []
    recipe = build_recipe({})
    first = {"sample": {"temperature": 0.5}}
    with RunFolder(tmp_path / "run", recipe, reporter) as run:
        record = do_stage(run, calls, settings=first, inputs={"problems": "a"})
        assert do_stage(run, calls, settings=first, inputs={"problems": "a"}) == record and calls == ["worked"]
    steps = [
        ({"sample": {"temperature": 0.7}}, {"problems": "a"}, 0, "sample.temperature: 0.5 -> 0.7"),
        ({"sample": {"temperature": 0.7}}, {"problems": "b"}, 0, "its input changed: problems"),
        ({"sample": {"temperature": 0.7}}, {"problems": "b"}, 9, "seed: 0 -> 9"),
    ]
    for number, (settings, inputs, seed, reason) in enumerate(steps, 2):
        with RunFolder(tmp_path / "run", recipe, reporter) as run:
            do_stage(run, calls, settings=settings, inputs=inputs, seed=seed)
        assert len(calls) == number and reason in reporter.lines[-1]


@pytest.mark.parametrize(("change", "reason"), [("alter", "out.txt was altered"), ("remove", "out.txt is missing")])
def test_outputs_that_were_touched_are_made_again(tmp_path: Path, change: str, reason: str) -> None:
    reporter, calls = Recorder(), []
    with RunFolder(tmp_path, build_recipe({}), reporter) as run:
        do_stage(run, calls, settings={}, inputs={})
        path = run.iteration(0).path / "out.txt"
        path.write_text("forged") if change == "alter" else path.unlink()
    with RunFolder(tmp_path, build_recipe({}), reporter) as run:
        do_stage(run, calls, settings={}, inputs={})
    assert calls == ["worked", "worked"] and reason in reporter.lines[-1]


def test_work_that_fails_leaves_no_record(tmp_path: Path) -> None:
    with RunFolder(tmp_path, build_recipe({})) as run:
        folder = run.iteration(0)

        def work() -> dict[str, Any]:
            raise RuntimeError("broke")

        with pytest.raises(RuntimeError, match="broke"):
            run.stage(folder, "sample", settings={}, inputs={}, outputs=[], seed=0, work=work)
        assert folder.manifest().stages == {}


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", build_recipe({})):
        code = (
            "import sys; from pathlib import Path; from itertl.config import build_recipe; from itertl.runs.folder "
            "import RunFolder\n"
            "from itertl.errors import RunError\n"
            f"try:\n    RunFolder(Path({str(tmp_path / 'run')!r}), build_recipe({{}})).__enter__()\n"
            "except RunError as error: print(error); sys.exit(error.exit_status)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "in use by process" in done.stdout
    with RunFolder(tmp_path / "run", build_recipe({})):
        pass  # the lock went with its holder


def test_folders_that_are_no_run_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder(tmp_path, build_recipe({})).__enter__()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "thesis.txt", build_recipe({})).__enter__()


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    with RunFolder(tmp_path, build_recipe({})) as run:
        (run.iteration(1).path / "manifest.json").write_text("{")
        with pytest.raises(DataError, match=r"iter-01/manifest\.json"):
            run.iteration(1).manifest()


def test_a_changed_recipe_is_said(tmp_path: Path) -> None:
    reporter = Recorder()
    with RunFolder(tmp_path, build_recipe({}), reporter):
        pass
    with RunFolder(tmp_path, build_recipe({"train": {"epochs": 5}}), reporter):
        pass
    assert reporter.lines == ["recipe changed: train.epochs: 3 -> 5"]


def test_differences_name_leaves() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": None}) == ["a.c: 2 -> 3"]
    assert differences({"a": [1]}, {"a": [1, 2]}) == ["a: [1] -> [1, 2]"]
    assert differences({"a": 1}, {}) == ["a: 1 -> null"]


def test_memory_that_was_freed_is_given_back() -> None:
    """glibc keeps what lies below a block in use; a trim returns its pages."""

    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

    blocks = [bytearray(60_000) for _ in range(4_000)]  # 230 MB, below the size from which blocks are mapped alone
    last = bytearray(60_000)
    blocks.clear()
    memory.give_back()
    after = resident_mb()
    blocks = [bytearray(60_000) for _ in range(4_000)]
    assert resident_mb() - after > 150 and last
