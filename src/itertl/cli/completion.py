"""What a shell is offered behind the Tab key: recipes, keys of a recipe, models, benchmarks, and files.

``itertl --install-completion`` sets it up (docs/install.md). No function here imports torch.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from itertl.config import Recipe, bundled, submodel


def recipes(incomplete: str) -> list[str]:
    """Bundled recipes by name, and YAML files."""
    return _beginning(bundled.names(), incomplete) + _files(incomplete, ".yaml", ".yml")


def bundled_recipes(incomplete: str) -> list[str]:
    """Bundled recipes alone."""
    return _beginning(bundled.names(), incomplete)


def keys(incomplete: str) -> list[str]:
    """Dotted keys of a recipe, each with its equals sign; values are not completed."""
    return [] if "=" in incomplete else _beginning(_leaves(Recipe, ""), incomplete)


def models(incomplete: str) -> list[str]:
    """Aliases, and the folders and GGUF files below what was typed."""
    from itertl.model import alias, find

    known = [find.SMOLLM2, *alias.ALIASES, *find.RANDOM_TINY]
    return _beginning(known, incomplete) + _files(incomplete, ".gguf")


def benchmarks(incomplete: str) -> list[str]:
    """Names of benchmarks."""
    from itertl.evaluation.benchmarks import BENCHMARKS

    return _beginning(BENCHMARKS, incomplete)


def _beginning(known: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]


def _files(incomplete: str, *endings: str) -> list[str]:
    """Folders, and files of those endings, that begin with what was typed."""
    head, tail = os.path.split(incomplete)
    try:
        inside = sorted(Path(head or ".").iterdir())
    except OSError:
        return []
    shown = [path for path in inside if path.name.startswith(tail) and not path.name.startswith(".")]
    found = [path for path in shown if path.is_dir() or path.name.lower().endswith(endings)]
    return [f"{os.path.join(head, path.name)}{'/' if path.is_dir() else ''}" for path in found]  # noqa: PTH118


def _leaves(part: type[BaseModel], at: str) -> list[str]:
    found: list[str] = []
    for name, field in part.model_fields.items():
        key = f"{at}{field.alias or name}"
        inner = submodel(part, name)
        found += _leaves(inner, f"{key}.") if inner is not None else [f"{key}="]
    return found
