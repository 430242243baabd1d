"""The scripts for Yosys, in which no name of a design appears, and the miter that it reads from a file.

The miter is Verilog around the two flattened designs, whose ports it names. ``differs`` is 1 where a bit of an output
that the reference defines is not the same in the candidate; ``known`` has a bit for each bit of the reference's outputs
and state, which is 1 where it is defined; ``settled`` is 1 where all are. Registers without an initial value start as
X, as in simulation: ``xprop`` adds to each signal one that is 1 where it is X, so that the result is two-valued. An
``if`` or ``case`` on an X takes the other branch, as in simulation (``flat.decide``); a ``?:`` on an X gives X where
its sides differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from itertl.scoring import roles
from itertl.scoring.equivalence.flat import Flat, FlatPort, Style
from itertl.scoring.equivalence.rewrite import TOP
from itertl.scoring.interface import Interface

REFERENCE, CANDIDATE, MITER, STATE = "gold", "gate", "miter", "itertl_state"
ASKED, DECIDED = (
    "itertl_asked",
    "itertl_decided",
)  # attributes of multiplexers: of a ``?:``, and of an ``if`` or ``case``
CONFLICT = "multiple conflicting drivers"  # as Yosys's check reports it
DIFFERS, KNOWN, SETTLED = "differs", "known", "settled"  # the miter's outputs
# an X in a & ~a stays one until it is encoded: opt_expr would make it a 0
_LOWERED = ("setundef -undriven -undef", "dffunmap", "opt_merge", "wreduce -keepdc", "opt_merge", "opt_clean")
_LOWERED_FREELY = ("opt_expr", "opt_merge", "wreduce", "opt_merge", "opt_clean")
_MAPPED = ("formalff -clk2ff", "opt_expr", "opt_merge", "opt_clean", "techmap", "opt_expr", "aigmap")


@dataclass(frozen=True, slots=True)
class ProofStart:
    """How a run begins where the reference has resets: they hold through an edge, and nothing is compared before.

    ``resets``: (input, whether it is active high). ``clocks``: inputs whose edges are made where steps are free.
    ``is_late``: nothing is fixed, and outputs are compared once a reset has been held so, whenever that is: what came
    before must not matter.
    """

    resets: tuple[tuple[str, bool], ...] = ()
    clocks: tuple[str, ...] = ()
    is_late: bool = False

    def steps(self, style: Style) -> int:
        """How many steps it takes: one cycle, or the clock low, high and low again."""
        return 0 if not self.resets or self.is_late or style is Style.COMBINATIONAL else 3 if style is Style.FREE else 1

    def value(self, name: str, width: int, step: int, style: Style) -> str | None:
        """What an input is in one of these steps, as bits; None where it is free."""
        for reset, is_high in self.resets:
            if name == reset:
                return ("1" if is_high else "0") * width
        return ("1" if step == 1 else "0") * width if name in self.clocks and style is Style.FREE else None


def start(reference: Interface) -> ProofStart:
    """The start that the reference asks for: the first reset, if any, that ``vectors`` holds at the beginning."""
    resets = [reset for reset in reference.resets if reset.is_async or roles.is_reset_name(reset.name)]
    held = tuple((reset.name, reset.is_active_high) for reset in resets[:1])
    return ProofStart(held, tuple(clock.name for clock in reference.clocks))


def flatten(name: str) -> list[str]:
    """Read ``NAME.v`` and write it flat, without processes and memories, as ``NAME.json``."""
    return [
        "design -reset",
        f"read_verilog -sv -noassert -noassume -norestrict -nodisplay -noblackbox {name}.v",
        f"hierarchy -check -top {TOP}",
        f"setattr -set {ASKED} 1 t:$mux",
        "proc -noopt -norom",
        f"setattr -set {DECIDED} 1 t:$mux t:$pmux %u a:{ASKED} %d",
        "flatten",
        f"tee -q -o {name}.check check",
        "opt_clean",
        "memory_collect",
        "memory_map -keepdc",
        "opt_clean",
        f"rename {TOP} {name}",
        f"write_json {name}.json",
    ]


def to_aiger(style: Style, may_be_x: bool) -> list[str]:
    """Read both designs (``*_state.json`` of the reference) and ``miter.v``; write ``miter.aig`` and ``miter.map``."""
    timed = {Style.COMBINATIONAL: [], Style.CLOCKED: ["async2sync"], Style.FREE: ["clk2fflogic"]}[style]
    encoded = ["xprop -formal -required -assume-def-inputs", "chformal -assume -remove"] if may_be_x else []
    return [
        "design -reset",
        f"read_json {REFERENCE}_state.json",
        f"read_json {CANDIDATE}.json",
        f"read_verilog -sv -icells {MITER}.v",
        f"hierarchy -check -top {MITER}",
        *timed,
        "flatten",
        *(_LOWERED if may_be_x else _LOWERED_FREELY),
        *encoded,
        *_MAPPED,
        f"write_aiger -zinit -symbols -map {MITER}.map {MITER}.aig",
    ]


def miter(reference: Flat, may_be_x: bool, style: Style, begin: ProofStart) -> str:
    """The module that holds both. Inputs are ``i0``, ``i1`` … in the order of the reference's inputs."""
    inputs = [port for port in reference.ports if port.is_input]
    outputs = [port for port in reference.ports if not port.is_input]
    numbered = [f".\\{port.name} (j{number})" for number, port in enumerate(inputs)]
    num_known = sum(port.width for port in outputs) + len(reference.state) if may_be_x else 0
    heads = [f"input [{port.width - 1}:0] i{number}" for number, port in enumerate(inputs)]
    heads += [f"output {DIFFERS}, {SETTLED}", *([f"output [{num_known - 1}:0] {KNOWN}"] if num_known else [])]
    lines = [f"module {MITER}({', '.join(heads)});", *_begun(inputs, style, begin)]
    for side in ("a", "b"):
        lines += [f"wire [{port.width - 1}:0] {side}{number};" for number, port in enumerate(outputs)]
    state = [f".{STATE}(s)"] if reference.state else []
    for name, side, more in ((REFERENCE, "a", state), (CANDIDATE, "b", [])):
        connected = [*numbered, *(f".\\{port.name} ({side}{number})" for number, port in enumerate(outputs)), *more]
        lines.append(f"{name} {side}({', '.join(connected)});")
    widths = [port.width for port in outputs]
    lines += _compared_with_x(widths, len(reference.state)) if may_be_x else _compared(widths)
    return "\n".join([*lines, "endmodule", ""])


def _begun(inputs: Sequence[FlatPort], style: Style, begin: ProofStart) -> list[str]:
    """``begun``, and the designs' inputs: fixed until then where the start fixes them.

    ``t0`` is 1 in the first step alone.
    """
    if begin.is_late and begin.resets and style is not Style.COMBINATIONAL:
        return [
            *(f"wire [{port.width - 1}:0] j{number} = i{number};" for number, port in enumerate(inputs)),
            *_after_a_reset(inputs, style, begin),
        ]
    count = begin.steps(style)
    before = ["1'b0", *(f"t{step}" for step in range(count))]
    lines = [
        f"(* init = 1'b{int(not step)} *) wire {now}; \\$ff #(.WIDTH(1)) f{step} (.D({before[step]}), .Q({now}));"
        for step, now in enumerate(before[1:])
    ]
    running = " | ".join(f"t{step}" for step in range(count)) or "1'b0"
    lines.append(f"wire begun = ~({running});")
    for number, port in enumerate(inputs):
        value = f"i{number}"
        for step in range(count):
            bits = begin.value(port.name, port.width, step, style)
            value = value if bits is None else f"t{step} ? {port.width}'b{bits} : ({value})"
        lines.append(f"wire [{port.width - 1}:0] j{number} = {value};")
    return lines


def _after_a_reset(inputs: Sequence[FlatPort], style: Style, begin: ProofStart) -> list[str]:
    """``begun``: a reset has been held for a step; where steps are free, while the clocks went low, high and low
    again."""
    places = {port.name: number for number, port in enumerate(inputs)}
    held = " & ".join(f"(&j{places[name]})" if is_high else f"(~|j{places[name]})" for name, is_high in begin.resets)
    clocks = "{" + ", ".join(f"j{places[name]}" for name in begin.clocks) + "}"
    levels = ["1'b1"] if style is Style.CLOCKED else [f"(~|{clocks})", f"(&{clocks})", f"(~|{clocks})"]
    lines = [f"wire held = {held};"]
    for number, level in enumerate(levels):
        before = f"h{number - 1}" if number else "1'b1"
        again = f"h{number} | " if number == len(levels) - 1 else ""
        lines.append(f"(* init = 1'b0 *) wire h{number}; wire g{number} = {again}({before} & held & {level});")
        lines.append(f"\\$ff #(.WIDTH(1)) r{number} (.D(g{number}), .Q(h{number}));")
    return [*lines, f"wire begun = h{len(levels) - 1};"]


def _compared(widths: Sequence[int]) -> list[str]:
    """Where nothing can be X."""
    either = " | ".join(f"(a{number} != b{number})" for number in range(len(widths))) or "1'b0"
    return [f"assign {DIFFERS} = begun & ({either});", f"assign {SETTLED} = 1'b1;"]


def _compared_with_x(widths: Sequence[int], num_state: int) -> list[str]:
    signals = [(f"a{number}", f"u{number}", width) for number, width in enumerate(widths)]
    signals += [("s", "us", num_state)] if num_state else []
    lines = [f"wire [{num_state - 1}:0] s;"] if num_state else []
    lines += [_cell(f"x_{name}", width, name, f"{{{width}{{1'bx}}}}", unknown) for name, unknown, width in signals]
    lines += [
        _cell(f"e_{number}", width, f"a{number}", f"b{number}", f"e{number}") for number, width in enumerate(widths)
    ]
    either = " | ".join(f"(|(~(u{number} | e{number})))" for number in range(len(widths))) or "1'b0"
    lines.append(f"assign {DIFFERS} = begun & ({either});")
    if not signals:
        return [*lines, f"assign {SETTLED} = 1'b1;"]
    unknown = ", ".join(name for _, name, _ in signals)
    return [*lines, f"assign {KNOWN} = begun ? ~{{{unknown}}} : 0;", f"assign {SETTLED} = &{KNOWN};"]


def _cell(name: str, width: int, left: str, right: str, out: str) -> str:
    """The wire ``out``: bit by bit, whether two signals are the same, X being the same as X."""
    return f"wire [{width - 1}:0] {out}; \\$bweqx #(.WIDTH({width})) {name} (.A({left}), .B({right}), .Y({out}));"
