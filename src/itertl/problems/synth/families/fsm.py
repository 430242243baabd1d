"""State machines: sequence detectors, tables, lights, vending, debouncing, arbiters, doors, locks, frames."""

import random

from itertl.problems.synth.design import Design, Family
from itertl.problems.synth.families._common import Sketch, bits, join

_CATEGORY = "fsm"


def _automaton(pattern: str) -> list[tuple[int, int]]:
    """Knuth-Morris-Pratt: from each state 0 … n, the next state on 0 and on 1 (n: the pattern was just seen)."""

    def step(state: int, bit: str) -> int:
        text = pattern[:state] + bit
        return next(k for k in range(min(len(pattern), len(text)), -1, -1) if text.endswith(pattern[:k]))

    return [(step(state, "0"), step(state, "1")) for state in range(len(pattern) + 1)]


def build_sequence_detector(rng: random.Random) -> Design:
    """Finds a bit pattern in a serial stream; overlapping or not, Moore or Mealy."""
    s = Sketch(rng, reset_one_in=64)
    length = rng.randint(3, 6)
    pattern = "".join(rng.choice("01") for _ in range(length))
    overlap, machine = rng.choice((0, 1)), rng.choice(("moore", "mealy"))
    x, y = s.input("x", "din", "bit_in", "in_bit"), s.output("found", "y", "detect", "z", reg=False)
    state, table = s.internal("state", "st", "cs"), _automaton(pattern)
    if not overlap:
        table[length] = table[0]
    states = table[:length] if machine == "mealy" else table
    after = _after_match(pattern) if overlap else 0
    w = (len(states) - 1).bit_length()

    def code(k: int) -> str:
        return s.const(w, after if machine == "mealy" and k == length else k)

    arms = [f"{code(k)}: {state} <= {x} ? {code(one)} : {code(zero)};" for k, (zero, one) in enumerate(states)]
    arms[-1] = "default" + arms[-1][arms[-1].index(":"):]
    last = f"{'' if pattern[-1] == '1' else '!'}{x}"
    out = f"({state} == {code(length)})" if machine == "moore" else f"({state} == {code(length - 1)}) && {last}"
    shares = "Matches may overlap" if overlap else "Matches do not overlap: after one, the search starts afresh"
    when = (f"{y} (Moore) is 1 for one clock after the edge that takes the last bit" if machine == "moore" else
            f"{y} (Mealy, combinational) is 1 while {x} shows the last bit and the bits before were taken")
    return s.finish(
        "sequence_detector",
        ("seq_detect", f"detect_{pattern}", "pattern_fsm"),
        {"pattern": pattern, "overlap": overlap, "machine": machine},
        [f"reg [{w - 1}:0] {state};",
         s.clocked({state: s.const(w, 0)}, f"case ({state})\n" + "\n".join("  " + a for a in arms) + "\nendcase"), f"assign {y} = {out};"],
        (
            f"Detect the bit sequence {pattern} (left bit first) on {x}, one bit per clock. {when}. {shares}.",
            f"Write a finite state machine that takes one bit of {x} at every clock edge and looks for {pattern}, leftmost bit first. {when}. {shares}.",
            f"The serial input {x} gives one bit at each active clock edge. The pattern to find is {pattern}, whose leftmost bit arrives first. {when}. "
            f"{shares}.",
        ),
        {"the machine": "the state where no bit has been seen"},
    )


def _after_match(pattern: str) -> int:
    """Length of the longest proper prefix that is also a suffix: where an overlapping search goes on."""
    return next(k for k in range(len(pattern) - 1, -1, -1) if pattern.endswith(pattern[:k]))


def _reaches_all(table: list[tuple[int, int]]) -> bool:
    seen, todo = {0}, [0]
    while todo:
        for target in table[todo.pop()]:
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return len(seen) == len(table)


def build_table_machine(rng: random.Random) -> Design:
    """A random Moore or Mealy machine, given as a table."""
    s = Sketch(rng, reset_one_in=32)
    count, machine = rng.choice((3, 4, 4, 5)), rng.choice(("moore", "mealy"))
    table: list[tuple[int, int]] = []
    while not table or not _reaches_all(table):
        table = [(rng.randrange(count), rng.randrange(count)) for _ in range(count)]
    outs = [(0, 0)] * count
    while len({o for pair in outs for o in pair}) < 2 or (machine == "mealy" and all(a == b for a, b in outs)):
        outs = [(v := rng.randrange(2), v if machine == "moore" else rng.randrange(2)) for _ in range(count)]
    x, z = s.input("x", "in_bit", "w", "din"), s.output("z", "y", "out_bit", reg=False)
    state, w = s.internal("state", "st", "cs"), (count - 1).bit_length()
    names = [s.internal(letter, f"S{letter}") for letter in "ABCDE"[:count]]
    arms = [f"{names[k]}: {state} <= {x} ? {names[one]} : {names[zero]};" for k, (zero, one) in enumerate(table)]
    arms[-1] = "default" + arms[-1][arms[-1].index(":"):]
    low = [f"({state} == {n})" + ("" if a == b else f" && {x}" if b else f" && !{x}") for n, (a, b) in zip(names, outs, strict=True) if a or b]
    value = " || ".join(f"({t})" if "&&" in t and len(low) > 1 else t for t in low)
    listing = "; ".join(
        f"{n}: 0->{names[a]}, 1->{names[b]}, {z}={p}" if machine == "moore" else f"{n}: 0->{names[a]} ({z}={p}), 1->{names[b]} ({z}={q})"
        for n, (a, b), (p, q) in zip(names, table, outs, strict=True))
    kind = f"{z} depends on the state alone" if machine == "moore" else f"{z} depends, combinationally, on state and {x}"
    codes = ", ".join(f"{n} = {s.const(w, k)}" for k, n in enumerate(names))
    return s.finish(
        "table_machine",
        ("fsm", "state_machine", "table_fsm"),
        {"machine": machine, "table": ";".join(f"{a}{b}{p}{q}" for (a, b), (p, q) in zip(table, outs, strict=True))},
        [f"localparam {codes};", f"reg [{w - 1}:0] {state};",
         s.clocked({state: names[0]}, f"case ({state})\n" + "\n".join("  " + a for a in arms) + "\nendcase"), f"assign {z} = {value};"],
        (
            f"{machine.capitalize()} machine, input {x}, output {z}, states {join(names)} (next state by {x}): {listing}.",
            f"Implement this {machine.capitalize()} state machine with input {x} and output {z}. For each state, the next state for {x} = 0 and 1 and the "
            f"output: {listing}.",
            f"The machine has {count} states, {join(names)}, and changes state at each active clock edge by the value of {x}; {kind}. Its table, written as "
            f"state: value of {x} -> next state, with the output {z}: {listing}.",
        ),
        {"the state": names[0]},
    )


def build_traffic_light(rng: random.Random) -> Design:
    """Green, yellow, red, each for its number of clocks; a request may end green."""
    s = Sketch(rng, reset_one_in=96)
    times = [rng.randint(3, 8), rng.randint(1, 4), rng.randint(2, 8)]
    waits, first = rng.choice((0, 1)), rng.choice((0, 2))
    req = s.input("car", "walk", "request", one_in=4) if waits else ""
    lights = [s.output(*o, reg=False) for o in (("green", "g"), ("yellow", "amber", "y"), ("red", "r"))]
    state, n = s.internal("state", "phase"), s.internal("t", "timer", "n")
    w = max(times).bit_length()
    ends = [f"{n} == {s.const(w, t - 1)}" for t in times]
    if waits:
        ends[0] = f"{n} >= {s.const(w, times[0] - 1)} && {req}"
    after = f"{n} <= {n} + 1;" if not waits else f"if ({n} != {s.const(w, times[0] - 1)} || {state} != 2'd0)\n    {n} <= {n} + 1;"
    test = " || ".join(f"({state} == 2'd{k} && {e})" for k, e in enumerate(ends))
    step = (f"if ({test}) begin\n  {n} <= {s.const(w, 0)};\n  {state} <= ({state} == 2'd2) ? 2'd0 : {state} + 2'd1;\nend else"
            + (f" begin\n  {after}\nend" if waits else f"\n  {after}"))
    g, y, r = lights
    rule = (f"{g} for at least {times[0]} clocks, ending at the first clock edge from the {times[0]}th on at which {req} is 1" if waits
            else f"{g} for {times[0]} clocks")
    return s.finish(
        "traffic_light",
        ("traffic_light", "signal_head", "lights"),
        {"green": times[0], "yellow": times[1], "red": times[2], "waits": waits, "first": first},
        [f"reg [1:0] {state};", f"reg [{w - 1}:0] {n};", s.clocked({state: f"2'd{first}", n: s.const(w, 0)}, step),
         *(f"assign {name} = ({state} == 2'd{k});" for k, name in enumerate(lights))],
        (
            f"Traffic light: {rule}, then {y} for {times[1]}, then {r} for {times[2]}, and again; exactly one of them is 1.",
            f"Write a traffic-light controller. Of {g}, {y} and {r} exactly one is 1 at any time, in the order {rule}; then {y} for {times[1]} clock "
            f"cycle(s); then {r} for {times[2]}; then {g} again.",
            f"A controller drives three lamps, one at a time, for ever. Its phases, counted in active clock edges, are: {rule}; {y} for {times[1]}; {r} for "
            f"{times[2]}. The outputs {g}, {y} and {r} follow the phase without delay.",
        ),
        {"the phase": f"the beginning of {lights[first]}"},
    )


def build_vending_machine(rng: random.Random) -> Design:
    """Adds coins until the price is reached, then serves and gives change."""
    s = Sketch(rng, reset_one_in=64)
    price, coins = rng.randint(3, 12), tuple(sorted(rng.sample(range(1, 6), 2)))
    keep, refund = rng.choice(("change", "credit", "lost")), rng.choice((0, 1))
    a, b = s.input("coin_a", "small", "c1"), s.input("coin_b", "large", "c2")
    back = s.input("cancel", "refund", one_in=16) if refund else ""
    serve = s.output("serve", "vend", "dispense")
    most = price - 1 + sum(coins)
    w, cw = most.bit_length(), (most - price).bit_length()
    change = s.output("change", "coins_back", width=max(w, cw)) if keep == "change" or refund else ""
    total, new, zero = s.internal("credit", "paid", "total"), s.internal("sum", "now_paid"), s.const(w, 0)
    enough = f"{new} >= {s.const(w, price)}"
    rest = f"{new} - {s.const(w, price)}"
    pay = [f"if ({enough}) begin", f"  {serve} <= 1'b1;", f"  {total} <= {rest if keep == 'credit' else zero};"]
    pay += [f"  {change} <= {rest};"] if keep == "change" else []
    pay += ["end else", f"  {total} <= {new};"]
    body = "\n".join(pay)
    if back:
        body = f"if ({back}) begin\n  {change} <= {total};\n  {total} <= {zero};\nend else " + body
    step = f"{serve} <= 1'b0;\n" + (f"{change} <= {zero};\n" if change else "") + body
    clear = {total: zero, serve: "1'b0"} | ({change: zero} if change else {})
    then = {"change": f"the excess goes out on {change} and the credit becomes 0", "credit": "the excess stays as credit",
            "lost": "the credit becomes 0 and any excess is lost"}[keep]
    cancel = f" {back} = 1, which has priority, instead puts the credit (without coins at that edge) on {change} and makes it 0." if back else ""
    pulses = f"{serve} and {change} are registers, 0 after every other edge." if change else f"{serve} is a register, 0 after every other edge."
    value = f"{a} is worth {coins[0]} and {b} {coins[1]}; both may come at once"
    return s.finish(
        "vending_machine",
        ("vending", "vendor", "coin_box"),
        {"price": price, "coins": f"{coins[0]}-{coins[1]}", "keep": keep, "refund": refund},
        [f"reg [{w - 1}:0] {total};", f"wire [{w - 1}:0] {new} = {total} + ({a} ? {s.const(w, coins[0])} : {zero}) + ({b} ? {s.const(w, coins[1])} : {zero});",
         s.clocked(clear, step)],
        (
            f"Vending machine, price {price}; {value}. When credit plus coins reaches {price}, {serve} becomes 1 and {then}; else the coins join the credit. "
            f"{pulses}{cancel}",
            f"Write a vending machine for a price of {price}. At each clock edge {value}. If the credit with these coins is {price} or more, {serve} becomes 1 and "
            f"{then}. If it is less, it is the new credit. {pulses}{cancel}",
            f"The machine keeps a credit and looks at the coin inputs at every active clock edge: {value}. Where credit and new coins together make at least "
            f"{price}, {serve} becomes 1 and {then}; where they do not, they become the credit. {pulses}{cancel}",
        ),
        {"the credit": "0", serve: "0"} | ({change: "0"} if change else {}),
    )


def build_debouncer(rng: random.Random) -> Design:
    """The output follows when the input has differed for N clocks."""
    s = Sketch(rng, reset_one_in=64)
    rise, start = rng.randint(2, 9), rng.choice((0, 1))
    fall = rng.choice((rise, rise, rng.randint(2, 9)))
    gate = s.enable(("none", "high", "low"))
    x, y, n = s.input("x", "noisy", "button"), s.output("y", "clean", "stable"), s.internal("n", "count", "run")
    w = max(1, (max(rise, fall) - 1).bit_length())
    r, f, zero = s.const(w, rise - 1), s.const(w, fall - 1), s.const(w, 0)
    limit = r if rise == fall else f"({y} ? {f} : {r})"
    step = f"if ({x} == {y})\n  {n} <= {zero};\nelse if ({n} == {limit}) begin\n  {y} <= {x};\n  {n} <= {zero};\nend else\n  {n} <= {n} + 1;"
    hold = " Otherwise nothing changes." if gate.test else ""
    counts = f"{rise} samples in a row" if rise == fall else f"{rise} samples in a row (to go to 1) or {fall} (to go to 0)"
    return s.finish(
        "debouncer",
        ("debounce", "debouncer", "clean_input"),
        {"rise": rise, "fall": fall, "start": start, "enable": gate.kind},
        [f"reg {'' if w == 1 else f'[{w - 1}:0] '}{n};", s.clocked({y: f"1'b{start}", n: zero}, gate.guard(step))],
        (
            f"Debounce {x} into {y}: sampled each clock{gate.when}; {y} takes the value of {x} once {x} has differed from {y} for {counts}, at the last of them.",
            f"Write a debouncer. {x} is sampled at each clock edge{gate.when}. When it has differed from {y} for {counts}, {y} changes at the edge of the last "
            f"one. A sample equal to {y} starts the count again.{hold}",
            f"The register {y} follows the noisy input {x}, sampled at each active clock edge{gate.when}. A counter holds how many samples in a row differed "
            f"from {y}; a sample equal to {y} zeroes it. At the edge that takes the last of {counts}, {y} takes {x} and the counter goes to 0.{hold}",
        ),
        {y: str(start), "the count": "0"},
    )


def build_fixed_arbiter(rng: random.Random) -> Design:
    """One-hot grants by fixed priority, with or without holding."""
    s = Sketch(rng, reset_one_in=32)
    n, hold, low = rng.randint(2, 5), rng.choice((0, 1)), rng.choice((0, 1))
    gate = s.enable(("none", "high"))
    req, gnt = s.input("req", "r", "request", width=n), s.output("gnt", "grant", "g", width=n)
    order = range(n) if low else range(n - 1, -1, -1)
    arms = "\nelse ".join(f"if ({req}[{k}])\n  {gnt} <= {s.const(n, 1 << k)};" for k in order)
    step = f"{arms}\nelse\n  {gnt} <= {s.const(n, 0)};"
    tests = ([gate.test] if gate.test else []) + ([f"!(|({gnt} & {req}))"] if hold else [])
    if tests:
        step = f"if ({' && '.join(tests)}) begin\n" + "\n".join("  " + x for x in step.split("\n")) + "\nend"
    keeps = " A grant whose request is still 1 is kept." if hold else ""
    best = 0 if low else n - 1
    stays = " Otherwise the grant holds." if gate.test else ""
    return s.finish(
        "fixed_arbiter",
        ("arbiter", "prio_arbiter", "fixed_arb"),
        {"requests": n, "hold": hold, "low_first": low, "enable": gate.kind},
        [s.clocked({gnt: s.const(n, 0)}, step)],
        (
            f"Fixed-priority arbiter: the register {gnt} ({n} bits) gets{gate.when} the one-hot grant of the {'lowest' if low else 'highest'}-numbered 1 in {req}, "
            f"0 if there is none.{keeps}{stays}",
            f"Write an arbiter for {n} requests {req}. At each clock edge{gate.when} the register {gnt} gets a single 1, at the requester of highest "
            f"priority (bit {best} is the highest, in order from there), or all 0 if nobody asks.{keeps}{stays}",
            f"{gnt} is a register of {n} bits with at most one 1. At each active clock edge{gate.when} it is chosen anew from the present {req}: the requesting bit "
            f"with the {'lowest' if low else 'highest'} number wins, and without requests {gnt} becomes 0.{keeps}{stays}",
        ),
        {gnt: "0"},
    )


def build_round_robin_arbiter(rng: random.Random) -> Design:
    """Whoever was served last comes last."""
    s = Sketch(rng, reset_one_in=32)
    n, hold = rng.choice((2, 3, 3, 4)), rng.choice((0, 1))
    way = 1 if n == 2 else rng.choice((1, -1))
    start = rng.randrange(n)
    gate = s.enable(("none", "high"))
    req, gnt = s.input("req", "r", "request", width=n), s.output("gnt", "grant", "g", width=n)
    last, w = s.internal("last", "ptr", "prev"), (n - 1).bit_length()
    arms = []
    for k in range(n):
        turn = [(k + way * (j + 1)) % n for j in range(n)]
        choice = "\n    else ".join(f"if ({req}[{t}]) begin\n      {gnt} <= {s.const(n, 1 << t)};\n      {last} <= {s.const(w, t)};\n    end" for t in turn)
        arms.append(f"  {s.const(w, k) if k < n - 1 else 'default'}:\n    {choice}")
    step = f"{gnt} <= {s.const(n, 0)};\ncase ({last})\n" + "\n".join(arms) + "\nendcase"
    tests = ([gate.test] if gate.test else []) + ([f"!(|({gnt} & {req}))"] if hold else [])
    if tests:
        step = f"if ({' && '.join(tests)}) begin\n" + "\n".join("  " + x for x in step.split("\n")) + "\nend"
    keeps = " While a granted request stays 1 its grant is kept." if hold else ""
    stays = " Otherwise nothing changes." if gate.test else ""
    cycle = " then ".join(str((way * k) % n) for k in range(n)) + " then 0"
    return s.finish(
        "round_robin_arbiter",
        ("rr_arbiter", "round_robin", "fair_arbiter"),
        {"requests": n, "hold": hold, "way": way, "start": start, "enable": gate.kind},
        [f"reg {'' if w == 1 else f'[{w - 1}:0] '}{last};", s.clocked({gnt: s.const(n, 0), last: s.const(w, start)}, step)],
        (
            f"Round-robin arbiter: the register {gnt} ({n} bits){gate.when} grants the first 1 of {req} in the order {cycle}, searching from just after the number "
            f"granted last; 0 if none asks.{keeps}{stays}",
            f"Write a round-robin arbiter for the {n} requests {req}. Each clock edge{gate.when} sets the register {gnt} to a one-hot grant: the search goes in the "
            f"circle {cycle}, begins after the last number granted and ends with that number. Without requests {gnt} becomes 0.{keeps}{stays}",
            f"{gnt} is a registered one-hot grant over {n} requesters. The arbiter remembers the number it granted last. At each active clock edge{gate.when} it looks "
            f"at {req} along the circle {cycle}, first at the number after the remembered one and at the remembered one last, and grants the first that is 1. If none "
            f"is, {gnt} becomes 0 and the memory stays.{keeps}{stays}",
        ),
        {gnt: "0", "the remembered number": str(start)},
    )


def build_door_controller(rng: random.Random) -> Design:
    """A motor door: a button, two limit switches, perhaps an obstacle sensor."""
    s = Sketch(rng, reset_one_in=48)
    press, blocked, start = rng.choice(("ignore", "reverse", "stop")), rng.choice((0, 1)), rng.choice((0, 2))
    b, top, low = s.input("button", "btn", "key", one_in=3), s.input("at_top", "upper", one_in=3), s.input("at_bottom", "lower", one_in=3)
    stop = s.input("obstacle", "blocked", one_in=6) if blocked else ""
    up, down, state = s.output("up", "motor_up", reg=False), s.output("down", "motor_down", reg=False), s.internal("state", "st")
    names = [s.internal(x) for x in ("CLOSED", "OPENING", "OPEN", "CLOSING")]
    closed, opening, opened, closing = names
    moves = {"ignore": ("", ""), "reverse": (closing, opening), "stop": (opened, closed)}[press]

    def arm(name: str, *pairs: tuple[str, str]) -> str:
        return f"  {name}:\n    " + "\n    else ".join(f"if ({c})\n      {state} <= {t};" for c, t in pairs if c and t)

    arms = [arm(closed, (b, opening)), arm(opening, (top, opened), (b, moves[0])), arm(opened, (b, closing)),
            arm("default", (stop, opening), (low, closed), (b, moves[1]))]
    pressing = {"ignore": "is ignored", "reverse": f"reverses it (opening to closing, closing to opening)", "stop": "stops it (opening: then open; closing: then closed)"}[press]
    over = f" While closing, {stop} = 1 makes it open; this comes before all else." if stop else ""
    return s.finish(
        "door_controller",
        ("garage_door", "door_fsm", "gate_control"),
        {"press": press, "obstacle": blocked, "start": start},
        [f"localparam {', '.join(f'{n} = 2{chr(39)}d{k}' for k, n in enumerate(names))};", f"reg [1:0] {state};",
         s.clocked({state: names[start]}, f"case ({state})\n" + "\n".join(arms) + "\nendcase"),
         f"assign {up} = ({state} == {opening});", f"assign {down} = ({state} == {closing});"],
        (
            f"Door FSM (closed, opening, open, closing): {b} starts it moving from rest; opening ends open on {top}, closing ends closed on {low}; {b} while moving "
            f"{pressing}, after the switches.{over} {up} = opening, {down} = closing.",
            f"Write a door controller with the states closed, opening, open and closing. {b} = 1 takes closed to opening and open to closing. Opening ends in open when "
            f"{top} is 1, closing in closed when {low} is 1. While it moves and its end switch is 0, {b} = 1 {pressing}.{over} {up} is 1 while opening and {down} "
            "while closing.",
            f"The machine moves at clock edges among closed, opening, open, closing. From closed, {b} = 1 leads to opening; from open, to closing. In opening, {top} = "
            f"1 leads to open; in closing, {low} = 1 leads to closed; these end switches have priority over the button, which in motion {pressing}.{over} {up} and {down} "
            "show the states opening and closing, without delay.",
        ),
        {"the state": ("closed", "", "open")[start]},
    )


def build_mode_button(rng: random.Random) -> Design:
    """Each press steps through the modes."""
    s = Sketch(rng, reset_one_in=96)
    count, onehot, back = rng.randint(3, 8), rng.choice((0, 1)), rng.choice(("none", "back", "home"))
    b = s.input("button", "press", "btn")
    other = s.input("back", "prev", one_in=3) if back == "back" else s.input("home", "clear", one_in=12) if back == "home" else ""
    w = count if onehot else (count - 1).bit_length()
    y, p = s.output("mode", "sel", "leds", width=w), s.internal("b_q", "held", "old_b")
    first = s.const(w, 1 if onehot else 0)
    end = s.const(w, 1 << (count - 1) if onehot else count - 1)
    if onehot:
        on, off = f"{{{y}[{w - 2}:0], {y}[{w - 1}]}}", f"{{{y}[0], {y}[{w - 1}:1]}}"
    else:
        on, off = f"({y} == {end}) ? {first} : {y} + 1", f"({y} == {first}) ? {end} : {y} - 1"
    step = f"{p} <= {b};\n"
    if back == "home":
        step += f"if ({other})\n  {y} <= {first};\nelse if ({b} && !{p})\n  {y} <= {on};"
    elif back == "back":
        step += f"if ({b} && !{p})\n  {y} <= {other} ? {off} : {on};"
    else:
        step += f"if ({b} && !{p})\n  {y} <= {on};"
    rule = {"none": "", "back": f" If {other} is 1 at that edge, it goes one back instead ({count - 1} before 0).",
            "home": f" {other} = 1 sets mode 0 and has priority."}[back]
    shown = f"one-hot in {y} (mode n: only bit n is 1)" if onehot else f"as a number in {y} ({bits(w)})"
    return s.finish(
        "mode_button",
        ("mode_select", "mode_button", "cycler"),
        {"modes": count, "onehot": onehot, "back": back},
        [f"reg {p};", s.clocked({p: "1'b0", y: first}, step)],
        (
            f"Modes 0 to {count - 1}, {shown}: each press ({b} = 1, and 0 at the clock edge before) goes to the next, after {count - 1} to 0.{rule}",
            f"Write a mode selector with {count} modes, shown {shown}. A press, that is a clock edge at which {b} is 1 while it was 0 at the edge before, moves to the next "
            f"mode, from {count - 1} to 0.{rule}",
            f"A register shows the present mode, 0 to {count - 1}, {shown}. The last sample of {b} is stored at every active clock edge; where {b} is 1 and that stored sample is "
            f"0, the mode goes up by one, or from {count - 1} to 0, at that same edge.{rule}",
        ),
        {f"the stored {b}": "0", "the mode": "0"},
    )


def build_frame_receiver(rng: random.Random) -> Design:
    """A start bit, data, perhaps parity, a stop bit; one bit a clock."""
    s = Sketch(rng, reset_one_in=200)
    n, order, parity = rng.randint(3, 8), rng.choice(("lsb", "msb")), rng.choice(("none", "even", "odd"))
    rx, data = s.input("rx", "line", "sin"), s.output("data", "word", "q", width=n)
    done, bad = s.output("done", "valid"), s.output("err", "bad", "error")
    k, sr = s.internal("n", "pos", "cnt"), s.internal("sr", "shift", "buf_q")
    wide = n + (parity != "none")
    w = (wide + 1).bit_length()
    move = f"{{{rx}, {sr}[{wide - 1}:1]}}" if order == "lsb" or parity != "none" else f"{{{sr}[{wide - 2}:0], {rx}}}"
    if order == "msb":
        move = f"{{{sr}[{wide - 2}:0], {rx}}}"
    word = f"{sr}[{n - 1}:0]" if order == "lsb" else f"{sr}[{wide - 1}:{wide - n}]"
    if wide == n:
        word = sr
    good = rx if parity == "none" else f"{rx} && {'' if parity == 'odd' else '!'}(^{sr})"
    step = (f"{done} <= 1'b0;\n{bad} <= 1'b0;\nif ({k} == {s.const(w, 0)}) begin\n  if (!{rx})\n    {k} <= {s.const(w, 1)};\n"
            f"end else if ({k} <= {s.const(w, wide)}) begin\n  {sr} <= {move};\n  {k} <= {k} + 1;\nend else begin\n  {k} <= {s.const(w, 0)};\n"
            f"  if ({good}) begin\n    {data} <= {word};\n    {done} <= 1'b1;\n  end else\n    {bad} <= 1'b1;\nend")
    first = "least" if order == "lsb" else "most"
    check = "" if parity == "none" else f", then a parity bit that makes the number of ones in data and parity {parity}"
    fault = "a stop bit of 0" if parity == "none" else "a stop bit of 0 or wrong parity"
    return s.finish(
        "frame_receiver",
        ("frame_rx", "serial_rx", "receiver"),
        {"bits": n, "order": order, "parity": parity},
        [f"reg [{wide - 1}:0] {sr};", f"reg [{w - 1}:0] {k};",
         s.clocked({k: s.const(w, 0), sr: s.const(wide, 0), data: s.const(n, 0), done: "1'b0", bad: "1'b0"}, step)],
        (
            f"Serial receiver, one bit of {rx} per clock: idle 1, start 0, {n} data bits ({first} significant first){check}, stop 1. At the stop bit's edge a good frame loads "
            f"{data} and sets {done}; {fault} sets {bad} and leaves {data}. Both are 1 for one clock.",
            f"Receive frames on {rx}, one bit at each clock edge: while idle a 0 is the start bit; {n} data bits follow, {first} significant first{check}, then a stop bit. At the "
            f"edge of the stop bit: if all is right, {data} takes the word and {done} becomes 1; on {fault}, {bad} becomes 1 and {data} holds. {done} and {bad} become 0 at any other edge.",
            f"The line {rx} carries one bit for each active clock edge. Idle bits are 1; a 0 starts a frame of {n} data bits, the {first} significant first{check}, and a stop bit that "
            f"must be 1. The edge that takes the stop bit ends the frame, whatever its value, and the next bit is an idle or start bit. That edge loads {data} and sets {done} if the "
            f"frame is good; with {fault} it sets {bad} and {data} keeps its value. All other edges clear {done} and {bad}.",
        ),
        {"the receiver": "idle", data: "0", done: "0", bad: "0"},
    )


def build_combination_lock(rng: random.Random) -> Design:
    """Opens after the right digits in a row."""
    s = Sketch(rng, reset_one_in=96)
    width = rng.choice((1, 2))
    length = rng.randint(3, 5) if width == 1 else rng.randint(2, 3)
    code = [rng.randrange(1 << width) for _ in range(length)]
    wrong, close = rng.choice(("restart", "first")), rng.choice(("input", "digit"))
    go, d = s.input("enter", "strobe", "key"), s.input("digit", "d", "code_in", width=width)
    shut = s.input("lock", "close", "shut", one_in=8) if close == "input" else ""
    y, n = s.output("unlocked", "is_open", "opened", reg=False), s.internal("n", "state", "progress")
    w = length.bit_length()
    arms = []
    for k, digit in enumerate(code):
        back = 1 if wrong == "first" and k and code[0] != digit else 0
        miss = s.const(w, 0) if not back else f"({d} == {s.const(width, code[0])}) ? {s.const(w, 1)} : {s.const(w, 0)}"
        miss = f"({miss})" if back else miss
        arms.append(f"  {s.const(w, k)}: {n} <= ({d} == {s.const(width, digit)}) ? {s.const(w, k + 1)} : {miss};")
    arms.append(f"  default: {n} <= {s.const(w, 0) if not shut else n};")
    step = f"if ({go})\n  case ({n})\n" + "\n".join("  " + a for a in arms) + "\n  endcase"
    if shut:
        step = f"if ({shut})\n  {n} <= {s.const(w, 0)};\nelse {step}"
    digits = ", ".join(map(str, code))
    after = "starts the code from the beginning" if wrong == "restart" else f"starts the code from the beginning, itself counting as the first digit if it is {code[0]}"
    closing = (f"{shut} = 1 closes it and forgets digits, with priority over {go}; while open, digits are ignored" if shut
               else f"while it is open, the next digit entered, whatever it is, closes it and does not count")
    return s.finish(
        "combination_lock",
        ("lock_fsm", "code_lock", "combo_lock"),
        {"width": width, "code": "-".join(map(str, code)), "wrong": wrong, "close": close},
        [f"reg [{w - 1}:0] {n};", s.clocked({n: s.const(w, 0)}, step), f"assign {y} = ({n} == {s.const(w, length)});"],
        (
            f"Code lock: {go}=1 enters {d}; the digits {digits} in a row open it ({y} = 1). A wrong digit {after}. {closing[0].upper() + closing[1:] if not shut else closing}.",
            f"Write a code lock. A clock edge with {go} = 1 enters the digit {d} ({bits(width)}). After {digits}, entered in this order, {y} is 1. A wrong digit {after}. As to "
            f"closing, {closing}.",
            f"The lock takes a digit from {d} ({bits(width)}) at each active clock edge where {go} is 1. It opens, that is {y} (decoded from the state) becomes 1, with the last of "
            f"the digits {digits} entered in a row. A digit that is not the expected one {after}. As to closing, {closing}.",
        ),
        {"the lock": "closed with no digit entered"},
    )


def build_hysteresis(rng: random.Random) -> Design:
    """On at a high mark, off at a low mark."""
    s = Sketch(rng)
    width = rng.randint(3, 8)
    low = rng.randint(1, (1 << (width - 1)) - 1)
    high = rng.randint(low + 1, (1 << width) - 2)
    sense, start = rng.choice(("heat", "alarm")), rng.choice((0, 1))
    gate = s.enable(("none", "high", "low"))
    x, y = s.input("level", "temp", "x", width=width), s.output("on", "active", "y")
    on, off = (f"{x} >= {s.const(width, high)}", f"{x} <= {s.const(width, low)}")
    up, down = ("1'b1", "1'b0") if sense == "alarm" else ("1'b0", "1'b1")
    step = f"if ({on})\n  {y} <= {up};\nelse if ({off})\n  {y} <= {down};"
    if gate.test:
        step = f"if ({gate.test}) begin\n" + "\n".join("  " + z for z in step.split("\n")) + "\nend"
    hold = f" Otherwise {y} holds." if gate.test else ""
    return s.finish(
        "hysteresis",
        ("hysteresis", "thermostat", "schmitt"),
        {"width": width, "low": low, "high": high, "sense": sense, "start": start, "enable": gate.kind},
        [s.clocked({y: f"1'b{start}"}, step)],
        (
            f"Hysteresis, {y} registered{gate.when and ', updated' + gate.when}: {x} >= {high} makes it {up[-1]}, {x} <= {low} makes it {down[-1]}, between it holds.",
            f"Write a two-point controller. At each clock edge{gate.when}, {y} becomes {up[-1]} if {x} ({width} bits, unsigned) is {high} or more and {down[-1]} if it is {low} or less; "
            f"in between it keeps its value.{hold}",
            f"{y} is a flip-flop with hysteresis on the unsigned {width}-bit input {x}, updated at each active clock edge{gate.when}. Values from {high} up set it to {up[-1]}, values "
            f"from {low} down set it to {down[-1]}, and values between the two marks leave it alone.{hold}",
        ),
        {y: str(start)},
    )


FAMILIES: tuple[Family, ...] = (
    Family("sequence_detector", _CATEGORY, build_sequence_detector),
    Family("table_machine", _CATEGORY, build_table_machine),
    Family("traffic_light", _CATEGORY, build_traffic_light),
    Family("vending_machine", _CATEGORY, build_vending_machine),
    Family("debouncer", _CATEGORY, build_debouncer),
    Family("fixed_arbiter", _CATEGORY, build_fixed_arbiter),
    Family("round_robin_arbiter", _CATEGORY, build_round_robin_arbiter),
    Family("door_controller", _CATEGORY, build_door_controller),
    Family("mode_button", _CATEGORY, build_mode_button),
    Family("frame_receiver", _CATEGORY, build_frame_receiver),
    Family("combination_lock", _CATEGORY, build_combination_lock),
    Family("hysteresis", _CATEGORY, build_hysteresis),
)
