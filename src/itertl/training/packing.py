"""How responses lie in the rows that a model reads: prompts shared, several groups to a row. Imports no torch.

A packed row holds ``[prompt, response_1 … response_n]`` of one group after another. Positions restart after each
prompt, and a response sees its prompt and itself (``collate`` builds that mask), so every response gets the
log-probabilities that it would get alone, and the prompt is computed once. Where a model cannot be packed
(``layout.choose``), a row is one prompt with one response, padded to the longest.

Left out: rows that share a prefix across groups (a common system message); it would save less than it complicates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Piece:
    """A prompt with some responses to it. Example: ``Piece(0, (1, 5), ((7, 2), (8, 2)), (0, 2))``."""

    group: int  # number of its group among those of a call
    prompt_ids: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]  # token ids, none empty
    slots: tuple[int, ...]  # for each, which response of its group it is

    def __len__(self) -> int:
        return len(self.prompt_ids) + sum(map(len, self.responses))

    def alone(self) -> Iterator["Piece"]:
        """One piece for each response."""
        for response, slot in zip(self.responses, self.slots, strict=True):
            yield Piece(self.group, self.prompt_ids, (response,), (slot,))

    def split(self, budget: int) -> list["Piece"]:
        """Pieces of at most ``budget`` tokens, in order; one whose single response is longer stays whole."""
        parts: list[Piece] = []
        first, size = 0, len(self.prompt_ids)
        for number, response in enumerate(self.responses):
            if number > first and size + len(response) > budget:
                parts.append(Piece(self.group, self.prompt_ids, self.responses[first:number], self.slots[first:number]))
                first, size = number, len(self.prompt_ids)
            size += len(response)
        return [*parts, Piece(self.group, self.prompt_ids, self.responses[first:], self.slots[first:])]


Row = tuple[Piece, ...]
MicroBatch = tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How this model is fed, and how much at once."""

    packed: bool  # several responses and groups to a row
    row_tokens: int  # packed rows are filled up to this; a longer piece is a row of its own
    budget: int  # tokens of a micro-batch, padding included; a single response may exceed it
    multiple: int = 1  # rows are padded to a multiple of this, for the kernels of GPUs

    def with_budget(self, budget: int) -> "Layout":
        return replace(self, row_tokens=min(self.row_tokens, budget), budget=budget)


@dataclass(frozen=True, slots=True)
class Work:
    """The forward passes of one process in one optimizer step."""

    whole: tuple[MicroBatch, ...]  # each holds every piece of its groups: loss and gradient in one pass
    split: tuple[MicroBatch, ...]  # pieces of groups that are larger than the budget: two passes

    def tokens(self) -> int:
        """Put through the model in one pass over all of it, padding left out."""
        return sum(len(piece) for batch in (*self.whole, *self.split) for row in batch for piece in row)


def plan(pieces: Sequence[Piece], layout: Layout) -> Work:
    """Lay out pieces, one for each group. The same pieces in the same order give the same work."""
    whole: list[Piece] = []
    parts: list[Piece] = []
    for piece in pieces:
        if _footprint(piece, layout) <= layout.budget or len(piece.responses) == 1:
            whole.append(piece)
        else:
            parts += piece.split(layout.budget) if layout.packed else piece.alone()
    return Work(tuple(_batches(whole, layout)), tuple(_batches(parts, layout)))


def _footprint(piece: Piece, layout: Layout) -> int:
    """Tokens that a piece takes by itself, padding included."""
    if layout.packed:
        return len(piece)
    return len(piece.responses) * (len(piece.prompt_ids) + max(map(len, piece.responses)))


def _batches(pieces: Sequence[Piece], layout: Layout) -> Iterator[MicroBatch]:
    """Rows in micro-batches of at most the budget, long ones first, so that little is padded."""
    if layout.packed:
        bundles = [(row,) for row in _fill(pieces, min(layout.row_tokens, layout.budget))]
    else:  # the rows of one piece stay together
        ordered = sorted(pieces, key=lambda piece: -_longest(piece))
        bundles = [tuple((part,) for part in piece.alone()) for piece in ordered]
    batch: list[Row] = []
    width = 0
    for bundle in bundles:
        width_with = max(width, *(row_length(row) for row in bundle))
        if batch and (len(batch) + len(bundle)) * width_with > layout.budget:
            yield tuple(batch)
            batch, width_with = [], max(row_length(row) for row in bundle)
        batch += bundle
        width = width_with
    if batch:
        yield tuple(batch)


def _fill(pieces: Sequence[Piece], row_tokens: int) -> list[Row]:
    """First-fit decreasing: pieces into as few rows as that finds, longest row first; one over the size lies alone."""
    rows: list[list[Piece]] = []
    left: list[int] = []
    for piece in sorted(pieces, key=lambda piece: -len(piece)):
        place = next((number for number, room in enumerate(left) if room >= len(piece)), None)
        if place is None:
            rows.append([])
            left.append(max(row_tokens, len(piece)))
            place = len(rows) - 1
        rows[place].append(piece)
        left[place] -= len(piece)
    return sorted((tuple(row) for row in rows), key=lambda row: -row_length(row))


def row_length(row: Row) -> int:
    """Tokens in a row."""
    return sum(map(len, row))


def _longest(piece: Piece) -> int:
    return len(piece.prompt_ids) + max(map(len, piece.responses))


def share(costs: Sequence[int], num_processes: int) -> list[list[int]]:
    """Which process takes which item, so that all finish at about the same time; each list ascending.

    Longest first, each to the process with the least so far (Graham 1969: at most 4/3 of the best makespan).
    """
    shares: list[list[int]] = [[] for _ in range(num_processes)]
    loads = [0] * num_processes
    for item in sorted(range(len(costs)), key=lambda item: (-costs[item], item)):
        process = min(range(num_processes), key=lambda process: (loads[process], len(shares[process]), process))
        shares[process].append(item)
        loads[process] += costs[item]
    return [sorted(items) for items in shares]


def plan_shares(pieces: Sequence[Piece], layout: Layout, num_processes: int) -> list[Work]:
    """The work of every process. All of them plan for all, so each knows how many passes the others make."""
    if num_processes == 1:
        return [plan(pieces, layout)]
    return [plan([pieces[item] for item in items], layout) for items in share(list(map(len, pieces)), num_processes)]


def missing(mine: Sequence[MicroBatch], longest: Sequence[MicroBatch]) -> list[MicroBatch]:
    """Micro-batches to repeat at weight zero, so that this process makes as many passes as the busiest."""
    count = len(longest) - len(mine)
    return [(mine or longest)[0]] * count if count > 0 else []
