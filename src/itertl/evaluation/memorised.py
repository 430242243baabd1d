"""How often a model writes long passages of the files of a corpus, licence by licence.

It is asked greedily to go on from the beginnings of files, and to write what their comments describe. A passage is a
run of tokens of Verilog (layout and comments aside) that stands in a file, as written or with other names; one that
the prompt itself holds, or that is little but repetition, does not count. A passage may stand in files of several
licences: what is found in no permissive file is counted apart. What it cannot see: a design copied in other words.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from itertl.config import PromptConfig, Recipe
from itertl.errors import DataError
from itertl.evaluation.passk import clopper_pearson
from itertl.model.policy import Policy
from itertl.problems.licences import PERMISSIVE, permits
from itertl.problems.normalize import item_codes, renamed_window_hashes, window_hashes
from itertl.problems.texts import CorpusText
from itertl.progress import Reporter
from itertl.records import Candidate, Problem, Record
from itertl.runs import storage
from itertl.sampling.draw import SamplingJob, draw_candidates
from itertl.verilog.header import derive_header
from itertl.verilog.text import Token, comment_before, modules, tokenize
from itertl.work.seeds import derive_seed

_PLAIN = PromptConfig(style="plain", header="omit", system=None)
_VARIED = 5  # a passage of n tokens has at least n / 5 different ones


class Memorised(Record):
    """What a model wrote when it was asked for a file of a corpus, and which passages of the corpus are in it."""

    schema_name: ClassVar[str] = "itertl.memorised/1"

    path: str  # of the file that it was asked for
    licence: str
    asked: Literal["beginning", "instruction"]  # to go on from the file's beginning, or by its description
    text: str  # the answer
    tokens: int  # of Verilog in it
    exact: dict[str, int]  # licence -> tokens of the longest passage of a file under it
    renamed: dict[str, int]  # the same, names of identifiers aside
    found_in: dict[str, str]  # licence -> the first file under it that holds a passage


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``beginning``: Verilog tokens of a file that the model goes on from."""

    beginning: int = 64
    passage: int = 50  # tokens from which a run counts
    limit: int = 100  # files of each licence
    instructions: bool = True  # ask by description too


@dataclass(slots=True)
class _Windows:
    """Hashes of the windows of one text that count, by place; 0 where one does not."""

    exact: np.ndarray
    renamed: np.ndarray

    @staticmethod
    def of(stream: Sequence[Token], size: int) -> "_Windows":
        codes = item_codes([token.canonical for token in stream])
        exact, renamed = window_hashes(codes, size), renamed_window_hashes(stream, size)
        varied = _varied(codes, size)
        return _Windows(np.where(varied, exact, 0), np.where(varied, renamed, 0))


def _varied(codes_T: np.ndarray, size: int) -> np.ndarray:
    """Whether each window has enough different tokens; shape (T - size + 1,)."""
    count = max(0, len(codes_T) - size + 1)
    before: dict[int, int] = {}
    last = np.full(len(codes_T), -1)
    for place, code in enumerate(codes_T.tolist()):
        last[place] = before.get(code, -1)
        before[code] = place
    starts = np.arange(count)
    different = np.zeros(count, dtype=np.int64)
    for offset in range(size):
        different += last[offset : offset + count] < starts
    return different >= size // _VARIED


@dataclass(slots=True)
class _Passages:
    """Which licences the passages that were written have: window -> licence -> the first file."""

    exact: dict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    renamed: dict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))


def memorised(
    recipe: Recipe, policy: Policy, corpus: Path, out: Path, *, question: Question, reporter: Reporter
) -> dict[str, Any]:
    """Ask the model for files of ``corpus`` (``itertl data corpus``), write its answers with what was found in them to
    ``out``, and give the account by licence.

    What was drawn lies in ``NAME.beginning.jsonl`` and ``NAME.instruction.jsonl`` beside ``out`` until all is done, so
    that a call that was stopped goes on. Raises DataError where no file is long enough.
    """
    texts = storage.read_records(corpus, CorpusText)
    asked, short = _asked(texts, question, recipe.seed)
    drawn: list[tuple[CorpusText, str, Problem, Candidate]] = []
    files = drawn_files(out)
    for kind, problems in _prompts(asked, question).items():
        form = _PLAIN if kind == "beginning" else policy.prompt
        sample = recipe.sample.model_copy(update={"temperature": 0.0, "strategy": None, "strategy_options": {}})
        seed = derive_seed(recipe.seed, "memorised", kind)
        job = SamplingJob([p for _, p in problems], replace(policy, prompt=form), sample, seed, num_samples=1)
        with reporter.stage(f"memorised: {kind}", len(problems)) as tracker:
            found = {c.problem_id: c for c in draw_candidates(job, files[kind], tracker=tracker)}
        drawn += [(text, kind, problem, found[problem.id]) for text, problem in problems]
    rows = _found(texts, drawn, question.passage, reporter)
    storage.write_records(out, rows)
    for file in files.values():
        file.unlink(missing_ok=True)
    account = {"model": recipe.model.path, "corpus": str(corpus), "texts": len(texts), "too_short": short}
    return {**account, "passage": question.passage, "table": table(rows), "out": str(out)}


def drawn_files(out: Path) -> dict[str, Path]:
    """Where answers lie while work goes on, by how they were asked for."""
    return {kind: out.with_name(f"{out.stem}.{kind}.jsonl") for kind in ("beginning", "instruction")}


def _asked(texts: Sequence[CorpusText], question: Question, seed: int) -> tuple[list[CorpusText], int]:
    """At most so many files of each licence that are long enough, drawn by the seed, and how many are too short."""
    by_licence: dict[str, list[CorpusText]] = defaultdict(list)
    short = 0
    for text in texts:
        if len(tokenize(text.text)) < question.beginning + question.passage:
            short += 1
        else:
            by_licence[text.licence].append(text)
    if not by_licence:
        raise DataError(
            f"no text of the corpus has {question.beginning + question.passage} tokens of Verilog to ask for; lower "
            "--beginning or --passage"
        )
    chosen: list[CorpusText] = []
    for licence in sorted(by_licence):
        some = by_licence[licence]
        draw = random.Random(derive_seed(seed, "memorised", licence))
        chosen += draw.sample(some, min(question.limit, len(some)))
    return chosen, short


def _prompts(asked: Sequence[CorpusText], question: Question) -> dict[str, list[tuple[CorpusText, Problem]]]:
    """How each file is asked for; of files that give the same prompt the first."""
    found: dict[str, dict[str, tuple[CorpusText, Problem]]] = {"beginning": {}, "instruction": {}}
    for text in asked:
        last = tokenize(text.text)[question.beginning - 1].end
        end = text.text.find("\n", last) + 1 or last
        problem = Problem.create(instruction=text.text[:end], source=text.source, upstream_id=text.path)
        found["beginning"].setdefault(problem.id, (text, problem))
        if question.instructions and (described := _described(text)) is not None:
            found["instruction"].setdefault(described.id, (text, described))
    return {kind: list(problems.values()) for kind, problems in found.items() if problems}


def _described(text: CorpusText) -> Problem | None:
    """The file's first module by its name, ports and comments."""
    spans = modules(text.text)
    header = derive_header(text.text[spans[0].start :]) if spans else ""
    if not header:
        return None
    said = [line for line in comment_before(text.text, spans[0].start).split("\n") if "SPDX-" not in line]
    instruction = "\n".join([f"Write the Verilog module `{spans[0].name}`.", *said]).strip()
    return Problem.create(
        instruction=instruction, header=header, top=spans[0].name, source=text.source, upstream_id=text.path
    )


def _found(
    texts: Sequence[CorpusText], drawn: Sequence[tuple[CorpusText, str, Problem, Candidate]], size: int,
    reporter: Reporter,
) -> list[Memorised]:  # fmt: skip
    answers = [_own(problem, candidate, size) for _, _, problem, candidate in drawn]
    passages = _Passages()
    wanted = [_distinct(getattr(one, kind) for one in answers) for kind in ("exact", "renamed")]
    with reporter.stage("memorised: look", len(texts)) as tracker:
        for text in texts:
            theirs = _Windows.of(tokenize(text.text), size)
            for hashes, known, table in zip(
                (theirs.exact, theirs.renamed), wanted, (passages.exact, passages.renamed), strict=True
            ):
                for window in np.unique(hashes[np.isin(hashes, known)]).tolist():
                    table[window].setdefault(text.licence, text.path)
            tracker.advance(1)
    rows: list[Memorised] = []
    for (text, kind, _, candidate), mine in zip(drawn, answers, strict=True):
        exact, where = _longest(mine.exact, passages.exact, size)
        renamed, where_renamed = _longest(mine.renamed, passages.renamed, size)
        rows.append(
            Memorised.model_validate({
                "path": text.path, "licence": text.licence, "asked": kind, "text": candidate.text,
                "tokens": len(tokenize(candidate.text)), "exact": exact, "renamed": renamed,
                "found_in": {**where_renamed, **where},
            })
        )  # fmt: skip
    return rows


def _own(problem: Problem, candidate: Candidate, size: int) -> _Windows:
    """The windows of an answer, without those that the prompt holds."""
    mine = _Windows.of(tokenize(candidate.text), size)
    given = _Windows.of(tokenize(problem.instruction + problem.header), size)
    return _Windows(
        np.where(np.isin(mine.exact, given.exact), 0, mine.exact),
        np.where(np.isin(mine.renamed, given.renamed), 0, mine.renamed),
    )


def _distinct(arrays: Iterator[np.ndarray]) -> np.ndarray:
    every = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *arrays]))
    return every[every != 0]


def _longest(
    windows: np.ndarray, passages: Mapping[int, Mapping[str, str]], size: int
) -> tuple[dict[str, int], dict[str, str]]:
    """licence -> (tokens of the longest run of windows that stand in files under it; the first file)."""
    longest, where, run = Counter[str](), dict[str, str](), Counter[str]()
    for window in windows.tolist():
        here = passages.get(window, {}) if window else {}
        run = Counter({licence: run[licence] + 1 for licence in here})
        for licence, path in here.items():
            longest[licence] = max(longest[licence], run[licence] + size - 1)
            where.setdefault(licence, path)
    return dict(sorted(longest.items())), where


def table(rows: Sequence[Memorised]) -> list[dict[str, Any]]:
    """For each licence and way of asking: of the files under it that were asked for, how many answers hold a passage of
    a file under it, as written and renamed, with Clopper and Pearson's 95% intervals; ``protected``: of no permissive
    file. The licence "any": a passage of any file."""
    found: list[dict[str, Any]] = []
    for licence in [*sorted({row.licence for row in rows}), "any"]:
        for kind in ("beginning", "instruction"):
            mine = [row for row in rows if row.asked == kind and licence in (row.licence, "any")]
            if not mine:
                continue
            row: dict[str, Any] = {"licence": licence, "asked": kind, "prompts": len(mine)}
            for name in ("exact", "renamed"):
                hits = [one for one in mine if _holds(getattr(one, name), licence)]
                low, high = clopper_pearson(len(hits), len(mine))
                protected = sum(not _is_free(getattr(one, name)) for one in hits)
                lengths = [max(getattr(one, name).values()) for one in hits]
                row[name] = {
                    "answers": len(hits), "rate": len(hits) / len(mine), "low": low, "high": high,
                    "protected": protected, "longest": max(lengths, default=0),
                }  # fmt: skip
            found.append(row)
    return found


def _holds(passages: Mapping[str, int], licence: str) -> bool:
    return bool(passages) if licence == "any" else licence in passages


def _is_free(passages: Mapping[str, int]) -> bool:
    return any(permits(licence, PERMISSIVE) for licence in passages)
