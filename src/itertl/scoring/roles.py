"""Which input of a design is a clock, a reset or an enable: by use first, by name where use does not say.

A clock is an input whose edge starts a process that does not test it; an asynchronous reset is in the same list of
edges and is tested. A synchronous reset is tested by a clocked process that assigns only constants where it holds;
other inputs that such a process tests alone are enables. Signals are followed through aliases, inverters, gates and
instances.

What it does not: prove anything. A role decides how often an input changes and when, never what is right.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from itertl.scoring.processes import Event, Netlist, Process, assignments, bare, literal_test, reads
from itertl.tools.slang import live_nodes

_CLOCK = re.compile(r"(?i)(^|_)(\w*clk\w*|\w*clock\w*|ck|cp|cpu?_?clk)(_|$|\d)")
_RESET = re.compile(
    r"(?i)^(i_|in_)?(a|s|n|sync_?|async_?|sys_?|h|p|power_?on_?)?_?(rst|reset|clr|clear|por|preset|nrst)"
    r"(_?(n|b|i|l|in|ni|h|p))?$|(rst|reset)"
)
_LOW = re.compile(r"(?i)(_n|_b|_l|_ni|_bar|n)$|^n_?(rst|reset|clr|clear)|^rst_?n|_n_")
_ENABLE = re.compile(
    r"(?i)(^|_)(en|ena|enable|ce|cen|cke|load|ld|wr|we|wen|valid|start|shift|up|inc|push|pop|read|write)(_|$|\d)"
    r"|en(able)?$"
)


@dataclass(frozen=True, slots=True)
class Clock:
    """An input port whose edge starts a process. ``edges`` is of {"posedge", "negedge"}, as seen at the port.

    Example: ``Clock("clk", frozenset({"posedge"}))``. The port may be a vector of which one bit is the clock.
    """

    name: str
    edges: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reset:
    """An input port that brings state to a known value (or loads it). Example: ``Reset("rst_n", False, True)``."""

    name: str
    is_active_high: bool
    is_async: bool


@dataclass(frozen=True, slots=True)
class Roles:
    """The inputs with a role, in order of the port list. ``enables`` are neither clocks nor resets."""

    clocks: tuple[Clock, ...]
    resets: tuple[Reset, ...]
    enables: tuple[str, ...]
    has_state: bool  # some process starts at an edge
    has_latch: bool  # some level-sensitive process or assignment can hold a value
    gates: tuple[str, ...]  # other inputs that can make an edge: they gate a clock or an asynchronous reset


def find(net: Netlist, inputs: Mapping[str, int], prefix: str) -> Roles:
    """Roles of ``inputs`` (name -> width) of the design of which ``net`` was read; ``prefix`` is its path with a
    dot."""
    search = _Search(net, inputs, prefix)
    clocked = [process for process in net.processes if process.is_clocked]
    edges: dict[str, set[str]] = {}
    resets: dict[str, Reset] = {}
    for process in clocked:
        search.edges_of(process, edges, resets)
    if (clocked or net.has_udp) and not edges:
        edges = {name: {"posedge", "negedge"} for name in inputs if _CLOCK.search(name)}
    enables: set[str] = set()
    for process in clocked:
        search.tests(process.body, resets, enables)
    if clocked or net.has_udp:
        for name, width in inputs.items():
            if width == 1 and name not in resets and name not in edges and _RESET.search(name):
                resets[name] = Reset(name, not _LOW.search(name), False)
    resets = {name: reset for name, reset in resets.items() if name not in edges}
    named = {name for name, width in inputs.items() if width == 1 and _ENABLE.search(name)}
    taken = edges.keys() | resets.keys()
    return Roles(
        tuple(Clock(name, frozenset(edges[name])) for name in inputs if name in edges),
        tuple(resets[name] for name in inputs if name in resets),
        tuple(name for name in inputs if name in (enables | named) - taken),
        bool(clocked) or net.has_udp,
        net.has_loop or any(_may_hold(process) for process in net.processes),
        tuple(name for name in inputs if name in search.gates - taken),
    )


def is_reset_name(name: str) -> bool:
    """Whether an input is called like a reset."""
    return _RESET.search(name) is not None


class _Search:
    def __init__(self, net: Netlist, inputs: Mapping[str, int], prefix: str) -> None:
        self._net, self._inputs = net, inputs
        self._ports = {prefix + name: name for name in inputs}
        self.gates: set[str] = set()  # inputs between an event and the input that it is attributed to

    def origins(self, path: str, is_same: bool = True) -> set[tuple[str, bool | None]]:
        """(input, whether it arrives as it is; None: through some function) for each input that ``path`` depends on."""
        found: set[tuple[str, bool | None]] = set()
        todo: list[tuple[str, bool | None]] = [(path, is_same)]
        seen: set[tuple[str, bool | None]] = set()
        while todo:
            here = todo.pop()
            if here in seen:
                continue
            seen.add(here)
            if here[0] in self._ports:
                found.add((self._ports[here[0]], here[1]))
                continue
            for driver in self._net.drivers.get(here[0], ()):
                inverted = None if here[1] is None else not here[1]
                kept = {"same": here[1], "inverted": inverted, "other": None}[driver.relation]
                todo += [(source, kept) for source in driver.sources]
        return found

    def edges_of(self, process: Process, edges: dict[str, set[str]], resets: dict[str, Reset]) -> None:
        """Sort the edges that start one process into clocks and asynchronous resets."""
        tested = reads(process.body)
        is_tested = [bool(reads(event.expression) & tested) for event in process.events]
        if all(is_tested):
            is_tested = self._by_name(process.events)
        is_single = len(process.events) == 1
        for event, is_reset in zip(process.events, is_tested, strict=True):
            for name, arrives in self._event_origins(event):
                if is_reset and not is_single and event.edge != "both":
                    is_high = (event.edge == "posedge") == (arrives is not False)
                    resets.setdefault(name, Reset(name, is_high, True))
                else:
                    edges.setdefault(name, set()).update(_seen_edges(event.edge, arrives))

    def _by_name(self, events: Iterable[Event]) -> list[bool]:
        """Every edge of the list is tested: the clock is the one so called, else the first."""
        listed = list(events)
        named = [any(_CLOCK.search(name) for name, _ in self._event_origins(event)) for event in listed]
        return [not is_named for is_named in named] if any(named) else [number > 0 for number in range(len(listed))]

    def _event_origins(self, event: Event) -> set[tuple[str, bool | None]]:
        """The inputs behind one event; where gates lie between, only those that are called clocks, if any is."""
        followed = literal_test(event.expression)
        if followed is not None:
            found = self.origins(*followed)
        else:
            found = {(name, None) for path in reads(event.expression) for name, _ in self.origins(path)}
        gated = {entry for entry in found if entry[1] is None}
        clocks = {entry for entry in gated if _CLOCK.search(entry[0])}
        self.gates.update(name for name, _ in gated)
        return found - gated | (clocks or gated)

    def tests(self, statement: Any, resets: dict[str, Reset], enables: set[str]) -> None:
        """Find synchronous resets and enables among the conditions of a clocked process."""
        for node in live_nodes(statement, "Conditional", "ConditionalOp"):  # outermost first
            followed = literal_test(node.conditions[0].expr) if len(node.conditions) == 1 else None
            for name, arrives in self.origins(*followed) if followed else ():
                if arrives is None or self._inputs[name] > 1 or name in resets:
                    continue
                branch = node.ifTrue if hasattr(node, "ifTrue") else node.left
                if _is_constant(branch) and (_RESET.search(name) or _is_first(statement, node)):
                    resets[name] = Reset(name, arrives, False)
                else:
                    enables.add(name)


def _seen_edges(edge: str, arrives: bool | None) -> set[str]:
    if edge == "both" or arrives is None:
        return {"posedge", "negedge"}
    return {edge if arrives else {"posedge": "negedge", "negedge": "posedge"}[edge]}


def _is_first(statement: Any, node: Any) -> bool:
    """Whether ``node`` is the first statement of a process."""
    while statement.kind.name == "Block" or (statement.kind.name == "List" and statement.list):
        statement = statement.body if statement.kind.name == "Block" else statement.list[0]
    return statement.kind.name == "Conditional" and statement.sourceRange == node.sourceRange


def _is_constant(node: Any) -> bool:
    """Whether a branch assigns nothing but constants, and no matter what (``x <= 0``, ``for … mem[i] <= 0``), or an arm
    is one."""
    kind = node.kind.name
    if kind in ("Conditional", "Case") or (kind in ("Block", "List") and live_nodes(node, "Conditional", "Case")):
        return False
    if kind in ("Block", "List", "ExpressionStatement", "ForLoop"):
        found = assignments(node)
        return bool(found) and not any(reads(assignment.right) for assignment in found)
    return not reads(node)


def _may_hold(process: Process) -> bool:
    """Whether a process that no edge starts can end without assigning what it assigns elsewhere."""
    if process.is_clocked:
        return False
    assigned = {path for a in assignments(process.body) for path in reads(a.left)}
    return process.is_latch or bool(assigned - _always_assigned(process.body))


def _always_assigned(statement: Any) -> set[str]:
    """Signals that every way through a statement assigns (some bit of)."""
    if statement is None:
        return set()
    match statement.kind.name:
        case "Block" | "ForLoop" | "RepeatLoop":
            return _always_assigned(statement.body)
        case "List":
            return set[str]().union(*(_always_assigned(inner) for inner in statement.list))
        case "Conditional":
            return _always_assigned(statement.ifTrue) & _always_assigned(statement.ifFalse)
        case "Case":
            return _assigned_by_case(statement)
        case "ExpressionStatement":
            return {path for a in assignments(statement) for path in reads(a.left)}
        case _:
            return set()


def _assigned_by_case(statement: Any) -> set[str]:
    arms = [_always_assigned(item.stmt) for item in statement.items]
    values = sum(len(item.expressions) for item in statement.items)
    if statement.defaultCase is not None:
        arms.append(_always_assigned(statement.defaultCase))
    elif values < 1 << min(16, bare(statement.expr).type.bitWidth):
        return set()
    return set[str].intersection(*arms) if arms else set()


def by_name(inputs: Mapping[str, int]) -> tuple[tuple[Clock, ...], tuple[Reset, ...]]:
    """Clocks and resets of a module of which only the ports are known; resets are taken to be synchronous."""
    one_bit = [name for name, width in inputs.items() if width == 1]
    clocks = tuple(Clock(name, frozenset({"posedge"})) for name in one_bit if _CLOCK.search(name))
    named = {clock.name for clock in clocks}
    resets = tuple(
        Reset(name, not _LOW.search(name), False) for name in one_bit if name not in named and _RESET.search(name)
    )
    return clocks, resets
