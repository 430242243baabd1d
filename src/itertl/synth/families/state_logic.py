"""The combinational part of a state machine alone: next state and output from given codes, binary or one-hot."""

import random
from collections.abc import Sequence

from itertl.synth.families.combinational import Draft, continuous, family, inp, literal, out, procedural, statement
from itertl.synth.families.machines import (
    Machine,
    bit_logic,
    diagram,
    draw_machine,
    incoming,
    onehot_output,
    table,
)
from itertl.synth.families.wording import join

_INPUTS, _STATES, _NEXTS = (
    ("x", "in", "w"),
    ("state", "present", "y"),
    {"y": "Y", "state": "next_state", "present": "next"},
)
_MODULES = ("next_state_logic", "fsm_logic", "transition")


def _figure(rng: random.Random, machine: Machine, x: str, z: str) -> tuple[str, str]:
    """A diagram with how to read it, or a table."""
    if rng.random() < 0.5:
        figure, read = diagram(rng, machine, x, [z])
        return figure, f"the diagram below. {read}"
    return table(rng, machine, x, [z]), "the table below"


def _listed(machine: Machine, codes: Sequence[str]) -> str:
    return ", ".join(f"{name} = {code}" for name, code in zip(machine.names, codes, strict=True))


@family("diagrams")
def next_state_logic(rng: random.Random) -> Draft:
    """Next state and output by binary codes; codes of no state do not matter."""
    count = rng.randint(3, 6)
    machine, x, state = draw_machine(rng, count, 1, True), rng.choice(_INPUTS), rng.choice(_STATES)
    width, goal, z = (count - 1).bit_length(), _NEXTS[state], rng.choice(("z", "out"))
    values = list(range(count)) if rng.random() < 0.7 else rng.sample(range(1 << width), count)
    codes = [f"{width}'b{value:0{width}b}" for value in values]
    figure, read = _figure(rng, machine, x, z)
    lines = [f"case ({state})"]
    for (zero, one), (value, _), code in zip(machine.nexts, machine.outs, codes, strict=True):
        target = codes[one] if zero == one else f"{x} ? {codes[one]} : {codes[zero]}"
        lines.append(f"  {code}: begin {goal} = {target}; {z} = 1'b{value}; end")
    unknown = f"begin {goal} = {width}'b{'x' * width}; {z} = 1'bx; end"
    lines += [
        f"  default: {unknown}" if count < 1 << width else f"  default: begin {goal} = {codes[0]}; {z} = 1'b0; end",
        "endcase",
    ]
    others = "" if count == 1 << width else " Other codes never occur: what comes of them does not matter."
    listed = _listed(machine, codes)
    return Draft(
        _MODULES,
        {"machine": machine.key, "codes": "-".join(map(str, values))},
        [inp(state, width), inp(x), out(goal, width), out(z)],
        statement(lines),
        f"Combinational part of a Moore machine, codes {listed}: {goal} and {z} from {state} and {x}, by "
        f"{read}.{others}",
        f"With the state codes {listed}, write only the logic that makes the next state {goal} from {state} and {x}, "
        f"and "
        f"the Moore output {z}, by {read}. The state register is elsewhere.{others}",
        f"A Moore machine has its flip-flops outside of this module: {state} is the present state, {goal} shall be the "
        f"state after the next clock edge for the input {x}, and {z} is the output of the present state. States are "
        f"coded "
        f"{listed}. Its behaviour is that of {read}.{others}",
        figure,
    )


@family("diagrams")
def one_hot_logic(rng: random.Random) -> Draft:
    """All equations by inspection of one-hot states."""
    count = rng.randint(3, 8)
    machine = draw_machine(rng, count, 1, rng.random() < 0.7)
    x, state, z = rng.choice(_INPUTS), rng.choice(_STATES), rng.choice(("z", "out"))
    goal, wires = _NEXTS[state], [f"{state}[{n}]" for n in range(count)]
    figure, read = _figure(rng, machine, x, z)
    lines = [f"assign {goal}[{n}] = {incoming(machine, n, wires, x)};" for n in range(count)]
    listed = _listed(machine, [f"{count}'b{1 << n:0{count}b}" for n in range(count)])
    rule = (
        f"Derive the equations by inspection: each bit of {goal} is the OR, over the arrows into its state, of the "
        f"bit of "
        f"{state} where the arrow starts and the condition on {x}; {z} likewise is the OR of the "
        f"bits of {state}, with the condition on {x} where there is one, that set it; no other bits are looked at"
    )
    return Draft(
        ("one_hot_logic", *_MODULES),
        {"machine": machine.key},
        [inp(x), inp(state, count), out(goal, count), out(z)],
        continuous(*lines, f"assign {z} = {onehot_output(machine, 0, wires, x)};"),
        f"One-hot states {listed}: write {goal} and {z} from {state} and {x}, by {read}. {rule}.",
        f"A state machine uses the one-hot code {listed}. Write the combinational logic for the next state {goal} and "
        f"the "
        f"output {z}, from {state} and {x}, as given by {read}. {rule}.",
        f"{state} holds one bit for each state: {listed}. The register is outside; drive {goal}, the next state for "
        f"the "
        f"input {x}, and the output {z}, as {read}. {rule}.",
        figure,
    )


@family("diagrams")
def one_hot_bits(rng: random.Random) -> Draft:
    """Some of the next-state bits of a one-hot machine."""
    count = rng.randint(4, 8)
    machine = draw_machine(rng, count, 1, True)
    x, z, base = rng.choice(_INPUTS), rng.choice(("z", "out")), rng.choice((0, 1))
    fed = [n for n in range(count) if incoming(machine, n, ["s"] * count, x) != "1'b0"]
    chosen = sorted(rng.sample(fed, 2))
    wires = [f"y[{n}]" for n in range(count)]
    figure, read = _figure(rng, machine, x, z)
    names = [f"Y{n + base}" for n in chosen]
    listed = _listed(machine, [f"{1 << n:0{count}b}" for n in range(count)])
    goals = join(
        f"{name} (the next value of the bit for state {machine.names[n]})"
        for name, n in zip(names, chosen, strict=True)
    )
    rule = "by inspection of the arrows into these states, for any value of y"
    return Draft(
        ("one_hot_part", *_MODULES),
        {"machine": machine.key, "bits": "-".join(map(str, chosen)), "base": base},
        [inp("y", count), inp(x), *map(out, names)],
        continuous(
            *(f"assign {name} = {incoming(machine, n, wires, x)};" for name, n in zip(names, chosen, strict=True))
        ),
        f"One-hot code y[{count - 1}:0]: {listed}. Write only {goals}, from y and {x}, {rule}; the machine is {read}.",
        f"The machine of {read} is built one-hot, y[{count - 1}:0] = {listed}. Write equations for {goals}, from y and "
        f"{x}, {rule}.".replace(".. ", ". "),
        f"Take the one-hot state assignment y[{count - 1}:0] with {listed}. Of the next-state logic, only "
        f"{join(names)} are "
        f"asked: {goals}. Derive them from y and {x} {rule}. The machine is {read}.",
        figure,
    )


@family("diagrams")
def next_state_bit(rng: random.Random) -> Draft:
    """One bit of the next state, and the output, by a table of codes."""
    count = rng.randint(5, 8)
    machine, x, z, width = draw_machine(rng, count, 1, True), rng.choice(_INPUTS), rng.choice(("z", "out")), 3
    values = list(range(count)) if rng.random() < 0.6 else rng.sample(range(8), count)
    places = [b for b in range(width) if len({values[t] >> b & 1 for pair in machine.nexts for t in pair}) == 2]
    bit = rng.choice(places)
    y, goal = f"Y{bit}", f"Y[{bit}]"
    known, text = bit_logic(machine, values, width, bit, ["y[2]", "y[1]", "y[0]", x])
    shown: list[int | None] = [None] * 8
    for value, (one, _) in zip(values, machine.outs, strict=True):
        shown[value] = one
    figure = table(rng, machine, x, [z], [f"{value:03b}" for value in values])
    if count == 8:
        ones = [f"(y == {literal(n, 3, 'b')})" for n in range(8) if shown[n]]
        body = continuous(f"assign {y} = {text};", f"assign {z} = {' | '.join(ones)};")
    else:
        lines = _cases(f"{{y, {x}}}", 4, y, known) + _cases("y", 3, z, shown)
        body = procedural("always @(*) begin", *("  " + line for line in lines), "end")
    others = "" if count == 8 else " Codes that are not in the table never occur and do not matter."
    return Draft(
        ("state_bit", *_MODULES),
        {"machine": machine.key, "codes": "-".join(map(str, values)), "bit": bit},
        [inp("y", 3), inp(x), out(y), out(z)],
        body,
        f"From the state-assigned table below: {y} (bit {bit} of the next state) and {z}, of y[2:0] and {x}.{others}",
        f"The table below gives next state Y[2:0] and output {z} for each present state y[2:0] and input {x}. "
        f"Implement "
        f"the logic of {goal}, as the output {y}, and of {z}.{others}",
        f"Of the state machine in the table below, with present state y[2:0] and input {x}, write two functions: {y}, "
        f"which is {goal} of the next state, and the Moore output {z}. There is no register here.{others}",
        figure,
    )


def _cases(subject: str, width: int, y: str, values: Sequence[int | None]) -> list[str]:
    ones = [f"{width}'b{n:0{width}b}" for n, value in enumerate(values) if value == 1]
    zeros = [f"{width}'b{n:0{width}b}" for n, value in enumerate(values) if value == 0]
    return [
        f"case ({subject})", f"  {', '.join(ones)}: {y} = 1'b1;", f"  {', '.join(zeros)}: {y} = 1'b0;",
        f"  default: {y} = 1'bx;", "endcase",
    ]  # fmt: skip
