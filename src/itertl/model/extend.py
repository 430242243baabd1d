"""A model with new tokens: its tokenizer, embeddings and head, saved as an ordinary checkpoint and checked.

The row of a new token is the mean of the rows of the old tokens that it stands for, in the embeddings and in a head of
its own (ChipNeMo, Liu et al. 2311.00176), and of its bias. Rows are kept at a multiple of the power of two, up to 128,
that divides the old number. A row that no token has gets the mean of all old rows: its logit is the mean of the old
tokens' logits, so it is never likelier than one in the size of the vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from itertl.errors import ToolFailed
from itertl.model import load
from itertl.model.domain_tokens import NewToken, backend_of, borders, extended
from itertl.model.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

_MULTIPLE = 128  # of rows, at most
_CHECKED = 128  # tokens of each text whose logits are compared


def write_extended(policy: Policy, tokens: Sequence[NewToken], folder: Path, texts: Sequence[str]) -> None:
    """Write the model of ``policy`` with ``tokens`` to ``folder``; ``texts`` are what the result is checked on.

    Raises ToolFailed where it would not read or predict old text as before.
    """
    from transformers import AutoConfig

    config = load.pretrained(AutoConfig, policy.path, policy.revision, trust_remote_code=policy.trust_remote_code)
    dtype = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    old = policy.tokenizer()
    tokenizer = load.with_backend(old, extended(cast("Any", old).backend_tokenizer, tokens), folder)
    model = policy.load(dtype=dtype, device="cpu")
    add_rows(model, {tokenizer.convert_tokens_to_ids(t.name): t.pieces for t in tokens}, len(tokenizer))
    load.save_converted(model, tokenizer, folder)
    del model
    check_extended(policy, tokens, folder, texts)


def add_rows(model: Any, pieces: dict[int, tuple[int, ...]], size: int) -> None:
    """Give each id of ``pieces`` the mean row of its old ids, in a model whose tokenizer now has ``size`` tokens."""
    import torch

    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    old = int(embeddings.weight.shape[0])
    multiple = min(_MULTIPLE, old & -old)
    rows = max(old, -(-size // multiple) * multiple)
    is_apart = head is not None and head.weight is not embeddings.weight
    if rows > old:
        model.resize_token_embeddings(rows, mean_resizing=False)
        embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    parts: list[Tensor] = [embeddings.weight]
    if head is not None and is_apart:
        parts += [part for part in (head.weight, getattr(head, "bias", None)) if part is not None]
    with torch.no_grad():
        for part in parts:
            known = part[:old].float()
            part[old:] = known.mean(dim=0).to(part.dtype)
            for number, ids in pieces.items():
                part[number] = known[list(ids)].mean(dim=0).to(part.dtype)


def check_extended(policy: Policy, tokens: Sequence[NewToken], folder: Path, texts: Sequence[str]) -> None:
    """That ``folder`` gives each text back, splits it as before where no new token is, and predicts as before where
    none went before. Raises ToolFailed."""
    import torch

    before, after = policy.tokenizer(), load.load_tokenizer(folder)
    splits = _Splits(before, after, tokens)
    for text in texts:
        splits.check(text)
    old, new = policy.load(dtype="float32", device="cpu"), load.load_model(folder, device="cpu")
    size = len(cast("Any", before))  # rows behind them may be a new token's now
    for text in texts[:4]:
        ids = torch.tensor([before.encode(text, add_special_tokens=False)[:_CHECKED] or [0]])
        with torch.inference_mode():
            ours, theirs = (model(ids).logits[..., :size] for model in (new, old))
        bound = 1e-4 * float(theirs.abs().max()) + 1e-5
        if not torch.isfinite(ours).all() or float((ours - theirs).abs().max()) > bound:
            raise ToolFailed(
                f"{folder}: the extended model does not predict what the old one does; report this as a bug"
            )


class _Splits:
    """Compares how two tokenizers split a text."""

    def __init__(self, before: Any, after: Any, tokens: Sequence[NewToken]) -> None:
        self._before, self._after = backend_of(before), backend_of(after)
        self._pieces = {self._after.token_to_id(token.name): token for token in tokens}

    def check(self, text: str) -> None:
        old, new = (backend.encode(text, add_special_tokens=False) for backend in (self._before, self._after))
        given_back = [b.decode(e.ids, skip_special_tokens=False) for b, e in ((self._before, old), (self._after, new))]
        if given_back[0] != given_back[1]:
            raise ToolFailed(f"the new tokens do not give the text {text[:40]!r} back; report this as a bug")
        whole, found = borders(self._before, text), list[int]()
        is_cut = False
        for number, place in zip(new.ids, new.offsets, strict=True):
            token = self._pieces.get(number)
            found += [number] if token is None else token.pieces
            is_cut |= token is not None and token.merge is None and not whole.issuperset(place)
        if found != old.ids and not is_cut:
            raise ToolFailed(f"the text {text[:40]!r} has other tokens than before; report this as a bug")
