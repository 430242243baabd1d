"""The loss and gradient of a step against plain transformers, against computing everything, and against one big batch."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import training_cases as cases
from itertl.config import TrainConfig
from itertl.errors import TrainingDiverged
from itertl.models import load_model
from itertl.training import losses
from itertl.training.batches import Group, build_groups
from itertl.training.forward import Row, response_logprobs
from itertl.training.methods import METHODS, Method
from itertl.training.objective import group_losses
from itertl.training.schedule import PlannedStep
from itertl.training.session import Session, close_session, open_session
from itertl.training.shift import sequence_logprobs, shift
from itertl.training.stage import TrainInputs
from itertl.training.step import compute_gradients, finite_gradients

METHOD_NAMES = list(METHODS)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    return cases.tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def model(policy: tuple[Path, Any]) -> Any:
    return load_model(policy[0], device="cpu").double()


def groups_of(policy: tuple[Path, Any], count: int, method: Method, **train: Any) -> tuple[Group, ...]:
    made = cases.case(count)
    config = TrainConfig(**train)
    return build_groups(
        made.rows, made.problems, policy[1], prompt=cases.PROMPT, score=cases.SCORE, train=config, method=method
    ).groups


def by_hand(model: Any, group: Group, method: Method) -> torch.Tensor:
    """Eq. 1 to 4 with one unpadded forward pass for each response and all logits."""
    p: list[torch.Tensor] = []
    token_logps: list[torch.Tensor] = []
    for response in group.responses:
        ids = torch.tensor([group.prompt_ids + response.token_ids])
        logp = torch.log_softmax(model(input_ids=ids).logits.float(), -1)[0]
        picked = torch.stack([logp[i - 1, ids[0, i]] for i in range(len(group.prompt_ids), ids.shape[1])])
        length = len(response.token_ids) + (len(group.prompt_ids) if method.length_normalizer == "sequence" else 0)
        p.append(picked.sum() / length)
        token_logps.append(picked)
    ce = -token_logps[-1].mean() if method.ce_reduction == "mean" else -token_logps[-1].sum()
    if method.softmax:
        total = torch.stack([v.exp() for v in p]).sum()
        p = [v.exp() / total for v in p]
    z = [response.z for response in group.responses]
    ranking = torch.zeros(())
    for k in range(len(z)):
        for tau in range(len(z)):
            if z[k] < z[tau] - method.beta:
                ranking = ranking + torch.relu(p[k] - p[tau] + method.alpha)
    if method.ranking_weight == "product":
        return (ranking + 1) * ce
    return ce + (ce.detach() if method.ranking_weight == "stop_gradient_ce" else method.ranking_weight) * ranking


def gradients(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_loss_and_gradient_equal_plain_transformers(name: str, policy: tuple[Path, Any], model: Any) -> None:
    method = METHODS[name]
    for group in groups_of(policy, 3, method):
        expected = by_hand(model, group, method)
        model.zero_grad()
        expected.backward()
        wanted = gradients(model)
        model.zero_grad()
        (found,) = group_losses(model, [group], method, keep_logits=True, device="cpu")
        found.total.backward()
        assert found.total.item() == pytest.approx(expected.item(), rel=1e-5)
        torch.testing.assert_close(gradients(model), wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_skipping_responses_in_no_active_pair_is_exact(name: str, policy: tuple[Path, Any], model: Any) -> None:
    method = METHODS[name]
    groups = groups_of(policy, 3, method)
    result = []
    for skip in (True, False):
        model.zero_grad()
        found = group_losses(model, groups, method, keep_logits=True, device="cpu", skip=skip)
        torch.stack([item.total for item in found]).sum().backward()
        pairs = [(i.sums.pairs, i.sums.active, i.sums.hinged) for i in found]
        result.append((gradients(model), [i.total.item() for i in found], pairs, sum(i.sums.tokens for i in found)))
    torch.testing.assert_close(result[0][0], result[1][0], rtol=1e-4, atol=1e-7)
    assert result[0][1] == pytest.approx(result[1][1], rel=1e-6)
    assert result[0][2] == result[1][2]
    if method.uses_candidates:
        assert result[0][3] < result[1][3]  # the middle group has no active pair


def test_padding_and_logits_to_keep_change_nothing(policy: tuple[Path, Any], model: Any) -> None:
    rows = [Row((5, 6, 7, 8, 9), (10, 11)), Row((5,), (12, 13, 14, 15)), Row((30, 31), (7,))]
    for keep in (True, False):
        out = response_logprobs(model, rows, keep_logits=keep, device="cpu")
        for index, row in enumerate(rows):
            alone = response_logprobs(model, [row], keep_logits=not keep, device="cpu")
            mine = out.token_logp[index][out.mask[index]]
            torch.testing.assert_close(mine, alone.token_logp[0][alone.mask[0]], rtol=1e-5, atol=1e-6)
            assert len(mine) == len(row.response_ids)
    assert out.tokens == 7 + 5 + 3
    for bad in ([], [Row((), (1,))], [Row((1,), ())]):
        with pytest.raises(ValueError, match="at least one token"):
            response_logprobs(model, bad, keep_logits=True, device="cpu")


@pytest.fixture
def session(policy: tuple[Path, Any], tmp_path: Path) -> Iterator[Session]:
    opened = open_session(inputs(policy[0], tmp_path, TrainConfig(precision="float32")))
    yield opened
    close_session(opened)


def inputs(model: Path, folder: Path, config: TrainConfig) -> TrainInputs:
    return TrainInputs(
        (), (), model, folder / "out", folder / "log", folder / "state", config, METHODS["itertl"], cases.PROMPT,
        cases.SCORE, 0, 0, "float32", None, False, None,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["itertl", "rtlcoder"])
def test_accumulated_gradient_is_that_of_one_big_batch(name: str, session: Session, policy: tuple[Path, Any]) -> None:
    method = METHODS[name]
    groups = groups_of(policy, 5, method)
    planned = PlannedStep(1, 1.0, 1e-3, (3, 0, 4, 1, 2))
    found = []
    for size in (1, 2, 5):
        config = TrainConfig(micro_batch_groups=size, max_grad_norm=None, precision="float32")
        result = compute_gradients(session, planned, groups, config, method, 0, lambda _: None)
        found.append((gradients(session.model), result.sums.loss, result.norm))
    losses_ = group_losses(session.model, groups, method, keep_logits=True, device="cpu")
    session.model.zero_grad()
    torch.stack([item.total for item in losses_]).mean().backward()
    for gradient, loss, norm in found:
        torch.testing.assert_close(gradient, gradients(session.model), rtol=1e-4, atol=1e-6)
        assert loss / 5 == pytest.approx(sum(item.total.item() for item in losses_) / 5, rel=1e-5)
        assert norm == pytest.approx(gradients(session.model).norm().item(), rel=1e-4)


def test_gradient_is_clipped_and_the_norm_before_it_logged(session: Session, policy: tuple[Path, Any]) -> None:
    groups = groups_of(policy, 2, METHODS["itertl"])
    config = TrainConfig(max_grad_norm=0.01, precision="float32")
    found = compute_gradients(session, PlannedStep(1, 1.0, 1e-3, (0, 1)), groups, config, METHODS["itertl"], 0, lambda _: None)
    assert found.norm > 0.1
    assert gradients(session.model).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_loss_that_is_not_finite_names_the_step_and_the_problem(session: Session, policy: tuple[Path, Any]) -> None:
    groups = groups_of(policy, 3, METHODS["itertl"])
    prompt = torch.tensor(groups[1].prompt_ids)

    def poison(_module: Any, _args: Any, given: dict[str, Any], output: Any) -> Any:
        if torch.equal(given["input_ids"][0, : len(prompt)], prompt):
            output.logits = output.logits * math.nan
        return output

    session.model.register_forward_hook(poison, with_kwargs=True)
    before = [p.detach().clone() for p in session.parameters]
    with pytest.raises(TrainingDiverged, match=rf"step 4: the loss is not finite .*problems: {groups[1].problem_id}\."):
        finite_gradients(session, PlannedStep(4, 1.0, 1e-3, (0, 1, 2)), groups, TrainConfig(), METHODS["itertl"], 0, lambda _: None)
    assert all(torch.equal(a, b) for a, b in zip(before, session.parameters, strict=True))


def test_gradient_that_is_not_finite_names_all_problems_of_the_step(session: Session, policy: tuple[Path, Any]) -> None:
    groups = groups_of(policy, 3, METHODS["itertl"])
    session.parameters[0].register_hook(lambda gradient: gradient * math.inf)
    named = f"{groups[2].problem_id}, {groups[0].problem_id}"
    with pytest.raises(TrainingDiverged, match=rf"step 9: the gradient is not finite .*problems: {named}\."):
        finite_gradients(session, PlannedStep(9, 1.0, 1e-3, (2, 0)), groups, TrainConfig(), METHODS["itertl"], 0, lambda _: None)


def test_shift_by_hand(policy: tuple[Path, Any], model: Any) -> None:
    """Two samples of 2 and 3 tokens: old (-2, -6), new (-3, -4). Per token -8/5 and -7/5; KL = (1 + -2) / 2 = -0.5."""
    rows = [Row((1,), (2, 3)), Row((1,), (2, 3, 4))]
    moved = shift(rows, [-2.0, -6.0], [-3.0, -4.0])
    assert (moved.mean_logp_old, moved.mean_logp_new, moved.kl_old_new) == (-8 / 5, -7 / 5, -0.5)
    assert shift([], [], []).kl_old_new is None
    sums = sequence_logprobs(model, rows * 3, keep_logits=True, device="cpu")
    alone = response_logprobs(model, [rows[0]], keep_logits=True, device="cpu")
    assert len(sums) == 6 and sums[0] == pytest.approx(alone.token_logp.sum().item(), rel=1e-5)
    assert losses.length_normalized_logp(alone.token_logp, alone.mask)[0].item() == pytest.approx(sums[0] / 2, rel=1e-5)
