"""The command line in the tests' own process: what a user sees, without four seconds of imports for each call."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from itertl import cli


def itertl(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    """``itertl ARGUMENTS`` in the folder ``cwd`` with ``variables`` in its environment; an exception of ours is
    raised."""
    words, out, err = [str(word) for word in arguments], io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["itertl", *words])
        patch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
        for name, value in {"COLUMNS": "120", "PYTHONPATH": str(Path(__file__).parent), **variables}.items():
            patch.setenv(name, value)
        patch.chdir(cwd or os.getcwd())  # noqa: PTH109
        patch.setattr("signal.signal", lambda *_: None)  # the handler is the process's, not this call's
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
            cli.main()
    status = stop.value.code
    return subprocess.CompletedProcess(
        words, status if isinstance(status, int) else int(status is not None), out.getvalue(), err.getvalue()
    )
