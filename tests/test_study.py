"""Studies: the file and its errors, equal stages, arms made equal, the numbers of the table, and what a kill leaves."""

import csv
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_builder as builder
from command_line import itertl
from itertl.config import build_recipe, load_recipe
from itertl.errors import RecipeError, RunError
from itertl.evaluation import two_level
from itertl.evaluation.passk import bootstrap_interval, clopper_pearson
from itertl.evaluation.significance import holm
from itertl.loop.study import plots
from itertl.loop.study import table as report
from itertl.loop.study.estimate import plan_study
from itertl.loop.study.file import load_study
from itertl.loop.study.fit import Fitter, Passes, grown, nearest
from itertl.loop.study.results import gather
from itertl.loop.study.scheduler import Scheduler, StudyRun, drop_checkpoints, locked
from itertl.progress import QUIET
from itertl.records import PassAtK, Verdict
from itertl.runs.folder import RunFolder
from itertl.runs.manifest import StageRecord
from itertl.runs.shared_stages import SharedStages
from itertl.runs.storage import hash_file, write_records, write_text

SMOKE = Path(__file__).parent.parent / "recipes" / "smoke.yaml"


def study_file(folder: Path, arms: str, more: str = "", seeds: str = "[0, 1]", control: str = "sft") -> Path:
    path = folder / "study.yaml"
    write_text(path, f"name: trial\nbase: {SMOKE}\ncontrol: {control}\nseeds: {seeds}\narms: {arms}\n{more}")
    return path


# ---- the file ------------------------------------------------------------------------------------------------------


def test_an_arm_is_the_base_with_its_own_keys_nested_or_dotted(tmp_path: Path) -> None:
    path = study_file(
        tmp_path,
        "{late: {method: itertl, start: {arm: sft, iteration: 2}}, sft: {method: sft, train: {epochs: 5, lora: {rank: "
        "4}}, score.weights: {rtlcoder: 2}}, plain: }",
    )
    study = load_study(path, ["data.limit=3"])
    assert [(arm.name, seed) for arm, seed in study.jobs()] == [
        ("sft", 0),
        ("late", 0),
        ("plain", 0),
        ("sft", 1),
        ("late", 1),
        ("plain", 1),
    ]
    recipe = study.recipe(study.arm("sft"), 1)
    lora = recipe.train.lora
    assert (recipe.seed, recipe.method, recipe.train.epochs, recipe.train.learning_rate, recipe.data.limit) == (
        1,
        "sft",
        5,
        1e-3,
        3,
    )
    assert lora is not None and (lora.rank, lora.alpha) == (4, 32.0) and recipe.score.weights == {"rtlcoder": 2}
    assert study.recipe(study.arm("late"), 1, out=tmp_path).model.path == str(
        tmp_path / "sft/seed-1/iter-01/checkpoint"
    )


SFT = "{sft: {method: sft}"
FAULTS = [
    ("{sft: {train: {epoch: 3}}}", {}, r"study.yaml:\d+: arms.sft: train.epoch: unknown key; did you mean 'epochs'\?"),
    ("{sft: {train.epochs: many}}", {}, r"study.yaml:\d+: arms.sft: train.epochs: .*got 'many'"),
    ("{sft: {train.epochs: 2, train: {epochs: 3}}}", {}, r"arms.sft: train.epochs and train.epochs say the same key"),
    ("{sft: {seed: 3}}", {}, r"arms.sft.seed: cannot be set in an arm"),
    (SFT + "}", {"control": "stf"}, r"study.yaml:\d+: control: 'stf' is not an arm; did you mean 'sft'\? arms: sft"),
    (SFT + "}", {"seeds": "[1, 2, 1]"}, r"study.yaml:\d+: seeds: 1 is given twice"),
    (SFT + "}", {"seeds": "3"}, r"study.yaml:\d+: seeds: takes a list \(got 3\); write seeds: \[3\]"),
    (SFT + "}", {"more": "equals: steps"}, r"study.yaml:\d+: equals: unknown key; did you mean 'equal'\?"),
    (SFT + "}", {"more": "equal: tokens"}, r"study.yaml:\d+: equal: .*'reference_tokens'.*got 'tokens'"),
    (SFT + ", a: {start: {arm: b, iteration: 1}}}", {}, r"arms.a.start.arm: 'b' is not an arm"),
    (SFT + ", a: {start: {arm: sft, iteration: 9}}}", {}, r"arms.a.start.iteration: 9, but sft has 2 iterations"),
    (SFT + ", a: {start: {arm: sft, iteration: 1}, model: {path: x}}}", {}, r"arms.a.model.path: conflicts with start"),
    (
        SFT + ", a: {start: {arm: b, iteration: 1}}, b: {start: {arm: a, iteration: 1}}}",
        {},
        r"arms.a: a, b wait for each other",
    ),
    ("{figures: {method: sft}}", {"control": "figures"}, r"arms.figures: .*are the study's own"),
    ("{}", {}, r"study.yaml:\d+: arms: "),
    ("[sft]", {}, r"study.yaml:\d+: arms: takes names and values"),
]


@pytest.mark.parametrize(("arms", "more", "said"), FAULTS, ids=[fault[2][:40] for fault in FAULTS])
def test_a_wrong_file_is_refused_by_file_and_key(arms: str, more: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said):
        load_study(study_file(tmp_path, arms, **more))


def test_the_command_refuses_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    path, out = study_file(tmp_path, "{sft: {method: sft, train.epochs: 1}}"), tmp_path / "out"
    gone = tmp_path / "gone.yaml"
    write_text(gone, path.read_text().replace("smoke.yaml", "smok.yaml"))
    calls = [
        ([path, "train={epochs: 2}"], "override train: is for all arms"),
        ([path, "seed=2"], "override seed: "),
        ([path, "--only", "dpo"], "--only dpo: not an arm of"),
        ([gone], "base: "),
        ([SMOKE], "is a recipe, not a study"),
        ([tmp_path / "none.yaml"], "none.yaml: cannot be read"),
        ([path, "--background-core", "4095"], "--background-core 4095: "),
        ([path, "--measure"], "--measure goes with --plan"),
    ]
    shared = itertl("run", SMOKE, "--share-from", tmp_path / "gone", "--out", out)
    assert shared.returncode == 2 and f"--share-from {tmp_path / 'gone'}: no such folder" in shared.stderr
    for arguments, said in calls:
        done = itertl("study", *arguments, "--out", out)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    other = itertl("run", path, "--out", out)
    assert (
        other.returncode == 2
        and f"is a study (it has arms), not a recipe; start it with `itertl study {path}`" in other.stderr
    )
    assert not out.exists()


def test_a_folder_of_other_things_or_in_use_is_left_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "mine/notes.txt", "x")
    with pytest.raises(RunError, match="is not the folder of a study"), locked(tmp_path / "mine"):
        pass
    with locked(tmp_path / "out"), pytest.raises(RunError, match="is in use by process"), locked(tmp_path / "out"):
        pass


def test_keep_last_leaves_the_result_and_what_an_arm_starts_from(tmp_path: Path) -> None:
    study = load_study(
        study_file(
            tmp_path, "{sft: {method: sft, iterations: 4}, late: {method: itertl, start: {arm: sft, iteration: 2}}}"
        )
    )
    folder = builder.build_run(tmp_path / "sft/seed-0", iterations=4)
    for number in range(4):
        write_text(folder / f"iter-{number:02d}/checkpoint/config.json", "{}")
    drop_checkpoints(study, StudyRun(study.arm("sft"), 0), tmp_path)
    assert sorted(path.parent.name for path in folder.glob("iter-*/checkpoint")) == ["iter-01", "iter-03"]


# ---- equal stages --------------------------------------------------------------------------------------------------


def do(root: Path, name: str, calls: list[str], *, settings: Mapping[str, Any], seed: int = 1) -> Any:
    with RunFolder(root / name, build_recipe({}), QUIET, share=SharedStages(root, root / name)) as run:
        folder = run.iteration(0)

        def work() -> dict[str, Any]:
            calls.append(name)
            write_text(folder.path / "checkpoint" / "weights", f"{settings}")
            write_text(folder.path / "log.txt", "said")
            return {"loss": 0.5}

        return run.stage(
            folder,
            "train",
            settings=settings,
            inputs={"policy": "a"},
            outputs=["checkpoint", "log.txt"],
            seed=seed,
            work=work,
        )


def test_a_stage_that_another_run_made_from_the_same_is_linked(tmp_path: Path) -> None:
    calls: list[str] = []
    first = do(tmp_path, "a/seed-1", calls, settings={"lr": 1})
    again = do(tmp_path, "b/seed-1", calls, settings={"lr": 1})
    assert calls == ["a/seed-1"] and again == first.model_copy(update={"linked_from": "a/seed-1/iter-00"})
    assert (tmp_path / "b/seed-1/iter-00/checkpoint/weights").samefile(tmp_path / "a/seed-1/iter-00/checkpoint/weights")
    assert (
        do(tmp_path, "c/seed-1", calls, settings={"lr": 1}).linked_from == "a/seed-1/iter-00"
    )  # where it was made, whoever linked it
    do(tmp_path, "d/seed-1", calls, settings={"lr": 2})
    do(tmp_path, "e/seed-1", calls, settings={"lr": 1}, seed=2)
    assert calls == ["a/seed-1", "d/seed-1", "e/seed-1"]  # other settings, another seed


def test_what_was_altered_is_not_linked(tmp_path: Path) -> None:
    calls: list[str] = []
    do(tmp_path, "a/seed-1", calls, settings={"lr": 1})
    write_text(tmp_path / "a/seed-1/iter-00/log.txt", "another")
    assert do(tmp_path, "b/seed-1", calls, settings={"lr": 1}).linked_from is None and calls == ["a/seed-1", "b/seed-1"]


def test_of_two_runs_at_once_one_makes_the_stage_and_the_other_waits(tmp_path: Path) -> None:
    waiting, made = threading.Event(), StageRecord(settings={}, inputs={}, outputs={"x": "1"}, versions={}, seed=0)
    order: list[str] = []

    def second() -> None:
        with SharedStages(tmp_path, tmp_path / "b").claim("train", made, waiting.set):
            order.append("second")

    other = threading.Thread(target=second)
    with SharedStages(tmp_path, tmp_path / "a").claim("train", made.model_copy(update={"outputs": {}}), lambda: None):
        other.start()
        assert waiting.wait(60)
        with SharedStages(tmp_path, tmp_path / "c").claim(
            "train", made.model_copy(update={"seed": 1}), lambda: pytest.fail("another stage waits")
        ):
            order.append("first")
    other.join(60)
    assert order == ["first", "second"]


# ---- arms made equal -----------------------------------------------------------------------------------------------


@given(st.floats(1, 100), st.floats(0.5, 20), st.integers(1, 9), st.integers(1, 9))
def test_the_nearest_passes_are_the_best_of_all_that_change_one_number(
    target: float, each: float, iterations: int, epochs: int
) -> None:
    found = nearest(target, each, Passes(iterations, epochs))
    every = [Passes(iterations, e) for e in range(1, 240)] + [Passes(i, epochs) for i in range(1, 240)]
    assert found in every
    assert abs(found.total * each - target) <= min(abs(p.total * each - target) for p in every) + 1e-6


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 200), st.integers(1, 12))
def test_a_growing_arm_stops_where_one_more_would_lead_away(brought: list[int], target: int, most: int) -> None:
    """Run it: after each iteration it is asked again. An undisturbed and a resumed study ask the same questions."""
    totals = [0, *itertools.accumulate(brought)]
    done = 0
    while done < len(brought) and grown(totals[: done + 1], target, most) > done:
        done += 1
    if done and done < len(brought):  # it stopped by itself
        last = totals[done] - totals[done - 1]
        assert last == 0 or done >= most or abs(totals[done] - target) <= abs(totals[done] + last - target)


def test_arms_get_the_control_s_reference_tokens(tmp_path: Path) -> None:
    """8 pairs, 2 x 2 passes of sft. Half the epochs take twice the iterations or the epochs; 4 of the 8 pairs
    twice the epochs."""
    arms = "{sft: {method: sft}, a: {train.epochs: 1}, b: {train.epochs: 3, iterations: 1}, half: {method: sft, data: {limit: 4}}, c: {method: sft, start: {arm: sft, iteration: 1}}}"
    study = load_study(study_file(tmp_path, arms, "equal: reference_tokens"))
    fitter = Fitter(study, tmp_path)
    fitter.check()
    assert [fitter.passes(study.arm(name), 0) for name in ("sft", "a", "b")] == [(2, 2), (2, 2), (1, 4)]
    assert fitter.passes(study.arm("c"), 0) == (2, 1)  # its start has seen two of the four passes
    whole, half = (fitter.count(study.arm(name), 0).reference_tokens for name in ("sft", "half"))
    got = fitter.passes(study.arm("half"), 0).total * half
    assert half < whole and abs(got - 4 * whole) <= half
    planned = plan_study(study, tmp_path / "out", ["sft", "a"]).to_json()
    assert [(one["iterations"], one["epochs"]) for one in planned["arms"]] == [(2, 2), (2, 2)]
    told = " ".join(plan_study(study, tmp_path / "out", ["sft", "b"]).grid().notes)
    assert (
        "b runs with iterations=1 and train.epochs=4" not in told
        and "b runs with train.epochs=4, to be equal to sft in reference tokens" in told
    )
    assert planned["estimated_disk_gb"] > 0 and planned["arms"][1]["spared_seconds"] > 0


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        (
            "{sft: {method: sft}, a: {method: itertl}}",
            "arms.a: cannot be equal to sft in candidate tokens, for sft .sft. uses none",
        ),
        (
            "{sft: {method: itertl}, a: {method: rtlcoder}, b: {equal: steps, equal_to: a}}",
            "arms.b: equal_to: how long a runs is known only",
        ),
        (
            "{sft: {method: sft, iterations: 1, train.epochs: 1}, a: {method: sft, equal: steps, train.epochs: 1}, b: "
            "{equal: none, start: {arm: a, iteration: 2}}}",
            "arms.b: start.iteration: 2, but a, made equal, has 1",
        ),
        (
            "{sft: {method: sft}, a: {method: raft, equal: reference_tokens, data.limit: 4}}",
            "method raft does not train on references as such",
        ),
        (
            "{sft: {method: sft}, a: {method: rtlcoder, equal: reference_tokens, train.max_length: 16}}",
            "none of its pairs fits into train.max_length 16",
        ),
    ],
)
def test_what_cannot_be_made_equal_is_told_before_anything_runs(arms: str, said: str, tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, arms, "equal: candidate_tokens"))
    with pytest.raises(RecipeError, match=said):
        Fitter(study, tmp_path).check()


@pytest.mark.parametrize(
    "name", ["recipes/studies/paper.yaml", "recipes/studies/paper-small.yaml", "experiments/qwen-1.5b-study.yaml"]
)
def test_the_paper_s_studies_are_valid(name: str) -> None:
    path = SMOKE.parent.parent / name
    study = load_study(path)
    assert {"sft", "rtlcoder", "itertl", "itertl-softmax"} <= {
        arm.name for arm in study.arms
    } and study.control == "sft"


def test_the_small_study_s_ladder_is_the_recipe_s() -> None:
    study = load_study(SMOKE.parent / "studies" / "paper-small.yaml")
    assert (
        study.recipe(study.arm("itertl-function"), 0).score == load_recipe(SMOKE.parent / "itertl-function.yaml").score
    )


# ---- statistics ----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), max_size=5))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """Oracle: a hypothesis is rejected where every set of hypotheses that holds it is, by Bonferroni (Marcus et al.

    1976).
    """
    sets = [some for size in range(1, len(p_values) + 1) for some in itertools.combinations(range(len(p_values)), size)]
    for place, found in enumerate(holm(p_values)):
        wanted = max(min(1.0, len(some) * min(p_values[i] for i in some)) for some in sets if place in some)
        assert found == pytest.approx(wanted)


def test_holm_by_hand() -> None:
    """0.01·3, 0.02·2 = 0.04, 0.03·1 lifted to 0.04."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


def enumerated(values: Sequence[Mapping[str, float]], share: float) -> float:
    """The quantile over all draws of seeds and of problems, each as likely: means of what is known among them."""
    problems = sorted({task for of_seed in values for task in of_seed})
    means = []
    for seeds in itertools.product(values, repeat=len(values)):
        for drawn in itertools.product(problems, repeat=len(problems)):
            known = [of_seed[task] for of_seed in seeds for task in drawn if task in of_seed]
            means += [sum(known) / len(known)] if known else []
    return sorted(means)[round(share * (len(means) - 1))]


@pytest.mark.parametrize(
    "values",
    [
        [{"a": 0.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 0.5}],
        [{"a": 0.2, "b": 0.9}, {"a": 0.4}, {"b": 0.7, "a": 0.1}],
        [{"a": 0.0, "b": 1.0, "c": 0.5}],
    ],
)
def test_the_interval_is_that_of_all_draws(values: list[dict[str, float]]) -> None:
    found = two_level.interval(values, seed=3, resamples=40_000, level=0.9)
    assert found == pytest.approx((enumerated(values, 0.05), enumerated(values, 0.95)), abs=0.02)


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=3))
def test_an_interval_holds_its_mean_and_lies_within_the_values(values: list[list[float]]) -> None:
    named = [dict(zip("abcd", of_seed, strict=True)) for of_seed in values]
    found = two_level.interval(named, seed=0, resamples=100)
    every, average = [v for of_seed in values for v in of_seed], two_level.mean(named)
    assert found is not None and average is not None
    assert min(every) - 1e-9 <= found[0] <= found[1] <= max(every) + 1e-9


def test_one_seed_is_the_interval_over_problems_and_no_certainty_comes_of_agreement() -> None:
    values = {str(n): n / 40 for n in range(30)}
    assert two_level.interval([values], seed=0, resamples=20_000) == pytest.approx(
        bootstrap_interval(list(values.values()), seed=1, resamples=20_000), abs=0.01
    )
    nothing = dict.fromkeys("abcdefghij", 0.0)
    assert two_level.estimate([nothing, nothing], 1, seed=0) == PassAtK(
        k=1, value=0.0, low=0.0, high=clopper_pearson(0, 10)[1]
    )
    assert two_level.estimate([], 1, seed=0).value is None


# ---- the table -----------------------------------------------------------------------------------------------------


def build(
    out: Path,
    arm: str,
    seed: int,
    passed: str,
    method: str = "itertl",
    benchmark: str = "synth-heldout",
    more: Mapping[str, Any] | None = None,
) -> None:
    """A finished run of one iteration: ``passed`` tells for each problem 1, 0, or ? for one that could not be
    judged."""
    folder = out / arm / f"seed-{seed}"
    recipe = {"method": method, "seed": seed, "evals": [{"benchmark": benchmark}], **(more or {})}
    builder.build_run(folder, iterations=1, name=f"{arm}-seed-{seed}", benchmark=benchmark, recipe=recipe)
    names = {"1": Verdict.PASSED, "0": Verdict.WRONG_OUTPUT, "?": Verdict.UNJUDGEABLE}
    rows = [builder.metrics(0, [builder.summary({Verdict.SYNTAX_ERROR: len(passed)}, benchmark)])]
    verdicts = [names[letter] for letter in passed]
    rows.append(
        builder.metrics(
            1,
            [builder.summary({v: verdicts.count(v) for v in dict.fromkeys(verdicts)}, benchmark)],
            method=method,
            reference_tokens_seen=1000 + seed,
        )
    )
    for part, found in (("base", [Verdict.SYNTAX_ERROR] * len(passed)), ("iter-00", verdicts)):
        bench = builder.problems(len(passed))
        write_records(folder / part / f"eval-{benchmark}.jsonl", builder.evaluated(bench, found, [""] * len(passed))[1])
    write_records(folder / "metrics.jsonl", rows)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """sft passes problems 0 and 1 of 8; itertl 0 to 5 with one seed and 0 to 3 with the other."""
    for seed, passed in ((0, "11111100"), (1, "11110000")):
        build(tmp_path, "sft", seed, "11000000", "sft")
        build(tmp_path, "itertl", seed, passed)
    return tmp_path


def test_the_table_by_hand(built: Path) -> None:
    """itertl: 10 of 16, sft 4 of 16: +37.5 points. Problem by problem the mean over seeds differs by 1, 1, 1/2, 1/2 and
    0 four times; of the 16 sign patterns of these four only the two extreme ones reach a sum of 3, so p = 1/8."""
    study = load_study(study_file(built, "{sft: {method: sft}, itertl: {}, softmax: {method: itertl-softmax}}"))
    results = gather(study, built)
    assert [row.arm for row in results.table] == ["sft", "itertl"] and [row.arm for row in results.untouched] == [
        "untouched"
    ]
    control, arm = (row.to_json() for row in results.table)
    assert (control["pass_at_1"], arm["pass_at_1"], arm["seeds"], arm["problems"]) == (4 / 16, 10 / 16, 2, 8)
    assert (arm["difference"], arm["p"], control["difference"], control["p"]) == (6 / 16, 1 / 8, None, None)
    assert 0 <= arm["low"] < 10 / 16 < arm["high"] <= 1 and arm["difference_low"] < 6 / 16 < arm["difference_high"]
    assert (arm["reference_tokens"], arm["compile_rate"], arm["benchmark"], results.untouched[0].pass_at[1].value) == (
        1000,
        1.0,
        "synth-heldout",
        0.0,
    )
    assert results.notes == ("softmax, seed 0: not begun", "softmax, seed 1: not begun")


def test_what_one_seed_could_not_judge_is_left_out_of_the_pairs(built: Path) -> None:
    build(built, "itertl", 1, "?1110000")
    study = load_study(study_file(built, "{sft: {method: sft}, itertl: {}}"))
    row = gather(study, built).table[1].to_json()
    assert row["pass_at_1"] == pytest.approx(9 / 15) and row["difference"] == pytest.approx(6 / 15)


def test_an_unfinished_run_is_told_and_enters_no_rate(built: Path) -> None:
    builder.build_run(built / "itertl/seed-1", iterations=3, done=1)
    results = gather(load_study(study_file(built, "{sft: {method: sft}, itertl: {}}")), built)
    assert results.notes == ("itertl, seed 1: 1 of 3 iterations so far, and left out of the table",)
    assert results.table[1].seeds == (0,) and results.table[1].to_json()["difference"] == 4 / 8


def test_what_is_not_as_the_study_asks_is_told(built: Path) -> None:
    """A run that failed now has old figures; one that was not asked for now was made with other settings."""
    for seed, epochs in ((0, 1), (1, 3)):
        build(built, "other", seed, "11100000", more={"train": {"epochs": epochs}})
    plain = study_file(built, "{sft: {method: sft}, itertl: {}, other: {train.epochs: 1}}")
    write_text(plain, plain.read_text().replace(str(SMOKE), str(built / "itertl/seed-0/recipe.yaml")))
    driver = Scheduler(load_study(plain), built, QUIET, lambda: None)
    driver.outcome.failed["itertl/seed-1"] = "no space left"
    driver.outcome.done |= {"sft/seed-0", "sft/seed-1"}
    told = list(driver.notes(gather(driver.study, built).runs))
    assert [line.partition(":")[0] for line in told] == ["itertl, seed 1", "other, seed 1"]
    assert "failed (no space left)" in told[0] and "another recipe" in told[1]


def test_page_markdown_and_csv_say_the_same(built: Path) -> None:
    for seed in (0, 1):
        build(built, "itertl-softmax", seed, "11100000", "itertl-softmax")
    results = gather(load_study(study_file(built, "{sft: {method: sft}, itertl: {}, itertl-softmax: {}}")), built)
    page = report.write(results, built).read_text()
    assert plots.softmax_pairs(results) == ["itertl", "itertl-softmax"]
    drawn = {path.stem for path in (built / "figures").glob("*.svg")}
    assert {"pass-rate", "loss", "softmax", "gap"} <= drawn and all(f'id="figure-{name}"' in page for name in drawn)
    rows = list(csv.DictReader((built / "table.csv").open()))
    assert [row["arm"] for row in rows] == ["untouched", "sft", "itertl", "itertl-softmax"] and float(
        rows[2]["pass_at_1"]
    ) == 10 / 16
    told = [line for line in (built / "table.md").read_text().splitlines() if line.startswith("| itertl |")]
    assert len(told) == 1 and "62.5% (" in told[0] and "+37.5 (" in told[0] and "62.5% (" in page and "+37.5 (" in page


def test_the_published_rows_stand_beside_verilogeval(tmp_path: Path) -> None:
    build(tmp_path, "sft", 0, "110000", benchmark="verilogeval-v1-human")
    grid = report.arm_grids(gather(load_study(study_file(tmp_path, "{sft: {}}", seeds="[0]")), tmp_path))[0]
    paper = next(row for row in grid.rows if row[0].startswith("ITERTL-DeepSeek"))
    assert (
        paper[grid.columns.index("pass@1")] == "42.9%"
        and grid.muted
        and "judged here: 6 problems" in " ".join(grid.notes)
    )


# ---- the whole -----------------------------------------------------------------------------------------------------


def run_study(path: Path, out: Path, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "itertl", "study", str(path), "--out", str(out), "--json", *options]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **variables}
    )


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_killed_study_ends_in_the_same_tables_and_shares_its_stages(tmp_path: Path) -> None:
    path = study_file(tmp_path, "{sft: {method: sft}, itertl: {train.epochs: 1}}", "equal: reference_tokens")
    plain = run_study(path, tmp_path / "plain")
    assert plain.returncode == 0, plain.stderr
    table = json.loads(plain.stdout)["table"]
    assert [(row["arm"], row["seeds"]) for row in table] == [("sft", 2), ("itertl", 2)]
    assert table[0]["reference_tokens"] == table[1]["reference_tokens"] > 0 and table[1]["candidate_tokens"] > 0
    for point in (
        "study.run-begun:1",
        "sample.before-manifest",
        "linked.output:1",
        "train.step:2",
        "study.run-ended:1",
        "train.after-manifest",
    ):
        run_study(path, tmp_path / "killed", ITERTL_KILL_AT=point)
    assert run_study(path, tmp_path / "killed").returncode == 0
    for name in ("table.csv", "table.md", "itertl/seed-1/metrics.jsonl", "itertl/seed-1/iter-01/manifest.json"):
        assert hash_file(tmp_path / "plain" / name) == hash_file(tmp_path / "killed" / name), name
    found = json.loads((tmp_path / "plain/itertl/seed-0/base/manifest.json").read_text())["stages"]
    assert {name: stage["linked_from"] for name, stage in found.items()} == dict.fromkeys(
        ("problems", "eval-synth-heldout"), "sft/seed-0/base"
    )
    again = itertl(
        "report", tmp_path / "plain/sft/seed-0", tmp_path / "plain/itertl/seed-0", "--out", tmp_path / "side"
    )
    assert again.returncode == 0  # each is a run like any other


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_failed_run_is_told_and_stops_only_what_needs_it(tmp_path: Path) -> None:
    arms = "{sft: {method: sft}, bad: {method: sft, data.source: gone.jsonl}, after: {method: sft, start: {arm: bad, iteration: 1}}, one: {method: itertl, iterations: 1}, grows: {method: rtlcoder, train.epochs: 1, equal: candidate_tokens, equal_to: one}}"
    done = run_study(
        study_file(tmp_path, arms, seeds="[4]"),
        tmp_path / "out",
        "--background-core",
        str(min(os.sched_getaffinity(0))),
    )
    told = json.loads(done.stdout)
    assert (
        done.returncode == 1 and list(told["failed"]) == ["bad/seed-4"] and list(told["left_out"]) == ["after/seed-4"]
    )
    assert re.search(r"gone.jsonl.*exit status 2; log in ", told["failed"]["bad/seed-4"])
    rows = {row["arm"]: row for row in told["table"]}
    assert set(rows) == {"sft", "one", "grows"} and rows["grows"]["iterations"][0] > 1
    each = rows["grows"]["candidate_tokens"] / rows["grows"]["iterations"][0]
    assert abs(rows["grows"]["candidate_tokens"] - rows["one"]["candidate_tokens"]) <= each / 2
