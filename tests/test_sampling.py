"""Drawing tokens, decoding batches, prompts, replay, and the stage with its resumption."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.config import PromptConfig, SampleConfig
from itertl.errors import DataError, ToolFailed, UsageError
from itertl.model.find import make_tiny, tiny_tokenizer
from itertl.model.load import load_model, load_tokenizer
from itertl.model.policy import Policy
from itertl.model.prompts import EncodedPrompt, encode_prompt, encode_response
from itertl.records import Candidate, Problem, SamplingSettings
from itertl.runs.storage import read_records
from itertl.sampling.batching import plan_batches, plan_requests
from itertl.sampling.draw import SamplingJob, draw_candidates
from itertl.sampling.nucleus import draw, uniforms
from itertl.sampling.transformers_backend import TransformersBackend
from itertl.verilog.extract import extract


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    make_tiny(folder)
    return folder


def problem(text: str, header: str = "", reference: str | None = None) -> Problem:
    return Problem.create(instruction=text, header=header, reference=reference, source="test")


PROBLEMS = [problem(f"Build a counter of {n} bits." + " Please." * (n % 3), "module c(input clk);\n") for n in range(7)]


# ---- one token -----------------------------------------------------------------------------------------------------


def exact_nucleus(logits: list[float], temperature: float, top_p: float) -> list[float]:
    """The distribution, by the definition: sort, add up until top_p is reached, normalise."""
    weights = torch.softmax(torch.tensor(logits, dtype=torch.float64) / temperature, 0).tolist()
    order = sorted(range(len(weights)), key=lambda i: (-weights[i], i))
    kept, mass = [], 0.0
    for i in order:
        if mass >= top_p:
            break
        kept.append(i)
        mass += weights[i]
    return [weights[i] / mass if i in kept else 0.0 for i in range(len(weights))]


@pytest.mark.parametrize("vocabulary", [12, 300])
@pytest.mark.parametrize("temperature", [0.5, 1.3])
@pytest.mark.parametrize("top_p", [0.3, 0.95, 1.0])
def test_tokens_come_as_often_as_they_should(vocabulary: int, temperature: float, top_p: float) -> None:
    """Chi-square of 20,000 draws; flat logits over 300 tokens do not fit the head, so the full sort is met too."""
    draws = 20_000
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(vocabulary)) * 0.7
    want = torch.tensor(exact_nucleus(logits.tolist(), temperature, top_p), dtype=torch.float64)
    uniform = uniforms([5], draws)[0]
    counts = torch.zeros(vocabulary, dtype=torch.float64)
    for chunk in uniform.split(2_000):
        ids = draw(logits.expand(len(chunk), -1), chunk, temperature=temperature, top_p=top_p)
        counts += torch.bincount(ids, minlength=vocabulary)
    assert counts[want == 0].sum() == 0
    support = want > 0
    expected = want[support] * draws
    chi2 = ((counts[support] - expected) ** 2 / expected).sum().item()
    freedom = int(support.sum()) - 1
    assert chi2 <= freedom + 5 * (2 * max(freedom, 1)) ** 0.5  # five standard deviations


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=90),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0.05, 0.7, 1.0, 2.0]),
    st.sampled_from([0.01, 0.5, 0.9, 0.999, 1.0]),
)
def test_a_drawn_token_lies_in_the_nucleus(logits: list[float], u: float, temperature: float, top_p: float) -> None:
    """The mass of all more likely tokens is below top_p, but for the rounding of a float32 softmax."""
    got = int(draw(torch.tensor([logits]), torch.tensor([u]), temperature=temperature, top_p=top_p))
    weights = torch.softmax(torch.tensor(logits, dtype=torch.float64) / temperature, 0).tolist()
    before = sum(w for w, x in zip(weights, logits, strict=True) if x > logits[got])
    assert before < top_p + 1e-5
    assert weights[got] > 0


def test_greedy_and_extremes() -> None:
    logits = torch.tensor([[0.0, 3.0, 3.0], [9.0, 1.0, 2.0]])
    edge = torch.tensor([1 - 2**-53] * 2, dtype=torch.float64)
    assert draw(logits, edge, temperature=0, top_p=0.5).tolist() == [1, 0]
    assert draw(logits, edge, temperature=1e-30, top_p=0.5)[1].item() == 0
    assert draw(torch.zeros(1, 5), edge[:1], temperature=1, top_p=1.0).tolist() == [4]
    masked = torch.tensor([[0.0, -float("inf"), -float("inf")]])
    assert draw(masked, edge[:1], temperature=1, top_p=1.0).tolist() == [0]


def test_a_row_of_uniforms_depends_on_its_seed_alone() -> None:
    assert torch.equal(uniforms([1, 2, 3], 9)[2], uniforms([3], 9)[0])
    assert torch.equal(uniforms([4], 9)[0], uniforms([4], 20)[0][:9])


# ---- a batch -------------------------------------------------------------------------------------------------------


def encoded(tokenizer: Any, text: str) -> EncodedPrompt:
    return encode_prompt(problem(text), PromptConfig(style="plain"), tokenizer)


def test_greedy_equals_generate(tiny: Path) -> None:
    model, tokenizer = load_model(tiny, device="cpu"), load_tokenizer(tiny)
    texts = ["short", "a longer prompt than the others, by far", "middle one"]
    requests = plan_requests([(t, encoded(tokenizer, t)) for t in texts], 2, 0)
    found = TransformersBackend(tokenizer, lambda: model)(requests, SamplingSettings(temperature=0, max_new_tokens=60))
    for request, generation in zip(requests, found, strict=True):
        ids = torch.tensor([request.prompt.token_ids])
        want: Any = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=60)
        assert generation.token_ids == tuple(want[0, ids.shape[1] :].tolist())


def test_a_sample_depends_on_its_seed_not_on_its_neighbours(tiny: Path) -> None:
    """Rows that end at different steps are compacted away on the way; the others must not notice."""
    model, tokenizer = load_model(tiny, device="cpu"), load_tokenizer(tiny)
    backend = TransformersBackend(tokenizer, lambda: model)
    requests = plan_requests([(str(n), encoded(tokenizer, "x" * (n + 1))) for n in range(6)], 3, 7)
    drawn = SamplingSettings(temperature=1.5, top_p=0.99, max_new_tokens=100)
    together = backend(requests, drawn)
    assert together == backend(requests, drawn)
    alone = [backend([request], drawn)[0] for request in requests[::5]]
    # Batch shapes change the last bits of a logit, so a rare later token may differ; the starts may not.
    for ours, theirs in zip(together[::5], alone, strict=True):
        assert ours.token_ids is not None and theirs.token_ids is not None
        assert ours.token_ids[:40] == theirs.token_ids[:40]
    ends = {g.finish_reason for g in together}
    lengths = {len(g.token_ids or ()) for g in together}
    assert ends == {"stop", "length"} or len(lengths) > 1
    for generation in together:
        ids = generation.token_ids or ()
        assert (ids[-1] == tokenizer.eos_token_id) is (generation.finish_reason == "stop")
        assert tokenizer.eos_token_id not in ids[:-1]
        assert len(ids) == 100 or generation.finish_reason == "stop"


def test_a_prompt_that_fills_the_context_is_accounted_for(tiny: Path) -> None:
    model, tokenizer = load_model(tiny, device="cpu"), load_tokenizer(tiny)
    model.config.max_position_embeddings = 20
    prompts = [
        ("full", encoded(tokenizer, "y" * 30)),
        ("near", encoded(tokenizer, "y" * 15)),
        ("ok", encoded(tokenizer, "y")),
    ]
    found = TransformersBackend(tokenizer, lambda: model)(
        plan_requests(prompts, 1, 0), SamplingSettings(temperature=0, max_new_tokens=6)
    )
    assert [len(g.token_ids or ()) for g in found][:2] == [0, 4]
    assert (found[0].text, found[0].finish_reason) == ("", "length")


def test_broken_weights_are_our_fault_and_name_the_problem(tiny: Path) -> None:
    model, tokenizer = load_model(tiny, device="cpu"), load_tokenizer(tiny)
    model.get_input_embeddings().weight.data.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(ToolFailed, match="problem p7"):
        TransformersBackend(tokenizer, lambda: model)(
            plan_requests([("p7", encoded(tokenizer, "x"))], 1, 0), SamplingSettings()
        )


def test_batches_are_sorted_and_do_not_depend_on_the_order() -> None:
    prompts = [(str(n), EncodedPrompt("", tuple(range(n % 5 + 1)), "")) for n in range(23)]
    requests = plan_requests(prompts, 3, 1)
    batches = plan_batches(requests, 8)
    assert batches == plan_batches(list(reversed(requests)), 8)
    assert sorted((r.problem_id, r.index) for b in batches for r in b) == sorted(
        (r.problem_id, r.index) for r in requests
    )
    lengths = [len(r.prompt.token_ids) for b in batches for r in b]
    assert lengths == sorted(lengths, reverse=True)
    assert len({r.seed for r in requests}) == len(requests)
    with pytest.raises(UsageError, match="twice"):
        plan_requests([prompts[0], prompts[0]], 1, 1)


# ---- prompts -------------------------------------------------------------------------------------------------------

HEADER = "module m(input a);\n"


def test_plain_prompts_and_headers() -> None:
    tokenizer = tiny_tokenizer()
    whole = problem("Do {it} {instruction}.", HEADER, HEADER + "endmodule")
    texts = {
        mode: encode_prompt(whole, PromptConfig(style="auto", header=mode, template="[{instruction}] {0}"), tokenizer)
        for mode in ("append", "prefill", "omit")
    }
    ask = "[Do {it} {instruction}.] {0}\n"
    assert texts["append"].text == texts["prefill"].text == ask + HEADER
    assert texts["omit"].text == ask
    assert [p.prefill for p in texts.values()] == ["", HEADER, ""]
    other = encode_prompt(problem("x", HEADER, "module n; endmodule"), PromptConfig(header="prefill"), tokenizer)
    assert (other.text, other.prefill) == ("x\n" + HEADER, "")
    assert tokenizer.decode(texts["append"].token_ids) == texts["append"].text


def test_an_opening_begins_every_answer_and_is_no_part_of_a_response() -> None:
    """Before a prefilled header, behind a closed thought, on a line of its own; {header} in the template tells
    it too."""
    tokenizer, fence, code = tiny_tokenizer(chat=True), "```verilog\n", HEADER + "endmodule\n"
    ask, form = (
        problem("Do {header}.", HEADER, code),
        PromptConfig(header="prefill", opening=fence, template="{instruction}\n{header}?"),
    )
    turn = "<|im_start|>user\nDo {header}.\n" + HEADER + "?<|im_end|>\n<|im_start|>assistant\n"
    prompt = encode_prompt(ask, form, tokenizer)
    assert (prompt.text, prompt.opening, prompt.prefill) == (turn + fence + HEADER, fence, HEADER)
    assert tokenizer.decode(prompt.token_ids) == prompt.text
    assert tokenizer.decode(encode_response(code, prompt, tokenizer)) == "endmodule\n<|im_end|>"
    omitted = encode_prompt(ask, form.model_copy(update={"header": "omit"}), tokenizer)
    assert (omitted.text, omitted.prefill) == (turn + fence, "")
    plain = encode_prompt(problem("Hi", "module m;", "x"), PromptConfig(style="plain", opening=fence), tokenizer)
    assert plain.text == "Hi\nmodule m;\n" + fence
    tokenizer.chat_template = "{{ messages[0]['content'] }}\nA: <think>\n"
    assert encode_prompt(ask, form, tokenizer).text.endswith("A: <think>\n</think>\n\n" + fence + HEADER)


def test_chat_prompts_and_system_messages() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    user = "<|im_start|>user\nHi\nmodule m(input a);\n<|im_end|>\n<|im_start|>assistant\n"
    ask = problem("Hi", HEADER)
    assert encode_prompt(ask, PromptConfig(), tokenizer).text == user
    assert encode_prompt(ask, PromptConfig(system=""), tokenizer).text == user
    told = encode_prompt(ask, PromptConfig(system="Be brief."), tokenizer).text
    assert told == "<|im_start|>system\nBe brief.<|im_end|>\n" + user
    started = encode_prompt(ask, PromptConfig(header="prefill"), tokenizer)
    assert started.text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" + HEADER
    assert encode_prompt(ask, PromptConfig(style="plain"), tokenizer).text == "Hi\n" + HEADER
    tokenizer.chat_template = (
        "{% if messages[0]['role'] != 'system' %}{{ 'DEFAULT SYSTEM\n' }}{% endif %}"
        "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '\n' }}{% endfor %}"
    )
    assert encode_prompt(ask, PromptConfig(), tokenizer).text.startswith("DEFAULT SYSTEM")
    assert encode_prompt(ask, PromptConfig(system=""), tokenizer).text.startswith("system:\nuser:")
    tokenizer.chat_template = (
        "{{ raise_exception('no system role') if messages[0]['role'] == 'system' }}{{ messages[0]['content'] }}"
    )
    assert encode_prompt(ask, PromptConfig(system=""), tokenizer).text.startswith("Hi")
    with pytest.raises(UsageError, match="chat template refuses"):
        encode_prompt(ask, PromptConfig(system="x"), tokenizer)
    with pytest.raises(UsageError, match=r"prompt\.style"):
        encode_prompt(ask, PromptConfig(style="chat"), tiny_tokenizer())


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.booleans(), st.booleans(), st.sampled_from(["append", "prefill"]))
def test_prompt_and_response_ids_spell_the_text(ask: str, code: str, is_chat: bool, is_ended: bool, mode: Any) -> None:
    tokenizer = tiny_tokenizer(chat=is_chat)
    response = HEADER + code + "<|im_end|>"  # a special token's text in code stays text
    prompt = encode_prompt(problem(ask, HEADER, response), PromptConfig(header=mode), tokenizer)
    ids = encode_response(response, prompt, tokenizer, ended=is_ended)
    assert tokenizer.decode([*prompt.token_ids, *ids]) == prompt.text + response.removeprefix(prompt.prefill) + (
        "<|im_end|>" if is_ended else ""
    )
    assert ids.count(tokenizer.eos_token_id) == is_ended


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<think>\n", "</think>\n\n"),
        ("<think>", "\n</think>\n\n"),
        ("<|begin_of_thought|>\n", "<|end_of_thought|>\n\n"),
    ],
)
def test_code_is_trained_behind_the_thought_that_a_template_opens(opening: str, closing: str) -> None:
    """And what is trained is found again as the answer; a text as it was written stays so; a prefilled header
    lies in no thought."""
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.chat_template = "{{ messages[0]['content'] }}\nA: " + opening.replace("\n", "{{ '\\n' }}")
    code = HEADER + "endmodule\n"
    prompt = encode_prompt(problem("Hi", HEADER, code), PromptConfig(), tokenizer)
    assert prompt.text.endswith("A: " + opening)
    trained = tokenizer.decode(encode_response(code, prompt, tokenizer, ended=False))
    assert trained == closing + code
    assert extract(trained, header=HEADER, opened=True).code == code.strip()
    assert extract(code, header=HEADER, opened=True).code == ""
    assert (
        tokenizer.decode(encode_response("<think>" + closing + code, prompt, tokenizer, ended=False))
        == "<think>" + closing + code
    )
    assert tokenizer.decode(encode_response(code, prompt, tokenizer, ended=False, is_answer=False)) == code
    started = encode_prompt(problem("Hi", HEADER, code), PromptConfig(header="prefill"), tokenizer)
    assert started.text.endswith("A: " + opening + closing + HEADER)
    assert tokenizer.decode(encode_response(code, started, tokenizer, ended=False)) == "endmodule\n"
    tokenizer.chat_template += "{{ '\\n</think>\\n' }}"  # a template that closes it itself
    assert encode_response(
        code, encode_prompt(problem("Hi", HEADER, code), PromptConfig(), tokenizer), tokenizer
    ) == encode_response(code, EncodedPrompt("", (), ""), tokenizer)


def test_odd_text_and_double_begin_tokens() -> None:
    tokenizer = tiny_tokenizer()
    prompt = encode_prompt(problem("a\ud800b\x00\r\n"), PromptConfig(), tokenizer)
    assert prompt.text == "a\ufffdb\x00\r\n"
    assert encode_response("\udfff", prompt, tokenizer, ended=False) == encode_response(
        "\ufffd", prompt, tokenizer, ended=False
    )
    assert encode_response("", prompt, tokenizer) == (tokenizer.eos_token_id,)
    doubled = encode_prompt(problem("<|im_start|><|im_start|>x"), PromptConfig(), tokenizer)
    assert doubled.token_ids.count(tokenizer.bos_token_id) == 1


# ---- replay and the stage ------------------------------------------------------------------------------------------


def replayed(problems: Sequence[Problem], out: Path, path: Path, config: SampleConfig | None = None) -> list[Candidate]:
    stored = SampleConfig(backend="replay", num_candidates=2, batch_size=3, options={"path": str(path)})
    policy = Policy("none", known_digest="stored")
    return draw_candidates(SamplingJob(problems, policy, config or stored, 0), out)


def stored(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_stored_completions_go_through_the_stage(tmp_path: Path) -> None:
    lines = [
        {"task_id": p.id, "completion": f"```verilog\nmodule c(input clk);\n// {k}\nendmodule\n```\ud800"}
        for k in range(2)
        for p in PROBLEMS
    ]
    got = replayed(PROBLEMS, tmp_path / "c.jsonl", stored(tmp_path / "s.jsonl", lines))
    assert [(c.problem_id, c.index) for c in got] == [(p.id, k) for p in PROBLEMS for k in range(2)]
    assert all(c.code == f"module c(input clk);\n// {c.index}\nendmodule" for c in got)
    assert read_records(tmp_path / "c.jsonl", Candidate) == got
    assert not (tmp_path / "c.jsonl.partial").exists()
    again = replayed(PROBLEMS, tmp_path / "d.jsonl", tmp_path / "c.jsonl")  # Candidate records are read too
    assert [c.text for c in again] == [c.text for c in got]


def test_stored_completions_are_found_by_the_source_id(tmp_path: Path) -> None:
    ask = problem("x").model_copy(update={"upstream_id": "Prob001"})
    file = stored(
        tmp_path / "s.jsonl",
        [{"problem_id": "Prob001", "index": 1, "text": "b"}, {"task_id": "Prob001", "index": 0, "text": "a"}],
    )
    assert [c.text for c in replayed([ask], tmp_path / "o.jsonl", file)] == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"task_id": "a"}], r"s\.jsonl:1.*text or completion"),
        ([{"completion": "a"}], r"s\.jsonl:1.*problem_id or task_id"),
        ([{"task_id": "a", "completion": "x", "index": -1}], r"s\.jsonl:1.*index"),
        ([{"task_id": "a", "completion": "x", "index": 0}] * 2, r"s\.jsonl:2.*second"),
        ([], "no completion 0 of problem"),
        ([{"schema": "itertl.problem/1"}], r"s\.jsonl:1.*schema"),
    ],
)
def test_bad_stored_completions_are_named(tmp_path: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replayed(PROBLEMS, tmp_path / "o.jsonl", stored(tmp_path / "s.jsonl", lines))


def test_unknown_back_ends_and_options_are_refused(tmp_path: Path) -> None:
    for config, message in [
        (SampleConfig(backend="transformer"), "did you mean 'transformers'"),
        (SampleConfig(backend="replay", options={"paths": "x"}), "did you mean 'path'"),
        (SampleConfig(backend="replay", options={"dtype": "x"}), r"sample\.options\.dtype"),
        (SampleConfig(backend="replay"), r"sample\.options\.path"),
    ]:
        with pytest.raises(UsageError, match=message):
            replayed(PROBLEMS, tmp_path / "o.jsonl", tmp_path, config=config)


def run_tiny(model: str | Path, out: str | Path) -> None:
    config = SampleConfig(num_candidates=2, batch_size=3, max_new_tokens=16, temperature=1.0)
    draw_candidates(SamplingJob(PROBLEMS, Policy(Path(model), known_digest="tiny"), config, 3), Path(out))


def test_a_killed_stage_goes_on_to_the_same_bytes(repository: Path, tiny: Path, tmp_path: Path) -> None:
    whole, out, partial = (tmp_path / name for name in ("whole.jsonl", "killed.jsonl", "killed.jsonl.partial"))
    run_tiny(tiny, whole)
    environment = {
        **os.environ,
        "ITERTL_KILL_AT": "sample.batch:2",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),  # the same sums in the same order as here
        "PYTHONPATH": str(repository / "tests"),
    }
    code = "import sys, test_sampling; test_sampling.run_tiny(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(tiny), str(out)]
    assert subprocess.run(command, env=environment, cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    data = partial.read_bytes()
    assert data.count(b"\n") == 3  # the plan and two batches
    partial.write_bytes(data[:-40])  # and the second one torn, as by a power cut
    run_tiny(tiny, out)
    assert out.read_bytes() == whole.read_bytes()
    assert not partial.exists()


def test_a_partial_file_of_another_plan_is_thrown_away(tmp_path: Path) -> None:
    lines = [{"task_id": p.id, "completion": f"{k}"} for k in range(2) for p in PROBLEMS]
    file = stored(tmp_path / "s.jsonl", lines)
    for text in ('{"plan": "other"}\n{"candidates": [{"schema": "x"}]}\n', "torn", '{"plan'):
        (tmp_path / "o.jsonl.partial").write_text(text)
        got = replayed(PROBLEMS, tmp_path / "o.jsonl", file)
        assert [c.text for c in got] == ["0", "1"] * len(PROBLEMS)
