"""What a sampling back end is, and the names by which a recipe chooses one."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from itertl.config import PromptConfig
from itertl.errors import ToolFailed, UsageError
from itertl.model.prompts import EncodedPrompt, Turn
from itertl.records import FinishReason, Problem, SamplingSettings
from itertl.sampling.batching import SampleRequest

BACKENDS = {
    "transformers": "itertl.sampling.transformers_backend:open_backend",
    "replay": "itertl.sampling.replay_backend:open_backend",
    "openai": "itertl.sampling.openai_backend:open_backend",
    "vllm": "itertl.sampling.vllm_backend:open_backend",
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One drawn response. ``token_ids`` are None from a back end that has no tokens."""

    text: str  # special tokens left out
    finish_reason: FinishReason
    # as drawn, the end token included where it came; behind a ``Continuation``, its tokens and what was drawn
    token_ids: tuple[int, ...] | None
    token_logprobs: tuple[float, ...] | None = None  # natural logarithm, where the back end reports it
    counted: tuple[int, int] | None = None  # tokens of prompt and response as a server counts them
    likely: tuple[tuple[tuple[int, float], ...], ...] = ()  # as ``Continuation`` asks: (token, probability), falling


class BatchIncomplete(ToolFailed):
    """Some requests of a batch could not be served; the message says why.

    The rest is kept, and a later call asks for what is missing.
    """

    def __init__(self, message: str, done: Mapping[int, Generation]) -> None:
        super().__init__(message)
        self.done = dict(done)  # by place in the batch


class Backend(ABC):
    """Draws responses. Made by a function ``(model, *, dtype, trust_remote_code, revision, **options)``.

    Making one is cheap: a model is loaded when the first batch asks for it, so that a finished stage never loads it.
    A subclass has to define ``encode`` and ``__call__``; the rest are optional parts with their defaults.
    """

    uses_these_cores: bool = False  # whether other work would slow it: it computes on this machine's processor
    # options on which no answer depends, such as how a server is reached
    incidental_options: frozenset[str] = frozenset()
    numerics: str | None = None  # type of the weights, where the machine decides it; part of what an answer depends on
    one_per_device: bool = False  # whether several, each with a device of its own, are faster than one
    serves_itself: bool = False  # whether it starts a server where it is opened: on a cluster, one for each GPU
    can_show: bool = False  # whether it calls ``show``
    can_continue: bool = False  # whether it serves requests with a ``Continuation``
    show: Callable[[str], None] | None = None  # gets the first row's text as it grows

    @abstractmethod
    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        """The problem's prompt, behind what was answered and said since."""

    @abstractmethod
    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        """One generation a request, in their order; the same batch gives the same result on the same machine."""

    def close(self) -> None:  # noqa: B027 (optional)
        """Release what it holds, for example a server. A search with several models may ask for batches after it."""


class Adapted(Backend):
    """A back end of the user's own that is not a subclass: ``encode`` and a call, and any of the optional parts."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        for name in ("uses_these_cores", "incidental_options", "numerics", "can_continue"):
            setattr(self, name, getattr(inner, name, getattr(Backend, name)))

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        if not turns:
            return self._inner.encode(problem, config)
        if len(inspect.signature(self._inner.encode).parameters) < 3:
            raise UsageError(
                f"{type(self._inner).__name__}.encode takes no turns, which this search strategy needs; "
                "add a third parameter (turns: itertl.model.prompts.Turn, oldest first)"
            )
        return self._inner.encode(problem, config, turns)

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        return self._inner(batch, settings)

    def close(self) -> None:
        if hasattr(self._inner, "close"):
            self._inner.close()
