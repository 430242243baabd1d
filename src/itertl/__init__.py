"""itertl: iterative fine-tuning of language models for RTL code (sample, score, train, evaluate, again).

What the command line does is here as functions, ``itertl.run("recipe.yaml")``: docs/python.md. They are imported when
first named, so that ``import itertl`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itertl.api import (
        Candidate,
        Design,
        Evaluation,
        Problem,
        Recipe,
        Reward,
        Run,
        Score,
        compare,
        evaluate,
        generate,
        load_recipe,
        reward,
        run,
        sample,
        score,
        study,
    )

__version__ = "0.1.0"
__all__ = [
    "Candidate", "Design", "Evaluation", "Problem", "Recipe", "Reward", "Run", "Score", "compare", "evaluate",
    "generate", "load_recipe", "reward", "run", "sample", "score", "study",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'itertl' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module("itertl.api"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
