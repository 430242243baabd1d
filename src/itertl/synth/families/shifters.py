"""Shifts and rotations, by constants and by inputs."""

import random

from itertl.synth.families.combinational import Draft, case, continuous, family, inp, literal, out, statement
from itertl.synth.families.wording import RESULTS, VECTORS, a_bits

_AMOUNTS = ("n", "shamt", "amount", "by")


@family("shifters")
def shift_constant(rng: random.Random) -> Draft:
    """Shift by a constant: logical, arithmetic, or ones entering."""
    width = rng.choice((4, 5, 6, 8, 10, 12, 16, 24, 32))
    kind = rng.choice(("left", "right", "arith", "left_ones", "right_ones"))
    by = rng.randint(1, min(width - 1, 7))
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    ones = f"{{{by}{{1'b1}}}}"
    expression = {
        "left": f"{x} << {by}",
        "right": f"{x} >> {by}",
        "arith": f"{{{{{by}{{{x}[{width - 1}]}}}}, {x}[{width - 1}:{by}]}}",
        "left_ones": f"{{{x}[{width - by - 1}:0], {ones}}}",
        "right_ones": f"{{{ones}, {x}[{width - 1}:{by}]}}",
    }[kind]
    way = "left" if kind.startswith("left") else "right"
    fill = {"left": "zeros", "right": "zeros", "arith": f"copies of the sign bit {x}[{width - 1}]"}.get(kind, "ones")
    lost = f"{x}[{width - 1}:{width - by}]" if way == "left" else f"{x}[{by - 1}:0]"
    return Draft(
        (f"shift_{way}{by}", "shifter", "const_shift", f"sh{by}"),
        {"width": width, "kind": kind, "by": by},
        [inp(x, width), out(y, width)],
        [(y, expression)],
        f"{y} = {x} shifted {way} by {by}, {fill} entering.",
        f"Shift the {width}-bit input {x} to the {way} by {by} position(s) and fill with {fill}; the result is {y}.",
        f"{x} and {y} have {width} bits. Bit i of {x} goes to bit i{'+' if way == 'left' else '-'}{by} of {y}; "
        f"{lost} is lost and the {by} free position(s) take {fill}.",
    )


@family("shifters")
def shift_variable(rng: random.Random) -> Draft:
    """Shift by an input, one kind or a kind chosen by a mode."""
    width, kind = rng.choice((4, 5, 6, 8, 12, 16, 24, 32)), rng.choice(("left", "right", "arith", "direction", "mode"))
    size = rng.choice(((width - 1).bit_length(), (width - 1).bit_length(), 2, 3))
    x, y, n = rng.choice(VECTORS), rng.choice(RESULTS), rng.choice(_AMOUNTS)
    m = rng.choice(("dir", "left", "to_left")) if kind == "direction" else "mode"
    expression = {
        "left": f"{x} << {n}",
        "right": f"{x} >> {n}",
        "arith": f"$signed({x}) >>> {n}",
        "direction": f"{m} ? {x} << {n} : {x} >> {n}",
    }.get(kind, "")
    rule = {
        "left": f"{x} shifted left by {n}, zeros entering",
        "right": f"{x} shifted right by {n}, zeros entering",
        "arith": f"{x} shifted right by {n}, copies of its top bit entering",
        "direction": f"{x} shifted by {n} to the left when {m} is 1 and to the right when {m} is 0, zeros entering",
        "mode": f"for {m} 0: {x}; 1: {x} shifted left by {n}; 2: {x} shifted right by {n}, zeros entering; 3: {x} "
        f"shifted right by {n}, copies of the top bit entering",
    }[kind]
    body = continuous(f"assign {y} = {expression};")
    if kind == "mode":
        arms = {"2'd0": f"{y} = {x};", "2'd1": f"{y} = {x} << {n};", "2'd2": f"{y} = {x} >> {n};"}
        body = statement(case(m, arms, f"{y} = $signed({x}) >>> {n};"))
    return Draft(
        ("barrel_shifter", "shifter", f"shift{width}", "var_shift"),
        {"width": width, "kind": kind, "size": size},
        [
            inp(x, width),
            inp(n, size),
            inp(m, 1 if kind == "direction" else 2) if kind in ("direction", "mode") else None,
            out(y, width),
        ],
        body,
        f"{y} = {rule}.",
        f"Build {a_bits(width)} barrel shifter without a clock. {y} is {rule}.",
        f"{x} and {y} have {width} bits and the shift amount {n} is an unsigned number of {size} bits. The output "
        f"{y} is {rule}. Bits shifted out are lost.",
    )


@family("shifters")
def rotate_constant(rng: random.Random) -> Draft:
    """Rotation by a constant."""
    width, is_left = rng.choice((3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32)), rng.random() < 0.5
    by = rng.randint(1, width - 1)
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    cut = width - by if is_left else by
    low = f"{x}[{cut - 1}:0]" if cut > 1 else f"{x}[0]"
    high = f"{x}[{width - 1}:{cut}]" if cut < width - 1 else f"{x}[{width - 1}]"
    way = "left" if is_left else "right"
    return Draft(
        (f"rot{way[0]}{by}", "rotate", f"rotate_{way}", "const_rotate"),
        {"width": width, "by": by if is_left else width - by, "left": int(is_left)},
        [inp(x, width), out(y, width)],
        [(y, f"{{{low}, {high}}}")],
        f"{y} = {x} rotated {way} by {by}.",
        f"Rotate the {width}-bit word {x} by {by} position(s) to the {way}; {y} is the result.",
        f"Each bit of the {width}-bit input {x} moves {by} position(s) to the {way} in {y}; bits that leave at one "
        f"end come in at the other. {y}[{by if is_left else 0}] is {x}[{0 if is_left else by}].",
    )


@family("shifters")
def rotate_variable(rng: random.Random) -> Draft:
    """Rotation by an input; width a power of two."""
    size, kind = rng.choice((2, 3, 4, 5)), rng.choice(("left", "right", "direction"))
    width = 1 << size
    x, y, n, m = rng.choice(VECTORS), rng.choice(RESULTS), rng.choice(_AMOUNTS), rng.choice(("dir", "left", "to_left"))
    left = f"({x} << {n}) | ({x} >> ({literal(width, size + 1)} - {n}))"
    right = f"({x} >> {n}) | ({x} << ({literal(width, size + 1)} - {n}))"
    expression = {"left": left, "right": right, "direction": f"{m} ? ({left}) : ({right})"}[kind]
    way = f"left if {m} is 1, right if {m} is 0," if kind == "direction" else kind
    return Draft(
        ("rotator", "barrel_rotate", f"rotate{width}", "rotate_by"),
        {"width": width, "kind": kind},
        [inp(x, width), inp(n, size), inp(m) if kind == "direction" else None, out(y, width)],
        [(y, expression)],
        f"{y} = {x} rotated {way} by {n}.",
        f"Build {a_bits(width)} rotator: {x} is rotated {way} by {n} positions and appears on {y}.",
        f"Move the {width} bits of {x} {way} by the number given on {n} (0 to {width - 1}). Bits that fall off one "
        f"end enter at the other. The result is {y}.",
    )


@family("shifters")
def funnel_shift(rng: random.Random) -> Draft:
    """A window on two words placed side by side."""
    width = rng.choice((4, 6, 8, 12, 16))
    size, is_high_end = (width - 1).bit_length(), rng.random() < 0.4
    (a, b), y, n = rng.choice((("hi", "lo"), ("a", "b"), ("upper", "lower"))), rng.choice(RESULTS), rng.choice(_AMOUNTS)
    if is_high_end:
        shifted, kept = f"{{{a}, {b}}} << {n}", f"t[{2 * width - 1}:{width}]"
    else:
        shifted, kept = f"{{{a}, {b}}} >> {n}", f"t[{width - 1}:0]"
    way, half = ("left", "upper") if is_high_end else ("right", "lower")
    return Draft(
        ("funnel", "funnel_shift", f"funnel{width}", "double_shift"),
        {"width": width, "left": int(is_high_end)},
        [inp(a, width), inp(b, width), inp(n, size), out(y, width)],
        continuous(f"wire [{2 * width - 1}:0] t;", f"assign t = {shifted};", f"assign {y} = {kept};"),
        f"{y} = {half} {width} bits of {{{a}, {b}}} shifted {way} by {n}.",
        f"Build a funnel shifter: join {a} (upper half) and {b} (lower half) to {2 * width} bits, shift {way} by "
        f"{n}, zeros entering, and put the {half} {width} bits on {y}.",
        f"{a} and {b} are {width}-bit words, {n} an unsigned number of {size} bits. Form the {2 * width}-bit word "
        f"with {a} above {b} and shift it {way} "
        f"by {n} with zeros entering. The output {y} is the {half} half of what results.",
    )
