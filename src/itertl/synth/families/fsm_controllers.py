"""State machines that control something: lights, vending, doors, mode buttons, arbiters."""

import random

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, begin_end, family
from itertl.synth.families.wording import bits


@family("fsm", reset_one_in=96)
def traffic_light(s: Sketch, rng: random.Random) -> DesignSpec:
    """Green, yellow, red, each for its number of clocks; a request may end green."""
    times = [rng.randint(3, 8), rng.randint(1, 4), rng.randint(2, 8)]
    waits, first = rng.choice((0, 1)), rng.choice((0, 2))
    req = s.input("car", "walk", "request", one_in=4) if waits else ""
    lights = [s.output(*o, reg=False) for o in (("green", "g"), ("yellow", "amber", "y"), ("red", "r"))]
    state, n = s.internal("state", "phase"), s.internal("t", "timer", "n")
    w = max(times).bit_length()
    ends = [f"{n} == {s.const(w, t - 1)}" for t in times]
    if waits:
        ends[0] = f"{n} >= {s.const(w, times[0] - 1)} && {req}"
    after = f"{n} <= {n} + 1;"
    if waits:
        after = f"if ({n} != {s.const(w, times[0] - 1)} || {state} != 2'd0)\n    {after}"
    test = " || ".join(f"({state} == 2'd{k} && {e})" for k, e in enumerate(ends))
    step = (
        f"if ({test}) begin\n  {n} <= {s.const(w, 0)};\n  {state} <= ({state} == 2'd2) ? 2'd0 : {state} + 2'd1;\nend "
        "else" + (f" begin\n  {after}\nend" if waits else f"\n  {after}")
    )
    g, y, r = lights
    rule = f"{g} for {'at least ' if waits else ''}{times[0]} clocks"
    rule += f", ending at the first clock edge from the {times[0]}th on at which {req} is 1" if waits else ""
    return s.finish(
        ("traffic_light", "signal_head", "lights"),
        {"green": times[0], "yellow": times[1], "red": times[2], "waits": waits, "first": first},
        [
            f"reg [1:0] {state};",
            f"reg [{w - 1}:0] {n};",
            s.clocked({state: f"2'd{first}", n: s.const(w, 0)}, step),
            *(f"assign {name} = ({state} == 2'd{k});" for k, name in enumerate(lights)),
        ],
        f"Traffic light: {rule}, then {y} for {times[1]}, then {r} for {times[2]}, and again; exactly one of them "
        "is 1.",
        f"Write a traffic-light controller. Of {g}, {y} and {r} exactly one is 1 at any time, in the order {rule}; "
        f"then {y} for {times[1]} clock cycle(s); then {r} for {times[2]}; then {g} again.",
        "A controller drives three lamps, one at a time, for ever. Its phases, counted in active clock edges, are: "
        f"{rule}; {y} for {times[1]}; {r} for {times[2]}. The outputs {g}, {y} and {r} follow the phase without delay.",
        {"the phase": f"the beginning of {lights[first]}"},
    )


@family("fsm", reset_one_in=64)
def vending_machine(s: Sketch, rng: random.Random) -> DesignSpec:
    """Adds coins until the price is reached, then serves and gives change."""
    price, coins = rng.randint(3, 12), tuple(sorted(rng.sample(range(1, 6), 2)))
    keep, refund = rng.choice(("change", "credit", "lost")), rng.choice((0, 1))
    a, b = s.input("coin_a", "nickel", "c1"), s.input("coin_b", "dime", "c2")
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
    cancel = ""
    if back:
        cancel = f" {back} = 1, which has priority, instead puts the credit (without coins at that edge) on {change}"
        cancel += " and makes it 0."
        body = f"if ({back}) begin\n  {change} <= {total};\n  {total} <= {zero};\nend else " + body
    step = f"{serve} <= 1'b0;\n" + (f"{change} <= {zero};\n" if change else "") + body
    clear = {total: zero, serve: "1'b0"} | ({change: zero} if change else {})
    then = {
        "change": f"the excess goes out on {change} and the credit becomes 0",
        "credit": "the excess stays as credit",
        "lost": "the credit becomes 0 and any excess is lost",
    }[keep]
    pulses = f"{serve} and {change} are registers" if change else f"{serve} is a register"
    pulses += ", 0 after every other edge."
    value = f"{a} is worth {coins[0]} and {b} {coins[1]}; both may come at once"
    return s.finish(
        ("vending", "vendor", "coin_box"),
        {"price": price, "coins": f"{coins[0]}-{coins[1]}", "keep": keep, "refund": refund},
        [
            f"reg [{w - 1}:0] {total};",
            f"wire [{w - 1}:0] {new} = {total} + ({a} ? {s.const(w, coins[0])} : {zero}) + ({b} ? "
            f"{s.const(w, coins[1])} : {zero});",
            s.clocked(clear, step),
        ],
        f"Vending machine, price {price}; {value}. When credit plus coins reaches {price}, {serve} becomes 1 and "
        f"{then}; else the coins join the credit. {pulses}{cancel}",
        f"Write a vending machine for a price of {price}. At each clock edge {value}. If the credit with these coins "
        f"is {price} or more, {serve} becomes 1 and {then}. If it is less, it is the new credit. {pulses}{cancel}",
        f"The machine keeps a credit and looks at the coin inputs at every active clock edge: {value}. Where "
        "credit and new coins together make at least "
        f"{price}, {serve} becomes 1 and {then}; where they do not, they become the credit. {pulses}{cancel}",
        {"the credit": "0", serve: "0"} | ({change: "0"} if change else {}),
    )


@family("fsm", reset_one_in=32)
def fixed_arbiter(s: Sketch, rng: random.Random) -> DesignSpec:
    """One-hot grants by fixed priority, with or without holding."""
    n, hold, low = rng.randint(2, 5), rng.choice((0, 1)), rng.choice((0, 1))
    gate = s.enable(("none", "high"))
    req, gnt = s.input("req", "r", "request", width=n), s.output("gnt", "grant", "g", width=n)
    order = range(n) if low else range(n - 1, -1, -1)
    arms = "\nelse ".join(f"if ({req}[{k}])\n  {gnt} <= {s.const(n, 1 << k)};" for k in order)
    step = f"{arms}\nelse\n  {gnt} <= {s.const(n, 0)};"
    tests = ([gate.test] if gate.test else []) + ([f"!(|({gnt} & {req}))"] if hold else [])
    if tests:
        step = begin_end(f"if ({' && '.join(tests)})", step)
    keeps = " A grant whose request is still 1 is kept." if hold else ""
    best = 0 if low else n - 1
    stays = " Otherwise the grant holds." if gate.test else ""
    return s.finish(
        ("arbiter", "prio_arbiter", "fixed_arb"),
        {"requests": n, "hold": hold, "low_first": low, "enable": gate.kind},
        [s.clocked({gnt: s.const(n, 0)}, step)],
        f"Fixed-priority arbiter: the register {gnt} ({n} bits) gets{gate.when} the one-hot grant of the "
        f"{'lowest' if low else 'highest'}-numbered 1 in {req}, 0 if there is none.{keeps}{stays}",
        f"Write an arbiter for {n} requests {req}. At each clock edge{gate.when} the register {gnt} gets a single "
        "1, at the requester of highest "
        f"priority (bit {best} is the highest, in order from there), or all 0 if nobody asks.{keeps}{stays}",
        f"{gnt} is a register of {n} bits with at most one 1. At each active clock edge{gate.when} it is chosen "
        f"anew from the present {req}: the requesting bit with the {'lowest' if low else 'highest'} number wins, "
        f"and without requests {gnt} becomes 0.{keeps}{stays}",
    )


@family("fsm", reset_one_in=32)
def round_robin_arbiter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Whoever was served last comes last."""
    n, hold = rng.choice((2, 3, 3, 4)), rng.choice((0, 1))
    way = 1 if n == 2 else rng.choice((1, -1))
    start = rng.randrange(n)
    gate = s.enable(("none", "high"))
    req, gnt = s.input("req", "r", "request", width=n), s.output("gnt", "grant", "g", width=n)
    last, w = s.internal("last", "ptr", "prev"), (n - 1).bit_length()
    pick, arms = s.internal("pick", "nxt", "winner"), []
    for k in range(n):
        turn = [(k + way * (j + 1)) % n for j in range(n)]
        choice = " : ".join([*(f"{req}[{t}] ? {s.const(w, t)}" for t in turn[:-1]), s.const(w, turn[-1])])
        arms.append(choice if k == n - 1 else f"({last} == {s.const(w, k)}) ? ({choice}) :")
    picking = "\n".join("  " + arm for arm in arms)
    step = f"{gnt} <= (|{req}) ? ({s.const(n, 1)} << {pick}) : {s.const(n, 0)};\nif (|{req})\n  {last} <= {pick};"
    tests = ([gate.test] if gate.test else []) + ([f"!(|({gnt} & {req}))"] if hold else [])
    if tests:
        step = begin_end(f"if ({' && '.join(tests)})", step)
    keeps = " While a granted request stays 1 its grant is kept." if hold else ""
    cycle = " then ".join(str((way * k) % n) for k in range(n)) + " then 0"
    return s.finish(
        ("rr_arbiter", "round_robin", "fair_arbiter"),
        {"requests": n, "hold": hold, "way": way, "start": start, "enable": gate.kind},
        [
            f"reg {bit_range(w)}{last};\nwire {bit_range(w)}{pick} =\n{picking};",
            s.clocked({gnt: s.const(n, 0), last: s.const(w, start)}, step),
        ],
        f"Round-robin arbiter: the register {gnt} ({n} bits){gate.when} grants the first 1 of {req} in the order "
        f"{cycle}, searching from just after the number granted last; 0 if none asks.{keeps}{gate.hold}",
        f"Write a round-robin arbiter for the {n} requests {req}. Each clock edge{gate.when} sets the register "
        f"{gnt} to a one-hot grant: the search goes in the circle {cycle}, begins after the last number granted "
        f"and ends with that number. Without requests {gnt} becomes 0.{keeps}{gate.hold}",
        f"{gnt} is a registered one-hot grant over {n} requesters. The arbiter remembers the number it granted "
        f"last. At each active clock edge{gate.when} it looks at {req} along the circle {cycle}, first at the "
        "number after the remembered one and at the remembered one last, and grants the first that is 1. If none "
        f"is, {gnt} becomes 0 and the memory stays.{keeps}{gate.hold}",
        {gnt: "0", "the remembered number": str(start)},
    )


@family("fsm", reset_one_in=48)
def door_controller(s: Sketch, rng: random.Random) -> DesignSpec:
    """A motor door: a button, two limit switches, perhaps an obstacle sensor."""
    press, blocked, start = rng.choice(("ignore", "reverse", "stop")), rng.choice((0, 1)), rng.choice((0, 2))
    b = s.input("button", "btn", "key", one_in=3)
    top = s.input("at_top", "upper", one_in=3)
    low = s.input("at_bottom", "lower", one_in=3)
    stop = s.input("obstacle", "blocked", one_in=6) if blocked else ""
    up = s.output("up", "motor_up", reg=False)
    down = s.output("down", "motor_down", reg=False)
    state = s.internal("state", "st")
    names = [s.internal(x) for x in ("CLOSED", "OPENING", "OPEN", "CLOSING")]
    closed, opening, opened, closing = names
    moves = {"ignore": ("", ""), "reverse": (closing, opening), "stop": (opened, closed)}[press]

    def arm(name: str, *pairs: tuple[str, str]) -> str:
        return f"  {name}:\n    " + "\n    else ".join(f"if ({c})\n      {state} <= {t};" for c, t in pairs if c and t)

    arms = [
        arm(closed, (b, opening)),
        arm(opening, (top, opened), (b, moves[0])),
        arm(opened, (b, closing)),
        arm("default", (stop, opening), (low, closed), (b, moves[1])),
    ]
    pressing = {
        "ignore": "is ignored",
        "reverse": "reverses it (opening to closing, closing to opening)",
        "stop": "stops it (opening: then open; closing: then closed)",
    }[press]
    over = f" While closing, {stop} = 1 makes it open; this comes before all else." if stop else ""
    return s.finish(
        ("garage_door", "door_fsm", "gate_control"),
        {"press": press, "obstacle": blocked, "start": start},
        [
            f"localparam {', '.join(f'{n} = {s.const(2, k)}' for k, n in enumerate(names))};",
            f"reg [1:0] {state};",
            s.clocked({state: names[start]}, f"case ({state})\n" + "\n".join(arms) + "\nendcase"),
            f"assign {up} = ({state} == {opening});",
            f"assign {down} = ({state} == {closing});",
        ],
        f"Door FSM (closed, opening, open, closing): {b} starts it moving from rest; opening ends open on {top}, "
        f"closing ends closed on {low}; {b} while moving "
        f"{pressing}, after the switches.{over} {up} = opening, {down} = closing.",
        f"Write a door controller with the states closed, opening, open and closing. {b} = 1 takes closed to opening "
        f"and open to closing. Opening ends in open when {top} is 1, closing in closed when {low} is 1. While it moves "
        f"and its end switch is 0, {b} = 1 {pressing}.{over} {up} is 1 while opening and {down} while closing.",
        f"The machine moves at clock edges among closed, opening, open, closing. From closed, {b} = 1 leads to "
        f"opening; from open, to closing. In opening, {top} = 1 leads to open; in closing, {low} = 1 leads to "
        f"closed; these end switches have priority over the button, which in motion {pressing}.{over} {up} and "
        f"{down} show the states opening and closing, without delay.",
        {"the state": ("closed", "", "open")[start]},
    )


@family("fsm", reset_one_in=96)
def mode_button(s: Sketch, rng: random.Random) -> DesignSpec:
    """Each press steps through the modes."""
    count, onehot, back = rng.randint(3, 8), rng.choice((0, 1)), rng.choice(("none", "back", "home"))
    b = s.input("button", "press", "btn")
    other = (
        s.input("back", "prev", one_in=3)
        if back == "back"
        else s.input("home", "clear", one_in=12)
        if back == "home"
        else ""
    )
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
    rule = {
        "none": "",
        "back": f" If {other} is 1 at that edge, it goes one back instead ({count - 1} before 0).",
        "home": f" {other} = 1 sets mode 0 and has priority.",
    }[back]
    shown = f"one-hot in {y} (mode n: only bit n is 1)" if onehot else f"as a number in {y} ({bits(w)})"
    return s.finish(
        ("mode_select", "mode_button", "cycler"),
        {"modes": count, "onehot": onehot, "back": back},
        [f"reg {p};", s.clocked({p: "1'b0", y: first}, step)],
        f"Modes 0 to {count - 1}, {shown}: each press ({b} = 1, and 0 at the clock edge before) goes to the next, "
        f"after {count - 1} to 0.{rule}",
        f"Write a mode selector with {count} modes, shown {shown}. A press, that is a clock edge at which {b} is 1 "
        f"while it was 0 at the edge before, moves to the next mode, from {count - 1} to 0.{rule}",
        f"A register shows the present mode, 0 to {count - 1}, {shown}. The last sample of {b} is stored at every "
        f"active clock edge; where {b} is 1 and that stored sample is "
        f"0, the mode goes up by one, or from {count - 1} to 0, at that same edge.{rule}",
        {f"the stored {b}": "0", "the mode": "0"},
    )
