"""A part of the pairs that training never sees, and that no pair of training is like.

Pairs are grouped first: two are alike where the audit would call one contamination of the other (the same words,
8-grams of instructions, 6-grams of code as written or with identifiers renamed, a larger module of it), and groups are
joined by chains of such pairs. What more than half of many instructions have in common is left out. A share is drawn by
whole groups; of pairs that a file or a column names, everything that is like them leaves training.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.errors import DataError
from itertl.problems import normalize
from itertl.problems.cells import Counts
from itertl.problems.filters import nearest_column
from itertl.problems.importers import FORMATS, nested
from itertl.problems.normalize import CODE_GRAM, TEXT_GRAM, Vocabulary
from itertl.problems.overlap import Grams, Link, components, containment, jaccard, near_links
from itertl.problems.prints import CODE_OVERLAP, TEXT_OVERLAP, Prints
from itertl.records import Problem
from itertl.runs.rows import SourceRow
from itertl.work.seeds import derive_seed

COLUMN = "column:"
BOILERPLATE_FROM = 8  # pairs, from which on what more than half of the instructions share does not count as likeness
HELD = "held out (data.holdout)"
ALIKE = "like a held-out pair"
_YES = frozenset("true 1 yes y x test held heldout held-out held_out holdout valid validation val dev eval".split())
_NO = frozenset(["", *"false 0 no n none null train training".split()])
_PLAIN_FIELDS = ("source", "licence", "upstream_id", "top", "family", "split")


@dataclass(frozen=True, slots=True)
class Holdout:
    """What is held out: a share in (0, 1), a file of pairs, or a column that marks them; and the seed of the draw."""

    of: float | str
    seed: int = 0


def split_off(
    problems: Sequence[Problem], wanted: Holdout, source: str, columns: Mapping[str, str], counts: Counts,
    read: Callable[[str], Sequence[Problem]],
) -> tuple[list[Problem], list[Problem]]:  # fmt: skip
    """(pairs for training, pairs held out), each in the source's order; what becomes of the others is counted.

    ``read`` gives the pairs of a file. The split depends on the pairs' content and the seed, not on their order.
    Raises DataError where a part would be empty, a held-out pair has no reference, or no file or column fits.
    """
    if (
        isinstance(wanted.of, str)
        and not wanted.of.startswith(COLUMN)
        and (wanted.of.startswith("hf:") or Path(wanted.of).exists())
    ):
        others = list(read(wanted.of))
        together = [*others, *problems]
        held, alike = _whole(like_groups(together), set(range(len(others))))
        alike = [number - len(others) for number in alike]
        train = sorted(set(range(len(problems))) - set(alike))
        held_pairs = others
    else:
        groups = like_groups(problems)
        named = (
            _drawn(problems, groups, wanted, source)
            if isinstance(wanted.of, float | int)
            else _marked(problems, wanted.of, source, columns, counts.blank)
        )
        held, alike = _whole(groups, named)
        train = sorted(set(range(len(problems))) - set(held) - set(alike))
        held_pairs = [problems[number] for number in held]
        counts.skipped[HELD] += len(held)
    for pair in held_pairs:
        if not (pair.reference and pair.reference.strip()):
            where = counts.places.get(pair.id, pair.upstream_id or pair.id)
            raise DataError(
                f"{where}: is held out (data.holdout) and has no reference to be judged by; give it one, or leave it "
                f"in training"
            )
    for number in alike:
        counts.skip(ALIKE, counts.places.get(problems[number].id, problems[number].id))
    if not train:
        raise DataError(
            f"{source}: no pair is left to train on: all {len(problems)} are held out by data.holdout, or like one "
            f"that is"
        )
    return [problems[number] for number in train], held_pairs


def _whole(groups: Sequence[Sequence[int]], named: set[int]) -> tuple[list[int], list[int]]:
    """The positions named, and the others of their groups, ascending."""
    alike = {number for group in groups if named.intersection(group) for number in group} - named
    return sorted(named), sorted(alike)


def like_groups(problems: Sequence[Problem]) -> list[list[int]]:
    """Positions of pairs that are alike, and of each that is like none alone; by first member."""
    prints = Prints.of(problems)
    owners = [*range(len(problems)), *(number for number, parts in enumerate(prints.parts) for _ in parts)]
    written = [*prints.code, *(part[0] for parts in prints.parts for part in parts)]
    renamed = [*prints.renamed, *(part[1] for parts in prints.parts for part in parts)]
    words = _words(prints.words)
    links = near_links(words, TEXT_OVERLAP, containment) if any(words) else []
    for texts in (written, renamed):
        vocabulary = Vocabulary()
        found = near_links([vocabulary.grams(text, CODE_GRAM) for text in texts], CODE_OVERLAP, jaccard)
        links += [Link(owners[link.first], owners[link.second], link.similarity) for link in found]
    links += _equal_prompts(problems, prints.words)
    joined = components(link for link in links if link.first != link.second)
    grouped = {number for group, _ in joined for number in group}
    return sorted(
        [*(group for group, _ in joined), *([number] for number in range(len(problems)) if number not in grouped)]
    )


def _words(texts: Sequence[tuple[str, ...]]) -> list[Grams]:
    """n-grams of instructions, without those that more than half of many share: a frame around what is asked."""
    vocabulary = Vocabulary()
    sets = [vocabulary.grams(text, TEXT_GRAM) for text in texts]
    if len(sets) < BOILERPLATE_FROM:
        return sets
    frequency = Counter(gram for grams in sets for gram in grams)
    frame = frozenset(gram for gram, count in frequency.items() if 2 * count > len(sets))
    return [grams - frame for grams in sets]


def _equal_prompts(problems: Sequence[Problem], words: Sequence[tuple[str, ...]]) -> list[Link]:
    """Links between pairs that are asked with the same words, the header's among them, however many they are."""
    asked: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = defaultdict(list)
    for number, problem in enumerate(problems):
        asked[words[number], tuple(normalize.words(problem.header))].append(number)
    return [Link(numbers[0], other, 1.0) for numbers in asked.values() for other in numbers[1:]]


def _drawn(problems: Sequence[Problem], groups: Sequence[Sequence[int]], wanted: Holdout, source: str) -> set[int]:
    """Whole groups in an order fixed by content and seed, as many as fit into the share; else the smallest group."""
    with_reference = {
        number for number, problem in enumerate(problems) if problem.reference and problem.reference.strip()
    }
    groups = [kept for group in groups if (kept := [number for number in group if number in with_reference])]
    share, total = float(wanted.of), len(with_reference)
    if not total:
        raise DataError(
            f"{source}: no pair has a reference, so that none can be held out and judged; check the column mapping "
            f"(data.columns)"
        )
    room = int(total * share + 0.5)
    if total == 1:
        raise DataError(
            f"{source}: holds one pair, which cannot be held out and trained on; add pairs, or name a file of held-out "
            f"ones by data.holdout"
        )
    if room < 1:
        raise DataError(
            f"{source}: data.holdout {share:g} of {total} pairs holds out none; give a larger share (at least "
            f"{1 / total:.2g}), or name pairs by a file"
        )
    if len(groups) == 1:
        raise DataError(
            f"{source}: all {total} pairs are alike (one group of near-duplicates), so that none can be held out from "
            f"the others; add other pairs, or name a file of held-out pairs by data.holdout"
        )
    ranked = sorted(
        groups, key=lambda group: min(derive_seed(wanted.seed, "holdout", problems[number].id) for number in group)
    )
    chosen: set[int] = set()
    for group in ranked:
        if len(chosen) + len(group) <= room:
            chosen.update(group)
    smallest = min(ranked, key=len)
    if not chosen and 2 * len(smallest) <= total:
        chosen.update(smallest)
    if not chosen:
        raise DataError(
            f"{source}: its {total} pairs are {len(groups)} groups of near-duplicates, none of which fits into a "
            f"held-out part of {share:g}; give a larger share, or name pairs by a file"
        )
    return chosen


def _marked(
    problems: Sequence[Problem], of: str, source: str, columns: Mapping[str, str], blank: Sequence[SourceRow]
) -> set[int]:
    """Positions of the pairs whose column says that they are held out; ``blank``: rows that became no pair."""
    name, equals, value = of.removeprefix(COLUMN).partition("=") if of.startswith(COLUMN) else (of, "", "")
    yes = {_text(value)} if equals else _YES
    for row in blank:
        if _text(nested(row.values, name.split("."))) in yes:
            raise DataError(
                f"{row.where}: is held out (data.holdout) and has no instruction or no reference to be judged by; give "
                f"it one, or leave it in training"
            )
    cells = [_cell(problem, name, columns) for problem in problems]
    if all(cell is None for cell in cells):
        raise DataError(
            _no_such(
                of, name, source, {*(column for problem in problems for column in problem.extra), *columns.values()}
            )
        )
    texts = [_text(cell) for cell in cells]
    strange = next((text for text in texts if text not in yes and text not in _NO and not equals), None)
    if strange is not None:
        raise DataError(
            f"{source}: data.holdout is {of!r}, and a pair has {strange[:60]!r} there, neither yes nor no; say which "
            f"value marks held-out pairs by column:{name}=VALUE"
        )
    found = {number for number, text in enumerate(texts) if text in yes}
    if not found:
        raise DataError(
            f"{source}: data.holdout is {of!r}, and no pair has {repr(value) if equals else 'true, yes, 1 or test'} "
            f"there, so that none is held out; mark some"
        )
    return found


def _no_such(of: str, name: str, source: str, columns: set[str]) -> str:
    """That ``of`` is neither a file nor a column, and what there is."""
    is_file = "/" in of or Path(of).suffix in (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".v", ".sv")
    what = (
        "no pair has such a column"
        if of.startswith(COLUMN)
        else "there is no such file" + ("" if is_file else ", and no pair has such a column")
    )
    hint = "" if is_file or not columns else f" {nearest_column(name, sorted(columns))};"
    return f"{source}: data.holdout is {of!r}, but {what};{hint} give a share as 0.1, a file of pairs, or column:NAME"


def _text(value: object) -> str:
    return "" if value is None else str(value).strip().casefold()


def _cell(problem: Problem, name: str, columns: Mapping[str, str]) -> object:
    """The value that a pair's source has in a column, also in one that became a field of the problem."""
    aliases = {theirs: ours for ours, names in FORMATS["columns"].columns.items() for theirs in names}
    field = {theirs: ours for ours, theirs in columns.items()}.get(name) or aliases.get(name, name)
    if name in problem.extra:
        return problem.extra[name]
    return getattr(problem, field) if field in _PLAIN_FIELDS else nested(problem.extra, name.split("."))
