"""Stages that another run has done already: found by what they were made from, and linked instead of made again.

Two stages are equal where their settings, the SHA-256 of their inputs, their seed and the versions of what computes
are. Of several runs at work at once the one that comes first makes an equal stage, and the others wait for it.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from itertl import faults
from itertl.errors import DataError, UsageError
from itertl.records import content_hash
from itertl.runs import storage
from itertl.runs.manifest import StageRecord


class Found(NamedTuple):
    """An equal stage of another run: the folder that holds it (``base``, ``iter-NN``) and its record."""

    folder: Path
    record: StageRecord


class SharedStages:
    """The finished stages of all runs below ``root`` but the one at ``own``; runs lie one or two folders deep.

    Raises UsageError where there is no such folder.
    """

    def __init__(self, root: Path, own: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"--share-from {root}: no such folder; give one with runs in it")
        self.root, self._own = root, own.resolve()

    @contextlib.contextmanager
    def claim(self, name: str, wanted: StageRecord, wait: Callable[[], object]) -> Iterator[None]:
        """While held, no other run under this root makes an equal stage; ``wait`` is called where one is at it."""
        claims = self.root / ".claims"
        with storage.writes_to(claims):
            claims.mkdir(parents=True, exist_ok=True)
            handle = (claims / f"{_key(name, wanted)}.lock").open("a")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(handle, fcntl.LOCK_UN)  # also where a worker process still holds a copy of the handle

    def find(self, name: str, wanted: StageRecord, digest: Callable[[Path], str]) -> Found | None:
        """An equal stage whose outputs are as it left them. ``digest``: SHA-256 of a file or folder."""
        for path in sorted((*self.root.glob("*/*/manifest.json"), *self.root.glob("*/*/*/manifest.json"))):
            folder = path.parent
            if folder.parent.resolve() == self._own:
                continue
            record = None
            with contextlib.suppress(DataError):  # the run that cannot read its own manifest says so itself
                record = storage.read_manifest(path).stages.get(name)
            if record is None or _key(name, record) != _key(name, wanted):
                continue
            outputs = {folder / output: known for output, known in record.outputs.items()}
            if all(output.exists() and digest(output) == known for output, known in outputs.items()):
                return Found(folder, record)
        return None


def _key(name: str, record: StageRecord) -> str:
    return content_hash([name, record.settings, record.inputs, record.versions, record.seed], 32)


def link(found: Found, folder: Path) -> None:
    """Put the outputs of a found stage into ``folder``: hard links where the disk can, else copies."""
    for output in found.record.outputs:
        source, target = found.folder / output, folder / output
        staged = target.with_name(f".{target.name}.linked")
        if source.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
            shutil.copytree(source, staged, copy_function=_link_file)
            storage.recover_folder(target)
            storage.commit_folder(staged, target)
        else:
            staged.unlink(missing_ok=True)
            _link_file(str(source), str(staged))
            staged.replace(target)
        faults.point("linked.output")
    storage.fsync_dir(folder)


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without such links
        shutil.copy2(source, target)
