"""Memories: RAMs by their read behaviour, register files, FIFOs, stacks, synchronous ROMs, match tables."""

import random

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, begin_end, case_of, family, zeroed_memory
from itertl.synth.families.wording import bits


@family("memories", resets=("none",))
def single_port_ram(s: Sketch, rng: random.Random) -> DesignSpec:
    """One address; what a read of a word being written gives is a parameter."""
    k, width = rng.randint(1, 4), rng.choice((1, 2, 3, 4, 5, 6, 8, 12, 16))
    kind = rng.choice(("async", "read-first", "write-first", "no-change"))
    en = s.input("en", "ce", "cs") if rng.random() < 0.4 else ""
    we, a = s.input("we", "wr", "write_en"), s.input("addr", "a", "address", width=k)
    d = s.input("din", "d", "wdata", width=width)
    q, mem = s.output("dout", "q", "rdata", width=width, reg=kind != "async"), s.internal("mem", "ram", "words")
    write, read = f"if ({we})\n  {mem}[{a}] <= {d};", f"{q} <= {mem}[{a}];"
    step = {
        "async": write,
        "read-first": f"{write}\n{read}",
        "write-first": f"{write}\n{q} <= {we} ? {d} : {mem}[{a}];",
        "no-change": f"{write}\nelse\n  {read}",
    }[kind]
    if en:
        step = begin_end(f"if ({en})", step)
    takes = f"{q} is a register that takes the word at {a} at"
    reading = {
        "async": f"{q} always shows the word at {a}, combinationally",
        "read-first": f"{takes} each clock edge, the old one if it is written at that edge",
        "write-first": f"{takes} each clock edge, the new data if it is written at that edge",
        "no-change": f"{takes} clock edges where {we} is 0, and holds where it is 1",
    }[kind]
    holds = "." if kind == "async" else f", and {q} holds."
    gated = f" Clock edges with {en} = 0 do nothing: no write{holds}" if en else ""
    body = [zeroed_memory(s, mem, width, 1 << k)]
    if kind == "async":
        body += [s.at_edge(step), f"assign {q} = {mem}[{a}];"]
    else:
        body.append(s.clocked({q: s.const(width, 0)}, step))
    return s.finish(
        ("ram", "sp_ram", f"ram{1 << k}x{width}", "memory"),
        {"words": 1 << k, "width": width, "kind": kind, "enable": int(bool(en))},
        body,
        f"RAM of {1 << k} words of {bits(width)}: {we}=1 writes {d} at {a}; {reading}.{gated}",
        f"Write a single-port RAM with {1 << k} words of {bits(width)}. At a clock edge with {we} = 1 it stores "
        f"{d} at address {a}. For reading, {reading}.{gated}",
        f"The memory has {1 << k} words of {bits(width)} and one address {a} for both reading and writing. {we} = "
        f"1 at an active clock edge writes {d} there. Reading: {reading}.{gated}",
        {"all words": "0", q: "0"},
    )


@family("memories", resets=("none",))
def dual_port_ram(s: Sketch, rng: random.Random) -> DesignSpec:
    """A write port and a read port."""
    k, width = rng.randint(1, 4), rng.choice((1, 2, 3, 4, 5, 6, 8, 12, 16))
    kind, has_re = rng.choice(("async", "old", "new")), rng.choice((0, 1))
    has_re = has_re if kind != "async" else 0
    we, wa = s.input("we", "wr_en", "write"), s.input("waddr", "wa", "wr_addr", width=k)
    d = s.input("din", "wdata", "d", width=width)
    re = s.input("re", "rd_en", "read") if has_re else ""
    ra, q = s.input("raddr", "ra", "rd_addr", width=k), s.output("dout", "rdata", "q", width=width, reg=kind != "async")
    mem = s.internal("mem", "ram", "store")
    write = f"if ({we})\n  {mem}[{wa}] <= {d};"
    value = f"({we} && {wa} == {ra}) ? {d} : {mem}[{ra}]" if kind == "new" else f"{mem}[{ra}]"
    read = f"{q} <= {value};"
    body = [zeroed_memory(s, mem, width, 1 << k)]
    if kind == "async":
        body += [s.at_edge(write), f"assign {q} = {mem}[{ra}];"]
        reading = f"{q} is, combinationally, the word at {ra}"
    else:
        body.append(s.clocked({q: s.const(width, 0)}, write + "\n" + (f"if ({re})\n  {read}" if re else read)))
        which = "the old word" if kind == "old" else f"{d}, the new word"
        reading = (
            f"the register {q} takes the word at {ra} "
            + (f"at clock edges where {re} is 1 and else holds" if re else "at each clock edge")
            + f"; if that word is written at the same edge, {q} gets {which}"
        )
    return s.finish(
        ("dp_ram", "sdp_ram", "two_port_ram"),
        {"words": 1 << k, "width": width, "kind": kind, "read_enable": has_re},
        body,
        f"RAM, {1 << k} words of {bits(width)}, one write and one read port: {we}=1 writes {d} at {wa}; {reading}.",
        f"Make a simple dual-port RAM of {1 << k} words, {bits(width)} each. At a clock edge with {we} = 1, {d} is "
        f"stored at {wa}. Reading: {reading}.",
        f"The memory ({1 << k} words of {bits(width)}) has separate addresses. The write port stores {d} at {wa} "
        f"at active clock edges where {we} is 1. At the read port, {reading}.",
        {"all words": "0", q: "0"},
    )


@family("memories", resets=("none",))
def register_file(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two combinational read ports; register 0 may be constant, a write may be seen at once."""
    k, width, zero, bypass = rng.randint(1, 4), rng.choice((2, 4, 8, 16, 32)), rng.choice((0, 1)), rng.choice((0, 1))
    ports = rng.choice((1, 2, 2))
    we, wa = s.input("we", "wen", "wr"), s.input("wa", "rd", "waddr", width=k)
    wd = s.input("wd", "wdata", "din", width=width)
    names = ((("ra1", "rs1", "addr_a"), ("rd1", "rdata1", "a")), (("ra2", "rs2", "addr_b"), ("rd2", "rdata2", "b")))
    reads = [(s.input(*a, width=k), s.output(*d, width=width, reg=False)) for a, d in names[:ports]]
    mem, none, nothing = s.internal("regs", "rf", "mem"), s.const(k, 0), s.const(width, 0)
    guard = f"{we} && {wa} != {none}" if zero else we
    body = [
        zeroed_memory(s, mem, width, 1 << k),
        s.at_edge(f"if ({guard})\n  {mem}[{wa}] <= {wd};"),
    ]
    for address, data in reads:
        value = f"{mem}[{address}]"
        if bypass:
            value = f"({we} && {wa} == {address}) ? {wd} : {value}"
        if zero:
            value = f"({address} == {none}) ? {nothing} : {f'({value})' if bypass else value}"
        body.append(f"assign {data} = {value};")
    listing = " and ".join(f"{data} the register {address}" for address, data in reads)
    rules = " Register 0 always reads as 0; writes to it have no effect." if zero else ""
    rules += (
        f" While {we} is 1, reading register {wa} gives {wd} at once{', except for register 0' if zero else ''}."
        if bypass
        else " A write is seen only after the clock edge."
    )
    return s.finish(
        ("regfile", "reg_file", "registers"),
        {"registers": 1 << k, "width": width, "zero": zero, "bypass": bypass, "reads": ports},
        body,
        f"Register file, {1 << k} x {bits(width)}: {we}=1 writes {wd} to register {wa}; combinational reads: "
        f"{listing}.{rules}",
        f"Write a register file of {1 << k} registers of {bits(width)}. {we} = 1 at a clock edge stores {wd} in "
        f"register {wa}. Reading is combinational: {listing}.{rules}",
        f"There are {1 << k} registers of {bits(width)}. The write port stores {wd} in the register numbered {wa} "
        f"at active clock edges where {we} is 1. The read side has no clock and shows in {listing}.{rules}",
        {"all registers": "0"},
    )


@family("memories", resets=("sync-high", "async-high", "sync-low", "async-low"), reset_one_in=64)
def fifo(s: Sketch, rng: random.Random) -> DesignSpec:
    """A small synchronous FIFO with a count; the head is shown while it is not empty."""
    k, width, shows = rng.randint(1, 3), rng.choice((2, 3, 4, 5, 6, 8)), rng.choice(("flags", "count"))
    overwrite = rng.choice(("refuse", "swap"))
    depth = 1 << k
    wr, rd, d = s.input("push", "wr_en", "wr"), s.input("pop", "rd_en", "rd"), s.input("din", "wdata", "d", width=width)
    q = s.output("dout", "rdata", "head", width=width, reg=False)
    full, empty = s.output("full", "is_full", reg=False), s.output("empty", "is_empty", reg=False)
    n = s.output("count", "level", "used", width=k + 1) if shows == "count" else s.internal("n", "fill", "cnt")
    mem = s.internal("mem", "buf_mem", "store")
    wp = s.internal("wp", "tail", "wptr")
    rp = s.internal("rp", "front", "rptr")
    do_w, do_r = s.internal("do_wr", "accept", "wr_ok"), s.internal("do_rd", "take", "rd_ok")
    zero = s.const(width, 0)
    room = f"!{full}" if overwrite == "refuse" else f"(!{full} || {rd})"
    parts = [f"reg {bit_range(width)}{mem} [0:{depth - 1}];", f"reg {bit_range(k)}{wp}, {rp};"]
    if shows == "flags":
        parts.append(f"reg [{k}:0] {n};")
    parts += [
        f"assign {full} = ({n} == {s.const(k + 1, depth)});",
        f"assign {empty} = ({n} == {s.const(k + 1, 0)});",
        f"assign {q} = {empty} ? {zero} : {mem}[{rp}];",
        f"wire {do_w} = {wr} && {room};",
        f"wire {do_r} = {rd} && !{empty};",
        s.clocked(
            {wp: s.const(k, 0), rp: s.const(k, 0), n: s.const(k + 1, 0)},
            f"if ({do_w})\n  {wp} <= {wp} + 1;\nif ({do_r})\n  {rp} <= {rp} + 1;\n{n} <= {n} + {do_w} - {do_r};",
        ),
        s.at_edge(f"if ({do_w})\n  {mem}[{wp}] <= {d};"),
    ]
    refuse = "while full it is ignored"
    refuse += f" unless {rd} is 1 too (then both happen)" if overwrite == "swap" else ""
    level = f" {n} is the number of words held." if shows == "count" else ""
    return s.finish(
        ("fifo", "sync_fifo", f"fifo{depth}", "queue"),
        {"depth": depth, "width": width, "shows": shows, "when_full": overwrite},
        parts,
        f"FIFO, {depth} words of {width} bits: {wr} stores {d} ({refuse}); {rd} removes the oldest (while empty "
        f"ignored). {q} shows the oldest word, or 0 "
        f"when empty; {full}, {empty} are flags; all combinational from state.{level}",
        f"Write a synchronous FIFO for {depth} words of {width} bits. At a clock edge {wr} = 1 stores {d}; {refuse}. "
        f"{rd} = 1 removes the oldest word; while empty it is ignored, also when {wr} is 1. {q} shows the oldest word "
        f"without delay, and 0 when empty. {full} and {empty} tell whether {depth} or 0 words are held.{level}",
        f"A first-in first-out buffer holds up to {depth} words ({width} bits). {empty} is 1 when it holds none "
        f"and {full} when it holds {depth}. A push ({wr} = 1 at an active clock edge) appends {d}; {refuse}. A pop "
        f"({rd} = 1) drops the oldest word unless the buffer was empty before the edge. Push and pop may happen "
        f"together. {q} is the oldest word, combinationally, and 0 when empty.{level}",
        {"the number of words": "0"},
    )


@family("memories", resets=("sync-high", "async-high", "sync-low", "async-low"), reset_one_in=64)
def stack(s: Sketch, rng: random.Random) -> DesignSpec:
    """Last in, first out."""
    k, width, first = rng.randint(1, 3), rng.choice((2, 3, 4, 5, 6, 8)), rng.choice(("push", "pop", "replace"))
    depth = 1 << k
    push, pop, d = s.input("push", "wr"), s.input("pop", "rd"), s.input("din", "d", "wdata", width=width)
    top = s.output("top", "dout", "q", width=width, reg=False)
    full, empty = s.output("full", "is_full", reg=False), s.output("empty", "is_empty", reg=False)
    mem = s.internal("mem", "stack_mem", "items")
    n = s.internal("n", "sp", "depth_now")
    below = s.internal("last", "below", "tos")
    one, zero = s.const(k + 1, 1), s.const(width, 0)
    do_push = {"push": push, "pop": f"{push} && !{pop}", "replace": f"{push} && !{pop}"}[first]
    do_pop = {"push": f"{pop} && !{push}", "pop": pop, "replace": f"{pop} && !{push}"}[first]
    write = f"if ({do_push} && !{full})\n  {mem}[{n}[{'0' if k == 1 else f'{k - 1}:0'}]] <= {d};"
    if first == "replace":
        write += f"\nelse if ({push} && {pop} && !{empty})\n  {mem}[{below}] <= {d};"
    parts = [
        f"reg {bit_range(width)}{mem} [0:{depth - 1}];",
        f"reg [{k}:0] {n};",
        f"wire {bit_range(k)}{below} = {n} - {one};",
        f"assign {full} = ({n} == {s.const(k + 1, depth)});",
        f"assign {empty} = ({n} == {s.const(k + 1, 0)});",
        f"assign {top} = {empty} ? {zero} : {mem}[{below}];",
        s.clocked(
            {n: s.const(k + 1, 0)},
            f"if ({do_push} && !{full})\n  {n} <= {n} + 1;\nelse if ({do_pop} && !{empty})\n  {n} <= {n} - 1;",
        ),
        s.at_edge(write) if first != "replace" else begin_end(f"always @({s.edge} {s.clock})", write),
    ]
    both = {
        "push": "with both only the push counts, and when full nothing happens",
        "pop": "with both only the pop counts, and when empty nothing happens",
        "replace": f"with both, {d} replaces the top word (nothing happens when empty)",
    }[first]
    return s.finish(
        ("stack", "lifo", f"stack{depth}"),
        {"depth": depth, "width": width, "both": first},
        parts,
        f"Stack, {depth} words of {width} bits: {push} pushes {d} unless {full}, {pop} pops unless {empty}; "
        f"{both}. {top} shows the top word, 0 when empty; {full} and {empty} are combinational flags.",
        f"Build a LIFO stack for {depth} words of {width} bits. {push} = 1 at a clock edge puts {d} on top "
        f"(ignored when full); {pop} = 1 removes the top (ignored when empty); {both}. {top} shows the top word "
        f"or, when empty, 0. {full} and {empty} tell of {depth} and 0 words.",
        f"The stack can hold {depth} words ({width} bits). {full} is 1 when it holds {depth} words, {empty} when "
        f"it holds none, and {top} is its top word, or 0 when it is empty; the three are combinational. At an "
        f"active clock edge {push} = 1 adds {d} unless full and {pop} = 1 removes a word unless empty; {both}.",
        {"the number of words": "0"},
    )


@family("memories")
def sync_rom(s: Sketch, rng: random.Random) -> DesignSpec:
    """A table read through a register."""
    k, width = rng.choice((2, 3, 3)), rng.choice((2, 3, 4, 6, 8))
    table = [rng.randrange(1 << width) for _ in range(1 << k)]
    gate = s.enable()
    a, q = s.input("addr", "a", "sel", width=k), s.output("dout", "q", "data", width=width)
    arms = {s.const(k, n): f"{q} <= {s.const(width, v)};" for n, v in enumerate(table)}
    listing = ", ".join(f"{v:0{-(-width // 4)}x}" for v in table)
    hold = f" Otherwise {q} holds." if gate.test else ""
    return s.finish(
        ("rom", "sync_rom", "table_rom"),
        {"width": width, "table": "-".join(f"{v:x}" for v in table), "enable": gate.kind},
        [s.clocked({q: s.const(width, 0)}, gate.guard(case_of(a, arms)))],
        f"Synchronous ROM, {1 << k} words of {width} bits: {q} takes word {a}{gate.when or ' each clock'}. Words 0 "
        f"to {(1 << k) - 1} in hex: {listing}.",
        f"Write a ROM with a registered output. At a clock edge{gate.when} {q} takes the word at address "
        f"{a}.{hold} The {1 << k} words of {width} bits, from address 0 up, in hexadecimal: {listing}.",
        f"{q} is a register of {width} bits. Each active clock edge{gate.when} loads it with an entry of a "
        f"constant table that {a} ({bits(k)}) "
        f"addresses.{hold} The entries for addresses 0 to {(1 << k) - 1} are, in hexadecimal, {listing}.",
    )


@family("memories", resets=("sync-high", "async-high", "sync-low", "async-low"), reset_one_in=64)
def match_table(s: Sketch, rng: random.Random) -> DesignSpec:
    """A tiny content-addressable memory with a valid bit per entry."""
    entries, width, kind = 2, rng.randint(2, 6), rng.choice(("hit", "lines"))
    wins = rng.choice(("write", "drop"))
    we = s.input("we", "wr", "write")
    drop = s.input("drop", "invalidate", "del_en", one_in=4)
    a = s.input("slot", "addr", "idx")
    key = s.input("key", "tag", "din", width=width)
    hit = s.output("hit", "found", "match", width=1 if kind == "hit" else entries, reg=False)
    t0, t1, v = s.internal("tag0", "k0"), s.internal("tag1", "k1"), s.internal("valid", "live", "v")
    m0, m1 = (f"({v}[{k}] && {t} == {key})" for k, t in enumerate((t0, t1)))
    value = f"{m0} || {m1}" if kind == "hit" else f"{{{m1}, {m0}}}"
    write = f"{v}[{a}] <= 1'b1;\n  if ({a})\n    {t1} <= {key};\n  else\n    {t0} <= {key};"
    erase = f"{v}[{a}] <= 1'b0;"
    step = (
        f"if ({we}) begin\n  {write}\nend else if ({drop})\n  {erase}"
        if wins == "write"
        else f"if ({drop})\n  {erase}\nelse if ({we}) begin\n  {write}\nend"
    )
    zero = s.const(width, 0)
    winner = we if wins == "write" else drop
    found = f"{hit} is 1 when a valid slot" if kind == "hit" else f"bit i of {hit} is 1 when slot i is valid and"
    rule = f"{found} holds a key equal to {key}"
    return s.finish(
        ("cam", "match_table", "tag_check"),
        {"width": width, "kind": kind, "wins": wins},
        [
            f"reg [{width - 1}:0] {t0}, {t1};",
            f"reg [1:0] {v};",
            f"assign {hit} = {value};",
            s.clocked({v: "2'b00", t0: zero, t1: zero}, step),
        ],
        f"Two slots of a {width}-bit key and a valid bit. {we}=1 stores {key} in slot {a} and makes it valid; "
        f"{drop}=1 makes slot {a} invalid; {winner} wins. {rule} (combinational).",
        f"Write a match table with slots 0 and 1, each with a valid bit and a {width}-bit key. At a clock edge "
        f"{we} = 1 stores {key} in slot {a} and marks it "
        f"valid; {drop} = 1 marks slot {a} invalid. If both are 1 only {winner} counts. Without a clock, {rule}.",
        f"A content-addressable memory of two entries compares {key} ({width} bits) with what it holds: {rule}, "
        f"combinationally. At an active clock edge {we} = 1 writes {key} to the slot that {a} names and validates "
        f"it, {drop} = 1 invalidates the slot that {a} names, and {winner} has priority.",
        {"both valid bits": "0"},
    )
