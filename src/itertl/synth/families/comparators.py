"""Comparisons, with another input or with constants."""

import random

from itertl.synth.families.combinational import Draft, choose, family, inp, literal, out, statement
from itertl.synth.families.wording import FLAGS, OPERANDS, RESULTS, VECTORS, a_bits

_RELATIONS = {
    "eq": ("==", "equal to"), "ne": ("!=", "different from"), "lt": ("<", "less than"),
    "le": ("<=", "less than or equal to"), "gt": (">", "greater than"), "ge": (">=", "greater than or equal to"),
}  # fmt: skip
_WIDTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)


@family("comparators")
def comparator(rng: random.Random) -> Draft:
    """One to three relations between two numbers."""
    is_signed = rng.random() < 0.4
    width, kinds = rng.choice(_WIDTHS[1:] if is_signed else _WIDTHS), rng.sample(tuple(_RELATIONS), rng.randint(1, 3))
    (a, b), prefix = rng.choice(OPERANDS), rng.choice(("", "is_", "a_")) if len(kinds) > 1 else ""
    outs = {k: f"{prefix}{k}" for k in kinds}
    if len(kinds) == 1 and rng.random() < 0.5:
        outs = {kinds[0]: rng.choice(FLAGS)}
    kind = "signed (two's complement)" if is_signed else "unsigned"
    return Draft(
        ("comparator", f"cmp{width}", "compare", "magnitude_cmp"),
        {"width": width, "signed": int(is_signed), "kinds": " ".join(sorted(kinds))},
        [inp(a, width, signed=is_signed), inp(b, width, signed=is_signed), *(out(y) for y in outs.values())],
        [(y, f"{a} {_RELATIONS[k][0]} {b}") for k, y in outs.items()],
        ", ".join(f"{y} = ({a} {_RELATIONS[k][0]} {b})" for k, y in outs.items()) + f"; {kind}.",
        f"Compare the {width}-bit {kind} numbers {a} and {b}. "
        + " ".join(f"{y} is 1 when {a} is {_RELATIONS[k][1]} {b}." for k, y in outs.items()),
        f"{a} and {b} are {width}-bit {kind} numbers. "
        + " ".join(f"Drive {y} with 1 if {a} is {_RELATIONS[k][1]} {b} and with 0 otherwise." for k, y in outs.items()),
    )


@family("comparators")
def in_range(rng: random.Random) -> Draft:
    """Inside or outside two constant bounds."""
    width, is_outside = rng.choice((3, 4, 5, 6, 7, 8, 10)), rng.random() < 0.35
    low, high = sorted(rng.sample(range(1, (1 << width) - 1), 2))
    x, y = rng.choice(VECTORS), rng.choice(("outside", "alarm", "err") if is_outside else FLAGS)
    radix = rng.choice("dh")
    low_text, high_text = literal(low, width, radix), literal(high, width, radix)
    expression = f"{x} < {low_text} || {x} > {high_text}" if is_outside else f"{x} >= {low_text} && {x} <= {high_text}"
    side = "outside" if is_outside else "inside"
    return Draft(
        ("range_check", "in_range", "window", f"{side}_range"),
        {"width": width, "low": low, "high": high, "outside": int(is_outside)},
        [inp(x, width), out(y)],
        [(y, f"({expression})")],
        f"{y} = 1 if unsigned {x} is {side} {low}..{high} (both bounds count as inside).",
        f"Set {y} when the {width}-bit unsigned number {x} is {side} the range from {low} to {high}, bounds "
        "included in the range.",
        f"{x} is a {width}-bit unsigned number. It lies in the window when it is at least {low} and at most {high}. "
        f"The output {y} is {0 if is_outside else 1} when it does and {1 if is_outside else 0} when it does not.",
    )


@family("comparators")
def match_constant(rng: random.Random) -> Draft:
    """Equality with one of a few constants."""
    width, count = rng.choice((3, 4, 5, 6, 8, 12, 16)), rng.randint(1, 4)
    values = sorted(rng.sample(range(1 << width), count))
    x, y = rng.choice(VECTORS), rng.choice(FLAGS)
    shown = [literal(v, width, "h") for v in values]
    tests = " || ".join(f"{x} == {v}" for v in shown)
    listed = ", ".join(shown[:-1]) + (" or " if count > 1 else "") + shown[-1]
    return Draft(
        ("match", "detect_value", "addr_match", "is_code"),
        {"width": width, "values": str(values)},
        [inp(x, width), out(y)],
        [(y, f"({tests})")],
        f"{y} = 1 if {x} is {listed}.",
        f"Watch the {width}-bit input {x}: {y} is 1 when it equals {listed}, and 0 for all other values.",
        f"Build a detector without a clock. Its {width}-bit input is {x}. The output {y} goes high exactly while "
        f"{x} holds {'one of the values ' if count > 1 else ''}{', '.join(f'{v} (decimal)' for v in values)}.",
    )


@family("comparators")
def masked_match(rng: random.Random) -> Draft:
    """Equality in the bits that a mask names; the pattern has don't-cares."""
    width = rng.choice((4, 5, 6, 8))
    mask = rng.randrange(1, (1 << width) - 1)
    value = rng.randrange(1 << width) & mask
    x, y = rng.choice(VECTORS), rng.choice(FLAGS)
    pattern = "".join("x" if not mask >> n & 1 else str(value >> n & 1) for n in reversed(range(width)))
    cared = [n for n in reversed(range(width)) if mask >> n & 1]
    return Draft(
        ("masked_match", "pattern_match", "decode_range", "opcode_match"),
        {"width": width, "mask": mask, "value": value},
        [inp(x, width), out(y)],
        [(y, f"({x} & {literal(mask, width, 'b')}) == {literal(value, width, 'b')}")],
        f"{y} = 1 if {x} matches {pattern} (x: don't care, most significant bit first).",
        f"Compare the {width}-bit input {x} with the pattern {pattern}, written from bit {width - 1} down to bit "
        f"0, in which x stands for a bit that does not matter. {y} is 1 on a match.",
        f"The output {y} is 1 when, in the {width}-bit input {x}, "
        + ", ".join(f"bit {n} is {value >> n & 1}" for n in cared)
        + ". Other bits are ignored. It is 0 in all other cases.",
    )


@family("comparators")
def clamp(rng: random.Random) -> Draft:
    """A number limited to two constant bounds."""
    width, is_signed = rng.choice((4, 5, 6, 7, 8, 10)), rng.random() < 0.4
    bottom, top = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if is_signed else (0, (1 << width) - 1)
    low, high = sorted(rng.sample(range(bottom + 1, top), 2))
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    radix = f"{width}'sd" if is_signed else f"{width}'d"
    low_text, high_text = (f"{'-' if v < 0 else ''}{radix}{abs(v)}" for v in (low, high))
    kind = "signed (two's complement)" if is_signed else "unsigned"
    return Draft(
        ("clamp", "limit", "limiter", f"clamp{width}"),
        {"width": width, "signed": int(is_signed), "low": low, "high": high},
        [inp(x, width, signed=is_signed), out(y, width, signed=is_signed)],
        [(y, f"({x} < {low_text}) ? {low_text} : ({x} > {high_text}) ? {high_text} : {x}")],
        f"{y} = {x} clamped to {low}..{high}, {kind}.",
        f"Limit the {width}-bit {kind} number {x} to the range from {low} to {high} and drive the result on {y}.",
        f"{x} and {y} are {width}-bit {kind} numbers. {y} is {low} when {x} is below {low}, {high} when {x} is "
        f"above {high}, and {x} itself in between.",
    )


@family("comparators")
def threshold_levels(rng: random.Random) -> Draft:
    """A number sorted into levels by constant thresholds."""
    width, count = rng.choice((4, 5, 6, 8)), rng.choice((2, 3))
    limits = sorted(rng.sample(range(1, (1 << width) - 1), count))
    x, y = rng.choice(VECTORS), rng.choice(("level", "zone", "band", "grade"))
    tests = {f"{x} < {literal(v, width)}": literal(n, 2) for n, v in enumerate(limits)}
    bands = [f"{n} if {x} < {v}" for n, v in enumerate(limits)]
    return Draft(
        ("level_detect", "quantizer", "classify", "zones"),
        {"width": width, "limits": str(limits)},
        [inp(x, width), out(y, 2)],
        statement(choose(y, tests, literal(count, 2))),
        f"{y} = {', else '.join(bands)}, else {count}.",
        f"Sort {a_bits(width)} unsigned number {x} into {count + 1} levels: {y} is {', else '.join(bands)}, else "
        f"{count}.",
        f"{x} is a {width}-bit unsigned number. The two-bit output {y} counts how many of the thresholds "
        f"{', '.join(map(str, limits))} it has reached ({x} equal to a threshold counts as reached), so {y} is "
        f"between 0 and {count}.",
    )
