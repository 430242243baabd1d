"""On a GPU: run with ``pytest -m gpu``. Block masks against dense ones, two passes, bf16 near float32; recorded
steps, sampling twice."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import training_cases as cases
from itertl.config import TrainConfig
from itertl.model.load import load_model
from itertl.model.policy import Policy
from itertl.model.prompts import EncodedPrompt
from itertl.records import SamplingSettings
from itertl.sampling import graphs
from itertl.sampling.batching import SampleRequest
from itertl.sampling.transformers_backend import PLAIN, Ways, decode
from itertl.training.batches import Group, build_groups
from itertl.training.methods import METHODS
from itertl.training.packing import Layout
from itertl.training.schedule import PlannedStep
from itertl.training.session import Session, close_session, load_policy, open_session
from itertl.training.step import StepContext, compute_gradients

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    return cases.tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def opened(tiny: tuple[Path, Any]) -> Iterator[Any]:
    sessions: list[Session] = []

    def make(**settings: Any) -> Session:
        config = TrainConfig(max_grad_norm=None, **{"precision": "float32", **settings})
        sessions.append(open_session(load_policy(Policy(tiny[0]), config), config, longest=500, say=print))
        return sessions[-1]

    yield make
    for session in sessions:
        close_session(session)


def gradient(session: Session, groups: tuple[Group, ...]) -> torch.Tensor:
    planned = PlannedStep(1, 1.0, 1e-3, tuple(range(len(groups))))
    compute_gradients(StepContext(session, groups, METHODS["itertl"], 0), planned, lambda _: None)
    return torch.cat([p.grad.flatten().float().cpu() for p in session.parameters])


def groups_of(tiny: tuple[Path, Any]) -> tuple[Group, ...]:
    made = cases.case(5, tiny[1])
    return build_groups(
        made.rows,
        made.problems,
        tiny[1],
        prompt=cases.PROMPT,
        score=cases.SCORE,
        train=TrainConfig(),
        method=METHODS["itertl"],
    ).groups


@pytest.mark.parametrize("attention", ["sdpa", "flex"])
def test_packed_rows_give_the_padded_gradient(opened: Any, tiny: tuple[Path, Any], attention: str) -> None:
    groups = groups_of(tiny)
    packed, padded = opened(attention=attention), opened(packing="off")
    assert packed.layout.packed and not padded.layout.packed
    a, b = gradient(packed, groups), gradient(padded, groups)
    assert (a - b).norm() <= 1e-3 * b.norm()


def test_two_passes_give_the_gradient_of_one(opened: Any, tiny: tuple[Path, Any]) -> None:
    groups = groups_of(tiny)
    session = opened()
    wanted = gradient(session, groups)
    session.layout = Layout(True, 1, 100)
    assert (gradient(session, groups) - wanted).norm() <= 1e-3 * wanted.norm()


def test_bf16_is_near_float32(opened: Any, tiny: tuple[Path, Any]) -> None:
    groups = groups_of(tiny)
    a, b = gradient(opened(precision="bf16"), groups), gradient(opened(), groups)
    assert (a - b).norm() <= 0.1 * b.norm()


def test_two_processes_sample_the_same_bytes(repository: Path, tiny: tuple[Path, Any], tmp_path: Path) -> None:
    """In the precision and at the batch size of a run, with rows that end at different times."""
    command = [
        sys.executable, "-m", "itertl", "sample", "synth", "--model", str(tiny[0]), "data.limit=64",
        "sample.batch_size=192",
        "sample.temperature=1.0", "sample.max_new_tokens=64", "sample.dtype=bfloat16", "--out",
    ]  # fmt: skip
    for name in ("a.jsonl", "b.jsonl"):
        subprocess.run([*command, str(tmp_path / name)], cwd=repository, check=True)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_recorded_rows_draw_what_whole_rows_draw(tiny: tuple[Path, Any]) -> None:
    """Rows end at different times, so that steps are recorded anew for fewer of them; a second batch records again."""
    model = load_model(tiny[0], dtype="float32")
    assert graphs.works(model)
    draw = random.Random(0)
    prompts = [EncodedPrompt("", tuple(draw.randrange(40, 120) for _ in range(3 + 5 * n)), "") for n in range(8)]
    asked = [SampleRequest(f"p{n // 3}", n % 3, n, prompts[n // 3]) for n in range(24)]
    settings = SamplingSettings(temperature=1.0, top_p=0.9, max_new_tokens=40)
    ends = frozenset(range(0, model.config.vocab_size, 9))
    for _ in range(2):
        recorded, whole = (
            decode(model, asked, [40] * len(asked), settings, ends, ways=ways) for ways in (Ways(records=True), PLAIN)
        )
        assert [row.ids for row in recorded] == [row.ids for row in whole]
    assert len({len(row.ids) for row in whole}) > 3
