"""Benchmarks made by the bundled generator: designs of families, or with parameters, that training never draws.

Each is one fixed draw, whatever the run's seed, so that runs can be compared. ``arithmetic`` is 15 adders, multipliers
and multiply-accumulate units, as search over tokens was first measured on (DeLorenzo et al., 2024, arXiv:2402.03289):
that paper's kinds and widths, and designs, words and testbenches of our own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from itertl.errors import UsageError
from itertl.evaluation.benchmarks import Benchmark
from itertl.records import Problem
from itertl.work.seeds import derive_seed

if TYPE_CHECKING:
    from itertl.synth.design import DesignSpec

DEFAULT_COUNT = 60
SHORT_CHARS = 600  # instruction and reference of a short problem


def heldout_short(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """Held-out problems of at most ``SHORT_CHARS`` characters, instruction and reference together: for small models."""
    from itertl.problems.load import length

    count = limit or DEFAULT_COUNT
    pool = _draw("synth-heldout-short", "heldout", data, limit=6 * count, seed=seed)
    return replace(pool, problems=tuple(p for p in pool.problems if length(p) <= SHORT_CHARS)[:count])


def _draw(
    name: str, split: str, data: Path | None, *, limit: int | None = None, seed: int = 0, families: Sequence[str] = ()
) -> Benchmark:
    from itertl import synth

    _refuse(name, data)
    drawn = synth.generate(derive_seed(seed, "benchmark", split), limit or DEFAULT_COUNT, families, split)
    named = tuple(p if p.upstream_id else p.model_copy(update={"upstream_id": p.id}) for p in drawn)
    return Benchmark(name=name, version="1" if seed == 0 else f"1-seed{seed}", problems=named)


heldout = partial(_draw, "synth-heldout", "heldout")  # by family and by parameter, mixed
heldout_family = partial(_draw, "synth-heldout-family", "heldout-family")  # families that training never sees
# known families with parameters that training never sees
heldout_parameter = partial(_draw, "synth-heldout-parameter", "heldout-parameter")

# families of a line or two, without a register: what a model of 135M parameters can learn in minutes
BASIC_FAMILIES = (
    "logic_gate", "bitwise_op", "parity", "mask_constant", "sum_of_inputs", "adder", "subtractor", "extend",
    "match_constant", "in_range", "gate_bank", "modulo_constant",
)  # fmt: skip
# known families of the simplest kind, with parameters that training never sees
heldout_basic = partial(_draw, "synth-heldout-basic", "heldout-parameter", families=BASIC_FAMILIES)

_ADDER_WIDTHS = (4, 8, 16, 32, 64)
_PRODUCT_WIDTHS = (4, 8, 16, 24, 32)  # a product of 64 bits takes synthesis most of a minute


def arithmetic(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """15 problems, the same whatever the seed."""
    del seed
    _refuse("arithmetic", data)
    problems = tuple(_problem(design) for design in _arithmetic())
    return Benchmark(name="arithmetic", version="1", problems=problems[:limit])


def _refuse(name: str, data: Path | None) -> None:
    if data is not None:
        raise UsageError(
            f"benchmark {name} is generated and reads no data; leave out {data}, or name by --benchmark the one that "
            "it belongs to"
        )


def _problem(design: "DesignSpec") -> Problem:
    from itertl.synth.rendering import LICENCE
    from itertl.synth.testbench import testbench

    (words,) = design.descriptions
    ports = ", ".join(f"{port.direction} {port.type}{port.name}" for port in design.ports)
    return Problem.create(
        instruction=f"Write a synthesizable Verilog module named {design.module}. {words} Ports: {ports}.",
        header=design.header, reference=design.reference, top=design.module, testbench=testbench(design),
        source="arithmetic", licence=LICENCE, upstream_id=design.module, extra={"parameters": dict(design.parameters)},
    )  # fmt: skip


def _arithmetic() -> "Iterator[DesignSpec]":
    from itertl.synth.design import DesignSpec, PortSpec, ResetSpec

    def design(kind: str, width: int, results: Sequence[PortSpec], words: str, body: str) -> DesignSpec:
        """A combinational one of two numbers."""
        ports = (PortSpec("a", "input", width), PortSpec("b", "input", width), *results)
        return DesignSpec({"width": width}, f"{kind}_{width}", ports, body, (words,), family="arithmetic")

    for width in _ADDER_WIDTHS:
        ports = PortSpec("cin", "input"), PortSpec("sum", "output", width), PortSpec("cout", "output")
        words = f"It adds the {width}-bit unsigned numbers a and b and the carry cin: sum is the low {width} bits of "
        words += "the result, cout the bit above them."
        yield design("adder", width, ports, words, "  assign {cout, sum} = a + b + cin;\n")
    for width in _PRODUCT_WIDTHS:
        words = f"It is combinational: p is the whole {2 * width}-bit product of the {width}-bit unsigned numbers a "
        yield design(
            "multiplier", width, [PortSpec("p", "output", 2 * width)], words + "and b.", "  assign p = a * b;\n"
        )
    for width in _PRODUCT_WIDTHS:
        words = "It multiplies and accumulates. On each rising edge of clk: where rst is 1, acc becomes 0; else where "
        words += f"en is 1, acc becomes acc plus the product of the {width}-bit unsigned numbers a and b, modulo "
        body = "  always @(posedge clk)\n    if (rst) acc <= 0;\n    else if (en) acc <= acc + a * b;\n"
        made = design("mac", width, [PortSpec("acc", "output", 2 * width, reg=True)], f"{words}2^{2 * width}.", body)
        controls = tuple(PortSpec(name, "input") for name in ("clk", "rst", "en"))
        yield replace(made, ports=(*controls, *made.ports), clock="clk", reset=ResetSpec("rst"))
