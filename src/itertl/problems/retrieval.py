"""Solved pairs that are like a question, to be shown before it (``prompt.examples``).

The nearest pairs of a pool are looked up once, when problems are read, and lie in ``Problem.extra``: whoever encodes
the problem, to sample, train or judge, shows the same. Nearness is of instructions: BM25 (Robertson and Zaragoza, "The
Probabilistic Relevance Framework", 2009, in the form of Lucene, by the library bm25s; k1 = 1.5, b = 0.75), or the
cosine of embeddings. A pair is passed over where ``Likeness`` calls it the question itself or one like it, or a problem
of a benchmark; each is counted. What that does not see: a question in other words, solved by another design.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from itertl.config import ExamplesConfig, PromptConfig, Recipe
from itertl.errors import DataError, ToolMissing, UsageError
from itertl.model.policy import sampled_policy
from itertl.model.prompts import EXAMPLES, PromptParts, compose
from itertl.problems import mixture, normalize
from itertl.problems.holdout import BOILERPLATE_FROM
from itertl.problems.importers import load_rows
from itertl.problems.load import is_table, load_problems
from itertl.problems.normalize import CODE_GRAM, TEXT_GRAM, Vocabulary
from itertl.problems.overlap import Grams, Inverted, containment, jaccard
from itertl.problems.prints import CODE_OVERLAP, TEXT_OVERLAP, Prints
from itertl.records import Problem, content_hash

PAIRS = "pairs"  # the source that means the pairs that are trained on
LIKE_QUESTION, LIKE_BENCHMARK = "like the question", "like a benchmark's problem"
TOO_LONG, DROPPED = "longer than prompt.examples.max_tokens", "the farthest, beyond prompt.examples.max_tokens"
_CHARACTERS_PER_TOKEN = 3  # where the model's tokenizer is not here; at least so many in Verilog and English


class _Marks(NamedTuple):
    """What a problem is compared by: n-grams of its instruction, and of its code and its larger modules."""

    words: Grams
    codes: tuple[Grams, ...]


class Likeness:
    """Whether two problems are of one design, as the audit's thresholds say. What more than half of a pool's
    instructions share, or of the benchmarks', is a frame around what is asked and does not count."""

    def __init__(self, benchmarks: Sequence[Problem], pool: Sequence[Problem]) -> None:
        self._text, self._code, self._known = Vocabulary(), Vocabulary(), dict[str, _Marks]()
        self._frame = self._common(pool) | self._common(benchmarks)
        theirs = [self.marks(problem) for problem in benchmarks]
        self._words = Inverted.of([marks.words for marks in theirs])
        self._codes = Inverted.of([code for marks in theirs for code in marks.codes])

    def _common(self, problems: Sequence[Problem]) -> Grams:
        if len(problems) < BOILERPLATE_FROM:
            return frozenset()
        counts = Counter(gram for problem in problems for gram in self._words_of(problem))
        return frozenset(gram for gram, count in counts.items() if 2 * count > len(problems))

    def _words_of(self, problem: Problem) -> Grams:
        return self._text.grams(normalize.words(problem.instruction), TEXT_GRAM)

    def marks(self, problem: Problem) -> _Marks:
        if problem.id not in self._known:
            prints = Prints.of([problem])
            codes = [prints.code[0], prints.renamed[0], *(text for part in prints.parts[0] for text in part)]
            grams = (self._code.grams(code, CODE_GRAM) for code in codes if code)
            self._known[problem.id] = _Marks(self._words_of(problem) - self._frame, tuple(grams))
        return self._known[problem.id]

    def is_like(self, one: Problem, other: Problem) -> bool:
        a, b = self.marks(one), self.marks(other)
        return (
            one.id == other.id
            or containment(a.words, b.words) >= TEXT_OVERLAP
            or any(jaccard(x, y) >= CODE_OVERLAP for x in a.codes for y in b.codes)
        )

    def is_of_benchmark(self, problem: Problem) -> bool:
        marks = self.marks(problem)
        texts = self._words.containments(marks.words).values()
        codes = (value for code in marks.codes for value in self._codes.jaccards(code).values())
        return max(texts, default=0.0) >= TEXT_OVERLAP or max(codes, default=0.0) >= CODE_OVERLAP


class Ranking(NamedTuple):
    """Positions in the pool, the nearest first; of equal ones the earlier. Those that share nothing are left out."""

    order: list[int]
    scores: np.ndarray  # of every pair of the pool, shape (P,)


def bm25(pool: Sequence[str]) -> Callable[[str], Ranking]:
    """Ranks instructions by BM25 over their words. Raises ToolMissing without bm25s."""
    try:
        import bm25s
    except ImportError as error:
        raise ToolMissing(
            f"prompt.examples.by=bm25 needs bm25s, which cannot be imported ({error}): pip install 'itertl[retrieval]'"
        ) from error
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index([normalize.words(text) or [""] for text in pool], show_progress=False)
    known = index.vocab_dict

    def rank(text: str) -> Ranking:
        asked = [word for word in normalize.words(text) if word in known]
        scores = np.asarray(index.get_scores(asked)) if asked else np.zeros(len(pool), dtype=np.float32)
        return Ranking([int(n) for n in np.argsort(-scores, kind="stable") if scores[n] > 0], scores)

    return rank


def embedding(pool: Sequence[str]) -> Callable[[str], Ranking]:
    """Ranks by the cosine of sentence embeddings. Raises ToolMissing without their model."""
    from itertl.model.embeddings import embed

    pool_P_D = embed(pool)

    def rank(text: str) -> Ranking:
        scores = pool_P_D @ embed([text])[0]
        return Ranking([int(n) for n in np.argsort(-scores, kind="stable")], scores)

    return rank


_RANKINGS: dict[str, Callable[[Sequence[str]], Callable[[str], Ranking]]] = {"bm25": bm25, "embedding": embedding}


@dataclass(frozen=True)
class Examples:
    """A pool that questions are given examples from. ``name``: its source and a hash of its pairs."""

    prompt: PromptConfig
    pool: Sequence[Problem]
    name: str
    likeness: Likeness
    count_tokens: Callable[[str], int]
    passed_over: Counter[str] = field(default_factory=Counter[str])

    @property
    def config(self) -> ExamplesConfig:
        assert self.prompt.examples is not None
        return self.prompt.examples

    @functools.cached_property
    def _rank(self) -> Callable[[str], Ranking]:
        return _RANKINGS[self.config.by]([pair.instruction for pair in self.pool])

    @functools.cached_property
    def _of_benchmark(self) -> Callable[[int], bool]:
        return functools.cache(lambda number: self.likeness.is_of_benchmark(self.pool[number]))

    def given(self, problems: Iterable[Problem]) -> tuple[list[Problem], dict[str, int]]:
        """The problems with their examples, the nearest last, and notes for the user: what was passed over, and how
        many got fewer than asked for.

        Raises DataError where not one got an example and every pair that is near was passed over.
        """
        self.passed_over.clear()
        found: list[Problem] = []
        numbers: Counter[int] = Counter()
        for problem in problems:
            shown = self._nearest(problem)
            numbers[len(shown)] += 1
            rows = [{"instruction": p.instruction, "header": p.header, "code": p.reference} for p in reversed(shown)]
            extra = {**problem.extra, EXAMPLES: {"pool": self.name, "shown": rows}}
            found.append(problem.model_copy(update={"extra": extra}))
        notes = {f"examples passed over: {reason}": n for reason, n in sorted(self.passed_over.items())}
        notes |= {
            f"shown {number} of {self.config.number} examples": n
            for number, n in sorted(numbers.items())
            if number < self.config.number
        }
        if numbers and set(numbers) == {0} and self.passed_over:
            why = ", ".join(f"{reason}: {n}" for reason, n in sorted(self.passed_over.items()))
            raise DataError(
                f"prompt.examples.source: {self.config.source}: not one question can be given an example ({why}); give "
                "another pool, or raise prompt.examples.max_tokens"
            )
        return found, notes

    def _nearest(self, problem: Problem) -> list[Problem]:
        """The nearest pairs that may be shown and fit, the nearest first."""
        shown: list[Problem] = []
        sizes: list[int] = []
        for number in self._rank(problem.instruction).order:
            if len(shown) == self.config.number:
                break
            pair = self.pool[number]
            reason, size = "", 0
            if self.likeness.is_like(pair, problem):
                reason = LIKE_QUESTION
            elif self._of_benchmark(number):
                reason = LIKE_BENCHMARK
            elif (size := self.tokens(pair)) > self.config.max_tokens:
                reason = TOO_LONG
            if reason:
                self.passed_over[reason] += 1
            else:
                shown.append(pair)
                sizes.append(size)
        fit = next(n for n in range(len(shown), -1, -1) if sum(sizes[:n]) <= self.config.max_tokens)
        if fit < len(shown):
            self.passed_over[DROPPED] += len(shown) - fit
        return shown[:fit]

    def tokens(self, pair: Problem) -> int:
        """Of an example as plain text, without the marks of a chat's turns."""
        parts = compose(pair.model_copy(update={"extra": {}}), self.prompt.model_copy(update={"examples": None}))
        shown = PromptParts(None, "", "", "", examples=((parts, pair.reference or ""),))
        return self.count_tokens(shown.plain)


def open_examples(
    recipe: Recipe, own: Callable[[], Sequence[Problem]] | None, benchmarks: Sequence[Problem]
) -> Examples | None:
    """The pool of the recipe's ``prompt.examples``; None where it asks for none.

    ``own``: the pairs that are trained on, where there are such. ``benchmarks``: problems whose likes are never shown.
    Raises UsageError, DataError: no such source, a benchmark, or no pair with a reference.
    """
    config = recipe.prompt.examples
    if config is None:
        return None
    where = "prompt.examples.source"
    if config.source == PAIRS:
        if own is None:
            raise UsageError(
                f"{where} is pairs, those of a run, and there are none here; give {where}=FILE, such as problems.jsonl "
                "of the run's folder, the run's --recipe, or prompt.examples=null to ask without examples"
            )
        problems = list(own())
    else:
        problems = _pool(config.source, recipe.seed, where)
    pool = [p for p in problems if p.reference and p.reference.strip()]
    if not pool:
        raise DataError(f"{where}: {config.source}: holds no pair with a reference to show; give another pool")
    mixture.refuse_benchmark(config.source, (), pool, where)
    digest = content_hash([[p.instruction, p.header, p.reference] for p in pool], 8)
    name = f"{Path(config.source).name} {digest}"
    return Examples(recipe.prompt, pool, name, Likeness(benchmarks, pool), _counter(recipe))


def _pool(source: str, seed: int, where: str) -> list[Problem]:
    try:
        if is_table(source):
            mixture.refuse_benchmark(source, load_rows(source).columns, (), where)
        else:
            mixture.refuse_benchmark(source, (), (), where)
        return load_problems(source, seed=seed).problems
    except DataError as error:
        message = str(error)
        raise DataError(message if message.startswith(where) else f"{where}: {message}") from error


def _counter(recipe: Recipe) -> Callable[[str], int]:
    """Tokens of a text, by the model's tokenizer where it is here."""
    if recipe.sample.backend == "openai" and not Path(recipe.model.path).expanduser().is_dir():
        return lambda text: -(-len(text) // _CHARACTERS_PER_TOKEN)
    tokenizer: Any = sampled_policy(recipe).tokenizer()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def said(prompt: PromptConfig, problems: Sequence[Problem]) -> str:
    """What results say of the examples, as "2 by bm25 of pairs.jsonl 1a2b3c4d"; "" where none are asked for."""
    if prompt.examples is None or not problems:
        return ""
    pool = problems[0].extra.get(EXAMPLES, {}).get("pool", prompt.examples.source)
    return f"{prompt.examples.number} by {prompt.examples.by} of {pool}"
