"""Machines that live somewhere: small worlds told in prose."""

import random

from itertl.synth.design import DesignSpec
from itertl.synth.families.sequential import Sketch, case_of, family
from itertl.synth.families.wording import bits, number


@family("stories", reset_one_in=64)
def tank_levels(s: Sketch, rng: random.Random) -> DesignSpec:
    """Sensors one above the other; the pumps depend on the level and on where it came from."""
    count = rng.choice((2, 3, 3, 4))
    sensors = s.input("lvl", "s", "sensor", width=count)
    flow = s.output("flow", "rate", "valve", width=3)
    extra = s.output("boost", "extra", "rising_help")
    last = s.internal("last", "prior", "seen")
    trend = rng.choice(("fell", "rose"))
    kind = rng.choice(("grain silo", "fuel tank", "water tower", "brine vat"))
    w = count.bit_length()
    level = s.internal("level", "height", "n")
    steps = [f"{count}'b{(1 << n) - 1:0{count}b}" for n in range(count + 1)]
    arms = {steps[n]: f"{level} = {s.const(w, n)};" for n in range(count + 1)}
    rates = sorted(rng.sample(range(8), count + 1), reverse=rng.random() < 0.8)
    given = {s.const(w, n): f"{flow} <= {s.const(3, rate)};" for n, rate in enumerate(rates)}
    sign = "<" if trend == "fell" else ">"
    lines = [f"always @(*)\n  case ({sensors})"] + [f"    {code}: {line}" for code, line in arms.items()]
    lines += [f"    default: {level} = {last};", "  endcase"]
    other = ">" if sign == "<" else "<"
    step = (
        case_of(level, given)
        + f"\nif ({level} {sign} {last})\n  {extra} <= 1'b1;\nelse if ({level} {other} {last})\n  {extra} <= 1'b0;\n"
        + f"{last} <= {level};"
    )
    opposite = "rose" if trend == "fell" else "fell"
    listing = ", ".join(f"{code} (level {n}): {rate}" for n, (code, rate) in enumerate(zip(steps, rates, strict=True)))
    return s.finish(
        ("tank_control", "level_control", "filler"),
        {"count": count, "rates": "-".join(map(str, rates)), "trend": trend},
        [
            f"reg [{w - 1}:0] {level}, {last};",
            "\n".join(lines),
            s.clocked({flow: s.const(3, rates[0]), extra: "1'b0", last: s.const(w, 0)}, step),
        ],
        f"Registered {flow} by the sensors {sensors}: {listing}. {extra} becomes 1 where the level {trend}, 0 where it "
        f"{opposite}, else holds. Another pattern counts as the level before.",
        f"A {kind} has {number(count)} level sensors, {sensors}[0] the lowest; a covered sensor is 1. At each clock "
        f"edge "
        f"{flow} takes the rate of the level: {listing}. {extra} becomes 1 when the level {trend} since the clock "
        f"before, "
        f"0 when it {opposite}, and stays as it is when it did not change. Other patterns of "
        f"{sensors} are faults: the level then counts as unchanged.",
        f"The inputs {sensors} ({bits(count)}) are sensors along the wall of a {kind}, bit 0 lowest; the level is how "
        f"many "
        f"are covered (1). A pattern with gaps is a fault, and the level of the clock before is used. {flow} is a "
        f"register "
        f"with a rate for each level ({listing}). The register {extra} is set at a clock edge where the level {trend} "
        f"since "
        f"the edge before, cleared where it {opposite}, and held where it is equal.",
        {"the remembered level": "0", flow: str(rates[0]), extra: "0"},
    )


@family("stories", reset_one_in=64)
def shuttle(s: Sketch, rng: random.Random) -> DesignSpec:
    """A car that turns at the ends of its track and rests there for some clocks."""
    rest, stop = rng.randint(1, 6), rng.choice((0, 1))
    who = rng.choice(("shuttle car", "crane trolley", "plotter carriage", "camera dolly"))
    west, east = s.input("at_west", "end_a", "left_end", one_in=4), s.input("at_east", "end_b", "right_end", one_in=4)
    halt = s.input("blocked", "obstacle", "halt", one_in=6) if stop else ""
    go_west, go_east = (
        s.output("go_west", "to_a", "move_left", reg=False),
        s.output("go_east", "to_b", "move_right", reg=False),
    )
    state, left = s.internal("state", "st", "mode"), s.internal("pause", "wait_n", "left")
    w = max(1, rest.bit_length())
    first = rng.choice(("west", "east"))
    codes = {"west": "2'd0", "east": "2'd1", "rest_west": "2'd2", "rest_east": "2'd3"}
    arms = {
        codes[
            "west"
        ]: f"if ({west}) begin\n    {state} <= {codes['rest_west']};\n    {left} <= {s.const(w, rest)};\n  end",
        codes[
            "east"
        ]: f"if ({east}) begin\n    {state} <= {codes['rest_east']};\n    {left} <= {s.const(w, rest)};\n  end",
        codes["rest_west"]: f"if ({left} == {s.const(w, 1)}) {state} <= {codes['east']}; else {left} <= {left} - 1'b1;",
        codes["rest_east"]: f"if ({left} == {s.const(w, 1)}) {state} <= {codes['west']}; else {left} <= {left} - 1'b1;",
    }
    step = case_of(state, arms)
    if halt:
        step = f"if (!{halt}) begin\n" + "\n".join("  " + line for line in step.split("\n")) + "\nend"
    frozen = (
        f" While {halt} is 1 everything stands still: state and pause stay, and both outputs are 0." if halt else ""
    )
    off = f" && !{halt}" if halt else ""
    clocks = "one clock" if rest == 1 else f"{rest} clocks"
    return s.finish(
        ("shuttle", "carriage", "to_and_fro"),
        {"rest": rest, "stop": stop, "first": first},
        [
            f"reg [1:0] {state};\nreg {'' if w == 1 else f'[{w - 1}:0] '}{left};",
            s.clocked({state: codes[first], left: s.const(w, rest)}, step),
            f"assign {go_west} = ({state} == {codes['west']}){off};",
            f"assign {go_east} = ({state} == {codes['east']}){off};",
        ],
        f"{who.capitalize()}: {go_west}=1 until a clock edge with {west}=1, then both outputs 0 for {clocks}, then "
        f"{go_east}=1 until {east}=1, rest again, and so on.{frozen}",
        f"A {who} runs to and fro between two ends. It moves west ({go_west} = 1) until {west} is 1 at a clock edge, "
        f"rests for {clocks} with both outputs 0, moves east ({go_east} = 1) until {east} is 1 at an edge, rests as "
        f"long, "
        f"and starts again.{frozen}",
        f"Write the Moore machine of a {who} with four states: moving west ({go_west} is 1), resting in the west, "
        f"moving "
        f"east ({go_east} is 1), resting in the east. {west} at a clock edge ends a move west, {east} one to the "
        f"east; the "
        f"other end's sensor does not matter meanwhile. A rest lasts {clocks}, with both outputs 0, and the move the "
        f"other "
        f"way follows.{frozen}",
        {"the machine": f"moving {first}"},
    )


@family("stories", reset_one_in=96)
def window_vote(s: Sketch, rng: random.Random) -> DesignSpec:
    """After a start, the input is counted in windows of N clocks; a flag tells of windows with exactly K."""
    n = rng.randint(4, 6)
    k, sort = rng.randint(1, n), rng.choice(("exactly", "at least", "at most"))
    if sort == "at most":
        k = rng.randint(0, n - 1)
    go, x, z = s.input("start", "go", "begin_in"), s.input("w", "x", "bit_in"), s.output("z", "flag", "y")
    run, pos, ones = (
        s.internal("busy", "running", "on"),
        s.internal("pos", "step", "tick"),
        s.internal("ones", "sum", "hits"),
    )
    w, v = max(1, (n - 1).bit_length()), n.bit_length()
    sign = {"exactly": "==", "at least": ">=", "at most": "<="}[sort]
    total = f"({ones} + {x})"
    zero_w, zero_v = s.const(w, 0), s.const(v, 0)
    step = (
        f"{z} <= 1'b0;\nif (!{run}) begin\n  if ({go})\n    {run} <= 1'b1;\nend else if ({pos} == "
        f"{s.const(w, n - 1)}) begin\n"
        f"  {pos} <= {zero_w};\n  {ones} <= {zero_v};\n  {z} <= {total} {sign} {s.const(v, k)};\nend else begin\n"
        f"  {pos} <= {pos} + 1'b1;\n  {ones} <= {total};\nend"
    )
    rule = f"{sort} {number(k)} of its {number(n)} values are 1"
    return s.finish(
        ("window_vote", "window_count", "vote_fsm"),
        {"n": n, "k": k, "sort": sort},
        [
            f"reg {run};\nreg {'' if w == 1 else f'[{w - 1}:0] '}{pos};\nreg [{v - 1}:0] {ones};",
            s.clocked({run: "1'b0", pos: zero_w, ones: zero_v, z: "1'b0"}, step),
        ],
        f"Idle until an edge with {go}=1; from the next edge {x} is taken in windows of {n} without gap. In the clock "
        f"after "
        f"a window's last edge {z}=1 if {rule}; else {z}=0.",
        f"The machine waits until {go} is 1 at a clock edge. From the following edge on it looks at {x} in windows of "
        f"{n} "
        f"edges, one after another, forever; {go} does not matter any more. {z} becomes 1, for one clock, at the last "
        f"edge of "
        f"a window in which {rule}, that value included; otherwise {z} is 0.",
        f"After reset nothing happens while {go} is 0. The edge that finds {go} = 1 only starts the machine. Each of "
        f"the "
        f"following edges takes one value of {x}; {n} of them make a window, and the next window follows at once. {z} "
        f"is a "
        f"register: the edge that takes the last value of a window sets it to 1 if {rule}, and every other edge "
        f"clears it.",
        {z: "0", "the machine": "waiting"},
    )


@family("stories", reset_one_in=96)
def message_framer(s: Sketch, rng: random.Random) -> DesignSpec:
    """Words whose first of N is known by a mark; the others may have it, too."""
    width, n = rng.choice((4, 6, 8, 8)), rng.choice((2, 4, 5))
    bit, level, keeps = rng.randrange(width), rng.choice((0, 1, 1)), rng.random() < 0.5
    d, done = s.input("din", "word", "byte_in", width=width), s.output("done", "complete", "msg_end")
    msg = s.output("msg", "message", "data", width=2 * width) if keeps else ""
    pos, w = s.internal("pos", "cnt", "have"), (n - 1).bit_length()
    mark = f"{d}[{bit}]" if level else f"!{d}[{bit}]"
    shift = f"  {msg} <= {{{msg}[{width - 1}:0], {d}}};\n" if keeps else ""
    step = (
        f"{done} <= 1'b0;\nif ({pos} != {s.const(w, 0)} || {mark}) begin\n{shift}  if ({pos} == {s.const(w, n - 1)}) "
        f"begin\n"
        f"    {pos} <= {s.const(w, 0)};\n    {done} <= 1'b1;\n  end else\n    {pos} <= {pos} + 1'b1;\nend"
    )
    clear = {pos: s.const(w, 0), done: "1'b0", **({msg: s.const(2 * width, 0)} if keeps else {})}
    held = (
        f" {msg} ({2 * width} bits) holds the last two words of messages, the newest in the low half." if keeps else ""
    )
    first = f"one with {d}[{bit}] = {level}"
    return s.finish(
        ("framer", "message_finder", "packet_sync"),
        {"width": width, "n": n, "bit": bit, "level": level, "keeps": int(keeps)},
        [f"reg {'' if w == 1 else f'[{w - 1}:0] '}{pos};", s.clocked(clear, step)],
        f"Messages of {n} words on {d} ({bits(width)}, one a clock): the first is {first}, words before it are "
        f"dropped; "
        f"{done}=1 for the clock after the last word's edge.{held}",
        f"A stream brings one word of {width} bits on {d} at each clock edge. A message has {n} words, and its first "
        f"word is "
        f"{first}; in the others that bit may be anything. Words outside of messages are dropped. {done} is 1 in the "
        f"clock "
        f"after the edge that took a message's last word; the next edge may already begin another.{held}",
        f"Find messages in a stream of words on {d} ({bits(width)} each, one at each active edge). While no message "
        f"is under "
        f"way, a word counts only if it is {first}: it begins a message of {n} words. The following {n - 1} words "
        f"belong to "
        f"it, whatever they are. The register {done} is set by the edge that takes the last of them and cleared by all "
        f"others.{held}",
        {done: "0", **({msg: "0"} if keeps else {}), "the finder": "the state outside of a message"},
    )


@family("stories", reset_one_in=128)
def run_of_ones(s: Sketch, rng: random.Random) -> DesignSpec:
    """Marks in a bit stream by how many equal bits came in a row."""
    a = rng.randint(2, 4)
    b, value = a + rng.randint(1, 2), rng.choice((0, 1, 1))
    x = s.input("din", "rx", "bit_in", one_in=None)
    stuffed, flag, bad = (
        s.output("drop", "stuffed", "skip"),
        s.output("flag", "frame", "mark"),
        s.output("bad", "err", "fault"),
    )
    n, w = s.internal("run", "n", "count"), (b + 1).bit_length()
    is_value, top = (x if value else f"!{x}"), s.const(w, b + 1)
    step = (
        f"{stuffed} <= !({is_value}) && {n} == {s.const(w, a)};\n{flag} <= !({is_value}) && {n} == {s.const(w, b)};\n"
        f"{bad} <= ({is_value}) && {n} >= {s.const(w, b)};\nif (!({is_value}))\n  {n} <= {s.const(w, 0)};\n"
        f"else if ({n} != {top})\n  {n} <= {n} + 1'b1;"
    )
    many, other = ("ones" if value else "zeros"), 1 - value
    return s.finish(
        ("run_monitor", "stream_marks", "bit_runs"),
        {"a": a, "b": b, "value": value},
        [
            f"reg [{w - 1}:0] {n};",
            s.clocked({n: s.const(w, 0), stuffed: "1'b0", flag: "1'b0", bad: "1'b0"}, step),
        ],
        f"Runs of {many} on {x}: a {other} after exactly {a} sets {stuffed}, a {other} after exactly {b} sets {flag}; "
        f"from "
        f"{b + 1} in a row on, {bad} is 1. All outputs registered, for one clock per edge.",
        f"Take one bit of {x} at each clock edge and count {many} in a row. The edge that takes a {other} right after "
        f"exactly "
        f"{a} {many} sets {stuffed}; after exactly {b} it sets {flag}; every edge that takes the {b + 1}th or a later "
        f"{many[:-1]} "
        f"of a run sets {bad}. At any other edge each of the three becomes 0.",
        f"A monitor for a serial line {x}, one bit at each active edge. It knows how many {many} came without a "
        f"break. Three "
        f"registers tell what the last bit did: {stuffed} is 1 if it was a {other} that ended a run of exactly {a}, "
        f"{flag} if "
        f"it ended a run of exactly {b}, {bad} if it was a {value} and made the run longer than {b}. Otherwise they "
        f"are 0.",
        {"the run's length": "0", stuffed: "0", flag: "0", bad: "0"},
    )


@family("stories", reset_one_in=48)
def pattern_timer(s: Sketch, rng: random.Random) -> DesignSpec:
    """A pattern starts it, the next bits say how long it runs, an acknowledge ends it."""
    length, size = rng.randint(3, 4), rng.randint(2, 3)
    pattern = "".join(rng.choice("01") for _ in range(length))
    x, ack = s.input("din", "data", "sin"), s.input("ack", "seen", "confirm", one_in=3)
    busy, done = s.output("counting", "busy", "running", reg=False), s.output("done", "ready", "over", reg=False)
    st, sr, n, k = s.internal("st", "state"), s.internal("sr", "last"), s.internal("n", "left"), s.internal("k", "got")
    seek, load, run, wait_ack = "2'd0", "2'd1", "2'd2", "2'd3"
    w, size_c = max(1, (size - 1).bit_length()), s.const(max(1, (size - 1).bit_length()), size - 1)
    taken = f"{{{sr}, {x}}}"
    zero = {
        st: seek,
        sr: f"{length - 1}'b{'1' * (length - 1) if pattern[0] == '0' else '0' * (length - 1)}",
        n: s.const(size, 0),
        k: s.const(w, 0),
    }
    blank = zero[sr]
    arms = {
        seek: f"begin\n    {sr} <= {taken};\n    if ({taken} == {length}'b{pattern}) begin\n      {st} <= {load};\n"
        f"      {sr} <= {blank};\n    end\n  end",
        load: f"begin\n    {n} <= {{{n}, {x}}};\n    {k} <= {k} + 1'b1;\n    if ({k} == {size_c}) begin\n"
        f"      {k} <= {zero[k]};\n      {st} <= {run};\n    end\n  end",
        run: f"if ({n} == {zero[n]}) {st} <= {wait_ack}; else {n} <= {n} - 1'b1;",
        wait_ack: f"if ({ack}) {st} <= {seek};",
    }
    return s.finish(
        ("pattern_timer", "start_timer", "serial_timer"),
        {"pattern": pattern, "size": size},
        [
            f"reg [1:0] {st};\nreg [{length - 2}:0] {sr};\nreg [{size - 1}:0] {n};\nreg "
            f"{'' if w == 1 else f'[{w - 1}:0] '}{k};",
            s.clocked(zero, case_of(st, arms)),
            f"assign {busy} = ({st} == {run});\nassign {done} = ({st} == {wait_ack});",
        ],
        f"Look for {pattern} on {x} (left bit first); the next {size} bits are a number N, MSB first; then {busy}=1 "
        f"for N+1 "
        f"clocks, then {done}=1 until an edge with {ack}=1; then look again, from no bits.",
        f"Write a timer. One bit of {x} is taken at each clock edge until the last {length} were {pattern}, leftmost "
        f"first. "
        f"The next {size} edges shift in a number N, most significant bit first. Then {busy} is 1 for N + 1 clocks, "
        f"then "
        f"{done} is 1 until {ack} is 1 at a clock edge. The search then starts afresh; bits before do not count.",
        f"The machine has four states. Searching: it takes {x} at each active edge until the bits {pattern}, in this "
        f"order, "
        f"were the last {length} since the search began. Loading: the following {size} edges take N from {x}, most "
        f"significant "
        f"bit first. Counting: {busy} is 1 for exactly N + 1 clocks. Waiting: {done} is 1, until an edge finds {ack} "
        f"= 1, which "
        f"starts the next search with no bit taken. {x} matters in the first two states, {ack} only in the last.",
        {"the machine": "a search that has seen no bit"},
    )
