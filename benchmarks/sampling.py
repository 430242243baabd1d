"""What sampling candidates costs: one prompt a call as RTLCoder does, plain batched ``generate``, and ours, in
alternation.

The problems are real pairs where ``--pairs FILE`` is given (64 of them, as ``train-pairs``), else generated ones. Three
samples each, 128 new tokens, temperature 0.5, top-p 0.95. Tokens are counted up to a row's end token: what ``generate``
computes behind it for the sake of the others is waste. The first way is measured on a few requests (it takes half an
hour for all). That the ways agree is checked greedily: equal ids, or a near tie where they part.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from itertl.config import DataConfig, ModelConfig, PromptConfig, SampleConfig
from itertl.model.find import resolve_model
from itertl.model.load import has_fast_bf16, load_model, load_tokenizer
from itertl.model.policy import Policy
from itertl.model.prompts import encode_prompt
from itertl.problems.load import from_config
from itertl.records import SamplingSettings
from itertl.sampling.batching import SampleRequest, plan_batches, plan_requests
from itertl.sampling.draw import open_backend

Requests = Sequence[SampleRequest]


def requests_for(arguments: argparse.Namespace, path: Any) -> list[SampleRequest]:
    source = DataConfig() if arguments.pairs is None else DataConfig(
        source=str(arguments.pairs), format="train-pairs", header="derive", max_chars=2000
    )  # fmt: skip
    data = source.model_copy(update={"limit": arguments.problems})
    tokenizer = load_tokenizer(path)
    prompt = PromptConfig(system="", header="prefill")
    problems = from_config(data, 0).problems
    return plan_requests([(p.id, encode_prompt(p, prompt, tokenizer)) for p in problems], arguments.samples, 0)


# --- their ways


class Plain:
    """``generate`` on left-padded prompts."""

    def __init__(self, path: Any, dtype: str) -> None:
        self.model = load_model(path, dtype=dtype)
        self.tokenizer = load_tokenizer(path)

    def __call__(self, batch: Requests, settings: SamplingSettings) -> list[tuple[int, ...]]:
        width = max(len(r.prompt.token_ids) for r in batch)
        rows = [[0] * (width - len(r.prompt.token_ids)) + list(r.prompt.token_ids) for r in batch]
        masks = [[0] * (width - len(r.prompt.token_ids)) + [1] * len(r.prompt.token_ids) for r in batch]
        device = self.model.device
        drawing = {"do_sample": False} if settings.temperature == 0 else {
            "do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0
        }  # fmt: skip
        found = self.model.generate(
            input_ids=torch.tensor(rows, device=device), attention_mask=torch.tensor(masks, device=device),
            max_new_tokens=settings.max_new_tokens, pad_token_id=self.tokenizer.pad_token_id, **drawing,
        )  # fmt: skip
        return [self._until_end(row[width:].tolist()) for row in found]

    def _until_end(self, ids: list[int]) -> tuple[int, ...]:
        ends = {self.tokenizer.eos_token_id, self.model.generation_config.eos_token_id}
        stop = next((number for number, token in enumerate(ids) if token in ends), len(ids) - 1)
        return tuple(ids[: stop + 1])


class Ours:
    """The back end as a recipe opens it."""

    def __init__(self, path: Any, config: SampleConfig) -> None:
        self.backend = open_backend(Policy(path), config)

    def __call__(self, batch: Requests, settings: SamplingSettings) -> list[tuple[int, ...]]:
        return [g.token_ids or () for g in self.backend(batch, settings)]


def build(way: str, path: Any, arguments: argparse.Namespace) -> tuple[Any, int]:
    """The way and its batch size."""
    if way == "one":
        return Plain(path, arguments.dtype), 1
    if way == "plain":
        return Plain(path, arguments.dtype), arguments.batch
    config = SampleConfig(dtype=arguments.dtype, batch_size=arguments.our_batch, backend=arguments.backend)
    return Ours(path, config), config.batch_size


# --- measuring


def run(way: Any, batches: Sequence[Requests], settings: SamplingSettings) -> tuple[float, int]:
    """Seconds, and tokens that were wanted."""
    start, tokens = time.perf_counter(), 0
    for batch in batches:
        tokens += sum(len(ids) for ids in way(batch, settings))
    return time.perf_counter() - start, tokens


def disagreements(first: Any, second: Any, batch: Requests, model: Any) -> list[str]:
    """Greedy texts that part where the model's two best logits are not nearly equal."""
    settings = SamplingSettings(temperature=0, max_new_tokens=48)
    found: list[str] = []
    for request, a, b in zip(batch, first(batch, settings), second(batch, settings), strict=True):
        apart = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        if apart is None:
            continue
        ids = torch.tensor([[*request.prompt.token_ids, *a[:apart]]], device=model.device)
        with torch.inference_mode():
            logits = model(ids).logits[0, -1].float()
        if abs(float(logits[a[apart]] - logits[b[apart]])) > (1e-3 if model.dtype == torch.float32 else 0.25):
            found.append(request.problem_id)
    return found


def peak_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    lines = Path("/proc/self/status").read_text().splitlines()  # a child's ru_maxrss begins at its parent's
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9


def peak_of(way: str, arguments: argparse.Namespace) -> float:
    """In a process of its own, over the first batch."""
    given = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in vars(arguments).items()
        if value is not None and name not in ("child", "json", "memory")
    ]
    done = subprocess.run(
        [sys.executable, __file__, "--child", way, *given], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--pairs", type=Path, help="train-pairs file with real instructions")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64, help="of plain generate")
    parser.add_argument("--our-batch", type=int, default=192)
    parser.add_argument("--one", type=int, default=4, help="requests measured one a call")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16" if has_fast_bf16() else "float32")
    parser.add_argument("--backend", default="transformers")
    parser.add_argument("--memory", action="store_true", help="peak memory of each way too, in processes of their own")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    path = resolve_model(ModelConfig())
    requests = requests_for(arguments, path)
    settings = SamplingSettings(temperature=0.5, top_p=0.95, max_new_tokens=arguments.tokens)
    if arguments.child:
        way, size = build(arguments.child, path, arguments)
        run(way, plan_batches(requests, size)[:1], settings)
        print(peak_gb())
        return
    ways = {name: build(name, path, arguments) for name in ("one", "plain", "ours")}
    plain: Plain = ways["plain"][0]
    wrong = disagreements(plain, ways["ours"][0], plan_batches(requests, 8)[0], plain.model)
    seconds = dict.fromkeys(ways, 0.0)
    tokens = dict.fromkeys(ways, 0)
    for number in range(arguments.rounds):
        for name in list(ways) if number % 2 == 0 else list(reversed(ways)):
            way, size = ways[name]
            asked = requests[:: max(1, len(requests) // arguments.one)][: arguments.one] if name == "one" else requests
            took, count = run(way, plan_batches(asked, size), settings)
            seconds[name] += took
            tokens[name] += count
    rates = {name: tokens[name] / seconds[name] for name in ways}
    parameters = sum(p.numel() for p in plain.model.parameters())
    share = 2 * parameters * rates["ours"] / product_speed(plain.model.dtype, plain.model.device)
    result: dict[str, Any] = {
        "benchmark": "sampling", "unit": "tokens per second", "ours": rates["ours"], "theirs": rates["plain"],
        "ratio": rates["ours"] / rates["plain"], "ratio_over_one": rates["ours"] / rates["one"], "agree": not wrong,
        "one": rates["one"], "tokens": tokens, "seconds": seconds, "dtype": arguments.dtype,
        "share_of_arithmetic_limit": share,
        "cpus": os.cpu_count(), "threads": torch.get_num_threads(), "load": os.getloadavg()[0],
    }  # fmt: skip
    if torch.cuda.is_available():
        result["device"] = torch.cuda.get_device_name()
    if arguments.memory:
        result["peak_gb"] = {name: peak_of(name, arguments) for name in ("plain", "ours")}
    if arguments.json:
        print(json.dumps(result))
        return
    for name in ways:
        memory = f", peak {result['peak_gb'][name]:.2f} GB" if name in result.get("peak_gb", {}) else ""
        print(f"{name:6} {rates[name]:8.1f} tokens/s ({tokens[name]} tokens, {seconds[name]:.1f} s){memory}")
    print(
        f"{share:.0%} of the arithmetic limit; {result['ratio_over_one']:.1f} times one prompt a call; agree: "
        f"{not wrong}"
    )
    print(f"{result['ratio']:.2f} times")


def product_speed(dtype: torch.dtype, device: Any) -> float:
    """Operations a second of a large matrix product."""
    size = 2048 if str(device) == "cpu" else 8192
    a = torch.randn(size, size, device=device, dtype=dtype)
    count, start = -1, 0.0
    while count < 3 or time.perf_counter() - start < 0.5:
        (a @ a)[0, 0].item()
        count += 1
        start = time.perf_counter() if count == 0 else start
    return count * 2 * size**3 / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
