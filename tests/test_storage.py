"""Files are complete or absent; logs survive a torn end; folders survive a kill between renames."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itertl.errors import DataError, WriteFailed
from itertl.records import Dropped, Fault, Problem, Verdict, content_hash
from itertl.runs import rows, storage
from itertl.work.seeds import derive_seed


def problem(text: str = "Build it") -> Problem:
    return Problem.create(instruction=text, header="module m;\n", reference="module m;\nendmodule\n", source="test")


@given(st.text(), st.text())
def test_records_survive_the_disk_whatever_the_text(
    tmp_path_factory: pytest.TempPathFactory, first: str, second: str
) -> None:
    path = tmp_path_factory.mktemp("records") / "p.jsonl"
    rows = [problem(first), problem(second)]
    storage.write_records(path, rows)
    assert storage.read_records(path, Problem) == rows


def test_a_line_separator_inside_text_does_not_split_a_record(tmp_path: Path) -> None:
    rows = [problem("a\u2028b\x85c\rd\n")]
    storage.write_records(tmp_path / "p.jsonl", rows)
    assert storage.read_records(tmp_path / "p.jsonl", Problem) == rows


def test_ids_are_content_hashes() -> None:
    assert problem("a").id == problem("a").id != problem("b").id
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"schema": "itertl.problem/1"}', ["p.jsonl:1", "id"]),
        ('{"schema": "itertl.candidate/1"}', ["itertl.candidate/1", "itertl.problem/1"]),
        ("{", ["p.jsonl:1", "not JSON"]),
        ("[1]", ["list", "object"]),
        ('{"schema": "itertl.problem/1", "id": "x", "instruction": "", "source": "s", "colour": 1}', ["colour"]),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, words: list[str]) -> None:
    (tmp_path / "p.jsonl").write_text(line + "\n")
    with pytest.raises(DataError) as caught:
        storage.read_records(tmp_path / "p.jsonl", Problem)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothere"):
        storage.read_records(tmp_path / "nothere.jsonl", Problem)


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=2), max_size=5), st.integers(0, 400))
def test_a_log_cut_anywhere_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "x.partial"
    with storage.AppendLog(path) as log:
        log.append(rows)
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    whole = data.count(b"\n")
    with storage.AppendLog(path) as log:
        assert log.existing == rows[:whole]
        log.append([{"new": 1}])
    with storage.AppendLog(path) as log:
        assert log.existing == [*rows[:whole], {"new": 1}]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    storage.write_json(path, {"a": 1})

    def broken(fd: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(WriteFailed, match="disk full"):
        storage.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_every_state_that_a_kill_can_leave_of_a_folder_is_recovered(tmp_path: Path) -> None:
    final, staged, old = tmp_path / "final", tmp_path / "staged", tmp_path / ".final.old"
    final.mkdir()
    (final / "x").write_text("one")
    final.rename(old)  # killed between the two renames
    storage.recover_folder(final)
    assert (final / "x").read_text() == "one" and not old.exists()
    staged.mkdir()
    (staged / "x").write_text("two")
    storage.commit_folder(staged, final)
    assert (final / "x").read_text() == "two" and not staged.exists() and not old.exists()
    old.mkdir()  # killed before the old one was removed
    storage.recover_folder(final)
    assert (final / "x").read_text() == "two" and not old.exists()


def test_a_folders_hash_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = storage.hash_file(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = storage.hash_file(tmp_path / "a")
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, second, storage.hash_file(tmp_path / "a")}) == 3


def test_every_verdict_has_a_fault_and_ours_never_counts() -> None:
    ours = {Verdict.TOOL_MISSING, Verdict.TOOL_FAILED, Verdict.UNJUDGEABLE, Verdict.UNDECIDED}
    assert {v for v in Verdict if v.fault is Fault.OURS} == ours
    assert {v for v in Verdict if v.fault is Fault.NONE} == {Verdict.PASSED, Verdict.SCORED}


def test_records_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Dropped(reason="a", text="b").text = "c"  # type: ignore[misc]


def test_seeds_depend_on_the_whole_path_and_on_nothing_else() -> None:
    assert derive_seed(0, "sample", 1) == derive_seed(0, "sample", 1)
    seeds = {
        derive_seed(0, "a", "b"),
        derive_seed(0, "ab"),
        derive_seed(0, "a", 1),
        derive_seed(0, "a", "1"),
        derive_seed(1, "a", "b"),
    }
    assert len(seeds) == 5 and all(0 <= s < 2**63 for s in seeds)
    assert derive_seed(7, "golden") == 3509086690657204889


def test_a_library_that_quotes_the_system_is_understood(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteFailed, match=r"checkpoint: .* \(No space left on device\); .*free some space"),
        storage.saves_to(tmp_path / "checkpoint"),
    ):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="shape"), storage.saves_to(tmp_path / "checkpoint"):
        raise RuntimeError("a wrong shape")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{"a": 1}\n{"a"\n',
            "{path}:2: not JSON (Expecting ':' delimiter, column 5); give one JSON object a line, or one",
        ),
        ('{"a": 1}\n3\n', "{path}:2: a int, not a JSON object; each row must map names to values"),
        ('{"a": 1}\n' + "[" * 100_000, "{path}:2: not JSON ("),
    ],
)
def test_every_reader_says_the_same_of_a_broken_file(tmp_path: Path, text: str, says: str, packed: bool) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    for read in (rows.read_lines, rows.read_objects, rows.read_table):
        with pytest.raises(DataError) as caught:
            list(read(path))  # type: ignore[arg-type]
        assert str(caught.value).startswith(says.format(path=path)), read


def test_readers_agree_on_what_is_whole(tmp_path: Path) -> None:
    """A byte order mark, CRLF, blank lines, half a surrogate pair, gzip: the same objects with their places."""
    path = tmp_path / "p.jsonl"
    data = b'\xef\xbb\xbf{"a": "\xed\xa0\x80"}\r\n\r\n{"a": NaN}\n'
    for content in (data, gzip.compress(data)):
        path.write_bytes(content)
        first, second = rows.read_objects(path)
        assert first == (f"{path}:1", {"a": "\ud800"}) and second[0] == f"{path}:3"
        assert [number for number, _ in rows.read_lines(path)] == [1, 3]
    with pytest.raises(DataError, match=r"p:3: not JSON \(NaN is not a JSON number\)"):
        list(rows.objects(rows.read_text(path), "p", is_strict=True))
    path.write_text('[{"a": 1},\n {"a": 2}]')
    assert list(rows.read_objects(path)) == [(f"{path}: item 1", {"a": 1}), (f"{path}: item 2", {"a": 2})]
    path.write_text('[{"a": 1},\n {"a" 2}]')
    with pytest.raises(DataError, match=r"p\.jsonl:2: not JSON"):
        list(rows.read_objects(path))
