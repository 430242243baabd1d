"""State machines given by diagrams and tables in text: whole machines, with a clock."""

import random
from collections.abc import Sequence
from dataclasses import replace

from itertl.synth.design import DesignSpec
from itertl.synth.families.machines import (
    Machine,
    case_lines,
    diagram,
    draw_machine,
    output_expression,
    table,
)
from itertl.synth.families.sequential import Sketch, family
from itertl.synth.families.wording import join

_MODULES = ("fsm", "state_machine", "machine", "controller")


def _ports(s: Sketch, width: int) -> tuple[str, list[str]]:
    x = s.input("x", "in", "w", "din", "req", "j")
    if width == 1:
        return x, [s.output("z", "out", "y", "g", reg=False)]
    first, second = s.rng.choice((("z1", "z0"), ("out1", "out2"), ("f", "g"), ("go", "halt")))
    return x, [s.output(first, reg=False), s.output(second, reg=False)]


def _body(s: Sketch, machine: Machine, codes: Sequence[str], x: str, zs: Sequence[str], width: int) -> list[str]:
    """Declarations, next state, register and outputs; next state apart or within the clocked block."""
    names = _labels(s, machine.names)
    state = s.internal("state", "cs", "st")
    parts = [f"localparam {', '.join(f'{n} = {c}' for n, c in zip(names, codes, strict=True))};"]
    if s.rng.random() < 0.5:
        after = s.internal("next", "ns", "next_state")
        lines = "\n".join("  " + line for line in case_lines(machine, names, state, after, x))
        parts += [f"reg [{width - 1}:0] {state}, {after};", f"always @(*)\n{lines}"]
        parts.append(s.clocked({state: names[0]}, f"{state} <= {after};"))
    else:
        step = "\n".join(case_lines(machine, names, state, state, x, "<="))
        parts += [f"reg [{width - 1}:0] {state};", s.clocked({state: names[0]}, step)]
    last = len(zs) - 1
    return parts + [f"assign {z} = {output_expression(machine, last - n, names, state, x)};" for n, z in enumerate(zs)]


def _labels(s: Sketch, names: Sequence[str]) -> list[str]:
    """Names of the states' constants, all with a prefix or all without."""
    prefix = s.rng.choice(("", "", "ST_"))
    return [s.internal(f"{prefix}{name}") for name in names]


def _codes(s: Sketch, count: int) -> tuple[list[str], int]:
    """Codes of the states and their width: binary, or one-hot."""
    if s.rng.random() < 0.25:
        return [f"{count}'b{1 << n:0{count}b}" for n in range(count)], count
    width = max(1, (count - 1).bit_length())
    return [s.const(width, n) for n in range(count)], width


def _whole(s: Sketch, machine: Machine, texts: tuple[str, str, str], figure: str, x: str, zs: list[str]) -> DesignSpec:
    codes, width = _codes(s, len(machine.names))
    parameters = {"machine": machine.key, "outputs": len(zs)}
    design = s.finish(
        _MODULES, parameters, _body(s, machine, codes, x, zs, width), *texts, {"the state": machine.names[0]}
    )
    return replace(design, figure=figure)


@family("diagrams", reset_one_in=32)
def moore_diagram(s: Sketch, rng: random.Random) -> DesignSpec:
    """Arrows between states with outputs."""
    machine = draw_machine(rng, rng.randint(3, 6), rng.choice((1, 1, 2)), True)
    x, zs = _ports(s, machine.width)
    figure, read = diagram(rng, machine, x, zs)
    outputs = join(zs)
    texts = (
        f"Moore machine with input {x} and output {outputs}, as in the diagram below. {read}.",
        f"Implement the Moore state machine of the diagram below, input {x}, output {outputs}. {read}.",
        f"The diagram below shows a Moore machine: the output {outputs} is a function of the state alone, and the "
        f"state changes at an "
        f"active clock edge by the value of {x}. {read}.",
    )
    return _whole(s, machine, texts, figure, x, zs)


@family("diagrams", reset_one_in=32)
def mealy_diagram(s: Sketch, rng: random.Random) -> DesignSpec:
    """Arrows between states, outputs on the arrows."""
    machine = draw_machine(rng, rng.randint(3, 5), rng.choice((1, 1, 2)), False)
    x, zs = _ports(s, machine.width)
    figure, read = diagram(rng, machine, x, zs)
    outputs = join(zs)
    texts = (
        f"Mealy machine with input {x} and output {outputs}, as in the diagram below. {read}.",
        f"Implement the Mealy state machine of the diagram below, input {x}, output {outputs}, which follows {x} "
        f"without waiting for the clock. {read}.",
        f"The diagram below shows a Mealy machine. The state changes at an active clock edge by the value of {x}; "
        f"the output {outputs} is a combinational function of the state and {x}. {read}.",
    )
    return _whole(s, machine, texts, figure, x, zs)


@family("diagrams", reset_one_in=32)
def state_table(s: Sketch, rng: random.Random) -> DesignSpec:
    """A table of named states, Moore or Mealy."""
    machine = draw_machine(rng, rng.randint(3, 6), rng.choice((1, 1, 2)), rng.random() < 0.6)
    x, zs = _ports(s, machine.width)
    kind, outputs = ("Moore" if machine.is_moore else "Mealy"), join(zs)
    acts = "depends on the state alone" if machine.is_moore else f"depends on the state and, at once, on {x}"
    texts = (
        f"{kind} machine by the state table below; input {x}, output {outputs}.",
        f"Implement the {kind} machine whose transition table is below. Its input is {x}; its output {outputs} {acts}.",
        f"Below is the state-transition table of a {kind} machine. At each active clock edge it goes to the next state "
        f"for the value of {x}. What {outputs} shows {acts}.",
    )
    return _whole(s, machine, texts, table(rng, machine, x, zs), x, zs)


@family("diagrams", reset_one_in=32)
def coded_state_table(s: Sketch, rng: random.Random) -> DesignSpec:
    """A table of state codes; the state register is an output."""
    count = rng.randint(3, 7)
    machine = draw_machine(rng, count, 1, True)
    width = max(2, (count - 1).bit_length())
    sort = rng.choice(("in order", "in order", "any", "one-hot"))
    if sort == "one-hot":
        width = count
        values = [1 << n for n in range(count)]
    else:
        values = list(range(count)) if sort == "in order" else rng.sample(range(1 << width), count)
    codes = [f"{width}'b{value:0{width}b}" for value in values]
    x, (z,) = _ports(s, 1)
    y = s.output("y", "state", "st", width=width)
    step = "\n".join(case_lines(machine, codes, y, y, x, "<="))
    body = [s.clocked({y: codes[0]}, step), f"assign {z} = {output_expression(machine, 0, codes, y, x)};"]
    figure = table(rng, machine, x, [z], [f"{value:0{width}b}" for value in values])
    design = s.finish(
        _MODULES,
        {"machine": machine.key, "codes": "-".join(map(str, values))},
        body,
        f"State-assigned table: present state {y}, next state by {x}, output {z}. {y} itself is an output.",
        f"Implement the machine of the state-assigned table below. The input is {x}, the Moore output {z}, and the "
        f"{width}-bit state is visible on {y}.",
        f"The table below gives, for each code of the present state {y} ({width} bits), the code of the next state for "
        f"{x} = 0 and {x} = 1 and the output {z}, which depends on the state alone. Make {y} a register with these "
        f"codes.",
        {y: codes[0]},
    )
    return replace(design, figure=figure)


def _guarded(rng: random.Random, count: int, inputs: int) -> list[list[tuple[tuple[int | None, ...], int]]]:
    """For each state arrows whose conditions are complete and exclude each other: inputs are asked in turn."""
    machine: list[list[tuple[tuple[int | None, ...], int]]] = []
    for state in range(count):
        order = rng.sample(range(inputs), rng.randint(1, inputs))
        arrows: list[tuple[tuple[int | None, ...], int]] = []
        known: list[int | None] = [None] * inputs
        for place in order:
            level = rng.randrange(2)
            taken = list(known)
            taken[place] = level
            arrows.append((tuple(taken), rng.randrange(count)))
            known[place] = 1 - level
        arrows.append((tuple(known), state if rng.random() < 0.5 else rng.randrange(count)))
        machine.append(arrows)
    return machine


@family("diagrams", reset_one_in=48)
def condition_diagram(s: Sketch, rng: random.Random) -> DesignSpec:
    """Arrows with conditions on two or three inputs; each output belongs to one state."""
    count, inputs = rng.randint(3, 4), rng.randint(2, 3)
    while True:
        machine = _guarded(rng, count, inputs)
        goals = [{goal for _, goal in arrows} for arrows in machine]
        if all(len(goal) > 1 for goal in goals) and _reaches(goals):
            break
    names = list(
        rng.choice((("A", "B", "C", "D"), ("IDLE", "GRANT", "HOLD", "BACK"), ("S0", "S1", "S2", "S3")))[:count]
    )
    xs = [s.input(name) for name in rng.choice((("r1", "r2", "r3"), ("a", "b", "c"), ("go", "stop", "skip")))[:inputs]]
    outs = rng.choice((("g0", "g1", "g2", "g3"), ("y0", "y1", "y2", "y3"), ("led0", "led1", "led2", "led3")))
    active = sorted(rng.sample(range(count), rng.randint(1, 2)))
    zs = {n: s.output(outs[n], reg=False) for n in active}
    lines, arms, state = list[str](), list[str](), s.internal("state", "cs", "st")
    labels = _labels(s, names)
    for n, arrows in enumerate(machine):
        shown = f"{names[n]} ({zs[n]}=1)" if n in zs else names[n]
        text = ""
        for condition, goal in arrows:
            asked = [f"{x}={value}" for x, value in zip(xs, condition, strict=True) if value is not None]
            lines.append(f"{shown} --{','.join(asked)}--> {names[goal]}")
        known: set[int] = set()
        for condition, goal in arrows[:-1]:
            place = next(i for i, v in enumerate(condition) if v is not None and i not in known)
            known.add(place)
            text += f"{xs[place] if condition[place] else f'!{xs[place]}'} ? {labels[goal]} : "
        arms.append(f"  {labels[n]}: {state} <= {text}{labels[arrows[-1][1]]};")
    width = (count - 1).bit_length()
    step = "\n".join([f"case ({state})", *arms, f"  default: {state} <= {labels[0]};", "endcase"])
    body = [
        f"localparam {', '.join(f'{n} = {s.const(width, k)}' for k, n in enumerate(labels))};",
        f"reg [{width - 1}:0] {state};",
        s.clocked({state: labels[0]}, step),
        *(f"assign {z} = ({state} == {labels[n]});" for n, z in zs.items()),
    ]
    said = join(f"{z} is 1 in state {names[n]} only" for n, z in zs.items())
    key = "/".join(" ".join(f"{''.join('-' if v is None else str(v) for v in c)}>{g}" for c, g in m) for m in machine)
    design = s.finish(
        _MODULES,
        {"machine": key, "active": "-".join(map(str, active))},
        body,
        f"Moore machine of the diagram below, inputs {join(xs)}; {said}.",
        f"Implement the state diagram below with the inputs {join(xs)}. An arrow is taken where all that is written "
        f"on it "
        f"holds; inputs that it does not name do not matter. As to the outputs, {said}.",
        f"The machine changes state at each active clock edge, along the arrow of the diagram below whose conditions "
        f"on "
        f"{join(xs)} all hold; in each state there is exactly one. As a Moore machine, {said}.",
        {"the state": names[0]},
    )
    return replace(design, figure="\n".join(lines))


def _reaches(goals: Sequence[set[int]]) -> bool:
    seen, todo = {0}, [0]
    while todo:
        new = goals[todo.pop()] - seen
        seen |= new
        todo += new
    return len(seen) == len(goals)
