"""The whole design as one module: instances, interfaces and generate blocks dissolve, their ports become assignments.

Declarations, processes and assignments keep the order of the text, with an instance's contents in its place.
"""

import functools
from collections.abc import Iterator
from typing import Any

from itertl.scoring.lowering.expressions import CHANGING, Expressions
from itertl.scoring.lowering.names import Names, Refused, Shape, bits, is_two_state, key, literal, shape
from itertl.scoring.lowering.places import BitPlace
from itertl.scoring.lowering.statements import BodyScope, Lines, Statements
from itertl.tools import slang

_NOTHING = frozenset({
    "Parameter", "TypeParameter", "Genvar", "TypeAlias", "ForwardingTypedef", "WildcardImport", "ExplicitImport",
    "EmptyMember", "Subroutine", "StatementBlock", "Modport", "TransparentMember", "EnumValue", "Attribute", "LetDecl",
    "Port", "InterfacePort", "Definition",
})  # fmt: skip
_NETS = {
    "wire": "wire", "tri": "wire", "wand": "wand", "triand": "wand", "wor": "wor", "trior": "wor", "tri0": "tri0",
    "tri1": "tri1",
}  # fmt: skip
_EDGES = {"PosEdge": "posedge ", "NegEdge": "negedge ", "BothEdges": "edge ", "None_": ""}


class DesignWriter:
    """Writes a top instance as one module. ``text`` raises Refused."""

    def __init__(self, top: Any, to_hardware: bool) -> None:
        self.top, self.to_hardware = top, to_hardware
        self.names = Names()
        self.lines: Lines = []
        self.declared: Lines = []
        self.subroutines: Lines = []
        self.places: dict[tuple[str, int], BitPlace] = {}
        self.called: dict[tuple[str, int], str] = {}
        self.written, self.driven = _targets(top)
        call = functools.partial(self._subroutine, is_task=False)
        self.write = Expressions(self.names, top.body, self.root, call)

    def text(self) -> str:
        body = self.top.body
        parameters = [symbol for symbol in body if symbol.kind.name == "Parameter"]
        self.names.taken |= {symbol.name for symbol in (*body.portList, *parameters, self.top)}
        heads = [self._port(port) for port in body.portList]
        settable = [one for one in parameters if not one.isLocalParam and hasattr(one.value.value, "bitWidth")]
        values = ", ".join(f"parameter {symbol.name} = {_decimal(symbol)}" for symbol in settable)
        self._members(body)
        head = f"module {self.top.definition.name}" + (f" #({values})" if values else "")
        helpers = [text for _, text in self.names.helpers.values()]
        inner = [*self.declared, *helpers, *self.subroutines, *self.lines]
        return "\n".join([f"{head} ({', '.join(heads)});", *inner, "endmodule", ""])

    # ---- declarations
    def _port(self, port: Any) -> str:
        symbol = port.internalSymbol
        is_odd = port.kind.name != "Port" or port.internalExpr is not None or not port.type.isIntegral
        if symbol is None or is_odd or port.direction.name not in ("In", "Out"):
            raise Refused(f"the port {port.name}")
        own = shape(symbol.type)
        is_scalar = symbol.type.canonicalType.kind.name == "ScalarType"
        sign = " signed" if port.type.isSigned else ""
        is_register = self._is_register(symbol)
        if port.direction.name == "In" and (is_register or own.is_two_state):
            raise Refused(f"the input {port.name}, which is set inside or swallows X")
        held = "bit" if own.is_two_state else "reg"
        word = ("input", "wire") if port.direction.name == "In" else ("output", held if is_register else "wire")
        self.places[key(symbol)] = BitPlace(port.name, own, 0, own.width, swallows=own.is_two_state and is_register)
        if port.initializer is not None and word[0] == "output":
            self._first_value(self.places[key(symbol)], symbol, port.initializer, is_register)
        return f"{word[0]} {word[1]}{sign}{'' if is_scalar else ' ' + own.range} {port.name}"

    def root(self, symbol: Any) -> BitPlace:
        """Where a net, a variable or a constant lies; it is declared at its first use."""
        kind = symbol.kind.name
        if kind == "ModportPort":
            if symbol.internalSymbol is None:
                raise Refused("a modport with an expression")
            return self.root(symbol.internalSymbol)
        found = self.places.get(key(symbol))
        if found is not None:
            return found
        if kind in ("Parameter", "EnumValue", "Specparam"):
            digits = bits(symbol.value)
            name, own = self.names.fresh(symbol.name), Shape(len(digits), len(digits) - 1, 0)
            self.declared.append(f"  localparam {own.range} {name} = {literal(digits)};")
            place = BitPlace(name, own, 0, own.width, is_flat=True)
        elif kind in ("Net", "Variable") and (kind == "Net" or symbol.lifetime.name == "Static"):
            place = self._declared(symbol, kind == "Net")
        else:
            raise Refused(f"{symbol.name}, of kind {kind}")
        return self.places.setdefault(key(symbol), place)

    def _is_register(self, symbol: Any) -> bool:
        """Whether it is not a net and follows nothing: a process sets it, or nothing does."""
        return symbol.kind.name == "Variable" and (key(symbol) in self.written or key(symbol) not in self.driven)

    def _declared(self, symbol: Any, is_net: bool) -> BitPlace:
        own, name = shape(symbol.type), self.names.fresh(symbol.name)
        word = ("bit" if own.is_two_state else "reg") if self._is_register(symbol) else "wire"
        if is_net:
            word = _NETS.get(symbol.netType.name, "")
            if not word or symbol.delay is not None or _has_strength(symbol) or own.is_two_state:
                raise Refused(f"the net {symbol.name} of type {symbol.netType.name}")
        place = BitPlace(name, own, 0, own.width, swallows=word == "bit")
        self.places[key(symbol)] = place
        at = len(self.declared)
        self.declared.insert(at, f"  {word} {own.range} {name}{own.dimensions};")
        if symbol.initializer is not None:
            self._first_value(place, symbol, symbol.initializer, word in ("reg", "bit"), at)
        return place

    def _first_value(self, place: BitPlace, symbol: Any, first: Any, is_register: bool, at: int = -1) -> None:
        if not is_register:
            self.lines.append(f"  assign {place.text()} = {self.write.value(first)};")
            return
        digits = self.write.digits(first)
        if digits is None:
            raise Refused(f"{symbol.name} with a first value that is not a constant")
        if place.is_word and at >= 0:
            self.declared[at] = self.declared[at][:-1] + f" = {literal(digits)};"
            return
        words = place.all_words(4096)
        each = len(digits) // len(words)
        values = [digits[number * each : (number + 1) * each] for number in range(len(words))]
        inner = [f"{one.text()} = {literal(value)};" for one, value in zip(words, values, strict=True)]
        self.declared.append("\n".join(["  initial begin", *inner, "  end"]))

    # ---- members of instances and generate blocks
    def _members(self, scope: Any) -> None:
        declared = set[str]()
        for member in scope:
            kind = member.kind.name
            if kind in ("Net", "Variable") and member.name in declared:
                raise Refused(f"{member.name} is declared twice")
            declared |= {member.name} if kind in ("Net", "Variable") else set()
            if kind in _NOTHING:
                continue
            match kind:
                case "Net" | "Variable":
                    self.root(member)
                case "ContinuousAssign":
                    self._assign(member)
                case "ProceduralBlock":
                    self._process(member)
                case "Instance":
                    self._instance(member)
                case "InstanceArray":
                    self._members(member.elements)
                case "GenerateBlock":
                    if not member.isUninstantiated:
                        self._members(member)
                case "GenerateBlockArray":
                    for block in member.entries:
                        self._members(block)
                case _:
                    raise Refused(f"a member of kind {kind}")

    def _instance(self, instance: Any) -> None:
        for connection in instance.portConnections:
            port, outer = connection.port, connection.expression
            if port.kind.name == "InterfacePort":
                continue
            if port.kind.name != "Port" or port.internalSymbol is None or port.internalExpr is not None:
                raise Refused(f"the port {port.name}")
            inner = self.root(port.internalSymbol)
            if outer is None:
                if port.direction.name == "In" and inner.shape.is_two_state:
                    raise Refused(f"the open input {port.name}, which swallows X")
                continue
            if port.direction.name == "In":
                if inner.swallows or key(port.internalSymbol) in self.written:
                    raise Refused(f"the input {port.name}, which is set inside")
                self._drive(inner, outer)
            elif port.direction.name == "Out" and outer.kind.name == "Assignment":
                self.write.standing = inner.text()
                self._drive(self._target(outer.left), outer.right)
                self.write.standing = ""
            else:
                raise Refused(f"the port {port.name} of direction {port.direction.name}")
        self._members(instance.body)

    def _assign(self, member: Any) -> None:
        node = member.assignment
        if member.delay is not None or _has_strength(member) or node.isCompound:
            raise Refused("an assignment with a delay or a strength")
        self._drive(self._target(node.left), node.right)

    def _target(self, left: Any) -> "BitPlace | str":
        if left.kind.name != "Concatenation":
            return self.write.place(left)
        if is_two_state(left.operands[0].type):
            raise Refused("a concatenation of what swallows X")
        return "{" + ", ".join(self.write.place(operand).text() for operand in left.operands) + "}"

    def _drive(self, target: "BitPlace | str", right: Any) -> None:
        if isinstance(target, str) or target.is_word:
            if not isinstance(target, str) and target.swallows:
                raise Refused("a variable that a process and an assignment set")
            text = target if isinstance(target, str) else target.text()
            self.lines.append(f"  assign {text} = {self.write.value(right)};")
            return
        if right.kind.name.endswith("AssignmentPattern"):
            words = target.all_words(4096)
            elements = self.write.elements(right)
            if len(words) != len(elements):
                raise Refused("a pattern of patterns in an assignment")
            texts = [self.write.value(element) for element in elements]
        else:
            source = self.write.place(right)
            words, texts = target.all_words(4096), [one.text() for one in source.all_words(4096)]
        self.lines += [f"  assign {word.text()} = {text};" for word, text in zip(words, texts, strict=True)]

    # ---- processes
    def _process(self, block: Any) -> None:
        kind, body = block.procedureKind.name, block.body
        if body.kind.name in ("ConcurrentAssertion", "ImmediateAssertion"):
            raise Refused("an assertion")
        head = {"Initial": "initial", "AlwaysComb": "always_comb", "AlwaysLatch": "always_latch"}.get(kind, "always")
        if kind in ("Always", "AlwaysFF"):
            if body.kind.name != "Timed":
                raise Refused("a process that does not begin with its events")
            head += f" @({self._events(body.timing)})"
            body = body.stmt
        looked_at = self._looked_at(body) if kind == "AlwaysComb" else []
        lines, _ = self._statements(BodyScope(self._local)).around("return", body)
        self.lines.append("\n".join([f"  {head} begin", *looked_at, *lines, "  end"]))

    def _looked_at(self, body: Any) -> Lines:
        """A statement that reads what the called functions read: unlike ``@*``, always_comb is started by it."""
        texts = [self.root(symbol).text() for symbol in _outer_reads(body)]
        if not texts:
            return []
        return [f"{self._local(None, 'looked_at', Shape(1, 0, 0)).name} = ^{{{', '.join(texts)}}};"]

    def _local(self, symbol: Any, about: str, own: Shape) -> BitPlace:
        """A variable of a process, which runs once at a time. One that is not static is set where each run begins."""
        if symbol is not None and symbol.kind.name == "Variable" and symbol.lifetime.name == "Static":
            return self.root(symbol)
        return self._inner(self.declared, symbol, about, own)

    def _inner(self, lines: Lines, symbol: Any, about: str, own: Shape) -> BitPlace:
        """A variable that is declared in ``lines``, unless it is a loop's variable, which slang declares twice."""
        if symbol is not None and key(symbol) in self.places:
            return self.places[key(symbol)]
        place = BitPlace(self.names.fresh(about), own, 0, own.width)
        lines.append(f"  reg {own.range} {place.name}{own.dimensions};")
        if symbol is not None:
            self.places[key(symbol)] = place
        return place

    def _events(self, timing: Any) -> str:
        kind = timing.kind.name
        if kind == "ImplicitEvent":
            return "*"
        if kind == "EventList":
            return " or ".join(self._events(event) for event in timing.events)
        if kind != "SignalEvent" or timing.iffCondition is not None or not timing.expr.type.isIntegral:
            raise Refused(f"events of kind {kind}")
        return _EDGES[timing.edge.name] + self.write.place(timing.expr).text()

    # ---- functions and tasks
    def _statements(self, body: BodyScope) -> Statements:
        task = functools.partial(self._subroutine, is_task=True)
        return Statements(self.names, self.write, body, self.to_hardware, task)

    def _subroutine(self, symbol: Any, is_task: bool) -> str:
        """The name of a function or task, which is written when it is first called."""
        name = self.called.get(key(symbol))
        if name is not None:
            return name
        if symbol.returnType.isVoid != is_task:
            raise Refused(f"the call of {symbol.name}")
        name = self.called[key(symbol)] = self.names.fresh(symbol.name)
        self.names.functions.add(name)
        head, local = self._arguments(symbol, is_task), list[str]()
        result: BitPlace | None = None
        if not is_task:
            size = shape(symbol.returnType)
            if size.words or (symbol.returnValVar.lifetime.name == "Static" and size.is_two_state):
                raise Refused(f"what {symbol.name} returns")
            result = BitPlace(name, size, 0, size.width)
            self.places[key(symbol.returnValVar)] = result
        life = " automatic" if symbol.defaultLifetime.name == "Automatic" else ""
        declare = functools.partial(self._inner, local)
        write = self._statements(BodyScope(declare, result, not is_task, "" if life else "subroutine"))
        lines, _ = write.around("return", symbol.body)
        if result is not None and result.shape.is_two_state:
            lines = [f"{name} = {literal('0' * result.shape.width)};", *lines]
        kind = f"task{life}" if is_task else f"function{life} {result.shape.range if result is not None else ''}"
        declared = [f"  {line}" for line in local]
        text = [f"  {kind} {name}{head};", *declared, "    begin", *lines, "    end", f"  end{kind.split()[0]}"]
        self.subroutines.append("\n".join(text))
        return name

    def _arguments(self, symbol: Any, is_task: bool) -> str:
        texts: list[str] = []
        for formal in symbol.arguments:
            own = shape(formal.type)
            word = {"In": "input", "Out": "output", "InOut": "inout"}.get(formal.direction.name)
            if word is None or own.words or (word != "input" and not is_task):
                raise Refused(f"the argument {formal.name} of {symbol.name}")
            name = self.names.fresh(formal.name)
            self.places[key(formal)] = BitPlace(name, own, 0, own.width)
            texts.append(f"{word} {own.range} {name}")
        return f"({', '.join(texts)})" if texts else "()"


def _has_strength(symbol: Any) -> bool:
    try:
        return any(strength is not None for strength in symbol.driveStrength)
    except TypeError:  # there is one: the library cannot hand it over
        return True


def _targets(top: Any) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """Variables that processes and subroutines set, and what assignments and ports drive."""
    written: set[tuple[str, int]] = set()
    driven: set[tuple[str, int]] = set()
    seen: set[tuple[str, int]] = set()
    for node in slang.live_nodes(top, "ProceduralBlock", "Subroutine", "ContinuousAssign", "Instance"):
        kind, body = node.kind.name, None
        if kind in ("ProceduralBlock", "Subroutine"):
            body = node.body
        elif kind == "ContinuousAssign":
            if node.assignment.kind.name != "Assignment":
                raise Refused("an assignment that slang calls invalid")
            driven.update(_set_by(node.assignment))
            body = node.assignment.right
        for inner, _ in _run(body, seen) if body is not None else ():
            written.update(_set_by(inner))
        for connection in node.portConnections if kind == "Instance" else ():
            if connection.expression is not None and connection.expression.kind.name == "Assignment":
                driven.update(_set_by(connection.expression))
            elif connection.port.kind.name == "Port" and connection.port.internalSymbol is not None:
                driven.add(key(connection.port.internalSymbol))
    return written, driven


def _run(body: Any, seen: set[tuple[str, int]], is_called: bool = False) -> Iterator[tuple[Any, bool]]:
    """The names, assignments and steps of a body and of the functions that it calls, with whether they are in one.

    ``seen``: the functions so far.
    """
    for node in slang.live_nodes(body, "NamedValue", "HierarchicalValue", "Assignment", "UnaryOp", "Call"):
        yield node, is_called
        if node.kind.name == "Call" and not node.isSystemCall and key(node.subroutine) not in seen:
            seen.add(key(node.subroutine))
            yield from _run(node.subroutine.body, seen, is_called=True)


def _set_by(node: Any) -> Iterator[tuple[str, int]]:
    """The variables that an assignment or a step sets."""
    kind = node.kind.name
    if kind == "UnaryOp" and node.op.name not in CHANGING:
        return
    todo = [node.left] if kind == "Assignment" else [node.operand] if kind == "UnaryOp" else []
    while todo:
        target = todo.pop()
        while target.kind.name in ("ElementSelect", "RangeSelect", "MemberAccess"):
            target = target.value
        if target.kind.name in ("NamedValue", "HierarchicalValue"):
            yield key(getattr(target.symbol, "internalSymbol", None) or target.symbol)
        elif target.kind.name == "Concatenation":
            todo += target.operands


def _outer_reads(body: Any) -> list[Any]:
    """What the functions that a process calls read of others' variables, and the process does not set."""
    found: dict[tuple[str, int], Any] = {}
    written: set[tuple[str, int]] = set()
    seen: set[tuple[str, int]] = set()
    for node, is_called in _run(body, seen):
        written.update(_set_by(node))
        is_name = is_called and node.kind.name in ("NamedValue", "HierarchicalValue")
        if is_name and node.symbol.kind.name in ("Net", "Variable", "ModportPort"):
            symbol = getattr(node.symbol, "internalSymbol", None) or node.symbol
            if not any(symbol.hierarchicalPath.startswith(f"{path}.") for path, _ in seen):
                found[key(symbol)] = symbol
    return [symbol for own, symbol in found.items() if own not in written]


def _decimal(symbol: Any) -> str:
    digits = bits(symbol.value)
    return literal(digits) if not symbol.type.isSigned or digits.strip("01") else f"{len(digits)}'sb{digits}"
