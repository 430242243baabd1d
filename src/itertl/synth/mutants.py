"""One-point mutants of any design, by class: what a good test of function has to notice.

Each mutant changes one place of the text, found in slang's syntax tree, so that any code style will do. Macros are not
looked into: hand over expanded text (``judging.gate`` prints it) to reach what they hold. The step of a ``for`` stays:
another one mostly gives an endless loop, which does not test a testbench. A mutant need not compile, and may do the
same as the original; ports keep their names, directions and widths.

| class | what is changed |
|---|---|
| operators | + - * / % & \\| ^ && \\|\\| == != < <= > >= << >> >>>, reductions, ~ ! - before an operand |
| constants | a literal's value: one more, its lowest or its highest bit turned; ``'0`` and ``'1`` |
| edges | posedge and negedge of a clock |
| resets | edge or level turned, asynchronous to synchronous and back, one reset value |
| widths | a declared range that is not a port's, the size of a literal |
| assignments | blocking to nonblocking and back |
| branches | arms of if/else and ?:, bodies of neighbouring case items; an if turned round |
| statements | an assignment, an else, a default, a continuous assignment dropped |
| sensitivity | one name left out of a list of levels, or of what ``@*`` stands for |
| selects | index or an end of a range one off |
| signedness | ``signed`` added or dropped, ``$signed`` and ``$unsigned`` exchanged |
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

from itertl.synth import clocked_edits
from itertl.synth.edit import Edit, other_values, parts, span, written
from itertl.tools import slang

CLASSES = (
    "operators", "constants", "edges", "resets", "widths", "assignments", "branches", "statements", "sensitivity",
    "selects", "signedness",
)  # fmt: skip
_BINARY = {
    "+": "-", "-": "+", "*": "+", "/": "%", "%": "/", "&": "|", "|": "&", "^": "|", "~^": "^", "^~": "^", "&&": "||",
    "||": "&&", "==": "!=", "!=": "==", "===": "!==", "!==": "===", "<<": ">>", ">>": "<<", "<<<": ">>>", ">>>": ">>",
}  # fmt: skip
_ORDER = {"<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<=")}
_UNARY = {"&": "|", "|": "&", "^": "~^", "~&": "&", "~|": "|", "~^": "^", "^~": "^", "~": "", "!": "", "-": ""}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed design. Example: ``Mutant("operators", 3, "a & b", "a | b", "module m(…")``."""

    kind: str  # one of CLASSES
    line: int  # where the change begins, from 1
    was: str
    now: str
    text: str  # the whole design


def one_point_mutants(text: str) -> Iterator[Mutant]:
    """All one-point mutants, each text once, in the order of their places; none equal to ``text``. Raises ToolMissing.

    A text that slang cannot parse has none. slang runs in this process: hand over text that is known to be harmless.
    """
    unit = slang.parse(text)
    if unit.error:
        return
    source, seen = text.encode("utf-8", "replace"), {text}
    for edit in sorted(
        _edits(unit.tree.root, source), key=lambda e: (e.start, e.end, e.kind != "resets", e.kind, e.text)
    ):
        was = source[edit.start : edit.end].decode("utf-8", "replace")
        changed = (source[: edit.start] + edit.text.encode() + source[edit.end :]).decode("utf-8", "replace")
        if changed not in seen:
            seen.add(changed)
            yield Mutant(edit.kind, source.count(b"\n", 0, edit.start) + 1, was, edit.text, changed)


def mutants(text: str, rng: random.Random, classes: Sequence[str] = CLASSES) -> Iterator[Mutant]:
    """The mutants of ``one_point_mutants`` in an order drawn from ``rng``: one of each of ``classes``, then again.

    Within a class the order is random; the classes take turns in the order given. Raises ToolMissing.
    """
    by_class: dict[str, list[Mutant]] = {kind: [] for kind in classes}
    for mutant in one_point_mutants(text):
        if mutant.kind in by_class:
            by_class[mutant.kind].append(mutant)
    for found in by_class.values():
        rng.shuffle(found)
    for turn in zip_longest(*by_class.values()):
        yield from (mutant for mutant in turn if mutant is not None)


def _edits(root: Any, source: bytes) -> list[Edit]:
    """Every edit of the tree; a reset's value and what stands in a range are not counted as constants too."""
    found: list[Edit] = []
    claimed: set[tuple[int, int]] = set()
    steps: list[tuple[int, int]] = []
    token = slang.library().parsing.Token
    later: list[Any] = []

    def look(node: Any) -> None:
        if isinstance(node, token):
            return
        kind = node.kind.name
        if kind in _ALWAYS:
            edits = list(clocked_edits.edits(node, source))
            claimed.update((edit.start, edit.end) for edit in edits)
            found.extend(edits)
        elif kind in ("IntegerLiteralExpression", "IntegerVectorExpression", "UnbasedUnsizedLiteralExpression"):
            later.append(node)
        elif kind == "ForLoopStatement":
            steps.extend(span(step) for step in parts(node.steps))
        elif kind in _PLAIN:
            found.extend(_PLAIN[kind](node, source))
        elif kind.endswith("Expression") and hasattr(node, "operatorToken"):
            found.extend(_operator(node, kind, source))

    root.visit(look)
    for node in later:
        if span(node) not in claimed and not _is_position(node):
            found.extend(_constant(node, source))
        if node.kind.name == "IntegerVectorExpression":
            found.extend(_literal_size(node, source))
    length = len(source)
    return [
        edit
        for edit in found
        if 0 <= edit.start <= edit.end <= length and not any(a <= edit.start and edit.end <= b for a, b in steps)
    ]


def _operator(node: Any, kind: str, source: bytes) -> Iterator[Edit]:
    start, end = span(node.operatorToken)
    sign = source[start:end].decode("utf-8", "replace")
    if kind.endswith("AssignmentExpression"):
        if kind in _ASSIGNED and node.parent.kind.name == "ExpressionStatement":
            yield Edit("assignments", start, end, _ASSIGNED[kind])
    elif hasattr(node, "operand"):
        if sign in _UNARY and kind.startswith("Unary"):
            yield Edit("operators", start, end, _UNARY[sign] + (" " if not _UNARY[sign] else ""))
    elif sign in _BINARY:
        yield Edit("operators", start, end, _BINARY[sign])
        if sign == "^":
            yield Edit("operators", start, end, "~^")
    elif sign in _ORDER:
        for other in _ORDER[sign]:
            yield Edit("operators", start, end, other)


_ASSIGNED = {"AssignmentExpression": "<=", "NonblockingAssignmentExpression": "="}


def _constant(node: Any, source: bytes) -> Iterator[Edit]:
    """Other values of a literal, within its own number of digits and bits; literals with x or z digits stay."""
    start, end = span(node)
    if node.kind.name == "UnbasedUnsizedLiteralExpression":
        other = {b"'0": "'1", b"'1": "'0"}.get(source[start:end])
        if other:
            yield Edit("constants", start, end, other)
        return
    for text in other_values(source[start:end].decode("utf-8", "replace")):
        yield Edit("constants", start, end, text)


def _literal_size(node: Any, source: bytes) -> Iterator[Edit]:
    size = getattr(node, "size", None)
    if size is None or not size.rawText:
        return
    start, end = span(size)
    number = source[start:end].decode("utf-8", "replace").replace("_", "")
    if number.isdigit() and int(number) > 1:
        yield Edit("widths", start, end, str(int(number) - 1))


def _is_position(node: Any) -> bool:
    """Whether it stands in a range or an index, which have classes of their own."""
    return any(kind == "VariableDimension" or kind.endswith("Select") for kind in _ancestors(node))


def _ancestors(node: Any) -> Iterator[str]:
    """Kinds of what holds a node, up to its statement or item."""
    while (node := node.parent) is not None and not node.kind.name.endswith(("Statement", "Assign", "Block")):
        yield node.kind.name


def _declared_range(node: Any, source: bytes) -> Iterator[Edit]:
    """One bit more and one less of a range that is not a port's."""
    select = getattr(getattr(node, "specifier", None), "selector", None)
    if select is not None and select.kind.name == "SimpleRangeSelect" and _PORTS.isdisjoint(_ancestors(node)):
        yield from _one_off("widths", select.left, source)


_PORTS = frozenset({"ImplicitAnsiPort", "PortDeclaration", "ExplicitAnsiPort"})


def _one_off(kind: str, node: Any, source: bytes) -> Iterator[Edit]:
    """An expression that is one more, and one less."""
    expression = written(node, source)
    for step in (1, -1):
        is_number = expression.isdigit() and int(expression) + step >= 0
        yield Edit(kind, *span(node), str(int(expression) + step) if is_number else f"({expression}){step:+}")


def _bit_select(node: Any, source: bytes) -> Iterator[Edit]:
    yield from _one_off("selects", node.expr, source)


def _range_select(node: Any, source: bytes) -> Iterator[Edit]:
    """Ends of a part select; those of declarations are widths."""
    if node.parent is None or node.parent.kind.name == "RangeDimensionSpecifier":
        return
    yield from _one_off("selects", node.left, source)
    if node.kind.name == "SimpleRangeSelect":
        yield from _one_off("selects", node.right, source)


def _conditional(node: Any, source: bytes) -> Iterator[Edit]:
    left, right = written(node.left, source), written(node.right, source)
    yield Edit("branches", span(node.left)[0], span(node.right)[1], f"({right}) : ({left})")


def _if(node: Any, source: bytes) -> Iterator[Edit]:
    start, end = span(node.predicate)
    yield Edit("branches", start, end, f"!({written(node.predicate, source)})")
    if node.elseClause is not None:
        yield Edit("statements", *span(node.elseClause), "")


def _case(node: Any, source: bytes) -> Iterator[Edit]:
    items = [item for item in parts(node.items) if item.kind.name in ("StandardCaseItem", "DefaultCaseItem")]
    for one, other in pairwise(items):
        (a, b), (c, d) = span(one.clause), span(other.clause)
        between = source[b:c].decode("utf-8", "replace")
        yield Edit("branches", a, d, written(other.clause, source) + between + written(one.clause, source))
    for item in items:
        if item.kind.name == "DefaultCaseItem":
            yield Edit("statements", *span(item), "")


def _statement(node: Any, source: bytes) -> Iterator[Edit]:
    yield Edit("statements", *span(node), ";")


def _continuous(node: Any, source: bytes) -> Iterator[Edit]:
    yield Edit("statements", *span(node), "")


def _signs(node: Any, source: bytes) -> Iterator[Edit]:
    """``signed`` of a type with a range."""
    if node.signing.rawText:
        yield Edit("signedness", *span(node.signing), "")
    elif dimensions := parts(node.dimensions):
        at = span(dimensions[0])[0]
        yield Edit("signedness", at, at, "signed ")


def _system_name(node: Any, source: bytes) -> Iterator[Edit]:
    other = {"$signed": "$unsigned", "$unsigned": "$signed"}.get(node.systemIdentifier.valueText)
    if other:
        yield Edit("signedness", *span(node.systemIdentifier), other)


_Rule = Callable[[Any, bytes], Iterator[Edit]]
_ALWAYS = frozenset({"AlwaysBlock", "AlwaysFFBlock", "AlwaysCombBlock"})
_PLAIN: dict[str, _Rule] = {
    "VariableDimension": _declared_range, "BitSelect": _bit_select, "SimpleRangeSelect": _range_select,
    "AscendingRangeSelect": _range_select, "DescendingRangeSelect": _range_select,
    "ConditionalExpression": _conditional, "ConditionalStatement": _if, "CaseStatement": _case,
    "ExpressionStatement": _statement, "ContinuousAssign": _continuous, "SystemName": _system_name,
    **dict.fromkeys(("ImplicitType", "RegType", "LogicType", "BitType"), _signs),
}  # fmt: skip
