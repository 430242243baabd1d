"""Bits of vectors taken apart, compared, joined and wired; circuits told gate by gate."""

import random

from itertl.synth.families.combinational import Body, Draft, continuous, family, inp, out, procedural
from itertl.synth.families.wording import RESULTS, VECTORS, bits, join

_PAIR_OPS = {"&": "AND", "|": "OR", "^": "XOR", "~^": "XNOR"}


@family("vectors")
def neighbour_logic(rng: random.Random) -> Draft:
    """Each bit with one some places away, round the end or not."""
    width, gap, op = rng.choice((4, 6, 8, 12, 16, 32)), rng.choice((1, 1, 2, 3)), rng.choice(list(_PAIR_OPS))
    ends, side = rng.choice(("wrap", "0", "1", "short")), rng.choice(("left", "right"))
    x, y = rng.choice(VECTORS), rng.choice(RESULTS)
    top, wide = width - 1, width - gap if ends == "short" else width
    high, low = f"{x}[{top}:{gap}]", f"{x}[{top - gap}:0]"
    fill = (
        f"{gap}'b{ends * gap}"
        if ends in "01"
        else f"{x}[{gap - 1}:0]"
        if side == "left"
        else f"{x}[{top}:{top - gap + 1}]"
    )
    moved = f"{{{fill}, {high}}}" if side == "left" else f"{{{low}, {fill}}}"
    text = f"{high} {op} {low}" if ends == "short" else f"{x} {op} {moved}"
    sign = "+" if side == "left" else "-"
    if ends == "short":
        rule = f"{y}[i] is {x}[i] {_PAIR_OPS[op]} {x}[i+{gap}], for i from 0 to {wide - 1}"
    else:
        over = f"taken round the end ({x} is a ring)" if ends == "wrap" else f"taken as {ends}"
        rule = f"{y}[i] is {x}[i] {_PAIR_OPS[op]} {x}[i{sign}{gap}]; where there is no bit i{sign}{gap} it is {over}"
    return Draft(
        ("neighbours", "bit_pairs", "adjacent"),
        {"width": width, "gap": gap, "op": op, "ends": ends, "side": "" if ends == "short" else side},
        [inp(x, width), out(y, wide)],
        [(y, text)],
        f"{rule}.",
        f"For the {width}-bit vector {x} compute the {wide}-bit vector {y}: {rule}.",
        f"Each bit of {x} ({bits(width)}) is to be combined with the one {gap} to the "
        f"{side if ends != 'short' else 'left'}. "
        f"That is, {rule}. {y} has {bits(wide)}.",
    )


@family("vectors")
def pairwise_compare(rng: random.Random) -> Draft:
    """All pairs of a few bits."""
    count, same, sort = rng.randint(3, 4), rng.random() < 0.6, rng.choice(("all", "others"))
    names = list(rng.choice((("a", "b", "c", "e"), ("p", "q", "r", "s"), ("k", "l", "m", "n")))[:count])
    if rng.random() < 0.3:
        names.reverse()
    pairs = [(u, v) for i, u in enumerate(names) for j, v in enumerate(names) if sort == "all" or i < j]
    y, width = rng.choice([name for name in RESULTS if name not in names]), len(pairs)
    op, word = ("~^", "equal") if same else ("^", "different")
    text = "{" + ", ".join(f"{u} {op} {v}" for u, v in pairs) + "}"
    listing = ", ".join(u + v for u, v in pairs)
    each = (
        "every ordered pair, of a bit with itself too" if sort == "all" else "every pair of two different inputs, once"
    )
    return Draft(
        ("pairs", "compare_all", "pair_compare"),
        {"count": count, "same": int(same), "sort": sort, "order": int(names != sorted(names))},
        [*map(inp, names), out(y, width)],
        [(y, text)],
        f"{y}[{width - 1}:0], from its highest bit: 1 where the two are {word}, for the pairs {listing} of "
        f"{join(names)}.",
        f"Compare {join(names)} in {each}. A bit of {y} is 1 if the two are {word}; from {y}[{width - 1}] down to "
        f"{y}[0] the "
        f"pairs are {listing}.",
        f"The one-bit inputs {join(names)} are compared, {each}. Bit {width - 1} of {y}, the highest, is 1 when "
        f"{pairs[0][0]} "
        f"and {pairs[0][1]} are {word}; the others follow downwards in the order {listing}.",
    )


@family("vectors")
def concat_split(rng: random.Random) -> Draft:
    """Vectors joined and cut at other places, padded at one end."""
    count, width = rng.randint(2, 5), rng.randint(3, 7)
    outs, size = 0, 0
    while not (2 <= outs <= 5 and 0 <= outs * size - count * width <= 3):
        size = rng.randint(3, 12)
        outs = -(-count * width // size)
    pad, fill, at = outs * size - count * width, rng.choice("01"), rng.choice(("low", "high"))
    xs = ("a", "b", "c", "d", "e", "f")[:count]
    ys = [f"{prefix}{n}" for prefix in [rng.choice(("o", "w", "y"))] for n in range(outs)]
    parts = [f"{pad}'b{fill * pad}"] if pad else []
    joined = [*xs, *parts] if at == "low" else [*parts, *xs]
    text = f"{{{', '.join(joined)}}}"
    end = f", with {bits(pad)} of {fill} {'after' if at == 'low' else 'before'} them" if pad else ""
    return Draft(
        ("repack", "recut", "split_join"),
        {"count": count, "width": width, "size": size, "pad": f"{fill}{at}" if pad else ""},
        [*(inp(n, width) for n in xs), *(out(n, size) for n in ys)],
        [(f"{{{', '.join(ys)}}}", text)],
        f"Concatenate {join(xs)} ({width} bits each){end}, and cut the result into {join(ys)} ({size} bits each), "
        f"from the left.",
        f"The {width}-bit inputs {join(xs)} stand side by side, {xs[0]} leftmost{end}. Cut this word of {outs * size} "
        f"bits into "
        f"{size}-bit outputs: {ys[0]} is the leftmost piece, then {join(ys[1:])}.",
        f"Join the vectors {join(xs)}, {bits(width)} each, to one word with {xs[0]} at the most significant end{end}. "
        f"Then "
        f"give out its {size}-bit pieces, the most significant in {ys[0]}, the next in {join(ys[1:])}.",
    )


@family("vectors")
def wiring(rng: random.Random) -> Draft:
    """Connections from inputs to outputs, some inverted, no logic else."""
    ins = list(rng.choice((("a", "b", "c", "d"), ("i0", "i1", "i2", "i3"), ("r", "s", "t", "u")))[: rng.randint(2, 4)])
    outs = list(rng.choice((("w", "x", "y", "z", "v"), ("o0", "o1", "o2", "o3", "o4")))[: rng.randint(3, 5)])
    sources = [(rng.choice(ins), rng.random() < 0.25) for _ in outs]
    for place, name in zip(rng.sample(range(len(outs)), min(len(ins), len(outs))), ins, strict=False):
        sources[place] = (name, sources[place][1])
    if sources == sorted(sources) and not any(no for _, no in sources):  # straight through
        sources[0] = (sources[0][0], True)
    arrows = ", ".join(f"{n} -> {y}" + (" (inverted)" if no else "") for y, (n, no) in zip(outs, sources, strict=True))
    prose = join(f"{y} to {'the inverse of ' if no else ''}{n}" for y, (n, no) in zip(outs, sources, strict=True))
    unused = [n for n in ins if n not in {s for s, _ in sources}]
    more = f" {join(unused)} {'is' if len(unused) == 1 else 'are'} not used." if unused else ""
    return Draft(
        ("wires", "patch", "crossbar"),
        {"sources": ",".join(("~" if no else "") + str(ins.index(n)) for n, no in sources), "inputs": len(ins)},
        [*map(inp, ins), *map(out, outs)],
        [(y, ("~" if no else "") + n) for y, (n, no) in zip(outs, sources, strict=True)],
        f"Wires from {join(ins)}: {arrows}.{more}",
        f"Connect the inputs {join(ins)} to the outputs {join(outs)} as follows: {arrows}.{more}",
        f"There is no logic but inverters here: connect each output to one input. Connect {prose}. The inputs are "
        f"{join(ins)}.{more}",
    )


_GATES = {
    "AND": ("&", False), "OR": ("|", False), "XOR": ("^", False),
    "NAND": ("&", True), "NOR": ("|", True), "XNOR": ("^", True),
}  # fmt: skip


@family("vectors")
def described_circuit(rng: random.Random) -> Draft:
    """Three to five gates and how they are connected, in prose."""
    names = list(
        rng.choice((("a", "b", "c", "d"), ("in1", "in2", "in3", "in4"), ("p", "q", "r", "s")))[: rng.randint(3, 4)]
    )
    f, count = rng.choice(("f", "out", "y")), rng.randint(3, 5)
    while True:
        nets, gates = list(names), list[tuple[str, str, str, str, bool]]()
        for n in range(count):
            left, right = rng.sample(nets, 2)
            bubble = rng.random() < 0.25
            gates.append((f"g{n + 1}", rng.choice(list(_GATES)), left, right, bubble))
            nets.append(f"g{n + 1}")
        used = {net for _, _, left, right, _ in gates for net in (left, right)}
        if used >= set(nets[:-1]) and len(set(_simulated(gates, names))) == 2:
            break
    lines = [f"wire {', '.join(g[0] for g in gates[:-1])};"]
    said: list[str] = []
    for n, (goal, kind, left, right, bubble) in enumerate(gates):
        sign, inverted = _GATES[kind]
        inner = f"{left} {sign} {'~' if bubble else ''}{right}"
        lines.append(f"assign {f if n == count - 1 else goal} = {f'~({inner})' if inverted else inner};")
        of = f"{left} and {'the inverse of ' if bubble else ''}{right}"
        said.append(f"gate {goal} is an {kind} of {of}" if kind[0] in "AOX" else f"gate {goal} is a {kind} of {of}")
    listed = join(names)
    return Draft(
        ("gate_net", "schematic", "logic_net"),
        {"inputs": len(names), "gates": ";".join(f"{k} {a} {'~' if no else ''}{b}" for _, k, a, b, no in gates)},
        [*map(inp, names), out(f)],
        continuous(*lines) if rng.random() < 0.7 else _procedural(lines, gates),
        f"Gates on {listed}: {'; '.join(said)}. {f} is gate g{count}.",
        f"Implement this circuit with inputs {listed}: {'; '.join(said)}. The output {f} is that of gate g{count}.",
        f"A schematic has {count} two-input gates. {'. '.join(text[0].upper() + text[1:] for text in said)}. The "
        f"output of "
        f"g{count} is connected to {f}; the inputs are {listed}. Write the circuit, with wires between the gates as "
        f"needed.",
    )


def _procedural(lines: list[str], gates: list[tuple[str, str, str, str, bool]]) -> Body:
    inner = [line.replace("assign ", "") for line in lines[1:]]
    return procedural(
        f"reg {', '.join(g[0] for g in gates[:-1])};", "always @(*) begin", *("  " + x for x in inner), "end"
    )


def _simulated(gates: list[tuple[str, str, str, str, bool]], names: list[str]) -> list[int]:
    values: list[int] = []
    for row in range(1 << len(names)):
        known = {name: row >> k & 1 for k, name in enumerate(names)}
        for goal, kind, left, right, bubble in gates:
            sign, inverted = _GATES[kind]
            a, b = known[left], known[right] ^ bubble
            known[goal] = {"&": a & b, "|": a | b, "^": a ^ b}[sign] ^ inverted
        values.append(known[gates[-1][0]])
    return values
