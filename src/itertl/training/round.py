"""One round of training as two values: what goes in, and what was done. ``trainer`` does it.

This module imports no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.config import ScoreConfig, TrainConfig
from itertl.model.policy import Policy
from itertl.records import Problem, Scored
from itertl.training.methods import Method


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """All that decides the result of one round, and where it goes."""

    scored: Sequence[Scored]
    problems: Sequence[Problem]
    policy: Policy  # to start from; it is not changed
    config: TrainConfig
    method: Method
    score: ScoreConfig
    seed: int  # of this round; order of groups, dropout and adapters derive from it
    out: Path  # folder of the new checkpoint (weights of the policy's dtype, tokenizer), complete or absent
    log: Path  # ``TrainStep`` records, one for each optimizer step; beside it ``NAME.partial`` while training runs
    state: Path  # folder for resuming; removed at the end, discarded where it belongs to other inputs
    kl_problems: int = 0  # measure the shift of the policy on the samples of this many problems; 0: not
    label: str = "train"  # for progress


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What one round of training did. Plain numbers, so that ``dataclasses.asdict`` of it is JSON and reads back.

    Losses are means over the groups of the last epoch; None where nothing was trained or measured.
    """

    steps: int
    groups: int
    loss: float | None
    loss_ce: float | None
    loss_ranking: float | None
    share_hinged: float | None  # of the last epoch's active pairs, those with a positive hinge
    share_active_pairs: float | None  # of all pairs of responses, those with z_k < z_tau - beta that are compared
    tokens: int  # put through the model in training, prompts included, padding left out
    plain_tokens: int  # what one pass for each response, each with its own prompt, would have put through it
    reference_tokens: int  # response tokens of references, counted each time they were trained on
    candidate_tokens: int  # the same of candidates; those skipped because their gradient is zero are not counted
    mean_logp_old: float | None  # per token, of sampled candidates, before training
    mean_logp_new: float | None  # after
    kl_old_new: float | None  # mean over samples of log pi_old - log pi_new, nats a sequence
    candidates: int
    duplicates: int
    dropped_too_long: int
    references_too_long: int
    prompts_too_long: int
    problems_without_reference: int
    candidates_unscored: int
    candidates_empty: int
    groups_of_equal_z: int = 0  # left with their reference alone by ``train.groups: mixed``
    candidates_of_equal_z: int = 0
    candidates_rejected: int = 0  # by rejection sampling
    verified: int | None = None  # right candidates whose cross-entropy was taken; None: not the method's
    signal_pairs: int | None = None  # with credit by signal (see ``credit.CreditCounts``); None: not the method's
    signal_pairs_clear: int | None = None
    share_slice_tokens: float | None = None
