"""Witnesses beside the two scorers, so that neither is measured by itself alone.

``simulation``: long, on plainly random inputs, which shares no choice of words with ``vectors``. Every input bit is a
coin in every cycle; resets are asserted in one cycle of 32 and in the first ones, inputs change while clocks are idle.
Any difference at a bit that is 0 or 1 in the reference's run counts.

``proof``: the proof alone, without the simulation that the scorer ``equivalence`` puts before it: what it would call
equal.
"""

import random
from typing import Any

from itertl.judging import gate
from itertl.records import Score, Verdict
from itertl.scoring import interface as interfaces
from itertl.scoring.equivalence.proof import ProofOutcome, prove
from itertl.scoring.equivalence.replay import counterexample, replay
from itertl.scoring.interface import Interface, Unsupported, same_ports
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors import testbench
from itertl.scoring.vectors.stimulus import Stimulus
from itertl.work.seeds import derive_seed

CYCLES = 12_000
MAX_BITS = 1 << 22


def simulation(item: ScoreItem) -> Score:
    """1 where no difference shows, 0 where one does; None where nothing can be said."""

    def result(value: float | None, verdict: Verdict, detail: str = "") -> Score:
        return Score(scorer="arbiter", value=value, verdict=verdict, detail=detail)

    designs = [gate.examine(text, item.top or "") for text in (item.reference or "", item.code)]
    if any(isinstance(design, gate.Refusal) for design in designs):
        return result(None, Verdict.UNJUDGEABLE, "refused")
    expected, found = [design.text for design in designs if isinstance(design, gate.Design)]
    try:
        seen = [interfaces.read(text, item.top or "") for text in (expected, found)]
    except Unsupported as error:
        return result(None, Verdict.UNJUDGEABLE, str(error))
    if difference := same_ports(seen[1], seen[0]):
        return result(0.0, Verdict.ELABORATION_ERROR, difference)
    words = uniform(seen[0], derive_seed(1, "arbiter", item.reference or ""))
    bench = testbench.prepare(words, seen[0])
    runs = [testbench.run(text, bench) for text in (expected, found)]
    if runs[0].stopped is not None:
        return result(None, Verdict.UNJUDGEABLE, runs[0].stopped[1])
    if runs[1].stopped is not None:
        return result(0.0, runs[1].stopped[0], runs[1].stopped[1])
    for step, (want, have, counts) in enumerate(zip(runs[0].outputs, runs[1].outputs, words.is_compared, strict=True)):
        if counts and want != have and any(a != b and a in "01" for a, b in zip(want, have, strict=True)):
            return result(0.0, Verdict.WRONG_OUTPUT, f"step {step}: {have}, not {want}")
    return result(1.0, Verdict.PASSED)


def proof(item: ScoreItem) -> Score:
    """1 where the proof says equal, 0 where its counterexample holds in the simulator, else None."""
    designs = [gate.examine(text, item.top or "") for text in (item.reference or "", item.code)]
    expected, found = [design for design in designs if isinstance(design, gate.Design)]
    said = prove(expected, found)
    difference = ""
    if said.trace is not None:
        wanted = interfaces.read(expected.text, expected.top)
        difference = replay(expected.text, found.text, wanted, counterexample(wanted, said.trace))
    verdict = {ProofOutcome.PROVEN: Verdict.PASSED, ProofOutcome.PORTS: Verdict.ELABORATION_ERROR}.get(
        said.outcome, Verdict.UNDECIDED
    )
    verdict = Verdict.WRONG_OUTPUT if difference else verdict
    value = {Verdict.PASSED: 1.0, Verdict.UNDECIDED: None}.get(verdict, 0.0)
    return Score(
        scorer="proof", value=value, verdict=verdict, detail=f"{said.outcome}: {difference or said.detail}"[:300]
    )


def uniform(interface: Interface, seed: int) -> Stimulus:
    """Words of coins. A cycle: new inputs with clocks idle, resets after that, each clock's edges one after another."""
    rng = random.Random(seed)
    clocks = {clock.name: clock.edges for clock in interface.clocks}
    resets = {reset.name: reset for reset in interface.resets}
    widths = {port.name: port.width for port in interface.inputs}
    values = {name: int(name in clocks and "posedge" not in clocks[name]) for name in widths}
    words: list[int] = []
    is_compared: list[bool] = []
    steps_a_cycle = 2 + 2 * len(clocks)
    cycles = max(200, min(CYCLES, MAX_BITS // max(1, steps_a_cycle * sum(widths.values()))))

    def step(compare: bool) -> None:
        word, at = 0, 0
        for name, width in widths.items():
            word |= values[name] << at
            at += width
        words.append(word)
        is_compared.append(compare)

    for cycle in range(cycles):
        is_settled = cycle >= 4 or not resets
        for name in [n for n in widths if n not in clocks and n not in resets]:
            values[name] = rng.getrandbits(widths[name]) if cycle % 8 or rng.random() < 0.5 else values[name]
        step(is_settled)
        for name, reset in resets.items():
            is_on = cycle < 3 or rng.random() < 1 / 32
            values[name] = int(is_on == reset.is_active_high)
        step(is_settled)
        for name in clocks:
            for _ in range(2):
                values[name] ^= 1
                step(is_settled)
    return Stimulus(tuple(words), tuple(is_compared))


def timed(unit: tuple[str, ScoreItem]) -> tuple[float, Any]:
    """In a worker: (seconds, score) of one scorer on one item."""
    import time

    from itertl.sandbox.bounds import Bound
    from itertl.scoring.worker import Unit, timed_unit

    start = time.perf_counter()
    found, _ = timed_unit(Unit(*unit, Bound(120.0, 4096)))
    return time.perf_counter() - start, found
