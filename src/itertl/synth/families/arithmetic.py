"""Adders, subtractors, multipliers and other arithmetic."""

import random

from itertl.synth.families.combinational import Draft, always, case, continuous, family, inp, literal, out, procedural
from itertl.synth.families.wording import OPERANDS, RESULTS, SUMS, VECTORS, a_bits

_WIDTHS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32)
_DIFFERENCES = ("diff", "d", "result", "res", "delta")


@family("arithmetic")
def adder(rng: random.Random) -> Draft:
    """Addition with or without carry in, with or without carry out."""
    width, has_in, has_out = rng.choice((1, *_WIDTHS)), rng.random() < 0.5, rng.random() < 0.7
    (a, b), s = rng.choice(OPERANDS), rng.choice(SUMS)
    cin, cout = rng.choice((("cin", "cout"), ("carry_in", "carry_out"), ("ci", "co")))
    left = f"{{{cout}, {s}}}" if has_out else s
    terms = " + ".join([a, b, *([cin] if has_in else [])])
    plus = f"{a} + {b}" + (f" + {cin}" if has_in else "")
    upper = f" The carry out of the top bit is {cout}." if has_out else " The carry out of the top bit is dropped."
    return Draft(
        (
            "full_adder" if width == 1 and has_in and has_out else "adder",
            f"add{width}",
            "adder_unit",
            "ripple_add",
        ),
        {"width": width, "carry_in": int(has_in), "carry_out": int(has_out)},
        [inp(a, width), inp(b, width), inp(cin) if has_in else None, out(s, width), out(cout) if has_out else None],
        [(left, terms)],
        f"{left} = {plus}, {s} being {width} bit(s) wide.",
        f"Build {a_bits(width)} unsigned adder: {s} is the low {width} bit(s) of {plus}.{upper}",
        f"Add the {width}-bit numbers {a} and {b}"
        + (f" and the one-bit carry {cin}" if has_in else "")
        + f". The sum modulo {1 << width} appears on {s}.{upper}",
    )


@family("arithmetic")
def subtractor(rng: random.Random) -> Draft:
    """Subtraction with a borrow or its inverse."""
    width, flag = rng.choice(_WIDTHS), rng.choice(("none", "borrow", "no_borrow"))
    has_in = rng.random() < 0.35
    (a, b), d = rng.choice(OPERANDS), rng.choice(_DIFFERENCES)
    bin_, bout = rng.choice((("bin", "bout"), ("borrow_in", "borrow_out"), ("bi", "bo")))
    if flag == "no_borrow":
        bout = rng.choice(("no_borrow", "ge", "nb"))
    minus = f"{a} - {b}" + (f" - {bin_}" if has_in else "")
    subtrahend = f"{b} + {bin_}" if has_in else b
    assigns = [(d, minus)]
    if flag == "borrow":
        assigns = [(f"{{{bout}, {d}}}", minus)]
    elif flag == "no_borrow":
        assigns.append((bout, f"{{1'b0, {a}}} >= {{1'b0, {b}}} + {bin_}" if has_in else f"{a} >= {b}"))
    flagged = {
        "none": "",
        "borrow": f" {bout} is 1 when {a} is less than {subtrahend} (unsigned), that is, on a borrow.",
        "no_borrow": f" {bout} is 1 when {a} is at least {subtrahend} (unsigned), that is, without a borrow.",
    }[flag]
    return Draft(
        ("subtractor", f"sub{width}", "subtract", "diff_unit"),
        {"width": width, "flag": flag, "borrow_in": int(has_in)},
        [
            inp(a, width),
            inp(b, width),
            inp(bin_) if has_in else None,
            out(d, width),
            out(bout) if flag != "none" else None,
        ],
        assigns,
        f"{d} = {minus} modulo 2^{width}.{flagged}",
        f"Build {a_bits(width)} subtractor that puts {minus} on {d}, wrapping around below zero.{flagged}",
        f"Subtract from the {width}-bit unsigned number {a} the number {b}"
        + (f" and the one-bit borrow {bin_}" if has_in else "")
        + f". {d} holds the low {width} bits of the difference.{flagged}",
    )


@family("arithmetic")
def add_sub(rng: random.Random) -> Draft:
    """Addition or subtraction by a mode bit, with or without signed overflow or zero flag."""
    width, is_sub_on_one = rng.choice(_WIDTHS), rng.random() < 0.6
    flag = rng.choice(("none", "zero", "negative", "overflow"))
    (a, b), r = rng.choice(OPERANDS), rng.choice(("result", "res", "r", "out"))
    m = rng.choice(("sub", "mode", "do_sub") if is_sub_on_one else ("add", "mode", "do_add"))
    f = {"none": "", "zero": "zero", "negative": "neg", "overflow": rng.choice(("ovf", "overflow"))}[flag]
    top = width - 1
    on, off = (f"{a} - {b}", f"{a} + {b}") if is_sub_on_one else (f"{a} + {b}", f"{a} - {b}")
    added = m if not is_sub_on_one else f"~{m}"
    assigns = [(r, f"{m} ? {on} : {off}")]
    value = {
        "zero": f"{r} == {literal(0, width)}",
        "negative": f"{r}[{top}]",
        "overflow": f"({a}[{top}] ^ {r}[{top}]) & ({b}[{top}] ^ {r}[{top}] ^ ~({added}))".replace("~(~" + m + ")", m),
    }
    if flag != "none":
        assigns.append((f, value[flag]))
    meaning = {
        "none": "",
        "zero": f" {f} is 1 when {r} is zero.",
        "negative": f" {f} is the sign bit of {r}.",
        "overflow": f" {f} is 1 when the operands are read as two's complement and the true result does not fit in "
        f"{width} bits.",
    }[flag]
    return Draft(
        ("addsub", "add_sub", f"addsub{width}", "adder_subtractor"),
        {"width": width, "sub_on_one": int(is_sub_on_one), "flag": flag},
        [inp(a, width), inp(b, width), inp(m), out(r, width), out(f) if f else None],
        assigns,
        f"{r} = {m} ? {on} : {off}, {width} bits.{meaning}",
        f"Build {a_bits(width)} adder-subtractor: {r} is {on} when {m} is 1 and {off} when {m} is 0, modulo "
        f"2^{width}.{meaning}",
        f"{a} and {b} are {width}-bit numbers and {m} chooses the operation. For {m} = 1 the output {r} is {on}; "
        f"for {m} = 0 it is {off}. Carries beyond {width} bits are dropped.{meaning}",
    )


@family("arithmetic")
def signed_overflow(rng: random.Random) -> Draft:
    """Signed sum or difference with its overflow flag."""
    width, is_sub = rng.choice(_WIDTHS), rng.random() < 0.5
    (a, b), s, v = rng.choice(OPERANDS), rng.choice(SUMS), rng.choice(("overflow", "ovf", "v"))
    top, sign = width - 1, "-" if is_sub else "+"
    same = f"({a}[{top}] != {b}[{top}])" if is_sub else f"({a}[{top}] == {b}[{top}])"
    verb = "difference" if is_sub else "sum"
    return Draft(
        ("signed_sub" if is_sub else "signed_add", "overflow_detect", f"ovf{width}", "checked_arith"),
        {"width": width, "sub": int(is_sub)},
        [inp(a, width), inp(b, width), out(s, width), out(v)],
        [(s, f"{a} {sign} {b}"), (v, f"{same} && ({s}[{top}] != {a}[{top}])")],
        f"Signed {s} = {a} {sign} {b}; {v} = 1 on two's complement overflow.",
        f"Compute the {width}-bit two's complement {verb} {s} = {a} {sign} {b} and set {v} when it overflows.",
        f"{a} and {b} are {width}-bit two's complement numbers. {s} is {a} {sign} {b} wrapped to {width} bits. {v} "
        f"is 1 exactly when the true {verb} is below -{1 << top} or above {(1 << top) - 1}.",
    )


@family("arithmetic")
def saturating(rng: random.Random) -> Draft:
    """Saturating addition or subtraction, unsigned or signed."""
    width, is_signed, is_sub = rng.choice((3, 4, 5, 6, 8, 10, 12, 16)), rng.random() < 0.5, rng.random() < 0.5
    (a, b), y = rng.choice(OPERANDS), rng.choice(RESULTS)
    sign, top = "-" if is_sub else "+", width - 1
    most, least = (1 << top) - 1 if is_signed else (1 << width) - 1, -(1 << top) if is_signed else 0
    if is_signed:
        wide = f"{{{a}[{top}], {a}}} {sign} {{{b}[{top}], {b}}}"
        clip = f"w[{width}] ? {literal(least, width, 'h')} : {literal(most, width, 'h')}"
        result = f"(w[{width}] == w[{top}]) ? w[{top}:0] : ({clip})"
    elif is_sub:
        wide, result = "", f"({a} > {b}) ? {a} - {b} : {literal(0, width)}"
    else:
        wide, result = f"{a} + {b}", f"w[{width}] ? {literal(most, width, 'h')} : w[{top}:0]"
    body = [f"wire [{width}:0] w;", f"assign w = {wide};"] if wide else []
    kind = "two's complement" if is_signed else "unsigned"
    return Draft(
        ("sat_sub" if is_sub else "sat_add", "saturate", f"sat{width}", "clipper"),
        {"width": width, "signed": int(is_signed), "sub": int(is_sub)},
        [inp(a, width), inp(b, width), out(y, width)],
        continuous(*body, f"assign {y} = {result};"),
        f"{y} = {a} {sign} {b}, {kind}, saturating at {least} and {most}.",
        f"Build {a_bits(width)} saturating {'subtractor' if is_sub else 'adder'} for {kind} numbers: {y} is {a} "
        f"{sign} {b}, limited to the range {least} to {most}.",
        f"{a}, {b} and {y} are {width}-bit {kind} numbers. If {a} {sign} {b} is above {most}, {y} is {most}; if it "
        f"is below {least}, {y} is {least}; otherwise {y} is the exact result.",
    )


@family("arithmetic")
def absolute_value(rng: random.Random) -> Draft:
    """Absolute value, or negation, of a two's complement number."""
    width, kind = rng.choice((*_WIDTHS, 9, 11, 14, 20)), rng.choice(("abs", "abs", "negate", "negabs"))
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    lowest = 1 << (width - 1)
    expression = {
        "abs": f"{x}[{width - 1}] ? -{x} : {x}",
        "negate": f"-{x}",
        "negabs": f"{x}[{width - 1}] ? {x} : -{x}",
    }[kind]
    meaning = {"abs": f"|{x}|", "negate": f"-{x}", "negabs": f"-|{x}|"}[kind]
    edge = f" For {x} = -{lowest} it is {lowest} as an unsigned number (bit pattern unchanged)."
    edge = "" if kind == "negabs" else edge
    rule = {
        "abs": f"{y} is {x} when {x} is zero or positive and -{x} when it is negative",
        "negate": f"{y} is the two's complement (invert all bits and add one) of {x}",
        "negabs": f"{y} is {x} when {x} is negative and -{x} when it is zero or positive",
    }[kind]
    return Draft(
        (kind, f"{kind}{width}", f"{kind}_value", "magnitude" if kind == "abs" else "sign_unit"),
        {"width": width, "kind": kind},
        [inp(x, width), out(y, width)],
        [(y, expression)],
        f"{y} = {meaning}, {width}-bit two's complement.{edge}",
        f"{x} is {a_bits(width)} signed (two's complement) number; put {meaning} on {y}.{edge}",
        f"Read the {width}-bit input {x} as two's complement. {rule}, in {width} bits.{edge}",
    )


@family("arithmetic")
def absolute_difference(rng: random.Random) -> Draft:
    """|a - b| of unsigned or signed numbers."""
    width, is_signed = rng.choice((*_WIDTHS, 9, 11, 14, 20)), rng.random() < 0.4
    (a, b), y = rng.choice(OPERANDS), rng.choice(("diff", "distance", "result", "gap"))
    kind = "two's complement" if is_signed else "unsigned"
    return Draft(
        ("absdiff", "abs_distance", f"absdiff{width}", "abs_sub"),
        {"width": width, "signed": int(is_signed)},
        [inp(a, width, signed=is_signed), inp(b, width, signed=is_signed), out(y, width)],
        [(y, f"({a} > {b}) ? {a} - {b} : {b} - {a}")],
        f"{y} = |{a} - {b}|, {kind} operands.",
        f"Compute the distance between the {width}-bit {kind} numbers {a} and {b} as the {width}-bit unsigned "
        f"number {y}.",
        f"{a} and {b} are {width}-bit {kind} numbers. Subtract the smaller from the larger; the difference, never "
        f"negative, is the {width}-bit unsigned output {y}.",
    )


@family("arithmetic")
def min_max(rng: random.Random) -> Draft:
    """Minimum, maximum or both, of two or three numbers."""
    width, is_signed, count = rng.choice(_WIDTHS), rng.random() < 0.45, rng.choice((2, 2, 3))
    kinds = rng.choice((("min",), ("max",), ("min", "max")))
    names = [*rng.choice(OPERANDS[:2]), "c"][:count] if count == 3 else list(rng.choice(OPERANDS))
    ends = {k: (rng.choice((k, f"{k}_out")) if len(kinds) == 1 else f"{k}_out") for k in kinds}
    body: list[str] = []
    for kind, y in ends.items():
        sign, (a, b) = "<" if kind == "min" else ">", names[:2]
        if count == 3:
            body += [
                f"wire {'signed ' if is_signed else ''}[{width - 1}:0] {kind}_ab;",
                f"assign {kind}_ab = ({a} {sign} {b}) ? {a} : {b};",
            ]
            a, b = f"{kind}_ab", names[2]
        body.append(f"assign {y} = ({a} {sign} {b}) ? {a} : {b};")
    spoken = " and ".join(f"{y} the {'smallest' if k == 'min' else 'largest'}" for k, y in ends.items())
    kind_of = "signed (two's complement)" if is_signed else "unsigned"
    listed = ", ".join(names)
    return Draft(
        ("minmax" if len(kinds) > 1 else f"{kinds[0]}{count}", "extremes", f"{kinds[0]}_unit", "sort_pick"),
        {"width": width, "signed": int(is_signed), "count": count, "kinds": " ".join(kinds)},
        [
            *(inp(name, width, signed=is_signed) for name in names),
            *(out(y, width, signed=is_signed) for y in ends.values()),
        ],
        continuous(*body),
        "; ".join(f"{y} = {k}({listed})" for k, y in ends.items()) + f", {kind_of}.",
        f"Compare the {width}-bit {kind_of} numbers {listed}: {spoken} of them.",
        f"The inputs {listed} are {width}-bit {kind_of} numbers. Without a clock, drive {spoken} of the {count} "
        "values.",
    )


_ALU = {
    "add": ("{a} + {b}", "{a} plus {b}"),
    "sub": ("{a} - {b}", "{a} minus {b}"),
    "rsub": ("{b} - {a}", "{b} minus {a}"),
    "and": ("{a} & {b}", "bitwise AND"),
    "or": ("{a} | {b}", "bitwise OR"),
    "xor": ("{a} ^ {b}", "bitwise XOR"),
    "nor": ("~({a} | {b})", "bitwise NOR"),
    "nota": ("~{a}", "bitwise NOT of {a}"),
    "passb": ("{b}", "{b} itself"),
    "inc": ("{a} + 1", "{a} plus 1"),
    "dec": ("{a} - 1", "{a} minus 1"),
    "shl": ("{a} << 1", "{a} shifted left by one, 0 entering"),
    "shr": ("{a} >> 1", "{a} shifted right by one, 0 entering"),
}


@family("arithmetic")
def alu(rng: random.Random) -> Draft:
    """A table of four or eight operations, with an optional zero flag."""
    size, width, has_zero = rng.choice((1, 2, 2, 2, 3)), rng.choice((4, 8, 8, 12, 16, 32)), rng.random() < 0.35
    kinds = rng.sample(tuple(_ALU), 1 << size)
    (a, b) = rng.choice(OPERANDS)
    y = rng.choice(("y_out", "result", "res", "out"))
    op = rng.choice(("op", "opcode", "fn", "alu_op"))
    used = " ".join(_ALU[k][0] for k in kinds)
    if "{b}" not in used or "{a}" not in used:
        kinds[0] = "sub" if "sub" not in kinds else "add"
    code = {k: literal(n, size, "b") for n, k in enumerate(kinds)}
    arms = {code[k]: f"{y} = {_ALU[k][0].format(a=a, b=b)};" for k in kinds}
    last = arms.pop(code[kinds[-1]])
    body = [*case(op, arms, last), *([f"zero = ({y} == 0);"] if has_zero else [])]
    meaning = [f"{n}: {_ALU[k][1].format(a=a, b=b)}" for n, k in enumerate(kinds)]
    flagged = f" zero is 1 when {y} is 0." if has_zero else ""
    return Draft(
        ("alu", f"alu{width}", "simple_alu", "logic_arith"),
        {"kinds": " ".join(kinds), "width": width, "zero": int(has_zero)},
        [inp(a, width), inp(b, width), inp(op, size), out(y, width), out("zero") if has_zero else None],
        procedural(*always(body)),
        f"ALU on {a} and {b} with result {y}; {op} {', '.join(meaning)}.{flagged}",
        f"Build {a_bits(width)} ALU with operands {a} and {b}. {y} depends on {op} as follows: "
        f"{'; '.join(meaning)}.{flagged}",
        f"{a} and {b} are {width}-bit operands and {op} is the operation code. The output {y} is, for each value "
        f"of {op}, " + "; ".join(f"{op} = {m}" for m in meaning) + f". Results are cut to {width} bits.{flagged}",
    )
