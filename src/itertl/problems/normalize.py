"""What two texts have in common once layout, case, comments and names are taken away; and sets of n-grams of it.

An n-gram is a 64-bit number: a polynomial over the positions of its items in a ``Vocabulary``, modulo 2^64, then mixed.
Two different n-grams get the same number with a probability of about 2^-64 a pair; no evidence rests on it, because
what is quoted is looked up in the texts again.
"""

import functools
import hashlib
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from itertl.verilog.text import NAME_KINDS, Token, rename_identifiers, tokenize

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts without spaces: each character is a word
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_BASE = 0x9E3779B97F4A7C15  # odd, so that multiplication is a bijection modulo 2^64
_MIX = 0xBF58476D1CE4E5B9
TEXT_GRAM = 8  # words, as in the usual decontamination of training sets
CODE_GRAM = 6  # tokens


def words(text: str) -> list[str]:
    """Case-folded runs of letters and digits: punctuation, underscores, mark-up and white space separate words."""
    return _WORD.findall(text.casefold())


def code_tokens(code: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tokens without comments and layout, and the same with identifiers replaced by the order of their first use.

    Equal first lists are the same code, equal second ones the same but for names.
    """
    stream = tokenize(code)
    return tuple(token.canonical for token in stream), tuple(rename_identifiers(stream))


@dataclass(slots=True)
class Vocabulary:
    """Numbers for words or tokens, handed out in order of first use; n-gram sets are comparable within one of it."""

    numbers: dict[Hashable, int] = field(default_factory=dict[Hashable, int])

    def grams(self, items: Sequence[str], size: int) -> frozenset[int]:
        """The set of n-grams of ``size`` items; a shorter, non-empty text is one n-gram by itself."""
        if not items:
            return frozenset()
        codes = [self.numbers.setdefault(item, len(self.numbers) + 1) for item in items]
        return frozenset(window_hashes(np.array(codes, dtype=np.uint64), min(size, len(codes))).tolist())


def gram_array(items: Sequence[str], size: int) -> np.ndarray:
    """The distinct n-grams of ``size`` items, ascending, as in ``Vocabulary.grams`` but by hashes of the items: the
    same in every process."""
    if not items:
        return np.zeros(0, dtype=np.uint64)
    return np.unique(window_hashes(item_codes(items), min(size, len(items))))


def item_codes(items: Sequence[str]) -> np.ndarray:
    """A 64-bit hash of each item; shape (T,)."""
    return np.fromiter(map(_item_code, items), dtype=np.uint64, count=len(items))


@functools.lru_cache(maxsize=1 << 16)
def _item_code(item: str) -> int:
    return int.from_bytes(hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def window_hashes(codes_T: np.ndarray, size: int) -> np.ndarray:
    """64-bit hashes of all windows of ``size`` items; shape (T - size + 1,), (0,) where there are fewer."""
    count = max(0, len(codes_T) - size + 1)
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        total = total * np.uint64(_BASE) + codes_T[offset : offset + count]
    return _mixed(total)


def _mixed(total: np.ndarray) -> np.ndarray:
    total ^= total >> np.uint64(31)
    total *= np.uint64(_MIX)
    return total ^ (total >> np.uint64(29))


def renamed_window_hashes(stream: Sequence[Token], size: int) -> np.ndarray:
    """Hashes of all windows of ``size`` tokens, equal for two windows that differ in the names of identifiers alone;
    shape as of ``window_hashes``.

    A name counts by how far back in the window it stood before (Baker, "Parameterized pattern matching", 1996).
    """
    count = max(0, len(stream) - size + 1)
    last: dict[str, int] = {}
    back_T = np.zeros(len(stream), dtype=np.int64)  # 0: no name, or one that is new
    for place, token in enumerate(stream):
        if token.kind in NAME_KINDS:
            name = token.text.removeprefix("\\")
            back_T[place] = min(place - last.get(name, -size), size)
            last[name] = place
    back_T[back_T >= size] = 0
    new_T = item_codes(["name" if token.kind in NAME_KINDS else " " + token.canonical for token in stream])
    known = item_codes([f"name {distance}" for distance in range(size)])
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        back = back_T[offset : offset + count]
        is_known = (back > 0) & (back <= offset)
        total = total * np.uint64(_BASE) + np.where(is_known, known[back], new_T[offset : offset + count])
    return _mixed(total)


def longest_shared_run(first: Sequence[str], second: Sequence[str], size: int) -> str:
    """The longest run of ``first`` whose every window of ``size`` items stands in ``second``, as text.

    For texts shorter than ``size``, all of it where they are equal. "" where nothing is shared.
    """
    size = min(size, len(first), len(second))
    if size == 0:
        return ""
    there = {tuple(second[i : i + size]) for i in range(len(second) - size + 1)}
    best = (0, 0)
    start = None
    for i in range(len(first) - size + 2):
        inside = i <= len(first) - size and tuple(first[i : i + size]) in there
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            best = max(best, (i - 1 + size - start, -start))
            start = None
    length, negative = best
    return " ".join(first[-negative : -negative + length])
