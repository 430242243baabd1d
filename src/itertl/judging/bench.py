"""A testbench as a template: names that a design cannot guess, inputs that it cannot drive, a verdict that it cannot
print.

``prepare`` reads a problem's testbench once (slang), and ``Template.render`` draws names and nonce anew for each run:

- modules, instances, tasks and blocks of the testbench get random names, so that no path of a design leads to them and
  no module of a design replaces them;
- each input of the design is a net of its own that the testbench's signal drives through a one-way assignment:
  what a design does to its input ports does not reach the reference;
- a run ends at the first mismatch, where the testbench counts them;
- the nonce comes before the marker in the string by which the testbench announces its verdict, so that only lines of
  the testbench count.

Macros are expanded as Icarus would (``__ICARUS__`` is defined). What it does not: change what the testbench checks.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from itertl.errors import DataError
from itertl.tools import slang
from itertl.tools.slang import ParsedText, TextEdit

MISMATCHES = "Mismatches:"
_PLACE = re.compile("\x01(\\d+)\x02")
_NONCE = "\x010\x02"
_WATCH = (
    f' wire itertl_wrong = ({{errors}}) > 0; always @(posedge itertl_wrong) begin $display("{_NONCE}{MISMATCHES} '
    '%0d in %0d samples", {errors}, {samples}); $finish; end '
)
_SCOPES = ("InstanceName", "NamedBlockClause")


@dataclass(frozen=True, slots=True)
class Template:
    """A testbench with open places. ``names``: what its modules and instances are called in the original."""

    text: str  # \x01N\x02 is the place of name N, or of the nonce, which is number 0
    names: frozenset[str]
    top: int  # number of the name of its root module

    def render(self) -> "Rendered":
        """The testbench with fresh names and nonce (128 bits from the system's source)."""
        drawn = [secrets.token_hex(16), *(f"n{secrets.token_hex(8)}" for _ in self.names)]
        return Rendered(_PLACE.sub(lambda place: drawn[int(place[1])], self.text), drawn[self.top], drawn[0])


@dataclass(frozen=True, slots=True)
class Rendered:
    """One run's testbench."""

    text: str
    top: str
    nonce: str


def prepare(testbench: str, *, design: str, top: str, root: str = "tb", marker: str = MISMATCHES) -> Template:
    """Make the template of ``testbench``, which instantiates module ``top``, of which ``design`` is a right one.

    ``root`` is the testbench's root module, ``marker`` what its announcement of success holds. Raises DataError where
    the testbench cannot be read, has no such root, never instantiates ``top`` or never says ``marker``.
    """
    text = "\n".join(part for _, part in slang.members(slang.parse(testbench, macros=("__ICARUS__=1",)))) + "\n"
    unit = slang.parse(text)
    if unit.error:
        raise DataError(f"the testbench cannot be read: {unit.error}")
    if root not in unit.modules:
        raise DataError(f"the testbench has no module {root!r}; it has {', '.join(unit.modules)}")
    names = _names(unit, top)
    numbers = {name: number for number, name in enumerate(sorted(names), 1)}
    uses = (node for node in slang.nodes(unit.tree.root, "Identifier") if node.valueText in names)
    edits = [*_isolate(text, design, top), *_announcement(unit, marker)]
    edits += [(*slang.span(node), f"\x01{numbers[node.valueText]}\x02") for node in uses]
    return Template(slang.edited(text, edits), frozenset(names), numbers[root])


def _isolate(text: str, design: str, top: str) -> list[TextEdit]:
    """Give each integral input of each instance of ``top`` in ``text`` a net of its own.

    ``wire [W-1:0] iso = EXPRESSION;`` goes before the instance, and the port is connected to ``iso`` by name; W is the
    width of the port in ``design``. Other ports stay as they are, also connected by name. The testbench's own reference
    (instances of a module with the same ports) gets the same, so that both see every change at the same moment: some
    testbenches change inputs at the very edge at which they are sampled. Raises DataError where the testbench has no
    instance of ``top``.
    """
    unit = slang.parse(f"{text}\n{design}")
    length = len(text.encode())
    compilation, _ = slang.elaborate(unit, None)  # owns the symbols: it must outlive their use
    instances: dict[int, Any] = {}
    for node in slang.nodes(compilation.getRoot(), "Instance"):
        if node.syntax is not None and (start := slang.span(node.syntax)[0]) < length:
            instances.setdefault(start, node)
    ports = next((_ports(node) for node in instances.values() if node.definition.name == top), None)
    if ports is None:
        raise DataError(f"the testbench has no instance of {top!r}")
    twins = [node for node in instances.values() if node.definition.name == top or _ports(node) == ports]
    return [edit for number, node in enumerate(twins) for edit in _isolated(node, number)]


def _ports(instance: Any) -> set[tuple[str, str]]:
    return {(c.port.name, c.port.direction.name) for c in instance.portConnections}


def _isolated(instance: Any, number: int) -> list[TextEdit]:
    written = _connections(instance.syntax)
    wires: list[str] = []
    links: list[str] = []
    for position, connection in enumerate(instance.portConnections):
        port = connection.port
        expression = written.get(port.name, written.get(position, port.name if "*" in written else None))
        if expression is None:
            continue
        if port.direction.name == "In" and port.type.isIntegral and expression:
            wires.append(f"wire [{port.type.bitWidth - 1}:0] itertl_iso_{number}_{position} = {expression}; ")
            expression = f"itertl_iso_{number}_{position}"
        links.append(f".{port.name}({expression})")
    syntax = instance.syntax
    place = slang.span(syntax.parent)[0]
    inside = slang.span(syntax.openParen)[1], slang.span(syntax.closeParen)[0]
    return [(place, place, "".join(wires)), (*inside, ", ".join(links))]


def _connections(syntax: Any) -> dict[str | int, str]:
    """Port's name, or position, -> the text that it is connected to; ``*`` where a wildcard connects the rest."""
    found: dict[str | int, str] = {}
    nodes = [node for node in syntax.connections if hasattr(node.kind, "name") and node.kind.name != "Comma"]
    for position, node in enumerate(nodes):
        match node.kind.name:
            case "NamedPortConnection":
                name = node.name.valueText
                found[name] = name if not node.openParen else str(node.expr or "").strip()
            case "OrderedPortConnection":
                found[position] = str(node.expr).strip()
            case "WildcardPortConnection":
                found["*"] = ""
            case _:
                pass
    return found


def _announcement(unit: ParsedText, marker: str) -> list[TextEdit]:
    """Put the nonce before the marker in every string that holds it. Raises DataError where none does.

    A testbench that counts (``MISMATCHES``) also gets a process that ends the run at the first mismatch, with a verdict
    of its own: the design is wrong, and the rest of the run, which takes seconds for some problems, adds nothing.
    """
    found: list[TextEdit] = []
    watches: dict[int, str] = {}  # where a module ends -> the process for it
    for module in unit.items:
        for node in slang.nodes(module, "StringLiteral", "InvocationExpression"):
            if node.kind.name == "StringLiteral":
                before, has_marker, _ = node.rawText.partition(marker)
                at = slang.span(node)[0] + len(before.encode())
                found += [(at, at, _NONCE)] if has_marker else []
            elif marker == MISMATCHES and marker in str(node) and node.arguments is not None:
                given = [str(a).strip() for a in node.arguments.parameters if a.kind.name == "OrderedArgument"]
                if len(given) == 3:  # $display("Mismatches: %1d in %1d samples", …, …)
                    watches[slang.span(module.endmodule)[0]] = _WATCH.format(errors=given[1], samples=given[2])
    if not found:
        raise DataError(f"the testbench never prints its verdict: no string in it holds {marker!r}")
    return found + [(at, at, watch) for at, watch in watches.items()]


def _names(unit: ParsedText, top: str) -> set[str]:
    """Names of the scopes of the testbench that are safe to change: not a port's or member's name as well."""
    found = set(unit.modules)
    taken = {top}
    connections = ("NamedPortConnection", "NamedParamAssignment", "Declarator")
    for node in slang.nodes(unit.tree.root, *_SCOPES, *connections, "FunctionPrototype"):
        if node.kind.name != "FunctionPrototype":
            (found if node.kind.name in _SCOPES else taken).add(node.name.valueText)
        elif node.name.kind.name == "IdentifierName":
            found.add(node.name.identifier.valueText)
    return {name for name in found - taken if not name.startswith("\\")}
