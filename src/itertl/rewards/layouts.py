"""The shapes in which other trainers want their data, and the files and settings that go with them."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from itertl.errors import UsageError
from itertl.runs import storage

Trainer = Literal["verl", "trl", "llama-factory", "axolotl"]
Kind = Literal["sft", "preference", "rl"]
Prompt = str | list[dict[str, str]]
Row = dict[str, Any]
REWARD = "itertl.rewards.verilog_reward"

_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}  # to some readers of lines
_LACKS = {
    ("verl", "preference"): "verl has no trainer of pairs; export them for trl, llama-factory or axolotl",
    ("llama-factory", "rl"): "LLaMA-Factory's PPO takes a reward model, and no function; export for trl or verl",
}


@dataclass(frozen=True, slots=True)
class Target:
    """For whom, and for which kind of training."""

    trainer: Trainer
    kind: Kind

    @property
    def suffix(self) -> str:
        return ".parquet" if self.trainer == "verl" else ".jsonl"

    @property
    def settings(self) -> str | None:
        """The file of settings that is written beside the rows."""
        return {"llama-factory": "dataset_info.json", "axolotl": "axolotl.yaml"}.get(self.trainer)

    def files(self, folder: Path, *, with_test: bool) -> list[Path]:
        names = [f"train{self.suffix}", *([f"test{self.suffix}"] if with_test else [])]
        return [folder / name for name in (*names, *([self.settings] if self.settings else []))]


def check(target: Target, *, is_plain: bool) -> None:
    """Raise UsageError for a kind that the trainer does not have."""
    reason = _LACKS.get((target.trainer, target.kind))
    if reason is not None:
        raise UsageError(f"--for {target.trainer} --kind {target.kind}: {reason}")
    if is_plain and target.trainer != "trl":
        raise UsageError(f"--for {target.trainer}: it lays a chat template around messages; set prompt.style=chat")


def sft(target: Target, prompt: Prompt, answer: str, about: Mapping[str, Any]) -> Row:
    """An instruction and what is to be written."""
    if target.trainer == "trl":
        return {"prompt": prompt, "completion": _said(prompt, answer), **about}
    return {"messages": [*_messages(prompt), _assistant(answer)], **about}


def preference(target: Target, prompt: Prompt, answers: tuple[str, str], about: Mapping[str, Any]) -> Row:
    """A question with the better and the worse of two answers."""
    chosen, rejected = answers
    if target.trainer == "trl":
        return {"prompt": prompt, "chosen": _said(prompt, chosen), "rejected": _said(prompt, rejected), **about}
    return {"messages": prompt, "chosen": _assistant(chosen), "rejected": _assistant(rejected), **about}


def rl(target: Target, prompt: Prompt, truth: str, about: Mapping[str, Any]) -> Row:
    """A question with the ground truth by which answers are rewarded."""
    if target.trainer != "verl":
        return {"prompt": prompt, "ground_truth": truth, **about}
    return {
        "data_source": str(about["source"]).partition(":")[0] or "itertl", "prompt": prompt, "ability": "verilog",
        "reward_model": {"style": "rule", "ground_truth": truth}, "extra_info": dict(about),
    }  # fmt: skip


def write(target: Target, folder: Path, train: Sequence[Row], test: Sequence[Row]) -> None:
    """Write rows and settings into ``folder``. Raises WriteFailed."""
    for name, rows in (("train", train), ("test", test)):
        path = folder / f"{name}{target.suffix}"
        if rows:
            storage.write_bytes(path, _dumped(rows, target))
        else:
            path.unlink(missing_ok=True)  # of an earlier call, to whose rows it does not belong
    if target.trainer == "llama-factory":
        storage.write_json(folder / "dataset_info.json", _dataset_info(target.kind, has_test=bool(test)))
    if target.trainer == "axolotl":
        settings = _axolotl(target.kind, folder, has_test=bool(test))
        storage.write_text(folder / "axolotl.yaml", yaml.safe_dump(settings, sort_keys=False))


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _said(prompt: Prompt, text: str) -> Prompt:
    return text if isinstance(prompt, str) else [_assistant(text)]


def _dumped(rows: Sequence[Row], target: Target) -> bytes:
    if target.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        return text.translate(_LINE_ENDS).encode()
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


def _dataset_info(kind: Kind, *, has_test: bool) -> dict[str, Any]:
    """LLaMA-Factory's: data sets ``itertl`` and ``itertl_test``."""
    columns = {"messages": "messages"}
    ranking = {"ranking": True} if kind == "preference" else {}
    if ranking:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    names = ("role", "content", "user", "assistant", "system")
    keys = ("role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag")
    tags = dict(zip(keys, names, strict=True))
    files = {"itertl": "train.jsonl", **({"itertl_test": "test.jsonl"} if has_test else {})}
    return {
        name: {"file_name": file, "formatting": "sharegpt", **ranking, "columns": columns, "tags": tags}
        for name, file in files.items()
    }


def _axolotl(kind: Kind, folder: Path, *, has_test: bool) -> dict[str, Any]:
    """The part of axolotl's settings that is about the data; model and training are the user's."""
    shapes: dict[Kind, dict[str, Any]] = {
        "sft": {"type": "chat_template", "field_messages": "messages"},
        "preference": {
            "type": "chat_template.default", "field_messages": "messages", "field_chosen": "chosen",
            "field_rejected": "rejected",
        },
        "rl": {"type": None},
    }  # fmt: skip

    def of(name: str) -> list[dict[str, Any]]:
        return [{"path": str(folder / f"{name}.jsonl"), "ds_type": "json", "split": "train", **shapes[kind]}]

    method = {"sft": {}, "preference": {"rl": "dpo"}, "rl": {"rl": "grpo", "trl": {"reward_funcs": [REWARD]}}}[kind]
    tests = {"test_datasets": of("test")} if has_test else {}
    return {**method, "chat_template": "tokenizer_default", "datasets": of("train"), **tests}
