"""The training stage: scored candidates in, an ordinary checkpoint and an honest account of it out.

This module imports no torch; the work is in ``trainer``, imported when it starts.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from itertl.config import PromptConfig, ScoreConfig, TrainConfig
from itertl.progress import QUIET, Tracker
from itertl.records import Problem, Scored
from itertl.training.methods import Method

StageTracker = Callable[[int, int], AbstractContextManager[Tracker]]


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
    share_active_pairs: float | None  # of all pairs of responses, those with z_k < z_tau - beta
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


@dataclass(frozen=True, slots=True)
class TrainInputs:
    """All that decides the result of one round, and where it goes."""

    scored: Sequence[Scored]
    problems: Sequence[Problem]
    model: str | Path
    out: Path
    log: Path
    state: Path
    config: TrainConfig
    method: Method
    prompt: PromptConfig
    score: ScoreConfig
    seed: int
    kl_problems: int
    dtype: str
    tracking_dir: Path | None
    trust_remote_code: bool
    revision: str | None


def _quiet_stage(total: int, done: int) -> AbstractContextManager[Tracker]:
    return QUIET.stage("train", total, done)


def train(
    scored: Sequence[Scored],
    problems: Sequence[Problem],
    *,
    model: str | Path,
    out: Path,
    log: Path,
    state: Path,
    config: TrainConfig,
    method: Method,
    prompt: PromptConfig,
    score: ScoreConfig,
    seed: int,
    kl_problems: int = 0,
    stage: StageTracker = _quiet_stage,
    say: Callable[[object], None] = QUIET.say,
    dtype: str = "float32",
    tracking_dir: Path | None = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> TrainResult:
    """Train ``model`` on the groups made of ``scored`` and ``problems``; go on where an earlier call was stopped.

    Args:
        model: ``save_pretrained`` folder or hub name of the policy to start from; it is not changed.
        out: folder of the new checkpoint (weights of ``dtype``, tokenizer), complete or absent.
        log: ``TrainStep`` records, one for each optimizer step; beside it ``NAME.partial`` while training runs.
        state: folder for resuming; removed at the end, discarded where it belongs to other inputs.
        seed: of this round; order of groups, dropout and adapters derive from it.
        kl_problems: measure the shift of the policy on the samples of this many problems; 0: not.
        stage: opens a progress tracker given total and done, counted in groups.
        dtype: of the saved weights. Training itself keeps float32 weights (with LoRA the frozen ones are ``dtype``).
        tracking_dir: folder for TensorBoard, used where it is installed.

    Raises:
        DataError: nothing to train on, or candidates that do not belong to the problems or to this model.
        TrainingDiverged: loss or gradient is not finite; ``state`` then holds the weights before that step.
        KeyboardInterrupt: passed on after the state was saved.
    """
    from itertl.training import trainer

    inputs = TrainInputs(
        scored, problems, model, out, log, state, config, method, prompt, score, seed, kl_problems, dtype,
        tracking_dir, trust_remote_code, revision,
    )  # fmt: skip
    return trainer.run(inputs, stage, say)
