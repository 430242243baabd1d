"""Whole texts in blocks of tokens, for continued pre-training. Imports no torch."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from itertl.model.prompts import EncodedPrompt, encode_response

Part = tuple[str, tuple[int, ...]]  # id of the text's problem, token ids


def text_blocks(texts: Iterable[tuple[str, str]], tokenizer: Any, room: int) -> list[list[Part]]:
    """(id, text) pairs as token ids with their end tokens, cut where longer than ``room``, in blocks of at most as many
    tokens. Raises UsageError where the tokenizer has no end token."""
    parts: list[Part] = []
    for ident, text in texts:
        ids = encode_response(text, EncodedPrompt("", (), ""), tokenizer)
        parts += [(ident, ids[first : first + room]) for first in range(0, len(ids), room)]
    return [[parts[number] for number in block] for block in fill([len(ids) for _, ids in parts], room)]


def fill(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Numbers of items in blocks of at most ``room``, by best fit in the order given: each into the fullest block that
    has room for it. No item may be larger. O(n log room)."""
    blocks: list[list[int]] = []
    left: dict[int, deque[int]] = {}  # room -> blocks with so much of it, the oldest first
    rooms: list[int] = []  # the keys of ``left``, ascending
    for number, size in enumerate(sizes):
        at = bisect_left(rooms, size)
        if at < len(rooms):
            has = rooms[at]
            block = left[has].popleft()
            if not left[has]:
                del left[has], rooms[at]
        else:
            has, block = room, len(blocks)
            blocks.append([])
        blocks[block].append(number)
        rest = has - size
        if rest:
            if rest not in left:
                left[rest] = deque()
                insort(rooms, rest)
            left[rest].append(block)
    return blocks
