"""What the two doors, the command line and the Python API, share: what a caller asks for becomes a recipe, and the work
that both begin in the same way."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import Recipe, build_eval, build_recipe, load_recipe, naming
from itertl.errors import UsageError
from itertl.evaluation import benchmarks
from itertl.evaluation.benchmarks import Benchmark
from itertl.loop import jobs
from itertl.loop.jobs import Warn
from itertl.loop.run import RunResult
from itertl.loop.run import run as run_loop
from itertl.model.load import API
from itertl.model.prompt_form import with_form
from itertl.problems.load import from_config
from itertl.problems.retrieval import open_examples, said
from itertl.progress import Reporter
from itertl.records import Problem
from itertl.runs import outputs
from itertl.sampling.lengths import settled
from itertl.search import generate as generation

_SEARCHED = 0.8  # temperature of draws that a strategy chooses from, where none is given


@dataclass(frozen=True, slots=True)
class Draws:
    """How a benchmark's answers are drawn, where a caller says so: None leaves it to the overrides of ``sample``."""

    strategy: str | None = None
    temperatures: Sequence[float] | None = None
    num_samples: int | None = None
    max_new_tokens: int | None = None


def recipe_of(path: Path | None, overrides: Sequence[str], model: str | None, base_url: str | None = None) -> Recipe:
    """The recipe with what is said of the model; ``openai:NAME`` is asked at its endpoint. Raises RecipeError."""
    given = with_model(overrides, model, base_url)
    recipe = build_recipe({}, given) if path is None else load_recipe(path, given)
    if base_url is not None and recipe.sample.backend != "openai":
        raise UsageError("--base-url goes with --model openai:NAME")
    return recipe


def with_model(overrides: Sequence[str], model: str | None, base_url: str | None = None) -> list[str]:
    """The overrides with those that name a model, and where an endpoint serves it."""
    given = list(overrides)
    if model is not None:
        given.append(f"model.path={json.dumps(model)}")
    if model is not None and model.startswith(API):
        given = ["sample.backend=openai", f"sample.options.served_model={json.dumps(model.removeprefix(API))}", *given]
    if base_url is not None:
        given.append(f"sample.options.base_url={json.dumps(base_url)}")
    return given


def with_examples(
    recipe: Recipe, problems: Sequence[Problem], judged: Sequence[Problem] = (), *, warn: Warn
) -> list[Problem]:
    """The problems with what ``prompt.examples`` shows before each; ``warn`` gets what was passed over. The pairs of a
    recipe are the pool only where it names its data."""
    own = (lambda: from_config(recipe.data, recipe.seed).problems) if "data" in recipe.model_fields_set else None
    examples = open_examples(recipe, own, judged)
    if examples is None:
        return list(problems)
    found, notes = examples.given(problems)
    warn(f"note: examples: {said(recipe.prompt, found)}")
    for note, count in notes.items():
        warn(f"note: {note}: {count}")
    return found


def run(
    recipe: Recipe, folder: Path, *, place: Path | None, overrides: Sequence[str], reporter: Reporter,
    resume_changed: bool = False, share_from: Path | None = None,
) -> RunResult:  # fmt: skip
    """``loop.run``, with errors that name the recipe's file or override; its folder is none that it reads from."""
    read = [*recipe.data.paths, str(recipe.data.holdout), recipe.model.path, *(e.data for e in recipe.evals)]
    outputs.check_outside(folder, read)
    with naming(place, overrides):
        return run_loop(recipe, folder, reporter=reporter, resume_changed=resume_changed, share_from=share_from)


def evaluate(
    recipe: Recipe, overrides: Sequence[str], bench: Benchmark, given: Mapping[str, Any], draws: Draws,
    folder: Path, *, reporter: Reporter, warn: Warn,
) -> dict[str, Any]:  # fmt: skip
    """Sample the recipe's model on the benchmark and judge it. ``given``: the benchmark's settings. A recipe's own
    values of ``sample`` are for training: those of the overrides alone count, behind ``draws``."""
    recipe = settled(with_form(recipe, warn), lambda: ())
    every = bench
    if recipe.prompt.examples is not None and given["limit"]:  # the others are no examples either
        every = benchmarks.load(given["benchmark"], Path(given["data"]) if given["data"] else None)
    problems = with_examples(recipe, bench.problems, every.problems, warn=warn)
    bench = dataclasses.replace(bench, problems=tuple(problems))
    keys = {override.partition("=")[0].removeprefix("sample.").partition(".")[0] for override in overrides}
    own = {key: value for key, value in recipe.sample if key in keys}
    strategy = draws.strategy if draws.strategy is not None else own.get("strategy")
    has_options = "strategy_options" in keys or (strategy is not None and strategy == recipe.sample.strategy)
    temperature = own.get("temperature", 0.0 if strategy is None else _SEARCHED)
    config = build_eval(
        **given, top_p=recipe.sample.top_p, temperatures=tuple(draws.temperatures or [temperature]),
        strategy=strategy, strategy_options=recipe.sample.strategy_options if has_options else {},
        num_samples=draws.num_samples or own.get("num_candidates", 1),
        max_new_tokens=draws.max_new_tokens or own.get("max_new_tokens", 512),
    )  # fmt: skip
    for notice in bench.notices:
        warn(notice)
    folder.mkdir(parents=True, exist_ok=True)
    return jobs.evaluate(recipe, bench, config, folder, reporter=reporter)


def searching(recipe: Recipe, strategy: str | None, best_of: int | None, scorer: str | None) -> Recipe:
    """The recipe with the strategy that is asked for; without one, the best of so many draws. Raises UsageError."""
    given = {"draws": best_of, "scorer": scorer}
    if strategy is not None and any(given.values()):
        raise UsageError(
            "--best-of and --scorer are of the strategy best-of; give --strategy its options as "
            "sample.strategy_options.NAME=VALUE"
        )
    named = {"draws": 1} | {name: value for name, value in given.items() if value is not None}
    own = named if strategy is None else recipe.sample.strategy_options
    sample = recipe.sample.model_copy(
        update={"strategy": "best-of" if strategy is None else strategy, "strategy_options": own}
    )
    return recipe.model_copy(update={"sample": sample})


def generate(
    recipe: Recipe, problems: Sequence[Problem], *, out: Path | None = None, warn: Warn,
    show: Callable[[str], None] | None = None,
) -> list[generation.Ranked]:  # fmt: skip
    """Draw and rank answers to the problems by the recipe's strategy. ``show`` gets the text of a single draw."""
    recipe = settled(with_form(recipe, warn), lambda: ())
    problems = with_examples(recipe, problems, warn=warn)
    if recipe.prompt.header == "prefill" and not all(p.header.strip() for p in problems):
        warn("note: answers of this model go on from the module's header; give it by --header, and they are better")
    is_single = len(problems) == 1 and recipe.sample.strategy_options == {"draws": 1}
    return generation.generate(problems, recipe, out=out, show=show if is_single else None)
