"""The form of the prompts travels with the weights: in a file, and in the chat template as far as that can say it."""

import json
from pathlib import Path
from typing import Any

import pytest

import training_cases as cases
from itertl.config import ModelConfig, PromptConfig, build_recipe
from itertl.errors import DataError
from itertl.export.bundle import export
from itertl.model.find import resolve_model, tiny_tokenizer
from itertl.model.load import load_tokenizer
from itertl.model.policy import find_policy
from itertl.model.prompt_form import FORM_FILE, express, read_form, with_form, write_form
from itertl.model.prompts import encode_prompt
from itertl.records import Problem
from itertl.training.methods import resolve_method
from itertl.training.round import TrainingJob
from itertl.training.trainer import train

PROBLEM = Problem.create(instruction="An inverter.", header="module inv(input a, output y);", source="test")
FORM = PromptConfig(
    style="chat",
    system="Say \"Verilog\"\nand 'no more' \\ {{ x }}.",
    header="prefill",
    opening="```verilog\n",
    template="Task: {instruction}",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one round with ``FORM``, of problems with headers."""
    return one_round(tmp_path_factory.mktemp("trained"), "module m(input a);\n")


def one_round(folder: Path, header: str) -> Path:
    case, config = cases.case(2), build_recipe({"train": {"epochs": 1}}).train
    problems = [problem.model_copy(update={"header": header}) for problem in case.problems]
    policy = find_policy(ModelConfig(path="random:tiny-chat"), FORM)
    train(TrainingJob(
        case.rows, problems, policy, config, resolve_method("itertl", config), cases.SCORE, 1, out=folder / "new",
        log=folder / "log.jsonl", state=folder / "state",
    ))  # fmt: skip
    return folder / "new"


def test_a_checkpoint_is_asked_as_it_was_trained(trained: Path) -> None:
    told: list[str] = []
    plain = build_recipe({"model": {"path": str(trained)}})
    assert with_form(plain, told.append).prompt == FORM and told == []
    same = build_recipe({"model": {"path": str(trained)}, "prompt": {"style": "auto", "header": "prefill"}})
    assert with_form(same, told.append).prompt == FORM and told == []
    other = with_form(build_recipe({"model": {"path": str(trained)}, "prompt": {"header": "append"}}), told.append)
    assert other.prompt == FORM.model_copy(update={"header": "append"})
    assert len(told) == 1 and "prompt.header" in told[0] and '"prefill"' in told[0] and '"append"' in told[0]


def test_a_form_asks_for_no_header_that_training_had_not(tmp_path: Path) -> None:
    plain = build_recipe({"model": {"path": str(one_round(tmp_path, ""))}})
    assert with_form(plain, print).prompt == FORM.model_copy(update={"header": "omit"})


def test_the_chat_template_says_the_system_message(trained: Path) -> None:
    """Asked without one it gives the prompt of training; with another, that one; and a second round does not
    stack them."""
    before, after = (load_tokenizer(p) for p in (resolve_model(ModelConfig(path="random:tiny-chat")), trained))
    asked: list[dict[str, str]] = [{"role": "user", "content": "Task: An inverter."}]

    def shown(tokenizer: Any, *messages: dict[str, str]) -> str:
        return str(tokenizer.apply_chat_template([*messages], tokenize=False, add_generation_prompt=True))

    assert (
        shown(after, *asked) + FORM.opening + PROBLEM.header
        == encode_prompt(PROBLEM, FORM, before).text
        == encode_prompt(PROBLEM, FORM, after).text
    )
    other = {"role": "system", "content": "Other."}
    assert shown(after, other, *asked) == shown(before, other, *asked)
    once = after.chat_template
    express(FORM, after)
    assert after.chat_template == once
    express(FORM.model_copy(update={"system": "Other."}), after)
    assert shown(after, *asked) == shown(before, other, *asked)
    without = FORM.model_copy(update={"system": ""})
    wanted = encode_prompt(PROBLEM, without, after)
    express(without, after)
    assert encode_prompt(PROBLEM, without.model_copy(update={"system": None}), after).text == wanted.text


def test_an_export_carries_the_form_and_an_example_that_was_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itertl.export.example.MAX_NEW_TOKENS", 8)
    export(trained, tmp_path / "out", kind="f32")
    assert read_form(tmp_path / "out") == read_form(tmp_path / "out" / "out-f32.gguf") == FORM
    card = (tmp_path / "out" / "README.md").read_text()
    program = card.split("```python\n")[1].split("\n```")[0]
    monkeypatch.chdir(tmp_path)
    printed: list[str] = []
    found: dict[str, Any] = {"print": printed.append}
    exec(program, found)
    assert found["prompt"].endswith(
        "<|im_start|>assistant\n```verilog\nmodule counter(input clk, input rst, input en, output reg [3:0] q);"
    )
    assert (
        '<|im_start|>system\nSay "Verilog"' in found["prompt"]
        and "user\nTask: Write a 4-bit counter." in found["prompt"]
    )
    assert printed[0].splitlines()[1].rstrip() in card and "--header 'module counter(" in card


def test_a_plain_prompt_is_a_template_for_who_knows_chats_alone(tmp_path: Path) -> None:
    form, tokenizer = PromptConfig(template="// {instruction}", header="omit"), tiny_tokenizer()
    express(form, tokenizer)
    assert tokenizer.chat_template is None  # "auto" would take it for a chat in the next round
    write_form(form, tokenizer, tmp_path)
    saved = read_form(tmp_path)
    assert saved is not None and saved.style == "plain"
    wanted = encode_prompt(PROBLEM, saved, tokenizer).text
    express(saved, tokenizer)
    assert (
        tokenizer.apply_chat_template([{"role": "user", "content": "An inverter."}], tokenize=False)
        == wanted
        == "// An inverter.\n"
    )


def test_a_form_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for text in ("{", '{"schema": "other"}', '{"schema": "itertl.prompt_form/1", "style": "loud"}', "[]"):
        (tmp_path / FORM_FILE).write_text(text)
        with pytest.raises(DataError, match=FORM_FILE):
            read_form(tmp_path)
    (tmp_path / FORM_FILE).write_text(json.dumps({"schema": "itertl.prompt_form/1"}))
    assert read_form(tmp_path) == PromptConfig()
