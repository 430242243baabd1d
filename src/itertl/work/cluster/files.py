"""Files on their way between machines: through a folder that all see, or in pieces through Ray's object store.

The owner packs, the other machine lays out. What lies below ``compute.storage`` is not sent: it is read where it is.
Copies lie in a temporary folder of the process that uses them, and go with it, whatever ends it.
"""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

_PIECE = 64 << 20  # bytes
# Its own program, and no child of ours, so that it outlives whatever ends this process: then its input ends.
_SWEEPER = 'exec 3<&0; { read _; rm -rf -- "$0"; } <&3 >/dev/null 2>&1 &'


@dataclass(frozen=True, slots=True)
class Parcel:
    """A file or a folder. ``pieces``: of each file by its path in the folder, "." for a file itself; None where
    ``path`` can be read everywhere."""

    path: Path  # where its owner has it
    pieces: tuple[tuple[str, tuple[Any, ...]], ...] | None = None

    def lay(self, at: Path) -> Path:
        """Put it at ``at``, where that is needed; where it is."""
        if self.pieces is None:
            return self.path
        for name, refs in self.pieces:
            target = at / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as handle:
                for ref in refs:
                    handle.write(ray.get(ref))
        return at

    def become(self, path: Path) -> None:
        """Put it at ``path`` in place of what is there."""
        aside = path.with_name(f".{path.name}.fetched")
        remove(aside)
        if self.pieces is None:
            (shutil.copytree if self.path.is_dir() else shutil.copy2)(self.path, aside)
        else:
            self.lay(aside)
        remove(path)
        if aside.exists():  # not of an empty folder
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.rename(path)


def pack(path: Path, storage: str | None) -> Parcel:
    """Of what is there; links are followed."""
    path = path.absolute()
    if storage is not None and path.is_relative_to(Path(storage).absolute()):
        return Parcel(path)
    names = (
        [file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [Path()]
    )
    return Parcel(path, tuple((str(name), tuple(_pieces(path / name))) for name in names))


def _pieces(file: Path) -> Iterator[Any]:
    with file.open("rb") as handle:
        while piece := handle.read(_PIECE):
            yield ray.put(piece)


def own_folder() -> Path:
    """A folder that is gone when this process is."""
    folder = Path(tempfile.mkdtemp(prefix="itertl-node-"))
    sweeper = subprocess.Popen(
        ["/bin/sh", "-c", _SWEEPER, str(folder)], stdin=subprocess.PIPE, start_new_session=True, close_fds=True
    )
    _sweepers.append(sweeper)  # its input stays open
    sweeper.wait()  # it has left its work to a child
    return folder


_sweepers: list[subprocess.Popen[bytes]] = []


def remove(path: Path) -> None:
    """A file or a folder, where there is one."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
