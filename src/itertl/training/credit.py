"""Credit by signal: of two answers to one problem, the tokens on which an output is decided that one has right and the
other wrong (after QiMeng-SALV).

The scorer ``signals`` says of each output whether it is right and which characters of the code drive it; here these
become positions of tokens. Where they cannot be told (a text that does not parse, a construct that is not followed,
code that is not found in the text that is trained on), all tokens of the response count. Imports no torch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from itertl.errors import DataError
from itertl.model.prompts import clean
from itertl.records import Fault, Score, Scored, Spans, Verdict

SCORER = "signals"


@dataclass(frozen=True, slots=True)
class OutputTokens:
    """One output of a response. Example: ``OutputTokens("y", False, (12, 13, 14))``."""

    output: str
    is_right: bool
    tokens: tuple[int, ...] | None  # positions in ``token_ids`` of what drives it, ascending; None: all of them


Signals = tuple[OutputTokens, ...]


@dataclass(frozen=True, slots=True)
class SignalPair:
    """Two responses of a group of which one has outputs right that the other has wrong."""

    worse: int
    better: int
    worse_tokens: tuple[int, ...] | None  # that drive these outputs; None: all
    better_tokens: tuple[int, ...] | None


class _Response(Protocol):
    @property
    def token_ids(self) -> tuple[int, ...]: ...

    @property
    def signals(self) -> Signals | None: ...


def signal_pairs(responses: Sequence[_Response]) -> tuple[SignalPair, ...]:
    """All ordered pairs that differ so, by the worse, then by the better. A response of unknown signals is in none."""
    tables = [{s.output: s for s in r.signals} if r.signals is not None else None for r in responses]
    return tuple(
        SignalPair(k, tau, _tokens(worse, outputs), _tokens(better, outputs))
        for k, worse in enumerate(tables)
        for tau, better in enumerate(tables)
        if worse is not None and better is not None
        if (
            outputs := [name for name, s in better.items() if s.is_right and name in worse and not worse[name].is_right]
        )
    )


def _tokens(table: Mapping[str, OutputTokens], outputs: Iterable[str]) -> tuple[int, ...] | None:
    """What drives any of them."""
    found: set[int] = set()
    for name in outputs:
        tokens = table[name].tokens
        if tokens is None:
            return None
        found.update(tokens)
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Credit:
    """Makes the signals of responses. It keeps what it decoded."""

    tokenizer: Any
    pieces: dict[int, str] = field(default_factory=dict[int, str])

    def of_candidate(self, row: Scored, ids: Sequence[int], begun: Sequence[str]) -> Signals | None:
        """Of a candidate with these token ids; None where it is not known what is right.

        ``begun``: texts that the code may begin with and ``ids`` lack, as a prefilled header.
        """
        score = known(row)
        if score is None:
            return None
        spans = {signal.output: signal.spans for signal in score.signals}
        right = {signal.output: signal.is_right for signal in score.signals}
        return self._signals(right, spans, ids, row.candidate.code, begun)

    def of_reference(
        self, rows: Sequence[Scored], ids: Sequence[int], code: str, begun: Sequence[str]
    ) -> Signals | None:
        """Of the reference of these candidates, all of whose outputs are right."""
        score = next((score for row in rows if (score := known(row)) is not None), None)
        if score is None:
            return None
        spans = {signal.output: signal.reference_spans for signal in score.signals}
        return self._signals(dict.fromkeys(spans, True), spans, ids, code, begun)

    def _signals(
        self, right: Mapping[str, bool], spans: Mapping[str, Spans | None], ids: Sequence[int], code: str,
        begun: Sequence[str],
    ) -> Signals:  # fmt: skip
        places = self.places(ids, clean(code), begun) if any(found is not None for found in spans.values()) else None
        tokens = {
            name: None if places is None or found is None else tuple(_inside(places, found)) or None
            for name, found in spans.items()
        }
        return tuple(OutputTokens(name, is_right, tokens[name]) for name, is_right in right.items())

    def places(self, ids: Sequence[int], code: str, begun: Sequence[str]) -> list[tuple[int, int]] | None:
        """Where in ``code`` each token lies (before it below 0); None where they do not spell the code."""
        for spell in (self._piecewise, self._one_by_one):
            text, ends = spell(ids)
            shift = _shift(text, code, begun)
            if shift is not None:
                return [(a - shift, b - shift) for a, b in zip([0, *ends], ends, strict=False)]
        return None

    def _piecewise(self, ids: Sequence[int]) -> tuple[str, list[int]]:
        """The text as each token alone spells it, and where each ends: right for most tokenizers and characters."""
        text, ends = list[str](), list[int]()
        at = 0
        for one in ids:
            if one not in self.pieces:
                self.pieces[one] = self._decode([one])
            text.append(self.pieces[one])
            at += len(text[-1])
            ends.append(at)
        return "".join(text), ends

    def _one_by_one(self, ids: Sequence[int]) -> tuple[str, list[int]]:
        """The same, each token read behind those before it; a character of several tokens belongs to its last."""
        text, ends = "", list[int]()
        first = read = 0
        for number in range(1, len(ids) + 1):
            before, after = self._decode(ids[first:read]), self._decode(ids[first:number])
            if len(after) > len(before) and not after.endswith("\ufffd"):
                text += after[len(before) :]
                first, read = read, number
            ends.append(len(text))
        return text, ends

    def _decode(self, ids: Sequence[int]) -> str:
        decode: Callable[..., str] = self.tokenizer.decode
        return decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _shift(text: str, code: str, begun: Sequence[str]) -> int | None:
    """Where in ``text`` the code begins, perhaps below 0: found whole, or without what it begins with."""
    for head in ("", *(clean(part) for part in begun if part)):
        body = code.removeprefix(head).strip() if code.startswith(head) else ""
        at = text.find(body) if body else -1
        if at >= 0:
            return at - code.index(body, len(head))
    return None


def _inside(places: Sequence[tuple[int, int]], spans: Spans) -> list[int]:
    """Tokens that share a character with a span, or lie within one without a character of their own."""
    return [
        number for number, (start, end) in enumerate(places)
        if any(start < last and end > first for first, last in spans)
    ]  # fmt: skip


def known(row: Scored) -> Score | None:
    """The score that tells a candidate's outputs apart; None where there is none by our fault, where time ran out
    before any output was compared, or where another scorer found wrong what it calls right."""
    found = next((score for score in row.scores if score.scorer == SCORER and score.signals), None)
    if found is None or found.verdict.fault is Fault.OURS or found.verdict is Verdict.TIMEOUT:
        return None
    is_refuted = any(score.verdict is Verdict.WRONG_OUTPUT for score in row.scores)
    return None if is_refuted and all(signal.is_right for signal in found.signals) else found


def check_known(rows: Sequence[Scored]) -> None:
    """Raise DataError where no candidate was scored so that its outputs are told apart."""
    if rows and not any(score.scorer == SCORER for row in rows for score in row.scores):
        raise DataError(
            f"train.credit: signal, but none of the {len(rows)} candidates has a score {SCORER!r}; score them again "
            f"with it in score.scorers"
        )


@dataclass(frozen=True, slots=True)
class CreditCounts:
    """What was compared by signal in a round's groups."""

    signal_pairs: int  # ordered pairs of responses with an output right in the one and wrong in the other
    signal_pairs_clear: int  # of them, those whose driving statements are told apart in both
    share_slice_tokens: float | None  # mean over both responses of all pairs: share of their tokens that count


def count(groups: Iterable[tuple[Sequence[_Response], Sequence[SignalPair]]]) -> CreditCounts:
    """Over the responses of each group and its pairs."""
    pairs = clear = 0
    shares: list[float] = []
    for responses, found in groups:
        for pair in found:
            sides = ((pair.worse, pair.worse_tokens), (pair.better, pair.better_tokens))
            pairs += 1
            clear += all(tokens is not None for _, tokens in sides)
            shares += [1.0 if tokens is None else len(tokens) / len(responses[k].token_ids) for k, tokens in sides]
    return CreditCounts(pairs, clear, sum(shares) / len(shares) if shares else None)
