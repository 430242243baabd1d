"""A design that slang accepts and Icarus or Yosys does not, written again in the Verilog that both accept.

``lower`` walks the design as slang elaborated it, where every width, sign, constant and conversion is known, and prints
one flat module: packed vectors, ``assign``, ``always``, functions. What is replaced: types, packages, interfaces,
generate constructs, hierarchy, casts, patterns, streams, ``inside``, methods of enums, ``break`` and similar jumps,
``foreach``.

Only what is understood exactly is printed, X and Z included; anything else raises ``Refused``: delays, events, inout
ports, primitives, real numbers, classes. It runs slang in this process: call it in a worker.
"""

import functools
from collections.abc import Iterator, Mapping

from itertl.scoring.lowering.design import DesignWriter
from itertl.scoring.lowering.names import Refused
from itertl.tools import slang

__all__ = ("Refused", "lower", "lowered", "readings")

MOST_CHARS = 1 << 20


def lower(text: str, top: str, parameters: Mapping[str, int] | None = None, *, to_hardware: bool = False) -> str:
    """``text``, which the gate let through, as one flat module ``top`` with the same ports, at these values of its
    parameters.

    The parameters stay, so that an instance may set them, but nothing depends on them. ``to_hardware``: loops that are
    left early keep constant bounds, for a synthesizer. Raises Refused, ToolMissing.
    """
    unit = slang.parse(text)
    overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
    compilation, error = slang.elaborate(unit, top, parameters=overrides)
    if error or top not in unit.modules:
        raise Refused(error or slang.no_module(top, unit))
    written = DesignWriter(compilation.getRoot().topInstances[0], to_hardware).text()
    if len(written) > MOST_CHARS:
        raise Refused("what was written is very long")
    again = slang.parse(written)
    error = again.error or slang.elaborate(again, top)[1]
    if error:
        raise Refused(f"what was written does not elaborate: {error}")
    return written


def lowered(
    text: str, top: str, parameters: Mapping[str, int] | None = None, *, to_hardware: bool = False
) -> str | None:
    """As ``lower``; None where it refuses. Kept for the next call."""
    return _kept(text, top, tuple(sorted((parameters or {}).items())), to_hardware)


@functools.lru_cache(maxsize=64)
def _kept(text: str, top: str, parameters: tuple[tuple[str, int], ...], to_hardware: bool) -> str | None:
    try:
        return lower(text, top, dict(parameters), to_hardware=to_hardware)
    except (Refused, AttributeError, TypeError, ValueError, RuntimeError):
        # what slang's library cannot return is refused too
        return None


def readings(text: str, top: str) -> Iterator[str]:
    """What Yosys may be given in turn, until it reads one: the text itself, then its lowered form."""
    yield text
    if (other := lowered(text, top, to_hardware=True)) is not None:
        yield other
