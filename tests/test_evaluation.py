"""Benchmarks as values, their loading from every layout, summaries, and ``eval_file`` on files of all kinds."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_cases import INVERT, problem, tiny
from itertl.config import load_recipe
from itertl.errors import DataError, UsageError
from itertl.evaluation import benchmarks, files
from itertl.evaluation.benchmarks import BENCHMARKS, Benchmark, load
from itertl.evaluation.completions import Completion
from itertl.evaluation.files import eval_file
from itertl.evaluation.judge import judge
from itertl.evaluation.summary import best_of_temperatures, counts_by_problem, percent, summarize, verdict_table
from itertl.records import EvalRow, EvalSummary, Fault, PassAtK, Verdict
from itertl.synth import generate

ROW: dict[str, Any] = {
    "task_id": "t",
    "prompt": "module top_module();\n",
    "canonical_solution": "endmodule\n",
    "test": "module tb; endmodule\n",
}


def row(task: str, index: int, verdict: Verdict, temperature: float | None = None) -> EvalRow:
    return EvalRow(
        task_id=task, index=index, verdict=verdict,
        passed=None if verdict.fault is Fault.OURS else verdict is Verdict.PASSED,
        completion_hash="0", benchmark="tiny 1", simulator="Icarus Verilog 11.0", rule="strict",
        temperature=temperature,
    )  # fmt: skip


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


class TestSummary:
    def test_account_by_hand(self) -> None:
        """Problem a: 1 of 2; b: all unjudged, left out; c: one of two judged, right. pass@1 = (1/2 + 1) / 2."""
        rows = [
            row("a", 0, Verdict.PASSED), row("a", 1, Verdict.TRUNCATED),
            row("b", 0, Verdict.UNJUDGEABLE), row("b", 1, Verdict.UNJUDGEABLE),
            row("c", 0, Verdict.PASSED), row("c", 1, Verdict.TOOL_FAILED),
            row("d", 0, Verdict.SYNTAX_ERROR), row("d", 1, Verdict.TIMEOUT),
        ]  # fmt: skip
        found = summarize(rows, benchmark=tiny(), ks=(1, 2, 3), seed=0)
        assert (found.problems, found.total) == (4, 8)
        assert (found.correct, found.wrong, found.truncated, found.unjudged, found.compiled) == (2, 2, 1, 3, 3)
        assert [p.value for p in found.pass_at_k] == [pytest.approx(1.5 / 3), pytest.approx(1 / 2), None]
        assert found.by_verdict["unjudgeable"] == 2 and sum(found.by_verdict.values()) == 8

    def test_nothing_judged_is_unknown(self) -> None:
        found = summarize([row("a", 0, Verdict.UNJUDGEABLE)], benchmark=tiny(), seed=0)
        assert (found.unjudged, found.pass_at_1) == (1, None)
        assert summarize([], benchmark=tiny(), seed=0).total == 0

    def test_too_few_samples_asked_for_is_unknown(self) -> None:
        rows = [row("a", i, Verdict.PASSED) for i in range(5)] + [row("b", 0, Verdict.PASSED)]
        assert list(counts_by_problem(rows, 5).values()) == [(5, 5), (1, 1)]
        assert summarize(rows, benchmark=tiny(), ks=(5,), seed=0).pass_at_k[0].value is None

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(list(Verdict))), max_size=30))
    @settings(deadline=None, max_examples=50)
    def test_adds_up_whatever_the_verdicts(self, drawn: list[tuple[str, Verdict]]) -> None:
        drawn = [(task, verdict) for task, verdict in drawn if verdict is not Verdict.SCORED]
        found = summarize([row(t, i, v) for i, (t, v) in enumerate(drawn)], benchmark=tiny(), ks=(1,), seed=0)
        assert found.correct + found.wrong + found.truncated + found.unjudged == found.total == len(drawn)

    def test_rows_of_two_rules_are_not_averaged(self) -> None:
        other = row("a", 1, Verdict.PASSED).model_copy(update={"rule": "upstream"})
        with pytest.raises(DataError, match="cannot be summarized"):
            summarize([row("a", 0, Verdict.PASSED), other], benchmark=tiny(), seed=0)

    def test_best_of_temperatures_chooses_for_each_k(self) -> None:
        def at(temperature: float, one: float | None, five: float | None) -> EvalSummary:
            base = summarize([row("a", 0, Verdict.PASSED, temperature)], benchmark=tiny(), seed=0)
            return base.model_copy(update={"pass_at_k": (PassAtK(k=1, value=one), PassAtK(k=5, value=five))})

        best = best_of_temperatures({0.8: at(0.8, 0.3, 0.7), 0.0: at(0.0, 0.4, None), 0.2: at(0.2, 0.4, 0.6)})
        assert {k: b.temperature for k, b in best.items()} == {1: 0.0, 5: 0.8}
        assert best[5].estimate.value == 0.7
        assert best_of_temperatures({None: at(0.0, None, None)}) == {}

    def test_table_shows_every_verdict_present(self) -> None:
        found = summarize(
            [row("a", 0, Verdict.PASSED, 0.2), row("b", 0, Verdict.NO_CODE, 0.2)], benchmark=tiny(), seed=0
        )
        table = verdict_table([found])
        assert list(table.columns[0].cells)[-2:] == ["passed", "no_code"]
        assert table.columns[1].header == "T 0.2"
        assert percent(found.pass_at_k[0]).startswith("50.0 [1.3, 98.7]") and percent(PassAtK(k=5, value=None)) == "–"


class TestBenchmarks:
    def test_every_name_resolves(self) -> None:
        for name in BENCHMARKS:
            assert callable(benchmarks.resolve("benchmark", name, BENCHMARKS))

    def test_unknown_name_and_limit(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'verilogeval-v1-human'"):
            load("verilogeval-v1-humans")
        with pytest.raises(UsageError, match="limit is 0"):
            load("synth-heldout", limit=0)
        with pytest.raises(UsageError, match="not a Benchmark"):
            load("evaluation_hooks:not_a_benchmark")

    def test_missing_data_says_how_to_get_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ITERTL_DATA", raising=False)
        for data in (None, tmp_path, tmp_path / "absent"):
            with pytest.raises(DataError, match=r"git clone --branch release/1\.0\.0 .*verilog-eval"):
                load("verilogeval-v1-human", data)

    def test_another_version_of_the_clone_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "dataset_spec-to-rtl").mkdir()
        with pytest.raises(DataError, match="another version of verilog-eval"):
            load("verilogeval-v1-human", tmp_path)

    @pytest.mark.parametrize("gz", [False, True])
    def test_upstream_layout(self, tmp_path: Path, gz: bool) -> None:
        data = write_lines(tmp_path / "data/VerilogEval_Human.jsonl", [ROW, {**ROW, "task_id": "u"}])
        text = write_lines(
            tmp_path / "descriptions/VerilogDescription_Human.jsonl", [{"task_id": "t", "detail_description": "Do ü."}]
        )
        for path in (data, text) if gz else ():
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        file = data.with_name(data.name + ".gz") if gz else data
        for given_path in (tmp_path, tmp_path / "data", file):
            found = load("verilogeval-v1-human", given_path)
            assert [p.upstream_id for p in found.problems] == ["t", "u"]
            assert found.by_id["t"].instruction == "Do ü."
            assert found.by_id["t"].reference == "module top_module();\n\nendmodule\n"
        with pytest.raises(DataError, match=r"1 problems have no description \(u"):
            benchmarks.require_instructions(found)

    def test_environment_names_the_default_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_lines(tmp_path / "verilogeval_v1_machine.jsonl", [{**ROW, "detail_description": "Do it."}])
        monkeypatch.setenv("ITERTL_DATA", str(tmp_path))
        assert load("verilogeval-v1-machine").by_id["t"].instruction == "Do it."

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ([ROW, ROW], r"p.jsonl:2: task_id 't' comes twice"),
            ([{**ROW, "task_id": 3}], r"p.jsonl:1: task_id is 3; make it a string"),
            ([{**ROW, "task_id": " "}], "task_id is blank"),
            (
                [{k: v for k, v in ROW.items() if k != "test"}],
                r"p.jsonl:1: has no 'test' \(it has: canonical_solution, prompt, task_id\)",
            ),
            ([ROW, [1]], r"p.jsonl:2: a list, not a JSON object"),
            ([{**ROW, "test": ""}], "needs an upstream_id and a testbench"),
            ([], "holds no problems"),
        ],
    )
    def test_malformed_problem_file(self, tmp_path: Path, lines: list[Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            load("verilogeval-v1-human", write_lines(tmp_path / "p.jsonl", lines))

    def test_the_other_sets_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="looks like the Machine set"):
            load("verilogeval-v1-human", write_lines(tmp_path / "VerilogEval_Machine.jsonl", [ROW]))

    def test_benchmark_refuses_twins_and_problems_without_testbench(self) -> None:
        with pytest.raises(DataError, match="comes twice"):
            Benchmark(name="b", version="1", problems=(problem("a", INVERT), problem("a", INVERT)))
        with pytest.raises(DataError, match="testbench"):
            Benchmark(name="b", version="1", problems=(problem("a", INVERT).model_copy(update={"testbench": None}),))

    def test_generated_benchmark_is_one_fixed_set(self, tmp_path: Path) -> None:
        first, again = load("synth-heldout", limit=4), load("synth-heldout", limit=4)
        assert first.content_hash == again.content_hash
        assert len(first.problems) == 4
        assert load("synth-heldout", limit=4, seed=1).content_hash != first.content_hash
        with pytest.raises(UsageError, match="reads no data"):
            load("synth-heldout", tmp_path)

    def test_the_demonstration_is_judged_by_new_parameters_of_its_own_families(self) -> None:
        data = load_recipe(Path(__file__).parents[1] / "recipes/demo.yaml").data
        judged = load("synth-heldout-basic", limit=24).problems
        assert {p.family for p in judged} == set(data.families)
        assert {p.split for p in judged} == {"heldout-parameter"}
        trained = generate(0, data.limit or 0, data.families)
        assert not {p.reference for p in trained} & {p.reference for p in judged}

    def test_the_hash_is_of_the_problems_not_of_their_file_or_order(self, tmp_path: Path) -> None:
        rows = [ROW, {**ROW, "task_id": "u"}]
        flat = load("verilogeval-v1-human", write_lines(tmp_path / "mine.jsonl", rows))
        clone = load("verilogeval-v1-human", write_lines(tmp_path / "data/VerilogEval_Human.jsonl", rows).parent)
        assert flat.problems == clone.problems
        turned = load("verilogeval-v1-human", write_lines(tmp_path / "turned.jsonl", rows[::-1]))
        assert flat.content_hash == clone.content_hash == turned.content_hash
        other = load("verilogeval-v1-human", write_lines(tmp_path / "other.jsonl", [ROW]))
        assert other.content_hash != flat.content_hash

    def test_arithmetic_is_fifteen_problems_whose_words_name_every_port(self) -> None:
        found = load("arithmetic")
        assert Counter(p.upstream_id.rpartition("_")[0] for p in found.problems if p.upstream_id) == {
            "adder": 5, "multiplier": 5, "mac": 5,
        }  # fmt: skip
        for p in found.problems:
            assert all(f" {port}" in p.instruction for port in re.findall(r"(\w+)(?=,?\n)", p.header.partition("(")[2]))
        low = load("arithmetic", limit=1)
        right = Completion("adder_4", 0, low.problems[0].reference or "", full_module=True)
        dropped = Completion("adder_4", 1, right.text.replace("{cout, sum} = a", "cout = 0, sum = a"), full_module=True)
        assert [row.passed for row in judge(low, [right, dropped])] == [True, False]

    def test_clone_and_flat_files_hold_the_same_benchmark(self, shared_data: Path) -> None:
        for which, count in (("human", 156), ("machine", 143)):
            flat = load(f"verilogeval-v1-{which}", shared_data)
            clone = load(f"verilogeval-v1-{which}", shared_data / "upstream/verilog-eval-v1")
            assert flat.content_hash == clone.content_hash and flat.problems == clone.problems
            assert len(flat.problems) == count
            benchmarks.require_instructions(clone)


@pytest.fixture
def tiny_by_name() -> str:
    return "evaluation_hooks:tiny_benchmark"


class TestFiles:
    def test_results_in_input_order(self, tmp_path: Path, tiny_by_name: str) -> None:
        lines = [
            {"task_id": "both", "completion": INVERT, "extra": [1], "passed": True},
            {"task_id": "invert", "completion": INVERT},
            {"task_id": "both", "completion": "assign y = a & {a[0], a[1]}; endmodule", "full_module": None},
            {"task_id": "broken", "completion": INVERT},
        ]
        samples = write_lines(tmp_path / "s.jsonl", lines)
        found = eval_file(samples, load(tiny_by_name), out=tmp_path / "new/out")
        rows = [json.loads(line) for line in (tmp_path / "new/out/results.jsonl").read_text().splitlines()]
        assert [(r["task_id"], r["index"], r["verdict"], r["passed"]) for r in rows] == [
            ("both", 0, "wrong_output", False), ("invert", 0, "passed", True),
            ("both", 1, "passed", True), ("broken", 0, "unjudgeable", None),
        ]  # fmt: skip
        assert all("detail" in r for r in rows)
        assert found["pass_at_k"] == {"1": 0.75, "5": None, "10": None}
        assert found["pass_at_k_unjudged_as_failed"]["1"] == 0.5
        assert list(found["unjudged_problems"]) == ["broken"] and found["missing_problems"] == []
        assert sorted(p.name for p in (tmp_path / "new/out").iterdir()) == ["results.jsonl"]
        json.dumps(found, allow_nan=False)

    def test_several_temperatures(self, tmp_path: Path, tiny_by_name: str) -> None:
        wrong = "assign y = a; endmodule"
        lines = [
            {"task_id": "invert", "completion": c, "temperature": t}
            for c, t in ((INVERT, 0.8), (wrong, 0), (wrong, 0.8), (wrong, 0.0))
        ]
        found = eval_file(write_lines(tmp_path / "s.jsonl", lines), load(tiny_by_name), ks=(1, 2))
        assert [s["temperature"] for s in found["by_temperature"]] == [0.0, 0.8]
        assert [s["pass_at_k"][0]["value"] for s in found["by_temperature"]] == [0.0, 0.5]
        assert found["best_of_temperatures"]["pass_at_k"]["1"]["temperature"] == 0.8
        assert "chosen on the test set" in found["best_of_temperatures"]["protocol"]
        assert found["results"] is None and found["missing_problems"] == ["both", "broken"]

    def test_byte_order_mark_crlf_blank_lines_and_gzip(self, tmp_path: Path) -> None:
        line = json.dumps({"task_id": "ü", "completion": "x\r\n\ud800"}).encode()
        data = b"\xef\xbb\xbf" + line + b"\r\n\r\n" + line
        (tmp_path / "s.jsonl").write_bytes(data)
        (tmp_path / "s.jsonl.gz").write_bytes(gzip.compress(data))
        for name in ("s.jsonl", "s.jsonl.gz"):
            found = files.read_completions(tmp_path / name)
            assert [(c.task_id, c.index, c.text, c.where[-2:]) for c in found] == [
                ("ü", 0, "x\r\n\ud800", ":1"), ("ü", 1, "x\r\n\ud800", ":3"),
            ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"task_id": "t"}', r":1: has no 'completion'"),
            ('{"completion": "x"}', r":1: has no 'task_id'"),
            ('\n{"task_id": "t", "completion": null}', r":2: completion is None; make it a string"),
            (
                '{"task_id": "t", "completion": "x", "full_module": "yes"}',
                r":1: full_module is 'yes'; make it true or false",
            ),
            ('{"task_id": "t", "completion": "x", "full_module": 1}', r"full_module is 1"),
            ('{"task_id": "t", "completion": "x", "temperature": -1}', r"temperature is -1"),
            ('{"task_id": "t", "completion": "x", "temperature": NaN}', r"temperature is nan"),
            ('{"task_id": "t", "completion": "x", "temperature": true}', r"temperature is True"),
            ('{"task_id": "t", "completion": "x", "truncated": []}', r"truncated is \[\]"),
            ('{"task_id": "t", "completion"', r":1: not JSON"),
            ('"text"', r":1: a str, not a JSON object"),
            ("[" * 100_000, r":1: not JSON"),
            ('{"task_id": ' + "9" * 5000 + "}", r":1: not JSON"),
            ("\x00", r":1: not JSON"),
            ("", "holds no completions"),
            (" \n\r\n", "holds no completions"),
        ],
    )
    @pytest.mark.parametrize("gz", [False, True])
    def test_malformed_samples(self, tmp_path: Path, text: str, message: str, gz: bool) -> None:
        path = tmp_path / ("s.jsonl.gz" if gz else "s.jsonl")
        path.write_bytes(gzip.compress(text.encode()) if gz else text.encode())
        with pytest.raises(DataError, match=message):
            files.read_completions(path)

    def test_unreadable_samples(self, tmp_path: Path, tiny_by_name: str) -> None:
        (tmp_path / "s.gz").write_bytes(gzip.compress(b"{}" * 99)[:-9])
        for name, message in (
            ("absent.jsonl", "cannot be read"),
            ("absent.gz", "cannot be read"),
            ("s.gz", "cannot be read"),
            (".", "is a folder"),
        ):
            with pytest.raises(DataError, match=message):
                eval_file(tmp_path / name, load(tiny_by_name))
        (tmp_path / "file").write_text("")
        write_lines(tmp_path / "s.jsonl", [{"task_id": "invert", "completion": INVERT}])
        with pytest.raises(DataError, match="choose another --out"):
            eval_file(tmp_path / "s.jsonl", load(tiny_by_name), out=tmp_path / "file/out")

    @pytest.mark.parametrize(
        ("wrap", "note"),
        [
            ("{}", "begin a module"), ("```verilog\n{}\n```", "fences or thoughts"),
            ("<think>no</think>\n```\n{}```", "fences or thoughts"),
        ],
    )  # fmt: skip
    def test_the_shape_of_a_whole_file_is_recognised(
        self, tmp_path: Path, tiny_by_name: str, wrap: str, note: str
    ) -> None:
        header = load(tiny_by_name, None).by_id["invert"].header
        text = wrap.format(f"{header}\n{INVERT}")
        write_lines(tmp_path / "s.jsonl", [{"task_id": "invert", "completion": text}] * 2)
        found = eval_file(tmp_path / "s.jsonl", load(tiny_by_name))
        assert found["pass_at_k"]["1"] == 1.0 and note in found["notes"][0]
        (tmp_path / "s.json").write_text(json.dumps([{"task_id": "invert", "completion": INVERT}]))
        assert eval_file(tmp_path / "s.json", load(tiny_by_name))["notes"] == []
        write_lines(
            tmp_path / "s.jsonl",
            [{"task_id": "invert", "completion": text}, {"task_id": "invert", "completion": INVERT}],
        )
        assert "1 of 2 completions" in eval_file(tmp_path / "s.jsonl", load(tiny_by_name))["notes"][0]

    def test_rows_of_several_shapes(self, tmp_path: Path, tiny_by_name: str) -> None:
        """Fences, prose, a plain module and a refusal in one file: the code is taken out; beside a body nothing is."""
        module = f"{load(tiny_by_name, None).by_id['invert'].header}\n{INVERT}"
        rows = [
            f"Sure:\n```\n{module}```",
            f"Here is the code.\n\n{module}\nHope it helps you!",
            module,
            "I'm sorry, I cannot do that; ask again.",
        ]
        lines = [{"task_id": "invert", "completion": text} for text in rows]
        write_lines(tmp_path / "s.jsonl", lines)
        found = eval_file(tmp_path / "s.jsonl", load(tiny_by_name))
        assert found["pass_at_k"]["1"] == 0.75 and "2 of 4 completions hold" in found["notes"][0]
        write_lines(
            tmp_path / "s.jsonl",
            [*lines, {"task_id": "invert", "completion": INVERT + "\nThis module turns its input."}],
        )
        found = eval_file(tmp_path / "s.jsonl", load(tiny_by_name))
        assert found["pass_at_k"]["1"] == 0.0
        assert [note.split(" completions ")[0] for note in found["notes"]] == ["2 of 5", "1 of 5", "1 of 5", "1 of 5"]
        write_lines(tmp_path / "s.jsonl", [{**line, "full_module": False} for line in lines[2:3]])
        assert "say true" in eval_file(tmp_path / "s.jsonl", load(tiny_by_name))["notes"][0]

    def test_nothing_is_judged_or_written_for_an_unknown_task(self, tmp_path: Path, tiny_by_name: str) -> None:
        write_lines(
            tmp_path / "s.jsonl",
            [{"task_id": "invert", "completion": INVERT}, {"task_id": "Invert", "completion": INVERT}],
        )
        with pytest.raises(DataError, match=r"s\.jsonl:2: .*did you mean 'invert'"):
            eval_file(tmp_path / "s.jsonl", load(tiny_by_name), out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
