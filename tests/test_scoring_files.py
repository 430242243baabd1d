"""`itertl score` on files: kinds of line, order, unknown fields, bad lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import itertl
from itertl.config import ScoreConfig
from itertl.errors import DataError, UsageError
from itertl.records import Candidate, Problem, SamplingSettings
from itertl.runs.storage import write_records
from itertl.scoring.combine import combine
from itertl.scoring.engine import Effort
from itertl.scoring.score_file import read_scored, score_file
from itertl.scoring.score_lines import whole_code

HEADER = "module m(input a, output y);\n"
BODY = "assign y = a;\nendmodule\n"
PAIR = {"id": 7, "reference": HEADER + BODY, "completion": BODY, "header": HEADER, "note": {"ü": [1, 2.5, None]}}
RTLCODER = {
    "Instruction": "Copy",
    "Input": HEADER,
    "Response": [HEADER + "assign y = ;\nendmodule", HEADER + BODY],
    "Score": [0.5, 1],
}


def write(path: Path, *rows: object) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def score(path: Path, *scorers: str, **options: Any) -> list[dict[str, Any]]:
    out = path.with_name("out.jsonl")
    score_file(path, scorers, out, effort=Effort(num_workers=1), **options)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_published_scores_through_the_file(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.jsonl"
    summary = score_file(shared_data / "rtlcoder_scoring_sample.jsonl", ["rtlcoder"], out)
    given = [json.loads(line) for line in (shared_data / "rtlcoder_scoring_sample.jsonl").read_text().splitlines()]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert summary["items"] == 40
    for before, row in zip(given, rows, strict=True):
        assert row.pop("itertl_score") == pytest.approx(before["Score"], abs=1e-9, rel=0)
        assert row == before


def test_kinds_may_be_mixed_and_everything_else_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", RTLCODER, "", PAIR, {**RTLCODER, "Response": HEADER + BODY})
    rows = score(path, "rtlcoder", "syntax")
    assert [list(row["itertl_score"]) for row in (rows[0], rows[2])] == [["rtlcoder", "syntax"]] * 2
    assert rows[0]["itertl_score"]["syntax"] == [0, 1] and rows[2]["itertl_score"]["rtlcoder"] == [1]
    assert rows[1]["scores"] == {
        "rtlcoder": {"value": 1, "verdict": "passed", "detail": ""},
        "syntax": {"value": 1, "verdict": "passed", "detail": ""},
    }  # fmt: skip
    assert {key: value for key, value in rows[1].items() if key != "scores"} == PAIR
    again = score(tmp_path / "out.jsonl", "rouge-l")
    assert list(again[1]["scores"]) == ["rtlcoder", "syntax", "rouge-l"]


def test_candidates_find_their_problems(tmp_path: Path) -> None:
    problem = Problem.create(instruction="Copy", header=HEADER, reference=HEADER + BODY, top="m", source="test")
    candidate = Candidate(
        problem_id=problem.id, index=0, policy="p", settings=SamplingSettings(), seed=1, text=BODY, code=HEADER + BODY,
        finish_reason="stop", prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip
    folder = tmp_path / "run" / "iter-00"
    folder.mkdir(parents=True)
    write_records(folder / "candidates.jsonl", [candidate])
    with pytest.raises(DataError, match=r"problems\.jsonl"):
        score(folder / "candidates.jsonl", "syntax")
    write_records(tmp_path / "run" / "problems.jsonl", [problem])
    (row,) = score(folder / "candidates.jsonl", "syntax")
    assert row["scores"]["syntax"]["value"] == 1
    assert row["problem_id"] == problem.id
    write_records(tmp_path / "other.jsonl", [])
    with pytest.raises(DataError, match=r"candidates\.jsonl:1: field problem_id"):
        score(folder / "candidates.jsonl", "syntax", problems=tmp_path / "other.jsonl")


def test_waveforms_of_what_is_wrong_by_function(tmp_path: Path) -> None:
    wrong = HEADER + "assign y = ~a;\nendmodule\n"
    several = {**RTLCODER, "Response": [wrong, HEADER + BODY, HEADER + BODY]}
    path = write(tmp_path / "in.jsonl", PAIR, {**PAIR, "completion": "assign y = 1;\nendmodule\n"}, several)
    out = tmp_path / "out.jsonl"
    summary = score_file(path, ["vectors"], out, vcd=tmp_path / "waves", effort=Effort(num_workers=1))
    assert summary["vcd"] == 2
    assert sorted(file.name for file in (tmp_path / "waves").iterdir()) == ["line-2.vcd", "line-3-1.vcd"]
    assert "$scope module reference $end" in (tmp_path / "waves" / "line-2.vcd").read_text()
    with pytest.raises(UsageError, match="--vcd"):
        score_file(path, ["syntax"], out, vcd=tmp_path / "waves")


def test_json_array_in_and_out(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text("\ufeff" + json.dumps([RTLCODER, RTLCODER], indent=2), encoding="utf-8")
    assert [row["itertl_score"] for row in score(path, "syntax")] == [[0, 1]] * 2
    score_file(path, ["syntax"], tmp_path / "out.json", effort=Effort(num_workers=1))
    assert [row["itertl_score"] for row in json.loads((tmp_path / "out.json").read_text())] == [[0, 1]] * 2


@pytest.mark.parametrize(
    ("completion", "header", "code"),
    [
        (BODY, HEADER, HEADER + BODY),
        (HEADER + BODY, HEADER, HEADER + BODY),
        ("// module of mine\n" + BODY, HEADER, HEADER + "// module of mine\n" + BODY),
        (BODY + "module helper; endmodule", HEADER, HEADER + BODY + "module helper; endmodule"),
        ("module helper; endmodule\n" + HEADER + BODY, HEADER, "module helper; endmodule\n" + HEADER + BODY),
        ("assign y = a;", HEADER, HEADER + "assign y = a;"),
        (" \n", HEADER, ""),
        ("text", "", "text"),
    ],
)
def test_what_code_a_completion_stands_for(completion: str, header: str, code: str) -> None:
    assert whole_code(completion, header) == code


def test_full_module_says_it_outright() -> None:
    assert whole_code(BODY, HEADER, True) == BODY
    assert whole_code(HEADER + BODY, HEADER, False) == HEADER + HEADER + BODY


def test_no_reference_is_unjudgeable_not_zero(tmp_path: Path) -> None:
    (row,) = score(write(tmp_path / "in.jsonl", {**PAIR, "reference": None}), "rouge-l", "syntax")
    assert row["scores"]["rouge-l"] == {"value": None, "verdict": "unjudgeable", "detail": "no reference"}
    assert row["scores"]["syntax"]["value"] == 1


def test_odd_text_survives(tmp_path: Path) -> None:
    odd = {"reference": "\ud800é\u2028\0", "completion": "a\u2028b\x85\r\n\ud800", "x": "\udc80"}
    path = write(tmp_path / "in.jsonl", odd)
    (row,) = score(path, "rtlcoder", "rouge-l-tokens")
    assert {key: row[key] for key in odd} == odd
    assert all(entry["value"] is not None for entry in row["scores"].values())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{not json", r"in\.jsonl:2: not JSON"),
        ("[1, 2]", r"in\.jsonl:2: a list"),
        ('{"reference": "r", "completion": "c", "x": NaN}', r"in\.jsonl:2: not JSON \(NaN"),
        ('{"reference": "r", "completion": "c", "x": 1e999}', r"in\.jsonl:2: not JSON"),
        ({"completion": BODY}, r"in\.jsonl:2: field reference is missing; rtlcoder"),
        ({**PAIR, "completion": 3}, r"in\.jsonl:2: field completion: a int"),
        ({**PAIR, "completion": None}, r"in\.jsonl:2: field completion: null"),
        ({**PAIR, "header": ["x"]}, r"in\.jsonl:2: field header"),
        ({**PAIR, "full_module": "yes"}, r"in\.jsonl:2: field full_module"),
        ({**PAIR, "scores": [1]}, r"in\.jsonl:2: field scores"),
        ({**RTLCODER, "Response": []}, r"in\.jsonl:2: field Response: empty"),
        ({**RTLCODER, "Response": ["a", None]}, r"in\.jsonl:2: field Response\[1\]"),
        ({**RTLCODER, "Input": 1}, r"in\.jsonl:2: field Input"),
        ({**RTLCODER, "completion": "x"}, r"in\.jsonl:2: has both"),
        ({"text": "x"}, r"in\.jsonl:2: neither a candidate"),
        ({"schema": "itertl.scored/1"}, r"in\.jsonl:2: schema is 'itertl\.scored/1'"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(bad: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", PAIR, bad)
    with pytest.raises(DataError, match=message):
        score(path, "rtlcoder")
    assert [child.name for child in tmp_path.iterdir()] == ["in.jsonl"]


def test_usage(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", PAIR)
    with pytest.raises(DataError, match="cannot be read"):
        score(tmp_path / "absent.jsonl", "syntax")
    with pytest.raises(UsageError, match="twice"):
        score(path, "syntax", "syntax")
    with pytest.raises(UsageError, match="no scorer"):
        score(path)
    with pytest.raises(UsageError, match="is a folder"):
        score_file(path, ["syntax"], tmp_path)
    path.write_bytes(b'\n{"completion": "\xe9"}')
    with pytest.raises(DataError, match=r"in\.jsonl:2: not utf-8 text .*save the file as UTF-8"):
        score(path, "syntax")
    path.write_text(json.dumps(PAIR), encoding="utf-16")  # with a byte order mark
    assert [row["completion"] for row in score(path, "rouge-l")] == [PAIR["completion"]]


@pytest.mark.parametrize("text", ["", "\n \n", "[]\n"])
def test_a_file_without_a_line_to_score_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"in\.jsonl: holds no line to score"):
        score(tmp_path / "in.jsonl", "syntax")


LADDER = ScoreConfig(
    scorers=("syntax", "vectors", "rouge-l"), combine="ladder", ladder={"syntax": 0.25, "vectors": (0.5, 1.0)}
)


def test_z_by_a_recipe_is_that_of_the_loop(tmp_path: Path) -> None:
    """Heights 0.25 and 0.5 to 1: broken text 0; a constant, to which vectors gives 0, holds the rung below; the
    reference's own text 1. Rungs above one that is not held are not taken."""
    broken = {**PAIR, "completion": "assign y = ;\nendmodule\n"}
    constant = {**PAIR, "completion": "assign y = 1'b0;\nendmodule\n", "scores": {"own": {"value": 3}}}
    unscored = {**PAIR, "reference": "not Verilog"}
    path = write(tmp_path / "in.jsonl", PAIR, broken, constant, unscored, RTLCODER)
    out = tmp_path / "out.jsonl"
    summary = score_file(path, LADDER, out, effort=Effort(num_workers=1))
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["z"] for row in rows[:4]] == [1, 0, 0.25, None]
    assert list(rows[1]["scores"]) == ["syntax", "rouge-l"] and "own" in rows[2]["scores"]
    assert rows[4]["itertl_z"] == [0, 1] and rows[4]["itertl_score"]["vectors"] == [None, 1]
    assert summary["z"] == {"mean": pytest.approx((1 + 0.25 + 1) / 5), "scored": 5, "unscored": 1}
    assert summary["scorers"]["vectors"]["not_taken"] == 2
    assert score_file(out, LADDER, tmp_path / "b.jsonl", effort=Effort(num_workers=1))["z"] == summary["z"]
    assert (tmp_path / "b.jsonl").read_text() == out.read_text()


def test_scores_of_a_candidate_by_a_recipe_are_read_back(tmp_path: Path) -> None:
    problem = Problem.create(instruction="Copy", header=HEADER, reference=HEADER + BODY, top="m", source="test")
    candidate = Candidate(
        problem_id=problem.id, index=0, policy="p", settings=SamplingSettings(), seed=1, text=BODY, code=HEADER + BODY,
        finish_reason="stop", prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip
    path, out = tmp_path / "candidates.jsonl", tmp_path / "out.jsonl"
    write_records(path, [candidate])
    write_records(tmp_path / "problems.jsonl", [problem])
    score_file(path, LADDER, out, effort=Effort(num_workers=1))
    assert json.loads(out.read_text())["z"] == 1
    (found,) = read_scored(out)
    assert found.candidate == candidate and combine(found.scores, LADDER) == 1
    score_file(out, ["syntax"], tmp_path / "again.jsonl", effort=Effort(num_workers=1))
    row = json.loads((tmp_path / "again.jsonl").read_text())  # a z of other scores than these is not kept
    assert "z" not in row and set(row["scores"]) == {"syntax", "vectors", "rouge-l"}


def test_the_command_takes_a_recipe_or_scorers(tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.jsonl", PAIR), tmp_path / "out.jsonl"
    recipe = tmp_path / "r.yaml"
    recipe.write_text("score: {scorers: [syntax, rouge-l], weights: {syntax: 3, rouge-l: 1}, num_workers: 1}\n")
    both = itertl("score", path, "--recipe", recipe, "--scorer", "syntax", "--out", out)
    assert both.returncode == 2 and "leave out --scorer" in both.stderr
    done = itertl("score", path, "score.weights={syntax: 0, rouge-l: 1}", "--recipe", recipe, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["z"]["mean"] == json.loads(out.read_text())["z"] == 1
    wrong = itertl("score", path, "score.combine=ladder", "--out", out)
    assert wrong.returncode == 2 and "score.ladder is empty" in wrong.stderr
