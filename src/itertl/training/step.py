"""One optimizer step: gradients of the mean loss over its groups, checked, clipped, applied."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from itertl.config import TrainConfig
from itertl.errors import TrainingDiverged
from itertl.records import TrainStep
from itertl.seeds import derive_seed
from itertl.training.batches import Group
from itertl.training.methods import Method
from itertl.training.objective import Sums, group_losses
from itertl.training.schedule import PlannedStep, micro_batches
from itertl.training.session import Session

_FP16_TRIES = 24  # the loss scale starts at 2**16 and halves with each overflow


@dataclasses.dataclass(frozen=True, slots=True)
class Gradients:
    """What accumulation over a step found, summed over all processes."""

    sums: Sums
    norm: float  # before clipping
    bad: tuple[str, ...]  # problems of this process whose loss is not finite
    is_finite: bool  # every loss, on all processes


def compute_gradients(
    session: Session,
    planned: PlannedStep,
    groups: Sequence[Group],
    config: TrainConfig,
    method: Method,
    seed: int,
    advance: Callable[[int], None],
) -> Gradients:
    """Fill ``.grad`` with the gradient of the mean loss over the step's groups, clipped.

    Each process back-propagates its own groups, weighted so that averaging over processes (which DDP and FSDP do)
    gives the mean over all groups, however unevenly they fall.
    """
    accelerator = session.accelerator
    torch.manual_seed(derive_seed(seed, "step", planned.step, accelerator.process_index))
    session.optimizer.zero_grad(set_to_none=True)
    sums, bad = Sums(), list[str]()
    batches = micro_batches(planned.indices, config.micro_batch_groups, accelerator.process_index, accelerator.num_processes)
    scale = accelerator.num_processes / len(planned.indices)
    for number, (indices, counts) in enumerate(batches):
        chosen = [groups[index] for index in indices]
        last = number == len(batches) - 1
        with nullcontext() if last else accelerator.no_sync(session.model):
            found = group_losses(session.model, chosen, method, keep_logits=session.keep_logits, device=session.device)
            loss = torch.stack([item.total for item in found]).sum()
            accelerator.backward(loss * (scale if counts else 0.0))
        if counts:
            for group, item in zip(chosen, found, strict=True):
                sums.add(item.sums)
                if not math.isfinite(item.sums.loss):
                    bad.append(group.problem_id)
            advance(len(indices))
    sums, num_bad = _over_processes(accelerator, sums, len(bad))
    norm = accelerator.clip_grad_norm_(session.parameters, config.max_grad_norm or math.inf)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return Gradients(sums, float(norm), tuple(bad), num_bad == 0)


def _over_processes(accelerator: Any, sums: Sums, num_bad: int) -> tuple[Sums, int]:
    if accelerator.num_processes == 1:
        return sums, num_bad
    names = [item.name for item in dataclasses.fields(Sums)]
    values = torch.tensor([*(getattr(sums, name) for name in names), num_bad], dtype=torch.float64)
    total = accelerator.reduce(values.to(accelerator.device), "sum").tolist()
    return Sums(**dict(zip(names, total[:-1], strict=True))), int(total[-1])


def finite_gradients(
    session: Session,
    planned: PlannedStep,
    groups: Sequence[Group],
    config: TrainConfig,
    method: Method,
    seed: int,
    advance: Callable[[int], None],
) -> Gradients:
    """``compute_gradients``, done again with half the loss scale where float16 overflowed.

    Raises TrainingDiverged, naming the step and its problems, where loss or gradient is not finite; no weight has
    changed then.
    """
    scaler = session.accelerator.scaler
    found = compute_gradients(session, planned, groups, config, method, seed, advance)
    for _ in range(_FP16_TRIES if scaler is not None else 0):
        if not found.is_finite or math.isfinite(found.norm):
            break
        session.optimizer.step()  # the scaler finds the overflow, skips the update and lowers the scale
        found = compute_gradients(session, planned, groups, config, method, seed, lambda _: None)
    if found.is_finite and math.isfinite(found.norm):
        return found
    session.optimizer.zero_grad(set_to_none=True)
    what = "the gradient" if found.is_finite else "the loss"
    names = found.bad or tuple(groups[index].problem_id for index in planned.indices)
    raise TrainingDiverged(
        f"step {planned.step}: {what} is not finite (loss {found.sums.loss / len(planned.indices)}, gradient norm "
        f"{found.norm}); problems: {', '.join(names)}. The weights before this step are kept; lower train.learning_rate, "
        "set train.max_grad_norm, or look at these problems"
    )


def log_row(planned: PlannedStep, found: Gradients) -> TrainStep:
    """The line of the log for a step."""
    sums = found.sums
    return TrainStep(
        step=planned.step,
        epoch=planned.epoch,
        loss=sums.loss / sums.groups,
        loss_ce=sums.ce / sums.groups,
        loss_ranking=sums.ranking / sums.groups,
        lam=sums.lam / sums.groups,
        grad_norm=found.norm,
        learning_rate=planned.learning_rate,
        groups=int(sums.groups),
        tokens=int(sums.tokens),
        pairs=int(sums.pairs),
        pairs_active=int(sums.active),
        pairs_hinged=int(sums.hinged),
    )
