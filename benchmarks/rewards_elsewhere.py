"""Rewards a second as another trainer asks for them (``itertl.rewards``), against a naive subprocess reward.

Theirs is what Verilog rewards of RL recipes do: for each completion, one after the other, a temporary folder, one file,
``iverilog``, ``vvp``, and a look at what was printed. No sandbox. Ours judges the same completions by the same
testbenches under the strict rule (``testbench``), and by function against the reference (``ladder``, the default
settings, which needs no testbench). Completions: stored ones of a 7B model to VerilogEval's problems (``--data``), or,
where there are none, references of the bundled generator and mutants of them; those of a problem together, as a group
is. They are cut into rounds along the problems, and in each round theirs and ours run in alternation. ``cold``: from no
process and an empty cache, the first round; ``warm``: workers that run, completions that they have not seen;
``cached``: the same ones again, as in a resumed training or another epoch of the same samples.

``ours`` is testbench, warm; ``agree``: our testbench verdict is the naive one wherever we have one and the naive one is
not fooled (a design that is refused as gamed is no pass, whatever it prints), 97 of 100.
"""

import argparse
import json
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from itertl.evaluation.benchmarks import load, task_id
from itertl.records import Problem
from itertl.rewards import Reward, Rewarder
from itertl.rewards.export import truth_of
from itertl.rewards.rewarder import close_all
from itertl.rewards.settings import DEFAULT

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Completion:
    """One text with its problem."""

    problem: Problem
    text: str


def completions_of(data: Path, limit: int, rounds: int, seed: int) -> tuple[list[list[Completion]], str]:
    """Completions in rounds, those of a problem together, and where they come from."""
    file = data / "replay" / "dpskcoder7b_human.jsonl"
    groups: dict[str, list[Completion]] = {}
    if file.exists():
        problems = {task_id(p): p for p in load("verilogeval-v1-human", data).problems}
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            problem = problems[row["task_id"]]
            code = row["completion"] if row.get("full_module") else problem.header + row["completion"]
            groups.setdefault(row["task_id"], []).append(Completion(problem, code))
    else:
        from itertl.synth.mutants import mutants

        for p in load("synth-heldout", limit=60).problems:
            texts = [p.reference or "", *(m.text for m in islice(mutants(p.reference or "", random.Random(p.id)), 9))]
            groups[p.id] = [Completion(p, text) for text in texts]
    size = len(next(iter(groups.values())))
    names = random.Random(seed).sample(sorted(groups), min(len(groups), max(rounds, limit // size)))
    parts = [[one for name in names[part::rounds] for one in groups[name]] for part in range(rounds)]
    return parts, file.name if file.exists() else "bundled generator"


def naive(completion: Completion) -> bool:
    """What a reward of a few lines does: whether the testbench printed that nothing differs."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder) / "test.sv", Path(folder) / "test.vvp"
        source.write_text(f"{completion.problem.testbench}\n{completion.text}\n", encoding="utf-8", errors="replace")
        with suppress(subprocess.TimeoutExpired):
            compiled = subprocess.run(
                ["iverilog", "-g2012", "-s", "tb", "-o", str(binary), str(source)], capture_output=True,
                timeout=TIMEOUT_S, check=False, cwd=folder,
            )  # fmt: skip
            if compiled.returncode == 0:
                ran = subprocess.run(
                    ["vvp", "-n", str(binary)], capture_output=True, timeout=TIMEOUT_S, check=False, cwd=folder
                )
                return re.search(rb"Mismatches: 0 in \d+ samples", ran.stdout) is not None
    return False


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    found = function()
    return found, time.perf_counter() - begin


def measure(parts: Sequence[Sequence[Completion]], workers: int, folder: Path, chosen: list[str]) -> dict[str, Any]:
    """Seconds of each way over all rounds, and what each said."""
    seconds: dict[str, list[float]] = {}
    said: dict[str, list[Any]] = {}

    def take(name: str, function: Callable[[], list[Any]]) -> None:
        found, spent = timed(function)
        seconds.setdefault(name, []).append(spent)
        said.setdefault(name, []).extend(found)

    ways = {way: Rewarder({**DEFAULT, "num_workers": workers}, cache=folder / way) for way in chosen}

    def ask(way: str, part: Sequence[Completion]) -> list[Reward]:
        truths = [truth_of(one.problem, "testbench" if way == "testbench" else "reference") for one in part]
        return ways[way]([one.text for one in part], truths)

    for number, part in enumerate(parts):
        when = "cold" if number == 0 else "warm"
        steps = [("naive", lambda: [naive(one) for one in part])]  # noqa: B023
        steps += [(f"{way} {when}", lambda way=way: ask(way, part)) for way in ways]  # noqa: B023
        for name, function in steps if number % 2 else steps[::-1]:
            take(name, function)
        for way in ways:
            take(f"{way} cached", lambda way=way: ask(way, part))  # noqa: B023
    close_all()
    sizes = [len(part) for part in parts]
    rates = {name: _count(name, sizes) / sum(spent) for name, spent in seconds.items()}
    return {"rates": rates, "naive_warm_rate": sum(sizes[1:]) / sum(seconds["naive"][1:]), "said": said}


def _count(name: str, sizes: Sequence[int]) -> int:
    return sizes[0] if name.endswith("cold") else sum(sizes[1:]) if name.endswith("warm") else sum(sizes)


def account(
    measured: dict[str, Any], parts: Sequence[Sequence[Completion]], source: str, workers: int
) -> dict[str, Any]:
    said, rates = measured["said"], measured["rates"]
    by_bench: list[Reward] = [*said["testbench cold"], *said["testbench warm"]]
    by_function: list[Reward] = [*said.get("ladder cold", []), *said.get("ladder warm", [])]
    pairs = [(theirs, mine) for theirs, mine in zip(said["naive"], by_bench, strict=True) if mine.value is not None]
    fooled = sum(theirs and mine.verdict == "gamed" for theirs, mine in pairs)
    same = sum(theirs == (mine.value == 1.0) for theirs, mine in pairs) + fooled
    judged = [
        (t, m.is_right) for t, m in zip(said["naive"], by_function, strict=bool(by_function)) if m.is_right is not None
    ]
    repeated = [reward.value for reward in by_bench] == [reward.value for reward in said["testbench cached"]]
    ours, theirs = rates["testbench warm"], measured["naive_warm_rate"]
    return {
        "benchmark": "rewards_elsewhere", "unit": "rewards a second", "ours": ours, "theirs": theirs,
        "workers": workers, "completions": sum(map(len, parts)), "data": source,
        "rates": {name: round(rate, 2) for name, rate in rates.items()},
        "times_naive": {name: round(rate / rates["naive"], 2) for name, rate in rates.items()},
        "unjudged": sum(reward.value is None for reward in by_bench), "fooled_naive": fooled,
        "agreement_by_testbench": same / max(1, len(pairs)),
        "agreement_by_function": sum(a == b for a, b in judged) / len(judged) if judged else None,
        "agree": same >= 0.97 * len(pairs) and repeated, "ratio": ours / theirs,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with VerilogEval's files and completions")
    parser.add_argument("--limit", type=int, default=400, help="completions")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-ladder", action="store_true", help="by testbench alone")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    parts, source = completions_of(given.data, given.limit, given.rounds, given.seed)
    ways = ["testbench"] if given.no_ladder else ["testbench", "ladder"]
    with tempfile.TemporaryDirectory() as folder:
        result = account(measure(parts, given.workers, Path(folder), ways), parts, source, given.workers)
    if given.json:
        print(json.dumps(result))
        return
    print(f"{result['completions']} completions of {source}, {given.workers} workers")
    for name, rate in result["rates"].items():
        print(f"  {name:18} {rate:9.1f} rewards a second, {result['times_naive'][name]:6.2f} times naive")
    by_function = result["agreement_by_function"]
    print(f"agreement by testbench {result['agreement_by_testbench']:.3f}"
          f"{'' if by_function is None else f', by function {by_function:.3f}'}; "
          f"warm against naive: {result['ratio']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
