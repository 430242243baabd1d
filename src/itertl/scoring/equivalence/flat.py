"""A design as Yosys flattened it (its JSON netlist): its clocks, its state, and what a proof cannot handle.

Bits are Yosys's numbers, or "0", "1", "x", "z". The way in which time is modelled (``Style``) follows from both
designs:

- COMBINATIONAL: neither holds a state.
- CLOCKED: all registers of both wait for the same edge of the same input, which is read as a clock alone: a step of the
  proof is a cycle, and the clock itself is left out.
- FREE: latches, several clocks, both edges, a clock that is also data, asynchronous resets of some registers only: a
  step is any change of any input, clocks included (``clk2fflogic``).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

Bit: TypeAlias = "int | str"
Cell: TypeAlias = "dict[str, Any]"

_LATCHES = ("$dlatch", "$adlatch", "$dlatchsr", "$sr", "$_DLATCH", "$_SR")
_REGISTERS = ("$dff", "$sdff", "$adff", "$aldff", "$ff", "$_DFF", "$_SDFF", "$_ALDFF", "$_FF")
_ASYNC = {"ARST": "ARST_POLARITY", "SET": "SET_POLARITY", "CLR": "CLR_POLARITY", "ALOAD": "ALOAD_POLARITY"}
_INVERTERS = ("$not", "$logic_not", "$_NOT_")
_BUFFERS = ("$reduce_or", "$reduce_and", "$reduce_bool", "$pos", "$buf")
_REFUSED = {
    "$tribuf": "a tristate driver", "$_TBUF_": "a tristate driver", "$mem_v2": "a memory", "$print": "a printing task",
}  # fmt: skip
_MAKES_X = frozenset({"$div", "$mod", "$divfloor", "$modfloor", "$pow", "$shiftx"})
MAX_CELLS = 60_000


class Unprovable(Exception):
    """A netlist that a proof cannot handle; the text names what is in it."""


class Style(StrEnum):
    COMBINATIONAL = "combinational"
    CLOCKED = "clocked"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class FlatPort:
    name: str
    is_input: bool
    width: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """What makes registers take their input: bit ``index`` of input ``port``, at its rising edge or its falling one."""

    port: str
    index: int
    rises: bool


@dataclass(frozen=True, slots=True)
class Flat:
    """One design. ``trigger``: its one clock, where it has one that nothing else reads."""

    ports: tuple[FlatPort, ...]
    state: tuple[int, ...]  # bits that it remembers
    has_state: bool
    has_latch: bool
    trigger: Trigger | None
    resets: frozenset[tuple[Trigger, ...]]  # asynchronous controls of its registers, one entry for each distinct set
    may_be_x: bool
    open: str = ""  # a signal that is read and that nothing drives
    has_init: bool = False  # something that it remembers has a first value


@dataclass(frozen=True, slots=True)
class _Module:
    """A flattened module as Yosys wrote it, with its tables."""

    ports: dict[str, Any]
    nets: dict[str, Any]
    cells: list[Cell]
    inputs: dict[Bit, tuple[str, int]]  # bit -> the input port and the index in it
    outputs: list[Bit]  # bits of all output ports
    drivers: dict[Bit, Cell]  # bit -> the cell whose output it is


def read(path: Path) -> Flat:
    """Read what Yosys wrote of one flattened module. Raises Unprovable."""
    modules = json.loads(path.read_text(encoding="utf-8", errors="replace"))["modules"]
    if len(modules) != 1:
        raise Unprovable(f"{len(modules)} modules are left after flattening")
    module = _tables(*modules.values())
    memory = [cell for cell in module.cells if _is(cell, _LATCHES + _REGISTERS)]
    state = {bit for cell in memory for bit in cell["connections"]["Q"]}
    pins = {bit for cell in module.cells for _, bits in _pins(cell, "input") for bit in bits}
    driven = module.inputs.keys() | module.drivers.keys()
    open_bits = {bit for bit in pins - driven if isinstance(bit, int)}
    named = (name for name, net in module.nets.items() if open_bits.intersection(net["bits"]))
    has_x = bool(pins.union(module.outputs) - {"0", "1"} - driven)
    return Flat(
        ports=tuple(
            FlatPort(name, port["direction"] == "input", len(port["bits"])) for name, port in module.ports.items()
        ),
        state=tuple(bit for cell in memory for bit in cell["connections"]["Q"] if isinstance(bit, int)),
        has_state=bool(memory),
        has_latch=any(_is(cell, _LATCHES) for cell in memory),
        trigger=_trigger(module, memory),
        resets=frozenset(_controls(cell, module) for cell in memory),
        may_be_x=bool(memory) or has_x or any(map(_may_make_x, module.cells)),
        open=next(named, "a signal") if open_bits else "",
        has_init=any("init" in net["attributes"] and state.intersection(net["bits"]) for net in module.nets.values()),
    )


def style(a: Flat, b: Flat) -> Style:
    """How time is modelled for both designs."""
    if not a.has_state and not b.has_state:
        return Style.COMBINATIONAL
    triggers = {flat.trigger for flat in (a, b) if flat.has_state}
    controls = frozenset[tuple[Trigger, ...]]().union(a.resets, b.resets)
    return Style.CLOCKED if len(triggers) == 1 and None not in triggers and len(controls) == 1 else Style.FREE


def decide(path: Path, attribute: str) -> None:
    """Let each multiplexer with that attribute select by ``=== 1``: an ``if`` on an X is not taken.

    The file is written anew.
    """
    content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    [module] = content["modules"].values()
    cells: dict[str, Any] = module["cells"]
    used = [net["bits"] for net in (*module["ports"].values(), *module["netnames"].values())]
    used += [bits for cell in cells.values() for bits in cell["connections"].values()]
    free = 1 + max((bit for bits in used for bit in bits if isinstance(bit, int)), default=1)
    for number, cell in enumerate([cell for cell in cells.values() if attribute in cell["attributes"]]):
        select = cell["connections"]["S"]
        chosen = list(range(free, free + len(select)))
        free += len(select)
        cells[f"$itertl$decided${number}"] = {
            "type": "$bweqx", "parameters": {"WIDTH": f"{len(select):032b}"}, "attributes": {},
            "port_directions": {"A": "input", "B": "input", "Y": "output"},
            "connections": {"A": select, "B": ["1"] * len(select), "Y": chosen},
        }  # fmt: skip
        cell["connections"]["S"] = chosen
    path.write_text(json.dumps(content), encoding="utf-8")


def add_state_port(source: Path, target: Path, flat: Flat, name: str) -> None:
    """Write the netlist again with all that it remembers as one more output, ``name``."""
    content = json.loads(source.read_text(encoding="utf-8", errors="replace"))
    [module] = content["modules"].values()
    module["ports"][name] = {"direction": "output", "bits": list(flat.state)}
    module["netnames"][name] = {"hide_name": 0, "bits": list(flat.state), "attributes": {}}
    target.write_text(json.dumps(content), encoding="utf-8")


def _is(cell: Cell, kinds: tuple[str, ...]) -> bool:
    return cell["type"].startswith(kinds)


def _pins(cell: Cell, direction: str) -> Iterator[tuple[str, list[Bit]]]:
    """(port, bits) of a cell's inputs or outputs."""
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == direction:
            yield port, bits


def _tables(content: Any) -> _Module:
    """The module's tables. Raises Unprovable for what a proof would get wrong."""
    cells = [cell for cell in content["cells"].values() if cell["type"] != "$scopeinfo"]
    if len(cells) > MAX_CELLS:
        raise Unprovable(f"{len(cells)} cells")
    for cell in cells:
        if cell["type"] in _REFUSED or not cell["type"].startswith("$"):
            raise Unprovable(_REFUSED.get(cell["type"], "a module without content"))
    ports = content["ports"]
    for name, port in ports.items():
        if port["direction"] == "inout":
            raise Unprovable(f"port {name} is bidirectional")
    places = [
        (bit, (name, index), port["direction"])
        for name, port in ports.items()
        for index, bit in enumerate(port["bits"])
    ]
    inputs = [(bit, place) for bit, place, direction in places if direction == "input"]
    driving = [(bit, cell) for cell in cells for _, bits in _pins(cell, "output") for bit in bits]
    driven = [bit for bit, _ in (*inputs, *driving)]
    if len(set(driven)) < len(driven) or any(isinstance(bit, str) for bit in driven):
        raise Unprovable("a signal with several drivers")
    bits_of = [*(bits for cell in cells for bits in cell["connections"].values()), *(p["bits"] for p in ports.values())]
    if any("z" in bits for bits in bits_of):
        raise Unprovable("a value of high impedance")
    outputs = [bit for bit, _, direction in places if direction == "output"]
    return _Module(ports, content["netnames"], cells, dict(inputs), outputs, dict(driving))


def _trigger(module: _Module, memory: list[Cell]) -> Trigger | None:
    """The one edge of an input that all registers wait for, if nothing else reads that input; None elsewhere.

    Raises Unprovable for a clock that a register makes.
    """
    clocked = [cell for cell in memory if "CLK" in cell["connections"]]
    clocks = {(cell["connections"]["CLK"][0], _is_one(cell, "CLK_POLARITY")) for cell in clocked}
    for bit, _ in clocks:
        _refuse_made_clock(bit, module)
    followed = {_followed(bit, rises, module) for bit, rises in clocks}
    if len(clocked) < len(memory) or len(followed) != 1 or None in followed:
        return None
    [trigger] = followed
    assert trigger is not None
    place = trigger.port, trigger.index
    nets = {bit for bit, _ in clocks} | {bit for bit, own in module.inputs.items() if own == place}
    data = [bits for c in module.cells for port, bits in _pins(c, "input") if port != "CLK" or not _is(c, _REGISTERS)]
    inverters = len(nets) - 1
    is_read = sum(bit in nets for bits in data for bit in bits) > inverters
    return None if is_read or not nets.isdisjoint(module.outputs) else trigger


def _is_one(cell: Cell, parameter: str) -> bool:
    return cell["parameters"].get(parameter, "1")[-1] == "1"


def _followed(bit: Bit, level: bool, module: _Module) -> Trigger | None:
    """The input that a net is a copy of, directly or through inverters and buffers of one bit."""
    for _ in range(16):
        if bit in module.inputs:
            return Trigger(*module.inputs[bit], level)
        driver = module.drivers.get(bit)
        if driver is None or driver["type"] not in (*_INVERTERS, *_BUFFERS):
            return None
        operand: list[Bit] = driver["connections"]["A"]
        place: int = driver["connections"]["Y"].index(bit)
        if place >= len(operand) or (len(operand) != 1 and driver["type"] != "$not"):
            return None
        bit, level = operand[place], level != (driver["type"] in _INVERTERS)
    return None


def _refuse_made_clock(bit: Bit, module: _Module) -> None:
    """Raise Unprovable for a clock that depends on a register.

    A simulator lets what it triggers see the other registers' new values, a netlist their old ones.
    """
    seen: set[Bit] = set()
    todo: list[Bit] = [bit]
    while todo:
        here = todo.pop()
        driver = module.drivers.get(here)
        if driver is None or here in seen:
            continue
        seen.add(here)
        if _is(driver, _LATCHES + _REGISTERS):
            raise Unprovable("a clock that a register makes")
        todo += [bit for _, bits in _pins(driver, "input") for bit in bits]


def _controls(cell: Cell, module: _Module) -> tuple[Trigger, ...]:
    """The asynchronous controls of a register; one that is not a plain input counts as different from all others."""
    pins = cell["connections"]
    found = [(bit, _is_one(cell, polarity)) for port, polarity in _ASYNC.items() for bit in pins.get(port, ())]
    return tuple(_followed(bit, level, module) or Trigger(f"net {bit}", id(cell), level) for bit, level in found)


def _may_make_x(cell: Cell) -> bool:
    """Whether a cell can output an X though its inputs hold none."""
    if cell["type"] == "$shiftx" and not _is_one(cell, "B_SIGNED"):
        pins = cell["connections"]
        if len(pins["A"]) >= (1 << min(len(pins["B"]), 24)) - 1 + len(pins["Y"]):
            return "x" in pins["A"]
    return cell["type"] in _MAKES_X or any("x" in bits for bits in cell["connections"].values())
