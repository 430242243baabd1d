"""The lines of a design that drive an output, and those that drive what they read: where to look for its mistake.

(After VerilogCoder, Ho et al., 2024, arXiv:2408.08927, which traces a wrong output back through its drivers.) It runs
slang in this process: call it in a worker.
"""

import re
from collections.abc import Iterator
from typing import Any

from itertl.tools import slang

_ASSIGNMENTS = frozenset({"AssignmentExpression", "NonblockingAssignmentExpression"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_LINE_CHARS = 120


def driving_lines(code: str, top: str, output: str, *, depth: int = 2, most: int = 12) -> list[str]:
    """``"12: q <= d;"`` for each line that assigns ``output`` of module ``top``, nearest first, then for what these
    read, ``depth`` steps back; at most ``most``. Empty where the text does not parse."""
    unit = slang.parse(code)
    if unit.error or top not in unit.modules:
        return []
    found = list(_assignments(unit, top))
    lines = code.splitlines()
    wanted, done, lines_at = {output}, set[str](), dict[int, None]()
    for _ in range(depth):
        read: set[str] = set()
        for targets, sources, at in found:
            if targets & wanted:
                lines_at.update(dict.fromkeys(at))
                read |= sources
        done |= wanted
        wanted = read - done
    shown = [number for number in lines_at if 0 < number <= len(lines)][:most]
    return [f"{number}: {lines[number - 1].strip()[:_LINE_CHARS]}" for number in shown]


def _assignments(unit: slang.ParsedText, top: str) -> Iterator[tuple[set[str], set[str], range]]:
    """(names assigned, names read, its lines) of each assignment and of each port connection of a submodule."""
    found: list[tuple[set[str], set[str], range]] = []

    def lines(node: Any) -> range:
        span = node.sourceRange
        return range(unit.source.getLineNumber(span.start), unit.source.getLineNumber(span.end) + 1)

    def look(node: Any) -> None:
        kind = node.kind.name
        if kind in _ASSIGNMENTS or kind.endswith("AssignmentExpression"):
            left = str(node.left)
            targets = set(_NAME.findall(re.sub(r"\[[^\[\]]*\]", "", left)))
            found.append((targets, set(_NAME.findall(str(node.right))) | _inside(left), lines(node)))
        elif kind == "Declarator" and node.initializer is not None:
            found.append(({node.name.valueText}, set(_NAME.findall(str(node.initializer))), lines(node)))
        elif kind in ("HierarchicalInstance", "PrimitiveInstantiation"):
            names = set(_NAME.findall(str(node)))
            found.append((names, names, lines(node)))

    root = unit.tree.root
    for member in root.members if root.kind.name == "CompilationUnit" else [root]:
        if member.kind.name == "ModuleDeclaration" and member.header.name.valueText == top:
            member.visit(look)
    yield from found


def _inside(left: str) -> set[str]:
    """Names in the brackets of what is assigned: an index is read."""
    return {name for part in re.findall(r"\[([^\[\]]*)\]", left) for name in _NAME.findall(part)}
