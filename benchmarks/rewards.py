"""What a candidate costs on each rung of the ladder, and how often ``vectors`` agrees with the benchmark's own
testbench.

Real completions of a 7B model to VerilogEval's problems with stored verdicts (``--data``), or, where there are none,
references of the bundled generator and mutants of them. Problem after problem, as in training, in one worker on one
core, nothing cached but what a worker keeps: a rung that uses what a lower one has found out is timed as that. Each
rung is timed on every candidate, and then summed as the ladder runs them: a rung only where the one below gave its full
value.

``ours`` is the ladder's time for a candidate (median), ``theirs`` that of all rungs regardless.
"""

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.evaluation.benchmarks import load, task_id
from itertl.records import Verdict
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import SCORERS
from itertl.work import pool
from mutation.golden import draw, references

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# as recipes/itertl-function.yaml has it
LADDER = (
    "gate",
    "text",
    "syntax",
    "synthesis",
    "vectors",
    "equivalence",
    "ppa",
)
BESIDE = ("repair",)  # taken of every candidate
WARM = ScoreItem(
    "module warm(input a, output y); assign y = a; endmodule",
    "",
    "module warm(input a, output y); assign y = a; endmodule",
    "warm",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text with what the benchmark's testbench said of it, where that is known."""

    item: ScoreItem
    passed: bool | None


def load_candidates(data: Path, limit: int, seed: int) -> tuple[list[Candidate], str]:
    """Up to ``limit`` candidates, those of a problem beside each other, and where they come from."""
    file = data / "replay" / "dpskcoder7b_human.jsonl"
    if not file.exists():
        cases = draw(references(data, max(1, limit // 8), seed), limit, seed)[:limit]
        return [
            Candidate(case.item, None) for case in sorted(cases, key=lambda case: case.golden.name)
        ], "bundled generator"
    problems = {task_id(p): p for p in load("verilogeval-v1-human", data).problems}
    found: dict[str, list[Candidate]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        problem = problems[row["task_id"]]
        code = row["completion"] if row.get("full_module") else problem.header + row["completion"]
        found.setdefault(row["task_id"], []).append(
            Candidate(ScoreItem(code, problem.header, problem.reference, problem.top), row["passed"])
        )
    names = sorted(found)
    step = max(1, len(names) * 10 // limit)
    return [candidate for name in names[seed % step :: step] for candidate in found[name]][:limit], file.name


def measure(candidates: Sequence[Candidate], source: str) -> dict[str, object]:
    names = [name for name in (*LADDER, *BESIDE, "ast", "icarus") if name in SCORERS]
    units = [(name, item) for item in [WARM, *(candidate.item for candidate in candidates)] for name in names]
    taken: dict[int, tuple[float, float | None, Verdict]] = {}
    for number, outcome in pool.map_unordered("mutation.arbiter:timed", units, num_workers=1, timeout_s=120):
        seconds, found = outcome.value if outcome.status == "ok" else (120.0, None)
        taken[number] = (
            (seconds, found.value, found.verdict) if found is not None else (seconds, None, Verdict.TOOL_FAILED)
        )
    rows = {name: [taken[(i + 1) * len(names) + n] for i in range(len(candidates))] for n, name in enumerate(names)}
    beside = [sum(rows[name][i][0] for name in BESIDE if name in rows) for i in range(len(candidates))]
    lazy = [_climb([rows[name][i] for name in LADDER if name in rows]) + beside[i] for i in range(len(candidates))]
    eager = [sum(rows[name][i][0] for name in LADDER if name in rows) + beside[i] for i in range(len(candidates))]
    table = _confusion(candidates, [verdict for _, _, verdict in rows.get("vectors", [])])
    agreeing = table.get("passed/passed", 0) + table.get("failed/failed", 0)
    judged = sum(count for pair, count in table.items() if not pair.endswith("/unjudged"))
    return {
        "benchmark": "rewards", "unit": "seconds per candidate (median)", "ours": statistics.median(lazy),
        "theirs": statistics.median(eager),
        "ratio": statistics.median(eager) / statistics.median(lazy), "agree": agreeing >= 0.97 * judged,
        "candidates": len(candidates), "data": source, "ladder": _times(lazy),
        "rungs": {name: {**_times([t for t, _, _ in row]),
                         "verdicts": dict(Counter(v.value for _, _, v in row).most_common())}
                  for name, row in rows.items()},
        "testbench_against_vectors": table,
    }  # fmt: skip


def _climb(rungs: Sequence[tuple[float, float | None, Verdict]]) -> float:
    """Time up to and including the first rung that is not held."""
    total = 0.0
    for seconds, value, _ in rungs:
        total += seconds
        if value is None or value < 1:
            break
    return total


def _times(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median_s": statistics.median(ordered),
        "p95_s": ordered[int(0.95 * (len(ordered) - 1))],
        "max_s": ordered[-1],
        "mean_s": statistics.mean(ordered),
    }


def _confusion(candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How often, by "testbench/vectors"; "unjudged" where ``vectors`` has no answer."""
    counts: Counter[str] = Counter()
    for candidate, verdict in zip(candidates, verdicts, strict=False):
        if candidate.passed is not None:
            said = "passed" if verdict is Verdict.PASSED else "unjudged" if verdict.fault == "ours" else "failed"
            counts[f"{'passed' if candidate.passed else 'failed'}/{said}"] += 1
    return dict(sorted(counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder with VerilogEval's files and the stored completions"
    )
    parser.add_argument("--limit", type=int, default=300, help="candidates")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = measure(*load_candidates(arguments.data, arguments.limit, arguments.seed))
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{result['candidates']} candidates of {result['data']}; the ladder: {result['ladder']}")
    for name, row in dict(result["rungs"]).items():  # type: ignore[call-overload]
        print(
            f"  {name:12} median {1000 * row['median_s']:7.1f} ms   95% {1000 * row['p95_s']:7.1f} ms   "
            f"{row['verdicts']}"
        )
    print(f"testbench/vectors: {result['testbench_against_vectors']}")


if __name__ == "__main__":
    main()
