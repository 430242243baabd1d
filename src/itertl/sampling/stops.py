"""Where a text can end before its model ends it: the wanted module is complete, or the text repeats itself without end.

A module is complete where extraction would keep the same code for any text that may follow: the wanted module is
closed, all that it instantiates is there too, no conditional is open, and a character behind it shows that no label and
no directive belongs to it. Without a name to want (a header, or the problem's ``top``) nothing is ever complete: the
next module could be the top; nor is anything within a thought. What this cannot know: a text that writes a module a
second time, whole ("Corrected version:"), of which extraction would take the last.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from itertl.records import SamplingSettings
from itertl.sampling.batching import SampleRequest
from itertl.verilog.extract import ADDED_END, extract
from itertl.verilog.text import tokenize
from itertl.verilog.thoughts import closes_thought, opens_thought
from itertl.verilog.units import find_units, module_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_END = "endmodule"
_SLIPS = ("endmoduleendmodule", "endmodulemodule")  # extraction reads them as one word, an end and a repetition
_LOOP_TOKENS, _LONGEST_PERIOD = 192, 24
_LOOP_EVERY = 16  # tokens between two looks
# the word behind an endmodule is still being written
_UNDECIDED = re.compile(r"\s*(?:[A-Za-z_]\w*|[/(]|`{1,2})?\Z", re.ASCII)
_BEFORE_INSTANCE = (";", "begin", "end", "else", ")", "endcase", "generate", ":", "endfunction", "endtask")
_GOES_ON = re.compile(r"\s*(?::|`(?!``)|//|/\*|\(\*|module\b|macromodule\b)", re.ASCII)


class Stopper:
    """Watches the texts of a batch while they are drawn."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", requests: Sequence[SampleRequest], settings: SamplingSettings
    ) -> None:
        self._decode: Callable[[list[int]], str] = lambda ids: str(
            tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )
        self._requests = requests
        self._settings = settings
        self._closing = _closing_ids(tokenizer) if settings.stop_at_module else frozenset()
        self._thinks = [opens_thought(request.prompt.text) is not None for request in requests]
        self._is_near = [False] * len(requests)  # a module was closed a few tokens ago

    def __call__(self, number: int, ids: list[int]) -> Literal["module", "repetition"] | None:
        """Whether request ``number``, whose tokens so far are ``ids``, is to end here. Called after each token."""
        if self._settings.stop_at_module:
            self._is_near[number] |= ids[-1] in self._closing
            if self._is_near[number]:
                request, text = self._requests[number], self._decode(ids)
                if self._thinks[number] and not closes_thought(text):
                    return None
                parts = {"prefill": request.prompt.prefill, "opening": request.prompt.opening}
                if is_complete(text, header=request.header, top=request.top, **parts):
                    return "module"
                self._is_near[number] = _END in text and _UNDECIDED.match(text.rpartition(_END)[2]) is not None
        if self._settings.stop_at_repetition and len(ids) % _LOOP_EVERY == 0 and repeats(ids):
            return "repetition"
        return None


def is_complete(text: str, *, header: str = "", prefill: str = "", top: str | None = None, opening: str = "") -> bool:
    """Whether nothing that may follow ``text`` belongs to the code that extraction keeps of it; see the module."""
    wanted = module_name(header or prefill) or top
    if not wanted or _END not in text or any(slip in text for slip in _SLIPS):
        return False
    rest = text.rpartition(_END)[2]
    if _UNDECIDED.match(rest) or _GOES_ON.match(rest):
        return False
    found = extract(text, header=header, prefill=prefill, top=top, opening=opening)
    if not found.code or any(d.reason == ADDED_END and not d.text for d in found.dropped):
        return False
    modules = [u for u in find_units(found.code) if u.is_module]
    names = {u.name for u in modules if u.is_closed}
    if wanted not in names or len(re.findall(r"`if(?:n?def)\b", found.code)) != found.code.count("`endif"):
        return False
    if any(found.code[u.start : u.end] not in prefill + text for u in modules):
        # joined from pieces (a fence in its middle, say): the next fence may join them otherwise
        return False
    words = [token.text for token in tokenize(found.code) if token.kind == "keyword"]
    if words.count("module") + words.count("macromodule") != words.count(_END):
        return False  # a module within a module, never closed: what it names may still be kept
    return _instantiated(found.code) <= names


def _instantiated(code: str) -> set[str]:
    """Names at a module's place in an instantiation; those of types and tasks are found there too."""
    stream = tokenize(code)
    words = [token.kind in ("identifier", "escaped") for token in stream]
    found: set[str] = set()
    for at, (token, after) in enumerate(pairwise(stream)):
        begins = at == 0 or stream[at - 1].text in _BEFORE_INSTANCE
        is_named = words[at + 1] and at + 2 < len(stream) and stream[at + 2].text == "("  # whatever stands before it
        if words[at] and (is_named or (begins and (words[at + 1] or after.text in ("#", "(")))):
            found.add(token.text.removeprefix("\\"))
    return found


def repeats(ids: Sequence[int]) -> bool:
    """Whether the last 192 tokens are one stretch of at most 24, over and over: at least eight times."""
    if len(ids) < _LOOP_TOKENS:
        return False
    tail = list(ids[-_LOOP_TOKENS:])
    return any(tail[:-period] == tail[period:] for period in range(1, _LONGEST_PERIOD + 1))


@lru_cache(maxsize=4)
def _closing_ids(tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """Tokens with which an ``endmodule`` can become complete: they hold it whole, or begin with an end of it."""
    pieces = [str(tokenizer.decode([number], skip_special_tokens=True)) for number in range(len(tokenizer))]
    endings = tuple(_END[start:] for start in range(1, len(_END)))
    return frozenset(n for n, piece in enumerate(pieces) if _END in piece or piece.startswith(endings))
