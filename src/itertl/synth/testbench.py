"""A self-checking testbench of the VerilogEval kind for a design: it holds the reference, drives both, compares.

The last line that it prints is ``Mismatches: A in B samples``. An X in the reference's output matches anything, an X of
the design under test only an X. Combinational designs get every input where there are at most 10 bits of them, and
random order besides, so that a latch shows; wider ones get corners, walking bits, the constants of the reference with
their neighbours, and random words. Clocked designs get a reset, then 24 runs of 64 cycles that differ in how often each
control is asserted; every other run has resets, some of them between two clock edges, which distinguish an asynchronous
reset from a synchronous one; the last six runs have none and leave rare controls alone, so that counters run far.

What it does not do: it proves nothing (a design that differs only on one 32-bit word may pass), and a design that
prints its own verdict is the judge's concern.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from itertl.records import content_hash
from itertl.synth.design import DesignSpec, PortSpec, bit_range

EXHAUSTIVE_BITS = 10
_MOST_LITERALS = 24


def testbench(design: DesignSpec) -> str:
    """The file's text, to be followed by a newline and the design under test, compiled with top ``tb``."""
    inputs = [p for p in design.ports if p.direction == "input"]
    outputs = [p for p in design.ports if p.direction == "output"]
    stimulus = _combinational(inputs) if design.clock is None else _clocked(design, inputs)
    declarations = _declarations(design, inputs, outputs)
    reference = replace(design, module="reference_module").reference
    for name, _ in design.given:  # the design under test brings modules of these names
        reference = re.sub(rf"\b{name}\b", f"reference_{name}", reference)
    return "\n".join([reference, declarations, *_functions(design, stimulus), stimulus, _report(outputs)])


def _declarations(design: DesignSpec, inputs: Sequence[PortSpec], outputs: Sequence[PortSpec]) -> str:
    """Signals are prefixed i_, ref_ and dut_, so that no port's name can clash with the testbench's own."""
    seed = int(content_hash([design.family, design.parameters, design.module], 7), 16)
    lines = ["module tb;"]
    lines += [f"  reg {bit_range(p.width)}i_{p.name};" for p in inputs]
    lines += [
        f"  wire {bit_range(p.width)}ref_{p.name}, dut_{p.name};\n  integer errors_{p.name} = 0;" for p in outputs
    ]
    lines += [f"  integer errors = 0, samples = 0, n, seed = {seed};"]
    for side, module in (("ref", "reference_module"), ("dut", design.module)):
        links = [f".{p.name}(i_{p.name})" for p in inputs] + [f".{p.name}({side}_{p.name})" for p in outputs]
        lines.append(f"  {module} the_{side} ({', '.join(links)});")
    lines.append(_check(outputs))
    return "\n".join(lines)


def _check(outputs: Sequence[PortSpec]) -> str:
    lines = ["  task check;", "    begin", "      samples = samples + 1;"]
    differs = [f"ref_{p.name} !== (ref_{p.name} ^ dut_{p.name} ^ ref_{p.name})" for p in outputs]
    lines.append(f"      if ({' || '.join(differs)}) errors = errors + 1;")
    lines += [
        f"      if ({test}) errors_{p.name} = errors_{p.name} + 1;" for p, test in zip(outputs, differs, strict=True)
    ]
    return "\n".join([*lines, "    end", "  endtask"])


def _literals(body: str) -> list[int]:
    """Constants of the reference, sorted; random words hit them and their neighbours often."""
    found = {0}
    for base, digits in re.findall(r"\d+'s?([bdh])([0-9a-fA-F_]+)", body):
        found.add(int(digits.replace("_", ""), {"b": 2, "d": 10, "h": 16}[base]))
    for digits in re.findall(r"(?<![\w'\[:.])\d+(?![\w':\]])", body):
        found.add(int(digits))
    return sorted(value for value in found if value < 1 << 64)[:_MOST_LITERALS]


_WORD = """\
  function [63:0] word(input integer unused);
    word = {$random(seed), $random(seed)};
  endfunction"""
_DRAW = """\
  function [63:0] draw(input integer width);
    begin
      case ({$random(seed)} % 12)
        0: draw = 0;
        1: draw = ~64'd0;
        2: draw = 64'd1 << ({$random(seed)} % width);
        3: draw = (64'd1 << ({$random(seed)} % width)) - 1;
        4: draw = word(0) & word(0) & word(0);
        5: draw = word(0) | word(0) | word(0);
        6: draw = last;
        7: draw = last + ({$random(seed)} % 3) - 1;
        8: draw = literal({$random(seed)} >> 1) + ({$random(seed)} % 3) - 1;
        default: draw = word(0);
      endcase
      last = draw;
    end
  endfunction"""
_CONTROL = """\
  function chance(input integer one_in);
    chance = {$random(seed)} % one_in == 0;
  endfunction
  function control(input integer one_in, input [1:0] how);
    case (how)
      0: control = chance(one_in);
      1: control = one_in == 2 ? !chance(16) : chance(one_in);
      2: control = chance(8 * one_in);
      3: control = one_in == 2 ? !chance(64) : chance(64 * one_in);
    endcase
  endfunction"""


def _functions(design: DesignSpec, stimulus: str) -> list[str]:
    """The functions that the stimulus calls, with those that they call."""
    parts = [_WORD]
    if "draw(" in stimulus:
        literals = _literals(design.body)
        cases = [f"      {n}: literal = 64'd{value};" for n, value in enumerate(literals[:-1])]
        parts += ["  reg [63:0] last = 0;", "  function [63:0] literal(input integer which);"]
        parts += [f"    case (which % {len(literals)})", *cases, f"      default: literal = 64'd{literals[-1]};"]
        parts += ["    endcase", "  endfunction", _DRAW]
    if "chance(" in stimulus or "control(" in stimulus:
        parts += ["  integer k, phase, cycle;", "  reg [1:0] mode;", _CONTROL]
    elif design.clock:
        parts.append("  integer k, phase, cycle;")
    return parts


def _drawn(port: PortSpec) -> str:
    """An expression for a fresh word of the port's width."""
    chunks = [64] * (port.width // 64) + ([port.width % 64] if port.width % 64 else [])
    if len(chunks) == 1:
        return f"draw({port.width})"
    return "{" + ", ".join(f"draw({width})" for width in chunks) + "}"


def _combinational(inputs: Sequence[PortSpec]) -> str:
    width = sum(p.width for p in inputs)
    everything = "{" + ", ".join(f"i_{p.name}" for p in inputs) + "}"
    sample = "begin #5 check; #5; end"
    lines = ["  initial begin"]
    if width <= EXHAUSTIVE_BITS:
        lines.append(f"    for (n = 0; n < {1 << width}; n = n + 1) begin {everything} = n; {sample} end")
        lines.append(f"    repeat (200) begin {everything} = word(0); {sample} end")
        return "\n".join(lines)
    for fill in ("0", "~0"):
        lines.append(f"    {everything} = {fill}; {sample}")
        for port in inputs:
            lines.append(
                f"    for (n = 0; n < {port.width}; n = n + 1) begin {everything} = {fill}; "
                f"i_{port.name}[n] = ~i_{port.name}[n]; {sample} end"
                if port.width > 1
                else f"    {everything} = {fill}; i_{port.name} = ~i_{port.name}; {sample}"
            )
    draws = " ".join(f"i_{p.name} = {'word(0)' if p.width == 1 else _drawn(p)};" for p in inputs)
    lines.append(f"    repeat (800) begin {draws} {sample} end")
    lines.append(f"    repeat (200) begin {' '.join(f'i_{p.name} = {_uniform(p)};' for p in inputs)} {sample} end")
    return "\n".join(lines)


def _uniform(port: PortSpec) -> str:
    return "word(0)" if port.width <= 64 else "{" + ", ".join(["word(0)"] * -(-port.width // 64)) + "}"


def _clocked(design: DesignSpec, inputs: Sequence[PortSpec]) -> str:
    """Inputs change while the clock is idle; samples are taken then, and again just after the active edge."""
    clock, idle = f"i_{design.clock}", "1" if design.edge == "negedge" else "0"
    reset = design.reset
    one_in = max(2, design.one_in.get(reset.name, 24)) if reset else 0
    others = [p for p in inputs if p.name != design.clock and (reset is None or p.name != reset.name)]
    on, off = ("0", "1") if reset and reset.active_low else ("1", "0")
    step = f"begin #1 check; #4 {clock} = ~{clock}; #1 check; #4 {clock} = ~{clock}; end"
    lines = ["  initial begin", f"    {clock} = {idle};", *(f"    i_{p.name} = 0;" for p in others)]
    if reset:
        lines += [f"    i_{reset.name} = {off}; #3 check;", f"    i_{reset.name} = {on};", f"    repeat (3) {step}"]
        lines += [f"    i_{reset.name} = {off};"]
    lines += ["    for (phase = 0; phase < 24; phase = phase + 1) begin", "      k = {$random(seed)};"]
    lines += ["      for (cycle = 0; cycle < 64; cycle = cycle + 1) begin"]
    driven = [f"        {_driven(port, position, design.one_in)}" for position, port in enumerate(others)]
    lines += driven
    if design.edge == "both":
        lines += [f"        begin #1 check; #4 {clock} = ~{clock}; #1 check; #4; end", *driven]
        step = f"begin #1 check; #4 {clock} = ~{clock}; #1 check; #4; end"
    if reset:
        asserted = f"(phase % 2 == 1 && phase < 18 && chance({one_in}))"
        lines.append(f"        i_{reset.name} = {asserted} ? 1'b{on} : 1'b{off};")
    lines.append(f"        {step}")
    if reset:
        lines.append(
            f"        if (phase % 2 == 1 && phase < 18 && chance({2 * one_in})) "
            f"begin i_{reset.name} = {on}; #1 check; i_{reset.name} = {off}; #1 check; end"
        )
    return "\n".join([*lines, "      end", "    end"])


def _driven(port: PortSpec, position: int, one_in: dict[str, int]) -> str:
    if port.width > 1:
        return f"i_{port.name} = {_drawn(port)};"
    often = one_in.get(port.name, 2)
    if often < 2:
        return f"i_{port.name} = 1;"
    return f"mode = phase < 18 ? k >> {2 * position % 30} : 3; i_{port.name} = control({often}, mode);"


def _report(outputs: Sequence[PortSpec]) -> str:
    lines = [f"    $display(\"Hint: Output '{p.name}' has %0d mismatches.\", errors_{p.name});" for p in outputs]
    lines += ['    $display("Mismatches: %0d in %0d samples", errors, samples);', "    $finish;", "  end", "endmodule"]
    return "\n".join(lines) + "\n"
