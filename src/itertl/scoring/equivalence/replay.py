"""A counterexample shown to the simulator: only what differs there, on the texts themselves, refutes a candidate.

A step of a clocked proof is played as fresh inputs, the edge, and the other edge. A step of a free one is played as one
change after the other, clocks first, so that no two signals race; there, where what a register takes at the very start
depends on an order that Verilog leaves open, an X of the candidate does not count. Testbench, names and nonce are those
of ``vectors``.
"""

from collections.abc import Iterator

from itertl.scoring.equivalence.flat import Style, Trigger
from itertl.scoring.equivalence.proof import Trace
from itertl.scoring.interface import Interface
from itertl.scoring.vectors import outcome, testbench
from itertl.scoring.vectors.mismatch import describe
from itertl.scoring.vectors.oracle import Run
from itertl.scoring.vectors.stimulus import Stimulus

Values = dict[str, str]


def replay(reference: str, candidate: str, interface: Interface, trace: Trace) -> str:
    """The difference in words, or "" where the simulator shows none (or does not come to its end).

    ``reference`` and ``candidate`` are texts that the gate let through, ``interface`` the reference's. Raises ToolMissing.
    """
    played = list(_played(interface, trace))
    words = tuple(_word(interface, values) for _, values in played)
    stimulus = Stimulus(words, tuple(step >= trace.begun for step, _ in played))
    bench = testbench.prepare(stimulus, interface)
    wanted, found = (testbench.run(text, bench) for text in (reference, candidate))
    if wanted.stopped is not None or found.stopped is not None:
        return ""
    expected = outcome.expect(wanted.outputs, stimulus.is_compared)
    outputs = found.outputs if trace.style is not Style.FREE else _overlooked(wanted.outputs, found.outputs)
    compared = outcome.compare(expected, outputs)
    if compared.first is None:
        return ""
    return describe(Run({}, interface, stimulus, bench, wanted.outputs, expected), outputs, compared)


def _overlooked(wanted: tuple[str, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    """The candidate's outputs, the reference's in place of an X or Z."""
    return tuple(
        "".join(mine if mine in "01" else its for its, mine in zip(*pair, strict=True))
        for pair in zip(wanted, found, strict=True)
    )


def _played(interface: Interface, trace: Trace) -> Iterator[tuple[int, Values]]:
    """(step, inputs), change by change."""
    trigger = trace.flat.trigger if trace.style is Style.CLOCKED else None
    clocks = [clock.name for clock in interface.clocks] + [reset.name for reset in interface.resets if reset.is_async]
    last: Values | None = None
    for number, step in enumerate(trace.steps):
        if trigger is not None:
            for level in (not trigger.rises, trigger.rises, not trigger.rises):
                yield number, _with_clock(step, trigger, level)
        elif trace.style is Style.FREE and last is not None:
            for name in sorted(step, key=lambda name: (name not in clocks, name)):
                if step[name] != last[name]:
                    last = {**last, name: step[name]}
                    yield number, last
        else:
            yield number, step
        last = step


def _with_clock(values: Values, trigger: Trigger, level: bool) -> Values:
    bits = values[trigger.port]
    place = len(bits) - 1 - trigger.index
    return {**values, trigger.port: f"{bits[:place]}{int(level)}{bits[place + 1 :]}"}


def _word(interface: Interface, values: Values) -> int:
    """All inputs as one number, the first port in the lowest bits."""
    word = at = 0
    for port in interface.inputs:
        word |= int(values[port.name], 2) << at
        at += port.width
    return word
