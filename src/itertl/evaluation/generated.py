"""Benchmarks made by the bundled generator: designs of families, or with parameters, that training never draws.

Each is one fixed draw, whatever the run's seed, so that runs can be compared.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from itertl.errors import UsageError
from itertl.evaluation.benchmarks import Benchmark
from itertl.work.seeds import derive_seed

DEFAULT_COUNT = 60
SHORT_CHARS = 600  # instruction and reference of a short problem


def heldout_short(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """Held-out problems of at most ``SHORT_CHARS`` characters, instruction and reference together: for small models."""
    from itertl.problems.load import length

    count = limit or DEFAULT_COUNT
    pool = _draw("synth-heldout-short", "heldout", data, limit=6 * count, seed=seed)
    return replace(pool, problems=tuple(p for p in pool.problems if length(p) <= SHORT_CHARS)[:count])


def _draw(name: str, split: str, data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    from itertl import synth

    if data is not None:
        raise UsageError(
            f"benchmark {name} is generated and reads no data; leave out {data}, or name by --benchmark the one that "
            "it belongs to"
        )
    drawn = synth.generate(derive_seed(seed, "benchmark", split), limit or DEFAULT_COUNT, split=split)
    named = tuple(p if p.upstream_id else p.model_copy(update={"upstream_id": p.id}) for p in drawn)
    return Benchmark(name=name, version="1" if seed == 0 else f"1-seed{seed}", problems=named)


heldout = partial(_draw, "synth-heldout", "heldout")  # by family and by parameter, mixed
heldout_family = partial(_draw, "synth-heldout-family", "heldout-family")  # families that training never sees
# known families with parameters that training never sees
heldout_parameter = partial(_draw, "synth-heldout-parameter", "heldout-parameter")
