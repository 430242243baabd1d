"""Handshakes: valid/ready slices, skid buffers, req/ack, credits, pipelines with valid bits."""

import random
from itertools import pairwise

from itertl.synth.design import DesignSpec, bit_range
from itertl.synth.families.sequential import Sketch, begin_end, family
from itertl.synth.families.wording import STREAM_IN, STREAM_OUT, bits

_RESETTABLE = ("sync-high", "async-high", "sync-low", "async-low")


def _transfers(valid: str, ready: str) -> str:
    return f"A word moves at a clock edge where {valid} and {ready} are both 1."


@family("handshakes", reset_one_in=48)
def register_slice(s: Sketch, rng: random.Random) -> DesignSpec:
    """One word of storage between two valid/ready ports."""
    width, kind, op = rng.randint(1, 8), rng.choice(("full", "half")), rng.choice(("copy", "invert", "increment"))
    iv, idata = s.input(*STREAM_IN[0]), s.input(*STREAM_IN[1], width=width)
    rdy = s.output(*STREAM_IN[2], reg=False)
    ov, odata = s.output(*STREAM_OUT[0]), s.output(*STREAM_OUT[1], width=width)
    take = s.input(*STREAM_OUT[2])
    value, words = {
        "copy": (idata, idata),
        "invert": (f"~{idata}", f"the inverse of {idata}"),
        "increment": (f"{idata} + 1", f"{idata} + 1 (mod 2^{width})"),
    }[op]
    ready = f"!{ov} || {take}" if kind == "full" else f"!{ov}"
    step = f"if ({iv} && {rdy}) begin\n  {ov} <= 1'b1;\n  {odata} <= {value};\nend else if ({take})\n  {ov} <= 1'b0;"
    means = f"{rdy} = not {ov}, or {take}" if kind == "full" else f"{rdy} = not {ov}"
    return s.finish(
        ("reg_slice", "stream_reg", "pipe_stage"),
        {"width": width, "kind": kind, "op": op},
        [f"assign {rdy} = {ready};", s.clocked({ov: "1'b0", odata: s.const(width, 0)}, step)],
        f"Valid/ready register slice, {bits(width)}. {means} (combinational). {iv} and {rdy}: {odata} takes "
        f"{words}, {ov} becomes 1; else {take} clears {ov}.",
        f"Write a one-word pipeline stage. {rdy} is combinational: {means}. At a clock edge with {iv} = 1 and "
        f"{rdy} = 1, {ov} becomes 1 and {odata} ({bits(width)}) takes "
        f"{words}; otherwise, if {take} is 1, {ov} becomes 0. {odata} changes only when a word comes in.",
        f"The stage keeps one word in the registers {ov} and {odata} ({bits(width)}). It can accept a word when "
        f"{means}, without a register. {_transfers(iv, rdy)} Then {odata} takes {words} and {ov} becomes 1. At an "
        f"edge without such a word {take} = 1 makes {ov} 0. {odata} is kept at all other edges.",
    )


@family("handshakes", resets=_RESETTABLE, reset_one_in=48)
def skid_buffer(s: Sketch, rng: random.Random) -> DesignSpec:
    """Two words of storage, so that ready comes from a register."""
    width, empty_shows = rng.randint(1, 12), rng.choice(("zero", "last"))
    iv, idata, rdy = s.input(*STREAM_IN[0]), s.input(*STREAM_IN[1], width=width), s.output(*STREAM_IN[2], reg=False)
    ov, odata = s.output(*STREAM_OUT[0], reg=False), s.output(*STREAM_OUT[1], width=width, reg=False)
    take = s.input(*STREAM_OUT[2])
    n, a, b = s.internal("n", "held", "used"), s.internal("head", "w0"), s.internal("skid", "w1")
    push, pop = s.internal("push", "load"), s.internal("pop", "drop")
    zero = s.const(width, 0)
    step = (
        f"if ({push} && !{pop})\n  {n} <= {n} + 2'd1;\nelse if ({pop} && !{push})\n  {n} <= {n} - 2'd1;\n"
        f"if ({pop} && {n} == 2'd2)\n  {a} <= {b};\nelse if ({push} && ({n} == 2'd0 || {pop}))\n  {a} <= "
        f"{idata};\nif ({push})\n  {b} <= {idata};"
    )
    shown = f"{ov} ? {a} : {zero}" if empty_shows == "zero" else a
    else_ = "0 while it holds none" if empty_shows == "zero" else "while it holds none, the word that left last"
    return s.finish(
        ("skid_buffer", "elastic", "two_deep"),
        {"width": width, "empty_shows": empty_shows},
        [
            f"reg [1:0] {n};",
            f"reg {bit_range(width)}{a}, {b};",
            f"assign {rdy} = ({n} != 2'd2);",
            f"assign {ov} = ({n} != 2'd0);",
            f"assign {odata} = {shown};",
            f"wire {push} = {iv} && {rdy};",
            f"wire {pop} = {ov} && {take};",
            s.clocked({n: "2'd0", a: zero, b: zero}, step),
        ],
        f"Two-word elastic buffer with valid/ready, {bits(width)}: {iv}&{rdy} stores {idata}, {ov}&{take} removes "
        f"the oldest. {rdy} = fewer than 2 held, {ov} = at least 1; {odata} = the oldest word, {else_}.",
        f"Write a skid buffer for two words of {bits(width)}. {rdy} is 1 while fewer than two words are held, {ov} "
        f"while at least one is; neither depends on the inputs. At a clock edge {iv} = 1 with {rdy} = 1 stores "
        f"{idata}, and {take} = 1 with {ov} = 1 removes the oldest word. {odata} shows the oldest word; {else_}.",
        f"The buffer is a queue of at most two words. Input: {_transfers(iv, rdy)} Output: {_transfers(ov, take)} "
        f"The input brings {idata} ({bits(width)}), the output carries the oldest word on {odata} ({else_}). {rdy} "
        f"tells that fewer than two words are held and {ov} that there is one; all outputs depend on the state "
        "alone. Both transfers may happen at one edge.",
        {"the number of words": "0"} | ({odata: "0"} if empty_shows == "last" else {}),
    )


@family("handshakes", reset_one_in=64)
def request_acknowledge(s: Sketch, rng: random.Random) -> DesignSpec:
    """Answers a request after some clocks; four-phase or pulse."""
    delay, kind, counts = rng.randint(1, 12), rng.choice(("four-phase", "pulse")), rng.choice(("none", "busy"))
    req, ack = s.input("req", "request", "start"), s.output("ack", "done", "grant")
    n, w = s.internal("n", "wait_n", "timer"), (delay).bit_length()
    top, zero = s.const(w, delay), s.const(w, 0)
    done = f"{n} == {top}"
    if kind == "four-phase":
        step = (
            f"if (!{req}) begin\n  {n} <= {zero};\n  {ack} <= 1'b0;\nend else if ({done})\n  {ack} <= 1'b1;\nelse\n  "
            f"{n} <= {n} + 1;"
        )
        rule = (
            f"when {req} has been 1 at {delay + 1} clock edges in a row, {ack} becomes 1 at the last of them and stays "
            f"1; an edge with {req} = 0 makes {ack} 0 and starts the count again"
        )
        busy, tells = f"({n} != {zero})", f"at least one edge with {req} = 1 has been counted since the last with 0"
    else:
        step = (
            f"{ack} <= 1'b0;\nif ({n} == {zero}) begin\n  if ({req})\n    {n} <= {s.const(w, 1)};\nend else if "
            f"({done}) begin\n  {n} <= {zero};\n  {ack} <= 1'b1;\nend else\n  {n} <= {n} + 1;"
        )
        rule = (
            f"an edge with {req} = 1 while idle starts the work; {delay} edge{'s' if delay > 1 else ''} later {ack} "
            f"becomes 1 for one clock and the circuit is idle again; {req} does not matter in between"
        )
        busy = f"({n} != {zero})"
        tells = "the work is going on, that is from the edge that starts it to the edge that sets " + ack
    parts = [f"reg {bit_range(w)}{n};", s.clocked({n: zero, ack: "1'b0"}, step)]
    extra = ""
    if counts == "busy":
        out = s.output("busy", "active", reg=False)
        parts.append(f"assign {out} = {busy};")
        extra = f" {out} is 1 (from the state alone) while {tells}."
    return s.finish(
        ("req_ack", "responder", "slow_ack"),
        {"delay": delay, "kind": kind, "busy": counts},
        parts,
        f"Handshake responder, {ack} registered: {rule}.{extra}",
        f"Write a responder for a request {req} with a registered answer {ack}. In it, {rule}.{extra}",
        f"{ack} is a flip-flop that answers {req}, with an internal counter. Seen at active clock edges, {rule}. "
        f"There is nothing else that changes {ack}.{extra}",
        {"the count": "0", ack: "0"},
    )


@family("handshakes", reset_one_in=64)
def credit_counter(s: Sketch, rng: random.Random) -> DesignSpec:
    """A sender may go while it has credits."""
    limit, start_full, quick = rng.randint(2, 12), rng.choice((0, 1)), rng.choice((0, 1))
    want, back = s.input("send", "want", "req"), s.input("give", "credit_in", "ret")
    ok = s.output("go", "grant", "allowed", reg=False)
    n = s.output("credits", "left", "avail", width=limit.bit_length())
    w = limit.bit_length()
    allow = f"{want} && ({n} != {s.const(w, 0)}" + (f" || {back})" if quick else ")")
    step = (
        f"if ({ok} && !{back})\n  {n} <= {n} - 1;\nelse if ({back} && !{ok} && {n} != {s.const(w, limit)})\n  {n} <= "
        f"{n} + 1;"
    )
    start = limit if start_full else 0
    cond = f"{want} is 1 and " + (f"({n} is not 0 or {back} is 1)" if quick else f"{n} is not 0")
    return s.finish(
        ("credits", "credit_ctrl", "flow_control"),
        {"limit": limit, "start": start, "quick": quick},
        [f"assign {ok} = {allow};", s.clocked({n: s.const(w, start)}, step)],
        f"Credit counter {n} (0 to {limit}): {ok} = 1 when {cond} (combinational). {ok} uses a credit, {back} "
        f"returns one (not above {limit}); both together leave {n}.",
        f"Write a credit flow control. {ok} is combinational: 1 when {cond}. At a clock edge {ok} = 1 alone takes "
        f"one from {n}, {back} = 1 alone adds one unless {n} is {limit}, and with both or neither {n} holds.",
        f"{n} ({bits(w)}) counts credits, at most {limit}. The grant {ok} has no register: it is 1 exactly if "
        f"{cond}. At each active clock edge {n} goes down by one if {ok} is 1 and "
        f"{back} 0, up by one if {back} is 1, {ok} is 0 and {n} is below {limit}, and otherwise stays.",
        {n: str(start)},
    )


@family("handshakes", reset_one_in=48)
def valid_pipeline(s: Sketch, rng: random.Random) -> DesignSpec:
    """Valid bits travel beside the data; bubbles are kept; a stall stops all stages."""
    stages, width, flush = rng.randint(2, 4), rng.choice((2, 3, 4, 6, 8)), rng.choice((0, 1))
    op = rng.choice((("add", "+"), ("xor", "^"), ("and", "&")))
    k = rng.randrange(1, (1 << width) - 1)
    stall = s.input("stall", "hold", "freeze", one_in=4) if rng.random() < 0.5 else ""
    kill = s.input("flush", "kill", "squash", one_in=12) if flush else ""
    iv, d = s.input(*STREAM_IN[0]), s.input(*STREAM_IN[1], width=width)
    ov, q = s.output(*STREAM_OUT[0], reg=False), s.output(*STREAM_OUT[1], width=width, reg=False)
    v, zero = s.internal("v", "vld"), s.const(width, 0)
    regs = [s.internal(f"d{n}", f"p{n}") for n in range(stages)]
    moves = [f"{v} <= {{{v}[{stages - 2}:0], {iv}}};", f"{regs[0]} <= {d} {op[1]} {s.const(width, k)};"]
    moves += [f"{b} <= {a};" for a, b in pairwise(regs)]
    step = "\n".join(moves)
    if stall:
        step = begin_end(f"if (!{stall})", step)
    if kill:
        step += f"\nif ({kill})\n  {v} <= {s.const(stages, 0)};"
    clear = {v: s.const(stages, 0)} | dict.fromkeys(regs, zero)
    stops = f" While {stall} is 1 no stage moves." if stall else ""
    data = f", with or without {stall}; data are not affected by it" if stall else "; data move on as usual"
    kills = f" {kill} = 1 makes all stages invalid at the clock edge{data}." if kill else ""
    what = f"{d} {op[1]} {k}" + (f" modulo 2^{width}" if op[0] == "add" else f" (bitwise {op[0].upper()})")
    return s.finish(
        ("valid_pipe", "stream_pipe", "op_pipe"),
        {"stages": stages, "width": width, "op": op[0], "constant": k, "stall": int(bool(stall)), "flush": flush},
        [
            f"reg [{stages - 1}:0] {v};",
            f"reg [{width - 1}:0] {', '.join(regs)};",
            s.clocked(clear, step),
            f"assign {ov} = {v}[{stages - 1}];",
            f"assign {q} = {regs[-1]};",
        ],
        f"{stages}-stage pipeline computing {what} on {q}, with {iv} travelling beside it to {ov}; data move "
        f"whether valid or not.{stops}{kills}",
        f"Write a pipeline of {stages} register stages for {width}-bit data. The first takes {what}, the others "
        f"pass it on, and {q} is the last. A valid bit goes along, from {iv} to "
        f"{ov}. Data move also when not valid.{stops}{kills}",
        f"Each of the {stages} stages holds {width} bits of data and a valid bit. At an active clock edge stage 1 "
        f"takes {what} and {iv}, and every later stage takes what the one before "
        f"held; {q} and {ov} show the last stage. Invalid data move like valid data.{stops}{kills}",
        {"all data and valid bits": "0"},
    )
