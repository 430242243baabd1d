"""What the sequential families share: drawing clock, reset and names, clocked blocks, and the words for them.

A ``Sketch`` gathers the ports of one design while a family draws it; ``Sketch.finish`` makes the ``DesignSpec``. Every
description gets its sentence on clock edge and reset from here, so that none can forget it.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from itertl.synth.design import DesignSpec, PortSpec, ResetSpec, bit_range, register
from itertl.synth.families.combinational import literal
from itertl.synth.families.wording import join

RESETS = ("sync-high", "async-high", "sync-low", "async-low", "none")
_CLOCKS = ("clk", "clock", "clk_in", "clk", "clock_i")
_RESET_NAMES = {
    "sync-high": ("rst", "reset", "srst", "sclr"),
    "async-high": ("rst", "areset", "arst", "reset"),
    "sync-low": ("rst_n", "resetn", "srst_n", "reset_n"),
    "async-low": ("rst_n", "aresetn", "resetn", "nreset"),
}


@dataclass(frozen=True, slots=True)
class Gate:
    """An enable input or none. ``when`` reads in a sentence: " when en is high", or "" where there is no enable."""

    kind: str  # "none", "high", "low"
    test: str  # Verilog condition, "" for none
    when: str
    hold: str  # " Otherwise nothing changes." or ""

    def guard(self, statements: str) -> str:
        """The statements, executed only where the enable allows."""
        return block(self.test, statements) if self.test else statements


_Build = Callable[["Sketch", random.Random], DesignSpec]


def family(category: str, *, resets: Sequence[str] = RESETS, reset_one_in: int = 16) -> Callable[[_Build], _Build]:
    """Register a function ``name(sketch, rng) -> DesignSpec`` as the family of its own name.

    Clock and reset are drawn before the rest: one of ``resets``, asserted one cycle in ``reset_one_in``.
    """

    def decorate(build: _Build) -> _Build:
        def draw(rng: random.Random) -> DesignSpec:
            return build(Sketch(rng, resets, reset_one_in), rng)

        register(category, build.__name__, draw)
        return build

    return decorate


class Sketch:
    """One design in the making: its clock and reset style, ports and used names."""

    def __init__(self, rng: random.Random, resets: Sequence[str], reset_one_in: int) -> None:
        self.rng = rng
        self._used: set[str] = set()
        self._ports: list[PortSpec] = []
        self._one_in: dict[str, int] = {}
        self._radix = rng.choice("dhb")
        self._compact = rng.random() < 0.5
        self.edge: Literal["posedge", "negedge"] = "negedge" if rng.random() < 0.15 else "posedge"
        self.reset_kind = rng.choice(tuple(resets))
        self.clock = self.input(*_CLOCKS)
        self.reset: ResetSpec | None = None
        if self.reset_kind != "none":
            name = self.input(*_RESET_NAMES[self.reset_kind], one_in=reset_one_in)
            self.reset = ResetSpec(name, self.reset_kind.endswith("low"), self.reset_kind.startswith("async"))

    def internal(self, *options: str) -> str:
        """An unused name, drawn from ``options``."""
        free = [name for name in options if name not in self._used]
        numbered = (f"{options[0]}_{n}" for n in range(2, 99))
        name = self.rng.choice(free) if free else next(name for name in numbered if name not in self._used)
        self._used.add(name)
        return name

    def input(self, *options: str, width: int = 1, one_in: int | None = None, signed: bool = False) -> str:
        """Add an input called one of ``options``; return its name."""
        name = self.internal(*options)
        self._ports.append(PortSpec(name, "input", width, signed=signed))
        if one_in is not None:
            self._one_in[name] = one_in
        return name

    def output(self, *options: str, width: int = 1, reg: bool = True, signed: bool = False) -> str:
        """Add an output called one of ``options``; return its name."""
        name = self.internal(*options)
        self._ports.append(PortSpec(name, "output", width, reg=reg, signed=signed))
        return name

    def enable(self, kinds: Sequence[str] = ("none", "high", "low")) -> Gate:
        """Draw an enable input, active high or low, or none."""
        kind = self.rng.choice(tuple(kinds))
        if kind == "none":
            return Gate(kind, "", "", "")
        names = ("en", "enable", "ce", "ena") if kind == "high" else ("en_n", "enable_n", "ce_n")
        # Seldom disabled, so that a stimulus that leaves rare controls alone lets the design run.
        name = self.input(*names, one_in=None if kind == "high" else 3)
        test = name if kind == "high" else self.rng.choice((f"!{name}", f"~{name}"))
        return Gate(kind, test, f" when {name} is {'1' if kind == 'high' else '0'}", " Otherwise nothing changes.")

    def at_edge(self, statements: str) -> str:
        """An always block that does the statements at each clock edge; there is no reset in it."""
        return f"always @({self.edge} {self.clock})\n{_indent(statements)}"

    def const(self, width: int, value: int) -> str:
        """``value`` as a sized literal in this design's radix: ``8'h1f``."""
        radix = "b" if width == 1 else "d" if self._radix == "b" and width > 8 else self._radix
        return literal(value, width, radix)

    def clocked(self, clear: Mapping[str, str], step: str) -> str:
        """An always block that sets ``clear`` on reset (or initially, where there is none) and else does ``step``."""
        setting = "<=" if self.reset else "="
        start = [f"{name} {setting} {value};" for name, value in clear.items()]
        trigger = f"{self.edge} {self.clock}"
        if self.reset is None:
            inner = step.strip("\n")
            head = ("initial " + start[0] if len(start) == 1 else begin_end("initial", "\n".join(start))) + "\n"
        else:
            head = ""
            if self.reset.asynchronous:
                trigger += f" or {'negedge' if self.reset.active_low else 'posedge'} {self.reset.name}"
            test = f"!{self.reset.name}" if self.reset.active_low else self.reset.name
            inner = block(test, "\n".join(start)) + "\n" + _otherwise(step)
        if self._compact and _is_single(inner):
            return head + f"always @({trigger})\n" + _indent(inner)
        return head + begin_end(f"always @({trigger})", inner)

    def finish(
        self,
        modules: Sequence[str],
        parameters: Mapping[str, int | str],
        body: Iterable[str],
        terse: str,
        plain: str,
        detailed: str,
        starts: Mapping[str, str] | None = None,
    ) -> DesignSpec:
        """The design. ``body``: its parts, unindented; ``starts``: reset values (None: all output registers at 0)."""
        starts = starts or {p.name: "0" for p in self._ports if p.reg}
        words = tuple(
            " ".join(f"{core} {self._timing_words(level, starts)}".split())
            for level, core in enumerate((terse, plain, detailed))
        )
        return DesignSpec(
            parameters={"edge": self.edge, "reset": self.reset_kind, **parameters},
            module=self.internal(*modules),
            ports=tuple(self._ports),
            body=_indent("\n".join(part.strip("\n") for part in body if part)) + "\n",
            descriptions=words,
            clock=self.clock,
            edge=self.edge,
            reset=self.reset,
            one_in=self._one_in,
        )

    def _timing_words(self, level: int, starts: Mapping[str, str]) -> str:
        edge = "rising" if self.edge == "posedge" else "falling"
        if self.reset is None:
            return self._no_reset_words(level, edge, settings(starts, " is ", " are "))
        name, to = self.reset.name, settings(starts, " to ", " to ")
        active = "low" if self.reset.active_low else "high"
        kind = "asynchronous" if self.reset.asynchronous else "synchronous"
        if level == 0:
            return self.rng.choice(
                (
                    f"Clock {self.clock} ({edge} edge); {kind} active-{active} reset {name} sets {to}, over all else.",
                    f"{edge.capitalize()} edge of {self.clock}. Reset {name}: {kind}, active {active}, top priority, "
                    f"sets {to}.",
                )
            )
        if level == 1:
            first = f"State changes on the {edge} edge of {self.clock}. "
            if self.reset.asynchronous:
                return first + f"Asynchronous reset: while {name} is {active}, whatever the clock, it sets {to}."
            return first + (
                f"Synchronous reset: if {name} is {active} at that edge, it sets {to} and the other inputs do not "
                "matter."
            )
        acts = "at once, without waiting for a clock edge," if self.reset.asynchronous else "at the clock edge only"
        return (
            f"The clock is {self.clock}; registers take new values at its {edge} edge. {name} is an active-{active} "
            f"{kind} reset with priority over every other input: it acts {acts} and sets {to}."
        )

    def _no_reset_words(self, level: int, edge: str, state: str) -> str:
        if level == 0:
            return f"Clock {self.clock} ({edge} edge), no reset; initially {state}."
        if level == 1:
            return f"State changes on the {edge} edge of {self.clock}. There is no reset: at power-up {state}."
        return (
            f"The clock is {self.clock}; registers take new values at its {edge} edge. There is no reset input; "
            f"use an initial value, so that at time zero {state}."
        )


def settings(starts: Mapping[str, str], singular: str, plural: str) -> str:
    """``{"q": "0", "full": "0", "n": "3"}`` -> "q and full to 0 and n to 3"; names of one value are joined."""
    groups: dict[str, list[str]] = {}
    for name, value in starts.items():
        groups.setdefault(value, []).append(name)
    return join(
        f"{join(names)}{singular if len(names) == 1 and not names[0].startswith('all ') else plural}{value}"
        for value, names in groups.items()
    )


def block(condition: str, statements: str) -> str:
    """``if (condition) …`` with begin and end only where there are several statements."""
    head, text = f"if ({condition})", statements.strip("\n")
    # An inner if without its own begin would take a following else.
    if _is_single(text) and not text.startswith("if"):
        return f"{head}\n{_indent(text)}"
    return begin_end(head, text)


def case_of(subject: str, arms: Mapping[str, str]) -> str:
    """A case statement of value -> statement; the last arm is the default."""
    labels = [*list(arms)[:-1], "default"]
    lines = [f"  {label}: {statement}" for label, statement in zip(labels, arms.values(), strict=True)]
    return "\n".join([f"case ({subject})", *lines, "endcase"])


def zeroed_memory(sketch: Sketch, memory: str, width: int, depth: int) -> str:
    """Declaration of a memory whose words start at 0."""
    index = sketch.internal("i", "k", "n")
    return (
        f"reg {bit_range(width)}{memory} [0:{depth - 1}];\ninteger {index};\n"
        f"initial\n  for ({index} = 0; {index} < {depth}; {index} = {index} + 1)\n    {memory}[{index}] = 0;"
    )


def _otherwise(step: str) -> str:
    text = step.strip("\n")
    if _is_single(text):
        return f"else {text}" if text.startswith("if") else f"else\n{_indent(text)}"
    return begin_end("else", text)


def _is_single(text: str) -> bool:
    """Whether the text is one statement: one line at the outer level that is not a continuation."""
    outer = [line for line in text.split("\n") if line and not line.startswith((" ", "else", "end"))]
    return len(outer) == 1


def begin_end(head: str, statements: str) -> str:
    """``head begin``, the statements, ``end``."""
    return f"{head} begin\n{_indent(statements)}\nend"


def _indent(text: str) -> str:
    return "  " + text.replace("\n", "\n  ")
