"""Registers joined by gates, told part by part, and a register for both edges of a clock."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import product

from itertl.synth.design import DesignSpec
from itertl.synth.families.sequential import Sketch, family
from itertl.synth.families.wording import bits, join

_GATES = {"&": int.__and__, "|": int.__or__, "^": int.__xor__}
_Net = Sequence[tuple[str, int, bool]]  # a flip-flop: the sign of its gate, which flip-flop it takes, whether inverted


def _after(net: _Net, state: tuple[int, ...], x: int) -> tuple[int, ...]:
    return tuple(_GATES[sign](x, state[other] ^ no) for sign, other, no in net)


def _joint(net: _Net, twin: _Net) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of states that two nets can be in at the same time."""
    start = ((0,) * len(net), (0,) * len(twin))
    seen, todo = {start}, [start]
    while todo:
        one, two = todo.pop()
        new = {(_after(net, one, x), _after(twin, two, x)) for x in (0, 1)} - seen
        seen |= new
        todo += new
    return seen


def _is_telling(net: _Net, last: str) -> bool:
    """Whether all flip-flops and the output change, again and again, and each gate is seen at the output."""

    def out(state: tuple[int, ...]) -> int:
        return reduce(_GATES[last], state)

    if all(other == n for n, (_, other, _) in enumerate(net)):  # so that they are joined, not side by side
        return False
    states = {one for one, _ in _joint(net, net)}
    if any(len({state[n] for state in states}) == 1 for n in range(len(net))):
        return False
    if any(len({out(_run(net, state, word)) for word in product((0, 1), repeat=4)}) == 1 for state in states):
        return False
    for n, (sign, other, no) in enumerate(net):
        for changed in [(s, other, no) for s in _GATES if s != sign] + [(sign, other, not no)]:
            twin = [*net[:n], changed, *net[n + 1 :]]
            if all(out(one) == out(two) for one, two in _joint(net, twin)):
                return False
    return all(len({reduce(_GATES[s], state) == out(state) for state in states}) == 2 for s in _GATES if s != last)


def _run(net: _Net, state: tuple[int, ...], word: Sequence[int]) -> tuple[int, ...]:
    return reduce(lambda now, x: _after(net, now, x), word, state)


@family("automata", resets=("none", "sync-high", "async-high", "sync-low"), reset_one_in=64)
def described_registers(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two or three flip-flops, each behind a gate, joined by another: a schematic in words."""
    count = rng.choice((2, 2, 3))
    x, z = s.input("x", "in_bit", "w"), s.output("z", "f", "y", reg=False)
    qs = [s.internal(f"q{n}", f"ff{n}") for n in range(count)]
    gates = {"AND": "&", "OR": "|", "XOR": "^"}
    while True:
        kinds = [rng.choice(list(gates)) for _ in qs]
        others = [rng.choice([*qs]) for _ in qs]
        bubbles = [rng.random() < 0.4 for _ in qs]
        last, inverted = rng.choice(list(gates)), rng.random() < 0.5
        wired = [(gates[kind], qs.index(other), no) for kind, other, no in zip(kinds, others, bubbles, strict=True)]
        if _is_telling(wired, gates[last]):
            break
    steps = "\n".join(
        f"{q} <= {x} {gates[kind]} {'~' if no else ''}{other};"
        for q, kind, other, no in zip(qs, kinds, others, bubbles, strict=True)
    )
    joined = f" {gates[last]} ".join(qs)
    said = [
        f"flip-flop {q} takes {x} {kind} {'the inverse of ' if no else ''}{other}"
        for q, kind, other, no in zip(qs, kinds, others, bubbles, strict=True)
    ]
    out = f"{z} is the {'inverse of the ' if inverted else ''}{last} of {join(qs)}"
    return s.finish(
        ("ff_net", "register_net", "two_gates"),
        {
            "gates": ";".join(
                f"{k}{'~' if no else ''}{qs.index(o)}" for k, o, no in zip(kinds, others, bubbles, strict=True)
            ),
            "last": f"{'~' if inverted else ''}{last}",
        },
        [
            f"reg {', '.join(qs)};",
            s.clocked(dict.fromkeys(qs, "1'b0"), steps),
            f"assign {z} = {f'~({joined})' if inverted else joined};",
        ],
        f"At each edge: {'; '.join(said)}. {out}, combinationally; {x} is the input.",
        f"Build this circuit of {count} D flip-flops: {'; '.join(said)}, each with its value before the edge. Without "
        f"a clock, "
        f"{out}.",
        f"The input {x} goes to {count} gates, and the output of each to the D input of a flip-flop: "
        f"{'; '.join(said)}. All flip-"
        f"flops change at the same edge. The output needs no further register: {out}.",
        {"all flip-flops": "0"},
    )


@family("automata", resets=("none",))
def both_edges(s: Sketch, rng: random.Random) -> DesignSpec:
    """Registers on both edges of a clock, joined by XOR: a register that works at twice the clock."""
    width, sort = rng.choice((1, 2, 3, 4, 6, 8, 12, 16)), rng.choice(("invert", "mask", "flip"))
    d, q = s.input("d", "din", "x", width=width), s.output("q", "y", "both", width=width, reg=False)
    mask = s.input("mask", "m", "pattern", width=width) if sort != "invert" else ""
    a, b = s.internal("up", "rise_q", "p"), s.internal("down", "fall_q", "n")
    r = "" if width == 1 else f"[{width - 1}:0] "
    zero = s.const(width, 0)
    value = {"invert": f"~{d}", "mask": f"{d} & ~{mask}", "flip": f"{d} ^ {mask}"}[sort]
    said = {"invert": f"the inverse of {d}", "mask": f"{d} AND NOT {mask}", "flip": f"{d} XOR {mask}"}[sort]
    other = "negedge" if s.edge == "posedge" else "posedge"
    words = (
        f"{q} ({bits(width)}) takes {said} at both edges of {s.clock}, rising and falling, and is 0 at first. A block "
        f"may "
        f"wait for one edge only; there is no reset.",
        f"Write a register {q} ({bits(width)}) that takes {said} at the rising and at the falling edge of {s.clock}. "
        f"No "
        f"single always block may be triggered by both edges; combine registers of the two edges. There is no reset: "
        f"at "
        f"power-up {q} is 0.",
        f"Flip-flops for both clock edges do not exist here, so build one from two: {q} ({bits(width)}) shall take "
        f"{said} "
        f"at every edge of {s.clock}, both rising and falling. Use a register for each edge and exclusive ORs, with "
        f"initial values, so that {q} is 0 at time zero.",
    )
    design = s.finish(
        ("both_edges", "double_rate", "ddr_register"),
        {"width": width, "sort": sort},
        [
            f"reg {r}{a} = {zero};\nreg {r}{b} = {zero};",
            f"always @({s.edge} {s.clock})\n  {a} <= ({value}) ^ {b};",
            f"always @({other} {s.clock})\n  {b} <= ({value}) ^ {a};",
            f"assign {q} = {a} ^ {b};",
        ],
        *words,
        {q: "0"},
    )
    return replace(design, descriptions=words, edge="both")  # without the sentence that names one edge
