"""Where state takes long to get: the clock runs on with all other inputs held, and outputs are looked at when they should change.

Counters and dividers do something only after hundreds or thousands of cycles. Where some output bit of the reference has not
risen and fallen yet, the reference is run on from a few settings of its inputs; from the best two, farther and farther while that
shows something new. The cycles at which its outputs do what they had not done before go into the stimulus, with the cycles around
them; those between are skipped.

What it does not: find a setting that random sequences and the roles of the inputs do not suggest, or go beyond
``HORIZONS[-1]`` cycles.
"""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from itertl.scoring.interface import Interface
from itertl.scoring.vectors import outcome, testbench
from itertl.scoring.vectors.clocked import Driver
from itertl.scoring.vectors.delays import step_ns
from itertl.scoring.vectors.stimulus import Inputs
from itertl.scoring.vectors.words import Hints

HORIZONS = (2048, 16384, 98304)  # cycles
_SETTINGS = 6
_KEPT = 2  # settings from which the clock runs on
_MOST_EVENTS = 64  # of each setting
_MOST_KB = 16384  # what a scan may print
_LARGE = 200  # a constant of the reference that speaks of long counts


@dataclass(frozen=True, slots=True)
class Event:
    """A cycle at which the reference's outputs do something new. ``is_first``: a bit rises or falls for the first time."""

    cycle: int
    is_first: bool


Sample = tuple[int, int]  # (mask of the bits that are 1, of those that are 0)
Change = tuple[int, Sample]  # (cycle, outputs from then on)
Setting = tuple[int, ...]  # the words that lead to it; inputs are held at the last, in which the clock is idle


def extend(inputs: Inputs, design: str, interface: Interface, known: Hints, outputs: Sequence[str]) -> None:
    """Add what ``outputs``, the reference's answers to the steps in ``inputs`` so far, leave to be seen."""
    if not _can_run_on(interface) or inputs.is_full:
        return
    seen = _moves(_sample(text) for text in outputs)
    if seen.complete.bit_count() == len(outputs[0]):
        return
    settings = _settings(inputs, interface, known)
    full = (1 << len(outputs[0])) - 1
    scanner = _Scanner(design, interface, known)
    found = scanner.scan(settings, HORIZONS[0], full)
    if not found:
        return
    ranked = sorted(range(len(settings)), key=lambda n: _rank(found[n], seen, n), reverse=True)[:_KEPT]
    settings, found = [settings[n] for n in ranked], [found[n] for n in ranked]
    for before, horizon in itertools.pairwise(HORIZONS):
        still = full & ~_all_moves(found, seen).complete
        if not still or not _is_worth(found, known, before, seen):
            break
        farther = scanner.scan(settings, horizon, still)
        if not farther:
            break
        found = [[*near, *_beyond(far, before, still)] for near, far in zip(found, farther, strict=True)]
    driver = Driver(inputs, interface, known)
    for setting, changes in zip(settings, found, strict=True):
        _write(driver, setting, _wanted(changes, seen))
        seen = seen | _moves(sample for _, sample in changes)


def _can_run_on(interface: Interface) -> bool:
    widths = {port.name: port.width for port in interface.ports}
    return len(interface.clocks) == 1 and widths[interface.clocks[0].name] == 1 and interface.has_state


@dataclass(slots=True)
class Moves:
    """The bits of the outputs that have risen, and those that have fallen, as masks."""

    rises: int = 0
    falls: int = 0

    @property
    def complete(self) -> int:
        """The bits that have done both."""
        return self.rises & self.falls

    def add(self, old: Sample, new: Sample) -> bool:
        """Note what happens between two samples; whether some bit does it for the first time."""
        rises, falls = new[0] & old[1] & ~self.rises, new[1] & old[0] & ~self.falls
        self.rises |= rises
        self.falls |= falls
        return bool(rises or falls)

    def __or__(self, other: "Moves") -> "Moves":
        return Moves(self.rises | other.rises, self.falls | other.falls)


def _sample(text: str) -> Sample:
    return int(text.translate(outcome.ONES), 2), int(text.translate(outcome.ZEROS), 2)


def _moves(samples: Iterable[Sample]) -> Moves:
    found = Moves()
    for old, new in itertools.pairwise(samples):
        if old != new:
            found.add(old, new)
    return found


def _settings(inputs: Inputs, interface: Interface, known: Hints) -> list[Setting]:
    """Enables on and the rest off; all off; all on; random values; each after a reset or after a random sequence."""
    data = [p for p in interface.inputs if p.name not in {c.name for c in interface.clocks} | {r.name for r in interface.resets}]
    enabled = {p.name: int(p.name in interface.enables and not _loads(p.name)) for p in data}
    full = {p.name: (1 << p.width) - 1 for p in data}
    wanted = [(True, enabled), (False, enabled), (True, dict.fromkeys(enabled, 0)), (True, full)]
    while len(wanted) < _SETTINGS:
        wanted.append((inputs.rng.random() < 0.5, {p.name: inputs.rng.getrandbits(p.width) for p in data}))
    trial = Inputs(interface.inputs, known, inputs.rng)
    driver = Driver(trial, interface, known)
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


def _loads(name: str) -> bool:
    return any(part in name.lower() for part in ("load", "ld", "clear", "clr"))


@dataclass(frozen=True, slots=True)
class _Scanner:
    design: str
    interface: Interface
    known: Hints

    def scan(self, settings: Sequence[Setting], horizon: int, mask: int) -> list[list[Change]]:
        """For each setting, the outputs at first and at every change of a bit of ``mask`` within the horizon.

        Empty where the run does not end.
        """
        trial = Inputs(self.interface.inputs, self.known, random.Random(len(settings)))
        Driver(trial, self.interface, self.known).begin()
        by_step: dict[int, list[Change]] = {}
        for setting in settings:
            _go_to(trial, setting)
            by_step[len(trial.words)] = []
            trial.step(skip=horizon)
        stimulus = trial.done(self.interface.clocks[0].name)
        changes = testbench.scan(self.design, testbench.prepare(stimulus, self.interface, step_ns(self.design)), mask, _MOST_KB)
        for step, cycle, outputs in changes or ():
            by_step[step].append((cycle, _sample(outputs)))
        return list(by_step.values()) if changes else []


def _beyond(changes: Sequence[Change], cycle: int, mask: int) -> list[Change]:
    """What comes after a cycle, reduced to the bits of a mask: only of those is every change known."""
    return [(at, (ones & mask, zeros & mask)) for at, (ones, zeros) in changes if at >= cycle]


def _all_moves(found: Sequence[Sequence[Change]], seen: Moves) -> Moves:
    for changes in found:
        seen = seen | _moves(sample for _, sample in changes)
    return seen


def _rank(changes: Sequence[Change], seen: Moves, number: int) -> tuple[int, int, int]:
    """The more bits do something new, the better; then the more different outputs there are; then the earlier setting."""
    moves = _moves(sample for _, sample in changes)
    new = (moves.rises & ~seen.rises).bit_count() + (moves.falls & ~seen.falls).bit_count()
    return new, len({sample for _, sample in changes}), -number


def _is_worth(found: Sequence[Sequence[Change]], known: Hints, horizon: int, seen: Moves) -> bool:
    """Whether going on may show more: something new came late, or the reference speaks of counts that long."""
    if any(constant.value * 4 > horizon and constant.value >= _LARGE for constant in known.constants):
        return True
    return any(event.is_first and event.cycle > horizon // 8 for changes in found for event in _events(changes, seen))


def _events(changes: Sequence[Change], seen: Moves) -> list[Event]:
    """What is new among the changes: first moves of a bit, and first occurrences of a set of bits that change together."""
    found: list[Event] = []
    moves = Moves(seen.rises, seen.falls)
    patterns: set[Sample] = set()
    for (_, old), (cycle, new) in itertools.pairwise(changes):
        is_first = moves.add(old, new)
        pattern = old[0] ^ new[0], old[1] ^ new[1]
        if is_first or (pattern not in patterns and len(patterns) < _MOST_EVENTS):
            found.append(Event(cycle, is_first))
            patterns.add(pattern)
    return found


def _wanted(changes: Sequence[Change], seen: Moves) -> list[Event]:
    """The events to look at: the farthest only where bits do something for the first time there."""
    events = _events(changes, seen)
    last = max((event.cycle for event in events if event.is_first), default=0)
    return [event for event in events if event.cycle <= max(last, HORIZONS[1])]


def _write(driver: Driver, setting: Setting, events: Sequence[Event]) -> None:
    """Hold the inputs, skip to each event, and look at the cycle before it, its own, and the one after."""
    _go_to(driver.inputs, setting)
    wanted = sorted({cycle for event in events for cycle in (event.cycle - 1, event.cycle, event.cycle + 1) if cycle >= 0})
    done = 0
    for cycle in wanted:
        driver.run_on(cycle - done)
        done = cycle + 1
