"""A local git clone, read at HEAD by ``git`` itself: the tree, the blobs, the commit and the origin's address.

Nothing is checked out and nothing of the clone runs: no hook, filter or remote helper takes part in the two plumbing
commands that are used, and objects that a partial clone lacks are not fetched.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from itertl.errors import DataError, ToolMissing

_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of the tree: its path, object id, size in bytes and kind ("file", "link" or "submodule")."""

    path: str
    object_id: str
    size: int
    kind: str


def is_clone(folder: Path) -> bool:
    """Whether a folder is a working tree (a clone or a worktree) or a bare repository."""
    return (folder / ".git").exists() or all((folder / name).exists() for name in ("HEAD", "objects", "refs"))


class Clone:
    """One clone. Raises DataError (path, what git says) where it has no commit or cannot be read, ToolMissing without
    git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commit = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
        if not self.commit:
            raise DataError(f"{folder}: is a git clone without a commit at HEAD; check out a branch, or take it out")
        self.origin = public_address(
            self._git("config", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
        )

    def entries(self) -> list[TreeEntry]:
        """All files at HEAD, in git's order, submodules and links included."""
        found: list[TreeEntry] = []
        for line in self._git("ls-tree", "-r", "-l", "-z", "--full-tree", self.commit).split(b"\0"):
            if line:
                facts, _, path = line.partition(b"\t")
                mode, kind, ident, size = facts.split()
                what = "submodule" if kind == b"commit" else "link" if mode == b"120000" else "file"
                length = int(size) if size.isdigit() else 0
                found.append(TreeEntry(path.decode("utf-8", "replace"), ident.decode(), length, what))
        return found

    def blobs(self, object_ids: Sequence[str]) -> Iterator[bytes]:
        """The bytes of each object, in order. Raises DataError where one is missing."""
        with subprocess.Popen(
            self._command("cat-file", "--batch"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=_environment(),
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            for ident in object_ids:
                process.stdin.write(ident.encode() + b"\n")
                process.stdin.flush()
                facts = process.stdout.readline().split()
                if len(facts) != 3 or facts[1] != b"blob":
                    process.kill()
                    raise DataError(f"{self.folder}: object {ident} is missing; fetch the whole clone (not --filter)")
                yield process.stdout.read(int(facts[2]))
                process.stdout.readline()

    def _command(self, *arguments: str) -> list[str]:
        safe = ["-c", "safe.directory=*", "-c", "protocol.allow=never", "-c", "core.fsmonitor=false"]
        return ["git", *safe, "-C", os.fspath(self.folder), *arguments]

    def _git(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(
                self._command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S,
                env=_environment(), check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ToolMissing(
                f"{self.folder}: is a git clone, and git is not installed: apt-get install git, or give its files "
                "as an archive"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise DataError(
                f"{self.folder}: git gave no answer within {_TIMEOUT_S:g} s; is the clone whole?"
            ) from error
        if done.returncode > 1 or (done.returncode and b"fatal" in done.stderr):
            said = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason"])[0]
            raise DataError(f"{self.folder}: git cannot read this clone ({said[:200]}); clone it again, or take it out")
        return done.stdout


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    off = {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    return kept | off | {"LC_ALL": "C"}


def public_address(url: str) -> str | None:
    """An origin's address without user, password, query and local folders: "https://github.com/owner/name"; None for
    one that only this machine knows."""
    scp = re.fullmatch(r"(?:[^@/\s]+@)?([\w.-]+\.[\w.-]+):(?!//)(.+)", url)
    if scp and not re.match(r"^[A-Za-z]:\\", url):
        return f"https://{scp.group(1)}/{scp.group(2).lstrip('/').removesuffix('.git')}"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port and parts.scheme != "ssh" else ""
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "ssh", "git") or not parts.hostname:
        return None
    scheme = "https" if parts.scheme in ("ssh", "git") else parts.scheme
    return f"{scheme}://{parts.hostname}{port}{parts.path.rstrip('/').removesuffix('.git')}"
