"""A design's text made fit for Yosys: the top module under a name of ours, and nothing that Yosys takes on trust.

Attributes (``full_case``, ``parallel_case``) and ``unique``/``priority`` are promises to a synthesizer that a simulator
does not look at: believed, they make designs equal that are not. ``always_comb`` becomes ``always @*`` since Yosys
refuses a latch in it that a simulator simulates. Everything else stays, character for character.
"""

from typing import Any

from itertl.tools import slang

TOP = "itertl_top"  # what the top module is called in every text that Yosys is given
_PROMISES = frozenset({"UniqueKeyword", "Unique0Keyword", "PriorityKeyword"})
_PROCESSES = {
    "AlwaysCombKeyword": "always @*",
    "AlwaysLatchKeyword": "always @*",
    "AlwaysFFKeyword": "always",
}

Edit = tuple[int, int, str]


def for_yosys(text: str, top: str, name: str = TOP) -> str:
    """``text``, which ``judging.gate.examine`` has let through as module ``top``, with that module called ``name``.

    Raises ValueError where the text has another module of that name.
    """
    unit = slang.parse(text)
    if name in unit.modules and name != top:
        raise ValueError(f"a module is called {name}")
    edits: list[Edit] = []

    def look(node: Any) -> None:
        kind = node.kind.name
        if kind in ("ModuleHeader", "NamedBlockClause"):
            is_end = (
                kind == "NamedBlockClause" and node.parent is not None and node.parent.kind.name == "ModuleDeclaration"
            )
            if node.name.valueText == top and (kind == "ModuleHeader" or is_end):
                edits.append((*_span(node.name), name))
        elif kind == "HierarchyInstantiation" and node.type.valueText == top:
            edits.append((*_span(node.type), name))
        elif kind == "AttributeInstance" or kind in _PROMISES:
            edits.append((*_span(node), ""))
        elif kind in _PROCESSES:
            edits.append((*_span(node), _PROCESSES[kind]))

    unit.tree.root.visit(look)
    return _apply(text, edits)


def _span(node: Any) -> tuple[int, int]:
    """Offsets of a node, or of a token."""
    span = node.sourceRange if hasattr(node, "sourceRange") else node.range
    return span.start.offset, span.end.offset


def _apply(text: str, edits: list[Edit]) -> str:
    """Replace the spans; one inside another that goes is left out."""
    parts: list[str] = []
    at = 0
    for start, end, new in sorted(edits):
        if start >= at:
            parts += (text[at:start], new)
            at = end
    return "".join([*parts, text[at:]])
