"""Shift registers with feedback: LFSRs, cyclic redundancy checks, scramblers; parity and checksum accumulators."""

import random

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, begin_end, family
from itertl.synth.families.wording import bits, join


@family("crc_lfsr", reset_one_in=48)
def lfsr_fibonacci(s: Sketch, rng: random.Random) -> DesignSpec:
    """The freed bit gets the XOR (or XNOR) of some taps."""
    width, way, xnor = rng.randint(3, 16), rng.choice(("left", "right")), rng.choice((0, 0, 1))
    out, into = (width - 1, 0) if way == "left" else (0, width - 1)
    others = [k for k in range(width) if k != out]
    taps = sorted([out, *rng.sample(others, rng.choice((1, 1, 3)) if width > 3 else 1)], reverse=True)
    start = 0 if xnor else rng.choice((1, (1 << width) - 1, rng.randrange(1, 1 << width)))
    gate = s.enable(("none", "high", "low"))
    q = s.output("q", "lfsr", "state", "rnd", width=width)
    xor = " ^ ".join(f"{q}[{k}]" for k in taps)
    bit = f"~({xor})" if xnor else xor
    move = f"{{{q}[{width - 2}:0], {bit}}}" if way == "left" else f"{{{bit}, {q}[{width - 1}:1]}}"
    op, names = ("XNOR (inverted XOR)" if xnor else "XOR"), join(str(k) for k in taps)
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        ("lfsr", "fib_lfsr", f"lfsr{width}", "prng"),
        {
            "width": width,
            "way": way,
            "xnor": xnor,
            "taps": "-".join(map(str, taps)),
            "start": start,
            "enable": gate.kind,
        },
        [s.clocked({q: s.const(width, start)}, gate.guard(f"{q} <= {move};"))],
        f"{width}-bit Fibonacci LFSR {q}, shifting {way}{gate.when or ' each clock'}; bit {into} takes the {op} of "
        f"bits {names}.",
        f"Write a {width}-bit linear feedback shift register {q}. It shifts {way} by "
        f"one{gate.when or ' at every clock edge'}, and bit "
        f"{into} receives the {op} of the old bits {names} of {q}.{hold}",
        f"{q} is a {width}-bit Fibonacci LFSR. At each active clock edge{gate.when} all bits move one place {way}, "
        f"bit {out} drops out, and "
        f"the {op} of bits {names} before the shift enters at bit {into} (bit 0 is the least significant).{hold}",
        {q: f"{width}'h{start:x}"},
    )


@family("crc_lfsr", reset_one_in=48)
def lfsr_galois(s: Sketch, rng: random.Random) -> DesignSpec:
    """The bit that drops out is XORed into the register through a mask."""
    width, way = rng.randint(3, 16), rng.choice(("left", "right"))
    edge = 1 if way == "left" else 1 << (width - 1)
    mask = edge | rng.randrange(1, 1 << width)
    start = rng.choice((1, (1 << width) - 1, rng.randrange(1, 1 << width)))
    gate = s.enable(("none", "high", "low"))
    q = s.output("q", "lfsr", "state", "rnd", width=width)
    out = width - 1 if way == "left" else 0
    m, zero = f"{width}'h{mask:x}", f"{width}'h0"
    shift = f"({q} {'<<' if way == 'left' else '>>'} 1)"
    if rng.random() < 0.5:
        move = f"{q} <= {shift} ^ ({q}[{out}] ? {m} : {zero});"
    else:
        move = f"{q} <= {shift} ^ ({{{width}{{{q}[{out}]}}}} & {m});"
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        ("galois", "galois_lfsr", "glfsr"),
        {"width": width, "way": way, "mask": mask, "start": start, "enable": gate.kind},
        [s.clocked({q: s.const(width, start)}, gate.guard(move))],
        f"{width}-bit Galois LFSR {q}: shift {way} by one{gate.when or ' each clock'}, XOR {m} if the bit dropped "
        f"(bit {out}) was 1.",
        f"Make a {width}-bit Galois LFSR {q}. Each step shifts it {way} by one with a 0 coming in; if the old bit "
        f"{out} was 1 the result is also XORed with the mask {m}. It steps{gate.when or ' at every clock edge'}.{hold}",
        f"{q} ({width} bits) is a Galois linear feedback shift register that steps at each active clock "
        f"edge{gate.when}. A step takes {q} shifted {way} by one place, filled with 0, and XORs it with {m} "
        f"exactly when bit {out} was 1 before the shift.{hold}",
        {q: f"{width}'h{start:x}"},
    )


def _crc_words(poly: int, width: int) -> str:
    terms = [f"x^{width}"] + [
        ("1" if k == 0 else "x" if k == 1 else f"x^{k}") for k in range(width - 1, -1, -1) if poly >> k & 1
    ]
    return " + ".join(terms)


@family("crc_lfsr", reset_one_in=48)
def crc_serial(s: Sketch, rng: random.Random) -> DesignSpec:
    """One bit of the message per clock."""
    width = rng.choice((3, 4, 5, 6, 7, 8, 8, 12, 16))
    poly = rng.randrange(1, 1 << width, 2)
    start = rng.choice((0, 0, (1 << width) - 1))
    gate, clear = s.enable(("none", "high")), rng.choice((0, 1))
    clr = s.input("clear", "init", "start", one_in=24) if clear else ""
    d, crc = s.input("d", "din", "bit_in", "data"), s.output("crc", "remainder", "q", width=width)
    fb = s.internal("fb", "feedback", "inv")
    p = f"{width}'h{poly:x}"
    move = f"{crc} <= {{{crc}[{width - 2}:0], 1'b0}} ^ ({{{width}{{{fb}}}}} & {p});"
    step = gate.guard(move)
    if clr:
        step = f"if ({clr})\n  {crc} <= {s.const(width, start)};\nelse" + (f" {step}" if gate.test else f"\n  {step}")
    hold = f" Otherwise {crc} holds." if gate.test else ""
    init = f" {clr} = 1 sets {crc} to {width}'h{start:x} instead, with priority over the step." if clr else ""
    return s.finish(
        ("crc", f"crc{width}", "crc_serial", "crc_bit"),
        {"width": width, "poly": poly, "start": start, "enable": gate.kind, "clear": clear},
        [f"wire {fb} = {d} ^ {crc}[{width - 1}];", s.clocked({crc: s.const(width, start)}, step)],
        f"Serial CRC-{width} {crc}, polynomial {p} (x^{width} implied), one bit {d} per clock{gate.when}, MSB "
        f"first: shift left, XOR {p} if old MSB ^ {d} is 1.{init}",
        f"Compute a {width}-bit CRC of the bits on {d}, one{gate.when or ' at each clock edge'}. The feedback is "
        f"{d} XOR the top bit of {crc}; "
        f"{crc} shifts left by one (0 comes in) and, if the feedback is 1, is XORed with {p}.{hold}{init}",
        f"{crc} is the register of a serial CRC with generator {_crc_words(poly, width)}, that is {p} without its "
        f"top term. At each active clock edge{gate.when} it moves one bit left with 0 entering, and {p} is XORed "
        f"in where {d} differs from the bit {width - 1} that drops out.{hold}{init}",
        {crc: f"{width}'h{start:x}"},
    )


@family("crc_lfsr", reset_one_in=32)
def crc_word(s: Sketch, rng: random.Random) -> DesignSpec:
    """Several message bits per clock, through a loop."""
    width, size = rng.choice((4, 5, 6, 8, 8, 12, 16)), rng.choice((2, 3, 4, 8))
    poly, start = rng.randrange(1, 1 << width, 2), rng.choice((0, (1 << width) - 1))
    order = rng.choice(("msb", "lsb"))
    valid = s.input("valid", "en", "dv")
    d, crc = s.input("d", "data", "din", width=size), s.output("crc", "crc_out", "remainder", width=width)
    c, k = s.internal("c", "nxt", "crc_next"), s.internal("i", "k", "n")
    p = f"{width}'h{poly:x}"
    loop = (
        f"for ({k} = {size - 1}; {k} >= 0; {k} = {k} - 1)"
        if order == "msb"
        else f"for ({k} = 0; {k} < {size}; {k} = {k} + 1)"
    )
    comb = (
        f"always @* begin\n  {c} = {crc};\n  {loop}\n    {c} = {{{c}[{width - 2}:0], 1'b0}} ^ "
        f"(({c}[{width - 1}] ^ {d}[{k}]) ? {p} : {width}'h0);\nend"
    )
    first = f"bit {size - 1} first" if order == "msb" else "bit 0 first"
    return s.finish(
        ("crc_word", "crc_parallel", f"crc{width}_d{size}"),
        {"width": width, "size": size, "poly": poly, "start": start, "order": order},
        [
            f"reg [{width - 1}:0] {c};",
            f"integer {k};",
            comb,
            s.clocked({crc: s.const(width, start)}, f"if ({valid})\n  {crc} <= {c};"),
        ],
        f"CRC-{width} over {size}-bit words: when {valid}=1, {crc} takes in all of {d}, {first}; polynomial {p}, "
        f"per bit: shift left, XOR {p} if old MSB ^ bit is 1. {valid}=0 holds.",
        f"Update the {width}-bit CRC {crc} with the {size} bits of {d} in one clock when {valid} is 1, {first}. "
        f"For each bit: shift left by one with 0 in, and XOR with {p} if the bit that drops out differs from the "
        f"data bit. When {valid} is 0, {crc} holds.",
        f"{crc} is a CRC register with generator {_crc_words(poly, width)} ({p} without the top term). An active "
        f"clock edge with {valid} high does {size} serial CRC steps at once, over the bits of {d}, {first}. A "
        f"serial step shifts left by one, 0 entering, and XORs {p} if the old bit {width - 1} XOR the data bit is "
        f"1. With {valid} low nothing changes.",
        {crc: f"{width}'h{start:x}"},
    )


@family("crc_lfsr", reset_one_in=64)
def scrambler(s: Sketch, rng: random.Random) -> DesignSpec:
    """Additive and self-synchronizing scramblers and the matching descrambler."""
    width, kind = rng.randint(4, 11), rng.choice(("additive", "multiplicative", "descramble"))
    a, b = width - 1, rng.randint(0, width - 2)
    start = rng.randrange(1, 1 << width)
    gate = s.enable(("none", "high"))
    d, y = s.input("d", "din", "bit_in"), s.output("y", "dout", "bit_out", reg=False)
    r = s.internal("r", "sr", "state")
    feedback = f"{r}[{a}] ^ {r}[{b}]"
    enters = {"additive": feedback, "multiplicative": y, "descramble": d}[kind]
    step = f"{r} <= {{{r}[{width - 2}:0], {enters}}};"
    source = {"additive": f"bits {a} XOR {b} of the register", "multiplicative": f"{y}", "descramble": f"{d}"}[kind]
    hold = " Otherwise the register holds." if gate.test else ""
    name = {
        "additive": "additive scrambler",
        "multiplicative": "self-synchronizing scrambler",
        "descramble": "self-synchronizing descrambler",
    }[kind]
    return s.finish(
        ("scrambler", "whitener", "scramble") if kind != "descramble" else ("descrambler", "descramble"),
        {"width": width, "kind": kind, "tap": b, "start": start, "enable": gate.kind},
        [
            f"reg [{width - 1}:0] {r};",
            f"assign {y} = {d} ^ {feedback};",
            s.clocked({r: s.const(width, start)}, gate.guard(step)),
        ],
        f"{name.capitalize()}: {y} = {d} ^ r[{a}] ^ r[{b}] (combinational), r an internal {width}-bit register "
        f"that shifts left{gate.when}, taking {source.replace('the register', 'r')} into bit 0.",
        f"Write a one-bit {name}. A {width}-bit register shifts left{gate.when or ' at every clock edge'}; "
        f"{source} enters at bit 0.{hold} {y} is, combinationally, {d} XOR bit {a} XOR bit {b} of the register.",
        f"The output {y} is the XOR of the input {d} and of bits {a} and {b} of a hidden {width}-bit register, "
        f"without delay. At each active clock edge{gate.when} the register moves one place towards its most "
        f"significant bit and its bit 0 takes {source}, as it was before the edge.{hold} This makes a {name}.",
        {"the register": f"{width}'h{start:x}"},
    )


@family("crc_lfsr", reset_one_in=48)
def parity_accumulator(s: Sketch, rng: random.Random) -> DesignSpec:
    """Running parity of a stream, with frames."""
    width, odd, kind = rng.choice((1, 1, 2, 3, 4, 5, 8)), rng.choice((0, 1)), rng.choice(("restart", "clear"))
    en = s.input("en", "valid", "dv")
    ctl = s.input("first", "sof") if kind == "restart" else s.input("clear", "clr", one_in=8)
    d, p = s.input("d", "din", "data", width=width), s.output("parity", "p", "par")
    x, term = (d, d) if width == 1 else (f"^{d}", f"(^{d})")
    if kind == "restart":
        begin = x if not odd else f"~({x})"
        step = f"if ({en})\n  {p} <= {ctl} ? {begin} : {p} ^ {term};"
        rule = f"with {ctl}=1 the word is the first of a new frame and the old parity is dropped"
    else:
        step = f"if ({ctl})\n  {p} <= 1'b{odd};\nelse if ({en})\n  {p} <= {p} ^ {term};"
        rule = f"{ctl}=1 (prior to {en}) starts afresh, {p} becoming {odd}"
    name, what = ("odd" if odd else "even"), ("bit" if width == 1 else f"{width}-bit word")
    meaning = f"{p} is the XOR of all bits of the frame so far" + (", inverted" if odd else "")
    return s.finish(
        ("parity_acc", "running_parity", "parity_gen"),
        {"width": width, "odd": odd, "kind": kind},
        [s.clocked({p: s.const(1, odd)}, step)],
        f"Running {name} parity {p} of the {what}s on {d} taken when {en}=1 ({meaning}); {rule}; with {en}=0 "
        f"{'it' if kind == 'restart' else 'and ' + ctl + '=0 it'} holds.",
        f"Keep a register {p}: {meaning}. A {what} {d} is added at a clock edge when {en} is 1; {rule}. Otherwise "
        f"{p} holds.",
        f"{p} is a registered {name}-parity bit over a stream. At each active clock edge with {en} = 1 the {what} "
        f"on {d} is taken in, so that {meaning}. As to frames: {rule}. At other edges {p} keeps its value.",
        {p: str(odd)},
    )


@family("crc_lfsr", reset_one_in=32)
def checksum(s: Sketch, rng: random.Random) -> DesignSpec:
    """Byte-wise sums: plain, with end-around carry, Fletcher-like, XOR."""
    width, kind = rng.choice((3, 4, 6, 8, 8, 10)), rng.choice(("sum", "ones", "fletcher", "xor", "rotate-xor"))
    valid, clear = s.input("valid", "en", "dv"), rng.choice((0, 1))
    clr = s.input("clear", "init", one_in=16) if clear else ""
    d = s.input("d", "din", "data", width=width)
    total = s.output("sum", "checksum", "chk", width=width)
    declare, zeros, extra = "", [total], ""
    if kind == "fletcher":
        second = s.output("sum2", "checksum2", "chk2", width=width)
        zeros.append(second)
        step = f"{total} <= {total} + {d};\n{second} <= {second} + {total} + {d};"
        rule = f"{total} adds {d} and {second} adds the new {total}, both modulo 2^{width}"
    elif kind == "ones":
        t = s.internal("t", "wide", "s")
        declare = f"wire [{width}:0] {t} = {total} + {d};"
        step = f"{total} <= {t}[{width - 1}:0] + {t}[{width}];"
        rule = f"{total} adds {d} with end-around carry (the carry out of bit {width - 1} is added to the low end)"
    elif kind == "rotate-xor":
        step = f"{total} <= {{{total}[{width - 2}:0], {total}[{width - 1}]}} ^ {d};"
        rule = f"{total} becomes {total} rotated left by one, XOR {d}"
    else:
        op = "+" if kind == "sum" else "^"
        step = f"{total} <= {total} {op} {d};"
        rule = f"{total} becomes {total} {op} {d}" + (f" modulo 2^{width}" if op == "+" else " (XOR)")
    body = begin_end(f"if ({valid})", step)
    clears = {name: s.const(width, 0) for name in zeros}
    if clr:
        body = f"if ({clr}) begin\n" + "\n".join(f"  {n} <= {v};" for n, v in clears.items()) + f"\nend else {body}"
        extra = f" {clr} = 1 instead sets {join(zeros)} to 0, with priority over {valid}."
    return s.finish(
        ("checksum_acc", "sum_check", "chksum"),
        {"width": width, "kind": kind, "clear": clear},
        [declare, s.clocked(clears, body)],
        f"Checksum register over {width}-bit words {d}: when {valid}=1, {rule}; else hold.{extra}",
        f"Accumulate a checksum of the words on {d} ({width} bits). When {valid} is 1 at a clock edge, {rule}. "
        f"When {valid} is 0 nothing changes.{extra}",
        f"A running checksum of {bits(width)} is kept in {join(zeros)}. Each active clock edge where {valid} is "
        f"high takes in the word {d}: {rule}. Edges where {valid} is low change nothing.{extra}",
    )


@family("crc_lfsr", reset_one_in=48)
def line_code(s: Sketch, rng: random.Random) -> DesignSpec:
    """Differential line codes, both ways, one line or several."""
    kind, width = rng.choice(("encode-one", "encode-zero", "decode-change", "decode-same")), rng.choice((1, 1, 2, 4))
    gate = s.enable()
    d, y = s.input("d", "din", "bit_in", width=width), s.output("y", "line", "dout", width=width)
    zero = s.const(width, 0)
    if kind.startswith("decode"):
        last, same = s.internal("last", "prev", "d_q"), kind == "decode-same"
        wires, clear, starts = (
            f"reg {bit_range(width)}{last};",
            {last: zero, y: zero},
            {"the stored input": "0", y: "0"},
        )
        step = f"{last} <= {d};\n{y} <= {'~' if same else ''}({d} ^ {last});"
        rule = (
            f"{y} becomes 1 if {d} {'equals' if same else 'differs from'} the {d} taken before (kept in a register), "
            "else 0"
        )
    else:
        wires, clear, starts = "", {y: zero}, {y: "0"}
        step = f"{y} <= {y} ^ {'' if kind == 'encode-one' else '~'}{d};"
        rule = f"{y} inverts if {d} is {'1' if kind == 'encode-one' else '0'} and else holds"
    each = f" This holds for each of the {width} bits by itself." if width > 1 else ""
    return s.finish(
        ("line_code", "nrzi", "diff_code"),
        {"kind": kind, "width": width, "enable": gate.kind},
        [wires, s.clocked(clear, gate.guard(step))],
        f"NRZI-type line code, registered, {bits(width)}: at each clock{gate.when}, {rule}.{each}",
        f"Write a differential line coder for {bits(width)}. At every clock edge{gate.when}: {rule}.{each}{gate.hold}",
        f"The registered output {y} ({bits(width)}) follows a differential line code of the input {d}. At each "
        f"active clock edge{gate.when}, {rule}.{each}{gate.hold}",
        starts,
    )
