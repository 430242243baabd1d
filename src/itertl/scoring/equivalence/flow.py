"""What one run of a process or function sets and reads, in order and bit by bit: what it reads before it has set it.

Loops with constant bounds are unrolled. An index that is not constant sets nothing for sure and reads everything, as
does what is not understood: in doubt a read counts as early.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from itertl.scoring.processes import bare
from itertl.tools import slang

MAX_STEPS = 20_000  # statements of one run, loops unrolled
_SELECTS = ("ElementSelect", "RangeSelect", "MemberAccess")
_VALUES = ("NamedValue", "HierarchicalValue")
_FIXED = ("Parameter", "EnumValue", "Specparam", "Genvar")
_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "Minus": lambda a, _: -a, "LogicalNot": lambda a, _: not a,
    "Add": lambda a, b: a + b, "Subtract": lambda a, b: a - b, "Multiply": lambda a, b: a * b,
    "Divide": lambda a, b: a // b if b else 0, "Mod": lambda a, b: a % b if b else 0,
    "LessThan": lambda a, b: a < b, "LessThanEqual": lambda a, b: a <= b, "GreaterThan": lambda a, b: a > b,
    "GreaterThanEqual": lambda a, b: a >= b, "Equality": lambda a, b: a == b, "Inequality": lambda a, b: a != b,
    "LogicalShiftLeft": lambda a, b: a << min(b, 64) if b >= 0 else 0,
    "LogicalAnd": lambda a, b: bool(a and b), "LogicalOr": lambda a, b: bool(a or b),
}  # fmt: skip
LATER = "<="  # before a variable's path: its bits that ``<=`` surely sets
Bits = dict[str, int]


class TooLong(Exception):
    """A run of more statements than are followed."""


@dataclass(slots=True)
class Flow:
    """``unset``: bits read before they are surely set; ``stale``: of these, what is set later in the same run.

    ``at_end``: bits surely set when it ends. ``written``: bits that it may set; ``delayed``: by ``<=`` alone.
    """

    unset: Bits = field(default_factory=Bits)
    stale: set[str] = field(default_factory=set[str])
    at_end: Bits = field(default_factory=Bits)
    written: Bits = field(default_factory=Bits)
    delayed: set[str] = field(default_factory=set[str])


def follow(body: Any, given: Bits | None = None) -> Flow:
    """One run of a statement; ``given``: bits that are set when it begins. Raises TooLong."""
    run = _Run(given or {})
    run.statement(body)
    run.flow.at_end = _both([run.known, *run.exits])
    return run.flow


def full(symbol: Any) -> int:
    """All bits of a variable."""
    return (1 << max(1, int(getattr(symbol.type, "bitstreamWidth", 1) or 1))) - 1


def _both(states: list[Bits]) -> Bits:
    """Bits set in every state."""
    first, *others = states
    found: Bits = {}
    for path, bits in first.items():
        for other in others:
            bits &= other.get(path, 0)
        if bits:
            found[path] = bits
    return found


class _Run:
    def __init__(self, given: Bits) -> None:
        self.flow, self.known = Flow(), dict(given)
        self.early: Bits = {}
        self.numbers: dict[str, int] = {}
        self.exits: list[Bits] = []
        self.breaks: list[Bits] = []
        self.steps = 0

    # ---- statements
    def statement(self, node: Any) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooLong
        kind = node.kind.name
        match kind:
            case "List":
                for inner in node.list:
                    self.statement(inner)
            case "Block":
                self.statement(node.body)
            case "Timed":
                self.statement(node.stmt)
            case "ExpressionStatement":
                self.expression(node.expr)
            case "VariableDeclaration":
                self.declared(node.symbol)
            case "Conditional":
                self.conditional(node)
            case "Case" | "PatternCase":
                self.case(node)
            case "ForLoop" | "WhileLoop" | "RepeatLoop" | "DoWhileLoop" | "ForeverLoop" | "ForeachLoop":
                self.loop(node, kind)
            case "Return":
                if node.expr is not None:
                    self.expression(node.expr)
                self.exits.append(dict(self.known))
            case "Break" | "Continue" | "Disable":
                self.breaks.append(dict(self.known))
                self.exits.append(dict(self.known))
            case _:
                self.expression(node)

    def declared(self, symbol: Any) -> None:
        """A static variable keeps its value; an automatic one begins anew at each run."""
        if symbol.initializer is not None:
            self.expression(symbol.initializer)
        if getattr(symbol.lifetime, "name", "") != "Static":
            self.known[symbol.hierarchicalPath] = full(symbol)
            value = None if symbol.initializer is None else self.number(symbol.initializer)
            self.numbers.pop(symbol.hierarchicalPath, None)
            if value is not None:
                self.numbers[symbol.hierarchicalPath] = value

    def conditional(self, node: Any) -> None:
        for condition in node.conditions:
            self.expression(condition.expr)
        value = self.number(node.conditions[0].expr) if len(node.conditions) == 1 else None
        chosen = node.ifTrue if value else node.ifFalse
        if value is None:
            self.branches([node.ifTrue, node.ifFalse])
        elif chosen is not None:
            self.statement(chosen)

    def case(self, node: Any) -> None:
        self.expression(node.expr)
        bodies: list[Any] = []
        labels: set[int | None] = set()
        for item in node.items:
            for expression in getattr(item, "expressions", ()):
                self.expression(expression)
                labels.add(self.number(expression))
            bodies.append(item.stmt)
        width = int(bare(node.expr).type.bitWidth)
        values = {label % (1 << width) for label in labels if label is not None} if width <= 12 else set[int]()
        is_whole = len(values) == 1 << width
        self.branches([*bodies, node.defaultCase] if node.defaultCase is not None or not is_whole else bodies)

    def branches(self, bodies: list[Any]) -> None:
        known, early, numbers = self.known, self.early, self.numbers
        ends: list[tuple[Bits, Bits, dict[str, int]]] = []  # the same three, after each body
        for body in bodies:
            self.known, self.early, self.numbers = dict(known), dict(early), dict(numbers)
            if body is not None:
                self.statement(body)
            ends.append((self.known, self.early, self.numbers))
        self.known = _both([known for known, _, _ in ends])
        self.early = Bits()
        for _, early, _ in ends:
            for path, bits in early.items():
                self.early[path] = self.early.get(path, 0) | bits
        every = [numbers for _, _, numbers in ends]
        self.numbers = {path: value for path, value in every[0].items() if all(one.get(path) == value for one in every)}

    def loop(self, node: Any, kind: str) -> None:
        outer, self.breaks = self.breaks, []
        if kind == "ForLoop":
            for variable in node.loopVars:
                self.declared(variable)
            for initializer in node.initializers:
                self.expression(initializer)
        condition = getattr(node, "stopExpr", None) if kind == "ForLoop" else getattr(node, "cond", None)
        count = self.number(node.count) if kind == "RepeatLoop" else None
        turns = 0
        while True:
            if condition is not None:
                self.expression(condition)
            holds = self.number(condition) if condition is not None else None if count is None else int(turns < count)
            if holds is None:
                self.unbounded(node)
                break
            if not holds:
                break
            self.statement(node.body)
            for step in node.steps if kind == "ForLoop" else ():
                self.expression(step)
            turns += 1
        self.known = _both([self.known, *self.breaks])
        self.breaks = outer

    def unbounded(self, node: Any) -> None:
        """Twice at most by what is not known: what the first turn sets late, the second reads early."""
        for _ in range(2):
            self.numbers = {}
            self.branches([node.body, None])

    # ---- expressions
    def expression(self, node: Any) -> None:
        skip, advance = slang.library().ast.VisitAction.Skip, slang.library().ast.VisitAction.Advance

        def look(inner: Any) -> Any:
            kind = inner.kind.name
            if kind == "Assignment":
                self.assignment(inner)
            elif kind == "UnaryOp" and "crement" in inner.op.name:
                value, change = self.number(inner.operand), 1 if "ncrement" in inner.op.name else -1
                self.read(inner.operand)
                self.write(inner.operand, is_delayed=False)
                self.note(inner.operand, None if value is None else value + change)
            elif kind in _VALUES or kind in _SELECTS:
                self.read(inner)
            else:
                return advance
            return skip

        node.visit(look)

    def assignment(self, node: Any) -> None:
        if node.right.kind.name != "EmptyArgument":
            self.expression(node.right)
        if node.isCompound:
            self.read(node.left)
        is_known = not node.isCompound and not node.isNonBlocking and bare(node.left).kind.name in _VALUES
        value = self.number(node.right) if is_known else None
        self.write(node.left, is_delayed=node.isNonBlocking)
        self.note(node.left, value)

    def note(self, node: Any, value: int | None) -> None:
        """A whole variable has this value, or (None) one that is not known."""
        if bare(node).kind.name in _VALUES:
            self.numbers.pop(bare(node).symbol.hierarchicalPath, None)
            if value is not None:
                self.numbers[bare(node).symbol.hierarchicalPath] = value

    def read(self, node: Any) -> None:
        for selector in self.selectors(node):
            self.expression(selector)
        place = self.place(node)
        if place is None:
            return
        path, may, _ = place
        bits = may & ~self.known.get(path, 0)
        if bits:
            self.flow.unset[path] = self.flow.unset.get(path, 0) | bits
            self.early[path] = self.early.get(path, 0) | bits

    def write(self, node: Any, *, is_delayed: bool) -> None:
        node = bare(node)
        if node.kind.name in ("Concatenation", "Streaming", "SimpleAssignmentPattern"):
            for part in getattr(node, "operands", None) or getattr(node, "elements", ()):
                self.write(part, is_delayed=is_delayed)
            return
        for selector in self.selectors(node):
            self.expression(selector)
        place = self.place(node)
        if place is None:
            return
        path, may, must = place
        self.flow.written[path] = self.flow.written.get(path, 0) | may
        if is_delayed:
            self.flow.delayed.add(path)
            self.known[LATER + path] = self.known.get(LATER + path, 0) | must
            return
        if self.early.get(path, 0) & may:
            self.flow.stale.add(path)
        self.known[path] = self.known.get(path, 0) | must
        self.numbers.pop(path, None)

    def selectors(self, node: Any) -> Iterator[Any]:
        node = bare(node)
        while node.kind.name in _SELECTS:
            if node.kind.name == "ElementSelect":
                yield node.selector
            elif node.kind.name == "RangeSelect":
                yield from (node.left, node.right)
            node = bare(node.value)

    def place(self, node: Any) -> tuple[str, int, int] | None:
        """(variable, bits that may be meant, bits that surely are) of a name with its selects."""
        found = self.offset(bare(node))
        base = bare(node)
        while base.kind.name in _SELECTS:
            base = bare(base.value)
        if base.kind.name not in _VALUES or base.symbol.kind.name in _FIXED:
            return None
        every = full(base.symbol)
        if found is None:
            return base.symbol.hierarchicalPath, every, 0
        bits = (((1 << found[1]) - 1) << found[0]) & every if found[0] >= 0 else 0
        return base.symbol.hierarchicalPath, bits, bits

    def offset(self, node: Any) -> tuple[int, int] | None:
        """(lowest bit, bits) within the variable; None where an index is not constant."""
        width = int(getattr(node.type, "bitstreamWidth", 0) or 0)
        kind = node.kind.name
        if kind in _VALUES:
            return 0, max(1, width)
        if kind not in _SELECTS or width == 0:
            return None
        inner = bare(node.value)
        outer = self.offset(inner)
        if outer is None:
            return None
        if kind == "MemberAccess":
            at = getattr(node.member, "bitOffset", None)
            return None if at is None else (outer[0] + int(at), width)
        span = getattr(inner.type.canonicalType, "range", None) or getattr(inner.type.canonicalType, "fixedRange", None)
        index = self.number(node.selector) if kind == "ElementSelect" else self.lowest(node)
        if span is None or index is None:
            return None
        low = min(int(span.left), int(span.right))
        size = outer[1] // max(1, abs(int(span.left) - int(span.right)) + 1)
        return outer[0] + (index - low) * size, width

    def lowest(self, node: Any) -> int | None:
        """The lower index of a part select."""
        left, right = self.number(node.left), self.number(node.right)
        if left is None or right is None:
            return None
        kind = node.selectionKind.name
        return min(left, right) if kind == "Simple" else left if kind == "IndexedUp" else left - right + 1

    def number(self, node: Any) -> int | None:
        """A constant's value, loop variables counted as what they are at this turn."""
        node = bare(node)
        kind = node.kind.name
        if kind in _VALUES and node.symbol.kind.name not in _FIXED:
            return self.numbers.get(node.symbol.hierarchicalPath)
        if kind in ("BinaryOp", "UnaryOp"):
            parts = [self.number(part) for part in ((node.left, node.right) if kind == "BinaryOp" else (node.operand,))]
            known = [part for part in parts if part is not None]
            apply = _ARITHMETIC.get(node.op.name)
            return None if apply is None or len(known) < len(parts) else int(apply(known[0], known[-1]))
        value: Any = node.constant if node.constant is not None else getattr(node, "value", None)
        if kind in _VALUES:
            value = node.symbol.value
        value = getattr(value, "value", value)
        try:
            return int(value) if getattr(value, "hasUnknown", False) is False else None
        except (TypeError, ValueError):
            return None
