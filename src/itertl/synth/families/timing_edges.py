"""Edges and samples of an input: detectors, captures, delay lines, filters."""

import random

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, family
from itertl.synth.families.wording import bits

_EDGES = {
    "rising": ("{x} & ~{p}", "is 1 and its stored sample is 0"),
    "falling": ("~{x} & {p}", "is 0 and its stored sample is 1"),
    "both": ("{x} ^ {p}", "differs from its stored sample"),
}


@family("timing")
def edge_detector(s: Sketch, rng: random.Random) -> DesignSpec:
    """One-cycle pulses on edges, combinational or registered."""
    width, kind, style = rng.choice((1, 1, 2, 3, 4, 8)), rng.choice(tuple(_EDGES)), rng.choice(("comb", "registered"))
    x = s.input("x", "sig", "d", width=width)
    y = s.output("pulse", "y", "edge_out", width=width, reg=style == "registered")
    p, zero = s.internal("prev", "last", "x_q"), s.const(width, 0)
    logic = _EDGES[kind][0].format(x=x, p=p)
    parts = [f"reg {bit_range(width)}{p};"]
    if style == "comb":
        parts += [s.clocked({p: zero}, f"{p} <= {x};"), f"assign {y} = {logic};"]
        out, starts = "combinationally", {f"the stored {x}": "0"}
    else:
        parts += [s.clocked({p: zero, y: zero}, f"{p} <= {x};\n{y} <= {logic};")]
        out, starts = "in a register (so one clock later)", {f"the stored {x}": "0", y: "0"}
    each = "" if width == 1 else f" Every one of the {width} bits is treated by itself."
    what = {"rising": "rising edges", "falling": "falling edges", "both": "any edge"}[kind]
    timing = (
        f"{y} is, without delay, 1 exactly where"
        if style == "comb"
        else f"{y} is a register that becomes 1 at a clock edge exactly where, just before it,"
    )
    return s.finish(
        ("edge_detect", f"{kind}_edge", "edge_finder"),
        {"width": width, "kind": kind, "style": style},
        parts,
        f"Detect {what} of {x} ({bits(width)}): {y} is 1, {out}, where {x} {_EDGES[kind][1]}, the one taken at the "
        f"last clock edge.{each}",
        f"Store a sample of {x} in a register at every clock edge. {timing} {x} {_EDGES[kind][1]}, else 0.{each}",
        f"Write a detector of {what} for the synchronous input {x} ({bits(width)}). A register keeps the value {x} "
        f"had at the last active clock edge, its stored sample. {timing} {x} {_EDGES[kind][1]}; otherwise 0.{each}",
        starts,
    )


@family("timing")
def edge_capture(s: Sketch, rng: random.Random) -> DesignSpec:
    """Edges are remembered until cleared."""
    width, kind, first = rng.choice((1, 2, 3, 4, 6, 8)), rng.choice(tuple(_EDGES)), rng.choice(("edge", "clear"))
    one = rng.choice((0, 1)) if width > 1 else 0
    x = s.input("x", "sig", "din", width=width)
    c = s.input("clr", "clear", "ack", width=1 if one else width)
    y, p = s.output("seen", "captured", "q", width=width), s.internal("prev", "last", "x_q")
    zero, mask = s.const(width, 0), f"{{{width}{{{c}}}}}" if one else c
    found = "(" + _EDGES[kind][0].format(x=x, p=p) + ")"
    logic = f"({y} & ~{mask}) | {found}" if first == "edge" else f"({y} | {found}) & ~{mask}"
    result = "1" if first == "edge" else "0"
    scope = f"{c} = 1 clears all bits" if one else f"a 1 in {c} clears that bit" if width > 1 else f"{c} = 1 clears it"
    return s.finish(
        ("edge_capture", "edge_latch", "capture"),
        {"width": width, "kind": kind, "first": first, "one_clear": one},
        [f"reg {bit_range(width)}{p};", s.clocked({p: zero, y: zero}, f"{p} <= {x};\n{y} <= {logic};")],
        f"Capture edges: {y} ({bits(width)}) becomes 1 where {x} {_EDGES[kind][1]}, taken at the edge before, and "
        f"stays; {scope}; edge and clear together give {result}.",
        f"Sample {x} ({bits(width)}) at every clock edge into a register. Where {x} {_EDGES[kind][1]} (that of the "
        f"edge before), {y} becomes "
        f"1 and stays 1. At a clock edge {scope}. If an edge is found and cleared at once, the result is {result}.",
        f"{y} ({bits(width)}) remembers edges of {x}. A register keeps the last sample of {x}; a bit of {y} is set "
        f"at the clock edge where the bit of {x} {_EDGES[kind][1]}. At the clock edge {scope}. Setting and "
        f"clearing at one edge gives {result}; with neither, bits hold.",
        {"the stored sample": "0", y: "0"},
    )


@family("timing")
def delay_line(s: Sketch, rng: random.Random) -> DesignSpec:
    """A tapped delay of which an input chooses the length."""
    k = rng.choice((1, 2, 2, 3))
    depth, first = 1 << k, rng.choice((0, 1))
    gate = s.enable()
    d, sel = s.input("d", "x", "sig"), s.input("sel", "tap", "delay", width=k)
    y, r = s.output("y", "q", "delayed", reg=False), s.internal("line", "taps", "hist")
    length = depth - first
    step = f"{r} <= {{{r}[{length - 2}:0], {d}}};" if length > 1 else f"{r} <= {d};"
    source = f"{{{r}, {d}}}" if first else r
    parts = [f"reg {bit_range(length)}{r};", s.clocked({r: s.const(length, 0)}, gate.guard(step))]
    if first:
        w = s.internal("all_taps", "window")
        parts.append(f"wire [{depth - 1}:0] {w} = {source};")
        source = w
    parts.append(f"assign {y} = {source}[{sel}];")
    rule = f"{sel} = 0 gives {d} itself and {sel} = n the stage n" if first else f"{sel} = n gives stage n + 1"
    hold = " Otherwise the line holds." if gate.test else ""
    return s.finish(
        ("delay_line", "tapped_delay", "var_delay"),
        {"depth": depth, "first": first, "enable": gate.kind},
        parts,
        f"Variable delay: {d} enters a line of {length} flip-flop(s) that shifts{gate.when or ' each clock'}; "
        f"{rule} (stage 1 is the newest), combinationally, on {y}.",
        f"Make a shift line of {length} stage(s). {d} enters stage 1{gate.when or ' at every clock edge'} as the "
        f"others move up by one.{hold} The output {y} is a tap: {rule}, with no register after the choice.",
        f"{y} is {d} delayed by a number of steps that {sel} ({bits(k)}) chooses. The delay line has {length} "
        f"stage(s); at each active clock edge{gate.when} stage 1 takes {d} and each further stage takes the one "
        f"before it.{hold} The choice is combinational: {rule}.",
        {"all stages": "0"},
    )


@family("timing")
def vote_filter(s: Sketch, rng: random.Random) -> DesignSpec:
    """Removes glitches by the last samples: majority or unanimity."""
    n, kind = rng.choice((2, 3, 3, 4, 5)), rng.choice(("majority", "unanimous"))
    n = n if kind == "unanimous" or n % 2 else 3
    gate, start = s.enable(), rng.choice((0, 1)) if kind == "unanimous" else 0
    x, y = s.input("x", "noisy", "din"), s.output("y", "clean", "filtered")
    r = s.internal("hist", "samples", "win")
    new = f"{{{r}, {x}}}" if n == 2 else f"{{{r}[{n - 3}:0], {x}}}"
    parts = [f"reg {bit_range(n - 1)}{r};"]
    seen = [x, *(f"{r}[{k}]" if n > 2 else r for k in range(n - 1))]
    shift = f"{r} <= {new};" if n > 2 else f"{r} <= {x};"
    if kind == "majority":
        step = f"{shift}\n{y} <= ({' + '.join(f'{{{s.const(2, 0)}, {v}}}' for v in seen)}) > {n // 2};"
        rule = f"{y} becomes the majority of the last {n} samples, the present one included"
    else:
        window = f"{{{r}, {x}}}"
        step = f"{shift}\nif (&{window})\n  {y} <= 1'b1;\nelse if (~|{window})\n  {y} <= 1'b0;"
        rule = (
            f"{y} becomes 1 if the last {n} samples, the present one included, are all 1, becomes 0 if they are all "
            "0, and else holds"
        )
    fill = s.const(n - 1, -start)
    hold = " Otherwise everything holds." if gate.test else ""
    return s.finish(
        ("glitch_filter", "vote", "input_filter"),
        {"samples": n, "kind": kind, "start": start, "enable": gate.kind},
        [*parts, s.clocked({r: fill, y: f"1'b{start}"}, gate.guard(step))],
        f"Filter {x}, sampled each clock{gate.when}: the register {y} updates then; {rule}.",
        f"Write a glitch filter. {x} is sampled{gate.when or ' at every clock edge'}, and {rule}. {y} is a "
        f"register.{hold}",
        f"The input {x} is sampled at each active clock edge{gate.when}, and earlier samples are remembered. At "
        f"that same edge the register {y} is updated: {rule}.{hold}",
        {"the remembered samples": str(start) if start == 0 else "all ones", y: str(start)},
    )
