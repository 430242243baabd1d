"""Counting, finding and masking bits."""

import random

from itertl.synth.families.combinational import Draft, always, continuous, family, inp, literal, out, procedural
from itertl.synth.families.wording import FLAGS, RESULTS, VECTORS

_COUNTS = ("count", "cnt", "num", "n")


@family("bit tricks")
def popcount(rng: random.Random) -> Draft:
    """Number of ones or zeros."""
    width, is_zeros = rng.randint(3, 16), rng.random() < 0.35
    x, y, size = rng.choice(VECTORS), rng.choice(_COUNTS), width.bit_length()
    sign = "~" if is_zeros else ""
    if width <= 8 and rng.random() < 0.6:
        bits = " + ".join(f"{x}[{n}]" for n in range(width))
        body = continuous(f"assign {y} = {f'{literal(width, size)} - ({bits})' if is_zeros else bits};")
    else:
        loop = [f"{y} = 0;", f"for (i = 0; i < {width}; i = i + 1)", f"  {y} = {y} + {'!' if sign else ''}{x}[i];"]
        body = procedural("integer i;", *always(loop))
    what = "zeros" if is_zeros else "ones"
    return Draft(
        ("popcount", f"count_{what}", f"popcount{width}", "bit_count"),
        {"width": width, "zeros": int(is_zeros)},
        [inp(x, width), out(y, size)],
        body,
        f"{y} = number of {what} in {x}.",
        f"Count the {what} in the {width}-bit vector {x} and put the number on {y}.",
        f"For each of the {width} bits of {x} that is {0 if is_zeros else 1}, add one. The total, from 0 to "
        f"{width}, is the {size}-bit output {y}.",
    )


def _zeros(rng: random.Random, is_leading: bool) -> Draft:
    width, is_ones, has_flag = rng.choice((4, 5, 6, 7, 8, 10, 12, 16)), rng.random() < 0.3, rng.random() < 0.4
    size = width.bit_length()
    x, y, f = rng.choice(VECTORS), rng.choice(_COUNTS), rng.choice(("none", "empty", "all_same"))
    bit = f"!{x}[i]" if is_ones else f"{x}[i]"
    value = f"{width - 1} - i" if is_leading else "i"
    loop = f"for (i = 0; i < {width}; i = i + 1)" if is_leading else f"for (i = {width - 1}; i >= 0; i = i - 1)"
    body = [f"{y} = {width};", loop, f"  if ({bit}) {y} = {value};"]
    body += [f"{f} = {y} == {width};"] if has_flag else []
    end, start = ("leading", f"bit {width - 1} downwards") if is_leading else ("trailing", "bit 0 upwards")
    what, other = ("ones", 0) if is_ones else ("zeros", 1)
    flagged = f" {f} is 1 when {y} is {width}." if has_flag else ""
    return Draft(
        (
            f"c{end[0]}{what[0]}",
            f"{end}_{what}",
            f"count_{end}",
            f"lzc{width}" if is_leading else f"tzc{width}",
        ),
        {"width": width, "ones": int(is_ones), "flag": int(has_flag)},
        [inp(x, width), out(y, size), out(f) if has_flag else None],
        procedural("integer i;", *always(body)),
        f"{y} = number of {end} {what} of {x} ({width} if it has nothing else).{flagged}",
        f"Count the {end} {what} of the {width}-bit word {x}: {y} is the number of {what} from {start} before the "
        f"first {other}, {width} if there is no {other}.{flagged}",
        f"Scan the {width}-bit input {x} from {start} and stop at the first {other}. The {size}-bit output {y} is "
        f"the number of bits passed before it; if all bits are {1 - other}, {y} is {width}.{flagged}",
    )


@family("bit tricks")
def leading_zeros(rng: random.Random) -> Draft:
    """Length of the run at the top end."""
    return _zeros(rng, True)


@family("bit tricks")
def trailing_zeros(rng: random.Random) -> Draft:
    """Length of the run at the bottom end."""
    return _zeros(rng, False)


_RIGHTMOST = {
    "isolate": (
        "{x} & (~{x} + 1)",
        "only the lowest 1 of {x} kept",
        "a 1 only where {x} has its lowest 1; it is 0 if {x} is 0",
    ),
    "clear": (
        "{x} & ({x} - 1)",
        "{x} with its lowest 1 cleared",
        "{x} in which the lowest 1 is changed to 0; it is 0 if {x} is 0",
    ),
    "set": (
        "{x} | ({x} + 1)",
        "{x} with its lowest 0 set",
        "{x} in which the lowest 0 is changed to 1; it is all ones if {x} is",
    ),
    "smear": (
        "{x} | ({x} - 1)",
        "{x} with all bits below its lowest 1 set",
        "{x} in which every 0 below the lowest 1 is changed to 1; it is all ones if {x} is 0",
    ),
    "mask": (
        "~{x} & ({x} - 1)",
        "ones below the lowest 1 of {x}",
        "a 1 at every position below the lowest 1 of {x} and 0 elsewhere; it is all ones if {x} is 0",
    ),
    "runs": (
        "{x} & ~({x} << 1)",
        "the starts (lowest bits) of the runs of ones in {x}",
        "a 1 where {x} has a 1 whose neighbour one position lower is 0 or missing",
    ),
    "ends": (
        "{x} & ~({x} >> 1)",
        "the ends (highest bits) of the runs of ones in {x}",
        "a 1 where {x} has a 1 whose neighbour one position higher is 0 or missing",
    ),
}


@family("bit tricks")
def lowest_bit(rng: random.Random) -> Draft:
    """Word tricks around the lowest set bit, and ends of runs."""
    width, kind = rng.choice((3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32)), rng.choice(tuple(_RIGHTMOST))
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    expression, short, long = (text.format(x=x) for text in _RIGHTMOST[kind])
    return Draft(
        (f"{kind}_low", "lowest_bit", "bit_trick", f"{kind}{width}"),
        {"width": width, "kind": kind},
        [inp(x, width), out(y, width)],
        [(y, expression)],
        f"{y} = {short}.",
        f"From the {width}-bit word {x} make {y}: {short} ({width} bits).",
        f"{x} and {y} have {width} bits. {y} is {long}.",
    )


@family("bit tricks")
def mask_constant(rng: random.Random) -> Draft:
    """Fixed bits cleared, set or inverted."""
    width, kind = rng.choice((4, 6, 8, 8, 12, 16)), rng.choice(("clear", "set", "invert", "keep"))
    mask = rng.randrange(1, (1 << width) - 1)
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    shown = literal(mask, width, rng.choice("bh"))
    expression = {
        "clear": f"{x} & ~{shown}",
        "set": f"{x} | {shown}",
        "invert": f"{x} ^ {shown}",
        "keep": f"{x} & {shown}",
    }[kind]
    verb = {"clear": "cleared", "set": "set", "invert": "inverted", "keep": "kept and all others cleared"}[kind]
    places = ", ".join(str(n) for n in reversed(range(width)) if mask >> n & 1)
    return Draft(
        ("mask", f"{kind}_bits", "bit_mask", "const_mask"),
        {"width": width, "kind": kind, "mask": mask},
        [inp(x, width), out(y, width)],
        [(y, expression)],
        f"{y} = {x} with the bits of mask {literal(mask, width, 'b')} {verb}.",
        f"{y} is the {width}-bit word {x} with bit(s) {places} {verb}.",
        f"Take the {width}-bit input {x}. In the output {y}, the bits at the positions where "
        f"{literal(mask, width, 'b')} has a 1 are {verb}"
        + (". " if kind == "keep" else "; the other bits are the same as in ")
        + (f"{y} has {width} bits." if kind == "keep" else f"{x}."),
    )


@family("bit tricks")
def bit_write(rng: random.Random) -> Draft:
    """One bit, chosen by an input, set, cleared, inverted, or given a value."""
    size, kind = rng.choice((1, 2, 3, 4, 5)), rng.choice(("set", "clear", "toggle", "write", "test"))
    width = 1 << size
    x, n = rng.choice(VECTORS), rng.choice(("idx", "pos", "index", "k"))
    y, v = rng.choice(FLAGS) if kind == "test" else rng.choice(RESULTS), rng.choice(("b", "bit_val", "v"))
    one = f"({literal(1, width)} << {n})"
    expression = {
        "set": f"{x} | {one}",
        "clear": f"{x} & ~{one}",
        "toggle": f"{x} ^ {one}",
        "write": f"{v} ? {x} | {one} : {x} & ~{one}",
        "test": f"{x}[{n}]",
    }[kind]
    rule = {
        "set": f"{x} with bit number {n} set to 1",
        "clear": f"{x} with bit number {n} cleared to 0",
        "toggle": f"{x} with bit number {n} inverted",
        "write": f"{x} with bit number {n} replaced by {v}",
        "test": f"the bit number {n} of {x}",
    }[kind]
    return Draft(
        (f"bit_{kind}", f"{kind}_bit", "bit_unit", f"bit{kind}{width}"),
        {"width": width, "kind": kind},
        [inp(x, width), inp(n, size), inp(v) if kind == "write" else None, out(y, 1 if kind == "test" else width)],
        [(y, expression)],
        f"{y} = {rule}.",
        f"{x} has {width} bits and {n} is the number of one of them. Put {rule} on {y}.",
        f"The {size}-bit input {n} selects a position in the {width}-bit word {x}, 0 being the least significant. "
        f"The output {y} is {rule}" + ("." if kind == "test" else "; all other bits are unchanged."),
    )


@family("bit tricks")
def word_property(rng: random.Random) -> Draft:
    """Power of two, one-hot or zero, palindrome, adjacent ones, alternation."""
    width = rng.randint(3, 12)
    kind = rng.choice(("onehot", "onehot0", "adjacent", "palindrome", "alternating", "balanced"))
    if kind == "balanced":
        width = rng.choice((4, 6, 8))
    x, y, top = rng.choice(VECTORS), rng.choice(FLAGS), width - 1
    half = width // 2
    mirror = ", ".join(f"{x}[{n}]" for n in range(half))
    ones = " + ".join(f"{x}[{n}]" for n in range(width))
    expression = {
        "onehot": f"({x} != 0) && (({x} & ({x} - 1)) == 0)",
        "onehot0": f"({x} & ({x} - 1)) == 0",
        "adjacent": f"|({x}[{top}:1] & {x}[{top - 1}:0])",
        "palindrome": f"{x}[{top}:{width - half}] == {{{mirror}}}",
        "alternating": f"&({x}[{top}:1] ^ {x}[{top - 1}:0])",
        "balanced": f"({literal(0, width.bit_length())} + {ones}) == {literal(half, width.bit_length())}",
    }[kind]
    short, long = {
        "onehot": ("is a power of two", "exactly one bit is 1"),
        "onehot0": ("is zero or a power of two", "at most one bit is 1"),
        "adjacent": ("has two neighbouring ones", "some bit i and bit i+1 are both 1 (the ends are not neighbours)"),
        "palindrome": ("reads the same from both ends", f"bit i equals bit {top}-i for every i"),
        "alternating": ("alternates between 0 and 1", "every two neighbouring bits differ"),
        "balanced": ("has as many ones as zeros", f"exactly {half} bits are 1"),
    }[kind]
    return Draft(
        (f"is_{kind}", kind, "word_check", f"detect_{kind}"),
        {"width": width, "kind": kind},
        [inp(x, width), out(y)],
        [(y, expression)],
        f"{y} = 1 if {x} {short}.",
        f"Set {y} when the {width}-bit word {x} {short}, that is, when {long}.",
        f"Examine the {width} bits of {x}, bit {top} being the most significant. The output {y} is 1 if {long}, "
        "and 0 in every other case.",
    )
