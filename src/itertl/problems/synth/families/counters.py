"""Counters: binary, up/down, modulo, decimal, Gray, ring, Johnson, saturating, loadable, of events, with a step."""

import random

from itertl.problems.synth.design import Design, Family
from itertl.problems.synth.families._common import Sketch, bits, block, span

_CATEGORY = "counters"
_OUT = ("q", "count", "cnt", "out", "value")


def build_binary_counter(rng: random.Random) -> Design:
    """Up or down, free-running or enabled, from any start value."""
    s = Sketch(rng, reset_one_in=32)
    width, way = rng.randint(2, 8), rng.choice(("up", "down"))
    start = rng.choice((0, 0, (1 << width) - 1, rng.randrange(1 << width)))
    gate = s.enable()
    q = s.output(*_OUT, width=width)
    step = f"{q} <= {q} {'+' if way == 'up' else '-'} {rng.choice(('1', s.const(1, 1), s.const(width, 1)))};"
    wrap = f"{(1 << width) - 1} is followed by 0" if way == "up" else f"0 is followed by {(1 << width) - 1}"
    hold = f" Otherwise {q} holds." if gate.test else ""
    by = "adds 1 to" if way == "up" else "subtracts 1 from"
    return s.finish(
        "binary_counter",
        ("counter", f"{way}_counter", f"counter{width}", "cnt_block"),
        {"width": width, "way": way, "start": start, "enable": gate.kind},
        [s.clocked({q: s.const(width, start)}, gate.guard(step))],
        (
            f"{width}-bit {way} counter {q}, counting{gate.when or ' every clock'}, wrapping.",
            f"Write a {width}-bit binary counter {q} that counts {way} by one{gate.when or ' at every clock edge'}; {wrap}.{hold}",
            f"The {width}-bit register {q} is a counter. Each active clock edge{gate.when} {by} it, modulo {1 << width} "
            f"({wrap}).{hold}",
        ),
        {q: str(start)},
    )


def build_up_down_counter(rng: random.Random) -> Design:
    """Direction by an input; wraps or stops at the ends."""
    s = Sketch(rng, reset_one_in=32)
    width, ends, up_when = rng.randint(2, 6), rng.choice(("wrap", "stop")), rng.choice((1, 1, 0))
    start = rng.choice((0, (1 << (width - 1))))
    gate = s.enable(("none", "high"))
    way = s.input("up", "up_down", "dir") if up_when else s.input("down", "dn", "dir_down")
    q = s.output(*_OUT, width=width)
    top, zero = s.const(width, -1), s.const(width, 0)
    up, down = f"{q} <= {q} + 1;", f"{q} <= {q} - 1;"
    if ends == "stop":
        up, down = block(f"{q} != {top}", up), block(f"{q} != {zero}", down)
    one, two = (up, down) if up_when else (down, up)
    if ends == "stop":
        step = f"if ({way}) begin\n" + _in(one) + "\nend else begin\n" + _in(two) + "\nend"
    else:
        step = f"if ({way})\n  {one}\nelse\n  {two}"
    at_ends = "wraps around" if ends == "wrap" else f"stops at {(1 << width) - 1} and at 0 (no wrapping)"
    hold = f" Otherwise {q} holds." if gate.test else ""
    yes, no = ("up", "down") if up_when else ("down", "up")
    return s.finish(
        "up_down_counter",
        ("updown", "up_down_counter", "bidir_counter", "counter"),
        {"width": width, "ends": ends, "up_when": up_when, "start": start, "enable": gate.kind},
        [s.clocked({q: s.const(width, start)}, gate.guard(step))],
        (
            f"{width}-bit up/down counter {q}: {way}=1 counts {yes}, {way}=0 counts {no},{gate.when or ' every clock'}; it {at_ends}.",
            f"Build a {width}-bit counter {q} that goes {yes} by one if {way} is 1 and {no} by one if {way} is 0"
            f"{gate.when and ',' + gate.when}. It {at_ends}.{hold}",
            f"The {width}-bit counter {q} takes its direction from {way}: at each active clock edge{gate.when} it counts {yes} "
            f"where {way} is 1 and {no} where {way} is 0. The counter {at_ends}.{hold}",
        ),
        {q: str(start)},
    )


def _in(text: str) -> str:
    return "\n".join("  " + line for line in text.split("\n"))


def build_modulo_counter(rng: random.Random) -> Design:
    """Counts from LOW to HIGH and starts again, up or down, with or without a terminal count."""
    s = Sketch(rng, reset_one_in=64)
    low = rng.choice((0, 0, 0, 1, rng.randint(2, 9)))
    high = low + rng.randint(2, 24)
    width, way, flag = high.bit_length(), rng.choice(("up", "down")), rng.choice(("none", "comb"))
    gate = s.enable(("none", "high"))
    q = s.output(*_OUT, width=width)
    begin, last = (low, high) if way == "up" else (high, low)
    step = (f"if ({q} == {s.const(width, last)})\n  {q} <= {s.const(width, begin)};\nelse\n  {q} <= {q} "
            f"{'+' if way == 'up' else '-'} 1;")
    if gate.test:
        step = f"if ({gate.test}) begin\n{_in(step)}\nend"
    parts, extra = [s.clocked({q: s.const(width, begin)}, step)], ""
    if flag == "comb":
        tc = s.output("tc", "wrap", "at_end", "terminal", reg=False)
        parts.append(f"assign {tc} = ({q} == {s.const(width, last)});")
        extra = f" {tc} is 1 exactly while {q} is {last} (combinational)."
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        "modulo_counter",
        ("mod_counter", f"count_{low}_to_{high}", "range_counter", f"mod{high - low + 1}"),
        {"low": low, "high": high, "way": way, "flag": flag, "enable": gate.kind},
        parts,
        (
            f"Counter {q} ({width} bits): {way} from {begin} to {last}, then {begin} again{gate.when and ', only' + gate.when}.{extra}",
            f"Write a {width}-bit counter {q} that counts {way} by one from {begin} to {last} and then goes back to {begin}. It "
            f"moves{gate.when or ' at every clock edge'}.{hold}{extra}",
            f"{q} ({width} bits) runs through the {high - low + 1} values {begin} to {last}, counting {way}. At an active clock "
            f"edge{gate.when} it becomes {begin} if it is {last}, else it changes by one.{hold}{extra}",
        ),
        {q: str(begin)},
    )


def build_decade_counter(rng: random.Random) -> Design:
    """Two digits, the second counting the first's wraps."""
    s = Sketch(rng, reset_one_in=128)
    units, tens = rng.choice((3, 4, 5, 6, 8, 10, 10, 12)), rng.choice((2, 3, 4, 5, 6, 10))
    gate = s.enable(("none", "high", "low"))
    w0, w1 = (units - 1).bit_length(), (tens - 1).bit_length()
    lo, hi = s.output("ones", "low", "units", width=w0), s.output("tens", "high", "upper", width=w1)
    step = "\n".join((
        f"if ({lo} == {s.const(w0, units - 1)}) begin",
        f"  {lo} <= {s.const(w0, 0)};",
        f"  {hi} <= ({hi} == {s.const(w1, tens - 1)}) ? {s.const(w1, 0)} : {hi} + 1;",
        "end else",
        f"  {lo} <= {lo} + 1;",
    ))
    if gate.test:
        step = f"if ({gate.test}) begin\n{_in(step)}\nend"
    hold = " Otherwise both digits hold." if gate.test else ""
    return s.finish(
        "decade_counter",
        ("two_digit", "digit_counter", "cascade_counter"),
        {"units": units, "tens": tens, "enable": gate.kind},
        [s.clocked({lo: s.const(w0, 0), hi: s.const(w1, 0)}, step)],
        (
            f"Two-digit counter: {lo} counts 0 to {units - 1}{gate.when}; each wrap of {lo} advances {hi}, which counts 0 to "
            f"{tens - 1} and wraps.",
            f"Count in two digits. {lo} ({bits(w0)}) goes from 0 to {units - 1} and back to 0, one step{gate.when or ' per clock'}. "
            f"When {lo} goes back to 0, {hi} ({bits(w1)}) goes up by one, from {tens - 1} back to 0.{hold}",
            f"{lo} ({bits(w0)}) and {hi} ({bits(w1)}) are the digits of a counter. At an active clock edge{gate.when}, {lo} goes up by "
            f"one, or from {units - 1} to 0; only in that last case {hi} also changes: up by one, or from {tens - 1} to 0.{hold}",
        ),
        {lo: "0", hi: "0"},
    )


def build_bcd_counter(rng: random.Random) -> Design:
    """One decimal digit with carry or borrow, so that digits can be chained."""
    s = Sketch(rng, reset_one_in=64)
    way, load, start = rng.choice(("up", "down")), rng.choice((0, 1)), rng.choice((0, 0, rng.randint(1, 9)))
    en = s.input("en", "enable", "ci", "cin")
    ld = s.input("load", "ld", one_in=16) if load else ""
    d = s.input("d", "din", "preset", width=4) if load else ""
    q, co = s.output("q", "digit", "bcd", width=4), s.output("co", "carry", "cout", "tc", reg=False)
    last, first = (9, 0) if way == "up" else (0, 9)
    move = f"{q} <= ({q} == 4'd{last}) ? 4'd{first} : {q} {'+' if way == 'up' else '-'} 4'd1;"
    limit = rng.choice(("clip", "zero")) if load else "none"
    step = block(en, move)
    rule = ""
    if load:
        bad = "4'd9" if limit == "clip" else "4'd0"
        step = f"if ({ld})\n  {q} <= ({d} > 4'd9) ? {bad} : {d};\nelse {step}"
        rule = f" {ld}=1 loads {d} instead, with priority over {en}; a {d} above 9 loads {bad[-1]}."
    return s.finish(
        "bcd_counter",
        ("bcd", "bcd_digit", "decimal_counter"),
        {"way": way, "load": limit, "start": start},
        [s.clocked({q: s.const(4, start)}, step), f"assign {co} = {en} && ({q} == 4'd{last});"],
        (
            f"BCD digit {q} counting {way} when {en}=1, {last} then {first}; {co} = {en} and {q} is {last} (combinational).{rule}",
            f"Write a decimal counter digit {q} (4 bits). When {en} is 1 it counts {way}, from {last} to {first}. {co} is 1, "
            f"combinationally, when {en} is 1 and {q} is {last}.{rule}",
            f"{q} is a 4-bit decimal digit, 0 to 9. At an active clock edge with {en} = 1 it goes {way} by one, or from {last} to "
            f"{first}; with {en} = 0 it holds.{rule} {co} is a combinational output: {en} AND ({q} equals {last}).",
        ),
        {q: str(start)},
    )


def build_gray_counter(rng: random.Random) -> Design:
    """Gray code from an internal binary count."""
    s = Sketch(rng, reset_one_in=64)
    width, way, style = rng.randint(2, 6), rng.choice(("up", "down")), rng.choice(("comb", "registered"))
    gate = s.enable(("none", "high", "low"))
    q = s.output("gray", "g", "q", "code", width=width, reg=style == "registered")
    count, sign = s.internal("bin", "count", "b", "n"), "+" if way == "up" else "-"
    zero = s.const(width, 0)
    if style == "comb":
        parts = [f"reg {span(width)}{count};", s.clocked({count: zero}, gate.guard(f"{count} <= {count} {sign} 1;")),
                 f"assign {q} = {count} ^ ({count} >> 1);"]
        how, starts = "is always the Gray code of that count (combinational)", {"the count": "0", q: "0"}
    else:
        parts = [f"reg {span(width)}{count};",
                 s.clocked({count: zero, q: zero}, gate.guard(f"{count} <= {count} {sign} 1;\n{q} <= {count} ^ ({count} >> 1);"))]
        how = "is a register that takes the Gray code of the count before the step, so it lags by one step"
        starts = {"the count": "0", q: "0"}
    hold = " Otherwise nothing changes." if gate.test else ""
    return s.finish(
        "gray_counter",
        ("gray_counter", "gray_cnt", f"gray{width}"),
        {"width": width, "way": way, "style": style, "enable": gate.kind},
        parts,
        (
            f"{width}-bit Gray-code counter: an internal binary count goes {way} by one{gate.when or ' each clock'}, wrapping; {q} "
            f"{how}.",
            f"Count {way} in binary ({width} bits, wrapping) inside{gate.when and ',' + gate.when}; {q} {how}. The Gray code of n is n "
            f"XOR (n >> 1).{hold}",
            f"An internal {width}-bit binary counter goes {way} by one, modulo {1 << width}, at each active clock edge{gate.when}. The "
            f"output {q} {how}; Gray code means n XOR (n shifted right by one).{hold}",
        ),
        starts,
    )


def build_ring_counter(rng: random.Random) -> Design:
    """Ring and Johnson (twisted ring) counters."""
    s = Sketch(rng, reset_one_in=48)
    width, twist, way = rng.randint(3, 10), rng.choice((0, 1)), rng.choice(("left", "right"))
    gate = s.enable(("none", "high", "low"))
    q = s.output("q", "ring", "phase", "out", width=width)
    start = 0 if twist else rng.choice((1, 1, 1 << (width - 1)))
    n, top = "~" if twist else "", width - 1
    step = f"{q} <= {{{q}[{top - 1}:0], {n}{q}[{top}]}};" if way == "left" else f"{q} <= {{{n}{q}[0], {q}[{top}:1]}};"
    source, target = (top, 0) if way == "left" else (0, top)
    what = "Johnson (twisted-ring)" if twist else "ring"
    enters = f"the inverse of its old bit {source}" if twist else f"its old bit {source}"
    to = "towards the most significant bit" if way == "left" else "towards the least significant bit"
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        "ring_counter",
        ("ring", "johnson" if twist else "ring_counter", "phase_gen"),
        {"width": width, "twist": twist, "way": way, "start": start, "enable": gate.kind},
        [s.clocked({q: s.const(width, start)}, gate.guard(step))],
        (
            f"{width}-bit {what} counter {q}, shifting {way}{gate.when or ' each clock'}; bit {target} takes {enters}.",
            f"Make a {width}-bit {what} counter {q}. {(gate.when.strip().capitalize() + ', it') if gate.test else 'Each clock it'} shifts "
            f"{way} by one place ({to}) and bit {target} takes {enters}.{hold}",
            f"{q} is a {width}-bit {what} counter. At each active clock edge{gate.when} all bits move one place {to}, and the freed "
            f"bit {target} receives {enters}.{hold}",
        ),
        {q: f"{width}'b{start:0{width}b}"},
    )


def build_saturating_counter(rng: random.Random) -> Design:
    """Two inputs push up and down between 0 and a maximum; a prediction may be read off."""
    s = Sketch(rng, reset_one_in=48)
    top = rng.choice((3, 3, 4, 5, 6, 7, 9, 10, 12, 15))
    width, start = top.bit_length(), rng.choice((0, top // 2, top))
    threshold = rng.randint(1, top) if rng.random() < 0.6 else 0
    up, down = s.input("inc", "up", "taken", "hit"), s.input("dec", "down", "miss", "not_taken")
    q = s.output("q", "level", "count", "score", width=width)
    step = (f"if ({up} && !{down}) begin\n  if ({q} < {s.const(width, top)})\n    {q} <= {q} + 1;\nend else if (!{up} && {down}) begin\n"
            f"  if ({q} != {s.const(width, 0)})\n    {q} <= {q} - 1;\nend")
    parts, extra = [s.clocked({q: s.const(width, start)}, step)], ""
    if threshold:
        high = s.output("high", "predict", "over", reg=False)
        parts.append(f"assign {high} = ({q} >= {s.const(width, threshold)});")
        extra = f" {high} is 1 while {q} is {threshold} or more (combinational)."
    return s.finish(
        "saturating_counter",
        ("sat_counter", "saturate", "level_meter"),
        {"top": top, "start": start, "threshold": threshold},
        parts,
        (
            f"Saturating counter {q} ({bits(width)}), 0 to {top}: only {up}=1 adds one, only {down}=1 subtracts one, both or neither "
            f"hold.{extra}",
            f"Write a counter {q} of {bits(width)} that stays between 0 and {top}. With {up}=1 and {down}=0 it goes up unless at {top}; "
            f"with {down}=1 and {up}=0 it goes down unless at 0; otherwise it holds.{extra}",
            f"{q} ({bits(width)}) counts up where {up} is 1 and {down} is 0, and down where {down} is 1 and {up} is 0. It never passes "
            f"{top} upwards or 0 downwards, but stays there. Where {up} and {down} are equal it keeps its value.{extra}",
        ),
        {q: str(start)},
    )


def build_loadable_counter(rng: random.Random) -> Design:
    """Parallel load and count enable in a stated order, with clear as a third control."""
    s = Sketch(rng, reset_one_in=32)
    width, way, order = rng.randint(2, 8), rng.choice(("up", "down")), rng.choice(("load-first", "count-first"))
    has_clear = rng.choice((0, 1))
    ld, en = s.input("load", "ld", "pl", one_in=4), s.input("en", "count_en", "cnt_en", one_in=2)
    clr = s.input("clr", "clear", "zero", one_in=8) if has_clear else ""
    d, q = s.input("d", "din", "preset", width=width), s.output(*_OUT, width=width)
    act = {"load-first": (ld, f"{q} <= {d};"), "count-first": (en, f"{q} <= {q} {'+' if way == 'up' else '-'} 1;")}
    (c1, t1), (c2, t2) = act[order], act["count-first" if order == "load-first" else "load-first"]
    step = f"if ({c1})\n  {t1}\nelse if ({c2})\n  {t2}"
    if clr:
        step = f"if ({clr})\n  {q} <= {s.const(width, 0)};\nelse {step}"
    does = {ld: f"it loads {d}", en: f"it counts {way} by one (wrapping)"}
    first = f"{clr}=1: it becomes 0; else " if clr else ""
    detailed = f"{clr} (synchronous) sets it to 0 and has priority over the two. " if clr else ""
    return s.finish(
        "loadable_counter",
        ("load_counter", "counter_ld", "preset_counter"),
        {"width": width, "way": way, "order": order, "clear": has_clear},
        [s.clocked({q: s.const(width, 0)}, step)],
        (
            f"{width}-bit counter {q}: {first}{c1}=1: {does[c1]}; else {c2}=1: {does[c2]}; else it holds.",
            f"Build a {width}-bit counter {q} with these synchronous controls, in order of priority: {first}if {c1} is 1, {does[c1]}; "
            f"else if {c2} is 1, {does[c2]}; else {q} holds.",
            f"{q} is a {width}-bit register and counter. {detailed}If {c1} is 1 at an active clock edge, {does[c1]}, whatever "
            f"{c2}. If {c1} is 0 and {c2} is 1, {does[c2]}. If none is 1, {q} keeps its value.",
        ),
        {q: "0"},
    )


def build_event_counter(rng: random.Random) -> Design:
    """Counts edges of an input, as sampled by the clock."""
    s = Sketch(rng, reset_one_in=64)
    width, kind, full = rng.randint(2, 6), rng.choice(("rising", "falling", "both")), rng.choice(("wrap", "stop"))
    e, q = s.input("sig", "event_in", "x", "pulse"), s.output("count", "q", "edges", "n", width=width)
    last = s.internal("prev", "last", "sig_q", "x_d")
    seen = {"rising": f"{e} && !{last}", "falling": f"!{e} && {last}", "both": f"{e} != {last}"}[kind]
    limit = f" && {q} != {s.const(width, -1)}" if full == "stop" else ""
    if limit and kind == "both":
        seen = f"({seen})"
    step = f"{last} <= {e};\nif ({seen}{limit})\n  {q} <= {q} + 1;"
    what = {"rising": "0 and is now 1", "falling": "1 and is now 0", "both": "different from now"}[kind]
    name = {"rising": "rising edges", "falling": "falling edges", "both": "changes (both edges)"}[kind]
    at_top = "wraps to 0" if full == "wrap" else f"stays at {(1 << width) - 1}"
    return s.finish(
        "event_counter",
        ("event_counter", "edge_counter", "edge_count"),
        {"width": width, "kind": kind, "full": full},
        [f"reg {last};", s.clocked({last: s.const(1, 0), q: s.const(width, 0)}, step)],
        (
            f"Count the {name} of {e}, as sampled at clock edges, in {q} ({width} bits), which {at_top} after its maximum; a register "
            f"holds the last sample of {e}.",
            f"Sample {e} at every clock edge. Add one to {q} ({width} bits) at the edge where the previous sample was {what}. At its "
            f"maximum {q} {at_top}. The previous sample is kept in a register.",
            f"{q} ({width} bits) counts {name} of the synchronous input {e}. A hidden register stores {e} at each active clock edge; {q} "
            f"goes up by one at an edge where the stored value is {what}. After {(1 << width) - 1} {q} {at_top}.",
        ),
        {"the stored sample": "0", q: "0"},
    )


def build_step_counter(rng: random.Random) -> Design:
    """Advances by a constant or by an input."""
    s = Sketch(rng, reset_one_in=24)
    width = rng.randint(3, 8)
    kind, sign = rng.choice(("constant", "input", "choice")), rng.choice(("+", "-"))
    gate = s.enable(("none", "high"))
    verb = "adds" if sign == "+" else "subtracts"
    a, b = rng.sample(range(2, (1 << width) - 1), 2)
    k = rng.randint(1, width)
    parameters: dict[str, int | str] = {"width": width, "kind": kind, "sign": sign, "enable": gate.kind}
    if kind == "constant":
        amount, words = s.const(width, a), str(a)
        parameters["step"] = a
    elif kind == "input":
        amount = s.input("step", "inc", "delta", width=k)
        words = f"{amount} ({bits(k)}, unsigned)"
        parameters["step_width"] = k
    else:
        fast = s.input("fast", "sel", "big")
        amount, words = f"({fast} ? {s.const(width, a)} : {s.const(width, b)})", f"{a} if {fast} is 1, else {b},"
        parameters.update(step=a, other=b)
    q = s.output(*_OUT, width=width)
    hold = f" Otherwise {q} holds." if gate.test else ""
    frm = "to" if sign == "+" else "from"
    return s.finish(
        "step_counter",
        ("step_counter", "phase_acc", "stride_counter"),
        parameters,
        [s.clocked({q: s.const(width, 0)}, gate.guard(f"{q} <= {q} {sign} {amount};"))],
        (
            f"{width}-bit register {q} that {verb} {words}{gate.when or ' every clock'}, modulo {1 << width}.",
            f"Write a {width}-bit counter {q}: every clock edge{gate.when} it {verb} {words} {frm} {q}, wrapping.{hold}",
            f"{q} is a {width}-bit counter with a stride. Each active clock edge{gate.when} it {verb} {words} {frm} its present value; "
            f"the result is kept modulo {1 << width}.{hold}",
        ),
        {q: "0"},
    )


FAMILIES: tuple[Family, ...] = (
    Family("binary_counter", _CATEGORY, build_binary_counter),
    Family("up_down_counter", _CATEGORY, build_up_down_counter),
    Family("modulo_counter", _CATEGORY, build_modulo_counter),
    Family("decade_counter", _CATEGORY, build_decade_counter),
    Family("bcd_counter", _CATEGORY, build_bcd_counter),
    Family("gray_counter", _CATEGORY, build_gray_counter),
    Family("ring_counter", _CATEGORY, build_ring_counter),
    Family("saturating_counter", _CATEGORY, build_saturating_counter),
    Family("loadable_counter", _CATEGORY, build_loadable_counter),
    Family("event_counter", _CATEGORY, build_event_counter),
    Family("step_counter", _CATEGORY, build_step_counter),
)
