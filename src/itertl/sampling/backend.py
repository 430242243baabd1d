"""What a sampling back end is, and the names by which a recipe chooses one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from itertl.config import PromptConfig
from itertl.errors import ToolFailed
from itertl.model.prompts import EncodedPrompt
from itertl.records import FinishReason, Problem, SamplingSettings
from itertl.sampling.batching import SampleRequest

BACKENDS = {
    "transformers": "itertl.sampling.transformers_backend:open_backend",
    "replay": "itertl.sampling.replay:open_backend",
    "openai": "itertl.sampling.openai_backend:open_backend",
    "vllm": "itertl.sampling.vllm_backend:open_backend",
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One drawn response. ``token_ids`` are None from a back end that has no tokens."""

    text: str  # special tokens left out
    finish_reason: FinishReason
    token_ids: tuple[int, ...] | None  # as drawn, the end token included where it came
    token_logprobs: tuple[float, ...] | None = None  # natural logarithm, where the back end reports it
    counted: tuple[int, int] | None = None  # tokens of prompt and response as a server counts them


class BatchIncomplete(ToolFailed):
    """Some requests of a batch could not be served; the message says why. The rest is kept, and a later call asks for what is missing."""

    def __init__(self, message: str, done: Mapping[int, Generation]) -> None:
        super().__init__(message)
        self.done = dict(done)  # by place in the batch


class Backend(Protocol):
    """Draws responses. Made by a function ``(model, *, dtype, trust_remote_code, revision, **options)``.

    Making one is cheap: a model is loaded when the first batch asks for it, so that a finished stage never loads it.
    """

    def encode(self, problem: Problem, config: PromptConfig) -> EncodedPrompt:
        """The problem's prompt."""
        ...

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        """One generation a request, in their order; the same batch gives the same result on the same machine."""
        ...
