"""What a design does on inputs that are made from its ports alone: a fingerprint of its outputs, step by step.

Two designs of the same problem are given the same words, whatever their texts say: clocks and resets are taken from
the ports' names, for there is no reference to read them from. It runs slang and the simulator: call it in a worker.
"""

from dataclasses import dataclass, replace

from itertl.judging import gate
from itertl.records import Examined, Verdict, content_hash
from itertl.scoring import interface as interfaces
from itertl.scoring.interface import Interface, Unsupported
from itertl.scoring.roles import by_name
from itertl.scoring.vectors import testbench
from itertl.scoring.vectors.oracle import make
from itertl.scoring.vectors.words import Hints
from itertl.verilog.header import derive_top

REVISION = 1  # of the words and the fingerprint


@dataclass(frozen=True, slots=True)
class Question:
    """A design, the header that was asked for, the name of its module where known, and how many steps it runs."""

    code: str
    header: str
    top: str | None
    steps: int


def trace(question: Question) -> Examined:
    """``group``: the fingerprint, "" where the design does not run; rank 1 where it ran. Raises ToolMissing."""
    top = question.top or derive_top(question.header) or derive_top(question.code)
    if not question.code.strip() or top is None:
        return Examined(verdict=Verdict.NO_CODE, rank=-2.0)
    found = gate.examine(question.code, top)
    if isinstance(found, gate.Refusal):
        return Examined(verdict=found.verdict, rank=-1.0, message=found.detail)
    try:
        seen = interfaces.read(found.text, top)
    except Unsupported as error:
        return Examined(verdict=Verdict.ELABORATION_ERROR, rank=-1.0, message=str(error))
    if not seen.outputs:
        return Examined(verdict=Verdict.ELABORATION_ERROR, rank=-1.0, message="it has no outputs")
    seen = _named(seen)
    words = make(seen, Hints(), _seed(seen), question.steps).done()
    done = testbench.run(found.text, testbench.prepare(words, seen))
    if done.stopped is not None:
        verdict, detail = done.stopped
        return Examined(verdict=verdict, rank=0.0, message=detail, tool_calls=1)
    compared = [o for o, is_compared in zip(done.outputs, words.is_compared, strict=True) if is_compared]
    ports = [[port.name, port.direction, port.width] for port in seen.ports]
    return Examined(verdict=Verdict.SCORED, rank=1.0, group=content_hash([sorted(ports), compared]), tool_calls=1)


def _named(seen: Interface) -> Interface:
    """The interface with roles by name alone, and its ports in the order of their names, so that the words depend on
    nothing else."""
    inputs = {port.name: port.width for port in seen.inputs}
    clocks, resets = by_name(inputs)
    ports = tuple(sorted(seen.ports, key=lambda port: port.name))
    return replace(
        seen, ports=ports, clocks=clocks, resets=resets, enables=(), has_state=bool(clocks), has_latch=False, gates=(),
        parameters=(), tunable=(),
    )  # fmt: skip


def _seed(seen: Interface) -> int:
    return int(content_hash(["traces", [[port.name, port.width] for port in seen.ports]]), 16)
