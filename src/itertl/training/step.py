"""One optimizer step: gradients of the mean loss over its groups, checked, clipped, applied.

The loss of a group is computed from its responses' log-probabilities as plain numbers, with its derivative by each; the
gradient of (derivative · log-probability) then goes back through the model. By the chain rule that is the gradient of
the loss itself. A micro-batch that holds all of its groups' responses is done in one pass; a group that is larger than
the token budget takes two: all log-probabilities without gradient first, then piece by piece with it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from itertl.errors import TrainingDiverged
from itertl.records import TrainStep
from itertl.training.batches import Group
from itertl.training.collate import collate
from itertl.training.methods import Method
from itertl.training.objective import Sums, by_group, group_loss
from itertl.training.packing import MicroBatch, Piece, Work, missing, plan, plan_shares
from itertl.training.response_model import response_logprobs
from itertl.training.schedule import PlannedStep
from itertl.training.session import Session, is_out_of_memory
from itertl.work.seeds import derive_seed

_FP16_TRIES = 24  # the loss scale starts at 2**16 and halves with each overflow
SMALLEST_BUDGET = 64  # tokens; where even so many do not fit, no splitting helps

Initial = Mapping[int, Mapping[int, Tensor]]  # group -> slot -> token log-probabilities of the round's first policy


@dataclasses.dataclass(frozen=True, slots=True)
class StepContext:
    """What all steps of a round have in common."""

    session: Session
    groups: Sequence[Group]
    method: Method
    seed: int  # of the round
    max_grad_norm: float | None = None
    initial: Initial | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Gradients:
    """What accumulation over a step found, summed over all processes."""

    sums: Sums
    norm: float  # before clipping
    bad: tuple[str, ...]  # problems of this process whose loss is not finite
    is_finite: bool  # every loss, on all processes


@dataclasses.dataclass(slots=True)
class Accumulation:
    """The gradient of one step while it comes together on one process."""

    context: StepContext
    scale: float  # of each group's loss in the step's gradient
    seed: int  # of this step and process
    advance: Callable[[int], None]
    left: int = 0  # backward passes that are still to come
    sums: Sums = dataclasses.field(default_factory=Sums)
    bad: list[str] = dataclasses.field(default_factory=list)

    def work_off(self, work: Work, longest: Work | None = None) -> None:
        """Forward and backward passes over all of ``work``.

        ``longest``: how many of each kind the busiest process makes. A sharded model needs as many of every process:
        one that has fewer repeats a micro-batch at weight zero.
        """
        whole = [*work.whole, *missing(work.whole, longest.whole if longest else ())]
        split = [*work.split, *missing(work.split, longest.split if longest else ())]
        self.left = len(whole) + len(split)
        for number, batch in enumerate(whole, 1):
            counts = number <= len(work.whole)
            self._seed("whole", number)
            known = self._forward(batch, counts)
            self._back(known, self._slopes(known) if counts else {})
        found: dict[tuple[int, int], Tensor] = {}
        with torch.no_grad():
            for number, batch in enumerate(split):
                self._seed("split", number)
                known = self._forward(batch, number < len(work.split))
                found |= known if number < len(work.split) else {}
        slopes = self._slopes(found) if work.split else {}
        for number, batch in enumerate(split):
            self._seed("split", number)
            counts = number < len(work.split)
            self._back(self._forward(batch, counts), slopes if counts else {})

    def count(self, number: int, logp: Mapping[int, Tensor]) -> Tensor:
        """The loss of a group, which is counted. ``logp`` is empty where nothing of it need go through the model."""
        context = self.context
        initial = None if context.initial is None else context.initial[number]
        total, sums = group_loss(context.groups[number], logp, context.method, initial)
        self.sums.add(sums)
        if not math.isfinite(sums.loss):
            self.bad.append(context.groups[number].problem_id)
        self.advance(1)
        return total

    def _seed(self, kind: str, number: int) -> None:
        """Dropout that is the same in both passes over a piece."""
        torch.manual_seed(derive_seed(self.seed, kind, number))

    def _forward(self, batch: MicroBatch, counts: bool) -> dict[tuple[int, int], Tensor]:
        session = self.context.session
        collated = collate(batch, session.layout.multiple)
        self.sums.tokens += collated.tokens if counts else 0
        return response_logprobs(session.policy, collated, session.device)

    def _slopes(self, found: Mapping[tuple[int, int], Tensor]) -> dict[tuple[int, int], Tensor]:
        """Derivative of the step's loss by each token's log-probability; groups are counted.

        On the CPU wherever the model is: these are hundreds of operations on a few numbers each.
        """
        flat = torch.cat(
            [values.detach().float() for values in found.values()]
        ).cpu()  # one copy, because each is a wait
        parts = flat.split([len(values) for values in found.values()])
        leaves = {slot: part.detach().requires_grad_() for slot, part in zip(found, parts, strict=True)}
        for number, logp in by_group(leaves, sorted({number for number, _ in leaves})).items():
            total = self.count(number, logp)
            if total.requires_grad:
                (total * self.scale).backward()
        return {slot: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for slot, leaf in leaves.items()}

    def _back(self, found: Mapping[tuple[int, int], Tensor], slopes: Mapping[tuple[int, int], Tensor]) -> None:
        """The gradient of (derivative · log-probability) through the model; without slopes it is zero."""
        logp_N = torch.cat(list(found.values()))
        slope_N = torch.cat([slopes[slot] for slot in found]).to(logp_N) if slopes else torch.zeros_like(logp_N)
        self.left -= 1
        self.context.session.backward((logp_N * slope_N).sum(), is_last=self.left == 0)


def compute_gradients(context: StepContext, planned: PlannedStep, advance: Callable[[int], None]) -> Gradients:
    """Fill ``.grad`` with the gradient of the mean loss over the step's groups, clipped.

    Each process back-propagates its own groups; averaging over processes gives the mean over all groups, however
    unevenly they fall. Where memory runs out, the token budget is halved, and the step is done again. ``advance`` is
    called with the number of groups that were just counted.
    """
    session, accelerator = context.session, context.session.accelerator
    while True:
        session.optimizer.zero_grad(set_to_none=True)
        done = Accumulation(
            context, accelerator.num_processes / len(planned.indices),
            derive_seed(context.seed, "step", planned.step, accelerator.process_index), advance,
        )  # fmt: skip
        if not _ran_out(session, lambda current=done: _accumulate(current, planned)):
            break
        session.halve_budget(planned.step)
        advance = _ignore
    session.average_gradients()
    sums, num_bad = _over_processes(accelerator, done.sums, len(done.bad))
    return Gradients(sums, session.clip(context.max_grad_norm), tuple(done.bad), num_bad == 0)


def _accumulate(done: Accumulation, planned: PlannedStep) -> None:
    context, session, accelerator = done.context, done.context.session, done.context.session.accelerator
    found = {number: context.groups[number].piece(number, context.method) for number in planned.indices}
    pieces = [piece for piece in found.values() if piece is not None]
    works = plan_shares(pieces, session.layout, accelerator.num_processes)
    longest = None
    if session.is_sharded:
        longest = Work(max((w.whole for w in works), key=len), max((w.split for w in works), key=len))
        if session.is_deepspeed and not longest.tokens():  # its step wants a pass, even of weight zero
            first = context.groups[planned.indices[0]]
            longest = plan([Piece(0, first.prompt_ids, (first.responses[0].token_ids,), (0,))], session.layout)
    with session.accumulating():
        done.work_off(works[accelerator.process_index], longest)
    idle = [number for number, piece in found.items() if piece is None]
    for number in idle[accelerator.process_index :: accelerator.num_processes]:
        done.count(number, {})


def _ran_out(session: Session, work: Callable[[], None]) -> bool:
    """Whether memory ran out, on any process.

    The other processes of a sharded model would wait for ever, so there it is raised.
    """
    try:
        work()
        ran_out = False
    except (RuntimeError, MemoryError) as error:
        if session.is_sharded or not is_out_of_memory(error) or session.layout.budget <= SMALLEST_BUDGET:
            raise
        ran_out = True
    if session.accelerator.num_processes == 1 or session.is_sharded:
        return ran_out
    flag = torch.tensor([float(ran_out)], device=session.device)
    return bool(session.accelerator.reduce(flag, "sum").item() > 0)


def _ignore(_: int) -> None:
    """Groups that are computed again were counted before."""


def _over_processes(accelerator: Any, sums: Sums, num_bad: int) -> tuple[Sums, int]:
    if accelerator.num_processes == 1:
        return sums, num_bad
    names = [item.name for item in dataclasses.fields(Sums)]
    values = torch.tensor([*(getattr(sums, name) for name in names), num_bad], dtype=torch.float64)
    total = accelerator.reduce(values.to(accelerator.device), "sum").tolist()
    return Sums(**dict(zip(names, total[:-1], strict=True))), int(total[-1])


def finite_gradients(context: StepContext, planned: PlannedStep, advance: Callable[[int], None]) -> Gradients:
    """``compute_gradients``, done again with half the loss scale where float16 overflowed.

    Raises TrainingDiverged, naming the step and its problems, where loss or gradient is not finite; no weight has
    changed then.
    """
    session = context.session
    found = compute_gradients(context, planned, advance)
    for _ in range(_FP16_TRIES if session.accelerator.scaler is not None else 0):
        if not found.is_finite or math.isfinite(found.norm):
            break
        session.optimizer.step()  # the scaler finds the overflow, skips the update and lowers the scale
        found = compute_gradients(context, planned, _ignore)
    if found.is_finite and math.isfinite(found.norm):
        return found
    session.optimizer.zero_grad(set_to_none=True)
    what = "the gradient" if found.is_finite else "the loss"
    names = found.bad or tuple(context.groups[index].problem_id for index in planned.indices)
    raise TrainingDiverged(
        f"step {planned.step}: {what} is not finite (loss {found.sums.loss / len(planned.indices)}, gradient norm "
        f"{found.norm}); problems: {', '.join(names)}. The weights before this step are kept; lower "
        "train.learning_rate, set train.max_grad_norm, or look at these problems"
    )


def log_row(planned: PlannedStep, found: Gradients) -> TrainStep:
    """The line of the log for a step."""
    sums, count = found.sums, found.sums.groups
    return TrainStep(
        step=planned.step, epoch=planned.epoch, learning_rate=planned.learning_rate, grad_norm=found.norm,
        loss=sums.loss / count, loss_ce=sums.ce / count, loss_ranking=sums.ranking / count, lam=sums.lam / count,
        groups=int(count), tokens=int(sums.tokens), plain_tokens=int(sums.plain_tokens),
        pairs=int(sums.pairs), pairs_active=int(sums.active), pairs_hinged=int(sums.hinged),
    )  # fmt: skip
