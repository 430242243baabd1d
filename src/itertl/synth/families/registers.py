"""Registers: D registers in their reset and enable styles, pipelines, accumulators, extremes, sticky flags."""

import random
from itertools import pairwise

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, block, family
from itertl.synth.families.wording import bits


@family("registers")
def d_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """A D register of any width, reset value and enable."""
    width = rng.choice((1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 10, 12, 16, 24, 32))
    start = rng.choice((0, 0, 0, (1 << width) - 1, rng.randrange(1 << width)))
    gate = s.enable()
    d, q = s.input("d", "data", "din", "data_in", width=width), s.output("q", "out", "dout", "data_out", width=width)
    body = s.clocked({q: s.const(width, start)}, gate.guard(f"{q} <= {d};"))
    hold = f" Otherwise {q} keeps its value." if gate.test else ""
    return s.finish(
        ("dff", f"dff{width}", "d_register", "reg_block"),
        {"width": width, "start": start, "enable": gate.kind},
        [body],
        f"D register, {bits(width)}: {q} takes {d}{gate.when}.",
        f"Write a register of {bits(width)} that loads {d} into {q}{gate.when or ' on every clock edge'}.{hold}",
        f"The output {q} ({bits(width)}) is a bank of D flip-flops. At each active clock edge {q} becomes the "
        f"present value of the input {d}{gate.when}.{hold}",
        {q: str(start)},
    )


@family("registers")
def set_reset_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """Synchronous set and clear inputs with a stated precedence over data."""
    width = rng.choice((1, 1, 2, 4, 5, 6, 8))
    first = rng.choice(("set", "clear"))
    has_data = rng.random() < 0.5
    put, wipe = s.input("set", "preset", "s", one_in=4), s.input("clr", "clear", "c", one_in=4)
    d = s.input("d", "data", "din", width=width) if has_data else ""
    q = s.output("q", "out", "flag" if width == 1 else "flags", width=width)
    ones = s.const(width, -1)
    setting, clearing = (put, ones), (wipe, s.const(width, 0))
    winner, loser = (setting, clearing) if first == "set" else (clearing, setting)
    step = f"if ({winner[0]})\n  {q} <= {winner[1]};\nelse if ({loser[0]})\n  {q} <= {loser[1]};"
    if d:
        step += f"\nelse\n  {q} <= {d};"
    rest = f"{q} takes {d}" if d else f"{q} keeps its value"
    one = "1" if width == 1 else "all ones"
    return s.finish(
        ("sr_reg", "set_clear", "flag_reg", "sr_register"),
        {"width": width, "first": first, "data": int(has_data)},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"Register {q}, {bits(width)}: {put} sets it to {one}, {wipe} clears it, both synchronous; {winner[0]} "
        f"wins over {loser[0]}; with neither, {rest}.",
        f"Build a register {q} of {bits(width)}. At a clock edge {put} = 1 makes {q} {one} and {wipe} = 1 makes it "
        f"0. When both are 1, {winner[0]} wins. When both are 0, {rest}.",
        f"{q} ({bits(width)}) has two synchronous control inputs, active high. {put} drives it to {one}, {wipe} drives "
        f"it to 0, and {winner[0]} has the higher priority where both are asserted. Where neither is asserted, {rest}.",
    )


@family("registers")
def byte_enable_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """A register written lane by lane."""
    lanes, size = rng.choice((2, 2, 3, 4)), rng.choice((4, 8))
    width = lanes * size
    be = s.input("be", "byteena", "we", "wstrb", width=lanes)
    d, q = s.input("d", "din", "wdata", width=width), s.output("q", "dout", "value", width=width)
    parts = [(k, f"[{k * size + size - 1}:{k * size}]") for k in range(lanes)]
    step = "\n".join(f"if ({be}[{k}])\n  {q}{part} <= {d}{part};" for k, part in parts)
    unit = "byte" if size == 8 else "nibble"
    return s.finish(
        ("byte_reg", "lane_reg", "be_register"),
        {"lanes": lanes, "size": size},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"{width}-bit register {q} with {unit} enables {be}: {be}[i] writes {d}'s {unit} i into {unit} i of {q}.",
        f"Make a {width}-bit register {q} made of {lanes} {unit}s of {size} bits. Bit i of {be} says whether "
        f"{unit} i ({unit} 0 is the least significant) loads from {d}; {unit}s that are not enabled hold.",
        f"The {width}-bit register {q} is written in {unit}s. At a clock edge, for each i from 0 to {lanes - 1}, "
        f"if {be}[i] is 1 then bits {size}*i+{size - 1} down to {size}*i of {q} take the same bits of {d}; if "
        f"{be}[i] is 0 they keep their value.",
    )


@family("registers")
def pipeline_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """N registers in a row."""
    stages, width = rng.randint(2, 4), rng.choice((1, 2, 4, 5, 8, 12))
    gate = s.enable()
    d, q = s.input("d", "din", "x", width=width), s.output("q", "dout", "y", width=width)
    inner = [s.internal(f"s{k}", f"stage{k}", f"pipe{k}", f"r{k}") for k in range(1, stages)]
    chain = [d, *inner, q]
    step = "\n".join(f"{new} <= {old};" for old, new in pairwise(chain))
    zero = s.const(width, 0)
    hold = " Otherwise every stage holds." if gate.test else ""
    return s.finish(
        ("pipe", "pipeline", f"pipe{stages}", "delay_regs"),
        {"stages": stages, "width": width, "enable": gate.kind},
        [f"reg {bit_range(width)}{', '.join(inner)};", s.clocked(dict.fromkeys(chain[1:], zero), gate.guard(step))],
        f"{stages}-stage pipeline of registers, {bits(width)} wide, from {d} to {q}; it "
        f"advances{gate.when or ' each clock'}.",
        f"Delay {d} ({bits(width)}) by {stages} registers in a row; {q} is the last one. The chain moves on"
        f"{gate.when or ' at every clock edge'}.{hold}",
        f"{q} is the output of a chain of {stages} registers of {bits(width)} each. At a clock edge{gate.when} the "
        f"first takes {d} and every other takes its predecessor's old value, so data appears {stages} such edges "
        f"later.{hold}",
        {f"all {stages} stages, {q} included,": "0"},
    )


@family("registers")
def toggle_flip_flop(s: Sketch, rng: random.Random) -> DesignSpec:
    """T and JK flip-flops, one or many side by side."""
    width, kind = rng.choice((1, 1, 2, 3, 4, 5, 6, 8)), rng.choice(("t", "jk", "jk", "jkn"))
    q_options = ("q", "out", "state")
    if kind == "t":
        t = s.input("t", "toggle", "flip", width=width)
        q = s.output(*q_options, width=width)
        step = f"{q} <= {q} ^ {t};"
        rule = f"where {t} is 1, {q} inverts; where it is 0, {q} holds"
    else:
        j = s.input("j", "j_in", width=width)
        k = s.input("k", "k_in", width=width) if kind == "jk" else s.input("k_n", "kn", width=width)
        q = s.output(*q_options, width=width)
        off = "1" if kind == "jk" else "0"
        step = f"{q} <= ({j} & ~{q}) | ({'~' if kind == 'jk' else ''}{k} & {q});"
        on = "0" if kind == "jk" else "1"
        rule = (
            f"{j}=0, {k}={on} holds {q}; {j}=0, {k}={off} clears it; {j}=1, {k}={on} sets it; {j}=1, {k}={off} "
            "inverts it"
        )
    each = "" if width == 1 else f" Each of the {width} bits works on its own."
    name = {"t": "T", "jk": "JK", "jkn": "JK (K inverted)"}[kind]
    return s.finish(
        ("tff", "toggle_ff", "jkff", "flipflop") if kind == "t" else ("jkff", "jk_ff", "jk_flop"),
        {"width": width, "kind": kind},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"{name} flip-flop, {bits(width)}: {rule}.{each}",
        f"Write a {name} flip-flop with output {q} of {bits(width)}. At the clock edge: {rule}.{each}",
        f"{q} ({bits(width)}) behaves as {name} flip-flops do. Its next value is decided at each active clock edge "
        f"by the control input{'s' if kind != 't' else ''}: {rule}.{each}",
    )


@family("registers")
def load_priority_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two load requests with their own data; one of them wins."""
    width, first = rng.choice((1, 2, 3, 4, 6, 8, 12, 16)), rng.choice(("a", "b"))
    both = rng.choice(("first", "first", "xor", "hold"))
    la, lb = s.input("load_a", "la", "wr_a"), s.input("load_b", "lb", "wr_b")
    a, b = s.input("a", "data_a", width=width), s.input("b", "data_b", width=width)
    q = s.output("q", "value", "out", width=width)
    (w, x), (other, y) = ((la, a), (lb, b)) if first == "a" else ((lb, b), (la, a))
    if both == "first":
        step = f"if ({w})\n  {q} <= {x};\nelse if ({other})\n  {q} <= {y};"
        rule = f"{w} wins and {q} takes {x}"
    else:
        top = f"{q} <= {a} ^ {b};" if both == "xor" else f"{q} <= {q};"
        step = f"if ({la} && {lb})\n  {top}\nelse if ({w})\n  {q} <= {x};\nelse if ({other})\n  {q} <= {y};"
        rule = f"{q} takes {a} XOR {b}" if both == "xor" else f"{q} holds"
    order = first if both == "first" else "either"
    return s.finish(
        ("dual_load", "two_source_reg", "prio_load"),
        {"width": width, "first": order, "both": both},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"Register {q} ({bits(width)}): {la} loads {a}, {lb} loads {b}; with both, {rule}; with neither it holds.",
        f"Build a register {q} of {bits(width)} with two sources. {la} = 1 loads {a} and {lb} = 1 loads {b} at the "
        f"clock edge. If both are 1, {rule}. If both are 0, {q} holds.",
        f"The register {q} ({bits(width)}) has two load inputs, looked at on each active clock edge. Only {la} high: "
        f"{q} becomes {a}. Only {lb} high: {q} becomes {b}. Both high: {rule}. Both low: {q} keeps its value.",
    )


@family("registers")
def shadow_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """A double-buffered register: written in the shadow, shown on commit."""
    width, bypass = rng.choice((1, 2, 3, 4, 6, 8, 12, 16)), rng.choice((0, 1))
    we, commit = s.input("we", "wr", "write"), s.input("commit", "update", "apply")
    d, q = s.input("d", "wdata", "din", width=width), s.output("q", "active", "out", width=width)
    shadow = s.internal("shadow", "pending", "staged")
    source = f"{we} ? {d} : {shadow}" if bypass else shadow
    step = f"if ({we})\n  {shadow} <= {d};\nif ({commit})\n  {q} <= {source};"
    together = f"{q} takes {d} directly" if bypass else f"{q} takes the old stored value, not {d}"
    zero = s.const(width, 0)
    return s.finish(
        ("shadow_reg", "double_buffer", "buffered_reg"),
        {"width": width, "bypass": bypass},
        [f"reg {bit_range(width)}{shadow};", s.clocked({shadow: zero, q: zero}, step)],
        f"Double-buffered register, {bits(width)}: {we} stores {d} in a hidden register, {commit} copies that to "
        f"{q}; on both at once {together} (the hidden register still takes {d}).",
        f"Keep a hidden register of {bits(width)} that takes {d} when {we} is 1. When {commit} is 1, {q} takes the "
        f"hidden register's value. If {we} and {commit} come together, {together}, and the hidden register takes {d}.",
        f"{q} ({bits(width)}) changes only at clock edges where {commit} is 1; it then takes a hidden register "
        f"that was loaded from {d} at edges where {we} is 1. Where {we} and {commit} are 1 at the same edge, "
        f"{together}, while the hidden register is loaded from {d} as usual.",
        {"the hidden register": "0", q: "0"},
    )


@family("registers")
def sticky_flags(s: Sketch, rng: random.Random) -> DesignSpec:
    """Status flags that events set and software clears bit by bit."""
    width = rng.choice((1, 2, 3, 4, 5, 6, 8))
    first = rng.choice(("event", "clear"))
    irq = rng.choice(("none", "any", "all"))
    e, c = s.input("evt", "events", "irq_in", width=width), s.input("clr", "ack", "w1c", width=width)
    flags = s.output("flags", "status", "sticky", width=width)
    step = f"{flags} <= ({flags} & ~{c}) | {e};" if first == "event" else f"{flags} <= ({flags} | {e}) & ~{c};"
    parts, extra = [s.clocked({flags: s.const(width, 0)}, step)], ""
    if irq != "none":
        out = s.output("irq", "pending", "any_flag" if irq == "any" else "all_flags", reg=False)
        parts.append(f"assign {out} = {'|' if irq == 'any' else '&'}{flags};")
        extra = f" {out} is 1 while {'at least one flag is' if irq == 'any' else 'all flags are'} 1 (combinational)."
    end = "1" if first == "event" else "0"
    return s.finish(
        ("sticky", "irq_status", "flag_bank", "event_flags"),
        {"width": width, "first": first, "irq": irq},
        parts,
        f"Sticky flags {flags} ({bits(width)}): a 1 in {e} sets the flag of that bit, a 1 in {c} clears it, and "
        f"with both it ends as {end}.{extra}",
        f"Bit by bit, {flags} ({bits(width)}) becomes 1 at a clock edge where {e} is 1 and stays so until {c} is "
        f"1. If {e} and {c} are both 1 for a bit, that bit of {flags} becomes {end}.{extra}",
        f"{flags} holds {bits(width)} of status. For every bit at every active clock edge: {e}=0 and {c}=0 keep "
        f"the flag, {e}=1 and {c}=0 set it, {e}=0 and {c}=1 clear it, {e}=1 and {c}=1 make it {end}.{extra}",
    )


@family("registers")
def sampled_logic(s: Sketch, rng: random.Random) -> DesignSpec:
    """A registered two-input operation, with or without registers at its inputs."""
    width = rng.choice((1, 2, 4, 5, 8, 12))
    symbol, verb = rng.choice(
        (("+", "sum"), ("-", "difference"), ("&", "bitwise AND"), ("|", "bitwise OR"), ("^", "bitwise XOR"))
    )
    latency = rng.choice((1, 2))
    gate = s.enable(("none", "high"))
    a, b = s.input("a", "x", "op_a", width=width), s.input("b", "y", "op_b", width=width)
    q = s.output("q", "result", "out", "r", width=width)
    zero, clear, starts = s.const(width, 0), {}, {}
    ra, rb, wires, step, late = a, b, "", "", ""
    if latency == 2:
        late = f" Both operands are registered first, so {q} shows a result two such edges after its operands."
        starts = {"the operand registers": "0"}
        ra, rb = s.internal("a_q", "a_r", "xa"), s.internal("b_q", "b_r", "xb")
        wires = f"reg {bit_range(width)}{ra}, {rb};"
        clear = {ra: zero, rb: zero}
        step = f"{ra} <= {a};\n{rb} <= {b};\n"
    clear[q] = zero
    modulo = f" modulo 2^{width}" if symbol in "+-" else ""
    what = f"{verb} {a} {symbol} {b}{modulo}"
    hold = " Otherwise all registers hold." if gate.test else ""
    return s.finish(
        ("reg_op", "sampled_op", "registered_alu", "pipe_op"),
        {"width": width, "op": symbol, "latency": latency, "enable": gate.kind},
        [wires, s.clocked(clear, gate.guard(step + f"{q} <= {ra} {symbol} {rb};"))],
        f"Registered {what}, {bits(width)}, in {q}, updated{gate.when or ' each clock'}.{late}",
        f"At each clock edge{gate.when} compute the {what} ({bits(width)}) into the register {q}.{late}{hold}",
        f"{q} is a register of {bits(width)} that receives the {what} at each active clock "
        f"edge{gate.when}.{late}{hold}",
        starts | {q: "0"},
    )


@family("registers")
def conditional_swap(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two registers that can be loaded and can exchange their contents."""
    width, first = rng.choice((1, 2, 3, 4, 6, 8, 12, 16)), rng.choice(("load", "swap"))
    load, swap = s.input("load", "ld", "wr"), s.input("swap", "exchange", "xchg")
    a, b = s.input("a", "din_a", "x", width=width), s.input("b", "din_b", "y", width=width)
    p, q = s.output("p", "ra", "reg_a", width=width), s.output("q", "rb", "reg_b", width=width)
    loading = block(load, f"{p} <= {a};\n{q} <= {b};"), (load, f"{p} takes {a} and {q} takes {b}")
    swapping = block(swap, f"{p} <= {q};\n{q} <= {p};"), (swap, f"{p} and {q} exchange their values")
    (one, (c1, t1)), (two, (c2, t2)) = (loading, swapping) if first == "load" else (swapping, loading)
    zero = s.const(width, 0)
    return s.finish(
        ("swap_regs", "exchange", "reg_swap"),
        {"width": width, "first": first},
        [s.clocked({p: zero, q: zero}, one + " else " + two)],
        f"Two registers {p} and {q} ({bits(width)}): on {c1}, {t1}; else on {c2}, {t2}; else they hold.",
        f"Keep two registers {p} and {q} of {bits(width)}. If {c1} is 1, {t1}. Otherwise, if {c2} is 1, {t2}. "
        "Otherwise both hold.",
        f"{p} and {q} are registers of {bits(width)} each. At an active clock edge with {c1} high, {t1}; this has "
        f"priority. With {c1} low and {c2} high, {t2}. With both low nothing changes.",
    )
