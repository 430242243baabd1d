"""What a simulator does and a synthesizer ignores: designs whose netlist does not say how they simulate.

Delays, incomplete sensitivity lists, processes that nothing starts, functions that read more than their arguments,
variables that one clocked process sets at once and another reads at the same edge, nets with a resolution or a pull,
hierarchical names: in each a proof on the netlist may hold and the simulation differ. Not looked for: what only shows
as an X, which the proof models, and what Yosys refuses by itself.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from itertl.judging.harmless import ENDING
from itertl.scoring.equivalence import events
from itertl.scoring.processes import Netlist, Process, assignments, bare, read_netlist, reads
from itertl.tools import slang
from itertl.verilog import text as verilog_text

_TIMED = {
    "DelayControl": "a delay", "Delay3": "a delay", "OneStepDelay": "a delay", "CycleDelay": "a delay",
    "WaitStatement": "wait", "WaitForkStatement": "wait", "WaitOrderStatement": "wait",
    "EventTriggerStatement": "an event", "RepeatedEventControl": "repeated events",
    "ProceduralAssignStatement": "a procedural assign", "ProceduralDeassignStatement": "a procedural assign",
    "DisableStatement": "disable", "PullStrength": "a pull", "DriveStrength": "a drive strength",
    "SpecifyBlock": "a specify block", "UdpDeclaration": "a primitive of its own",
}  # fmt: skip
_UNKNOWN_DIGIT = re.compile(r"'.*[xXzZ?]")
_NETS = frozenset({
    "WAndKeyword", "WOrKeyword", "TriAndKeyword", "TriOrKeyword", "TriRegKeyword", "Tri0Keyword", "Tri1Keyword",
    "PullUpKeyword", "PullDownKeyword", "NmosKeyword", "PmosKeyword", "CmosKeyword", "RnmosKeyword", "RpmosKeyword",
    "RcmosKeyword", "Supply0Keyword", "Supply1Keyword",
})  # fmt: skip


@functools.lru_cache(maxsize=64)
def hazard(text: str, top: str) -> str:
    """Why a netlist of ``text`` (as the gate printed it) may differ from its simulation, or "" where nothing is found.

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
    for node in slang.nodes(root, *_TIMED, *_NETS, "SystemName"):
        kind = node.kind.name
        if kind in _TIMED:
            yield f"{_TIMED[kind]} ({' '.join(str(node).split())[:40]})"
        elif kind in _NETS:
            yield f"a net with a resolution, a pull or a strength ({node.rawText})"
        elif node.systemIdentifier.valueText in ENDING:
            yield f"what ends the run ({node.systemIdentifier.valueText})"


def _semantic(instance: Any) -> Iterator[str]:
    for node in slang.live_nodes(instance, "ProceduralBlock", "Subroutine", "HierarchicalValue"):
        match node.kind.name:
            case "ProceduralBlock":
                yield from _block(node)
            case "Subroutine":
                outer = {path for path in reads(node.body) if not path.startswith(f"{node.hierarchicalPath}.")}
                if outer:
                    yield f"{node.name} reads {min(outer)}, which is not an argument"
            case _:
                yield f"a name that leads into an instance ({node.symbol.hierarchicalPath})"
    netlist = read_netlist(instance)
    yield from (why for process in netlist.processes if (why := _start(process)))
    clocked = [process.body for process in netlist.processes if process.is_clocked]
    yield from _race(clocked, netlist)
    for body in clocked:
        hanging = {path: events.downstream([path], netlist) - {path} for path in _written(body, is_blocking=True)}
        for path in sorted(_set_then_read(body, set(), hanging)):
            yield f"{events.plain(path)} is set by = and then read through a wire in one run of a clocked process"
    yield from events.found(instance, netlist)


def _block(block: Any) -> Iterator[str]:
    """What is wrong with a procedural block as it is written."""
    kind, body = block.procedureKind.name, block.body
    is_timed = body.kind.name == "Timed"
    if slang.live_nodes(body.stmt if is_timed and kind not in ("Initial", "Final") else body, "Timed", "Wait"):
        yield "a process that waits inside"
    if kind == "Always" and is_timed and body.timing.kind.name == "ImplicitEvent" and not _needed(body.stmt):
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
    # a select of a signal misses the rest of it
    levels = [bare(event.expression) for event in process.events]
    return events.lacking(
        process, {level.symbol.hierarchicalPath for level in levels if level.kind.name == "NamedValue"}
    )


def _needed(body: Any) -> set[str]:
    """Signals from outside that a process without edges depends on."""
    symbols = [node.symbol for node in slang.live_nodes(body, "NamedValue")]
    lifetimes = {symbol.hierarchicalPath: getattr(symbol, "lifetime", None) for symbol in symbols}
    local = {path for path, lifetime in lifetimes.items() if getattr(lifetime, "name", "") == "Automatic"}
    return reads(body) - _written(body) - local


def _written(body: Any, *, is_blocking: bool = False) -> set[str]:
    """Signals that assignments in a statement set, or only those that ``=`` sets."""
    kept = [a for a in assignments(body) if not (is_blocking and a.isNonBlocking)]
    return set[str]().union(*(_targets(assignment.left) for assignment in kept))


def _targets(expression: Any) -> set[str]:
    """The signals that an assignment to this expression changes, without those that index it."""
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


def _race(bodies: list[Any], netlist: Netlist) -> Iterator[str]:
    """Variables that a clocked process sets by ``=`` and another clocked process reads, itself or through wires and
    ports."""
    for body in bodies:
        for path in sorted(_written(body, is_blocking=True)):
            hanging = events.downstream([path], netlist)
            if any(hanging & (reads(other) - _only_written(other)) for other in bodies if other is not body):
                yield f"{events.plain(path)} is set by = in one clocked process and read in another"


def _set_then_read(node: Any, done: set[str], hanging: Mapping[str, set[str]]) -> set[str]:
    """The variables that a statement's run sets by ``=`` before it reads what hangs on them: a wire may have followed
    by then or not. ``done``: those that may have been set before the statement; those that it sets are added."""

    def read(*parts: Any) -> set[str]:
        seen = set[str]().union(*(reads(part) for part in parts if part is not None))
        return {path for path in done if hanging.get(path, set[str]()) & seen}

    def branches(*parts: Any) -> set[str]:
        found, before = set[str](), set(done)
        for part in parts:
            own = set(before)
            found |= _set_then_read(part, own, hanging) if part is not None else set()
            done.update(own)
        return found

    match node.kind.name:
        case "Block":
            return _set_then_read(node.body, done, hanging)
        case "List":
            return set[str]().union(*(_set_then_read(part, done, hanging) for part in node.list))
        case "Conditional":
            return read(*(condition.expr for condition in node.conditions)) | branches(node.ifTrue, node.ifFalse)
        case "Case":
            asked = read(node.expr, *(label for item in node.items for label in item.expressions))
            return asked | branches(*(item.stmt for item in node.items), node.defaultCase)
        case "ForLoop" | "RepeatLoop" | "WhileLoop" | "ForeachLoop" | "DoWhileLoop" | "ForeverLoop":
            done |= _written(node.body, is_blocking=True)
            return read(node)
        case _:
            found = read(node)
            done |= _written(node, is_blocking=True)
            return found


def _only_written(body: Any) -> set[str]:
    """Signals that a statement only sets: no right side, condition, case, loop or index reads them."""
    readers = [assignment.right for assignment in assignments(body)]
    for node in slang.live_nodes(body, "Conditional", "Case", "ForLoop", "ElementSelect"):
        match node.kind.name:
            case "Conditional":
                readers += [condition.expr for condition in node.conditions]
            case "Case":
                readers.append(node.expr)
            case "ForLoop":
                readers += [node.stopExpr] if node.stopExpr is not None else []
            case _:
                readers.append(node.selector)
    return _written(body).difference(*map(reads, readers))
