"""Modules built of a module that is given: its text stands in the instruction, and again in the answer."""

import random
from dataclasses import replace

from itertl.synth.boolean import draw_table, sum_of_products
from itertl.synth.design import DesignSpec
from itertl.synth.families.combinational import Draft, continuous, inp, out
from itertl.synth.families.combinational import family as combinational_family
from itertl.synth.families.figures import wave
from itertl.synth.families.sequential import Sketch, family
from itertl.synth.families.wording import a_bits, join, number

_LETTERS = (("a", "b", "c", "e"), ("p", "q", "r", "s"), ("w", "x", "y", "z"))
_AGAIN = "Give the module's text in your answer, too, after your own"


def _link(names: list[str], nets: list[str], by_name: bool) -> str:
    if by_name:
        return ", ".join(f".{name}({net})" for name, net in zip(names, nets, strict=True))
    return ", ".join(nets)


@combinational_family("composition")
def compose_cells(rng: random.Random) -> Draft:
    """Three or four instances of a given cell of two inputs in a small net."""
    cell, (u, v), y = (
        rng.choice(("gate_cell", "unit", "mod_a")),
        rng.choice((("u", "v"), ("i0", "i1"), ("l", "r"))),
        "o",
    )
    while True:
        table = draw_table(rng, 2)
        nets = list(names := rng.choice(_LETTERS)[: rng.choice((3, 4))])
        net: list[tuple[str, str, str]] = []
        for n in range(rng.randint(3, 4)):
            left, right = rng.sample(nets, 2)
            net.append((f"n{n}", left, right))
            nets.append(f"n{n}")
        used = {name for _, left, right in net for name in (left, right)}
        if used >= set(nets[:-1]):
            values = _evaluated(table, names, net)
            if 2 < sum(values) < len(values) - 2:
                break
    f, by_name = rng.choice(("f", "out", "g")), rng.random() < 0.6
    ports = [y, u, v] if rng.random() < 0.5 else [u, v, y]
    text = f"module {cell} ({', '.join(('output ' if p == y else 'input ') + p for p in ports)});\n"
    text += f"  assign {y} = {sum_of_products(table, [u, v])};\nendmodule\n"
    last = len(net) - 1
    lines = [f"wire {', '.join(name for name, _, _ in net[:-1])};"]
    said: list[str] = []
    for n, (name, left, right) in enumerate(net):
        goal = f if n == last else name
        of = {u: left, v: right, y: goal}
        lines.append(f"{cell} u{n} ({_link(ports, [of[p] for p in ports], by_name)});")
        said.append(f"instance {n} has {u} = {left} and {v} = {right}, and its {y} is {goal}")
    listed = join(names)
    return Draft(
        ("net", "top_net", "cells"),
        {"table": "".join(map(str, table)), "inputs": len(names), "net": ";".join(f"{a}{b}" for _, a, b in net)},
        [*map(inp, names), out(f)],
        continuous(*lines),
        f"Connect {number(len(net))} instances of the module {cell} below: {'; '.join(said)}. Inputs {listed}. "
        f"{_AGAIN}.",
        f"You are given the module {cell} below. Build a circuit with inputs {listed} and output {f} of "
        f"{number(len(net))} instances of it: {'; '.join(said)}. {_AGAIN}.",
        f"The module {cell} is given below. Instantiate it {number(len(net))} times, with wires n0, n1 and so on "
        f"between: "
        f"{'; '.join(said)}. The inputs are {listed}, the output is {f}. {_AGAIN}.",
        figure=text.rstrip(),
        given=((cell, text),),
    )


def _evaluated(table: list[int | None], names: tuple[str, ...], net: list[tuple[str, str, str]]) -> list[int]:
    values: list[int] = []
    for row in range(1 << len(names)):
        known = {name: row >> k & 1 for k, name in enumerate(names)}
        for name, left, right in net:
            known[name] = int(table[known[left] << 1 | known[right]] or 0)
        values.append(known[net[-1][0]])
    return values


_SLICES = (  # name, what it is, carry's name, sum's name, carry out, sum
    ("full_add", "one bit of an adder", "c", "s", "({a} & {b}) | ({a} & {c}) | ({b} & {c})", "{a} ^ {b} ^ {c}"),
    ("full_sub", "one bit of a subtractor", "w", "d", "(~{a} & {b}) | (~({a} ^ {b}) & {c})", "{a} ^ {b} ^ {c}"),
    ("cmp_bit", "one bit of a comparison", "g", "e", "({a} & ~{b}) | (~({a} ^ {b}) & {c})", "~({a} ^ {b})"),
    ("mark_bit", "one bit of a parity scan", "t", "m", "{c} ^ ({a} & {b})", "{c} ^ {a}"),
    ("select_bit", "one bit of a priority scan", "k", "y", "{c} | ({a} & {b})", "({a} & {b}) & ~{c}"),
)  # fmt: skip


@combinational_family("composition")
def compose_slices(rng: random.Random) -> Draft:
    """A word's function as a chain of given one-bit slices."""
    (cell, what, c, s, carry, total), width = rng.choice(_SLICES), rng.randint(2, 8)
    first, by_name, order = rng.choice(("input", "0", "1")), rng.random() < 0.6, rng.choice(("up", "up", "down"))
    ci, co = f"{c}_in", f"{c}_out"
    ports = rng.choice(([("a"), "b", ci, co, s], ["a", "b", ci, s, co], [s, co, "a", "b", ci]))
    sides = {"a": "input", "b": "input", ci: "input", co: "output", s: "output"}
    of = {"a": "a", "b": "b", "c": ci}
    text = f"module {cell} ({', '.join(f'{sides[p]} {p}' for p in ports)});\n  assign {s} = {total.format(**of)};\n"
    text += f"  assign {co} = {carry.format(**of)};\nendmodule\n"
    x, y = rng.choice((("x", "y"), ("op1", "op2"), ("p", "q")))
    word, end = rng.choice(("res", "total", "z")), rng.choice(("last", "cout", "over"))
    start = "chain_in" if first == "input" else f"1'b{first}"
    places = list(range(width)) if order == "up" else list(reversed(range(width)))
    lines = [f"wire [{width}:0] k;", f"assign k[0] = {start};", f"assign {end} = k[{width}];"]
    for n, place in enumerate(places):
        nets = {"a": f"{x}[{place}]", "b": f"{y}[{place}]", ci: f"k[{n}]", co: f"k[{n + 1}]", s: f"{word}[{place}]"}
        lines.append(f"{cell} bit{place} ({_link(ports, [nets[p] for p in ports], by_name)});")
    way = "bit 0 to bit" if order == "up" else "the highest bit down to bit"
    way = f"from {way} {width - 1 if order == 'up' else 0}"
    begin = "comes from the input chain_in" if first == "input" else f"is {first}"
    return Draft(
        ("chain", "sliced", "ripple"),
        {"slice": cell, "width": width, "first": first, "order": order},
        [inp(x, width), inp(y, width), *([inp("chain_in")] if first == "input" else []), out(word, width), out(end)],
        continuous(*lines),
        f"Chain {width} of the module {cell} below {way}: a and b from {x} and {y}, {s} to {word}, the first {ci} "
        f"{begin}, "
        f"the last {co} is {end}. {_AGAIN}.",
        f"The module {cell} below is {what}. Instantiate it once for each of {width} bits and chain {co} to the next "
        f"{ci}, "
        f"{way}. Each takes its bits of {x} and {y} as a and b and drives its bit of {word} with {s}. The first {ci} "
        f"{begin}; "
        f"{end} is the last {co}. {_AGAIN}.",
        f"Build {a_bits(width)} circuit out of the given module {cell}, {what}. Bit i of {x} and {y} goes to the "
        f"inputs "
        f"a and b "
        f"of instance i, whose {s} is bit i of {word}. The chain runs {way}: {co} of one is {ci} of the next. At its "
        f"start "
        f"{ci} {begin}, at its end {co} is the output {end}. {_AGAIN}.",
        figure=text.rstrip(),
        given=((cell, text),),
    )


@family("composition", resets=("sync-high", "async-high", "sync-low", "async-low"), reset_one_in=48)
def compose_stages(s: Sketch, rng: random.Random) -> DesignSpec:
    """A chain of given registers, with logic at its entrance."""
    assert s.reset is not None
    width, count = rng.choice((1, 4, 8)), rng.randint(2, 5)
    sort = rng.choice(("taps", "xor", "select"))
    cell = s.internal("stage", "reg_cell", "my_dff")
    d = s.input("d", "din", "x", width=width)
    taps = max(1, (count - 1).bit_length())
    sel = s.input("sel", "tap", "k", width=taps) if sort == "select" else ""
    q = s.output("q", "dout", "y", width=width, reg=False)
    r = "" if width == 1 else f"[{width - 1}:0] "
    clock, reset, wire = s.clock, s.reset.name, s.internal("t", "st", "n")
    trigger = f"{s.edge} clk" + (
        f" or {'negedge' if s.reset.active_low else 'posedge'} clear" if s.reset.asynchronous else ""
    )
    text = f"module {cell} (input clk, input clear, input {r}in, output reg {r}out);\n  always @({trigger})\n"
    text += f"    if ({'!' if s.reset.active_low else ''}clear)\n      out <= {width}'d0;\n"
    text += "    else\n      out <= in;\nendmodule\n"
    lines = [f"wire {r}{', '.join(f'{wire}{n}' for n in range(1, count + 1))};"]
    entry = {"taps": d, "select": d, "xor": f"{d} ^ {wire}{count}"}[sort]
    for n in range(count):
        source = entry if n == 0 else f"{wire}{n}"
        lines.append(f"{cell} s{n} (.clk({clock}), .clear({reset}), .in({source}), .out({wire}{n + 1}));")
    if sort == "select":
        last = f"{wire}{count}"
        cases = "".join(f"({sel} == {s.const(taps, n)}) ? {wire}{n + 1} : " for n in range(count - 1))
        lines.append(f"assign {q} = {cases}{last};")
        what = f"{q} is the output of register {sel} of the chain, counted from 0"
        what += ", and of the last where there is no such register" if count < 1 << taps else ""
    elif sort == "xor":
        lines.append(f"assign {q} = {wire}{count};")
        what = f"the first takes {d} XOR the last one's output, and {q} is the last one's output"
    else:
        lines.append(f"assign {q} = {wire}1 ^ {wire}{count};")
        what = f"{q} is the XOR of the outputs of the first and the last"
    if sort != "xor":
        what = f"the first takes {d}, and {what}"
    design = s.finish(
        ("chained", "delay_net", "stages"),
        {"width": width, "count": count, "sort": sort},
        lines,
        f"Chain {number(count)} instances of the register module {cell} below: {what}. {_AGAIN}.",
        f"Use the module {cell} below {number(count)} times, connected in a chain, each taking the output of the one "
        f"before; "
        f"{what}. {_AGAIN}.",
        f"You have the register module {cell}, whose text is below. Instantiate {number(count)} of it with {clock} "
        f"and {reset} "
        f"and connect them one after another: {what}. {_AGAIN}.",
        {"all registers": "0"},
    )
    return replace(design, figure=text.rstrip(), given=((cell, text),))


_OPS = {"AND": "&", "OR": "|", "XOR": "^"}


@combinational_family("composition")
def compose_recordings(rng: random.Random) -> Draft:
    """Two parts, one known by an expression and one by a recording, joined by gates; nothing is given as text."""
    x, y = rng.choice((("x", "y"), ("a", "b"), ("u", "v")))
    while True:
        first, second = draw_table(rng, 2), draw_table(rng, 2)
        one, two, three = (rng.choice(list(_OPS)) for _ in range(3))
        values = [
            _gate(three, _gate(one, a, b), _gate(two, b, n >> 1))
            for n, (a, b) in ((n, (first[n] or 0, second[n] or 0)) for n in range(4))
        ]
        if first != second and len(set(values)) == 2:
            break
    z = rng.choice(("z", "f", "out"))
    p, q = sum_of_products(first, [x, y]), sum_of_products(second, [x, y])
    rows = [[str(n >> 1), str(n & 1), str(second[n])] for n in rng.sample(range(4), 4) + rng.sample(range(4), 2)]
    lines = [
        "wire m1, m2;", f"assign m1 = {p};", f"assign m2 = {q};",
        f"assign {z} = (m1 {_OPS[one]} m2) {_OPS[three]} (m2 {_OPS[two]} {x});",
    ]  # fmt: skip
    net = (
        f"an {one} gate takes the outputs of part M and part N, an {two} gate that of part N and the input {x}; their "
        f"outputs go to an {three} gate, which drives {z}"
    )
    return Draft(
        ("joined", "two_parts", "parts"),
        {"first": "".join(map(str, first)), "second": "".join(map(str, second)), "gates": f"{one}-{two}-{three}"},
        [inp(x), inp(y), out(z)],
        continuous(*lines),
        f"Part M is {p} of {x} and {y}; part N is given by the recording below. {net[0].upper()}{net[1:]}.",
        f"Part M computes {p}. Part N, with the same inputs {x} and {y} and output n, behaves as the recording below. "
        f"In the "
        f"whole circuit {net}. Implement the whole.",
        f"Two parts share the inputs {x} and {y}. M has the function {p}. N is known only by the recording below, "
        f"which shows "
        f"every input and its output n. To build: {net}. Write the circuit as one module; how you divide it is up to "
        f"you.",
        figure=wave(rng, [x, y, "n"], rows),
    )


def _gate(name: str, a: int, b: int) -> int:
    return {"AND": a & b, "OR": a | b, "XOR": a ^ b}[name]
