"""The reference as an oracle: its interface, the stimulus made for it, and its own outputs, kept for all candidates.

A reference says nothing (``Silent``) where the gate refuses it, its ports cannot be driven, it has no outputs, it does
not compile or come to its end in the simulator, or no bit of its outputs is ever known.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itertl.judging import gate
from itertl.records import Verdict, content_hash
from itertl.scoring import interface as interfaces
from itertl.scoring.interface import Interface, Unsupported
from itertl.scoring.vectors import drive, far, outcome, own, still, testbench
from itertl.scoring.vectors.delays import step_ns
from itertl.scoring.vectors.outcome import Expected
from itertl.scoring.vectors.stimulus import Inputs, Stimulus
from itertl.scoring.vectors.testbench import RUN_LIMITS, Bench
from itertl.scoring.vectors.words import Constant, Hints, hints

STEPS = 4000  # words for a design at its default parameters
SECOND_STEPS = 1500  # at other parameters
FEWEST_STEPS = 64
REFERENCE_CPU_S = 1  # a reference that needs more is given fewer words; not wall time, which other work would change
_OWN_PARAMETERS, _WIDEST = 4, 64  # runs at values of parameters that a candidate speaks of, and the largest of these
KEPT = 32  # oracles in a worker's memory


@dataclass(frozen=True, slots=True, eq=False)
class Run:
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
    runs: tuple[Run, ...]
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
def own_runs(oracle: Oracle, candidate: str) -> tuple[Run, ...]:
    """The reference's runs on what a candidate's text suggests beside its own: words, and values of parameters. None
    where it suggests nothing; those that do not come to their end are left out. Raises ToolMissing."""
    numbers, known = own.unlike(candidate, oracle.text), hints(candidate)
    runs = [_own_words(oracle, candidate, numbers)] if numbers else []
    theirs = {constant.value for constant in hints(oracle.text).constants} if oracle.interface.tunable else set[int]()
    sizes = [c.value for c in known.constants if 1 < c.value <= _WIDEST and c.value not in theirs]
    asked = [{name: size + more} for size in sizes for name in oracle.interface.tunable for more in (0, 1)]
    for parameters in asked[:_OWN_PARAMETERS]:
        with contextlib.suppress(Unsupported):
            seen = interfaces.read(oracle.text, oracle.interface.top, parameters)
            run = _run(oracle.text, seen, parameters, known, _seed(oracle.seed, oracle.text), SECOND_STEPS)
            runs.append(run if isinstance(run, Run) and run.expected.known else None)
    return tuple(run for run in runs if run is not None)


def _own_words(oracle: Oracle, candidate: str, numbers: Sequence[Constant]) -> Run | None:
    parts = (f"{number.width}'{number.value}" for number in numbers)
    inputs = own.make(oracle.interface, candidate, numbers, _seed(oracle.seed, oracle.text, *parts))
    words, done = _extended(inputs, oracle.text, oracle.interface, step_ns(oracle.text))
    if done.stopped is not None:
        return None
    bench = testbench.prepare(words, oracle.interface, step_ns(oracle.text))
    expected = outcome.expect(done.outputs, words.is_compared)
    return Run({}, oracle.interface, words, bench, done.outputs, expected) if expected.known else None


def _still(text: str, run: Run) -> tuple[str, ...]:
    quiet = still.still_outputs(run.interface, run.outputs, run.stimulus.is_compared)
    if not quiet:
        return ()
    found = _search(text, run.interface, tuple(quiet.items()))
    return tuple(name for name in quiet if name not in found or not found[name].is_constant)


@functools.lru_cache(maxsize=KEPT)
def _search(text: str, seen: Interface, quiet: tuple[tuple[str, str], ...]) -> dict[str, still.Waking]:
    return still.search(text, seen, dict(quiet))


def _wake(inputs: Inputs, text: str, seen: Interface, known: Hints, words: Stimulus, outputs: tuple[str, ...]) -> bool:
    """Add what moves the outputs that did not in the steps so far; whether there is any."""
    quiet = still.still_outputs(seen, outputs, words.is_compared)
    found = [waking for waking in _search(text, seen, tuple(quiet.items())).values() if waking.cycles] if quiet else []
    if found:  # behind the words that were given, however many there are
        del inputs.words[len(words.words) :], inputs.is_compared[len(words.words) :]
    for waking in found:
        still.play(inputs, seen, known, waking.cycles)
    inputs.max_steps = max(inputs.max_steps, len(inputs.words))
    return bool(found)


def _silent(reason: str) -> Silent:
    return Silent(Verdict.UNJUDGEABLE, f"the reference cannot be used: {reason}")


def _seed(*parts: str) -> int:
    return int(content_hash(["vectors", *parts]), 16)


def _run(
    text: str, seen: Interface, parameters: Mapping[str, int], known: Hints, seed: int, steps: int
) -> Run | Silent:
    """The reference's own run, on fewer words where it is slow, on more where it takes long to show all that it
    does."""
    step = step_ns(text)
    while True:
        inputs = drive.make(seen, known, seed, steps)
        words = inputs.done()
        is_last = steps <= FEWEST_STEPS
        limit = RUN_LIMITS.cpu_s if is_last else REFERENCE_CPU_S
        done = testbench.run(text, testbench.prepare(words, seen, step), parameters, cpu_s=limit)
        if is_last or done.stopped is None or done.stopped[0] is not Verdict.TIMEOUT:
            break
        steps = max(FEWEST_STEPS, steps // 8)
    if done.stopped is None and steps == STEPS:
        far.extend(inputs, text, seen, known, done.outputs)
        if inputs.skips:
            words, done = _extended(inputs, text, seen, step)
        if done.stopped is None and _wake(inputs, text, seen, known, words, done.outputs):
            words, done = _extended(inputs, text, seen, step)
    if done.stopped is not None:
        return (
            Silent(*done.stopped)
            if done.stopped[0] is Verdict.TOOL_FAILED
            else _silent(f"{done.stopped[0]}: {done.stopped[1]}")
        )
    bench = testbench.prepare(words, seen, step)
    return Run(parameters, seen, words, bench, done.outputs, outcome.expect(done.outputs, words.is_compared))


def _extended(inputs: Inputs, text: str, seen: Interface, step: int) -> tuple[Stimulus, testbench.Samples]:
    words = inputs.done(seen.clocks[0].name if inputs.skips else None)
    return words, testbench.run(text, testbench.prepare(words, seen, step))


def _second(text: str, seen: Interface, known: Hints, seed: int) -> list[Run]:
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
        if isinstance(run, Run) and run.expected.known:
            return [run]
    return []
