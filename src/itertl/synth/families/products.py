"""Products, sums of several numbers, averages, remainders."""

import random

from itertl.synth.families.combinational import Draft, continuous, family, inp, literal, out
from itertl.synth.families.wording import FLAGS, OPERANDS, RESULTS, SUMS, VECTORS

_WIDTHS = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 32)


@family("arithmetic")
def multiplier(rng: random.Random) -> Draft:
    """Full product of two widths, unsigned or signed; optionally plus a third number."""
    left, right, is_signed = rng.randint(2, 8), rng.randint(2, 8), rng.random() < 0.4
    has_add = not is_signed and rng.random() < 0.35
    (a, b), p = rng.choice(OPERANDS), rng.choice(("p", "prod", "product", "result"))
    width = left + right
    plus = " + c" if has_add else ""
    kind = "signed (two's complement)" if is_signed else "unsigned"
    extra = f" and adds the unsigned {left}-bit number c" if has_add else ""
    return Draft(
        ("mul_add" if has_add else "multiplier", f"mul{left}x{right}", "mult", "product_unit"),
        {"left": left, "right": right, "signed": int(is_signed), "add": int(has_add)},
        [
            inp(a, left, signed=is_signed),
            inp(b, right, signed=is_signed),
            inp("c", left) if has_add else None,
            out(p, width, signed=is_signed),
        ],
        [(p, f"{a} * {b}{plus}")],
        f"{p} = {a} * {b}{plus}, {kind}, {width} bits.",
        f"Build a combinational {kind} multiplier that puts {a} * {b}{plus} on {p} in full ({width} bits).",
        f"{a} is a {left}-bit and {b} a {right}-bit {kind} number. The module multiplies them{extra}; the "
        f"{width}-bit output {p} holds the exact result.",
    )


@family("arithmetic")
def multiply_constant(rng: random.Random) -> Draft:
    """Product with a constant, by operator or by shifts and adds."""
    width, factor, is_cut = rng.choice((3, 4, 5, 6, 8)), rng.randint(3, 31), rng.random() < 0.35
    x, y = rng.choice(VECTORS), rng.choice(("prod", *RESULTS[:3]))
    size = width if is_cut else (((1 << width) - 1) * factor).bit_length()
    shifts = [n for n in range(5) if factor >> n & 1]
    parts = [f"({x} << {n})" if n else x for n in reversed(shifts)]
    expression = " + ".join(parts) if len(parts) > 1 and rng.random() < 0.6 else f"{x} * {literal(factor, 5)}"
    fit = f"modulo 2^{width}" if is_cut else f"in full ({size} bits)"
    return Draft(
        (f"times{factor}", "mul_const", f"mult_by_{factor}", "scaler"),
        {"width": width, "factor": factor, "cut": int(is_cut)},
        [inp(x, width), out(y, size)],
        [(y, expression)],
        f"{y} = {factor} * {x}, unsigned, {fit}.",
        f"Multiply the {width}-bit unsigned number {x} by the constant {factor}; {y} is the product {fit}.",
        f"{x} is a {width}-bit unsigned number. Scale it by {factor} with shifts and additions or with an "
        f"operator, as you like. The {size}-bit output {y} is the result {fit}.",
    )


@family("arithmetic")
def sum_of_inputs(rng: random.Random) -> Draft:
    """Three or four numbers added, some of them subtracted."""
    count, width, is_wide = rng.choice((3, 4)), rng.choice((3, 4, 5, 6, 7, 8, 10, 12, 16)), rng.random() < 0.5
    stem, s = rng.choice(("a", "x", "in")), rng.choice(SUMS)
    names = [f"{stem}{n}" for n in range(count)]
    signs = [1, *((1 if is_wide else rng.choice((1, 1, -1))) for _ in names[1:])]
    expression = names[0] + "".join(f" {'+' if k > 0 else '-'} {n}" for k, n in zip(signs[1:], names[1:], strict=True))
    size = width + 2 if is_wide else width
    fit = f"in full in {size} bits" if is_wide else f"modulo 2^{width}"
    return Draft(
        (f"sum{count}", "multi_add", "adder_tree", "accumulate_in"),
        {"count": count, "width": width, "wide": int(is_wide), "signs": str(signs)},
        [*(inp(name, width) for name in names), out(s, size)],
        [(s, expression)],
        f"{s} = {expression}, {fit}.",
        f"Combine the {width}-bit unsigned numbers {', '.join(names)} into {s} = {expression}, kept {fit}.",
        f"Without a clock, evaluate {expression} for the {width}-bit unsigned inputs {', '.join(names)}. The "
        f"{size}-bit output {s} is the result {fit}.",
    )


@family("arithmetic")
def average(rng: random.Random) -> Draft:
    """Mean of two or four numbers, rounded down or up."""
    count, width, is_up = rng.choice((2, 2, 4)), rng.choice(_WIDTHS), rng.random() < 0.5
    names = list(rng.choice(OPERANDS)) if count == 2 else [f"a{n}" for n in range(4)]
    y, shift = rng.choice(("avg", "mean", "y_avg", "out")), count.bit_length() - 1
    zeros = f"{shift}'d0" if shift > 1 else "1'b0"
    extra = f" + {count - 1}" if is_up else ""
    body = [
        f"wire [{width + shift - 1}:0] total;",
        f"assign total = {{{zeros}, {names[0]}}} + {' + '.join(names[1:])}{extra};",
        f"assign {y} = total[{width + shift - 1}:{shift}];",
    ]
    way = "up" if is_up else "down"
    return Draft(
        ("average", f"avg{count}", "mean_unit", "averager"),
        {"count": count, "width": width, "up": int(is_up)},
        [*(inp(name, width) for name in names), out(y, width)],
        continuous(*body),
        f"{y} = unsigned average of {', '.join(names)}, rounded {way}.",
        f"Compute the average of the {width}-bit unsigned numbers {', '.join(names)}, rounded {way}, on {y}; the "
        "sum must not overflow.",
        f"Add the {count} unsigned {width}-bit inputs {', '.join(names)} without losing the carry"
        + (f", add {count - 1}" if is_up else "")
        + f", and divide by {count}, dropping the remainder. {y} is the quotient.",
    )


@family("arithmetic")
def modulo_constant(rng: random.Random) -> Draft:
    """Remainder of a division by a constant, or whether it is zero."""
    width, divisor, is_flag = rng.randint(4, 10), rng.randint(3, 15), rng.random() < 0.5
    x = rng.choice(VECTORS)
    y = rng.choice(FLAGS) if is_flag else rng.choice(("rem", "r", "remainder", "mod"))
    size = (divisor - 1).bit_length()
    constant = literal(divisor, max(width, divisor.bit_length()))
    modulo = f"{x} % {constant}"
    words = (
        (
            f"{y} = 1 if {x} is divisible by {divisor}.",
            f"Set {y} when the {width}-bit unsigned number {x} is a multiple of {divisor} (0 is one).",
            f"Divide the {width}-bit unsigned input {x} by {divisor}. {y} is 1 if nothing remains, including for {x} "
            "= 0, and 0 otherwise.",
        )
        if is_flag
        else (
            f"{y} = {x} mod {divisor}.",
            f"Compute the remainder {y} of the {width}-bit unsigned number {x} divided by {divisor}.",
            f"{x} is a {width}-bit unsigned number. The {size}-bit output {y} is what remains of it after division by "
            f"the constant {divisor}, a number from 0 to {divisor - 1}.",
        )
    )
    return Draft(
        (f"div_by_{divisor}" if is_flag else f"mod{divisor}", "modulo", "remainder_unit", "divisibility"),
        {"width": width, "divisor": divisor, "flag": int(is_flag)},
        [inp(x, width), out(y, 1 if is_flag else size)],
        [(y, f"({modulo}) == 0" if is_flag else modulo)],
        *words,
    )
