"""Sequences that lead a reference into each of its branches: cover queries to Yosys's solver.

The conditions of a flattened netlist are what its multiplexers select by. For each of them, true and false, the solver
is asked for inputs from a reset on that bring it about (base case of temporal induction, 24 cycles). The longest
answers are the rarest states. What it does not: memories of many words, several clocks, latches, or conditions that
take more cycles.
"""

import json
from pathlib import Path
from typing import Any

from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.scoring.equivalence.rewrite import TOP, for_yosys
from itertl.scoring.interface import Interface
from itertl.scoring.vectors.still import Cycle, read_cycles, resets_held, said
from itertl.tools import yosys

LIMITS = Limits(wall_s=12, cpu_s=4, memory_mb=2048, file_mb=64, proc=True)
_DEPTH, _SOLVE_S = 24, 1
_MOST_ASKED, _MOST_KEPT = 48, 16
_MODULE = "itertl_cover"
_FLATTEN = (
    "read_verilog -sv -noassert -noassume -norestrict -nodisplay design.v", f"hierarchy -check -top {TOP}", "proc",
    "flatten", "opt_expr", "opt_clean", "memory_map", "async2sync", "dffunmap", "opt_expr", "opt_clean",
    "write_json flat.json",
)  # fmt: skip


def sequences(text: str, interface: Interface) -> list[tuple[Cycle, ...]]:
    """Inputs, cycle by cycle, after which a condition of the reference holds (or does not); the longest first.
    ``text``: as the gate printed it. The same arguments give the same sequences, but for the solver's limit of time.
    Raises ToolMissing."""
    if len(interface.clocks) != 1 or interface.has_latch or not interface.has_state:
        return []
    try:
        design = for_yosys(text, interface.top)
    except ValueError:
        return []
    with sandbox.scratch() as folder:
        (folder / "design.v").write_bytes(design.encode("utf-8", "replace"))
        if yosys.passes(folder, [_FLATTEN], LIMITS).error:
            return []
        count = _with_conditions(folder, interface)
        asked = [(number, value) for number in range(count) for value in (0, 1)][:_MOST_ASKED]
        checks = [_check(interface, number, value) for number, value in asked]
        yosys.passes(folder, [("read_json cover.json", *checks)], LIMITS)
        answers = [said(folder / f"said{number}_{value}.txt") for number, value in asked]
    found: list[tuple[Cycle, ...]] = []
    for text in answers:
        cycles = tuple(dict(sorted(cycle.items())) for cycle in read_cycles(interface, text))
        found += [cycles] if len(cycles) > 1 and cycles not in found else []
    return sorted(found, key=len, reverse=True)[:_MOST_KEPT]


def _with_conditions(folder: Path, interface: Interface) -> int:
    """Write ``cover.json``: the flattened module under our own names, its conditions as one more output; how many there
    are."""
    [module] = json.loads((folder / "flat.json").read_text(encoding="utf-8", errors="replace"))["modules"].values()
    ports: dict[str, Any] = module["ports"]
    taken = {bit for port in ports.values() for bit in port["bits"]}
    muxes = [cell for cell in module["cells"].values() if cell["type"] in ("$mux", "$pmux")]
    selects = [bit for cell in muxes for bit in cell["connections"]["S"]]
    conditions = [bit for bit in dict.fromkeys(selects) if isinstance(bit, int) and bit not in taken]
    renamed = {f"i{n}": ports[port.name] for n, port in enumerate(interface.inputs)}
    renamed |= {f"o{n}": ports[port.name] for n, port in enumerate(interface.outputs)}
    renamed["c"] = {"direction": "output", "bits": conditions}
    begun = [net for net in module["netnames"].values() if "init" in net.get("attributes", {})]
    inits = [{"bits": net["bits"], "attributes": {"init": net["attributes"]["init"]}} for net in begun]
    content: dict[str, Any] = {
        "attributes": {"top": "1"}, "ports": renamed,
        "cells": {f"u{n}": cell for n, cell in enumerate(module["cells"].values())},
        "netnames": {f"n{n}": net for n, net in enumerate(inits)},
    }  # fmt: skip
    (folder / "cover.json").write_text(json.dumps({"modules": {_MODULE: content}}), encoding="utf-8")
    return len(conditions)


def _check(interface: Interface, number: int, value: int) -> str:
    asked = f"-tempinduct -tempinduct-baseonly -seq 1 -maxsteps {_DEPTH} {resets_held(interface)} -timeout {_SOLVE_S}"
    return f"tee -q -o said{number}_{value}.txt sat {asked} -prove c[{number}] 1'b{value} -show-inputs {_MODULE}"
