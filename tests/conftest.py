"""Shared fixtures. Real data lies beside the project; where it is absent, tests skip, and fail under CI=true."""

import gc
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("any machine", parent=settings(), deadline=None)  # a slow disk is no fault
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: one that begins last would leave the other workers without work."""
    items.sort(key=lambda item: item.path.name != "test_work.py")


@pytest.fixture(scope="module", autouse=True)
def _imports_are_not_searched() -> Iterator[None]:
    """Stages collect garbage when they end, and each collection would look through all that libraries made at import."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of published data sets and benchmarks (see docs/data.md)."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        message = f"real data not found at {folder.parent.parent.name}/shared/data"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny random model."""
    from itertl.model.find import make_tiny

    folder = tmp_path_factory.mktemp("tiny") / "model"
    make_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def model(tiny: Path) -> Any:
    """The tiny random model, its attention sharing prompts."""
    from itertl.model.load import load_model
    from itertl.sampling import shared_prompts

    found = load_model(tiny, device="cpu")
    assert shared_prompts.works(found)
    return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered in this process: workers, which take a second each to start, are tested elsewhere."""
    from itertl import plugins
    from itertl.search import workers
    from itertl.work.pool import Outcome

    def answered(function: str, questions: Sequence[Any], **more: object) -> Iterator[tuple[int, Any]]:
        del more
        for number, question in enumerate(questions):
            yield number, Outcome("ok", plugins.resolve("function", function, {})(question))

    monkeypatch.setattr(workers, "map_unordered", answered)
