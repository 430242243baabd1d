"""The generating example of a model card: a short program that asks the model as it was trained, and what it printed.

The program of the card is the one that was run, on the exported folder, with nothing but transformers. It asks for a
design of this project: a pair of the user's may not be for others to read.
"""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import PromptConfig
from itertl.model import load
from itertl.model.prompts import compose, encode_prompt
from itertl.records import Problem
from itertl.runs import wording as text

MAX_NEW_TOKENS = 160  # as many as the example needs; more only show how a model that does not stop goes on
_LONGEST = 4000  # characters of output in a card
PROBLEM = Problem.create(
    instruction="Write a 4-bit counter. On a rising edge of clk it becomes 0 where rst is 1, and counts up by 1 where "
    "en is 1.",
    header="module counter(input clk, input rst, input en, output reg [3:0] q);",
    source="example",
)
COMMAND = f"itertl generate '{PROBLEM.instruction}' --header '{PROBLEM.header}' --model"


@dataclass(frozen=True, slots=True)
class UsageExample:
    """``program`` with the folder's public name; ``printed``: its output, None where it did not run for ``reason``."""

    program: str
    printed: str | None
    reason: str = ""


def run_example(folder: Path, name: str, form: PromptConfig) -> UsageExample:
    """Write the program for ``folder``, run it there, show it under ``name``. A model that fails raises nothing."""
    tokenizer = load.load_tokenizer(folder)
    lines = _prompt_lines(form, tokenizer)
    program = _program(name, lines)
    printed = io.StringIO()
    try:
        with load.quiet(), contextlib.redirect_stdout(printed):
            exec(compile(_program(str(folder), lines), "<example of the card>", "exec"), {"__name__": "__example__"})
    except Exception as error:  # a model that its own library cannot run is still exported, and the card says so
        return UsageExample(program, None, text.one_line(str(error) or type(error).__name__)[:200])
    return UsageExample(program, text.printable(printed.getvalue())[:_LONGEST])


def _program(folder: str, prompt_lines: list[str]) -> str:
    return "\n".join(
        [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f"folder = {folder!r}  # this folder, or its name on the hub",
            "tokenizer = AutoTokenizer.from_pretrained(folder)",
            "model = AutoModelForCausalLM.from_pretrained(folder)",
            *prompt_lines,
            f"ids = model.generate(**inputs, max_new_tokens={MAX_NEW_TOKENS}, do_sample=False)",
            'answer = tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)',
            "print(start + answer)",
        ]
    )


def _prompt_lines(form: PromptConfig, tokenizer: Any) -> list[str]:
    """Lines that set ``start`` and ``inputs`` as in training: by the chat template where equal, else as text."""
    wanted = encode_prompt(PROBLEM, form, tokenizer)
    parts = compose(PROBLEM, form)
    begun = wanted.opening + wanted.prefill
    lines = [f"start = {begun!r}  # of the answer"]
    for messages in ([], [{"role": "system", "content": parts.system}]) if form.style != "plain" else ():
        asked = [*messages, {"role": "user", "content": parts.user}]
        if tokenizer.chat_template and _rendered(tokenizer, asked) + begun == wanted.text:
            lines += [
                f"messages = {asked!r}",
                "prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + start",
            ]
            break
    else:
        lines.append(f"prompt = {wanted.text!r}")
    is_bare = tuple(tokenizer(wanted.text, add_special_tokens=False)["input_ids"]) == wanted.token_ids
    return [
        *lines,
        f'inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens={not is_bare}, '
        f"return_token_type_ids=False)",
    ]


def _rendered(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except Exception:  # some templates refuse a system message, or an empty one
        return ""
