"""Search over the tokens of an answer: which leaf is tried, what the back end draws behind a prefix, and the whole."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itertl.config import PromptConfig
from itertl.errors import UsageError
from itertl.model.load import load_tokenizer
from itertl.model.prompts import EncodedPrompt, Turn
from itertl.records import Attempt, Examined, Problem, SamplingSettings, Verdict
from itertl.runs.storage import read_records
from itertl.sampling import shared_prompts
from itertl.sampling.backend import Backend, Generation
from itertl.sampling.batching import Continuation, SampleRequest
from itertl.sampling.rollouts import Comments, Rollouts
from itertl.sampling.transformers_backend import PLAIN, TransformersBackend, Ways, decode
from itertl.scoring.engine import Effort
from itertl.search import puct
from itertl.search.drive import attempts_file, cost_of, find_candidates
from itertl.search.strategy import Drawn, open_strategy
from itertl.search.tree_tokens import PRIOR, Search, TreeTokens, reward
from test_search import HEADER, RIGHT, attempt, job

Tokens = tuple[int, ...]


# ---- which leaf


class Naive:
    """PUCT by recursion over what happened, all counted anew at each step."""

    def __init__(self, c: float) -> None:
        self.c = c
        self.open: dict[Tokens, list[tuple[int, float]]] = {}
        self.rewards: list[tuple[Tokens, float]] = []
        self.waits: list[Tokens] = []

    def count(self, node: Tokens) -> tuple[int, float]:
        mine = [r for leaf, r in self.rewards if leaf[: len(node)] == node]
        mine += [-1.0 for leaf in self.waits if leaf[: len(node)] == node]
        return len(mine), sum(mine)

    def down(self, node: Tokens = ()) -> Tokens | None:
        if node not in self.open:
            return None if node in self.waits else node
        above, _ = self.count(node)

        def bound(child: tuple[int, tuple[int, float]]) -> tuple[float, int]:
            place, (token, prior) = child
            visits, total = self.count((*node, token))
            return -(total / (1 + visits) + self.c * prior * math.sqrt(above) / (1 + visits)), place

        ways = (self.down((*node, token)) for _, (token, _) in sorted(enumerate(self.open[node]), key=bound))
        return next((way for way in ways if way is not None), None)


@given(st.data(), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_puct_chooses_what_a_naive_recursion_chooses(data: st.DataObject, c: float) -> None:
    root, naive = puct.Node(), Naive(c)
    waiting: list[puct.Node] = []
    for _ in range(data.draw(st.integers(1, 30))):
        leaf, wanted = puct.select(root, c), naive.down()
        assert (None if leaf is None else leaf.tokens) == wanted
        deeds = ["visit", "wait", *["open"] * bool(leaf.visits)] if leaf is not None else []
        deed = data.draw(st.sampled_from([*deeds, *(["answer"] if waiting else [])] or ["end"]))
        if deed == "end":
            break
        if deed == "answer":
            node = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            node.wait(is_waiting=False)
            naive.waits.remove(node.tokens)
        else:
            assert leaf is not None
            node = leaf
        if deed == "open":
            priors = sorted(data.draw(st.lists(st.integers(0, 8), min_size=1, max_size=4)), reverse=True)
            naive.open[node.tokens] = [(token, prior / 8) for token, prior in enumerate(priors)]
            node.open(tuple(naive.open[node.tokens]))
        elif deed == "wait":
            node.wait(is_waiting=True)
            waiting.append(node)
            naive.waits.append(node.tokens)
        else:
            value = data.draw(st.integers(-8, 8)) / 4
            node.visit(value)
            naive.rewards.append((node.tokens, value))


# ---- what a back end draws behind a prefix


def behind(prompt: Sequence[int], *prefix: int, index: int = 0, **more: Any) -> SampleRequest:
    told = Continuation(prefix, branches=3, places=2, **more)
    return SampleRequest(f"p{len(prompt)}", index, 5 + index, EncodedPrompt("", tuple(prompt), ""), continuation=told)


@pytest.mark.parametrize("ways", [Ways(True), PLAIN])
def test_answers_go_on_from_prefixes_as_by_whole_passes(
    model: Any, ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of two prompts, with prefixes of different lengths, one of none, two equal, and draws that begin nothing;
    these draw what they draw alone. Rows end at different times, so that prompts and rows leave."""
    monkeypatch.setattr(shared_prompts, "_ROW", 24)
    first, second = list(range(50, 62)), list(range(70, 77))
    plain = [SampleRequest("p12", 9, 77, EncodedPrompt("", tuple(first), ""))]
    asked = [
        behind(first), behind(first, 60), behind(first, 61, 80, 90, 55), behind(second, 100, 45), *plain,
        behind(second, 100, 45, index=1), behind(first, 61, 80, index=1),
    ]  # fmt: skip
    settings, ends = SamplingSettings(temperature=1, top_p=0.9, max_new_tokens=24), frozenset(range(3, 250, 11))
    limits = [20 - 3 * number for number in range(len(asked))]
    pick = Rollouts(asked, settings, None)
    found = decode(model, asked, limits, settings, ends, ways=ways, pick=pick)
    assert found[4] == decode(model, plain, [limits[4]], settings, ends, ways=ways)[0] and not pick.likely[4]
    for request, row, told, limit in zip(asked, found, pick.likely, limits, strict=True):
        assert tuple(row.ids[: len(request.begun)]) == request.begun
        ids = [*request.prompt.token_ids, *request.begun]
        drawn = row.ids[len(request.begun) :]
        assert len(drawn) == limit or drawn[-1] in ends
        for place, token in enumerate(drawn if request.continuation else ()):
            logits = model(torch.tensor([ids])).logits[0, -1]
            assert logits[token] >= logits.max() - 1e-4
            if place < 2:
                probs, tokens = logits.softmax(-1).topk(3)
                assert [pair[0] for pair in told[place]] == tokens.tolist()
                assert [pair[1] for pair in told[place]] == pytest.approx(probs.tolist(), abs=1e-5)
            ids.append(token)
        assert len(told) == (min(2, len(drawn)) if request.continuation else 0)


def test_the_back_end_gives_whole_answers_within_its_limits(tiny: Path, model: Any) -> None:
    tokenizer = load_tokenizer(tiny)
    backend = TransformersBackend(tokenizer, lambda: model)
    end = tokenizer.eos_token_id
    assert isinstance(end, int)
    settings = SamplingSettings(temperature=0.7, max_new_tokens=10)
    asked = [
        behind(range(50, 60)), behind(range(50, 60), 80, 81, most=2), behind(range(50, 60), 80, end), behind(range(50, 60), *[80] * 10)
    ]  # fmt: skip
    whole, probe, ended, full = backend(asked, settings)
    assert len(whole.token_ids or ()) == 10 and whole.finish_reason == "length"
    assert (probe.token_ids or ())[:2] == (80, 81) and len(probe.token_ids or ()) == 4
    assert probe.text == tokenizer.decode(list(probe.token_ids or ()))
    assert (ended.token_ids, ended.finish_reason, ended.likely) == ((80, end), "stop", ())
    assert (full.token_ids, full.finish_reason, full.likely) == ((80,) * 10, "length", ())
    assert [len(pairs) for pairs in whole.likely] == [3, 3]


PIECES = ["a", "/", "*", "//", "/*", "*/", " /", "/ ", "b/*c", "", "\n/", "x/", "*=", "a//", " *", "(*"]


class Words:
    """A tokenizer of these pieces; ``strips``: a text's first space is left out, as by some of them."""

    def __init__(self, *, strips: bool) -> None:
        self.strips = strips

    def __len__(self) -> int:
        return len(PIECES)

    def encode(self, text: str, **given: object) -> list[int]:
        return [PIECES.index(text)]

    def decode(self, ids: list[int], **given: object) -> str:
        text = "".join(PIECES[number] for number in ids)
        return text.removeprefix(" ") if self.strips else text


@pytest.mark.parametrize("strips", [False, True])
def test_comments_are_left_out_where_a_token_would_open_one_and_nothing_else(strips: bool) -> None:
    comments = Comments(Words(strips=strips))  # type: ignore[arg-type]

    @given(st.sampled_from(["", "x", "y /"]), st.lists(st.integers(0, len(PIECES) - 1), max_size=8))
    def check(before: str, choices: list[int]) -> None:
        ids: list[int] = []
        for choice in choices:
            slash = torch.tensor([comments.ends_in_slash(before, ids)])
            masked = comments.opening(slash, len(PIECES) + 2)[0].tolist()
            text = before + "".join(PIECES[number] for number in ids)
            opens = [any(opener in text + piece for opener in ("//", "/*")) for piece in PIECES]
            assert masked == [*opens, False, False]
            if not masked[choice]:
                ids.append(choice)

    check()


def test_the_most_likely_token_is_drawn_that_opens_no_comment() -> None:
    """Slashes are the likeliest everywhere; a plain draw beside it, and one that may have comments, take them."""
    logits = torch.zeros(3, len(PIECES))
    logits[:, 1], logits[:, 3], logits[:, 2] = 3.0, 4.0, 2.0
    asked = [behind([1], has_comments=False), behind([1]), SampleRequest("p", 0, 0, EncodedPrompt("", (1,), ""))]
    pick = Rollouts(asked, SamplingSettings(temperature=0), Comments(Words(strips=False)))  # type: ignore[arg-type]
    ids: list[list[int]] = [[], [], []]
    for _ in range(3):
        for row, token in zip(ids, pick(logits, torch.zeros(3), [0, 1, 2], ids).tolist(), strict=True):
            row.append(token)
    assert [[PIECES[n] for n in row] for row in ids] == [["/", "a", "/"], ["//"] * 3, ["//"] * 3]
    assert next(PIECES[n] for n, _ in pick.likely[0][1]) == "a" and sum(p for _, p in pick.likely[0][1]) < 1
    alone = behind([1], 1, has_comments=False)
    assert Rollouts([alone], SamplingSettings(), pick._comments)(logits[:1], torch.zeros(1), [0], [[1]]).tolist() == [0]


# ---- the whole search

END = 0
TEXTS = [
    "",
    HEADER,
    "always @(posedge clk) ",
    "if (rst) q <= ",
    "0;",
    "1;",
    " else q <= d;",
    "\nendmodule\n",
    "q <= d;",
]


def next_of(ids: Sequence[int]) -> list[tuple[int, float]]:
    """A model: after ``q <= `` the wrong value is the likelier, and before it a design without a reset."""
    last = ids[-1] if ids else None
    table: dict[int | None, dict[int, float]] = {
        None: {1: 0.9, 7: 0.1}, 1: {2: 1.0}, 2: {8: 0.6, 3: 0.3, 7: 0.1}, 3: {5: 0.7, 4: 0.3}, 4: {6: 1.0}, 5: {6: 1.0},
        6: {7: 0.8, 2: 0.2}, 7: {END: 0.9, 1: 0.1}, 8: {7: 1.0},
    }  # fmt: skip
    return sorted(table[last].items(), key=lambda pair: -pair[1])


class Scripted(Backend):
    """Draws from ``next_of``; counts its requests, and may be stopped at a batch."""

    can_continue = True
    asked: ClassVar[list[SampleRequest]] = []
    stops_at: int | None = None
    batches = 0

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        return EncodedPrompt(problem.instruction, (1, 2, 3), "")

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        if type(self).batches == self.stops_at:
            raise KeyboardInterrupt
        type(self).batches += 1
        type(self).asked += batch
        return [self._drawn(request, settings.max_new_tokens) for request in batch]

    def _drawn(self, request: SampleRequest, most: int) -> Generation:
        wanted = request.continuation or Continuation()
        ids, likely = list(wanted.token_ids), []
        while ids[-1:] != [END] and len(ids) < min(most, len(wanted.token_ids) + (wanted.most or most)):
            if len(likely) < wanted.places:
                likely.append(tuple(next_of(ids)[: wanted.branches]))
            ids.append(next_of(ids)[0][0])
        reason: Any = "stop" if ids[-1:] == [END] else "length"
        return Generation("".join(TEXTS[n] for n in ids), reason, tuple(ids), likely=tuple(likely))


def open_tokens(model: object, **more: object) -> Scripted:
    return Scripted()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    monkeypatch.setattr(Scripted, "asked", [])
    monkeypatch.setattr(Scripted, "batches", 0)
    monkeypatch.setattr(Scripted, "stops_at", None)
    return Scripted


def search(out: Path, problems: int = 1, count: int = 1, **options: Any) -> list[Attempt]:
    made = tokens_job(problems, count, **options)
    find_candidates(made, out)
    return list(read_records(attempts_file(out), Attempt))


def tokens_job(problems: int = 1, count: int = 1, **options: Any) -> Any:
    made = job("tree-tokens", count, problems, options=options, is_one_search=count > 1)
    config = made.config.model_copy(update={"backend": f"{__name__}:open_tokens"})
    return type(made)(made.problems, made.policy, config, seed=3, is_one_search=count > 1)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("width", [1, 4])
def test_the_search_finds_a_right_answer_that_greedy_misses(
    tmp_path: Path, scripted: type[Scripted], width: int
) -> None:
    out = tmp_path / "c.jsonl"
    attempts = search(out, width=width, feedback="reference", rollouts=60)
    greedy, *_, last = attempts
    assert greedy.candidate.continued is not None and greedy.candidate.continued.prefix_tokens == 0
    assert greedy.examined.rank < 1
    [answer] = out.read_text().splitlines()
    assert "continued" not in answer and '"temperature":0.0' in answer.replace(" ", "")
    assert any(a.candidate.code.strip() == RIGHT.strip() and a.examined.rank == 1 for a in attempts[-width:])
    prefixes = [r.begun for r in scripted.asked if not r.continuation or r.continuation.most is None]
    assert len(set(prefixes)) == len(prefixes)  # nothing is drawn twice
    for prefix in prefixes:  # and nothing that goes on as its parent's answer does
        assert not prefix or prefix[-1] != next_of(prefix[:-1])[0][0]
    assert last.candidate.text == "".join(TEXTS[n] for n in last.candidate.token_ids or ())


@pytest.mark.usefixtures("here")
def test_simulations_are_those_of_a_search_that_draws_each_of_them(
    tmp_path: Path, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A naive search, one simulation after the other, each with its own answer, has the same leaves and answers; where
    few likely tokens are told ahead, more are asked for."""
    monkeypatch.setattr("itertl.search.tree_tokens._PLACES", 1)
    attempts = search(tmp_path / "c.jsonl", width=1, feedback="compiler", rollouts=40, area_delay=False, c=2.0)
    assert len(attempts) == 1  # what compiles is right: it ends at once
    attempts = search(tmp_path / "d.jsonl", width=1, feedback="compiler", rollouts=40, area_delay=True, c=2.0)
    strategy = TreeTokens(width=1, rollouts=40, area_delay=True, c=2.0)
    found = Search(strategy, attempts)
    assert not found.asks() and len(found.counted) == 40
    rewards = {a.candidate.token_ids: reward(a.examined, found.first) for a in attempts if not a.kind}
    naive, leaves = Naive(2.0), []
    while len(leaves) < 40:
        leaf = naive.down()
        assert leaf is not None
        ids = scripted()._drawn(
            SampleRequest("p", 0, 0, EncodedPrompt("", (), ""), continuation=Continuation(leaf)), 512
        )
        assert ids.token_ids is not None
        if any(seen == leaf for seen, _ in leaves) and len(ids.token_ids) > len(leaf):
            naive.open[leaf] = next_of(leaf)
            continue
        leaves.append((leaf, ids.token_ids))
        naive.rewards.append((leaf, rewards[ids.token_ids]))
    assert [(leaf, attempts[n].candidate.token_ids) for leaf, n in found.counted] == leaves
    assert any(a.kind == PRIOR for a in attempts) and sum(not a.kind for a in attempts) < 30
    costs = [a.examined.cost for a in attempts if a.examined.rank == 1]
    assert None not in costs and len(set(costs)) > 1
    best = strategy.order(attempts)[0]
    assert attempts[best].examined.cost == min(c for c in costs if c is not None)
    made = tokens_job(rollouts=40)
    drawn = sum(len(a.candidate.token_ids or ()) - (a.candidate.continued or made).prefix_tokens for a in attempts)
    assert cost_of(made, attempts, 1).completion_tokens == drawn == found.drawn
    fewer = Search(TreeTokens(width=1, tokens=found.drawn // 2, area_delay=True, c=2.0), attempts)
    assert not fewer.asks() and found.drawn // 2 <= fewer.drawn < found.drawn


def test_a_search_that_was_stopped_ends_in_the_same_bytes(
    tmp_path: Path, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:

    def examine(strategy: TreeTokens, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        shares = [len(one.candidate.text) % 7 / 10 for one in drawn]  # nothing is right
        return [Examined(verdict=Verdict.SCORED, rank=share) for share in shares]

    monkeypatch.setattr("itertl.search.tree_tokens._PLACES", 1)
    monkeypatch.setattr(TreeTokens, "examine", examine)
    options: dict[str, Any] = {"width": 2, "rollouts": 30, "c": 3}
    whole = tmp_path / "whole.jsonl"
    search(whole, problems=2, count=3, **options)
    number = scripted.batches
    assert number > 4
    for at in (1, number - 2):
        out = tmp_path / f"{at}.jsonl"
        scripted.batches, scripted.stops_at = 0, at
        with pytest.raises(KeyboardInterrupt):
            search(out, problems=2, count=3, **options)
        scripted.stops_at = None
        search(out, problems=2, count=3, **options)
        assert scripted.batches == number
        assert out.read_bytes() == whole.read_bytes()
        assert attempts_file(out).read_bytes() == attempts_file(whole).read_bytes()


def test_rewards_are_as_published() -> None:
    def said(rank: float, cost: float | None = None, verdict: Verdict = Verdict.SCORED) -> Examined:
        return Examined(verdict=verdict, rank=rank, cost=cost)

    assert [reward(said(rank)) for rank in (-2, -1, 0, 0.25, 0.75, 1)] == pytest.approx([-1, -1, -0.8, -0.4, 0.4, 1])
    costs = [50.0, 100.0, 25.0, 1000.0, None]
    assert [reward(said(1, cost), 100.0) for cost in costs] == pytest.approx([1, 0.5, 1.25, -2, 0.5])
    assert [reward(said(1, cost), 0.0) for cost in (0.0, 3.0)] == [0.5, -2]
    assert reward(said(0, verdict=Verdict.TOOL_FAILED)) == 0
    right = [attempt(0, 1.0), attempt(1, 0.5), attempt(2, 1.0)]
    made = [
        a.model_copy(update={"examined": said(a.examined.rank, c)}) for a, c in zip(right, (9, None, 4), strict=True)
    ]
    assert list(TreeTokens().order(made)) == [2, 0, 1]


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    for options, why in (
        ({"rollouts": 0}, "rollouts .* whole number"), ({"tokens": 1.5}, "tokens"), ({"branches": True}, "branches"),
        ({"width": 0}, "width"), ({"c": -1}, "c is -1"), ({"comments": "no"}, "comments .* true or false"),
        ({"area_delay": 1}, "area_delay"), ({"feedback": "all"}, "compiler, own tests, reference"), ({"widht": 3}, "width"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            open_strategy("tree-tokens", options)
    with pytest.raises(UsageError, match=r"tree-tokens .* cannot; use sample.backend=transformers"):
        find_candidates(job("tree-tokens"), tmp_path / "c.jsonl")
    assert open_strategy("tree-tokens", {"aim": "ppa"}).continues
