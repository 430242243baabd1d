"""Expressions: each is written as an unsigned one of its own width, so that nothing around it changes what it is.

slang has put a conversion wherever a width or sign changes; operands of one operator are equally wide, and where signs
matter (comparison, division, arithmetic shift) both are marked. What has a constant value is written as that value.
"""

from collections.abc import Callable, Sequence
from typing import Any

from itertl.scoring.lowering.names import MOST_EACH, Names, Refused, bits, fields, is_two_state, literal, width
from itertl.scoring.lowering.places import BitPlace, Places
from itertl.tools import slang

_UNARY = {
    "Plus": "", "Minus": "-", "BitwiseNot": "~", "LogicalNot": "!", "BitwiseAnd": "&", "BitwiseOr": "|",
    "BitwiseXor": "^", "BitwiseNand": "~&", "BitwiseNor": "~|", "BitwiseXnor": "~^",
}  # fmt: skip
_ALIKE = {
    "Add": "+", "Subtract": "-", "Multiply": "*", "Divide": "/", "Mod": "%", "BinaryAnd": "&", "BinaryOr": "|",
    "BinaryXor": "^", "BinaryXnor": "~^", "Equality": "==", "Inequality": "!=", "CaseEquality": "===",
    "CaseInequality": "!==",
    "GreaterThanEqual": ">=", "GreaterThan": ">", "LessThanEqual": "<=", "LessThan": "<",
}  # fmt: skip
_SIGNED = frozenset({"Divide", "Mod", "GreaterThanEqual", "GreaterThan", "LessThanEqual", "LessThan"})
_FREE = {
    "LogicalAnd": "&&", "LogicalOr": "||", "LogicalShiftLeft": "<<", "LogicalShiftRight": ">>",
    "ArithmeticShiftLeft": "<<",
}  # fmt: skip
_FIXED = ("Parameter", "EnumValue", "Specparam", "Genvar")
_REDUCED = {"sum": "+", "product": "*", "and": "&", "or": "|", "xor": "^"}
MOST_VALUES = 20_000  # expressions, once instances and generate blocks are written out: about a second
MOST_PARTS = 256  # words of an array that is a value as a whole
CHANGING = ("Preincrement", "Predecrement", "Postincrement", "Postdecrement")


class Expressions:
    """Writes expressions of one module. ``root`` finds where a symbol lies, ``call`` names a called function."""

    def __init__(self, names: Names, scope: Any, root: Callable[[Any], BitPlace], call: Callable[[Any], str]) -> None:
        self.names, self.call, self.written = names, call, 0
        self.context = slang.library().ast.EvalContext(scope)
        self.places = Places(names, root, self.value, self.number)
        self.standing = ""  # for the value that a port gives out, or the target of an assignment such as +=

    # ---- constants
    def digits(self, node: Any) -> str | None:
        """The value of a constant as bits."""
        if node.kind.name in ("NamedValue", "HierarchicalValue"):
            return bits(node.symbol.value) if node.symbol.kind.name in _FIXED else None
        if node.type.isVoid or node.kind.name in ("EmptyArgument", "LValueReference", "Assignment", "Streaming"):
            return None
        found = node.eval(self.context)
        if found is None or found.value is None or isinstance(found.value, (str, float)):
            return None
        return bits(found)

    def number(self, node: Any) -> int | None:
        """The value of a constant without X."""
        digits = self.digits(node)
        if digits is None or digits.strip("01"):
            return None
        value = int(digits, 2)
        return value - (1 << len(digits)) if node.type.isSigned and digits[0] == "1" else value

    # ---- values
    def value(self, node: Any) -> str:
        """The text of an expression, unsigned and as wide as its type. Raises Refused."""
        self.written += 1
        if self.written > MOST_VALUES:
            raise Refused("a design of very many expressions")
        size = width(node.type)
        digits = self.digits(node)
        if digits is not None:
            if len(digits) != size:
                raise Refused("a constant of another width than its type")
            return literal(digits)
        kind = node.kind.name
        write = getattr(self, f"_{kind.lower()}", None)
        if write is None:
            raise Refused(f"an expression of kind {kind}")
        return str(write(node))

    def into(self, node: Any, is_two_state_target: bool) -> str:
        """The right side of an assignment as wide as its type: what the target itself does with X is left to it."""
        if is_two_state_target and node.kind.name == "Conversion" and self.digits(node) is None:
            inner = node.operand
            if not inner.type.isVoid and width(inner.type) == width(node.type) and is_two_state(node.type):
                return self.value(inner)
        return self.value(node)

    def place(self, node: Any) -> BitPlace:
        return self.places.place(node)

    def _namedvalue(self, node: Any) -> str:
        place = self.place(node)
        if not place.is_word:
            if place.may_miss:
                raise Refused("an array of an array, by an index that may name nothing")
            return "{" + ", ".join(word.text() for word in place.all_words(MOST_PARTS)) + "}"
        text = place.text()
        return self.names.known(text, place.size) if place.may_miss and is_two_state(node.type) else text

    _hierarchicalvalue = _elementselect = _rangeselect = _memberaccess = _namedvalue

    def _emptyargument(self, _: Any) -> str:
        if not self.standing:
            raise Refused("an argument that is left out")
        return self.standing

    _lvaluereference = _emptyargument

    def _unaryop(self, node: Any) -> str:
        sign = _UNARY.get(node.op.name)
        if sign is None:
            raise Refused(f"{node.op.name} within an expression")
        return f"({sign}{self.value(node.operand)})"

    def _binaryop(self, node: Any) -> str:
        op, left, right = node.op.name, node.left, node.right
        is_signed = bool(left.type.isSigned and right.type.isSigned)
        one, two = self.value(left), self.value(right)
        if op in _ALIKE:
            if width(left.type) != width(right.type):
                raise Refused("operands of different widths")
            if op in _SIGNED and is_signed:
                whole = f"($signed({one}) {_ALIKE[op]} $signed({two}))"
                return f"$unsigned({whole})" if op in ("Divide", "Mod") else whole
            return f"({one} {_ALIKE[op]} {two})"
        if op in _FREE:
            return f"({one} {_FREE[op]} {two})"
        match op:
            case "ArithmeticShiftRight":
                return f"$unsigned(($signed({one}) >>> {two}))" if left.type.isSigned else f"({one} >> {two})"
            case "LogicalImplication":
                return f"(!{one} || {two})"
            case "LogicalEquivalence":
                return f"((|{one}) == (|{two}))"
            case "WildcardEquality":
                return self._alike(left, right)
            case "WildcardInequality":
                return f"(~{self._alike(left, right)})"
            case "Power" if self.number(left) == 2 and not right.type.isSigned:
                return f"({literal(format(1, f'0{width(left.type)}b'))} << {two})"
            case _:
                raise Refused(f"the operator {op}")

    def _alike(self, left: Any, pattern: Any) -> str:
        """``==?``: X and Z of the pattern match anything."""
        size, value = width(left.type), self.value(left)
        if width(pattern.type) != size:
            raise Refused("operands of different widths")
        digits = self.digits(pattern)
        if digits is not None and not digits.strip("01"):
            return f"({value} == {literal(digits)})"
        if digits is not None:
            mask = "".join("1" if digit in "01" else "0" for digit in digits)
            wanted = "".join(digit if digit in "01" else "0" for digit in digits)
            return f"(({value} & {literal(mask)}) == {literal(wanted)})"
        if is_two_state(pattern.type):
            return f"({value} == {self.value(pattern)})"
        if size > MOST_EACH:
            raise Refused(f"a comparison of {size} bits")
        each = " | ".join(f"((p[{at}] ^ p[{at}]) === 1'bx ? 1'b0 : v[{at}] ^ p[{at}])" for at in range(size))
        name = self.names.helper(
            f"alike_{size}", 1, f"input [{size - 1}:0] v, input [{size - 1}:0] p", f"$ = ~({each});"
        )
        return f"{name}({value}, {self.value(pattern)})"

    def _inside(self, node: Any) -> str:
        return self.among(node.left, node.rangeList)

    def among(self, left: Any, ranges: Sequence[Any]) -> str:
        """Whether a value is one of several: 1 where one matches, else X where one may."""
        self.names.repeated(self.value(left))
        return "(" + " | ".join(self._one_of(left, one) for one in ranges) + ")"

    def _one_of(self, left: Any, one: Any) -> str:
        if one.kind.name != "ValueRange":
            if not one.type.isIntegral or not left.type.isIntegral:
                raise Refused("inside an array")
            return self._alike(left, one)
        if "+/-" in str(one.syntax) or "+%-" in str(one.syntax):
            raise Refused("a range with a tolerance")
        parts: list[str] = []
        for bound, sign in ((one.left, ">="), (one.right, "<=")):
            if bound.kind.name == "UnboundedLiteral":
                continue
            if width(bound.type) != width(left.type):
                raise Refused("operands of different widths")
            is_signed = left.type.isSigned and bound.type.isSigned
            mark = "$signed" if is_signed else ""
            parts.append(f"({mark}({self.value(left)}) {sign} {mark}({self.value(bound)}))")
        return "(" + (" & ".join(parts) or "1'b1") + ")"

    def _conditionalop(self, node: Any) -> str:
        if len(node.conditions) != 1 or node.conditions[0].pattern is not None or not node.type.isIntegral:
            raise Refused("a conditional operator with a pattern, or of what is not a vector")
        if not width(node.left.type) == width(node.right.type) == width(node.type):
            raise Refused("operands of different widths")
        return f"({self.value(node.conditions[0].expr)} ? {self.value(node.left)} : {self.value(node.right)})"

    def _concatenation(self, node: Any) -> str:
        def is_nothing(part: Any) -> bool:
            return part.kind.name == "Replication" and (part.type.isVoid or self.number(part.count) == 0)

        operands = [operand for operand in node.operands if not is_nothing(operand)]
        parts = [self.value(operand) for operand in operands]
        if sum(width(operand.type) for operand in operands) != width(node.type):
            raise Refused("a concatenation of another width than its parts")
        return "{" + ", ".join(parts) + "}"

    def _replication(self, node: Any) -> str:
        count = self.number(node.count)
        if count is None or count < 1:
            raise Refused("a replication by what is not a constant")
        return f"{{{count}{{{self.value(node.concat)}}}}}"

    # ---- patterns: the elements in order, the first leftmost, as in the vector or array that they make
    def _simpleassignmentpattern(self, node: Any) -> str:
        return "{" + ", ".join(self.value(element) for element in self.elements(node)) + "}"

    _structuredassignmentpattern = _replicatedassignmentpattern = _simpleassignmentpattern

    def elements(self, node: Any) -> list[Any]:
        """Of a pattern; as many and as wide as its type has them. Raises Refused."""
        found = list(node.elements)
        if node.kind.name == "ReplicatedAssignmentPattern":
            count = self.number(node.count)
            found = found * count if count is not None and len(found) * count == _parts(node.type) else found
        sizes = [width(element.type) for element in found]
        if len(found) != _parts(node.type) or sum(sizes) != width(node.type):
            raise Refused("a pattern that is not as its type")
        return found

    # ---- conversions
    def _conversion(self, node: Any) -> str:
        inner, size = node.operand, width(node.type)
        if inner.kind.name == "Streaming":
            text = self._streamed(inner, size)
            return self.names.known(text, size) if is_two_state(node.type) else text
        if inner.type.isVoid or not (inner.type.isIntegral or node.conversionKind.name == "BitstreamCast"):
            raise Refused(f"a conversion of {inner.type}")
        old = width(inner.type)
        if not (inner.type.isIntegral and node.type.isIntegral) and old != size:
            raise Refused("a cast to another number of bits")
        is_signed = node.type.isSigned if node.conversionKind.name == "Propagated" else inner.type.isSigned
        text = self.names.resized(self.value(inner), old, size, bool(is_signed))
        return self.names.known(text, size) if is_two_state(node.type) and not is_two_state(inner.type) else text

    def _streamed(self, node: Any, size: int) -> str:
        """Slices in the opposite order, the last one what is left at the left end; zeros on the right."""
        if any(stream.withExpr is not None for stream in node.streams):
            raise Refused("a stream of a part of an array")
        operands = [stream.operand for stream in node.streams]
        total = sum(width(operand.type) for operand in operands)
        if total > size or total == 0:
            raise Refused("a stream of more bits than its target has")
        text = "{" + ", ".join(self.value(operand) for operand in operands) + "}"
        slice_ = int(node.sliceSize)
        if slice_:
            ends = [(min(low + slice_, total) - 1, low) for low in range(0, total, slice_)]
            text = self.names.turned(text, total, ends, f"stream_{slice_}_{total}")
        return f"{{{text}, {size - total}'b0}}" if size > total else text

    def unstreamed(self, left: Any, right: Any) -> tuple[list[BitPlace], str]:
        """What a stream as a target sets, and the value for all of it, side by side."""
        targets = [self.place(stream.operand) for stream in left.streams]
        total, slice_ = sum(target.size for target in targets), int(left.sliceSize)
        if any(stream.withExpr is not None or is_two_state(stream.operand.type) for stream in left.streams):
            raise Refused("a stream of a part of an array, or of what swallows X, as a target")
        if right.type.isVoid or width(right.type) != total:
            raise Refused("a stream as a target of another width")
        if not slice_:
            return targets, self.value(right)
        starts = range(0, total, slice_)
        ends = [(total - 1 - low, total - min(low + slice_, total)) for low in reversed(starts)]
        return targets, self.names.turned(self.value(right), total, ends, f"unstream_{slice_}_{total}")

    # ---- calls
    def _call(self, node: Any) -> str:
        if not node.isSystemCall:
            return f"{self.call(node.subroutine)}({', '.join(self.value(argument) for argument in node.arguments)})"
        arguments = list(node.arguments)
        name = node.subroutineName
        if name in ("$signed", "$unsigned") and width(arguments[0].type) == width(node.type):
            return self.value(arguments[0])
        if name in ("next", "prev") and arguments and arguments[0].type.isEnum:
            return self._step(arguments, 1 if name == "next" else -1)
        if name in _REDUCED and len(arguments) == 1 and " with " not in f" {node.syntax} ".replace("\n", " "):
            words = self.place(arguments[0])
            if words.num_words + 1 == len(words.shape.words) and words.shape.width == width(node.type):
                return "(" + f" {_REDUCED[name]} ".join(word.text() for word in words.all_words(MOST_PARTS)) + ")"
        if name in ("$countones", "$onehot", "$onehot0", "$isunknown") and arguments[0].type.isIntegral:
            return self._counted(name, arguments[0], width(node.type))
        raise Refused(f"the call of {name}")

    def _step(self, arguments: list[Any], direction: int) -> str:
        """``next`` and ``prev`` of an enum; from a value that is not a member, the initial value of the type."""
        type_ = arguments[0].type.canonicalType
        count = self.number(arguments[1]) if len(arguments) > 1 else 1
        if count is None:
            raise Refused("a step in an enum by what is not a constant")
        values = [bits(member.value) for member in type_ if member.kind.name == "EnumValue"]
        size, step = width(type_), direction * count
        pairs = [f"{literal(one)}: $ = {literal(values[(at + step) % len(values)])};" for at, one in enumerate(values)]
        rest = literal(("0" if is_two_state(type_) else "x") * size)
        body = f"case (v) {' '.join(pairs)} default: $ = {rest}; endcase"
        about = f"step {type_.hierarchicalPath} {type_.location.offset} {step}"
        return f"{self.names.helper(about, size, f'input [{size - 1}:0] v', body)}({self.value(arguments[0])})"

    def _counted(self, name: str, argument: Any, size: int) -> str:
        old, value = width(argument.type), self.value(argument)
        if name == "$isunknown":
            return f"((^{value}) === 1'bx)"
        if old > MOST_EACH:
            raise Refused(f"a count of {old} bits")
        ones = " + ".join(f"{{31'b0, v[{at}] === 1'b1}}" for at in range(old))
        count = self.names.applied(f"ones_{old}", value, old, 32, f"$ = {ones};")
        if name == "$countones":
            return count if size == 32 else self.names.resized(count, 32, size, is_signed=False)
        text = f"({count} {'==' if name == '$onehot' else '<='} 32'd1)"
        return text if size == 1 else self.names.resized(text, 1, size, is_signed=False)


def _parts(type_: Any) -> int:
    """How many elements or members a type has."""
    type_ = type_.canonicalType
    if type_.kind.name in ("PackedStructType", "UnpackedStructType"):
        return len(fields(type_))
    return int(type_.fixedRange.width)
