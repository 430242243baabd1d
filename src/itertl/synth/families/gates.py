"""Gates and Boolean functions."""

import random

from itertl.synth.families.combinational import Draft, case, continuous, family, inp, literal, out, statement
from itertl.synth.families.wording import FLAGS, OPERANDS, RESULTS, VECTORS, a_bits, join, number

_LETTERS = (("a", "b", "c", "d"), ("x0", "x1", "x2", "x3"), ("w", "x", "y", "z"), ("in1", "in2", "in3", "in4"))
_BIT_RESULTS = ("f", "out", "q", "result", "o")
_SIGN = {"and": "&", "or": "|", "xor": "^", "nand": "&", "nor": "|", "xnor": "^"}
_MEANING = {
    "and": "1 when all of them are 1 and 0 otherwise",
    "or": "1 when at least one of them is 1 and 0 otherwise",
    "xor": "1 when an odd number of them are 1 and 0 otherwise",
    "nand": "0 when all of them are 1 and 1 otherwise",
    "nor": "0 when at least one of them is 1 and 1 otherwise",
    "xnor": "1 when an even number of them (possibly none) are 1 and 0 otherwise",
}


@family("gates")
def logic_gate(rng: random.Random) -> Draft:
    """One gate of two to four inputs, some of them inverted."""
    kind, count = rng.choice(tuple(_SIGN)), rng.randint(2, 4)
    inverted = rng.choice((0, rng.randrange(1 << count)))
    names, y = rng.choice(_LETTERS)[:count], rng.choice(_BIT_RESULTS)
    terms = [("~" if inverted >> n & 1 else "") + name for n, name in enumerate(names)]
    spoken = [("NOT " if inverted >> n & 1 else "") + name for n, name in enumerate(names)]
    joined = f" {_SIGN[kind]} ".join(terms)
    expression = f"~({joined})" if kind in ("nand", "nor", "xnor") else joined
    gate = f"{'an' if kind[0] in 'aox' else 'a'} {kind.upper()}"
    return Draft(
        (f"{kind}{count}", f"{kind}_gate", "gate", "logic_gate"),
        {"kind": kind, "count": count, "inverted": inverted},
        [*(inp(name) for name in names), out(y)],
        [(y, expression)],
        f"{y} = {kind.upper()} of {join(spoken)}.",
        f"Build {gate} gate with {number(count)} inputs that drives {y} from {join(spoken)}.",
        f"Take the {number(count)} terms {join(spoken)}, all one bit. The output {y} is {_MEANING[kind]}.",
    )


@family("gates")
def bitwise_op(rng: random.Random) -> Draft:
    """A bitwise operation on two vectors."""
    kind, width = rng.choice((*_SIGN, "andnot", "ornot")), rng.choice((2, 3, 4, 5, 6, 8, 12, 16, 24, 32))
    (a, b), y = rng.choice(OPERANDS), rng.choice(RESULTS)
    if kind.endswith("not"):
        expression, spoken = f"{a} {_SIGN[kind[:-3]]} ~{b}", f"{kind[:-3].upper()} of {a} and NOT {b}"
    else:
        plain = f"{a} {_SIGN[kind]} {b}"
        expression = f"~({plain})" if kind in ("nand", "nor", "xnor") else plain
        spoken = f"{kind.upper()} of {a} and {b}"
    return Draft(
        (f"bitwise_{kind}", f"{kind}_{width}bit", "bitwise", "vector_logic"),
        {"kind": kind, "width": width},
        [inp(a, width), inp(b, width), out(y, width)],
        [(y, expression)],
        f"{y} is the bitwise {spoken}, {width} bits.",
        f"Compute the {width}-bit bitwise {spoken} and put it on {y}.",
        f"{a} and {b} are {width}-bit vectors. Each bit of the {width}-bit output {y} depends only on the bits of "
        f"{a} and {b} at the same position: it is the {spoken} there.",
    )


@family("gates")
def truth_table(rng: random.Random) -> Draft:
    """A random Boolean function given by its minterms."""
    count = rng.choice((2, 3, 3, 3, 4))
    rows = 1 << count
    minterms = sorted(rng.sample(range(rows), rng.randint(1, min(rows - 1, 7))))
    names, y = rng.choice(_LETTERS)[:count], rng.choice(_BIT_RESULTS)
    packed = f"{{{', '.join(names)}}}"
    products = ["(" + " & ".join(n if m >> (count - 1 - i) & 1 else f"~{n}" for i, n in enumerate(names)) + ")"
                for m in minterms]  # fmt: skip
    if rng.random() < 0.5:
        labels = ", ".join(literal(m, count, rng.choice("db")) for m in minterms)
        body = statement(case(packed, {labels: f"{y} = 1'b1;"}, f"{y} = 1'b0;"))
    else:
        body = continuous(f"assign {y} = {' | '.join(products)};")
    table = "; ".join(f"{m:0{count}b} -> {int(m in minterms)}" for m in range(rows))
    order = f"{', '.join(names)} read as a binary number with {names[0]} as its most significant bit"
    return Draft(
        ("truth_table", "boolean_function", "minterms", "logic_fn"),
        {"count": count, "table": sum(1 << m for m in minterms)},
        [*(inp(name) for name in names), out(y)],
        body,
        f"{y}({', '.join(names)}) = sum of minterms {join([str(m) for m in minterms])}, {names[0]} being the MSB.",
        f"{y} is 1 when {order} is {join([str(m) for m in minterms], 'or')}; otherwise {y} is 0.",
        f"Implement this truth table, with the inputs in the order {' '.join(names)} and the value of {y} after "
        f"the arrow: {table}.",
    )


@family("gates")
def sum_of_products(rng: random.Random) -> Draft:
    """Two or three product terms ORed, or sum terms ANDed."""
    is_sum, count = rng.random() < 0.6, rng.choice((3, 4))
    names, y = rng.choice(_LETTERS)[:count], rng.choice(_BIT_RESULTS)
    terms: list[tuple[tuple[int, bool], ...]] = []
    while len(terms) < rng.choice((2, 2, 3)):
        term = tuple((n, rng.random() < 0.4) for n in sorted(rng.sample(range(count), rng.randint(1, count - 1))))
        if term not in terms:
            terms.append(term)
    used = {n for term in terms for n, _ in term}
    if len(used) < count:  # every port shall matter
        terms.append(tuple((n, False) for n in range(count) if n not in used))
    inner, outer = ("&", "|") if is_sum else ("|", "&")
    say = {"&": " AND ", "|": " OR "}

    def text(join_inner: str, join_outer: str, invert: str) -> str:
        parts = [join_inner.join((invert if no else "") + names[n] for n, no in term) for term in terms]
        return join_outer.join(f"({p})" if len(t) > 1 else p for p, t in zip(parts, terms, strict=True))

    spoken = text(say[inner], say[outer], "NOT ")
    clauses = [join([f"{names[n]} is {0 if no else 1}" for n, no in t], "and" if is_sum else "or") for t in terms]
    opening = f"{y} is 1 when any of these hold" if is_sum else f"{y} is 1 only when all of these hold"
    return Draft(
        ("sop" if is_sum else "pos", "logic_fn", "boolean_expr", "comb_logic"),
        {
            "terms": str([[f"{'~' if no else ''}{n}" for n, no in t] for t in terms]),
            "sum": int(is_sum),
            "n": count,
        },
        [*(inp(name) for name in names), out(y)],
        [(y, text(f" {inner} ", f" {outer} ", "~"))],
        f"{y} = {spoken}.",
        f"Implement the Boolean function {y} = {spoken} of the one-bit inputs {join(names)}.",
        f"{opening}: " + "; ".join(f"({n}) {c}" for n, c in enumerate(clauses, 1)) + f". Otherwise {y} is 0.",
    )


@family("gates")
def at_least_k(rng: random.Random) -> Draft:
    """At least k of n bits."""
    width = rng.randint(3, 8)
    least = rng.randint(2, width - 1)
    x, y = rng.choice(VECTORS), rng.choice(FLAGS)
    total = " + ".join(f"{x}[{n}]" for n in range(width))
    size = width.bit_length()
    is_majority = width % 2 == 1 and least == (width + 1) // 2
    first = f"majority of the {width} bits of {x}" if is_majority else f"1 if at least {least} bits of {x} are 1"
    return Draft(
        ("majority" if is_majority else f"at_least_{least}", "vote", "voter", "threshold"),
        {"width": width, "least": least},
        [inp(x, width), out(y)],
        continuous(
            f"wire [{size - 1}:0] count;", f"assign count = {total};", f"assign {y} = count >= {literal(least, size)};"
        ),
        f"{y} = {first}.",
        f"Given the {width}-bit vector {x}, set {y} when {number(least)} or more of its bits are 1.",
        f"Count the ones in the {width}-bit input {x}. The one-bit output {y} is 1 if the count is {least} or "
        f"more, and 0 if it is {least - 1} or less.",
    )


@family("gates")
def parity(rng: random.Random) -> Draft:
    """Parity bit, parity check, or the word with its parity bit."""
    width, is_odd, kind = rng.randint(2, 16), rng.random() < 0.5, rng.choice(("bit", "check", "append"))
    x, y = rng.choice(VECTORS), rng.choice(("p", "parity", "par") if kind == "bit" else ("err", "error", "bad"))
    name = "odd" if is_odd else "even"
    inputs, outputs = [inp(x, width)], [out(y)]
    if kind == "bit":
        assigns = [(y, f"~^{x}" if is_odd else f"^{x}")]
        words = (
            f"{y} = {name} parity bit of {x}.",
            f"Generate the {name} parity bit {y} for the {width}-bit word {x}: {x} and {y} together hold an {name} "
            "number of ones.",
            f"The one-bit output {y} is chosen so that the number of ones among the {width} bits of {x} and {y} itself "
            f"is {name}.",
        )
    elif kind == "check":
        inputs.append(inp("p"))
        assigns = [(y, f"~(^{x} ^ p)" if is_odd else f"^{x} ^ p")]
        words = (
            f"{y} = 1 if {x} with parity bit p breaks {name} parity.",
            f"Check {name} parity: {y} is 1 when the bits of {x} and the parity bit p do not hold an {name} number of "
            "ones.",
            f"The {width}-bit word {x} arrives with a parity bit p. Count the ones in {x} and p together. {y} is 0 if "
            f"the count is {name} and 1 if it is not.",
        )
    else:
        y = rng.choice(("code", "sent", "framed"))
        outputs = [out(y, width + 1)]
        assigns = [(y, f"{{{x}, {'~' if is_odd else ''}^{x}}}")]
        words = (
            f"{y} = {x} followed by its {name} parity bit in bit 0.",
            f"Append {a_bits(1)} {name} parity to {x}: {y}[{width}:1] is {x} and {y}[0] is the {name} parity bit.",
            f"The {width + 1}-bit output {y} holds the {width}-bit input {x} in its upper bits. Its bit 0 makes the "
            f"number of ones in all of {y} {name}.",
        )
    return Draft(
        (f"{name}_parity", "parity_unit", f"parity_{kind}", f"parity{width}"),
        {"width": width, "odd": int(is_odd), "kind": kind},
        [*inputs, *outputs],
        assigns,
        *words,
    )


_REDUCTIONS = {
    "all": ("&{x}", "all bits of {x} are 1"),
    "any": ("|{x}", "at least one bit of {x} is 1"),
    "none": ("~|{x}", "no bit of {x} is 1"),
    "notall": ("~&{x}", "at least one bit of {x} is 0"),
    "odd": ("^{x}", "an odd number of bits of {x} are 1"),
    "even": ("~^{x}", "an even number of bits of {x} (zero included) are 1"),
}


@family("gates")
def reduction(rng: random.Random) -> Draft:
    """One to three reductions of a vector."""
    width, kinds = rng.randint(3, 24), rng.sample(tuple(_REDUCTIONS), rng.randint(1, 3))
    x = rng.choice(VECTORS)
    prefix = rng.choice(("", "is_", "out_"))
    outs = {kind: f"{prefix}{kind}" for kind in kinds}
    meaning = {kind: _REDUCTIONS[kind][1].format(x=x) for kind in kinds}
    return Draft(
        ("reduce", "reduction", f"reduce{width}", "vector_flags"),
        {"width": width, "kinds": " ".join(sorted(kinds))},
        [inp(x, width), *(out(name) for name in outs.values())],
        [(name, _REDUCTIONS[kind][0].format(x=x)) for kind, name in outs.items()],
        "; ".join(f"{name} = 1 if {meaning[kind]}" for kind, name in outs.items()) + ".",
        f"Reduce the {width}-bit vector {x}: "
        + ", ".join(f"{n} is set when {meaning[k]}" for k, n in outs.items())
        + ".",
        f"The input {x} has {width} bits. " + " ".join(f"{n} is 1 when {meaning[k]}, else 0." for k, n in outs.items()),
    )


@family("gates")
def gate_bank(rng: random.Random) -> Draft:
    """Several gates on the same two bits."""
    (a, b), kinds = rng.choice(OPERANDS[:3]), rng.sample(tuple(_SIGN), rng.randint(2, 4))
    outs = {kind: f"{rng.choice(('out_', 'f_'))}{kind}" for kind in kinds}
    inverse = ("nand", "nor", "xnor")
    assigns = [(o, f"~({a} {_SIGN[k]} {b})" if k in inverse else f"{a} {_SIGN[k]} {b}") for k, o in outs.items()]
    return Draft(
        ("gates", "gate_bank", "two_input_gates", "logic_unit"),
        {"kinds": " ".join(sorted(kinds))},
        [inp(a), inp(b), *(out(o) for o in outs.values())],
        assigns,
        f"From bits {a} and {b}: " + ", ".join(f"{o} = {k.upper()}" for k, o in outs.items()) + ".",
        f"Drive {join(list(outs.values()))} with the {join([k.upper() for k in outs])} of {a} and {b}, in this order.",
        f"{a} and {b} are single bits. "
        + " ".join(f"For {o}, {a} and {b}: it is {_MEANING[k]}." for k, o in outs.items()),
    )
