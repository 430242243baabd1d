"""The self-test finds what is wrong with a benchmark: a broken reference, and a testbench without teeth."""

import dataclasses
import io
import json
import re

import pytest
from rich.console import Console

from evaluation_cases import DOUBLE, HEADER, INVERT, problem, tiny
from itertl.evaluation import errata
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.fingerprint import PROBES, fingerprint
from itertl.evaluation.self_test import MutantCounts, emptied, self_test
from itertl.evaluation.terminal import show_self_test
from itertl.records import Problem
from itertl.tools import icarus
from itertl.tools.icarus import Simulation


def test_broken_reference_is_found_and_sound_problems_pass() -> None:
    found = self_test(tiny())
    assert found.checked == 3
    assert list(found.failures) == list(found.broken) == ["broken"] and found.toothless == found.known == {}
    assert "no_such_wire" in found.failures["broken"]
    assert set(found.mutants) == {"invert", "both"}
    assert all(one.tried >= one.ran >= one.caught >= 1 for one in found.mutants.values())
    printed = io.StringIO()
    Console(file=printed, width=300).print(show_self_test(found, fingerprint()))
    counts = {"invert": MutantCounts(4, 4, 3), "both": MutantCounts(2, 2, 2), "all": MutantCounts(4, 3, 3)}
    Console(file=printed, width=300).print(
        show_self_test(dataclasses.replace(found, mutants={**counts, "bare": MutantCounts(0, 0, 0)}), fingerprint())
    )
    assert re.search(r"^mutants +\d+ tried, \d+ ran, \d+ of them caught: ", printed.getvalue(), re.M)
    assert "10 tried, 9 ran, 8 of them caught: 4 each of 2 designs (invert, all); 2 of 1 design (both); none of 1 " in (
        printed.getvalue()
    )


def test_errata_and_missing_references_are_distinguished() -> None:
    without = problem("bare", DOUBLE).model_copy(update={"reference": None})
    benchmark = Benchmark(
        name="b", version="1", problems=(problem("invert", INVERT), without), errata={"invert": "known"}
    )
    found = self_test(benchmark)
    assert (found.checked, found.without_reference, found.failures) == (0, ("bare",), {})
    assert found.errata == {"invert": "known"}


def test_a_reference_that_needs_another_simulator_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        errata, "ERRATA", {"tiny": {"broken": errata.Erratum(errata.Kind.SIMULATOR, "needs Icarus 12")}}
    )
    found = self_test(tiny())
    assert found.broken == {} and found.known["broken"].startswith("needs Icarus 12 (") and "broken" in found.failures
    monkeypatch.setattr(errata, "ERRATA", {"tiny": {"broken": errata.Erratum(errata.Kind.WEAK, "has no teeth")}})
    assert list(self_test(tiny()).broken) == ["broken"]


def test_a_testbench_without_teeth_is_found() -> None:
    sound = problem("invert", INVERT)
    assert sound.testbench is not None
    blind = sound.model_copy(update={"testbench": sound.testbench.replace("good !== dut", "0")})
    dull = sound.model_copy(
        update={"upstream_id": "dull", "testbench": sound.testbench.replace("good !== dut", "dut === 2'bzz")}
    )
    found = self_test(Benchmark(name="b", version="1", problems=(blind, dull)))
    assert found.failures["invert"] == "a module without a body passes"
    assert "mutants of its reference pass, and none is caught" in found.failures["dull"]
    assert found.broken == {} and set(found.toothless) == {"invert", "dull"}
    assert found.simulator == icarus.version() and found.sandbox and found.rule == "strict"
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_emptied_keeps_the_header() -> None:
    assert emptied(problem("invert", INVERT)) == HEADER + "\nendmodule\n"


OLD_STYLE = """`timescale 1ns/1ps
`define WIDTH \\
  4
module helper(input a, output b); assign b = a; endmodule
module counter(clk, q, last); // input x;
  parameter MAX = 9;
  input clk; output reg [`WIDTH-1:0] q;
  output last;
  function [3:0] next; input [3:0] v; next = v + 1; endfunction
  wire w;
  helper h(clk, w);
  initial q = 0;
  always @(posedge clk) q <= next(q);
  assign last = q == MAX;
endmodule
"""


def without_header(reference: str, top: str | None = None) -> Problem:
    return Problem.create(instruction="Count.", reference=reference, top=top, source="tests", upstream_id="c")


@pytest.mark.parametrize("top", [None, "counter"])
def test_emptied_of_a_reference_without_header_keeps_what_declares_ports(top: str | None) -> None:
    text = emptied(without_header(OLD_STYLE, top))
    assert text == (
        "`timescale 1ns/1ps\n`define WIDTH \\\n  4\nmodule counter(clk, q, last);\nparameter MAX = 9;\ninput clk;\n"
        "output reg [`WIDTH-1:0] q;\noutput last;\n\nendmodule\n"
    )
    assert icarus.simulate({"d.v": text}, run=False).compiled.returncode == 0


def test_emptied_of_other_shapes_compiles() -> None:
    for reference in (
        "module m;\ninitial $display(1);\nendmodule\n",
        "module m #(parameter W = 2)(input [W-1:0] a, output reg [W-1:0] y);\nalways @* y = a;\nendmodule",
        HEADER + INVERT,
    ):
        text = emptied(without_header(reference))
        assert "assign" not in text and "always" not in text and "initial" not in text
        assert icarus.simulate({"d.v": text}, run=False).compiled.returncode == 0, text
    assert emptied(without_header("no code")) == "\nendmodule\n"


def test_fingerprint_is_stable_and_tells_builds_apart() -> None:
    first = fingerprint()
    assert first == fingerprint() and first.version == icarus.version() and len(first.hash) == 12
    assert set(first.answers) == set(PROBES) and first.answers["signed shift"] == "11111100 01111100"

    def another_build(sources: dict[str, str], *, top: str) -> Simulation:
        sources = {name: text.replace(">>> 1, $unsigned", ">> 1, $unsigned") for name, text in sources.items()}
        return icarus.simulate(sources, top=top)

    other = fingerprint(another_build)
    assert other.hash != first.hash and other.version == first.version
    assert {name for name in PROBES if other.answers[name] != first.answers[name]} == {"signed shift"}
