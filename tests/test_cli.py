"""The command line as a user meets it: exit status, JSON on stdout alone, files that others can read."""

import contextlib
import io
import json
import signal
import socket
import time
from pathlib import Path

import pytest

import report_builder as make
from command_line import itertl
from evaluation_cases import INVERT
from itertl import cli, progress
from itertl.config import load_recipe
from itertl.loop.plan import make_plan
from itertl.records import EvalRow
from itertl.runs.storage import write_records

TINY = "evaluation_hooks:tiny_benchmark"  # a user's own benchmark, of this folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.yaml"], ["nowhere.yaml"]),
        (["frobnicate"], ["frobnicate"]),
        (["eval"], ["SAMPLES.jsonl", "--model", "itertl compare A B"]),
        (["eval", "s.jsonl", "--model", "x"], ["give one of"]),
        (["eval", "s.jsonl", "--require-sandbox", "moon"], ["moon", "rlimits, landlock, bubblewrap"]),
        (["score", "s.jsonl", "--require-sandbox", "moon"], ["moon", "bubblewrap"]),
        (["compare", "a", "nofile"], ["cannot be read"]),
        (["self-test", "synth-heldot"], ["did you mean", "synth-heldout"]),
        (["self-test", "synth-heldout", "--rule", "strickt"], ["no rule", "strict"]),
        (["self-test", "synth-heldout", "--shots", "-1"], ["shots"]),
        (["score", "nofile.jsonl"], ["nofile.jsonl"]),
        (["data", "synth", "0"], ["count"]),
        (["data", "synth", "3", "--family", "ful_adder"], ["ful_adder", "did you mean"]),
        (["data", "import", "nofile"], ["nofile"]),
        (["report", "nowhere"], ["nowhere"]),
        (["eval", "s.jsonl", "--temperature", "0.5"], ["--temperature", "go with --model"]),
        (["eval", "--model", "random:tiny", "--temperature", "nan"], ["temperatures", "finite number"]),
        (["eval", "--model", "random:tiny", "--temperature", "-1"], ["temperatures", "greater than or equal to 0"]),
        (["eval", "--model", "random:tiny", "--strategy", "clustr"], ["did you mean 'cluster'"]),
        (["eval", "--model", "random:tiny", "sample.strategy_options.draws=3"], ["no strategy"]),
        (["eval", "--model", "random:tiny", "--strategy", "cluster", "--temperature", "0"], ["the same text 8 times"]),
        (["generate", "x", "--model", "random:tiny", "--strategy", ""], ["unknown search strategy"]),
        (["chat", "x", "--task", "1"], ["--task and --data go with --benchmark"]),
        (["chat", "--benchmark", TINY, "--task", "invrt"], ["--task invrt: did you mean 'invert'?", "--list-tasks"]),
        (["chat", "--benchmark", "synth-heldout", "--task", "1", "--header", "module m;"], ["--header goes with"]),
        (["sample", "synth", "--out", "", "--model", "random:tiny"], ["folder"]),
    ],
)
def test_wrong_usage_is_status_2_and_says_what(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    done = itertl(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert all(word in done.stderr for word in words) and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("method=itrtl", "'itertl'"),
        ("score.scorers=[rtlcodr]", "'rtlcoder'"),
        ("sample.backend=transfomers", "'transformers'"),
        ("sample.options.devce=cpu", "'device'"),
        ("evals.0.benchmark=synth-heldot", "'synth-heldout'"),
        ("evals.0.rule=upstrem", "'upstream'"),
        ("data.source=nofile.jsonl", "nofile.jsonl"),
        ("train.epoks=1", "'epochs'"),
        ("score.scorers=text,syntax", "write score.scorers=[text,syntax]"),
        ("train.lora=true", "train.lora.quantize=VALUE"),
        ("score.weights=3", "write score.weights={NAME: VALUE}"),
        ("evals[0].limti=4", "'limit'"),
        ("sample.temperature=.inf", "sample.temperature: Input should be a finite number"),
        ("train.alpha=.nan", "train.alpha"),
        ("score.weights={rtlcoder: .inf}", "score.weights.rtlcoder"),
        ("evals.2.limit=4", "evals.1 adds one"),
        ("evals.0.temperatures=[]", "at least 1 item"),
        ("evals.0.strategy=cluster", "temperature 0 draws the same text 8 times"),
        ("sample.strategy=repare", "'repair'"),
        ("sample.strategy_options.draws=2", "no strategy"),
        ("model.path=.", "."),
    ],
)
def test_every_name_in_a_recipe_is_checked_before_any_work(
    override: str, word: str, repository: Path, tmp_path: Path
) -> None:
    done = itertl("run", repository / "recipes" / "smoke.yaml", override, "--out", tmp_path / "run")
    assert done.returncode == 2 and word in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_errors_under_json_are_json_too(tmp_path: Path) -> None:
    done = itertl("score", "nofile.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 2 and "nofile.jsonl" in json.loads(done.stdout)["error"]


def test_published_scores_are_reproduced(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = itertl(
        "score", shared_data / "rtlcoder_scoring_sample.jsonl", "--scorer", "rtlcoder", "--out", out, "--json"
    )
    assert done.returncode == 0 and json.loads(done.stdout)["items"] == 40, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    pairs = [pair for row in rows for pair in zip(row["Score"], row["itertl_score"], strict=True)]
    assert len(pairs) == 40 and all(abs(a - b) < 1e-9 for a, b in pairs)


def test_generated_problems_are_imported_and_audited(tmp_path: Path) -> None:
    made = json.loads(itertl("data", "synth", "30", "--out", tmp_path / "p.jsonl", "--json").stdout)
    assert made["problems"] == 30
    again = json.loads(itertl("data", "import", tmp_path / "p.jsonl", "--out", tmp_path / "q.jsonl", "--json").stdout)
    assert again["problems"] == again["with_reference"] == 30
    assert (tmp_path / "p.jsonl").read_bytes() == (tmp_path / "q.jsonl").read_bytes()
    audit = itertl("data", "audit", tmp_path / "p.jsonl", "--json")
    assert audit.returncode == 0 and json.loads(audit.stdout)["loaded"]["skipped"] == {}


def test_stored_completions_are_judged_in_input_order(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "replay" / "dpskcoder7b_machine.jsonl").read_text().splitlines()[:12]
    (tmp_path / "samples.jsonl").write_text("\n".join(lines) + "\n")
    done = itertl(
        "eval",
        tmp_path / "samples.jsonl",
        "--benchmark",
        "verilogeval-v1-machine",
        "--data",
        shared_data,
        "--out",
        tmp_path,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    stored = [json.loads(line) for line in lines]
    assert [row["task_id"] for row in rows] == [row["task_id"] for row in stored]
    assert [row["passed"] for row in rows] == [row["passed"] for row in stored]


def test_verdicts_are_a_table_in_a_terminal(tmp_path: Path) -> None:
    wrong, gamed = "assign y = a; endmodule", 'integer f; initial f = $fopen("x"); assign y = ~a; endmodule'
    lines = [
        {"task_id": t, "completion": c}
        for t, c in (("invert", INVERT), ("both", wrong), ("both", gamed), ("broken", wrong))
    ]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = itertl("eval", tmp_path / "s.jsonl", "--benchmark", TINY, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for expected in (
        "pass@1 %",
        "50.0 [",
        "wrong_output",
        "gamed",
        "refused as gaming the judge",
        "sandbox",
        "rule strict",
        "results.jsonl",
    ):
        assert expected in done.stdout, done.stdout
    assert "1 completion of 1 problem could not be judged" in done.stdout and "no_such_wire" in done.stdout
    found = json.loads(itertl("eval", tmp_path / "s.jsonl", "--benchmark", TINY, "--json").stdout)
    assert found["summary"]["by_verdict"]["gamed"] == sum(found["summary"]["gamed_by"].values()) == 1
    assert found["sandbox"] == found["summary"]["sandbox"] != "" and found["pass_at_k"]["5"] is None


def test_two_results_are_compared(tmp_path: Path) -> None:
    _, before = make.evaluated(make.problems(), make.verdict_list(4, 20, 0), ["a"] * make.TASKS)
    _, after = make.evaluated(make.problems(), make.verdict_list(14, 10, 0), ["b"] * make.TASKS)
    write_records(tmp_path / "a" / "results.jsonl", before)
    write_records(
        tmp_path / "b" / "eval-synth-heldout.jsonl", [r.model_copy(update={"rule": "upstream"}) for r in after]
    )
    done = itertl("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    one, five = found["differences"][:2]
    assert (found["mcnemar"]["only_b"], found["mcnemar"]["p_value"]) == (10, 2 / 2**10)
    assert one["p_value"] == 2 / 2**10 and one["difference"] == pytest.approx(10 / 24) and five["difference"] is None
    assert [flip["task_id"] for flip in found["flips"]] == [f"task{n}" for n in range(4, 14)] and len(
        found["warnings"]
    ) == 1
    shown = itertl("compare", tmp_path / "a", tmp_path / "b").stdout
    assert (
        "warning: verdict rule differs" in shown and "+41.7" in shown and "B does better on 10 problems: task4" in shown
    )
    write_records(
        tmp_path / "other.jsonl",
        [EvalRow.model_validate({**r.model_dump(), "benchmark": "synth-heldout 2"}) for r in after],
    )
    refused = itertl("compare", tmp_path / "a", tmp_path / "other.jsonl")
    assert refused.returncode == 2 and "cannot be compared" in refused.stderr


def test_the_task_ids_of_a_benchmark_are_listed() -> None:
    assert itertl("eval", "--benchmark", TINY, "--list-tasks").stdout.split() == ["invert", "both", "broken"]


def test_self_test_of_a_sound_benchmark_and_of_a_broken_one() -> None:
    sound = itertl("self-test", "synth-heldout", "--limit", "2", "--require-sandbox", "rlimits", "--json")
    assert sound.returncode == 0, sound.stderr
    found = json.loads(sound.stdout)
    assert (found["checked"], found["broken"], found["rule"]) == (2, {}, "strict")
    assert [sorted(one) for one in found["mutants"].values()] == [["caught", "ran", "tried"]] * 2
    assert len(found["fingerprint"]["hash"]) == 12 and found["sandbox"]
    broken = itertl("self-test", TINY)
    assert broken.returncode == 1, broken.stderr
    assert "Reference fails, and no known erratum says why (1)" in broken.stdout and "no_such_wire" in broken.stdout
    assert found["fingerprint"]["hash"] in broken.stdout and "2 of 3 references pass" in broken.stdout


def test_a_report_is_printed_too(tmp_path: Path) -> None:
    a, b = (make.build_run(tmp_path / name, iterations=1, name=name) for name in ("a", "b"))
    one = itertl("report", a)
    assert one.returncode == 0 and "Iterations (0: the untouched model)" in one.stdout and "report.html" in one.stdout
    assert "Runs side by side" not in one.stdout
    two = itertl("report", a, b, "--out", tmp_path / "out")
    assert two.stdout.count("Iterations (0") == 2 and "Runs side by side" in two.stdout
    quiet = itertl("report", a, "--json")
    assert set(json.loads(quiet.stdout)) == {"page", "figures"}


def test_a_plan_runs_nothing(repository: Path, tmp_path: Path) -> None:
    done = itertl("run", repository / "recipes" / "smoke.yaml", "--plan", "--json", "--out", tmp_path / "run")
    plan = json.loads(done.stdout)
    assert plan["problems"] == 8 and plan["estimated_seconds"]["total"] > 0 and plan["estimated_memory_gb"] > 0
    assert "iter-01/checkpoint/" in plan["files"] and not (tmp_path / "run").exists()


def test_a_plan_counts_only_the_evaluations_that_are_due(repository: Path, tmp_path: Path) -> None:
    """Four iterations: the untouched model and all four, or the untouched model, the third and the last."""
    totals: list[float] = []
    for every, judged in (
        (1, ["base", "iter-00", "iter-01", "iter-02", "iter-03"]),
        (3, ["base", "iter-02", "iter-03"]),
    ):
        recipe = load_recipe(repository / "recipes" / "smoke.yaml", ["iterations=4", f"evals.0.every={every}"])
        plan = make_plan(recipe, tmp_path / "run")
        assert [file.split("/")[0] for file in plan.files() if file.endswith("/eval-synth-heldout.jsonl")] == judged
        seconds = plan.seconds
        once = seconds["sample, an iteration"] + seconds["train, an iteration"]
        totals.append((seconds["total"] - 4 * once) / seconds["eval synth-heldout"])
    assert totals == pytest.approx([5, 3])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name of a host is found, as on a machine without network."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.usefixtures("no_network")
def test_the_papers_run_is_planned_without_network_or_files(repository: Path, tmp_path: Path) -> None:
    """6,740,512,768 parameters, as the model's own configuration gives; 2 benchmarks of 143 and 156 problems,
    judged 8 times."""
    done = itertl("run", repository / "recipes" / "paper-6.7b.yaml", "--plan", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["parameters"], plan["problems"], len(plan["assumed"])) == (6_740_512_768, 10_000, 3)
    seconds = plan["estimated_seconds"]
    assert seconds["eval verilogeval-v1-human"] / seconds["eval verilogeval-v1-machine"] == pytest.approx(156 / 143)


@pytest.mark.usefixtures("no_network")
def test_a_hub_model_without_network_is_one_line(tmp_path: Path) -> None:
    started = time.monotonic()
    done = itertl("generate", "x", "--model", "owner/model", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "owner/model" in done.stderr and "hf download" in done.stderr and time.monotonic() - started < 60


def test_a_measured_plan_samples_and_trains_a_little(repository: Path, tmp_path: Path) -> None:
    recipe, out = repository / "recipes" / "smoke.yaml", tmp_path / "run"
    done = itertl("run", recipe, "--plan", "--measure", "--json", "--out", out, "method=dpo")
    plan = json.loads(done.stdout)
    assert plan["measured"] is True and not out.exists()
    assert all(seconds > 0 for seconds in plan["estimated_seconds"].values())
    assert 0.1 < plan["estimated_memory_gb"] < 8
    alone = itertl("run", recipe, "--measure", "--out", out)
    assert alone.returncode == 2 and "--plan" in alone.stderr and not out.exists()


def test_one_stage_after_another_by_hand(tmp_path: Path) -> None:
    itertl("data", "synth", "3", "--out", tmp_path / "made.jsonl")
    settings = [
        "sample.num_candidates=2",
        "sample.max_new_tokens=8",
        "train.epochs=1",
        "score.scorers=[rouge-l]",
        "--model",
        "random:tiny",
    ]
    drawn = itertl("sample", tmp_path / "made.jsonl", *settings, "--out", tmp_path / "candidates.jsonl", "--json")
    assert drawn.returncode == 0 and json.loads(drawn.stdout)["candidates"] == 6, drawn.stderr
    scored = itertl(
        "score", tmp_path / "candidates.jsonl", "--scorer", "rouge-l", "--out", tmp_path / "scored.jsonl", "--json"
    )
    assert scored.returncode == 0, scored.stderr
    trained = itertl(
        "train",
        tmp_path / "scored.jsonl",
        "--problems",
        tmp_path / "problems.jsonl",
        *settings,
        "--out",
        tmp_path / "new",
        "--json",
    )
    assert trained.returncode == 0 and (tmp_path / "new" / "model.safetensors").exists(), trained.stderr
    empty, made = tmp_path / "empty.jsonl", tmp_path / "problems.jsonl"
    empty.write_text("\n")
    for scored_file, problems in ((empty, made), (tmp_path / "scored.jsonl", empty)):
        none = itertl("train", scored_file, "--problems", problems, *settings, "--out", tmp_path / "none")
        assert none.returncode == 2 and "empty.jsonl: holds no" in none.stderr, none.stderr
    judged = itertl(
        "eval",
        "--model",
        tmp_path / "new",
        "--limit",
        "2",
        "--max-new-tokens",
        "8",
        "--out",
        tmp_path / "eval",
        "--json",
    )
    assert judged.returncode == 0 and json.loads(judged.stdout)["summaries"][0]["total"] == 2, judged.stderr


def test_a_signal_that_a_library_swallows_ends_the_next_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_asked", [])
    progress.SILENT.advance()
    with contextlib.suppress(KeyboardInterrupt):  # as a callback of C code does
        progress.interrupt(signal.SIGINT, None)
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        progress.SILENT.advance()  # what is done is saved in peace
    with pytest.raises(KeyboardInterrupt):
        progress.SILENT.advance()
    with pytest.raises(KeyboardInterrupt), progress.QUIET.stage("next", 1):
        pass


def test_a_failure_that_a_signal_made_is_an_interruption(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(progress, "_asked", [signal.SIGINT])
    done = itertl("run", tmp_path / "absent.yaml", "--json")
    assert (
        done.returncode == 130
        and json.loads(done.stdout)["exit_status"] == 130
        and done.stderr.startswith("itertl: interrupted")
    )


def test_a_terminal_without_unicode_gets_tables_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make.build_run(tmp_path / "run", iterations=1)
    shown = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.argv", ["itertl", "report", str(run)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as stop:
        cli.main()
    text = shown.buffer.getvalue()
    assert stop.value.code == 0 and b"pass@1" in text and b"?" in text
