"""The whole loop on a tiny model with real tools: what it writes, and that no kill changes a byte of it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from itertl.config import load_recipe
from itertl.export.source import find_source
from itertl.records import Candidate, EvalRow, IterationMetrics, Problem, Scored, TrainStep
from itertl.runs.manifest import Manifest
from itertl.runs.storage import hash_file, parse_record, read_records, write_records

Forked: TypeAlias = Callable[..., list[str]]
TINY = """
name: tiny
seed: 3
iterations: 2
model: {path: "random:tiny"}
data: {source: synth, limit: 4}
sample: {num_candidates: 2, max_new_tokens: 8, batch_size: 4, dtype: float32}
score: {scorers: [rouge-l]}
train: {epochs: 1, learning_rate: 1e-3, groups_per_step: 2, precision: float32, save_every_steps: 1}
evals: [{benchmark: synth-heldout, limit: 2, max_new_tokens: 8, temperatures: [0.0, 0.8], num_samples: 2}]
telemetry: {kl_problems: 2}
"""
POINTS = [
    "sample.batch:1",
    "eval-synth-heldout.before-manifest",
    "sample.batch:2",
    "sample.before-manifest",
    "sample.after-manifest",
    "score.item:1",
    "score.item:2",
    "score.before-manifest",
    "train.step:1",
    "train.save:1",
    "train.step:2",
    "train.before-manifest",
    "train.after-manifest",
]


def hashes(folder: Path) -> dict[str, str]:
    """Every file that a run promises to reproduce."""
    return {
        path.relative_to(folder).as_posix(): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("timings.jsonl", ".lock") and "tensorboard" not in path.parts
    }


@pytest.fixture(scope="module")
def run_forked() -> Iterator[Forked]:
    """``(recipe, out, *points, cache=None)``: what the runs ended with. ``cache``: a fresh one, where scores
    that another run took would leave nothing to do."""
    command = [sys.executable, str(Path(__file__).with_name("forked_runs.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:

        def ask(recipe: Path, out: Path, *points: str, cache: Path | None = None) -> list[str]:
            assert parent.stdin and parent.stdout
            print(
                json.dumps({"recipe": str(recipe), "out": str(out), "points": points, "cache": cache and str(cache)}),
                file=parent.stdin,
                flush=True,
            )
            found: list[str] = json.loads(parent.stdout.readline())
            return found

        yield ask


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(recipe: Path, run_forked: Forked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "plain"
    assert run_forked(recipe, out) == ["end 0"]
    return out


def test_the_run_folder_is_as_documented(finished: Path) -> None:
    assert len(read_records(finished / "iter-00" / "candidates.jsonl", Candidate)) == 8
    scored = read_records(finished / "iter-01" / "scored.jsonl", Scored)
    assert len(scored) == 8 and all(row.score("rouge-l").value is not None for row in scored)
    steps = read_records(finished / "iter-01" / "train.jsonl", TrainStep)
    assert [step.step for step in steps] == [1, 2]
    rows = read_records(finished / "base" / "eval-synth-heldout.jsonl", EvalRow)
    assert len(rows) == 2 * (1 + 2)
    assert not [p for p in finished.rglob("*") if p.name.endswith((".partial", ".tmp")) or p.name == "train-state"]
    assert load_recipe(finished / "recipe.yaml").iterations == 2
    assert "<h2>Examples</h2>" in (finished / "report.html").read_text(
        encoding="utf-8"
    )  # samples and verdicts were found
    assert (finished / "waves.jsonl").is_file()
    for name in ("report.html", "problems.jsonl", "bench-synth-heldout.jsonl", "iter-01/checkpoint/model.safetensors"):
        assert (finished / name).stat().st_size > 0


def test_the_metrics_account_for_everything(finished: Path) -> None:
    metrics = read_records(finished / "metrics.jsonl", IterationMetrics)
    assert [row.iterations for row in metrics] == [0, 1, 2]
    for row in metrics:
        assert [e.temperature for e in row.evals] == [0.0, 0.8]
        for found in row.evals:
            assert found.correct + found.wrong + found.truncated + found.unjudged == found.total
    telemetry = metrics[1].telemetry
    assert telemetry is not None and (telemetry.problems, telemetry.candidates, telemetry.unscored) == (4, 8, 0)
    assert metrics[2].reference_tokens_seen == 2 * metrics[1].reference_tokens_seen > 0


def test_inputs_in_a_manifest_are_the_files_that_were_used(finished: Path) -> None:
    value = json.loads((finished / "iter-01" / "manifest.json").read_text())
    stages = parse_record(Manifest, value, "manifest").stages
    first = json.loads((finished / "iter-00" / "manifest.json").read_text())["stages"]
    assert list(stages) == ["sample", "score", "train", "eval-synth-heldout"]
    assert (
        stages["sample"].inputs["policy"]
        == first["train"]["outputs"]["checkpoint"]
        == hash_file(finished / "iter-00/checkpoint")
    )
    assert stages["train"].inputs["scored"] == hash_file(finished / "iter-01" / "scored.jsonl")


def test_a_kill_at_any_named_point_changes_no_byte(
    run_forked: Forked, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    assert run_forked(recipe, out, *POINTS, cache=tmp_path / "cache") == [*(f"{point} -9" for point in POINTS), "end 0"]
    assert hashes(out) == hashes(finished)


def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(
    run_forked: Forked, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "changed"
    subprocess.run(["cp", "-a", str(finished), str(out)], check=True)
    before = hashes(out)
    edited = tmp_path / "edited.yaml"
    edited.write_text(TINY.replace("learning_rate: 1e-3", "learning_rate: 2e-3"))
    refused, status = run_forked(edited, out)
    assert "train.learning_rate: 0.001 -> 0.002" in refused and "--resume-changed" in refused and status == "end 1"
    assert hashes(out) == before
    assert run_forked(edited, out, "--resume-changed") == ["--resume-changed 0", "end 0"]
    after = hashes(out)
    same = {name for name in before if after.get(name) == before[name]}
    assert {"problems.jsonl", "base/manifest.json", "iter-00/candidates.jsonl", "iter-00/scored.jsonl"} <= same
    assert not {"iter-00/checkpoint/model.safetensors", "iter-01/manifest.json", "recipe.yaml"} & same
    assert run_forked(recipe, out, "--resume-changed") == ["--resume-changed 0", "end 0"]
    assert hashes(out) == before


@pytest.mark.slow
@pytest.mark.parametrize(("method", "files"), [("sft", 0), ("rtlcoder", 1), ("itertl-softmax", 2)])
def test_every_method_runs_through_the_loop(run_forked: Forked, method: str, files: int, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.replace("seed: 3", f"seed: 3\nmethod: {method}").replace("limit: 2,", "limit: 1,"))
    assert run_forked(recipe, tmp_path / "run") == ["end 0"]
    assert len(list((tmp_path / "run").glob("iter-*/candidates.jsonl"))) == files  # rtlcoder samples once
    metrics = read_records(tmp_path / "run" / "metrics.jsonl", IterationMetrics)
    assert [row.loss is None for row in metrics] == [True, False, False]
    assert (metrics[2].telemetry is None) == (method == "sft") and (metrics[2].candidate_tokens_seen == 0) == (
        method == "sft"
    )


@pytest.mark.slow
def test_adaptive_draws_and_rejection_from_the_start_model_end_in_the_same_bytes(
    run_forked: Forked, tmp_path: Path
) -> None:
    recipe = tmp_path / "chosen.yaml"
    lines = [line for line in TINY.splitlines() if not line.startswith("evals")]
    recipe.write_text(
        "\n".join([*lines, "method: rso", "evals: []", ""]).replace("train: {", "train: {from: start, ")
        .replace("sample: {", "sample: {strategy: adaptive, strategy_options: {most: 4, width: 2, scorer: syntax}, ")
    )  # fmt: skip
    points = ("search.batch:2", "search.examined:2", "train.step:1")
    assert run_forked(recipe, tmp_path / "plain") == ["end 0"]
    assert run_forked(recipe, tmp_path / "run", *points) == [*(f"{point} -9" for point in points), "end 0"]
    assert hashes(tmp_path / "run") == hashes(tmp_path / "plain")
    inputs = [
        parse_record(Manifest, json.loads((tmp_path / "run" / f"iter-0{n}" / "manifest.json").read_text()), "").stages
        for n in (0, 1)
    ]
    assert inputs[0]["train"].inputs["policy"] == inputs[1]["train"].inputs["policy"]
    assert inputs[0]["sample"].inputs["policy"] != inputs[1]["sample"].inputs["policy"]
    drawn = [len(read_records(tmp_path / "run" / f"iter-0{n}" / "candidates.jsonl", Candidate)) for n in (0, 1)]
    assert drawn[0] > 8, "no group was mixed, so that more were drawn"
    metrics = read_records(tmp_path / "run" / "metrics.jsonl", IterationMetrics)
    assert metrics[1].telemetry is not None and metrics[1].telemetry.candidates_rejected == 8


@pytest.mark.slow
def test_a_run_without_a_new_best_ends_early_and_a_ladder_is_watched(run_forked: Forked, tmp_path: Path) -> None:
    """A random model passes nothing, so no iteration is better than none: the first is the last, and the result."""
    recipe = tmp_path / "short.yaml"
    recipe.write_text(
        TINY.replace("iterations: 2", "iterations: 4").replace(
            "score: {scorers: [rouge-l]}",
            "score: {scorers: [rtlcoder, gate, text, syntax], combine: ladder, ladder: {gate: 0.1, text: [0.3, 0.4], "
            "syntax: 1}}",
        )
        + "select: {benchmark: synth-heldout, patience: 1}\n"
    )
    for _ in range(2):  # the second call finds nothing to do
        run_forked(recipe, tmp_path / "run")
    metrics = read_records(tmp_path / "run" / "metrics.jsonl", IterationMetrics)
    assert [m.iterations for m in metrics] == [0, 1]
    assert not (tmp_path / "run" / "iter-01").exists()
    telemetry = metrics[1].telemetry
    assert telemetry is not None and telemetry.rungs is not None
    assert list(telemetry.rungs) == ["", "gate", "text", "syntax"] and sum(telemetry.rungs.values()) == 8
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The ladder" in page and "ended early" in page
    assert find_source(tmp_path / "run").iteration == 1


PAIRS = {
    "Invert a.": "module inv(input a, output y);\nassign y = ~a;\nendmodule\n",
    "Add two numbers.": "module add(input [1:0] a, input [1:0] b, output [2:0] s);\nassign s = a + b;\nendmodule\n",
    "Choose by s.": "module mux(input s, input a, input b, output y);\nassign y = s ? a : b;\nendmodule\n",
    "Keep d at the edge.": "module keep(input clk, input d, output reg q);\nalways @(posedge clk) q <= d;\nendmodule\n",
    "Parity of w.": "module par(input [3:0] w, output p);\nassign p = ^w;\nendmodule\n",
}


@pytest.mark.slow
def test_what_was_sampled_from_another_seed_is_sampled_again(
    finished: Path, run_forked: Forked, tmp_path: Path
) -> None:
    """As after a kill before the last temperature of ``evals`` was sampled, and the same call with another seed."""
    recipe, run = tmp_path / "tiny.yaml", tmp_path / "run"
    recipe.write_text(TINY.replace("seed: 3", "seed: 4").replace("iterations: 2", "iterations: 1") + "method: sft\n")
    name = "base/samples-synth-heldout.jsonl"
    before = [c for c in read_records(finished / name, Candidate) if c.settings.temperature == 0.8]
    (run / "base").mkdir(parents=True)
    (run / ".lock").touch()
    write_records(run / "base/samples-synth-heldout-t0.8.jsonl", before)
    assert run_forked(recipe, run) == ["end 0"]
    drawn = [c for c in read_records(run / name, Candidate) if c.settings.temperature == 0.8]
    assert [c.problem_id for c in drawn] == [c.problem_id for c in before]
    assert not {c.seed for c in drawn} & {c.seed for c in before}


@pytest.mark.slow
def test_held_out_pairs_are_judged_and_never_trained_on(run_forked: Forked, tmp_path: Path) -> None:
    pairs, recipe = tmp_path / "pairs.jsonl", tmp_path / "own.yaml"
    pairs.write_text(
        "".join(json.dumps({"instruction": asked, "response": code}) + "\n" for asked, code in PAIRS.items())
    )
    own = (
        TINY.replace("source: synth, limit: 4", f"source: {pairs}, holdout: 0.2")
        .replace("iterations: 2", "iterations: 1")
        .replace("save_every", "max_length: auto, save_every")
    )
    recipe.write_text(
        own.partition("evals:")[0]
        + "evals: [{benchmark: own-heldout, max_new_tokens: 8}]\nselect: {benchmark: own-heldout}\n"
    )
    run, killed, point = tmp_path / "run", tmp_path / "killed", "eval-own-heldout.before-manifest"
    assert run_forked(recipe, run) == ["end 0"]
    assert run_forked(recipe, killed, point) == [f"{point} -9", "end 0"]
    assert hashes(killed) == hashes(run)
    held, trained = (
        {p.instruction for p in read_records(run / name, Problem)}
        for name in ("bench-own-heldout.jsonl", "problems.jsonl")
    )
    assert (len(held), len(trained), held | trained) == (1, 4, set(PAIRS))
    assert {c.problem_id for c in read_records(run / "iter-00" / "candidates.jsonl", Candidate)} == {
        p.id for p in read_records(run / "problems.jsonl", Problem)
    }
    assert [row.rule for row in read_records(run / "iter-00" / "eval-own-heldout.jsonl", EvalRow)] == ["function"]
    assert load_recipe(run / "recipe.yaml").train.max_length in range(64, 512, 32)
    recipe.write_text(recipe.read_text().replace("holdout: 0.2", "holdout: 0.4"))
    refused, status = run_forked(recipe, run)
    assert "data.holdout: 0.2 -> 0.4" in refused and status == "end 1"
    assert run_forked(recipe, run, "--resume-changed") == ["--resume-changed 0", "end 0"]
    assert (
        len(read_records(run / "bench-own-heldout.jsonl", Problem))
        == len(read_records(run / "iter-00" / "eval-own-heldout.jsonl", EvalRow))
        == 2
    )
