"""How much of a wrong candidate is right, in [0, 1): what partial credit ``vectors`` gives.

Three parts, each a count of what is right on a scale on which guesses have 0 (``_above``):

- 0.50: steps at which all outputs are right;
- 0.35: the mean over outputs that move of their own credit, half of it for bits, half for whole words, so that each is
judged over its own activity;
- 0.15: the plain share of the steps at which all outputs are right, which orders what is no better than a guess.

Guesses are the best constant, and, for a bit, the best input bit, inverted or not, as it is or in a register (for a
word: the best input of its width); of these no more than half of the way above the constant counts, and none that is
the reference itself. Outputs that never change are worth 0. Of a clocked reference outputs that are late or early by up
to ``LAGS`` cycles, or right only just before the edges, have ``LATE`` of their credit for each cycle; where the
reference has no inputs but clocks, resets and enables, a one-bit output that is always inverted, in the other phase,
has ``INVERTED`` of it.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from itertl.scoring.interface import Interface
from itertl.scoring.vectors.oracle import ReferenceRun
from itertl.scoring.vectors.outcome import ONES, ZEROS, number

STEPS, OUTPUTS, PLAIN = 0.5, 0.35, 0.15
LAGS, LATE, INVERTED = 4, 0.7, 0.5
_ECHO_PAIRS = 1 << 14  # output bits times input bits: beyond, echoes are not looked for


@dataclass(frozen=True, slots=True)
class Part:
    """Of ``known`` things that are compared a guess gets ``guess`` right."""

    known: int
    guess: float

    def above(self, right: int) -> float:
        """The share of the way from the guess to all, at least 0."""
        if right >= self.known:
            return 1.0
        return max(0.0, right - self.guess) / (self.known - self.guess) if self.known > self.guess else 0.0


@dataclass(frozen=True, slots=True)
class Output:
    """One output in a sample: its lowest bit, and what is compared of it."""

    low: int
    width: int
    bits: Part
    words: Part


@dataclass(frozen=True, slots=True)
class View:
    """The reference's samples at some steps, as two numbers; the first sample is the highest."""

    width: int
    length: int
    unit: int  # the lowest bit of each sample
    ones: int
    zeros: int
    outputs: tuple[Output, ...]  # those that move
    steps: Part

    def any_of(self, bits: int, low: int, width: int) -> int:
        """In how many samples some of ``bits`` from ``low`` on are set."""
        covered = 1
        while covered < width:
            more = min(covered, width - covered)
            bits |= bits >> more
            covered += more
        return (bits & (self.unit << low)).bit_count()


def value(run: ReferenceRun, outputs: Sequence[str]) -> float:
    """The credit of a candidate's samples in a run; at most that of all steps but one, 0 where no compared output
    changes."""
    compared = [sample for sample, counts in zip(outputs, run.stimulus.is_compared, strict=True) if counts]
    if _is_constant(compared):
        return 0.0
    whole, edges, picks = _views(run)
    controls = {role.name for role in (*run.interface.clocks, *run.interface.resets)} | set(run.interface.enables)
    is_free = edges is not None and {port.name for port in run.interface.inputs} <= controls
    own, steps, plain = _credit(whole, "".join(outputs), or_inverted=is_free)
    if edges is not None and min([steps, *own.values()]) < LATE:
        text = "".join(outputs[step] for step in picks)
        for lag in range(-LAGS, LAGS + 1):
            late, at_lag, _ = _credit(edges, text, lag, or_inverted=is_free)
            share = LATE ** max(1, abs(lag))
            own = {low: max(credit, share * late.get(low, 0.0)) for low, credit in own.items()}
            steps = max(steps, share * at_lag)
    return STEPS * steps + OUTPUTS * sum(own.values()) / max(1, len(own)) + PLAIN * plain


def _is_constant(samples: Sequence[str]) -> bool:
    """Whether no bit is seen both as 0 and as 1."""
    ones = zeros = 0
    for sample in set(samples):
        ones, zeros = ones | number(sample, ONES), zeros | number(sample, ZEROS)
        if ones & zeros:
            return False
    return True


def _credit(view: View, text: str, lag: int = 0, *, or_inverted: bool = False) -> tuple[dict[int, float], float, float]:
    """(credit of each output by its lowest bit, credit for whole steps, plain share of right steps) of samples that
    come ``lag`` samples late."""
    ones, zeros = _shifted(view, number(text, ONES), lag), _shifted(view, number(text, ZEROS), lag)
    wrong = (view.ones & ~ones) | (view.zeros & ~zeros)
    opposite = (view.ones & ~zeros) | (view.zeros & ~ones)
    own = {output.low: _own(view, output, wrong) for output in view.outputs}
    for output in view.outputs if or_inverted else ():
        if output.width == 1:
            own[output.low] = max(own[output.low], INVERTED * _own(view, output, opposite))
    right = view.steps.known - view.any_of(wrong, 0, view.width)
    return own, own[0] if own and view.width == 1 else view.steps.above(right), right / view.steps.known


def _shifted(view: View, bits: int, lag: int) -> int:
    """Sample i + ``lag`` at the place of sample i; nothing where there is none."""
    return (bits << lag * view.width) & ((1 << view.length * view.width) - 1) if lag >= 0 else bits >> -lag * view.width


def _own(view: View, output: Output, wrong: int) -> float:
    mine = wrong & (view.unit * ((1 << output.width) - 1) << output.low)
    bits = output.bits.above(output.bits.known - mine.bit_count())
    if output.width == 1:
        return bits
    return (bits + output.words.above(output.words.known - view.any_of(mine, output.low, output.width))) / 2


@functools.lru_cache(maxsize=64)
def _views(run: ReferenceRun) -> tuple[View, View | None, tuple[int, ...]]:
    """All steps; those just before an active edge of the first clock, and which these are. None without a clock."""
    clock = next(iter(run.interface.clocks), None)
    width = sum(port.width for port in run.interface.inputs)
    words = [f"{word:0{width}b}" for word in run.stimulus.words]
    edges = _edges(run) if clock is not None else {}
    sources = [words, *(_held(words, steps) for steps in edges.values())]
    blank = "x" * run.expected.width
    samples = [s if counts else blank for s, counts in zip(run.outputs, run.stimulus.is_compared, strict=True)]
    whole = _view(samples, run.interface, sources)
    picks = tuple(sorted({step for steps in edges.values() for step in steps}))
    some = [samples[step] for step in picks]
    if not any("0" in sample or "1" in sample for sample in some):
        return whole, None, ()
    return whole, _view(some, run.interface, [[source[step] for step in picks] for source in sources]), picks


def _edges(run: ReferenceRun) -> dict[str, set[int]]:
    """Edge of the first clock that counts -> the steps after which it comes; none where the clock is one bit of a
    vector."""
    clock, at = run.interface.clocks[0], 0
    for port in run.interface.inputs:
        if port.name == clock.name and port.width == 1:
            bits = [word >> at & 1 for word in run.stimulus.words]
            pairs = {edge: (0, 1) if edge == "posedge" else (1, 0) for edge in sorted(clock.edges)}
            steps = list(enumerate(itertools.pairwise(bits)))
            return {edge: {step for step, both in steps if both == pair} for edge, pair in pairs.items()}
        at += port.width
    return {}


def _held(words: Sequence[str], edges: Container[int]) -> list[str]:
    """The inputs' word at the last edge, for each step: what a register holds of them."""
    held, found = "0" * len(words[0]), list[str]()
    for step, word in enumerate(words):
        found.append(held)
        if step in edges:
            held = word
    return found


def _view(samples: Sequence[str], interface: Interface, guesses: Sequence[Sequence[str]]) -> View:
    """``samples`` of the reference; ``guesses``: lists of words of the inputs in binary, one word for each sample."""
    width, length, text = len(samples[0]), len(samples), "".join(samples)
    unit = ((1 << width * length) - 1) // ((1 << width) - 1)
    view = View(width, length, unit, number(text, ONES), number(text, ZEROS), (), Part(0, 0))
    inputs = sum(port.width for port in interface.inputs)
    is_small = 0 < width * inputs * len(guesses) <= _ECHO_PAIRS
    columns = [int(t[bit::inputs], 2) for t in map("".join, guesses) for bit in range(inputs)] if is_small else []
    outputs, low, words = list[Output](), 0, Part(0, 0)
    for port in interface.outputs:
        bits = [_bit(text[width - 1 - bit :: width], columns) for bit in range(low, low + port.width)]
        found = Part(sum(b.known for b in bits), sum(b.guess for b in bits))
        echoes = list(_echoes(interface, guesses, port.width)) if port.width > 1 else []
        words = _words(view, samples, low, port.width, echoes) if port.width > 1 else found
        outputs += [Output(low, port.width, found, words)] if found.known > found.guess else []
        low += port.width
    steps = words if len(interface.outputs) == 1 else _words(view, samples, 0, width, [])
    return replace(view, outputs=tuple(outputs), steps=steps)


def _echoes(interface: Interface, guesses: Sequence[Sequence[str]], width: int) -> Iterator[list[str]]:
    """The words of every input of that width, in each of the lists."""
    end = sum(port.width for port in interface.inputs)
    for port in interface.inputs:
        if port.width == width:
            yield from ([word[end - width : end] for word in words] for words in guesses)
        end -= port.width


def _bit(column: str, inputs: Sequence[int]) -> Part:
    """One bit of the reference, against the same constant throughout, and against columns of input bits."""
    ones, zeros = number(column, ONES), number(column, ZEROS)
    known = ones.bit_count() + zeros.bit_count()
    matching = ((ones & bits).bit_count() + (zeros & ~bits).bit_count() for bits in inputs)
    best = max((m for count in matching for m in (count, known - count) if m < known), default=0)
    return _guessed(known, max(ones.bit_count(), zeros.bit_count()), best)


def _words(view: View, samples: Sequence[str], low: int, width: int, echoes: Sequence[Sequence[str]]) -> Part:
    """Words of an output against the most common one, and against the words of inputs."""
    known = view.any_of(view.ones | view.zeros, low, width)
    counts = Counter(sample[view.width - low - width : view.width - low] for sample in samples)
    best = max((count for word, count in counts.items() if "0" in word or "1" in word), default=0)
    mask = view.unit * ((1 << width) - 1) << low
    right = [0]
    for words in echoes:
        bits = int(("0" * (view.width - low - width)) + ("0" * (view.width - width)).join(words) + "0" * low, 2)
        right.append(known - view.any_of(((view.ones & ~bits) | (view.zeros & bits)) & mask, low, width))
    return _guessed(known, best, max(count for count in right if count < known or not count))


def _guessed(known: int, constant: int, echo: int) -> Part:
    return Part(known, max(constant, min(echo, (constant + known) / 2)))
