"""What a candidate tests for is what it may treat differently: a run on words that its own text suggests.

A design that agrees with the reference on the common words is asked once more where it holds numbers that the reference
does not: these numbers on every input that takes them, several at once; in clocked designs also one after the other in
the order of the text, as bit patterns, and as counts of cycles with all other inputs held. What it does not: states
that no number in the text suggests.
"""

import functools
import random
from collections.abc import Sequence

from itertl.scoring.interface import Interface
from itertl.scoring.vectors import combinational, far
from itertl.scoring.vectors.clocked import InputDriver
from itertl.scoring.vectors.stimulus import Inputs
from itertl.scoring.vectors.words import Constant, Hints, constants, fields

STEPS = 1500
_LEAST = 4  # smaller numbers are everywhere, and the common words hold them
_MOST = 24  # numbers that are looked at
_COUNTS = 3  # of these, as counts of cycles
_FARTHEST = 1 << 17  # cycles that a count may be
_AFTER = 160  # cycles of other inputs behind a count
_MIXED = 400  # steps or cycles with several numbers at once


def unlike(text: str, reference: str) -> tuple[Constant, ...]:
    """The numbers of ``text`` that are not in ``reference``, nor next to one that is, in order of appearance."""
    known = {constant.value + near for constant in _constants(reference) for near in (-1, 0, 1)}
    return tuple(c for c in constants(text) if c.value >= _LEAST and c.value not in known)[:_MOST]


@functools.lru_cache(maxsize=64)
def _constants(reference: str) -> tuple[Constant, ...]:
    return tuple(constants(reference))


def make(interface: Interface, text: str, numbers: Sequence[Constant], seed: int) -> Inputs:
    """The words for a candidate whose text holds ``numbers``. The same arguments give the same words."""
    known = Hints(tuple(numbers), fields(text))
    inputs = Inputs(interface.inputs, known, random.Random(seed))
    if interface.clocks:
        _clocked(inputs, interface, known)
    elif interface.has_latch or interface.has_state:
        combinational.one_by_one(inputs, STEPS)
    else:
        inputs.step()
        for _ in range(_MIXED):
            _mix(inputs, list(inputs.ports), known)
            inputs.step()
        combinational.drive(inputs, STEPS)
    return inputs


def _clocked(inputs: Inputs, interface: Interface, known: Hints) -> None:
    driver = InputDriver(inputs, interface, known)
    driver.begin()
    data = driver.data
    for fill in (1, 0):
        _one_after_another(driver, data, known.constants, fill)
    for number in range(_MIXED // 8):
        start, length = inputs.rng.randrange(len(known.constants)), inputs.rng.randrange(2, 9)
        in_order = [known.constants[(start + at) % len(known.constants)] for at in range(length)]
        some = in_order if number % 2 else inputs.rng.choices(known.constants, k=length)
        for one in some:
            _mix(inputs, data, Hints((one,), known.fields))
            driver.play({name: inputs.values[name] for name in data})
    while len(inputs.words) < STEPS and not inputs.is_full:
        driver.sequence(64, is_dense=False)
    if far.can_run_on(interface):
        for setting in far.settings(inputs, interface, known)[:2]:
            counts = [c.value for c in known.constants if far.LARGE // 8 <= c.value <= _FARTHEST][:_COUNTS]
            if counts:
                far.look_at(driver, setting, far.around(counts))
                for _ in range(4):  # of habits
                    driver.sequence(_AFTER // 4, is_dense=False, may_begin=False)
        inputs.max_steps = max(inputs.max_steps, len(inputs.words))


def _one_after_another(driver: InputDriver, data: Sequence[str], numbers: Sequence[Constant], fill: int) -> None:
    """The numbers in their order on all wider inputs, each for a cycle; one-bit inputs at ``fill``; a reset and idle
    cycles around."""
    for name in data:
        driver.inputs.values[name] = fill if driver.inputs.ports[name].width == 1 else 0
    for reset in driver.resets:
        for is_on in (True, False):
            driver.play({reset.name: int(is_on == reset.is_active_high)})
    for number in numbers:
        for name in data:
            width = driver.inputs.ports[name].width
            if width > 1 and number.value < 1 << width:
                driver.inputs.values[name] = number.value
        driver.play({name: driver.inputs.values[name] for name in data})
    for number in numbers:
        for name in data:
            _in_pieces(driver, name, number, fill)
    for _ in range(4):
        for name in data:
            driver.inputs.draw(name)
        driver.play({name: driver.inputs.values[name] for name in data})


def _in_pieces(driver: InputDriver, name: str, number: Constant, fill: int) -> None:
    """A number wider than an input, piece by piece, from its highest where ``fill`` is 1, else from its lowest."""
    size = driver.inputs.ports[name].width
    width = max(number.width, number.value.bit_length())
    if width <= size:
        return
    places = range(0, width, size)
    for low in reversed(places) if fill else places:
        driver.inputs.values[name] = number.value >> low & ((1 << size) - 1)
        driver.play({name: driver.inputs.values[name]})


def _mix(inputs: Inputs, names: Sequence[str], known: Hints) -> None:
    """A number on each input that takes it, three times in four: itself, its negative, or in a part of the word, one
    that the text selects, from the top or at a multiple of its width; else a new word."""
    rng = inputs.rng
    for name in names:
        width = inputs.ports[name].width
        fitting = [c for c in known.constants if c.value < 1 << width]
        if not fitting or rng.random() < 0.25:
            inputs.draw(name)
            continue
        number = rng.choice(fitting)
        value = number.value if rng.random() < 0.6 else -number.value
        size = max(number.width, 1)
        if 1 < size < width and rng.random() < 0.5:
            selected = [low for low, wide in known.fields.get(name, ()) if wide == size and low + size <= width]
            low = rng.choice((*selected, width - size, size * rng.randrange(width // size)))
            inputs.draw(name)
            value = inputs.values[name] & ~(((1 << size) - 1) << low) | (value & ((1 << size) - 1)) << low
        inputs.values[name] = value & ((1 << width) - 1)
