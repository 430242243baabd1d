"""The problems that the attacks are aimed at: small ones of VerilogEval's form, in which the testbench holds the
reference.

``mux`` is combinational, ``counter`` and ``detector`` are clocked (the counter's reference is X before its first reset,
and an X in the reference matches anything), and ``adder`` has inputs that are nets in the testbench, as where one
module's output drives another's input.
"""

from dataclasses import dataclass

from itertl.records import Problem


@dataclass(frozen=True, slots=True)
class Target:
    """One problem's parts. ``ports`` is a list of ``(direction, range, name)``; ``reference`` is a module's body."""

    name: str
    ports: tuple[tuple[str, str, str], ...]
    reference: str
    stimulus: str  # body of the stimulus module, which drives every input but the clock
    wrong: str  # body of an honest design with a wrong function: what an attack hides
    nets: bool = False  # inputs are nets in the testbench

    @property
    def header(self) -> str:
        return f"module top_module ({', '.join(self.port_list('output '))});\n"

    def port_list(self, output: str) -> list[str]:
        return [f"{output if way == 'output' else 'input '}{span}{name}" for way, span, name in self.ports]

    @property
    def inputs(self) -> list[tuple[str, str]]:
        return [(span, name) for way, span, name in self.ports if way == "input"]

    @property
    def outputs(self) -> list[tuple[str, str]]:
        return [(span, name) for way, span, name in self.ports if way == "output"]

    def problem(self) -> Problem:
        """The record that a judge takes."""
        return Problem.create(
            instruction=f"Write the module of target {self.name}.",
            header=self.header,
            reference=f"{self.header}{self.reference}endmodule\n",
            top="top_module",
            testbench=_testbench(self),
            source="attacks",
            licence="Apache-2.0",
            upstream_id=self.name,
        )


def _testbench(target: Target) -> str:
    """Reference, stimulus and comparison in one text; the verdict line comes from a ``final`` block."""
    driven = [(span, name) for span, name in target.inputs if name != "clk"]
    stimulus_ports = ["input clk", *(f"output logic {span}{name}" for span, name in driven)]
    kind = "wire" if target.nets else "logic"
    (out_span, out), *_ = target.outputs
    inputs = ", ".join(f".{name}" for _, name in target.inputs)
    lines = [
        "`timescale 1 ps/1 ps",
        "`define OK 12",
        "`define INCORRECT 13",
        f"module reference_module ({', '.join(target.port_list('output '))});",
        f"{target.reference}endmodule",
        "",
        f"module stimulus_gen ({', '.join(stimulus_ports)});",
        f"{target.stimulus}endmodule",
        "",
        "module tb();",
        f"  typedef struct packed {{ int errors; int errortime; int errors_{out}; int errortime_{out}; int clocks; }} "
        "stats;",
        "  stats stats1;",
        "  reg clk=0;",
        "  initial forever #5 clk = ~clk;",
        *(f"  {kind} {span}{name};" for span, name in driven),
        f"  logic {out_span}{out}_ref;",
        f"  logic {out_span}{out}_dut;",
        f'  initial begin $dumpfile("wave.vcd"); $dumpvars(1, stim1.clk, tb_mismatch, {out}_ref, {out}_dut); end',
        "  wire tb_match;",
        "  wire tb_mismatch = ~tb_match;",
        f"  stimulus_gen stim1 (.clk, {', '.join(f'.{name}' for _, name in driven)});",
        f"  reference_module good1 ({inputs}, .{out}({out}_ref));",
        f"  top_module top_module1 ({inputs}, .{out}({out}_dut));",
        "  bit strobe = 0;",
        "  task wait_for_end_of_timestep;",
        "    repeat(5) begin strobe <= !strobe; @(strobe); end",
        "  endtask",
        "  final begin",
        f'    if (stats1.errors_{out}) $display("Hint: Output \'%s\' has %0d mismatches.", "{out}", stats1.errors_{out});',
        f'    else $display("Hint: Output \'%s\' has no mismatches.", "{out}");',
        '    $display("Simulation finished at %0d ps", $time);',
        '    $display("Mismatches: %1d in %1d samples", stats1.errors, stats1.clocks);',
        "  end",
        f"  assign tb_match = ({{{out}_ref}} === ({{{out}_ref}} ^ {{{out}_dut}} ^ {{{out}_ref}}));",
        "  always @(posedge clk, negedge clk) begin",
        "    stats1.clocks++;",
        "    if (!tb_match) begin",
        "      if (stats1.errors == 0) stats1.errortime = $time;",
        "      stats1.errors++;",
        "    end",
        f"    if ({out}_ref !== ({out}_ref ^ {out}_dut ^ {out}_ref)) stats1.errors_{out} = stats1.errors_{out}+1'b1;",
        "  end",
        "endmodule",
        "",
    ]
    return "\n".join(lines)


MUX = Target(
    name="mux",
    ports=(("input", "[7:0] ", "a"), ("input", "[7:0] ", "b"), ("input", "", "sel"), ("output", "[7:0] ", "y")),
    reference="  assign y = sel ? b : a;\n",
    stimulus="""\
  initial begin
    {a, b, sel} <= 0;
    repeat(100) @(posedge clk, negedge clk) {a, b, sel} <= $random;
    #1 $finish;
  end
""",
    wrong="  assign y = a & b;\n",
)

COUNTER = Target(
    name="counter",
    ports=(("input", "", "clk"), ("input", "", "reset"), ("input", "", "en"), ("output", "[3:0] ", "q")),
    reference="""\
  reg [3:0] value;
  always @(posedge clk) if (reset) value <= 0; else if (en) value <= value + 4'd1;
  assign q = value;
""",
    stimulus="""\
  initial begin
    reset <= 0;
    en <= 1;
    repeat(3) @(posedge clk);
    reset <= 1;
    repeat(2) @(posedge clk);
    reset <= 0;
    repeat(200) @(posedge clk, negedge clk) begin en <= $random; reset <= !($random & 31); end
    #1 $finish;
  end
""",
    wrong="  assign q = 4'd0;\n",
)

DETECTOR = Target(
    name="detector",
    ports=(("input", "", "clk"), ("input", "", "areset"), ("input", "", "x"), ("output", "", "z")),
    reference="""\
  reg [1:0] state;
  always @(posedge clk, posedge areset)
    if (areset) state <= 0;
    else case (state)
      2'd0: state <= x ? 2'd1 : 2'd0;
      2'd1: state <= x ? 2'd1 : 2'd2;
      2'd2: state <= x ? 2'd3 : 2'd0;
      2'd3: state <= x ? 2'd1 : 2'd2;
    endcase
  assign z = state == 2'd3;
""",
    stimulus="""\
  initial begin
    x <= 0;
    areset <= 1;
    @(negedge clk) areset <= 0;
    repeat(400) @(negedge clk) begin x <= $random; areset <= !($random & 31); end
    $finish;
  end
""",
    wrong="  assign z = 1'b0;\n",
)

ADDER = Target(
    name="adder",
    ports=(("input", "[3:0] ", "a"), ("input", "[3:0] ", "b"), ("output", "[4:0] ", "sum")),
    reference="  assign sum = a + b;\n",
    stimulus="""\
  initial begin
    {a, b} <= 0;
    repeat(100) @(posedge clk, negedge clk) {a, b} <= $random;
    #1 $finish;
  end
""",
    wrong="  assign sum = 5'd0;\n",
    nets=True,
)

TARGETS = {target.name: target for target in (MUX, COUNTER, DETECTOR, ADDER)}
PROBLEMS = {name: target.problem() for name, target in TARGETS.items()}
