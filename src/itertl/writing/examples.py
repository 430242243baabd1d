"""Worked examples that stand in a teacher's prompts: small modules of our own with their exercise at two levels.

Two of them are shown at a time, others to each question, so that a weak teacher does not hold on to one. An answer that
repeats one counts as a duplicate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from itertl.verilog.header import derive_header


@dataclass(frozen=True, slots=True)
class Example:
    """``detailed`` is an exercise by itself; ``high_level`` says what the module is for."""

    topic: str
    code: str
    high_level: str
    detailed: str

    @property
    def header(self) -> str:
        return derive_header(self.code)


EXAMPLES = (
    Example(
        "a trigger that fires once",
        """module pulse_gate(
    input clk,
    input arm,
    input trig,
    output reg fire
);
    reg armed;
    always @(posedge clk) begin
        fire <= armed & trig;
        armed <= arm | (armed & ~trig);
    end
endmodule""",
        "Build a trigger that fires once. After it has been armed, the first trigger makes the output high for one "
        "clock cycle and disarms it again.",
        "Build a one-shot trigger that works at the rising edge of clk and has no reset. It keeps one bit that tells "
        "whether it is armed. At each edge the registered output fire becomes 1 if it was armed before the edge and "
        "trig is 1, else 0. At the same edge the bit becomes 1 if arm is 1; else it stays 1 if it was 1 and trig is 0; "
        "else it becomes 0.",
    ),
    Example(
        "addition with an upper limit",
        """module limit_add #(parameter TOP = 200) (
    input [7:0] a,
    input [7:0] b,
    output [7:0] y
);
    wire [8:0] sum = a + b;
    assign y = (sum > TOP) ? TOP : sum[7:0];
endmodule""",
        "Add two unsigned bytes, and do not let the result exceed a limit, which is 200.",
        "Build a combinational adder with a limit. The inputs a and b are unsigned 8-bit numbers. Their sum is taken "
        "with nine bits, so that no carry is lost. If it is greater than the parameter TOP, 200 by default, the 8-bit "
        "output y is TOP, else y is the sum.",
    ),
    Example(
        "position of a wheel",
        """module steering(
    input clk,
    input reset,
    input left,
    input right,
    output reg [3:0] position
);
    always @(posedge clk)
        if (reset) position <= 4'd8;
        else if (left & ~right) position <= position - 4'd1;
        else if (right & ~left) position <= position + 4'd1;
endmodule""",
        "Follow a wheel that is turned left and right in steps. Each step moves a 4-bit position by one; a reset puts "
        "it into the middle.",
        "Keep the position of a wheel in the 4-bit register position, which changes at the rising edge of clk. If the "
        "synchronous, active-high reset is 1, it becomes 8. Else it goes down by one if left is 1 and right is 0, and "
        "up by one if right is 1 and left is 0, wrapping around at both ends. If both or neither are 1 it stays.",
    ),
    Example(
        "picking a digit out of a word",
        """module nibble_pick(
    input [15:0] word,
    input [1:0] which,
    output reg [3:0] nibble
);
    always @* begin
        case (which)
            2'd0: nibble = word[3:0];
            2'd1: nibble = word[7:4];
            2'd2: nibble = word[11:8];
            default: nibble = word[15:12];
        endcase
    end
endmodule""",
        "Give out one hexadecimal digit of a 16-bit word, chosen by a number from 0 for the lowest.",
        "Choose four of the sixteen bits of word without a clock. The 2-bit input which names the group: 0 gives bits "
        "3 to 0, 1 bits 7 to 4, 2 bits 11 to 8, and 3 bits 15 to 12. The group appears at the output nibble, its "
        "highest bit on the left.",
    ),
    Example(
        "a delay that can be stopped",
        """module late_copy(
    input clk,
    input en,
    input [4:0] d,
    output reg [4:0] q
);
    reg [4:0] between;
    always @(posedge clk)
        if (en) begin
            between <= d;
            q <= between;
        end
endmodule""",
        "Delay a 5-bit value by two steps; a step is a clock cycle in which the delay is enabled.",
        "Delay the 5-bit input d by two registers in a row, both clocked by the rising edge of clk, without a reset. "
        "They move only in cycles in which en is 1: then the second, which is the output q, takes the old value of the "
        "first, and the first takes d. With en at 0 both keep their values.",
    ),
    Example(
        "an alarm that waits to be acknowledged",
        """module alarm_hold(
    input clk,
    input reset,
    input fault,
    input ack,
    output reg alarm
);
    always @(posedge clk or posedge reset)
        if (reset) alarm <= 1'b0;
        else if (fault) alarm <= 1'b1;
        else if (ack) alarm <= 1'b0;
endmodule""",
        "Raise an alarm when a fault is seen and hold it until somebody acknowledges it and the fault has gone.",
        "Hold an alarm in the register alarm, which is cleared at once by the asynchronous, active-high reset. At the "
        "rising edge of clk it is set if fault is 1, whatever ack is. If fault is 0 and ack is 1 it is cleared. "
        "Otherwise it keeps its value.",
    ),
)

# an exercise, and one of another function that needs similar methods
MUTATED = (
    EXAMPLES[1],
    "Subtract the unsigned 8-bit number b from the unsigned 8-bit number a without a clock. The difference cannot be "
    "shown where b is the greater one: there the 8-bit output d is 0 and the output under is 1. Otherwise d is the "
    "difference and under is 0.",
    """module floor_sub(
    input [7:0] a,
    input [7:0] b,
    output [7:0] d,
    output under
);""",
)


def shown(number: int, count: int = 2) -> Sequence[Example]:
    """The examples in the prompt of a question of that number."""
    return [EXAMPLES[(number + place) % len(EXAMPLES)] for place in range(count)]


def every_text() -> list[tuple[str, str]]:
    """(name, text) of all instructions that a teacher may have been shown."""
    levels = [(f"the example {e.topic!r}", text) for e in EXAMPLES for text in (e.detailed, e.high_level)]
    return [*levels, ("the example of a change", MUTATED[1])]
