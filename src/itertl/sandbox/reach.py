"""What a tool must be able to read: the folders of its own installation, found from where it really lies.

A program may be a link (a virtual environment's ``python``, ``/opt/bin`` to ``/opt/tool-1.2/bin``): every place that
the links pass counts. Of a prefix only the folders that installations have are taken, never the prefix itself: for a
program in ``~/bin`` that would be the home folder. A tool that needs more names it in ``Limits.readable``.
"""

import functools
import os
from pathlib import Path

from itertl.sandbox.bubblewrap import SYSTEM

_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "share", "include")
_FILES = ("pyvenv.cfg",)


@functools.cache
def readable(programs: tuple[str, ...], extra: tuple[str, ...]) -> tuple[str, ...]:
    """Existing paths, absolute, without duplicates and without what another of them or the system's folders hold."""
    found = {path for program in map(Path, programs) if program.is_absolute() for path in _installation(program)}
    found |= {place for path in extra for place in (Path(path).absolute(), Path(path).resolve())}
    system = {Path(name) for name in SYSTEM}
    found = {path for path in found if path.exists() and not system.intersection((path, *path.parents))}
    return tuple(sorted(str(path) for path in found if not found.intersection(path.parents)))


def _installation(program: Path) -> set[Path]:
    places: set[Path] = set()
    for place in _places(program):
        prefix = place.parent.parent if place.parent.name in ("bin", "sbin", "libexec") else place.parent
        places |= {place, *(prefix / name for name in (*_FOLDERS, *_FILES))}
    return places


def _places(program: Path) -> list[Path]:
    """The program, each link on its way, and where it really lies."""
    places = [program]
    while places[-1].is_symlink() and len(places) < 40:
        target = places[-1].readlink()
        places.append(Path(os.path.normpath(places[-1].parent / target)))
    return [*places, program.resolve()]
