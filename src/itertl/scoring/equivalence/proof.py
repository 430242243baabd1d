"""One proof: two texts that the gate let through, made flat by Yosys, compared by ABC; no simulation here.

Every step runs in a process of its own, under limits of processor time that do not depend on what else the machine
does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from itertl.judging.gate import Design
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.scoring import interface
from itertl.scoring.equivalence import events, flat, rewrite, script, solver
from itertl.scoring.equivalence.checks import has_unknown_literal, hazard
from itertl.scoring.equivalence.flat import Flat, Style, Unprovable
from itertl.scoring.equivalence.script import CANDIDATE, MITER, REFERENCE, ProofStart
from itertl.scoring.lowering import lowered
from itertl.tools import yosys
from itertl.tools.yosys import Ran

CPU_S = 2  # of processor time for each step of a proof
MEMORY_MB = 3072
Steps = tuple[dict[str, str], ...]
Designs = dict[str, tuple[Design, str]]  # name -> the design, and the text as which Yosys is given it
_ENDED, _STYLE = "ended.json", "style.txt"


class ProofOutcome(StrEnum):
    """What came of a proof; a score's detail begins with it."""

    PROVEN = "proven"  # the same outputs in every state that can be reached, for every input
    REFUTED = "refuted"  # a counterexample, which the simulator confirms
    UNKNOWN = "unknown"  # neither a proof nor a counterexample that the simulator confirms
    TIMEOUT = "timeout"  # a step did not end within its limits
    UNSUPPORTED = "unsupported"  # Yosys does not read it, or its netlist may differ from the simulation
    PORTS = "ports"  # other ports than the reference


@dataclass(frozen=True, slots=True)
class Trace:
    """A counterexample."""

    style: Style
    flat: Flat  # whose inputs
    steps: Steps  # for each step, the value of each input as bits, the highest first
    begun: int = 0  # the first step at which outputs are compared


@dataclass(frozen=True, slots=True)
class Proof:
    """UNKNOWN with a ``trace`` is a counterexample that the simulator has not yet seen."""

    outcome: ProofOutcome
    detail: str
    trace: Trace | None = None
    is_references: bool = False  # the reference alone prevents a proof
    has_init: bool = False  # of a proof: the reference's registers have first values


def prove(reference: Design, candidate: Design, *, cpu_s: int = CPU_S) -> Proof:
    """Whether the candidate has the reference's outputs wherever those are defined. Raises ToolMissing, ToolFailed."""
    try:
        wanted = interface.read(reference.text, reference.top)
    except interface.Unsupported as error:
        return _unsupported(REFERENCE, str(error))
    begin = script.start(wanted)
    found = _prove(reference, candidate, replace(begin, is_late=True), cpu_s)
    if found.outcome is not ProofOutcome.PROVEN and begin.resets:
        # its counterexample begins with the reset, as a simulation does
        held = _prove(reference, candidate, begin, cpu_s)
        if held.outcome is not ProofOutcome.PROVEN:
            return held
        if not found.is_references:
            why = "what comes before the first reset: no proof that it leaves nothing behind"
            return Proof(ProofOutcome.UNKNOWN, why)
        found = held
    if found.outcome is ProofOutcome.PROVEN and begin.resets and found.has_init:
        first = _prove(reference, candidate, ProofStart((), begin.clocks), cpu_s)
        if first.outcome is not ProofOutcome.PROVEN:
            return Proof(ProofOutcome.UNKNOWN, "initial values beside a reset: not proven before the first reset")
    if found.outcome is ProofOutcome.PROVEN and wanted.tunable:
        why = f"parameter {wanted.tunable[0]} of the reference may be set, and a proof speaks of one value"
        return _unsupported(CANDIDATE, why)
    return found


def _prove(reference: Design, candidate: Design, begin: ProofStart, cpu_s: int) -> Proof:
    """The proof from one start.

    A design that Yosys cannot read is given to it as plain Verilog, where it can be written so.
    """
    designs = {REFERENCE: (reference, reference.text), CANDIDATE: (candidate, candidate.text)}
    found, unread = _attempt(designs, begin, cpu_s)
    while unread:
        design, text = designs[unread]
        other = lowered(text, design.top, to_hardware=True) if text == design.text else None
        if other is None:
            break
        designs[unread] = design, other
        found, unread = _attempt(designs, begin, cpu_s)
    return found


def _attempt(designs: Designs, begin: ProofStart, cpu_s: int) -> tuple[Proof, str]:
    """As ``_prove``, and the design that Yosys does not read, or ""."""
    limits = Limits(wall_s=5.0 * cpu_s, cpu_s=cpu_s, memory_mb=MEMORY_MB, proc=True)
    with sandbox.scratch() as folder:
        for name, (design, text) in designs.items():
            why = _write(folder, name, design, text)
            if why:
                return _unsupported(name, why), ""
        ran = yosys.passes(folder, _parts(folder, begin, designs), limits)
        ended = _ended(folder)
        if ended is not None:
            return ended, ""
        if ran.error:
            unread = next((name for name in designs if not (folder / f"{name}.json").exists()), "")
            return _stopped(folder, ran), "" if ran.timed_out else unread
        return _solved(folder, begin, cpu_s), ""


def _write(folder: Path, name: str, design: Design, text: str) -> str:
    """Write the file that Yosys reads, or say why it must not: for the design's own text or for ``text``, its form."""
    why = hazard(design.text, design.top) or hazard(text, design.top)
    if why:
        return why
    try:
        text = rewrite.for_yosys(text, design.top)
    except ValueError as error:
        return str(error)
    (folder / f"{name}.v").write_text(text, encoding="utf-8", errors="replace")
    return ""


def _unsupported(name: str, why: str) -> Proof:
    is_references = name == REFERENCE
    return Proof(
        ProofOutcome.UNSUPPORTED, f"the reference: {why}" if is_references else why, is_references=is_references
    )


def _parts(folder: Path, begin: ProofStart, designs: Designs) -> Iterator[list[str]]:
    """Yosys's scripts, and between them, in its process, the checks of what the first one made.

    Where the candidate's text names an X and Yosys makes a latch, it takes any value for the X, and the candidate would
    be right by it.
    """
    yield [*script.flatten(REFERENCE), *script.flatten(CANDIDATE)]
    sides: dict[str, Flat] = {}
    for name in designs:
        try:
            sides[name] = _read(folder, name)
        except Unprovable as error:
            return _end(folder, _unsupported(name, str(error)))
    gold, gate = sides[REFERENCE], sides[CANDIDATE]
    if gate.has_latch and any(has_unknown_literal(text) for text in _texts(designs[CANDIDATE])):
        return _end(folder, _unsupported(CANDIDATE, "latches beside the literal X"))
    difference = _ports(gate, gold)
    if difference:
        return _end(folder, Proof(ProofOutcome.PORTS, difference))
    for name, side in sides.items():
        tests = (events.x_test(text, designs[name][0].top) for text in _texts(designs[name]) if side.may_be_x)
        why = f"{side.open} is read and nothing drives it" if side.open else next(filter(None, tests), "")
        if why:
            return _end(folder, _unsupported(name, why))
    style, may_be_x = flat.style(gold, gate), gold.may_be_x or gate.may_be_x
    for name, (design, _) in designs.items() if style is flat.Style.FREE else ():
        why = events.late_data(design.text, design.top)
        if why:
            return _end(folder, _unsupported(name, why))
    for name in (REFERENCE, CANDIDATE) if may_be_x else ():
        flat.decide(folder / f"{name}.json", script.DECIDED)
    flat.add_state_port(folder / f"{REFERENCE}.json", folder / f"{REFERENCE}_state.json", gold, script.STATE)
    (folder / f"{MITER}.v").write_text(script.miter(gold, may_be_x, style, begin), encoding="utf-8")
    (folder / _STYLE).write_text(style, encoding="ascii")
    yield script.to_aiger(style, may_be_x)
    return None


def _texts(side: tuple[Design, str]) -> tuple[str, ...]:
    """A design's own text, and the one that Yosys is given, if that is another."""
    return tuple(dict.fromkeys((side[0].text, side[1])))


def _read(folder: Path, name: str) -> Flat:
    """The netlist that the script left. Raises Unprovable."""
    if script.CONFLICT in (folder / f"{name}.check").read_text(encoding="utf-8", errors="replace"):
        raise Unprovable("a signal with several drivers")
    return flat.read(folder / f"{name}.json")


def _end(folder: Path, proof: Proof) -> None:
    """Write for the caller why there is nothing to solve."""
    (folder / _ENDED).write_text(json.dumps([proof.outcome, proof.detail, proof.is_references]), encoding="utf-8")


def _ended(folder: Path) -> Proof | None:
    if not (folder / _ENDED).exists():
        return None
    outcome, detail, is_references = json.loads((folder / _ENDED).read_text(encoding="utf-8"))
    known = ProofOutcome(outcome) if outcome in (ProofOutcome.PORTS, ProofOutcome.UNSUPPORTED) else ProofOutcome.UNKNOWN
    return Proof(known, str(detail)[:300], is_references=bool(is_references))


def _stopped(folder: Path, ran: Ran) -> Proof:
    """A script's error, attributed to the design at which it happened."""
    outcome = ProofOutcome.TIMEOUT if ran.timed_out else ProofOutcome.UNSUPPORTED
    if not (folder / f"{REFERENCE}.json").exists():
        return Proof(outcome, f"the reference: {ran.error}", is_references=True)
    is_candidates = not (folder / f"{CANDIDATE}.json").exists()
    return Proof(outcome, ran.error if is_candidates else f"no common netlist: {ran.error}")


def _solved(folder: Path, begin: ProofStart, cpu_s: int) -> Proof:
    style = Style((folder / _STYLE).read_text(encoding="ascii"))
    solved = solver.solve(folder, cpu_s=cpu_s)
    if solved.differs == "ever":
        gold = flat.read(folder / f"{REFERENCE}.json")
        trace = Trace(
            style, gold, _steps(solved.trace, folder / f"{MITER}.map", gold, begin, style), begin.steps(style)
        )
        return Proof(ProofOutcome.UNKNOWN, f"a counterexample of {len(trace.steps)} steps ({style})", trace)
    if solved.differs == "timeout":
        return Proof(ProofOutcome.TIMEOUT, f"no proof within the limits ({style})")
    if solved.differs == "unknown":
        return Proof(ProofOutcome.UNKNOWN, f"neither a proof nor a counterexample ({style})")
    if not solved.is_defined:
        return Proof(ProofOutcome.UNKNOWN, "something of the reference was never seen defined", is_references=True)
    has_init = flat.read(folder / f"{REFERENCE}.json").has_init
    return Proof(ProofOutcome.PROVEN, f"for every input and state that can be reached ({style})", has_init=has_init)


def _ports(mine: Flat, theirs: Flat) -> str:
    """The first difference of two lists of ports, whatever their order, or ""."""
    own, wanted = ({port.name: port for port in side.ports} for side in (mine, theirs))
    for name in sorted(own.keys() | wanted.keys()):
        if own.get(name) != wanted.get(name):
            return f"port {name}: {_shown(own.get(name))}, the reference has {_shown(wanted.get(name))}"
    return ""


def _shown(port: flat.FlatPort | None) -> str:
    return "none" if port is None else f"an {'input' if port.is_input else 'output'} of {port.width} bits"


def _steps(lines: tuple[str, ...], names: Path, gold: Flat, begin: ProofStart, style: Style) -> Steps:
    """ABC's trace by the reference's inputs, with what the start fixes. The map has lines "input NUMBER BIT iN"."""
    places: dict[int, tuple[int, int]] = {}
    for line in names.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if len(words) == 4 and words[0] == "input" and words[3][1:].isdigit():
            places[int(words[1])] = (int(words[3][1:]), int(words[2]))
    inputs = [port for port in gold.ports if port.is_input]
    found: list[dict[str, str]] = []
    for number, line in enumerate(lines):
        bits = [["0"] * port.width for port in inputs]
        for place, (port, bit) in places.items():
            if place < len(line) and line[place] == "1":
                bits[port][-1 - bit] = "1"
        step = {port.name: "".join(values) for port, values in zip(inputs, bits, strict=True)}
        if number < begin.steps(style):
            fixed = {port.name: begin.value(port.name, port.width, number, style) for port in inputs}
            step = {name: fixed[name] or bits for name, bits in step.items()}
        found.append(step)
    return tuple(found)
