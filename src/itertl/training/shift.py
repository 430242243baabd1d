"""Shift of the sampling distribution by one round of training (section 3.2): old and new log-probability of samples.

KL(π_t ‖ π_t+1) is estimated by the mean over samples of log π_t(a|s) - log π_t+1(a|s). The samples were drawn with
temperature and top-p; both policies are measured at temperature 1 without top-p, so this is the shift on the text that
was sampled, not an unbiased KL of the full distributions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from itertl.config import PromptConfig, TrainConfig
from itertl.model.prompts import encode_prompt
from itertl.records import Problem, Scored
from itertl.training.batches import by_problem_id, candidate_tokens
from itertl.training.packing import Piece
from itertl.training.session import Session


@dataclass(frozen=True, slots=True)
class Shift:
    """Means over the measured samples; all None where there were none."""

    mean_logp_old: float | None  # nats a token
    mean_logp_new: float | None
    kl_old_new: float | None  # nats a sequence


def sampled_pieces(
    scored: Sequence[Scored],
    problems: Sequence[Problem],
    tokenizer: Any,
    *,
    prompt: PromptConfig,
    train: TrainConfig,
    num_problems: int,
) -> list[Piece]:
    """Candidates as they were sampled (whole text, no end token where cut) of the first ``num_problems`` problems that
    have any; those longer than ``train.max_length`` are left out."""
    pieces: list[Piece] = []
    by_id = {problem.id: problem for problem in problems}
    sampled = [(ident, candidates) for ident, candidates in by_problem_id(scored, problems).items() if candidates]
    for ident, candidates in sampled[:num_problems]:
        encoded = encode_prompt(by_id[ident], prompt, tokenizer)
        room = train.max_length - len(encoded.token_ids)
        texts = (candidate_tokens(row, encoded, tokenizer, "raw") for row in candidates)
        kept = tuple(ids for ids in texts if 0 < len(ids) <= room)
        if kept and encoded.token_ids:
            pieces.append(Piece(len(pieces), encoded.token_ids, kept, tuple(range(len(kept)))))
    return pieces


def sequence_logprobs(session: Session, pieces: Sequence[Piece]) -> list[float]:
    """log π(a|s) of each response, summed over its tokens, in nats, piece by piece; no gradient, evaluation mode."""
    found = {slot: float(values.sum()) for slot, values in session.logprobs(pieces).items()}
    return [found[piece.group, slot] for piece in pieces for slot in piece.slots]


def shift(pieces: Sequence[Piece], old: Sequence[float], new: Sequence[float]) -> Shift:
    """Compare the log-probabilities before and after."""
    if not pieces:
        return Shift(None, None, None)
    tokens = sum(len(response) for piece in pieces for response in piece.responses)
    differences = [a - b for a, b in zip(old, new, strict=True)]
    return Shift(sum(old) / tokens, sum(new) / tokens, sum(differences) / len(differences))
