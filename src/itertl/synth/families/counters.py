"""Counters in binary and decimal: up/down, modulo, digits, loadable."""

import random

from itertl.synth.design import DesignSpec
from itertl.synth.families.sequential import Sketch, begin_end, block, family
from itertl.synth.families.wording import COUNTS, bits


@family("counters", reset_one_in=32)
def binary_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Up or down, free-running or enabled, from any start value."""
    width, way = rng.randint(2, 8), rng.choice(("up", "down"))
    start = rng.choice((0, 0, (1 << width) - 1, rng.randrange(1 << width)))
    gate = s.enable()
    q = s.output(*COUNTS, width=width)
    step = f"{q} <= {q} {'+' if way == 'up' else '-'} {rng.choice(('1', s.const(1, 1), s.const(width, 1)))};"
    wrap = f"{(1 << width) - 1} is followed by 0" if way == "up" else f"0 is followed by {(1 << width) - 1}"
    hold = f" Otherwise {q} holds." if gate.test else ""
    by = "adds 1 to" if way == "up" else "subtracts 1 from"
    return s.finish(
        ("counter", f"{way}_counter", f"counter{width}", "cnt_block"),
        {"width": width, "way": way, "start": start, "enable": gate.kind},
        [s.clocked({q: s.const(width, start)}, gate.guard(step))],
        f"{width}-bit {way} counter {q}, counting{gate.when or ' every clock'}, wrapping.",
        f"Write a {width}-bit binary counter {q} that counts {way} by one{gate.when or ' at every clock edge'}; "
        f"{wrap}.{hold}",
        f"The {width}-bit register {q} is a counter. Each active clock edge{gate.when} {by} it, modulo "
        f"{1 << width} ({wrap}).{hold}",
        {q: str(start)},
    )


@family("counters", reset_one_in=32)
def up_down_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Direction by an input; wraps or stops at the ends."""
    width, ends, up_when = rng.randint(2, 6), rng.choice(("wrap", "stop")), rng.choice((1, 1, 0))
    start = rng.choice((0, (1 << (width - 1))))
    gate = s.enable(("none", "high"))
    way = s.input("up", "up_down", "dir") if up_when else s.input("down", "dn", "dir_down")
    q = s.output(*COUNTS, width=width)
    top, zero = s.const(width, -1), s.const(width, 0)
    up, down = f"{q} <= {q} + 1;", f"{q} <= {q} - 1;"
    if ends == "stop":
        up, down = block(f"{q} != {top}", up), block(f"{q} != {zero}", down)
    one, two = (up, down) if up_when else (down, up)
    if ends == "stop":
        step = begin_end(f"if ({way})", one) + begin_end(" else", two)
    else:
        step = f"if ({way})\n  {one}\nelse\n  {two}"
    at_ends = "wraps around" if ends == "wrap" else f"stops at {(1 << width) - 1} and at 0 (no wrapping)"
    hold = f" Otherwise {q} holds." if gate.test else ""
    yes, no = ("up", "down") if up_when else ("down", "up")
    return s.finish(
        ("updown", "up_down_counter", "bidir_counter", "counter"),
        {"width": width, "ends": ends, "up_when": up_when, "start": start, "enable": gate.kind},
        [s.clocked({q: s.const(width, start)}, gate.guard(step))],
        f"{width}-bit up/down counter {q}: {way}=1 counts {yes}, {way}=0 counts "
        f"{no},{gate.when or ' every clock'}; it {at_ends}.",
        f"Build a {width}-bit counter {q} that goes {yes} by one if {way} is 1 and {no} by one if {way} is 0"
        f"{gate.when and ',' + gate.when}. It {at_ends}.{hold}",
        f"The {width}-bit counter {q} takes its direction from {way}: at each active clock edge{gate.when} it "
        f"counts {yes} where {way} is 1 and {no} where {way} is 0. The counter {at_ends}.{hold}",
        {q: str(start)},
    )


@family("counters", reset_one_in=64)
def modulo_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Counts from LOW to HIGH and starts again, up or down, with or without a terminal count."""
    low = rng.choice((0, 0, 0, 1, rng.randint(2, 9)))
    high = low + rng.randint(2, 24)
    width, way, flag = high.bit_length(), rng.choice(("up", "down")), rng.choice(("none", "comb"))
    gate = s.enable(("none", "high"))
    q = s.output(*COUNTS, width=width)
    begin, last = (low, high) if way == "up" else (high, low)
    step = (
        f"if ({q} == {s.const(width, last)})\n  {q} <= {s.const(width, begin)};\nelse\n  {q} <= {q} "
        f"{'+' if way == 'up' else '-'} 1;"
    )
    step = gate.guard(step)
    parts, extra = [s.clocked({q: s.const(width, begin)}, step)], ""
    if flag == "comb":
        tc = s.output("tc", "wrap", "at_end", "terminal", reg=False)
        parts.append(f"assign {tc} = ({q} == {s.const(width, last)});")
        extra = f" {tc} is 1 exactly while {q} is {last} (combinational)."
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        ("mod_counter", f"count_{low}_to_{high}", "range_counter", f"mod{high - low + 1}"),
        {"low": low, "high": high, "way": way, "flag": flag, "enable": gate.kind},
        parts,
        f"Counter {q} ({width} bits): {way} from {begin} to {last}, then {begin} "
        f"again{gate.when and ', only' + gate.when}.{extra}",
        f"Write a {width}-bit counter {q} that counts {way} by one from {begin} to {last} and then goes back to "
        f"{begin}. It moves{gate.when or ' at every clock edge'}.{hold}{extra}",
        f"{q} ({width} bits) runs through the {high - low + 1} values {begin} to {last}, counting {way}. At an "
        f"active clock edge{gate.when} it becomes {begin} if it is {last}, else it changes by one.{hold}{extra}",
        {q: str(begin)},
    )


@family("counters", reset_one_in=128)
def decade_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two digits, the second counting the first's wraps."""
    units, tens = rng.choice((3, 4, 5, 6, 8, 10, 10, 12)), rng.choice((2, 3, 4, 5, 6, 10))
    gate = s.enable(("none", "high", "low"))
    w0, w1 = (units - 1).bit_length(), (tens - 1).bit_length()
    lo, hi = s.output("ones", "low", "units", width=w0), s.output("tens", "high", "upper", width=w1)
    step = "\n".join(
        (
            f"if ({lo} == {s.const(w0, units - 1)}) begin",
            f"  {lo} <= {s.const(w0, 0)};",
            f"  {hi} <= ({hi} == {s.const(w1, tens - 1)}) ? {s.const(w1, 0)} : {hi} + 1;",
            "end else",
            f"  {lo} <= {lo} + 1;",
        )
    )
    step = gate.guard(step)
    hold = " Otherwise both digits hold." if gate.test else ""
    return s.finish(
        ("two_digit", "digit_counter", "cascade_counter"),
        {"units": units, "tens": tens, "enable": gate.kind},
        [s.clocked({lo: s.const(w0, 0), hi: s.const(w1, 0)}, step)],
        f"Two-digit counter: {lo} counts 0 to {units - 1}{gate.when}; each wrap of {lo} advances {hi}, which "
        f"counts 0 to {tens - 1} and wraps.",
        f"Count in two digits. {lo} ({bits(w0)}) goes from 0 to {units - 1} and back to 0, one "
        f"step{gate.when or ' per clock'}. "
        f"When {lo} goes back to 0, {hi} ({bits(w1)}) goes up by one, from {tens - 1} back to 0.{hold}",
        f"{lo} ({bits(w0)}) and {hi} ({bits(w1)}) are the digits of a counter. At an active clock edge{gate.when}, "
        f"{lo} goes up by one, or from {units - 1} to 0; only in that last case {hi} also changes: up by one, or "
        f"from {tens - 1} to 0.{hold}",
    )


@family("counters", reset_one_in=64)
def bcd_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """One decimal digit with carry or borrow, so that digits can be chained."""
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
        ("bcd", "bcd_digit", "decimal_counter"),
        {"way": way, "load": limit, "start": start},
        [s.clocked({q: s.const(4, start)}, step), f"assign {co} = {en} && ({q} == 4'd{last});"],
        f"BCD digit {q} counting {way} when {en}=1, {last} then {first}; {co} = {en} and {q} is {last} "
        f"(combinational).{rule}",
        f"Write a decimal counter digit {q} (4 bits). When {en} is 1 it counts {way}, from {last} to {first}. {co} "
        f"is 1, combinationally, when {en} is 1 and {q} is {last}.{rule}",
        f"{q} is a 4-bit decimal digit, 0 to 9. At an active clock edge with {en} = 1 it goes {way} by one, or "
        f"from {last} to "
        f"{first}; with {en} = 0 it holds.{rule} {co} is a combinational output: {en} AND ({q} equals {last}).",
        {q: str(start)},
    )


@family("counters", reset_one_in=32)
def loadable_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Parallel load and count enable in a stated order, with clear as a third control."""
    width, way, order = rng.randint(2, 8), rng.choice(("up", "down")), rng.choice(("load-first", "count-first"))
    has_clear = rng.choice((0, 1))
    ld, en = s.input("load", "ld", "pl", one_in=4), s.input("en", "count_en", "cnt_en", one_in=2)
    clr = s.input("clr", "clear", "zero", one_in=8) if has_clear else ""
    d, q = s.input("d", "din", "preset", width=width), s.output(*COUNTS, width=width)
    act = {"load-first": (ld, f"{q} <= {d};"), "count-first": (en, f"{q} <= {q} {'+' if way == 'up' else '-'} 1;")}
    (c1, t1), (c2, t2) = act[order], act["count-first" if order == "load-first" else "load-first"]
    step = f"if ({c1})\n  {t1}\nelse if ({c2})\n  {t2}"
    if clr:
        step = f"if ({clr})\n  {q} <= {s.const(width, 0)};\nelse {step}"
    does = {ld: f"it loads {d}", en: f"it counts {way} by one (wrapping)"}
    first = f"{clr}=1: it becomes 0; else " if clr else ""
    detailed = f"{clr} (synchronous) sets it to 0 and has priority over the two. " if clr else ""
    return s.finish(
        ("load_counter", "counter_ld", "preset_counter"),
        {"width": width, "way": way, "order": order, "clear": has_clear},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"{width}-bit counter {q}: {first}{c1}=1: {does[c1]}; else {c2}=1: {does[c2]}; else it holds.",
        f"Build a {width}-bit counter {q} with these synchronous controls, in order of priority: {first}if {c1} is "
        f"1, {does[c1]}; else if {c2} is 1, {does[c2]}; else {q} holds.",
        f"{q} is a {width}-bit register and counter. {detailed}If {c1} is 1 at an active clock edge, {does[c1]}, "
        f"whatever {c2}. If {c1} is 0 and {c2} is 1, {does[c2]}. If none is 1, {q} keeps its value.",
    )
