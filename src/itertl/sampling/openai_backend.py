"""Sampling from an OpenAI-compatible endpoint: a commercial API, a llama.cpp server, a vLLM server that is running.

One request a sample, each with its own seed, many at a time. What fails for a while (busy, broken, cut off) is asked
again, after longer and longer waits; what still fails is named after the rest has been kept. What an endpoint refuses
is not asked again. Prompts for a chat are the messages; prompts for plain completion are token ids where the model's
tokenizer is here, so that they are the ones that training uses, and text elsewhere.

Left out: an endpoint need not honour a seed, so the same batch can come out differently. An answer that a filter held
back, or that ended for a reason of the server's own, is kept as it came with finish reason "stop", and a warning says
how many there were. The key is read from the environment when it is used and kept nowhere.
"""

import asyncio
import email.utils
import json
import math
import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from itertl.config import PromptConfig
from itertl.errors import UsageError
from itertl.model.prompts import EncodedPrompt, Turn, compose, encode_prompt
from itertl.records import FinishReason, Problem, SamplingSettings
from itertl.sampling.backend import Backend, BatchIncomplete, Generation
from itertl.sampling.batching import SampleRequest
from itertl.sampling.endpoint import OPENAI_URL, Endpoint

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI
    from transformers import PreTrainedTokenizerBase

_FIRST_WAIT_S, _LONGEST_BACKOFF_S = 0.5, 30.0  # doubled each time, up to
_LONGEST_RETRY_AFTER_S = 600.0  # an endpoint that asks for more (a day's quota) is not waited for
_FULL = re.compile(r"context[ _](length|size|window)|max_model_len", re.I)


def open_backend(  # noqa: PLR0913 (options of a recipe, by name)
    model: str | Path, *, dtype: str = "", trust_remote_code: bool = False, revision: str | None = None,
    base_url: str | None = None, served_model: str | None = None, api: Literal["chat", "completions"] = "chat",
    api_key_env: str = "OPENAI_API_KEY", max_concurrency: int = 16, timeout_s: float = 120.0, max_retries: int = 6,
    requests_per_minute: float | None = None, logprobs: bool = False, seeds: bool = True,
    extra_body: Mapping[str, Any] | None = None,
) -> "OpenAIBackend":  # fmt: skip
    """The back end "openai". ``served_model`` None: the endpoint serves it under the name ``model``.

    Raises UsageError for an option that cannot be, a key outside the environment, or no key for an endpoint elsewhere,
    and ToolMissing where the package ``openai`` is not installed.
    """
    del dtype
    endpoint = Endpoint(
        (base_url or OPENAI_URL).rstrip("/"), str(served_model or model), api, api_key_env, max_concurrency, timeout_s,
        max_retries, requests_per_minute, logprobs, seeds, dict(extra_body or {}),
    )  # fmt: skip
    is_local_folder = api == "completions" and Path(model).is_dir()
    if not is_local_folder:
        return OpenAIBackend(endpoint)
    from itertl.model.load import load_tokenizer

    return OpenAIBackend(endpoint, load_tokenizer(model, trust_remote_code=trust_remote_code, revision=revision))


class BatchRefused(BatchIncomplete, UsageError):
    """The endpoint refused a request: asking again does not help before the cause is fixed. The rest is kept."""


class OpenAIBackend(Backend):
    """See the module. ``tokenizer`` is used for prompts alone."""

    incidental_options = frozenset(
        ("api_key_env", "max_concurrency", "max_retries", "requests_per_minute", "timeout_s")
    )

    def __init__(self, endpoint: Endpoint, tokenizer: "PreTrainedTokenizerBase | None" = None) -> None:
        self._endpoint = endpoint
        self._tokenizer = tokenizer
        self._pace = _Pace(endpoint.requests_per_minute)

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        """The prompt; of a chat, its messages as JSON. Raises UsageError where the style does not fit the endpoint."""
        if self._endpoint.api == "chat":
            if config.style == "plain":
                raise UsageError("prompt.style is plain, but a chat is asked for; use sample.options.api=completions")
            parts = compose(problem, config, can_prefill=False)
            messages = [{"role": "system", "content": parts.system}] if parts.system else []
            messages += parts.messages(turns)
            return EncodedPrompt(json.dumps(messages, ensure_ascii=False), (), "")
        if self._tokenizer is not None:
            return encode_prompt(problem, config, self._tokenizer, turns)
        if config.style == "chat":
            raise UsageError(
                "prompt.style is chat, but the model's tokenizer and its template are not here; "
                "use sample.options.api=chat, or give the model's folder"
            )
        parts = compose(problem, config)
        return EncodedPrompt(parts.continued(turns), (), parts.prefill, parts.opening)

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        """Ask for all of them; the answers may come in any order.

        Raises UsageError for what the endpoint refuses, and ``BatchIncomplete`` for what is unserved after all retries.
        Where some were served, what is raised for a refusal is a ``BatchIncomplete`` too, and keeps them.
        """
        endpoint, asked = self._endpoint, _Asked()
        _run(lambda: _ask_all(endpoint, self._pace, batch, settings, asked))
        if asked.odd:
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(asked.odd.items()))
            warnings.warn(f"{endpoint.base_url}: answers kept as they came, with an odd end: {counts}", stacklevel=2)
        if asked.refused and not asked.done:
            raise UsageError(asked.refused[0])
        if asked.refused:
            raise BatchRefused(asked.refused[0], asked.done)
        if asked.unserved:
            raise BatchIncomplete(
                f"{endpoint.base_url}: {len(asked.unserved)} of {len(batch)} requests failed "
                f"({asked.unserved[0]}); the others are kept, the same command asks for the rest",
                asked.done,
            )
        return [asked.done[place] for place in range(len(batch))]


@dataclass(slots=True)
class _Asked:
    """What has become of the requests of a batch; the keys of ``done`` are their places in it."""

    done: dict[int, Generation] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)


class _Pace:
    """Spaces requests out, over all batches, and holds all of them back while the endpoint asks for it."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + self._gap_s
        await asyncio.sleep(start - now)

    def hold(self, seconds: float) -> None:
        self._next = max(self._next, time.monotonic() + seconds)


class _Refusal(Exception):
    """Not to be asked again. ``text`` is for the user, ``is_full``: prompt and answer exceed the model's context."""

    def __init__(self, text: str, *, is_full: bool = False) -> None:
        super().__init__(text)
        self.is_full = is_full


class _Unserved(Exception):
    """Still failing after the last retry."""


def _run(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it to its end; in a thread of its own where this one has a running loop, as a notebook's has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(make())
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(make())).result()


async def _ask_all(
    endpoint: Endpoint, pace: _Pace, batch: Sequence[SampleRequest], settings: SamplingSettings, asked: _Asked
) -> None:
    gate = asyncio.Semaphore(endpoint.max_concurrency)
    async with _client(endpoint) as client:
        context = await _context(client, endpoint) if any(r.prompt.token_ids for r in batch) else None

        async def one(place: int) -> None:
            async with gate:
                if asked.refused:  # the others would be refused too
                    return
                try:
                    asked.done[place] = await _draw(client, endpoint, pace, batch[place], settings, context, asked)
                except _Refusal as error:
                    asked.refused.append(str(error))
                except _Unserved as error:
                    asked.unserved.append(str(error))

        await asyncio.gather(*(one(place) for place in range(len(batch))))


async def _draw(
    client: "AsyncOpenAI", endpoint: Endpoint, pace: _Pace, request: SampleRequest, settings: SamplingSettings,
    context: int | None, asked: _Asked,
) -> Generation:  # fmt: skip
    """One answer. A prompt that leaves no room in the model's context gives an empty one, as from other back ends."""
    limit = settings.max_new_tokens
    if context is not None and request.prompt.token_ids:
        limit = min(limit, context - len(request.prompt.token_ids))
        if limit <= 0:
            return Generation("", "length", ())
    try:
        answer = await _ask(client, endpoint, pace, _body(endpoint, request, settings, limit))
    except _Refusal as error:
        if not error.is_full:
            raise
        try:
            await _ask(client, endpoint, pace, _body(endpoint, request, settings, 1))
        except _Refusal as again:
            if again.is_full:
                return Generation("", "length", None)
            raise
        raise _Refusal(f"{error}; lower sample.max_new_tokens or raise the server's context") from None
    generation, reason = _read(answer)
    if reason:
        asked.odd[reason] += 1
    return generation


async def _ask(client: "AsyncOpenAI", endpoint: Endpoint, pace: _Pace, body: dict[str, Any]) -> dict[str, Any]:
    """The endpoint's answer, asked for again and again while that may help. Raises _Refusal and _Unserved."""
    import openai

    path = "/chat/completions" if endpoint.api == "chat" else "/completions"
    attempt = 0
    while True:
        await pace.turn()
        after: float | None = None
        try:
            answer: Any = await client.post(path, cast_to=object, body=body)
            if _is_answer(answer):
                return answer
            reason = f"no answer in {answer!r}"
        except openai.APIStatusError as error:
            if not _may_pass(error):
                raise _Refusal(await _explain(client, endpoint, error), is_full=_is_full(error)) from None
            after = _retry_after(error.response.headers)
            reason = f"status {error.status_code}: {error.message}"
        except openai.APIConnectionError as error:
            reason = f"{error.message} {error.__cause__ or ''}"
        except (openai.APIError, ValueError) as error:  # no JSON, or not that of an answer
            reason = f"unreadable answer: {error}"
        if attempt == endpoint.max_retries or (after or 0.0) > _LONGEST_RETRY_AFTER_S:
            wish = f", and asks to wait {after:.0f} s" if after else ""
            raise _Unserved(f"{_shown(endpoint, reason)}{wish}")
        if after is not None:
            pace.hold(after)  # the next turn of this request too
        backoff = min(_LONGEST_BACKOFF_S, _FIRST_WAIT_S * 2**attempt)
        await asyncio.sleep(backoff * random.uniform(1.0, 1.5))  # not all at the same time
        attempt += 1


def _body(endpoint: Endpoint, request: SampleRequest, settings: SamplingSettings, limit: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        **endpoint.extra_body, "model": endpoint.model, "temperature": settings.temperature, "top_p": settings.top_p
    }  # fmt: skip
    if endpoint.seeds:
        body["seed"] = request.seed % 2**31  # servers read it as an int32
    if endpoint.api == "completions":
        prompt = list(request.prompt.token_ids) or request.prompt.text
        return {**body, "prompt": prompt, "max_tokens": limit, **({"logprobs": 1} if endpoint.logprobs else {})}
    # OpenAI's own newer models refuse the older name, which is the only one that most servers know.
    name = "max_completion_tokens" if endpoint.base_url == OPENAI_URL else "max_tokens"
    messages = json.loads(request.prompt.text)
    return {**body, "messages": messages, name: limit, **({"logprobs": True} if endpoint.logprobs else {})}


def _is_answer(answer: Any) -> bool:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and first.get("finish_reason") not in ("abort", "error")


def _read(answer: dict[str, Any]) -> tuple[Generation, str]:
    """The first choice; and how it ended, where that is neither an end token nor the limit ("" else)."""
    choice = answer["choices"][0]
    message = choice.get("message") or {}
    text = choice.get("text") or message.get("content") or message.get("refusal") or ""
    reason = choice.get("finish_reason")
    finish: FinishReason = "length" if reason == "length" else "stop"
    ids = choice.get("token_ids")
    token_ids = tuple(ids) if isinstance(ids, list) and all(isinstance(i, int) for i in ids) else None
    odd = "" if reason in ("stop", "length") else str(reason)
    if odd and not text:
        token_ids = ()  # held back or broken off: not an answer that the model ended at once
    logprobs, counted = _logprobs(choice.get("logprobs")), _counted(answer.get("usage"))
    return Generation(str(text), finish, token_ids, logprobs, counted), odd


def _counted(usage: Any) -> tuple[int, int] | None:
    given = usage if isinstance(usage, dict) else {}
    prompt, completion = given.get("prompt_tokens"), given.get("completion_tokens")
    if isinstance(prompt, int) and isinstance(completion, int) and min(prompt, completion) >= 0:
        return prompt, completion
    return None


def _logprobs(found: Any) -> tuple[float, ...] | None:
    """Of the drawn tokens, in either API's shape; None where one is missing or not finite: records hold numbers."""
    if not isinstance(found, dict):
        return None
    content = found.get("content")
    values = [c.get("logprob") for c in content] if isinstance(content, list) else found.get("token_logprobs")
    if not values or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        return None
    return tuple(float(v) for v in values)


def _may_pass(error: "APIStatusError") -> bool:
    """Whether the same request may be served later. A quota that is used up is not filled by waiting."""
    busy = error.status_code in (408, 409, 429) or error.status_code >= 500
    return busy and error.code != "insufficient_quota"


def _is_full(error: "APIStatusError") -> bool:
    return error.status_code == 400 and bool(_FULL.search(f"{error.code} {error.type} {error.message}"))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait: a number, or a date."""
    given = headers.get("retry-after")
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


async def _explain(client: "AsyncOpenAI", endpoint: Endpoint, error: "APIStatusError") -> str:
    """What was refused, and the fix."""
    said = f"{endpoint.base_url} refuses the request ({error.status_code}: {_shown(endpoint, error.message)})"
    if error.status_code in (401, 403):
        state = "holds no key that is accepted" if endpoint.key() else "is not set"
        name = f"the environment variable {endpoint.api_key_env}"
        return f"{said}; {name} {state}: put the key there, or name another one by sample.options.api_key_env"
    if error.status_code == 404:
        cards = await _cards(client)
        served = f"it serves: {', '.join(sorted(cards))}" if cards else "it does not list its models"
        return (
            f"{said}; is {endpoint.model!r} served there? {served}; "
            "set sample.options.served_model, or end sample.options.base_url with /v1"
        )
    if error.status_code == 429:
        return f"{said}; the account's quota is used up: raise it there, then run the same command again"
    return f"{said}; check sample.options (seeds, logprobs, extra_body) and the recipe's sampling settings"


async def _cards(client: "AsyncOpenAI") -> dict[str, dict[str, Any]]:
    """The served models by name; empty where the endpoint does not say."""
    import openai

    try:
        found: Any = await client.get("/models", cast_to=object)
        return {str(card["id"]): card for card in found["data"]}
    except (openai.APIError, ValueError, TypeError, KeyError):
        return {}


async def _context(client: "AsyncOpenAI", endpoint: Endpoint) -> int | None:
    """Tokens that prompt and answer may have together, where the server says so; vLLM says an adapter's at its base."""
    cards = await _cards(client)
    card = cards.get(endpoint.model, {})
    length = card.get("max_model_len") or cards.get(str(card.get("parent")), {}).get("max_model_len")
    return length if isinstance(length, int) else None


def _client(endpoint: Endpoint) -> "AsyncOpenAI":
    """Made for each batch, because its connections belong to one event loop. A server nearby is not behind a proxy."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    return AsyncOpenAI(
        api_key=endpoint.key() or "none", base_url=endpoint.base_url, timeout=endpoint.timeout_s, max_retries=0,
        http_client=DefaultAsyncHttpxClient(trust_env=not endpoint.is_local),
    )  # fmt: skip


def _shown(endpoint: Endpoint, text: str) -> str:
    """An endpoint's words as a message may show them: short, and without the key, which some repeat."""
    key = endpoint.key()
    plain = " ".join((text.replace(key, "***") if key else text).split())
    return plain[:300]
