"""Decoders, encoders, priority, displays, thermometer codes."""

import random

from itertl.synth.families.combinational import (
    Draft,
    always,
    case,
    choose,
    continuous,
    family,
    inp,
    literal,
    out,
    procedural,
    statement,
)
from itertl.synth.families.wording import ENABLES, RESULTS, VECTORS

_VALIDS = ("valid", "any", "found", "v")
# Segments of the digits 0 to F, bit 0 = a … bit 6 = g, as on any datasheet.
_SEGMENTS = (0x3F, 0x06, 0x5B, 0x4F, 0x66, 0x6D, 0x7D, 0x07, 0x7F, 0x6F, 0x77, 0x7C, 0x39, 0x5E, 0x79, 0x71)


@family("encoders")
def decoder(rng: random.Random) -> Draft:
    """Binary to one-hot, optional enable, either output polarity."""
    size, is_low = rng.choice((1, 2, 3, 4, 5)), rng.random() < 0.35
    enable = rng.choice(("none", "high", "low"))
    count, x, y = 1 << size, rng.choice(("sel", "addr", "code", "bin")), rng.choice(RESULTS)
    en = rng.choice(ENABLES) if enable == "high" else rng.choice(("en_n", "enable_n"))
    one = f"{literal(1, count)} << {x}"
    test = en if enable == "high" else f"!{en}"
    value = one if enable == "none" else f"{test} ? ({one}) : {literal(0, count)}"
    on, off = (0, 1) if is_low else (1, 0)
    gate = {"none": "", "high": f" when {en} is 1", "low": f" when {en} is 0"}[enable]
    idle = "" if enable == "none" else f" Otherwise all bits of {y} are {off}."
    return Draft(
        ("decoder", f"dec{size}to{count}", f"decoder{size}", "onehot_decoder"),
        {"size": size, "low": int(is_low), "enable": enable},
        [inp(x, size), inp(en) if enable != "none" else None, out(y, count)],
        [(y, f"~({value})" if is_low else value)],
        f"{size}-to-{count} decoder: {y}[{x}] = {on}, other bits {off}{gate}.{idle}",
        f"Build a {size}-to-{count} decoder with {'active-low' if is_low else 'active-high'} outputs: the bit of "
        f"{y} with number {x} is {on} and the others are {off}{gate}.{idle}",
        f"The {size}-bit input {x} names one of the {count} bits of {y}. That bit is {on}{gate}; every other bit "
        f"is {off}.{idle}",
    )


@family("encoders")
def priority_encoder(rng: random.Random) -> Draft:
    """Number of the highest or lowest set bit, with or without a valid output."""
    width, is_high, has_valid = rng.choice((3, 4, 5, 6, 7, 8)), rng.random() < 0.5, rng.random() < 0.7
    size = (width - 1).bit_length()
    r, y, v = rng.choice(("req", "in", "d", "lines")), rng.choice(("pos", "code", "index", "y")), rng.choice(_VALIDS)
    order = list(range(width))[:: -1 if is_high else 1]
    style = rng.randrange(3)
    if style == 0:
        lines = choose(y, {f"{r}[{n}]": literal(n, size) for n in order}, literal(0, size))
    elif style == 1:
        above, below = "0?" if is_high else "?0"
        known = {n: above * (width - 1 - n) + "1" + below * n for n in order}
        arms = {f"{width}'b{digits}": f"{y} = {literal(n, size)};" for n, digits in known.items()}
        lines = case(r, arms, f"{y} = {literal(0, size)};", "casez")
    else:
        loop = f"for (i = 0; i < {width}; i = i + 1)" if is_high else f"for (i = {width - 1}; i >= 0; i = i - 1)"
        lines = [f"{y} = 0;", loop, f"  if ({r}[i]) {y} = i[{size - 1}:0];"]
    lines += [f"{v} = |{r};"] if has_valid else []
    end = "highest" if is_high else "lowest"
    flagged = f" {v} is 1 when {r} is not zero." if has_valid else ""
    return Draft(
        ("priority_encoder", f"prio{width}", "penc", "encoder"),
        {"width": width, "high": int(is_high), "valid": int(has_valid)},
        [inp(r, width), out(y, size), out(v) if has_valid else None],
        procedural(*["integer i;"] * (style == 2), *always(lines)),
        f"{y} = index of the {end} set bit of {r}, 0 if none.{flagged}",
        f"Build a {width}-input priority encoder: {y} is the number of the {end} bit of {r} that is 1, and 0 when "
        f"{r} is zero.{flagged}",
        f"Look at the {width} bits of {r}. If several are 1, bit {order[0]} has the greatest priority and bit "
        f"{order[-1]} the least. "
        f"The {size}-bit output {y} gives the number of the winner; with no bit set it is 0.{flagged}",
    )


@family("encoders")
def onehot_to_binary(rng: random.Random) -> Draft:
    """Encoder for one-hot words; anything else gives zero and an error flag."""
    width, has_error = rng.choice((3, 4, 5, 6, 8)), rng.random() < 0.6
    size = (width - 1).bit_length()
    x = rng.choice(("onehot", "oh", "in", "state"))
    y = rng.choice(("bin", "code", "index", "y"))
    e = rng.choice(("err", "bad", "illegal"))
    both = (lambda n, bad: f"begin {y} = {literal(n, size)}; {e} = 1'b{bad}; end") if has_error else (
        lambda n, bad: f"{y} = {literal(n, size)};")  # fmt: skip
    arms = {literal(1 << n, width, "b"): both(n, 0) for n in range(width)}
    flagged = f" and {e} is 1" if has_error else ""
    good = f" {e} is 0 for one-hot words." if has_error else ""
    return Draft(
        ("onehot_to_bin", "oh2bin", f"encoder{width}", "onehot_encoder"),
        {"width": width, "error": int(has_error)},
        [inp(x, width), out(y, size), out(e) if has_error else None],
        statement(case(x, arms, both(0, 1))),
        f"{y} = position of the only 1 in {x}; if {x} is not one-hot, {y} is 0{flagged}.{good}",
        f"Convert the {width}-bit one-hot word {x} to the binary number {y} of its set bit. For every {x} that is "
        f"not one-hot, {y} is 0{flagged}.{good}",
        f"When exactly bit n of the {width}-bit input {x} is 1, the {size}-bit output {y} is n. When no bit or "
        f"more than one bit is 1, {y} is 0{flagged}.{good}",
    )


@family("encoders")
def priority_grant(rng: random.Random) -> Draft:
    """Fixed-priority grant: one-hot."""
    width, is_high = rng.choice((2, 3, 4, 5, 6, 8)), rng.random() < 0.5
    has_enable = rng.random() < 0.4
    r, g, en = rng.choice(("req", "request", "r")), rng.choice(("grant", "gnt", "g")), rng.choice(ENABLES)
    order = list(range(width))[:: -1 if is_high else 1]
    gate = f"{en} & " if has_enable else ""
    higher = ["", *(f" & ~({' | '.join(f'{r}[{m}]' for m in order[:k])})" for k in range(1, width))]
    body = [f"assign {g}[{n}] = {gate}{r}[{n}]{others};" for n, others in zip(order, higher, strict=True)]
    if not is_high and rng.random() < 0.5:
        kept = f"{r} & (~{r} + 1)"
        body = [f"assign {g} = {en} ? ({kept}) : 0;" if has_enable else f"assign {g} = {kept};"]
    only = f" While {en} is 0 there is no grant." if has_enable else ""
    end = "highest" if is_high else "lowest"
    return Draft(
        ("arbiter", f"arb{width}", "fixed_arbiter", "grant_logic"),
        {"width": width, "high": int(is_high), "enable": int(has_enable)},
        [inp(r, width), inp(en) if has_enable else None, out(g, width)],
        continuous(*body),
        f"{g} keeps only the {end} set bit of {r}.{only}",
        f"Build a combinational arbiter for {width} requests {r} with fixed priority to the {end} number: {g} is "
        f"one-hot, or 0 without a request.{only}",
        f"Each bit of {r} asks for a grant. At most one bit of {g} is 1: the one at the {end} position at which "
        f"{r} is 1. {g} is all zeros when {r} is.{only}",
    )


@family("encoders")
def seven_segment(rng: random.Random) -> Draft:
    """Display of a BCD or hexadecimal digit."""
    is_hex, is_low, is_reversed = rng.random() < 0.4, rng.random() < 0.5, rng.random() < 0.4
    has_blank = rng.random() < 0.4
    x = rng.choice(("digit", "bcd", "d", "nibble"))
    y = rng.choice(("seg", "segments", "display"))
    b = rng.choice(("blank", "off"))
    count, full = 16 if is_hex else 10, 0x7F

    def pattern(lit: int) -> str:
        shown = int(f"{lit:07b}"[::-1], 2) if is_reversed else lit
        return literal(shown ^ full if is_low else shown, 7, "b")

    arms = {literal(n, 4, "h"): f"{y} = {pattern(_SEGMENTS[n])};" for n in range(count)}
    if is_hex:
        arms.popitem()
    lines = case(x, arms, f"{y} = {pattern(_SEGMENTS[15] if is_hex else 0)};")
    if has_blank:
        lines = [f"if ({b}) {y} = {pattern(0)};", "else", *("  " + line for line in lines)]
    letters = "abcdefg"[::-1] if is_reversed else "abcdefg"
    lit = "0" if is_low else "1"
    place = f"{y}[0] is segment {letters[0]} and {y}[6] segment {letters[6]}; a segment is lit by {lit}"
    table = ", ".join(f"{n:X} {pattern(_SEGMENTS[n])[3:]}" for n in range(count))
    dark = "" if is_hex else f" For {x} above 9 all segments are dark."
    blank = f" While {b} is 1 all segments are dark." if has_blank else ""
    shapes = "6 and 9 have their tails" + (", and A to F look like A b C d E F" if is_hex else "")
    return Draft(
        ("seven_seg", "seg7", "display_decoder", "bcd_to_7seg" if not is_hex else "hex_to_7seg"),
        {"hex": int(is_hex), "low": int(is_low), "reversed": int(is_reversed), "blank": int(has_blank)},
        [inp(x, 4), inp(b) if has_blank else None, out(y, 7)],
        statement(lines),
        f"Seven-segment decoder of {x} onto {y}, digit and bits {y}[6:0]: {table}.{dark}{blank}",
        f"Show the {'hexadecimal' if is_hex else 'decimal'} digit {x} on a seven-segment display {y}; {place}. "
        f"{shapes}; 7 is a, b, c.{dark}{blank}",
        f"Decode the 4-bit input {x} for a seven-segment display. {place}. From {y}[6] to {y}[0] the patterns "
        f"are: {table}.{dark}{blank}",
    )


@family("encoders")
def thermometer_encode(rng: random.Random) -> Draft:
    """n to n ones."""
    size, is_high = rng.choice((2, 3, 4)), rng.random() < 0.35
    width = rng.choice(((1 << size) - 1, 1 << size, (1 << size) - 2))
    n, y = rng.choice(("n", "level", "count", "num")), rng.choice(("bar", "therm", "leds", "out"))
    tests = [f"{n} > {k}" for k in (range(width) if is_high else reversed(range(width)))]
    end = "most" if is_high else "least"
    more = f" For {n} above {width} all are 1." if width < (1 << size) - 1 else ""
    order = f"from bit {width - 1} downwards" if is_high else "from bit 0 upwards"
    return Draft(
        ("thermometer", "bar_graph", "therm_enc", f"therm{width}"),
        {"size": size, "width": width, "high": int(is_high)},
        [inp(n, size), out(y, width)],
        [(y, "{" + ", ".join(tests) + "}")],
        f"{y} = thermometer code of {n}: the {n} {end} significant bits are 1, the rest 0.{more}",
        f"Light the bar {y} of {width} bits according to {n}: {n} bits are 1, {order}.{more}",
        f"The {size}-bit input {n} is a number. In the {width}-bit output {y} that many bits are 1, counted "
        f"{order}; the others are 0.{more}",
    )


@family("encoders")
def thermometer_decode(rng: random.Random) -> Draft:
    """Length of the run of ones at the low or high end."""
    width, is_high = rng.choice((3, 4, 5, 6, 7)), rng.random() < 0.35
    size = width.bit_length()
    t, y = rng.choice(VECTORS), rng.choice(("n", "level", "count", "num"))
    tests = {f"!{t}[{width - 1 - n if is_high else n}]": literal(n, size) for n in range(width)}
    start, way = (f"bit {width - 1}", "downwards") if is_high else ("bit 0", "upwards")
    return Draft(
        (
            "therm_dec",
            "run_length",
            "count_leading_ones" if is_high else "count_trailing_ones",
            f"therm{width}to{size}",
        ),
        {"width": width, "high": int(is_high)},
        [inp(t, width), out(y, size)],
        statement(choose(y, tests, literal(width, size))),
        f"{y} = number of consecutive ones in {t} from {start} {way}.",
        f"Count the ones of the {width}-bit thermometer word {t} from {start} {way} up to the first 0; {y} is "
        "that count.",
        f"Starting at {start} of the {width}-bit input {t} and going {way}, count bits until one is 0. {y} is the "
        f"number of ones before it: 0 if {start} is 0, {width} if there is no 0.",
    )
