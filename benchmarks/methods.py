"""What one step of each method costs: padded rows with all logits against packed rows, the same groups, in alternation.

Groups are generated problems with mutants as candidates (``train_step``); a tiny random model with ``--tiny``, for a
look in seconds. Peak memory is above weights and gradients, of the packed way. The gradients of both ways are compared.
"""

import argparse
import ctypes
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from itertl.config import ModelConfig, TrainConfig
from itertl.model.find import resolve_model
from itertl.model.load import load_tokenizer
from itertl.training.batches import Group
from itertl.training.methods import METHODS, Method
from itertl.training.objective import by_group
from itertl.training.packing import Layout
from itertl.training.schedule import PlannedStep
from itertl.training.session import Session, token_budget
from itertl.training.step import Initial, StepContext, compute_gradients
from train_step import Scene, generated, groups_of, open_model, status_kb, wait  # the file beside this one


def first_policy(session: Session, groups: list[Group], method: Method) -> Initial | None:
    if not method.needs_initial:
        return None
    pieces = [piece for number, group in enumerate(groups) if (piece := group.piece(number, method)) is not None]
    return by_group(session.logprobs(pieces), range(len(groups)))


def step(
    session: Session, groups: list[Group], method: Method, initial: Initial | None, *, packed: bool
) -> tuple[float, torch.Tensor, float]:
    """Seconds, gradient, tokens."""
    session.policy.packed = session.policy.hidden = packed
    session.layout = Layout(packed, 1024, token_budget(TrainConfig()))
    planned = PlannedStep(1, 1.0, 1e-5, tuple(range(len(groups))))
    wait()
    start = time.perf_counter()
    found = compute_gradients(StepContext(session, groups, method, 0, initial=initial), planned, lambda _: None)
    wait()
    seconds = time.perf_counter() - start
    return seconds, torch.cat([p.grad.flatten() for p in session.parameters]), found.sums.tokens


def mark() -> float:
    """GB in use; the high-water mark begins anew."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 1e9
    ctypes.CDLL(None).malloc_trim(0)  # else what an earlier step freed counts as in use
    Path("/proc/self/clear_refs").write_text("5")
    return status_kb("VmRSS") * 1024 / 1e9


def peak_since(before: float) -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9 - before
    return status_kb("VmHWM") * 1024 / 1e9 - before


def measure(session: Session, tokenizer: Any, made: Scene, name: str, rounds: int) -> dict[str, Any]:
    method = METHODS[name]
    groups = groups_of(made, tokenizer, method)  # methods without candidates train on the references
    initial = first_policy(session, groups, method)
    times: dict[bool, list[float]] = {True: [], False: []}
    gradients: dict[bool, torch.Tensor] = {}
    tokens: dict[bool, float] = {}
    peak = 0.0
    for number in range(rounds):
        for packed in (True, False) if number % 2 else (False, True):
            before = mark()
            seconds, gradients[packed], tokens[packed] = step(session, groups, method, initial, packed=packed)
            times[packed].append(seconds)
            if packed:
                peak = max(peak, peak_since(before))
    apart = float((gradients[True] - gradients[False]).norm() / gradients[False].norm().clamp(min=1e-12))
    return {
        "method": name, "groups": len(groups), "padded_s": min(times[False]), "packed_s": min(times[True]),
        "ratio": min(times[False]) / min(times[True]), "tokens": tokens[True], "padded_tokens": tokens[False],
        "plain_tokens": sum(g.plain_tokens() for g in groups), "peak_gb": peak, "gradient_apart": apart,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--tiny", action="store_true", help="a random model of 0.1 million parameters")
    arguments = parser.parse_args()
    model = ModelConfig(path="random:tiny") if arguments.tiny else ModelConfig()
    tokenizer = load_tokenizer(resolve_model(model))
    session = open_model("float32", model=model)
    made = generated(arguments.groups)
    rows = [measure(session, tokenizer, made, name, arguments.rounds) for name in arguments.methods]
    ours, theirs = sum(r["packed_s"] for r in rows), sum(r["padded_s"] for r in rows)
    result = {
        "benchmark": "methods", "unit": "seconds for a step of each", "ours": ours, "theirs": theirs,
        "ratio": theirs / ours,
        "agree": all(r["gradient_apart"] < 1e-3 for r in rows), "rows": rows, "cpus": os.cpu_count(),
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result))
        return
    print("| method | padded | packed | ratio | tokens | a pass for each | peak |\n|---|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| {r['method']} | {r['padded_s']:.1f} s | {r['packed_s']:.1f} s | {r['ratio']:.2f} | {r['tokens']:.0f} | "
            f"{r['plain_tokens']} | {r['peak_gb']:.2f} GB |"
        )
    print(f"{result['ratio']:.2f} times")


if __name__ == "__main__":
    main()
