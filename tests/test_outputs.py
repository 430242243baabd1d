"""What a command may write: one walk over every command that takes ``--out``, and the rule itself."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import itertl
from itertl import cli
from itertl.errors import DataError, UsageError, WriteFailed
from itertl.runs import outputs, rows, storage

TINY = ["--model", "random:tiny", "sample.max_new_tokens=4", "sample.num_candidates=2"]
PAIR = {
    "reference": "module m(output y); assign y = 1; endmodule",
    "completion": "module m(output y); assign y = 1; endmodule",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each input: problems, candidates, their scores, a run."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ITERTL_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        for line in (
            ["data", "synth", "3", "--out", "problems.jsonl"],
            ["sample", "problems.jsonl", "--out", "candidates.jsonl", *TINY],
            ["score", "candidates.jsonl", "--scorer", "text", "--out", "scored.jsonl"],
        ):
            assert call(line) == 0
    (folder / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n", encoding="utf-8")
    (folder / "completions.jsonl").write_text("", encoding="utf-8")
    (folder / "design.v").write_text(PAIR["reference"], encoding="utf-8")
    row = {"schema": "itertl.text/1", "text": PAIR["reference"], "path": "design.v"}
    (folder / "corpus.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return folder


def call(line: list[str]) -> int:
    """Exit status of a command line; what it says on stderr is passed on."""
    done = itertl(*line)
    sys.stderr.write(done.stderr)
    return done.returncode


# every command that writes where it is told to (export has a rule of its own, and tests of it); "F" stands for a file,
# "D" for a folder
COMMANDS = {
    "sample": ["sample", "problems.jsonl", *TINY, "--out", "F"],
    "score": ["score", "pairs.jsonl", "--scorer", "text", "--out", "F"],
    "score-vcd": ["score", "pairs.jsonl", "--scorer", "vectors", "--out", "new.jsonl", "--vcd", "D"],
    "train": ["train", "scored.jsonl", "--problems", "candidates.problems.jsonl", "--model", "random:tiny", "--out", "D"],
    "eval-model": ["eval", "--model", "random:tiny", "--benchmark", "synth-heldout-short", "--limit", "1", "--max-new-tokens", "4", "--out", "D/eval-synth-heldout-short.jsonl"],
    "generate": ["generate", "An inverter.", *TINY[:2], "--out", "F"],
    "report": ["report", "run", "--out", "D/report.html"],
    "import": ["data", "import", "problems.jsonl", "--out", "F"],
    "synth": ["data", "synth", "2", "--out", "F"],
    "audit": ["data", "audit", "problems.jsonl", "--no-tools", "--keep-sound", "F"],
    "repair": ["data", "repair", "run", "--out", "F"],
    "distil": ["data", "distil", "problems.jsonl", *TINY, "--draws", "1", "--out", "F"],
    "data-export": ["data", "export", "problems.jsonl", "--for", "trl", "--out", "D/train.jsonl"],
    "write": ["data", "write", "--teacher", *TINY[1:3], "--count", "1", "--out", "F"],
    "describe": ["data", "describe", "problems.jsonl", "--teacher", *TINY[1:3], "--out", "F"],
    "corpus": ["data", "corpus", "design.v", "--out", "F"],
    "memorised": ["audit", "memorised", TINY[1], "--against", "corpus.jsonl", "--out", "F"],
    "extend": ["model", "extend", TINY[1], "--corpus", "design.v", "--out", "D"],
    "run": ["run", "smoke.yaml", "--out", "D"],
    "study": ["study", "study.yaml", "--out", "D"],
}  # fmt: skip


def test_every_command_that_writes_is_walked_over() -> None:
    def options(app: object) -> set[str]:
        found = {
            c.callback.__name__ for c in app.registered_commands if {"out", "sound"} & set(c.callback.__annotations__)
        }
        return found | {name for group in app.registered_groups for name in options(group.typer_instance)}

    walked = {
        "sample",
        "score",
        "train",
        "evaluate",
        "generate",
        "report",
        "data_import",
        "data_synth",
        "data_audit",
        "data_repair",
        "data_distil",
        "data_export",
        "data_write",
        "data_describe",
        "data_corpus",
        "audit_memorised",
        "model_extend",
        "run",
        "export",
        "study",
    }
    assert options(cli.app) == walked | {"chat"}  # which goes on from its own transcript, and refuses any other file


@pytest.mark.parametrize("name", COMMANDS)
def test_what_no_call_of_ours_made_stays(
    name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(made / "cache"))
    for child in made.iterdir():
        (tmp_path / child.name).symlink_to(child)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke.yaml").write_text("model: {path: random:tiny}\n", encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        "{name: s, base: smoke.yaml, control: a, arms: {a: {method: sft}, b: {}}, seeds: [0]}\n", encoding="utf-8"
    )
    foreign, folder = tmp_path / "mine.txt", tmp_path / "mine"
    foreign.write_text("precious", encoding="utf-8")
    folder.mkdir()
    target = next(word for word in COMMANDS[name] if word == "F" or word.startswith("D"))
    kept = foreign if target == "F" else folder / (target[2:] or "precious.txt")
    kept.write_text("precious", encoding="utf-8")
    out = str(foreign if target == "F" else folder)
    status = call([out if word == target else word for word in COMMANDS[name]])
    said = capsys.readouterr().err
    assert kept.read_text(encoding="utf-8") == "precious"
    assert status == 2, said
    assert str(out) in said and len(said.strip().splitlines()) == 1, said


@pytest.mark.parametrize("name", [n for n in COMMANDS if "F" in COMMANDS[n]])
def test_an_impossible_path_is_told_before_any_work(
    name: str, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(made / "cache"))
    monkeypatch.chdir(made)
    for out, word in (("problems.jsonl/x.jsonl", "not a folder"), (str(made), "is a folder")):
        assert call([out if part == "F" else part for part in COMMANDS[name]]) == 2
        said = capsys.readouterr().err
        assert word in said and len(said.strip().splitlines()) == 1, said


def test_inputs_are_never_written_over(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(made / "cache"))
    monkeypatch.chdir(made)
    before = (made / "problems.jsonl").read_bytes()
    assert call(["sample", "problems.jsonl", *TINY, "--out", "problems.jsonl", "--force"]) == 2
    assert (
        call(
            ["train", "scored.jsonl", "--problems", "problems.jsonl", "--model", "random:tiny", "--out", ".", "--force"]
        )
        == 2
    )
    assert call(["score", "pairs.jsonl", "--scorer", "text", "--out", "pairs.jsonl", "--force"]) == 2
    assert (made / "problems.jsonl").read_bytes() == before
    assert "is an input of this call" in capsys.readouterr().err


def test_sample_puts_its_problems_beside_those_that_are_there(made: Path) -> None:
    assert len((made / "problems.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    assert len((made / "candidates.problems.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_links_are_written_through_and_nodes_written_to(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to("target")
    storage.write_text(link, "text")
    assert link.is_symlink() and target.read_text(encoding="utf-8") == "text"
    circle = tmp_path / "circle"
    circle.symlink_to("circle")
    with pytest.raises(UsageError, match="symbolic links"):
        outputs.check_place(circle)
    assert circle.is_symlink()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    storage.write_text(pipe, "text")
    assert os.read(reader, 10) == b"text" and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)
    assert not storage.partial_of(pipe).is_relative_to(tmp_path / "pipe.partial")


def test_what_a_call_made_the_same_call_makes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(tmp_path / "cache"))
    out, other = tmp_path / "out", tmp_path / "other"
    for text in ("one", "two"):
        with outputs.writing("score", files=[out]):
            storage.write_text(out, text)
    with pytest.raises(UsageError, match="no earlier `itertl sample` made it"), outputs.writing("sample", files=[out]):
        pass
    with pytest.raises(RuntimeError), outputs.writing("score", files=[other]):
        storage.write_text(other, "half")
        raise RuntimeError
    with outputs.writing("score", files=[other]):
        pass  # a call that was stopped goes on
    out.write_text("changed by hand", encoding="utf-8")
    with pytest.raises(UsageError, match="was changed since"), outputs.writing("score", files=[out]):
        pass
    with outputs.writing("score", files=[out], force=True):
        storage.write_text(out, "three")
    assert outputs.is_made_by(out, "score")


def test_a_folder_of_ours_with_a_file_of_the_users_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(tmp_path / "cache"))
    with outputs.writing("train", folders=[tmp_path / "ck"]):
        storage.write_text(tmp_path / "ck" / "weights", "")
    assert outputs.is_made_by(tmp_path / "ck", "train")
    (tmp_path / "ck" / "notes").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="was changed since"), outputs.writing("train", folders=[tmp_path / "ck"]):
        pass


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed, match=r"/dev/full: cannot be written .*free some space"):
        storage.write_text(Path("/dev/full"), "text")
    log = storage.AppendLog(tmp_path / "log")
    log.append([{"a": 1}])
    log._handle.close()
    log._handle = open("/dev/full", "wb")  # noqa: SIM115, PTH123
    with pytest.raises(WriteFailed, match="free some space"):
        log.append([{"b": 2}])
    log.close()
    assert storage.AppendLog(tmp_path / "log").existing == [{"a": 1}]


def test_a_device_has_no_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for read in (rows.read_bytes, lambda path: list(rows.read_lines(path))):
        with pytest.raises(DataError, match="is a device"):
            read(Path("/dev/zero"))
    import gzip

    monkeypatch.setattr(rows, "MAX_UNSIZED", 1 << 20)
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(3 << 20)))
    with pytest.raises(DataError, match="without an end"):
        rows.read_bytes(bomb)


def test_what_a_folder_of_inputs_holds_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    source = tmp_path / "rtl" / "inv.v"
    source.write_text("// Turns a bit.\nmodule inv(input a, output y); assign y = ~a; endmodule\n")
    kept = source.read_bytes()
    done = itertl("data", "import", "rtl", "--out", "rtl/inv.v", "--force", cwd=tmp_path)
    assert done.returncode == 2 and "an input of this call" in done.stderr and source.read_bytes() == kept
    for _ in range(2):  # a new file there is no input, the second time neither
        assert itertl("data", "import", "rtl", "--out", "rtl/pairs.jsonl", cwd=tmp_path).returncode == 0


def test_a_run_reads_nothing_that_it_writes(made: Path, tmp_path: Path, repository: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "problems.jsonl").write_bytes((made / "problems.jsonl").read_bytes())
    done = itertl(
        "run",
        repository / "recipes/smoke.yaml",
        "data.source=run/problems.jsonl",
        "--out",
        "run",
        "--resume-changed",
        cwd=tmp_path,
    )
    assert done.returncode == 2 and "lies in run, which the run writes" in done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["problems.jsonl"]


def test_a_log_that_is_not_ours_is_kept(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "out.jsonl.partial").write_text("precious")
    done = itertl("score", made / "pairs.jsonl", "--scorer", "text", "--out", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 2 and "out.jsonl.partial: exists" in done.stderr
    assert (tmp_path / "out.jsonl.partial").read_text() == "precious" and not (tmp_path / "out.jsonl").exists()


def test_data_on_standard_output_are_alone_there(made: Path, tmp_path: Path) -> None:
    with (tmp_path / "all.jsonl").open("w") as sink:
        command = [
            sys.executable,
            "-m",
            "itertl",
            "data",
            "import",
            str(made / "problems.jsonl"),
            "--out",
            "/dev/stdout",
            "--json",
        ]
        done = subprocess.run(command, stdout=sink, stderr=subprocess.PIPE, text=True, check=True)
    assert (tmp_path / "all.jsonl").read_bytes() == (
        made / "problems.jsonl"
    ).read_bytes() and '"problems": 3' in done.stderr


def test_a_full_standard_output_is_one_line(made: Path) -> None:
    with Path("/dev/full").open("w") as sink:
        command = [
            sys.executable,
            "-m",
            "itertl",
            "data",
            "audit",
            str(made / "problems.jsonl"),
            "--no-tools",
            "--json",
        ]
        done = subprocess.run(command, stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    assert (
        done.returncode == 1
        and done.stderr.splitlines()[-1].startswith("itertl: standard output: No space left")
        and "Traceback" not in done.stderr
    )


def test_a_page_that_is_no_report_is_kept(finished_run: Path) -> None:
    (finished_run / "report.html").write_text("mine")
    done = itertl("report", finished_run)
    assert (
        done.returncode == 2
        and "is not a page of a report" in done.stderr
        and (finished_run / "report.html").read_text() == "mine"
    )


@pytest.fixture
def finished_run(made: Path, tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("name: x\n")
    return tmp_path / "run"
