"""Held-out pairs: no near-duplicate crosses; the split is fixed by content; what cannot be split is refused in
one line."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from command_line import itertl
from itertl.audit.audit import audit
from itertl.config import OWN_HELDOUT, DataConfig, build_recipe
from itertl.errors import DataError, RecipeError
from itertl.evaluation import benchmarks, by_function, pairs
from itertl.evaluation.files import eval_file
from itertl.model.find import tiny_tokenizer
from itertl.problems.load import LoadResult, from_config
from itertl.records import Score, Verdict
from itertl.sampling.lengths import percentile, settled


def design(number: int, *, renamed: bool = False) -> str:
    """Designs that share few 6-grams of tokens; ``renamed`` changes names alone."""
    rng = random.Random(number)
    names = ("top", "word", "out") if not renamed else ("block", "din", "res")
    terms = " ".join(
        f"{rng.choice('&|^+')} ({names[1]} {rng.choice(['<<', '>>', '*', '-'])} {rng.randrange(2, 99)})"
        for _ in range(8)
    )
    return f"module {names[0]}(input [7:0] {names[1]}, output [7:0] {names[2]});\nassign {names[2]} = {names[1]} {terms};\nendmodule\n"


def words(number: int, count: int = 24) -> str:
    return " ".join(f"w{n}" for n in random.Random(number).sample(range(9_999), count))


def write(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def family(number: int) -> list[dict[str, Any]]:
    """Five pairs that are alike by a chain: other words and the same code but for names; the same words with more and
    other code; the code as a part of a larger design; and the same words again."""
    first, inner = design(number), design(number, renamed=True)
    outer = f"module outer{number}(input [7:0] p, output [7:0] q);\nblock u(.din(p), .res(q));\nendmodule\n"
    return [
        {"instruction": words(number), "response": first},
        {"instruction": words(1000 + number), "response": inner},
        {"instruction": words(number) + " " + words(2000 + number, 20), "response": design(3000 + number)},
        {"instruction": words(4000 + number), "response": inner + outer},
        {"instruction": words(number).upper(), "response": design(5000 + number)},
    ]


def split(source: str, holdout: float | str, **fields: Any) -> LoadResult:
    return from_config(DataConfig(source=source, holdout=holdout, **fields), fields.pop("run_seed", 0))


def instructions(result: LoadResult, held: bool = True) -> set[str]:
    return {p.instruction for p in (result.held if held else result.problems)}


@pytest.fixture
def source(tmp_path: Path) -> str:
    """12 families of five and 20 pairs like none."""
    rows = [row for number in range(12) for row in family(number)]
    rows += [
        {"instruction": words(9000 + n), "response": design(8000 + n), "part": "test" if n < 3 else "train"}
        for n in range(20)
    ]
    random.Random(1).shuffle(rows)
    return write(tmp_path / "pairs.jsonl", rows)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_no_near_duplicate_crosses_and_every_row_is_accounted_for(source: str, share: float) -> None:
    found = split(source, share)
    assert len(found.problems) + sum(found.skipped.values()) == 80 == len(found.problems) + len(found.held)
    assert 0.75 * share * 80 <= len(found.held) <= share * 80
    report = audit(
        found.problems, benchmarks=[p.model_copy(update={"upstream_id": p.id}) for p in found.held], check_tools=False
    )
    assert report.contamination == ()


def test_the_split_depends_on_content_and_its_own_seed_alone(source: str, tmp_path: Path) -> None:
    held = instructions(split(source, 0.2))
    rows = [json.loads(line) for line in Path(source).read_text().splitlines()]
    assert held == instructions(split(write(tmp_path / "back.jsonl", rows[::-1]), 0.2))
    assert (
        held
        == instructions(split(source, 0.2, limit=10))
        == instructions(from_config(DataConfig(source=source, holdout=0.2), 7))
    )
    assert held != instructions(split(source, 0.2, seed=1))
    limited = split(source, 0.2, limit=10)
    assert len(limited.problems) == 10 and not instructions(limited, held=False) & held


def test_what_is_like_pairs_of_a_column_or_a_file_leaves_training(source: str, tmp_path: Path) -> None:
    marked = split(source, "column:part")
    assert marked.skipped == {"held out (data.holdout)": 3} and {"part": "test"} in [
        {"part": p.extra["part"]} for p in marked.held
    ]
    assert (
        instructions(marked) == instructions(split(source, "part")) == instructions(split(source, "column:part=TEST"))
    )
    asked = family(4)[1]
    file = write(tmp_path / "mine.jsonl", [{"prompt": words(77), "completion": asked["response"], "id": "m"}])
    found = split(source, file)
    assert [p.upstream_id for p in found.held] == ["m"] and found.skipped == {"like a held-out pair": 5}
    assert not instructions(found, held=False) & {row["instruction"] for row in family(4)}


def test_a_frame_around_every_instruction_is_no_likeness(tmp_path: Path) -> None:
    """All instructions share 20 words, and one pair is asked word for word like another."""
    rows = [{"instruction": f"{words(1, 20)} {words(50 + n, 4)}", "response": design(n)} for n in range(10)]
    rows.append({"instruction": rows[0]["instruction"], "response": design(99)})
    for share in (0.2, 0.4):
        held = [p.instruction for p in split(write(tmp_path / "framed.jsonl", rows), share).held]
        assert held.count(str(rows[0]["instruction"])) in (0, 2) and len(held) == round(11 * share)


def pair(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": words(number), "response": design(number), **more}


@pytest.mark.parametrize(
    ("rows", "holdout", "said"),
    [
        (family(1), 0.2, "all 5 pairs are alike"),
        ([pair(1)], 0.5, "one pair, which cannot be held out"),
        ([pair(n) for n in range(4)], 0.1, "0.1 of 4 pairs holds out none; give a larger share"),
        ([*family(1)[:3], *family(2)[:3], *family(3)[:3]], 0.01, "holds out none"),
        ([pair(n) for n in range(4)], "nowhere.jsonl", "there is no such file; give a share"),
        ([pair(n, kind="train") for n in range(4)], "column:kinds", "no pair has such a column; did you mean 'kind'?"),
        ([pair(n, kind="train") for n in range(4)], "kind", "no pair has true, yes, 1 or test there"),
        ([pair(n, kind="easy") for n in range(4)], "kind", "'easy' there, neither yes nor no; say which value"),
        ([pair(n, kind=True) for n in range(4)], "kind", "no pair is left to train on"),
        ([pair(1), pair(2, kind=1) | {"response": ""}, pair(3)], "kind", "pairs.jsonl:2: is held out (data.holdout) and has no"),
        ([pair(n) for n in range(4)], "FILE", "mine.jsonl:1: no reference to judge a held-out pair by"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], holdout: float | str, said: str
) -> None:
    file = write(tmp_path / "mine.jsonl", [pair(9) | {"response": ""}, pair(10)])
    with pytest.raises(DataError) as error:
        split(write(tmp_path / "pairs.jsonl", rows), file if holdout == "FILE" else holdout)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", ".nan", "true", "10%", "[1]", "'column:'"])
def test_a_share_that_is_none_is_refused_with_the_recipe(value: str) -> None:
    with pytest.raises(RecipeError, match=r"^override data\.holdout=.*: data\.holdout: .*0\.1[^\n]*$"):
        build_recipe({}, [f"data.holdout={value}"])


def test_own_heldout_needs_a_holdout_and_can_select() -> None:
    judged = ["evals=[{benchmark: own-heldout}]", "select.benchmark=own-heldout"]
    with pytest.raises(RecipeError, match=r"nothing is held out; set data\.holdout"):
        build_recipe({}, judged)
    assert build_recipe({}, [*judged, "data.holdout=column: part"]).data.holdout == "column:part"


def test_held_out_pairs_are_named_by_their_source_and_drawn_by_limit(tmp_path: Path) -> None:
    rows = [pair(n, part=n > 1) for n in range(6)]
    found = split(write(tmp_path / "pairs.jsonl", rows), "part")
    whole, some = pairs.held_out(found), pairs.held_out(found, limit=2)
    assert list(whole.by_id) == ["3", "4", "5", "6"] and len(some.by_id) == 2 and set(some.by_id) < set(whole.by_id)
    assert whole.label == some.label and whole.label.startswith(OWN_HELDOUT + " ")


XOR = "module t(input a, input b, output y);\nassign y = a ^ b;\nendmodule\n"
SAME = "module t(input a, input b, output y);\nassign y = (a & ~b) | (~a & b);\nendmodule\n"


def test_stored_completions_are_judged_by_function_and_all_add_up(tmp_path: Path) -> None:
    """Lines 1 and 3 hold one pair twice; the reference of ``z`` cannot serve, so nothing said of it counts,
    right or wrong."""
    other = {
        "id": "z",
        "instruction": "drive",
        "response": "module w(inout p, input e);\nassign p = e ? 1'b0 : 1'bz;\nendmodule\n",
    }
    same = {"instruction": "differ", "response": XOR}
    data = write(tmp_path / "mine.jsonl", [same, other, same])
    texts = [
        ("1", SAME),
        ("3", SAME.replace("|", "&")),
        ("z", other["response"]),
        ("z", ""),
        ("3", XOR[: XOR.index("endmodule")]),
        ("1", ""),
    ]
    rows = [
        {"task_id": task, "completion": text, "full_module": True, "truncated": n == 4}
        for n, (task, text) in enumerate(texts)
    ]
    found = eval_file(
        Path(write(tmp_path / "samples.jsonl", rows)), benchmarks.load("pairs", Path(data)), out=tmp_path / "out"
    )
    verdicts = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in verdicts] == [
        "passed",
        "wrong_output",
        "unjudgeable",
        "unjudgeable",
        "truncated",
        "no_code",
    ]
    assert [row["passed"] for row in verdicts] == [True, False, None, None, False, False] and verdicts[0][
        "detail"
    ].startswith("proven")
    summary = found["summary"]
    assert [summary[name] for name in ("total", "correct", "wrong", "truncated", "unjudged")] == [6, 1, 2, 1, 2]
    assert found["support"] == {"proven": 1, "agrees on vectors": 0}


def scored(name: str, value: float | None, verdict: Verdict, detail: str) -> Score:
    return Score(scorer=name, value=value, verdict=verdict, detail=detail)


@pytest.mark.parametrize(
    ("simulated", "proof", "verdict", "begins"),
    [
        ((1.0, Verdict.PASSED), (1.0, Verdict.PASSED, "proven: combinational"), Verdict.PASSED, "proven"),
        ((1.0, Verdict.PASSED), (None, Verdict.UNDECIDED, "timeout: no proof"), Verdict.PASSED, "agrees on vectors"),
        ((1.0, Verdict.PASSED), (None, Verdict.TOOL_FAILED, "crashed"), Verdict.PASSED, "agrees on vectors"),
        ((1.0, Verdict.PASSED), (0.0, Verdict.WRONG_OUTPUT, "refuted: at step 3"), Verdict.WRONG_OUTPUT, "refuted"),
        ((0.9, Verdict.WRONG_OUTPUT), None, Verdict.WRONG_OUTPUT, "share"),
        ((None, Verdict.UNDECIDED), None, Verdict.UNDECIDED, "share"),
    ],
)  # fmt: skip
def test_a_completion_is_right_where_it_agrees_and_is_not_refuted(
    simulated: tuple[Any, Verdict], proof: tuple[Any, Verdict, str] | None, verdict: Verdict, begins: str
) -> None:
    scores = {
        "vectors": scored("vectors", *simulated, "share"),
        **({"equivalence": scored("equivalence", *proof)} if proof else {}),
    }
    found = by_function.judgement(scores)
    assert found[0] is verdict and found[1].startswith(begins)


def test_pairs_are_refused_with_their_place(tmp_path: Path) -> None:
    samples = write(tmp_path / "samples.jsonl", [{"task_id": "1", "completion": XOR}])
    twice = write(tmp_path / "twice.jsonl", [{"id": "k", **pair(1)}, {"id": "k", **pair(2)}])
    for more, said in (
        (["--data", twice], "twice.jsonl:2: has the id 'k', as "),
        ([], "give their file by --data"),
        (["--data", twice, "--rule", "strict"], "has the id"),
        (["--data", str(tmp_path / "none.jsonl")], "no such file"),
    ):
        done = itertl("eval", samples, "--benchmark", "pairs", *more)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_lengths_come_from_the_pairs(tmp_path: Path) -> None:
    """The tiny tokenizer has a token a byte: an answer of 300 bytes and its end token are 301, 377 with the
    margin, 384."""
    answers = ["x" * 40, "x" * 300, "x" * 100]
    found = from_config(
        DataConfig(source=write(tmp_path / "pairs.jsonl", [{"instruction": "i" * 20, "response": a} for a in answers])),
        0,
    )
    judged = "evals=[{benchmark: synth-heldout, max_new_tokens: auto}]"
    recipe = build_recipe({}, ["model.path=random:tiny", "train.max_length=auto", "sample.max_new_tokens=auto", judged])
    assert len(tiny_tokenizer().encode("x" * 300)) == 300
    got = settled(recipe, lambda: found.problems)
    assert (got.sample.max_new_tokens, got.evals[0].max_new_tokens, got.train.max_length) == (384, 384, 416)
    fixed = settled(
        build_recipe({}, ["model.path=random:tiny", "train.max_length=auto", "sample.max_new_tokens=8"]),
        lambda: found.problems,
    )
    assert fixed.sample.max_new_tokens == 8 and fixed.train.max_length == 352  # 21 + 301
    assert [percentile(range(1, 201), p) for p in (0, 50, 99, 100)] == [1, 100, 198, 200]


def test_show_says_what_the_model_sees_and_what_is_left_out(tmp_path: Path) -> None:
    rows = [pair(n, part=n == 4) for n in range(5)] + [
        pair(7) | {"response": None},
        pair(8) | {"response": design(8) + "// " + "x" * 900},
    ]
    settings = [
        "data.holdout=part",
        "data.header=derive",
        "prompt.header=prefill",
        "train.max_length=900",
        "--model",
        "random:tiny",
    ]
    done = itertl("data", "show", write(tmp_path / "pairs.jsonl", rows), *settings, "--count", "1", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["read"], shown["pairs"], shown["held_out"], shown["trained_on"]) == (7, 5, 1, 4)
    assert shown["skipped"] == {"no reference": 1, "held out (data.holdout)": 1}
    [(reason, places)] = shown["left_out_of_training"].items()
    assert "train.max_length" in reason and places[0].endswith("pairs.jsonl:7") and len(places) == 1
    [example] = shown["examples"]
    assert example["prompt"].endswith("output [7:0] out);") and (example["prompt"] + example["trained"]).startswith(
        words(0) + "\n" + design(0)
    )
    plain = itertl("data", "show", str(tmp_path / "pairs.jsonl"), *settings).stdout
    assert "7 rows (instruction-response), 4 pairs to train on, 1 held out" in plain and plain.count("⟦") == 4
