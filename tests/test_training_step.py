"""The gradient of a step against plain transformers, however it is packed, shared, skipped or split; memory that
runs out."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import training_cases as cases
from itertl.config import LoraConfig, TrainConfig
from itertl.errors import TrainingDiverged
from itertl.model.load import load_model
from itertl.model.policy import Policy
from itertl.training.batches import Group, Response, build_groups
from itertl.training.collate import collate
from itertl.training.credit import OutputTokens
from itertl.training.methods import METHODS, Method
from itertl.training.packing import Layout, Piece
from itertl.training.schedule import PlannedStep
from itertl.training.session import Session, close_session, load_policy, open_session
from itertl.training.shift import sequence_logprobs, shift
from itertl.training.step import SMALLEST_BUDGET, StepContext, compute_gradients, finite_gradients


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    return cases.tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def model(policy: tuple[Path, Any]) -> Any:
    return load_model(policy[0], device="cpu").double()


def groups_of(policy: tuple[Path, Any], count: int, method: Method, **train: Any) -> tuple[Group, ...]:
    made = cases.case(count)
    config = TrainConfig(**train)
    ends_at_once = cases.scored(
        made.problems[0], 0, "", 0.2, text=""
    )  # the first problem's worst: a response of one token
    found = build_groups(
        [ends_at_once, *made.rows[1:]], made.problems, policy[1], prompt=cases.PROMPT, score=cases.SCORE, train=config,
        method=replace(method, credit="sequence"),
    ).groups  # fmt: skip
    found = tuple(replace(group, responses=tuple(map(_judged, group.responses))) for group in found)
    return found if method.credit == "sequence" else tuple(map(with_outputs, found))


def _judged(response: Response) -> Response:
    """As if scorers had said what compiles and what is right."""
    right = not response.is_reference and response.z >= 0.95
    return replace(response, compiles=response.z in (0.1, 0.5, 0.95, 1.0), is_right=right, design=str(response.z))


def with_outputs(group: Group) -> Group:
    """Outputs y and z: the first candidate has y, the second z, the third's are unknown, the reference has both; what
    drives them is clear but in the first candidate's y."""
    known = [((True, None), (False, (0,))), ((False, (1, 2, 5)), (True, (2, 9))), None, ((True, (3,)), (True, (4, 3)))]
    tables = [o and tuple(OutputTokens(n, *given) for n, given in zip("yz", o, strict=True)) for o in known]
    responses = tuple(replace(r, signals=t) for r, t in zip(group.responses, tables, strict=True))
    return replace(group, responses=responses)


def over_tokens(values: torch.Tensor, tables: Any, names: list[str], exponent: float) -> torch.Tensor:
    """Sum over the tokens that drive one of the outputs, over a power of their number."""
    kept = [t for t in tables if t.output in names]
    wanted = {at for t in kept for at in (range(len(values)) if t.tokens is None else t.tokens)}
    return torch.stack([v for at, v in enumerate(values) if at in wanted]).sum() / len(wanted) ** exponent


class Limits:
    """What may be pushed down in a group, by its scores as ``_judged`` reads them."""

    def __init__(self, group: Group, method: Method, logps: list[torch.Tensor], before: list[torch.Tensor]) -> None:
        self.method, self.logps, self.before = method, logps, before
        self.z = [response.z for response in group.responses]
        self.last = len(self.z) - 1
        self.right = sum(v >= 0.95 for v in self.z[: self.last]) / self.last if self.last else 0.0

    def may_fall(self, k: int) -> bool:
        near = k == self.last or self.z[k] in (0.1, 0.5, 0.95, 1.0)
        return {"all": True, "near": near, "beside-right": self.right > 0, "none": False}[self.method.negatives]

    def held(self, k: int) -> bool:
        floor = self.method.negative_floor
        return floor is not None and float((self.logps[k] - self.before[k]).detach().mean()) < -floor


def by_signal(group: Group, limits: Limits) -> list[torch.Tensor]:
    """The terms of all pairs that differ in an output."""
    method, terms = limits.method, list[torch.Tensor]()
    for (k, worse), (tau, better) in itertools.product(enumerate(group.responses), repeat=2):
        right = {t.output for t in better.signals or () if t.is_right}
        names = [t.output for t in worse.signals or () if not t.is_right and t.output in right]
        if not names or not limits.may_fall(k):
            continue
        e, logp = method.length_exponent, limits.logps[k]
        low = over_tokens(logp.detach() if limits.held(k) else logp, worse.signals, names, e)
        high = over_tokens(limits.logps[tau], better.signals, names, e)
        if method.terms == "hinge":
            terms.append(torch.relu(low - high + method.alpha))
            continue
        low = low - over_tokens(limits.before[k], worse.signals, names, e)
        high = high - over_tokens(limits.before[tau], better.signals, names, e)
        terms.append(torch.log(1 + torch.exp(-method.strength * (high - low))))
    return terms


def plain_logps(model: Any, group: Group) -> list[torch.Tensor]:
    """Token log-probabilities of each response from one unpadded forward pass with all logits."""
    found = []
    for response in group.responses:
        ids = torch.tensor([group.prompt_ids + response.token_ids])
        logp = torch.log_softmax(model(input_ids=ids).logits.float(), -1)[0]
        found.append(torch.stack([logp[i - 1, ids[0, i]] for i in range(len(group.prompt_ids), ids.shape[1])]))
    return found


def targets_by_hand(z: list[float], method: Method) -> dict[int, float]:
    """The share of each response whose cross-entropy is taken."""
    last = len(z) - 1
    if method.ce_target == "best":
        return {max(range(len(z)), key=lambda i: (z[i], i)): 1.0}
    if method.ce_target == "best-candidate":
        return {max(range(last), key=lambda i: (z[i], i)): 1.0} if last else {}
    if method.ce_target == "verified":
        right = sorted((i for i in range(last) if z[i] >= 0.95), key=lambda i: -z[i])[: method.max_verified]
        return {last: 1 - method.verified_share} | {i: method.verified_share / len(right) for i in right}
    return {last: 1.0}


def rewards_by_hand(limits: Limits) -> list[torch.Tensor]:
    """The policy gradient's terms, one a candidate."""
    method, z, last = limits.method, limits.z, limits.last
    mean, terms = sum(z[:last]) / last, list[torch.Tensor]()
    deviation = (sum((v - mean) ** 2 for v in z[:last]) / (last - 1)) ** 0.5 + 1e-4
    for k, (logp, before) in enumerate(zip(limits.logps[:last], limits.before, strict=False)):
        advantage = (z[k] - mean) / (deviation if method.advantage_scale == "std" else 1.0)
        if advantage < 0 and (limits.held(k) or not limits.may_fall(k)):
            advantage = 0.0
        if method.clip_low is None:
            term = -(advantage * logp).mean()
        else:
            ratio, bounds = (logp - before).exp(), (1 - method.clip_low, 1 + method.clip_high)
            term = -torch.minimum(ratio * advantage, ratio.clamp(*bounds) * advantage).mean()
        if method.kl_weight:
            gap = before - logp
            term = term + method.kl_weight * (gap.exp() - gap - 1).mean()
        terms.append(term / last)
    return terms


def pairs_by_hand(limits: Limits, num_prompt: int) -> list[torch.Tensor]:
    """The terms of all pairs by z."""
    method, z = limits.method, limits.z
    extra = num_prompt if method.length_normalizer == "sequence" else 0
    p = [values.sum() / (len(values) + extra) ** method.length_exponent for values in limits.logps]
    if method.softmax:
        total = torch.stack([v.exp() for v in p]).sum()
        p = [v.exp() / total for v in p]
    terms = list[torch.Tensor]()
    for k, tau in itertools.product(range(len(z)), repeat=2):
        if not z[k] < z[tau] - method.beta or not limits.may_fall(k):
            continue
        low = p[k].detach() if limits.held(k) else p[k]
        if method.terms == "hinge":
            terms.append(torch.relu(low - p[tau] + method.alpha))
        elif method.terms == "rank-hinge":
            steps = len({v for v in z if z[k] < v <= z[tau]})
            terms.append(torch.relu(low - p[tau] + method.rank_margin * steps))
        else:
            gain = method.strength * (p[tau] - limits.before[tau].sum() - low + limits.before[k].sum())
            is_dpo = method.terms == "dpo"
            terms.append(torch.log(1 + torch.exp(-gain)) if is_dpo else torch.relu(method.alpha - gain))
    return terms


def by_hand(model: Any, group: Group, method: Method, before: list[torch.Tensor]) -> torch.Tensor:
    """The loss as its paper writes it, with double loops. ``before``: token log-probabilities under the first
    policy."""
    logps = plain_logps(model, group)
    limits = Limits(group, method, logps, before)
    ce = torch.zeros(())
    for target, share in targets_by_hand(limits.z, method).items():
        ce = ce - share * (logps[target].mean() if method.ce_reduction == "mean" else logps[target].sum())
    terms = list[torch.Tensor]()
    if method.terms == "policy-gradient":
        terms = rewards_by_hand(limits)
    elif method.credit == "signal":
        terms = by_signal(group, limits)
    elif method.terms != "none":
        terms = pairs_by_hand(limits, len(group.prompt_ids))
    ranking = torch.stack(terms).sum() if terms else torch.zeros(())
    if method.pair_reduction == "mean" and terms:
        ranking = ranking / len(terms)
    if method.group_weight == "difficulty":
        ranking = ranking * (limits.right * (1 - limits.right)) ** 0.5
    if method.ranking_weight == "product":
        return method.ce_weight * ce + ranking * ce
    weight = ce.detach() if method.ranking_weight == "stop_gradient_ce" else method.ranking_weight
    return method.ce_weight * ce + weight * ranking


def gradients(model: Any) -> torch.Tensor:
    return torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in model.parameters()]
    )


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal up to float32's rounding in sums of thousands of products."""
    apart = (found.double() - wanted.double()).abs()
    assert apart.norm() <= 1e-4 * wanted.norm() + 1e-7
    assert apart.max() <= 1e-3 * wanted.abs().max() + 1e-7


@pytest.fixture
def session(policy: tuple[Path, Any]) -> Iterator[Session]:
    config = TrainConfig(precision="float32")
    opened = open_session(load_policy(Policy(policy[0]), config), config, longest=1000, say=lambda _: None)
    yield opened
    close_session(opened)


LAYOUTS = {
    "one row": Layout(True, 4096, 4096),
    "row a group": Layout(True, 1, 1024),
    "several micro-batches": Layout(True, 1, 300),
    "two passes": Layout(True, 1, 100),
    "padded": Layout(False, 1, 4096),
    "padded, two passes": Layout(False, 1, 100),
}
VARIANTS = {
    **METHODS,
    "itertl, sum": replace(METHODS["itertl"], ce_reduction="sum"),
    "ranking without cross-entropy": replace(METHODS["itertl"], ce_weight=0.0),
    "grpo with KL": replace(METHODS["grpo"], kl_weight=0.04, clip_low=0.001, clip_high=0.002),
    "itertl by signal": replace(METHODS["itertl"], credit="signal"),
    "itertl by signal, limits": replace(
        METHODS["itertl"], credit="signal", negatives="near", negative_floor=0.01, group_weight="difficulty"
    ),
    "rlhf for code": replace(METHODS["grpo"], ce_weight=0.5, advantage_scale="none"),
    "near, held": replace(METHODS["itertl"], negatives="near", negative_floor=0.0, ranking_weight=0.1),
    "beside a right one, mean": replace(METHODS["slic"], negatives="beside-right", pair_reduction="mean"),
    "brio, held": replace(METHODS["brio"], negative_floor=0.01),
    "dpo, held, by difficulty": replace(METHODS["dpo"], negative_floor=0.0, group_weight="difficulty"),
    "no negatives": replace(METHODS["rtlcoder"], negatives="none"),
    "near, eq. 13, by difficulty": replace(METHODS["itertl-softmax"], negatives="near", group_weight="difficulty"),
    "grpo, positives": replace(METHODS["grpo"], negatives="none"),
    "reinforce, near, held": replace(METHODS["reinforce"], negatives="near", negative_floor=0.0),
    "verified and ranked": replace(METHODS["itertl"], ce_target="verified", max_verified=1, verified_share=0.25),
}  # fmt: skip


def step_gradient(
    session: Session, groups: Sequence[Group], method: Method, initial: Any = None
) -> tuple[torch.Tensor, Any]:
    planned = PlannedStep(1, 1.0, 1e-3, tuple(range(len(groups))))
    found = compute_gradients(StepContext(session, groups, method, 0, initial=initial), planned, lambda _: None)
    return gradients(session.model), found


def initial_of(found: Sequence[Sequence[torch.Tensor]]) -> dict[int, dict[int, torch.Tensor]]:
    return {number: dict(enumerate(values)) for number, values in enumerate(found)}


# All in two passes, and a few padded; other layouts share their code, and are behind the slow marker.
QUICK = {("two passes", name) for name in VARIANTS} | {
    ("padded", name) for name in ("itertl", "dpo", "grpo with KL", "verified", "itertl by signal, limits")
}


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (layout, name) if (layout, name) in QUICK else pytest.param(layout, name, marks=pytest.mark.slow)
        for layout in LAYOUTS
        for name in VARIANTS
    ],
)
def test_gradient_equals_plain_transformers(
    name: str, layout: str, session: Session, policy: tuple[Path, Any], model: Any
) -> None:
    """Whatever is shared, packed, skipped or split: the gradient is that of a pass for each response with all
    logits."""
    method = VARIANTS[name]
    groups = groups_of(policy, 3, replace(method, whole_files=False))
    first = load_model(policy[0], device="cpu").double()
    with torch.no_grad():  # the round began with other weights
        for parameter in first.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
        before = [plain_logps(first, group) for group in groups]
    expected = torch.stack(
        [by_hand(model, group, method, known) for group, known in zip(groups, before, strict=True)]
    ).mean()
    if expected.requires_grad:
        expected.backward()
    session.layout = LAYOUTS[layout]
    session.policy.packed = session.layout.packed
    found, result = step_gradient(session, groups, method, initial_of(before) if method.needs_initial else None)
    assert result.sums.loss / 3 == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    assert_same(found, gradients(model))
    assert result.sums.groups == 3


def test_a_candidate_in_no_active_pair_is_not_computed(session: Session, policy: tuple[Path, Any]) -> None:
    """Of the second group no pair is active: only its reference goes through the model."""
    method = METHODS["itertl"]
    groups = groups_of(policy, 3, method)
    _, alone = step_gradient(session, [groups[1]], method)
    assert alone.sums.tokens == len(groups[1].prompt_ids) + len(groups[1].reference.token_ids)
    assert alone.sums.plain_tokens == sum(len(groups[1].prompt_ids) + len(r.token_ids) for r in groups[1].responses)
    assert (alone.sums.pairs, alone.sums.active, alone.sums.hinged) == (6, 0, 0)


def test_duplicates_share_a_pass_and_count_as_often_as_they_are(
    session: Session, policy: tuple[Path, Any], model: Any
) -> None:
    """Three equal candidates of equal z: the hinge against the reference counts three times, their tokens once."""
    method = METHODS["itertl"]
    group = groups_of(policy, 1, method)[0]
    bad = replace(group.responses[0], z=0.1)
    tripled = replace(group, responses=(bad, bad, bad, group.reference))
    by_hand(model, tripled, method, []).backward()
    found, result = step_gradient(session, [tripled], method)
    assert_same(found, gradients(model))
    assert result.sums.active == 3
    assert result.sums.tokens == len(group.prompt_ids) + len(bad.token_ids) + len(group.reference.token_ids)


def test_equal_rewards_teach_a_policy_gradient_nothing(session: Session, policy: tuple[Path, Any]) -> None:
    group = groups_of(policy, 1, METHODS["grpo"])[0]
    equal = replace(group, responses=tuple(replace(r, z=0.5) for r in group.responses[:-1]) + group.responses[-1:])
    found, result = step_gradient(session, [equal], METHODS["reinforce"])
    assert result.sums.tokens == 0 and result.sums.groups == 1 and float(found.abs().max()) == 0


def test_asking_for_the_model_leaves_its_precision_alone(policy: tuple[Path, Any]) -> None:
    """Unwrapping a model may take the autocast off it, and steps after that would be in float32."""
    config = TrainConfig(precision="bf16")
    session = open_session(load_policy(Policy(policy[0]), config), config, longest=100, say=print)
    seen: set[torch.dtype] = set()
    linear = next(m for m in session.model.modules() if isinstance(m, torch.nn.Linear))
    linear.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    step_gradient(session, groups_of(policy, 2, METHODS["itertl"]), METHODS["itertl"])
    close_session(session)
    assert seen == {torch.bfloat16}


def test_dropout_draws_the_same_in_both_passes(policy: tuple[Path, Any]) -> None:
    """Otherwise the derivative of one network would be applied to another's log-probabilities."""
    config = TrainConfig(precision="float32", lora=LoraConfig(dropout=0.5))
    opened = open_session(load_policy(Policy(policy[0]), config), config, longest=1000, say=lambda _: None)
    with torch.no_grad():  # adapters begin at zero, where dropout changes nothing
        for parameter in opened.parameters:
            parameter.fill_(0.1)
    opened.layout = Layout(True, 1, 100)
    said: list[torch.Tensor] = []
    opened.policy.register_forward_hook(lambda _module, _args, output: said.append(output.detach().clone()))
    step_gradient(opened, groups_of(policy, 1, METHODS["itertl"]), METHODS["itertl"])
    half = len(said) // 2
    assert half > 1 and all(torch.equal(a, b) for a, b in zip(said[:half], said[half:], strict=True))
    batch = collate(((Piece(0, (5, 6), ((7, 8),), (0,)),),))
    assert not torch.equal(opened.policy(batch), opened.policy(batch)), "nothing is dropped here"
    close_session(opened)


def test_the_order_of_groups_and_the_budget_change_only_rounding(session: Session, policy: tuple[Path, Any]) -> None:
    method = METHODS["rtlcoder"]
    groups = groups_of(policy, 7, method)
    wanted, first = step_gradient(session, groups, method)
    for budget in (1, 90, 250, 1000):
        session.layout = Layout(True, min(budget, 512), budget)
        found, result = step_gradient(session, groups[::-1], method)
        assert_same(found, wanted)
        assert result.norm == pytest.approx(first.norm, rel=1e-4)


class _Small(torch.nn.Module):
    """A policy on a device with room for ``room`` positions at a time."""

    def __init__(self, inner: Any, room: int) -> None:
        super().__init__()
        self.inner, self.room = inner, room

    def forward(self, batch: Any) -> torch.Tensor:
        if batch.ids_B_L.numel() > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return self.inner(batch)


def test_out_of_memory_halves_the_budget_and_keeps_the_step(session: Session, policy: tuple[Path, Any]) -> None:
    method = METHODS["itertl"]
    groups = groups_of(policy, 5, method)
    said: list[object] = []
    session.say = said.append
    wanted, first = step_gradient(session, groups, method)
    inner = session.policy
    session.layout = Layout(True, 1024, 2048)
    session.policy = _Small(inner, 300)
    planned = PlannedStep(6, 1.0, 1e-3, tuple(range(5)))
    counted: list[int] = []
    found = compute_gradients(StepContext(session, groups, method, 0), planned, counted.append)
    got = gradients(inner.model)
    session.policy = inner
    assert_same(got, wanted)
    assert found.sums.groups == 5 and found.sums.loss == pytest.approx(first.sums.loss, rel=1e-5)
    assert session.layout.budget <= 512
    assert any("step 6: out of memory with 2048 tokens at a time; going on with 1024" in str(line) for line in said)


def test_out_of_memory_that_no_splitting_helps_is_raised(session: Session, policy: tuple[Path, Any]) -> None:
    groups = groups_of(policy, 1, METHODS["itertl"])
    session.policy = _Small(session.policy, 3)
    with pytest.raises(torch.OutOfMemoryError):
        step_gradient(session, groups, METHODS["itertl"])
    assert session.layout.budget <= SMALLEST_BUDGET


def test_gradient_is_clipped_and_the_norm_before_it_logged(session: Session, policy: tuple[Path, Any]) -> None:
    groups = groups_of(policy, 2, METHODS["itertl"])
    context = StepContext(session, groups, METHODS["itertl"], 0, max_grad_norm=0.01)
    found = compute_gradients(context, PlannedStep(1, 1.0, 1e-3, (0, 1)), lambda _: None)
    assert found.norm > 0.1
    assert gradients(session.model).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_loss_that_is_not_finite_names_the_step_and_the_problem(session: Session, policy: tuple[Path, Any]) -> None:
    groups = groups_of(policy, 3, METHODS["itertl"])
    session.layout = Layout(True, 1, 1)
    prompt = torch.tensor(groups[1].prompt_ids)

    def poison(_module: Any, args: Any, output: Any) -> Any:
        return output * math.nan if torch.equal(args[0].ids_B_L[0, : len(prompt)], prompt) else output

    session.policy.register_forward_hook(poison)
    before = [p.detach().clone() for p in session.parameters]
    with pytest.raises(TrainingDiverged, match=rf"step 4: the loss is not finite .*problems: {groups[1].problem_id}\."):
        context = StepContext(session, groups, METHODS["itertl"], 0, max_grad_norm=1.0)
        finite_gradients(context, PlannedStep(4, 1.0, 1e-3, (0, 1, 2)), lambda _: None)
    assert all(torch.equal(a, b) for a, b in zip(before, session.parameters, strict=True))


def test_gradient_that_is_not_finite_names_all_problems_of_the_step(session: Session, policy: tuple[Path, Any]) -> None:
    groups = groups_of(policy, 3, METHODS["itertl"])
    session.parameters[0].register_hook(lambda gradient: gradient * math.inf)
    named = f"{groups[2].problem_id}, {groups[0].problem_id}"
    with pytest.raises(TrainingDiverged, match=rf"step 9: the gradient is not finite .*problems: {named}\."):
        context = StepContext(session, groups, METHODS["itertl"], 0, max_grad_norm=1.0)
        finite_gradients(context, PlannedStep(9, 1.0, 1e-3, (2, 0)), lambda _: None)


def test_shift_by_hand(session: Session, model: Any) -> None:
    """Two samples of 2 and 3 tokens: old (-2, -6), new (-3, -4). Per token -8/5 and -7/5; KL = (1 + -2) / 2 = -0.5."""
    pieces = [Piece(0, (1,), ((2, 3), (2, 3, 4)), (0, 1))]
    moved = shift(pieces, [-2.0, -6.0], [-3.0, -4.0])
    assert (moved.mean_logp_old, moved.mean_logp_new, moved.kl_old_new) == (-8 / 5, -7 / 5, -0.5)
    assert shift([], [], []).kl_old_new is None
    sums = sequence_logprobs(session, [*pieces, Piece(1, (1, 7), ((9,),), (0,))])
    plain = plain_logps(model, Group("x", (1,), (Response((2, 3), 1.0), Response((2, 3, 4), 1.0))))
    assert sums[:2] == pytest.approx([values.sum().item() for values in plain], rel=1e-5)
    assert len(sums) == 3


@pytest.mark.parametrize("layout", ["one row", "two passes", "padded"])
def test_a_block_of_texts_is_trained_token_by_token(
    layout: str, session: Session, policy: tuple[Path, Any], model: Any
) -> None:
    """Each text alone behind a begin token; the loss of a block is the mean over all its tokens."""
    method, problems = METHODS["cpt"], cases.case(5).problems
    groups = build_groups(
        [],
        problems,
        policy[1],
        prompt=cases.PROMPT,
        score=cases.SCORE,
        train=TrainConfig(max_length=120),
        method=method,
    ).groups
    assert max(len(group.responses) for group in groups) > 1
    losses = [-torch.cat(plain_logps(model, group)).mean() for group in groups]
    expected = torch.stack(losses).mean()
    expected.backward()
    session.layout = LAYOUTS[layout]
    session.policy.packed = session.layout.packed
    found, result = step_gradient(session, groups, method)
    assert result.sums.loss / len(groups) == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    assert_same(found, gradients(model))
