"""Valid words gathered or cut: groups to one result, narrow to wide, wide to narrow."""

import random

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, family
from itertl.synth.families.wording import STREAM_IN, STREAM_OUT, bits


@family("handshakes", reset_one_in=96)
def accumulate_valid(s: Sketch, rng: random.Random) -> DesignSpec:
    """Combines N words, then gives one result with a pulse."""
    count, width, op = rng.randint(2, 8), rng.choice((2, 3, 4, 6, 8)), rng.choice(("sum", "sum", "xor", "or", "max"))
    iv, d = s.input("valid_in", "in_valid", "vld"), s.input("din", "data_in", "x", width=width)
    ow = width + (count - 1).bit_length() if op == "sum" else width
    ov, q = s.output("valid_out", "out_valid", "done"), s.output("dout", "data_out", "result", width=ow)
    n, acc, new = s.internal("n", "count"), s.internal("acc", "partial"), s.internal("now", "next_acc")
    w = (count - 1).bit_length()
    value = {"sum": f"{acc} + {d}", "xor": f"{acc} ^ {d}", "or": f"{acc} | {d}", "max": f"({d} > {acc}) ? {d} : {acc}"}[
        op
    ]
    zero = s.const(ow, 0)
    step = (
        f"{ov} <= 1'b0;\nif ({iv}) begin\n  if ({n} == {s.const(w, count - 1)}) begin\n    {q} <= {new};\n    {ov} <= "
        f"1'b1;\n    {acc} <= {zero};\n    {n} <= {s.const(w, 0)};\n"
        f"  end else begin\n    {acc} <= {new};\n    {n} <= {n} + 1;\n  end\nend"
    )
    what = {"sum": "sum", "xor": "bitwise XOR", "or": "bitwise OR", "max": "maximum (unsigned)"}[op]
    return s.finish(
        ("accum", "group_sum", "collect"),
        {"count": count, "width": width, "op": op},
        [
            f"reg {bit_range(w)}{n};",
            f"reg [{ow - 1}:0] {acc};",
            f"wire [{ow - 1}:0] {new} = {value};",
            s.clocked({n: s.const(w, 0), acc: zero, q: zero, ov: "1'b0"}, step),
        ],
        f"Group every {count} words {d} taken with {iv}=1: with the last one {q} gets their {what} ({ow} bits) and "
        f"{ov} is 1 for one clock.",
        f"Words of {width} bits come on {d} at clock edges where {iv} is 1. At the edge that takes every {count}th "
        f"word, the register {q} ({ow} bits) gets the {what} of the {count} "
        f"words and {ov} becomes 1. {ov} becomes 0 at all other edges, and {q} holds.",
        f"The circuit takes {d} ({width} bits, unsigned) at each active clock edge with {iv} = 1 and works in groups "
        f"of {count} words. The last word of a group loads {q} with the {what} of the group, {ow} bits wide, and sets "
        f"{ov}; every other edge clears {ov} and leaves {q} alone. A new group begins with the next word.",
        {"the group": "empty", q: "0", ov: "0"},
    )


@family("handshakes", reset_one_in=96)
def width_up(s: Sketch, rng: random.Random) -> DesignSpec:
    """Packs several narrow words into a wide one, with back-pressure or a pulse."""
    ratio = rng.choice((2, 2, 3, 4))
    width = rng.choice((1, 2, 3, 4, 6, 8))
    order = rng.choice(("low-first", "high-first"))
    iv, d = s.input(*STREAM_IN[0]), s.input(*STREAM_IN[1], width=width)
    wide, stored = ratio * width, (ratio - 1) * width
    ov, q = s.output(*STREAM_OUT[0]), s.output(*STREAM_OUT[1], width=wide)
    n, part, w = s.internal("n", "have"), s.internal("part", "stash"), (ratio - 1).bit_length()
    joined = f"{{{d}, {part}}}" if order == "low-first" else f"{{{part}, {d}}}"
    if ratio == 2:
        keep = d
    elif order == "low-first":
        keep = f"{{{d}, {part}[{stored - 1}:{width}]}}"
    else:
        keep = f"{{{part}[{stored - width - 1}:0], {d}}}"
    zero = s.const(w, 0)
    step = (
        f"{ov} <= 1'b0;\nif ({iv}) begin\n  {part} <= {keep};\n  if ({n} == {s.const(w, ratio - 1)}) begin\n    {n} <= "
        f"{zero};\n    {q} <= {joined};\n    {ov} <= 1'b1;\n  end else\n    {n} <= {n} + 1;\nend"
    )
    place = "the first in the lowest bits" if order == "low-first" else "the first in the highest bits"
    return s.finish(
        ("packer", "width_up", "upsizer"),
        {"ratio": ratio, "width": width, "order": order},
        [
            f"reg {bit_range(w)}{n};",
            f"reg {bit_range(stored)}{part};",
            s.clocked({n: zero, part: s.const(stored, 0), q: s.const(wide, 0), ov: "1'b0"}, step),
        ],
        f"Pack {ratio} words {d} ({bits(width)}) taken with {iv}=1 into {q} ({wide} bits), {place}; with the last "
        f"one {ov} is 1 for one clock.",
        f"Convert {bits(width)} to {wide} bits. At clock edges with {iv} = 1 a word {d} is taken. At the edge of "
        f"every {ratio}th one, {q} gets the {ratio} words, {place}, and {ov} "
        f"becomes 1; at all other edges {ov} becomes 0 and {q} holds.",
        f"The width converter takes {d} ({bits(width)}) at each active clock edge where {iv} is 1. {ratio} words "
        f"make one wide word, {place}, in order of arrival. The edge that takes the last of them loads the "
        f"register {q} ({wide} bits) and sets {ov}; other edges clear {ov} and keep {q}.",
        {"the words taken so far": "none", q: "0", ov: "0"},
    )


@family("handshakes", reset_one_in=64)
def width_down(s: Sketch, rng: random.Random) -> DesignSpec:
    """Sends a wide word in pieces."""
    ratio, width, order = rng.choice((2, 3, 4)), rng.choice((1, 2, 3, 4, 6, 8)), rng.choice(("low-first", "high-first"))
    stalls = rng.choice((0, 1))
    wide = ratio * width
    iv, d = s.input(*STREAM_IN[0]), s.input(*STREAM_IN[1], width=wide)
    rdy = s.output(*STREAM_IN[2], reg=False)
    ov, q = s.output(*STREAM_OUT[0], reg=False), s.output(*STREAM_OUT[1], width=width, reg=False)
    take = s.input(*STREAM_OUT[2]) if stalls else ""
    n, r, w = s.internal("left", "n"), s.internal("rest", "sr"), ratio.bit_length()
    zero = s.const(w, 0)
    out = f"{r}[{width - 1}:0]" if order == "low-first" else f"{r}[{wide - 1}:{wide - width}]"
    if width == 1:
        out = f"{r}[0]" if order == "low-first" else f"{r}[{wide - 1}]"
    move = f"{r} <= {r} {'>>' if order == 'low-first' else '<<'} {width};"
    step = (
        f"if ({iv} && {rdy}) begin\n  {n} <= {s.const(w, ratio)};\n  {r} <= {d};\nend else if "
        f"({f'{take} && ' if take else ''}{ov}) begin\n  {n} <= {n} - 1;\n  {move}\nend"
    )
    place = "lowest bits first" if order == "low-first" else "highest bits first"
    paced = f"a clock edge with {take} = 1" if take else "a clock edge"
    return s.finish(
        ("unpacker", "width_down", "downsizer"),
        {"ratio": ratio, "width": width, "order": order, "stalls": stalls},
        [
            f"reg [{w - 1}:0] {n};",
            f"reg [{wide - 1}:0] {r};",
            f"assign {rdy} = ({n} == {zero});",
            f"assign {ov} = ({n} != {zero});",
            f"assign {q} = {out};",
            s.clocked({n: zero, r: s.const(wide, 0)}, step),
        ],
        f"Split {wide}-bit words {d} into {ratio} pieces of {bits(width)} on {q}, {place}. {iv}&{rdy} loads a "
        f"word; {ov}=1 while pieces are left, {rdy}=1 while none are; each piece "
        f"leaves at {paced}. {q} is 0 when none are left.",
        f"Convert {wide} bits to {bits(width)}. While no piece is left {rdy} is 1 and {ov} 0, and {iv} = 1 at a "
        f"clock edge loads {d}. Then {rdy} is 0 and {ov} 1, and {q} shows the pieces one after another, {place}, "
        f"going on at {paced}. With no piece left {q} is 0. Outputs depend on the state alone.",
        f"The converter holds one word of {ratio} pieces of {bits(width)}. {ov} says that a piece is left, {rdy} "
        f"that none is. {q} is the present piece, {place} ({q} is 0 when none is left). With {rdy} = 1, {iv} = 1 "
        f"at an active clock edge loads all pieces from {d}. With {ov} = 1, {paced} drops the present piece. The "
        "next word can be loaded only after the last piece is gone.",
        {"the number of pieces left": "0", q: "0"},
    )
