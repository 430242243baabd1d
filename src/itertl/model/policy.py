"""A model as one value: where it lies, which weights they are, how it is loaded, and in which form it is asked."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from itertl.config import ModelConfig, PromptConfig, Recipe
from itertl.model import find, load

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Policy:
    """A model that can be sampled and trained. ``digest`` names its weights, and is found out when first asked for.

    ``dtype`` is that of saved weights, and of frozen ones under adapters.
    """

    path: Path | str  # a ``save_pretrained`` folder, a hub name, or the name under which an endpoint serves it
    name: str = ""  # for people
    revision: str | None = None
    trust_remote_code: bool = False
    dtype: str = "float32"
    prompt: PromptConfig = field(default_factory=PromptConfig)
    known_digest: str | None = None

    @cached_property
    def digest(self) -> str:
        """See ``load.policy_id``."""
        return self.known_digest or load.policy_id(self.path, revision=self.revision)

    def load(self, *, dtype: str, device: str | None = None, quantize: str | None = None) -> "PreTrainedModel":
        """See ``load.load_model``."""
        return load.load_model(
            self.path, dtype=dtype, device=device, quantize=quantize,
            trust_remote_code=self.trust_remote_code, revision=self.revision,
        )  # fmt: skip

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """See ``load.load_tokenizer``."""
        return load.load_tokenizer(self.path, trust_remote_code=self.trust_remote_code, revision=self.revision)

    def trained(self, checkpoint: Path, digest: str, name: str) -> "Policy":
        """What became of it by a round of training."""
        return dataclasses.replace(self, path=checkpoint, name=name, revision=None, known_digest=digest)


def find_policy(config: ModelConfig, prompt: PromptConfig) -> Policy:
    """The untouched model of a recipe, converted or fetched if need be. Raises what ``find.resolve_model`` raises."""
    path = find.resolve_model(config)
    return Policy(path, "the untouched model", config.revision, config.trust_remote_code, config.dtype, prompt)


def sampled_policy(recipe: Recipe) -> Policy:
    """The model that the recipe samples.

    What an endpoint serves is not looked for on this machine, except for its tokenizer.
    """
    name, config = recipe.model.path, recipe.sample
    if config.backend != "openai":
        return find_policy(recipe.model, recipe.prompt)
    needs_tokenizer = config.options.get("api") == "completions" and not name.startswith(load.API)
    path = find.resolve_model(recipe.model) if needs_tokenizer else name.removeprefix(load.API)
    return Policy(
        path, "what the endpoint serves", recipe.model.revision, recipe.model.trust_remote_code, prompt=recipe.prompt,
        known_digest=str(config.options.get("served_model") or path),
    )  # fmt: skip
