"""What a teacher is asked: the texts of all forms, and what of an earlier text stands in each.

A form's name and ``REVISION`` are kept with every row. The frame of a form is ours; what it is about (a keyword, a
module, the exercise that is to be changed, with its header) is always in the prompt. A form ends with the mark of the
field that the answer begins with, which a model whose answer can be begun is given (``opening``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from itertl.config import PromptConfig
from itertl.records import Problem
from itertl.writing.examples import MUTATED, shown

REVISION = 1  # of the texts below
INSTRUCTION, INPUT, DESCRIPTION = "Instruction:", "Input:", "Description:"
LEAST_WORDS, MOST_WORDS = 4, 400  # of an instruction, as in RTLCoder
LEVELS = ("high-level", "detailed")
_KEYWORDS_AT_ONCE = 10

_RULES = f"""An exercise asks for one synthesizable Verilog module. It says what the module does in every case, what \
each port is and how wide, and, where there are registers, the clock edge and the reset. It can be solved without \
seeing anything else and does not show its solution. It has two marked fields: {INSTRUCTION[:-1]} holds the exercise \
in plain words, {LEAST_WORDS} to {MOST_WORDS} of them; {INPUT[:-1]} holds the header of the module, with all ports."""

_KEYWORD = """Write exercises for engineers who learn to design hardware in Verilog, one on each topic.
{rules}

{shown}Topic: {keyword} ({domain})
"""

_CODE = """Write exercises for engineers who learn to design hardware in Verilog. Take the idea of each from a \
module of a real design: ask for the same circuit in words of your own, or for another that is built from a part of it.
{rules}

{shown}Module:
```verilog
{code}
```
"""

_MUTATION = """Change exercises for engineers who learn to design hardware in Verilog into new ones. The new module \
has another function, and other outputs for the same inputs, but is designed by similar methods. Other words for the \
old exercise, other names or another width alone are not enough.
{rules}

{shown}
Old exercise:
{old}

New exercise, changed from the one about {name}:
"""

_GROW = """What are the most common circuits and building blocks in this area of digital design: {domain}?
Give {count} keywords of one to six words each, one a line, without numbers or explanations. They must differ from \
each other and from these: {known}.
Keywords:"""

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


def _fields(instruction: str, header: str) -> str:
    return f"{INSTRUCTION} {instruction}\n{INPUT}\n{header}\n"


def from_keyword(domain: str, keyword: str, number: int) -> Question:
    """An instruction on a keyword of an area. ``number`` of the question: which examples it shows."""
    examples = "".join(f"Topic: {e.topic}\n{_fields(e.detailed, e.header)}\n" for e in shown(number))
    text = _KEYWORD.format(domain=domain, keyword=keyword, rules=_RULES, shown=examples)
    return Question("keyword", text, INSTRUCTION)


def from_code(code: str, number: int) -> Question:
    """An instruction that existing code gives the idea of."""
    examples = "".join(f"{_module(e.code)}{_fields(e.detailed, e.header)}\n" for e in shown(number))
    return Question("code", _CODE.format(code=code.strip(), rules=_RULES, shown=examples), INSTRUCTION)


def by_mutation(instruction: str, header: str, name: str) -> Question:
    """An instruction for another function, from an earlier one and the header of its module ``name``."""
    old, new, new_header = MUTATED
    pair = (
        f"Old exercise:\n{_fields(old.detailed, old.header)}\nNew exercise, changed from the one about limit_add:\n"
        f"{_fields(new, new_header)}"
    )
    text = _MUTATION.format(rules=_RULES, shown=pair, old=_fields(instruction, header).strip(), name=name)
    return Question("mutation", text, INSTRUCTION)


def for_keywords(domain: str, known: Sequence[str]) -> Question:
    """Further keywords of an area, beside those that are ``known``."""
    text = _GROW.format(domain=domain, count=_KEYWORDS_AT_ONCE, known=", ".join(known) or "none")
    return Question("grow", text, "")


def description(code: str, level: str, number: int) -> Question:
    """A description of a module at one of ``LEVELS``, behind two examples."""
    texts = [(e.code, e.high_level if level == LEVELS[0] else e.detailed) for e in shown(number)]
    examples = "".join(f"{_module(one)}{DESCRIPTION} {text}\n\n" for one, text in texts)
    return Question(f"describe-{level}", f"{_DESCRIBE[level]}\n\n{examples}{_module(code.strip())}", DESCRIPTION)


def _module(code: str) -> str:
    return f"Module:\n```verilog\n{code}\n```\n"


def meta_form(form: PromptConfig, opening: str) -> PromptConfig:
    """How a teacher is asked for words: in its own chat or plain text, without a header, its answer begun."""
    return form.model_copy(update={"header": "omit", "template": "{instruction}", "opening": opening})


def code_form(form: PromptConfig) -> PromptConfig:
    """How a teacher is asked for code: as the recipe says; where that puts nothing around an instruction, we do."""
    return form.model_copy(update={"template": _SOLVE}) if form.template == "{instruction}" else form
