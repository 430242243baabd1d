"""A model made ready for training: accelerate, adapters, optimizer; and the checkpoint that comes out of it.

Full weights run on one process, DDP or FSDP, by what ``accelerate launch`` sets up; adapters on one process or DDP.
Left out: DeepSpeed (its engine steps by itself, and this loop decides when), and adapters under FSDP (they could not
be merged from shards).
"""

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from itertl import faults, storage
from itertl.config import TrainConfig
from itertl.errors import RecipeError, UsageError
from itertl.models import has_fast_bf16, load_model
from itertl.seeds import derive_seed
from itertl.training.forward import can_keep_logits
from itertl.training.stage import TrainInputs
from itertl.training.state import stage_folder


@dataclass(slots=True)
class Session:
    """What the loop works on."""

    accelerator: Any
    model: Any  # prepared
    optimizer: Any  # prepared
    parameters: list[Any]  # those that are trained
    keep_logits: bool
    context: int | None  # longest sequence that the model takes, where it says so
    vocabulary: int

    @property
    def device(self) -> Any:
        return self.accelerator.device


def open_session(inputs: TrainInputs) -> Session:
    """Load the policy and prepare it. Raises RecipeError or UsageError for what this machine or loop cannot do."""
    config = inputs.config
    accelerator = _accelerator(config, inputs.tracking_dir)
    _refuse_unsupported(accelerator, config)
    # float32 master weights: steps of 1e-5 would be lost in bfloat16. Frozen weights take no steps.
    model: Any = load_model(
        inputs.model,
        dtype=inputs.dtype if config.lora else "float32",
        device="cpu",  # the accelerator moves it, each process to its own device
        trust_remote_code=inputs.trust_remote_code,
        revision=inputs.revision,
    )
    context = getattr(model.config, "max_position_embeddings", None)
    vocabulary = int(model.get_input_embeddings().num_embeddings)
    if config.gradient_checkpointing:
        _checkpoint_activations(model)
    if config.lora:
        model = _with_adapters(model, config, inputs.seed)
    keep_logits = can_keep_logits(model)
    model.train()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate, betas=config.betas, eps=config.epsilon, weight_decay=config.weight_decay,
    )  # fmt: skip
    model, optimizer = accelerator.prepare(model, optimizer)
    parameters = [p for p in model.parameters() if p.requires_grad]
    return Session(accelerator, model, optimizer, parameters, keep_logits, context, vocabulary)


def _accelerator(config: TrainConfig, tracking_dir: Path | None) -> Any:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Its settings are global to the process; a round before this one may have had another precision.
    AcceleratorState._reset_state(reset_partial_state=False)
    automatic = "bf16" if has_fast_bf16() else "float32"
    precision = automatic if config.precision == "auto" else config.precision
    precision = {"float32": "no"}.get(precision, precision)
    if config.precision == "fp16" and not torch.cuda.is_available():
        raise RecipeError("train.precision: fp16 needs a GPU; use bf16 or float32 on this machine")
    if tracking_dir is not None and importlib.util.find_spec("tensorboard") is not None:
        accelerator = Accelerator(mixed_precision=precision, log_with="tensorboard", project_dir=str(tracking_dir))
        accelerator.init_trackers("train")
        return accelerator
    return Accelerator(mixed_precision=precision)


def _refuse_unsupported(accelerator: Any, config: TrainConfig) -> None:
    kind = str(accelerator.distributed_type.value)
    if kind in ("DEEPSPEED", "MEGATRON_LM"):
        raise UsageError(f"training runs on one process, DDP or FSDP, not {kind}; choose FSDP in `accelerate config`")
    if config.lora and kind == "FSDP":
        raise RecipeError("train.lora: adapters cannot be merged under FSDP; launch with DDP, or train full weights")


def _checkpoint_activations(model: Any) -> None:
    """Compute activations again in the backward pass. Newer transformers know it by another name."""
    settings = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)


def _with_adapters(model: Any, config: TrainConfig, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = config.lora
    assert lora is not None
    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    torch.manual_seed(derive_seed(seed, "lora"))
    settings = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM",
    )  # fmt: skip
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise RecipeError(f"train.lora.target_modules: {error}") from error


def save_checkpoint(session: Session, tokenizer: Any, out: Path, *, dtype: str, merge: bool) -> None:
    """Write the policy as an ordinary ``save_pretrained`` folder, atomically; adapters are merged into it."""
    accelerator = session.accelerator
    staged = stage_folder(accelerator, out)
    sharded = str(accelerator.distributed_type.value) == "FSDP"
    weights = accelerator.get_state_dict(session.model) if sharded else None
    if accelerator.is_main_process:
        model = accelerator.unwrap_model(session.model, keep_fp32_wrapper=False)
        if merge:
            model = model.merge_and_unload()
        target = getattr(torch, dtype)
        if weights is not None:
            weights = {name: value.to(target) for name, value in weights.items()}
        else:
            model = model.to(target)
        model.config.dtype = target
        _save_quietly(model, tokenizer, staged, weights)
        faults.point("train.finish")
        storage.commit_folder(staged, out)
    accelerator.wait_for_everyone()


def _save_quietly(model: Any, tokenizer: Any, folder: Path, weights: Any) -> None:
    """Without the library's own progress bar, which would break into ours."""
    from transformers.utils import logging

    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)
    finally:
        if was_shown:
            logging.enable_progress_bar()


def close_session(session: Session) -> None:
    """Close trackers and let go of the memory."""
    for tracker in session.accelerator.trackers:
        tracker.finish()
    session.accelerator.free_memory()
    session.model = session.optimizer = None
    session.parameters = []


def discard_staged(out: Path) -> None:
    """Repair what a kill during ``save_checkpoint`` can leave."""
    storage.recover_folder(out)
    shutil.rmtree(out.with_name(f".{out.name}.staged"), ignore_errors=True)
