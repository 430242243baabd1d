"""What a search over an answer's tokens costs: each rollout alone, and ours.

Alone: for each simulation, one after the other, prompt and prefix are read again and the answer is drawn to its end (by
our own decoding, early stops included; what is asked for the most likely tokens is not counted). Ours: the strategy
``tree-tokens`` as a recipe runs it: rollouts of all problems in batches, prompts read once, prefixes in one go, and
nothing drawn where a leaf goes on as its parent's answer does. The simulations are those of our search, which goes on
after a right design (``area_delay``); seconds are those spent in the back end. That the texts agree is checked: equal,
or a near tie where they part.
"""

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from itertl.config import ModelConfig, PromptConfig, SampleConfig
from itertl.model.find import resolve_model
from itertl.model.load import load_model
from itertl.model.policy import Policy
from itertl.records import Attempt, Problem, SamplingSettings
from itertl.runs.storage import read_records
from itertl.sampling.backend import Generation
from itertl.sampling.batching import Continuation, SampleRequest
from itertl.sampling.draw import SamplingJob
from itertl.sampling.transformers_backend import TransformersBackend, open_backend
from itertl.search.drive import attempts_file, find_candidates
from itertl.search.tree_tokens import PRIOR, Search, TreeTokens

_ADDER = (
    "Write a {n}-bit adder.", "module adder{n}(input [{m}:0] a, input [{m}:0] b, output [{n}:0] sum);\n",
    "assign sum = a + b;\nendmodule\n",
)  # fmt: skip
_MULTIPLIER = (
    "Write a {n}-bit multiplier.", "module mul{n}(input [{m}:0] a, input [{m}:0] b, output [{t}:0] product);\n",
    "assign product = a * b;\nendmodule\n",
)  # fmt: skip
_MAC = (
    "Write a {n}-bit multiply-accumulate unit with a synchronous reset.",
    "module mac{n}(input clk, input rst, input [{m}:0] a, input [{m}:0] b, output reg [{t}:0] acc);\n",
    "always @(posedge clk) if (rst) acc <= 0; else acc <= acc + a * b;\nendmodule\n",
)
_SYSTEM = "You write Verilog. Answer with one complete synthesizable module, without comments and without explanations."


def problems_of(count: int) -> list[Problem]:
    found: list[Problem] = []
    for bits in (4, 8, 16, 32, 64):
        for parts in (_ADDER, _MULTIPLIER, _MAC):
            words = {"n": bits, "m": bits - 1, "t": 2 * bits - 1}
            instruction, header, body = (part.format(**words) for part in parts)
            found.append(
                Problem.create(instruction=instruction, header=header, reference=header + body, source="benchmark")
            )
    return found[:count]


class Clock:
    """Seconds and calls in back ends, whoever makes them; the model's loading at the first is left out.

    ``busy``: seconds of the processor, which on a loaded machine say more.
    """

    def __init__(self) -> None:
        self.seconds, self.busy, self.calls, self.rows = 0.0, 0.0, 0, 0
        inner = TransformersBackend.__call__
        warm: list[TransformersBackend] = []

        def timed(
            backend: TransformersBackend, batch: Sequence[SampleRequest], settings: SamplingSettings
        ) -> list[Generation]:
            if backend not in warm:
                warm.append(backend)
                inner(backend, [replace(batch[0], continuation=Continuation(most=2))], settings)
            start, busy = time.perf_counter(), time.process_time()
            found = inner(backend, batch, settings)
            self.seconds += time.perf_counter() - start
            self.busy += time.process_time() - busy
            self.calls, self.rows = self.calls + 1, self.rows + len(batch)
            return found

        TransformersBackend.__call__ = timed  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Pair:
    """A simulation: the leaf's tokens, what is drawn behind them alone, and what the search had."""

    problem: Problem
    leaf: tuple[int, ...]
    alone: tuple[int, ...]
    searched: tuple[int, ...]


def drawn_alone(backend: TransformersBackend, job: SamplingJob, by_problem: dict[str, list[Attempt]]) -> list[Pair]:
    """Each simulation of the searches again, by a call of its own."""
    found: list[Pair] = []
    for problem in job.problems:
        attempts, prompt = by_problem[problem.id], backend.encode(problem, job.policy.prompt)
        search = Search(TreeTokens(**job.config.strategy_options), attempts)
        assert not search.asks()
        for leaf, number in search.counted:
            told = Continuation(leaf, has_comments=False)
            request = SampleRequest(problem.id, 0, 0, prompt, problem.header, problem.top, continuation=told)
            [drawn] = backend([request], job.config.settings)
            had = attempts[number].candidate.token_ids or ()
            found.append(Pair(problem, leaf, (drawn.token_ids or ())[len(leaf) :], had[len(leaf) :]))
    return found


def near_tie(model: Any, prompt: Sequence[int], first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether two texts part where the model's logits of both tokens are nearly equal."""
    apart = next(n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *first[:apart]]], device=model.device)).logits[0, -1].float()
    limit = 1e-3 if model.dtype == torch.float32 else 0.25
    return abs(float(logits[first[apart]] - logits[second[apart]])) <= limit


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--model", default=ModelConfig().path)
    parser.add_argument("--problems", type=int, default=4, help="of 15 arithmetic ones")
    parser.add_argument("--rollouts", type=int, default=20, help="simulations of each problem")
    parser.add_argument("--tokens", type=int, default=48, help="of an answer, at most")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    path = resolve_model(ModelConfig(path=arguments.model))
    options: dict[str, Any] = {
        "feedback": "reference", "area_delay": True, "rollouts": arguments.rollouts, "width": arguments.width
    }  # fmt: skip
    config = SampleConfig(
        strategy="tree-tokens", strategy_options=options, num_candidates=1, max_new_tokens=arguments.tokens,
        dtype=arguments.dtype, batch_size=arguments.width * arguments.problems, stop_at_module=True,
    )  # fmt: skip
    problems = problems_of(arguments.problems)
    policy = Policy(path, prompt=PromptConfig(header="prefill", system=_SYSTEM))
    job = SamplingJob(problems, policy, config, seed=0)
    clock, alone = Clock(), open_backend(path, dtype=arguments.dtype)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.jsonl"
        find_candidates(job, out)
        by_problem: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in read_records(attempts_file(out), Attempt):
            by_problem[attempt.candidate.problem_id].append(attempt)
    ours, ours_busy, calls, rows = clock.seconds, clock.busy, clock.calls, clock.rows
    clock.seconds = clock.busy = 0.0
    pairs = drawn_alone(alone, job, by_problem)
    parted = [pair for pair in pairs if pair.alone != pair.searched]
    model = load_model(path, dtype=arguments.dtype) if parted else None
    prompts = {p.id: alone.encode(p, policy.prompt).token_ids for p in problems}
    apart = [p for p in parted if not near_tie(model, [*prompts[p.problem.id], *p.leaf], p.alone, p.searched)]
    every = [attempt for attempts in by_problem.values() for attempt in attempts]
    right = {a.candidate.problem_id for a in every if not a.kind and a.examined.rank >= 1}
    report(arguments, {
        "benchmark": "tree_tokens", "unit": "seconds in the back end", "model": arguments.model, "ours": ours,
        "theirs": clock.seconds, "ratio": clock.seconds / ours, "busy": {"ours": ours_busy, "theirs": clock.busy},
        "ratio_busy": clock.busy / ours_busy, "agree": not apart, "equal_texts": len(pairs) - len(parted),
        "simulations": arguments.rollouts * len(problems), "drawn": sum(not a.kind for a in every),
        "asked_for_likely": sum(a.kind == PRIOR for a in every), "rounds": max(a.round for a in every) + 1,
        "calls": calls, "rows": rows, "tokens_alone": sum(len(pair.alone) for pair in pairs),
        "solved": len(right), "problems": len(problems),
        "solved_by_greedy": sum(a[0].examined.rank >= 1 for a in by_problem.values()), "dtype": arguments.dtype,
        "cpus": os.cpu_count(), "threads": torch.get_num_threads(), "load": os.getloadavg()[0],
    })  # fmt: skip


def report(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['simulations']} simulations of {result['problems']} problems: {result['drawn']} answers drawn, "
        f"{result['asked_for_likely']} times the likely tokens alone, in {result['calls']} batches of "
        f"{result['rows'] / result['calls']:.1f} rows"
    )
    print(f"solved: {result['solved']} (greedy {result['solved_by_greedy']})")
    busy = result["busy"]
    print(f"alone {result['theirs']:8.1f} s ({busy['theirs']:.1f} s of the processor, {result['tokens_alone']} tokens)")
    print(f"ours  {result['ours']:8.1f} s ({busy['ours']:.1f} s of the processor: {result['ratio_busy']:.2f} times)")
    print(f"equal texts: {result['equal_texts']} of {result['simulations']}; agree: {result['agree']}")
    print(f"load {result['load']:.1f} on {result['cpus']} cores, {result['threads']} threads")
    print(f"{result['ratio']:.2f} times")


if __name__ == "__main__":
    main()
