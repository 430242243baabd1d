"""Names that a recipe may use, and how a name becomes a callable.

A name is one of the built-in table's (``"rtlcoder"``) or ``"package.module:function"`` of the user's own code on the
Python path. Modules are imported when chosen, so that ``import itertl`` needs no torch.
"""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from itertl.errors import UsageError, nearest


def resolve(kind: str, name: str, builtin: Mapping[str, str]) -> Callable[..., Any]:
    """Return the callable called ``name``. ``builtin`` maps names to "module:function".

    Raises UsageError with the nearest name, or with what went wrong importing the user's own.
    """
    target = builtin.get(name)
    if target is None and ":" not in name:
        known = f"known: {', '.join(sorted(builtin))}; or give your own as package.module:function"
        raise UsageError(f"unknown {kind} {name!r}: {nearest(name, builtin, then=known)}")
    module, _, attribute = (target or name).partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if target is not None and not isinstance(error, ModuleNotFoundError):
            raise
        raise UsageError(f"{kind} {name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise UsageError(f"{kind} {name!r} is a {type(found).__name__}, not a function")
    return found


def check_arguments(kind: str, name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise UsageError where ``given`` holds a keyword that ``function`` does not take."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in given:
        if key not in parameters:
            hint = nearest(key, parameters, otherwise=f"it takes: {', '.join(parameters)}")
            raise UsageError(f"{kind} {name!r} has no option {key!r}; {hint}")
