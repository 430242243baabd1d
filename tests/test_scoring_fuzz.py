"""Completions with one token changed, through every scorer: whatever the text, none ends in a fault of our tools."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from itertl.evaluation.benchmarks import load
from itertl.records import Verdict
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import SCORERS
from itertl.synth import generate
from itertl.verilog.text import KEYWORDS, Token, tokenize
from test_lowering import DESIGNS, design

NUMBERS = ("0", "-1", "1", "4294967295", "99999999999", "8'hx", "1'bz", "64'd1", "'1", "2.5", "{0{1'b1}}", "{-1{1'b0}}")
WORDS = sorted(KEYWORDS)


def mutant(text: str, other: str, rng: random.Random) -> str:
    """``text`` with one token dropped, doubled, swapped or replaced, or with one range turned round.

    ``other`` lends tokens.
    """
    tokens, lent = list(tokenize(text)), list(tokenize(other))
    if not tokens:
        return other
    one, two = rng.choice(tokens), rng.choice(tokens)
    way = rng.randrange(8)
    numbers = [token for token in tokens if token.kind == "number"]
    ranges = [
        at
        for at in range(len(tokens) - 4)
        if tokens[at].text == "[" and tokens[at + 2].text == ":" and tokens[at + 4].text == "]"
    ]
    if way == 0:
        return text[: one.start] + text[one.end :]
    if way == 1:
        return f"{text[: one.end]} {text[one.start :]}"
    if way == 2:
        first, last = sorted((one, two), key=lambda token: token.start)
        return (
            text
            if first == last
            else text[: first.start] + last.text + text[first.end : last.start] + first.text + text[last.end :]
        )
    if way == 3 and lent:
        return _put(text, one, rng.choice(lent).text)
    if way == 4 and ranges:
        at = rng.choice(ranges)
        high, low = tokens[at + 1], tokens[at + 3]
        return text[: high.start] + low.text + ":" + high.text + text[low.end :]
    if way == 5:
        same = [token for token in tokens if token.kind == one.kind]
        return _put(text, one, rng.choice(same).text)
    if way == 6:
        words = [token for token in tokens if token.kind == "keyword"]
        return _put(text, rng.choice(words or tokens), rng.choice(WORDS))
    return _put(text, rng.choice(numbers or tokens), rng.choice(NUMBERS))


def _put(text: str, token: Token, new: str) -> str:
    return f"{text[: token.start]} {new} {text[token.end :]}"


def mutants(pairs: Sequence[tuple[str, str, str]], count: int, seed: int) -> list[ScoreItem]:
    """``count`` items from (completion, reference, top)."""
    rng = random.Random(seed)
    found: list[ScoreItem] = []
    for _ in range(count):
        code, reference, top = rng.choice(pairs)
        found.append(ScoreItem(mutant(code, rng.choice(pairs)[0], rng), "", reference, top))
    return found


def faults(items: Sequence[ScoreItem], workers: int = 2) -> list[tuple[str, str, str]]:
    """(scorer, detail, code) of every score that is a tool's fault."""
    rows = score_items(items, list(SCORERS), effort=Effort(num_workers=workers, timeout_s=120))
    ours = (Verdict.TOOL_FAILED, Verdict.TOOL_MISSING)
    return [
        (s.scorer, s.detail, item.code) for item, row in zip(items, rows, strict=True) for s in row if s.verdict in ours
    ]


def bundled(count: int) -> list[tuple[str, str, str]]:
    pairs = [
        (problem.reference, problem.reference, problem.top)
        for problem in generate(7, count)
        if problem.reference and problem.top
    ]
    return pairs + [(design(name), design(name), "t") for name in DESIGNS]


def replayed(data: Path) -> list[tuple[str, str, str]]:
    """Real completions, each with another one of its problem that passed as the reference."""
    benchmark = load("verilogeval-v1-machine", data)
    rows = [
        json.loads(line) for line in (data / "replay" / "dpskcoder7b_machine.jsonl").read_text("utf-8").splitlines()
    ]
    texts = [
        (
            r["task_id"],
            r["passed"],
            r["completion"] if r["full_module"] else benchmark.by_id[r["task_id"]].header + "\n" + r["completion"],
        )
        for r in rows
    ]
    right = {task: text for task, is_right, text in texts if is_right}
    return [(text, right[task], "top_module") for task, _, text in texts if task in right]


def test_no_scorer_breaks_on_a_changed_token() -> None:
    assert faults(mutants(bundled(24), 10, seed=0)) == []


@pytest.mark.slow
def test_no_scorer_breaks_on_many_changed_tokens(shared_data: Path) -> None:
    assert faults(mutants(bundled(120), 150, seed=1) + mutants(replayed(shared_data), 150, seed=2)) == []
