"""What all writers share: the refusal, names, shapes of types, and functions that the written module needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_BITS = 1 << 20  # of one variable
MOST_NAMES = 20_000
MOST_EACH = 4096  # bits that are written one by one
VECTORS = ("PackedArrayType", "PredefinedIntegerType", "EnumType", "PackedStructType", "PackedUnionType", "ScalarType")


class Refused(Exception):
    """What prevents a lowering; the text names it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a variable of a type is declared: words of a vector ``[left:right]``, in unpacked dimensions ``words``."""

    width: int
    left: int
    right: int
    words: tuple[tuple[int, int], ...] = ()
    is_two_state: bool = False

    @property
    def range(self) -> str:
        return f"[{self.left}:{self.right}]"

    @property
    def dimensions(self) -> str:
        return "".join(f" [{left}:{right}]" for left, right in self.words)

    def index(self, position: int) -> int:
        """The declared index of a bit that is counted from the lowest one."""
        return self.right + position if self.left >= self.right else self.right - position


def width(type_: Any) -> int:
    """Bits of a type with a fixed number of them. Raises Refused."""
    type_ = type_.canonicalType
    kind = type_.kind.name
    if kind in VECTORS:
        if kind == "PackedUnionType" and type_.isTaggedUnion:
            raise Refused("a tagged union")
        return int(type_.bitWidth)
    if kind == "FixedSizeUnpackedArrayType":
        return width(type_.elementType) * int(type_.range.width)
    if kind == "UnpackedStructType":
        return sum(width(field.type) for field in fields(type_))
    raise Refused(f"the type {type_}")


def fields(struct: Any) -> list[Any]:
    return [member for member in struct if member.kind.name == "Field"]


def is_two_state(type_: Any) -> bool:
    """Whether no bit of it can be X. Raises Refused where some can and some cannot, in what is not a vector."""
    type_ = type_.canonicalType
    if type_.kind.name == "FixedSizeUnpackedArrayType":
        return is_two_state(type_.elementType)
    if type_.kind.name == "UnpackedStructType":
        kinds = {is_two_state(member.type) for member in fields(type_)}
        if len(kinds) != 1:
            raise Refused("an unpacked struct of types with and without X")
        return kinds.pop()
    return not type_.isFourState


def shape(type_: Any) -> Shape:
    """Raises Refused."""
    words: list[tuple[int, int]] = []
    inner = type_.canonicalType
    while inner.kind.name == "FixedSizeUnpackedArrayType":
        words.append((int(inner.range.left), int(inner.range.right)))
        inner = inner.elementType.canonicalType
    bits = width(inner)
    if not 0 < width(type_) <= MAX_BITS:
        raise Refused(f"a variable of {width(type_)} bits")
    left, right = bits - 1, 0
    if inner.kind.name == "PackedArrayType" and inner.elementType.canonicalType.kind.name == "ScalarType":
        left, right = int(inner.range.left), int(inner.range.right)
    return Shape(bits, left, right, tuple(words), is_two_state(inner))


def key(symbol: Any) -> tuple[str, int]:
    """What identifies a symbol: variables of blocks without names share their path."""
    return symbol.hierarchicalPath, symbol.location.offset


def bits(value: Any) -> str:
    """A constant of slang's as bits, the first element or member of what is unpacked leftmost. Raises Refused."""
    inner: Any = value.value
    if isinstance(inner, list):
        return "".join(bits(element) for element in inner)  # type: ignore[reportUnknownVariableType]
    if not hasattr(inner, "bitWidth"):
        raise Refused("a constant that is not a vector")
    return "".join(str(inner[at]).lower().replace("-", "") for at in reversed(range(int(inner.bitWidth))))


def literal(digits: str) -> str:
    return f"{len(digits)}'b{digits}" if digits.strip("01") else f"{len(digits)}'h{int(digits, 2):x}"


@dataclass(slots=True)
class Names:
    """Names of the written module, and the helper functions that it needs."""

    taken: set[str] = field(default_factory=set[str])
    helpers: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])  # -> (its name, its text)
    functions: set[str] = field(default_factory=set[str])  # of the design's own, which may do more than give a value

    def repeated(self, text: str) -> str:
        """A text that is about to be written twice. Raises Refused where it calls a function of the design."""
        if any(name in text for name in self.functions):
            raise Refused("a function that would be called twice")
        return text

    def fresh(self, about: str) -> str:
        """A name that nothing has."""
        plain = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in about)
        if len(self.taken) > MOST_NAMES:
            raise Refused("a design of very many names")
        name = f"{plain}_L{len(self.taken)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def helper(self, about: str, size: int, arguments: str, body: str) -> str:
        """The name of a helper function with ``size`` bits; ``$`` in ``body`` is its result."""
        if about not in self.helpers:
            name = self.fresh(about)
            body = body.replace("$", name)
            self.helpers[about] = name, f"  function [{size - 1}:0] {name}({arguments});\n    {body}\n  endfunction"
        return self.helpers[about][0]

    def applied(self, about: str, text: str, old: int, new: int, body: str) -> str:
        """The call of a helper function from ``old`` to ``new`` bits on ``text``, which is ``v`` in ``body``."""
        return f"{self.helper(about, new, f'input [{old - 1}:0] v', body)}({text})"

    # ---- conversions
    def resized(self, text: str, old: int, new: int, is_signed: bool) -> str:
        if new == old:
            return text
        if new < old:
            return self.applied(f"cut_{old}_{new}", text, old, new, f"$ = v[{new - 1}:0];")
        if not is_signed:
            return f"{{{new - old}'b0, {text}}}"
        return self.applied(f"sign_{old}_{new}", text, old, new, f"$ = {{{{{new - old}{{v[{old - 1}]}}}}, v}};")

    def turned(self, text: str, size: int, parts: Sequence[tuple[int, int]], about: str) -> str:
        """Parts of a value, (high, low) each, in another order."""
        body = "$ = {" + ", ".join(f"v[{high}:{low}]" for high, low in parts) + "};"
        return self.applied(about, text, size, size, body)

    def known(self, text: str, size: int) -> str:
        """X and Z as 0."""
        if size > MOST_EACH:
            raise Refused(f"a conversion of {size} bits")
        each = ", ".join(f"v[{at}] === 1'b1" for at in reversed(range(size)))
        return self.applied(f"known_{size}", text, size, size, f"$ = {{{each}}};")
