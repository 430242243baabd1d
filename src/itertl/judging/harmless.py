"""What a design may hold without effect on its outputs, taken out of its text before it is judged.

Waveform dumps and time formats; assertions, assumptions and covers whose actions only print (or end the run, where no
simulator here would look at them), with the properties and sequences that they name; ``$finish`` and its kin where no
run gets to them, under a condition that is constant. Where one may be reached it stays, for a run that it ends is not
whole, and ``blamed`` says so. A name that is escaped for its characters gets a plain one. What is left of such things
is for the gate to refuse.
"""

import re
from collections.abc import Sequence
from typing import Any

from itertl.tools import slang
from itertl.tools.slang import ParsedText, walk

PRINTING = frozenset(
    f"${task}{base}" for task in ("display", "write", "strobe", "monitor") for base in ("", "b", "o", "h")
) | {"$info", "$warning", "$error"}
_DUMPS = frozenset(
    "$dumpfile $dumpvars $dumpon $dumpoff $dumpall $dumplimit $dumpflush $dumpports $timeformat $printtimescale "
    "$monitoron $monitoroff".split()
)
ENDING = frozenset({"$finish", "$stop", "$fatal"})
_ENDS = ENDING | {"$exit"}
ENDING_CALL = re.compile(r"\$(?:finish|stop|fatal)\b")
_ASSERTIONS = frozenset({
    "ImmediateAssertStatement", "ImmediateAssumeStatement", "ImmediateCoverStatement", "AssertPropertyStatement",
    "AssumePropertyStatement",
    "CoverPropertyStatement", "CoverSequenceStatement", "RestrictPropertyStatement",
})  # fmt: skip
_DECLARED = frozenset({"PropertyDeclaration", "SequenceDeclaration"})
_WORTH = re.compile(
    r"\\|\b(assert|assume|cover|restrict|property|sequence|final)\b|\$(dump|timeformat|printtimescale|monitoro|finish"
    r"|stop|fatal|exit)"
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_BRANCHES = frozenset(
    {"IfGenerate", "LoopGenerate", "ElseClause", "CaseGenerate", "StandardCaseItem", "DefaultCaseItem"}
)
Span = tuple[int, int, bytes]  # of the text in UTF-8, and what stands there instead


def without(text: str, top: str) -> str:
    """``text``, already preprocessed, without what has no effect on the outputs of its module ``top``."""
    if not _WORTH.search(text):
        return text
    unit = slang.parse(text)
    if unit.error or top not in unit.modules:
        return text
    gone, ends = _spans(unit.tree.root)
    text = _replaced(text, gone)
    if not ends:
        return text
    unit = slang.parse(text)
    return text if unit.error or _is_reached(unit, top) else _replaced(text, _spans(unit.tree.root)[1])


def _replaced(text: str, spans: Sequence[Span]) -> str:
    data, at, parts = text.encode("utf-8", "replace"), 0, list[bytes]()
    for start, end, instead in sorted(spans):
        if start >= at:  # else it lies in one that is gone already
            parts += [data[at:start], instead]
            at = end
    return b"".join([*parts, data[at:]]).decode("utf-8")


def _spans(root: Any) -> tuple[list[Span], list[Span]]:
    """What goes in any case, and what ends the run."""
    gone: list[Span] = []
    ends: list[Span] = []
    token = slang.library().parsing.Token

    def look(node: Any) -> None:
        kind = node.kind.name
        if isinstance(node, token):
            if kind == "Identifier" and node.rawText.startswith("\\") and not _PLAIN.fullmatch(node.valueText):
                at = node.location.offset
                plain = f"esc_{node.valueText.encode('utf-8', 'replace').hex()}"
                gone.append((at, at + len(node.rawText.encode("utf-8", "replace")), plain.encode()))
            return
        if (
            (kind in _ASSERTIONS and _only_tells(node))
            or kind in _DECLARED
            or (kind == "FinalBlock" and _tells([node.statement], PRINTING))
        ):
            gone.append(_cut(node))
        elif kind in ("ExpressionStatement", "ElabSystemTask"):
            name = _called(node)
            if name in _DUMPS:
                gone.append(_cut(node))
            elif name in _ENDS or (kind == "ElabSystemTask" and name in PRINTING):
                ends.append(_cut(node))

    root.visit(look)
    return gone, ends


def _cut(node: Any) -> Span:
    """A node, and its replacement: nothing, but an empty block for a statement or the one item of a branch."""
    member = node.parent if node.parent is not None and node.parent.kind.name.endswith("AssertionMember") else node
    is_item = member is not node or node.kind.name in ("ElabSystemTask", "FinalBlock") or node.kind.name in _DECLARED
    is_alone = member.parent is not None and member.parent.kind.name in _BRANCHES
    return node.sourceRange.start.offset, node.sourceRange.end.offset, b"" if is_item and not is_alone else b"begin end"


def _called(node: Any) -> str:
    """The system task of a statement, or ""."""
    if node.kind.name == "ElabSystemTask":
        return str(node.name.valueText)
    called = getattr(node, "expr", None)
    called = called.left if called is not None and called.kind.name == "InvocationExpression" else called
    return str(called.systemIdentifier.valueText) if called is not None and called.kind.name == "SystemName" else ""


def _only_tells(assertion: Any) -> bool:
    """Whether an assertion's actions only print; a property's, which no simulator here looks at, may end the run."""
    actions: list[Any] = []

    def look(node: Any) -> None:
        if node.kind.name == "ActionBlock":
            actions.extend([node.statement, node.elseClause.clause if node.elseClause is not None else None])

    assertion.visit(look)
    return _tells(actions, PRINTING if assertion.kind.name.startswith("Immediate") else PRINTING | _ENDS)


def _tells(actions: Sequence[Any], allowed: frozenset[str]) -> bool:
    """Whether these statements do nothing but call such tasks; one that is not a call stands for all it holds."""
    waiting = [action for action in actions if action is not None]
    while waiting:
        node = waiting.pop()
        if node.kind.name == "SequentialBlockStatement":
            waiting.extend(node.items)
        elif node.kind.name != "EmptyStatement" and _called(node) not in allowed:
            return False
    return True


def _is_reached(unit: ParsedText, top: str) -> bool:
    """Whether a run may get to what ends it; branches of constant conditions that are not taken are left out."""
    compilation, error = slang.elaborate(unit, top)
    if error:
        return True
    action = slang.library().ast.VisitAction
    reached = False

    def look(node: Any) -> Any:
        nonlocal reached
        kind = node.kind.name
        if kind == "Call" and node.isSystemCall and node.subroutineName in _ENDS:
            reached = True
        elif kind in ("Conditional", "Case") and (taken := _taken(node)) is not None:
            for statement in taken:
                walk(statement, look)
            return action.Skip
        return action.Advance

    root = compilation.getRoot()
    for part in (root, *root.compilationUnits, *compilation.getPackages()):
        walk(part, look)
    return reached


def _taken(node: Any) -> list[Any] | None:
    """The statements that a choice by constants leads to; None where the choice is not constant."""
    if node.kind.name == "Conditional":
        known = [_number(condition.expr) for condition in node.conditions]
        if len(known) != 1 or known[0] is None:
            return None
        chosen = node.ifTrue if known[0] else node.ifFalse
        return [chosen] if chosen is not None else []
    value = _number(node.expr)
    labels = [(_number(label), item.stmt) for item in node.items for label in item.expressions]
    if value is None or any(number is None for number, _ in labels):
        return None
    found = [statement for number, statement in labels if number == value] + [node.defaultCase]
    return found[:1] if found[0] is not None else []


def _number(expression: Any) -> int | None:
    value: Any = getattr(expression.constant, "value", None)
    return int(value) if getattr(value, "hasUnknown", True) is False else None
