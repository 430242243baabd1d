"""The export: checkpoint, GGUF file, model card and record, staged beside the folder and renamed when all is checked.

``export.json`` is the record of what was written. A folder whose files are all as it says is overwritten; any other is
left alone unless ``force`` is given, so that a card that somebody edited is not lost.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from itertl import __version__
from itertl.errors import DataError, UsageError
from itertl.export.source import Source, find_source, licence_of, read_json
from itertl.runs import storage

RECORD = "export.json"
SCHEMA = "itertl.export/1"


@dataclass(frozen=True, slots=True)
class Exported:
    """What one call left behind. ``record``: what ``export.json`` holds."""

    out: Path
    record: dict[str, Any]
    pushed: str | None

    def to_json(self) -> dict[str, Any]:
        return {"out": str(self.out), **self.record, "pushed": self.pushed}

    def render(self) -> str:
        """Lines for a terminal."""
        lines = [f"checkpoint  {self.out}  ({self.record['source']})", f"card        {self.out / 'README.md'}"]
        if gguf := self.record["gguf"]:
            check = gguf["check"]
            lines += [
                f"gguf        {self.out / gguf['file']}  ({gguf['bytes'] / 1e6:,.1f} MB, {gguf['seconds']} s)",
                f"checked     {check['tensors']} tensors, largest difference {check['largest_error']:.3g}; "
                f"{check['positions']} positions, largest logit difference {check['largest_logit_difference']:.3g}, "
                f"same next token at {check['same_next_token']}",
                *(f"            {note}" for note in check["notes"]),
            ]
        if self.pushed:
            lines.append(f"pushed      {self.pushed}")
        return "\n".join(lines)


def export(
    path: Path, out: Path, *, iteration: str | None = None, kind: str | None = None, push_to: str | None = None,
    private: bool = False, force: bool = False,
) -> Exported:  # fmt: skip
    """Export what ``path`` is (see ``source.find_source``) into the folder ``out``.

    ``kind``: a GGUF type, None for no file.

    Raises UsageError or DataError for what cannot be exported or overwritten, ToolFailed where the GGUF file does not
    hold what the checkpoint does. After any of them ``out`` is what it was before, except that an upload that fails
    leaves it complete.
    """
    from itertl.export.push import check_push, push

    if private and push_to is None:
        raise UsageError("--private goes with --push")
    if push_to is not None:
        check_push(push_to)
    source = find_source(path, iteration)
    _check_outside(out, path, source.folder)
    if kind is not None and not source.is_adapter:  # refused before anything is copied
        from transformers import AutoConfig

        from itertl.export.gguf_file import check_supported

        check_supported(AutoConfig.from_pretrained(source.folder), kind)
    with _staging(out) as staged:
        storage.recover_folder(out)
        _check_free(out, force)
        record = _fill(source, staged, kind, out.resolve().name)
        storage.commit_folder(staged, out)
    address = push(out, push_to, private=private) if push_to is not None else None
    return Exported(out, record, address)


def _fill(source: Source, staged: Path, kind: str | None, name: str) -> dict[str, Any]:
    """Write every file; returns what ``export.json`` holds."""
    from itertl.export.card import write_card
    from itertl.export.checkpoint import write_checkpoint

    write_checkpoint(source, staged)
    licence = licence_of(source)
    gguf = None if kind is None else _write_gguf(staged, kind, name, licence)
    hashes = {f.relative_to(staged).as_posix(): storage.hash_file(f) for f in sorted(staged.rglob("*")) if f.is_file()}
    write_card(staged / "README.md", source, name=name, licence=licence, hashes=hashes, gguf=gguf)
    hashes["README.md"] = storage.hash_file(staged / "README.md")
    record = {
        "schema": SCHEMA, "itertl": __version__, "source": source.name, "iteration": source.iteration,
        "choice": source.choice, "merged_adapter": source.is_adapter, "files": hashes, "gguf": gguf,
    }  # fmt: skip
    storage.write_json(staged / RECORD, record)
    return record


def _write_gguf(staged: Path, kind: str, name: str, licence: str | None) -> dict[str, Any]:
    """Write and check the file; returns its entry in ``export.json``."""
    from itertl.export.gguf_check import check_gguf
    from itertl.export.gguf_file import write_gguf

    start = time.monotonic()
    file = staged / f"{name}-{kind}.gguf"
    check = check_gguf(file, staged, write_gguf(staged, file, kind, name=name, licence=licence))
    seconds = round(time.monotonic() - start, 1)
    return {"file": file.name, "type": kind, "bytes": file.stat().st_size, "seconds": seconds, "check": asdict(check)}


def _check_outside(out: Path, path: Path, folder: Path) -> None:
    """Neither inside the other: an export must never take the place of what it is made from, nor alter it."""
    there, here, given = out.resolve(), folder.resolve(), path.resolve()
    if there == given or here.is_relative_to(there) or there.is_relative_to(here) or given in there.parents:
        raise UsageError(f"--out {out}: holds the source or lies in it; give a folder outside {folder}")


def _check_free(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    if not out.is_dir() or force:
        return
    reason = _foreign(out)
    if reason:
        raise UsageError(f"--out {out}: {reason}; give another folder, or --force to lose what is there")


def _foreign(out: Path) -> str:
    """Why the folder is not exactly what an export wrote; "" where it is, or is empty."""
    present = {f.relative_to(out).as_posix() for f in out.rglob("*") if not f.is_dir()}
    if not present:
        return ""
    record: dict[str, Any] = {}
    with contextlib.suppress(DataError):
        record = read_json(out / RECORD)
    written = record.get("files")
    if record.get("schema") != SCHEMA or not isinstance(written, dict):
        return "holds files that no export wrote"
    if extra := sorted(present - set(written) - {RECORD}):
        return f"holds {extra[0]}, which no export wrote"
    altered = sorted(
        name for name, digest in written.items() if name in present and storage.hash_file(out / name) != digest
    )
    return f"{altered[0]} was altered after it was exported" if altered else ""


@contextlib.contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A locked, empty folder beside ``out``; what a killed export left in it is removed. Gone afterwards."""
    staged = out.with_name(f".{out.name}.staged")
    try:
        staged.mkdir(parents=True, exist_ok=True)
        handle = os.open(staged, os.O_RDONLY)
    except OSError as error:
        raise UsageError(
            f"--out {out}: cannot be made ({error.strerror}); give a folder that can be written"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.fstat(handle).st_ino == staged.stat().st_ino  # else another export renamed it in between
        except OSError:
            is_ours = False
        if not is_ours:
            raise UsageError(f"--out {out}: another export is writing it; wait for it")
        for child in staged.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        try:
            yield staged
        finally:
            with contextlib.suppress(FileNotFoundError):  # renamed, which is how it should end
                if os.fstat(handle).st_ino == staged.stat().st_ino:
                    shutil.rmtree(staged, ignore_errors=True)
    finally:
        os.close(handle)
