"""What the losses do with their arguments first: check them, widen half precision, leave padding out.

Axis suffixes as in ``losses``. All functions raise ValueError, as said there.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def check_constant(requirement: str, value: float, fits: bool = True) -> None:
    if not (math.isfinite(value) and fits):
        raise ValueError(f"{requirement}, not {value}")


def widened(values: Tensor) -> Tensor:
    """Half precision as float32: sums, lengths and exponentials leave its range or its digits."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def check_rows(token_logp_R_T: Tensor, mask_R_T: Tensor) -> Tensor:
    """The mask as bool; every row must hold a token."""
    if token_logp_R_T.ndim != 2 or token_logp_R_T.shape != mask_R_T.shape:
        raise ValueError(
            f"token_logp {tuple(token_logp_R_T.shape)} and mask {tuple(mask_R_T.shape)} must both be [rows, positions]"
        )
    mask = mask_R_T.bool()
    empty = [row for row, filled in enumerate(mask.any(dim=1)) if not bool(filled)]
    if empty:
        raise ValueError(f"rows {empty} hold no response token; leave empty responses out")
    return mask


def without_padding(token_logp_R_T: Tensor, mask_R_T: Tensor) -> Tensor:
    """Zero on padding. ``where`` and not a product: padding may hold -inf or NaN, then so would sum and gradient."""
    return torch.where(mask_R_T, widened(token_logp_R_T), 0.0)


def masked_mean(token_logp_R_T: Tensor, mask_R_T: Tensor) -> Tensor:
    total = without_padding(token_logp_R_T, mask_R_T).sum(dim=1)
    return total / mask_R_T.sum(dim=1).to(total.dtype)


def z_as_float64(z_K: Tensor | Sequence[float], name: str = "z") -> Tensor:
    """z (or what was made of it) on the CPU in double precision, checked; no gradient flows to it."""
    try:
        z = torch.as_tensor(z_K, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be numbers, one for each response: {error}") from error
    if z.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, one for each response, not of shape {tuple(z.shape)}")
    if not bool(torch.isfinite(z).all()):
        raise ValueError(f"{name} holds a NaN or an infinity ({z}); leave responses without a score out")
    return z


def check_logp(logp_K: Tensor, name: str = "logp") -> Tensor:
    if not logp_K.is_floating_point() or logp_K.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional and of floats, not {tuple(logp_K.shape)} of {logp_K.dtype}")
    return widened(logp_K)


def check_pairs(worse_P: Tensor, better_P: Tensor) -> None:
    if worse_P.ndim != 1 or worse_P.shape != better_P.shape:
        raise ValueError(f"worse {tuple(worse_P.shape)} and better {tuple(better_P.shape)} are both [pairs]")


def log_ratio(token_logp_R_T: Tensor, mask_R_T: Tensor, initial_logp_R_T: Tensor) -> Tensor:
    """log P - log P_initial of each token, 0 on padding; no gradient flows to the initial model's."""
    if initial_logp_R_T.shape != token_logp_R_T.shape:
        raise ValueError(
            f"initial_logp {tuple(initial_logp_R_T.shape)} and token_logp {tuple(token_logp_R_T.shape)} differ in shape"
        )
    now = without_padding(token_logp_R_T, mask_R_T)
    return now - without_padding(initial_logp_R_T, mask_R_T).detach().to(now)
