"""The recipes and studies that come with the package, found by name where no file has that path.

An installed package holds them in ``itertl/recipes``; in a checkout they are the folder ``recipes`` beside ``src``. A
recipe names its files as they lie in a checkout (``recipes/own-pairs.jsonl``); where nothing lies there, the bundled
file is taken.
"""

import functools
import re
import textwrap
from pathlib import Path, PurePosixPath
from typing import Any, cast

import yaml

FOLDER = "recipes"
_PACKAGE = Path(__file__).resolve().parents[1]


@functools.cache
def folder() -> Path:
    """Where the bundled recipes lie."""
    inside = _PACKAGE / FOLDER
    return inside if inside.is_dir() else _PACKAGE.parents[1] / FOLDER


def names() -> list[str]:
    """Names of recipes and studies: ``demo``, ``studies/paper-small``."""
    return sorted(str(path.relative_to(folder()).with_suffix("").as_posix()) for path in folder().rglob("*.yaml"))


def file_of(name: str) -> Path | None:
    """The bundled file of a name: ``demo``, ``demo.yaml``, ``recipes/demo.yaml``, or the last part of one in a folder
    (``paper-small``)."""
    wanted = name.removeprefix("./").removeprefix(f"{FOLDER}/").removesuffix(".yaml")
    every = names()
    found = [one for one in every if one == wanted] or [one for one in every if PurePosixPath(one).name == wanted]
    return folder() / f"{found[0]}.yaml" if found else None


def find(path: Path) -> Path:
    """``path`` where it is a file, else the bundled recipe of that name, else ``path``."""
    return path if path.is_file() or path.is_absolute() else file_of(path.as_posix()) or path


def located(tree: Any, path: Path) -> Any:
    """The tree of the recipe at ``path``; where that is a bundled one, with the bundled files that it names and that do
    not lie in the current folder."""
    return _located(tree) if folder() in path.resolve().parents else tree


def _located(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _located(inner) for key, inner in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_located(inner) for inner in cast("list[Any]", value)]
    file = _named(value)
    return value if file is None or Path(value).exists() else str(file)


def _named(value: Any) -> Path | None:
    """The bundled file that a value of a recipe names as ``recipes/NAME``."""
    if not isinstance(value, str) or not value.startswith(f"{FOLDER}/"):
        return None
    file = folder().parent / value
    return file if file.is_file() else None


def is_study(name: str) -> bool:
    """Whether a bundled file is a study's, not a recipe."""
    return "arms" in yaml.safe_load((folder() / f"{name}.yaml").read_text(encoding="utf-8"))


def about(name: str) -> str:
    """The first sentence of a recipe's first comment, in one line of a terminal."""
    words: list[str] = []
    for line in (folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.lstrip("# "))
        if line.rstrip().endswith((".", ":")):
            break
    return textwrap.shorten(re.split(r"(?<!eq)\. ", " ".join(words))[0].rstrip(":."), 96, placeholder=" …")


def files(name: str) -> list[Path]:
    """The files of a bundled recipe, it first: its base and the data that come with it."""
    path = folder() / f"{name}.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = [path]
    base = (path.parent / str(tree.get("base", ""))).resolve()
    if base.is_file():
        found += files(base.relative_to(folder()).with_suffix("").as_posix())
    found += [file for value in _values(tree) if (file := _named(value)) is not None]
    return list(dict.fromkeys(found))


def _values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in cast("dict[Any, Any]", value).values() for leaf in _values(inner)]
    if isinstance(value, list):
        return [leaf for inner in cast("list[Any]", value) for leaf in _values(inner)]
    return [value]


def said() -> str:
    """What a message says of them."""
    return f"or the name of a bundled one: {', '.join(names())}"
