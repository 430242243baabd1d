"""What one training step costs: the released code's way against ours, on the same groups, in alternation.

Theirs is a stand-in that follows RTLCoder's training code: the prompt again with each of its K responses, padded to the
longest, logits of all positions, log-softmax over the whole vocabulary, sums sample by sample; a prompt at a time. Ours
is ``itertl``'s step: prompts shared, rows packed, output head on response positions alone, in chunks, and only the
responses whose gradient is not zero. Loss and gradient are compared; peak memory is taken in processes of their own.

Shapes: "fixed", one prompt of 260 tokens with four responses of 120, 150, 170 and 200; "sampled", the groups of a run's
iteration (``--run FOLDER``, with what its model sampled), or, without one, of generated problems with mutants as
candidates.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from itertl.config import ModelConfig, Recipe, ScoreConfig, TrainConfig, load_recipe
from itertl.model.find import resolve_model
from itertl.model.load import load_tokenizer
from itertl.model.policy import Policy
from itertl.records import Candidate, Problem, SamplingSettings, Scored
from itertl.runs import storage
from itertl.training.batches import Group, Response, build_groups
from itertl.training.methods import METHODS, Method
from itertl.training.schedule import PlannedStep
from itertl.training.session import Session, load_policy, open_session
from itertl.training.step import StepContext, compute_gradients

FIXED_PROMPT, FIXED_RESPONSES = 260, (120, 150, 170, 200)


def fixed_groups(vocabulary: int, count: int) -> list[Group]:
    """Random tokens in the fixed shape, all pairs active."""
    draw = random.Random(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(draw.randrange(10, vocabulary) for _ in range(length))

    z = (0.1, 0.4, 0.7, 1.0)
    return [
        Group(
            f"fixed-{n}",
            ids(FIXED_PROMPT),
            tuple(Response(ids(k), z[i], i == 3) for i, k in enumerate(FIXED_RESPONSES)),
        )
        for n in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Scene:
    """Problems with scored candidates, and how they become prompts and z."""

    problems: list[Problem]
    scored: list[Scored]
    recipe: Recipe


def sampled(run: Path) -> Scene:
    """What a run's model sampled in its last scored iteration."""
    scored = storage.read_records(max(run.glob("iter-*/scored.jsonl")), Scored)
    return Scene(storage.read_records(run / "problems.jsonl", Problem), scored, load_recipe(run / "recipe.yaml"))


def generated(count: int) -> Scene:
    """Generated problems; candidates are two mutants of the reference and a beginning of it."""
    from itertl.scoring.candidates import score_candidates
    from itertl.synth import generate
    from itertl.synth.mutants import mutants

    problems = generate(0, count, (), "train")
    candidates: list[Candidate] = []
    for p in problems:
        draw = random.Random(p.id)
        reference = p.reference or ""
        texts = [
            *(m.text for m in islice(mutants(reference, draw), 2)),
            reference[: int(len(reference) * draw.uniform(0.5, 1.0))],
        ]
        candidates += [
            Candidate(
                problem_id=p.id, index=i, policy="mutants", settings=SamplingSettings(), seed=i, text=text, code=text,
                finish_reason="stop", prompt_tokens=1, completion_tokens=1,
            )
            for i, text in enumerate(texts)
        ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        scored = score_candidates(
            candidates, {p.id: p for p in problems}, config=ScoreConfig(), out=Path(folder) / "scored.jsonl"
        )
    return Scene(problems, list(scored), Recipe())


def groups_of(scene: Scene, tokenizer: Any, method: Method) -> list[Group]:
    recipe = scene.recipe
    made = build_groups(
        scene.scored,
        scene.problems,
        tokenizer,
        prompt=recipe.prompt,
        score=recipe.score,
        train=recipe.train,
        method=method,
    )
    return list(made.groups)


# --- theirs


def their_loss(model: Any, group: Group, method: Method, device: Any) -> torch.Tensor:
    """One prompt as the released code does it, with the options of ``method`` in place of its constants."""
    rows = [group.prompt_ids + response.token_ids for response in group.responses]
    width = max(map(len, rows))
    ids = torch.tensor([list(row) + [0] * (width - len(row)) for row in rows], device=device)
    attention = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    labels = ids.clone()
    labels[:, : len(group.prompt_ids)] = -100
    labels[attention == 0] = -100
    logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits.float()
    logp = torch.log_softmax(logits, dim=-1)[:, :-1]
    wanted = labels[:, 1:]
    picked = logp.gather(-1, wanted.clamp(min=0).unsqueeze(-1)).squeeze(-1) * (wanted != -100)
    lengths = attention.sum(-1) if method.length_normalizer == "sequence" else (wanted != -100).sum(-1)
    p = picked.sum(-1) / lengths
    if method.softmax:
        p = torch.softmax(p, dim=0)
    ce = -picked[-1].sum() / (wanted[-1] != -100).sum()
    ranking = torch.zeros((), device=device)
    z = [response.z for response in group.responses]
    for low in range(len(z)):
        for high in range(len(z)):
            if z[low] < z[high] - method.beta:
                ranking = ranking + torch.relu(p[low] - p[high] + method.alpha)
    return (ranking + 1) * ce if method.ranking_weight == "product" else ce + ce.detach() * ranking


def run_theirs(session: Session, groups: Sequence[Group], method: Method, *, exactly: bool = False) -> float:
    """``exactly``: in float32 whatever the session's precision."""
    total = 0.0
    kind = torch.device(session.device).type
    is_bf16 = session.accelerator.mixed_precision == "bf16" and not exactly
    for group in groups:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=is_bf16):
            loss = their_loss(session.model, group, method, session.device) / len(groups)
        loss.backward()
        total += float(loss.detach())
    return total


def run_ours(session: Session, groups: Sequence[Group], method: Method) -> float:
    planned = PlannedStep(1, 1.0, 1e-5, tuple(range(len(groups))))
    found = compute_gradients(StepContext(session, groups, method, 0), planned, lambda _: None)
    return found.sums.loss / len(groups)


def run_exactly(session: Session, groups: Sequence[Group], method: Method) -> float:
    return run_theirs(session, groups, method, exactly=True)


WAYS = {"theirs": run_theirs, "ours": run_ours}


def open_model(precision: str, attention: str = "sdpa", model: ModelConfig = ModelConfig()) -> Session:  # noqa: B008
    config = TrainConfig(precision=precision, attention=attention)  # type: ignore[arg-type]
    return open_session(
        load_policy(Policy(resolve_model(model)), config),
        config,
        longest=2048,
        say=lambda text: print(text, file=sys.stderr),
    )


def groups_for(shape: str, arguments: argparse.Namespace, vocabulary: int, method: Method) -> list[Group]:
    if shape == "fixed":
        return fixed_groups(vocabulary, arguments.fixed_groups)
    scene = sampled(arguments.run) if arguments.run else generated(arguments.groups)
    return groups_of(scene, load_tokenizer(resolve_model(ModelConfig())), method)[: arguments.groups]


# --- measuring


def timed(session: Session, way: str, groups: Sequence[Group], method: Method) -> tuple[float, float, torch.Tensor]:
    """Seconds, loss, and the whole gradient."""
    session.optimizer.zero_grad(set_to_none=True)
    wait()
    start = time.perf_counter()
    loss = (WAYS | {"exactly": run_exactly})[way](session, groups, method)
    wait()
    seconds = time.perf_counter() - start
    return seconds, loss, torch.cat([p.grad.flatten().float() for p in session.parameters])


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_gb(way: str, precision: str, attention: str, groups: Sequence[Group], method: Method) -> float:
    """Memory above weights and gradients, in a process that does nothing else. Called in that process."""
    session = open_model(precision, attention)
    for parameter in session.parameters:
        parameter.grad = torch.zeros_like(parameter)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _keep_gradients(session, way, groups, method)
        return (torch.cuda.max_memory_allocated() - before) / 1e9
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = status_kb("VmRSS")
    _keep_gradients(session, way, groups, method)
    return (status_kb("VmHWM") - before) * 1024 / 1e9


def _keep_gradients(session: Session, way: str, groups: Sequence[Group], method: Method) -> None:
    """A step into gradients that are allocated already."""
    session.optimizer.zero_grad = lambda set_to_none=True: None
    WAYS[way](session, groups, method)


def status_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def in_own_process(arguments: argparse.Namespace, way: str, precision: str, attention: str) -> float:
    command = [sys.executable, __file__, "--child", way, "--precisions", precision, "--attentions", attention]
    command += ["--fixed-groups", str(arguments.fixed_groups)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(arguments: argparse.Namespace, shape: str, precision: str, attention: str) -> dict[str, Any]:
    method = METHODS["rtlcoder" if shape == "fixed" else "itertl"]
    session = open_model(precision, attention)
    groups = groups_for(shape, arguments, session.model.config.vocab_size, method)
    for way in WAYS:  # caches, threads and clocks warm; on a GPU kernels are chosen and compiled for the sizes at hand
        timed(session, way, groups if torch.cuda.is_available() else groups[:1], method)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    losses: dict[str, float] = {}
    gradients: dict[str, torch.Tensor] = {}
    for number in range(arguments.rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            took, losses[way], gradients[way] = timed(session, way, groups, method)
            seconds[way].append(took)
    best = {way: min(times) for way, times in seconds.items()}
    apart = float((gradients["ours"] - gradients["theirs"]).norm() / gradients["theirs"].norm())
    loss_apart = abs(losses["ours"] - losses["theirs"]) / abs(losses["theirs"])
    row: dict[str, Any] = {"agree": loss_apart < 1e-3 and apart < 1e-3}
    if precision == "bf16":  # both round: ours may be no further from float32 than theirs is
        _, _, exact = timed(session, "exactly", groups, method)
        row = {f"{way}_from_float32": float((gradients[way] - exact).norm() / exact.norm()) for way in WAYS}
        row["agree"] = loss_apart < 1e-2 and row["ours_from_float32"] <= 1.5 * row["theirs_from_float32"] + 1e-3
    pieces = [group.piece(number, method) for number, group in enumerate(groups)]
    tokens = sum(len(piece) for piece in pieces if piece)
    plain = sum(group.plain_tokens() for group in groups)
    row |= {
        "shape": shape, "precision": precision, "attention": attention, "groups": len(groups), "ours_s": best["ours"],
        "theirs_s": best["theirs"],
        "ratio": best["theirs"] / best["ours"], "all_s": seconds, "loss_apart": loss_apart, "gradient_apart": apart,
        "tokens": tokens, "plain_tokens": plain,
        "tokens_per_s": tokens / best["ours"], "active_pairs": sum(len(g.pairs(method)) for g in groups),
        "pairs": sum(len(g.responses) * (len(g.responses) - 1) // 2 for g in groups),
    }  # fmt: skip
    if torch.cuda.is_available():
        row["mfu"] = 6 * sum(p.numel() for p in session.parameters) * tokens / best["ours"] / _peak_flops()
        row["device"] = torch.cuda.get_device_name()
    del session, gradients
    if not arguments.no_memory and shape == "fixed":
        memory = {way: in_own_process(arguments, way, precision, attention) for way in WAYS}
        row |= {f"{way}_gb": value for way, value in memory.items()}
        row["memory_share"] = memory["ours"] / memory["theirs"]
    return row


def _peak_flops() -> float:
    """Of a large matrix product in bf16 on this card: what it reaches, not what its data sheet says."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    wait()
    start = time.perf_counter()
    for _ in range(10):
        a @ a
    wait()
    return 10 * 2 * 8192**3 / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--groups", type=int, default=64, help="groups of the shape sampled")
    parser.add_argument("--fixed-groups", type=int, default=1, help="copies of the fixed shape, with other tokens each")
    parser.add_argument("--run", type=Path, default=None, help="a run's folder, for really sampled candidates")
    parser.add_argument("--shapes", nargs="+", default=["fixed", "sampled"], choices=["fixed", "sampled"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    parser.add_argument("--attentions", nargs="+", default=["sdpa"], choices=["sdpa", "flex"])
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory of the fixed shape")
    parser.add_argument("--child", choices=list(WAYS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        groups = fixed_groups(49152, arguments.fixed_groups)
        peak = peak_gb(arguments.child, arguments.precisions[0], arguments.attentions[0], groups, METHODS["rtlcoder"])
        print(json.dumps(peak))
        return
    # the sampled shape in float32 alone: bf16 is measured on the fixed one
    wanted = [
        (s, p, a) for s in arguments.shapes for p in arguments.precisions for a in arguments.attentions
        if s == "fixed" or p == arguments.precisions[0]
    ]  # fmt: skip
    rows = [measure(arguments, *which) for which in wanted]
    last = rows[-1]
    result = {
        "benchmark": "train_step", "unit": "seconds per step", "ours": last["ours_s"], "theirs": last["theirs_s"],
        "ratio": last["ratio"], "agree": all(row["agree"] for row in rows), "rows": rows, "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(), "load": os.getloadavg()[0],
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result))
        return
    for row in rows:
        memory = f", memory {row['memory_share']:.2f} of theirs" if "memory_share" in row else ""
        print(
            f"{row['shape']}, {row['precision']}, {row['attention']}: theirs {row['theirs_s']:.2f} s, ours "
            f"{row['ours_s']:.2f} s, "
            f"{row['ratio']:.2f} times{memory}; gradients differ by {row['gradient_apart']:.1e}"
        )
    print(f"{result['ratio']:.2f} times")


if __name__ == "__main__":
    main()
