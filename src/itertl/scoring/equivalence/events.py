"""What depends on the order of events within one instant, which a netlist lacks; each finding names its construct.

Variables read before they are set, static locals that keep a value, edges and latches behind logic, copies by ``<=`` of
what makes an edge, races through wires and ports, registers of two states, which make 0 of an X, comparisons with X.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from itertl.scoring.equivalence import flow
from itertl.scoring.equivalence.flow import Flow
from itertl.scoring.processes import Netlist, Process, literal_test, read_netlist, reads
from itertl.tools import slang

_X_TESTS = ("CaseEquality", "CaseInequality", "WildcardEquality", "WildcardInequality")
_X_CALLS = ("$isunknown", "$countbits", "$countones", "$onehot", "$onehot0")


def plain(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def found(instance: Any, netlist: Netlist) -> Iterator[str]:
    """Every such construct below an elaborated instance but comparisons with X."""
    yield from _subroutines(instance)
    runs = [(process, _followed(process)) for process in netlist.processes]
    clocked = [run for process, run in runs if process.is_clocked and run is not None]
    logic: list[Flow] = []
    for process, run in runs:
        if run is not None and not process.is_clocked:
            yield from _stale(process, run)
            logic.append(run)
        elif not process.is_clocked:
            yield "a process of too many steps"
    delayed = set[str]().union(*(run.delayed for run in logic))
    inputs = _inputs(instance)
    roots: set[str] = set()
    for process in netlist.processes:
        for event in process.events if process.is_clocked else ():
            yield from _edge(event.expression, netlist, inputs, delayed, roots)
    settled = inputs.union(*(run.written for run in clocked))
    yield from (why for run in logic if _holds(run) for why in _latch(run, netlist, settled))
    for path in sorted(delayed & downstream(roots, netlist)):
        yield f"{plain(path)}, a copy by <= of what makes an edge"
    kept = set[str]().union(*(run.delayed for run in clocked))
    for node in slang.live_nodes(instance, "Variable"):
        # its first value is 0 in a simulator and anything in a netlist
        if node.hierarchicalPath in kept and not node.type.isFourState:
            yield f"{node.name}, a register of two states"


def _followed(process: Process) -> Flow | None:
    try:
        return flow.follow(process.body)
    except flow.TooLong:
        return None


def lacking(process: Process, listed: set[str]) -> str:
    """What a list of levels lacks, or ""."""
    run = _followed(process)
    missing = sorted(path for path in run.unset if path not in listed) if run is not None else []
    return f"the sensitivity list lacks {plain(missing[0])}" if missing else ""


def _stale(process: Process, run: Flow) -> Iterator[str]:
    for path in sorted(run.stale):
        yield f"{plain(path)} is read before it is set in one run of a process"
    if not process.events:
        for path in sorted(run.delayed & run.unset.keys()):
            yield f"{plain(path)} is read in the process that sets it by <="


def _subroutines(instance: Any) -> Iterator[str]:
    """Static locals and results that keep what the last call left."""
    seen: dict[str, Any] = {}
    for node in slang.live_nodes(instance, "Subroutine", "Call"):
        routine: Any = node if node.kind.name == "Subroutine" else getattr(node, "subroutine", None)
        if getattr(getattr(routine, "kind", None), "name", "") == "Subroutine":
            seen.setdefault(routine.hierarchicalPath, routine)
    for routine in seen.values():
        if routine.defaultLifetime.name == "Static":
            yield from _kept(routine)


def _kept(routine: Any) -> Iterator[str]:
    given = {a.hierarchicalPath: flow.full(a) for a in routine.arguments if a.direction.name in ("In", "InOut", "Ref")}
    try:
        run = flow.follow(routine.body, given)
    except flow.TooLong:
        yield f"{routine.name} has too many steps"
        return
    own = f"{routine.hierarchicalPath}."
    for path in sorted(run.unset):
        if path.startswith(own) and path in run.written:
            yield f"the static local {plain(path)} of {routine.name} is read before it is set"
    results = [a for a in routine.arguments if a.direction.name == "Out"]
    for result in [*results, routine.returnValVar] if routine.returnValVar is not None else results:
        is_set = run.at_end.get(result.hierarchicalPath, 0) == flow.full(result)
        if not is_set and result.hierarchicalPath in run.written:
            yield f"{routine.name} keeps its last result where it sets none"


def _inputs(instance: Any) -> set[str]:
    ports = [port for port in instance.body.portList if getattr(port, "internalSymbol", None) is not None]
    return {port.internalSymbol.hierarchicalPath for port in ports if port.direction.name == "In"}


def _root(path: str, netlist: Netlist, ends: set[str]) -> tuple[str, set[str]] | None:
    """(the end that a signal is a copy of, all names on the way); None where logic lies between."""
    seen: set[str] = set()
    while path not in ends:
        drivers = netlist.drivers.get(path, [])
        if path in seen or len(drivers) != 1 or drivers[0].relation == "other":
            return None
        seen.add(path)
        [path] = drivers[0].sources
    return path, seen


def _edge(expression: Any, netlist: Netlist, inputs: set[str], delayed: set[str], roots: set[str]) -> Iterator[str]:
    test = literal_test(expression)
    root = _root(test[0], netlist, inputs) if test is not None else None
    if test is None or root is None:
        named = plain(test[0]) if test is not None else " ".join(str(expression.syntax).split())[:40]
        yield f"an edge of {named}, which logic makes"
    elif root[1] & delayed:
        yield f"an edge of {plain(test[0])}, a copy by <="
    else:
        roots.add(root[0])


def _holds(run: Flow) -> bool:
    """Whether the process is a latch: there is a way through it that leaves a bit as it was."""
    return any(
        bits & ~(run.at_end.get(path, 0) | run.at_end.get(flow.LATER + path, 0)) for path, bits in run.written.items()
    )


def _latch(run: Flow, netlist: Netlist, settled: set[str]) -> Iterator[str]:
    own = set(run.written)
    for path in sorted(run.unset.keys() - own):
        if netlist.drivers.get(path) and _root(path, netlist, settled) is None:
            yield f"a latch behind logic ({plain(path)})"


def late_data(text: str, top: str) -> str:
    """What logic sets by ``<=`` and a clocked process reads, or "": late where two clocks change in one instant."""
    compilation, error = slang.elaborate(slang.parse(text), top)
    if error:
        return ""
    netlist = read_netlist(compilation.getRoot().topInstances[0])
    runs = [run for process in netlist.processes if not process.is_clocked and (run := _followed(process)) is not None]
    read = set[str]().union(*(reads(process.body) for process in netlist.processes if process.is_clocked))
    late = sorted(path for run in runs for path in run.delayed if downstream([path], netlist) & read)
    return f"{plain(late[0])} is set by <= outside an edge and read at one, beside several clocks" if late else ""


def downstream(paths: Iterable[str], netlist: Netlist) -> set[str]:
    """These signals and all that depend on them through logic, wires and ports."""
    reached = set(paths)
    drivers = netlist.drivers.items()
    while more := {path for path, own in drivers if path not in reached and any(d.sources & reached for d in own)}:
        reached |= more
    return reached


def x_test(text: str, top: str) -> str:
    """What distinguishes X from 0 and 1, or makes 0 of it, on more than inputs (``===``, ``casex``, types …), or ""."""
    compilation, error = slang.elaborate(slang.parse(text), top)
    if error:
        return ""
    instance = compilation.getRoot().topInstances[0]
    netlist, inputs = read_netlist(instance), _inputs(instance)
    tests = filter(_is_x_test, slang.live_nodes(instance, "BinaryOp", "Inside", "Call", "Case"))
    seen = (path for node in tests for path in sorted(reads(node)) if _root(path, netlist, inputs) is None)
    path = next(seen, None)
    return f"a comparison with X ({plain(path)})" if path is not None else _swallows_x(instance)


def _is_x_test(node: Any) -> bool:
    match node.kind.name:
        case "BinaryOp":
            return node.op.name in _X_TESTS
        case "Call":
            return str(getattr(node, "subroutineName", "")) in _X_CALLS
        case "Case":
            return node.condition.name == "WildcardXOrZ"
        case _:
            return True


def _swallows_x(instance: Any) -> str:
    """A variable, port or cast of a type without X, which makes 0 of an X; loop variables aside."""
    counted = {
        variable.hierarchicalPath for loop in slang.live_nodes(instance, "ForLoop") for variable in loop.loopVars
    }
    for node in slang.live_nodes(instance, "Variable", "FormalArgument", "Net", "Conversion"):
        if not node.type.isIntegral or node.type.isFourState:
            continue
        if node.kind.name != "Conversion":
            if node.hierarchicalPath not in counted:
                return f"{node.name}, of a type without X"
        elif node.operand.type.isFourState and reads(node.operand) - counted:
            return "a cast to a type without X"
    return ""
