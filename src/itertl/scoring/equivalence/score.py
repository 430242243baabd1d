"""The scorer ``equivalence``: 1 where the candidate is proven equal to the reference, 0 where a difference is shown.

Simulation comes first (``vectors``): it is cheap, it ends most wrong candidates, and nothing is called proven that it
does not agree with. Where it finds no difference, a proof is tried; a proof's counterexample counts only if the
simulator confirms it. ``detail`` begins with the outcome's name.
"""

import functools

from itertl.judging import gate
from itertl.judging.gate import Design
from itertl.judging.outcomes import cut
from itertl.records import Fault, Score, Verdict
from itertl.sandbox import bounds
from itertl.scoring import interface as interfaces
from itertl.scoring.equivalence import proof
from itertl.scoring.equivalence.proof import Proof, ProofOutcome
from itertl.scoring.equivalence.replay import counterexample, replay
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors.score import simulated
from itertl.tools import yosys
from itertl.verilog.header import derive_top

REVISION = 10  # of the rules here: part of what a kept score depends on
_UNDECIDED = (ProofOutcome.UNKNOWN, ProofOutcome.TIMEOUT, ProofOutcome.UNSUPPORTED)
_DECIDED = {
    ProofOutcome.PROVEN: (1.0, Verdict.PASSED),
    ProofOutcome.REFUTED: (0.0, Verdict.WRONG_OUTPUT),
    ProofOutcome.PORTS: (0.0, Verdict.ELABORATION_ERROR),
}


def version() -> str:
    """What a score depends on beside the item. Raises ToolMissing."""
    from itertl.scoring.vectors import score as vectors

    yosys.abc_program()  # if it is missing, this is said before a run, not for each of its candidates
    return f"{yosys.version()}, equivalence {REVISION}, {vectors.version()}"


def score(item: ScoreItem) -> Score:
    """PASSED and 1 (proven), WRONG_OUTPUT and 0 (refuted), UNDECIDED and None (unknown, timeout, unsupported).

    What the simulation finds before (no code, gamed, other ports, a run that does not end …) is the verdict, a
    reference that it or Yosys cannot use is UNJUDGEABLE. Raises ToolMissing, ToolFailed.
    """
    used = yosys.version().split(" ")[1]

    def result(value: float | None, verdict: Verdict, detail: str, shown: str = "") -> Score:
        return Score(
            scorer="equivalence", value=value, verdict=verdict, detail=cut(detail), tool="yosys", tool_version=used,
            counterexample=shown,
        )  # fmt: skip

    simulation = simulated(item)
    if simulation.verdict is not Verdict.PASSED:
        return result(None if simulation.value is None else 0.0, simulation.verdict, _named(simulation))
    assert item.reference is not None
    top = item.top or derive_top(item.reference) or ""
    reference, candidate = _examined(item.reference, top), gate.examine(item.code, top, with_variants=True)
    if not isinstance(reference, Design) or not isinstance(candidate, Design):
        return result(None, Verdict.TOOL_FAILED, "the gate refuses a text that it let through before")
    found, shown = _decided(reference, candidate)
    if found.outcome in _UNDECIDED and not candidate.variants:
        late = _late(item.reference, top, candidate)
        found = Proof(ProofOutcome.REFUTED, f"in a long run: {late}") if late else found
    is_references = found.is_references and found.outcome in (ProofOutcome.UNSUPPORTED, ProofOutcome.UNKNOWN)
    undecided = Verdict.UNJUDGEABLE if is_references else Verdict.UNDECIDED
    return result(*_DECIDED.get(found.outcome, (None, undecided)), f"{found.outcome}: {found.detail}", shown)


def _decided(reference: Design, candidate: Design) -> tuple[Proof, str]:
    """The proof, with its counterexample played; and, where that refutes, the counterexample as text."""
    if candidate.key == reference.key:
        return Proof(ProofOutcome.PROVEN, "the reference's own text"), ""
    if candidate.variants:
        return Proof(ProofOutcome.UNSUPPORTED, "a tool's own macro changes the text"), ""
    found = proof.prove(reference, candidate)
    if found.trace is None:
        return found, ""
    wanted = interfaces.read(reference.text, reference.top)
    shown = counterexample(wanted, found.trace)
    difference = replay(reference.text, candidate.text, wanted, shown)
    if difference:
        return Proof(ProofOutcome.REFUTED, difference), shown.text()
    return Proof(ProofOutcome.UNKNOWN, f"{found.detail}, which the simulator does not confirm"), ""


def _late(reference: str, top: str, candidate: Design) -> str:
    """The first difference that a long simulation shows, in words; "" for none."""
    from itertl.scoring.vectors import long, oracle
    from itertl.scoring.vectors.score import seed

    with bounds.uncounted():
        asked = oracle.consult(reference, top, seed())
    return long.difference(asked, candidate.text) if isinstance(asked, oracle.Oracle) else ""


def _named(found: Score) -> str:
    """The simulation's finding with the outcome that it amounts to, where it is one."""
    if found.verdict is Verdict.WRONG_OUTPUT:
        return f"{ProofOutcome.REFUTED}: {found.detail}"
    if found.verdict is Verdict.ELABORATION_ERROR and found.detail.startswith("port "):
        return f"{ProofOutcome.PORTS}: {found.detail}"
    if found.verdict.fault is Fault.OURS:
        return f"{ProofOutcome.UNSUPPORTED}: {found.detail}"
    return found.detail


@functools.lru_cache(maxsize=32)
def _examined(reference: str, top: str) -> gate.GateResult:
    with bounds.uncounted():
        return gate.examine(reference, top)
