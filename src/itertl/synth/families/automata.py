"""Registers that live by a rule: cellular automata, clocks in decimal digits, registers of two uses."""

import random

from itertl.synth.boolean import sum_of_products
from itertl.synth.design import DesignSpec
from itertl.synth.families.sequential import Sketch, block, family
from itertl.synth.families.wording import bits, join

_WELL_KNOWN = (0, 90, 110, 255)  # no function, and those that everybody has seen
_LEFT_TO_RIGHT = ("111", "110", "101", "100", "011", "010", "001", "000")


@family("automata", resets=("none", "sync-high", "async-high", "sync-low"), reset_one_in=64)
def cell_automaton(s: Sketch, rng: random.Random) -> DesignSpec:
    """A row of cells whose next value depends on themselves and both neighbours, by a table."""
    rule = rng.choice([n for n in range(1, 255) if n not in _WELL_KNOWN])
    width, edge = rng.choice((8, 12, 16, 24, 32, 64)), rng.choice(("0", "0", "1", "ring"))
    load, d = s.input("load", "set_cells", "ld", one_in=8), s.input("data", "d", "init", width=width)
    q = s.output("q", "cells", "row", width=width)
    top = width - 1
    left, right = s.internal("l", "lft"), s.internal("r", "rgt")
    ends = {"0": ("1'b0", "1'b0"), "1": ("1'b1", "1'b1"), "ring": (f"{q}[0]", f"{q}[{top}]")}[edge]
    table = [rule >> n & 1 for n in range(8)]
    text = sum_of_products(table, [left, q, right])
    step = f"if ({load})\n  {q} <= {d};\nelse\n  {q} <= {text};"
    listing = ", ".join(f"{code} -> {table[int(code, 2)]}" for code in _LEFT_TO_RIGHT)
    beyond = (
        f"the row is a ring: {q}[0] and {q}[{top}] are neighbours"
        if edge == "ring"
        else f"beyond both ends are cells of {edge}"
    )
    return s.finish(
        ("automaton", "cells", f"rule{rule}"),
        {"rule": rule, "width": width, "edge": edge},
        [
            f"wire [{top}:0] {left} = {{{ends[0]}, {q}[{top}:1]}};",
            f"wire [{top}:0] {right} = {{{q}[{top - 1}:0], {ends[1]}}};",
            s.clocked({q: s.const(width, 0) if width < 64 else "64'd0"}, step),
        ],
        f"Row of {width} cells {q}; {load}=1 loads {d}, else each clock the cell's (left, itself, right) gives its "
        f"next "
        f"value: {listing}. Left is the higher index; {beyond}.",
        f"Build a one-dimensional cellular automaton in the register {q} ({bits(width)}). At a clock edge with {load} "
        f"= 1 it "
        f"takes {d}. Otherwise all cells step: the next {q}[i] follows from {q}[i+1], {q}[i], {q}[i-1], in this order: "
        f"{listing}; {beyond}.",
        f"{q} is a row of {width} cells. A clock edge with {load} = 1 loads {d}. At any other, every cell takes at "
        f"the same "
        f"time the value that its left neighbour (index i+1), itself and its right neighbour (index i-1) give it by "
        f"this "
        f"table (this is rule {rule}): {listing}. As to the ends, {beyond}.",
        {q: "0"},
    )


@family("automata", resets=("none", "sync-high", "async-high"), reset_one_in=64)
def torus_life(s: Sketch, rng: random.Random) -> DesignSpec:
    """A small board without borders; cells are born and live by the number of neighbours of four."""
    rows, columns = rng.choice(((4, 4), (3, 4), (4, 3), (3, 5), (4, 5), (5, 4), (5, 5)))
    born = sorted(rng.sample(range(1, 5), rng.randint(1, 2)))
    live = sorted(rng.sample(range(5), rng.randint(1, 3)))
    size = rows * columns
    load, d = s.input("load", "ld", "start", one_in=8), s.input("data", "board_in", "d", width=size)
    q = s.output("q", "board", "cells", width=size)
    i, n, count = s.internal("i", "k"), s.internal("n", "sum"), s.internal("near", "around")
    top = f"({i} + {columns}) % {size}"
    bottom = f"({i} + {size - columns}) % {size}"
    east = f"({i} % {columns} == {columns - 1}) ? {i} - {columns - 1} : {i} + 1"
    west = f"({i} % {columns} == 0) ? {i} + {columns - 1} : {i} - 1"
    tests = [" || ".join(f"{n} == {value}" for value in group) for group in (live, born)]
    loop = (
        f"always @(*)\n  for ({i} = 0; {i} < {size}; {i} = {i} + 1) begin\n    {n} = {q}[{top}] + {q}[{bottom}]\n"
        f"      + {q}[{east}] + {q}[{west}];\n    {count}[{i}] = {q}[{i}] ? ({tests[0]}) : ({tests[1]});\n  end"
    )
    where = (
        f"row r, column c is bit {columns}*r + c of {q}; the board is a torus, so the first and last rows touch, and "
        f"so do "
        f"the columns"
    )
    lives, births = join(map(str, live), "or"), join(map(str, born), "or")
    rule = (
        f"a live cell (1) stays alive with {lives} live neighbours of its four (above, below, left, right) and dies "
        f"else; "
        f"a dead one comes to life with {births}"
    )
    return s.finish(
        ("life", "board", "torus"),
        {"rows": rows, "columns": columns, "born": "".join(map(str, born)), "live": "".join(map(str, live))},
        [
            f"integer {i};\nreg [2:0] {n};\nreg [{size - 1}:0] {count};",
            loop,
            s.clocked({q: f"{size}'d0"}, f"if ({load})\n  {q} <= {d};\nelse\n  {q} <= {count};"),
        ],
        f"Board {q} of {rows} rows and {columns} columns; {load}=1 loads {d}, else a step each clock: {rule}. In {q}, "
        f"{where}.",
        f"Write a game of cells on a board of {rows} by {columns} in the register {q}. {load} = 1 at a clock edge "
        f"loads {d}; "
        f"otherwise each edge makes one step: {rule}. As to places, {where}.",
        f"{q} holds {rows} rows of {columns} cells: {where}. A clock edge with {load} = 1 takes the board from {d}. "
        f"Every other "
        f"edge replaces all cells at once: {rule}.",
        {q: "0"},
    )


@family("automata", resets=("sync-high", "async-high", "sync-low"), reset_one_in=400)
def clock_digits(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two fields in decimal digits that carry, as a clock's; an enable ticks."""
    high, low = rng.choice((2, 3, 4, 6, 8, 12, 16, 24, 60)), rng.choice((5, 8, 10, 12, 20, 24, 30))
    begin = rng.choice((0, 0, 1)) if high < 60 else 0
    tick = s.input("ena", "tick", "en", one_in=None)
    names = rng.choice((("hi", "lo"), ("mm", "ss"), ("lap", "spot"), ("major", "minor")))
    h, m = (s.output(name, width=8) for name in names)
    last_h, last_m = high - 1 + begin, low - 1

    def code(value: int) -> str:
        return f"8'h{value // 10}{value % 10}"

    def up(field: str) -> str:
        return f"({field}[3:0] == 4'd9) ? {{{field}[7:4] + 4'd1, 4'd0}} : {field} + 8'd1"

    step = block(
        tick,
        f"if ({m} == {code(last_m)}) begin\n  {m} <= 8'h00;\n  {h} <= ({h} == {code(last_h)}) ? {code(begin)} : "
        f"{up(h)};\n"
        f"end else\n  {m} <= {up(m)};",
    )
    span = f"{h} runs from {begin} to {last_h}, {m} from 0 to {last_m}"
    return s.finish(
        ("clock_digits", "two_fields", "time_count"),
        {"high": high, "low": low, "begin": begin},
        [s.clocked({h: code(begin), m: "8'h00"}, step)],
        f"BCD fields {h} and {m}, two digits each (tens in [7:4]): {tick}=1 steps {m}; its wrap steps {h}. {span}.",
        f"Count in decimal digits. {h} and {m} have two BCD digits each, the tens in bits 7 to 4. At a clock edge "
        f"with {tick} = "
        f"1, {m} goes one up; after its last value it goes to 0 and {h} goes one up, or back to its first. {span}. "
        f"With {tick} "
        f"= 0 nothing changes.",
        f"Two counters work like hours and minutes: {span}, each as two binary-coded decimal digits, tens in the "
        f"upper four "
        f"bits. Only a clock edge that finds {tick} = 1 moves them. It adds 1 to {m}; from {last_m} it goes to 0 "
        f"instead, and at "
        f"that edge {h} adds 1, or from {last_h} goes to {begin}.",
        {h: str(begin), m: "0"},
    )


@family("automata", reset_one_in=64)
def shift_count_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """A register that shifts bits in and also counts."""
    width, way, order = rng.choice((3, 5, 6, 7, 8)), rng.choice(("up", "down")), rng.choice(("msb", "lsb"))
    first = rng.choice(("shift", "count", "none"))
    sh, cnt, d = (
        s.input("shift_en", "sh", "load_bit"),
        s.input("count_en", "cnt", "step"),
        s.input("din", "data", "sin"),
    )
    q = s.output("q", "value", "reg_q", width=width)
    moved = f"{{{q}[{width - 2}:0], {d}}}" if order == "msb" else f"{{{d}, {q}[{width - 1}:1]}}"
    counted = f"{q} {'+' if way == 'up' else '-'} 1'b1"
    by = {
        "shift": (sh, moved, cnt, counted),
        "count": (cnt, counted, sh, moved),
        "none": (f"{sh} && !{cnt}", moved, f"{cnt} && !{sh}", counted),
    }[first]
    step = f"if ({by[0]})\n  {q} <= {by[1]};\nelse if ({by[2]})\n  {q} <= {by[3]};"
    both = {"shift": "shifting goes first", "count": "counting goes first", "none": "nothing happens"}[first]
    end, into = ("most", 0) if order == "msb" else ("least", width - 1)
    shift = f"shifts {d} in, {end} significant bit first (into bit {into})"
    return s.finish(
        ("shift_count", "load_counter", "serial_counter"),
        {"width": width, "way": way, "order": order, "first": first},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"{width}-bit {q}: {sh}=1 {shift}; {cnt}=1 counts {way} by one; with both, {both}; with none it holds.",
        f"Write a {width}-bit register {q} that is a shift register and a counter. At a clock edge with {sh} = 1 it "
        f"{shift}; "
        f"with {cnt} = 1 it counts {way} by one and wraps. If both are 1, {both}; if none is, {q} keeps its value.",
        f"{q} ({bits(width)}) has two uses. First a number is brought in serially: each active edge with {sh} = 1 "
        f"{shift}. Then "
        f"each edge with {cnt} = 1 counts it {way} by one, wrapping round. When {sh} and {cnt} are both 1, {both}; "
        f"when both "
        f"are 0, {q} stays.",
        {q: "0"},
    )


@family("automata", reset_one_in=96)
def history_register(s: Sketch, rng: random.Random) -> DesignSpec:
    """A history of outcomes that can be rolled back to a saved one."""
    width, newest = rng.choice((4, 6, 8, 12, 16, 24)), rng.choice(("low", "low", "high"))
    first = rng.choice(("restore", "restore", "add"))
    add, bit = s.input("push", "add", "note_en"), s.input("outcome", "bit_in", "note")
    back, old = s.input("restore", "undo", "rollback", one_in=4), s.input("saved", "old", "past", width=width)
    fix = s.input("truth", "actual", "real_bit") if (fixes := rng.random() < 0.6) else ""
    q = s.output("hist", "history", "trail", width=width)

    def joined(base: str, new: str) -> str:
        return f"{{{base}[{width - 2}:0], {new}}}" if newest == "low" else f"{{{new}, {base}[{width - 1}:1]}}"

    restored = joined(old, fix) if fixes else old
    order = [(back, restored), (add, joined(q, bit))]
    if first == "add":
        order.reverse()
    step = f"if ({order[0][0]})\n  {q} <= {order[0][1]};\nelse if ({order[1][0]})\n  {q} <= {order[1][1]};"
    shift = (
        "shifted up by one with {0} as bit 0"
        if newest == "low"
        else f"shifted down by one with {{0}} as bit {width - 1}"
    )
    how = f"{old} " + (shift.format(fix) if fixes else "as it is")
    wins = back if first == "restore" else add
    return s.finish(
        ("history", "trail_register", "rollback"),
        {"width": width, "newest": newest, "first": first, "fixes": int(fixes)},
        [s.clocked({q: s.const(width, 0)}, step)],
        f"{width}-bit history {q}. {add}=1: it is {shift.format(bit)}; {back}=1: it becomes {how}. {wins} wins.",
        f"Keep a history of {width} outcomes in {q}. At a clock edge with {add} = 1 it is {shift.format(bit)}. With "
        f"{back} = 1 it "
        f"becomes {how}. If both are 1, {wins} has priority; if none is, {q} holds.",
        f"{q} records the last {width} outcomes. An edge with {add} = 1 adds one: {q} is {shift.format(bit)}. When a "
        f"mistake is "
        f"found, {back} = 1 takes the history back: {q} becomes {how}. {wins} has priority over the other; with "
        f"neither the "
        f"register keeps its value.",
        {q: "0"},
    )


@family("automata", resets=("none", "sync-high", "async-high", "sync-low"), reset_one_in=96)
def shifted_lookup(s: Sketch, rng: random.Random) -> DesignSpec:
    """A table that is filled serially and read by an address: any function of a few inputs."""
    size, order = rng.choice(((2, "up"), (2, "down"), (3, "down"), (4, "up"), (4, "down"), (5, "up"), (5, "down")))
    count = 1 << size
    gate, d = s.enable(("high", "high", "low")), s.input("sin", "s_in", "load_bit")
    names = [
        s.input(n)
        for n in rng.choice((("a", "b", "c", "e", "g"), ("x4", "x3", "x2", "x1", "x0"), ("p", "q", "r", "s", "t")))[
            :size
        ]
    ]
    z, cells = s.output("z", "f", "y", reg=False), s.internal("cells", "table_q", "lut")
    moved = f"{{{cells}[{count - 2}:0], {d}}}" if order == "up" else f"{{{d}, {cells}[{count - 1}:1]}}"
    into = 0 if order == "up" else count - 1
    toward = "higher" if order == "up" else "lower"
    word = ", ".join(names)
    return s.finish(
        ("lut", "shift_lut", "logic_cell"),
        {"size": size, "order": order, "enable": gate.kind},
        [
            f"reg [{count - 1}:0] {cells};",
            s.clocked({cells: f"{count}'d0"}, gate.guard(f"{cells} <= {moved};")),
            f"assign {z} = {cells}[{{{', '.join(names)}}}];",
        ],
        f"{count} cells, filled serially{gate.when}: {d} into cell {into}, the others one place {toward}. {z} = cell "
        f"number "
        f"{{{', '.join(names)}}}, at once ({names[0]} MSB).",
        f"Build a lookup table of {count} one-bit cells. At each clock edge{gate.when} the cells shift by one place "
        f"to {toward} "
        f"numbers and cell {into} takes {d}. {z} shows, without a clock, the cell whose number is {join(names)} read "
        f"as a binary "
        f"number, {names[0]} first.",
        f"A shift register of {count} flip-flops holds the table of a function: at each active clock edge{gate.when}, "
        f"cell "
        f"{into} takes {d} and each other cell the value of its {'lower' if order == 'up' else 'higher'} neighbour. "
        f"Reading is "
        f"combinational: {z} is cell number {word} in binary, where {names[0]} is the most significant bit.",
        {"all cells": "0"},
    )


@family("automata", resets=("none", "sync-high", "async-high", "async-low"), reset_one_in=64)
def one_stage(s: Sketch, rng: random.Random) -> DesignSpec:
    """A flip-flop behind two multiplexers, one stage of a larger register."""
    kinds = {"load": "{r}", "shift": "{w}", "invert": "~{q}", "zero": "1'b0", "mix": "{w} ^ {q}", "keep": "{q}"}
    while True:
        first, second, third = rng.sample(list(kinds), 3)
        used = {first, second, third}
        if used & {"load", "shift", "mix"} and used != {"load", "shift", "keep"}:  # that is a plain shift register's
            break
    e, m = s.input("E", "en", "m0"), s.input("L", "ld", "m1")
    w = s.input("w", "sin", "prev") if used & {"shift", "mix"} else ""
    r = s.input("R", "d", "par") if "load" in used else ""
    q = s.output("Q", "q", "stage_q")
    of = {name: text.format(r=r, w=w, q=q) for name, text in kinds.items()}
    said = {
        "load": f"takes {r}", "shift": f"takes {w}", "invert": "is inverted", "zero": "becomes 0",
        "mix": f"takes {w} XOR itself", "keep": "keeps its value",
    }  # fmt: skip
    text = f"{m} ? {of[first]} : {e} ? {of[second]} : {of[third]}"
    body = s.clocked({q: "1'b0"}, f"{q} <= {text};")
    return s.finish(
        ("stage", "one_bit", "slice"),
        {"first": first, "second": second, "third": third},
        [body],
        f"One stage {q}: {m}=1: it {said[first]}; else {e}=1: it {said[second]}; else it {said[third]}.",
        f"Write one stage of a register: a flip-flop {q} behind two multiplexers. At a clock edge, if {m} is 1, {q} "
        f"{said[first]}; if {m} is 0 and {e} is 1, it {said[second]}; if both are 0, it {said[third]}.",
        f"{q} is a flip-flop whose input comes from a multiplexer selected by {m}, whose 0 input comes from one "
        f"selected by "
        f"{e}. So, at each active clock edge: with {m} = 1, {q} {said[first]}, whatever {e} is; with {m} = 0, {e} = "
        f"1, it "
        f"{said[second]}; with both 0, it {said[third]}.",
        {q: "0"},
    )
