"""A design's syntax tree without names, numbers and arbitrary order; built from slang's, in time linear in the text.

- Names and number literals are leaves without content; so are the names of modules, instances and blocks.
- One-statement blocks, parentheses, ``generate`` and attributes are gone. ``wire``, ``reg`` and ``logic`` are one;
  declarations of several names are split; ``wire y = e;`` is a declaration and an assignment; header and body ports
  are one, and the ``reg q;`` that goes with ``output q;`` is gone.
- ``always_comb`` and a list of levels are ``always @*``; ``always_ff @(…)`` is ``always @(…)``.
- Operands of + * & | ^ && || == != are a multiset, and chains of the associative ones are one node; a > b is b < a.
- A multiset, too: ports, module items, named connections, events of a list, case items whose labels are distinct
  constants, and statements of a block that do not depend on each other (``ast_effects``).

Nothing here recurses: a chain of 10,000 operators is a tree of that depth.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from itertl.judging.gate import TASKS
from itertl.scoring.ast_effects import Effects, levels, merged

NAME, NUMBER = "name", "number"
GROUPS = frozenset({"text", "unit", "declarations", "level", "items"})  # labels of ours that group children


@dataclass(slots=True, eq=False)
class Tree:
    """One node. ``is_set``: its children have no order. ``is_whole``: what lies inside is not counted by itself."""

    label: str
    children: "list[Tree]"
    is_set: bool = False
    is_whole: bool = False
    name: str = ""  # of what it declares; not a part of the tree
    effects: Effects = field(default_factory=Effects)


@dataclass(slots=True)
class _Frame:
    """A node of slang's that is being read: its keywords, and what its children have become."""

    node: Any
    kind: str
    rest: Any  # iterator over its children
    words: list[str] = field(default_factory=list[str])
    children: list[Tree] = field(default_factory=list[Tree])
    own: Effects = field(default_factory=Effects)
    identifier: str = ""

    def tree(self, label: str, children: list[Tree], *, is_set: bool = False, name: str = "") -> Tree:
        return Tree(label, children, is_set, name=name, effects=self.effects())

    def effects(self) -> Effects:
        return merged([self.own, *(child.effects for child in self.children)])


_DROPPED = frozenset(
    {"NamedBlockClause", "AttributeInstance", "NonAnsiPortList", "EmptyMember", "TimeUnitsDeclaration", "NamedLabel"}
)
_SPLICED = frozenset(
    """
    ParenthesizedExpression ParenthesizedEventExpression SimplePropertyExpr SimpleSequenceExpr ConditionalPattern
    ConditionalPredicate ExpressionStatement ElseClause GenerateRegion ModuleHeader ParameterPortList AnsiPortList
    BitSelect RangeDimensionSpecifier VariableDimension ImplicitType RegType LogicType BitType NetPortHeader
    VariablePortHeader ParameterDeclarationStatement InstanceName OrderedArgument ArgumentList FunctionPortList
    """.split()
)
_NUMBERS = frozenset(
    {"IntegerLiteralExpression", "IntegerVectorExpression", "UnbasedUnsizedLiteralExpression", "RealLiteralExpression"}
)
_ASSOCIATIVE = frozenset(
    """
    AddExpression MultiplyExpression BinaryAndExpression BinaryOrExpression BinaryXorExpression LogicalAndExpression
    LogicalOrExpression BinaryEventExpression
    """.split()
)
_COMMUTATIVE = frozenset(
    """
    EqualityExpression InequalityExpression CaseEqualityExpression CaseInequalityExpression BinaryXnorExpression
    """.split()
)
_MIRRORED = {"GreaterThanExpression": "LessThanExpression", "GreaterThanEqualExpression": "LessThanEqualExpression"}
_DECLARATIONS = {
    "DataDeclaration": "data", "NetDeclaration": "data", "PortDeclaration": "port", "ImplicitAnsiPort": "port",
    "ParameterDeclaration": "parameter", "FunctionPort": "argument", "LocalVariableDeclaration": "data",
}  # fmt: skip
_BLOCKS = frozenset({"SequentialBlockStatement", "FunctionDeclaration", "TaskDeclaration"})
_ALWAYS = frozenset({"AlwaysBlock", "AlwaysFFBlock"})
_IMPLIED = frozenset({"AlwaysCombBlock", "AlwaysLatchBlock"})
_STEPS = frozenset(
    {"PostincrementExpression", "PostdecrementExpression", "UnaryPreincrementExpression", "UnaryPredecrementExpression"}
)
_WAITS = frozenset(
    """
    TimingControlStatement WaitStatement WaitForkStatement DisableStatement DisableForkStatement JumpStatement
    ReturnStatement ParallelBlockStatement BlockingEventTriggerStatement NonblockingEventTriggerStatement
    ProceduralAssignStatement ProceduralDeassignStatement TimingControlExpression
    """.split()
)
_DIRECTIONS = frozenset({"input", "output", "inout", "ref"})
_MEANINGLESS = frozenset(
    """
    begin end module macromodule endmodule reg logic wire bit var always always_ff always_comb always_latch assign
    generate endgenerate function endfunction task endtask endcase genvar or initial if else for
    """.split()
)


class _Reader:
    """From a slang node to a tree. It remembers what a port without a direction takes over from the one before it."""

    def __init__(self, token: type) -> None:
        self.token = token
        self.port: tuple[list[str], list[Tree]] = ([], [])
        self.constants: set[str] = set()  # names of parameters so far
        self.rules: dict[str, Callable[[_Frame], list[Tree]]] = {
            **dict.fromkeys(_SPLICED, lambda f: f.children),
            **dict.fromkeys(_DROPPED, lambda _: []),
            **dict.fromkeys(_NUMBERS, lambda _: [Tree(NUMBER, [])]),
            **dict.fromkeys(_ASSOCIATIVE, _chain),
            **dict.fromkeys(_COMMUTATIVE, _as_set),
            **dict.fromkeys(_MIRRORED, lambda f: [f.tree(_MIRRORED[f.kind], f.children[::-1])]),
            **dict.fromkeys(_DECLARATIONS, self._declaration),
            **dict.fromkeys(_BLOCKS, _block),
            **dict.fromkeys(_ALWAYS, lambda f: [f.tree("always", f.children)]),
            **dict.fromkeys(_IMPLIED, _implied),
            "IdentifierName": lambda f: [Tree(NAME, [], name=f.identifier, effects=Effects({f.identifier}))],
            "ContinuousAssign": lambda f: [Tree("assign", [one]) for one in f.children],
            "Declarator": lambda f: [f.tree("declarator", f.children, name=f.identifier)],
            "EventControlWithExpression": _events,
            "CaseStatement": self._case,
            "GenerateBlock": lambda f: f.children if len(f.children) == 1 else _as_set(f),
            "HierarchicalInstance": lambda f: [f.tree("instance", f.children, is_set=_is_named(f.node))],
            "HierarchyInstantiation": _instances,
            "PrimitiveInstantiation": _instances,
            "ParameterValueAssignment": _as_set,
            "ModuleDeclaration": _module,
            "CompilationUnit": lambda f: [f.tree("unit", f.children, is_set=True)],
        }

    def read(self, root: Any) -> Tree:
        """The tree of a whole text (or of one node of it)."""
        whole = _Frame(None, "", iter(()))
        stack = [_Frame(root, root.kind.name, iter(root))]
        while stack:
            frame = stack[-1]
            for child in frame.rest:
                if isinstance(child, self.token):
                    self._word(frame, child)
                elif child is not None:
                    stack.append(_Frame(child, child.kind.name, iter(child)))
                    break
            else:
                stack.pop()
                self._close(frame, stack[-1] if stack else whole)
        return whole.children[0] if len(whole.children) == 1 else Tree("unit", whole.children, is_set=True)

    def _word(self, frame: _Frame, token: Any) -> None:
        kind = token.kind.name
        if kind == "Identifier":
            frame.identifier = frame.identifier or token.valueText
            frame.own.reads.add(token.valueText)
        elif kind.endswith("Keyword"):
            text = token.rawText
            if text not in _MEANINGLESS:
                frame.words.append(text)
        elif kind in ("SystemIdentifier", "StringLiteral"):
            frame.words.append(token.rawText if kind == "SystemIdentifier" else "text")

    def _close(self, frame: _Frame, parent: _Frame) -> None:
        if frame.kind in _DROPPED:
            return
        _note_effects(frame)
        rule = self.rules.get(frame.kind)
        parent.children += rule(frame) if rule else [frame.tree(_label(frame), frame.children)]
        if frame.kind in _SPLICED:
            parent.words += frame.words
            parent.own = merged([parent.own, frame.own])

    def _declaration(self, frame: _Frame) -> list[Tree]:
        """One tree for each name; the dimensions and other parts of the type come first in each."""
        names = [child for child in frame.children if child.label == "declarator"]
        type_parts = [child for child in frame.children if child.label != "declarator"]
        words = sorted(set(frame.words) - {"parameter", "localparam"})
        label = _DECLARATIONS[frame.kind]
        if frame.kind in ("ImplicitAnsiPort", "FunctionPort"):
            if not _DIRECTIONS.intersection(words):
                inherited, parts = self.port
                words = sorted({*words, *(_DIRECTIONS.intersection(inherited) if type_parts else inherited)})
                type_parts = type_parts or parts
            self.port = (words, type_parts)
        elif label == "parameter":
            self.constants.update(child.name for child in names)
        found: list[Tree] = []
        for one in names:
            parts, start = list(one.children), [c for c in one.children if c.label == "EqualsValueClause"]
            if start and frame.kind == "NetDeclaration":
                parts.remove(start[0])
                found.append(Tree("assign", [Tree("AssignmentExpression", [Tree(NAME, []), *start[0].children])]))
            children, effects = [*type_parts, *parts], Effects(is_barrier=True)
            found.append(Tree(" ".join([label, *words]), children, name=one.name, effects=effects))
        return found

    def _case(self, frame: _Frame) -> list[Tree]:
        """Its items are a multiset where all labels are distinct constants; the default's place means nothing."""
        items = [child for child in frame.children if child.label.endswith("CaseItem")]
        head = [child for child in frame.children if not child.label.endswith("CaseItem")]
        default = [item for item in items if item.label == "DefaultCaseItem"]
        others = [item for item in items if item.label != "DefaultCaseItem"]
        is_free = frame.words[:1] == ["case"] and head[0].label != NUMBER and _are_distinct(frame.node, self.constants)
        body = Tree("items", others, is_set=is_free)
        return [frame.tree(_label(frame), [*head, body, *default])]


def _as_set(frame: _Frame) -> list[Tree]:
    return [frame.tree(frame.kind, frame.children, is_set=True)]


def _label(frame: _Frame) -> str:
    kind = "connection" if frame.kind in ("NamedPortConnection", "OrderedPortConnection") else frame.kind
    return " ".join([kind, *frame.words])


def _note_effects(frame: _Frame) -> None:
    """What this node itself writes, and whether it keeps its place."""
    kind = frame.kind
    if kind in _WAITS or (kind == "InvocationExpression" and _calls_design(frame.node)):
        frame.own.is_barrier = True
    elif kind.endswith("AssignmentExpression") and kind != "NamedParamAssignment":
        written = frame.own.later if kind == "NonblockingAssignmentExpression" else frame.own.writes
        written.update(_targets(frame.node.left))
    elif kind in _STEPS:
        frame.own.writes.update(_targets(frame.node.operand))


def _calls_design(node: Any) -> bool:
    return node.left.kind.name != "SystemName" or node.left.systemIdentifier.valueText not in TASKS


def _targets(node: Any) -> list[str]:
    """Names of the variables that an assignment to ``node`` changes."""
    found: list[str] = []
    todo = [node]
    while todo:
        one = todo.pop()
        kind = one.kind.name
        if kind in ("IdentifierName", "IdentifierSelectName"):
            found.append(one.identifier.valueText)
        elif kind == "ConcatenationExpression":
            todo += [part for part in one.expressions if hasattr(part, "kind") and not hasattr(part, "rawText")]
        elif kind == "ParenthesizedExpression":
            todo.append(one.expression)
        elif hasattr(one, "left"):
            todo.append(one.left)
    return found


def _chain(frame: _Frame) -> list[Tree]:
    """One node for a chain of an associative operator; the longest operand's list is reused."""
    label = frame.kind
    same = [child for child in frame.children if child.label == label]
    base = max(same, key=lambda child: len(child.children), default=None)
    operands: list[Tree] = base.children if base is not None else []
    for child in frame.children:
        if child is not base:
            operands += child.children if child.label == label else [child]
    return [frame.tree(label, operands, is_set=True)]


def _events(frame: _Frame) -> list[Tree]:
    """A list of levels is complete as far as this tree knows, so it is ``@*``."""
    is_list = bool(frame.children) and frame.children[0].label == "BinaryEventExpression"
    events = frame.children[0].children if is_list else frame.children
    has_edge = any("edge" in event.label for event in events)
    return [frame.tree("events", list(events) if has_edge else [], is_set=True)]


def _implied(frame: _Frame) -> list[Tree]:
    return [frame.tree("always", [Tree("TimingControlStatement", [Tree("ImplicitEventControl", []), *frame.children])])]


def _block(frame: _Frame) -> list[Tree]:
    """Declarations, then the levels of statements; a block of one statement is that statement."""
    kinds = ("data", "parameter", "argument", "port", "FunctionPrototype", "TaskPrototype")
    declared = [c for c in frame.children if c.label.split(" ")[0] in kinds]
    body = [c for c in frame.children if c.label.split(" ")[0] not in kinds and c.label != "EmptyStatement"]
    if frame.kind == "SequentialBlockStatement" and len(body) == 1 and not declared:
        return body
    by_level: dict[int, list[Tree]] = {}
    for level, statement in zip(levels([c.effects for c in body]), body, strict=True):
        by_level.setdefault(level, []).append(statement)
    layers = [Tree("level", by_level[level], is_set=True) for level in sorted(by_level)]
    head = [Tree("declarations", declared, is_set=True)] if declared else []
    return [frame.tree(_label(frame), [*head, *layers])]


def _instances(frame: _Frame) -> list[Tree]:
    """One tree for each instance, with the parameters of all of them."""
    shared = [child for child in frame.children if child.label != "instance"]
    label = " ".join([frame.kind, *frame.words])
    return [Tree(label, [*shared, child]) for child in frame.children if child.label == "instance"]


def _is_named(node: Any) -> bool:
    kinds = [child.kind.name for child in node.connections if getattr(child, "kind", None) is not None]
    return "NamedPortConnection" in kinds


def _are_distinct(node: Any, constants: set[str]) -> bool:
    """Whether no two labels of a case statement can match one value: literals or parameters, none written twice."""
    seen: set[str] = set()
    for item in node.items:
        if item.kind.name != "StandardCaseItem":
            continue
        for label in item.expressions:
            if not hasattr(label, "kind") or hasattr(label, "rawText"):
                continue
            text = "".join(str(label).split())
            is_constant = label.kind.name in _NUMBERS or text in constants
            if not is_constant or text in seen:
                return False
            seen.add(text)
    return True


def _module(frame: _Frame) -> list[Tree]:
    """Ports together, as one part: what the instruction gives away must not outweigh the body."""
    ports = [child for child in frame.children if child.label.startswith("port")]
    names = {child.name for child in ports}
    items = [child for child in frame.children if not child.label.startswith("port") and not _repeats(child, names)]
    header = Tree("ports", ports, is_set=True, is_whole=True)
    return [Tree("module", [header, *items], is_set=True)]


def _repeats(item: Tree, ports: set[str]) -> bool:
    """Whether it is the ``reg [3:0] q;`` beside ``output [3:0] q;``."""
    has_start = any(child.label == "EqualsValueClause" for child in item.children)
    return item.label.split(" ")[0] == "data" and item.name in ports and not has_start


def canonical(roots: Iterable[Any], token: type) -> Tree:
    """The tree of slang's syntax nodes ``roots``; ``token`` is slang's class of tokens."""
    reader = _Reader(token)
    return Tree("text", [reader.read(root) for root in roots], is_set=True)
