"""The ``itertl`` command: starting it, and how it ends.

Exit status: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted. ``--json`` prints one object on stdout.
"""

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from itertl import __version__
from itertl.errors import Interrupted, ItertlError
from itertl.progress import interrupt, is_interrupted
from itertl.work import children

app = typer.Typer(
    name="itertl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Iterative fine-tuning of language models for RTL code.",
)
data_app = typer.Typer(no_args_is_help=True, help="Instruction/reference pairs: import, look at, generate, audit.")
app.add_typer(data_app, name="data")
audit_app = typer.Typer(no_args_is_help=True, help="What a model has kept of the texts that it was trained on.")
app.add_typer(audit_app, name="audit")
model_app = typer.Typer(no_args_is_help=True, help="A model itself: tokens of its domain.")
app.add_typer(model_app, name="model")


def main() -> None:
    """Entry point of the ``itertl`` command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # of a job in the background
            signal.signal(number, interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # tables and texts hold what a terminal's encoding may lack
            stream.reconfigure(errors="replace")
    children.quiet_libraries()  # also those of processes that are started later
    try:
        status = app(
            prog_name="itertl", standalone_mode=False
        )  # gives back the status of a typer.Exit instead of raising it
        sys.stdout.flush()  # a full disk is reported here, not by the interpreter when it ends
        if status == Interrupted.exit_status:  # which is how the library reports Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (Exception, KeyboardInterrupt) as error:
        _end(KeyboardInterrupt() if is_interrupted() else error)


def _end(error: BaseException) -> None:
    """Say what ended the command, in one line, and end with its status; a fault of ours is raised."""
    # a usage error of the command-line library
    usage: Callable[[], str] | None = getattr(error, "format_message", None)
    if isinstance(error, ItertlError):
        _fail(str(error), error.exit_status)
    elif isinstance(error, KeyboardInterrupt):
        _fail("interrupted; the same command goes on where it stopped", Interrupted.exit_status)
    elif isinstance(error, typer.Abort):
        _fail("aborted", 1)
    elif isinstance(error, BrokenPipeError):
        _close_stdout()
        sys.exit(1)
    elif isinstance(error, OSError):  # ordinary trouble with a path; ours are WriteFailed and DataError
        what = f"{error.filename or 'standard output'}: {error.strerror or error}"
        _fail(f"{what}; check the path, its permissions and the space left", 1)
    elif usage is not None and usage():
        _fail(usage().replace("\n", " "), 2)
    elif usage is not None:  # no command: its help is on the screen
        sys.exit(2)
    raise error


def _fail(message: str, status: int) -> None:
    with contextlib.suppress(OSError):
        print(f"itertl: {message}", file=sys.stderr)
    try:
        if "--json" in sys.argv:
            print(json.dumps({"error": message, "exit_status": status}, ensure_ascii=False))
        sys.stdout.flush()
    except OSError:
        _close_stdout()
    sys.exit(status)


def _close_stdout() -> None:
    """The reader is gone, or its disk is full; nothing may write to it at exit."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"itertl {__version__}")
        raise typer.Exit
