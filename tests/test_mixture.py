"""Several sources as one: their shares by hand, what is refused, the order; a model's proven answers as pairs."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itertl import faults
from itertl.config import PromptConfig, TrainConfig, build_recipe
from itertl.errors import DataError, RecipeError
from itertl.loop.distil import distil
from itertl.model.prompts import EncodedPrompt, Turn
from itertl.problems.load import from_config
from itertl.problems.mixture import shares
from itertl.progress import Reporter
from itertl.records import Attempt, Problem
from itertl.runs.storage import read_records, write_records
from itertl.sampling.backend import Generation
from itertl.sampling.batching import SampleRequest
from itertl.search.drive import attempts_file
from itertl.training.schedule import plan_steps


@pytest.mark.parametrize(
    ("weights", "sizes", "total", "expected"),
    [
        ([2, 1], [100, 100], 30, [20, 10]),
        ([1, 1, 1], [9, 9, 9], 10, [4, 3, 3]),  # the rest goes to the first of equals
        ([2, 1], [10, 100], 30, [10, 20]),  # the first has no more
        ([2, 1], [10, 100], None, [10, 5]),
        ([1, 1], [3, 4], 100, [3, 4]),  # all that there are
        ([1, 3], [100, 60], None, [20, 60]),
    ],
)
def test_shares(weights: list[float], sizes: list[int], total: int | None, expected: list[int]) -> None:
    assert shares(weights, sizes, total) == expected


@given(st.lists(st.tuples(st.floats(0.01, 9), st.integers(1, 60)), min_size=1, max_size=5), st.integers(1, 200))
def test_shares_add_up_and_never_exceed_a_source(parts: list[tuple[float, int]], total: int) -> None:
    weights, sizes = [w for w, _ in parts], [n for _, n in parts]
    taken = shares(weights, sizes, total)
    assert sum(taken) == min(total, sum(sizes)) and all(0 <= t <= n for t, n in zip(taken, sizes, strict=True))


def pairs_file(path: Path, count: int) -> str:
    rows = [
        {
            "instruction": f"Invert a, number {n}.",
            "response": f"module m{n}(input a, output y);\n{'wire t;' * (count - n)}assign y = ~a;\nendmodule\n",
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def recipe(*parts: dict[str, Any], **data: Any) -> Any:
    order = {"train": {"order": "given"}} if data.get("order") else {}
    return build_recipe({"data": {"sources": list(parts), **data}, **order})


def test_sources_are_mixed_by_weight_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    own = pairs_file(tmp_path / "own.jsonl", 30)
    made = {"source": "synth", "weight": 3, "families": ["karnaugh_map"]}
    config = recipe(made, {"source": own, "weight": 1}, limit=24).data
    found = from_config(config, 0)
    assert Counter(p.source for p in found.problems) == {"synth:karnaugh_map": 18, "own.jsonl": 6}
    assert found.skipped == {"outside the shares of the sources (weight)": 1030 - 24}
    assert from_config(config, 0) == found and from_config(config, 1).problems != found.problems
    easy = from_config(recipe(made, {"source": own}, limit=8, order="easy-first").data, 0)
    lengths = [(p.reference or "").count("wire t") for p in easy.problems if p.source == "own.jsonl"]
    assert len(lengths) == 2 and lengths == sorted(lengths)


def test_what_cannot_be_mixed_is_refused_with_its_entry(tmp_path: Path) -> None:
    own = pairs_file(tmp_path / "own.jsonl", 3)
    bench = tmp_path / "bench.jsonl"
    row = {"task_id": "t", "prompt": "module m;", "canonical_solution": "endmodule", "test": "module tb; endmodule"}
    bench.write_text(json.dumps(row) + "\n")
    known = tmp_path / "known.jsonl"
    write_records(known, [Problem.create(instruction="x", reference="module m; endmodule", source="VerilogEval:human")])
    for source, message in (
        (str(bench), r"data.sources.1: .*bench.jsonl is a benchmark \(it has the columns canonical_solution, test\)"),
        (str(known), r"data.sources.1: .*is a benchmark \(its problems come from VerilogEval:human\)"),
        (str(tmp_path / "none"), r"data.sources.1: .*no such file"),
    ):
        with pytest.raises(DataError, match=message):
            from_config(recipe({"source": own}, {"source": source}).data, 0)
    for tree, message in (
        ({"data": {"sources": [{"source": own}], "source": own}}, "source stands beside sources"),
        ({"data": {"sources": [{"source": own, "weight": 0}]}}, r"data.sources.0.weight: .*greater than 0"),
        ({"data": {"sources": [{"source": own, "wieght": 1}]}}, "did you mean 'weight'"),
        ({"data": {"order": "easy-first"}}, "data.order and train.order go together"),
        ({"data": {"difficulty": "x"}}, "difficulty needs order"),
    ):
        with pytest.raises(RecipeError, match=message):
            build_recipe(tree)
    assert "sources" not in build_recipe({}).data.model_dump() and "order" not in build_recipe({}).train.model_dump()


def test_the_first_epoch_keeps_the_order_that_the_pairs_have() -> None:
    plain = TrainConfig(epochs=2, groups_per_step=2)
    given_order = plain.model_copy(update={"order": "given"})
    steps = [list(step.indices) for step in plan_steps(5, given_order, 7)]
    assert steps[:3] == [[0, 1], [2, 3], [4]]
    assert steps[3:] == [list(step.indices) for step in plan_steps(5, plain, 7)][3:]
    assert steps[2:] == [list(step.indices) for step in plan_steps(5, given_order, 7, after=2)]


HEADER = "module keep(input a, input b, output y);\n"
RIGHT = HEADER + "assign y = a & b;\nendmodule\n"
LONGER = HEADER + "assign y = ~(~a | ~b);\nendmodule\n"
WRONG = HEADER + "assign y = a | b;\nendmodule\n"


class Teacher:
    """A back end that draws each of three texts a third of the time."""

    uses_these_cores = True

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        return EncodedPrompt(problem.instruction, tuple(range(len(problem.instruction))), "")

    def __call__(self, batch: Sequence[SampleRequest], settings: Any) -> list[Generation]:
        return [Generation(random.Random(r.seed).choice((RIGHT, LONGER, WRONG)), "stop", (1, 2)) for r in batch]


def open_teacher(model: object, **options: Any) -> Teacher:
    return Teacher()


def test_only_proven_answers_are_kept_and_a_stopped_call_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        Problem.create(instruction=f"And, number {n}.", header=HEADER, reference=LONGER, source="test")
        for n in range(3)
    ]
    asked.append(Problem.create(instruction="No reference.", source="test"))
    source = tmp_path / "p.jsonl"
    write_records(source, asked)
    settings = build_recipe(
        {
            "model": {"path": "random:tiny"},
            "sample": {"backend": f"{__name__}:open_teacher", "temperature": 1.0, "batch_size": 4},
        }
    )

    def call(name: str) -> dict[str, Any]:
        return distil(
            settings, str(source), tmp_path / name, draws=6, keep=2, reporter=Reporter(quiet=True), warn=lambda _: None
        )

    found = call("whole.jsonl")
    rows = read_records(tmp_path / "whole.jsonl", Problem)
    attempts = read_records(attempts_file(tmp_path / "whole.jsonl"), Attempt)
    assert {row.reference for row in rows} == {RIGHT, LONGER}
    assert found["draws"] == 18 == sum(found["verdicts"].values()) and found["without_reference"] == 1
    assert found["right"] == sum(a.candidate.code.strip() != WRONG.strip() for a in attempts) < 18
    assert found["kept"] == len(rows) <= 6 and found["solved"] == 3
    for row in rows:
        assert (
            row.extra["draws"] == 6
            and row.extra["teacher"] == "random:tiny"
            and row.extra["of_problem"] in {p.id for p in asked}
        )
        assert row.source == "distil:test" and "seed" in row.extra and "prompt" in row.extra
    for point in ("search.batch", "search.examined"):
        name = f"{point}.jsonl"

        def stop(at: str, wanted: str = point) -> None:
            if at == wanted:
                raise KeyboardInterrupt

        monkeypatch.setattr(faults, "point", stop)
        with pytest.raises(KeyboardInterrupt):
            call(name)
        assert not (tmp_path / name).exists()
        monkeypatch.undo()
        call(name)
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.answers*"))
