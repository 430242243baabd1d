"""The decoding engine: prompts held once, rows that leave, early stops, work done ahead, and the command that
uses it all."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from command_line import itertl
from itertl.cli.options import printable
from itertl.config import PromptConfig, SampleConfig
from itertl.model import attention
from itertl.model.load import end_token_ids, load_model, load_tokenizer
from itertl.model.policy import Policy
from itertl.model.prompts import EncodedPrompt
from itertl.records import Candidate, Problem, SamplingSettings
from itertl.sampling import graphs, shared_prompts
from itertl.sampling.backend import Generation
from itertl.sampling.batching import SampleRequest, plan_batches
from itertl.sampling.draw import SamplingJob, draw_candidates
from itertl.sampling.stops import Stopper, is_complete, repeats
from itertl.sampling.transformers_backend import PLAIN, LiveText, Ways, decode, find_ways
from itertl.verilog.extract import extract
from itertl.work.ahead import Ahead


@pytest.fixture(autouse=True)
def honest_attention() -> Iterator[None]:
    """transformers keeps what a test registered in the attention's place."""
    yield
    attention.register(shared_prompts.NAME, shared_prompts.attend)


def prompt(*ids: int) -> EncodedPrompt:
    return EncodedPrompt("", ids, "")


def requests(counts: Sequence[int], seed: int = 0) -> list[SampleRequest]:
    """Prompts of different lengths, each with so many samples."""
    draw = random.Random(seed)
    prompts = [prompt(*(draw.randrange(40, 120) for _ in range(3 + 5 * number))) for number in range(len(counts))]
    return [
        SampleRequest(f"p{number}", index, seed + 100 * number + index, prompts[number])
        for number, count in enumerate(counts)
        for index in range(count)
    ]


# ---- prompts held once


@pytest.mark.parametrize("way", ["fused", "apart", "recorded"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("counts", [(1,), (3, 3, 3), (2, 5, 1), (1, 1, 1, 1, 1, 1, 1, 4)])
def test_shared_prompts_draw_what_whole_rows_draw(
    model: Any, counts: tuple[int, ...], temperature: float, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows end at different times (any of a ninth of the vocabulary ends one), so prompts lose rows and leave."""
    if way == "apart":
        monkeypatch.setattr(shared_prompts, "_FUSED", None)
    monkeypatch.setattr(graphs, "fits", lambda *given: way == "recorded")  # without a GPU the same rows, step by step
    asked = requests(counts)
    drawing = SamplingSettings(temperature=temperature, top_p=0.9, max_new_tokens=40)
    ends = frozenset(range(0, model.config.vocab_size, 9))
    limits = [40 - 3 * (number % 4) for number in range(len(asked))]
    shared, whole = (
        decode(model, asked, limits, drawing, ends, ways=ways) for ways in (Ways(True, way == "recorded"), PLAIN)
    )
    assert [row.ids for row in shared] == [row.ids for row in whole]
    assert [row.finish_reason for row in shared] == [row.finish_reason for row in whole]
    assert len({len(row.ids) for row in shared}) > 1 or len(asked) == 1 or temperature == 0


def test_a_long_list_of_prompts_is_read_in_several_rows(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests((1, 2, 1, 2))
    prompts = list(dict.fromkeys(r.prompt.token_ids for r in asked))
    whole, _ = shared_prompts.read(model, prompts, [0, 1, 2, 3])
    monkeypatch.setattr(shared_prompts, "_ROW", 12)  # the longer prompts alone exceed it
    cut, found = shared_prompts.read(model, prompts, [0, 1, 2, 3])
    torch.testing.assert_close(cut, whole)
    padded, keys, _ = shared_prompts._read_padded(model, prompts)
    torch.testing.assert_close(padded, whole)
    for number, ids in enumerate(prompts):
        torch.testing.assert_close(found.keys[1][number, :, : len(ids)], keys[1][number, :, : len(ids)])


@pytest.mark.parametrize("family", ["qwen2", "mistral", "gemma2", "gpt2", "starcoder2", "phi3", "olmo2", "granite"])
def test_every_family_gives_its_own_logits_or_is_left_alone(family: str) -> None:
    """Whichever way a model takes, greedy texts are those of whole rows."""
    config = AutoConfig.for_model(
        family, vocab_size=160, hidden_size=32, n_embd=32, intermediate_size=48, num_hidden_layers=2, n_layer=2,
        num_attention_heads=4, n_head=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=128,
        n_positions=128,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, sliding_window=64 if family == "gemma2" else None,
    )  # fmt: skip
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    ways = find_ways(model)
    asked = requests((3, 1, 2))
    drawing = SamplingSettings(temperature=0, max_new_tokens=12)
    found = decode(model, asked, [12] * len(asked), drawing, frozenset([2]), ways=ways)
    for request, row in zip(asked, found, strict=True):
        ids = list(request.prompt.token_ids)
        for token in row.ids:
            logits = model(torch.tensor([ids])).logits[0, -1]
            assert logits[token] >= logits.max() - 1e-4
            ids.append(token)


def test_a_model_whose_attention_does_more_is_left_alone(
    model: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load_model(tiny, device="cpu")
    honest = shared_prompts.attend

    def capped(*given: Any, **more: Any) -> Any:
        output, weights = honest(*given, **more)
        return (output if given[4] is None or not hasattr(given[4], "prompts") else torch.tanh(output)), weights

    monkeypatch.setattr(shared_prompts, "attend", capped)
    assert not shared_prompts.works(other)
    assert other.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("more", ["softcap", "position_bias", "s_aux", "sliding_window"])
@pytest.mark.parametrize("mark", ["prompts", "rows"])
def test_attention_that_does_more_is_refused_by_name(
    mark: str, more: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a short text a cap or a window may change nothing, so no comparison would find it; and the model is
    left alone then."""
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    setattr(mask, mark, object())
    some = torch.zeros(1, 2, 1, 4)
    with pytest.raises(NotImplementedError, match=more):
        shared_prompts.attend(None, some, some, some, mask, **{more: 50})
    other, honest = load_model(tiny, device="cpu"), shared_prompts.attend
    monkeypatch.setattr(shared_prompts, "attend", lambda *given, **names: honest(*given, **names, **{more: 50}))
    assert not shared_prompts.works(other)


def test_in_few_digits_a_prompt_must_matter(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = load_model(tiny, dtype="bfloat16", device="cpu")
    assert shared_prompts.works(half)
    honest = shared_prompts.largest_differences
    monkeypatch.setattr(
        shared_prompts, "largest_differences", lambda *given: (0.3 * honest(*given)[1], honest(*given)[1])
    )
    assert not shared_prompts.works(half)


@pytest.mark.parametrize("share", [True, False])
def test_tokens_of_the_engine_come_as_often_as_the_model_says(model: Any, share: bool) -> None:
    """Chi-square of 4,000 first and of 4,000 second tokens against the exact nucleus, at the 1-in-10,000 level."""
    ids = (70, 71, 72)
    drawing = SamplingSettings(temperature=0.6, top_p=0.8, max_new_tokens=2)
    asked = [SampleRequest("p", n, 10_000 + n, prompt(*ids)) for n in range(4000)]
    found = decode(model, asked, [2] * len(asked), drawing, frozenset(), ways=Ways(share))
    firsts = Counter(row.ids[0] for row in found)
    common = firsts.most_common(1)[0][0]
    seconds = Counter(row.ids[1] for row in found if row.ids[0] == common)
    for before, counts in ((ids, firsts), ((*ids, common), seconds)):
        exact = nucleus(model(torch.tensor([before])).logits[0, -1], 0.6, 0.8)
        assert set(counts) <= set(exact)
        total = sum(counts.values())
        merged = [(counts.get(token, 0), total * p) for token, p in exact.items() if total * p >= 5]
        statistic = sum((seen - wanted) ** 2 / wanted for seen, wanted in merged)
        freedom = max(1, len(merged) - 1)
        assert statistic < freedom + 3.72 * (2 * freedom) ** 0.5 + 10  # normal approximation, with room for few cells


def nucleus(logits: torch.Tensor, temperature: float, top_p: float) -> dict[int, float]:
    probs = torch.softmax(logits.detach().double() / temperature, 0).tolist()
    order = sorted(range(len(probs)), key=lambda i: (-probs[i], i))
    kept: dict[int, float] = {}
    for token in order:
        if sum(kept.values()) >= top_p:
            break
        kept[token] = probs[token]
    mass = sum(kept.values())
    return {token: p / mass for token, p in kept.items()}


@given(st.lists(st.integers(1, 7), min_size=1, max_size=9), st.integers(1, 12))
def test_problems_stay_together_and_nothing_is_lost(counts: list[int], size: int) -> None:
    asked = requests(counts)
    batches = plan_batches(asked, size)
    assert sorted(r.seed for b in batches for r in b) == sorted(r.seed for r in asked)
    assert all(1 <= len(b) <= size for b in batches)
    for number, count in enumerate(counts):
        parts = sum(any(r.problem_id == f"p{number}" for r in b) for b in batches)
        assert parts == -(-count // size)


# ---- early stops


HEADER = "module top(input a, output y);\n"
CASES = [
    # text, complete?
    (HEADER + "assign y = a;\nendmodule", False),  # nothing shows yet that no label follows
    (HEADER + "assign y = a;\nendmodule\n", False),
    (HEADER + "assign y = a;\nendmodule\n```\n", True),
    (HEADER + "assign y = a;\nendmodule\nThis ", True),
    (HEADER + "assign y = a;\nendmodule\nmodu", False),
    (HEADER + "assign y = a;\nendmodule\nmodule helper(", False),
    (HEADER + "assign y = a;\nendmodule : top\nIt ", False),
    (HEADER + "`ifdef X\nassign y = a;\nendmodule\n`endif\nIt ", False),
    (HEADER + "inv u(a, y);\nendmodule\nIt is ", False),  # its helper is still to come
    (HEADER + "inv u(a, y);\nendmodule\nmodule inv(input i, output o);\nassign o = ~i;\nendmodule\nIt is ", True),
    (HEADER + "inv (a, y);\nendmodule\nIt is ", False),
    (HEADER + "inv #(3) u(a, y);\nendmodule\nIt is ", False),
    (HEADER + "// inv u(a, y);\nassign y = a;\nendmodule\nIt is ", True),
    ("module other(input a);\nendmodule\nIt is ", False),
    ("Sure:\n```verilog\n" + HEADER + "assign y = a;\nendmodule\n```\n", True),
    ("Write endmodule at the end. ", False),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_where_a_module_is_complete(text: str, wanted: bool) -> None:
    assert is_complete(text, header=HEADER) is wanted
    assert is_complete(text, top="top") is wanted
    assert is_complete(text) is False  # without a name any module could come to use this one


PARTS = st.sampled_from([
    "assign y = a;\n", "inv u(a, y);\n", "endmodule\n", "endmodule",
    "module inv(input i, output o);\nassign o = ~i;\nendmodule\n", "module t",
    "module tb;\ninitial $finish;\nendmodule\n", "```\n", "```verilog\n", "It works. ", "// endmodule\n", " : top\n",
    "`endif\n", "`ifdef X\n", "\n",
])  # fmt: skip


@settings(max_examples=400, deadline=None)
@example(
    [
        "module t",
        "module inv(input i, output o);\nassign o = ~i;\nendmodule\n",
        "assign y = a;\n",
        "module inv(input i, output o);\nassign o = ~i;\nendmodule\n",
    ],
    False,
)
@example(
    ["```\n", "assign y = a;\n", "endmodule\n", "```\n", "module inv(input i, output o);\nassign o = ~i;\nendmodule\n"],
    False,
)
@example(
    ["endmodule", "endmodule\n", "assign y = a;\n", "module inv(input i, output o);\nassign o = ~i;\nendmodule\n"], True
)
@example(
    [" : top\n", "inv u(a, y);\n", "endmodule\n", "assign y = a;\n", "module inv(input i, output o);\nendmodule\n"],
    False,
)
@given(st.lists(PARTS, max_size=9), st.booleans())
def test_what_is_kept_does_not_change_behind_a_stop(parts: list[str], is_prefilled: bool) -> None:
    """Of any text, cut where it is first complete; unless the same module is written a second time, of which the
    last counts."""
    text = ("" if is_prefilled else HEADER) + "".join(parts)
    prefill = HEADER if is_prefilled else ""
    assume((prefill + text).count("module inv") < 2)
    whole = extract(text, header=HEADER, prefill=prefill).code
    for end in range(len(text)):
        if is_complete(text[:end], header=HEADER, prefill=prefill):
            assert extract(text[:end], header=HEADER, prefill=prefill).code == whole
            break


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30), st.lists(st.integers(0, 5), max_size=300), st.integers(0, 400)
)
def test_circles_are_found_and_nothing_else(cycle: list[int], before: list[int], length: int) -> None:
    ids = before + (cycle * 400)[:length]
    tail = ids[-192:]
    naive = len(ids) >= 192 and any(all(tail[i] == tail[i + p] for i in range(192 - p)) for p in range(1, 25))
    assert repeats(ids) is naive
    if len(cycle) <= 24 and length >= 192:
        assert repeats(ids)


def test_the_engine_ends_rows_where_they_are_complete(tiny: Path) -> None:
    """Token by token, over a stored answer: it ends at the first sign behind the module, with the text up to there."""
    tokenizer = load_tokenizer(tiny)
    answer = HEADER + "assign y = a;\nendmodule\n```\nThis module does nothing. " * 3
    ids = tokenizer.encode(answer, add_special_tokens=False)
    request = SampleRequest("p", 0, 0, prompt(5), HEADER)
    stopper = Stopper(tokenizer, [request], SamplingSettings(stop_at_module=True, stop_at_repetition=True))
    said = next((n, reason) for n in range(1, len(ids) + 1) if (reason := stopper(0, ids[:n])))
    assert said[1] == "module"
    assert tokenizer.decode(ids[: said[0]]) == HEADER + "assign y = a;\nendmodule\n```"
    off = Stopper(tokenizer, [request], SamplingSettings())
    assert not any(off(0, ids[:n]) for n in range(1, len(ids) + 1))


def test_a_model_that_repeats_is_stopped(model: Any, tiny: Path) -> None:
    """Greedy text of a small random model is a circle."""
    tokenizer = load_tokenizer(tiny)
    asked = requests((1, 1))
    drawing = SamplingSettings(temperature=0, max_new_tokens=400, stop_at_repetition=True)
    found = decode(
        model, asked, [400, 400], drawing, frozenset(), stopper=Stopper(tokenizer, asked, drawing), ways=Ways(True)
    )
    free = decode(model, asked, [400, 400], drawing, frozenset(), ways=Ways(True))
    for row, long in zip(found, free, strict=True):
        assert row.finish_reason == "repetition" and 192 <= len(row.ids) < 400
        assert long.ids[: len(row.ids)] == row.ids and long.finish_reason == "length"


# ---- ahead


PROBLEMS = [Problem.create(instruction=f"Do {n}.", reference="module m; endmodule\n", source="test") for n in range(6)]


class Slow:
    """A back end somewhere else: each batch takes its time."""

    def encode(self, problem: Problem, config: PromptConfig) -> EncodedPrompt:
        return EncodedPrompt(problem.instruction, (), "")

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        time.sleep(0.05)
        return [Generation("module m; endmodule", "stop", None) for _ in batch]


def open_slow(
    model: str | Path, *, dtype: str = "", trust_remote_code: bool = False, revision: str | None = None
) -> Slow:
    return Slow()


def drawn_with(ahead: Callable[[Sequence[Candidate]], object], folder: Path) -> list[Candidate]:
    config = SampleConfig(backend="test_sampling_engine:open_slow", num_candidates=2, batch_size=2)
    return draw_candidates(
        SamplingJob(PROBLEMS, Policy("m", known_digest="p"), config, 0), folder / "c.jsonl", ahead=ahead
    )


def test_what_is_drawn_is_worked_on_while_the_rest_is_drawn(tmp_path: Path) -> None:
    seen: list[Candidate] = []
    threads: set[str] = set()

    def work(some: Sequence[Candidate]) -> None:
        threads.add(threading.current_thread().name)
        seen.extend(some)

    found = drawn_with(work, tmp_path)
    assert len(found) == 12
    assert len(seen) >= 8 and {c.problem_id for c in seen} <= {p.id for p in PROBLEMS}
    assert threads == {"itertl-ahead"}


def test_trouble_ahead_is_of_no_consequence(tmp_path: Path) -> None:
    def work(some: Sequence[Candidate]) -> None:
        raise RuntimeError("broken")

    assert len(drawn_with(work, tmp_path)) == 12


def test_leaving_waits_for_what_is_begun_and_drops_the_rest() -> None:
    done: list[int] = []

    def work(some: Sequence[Any]) -> None:
        time.sleep(0.2)
        done.append(len(some))

    with Ahead(work) as ahead:
        ahead([1] * 200)  # type: ignore[list-item]
        time.sleep(0.05)
        ahead([1] * 200)  # type: ignore[list-item]
    assert done == [200]


def test_nothing_is_done_ahead_where_sampling_needs_the_cores(tiny: Path, tmp_path: Path) -> None:
    def work(some: Sequence[Candidate]) -> None:
        raise AssertionError("called")

    config = SampleConfig(num_candidates=1, max_new_tokens=2, options={"device": "cpu"})
    drawn = draw_candidates(
        SamplingJob(PROBLEMS[:2], Policy(tiny, known_digest="p"), config, 0), tmp_path / "c", ahead=work
    )
    assert len(drawn) == 2


# ---- generate


def test_characters_are_shown_when_they_are_whole(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    told: list[str] = []
    show = LiveText(lambda ids: tokenizer.decode(ids), told.append, frozenset([1]))
    for token in [*tokenizer.encode("aé→b", add_special_tokens=False), 1]:
        show(0, token)
        show(1, token)  # another row is not shown
    assert "".join(told) == "aé→b" and "\ufffd" not in "".join(told)


def test_a_piece_of_a_character_at_the_end_is_shown_when_the_text_ends(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    told: list[str] = []
    show = LiveText(lambda ids: tokenizer.decode(ids), told.append, frozenset([1]))
    cut = tokenizer.encode("a→", add_special_tokens=False)[:-1]
    for token in cut:
        show(0, token)
    assert "".join(told) == "a"
    show.end()
    assert "".join(told) == tokenizer.decode(cut) and told[-1].endswith("\ufffd")


def test_generate_ranks_stored_answers(tmp_path: Path) -> None:
    """The one that compiles wins, whichever place it has."""
    problem = Problem.create(instruction="An inverter.", header="", source="generate")
    good, bad = (
        "module inv(input a, output y);\nassign y = ~a;\nendmodule\n",
        "module inv(input a, output y);\nassign y = ~a\nendmodule\n",
    )
    lines = [{"problem_id": problem.id, "index": n, "text": text} for n, text in enumerate([bad, good, bad])]
    (tmp_path / "stored.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    replay = ["sample.backend=replay", "sample.options.path=stored.jsonl", "model.path=random:tiny"]
    done = itertl("generate", "An inverter.", *replay, "--best-of", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == good.strip()
    assert "icarus: compiles" in done.stderr and "passed" not in done.stderr
    as_json = itertl(
        "generate", "An inverter.", *replay, "--best-of", "2", "--scorer", "syntax", "--json", cwd=tmp_path
    )
    (row,) = json.loads(as_json.stdout)["results"]
    assert row["code"].strip() == good.strip() and row["scores"] == [1.0, 0.0] and row["verdict"] == "parses"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--file"),
        (["x", "--file", "y.txt"], "one of the two"),
        (["  "], "empty"),
        (["x", "--scorer", "rtlcoder"], "reference"),
        (["x", "--scorer", "icaruss"], "did you mean"),
        (["--file", "missing.txt"], "missing.txt"),
    ],
)
def test_generate_says_what_is_wrong(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = itertl(
        "generate",
        *arguments,
        *(["model.path=random:tiny"] if arguments and arguments[0] != "--file" else []),
        cwd=tmp_path,
    )
    assert done.returncode == 2 and message in done.stderr


def test_generate_shows_its_text_and_writes_lines(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("A counter.\nZ\xe4hler".encode("latin-1"))
    refused = itertl("generate", "--file", "latin.txt", "--model", "random:tiny", cwd=tmp_path)
    assert refused.returncode == 2 and "latin.txt:2: not utf-8" in refused.stderr and "Traceback" not in refused.stderr
    (tmp_path / "ask.txt").write_text("A counter.")
    done = itertl(
        "generate", "--file", "ask.txt", "seed=3", "--out", "found.jsonl", "--model", "random:tiny", cwd=tmp_path
    )
    assert done.returncode == 1 and "no code" in done.stderr, done.stderr  # its noise is no Verilog
    (row,) = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert row["instruction"] == "A counter." and done.stdout == ""
    shown = printable(row["text"])
    assert shown and shown in done.stderr and printable("a\x1b[2J\tb\r\nc\x9b") == "a\ufffd[2J\tb\nc\ufffd"


def test_greedy_texts_equal_generate(model: Any, tiny: Path) -> None:
    """100 prompts: transformers' own greedy ids, or a near tie where they part."""
    tokenizer = load_tokenizer(tiny)
    ends = end_token_ids(model, tokenizer)
    asked = requests([1] * 20 + [2] * 40)
    drawing = SamplingSettings(temperature=0, max_new_tokens=10)
    found = decode(model, asked, [10] * len(asked), drawing, ends, ways=Ways(True))
    for request, row in zip(asked, found, strict=True):
        ids = torch.tensor([request.prompt.token_ids])
        whole = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, pad_token_id=0
        )[0]
        theirs = whole[ids.shape[1] :].tolist()
        apart = next((n for n, (a, b) in enumerate(zip(row.ids, theirs, strict=False)) if a != b), None)
        if apart is not None:
            logits = model(torch.tensor([[*request.prompt.token_ids, *theirs[:apart]]])).logits[0, -1]
            assert abs(float(logits[row.ids[apart]] - logits[theirs[apart]])) < 1e-4
