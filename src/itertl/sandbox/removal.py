"""Removing a folder whatever a hostile program left in it."""

import contextlib
import shutil
from pathlib import Path


def remove(place: str | Path) -> None:
    """Remove a folder with trees of any depth and with folders that may not be written. Never raises.

    Nothing may be running in it any more. Links are removed, not followed.
    """
    folder = Path(place)
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder)
        return
    with contextlib.suppress(OSError):
        flatten_and_remove(folder)


def flatten_and_remove(folder: Path) -> None:
    """Move folders of deeper levels up before they are removed, so that no path grows long."""
    folder.chmod(0o700)
    number = 0
    while entries := list(folder.iterdir()):
        for entry in entries:
            if entry.is_symlink() or not entry.is_dir():
                entry.unlink()
                continue
            entry.chmod(0o700)
            for inner in list(entry.iterdir()):
                if inner.is_symlink() or not inner.is_dir():
                    inner.unlink()
                    continue
                inner.chmod(0o700)  # its owner must be able to write it for its ".." to change
                while (target := folder / f"moved-{number}").exists() or target.is_symlink():
                    number += 1
                inner.rename(target)
                number += 1
            entry.rmdir()
    folder.rmdir()
