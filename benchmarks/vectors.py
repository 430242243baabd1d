"""``vectors`` on real completions: agreement with stored verdicts of the real testbenches, and what a candidate costs.

Each completion of the replay files is scored with its problem's reference as oracle; ``passed`` of the file is what
VerilogEval's own testbench said. Theirs is a testbench of the usual kind on the same words: reference and candidate in
one file, compared by the simulator, ``iverilog`` and ``vvp`` for each candidate in the same sandbox. The two are timed
in alternation on every ``--every``-th completion that has the right ports; ours without what a problem costs once,
which is given separately. Without the data: references of the bundled generator and mutants of theirs, for which there
is no stored verdict.
"""

import argparse
import json
import os
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from itertl.judging import gate
from itertl.records import Score
from itertl.sandbox import sandbox
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors.oracle import Oracle, ReferenceRun, consult
from itertl.scoring.vectors.score import score, seed
from itertl.tools import icarus

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = ("human", "machine")


@dataclass(frozen=True, slots=True)
class Case:
    """One candidate; ``passed`` is the stored verdict, None where there is none."""

    name: str
    item: ScoreItem
    passed: bool | None


def replay(data: Path, which: str) -> Iterator[Case]:
    rows = (
        json.loads(line) for line in (data / f"verilogeval_v1_{which}.jsonl").read_text(encoding="utf-8").splitlines()
    )
    problems = {row["task_id"]: row for row in rows}
    for line in (data / "replay" / f"dpskcoder7b_{which}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        problem = problems[row["task_id"]]
        prompt = problem["prompt"] + "\n"
        code = row["completion"] if row.get("full_module") else prompt + row["completion"]
        item = ScoreItem(code, problem["prompt"], prompt + problem["canonical_solution"], "top_module")
        yield Case(f"{which}:{row['task_id']}", item, row["passed"])


def generated(count: int) -> Iterator[Case]:
    from itertl.synth.generate import generate
    from itertl.synth.mutants import mutants

    for p in generate(0, count):
        texts = [p.reference or "", *(m.text for m in islice(mutants(p.reference or "", random.Random(p.id)), 4))]
        for text in texts:
            yield Case(p.source, ScoreItem(text, p.header, p.reference, p.top), None)


def usual(run: ReferenceRun, reference: str, design: str) -> tuple[float, bool]:
    """(seconds, whether all agree) of the usual testbench."""
    start = time.perf_counter()
    for name in re.findall(r"\bmodule\s+(\w+)", reference):
        reference = re.sub(rf"\b{name}\b", f"ref_{name}", reference)
    top = run.interface.top
    nets, mine, theirs, at = [], [], [], 0
    for port in run.interface.inputs:
        nets.append(f"wire [{port.width - 1}:0] i_{port.name} = word[{at} +: {port.width}];")
        mine.append(f".{port.name}(i_{port.name})")
        at += port.width
    for port in run.interface.outputs:
        nets.append(f"wire [{port.width - 1}:0] a_{port.name}, b_{port.name};")
        theirs.append(f".{port.name}(b_{port.name})")
    links = [f".{port.name}(a_{port.name})" for port in run.interface.outputs]
    differs = " || ".join(f"b_{p.name} !== (b_{p.name} ^ a_{p.name} ^ b_{p.name})" for p in run.interface.outputs)
    steps, compared = len(run.outputs), "".join(str(int(c)) for c in reversed(run.stimulus.is_compared))
    bench = f"""`timescale 1ns/1ps
module tb; reg [{max(1, at) - 1}:0] word, words [0:{steps - 1}]; wire [{steps - 1}:0] compared = {steps}'b{compared};
integer n, errors = 0; {" ".join(nets)}
{top} dut({", ".join([*mine, *links])}); ref_{top} good({", ".join([*mine, *theirs])});
initial begin $readmemh("words.hex", words);
for (n = 0; n < {steps}; n = n + 1) begin
word = words[n]; #{run.bench.step} if (compared[n] && ({differs})) errors = errors + 1; end
$display("Mismatches: %0d in %0d samples", errors, n); $finish; end endmodule
"""
    sources = {"all.sv": bench + reference + "\n" + design}
    done = icarus.simulate(sources, top="tb", data_files=run.bench.files, dump=False)
    is_equal = done.ran is not None and "Mismatches: 0 in" in done.ran.stdout
    return time.perf_counter() - start, is_equal


def compare(case: Case, ours_s: float, found: Score) -> tuple[float, float, bool] | None:
    """(ours, theirs, whether the verdicts agree) on one candidate that both can run; None where not."""
    oracle = consult(case.item.reference or "", case.item.top or "", seed())
    design = gate.examine(case.item.code, case.item.top or "")
    reference = gate.examine(case.item.reference or "", case.item.top or "")
    is_run = found.verdict.value in ("passed", "wrong_output")
    if not (
        is_run and isinstance(oracle, Oracle) and isinstance(design, gate.Design) and isinstance(reference, gate.Design)
    ):
        return None
    if len(oracle.runs) != 1 or oracle.runs[0].stimulus.skips:
        return None
    theirs_s, is_equal = usual(oracle.runs[0], reference.text, design.text)
    return ours_s, theirs_s, is_equal == (found.value == 1.0)


def measure(cases: list[Case], every: int) -> dict[str, object]:
    table: Counter[str] = Counter()
    apart: list[dict[str, str]] = []
    seconds: list[float] = []
    once: list[float] = []
    pairs: list[tuple[float, float, bool]] = []
    seen: set[str] = set()
    for number, case in enumerate(cases):
        if case.name not in seen:
            seen.add(case.name)
            start = time.perf_counter()
            consult(case.item.reference or "", case.item.top or "", seed())
            once.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = score(case.item)
        seconds.append(time.perf_counter() - start)
        mine = "unjudged" if found.value is None else "accepted" if found.value == 1.0 else "rejected"
        stored = {True: "passed", False: "failed", None: "unknown"}[case.passed]
        table[f"{stored}, {mine}"] += 1
        if (stored, mine) in (("passed", "rejected"), ("failed", "accepted")):
            apart.append({"problem": case.name, "number": str(number), "stored": stored, "detail": found.detail[:160]})
        if number % every == 0:
            pair = compare(case, seconds[-1], found)
            pairs += [pair] if pair is not None else []
    ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return {
        "benchmark": "vectors", "unit": "seconds per candidate (median)", "ours": ours, "theirs": theirs,
        "agree": all(pair[2] for pair in pairs),
        "compared": len(pairs), "confusion": dict(table), "apart": apart, "candidates": len(cases),
        "problems": len(seen),
        "median_s": statistics.median(seconds), "p95_s": sorted(seconds)[int(len(seconds) * 0.95)],
        "once_a_problem_median_s": statistics.median(once),
        "once_a_problem_p95_s": sorted(once)[int(len(once) * 0.95)], "sandbox": sandbox.level(),
        "simulator": icarus.version(), "cpus": os.cpu_count(),
        "load": os.getloadavg()[0], "ratio": theirs / ours,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with VerilogEval v1 and replay/")
    parser.add_argument(
        "--problems", type=int, default=None, help="the first so many problems of each file, or generated ones (40)"
    )
    parser.add_argument("--every", type=int, default=10, help="the usual testbench runs on every such candidate")
    arguments = parser.parse_args()
    if (arguments.data / "replay").is_dir():
        cases = [case for which in FILES for case in replay(arguments.data, which)]
        names = list(dict.fromkeys(case.name for case in cases))
        kept = {n for which in FILES for n in [m for m in names if m.startswith(which)][: arguments.problems]}
        cases = sorted((case for case in cases if case.name in kept), key=lambda case: names.index(case.name))
    else:
        cases = list(generated(arguments.problems or 40))
    result = measure(cases, arguments.every)
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{result['candidates']} candidates of {result['problems']} problems: {result['confusion']}")
    for case in result["apart"]:  # type: ignore[attr-defined]
        print(f"  {case['problem']} (candidate {case['number']}) {case['stored']}: {case['detail'] or 'accepted'}")
    print(
        f"ours {1000 * result['ours']:.1f} ms, the usual testbench {1000 * result['theirs']:.1f} ms; verdicts agree: "
        f"{result['agree']}"
    )  # type: ignore[operator]
    print(f"{result['ratio']:.1f} times")


if __name__ == "__main__":
    main()
