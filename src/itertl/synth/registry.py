"""All families of the generator, in the order in which problems are drawn from them, and which are held out."""

import difflib
from collections.abc import Sequence
from functools import cache

from itertl.errors import UsageError
from itertl.synth.design import Family
from itertl.synth.families import (
    arithmetic,
    bit_tricks,
    codes,
    comparators,
    converters,
    counters,
    crc_lfsr,
    encoders,
    fields,
    fsm,
    gates,
    handshakes,
    memories,
    muxes,
    products,
    registers,
    shift_registers,
    shifters,
    timing,
)

_MODULES = (
    gates, muxes, arithmetic, products, comparators, encoders, converters, codes, shifters, fields, bit_tricks,
    registers, counters, shift_registers, fsm, memories, handshakes, crc_lfsr, timing,
)  # fmt: skip

# One of each kind, so that the held-out set asks for the same skills on functions never shown.
HELD_OUT_FAMILIES = frozenset({
    "reduction", "onehot_mux", "absolute_difference", "thermometer_encode", "rotate_variable", "trailing_zeros",
    "gray_counter", "vending_machine", "stack", "pulse_stretcher",
})  # fmt: skip


@cache
def families() -> dict[str, Family]:
    """Name -> family. Raises ValueError where two modules use one name or a held-out name does not exist."""
    found: dict[str, Family] = {}
    for module in _MODULES:
        for family in module.FAMILIES:
            if family.name in found:
                raise ValueError(f"two families are called {family.name!r}")
            found[family.name] = family
    if missing := HELD_OUT_FAMILIES - found.keys():
        raise ValueError(f"held-out families that do not exist: {sorted(missing)}")
    return found


def family_names() -> tuple[str, ...]:
    """Names of all families, held-out ones included."""
    return tuple(families())


def select(names: Sequence[str], split: str) -> list[Family]:
    """The families that ``split`` draws from, restricted to ``names`` where there are any.

    Raises UsageError for an unknown name (with the nearest known one), and for a named family that the split
    cannot hold.
    """
    known = families()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"unknown family {name!r}: {hint}known: {', '.join(sorted(known))}")
        other = _cannot_hold(name, split)
        if other:
            raise UsageError(f"family {name!r} has no problems in split {split!r}: ask for split {other}")
    chosen = dict.fromkeys(names) or known
    return [known[name] for name in chosen if not _cannot_hold(name, split)]


def _cannot_hold(name: str, split: str) -> str:
    """The splits to ask instead, or "" where ``split`` can hold problems of that family."""
    is_out = name in HELD_OUT_FAMILIES
    if split in ("train", "heldout-parameter") and is_out:
        return "'heldout-family' or 'heldout'"
    if split == "heldout-family" and not is_out:
        return "'train', 'heldout-parameter' or 'heldout'"
    return ""
