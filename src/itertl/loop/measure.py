"""Rates of sampling and training on this machine, by doing a little of both with a recipe's own model and data.

One batch is sampled for some tokens, the longest groups are trained on once for the memory that they take, and some
ordinary ones for the time. Candidates are made up (the reference's tokens in another order): how many pairs the real
ones leave active is not known before they are scored, so the rates are for groups in which every response counts.
"""

import dataclasses
import random
import resource
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itertl.config import Recipe
from itertl.errors import DataError
from itertl.model.policy import Policy, find_policy
from itertl.records import Problem
from itertl.training.methods import Method

if TYPE_CHECKING:
    from itertl.training.batches import Group
    from itertl.training.session import Session

_SAMPLED_TOKENS = 48  # of each request: enough that its prompt does not decide
_MICRO_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Rates:
    """What an estimate is made of."""

    epoch_tokens: float  # that one epoch puts through the model
    trained_per_s: float  # of these tokens
    sampled_per_s: float  # new tokens a second, all requests of a batch together
    memory_gb: float  # at most, of the process or the GPU


def measure(recipe: Recipe, problems: Sequence[Problem], method: Method) -> Rates:
    """Load the recipe's model, sample and train a little, and forget it. Raises what a run would raise."""
    policy = find_policy(recipe.model, recipe.prompt)
    sampled = _sampling_rate(recipe, problems, policy)
    epoch_tokens, trained = _training_rate(recipe, problems, method, policy)
    return Rates(epoch_tokens, trained, sampled, _peak_gb())


def _sampling_rate(recipe: Recipe, problems: Sequence[Problem], policy: Policy) -> float:
    from itertl.sampling.batching import plan_batches, plan_requests
    from itertl.sampling.draw import open_backend

    config = recipe.sample
    count = max(1, config.num_candidates)
    some = problems[: -(-config.batch_size // count)]
    length = min(_SAMPLED_TOKENS, config.max_new_tokens)
    with closing(open_backend(policy, config)) as backend:
        prompts = [(p.id, backend.encode(p, policy.prompt)) for p in some]
        requests = plan_requests(prompts, count, 0)[: config.batch_size]
        batch = plan_batches(requests, config.batch_size)[0]
        backend(batch[:1], config.settings.model_copy(update={"max_new_tokens": 2}))  # loads the model
        start = time.perf_counter()
        backend(batch, config.settings.model_copy(update={"max_new_tokens": length}))
        return len(batch) * length / (time.perf_counter() - start)


def _training_rate(recipe: Recipe, problems: Sequence[Problem], method: Method, policy: Policy) -> tuple[float, float]:
    from itertl.training.batches import build_groups
    from itertl.training.session import close_session, load_policy, open_session

    config = recipe.train
    tokenizer = policy.tokenizer()
    found = build_groups([], problems, tokenizer, prompt=recipe.prompt, score=recipe.score, train=config, method=method)
    if not found.groups:
        raise DataError("no problem can be trained on; give problems with references, or raise train.max_length")
    groups = [_with_candidates(g, recipe.sample.num_candidates if method.uses_candidates else 0) for g in found.groups]
    loaded = load_policy(policy, config)
    session = open_session(loaded, config, longest=config.max_length, say=lambda _: None)
    try:
        order = sorted(range(len(groups)), key=lambda number: -_size(groups[number], method))
        longest = _enough(order, groups, method, session.layout.budget)
        _train_on(session, recipe, method, groups, longest)
        session.step()  # the moments of Adam take their place
        middle = len(order) // 2
        from_middle = order[middle::2] + order[:middle:2]
        usual = _enough(from_middle, groups, method, _MICRO_BATCHES * session.layout.budget)
        random.Random(0).shuffle(usual)
        start = time.perf_counter()
        _train_on(session, recipe, method, groups, usual)
        seconds = time.perf_counter() - start
    finally:
        close_session(session)
    rate = sum(_size(groups[n], method) for n in usual) / seconds
    return sum(_size(g, method) for g in groups), rate or 1.0  # 0 where the method's options leave nothing to train on


def _with_candidates(group: "Group", count: int) -> "Group":
    """Made-up candidates as long as the reference, all of them worse; all compile, and the last is right."""
    from itertl.training.batches import Group, Response
    from itertl.training.credit import OutputTokens

    ids, wrong, right = group.reference.token_ids, (OutputTokens("y", False, None),), (OutputTokens("y", True, None),)
    made = [
        Response(ids[-shift:] + ids[:-shift], shift / 100, compiles=True, is_right=shift == count, signals=wrong)
        for shift in range(1, count + 1)
    ]
    reference = dataclasses.replace(group.reference, signals=right)
    return Group(group.problem_id, group.prompt_ids, (*made, reference))


def _size(group: "Group", method: Method) -> int:
    piece = group.piece(0, method)
    return len(piece) if piece is not None else 0


def _enough(order: Sequence[int], groups: Sequence["Group"], method: Method, tokens: int) -> list[int]:
    """The first of ``order`` that hold so many tokens together."""
    taken: list[int] = []
    for number in order:
        if taken and sum(_size(groups[n], method) for n in taken) >= tokens:
            break
        taken.append(number)
    return taken


def _train_on(
    session: "Session", recipe: Recipe, method: Method, groups: Sequence["Group"], numbers: Sequence[int]
) -> None:
    import torch

    from itertl.training.schedule import PlannedStep
    from itertl.training.step import StepContext, compute_gradients

    initial = None
    if method.needs_initial:
        initial = {n: {i: torch.zeros(len(r.token_ids)) for i, r in enumerate(groups[n].responses)} for n in numbers}
    planned = PlannedStep(1, 1.0, 0.0, tuple(numbers))
    context = StepContext(session, groups, method, 0, recipe.train.max_grad_norm, initial)
    compute_gradients(context, planned, lambda _: None)
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak_gb() -> float:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
