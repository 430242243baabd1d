"""The checkpoint that a round leaves: an ordinary ``save_pretrained`` folder, whole or absent."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from itertl import faults
from itertl.config import PromptConfig
from itertl.model.load import save_quietly
from itertl.model.prompt_form import express, write_form
from itertl.runs import storage
from itertl.training.session import Session
from itertl.training.state import stage_folder


def save_checkpoint(session: Session, tokenizer: Any, out: Path, *, dtype: str, prompt: PromptConfig) -> None:
    """Write the policy as an ordinary ``save_pretrained`` folder, atomically; adapters are merged into the model they
    began from.

    ``prompt``: the form that it was trained with, which is written beside the weights.
    """
    accelerator = session.accelerator
    staged = stage_folder(accelerator, out)
    faults.point("train.finish.staged")
    weights = None
    if session.is_sharded:
        gathered = accelerator.get_state_dict(session.policy)  # by all processes; empty on all but the main one
        weights = {name.removeprefix("model."): value for name, value in gathered.items()}
    if accelerator.is_main_process:
        target = getattr(torch, dtype)
        if hasattr(session.model, "peft_config"):
            model, weights = _merged(session, weights, dtype), None
        elif weights is None:
            model = session.model.to(target)
        else:
            model, weights = session.model, {name: value.to(target) for name, value in weights.items()}
        model.config.dtype = target
        with storage.saves_to(out):
            write_form(prompt, tokenizer, staged)
            express(prompt, tokenizer)
            save_quietly(model, tokenizer, staged, weights)
        faults.point("train.finish")
        storage.commit_folder(staged, out)
    accelerator.wait_for_everyone()


def _merged(session: Session, weights: dict[str, Tensor] | None, dtype: str) -> Any:
    """The model that the round began from, in all its digits, with the adapters merged in.

    ``weights``: all of them, where the session's own are in pieces.
    """
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    adapters = get_peft_model_state_dict(session.model, state_dict=weights)
    fresh = get_peft_model(session.base.load(dtype=dtype, device="cpu"), session.model.peft_config["default"])
    found = set_peft_model_state_dict(fresh, {name: value.cpu() for name, value in adapters.items()})
    assert not found.unexpected_keys, found.unexpected_keys
    return fresh.merge_and_unload()
