"""Loads pairs from any source: choose the importer, merge duplicates, draw the subset, account for every row."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from itertl.config import DataConfig
from itertl.errors import DataError, UsageError
from itertl.plugins import resolve
from itertl.problems import mixture
from itertl.problems.cells import Counts
from itertl.problems.filters import ANY
from itertl.problems.holdout import Holdout, split_off
from itertl.problems.hub_datasets import is_saved_dataset
from itertl.problems.importers import (
    FORMATS,
    Request,
    corpus_problems,
    is_own,
    load_rows,
    own_problems,
    recognise,
    table_problems,
)
from itertl.problems.verilog_folder import SUFFIXES
from itertl.records import Problem
from itertl.verilog.header import derive_header, derive_top, with_top_first
from itertl.verilog.text import modules
from itertl.work.seeds import derive_seed

SYNTH_COUNT = 1000  # problems of the generator where no limit is given

IMPORTERS: dict[str, str] = {
    **dict.fromkeys(FORMATS, "itertl.problems.load:import_table"),
    "problems": "itertl.problems.load:import_table",
    "corpus": "itertl.problems.load:import_table",
    "verilog-folder": "itertl.problems.verilog_folder:import_folder",
    "modules": "itertl.problems.verilog_folder:import_modules",
    "synth": "itertl.problems.load:import_synth",
}


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Problems in source order, and what became of the rest.

    ``len(problems) + sum(skipped.values())`` is the number of rows (files, for a folder) that the source holds.
    """

    problems: list[Problem]
    skipped: dict[str, int]  # reason -> rows left out
    format: str  # the importer that was used
    notes: dict[str, int] = field(default_factory=dict)  # what was changed in kept rows -> how often
    # "row or file: reason" of what an importer left out, the first 200
    dropped: list[str] = field(default_factory=list)
    # a problem's id -> file and line, or file, where it is known
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    # held out; of the source's own, they are counted in ``skipped`` too
    held: list[Problem] = field(default_factory=list[Problem])


def from_config(data: DataConfig, run_seed: int) -> LoadResult:
    """``load_problems`` as a recipe's ``data`` section asks; the run's seed unless it has its own.

    What is held out does not depend on the run's seed, so that runs are compared on the same pairs.
    """
    seed = run_seed if data.seed is None else data.seed
    holdout = None if data.holdout is None else Holdout(data.holdout, data.seed or 0)
    return _load(data, seed, holdout)


def load_problems(source: str, *, seed: int = 0, holdout: Holdout | None = None, **options: Any) -> LoadResult:
    """Load problems from a file, a folder, ``hf:NAME[:split]`` or the generator (``synth``).

    ``options`` are those of a recipe's ``data``. ``format`` is a name of ``IMPORTERS``, the user's own
    ``package.module:function(request, counts)``, or "auto". ``limit`` draws a random subset fixed by ``seed``, from the
    problems of at most ``max_chars`` characters (instruction, header where the reference lacks it, and reference).
    ``header`` "derive" cuts a missing header from the reference. ``holdout`` keeps a part out, which ``limit`` does not
    touch. Raises DataError (file, row, column, fix), also where nothing is left; UsageError for a wrong option.
    """
    try:
        data = DataConfig(source=source, **options)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}") from error
    return _load(data, seed, holdout)


def _load(data: DataConfig, seed: int, holdout: Holdout | None) -> LoadResult:
    counts, header = Counts(), data.header
    if data.sources:
        request = Request(data.label, seed=seed, format="mixture")
        problems = _mixed(data, seed, counts)
    else:
        request = _recognised(
            Request(data.source, data.columns, data.filter, data.limit, seed, data.families, data.format)
        )
        problems = _distinct(_imported(request, header, counts), counts)
    problems = _short(problems, data.max_chars, counts)
    if not problems:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in counts.skipped.items())
        raise DataError(
            f"{data.label}: no problem is left ({reasons or 'the source is empty'}); change the filter, or fix the "
            f"source"
        )
    held: list[Problem] = []
    if holdout is not None:
        problems, held = split_off(
            problems, holdout, data.label, data.columns, counts,
            lambda file: _file_of_pairs(file, request, header, counts),
        )  # fmt: skip
    if data.limit is not None and data.limit < len(problems):
        counts.skipped["outside the random subset (limit)"] += len(problems) - data.limit
        problems = _drawn(problems, data.limit, seed)
    problems, unplaced = mixture.ordered(problems, data)
    skipped, notes = dict(+counts.skipped), dict(+counts.notes) | unplaced
    return LoadResult(problems, skipped, request.format, notes, counts.dropped, counts.places, held)


def _short(problems: list[Problem], max_chars: int | None, counts: Counts) -> list[Problem]:
    if max_chars is None:
        return problems
    short = [problem for problem in problems if length(problem) <= max_chars]
    counts.skipped[f"longer than {max_chars} characters"] += len(problems) - len(short)
    return short


def _drawn(problems: list[Problem], count: int, seed: int, *which: int) -> list[Problem]:
    """``count`` of them, in their order."""
    chosen = random.Random(derive_seed(seed, "problems", "subset", *which)).sample(range(len(problems)), count)
    return [problems[index] for index in sorted(chosen)]


def _mixed(data: DataConfig, seed: int, counts: Counts) -> list[Problem]:
    """The pairs of ``data.sources`` by their weights: a random subset of each, in the order of the sources.

    Each row is accounted for as in one source. Raises DataError that names the entry.
    """
    found: list[list[Problem]] = []
    for number, part in enumerate(data.sources):
        where = f"data.sources.{number}"
        pool = max(data.limit or 0, SYNTH_COUNT) if part.source == "synth" and not part.families else None
        own = Counts()
        try:
            table = load_rows(part.source) if is_table(part.source) else None
            mixture.refuse_benchmark(part.source, table.columns if table else (), (), where)
            request = _recognised(
                Request(part.source, part.columns, part.filter, pool, seed, part.families, part.format, table)
            )
            problems = _distinct(_imported(request, data.header, own), own)
        except DataError as error:
            raise DataError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
        mixture.refuse_benchmark(part.source, (), problems, where)
        counts.add(own)
        found.append(_short(problems, part.max_chars, counts))
        if not found[-1]:
            raise DataError(f"{where}: {part.source}: no problem is left; change its filter, or take the entry out")
    known: set[str] = set()
    for number, problems in enumerate(found):  # a pair of two sources counts for the first
        found[number] = [p for p in problems if p.id not in known]
        counts.skipped["duplicate of a pair of an earlier source"] += len(problems) - len(found[number])
        known |= {p.id for p in problems}
    sizes, weights = [len(problems) for problems in found], [part.weight for part in data.sources]
    taken = mixture.shares(weights, sizes, data.limit)
    counts.skipped["outside the shares of the sources (weight)"] += sum(sizes) - sum(taken)
    return [p for n, problems in enumerate(found) for p in _drawn(problems, taken[n], seed, n)]


def _imported(request: Request, header: str, counts: Counts) -> Iterable[Problem]:
    found: Iterable[Problem] = resolve("importer", request.format, IMPORTERS)(request, counts)
    return (_with_derived_header(problem, counts) for problem in found) if header == "derive" else found


def _file_of_pairs(file: str, request: Request, header: str, counts: Counts) -> list[Problem]:
    """Held-out pairs of another file, of any layout that is known, or of the source's own columns. Raises DataError."""
    check_source(file)
    columns = request.columns
    if not is_table(file) or is_own(load_rows(file)):
        columns = {}
    found = load_problems(file, format=request.format if columns else "auto", columns=columns, header=header)
    blank = next((line for line in found.dropped if line.endswith(": no reference")), None)
    if blank is not None:
        raise DataError(f"{blank} to judge a held-out pair by (data.holdout); give it one, or take it out of the file")
    counts.places.update({ident: where for ident, where in found.places.items() if ident not in counts.places})
    return found.problems


def is_table(source: str) -> bool:
    """Whether a source is read as rows."""
    path = Path(source)
    return (
        source.startswith("hf:") or (path.is_file() and path.suffix.lower() not in SUFFIXES) or is_saved_dataset(path)
    )


def load_every(source: str) -> tuple[list[tuple[str, Problem]], Counts]:
    """(place, problem) of every row, with duplicates and the rows that a layout leaves out by default.

    A place is file and line, or file; "" where the importer does not report it. Raises DataError, UsageError.
    """
    counts = Counts()
    request = _recognised(Request(source))
    known = FORMATS.get(request.format)
    request = replace(request, filter=dict.fromkeys(known.filter, ANY) if known else {})
    problems = list(_imported(request, "keep", counts))
    places = counts.order if len(counts.order) == len(problems) else [""] * len(problems)
    return list(zip(places, problems, strict=True)), counts


def check_source(source: str) -> None:
    """Raise DataError where a source is neither an existing path nor hf:NAME nor synth."""
    if source != "synth" and not source.startswith("hf:") and not Path(source).exists():
        raise DataError(
            f"{source}: no such file or folder; give a path, hf:NAME for a Hugging Face data set, or synth for the "
            f"generator"
        )


def _recognised(request: Request) -> Request:
    """The request with its format settled: by the source's name and place, for a table by its columns."""
    if request.format != "auto":
        return request
    path = Path(request.source)
    if request.source == "synth":
        return replace(request, format="synth")
    is_hub = request.source.startswith("hf:")
    check_source(request.source)
    if not is_hub and (path.suffix.lower() in SUFFIXES or (path.is_dir() and not is_saved_dataset(path))):
        return _folder(request, path)
    if path.suffix.lower() == ".arrow":
        raise DataError(f"{path}: is a part of a saved data set; give its folder as hf:{path.resolve().parent}")
    table = request.table or load_rows(request.source)
    return replace(request, format="columns" if request.columns else recognise(table), table=table)


_DATA_SUFFIXES = (".parquet", ".arrow", ".jsonl", ".json", ".csv", ".jsonl.gz")


def _folder(request: Request, path: Path) -> Request:
    """A folder of Verilog; raises DataError for one of data files, with what to give instead."""
    if path.is_dir() and not any(p.suffix.lower() in SUFFIXES for p in path.rglob("*")):
        data = sorted(
            p.relative_to(path).as_posix() for p in path.rglob("*") if p.name.lower().endswith(_DATA_SUFFIXES)
        )
        if data:
            raise DataError(
                f"{path}: holds data files ({data[0]}{', …' if data[1:] else ''}) and no Verilog; "
                f"give hf:{path} to read it as a data set, or one of its files"
            )
    return replace(request, format="verilog-folder")


def import_table(request: Request, counts: Counts) -> Iterator[Problem]:
    """Problems of a table in the layout ``request.format``."""
    table = request.table or load_rows(request.source)
    if request.format == "problems":
        return own_problems(table, request, counts)
    if request.format == "corpus":
        return corpus_problems(table, request, counts)
    return table_problems(table, request, counts)


def import_synth(request: Request, counts: Counts) -> Iterator[Problem]:
    """Problems of the bundled generator: ``limit`` of them, or ``SYNTH_COUNT`` to draw a smaller subset from."""
    from itertl.synth import generate

    if request.columns or request.filter:
        raise DataError("synth: columns and filter are for tables; choose with data.families")
    pool = max(request.limit or 0, 0 if request.families else SYNTH_COUNT) or SYNTH_COUNT
    yield from generate(request.seed, pool, tuple(request.families), "train")


def length(problem: Problem) -> int:
    """Characters of instruction, header and reference; a header that the reference begins with counts once."""
    reference = problem.reference or ""
    header = 0 if reference.startswith(problem.header) else len(problem.header)
    return len(problem.instruction) + header + len(reference)


def _distinct(problems: Iterable[Problem], counts: Counts) -> list[Problem]:
    """Problems with distinct ids, the first of each kept."""
    kept: dict[str, Problem] = {}
    for problem in problems:
        if kept.setdefault(problem.id, problem) is not problem:
            counts.skipped["duplicate of an earlier row"] += 1
    return list(kept.values())


def _with_derived_header(problem: Problem, counts: Counts) -> Problem:
    if problem.header:
        return problem
    reference = problem.reference or ""
    top = problem.top or derive_top(reference)
    ordered = with_top_first(reference, top)
    first = next(iter(modules(ordered)), None)
    header = derive_header(ordered) if first is not None and first.name == top else ""
    if not header:
        counts.notes["no header could be derived"] += 1
        return problem
    counts.notes["top module put before those that it uses"] += ordered != reference
    made = Problem.create(**{**problem.model_dump(exclude={"id"}), "header": header, "reference": ordered, "top": top})
    if problem.id in counts.places:
        counts.places.setdefault(made.id, counts.places[problem.id])
    return made
