"""``itertl eval SAMPLES.jsonl``: judge stored completions and write what came of each, in the order of the file.

A line is ``{"task_id", "completion"[, "full_module"][, "temperature"][, "truncated"]}``; other fields are ignored.
Completions are judged as they are stored. Without ``"full_module": true`` the problem's header goes before the text, as
upstream does it. Only where the whole file has another shape (every text begins a module and no row says otherwise, or every
text stands in fences or behind a thought) is it judged so, and ``notes`` says that; where some rows have it, ``notes`` warns.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from itertl.errors import DataError
from itertl.evaluation.benchmarks import Benchmark, load, task_id
from itertl.evaluation.judge import Completion, check_tasks, choose_rule, judge
from itertl.evaluation.lines import flag_field, read_objects, temperature_field, text_field
from itertl.evaluation.passk import estimate
from itertl.evaluation.summary import best_of_temperatures, summarize, unjudged_as_failed
from itertl.progress import SILENT, Tracker
from itertl.records import EvalRow, EvalSummary
from itertl.sampling.extract import extract, is_wrapped
from itertl.scoring.lines import begins_module
from itertl.storage import partial_of, write_records

RESULTS = "results.jsonl"


def read_completions(samples: Path) -> list[Completion]:
    """Read stored completions; ``index`` counts the lines of each task_id from 0.

    Raises DataError (file, line, field and the mend) for a malformed line and for a file without completions.
    """
    seen: Counter[str] = Counter()
    completions: list[Completion] = []
    for where, row in read_objects(samples):
        task = text_field(row, "task_id", where)
        completions.append(
            Completion(
                task_id=task,
                index=seen[task],
                text=text_field(row, "completion", where),
                full_module=flag_field(row, "full_module", where),
                is_stated="full_module" in row,
                truncated=flag_field(row, "truncated", where),
                temperature=temperature_field(row, where),
                where=where,
            )
        )
        seen[task] += 1
    if not completions:
        raise DataError(f'{samples}: holds no completions; a line is {{"task_id": …, "completion": …}}')
    return completions


def eval_file(
    samples: Path,
    benchmark_name: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    rule: str | None = None,
    num_workers: int = 0,
    cache: Path | None = None,
    ks: Sequence[int] = (1, 5, 10),
    seed: int = 0,
    shots: int = 0,
    tracker: Tracker = SILENT,
) -> dict[str, Any]:
    """Judge the completions of ``samples`` and return a JSON-able account (see ``account``).

    ``shots`` goes to ``benchmarks.load``. With ``out`` the rows go to ``out/results.jsonl`` (complete or absent), and a
    call that was killed is taken up from ``out/results.jsonl.partial``. ``cache``: folder of verdicts kept across calls. Raises DataError, UsageError, ToolMissing.
    """
    benchmark = load(benchmark_name, data, shots=shots)
    choose_rule(benchmark, rule)
    completions = read_completions(samples)
    check_tasks(benchmark, completions)
    completions, notes = recognised(completions, benchmark)
    partial = _partial(out)
    rows = judge(benchmark, completions, rule=rule, num_workers=num_workers, partial=partial, cache=cache, tracker=tracker)
    if out is not None and partial is not None:
        write_records(out / RESULTS, rows)
        partial.unlink(missing_ok=True)
    return {**account(benchmark, rows, ks=ks, seed=seed), "notes": notes, "results": None if out is None else str(out / RESULTS)}


def recognised(completions: Sequence[Completion], benchmark: Benchmark) -> tuple[list[Completion], list[str]]:
    """The completions in the shape that the whole file has, and what is to be told of it."""
    written = [c for c in completions if c.text.strip()]
    wrapped = [c for c in written if is_wrapped(c.text)]
    whole = [c for c in written if not c.full_module and not c.is_stated and begins_module(c.text)]
    if wrapped and len(wrapped) == len(written):
        note = f"all {len(written)} completions hold fences or thoughts: the code is taken out of them, as from a model's answers"
        return [_taken_out(c, benchmark) for c in completions], [note]
    if whole and len(whole) == len(written):
        note = f"all {len(written)} completions begin a module: each is judged as a whole module (full_module)"
        return [replace(c, full_module=True) for c in completions], [note]
    notes: list[str] = []
    if wrapped:
        notes.append(
            f"{len(wrapped)} of {len(written)} completions hold fences or thoughts ({wrapped[0].where}) and are judged as they are stored: "
            "store the code alone"
        )
    if whole:
        notes.append(
            f'{len(whole)} of {len(written)} completions begin a module ({whole[0].where}), and the header is put before them too: add "full_module": true'
        )
    return list(completions), notes


def _taken_out(completion: Completion, benchmark: Benchmark) -> Completion:
    problem = benchmark.by_id[completion.task_id]
    code = extract(completion.text, header=problem.header, top=problem.top).code
    return replace(completion, text=code, full_module=True)


def _partial(out: Path | None) -> Path | None:
    """Where the log of work in progress lies. Raises DataError where ``out`` can be no folder."""
    if out is None:
        return None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: no folder for results can be made here ({error.strerror}); choose another --out") from error
    return partial_of(out / RESULTS)


def account(benchmark: Benchmark, rows: Sequence[EvalRow], *, ks: Sequence[int], seed: int) -> dict[str, Any]:
    """All that is to be said of judged rows, as one JSON-able object.

    ``summary`` is over all rows; ``pass_at_k_unjudged_as_failed`` is what a harness that fails what it cannot run would
    say on this machine, for comparison with figures made that way. A rate is null where a problem has fewer than k
    samples. Where rows carry temperatures, ``by_temperature`` holds a summary of each (the fixed protocol) and, for
    several, ``best_of_temperatures`` the paper's choice, which is made on the test set.
    ``missing_problems`` names what the file has no completion for: figures are over the others.
    """
    summary = summarize(rows, benchmark=benchmark, ks=ks, seed=seed)
    by_temperature = summaries_by_temperature(benchmark, rows, ks=ks, seed=seed)
    attempted = {row.task_id for row in rows}
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
    }


def summaries_by_temperature(
    benchmark: Benchmark, rows: Sequence[EvalRow], *, ks: Sequence[int], seed: int
) -> dict[float | None, EvalSummary]:
    """A summary of each temperature in the rows, rising; empty where no row has one."""
    temperatures = {row.temperature for row in rows}
    if temperatures <= {None}:
        return {}
    return {
        t: summarize([row for row in rows if row.temperature == t], benchmark=benchmark, ks=ks, seed=seed)
        for t in sorted(temperatures, key=lambda t: -1.0 if t is None else t)
    }


def _best(by_temperature: dict[float | None, EvalSummary]) -> dict[str, Any] | None:
    if len(by_temperature) < 2:
        return None
    best = best_of_temperatures(by_temperature)
    return {
        "protocol": "best temperature for each k, chosen on the test set (paper, section 4.1)",
        "pass_at_k": {str(k): {"temperature": b.temperature, **b.estimate.model_dump()} for k, b in best.items()},
    }
