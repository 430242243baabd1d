"""Edits of a process as a whole: its clock, its reset, its sensitivity list.

A reset is known by its use, not by its name: the condition of the first ``if`` of a clocked process, where it is one
signal (plain, inverted or compared with a literal) and what it governs assigns nothing but literals and parameters;
or a second edge in the list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from itertl.synth.edit import Edit, other_values, parts, span, written

_LITERALS = ("IntegerLiteralExpression", "IntegerVectorExpression", "UnbasedUnsizedLiteralExpression")
_INVERSIONS = ("UnaryLogicalNotExpression", "UnaryBitwiseNotExpression")
_WRAPPED = {"ParenthesizedEventExpression": "expr", "ParenthesizedExpression": "expression"}


@dataclass(frozen=True, slots=True)
class _Reset:
    """The ``if`` that resets: its signal, whether it resets at 1, its condition, the statement that it governs."""

    name: str
    is_active_high: bool
    condition: Any
    statement: Any


def edits(process: Any, source: bytes) -> Iterator[Edit]:
    """Edits of classes edges, resets and sensitivity of one ``always``."""
    timed = process.statement
    if timed.kind.name != "TimingControlStatement":
        return
    control = timed.timingControl
    if control.kind.name == "ImplicitEventControl":
        yield from _shorter_list(control, timed.statement, source)
    elif control.kind.name == "EventControlWithExpression":
        events = _events(control.expr)
        clocked = [event for event in events if event.edge.rawText]
        if clocked:
            yield from _clocked(control, events, clocked, timed.statement, source)
        else:
            yield from _without_one(control, [written(event, source) for event in events])


def _unwrapped(node: Any) -> Any:
    while node.kind.name in _WRAPPED:
        node = getattr(node, _WRAPPED[node.kind.name])
    return node


def _events(expression: Any) -> list[Any]:
    """The signals of an event expression, in order."""
    found: list[Any] = []
    todo = [expression]
    while todo:
        node = _unwrapped(todo.pop())
        if node.kind.name == "BinaryEventExpression":
            todo += [node.right, node.left]
        elif node.kind.name == "SignalEventExpression":
            found.append(node)
    return found


def _clocked(control: Any, events: list[Any], clocked: list[Any], statement: Any, source: bytes) -> Iterator[Edit]:
    reset = _reset(statement, source)
    for event in clocked:
        is_reset = reset is not None and written(event.expr, source) == reset.name and len(clocked) > 1
        other = "negedge" if event.edge.rawText == "posedge" else "posedge"
        yield Edit("resets" if is_reset else "edges", *span(event.edge), other)
        if is_reset:
            left = [written(one, source) for one in events if one is not event]
            yield Edit("resets", *span(control), f"@({' or '.join(left)})")
    if reset is None:
        return
    yield Edit("resets", *span(reset.condition), f"!({written(reset.condition, source)})")
    if not any(written(event.expr, source) == reset.name for event in events):
        edge = "posedge" if reset.is_active_high else "negedge"
        listed = " or ".join(written(event, source) for event in events)
        yield Edit("resets", *span(control), f"@({listed} or {edge} {reset.name})")
    yield from _values(reset.statement, source)


def _reset(statement: Any, source: bytes) -> _Reset | None:
    """What the process's first ``if`` says, where it is a reset."""
    first = statement
    while first.kind.name == "SequentialBlockStatement":
        inside = [one for one in parts(first.items) if one.kind.name.endswith("Statement")]
        if not inside:
            return None
        first = inside[0]
    if first.kind.name != "ConditionalStatement" or len(parts(first.predicate.conditions)) != 1:
        return None
    condition = _unwrapped(parts(first.predicate.conditions)[0].expr)
    is_high = True
    while condition.kind.name in _INVERSIONS:
        condition, is_high = _unwrapped(condition.operand), not is_high
    if condition.kind.name in ("EqualityExpression", "InequalityExpression") and condition.right.kind.name in _LITERALS:
        equal = condition.kind.name == "EqualityExpression"
        is_high = is_high == (equal == written(condition.right, source).rstrip().endswith("1"))
        condition = _unwrapped(condition.left)
    if condition.kind.name != "IdentifierName" or not all(_is_constant(a.right) for a in _assignments(first.statement)):
        return None
    return _Reset(written(condition, source), is_high, first.predicate, first.statement)


def _is_constant(expression: Any) -> bool:
    """A literal, a name (of a parameter, as far as can be seen here), or a concatenation of such."""
    todo = [expression]
    while todo:
        node = _unwrapped(todo.pop())
        kind = node.kind.name
        if kind == "ConcatenationExpression":
            todo += parts(node.expressions)
        elif kind == "MultipleConcatenationExpression":
            todo.append(node.concatenation)
        elif kind not in (*_LITERALS, "IdentifierName"):
            return False
    return True


def _assignments(statement: Any) -> list[Any]:
    """The assignments in a statement, in order."""
    found: list[Any] = []

    def look(node: Any) -> None:
        if node.kind.name in ("AssignmentExpression", "NonblockingAssignmentExpression"):
            found.append(node)

    statement.visit(look)
    return found


def _values(statement: Any, source: bytes) -> Iterator[Edit]:
    """Each literal that a reset assigns, with its lowest bit turned."""
    for assignment in _assignments(statement):
        right = _unwrapped(assignment.right)
        if right.kind.name == "UnbasedUnsizedLiteralExpression":
            yield Edit("resets", *span(right), "'1" if written(right, source) == "'0" else "'0")
        elif right.kind.name in _LITERALS:
            yield from (Edit("resets", *span(right), text) for text in other_values(written(right, source))[:1])


def _shorter_list(control: Any, statement: Any, source: bytes) -> Iterator[Edit]:
    """``@*`` as a list that lacks the first or the last of the names that the process reads and does not write."""
    names: dict[str, None] = {}
    targets: set[str] = set()

    def look(node: Any) -> None:
        kind = node.kind.name
        if kind in ("IdentifierName", "IdentifierSelectName"):
            names[node.identifier.valueText] = None
        elif kind.endswith("AssignmentExpression") and hasattr(node.left, "identifier"):
            targets.add(node.left.identifier.valueText)

    statement.visit(look)
    yield from _without_one(control, [name for name in names if name not in targets])


def _without_one(control: Any, names: list[str]) -> Iterator[Edit]:
    if len(names) > 1:
        yield Edit("sensitivity", *span(control), f"@({' or '.join(names[1:])})")
        yield Edit("sensitivity", *span(control), f"@({' or '.join(names[:-1])})")
