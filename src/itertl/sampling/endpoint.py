"""An OpenAI-compatible endpoint as a recipe names it: where it is, how it is asked, and where its key is looked for."""

import importlib.util
import ipaddress
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from itertl.errors import ToolMissing, UsageError

OPENAI_URL = "https://api.openai.com/v1"
_OURS = (
    "model", "messages", "prompt", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "n", "stream"
)  # fmt: skip
_SECRETS = re.compile(r"^(x[-_])?((api|secret|access)?[-_]?key|authorization|(\w+[-_])?token|password|secret)$", re.I)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to ask. Checked when made: raises as ``open_backend``."""

    base_url: str
    model: str
    api: str = "chat"
    api_key_env: str = "OPENAI_API_KEY"
    max_concurrency: int = 16
    timeout_s: float = 120.0
    max_retries: int = 6
    requests_per_minute: float | None = None
    logprobs: bool = False
    seeds: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        # Lower case is refused because a key put here by mistake has some, and a message may show the name.
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.api_key_env):
            raise UsageError("sample.options.api_key_env is the NAME of an environment variable, in capitals")
        if self.api not in ("chat", "completions"):
            raise UsageError(f"sample.options.api is {self.api!r}; give chat or completions")
        per_minute = self.requests_per_minute
        for name, value, is_right in [
            ("max_concurrency", self.max_concurrency, self.max_concurrency >= 1),
            ("timeout_s", self.timeout_s, self.timeout_s > 0),
            ("max_retries", self.max_retries, self.max_retries >= 0),
            ("requests_per_minute", per_minute, per_minute is None or per_minute > 0),
        ]:
            if not is_right:
                raise UsageError(f"sample.options.{name} is {value}; give a greater number")
        key, only = self.key(), f"the environment variable {self.api_key_env} is the only place for a key"
        for name in _names(self.extra_body):
            if _SECRETS.match(name):
                raise UsageError(f"sample.options.extra_body holds {name}; {only}")
        if key and key in json.dumps([self.base_url, self.model, self.extra_body], default=str):
            raise UsageError(f"sample.options holds the key itself; {only}")
        for name in _OURS:
            if name in self.extra_body:
                raise UsageError(f"sample.options.extra_body.{name}: other settings of the recipe say that; remove it")
        if not key and not self.is_local:
            raise UsageError(
                f"{self.base_url} needs a key: set the environment variable {self.api_key_env}, "
                "or name another one by sample.options.api_key_env"
            )
        if importlib.util.find_spec("openai") is None:
            raise ToolMissing("sampling from an endpoint needs the package openai: pip install 'itertl[api]'")

    def key(self) -> str:
        """What the variable holds, "" where it is not set. Raises UsageError for what no header can carry."""
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise UsageError(f"the variable {self.api_key_env} holds characters that no key has; set it anew")
        return key

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine or network."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_private
        except ValueError:
            return "." not in host or host.endswith((".local", ".lan", ".internal"))


def _check_url(url: str) -> None:
    """The address is shown and recorded. Raises UsageError that does not repeat it where it holds more than a place."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError("sample.options.base_url holds a user, password or query; give the plain address up to /v1")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"sample.options.base_url is {url!r}; give one such as http://localhost:8000/v1")


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner)
