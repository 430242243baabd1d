"""Multiplexers, demultiplexers and selectors."""

import random

from itertl.synth.families.combinational import Draft, case, choose, continuous, family, inp, literal, out, statement
from itertl.synth.families.wording import ENABLES, OPERANDS, RESULTS, SELECTS, VECTORS, a_bits, number

_WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_STEMS = ("d", "in", "a", "x", "data")


def _names(rng: random.Random, count: int) -> list[str]:
    if count <= 4 and rng.random() < 0.3:
        return list("abcd"[:count])
    stem = rng.choice(_STEMS)
    return [f"{stem}{n}" for n in range(count)]


def _wide(width: int) -> str:
    return "one-bit" if width == 1 else f"{width}-bit"


@family("muxes")
def mux2(rng: random.Random) -> Draft:
    """Two to one, either select polarity."""
    width, is_first_on_one = rng.choice(_WIDTHS), rng.random() < 0.5
    (a, b), y, s = rng.choice(OPERANDS), rng.choice(RESULTS), rng.choice(SELECTS)
    on, off = (a, b) if is_first_on_one else (b, a)
    if rng.random() < 0.4:
        body = statement([f"if ({s})", f"  {y} = {on};", "else", f"  {y} = {off};"])
    else:
        body = continuous(f"assign {y} = {s} ? {on} : {off};")
    return Draft(
        ("mux2", "mux2to1", f"mux_{width}", "selector"),
        {"width": width, "first_on_one": int(is_first_on_one)},
        [inp(a, width), inp(b, width), inp(s), out(y, width)],
        body,
        f"{y} = {s} ? {on} : {off}.",
        f"Build a {_wide(width)} 2-to-1 multiplexer: {y} is {on} when {s} is 1 and {off} when {s} is 0.",
        f"Choose between the {_wide(width)} inputs {a} and {b}. While {s} is 1 the output {y} follows {on}; while "
        f"{s} is 0 it follows {off}. There is no clock.",
    )


@family("muxes")
def mux_n(rng: random.Random) -> Draft:
    """Three to eight inputs, binary select; codes without an input give a fixed value."""
    count, width = rng.choice((3, 4, 4, 5, 6, 8)), rng.choice(_WIDTHS)
    names, y, s = _names(rng, count), rng.choice(RESULTS), rng.choice(SELECTS)
    size = (count - 1).bit_length()
    fill = "none" if count == 1 << size else rng.choice(("zeros", "ones", "last"))
    default = {"zeros": literal(0, width), "ones": f"{{{width}{{1'b1}}}}", "last": names[-1], "none": names[-1]}[fill]
    arms = {literal(n, size): f"{y} = {name};" for n, name in enumerate(names)}
    if fill in ("last", "none"):
        arms.popitem()
    if rng.random() < 0.65:
        body = statement(case(s, arms, f"{y} = {default};"))
    else:
        chain = "".join(f"{s} == {label} ? {arm.split(' = ')[1][:-1]} : " for label, arm in arms.items())
        body = continuous(f"assign {y} = {chain}{default};")
    rest = {"zeros": "all zeros", "ones": "all ones", "last": names[-1], "none": ""}[fill]
    spare = f" For other values of {s}, {y} is {rest}." if rest else ""
    return Draft(
        (f"mux{count}", f"mux{count}to1", "multiplexer", "data_select"),
        {"count": count, "width": width, "fill": fill},
        [*(inp(name, width) for name in names), inp(s, size), out(y, width)],
        body,
        f"{s} = 0..{count - 1} selects {names[0]}..{names[-1]} onto {y}.{spare}",
        f"Build a {_wide(width)} {count}-to-1 multiplexer. {y} is {names[0]} when {s} is 0, {names[1]} when {s} is "
        f"1, and so on up to {names[-1]} when {s} is {count - 1}.{spare}",
        f"The {size}-bit input {s} chooses which {_wide(width)} input drives {y}: "
        + ", ".join(f"{n} chooses {name}" for n, name in enumerate(names))
        + f".{spare}",
    )


@family("muxes")
def bus_select(rng: random.Random) -> Draft:
    """A field of a packed bus, chosen by its number."""
    size, width = rng.choice((1, 2, 3, 4)), rng.choice((1, 2, 3, 4, 5, 6, 8))
    count, is_reversed = 1 << size, rng.random() < 0.3
    x, y, s = rng.choice(VECTORS), rng.choice(RESULTS), rng.choice(SELECTS)
    index = f"{literal(count - 1, size)} - {s}" if is_reversed else s
    if width > 1:
        index = (f"({index})" if is_reversed else s) + f" * {width} +: {width}"
    first, last = ("top", "bottom") if is_reversed else ("bottom", "top")
    ends = [f"{x}[0]", f"{x}[{count - 1}]"]
    if width > 1:
        ends = [f"{x}[{width - 1}:0]", f"{x}[{count * width - 1}:{(count - 1) * width}]"]
    low, high = ends[::-1] if is_reversed else ends
    return Draft(
        ("bus_mux", "field_select", f"mux{count}v", "slice_select"),
        {"count": count, "width": width, "reversed": int(is_reversed)},
        [inp(x, count * width), inp(s, size), out(y, width)],
        continuous(f"assign {y} = {x}[{index}];"),
        f"{y} = {_wide(width)} field number {s} of {x}, field 0 being {low}.",
        f"{x} packs {count} fields of {_wide(width)} size. Put the field with number {s} on {y}; number 0 is the "
        f"{first} field {low}, number {count - 1} the {last} field {high}.",
        f"Build a {count}-to-1 multiplexer whose inputs come packed in the {count * width}-bit vector {x}, {width} "
        f"bit(s) each. With {s} = 0 the output {y} is {low}; each step of {s} moves {width} bit(s) "
        f"{'down' if is_reversed else 'up'}; with {s} = {count - 1} it is {high}.",
    )


@family("muxes")
def onehot_mux(rng: random.Random) -> Draft:
    """AND-OR selector: inputs whose select bit is set are ORed."""
    count, width = rng.randint(2, 5), rng.choice((1, 2, 4, 6, 8, 12, 16))
    names, y, s = _names(rng, count), rng.choice(RESULTS), rng.choice(SELECTS)
    is_reversed = rng.random() < 0.3
    bit = {name: (count - 1 - n if is_reversed else n) for n, name in enumerate(names)}
    mask = (lambda n: f"{{{width}{{{s}[{n}]}}}}") if width > 1 else (lambda n: f"{s}[{n}]")
    terms = [f"({name} & {mask(n)})" for name, n in bit.items()]
    pairs = ", ".join(f"{s}[{n}] selects {name}" for name, n in bit.items())
    return Draft(
        ("onehot_mux", "and_or_mux", f"mux{count}_onehot", "select_or"),
        {"count": count, "width": width, "reversed": int(is_reversed)},
        [*(inp(name, width) for name in names), inp(s, count), out(y, width)],
        [(y, " | ".join(terms))],
        f"One-hot mux: {pairs}; {y} is the OR of all selected inputs, 0 if none.",
        f"Build a {_wide(width)} AND-OR multiplexer in which {pairs}. {y} is the bitwise OR of the selected inputs "
        f"and all zeros when no bit of {s} is set.",
        f"Each of the {count} bits of {s} gates one {_wide(width)} input: {pairs}. An input whose bit is 0 counts "
        f"as zero. {y} is the bitwise OR of the gated inputs, so more than one may be selected.",
    )


@family("muxes")
def priority_mux(rng: random.Random) -> Draft:
    """The first input whose request is set."""
    count, width, is_high_first = rng.randint(2, 4), rng.choice((1, 4, 6, 8, 12, 16)), rng.random() < 0.5
    names, y, r = _names(rng, count), rng.choice(RESULTS), rng.choice(("req", "want", "en", "use_in"))
    fill = rng.choice((0, (1 << width) - 1))
    order = list(range(count))[:: -1 if is_high_first else 1]
    default = literal(fill, width, "b" if width == 1 else "h")
    if rng.random() < 0.5:
        body = continuous(f"assign {y} = " + "".join(f"{r}[{n}] ? {names[n]} : " for n in order) + f"{default};")
    else:
        body = statement(choose(y, {f"{r}[{n}]": names[n] for n in order}, default))
    empty = "all ones" if fill else "zero"
    chain = ", else ".join(f"{names[n]} if {r}[{n}] is 1" for n in order)
    return Draft(
        ("priority_mux", "pmux", "first_of", "priority_select"),
        {"count": count, "width": width, "high_first": int(is_high_first), "fill": int(fill > 0)},
        [*(inp(name, width) for name in names), inp(r, count), out(y, width)],
        body,
        f"{y} = {chain}, else {empty}.",
        f"Build a {_wide(width)} priority multiplexer: {y} is {chain}; with no bit of {r} set it is {empty}.",
        f"Bit n of {r} asks for the n-th of the {_wide(width)} inputs {', '.join(names)}. When several ask, the "
        f"{'highest' if is_high_first else 'lowest'} number wins and its input appears on {y}. When none asks, "
        f"{y} is {empty}.",
    )


@family("muxes")
def demux(rng: random.Random) -> Draft:
    """One input to one of several outputs, the rest zero."""
    size, width = rng.choice((1, 2, 2, 3)), rng.choice((1, 2, 3, 4, 5, 6, 8, 12))
    count, has_enable = 1 << size, rng.random() < 0.4
    x, s, en = rng.choice(VECTORS), rng.choice(SELECTS), rng.choice(ENABLES)
    stem = rng.choice(("y", "out", "q", "ch"))
    names = [f"{stem}{n}" for n in range(count)]
    gate = f"{en} && " if has_enable else ""
    assigns = [(name, f"({gate}{s} == {literal(n, size)}) ? {x} : {literal(0, width)}") for n, name in enumerate(names)]
    only = f" while {en} is 1; with {en} at 0 all outputs are zero" if has_enable else ""
    return Draft(
        (f"demux{count}", f"demux1to{count}", "demultiplexer", "router"),
        {"count": count, "width": width, "enable": int(has_enable)},
        [inp(x, width), inp(s, size), inp(en) if has_enable else None, *(out(name, width) for name in names)],
        assigns,
        f"Demux: {x} goes to the output among {', '.join(names)} numbered {s}{only}; unselected outputs are 0.",
        f"Build a {_wide(width)} 1-to-{count} demultiplexer: {s} = 0..{count - 1} routes {x} to "
        f"{names[0]}..{names[-1]}{only}. Outputs that are not selected are zero.",
        f"The {_wide(width)} input {x} appears on exactly one of the outputs{only}: "
        + ", ".join(f"{name} for {s} = {n}" for n, name in enumerate(names))
        + ". The other outputs are zero.",
    )


@family("muxes")
def swap_mux(rng: random.Random) -> Draft:
    """Two words passed straight or swapped."""
    width, is_straight_on_one = rng.choice(_WIDTHS), rng.random() < 0.4
    (a, b), s = rng.choice(OPERANDS), rng.choice(("swap", "crossed", "sel", "x_en"))
    if is_straight_on_one:
        s = rng.choice(("keep", "straight", "sel", "bypass"))
    y, z = rng.choice((("y0", "y1"), ("p", "q"), ("out0", "out1"), ("first", "second")))
    on, off = ((a, b), (b, a)) if is_straight_on_one else ((b, a), (a, b))
    return Draft(
        ("swap", "crossbar2", "exchange", "swap_unit"),
        {"width": width, "straight_on_one": int(is_straight_on_one)},
        [inp(a, width), inp(b, width), inp(s), out(y, width), out(z, width)],
        [(y, f"{s} ? {on[0]} : {off[0]}"), (z, f"{s} ? {on[1]} : {off[1]}")],
        f"{s} = 1: {y} = {on[0]}, {z} = {on[1]}; {s} = 0: {y} = {off[0]}, {z} = {off[1]}.",
        f"Build {a_bits(width)} 2x2 switch. When {s} is 1, {y} gets {on[0]} and {z} gets {on[1]}; when {s} is 0, "
        f"{y} gets {off[0]} and {z} gets {off[1]}.",
        f"The {number(2)} inputs {a} and {b} go to the outputs {y} and {z}, either straight ({a} to {y}, {b} to "
        f"{z}) or swapped. "
        f"{s} = {int(is_straight_on_one)} means straight, {s} = {int(not is_straight_on_one)} means swapped.",
    )
