"""Distinct problems from a seed, spread evenly over the families, in one split.

A family's k-th problem depends on the seed, the family and k alone, so a shorter list is the start of a longer one.
Problems of new parameters come first; where a family has run through its parameters, new names and phrasings of the
same design follow, a dozen at most: more would teach wording alone. Held out by parameter is a fixed eighth of all
(family, parameters), whatever the seed, so that problems made at different times never cross from one side to the
other.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from itertl.errors import UsageError
from itertl.records import Problem, content_hash
from itertl.synth.design import DesignSpec, Family
from itertl.synth.registry import HELD_OUT_FAMILIES, select
from itertl.synth.rendering import render
from itertl.work.seeds import derive_seed

SPLITS = ("train", "heldout-family", "heldout-parameter", "heldout")
LARGEST_COUNT = 100_000
_ONE_IN = 8  # (family, parameters) is held out by parameter one time in so many
_TRIES_NEW_PARAMETERS = 24
_MOST_REPEATS = 12  # problems of one family and parameters
_TRIES = 240  # draws without anything new after which a family counts as used up


def split_of(design: DesignSpec) -> str:
    """The one split that a design belongs to: by its family, then by a hash of family and parameters.

    One that shows another with an error belongs where that one does, which is its answer.
    """
    design = design.repairs or design
    if design.family in HELD_OUT_FAMILIES:
        return "heldout-family"
    mark = int(content_hash([design.family, design.parameters]), 16)
    return "heldout-parameter" if mark % _ONE_IN == 0 else "train"


def generate(seed: int, count: int, families: Sequence[str] = (), split: str = "train") -> list[Problem]:
    """``count`` distinct problems, round robin over ``families`` (all that the split has where none are named).

    ``split`` "heldout" mixes both held-out kinds; each problem's own ``split`` says which it is. Raises UsageError for
    an unknown family or split, and where fewer than ``count`` distinct problems were found, naming how many were.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}: known: {', '.join(SPLITS)}")
    if not 0 <= count <= LARGEST_COUNT:
        raise UsageError(f"count is {count}: ask for 0 to {LARGEST_COUNT} problems at a time")
    problems: list[Problem] = []
    seen: set[str] = set()
    sources = [_problems(seed, family, split) for family in select(families, split)]
    while len(problems) < count and sources:
        alive: list[Iterator[Problem]] = []
        for source in sources:
            if len(problems) == count:
                break
            problem = next((p for p in source if p.id not in seen), None)
            if problem is not None:
                seen.add(problem.id)
                problems.append(problem)
                alive.append(source)
        else:
            sources = alive
    if len(problems) < count:
        named = ", ".join(families) if families else "all families"
        raise UsageError(
            f"{count} problems of split {split!r} were requested, but only {len(problems)} distinct ones can be "
            f"reached from seed {seed} and {named}: ask for at most {len(problems)}"
            + (", or for more families" if families else "")
        )
    return problems


def _problems(seed: int, family: Family, split: str) -> Iterator[Problem]:
    """The distinct problems of one family in one split, one after another until it is used up."""
    parameters_seen: Counter[str] = Counter()
    ids_seen: set[str] = set()
    is_fresh = True  # new parameters still turn up
    draws = failures = 0
    while failures < _TRIES:
        rng = random.Random(derive_seed(seed, "synth", family.name, draws))
        draws += 1
        design = family.build(rng)
        own = split_of(design)
        if own != split and not (split == "heldout" and own != "train"):
            failures += 1
            continue
        key = content_hash(design.parameters)
        if is_fresh and key in parameters_seen:
            failures += 1
            if failures >= _TRIES_NEW_PARAMETERS * (_ONE_IN if split.startswith("heldout") else 1):
                is_fresh, failures = False, 0
            continue
        problem = render(design, family, rng, own) if parameters_seen[key] < _MOST_REPEATS else None
        if problem is None or problem.id in ids_seen:
            failures += 1
            continue
        failures = 0
        ids_seen.add(problem.id)
        parameters_seen[key] += 1
        yield problem
