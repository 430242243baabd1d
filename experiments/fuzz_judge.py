"""Mutated and random texts through extraction, the gate, scorers and the judge: nothing may crash, hang, or pass.

Texts are mutants of stored model outputs (``--data``: a folder with VerilogEval v1 and replay/; only outputs that are
known to be wrong) and random strings over Verilog's words. Each goes through ``sampling.extract``, ``judging.gate`` and
the scorers ``syntax`` and ``rouge-l``; what the gate lets through is judged with the strict rule against the problem
that the output was written for; a sample also meets ``rtlcoder`` and ``icarus``. A mutant that passes is printed with
its text: a mutation can repair an output, and somebody must look.

    python experiments/fuzz_judge.py --count 100000 --json
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from itertl.evaluation.benchmarks import Benchmark, load
from itertl.evaluation.completions import Completion
from itertl.evaluation.judge import judge
from itertl.judging.gate import Design, examine
from itertl.scoring.engine import score_items
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import get_scorer
from itertl.verilog.extract import extract
from itertl.work import pool

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH = 250
HOSTILE = [
    "`include \"/etc/passwd\"\n", "$finish;", "$fopen(\"x\")", "tb.stats1", "\0", "\u202e", "/*", "*/", "//", "\"",
    "`ifdef X\n",
    "`endif\n", "endmodule", "module ", "begin", "end", "force ", "(* x *)", "\\", "```", "[BEGIN]", "'", "#", "{", "}",
    "\r",
    "1'bx", "assign ", "always @(*) ", "initial ", "final ", "generate ", "[2147483647:0]", "{1000000{1'b1}}", "\ud800",
    "\ufeff",
]  # fmt: skip
WORDS = [
    "module",
    "endmodule",
    "input",
    "output",
    "wire",
    "reg",
    "assign",
    "always",
    "begin",
    "end",
    "if",
    "else",
    "case",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ";",
    ",",
    "=",
    "<=",
    "?",
    ":",
    "1",
    "0",
    "a",
    "b",
    "top_module",
]


def mutate(text: str, rng: random.Random) -> str:
    """One to four edits: cut, doubled, swapped, replaced or inserted pieces."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not text:
            return rng.choice(HOSTILE)
        i, j = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        j = min(j, i + rng.choice((1, 1, 3, 20, 200)))
        match rng.randrange(6):
            case 0:
                text = text[:i] + text[j:]
            case 1:
                text = text[:j] + text[i:j] * rng.choice((1, 2, 50)) + text[j:]
            case 2:
                text = text[:i] + rng.choice(HOSTILE) + text[i:]
            case 3:
                text = text[:i] + chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xFFFF)))) + text[i + 1 :]
            case 4:
                k = rng.randrange(len(text) + 1)
                text = text[:i] + text[k : k + j - i] + text[j:]
            case _:
                text = text[:i] + " " + rng.choice(WORDS) + " " + text[i:]
    return text


def random_text(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return " ".join(rng.choice(WORDS + HOSTILE) for _ in range(rng.randint(1, 120)))
    return "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x110000)))) for _ in range(rng.randint(1, 300)))


def texts(count: int, seed: int, wrong: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(task_id, header, text), nine mutants to one random text."""
    rng = random.Random(seed)
    found: list[tuple[str, str, str]] = []
    for number in range(count):
        base = wrong[rng.randrange(len(wrong))]
        text = random_text(rng) if number % 10 == 9 else mutate(base["completion"], rng)
        found.append((base["task_id"], base["header"], text))
    return found


def work(batch: list[tuple[str, str, str]]) -> list[tuple[str, str, str, str]]:
    """In a worker: (gate's answer, extraction's code, syntax's verdict, rouge-l's verdict) of each text."""
    answers: list[tuple[str, str, str, str]] = []
    for _, header, text in batch:
        code = extract(text, header=header).code
        answer = examine(code, "top_module")
        item = ScoreItem(code, header, "module top_module; endmodule")
        said = answer.text if isinstance(answer, Design) else f"!{answer.verdict.value}"
        answers.append(
            (said, code, get_scorer("syntax")(item).verdict.value, get_scorer("rouge-l")(item).verdict.value)
        )
    return answers


def wrong_outputs(data: Path, which: str, benchmark: Benchmark) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (data / f"replay/dpskcoder7b_{which}.jsonl").read_text().splitlines()]
    return [
        {
            "task_id": r["task_id"],
            "completion": r["completion"],
            "header": "" if r["full_module"] else benchmark.by_id[r["task_id"]].header,
        }
        for r in rows
        if not r["passed"]
    ]


def fuzz(count: int, seed: int, data: Path, which: str = "machine") -> dict[str, Any]:
    """Run the campaign and return its counts."""
    start = time.monotonic()
    benchmark = load(f"verilogeval-v1-{which}", data)
    drawn = texts(count, seed, wrong_outputs(data, which, benchmark))
    batches = [drawn[i : i + BATCH] for i in range(0, len(drawn), BATCH)]
    gate: Counter[str] = Counter()
    scorers: Counter[str] = Counter()
    broken: list[str] = []
    runnable: list[Completion] = []
    some: list[ScoreItem] = []
    for number, outcome in pool.map_unordered("fuzz_judge:work", batches, timeout_s=120):
        if outcome.status != "ok":
            broken.append(f"batch {number}: {outcome.status} {outcome.detail}")
            continue
        for (task, _, _), (said, code, syntax, rouge) in zip(batches[number], outcome.value, strict=True):
            gate[said if said.startswith("!") else "let through"] += 1
            scorers[f"syntax {syntax}"] += 1
            scorers[f"rouge-l {rouge}"] += 1
            if not said.startswith("!"):
                runnable.append(Completion(task, len(runnable), code, True))
            if len(some) < count // 200:
                some.append(ScoreItem(code, "", "module top_module; endmodule"))
        print(f"\r{sum(gate.values())} of {count}", end="", file=sys.stderr)
    for row in score_items(some, ["rtlcoder", "icarus"]):
        scorers.update(f"{score.scorer} {score.verdict.value}" for score in row)
    rows = judge(benchmark, runnable)
    passed = [{"task_id": c.task_id, "code": c.text} for c, row in zip(runnable, rows, strict=True) if row.passed]
    return {
        "texts": count, "seed": seed, "gate": dict(gate), "scorers": dict(scorers), "workers_lost": broken,
        "judged": dict(Counter(row.verdict.value for row in rows)), "passed": passed,
        "seconds": time.monotonic() - start,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", choices=("machine", "human"), default="machine")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    found = fuzz(arguments.count, arguments.seed, arguments.data, arguments.set)
    if arguments.json:
        print(json.dumps(found))
        return
    print(json.dumps({k: v for k, v in found.items() if k != "passed"}, indent=1))
    for one in found["passed"]:
        print(f"--- passes {one['task_id']}:\n{one['code']}")


if __name__ == "__main__":
    main()
