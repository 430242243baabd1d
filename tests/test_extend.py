"""Tokens of a domain: old texts split as before, every text comes back, rows are the means of their old ones."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen2Config

from command_line import itertl
from itertl import synth
from itertl.config import PromptConfig
from itertl.errors import ToolFailed, UsageError
from itertl.export.bundle import export
from itertl.loop import extend as loop_extend
from itertl.loop.extend import Wanted
from itertl.model import extend
from itertl.model.domain_tokens import NewToken, backend_of, borders, candidates, extended, settled
from itertl.model.gguf_conversion import convert_gguf
from itertl.model.load import load_tokenizer
from itertl.model.policy import Policy
from itertl.model.prompts import encode_prompt, encode_response
from itertl.problems.load import load_problems
from itertl.progress import Reporter
from itertl.sampling.stops import _closing_ids
from model_cases import BYTES, GPT2, LLAMA3, QWEN2, SMOLLM, save_model, trained_tokenizer

RULES = {"gpt2": (GPT2, False), "smollm": (SMOLLM, False), "qwen2": (QWEN2, False), "llama3": (LLAMA3, True)}
NUMBER, LEAST = 120, 8


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """References of the bundled generator."""
    return [p.reference or "" for p in synth.generate(3, 80, [], "train")]


@pytest.fixture(scope="module")
def learnt(texts: list[str]) -> dict[str, tuple[Any, list[NewToken]]]:
    """By rule of splitting: the old tokenizer, and what was learnt."""
    found: dict[str, tuple[Any, list[NewToken]]] = {}
    for name, (rule, ignores) in RULES.items():
        tokenizer = trained_tokenizer(rule, ignore_merges=ignores)
        tokenizer.add_tokens(["<think>"])
        tokenizer.add_tokens(["<|end|>"], special_tokens=True)
        backend = backend_of(tokenizer)
        found[name] = (tokenizer, settled(candidates(backend, texts, NUMBER, LEAST), NUMBER))
    return found


SNIPPETS = st.sampled_from(
    ["reg", "register", "[7:0]", " [7:0]", "\n    ", ";\n", "endmodule", "\nendmodule\n", "always @(posedge clk)", "1'b0", "é", "\r\n",
     " ", "\t", "_", "a", "(", ")", ",", "input ", "output", "<think>", "<|end|>", "assign y = ", "9", "中"]
)  # fmt: skip
WRITTEN = st.lists(st.one_of(SNIPPETS, st.text(max_size=4)), max_size=30).map("".join)


@pytest.mark.parametrize("rule", RULES)
def test_texts_come_back_and_split_as_before(rule: str, learnt: dict[str, Any], texts: list[str]) -> None:
    """A token stands for its old pieces: put in its place they are the old tokens, but where a phrase cuts a word."""
    tokenizer, tokens = learnt[rule]
    old, new = backend_of(tokenizer), extended(backend_of(tokenizer), tokens)
    pieces = {new.token_to_id(token.name): token for token in tokens}
    assert min(pieces) == len(tokenizer) and len(pieces) == len(tokens) == new.get_vocab_size() - len(tokenizer)
    assert {t.merge is None for t in tokens} == {True, False}

    def holds(text: str) -> None:
        before, after = old.encode(text, add_special_tokens=False), new.encode(text, add_special_tokens=False)
        assert new.decode(after.ids, skip_special_tokens=False) == text
        places, parts, is_cut = borders(old, text), list[int](), False
        for number, place in zip(after.ids, after.offsets, strict=True):
            token = pieces.get(number)
            parts += [number] if token is None else token.pieces
            is_cut |= token is not None and token.merge is None and not places.issuperset(place)
        assert is_cut or parts == before.ids
        if not set(after.ids) & set(pieces):
            assert after.ids == before.ids

    given(text=WRITTEN)(settings(max_examples=60)(holds))()
    for text in texts[:20]:
        holds(text)
    mine = random.Random(5).sample(texts, 20)
    assert sum(len(new.encode(t).ids) for t in mine) < 0.75 * sum(len(old.encode(t).ids) for t in mine)


@pytest.mark.parametrize("rule", RULES)
def test_phrases_never_split_a_word(rule: str, learnt: dict[str, Any]) -> None:
    tokenizer, tokens = learnt[rule]
    new = extended(backend_of(tokenizer), tokens)
    every = [new.decode([number], skip_special_tokens=False) for number in new.get_vocab().values()]
    for token in tokens:
        assert every.count(token.text) == 1  # no two tokens of one text
        if token.merge is None:
            assert token.text.isascii() and token.uses >= LEAST
            assert not any(c.isalpha() or c == "_" for c in (token.text[0], token.text[-1]))


def test_the_longest_phrase_first_is_what_the_leftmost_is(learnt: dict[str, Any], texts: list[str]) -> None:
    """llama.cpp takes the longest phrases out of a text first; on most texts that finds those of the library."""
    tokenizer, tokens = learnt["gpt2"]
    new, phrases = extended(backend_of(tokenizer), tokens), [t.text for t in tokens if t.merge is None]
    uses = other = 0
    for text in texts:
        encoded = new.encode(text, add_special_tokens=False)
        ours = {text[a:b] + f"@{a}" for a, b in encoded.offsets if text[a:b] in phrases}
        left, theirs = text, set[str]()
        for phrase in sorted(phrases, key=len, reverse=True):
            while (at := left.find(phrase)) >= 0:
                theirs.add(f"{phrase}@{at}")
                left = left[:at] + "\0" * len(phrase) + left[at + len(phrase) :]
        uses, other = uses + len(ours), other + len(ours - theirs)
    assert uses > 200 and other < 0.06 * uses


def test_the_same_texts_give_the_same_tokens(learnt: dict[str, Any], texts: list[str]) -> None:
    tokenizer, tokens = learnt["smollm"]
    assert settled(candidates(backend_of(tokenizer), texts, NUMBER, LEAST), NUMBER) == tokens


def test_a_joined_token_that_is_there_already_is_not_made() -> None:
    """``a`` and ``b`` stand apart in old texts although the vocabulary has ``ab``: a merge would change them."""
    from tokenizers import decoders, models

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {name: number for number, name in enumerate([*alphabet, "ab", "cd"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("c", "d")]))
    backend.pre_tokenizer, backend.decoder = GPT2[0], decoders.ByteLevel()  # type: ignore[assignment]
    tokens = settled(candidates(backend, ["abcd abx"] * 20, 50, 2), 50)
    assert all(token.text.strip() not in ("ab", "abx") for token in tokens)
    assert extended(backend, tokens).encode("ab").tokens == ["a", "b"]


# Weights


@pytest.mark.parametrize("tied", [True, False])
def test_rows_are_the_means_of_their_pieces(tied: bool, tmp_path: Path) -> None:
    tokenizer = trained_tokenizer(GPT2)
    size = len(tokenizer)
    folder = save_model(tmp_path / "m", LlamaConfig, tokenizer, tie_word_embeddings=tied, rows=size + (-size) % 64 + 32)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    before = {name: w.clone() for name, w in model.state_dict().items()}
    rows = len(before["model.embed_tokens.weight"])
    extend.add_rows(model, {rows: (5, 9), rows + 1: (7, 7, 30)}, rows + 2)
    heads = ["model.embed_tokens.weight"] if tied else ["model.embed_tokens.weight", "lm_head.weight"]
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    for name in heads:
        old, new = before[name], model.state_dict()[name]
        assert len(new) == rows + 32 == model.config.vocab_size and torch.equal(new[:rows], old)
        assert torch.allclose(new[rows], (old[5] + old[9]) / 2)
        assert torch.allclose(new[rows + 1], (old[7] + old[7] + old[30]) / 3)
        assert torch.allclose(new[rows + 2 :], old.mean(dim=0).expand(30, -1), atol=1e-6)
    ids = torch.tensor([[3, 8, 40, 41]])
    plain: Any = AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        ours, theirs = model(ids).logits, plain(ids).logits
    assert torch.allclose(ours[..., :rows], theirs, atol=1e-5)
    assert torch.allclose(ours[..., rows], (theirs[..., 5] + theirs[..., 9]) / 2, atol=1e-5)
    assert bool((ours[..., rows + 2] <= theirs.logsumexp(-1) - torch.tensor(rows).log() + 1e-5).all())


def test_spare_rows_are_used_before_new_ones(tmp_path: Path) -> None:
    """Qwen2's layout: more rows than tokens, special tokens outside the model's vocabulary, and a head of its own."""
    tokenizer = trained_tokenizer(QWEN2)
    tokenizer.add_tokens(["<|im_start|>"], special_tokens=True)
    folder = save_model(tmp_path / "m", Qwen2Config, tokenizer, rows=len(tokenizer) + 7)
    size = len(load_tokenizer(folder))  # which adds a token that Qwen2 never lacks
    token = NewToken("zq", tuple(backend_of(tokenizer).encode("zq").ids), ("z", "q"))
    (tmp_path / "out").mkdir()
    extend.write_extended(Policy(folder), [token], tmp_path / "out", ["zq = zqx;"])
    made: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    old: Any = AutoModelForCausalLM.from_pretrained(folder)
    after = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (
        after.convert_tokens_to_ids("zq") == size and after.convert_tokens_to_ids("<|im_start|>") == len(tokenizer) - 1
    )
    assert made.lm_head.weight.shape == old.lm_head.weight.shape and len(token.pieces) == 2
    assert torch.allclose(made.lm_head.weight[size], old.lm_head.weight[list(token.pieces)].mean(0))
    assert torch.equal(made.lm_head.weight[size + 1 :], old.lm_head.weight[size + 1 :])


def test_a_model_that_predicts_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model(tmp_path / "m", LlamaConfig, trained_tokenizer(GPT2))
    add = extend.add_rows

    def wrong(model: Any, *arguments: Any) -> None:
        add(model, *arguments)
        with torch.no_grad():
            model.model.norm.weight[0] += 1

    monkeypatch.setattr(extend, "add_rows", wrong)
    token = NewToken("zq", tuple(load_tokenizer(folder).encode("zq")), ("z", "q"))
    (tmp_path / "out").mkdir()
    with pytest.raises(ToolFailed, match="does not predict"):
        extend.write_extended(Policy(folder), [token], tmp_path / "out", ["module zq;"])


# The command


@pytest.fixture(scope="module")
def corpus(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    file.write_text("".join(json.dumps({"text": text, "licence": "MIT"}) + "\n" for text in texts))
    return file


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """An untied model with a chat template, a form of its prompts and two ends, and what it became."""
    folder = tmp_path_factory.mktemp("made")
    tokenizer = trained_tokenizer(SMOLLM)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    source = save_model(folder / "old", LlamaConfig, tokenizer)
    (source / "generation_config.json").write_text('{"eos_token_id": [1, 2], "temperature": 0.3, "do_sample": true}')
    form = {"schema": "itertl.prompt_form/1", "style": "chat", "header": "prefill"}
    (source / "prompt_form.json").write_text(json.dumps(form))
    done = itertl(
        "model", "extend", source, "--corpus", corpus, "--out", folder / "new", "--tokens", "90",
        "--min-count", "8", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return source, folder / "new", json.loads(done.stdout)


def test_all_that_belongs_to_a_model_is_kept(made: tuple[Path, Path, dict[str, Any]]) -> None:
    source, out, told = made
    assert 60 < told["tokens"] <= 90 and told["merges"] + told["phrases"] == told["tokens"]
    held = told["held_out"]
    assert held["after"] < held["before"] and held["gain"] == round(100 * (1 - held["after"] / held["before"]), 2)
    generation = json.loads((out / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [1, 2] and generation["temperature"] == 0.3
    assert json.loads((out / "prompt_form.json").read_text())["header"] == "prefill"
    old, new = load_tokenizer(source), load_tokenizer(out)
    assert new.chat_template == old.chat_template and new.special_tokens_map == old.special_tokens_map
    assert (new.eos_token_id, new.pad_token_id) == (old.eos_token_id, old.pad_token_id)
    assert len(json.loads((out / "new_tokens.json").read_text())["tokens"]) == told["tokens"]


def test_prompts_and_answers_meet_between_tokens(made: tuple[Path, Path, dict[str, Any]]) -> None:
    """No token reaches over the border, and one that ends a module is seen to end it."""
    tokenizer: Any = load_tokenizer(made[1])
    closing = _closing_ids(tokenizer)
    for problem in load_problems("synth", limit=8, header="derive").problems:
        prompt = encode_prompt(problem, PromptConfig(style="plain", header="prefill"), tokenizer)
        answer = encode_response(problem.reference or "", prompt, tokenizer, ended=False)
        assert prompt.prefill and tokenizer.decode(prompt.token_ids) == prompt.text
        assert prompt.prefill + tokenizer.decode(answer) == problem.reference
        ends = next(n for n in range(len(answer)) if "endmodule" in tokenizer.decode(answer[: n + 1]))
        assert answer[ends] in closing


def test_a_gguf_file_of_it_reads_text_as_it_does(made: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    _, out, _ = made
    done = export(out, tmp_path / "gguf", kind="f16")
    assert done.record["gguf"] and done.record["gguf"]["check"]["texts"] > 5
    convert_gguf(tmp_path / "gguf" / done.record["gguf"]["file"], tmp_path / "back")
    ours, theirs = load_tokenizer(out), load_tokenizer(tmp_path / "back")
    rows = json.loads((out / "new_tokens.json").read_text())["tokens"]
    phrase = next(row["text"] for row in rows if row["merge"] is None and " " in row["text"])
    number = ours.convert_tokens_to_ids(phrase)
    assert number in theirs.encode(f"q{phrase}q") and theirs.decode([number]) == phrase


def test_as_few_tokens_as_reach_a_gain(corpus: Path, made: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    wanted = Wanted(gain=20.0, min_count=8)
    done = loop_extend.extend_model(str(made[0]), [str(corpus)], tmp_path / "few", wanted, Reporter(quiet=True))
    assert 20 <= done.held_out.gain < 26 and len(done.tokens) < 60


def test_corpora_of_every_kind(texts: list[str], corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "rtl" / f"m{number}.v").write_text(text)
    pairs = tmp_path / "problems.jsonl"
    pairs.write_text("".join(p.to_line() + "\n" for p in load_problems("synth", limit=5).problems))
    wanted = sorted(set(texts))
    assert sorted(loop_extend.read_corpus([str(tmp_path / "rtl")])) == wanted
    assert sorted(loop_extend.read_corpus([str(corpus), str(tmp_path / "rtl" / "m0.v")])) == wanted
    assert all("endmodule" in text for text in loop_extend.read_corpus([str(pairs)]))
    long = tmp_path / "long.v"
    long.write_text("".join(f"wire w{n};\n" for n in range(5000)))
    parts = loop_extend.read_corpus([str(long)])
    assert len(parts) > 2 and "".join(parts) == long.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--corpus", "none.jsonl"], "no such file"), (["--corpus", "few.jsonl"], "3 texts"),
     (["--corpus", "odd.jsonl"], "odd.jsonl:2"), (["--corpus", "same.jsonl", "--gain", "90"], "--gain 90"),
     (["--corpus", "same.jsonl", "--gain", "9", "--tokens", "3"], "one of the two"),
     (["--corpus", "same.jsonl", "--min-count", "9999"], "lower --min-count")],
)  # fmt: skip
def test_wrong_calls_end_with_one_line(
    arguments: list[str], words: str, made: tuple[Path, Path, dict[str, Any]], texts: list[str], tmp_path: Path
) -> None:
    for name, rows in (("few", texts[:3]), ("odd", ["a", None]), ("same", texts)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    done = itertl("model", "extend", made[0], *arguments, "--out", "out", cwd=tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and words in last and last.startswith("itertl: ") and not (tmp_path / "out").exists()


def test_other_kinds_of_tokenizers_are_refused() -> None:
    with pytest.raises(UsageError, match="byte-level BPE"):
        backend_of(trained_tokenizer([pre_tokenizers.Metaspace()]))
    assert backend_of(trained_tokenizer([BYTES])).encode("a").ids
