"""What happens in which optimizer step: a pure function of the recipe and the seed, so that resuming needs no state."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from itertl.config import TrainConfig
from itertl.work.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One optimizer step."""

    step: int  # 1-based
    epoch: float  # epochs done after it
    learning_rate: float
    indices: tuple[int, ...]  # groups, over all processes


def num_steps(num_groups: int, config: TrainConfig) -> int:
    """Optimizer steps of the whole stage; the last step of an epoch may hold fewer groups."""
    return config.epochs * math.ceil(num_groups / config.groups_per_step)


def learning_rate(step: int, total: int, config: TrainConfig) -> float:
    """Learning rate of the 1-based ``step``: linear warm-up over ``warmup_ratio`` of all steps, then the schedule.

    "linear" and "cosine" fall towards 0, which would be reached one step after the last.
    """
    warmup = math.ceil(config.warmup_ratio * total)
    if step <= warmup:
        return config.learning_rate * step / warmup
    done = (step - 1 - warmup) / max(1, total - warmup)
    if config.schedule == "linear":
        return config.learning_rate * (1.0 - done)
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
    return config.learning_rate


def plan_steps(num_groups: int, config: TrainConfig, seed: int, *, after: int = 0) -> Iterator[PlannedStep]:
    """All optimizer steps in order, without the first ``after``."""
    total = num_steps(num_groups, config)
    per_epoch = math.ceil(num_groups / config.groups_per_step)
    for epoch in range(config.epochs):
        if (epoch + 1) * per_epoch <= after:
            continue
        order = list(range(num_groups))
        if epoch or config.order == "shuffled":  # a shuffle that is the same on every machine and Python version
            order.sort(key=lambda index: derive_seed(seed, "order", epoch, index))
        for number in range(per_epoch):
            step = epoch * per_epoch + number + 1
            if step <= after:
                continue
            chunk = order[number * config.groups_per_step : (number + 1) * config.groups_per_step]
            done = epoch + min(1.0, (number * config.groups_per_step + len(chunk)) / num_groups)
            yield PlannedStep(step, done, learning_rate(step, total, config), tuple(chunk))
