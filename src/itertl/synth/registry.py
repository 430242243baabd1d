"""All families of the generator, in the order in which problems are drawn from them, and which are held out."""

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from itertl.errors import UsageError, nearest
from itertl.synth import families as families_package
from itertl.synth.design import REGISTERED, Family

# In the order in which problems are drawn; a family of another category comes last. New ones come last, too: the first
# problems of a list, which benchmarks of generated problems are, then stay what they were.
_CATEGORIES = (
    "gates", "muxes", "arithmetic", "comparators", "encoders", "converters", "codes", "shifters", "fields",
    "bit tricks",
    "registers", "counters", "shift_registers", "fsm", "memories", "handshakes", "crc_lfsr", "timing",
    "maps", "diagrams", "waveforms", "vectors", "automata", "stories", "composition", "repairs",
)  # fmt: skip

# One of each kind, so that the held-out set asks for the same skills on functions never shown.
HELD_OUT_FAMILIES = frozenset({
    "reduction", "onehot_mux", "absolute_difference", "thermometer_encode", "rotate_variable", "trailing_zeros",
    "gray_counter", "vending_machine", "stack", "pulse_stretcher",
})  # fmt: skip


@cache
def families() -> dict[str, Family]:
    """Name -> family, of every module in ``families``; within a category in the order of modules and definitions.

    Raises ValueError where two families have one name or a held-out name does not exist.
    """
    for module in sorted(found.name for found in pkgutil.iter_modules(families_package.__path__)):
        importlib.import_module(f"{families_package.__name__}.{module}")
    if missing := HELD_OUT_FAMILIES - REGISTERED.keys():
        raise ValueError(f"held-out families that do not exist: {sorted(missing)}")
    place = {category: position for position, category in enumerate(_CATEGORIES)}
    return {f.name: f for f in sorted(REGISTERED.values(), key=lambda f: place.get(f.category, len(place)))}


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
            hint = nearest(name, known, then=f"known: {', '.join(sorted(known))}")
            raise UsageError(f"unknown family {name!r}: {hint}")
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
