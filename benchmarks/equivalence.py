"""What a proof of equivalence costs: a fresh Yosys for each proof against ours, on the same pairs, in alternation.

Theirs is what a plain script does: one ``yosys``-like process for each pair, which reads both texts, makes a miter and
asks Yosys's ``sat`` (temporal induction where there is a clock). Ours is ``scoring.equivalence.proof`` in a worker: a
forked Yosys, a network with X beside each signal, simulation on all inputs where they are few, ABC for the rest; no
simulation of the texts in either. They agree where both prove, or one of them comes to no answer: a proof against a
refutation does not. Pairs: VerilogEval v2's references with v1's for the same problem (``--data``), or, where that is
absent, references of the bundled generator, each with a copy that has a wire more. ``whole_scorer`` times the scorer
with its simulation too.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from itertl.judging import gate
from itertl.judging.gate import Design
from itertl.records import Score
from itertl.sandbox import sandbox
from itertl.scoring.equivalence import proof, rewrite
from itertl.scoring.equivalence.proof import Proof
from itertl.scoring.equivalence.score import score
from itertl.scoring.item import ScoreItem
from itertl.tools import yosys
from itertl.work.pool import Workers

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TIMEOUT_S = 20.0
Pair = tuple[str, str]
_NAIVE = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in open("script.ys"):
    libyosys.run_pass(command.strip(), design)
"""


def load_pairs(data: Path, limit: int | None) -> list[Pair]:
    """(reference, equal design), both with the top module m."""
    if not (data / "verilogeval_v1_human.jsonl").exists():
        return _generated(limit or 40)
    rows = [json.loads(line) for line in (data / "verilogeval_v1_human.jsonl").read_text(encoding="utf-8").splitlines()]
    v1 = {row["task_id"]: row["prompt"] + row["canonical_solution"] for row in rows}
    files = sorted((data / "upstream/verilog-eval-v2/dataset_spec-to-rtl").glob("*_ref.sv"))
    pairs = [
        (
            file.read_text(encoding="utf-8").replace("RefModule", "m"),
            v1[file.name[:-7].split("_", 1)[1]].replace("top_module", "m"),
        )
        for file in files
    ]
    return pairs[:: max(1, len(pairs) // limit)] if limit else pairs


def _generated(limit: int) -> list[Pair]:
    from itertl.evaluation.benchmarks import load

    pairs: list[Pair] = []
    for problem in load("synth-heldout", limit=limit).problems:
        text = re.sub(rf"\b{problem.top}\b", "m", problem.reference or "")
        pairs.append((text, text.replace("endmodule", "wire itertl_unused = 1'b0;\nendmodule", 1)))
    return pairs


def prove(pair: Pair) -> tuple[Proof | None, float]:
    """Ours, in a worker: gate and proof."""
    begin = time.perf_counter()
    both = [gate.examine(text, "m") for text in pair]
    reference, candidate = both
    found = (
        proof.prove(reference, candidate) if isinstance(reference, Design) and isinstance(candidate, Design) else None
    )
    return found, time.perf_counter() - begin


def score_pair(pair: Pair) -> tuple[Score, float]:
    """The whole scorer, simulation included."""
    begin = time.perf_counter()
    found = score(ScoreItem(code=pair[1], reference=pair[0], top="m"))
    return found, time.perf_counter() - begin


def prove_naively(pair: Pair) -> tuple[str, float]:
    """Theirs: (proven, refuted, unknown, timeout or error; seconds)."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in zip(("gold", "gate"), pair, strict=True):
            found = gate.examine(text, "m")
            if not isinstance(found, Design):
                return "error", time.perf_counter() - begin
            (Path(folder) / f"{name}.v").write_text(rewrite.for_yosys(found.text, "m"), encoding="utf-8")
        is_clocked = "posedge" in pair[0] or "negedge" in pair[0]
        (Path(folder) / "script.ys").write_text(_naive_script(is_clocked), encoding="ascii")
        try:
            done = subprocess.run(
                [sys.executable, "-c", _NAIVE],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "timeout", time.perf_counter() - begin
    said = done.stdout
    answer = "proven" if re.search(r"SUCCESS!|no model found: SUCCESS", said) else "unknown"
    if "proof did fail" in said or "model found: FAIL" in said:
        answer = "refuted" if not is_clocked else "unknown"
    return ("error" if done.returncode != 0 else answer), time.perf_counter() - begin


def _naive_script(is_clocked: bool) -> str:
    lines: list[str] = []
    for name in ("gold", "gate"):
        top = rewrite.TOP
        lines += [f"read_verilog -sv {name}.v", f"hierarchy -top {top}", "proc", "flatten", "memory_map", "opt_clean"]
        lines += ["async2sync", f"rename {top} {name}", f"design -stash {name}"]
    lines += ["design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate"]
    lines += ["miter -equiv -flatten -ignore_gold_x gold gate miter", "hierarchy -top miter"]
    induction = "-tempinduct -seq 1 -maxsteps 20 -set-init-undef" if is_clocked else ""
    lines.append(f"sat {induction} -set-def-inputs -timeout 2 -prove trigger 0 miter")
    return "".join(f"{line}\n" for line in lines)


def run_ours(workers: Workers, function: str, pairs: list[Pair]) -> list[tuple[object, float]]:
    outcomes = dict(workers.map_unordered(pairs, timeout_s=60))
    assert workers.function == function
    return [outcomes[number].value or (None, 0.0) for number in range(len(pairs))]


def measure(pairs: list[Pair], rounds: int) -> dict[str, object]:
    ours: list[tuple[object, float]] = []
    theirs: list[tuple[str, float]] = []
    scored: list[tuple[object, float]] = []
    order: list[Pair] = []
    with Workers("equivalence:prove", 1) as workers, Workers("equivalence:score_pair", 1) as scorers:
        for pool in (workers, scorers):
            list(pool.map_unordered(pairs[:1], timeout_s=120))  # loads the library
        for part in range(rounds):
            chosen = pairs[part::rounds]
            for step in ("ours", "theirs") if part % 2 == 0 else ("theirs", "ours"):
                if step == "ours":
                    ours += run_ours(workers, "equivalence:prove", chosen)
                else:
                    theirs += [prove_naively(pair) for pair in chosen]
            scored += run_ours(scorers, "equivalence:score_pair", chosen)
            order += chosen
    return _report(order, ours, theirs, scored)


def _report(
    pairs: list[Pair],
    ours: list[tuple[object, float]],
    theirs: list[tuple[str, float]],
    scored: list[tuple[object, float]],
) -> dict[str, object]:
    mine = [str(found.outcome) if isinstance(found, Proof) else "refused" for found, _ in ours]
    apart = [
        number for number, (a, (b, _)) in enumerate(zip(mine, theirs, strict=True)) if {a, b} == {"proven", "refuted"}
    ]
    my_times, their_times, whole = ([seconds for _, seconds in rows] for rows in (ours, theirs, scored))
    return {
        "benchmark": "equivalence", "unit": "seconds per proof", "ours": statistics.mean(my_times),
        "theirs": statistics.mean(their_times), "agree": not apart, "pairs": len(pairs),
        "outcomes": dict(Counter(mine)),
        "outcomes_theirs": dict(Counter(answer for answer, _ in theirs)), **_spread("ours", my_times),
        **_spread("theirs", their_times),
        **_spread("whole_scorer", whole),
        "verdicts": dict(Counter(found.verdict.value for found, _ in scored if isinstance(found, Score))),
        "tool": yosys.version(), "sandbox": sandbox.level(), "cpus": os.cpu_count(), "load": os.getloadavg()[0],
        "ratio": statistics.mean(their_times) / statistics.mean(my_times),
    }  # fmt: skip


def _spread(name: str, times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        f"{name}_median_ms": 1000 * statistics.median(ordered),
        f"{name}_p95_ms": 1000 * ordered[int(0.95 * (len(ordered) - 1))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with VerilogEval v1 and upstream/")
    parser.add_argument("--pairs", type=int, default=None, help="about so many pairs")
    parser.add_argument("--rounds", type=int, default=2, help="parts, in alternation")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")])
    result = measure(load_pairs(arguments.data, arguments.pairs), arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{result['pairs']} pairs, {result['tool']}: ours {result['outcomes']}, theirs {result['outcomes_theirs']}")
    print(
        f"ours {1000 * float(result['ours']):.0f} ms, theirs {1000 * float(result['theirs']):.0f} ms each, agree "
        f"{result['agree']}"
    )  # type: ignore[arg-type]
    print(f"{result['ratio']:.1f} times")


if __name__ == "__main__":
    main()
