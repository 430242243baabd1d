"""What a simulator does and a synthesizer leaves out: designs of which a netlist says nothing reliable are named here.

Delays, lists of sensitivity that lack a signal, processes that nothing starts, functions that read more than their
arguments, variables that one clocked process sets at once and another reads at the same edge, nets with a resolution or
a pull, names that lead into an instance: in each a proof on the netlist may hold and the simulation differ. What it
does not look for: what only shows as an X, which the proof models, and what Yosys refuses by itself.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from itertl.judging.harmless import ENDING
from itertl.scoring.equivalence import events
from itertl.scoring.processes import Event, Netlist, Process, assignments, bare, read_netlist, reads
from itertl.tools import slang
from itertl.tools.slang import walk
from itertl.verilog import text as verilog_text

_TIMED = {
    "DelayControl": "a delay", "Delay3": "a delay", "OneStepDelay": "a delay", "CycleDelay": "a delay",
    "WaitStatement": "wait", "WaitForkStatement": "wait", "WaitOrderStatement": "wait",
    "EventTriggerStatement": "an event",
    "RepeatedEventControl": "repeated events", "ProceduralAssignStatement": "a procedural assign",
    "ProceduralDeassignStatement": "a procedural assign", "DisableStatement": "disable", "PullStrength": "a pull",
    "DriveStrength": "a drive strength", "SpecifyBlock": "a specify block", "UdpDeclaration": "a primitive of its own",
}  # fmt: skip
_UNKNOWN_DIGIT = re.compile(r"'.*[xXzZ?]")
_NETS = frozenset({
    "WAndKeyword", "WOrKeyword", "TriAndKeyword", "TriOrKeyword", "TriRegKeyword", "Tri0Keyword", "Tri1Keyword",
    "PullUpKeyword", "PullDownKeyword", "NmosKeyword", "PmosKeyword", "CmosKeyword", "RnmosKeyword", "RpmosKeyword",
    "RcmosKeyword", "Supply0Keyword", "Supply1Keyword",
})  # fmt: skip


@functools.lru_cache(maxsize=64)
def hazard(text: str, top: str) -> str:
    """Why a netlist of ``text`` (as the gate printed it) may differ from its simulation, or "" where nothing tells so.

    Example: ``"the sensitivity list lacks b"``. Runs slang in this process. Raises ToolMissing.
    """
    unit = slang.parse(text)
    found = next(_syntactic(unit.tree.root), "")
    if found:
        return found
    compilation, error = slang.elaborate(unit, top)  # owns the symbols: it must outlive their use
    if error:
        return f"does not elaborate: {error}"
    return next(_semantic(compilation.getRoot().topInstances[0]), "")


def has_unknown_literal(text: str) -> bool:
    """Whether a number in the text has a digit x, z or ?."""
    numbers = (token.text for token in verilog_text.tokenize(text) if token.kind == "number")
    return any(_UNKNOWN_DIGIT.search(number) for number in numbers)


def _syntactic(root: Any) -> Iterator[str]:
    found: list[str] = []

    def look(node: Any) -> None:
        kind = node.kind.name
        if kind in _TIMED:
            found.append(f"{_TIMED[kind]} ({' '.join(str(node).split())[:40]})")
        elif kind in _NETS:
            found.append(f"a net with a resolution, a pull or a strength ({node.rawText})")
        elif kind == "SystemName" and node.systemIdentifier.valueText in ENDING:
            found.append(f"what ends the run ({node.systemIdentifier.valueText})")

    root.visit(look)
    return iter(found)


def _semantic(instance: Any) -> Iterator[str]:
    found: list[str] = []

    def look(node: Any) -> None:
        kind = node.kind.name
        if kind == "ProceduralBlock":
            found.extend(_block(node))
        elif kind == "Subroutine":
            outer = {path for path in reads(node.body) if not path.startswith(f"{node.hierarchicalPath}.")}
            found.extend(f"{node.name} reads {path}, which is no argument" for path in sorted(outer)[:1])
        elif kind == "HierarchicalValue":
            found.append(f"a name that leads into an instance ({node.symbol.hierarchicalPath})")

    walk(instance, look)
    yield from found
    netlist = read_netlist(instance)
    yield from (why for process in netlist.processes if (why := _start(process)))
    yield from _race([process.body for process in netlist.processes if process.is_clocked], netlist)
    yield from events.found(instance, netlist)


def _block(block: Any) -> Iterator[str]:
    """What is wrong with a procedural block as it stands."""
    kind, body = block.procedureKind.name, block.body
    is_initial = kind in ("Initial", "Final")
    if _is_timed(body.stmt if body.kind.name == "Timed" and not is_initial else body):
        yield "a process that waits inside"
    is_implicit = body.kind.name == "Timed" and body.timing.kind.name == "ImplicitEvent"
    if kind == "Always" and is_implicit and not _needed(body.stmt):
        yield "a process without inputs, which never starts"


def _start(process: Process) -> str:
    """What is wrong with the list of sensitivity of a process, or ""."""
    edges = [event for event in process.events if event.edge]
    if edges and len(edges) < len(process.events):
        return "a list of sensitivity with edges and levels"
    if edges:
        return "a process at both edges of a signal" if any(event.edge == "both" for event in edges) else ""
    if not process.events:
        return ""
    return events.lacking(process, _listed(process.events))


def _listed(events: Iterable[Event]) -> set[str]:
    """Signals that a list of levels names whole: a select of one misses the rest of it."""
    named = [bare(event.expression) for event in events]
    return {expression.symbol.hierarchicalPath for expression in named if expression.kind.name == "NamedValue"}


def _needed(body: Any) -> set[str]:
    """Signals from outside that a process without edges depends on."""
    local: set[str] = set()

    def look(node: Any) -> None:
        if (
            node.kind.name == "NamedValue"
            and getattr(getattr(node.symbol, "lifetime", None), "name", "") == "Automatic"
        ):
            local.add(node.symbol.hierarchicalPath)

    walk(body, look)
    return reads(body) - _written(body) - local


def _written(body: Any, *, is_blocking: bool = False) -> set[str]:
    """Signals that assignments in a statement set, or only those that ``=`` sets."""
    kept = [a for a in assignments(body) if not (is_blocking and a.isNonBlocking)]
    return set[str]().union(*(_targets(assignment.left) for assignment in kept))


def _targets(expression: Any) -> set[str]:
    """The signals that an assignment to this expression changes; those that only select a part of one are none
    of them."""
    expression = bare(expression)
    match expression.kind.name:
        case "NamedValue":
            return {expression.symbol.hierarchicalPath}
        case "Concatenation":
            return set[str]().union(*(_targets(part) for part in expression.operands))
        case "ElementSelect" | "RangeSelect" | "MemberAccess":
            return _targets(expression.value)
        case _:
            return set()


def _is_timed(statement: Any) -> bool:
    found: list[str] = []

    def look(node: Any) -> None:
        if node.kind.name in ("Timed", "Wait"):
            found.append(node.kind.name)

    walk(statement, look)
    return bool(found)


def _race(bodies: list[Any], netlist: Netlist) -> Iterator[str]:
    """Variables that a clocked process sets by ``=`` and another clocked process reads, itself or through wires and
    ports."""
    for body in bodies:
        for path in sorted(_written(body, is_blocking=True)):
            hanging = events.downstream([path], netlist)
            if any(hanging & (reads(other) - _only_written(other)) for other in bodies if other is not body):
                yield f"{path.rsplit('.', 1)[-1]} is set by = in one clocked process and read in another"


def _only_written(body: Any) -> set[str]:
    """Signals that stand in a statement only to be set."""
    right: set[str] = set()
    for assignment in assignments(body):
        right |= reads(assignment.right)
    return set() if not assignments(body) else _written(body) - right - _tested(body)


def _tested(body: Any) -> set[str]:
    """Signals that conditions, cases and loops of a statement read."""
    found: set[str] = set()

    def look(node: Any) -> None:
        match node.kind.name:
            case "Conditional":
                for condition in node.conditions:
                    found.update(reads(condition.expr))
            case "Case":
                found.update(reads(node.expr))
            case "ForLoop" if node.stopExpr is not None:
                found.update(reads(node.stopExpr))
            case "ElementSelect":
                found.update(reads(node.selector))
            case _:
                pass

    walk(body, look)
    return found
