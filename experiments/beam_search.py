"""Beam search as a strategy to compare with: transformers' own, for ``search_curves.py``.

Of N beams each step costs N tokens, so an answer counts N times its length. A beam ends at an end token, or at
"endmodule".
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from itertl.cli.options import recipe_of
from itertl.evaluation.benchmarks import Benchmark
from itertl.model.load import end_token_ids, load_model, load_tokenizer
from itertl.model.policy import sampled_policy
from itertl.model.prompt_form import with_form
from itertl.model.prompts import clean, encode_prompt
from itertl.records import Attempt, Examined, SamplingSettings, Verdict
from itertl.runs.storage import write_records, write_text
from itertl.sampling.backend import Generation
from itertl.sampling.batching import plan_requests
from itertl.sampling.draw import as_candidate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def search(
    model: str, overrides: Sequence[str], benchmark: Benchmark, beams: int, max_new_tokens: int, folder: Path
) -> None:
    """Write one attempt for each problem into ``folder``, as ``itertl eval`` with a strategy does."""
    recipe = with_form(recipe_of(None, list(overrides), model, None), print)
    policy = sampled_policy(recipe)
    tokenizer = load_tokenizer(policy.path, revision=policy.revision)
    network = load_model(policy.path, revision=policy.revision)
    prompts = [(p.id, encode_prompt(p, policy.prompt, tokenizer)) for p in benchmark.problems]
    wanted = {p.id: (clean(p.header), p.top) for p in benchmark.problems}
    settings = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=max_new_tokens)
    attempts: list[Attempt] = []
    took: list[str] = []
    for request in plan_requests(prompts, 1, 0, wanted):
        began = time.monotonic()
        found = _best(network, tokenizer, request.prompt.token_ids, beams, max_new_tokens)
        candidate = as_candidate(request, found, settings, policy.digest)
        tokens = beams * candidate.completion_tokens
        said = Examined(verdict=Verdict.SCORED, rank=0.0)
        candidate = candidate.model_copy(update={"completion_tokens": tokens})
        attempts.append(Attempt(candidate=candidate, search=0, round=0, examined=said))
        took.append(json.dumps({"drawing": round(time.monotonic() - began, 6), "tools": 0.0}) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"samples-{benchmark.name}-t0.seconds.jsonl", "".join(took))
    write_records(folder / f"samples-{benchmark.name}-t0.attempts.jsonl", attempts)
    write_text(folder / f"eval-{benchmark.name}.jsonl", "")  # the mark that it is done; its answers are judged later


def _best(
    network: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompt: Sequence[int], beams: int, most: int
) -> Generation:
    """The likeliest answer by mean log-probability, transformers' default."""
    ends = end_token_ids(network, tokenizer)
    asked = torch.tensor([prompt], device=network.device)
    with torch.inference_mode():
        out = cast("Any", network).generate(
            asked, attention_mask=torch.ones_like(asked), num_beams=beams, do_sample=False, max_new_tokens=most,
            eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id, stop_strings=["endmodule"],
            tokenizer=tokenizer, temperature=None, top_p=None, top_k=None,
        )  # fmt: skip
    ids = [int(token) for token in out[0, len(prompt) :]]
    said = [token for token in ids if token not in ends]
    text = str(tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    is_whole = len(said) < len(ids) or "endmodule" in text
    return Generation(text, "stop" if is_whole else "length", tuple(ids))
