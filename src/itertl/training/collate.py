"""A micro-batch as tensors: token ids, positions, which logits are wanted, and the mask that separates responses."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from itertl.model.attention import Rows
from itertl.training.packing import MicroBatch, row_length

_PADDING = -1  # "group" of padding; its positions see each other, because a row that sees nothing would be NaN


@dataclass(frozen=True, slots=True)
class Collated:
    """B rows of L positions. N response tokens in all, in the order of rows, pieces and responses."""

    ids_B_L: Tensor
    positions_B_L: Tensor
    group_B_L: Tensor  # number of the piece within its row; padding -1
    response_B_L: Tensor  # 0: prompt; else 1 + number of the response within its piece
    picks_N: Tensor  # flat positions (row * L + column) whose logits predict a response token
    targets_N: Tensor  # these tokens
    lengths: tuple[int, ...]  # tokens of each response
    slots: tuple[tuple[int, int], ...]  # (group, slot) of each response
    tokens: int  # padding left out
    rows: Rows  # how the rows are made up

    def to(self, device: Any) -> "Collated":
        return replace(self, **{
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("ids_B_L", "positions_B_L", "group_B_L", "response_B_L", "picks_N", "targets_N")
        })  # fmt: skip


def collate(batch: MicroBatch, multiple: int = 1) -> Collated:
    """Lay a micro-batch out, its rows padded to a multiple.

    Raises ValueError for a prompt or response without a token.
    """
    width = -(-max(row_length(row) for row in batch) // multiple) * multiple
    ids, positions, groups, responses = [torch.zeros(len(batch), width, dtype=torch.long) for _ in range(4)]
    groups.fill_(_PADDING)
    picks: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
    slots: list[tuple[int, int]] = []
    for r, row in enumerate(batch):
        at = 0
        for number, piece in enumerate(row):
            prompt = len(piece.prompt_ids)
            if not prompt or not all(piece.responses):
                raise ValueError("every prompt and every response needs at least one token")
            groups[r, at : at + len(piece)] = number
            ids[r, at : at + prompt] = torch.tensor(piece.prompt_ids)
            positions[r, at : at + prompt] = torch.arange(prompt)
            last_of_prompt, at = r * width + at + prompt - 1, at + prompt
            for which, (response, slot) in enumerate(zip(piece.responses, piece.slots, strict=True), 1):
                end = at + len(response)
                ids[r, at:end] = torch.tensor(response)
                positions[r, at:end] = torch.arange(prompt, prompt + len(response))
                responses[r, at:end] = which
                picks += [last_of_prompt, *range(r * width + at, r * width + end - 1)]
                targets += response
                lengths.append(len(response))
                slots.append((piece.group, slot))
                at = end
    return Collated(
        ids, positions, groups, responses, torch.tensor(picks), torch.tensor(targets), tuple(lengths), tuple(slots),
        tokens=sum(row_length(row) for row in batch),
        rows=tuple(tuple((len(p.prompt_ids), tuple(map(len, p.responses))) for p in row) for row in batch),
    )  # fmt: skip


def sees(group_q: Tensor, group_k: Tensor, response_k: Tensor, response_q: Tensor, is_before: Tensor) -> Tensor:
    """The rule of a packed row: of the same piece, not later, and of the prompt or the same response."""
    return is_before & (group_q == group_k) & ((response_k == 0) | (response_k == response_q))


def dense_mask(batch: Collated) -> Tensor:
    """[B, 1, L, L] bool, true where the query (third axis) sees the key (fourth).

    Its ``rows`` say how it is made up.
    """
    length = batch.ids_B_L.shape[1]
    at = torch.arange(length, device=batch.ids_B_L.device)
    mask = sees(
        batch.group_B_L[:, None, :, None], batch.group_B_L[:, None, None, :],
        batch.response_B_L[:, None, None, :], batch.response_B_L[:, None, :, None],
        at[None, None, None, :] <= at[None, None, :, None],
    )  # fmt: skip
    mask.rows = batch.rows  # type: ignore[attr-defined]
    return mask


def block_mask(batch: Collated) -> Any:
    """The same for FlexAttention, which skips blocks that nothing in them sees."""
    from torch.nn.attention.flex_attention import create_block_mask

    group, response = batch.group_B_L, batch.response_B_L

    def rule(b: Tensor, _: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return sees(group[b, q], group[b, k], response[b, k], response[b, q], k <= q)

    rows, length = batch.ids_B_L.shape
    return create_block_mask(rule, rows, None, length, length, device=str(batch.ids_B_L.device))


def padding_mask(batch: Collated) -> Tensor:
    """[B, L] for rows of one response each: 1 on tokens, 0 on padding."""
    return (batch.group_B_L != _PADDING).long()
