"""Every error that a user can meet, in one place.

A message names the file, line, field or tool at fault and then the fix. ``exit_status`` is what the command line
returns: 2 where the usage or the input is wrong, 1 where the work itself failed. What is not an ``ItertlError`` is a
fault of this project and is shown with its traceback.
"""

import difflib
from collections.abc import Iterable


class ItertlError(Exception):
    """Base of all errors that are reported without a traceback."""

    exit_status = 1


class UsageError(ItertlError):
    """A command was called with arguments that cannot be served."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe, or an override of it, is wrong; the message names the key."""


class DataError(UsageError):
    """An input file is wrong; the message names file and line."""


class RunError(UsageError):
    """A run folder cannot be used: locked by another process, or not a run folder."""


class ToolMissing(ItertlError):
    """A program or package that the work needs is not installed; the message says how to get it."""

    exit_status = 2


class ToolFailed(ItertlError):
    """A tool broke in a way that says nothing about the text it was given."""


class WriteFailed(ItertlError):
    """A file cannot be written: the disk is full, or the place forbids it; what was written before is kept."""


class TrainingDiverged(ItertlError):
    """Loss or gradient stopped being finite; the last good weights are kept."""


class Interrupted(ItertlError):
    """The user or the system asked to stop; all finished work is on disk."""

    exit_status = 130


def nearest(name: str, known: Iterable[str], *, then: str = "", otherwise: str = "") -> str:
    """``did you mean 'NAME'?`` and ``then``, where one of ``known`` is spelled like ``name``; else ``otherwise`` or
    ``then``."""
    folded = {str(one).casefold(): str(one) for one in known}
    near = difflib.get_close_matches(name.casefold(), folded, 1, 0.5)
    return f"did you mean {folded[near[0]]!r}? {then}".rstrip() if near else otherwise or then
