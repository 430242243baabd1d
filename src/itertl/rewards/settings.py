"""Which scores make a reward: the keys of a recipe's ``score`` section."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from itertl.config import ScoreConfig, build_recipe, load_recipe
from itertl.scoring.combine import check_combination

Score = Mapping[str, Any] | str | Path | None
TESTBENCH = "testbench"  # what the score of a testbench is called

# The paper's loss on function has these rungs too (recipes/itertl-function.yaml), and size and depth above them.
DEFAULT: dict[str, Any] = {
    "scorers": ["gate", "text", "syntax", "synthesis", "vectors", "equivalence", "repair"],
    "combine": "ladder",
    "ladder": {
        "gate": 0.05, "text": [0.2, 0.25], "syntax": 0.3, "synthesis": 0.35, "vectors": [0.6, 0.85], "equivalence": 1.0,
    },
    "floor": {"repair": [0.3, 0.45]},
}  # fmt: skip


def config_of(score: Score) -> ScoreConfig:
    """The settings that ``score`` gives: keys of a recipe's section, a recipe's path, or None for ``DEFAULT``.

    Raises RecipeError that names the key.
    """
    if isinstance(score, str | Path):
        config = load_recipe(Path(score)).score
    else:
        config = build_recipe({"score": _plain(DEFAULT if score is None else score)}, where="rewards").score
    check_combination(config)
    return config


def as_key(score: Score) -> str:
    """A text of the settings that can be hashed, which ``from_key`` reads."""
    return json.dumps(str(score) if isinstance(score, Path) else _plain(score))


def from_key(key: str) -> Score:
    return json.loads(key)


def _plain(value: Any) -> Any:
    """Dicts and lists for what behaves like them: a trainer's settings come in types of its own."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
