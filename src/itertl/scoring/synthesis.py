"""``synthesis``: does Yosys make hardware of the candidate, and is there any in it? 1, 0.5 or 0.

Stubs stop here: 0 for an output that depends on nothing, where the reference drives it, 0.5 for outputs that are all
constants where the reference's are not: a constant is right now and then, what nothing drives never. Blind to function
otherwise: outputs that follow the wrong input are hardware.
"""

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from itertl.judging import gate
from itertl.records import Score, Verdict
from itertl.sandbox import bounds, sandbox
from itertl.sandbox.sandbox import Limits
from itertl.scoring.equivalence.rewrite import TOP, for_yosys
from itertl.scoring.item import ScoreItem, ScoreMaker, is_plain_name
from itertl.scoring.lowering import lowered, readings
from itertl.tools import slang, yosys
from itertl.tools.yosys import Ran
from itertl.verilog.header import derive_top

REVISION = 3  # of the rules here: part of what a kept score depends on
LIMITS = Limits(wall_s=40, cpu_s=8, memory_mb=2048, file_mb=256, proc=True)
_SCRIPT = (
    "read_verilog -sv -noassert -noassume -norestrict -nodisplay design.v", f"hierarchy -check -top {TOP}", "proc",
    "flatten", "opt_expr", "opt_dff", "opt_expr", "opt_clean", "write_json design.json",
)  # fmt: skip
_NOT_READ = (  # what Yosys says of legal code that it does not know, and of its own limits
    "syntax error", "supported", "Don't know how to", "Can't resolve function name", "Can't resolve task name",
    "only allowed in constant functions", "of procedural for-loop is not constant",
    "Multiple edge sensitive events", "bad_alloc", "emory", "Failed to evaluate system function",
    "Failed to get a constant init value", "event on a signal that is not 1 bit wide", "ended with status -",
)  # fmt: skip

_METHOD = re.compile(r"\.\s*(?:next|prev|first|last|num)\b")


@dataclass(frozen=True, slots=True)
class Substance:
    """What outputs depend on, by name."""

    undriven: frozenset[str]  # outputs with a bit that nothing drives
    constant: frozenset[str]  # outputs that no input and no register reaches
    outputs: frozenset[str]


def version() -> str:
    """What a score depends on beside the item. Raises ToolMissing."""
    return f"{yosys.version()}, {slang.version()}, synthesis {REVISION}"


def score(item: ScoreItem) -> Score:
    """See the module. What Yosys cannot read though slang does, or not within its limits, is UNDECIDED, and so is what
    it does not make of the reference's own text. Raises ToolMissing."""
    result = ScoreMaker("synthesis", "yosys", yosys.version().split(" ")[1])
    top = item.top or (derive_top(item.reference) if item.reference is not None else derive_top(item.code))
    if top is None or not is_plain_name(top):
        return result.misnamed(top)
    found = gate.examine(item.code, top, with_variants=True)
    if isinstance(found, gate.Refusal):
        return result(0.0, found.verdict, found.detail)
    mine = substance(found.text, top)
    if isinstance(mine, Ran):
        why = "synthesis did not end within its limits" if mine.timed_out else mine.error
        if mine.timed_out or any(word in why for word in _NOT_READ):
            return result(None, Verdict.UNDECIDED, why)
        if item.reference is not None and isinstance(_of_reference(item.reference, top), Ran):
            return result(None, Verdict.UNDECIDED, f"nor does Yosys make hardware of the reference: {why}")
        return result(0.0, Verdict.ELABORATION_ERROR, why)
    asked = _of_reference(item.reference, top)
    value, why = _hollow(mine, asked)
    if why and _METHOD.search(found.text):  # without its parentheses a method of an enum is a net of its own to Yosys
        plain = lowered(found.text, top, to_hardware=True)
        other = substance(plain, top) if plain is not None else mine
        if not isinstance(other, Ran):
            value, why = _hollow(other, asked)
    return result(value, Verdict.ELABORATION_ERROR, why) if why else result(value, Verdict.PASSED)


def substance(text: str, top: str) -> Substance | Ran:
    """Of a text that the gate let through; or how Yosys ended without a netlist."""
    module = netlist(text, top)
    return module if isinstance(module, Ran) else _read(module)


def netlist(text: str, top: str) -> dict[str, Any] | Ran:
    """The flattened module as Yosys writes it (JSON), or how Yosys ended without writing it. Raises ToolMissing.

    What it cannot read is given to it as plain Verilog too, where it can be written so.
    """
    failures: list[Ran] = []
    for reading in readings(text, top):
        found = _netlist(reading, top)
        if not isinstance(found, Ran) or found.timed_out:
            return found
        failures.append(found)
    return failures[0]


def _netlist(text: str, top: str) -> dict[str, Any] | Ran:
    try:
        renamed = for_yosys(text, top)
    except ValueError as error:
        return Ran(str(error))
    with sandbox.scratch() as folder:
        (folder / "design.v").write_bytes(renamed.encode("utf-8", "replace"))
        ran = yosys.passes(folder, [_SCRIPT], LIMITS)
        written = folder / "design.json"
        if ran.error or not written.exists():
            return ran if ran.error else Ran("Yosys wrote no netlist")
        return json.loads(written.read_bytes())["modules"][TOP]


@functools.lru_cache(maxsize=256)
def _of_reference(reference: str | None, top: str) -> Substance | Ran | None:
    """How Yosys ended where it makes nothing of the reference; None where there is no reference to compare with."""
    with bounds.uncounted():
        found = gate.examine(reference, top) if reference is not None else None
        return None if found is None or isinstance(found, gate.Refusal) else substance(found.text, top)


def _hollow(mine: Substance, reference: Substance | Ran | None) -> tuple[float, str]:
    """The value, and why there is too little in it, or ""."""
    known = reference if isinstance(reference, Substance) else None
    undriven = mine.undriven - (known.undriven if known is not None else frozenset())
    if undriven:
        return 0.0, f"nothing drives {', '.join(sorted(undriven)[:8])}"
    alive = known is None or known.outputs - known.constant
    if mine.outputs and mine.constant == mine.outputs and alive:
        return 0.5, "every output is a constant"
    return 1.0, ""


def _read(module: dict[str, Any]) -> Substance:
    drivers: dict[Any, list[Any]] = {}  # bit -> bits of its cell's inputs
    sources = {bit for port in module["ports"].values() if port["direction"] != "output" for bit in port["bits"]}
    driven = set(sources)
    for kind, bits_in, bits_out in cells(module):
        driven.update(bits_out)
        for bit in bits_out:
            drivers.setdefault(bit, []).extend(bits_in)
        sources.update(bits_out if any(word in kind for word in ("ff", "latch", "mem", "sr")) else [])
    outputs = {name: port["bits"] for name, port in module["ports"].items() if port["direction"] == "output"}
    bad = {
        bit for bits in outputs.values() for bit in bits if bit == "x" or (isinstance(bit, int) and bit not in driven)
    }
    return Substance(
        undriven=frozenset(name for name, bits in outputs.items() if not bad.isdisjoint(bits)),
        constant=frozenset(name for name, bits in outputs.items() if not _reaches(bits, drivers, sources)),
        outputs=frozenset(outputs),
    )


def cells(module: dict[str, Any]) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """(type, bits read, bits driven) of each cell."""
    for cell in module["cells"].values():
        sides: dict[bool, list[Any]] = {True: [], False: []}
        for port, bits in cell["connections"].items():
            sides[cell.get("port_directions", {}).get(port) == "input"] += bits
        yield cell["type"], sides[True], sides[False]


def _reaches(bits: list[Any], drivers: dict[Any, list[Any]], sources: set[Any]) -> bool:
    """Whether some input or register lies behind these bits."""
    todo, seen = [bit for bit in bits if isinstance(bit, int)], set[Any]()
    while todo:
        bit = todo.pop()
        if bit in sources:
            return True
        if bit not in seen:
            seen.add(bit)
            todo += [other for other in drivers.get(bit, ()) if isinstance(other, int)]
    return False
