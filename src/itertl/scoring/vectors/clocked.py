"""Stimulus for clocked designs: resets, then sequences that differ in how often each control is asserted.

A sequence gives every one-bit input a habit (often, seldom, hardly ever, sticky, a bit pattern of the reference's
constants), every wider one a rate of change, and the resets a rate, which is 0 in most sequences so that state goes
far. In half of the sequences inputs also change while the clock is active, which distinguishes an edge from a level and
one edge from the other; there, resets are also pulsed between edges, which distinguishes an asynchronous reset from a
synchronous one.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from itertl.scoring import roles
from itertl.scoring.interface import Clock, Interface, Reset
from itertl.scoring.vectors.stimulus import Inputs
from itertl.scoring.vectors.words import Constant, Hints

_RATES = (0.5, 0.5, 0.5, 0.75, 0.25, 0.9, 0.1, 0.97, 0.03, 1.0, 0.0)  # of being 1
_STICKY = (0.3, 0.1, 0.04, 0.015)  # of changing
_NARROW = 6  # bits of an input of which every value is tried at the very beginning
_RESET_RATES = (0.0, 0.0, 0.0, 0.0, 0.02, 0.05, 0.3)


@dataclass(slots=True)
class _Habit:
    """How one input behaves in a sequence."""

    rate: float  # one bit: of being 1, or of changing where sticky; wider: of changing
    is_sticky: bool = False
    pattern: Iterator[int] | None = None


def drive(inputs: Inputs, interface: Interface, known: Hints, steps: int) -> None:
    """Reset; sequences until about ``steps`` steps; the last third of them long, with inputs changed once a cycle."""
    driver = InputDriver(inputs, interface, known)
    driver.begin()
    most = min(steps, inputs.max_steps)
    while len(inputs.words) < most * 2 // 3:
        cycles = max(4, min(inputs.rng.choice((16, 32, 48, 96)), most // 16))
        driver.sequence(cycles, is_dense=inputs.rng.random() < 0.5)
    while len(inputs.words) < most:
        driver.sequence(min(400, most // 4 + 1), is_dense=False)


class InputDriver:
    """Moves the inputs of one clocked design."""

    def __init__(self, inputs: Inputs, interface: Interface, known: Hints) -> None:
        self.inputs, self.rng, self.interface = inputs, inputs.rng, interface
        self.clocks = interface.clocks
        self.resets = interface.resets
        own_step = {reset.name for reset in self.resets if reset.is_async} | set(interface.gates)
        taken = {clock.name for clock in self.clocks} | {reset.name for reset in self.resets}
        self.data = [name for name in inputs.ports if name not in taken and name not in own_step]
        self.gates = [name for name in interface.gates if name not in taken]
        self.patterns = [c for c in known.constants if 3 <= c.width <= 64]
        self.habits: dict[str, _Habit] = {}
        self.reset_rate = 0.0
        self.is_overlapping = False  # of several clocks, one may have an edge while another is active

    def begin(self) -> None:
        """Clocks idle, a reset asserted through two edges of every clock, where there is one."""
        self._idle_clocks()
        for reset in self.resets:
            self._set(reset, False)
        first = next((reset for reset in self.resets if reset.is_async or roles.is_reset_name(reset.name)), None)
        self.inputs.step(compare=first is None)  # where nothing can bring the state about, what it begins with counts
        if first is not None:
            self._set(first, True)  # off before: an asynchronous reset is an edge
            self.inputs.step(compare=False)
        for turn in range(2 if first is not None else 1):
            for clock in self.clocks:
                for _ in range(2):
                    self._toggle(clock)
                    self.inputs.step(compare=first is None or turn > 0)
        self._release()
        if first is None:
            self._look_around()

    def _look_around(self) -> None:
        """Controls off, each value of narrow inputs for a cycle: what state is there before anything is written."""
        narrow = [name for name in self.data if 1 < self.inputs.ports[name].width <= _NARROW]
        self.habits = {name: _Habit(0.0) for name in (*self.data, *self.gates)}
        for value in range(max((1 << self.inputs.ports[name].width for name in narrow), default=2)):
            for name in narrow:
                self.inputs.values[name] = value & ((1 << self.inputs.ports[name].width) - 1)
            self._cycle(is_dense=False, may_reset=False)

    def sequence(self, cycles: int, *, is_dense: bool, from_reset: bool = False, may_begin: bool = True) -> None:
        """Habits for every input, a reset at the beginning of most (``from_reset``: of this; without ``may_begin`` of
        none, nor later), then so many cycles of a clock."""
        rng = self.rng
        self.habits = {name: self._habit(self.inputs.ports[name].width) for name in (*self.data, *self.gates)}
        self.reset_rate = rng.choice(_RESET_RATES) if cycles < 200 and may_begin else 0.0
        self.is_overlapping = len(self.clocks) > 1 and rng.random() < 0.4
        if self.resets and may_begin and (from_reset or rng.random() < 0.7):
            self._set(rng.choice(self.resets), True)
            self.inputs.step()
            for _ in range(rng.randrange(1, 3)):
                self._cycle(is_dense=is_dense, may_reset=False)
            self._release()
        for _ in range(cycles):
            self._cycle(is_dense=is_dense, may_reset=True)
            if self.inputs.is_full:
                return

    def hold(self, is_reset: bool, values: Mapping[str, int]) -> None:
        """Go to where the clock can run on: after a reset, or after a random sequence; inputs at ``values``, the clock
        idle."""
        if is_reset and self.resets:
            self._set(self.resets[0], True)
            self.inputs.step()
            self.habits = {name: _Habit(0.0) for name in (*self.data, *self.gates)}
            self._cycle(is_dense=True, may_reset=False)
        else:
            self.sequence(40, is_dense=False, from_reset=True)
        self._idle_clocks()
        self.inputs.step()
        self._release()
        for name, value in values.items():
            self.inputs.values[name] = value
            if name in self.gates:
                self.inputs.step()
        self.inputs.step()

    def play(self, values: Mapping[str, int]) -> None:
        """One cycle of every clock with these inputs; what can make an edge changes in steps of its own, before."""
        own_step = [*(reset.name for reset in self.resets), *self.gates]
        self._idle_clocks()
        self.inputs.step()
        for name in own_step:
            if self.inputs.values[name] != values.get(name, self.inputs.values[name]):
                self.inputs.values[name] = values[name]
                self.inputs.step()
        self.inputs.values.update({name: value for name, value in values.items() if name not in own_step})
        self.inputs.step()
        for clock in self.clocks:
            self._toggle(clock)
            self.inputs.step()

    def run_on(self, skip: int) -> None:
        """Skip so many cycles, then look at one: after its edge, and after the other."""
        clock = self.clocks[0]
        self._toggle(clock)
        self.inputs.step(skip=skip)
        self._toggle(clock)
        self.inputs.step()

    def _habit(self, width: int) -> _Habit:
        rng = self.rng
        if width > 1:
            return _Habit(rng.choice((1.0, 1.0, 0.5, 0.2, 0.05, 0.01)))
        choice = rng.random()
        if choice < 0.15 and self.patterns:
            return _Habit(0.0, pattern=_bits(rng.choice(self.patterns), rng))
        if choice < 0.4:
            return _Habit(rng.choice(_STICKY), is_sticky=True)
        return _Habit(rng.choice(_RATES))

    def _cycle(self, *, is_dense: bool, may_reset: bool) -> None:
        clock = self.clocks[0] if len(self.clocks) == 1 else self.rng.choice(self.clocks)
        is_double = len(clock.edges) > 1 or is_dense or bool(self.gates) or len(self.clocks) > 1
        self._change(may_reset)
        self.inputs.step()
        self._toggle(clock)
        self.inputs.step()
        if self.is_overlapping:
            return
        if is_double:
            self._change(may_reset, between=True)
            self.inputs.step()
            self._toggle(clock)
            self.inputs.step()
        else:  # the idle edge and the next cycle's inputs come in one step
            self._toggle(clock)

    def _change(self, may_reset: bool, between: bool = False) -> None:
        """New values on the inputs by their habits; what can make an edge in steps of its own, before."""
        for reset in self.resets if may_reset else ():
            is_on = self.rng.random() < self.reset_rate * (0.5 if between else 1)
            if is_on == self._is_on(reset):
                continue
            self._set(reset, is_on)
            if reset.is_async:
                self.inputs.step()
        for name in self.gates:
            before = self.inputs.values[name]
            self._live(name)
            if self.inputs.values[name] != before:
                self.inputs.step()
        for name in self.data:
            self._live(name)

    def _live(self, name: str) -> None:
        habit, values = self.habits[name], self.inputs.values
        if habit.pattern is not None:
            values[name] = next(habit.pattern)
        elif self.inputs.ports[name].width > 1:
            if self.rng.random() < habit.rate:
                self.inputs.draw(name)
        elif habit.is_sticky:
            values[name] ^= self.rng.random() < habit.rate
        else:
            values[name] = int(self.rng.random() < habit.rate)

    def _toggle(self, clock: Clock) -> None:
        """Turn a clock over; of a vector, one bit."""
        self.inputs.values[clock.name] ^= 1 << self.rng.randrange(self.inputs.ports[clock.name].width)

    def _idle_clocks(self) -> None:
        for clock in self.clocks:
            full = (1 << self.inputs.ports[clock.name].width) - 1
            self.inputs.values[clock.name] = 0 if "posedge" in clock.edges else full

    def _is_on(self, reset: Reset) -> bool:
        return bool(self.inputs.values[reset.name]) == reset.is_active_high

    def _set(self, reset: Reset, is_on: bool) -> None:
        self.inputs.values[reset.name] = int(is_on == reset.is_active_high)

    def _release(self) -> None:
        for reset in self.resets:
            if self._is_on(reset):
                self._set(reset, False)
                self.inputs.step()


def _bits(constant: Constant, rng: random.Random) -> Iterator[int]:
    """The bits of a constant over and over, from either end, with a wrong one or a pause now and then."""
    bits = [constant.value >> position & 1 for position in range(constant.width)]
    if rng.random() < 0.7:
        bits.reverse()
    while True:
        for bit in bits:
            yield bit ^ (rng.random() < 0.03)
        for _ in range(rng.choice((0, 0, 0, 1, 3))):
            yield rng.getrandbits(1)
