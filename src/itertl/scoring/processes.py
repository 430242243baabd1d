"""A design as slang elaborates it, read into processes and drivers: what starts a process, what a signal depends on.

Signals are named by their hierarchical path. What it does not: distinguish the bits of a vector, or follow a signal
through a function, an interface or a dynamic variable.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from itertl.tools.slang import live_nodes, walk

Relation = Literal["same", "inverted", "other"]
_FIXED = ("Parameter", "EnumValue", "Specparam", "Genvar")  # names of constants
_EVENT_CONTROLS = ("SignalEvent", "EventList", "ImplicitEvent")  # as against a delay
_INVERSIONS = ("LogicalNot", "BitwiseNot")


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a sensitivity list. ``edge`` "" is a change of level."""

    edge: Literal["posedge", "negedge", "both", ""]
    expression: Any


@dataclass(frozen=True, slots=True)
class Process:
    """An ``always`` block. ``events`` is empty for ``@*``, ``always_comb`` and ``always_latch``."""

    events: tuple[Event, ...]
    body: Any  # the statement after the event control
    is_latch: bool  # written as always_latch

    @property
    def is_clocked(self) -> bool:
        """Whether edges start it, all of its events being edges."""
        return bool(self.events) and all(event.edge for event in self.events)


@dataclass(frozen=True, slots=True)
class SignalDriver:
    """What a signal follows: itself one signal as it is or inverted, or some function of several."""

    relation: Relation
    sources: frozenset[str]


@dataclass(slots=True)
class Netlist:
    """``has_loop``: some continuous assignment reads what it drives. ``has_udp``: a sequential primitive of the
    user's."""

    processes: list[Process] = field(default_factory=list[Process])
    drivers: dict[str, list[SignalDriver]] = field(default_factory=lambda: defaultdict[str, list[SignalDriver]](list))
    has_loop: bool = False
    has_udp: bool = False


def read_netlist(instance: Any) -> Netlist:
    """Everything below one elaborated instance of a module, which is slang's ``InstanceSymbol``."""
    found = Netlist()

    def look(node: Any) -> None:
        match node.kind.name:
            case "ProceduralBlock":
                _process(node, found)
            case "ContinuousAssign" if node.assignment.kind.name == "Assignment":
                _assignment(node.assignment, found)
            case "Net" if node.initializer is not None:
                found.drivers[node.hierarchicalPath].append(_driver(node.initializer))
            case "Instance" if node.isModule:
                _connections(node, found)
            case "PrimitiveInstance":
                _primitive(node, found)
            case _:
                pass

    walk(instance.body, look)
    return found


def reads(node: Any) -> set[str]:
    """Paths of the signals that an expression or statement names."""
    named = live_nodes(node, "NamedValue", "HierarchicalValue")
    return {inner.symbol.hierarchicalPath for inner in named if inner.symbol.kind.name not in _FIXED}


def assignments(statement: Any) -> list[Any]:
    """Every assignment expression in a statement."""
    return live_nodes(statement, "Assignment")


def bare(expression: Any) -> Any:
    """The expression without implicit conversions around it."""
    while expression.kind.name == "Conversion":
        expression = expression.operand
    return expression


def literal_test(expression: Any) -> tuple[str, bool] | None:
    """(signal, polarity) where the expression is true exactly if one signal is (polarity True) or is not 1; else None.

    ``rst``, ``!rst``, ``~rst``, ``rst == 1'b1``, ``rst != 1``, a select of one bit included.
    """
    expression = bare(expression)
    kind = expression.kind.name
    if kind in ("NamedValue", "HierarchicalValue"):
        is_fixed = expression.symbol.kind.name in _FIXED
        return None if is_fixed else (expression.symbol.hierarchicalPath, True)
    if kind in ("ElementSelect", "RangeSelect"):
        return literal_test(expression.value)
    if kind == "UnaryOp" and expression.op.name in _INVERSIONS:
        inner = literal_test(expression.operand)
        return None if inner is None else (inner[0], not inner[1])
    if kind == "BinaryOp" and expression.op.name in ("Equality", "Inequality", "CaseEquality", "CaseInequality"):
        return _comparison(expression)
    return None


def _comparison(expression: Any) -> tuple[str, bool] | None:
    for one, other in ((expression.left, expression.right), (expression.right, expression.left)):
        inner, constant = literal_test(one), bare(other)
        if inner is not None and constant.kind.name in ("IntegerLiteral", "UnbasedUnsizedIntegerLiteral"):
            is_one = str(constant.value)[-1] == "1"
            is_equal = expression.op.name in ("Equality", "CaseEquality")
            return inner[0], inner[1] == (is_one == is_equal)
    return None


def _driver(expression: Any) -> SignalDriver:
    followed = literal_test(expression)
    if followed is not None:
        return SignalDriver("same" if followed[1] else "inverted", frozenset({followed[0]}))
    return SignalDriver("other", frozenset(reads(expression)))


def _assignment(assignment: Any, found: Netlist) -> None:
    driver = _driver(assignment.right)
    for target in reads(assignment.left):
        found.drivers[target].append(driver)
        found.has_loop |= target in driver.sources


def _connections(instance: Any, found: Netlist) -> None:
    for connection in instance.portConnections:
        expression, inner = connection.expression, getattr(connection.port, "internalSymbol", None)
        if expression is None or inner is None:
            continue
        path = inner.hierarchicalPath
        if connection.port.direction.name == "In":
            found.drivers[path].append(_driver(expression))
        else:
            outer = expression.left if expression.kind.name == "Assignment" else expression
            for target in reads(outer):
                found.drivers[target].append(SignalDriver("same", frozenset({path})))


def _primitive(gate: Any, found: Netlist) -> None:
    """Gates drive their first connection; ``buf`` and ``not`` follow their last one."""
    parts = [bare(e.left if e.kind.name == "Assignment" else e) for e in gate.portConnections if e is not None]
    if len(parts) < 2:
        return
    kind: str = gate.primitiveType.name
    found.has_udp |= gate.primitiveType.isSequential
    sources = frozenset(path for part in parts[1:] for path in reads(part))
    relation: Relation = "same" if kind == "buf" else "inverted" if kind == "not" else "other"
    for target in reads(parts[0]):
        found.drivers[target].append(SignalDriver(relation, sources))


def _process(block: Any, found: Netlist) -> None:
    kind = block.procedureKind.name
    if kind not in ("Always", "AlwaysComb", "AlwaysLatch", "AlwaysFF"):
        return
    body = block.body
    timings = (timed.timing for timed in live_nodes(body, "Timed"))
    first = next((timing for timing in timings if timing.kind.name in _EVENT_CONTROLS), None)  # nearly always the body
    events = tuple(_events(first)) if first is not None else ()
    if body.kind.name == "Timed":
        body = body.stmt
    process = Process(events, body, kind == "AlwaysLatch")
    found.processes.append(process)
    if not process.is_clocked:
        sources, is_plain = frozenset(reads(body)), _is_plain(body)
        for assignment in assignments(body):
            for target in reads(assignment.left):
                driver = _driver(assignment.right) if is_plain else SignalDriver("other", sources - {target})
                found.drivers[target].append(driver)


def _is_plain(body: Any) -> bool:
    """Whether a process does nothing but one assignment."""
    while body.kind.name == "Block":
        body = body.body
    return body.kind.name == "ExpressionStatement"


def _events(timing: Any) -> Iterator[Event]:
    kind = timing.kind.name
    if kind == "EventList":
        for event in timing.events:
            yield from _events(event)
    elif kind == "SignalEvent":
        edge = {"PosEdge": "posedge", "NegEdge": "negedge", "BothEdges": "both"}.get(timing.edge.name, "")
        yield Event(edge, timing.expr)  # type: ignore[arg-type]
