"""A long look, for a candidate that agrees on all common words and on which no proof speaks: what fails late shows
late.

Thousands of cycles without a reset, so that history grows; then more than a thousand resets; then the clock running on
with inputs held, looked at every few hundred cycles; then the sequences that lead into each branch of the reference
(``cover``). Without a clock: tens of thousands of changes. What it does not: go beyond about 250,000 cycles, or suggest
rare words; a reference or a candidate that simulates too slowly for it has no long look.
"""

import functools
import random

from itertl.records import content_hash
from itertl.sandbox import bounds
from itertl.scoring.interface import Interface
from itertl.scoring.vectors import combinational, cover, far, outcome, still, testbench
from itertl.scoring.vectors.clocked import InputDriver
from itertl.scoring.vectors.mismatch import describe
from itertl.scoring.vectors.oracle import Oracle, ReferenceRun, answered
from itertl.scoring.vectors.stimulus import Inputs
from itertl.scoring.vectors.words import Hints, hints

STEPS = 130_000
CPU_S = 4  # of either run
_MAX_BITS = 1 << 23  # of all words together
_SEQUENCES, _CYCLES = 24, 1000
_RESETS = 1100
_VARIANTS = 12  # of each sequence that leads to a rare state
_LOOKS, _FARTHEST = 180, 2800  # looks with inputs held, and about the most cycles between two


def difference(oracle: Oracle, design: str) -> str:
    """The first difference in words, or "" where there is none or a run does not come to its end. ``design``: as the
    gate printed it, with the reference's ports. The same arguments give the same answer. Raises ToolMissing."""
    with bounds.uncounted():
        run = _long(oracle)
    if run is None:
        return ""
    done = testbench.run(design, run.bench, cpu_s=CPU_S)
    if done.stopped is not None:
        return ""
    compared = outcome.compare(run.expected, done.outputs)
    return describe(run, done.outputs, compared) if compared.first is not None else ""


@functools.lru_cache(maxsize=8)
def _long(oracle: Oracle) -> ReferenceRun | None:
    seen = oracle.interface
    known, number = hints(oracle.text), int(content_hash(["long", oracle.seed, oracle.text]), 16)
    inputs = make(seen, known, number)
    for cycles in cover.sequences(oracle.text, seen):
        still.play(inputs, seen, known, cycles, _VARIANTS)
    inputs.max_steps = max(inputs.max_steps, len(inputs.words))
    run = answered(oracle.text, seen, inputs, cpu_s=CPU_S)
    return run if isinstance(run, ReferenceRun) and run.expected.known else None


def make(interface: Interface, known: Hints, seed: int) -> Inputs:
    """The words; the same arguments give the same ones."""
    inputs = Inputs(interface.inputs, known, random.Random(seed))
    inputs.max_steps = max(64, min(STEPS, _MAX_BITS // max(1, sum(port.width for port in interface.inputs))))
    if not interface.clocks:
        combinational.one_by_one(inputs, STEPS)
        return inputs
    driver = InputDriver(inputs, interface, known)
    driver.begin()
    for _ in range(_SEQUENCES):
        driver.sequence(_CYCLES, is_dense=False, may_begin=False)
    for _ in range(_RESETS if interface.resets else 0):
        driver.sequence(2, is_dense=False, from_reset=True)
    if far.can_run_on(interface):
        for setting in far.settings(inputs, interface, known)[:2]:
            counts = [inputs.rng.randrange(_FARTHEST) + number * _FARTHEST // 2 for number in range(_LOOKS)]
            far.look_at(driver, setting, far.around(counts))
    inputs.max_steps = max(inputs.max_steps, len(inputs.words))
    return inputs
