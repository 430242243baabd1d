"""The pairs of a recipe with the examples that ``prompt.examples`` shows before each (``problems.retrieval``)."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from itertl.config import DataConfig, EvalConfig, Recipe
from itertl.evaluation import pairs
from itertl.evaluation.benchmarks import Benchmark
from itertl.problems.load import LoadResult, from_config
from itertl.problems.retrieval import Examples, open_examples
from itertl.records import Problem


def load(recipe: Recipe, data: DataConfig | None = None) -> LoadResult:
    """``from_config``, with examples where the recipe asks for them; ``data``: of another source than the recipe's.
    What the look-up has to say is among the notes."""
    own = functools.cache(functools.partial(from_config, recipe.data, recipe.seed))
    loaded = own() if data is None or data == recipe.data else from_config(data, recipe.seed)
    return with_examples(loaded, of_recipe(recipe, own))


def of_recipe(recipe: Recipe, own: Callable[[], LoadResult], own_pairs: Sequence[Problem] = ()) -> Examples | None:
    """The recipe's pool, without what is like a held-out pair or a problem of one of its ``evals``; None where it asks
    for no examples. ``own`` gives the recipe's pairs; ``own_pairs`` stand for them where they are known."""
    if recipe.prompt.examples is None:
        return None
    judged = [p for config in recipe.evals for p in pairs.of_recipe(_whole(config), own).problems]
    held = own().held if recipe.data.holdout is not None else []
    return open_examples(recipe, lambda: own_pairs or own().problems, [*judged, *held])


def _whole(config: EvalConfig) -> EvalConfig:
    return config.model_copy(update={"limit": None})


def with_examples(loaded: LoadResult, examples: Examples | None) -> LoadResult:
    """The pairs with their examples."""
    if examples is None:
        return loaded
    problems, notes = examples.given(loaded.problems)
    return dataclasses.replace(loaded, problems=problems, notes={**loaded.notes, **notes})


def benchmark_with_examples(benchmark: Benchmark, examples: Examples | None) -> Benchmark:
    """The benchmark with examples for its questions, what there is to say of them among its notices."""
    if examples is None:
        return benchmark
    problems, notes = examples.given(benchmark.problems)
    said = tuple(f"{benchmark.name}: {reason}: {count}" for reason, count in notes.items())
    return dataclasses.replace(benchmark, problems=tuple(problems), notices=(*benchmark.notices, *said))
