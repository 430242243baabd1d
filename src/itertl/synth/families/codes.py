"""Error-detecting codes and checksums without a clock."""

import random
from collections.abc import Iterable

from itertl.synth.families.combinational import Draft, continuous, family, inp, literal, out
from itertl.synth.families.wording import RESULTS

_COVERS = {"p1": (0, 1, 3), "p2": (0, 2, 3), "p4": (1, 2, 3)}  # data bits under each parity bit of Hamming (7,4)
_PLACES = {
    "standard": ("d3", "d2", "d1", "p4", "d0", "p2", "p1"),
    "systematic": ("d3", "d2", "d1", "d0", "p4", "p2", "p1"),
}


def _xor(name: str, bits: Iterable[int], is_inverted: bool) -> str:
    joined = " ^ ".join(f"{name}[{b}]" for b in bits)
    return f"~({joined})" if is_inverted else joined


@family("codes")
def hamming_encode(rng: random.Random) -> Draft:
    """Hamming (7,4) encoder, either bit order, optionally with overall parity."""
    layout, is_odd, has_all = rng.choice(tuple(_PLACES)), rng.random() < 0.3, rng.random() < 0.3
    d, y = rng.choice(("d", "data", "nibble", "in")), rng.choice(("code", "word", "c", "h"))
    bit = {p: _xor(d, bits, is_odd) for p, bits in _COVERS.items()}
    bit |= {f"d{n}": f"{d}[{n}]" for n in range(4)}
    body = [f"wire {p};\n  assign {p} = {bit[p]};" for p in _COVERS]
    order = ", ".join(p if p in _COVERS else bit[p] for p in _PLACES[layout])
    body.append(f"assign {y}[6:0] = {{{order}}};")
    if has_all:
        body.append(f"assign {y}[7] = ^{y}[6:0];")
    name, width = "odd" if is_odd else "even", 8 if has_all else 7
    rule = "; ".join(
        f"{p} is the {name} parity bit of {', '.join(f'{d}[{b}]' for b in bits)}" for p, bits in _COVERS.items()
    )
    whole = f" {y}[7] is the XOR of {y}[6:0]." if has_all else ""
    return Draft(
        ("hamming_enc", "hamming74", "ecc_encode", "hamming_encoder"),
        {"layout": layout, "odd": int(is_odd), "all": int(has_all)},
        [inp(d, 4), out(y, width)],
        continuous(*body),
        f"Hamming (7,4): {y}[6:0] = {{{order}}}, {rule}.{whole}",
        f"Encode the four bits of {d} as a Hamming (7,4) word. {rule}. {y}[6] down to {y}[0] are {order}.{whole}",
        f"Build a Hamming encoder for the 4-bit input {d}. Compute three check bits: {rule}. The output {y} holds, "
        f"from bit 6 to bit 0, {order}.{whole}",
    )


@family("codes")
def hamming_correct(rng: random.Random) -> Draft:
    """Hamming (7,4) decoder with single-error correction."""
    has_flag = rng.random() < 0.5
    is_odd = rng.random() < 0.3
    x = rng.choice(("code", "word", "c"))
    y = rng.choice(("data", "d", "nibble"))
    e = rng.choice(("fixed", "err", "corrected"))
    checks = [_xor(x, bits, is_odd) for bits in ((0, 2, 4, 6), (1, 2, 5, 6), (3, 4, 5, 6))]
    body = ["wire [2:0] s;", "wire [6:0] w;", *(f"assign s[{n}] = {c};" for n, c in enumerate(checks))]
    body += [f"assign w = (s == 3'd0) ? {x} : {x} ^ (7'd1 << (s - 3'd1));", f"assign {y} = {{w[6], w[5], w[4], w[2]}};"]
    body += [f"assign {e} = s != 3'd0;"] if has_flag else []
    name = "odd" if is_odd else "even"
    flag = f" {e} is 1 when a bit was corrected." if has_flag else ""
    groups = f"{x}[0],[2],[4],[6]; {x}[1],[2],[5],[6]; {x}[3],[4],[5],[6]"
    return Draft(
        ("hamming_dec", "hamming_correct", "ecc_decode", "hamming_decoder"),
        {"odd": int(is_odd), "flag": int(has_flag)},
        [inp(x, 7), out(y, 4), out(e) if has_flag else None],
        continuous(*body),
        f"Hamming (7,4) decoder, {name} parity in the groups {groups}; {y} = corrected bits 6, 5, 4, 2.{flag}",
        f"Correct a single wrong bit in the Hamming (7,4) word {x} and extract its data. Each group has {name} "
        f"parity: {groups}. Groups that fail give, first group as bit 0, the number (from 1) of the wrong bit, "
        f"{x}[0] being number 1. {y} is bits 6, 5, 4, 2 after correction.{flag}",
        f"{x} is a 7-bit word. Form a 3-bit syndrome: bit 0 is 1 if {x}[0], {x}[2], {x}[4], {x}[6] do not have "
        f"{name} parity, bit 1 likewise for {x}[1], {x}[2], {x}[5], {x}[6], bit 2 for {x}[3], {x}[4], {x}[5], "
        f"{x}[6]. If the syndrome n is not 0, invert {x}[n-1]. The output {y} is then bits 6, 5, 4 and 2 of the "
        f"word, in this order.{flag}",
    )


@family("codes")
def hamming_distance(rng: random.Random) -> Draft:
    """Number of differing bits, or whether it is at most a limit."""
    width, is_flag = rng.randint(2, 8), rng.random() < 0.5
    limit = rng.randint(1, width - 1)
    a, b = rng.choice((("a", "b"), ("x", "y"), ("p0", "p1")))
    y = rng.choice(("close", "near", "ok") if is_flag else ("distance", "n", "count"))
    size = width.bit_length()
    total = " + ".join(f"diff[{n}]" for n in range(width))
    body = [f"wire [{width - 1}:0] diff;", f"assign diff = {a} ^ {b};"]
    distance = f"Hamming distance of {a} and {b}"
    if is_flag:
        body += [f"wire [{size - 1}:0] n;", f"assign n = {total};", f"assign {y} = n <= {literal(limit, size)};"]
        short, what = f"({distance} <= {limit})", f"is 1 when they differ in at most {limit} bit(s)"
    else:
        body.append(f"assign {y} = {total};")
        short, what = distance, "is the number of positions at which they differ"
    return Draft(
        ("hamming_distance", "hdist", "bit_diff", f"distance{width}"),
        {"width": width, "limit": limit if is_flag else 0},
        [inp(a, width), inp(b, width), out(y, 1 if is_flag else size)],
        continuous(*body),
        f"{y} = {short}.",
        f"Compare the {width}-bit words {a} and {b} bit by bit; {y} {what}.",
        f"Look at each of the {width} positions of {a} and {b} and count those with different bits. The output {y} "
        + (f"is 1 if the count is {limit} or less, else 0." if is_flag else f"is the count, {size} bits."),
    )


@family("codes")
def word_checksum(rng: random.Random) -> Draft:
    """Sum or XOR of the fields of a word, plain or complemented."""
    field, count = rng.choice((3, 4, 4, 8)), rng.choice((2, 3, 4))
    kind, form = rng.choice(("sum", "xor")), rng.choice(("plain", "inverted", "negated"))
    if kind == "xor" and form == "negated":
        form = "plain"
    x, y = rng.choice(("data", "packet", "block", "words")), rng.choice(("sum", "check", "cks", *RESULTS[:2]))
    parts = [f"{x}[{field * (n + 1) - 1}:{field * n}]" for n in range(count)]
    total = (" + " if kind == "sum" else " ^ ").join(parts)
    expression = {"plain": total, "inverted": f"~({total})", "negated": f"-({total})"}[form]
    name = f"sum modulo {1 << field}" if kind == "sum" else "bitwise XOR"
    ending = {"plain": "", "inverted": " with all bits inverted", "negated": ", negated (two's complement)"}[form]
    return Draft(
        ("checksum", f"{kind}_check", "lrc" if kind == "xor" else "adder_check", f"checksum{field}"),
        {"field": field, "count": count, "kind": kind, "form": form},
        [inp(x, field * count), out(y, field)],
        [(y, expression)],
        f"{y} = {name} of the {count} {field}-bit fields of {x}{ending}.",
        f"Compute a checksum {y} over the {field * count}-bit word {x}: the {name} of its {count} fields of "
        f"{field} bits{ending}.",
        f"Split {x} into the fields {', '.join(parts)}. The {field}-bit output {y} is their {name}{ending}.",
    )


@family("codes")
def parity_2d(rng: random.Random) -> Draft:
    """Row and column parities of a small matrix packed in a word."""
    rows, columns, is_odd = rng.choice((2, 3, 4)), rng.choice((2, 3, 4)), rng.random() < 0.35
    x = rng.choice(("m", "data", "bits", "matrix"))
    r = rng.choice(("row", "row_par", "rp"))
    c = rng.choice(("col", "col_par", "cp"))
    invert = "~" if is_odd else ""
    row = [f"{invert}^{x}[{columns * (n + 1) - 1}:{columns * n}]" for n in reversed(range(rows))]
    column = [_xor(x, range(n, columns * rows, columns), is_odd) for n in reversed(range(columns))]
    name = "odd" if is_odd else "even"
    return Draft(
        ("parity2d", "matrix_parity", "cross_parity", "row_col_parity"),
        {"rows": rows, "columns": columns, "odd": int(is_odd)},
        [inp(x, rows * columns), out(r, rows), out(c, columns)],
        [(r, f"{{{', '.join(row)}}}"), (c, f"{{{', '.join(column)}}}")],
        f"{x} is a {rows}x{columns} matrix, row 0 in {x}[{columns - 1}:0]; {r} and {c} are its {name} row and "
        "column parity bits.",
        f"The word {x} packs {rows} rows of {columns} bits, row 0 lowest. {r}[i] is the {name} parity bit of row i "
        f"and {c}[j] that of column j, where column j consists of bit j of every row.",
        f"Element (i, j) of a matrix of {rows} rows and {columns} columns is {x}[{columns}*i + j]. For every row, "
        f"{r}[i] makes the number of ones in "
        f"the row and {r}[i] together {name}; for every column, {c}[j] does the same.",
    )
