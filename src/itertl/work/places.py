"""Where files that belong to another machine lie on this one: processes on a cluster work on copies."""

from pathlib import Path
from typing import TypeVar

P = TypeVar("P", Path, str, Path | str)

_here: dict[str, Path] = {}


def here(path: P) -> P:
    """The path on this machine of what its owner calls ``path``; the same where it was not brought here."""
    found = _here.get(str(path))
    return path if found is None else type(path)(str(found))


def whole(path: P) -> P:
    """A path of this machine that means the same in every folder; what is no path here, such as a hub name, as it
    is."""
    return type(path)(str(Path(path).absolute())) if Path(path).exists() else path


def put(paths: dict[str, Path]) -> None:
    """Name what was brought here: the owner's path -> the path on this machine."""
    _here.update(paths)
