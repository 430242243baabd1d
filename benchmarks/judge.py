"""What judging costs: VerilogEval v1's own way against ours, on the same completions, in alternation, nothing cached.

Theirs is a stand-in that follows upstream's procedure (verilog_eval/evaluation.py and execution.py, release 1.0.0):
four pool processes; for each completion a manager process and a forked process, a temporary folder, one file, a shell
that runs ``iverilog`` and ``vvp``, and the first verdict line. Ours is ``itertl``'s judge with its strict rule: the
gate, the sandbox, references judged first, equal designs judged once. Completions: stored ones of a 7B model
(``--data``), or, where there are none, references of the bundled generator and mutants of them.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import re
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from itertl.evaluation.benchmarks import Benchmark, load, task_id
from itertl.evaluation.completions import Completion
from itertl.evaluation.files import read_completions
from itertl.evaluation.judge import Conditions, judge
from itertl.records import EvalRow
from itertl.sandbox import sandbox
from itertl.tools import icarus

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REPLAYS = {"verilogeval-v1-machine": "dpskcoder7b_machine.jsonl", "verilogeval-v1-human": "dpskcoder7b_human.jsonl"}
TIMEOUT_S = 30.0
Work = list[tuple[Benchmark, list[Completion]]]


def load_work(data: Path, rounds: int, problems: int | None) -> Work:
    """Benchmarks with their completions, cut into ``rounds`` parts along the problems."""
    if not (data / "replay").is_dir():
        return _generated(rounds, problems or 30)
    parts: Work = []
    for name, file in REPLAYS.items():
        benchmark = load(name, data)
        kept = {
            task_id(p): number for number, p in enumerate(benchmark.problems) if problems is None or number < problems
        }
        completions = [c for c in read_completions(data / "replay" / file) if c.task_id in kept]
        parts += [(benchmark, [c for c in completions if kept[c.task_id] % rounds == part]) for part in range(rounds)]
    return parts


def _generated(rounds: int, problems: int) -> Work:
    from itertl.synth.mutants import mutants

    benchmark = load("synth-heldout", limit=problems)
    completions: list[Completion] = []
    for p in benchmark.problems:
        texts = [p.reference or "", *(m.text for m in islice(mutants(p.reference or "", random.Random(p.id)), 6))]
        completions += [Completion(task_id(p), i, text, True) for i, text in enumerate(texts * 2)]
    return [(benchmark, completions[part::rounds]) for part in range(rounds)]


def upstream_check(testbench: str, prompt: str, completion: str, name: str) -> str:
    """Upstream's ``check_correctness``: "passed", or why not."""

    def execute() -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            Path(f"{name}.sv").write_text(f"{testbench}\n{prompt}\n{completion}", encoding="utf-8", errors="replace")
            command = f"iverilog -Wall -Winfloop -Wno-timescale -g2012 -s tb -o test.vvp {name}.sv; vvp -n test.vvp"
            with contextlib.redirect_stdout(io.StringIO()):
                process = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                timer = threading.Timer(TIMEOUT_S, process.kill)
                try:
                    timer.start()
                    out, err = process.communicate()
                finally:
                    timer.cancel()
            result.append(_upstream_rule(out.decode("utf-8", "replace"), err.decode("utf-8", "replace")))
            os.chdir("/")

    manager = multiprocessing.Manager()
    result = manager.list()
    process = multiprocessing.Process(target=execute)
    process.start()
    process.join(timeout=TIMEOUT_S + 1)
    if process.is_alive():
        process.kill()
    return str(result[0]) if len(result) else "timed out"


def _upstream_rule(out: str, err: str) -> str:
    found = re.search(r"Mismatches: ([0-9]*) in ([0-9]*) samples", out)
    if "syntax error" in err:
        return "syntax error"
    if err:
        return "compile error"
    return "no verdict" if found is None else "passed" if int(found[1]) == 0 else "mismatches"


def run_theirs(benchmark: Benchmark, completions: Sequence[Completion]) -> tuple[float, list[str]]:
    start = time.perf_counter()
    with ProcessPoolExecutor(max_workers=4, mp_context=multiprocessing.get_context("fork")) as executor:
        futures = []
        for c in completions:
            problem = benchmark.by_id[c.task_id]
            prompt = "" if c.full_module else problem.header
            futures.append(executor.submit(upstream_check, problem.testbench or "", prompt, c.text, f"p{c.index}"))
        results = [future.result() for future in futures]
    return time.perf_counter() - start, results


def run_ours(benchmark: Benchmark, completions: Sequence[Completion]) -> tuple[float, list[EvalRow]]:
    start = time.perf_counter()
    rows = judge(benchmark, completions, conditions=Conditions(second_simulator=False))  # theirs has none
    return time.perf_counter() - start, rows


def explain(theirs: str, ours: EvalRow) -> str:
    """How two verdicts on one text stand to each other; "apart" is the one that must not occur."""
    if (theirs == "passed") is bool(ours.passed):
        return "same"
    if ours.passed is None:
        return "unjudged here, failed there"
    if ours.passed and theirs == "compile error":
        return "a warning fails it there"
    return "gamed" if ours.verdict.value == "gamed" else "apart"


def measure(work: Work) -> dict[str, object]:
    ours = theirs = 0.0
    standing: Counter[str] = Counter()
    apart: list[dict[str, object]] = []
    per_part: list[dict[str, object]] = []
    for number, (benchmark, completions) in enumerate(work):
        order = (run_theirs, run_ours) if number % 2 == 0 else (run_ours, run_theirs)
        found = {call.__name__: call(benchmark, completions) for call in order}
        (their_time, results), (our_time, rows) = found["run_theirs"], found["run_ours"]
        ours, theirs = ours + our_time, theirs + their_time
        per_part.append({"benchmark": benchmark.name, "rows": len(rows), "theirs_s": their_time, "ours_s": our_time})
        for result, row in zip(results, rows, strict=True):
            kind = explain(str(result), row)  # type: ignore[arg-type]
            standing[kind] += 1
            if kind == "apart":
                apart.append({"task": row.task_id, "index": row.index, "theirs": result, "ours": row.verdict.value})  # type: ignore[union-attr]
    rows_total = sum(standing.values())
    return {
        "benchmark": "judge", "unit": "seconds per completion", "ours": ours / rows_total,
        "theirs": theirs / rows_total,
        "ratio": theirs / ours, "agree": not apart, "verdicts": dict(standing), "apart": apart, "rows": rows_total,
        "parts": per_part, "sandbox": sandbox.level(), "simulator": icarus.version(), "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with VerilogEval v1 and replay/")
    parser.add_argument("--rounds", type=int, default=2, help="parts of each benchmark, in alternation")
    parser.add_argument("--problems", type=int, default=None, help="the first so many problems of each benchmark")
    arguments = parser.parse_args()
    result = measure(load_work(arguments.data, arguments.rounds, arguments.problems))
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['rows']} completions, {result['simulator']}, sandbox {result['sandbox']}: verdicts "
        f"{result['verdicts']}"
    )
    print(f"theirs {1000 * float(result['theirs']):.1f} ms, ours {1000 * float(result['ours']):.1f} ms each")  # type: ignore[arg-type]
    print(f"{result['ratio']:.1f} times")


if __name__ == "__main__":
    main()
