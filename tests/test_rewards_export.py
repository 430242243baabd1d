"""``itertl data export``: what stands in the files that other trainers read."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml

from command_line import itertl
from itertl.config import build_recipe, dump_recipe
from itertl.records import Candidate, Problem, SamplingSettings, Score, Scored, Verdict
from itertl.rewards.answer import question
from itertl.runs.storage import write_records, write_text

HEADER = "module inv(input a, output y);\n"
REFERENCE = HEADER + "assign y = ~a;\nendmodule\n"
ODD = "A gate \u2028 \ud800 “quoted”."  # half a surrogate pair, as JSON may hold
TRUTH = {"header": HEADER, "reference": REFERENCE, "top": "inv"}


def problem(number: int, **fields: Any) -> Problem:
    asked = {"instruction": f"Invert {number}. {ODD}", "header": HEADER, "reference": REFERENCE, "top": "inv"}
    return Problem.create(**{**asked, "source": "synth:not", "licence": "MIT", **fields})


def scored(problem_id: str, index: int, code: str, value: float | None, text: str = "") -> Scored:
    candidate = Candidate(
        problem_id=problem_id, index=index, policy="p", settings=SamplingSettings(), seed=index, text=text or code,
        code=code, finish_reason="stop", prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip
    verdict = Verdict.TOOL_FAILED if value is None else Verdict.SCORED
    return Scored(candidate=candidate, scores=(Score(scorer="vectors", value=value, verdict=verdict),))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    tree = {"score": {"scorers": ["vectors"]}, "prompt": {"system": "You write Verilog.", "header": "prefill"}}
    (folder / "iter-00").mkdir(parents=True)
    (folder / "iter-01").mkdir()
    write_text(folder / "recipe.yaml", dump_recipe(build_recipe(tree)))
    first, second, third = problem(1), problem(2, testbench="module tb; endmodule"), problem(3, reference=None)
    write_records(folder / "problems.jsonl", [first, second, third])
    write_records(folder / "bench-own-heldout.jsonl", [problem(4, upstream_id="4")])
    a, b, c = (HEADER + f"assign y = {name};\nendmodule\n" for name in ("a", "1'b0", "~a & 1'b1"))
    write_records(folder / "iter-00" / "scored.jsonl", [
        scored(first.id, 0, a, 0.5), scored(first.id, 1, b, 0.45), scored(first.id, 2, "", 0.0, "No idea."),
        scored(second.id, 0, a, None),
    ])  # fmt: skip
    write_records(folder / "iter-01" / "scored.jsonl", [scored(first.id, 0, a, 0.5), scored(first.id, 1, c, 1.0)])
    return folder


def export(run: Path, *arguments: str) -> dict[str, Any]:
    done = itertl("data", "export", run, *arguments, "--json", "--out", run.parent / "out")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lines(run: Path, name: str = "train.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.parent / "out" / name).read_text(encoding="utf-8").splitlines()]


def test_prompts_with_ground_truth_for_verl(run: Path) -> None:
    said = export(run, "--for", "verl")
    assert said["rows"] == 2 and said["test_rows"] == 1 and said["left_out"] == {"without a reference": 1}
    out = run.parent / "out"
    rows = pyarrow.parquet.read_table(out / "train.parquet").to_pylist()
    assert [row["extra_info"]["index"] for row in rows] == [0, 1]
    row = rows[0]
    assert row.keys() == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
    assert row["data_source"] == "synth" and row["reward_model"]["style"] == "rule"
    assert json.loads(row["reward_model"]["ground_truth"]) == TRUTH
    assert [turn["role"] for turn in row["prompt"]] == ["system", "user"]
    assert row["prompt"][1]["content"] == f"Invert 1. {ODD}\n{HEADER}".replace("\ud800", "\ufffd")
    assert row["extra_info"]["licence"] == "MIT"
    asked = question(REFERENCE, row["reward_model"]["ground_truth"])
    assert not asked.fault and json.loads(asked.truth) == TRUTH  # what the reward reads
    assert pyarrow.parquet.read_table(out / "test.parquet").num_rows == 1


def test_a_testbench_as_ground_truth(run: Path) -> None:
    said = export(run, "--for", "trl", "--truth", "testbench", "prompt.style=plain")
    assert said["rows"] == 1 and said["left_out"]["without a testbench"] == 2
    [row] = lines(run)
    assert row["prompt"].endswith(HEADER) and row["prompt"].startswith("Invert 2.")
    assert json.loads(row["ground_truth"]) == {**TRUTH, "testbench": "module tb; endmodule"}


def test_preferences_are_the_pairs_that_training_compares(run: Path) -> None:
    said = export(run, "--for", "trl", "--kind", "preference")
    rows = lines(run)
    assert said["left_out"] == {
        "candidates that were written before": 1, "candidates without a z, by our fault": 1, "problems without a pair": 2,
    }  # fmt: skip
    assert [(row["z_chosen"], row["z_rejected"]) for row in rows] == [
        (1.0, 0.5), (1.0, 0.45), (1.0, 0.0), (1.0, 0.5), (1.0, 0.45), (1.0, 0.0), (0.5, 0.0), (0.45, 0.0),
    ]  # fmt: skip
    texts = {row["chosen"][0]["content"] for row in rows if row["z_chosen"] == 1.0}
    assert texts == {REFERENCE, HEADER + "assign y = ~a & 1'b1;\nendmodule\n"}
    assert rows[2]["rejected"] == [{"role": "assistant", "content": "No idea."}]
    assert len(lines_of_margin(run, "train.beta=0.6")) == 2


def lines_of_margin(run: Path, override: str) -> list[dict[str, Any]]:
    export(run, "--for", "trl", "--kind", "preference", override)
    return lines(run)


@pytest.mark.parametrize("trainer", ["llama-factory", "axolotl"])
def test_settings_name_the_columns_that_are_there(run: Path, trainer: str) -> None:
    out = run.parent / "out"
    for kind, count in (("sft", 2), ("preference", 8)):
        assert export(run, "--for", trainer, "--kind", kind)["rows"] == count
        row = lines(run)[0]
        roles = [turn["role"] for turn in row["messages"]]
        assert roles == ["system", "user", *(["assistant"] if kind == "sft" else [])]
        if trainer == "llama-factory":
            info = json.loads((out / "dataset_info.json").read_text())
            told, named = info["itertl"], info["itertl"]["columns"].values()
            assert told["file_name"] == "train.jsonl" and told.get("ranking", False) == (kind == "preference")
            assert ("itertl_test" in info) == (kind == "sft")
        else:
            settings = yaml.safe_load((out / "axolotl.yaml").read_text())
            [told] = settings["datasets"]
            named = [value for key, value in told.items() if key.startswith("field_")]
            assert Path(told["path"]) == out / "train.jsonl" and settings.get("rl") == (
                "dpo" if kind != "sft" else None
            )
        assert set(named) <= row.keys() and len(named) == (1 if kind == "sft" else 3)


def test_what_a_trainer_does_not_have_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"instruction": "Invert.", "response": REFERENCE}) + "\n")
    for arguments, said in (
        ([run, "--for", "verl", "--kind", "preference"], "no trainer of pairs"),
        ([run, "--for", "llama-factory", "--kind", "rl"], "takes a reward model"),
        ([run, "--for", "axolotl", "prompt.style=plain"], "set prompt.style=chat"),
        ([run, "--for", "tlr"], "did you mean 'trl'"),
        ([tmp_path / "pairs.jsonl", "--for", "trl", "--kind", "preference"], "give the folder of a run"),
        ([tmp_path / "pairs.jsonl", "--for", "trl", "--kind", "sft", "--benchmark", "vgen-low"], "goes with --kind rl"),
    ):
        done = itertl("data", "export", *arguments, "--out", tmp_path / "none")
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert not (tmp_path / "none").exists()


def test_a_benchmark_to_validate_on(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"instruction": "Invert.", "response": REFERENCE}) + "\n")
    done = itertl(
        "data", "export", tmp_path / "pairs.jsonl", "--for", "verl", "--benchmark", "verilogeval-v1-human", "--data",
        shared_data, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["rows"] == 1 and said["test_rows"] == 156
    row = pyarrow.parquet.read_table(tmp_path / "out" / "test.parquet").to_pylist()[0]
    truth = json.loads(row["reward_model"]["ground_truth"])
    assert truth == {"benchmark": "verilogeval-v1-human", "task_id": truth["task_id"], "data": str(shared_data.resolve())}
    assert not question("x", truth).fault and row["data_source"] == "verilogeval-v1-human"
    refused = itertl(
        "data", "export", shared_data / "verilogeval_v1_human.jsonl", "--for", "trl", "--out", tmp_path / "no"
    )
    assert refused.returncode == 2


def test_examples_are_shown_before_each_exported_question(tmp_path: Path) -> None:
    asked = ["Gate of two wires.", "A counter of eight bits with an enable."]
    write_records(tmp_path / "pairs.jsonl", [problem(0, instruction=text) for text in asked])
    pool = problem(9, instruction="A register with an enable.", reference="module r(input e); endmodule\n")
    write_records(tmp_path / "pool.jsonl", [pool])
    export(
        tmp_path / "pairs.jsonl", "--for", "trl", "--kind", "sft",
        f"prompt.examples.source={tmp_path / 'pool.jsonl'}", "prompt.examples.number=1", "model.path=openai:m",
        "sample.backend=openai",
    )  # fmt: skip
    rows = [json.loads(line) for file in (tmp_path / "out").glob("*.jsonl") for line in file.read_text().splitlines()]
    shown = {asked[1] in json.dumps(row): "A register with an enable." in json.dumps(row) for row in rows}
    assert shown == {True: True, False: False}  # the gate shares no word with it
