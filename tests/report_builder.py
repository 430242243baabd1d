"""Synthetic run folders for the report's tests, made of the real records and nothing else."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from itertl.config import build_recipe, dump_recipe
from itertl.records import (
    Candidate,
    EvalRow,
    EvalSummary,
    IterationMetrics,
    PassAtK,
    Problem,
    SamplingSettings,
    Telemetry,
    TrainStep,
    Verdict,
    content_hash,
)
from itertl.runs.manifest import Manifest, StageRecord
from itertl.runs.storage import write_records, write_text

SIMULATOR = "Icarus Verilog 11.0"
TASKS = 24


def telemetry(**fields: Any) -> Telemetry:
    """Plausible telemetry; any field can be given."""
    base: dict[str, Any] = {
        "problems": 64, "candidates": 192, "unscored": 0, "mean_z": 0.61, "share_parses": 0.4,
        "share_duplicates": 0.05, "share_truncated": 0.1, "share_active_pairs": 0.45, "share_hinged_pairs": 0.3,
        "mean_logp_old": -0.5, "mean_logp_new": -0.6, "kl_old_new": 4.2, "dropped_too_long": 0,
        "references_too_long": 0,
    }  # fmt: skip
    return Telemetry(**{**base, **fields})


def summary(verdicts: dict[Verdict, int], benchmark: str = "synth-heldout", **fields: Any) -> EvalSummary:
    """The summary that belongs to a count of verdicts, one sample a problem."""
    total = sum(verdicts.values())
    correct, truncated = verdicts.get(Verdict.PASSED, 0), verdicts.get(Verdict.TRUNCATED, 0)
    unjudged = sum(n for v, n in verdicts.items() if v.fault == "ours")
    ran = (Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.RUNTIME_ERROR, Verdict.TIMEOUT)
    rate = correct / (total - unjudged) if total > unjudged else None
    spread = 1.96 * math.sqrt(rate * (1 - rate) / (total - unjudged)) if rate is not None else 0.0
    low, high = (max(0.0, rate - spread), min(1.0, rate + spread)) if rate is not None else (None, None)
    base: dict[str, Any] = {
        "benchmark": benchmark, "problems": total, "total": total, "correct": correct,
        "wrong": total - correct - truncated - unjudged, "truncated": truncated, "unjudged": unjudged,
        "compiled": sum(verdicts.get(v, 0) for v in ran), "by_verdict": {str(v): n for v, n in verdicts.items()},
        "pass_at_k": (PassAtK(k=1, value=rate, low=low, high=high), PassAtK(k=5, value=None)), "temperature": 0.0,
        "rule": "mismatches", "simulator": SIMULATOR, "mean_surrogate": 0.7,
    }  # fmt: skip
    return EvalSummary(**{**base, **fields})


def metrics(iterations: int, evals: Sequence[EvalSummary] = (), **fields: Any) -> IterationMetrics:
    """One line of metrics.jsonl; the untouched model has no loss and no telemetry."""
    trained = iterations > 0
    base: dict[str, Any] = {
        "iterations": iterations, "method": "itertl", "telemetry": telemetry() if trained else None,
        "loss": 0.9 / iterations if trained else None, "loss_ce": 0.7 / iterations if trained else None,
        "loss_ranking": 0.2 / iterations if trained else None, "evals": tuple(evals),
        "train_tokens": 52_000 * iterations, "reference_tokens_seen": 31_000 * iterations,
        "candidate_tokens_seen": 20_500 * iterations,
    }  # fmt: skip
    return IterationMetrics(**{**base, **fields})


def step(number: int, loss: float = 0.5, ce: float = 0.4, ranking: float = 0.1) -> TrainStep:
    """One optimizer step."""
    return TrainStep(
        step=number, epoch=number / 16, loss=loss, loss_ce=ce, loss_ranking=ranking, lam=ce, grad_norm=1.0,
        learning_rate=1e-4, groups=8, tokens=3000, pairs=48, pairs_active=12, pairs_hinged=4,
    )  # fmt: skip


def curve(iteration: int, steps: int = 48) -> list[TrainStep]:
    """A falling, wobbling loss curve whose ranking part is zero at every third step."""
    rows = []
    for n in range(1, steps + 1):
        ce = (0.9 * math.exp(-n / 20) + 0.25) * 0.75 ** (iteration - 1) * (1 + 0.18 * math.sin(1.7 * n + iteration))
        ranking = 0.0 if n % 3 == 0 else 0.12 * math.exp(-n / 15) * 0.7 ** (iteration - 1)
        rows.append(step(n, loss=ce * (1 + ranking), ce=ce, ranking=ranking))
    return rows


def problems(count: int = TASKS) -> list[Problem]:
    """Benchmark problems ``task0`` …, each a multiplexer of its own width."""
    return [
        Problem.create(
            instruction=f"Build a 2-to-1 multiplexer of {n + 1} bits: y is b where s is high, else a.",
            header=f"module mux{n}(input [{n}:0] a, b, input s, output [{n}:0] y);\n",
            reference=f"module mux{n}(input [{n}:0] a, b, input s, output [{n}:0] y);\nassign y = s ? b : a;\nendmodule\n",
            source="synth:mux", upstream_id=f"task{n}",
        )
        for n in range(count)
    ]  # fmt: skip


def evaluated(
    every: Sequence[Problem], verdicts: Sequence[Verdict], codes: Sequence[str], temperature: float = 0.0
) -> tuple[list[Candidate], list[EvalRow]]:
    """Candidates of a benchmark and the rows that judge them, in the same order."""
    candidates, rows = [], []
    settings = SamplingSettings(temperature=temperature, max_new_tokens=256)
    for problem, verdict, code in zip(every, verdicts, codes, strict=True):
        candidates.append(
            Candidate(
                problem_id=problem.id, index=0, policy="abc", settings=settings, seed=1, text=code, code=code,
                finish_reason="length" if verdict is Verdict.TRUNCATED else "stop", prompt_tokens=40,
                completion_tokens=60,
            )
        )  # fmt: skip
        passed = None if verdict.fault == "ours" else verdict is Verdict.PASSED
        rows.append(
            EvalRow(
                task_id=problem.upstream_id or problem.id, index=0, verdict=verdict, passed=passed,
                detail="" if passed else f"{verdict}: line 2", completion_hash=content_hash(code),
                benchmark="synth-heldout", simulator=SIMULATOR, rule="mismatches", temperature=temperature,
            )
        )  # fmt: skip
    return candidates, rows


def verdict_list(passed: int, wrong: int, syntax: int, truncated: int = 0, unjudged: int = 0) -> list[Verdict]:
    """Verdicts in an order that lets a later policy keep what an earlier one passed."""
    numbers = {
        Verdict.PASSED: passed, Verdict.WRONG_OUTPUT: wrong, Verdict.SYNTAX_ERROR: syntax,
        Verdict.TRUNCATED: truncated, Verdict.UNJUDGEABLE: unjudged,
    }  # fmt: skip
    return [verdict for verdict, number in numbers.items() for _ in range(number)]


def codes_for(every: Sequence[Problem], verdicts: Sequence[Verdict], note: str) -> list[str]:
    """A completion that shows its verdict: the reference, a wrong variant, or something broken."""
    texts = []
    for problem, verdict in zip(every, verdicts, strict=True):
        right = problem.reference or ""
        shown = {
            Verdict.PASSED: right,
            Verdict.WRONG_OUTPUT: right.replace("s ? b : a", "s ? a : b"),
            Verdict.TRUNCATED: problem.header + "assign y = (s & ",
        }
        texts.append(shown.get(verdict, problem.header + "assign y = s ? b : ;\nendmodule\n") + f"// {note}\n")
    return texts


def build_run(
    folder: Path,
    *,
    iterations: int = 3,
    done: int | None = None,
    name: str = "demo",
    benchmark: str = "synth-heldout",
    note: str = "model",
    recipe: dict[str, Any] | None = None,
) -> Path:
    """A complete run folder (or one that stopped after ``done`` iterations), checkpoints left out."""
    done = iterations if done is None else done
    tree = {"name": name, "iterations": iterations, "evals": [{"benchmark": benchmark}], **(recipe or {})}
    write_text(folder / "recipe.yaml", dump_recipe(build_recipe(tree)))
    bench = problems()
    write_records(folder / "problems.jsonl", problems(8))
    write_records(folder / f"bench-{benchmark}.jsonl", bench)
    lines = []
    for n in range(done + 1):
        part = folder / ("base" if n == 0 else f"iter-{n - 1:02d}")
        passed = min(2 + 4 * n, 12)
        truncated = max(0, 4 - n)
        verdicts = verdict_list(passed, 6, TASKS - passed - truncated - 7, truncated, 1)
        candidates, rows = evaluated(bench, verdicts, codes_for(bench, verdicts, note))
        write_records(part / f"samples-{benchmark}.jsonl", candidates)
        write_records(part / f"eval-{benchmark}.jsonl", rows)
        share = {v: verdicts.count(v) for v in dict.fromkeys(verdicts)}
        watched = telemetry(
            share_parses=min(1.0, 0.4 + 0.2 * n), mean_z=min(0.99, 0.6 + 0.12 * n), kl_old_new=6.0 / (n + 1),
            share_active_pairs=max(0.02, 0.5 - 0.15 * n), share_hinged_pairs=max(0.0, 0.3 - 0.1 * n),
        ) if n else None  # fmt: skip
        judged = summary(share, benchmark, mean_surrogate=0.55 + 0.1 * n)
        lines.append(metrics(n, [judged], telemetry=watched))
        if n:
            write_records(part / "train.jsonl", curve(n))
        stage = StageRecord(
            settings={"benchmark": benchmark}, inputs={"policy": "a" * 64},
            outputs={f"eval-{benchmark}.jsonl": "b" * 64},
            versions={"itertl": "0.1.0", "torch": "2.9.0"}, seed=11 + n,
        )  # fmt: skip
        manifest = Manifest(iteration=None if n == 0 else n - 1, stages={"evaluate": stage})
        write_text(part / "manifest.json", manifest.to_line() + "\n")
    write_records(folder / "metrics.jsonl", lines)
    return folder
