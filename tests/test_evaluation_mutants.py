"""The self-test finds what is wrong with a benchmark: a broken reference, and a testbench without teeth."""

from evaluation_cases import DOUBLE, HEADER, INVERT, problem, tiny
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.mutants import emptied, self_test


def test_broken_reference_is_found_and_sound_problems_pass() -> None:
    found = self_test(tiny())
    assert found.checked == 3
    assert list(found.failures) == ["broken"]
    assert "no_such_wire" in found.failures["broken"]


def test_errata_and_missing_references_are_told_apart() -> None:
    without = problem("bare", DOUBLE).model_copy(update={"reference": None})
    benchmark = Benchmark(name="b", version="1", problems=(problem("invert", INVERT), without), errata={"invert": "known"})
    found = self_test(benchmark)
    assert (found.checked, found.without_reference, found.failures) == (0, ("bare",), {})


def test_a_testbench_without_teeth_is_found() -> None:
    sound = problem("invert", INVERT)
    assert sound.testbench is not None
    blind = sound.model_copy(update={"testbench": sound.testbench.replace("good !== dut", "0")})
    dull = sound.model_copy(update={"upstream_id": "dull", "testbench": sound.testbench.replace("good !== dut", "dut === 2'bzz")})
    found = self_test(Benchmark(name="b", version="1", problems=(blind, dull)))
    assert found.failures["invert"] == "a module without a body passes"
    assert "mutants of its reference pass, and none is caught" in found.failures["dull"]


def test_emptied_keeps_the_header() -> None:
    assert emptied(problem("invert", INVERT)) == HEADER + "\nendmodule\n"
