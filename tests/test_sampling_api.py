"""The back ends "openai" and "vllm", against fake servers that are late, busy, broken, strict or dead as told."""

import asyncio
import email.utils
import json
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from itertl.cli import app
from itertl.config import PromptConfig, SampleConfig, build_recipe
from itertl.errors import ToolFailed, ToolMissing, UsageError
from itertl.loop.prepare import check_recipe
from itertl.model import find
from itertl.model.find import tiny_tokenizer
from itertl.model.load import load_tokenizer
from itertl.model.policy import Policy
from itertl.model.prompts import EncodedPrompt, encode_prompt
from itertl.records import Candidate, Problem, SamplingSettings
from itertl.runs.storage import read_records
from itertl.sampling import openai_backend, vllm_backend
from itertl.sampling.backend import BatchIncomplete
from itertl.sampling.batching import SampleRequest
from itertl.sampling.draw import SamplingJob, draw_candidates
from itertl.sampling.openai_backend import OpenAIBackend, open_backend
from itertl.sampling.vllm_backend import Server, VllmBackend

KEY = "sk-Very-Secret-0123456789"
SETTINGS = SamplingSettings(temperature=0.7, top_p=0.9, max_new_tokens=32)


# ---- a server that does as it is told ------------------------------------------------------------------------------


@dataclass
class Reply:
    """``body`` None: an answer that names the request's seed."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


@dataclass
class Asked:
    path: str
    body: dict[str, Any]
    key: str
    time: float

    @property
    def seed(self) -> int:
        return int(self.body["seed"])


class FakeServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.asked: list[Asked] = []
        self.models: list[dict[str, Any]] | None = [{"id": "served-one"}, {"id": "another"}]
        self.reply: Callable[[Asked, int], Reply] = lambda asked, count: Reply()  # the request, and which attempt it is
        self.active = self.most_active = 0
        self.lock = threading.Lock()

    def attempts(self, seed: int) -> list[Asked]:
        return [a for a in self.asked if a.seed == seed]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        models = self.server.models
        self._send(Reply(404) if models is None else Reply(body={"object": "list", "data": models}))

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(self.path, body, self.headers["Authorization"].removeprefix("Bearer "), time.monotonic())
        with server.lock:
            server.asked.append(asked)
            count = len([a for a in server.asked if a.body == body])
            server.active += 1
            server.most_active = max(server.most_active, server.active)
        reply = server.reply(asked, count)
        time.sleep(reply.delay)
        with server.lock:
            server.active -= 1
        if reply.drop:
            self.connection.close()
            return
        if reply.body is None:
            failure = {"error": {"message": "told to"}}
            reply.body = answer(f"text {body.get('seed')}") if reply.status == 200 else failure
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        data = reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def answer(text: str | None, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """Read by either kind of request."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "text": text, "message": message, "finish_reason": finish, **more}
    return {"id": "x", "object": "whatever", "choices": [choice], "usage": {"completion_tokens": 1}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(openai_backend, "_FIRST_WAIT_S", 0.01)
    fake = FakeServer()
    thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    fake.shutdown()
    thread.join()
    fake.server_close()


def backend(server: FakeServer, **options: Any) -> OpenAIBackend:
    return open_backend("served-one", base_url=server.url, **options)


def chat_prompt(text: str = "x") -> EncodedPrompt:
    return EncodedPrompt(json.dumps([{"role": "user", "content": text}]), (), "")


def requests(count: int, prompt: EncodedPrompt | None = None) -> list[SampleRequest]:
    return [SampleRequest(f"p{n}", 0, n, prompt or chat_prompt()) for n in range(count)]


def problem(text: str, header: str = "", **more: Any) -> Problem:
    return Problem.create(instruction=text, header=header, source="test", **more)


PROBLEMS = [problem(f"Build counter {n}.", "module c(input clk);\n") for n in range(4)]


def config(server: FakeServer, **options: Any) -> SampleConfig:
    options = {"base_url": server.url, "served_model": "served-one", "max_retries": 1, **options}
    return SampleConfig(backend="openai", num_candidates=2, batch_size=8, options=options)


def run(server: FakeServer, out: Path, **options: Any) -> list[Candidate]:
    job = SamplingJob(PROBLEMS, Policy("m", known_digest="api"), config(server, **options), 3)
    return draw_candidates(job, out)


# ---- what is asked, and what comes back ----------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_requests_whatever_theirs(server: FakeServer) -> None:
    server.reply = lambda asked, count: Reply(delay=0.02 * (7 - asked.seed))
    ask = backend(server)
    for _ in range(3):  # each call has an event loop of its own
        assert [g.text for g in ask(requests(8), SETTINGS)] == [f"text {n}" for n in range(8)]


def test_a_request_carries_the_settings_and_its_own_seed(server: FakeServer) -> None:
    far = [SampleRequest("p", 0, 2**31 + 5, chat_prompt("Hi"))]
    backend(server, extra_body={"top_k": 5, "nested": {"a": [1]}})(far, SETTINGS)
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].body == {
        "model": "served-one", "temperature": 0.7, "top_p": 0.9, "max_tokens": 32, "seed": 5, "top_k": 5,
        "nested": {"a": [1]}, "messages": [{"role": "user", "content": "Hi"}],
    }  # fmt: skip
    backend(server, seeds=False)(far, SETTINGS)
    assert "seed" not in server.asked[1].body


def test_samples_come_as_often_as_a_server_draws_them(server: FakeServer) -> None:
    """A server that draws letters by the request's temperature, top-p and seed: chi-square of 1,000 against the
    exact nucleus."""
    logits = [2.0 - 0.4 * n for n in range(8)]

    def nucleus(temperature: float, top_p: float) -> list[float]:
        weights = [math.exp(x / temperature) for x in logits]
        probs = [w / sum(weights) for w in weights]
        kept = [p if sum(probs[:n]) < top_p else 0.0 for n, p in enumerate(probs)]
        return [p / sum(kept) for p in kept]

    def drawn(asked: Asked, count: int) -> Reply:
        exact = nucleus(asked.body["temperature"], asked.body["top_p"])
        return Reply(body=answer(random.Random(asked.seed).choices("abcdefgh", exact)[0]))

    server.reply = drawn
    counts = Counter(g.text for g in backend(server, max_concurrency=32)(requests(1000), SETTINGS))
    exact = dict(zip("abcdefgh", nucleus(0.7, 0.9), strict=True))
    wanted = {letter: 1000 * p for letter, p in exact.items() if p > 0}
    assert set(counts) == set(wanted) and len(wanted) < 8
    statistic = sum((counts[letter] - mean) ** 2 / mean for letter, mean in wanted.items())
    assert statistic < 30  # 4 to 6 degrees of freedom: less often than once in 10,000


def test_token_counts_of_the_server_are_kept(server: FakeServer, tmp_path: Path) -> None:
    for usage, counts in (
        ({"prompt_tokens": 31, "completion_tokens": 7}, (31, 7)),
        ({"prompt_tokens": None}, (0, 0)),
        (None, (0, 0)),
    ):
        server.reply = lambda asked, count, usage=usage: Reply(body={**answer("text"), "usage": usage})
        found = run(server, tmp_path / f"{counts}{usage is None}.jsonl")
        assert {(c.prompt_tokens, c.completion_tokens) for c in found} == {counts}


def test_a_chat_is_made_of_messages(server: FakeServer) -> None:
    ask = backend(server)

    def messages(asked: Problem, **prompt: Any) -> Any:
        encoded = ask.encode(asked, PromptConfig(**prompt))
        assert (encoded.token_ids, encoded.prefill) == ((), "")
        return json.loads(encoded.text)

    head = "module m(input a);\n"
    user = {"role": "user", "content": "Tü\n" + head}
    assert messages(problem("Tü", head)) == [user]
    assert messages(problem("Tü", head), header="prefill") == [user]  # no endpoint lets an answer be started
    assert messages(problem("Tü", head), header="omit") == [{"role": "user", "content": "Tü"}]
    assert messages(problem("Tü", head), system="") == [user]
    assert messages(problem("Tü", head), system="Brief.") == [{"role": "system", "content": "Brief."}, user]
    own = problem("Tü", extra={"system": "Theirs"})
    assert messages(own, system="Ours", template="[{instruction}]") == [
        {"role": "system", "content": "Theirs"}, {"role": "user", "content": "Tü"},
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"options\.api=completions"):
        messages(own, style="plain")


def test_completions_get_text_or_the_ids_that_training_uses(server: FakeServer, tmp_path: Path) -> None:
    ask = problem("Hi", "module m;\n")
    plain = backend(server, api="completions")
    prompt = plain.encode(ask, PromptConfig(header="prefill"))
    assert (prompt.text, prompt.token_ids, prompt.prefill) == ("Hi\nmodule m;\n", (), "module m;\n")
    plain(requests(1, prompt), SETTINGS)
    assert (server.asked[-1].path, server.asked[-1].body["prompt"]) == ("/v1/completions", "Hi\nmodule m;\n")
    with pytest.raises(UsageError, match="template"):
        plain.encode(ask, PromptConfig(style="chat"))

    tiny_tokenizer(chat=True).save_pretrained(tmp_path)
    with_ids = open_backend(tmp_path, base_url=server.url, api="completions", served_model="served-one")
    prompt = with_ids.encode(ask, PromptConfig())
    assert prompt == encode_prompt(ask, PromptConfig(), load_tokenizer(tmp_path))
    with_ids(requests(1, prompt), SETTINGS)
    assert server.asked[-1].body["prompt"] == list(prompt.token_ids)
    assert server.asked[-1].body["max_tokens"] == 32


def test_ends_are_told_and_odd_ones_are_not_lost(server: FakeServer) -> None:
    held_back = "content_filter"
    ends = [("a", "stop"), ("b", "length"), (None, held_back), ("c", held_back), ("d", None), ("", "stop")]
    server.reply = lambda asked, count: Reply(body=answer(*ends[asked.seed]))
    with pytest.warns(UserWarning, match="odd end: 1 None, 2 content_filter"):
        found = backend(server)(requests(6), SETTINGS)
    assert [(g.text, g.finish_reason) for g in found] == [
        ("a", "stop"), ("b", "length"), ("", "stop"), ("c", "stop"), ("d", "stop"), ("", "stop"),
    ]  # fmt: skip


def test_logprobs_and_token_ids_are_kept_where_offered(server: FakeServer) -> None:
    chat = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1}]}
    bodies: list[Any] = [
        answer("ab", logprobs=chat, token_ids=[7, 8]),
        answer("ab", logprobs={"tokens": ["a", "b"], "token_logprobs": [-0.25, -2.0]}),
        '{"choices": [{"text": "a", "finish_reason": "stop", "logprobs": {"token_logprobs": [-Infinity]}}]}',
        answer("ab", logprobs={"token_logprobs": [None, -2.0]}, token_ids=["7"]),
    ]
    server.reply = lambda asked, count: Reply(body=bodies[asked.seed])
    found = backend(server, logprobs=True)(requests(4), SETTINGS)
    assert [g.token_logprobs for g in found] == [(-0.5, -1.0), (-0.25, -2.0), None, None]
    assert [g.token_ids for g in found] == [(7, 8), None, None, None]
    assert server.asked[0].body["logprobs"] is True
    backend(server, logprobs=True, api="completions")(requests(1), SETTINGS)
    assert server.asked[-1].body["logprobs"] == 1


def test_an_answer_ends_at_the_servers_context(server: FakeServer) -> None:
    prompts = [EncodedPrompt("", tuple(range(length)), "") for length in (10, 90, 100)]
    batch = [SampleRequest("p", n, n, prompt) for n, prompt in enumerate(prompts)]
    for server.models in (
        [{"id": "served-one", "max_model_len": 100}],
        [{"id": "served-one", "parent": "base"}, {"id": "base", "max_model_len": 100}],
    ):
        server.asked.clear()
        found = backend(server, api="completions")(batch, SETTINGS)
        assert sorted((a.seed, a.body["max_tokens"]) for a in server.asked) == [(0, 32), (1, 10)]
        assert (found[2].text, found[2].finish_reason, found[2].token_ids) == ("", "length", ())


def test_a_prompt_that_the_server_finds_too_long_is_accounted_for(server: FakeServer) -> None:
    full = {"error": {"message": "This model's maximum context length is 9 tokens.", "code": 400}}
    server.reply = lambda asked, count: Reply(400, full) if asked.seed == 1 else Reply()
    found = backend(server)(requests(2), SETTINGS)
    assert [(g.text, g.finish_reason) for g in found] == [("text 0", "stop"), ("", "length")]
    server.reply = lambda asked, count: Reply(400, full) if asked.body["max_tokens"] > 1 else Reply()
    with pytest.raises(UsageError, match=r"lower sample\.max_new_tokens"):
        backend(server)(requests(1), SETTINGS)


# ---- what fails for a while ----------------------------------------------------------------------------------------

TROUBLES = {
    **{str(status): Reply(status) for status in (408, 409, 429, 500, 503)},
    "dropped": Reply(drop=True),
    "late": Reply(delay=0.4),
    "no json": Reply(body="<html>busy</html>"),
    "no choices": Reply(body={"error": {"message": "overloaded"}}),
    "aborted": Reply(body=answer("half", "abort")),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_passing_trouble_is_asked_again(server: FakeServer, trouble: str) -> None:
    server.reply = lambda asked, count: TROUBLES[trouble] if count <= 2 else Reply()
    ask = backend(server, timeout_s=0.2 if trouble == "late" else 10)
    assert [g.text for g in ask(requests(2), SETTINGS)] == ["text 0", "text 1"]
    assert [len(server.attempts(n)) for n in range(2)] == [3, 3]


def test_waits_grow_and_end(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.06 s doubled twice, each up to half longer: at least 0.06, 0.12, 0.24 s between the four attempts."""
    monkeypatch.setattr(openai_backend, "_FIRST_WAIT_S", 0.06)
    server.reply = lambda asked, count: Reply(503)
    with pytest.raises(BatchIncomplete, match=r"1 of 1 requests failed \(status 503"):
        backend(server, max_retries=3)(requests(1), SETTINGS)
    times = [a.time for a in server.asked]
    gaps = [b - a for a, b in pairwise(times)]
    assert len(gaps) == 3
    for gap, least in zip(gaps, (0.06, 0.12, 0.24), strict=True):
        assert least - 0.01 <= gap < 2 * least + 0.1


def test_retry_after_is_honoured_by_all_requests(server: FakeServer) -> None:
    busy = Reply(429, headers={"Retry-After": "0.3"})
    server.reply = lambda asked, count: busy if len(server.asked) == 1 else Reply()
    assert len(backend(server, max_concurrency=1)(requests(3), SETTINGS)) == 3
    assert server.asked[1].time - server.asked[0].time >= 0.29
    server.asked.clear()
    server.reply = lambda asked, count: busy if asked.seed == 0 and count == 1 else Reply(delay=0.1)
    backend(server, max_concurrency=2)(requests(4), SETTINGS)  # the second slot is held back too
    early = [a for a in server.asked if a.time - server.asked[0].time < 0.25]
    assert len(early) == 2


def test_retry_after_as_date_and_as_nonsense() -> None:
    def seconds(given: str) -> float | None:
        return openai_backend._retry_after({"retry-after": given})

    later = seconds(email.utils.formatdate(time.time() + 60, usegmt=True))
    assert later is not None and 57 < later <= 61
    assert seconds("2.5") == 2.5
    assert seconds(email.utils.formatdate(time.time() - 60, usegmt=True)) == 0
    assert [seconds(given) for given in ("soon", "nan", "")] == [None, None, None]


def test_a_wait_of_hours_is_not_waited(server: FakeServer) -> None:
    server.reply = lambda asked, count: Reply(429, headers={"Retry-After": "7200"})
    start = time.monotonic()
    with pytest.raises(BatchIncomplete, match="asks to wait 7200 s"):
        backend(server)(requests(1), SETTINGS)
    assert time.monotonic() - start < 2 and len(server.asked) == 1


def test_requests_keep_to_their_rate_over_all_batches(server: FakeServer) -> None:
    ask = backend(server, requests_per_minute=1200)  # 50 ms apart
    for _ in range(2):
        ask(requests(4), SETTINGS)
    times = sorted(a.time for a in server.asked)
    assert times[-1] - times[0] >= 7 * 0.05 - 0.02
    assert min(b - a for a, b in pairwise(times)) > 0.02


def test_no_more_requests_at_once_than_allowed(server: FakeServer) -> None:
    server.reply = lambda asked, count: Reply(delay=0.05)
    backend(server, max_concurrency=3)(requests(12), SETTINGS)
    assert server.most_active == 3


def test_what_stays_unserved_is_asked_again_by_the_same_command(server: FakeServer, tmp_path: Path) -> None:
    whole = run(server, tmp_path / "whole.jsonl")
    seeds = [a.seed for a in server.asked]
    assert len(set(seeds)) == 8
    bad = set(seeds[2:5])
    server.asked.clear()
    server.reply = lambda asked, count: Reply(500) if asked.seed in bad else Reply()
    out = tmp_path / "again.jsonl"
    with pytest.raises(BatchIncomplete, match=r"3 of 8 requests failed \(status 500.*same command"):
        run(server, out)
    assert not out.exists()
    server.asked.clear()
    server.reply = lambda asked, count: Reply()
    assert run(server, out) == whole
    assert {a.seed for a in server.asked} == bad and len(server.asked) == 3
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [c.seed % 2**31 for c in whole] == [int(c.text.removeprefix("text ")) for c in whole]


def test_another_pace_keeps_what_was_served_and_other_answers_do_not(server: FakeServer, tmp_path: Path) -> None:
    server.reply = lambda asked, count: Reply(500) if asked.seed % 2 else Reply()
    with pytest.raises(BatchIncomplete):
        run(server, tmp_path / "out.jsonl")
    server.reply = lambda asked, count: Reply()
    unserved = {a.seed for a in server.asked if a.seed % 2}
    for changes, asked in (
        ({"requests_per_minute": 100_000, "max_concurrency": 2, "timeout_s": 9}, len(unserved)),
        ({"extra_body": {"top_k": 5}}, 8),
    ):
        shutil.copy(tmp_path / "out.jsonl.partial", tmp_path / f"{asked}.jsonl.partial")
        server.asked.clear()
        run(server, tmp_path / f"{asked}.jsonl", **changes)
        assert len(server.asked) == asked


def test_a_served_model_is_evaluated_without_one_of_ours(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(find, "resolve_model", None)  # nothing is looked for on this machine
    server.reply = lambda asked, count: Reply(body=answer("module m(input a, output y);\nassign y = a;\nendmodule\n"))
    shared = ["--model", "openai:served-one", "--base-url", server.url]
    judged = CliRunner().invoke(
        app,
        [
            "eval",
            *shared,
            "sample.max_new_tokens=16",
            "prompt.system=Be brief.",
            "--limit",
            "2",
            "--out",
            str(tmp_path / "e"),
            "--json",
        ],
    )
    assert judged.exit_code == 0, judged.output
    assert json.loads(judged.stdout)["summary"]["total"] == 2 and json.loads(judged.stdout)["policy"] == "served-one"
    assert [c.policy for c in read_records(tmp_path / "e" / "samples-synth-heldout.jsonl", Candidate)] == [
        "served-one"
    ] * 2
    sent = server.asked[0].body
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["messages"][0]["content"]) == (
        "served-one",
        16,
        0.0,
        "Be brief.",
    )
    made = CliRunner().invoke(app, ["generate", "A wire.", *shared, "--json"])
    assert [row["policy"] for row in json.loads(made.stdout)["results"]] == ["served-one"]
    assert not (tmp_path / "cache" / "models").exists()


def test_a_served_model_is_not_trained_or_loaded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be trained"):
        check_recipe(build_recipe({"model": {"path": "openai:x"}}))
    with pytest.raises(UsageError, match="served by an endpoint"):
        load_tokenizer("openai:x")


# ---- what is refused, and the key ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, r"400: .*told to.*check sample\.options"),
        (401, r"environment variable OPENAI_API_KEY holds no key that is accepted: .*api_key_env"),
        (403, "OPENAI_API_KEY holds no key"),
        (404, r"is 'served-one' served there\? it serves: another, served-one; set sample\.options\.served_model"),
        (422, "422"),
    ],
)
def test_refusals_are_final_and_name_the_mend(server: FakeServer, status: int, message: str) -> None:
    server.reply = lambda asked, count: Reply(status)
    with pytest.raises(UsageError, match=message) as caught:
        backend(server, max_concurrency=1)(requests(5), SETTINGS)
    assert server.url in str(caught.value)
    assert len(server.asked) == 1  # neither again, nor the others
    assert caught.value.exit_status == 2


def test_a_404_without_a_list_and_a_quota_used_up(server: FakeServer) -> None:
    server.models = None
    server.reply = lambda asked, count: Reply(404)
    with pytest.raises(UsageError, match=r"does not list its models.*end sample\.options\.base_url with /v1"):
        backend(server)(requests(1), SETTINGS)
    server.asked.clear()
    server.reply = lambda asked, count: Reply(429, {"error": {"message": "pay", "code": "insufficient_quota"}})
    with pytest.raises(UsageError, match="quota is used up"):
        backend(server)(requests(1), SETTINGS)
    assert len(server.asked) == 1


def test_a_refusal_keeps_what_was_served(server: FakeServer) -> None:
    server.reply = lambda asked, count: Reply(400) if asked.seed == 2 else Reply()
    with pytest.raises(UsageError, match="400") as caught:
        backend(server, max_concurrency=1)(requests(5), SETTINGS)
    assert isinstance(caught.value, BatchIncomplete)
    assert {place: g.text for place, g in caught.value.done.items()} == {0: "text 0", 1: "text 1"}
    assert caught.value.exit_status == 2


def test_the_key_is_sent_and_never_told(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}."}}
    replies = [Reply(status, echo) for status in (401, 500, 404)]
    replies += [Reply(body={"error": echo}), Reply(body=f"no {KEY}")]
    told: list[str] = []
    for number, reply in enumerate(replies):
        server.reply = lambda asked, count, reply=reply: reply
        with pytest.raises((UsageError, ToolFailed)) as caught:
            run(server, tmp_path / f"{number}.jsonl")
        told += traceback.format_exception(caught.value)
        assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert any("***" in text for text in told)
    server.reply = lambda asked, count: Reply(500) if len(server.asked) % 2 else Reply()
    server.asked.clear()
    plans = set()
    for key in (KEY, KEY.lower()):  # another key is no other plan
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(BatchIncomplete):
            run(server, tmp_path / "part.jsonl", max_retries=0)
        plans.add((tmp_path / "part.jsonl.partial").read_text().splitlines()[0])
        assert server.asked[-1].key == key
    assert len(plans) == 1
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.reply = lambda asked, count: Reply()
    run(server, tmp_path / "good.jsonl")
    out, err = capfd.readouterr()
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 3
    for text in [*told, *files, caplog.text, out, err, repr(backend(server))]:
        assert KEY not in text


def test_credentials_outside_the_environment_are_refused(server: FakeServer) -> None:
    host = server.url.removeprefix("http://")
    for options in (
        {"base_url": f"http://user:{KEY}@{host}"},
        {"base_url": f"{server.url}?api_key={KEY}"},
        {"base_url": f"http://x/{KEY}"},
        {"api_key_env": KEY},
        {"served_model": KEY},
        {"extra_body": {"api_key": "other"}},
        {"extra_body": {"a": [{"X-API-Key": "other"}]}},
        {"extra_body": {"auth_token": "other"}},
        {"extra_body": {"harmless": f"Bearer {KEY}"}},
    ):
        with pytest.raises(UsageError) as caught:
            open_backend("m", **{"base_url": server.url, **options})
        assert KEY not in str(caught.value) and "other" not in str(caught.value).split()
    open_backend("m", base_url=server.url, extra_body={"max_thinking_tokens": 3, "token_budget": 4})


def test_who_needs_a_key(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert backend(server)(requests(1), SETTINGS)[0].text == "text 0"
    assert server.asked[0].key == "none"
    server.reply = lambda asked, count: Reply(401)
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        backend(server)(requests(1), SETTINGS)
    for url in (None, "https://api.example.com/v1", "http://8.8.8.8/v1"):
        with pytest.raises(UsageError, match=r"needs a key.*MY_KEY"):
            open_backend("m", base_url=url, api_key_env="MY_KEY")
    for url in ("http://localhost:1/v1", "http://gpu-box:8000/v1", "http://10.0.0.3/v1", "http://[::1]:2/v1"):
        open_backend("m", base_url=url)
    monkeypatch.setenv("MY_KEY", "line\nbreak")
    with pytest.raises(UsageError, match="MY_KEY holds characters"):
        open_backend("m", api_key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    server.reply = lambda asked, count: Reply()
    backend(server, api_key_env="MY_KEY")(requests(1), SETTINGS)
    assert server.asked[-1].key == KEY


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api": "responses"}, r"options\.api"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"max_retries": -1}, "max_retries"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"extra_body": {"temperature": 0}}, r"extra_body\.temperature"),
        ({"base_url": "localhost:8000"}, "base_url"),
    ],
)
def test_options_that_cannot_be_are_refused(server: FakeServer, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_backend("m", **{"base_url": server.url, **options})


def test_a_missing_package_is_named(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"pip install 'itertl\[api\]'"):
        backend(server)


def test_openais_own_models_know_the_newer_name_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = open_backend("m")._endpoint
    body = openai_backend._body(endpoint, requests(1)[0], SETTINGS, 9)
    assert body["max_completion_tokens"] == 9 and "max_tokens" not in body


# ---- vLLM: a program that behaves like its server ------------------------------------------------------------------

FAKE_VLLM = """
import json, os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
mode = os.environ.get("FAKE_MODE", "")
engine = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
with open(os.environ["FAKE_NOTES"], "a") as notes:
    notes.write(json.dumps({"pid": os.getpid(), "engine": engine.pid, "argv": sys.argv[1:]}) + "\\n")
if mode == "die":
    print(*(f"line {n}." for n in range(40)), sep="\\n")
    sys.exit(3)
if mode == "hang":
    time.sleep(600)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

class Handler(BaseHTTPRequestHandler):
    def send(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        self.send({"data": [{"id": "itertl", "max_model_len": 4096}]})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if mode == "die at 2" and body["seed"] == 2:
            time.sleep(0.3)
            print("out of memory", flush=True)
            os._exit(9)
        ids = [7, 8] if body["return_token_ids"] else None
        self.send({"choices": [{"text": str(body["prompt"]), "finish_reason": "stop", "token_ids": ids}]})
    def log_message(self, *args):
        pass

port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

IDS = EncodedPrompt("", (5, 6), "")


@dataclass
class Fake:
    """The program that stands in for vLLM, and what each start of it wrote down."""

    program: list[str]
    notes_file: Path

    def notes(self) -> list[dict[str, Any]]:
        if not self.notes_file.exists():
            return []
        return [json.loads(line) for line in self.notes_file.read_text().splitlines()]

    def pids(self) -> list[int]:
        return [pid for note in self.notes() for pid in (note["pid"], note["engine"])]

    def backend(self, **options: Any) -> VllmBackend:
        server = Server([*self.program, "serve", "m"], options.pop("port", 0), options.pop("start_timeout_s", 20.0))
        return VllmBackend(None, server)  # type: ignore[arg-type]  # prompts are given as ids


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    script, notes = tmp_path / "fake_vllm.py", tmp_path / "notes.jsonl"
    script.write_text(FAKE_VLLM)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("FAKE_NOTES", str(notes))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody there: a server of ours is not asked through it
    monkeypatch.setattr(vllm_backend, "_POLL_S", 0.02)
    monkeypatch.setattr(openai_backend, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(vllm_backend.tempfile, "tempdir", str(tmp_path / "tmp"))
    made = Fake([sys.executable, "-S", str(script)], notes)
    yield made
    for pid in made.pids():
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """An ended process that nobody has reaped does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_end(pids: list[int], within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return bool(pids)


def test_vllm_through_the_stage(fake: Fake, tmp_path: Path) -> None:
    """Started once, for the first batch; asked with our ids; gone with all its processes when the stage is done."""
    folder = tmp_path / "model"
    tiny_tokenizer().save_pretrained(folder)
    options = {"command": fake.program, "max_model_len": 2048, "extra_args": ["--enforce-eager"], "tensor_parallel": 2}
    settings = SampleConfig(backend="vllm", num_candidates=2, batch_size=3, options=options)
    out = tmp_path / "c.jsonl"
    got = draw_candidates(SamplingJob(PROBLEMS, Policy(folder, known_digest="p"), settings, 3), out)
    prompt = encode_prompt(PROBLEMS[0], PromptConfig(), load_tokenizer(folder))
    assert got[0].text == str(list(prompt.token_ids))
    assert all(c.token_ids == (7, 8) and c.prompt_tokens for c in got)
    assert read_records(out, Candidate) == got
    (note,) = fake.notes()
    line = note["argv"]
    assert line[:4] == ["serve", str(folder), "--served-model-name", "itertl"]
    pairs = dict(pairwise(line))
    want = {"--dtype": "bfloat16", "--generation-config": "vllm", "--seed": "0", "--max-model-len": "2048"}
    want |= {"--tensor-parallel-size": "2", "--data-parallel-size": "1", "--gpu-memory-utilization": "0.9"}
    assert want.items() <= pairs.items()
    assert "--enforce-eager" in line and int(pairs["--port"]) > 0 and "--trust-remote-code" not in line
    assert not any(is_alive(pid) for pid in fake.pids())
    assert list((tmp_path / "tmp").iterdir()) == []  # nor is its log left


def test_a_server_starts_with_the_first_batch_and_stops_at_close(fake: Fake) -> None:
    backend = fake.backend()
    backend.close()
    assert fake.notes() == []
    for _ in range(2):
        assert [g.token_ids for g in backend(requests(2, IDS), SETTINGS)] == [(7, 8)] * 2
    assert len(fake.notes()) == 1 and all(is_alive(pid) for pid in fake.pids())
    backend.close()
    assert not any(is_alive(pid) for pid in fake.pids())
    backend(requests(1, IDS), SETTINGS)
    backend.close()
    assert len(fake.notes()) == 2


def test_a_server_that_dies_while_starting_shows_its_log(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MODE", "die")
    with pytest.raises(ToolFailed, match="status 3 while starting") as caught:
        fake.backend()(requests(1, IDS), SETTINGS)
    shown = str(caught.value).splitlines()[1:]
    assert shown == [f"line {n}." for n in range(20, 40)]
    log = str(caught.value).split("the end of ")[1].split(":\n")[0]
    assert "line 0." in Path(log).read_text()
    assert all_end(fake.pids(), 0)


def test_a_server_that_never_answers_is_stopped(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MODE", "hang")
    with pytest.raises(ToolFailed, match=r"within 0\.6 s and was stopped.*start_timeout_s"):
        fake.backend(start_timeout_s=0.6)(requests(1, IDS), SETTINGS)
    assert all_end(fake.pids(), 0)


def test_a_dead_server_is_started_again_once(fake: Fake) -> None:
    backend = fake.backend()
    backend(requests(1, IDS), SETTINGS)
    os.kill(fake.notes()[0]["pid"], signal.SIGKILL)
    assert all_end([fake.notes()[0]["pid"]])
    backend(requests(1, IDS), SETTINGS)
    assert len(fake.notes()) == 2
    assert not is_alive(fake.notes()[0]["engine"])  # what the first left on the GPU is gone before
    os.kill(fake.notes()[1]["pid"], signal.SIGKILL)
    assert all_end([fake.notes()[1]["pid"]])
    with pytest.raises(ToolFailed, match="second time"):
        backend(requests(1, IDS), SETTINGS)
    assert all_end(fake.pids(), 0)


def test_a_server_that_dies_under_a_batch_leaves_what_it_answered(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MODE", "die at 2")
    with pytest.raises(BatchIncomplete, match=r"(?s)1 of 4 requests failed.*died.*out of memory") as caught:
        fake.backend()(requests(4, IDS), SETTINGS)
    assert sorted(caught.value.done) == [0, 1, 3]
    assert all_end(fake.pids(), 0)


def test_a_server_that_will_not_end_is_killed(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MODE", "stubborn")
    monkeypatch.setattr(vllm_backend, "_STOP_AFTER_S", 0.3)
    backend = fake.backend()
    backend(requests(1, IDS), SETTINGS)
    backend.close()
    assert all_end(fake.pids(), 0)


def test_a_keyboard_interrupt_stops_the_server(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = fake.backend()
    backend(requests(1, IDS), SETTINGS)

    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(OpenAIBackend, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backend(requests(1, IDS), SETTINGS)
    assert all_end(fake.pids(), 0)


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_the_server_ends_with_us_however_we_end(fake: Fake, tmp_path: Path, how: str) -> None:
    code = (
        "import json, sys, time\n"
        "from itertl.sampling.vllm_backend import Server\n"
        "server = Server([*json.loads(sys.argv[1]), 'serve', 'm'], 0, 20)\n"
        "server.start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(0 if sys.argv[2] == 'ended' else 600)\n"
    )
    ours = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(fake.program), how],
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert ours.stdout is not None and ours.stdout.readline() == "ready\n"
    assert len(fake.pids()) == 2
    if how == "killed":
        assert all(is_alive(pid) for pid in fake.pids())
        ours.kill()
    ours.wait(20)
    ours.stdout.close()
    assert all_end(fake.pids(), 3)
    assert how == "killed" or not list(tmp_path.glob("itertl-vllm-*"))  # a kill leaves us no time to clear the log away


def test_an_adapter_is_served_on_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    tiny_tokenizer().save_pretrained(base)
    adapter.mkdir()
    described = adapter / "adapter_config.json"
    described.write_text(json.dumps({"base_model_name_or_path": str(base), "r": 20}))
    made = vllm_backend.open_backend(adapter, command=["vllm"])
    line = made._server._arguments
    assert line[:4] == ["vllm", "serve", str(base), "--enable-lora"]
    pairs = dict(pairwise(line))
    assert pairs["--max-lora-rank"] == "32"
    assert pairs["--lora-modules"] == f"itertl={adapter}"
    assert pairs["--served-model-name"] != "itertl"  # else the base would answer
    assert made.encode(PROBLEMS[0], PromptConfig()).token_ids
    described.write_text(json.dumps({"r": 20}))
    with pytest.raises(UsageError, match="base_model_name_or_path"):
        vllm_backend.open_backend(adapter, command=["vllm"])


def test_where_vllm_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="ITERTL_VLLM_PYTHON"):
        vllm_backend.find_vllm()
    shutil.copy("/bin/true", tmp_path / "vllm")
    assert vllm_backend.find_vllm() == [str(tmp_path / "vllm")]
    monkeypatch.setenv("ITERTL_VLLM_PYTHON", sys.executable)
    assert vllm_backend.find_vllm() == [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    with pytest.raises(UsageError, match=r"nowhere.*sample\.options\.python"):
        vllm_backend.find_vllm("/nowhere/python")
    for words in (["--api-key", KEY], [f"--hf-token={KEY}"], [f"--api_key={KEY}"]):
        with pytest.raises(UsageError, match="extra_args") as caught:
            vllm_backend.open_backend("m", extra_args=words)
        assert KEY not in str(caught.value)
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    monkeypatch.setenv("PYTHONPATH", "ours")
    environment = vllm_backend._environment("/env/bin/python")
    assert environment["PATH"].startswith("/env/bin:") and not {"VLLM_API_KEY", "PYTHONPATH"} & set(environment)


def test_a_taken_port_is_named(fake: Fake, server: FakeServer) -> None:
    with pytest.raises(UsageError, match=f"port {server.server_port} cannot be used"):
        fake.backend(port=server.server_port)(requests(1, IDS), SETTINGS)
    assert fake.notes() == []


def test_no_event_loop_is_left_running(server: FakeServer) -> None:
    backend(server)(requests(1), SETTINGS)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
