"""What rows that go on from a beginning of an answer (``Continuation``) have besides in decoding: the most likely token
is taken, the most likely ones are told, and comments can be left out.

A comment begins where the text gets the string ``//`` or ``/*``. Which tokens would complete one follows from their
own text and from whether the text so far ends in a slash; the tokens ``/`` and ``*`` are drawn everywhere else, for
division and multiplication.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from itertl.records import SamplingSettings
from itertl.sampling.batching import SampleRequest
from itertl.sampling.nucleus import draw, most_likely

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_OPENERS = ("//", "/*")


class Comments:
    """Which tokens of a vocabulary would open a comment."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._pieces = _pieces(tokenizer)
        self.always_V = torch.tensor([any(opener in piece for opener in _OPENERS) for piece in self._pieces])
        self.after_slash_V = torch.tensor([piece.startswith(("/", "*")) for piece in self._pieces])

    def ends_in_slash(self, before: str, ids: Sequence[int]) -> bool:
        """Whether the text of ``ids`` behind ``before`` does. Tokens without text leave it as it is."""
        last = next((piece for piece in (self._pieces[number] for number in reversed(ids)) if piece), before)
        return last.endswith("/")

    def opening(self, is_behind_slash_R: Tensor, size: int) -> Tensor:
        """True where a token would open a comment, [R, size]; ids above the tokenizer's never do."""
        device = is_behind_slash_R.device
        self.always_V, self.after_slash_V = self.always_V.to(device), self.after_slash_V.to(device)
        found = self.always_V[None] | (is_behind_slash_R[:, None] & self.after_slash_V[None])
        return torch.nn.functional.pad(found[:, :size], (0, max(0, size - found.shape[1])))


@lru_cache(maxsize=4)
def _pieces(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """What each token adds to a text: some tokenizers leave out the space before a text's first token."""

    def text(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    anchor: list[int] = tokenizer.encode("a", add_special_tokens=False)
    begun = text(anchor)
    found: list[str] = []
    for number in range(len(tokenizer)):
        whole = text([*anchor, number])
        found.append(whole.removeprefix(begun) if whole.startswith(begun) else text([number]))
    return found


class Rollouts:
    """Draws the next token of each row of a batch. ``comments``: needed where a request leaves them out."""

    def __init__(
        self, requests: Sequence[SampleRequest], settings: SamplingSettings, comments: Comments | None
    ) -> None:
        self._requests, self._settings, self._comments = requests, settings, comments
        self._is_any = any(request.continuation for request in requests)
        self.likely: list[list[tuple[tuple[int, float], ...]]] = [[] for _ in requests]

    def __call__(self, logits_R_V: Tensor, uniform_R: Tensor, rows: list[int], ids_R: list[list[int]]) -> Tensor:
        """Token ids, [R]. ``rows``: which request each is; ``ids_R``: its answer so far."""
        drawing: dict[str, Any] = {"temperature": self._settings.temperature, "top_p": self._settings.top_p}
        if not self._is_any:
            return draw(logits_R_V, uniform_R, **drawing)
        logits_R_V = self._without_comments(logits_R_V, rows, ids_R)
        self._tell(logits_R_V, rows, ids_R)
        best_R = logits_R_V.argmax(dim=-1)
        is_greedy = [self._requests[number].continuation is not None for number in rows]
        if all(is_greedy):
            return best_R
        return torch.where(
            torch.tensor(is_greedy, device=best_R.device), best_R, draw(logits_R_V, uniform_R, **drawing)
        )

    def _without_comments(self, logits_R_V: Tensor, rows: list[int], ids_R: list[list[int]]) -> Tensor:
        if self._comments is None:
            return logits_R_V
        asked = [self._requests[number] for number in rows]
        is_left_out = [bool(r.continuation) and not r.continuation.has_comments for r in asked]
        behind = [
            self._comments.ends_in_slash(r.prompt.opening + r.prompt.prefill, ids)
            for r, ids in zip(asked, ids_R, strict=True)
        ]
        device = logits_R_V.device
        opening_R_V = self._comments.opening(torch.tensor(behind, device=device), logits_R_V.shape[-1])
        return logits_R_V.masked_fill(opening_R_V & torch.tensor(is_left_out, device=device)[:, None], float("-inf"))

    def _tell(self, logits_R_V: Tensor, rows: list[int], ids_R: list[list[int]]) -> None:
        """The most likely tokens, where they are asked for, with their probabilities at temperature 1."""
        asked: list[tuple[int, int, int]] = []  # (row, request, branches)
        for row, (number, ids) in enumerate(zip(rows, ids_R, strict=True)):
            wanted = self._requests[number].continuation
            if wanted and wanted.branches and len(ids) - len(wanted.token_ids) < wanted.places:
                asked.append((row, number, wanted.branches))
        if not asked:
            return
        some_R_V = logits_R_V[[row for row, _, _ in asked]].float()
        most = min(max(branches for *_, branches in asked), some_R_V.shape[-1])
        values, tokens = most_likely(some_R_V, most)
        probs = (values - some_R_V.logsumexp(dim=-1, keepdim=True)).exp()
        for (_, number, branches), found, shares in zip(asked, tokens.tolist(), probs.tolist(), strict=True):
            pairs = zip(found[:branches], shares[:branches], strict=True)
            self.likely[number].append(tuple((token, share) for token, share in pairs if share > 0))
