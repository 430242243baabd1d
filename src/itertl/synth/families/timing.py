"""Pulses and time: stretchers, ticks, dividers, PWM, timers, watchdogs."""

import random

from itertl.synth.design import DesignSpec
from itertl.synth.families.sequential import Sketch, family


@family("timing", reset_one_in=48)
def pulse_stretcher(s: Sketch, rng: random.Random) -> DesignSpec:
    """A trigger makes a pulse of N clocks, retriggerable or not; level or edge triggered."""
    length, again, trigger = rng.randint(2, 15), rng.choice((0, 1)), rng.choice(("level", "edge"))
    t, y = s.input("trig", "start", "x", one_in=6), s.output("pulse", "y", "active", reg=False)
    n, w = s.internal("left", "n", "timer"), length.bit_length()
    go, parts, clear, step = t, [f"reg [{w - 1}:0] {n};"], {n: s.const(w, 0)}, ""
    if trigger == "edge":
        p = s.internal("prev", "last", "t_q")
        parts.append(f"reg {p};")
        clear[p], step, go = s.const(1, 0), f"{p} <= {t};\n", f"{t} && !{p}"
    test = go if again else f"{go} && {n} == {s.const(w, 0)}"
    step += f"if ({test})\n  {n} <= {s.const(w, length)};\nelse if ({n} != {s.const(w, 0)})\n  {n} <= {n} - 1;"
    event = f"{t} is 1" if trigger == "level" else f"{t} is 1 and was 0 at the clock edge before"
    rule = "only while no pulse is running (else it is ignored)"
    rule = "also while a pulse is running, which starts its full length anew" if again else rule
    starts = {"the timer": "0", y: "0"} | ({f"the stored {t}": "0"} if trigger == "edge" else {})
    return s.finish(
        ("stretcher", "one_shot", "monostable", "pulse_gen"),
        {"length": length, "again": again, "trigger": trigger},
        [*parts, s.clocked(clear, step), f"assign {y} = ({n} != {s.const(w, 0)});"],
        f"One-shot: when {event}, {y} goes 1 at that clock edge for {length} clocks; triggers count {rule}.",
        f"Write a pulse generator. At a clock edge where {event}, {y} becomes 1 and stays 1 for {length} clock "
        f"cycles, then 0. A trigger counts {rule}.",
        f"{y} is 1 while an internal timer is not 0. A trigger is a clock edge where {event}. It loads the timer "
        f"with {length}, {rule}. At any other clock edge a timer above 0 goes down by one.",
        starts,
    )


@family("timing", reset_one_in=96)
def tick_generator(s: Sketch, rng: random.Random) -> DesignSpec:
    """A one-clock pulse every N clocks."""
    period, style = rng.randint(3, 24), rng.choice(("comb", "registered"))
    gate, w = s.enable(("none", "high", "low")), (period - 1).bit_length()
    y, n = s.output("tick", "pulse", "en_out", reg=style == "registered"), s.internal("n", "count", "div")
    last, zero = s.const(w, period - 1), s.const(w, 0)
    step = f"{n} <= ({n} == {last}) ? {zero} : {n} + 1;"
    holders = "the count holds" if style == "comb" else f"the count and {y} hold"
    hold = f" Otherwise {holders}." if gate.test else ""
    if style == "comb":
        parts = [f"reg [{w - 1}:0] {n};", s.clocked({n: zero}, gate.guard(step)), f"assign {y} = ({n} == {last});"]
        rule, starts = f"{y} is 1 exactly while the count is {period - 1} (combinational)", {"the count": "0", y: "0"}
    else:
        parts = [
            f"reg [{w - 1}:0] {n};",
            s.clocked({n: zero, y: "1'b0"}, gate.guard(f"{step}\n{y} <= ({n} == {last});")),
        ]
        rule = f"{y} is a register that becomes 1 at the step from {period - 1} to 0 and 0 at all other steps"
        starts = {"the count": "0", y: "0"}
    return s.finish(
        ("tick_gen", "prescaler", f"every{period}"),
        {"period": period, "style": style, "enable": gate.kind},
        parts,
        f"Tick generator: a counter runs 0 to {period - 1} and over again{gate.when}; {rule}.{hold}",
        f"Make a tick {y} with a period of {period} steps. An internal counter "
        f"steps{gate.when or ' at every clock edge'} from 0 up to {period - 1} and back to 0; {rule}.{hold}",
        f"An internal counter takes the values 0 to {period - 1} in turn, advancing by one at each active clock "
        f"edge{gate.when} and going from {period - 1} to 0. As to the output, {rule}.{hold}",
        starts,
    )


@family("timing", reset_one_in=96)
def clock_divider(s: Sketch, rng: random.Random) -> DesignSpec:
    """A square wave of a given high and low time."""
    high, low = rng.randint(1, 10), rng.randint(1, 10)
    high += high == low == 1
    start, total = rng.choice((0, 1)), high + low
    gate = s.enable(("none", "high"))
    w, lengths = (max(high, low) - 1).bit_length() or 1, {1: high, 0: low}
    y, n = s.output("clk_out", "wave", "y", "div_out"), s.internal("n", "count", "t")
    zero, end = s.const(w, 0), f"{y} ? {s.const(w, high - 1)} : {s.const(w, low - 1)}"
    test = f"{n} == {s.const(w, high - 1)}" if high == low else f"{n} == ({end})"
    step = f"if ({test}) begin\n  {n} <= {zero};\n  {y} <= ~{y};\nend else\n  {n} <= {n} + 1;"
    step = gate.guard(step)
    hold = " Otherwise everything holds." if gate.test else ""
    return s.finish(
        ("clk_div", "divider", f"div_by_{total}", "wave_gen"),
        {"high": high, "low": low, "start": start, "enable": gate.kind},
        [f"reg [{w - 1}:0] {n};" if w > 1 else f"reg {n};", s.clocked({n: zero, y: f"1'b{start}"}, step)],
        f"Divide by {total}: {y} (registered) is 1 for {high} and 0 for {low} clocks in "
        f"turn{gate.when and ', counting clocks only' + gate.when}, "
        f"beginning with a full {'high' if start else 'low'} phase.{hold}",
        f"Generate a square wave {y} that stays 1 for {high} and 0 for {low} clock edges, for "
        f"ever{gate.when and '; an edge counts only' + gate.when}. "
        f"It begins with a whole phase of {lengths[start]} edges at {start}.{hold}",
        f"{y} is a flip-flop with an internal counter. The counter goes up at each active clock edge{gate.when}; "
        f"at the {high}th such edge of a high phase or the {low}th of a low phase it returns to 0 and {y} inverts. "
        f"It begins with a {'high' if start else 'low'} phase.{hold}",
        {y: str(start), "the counter": "0"},
    )


@family("timing", reset_one_in=96)
def pwm(s: Sketch, rng: random.Random) -> DesignSpec:
    """A counter compared with a duty input, directly or latched each period."""
    width = rng.randint(3, 6)
    period = rng.choice((1 << width, rng.randint((1 << (width - 1)) + 1, 1 << width)))
    latched, polarity = rng.choice((0, 1)), rng.choice((1, 1, 0))
    gate = s.enable(("none", "high"))
    duty, y = s.input("duty", "level", "cmp", width=width), s.output("pwm", "y", "pwm_out", reg=False)
    n, held = s.internal("n", "count", "ramp"), s.internal("duty_q", "held")
    zero, last = s.const(width, 0), s.const(width, period - 1)
    wrap = f"{n} == {last}"
    step = f"{n} <= {n} + 1;" if period == 1 << width and not latched else f"{n} <= ({wrap}) ? {zero} : {n} + 1;"
    clear, ref, parts = {n: zero}, duty, [f"reg [{width - 1}:0] {n};"]
    if latched:
        clear[held], ref = zero, held
        parts.append(f"reg [{width - 1}:0] {held};")
        step += f"\nif ({wrap})\n  {held} <= {duty};"
    parts += [s.clocked(clear, gate.guard(step)), f"assign {y} = ({n} {'<' if polarity else '>='} {ref});"]
    source = (
        f"a stored copy of {duty}, refreshed from {duty} at the step from {period - 1} to 0"
        if latched
        else f"{duty} (at once)"
    )
    relation = "below" if polarity else "at or above"
    return s.finish(
        ("pwm", "pwm_gen", "duty_gen"),
        {"width": width, "period": period, "latched": latched, "polarity": polarity, "enable": gate.kind},
        parts,
        f"PWM, {width} bits: a counter runs 0 to {period - 1} over again{gate.when}; {y} = 1 while it is "
        f"{relation} {source}.",
        f"Write a {width}-bit PWM. An internal counter steps{gate.when or ' at every clock edge'} from 0 to "
        f"{period - 1}, then 0 again. {y} is combinational: 1 while the counter is {relation} {source}.{gate.hold}",
        f"The pulse-width modulator has a period of {period} steps, counted 0 to {period - 1} by an internal "
        f"counter that steps at each active clock edge{gate.when}. {y} is 1 exactly while the count is {relation} "
        f"{source}; there is no register behind the comparison.{gate.hold}",
        {"the counter": "0"} | ({"the stored copy": "0"} if latched else {}),
    )


@family("timing", reset_one_in=64)
def watchdog(s: Sketch, rng: random.Random) -> DesignSpec:
    """Barks when nobody kicks it for N clocks."""
    limit, kind = rng.randint(3, 20), rng.choice(("sticky", "while", "pulse"))
    gate, w = s.enable(("none", "high")), limit.bit_length()
    kick, y = s.input("kick", "feed", "alive", one_in=8), s.output("bark", "timeout", "expired", reg=kind == "pulse")
    n, top, zero = s.internal("n", "count", "age"), s.const(w, limit), s.const(w, 0)
    last = s.const(w, limit - 1)
    clear, count = {n: zero}, f"else if ({gate.test})" if gate.test else "else"
    if kind == "pulse":
        clear[y] = "1'b0"
        fires = f"{n} == {last}"
        step = (
            f"{y} <= 1'b0;\nif ({kick})\n  {n} <= {zero};\n{count} begin\n  {n} <= ({fires}) ? {zero} : {n} + 1;\n"
            f"  {y} <= ({fires});\nend"
        )
        rule = (
            f"at the {limit}th such edge {y} becomes 1 for one clock (registered) and the count returns to 0; at any "
            f"other edge {y} becomes 0"
        )
    else:
        more = f"else if ({gate.test} && {n} != {top})" if gate.test else f"else if ({n} != {top})"
        restart = f"{kick} && {n} != {top}" if kind == "sticky" else kick
        step = f"if ({restart})\n  {n} <= {zero};\n{more}\n  {n} <= {n} + 1;"
        rule = f"from the {limit}th such edge on {y} is 1" + (
            ", and stays 1 for good: then kicks are ignored" if kind == "sticky" else f" until the next {kick}"
        )
    if kind == "sticky" and s.reset is None:
        rule += " (there is no way back)"
    parts = [f"reg [{w - 1}:0] {n};", s.clocked(clear, step)]
    if kind != "pulse":
        parts.append(f"assign {y} = ({n} == {top});")
    counted = f" where {gate.test} is 1" if gate.test else ""
    return s.finish(
        ("watchdog", "wdt", "timeout_timer"),
        {"limit": limit, "kind": kind, "enable": gate.kind},
        parts,
        f"Watchdog: {kick}=1 zeroes a counter of the clock edges without {kick}{counted}; {rule}.",
        f"Count the clock edges at which {kick} is 0{' and ' + gate.test + ' is 1' if gate.test else ''}; an edge "
        f"with {kick} = 1 sets the count to 0. Counting from 1, {rule}.",
        f"The watchdog holds the number of active clock edges since the last {kick}. An edge with {kick} = 1 makes "
        f"it 0, whatever else; an edge with {kick} = 0{' and ' + gate.test + ' = 1' if gate.test else ''} adds "
        f"one{', any other changes nothing' if gate.test else ''}. The effect: {rule}.",
        {"the count": "0", y: "0"},
    )


@family("timing", reset_one_in=64)
def down_timer(s: Sketch, rng: random.Random) -> DesignSpec:
    """A programmable timer that counts down and stops or reloads."""
    width, kind, reading = rng.randint(2, 6), rng.choice(("stop", "reload")), rng.choice(("shown", "hidden"))
    gate = s.enable(("none", "high", "low"))
    ld, d = s.input("load", "start", "ld", one_in=6), s.input("d", "ticks", "period", width=width)
    n = s.output("left", "q", "remaining", width=width) if reading == "shown" else s.internal("n", "count", "timer")
    y, zero = s.output("done", "zero", "expired", reg=False), s.const(width, 0)
    parts = [] if reading == "shown" else [f"reg [{width - 1}:0] {n};"]
    clear = {n: zero}
    load, extra = f"{n} <= {d};", ""
    if kind == "reload":
        r = s.internal("reload", "saved", "again")
        parts.append(f"reg [{width - 1}:0] {r};")
        clear[r] = zero
        load = f"begin\n  {n} <= {d};\n  {r} <= {d};\nend"
        move = f"{n} <= ({n} == {zero}) ? {r} : {n} - 1;"
        extra = f" At 0 it takes, at the next step, the value {d} had at the last {ld}."
        condition = gate.test
    else:
        move, extra = f"{n} <= {n} - 1;", " At 0 it stays."
        condition = f"{gate.test} && {n} != {zero}" if gate.test else f"{n} != {zero}"
    head = f"if ({ld}) {load} " if kind == "reload" else f"if ({ld})\n  {load}\n"
    step = head + (f"else if ({condition})" if condition else "else") + f"\n  {move}"
    name = n if reading == "shown" else "the count"
    where = f"{n}, an output," if reading == "shown" else "an internal count"
    steps = f"{gate.when or ' at every clock edge'}"
    return s.finish(
        ("timer", "down_timer", "interval_timer"),
        {"width": width, "kind": kind, "reading": reading, "enable": gate.kind},
        [*parts, s.clocked(clear, step), f"assign {y} = ({n} == {zero});"],
        f"Timer of {width} bits: {ld}=1 loads {d} into {where}; else it steps down by one{gate.when}.{extra} {y} "
        "is 1 while it is 0 (combinational).",
        f"Write a down-counting timer with {where} of {width} bits. {ld} = 1 loads {d} at the clock edge. "
        f"Otherwise it goes down by one{steps}.{extra} {y} is 1, combinationally, while {name} is 0.",
        f"At an active clock edge with {ld} = 1, {where.rstrip(',')} ({width} bits) takes {d}; this comes first. With "
        f"{ld} = 0 it decreases by one{steps}.{extra} The output {y} tells, without a register, that {name} is 0.",
        {name: "0"} | ({"the value to reload": "0"} if kind == "reload" else {}),
    )
