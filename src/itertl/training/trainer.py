"""The training loop of one round: scored candidates in, an ordinary checkpoint and its figures out.

Everything that happens in a step follows from the recipe, the seed and the step's number, so an interrupted round goes
on from its saved state and ends in the bytes of an undisturbed one (on a CPU with as many threads).
"""

import dataclasses
import math
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from itertl import faults
from itertl.errors import DataError, TrainingDiverged
from itertl.progress import QUIET, Reporter, Tracker
from itertl.records import TrainStep, content_hash
from itertl.runs import storage
from itertl.training import state
from itertl.training.batches import Group, GroupSet, build_groups
from itertl.training.checkpoint import save_checkpoint
from itertl.training.objective import Sums, by_group
from itertl.training.packing import Piece
from itertl.training.round import TrainingJob, TrainResult
from itertl.training.schedule import PlannedStep, num_steps, plan_steps
from itertl.training.session import Loaded, Session, close_session, load_policy, open_session, resolve_precision
from itertl.training.shift import Shift, sampled_pieces, sequence_logprobs, shift
from itertl.training.step import Initial, StepContext, finite_gradients, log_row


@dataclass(slots=True)
class Round:
    """One round of training while it runs."""

    job: TrainingJob
    session: Session
    tokenizer: Any
    groups: GroupSet
    samples: list[Piece]
    digest: str
    progress: state.Progress
    saved_at: float
    full_budget: int  # tokens of a micro-batch, before memory ran out
    initial: Initial | None = None
    is_whole: bool = True  # False while a step is being applied: such weights are never saved

    def save(self) -> None:
        budget = self.session.layout.budget
        self.progress.budget = budget if budget != self.full_budget else None
        state.save_state(self.session.accelerator, self.job.state, self.digest, self.progress)
        self.saved_at = time.monotonic()


def train(job: TrainingJob, reporter: Reporter = QUIET) -> TrainResult:
    """Train the policy on the groups made of the job's candidates and problems; go on where an earlier call was
    stopped.

    Training itself keeps float32 weights (with LoRA the frozen ones have the policy's dtype).

    Raises:
        DataError: nothing to train on, or candidates that do not belong to the problems or to this model.
        TrainingDiverged: loss or gradient is not finite; ``job.state`` then holds the weights before that step.
        KeyboardInterrupt: passed on after the state was saved.
    """
    state.discard_staged(job.out)
    loaded = load_policy(job.policy, job.config, seed=job.seed)
    current = _begin(job, loaded, reporter.say)
    try:
        _restore(current, reporter.say)
        _loop(current, reporter)
        return _finish(current)
    finally:
        close_session(current.session)


def _begin(job: TrainingJob, loaded: Loaded, say: Callable[[object], None]) -> Round:
    """Groups, measured samples, and the prepared policy."""
    tokenizer = job.policy.tokenizer()
    config = job.config
    if loaded.context is not None:
        config = config.model_copy(update={"max_length": min(config.max_length, loaded.context)})
    groups = build_groups(
        job.scored, job.problems, tokenizer,
        prompt=job.policy.prompt, score=job.score, train=config, method=job.method, seed=job.seed,
    )  # fmt: skip
    _report_counts(groups, config.max_length, say)
    if job.method.ce_target == "verified":
        right = [len(group.verified(job.method)) for group in groups.groups]
        say(f"{sum(right)} right candidates of {sum(map(bool, right))} problems are trained on")
    samples = sampled_pieces(
        job.scored, job.problems, tokenizer, prompt=job.policy.prompt, train=config, num_problems=job.kl_problems
    )
    _check_ids(groups.groups, samples, loaded.vocabulary)
    digest = _digest(job, groups, samples, loaded.state_layout)
    session = open_session(loaded, config, longest=_longest(groups.groups, samples), say=say)
    return Round(
        job, session, tokenizer, groups, samples, digest, state.Progress(), time.monotonic(), session.layout.budget
    )


def _longest(groups: Sequence[Group], samples: Sequence[Piece]) -> int:
    """Tokens of the longest prompt with one response."""
    trained = (len(g.prompt_ids) + len(r.token_ids) for g in groups for r in g.responses)
    measured = (len(p.prompt_ids) + len(ids) for p in samples for ids in p.responses)
    return max([*trained, *measured])


def _restore(current: Round, say: Callable[[object], None]) -> None:
    """The state of an earlier call where there is one; else what is measured before the first step."""
    job, session = current.job, current.session
    restored = state.restore_state(session.accelerator, job.state, current.digest)
    if restored is not None:
        current.progress = restored
        say(f"training goes on after step {restored.step}")
        if restored.budget is not None:
            session.layout = session.layout.with_budget(restored.budget)
    current.initial = _initial_logprobs(current, is_first=restored is None)
    if restored is None:
        current.progress.old_logp = sequence_logprobs(session, current.samples)


def _initial_logprobs(current: Round, *, is_first: bool) -> Initial | None:
    """What the policy that the round began with says of every response that is trained on: computed once and stored."""
    job, session, groups = current.job, current.session, current.groups.groups
    if not job.method.needs_initial:
        return None
    if not is_first:
        return by_group(state.load_initial(job.state, current.digest), range(len(groups)))
    pieces = [piece for number, group in enumerate(groups) if (piece := group.piece(number, job.method)) is not None]
    table = session.logprobs(pieces)
    state.save_initial(session.accelerator, job.state, current.digest, table)
    return by_group(table, range(len(groups)))


def _report_counts(groups: GroupSet, max_length: int, say: Callable[[object], None]) -> None:
    """Say what was left out. Raises DataError where nothing is left."""
    counts = dataclasses.asdict(groups.counts)
    out = {name.replace("_", " "): n for name, n in counts.items() if n and name not in ("candidates", "duplicates")}
    text = ", ".join(f"{n} {name}" for name, n in out.items())
    if not groups.groups:
        raise DataError(
            f"no problem can be trained on ({text or 'none were given'}); give problems with references, or raise "
            f"train.max_length (now {max_length})"
        )
    if out:
        say(f"left out of training (max_length {max_length}): {text}")


def _check_ids(groups: Sequence[Group], samples: Sequence[Piece], vocabulary: int) -> None:
    """Ids sampled by a model with another tokenizer must not reach the embedding."""
    for group in groups:
        for response in group.responses:
            if max(response.token_ids) >= vocabulary or min(response.token_ids) < 0:
                raise DataError(
                    f"problem {group.problem_id}: a response holds a token id outside the model's vocabulary of "
                    f"{vocabulary}; were these candidates sampled from another model?"
                )
    if any(max(ids) >= vocabulary for piece in samples for ids in piece.responses):
        raise DataError(f"a candidate holds a token id outside the model's vocabulary of {vocabulary}; sample again")


def _digest(job: TrainingJob, groups: GroupSet, samples: Sequence[Piece], state_layout: str) -> str:
    """Hash of all that a saved state depends on."""
    config = job.config.model_dump(mode="json", exclude={"save_every_steps", "save_every_seconds", "report_to"})
    config["precision"] = resolve_precision(job.config)  # a state of another processor's precision is begun again
    rows = content_hash([[piece.prompt_ids, piece.responses] for piece in samples])
    method = job.method.settings()
    policy = job.policy
    parts = [config, method, groups.digest, rows, policy.digest, job.seed, policy.dtype, state_layout]
    return content_hash([*parts, torch.__version__], 64)


def _loop(current: Round, reporter: Reporter) -> None:
    """All steps that are still to do."""
    job, progress, groups = current.job, current.progress, current.groups.groups
    steps = list(plan_steps(len(groups), job.config, job.seed, after=progress.step))
    total = job.config.epochs * len(groups)
    partial = storage.partial_of(job.log)
    is_main = current.session.accelerator.is_main_process
    if is_main:
        storage.write_records(partial, progress.rows)  # steps after the saved state are done again
    with reporter.stage(job.label, total, total - sum(len(step.indices) for step in steps)) as tracker:
        try:
            for planned in steps:
                begin = time.monotonic()
                row = _step(current, planned, tracker)
                if is_main:
                    reporter.measured(_measured(row, time.monotonic() - begin), row.step)
                    with partial.open("a", encoding="utf-8") as handle:
                        handle.write(row.to_line() + "\n")
                faults.point("train.step")
                _save_if_due(current, is_last=planned is steps[-1])
        except TrainingDiverged:
            current.save()
            raise
        except KeyboardInterrupt:
            # Processes of a group may be in different steps; only a lone one can save here.
            if current.is_whole and current.session.accelerator.num_processes == 1:
                current.save()
            raise


def _step(current: Round, planned: PlannedStep, tracker: Tracker) -> TrainStep:
    session, job, progress = current.session, current.job, current.progress
    processes = session.accelerator.num_processes
    note = f"loss {progress.rows[-1].loss:.3f}" if progress.rows else ""
    for group in session.optimizer.param_groups:
        group["lr"] = planned.learning_rate
    groups, largest = current.groups.groups, job.config.max_grad_norm
    context = StepContext(session, groups, job.method, job.seed, largest, current.initial)
    found = finite_gradients(context, planned, lambda done: tracker.advance(done * processes, note))
    row = log_row(planned, found)
    current.is_whole = False
    session.step()
    progress.step = planned.step
    progress.rows.append(row)
    current.is_whole = True
    return row


def _measured(row: TrainStep, seconds: float) -> dict[str, float]:
    """A step's numbers for trackers: its row, tokens a second, and the most memory so far, of this process or GPU."""
    if torch.cuda.is_available():
        memory_gb = torch.cuda.max_memory_allocated() / 1e9
    else:
        memory_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    speed = {"tokens_per_s": row.tokens / seconds if seconds > 0 else 0.0, "memory_gb": memory_gb}
    return {name: float(value) for name, value in row.tracked().items()} | speed


def _save_if_due(current: Round, *, is_last: bool) -> None:
    config, accelerator = current.job.config, current.session.accelerator
    due = bool(config.save_every_steps) and current.progress.step % config.save_every_steps == 0
    is_late = time.monotonic() - current.saved_at >= config.save_every_seconds
    if accelerator.num_processes > 1:  # one clock decides for all
        flag = torch.tensor([int(is_late and accelerator.is_main_process)], device=accelerator.device)
        is_late = bool(accelerator.reduce(flag, "sum").item())
    if (due or is_late) and not is_last:
        current.save()


def _finish(current: Round) -> TrainResult:
    """Measure the new policy, write the checkpoint and the log, forget the state."""
    job, session, progress = current.job, current.session, current.progress
    new = sequence_logprobs(session, current.samples)
    if not all(bool(torch.isfinite(p).all()) for p in session.parameters) or not all(map(math.isfinite, new)):
        raise TrainingDiverged(
            f"step {progress.step}, the last: the weights are not finite after it; lower train.learning_rate or set "
            "train.max_grad_norm"
        )
    result = _result(current, shift(current.samples, progress.old_logp, new))
    form = job.policy.prompt
    if not job.method.whole_files and not any(p.header.strip() for p in job.problems):
        form = form.model_copy(update={"header": "omit"})
    save_checkpoint(session, current.tokenizer, job.out, dtype=job.policy.dtype, prompt=form)
    if session.accelerator.is_main_process:
        storage.write_records(job.log, progress.rows)
        storage.partial_of(job.log).unlink(missing_ok=True)
        state.remove_state(job.state)
    session.accelerator.wait_for_everyone()
    return result


_COUNTED = (
    "candidates", "duplicates", "references_too_long", "prompts_too_long", "problems_without_reference",
    "candidates_unscored", "candidates_empty", "groups_of_equal_z", "candidates_of_equal_z", "candidates_rejected",
)  # fmt: skip


def _result(current: Round, moved: Shift) -> TrainResult:
    job, groups = current.job, current.groups
    counts, method, config = groups.counts, job.method, job.config
    per_epoch = math.ceil(len(groups.groups) / config.groups_per_step)
    last = current.progress.rows[-per_epoch:] if config.epochs else []
    sums = Sums()
    for row in last:
        sums.add(Sums(
            groups=row.groups, loss=row.loss * row.groups, ce=row.loss_ce * row.groups,
            ranking=row.loss_ranking * row.groups, active=row.pairs_active, hinged=row.pairs_hinged,
        ))  # fmt: skip
    seen = [g.responses[index] for g in groups.groups for index in g.needed(method)]
    candidates = sum(len(response.token_ids) for response in seen if not response.is_reference)
    references = sum(len(response.token_ids) for response in seen if response.is_reference)
    return TrainResult(
        steps=num_steps(len(groups.groups), config),
        groups=len(groups.groups),
        loss=sums.loss / sums.groups if last else None,
        loss_ce=sums.ce / sums.groups if last else None,
        loss_ranking=sums.ranking / sums.groups if last else None,
        share_hinged=sums.hinged / sums.active if sums.active else None,
        share_active_pairs=groups.num_active_pairs(method) / groups.num_pairs() if groups.num_pairs() else None,
        tokens=sum(row.tokens for row in current.progress.rows),
        plain_tokens=sum(row.plain_tokens for row in current.progress.rows),
        reference_tokens=config.epochs * references,
        candidate_tokens=config.epochs * candidates,
        verified=sum(len(g.verified(method)) for g in groups.groups) if method.ce_target == "verified" else None,
        **dataclasses.asdict(moved),
        **(dataclasses.asdict(groups.credit_counts(method)) if method.credit == "signal" else {}),
        dropped_too_long=counts.candidates_too_long,
        **{name: getattr(counts, name) for name in _COUNTED},
    )
