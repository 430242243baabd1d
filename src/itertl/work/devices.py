"""The GPUs of this machine, and on how many processes a stage runs."""

import os
from pathlib import Path

from itertl.config import ComputeConfig
from itertl.errors import RecipeError, UsageError


def gpus() -> list[str]:
    """Names of the GPUs that can be seen, as CUDA_VISIBLE_DEVICES takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name != "-1"]
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/kfd").exists():
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def is_member() -> bool:
    """Whether a launcher of several processes has started this one."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "1")


def refuse_group(what: str) -> None:
    """Raise UsageError where a launcher of several processes has started this one: ``what`` starts its own."""
    if is_member():
        raise UsageError(
            f"{what} starts its own processes: call it once, without `accelerate launch` or `torchrun`, and set "
            "compute.processes and compute.strategy (default: one process for each GPU, ddp)"
        )


def processes(config: ComputeConfig) -> int:
    """Processes that train, and that sample: those of the recipe, else one for each GPU, else one.

    Raises RecipeError for more of them than there are GPUs, and for a strategy that needs GPUs where there are none.
    """
    here = gpus()
    if config.strategy != "ddp" and not here:
        raise RecipeError(f"compute.strategy: {config.strategy} needs GPUs, and there are none here; use ddp")
    if config.processes is None:
        return max(1, len(here))
    if here and config.processes > len(here):
        raise RecipeError(
            f"compute.processes: {config.processes}, but there are {len(here)} GPUs here; leave it out, or give fewer"
        )
    return config.processes


def group_environment(config: ComputeConfig) -> dict[str, str]:
    """What makes accelerate take the recipe's strategy in the processes of a group."""
    if not gpus():
        return {"ACCELERATE_USE_CPU": "true"}
    if config.strategy == "fsdp":
        return {
            "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
            "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
            "FSDP_RESHARD_AFTER_FORWARD": "true",
        }  # fmt: skip
    if config.strategy == "deepspeed":
        return {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
    return {}
