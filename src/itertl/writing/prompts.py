"""What a teacher is asked: the texts of all forms, and what of an earlier text stands in each.

A form's name and ``REVISION`` are kept with every row. The frame of a form is ours; what it is about (a keyword, a
module, the exercise that is to be changed, with its header) is always in the prompt. A form ends with the mark of the
field that the answer begins with, which a model whose answer can be begun is given (``opening``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from itertl.config import PromptConfig
from itertl.records import Problem

REVISION = 1  # of the texts below
INSTRUCTION, INPUT, DESCRIPTION = "Instruction:", "Input:", "Description:"
LEAST_WORDS, MOST_WORDS = 4, 400  # of an instruction, as in RTLCoder
LEVELS = ("high-level", "detailed")
_KEYWORDS_AT_ONCE = 10

_RULES = f"""The exercise asks for one synthesizable Verilog module. It says what the module does, what every port is \
and how wide, and where there are registers, the clock edge and the reset. It can be solved without seeing anything \
else, has one right behaviour for all inputs, and does not show its solution.

Answer in two marked fields and nothing else:
{INSTRUCTION} the exercise in plain words, {LEAST_WORDS} to {MOST_WORDS} of them
{INPUT} the header of the module, from the word module to the semicolon behind the ports

An answer on another topic looks like this:
{INSTRUCTION} Count how many bits of an 8-bit word differ from the word of the cycle before. The module samples data \
at the rising edge of clk. A synchronous reset, active high, sets the stored word and the count to zero. The 4-bit \
output changes holds the number of differing bits of the two words sampled last.
{INPUT}
module bit_changes(
    input clk,
    input reset,
    input [7:0] data,
    output reg [3:0] changes
);
"""

_KEYWORD = """Write an exercise for engineers who learn to design hardware in Verilog.
Area: {domain}
Topic: {keyword}

{rules}
Now the exercise on the topic "{keyword}":"""

_CODE = """Here is a Verilog module from a real design:
```verilog
{code}
```
Write an exercise for engineers who learn to design hardware in Verilog. Take its idea from this module: ask for the \
same circuit in words of your own, or for another that is built from a part of it.

{rules}
Now the exercise that the module above gives you:"""

_MUTATION = """Here is an exercise for engineers who learn to design hardware in Verilog:
{instruction_mark} {instruction}
{input_mark}
{header}

Change it into a new exercise. The new module must have another function, and other outputs for the same inputs, but \
be solved by similar methods. Other words for the old exercise, other names or another width alone are not enough.

{rules}
Now the new exercise, changed from the one about {name}:"""

_GROW = """What are the most common circuits and building blocks in this area of digital design: {domain}?
Give {count} keywords of one to six words each, one a line, without numbers or explanations. They must differ from \
each other and from these: {known}.
Keywords:"""

# two worked examples of descriptions at both levels; the modules and texts are our own
_SHOWN = (
    (
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
        {
            "high-level": "Build a trigger that fires once. After it has been armed, the first trigger makes the "
            "output high for one clock cycle and disarms it again.",
            "detailed": "Build a one-shot trigger that works at the rising edge of clk and has no reset. It keeps one "
            "bit that tells whether it is armed. At each edge the registered output fire becomes 1 if it was armed "
            "before the edge and trig is 1, else 0. At the same edge the bit becomes 1 if arm is 1; else it stays 1 "
            "if it was 1 and trig is 0; else it becomes 0.",
        },
    ),
    (
        """module limit_add #(parameter TOP = 200) (
    input [7:0] a,
    input [7:0] b,
    output [7:0] y
);
    wire [8:0] sum = a + b;
    assign y = (sum > TOP) ? TOP : sum[7:0];
endmodule""",
        {
            "high-level": "Add two unsigned bytes, and do not let the result exceed a limit, which is 200.",
            "detailed": "Build a combinational adder with a limit. The inputs a and b are unsigned 8-bit numbers. "
            "Their sum is taken with nine bits, so that no carry is lost. If it is greater than the parameter TOP, 200 "
            "by default, the 8-bit output y is TOP, else y is the sum.",
        },
    ),
)
_DESCRIBE = {
    "high-level": """Describe Verilog modules for an engineer who is to design them. Say in one to three sentences \
what the module is for and what it does, not how. Do not show code or name internal signals.""",
    "detailed": """Describe Verilog modules for an engineer who is to design them without seeing the code, so that \
their module behaves the same in every clock cycle. Name each port, its width and its meaning; the clock edge, the \
reset and what it sets; what happens first where several things happen at once; and all constants. Do not show code.""",
}

_SOLVE = """Write the Verilog module that is described here. Answer with the code of the whole module and nothing else.

{instruction}"""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt of one form. ``opening``: begins the answer where a model's answer can be begun."""

    form: str
    text: str
    opening: str

    @property
    def problem(self) -> Problem:
        """As a back end is asked."""
        return Problem.create(instruction=self.text, source=f"writing:{self.form}")


def from_keyword(domain: str, keyword: str) -> Question:
    """An instruction on a keyword of an area."""
    return Question("keyword", _KEYWORD.format(domain=domain, keyword=keyword, rules=_RULES), INSTRUCTION)


def from_code(code: str) -> Question:
    """An instruction that existing code gives the idea of."""
    return Question("code", _CODE.format(code=code.strip(), rules=_RULES), INSTRUCTION)


def by_mutation(instruction: str, header: str, name: str) -> Question:
    """An instruction for another function, from an earlier one and the header of its module ``name``."""
    text = _MUTATION.format(
        instruction=instruction, header=header, name=name, rules=_RULES, instruction_mark=INSTRUCTION, input_mark=INPUT
    )
    return Question("mutation", text, INSTRUCTION)


def for_keywords(domain: str, known: Sequence[str]) -> Question:
    """Further keywords of an area, beside those that are ``known``."""
    text = _GROW.format(domain=domain, count=_KEYWORDS_AT_ONCE, known=", ".join(known) or "none")
    return Question("grow", text, "")


def description(code: str, level: str) -> Question:
    """A description of a module at one of ``LEVELS``, behind two examples."""
    shown = "".join(f"Module:\n```verilog\n{one}\n```\n{DESCRIPTION} {texts[level]}\n\n" for one, texts in _SHOWN)
    asked = f"Module:\n```verilog\n{code.strip()}\n```\nNow the description of this last module."
    text = f"{_DESCRIBE[level]}\n\n{shown}{asked}"
    return Question(f"describe-{level}", text, DESCRIPTION)


def meta_form(form: PromptConfig, opening: str) -> PromptConfig:
    """How a teacher is asked for words: in its own chat or plain text, without a header, its answer begun."""
    return form.model_copy(update={"header": "omit", "template": "{instruction}", "opening": opening})


def code_form(form: PromptConfig) -> PromptConfig:
    """How a teacher is asked for code: as the recipe says; where that puts nothing around an instruction, we do."""
    return form.model_copy(update={"template": _SOLVE}) if form.template == "{instruction}" else form
