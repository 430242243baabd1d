"""How time and memory of each stage grow: with prompts, candidates for each (K - 1), length, vocabulary and processes.

Every point is a process of its own, one stage of the library on generated problems, with a model of 0.1M parameters
and one thread unless ``--model`` names another. Candidates for scoring, training and judging are mutants of the
references. Time is processor time of the stage, its workers included, so that other work on the machine changes it
little; for processes it is wall time, and wants an idle machine. Memory is the peak of the stage's process above what
it held when the stage began (weights and libraries).

The exponent p is fitted to time = a + b * size^p with a >= 0: what a stage costs however small it is stays out of it.
Memory is told as its ratio from the smallest to the largest size.

    python benchmarks/growth.py                         # all, about a quarter of an hour
    python benchmarks/growth.py --axis prompts --stage train --sizes 32 64 128 --model smollm2-135m
    python benchmarks/growth.py --figure growth.svg
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {
    "prompts": (64, 128, 256, 512),
    "candidates": (1, 3, 7, 15),
    "length": (64, 128, 256, 512),
    "vocabulary": (1024, 8192, 32768, 131072),
    "processes": (1, 2),
}
STAGES = {
    "prompts": ("sample", "score", "train", "judge"),
    "candidates": ("sample", "score", "train", "judge"),
    "length": ("sample", "train"),
    "vocabulary": ("sample", "train"),
    "processes": ("score", "judge"),
}
GOALS = {"prompts": 1.05, "candidates": 1.05}  # exponents of time


@dataclass(frozen=True, slots=True)
class Point:
    """One stage at one size."""

    stage: str
    model: str = "random:tiny"
    prompts: int = 32
    candidates: int = 3
    length: int = 64  # new tokens; in training: characters of each candidate, where it is the axis
    vocabulary: int = 0  # 0: the model's own
    processes: int = 1
    is_padded: bool = False  # candidates have the same length


# --- one point, in a process of its own


def memory_bytes(name: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process; a child's ru_maxrss would begin at its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def processor_s() -> float:
    """Of this process and of its children that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Processor and wall seconds of ``work``, and by how many bytes its peak is above what was held before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, held, start = processor_s(), memory_bytes("VmRSS"), time.perf_counter()
    work()
    wall = time.perf_counter() - start
    return {"cpu_s": processor_s() - before, "wall_s": wall, "peak_bytes": memory_bytes("VmHWM") - held}


def run_point(point: Point, folder: Path) -> dict[str, float]:
    """Set one stage up, then measure it."""
    return {"sample": sampling, "score": scoring, "train": training, "judge": judging}[point.stage](point, folder)


def problems_of(point: Point) -> list[Any]:
    from itertl.synth import generate

    return generate(0, point.prompts, (), "train")


def texts_of(point: Point, problem: Any) -> list[str]:
    """Mutants of the reference, different ones; cut or filled up with a comment where all are to be of one length."""
    from itertl.synth.mutants import mutants

    draw = random.Random(problem.id)
    reference = problem.reference or ""
    found = [m.text for _, m in zip(range(point.candidates), mutants(reference, draw), strict=False)]
    found += [f"{reference}// {number}\n" for number in range(point.candidates - len(found))]
    if point.is_padded:
        found = [f"// {number}\n{text}//{'x' * point.length}"[: point.length] for number, text in enumerate(found)]
    return found


def candidates_of(point: Point, problems: Sequence[Any]) -> list[Any]:
    from itertl.records import Candidate, SamplingSettings

    return [
        Candidate(
            problem_id=p.id, index=index, policy="mutants", settings=SamplingSettings(), seed=index, text=text,
            code=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1,
        )
        for p in problems
        for index, text in enumerate(texts_of(point, p))
    ]  # fmt: skip


def model_of(point: Point, folder: Path) -> Any:
    """The policy; with another vocabulary: its embeddings made larger, drawn at random."""
    from itertl.config import ModelConfig, PromptConfig
    from itertl.model.policy import find_policy

    policy = find_policy(ModelConfig(path=point.model), PromptConfig())
    if not point.vocabulary:
        return policy
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(policy.path)
    model.resize_token_embeddings(point.vocabulary, mean_resizing=False)
    model.save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(policy.path).save_pretrained(folder / "model")
    return find_policy(ModelConfig(path=str(folder / "model")), PromptConfig())


def sampling(point: Point, folder: Path) -> dict[str, float]:
    """No answer ends before its length."""
    from itertl.config import SampleConfig
    from itertl.records import SamplingSettings
    from itertl.sampling import draw

    problems, policy = problems_of(point), model_of(point, folder)
    config = SampleConfig(num_candidates=point.candidates, max_new_tokens=point.length, dtype="float32")
    warm = SamplingSettings(temperature=0.5, max_new_tokens=2)
    draw.draw_candidates(draw.SamplingJob(problems[:2], policy, config, 0, settings=warm), folder / "warm.jsonl")
    job = draw.SamplingJob(problems, policy, config, 0)
    return measured(lambda: draw.draw_candidates(job, folder / "candidates.jsonl"))


def scoring(point: Point, folder: Path) -> dict[str, float]:
    from itertl.config import ScoreConfig
    from itertl.scoring.candidates import score_candidates

    problems = problems_of(point)
    config = ScoreConfig(scorers=("rtlcoder", "vectors"), num_workers=point.processes)
    made, by_id = candidates_of(point, problems), {p.id: p for p in problems}
    score_candidates(made[:1], by_id, config=config, out=folder / "warm.jsonl")
    return measured(lambda: score_candidates(made, by_id, config=config, out=folder / "scored.jsonl"))


def training(point: Point, folder: Path) -> dict[str, float]:
    """An epoch of the paper's loss; z falls from candidate to candidate, so that all pairs are compared."""
    from itertl.config import Recipe, ScoreConfig, TrainConfig
    from itertl.loop import jobs
    from itertl.progress import Reporter
    from itertl.records import Score, Scored, Verdict
    from itertl.training import launch

    problems, policy = problems_of(point), model_of(point, folder)
    scored = [
        Scored(candidate=c, scores=(Score(scorer="rtlcoder", value=0.9 * 0.7**c.index, verdict=Verdict.SCORED),))
        for c in candidates_of(point, problems)
    ]
    config = TrainConfig(epochs=1, groups_per_step=4, max_length=4096, precision="float32", save_every_seconds=1e9)
    recipe = Recipe(train=config, score=ScoreConfig(scorers=("rtlcoder",)))
    reporter = Reporter(quiet=True)
    launch.train(
        jobs.training(recipe, scored[: point.candidates], problems[:1], policy, folder / "warm", 0), recipe.compute,
        reporter,
    )  # fmt: skip
    job = jobs.training(recipe, scored, problems, policy, folder / "checkpoint", 0)
    return measured(lambda: launch.train(job, recipe.compute, reporter))


def judging(point: Point, folder: Path) -> dict[str, float]:
    from itertl.evaluation.benchmarks import Benchmark, task_id
    from itertl.evaluation.completions import Completion
    from itertl.evaluation.judge import judge

    del folder
    problems = [p if p.upstream_id else p.model_copy(update={"upstream_id": p.id}) for p in problems_of(point)]
    benchmark = Benchmark(name="growth", version="1", problems=tuple(problems))
    completions = [
        Completion(task_id(p), index, text, True) for p in problems for index, text in enumerate(texts_of(point, p))
    ]
    judge(benchmark, completions[:1], num_workers=point.processes)
    return measured(lambda: judge(benchmark, completions, num_workers=point.processes))


# --- all points


def points_of(axis: str, stage: str, sizes: Sequence[int], model: str) -> list[Point]:
    more = {"is_padded": True} if (axis, stage) == ("length", "train") else {}
    more |= {"prompts": 96} if axis == "processes" else {}
    return [Point(stage, model, **{axis: size, **more}) for size in sizes]  # type: ignore[arg-type]


def child(point: Point) -> dict[str, float]:
    """Measured in a fresh process with one thread. Raises RuntimeError with what it printed where it failed."""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", json.dumps(asdict(point))]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{point}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """p of time = a + b * size^p, with a and b at least 0, by least squares of relative errors over a grid of p."""
    size, time_ = np.asarray(sizes, float) / sizes[0], np.asarray(times, float)
    best = (np.inf, 0.0)
    for p in np.arange(0.0, 3.001, 0.01):
        grown = size**p
        columns = np.stack([1 / time_, grown / time_], axis=1)
        (a, b), *_ = np.linalg.lstsq(columns, np.ones(len(size)), rcond=None)
        if a < 0 or b < 0:
            a, b = 0.0, float((grown / time_).sum() / ((grown / time_) ** 2).sum())
        best = min(best, (float((((a + b * grown) / time_ - 1) ** 2).sum()), float(p)))
    return best[1]


def summary(axis: str, stage: str, sizes: Sequence[int], found: Sequence[dict[str, float]]) -> dict[str, Any]:
    times = [one["wall_s" if axis == "processes" else "cpu_s"] for one in found]
    peaks = [one["peak_bytes"] / 1e6 for one in found]
    result: dict[str, Any] = {"axis": axis, "stage": stage, "sizes": list(sizes), "seconds": times, "peak_mb": peaks}
    if axis == "processes":
        return result | {"times_as_fast": times[0] / times[-1]}
    result |= {"exponent": exponent(sizes, times), "memory_ratio": peaks[-1] / max(peaks[0], 1.0)}
    return result | ({"goal": GOALS[axis], "reached": result["exponent"] <= GOALS[axis]} if axis in GOALS else {})


def draw_figure(rows: Sequence[dict[str, Any]], out: Path) -> None:
    from matplotlib.figure import Figure

    axes = [axis for axis in SIZES if axis != "processes" and any(row["axis"] == axis for row in rows)]
    figure = Figure(figsize=(4 * len(axes), 6), layout="constrained")
    panels = figure.subplots(2, len(axes), squeeze=False)
    for column, axis in enumerate(axes):
        for row in (row for row in rows if row["axis"] == axis):
            for place, (key, label) in enumerate((("seconds", "processor time, s"), ("peak_mb", "peak memory, MB"))):
                panel = panels[place][column]
                panel.loglog(row["sizes"], row[key], marker="o", label=f"{row['stage']} ({row['exponent']:.2f})")
                panel.set_xlabel(axis)
                panel.set_ylabel(label)
        panels[0][column].legend(title="stage (exponent)")
    figure.savefig(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--axis", choices=SIZES, nargs="*", default=list(SIZES))
    parser.add_argument("--stage", choices=STAGES["prompts"], nargs="*", default=list(STAGES["prompts"]))
    parser.add_argument("--sizes", type=int, nargs="+", help="in place of the axis' own; with one axis")
    parser.add_argument("--model", default="random:tiny", help="alias, folder or GGUF file")
    parser.add_argument("--figure", type=Path, help="draw time and memory into this SVG or PNG")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(run_point(Point(**json.loads(arguments.child)), Path(folder))))
        return
    if arguments.sizes and (len(arguments.axis) != 1 or len(arguments.sizes) < 2):
        parser.error("--sizes takes two sizes or more, and one --axis")
    rows: list[dict[str, Any]] = []
    for axis in arguments.axis:
        for stage in (stage for stage in STAGES[axis] if stage in arguments.stage):
            sizes = arguments.sizes or SIZES[axis]
            found = [child(point) for point in points_of(axis, stage, sizes, arguments.model)]
            rows.append(summary(axis, stage, sizes, found))
            if not arguments.json:
                print(line_of(rows[-1]), flush=True)
    if arguments.figure:
        draw_figure(rows, arguments.figure)
    largest = max((row["exponent"] for row in rows if row["axis"] == "prompts"), default=None)
    result = {"benchmark": "growth", "model": arguments.model, "rows": rows, "ratio": largest, "cpus": os.cpu_count(),
              "load": os.getloadavg()[0]}  # fmt: skip
    print(json.dumps(result) if arguments.json else f"largest exponent over prompts: {largest}")


def line_of(row: dict[str, Any]) -> str:
    seconds = ", ".join(f"{size}: {value:.2f} s" for size, value in zip(row["sizes"], row["seconds"], strict=True))
    if row["axis"] == "processes":
        return f"{row['axis']:<10} {row['stage']:<7} {seconds}; {row['times_as_fast']:.2f} times as fast"
    grown = f"exponent {row['exponent']:.2f}, memory {row['memory_ratio']:.2f} times"
    return f"{row['axis']:<10} {row['stage']:<7} {seconds}; {grown}"


if __name__ == "__main__":
    main()
