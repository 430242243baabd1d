"""Conversions between number codes."""

import random

from itertl.synth.families.combinational import Draft, always, continuous, family, inp, literal, out, procedural
from itertl.synth.families.wording import RESULTS, VECTORS


def _gray(rng: random.Random, is_decode: bool) -> Draft:
    width = rng.randint(2, 16)
    x = rng.choice(("gray", "g", "gray_in") if is_decode else ("bin", "b", "bin_in"))
    y = rng.choice(("bin", "b", "bin_out") if is_decode else ("gray", "g", "gray_out"))
    if not is_decode:
        body = continuous(f"assign {y} = {x} ^ ({x} >> 1);")
    elif width <= 5:
        first = f"assign {y}[{width - 1}] = {x}[{width - 1}];"
        body = continuous(first, *(f"assign {y}[{n}] = ^{x}[{width - 1}:{n}];" for n in reversed(range(width - 1))))
    else:
        loop = [f"for (i = {width - 2}; i >= 0; i = i - 1)", f"  {y}[i] = {y}[i + 1] ^ {x}[i];"]
        body = procedural("integer i;", *always([f"{y}[{width - 1}] = {x}[{width - 1}];", *loop]))
    source, target = ("Gray code", "binary") if is_decode else ("binary", "Gray code")
    rule = f"the XOR of bits {width - 1} down to i of {x}" if is_decode else f"{x}[i] XOR {x}[i+1]"
    return Draft(
        ("gray2bin" if is_decode else "bin2gray", "gray_converter", f"gray{width}", "code_convert"),
        {"width": width},
        [inp(x, width), out(y, width)],
        body,
        f"{y} = {source} {x} converted to {target}, {width} bits.",
        f"Convert the {width}-bit {source} word {x} to {target} (reflected Gray code) on {y}.",
        f"{x} is {width} bits of {source}; {y} is the same number in {target}. The top bit is copied, and bit i of "
        f"{y} is {rule} for the other bits.",
    )


@family("converters")
def binary_to_gray(rng: random.Random) -> Draft:
    """Binary to Gray code."""
    return _gray(rng, False)


@family("converters")
def gray_to_binary(rng: random.Random) -> Draft:
    """Gray code to binary."""
    return _gray(rng, True)


@family("converters")
def binary_to_bcd(rng: random.Random) -> Draft:
    """Decimal digits of a binary number."""
    width = rng.randint(4, 10)
    digits = len(str((1 << width) - 1))
    x, is_split = rng.choice(("bin", "x", "n", "value")), rng.random() < 0.5
    names = ("ones", "tens", "hundreds", "thousands")[:digits]
    y = rng.choice(("bcd", "digits", "dec"))

    def digit(n: int) -> str:
        scaled = x if n == 0 else f"({x} / {10**n})"
        return f"{scaled} % 10" if 10 ** (n + 1) < 1 << width else (scaled.strip("()") if n else x)

    wires = [] if is_split else [f"wire [3:0] {', '.join(names)};"]
    body = [*wires, *(f"assign {name} = {digit(n)};" for n, name in enumerate(names))]
    if not is_split:
        body.append(f"assign {y} = {{{', '.join(reversed(names))}}};")
    shown = " and ".join(names[:2]) if digits == 2 else ", ".join(names)
    where = f"the outputs {shown}" if is_split else f"{y}, four bits each, ones in {y}[3:0]"
    return Draft(
        ("bin2bcd", "bin_to_bcd", "to_decimal", f"bcd{width}"),
        {"width": width, "split": int(is_split)},
        [inp(x, width), *([out(name, 4) for name in names] if is_split else [out(y, 4 * digits)])],
        continuous(*body),
        f"BCD digits of the binary number {x} on {where}.",
        f"Convert the {width}-bit unsigned binary number {x} to {digits} BCD digits and put them on {where}.",
        f"{x} is between 0 and {(1 << width) - 1}. Write it in decimal with {digits} digits, leading zeros "
        f"included. The digits appear in binary-coded decimal on {where}.",
    )


@family("converters")
def bcd_to_binary(rng: random.Random) -> Draft:
    """Value of two or three packed decimal digits."""
    digits, is_checked = rng.choice((2, 3)), rng.random() < 0.5
    width = {2: 7, 3: 10}[digits]
    x = rng.choice(("bcd", "d", "digits"))
    y = rng.choice(("bin", "value", "n"))
    e = rng.choice(("err", "bad", "invalid"))
    parts = [f"{x}[{4 * n + 3}:{4 * n}]" for n in range(digits)]
    total = " + ".join(
        reversed([parts[0], *(f"{p} * {literal(10 ** (n + 1), width)}" for n, p in enumerate(parts[1:]))])
    )
    bad = " || ".join(f"({p} > 4'd9)" for p in parts)
    assigns = [(e, bad), (y, f"{e} ? {literal(0, width)} : {total}")] if is_checked else [(y, total)]
    rule = f" If any digit is above 9, {e} is 1 and {y} is 0; otherwise {e} is 0." if is_checked else (
        f" Digits above 9 count with their value, and the result is cut to {width} bits.")  # fmt: skip
    return Draft(
        ("bcd2bin", "bcd_to_bin", "from_decimal", "bcd_value"),
        {"digits": digits, "checked": int(is_checked)},
        [inp(x, 4 * digits), out(y, width), out(e) if is_checked else None],
        assigns,
        f"{y} = binary value of the {digits} BCD digits of {x}, {parts[0]} the ones.{rule}",
        f"Convert {digits} packed BCD digits to binary: {x} holds the ones digit in its low four bits, and {y} is "
        f"the number.{rule}",
        f"The input {x} packs {digits} decimal digits of four bits, the least significant digit in {parts[0]}. The "
        f"{width}-bit output {y} is {' + '.join(f'{10**n} * {p}' if n else p for n, p in enumerate(parts))}.{rule}",
    )


@family("converters")
def bcd_adder(rng: random.Random) -> Draft:
    """One decimal digit of addition, or increment."""
    has_in, kind = rng.random() < 0.6, rng.choice(("add", "add", "inc"))
    (a, b), s = rng.choice((("a", "b"), ("x", "y"), ("d0", "d1"))), rng.choice(("sum", "s", "digit"))
    cin, cout = rng.choice((("cin", "cout"), ("carry_in", "carry_out"), ("ci", "co")))
    if kind == "inc":
        has_in = True
    terms = [a, *([b] if kind == "add" else []), *([cin] if has_in else [])]
    plus = " + ".join(terms)
    body = [
        "wire [4:0] t;",
        f"assign t = {plus};",
        f"assign {cout} = t > 5'd9;",
        f"assign {s} = {cout} ? t - 5'd10 : t;",
    ]
    who = f"digits {a} and {b}" if kind == "add" else f"digit {a}"
    legal = f"{a} and {b} are" if kind == "add" else f"{a} is"
    return Draft(
        ("bcd_adder", "bcd_digit", "decimal_add", f"bcd_{kind}"),
        {"carry_in": int(has_in), "kind": kind},
        [inp(a, 4), inp(b, 4) if kind == "add" else None, inp(cin) if has_in else None, out(s, 4), out(cout)],
        continuous(*body),
        f"BCD: {cout} = ({plus} > 9); {s} = low 4 bits of {plus}, minus 10 when {cout} is 1.",
        f"Add the BCD {who}"
        + (f" and the carry {cin}" if has_in else "")
        + f". If {plus} is above 9, {cout} is 1 and {s} is the sum minus "
        f"10, cut to 4 bits; otherwise {cout} is 0 and {s} is the sum.",
        f"Build one digit of a decimal adder. Form t = {plus} in five bits. {cout} is 1 exactly when t is 10 or more, "
        f"and then {s} is the low four bits of t - 10; else {s} is t. The same rule holds when not {legal} in 0..9.",
    )


@family("converters")
def excess_code(rng: random.Random) -> Draft:
    """Offset added or removed: excess-k code, character digits."""
    width, is_decode = rng.choice((4, 5, 6, 8)), rng.random() < 0.5
    offset = rng.randrange(2, (1 << width) - 1)
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    sign, verb = ("-", "from") if is_decode else ("+", "to")
    word = "subtract" if is_decode else "add"
    return Draft(
        (f"excess{offset}", "excess_code", "offset_code", "bias"),
        {"width": width, "offset": offset, "decode": int(is_decode)},
        [inp(x, width), out(y, width)],
        [(y, f"{x} {sign} {literal(offset, width)}")],
        f"{y} = {x} {sign} {offset}, modulo 2^{width}.",
        f"Convert {verb} excess-{offset} code: {word} {offset} {'from' if is_decode else 'to'} the {width}-bit "
        f"number {x} and put the result, wrapping around, on {y}.",
        f"The {width}-bit output {y} is the {width}-bit input {x} {'less' if is_decode else 'plus'} the constant "
        f"{offset}. Carries or borrows out of the top bit are dropped.",
    )


@family("converters")
def sign_magnitude(rng: random.Random) -> Draft:
    """Sign-magnitude to two's complement and back."""
    width, is_back = rng.randint(3, 16), rng.random() < 0.5
    x, y, top = rng.choice(VECTORS), rng.choice(RESULTS), width - 1
    zero = literal(0, width)
    if is_back:
        body = [f"wire [{top}:0] m;", f"assign m = -{x};", f"assign {y} = {x}[{top}] ? {{1'b1, m[{top - 1}:0]}} : {x};"]
        rule = f"Negative numbers have {y}[{top}] = 1 and their magnitude in {y}[{top - 1}:0]; others are copied."
        edge = f" The lowest number, -{1 << top}, gives magnitude bits of 0."
        names = ("two's complement", "sign-magnitude")
    else:
        body = [f"assign {y} = {x}[{top}] ? {zero} - {{1'b0, {x}[{top - 1}:0]}} : {x};"]
        rule = f"When the sign bit {x}[{top}] is 1, {y} is minus the magnitude {x}[{top - 1}:0]; otherwise {y} is {x}."
        edge = " Minus zero gives 0."
        names = ("sign-magnitude", "two's complement")
    return Draft(
        ("to_signmag" if is_back else "from_signmag", "sign_convert", f"signmag{width}", "code_convert"),
        {"width": width, "back": int(is_back)},
        [inp(x, width), out(y, width)],
        continuous(*body),
        f"{y} = {x} converted from {names[0]} to {names[1]}, {width} bits.{edge}",
        f"Convert the {width}-bit {names[0]} number {x} to {names[1]} on {y}. {rule}{edge}",
        "The top bit of a sign-magnitude word is the sign (1: negative) and the other bits are the absolute "
        f"value. {x} is {width} bits in {names[0]}, {y} the same number in {names[1]}. {rule}{edge}",
    )


@family("converters")
def extend(rng: random.Random) -> Draft:
    """Sign, zero or one extension to a wider word."""
    width = rng.randint(2, 16)
    wide, kind = width + rng.choice((1, 2, 3, 4, 8, 16)), rng.choice(("sign", "sign", "zero", "mode"))
    x, y, m = rng.choice(VECTORS), rng.choice(RESULTS), rng.choice(("is_signed", "sx", "sign_ext"))
    gap, bit = wide - width, f"{x}[{width - 1}]"
    expression = {
        "sign": f"{{{{{gap}{{{bit}}}}}, {x}}}",
        "zero": f"{{{literal(0, gap)}, {x}}}",
        "mode": f"{{{{{gap}{{{m} & {bit}}}}}, {x}}}",
    }[kind]
    how = {
        "sign": f"copies of {bit}",
        "zero": "zeros",
        "mode": f"copies of {bit} when {m} is 1 and zeros when {m} is 0",
    }[kind]
    name = {"sign": "Sign-extend", "zero": "Zero-extend", "mode": f"Sign-extend ({m} = 1) or zero-extend ({m} = 0)"}[
        kind
    ]
    return Draft(
        ("sign_extend" if kind == "sign" else "extend", f"ext{width}to{wide}", "extender", "widen"),
        {"width": width, "wide": wide, "kind": kind},
        [inp(x, width), inp(m) if kind == "mode" else None, out(y, wide)],
        [(y, expression)],
        f"{name} {x} from {width} to {wide} bits: {y}.",
        f"{name} the {width}-bit input {x} to the {wide}-bit output {y}.",
        f"The low {width} bits of {y} are {x}. The {gap} upper bit(s) of {y} are {how}.",
    )
