"""Outputs of a reference that never move in the stimulus: what would move them, or that nothing can.

Agreement on an output that stays as it is proves nothing: a lock that never opens agrees with one that nobody opened.
So for each such output Yosys' solver is asked for inputs after which it is something else (temporal induction from a
reset: base case and step). What it answers is played, with variants in which one cycle differs; where it proves that
there are none, the output is a constant, and staying as it is all there is to see.

What it does not: look at single bits of an output that moves, or go beyond ``_DEPTH`` cycles. A design that Yosys does
not read, or with several clocks or latches, has what the words of ``stimulus`` show and no more.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.scoring.equivalence.rewrite import TOP, for_yosys
from itertl.scoring.interface import Interface
from itertl.scoring.lowering import readings
from itertl.scoring.vectors.clocked import InputDriver
from itertl.scoring.vectors.moves import moves, sample
from itertl.scoring.vectors.stimulus import Inputs
from itertl.scoring.vectors.words import Hints
from itertl.tools import yosys

LIMITS = Limits(wall_s=20, cpu_s=20, memory_mb=2048, file_mb=64, proc=True)
MOST_OUTPUTS = 4  # of one reference that are searched for
_DEPTH = 32  # cycles
_SOLVE_S = 4  # for one output
_VARIANTS = 96
_WRAPPER = "itertl_wake"
_PREPARE = (
    "read_verilog -sv -noassert -noassume -norestrict -nodisplay design.v wrapper.v",
    f"hierarchy -check -top {_WRAPPER}", "proc", "flatten", "opt_expr", "opt_clean", "memory_map", "async2sync",
    "dffunmap", "opt_expr", "opt_clean",
)  # fmt: skip
_PROVEN = re.compile(r"Induction step proven: SUCCESS|SAT proof finished - no model found: SUCCESS")
_ROW = re.compile(r"^ +(\d+) \\i(\d+) .* ([01]+)$", re.MULTILINE)

Cycle = dict[str, int]  # input -> its value; without the clocks


@dataclass(frozen=True, slots=True)
class Waking:
    """What the solver says of one output: the inputs, cycle by cycle, that move it; or that it ``is_constant``; or
    neither."""

    cycles: tuple[Cycle, ...] = ()
    is_constant: bool = False


def still_outputs(interface: Interface, outputs: Sequence[str], is_compared: Sequence[bool]) -> dict[str, str]:
    """Output -> its bits throughout, for those of which no bit rises or falls in the samples that are compared."""
    kept = [text for text, counts in zip(outputs, is_compared, strict=True) if counts]
    moved = moves(sample(text) for text in dict.fromkeys(kept)) if kept else None
    found: dict[str, str] = {}
    at = 0
    for port in interface.outputs:
        mask = ((1 << port.width) - 1) << at
        at += port.width
        if moved is not None and not (moved.rises | moved.falls) & mask:
            samples = (text[len(text) - at : len(text) - at + port.width] for text in kept)
            found[port.name] = next((bits for bits in samples if set(bits) <= {"0", "1"}), "")
    return found


def search(text: str, interface: Interface, still: dict[str, str]) -> dict[str, Waking]:
    """What moves each output of ``still`` (name -> its bits, "" where they are never known). Raises ToolMissing."""
    asked = [name for name, bits in still.items() if bits][:MOST_OUTPUTS]
    if not asked:
        return {}
    checks = [_check(interface, number, still[name]) for number, name in enumerate(asked)]
    answers: list[str] = []
    for reading in readings(text, interface.top):
        try:
            design = for_yosys(reading, interface.top)
        except ValueError:
            return {}
        with sandbox.scratch() as folder:
            (folder / "design.v").write_bytes(design.encode("utf-8", "replace"))
            (folder / "wrapper.v").write_text(_wrapper(interface, asked), encoding="utf-8")
            ran = yosys.passes(folder, [(*_PREPARE, *checks)], LIMITS)  # one that stops it leaves what was said before
            answers = [said(folder / f"said{number}.txt") for number in range(len(asked))]
        if any(answers) or not ran.error or ran.timed_out:
            break
    is_plain = len(interface.clocks) <= 1 and not interface.has_latch
    return {
        name: Waking(is_constant=is_plain) if _PROVEN.search(words) else Waking(read_cycles(interface, words))
        for name, words in zip(asked, answers, strict=True)
    }


def play(inputs: Inputs, interface: Interface, known: Hints, cycles: Sequence[Cycle], most: int = _VARIANTS) -> None:
    """The cycles, what may follow, and variants: without one of the cycles, with another word before it, with a bit of
    its word turned."""
    driver = InputDriver(inputs, interface, known)
    rng, data = inputs.rng, [name for name in cycles[0] if name not in {reset.name for reset in interface.resets}]
    plans = [list(cycles), list(cycles)]
    for at, cycle in enumerate(cycles):
        plans.append([*cycles[:at], *cycles[at + 1 :]])
        if data:
            name = max(rng.sample(data, len(data)), key=lambda name: inputs.ports[name].width)
            turned = [{**cycle, name: cycle[name] ^ 1 << bit} for bit in range(inputs.ports[name].width)]
            plans.append([*cycles[:at], rng.choice(turned), *cycles[at:]])
            plans += [[*cycles[:at], other, *cycles[at + 1 :]] for other in turned]
    if len(plans) > most:
        plans = [*plans[:2], *rng.sample(plans[2:], most - 2)]
    for plan in [*plans, list(cycles)]:
        for cycle in plan:
            driver.play(cycle)
        for _ in range(3):
            for name in data:
                inputs.draw(name)
            driver.play({name: inputs.values[name] for name in data})


def said(path: Path) -> str:
    """What a command left in a file, "" where it did not get that far."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _wrapper(interface: Interface, asked: Sequence[str]) -> str:
    """The design under our own names: a script never holds a name of the design's."""
    inputs = [f"input [{port.width - 1}:0] i{n}" for n, port in enumerate(interface.inputs)]
    widths = {port.name: port.width for port in interface.outputs}
    outputs = [f"output [{widths[name] - 1}:0] o{n}" for n, name in enumerate(asked)]
    links = [f".\\{port.name} (i{n})" for n, port in enumerate(interface.inputs)]
    links += [f".\\{name} (o{n})" for n, name in enumerate(asked)]
    return f"module {_WRAPPER}({', '.join([*inputs, *outputs])});\n  {TOP} u ({', '.join(links)});\nendmodule\n"


def resets_held(interface: Interface) -> str:
    """Options of ``sat`` that assert the resets in the first cycle; inputs are called i0, i1 …."""
    places = {port.name: n for n, port in enumerate(interface.inputs)}
    return " ".join(f"-set-at 1 i{places[reset.name]} {int(reset.is_active_high)}" for reset in interface.resets)


def _check(interface: Interface, number: int, bits: str) -> str:
    """The command that looks for inputs by which output ``number`` is not ``bits``; resets are asserted in the first
    cycle."""
    depth = f"-seq 1 -maxsteps {_DEPTH} {resets_held(interface)}" if interface.has_state else "-seq 0 -maxsteps 1"
    proved = f"-prove o{number} {len(bits)}'b{bits} -show-inputs {_WRAPPER}"
    return f"tee -q -o said{number}.txt sat -tempinduct {depth} -timeout {_SOLVE_S} {proved}"


def read_cycles(interface: Interface, said: str) -> tuple[Cycle, ...]:
    """The inputs of the model that the solver printed, cycle by cycle; none where it printed none.

    Inputs are called i0, i1 ….
    """
    ports, clocks = interface.inputs, {clock.name for clock in interface.clocks}
    cycles: dict[int, Cycle] = {}
    for time, number, bits in _ROW.findall(said):
        port = ports[int(number)]
        if port.name not in clocks:
            cycles.setdefault(int(time), {})[port.name] = int(bits, 2)
    return tuple(cycles[time] for time in sorted(cycles))
