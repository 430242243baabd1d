"""What a generator family hands over: one design, its ports, its words. Everything else is made from it.

A family is a function under the decorator ``family`` of ``families/combinational.py`` or ``families/sequential.py``. It
draws its parameters, names and code style from ``rng`` alone. ``rendering.py`` turns a design into testbench and
instruction.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal


def bit_range(width: int) -> str:
    """Range of a declaration with a space after it: ``"[7:0] "``, or ``""`` for one bit."""
    return f"[{width - 1}:0] " if width > 1 else ""


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One port. Example: ``PortSpec("q", "output", 8, reg=True)`` renders as ``output reg [7:0] q``."""

    name: str
    direction: Literal["input", "output"]
    width: int = 1
    reg: bool = False  # outputs assigned in an always block
    signed: bool = False

    @property
    def type(self) -> str:
        """Sign and range of its declaration with a space after each: ``"signed [7:0] "``, or ``""`` for one bit."""
        return ("signed " if self.signed else "") + bit_range(self.width)


@dataclass(frozen=True, slots=True)
class ResetSpec:
    """How the design is reset. The name is that of an input port."""

    name: str
    active_low: bool = False
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class DesignSpec:
    """One concrete module.

    ``body`` is the text between the header's ``);`` and ``endmodule``, newline-terminated, indented by two spaces,
    synthesizable Verilog-2001 that Icarus, slang, Pyverilog and Yosys all accept.
    ``descriptions`` are three phrasings at different levels of detail (terse, plain, detailed); each names every port
    and determines the function completely, so that one testbench is fair to all of them. They do not contain the module
    name or the header: ``rendering.py`` adds those.
    """

    parameters: dict[str, int | str]  # what makes two designs functionally different; decides the parameter hold-out
    module: str
    ports: tuple[PortSpec, ...]
    body: str
    descriptions: tuple[str, ...]
    clock: str | None = None  # name of the clock input; None: combinational
    edge: Literal["posedge", "negedge", "both"] = "posedge"  # both: inputs change between the two
    reset: ResetSpec | None = None
    one_in: dict[str, int] = field(default_factory=dict)  # 1-bit input -> asserted one cycle in so many (default 2)
    family: str = ""  # set by the family's registration
    figure: str = ""  # a table, map or diagram that the descriptions speak of: its lines stand below them
    # modules that the instruction gives, each a name and its text: they follow the module in the right answer
    given: tuple[tuple[str, str], ...] = ()
    # the design that this one shows with an error to be found; it decides to which split the problem belongs
    repairs: "DesignSpec | None" = None
    fault_classes: tuple[str, ...] = ()  # of the error, as in ``mutants.CLASSES``

    @property
    def header(self) -> str:
        """``module NAME (`` … ``);`` with one port a line, newline-terminated."""
        lines = [f"  {p.direction} {'reg ' if p.reg else ''}{p.type}{p.name}" for p in self.ports]
        return f"module {self.module} (\n" + ",\n".join(lines) + "\n);\n"

    @property
    def reference(self) -> str:
        """The whole right answer."""
        return "\n".join([self.header + self.body + "endmodule\n", *(text for _, text in self.given)])


@dataclass(frozen=True, slots=True)
class Family:
    """A named family of designs. Example: ``Family("gray_counter", "counters", gray_counter)``."""

    name: str
    category: str
    build: Callable[[random.Random], DesignSpec]


REGISTERED: dict[str, Family] = {}


def register(category: str, name: str, build: Callable[[random.Random], DesignSpec]) -> None:
    """Add a family. Raises ValueError where the name is taken."""
    if name in REGISTERED:
        raise ValueError(f"two families are called {name!r}")
    REGISTERED[name] = Family(name, category, lambda rng: replace(build(rng), family=name))
