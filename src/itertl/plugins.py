"""Names that a recipe may use, and how a name becomes a callable.

A name is one of the built-in table's (``"rtlcoder"``) or ``"package.module:function"`` of the user's own code on the
Python path, at whose end the current folder stands. Modules are imported when chosen, so that ``import itertl`` needs
no torch.
"""

import hashlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from itertl.errors import UsageError, nearest


def resolve(kind: str, name: str, builtin: Mapping[str, str]) -> Callable[..., Any]:
    """Return the callable called ``name``. ``builtin`` maps names to "module:function".

    Raises UsageError with the nearest name, or with what went wrong importing the user's own, and where.
    """
    target = builtin.get(name)
    if target is None and ":" not in name:
        known = f"known: {', '.join(sorted(builtin))}; or give your own as package.module:function"
        raise UsageError(f"unknown {kind} {name!r}: {nearest(name, builtin, then=known)}")
    module, _, attribute = (target or name).partition(":")
    if target is None:
        _add_current_folder()
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:
        if target is not None and not isinstance(error, ModuleNotFoundError):
            raise
        raise UsageError(f"{kind} {name!r} cannot be imported: {_import_fault(error, module)}") from error
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


def place_of(error: BaseException) -> str:
    """ "FILE:LINE" of the user's code where ``error`` was raised: the last frame that is neither ours nor a library's.

    "" where no frame is known.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    outside = [f for f in frames if not f.filename.startswith(str(_OURS))]
    users = [f for f in outside if not f.filename.startswith(libraries)]
    chosen = users or outside or frames
    return f"{chosen[-1].filename}:{chosen[-1].lineno}" if chosen else ""


def definition_of(function: Callable[..., Any]) -> str:
    """ "FILE:LINE" where a function or class of the user's begins; "" where Python does not know."""
    try:
        plain = inspect.unwrap(function)
        return f"{inspect.getsourcefile(plain)}:{inspect.getsourcelines(plain)[1]}"
    except (OSError, TypeError):
        return ""


def content_of(function: Callable[..., Any]) -> str:
    """Hash of the file that a function of the user's stands in, by which results of it count as its own; "unknown"
    where there is none."""
    plain = inspect.unwrap(function)
    file = inspect.getsourcefile(plain) if inspect.isroutine(plain) else None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else "unknown"


_OURS = Path(__file__).resolve().parent


def _add_current_folder() -> None:
    """Behind all else, so that no file of the user's stands in a library's place."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _import_fault(error: Exception, module: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name in (module, module.partition(".")[0]):
        return f"{error}; put {module.replace('.', '/')}.py into the current folder, or its folder on PYTHONPATH"
    if isinstance(error, AttributeError) and module in sys.modules and f"module '{module}'" in str(error):
        return f"{error} ({sys.modules[module].__file__})"
    place = place_of(error)
    return f"{type(error).__name__}: {error}" + (f" ({place})" if place and place not in str(error) else "")
