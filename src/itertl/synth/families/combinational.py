"""What the combinational families share: ports, code style, lines of Verilog, and how a draft becomes a design."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from itertl.synth.design import DesignSpec, PortSpec, register

_Build = Callable[[random.Random], "Draft"]


@dataclass(frozen=True, slots=True)
class Body:
    """The text of a module's body, and whether it assigns the outputs in always blocks, so that they must be reg."""

    text: str
    is_reg: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A design without a clock, as its family draws it; its style and module name are drawn afterwards."""

    modules: Sequence[str]  # names to draw from
    parameters: Mapping[str, int | str]
    ports: Sequence[PortSpec | None]  # None: an optional port that this design does not have
    logic: Body | Sequence[tuple[str, str]]  # the text, or (left side, expression) in a drawn style
    terse: str  # the description at three levels of detail
    plain: str
    detailed: str
    figure: str = ""  # what the descriptions call the table, map or diagram below
    given: tuple[tuple[str, str], ...] = ()  # modules to be used: name, text

    def design(self, rng: random.Random) -> DesignSpec:
        body = self.logic if isinstance(self.logic, Body) else _drive(rng, self.logic)
        ports = [p if p.direction == "input" or not body.is_reg else replace(p, reg=True) for p in self.ports if p]
        taken = {p.name for p in ports}
        names = [name for name in self.modules if name not in taken]
        module = "top_module" if rng.random() < 0.2 or not names else rng.choice(names)
        words = tuple(" ".join(text.split(" ")) for text in (self.terse, self.plain, self.detailed))
        return DesignSpec(
            dict(self.parameters), module, tuple(ports), body.text, words, figure=self.figure, given=self.given
        )


def family(category: str) -> Callable[[_Build], _Build]:
    """Register a function ``name(rng) -> Draft`` as the family of its own name."""

    def decorate(build: _Build) -> _Build:
        register(category, build.__name__, lambda rng: build(rng).design(rng))
        return build

    return decorate


def continuous(*lines: str) -> Body:
    """A body that assigns its outputs continuously."""
    return Body(_indent(lines), False)


def procedural(*lines: str) -> Body:
    """A body that assigns all its outputs in always blocks."""
    return Body(_indent(lines), True)


def statement(lines: Sequence[str]) -> Body:
    """A body that is one combinational always block around one statement."""
    return procedural("always @(*)", *("  " + line for line in lines))


def inp(name: str, width: int = 1, *, signed: bool = False) -> PortSpec:
    """An input port."""
    return PortSpec(name, "input", width, signed=signed)


def out(name: str, width: int = 1, *, signed: bool = False) -> PortSpec:
    """An output port; the draft's logic decides whether it is a reg."""
    return PortSpec(name, "output", width, signed=signed)


def literal(value: int, width: int, radix: str = "d") -> str:
    """``literal(10, 4, "b")`` -> ``4'b1010``."""
    value &= (1 << width) - 1
    digits = {"d": str(value), "h": f"{value:0{-(-width // 4)}x}", "b": f"{value:0{width}b}"}[radix]
    return f"{width}'{radix}{digits}"


def _indent(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


def always(lines: Sequence[str]) -> list[str]:
    """A combinational always block around statements."""
    return ["always @(*) begin", *("  " + line for line in lines), "end"]


def choose(y: str, tests: Mapping[str, str], default: str) -> list[str]:
    """``if`` … ``else if`` … ``else``: ``y`` gets the value of the first true test of ``tests``, else ``default``."""
    lines = [f"if ({test}) {y} = {value};" for test, value in tests.items()]
    return [*("else " * (n > 0) + line for n, line in enumerate(lines)), f"else {y} = {default};"]


def case(subject: str, arms: Mapping[str, str], default: str, keyword: str = "case") -> list[str]:
    """A case statement's lines; values of ``arms`` are statements."""
    lines = [f"  {label}: {action}" for label, action in arms.items()]
    return [f"{keyword} ({subject})", *lines, f"  default: {default}", "endcase"]


def _drive(rng: random.Random, assigns: Sequence[tuple[str, str]]) -> Body:
    """A body that gives each left side its expression, in a drawn style."""
    if rng.random() < 0.6:
        return continuous(*(f"assign {left} = {right};" for left, right in assigns))
    lines = [f"{left} = {right};" for left, right in assigns]
    return statement(lines) if len(lines) == 1 else procedural(*always(lines))
