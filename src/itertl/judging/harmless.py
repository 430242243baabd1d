"""What a design may hold without effect on its outputs, taken out of its text before it is judged.

Waveform dumps and time formats; assertions, assumptions and covers whose actions only print (or end the run, where no
simulator here would evaluate them), with the properties and sequences that they name; ``$finish`` and similar tasks
that no run reaches, under a constant condition. One that may be reached stays, since a run that it ends is not
complete, and ``blamed`` reports it. An escaped name that needs its escape gets a plain one. The gate refuses what is
left of such things.
"""

import re
from typing import Any

from itertl.tools import slang
from itertl.tools.slang import ParsedText, TextEdit, walk

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
_DECLARED = ("PropertyDeclaration", "SequenceDeclaration")
_OBSERVING = (
    "ImmediateAssertStatement", "ImmediateAssumeStatement", "ImmediateCoverStatement", "AssertPropertyStatement",
    "AssumePropertyStatement", "CoverPropertyStatement", "CoverSequenceStatement", "RestrictPropertyStatement",
    "FinalBlock",
)  # fmt: skip
_WORTH = re.compile(
    r"\\|\b(assert|assume|cover|restrict|property|sequence|final)\b|\$(dump|timeformat|printtimescale|monitoro|finish"
    r"|stop|fatal|exit)"
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_BRANCHES = frozenset(
    {"IfGenerate", "LoopGenerate", "ElseClause", "CaseGenerate", "StandardCaseItem", "DefaultCaseItem"}
)


def without(text: str, top: str) -> str:
    """``text``, already preprocessed, without what has no effect on the outputs of its module ``top``."""
    if not _WORTH.search(text):
        return text
    unit = slang.parse(text)
    if unit.error or top not in unit.modules:
        return text
    gone, ends = _edits(unit.tree.root)
    text = slang.edited(text, gone)
    if not ends:
        return text
    unit = slang.parse(text)
    return text if unit.error or _is_reached(unit, top) else slang.edited(text, _edits(unit.tree.root)[1])


def _edits(root: Any) -> tuple[list[TextEdit], list[TextEdit]]:
    """What goes in any case, and what ends the run."""
    gone: list[TextEdit] = []
    ends: list[TextEdit] = []
    for node in slang.nodes(root, "Identifier", "ExpressionStatement", "ElabSystemTask", *_DECLARED, *_OBSERVING):
        kind = node.kind.name
        if kind == "Identifier":
            if node.rawText.startswith("\\") and not _PLAIN.fullmatch(node.valueText):
                at = node.location.offset
                plain = f"esc_{node.valueText.encode('utf-8', 'replace').hex()}"
                gone.append((at, at + len(node.rawText.encode("utf-8", "replace")), plain))
        elif kind in ("ExpressionStatement", "ElabSystemTask"):
            name = _called(node)
            if name in _DUMPS:
                gone.append(_removed(node))
            elif name in _ENDS or (kind == "ElabSystemTask" and name in PRINTING):
                ends.append(_removed(node))
        elif kind in _DECLARED or _only_prints(node):
            gone.append(_removed(node))
    return gone, ends


def _removed(node: Any) -> TextEdit:
    """A node's span, and its replacement: nothing, but an empty block for a statement or the one item of a branch."""
    member = node.parent if node.parent is not None and node.parent.kind.name.endswith("AssertionMember") else node
    is_item = member is not node or node.kind.name in ("ElabSystemTask", "FinalBlock") or node.kind.name in _DECLARED
    is_alone = member.parent is not None and member.parent.kind.name in _BRANCHES
    return *slang.span(node), "" if is_item and not is_alone else "begin end"


def _called(node: Any) -> str:
    """The system task of a statement, or ""."""
    if node.kind.name == "ElabSystemTask":
        return str(node.name.valueText)
    called = getattr(node, "expr", None)
    called = called.left if called is not None and called.kind.name == "InvocationExpression" else called
    return str(called.systemIdentifier.valueText) if called is not None and called.kind.name == "SystemName" else ""


def _only_prints(node: Any) -> bool:
    """Whether the actions of an assertion or final block only print; those of a property, which no simulator here
    evaluates, may end the run."""
    if node.kind.name == "FinalBlock":
        waiting, allowed = [node.statement], PRINTING
    else:
        blocks = slang.nodes(node, "ActionBlock")
        waiting = [block.statement for block in blocks if block.statement is not None]
        waiting += [block.elseClause.clause for block in blocks if block.elseClause is not None]
        allowed = PRINTING if node.kind.name.startswith("Immediate") else PRINTING | _ENDS
    while waiting:
        action = waiting.pop()
        if action.kind.name == "SequentialBlockStatement":
            waiting.extend(action.items)
        elif action.kind.name != "EmptyStatement" and _called(action) not in allowed:
            return False
    return True


def _is_reached(unit: ParsedText, top: str) -> bool:
    """Whether a run may reach what ends it; branches of constant conditions that are not taken are left out."""
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
