"""State machines that recognize something: sequences, tables, clean levels, frames, codes."""

import random

from itertl.synth.design import DesignSpec
from itertl.synth.families.sequential import Sketch, block, case_of, family
from itertl.synth.families.wording import bits, join


def _automaton(pattern: str) -> list[tuple[int, int]]:
    """Knuth-Morris-Pratt: from each state 0 … n, the next state on 0 and on 1 (n: the pattern was just seen)."""

    def step(state: int, bit: str) -> int:
        text = pattern[:state] + bit
        return next(k for k in range(min(len(pattern), len(text)), -1, -1) if text.endswith(pattern[:k]))

    return [(step(state, "0"), step(state, "1")) for state in range(len(pattern) + 1)]


@family("fsm", reset_one_in=64)
def sequence_detector(s: Sketch, rng: random.Random) -> DesignSpec:
    """Finds a bit pattern in a serial stream; overlapping or not, Moore or Mealy."""
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

    arms = {code(k): f"{state} <= {x} ? {code(one)} : {code(zero)};" for k, (zero, one) in enumerate(states)}
    shares = "Matches may overlap" if overlap else "Matches do not overlap: after one, the search starts afresh"
    if machine == "moore":
        out = f"({state} == {code(length)})"
        when = f"{y} (Moore) is 1 for one clock after the edge that takes the last bit"
    else:
        out = f"({state} == {code(length - 1)}) && {'' if pattern[-1] == '1' else '!'}{x}"
        when = f"{y} (Mealy, combinational) is 1 while {x} shows the last bit and the bits before were taken"
    return s.finish(
        ("seq_detect", f"detect_{pattern}", "pattern_fsm"),
        {"pattern": pattern, "overlap": overlap, "machine": machine},
        [
            f"reg [{w - 1}:0] {state};",
            s.clocked({state: s.const(w, 0)}, case_of(state, arms)),
            f"assign {y} = {out};",
        ],
        f"Detect the bit sequence {pattern} (left bit first) on {x}, one bit per clock. {when}. {shares}.",
        f"Write a finite state machine that takes one bit of {x} at every clock edge and looks for {pattern}, "
        f"leftmost bit first. {when}. {shares}.",
        f"The serial input {x} gives one bit at each active clock edge. The pattern to find is {pattern}, whose "
        f"leftmost bit arrives first. {when}. {shares}.",
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


@family("fsm", reset_one_in=32)
def table_machine(s: Sketch, rng: random.Random) -> DesignSpec:
    """A random Moore or Mealy machine, given as a table."""
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
    arms = {names[k]: f"{state} <= {x} ? {names[one]} : {names[zero]};" for k, (zero, one) in enumerate(table)}
    low = [
        f"({state} == {n})" + ("" if a == b else f" && {x}" if b else f" && !{x}")
        for n, (a, b) in zip(names, outs, strict=True)
        if a or b
    ]
    value = " || ".join(f"({t})" if "&&" in t and len(low) > 1 else t for t in low)
    listing = "; ".join(
        f"{n}: 0->{names[a]}, 1->{names[b]}, {z}={p}"
        if machine == "moore"
        else f"{n}: 0->{names[a]} ({z}={p}), 1->{names[b]} ({z}={q})"
        for n, (a, b), (p, q) in zip(names, table, outs, strict=True)
    )
    kind = f"{z} depends" + (" on the state alone" if machine == "moore" else f", combinationally, on state and {x}")
    codes = ", ".join(f"{n} = {s.const(w, k)}" for k, n in enumerate(names))
    return s.finish(
        ("fsm", "state_machine", "table_fsm"),
        {"machine": machine, "table": ";".join(f"{a}{b}{p}{q}" for (a, b), (p, q) in zip(table, outs, strict=True))},
        [
            f"localparam {codes};",
            f"reg [{w - 1}:0] {state};",
            s.clocked({state: names[0]}, case_of(state, arms)),
            f"assign {z} = {value};",
        ],
        f"{machine.capitalize()} machine, input {x}, output {z}, states {join(names)} (next state by {x}): {listing}.",
        f"Implement this {machine.capitalize()} state machine with input {x} and output {z}. For each state, the "
        f"next state for {x} = 0 and 1 and the output: {listing}.",
        f"The machine has {count} states, {join(names)}, and changes state at each active clock edge by the value "
        f"of {x}; {kind}. Its table, written as state: value of {x} -> next state, with the output {z}: {listing}.",
        {"the state": names[0]},
    )


@family("fsm", reset_one_in=64)
def debouncer(s: Sketch, rng: random.Random) -> DesignSpec:
    """The output follows when the input has differed for N clocks."""
    rise, start = rng.randint(2, 9), rng.choice((0, 1))
    fall = rng.choice((rise, rise, rng.randint(2, 9)))
    gate = s.enable(("none", "high", "low"))
    x, y, n = s.input("x", "noisy", "button"), s.output("y", "clean", "stable"), s.internal("n", "count", "run")
    w = max(1, (max(rise, fall) - 1).bit_length())
    r, f, zero = s.const(w, rise - 1), s.const(w, fall - 1), s.const(w, 0)
    limit = r if rise == fall else f"({y} ? {f} : {r})"
    step = (
        f"if ({x} == {y})\n  {n} <= {zero};\nelse if ({n} == {limit}) begin\n  {y} <= {x};\n  {n} <= {zero};\nend "
        f"else\n  {n} <= {n} + 1;"
    )
    counts = f"{rise} samples in a row" + ("" if rise == fall else f" (to go to 1) or {fall} (to go to 0)")
    return s.finish(
        ("debounce", "debouncer", "clean_input"),
        {"rise": rise, "fall": fall, "start": start, "enable": gate.kind},
        [f"reg {'' if w == 1 else f'[{w - 1}:0] '}{n};", s.clocked({y: f"1'b{start}", n: zero}, gate.guard(step))],
        f"Debounce {x} into {y}: sampled each clock{gate.when}; {y} takes the value of {x} once {x} has differed "
        f"from {y} for {counts}, at the last of them.",
        f"Write a debouncer. {x} is sampled at each clock edge{gate.when}. When it has differed from {y} for "
        f"{counts}, {y} changes at the edge of the last one. A sample equal to {y} starts the count again.{gate.hold}",
        f"The register {y} follows the noisy input {x}, sampled at each active clock edge{gate.when}. A counter "
        f"holds how many samples in a row differed from {y}; a sample equal to {y} zeroes it. At the edge that "
        f"takes the last of {counts}, {y} takes {x} and the counter goes to 0.{gate.hold}",
        {y: str(start), "the count": "0"},
    )


@family("fsm", reset_one_in=200)
def frame_receiver(s: Sketch, rng: random.Random) -> DesignSpec:
    """A start bit, data, perhaps parity, a stop bit; one bit a clock."""
    n, order, parity = rng.randint(3, 8), rng.choice(("lsb", "msb")), rng.choice(("none", "even", "odd"))
    rx, data = s.input("rx", "line", "sin"), s.output("data", "word", "q", width=n)
    done, bad = s.output("done", "valid"), s.output("err", "bad", "error")
    k, sr = s.internal("n", "pos", "cnt"), s.internal("sr", "shift", "buf_q")
    wide = n + (parity != "none")
    w = (wide + 1).bit_length()
    move = f"{{{rx}, {sr}[{wide - 1}:1]}}" if order == "lsb" else f"{{{sr}[{wide - 2}:0], {rx}}}"
    word = f"{sr}[{n - 1}:0]" if order == "lsb" else f"{sr}[{wide - 1}:{wide - n}]"
    if wide == n:
        word = sr
    good = rx if parity == "none" else f"{rx} && {'' if parity == 'odd' else '!'}(^{sr})"
    step = (
        f"{done} <= 1'b0;\n{bad} <= 1'b0;\nif ({k} == {s.const(w, 0)}) begin\n  if (!{rx})\n    {k} <= "
        f"{s.const(w, 1)};\nend else if ({k} <= {s.const(w, wide)}) begin\n  {sr} <= {move};\n  {k} <= {k} + 1;\nend "
        f"else begin\n  {k} <= {s.const(w, 0)};\n  if ({good}) begin\n    {data} <= {word};\n    {done} <= 1'b1;\n  "
        f"end else\n    {bad} <= 1'b1;\nend"
    )
    first = "least" if order == "lsb" else "most"
    check = "" if parity == "none" else f", then a parity bit that makes the number of ones in data and parity {parity}"
    fault = "a stop bit of 0" if parity == "none" else "a stop bit of 0 or wrong parity"
    return s.finish(
        ("frame_rx", "serial_rx", "receiver"),
        {"bits": n, "order": order, "parity": parity},
        [
            f"reg [{wide - 1}:0] {sr};",
            f"reg [{w - 1}:0] {k};",
            s.clocked({k: s.const(w, 0), sr: s.const(wide, 0), data: s.const(n, 0), done: "1'b0", bad: "1'b0"}, step),
        ],
        f"Serial receiver, one bit of {rx} per clock: idle 1, start 0, {n} data bits ({first} significant "
        f"first){check}, stop 1. At the stop bit's edge a good frame loads "
        f"{data} and sets {done}; {fault} sets {bad} and leaves {data}. Both are 1 for one clock.",
        f"Receive frames on {rx}, one bit at each clock edge: while idle a 0 is the start bit; {n} data bits "
        f"follow, {first} significant first{check}, then a stop bit. At the "
        f"edge of the stop bit: if all is right, {data} takes the word and {done} becomes 1; on {fault}, {bad} "
        f"becomes 1 and {data} holds. {done} and {bad} become 0 at any other edge.",
        f"The line {rx} carries one bit for each active clock edge. Idle bits are 1; a 0 starts a frame of {n} "
        f"data bits, the {first} significant first{check}, and a stop bit that must be 1. The edge that takes the "
        "stop bit ends the frame, whatever its value, and the next bit is an idle or start bit. That edge loads "
        f"{data} and sets {done} if the frame is good; with {fault} it sets {bad} and {data} keeps its value. All "
        f"other edges clear {done} and {bad}.",
        {"the receiver": "idle", data: "0", done: "0", bad: "0"},
    )


@family("fsm", reset_one_in=96)
def combination_lock(s: Sketch, rng: random.Random) -> DesignSpec:
    """Opens after the right digits in a row."""
    width = rng.choice((1, 2))
    length = rng.randint(3, 5) if width == 1 else rng.randint(2, 3)
    code = [rng.randrange(1 << width) for _ in range(length)]
    wrong, close = rng.choice(("restart", "first")), rng.choice(("input", "digit"))
    go, d = s.input("enter", "strobe", "key"), s.input("digit", "d", "code_in", width=width)
    shut = s.input("lock", "close", "shut", one_in=8) if close == "input" else ""
    y, n = s.output("unlocked", "is_open", "opened", reg=False), s.internal("n", "state", "progress")
    w = length.bit_length()
    arms: dict[str, str] = {}
    for k, digit in enumerate(code):
        miss = s.const(w, 0)
        if wrong == "first" and k and code[0] != digit:
            miss = f"(({d} == {s.const(width, code[0])}) ? {s.const(w, 1)} : {miss})"
        arms[s.const(w, k)] = f"{n} <= ({d} == {s.const(width, digit)}) ? {s.const(w, k + 1)} : {miss};"
    arms["open"] = f"{n} <= {s.const(w, 0) if not shut else n};"
    step = block(go, case_of(n, arms))
    closing = "while it is open, the next digit entered, whatever it is, closes it and does not count"
    if shut:
        closing = f"{shut} = 1 closes it and forgets digits, with priority over {go}; while open, digits are ignored"
        step = f"if ({shut})\n  {n} <= {s.const(w, 0)};\nelse {step}"
    digits = ", ".join(map(str, code))
    after = "starts the code from the beginning"
    after += f", itself counting as the first digit if it is {code[0]}" if wrong == "first" else ""
    return s.finish(
        ("lock_fsm", "code_lock", "combo_lock"),
        {"width": width, "code": "-".join(map(str, code)), "wrong": wrong, "close": close},
        [f"reg [{w - 1}:0] {n};", s.clocked({n: s.const(w, 0)}, step), f"assign {y} = ({n} == {s.const(w, length)});"],
        f"Code lock: {go}=1 enters {d}; the digits {digits} in a row open it ({y} = 1). A wrong digit {after}. "
        f"{closing[0].upper() + closing[1:] if not shut else closing}.",
        f"Write a code lock. A clock edge with {go} = 1 enters the digit {d} ({bits(width)}). After {digits}, "
        f"entered in this order, {y} is 1. A wrong digit {after}. As to closing, {closing}.",
        f"The lock takes a digit from {d} ({bits(width)}) at each active clock edge where {go} is 1. It opens, "
        f"that is {y} (decoded from the state) becomes 1, with the last of the digits {digits} entered in a row. A "
        f"digit that is not the expected one {after}. As to closing, {closing}.",
        {"the lock": "closed with no digit entered"},
    )


@family("fsm")
def hysteresis(s: Sketch, rng: random.Random) -> DesignSpec:
    """On at a high mark, off at a low mark."""
    width = rng.randint(3, 8)
    low = rng.randint(1, (1 << (width - 1)) - 1)
    high = rng.randint(low + 1, (1 << width) - 2)
    sense, start = rng.choice(("heat", "alarm")), rng.choice((0, 1))
    gate = s.enable(("none", "high", "low"))
    x, y = s.input("level", "temp", "x", width=width), s.output("on", "active", "y")
    on, off = (f"{x} >= {s.const(width, high)}", f"{x} <= {s.const(width, low)}")
    up, down = ("1'b1", "1'b0") if sense == "alarm" else ("1'b0", "1'b1")
    step = f"if ({on})\n  {y} <= {up};\nelse if ({off})\n  {y} <= {down};"
    step = gate.guard(step)
    hold = f" Otherwise {y} holds." if gate.test else ""
    return s.finish(
        ("hysteresis", "thermostat", "schmitt"),
        {"width": width, "low": low, "high": high, "sense": sense, "start": start, "enable": gate.kind},
        [s.clocked({y: f"1'b{start}"}, step)],
        f"Hysteresis, {y} registered{gate.when and ', updated' + gate.when}: {x} >= {high} makes it {up[-1]}, {x} "
        f"<= {low} makes it {down[-1]}, between it holds.",
        f"Write a two-point controller. At each clock edge{gate.when}, {y} becomes {up[-1]} if {x} ({width} bits, "
        f"unsigned) is {high} or more and {down[-1]} if it is {low} or less; in between it keeps its value.{hold}",
        f"{y} is a flip-flop with hysteresis on the unsigned {width}-bit input {x}, updated at each active clock "
        f"edge{gate.when}. Values from {high} up set it to {up[-1]}, values "
        f"from {low} down set it to {down[-1]}, and values between the two marks leave it alone.{hold}",
        {y: str(start)},
    )
