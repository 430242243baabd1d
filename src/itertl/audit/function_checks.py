"""What is wrong with one reference as hardware: in a disposable worker, for it runs tools on the text.

The judge's gate reads it first, and everything else is asked of the text that it prints. X is looked for on the
stimulus of the scorer ``vectors``, in the steps that it compares: after a reset, where there is one.
"""

from collections.abc import Sequence

from itertl.audit import netlist_faults
from itertl.judging import gate
from itertl.scoring import synthesis
from itertl.scoring.item import is_plain_name
from itertl.scoring.vectors.oracle import Oracle, ReferenceRun, Silent, consult
from itertl.tools.yosys import Ran

REVISION = 2  # of the checks here; part of what kept answers depend on
_NEVER_KNOWN = "no bit of its outputs is ever known"
HardwareFault = tuple[str, str]  # (kind, detail): kinds are those of ``function_report``
PARTS = ("netlist", "simulation")  # of an inspection: each is kept by what it depends on


def inspect(payload: tuple[str, str, str]) -> list[HardwareFault]:
    """The faults that one of ``PARTS`` finds in (part, reference, its top module), in the order of the report.

    What the gate refuses is reported by the part "netlist" and not checked further. Raises ToolMissing, ToolFailed.
    """
    part, reference, top = payload
    if not is_plain_name(top):
        return _refused(part, f"the top module's name {top[:80]!r} is not an identifier")
    found = gate.examine(reference, top)
    if isinstance(found, gate.Refusal):
        return _refused(part, f"{found.verdict}: {found.detail}")
    if part == "simulation":
        return _unknowns(consult(reference, top, "0"))
    netlist = synthesis.netlist(found.text, top)
    if not isinstance(netlist, Ran):
        return netlist_faults.faults(netlist)
    return [("does not synthesize", "does not end within its limits" if netlist.timed_out else netlist.error)]


def _refused(part: str, why: str) -> list[HardwareFault]:
    return [("refused", why)] if part == "netlist" else []


def _unknowns(oracle: Oracle | Silent) -> list[HardwareFault]:
    """Output bits that are X or Z in the compared steps of the run at default parameters."""
    if isinstance(oracle, Silent):
        kind = "X throughout" if oracle.reason.endswith(_NEVER_KNOWN) else "not simulated"
        return [(kind, oracle.reason)]
    run = oracle.runs[0]
    compared = [sample for sample, counts in zip(run.outputs, run.stimulus.is_compared, strict=True) if counts]
    unknown = _unknown_counts(compared)
    always = [bit for bit, count in enumerate(unknown) if count == len(compared)]
    at_times = [bit for bit, count in enumerate(unknown) if 0 < count < len(compared)]
    faults: list[HardwareFault] = []
    if always:
        faults.append(("X throughout", _named(run, always)))
    if at_times:
        most = max(unknown[bit] for bit in at_times)
        kind = "X after reset" if oracle.interface.resets else "X without a reset"
        faults.append((kind, f"{_named(run, at_times)} in up to {most} of {len(compared)} samples"))
    if oracle.still:
        faults.append(("still output", ", ".join(oracle.still)))
    return faults


def _unknown_counts(samples: Sequence[str]) -> list[int]:
    """In how many samples each bit, from the lowest, is neither 0 nor 1."""
    counts = [0] * (len(samples[0]) if samples else 0)
    for sample in samples:
        if sample.count("0") + sample.count("1") < len(sample):
            for bit, sign in enumerate(reversed(sample)):
                counts[bit] += sign not in "01"
    return counts


def _named(run: ReferenceRun, bits: Sequence[int]) -> str:
    """The ports that these bits belong to, with how many of each."""
    wanted, at, found = set(bits), 0, list[str]()
    for port in run.interface.outputs:
        count = len(wanted & set(range(at, at + port.width)))
        at += port.width
        if count:
            found.append(port.name if count == port.width else f"{port.name} ({count} of {port.width} bits)")
    return ", ".join(found)
