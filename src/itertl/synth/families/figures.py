"""Tables, maps and state diagrams as lines of text, each in several layouts."""

import random
from collections.abc import Sequence

from itertl.synth.boolean import Table

GRAY: tuple[str, ...] = ("00", "01", "11", "10")


def grid(rng: random.Random, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its head, in one of four layouts."""
    style = rng.randrange(4)
    if style == 0:
        return "\n".join(" | ".join(row) for row in (heads, *rows))
    if style == 1:
        rule = "|" + "|".join("---" for _ in heads) + "|"
        head, *rest = (f"| {' | '.join(row)} |" for row in (heads, *rows))
        return "\n".join([head, rule, *rest])
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (heads, *rows)]
    if style == 2:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    head, *rest = (" | ".join(line).rstrip() for line in lines)
    return "\n".join([head, "-+-".join("-" * width for width in widths), *rest])


def _order(rng: random.Random, count: int) -> tuple[list[str], str]:
    """Labels along one side of a map, and what order that is."""
    if count == 1:
        return rng.choice((["0", "1"], ["0", "1"], ["1", "0"])), "plain"
    style = rng.choice(("gray", "gray", "gray", "turned", "binary", "any"))
    labels: list[str] = list(GRAY)
    if style == "turned":  # another start, perhaps backwards: neighbours still differ in one bit
        start = rng.randrange(1, 4)
        labels = labels[start:] + labels[:start]
        labels = labels[:: rng.choice((1, -1))]
    elif style == "binary":
        labels.sort()
    elif style == "any":
        rng.shuffle(labels)
    return labels, style


def karnaugh(rng: random.Random, table: Table, names: Sequence[str], unknown: str = "d") -> tuple[str, str]:
    """The map of a function of two to four variables, and what its layout is, for the words.

    Which variables run along the columns, their order and that of the labels are drawn; the labels say all.
    """
    count = len(names)
    order = list(range(count))
    if rng.random() < 0.4:
        rng.shuffle(order)
    across = rng.choice((1, 2)) if count == 3 else count // 2
    columns, rows = order[:across], order[across:]
    if rng.random() < 0.3:
        columns, rows = order[count - across :], order[: count - across]
    (tops, _), (sides, _) = _order(rng, len(columns)), _order(rng, len(rows))
    glue = "" if all(len(name) == 1 or name.endswith("]") for name in names) else ","
    top, side = (glue.join(names[n] for n in part) for part in (columns, rows))

    def cell(left: str, up: str) -> str:
        bits = dict(zip([*rows, *columns], left + up, strict=True))
        value = table[int("".join(bits[n] for n in range(count)), 2)]
        return unknown if value is None else str(value)

    cells = [[cell(left, up) for up in tops] for left in sides]
    style = rng.randrange(3)
    if style == 0:
        pad = " " * max(len(side), 2)
        head = [f"{pad}   {top}", f"{side.ljust(len(pad))} | " + " ".join(tops)]
        body = [
            f"{left.rjust(len(pad))} | " + " ".join(c.rjust(len(tops[0])) for c in line)
            for left, line in zip(sides, cells, strict=True)
        ]
        return "\n".join([*head, *body]), f"columns: {top}, rows: {side}"
    corner = f"{side} \\ {top}" if style == 1 else f"{side}/{top}"
    lines = [[left, *line] for left, line in zip(sides, cells, strict=True)]
    return grid(rng, [corner, *tops], lines), f"columns: {top}, rows: {side}"


def wave(rng: random.Random, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A recording: one row for each sample, 5 ns apart, with a column of times, or numbered."""
    style, step = rng.randrange(3), rng.choice((5, 5, 10))
    if style == 2:
        return grid(rng, ["sample", *heads], [[str(n), *row] for n, row in enumerate(rows)])
    unit = "ns" if style == 0 else ""
    timed = [["time", *heads], *([f"{n * step}{unit}", *row] for n, row in enumerate(rows))]
    widths = [max(len(row[place]) for row in timed) + 2 for place in range(len(heads) + 1)]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in timed
    )
