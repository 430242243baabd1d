"""Examples in the prompt: which pairs are the nearest, which are never shown, and that all who ask show the same."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import itertl
from itertl.config import Recipe, build_recipe
from itertl.errors import DataError, UsageError
from itertl.loop import prepare
from itertl.model.find import tiny_tokenizer
from itertl.model.prompt_form import read_form, with_form, write_form
from itertl.model.prompts import compose, encode_prompt
from itertl.problems import retrieval
from itertl.problems.retrieval import DROPPED, LIKE_BENCHMARK, LIKE_QUESTION, TOO_LONG, open_examples
from itertl.progress import QUIET
from itertl.records import Problem
from itertl.runs.folder import RunFolder
from itertl.runs.storage import read_records, write_records
from itertl.training.batches import build_groups
from itertl.training.methods import resolve_method

GATES = ("and", "or", "xor", "nand", "nor")


def gate(name: str, ask: str = "Build a gate that gives the {} of its inputs a and b.") -> Problem:
    code = f"module {name}_g(input a, input b, output y);\n{name} u(y, a, b);\nendmodule\n"
    return Problem.create(instruction=ask.format(name), header=code.splitlines()[0], reference=code, source="test")


COUNTER = Problem.create(
    instruction="Count the rising edges of the clock in eight bits and start from zero after a reset.",
    reference="module count(input clk, input rst, output reg [7:0] q);\nalways @(posedge clk) if (rst) q <= 0;\n"
    "else q <= q + 1;\nendmodule\n", source="test",
)  # fmt: skip
POOL = [*map(gate, GATES), COUNTER]


def recipe_of(source: Path | str, **examples: object) -> Recipe:
    prompt = {"style": "plain", "header": "prefill", "examples": {"source": str(source), **examples}}
    return build_recipe({"model": {"path": "random:tiny"}, "evals": [], "prompt": prompt})


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_records(tmp_path / "pool.jsonl", POOL)
    return tmp_path / "pool.jsonl"


def naive_bm25(pool: list[list[str]], asked: list[str]) -> list[float]:
    """Σ ln(1 + (N - df + ½)/(df + ½)) · tf / (tf + k1 (1 - b + b |d|/mean)), k1 = 1.5, b = 0.75, over asked words."""
    mean = sum(map(len, pool)) / len(pool)
    found: list[float] = []
    for words in pool:
        score = 0.0
        for word in asked:
            df = sum(word in other for other in pool)
            tf = Counter(words)[word]
            score += (
                math.log(1 + (len(pool) - df + 0.5) / (df + 0.5))
                * tf
                / (tf + 1.5 * (1 - 0.75 + 0.75 * len(words) / mean))
            )
        found.append(score)
    return found


TEXT = st.lists(st.sampled_from("clock reset adder mux of the".split()), min_size=1, max_size=7)


@settings(deadline=None, max_examples=40)
@given(st.lists(TEXT, min_size=1, max_size=6), TEXT)
def test_bm25_is_the_formula(texts: list[list[str]], asked: list[str]) -> None:
    found = retrieval.bm25([" ".join(text) for text in texts])(" ".join([*asked, "unheard"]))
    wanted = naive_bm25(texts, asked)
    assert np.allclose(found.scores, wanted, atol=1e-5)
    scores = [float(found.scores[n]) for n in found.order]
    assert scores == sorted(scores, reverse=True) and set(found.order) == {n for n, s in enumerate(wanted) if s > 0}
    for a, b in zip(found.order, found.order[1:], strict=False):
        assert a < b or found.scores[a] != found.scores[b]  # of equal ones the earlier


def test_neither_the_question_nor_what_is_like_it_or_a_benchmark_is_shown(pool: Path) -> None:
    renamed = (POOL[1].reference or "").replace("or_g", "other").replace("y", "result")
    question = Problem.create(instruction="Now the or of two inputs a and b.", reference=renamed, source="test")
    judged = Problem.create(instruction=f"Please: {gate('xor').instruction} Thanks.", source="judged")
    examples = open_examples(recipe_of(pool, number=9), None, [judged])
    assert examples is not None
    (shown,), notes = examples.given([question])
    texts = [row["instruction"] for row in shown.extra["examples"]["shown"]]
    assert notes[f"examples passed over: {LIKE_QUESTION}"] == 1  # same code under other names
    assert notes[f"examples passed over: {LIKE_BENCHMARK}"] == 1
    assert not {gate("or").instruction, gate("xor").instruction} & set(texts)
    assert {gate("and").instruction, gate("nor").instruction} <= set(texts)
    assert notes[f"shown {len(texts)} of 9 examples"] == 1


def test_a_pair_of_the_pool_is_never_its_own_example() -> None:
    examples = open_examples(recipe_of("pairs", number=5), lambda: POOL, [])
    assert examples is not None
    for problem in examples.given(POOL)[0]:
        assert problem.instruction not in [row["instruction"] for row in problem.extra["examples"]["shown"]]


def test_what_does_not_fit_is_dropped_the_farthest_first(pool: Path) -> None:
    question = Problem.create(instruction="The nand of a and b, please.", source="test")
    free = open_examples(recipe_of(pool, number=2, max_tokens=9999), None, [])
    assert free is not None
    (shown,), _ = free.given([question])
    nearest = shown.extra["examples"]["shown"][-1]
    assert nearest["instruction"] == gate("nand").instruction  # the nearest stands last
    size = free.tokens(gate("nand"))
    tight = open_examples(recipe_of(pool, number=2, max_tokens=size), None, [])
    assert tight is not None
    (shown,), notes = tight.given([question])
    assert shown.extra["examples"]["shown"] == [nearest]
    assert notes[f"examples passed over: {DROPPED}"] == 1 and notes["shown 1 of 2 examples"] == 1
    none = open_examples(recipe_of(pool, max_tokens=1), None, [])
    assert none is not None
    with pytest.raises(DataError, match=f"not one question can be given an example .{TOO_LONG}"):
        none.given([question])


def test_embeddings_find_a_question_in_other_words() -> None:
    pytest.importorskip("all_minilm_l6_v2")
    texts = ["Add two binary numbers.", "A cat sleeps on the sofa.", "A flip-flop with a reset."]
    found = retrieval.embedding(texts)("The sum of a pair of integers.")
    assert found.order[0] == 0 and found.scores.shape == (3,) and abs(found.scores).max() <= 1 + 1e-6


def with_examples(recipe: Recipe) -> Problem:
    examples = open_examples(recipe, None, [])
    assert examples is not None
    return examples.given([COUNTER])[0][0]


@pytest.mark.parametrize("is_chat", [False, True])
def test_training_reads_the_prompt_that_is_sampled_and_trains_on_the_answer_alone(pool: Path, is_chat: bool) -> None:
    recipe = recipe_of(pool, number=1, max_tokens=5000)
    prompt = recipe.prompt.model_copy(update={"style": "auto", "opening": "```verilog\n"})
    tokenizer, asked = tiny_tokenizer(chat=is_chat), with_examples(recipe)
    sampled = encode_prompt(asked, prompt, tokenizer)
    (row,) = asked.extra["examples"]["shown"]
    answer = f"```verilog\n{row['code']}```"
    assert answer in sampled.text and sampled.text.index(row["instruction"]) < sampled.text.index(answer)
    assert sampled.text.index(answer) < sampled.text.index(COUNTER.instruction)
    if not is_chat:
        assert sampled.text == f"{row['instruction']}\n{answer}\n\n{COUNTER.instruction}\n```verilog\n"
    config, method = recipe.train.model_copy(update={"max_length": 9000}), resolve_method("sft", recipe.train)
    (group,) = build_groups(
        [], [asked], tokenizer, prompt=prompt, score=recipe.score, train=config, method=method
    ).groups
    bare = asked.model_copy(update={"extra": {}})
    (alone,) = build_groups(
        [], [bare], tokenizer, prompt=prompt.model_copy(update={"examples": None}), score=recipe.score, train=config,
        method=method,
    ).groups  # fmt: skip
    assert group.prompt_ids == sampled.token_ids and len(group.prompt_ids) > len(alone.prompt_ids)
    assert group.responses == alone.responses
    roles = [message["role"] for message in compose(asked, prompt).messages()]
    assert roles == ["user", "assistant", "user"]


def test_who_does_not_look_examples_up_says_so(pool: Path) -> None:
    with pytest.raises(UsageError, match=r"prompt.examples=null"):
        encode_prompt(COUNTER, recipe_of(pool).prompt, tiny_tokenizer(chat=False))


def test_the_form_beside_the_weights_names_the_examples(pool: Path, tmp_path: Path) -> None:
    prompt = recipe_of(pool, number=3).prompt
    write_form(prompt, tiny_tokenizer(chat=False), tmp_path)
    assert read_form(tmp_path) == prompt
    told: list[str] = []
    asked = build_recipe({"model": {"path": str(tmp_path)}, "prompt": {"examples": {"source": "other.jsonl"}}})
    merged = with_form(asked, told.append).prompt.examples
    assert merged is not None and (merged.source, merged.number) == ("other.jsonl", 3)
    assert len(told) == 1 and "prompt.examples" in told[0]
    without = build_recipe({"model": {"path": str(tmp_path)}, "prompt": {"examples": None}})
    assert with_form(without, told.append).prompt.examples is None


def test_another_pool_makes_the_problems_stale_and_the_same_one_does_not(pool: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    write_records(data, [gate("xnor"), COUNTER])
    tree = recipe_of(pool, number=1, max_tokens=5000).model_dump(mode="json")
    recipe = build_recipe({**tree, "data": {"source": str(data)}})

    def prepared() -> tuple[str, list[Problem]]:
        checked = prepare.check_inputs(recipe)
        with RunFolder(tmp_path / "run", checked.recipe, QUIET) as run:
            task = prepare.prepare(run, checked)
            return task.problems_hash, read_records(run.path / "problems.jsonl", Problem)

    first, problems = prepared()
    assert problems[1].extra["examples"]["shown"] and prepared()[0] == first
    write_records(pool, POOL[:-2])
    second, problems = prepared()
    assert second != first and problems[0].id == gate("xnor").id
    write_records(pool, POOL)
    assert prepared()[0] == first


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("source=none.jsonl", "prompt.examples.source: none.jsonl: no such file"),
        ("source=empty.jsonl", "empty.jsonl"),
        ("source=bench.jsonl", "is a benchmark"),
        ("number=0", "prompt.examples.number"),
        ("by=bm26", "prompt.examples.by"),
        ("source=pairs", "prompt.examples.source is pairs"),
        ("number=2", "prompt.examples.source"),
    ],
)
def test_a_wrong_pool_is_one_line(tmp_path: Path, setting: str, said: str) -> None:
    write_records(tmp_path / "pool.jsonl", POOL)
    (tmp_path / "empty.jsonl").write_text("")
    row = {"task_id": "a", "prompt": "module a;", "canonical_solution": "endmodule", "test": "module tb; endmodule"}
    (tmp_path / "bench.jsonl").write_text(json.dumps(row) + "\n")
    base = ["prompt.examples.source=pool.jsonl"] if setting.startswith("by") or setting == "number=0" else []
    done = itertl(
        "generate", "An inverter.", "--model", "random:tiny", *base, f"prompt.examples.{setting}", cwd=tmp_path
    )
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and said in done.stderr, done.stderr
    assert done.stdout == ""
