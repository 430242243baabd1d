"""Foreign rows become problems: one table of formats, one reader for all of them.

A format says which column holds which of our fields; a user's ``columns`` overrides it field by field. A row whose
instruction or reference is blank is left out and counted; a row whose value has a wrong type is an error, because a
whole column of it would otherwise be lost. Columns that no field takes are kept in ``Problem.extra``.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from itertl.errors import DataError
from itertl.problems.cells import Counts, cleaned, conversation_of, question_of, reference_of, repaired, text_of
from itertl.problems.filters import ANY, check_filter, listed, nearest_column, passes
from itertl.problems.hub_datasets import is_saved_dataset, read_hub
from itertl.records import Problem
from itertl.runs.rows import SourceRow, Table, read_table
from itertl.runs.storage import parse_record
from itertl.verilog.extract import extract, is_wrapped
from itertl.verilog.header import derive_top
from itertl.verilog.text import is_prose, modules

FIELDS = tuple("instruction header reference messages source licence upstream_id top testbench family split".split())


@dataclass(frozen=True, slots=True)
class Request:
    """What an importer is asked. A user's importer is ``function(request, counts) -> Iterable[Problem]``."""

    source: str  # path, hf:NAME[:split] or "synth"
    columns: Mapping[str, str] = field(default_factory=dict)  # our field -> column
    filter: Mapping[str, object] = field(default_factory=dict)  # column -> value, or list of values, to keep
    limit: int | None = None  # how many problems will be kept; the caller draws the subset
    seed: int = 0
    families: Sequence[str] = ()  # of the generator
    format: str = "auto"  # the importer's own name
    table: Table | None = None  # the source's rows, where they have been read already


class Format(NamedTuple):
    """Columns of one known layout. ``columns`` maps our field to the names that it may have, best first."""

    columns: Mapping[str, tuple[str, ...]]
    needs: tuple[str, ...] = ("instruction", "reference")
    filter: Mapping[str, object] = {}
    exact: bool = False  # names are case-sensitive


_COMMON = {"licence": ("licence", "license"), "upstream_id": ("task_id", "id", "uid")}
FORMATS: dict[str, Format] = {
    "train-pairs": Format(
        {"instruction": ("instruction",), "reference": ("response",), "source": ("source",), **_COMMON},
        filter={"compiles": True, "bench_overlap_flag": False},
        exact=True,
    ),
    "rtlcoder": Format(
        {"instruction": ("Instruction",), "header": ("Input",), "reference": ("Response",), **_COMMON}, exact=True
    ),
    "messages": Format({"messages": ("messages", "conversations", "conversation"), **_COMMON}, needs=("messages",)),
    "prompt-completion": Format({"instruction": ("prompt",), "reference": ("completion",), **_COMMON}),
    "instruction-response": Format(
        {
            "instruction": ("instruction", "question", "description", "query"),
            "header": ("input", "header"),
            "reference": ("response", "reference", "output", "answer", "completion", "solution", "code"),
            **_COMMON,
        }
    ),
    "columns": Format(_COMMON),
}


def recognise(table: Table) -> str:
    """The format of a table by its columns. Raises DataError where none fits."""
    if is_own(table):
        return "problems"
    if str(table.rows[0].values.get("schema", "")).startswith("itertl.text/"):
        return "corpus"
    for name, known in FORMATS.items():
        fits = all(_find(table.columns, known, wanted) for wanted in known.needs)
        if name != "columns" and fits and set(known.filter) <= set(table.columns):
            return name
    raise DataError(
        f"{table.name}: its columns ({listed(table.columns)}) are of no known layout; say which column is which with "
        f"columns (--column), for example {_example(table)}"
    )


def is_own(table: Table) -> bool:
    """Whether a table holds problems of our own."""
    return str(table.rows[0].values.get("schema", "")).startswith("itertl.problem/")


def _example(table: Table) -> str:
    """Settings of ``columns`` that fit the table: by dots where the values of its columns are tables themselves."""
    inside: list[str] = []
    for column, value in table.rows[0].values.items():
        known = json.loads(value) if isinstance(value, str) and value.lstrip()[:1] == "{" and is_json(value) else value
        inside += [f"{column}.{key}" for key in known] if isinstance(known, dict) else []
    return (
        f"instruction=NAME and reference={inside[0]} (dots lead into values: {listed(inside)})"
        if inside
        else "instruction=NAME and reference=NAME"
    )


def load_rows(source: str) -> Table:
    """The table behind a source: a file, a saved data set or ``hf:NAME``. Raises DataError."""
    path = Path(source)
    if source.startswith("hf:") or is_saved_dataset(path):
        return read_hub(source)
    return read_table(path)


def table_problems(table: Table, request: Request, counts: Counts) -> Iterator[Problem]:
    """The problems of a table in the layout ``request.format``. Raises DataError (row, column, what to do)."""
    known = FORMATS[request.format]
    table = _with_nested(table, request.columns.values())
    mapping = _resolve_columns(table, known, request.columns)
    conditions = {k: v for k, v in {**known.filter, **request.filter}.items() if v != ANY}
    check_filter(table, conditions)
    source = table.name if table.name.startswith("hf:") else Path(table.name).name
    for row in table.rows:
        if not passes(row, conditions, counts):
            continue
        fields = _row_fields(row, mapping, counts)
        if fields is not None:
            fields.setdefault("source", source)
            fields["extra"].update(_rest(row, mapping))
            yield counts.came_from(Problem.create(**fields), row.where)


def _with_nested(table: Table, wanted: Iterable[str]) -> Table:
    """``table`` with a column for each wanted name that leads into values by dots (``reward_model.ground_truth``); text
    that is JSON is read on the way. Raises DataError where no row has it."""
    paths = [name for name in wanted if "." in name and name not in table.columns]
    if not paths:
        return table
    rows = [
        SourceRow(row.where, {**row.values, **{path: nested(row.values, path.split(".")) for path in paths}})
        for row in table.rows
    ]
    for path in paths:
        if all(row.values[path] is None for row in rows):
            raise DataError(
                f"{table.name}: no row has {path!r}; its columns are {listed(table.columns)}, and dots lead into their "
                f"values"
            )
    return Table.of(table.name, rows)


def nested(value: Any, keys: Sequence[str]) -> Any:
    """What the keys lead to, or None; keys may hold dots themselves, and indices lead into lists."""
    if isinstance(value, str) and keys and value.lstrip()[:1] in ("{", "["):
        value = json.loads(value) if is_json(value) else None
    if not keys:
        return value
    if isinstance(value, list):
        return nested(value[int(keys[0])], keys[1:]) if keys[0].isdigit() and int(keys[0]) < len(value) else None
    if isinstance(value, dict):
        for count in range(1, len(keys) + 1):
            if (key := ".".join(keys[:count])) in value:
                return nested(value[key], keys[count:])
    return None


def own_problems(table: Table, request: Request, counts: Counts) -> Iterator[Problem]:
    """Problems of our own ``problems.jsonl``; an id that does not fit its content is made anew, and counted."""
    if request.columns:
        raise DataError(f"{table.name}: problems of our own have fixed columns; leave columns out")
    check_filter(table, request.filter)
    for row in table.rows:
        if not passes(row, {k: v for k, v in request.filter.items() if v != ANY}, counts):
            continue
        stored = parse_record(Problem, {"id": "", **cleaned(row.values, counts)}, row.where)
        problem = Problem.create(**stored.model_dump(exclude={"id"}))
        counts.notes["id did not fit the content and was made anew"] += problem.id != stored.id
        yield counts.came_from(problem, row.where)


def corpus_problems(table: Table, request: Request, counts: Counts) -> Iterator[Problem]:
    """The texts of a corpus (``itertl data corpus``), or of a table with a column ``text``, as references without
    instructions: for training on whole texts. ``request.columns`` may say which column is the reference."""
    mapping = {"reference": "text", "upstream_id": "path", "licence": "licence", "source": "source"}
    for ours in request.columns:
        if ours not in mapping:
            raise DataError(f"columns: a corpus has no {ours}; it has {', '.join(mapping)}")
    mapping |= request.columns
    for ours, theirs in mapping.items():
        if theirs not in table.columns and (ours == "reference" or ours in request.columns):
            raise DataError(f"{table.name}: no column {theirs!r} (for {ours}); {nearest_column(theirs, table.columns)}")
    check_filter(table, request.filter)
    for row in table.rows:
        if not passes(row, {k: v for k, v in request.filter.items() if v != ANY}, counts):
            continue
        text = _lines(repaired(text_of(row, mapping["reference"], counts), counts))
        if text is None or not text.strip():
            counts.skip("no text", row.where)
            continue
        facts = {ours: text_of(row, name, counts, plain=True) for ours, name in mapping.items() if ours != "reference"}
        known = {"source": Path(table.name).name} | {ours: value for ours, value in facts.items() if value is not None}
        yield counts.came_from(Problem.create(instruction="", reference=text, **known), row.where)


def _find(columns: Sequence[str], known: Format, wanted: str) -> str | None:
    for candidate in known.columns.get(wanted, ()):
        if candidate in columns:
            return candidate
        if not known.exact:
            for column in columns:
                if str(column).casefold() == candidate:
                    return column
    return None


def _resolve_columns(table: Table, known: Format, given: Mapping[str, str]) -> dict[str, str]:
    """Our field -> column of this table: what the format finds, then what the user says."""
    for ours, theirs in given.items():
        if ours not in FIELDS:
            raise DataError(f"columns: {ours!r} is not a field of a problem; {nearest_column(ours, FIELDS)}")
        if theirs not in table.columns:
            raise DataError(f"{table.name}: no column {theirs!r} (for {ours}); {nearest_column(theirs, table.columns)}")
    found = {ours: column for ours in known.columns if (column := _find(table.columns, known, ours)) is not None}
    mapping = {ours: column for ours, column in found.items() if column not in given.values()} | dict(given)
    if "messages" not in mapping:
        for wanted in ("instruction", "reference"):
            if wanted not in mapping:
                names = known.columns.get(wanted, (wanted,))
                raise DataError(
                    f"{table.name}: no column {names[0]!r} (for {wanted}); {nearest_column(names[0], table.columns)}; "
                    f"say which with columns: {wanted}=NAME"
                )
    return mapping


def _row_fields(row: SourceRow, mapping: Mapping[str, str], counts: Counts) -> dict[str, Any] | None:
    """Keyword arguments of ``Problem.create``; None where the row is left out."""
    extra: dict[str, Any] = {}
    fields: dict[str, Any] = {"extra": extra}
    for column in (mapping[ours] for ours in ("instruction", "reference", "messages") if ours in mapping):
        if column not in row.values:
            raise DataError(
                f"{row.where}: has no {column!r}, as other rows have; add it, or leave the row out by a filter"
            )
    if "messages" in mapping:
        asked, answered = conversation_of(row, mapping["messages"], extra)
    else:
        asked = question_of(row, mapping["instruction"], extra, counts)
        answered = reference_of(row, mapping["reference"], extra, counts)
    asked, answered = _lines(repaired(asked, counts)), _lines(repaired(answered, counts))
    for value, reason in ((asked, "no instruction"), (answered, "no reference")):
        if value is None or not value.strip():
            counts.skip(reason, row.where)
            counts.blank.append(row)
            return None
    for ours in set(mapping) - {"instruction", "reference", "messages"}:
        value = text_of(
            row, mapping[ours], counts, plain=ours in ("upstream_id", "licence", "source", "family", "split", "top")
        )
        if value is not None:
            fields[ours] = value
    if (asked or "").lstrip()[:1] in "{[" and is_json(asked or ""):
        counts.notes[
            "instruction that is JSON text: name the column in it by dots, for example instruction=COLUMN.KEY"
        ] += 1
    if re.search(r"^\s*`include\b", answered or "", re.M):
        counts.notes["reference with an include, which is not opened"] += 1
    header = _lines(fields.pop("header", "")) or ""
    if mapping.get("header") != "Input":
        answered = code_of(answered or "", header, row.where, counts)
    fields |= _with_header(asked or "", header, answered or "", mapping, counts)
    fields.setdefault("top", _top(fields["header"], fields["reference"]))
    return fields


def _lines(text: str | None) -> str | None:
    """``text`` with LF as its line ends where it has carriage returns alone, which end no line comment of Verilog."""
    return text if text is None or "\r" not in text else re.sub(r"\r(?!\n)", "\n", text)


def code_of(answer: str, header: str, where: str, counts: Counts) -> str:
    """The Verilog of a reference that stands in fences, marks, thoughts or prose; the reference itself where it does
    not.

    What holds such marks and no module that can be taken out is kept and named in ``counts.dropped``.
    """
    spans = modules(answer)
    around = answer if not spans else answer[: spans[0].start] + "\n" + answer[spans[-1].end :]
    if answer.lstrip()[:1] in "{[" and is_json(answer):
        counts.notes[
            "reference that is JSON text: name the column in it by dots, for example reference=COLUMN.KEY"
        ] += 1
        return answer
    if not (is_wrapped(answer) or is_prose(around)):
        return answer
    code = extract(answer, header=header).code
    if not code.strip():
        counts.notes["reference with marks or prose, and no module to take out"] += 1
        counts.name("kept, but holds marks or prose and no module", where)
        return answer
    counts.notes["code taken out of a reference with fences, thoughts or prose"] += 1
    return code


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _top(header: str, reference: str) -> str | None:
    spans = modules(header)
    return spans[0].name if spans else derive_top(reference)


def _with_header(asked: str, header: str, answered: str, mapping: Mapping[str, str], counts: Counts) -> dict[str, str]:
    """Instruction, header and reference made whole.

    An ``input`` that holds no module is context of the instruction (Alpaca's layout), not a header; a reference that
    is the body alone gets its header. RTLCoder's ``Input`` is taken as it is.
    """
    if mapping.get("header") != "Input":
        if str(mapping.get("header", "")).casefold() == "input" and header.strip() and not modules(header):
            asked, header = f"{asked}\n\n{header}", ""
            counts.notes["input joined to the instruction"] += 1
        if modules(header) and not modules(answered) and "endmodule" in answered:
            answered = header + answered
            counts.notes["header put before a reference without one"] += 1
    return {"instruction": asked, "header": header, "reference": answered}


def _rest(row: SourceRow, mapping: Mapping[str, str]) -> dict[str, Any]:
    """The columns that no field took, where they hold anything; surrogates replaced without being counted."""
    used = set(mapping.values())
    kept = {c: cleaned(v, Counts()) for c, v in row.values.items() if c not in used}
    return {str(cleaned(str(c), Counts())): v for c, v in kept.items() if v is not None and v != "" and v != []}
