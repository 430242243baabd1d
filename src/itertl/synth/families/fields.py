"""Moving bits and fields: reversal, extraction, insertion, interleaving."""

import random

from itertl.synth.families.combinational import Draft, always, continuous, family, inp, out, procedural
from itertl.synth.families.wording import RESULTS, VECTORS


@family("fields")
def reverse(rng: random.Random) -> Draft:
    """Order of bits, or of fixed-size groups, reversed."""
    group = rng.choice((1, 1, 2, 4, 8))
    count = rng.randint(2, 10 if group == 1 else 4)
    width, x, y = group * count, rng.choice(VECTORS), rng.choice(RESULTS)
    inverted = rng.random() < 0.2
    sign = "~" if inverted else ""
    if group == 1 and rng.random() < 0.4:
        loop = [f"for (i = 0; i < {width}; i = i + 1)", f"  {y}[i] = {sign}{x}[{width - 1} - i];"]
        body = procedural("integer i;", *always(loop))
    else:
        parts = [f"{x}[{n}]" if group == 1 else f"{x}[{group * n + group - 1}:{group * n}]" for n in range(count)]
        body = continuous(f"assign {y} = {sign}{{{', '.join(parts)}}};")
    name = {1: "bits", 2: "bit pairs", 4: "nibbles", 8: "bytes"}[group]
    also = " and invert all bits" if inverted else ""
    place = f"{y}[i] is {sign and 'the inverse of '}{x}[{width - 1}-i]" if group == 1 else (
        f"the lowest of the {count} {name} of {x} becomes the highest of {y}, and so on, each keeping its inner bit "
        "order"
        + (", and every bit is inverted" if inverted else ""))  # fmt: skip
    return Draft(
        (
            "reverse",
            f"swap_{name.replace(' ', '_')}",
            f"reverse{width}",
            "endian_swap" if group == 8 else "mirror",
        ),
        {"group": group, "count": count, "inverted": int(inverted)},
        [inp(x, width), out(y, width)],
        body,
        f"{y} = {x} with the order of its {name} reversed{', all bits inverted' if inverted else ''}.",
        f"Reverse the order of the {count} {name} of {x}{also}; {y} is the result.",
        f"{x} and {y} have {width} bits. Without any logic but wires{' and inverters' if inverted else ''}, {place}.",
    )


@family("fields")
def field_extract(rng: random.Random) -> Draft:
    """A fixed field, extended; or several fields split off."""
    width = rng.choice((8, 12, 16, 24, 32))
    count = rng.randint(2, 4)
    cuts = sorted(rng.sample(range(1, width), count - 1))
    edges = [0, *cuts, width]
    x, stem = rng.choice(("word", "instr", "packet", "reg_in", "data")), rng.choice(("f", "field", "part"))
    fields = {f"{stem}{n}": (edges[n + 1] - 1, edges[n]) for n in range(count)}
    kept = dict(rng.sample(sorted(fields.items()), rng.randint(1, count)))
    show = {name: f"{x}[{hi}:{lo}]" if hi > lo else f"{x}[{lo}]" for name, (hi, lo) in kept.items()}
    return Draft(
        ("unpack", "field_split", "extract", "slicer"),
        {"width": width, "fields": str(sorted(kept.values()))},
        [inp(x, width), *(out(name, hi - lo + 1) for name, (hi, lo) in kept.items())],
        list(show.items()),
        ", ".join(f"{name} = {s}" for name, s in show.items()) + ".",
        f"Split fields off the {width}-bit word {x}: " + ", ".join(f"{name} is {s}" for name, s in show.items()) + ".",
        f"The input {x} is a packed word of {width} bits. "
        + " ".join(
            f"Drive {name} with the {hi - lo + 1} bit(s) that start at bit {lo} and end at bit {hi}."
            for name, (hi, lo) in kept.items()
        ),
    )


@family("fields")
def field_insert(rng: random.Random) -> Draft:
    """A field of a word replaced, always or on enable."""
    width = rng.choice((6, 8, 10, 12, 16, 24, 32))
    low = rng.randrange(width - 2)
    high = rng.randint(low, min(width - 1, low + 7))
    size, has_enable = high - low + 1, rng.random() < 0.4
    x = rng.choice(("word", "data", "base"))
    f = rng.choice(("field", "val", "ins"))
    y = rng.choice(RESULTS)
    en = rng.choice(("en", "we", "replace"))
    new = f"({en} ? {f} : {x}[{high}:{low}])" if has_enable else f
    parts = [
        *([f"{x}[{width - 1}:{high + 1}]"] if high < width - 1 else []),
        new,
        *([f"{x}[{low - 1}:0]"] if low else []),
    ]
    where = f"bits {high} to {low}" if size > 1 else f"bit {low}"
    only = f" when {en} is 1; when {en} is 0 {y} is {x}" if has_enable else ""
    return Draft(
        ("insert", "field_insert", "merge", "bitfield_set"),
        {"width": width, "low": low, "high": high, "enable": int(has_enable)},
        [inp(x, width), inp(f, size), inp(en) if has_enable else None, out(y, width)],
        [(y, f"{{{', '.join(parts)}}}")],
        f"{y} = {x} with {where} replaced by {f}{only}.",
        f"Replace {where} of the {width}-bit word {x} by {f} and put the result on {y}{only}.",
        f"{y} has the same {width} bits as {x}, except that {where} come from the {size}-bit input {f}{only}.",
    )


@family("fields")
def interleave(rng: random.Random) -> Draft:
    """Bits of two words interleaved, or separated again."""
    half, is_split, is_first_odd = rng.randint(2, 8), rng.random() < 0.5, rng.random() < 0.5
    even, odd = rng.choice((("a", "b"), ("e", "o"), ("lo", "hi"), ("p", "r")))
    if is_first_odd:
        even, odd = odd, even
    w = rng.choice(("mixed", "word", "z", "bits"))
    if is_split:
        pick = [f"{{{', '.join(f'{w}[{2 * n + k}]' for n in reversed(range(half)))}}}" for k in (0, 1)]
        inputs = [inp(w, 2 * half)]
        outputs = [out(even, half), out(odd, half)]
        assigns = [(even, pick[0]), (odd, pick[1])]
        opening = f"Pull the bits of the {2 * half}-bit word {w} apart"
    else:
        parts = ", ".join(f"{odd}[{n}], {even}[{n}]" for n in reversed(range(half)))
        inputs, outputs, assigns = [inp(even, half), inp(odd, half)], [out(w, 2 * half)], [(w, f"{{{parts}}}")]
        opening = f"Interleave the bits of the {half}-bit words {even} and {odd} to make {w}"
    rule = f"{even} belongs to the even positions of {w} and {odd} to the odd ones"
    return Draft(
        ("deinterleave" if is_split else "interleave", "shuffle", "morton", "unzip" if is_split else "zip"),
        {"half": half, "split": int(is_split), "order": int(is_first_odd)},
        [*inputs, *outputs],
        assigns,
        f"{even}[i] = {w}[2i] and {odd}[i] = {w}[2i+1]."
        if is_split
        else f"{w}[2i] = {even}[i] and {w}[2i+1] = {odd}[i].",
        f"{opening}: {rule}, in ascending order.",
        f"{opening}. Bit 0 of {even} corresponds to {w}[0], bit 0 of {odd} to {w}[1], bit 1 of {even} to {w}[2], "
        f"bit 1 of {odd} to {w}[3], and so on.",
    )
