"""State machines drawn at random, and their diagrams and tables as text; what the families of diagrams share."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from itertl.synth.boolean import Table, sum_of_products
from itertl.synth.families.figures import grid

_NAMES = ("ABCDEFGH", "PQRSTUVW", ("S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7"))
_STORIES = (("IDLE", "RUN", "WAIT", "DONE"), ("OFF", "WARM", "ON", "COOL"), ("REST", "LOAD", "SHIFT", "STORE"))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of one input bit. State 0 is where it starts; ``outs`` has the outputs for input 0 and 1 as numbers."""

    names: tuple[str, ...]
    nexts: tuple[tuple[int, int], ...]
    outs: tuple[tuple[int, int], ...]
    width: int  # bits of the output
    is_moore: bool

    @property
    def key(self) -> str:
        """Decides the function: no names in it."""
        rows = (f"{a}{b}{p}{q}" for (a, b), (p, q) in zip(self.nexts, self.outs, strict=True))
        return ("moore " if self.is_moore else "mealy ") + ";".join(rows)

    def bits(self, value: int) -> str:
        """Digits of an output value."""
        return f"{value:0{self.width}b}"


def draw_machine(rng: random.Random, count: int, width: int, is_moore: bool) -> Machine:
    """A machine whose states can all be reached and told apart by the answers that follow."""
    pool = rng.choice(_NAMES) if count > 4 or rng.random() < 0.7 else rng.choice(_STORIES)
    while True:
        nexts = tuple((rng.randrange(count), rng.randrange(count)) for _ in range(count))
        outs = tuple(
            (v := rng.randrange(1 << width), v if is_moore else rng.randrange(1 << width)) for _ in range(count)
        )
        varies = all(len({o >> bit & 1 for pair in outs for o in pair}) == 2 for bit in range(width))
        if varies and _reached(nexts) == count and _classes(nexts, outs) == count:
            return Machine(tuple(pool[:count]), nexts, outs, width, is_moore)


def _reached(nexts: Sequence[tuple[int, int]]) -> int:
    seen, todo = {0}, [0]
    while todo:
        new = set(nexts[todo.pop()]) - seen
        seen |= new
        todo += new
    return len(seen)


def _classes(nexts: Sequence[tuple[int, int]], outs: Sequence[tuple[int, int]]) -> int:
    """How many states behave differently (Moore's partition refinement)."""
    label: list[object] = list(outs)
    for _ in outs:
        seen: dict[object, int] = {}
        label = [seen.setdefault((label[n], label[a], label[b]), len(seen)) for n, (a, b) in enumerate(nexts)]
    return len(set(label))


def diagram(rng: random.Random, machine: Machine, x: str, zs: Sequence[str]) -> tuple[str, str]:
    """Arrows, one a line, and a sentence on how to read them."""
    names, style = machine.names, rng.randrange(3)
    label = zs[0] if len(zs) == 1 else f"({', '.join(zs)})"

    def out(value: int) -> str:
        return ", ".join(machine.bits(value))

    def named(value: int) -> str:
        return ", ".join(f"{z}={bit}" for z, bit in zip(zs, machine.bits(value), strict=True))

    lines: list[str] = []
    for state, (targets, outs) in enumerate(zip(machine.nexts, machine.outs, strict=True)):
        for bit, target in enumerate(targets):
            source, goal = names[state], names[target]
            if machine.is_moore:
                lines.append(
                    (
                        f"{source} ({named(outs[0])}) --{x}={bit}--> {names[target]}",
                        f"{source} ({out(outs[0])}) --{bit}--> {goal}",
                        f"{source} [{named(outs[0])}] -- {bit} -> {goal}",
                    )[style]
                )
            else:
                lines.append(
                    (
                        f"{source} --{x}={bit} ({named(outs[bit])})--> {goal}",
                        f"{source} --{bit}/{machine.bits(outs[bit])}--> {goal}",
                        f"{source} -- {bit} ({named(outs[bit])}) -> {goal}",
                    )[style]
                )
    if rng.random() < 0.25:
        rng.shuffle(lines)
    where = f"the output {label} stands in brackets behind its state"
    if not machine.is_moore:
        where = f"the output {label} stands with the arrow" + (", behind a slash" if style == 1 else "")
    return "\n".join(lines), f"An arrow is taken for the value of {x} on it; {where}"


def table(rng: random.Random, machine: Machine, x: str, zs: Sequence[str], codes: Sequence[str] = ()) -> str:
    """Present state, next state and output, states by name or by code."""
    shown = list(codes or machine.names)
    label = zs[0] if len(zs) == 1 else ", ".join(zs)
    rows: list[list[str]] = []
    if machine.is_moore:
        style = rng.randrange(2)
        heads = ["State", f"Next state {x}=0", f"Next state {x}=1", f"Output {label}"]
        if style:
            heads = ["Present state", f"Next state ({x}=0, {x}=1)", label]
        for state, (targets, outs) in enumerate(zip(machine.nexts, machine.outs, strict=True)):
            goals = [shown[target] for target in targets]
            value = ", ".join(machine.bits(outs[0]))
            rows.append([shown[state], *([", ".join(goals)] if style else goals), value])
        return grid(rng, heads, rows)
    heads = ["State", f"{x}=0: next, {label}", f"{x}=1: next, {label}"]
    for state, (targets, outs) in enumerate(zip(machine.nexts, machine.outs, strict=True)):
        cells = [f"{shown[t]}, {', '.join(machine.bits(o))}" for t, o in zip(targets, outs, strict=True)]
        rows.append([shown[state], *cells])
    return grid(rng, heads, rows)


def case_lines(machine: Machine, codes: Sequence[str], state: str, goal: str, x: str, sign: str = "=") -> list[str]:
    """A case statement that gives ``goal`` the next state; codes of no state go to state 0."""
    lines = [f"case ({state})"]
    for (zero, one), code in zip(machine.nexts, codes, strict=True):
        value = codes[one] if zero == one else f"{x} ? {codes[one]} : {codes[zero]}"
        lines.append(f"  {code}: {goal} {sign} {value};")
    return [*lines, f"  default: {goal} {sign} {codes[0]};", "endcase"]


def output_expression(machine: Machine, bit: int, codes: Sequence[str], state: str, x: str) -> str:
    """``(state == B) || (state == C) && x``: the output's ``bit``, 0 the last."""
    tests: list[str] = []
    for (zero, one), code in zip(machine.outs, codes, strict=True):
        low, high = zero >> bit & 1, one >> bit & 1
        if low or high:
            tests.append(f"({state} == {code})" + ("" if low == high else f" && {x}" if high else f" && !{x}"))
    return " || ".join(f"({test})" if "&&" in test and len(tests) > 1 else test for test in tests)


def incoming(machine: Machine, target: int, wires: Sequence[str], x: str) -> str:
    """The one-hot equation of a next state: an OR over the arrows that lead to it; ``1'b0`` where none does."""
    terms: list[str] = []
    for (zero, one), wire in zip(machine.nexts, wires, strict=True):
        if zero == one == target:
            terms.append(wire)
        elif target in (zero, one):
            terms.append(f"({wire} & {x if one == target else f'~{x}'})")
    return " | ".join(terms) or "1'b0"


def onehot_output(machine: Machine, bit: int, wires: Sequence[str], x: str) -> str:
    """An output by inspection of one-hot states."""
    terms: list[str] = []
    for (zero, one), wire in zip(machine.outs, wires, strict=True):
        low, high = zero >> bit & 1, one >> bit & 1
        if low or high:
            terms.append(wire if low == high else f"({wire} & {x if high else f'~{x}'})")
    return " | ".join(terms)


def bit_logic(machine: Machine, codes: Sequence[int], width: int, bit: int, names: Sequence[str]) -> tuple[Table, str]:
    """A bit of the next state as a table over code and input, codes of no state not mattering, and its expression."""
    found: list[int | None] = [None] * (2 << width)
    for state, targets in enumerate(machine.nexts):
        for value, target in enumerate(targets):
            found[codes[state] << 1 | value] = codes[target] >> bit & 1
    return found, sum_of_products(found, names)
