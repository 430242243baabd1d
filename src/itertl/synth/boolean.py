"""Boolean functions of few variables as tables: drawing them, and sums of products for them.

A table lists the value for each row; the first variable is the most significant bit of a row's number. ``None`` is a
value that does not matter.
"""

import random
from collections.abc import Sequence
from itertools import combinations, product

Table = Sequence[int | None]


def draw_table(rng: random.Random, count: int, unknown: int = 0) -> list[int | None]:
    """A table of ``count`` variables of which each matters, with ``unknown`` values that do not matter.

    Of three and more variables none is a single gate (AND, OR or XOR of all, some inverted), which everybody has seen.
    """
    rows = 1 << count
    while True:
        table: list[int | None] = [rng.randrange(2) for _ in range(rows)]
        if count > 2 and _is_gate(table):
            continue
        for row in rng.sample(range(rows), unknown):
            table[row] = None
        if all(_matters(table, bit) for bit in range(count)) or (unknown and {0, 1} <= set(table)):
            return table


def _matters(table: Table, bit: int) -> bool:
    return any(
        (a := table[row]) is not None and (b := table[row ^ (1 << bit)]) is not None and a != b
        for row in range(len(table))
    )


def _is_gate(table: Table) -> bool:
    """Whether a full table is an AND or OR of all variables, inverted or not, or their parity."""
    is_parity = len({(value or 0) ^ (row.bit_count() & 1) for row, value in enumerate(table)}) == 1
    return is_parity or table.count(1) in (1, len(table) - 1)


def _primes(table: Table) -> list[tuple[int | None, ...]]:
    """Implicants that no larger one holds: for each variable 0, 1, or None where it does not matter."""
    count = (len(table) - 1).bit_length()
    found: list[tuple[int | None, ...]] = []
    for size in range(count + 1):  # literals: few first
        for used in combinations(range(count), size):
            for values in product((0, 1), repeat=size):
                term: list[int | None] = [None] * count
                for place, value in zip(used, values, strict=True):
                    term[place] = value
                rows = _rows(term)
                is_inside = all(table[row] != 0 for row in rows) and any(table[row] == 1 for row in rows)
                if is_inside and not any(rows <= _rows(other) for other in found):
                    found.append(tuple(term))
    return found


def _rows(term: Sequence[int | None]) -> set[int]:
    """Numbers of the rows where a product is 1."""
    choices = [(0, 1) if value is None else (value,) for value in term]
    return {int("".join(map(str, bits)) or "0", 2) for bits in product(*choices)}


def sum_of_products(table: Table, names: Sequence[str]) -> str:
    """A short expression of ``table``: primes, those that cover most first. ``a & ~b | c``; ``1'b0`` for none."""
    left = {row for row, value in enumerate(table) if value == 1}
    if not left:
        return "1'b0"
    primes, chosen = _primes(table), list[tuple[int | None, ...]]()
    while left:
        best = max(primes, key=lambda term: len(_rows(term) & left))
        chosen.append(best)
        left -= _rows(best)
    texts = [
        " & ".join(name if value else f"~{name}" for name, value in zip(names, term, strict=True) if value is not None)
        for term in chosen
    ]
    if texts == [""]:
        return "1'b1"
    return " | ".join(f"({text})" if "&" in text and len(texts) > 1 else text for text in texts)
