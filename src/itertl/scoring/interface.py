"""What a design looks like from outside: ports, clocks, resets, enables, parameters; read by slang from its text.

Scorers that compare a candidate with a reference by function agree on this: the reference's interface decides what is
driven, and a candidate whose ports differ from it is not an answer. Clocks, resets and enables are found by ``roles``.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from itertl.sandbox import bounds
from itertl.scoring import roles
from itertl.scoring.processes import bare, read_netlist
from itertl.scoring.roles import Clock, Reset, Roles
from itertl.tools import slang
from itertl.tools.slang import live_nodes

__all__ = ("Clock", "Interface", "Port", "Reset", "Unsupported", "read", "same_ports")

Direction = Literal["input", "output"]
_DIRECTIONS: dict[str, Direction] = {"In": "input", "Out": "output"}
MAX_PORT_BITS = 1 << 16
_KEPT = 16  # interfaces in memory: one candidate's scorers ask for the same
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


class Unsupported(Exception):
    """A design that cannot be driven from outside, or not by two-valued inputs; the text says why."""


@dataclass(frozen=True, slots=True)
class Port:
    """One port. Example: ``Port("sum", "output", 8, is_signed=False)``; ``width`` in bits, 1 for a scalar."""

    name: str
    direction: Direction
    width: int
    is_signed: bool


@dataclass(frozen=True, slots=True)
class Interface(Roles):
    """A module seen from outside: its ports and their roles.

    Example: ``read("module t(input clk, input d, output reg q); always @(posedge clk) q <= d; endmodule", "t")`` has
    ``clocks == (Clock("clk", frozenset({"posedge"})),)`` and ``has_state``.
    """

    top: str
    ports: tuple[Port, ...]
    parameters: tuple[tuple[str, int], ...]  # those that an instance may set, with their values
    tunable: tuple[str, ...] = ()  # of these, what a user of the module would set: see ``_tunable``

    @property
    def inputs(self) -> tuple[Port, ...]:
        return tuple(port for port in self.ports if port.direction == "input")

    @property
    def outputs(self) -> tuple[Port, ...]:
        return tuple(port for port in self.ports if port.direction == "output")


def read(text: str, top: str, parameters: Mapping[str, int] | None = None) -> Interface:
    """The interface of module ``top`` of a text that ``judging.gate.examine`` has let through.

    ``parameters``: values in place of the defaults.

    Raises Unsupported for bidirectional, unpacked, real or unnamed ports, interfaces, and a text that does not
    elaborate; ToolMissing. It runs slang in this process: call it in a worker.
    """
    return _read(text, top, tuple(f"{name}={value}" for name, value in (parameters or {}).items()))


@functools.lru_cache(maxsize=_KEPT)
@bounds.reading()
def _read(text: str, top: str, overrides: tuple[str, ...]) -> Interface:
    unit = slang.parse(text)
    if top not in unit.modules:
        raise Unsupported(slang.no_module(top, unit))
    compilation, error = slang.elaborate(unit, top, parameters=overrides)  # owns the symbols: it must outlive their use
    if error:
        raise Unsupported(f"does not elaborate: {error}")
    instance = compilation.getRoot().topInstances[0]
    ports = tuple(_port(symbol) for symbol in instance.body.portList)
    inputs = {port.name: port.width for port in ports if port.direction == "input"}
    found = roles.find(read_netlist(instance), inputs, f"{instance.hierarchicalPath}.")
    settable = _parameters(instance)
    return Interface(
        found.clocks, found.resets, found.enables, found.has_state, found.has_latch, found.gates, top, ports,
        tuple((symbol.name, int(symbol.value.value)) for symbol in settable), _tunable(instance, settable),
    )  # fmt: skip


def _port(symbol: Any) -> Port:
    name = symbol.name
    if symbol.kind.name == "InterfacePort":
        raise Unsupported(f"port {name} is an interface")
    if not name:
        raise Unsupported("a port has no name")
    direction = _DIRECTIONS.get(symbol.direction.name)
    if direction is None:
        kind = "is bidirectional" if symbol.direction.name == "InOut" else "is passed by reference"
        raise Unsupported(f"port {name} {kind}")
    if not symbol.type.isIntegral:
        raise Unsupported(f"port {name} is of type {symbol.type}: only packed bits can be driven")
    if not 0 < symbol.type.bitWidth <= MAX_PORT_BITS:
        raise Unsupported(f"port {name} has {symbol.type.bitWidth} bits")
    return Port(name, direction, symbol.type.bitWidth, bool(symbol.type.isSigned))


def _parameters(instance: Any) -> list[Any]:
    """Parameters of the module that an instance may set and that are whole numbers."""
    return [
        symbol for symbol in live_nodes(instance.body, "Parameter")
        if not symbol.isLocalParam and symbol.parentScope == instance.body
        and getattr(symbol.value.value, "hasUnknown", True) is False
    ]  # fmt: skip


def _tunable(instance: Any, parameters: list[Any]) -> tuple[str, ...]:
    """Names of the parameters that are a size or a limit: in the header, or in a port's declaration; a literal.

    Not those that a ``case`` names, which are the codes of states: another value would make two states one.
    """
    cases = [item for case in live_nodes(instance.body, "Case") for item in case.items]
    expressions = [expression for item in cases for expression in item.expressions]
    labels = {node.symbol.name for expression in expressions for node in live_nodes(expression, "NamedValue")}
    declarations = {word for port in instance.body.portList for word in _words(port)}
    return tuple(
        symbol.name
        for symbol in parameters
        if symbol.name not in labels
        and (symbol.isPortParam or symbol.name in declarations)
        and symbol.initializer is not None
        and bare(symbol.initializer).kind.name == "IntegerLiteral"
    )


def _words(port: Any) -> list[str]:
    """The words of the declaration of a port."""
    syntax = getattr(getattr(port, "internalSymbol", None), "syntax", None)
    return _WORD.findall(str(syntax.parent)) if syntax is not None and syntax.parent is not None else []


def same_ports(a: Interface, b: Interface) -> str:
    """Empty where ``a`` has the ports of ``b`` (names, directions, widths; order and sign are free), else the first
    difference.

    ``b`` is the reference. Example: ``"port q: 4 bits, the reference has 8"``.
    """
    mine = {port.name: port for port in a.ports}
    for port in b.ports:
        own = mine.pop(port.name, None)
        if own is None:
            return f"port {port.name}: missing, the reference has it as {port.direction}"
        if own.direction != port.direction:
            return f"port {port.name}: {own.direction}, the reference has {port.direction}"
        if own.width != port.width:
            return f"port {port.name}: {own.width} bits, the reference has {port.width}"
    return f"port {next(iter(mine))}: the reference has no such port" if mine else ""
