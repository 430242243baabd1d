"""Counters of other codes and purposes: Gray, ring, saturating, of events, with a stride."""

import random

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, family
from itertl.synth.families.wording import COUNTS, bits


@family("counters", reset_one_in=64)
def gray_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Gray code from an internal binary count."""
    width, way, style = rng.randint(2, 6), rng.choice(("up", "down")), rng.choice(("comb", "registered"))
    gate = s.enable(("none", "high", "low"))
    q = s.output("gray", "g", "q", "code", width=width, reg=style == "registered")
    count, sign = s.internal("bin", "count", "b", "n"), "+" if way == "up" else "-"
    zero = s.const(width, 0)
    if style == "comb":
        parts = [
            f"reg {bit_range(width)}{count};",
            s.clocked({count: zero}, gate.guard(f"{count} <= {count} {sign} 1;")),
            f"assign {q} = {count} ^ ({count} >> 1);",
        ]
        how, starts = "is always the Gray code of that count (combinational)", {"the count": "0", q: "0"}
    else:
        parts = [
            f"reg {bit_range(width)}{count};",
            s.clocked(
                {count: zero, q: zero}, gate.guard(f"{count} <= {count} {sign} 1;\n{q} <= {count} ^ ({count} >> 1);")
            ),
        ]
        how = "is a register that takes the Gray code of the count before the step, so it lags by one step"
        starts = {"the count": "0", q: "0"}
    return s.finish(
        ("gray_counter", "gray_cnt", f"gray{width}"),
        {"width": width, "way": way, "style": style, "enable": gate.kind},
        parts,
        f"{width}-bit Gray-code counter: an internal binary count goes {way} by one{gate.when or ' each clock'}, "
        f"wrapping; {q} {how}.",
        f"Count {way} in binary ({width} bits, wrapping) inside{gate.when and ',' + gate.when}; {q} {how}. The "
        f"Gray code of n is n XOR (n >> 1).{gate.hold}",
        f"An internal {width}-bit binary counter goes {way} by one, modulo {1 << width}, at each active clock "
        f"edge{gate.when}. The output {q} {how}; Gray code means n XOR (n shifted right by one).{gate.hold}",
        starts,
    )


@family("counters", reset_one_in=48)
def ring_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Ring and Johnson (twisted ring) counters."""
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
        ("ring", "johnson" if twist else "ring_counter", "phase_gen"),
        {"width": width, "twist": twist, "way": way, "start": start, "enable": gate.kind},
        [s.clocked({q: s.const(width, start)}, gate.guard(step))],
        f"{width}-bit {what} counter {q}, shifting {way}{gate.when or ' each clock'}; bit {target} takes {enters}.",
        f"Make a {width}-bit {what} counter {q}. "
        f"{(gate.when.strip().capitalize() + ', it') if gate.test else 'Each clock it'} shifts "
        f"{way} by one place ({to}) and bit {target} takes {enters}.{hold}",
        f"{q} is a {width}-bit {what} counter. At each active clock edge{gate.when} all bits move one place {to}, "
        f"and the freed bit {target} receives {enters}.{hold}",
        {q: f"{width}'b{start:0{width}b}"},
    )


@family("counters", reset_one_in=48)
def saturating_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two inputs push up and down between 0 and a maximum; a prediction may be read off."""
    top = rng.choice((3, 3, 4, 5, 6, 7, 9, 10, 12, 15))
    width, start = top.bit_length(), rng.choice((0, top // 2, top))
    threshold = rng.randint(1, top) if rng.random() < 0.6 else 0
    up, down = s.input("inc", "up", "taken", "hit"), s.input("dec", "down", "miss", "not_taken")
    q = s.output("q", "level", "count", "score", width=width)
    step = (
        f"if ({up} && !{down}) begin\n  if ({q} < {s.const(width, top)})\n    {q} <= {q} + 1;\nend else if (!{up} && "
        f"{down}) begin\n  if ({q} != {s.const(width, 0)})\n    {q} <= {q} - 1;\nend"
    )
    parts, extra = [s.clocked({q: s.const(width, start)}, step)], ""
    if threshold:
        high = s.output("high", "predict", "over", reg=False)
        parts.append(f"assign {high} = ({q} >= {s.const(width, threshold)});")
        extra = f" {high} is 1 while {q} is {threshold} or more (combinational)."
    return s.finish(
        ("sat_counter", "saturate", "level_meter"),
        {"top": top, "start": start, "threshold": threshold},
        parts,
        f"Saturating counter {q} ({bits(width)}), 0 to {top}: only {up}=1 adds one, only {down}=1 subtracts one, "
        f"both or neither hold.{extra}",
        f"Write a counter {q} of {bits(width)} that stays between 0 and {top}. With {up}=1 and {down}=0 it goes up "
        f"unless at {top}; with {down}=1 and {up}=0 it goes down unless at 0; otherwise it holds.{extra}",
        f"{q} ({bits(width)}) counts up where {up} is 1 and {down} is 0, and down where {down} is 1 and {up} is 0. "
        f"It never passes {top} upwards or 0 downwards, but stays there. Where {up} and {down} are equal it keeps "
        f"its value.{extra}",
        {q: str(start)},
    )


@family("counters", reset_one_in=64)
def event_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Counts edges of an input, as sampled by the clock."""
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
        ("event_counter", "edge_counter", "edge_count"),
        {"width": width, "kind": kind, "full": full},
        [f"reg {last};", s.clocked({last: s.const(1, 0), q: s.const(width, 0)}, step)],
        f"Count the {name} of {e}, as sampled at clock edges, in {q} ({width} bits), which {at_top} after its "
        f"maximum; a register holds the last sample of {e}.",
        f"Sample {e} at every clock edge. Add one to {q} ({width} bits) at the edge where the previous sample was "
        f"{what}. At its maximum {q} {at_top}. The previous sample is kept in a register.",
        f"{q} ({width} bits) counts {name} of the synchronous input {e}. A hidden register stores {e} at each "
        f"active clock edge; {q} "
        f"goes up by one at an edge where the stored value is {what}. After {(1 << width) - 1} {q} {at_top}.",
        {"the stored sample": "0", q: "0"},
    )


@family("counters", reset_one_in=24)
def step_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Advances by a constant or by an input."""
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
    q = s.output(*COUNTS, width=width)
    hold = f" Otherwise {q} holds." if gate.test else ""
    frm = "to" if sign == "+" else "from"
    return s.finish(
        ("step_counter", "phase_acc", "stride_counter"),
        parameters,
        [s.clocked({q: s.const(width, 0)}, gate.guard(f"{q} <= {q} {sign} {amount};"))],
        f"{width}-bit register {q} that {verb} {words}{gate.when or ' every clock'}, modulo {1 << width}.",
        f"Write a {width}-bit counter {q}: every clock edge{gate.when} it {verb} {words} {frm} {q}, wrapping.{hold}",
        f"{q} is a {width}-bit counter with a stride. Each active clock edge{gate.when} it {verb} {words} {frm} "
        f"its present value; the result is kept modulo {1 << width}.{hold}",
    )
