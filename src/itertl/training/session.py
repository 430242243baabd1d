"""A model made ready for training: accelerate, adapters, optimizer.

Full weights and adapters run on one process, DDP, FSDP, or DeepSpeed (ZeRO 1 and 2), by what ``accelerate launch`` sets
up; adapters over weights in 4 bits on one process or DDP. DeepSpeed's engine exchanges gradients, clips and steps by
itself, when this module asks for it. Left out: ZeRO 3 (FSDP cuts the weights in the same way).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object
from accelerate.utils.memory import clear_device_cache
from torch import Tensor

from itertl import memory
from itertl.config import TrainConfig
from itertl.errors import RecipeError, UsageError
from itertl.model import attention
from itertl.model.load import has_fast_bf16
from itertl.model.policy import Policy
from itertl.training import layout
from itertl.training.collate import collate
from itertl.training.packing import Layout, Piece, missing, plan_shares
from itertl.training.response_model import ResponseModel, response_logprobs
from itertl.work.seeds import derive_seed

_CPU_TOKENS, _GPU_TOKENS = 2048, 16384  # a micro-batch, where the recipe leaves it open
_DENSE_ROW = 1024  # longer rows of several groups would spend more on masked attention than they save


@dataclass(slots=True)
class Loaded:
    """A policy before it is prepared: what the data must fit is known, how it will be fed is not."""

    accelerator: Any
    policy: ResponseModel
    context: int | None  # longest sequence that the model takes, where it says so
    vocabulary: int
    base: Policy  # what adapters are merged into

    @property
    def state_layout(self) -> str:
        """What a saved state can be read back by: whole weights and FSDP's pieces on any number of processes,
        DeepSpeed's on as many."""
        if _kind(self.accelerator) == "DEEPSPEED":
            return f"DeepSpeed on {self.accelerator.num_processes}"
        return "pieces" if _is_sharded(self.accelerator) else "whole"


@dataclass(slots=True)
class Session:
    """What the loop works on."""

    accelerator: Any
    policy: Any  # a ``ResponseModel``, prepared
    optimizer: Any  # prepared
    parameters: list[Any]  # those that are trained
    layout: Layout
    base: Policy  # what adapters are merged into
    say: Callable[[object], None]

    @property
    def device(self) -> Any:
        return self.accelerator.device

    @property
    def is_sharded(self) -> bool:
        """Whether weights or gradients lie in pieces on the processes, so that all must make each pass together."""
        return _is_sharded(self.accelerator)

    @property
    def is_deepspeed(self) -> bool:
        return _kind(self.accelerator) == "DEEPSPEED"

    @property
    def model(self) -> Any:
        """The model itself, out of all wrappers (but that of adapters)."""
        return self.accelerator.unwrap_model(self.policy).model

    def accumulating(self) -> AbstractContextManager[Any]:
        """Processes exchange nothing while a step's gradients come together; ``average_gradients`` does it once.

        A sharded model exchanges at each pass, so that no process ever holds the whole gradient.
        """
        return nullcontext() if self.is_sharded else self.accelerator.no_sync(self.policy)

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        """``is_last``: of the step, on all processes."""
        if self.is_deepspeed:
            self.policy.set_gradient_accumulation_boundary(is_last)
            self.policy.backward(loss)
        else:
            self.accelerator.backward(loss)

    def clip(self, largest: float | None) -> float:
        """Norm of the whole gradient, before it is clipped. (DeepSpeed clips when it steps.)"""
        if self.is_deepspeed:
            norm = self.policy.optimizer.scaled_global_norm()
        else:
            norm = self.accelerator.clip_grad_norm_(self.parameters, largest or math.inf)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def step(self) -> None:
        """Apply the gradient, and forget it."""
        if self.is_deepspeed:
            self.policy.step()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def average_gradients(self) -> None:
        """The mean over processes, in place.

        A parameter without a gradient gets one of zero: it is one, and Adam's momentum goes on, as it would had all
        been computed.
        """
        if self.is_deepspeed:  # done in its last backward pass
            return
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.accelerator.num_processes == 1 or self.is_sharded:
            return
        for some in _buckets([p.grad for p in self.parameters]):
            flat = torch.cat([gradient.reshape(-1) for gradient in some])
            torch.distributed.all_reduce(flat)
            flat /= self.accelerator.num_processes
            for gradient, values in zip(some, flat.split([g.numel() for g in some]), strict=True):
                gradient.copy_(values.view_as(gradient))

    def halve_budget(self, step: int) -> None:
        """After memory ran out. The step's groups stay the same; they are cut into smaller micro-batches."""
        self.optimizer.zero_grad(set_to_none=True)
        clear_device_cache(garbage_collection=True)
        old, new = self.layout.budget, max(1, self.layout.budget // 2)
        self.layout = self.layout.with_budget(new)
        self.say(f"step {step}: out of memory with {old} tokens at a time; going on with {new}, the same groups a step")

    def logprobs(self, pieces: Sequence[Piece]) -> dict[tuple[int, int], Tensor]:
        """Token log-probabilities [tokens] of each (group, slot), float32 on the CPU; evaluation mode, no gradient.

        The processes share the work, and all of them get all of it.
        """
        processes, mine = self.accelerator.num_processes, self.accelerator.process_index
        works = [(*work.whole, *work.split) for work in plan_shares(pieces, self.layout, processes)]
        most = max(works, key=len) if self.is_sharded else works[mine]
        was_training = self.policy.training
        self.policy.eval()
        table: dict[tuple[int, int], Tensor] = {}
        with torch.no_grad():
            for batch in [*works[mine], *missing(works[mine], most)]:
                found = response_logprobs(self.policy, collate(batch, self.layout.multiple), self.device)
                table |= {slot: values.float().cpu() for slot, values in found.items()}
        self.policy.train(was_training)
        if processes == 1:
            return table
        return dict(gather_object(list(table.items())))


def _kind(accelerator: Any) -> str:
    return str(accelerator.distributed_type.value)


def _is_sharded(accelerator: Any) -> bool:
    return _kind(accelerator) in ("FSDP", "DEEPSPEED")


def token_budget(config: TrainConfig) -> int:
    """Tokens of a micro-batch: the recipe's, or what suits the machine."""
    return config.micro_batch_tokens or (_GPU_TOKENS if torch.cuda.is_available() else _CPU_TOKENS)


def _buckets(gradients: Sequence[Tensor], size: int = 1 << 25) -> Iterator[list[Tensor]]:
    """Gradients of one type in parts of about ``size`` elements: one exchange for each."""
    some: list[Tensor] = []
    for gradient in gradients:
        if some and (sum(g.numel() for g in some) >= size or gradient.dtype != some[0].dtype):
            yield some
            some = []
        some.append(gradient)
    if some:
        yield some


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or in main memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error)


def load_policy(policy: Policy, config: TrainConfig, *, seed: int = 0) -> Loaded:
    """Load the policy, with its adapters. Raises RecipeError or UsageError for what this machine or loop cannot do."""
    accelerator = _accelerator(config)
    _refuse_unsupported(accelerator, config)
    quantize = config.lora.quantize if config.lora else None
    # float32 master weights: steps of 1e-5 would be lost in bfloat16. Frozen weights take no steps, but FSDP wants one
    # type.
    model: Any = policy.load(
        dtype=policy.dtype if config.lora and not _is_sharded(accelerator) else "float32",
        device=str(accelerator.device) if quantize else "cpu",  # else the accelerator moves it, each process to its own
        quantize=quantize,
    )
    _choose_attention(model, config)
    context = getattr(model.config, "max_position_embeddings", None)
    vocabulary = int(model.get_input_embeddings().num_embeddings)
    if config.gradient_checkpointing:
        _checkpoint_activations(model)
    if config.lora:
        model = _with_adapters(model, config, seed)
    return Loaded(accelerator, ResponseModel(model, attention=config.attention), context, vocabulary, policy)


def _choose_attention(model: Any, config: TrainConfig) -> None:
    """How packed rows are attended to: block masks if asked for; part by part on a CPU; else SDPA with a mask.

    Never by cuDNN, which PyTorch may choose for SDPA: its backward pass gave gradients that are not numbers for packed
    rows (bf16, H200, PyTorch 2.11), while those of the other kernels agree.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    if config.attention == "flex":
        model.set_attn_implementation("flex_attention")
    elif (
        not torch.cuda.is_available()
        and getattr(model.config.get_text_config(), "_attn_implementation", None) == "sdpa"
    ):
        attention.register(attention.NAME, attention.attend)
        model.set_attn_implementation(attention.NAME)


def open_session(loaded: Loaded, config: TrainConfig, *, longest: int, say: Callable[[object], None]) -> Session:
    """Find out how the model can be fed, and prepare it. ``longest``: tokens of the longest prompt and response."""
    accelerator, policy = loaded.accelerator, loaded.policy
    if not _is_sharded(accelerator):  # a model that is to be sharded may be too large for one device
        policy.to(accelerator.device)
    choice = layout.choose(policy, longest=longest, allow_packing=config.packing == "auto")
    if choice.why and not (choice.hidden and config.packing == "off"):
        say(f"training takes {choice.name}, because of {choice.why}")
    policy.train()
    optimizer = torch.optim.AdamW(
        [p for p in policy.parameters() if p.requires_grad],
        lr=config.learning_rate, betas=config.betas, eps=config.epsilon, weight_decay=config.weight_decay,
    )  # fmt: skip
    prepared, optimizer = accelerator.prepare(policy, optimizer)
    parameters = [p for p in prepared.parameters() if p.requires_grad]
    budget = token_budget(config)
    row = budget if config.attention == "flex" else min(budget, _DENSE_ROW)
    # kernels like certain lengths of rows: FlexAttention works in blocks of 128, half-precision products in eights
    multiple = 128 if config.attention == "flex" else 8 if torch.cuda.is_available() else 1
    found = Layout(choice.packed, row, budget, multiple)
    return Session(accelerator, prepared, optimizer, parameters, found, loaded.base, say)


def resolve_precision(config: TrainConfig) -> str:
    """The autocast of a round on this machine: "float32", "bf16" or "fp16"."""
    return ("bf16" if has_fast_bf16() else "float32") if config.precision == "auto" else config.precision


def _accelerator(config: TrainConfig) -> Any:
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    # Its settings are global to the process; a round before this one may have had another precision.
    AcceleratorState._reset_state(reset_partial_state=False)
    precision = {"float32": "no"}.get(name := resolve_precision(config), name)
    if config.precision == "fp16" and not torch.cuda.is_available():
        raise RecipeError("train.precision: fp16 needs a GPU; use bf16 or float32 on this machine")
    # A process that makes more passes than another must not wait for it: buffers are constant, gradients go once a
    # step.
    copies = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Accelerator(mixed_precision=precision, kwargs_handlers=[copies])


def _refuse_unsupported(accelerator: Any, config: TrainConfig) -> None:
    kind = _kind(accelerator)
    if kind == "MEGATRON_LM":
        raise UsageError(
            f"training runs on one process, DDP, FSDP or DeepSpeed, not {kind}; choose FSDP in `accelerate config`"
        )
    if kind == "DEEPSPEED":
        _set_up_deepspeed(accelerator.deepspeed_plugin, config)
    if config.lora and config.lora.quantize and _is_sharded(accelerator):
        raise RecipeError(
            "train.lora.quantize: weights in 4 bits are not cut into pieces; launch with DDP, or set it to null"
        )


def _set_up_deepspeed(plugin: Any, config: TrainConfig) -> None:
    """Micro-batches are this loop's, so is the moment of a step; the engine clips."""
    if plugin.zero_stage not in (1, 2):
        raise UsageError(
            f"DeepSpeed runs with ZeRO stage 1 or 2, not {plugin.zero_stage}; for weights in pieces choose FSDP in "
            "`accelerate config`"
        )
    if config.precision == "fp16":
        raise RecipeError("train.precision: fp16 under DeepSpeed scales losses out of this loop's sight; use bf16")
    plugin.deepspeed_config |= {
        "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1,
        "gradient_clipping": config.max_grad_norm or 0.0
    }  # fmt: skip


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


def close_session(session: Session) -> None:
    """Let go of the memory."""
    session.accelerator.free_memory()
    session.policy = session.optimizer = None
    session.parameters = []
    memory.give_back()
