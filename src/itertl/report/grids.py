"""A grid of cells: a table before it is drawn, and drawn as a rich table or as markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itertl.runs import wording as text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions
    from rich.table import Table
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Grid:
    """A table before it is drawn. ``muted`` holds the numbers of rows that are not our own measurements."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    muted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A grid that is fitted to the terminal when it is printed."""

    grid: Grid

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Table | Text]":
        from rich.text import Text

        for part in fitted(self.grid, options.max_width):
            yield Text(text.one_line(part.title), style="italic")
            yield _table(part, options.max_width)
            if part.notes:  # not the table's caption, which would be as narrow as the table
                yield Text(" " + "; ".join(text.one_line(note) for note in part.notes) + "\n", style="dim italic")


def rich_table(grid: Grid) -> Fitted:
    """The grid for a terminal. Foreign text is never read as markup; a narrow terminal folds cells, it drops none, and
    no word of a head is broken where shorter heads, with a legend below, or several tables help."""
    return Fitted(grid)


_GAP, _EDGES = 2, 2  # spaces between columns, and at both ends
_MOST_NAME = 24  # characters of a word in the first column, or of a cell, that are kept together
_LEAST_HEAD = 4  # characters of a shortened head


def fitted(grid: Grid, width: int) -> list[Grid]:
    """The grid, where it fits ``width`` without breaking a word; else with shorter heads and a legend in its notes;
    else in parts, each with the first column."""
    if _needed(grid) <= width:
        return [grid]
    short = _shortened(grid, _needed(grid) - width)
    if _needed(short) <= width:
        return [short]
    grid = _shortened(grid, _needed(grid), least=_MOST_NAME)
    heads, cells = _widths(grid)
    parts: list[list[int]] = [[]]
    for column in range(1, len(grid.columns)):
        taken = [0, *parts[-1], column]
        if parts[-1] and sum(max(heads[c], cells[c]) + _GAP for c in taken) - _GAP + _EDGES > width:
            parts.append([])
        parts[-1].append(column)
    return [
        Grid(
            grid.title if number == 0 else f"{grid.title} (continued)",
            tuple(grid.columns[c] for c in (0, *part)), tuple(tuple(row[c] for c in (0, *part)) for row in grid.rows),
            grid.notes if number == len(parts) - 1 else (), grid.muted,
        )
        for number, part in enumerate(parts)
    ]  # fmt: skip


def _widths(grid: Grid) -> tuple[list[int], list[int]]:
    """Characters of the longest word of each head, and of the cells below it."""
    heads = [max(map(len, name.split()), default=0) for name in grid.columns]
    words = [[word for row in grid.rows for word in row[column].split()] for column in range(len(heads))]
    return heads, [min(_MOST_NAME, max(map(len, of_column), default=0)) for of_column in words]


def _needed(grid: Grid) -> int:
    heads, cells = _widths(grid)
    return sum(map(max, heads, cells)) + _GAP * (len(heads) - 1) + _EDGES


def _shortened(grid: Grid, excess: int, least: int = _LEAST_HEAD) -> Grid:
    """The grid with so many characters less in its heads, as far as they can be had where each keeps ``least``, and a
    legend of what was cut."""
    heads, cells = _widths(grid)
    columns, legend = list(grid.columns), list[str]()
    for column in sorted(range(1, len(heads)), key=lambda c: heads[c] - cells[c], reverse=True):
        room = max(cells[column], least)
        if excess <= 0 or " " in columns[column] or heads[column] <= room:
            continue
        cut = max(room, heads[column] - excess)
        name = f"{columns[column][: cut - 1]}."
        if name not in columns:
            excess -= heads[column] - cut
            legend.append(f"{name}: {columns[column]}")
            columns[column] = name
    return Grid(grid.title, tuple(columns), grid.rows, (*grid.notes, *legend), grid.muted)


def _columns(grid: Grid, width: int) -> list[int]:
    """Widths of the columns: the longest word of each, and what is left over for lines that need not be broken."""
    least = list(map(max, *_widths(grid)))
    whole = [
        max(len(line) for cell in (name, *(row[column] for row in grid.rows)) for line in cell.split("\n"))
        for column, name in enumerate(grid.columns)
    ]
    spare = width - _EDGES - _GAP * (len(least) - 1) - sum(least)
    for column, wanted in enumerate(whole):
        more = max(0, min(wanted - least[column], spare))
        least[column] += more
        spare -= more
    return least if spare >= 0 else [0] * len(least)


def _table(grid: Grid, width: int) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for position, (name, wide) in enumerate(zip(grid.columns, _columns(grid, width), strict=True)):
        justify = "left" if position == 0 else "right"
        table.add_column(_cell(name), justify=justify, overflow="fold", vertical="top", width=wide or None)
    for position, row in enumerate(grid.rows):
        table.add_row(*(_cell(c) for c in row), style="dim" if position in grid.muted else "")
    return table


def _cell(content: str) -> "Text":
    from rich.text import Text

    return Text("\n".join(text.one_line(line) for line in content.split("\n")))


def markdown(grid: Grid) -> str:
    """The grid as a pipe table with its title above and its notes below; ends with a newline."""
    rule = ["---", *(["---:"] * (len(grid.columns) - 1))]
    lines = [_pipe_row(row) for row in (grid.columns, rule, *grid.rows)]
    notes = [f"_{_pipe_cell(note)}_" for note in grid.notes]
    blocks = [f"**{_pipe_cell(grid.title)}**", "\n".join(lines), *notes]
    return "\n\n".join(blocks) + "\n"


def _pipe_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_pipe_cell(c) for c in cells) + " |"


def _pipe_cell(cell: str) -> str:
    return text.one_line(cell).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
