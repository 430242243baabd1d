"""``itertl score``: any file of candidates in, the same lines with their scores out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache as once
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from itertl.config import ScoreConfig
from itertl.errors import DataError, UsageError
from itertl.progress import SILENT, Tracker
from itertl.records import Candidate, Problem, Score, Scored, Verdict
from itertl.runs.rows import is_array, objects, read_objects, read_text
from itertl.runs.storage import parse_record, read_records, taken_up, write_text
from itertl.scoring.combine import check_combination, combine, rungs
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.equivalence.recheck import KINDS, recheck
from itertl.scoring.score_lines import OURS, Line, Row, Zs, interpret
from itertl.scoring.scorers import check_scorers
from itertl.work.pool import map_unordered


def score_file(
    path: Path,
    score: Sequence[str] | ScoreConfig,
    out: Path,
    *,
    problems: Path | None = None,
    effort: Effort = Effort(keep_going=False),  # noqa: B008
    vcd: Path | None = None,
    second_opinion: bool = False,
    tracker: Tracker = SILENT,
) -> dict[str, Any]:
    """Score each line of ``path`` (JSON Lines, or one JSON array) and write it back to ``out`` with its scores.

    Kinds of line: see ``score_lines``; they may be mixed. Order and unknown fields stay. ``out`` is JSON Lines, or an
    array if the input is one and ``out`` ends in ".json". Candidates find their problems in ``problems``, else in
    ``NAME.problems.jsonl`` beside the file ``NAME.jsonl``, else in ``problems.jsonl`` beside it or up to two folders
    above. Nothing is scored if a line is wrong, and ``out`` is written whole or not at all; a killed call goes on from
    ``out`` + ".partial". With ``effort.keep_going`` lines on which a scorer of the user's own raises are left without a
    value, else they end the call. ``second_opinion``: what ``equivalence`` proves is checked by two other routes
    (``equivalence.recheck``). ``vcd``: folder for a waveform around the first mismatch of each item that ``vectors``
    finds wrong. ``score``: names of scorers, or a recipe's ``score``: then its ladder decides what is taken, and each
    line gets its ``z`` too. Returns counts and, for each scorer, mean value and verdicts. Raises DataError (also for a
    file without a line to score), UsageError, ToolFailed.
    """
    config = score if isinstance(score, ScoreConfig) else None
    scorers = score.scorers if isinstance(score, ScoreConfig) else score
    if config is not None:
        check_combination(config)
    check_scorers(scorers)
    if vcd is not None and "vectors" not in scorers:
        raise UsageError("--vcd draws what the scorer vectors finds: add it to --scorer, or the recipe")
    if second_opinion and "equivalence" not in scorers:
        raise UsageError("--recheck looks again at what the scorer equivalence proves: add it to --scorer")
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; give the name of the file to write")
    if problems is not None and (not problems.exists() or problems.is_dir()):
        raise UsageError(f"--problems {problems}: no such file; give the run's problems.jsonl")
    text = read_text(path)
    lookup = once(lambda: _read_problems(path, problems))
    lines = [interpret(row, where, scorers, lookup) for where, row in objects(text, str(path), is_strict=True)]
    if not lines:
        raise DataError(
            f'{path}: holds no line to score; give one for each text, such as {{"reference": …, "completion": …}}'
        )
    items = [item for line in lines for item in line.items]
    checked: dict[str, Any] = {}
    with taken_up(out) as partial:
        order = () if config is None else rungs(config)
        taken = score_items(items, scorers, rungs=order, effort=effort, log=partial, on_done=tracker.advance)
        if second_opinion:
            taken, said = recheck(items, taken, num_workers=effort.num_workers, timeout_s=effort.timeout_s)
            checked = {"recheck": _rechecked(lines, said)}
        zs = None if config is None else [combine(scores, config) for scores in taken]
        write_text(out, _dump(_written(lines, taken, zs), as_array=is_array(text) and out.suffix == ".json"))
    drawn = {} if vcd is None else {"vcd": _draw(lines, taken, vcd, effort)}
    summary = {"lines": len(lines), "items": len(items), "scorers": _summary(scorers, taken), "out": str(out)}
    return {**summary, **({} if zs is None else {"z": _mean(zs)}), **checked, **drawn}


def _written(lines: Sequence[Line], taken: Sequence[tuple[Score, ...]], zs: Zs) -> list[Row]:
    """The lines with what came of each of their items."""
    rows: list[Row] = []
    place = 0
    for line in lines:
        own = slice(place, place + len(line.items))
        rows.append(line.write(line.row, taken[own], None if zs is None else zs[own]))
        place = own.stop
    return rows


def _rechecked(lines: Sequence[Line], said: Mapping[int, str]) -> dict[str, Any]:
    """How many proofs had which result of the second check, and where each of them is."""
    names = [
        line.where if len(line.items) == 1 else f"{line.where} Response[{number}]"
        for line in lines for number in range(len(line.items))
    ]  # fmt: skip
    where = {kind: [names[number] for number, one in said.items() if one == kind] for kind in KINDS}
    return {"proven": len(said), **{kind: len(places) for kind, places in where.items()}, "where": where}


def _mean(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {
        "mean": sum(known) / len(known) if known else None, "scored": len(known),
        "unscored": len(values) - len(known),
    }  # fmt: skip


def _draw(lines: Sequence[Line], taken: Sequence[tuple[Score, ...]], folder: Path, effort: Effort) -> int:
    """A file ``line-N.vcd`` (``line-N-M.vcd`` for the M-th response of a line with several) of each mismatch;
    how many."""
    names = [
        (item, f"line-{number}.vcd" if len(line.items) == 1 else f"line-{number}-{place}.vcd")
        for number, line in enumerate(lines, 1) for place, item in enumerate(line.items, 1)
    ]  # fmt: skip
    wrong = [
        (item, str(folder / name)) for (item, name), scores in zip(names, taken, strict=True)
        if any(score.scorer == "vectors" and score.verdict is Verdict.WRONG_OUTPUT for score in scores)
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    worker = "itertl.scoring.vectors.vcd:draw"
    done = map_unordered(worker, wrong, num_workers=effort.num_workers, timeout_s=effort.timeout_s)
    return sum(outcome.status == "ok" and bool(outcome.value) for _, outcome in done)


def _read_problems(path: Path, problems: Path | None) -> Mapping[str, Problem]:
    folders = path.resolve().parents[:3]
    beside = [path.with_name(f"{path.stem}.problems.jsonl"), *(folder / "problems.jsonl" for folder in folders)]
    places = [problems] if problems is not None else beside
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        missing = f"there is no {', '.join(map(str, places))}"
        raise DataError(f"{path}: its candidates need their problems, and {missing}; give the run's problems.jsonl")
    return {problem.id: problem for problem in read_records(found, Problem)}


def _dump(rows: Sequence[Row], *, as_array: bool) -> str:
    texts = [_line(row) for row in rows]
    return "[\n" + ",\n".join(texts) + "\n]\n" if as_array else "".join(text + "\n" for text in texts)


def _line(row: Row) -> str:
    """One JSON text that UTF-8 can hold: half a surrogate pair, which JSON allows, stays an escape."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(row, allow_nan=False)
    return text


def _summary(names: Sequence[str], taken: Sequence[tuple[Score, ...]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name in names:
        column = [score for scores in taken for score in scores if score.scorer == name]
        verdicts = Counter(score.verdict.value for score in column)
        table[name] = {**_mean([score.value for score in column]), "by_verdict": dict(sorted(verdicts.items()))}
        if len(column) < len(taken):
            table[name]["not_taken"] = len(taken) - len(column)  # a rung above the first that was not held
        first = next((score.detail for score in column if score.verdict is Verdict.TOOL_FAILED), None)
        table[name] |= {} if first is None else {"first_failure": first}
    return table


def read_scored(path: Path) -> list[Scored]:
    """Scored candidates: ``scored.jsonl`` of a run, or candidates with the scores that ``score_file`` added.

    ``z`` is left: training makes it of the scores by its own recipe. Raises DataError (file, line, field).
    """
    found: list[Scored] = []
    for where, value in read_objects(path):
        if value.get("schema") == Candidate.schema_name and isinstance(value.get("scores"), dict):
            scores = cast("dict[str, Any]", value["scores"])
            candidate = parse_record(Candidate, {k: v for k, v in value.items() if k not in OURS}, where)
            try:
                taken = tuple(Score(scorer=name, **score) for name, score in scores.items())
            except (TypeError, ValidationError) as error:
                raise DataError(f"{where}: field scores: {error}; make the file with itertl score") from error
            found.append(Scored(candidate=candidate, scores=taken))
        else:
            found.append(parse_record(Scored, value, where))
    return found
