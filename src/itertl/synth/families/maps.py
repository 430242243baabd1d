"""Functions given by Karnaugh maps and tables, some with values that do not matter.

A value that does not matter is X in the reference, which the testbench takes any answer for.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from itertl.synth.boolean import draw_table, sum_of_products
from itertl.synth.design import DesignSpec, PortSpec
from itertl.synth.families.combinational import (
    Body,
    Draft,
    always,
    case,
    continuous,
    family,
    inp,
    literal,
    out,
    procedural,
    statement,
)
from itertl.synth.families.figures import grid, karnaugh
from itertl.synth.families.sequential import Sketch, case_of
from itertl.synth.families.sequential import family as clocked_family
from itertl.synth.families.wording import bits, join

_LETTERS = (("a", "b", "c", "e"), ("p", "q", "r", "s"), ("w", "x", "y", "z"), ("k", "l", "m", "n"))
_OUTPUTS = ("f", "g", "out", "result", "h")


def _inputs(rng: random.Random, count: int) -> tuple[list[str], list[PortSpec], str]:
    """Names of the variables, most significant first, their ports, and how they are written as one word."""
    if rng.random() < 0.7:
        names = list(rng.choice(_LETTERS)[:count])
        return names, [inp(name) for name in names], f"{{{', '.join(names)}}}"
    vector = rng.choice(("x", "v", "d_in"))
    return [f"{vector}[{n}]" for n in reversed(range(count))], [inp(vector, count)], vector


def _by_rows(packed: str, count: int, y: str, table: Sequence[int | None]) -> Body:
    """A case statement of the rows with a 1, of those that do not matter, and a default of 0."""
    arms: dict[str, str] = {}
    for value, text in ((1, "1'b1"), (None, "1'bx")):
        rows = [literal(row, count, "b" if count < 4 else "h") for row, found in enumerate(table) if found is value]
        if rows:
            arms[", ".join(rows)] = f"{y} = {text};"
    return statement(case(packed, arms, f"{y} = 1'b0;"))


def is_telling(text: str, count: int) -> bool:
    """Whether a sum of products is worth writing: one of two variables is mostly a gate, a long one of minterms."""
    return count > 2 and text != "" and text.count(" | ") < count - 1


def _logic(rng: random.Random, packed: str, names: Sequence[str], y: str, table: Sequence[int | None]) -> Body:
    text = "" if None in table else sum_of_products(table, names)
    if not is_telling(text, len(names)) or rng.random() < 0.4:
        return _by_rows(packed, len(names), y, table)
    return continuous(f"assign {y} = {text};")


def _key(table: Sequence[int | None]) -> str:
    return "".join("d" if value is None else str(value) for value in table)


@family("maps")
def karnaugh_map(rng: random.Random) -> Draft:
    """A function of two to four variables in a map."""
    count = rng.choice((2, 3, 3, 4, 4, 4))
    table, y = draw_table(rng, count), rng.choice(_OUTPUTS)
    names, ports, packed = _inputs(rng, count)
    figure, layout = karnaugh(rng, table, names)
    listed = join(names)
    return Draft(
        ("kmap", "map_logic", "k_map", "logic_map"),
        {"count": count, "table": _key(table), "vector": int(len(ports) == 1)},
        [*ports, out(y)],
        _logic(rng, packed, names, y, table),
        f"{y} is given by this Karnaugh map of {listed} ({layout}).",
        f"Implement the function {y} of {listed} that the Karnaugh map below shows ({layout}).",
        f"The Karnaugh map below gives the combinational output {y} for each value of the inputs {listed}. Its "
        f"labels are values of the variables ({layout}), in the order in which they are written.",
        figure,
    )


@family("maps")
def karnaugh_dont_care(rng: random.Random) -> Draft:
    """A map with cells that do not matter."""
    count = rng.choice((3, 4, 4))
    table = draw_table(rng, count, rng.randint(1, 2 if count == 3 else 5))
    y = rng.choice(_OUTPUTS)
    names, ports, packed = _inputs(rng, count)
    mark = rng.choice([m for m in ("d", "x", "-", "X") if m.lower() not in {port.name for port in ports}])
    figure, layout = karnaugh(rng, table, names, mark)
    listed = join(names)
    return Draft(
        ("kmap", "map_logic", "k_map", "dc_map"),
        {"count": count, "table": _key(table), "vector": int(len(ports) == 1)},
        [*ports, out(y)],
        _logic(rng, packed, names, y, table),
        f"Karnaugh map of {y} over {listed} ({layout}); {mark} is a don't-care.",
        f"Implement the function {y} of {listed} from the Karnaugh map below ({layout}). In a cell with {mark} the "
        f"value does not matter.",
        f"The map below shows which value {y} has for each value of the inputs {listed} ({layout}). Cells marked "
        f"{mark} are inputs that never occur, so {y} may be anything there.",
        figure,
    )


@family("maps")
def karnaugh_mux_inputs(rng: random.Random) -> Draft:
    """The data inputs of a multiplexer that together with it make a map's function."""
    (a, b, c, e), y = rng.choice(_LETTERS), rng.choice(("mux_in", "d", "data", "m_in"))
    while True:
        table = draw_table(rng, 4)
        parts = [tuple(table[4 * n : 4 * n + 4]) for n in range(4)]
        if len(set(parts)) == 4:
            break
    figure, layout = karnaugh(rng, table, (a, b, c, e))
    lines = [f"assign {y}[{n}] = {sum_of_products(part, (c, e))};" for n, part in enumerate(parts)]
    return Draft(
        ("mux_logic", "mux_inputs", "map_mux"),
        {"table": _key(table)},
        [inp(c), inp(e), out(y, 4)],
        continuous(*lines),
        f"A 4-to-1 multiplexer selects {y}[{{{a}, {b}}}]. From {c} and {e}, make {y} so that it realizes this Karnaugh "
        f"map ({layout}).",
        f"The function in the Karnaugh map below ({layout}) is built with a 4-to-1 multiplexer outside of this module: "
        f"its select is {{{a}, {b}}}, its data inputs are {y}[0] to {y}[3]. Write the part that makes {y} from {c} "
        f"and {e}.",
        f"Outside, a multiplexer passes {y}[0] when {a}{b} = 00, {y}[1] when 01, {y}[2] when 10 and {y}[3] when 11. "
        f"Drive the four bits of {y} from {c} and {e} alone, such that the multiplexer's output is the function of the "
        f"Karnaugh map below ({layout}).",
        figure,
    )


@family("maps")
def minterms_dont_care(rng: random.Random) -> Draft:
    """Numbers for which the output is 1, and numbers that never occur."""
    count = rng.choice((3, 4, 4))
    table = draw_table(rng, count, rng.randint(2, 2 if count == 3 else 5))
    names, ports, packed = _inputs(rng, count)
    y = rng.choice(_OUTPUTS)
    ones, zeros, never = ([str(row) for row, found in enumerate(table) if found is value] for value in (1, 0, None))
    msb = f"{names[0]} is the most significant bit of {''.join(names) if len(ports) > 1 else packed}"
    listed = join(names)
    return Draft(
        ("minterm_logic", "number_logic", "detect_numbers"),
        {"count": count, "table": _key(table), "vector": int(len(ports) == 1)},
        [*ports, out(y)],
        _logic(rng, packed, names, y, table),
        f"{y} = sum m({', '.join(ones)}) + d({', '.join(never)}) over {listed}; {msb}.",
        f"Read {listed} as a number; {msb}. {y} is 1 for {join(ones)} and 0 for {join(zeros)}. "
        f"{join(never)} never occur: {y} may be anything there.",
        f"A system with the inputs {listed} gives {y} = 1 when they show {join(ones, 'or')}, and {y} = 0 for "
        f"{join(zeros)}; {msb}. The numbers {join(never)} cannot occur, and what {y} is for them does not matter.",
    )


@family("maps")
def truth_table_outputs(rng: random.Random) -> Draft:
    """A table of three or four inputs and two or three outputs."""
    count, wide = rng.choice((3, 3, 4)), rng.choice((2, 2, 3))
    tables = [draw_table(rng, count) for _ in range(wide)]
    names = list(rng.choice(_LETTERS)[:count])
    ys = rng.choice((("f", "g", "h"), ("y0", "y1", "y2"), ("out_a", "out_b", "out_c")))[:wide]
    rows = list(range(1 << count))
    if rng.random() < 0.3:
        rng.shuffle(rows)
    figure = grid(rng, [*names, *ys], [[*f"{r:0{count}b}", *(str(table[r]) for table in tables)] for r in rows])
    packed, left = f"{{{', '.join(names)}}}", f"{{{', '.join(ys)}}}"
    if rng.random() < 0.5:
        values = ["".join(str(table[row]) for table in tables) for row in range(1 << count)]
        arms = {f"{count}'b{row:0{count}b}": f"{left} = {wide}'b{value};" for row, value in enumerate(values[:-1])}
        body = statement(case(packed, arms, f"{left} = {wide}'b{values[-1]};"))
    else:
        body = continuous(*(f"assign {y} = {sum_of_products(t, names)};" for y, t in zip(ys, tables, strict=True)))
    listed = join(names)
    return Draft(
        ("table_logic", "truth_table", "lookup"),
        {"count": count, "tables": "/".join(map(_key, tables))},
        [*map(inp, names), *map(out, ys)],
        body,
        f"{join(ys)} from {listed} by this truth table.",
        f"Implement the truth table below: inputs {listed}, outputs {join(ys)}.",
        f"Write a combinational circuit. For each value of the inputs {listed}, the table below has one row with the "
        f"values of the outputs {join(ys)}.",
        figure,
    )


_EVENTS = (
    ("code", "scan code", ("left", "right", "up", "down", "fire", "pause")),
    ("opcode", "operation code", ("is_load", "is_store", "is_jump", "is_add", "is_halt", "is_shift")),
    ("cmd", "command byte", ("start", "stop", "reset_req", "status_req", "erase", "ping")),
    ("key", "key number", ("play", "record", "rewind", "eject", "mute", "skip")),
)


@family("maps")
def code_flags(rng: random.Random) -> Draft:
    """A table of codes, each of which raises one flag."""
    port, what, names = rng.choice(_EVENTS)
    width, count = rng.choice((4, 6, 8, 8, 16)), rng.randint(3, 5)
    flags = rng.sample(names, count)
    codes = rng.sample(range(1 << width), count)
    labels = [literal(code, width, "h") for code in codes]
    figure = grid(rng, [port, "output that is 1"], [[label, flag] for label, flag in zip(labels, flags, strict=True)])
    if rng.random() < 0.6:
        lines = [f"{flag} = 1'b0;" for flag in flags]
        arms = {label: f"{flag} = 1'b1;" for label, flag in zip(labels, flags, strict=True)}
        lines += case(port, arms, ";")
        body = procedural(*always(lines))
    else:
        body = continuous(*(f"assign {f} = ({port} == {label});" for f, label in zip(flags, labels, strict=True)))
    return Draft(
        ("code_decoder", "key_decoder", "flags"),
        {"width": width, "codes": "-".join(map(str, codes)), "flags": "-".join(flags)},
        [inp(port, width), *map(out, flags)],
        body,
        f"Table of values of {port} ({bits(width)}) that set one of {join(flags)} each; all else gives zeros.",
        f"The input {port} is {bits(width)} wide. The table below says for which {what} which of the outputs "
        f"{join(flags)} is 1. All other outputs, and all outputs for another {what}, are 0.",
        f"Decode the {what} on {port} ({bits(width)}). Each of {join(flags)} is 1 exactly while {port} has the value "
        f"that the table below gives it; avoid latches: in every other case it is 0.",
        figure,
    )


@family("maps")
def code_to_number(rng: random.Random) -> Draft:
    """Codes that stand for numbers, with a flag for a known code."""
    width, count = rng.choice((4, 5, 6, 8)), rng.randint(4, 8)
    codes = rng.sample(range(1 << width), count)
    d, y, ok = rng.choice(("code", "symbol", "din")), rng.choice(("num", "index", "value")), rng.choice(("valid", "ok"))
    wide = max(2, (count - 1).bit_length())
    labels = [literal(code, width, "h") for code in codes]
    arms = {label: f"{y} = {literal(n, wide)};" for n, label in enumerate(labels)}
    lines = [f"{ok} = 1'b1;", *case(d, arms, f"begin {y} = {literal(0, wide)}; {ok} = 1'b0; end")]
    return Draft(
        ("code_lookup", "symbol_decoder", "code_index"),
        {"width": width, "codes": "-".join(map(str, codes))},
        [inp(d, width), out(y, wide), out(ok)],
        procedural(*always(lines)),
        f"The codes {', '.join(labels)} on {d} give {y} = 0 to {count - 1} in this order with {ok} = 1; any other "
        f"gives "
        f"{y} = 0, {ok} = 0.",
        f"Recognize {count} codes on the {width}-bit input {d}: {join(labels)} stand for the numbers 0 to {count - 1}, "
        f"in this order. {y} is the number and {ok} is 1; for any other code both are 0.",
        f"{d} ({bits(width)}) may hold one of {count} codes. The position of the code in the list {', '.join(labels)}, "
        f"counted from 0, is the output {y} ({bits(wide)}), and {ok} is 1. Where {d} is none of them, {y} and {ok} "
        f"are 0.",
    )


_ACTIONS = {"hold": "{q}", "clear": "1'b0", "set": "1'b1", "toggle": "~{q}"}
_SAID = {"hold": "{q} (unchanged)", "clear": "0", "set": "1", "toggle": "not {q}"}
_KNOWN = ("hold", "clear", "set", "toggle")  # the JK flip-flop, which everybody has seen


@clocked_family("maps", reset_one_in=32)
def flip_flop_table(s: Sketch, rng: random.Random) -> DesignSpec:
    """A flip-flop of two control inputs by its characteristic table."""
    actions = _KNOWN
    while actions == _KNOWN or len(set(actions)) < 3:
        actions = tuple(rng.choice(list(_ACTIONS)) for _ in range(4))
    a = s.input("m", "u", "s1", "g1")
    b = s.input("n", "v", "s0", "g0")
    q, start = s.output("q", "state", "f"), rng.choice((0, 0, 1))
    arms = {f"2'b{n:02b}": f"{q} <= {_ACTIONS[action].format(q=q)};" for n, action in enumerate(actions)}
    rows = [[*f"{n:02b}", _SAID[action].format(q=q)] for n, action in enumerate(actions)]
    figure = grid(rng, [a, b, f"{q} after the edge"], rows)
    design = s.finish(
        ("table_ff", "control_ff", "flip_flop"),
        {"actions": "-".join(actions), "start": start},
        [s.clocked({q: f"1'b{start}"}, case_of(f"{{{a}, {b}}}", arms))],
        f"Flip-flop {q}, controlled by {a} and {b} as in the table below.",
        f"Write a flip-flop with the control inputs {a} and {b}. The table below gives the value of {q} after an "
        f"active "
        f"clock edge.",
        f"{q} is one flip-flop. At each active clock edge {a} and {b} decide what becomes of it, by the table below, "
        f"where {q} on the right is its value before the edge.",
        {q: str(start)},
    )
    return replace(design, figure=figure)
