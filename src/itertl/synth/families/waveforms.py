"""Circuits to be inferred from a recording of their signals.

A recording has a row for every case that there is, so that the function follows from it alone; the words say so.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from itertl.synth.boolean import draw_table, sum_of_products
from itertl.synth.design import DesignSpec
from itertl.synth.families.combinational import Draft, case, continuous, inp, literal, out, statement
from itertl.synth.families.combinational import family as combinational_family
from itertl.synth.families.figures import wave
from itertl.synth.families.maps import is_telling
from itertl.synth.families.sequential import Sketch, family
from itertl.synth.families.wording import bits, join, number

_MODULES = ("circuit", "unknown_circuit", "inferred", "observed")
_LETTERS = (("a", "b", "c", "e"), ("p", "q", "r", "s"), ("w", "x", "y", "z"), ("i0", "i1", "i2", "i3"))
_OUTPUTS = ("f", "out", "g", "res")


def _shuffled(rng: random.Random, rows: Sequence[int]) -> list[int]:
    """The rows in counting order or in any, some of them again."""
    order = list(rows)
    if rng.random() < 0.5:
        rng.shuffle(order)
    if len(order) <= 8:
        order += rng.sample(order, rng.randint(0, len(order)))
    return order


@combinational_family("waveforms")
def wave_logic(rng: random.Random) -> Draft:
    """One bit of two to four bits."""
    count = rng.choice((2, 3, 3, 4, 4))
    table, names, y = draw_table(rng, count), list(rng.choice(_LETTERS)[:count]), rng.choice(_OUTPUTS)
    rows = [[*f"{row:0{count}b}", str(table[row])] for row in _shuffled(rng, range(1 << count))]
    listed = join(names)
    text = sum_of_products(table, names)
    if is_telling(text, count) and rng.random() < 0.6:
        body = continuous(f"assign {y} = {text};")
    else:
        labels = ", ".join(f"{count}'b{row:0{count}b}" for row, value in enumerate(table) if value)
        body = statement(case(f"{{{', '.join(names)}}}", {labels: f"{y} = 1'b1;"}, f"{y} = 1'b0;"))
    return Draft(
        _MODULES,
        {"count": count, "table": "".join(map(str, table))},
        [*map(inp, names), out(y)],
        body,
        f"Combinational circuit, inputs {listed}, output {y}: infer it from the waveform below, which shows all "
        f"inputs.",
        f"The waveform below was recorded on a combinational circuit with inputs {listed} and output {y}. All "
        f"{1 << count} input values occur. Find out what it does and implement it.",
        f"Read the simulation waveform below. The circuit is combinational; its output {y} is a function of {listed}. "
        f"Each combination of input values occurs at least once, so that the function is known completely.",
        wave(rng, [*names, y], rows),
    )


_OPERATIONS: dict[str, tuple[str, Callable[[int, int], int], int]] = {  # expression, function, bits of the result
    "add": ("{a} + {b}", lambda a, b: a + b, 3),
    "multiply": ("{a} * {b}", lambda a, b: a * b, 4),
    "difference": ("({a} > {b}) ? {a} - {b} : {b} - {a}", lambda a, b: abs(a - b), 2),
    "largest": ("({a} > {b}) ? {a} : {b}", max, 2),
    "least": ("({a} < {b}) ? {a} : {b}", min, 2),
    "add_one": ("{a} + {b} + 3'd1", lambda a, b: a + b + 1, 3),
    "scaled": ("({a} << 1) + {b}", lambda a, b: 2 * a + b, 4),
    "exclusive": ("{a} ^ {b}", lambda a, b: a ^ b, 2),
    "wrapping": ("{a} - {b}", lambda a, b: (a - b) % 4, 2),
    "either": ("{{{a} | {b}, {a} & {b}}}", lambda a, b: (a | b) << 2 | a & b, 4),
    "repeated": ("{{{b}, {a}}}", lambda a, b: b << 2 | a, 4),
    "not_less": ("({a} >= {b}) ? {a} : 2'd0", lambda a, b: a if a >= b else 0, 2),
}


@combinational_family("waveforms")
def wave_arithmetic(rng: random.Random) -> Draft:
    """A number of two numbers of two bits."""
    name = rng.choice(list(_OPERATIONS))
    text, function, width = _OPERATIONS[name]
    offset = (
        rng.choice((0, 0, 1, 2, 3)) if name in ("add", "largest", "least", "multiply", "scaled", "difference") else 0
    )
    a, b = rng.choice((("a", "b"), ("x", "y"), ("m", "n"), ("u", "v")))
    y, expression = rng.choice(_OUTPUTS), text.format(a=a, b=b)
    if offset:
        width = {2: 3, 3: 4, 4: 4}[width]
        expression = f"({expression}) + {literal(offset, width)}"
    rows = [[str(r >> 2), str(r & 3), str((function(r >> 2, r & 3) + offset) % (1 << width))] for r in range(16)]
    if rng.random() < 0.5:
        rng.shuffle(rows)
    return Draft(
        _MODULES,
        {"operation": name, "offset": offset},
        [inp(a, 2), inp(b, 2), out(y, width)],
        [(y, expression)],
        f"Combinational: {y} ({bits(width)}) of {a} and {b} (2 bits each), all unsigned and decimal; infer it from the "
        f"waveform below.",
        f"Find out from the waveform below how the {width}-bit output {y} follows from the 2-bit inputs {a} and {b}, "
        f"and "
        f"implement the combinational circuit. All 16 pairs are shown; numbers are unsigned decimal.",
        f"A combinational circuit was simulated for all 16 values of its inputs {a} and {b}, two bits each. The "
        f"recording below has them and its output {y} ({bits(width)}) as unsigned decimal numbers. Write the circuit.",
        wave(rng, [a, b, y], rows),
    )


@combinational_family("waveforms")
def wave_lookup(rng: random.Random) -> Draft:
    """A word for each value of a select."""
    count, width = rng.choice((2, 3, 3)), rng.choice((4, 8, 8, 12, 16))
    words = [rng.randrange(1 << width) for _ in range(1 << count)]
    d, y = rng.choice(("a", "addr", "sel", "n")), rng.choice(("q", "data", "out", "word"))
    rows = [[str(r), f"{words[r]:0{-(-width // 4)}x}"] for r in _shuffled(rng, range(1 << count))]
    arms = {f"{count}'d{n}": f"{y} = {literal(word, width, 'h')};" for n, word in enumerate(words[:-1])}
    return Draft(
        (*_MODULES, "lookup"),
        {"width": width, "words": "-".join(f"{word:x}" for word in words)},
        [inp(d, count), out(y, width)],
        statement(case(d, arms, f"{y} = {literal(words[-1], width, 'h')};")),
        f"Combinational lookup: {y} ({bits(width)}, shown in hexadecimal) by {d} ({bits(count)}), as recorded below.",
        f"From the waveform below, implement the combinational circuit: for each value of the {count}-bit input {d} it "
        f"shows the {width}-bit output {y} in hexadecimal.",
        f"The recording below has every value of {d} ({bits(count)}). {y} ({bits(width)}, hexadecimal) depends on {d} "
        f"alone, without a clock. Read it off and implement the circuit.",
        wave(rng, [d, y], rows),
    )


@combinational_family("waveforms")
def wave_select(rng: random.Random) -> Draft:
    """A multiplexer whose order of inputs is to be found."""
    names = rng.choice((("a", "b", "c", "d"), ("w", "x", "y", "z"), ("d0", "d1", "d2", "d3")))
    s, y, width = rng.choice(("sel", "s", "k")), rng.choice(("q", "out", "f")), rng.choice((4, 4, 8))
    wide, top = rng.choice((2, 3)), (1 << width) - 1
    sources = [rng.randrange(4) for _ in range(rng.randint(3, 4) if wide == 2 else rng.randint(4, 5))]
    while len(set(sources)) < 3:
        sources = [rng.randrange(4) for _ in sources]
    others = rng.choice((0, top, rng.randrange(1, top)))
    digits = width // 4
    rows: list[list[str]] = []
    drawn = rng.sample([v for v in range(1 << width) if v != others], 8)
    for values in (drawn[:4], drawn[4:]):  # no value is there twice: it tells where it comes from
        for n in range(1 << wide):
            chosen = values[sources[n]] if n < len(sources) else others
            rows.append([str(n), *(f"{v:0{digits}x}" for v in values), f"{chosen:0{digits}x}"])
    arms = {f"{wide}'d{n}": f"{y} = {names[source]};" for n, source in enumerate(sources)}
    full = len(sources) == 1 << wide
    if full:
        arms.popitem()
    default = f"{y} = {names[sources[-1]] if full else literal(others, width, 'h')};"
    rule = f"for each value of {s}, {y} is either always the same input or always the same number"
    return Draft(
        (*_MODULES, "chooser"),
        {"width": width, "select": wide, "sources": "".join(map(str, sources)), "others": -1 if full else others},
        [inp(s, wide), *(inp(n, width) for n in names), out(y, width)],
        statement(case(s, arms, default)),
        f"Combinational: {s} ({bits(wide)}) decides what {y} is, of {join(names)} ({bits(width)} each); {rule}. See "
        f"the "
        f"waveform below (hexadecimal).",
        f"The waveform below (values in hexadecimal) shows a combinational circuit with the {width}-bit inputs "
        f"{join(names)}, the {wide}-bit input {s} and the output {y}; {rule}. Implement it.",
        f"Read the recording below, in hexadecimal, of a combinational circuit that chooses: {rule}. Its inputs are "
        f"{s} "
        f"({bits(wide)}) and {join(names)} ({bits(width)} each). Each value of {s} occurs with two sets of data.",
        wave(rng, [s, *names, y], rows),
    )


def _walk(rng: random.Random, start: int, inputs: int, step: Callable[[int, int], int]) -> list[int] | None:
    """Inputs, one a clock, that take every transition of every state that can be reached; None where they are many."""
    state, taken, path = start, set[tuple[int, int]](), list[int]()
    states, todo = {start}, [start]
    while todo:
        new = {step(here, x) for here in [todo.pop()] for x in range(inputs)} - states
        states |= new
        todo += new
    while len(taken) < len(states) * inputs:
        frontier, seen, way = [(state, list[int]())], {state}, None
        while frontier and way is None:
            here, so_far = frontier.pop(0)
            fresh = [x for x in range(inputs) if (here, x) not in taken]
            if fresh:
                way = [*so_far, rng.choice(fresh)]
                break
            for x in rng.sample(range(inputs), inputs):
                if (there := step(here, x)) not in seen:
                    seen.add(there)
                    frontier.append((there, [*so_far, x]))
        if way is None or len(path) + len(way) > 26:
            return None
        for x in way:
            taken.add((state, x))
            state = step(state, x)
        path += way
    return path


def _recording(
    s: Sketch, names: Sequence[str], path: Sequence[int], start: int, step: Callable[[int, int], int],
    show: Callable[[int, int], Sequence[str]], shown: Sequence[str],
) -> tuple[str, str]:  # fmt: skip
    """The recording with the clock as a column where it is short, else one row a clock; and how to read it."""
    idle, active = ("0", "1") if s.edge == "posedge" else ("1", "0")
    rows: list[list[str]] = []
    state, wide = start, len(names)
    by_half = len(path) * (wide + len(shown)) <= 36
    for x in path:
        given = list(f"{x:0{wide}b}") if wide else []
        before = list(show(state, x))
        state = step(state, x)
        if by_half:
            rows += [[idle, *given, *before], [active, *given, *show(state, x)]]
        else:
            rows.append([*given, *before])
    if not by_half:
        rows.append([*("-" * wide), *show(state, 0)] if wide else list(show(state, 0)))
        return wave(s.rng, [*names, *shown], rows), "each row shows the values just before an active clock edge"
    return wave(s.rng, [s.clock, *names, *shown], rows), "inputs change while the clock is idle"


def _quiet(s: Sketch) -> str:
    return f"; {s.reset.name} is inactive throughout" if s.reset else ""


@family("waveforms", resets=("none", "none", "sync-high", "async-high", "async-low"), reset_one_in=32)
def wave_flip_flop(s: Sketch, rng: random.Random) -> DesignSpec:
    """One flip-flop whose next value is a function of itself and of one or two inputs."""
    count = rng.choice((1, 1, 2))
    names = [s.input(name) for name in rng.choice((("a", "b"), ("u", "v"), ("j", "m")))[:count]]
    q = s.output("q", "state", "f")
    while True:
        table = draw_table(rng, count + 1)

        def step(state: int, x: int, table: Sequence[int | None] = table) -> int:
            return int(table[x << 1 | state] or 0)

        path = _walk(rng, 0, 1 << count, step) if 1 in {step(0, x) for x in range(1 << count)} else None
        if path is not None and len(path) >= 2 << count:  # fewer: a state that is not left again
            break
    figure, read = _recording(s, names, path, 0, step, lambda state, _: [str(state)], [q])
    body = s.clocked({q: "1'b0"}, f"{q} <= {sum_of_products(table, [*names, q])};")
    listed, noun = join(names), "input" if count == 1 else "inputs"
    design = s.finish(
        _MODULES,
        {"count": count, "table": "".join(map(str, table))},
        [body],
        f"One flip-flop {q}, {noun} {listed}: infer its next value from the waveform below ({read}{_quiet(s)}).",
        f"The waveform below was recorded on a circuit of one flip-flop, whose output is {q}, and the {noun} {listed}; "
        f"{read}{_quiet(s)}. Every value of {q} and {listed} occurs at an active edge. Find the circuit and implement "
        f"it.",
        f"A sequential circuit has the {noun} {listed} and the output {q}, which is its only flip-flop. In the "
        f"recording "
        f"below ({read}{_quiet(s)}) every combination of {q} and {listed} is there at an active clock edge, so that "
        f"the "
        f"next value of {q} is known for each.",
        {q: "0"},
    )
    return replace(design, figure=figure)


@family("waveforms", resets=("none", "none", "sync-high", "async-high"), reset_one_in=32)
def wave_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """A counter that an input sets or stops, to be read off the numbers."""
    way, act, when, width, start = (
        rng.choice(("up", "down")),
        rng.choice(("set", "hold", "turn")),
        rng.randrange(2),
        3,
        0,
    )
    if act == "set":  # upwards it would be the counter with a load that everybody has seen
        way = "down"
    a, q = s.input("a", "x", "m"), s.output("q", "count", "n", width=width)
    move = 1 if way == "up" else -1
    while True:  # a long way round to every step is no good recording: another limit then
        limit = rng.randint(3, 8)
        special = rng.randrange(limit)

        def step(state: int, x: int, limit: int = limit, special: int = special) -> int:
            if x != when:
                return (state + move) % limit
            return special if act == "set" else state if act == "hold" else (state - move) % limit

        path = _walk(rng, start, 2, step)
        if path is not None:
            break

    def moved(by: int) -> str:
        edge, wrap = (limit - 1, 0) if by > 0 else (0, limit - 1)
        sign = "+" if by > 0 else "-"
        if limit == 8:
            return f"{q} {sign} 3'd1"
        return f"({q} == {s.const(width, edge)}) ? {s.const(width, wrap)} : {q} {sign} 3'd1"

    other = {"set": s.const(width, special), "hold": q, "turn": moved(-move)}[act]
    test = a if when else f"!{a}"
    figure, read = _recording(s, [a], path, start, step, lambda state, _: [str(state)], [q])
    design = s.finish(
        _MODULES,
        {"limit": limit, "way": way, "act": act, "special": special if act == "set" else -1, "when": when},
        [s.clocked({q: s.const(width, start)}, f"if ({test})\n  {q} <= {other};\nelse\n  {q} <= {moved(move)};")],
        f"A 3-bit register {q} counts in some way that {a} decides: infer it from the waveform below "
        f"({read}{_quiet(s)}).",
        f"Find out from the waveform below how the 3-bit register {q} moves for {a} = 0 and for {a} = 1, and implement "
        f"it; {read}{_quiet(s)}. Each value that {q} can reach occurs with both values of {a}.",
        f"The recording below shows a sequential circuit with the input {a} and the output {q}, a 3-bit number "
        f"({read}{_quiet(s)}). It has every step: each value of {q} that can occur, followed by the next for {a} = 0 "
        f"and for {a} = 1. Implement it.",
        {q: str(start)},
    )
    return replace(design, figure=figure)


@family("waveforms", resets=("none", "sync-high", "async-high"), reset_one_in=32)
def wave_machine(s: Sketch, rng: random.Random) -> DesignSpec:
    """Logic and one flip-flop that is visible: its next value and the output are both to be found."""
    a, b = (s.input(name) for name in rng.choice((("a", "b"), ("x", "y"), ("u", "v"))))
    state, z = s.output("state", "st", "m"), s.output("z", "q", "f", reg=False)
    while True:
        table, shown = draw_table(rng, 3), draw_table(rng, 3)

        def step(now: int, x: int, table: Sequence[int | None] = table) -> int:
            return int(table[x << 1 | now] or 0)

        path = _walk(rng, 0, 4, step)
        if path is not None and len(path) >= 8:
            break
    path.append(rng.randrange(4))  # so that the value after the last transition that counts is in a row, too
    figure, read = _recording(s, [a, b], path, 0, step, lambda now, x: [str(now), str(shown[x << 1 | now])], [state, z])
    if "just before" in read:  # in its last row the inputs are not known
        figure = figure[: figure.rindex("\n")]
    body = s.clocked({state: "1'b0"}, f"{state} <= {sum_of_products(table, [a, b, state])};")
    names = [a, b, state]
    design = s.finish(
        _MODULES,
        {"next": "".join(map(str, table)), "output": "".join(map(str, shown))},
        [body, f"assign {z} = {sum_of_products(shown, names)};"],
        f"One flip-flop {state} and logic: infer the next {state} and the output {z} from {a}, {b} and {state} by the "
        f"waveform below ({read}{_quiet(s)}).",
        f"The waveform below is of a circuit of combinational logic and one flip-flop, which is visible as {state}. "
        f"{z} "
        f"follows {a}, {b} and {state} at once. Each of their {number(8)} combinations occurs; {read}{_quiet(s)}. "
        f"Implement the circuit.",
        f"A sequential circuit has inputs {a} and {b}, one flip-flop with the output {state}, and a combinational "
        f"output "
        f"{z}. The recording below ({read}{_quiet(s)}) holds all eight combinations of {a}, {b} and {state}, each with "
        f"{z} and with the value that {state} takes next.",
        {state: "0"},
    )
    return replace(design, figure=figure)
