"""Shift of the sampling distribution by one round of training (section 3.2): old and new log-probability of samples.

KL(π_t ‖ π_t+1) is estimated by the mean over samples of log π_t(a|s) - log π_t+1(a|s). The samples were drawn with
temperature and top-p; both policies are measured at temperature 1 without top-p, so this is the shift on the text that
was sampled, not an unbiased KL of the full distributions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from itertl.config import PromptConfig, TrainConfig
from itertl.records import Problem, Scored
from itertl.training.batches import by_problem_id, candidate_tokens
from itertl.training.forward import Row, response_logprobs


@dataclass(frozen=True, slots=True)
class Shift:
    """Means over the measured samples; all None where there were none."""

    mean_logp_old: float | None  # nats a token
    mean_logp_new: float | None
    kl_old_new: float | None  # nats a sequence


def sampled_rows(
    scored: Sequence[Scored],
    problems: Sequence[Problem],
    tokenizer: Any,
    *,
    prompt: PromptConfig,
    train: TrainConfig,
    num_problems: int,
) -> list[Row]:
    """Candidates as they were sampled (whole text, no end token where cut) of the first ``num_problems`` problems that
    have any; those longer than ``train.max_length`` are left out."""
    from itertl.sampling.prompts import encode_prompt

    rows: list[Row] = []
    used = 0
    for ident, candidates in by_problem_id(scored, problems).items():
        if used >= num_problems:
            break
        if not candidates:
            continue
        used += 1
        encoded = encode_prompt(next(p for p in problems if p.id == ident), prompt, tokenizer)
        found = (Row(encoded.token_ids, candidate_tokens(row, encoded, tokenizer, "raw")) for row in candidates)
        rows += [row for row in found if row.response_ids and row.prompt_ids and len(row) <= train.max_length]
    return rows


def sequence_logprobs(model: Any, rows: Sequence[Row], *, keep_logits: bool, device: Any, batch: int = 4) -> list[float]:
    """log π(a|s) of each row, summed over its response tokens, in nats; without gradient, model in eval mode."""
    was_training = model.training
    model.eval()
    sums: list[float] = []
    with torch.no_grad():
        for first in range(0, len(rows), batch):
            out = response_logprobs(model, rows[first : first + batch], keep_logits=keep_logits, device=device)
            masked = torch.where(out.mask, out.token_logp, torch.zeros_like(out.token_logp))
            sums += masked.float().sum(dim=1).tolist()
    model.train(was_training)
    return sums


def shift(rows: Sequence[Row], old: Sequence[float], new: Sequence[float]) -> Shift:
    """Compare the log-probabilities before and after."""
    if not rows:
        return Shift(None, None, None)
    tokens = sum(len(row.response_ids) for row in rows)
    differences = [a - b for a, b in zip(old, new, strict=True)]
    return Shift(sum(old) / tokens, sum(new) / tokens, sum(differences) / len(rows))
