"""Shift registers: serial in and out, bidirectional, universal, rotating, by an amount."""

import random

from itertl.synth.design import DesignSpec
from itertl.synth.families.sequential import Sketch, case_of, family
from itertl.synth.families.wording import bits


def _shifted(q: str, width: int, way: str, bit: str) -> str:
    """Concatenation that moves ``q`` one place and puts ``bit`` in the freed end."""
    return f"{{{q}[{width - 2}:0], {bit}}}" if way == "left" else f"{{{bit}, {q}[{width - 1}:1]}}"


def _enters(width: int, way: str) -> str:
    into, out = (0, width - 1) if way == "left" else (width - 1, 0)
    return f"bit {into} (shifting {way}, bit {out} drops out)"


@family("shift_registers")
def serial_to_parallel(s: Sketch, rng: random.Random) -> DesignSpec:
    """Serial in, parallel out."""
    width, way = rng.randint(3, 12), rng.choice(("left", "right"))
    gate = s.enable()
    si, q = s.input("si", "sin", "d", "serial_in"), s.output("q", "data", "po", "parallel", width=width)
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        ("sipo", "shift_reg", "deserializer"),
        {"width": width, "way": way, "enable": gate.kind},
        [s.clocked({q: s.const(width, 0)}, gate.guard(f"{q} <= {_shifted(q, width, way, si)};"))],
        f"{width}-bit shift register {q}, shifting {way}{gate.when}: {si} enters at bit "
        f"{0 if way == 'left' else width - 1}.",
        f"Make a serial-in parallel-out shift register {q} of {width} bits. It shifts "
        f"{way}{gate.when or ' at every clock edge'}; {si} enters at {_enters(width, way)}.{hold}",
        f"{q} is a {width}-bit shift register whose bits are all visible. At each active clock edge{gate.when} "
        f"every bit moves one place and the serial input {si} enters at {_enters(width, way)}.{hold}",
    )


@family("shift_registers")
def parallel_to_serial(s: Sketch, rng: random.Random) -> DesignSpec:
    """Parallel load, serial out."""
    width, way, fill = rng.randint(3, 10), rng.choice(("left", "right")), rng.choice(("0", "1", "in"))
    always = rng.random() < 0.5
    ld = s.input("load", "ld", "pl", one_in=4)
    sh = "" if always else s.input("shift", "sh", "shift_en")
    d = s.input("d", "din", "data", width=width)
    bit = s.input("si", "sin", "serial_in") if fill == "in" else f"1'b{fill}"
    so = s.output("so", "sout", "serial_out", reg=False)
    r = s.internal("sr", "shreg", "buf_q", "r")
    end = width - 1 if way == "left" else 0
    move = f"{r} <= {_shifted(r, width, way, bit)};"
    step = f"if ({ld})\n  {r} <= {d};\n" + (f"else\n  {move}" if always else f"else if ({sh})\n  {move}")
    when = "Otherwise" if always else f"Otherwise, if {sh} is 1,"
    rest = "" if always else " With neither it holds."
    freed = {"0": "a 0", "1": "a 1", "in": bit}[fill]
    return s.finish(
        ("piso", "serializer", "shift_out"),
        {"width": width, "way": way, "fill": fill, "shift_enable": int(not always)},
        [f"reg [{width - 1}:0] {r};", s.clocked({r: s.const(width, 0)}, step), f"assign {so} = {r}[{end}];"],
        f"Parallel-to-serial register, {width} bits: {ld} loads {d}; {when.lower()} it shifts {way}, {freed} "
        f"filling in. {so} is its bit {end}.{rest}",
        f"Inside is a {width}-bit register. {ld} = 1 loads {d} into it. {when} it shifts {way} by one and {freed} "
        f"enters at the freed end.{rest} {so} always shows its bit {end}.",
        f"A {width}-bit parallel-in serial-out shift register drives {so} with its bit {end} (combinational). At "
        f"an active clock edge with {ld} = 1 it takes {d}; this has priority over shifting. {when} it moves one "
        f"place {way} and {freed} enters at the other end.{rest}",
        {"the shift register": "0"},
    )


@family("shift_registers")
def bidirectional_shift(s: Sketch, rng: random.Random) -> DesignSpec:
    """Direction by an input, with an optional parallel load."""
    width, left_when, load = rng.randint(3, 10), rng.choice((0, 1)), rng.choice((0, 1))
    ends = rng.choice(("one", "two", "rotate"))
    gate = s.enable(("none", "high"))
    way = s.input("left", "dir", "to_left") if left_when else s.input("right", "dir", "to_right")
    ld = s.input("load", "ld", one_in=8) if load else ""
    d = s.input("d", "din", "data", width=width) if load else ""
    low = high = s.input("si", "sin", "serial_in") if ends == "one" else ""
    if ends == "two":
        low, high = s.input("si_l", "sin_left", "lsi"), s.input("si_r", "sin_right", "rsi")
    q = s.output("q", "data_q", "value", width=width)
    if ends == "rotate":
        low, high = f"{q}[{width - 1}]", f"{q}[0]"
    left, right = f"{q} <= {_shifted(q, width, 'left', low)};", f"{q} <= {_shifted(q, width, 'right', high)};"
    moves = (left, right) if left_when else (right, left)
    step = f"if ({way})\n  {moves[0]}\nelse\n  {moves[1]}"
    step = gate.guard(step)
    if ld:
        step = f"if ({ld})\n  {q} <= {d};\nelse " + step
    from_left, from_right = (f"bit {width - 1}", "bit 0") if ends == "rotate" else (low, high)
    words = [f"left ({from_left} enters at bit 0)", f"right ({from_right} enters at bit {width - 1})"]
    yes, no = words if left_when else words[::-1]
    load_text = f" {ld} = 1 loads {d} instead, before anything but reset." if ld else ""
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        ("shift_lr", "bidir_shift", "shifter_reg"),
        {"width": width, "left_when": left_when, "load": load, "ends": ends, "enable": gate.kind},
        [s.clocked({q: s.const(width, 0 if ends != "rotate" else 1)}, step)],
        f"{width}-bit register {q} shifting by one{gate.when}: {way}=1 {yes}, {way}=0 {no}.{load_text}",
        f"Build a {width}-bit shift register {q} that moves one place{gate.when or ' per clock edge'}, {yes} if "
        f"{way} is 1, and {no} if {way} is 0.{hold}{load_text}",
        f"{q} is a {width}-bit register that can shift both ways. At each active clock edge{gate.when}, with {way} "
        f"high it shifts {yes}; with {way} low it shifts {no}.{hold}{load_text}",
        {q: "0" if ends != "rotate" else "1"},
    )


@family("shift_registers")
def universal_shift(s: Sketch, rng: random.Random) -> DesignSpec:
    """Four modes by a two-bit input; which code means what is a parameter."""
    width = rng.randint(3, 8)
    fourth = rng.choice(("load", "load", "invert", "clear", "asr"))
    modes = ["hold", "left", "right", fourth]
    rng.shuffle(modes)
    mode = s.input("mode", "sel", "op", width=2)
    sl = s.input("si", "sin", "serial_in")
    d = s.input("d", "din", "data", width=width) if fourth == "load" else ""
    q = s.output("q", "dout", "value", width=width)
    top = width - 1
    table = {
        "hold": (q, "hold"),
        "left": (_shifted(q, width, "left", sl), f"shift left, {sl} into bit 0"),
        "right": (_shifted(q, width, "right", sl), f"shift right, {sl} into bit {top}"),
        "load": (d, f"load {d}"),
        "invert": (f"~{q}", "invert all bits"),
        "clear": (s.const(width, 0), "clear to 0"),
        "asr": (_shifted(q, width, "right", f"{q}[{top}]"), f"shift right arithmetically (bit {top} is kept)"),
    }
    arms = {f"2'b{k:02b}": f"{q} <= {table[m][0]};" for k, m in enumerate(modes)}
    listing = "; ".join(f"{k:02b} {table[m][1]}" for k, m in enumerate(modes))
    return s.finish(
        ("universal_shift", "usr", "shift_modes"),
        {"width": width, "modes": "-".join(modes)},
        [s.clocked({q: s.const(width, 0)}, case_of(mode, arms))],
        f"Universal {width}-bit shift register {q}; {mode} in binary: {listing}.",
        f"Write a {width}-bit register {q} whose action at the clock edge is chosen by {mode} (binary): {listing}.",
        f"{q} is a {width}-bit universal shift register, shifting by one place. The two-bit input {mode} chooses "
        f"what happens at each active clock edge; its binary codes mean: {listing}.",
    )


@family("shift_registers")
def rotate_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """Load, then rotate by a constant or by an input amount."""
    width, way = rng.choice((4, 5, 6, 8, 8, 12, 16)), rng.choice(("left", "right"))
    kind = rng.choice(("constant", "input")) if width in (4, 8, 16) else "constant"
    ld = s.input("load", "ld", one_in=4)
    gate = s.enable(("none", "high"))
    d = s.input("d", "din", "data", width=width)
    parameters: dict[str, int | str] = {"width": width, "way": way, "kind": kind, "enable": gate.kind}
    if kind == "input":
        amt = s.input("amt", "shamt", "n", width=width.bit_length() - 1)
        q = s.output("q", "dout", "value", width=width)
        one, two = ("<<", ">>") if way == "left" else (">>", "<<")
        move = f"({q} {one} {amt}) | ({q} {two} ({width} - {amt}))"
        by = f"{amt} places ({bits(width.bit_length() - 1)}, unsigned)"
    else:
        n = rng.randint(1, width - 1)
        parameters["amount"] = n
        q = s.output("q", "dout", "value", width=width)
        cut = width - n if way == "left" else n
        move, by = f"{{{_part(q, cut - 1, 0)}, {_part(q, width - 1, cut)}}}", f"{n} place{'s' if n > 1 else ''}"
    step = f"if ({ld})\n  {q} <= {d};\n" + (f"else if ({gate.test})" if gate.test else "else") + f"\n  {q} <= {move};"
    hold = f" Otherwise {q} holds." if gate.test else ""
    other = f"Else{gate.when}," if gate.test else "Else"
    return s.finish(
        ("rotator", "rotate_reg", "barrel_reg"),
        parameters,
        [s.clocked({q: s.const(width, 0)}, step)],
        f"{width}-bit register {q}: {ld}=1 loads {d}; {other.lower()} it rotates {way} by {by}.{hold}",
        f"Build a {width}-bit register {q}. If {ld} is 1 it loads {d}. {other} it rotates {way} by {by}; bits "
        f"leaving one end come in at the other.{hold}",
        f"{q} is a {width}-bit rotating register. An active clock edge with {ld} high loads {d}, before anything "
        f"else. {other} the register is rotated {way} by {by}, and no bit is lost.{hold}",
    )


def _part(name: str, high: int, low: int) -> str:
    return f"{name}[{high}]" if high == low else f"{name}[{high}:{low}]"


@family("shift_registers")
def amount_shift(s: Sketch, rng: random.Random) -> DesignSpec:
    """A register that shifts by one of two constants, logically or arithmetically."""
    width = rng.choice((6, 8, 12, 16))
    small, big = rng.choice(((1, 2), (1, 3), (1, 4), (2, 4)))
    right = rng.choice(("logical", "arithmetic"))
    way = rng.choice(("left", "right")) if right == "logical" else "right"
    ld, en, far = s.input("load", "ld", one_in=4), s.input("en", "ena", "shift"), s.input("far", "big", "by_more")
    d, q = s.input("d", "din", "data", width=width), s.output("q", "dout", "value", width=width)
    top = width - 1

    def move(n: int) -> str:
        if right == "arithmetic":
            sign = f"{q}[{top}]" if n == 1 else f"{{{n}{{{q}[{top}]}}}}"
            return f"{{{sign}, {q}[{top}:{n}]}}"
        return f"{q} {'<<' if way == 'left' else '>>'} {n}"

    step = f"if ({ld})\n  {q} <= {d};\nelse if ({en})\n  {q} <= {far} ? {move(big)} : {move(small)};"
    fill = f"copies of bit {top} (arithmetic shift)" if right == "arithmetic" else "zeros"
    return s.finish(
        ("shift_by", "shift_amount", "scaler"),
        {"width": width, "small": small, "big": big, "way": way, "right": right},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"{width}-bit register {q}: {ld}=1 loads {d}; else {en}=1 shifts {way} by {big} if {far}=1, by {small} if "
        f"{far}=0, filling with {fill}; else hold.",
        f"Write a {width}-bit register {q}. {ld} loads {d} and has priority. Otherwise, when {en} is 1, {q} shifts "
        f"{way} by {big} places (if {far} is 1) or {small} (if {far} is 0), and {fill} come in. Otherwise it holds.",
        f"{q} ({width} bits) is loaded from {d} at an active clock edge with {ld} = 1. With {ld} = 0 and {en} = 1 "
        f"it shifts {way}; {far} chooses the distance, {big} when 1 and {small} when 0, and the freed places get "
        f"{fill}. With {ld} = 0 and {en} = 0 it holds.",
    )


@family("shift_registers", reset_one_in=64)
def word_deserializer(s: Sketch, rng: random.Random) -> DesignSpec:
    """Collects N serial bits, then presents the word with a pulse."""
    width, order = rng.randint(3, 10), rng.choice(("msb", "lsb"))
    gate = s.enable(("none", "high", "low"))
    si = s.input("si", "bit_in", "rx", "sdata")
    word, done = s.output("word", "data", "q", width=width), s.output("done", "valid", "ready")
    sr, n = s.internal("sr", "shift", "acc"), s.internal("n", "count", "bits_seen")
    w = (width - 1).bit_length()
    joined = f"{{{sr}, {si}}}" if order == "msb" else f"{{{si}, {sr}}}"
    keep = f"{sr} <= {{{sr}[{width - 3}:0], {si}}};" if order == "msb" else f"{sr} <= {{{si}, {sr}[{width - 2}:1]}};"
    take = (
        f"{keep}\nif ({n} == {s.const(w, width - 1)}) begin\n  {n} <= {s.const(w, 0)};\n  {word} <= {joined};\n"
        f"  {done} <= 1'b1;\nend else\n  {n} <= {n} + 1;"
    )
    step = f"{done} <= 1'b0;\n{gate.guard(take)}"
    first = "most significant" if order == "msb" else "least significant"
    bit = f" (only edges{gate.when} count)" if gate.test else ""
    return s.finish(
        ("deser", "word_rx", "bit_collector"),
        {"width": width, "order": order, "enable": gate.kind},
        [
            f"reg [{width - 2}:0] {sr};",
            f"reg [{w - 1}:0] {n};",
            s.clocked({sr: s.const(width - 1, 0), n: s.const(w, 0), word: s.const(width, 0), done: "1'b0"}, step),
        ],
        f"Collect {width} bits of {si}, {first} first, one per clock{gate.when}; with the last one {word} takes "
        f"the whole word and {done} is 1 for one clock.",
        f"Take one bit of {si} at every clock edge{bit}, {first} bit first. At the edge that takes every {width}th "
        f"bit, {word} is updated "
        f"with all {width} bits and {done} becomes 1; at any other edge {done} becomes 0 and {word} holds.",
        f"The circuit gathers words of {width} bits from {si}, the {first} bit first, one bit at each active clock "
        f"edge{gate.when}. The edge that brings the {width}th bit loads {word} and sets {done}; all other edges "
        f"clear {done} and leave {word} alone. The next word starts with the next bit.",
        {"the bits collected so far": "none", word: "0", done: "0"},
    )
