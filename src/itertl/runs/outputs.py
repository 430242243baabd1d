"""What a command may write: the one rule for every path that a user names with ``--out``.

A path that exists, and that no earlier call of the same command made, is never removed or overwritten without
``--force``; an input of the call is never overwritten. A link is written through, a device or pipe is written
to, and a path that cannot be written is reported before any work. What a command made is noted in the cache folder
(``written/``), with size and time, or the names in a folder: what was changed since counts as the user's own. Without
the note (another machine, an emptied cache) a path counts as the user's.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from itertl.errors import UsageError, WriteFailed
from itertl.records import content_hash
from itertl.runs import storage
from itertl.runs.storage import cache_folder

MAX_NOTES = 2000


@contextlib.contextmanager
def writing(
    command: str,
    *,
    files: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    inputs: Iterable[Path | None] = (),
    force: bool = False,
) -> Iterator[None]:
    """Guard the outputs of one call of ``command``: checked on the way in, noted on the way out.

    ``folders`` are replaced whole. ``inputs`` that are None or are not paths on disk are passed over.
    Raises UsageError that names the path and the fix, before anything is written.
    """
    read = [path for path in inputs if path is not None and path.exists()]
    for path in files:
        _check_file(path, read)
    for path in folders:
        _check_folder(path, read)
    every = (*files, *folders)
    for path in () if force else every:
        _check_ours(path, command)
    if any(storage.is_stdout(path) for path in files):
        sys.stdout = sys.stderr  # what else is reported must not get into it
    for path in every:
        if _is_free(path) or is_made_by(path, command):
            _note(path, command, None)  # ours from here on, also where this call is killed before its end
    yield
    for path in every:
        _note(path, command, _state(path))


def is_made_by(path: Path, command: str) -> bool:
    """Whether an earlier call of ``command`` made what lies at ``path``, and nothing changed it since."""
    note = _read_note(path)
    return note.get("command") == command and note.get("state") in (None, _state(path))


def _check_file(path: Path, inputs: Sequence[Path]) -> None:
    check_place(path)
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; give the name of the file to write")
    if storage.is_node(path) or not path.exists():
        return
    for other in inputs:
        is_within = other.is_dir() and other.resolve() in path.resolve().parents
        if path.samefile(other) or (is_within and not _read_note(path)):
            raise UsageError(f"{path}: would be overwritten, and is an input of this call; give another --out")


def _check_folder(path: Path, inputs: Sequence[Path]) -> None:
    check_place(path)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is not a folder; give the name of a folder to write")
    here = path.resolve()
    for other in inputs:
        there = other.resolve()
        if here == there or here in there.parents:
            raise UsageError(f"{path}: would be replaced, and holds {other}, an input of this call; give another --out")


def check_outside(folder: Path, inputs: Iterable[str | None]) -> None:
    """That nothing which a run reads lies in the folder that it writes. Raises UsageError."""
    here = folder.resolve()
    for name in inputs:
        path = Path(name).expanduser() if name is not None else None
        if path is not None and path.exists() and here in path.resolve().parents:
            raise UsageError(
                f"{name}: lies in {folder}, which the run writes; copy it elsewhere, or give another --out"
            )


def check_run(folder: Path, *, is_plan: bool) -> None:
    """That a run or a study can have its folder there; for a plan alone, that no file has its name. Raises
    UsageError."""
    if not is_plan:
        check_place(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder with --out")


def check_place(path: Path) -> None:
    """That ``path`` can be made: the first folder above it that exists is one, and takes a file. Raises UsageError."""
    if storage.is_node(path):
        return
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # to be made, behind a dangling link too
            path.stat()
        place = Path(os.path.realpath(path)).parent
        while not _is_there(place):
            place = place.parent
    except OSError as error:  # links in a circle, a name too long, a forbidden folder
        raise UsageError(f"{path}: cannot be written ({error.strerror}); give another --out") from error
    if not place.is_dir():
        raise UsageError(f"{path}: {place} is a file, not a folder; give another --out")
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise UsageError(
            f"{path}: the folder {place} cannot be written ({error.strerror}); give another --out"
        ) from error


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_ours(path: Path, command: str) -> None:
    begun = storage.partial_of(path)
    if begun.exists() and not storage.is_node(path) and _read_note(path).get("command") != command:
        raise UsageError(
            f"{begun}: exists, and no earlier `itertl {command}` began it; give another --out, or --force to lose what "
            f"is there"
        )
    if _is_free(path) or is_made_by(path, command):
        return
    is_ours = _read_note(path).get("command") == command
    how = "was changed since" if is_ours else f"no earlier `itertl {command}` made it"
    raise UsageError(f"{path}: exists, and {how}; give another --out, or --force to lose what is there")


def _is_free(path: Path) -> bool:
    """Whether nothing can be lost there: nothing, a device or pipe, an empty file or folder."""
    if not path.exists() or storage.is_node(path):
        return True
    return not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0


def _state(path: Path) -> Any:
    """Size and time of a file, the names in a folder; None where there is neither."""
    if not path.exists() or storage.is_node(path):
        return None
    if path.is_dir():
        return sorted(child.relative_to(path).as_posix() for child in path.rglob("*"))
    seen = path.stat()
    return [seen.st_size, seen.st_mtime_ns]


def _note_path(path: Path) -> Path:
    return cache_folder() / "written" / f"{content_hash(os.path.realpath(path))}.json"


def _read_note(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_note_path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(path: Path, command: str, state: Any) -> None:
    """Best effort: without a note the next call asks for ``--force``, and nothing is lost."""
    if storage.is_node(path):
        return
    with contextlib.suppress(OSError, WriteFailed):
        storage.write_json(_note_path(path), {"path": os.path.realpath(path), "command": command, "state": state})
        _forget(_note_path(path).parent)


def _forget(folder: Path) -> None:
    """Drop the notes of paths that are gone, where there are many."""
    notes = list(folder.glob("*.json"))
    for note in notes if len(notes) > MAX_NOTES else []:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if not os.path.lexists(json.loads(note.read_bytes())["path"]):
                note.unlink()
