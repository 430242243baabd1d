"""Where a training step and a decoded token spend the time of a GPU: the dearest kernels, and how long each ran.

python experiments/profile_gpu.py [--groups 32] [--rows 512] [--tokens 32] [--attention sdpa]
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from itertl.config import ModelConfig
from itertl.model.find import resolve_model
from itertl.model.load import end_token_ids, load_model, load_tokenizer
from itertl.model.prompts import EncodedPrompt
from itertl.records import SamplingSettings
from itertl.sampling.batching import SampleRequest
from itertl.sampling.transformers_backend import Ways, decode, find_ways
from itertl.training.methods import METHODS
from train_step import fixed_groups, open_model, run_ours


def show(name: str, work: Callable[[], object], *, top: int) -> None:
    work()  # kernels are chosen, memory is taken
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    print(f"## {name}: {time.perf_counter() - start:.3f} s without the profiler")
    with profile(activities=activities, record_shapes=True) as found:
        work()
    key = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    print(found.key_averages().table(sort_by=key, row_limit=top, max_name_column_width=70))
    print(
        found.key_averages(group_by_input_shape=True).table(sort_by=key, row_limit=top // 2, max_name_column_width=50)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=32)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "flex"])
    parser.add_argument("--top", type=int, default=24)
    arguments = parser.parse_args()
    session = open_model("bf16", arguments.attention)
    groups = fixed_groups(session.model.config.vocab_size, arguments.groups)
    show(
        f"a training step, {arguments.groups} groups",
        lambda: run_ours(session, groups, METHODS["itertl"]),
        top=arguments.top,
    )
    path = resolve_model(ModelConfig())
    model = load_model(path, dtype="bfloat16")
    prompt = EncodedPrompt("", fixed_groups(49152, 1)[0].prompt_ids, "")
    requests = [SampleRequest(str(n), 0, n, prompt) for n in range(arguments.rows)]
    settings = SamplingSettings(temperature=0.5, top_p=0.95, max_new_tokens=arguments.tokens)
    ends = end_token_ids(model, load_tokenizer(path))
    limits = [arguments.tokens] * arguments.rows
    found = find_ways(model)
    for ways in dict.fromkeys((found, Ways(found.shares_prompts))):
        name = f"{arguments.tokens} tokens for {arguments.rows} rows, {ways}"
        show(name, lambda ways=ways: decode(model, requests, limits, settings, ends, ways=ways), top=arguments.top)


if __name__ == "__main__":
    main()
