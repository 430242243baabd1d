"""The form of the prompts that a model was trained with, as a file beside its weights.

A model asked in another form than it was trained in writes other text, often without any Verilog, so every checkpoint
and export carries its form, and whoever samples it takes that form unless the recipe says otherwise. What a chat
template can say is said there too, for tools that know nothing of the file: the system message, and the whole of a
plain prompt. Left out of the template: the header's place, and text around the instruction of a chat, which would come
twice in our own prompts.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from itertl.config import PromptConfig, Recipe
from itertl.errors import DataError
from itertl.model import alias as model_alias
from itertl.model import hub as model_hub
from itertl.model.prompts import clean, render_chat
from itertl.runs.storage import write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORM_FILE = "prompt_form.json"
SCHEMA = "itertl.prompt_form/1"
_QUESTION = [{"role": "user", "content": "?"}]
_OURS, _END = "{#- itertl: default system message -#}", "{#- itertl: end -#}"


def write_form(config: PromptConfig, tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """Put the form into ``folder``, with "auto" resolved for that tokenizer."""
    style = config.style if config.style != "auto" else "chat" if tokenizer.chat_template else "plain"
    write_json(folder / FORM_FILE, {"schema": SCHEMA, **config.model_dump(mode="json"), "style": style})


def read_form(model: str | Path, revision: str | None = None) -> PromptConfig | None:
    """The form that lies with a folder, beside a .gguf file, or in a repository of the hub, or an alias' own; None
    where there is none.

    Raises DataError for a file that is not a form.
    """
    path = Path(model).expanduser()
    if str(model) in model_alias.ALIASES and not path.exists():
        return PromptConfig.model_validate(model_alias.ALIASES[str(model)].prompt)
    if path.exists():
        file = path / FORM_FILE if path.is_dir() else path.with_name(FORM_FILE)
    else:
        file = model_hub.hub_file(str(model), FORM_FILE, revision)
    if file is None or not file.is_file():
        return None
    try:
        value = json.loads(file.read_bytes())
        if value.pop("schema") != SCHEMA:
            raise ValueError("its schema is another one")
        return PromptConfig.model_validate(value)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{file}: not the form of a prompt ({reason}); fix it, or remove it to ask by the recipe alone"
        ) from error


def with_form(recipe: Recipe, say: Callable[[str], object]) -> Recipe:
    """The recipe with the form of its model's prompts in place of what it leaves to the defaults.

    What is set by hand stays as it is set; where it differs from the form, ``say`` gets a warning.
    """
    is_elsewhere = recipe.sample.backend == "openai" and not Path(recipe.model.path).expanduser().exists()
    saved = None if is_elsewhere else read_form(recipe.model.path, recipe.model.revision)
    if saved is None:
        return recipe
    set_by_hand = recipe.prompt.model_fields_set
    asked = {name: getattr(recipe.prompt, name) for name in PromptConfig.model_fields if name in set_by_hand}
    if asked.get("style") == "auto":
        del asked["style"]
    if (examples := asked.get("examples")) is not None and saved.examples is not None:
        by_hand = {name: getattr(examples, name) for name in examples.model_fields_set}
        asked["examples"] = saved.examples.model_copy(update=by_hand)
    for name, value in asked.items():
        trained = getattr(saved, name)
        if value != trained:
            shown = [json.dumps(v, ensure_ascii=False, default=BaseModel.model_dump) for v in (trained, value)]
            say(
                f"warning: the form that comes with the model has prompt.{name} {shown[0]}; it is asked with {shown[1]}"
            )
    return recipe.model_copy(update={"prompt": saved.model_copy(update=asked)})


def express(config: PromptConfig, tokenizer: Any) -> None:
    """Change the tokenizer's chat template so that a chat without a system message gives the prompt of the form.

    A template that cannot be changed so that it does stays as it was. With "auto" a tokenizer without a template gets
    none: it would turn plain prompts into chats.
    """
    template = tokenizer.chat_template
    if config.style == "plain":
        tokenizer.chat_template = _plain_template(config, tokenizer)
    if config.style == "plain" or not isinstance(template, str):
        return
    if config.system is None:
        return  # what the template says by default it may have been given by an earlier round
    original = template.partition(_END)[2] if template.startswith(_OURS) else template
    system = clean(config.system)
    wanted = render_chat(tokenizer, _QUESTION, system)
    message = f"[{{'role': 'system', 'content': {_quoted(system)}}}]"
    has_none = "not messages or messages[0]['role'] != 'system'"
    ours = f"{_OURS}{{%- if {has_none} %}}{{% set messages = {message} + messages %}}{{% endif -%}}{_END}{original}"
    for candidate in (original, ours):
        tokenizer.chat_template = candidate
        if render_chat(tokenizer, _QUESTION, None) == render_chat(tokenizer, _QUESTION, system) == wanted:
            return
    tokenizer.chat_template = template


def _plain_template(config: PromptConfig, tokenizer: Any) -> str:
    """The last message as plain text, with the begin token where the tokenizer itself would put one."""
    ids = tokenizer.encode("a")
    begin = "{{ bos_token }}" if ids and ids[0] == tokenizer.bos_token_id else ""
    before, _, after = clean(config.template).replace("{header}", "").partition("{instruction}")
    return (
        f"{begin}{{%- set text = {_quoted(before)} + messages[-1]['content'] + {_quoted(after)} -%}}"
        "{{ text if text.endswith('\\n') else text + '\\n' }}"
    )


def _quoted(text: str) -> str:
    """A text as Jinja reads it."""
    escaped = (
        text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    )
    return f"'{escaped}'"
