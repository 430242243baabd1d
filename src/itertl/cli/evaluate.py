"""``itertl eval``, ``compare`` and ``self-test``."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itertl.cli import options
from itertl.cli.app import app
from itertl.cli.options import (
    as_override,
    print_json,
    recipe_of,
    require_sandbox_level,
    show,
    warn,
)
from itertl.errors import UsageError
from itertl.progress import Reporter

if TYPE_CHECKING:
    from itertl.evaluation.benchmarks import Benchmark

Samples = Annotated[
    Path | None, typer.Argument(help="Stored completions, one {task_id, completion[, full_module]} a line.")
]
Temperatures = Annotated[
    list[float] | None, typer.Option("--temperature", help="With --model; may be given several times.")
]
NumSamples = Annotated[
    int | None, typer.Option("--num-samples", min=1, help="With --model: samples a problem where T > 0; default: 1.")
]
FirstOfModel = Annotated[int | None, typer.Option("--limit", min=1, help="With --model: the first so many problems.")]
MaxNewTokens = Annotated[
    int | None,
    typer.Option("--max-new-tokens", min=1, help="With --model; default: 512, or what sample.max_new_tokens=N says."),
]


@app.command("eval")
def evaluate(
    samples: Samples = None,
    overrides: options.Overrides = None,
    benchmark: options.BenchmarkOption = "synth-heldout",
    data: options.Data = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for results.jsonl.")] = None,
    model: options.ModelOption = None,
    base_url: options.BaseUrl = None,
    rule: options.Rule = "default",
    temperature: Temperatures = None,
    num_samples: NumSamples = None,
    limit: FirstOfModel = None,
    shots: options.Shots = 0,
    max_new_tokens: MaxNewTokens = None,
    strategy: options.StrategyOption = None,
    recipe: options.RecipeOption = None,
    workers: options.Workers = 0,
    require_sandbox: options.RequireSandbox = None,
    list_tasks: Annotated[
        bool, typer.Option("--list-tasks", help="Print the benchmark's task ids, one a line; nothing is judged.")
    ] = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Judge stored completions, or sample a model and judge it."""
    from itertl.evaluation import benchmarks
    from itertl.evaluation.files import RESULTS, eval_file
    from itertl.loop import asked as asking
    from itertl.runs import outputs
    from itertl.runs.storage import cache_folder

    options.refuse_group("eval")
    if list_tasks:
        _list_tasks(benchmarks.load(benchmark, data, limit=limit, shots=shots), as_json)
        return
    if model is not None and (moved := as_override(samples, overrides)):
        samples, overrides = None, moved
    if (samples is None) == (model is None):
        raise UsageError("give one of SAMPLES.jsonl and --model PATH (two results: itertl compare A B)")
    asked = {
        "--base-url": base_url, "--strategy": strategy, "--recipe": recipe, "--temperature": temperature,
        "--num-samples": num_samples, "--limit": limit, "--max-new-tokens": max_new_tokens,
    }  # fmt: skip
    place, others = options.split_compute(overrides)
    if model is None:
        _refuse_sampling(others, asked)
    require_sandbox_level(require_sandbox)
    bench = benchmarks.load(benchmark, data, limit=limit if model else None, shots=shots)
    if samples is not None:
        guard = outputs.writing("eval", files=[out / RESULTS] if out else [], inputs=[samples, data], force=force)
        with guard, options.machines(place), Reporter(quiet=as_json).stage("judge", 0) as tracker:
            result = eval_file(
                samples, bench, out=out, rule=rule, num_workers=workers, cache=cache_folder(), tracker=tracker
            )
    else:
        settings = recipe_of(recipe, overrides or [], model, base_url)
        given = {"benchmark": benchmark, "data": str(data) if data else None, "limit": limit, "rule": rule}
        draws = asking.Draws(strategy, temperature, num_samples, max_new_tokens)
        folder = out or Path("eval")
        files = [folder / f"{kind}-{bench.name}.jsonl" for kind in ("samples", "eval")]
        with outputs.writing("eval", files=files, inputs=[data], force=force):
            result = asking.evaluate(
                settings, overrides or [], bench, given, draws, folder, reporter=Reporter(quiet=as_json), warn=warn
            )
    print_json(result) if as_json else _show(result)


def _list_tasks(benchmark: "Benchmark", as_json: bool) -> None:
    for notice in benchmark.notices:
        warn(notice)
    known = list(benchmark.by_id)
    print_json({"benchmark": benchmark.label, "tasks": known}) if as_json else options.print_text("\n".join(known))


def _refuse_sampling(overrides: list[str] | None, asked: Mapping[str, object]) -> None:
    """Raise UsageError for what has a meaning with ``--model`` alone."""
    given = [*(overrides or []), *(name for name, value in asked.items() if value not in (None, []))]
    if given:
        *names, last = asked
        raise UsageError(
            f"{given[0]}: overrides other than compute, {', '.join(names)} and {last} go with --model; nothing is "
            "sampled here"
        )


def _show(result: dict[str, Any]) -> None:
    from itertl.evaluation import terminal

    for note in result.get("notes", []):
        warn(note)
    show(terminal.show_account(result))
    if where := result.get("results") or result.get("out"):
        print(f"results  {where}")


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A result file, or a folder that holds one.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same benchmark.")],
    temperature: Annotated[
        list[float] | None, typer.Option("--temperature", help="Only rows of this; may be given several times.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare two results problem by problem: the difference with its interval and p-value."""
    from itertl.evaluation import terminal
    from itertl.evaluation.compare import compare as compare_results
    from itertl.evaluation.compare import read_results

    found = compare_results(read_results(a, temperature), read_results(b, temperature))
    print_json(dataclasses.asdict(found)) if as_json else show(terminal.show_comparison(found))


@app.command("self-test")
def self_test(
    benchmark: Annotated[str, typer.Argument(metavar="BENCH", help="Benchmark's name, see docs/evaluation.md.")],
    data: options.Data = None,
    rule: options.Rule = "default",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first so many problems.")] = None,
    shots: options.Shots = 0,
    workers: options.Workers = 0,
    require_sandbox: options.RequireSandbox = None,
    as_json: options.Json = False,
) -> None:
    """Check a benchmark on this machine: its references pass, and broken ones fail."""
    from itertl.evaluation import benchmarks, terminal
    from itertl.evaluation.fingerprint import fingerprint
    from itertl.evaluation.self_test import self_test as test_benchmark

    require_sandbox_level(require_sandbox)
    bench, simulator = benchmarks.load(benchmark, data, limit=limit, shots=shots), fingerprint()
    for notice in bench.notices:
        warn(notice)
    with Reporter(quiet=as_json).stage(f"self-test {bench.name}", 0) as tracker:
        found = test_benchmark(bench, rule=rule, num_workers=workers, tracker=tracker)
    if as_json:
        print_json({**dataclasses.asdict(found), "fingerprint": dataclasses.asdict(simulator)})
    else:
        show(terminal.show_self_test(found, simulator))
    if found.broken:
        raise typer.Exit(1)
