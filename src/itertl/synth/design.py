"""What a generator family hands over: one design, its ports, its words. Everything else is made from it.

A family is a function ``name(rng) -> DesignSpec`` under the decorator ``family(category)``. It draws its parameters,
names and code style from ``rng`` alone. ``rendering.py`` turns a design into header, reference, testbench and
instruction.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One port. Example: ``PortSpec("q", "output", 8, reg=True)`` renders as ``output reg [7:0] q``."""

    name: str
    direction: Literal["input", "output"]
    width: int = 1
    reg: bool = False  # outputs assigned in an always block
    signed: bool = False


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
    ``descriptions`` hold at least three phrasings at different levels of detail (terse, plain, detailed); each names
    every port and determines the function completely, so that one testbench is fair to all of them. They do not
    contain the module name or the header: ``rendering.py`` adds those.
    """

    parameters: dict[str, int | str]  # what makes two designs functionally different; decides the parameter hold-out
    module: str
    ports: tuple[PortSpec, ...]
    body: str
    descriptions: tuple[str, ...]
    clock: str | None = None  # name of the clock input; None: combinational
    edge: Literal["posedge", "negedge"] = "posedge"
    reset: ResetSpec | None = None
    one_in: dict[str, int] = field(default_factory=dict)  # 1-bit input -> asserted one cycle in so many (default 2)
    family: str = ""  # set by the family's registration


@dataclass(frozen=True, slots=True)
class Family:
    """A named family of designs. Example: ``Family("gray_counter", "counters", gray_counter)``."""

    name: str
    category: str
    build: Callable[[random.Random], DesignSpec]


REGISTERED: dict[str, Family] = {}
_Build = Callable[[random.Random], DesignSpec]


def family(category: str) -> Callable[[_Build], _Build]:
    """Register a function as the family of its own name. Raises ValueError where the name is taken."""

    def register(build: _Build) -> _Build:
        name = build.__name__
        if name in REGISTERED:
            raise ValueError(f"two families are called {name!r}")
        REGISTERED[name] = Family(name, category, lambda rng: replace(build(rng), family=name))
        return build

    return register
