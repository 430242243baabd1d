"""Where state takes long to get: the clock runs on with all other inputs held, and outputs are looked at when they
should change.

Counters and dividers do something only after hundreds or thousands of cycles. Where some output bit of the reference
has not risen and fallen yet, the reference is run on from a few settings of its inputs; from the best two, farther and
farther while that shows something new, to the last horizon from the best one. The cycles at which its outputs do what
they had not done before go into the stimulus, with the cycles around them; those between are skipped.

What it does not: find a setting that random sequences and the roles of the inputs do not suggest, or go beyond
``HORIZONS[-1]`` cycles.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from itertl.scoring.interface import Interface
from itertl.scoring.vectors import testbench
from itertl.scoring.vectors.clocked import InputDriver
from itertl.scoring.vectors.delays import step_ns
from itertl.scoring.vectors.moves import Change, Moves, Novelty, events, moves, sample
from itertl.scoring.vectors.stimulus import Inputs
from itertl.scoring.vectors.words import Hints

HORIZONS = (2048, 16384, 98304)  # cycles
_SETTINGS = 6
_MOST_KB = 16384  # what a scan may print
LARGE = 200  # a constant of the reference that suggests long counts

Setting = tuple[int, ...]  # the words that lead to it; inputs are held at the last, in which the clock is idle


def extend(inputs: Inputs, design: str, interface: Interface, known: Hints, outputs: Sequence[str]) -> None:
    """Add what ``outputs``, the reference's answers to the steps in ``inputs`` so far, leave to be seen."""
    if not can_run_on(interface) or inputs.is_full:
        return
    seen = moves(sample(text) for text in outputs)
    if seen.complete.bit_count() == len(outputs[0]):
        return
    places = settings(inputs, interface, known)
    full = (1 << len(outputs[0])) - 1
    scanner = _Scanner(design, interface, known)
    start = Inputs(interface.inputs, known, inputs.rng)
    InputDriver(start, interface, known).begin()
    found = scanner.scan(start, places, HORIZONS[0], full)
    ranked = sorted(range(len(found)), key=lambda n: _rank(found[n], seen, n), reverse=True)
    driver = InputDriver(inputs, interface, known)
    for number, horizons in zip(ranked, (HORIZONS, HORIZONS[:2]), strict=False):
        changes = _follow(scanner, inputs, places[number], seen, full, horizons)
        wanted = {event.cycle + near for event in _wanted(changes, seen) for near in (-1, 0, 1)}
        look_at(driver, places[number], {cycle for cycle in wanted if cycle >= 0})
        seen = seen | moves(outputs for _, outputs in changes)


def _follow(
    scanner: "_Scanner", inputs: Inputs, setting: Setting, seen: Moves, full: int, horizons: Sequence[int]
) -> list[Change]:
    """What the outputs do after all that is in ``inputs`` and a setting, farther and farther while that may show
    more."""
    found = [change for changes in scanner.scan(inputs, [setting], horizons[0], full) for change in changes]
    for before, horizon in itertools.pairwise(horizons):
        still = full & ~(seen | moves(outputs for _, outputs in found)).complete
        if horizon == horizons[1]:
            still = still or full  # what another setting has shown may take this one another time
        if not still or not _is_worth(found, scanner.known, before, seen):
            break
        for farther in scanner.scan(inputs, [setting], horizon, still):
            found += [(at, (ones & still, zeros & still)) for at, (ones, zeros) in farther if at >= before]
    return found


def can_run_on(interface: Interface) -> bool:
    widths = {port.name: port.width for port in interface.ports}
    return len(interface.clocks) == 1 and widths[interface.clocks[0].name] == 1 and interface.has_state


def settings(inputs: Inputs, interface: Interface, known: Hints) -> list[Setting]:
    """Enables on and the rest off; all off; all on; random values; each after a reset or after a random sequence."""
    controls = {role.name for role in (*interface.clocks, *interface.resets)}
    data = [port for port in interface.inputs if port.name not in controls]
    loads = {p.name for p in data if any(part in p.name.lower() for part in ("load", "ld", "clear", "clr"))}
    enabled = {p.name: int(p.name in interface.enables and p.name not in loads) for p in data}
    full = {p.name: (1 << p.width) - 1 for p in data}
    wanted = [(True, enabled), (False, enabled), (True, dict.fromkeys(enabled, 0)), (True, full)]
    while len(wanted) < _SETTINGS:
        wanted.append((inputs.rng.random() < 0.5, {p.name: inputs.rng.getrandbits(p.width) for p in data}))
    trial = Inputs(interface.inputs, known, inputs.rng)
    driver = InputDriver(trial, interface, known)
    driver.begin()
    kept: list[Setting] = []
    for number, (is_reset, values) in enumerate(wanted):
        if (is_reset, values) not in wanted[:number]:
            before = len(trial.words)
            driver.hold(is_reset, values)
            kept.append(tuple(trial.words[before:]))
    return kept


def _go_to(inputs: Inputs, setting: Setting) -> None:
    for word in setting:
        inputs.spread(word)
        inputs.step()


@dataclass(frozen=True, slots=True)
class _Scanner:
    design: str
    interface: Interface
    known: Hints

    def scan(self, start: Inputs, settings: Sequence[Setting], horizon: int, mask: int) -> list[list[Change]]:
        """For each setting, the outputs at first and at every change of a bit of ``mask`` within the horizon.

        The settings come one after the other behind what is in ``start``. Empty where the run does not end.
        """
        trial = start.copy()
        by_step: dict[int, list[Change]] = {}
        for setting in settings:
            _go_to(trial, setting)
            by_step[len(trial.words)] = []
            trial.step(skip=horizon)
        stimulus = trial.done(self.interface.clocks[0].name)
        bench = testbench.prepare(stimulus, self.interface, step_ns(self.design))
        changes = testbench.scan(self.design, bench, mask, _MOST_KB)
        for step, cycle, outputs in changes or ():
            if step in by_step:
                by_step[step].append((cycle, sample(outputs)))
        return list(by_step.values()) if changes else []


def _rank(changes: Sequence[Change], seen: Moves, number: int) -> tuple[int, int, int]:
    """The more bits do something new, the better; then the more different outputs there are; then the earlier
    setting."""
    done = moves(outputs for _, outputs in changes)
    new = (done.rises & ~seen.rises).bit_count() + (done.falls & ~seen.falls).bit_count()
    return new, len({outputs for _, outputs in changes}), -number


def _is_worth(found: Sequence[Change], known: Hints, horizon: int, seen: Moves) -> bool:
    """Whether going on may show more: something new came late, or the reference holds constants of that size."""
    if any(constant.value * 4 > horizon and constant.value >= LARGE for constant in known.constants):
        return True
    return any(event.is_first and event.cycle > horizon // 8 for event in events(found, seen))


def _wanted(changes: Sequence[Change], seen: Moves) -> list[Novelty]:
    """The events to look at: the farthest only where bits do something for the first time there."""
    found = events(changes, seen)
    last = max((event.cycle for event in found if event.is_first), default=0)
    return [event for event in found if event.cycle <= max(last, HORIZONS[1])]


def around(counts: Iterable[int]) -> set[int]:
    """The cycles around each of the counts of cycles."""
    return {count + near for count in counts for near in range(-2, 6)}


def look_at(driver: InputDriver, setting: Setting, cycles: set[int]) -> None:
    """Hold the inputs from a setting on, and look at these cycles; those between are skipped."""
    _go_to(driver.inputs, setting)
    done = 0
    for cycle in sorted(cycles):
        driver.run_on(max(0, cycle - done))
        done = cycle + 1
