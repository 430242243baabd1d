"""A binary AIGER network, simulated on many inputs at once: one Python integer holds a signal's value in all of them.

This decides the simple cases without a solver: a network without registers and with few inputs is tried on all of them,
which is a proof; so is a walk through all states, where they are few; and random runs show what can be reached. Format:
Biere, AIGER 1.9.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_EXHAUSTED_BITS = 28  # of gates times inputs' combinations, as a power of two: some 20 ms
MAX_EXPLORED = 150_000  # gates evaluated and bits moved in a walk through all states: some 20 ms
MAX_SIMULATED_GATES = 20_000
_FRAMES, _WIDTH = 48, 128


@dataclass(frozen=True, slots=True)
class Aig:
    """A network of variables; literal 2v is variable v, and 2v + 1 its negation."""

    num_inputs: int
    latches: tuple[tuple[int, int | None], ...]  # (next literal, first value, where None is any)
    outputs: tuple[int, ...]
    gates: tuple[tuple[int, int], ...]  # pairs of literals
    names: dict[str, int]  # number of each output that the file names


def read(path: Path) -> Aig:
    """Read ``aig M I L O A`` with latches, outputs, gates and names of outputs; other sections are left alone.

    Raises ValueError.
    """
    data = path.read_bytes()
    header, at = _line(data, 0)
    if header[:1] != ["aig"] or len(header) < 6:
        raise ValueError("not a binary AIGER file")
    _, num_inputs, num_latches, num_outputs, num_gates, *extra = map(int, header[1:])
    latches: list[tuple[int, int | None]] = []
    for number in range(num_latches):
        words, at = _line(data, at)
        first = int(words[1]) if len(words) > 1 else 0
        latches.append((int(words[0]), None if first == 2 * (num_inputs + number + 1) else first))
    outputs: list[int] = []
    for _ in range(num_outputs):
        words, at = _line(data, at)
        outputs.append(int(words[0]))
    for _ in range(sum(extra)):
        _, at = _line(data, at)
    gates: list[tuple[int, int]] = []
    for number in range(num_gates):
        left = 2 * (num_inputs + num_latches + number + 1)
        first, at = _delta(data, at)
        second, at = _delta(data, at)
        gates.append((left - first, left - first - second))
    names: dict[str, int] = {}
    for line in data[at:].decode("utf-8", "replace").split("\nc\n", 1)[0].splitlines():
        place, _, name = line.partition(" ")
        if place[:1] == "o" and place[1:].isdigit():
            names[name] = int(place[1:])
    return Aig(num_inputs, tuple(latches), tuple(outputs), tuple(gates), names)


def _line(data: bytes, at: int) -> tuple[list[str], int]:
    end = data.index(b"\n", at)
    return data[at:end].decode("ascii").split(), end + 1


def _delta(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def exhausted(network: Aig, output: int) -> list[str] | None:
    """On a network without registers: an input on which that output is 1, as a list of one line of bits, or of none.

    None where there are too many inputs to try.
    """
    count = network.num_inputs
    if network.outputs[output] == 0:
        return []
    if network.latches or count + len(network.gates).bit_length() > MAX_EXHAUSTED_BITS or count > 20:
        return None
    rows = 1 << count
    mask = (1 << rows) - 1
    inputs = [_column(number, count) for number in range(count)]
    [found] = _literals(_evaluate(network, inputs, [], mask), [network.outputs[output]], mask)
    if not found:
        return []
    row = (found & -found).bit_length() - 1
    return ["".join(str(row >> number & 1) for number in range(count))]


def explored(network: Aig, output: int) -> bool | None:
    """Whether that output is 1 in some state that can be reached, for some input; None where there are too many
    to try."""
    count, following = network.num_inputs, [literal for literal, _ in network.latches]
    if count > 8 or any(first is None for _, first in network.latches):
        return None
    rows, cost = 1 << count, 0
    first = tuple(str(value) for _, value in network.latches)
    seen, frontier = {first}, [first]
    while frontier:
        total = rows * len(frontier)
        cost += len(network.gates) + total * max(1, len(following))
        if cost > MAX_EXPLORED:
            return None
        mask = (1 << total) - 1
        every = mask // ((1 << rows) - 1)  # 1 at the first row of each state
        inputs = [_column(number, count) * every for number in range(count)]
        state = [int("".join(bits[place] * rows for bits in frontier), 2) for place in range(len(following))]
        values = _evaluate(network, inputs, state, mask)
        if _literals(values, [network.outputs[output]], mask)[0]:
            return True
        columns = [format(value, f"0{total}b") for value in _literals(values, following, mask)]
        frontier = list(set(zip(*columns, strict=True)) - seen)
        seen.update(frontier)
    return False


def _column(number: int, count: int) -> int:
    """An input's values over all combinations of ``count`` inputs."""
    return ((1 << (1 << count)) - 1) // ((1 << (1 << number)) + 1) << (1 << number)


def reached(network: Aig, outputs: Sequence[int], seed: int = 0) -> bool:
    """Whether random inputs make each of these outputs 1 within some dozens of steps. False proves nothing."""
    missing = {network.outputs[output] for output in outputs} - {1}
    if not missing or 0 in missing or len(network.gates) > MAX_SIMULATED_GATES:
        return not missing
    rng, mask = random.Random(seed), (1 << _WIDTH) - 1
    state = [rng.getrandbits(_WIDTH) if first is None else mask * first for _, first in network.latches]
    following = [literal for literal, _ in network.latches]
    for _ in range(_FRAMES):
        values = _evaluate(network, [_drawn(rng) for _ in range(network.num_inputs)], state, mask)
        missing = {literal for literal in missing if not _literals(values, [literal], mask)[0]}
        if not missing:
            return True
        state = _literals(values, following, mask)
    return False


def _drawn(rng: random.Random) -> int:
    """Random values: an input is 1 in a half, a quarter or three quarters of them."""
    one, other = rng.getrandbits(_WIDTH), rng.getrandbits(_WIDTH)
    return rng.choice((one, one & other, one | other))


def _evaluate(network: Aig, inputs: Sequence[int], state: Sequence[int], mask: int) -> list[int]:
    """Values of all variables; number 0 is false."""
    values = [0, *inputs, *state]
    for left, right in network.gates:
        a, b = values[left >> 1], values[right >> 1]
        values.append((a ^ mask if left & 1 else a) & (b ^ mask if right & 1 else b))
    return values


def _literals(values: Sequence[int], literals: Sequence[int], mask: int) -> list[int]:
    return [values[literal >> 1] ^ mask if literal & 1 else values[literal >> 1] for literal in literals]
