"""What drives what in a design's text: its assignments, instances and calls, with the conditions they lie under.

Read from slang's syntax tree, without elaboration: names count by what they are called, in whichever generate block
they are declared, and an assignment to one bit drives the whole name. What is not followed makes a reading unclear:
macros, hierarchical names, ``.*``, classes and the like. It runs slang in this process: call it in a worker.
"""

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from itertl.sandbox import bounds
from itertl.tools import slang
from itertl.verilog import text as verilog_text

Name: TypeAlias = tuple[str, str]  # (module, what it calls it)
Span: TypeAlias = tuple[int, int]  # characters of the text, the second not included
Ports: TypeAlias = Mapping[str, str]  # of a module, in order: name -> "input", "output", "inout"

_BODIES = {  # what stands under the head of a block or statement
    "AlwaysBlock": ("statement",), "AlwaysCombBlock": ("statement",), "AlwaysFFBlock": ("statement",),
    "AlwaysLatchBlock": ("statement",), "InitialBlock": ("statement",), "TimingControlStatement": ("statement",),
    "ConditionalStatement": ("statement", "elseClause"), "ElseClause": ("clause",), "CaseStatement": ("items",),
    "StandardCaseItem": ("clause",), "DefaultCaseItem": ("clause",), "ForLoopStatement": ("statement",),
    "LoopStatement": ("statement",), "ForeverStatement": ("statement",), "IfGenerate": ("block", "elseClause"),
    "LoopGenerate": ("block",), "CaseGenerate": ("items",),
}  # fmt: skip
_FRAMES = {  # nothing in them but members or statements
    "GenerateRegion": "members", "GenerateBlock": "members", "SequentialBlockStatement": "items",
}  # fmt: skip
_LISTS = ("SyntaxList", "SeparatedList", "TokenList")
_SILENT = frozenset({"GenvarDeclaration", "PortDeclaration", "EmptyStatement", "EmptyMember", "TimeUnitsDeclaration"})
_STEPS = frozenset({
    "PostincrementExpression", "PostdecrementExpression", "UnaryPreincrementExpression", "UnaryPredecrementExpression",
})  # fmt: skip
_GATES_OF_MANY_OUTPUTS = ("buf", "not")  # the last terminal is the input; of other gates the first is the output
_HARMLESS = ("`timescale", "`default_nettype", "`resetall", "`celldefine", "`endcelldefine")


@dataclass(frozen=True, slots=True)
class Driver:
    """One statement, declaration or connection. ``under``: heads of the blocks and conditions that it lies in."""

    targets: frozenset[Name]
    sources: frozenset[Name]  # read by it, and by what it lies under
    span: Span
    under: tuple[Span, ...] = ()


@dataclass(slots=True)
class Reading:
    """All drivers of one module, in the order of the text."""

    drivers: list[Driver]
    is_clear: bool = True  # False: the module holds something that was not followed


class Text:
    """A text with its names, by character."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._data = None if code.isascii() else code.encode("utf-8", "replace")
        tokens = verilog_text.tokenize(code)
        depth, names = 0, list[tuple[int, int, str]]()
        for token in tokens:
            depth += (token.text == "[") - (token.text == "]")
            if token.kind in verilog_text.NAME_KINDS:
                names.append((token.start, depth, token.text))
        self._starts = [start for start, _, _ in names]
        self._names = names
        self.is_plain = not any(
            token.kind == "escaped" or (token.kind == "directive" and token.text not in _HARMLESS) for token in tokens
        )

    def span(self, node: Any) -> Span:
        start, end = slang.span(node)
        if self._data is None:
            return start, end
        head, inner = self._data[:start].decode("utf-8", "replace"), self._data[start:end].decode("utf-8", "replace")
        return len(head), len(head) + len(inner)

    def names(self, *spans: Span) -> set[str]:
        return {name for span in spans for _, _, name in self._within(span)}

    def assigned(self, span: Span) -> tuple[set[str], set[str]]:
        """(names that a left-hand side assigns, names in its brackets, which are read)."""
        found = self._within(span)
        outer = min((depth for _, depth, _ in found), default=0)
        return {n for _, depth, n in found if depth == outer}, {n for _, depth, n in found if depth > outer}

    def _within(self, span: Span) -> Sequence[tuple[int, int, str]]:
        return self._names[bisect.bisect_left(self._starts, span[0]) : bisect.bisect_left(self._starts, span[1])]


def ports_of(module: Any) -> dict[str, str]:
    """The ports of a module's syntax node, in order."""
    header, found, last = module.header.ports, dict[str, str](), "inout"
    if header is None:
        return found
    for port in header.ports:
        kind = port.kind.name
        if kind == "ImplicitAnsiPort":
            last = _direction(port.header) or last
            found[port.declarator.name.valueText] = last
        elif kind == "ImplicitNonAnsiPort":
            found[port.expr.name.valueText] = "inout"
    for member in module.members:
        if member.kind.name == "PortDeclaration":
            for declarator in _nodes(member.declarators):
                if declarator.name.valueText in found:
                    found[declarator.name.valueText] = _direction(member.header) or "inout"
    return found


def _direction(header: Any) -> str:
    token = getattr(header, "direction", None)
    return token.valueText if token is not None else ""


def read(text: Text, module: Any, ports: Mapping[str, Ports]) -> Reading:
    """The drivers of one module. ``ports``: of the modules that its instances are of; others are not looked into, and
    are taken to drive all that they are connected to."""
    reader = _Reader(text, module.header.name.valueText, ports)
    for port in getattr(module.header.ports, "ports", ()):
        if port.kind.name == "ImplicitAnsiPort":
            reader.declared(port.declarator, reader.text.span(port.declarator), ())
    reader.all_of(module.members, ())
    return Reading(reader.drivers, reader.is_clear)


@dataclass(slots=True)
class _Reader:
    text: Text
    module: str
    ports: Mapping[str, Ports]
    drivers: list[Driver] = field(default_factory=list[Driver])
    is_clear: bool = True

    def add(
        self, targets: set[str] | set[Name], sources: set[str] | set[Name], span: Span, under: Sequence[Span]
    ) -> None:
        read = self._own(sources) | self._own(self.text.names(*under))
        self.drivers.append(Driver(frozenset(self._own(targets)), frozenset(read), span, tuple(under)))

    def _own(self, names: set[str] | set[Name]) -> set[Name]:
        return {(self.module, name) if isinstance(name, str) else name for name in names}

    def all_of(self, nodes: Any, under: tuple[Span, ...]) -> None:
        for node in _nodes(nodes):
            self.one(node, under)

    def one(self, node: Any, under: tuple[Span, ...]) -> None:
        kind = node.kind.name
        handler = _LEAVES.get(kind)
        if handler is not None:
            handler(self, node, under)
        elif kind in _FRAMES:
            self.all_of(getattr(node, _FRAMES[kind]), under)
        elif kind in _BODIES:
            parts = [part for name in _BODIES[kind] for part in _parts(getattr(node, name))]
            if parts:
                start, end = self.text.span(node)[0], self.text.span(parts[0])[0]
                head = start, start + len(self.text.code[start:end].rstrip())
                self.all_of(parts, (*under, head))
        elif kind not in _SILENT:
            self.is_clear = False

    def expression(self, node: Any, span: Span, under: tuple[Span, ...]) -> None:
        """One that stands as a statement: an assignment, a step or the call of a task."""
        kind = node.kind.name
        if kind.endswith("AssignmentExpression"):
            targets, inside = self.text.assigned(self.text.span(node.left))
            before = set[str]() if kind in ("AssignmentExpression", "NonblockingAssignmentExpression") else targets
            self.add(targets, inside | before | self.text.names(self.text.span(node.right)), span, under)
        elif kind in _STEPS:
            targets, inside = self.text.assigned(self.text.span(node.operand))
            self.add(targets, inside | targets, span, under)
        elif kind == "InvocationExpression" and node.left.kind.name == "SystemName":
            return
        elif kind in ("InvocationExpression", "IdentifierName"):  # a task may drive what it is given
            names = self.text.names(self.text.span(node))
            inputs = {name for name, way in self.ports.get(self.module, {}).items() if way == "input"}
            self.add(names - inputs, names, span, under)
        else:
            self.is_clear = False

    def declared(self, declarator: Any, span: Span, under: tuple[Span, ...]) -> None:
        if declarator.initializer is not None:
            names = self.text.names(self.text.span(declarator.initializer))
            self.add({declarator.name.valueText}, names, span, under)

    def declaration(self, node: Any, under: tuple[Span, ...]) -> None:
        holder = getattr(node, "parameter", node)
        declarators = list(_nodes(getattr(holder, "declarators", ())))
        for one in declarators:
            self.declared(one, self.text.span(node if len(declarators) == 1 else one), under)

    def assignments(self, node: Any, under: tuple[Span, ...]) -> None:
        found = list(_nodes(node.assignments))
        for one in found:
            self.expression(one, self.text.span(node if len(found) == 1 else one), under)

    def statement(self, node: Any, under: tuple[Span, ...]) -> None:
        self.expression(node.expr, self.text.span(node), under)

    def subroutine(self, node: Any, under: tuple[Span, ...]) -> None:
        """A function gives its value, a task drives all that it assigns."""
        span, inner = self.text.span(node), _Reader(self.text, self.module, {})
        inner.all_of(node.items, ())
        self.is_clear &= inner.is_clear
        own = {node.prototype.name.getLastToken().valueText}
        assigned = {name for driver in inner.drivers for _, name in driver.targets}
        self.add(own | (assigned if node.kind.name == "TaskDeclaration" else set()), self.text.names(span), span, under)

    def instances(self, node: Any, under: tuple[Span, ...]) -> None:
        kind = node.type.valueText
        of_kind = self.ports.get(kind)
        parameters = getattr(node, "parameters", None)
        shared = set[str]() if parameters is None else self.text.names(self.text.span(parameters))
        found = list(_nodes(node.instances))
        for one in found:
            span = self.text.span(node if len(found) == 1 else one)
            if node.kind.name == "PrimitiveInstantiation":
                self._gate(one, kind, span, under)
            elif of_kind is None:
                names = self.text.names(*(self.text.span(c) for c in _nodes(one.connections)))
                self.add(names, names, span, under)
                self.is_clear = False
            else:
                for port, direction, connected in self._connections(one, of_kind):
                    self._connect((kind, port), direction, connected, shared, span, under)

    def _gate(self, node: Any, kind: str, span: Span, under: tuple[Span, ...]) -> None:
        terminals = [self.text.span(connection) for connection in _nodes(node.connections)]
        driven = terminals[:-1] if kind in _GATES_OF_MANY_OUTPUTS else terminals[:1]
        for terminal in driven:
            targets, inside = self.text.assigned(terminal)
            self.add(targets, inside | self.text.names(*terminals[len(driven) :]), span, under)

    def _connections(self, node: Any, ports: Ports) -> Iterator[tuple[str, str, Span | None]]:
        """(port, its direction, what is connected)."""
        for place, one in enumerate(_nodes(node.connections)):
            kind, span = one.kind.name, self.text.span(one)
            name = one.name.valueText if kind == "NamedPortConnection" else next(iter([*ports][place:]), "")
            if name not in ports or kind not in ("NamedPortConnection", "OrderedPortConnection"):
                self.is_clear &= kind == "EmptyPortConnection"
                continue
            if kind == "OrderedPortConnection":
                yield name, ports[name], span
            elif one.expr is not None:
                yield name, ports[name], self.text.span(one.expr)
            elif "(" not in self.text.code[slice(*span)]:
                yield name, ports[name], span  # ``.name``, which is connected to a signal of that name

    def _connect(
        self, port: Name, direction: str, connected: Span | None, shared: set[str], span: Span, under: tuple[Span, ...]
    ) -> None:
        if connected is None:
            return
        targets, inside = self.text.assigned(connected)
        if direction != "input":
            self.add(targets, {port} | self._own(inside | shared), span, under)
        if direction != "output":
            self.add({port}, self._own(targets | inside | shared), span, under)


_LEAVES: Mapping[str, Callable[[_Reader, Any, tuple[Span, ...]], None]] = {
    "ContinuousAssign": _Reader.assignments, "ExpressionStatement": _Reader.statement,
    "ProceduralAssignStatement": _Reader.statement, "DataDeclaration": _Reader.declaration,
    "NetDeclaration": _Reader.declaration, "ParameterDeclarationStatement": _Reader.declaration,
    "FunctionDeclaration": _Reader.subroutine, "TaskDeclaration": _Reader.subroutine,
    "HierarchyInstantiation": _Reader.instances, "PrimitiveInstantiation": _Reader.instances,
}  # fmt: skip


def _nodes(found: Any) -> Iterator[Any]:
    """The nodes of a list, without the tokens between them."""
    return (one for one in found if hasattr(one, "sourceRange"))


def _parts(found: Any) -> list[Any]:
    """What an attribute of a node holds: one node, a list of them, or none."""
    if found is None:
        return []
    return [found] if hasattr(found, "kind") and found.kind.name not in _LISTS else list(_nodes(found))


@bounds.reading()
def slices(code: str, top: str) -> dict[str, tuple[Span, ...] | None]:
    """Output of module ``top`` -> spans of all statements that drive it, however far back, with the conditions that
    they lie under, in order and apart; None where that cannot be told. Empty for a text that does not parse.

    Declarations are not in it, but for what they initialise; nor are ``begin`` and ``end``, or the module's header.
    """
    unit = slang.parse(code)
    if unit.error or top not in unit.modules:
        return {}
    modules = {item.header.name.valueText: item for item in unit.items if item.kind.name == "ModuleDeclaration"}
    ports = {name: ports_of(module) for name, module in modules.items()}
    outputs = [name for name, direction in ports[top].items() if direction == "output"]
    text = Text(code)
    is_clear = text.is_plain and len(modules) == len(unit.items)
    is_clear = is_clear and not slang.nodes(unit.tree.root, "ScopedName", "MemberAccessExpression")
    if not is_clear:
        return dict.fromkeys(outputs)
    readings = [read(text, module, ports) for module in modules.values()]
    if not all(reading.is_clear for reading in readings):
        return dict.fromkeys(outputs)
    drivers = [driver for reading in readings for driver in reading.drivers]
    by_target: dict[Name, list[Driver]] = {}
    for driver in drivers:
        for target in driver.targets:
            by_target.setdefault(target, []).append(driver)
    return {output: _joined(closure((top, output), by_target)) or None for output in outputs}


def closure(output: Name, by_target: Mapping[Name, Sequence[Driver]]) -> list[Driver]:
    """All that drives a name, and what that reads."""
    waiting, done, found = [output], {output}, dict[int, Driver]()
    while waiting:
        for driver in by_target.get(waiting.pop(), ()):
            if id(driver) not in found:
                found[id(driver)] = driver
                waiting += driver.sources - done
                done |= driver.sources
    return list(found.values())


def _joined(drivers: Sequence[Driver]) -> tuple[Span, ...]:
    """Their spans and heads, in order, those that touch or overlap as one."""
    joined: list[Span] = []
    for start, end in sorted({span for driver in drivers for span in (driver.span, *driver.under)}):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return tuple(joined)
