"""``itertl eval SAMPLES.jsonl``: judge stored completions and write what came of each, in the order of the file.

A line is ``{"task_id", "completion"[, "full_module"][, "temperature"][, "truncated"]}``; other fields are ignored.
Completions are judged as they are stored. Without ``"full_module": true`` the problem's header goes before the text, as
upstream does it. Only where no text of the file is a body (each begins a module, is in fences, prose or behind a
thought, or holds no code at all, and no row says otherwise) is it judged so, and ``notes`` says that; where some rows
are, ``notes`` warns.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from itertl.errors import DataError
from itertl.evaluation import by_function
from itertl.evaluation.benchmarks import FUNCTION, Benchmark, task_id
from itertl.evaluation.compare import RESULTS
from itertl.evaluation.completions import Completion, check_tasks
from itertl.evaluation.fields import flag_field, temperature_field, text_field
from itertl.evaluation.judge import choose_rule, judge
from itertl.evaluation.passk import estimate
from itertl.evaluation.summary import best_of_temperatures, rising, summarize, unjudged_as_failed
from itertl.progress import SILENT, Tracker
from itertl.records import EvalRow, EvalSummary
from itertl.runs.rows import read_objects
from itertl.runs.storage import taken_up, write_records
from itertl.scoring.score_lines import begins_module
from itertl.verilog.extract import extract, is_wrapped
from itertl.verilog.text import is_prose, modules, strip_comments

_CODE = re.compile(r"\bendmodule\b|\b(assign|always\w*|initial|reg|wire|logic|begin|case|generate|if)\b[^;]*;|=[^;]*;")


def read_completions(samples: Path) -> list[Completion]:
    """Read stored completions; ``index`` counts the lines of each task_id from 0.

    Raises DataError (file, line, field and fix) for a malformed line and for a file without completions.
    """
    seen: Counter[str] = Counter()
    completions: list[Completion] = []
    for where, row in read_objects(samples):
        task = text_field(row, "task_id", where)
        completion = Completion(
            task_id=task, index=seen[task], text=text_field(row, "completion", where),
            full_module=flag_field(row, "full_module", where), is_stated=row.get("full_module") is not None,
            truncated=flag_field(row, "truncated", where), temperature=temperature_field(row, where), where=where,
        )  # fmt: skip
        completions.append(completion)
        seen[task] += 1
    if not completions:
        raise DataError(f'{samples}: holds no completions; a line is {{"task_id": …, "completion": …}}')
    return completions


def eval_file(
    samples: Path, benchmark: Benchmark, *, out: Path | None = None, rule: str | None = None, num_workers: int = 0,
    cache: Path | None = None, ks: Sequence[int] = (1, 5, 10), tracker: Tracker = SILENT,
) -> dict[str, Any]:  # fmt: skip
    """Judge the completions of ``samples`` and return a JSON-able account (see ``account``).

    With ``out`` the rows go to ``out/results.jsonl`` (complete or absent), and a call that was killed is taken up from
    ``out/results.jsonl.partial``. ``cache``: folder of verdicts kept across calls. Raises DataError, UsageError,
    ToolMissing.
    """
    choose_rule(benchmark, rule)
    completions = read_completions(samples)
    check_tasks(benchmark, completions)
    completions, notes = recognised(completions, benchmark)
    with contextlib.nullcontext(None) if out is None else taken_up(_results_in(out)) as partial:
        rows = judge(
            benchmark, completions, rule=rule, num_workers=num_workers, partial=partial, cache=cache, tracker=tracker
        )
        if out is not None:
            write_records(out / RESULTS, rows)
    results = None if out is None else str(out / RESULTS)
    found = account(benchmark, rows, ks=ks, seed=0)
    return {**found, "notes": [*benchmark.notices, *notes], "results": results}


def recognised(completions: Sequence[Completion], benchmark: Benchmark) -> tuple[list[Completion], list[str]]:
    """The completions in the shape that the whole file has, and notes on it.

    A file of bodies is judged as it is stored, as its benchmark's own harness would, with a word on rows that look
    otherwise; a file without bodies is one of whole modules, or of a model's answers. Rows without code (refusals) say
    nothing of it.
    """
    mixture, stored = "fences or thoughts, or prose around a module", "and are judged as they are stored: store the"
    rows: dict[str, list[Completion]] = {shape: [] for shape in ("answer", "whole", "body", "none")}
    for completion in completions:
        rows[_shape(completion)].append(completion)
    number = sum(bool(c.text.strip()) for c in completions)
    answers, whole = rows["answer"], [c for c in rows["whole"] if not c.full_module]
    is_said = rows["whole"] and all(c.is_stated for c in answers)  # that the rows are whole modules, fences or not
    if answers and not rows["body"] and not is_said:
        note = f"{_share(answers, number)} {mixture}: the code is taken out of them, as from a model's answers"
        return [_taken_out(c, benchmark) for c in completions], [note]
    if whole and not rows["body"]:
        note = f"{_share(whole, number, 'begin')} a module: each is judged as a whole module (full_module)"
        return [replace(c, full_module=True) if c.text.strip() else c for c in completions], [note]
    around = [c for c in rows["body"] if is_prose(c.text.rpartition("endmodule")[2]) or _begins_with_prose(c.text)]
    without = [c for c in rows["none"] if c.text.strip()]
    stated = [c for c in rows["body"] if begins_module(c.text)]
    notes = [
        (answers, "hold", mixture, f"{stored} code alone"),
        (whole, "begin", "a module", 'and the header is put before them too: add "full_module": true'),
        (stated, "begin", 'a module where "full_module" is false', "and the header is put before them too: say true"),
        (around, "hold", "prose around a body", f"{stored} code alone"),
        (without, "hold", "no code", "and count as failed"),
    ]
    return list(completions), [
        f"{_share(some, number, verb)} {what} ({some[0].where}) {fix}" for some, verb, what, fix in notes if some
    ]


def _begins_with_prose(text: str) -> bool:
    line = text.lstrip().partition("\n")[0]
    return (
        is_prose(line)
        and not _CODE.search(line)
        and not re.match(r"(?:always|initial|input|output|wire|reg|logic|`|//|/\*)", line)
    )


def _share(some: Sequence[Completion], number: int, verb: str = "hold") -> str:
    return f"all {number} completions {verb}" if len(some) == number else f"{len(some)} of {number} completions {verb}"


def _shape(completion: Completion) -> str:
    """What it looks like: "answer" (code between other things), "whole" (modules), "body", or "none" (no code)."""
    text = completion.text
    if is_wrapped(text):
        return "answer"
    if begins_module(text) or completion.full_module:
        spans = modules(text)
        if not spans:
            return "none"
        around = re.sub(r"^\s*`[^\n]*", "", text[: spans[0].start], flags=re.M) + "\n;\n" + text[spans[-1].end :]
        if is_prose(around):
            return "answer"
        return "body" if completion.is_stated and not completion.full_module else "whole"
    return "body" if _CODE.search(strip_comments(text)) else "none"


def _taken_out(completion: Completion, benchmark: Benchmark) -> Completion:
    problem = benchmark.by_id[completion.task_id]
    code = extract(completion.text, header=problem.header, top=problem.top).code
    return replace(completion, text=code, full_module=True)


def _results_in(out: Path) -> Path:
    """The file of results. Raises DataError where ``out`` cannot be a folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out}: no folder for results can be made here ({error.strerror}); choose another --out"
        ) from error
    return out / RESULTS


def account(benchmark: Benchmark, rows: Sequence[EvalRow], *, ks: Sequence[int], seed: int) -> dict[str, Any]:
    """What judged rows amount to, as one JSON-able object.

    ``summary`` is over all rows; ``pass_at_k_unjudged_as_failed`` is what a harness that fails what it cannot run would
    report on this machine, for comparison with figures made that way. A rate is null where a problem has fewer than k
    samples. Where rows carry temperatures, ``by_temperature`` holds a summary of each (the fixed protocol) and, for
    several, ``best_of_temperatures`` the paper's choice, which is made on the test set.
    ``missing_problems`` names what the file has no completion for: figures are over the others. ``support``, under the
    rule ``function``: of the right ones, how many are proven, and how many agree on the vectors alone.
    """
    summary = summarize(rows, benchmark=benchmark, ks=ks, seed=seed)
    by_temperature = _by_temperature(benchmark, rows, ks=ks, seed=seed)
    attempted = {row.task_id for row in rows}
    supported = {"support": by_function.support(rows)} if summary.rule == FUNCTION else {}
    unjudgeable = {row.task_id: row.detail for row in rows if row.passed is None}
    return {
        "benchmark": benchmark.name,
        "benchmark_version": benchmark.version,
        "benchmark_hash": benchmark.content_hash,
        "rule": summary.rule,
        "simulator": summary.simulator,
        "sandbox": summary.sandbox,
        "pass_at_k": {str(found.k): found.value for found in summary.pass_at_k},
        "pass_at_k_unjudged_as_failed": {str(k): estimate(unjudged_as_failed(rows), k, seed=seed).value for k in ks},
        "summary": summary.model_dump(mode="json"),
        "by_temperature": [one.model_dump(mode="json") for one in by_temperature.values()],
        "best_of_temperatures": _best(by_temperature),
        "benchmark_problems": len(benchmark.problems),
        "missing_problems": [task_id(p) for p in benchmark.problems if task_id(p) not in attempted],
        "unjudged_problems": unjudgeable,
        **supported,
    }


def _by_temperature(
    benchmark: Benchmark, rows: Sequence[EvalRow], *, ks: Sequence[int], seed: int
) -> dict[float | None, EvalSummary]:
    """A summary of each temperature in the rows, rising; empty where no row has one."""
    temperatures = {row.temperature for row in rows}
    return {
        t: summarize([row for row in rows if row.temperature == t], benchmark=benchmark, ks=ks, seed=seed)
        for t in (rising(temperatures) if temperatures != {None} else ())
    }


def _best(by_temperature: dict[float | None, EvalSummary]) -> dict[str, Any] | None:
    if len(by_temperature) < 2:
        return None
    best = best_of_temperatures(by_temperature)
    return {
        "protocol": "best temperature for each k, chosen on the test set (paper, section 4.1)",
        "pass_at_k": {str(k): {"temperature": b.temperature, **b.estimate.model_dump()} for k, b in best.items()},
    }
