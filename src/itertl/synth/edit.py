"""One change of a text, other values of a literal, and how to read places and parts off slang's syntax nodes."""

from dataclasses import dataclass
from typing import Any

_DIGITS = {"b": 2, "o": 8, "d": 10, "h": 16}


@dataclass(frozen=True, slots=True)
class Edit:
    """Put ``text`` in the place of the bytes ``start`` to ``end`` (UTF-8)."""

    kind: str
    start: int
    end: int
    text: str


def span(node: Any) -> tuple[int, int]:
    """First byte of a node or token, and the one after its last; (-1, -1) where a macro holds any of it."""
    where = node.range if hasattr(node, "rawText") else node.sourceRange
    if where.start.buffer != where.end.buffer or where.start.buffer.id != 1:
        return -1, -1
    return where.start.offset, where.end.offset


def parts(nodes: Any) -> list[Any]:
    """The nodes of a list, without its separators."""
    return [node for node in nodes if not hasattr(node, "rawText")]


def written(node: Any, source: bytes) -> str:
    """The text of a node or token; "" where a macro holds any of it."""
    start, end = span(node)
    return source[start:end].decode("utf-8", "replace") if start >= 0 else ""


def other_values(literal: str) -> list[str]:
    """``4'd9`` gives 4'd10, 4'd8 and 4'd1; ``3`` gives 4 and 2."""
    size, tick, rest = literal.partition("'")
    digits = rest.lstrip("sS")
    base = digits[:1].lower() if tick else "d"
    number = (digits[1:] if tick else size).replace("_", "").strip()
    try:
        value, width = int(number, _DIGITS[base]), int(size.replace("_", "")) if tick and size.strip() else 0
    except (ValueError, KeyError):
        return []
    values = [value + 1, value ^ 1]
    if tick and 1 < width <= 4096:
        values.append(value ^ (1 << (width - 1)))
    limit = 1 << width if 0 < width <= 4096 else None
    prefix = literal[: len(size) + 1 + (len(rest) - len(digits)) + 1] if tick else ""
    shown = {"b": "b", "o": "o", "d": "d", "h": "x"}[base]
    found = [v if limit is None else v % limit for v in values]
    return [f"{prefix}{v:0{len(number) if base != 'd' else 1}{shown}}" for v in dict.fromkeys(found) if v != value]
