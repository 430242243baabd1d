"""What hangs on the order of events within one instant, of which a netlist knows nothing; each finding names its
construct.

Variables read before they are set, static locals that keep a value, edges and latches behind logic, copies by ``<=`` of
what makes an edge, races through wires and ports, registers of two states, which swallow an X, comparisons with X,
parameters that a proof at their defaults says nothing of.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from itertl.scoring.equivalence import flow
from itertl.scoring.equivalence.flow import Flow
from itertl.scoring.interface import Interface
from itertl.scoring.processes import Netlist, Process, literal_test, read_netlist, reads
from itertl.tools import slang
from itertl.tools.slang import walk

_X_TESTS = ("CaseEquality", "CaseInequality", "WildcardEquality", "WildcardInequality")
_X_CALLS = ("$isunknown", "$countbits", "$countones", "$onehot", "$onehot0")


def plain(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def found(instance: Any, netlist: Netlist) -> Iterator[str]:
    """Every such construct below an elaborated instance but comparisons with X and parameters."""
    yield from _subroutines(instance)
    logic = [(process, _followed(process)) for process in netlist.processes if not process.is_clocked]
    for process, run in logic:
        if run is None:
            yield "a process of too many steps"
        else:
            yield from _stale(process, run)
    delayed = {path for _, run in logic if run is not None for path in run.delayed}
    inputs = _inputs(instance)
    roots: set[str] = set()
    for process in netlist.processes:
        for event in process.events if process.is_clocked else ():
            yield from _edge(event.expression, netlist, inputs, delayed, roots)
    settled = inputs | {path for process in netlist.processes if process.is_clocked for path in _set_in(process)}
    for _, run in logic:
        if run is not None and _holds(run):
            yield from _latch(run, netlist, settled)
    yield from _late_copies(netlist, delayed, roots)
    yield from _two_states(instance, netlist)


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

    def look(node: Any) -> None:
        if node.kind.name == "Subroutine":
            seen.setdefault(node.hierarchicalPath, node)
        elif node.kind.name == "Call":
            called: Any = getattr(node, "subroutine", None)
            if called is not None and getattr(getattr(called, "kind", None), "name", "") == "Subroutine":
                seen.setdefault(called.hierarchicalPath, called)

    walk(instance, look)
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
    if routine.returnValVar is not None:
        results.append(routine.returnValVar)
    for result in results:
        is_set = run.at_end.get(result.hierarchicalPath, 0) == flow.full(result)
        if not is_set and result.hierarchicalPath in run.written:
            yield f"{routine.name} keeps its last result where it sets none"


def _inputs(instance: Any) -> set[str]:
    ports = [port for port in instance.body.portList if getattr(port, "internalSymbol", None) is not None]
    return {port.internalSymbol.hierarchicalPath for port in ports if port.direction.name == "In"}


def _root(path: str, netlist: Netlist, ends: set[str]) -> tuple[str, set[str]] | None:
    """(the end that a signal is a copy of, all names on the way); None where logic stands between."""
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


def _set_in(process: Process) -> set[str]:
    run = _followed(process)
    return set(run.written) if run is not None else set()


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


def _upstream(path: str, netlist: Netlist) -> set[str]:
    seen: set[str] = set()
    todo = [path]
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo.extend(source for driver in netlist.drivers.get(here, []) for source in driver.sources)
    return seen


def _late_copies(netlist: Netlist, delayed: set[str], roots: set[str]) -> Iterator[str]:
    """Data of a register that comes by ``<=`` from what makes edges itself."""
    for path in sorted(delayed):
        if _upstream(path, netlist) & roots:
            yield f"{plain(path)}, a copy by <= of what makes an edge"


def _two_states(instance: Any, netlist: Netlist) -> Iterator[str]:
    """Registers of a type without X, whose first value is 0 in a simulator and anything in a netlist."""
    kept = {
        path
        for process in netlist.processes
        if process.is_clocked and (run := _followed(process))
        for path in run.delayed
    }
    found: list[str] = []

    def look(node: Any) -> None:
        if node.kind.name == "Variable" and node.hierarchicalPath in kept and not node.type.isFourState:
            found.append(f"{node.name}, a register of two states")

    walk(instance, look)
    yield from found


def late_data(text: str, top: str) -> str:
    """What logic sets by ``<=`` and a clocked process reads, or "": one step late where two clocks move in one
    instant."""
    compilation, error = slang.elaborate(slang.parse(text), top)
    if error:
        return ""
    netlist = read_netlist(compilation.getRoot().topInstances[0])
    runs = [run for process in netlist.processes if not process.is_clocked and (run := _followed(process)) is not None]
    read = set[str]().union(*(reads(process.body) for process in netlist.processes if process.is_clocked))
    late = sorted(path for run in runs for path in run.delayed if downstream([path], netlist) & read)
    return f"{plain(late[0])} is set by <= outside an edge and read at one, beside several clocks" if late else ""


def downstream(paths: Iterable[str], netlist: Netlist) -> set[str]:
    """These signals and all that hang on them through logic, wires and ports."""
    reached = set(paths)
    grown = True
    while grown:
        more = {
            t
            for t, drivers in netlist.drivers.items()
            if t not in reached and any(d.sources & reached for d in drivers)
        }
        reached |= more
        grown = bool(more)
    return reached


def x_test(text: str, top: str) -> str:
    """What tells X from 0 and 1, or makes a 0 of it, on more than inputs, or "": comparisons, ``casex``, variables and
    casts of two states."""
    compilation, error = slang.elaborate(slang.parse(text), top)
    if error:
        return ""
    instance = compilation.getRoot().topInstances[0]
    netlist, inputs, seen = read_netlist(instance), _inputs(instance), list[str]()

    def look(node: Any) -> None:
        kind = node.kind.name
        is_test = (kind == "BinaryOp" and node.op.name in _X_TESTS) or kind == "Inside"
        is_test = is_test or (kind == "Call" and str(getattr(node, "subroutineName", "")) in _X_CALLS)
        if is_test or (kind == "Case" and node.condition.name == "WildcardXOrZ"):
            seen.extend(plain(path) for path in sorted(reads(node)) if _root(path, netlist, inputs) is None)

    walk(instance, look)
    return f"a comparison with X ({seen[0]})" if seen else _swallows_x(instance)


def _swallows_x(instance: Any) -> str:
    """A variable, a port or a cast of a type without X, other than one that a loop declares: an X that comes to it is 0
    from there on."""
    found: list[str] = []
    counted: set[str] = set()

    def loops(node: Any) -> None:
        if node.kind.name == "ForLoop":
            counted.update(variable.hierarchicalPath for variable in node.loopVars)

    def look(node: Any) -> None:
        kind = node.kind.name
        if (
            kind in ("Variable", "FormalArgument", "Net")
            and node.type.isIntegral
            and not node.type.isFourState
            and node.hierarchicalPath not in counted
        ):
            found.append(f"{node.name}, of a type without X")
        elif (
            kind == "Conversion"
            and node.type.isIntegral
            and not node.type.isFourState
            and node.operand.type.isFourState
            and reads(node.operand) - counted
        ):
            found.append("a cast to a type without X")

    walk(instance, loops)
    walk(instance, look)
    return found[0] if found else ""


def parameters(wanted: Interface) -> str:
    """A parameter that a user of the reference would set: a proof at its default tells nothing of its other values, or
    ""."""
    return (
        f"parameter {wanted.tunable[0]} of the reference may be set, and a proof speaks of one value"
        if wanted.tunable
        else ""
    )
