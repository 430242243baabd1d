"""A problem as the text that the model continues, and a response as the ids that training uses.

Sampling and training call the same two functions, so that a response is tokenised for training as it was sampled:
on its own, after the prompt's ids, never across the border between the two.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from itertl.config import PromptConfig
from itertl.errors import UsageError
from itertl.records import Problem
from itertl.verilog.thoughts import closes_thought, opens_thought

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """What the model is given. ``prefill`` is the end of ``text`` that counts as the start of the answer.

    ``opening`` comes before it, belongs to the answer too, and is not part of the code.
    """

    text: str
    token_ids: tuple[int, ...]
    prefill: str
    opening: str = ""


EXAMPLES = "examples"  # key of ``Problem.extra``: ``{"pool": NAME, "shown": [{instruction, header, code}, …]}``


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier answer in a conversation about a problem, and what the user said to it."""

    code: str
    message: str


def encode_prompt(
    problem: Problem, config: PromptConfig, tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn] = ()
) -> EncodedPrompt:
    """Build a problem's prompt.

    Plain text is instruction, newline, and the header where ``config.header`` is "append" (VerilogEval's way). A chat
    puts the same into the user's turn. "prefill" starts the assistant's answer with the header instead; a reference
    that does not start with it could never be an answer to that prompt, so there the header is appended.
    ``config.opening``, a code fence say, begins every answer, before the header where that is prefilled.
    A benchmark that brings a whole prompt of its own says so by ``extra["system"]``: then that system message and the
    bare instruction are used. A begin token comes once: from the template, or from the tokenizer. Where the template
    opens a thought, a prefilled header would lie in it: there the thought is closed first, so the model answers without
    one. ``turns``: what was answered and said since, oldest first; in plain text the messages are comments between the
    codes. Raises UsageError where a chat is asked for and the tokenizer has no template.
    """
    chat = config.style == "chat" or (config.style == "auto" and bool(tokenizer.chat_template))
    parts = compose(problem, config)
    if not chat:
        text = parts.continued(turns)
        return EncodedPrompt(text, _ids(tokenizer, text, special=True), parts.prefill, parts.opening)
    if not tokenizer.chat_template:
        raise UsageError("prompt.style is chat, but the model's tokenizer has no chat template; use prompt.style=plain")
    text = render_chat(tokenizer, parts.messages(turns), parts.system)
    begun = parts.opening + parts.prefill
    text += (_thought_end(text) if begun else "") + begun
    return EncodedPrompt(text, _ids(tokenizer, text, special=False), parts.prefill, parts.opening)


@dataclass(frozen=True, slots=True)
class PromptParts:
    """A prompt before any tokenizer.

    ``header`` comes after the instruction, ``opening`` and ``prefill`` start the answer. ``examples``: other questions
    of the same form and their answers, which come before.
    """

    system: str | None
    instruction: str  # the template around it
    header: str
    prefill: str
    opening: str = ""
    examples: "tuple[tuple[PromptParts, str], ...]" = ()

    @property
    def plain(self) -> str:
        """The text of a prompt that is not a chat, the start of the answer included."""
        return self._asked() + self.opening + self.prefill

    def _asked(self) -> str:
        asked = _line(self.instruction) + self.header
        return self._shown() + (_line(asked) if self.opening else asked)

    def _shown(self) -> str:
        """The examples in plain text, a blank line behind each."""
        return "".join(_line(parts._asked() + parts.answer(code)) + "\n" for parts, code in self.examples)

    def answer(self, code: str) -> str:
        """A whole answer, with the end of the fence that ``opening`` opens."""
        whole = self.opening + clean(code)
        return f"{_line(whole)}```" if "```" in self.opening else whole

    @property
    def user(self) -> str:
        """The user's first turn of a chat."""
        return _line(self.instruction) + self.header if self.header else self.instruction

    def messages(self, turns: Sequence[Turn] = ()) -> list[dict[str, str]]:
        """A chat without its system message, up to where the assistant writes."""
        found: list[dict[str, str]] = []
        for parts, code in self.examples:
            found += [{"role": "user", "content": parts.user}, {"role": "assistant", "content": parts.answer(code)}]
        found.append({"role": "user", "content": self.user})
        for turn in turns:
            answer = self.answer(turn.code)
            found += [{"role": "assistant", "content": answer}, {"role": "user", "content": clean(turn.message)}]
        return found

    def continued(self, turns: Sequence[Turn]) -> str:
        """The plain text behind ``turns``, each a code and its message as a comment."""
        if not turns:
            return self.plain
        asked = self._shown() + _line(_line(self.instruction) + self.header)
        for turn in turns:
            asked += _line(clean(turn.code)) + "".join(f"// {line}\n" for line in clean(turn.message).splitlines())
        return asked + self.opening + self.prefill


def compose(problem: Problem, config: PromptConfig, *, can_prefill: bool = True) -> PromptParts:
    """The parts of a problem's prompt, as ``encode_prompt`` says.

    Without ``can_prefill`` nothing starts the answer, and "prefill" is "append". Raises UsageError where
    ``config.examples`` asks for examples that nobody looked up (``problems.retrieval``).
    """
    is_own = "system" in problem.extra
    system = str(problem.extra["system"]) if is_own else config.system
    template = "{instruction}" if is_own else clean(config.template)
    header = clean(problem.header) if problem.header.strip() else ""
    values = {"{instruction}": clean(problem.instruction), "{header}": header}
    instruction = re.sub(r"\{(?:instruction|header)\}", lambda place: values[place.group()], template)
    reference = problem.reference
    fits = can_prefill and (reference is None or clean(reference).startswith(header))
    prefill = header if config.header == "prefill" and fits else ""
    if config.header == "omit" or prefill:
        header = ""
    opening = clean(config.opening) if can_prefill else ""
    examples = () if config.examples is None else _examples(problem, config, can_prefill=can_prefill)
    return PromptParts(None if system is None else clean(system), instruction, header, prefill, opening, examples)


def _examples(problem: Problem, config: PromptConfig, *, can_prefill: bool) -> tuple[tuple[PromptParts, str], ...]:
    """The problem's examples in the form of its own question."""
    if EXAMPLES not in problem.extra:
        raise UsageError("prompt.examples: are not looked up here; set prompt.examples=null to ask without")
    own = {"system": problem.extra["system"]} if "system" in problem.extra else {}
    bare = config.model_copy(update={"examples": None})
    found: list[tuple[PromptParts, str]] = []
    for row in problem.extra[EXAMPLES]["shown"]:
        asked = Problem(id="", instruction=row["instruction"], header=row["header"], reference=row["code"], source="",
                        extra=own)  # fmt: skip
        found.append((compose(asked, bare, can_prefill=can_prefill), row["code"]))
    return tuple(found)


def encode_response(
    text: str,
    prompt: EncodedPrompt,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    ended: bool = True,
    is_answer: bool = True,
) -> tuple[int, ...]:
    """The ids of a response to ``prompt``: the text without the prefill, then the end token if it ``ended``.

    The text of a special token inside a response stays text: code cannot end a response. Where the prompt ends inside a
    thought (some templates open one) and ``text`` is the answer alone, the mark that closes the thought comes first, as
    the model writes it: code in a thought is not an answer. Without ``is_answer`` the text stays as it was written.
    Raises UsageError where the tokenizer has no end token.
    """
    body = clean(text).removeprefix(prompt.prefill)
    close = _thought_end(prompt.text) if body and is_answer and not closes_thought(body) else ""
    ids = tuple(tokenizer.encode(close, add_special_tokens=False)) if close else ()
    ids += tuple(tokenizer.encode(body, add_special_tokens=False, split_special_tokens=True)) if body else ()
    if not ended:
        return ids
    end = cast("int | None", tokenizer.eos_token_id)
    if end is None:
        raise UsageError("the tokenizer has no end token, so a model cannot learn to stop; set its eos_token")
    return (*ids, end)


def _thought_end(prompt: str) -> str:
    """What leads from a thought that ``prompt`` opened to the answer; "" where it opened none."""
    mark = opens_thought(prompt)
    if mark is None:
        return ""
    return mark + "\n\n" if prompt.endswith("\n") else f"\n{mark}\n\n"


def clean(text: str) -> str:
    """The text with lone surrogates (JSON allows them, UTF-8 does not) replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _line(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _ids(tokenizer: "PreTrainedTokenizerBase", text: str, *, special: bool) -> tuple[int, ...]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=special)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    while len(ids) > 1 and begin is not None and ids[0] == begin == ids[1]:
        ids = ids[1:]
    if special and len(ids) > 1 and end is not None and ids[-1] == end != begin:
        ids = ids[:-1]  # some tokenizers close every text with the end token; a prompt is not at its end
    return tuple(ids)


def render_chat(tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]], system: str | None) -> str:
    """The chat up to where the assistant writes.

    ``system`` None leaves the template its default, any text replaces it. "" asks for no system message: of the
    renderings without one and with an empty one the shorter: some templates put a default of their own where
    none is given, and others print the frame of an empty one.
    """
    if system is None:
        return _apply(tokenizer, messages)
    if system:
        return _apply(tokenizer, [{"role": "system", "content": system}, *messages])
    without = _apply(tokenizer, messages)
    try:
        emptied = _apply(tokenizer, [{"role": "system", "content": ""}, *messages])
    except UsageError:
        return without
    return min(without, emptied, key=len)


def _apply(tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]]) -> str:
    from jinja2.exceptions import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        raise UsageError(
            f"the tokenizer's chat template refuses the prompt ({error}); try prompt.system=null or prompt.style=plain"
        ) from error
