"""A design's text made fit for Yosys: the top module under a fixed name, and no promises that Yosys would believe.

Attributes (``full_case``, ``parallel_case``) and ``unique``/``priority`` are promises to a synthesizer that a simulator
ignores: believed, they make designs equal that are not. ``always_comb`` becomes ``always @*`` since Yosys refuses a
latch in it that a simulator simulates. Everything else stays, character for character.
"""

from itertl.tools import slang

TOP = "itertl_top"  # what the top module is called in every text that Yosys is given
_REPLACED = {
    "AttributeInstance": "", "UniqueKeyword": "", "Unique0Keyword": "", "PriorityKeyword": "",
    "AlwaysCombKeyword": "always @*", "AlwaysLatchKeyword": "always @*", "AlwaysFFKeyword": "always",
}  # fmt: skip
_NAMING = ("ModuleHeader", "NamedBlockClause", "HierarchyInstantiation")  # what holds a module's name


def for_yosys(text: str, top: str, name: str = TOP) -> str:
    """``text``, which ``judging.gate.examine`` has let through as module ``top``, with that module called ``name``.

    Raises ValueError where the text has another module of that name.
    """
    unit = slang.parse(text)
    if name in unit.modules and name != top:
        raise ValueError(f"a module is called {name}")
    edits: list[slang.TextEdit] = []
    for node in slang.nodes(unit.tree.root, *_NAMING, *_REPLACED):
        kind = node.kind.name
        if kind in _REPLACED:
            edits.append((*slang.span(node), _REPLACED[kind]))
            continue
        named = node.type if kind == "HierarchyInstantiation" else node.name
        is_label = kind == "NamedBlockClause" and (node.parent is None or node.parent.kind.name != "ModuleDeclaration")
        if named.valueText == top and not is_label:
            edits.append((*slang.span(named), name))
    return slang.edited(text, edits)
