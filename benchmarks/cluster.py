"""What a second node brings: the same completions judged on one Ray node and on two, of one core each, in alternation.

The nodes are network namespaces of this machine (``experiments/two_hosts.py``), which needs root; each has one CPU of
Ray's and is held to one core, host 1 with the driver. Nothing is cached. Completions: stored ones of a 7B model
(``--data``), else references of the bundled generator and mutants of them; or a file of one's own (``--samples``,
``--benchmark``). The overheads are those of tasks that do nothing.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "experiments"))

from two_hosts import Hosts, hosts, why_not  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
REPLAY = "replay/dpskcoder7b_machine.jsonl", "replay/dpskcoder7b_human.jsonl"
BENCHMARKS = "verilogeval-v1-machine", "verilogeval-v1-human"
EMPTY_TASKS, EMPTY_JOBS = 50, 2000


def stored(arguments: argparse.Namespace, folder: Path) -> list[tuple[Path, str]]:
    """(file of completions, benchmark); ``--limit`` of them in all."""
    if arguments.samples is not None:
        given = [(arguments.samples, arguments.benchmark)]
    elif (arguments.data / "replay").is_dir():
        given = [(arguments.data / path, name) for path, name in zip(REPLAY, BENCHMARKS, strict=True)]
    else:
        given = [(_generated(folder / "generated.jsonl"), "synth-heldout")]
    found: list[tuple[Path, str]] = []
    for number, (path, benchmark) in enumerate(given):
        rows = path.read_text(encoding="utf-8").splitlines()
        cut = folder / f"{number}.jsonl"
        cut.write_text("\n".join(rows[: arguments.limit // len(given)]), encoding="utf-8")
        found.append((cut, benchmark))
    return found


def _generated(path: Path) -> Path:
    from itertl.evaluation.benchmarks import load, task_id
    from itertl.synth.mutants import mutants

    rows: list[str] = []
    for problem in load("synth-heldout").problems:
        text = problem.reference or ""
        for one in [text, *(m.text for m in islice(mutants(text, random.Random(problem.id)), 30))]:
            rows.append(json.dumps({"task_id": task_id(problem), "completion": one, "full_module": True}))
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def judge(work: list[tuple[Path, str]], out: Path, nodes: int, data: str | None) -> dict[str, Any]:
    """On a host, in a process of its own: seconds of judging, once ``nodes`` nodes have their workers."""
    from itertl.config import ComputeConfig
    from itertl.doctor.node import machines
    from itertl.evaluation.benchmarks import load
    from itertl.evaluation.files import read_completions
    from itertl.evaluation.judge import judge as judged
    from itertl.work import engine

    loaded = []
    for path, name in work:
        benchmark = load(name, None if name == "synth-heldout" or data is None else Path(data))
        loaded.append((benchmark, read_completions(path)))
    with machines(ComputeConfig(engine="ray", address=Hosts.address), lambda text: None):
        assert len(engine.current().nodes) == nodes, engine.current().described()  # type: ignore[attr-defined]
        empty = [_seconds(lambda: list(engine.map_unordered("operator:neg", [1]))) for _ in range(EMPTY_TASKS)]
        jobs = _seconds(lambda: list(engine.map_unordered("operator:neg", range(EMPTY_JOBS))))
        for benchmark, completions in loaded:  # the judge's own workers import what they need
            judged(benchmark, completions[: 8 * nodes])
        began = time.perf_counter()
        rows = [row for benchmark, completions in loaded for row in judged(benchmark, completions)]
        seconds = time.perf_counter() - began
    out.write_text("\n".join(row.to_line() for row in rows), encoding="utf-8")
    return {"seconds": seconds, "task_s": median(empty), "job_s": jobs / EMPTY_JOBS, "rows": len(rows)}


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    took: dict[int, list[float]] = {1: [], 2: []}
    overheads: list[tuple[float, float]] = []
    results: set[bytes] = set()
    rows = 0
    with tempfile.TemporaryDirectory() as name, hosts() as found:
        folder = Path(name)
        work = stored(arguments, folder)
        found.start(1, core=0)
        for number in range(arguments.rounds):
            for nodes in (1, 2) if number % 2 == 0 else (2, 1):
                _set_nodes(found, nodes)
                out = folder / f"{number}-{nodes}.jsonl"
                call = (
                    json.dumps([[str(path), bench] for path, bench in work]),
                    str(out),
                    str(nodes),
                    str(arguments.data),
                )
                command = ["taskset", "-c", "0", *found.command(1, [__file__, "--on-host", *call])]
                seen = json.loads(found.output(command))
                took[nodes].append(seen["seconds"])
                overheads.append((seen["task_s"], seen["job_s"]))
                rows = seen["rows"]
                results.add(out.read_bytes())
    one, two = min(took[1]), min(took[2])
    return {
        "benchmark": "cluster", "unit": "seconds per completion", "ours": two / rows, "theirs": one / rows,
        "ratio": one / two, "agree": len(results) == 1, "rows": rows, "one_node_s": took[1], "two_nodes_s": took[2],
        "overhead_a_task_s": min(task for task, _ in overheads),
        "overhead_a_job_s": min(job for _, job in overheads), "cpus": os.cpu_count(), "load": os.getloadavg()[0],
    }  # fmt: skip


def _set_nodes(found: Hosts, nodes: int) -> None:
    is_there = bool(found.processes(2)) if 2 in found.known else False
    if nodes == 2 and not is_there:
        found.start(2, core=1 % (os.cpu_count() or 1))
    elif nodes == 1 and is_there:
        found.kill(2)
    deadline = time.monotonic() + 60
    while len(found.living()) != nodes and time.monotonic() < deadline:
        time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--limit", type=int, default=3000, help="completions")
    parser.add_argument("--rounds", type=int, default=2, help="times that one node and two judge them all")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with VerilogEval v1 and replay/")
    parser.add_argument("--samples", type=Path, help="completions of one's own")
    parser.add_argument("--benchmark", default="synth-heldout", help="of --samples")
    parser.add_argument("--on-host", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.on_host:
        work, out, nodes, data = arguments.on_host
        print(json.dumps(judge([(Path(p), b) for p, b in json.loads(work)], Path(out), int(nodes), data)))
        return
    if reason := why_not():
        sys.exit(f"benchmarks/cluster.py: {reason}")
    result = measure(arguments)
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['rows']} completions, load {result['load']:.1f} on {result['cpus']} cores; agree: {result['agree']}"
    )
    print(f"one node {min(result['one_node_s']):.1f} s, two nodes {min(result['two_nodes_s']):.1f} s")
    print(
        f"overhead: {1000 * result['overhead_a_task_s']:.1f} ms a task alone, and of many jobs "
        f"{1000 * result['overhead_a_job_s']:.2f} ms each"
    )
    print(f"{result['ratio']:.2f} times")


if __name__ == "__main__":
    main()
