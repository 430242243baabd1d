"""The kinds of line that ``itertl score`` takes, what is scored in each, and how scores are written back.

- a candidate of a run (schema ``itertl.candidate/1``), whose problem holds header and reference;
- an RTLCoder record: ``Input`` (header; optional), ``Response`` (a text or a list); the last response is the reference,
  as in RTLCoder's released sample, where it has score 1 in every record;
- ``{"reference", "completion"[, "header", "top", "full_module"]}``; of a completion in fences or behind a thought the
code is taken.

By a recipe a line also gets ``z`` (an RTLCoder record ``itertl_z``, one for each response), null where unscored.
Fields that are not named here are kept as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from itertl.errors import DataError
from itertl.records import Candidate, Problem, Score
from itertl.runs.storage import parse_record
from itertl.scoring.candidates import item_of
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import scorer_of
from itertl.verilog import text as verilog_text
from itertl.verilog.extract import extract, is_wrapped
from itertl.verilog.text import unix_lines

Row = dict[str, Any]
Scores = Sequence[Sequence[Score]]  # for each item of a line, for each scorer
Zs = Sequence[float | None] | None  # for each item of a line; None where no recipe makes a z
OURS = ("scores", "z")  # what a candidate's line holds after an earlier scoring


@dataclass(frozen=True, slots=True)
class Line:
    """A line as read, the items to score in it, and how their scores go into it."""

    row: Row
    where: str
    items: tuple[ScoreItem, ...]
    write: Callable[[Row, Scores, Zs], Row]


def interpret(row: Row, where: str, scorers: Sequence[str], problems: Callable[[], Mapping[str, Problem]]) -> Line:
    """Find a line's kind and take its items. ``problems`` is called for candidates alone.

    Raises DataError that names ``where``, the field and the fix.
    """
    if "schema" in row:
        return _candidate(row, where, scorers, problems)
    if "Response" in row and "completion" in row:
        raise DataError(f"{where}: has both Response and completion; keep one, so that it is clear what to score")
    if "Response" in row:
        return _rtlcoder(row, where, scorers)
    if "completion" in row:
        return _completion(row, where, scorers)
    raise DataError(
        f"{where}: neither a candidate of a run (field schema), nor an RTLCoder record (fields Input, Response), "
        "nor a completion (fields reference, completion)"
    )


def _candidate(row: Row, where: str, scorers: Sequence[str], problems: Callable[[], Mapping[str, Problem]]) -> Line:
    plain = {key: value for key, value in row.items() if key not in OURS}
    candidate = parse_record(Candidate, plain, where)
    known = problems()
    if candidate.problem_id not in known:
        missing = f"{candidate.problem_id!r} is not in the problems file"
        raise DataError(f"{where}: field problem_id: {missing}; give the run's own")
    before = {"scores": row["scores"]} if "scores" in row else {}
    item = item_of(candidate, known[candidate.problem_id])
    return Line(_with_table({**plain, **before}, where, scorers), where, (item,), _write_table)


def _rtlcoder(row: Row, where: str, scorers: Sequence[str]) -> Line:
    header = _text(row, "Input", where, default="")
    given = row["Response"]
    responses = cast("list[object]", given) if isinstance(given, list) else [given]
    if not responses:
        raise DataError(f"{where}: field Response: empty; its last element is the reference")
    codes: list[str] = []
    for number, response in enumerate(responses):
        if not isinstance(response, str):
            raise DataError(f"{where}: field Response[{number}]: a {type(response).__name__}, not a text")
        codes.append(whole_code(unix_lines(response), header))
    items = tuple(ScoreItem(code=code, header=header, reference=codes[-1]) for code in codes)
    return Line(row, where, items, partial(_write_rtlcoder, scorers))


def _completion(row: Row, where: str, scorers: Sequence[str]) -> Line:
    completion = _text(row, "completion", where)
    header = _text(row, "header", where, default="")
    top = _text(row, "top", where, default="") or None
    if "reference" not in row and (needing := [name for name in scorers if scorer_of(name).needs_reference]):
        raise DataError(f"{where}: field reference is missing; {', '.join(needing)} compares with it")
    reference = None if row.get("reference") is None else unix_lines(_text(row, "reference", where))
    is_whole = row.get("full_module")
    if not isinstance(is_whole, bool | None):
        raise DataError(f"{where}: field full_module: {is_whole!r} is neither true nor false")
    if is_wrapped(completion):
        code = extract(completion, header=header, top=top).code
    else:
        code = whole_code(unix_lines(completion), header, is_whole)
    item = ScoreItem(code, header, reference, top)
    return Line(_with_table(row, where, scorers), where, (item,), _write_table)


def whole_code(completion: str, header: str, is_whole: bool | None = None) -> str:
    """The code that a completion gives: itself, or ``header + completion``.

    ``is_whole`` None: it is whole where it begins a module before it ends one, so that a body with a helper module
    after its ``endmodule`` is still a continuation. A blank completion is not code, whatever the header.
    """
    if not completion.strip():
        return ""
    if is_whole is None:
        is_whole = begins_module(completion)
    return completion if is_whole else header + completion


def begins_module(text: str) -> bool:
    """Whether a text begins a module before it ends one."""
    marks = (t.text for t in verilog_text.tokenize(text) if t.text in ("module", "macromodule", "endmodule"))
    return next(marks, "endmodule") != "endmodule"


def _text(row: Row, field: str, where: str, default: str | None = None) -> str:
    """A field that holds text. Absent or null: the default, if there is one."""
    value: object = row.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        kind = "null" if value is None else f"a {type(value).__name__}"
        raise DataError(f"{where}: field {field}: {kind}, not a text")
    return value


def _with_table(row: Row, where: str, scorers: Sequence[str]) -> Row:
    """The row, if scores can be added to the ``scores`` that it may already hold; earlier ones of ``scorers``, of which
    a ladder may take none, are left out."""
    if "scores" not in row:
        return row
    if not isinstance(row["scores"], dict):
        kind = type(row["scores"]).__name__
        raise DataError(f"{where}: field scores: a {kind}, not an object; rename it or take it out")
    before = cast("dict[str, Any]", row["scores"])
    return {**row, "scores": {name: score for name, score in before.items() if name not in scorers}}


def _write_table(row: Row, scores: Scores, zs: Zs) -> Row:
    (taken,) = scores
    table: dict[str, Any] = {
        s.scorer: {"value": s.value, "verdict": s.verdict.value, "detail": s.detail}
        | ({"signals": [signal.model_dump(mode="json") for signal in s.signals]} if s.signals else {})
        for s in taken
    }
    return {**row, "scores": {**row.get("scores", {}), **table}, **({} if zs is None else {"z": zs[0]})}


def _write_rtlcoder(scorers: Sequence[str], row: Row, scores: Scores, zs: Zs) -> Row:
    """One scorer: a list of values as in upstream's ``Score``; several: a list for each, null where none was taken."""
    tables = [{score.scorer: score.value for score in taken} for taken in scores]
    columns = {name: [table.get(name) for table in tables] for name in scorers}
    one = next(iter(columns.values())) if len(columns) == 1 else columns
    return {**row, "itertl_score": one, **({} if zs is None else {"itertl_z": list(zs)})}
