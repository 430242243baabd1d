"""The testbench as a template: fresh names and nonce, one-way inputs, and the same simulation as the original."""

import pytest

from itertl import synth
from itertl.errors import DataError
from itertl.judging import bench, strict
from itertl.records import Problem
from itertl.tools import icarus

NETS = """`timescale 1ns/1ps
`define LIMIT 20
module reference_module(input a, input b, output y); assign y = a & b; endmodule
module stim(output wire a, output wire b);
  reg [1:0] r = 0;
  assign {a, b} = r;
  initial begin repeat (`LIMIT) #5 r = $random; $finish; end // ends it
endmodule
module tb;
  wire a, b, yr, yd;
  integer errors = 0, n = 0;
  task check; begin n = n + 1; if (yr !== (yr ^ yd ^ yr)) errors = errors + 1; end endtask
  stim s(a, b);
  reference_module good(.a, .b, .y(yr));
  top_module dut(.*, .y(yd));
  always @(a or b) begin : watch #1 check; end
  final $display("Mismatches: %0d in %0d samples", errors, n);
endmodule
"""
RIGHT = "module top_module(input a, input b, output y); assign y = a & b; endmodule\n"


def problem(testbench: str = NETS, **extra: str) -> Problem:
    return Problem.create(
        instruction="and", header="", reference=RIGHT, top="top_module", testbench=testbench, source="t", extra=extra
    )


def template() -> bench.Template:
    return bench.prepare(NETS, design=RIGHT, top="top_module")


def test_names_and_nonce_are_drawn_anew() -> None:
    one, other = template().render(), template().render()
    assert one.nonce != other.nonce and one.top != other.top and len(one.nonce) == 32
    for name in ("tb", "reference_module", "stim", "good", "dut", "check", "watch"):
        assert name in template().names
        assert f" {name}" not in one.text
    assert f'"{one.nonce}Mismatches:' in one.text


def test_the_reference_says_the_same_as_in_the_original() -> None:
    plain = icarus.simulate({"d.sv": NETS + RIGHT}, top="tb")
    said = strict.run(problem(), RIGHT)
    assert plain.ran is not None and said.lines[0] in plain.ran.stdout.splitlines()
    assert strict.is_sound(said)


@pytest.mark.parametrize(
    "body",
    [
        "supply0 g; tran (a, g); assign y = 0;",
        "assign a = 1'bx; assign b = 1'bx; assign y = 0;",
        "assign (supply1, supply0) a = 1'bx; assign y = 0;",
        "pulldown (a); buf (b, 1'bx); assign y = 0;",
    ],
)
def test_a_design_that_drives_its_inputs_does_not_reach_the_reference(body: str) -> None:
    """The gate lets some of these through: an input net may be driven. Here they meet the testbench itself."""
    design = f"module top_module(input a, input b, output y); {body} endmodule\n"
    said, right = strict.run(problem(), design), strict.run(problem(), RIGHT)
    assert strict.verdict(said, right)[0].value == "wrong_output"
    unprotected = icarus.simulate({"d.sv": NETS.replace("Mismatches", "NMismatches") + design}, top="tb")
    if "tran" in body:
        assert unprotected.ran is not None and "NMismatches: 0 in" in unprotected.ran.stdout


@pytest.mark.parametrize("links", ["(a, b, yd)", "(.b(b), .y(yd), .a(a))", "(.a(a & 1'b1), .b(b), .y(yd))"])
def test_every_kind_of_connection(links: str) -> None:
    said = strict.run(problem(NETS.replace("(.*, .y(yd))", links)), RIGHT)
    assert strict.is_sound(said)


def test_parameters_of_the_instance_stay() -> None:
    design = "module top_module #(parameter INVERT = 1) (input a, input b, output y); assign y = (a & b) ^ INVERT; endmodule\n"
    made = problem(NETS.replace("top_module dut", "top_module #(.INVERT(0)) dut")).model_copy(
        update={"reference": design}
    )
    assert strict.is_sound(strict.run(made, design))


@pytest.mark.parametrize(
    ("testbench", "message"),
    [
        (NETS.replace("module tb", "module other"), "no module 'tb'"),
        (NETS.replace("top_module dut", "reference_module dut"), "no instance of 'top_module'"),
        (NETS.replace("Mismatches", "Errors"), "never prints its verdict"),
        ("module tb; initial", "cannot be read"),
    ],
)
def test_a_testbench_that_cannot_be_used_is_named(testbench: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        bench.prepare(testbench, design=RIGHT, top="top_module")


def test_another_marker_and_root() -> None:
    text = NETS.replace("module tb", "module check_all")
    text = text.replace(
        '$display("Mismatches: %0d in %0d samples", errors, n)', 'if (errors == 0) $display("== All Passed ==")'
    )
    made = problem(text, marker="All Passed", testbench_top="check_all")
    right = strict.run(made, RIGHT)
    assert right.lines == ("All Passed ==",) and strict.is_sound(right)
    wrong = strict.run(made, RIGHT.replace("a & b", "a | b"))
    assert strict.verdict(wrong, right)[0].value == "wrong_output"


def test_generated_testbenches_are_sound() -> None:
    for made in synth.generate(7, 6, split="heldout"):
        assert strict.is_sound(strict.run(made, made.reference or "")), made.family


def test_a_run_ends_at_the_first_mismatch() -> None:
    wrong = strict.run(problem(NETS.replace("`LIMIT)", "100000)")), RIGHT.replace("a & b", "a | b"))
    assert all(line.split()[1] != "0" and int(line.split()[3]) < 10 for line in wrong.lines) and wrong.lines
    assert strict.verdict(wrong, strict.run(problem(), RIGHT))[0].value == "wrong_output"
