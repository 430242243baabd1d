"""What the combinational families share: names, code style, words for widths."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itertl.synth.design import DesignSpec, PortSpec

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
OPERANDS = (("a", "b"), ("x", "y"), ("in0", "in1"), ("op_a", "op_b"), ("lhs", "rhs"), ("p0", "p1"))
VECTORS = ("in_vec", "d", "data", "x", "a", "vec", "data_in", "value", "word")
RESULTS = ("out", "res", "q", "result", "f", "data_out", "dout")
SELECTS = ("sel", "s", "select", "choice")
ENABLES = ("en", "enable", "ena")
FLAGS = ("flag", "valid", "hit", "ok", "yes", "match")


@dataclass(frozen=True, slots=True)
class Body:
    """The text of a module's body, and whether it assigns the outputs in always blocks, so that they must be reg."""

    text: str
    is_reg: bool


def plain(text: str) -> Body:
    """A body that assigns its outputs continuously."""
    return Body(text, False)


def procedural(text: str) -> Body:
    """A body that assigns all its outputs in always blocks."""
    return Body(text, True)


def inp(name: str, width: int = 1, *, signed: bool = False) -> PortSpec:
    """An input port."""
    return PortSpec(name, "input", width, signed=signed)


def out(name: str, width: int = 1, *, signed: bool = False) -> PortSpec:
    """An output port; ``combinational`` decides whether it is a reg."""
    return PortSpec(name, "output", width, signed=signed)


def number(value: int) -> str:
    """Small numbers in words, as English prose has them."""
    return _WORDS[value] if value < len(_WORDS) else str(value)


def a_bits(width: int) -> str:
    """ "a 4-bit", "an 8-bit"."""
    return f"{'an' if str(width).startswith(('8', '11', '18')) else 'a'} {width}-bit"


def literal(value: int, width: int, radix: str = "d") -> str:
    """``literal(10, 4, "b")`` -> ``4'b1010``."""
    value &= (1 << width) - 1
    digits = {"d": str(value), "h": f"{value:0{-(-width // 4)}x}", "b": f"{value:0{width}b}"}[radix]
    return f"{width}'{radix}{digits}"


def indent(lines: Sequence[str], depth: int = 1) -> str:
    """The lines, two spaces a level, newline-terminated."""
    return "".join("  " * depth + line + "\n" for line in lines)


def always(lines: Sequence[str]) -> str:
    """A combinational always block around statements."""
    return "  always @(*) begin\n" + indent(lines, 2) + "  end\n"


def case(subject: str, arms: Mapping[str, str], default: str | None) -> list[str]:
    """A case statement's lines; values of ``arms`` are statements."""
    lines = [f"case ({subject})", *(f"  {label}: {statement}" for label, statement in arms.items())]
    if default is not None:
        lines.append(f"  default: {default}")
    return [*lines, "endcase"]


def drive(rng: random.Random, assigns: Sequence[tuple[str, str]]) -> Body:
    """A body that gives each left side its expression, in a drawn style."""
    if rng.random() < 0.6:
        return plain(indent([f"assign {left} = {right};" for left, right in assigns]))
    if len(assigns) == 1:
        return procedural(f"  always @(*)\n    {assigns[0][0]} = {assigns[0][1]};\n")
    return procedural(always([f"{left} = {right};" for left, right in assigns]))


def combinational(
    rng: random.Random,
    *,
    parameters: Mapping[str, int | str],
    modules: Sequence[str],
    inputs: Sequence[PortSpec],
    outputs: Sequence[PortSpec],
    descriptions: Sequence[str],
    assigns: Sequence[tuple[str, str]] = (),
    body: Body | None = None,
) -> DesignSpec:
    """A design without a clock, from ``body``, or from ``assigns`` (left side, expression) in a drawn style."""
    body = body or drive(rng, assigns)
    ports = [*inputs, *(PortSpec(p.name, "output", p.width, body.is_reg, p.signed) for p in outputs)]
    taken = {p.name for p in ports}
    names = [name for name in modules if name not in taken]
    module = "top_module" if rng.random() < 0.2 or not names else rng.choice(names)
    words = tuple(" ".join(text.split(" ")) for text in descriptions)
    return DesignSpec(dict(parameters), module, tuple(ports), body.text, words)
