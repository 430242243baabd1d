"""Foreign rows become problems: one table of formats, one reader for all of them.

A format says which column holds which of our fields; a user's ``columns`` overrides it field by field. A row whose
instruction or reference is blank is left out and counted; a row whose value has a wrong type is an error, because a
whole column of it would otherwise be lost. Columns that no field takes are kept in ``Problem.extra``.
"""

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from itertl.errors import DataError
from itertl.problems.header import derive_top
from itertl.problems.hub import is_saved_dataset, read_hub
from itertl.problems.rows import Row, Table, read_table
from itertl.records import Problem
from itertl.storage import parse_record
from itertl.tools.verilog_text import modules

FIELDS = ("instruction", "header", "reference", "messages", "source", "licence", "upstream_id", "top", "testbench", "family", "split")
ANY = "any"  # a filter's value that lets every row pass: takes a default condition away


@dataclass(frozen=True, slots=True)
class Request:
    """What an importer is asked. A user's importer is ``function(request, counts) -> Iterable[Problem]``."""

    source: str  # path, hf:NAME[:split] or "synth"
    columns: Mapping[str, str] = field(default_factory=dict)  # our field -> column
    filter: Mapping[str, object] = field(default_factory=dict)  # column -> value, or list of values, to keep
    limit: int | None = None  # how many problems will be kept; the caller draws the subset
    seed: int = 0
    families: Sequence[str] = ()  # of the generator


@dataclass(slots=True)
class Counts:
    """What an importer leaves out (``skipped``) or changes (``notes``): reason -> how often."""

    skipped: Counter[str] = field(default_factory=Counter[str])
    notes: Counter[str] = field(default_factory=Counter[str])


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
            "reference": ("response", "output", "answer", "completion", "solution", "code"),
            **_COMMON,
        }
    ),
    "columns": Format(_COMMON),
}


def recognise(table: Table) -> str:
    """The format of a table by its columns. Raises DataError where none fits."""
    if str(table.rows[0].values.get("schema", "")).startswith("itertl.problem/"):
        return "problems"
    for name, known in FORMATS.items():
        if all(_find(table.columns, known, wanted) for wanted in known.needs) and set(known.filter) <= set(table.columns):
            if name != "columns":
                return name
    raise DataError(
        f"{table.name}: its columns ({_list(table.columns)}) are of no known layout; say which column is which with "
        "columns, for example instruction=NAME and reference=NAME"
    )


def load_rows(source: str) -> Table:
    """The table behind a source: a file, a saved data set or ``hf:NAME``. Raises DataError."""
    path = Path(source)
    if source.startswith("hf:") or is_saved_dataset(path):
        return read_hub(source)
    return read_table(path)


def table_problems(table: Table, name: str, request: Request, counts: Counts) -> Iterator[Problem]:
    """The problems of a table in the layout ``name``. Raises DataError (row, column, what to do)."""
    known = FORMATS[name]
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
            yield Problem.create(**fields)


def own_problems(table: Table, request: Request, counts: Counts) -> Iterator[Problem]:
    """Problems of our own ``problems.jsonl``; an id that does not fit its content is made anew, and counted."""
    if request.columns:
        raise DataError(f"{table.name}: problems of our own have fixed columns; leave columns out")
    check_filter(table, request.filter)
    for row in table.rows:
        if not passes(row, {k: v for k, v in request.filter.items() if v != ANY}, counts):
            continue
        stored = parse_record(Problem, {"id": "", **_clean(row.values, counts)}, row.where)
        problem = Problem.create(**stored.model_dump(exclude={"id"}))
        counts.notes["id did not fit the content and was made anew"] += problem.id != stored.id
        yield problem


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
            raise DataError(f"columns: {ours!r} is no field of a problem; {_nearest(ours, FIELDS)}")
        if theirs not in table.columns:
            raise DataError(f"{table.name}: no column {theirs!r} (for {ours}); {_nearest(theirs, table.columns)}")
    found = {ours: column for ours in known.columns if (column := _find(table.columns, known, ours)) is not None}
    mapping = {ours: column for ours, column in found.items() if column not in given.values()} | dict(given)
    if "messages" not in mapping:
        for wanted in ("instruction", "reference"):
            if wanted not in mapping:
                names = known.columns.get(wanted, (wanted,))
                raise DataError(
                    f"{table.name}: no column {names[0]!r} (for {wanted}); {_nearest(names[0], table.columns)}; "
                    f"say which with columns: {wanted}=NAME"
                )
    return mapping


def _list(names: Sequence[str]) -> str:
    shown = [str(name) for name in names[:30]]
    return ", ".join(shown) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _nearest(name: str, known: Sequence[str]) -> str:
    folded = {str(k).casefold(): str(k) for k in known}
    near = difflib.get_close_matches(name.casefold(), folded, 1, 0.5)
    return (f"did you mean {folded[near[0]]!r}? " if near else "") + f"it has: {_list(known)}"


def check_filter(table: Table, conditions: Mapping[str, object]) -> None:
    """Raise DataError where a condition names a column that the table does not have."""
    for column in conditions:
        if column not in table.columns:
            raise DataError(f"{table.name}: the filter names no column of it, {column!r}; {_nearest(column, table.columns)}")


def passes(row: Row, conditions: Mapping[str, object], counts: Counts) -> bool:
    """Whether a row meets every condition; the first one that it does not meet is counted."""
    for column, wanted in conditions.items():
        choices = wanted if isinstance(wanted, list | tuple | set) else [wanted]
        value = row.values.get(column)
        if not any(_equal(value, choice) for choice in choices):
            counts.skipped[f"filter: {column} is not {wanted}"] += 1
            return False
    return True


def _equal(value: Any, wanted: object) -> bool:
    """Equality that takes the text of a CSV cell for the number or truth value that it spells."""
    if isinstance(value, str) and not isinstance(wanted, str) and wanted is not None:
        if isinstance(wanted, bool):
            return value.strip().casefold() == str(wanted).casefold()
        try:
            return float(value) == wanted
        except ValueError:
            return False
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _row_fields(row: Row, mapping: Mapping[str, str], counts: Counts) -> dict[str, Any] | None:
    """Keyword arguments of ``Problem.create``; None where the row is left out."""
    extra: dict[str, Any] = {}
    fields: dict[str, Any] = {"extra": extra}
    if "messages" in mapping:
        asked, answered = _conversation(row, mapping["messages"], extra)
    else:
        asked = _text(row, mapping["instruction"], counts, role="user")
        answered = _reference(row, mapping["reference"], extra, counts)
    asked, answered = _mended(asked, counts), _mended(answered, counts)
    for value, reason in ((asked, "no instruction"), (answered, "no reference")):
        if value is None or not value.strip():
            counts.skipped[reason] += 1
            return None
    for ours in set(mapping) - {"instruction", "reference", "messages"}:
        value = _text(row, mapping[ours], counts, plain=ours in ("upstream_id", "licence", "source", "family", "split", "top"))
        if value is not None:
            fields[ours] = value
    fields |= _with_header(asked or "", fields.pop("header", ""), answered or "", mapping, counts)
    fields.setdefault("top", _top(fields["header"], fields["reference"]))
    return fields


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


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(row: Row, column: str, counts: Counts, *, role: str = "", plain: bool = False) -> str | None:
    """The text of a cell; None where it is null. ``plain``: numbers are taken too. Raises DataError."""
    value = row.values.get(column)
    if _is_missing(value):
        return None
    if plain and isinstance(value, int | float | str) and not isinstance(value, bool):
        return _mended(str(value), counts)
    if role and _is_chat(value):
        value = _content(value[-1], row, column)
    if not isinstance(value, str):
        raise DataError(
            f"{row.where}: column {column!r} holds a {type(value).__name__}, not text; mend the row or choose another column"
        )
    return _mended(value, counts)


def _reference(row: Row, column: str, extra: dict[str, Any], counts: Counts) -> str | None:
    """The right answer. Of a list of responses it is the last; the others go to ``extra["responses"]``."""
    if column not in row.values:
        raise DataError(f"{row.where}: has no {column!r}, as other rows have; add it, or leave the row out by a filter")
    value = row.values[column]
    if isinstance(value, list) and not _is_chat(value):
        for number, response in enumerate(value, 1):
            if response is not None and not isinstance(response, str):
                raise DataError(
                    f"{row.where}: column {column!r}: response {number} is a {type(response).__name__}, not text; mend the row"
                )
        if len(value) > 1:
            extra["responses"] = [_mended(response, counts) for response in value[:-1]]
        return value[-1] if value else None
    return _text(row, column, counts, role="assistant")


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) for m in value)


_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant", "system": "system"}


def _conversation(row: Row, column: str, extra: dict[str, Any]) -> tuple[str | None, str | None]:
    """(last user message before the answer, last assistant message); the system message goes to ``extra``."""
    messages = row.values.get(column)
    if isinstance(messages, str) and messages.lstrip().startswith("["):
        try:
            messages = json.loads(messages)
        except ValueError as error:
            raise DataError(f"{row.where}: column {column!r} is no JSON list of messages ({error})") from error
    if _is_missing(messages) or messages == []:
        return None, None
    if not _is_chat(messages):
        raise DataError(f"{row.where}: column {column!r} is no list of messages; each needs a role and a content")
    turns = [(_ROLES.get(str(m.get("role", m.get("from", ""))).lower(), "other"), _content(m, row, column)) for m in messages]
    answers = [n for n, (role, _) in enumerate(turns) if role == "assistant"]
    last = answers[-1] if answers else len(turns)
    questions = [n for n, (role, _) in enumerate(turns[:last]) if role == "user"]
    system = [text for role, text in turns if role == "system"]
    if system:
        extra["system"] = system[0]
    if questions and any(role in ("user", "assistant") for role, _ in turns[: questions[-1]]):
        extra["earlier_turns"] = [{"role": role, "content": text} for role, text in turns[: questions[-1]] if role != "system"]
    return (turns[questions[-1]][1] if questions else None), (turns[last][1] if answers else None)


def _content(message: Mapping[str, Any], row: Row, column: str) -> str | None:
    """Text of one chat message: a string, or a list of text parts."""
    content = message.get("content", message.get("value"))
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is not None and not isinstance(content, str):
        raise DataError(f"{row.where}: column {column!r}: a message's content is a {type(content).__name__}, not text")
    return content


_SURROGATE = re.compile("[\ud800-\udfff]")


def _mended(text: str | None, counts: Counts) -> str | None:
    """Text that UTF-8 can hold: surrogate pairs joined, lone surrogates made U+FFFD, and counted."""
    if text is None or not _SURROGATE.search(text):
        return text
    counts.notes["text with surrogates mended"] += 1
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _clean(value: Any, counts: Counts) -> Any:
    """A JSON-able copy of any value: no NaN, no surrogates, keys as text; what JSON has no form for becomes text."""
    if isinstance(value, str):
        return _mended(value, counts)
    if isinstance(value, dict):
        return {_mended(str(k), counts): _clean(v, counts) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v, counts) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)


def _rest(row: Row, mapping: Mapping[str, str]) -> dict[str, Any]:
    """The columns that no field took, where they hold anything; surrogates mended without being counted."""
    used = set(mapping.values())
    kept = {c: _clean(v, Counts()) for c, v in row.values.items() if c not in used}
    return {str(_clean(str(c), Counts())): v for c, v in kept.items() if v is not None and v != "" and v != []}
