"""Where a value lies: a variable or net, a word of it, and which bits of the word.

An index out of range reads X and writes nothing in Verilog, also within a member or an element of a vector, where other
bits lie beside it. There the index is compared with its bounds, and one beyond them goes beyond the whole vector.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from itertl.scoring.lowering.names import VECTORS, Names, Refused, Shape, fields, width


@dataclass(frozen=True, slots=True)
class BitPlace:
    """Bits ``low + size - 1`` to ``low`` of a word, ``moved`` by a value; or ``native``, a select of Verilog's."""

    name: str
    shape: Shape
    low: int
    size: int
    is_flat: bool = False  # unpacked dimensions are written side by side in one vector: constants are
    words: str = ""
    num_words: int = 0
    moved: str = ""
    native: str = ""
    may_miss: bool = False  # an index may name nothing
    swallows: bool = False  # the variable itself turns X into 0
    window: tuple[int, int] | None = None  # a slice of the next dimension

    @property
    def is_whole(self) -> bool:
        """A word as it is."""
        return not self.native and not self.moved and self.low == 0 and self.size == self.shape.width

    @property
    def is_word(self) -> bool:
        return self.num_words == len(self.shape.words)

    @property
    def elements(self) -> range:
        """The indices of the next unpacked dimension, or of what is selected of it, in the order of declaration."""
        left, right = self.window or self.shape.words[self.num_words]
        step = 1 if left <= right else -1
        return range(left, right + step, step)

    def word(self, number: int) -> "BitPlace":
        """An element of an unpacked array."""
        return replace(self, words=f"{self.words}[{number}]", num_words=self.num_words + 1, window=None)

    def all_words(self, most: int) -> "list[BitPlace]":
        """Every word, in the order of declaration. Raises Refused where there are more than ``most``."""
        found: list[BitPlace] = [self]
        for _ in self.shape.words[self.num_words :]:
            found = [place.word(number) for place in found for number in place.elements]
            if len(found) > most:
                raise Refused("an array of very many words, as a whole")
        return found

    def text(self) -> str:
        if not self.is_word:
            raise Refused("an unpacked array as a whole")
        if self.native:
            return f"{self.name}{self.words}{self.native}"
        if self.moved:
            base = f"{self.moved} + {self.low}" if self.low else self.moved
            return f"{self.name}{self.words}[({base}) +: {self.size}]"
        if self.is_whole:
            return f"{self.name}{self.words}"
        high, low = self.shape.index(self.low + self.size - 1), self.shape.index(self.low)
        return f"{self.name}{self.words}[{high}:{low}]" if self.size > 1 else f"{self.name}{self.words}[{low}]"


class Places:
    """Reads the selects of an expression. ``value`` writes an index, ``constant`` gives its number where it has one."""

    def __init__(
        self,
        names: Names,
        root: Callable[[Any], BitPlace],
        value: Callable[[Any], str],
        constant: Callable[[Any], int | None],
    ) -> None:
        self.names, self.root, self.value, self.constant = names, root, value, constant

    def place(self, node: Any) -> BitPlace:
        """Of a name with selects. Raises Refused for what is none."""
        match node.kind.name:
            case "NamedValue" | "HierarchicalValue":
                return self.root(node.symbol)
            case "MemberAccess":
                return self._member(self.place(node.value), node)
            case "ElementSelect":
                return self._element(self.place(node.value), node)
            case "RangeSelect":
                return self._range(self.place(node.value), node)
            case kind:
                raise Refused(f"a select of {kind}")

    def _member(self, place: BitPlace, node: Any) -> BitPlace:
        if not place.is_word or node.member.kind.name != "Field":
            raise Refused(f"the member {node.member.name}")
        struct = node.value.type.canonicalType
        low = int(node.member.bitOffset)
        if struct.kind.name == "UnpackedStructType":
            behind = fields(struct)[int(node.member.fieldIndex) + 1 :]
            low = sum(width(member.type) for member in behind)
        return replace(place, low=place.low + low, size=width(node.type))

    def _element(self, place: BitPlace, node: Any) -> BitPlace:
        outer = node.value.type.canonicalType
        is_memory = outer.kind.name == "FixedSizeUnpackedArrayType"
        if place.window is not None:
            raise Refused("an element of a slice")
        if is_memory and not place.is_flat and not place.is_word:
            low, high = sorted(place.shape.words[place.num_words])
            number = self.constant(node.selector)
            is_inside = low <= number <= high if number is not None else self._fits(node.selector, low, high)
            words = f"{place.words}[{self._index(node.selector)}]"
            return replace(place, words=words, num_words=place.num_words + 1, may_miss=place.may_miss or not is_inside)
        bounds = self._bounds(outer)
        low, high = min(bounds), max(bounds)
        each = width(outer) // (high - low + 1)
        number = self.constant(node.selector)
        if number is not None:
            return self._at(place, number, bounds, each, width(node.type))
        if not place.is_word:
            raise Refused("an unpacked array as a whole")
        fits = self._fits(node.selector, low, high)
        if self._is_plain(place, outer) and each == 1:
            return replace(place, native=f"[{self._index(node.selector)}]", size=1, may_miss=not fits)
        moved = self._moved(place, node.selector, bounds, each, fits)
        return replace(place, moved=moved, size=width(node.type), may_miss=place.may_miss or not fits)

    def _range(self, place: BitPlace, node: Any) -> BitPlace:
        outer = node.value.type.canonicalType
        left, right = self._bounds(outer)
        if outer.kind.name not in VECTORS:
            return self._slice(place, node, (left, right))
        each = int(outer.bitWidth) // (abs(left - right) + 1)
        count = width(node.type) // each
        if node.selectionKind.name == "Simple":
            low = self.constant(node.right)
            if low is None:
                raise Refused("a part select without constant bounds")
            return self._at(place, low, (left, right), each, width(node.type))
        number = self.constant(node.left)
        is_up = node.selectionKind.name == "IndexedUp"
        if number is not None:
            first = number + (count - 1 if is_up else 0) if left < right else number - (0 if is_up else count - 1)
            return self._at(place, first, (left, right), each, width(node.type))
        if not self._is_plain(place, outer) or each != 1:
            raise Refused("a part select that moves, within a part of a vector")
        sign = "+" if is_up else "-"
        return replace(place, native=f"[{self._index(node.left)} {sign}: {count}]", size=count, may_miss=True)

    def _slice(self, place: BitPlace, node: Any, bounds: tuple[int, int]) -> BitPlace:
        ends = self.constant(node.left), self.constant(node.right)
        is_odd = node.selectionKind.name != "Simple" or place.is_flat or place.is_word or place.window is not None
        if is_odd or ends[0] is None or ends[1] is None:
            raise Refused("a slice of an unpacked array that is not plain")
        if not all(min(bounds) <= end <= max(bounds) for end in (ends[0], ends[1])):
            raise Refused("an index out of range")
        return replace(place, window=(ends[0], ends[1]))

    def _at(self, place: BitPlace, number: int, bounds: tuple[int, int], each: int, size: int) -> BitPlace:
        left, right = bounds
        position = ((number - right) if left >= right else (right - number)) * each
        if not place.is_word or not 0 <= position <= place.size - size:
            raise Refused("an index out of range")
        return replace(place, low=place.low + position, size=size)

    def _moved(self, place: BitPlace, moving: Any, bounds: tuple[int, int], each: int, fits: bool) -> str:
        """How far up from its lowest bit: in 32 bits, which is enough for an index that names something."""
        left, right = bounds
        bits, is_signed = int(moving.type.bitWidth), bool(moving.type.isSigned)
        if bits > 32:
            raise Refused("an index of more than 32 bits")
        wide = self.names.resized(self.value(moving), bits, 32, is_signed)
        number = f"({wide} - {_signed(right)})" if left >= right else f"({_signed(right)} - {wide})"
        number = wide if right == 0 <= left else number
        at = f"{number} * 32'd{each}" if each > 1 else number
        if place.moved:
            at = f"{place.moved} + {at}"
        if fits:
            return f"({at})"
        mark = "$signed" if is_signed else ""
        self.names.repeated(wide)
        tests = [f"{mark}({wide}) >= {_signed(min(bounds))}"] if is_signed or min(bounds) > 0 else []
        tests.append(f"{mark}({wide}) <= {_signed(max(bounds))}" if is_signed or max(bounds) >= 0 else "1'b0")
        return f"(({' && '.join(tests)}) ? {at} : 32'd{place.shape.width})"

    def _is_plain(self, place: BitPlace, outer: Any) -> bool:
        """Whether a word is a vector of bits, declared as the type is, so that Verilog's own select does."""
        is_vector = outer.kind.name == "PredefinedIntegerType" or (
            outer.kind.name == "PackedArrayType" and outer.elementType.canonicalType.kind.name == "ScalarType"
        )
        left, right = self._bounds(outer) if is_vector else (0, 0)
        return is_vector and place.is_word and place.is_whole and (place.shape.left, place.shape.right) == (left, right)

    def _bounds(self, type_: Any) -> tuple[int, int]:
        if type_.kind.name == "FixedSizeUnpackedArrayType" or type_.hasFixedRange:
            found = type_.fixedRange
            return int(found.left), int(found.right)
        raise Refused(f"a select of the type {type_}")

    def _fits(self, index: Any, low: int, high: int) -> bool:
        """Whether every value of an index names an element."""
        bits = int(index.type.bitWidth)
        return not index.type.isSigned and low <= 0 and (1 << bits) - 1 <= high

    def _index(self, index: Any) -> str:
        number = self.constant(index)
        if number is not None:
            return str(number)
        return f"$signed({self.value(index)})" if index.type.isSigned else self.value(index)


def _signed(number: int) -> str:
    return f"32'sd{number}" if number >= 0 else f"(-32'sd{-number})"
