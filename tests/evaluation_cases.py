"""A benchmark small enough to read: an inverter, a 2-bit and, and one whose reference no simulator takes."""

from itertl.evaluation.benchmarks import Benchmark
from itertl.records import Problem

_TESTBENCH = """`timescale 1ns/1ps
module reference_module(input [1:0] a, output [1:0] y);
  {reference}
endmodule
module tb;
  reg [1:0] a = 0; wire [1:0] good, dut; integer errors = 0, clocks = 0;
  reference_module r(.a(a), .y(good));
  top_module t(.a(a), .y(dut));
  integer i;
  initial begin
    for (i = 0; i < 4; i = i + 1) begin
      a = i; #1;
      clocks = clocks + 1;
      if (good !== dut) errors = errors + 1;
    end
    $finish;
  end
  final $display("Mismatches: %1d in %1d samples", errors, clocks);
endmodule
"""
HEADER = "module top_module(\n  input [1:0] a,\n  output [1:0] y\n);\n"
INVERT = "assign y = ~a;\nendmodule\n"
DOUBLE = "assign y = a & {a[0], a[1]};\nendmodule\n"


def problem(task_id: str, body: str, *, testbench_body: str | None = None) -> Problem:
    reference = body.removesuffix("endmodule\n")
    return Problem.create(
        instruction=f"Build {task_id}.",
        header=HEADER,
        reference=HEADER + body,
        testbench=_TESTBENCH.replace("{reference}", testbench_body or reference),
        source="tests",
        upstream_id=task_id,
    )


def tiny(**changes: object) -> Benchmark:
    problems = (
        problem("invert", INVERT),
        problem("both", DOUBLE),
        problem("broken", "assign y = no_such_wire;\nendmodule\n", testbench_body="assign y = no_such_wire;"),
    )
    return Benchmark(name="tiny", version="1", problems=problems, **changes)  # type: ignore[arg-type]


WHOLE_INVERTER = HEADER + INVERT
