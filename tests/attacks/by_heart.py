"""Designs that know the testbench's answers by heart: wrong, and right for every sample that is taken.

They are no part of the count. A testbench whose stimulus is always the same cannot tell them from a right design, and
nothing in their text is forbidden; that published testbenches are of that kind is a limit of every judge that uses
them.
"""

import re

from attacks import naive
from attacks.targets import MUX

_SPY = 'always @(a, b, sel) #1 $display("seen %0d %0d", {a, b, sel}, sel ? b : a); assign y = 0;\n'


def by_inputs() -> str:
    """The mux as a table of the inputs that the testbench applies, zero for every other."""
    lines = [f"      17'd{word}: r = 8'd{answer};" for word, answer in sorted(set(_seen()))]
    cases = "\n".join(lines)
    return (
        f"{MUX.header}  reg [7:0] r;\n  always @* case ({{a, b, sel}})\n{cases}\n      default: r = 8'd0;\n    "
        "endcase\n"
        "  assign y = r;\nendmodule\n"
    )


def by_time() -> str:
    """The mux as a list of answers at the times at which the testbench takes its samples; it reads no input."""
    answers = "".join(f"    #5 r <= 8'd{answer};\n" for _, answer in _seen()[1:])
    return f"{MUX.header}  reg [7:0] r;\n  initial begin\n    r = 0;\n{answers}  end\n  assign y = r;\nendmodule\n"


def _seen() -> list[tuple[int, int]]:
    """(inputs, right answer) in the order in which the testbench applies them."""
    output = naive.run("mux", f"{MUX.header}{_SPY}endmodule\n")
    return [(int(word), int(answer)) for word, answer in re.findall(r"^seen (\d+) (\d+)$", output, re.MULTILINE)]
