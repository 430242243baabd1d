"""Designs of other families with one error, to be found and mended. The right design is the answer."""

import random
from collections.abc import Sequence
from dataclasses import replace

from itertl.synth.design import REGISTERED, DesignSpec, Family, register

_MOST_LINES = 26  # of the design: it stands in the instruction and in the answer
_WELL_KNOWN = {"byte_enable_register"}  # near a benchmark's, and with the right code in sight it would be nearer
_LEAD = (
    "Fix the bug in the module below. It should do this:",
    "The code below has one error. Find it and give the corrected module. What it is meant to do:",
    "The module below was written for the following task, but it does not do what it should; one place is wrong. Find "
    "the error and write the module as it should be. The task:",
)


def _bases(is_clocked: bool) -> list[Family]:
    from itertl.synth.registry import HELD_OUT_FAMILIES  # which imports this module

    clocked = (
        "registers",
        "counters",
        "shift_registers",
        "fsm",
        "handshakes",
        "crc_lfsr",
        "timing",
        "automata",
        "stories",
    )
    plain = (
        "gates", "muxes", "arithmetic", "comparators", "encoders", "converters", "codes", "shifters", "fields",
        "bit tricks", "maps", "vectors", "stories",
    )  # fmt: skip
    chosen = clocked if is_clocked else plain
    out = HELD_OUT_FAMILIES | _WELL_KNOWN
    return [f for f in REGISTERED.values() if f.category in chosen and f.name not in out]


def _broken(rng: random.Random, is_clocked: bool, classes: Sequence[str], needs: Sequence[str] = ("",)) -> DesignSpec:
    """A short design of another family, to be shown with an error of one of ``classes``; it holds one of ``needs``."""
    bases = _bases(is_clocked)
    while True:
        base = rng.choice(bases).build(rng)
        fits = base.reference.count("\n") <= _MOST_LINES and not base.figure and not base.given
        if fits and (base.clock is not None) == is_clocked and any(word in base.body for word in needs):
            break
    words = tuple(f"{lead} {text}" for lead, text in zip(_LEAD, base.descriptions, strict=True))
    return replace(
        base, parameters={"of": base.family, **base.parameters}, descriptions=words, repairs=base,
        fault_classes=tuple(classes),
    )  # fmt: skip


def fix_expression(rng: random.Random) -> DesignSpec:
    """Logic with a wrong operator, constant, index or sign."""
    return _broken(rng, False, ("operators", "constants", "selects", "signedness", "widths"))


def fix_branch(rng: random.Random) -> DesignSpec:
    """Logic with branches exchanged, a case or an assignment missing (so that it latches), a bad sensitivity list."""
    return _broken(rng, False, ("branches", "statements", "sensitivity", "constants"), ("if (", "case", " ? "))


def fix_clocked(rng: random.Random) -> DesignSpec:
    """A clocked design with a wrong edge, reset, operator, value, branch, or one assignment less."""
    return _broken(rng, True, ("resets", "operators", "constants", "branches", "statements", "edges", "selects"))


for _build in (fix_expression, fix_branch, fix_clocked):
    register("repairs", _build.__name__, _build)
