"""Stimulus for designs without a clock: every input word where there are few, else corners, walking bits, random words.

Random order follows the ordered part, so that a candidate that holds a value where it should not shows.
"""

from itertl.scoring.vectors.stimulus import Inputs

EXHAUSTIVE_BITS = 12
_SHUFFLED = 256  # words in random order, at the least
_SELECTOR_BITS = 8  # an input this narrow is given each of its values, with a few words on the others


def drive(inputs: Inputs, steps: int) -> None:
    """A design whose outputs depend on its inputs alone."""
    width = sum(port.width for port in inputs.ports.values())
    if 1 << width <= max(steps, 1 << EXHAUSTIVE_BITS):
        _everything(inputs, width, steps)
        return
    _corners(inputs)
    _selectors(inputs, steps // 2)
    while len(inputs.words) < steps and not inputs.is_full:
        _shuffle(inputs)
        inputs.step()


def one_by_one(inputs: Inputs, steps: int) -> None:
    """A design with latches: one input changes in a step, for what is latched when two change at once is a race."""
    inputs.step()
    names = list(inputs.ports)
    for fill in (0, -1):
        for name, port in inputs.ports.items():
            inputs.values[name] = fill & ((1 << port.width) - 1)
            inputs.step()
    while names and len(inputs.words) < steps and not inputs.is_full:
        name = inputs.rng.choice(names)
        before = inputs.values[name]
        inputs.draw(name)
        if inputs.values[name] != before:
            inputs.step()


def _everything(inputs: Inputs, width: int, steps: int) -> None:
    numbers = list(range(1 << width))
    for number in numbers:
        inputs.spread(number)
        inputs.step()
    ordered = len(numbers)
    while len(inputs.words) < ordered + min(steps // 4, max(_SHUFFLED, ordered)):
        inputs.rng.shuffle(numbers)
        for number in numbers[: steps // 4]:
            inputs.spread(number)
            inputs.step()


def _corners(inputs: Inputs) -> None:
    """All inputs 0, all ones; from each, every single bit turned, and every corner word of each input."""
    rng = inputs.rng
    bits = [(name, bit) for name, port in inputs.ports.items() for bit in range(port.width)]
    few = bits if len(bits) <= inputs.max_steps // 8 else rng.sample(bits, inputs.max_steps // 8)
    for fill in (0, -1):
        base = {name: fill & ((1 << port.width) - 1) for name, port in inputs.ports.items()}
        inputs.values.update(base)
        inputs.step()
        for name, bit in few:
            inputs.values.update(base)
            inputs.values[name] ^= 1 << bit
            inputs.step()
        for name in inputs.ports:
            for word in inputs.sources[name].pool[:40]:
                inputs.values.update(base)
                inputs.values[name] = word
                inputs.step()
                if inputs.is_full:
                    return


def _selectors(inputs: Inputs, steps: int) -> None:
    """Each value of each narrow input, with words on the others."""
    narrow = [name for name, port in inputs.ports.items() if 1 < port.width <= _SELECTOR_BITS]
    total = sum(1 << inputs.ports[name].width for name in narrow)
    for _ in range(max(1, min(8, steps // max(1, total)))):
        for name in narrow:
            for value in range(1 << inputs.ports[name].width):
                _shuffle(inputs)
                inputs.values[name] = value
                inputs.step()
                if inputs.is_full:
                    return


def _shuffle(inputs: Inputs) -> None:
    """New words on all inputs, or on one or two of them."""
    names = list(inputs.ports)
    if inputs.rng.random() < 0.3:
        names = inputs.rng.sample(names, min(len(names), inputs.rng.randrange(1, 3)))
    if inputs.rng.random() < 0.25:  # uniform words find what corners do not
        for name in names:
            inputs.values[name] = inputs.rng.getrandbits(inputs.ports[name].width)
        return
    for name in names:
        inputs.draw(name)
