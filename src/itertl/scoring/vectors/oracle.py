"""The reference as an oracle: its interface, the stimulus made for it, and its own outputs, kept for all candidates.

A reference cannot serve (``Silent``) where the gate refuses it, its ports cannot be driven, it has no outputs, it does
not compile or come to its end in the simulator, or no bit of its outputs is ever known.
"""

import contextlib
import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass

from itertl.judging import gate
from itertl.judging.outcomes import Judgement
from itertl.records import Verdict, content_hash
from itertl.scoring import interface as interfaces
from itertl.scoring.interface import Interface, Unsupported
from itertl.scoring.vectors import clocked, combinational, far, outcome, own, still, testbench
from itertl.scoring.vectors.delays import step_ns
from itertl.scoring.vectors.outcome import Expected
from itertl.scoring.vectors.stimulus import Inputs, Stimulus
from itertl.scoring.vectors.testbench import RUN_LIMITS, Bench
from itertl.scoring.vectors.words import Hints, hints

STEPS = 4000  # words for a design at its default parameters
SECOND_STEPS = 1500  # at other parameters
FEWEST_STEPS = 64
REFERENCE_CPU_S = 1  # a reference that needs more is given fewer words; not wall time, which other work would change
_OWN_PARAMETERS, _WIDEST = 4, 64  # runs at values of parameters that a candidate's text names, and the largest of these
KEPT = 32  # oracles in a worker's memory


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRun:
    """One list of words for one setting of parameters, and what the reference answers."""

    parameters: Mapping[str, int]
    interface: Interface
    stimulus: Stimulus
    bench: Bench  # the stimulus as the testbench reads it
    outputs: tuple[str, ...]
    expected: Expected


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """``runs``: at the defaults, then at other values where the reference has parameters to set."""

    interface: Interface
    runs: tuple[ReferenceRun, ...]
    text: str  # as the gate printed it
    seed: str
    still: tuple[str, ...] = ()  # outputs that never move in the first run, though nothing proves them constant


@dataclass(frozen=True, slots=True)
class Silent:
    """Why a reference cannot serve, and whose fault that is: UNJUDGEABLE, or TOOL_FAILED."""

    verdict: Verdict
    reason: str


@functools.lru_cache(maxsize=KEPT)
def consult(reference: str, top: str, seed: str) -> Oracle | Silent:
    """The oracle that a reference is. The same arguments give the same words and answers. Raises ToolMissing."""
    try:
        found = gate.examine(reference, top)
    except MemoryError:
        return _silent("reading it takes too much memory")
    if isinstance(found, gate.Refusal):
        return _silent(f"{found.verdict}: {found.detail}")
    try:
        seen = interfaces.read(found.text, top)
    except Unsupported as error:
        return _silent(str(error))
    if not seen.outputs:
        return _silent("it has no outputs")
    known = hints(found.text)
    first = _run(found.text, seen, {}, known, _seed(seed, reference), STEPS)
    if isinstance(first, Silent):
        return first
    if not first.expected.known:
        return _silent("no bit of its outputs is ever known")
    others = _second(found.text, seen, known, _seed(seed, reference))
    return Oracle(seen, (first, *others), found.text, seed, _still(found.text, first))


@functools.lru_cache(maxsize=KEPT)
def own_runs(oracle: Oracle, candidate: str) -> tuple[ReferenceRun, ...]:
    """The reference's runs on what a candidate's text suggests beside its own: words, and values of parameters. None
    where it suggests nothing; those that do not come to their end are left out. Raises ToolMissing."""
    numbers, known = own.unlike(candidate, oracle.text), hints(candidate)
    runs: list[ReferenceRun | Silent | Judgement] = []
    if numbers:
        parts = (f"{number.width}'{number.value}" for number in numbers)
        inputs = own.make(oracle.interface, candidate, numbers, _seed(oracle.seed, oracle.text, *parts))
        runs.append(answered(oracle.text, oracle.interface, inputs))
    theirs = {constant.value for constant in hints(oracle.text).constants} if oracle.interface.tunable else set[int]()
    sizes = [c.value for c in known.constants if 1 < c.value <= _WIDEST and c.value not in theirs]
    asked = [{name: size + more} for size in sizes for name in oracle.interface.tunable for more in (0, 1)]
    for parameters in asked[:_OWN_PARAMETERS]:
        with contextlib.suppress(Unsupported):
            seen = interfaces.read(oracle.text, oracle.interface.top, parameters)
            runs.append(_run(oracle.text, seen, parameters, known, _seed(oracle.seed, oracle.text), SECOND_STEPS))
    return tuple(run for run in runs if isinstance(run, ReferenceRun) and run.expected.known)


def _still(text: str, run: ReferenceRun) -> tuple[str, ...]:
    quiet = still.still_outputs(run.interface, run.outputs, run.stimulus.is_compared)
    if not quiet:
        return ()
    found = _search(text, run.interface, tuple(quiet.items()))
    return tuple(name for name in quiet if name not in found or not found[name].is_constant)


@functools.lru_cache(maxsize=KEPT)
def _search(text: str, seen: Interface, quiet: tuple[tuple[str, str], ...]) -> dict[str, still.Waking]:
    return still.search(text, seen, dict(quiet))


def _wake(inputs: Inputs, text: str, known: Hints, run: ReferenceRun) -> bool:
    """Add what moves the outputs that did not in the steps of ``run``; whether there is any."""
    quiet = still.still_outputs(run.interface, run.outputs, run.stimulus.is_compared)
    searched = _search(text, run.interface, tuple(quiet.items())) if quiet else {}
    found = [waking for waking in searched.values() if waking.cycles]
    if found:  # behind the words that were given, however many there are
        given = len(run.stimulus.words)
        del inputs.words[given:], inputs.is_compared[given:]
    for waking in found:
        still.play(inputs, run.interface, known, waking.cycles)
    inputs.max_steps = max(inputs.max_steps, len(inputs.words))
    return bool(found)


def _silent(reason: str) -> Silent:
    return Silent(Verdict.UNJUDGEABLE, f"the reference cannot be used: {reason}")


def _seed(*parts: str) -> int:
    return int(content_hash(["vectors", *parts]), 16)


def _run(
    text: str, seen: Interface, parameters: Mapping[str, int], known: Hints, seed: int, steps: int
) -> ReferenceRun | Silent:
    """The reference's own run, on fewer words where it is slow, on more where it takes long to show all that it
    does."""
    while True:
        inputs = make(seen, known, seed, steps)
        is_last = steps <= FEWEST_STEPS
        run = answered(text, seen, inputs, parameters, cpu_s=RUN_LIMITS.cpu_s if is_last else REFERENCE_CPU_S)
        if is_last or isinstance(run, ReferenceRun) or run[0] is not Verdict.TIMEOUT:
            break
        steps = max(FEWEST_STEPS, steps // 8)
    if isinstance(run, ReferenceRun) and steps == STEPS:
        far.extend(inputs, text, seen, known, run.outputs)
        if inputs.skips:
            run = answered(text, seen, inputs)
        if isinstance(run, ReferenceRun) and _wake(inputs, text, known, run):
            run = answered(text, seen, inputs)
    if isinstance(run, ReferenceRun):
        return run
    return Silent(*run) if run[0] is Verdict.TOOL_FAILED else _silent(f"{run[0]}: {run[1]}")


def make(interface: Interface, known: Hints, seed: int, steps: int) -> Inputs:
    """About ``steps`` steps for a design of that interface; ``known`` is what the reference's text suggests.

    Same seed, same words.
    """
    inputs = Inputs(interface.inputs, known, random.Random(seed))
    if interface.clocks:
        clocked.drive(inputs, interface, known, steps)
    elif interface.has_latch or interface.has_state:
        combinational.one_by_one(inputs, steps)
    else:
        combinational.drive(inputs, steps)
    return inputs


def answered(
    text: str, seen: Interface, inputs: Inputs, parameters: Mapping[str, int] = {}, cpu_s: int = RUN_LIMITS.cpu_s
) -> ReferenceRun | Judgement:
    """What the reference answers to the steps in ``inputs``, or why its run did not come to its end."""
    words = inputs.done(seen.clocks[0].name if inputs.skips else None)
    bench = testbench.prepare(words, seen, step_ns(text))
    done = testbench.run(text, bench, parameters, cpu_s=cpu_s)
    if done.stopped is not None:
        return done.stopped
    return ReferenceRun(parameters, seen, words, bench, done.outputs, outcome.expect(done.outputs, words.is_compared))


def _second(text: str, seen: Interface, known: Hints, seed: int) -> list[ReferenceRun]:
    """The run at other values of the parameters that can be set; none where the reference does not take them."""
    defaults = dict(seen.parameters)
    values = {name: defaults[name] for name in seen.tunable}
    larger = ({name: value + 1 for name, value in values.items()}, {name: value * 2 for name, value in values.items()})
    for parameters in larger if values else ():
        try:
            other = interfaces.read(text, seen.top, parameters)
        except Unsupported:
            continue
        run = _run(text, other, parameters, known, seed, SECOND_STEPS)
        if isinstance(run, ReferenceRun) and run.expected.known:
            return [run]
    return []
