"""Rewards for other trainers: what they say, whose fault is whose, and from which processes they may be called."""

import json
import multiprocessing
import os
import pickle
import signal
import sqlite3
import sys
import threading
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from itertl.config import load_recipe
from itertl.errors import RecipeError, UsageError
from itertl.rewards import Rewarder, VerilogReward, compute_score, compute_scores, rewarder, verl
from itertl.rewards.settings import DEFAULT, config_of

HEADER = "module both(input [3:0] a, input [3:0] b, output [3:0] y);\n"
REFERENCE = HEADER + "assign y = a & b;\nendmodule\n"
RIGHT = HEADER + "assign y = ~(~a | ~b);\nendmodule\n"
WRONG = HEADER + "assign y = a | b;\nendmodule\n"
BROKEN = HEADER + "assign y = a & ;\nendmodule\n"
TESTBENCH = """
module tb;
  reg [3:0] a, b; wire [3:0] y; integer errors = 0, samples = 0, i;
  both dut(.a(a), .b(b), .y(y));
  initial begin
    for (i = 0; i < 64; i = i + 1) begin
      a = i; b = i >> 2; #1 samples = samples + 1;
      if (y !== (a & b)) errors = errors + 1;
    end
    $display("Mismatches: %1d in %1d samples", errors, samples);
    $finish;
  end
endmodule
"""
SCORE: dict[str, Any] = {
    "scorers": ["gate", "syntax", "vectors"], "combine": "ladder",
    "ladder": {"gate": 0.2, "syntax": 0.4, "vectors": [0.8, 1.0]}, "num_workers": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def reward(cache: Path) -> VerilogReward:
    return VerilogReward(SCORE, cache=str(cache))


def rewards(function: VerilogReward, completions: list[Any], **columns: Any) -> list[float | None]:
    return function(prompts=["?"] * len(completions), completions=completions, completion_ids=None, **columns)


def test_a_batch_of_texts_and_chats_in_their_order(reward: VerilogReward) -> None:
    fenced = f"It is:\n```verilog\n{RIGHT}```\nDone."
    body = "assign y = b & a;\nendmodule\n"
    chat = [{"role": "user", "content": WRONG}, {"role": "assistant", "content": fenced}]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": RIGHT}]}]
    asked = [RIGHT, WRONG, BROKEN, "I do not know.", fenced, body, chat, parts, [], RIGHT]
    found = rewards(reward, asked, reference=[REFERENCE] * 10, header=[HEADER] * 10, other=list(range(10)))
    assert [found[n] for n in (0, 4, 5, 6, 7, 9)] == [1.0] * 6
    assert (found[2], found[3], found[8]) == (0.2, 0.0, 0.0)
    assert found[1] is not None and 0.4 <= found[1] < 0.8
    assert [one.verdict for one in reward.last[:4]] == ["passed", "wrong_output", "syntax_error", "no_code"]
    assert [one.is_right for one in reward.last[:4]] == [True, False, False, False]
    assert list(reward.last[2].scores) == ["gate", "syntax"]  # the rung above was not asked


def test_ground_truth_in_every_form(reward: VerilogReward) -> None:
    table = {"reference": REFERENCE, "header": None, "top": "both", "testbench": None}
    forms = [REFERENCE, table, json.dumps(table)]
    assert rewards(reward, [RIGHT] * 3, ground_truth=forms) == [1.0] * 3
    wrong = [
        "",
        "no module",
        "{not json",
        {"referense": REFERENCE},
        {"reference": 3},
        7,
        None,
        {"benchmark": "vgen-low"},
    ]
    assert rewards(reward, [RIGHT] * 8, ground_truth=wrong) == [None] * 8
    assert {one.verdict for one in reward.last} == {"unjudgeable"}
    assert "did you mean 'reference'" in reward.last[3].detail
    with pytest.raises(UsageError, match=r"no column 'ground_truth' or 'reference' \(it has solution\)"):
        rewards(reward, [RIGHT], solution=[REFERENCE])


def test_a_fault_of_ours_is_no_reward(reward: VerilogReward) -> None:
    unfit = "module both(inout y);\nendmodule\n"
    metrics: dict[str, float] = {}
    texts: dict[str, list[str]] = {}
    found = reward(
        completions=[RIGHT, RIGHT], reference=[unfit, REFERENCE], log_metric=metrics.__setitem__,
        log_extra=texts.__setitem__,
    )  # fmt: skip
    assert found == [None, 1.0]
    assert reward.last[0].verdict == "unjudgeable" and reward.last[0].is_right is None
    assert metrics["verilog/unjudged"] == 0.5 and metrics["verilog/right"] == 1.0 and metrics["verilog/vectors"] == 1.0
    assert texts["verilog_verdict"] == ["unjudgeable", "passed"]


def test_a_testbench_decides_where_there_is_one(reward: VerilogReward) -> None:
    table = {"reference": REFERENCE, "header": HEADER, "testbench": TESTBENCH}
    assert rewards(reward, [RIGHT, WRONG, "?"], ground_truth=[table] * 3) == [1.0, 0.0, 0.0]
    assert [one.scores["testbench"]["verdict"] for one in reward.last] == ["passed", "wrong_output", "no_code"]
    assert [one.is_right for one in reward.last] == [True, False, False]
    shaped = VerilogReward({**SCORE, "combine": "coderl", "ladder": {}}, cache=reward._rewarder._cache or False)
    assert rewards(shaped, [RIGHT, WRONG, BROKEN], ground_truth=[table] * 3) == [1.0, -0.3, -1.0]
    broken = {**table, "testbench": "module tb; endmodule"}
    assert rewards(reward, [RIGHT], ground_truth=[broken]) == [None]


class Settings(Mapping[str, Any]):
    """Nested settings as OmegaConf hands them over: mappings that are no dict."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table

    def __getitem__(self, key: str) -> Any:
        value = self._table[key]
        return Settings(value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value

    def __iter__(self) -> Any:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def test_verl_rows_have_the_same_keys_and_numbers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verl, "_MEANS", verl._Means())
    options: dict[str, Any] = {"score": Settings(SCORE), "cache": str(cache), "reward_router_address": None}
    truth = json.dumps({"reference": REFERENCE})
    one = compute_score(
        data_source="x", solution_str=RIGHT, ground_truth=truth, extra_info={"header": HEADER}, **options
    )
    assert (one["score"], one["acc"], one["judged"], one["verdict"]) == (1.0, 1.0, 1.0, "passed")
    texts = [BROKEN, RIGHT, "?", RIGHT]
    rows = compute_scores(["x"] * 4, texts, [truth, truth, truth, "{}"], [None, {}, {"index": 3}, None], **options)
    assert all(row.keys() == one.keys() for row in rows)
    assert all(isinstance(value, float | str) for row in rows for value in row.values())
    assert [row["score"] for row in rows[:3]] == [0.2, 1.0, 0.0] and rows[0]["vectors"] == 0.0
    assert rows[3]["judged"] == 0.0 and rows[3]["score"] == pytest.approx((1.0 + 0.2 + 1.0 + 0.0) / 4)  # the mean
    unfit = {**SCORE, "timeout_s": 0.01}
    known = compute_scores(["x"], [RIGHT], [truth], score=unfit, cache=str(cache))[0]
    assert known["score"] == 1.0  # from the cache


def test_settings_are_those_of_a_recipe(repository: Path, cache: Path) -> None:
    with pytest.raises(RecipeError, match=r"score\.scorrers: unknown key; did you mean 'scorers'"):
        Rewarder({"scorrers": ["gate"]})
    with pytest.raises(RecipeError, match="ladder names"):
        Rewarder({"scorers": ["gate"], "combine": "ladder", "ladder": {"vectors": 1.0}})
    with pytest.raises(UsageError, match=r"unknown scorer 'vektors': did you mean 'vectors'"):
        Rewarder({"scorers": ["vektors"], "num_workers": 1}, cache=cache)([], [])
    recipe = repository / "recipes" / "itertl-function.yaml"
    assert config_of(recipe) == load_recipe(recipe).score
    theirs = load_recipe(recipe).score
    ours = config_of(None)
    assert {**ours.ladder, "equivalence": 0.95, "ppa": 1.0} == theirs.ladder and ours.floor == theirs.floor
    assert [*pairwise(ours.ladder)] == [*pairwise(theirs.ladder)][:-1] and set(DEFAULT) < set(theirs.model_dump())


def _in_a_spawned_process(data: bytes, results: Any) -> None:
    function: VerilogReward = pickle.loads(data)
    found = rewards(function, [RIGHT, WRONG, RIGHT], reference=[REFERENCE] * 3)
    results.put((found, "torch" in sys.modules or "pyslang" in sys.modules))


def test_processes_share_the_cache(tmp_path: Path) -> None:
    """Two spawned ranks at once, each with a keeper of its own and one cache."""
    data = pickle.dumps(VerilogReward({"scorers": ["rouge-l-tokens", "icarus"], "num_workers": 1}, cache=str(tmp_path)))
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    ranks = [spawn.Process(target=_in_a_spawned_process, args=(data, results)) for _ in range(2)]
    for rank in ranks:
        rank.start()
    (first, is_heavy), (second, _) = results.get(timeout=100), results.get(timeout=100)
    for rank in ranks:
        rank.join(30)
    assert first == second and first[0] == first[2] and not is_heavy
    assert None not in first and first[0] != first[1]
    rows = sqlite3.connect(tmp_path / "scores.sqlite").execute("SELECT count(*) FROM answers").fetchone()
    assert rows == (4,)  # two texts, two scorers


def test_threads_that_end_and_forked_children(reward: VerilogReward) -> None:
    found: list[Any] = []
    columns = {"reference": [REFERENCE] * 2, "header": [HEADER] * 2}
    threads = [
        threading.Thread(target=lambda: found.append(rewards(reward, [RIGHT, BROKEN], **columns))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1.0, 0.2]] * 3
    before = dict(rewarder._keepers)
    child = os.fork()
    if child == 0:
        is_equal = rewards(reward, [RIGHT, BROKEN], **columns) == [1.0, 0.2]
        os._exit(0 if is_equal and rewarder._keepers == before else 1)  # it asks the parent's
    assert os.waitpid(child, 0)[1] == 0
    assert rewards(reward, [BROKEN, RIGHT], **columns) == [0.2, 1.0]


def test_a_keeper_that_was_killed_is_started_again(cache: Path) -> None:
    function = Rewarder({"scorers": ["rouge-l-tokens"], "num_workers": 1}, cache=str(cache))
    [before] = function([RIGHT], [REFERENCE])
    [kept] = [kept for kind, kept in rewarder._keepers.items() if kind.cache == str(cache)]
    os.kill(kept.pid, signal.SIGKILL)
    os.waitpid(kept.pid, 0)
    assert function([RIGHT], [REFERENCE]) == [before]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewarder.keeper, "start", _cannot)
        rewarder.close_all()
        [lost] = function([RIGHT], [REFERENCE])
    assert lost.value is None and lost.verdict == "tool_failed" and "no room" in lost.detail


def _cannot(settings: object) -> None:
    raise OSError("no room")
