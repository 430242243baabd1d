"""A counterexample run in the simulator: only what differs there, on the texts themselves, refutes a candidate.

A step of a clocked proof becomes new inputs, the edge, and the other edge. A step of a free one becomes one change
after the other, clocks first, so that no two signals race; there an X of the candidate does not count, since what a
register takes at the very start depends on an order that Verilog leaves open. Testbench, names and nonce are those of
``vectors``.

A counterexample that held is kept with the score as text, and every other candidate of the problem that no proof
decides is tried on it too (``meet_all``): a rare input that a proof finds in one candidate counts for those that no
proof can handle. The result depends on the candidates that are scored together, not on their order.
"""

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from itertl.judging import gate
from itertl.judging.gate import Design
from itertl.judging.outcomes import cut
from itertl.records import Score, Verdict
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound, BoundReached
from itertl.scoring import interface as interfaces
from itertl.scoring.equivalence.flat import Style, Trigger
from itertl.scoring.equivalence.proof import Trace
from itertl.scoring.interface import Interface, Unsupported, same_ports
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors import outcome, testbench
from itertl.scoring.vectors.mismatch import describe
from itertl.scoring.vectors.oracle import ReferenceRun
from itertl.scoring.vectors.stimulus import Stimulus
from itertl.verilog.header import derive_top
from itertl.work.engine import map_unordered

Values = dict[str, str]
_MOST_EXAMPLES = 16  # of one problem
_MEET_S = 10.0  # of processor time, for all of them on one candidate


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A counterexample as it is played."""

    words: tuple[int, ...]  # the inputs at each step as one number, the first port in the lowest bits
    begun: int  # the first step that is compared
    overlooks_x: bool  # an X of the candidate counts as equal

    def text(self) -> str:
        words = [f"{word:x}" for word in self.words]
        return json.dumps({"words": words, "begun": self.begun, "overlooks_x": self.overlooks_x})


def counterexample(interface: Interface, trace: Trace) -> Counterexample:
    """The counterexample of a proof, change by change. ``interface``: the reference's."""
    played = list(_played(interface, trace))
    begun = sum(step < trace.begun for step, _ in played)
    # all inputs as one string of bits, the first port on the right
    words = ["".join(values[port.name] for port in reversed(interface.inputs)) for _, values in played]
    return Counterexample(tuple(int(f"0{word}", 2) for word in words), begun, trace.style is Style.FREE)


def replay(reference: str, candidate: str, interface: Interface, shown: Counterexample) -> str:
    """The difference in words, or "" where the simulator shows none (or does not finish).

    ``reference`` and ``candidate`` are texts that the gate let through, ``interface`` the reference's. Raises
    ToolMissing.
    """
    stimulus = Stimulus(shown.words, tuple(step >= shown.begun for step in range(len(shown.words))))
    bench = testbench.prepare(stimulus, interface)
    wanted, found = (testbench.run(text, bench) for text in (reference, candidate))
    if wanted.stopped is not None or found.stopped is not None:
        return ""
    expected = outcome.expect(wanted.outputs, stimulus.is_compared)
    outputs = _overlooked(wanted.outputs, found.outputs) if shown.overlooks_x else found.outputs
    compared = outcome.compare(expected, outputs)
    if compared.first is None:
        return ""
    return describe(ReferenceRun({}, interface, stimulus, bench, wanted.outputs, expected), outputs, compared)


def meet_all(
    items: Sequence[ScoreItem], taken: Sequence[tuple[Score, ...]], *, num_workers: int, timeout_s: float
) -> list[tuple[Score, ...]]:
    """The scores, where a candidate that no proof decides is refuted if a counterexample of another one to the same
    reference is one to it. Raises ToolMissing, ToolFailed."""
    examples = defaultdict[tuple[str | None, str | None], set[str]](set)
    for item, scores in zip(items, taken, strict=True):
        examples[item.reference, item.top].update(score.counterexample for score in scores if score.counterexample)
    asked = defaultdict[tuple[ScoreItem, tuple[str, ...]], list[int]](list)
    for number, (item, scores) in enumerate(zip(items, taken, strict=True)):
        shown = tuple(sorted(examples[item.reference, item.top])[:_MOST_EXAMPLES])
        if shown and any(_is_open(score) for score in scores):
            asked[item, shown].append(number)
    result = list(taken)
    if not asked:
        return result
    payloads, try_one = list(asked), "itertl.scoring.equivalence.replay:meet"
    for place, done in map_unordered(try_one, payloads, num_workers=num_workers, timeout_s=timeout_s):
        for number in asked[payloads[place]] if done.status == "ok" and done.value else ():
            result[number] = tuple(
                _refuted(score, *done.value) if _is_open(score) else score for score in taken[number]
            )
    return result


def meet(asked: tuple[ScoreItem, tuple[str, ...]]) -> tuple[str, str] | None:
    """(difference in words, counterexample) of the first one that holds for the item; None for none. In a worker.

    Raises ToolMissing.
    """
    with contextlib.suppress(BoundReached), bounds.held(Bound(_MEET_S)):
        return _meet(*asked)
    return None


def _meet(item: ScoreItem, examples: tuple[str, ...]) -> tuple[str, str] | None:
    top = item.top or derive_top(item.reference or "") or ""
    reference, candidate = gate.examine(item.reference or "", top), gate.examine(item.code, top)
    if not isinstance(reference, Design) or not isinstance(candidate, Design):
        return None
    try:
        wanted, own = (interfaces.read(design.text, top) for design in (reference, candidate))
    except Unsupported:
        return None
    for text in examples if not same_ports(own, wanted) else ():
        row = json.loads(text)
        shown = Counterexample(tuple(int(word, 16) for word in row["words"]), row["begun"], row["overlooks_x"])
        difference = replay(reference.text, candidate.text, wanted, shown)
        if difference:
            return difference, text
    return None


def _is_open(score: Score) -> bool:
    return score.scorer == "equivalence" and score.verdict is Verdict.UNDECIDED


def _refuted(score: Score, difference: str, shown: str) -> Score:
    detail = cut(f"refuted: by the counterexample of another candidate: {difference}")
    changed = {"value": 0.0, "verdict": Verdict.WRONG_OUTPUT, "counterexample": shown, "detail": detail}
    return score.model_copy(update=changed)


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
