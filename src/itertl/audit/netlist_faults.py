"""Faults that a netlist shows: what has no driver, and what holds its value without a clock.

Reads the JSON that Yosys writes of one flattened module in which processes have become registers and latches.
"""

import re
from collections.abc import Iterable
from typing import Any

from itertl.scoring.synthesis import cells

_LATCH = re.compile(r"\$(_DLATCH|dlatch|adlatch|_SR_|sr$)")


def faults(module: dict[str, Any]) -> list[tuple[str, str]]:
    """(kind, which bits) of the module's faults. Kinds: "undriven output", "undriven signal", "latch".

    A signal that only its initial value drives counts as driven: it is a constant.
    """
    names = _names(module)
    driven = {bit for port in module["ports"].values() if port["direction"] != "output" for bit in port["bits"]}
    read: set[Any] = set()
    latched: list[Any] = []
    for kind, bits_in, bits_out in cells(module):
        read.update(bits_in)
        driven.update(bits_out)
        latched += bits_out if _LATCH.match(kind) else []
    for net in module["netnames"].values():
        initial = str(net.get("attributes", {}).get("init", ""))
        driven.update(bit for bit, sign in zip(net["bits"], reversed(initial), strict=False) if sign in "01")
    shown: set[Any] = set()
    open_outputs: list[str] = []
    for name, port in module["ports"].items():
        if port["direction"] == "output":
            missing = [(name, n) for n, bit in enumerate(port["bits"]) if isinstance(bit, int) and bit not in driven]
            shown.update(bit for bit in port["bits"] if isinstance(bit, int))
            open_outputs += _ranges(missing, {name: len(port["bits"])})
    widths = {name: len(net["bits"]) for name, net in module["netnames"].items()}
    inner = [names[bit] for bit in read - shown - driven if isinstance(bit, int) and bit in names]
    held = [names[bit] for bit in latched if bit in names]
    found = [
        ("undriven output", open_outputs),
        ("undriven signal", _ranges(inner, widths)),
        ("latch", _ranges(held, widths)),
    ]
    return [(kind, ", ".join(which)) for kind, which in found if which]


def _names(module: dict[str, Any]) -> dict[Any, tuple[str, int]]:
    """A name for each bit: that of an output where it has one, else the shortest that the design gave it."""
    found: dict[Any, tuple[str, int]] = {}
    outputs = {name for name, port in module["ports"].items() if port["direction"] == "output"}
    for name in sorted(module["netnames"], key=lambda name: (name.startswith("$"), name not in outputs, len(name))):
        for number, bit in enumerate(module["netnames"][name]["bits"]):
            found.setdefault(bit, (name, number))
    return found


def _ranges(bits: Iterable[tuple[str, int]], widths: dict[str, int]) -> list[str]:
    """``y[3:2]`` for bits 2 and 3 of a wider y, ``q`` for all of it; the lowest bit is 0, however declared."""
    by_name: dict[str, list[int]] = {}
    for name, number in sorted(set(bits)):
        by_name.setdefault(name, []).append(number)
    found: list[str] = []
    for name, numbers in by_name.items():
        if len(numbers) == widths.get(name):
            found.append(name)
            continue
        start = numbers[0]
        for number, following in zip(numbers, [*numbers[1:], -1], strict=True):
            if following != number + 1:
                found.append(f"{name}[{number}]" if start == number else f"{name}[{number}:{start}]")
                start = following
    return found
