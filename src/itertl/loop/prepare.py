"""What is settled before the first stage of a run: names, tools, lengths, the problems and the benchmarks."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import DataConfig, EvalConfig, Recipe
from itertl.errors import DataError, UsageError
from itertl.evaluation import benchmarks, by_function, pairs
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.judge import choose_rule
from itertl.loop import shown, trackers
from itertl.model import load
from itertl.problems.load import LoadResult, check_source, from_config
from itertl.records import Problem, content_hash
from itertl.runs import storage
from itertl.runs.folder import RunFolder
from itertl.sampling import lengths
from itertl.sampling.draw import check_backend
from itertl.scoring.combine import check_combination
from itertl.scoring.scorers import check_scorers, check_tools
from itertl.search.strategy import check_strategy
from itertl.tools import icarus
from itertl.training.methods import Method, check_scores, resolve_method, with_signals
from itertl.work import engine


@dataclass(frozen=True, slots=True)
class Task:
    """What stays the same over the iterations of a run."""

    method: Method
    problems: tuple[Problem, ...]
    problems_hash: str
    benchmarks: tuple[tuple[EvalConfig, Benchmark, str], ...]  # with the SHA-256 of its problems
    by_id: Mapping[str, Problem]


def check_recipe(recipe: Recipe) -> Method:
    """Resolve every name of the recipe and ask for every tool that it needs.

    Raises UsageError, RecipeError, ToolMissing.
    """
    if recipe.model.path.startswith(load.API):
        raise UsageError(
            f"model.path: {recipe.model.path} is served by an endpoint and cannot be trained; give a model of files"
        )
    method = resolve_method(recipe.method, recipe.train)
    score = with_signals(method, recipe.score)
    check_combination(score)
    check_scores(method, score)
    check_scorers(score.scorers)
    check_tools(score.scorers)
    check_backend(recipe.sample)
    check_strategy(recipe.sample.strategy, recipe.sample.strategy_options, [recipe.sample.temperature])
    for config in recipe.evals:
        check_strategy(config.strategy, config.strategy_options, config.temperatures)
    icarus.version()
    trackers.check(recipe)
    return method


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe that can be run: its lengths are numbers, and what it judges by and what it names is there."""

    recipe: Recipe
    benchmarks: tuple[Benchmark, ...]
    loaded: Callable[[], LoadResult]  # the pairs, read when first asked for
    pool: str = ""  # name and hash of the pairs that examples come from; "" without examples


def check_inputs(recipe: Recipe) -> Checked:
    """The recipe with its lengths settled and the benchmarks of ``evals``, once names, tools and the pairs are found to
    be there."""
    method = check_recipe(recipe)
    recipe = recipe.model_copy(update={"score": with_signals(method, recipe.score)})
    engine.current().processes(recipe.compute)
    for part in recipe.data.sources or (recipe.data,):
        if ":" not in part.format:  # an importer of the user's own knows what its source means
            check_source(part.source)
    read = functools.cache(functools.partial(from_config, recipe.data, recipe.seed))
    if recipe.data.holdout is not None:
        read()
    examples = shown.of_recipe(recipe, read)
    judged = tuple(shown.benchmark_with_examples(_benchmark(config, read), examples) for config in recipe.evals)
    loaded = functools.cache(lambda: shown.with_examples(read(), examples))
    recipe = lengths.settled(recipe, lambda: loaded().problems)
    return Checked(recipe, judged, loaded, "" if examples is None else examples.name)


def prepare(run: RunFolder, checked: Checked) -> Task:
    """Load the problems, and lay them and the benchmarks of ``evals`` into the run folder."""
    recipe = run.recipe
    method = resolve_method(recipe.method, recipe.train)
    loaded = tuple(
        (config, benchmark, _laid(benchmark, run.path))
        for config, benchmark in zip(recipe.evals, checked.benchmarks, strict=True)
    )
    problems = _problems(run, checked)
    if not any(p.reference for p in problems):
        raise DataError(
            f"{recipe.data.label}: no problem has a reference to train on; check the column mapping (data.columns)"
        )
    if not method.whole_files and recipe.prompt.template == "{instruction}":
        blank = next((p for p in problems if not p.instruction.strip() and not p.header.strip()), None)
        if blank is not None:
            raise DataError(
                f"{recipe.data.label}: {blank.upstream_id or blank.id} asks nothing, for it is a text without "
                "instruction; set method: cpt to train on whole texts, or give pairs"
            )
    return Task(method, tuple(problems), run.hash(run.path / "problems.jsonl"), loaded, {p.id: p for p in problems})


def _problems(run: RunFolder, checked: Checked) -> list[Problem]:
    data, path = run.recipe.data, run.path / "problems.jsonl"

    def work() -> dict[str, Any]:
        result = checked.loaded()
        storage.write_records(path, result.problems)
        for reason, number in result.skipped.items():
            run.reporter.say(f"problems: {number} left out: {reason}")
        for reason, number in result.notes.items():
            run.reporter.say(f"problems: {number} kept, but {reason}")
        count = len(result.problems)
        for notice in (notice for benchmark in checked.benchmarks for notice in benchmark.notices):
            run.reporter.say(notice)
        return {"format": result.format, "count": count, "skipped": result.skipped, "notes": result.notes}

    held = Path(str(data.holdout))
    inputs = {
        name: run.hash(Path(source)) if Path(source).exists() else content_hash(source)
        for name, source in zip(_input_names(data), data.paths, strict=True)
    }
    if isinstance(data.holdout, str) and held.exists():
        inputs["holdout"] = run.hash(held)
    settings = data.model_dump(mode="json", exclude=None if data.holdout is not None else {"holdout"})
    if checked.pool:
        inputs["examples"] = content_hash([checked.pool, [b.content_hash for b in checked.benchmarks]])
        settings["prompt"] = run.recipe.prompt.model_dump(mode="json")
        settings["model"] = run.recipe.model.path  # by whose tokens examples are counted
    run.stage(
        run.iteration(None), "problems", settings=settings, inputs=inputs, outputs=["../problems.jsonl"],
        seed=run.recipe.seed, work=work,
    )  # fmt: skip
    return storage.read_records(path, Problem)


def _input_names(data: DataConfig) -> list[str]:
    """What a manifest calls each of ``data.paths``."""
    named = [f"source {number}" for number in range(len(data.sources))] or ["source"]
    return named if data.difficulty is None else [*named, "difficulty"]


def _benchmark(config: EvalConfig, loaded: Callable[[], LoadResult]) -> Benchmark:
    benchmark = pairs.of_recipe(config, loaded)
    benchmarks.require_instructions(benchmark)
    if choose_rule(benchmark, config.rule) == benchmarks.FUNCTION:
        by_function.versions()
    return benchmark


def _laid(benchmark: Benchmark, folder: Path) -> str:
    """Lay a benchmark's problems into the run folder, so that a report needs nothing else; the hash of their file.

    A file of the same problems from another source, such as a clone for one file, stays as it is.
    """
    path = folder / f"bench-{benchmark.name}.jsonl"
    try:
        before = storage.read_records(path, Problem)
    except DataError:
        before = []
    if [p.model_copy(update={"source": ""}) for p in before] != [
        p.model_copy(update={"source": ""}) for p in benchmark.problems
    ]:
        storage.write_records(path, benchmark.problems)
    return storage.hash_file(path)
