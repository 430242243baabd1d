"""Tokens that a model's tokenizer lacks, learnt on texts of a domain (after ChipNeMo, Liu et al. 2311.00176).

Two kinds are learnt, both on the text as the old tokenizer splits it. **Merges** go on where the old merges end, within
the words into which the tokenizer cuts a text before it merges anything. They rank behind the old ones, so the tokens
of a text are the old ones joined, never others. **Phrases** are runs of whole words (`` [7:0]``, ``) begin\\n
if (``), which no merge can join: added tokens, which are looked for in the raw text before all else. An added token
that is a word would tear longer ones apart (``reg`` in ``register``), and the flag against that, ``single_word``, has
no place in GGUF. So a phrase neither begins nor ends with a letter or an underscore, and is ASCII (a byte-level decoder
takes other letters for bytes). Where it cuts words of the texts it is learnt on, or crosses another phrase so that
llama.cpp, which looks for the longest first and not for the leftmost, would find that one, it is left out.

Left out: tokenizers that are not byte-level BPE, which are refused.
"""

import json
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from itertl.errors import UsageError
from itertl.model import load

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_MOST_WORDS, _MOST_CHARACTERS = 12, 48  # of a phrase: longer ones are copies of single files
_CANDIDATES = 4  # phrases that are tried for each token that is wanted
_MAY_CUT = 0.01  # share of a phrase's uses that may cut a word of the tokenizer's
_MAY_CROSS = 0.05  # share of its uses in whose place llama.cpp may find another phrase
_JUDGED = 600_000  # characters of text on which tokens are judged
_STRETCH = 2_000  # characters: a phrase counts once in a stretch, so that a line copied in one file is one
_ROUNDS = 20
_BATCH = 256  # texts at a time
_FIRST = 0x10000  # code point of number 0: above all that the library treats in its own way
_IN_WORD = re.compile(r"[A-Za-z_]")

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to add. Example: text ``posedge``, pieces the ids of ``pos`` and ``edge``, merge ("pos", "edge")."""

    text: str
    pieces: Ids  # ids of the old tokens that it stands for, two or more
    merge: tuple[str, str] | None  # in the vocabulary's spelling; None: a phrase
    uses: int = 0  # in the texts on which it was judged
    saved: int = 0  # tokens there

    @property
    def name(self) -> str:
        """Its key in the vocabulary."""
        return self.text if self.merge is None else "".join(self.merge)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What ``settled`` chooses from."""

    backend: "Tokenizer"  # the old one
    tokens: list[NewToken]  # merges, each behind those that it joins, then phrases
    judged: list[tuple[str, frozenset[int]]]  # texts, with the places where the tokenizer's words begin and end
    least: int  # uses in ``judged`` that a token needs


def backend_of(tokenizer: Any) -> "Tokenizer":
    """A copy of the tokenizer's own to work on, without what it puts around a text. Raises UsageError for a kind that
    cannot be extended."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError("the tokenizer has no tokenizer.json form; tokens can be added to byte-level BPE")
    tree = _tree(backend)
    model = tree["model"]
    is_bytes = all("ByteLevel" in json.dumps(tree.get(part)) for part in ("pre_tokenizer", "decoder"))
    is_plain = not any(model.get(name) for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"))
    if model["type"] != "BPE" or not is_bytes or not is_plain:
        kind = model["type"] + ("" if is_bytes else ", not of bytes")
        raise UsageError(f"a tokenizer of this kind ({kind}) cannot be extended; supported is byte-level BPE")
    return Tokenizer.from_str(json.dumps(tree | {"post_processor": None, "truncation": None, "padding": None}))


def extended(backend: "Tokenizer", tokens: Iterable[NewToken]) -> "Tokenizer":
    """A copy with the tokens; their ids follow the last of the vocabulary, in order."""
    from tokenizers import Tokenizer

    tree = _tree(backend)
    vocabulary, merges, added = tree["model"]["vocab"], tree["model"]["merges"], tree["added_tokens"]
    # an added token gets the id that the model's vocabulary has for it; without one the library counts on from that
    vocabulary |= {token["content"]: token["id"] for token in added}
    place = 1 + max(vocabulary.values(), default=-1)
    is_spaced = bool(merges) and isinstance(merges[0], str)
    for token in tokens:
        if token.name not in vocabulary:
            vocabulary[token.name], place = place, place + 1
        if token.merge is None:
            added.append(load.added_token(vocabulary[token.name], token.text))
        else:
            merges.append(" ".join(token.merge) if is_spaced else list(token.merge))
    return Tokenizer.from_str(json.dumps(tree))


def _tree(backend: "Tokenizer") -> dict[str, Any]:
    """The tokenizer's tokenizer.json. One without merges splits every text into bytes, whatever its words are; with
    merges it needs words, and gets those of GPT-2."""
    tree: dict[str, Any] = json.loads(backend.to_str())
    rule = tree.get("pre_tokenizer") or {}
    if rule.get("type") == "ByteLevel" and not tree["model"].get("merges"):
        tree["pre_tokenizer"] = rule | {"use_regex": True}
    return tree


def candidates(backend: "Tokenizer", texts: Sequence[str], number: int, min_count: int) -> Candidates:
    """Tokens worth a try where ``number`` are wanted that occur at least ``min_count`` times in ``texts``.

    ``backend`` is one of ``backend_of``. The same texts give the same candidates.
    """
    words, documents = _words(backend, texts)
    merges = _merges(backend, words, number, min_count)
    phrases = _phrases(extended(backend, merges), words, documents, _CANDIDATES * number, min_count)
    every = max(1, -(-sum(map(len, texts)) // _JUDGED))
    judged = [(text, borders(backend, text)) for text in texts[::every]]
    return Candidates(backend, [*merges, *phrases], judged, max(1, round(min_count / every)))


def settled(found: Candidates, number: int) -> list[NewToken]:
    """At most ``number`` of the candidates, those that save most; merges first, then phrases by what they save.

    What a phrase saves and cuts depends on the others that are there, so they are chosen again until nothing changes.
    """
    tokens = found.tokens
    for _ in range(_ROUNDS):
        judged = _Judged.of(found, tokens)
        kept = [token for token in judged.tokens if token.name not in judged.bad]
        if len(kept) == len(tokens):
            kept = best(kept, number, found.least)
        if len(kept) == len(tokens):
            break
        tokens = kept
    phrases = sorted((t for t in tokens if t.merge is None), key=lambda token: (-token.saved, token.text))
    return [*(t for t in tokens if t.merge), *phrases]


@dataclass(frozen=True, slots=True)
class _Words:
    """The pieces into which a tokenizer cuts texts before it merges: text, ids and count of each, by number."""

    texts: list[str]
    ids: list[Ids]
    counts: list[int]


def _words(backend: "Tokenizer", texts: Sequence[str]) -> tuple[_Words, list["array[int]"]]:
    """All words, and each text as the numbers of its words."""
    found, numbers, documents = _Words([], [], []), dict[str, int](), list["array[int]"]()
    for start in range(0, len(texts), _BATCH):
        batch = list(texts[start : start + _BATCH])
        for text, encoding in zip(batch, backend.encode_batch(batch, add_special_tokens=False), strict=True):
            document = array("I")
            for begin, end, ids in words_of(encoding):
                word = text[begin:end]
                number = numbers.setdefault(word, len(numbers))
                if number == len(found.texts):
                    found.texts.append(word)
                    found.ids.append(ids)
                    found.counts.append(0)
                found.counts[number] += 1
                document.append(number)
            documents.append(document)
    return found, documents


def words_of(encoding: "Encoding") -> Iterator[tuple[int, int, Ids]]:
    """Where each word begins and ends in the text, and its token ids."""
    rows = zip(encoding.word_ids, encoding.offsets, encoding.ids, strict=True)
    for _, group in groupby(rows, key=lambda row: row[0]):
        tokens = list(group)
        yield tokens[0][1][0], tokens[-1][1][1], tuple(number for _, _, number in tokens)


def borders(backend: "Tokenizer", text: str) -> frozenset[int]:
    """The places in a text where its words begin and end."""
    return frozenset({0, *(end for _, end, _ in words_of(backend.encode(text, add_special_tokens=False)))})


def _merges(backend: "Tokenizer", words: _Words, number: int, min_count: int) -> list[NewToken]:
    """The merges that go on from the old ones, the most frequent pair first."""
    spelled = {ident: name for name, ident in backend.get_vocab(with_added_tokens=True).items()}
    counts: Counter[str] = Counter()
    for ids, count in zip(words.ids, words.counts, strict=True):
        if len(ids) > 1:
            counts["".join(map(_character, ids))] += count
    made: dict[str, NewToken] = {}
    unmade: set[str] = set()  # joined they would be a token that is there already, which old texts do not have here
    for parts in _joined(counts, number, min_count, longest=None):
        whole = "".join(parts)
        left, right = ("".join(spelled[_number(c)] for c in part) for part in parts)
        if left + right in made:
            continue
        if unmade.intersection((*parts, whole)) or backend.token_to_id(left + right) is not None:
            unmade.add(whole)
            continue
        ids = tuple(map(_number, whole))
        made[left + right] = NewToken(backend.decode(list(ids), skip_special_tokens=False), ids, (left, right))
    return list(made.values())


def _phrases(
    backend: "Tokenizer", words: _Words, documents: Sequence["array[int]"], number: int, min_count: int
) -> list[NewToken]:
    """Runs of words that may be an added token, by how soon they are found when the most frequent pair is joined.

    None has the text of a token of ``backend``, whose merges may join it in other places.
    """
    spelled = {ident: name for name, ident in backend.get_vocab(with_added_tokens=True).items()}
    is_common = [count >= min_count and text.isascii() for text, count in zip(words.texts, words.counts, strict=True)]
    runs: Counter[str] = Counter()
    for document in documents:
        line = "".join(_character(number) if is_common[number] else " " for number in document)
        runs.update(run for run in line.split(" ") if len(run) > 1)
    found: dict[str, NewToken] = {}
    for parts in _joined(runs, number, min_count, longest=_MOST_WORDS):
        numbers = [_number(character) for part in parts for character in part]
        text = "".join(words.texts[n] for n in numbers)
        ids = tuple(i for n in numbers for i in words.ids[n])
        is_closed = not _IN_WORD.match(text[0]) and not _IN_WORD.match(text[-1])
        is_free = backend.token_to_id(text) is None and backend.token_to_id("".join(spelled[i] for i in ids)) is None
        if is_closed and is_free and len(text) <= _MOST_CHARACTERS:
            found.setdefault(text, NewToken(text, ids, None))
    return list(found.values())


def _joined(counts: Mapping[str, int], number: int, min_count: int, longest: int | None) -> list[tuple[str, str]]:
    """The first ``number`` pairs that byte-pair encoding joins in strings, each of which occurs so often."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner, alphabet = Tokenizer(models.BPE()), set().union(*counts)
    learner.pre_tokenizer = pre_tokenizers.Split(" ", "removed")  # pyright: ignore[reportAttributeAccessIssue]
    trainer: Any = trainers.BpeTrainer(
        vocab_size=len(alphabet) + number, min_frequency=min_count, show_progress=False, max_token_length=longest
    )
    learner.train_from_iterator((" ".join([text] * count) for text, count in sorted(counts.items())), trainer)
    return [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]


def _character(number: int) -> str:
    return chr(_FIRST + number)


def _number(character: str) -> int:
    return ord(character) - _FIRST


@dataclass(frozen=True, slots=True)
class _Judged:
    """Tokens with what they save, and the texts of those that are bad: phrases that cut a word or that llama.cpp sees
    otherwise too often, and what occurs in too few places."""

    tokens: list[NewToken]
    bad: frozenset[str]

    @staticmethod
    def of(found: Candidates, tokens: Sequence[NewToken]) -> "_Judged":
        merged = extended(found.backend, [t for t in tokens if t.merge])
        full = extended(merged, [t for t in tokens if not t.merge])
        by_id = {full.token_to_id(token.name): token for token in tokens}
        seen = _Uses()
        crossing = _Crossing.of(token.text for token in tokens if not token.merge)
        for number, (text, places) in enumerate(found.judged):
            whole = full.encode(text, add_special_tokens=False)
            for ident, (begin, end) in zip(whole.ids, whole.offsets, strict=True):
                token = by_id.get(ident)
                if token is None:
                    continue
                seen.uses[token.name] += 1
                if token.merge is None:
                    seen.places[token.name].add((number, begin // _STRETCH))
                    seen.cuts[token.name] += not {begin, end} <= places
                    seen.crossed.update((token.name, other) for other in crossing.over(text, begin, end, places))
        weighed: list[NewToken] = []
        for token in tokens:
            parts = token.pieces if token.merge else merged.encode(token.text, add_special_tokens=False).ids
            uses = seen.uses[token.name]
            weighed.append(replace(token, uses=uses, saved=uses * (len(parts) - 1)))
        return _Judged(weighed, seen.bad({t.name: t for t in weighed if not t.merge}, found.least))


class _Uses:
    """What was counted while texts were read."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self.places: dict[str, set[tuple[int, int]]] = defaultdict(set)
        self.crossed: Counter[tuple[str, str]] = Counter()  # a phrase that was found, one that llama.cpp takes instead

    def bad(self, phrases: Mapping[str, NewToken], least: int) -> frozenset[str]:
        """Phrases to leave out; of two that cross the one that saves less."""
        bad = {name for name in phrases if len(self.places[name]) < least}
        bad |= {name for name in phrases if self.cuts[name] > _MAY_CUT * self.uses[name]}
        crossing: dict[str, set[str]] = defaultdict(set)
        for (name, other), count in self.crossed.items():
            if count > _MAY_CROSS * self.uses[name] and not bad & {name, other}:
                crossing[name].add(other)
                crossing[other].add(name)
        kept: set[str] = set()
        for name in sorted(crossing, key=lambda name: (-phrases[name].saved, name)):
            if crossing[name] & kept:
                bad.add(name)
            else:
                kept.add(name)
        return frozenset(bad)


class _Crossing:
    """Finds phrases that begin within another and end behind it. They are as long as that or longer, so that a search
    for the longest phrase first takes them."""

    def __init__(self, by_start: Mapping[str, list[str]]) -> None:
        self._by_start = by_start  # first two characters -> phrases

    @classmethod
    def of(cls, phrases: Iterable[str]) -> "_Crossing":
        by_start: dict[str, list[str]] = defaultdict(list)
        for phrase in phrases:
            by_start[phrase[:2]].append(phrase)
        return cls(by_start)

    def over(self, text: str, begin: int, end: int, places: frozenset[int]) -> Iterator[str]:
        for start in range(begin + 1, end):
            if start not in places:
                continue
            for phrase in self._by_start.get(text[start : start + 2], ()):
                if len(phrase) >= end - begin and start + len(phrase) > end and text.startswith(phrase, start):
                    yield phrase


def best(tokens: Sequence[NewToken], number: int, least: int) -> list[NewToken]:
    """In their order, those that save most, of ``least`` uses or more, with the merges that they are made of."""
    by_name = {token.name: token for token in tokens}
    chosen: set[str] = set()
    for token in sorted(tokens, key=lambda token: (-token.saved, token.name)):
        needed = _made_of(token, by_name) - chosen
        if token.uses >= least and len(chosen) + len(needed) <= number:
            chosen |= needed
    return [token for token in tokens if token.name in chosen]


def _made_of(token: NewToken, by_name: Mapping[str, NewToken]) -> set[str]:
    """The token and all new ones that its merge joins, to the last."""
    parts = [by_name[part] for part in token.merge or () if part in by_name]
    return {token.name}.union(*(_made_of(part, by_name) for part in parts))
