"""Search at test time: strategies as pure functions, the driver over them, and what the tools say of an attempt."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_builder
from itertl.cli import chat
from itertl.config import EvalConfig, PromptConfig, SampleConfig, build_recipe
from itertl.errors import DataError, ToolFailed, UsageError
from itertl.evaluation import evaluate
from itertl.loop.repairs import repair_pairs
from itertl.model.policy import Policy
from itertl.model.prompts import EncodedPrompt, Turn
from itertl.progress import SILENT, Reporter
from itertl.records import Attempt, Candidate, Examined, Problem, SamplingSettings, Verdict
from itertl.runs.storage import read_records, write_records
from itertl.sampling.backend import Generation
from itertl.sampling.batching import SampleRequest
from itertl.sampling.draw import SamplingJob
from itertl.sandbox.bounds import Bound
from itertl.scoring.engine import Effort
from itertl.search import autochip, look, traces
from itertl.search.adaptive import Adaptive
from itertl.search.best_of import UNSCORED
from itertl.search.cluster import Cluster
from itertl.search.conversation import Conversation, check_transcript, lines_of
from itertl.search.drive import attempts_file, cost_of, find_candidates, seconds_file
from itertl.search.drivers import driving_lines
from itertl.search.plain_draws import expected_solved
from itertl.search.repair import Repair
from itertl.search.strategy import Ask, Drawn, Strategy, open_strategy

HEADER = "module keep(input clk, input rst, input [3:0] d, output reg [3:0] q);\n"
RIGHT = HEADER + "always @(posedge clk) if (rst) q <= 0; else q <= d;\nendmodule\n"
WRONG = HEADER + "wire [3:0] next;\nassign next = rst ? 4'd1 : d;\nalways @(posedge clk)\n  q <= next;\nendmodule\n"
BROKEN = HEADER + "always @(posedge clk) q <= missing;\nendmodule\n"


def problem(**fields: Any) -> Problem:
    given = {"instruction": "Keep d.", "header": HEADER, "reference": RIGHT, "source": "test", **fields}
    return Problem.create(**given)


def ask_look(code: str, *, with_reference: bool = True, kept: Problem | None = None) -> Examined:
    question = look.Question((kept or problem()).model_dump_json(), code, with_reference, Bound())
    return look.look(question)


def test_ranks_rise_with_what_holds_and_messages_say_what_does_not() -> None:
    ladder = [ask_look(code) for code in ("no code", BROKEN, WRONG, RIGHT)]
    assert [said.rank for said in ladder][:2] == [look.NO_MODULE, look.NO_COMPILE]
    assert 0 < ladder[2].rank < ladder[3].rank == look.RIGHT
    assert "line 2" in ladder[1].message and "missing" in ladder[1].message
    wrong = ladder[2].message.splitlines()
    assert wrong[1] == "- step 4: q is 4'b0001, expected 4'b0000 with clk=1'b1, rst=1'b1, d=4'h0"
    assert wrong.index("These lines drive q:") == 6 and wrong[7:9] == [
        "5: q <= next;",
        "3: assign next = rst ? 4'd1 : d;",
    ]
    assert ask_look(WRONG, with_reference=False).rank == look.RIGHT  # the compiler alone is asked


def test_a_design_that_prints_success_forges_autochips_rank_and_not_ours() -> None:
    bench = (
        "module tb; reg clk = 0, rst = 1; reg [3:0] d = 3; wire [3:0] q; keep u(clk, rst, d, q); integer bad = 0, n;\n"
        "always #5 clk = ~clk;\ninitial begin for (n = 0; n < 20; n = n + 1) begin @(negedge clk); if (n == 5) rst = 0;"
        ' if (n > 8 && q !== d) bad = bad + 1; end $display("Mismatches: %0d in %0d samples", bad, n); $finish; end\n'
        "endmodule\n"
    )
    liar = HEADER + 'initial $display("Mismatches: 0 in 20 samples");\nalways @(posedge clk) q <= 0;\nendmodule\n'
    asked = problem(testbench=bench)

    def theirs(code: str) -> float:
        return autochip.look(look.Question(asked.model_dump_json(), code, True, Bound())).rank

    assert theirs(RIGHT) == 1 and theirs(liar) == 1 and theirs(BROKEN) == -1 and theirs("") == -2
    assert theirs(HEADER + "always @(posedge clk) q <= rst ? 0 : 4'd7;\nendmodule\n") == pytest.approx(1 - 11 / 20)
    assert ask_look(liar, kept=asked).rank < 1
    huge = liar.replace("20 samples", "9" * 5000 + " samples")
    assert theirs(huge) < 1  # read off the testbench's own line, or not at all
    stuck = look.Question(asked.model_dump_json(), HEADER + "initial forever q = 0;\nendmodule\n", True, Bound(1.0))
    assert autochip.look(stuck).verdict is Verdict.TIMEOUT  # the design's fault, and not a tool's


def test_errors_are_shown_before_the_warnings_that_would_push_them_out() -> None:
    code = HEADER + "".join(f"assign w{n} = d[0];\n" for n in range(12)) + BROKEN.removeprefix(HEADER)
    assert "missing" in ask_look(code).message.splitlines()[1]


def test_the_lines_that_drive_an_output_are_traced_through_what_they_read() -> None:
    code = "module m(input a, b, output y, z);\nwire t, u;\nassign t = a & b;\nassign u = ~a;\nassign y = t;\n"
    code += "sub s(.i(u), .o(z));\nendmodule\nmodule sub(input i, output o);\nassign o = i;\nendmodule\n"
    assert driving_lines(code, "m", "y") == ["5: assign y = t;", "3: assign t = a & b;"]
    assert driving_lines(code, "m", "z") == ["6: sub s(.i(u), .o(z));", "4: assign u = ~a;"]
    assert driving_lines("module m(", "m", "y") == []


def test_traces_group_what_behaves_alike_whatever_its_text() -> None:
    def group(code: str, header: str = HEADER) -> str:
        return traces.trace(traces.Question(code, header, None, 256)).group

    same = HEADER + "reg [3:0] r;\nalways @(posedge clk) r <= rst ? 4'd0 : d;\nalways @* q = r;\nendmodule\n"
    assert group(RIGHT) == group(same) != group(WRONG)
    assert group(BROKEN) == group("") == ""
    swapped = RIGHT.replace("input clk, input rst", "input rst, input clk")
    assert group(swapped) == group(RIGHT)  # ports are connected by name


def attempt(number: int, rank: float = 0.0, *, group: str = "", turn: int = 0, path: Sequence[int] = ()) -> Attempt:
    drawn = Candidate(
        problem_id="p", index=number, policy="m", settings=SamplingSettings(), seed=number, text="t", code="c",
        finish_reason="stop", prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip
    said = Examined(verdict=Verdict.SCORED, rank=rank, group=group)
    return Attempt(
        candidate=drawn, search=0, round=turn, parent=path[-1] if path else None,
        shown=tuple((n, "") for n in path), examined=said,
    )  # fmt: skip


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=12))
def test_cluster_answers_from_the_largest_group(groups: list[str]) -> None:
    attempts = [attempt(n, 1.0 if g else -1.0, group=g) for n, g in enumerate(groups)]
    order = Cluster(draws=len(groups)).order(attempts)
    assert sorted(order) == list(range(len(groups)))
    sizes = Counter(g for g in groups if g)
    if sizes:
        assert sizes[groups[order[0]]] == max(sizes.values())
        assert order[0] == min(n for n, g in enumerate(groups) if g and sizes[g] == max(sizes.values()))
    told = [bool(groups[n]) for n in order]
    assert told == sorted(told, reverse=True)  # what did not run comes last


def test_repair_goes_on_from_the_best_of_all_rounds_or_of_the_last() -> None:
    first = [attempt(0, 0.2), attempt(1, 0.8), attempt(2, -1.0)]
    second = [attempt(3, 0.5, turn=1, path=[1]), attempt(4, 0.1, turn=1, path=[1]), attempt(5, 0.3, turn=1, path=[1])]
    assert list(Repair().next([])) == [Ask(3)]
    assert list(Repair().next(first)) == [Ask(3, (1,))]
    both = first + second
    assert list(Repair(depth=1).next(both)) == []
    assert list(Repair(depth=2).next(both)) == [Ask(3, (1,))]
    assert list(Repair(depth=2, carry="round").next(both)) == [Ask(3, (3,))]
    assert list(Repair(depth=2, carry="round", context="full").next(both)) == [Ask(3, (1, 3))]
    assert list(Repair().next([*first, attempt(3, 1.0, turn=1, path=[1])])) == []
    assert list(Repair().order(both)) == [1, 3, 5, 0, 4, 2]


def test_a_log_is_cut_where_its_tokens_are_spent() -> None:
    from search_curves import within  # imports torch, which the killed searches below do without

    tried = [attempt(n, turn=n // 2) for n in range(4)]  # of one token each
    tried[0] = tried[0].model_copy(update={"kind": "tests"})
    assert [within(tried, n, by_round=False) for n in (0.5, 2, 3.9, 9)] == [2, 2, 3, 4]  # the first design always fits
    assert [within(tried, n, by_round=True) for n in (0.5, 3.9, 4)] == [2, 2, 4]


def test_a_plan_of_curves_that_cannot_be_is_one_line_of_what_to_write(tmp_path: Path) -> None:
    from search_curves import read_plan

    whole = "benchmark: b\nmodels: {m: p}\nsearches: {s: {models: [m]}}\n"
    for text, why in (
        ("a: [", "not YAML"), ("[]", "a plan has"), (whole.replace("{m: p}", "[m]"), "models is"),
        (whole.replace("[m]", "[n]"), "searches.s.models: 'n' is not one of m"),
        (whole.replace("{s: {models: [m]}}", "7"), "searches is 7"),
    ):  # fmt: skip
        (tmp_path / "plan.yaml").write_text(text)
        with pytest.raises(UsageError, match=why):
            read_plan(tmp_path / "plan.yaml")
    with pytest.raises(DataError, match=r"none\.yaml"):
        read_plan(tmp_path / "none.yaml")
    (tmp_path / "plan.yaml").write_text(whole)
    assert read_plan(tmp_path / "plan.yaml")["models"] == {"m": "p"}


def test_plain_draws_of_as_many_tokens_are_counted_by_a_fitted_beta() -> None:
    """0, 1 and 2 right of 2 give Beta(1, 1): two more draws solve the first with 1 - B(1, 5)/B(1, 3) = 0.4."""

    def searches(*right: int, rest: int = 2) -> list[list[Attempt]]:
        first = [[attempt(n, float(n < c)) for n in range(2)] for c in right]
        return [[*some, *(attempt(2 + n, turn=1, path=[0]) for n in range(rest))] for some in first]

    assert expected_solved(searches(0, 1, 2)) == pytest.approx(2.4)
    assert expected_solved(searches(0, 1, 2, rest=0)) == 2
    assert expected_solved(searches(0, 2)) == 1  # draws of a problem are all alike
    assert expected_solved(searches(0, 0, 1, 1)) == pytest.approx(2 + 2 * (1 - 0.75**2))  # problems do not differ
    assert expected_solved([[attempt(0)]]) is None and expected_solved([]) is None


# a model that writes better from attempt to attempt where it is shown what was wrong, and at random where not
_TEXTS = {"broken": BROKEN, "wrong": WRONG, "right": RIGHT}


class Scripted:
    """A back end: of plain prompts a third is each text; behind turns the answer is one step better than the last."""

    uses_these_cores = True

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        del config
        told = json.dumps([problem.instruction, [[turn.code, turn.message] for turn in turns]])
        return EncodedPrompt(told, tuple(range(len(told))), "")

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        del settings
        return [self._answer(request) for request in batch]

    def _answer(self, request: SampleRequest) -> Generation:
        _, turns = json.loads(request.prompt.text)
        names = list(_TEXTS)
        name = random.Random(request.seed).choice(names)
        if turns:
            last = next((n for n, text in _TEXTS.items() if text.strip() == turns[-1][0].strip()), "broken")
            assert turns[-1][1]  # what the tools said
            name = names[min(names.index(last) + 1, 2)]
        return Generation(_TEXTS[name], "stop", (1, 2, 3))


def open_scripted(model: object, *, dtype: str, trust_remote_code: bool, revision: str | None) -> Scripted:
    del model, dtype, trust_remote_code, revision
    return Scripted()


def job(strategy: str, count: int = 1, problems: int = 6, **more: Any) -> SamplingJob:
    config = SampleConfig(
        backend=f"{__name__}:open_scripted", strategy=strategy, strategy_options=more.pop("options", {}),
        batch_size=4, num_candidates=count,
    )  # fmt: skip
    asked = [problem(instruction=f"Keep d, number {n}.") for n in range(problems)]
    return SamplingJob(asked, Policy("m", known_digest="m"), config, seed=3, **more)


def test_repair_with_the_reference_makes_every_problem_right(tmp_path: Path) -> None:
    options = {"breadth": 2, "depth": 3, "feedback": "reference"}
    found = find_candidates(job("repair", count=2, options=options), tmp_path / "c.jsonl")
    assert [(c.problem_id, c.index) for c in found] == [(p.id, n) for p in job("repair").problems for n in range(2)]
    assert all(c.code.strip() == RIGHT.strip() for c in found)
    attempts = read_records(attempts_file(tmp_path / "c.jsonl"), Attempt)
    assert {a.search for a in attempts} == {0, 1} and max(a.round for a in attempts) == 2
    for a in attempts:
        assert (a.parent is None) == (a.round == 0) == (not a.shown)
        if a.shown:
            parent = next(
                b for b in attempts
                if (b.candidate.problem_id, b.search, b.candidate.index) == (a.candidate.problem_id, a.search, a.parent)
            )  # fmt: skip
            assert a.shown == ((a.parent, parent.examined.message),) and parent.round < a.round
    assert not list(tmp_path.glob("*.partial"))
    cost = cost_of(job("repair", count=2, options=options), attempts, len(found))
    at_once = {(a.candidate.problem_id, a.search) for a in attempts if a.round == 0 and a.examined.rank == 1}
    assert (cost.solved, cost.solved_at_once, cost.attempts) == (12, len(at_once), len(attempts))
    assert 0 < len(at_once) < 12 and cost.feedback == "reference" and cost.rounds == 3


def test_one_search_fills_up_with_plain_draws_where_it_ends_early(tmp_path: Path) -> None:
    options = {"breadth": 1, "depth": 1, "feedback": "compiler"}
    found = find_candidates(job("repair", count=5, options=options, is_one_search=True), tmp_path / "c.jsonl")
    assert Counter(c.problem_id for c in found) == {p.id: 5 for p in job("repair").problems}
    attempts = read_records(attempts_file(tmp_path / "c.jsonl"), Attempt)
    rank = {(a.candidate.problem_id, a.candidate.seed): a.examined.rank for a in attempts}
    for p in job("repair").problems:
        ranks = [rank[c.problem_id, c.seed] for c in found if c.problem_id == p.id]
        assert ranks == sorted(ranks, reverse=True)


def test_best_of_and_cluster_answer_what_they_rank_first(tmp_path: Path) -> None:
    searched = job("best-of", options={"draws": 6, "scorer": "vectors"})
    best = find_candidates(searched, tmp_path / "b.jsonl", with_seconds=True)
    drawn = read_records(attempts_file(tmp_path / "b.jsonl"), Attempt)
    took = [json.loads(line) for line in seconds_file(tmp_path / "b.jsonl").read_text().splitlines()]
    assert len(took) == len(drawn) == 36 and all(one["drawing"] >= 0 < one["tools"] for one in took)
    right = {a.candidate.problem_id for a in drawn if a.examined.rank == 1}
    assert right and {c.problem_id for c in best if c.code.strip() == RIGHT.strip()} == right
    agreed = find_candidates(job("cluster", options={"draws": 6}), tmp_path / "c.jsonl")
    drawn = read_records(attempts_file(tmp_path / "c.jsonl"), Attempt)
    for c in agreed:
        codes = Counter(a.candidate.code for a in drawn if a.candidate.problem_id == c.problem_id and a.examined.group)
        assert codes[c.code] == max(codes.values())


class Plain(Strategy):
    """Some draws of which nothing is looked at."""

    def __init__(self, draws: int = 0) -> None:
        self._draws = draws

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        return [] if attempts or not self._draws else [Ask(self._draws)]

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        return range(len(attempts))

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        return [Examined(verdict=Verdict.SCORED, rank=0.0) for _ in drawn]


def test_searches_of_other_options_are_not_taken_for_those_of_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between two temperatures, and the same command with other options."""
    asked, opened = job(f"{__name__}:Plain", problems=2), list[str]()

    def stopped(sampling: SamplingJob, part: Path, **more: Any) -> list[Candidate]:
        del more
        opened.append(part.name)
        if len(opened) == 2:
            raise KeyboardInterrupt
        return find_candidates(sampling, part)

    def draw(draws: int) -> None:
        config = EvalConfig(temperatures=(0.5, 1.0))
        sample = asked.config.model_copy(update={"strategy_options": {"draws": draws}})
        bench: Any = SimpleNamespace(problems=asked.problems, name="b")
        kept = evaluate.EvaluationJob(bench, config, asked.policy, sample, None, 3, tmp_path, None)
        evaluate._draw_samples(kept, Reporter(quiet=True), None)

    monkeypatch.setattr(evaluate, "find_candidates", stopped)
    with pytest.raises(KeyboardInterrupt):
        draw(2)
    draw(2)
    assert opened == ["samples-b-t0.5.jsonl"] + 2 * ["samples-b-t1.jsonl"]
    opened.clear()
    with pytest.raises(KeyboardInterrupt):
        draw(2)
    draw(3)
    assert opened[2:] == ["samples-b-t0.5.jsonl", "samples-b-t1.jsonl"]
    assert len(read_records(tmp_path / "samples-b-t0.5.attempts.jsonl", Attempt)) == 6
    assert not list(tmp_path.glob("*.plan"))


def test_a_search_that_asks_for_nothing_answers_with_a_plain_draw(tmp_path: Path) -> None:
    found = find_candidates(job(f"{__name__}:Plain", count=2, problems=1), tmp_path / "c.jsonl")
    assert [c.index for c in found] == [0, 1]


def test_adaptive_draws_until_one_is_right_and_one_is_wrong() -> None:
    right, wrong, open_ = attempt(0, 1.0), attempt(1, 0.9), attempt(2, UNSCORED)
    strategy = Adaptive(most=7, width=3)
    assert list(strategy.next([])) == [Ask(3)]
    assert list(strategy.next([right, wrong, open_])) == []
    for alike in ([right] * 3, [wrong] * 3, [right, open_, open_], [wrong, open_, open_]):
        assert list(strategy.next(alike)) == [Ask(3)]
        assert list(strategy.next([*alike, *alike])) == [Ask(1)], "no more than seven in all"
    assert list(strategy.next([wrong] * 7)) == []


def test_adaptive_spends_less_on_what_is_solved_or_hopeless() -> None:
    strategy = Adaptive(most=15, width=100)
    most = {
        z: sum(ask.count for ask in strategy.of_problem(z).next([]))
        for z in (None, 0.0, 0.25, 0.26, 0.75, 0.76, 1.0, 1.5)
    }
    assert most == {None: 15, 0.0: 3, 0.25: 3, 0.26: 15, 0.75: 15, 0.76: 3, 1.0: 3, 1.5: 3}
    assert Adaptive(most=4, width=9, pools=[]).of_problem(0.0).next([]) == [Ask(4)]
    assert Adaptive(pools=[[0.5, 0]]).of_problem(0.1).next([]) == []
    for pools in ([[0.5, 2]], [[0.5]], [[0.5, 1], [0.2, 1]], "easy", [["a", 1]], 3, [[0.5, True]]):
        with pytest.raises(UsageError, match=r"strategy_options\.pools"):
            Adaptive(pools=pools)  # type: ignore[arg-type]


def test_adaptive_answers_are_all_draws_and_at_least_so_many(tmp_path: Path) -> None:
    """A problem's group is mixed, or it has as many draws as its pool gives; never fewer than num_candidates."""
    asked = job("adaptive", count=2, problems=6, options={"most": 8, "width": 2}, is_one_search=True)
    solved, hopeless = asked.problems[0].id, asked.problems[1].id
    asked = replace(asked, earlier={solved: 0.9, hopeless: 0.0})
    found = find_candidates(asked, tmp_path / "c.jsonl")
    attempts = read_records(attempts_file(tmp_path / "c.jsonl"), Attempt)
    assert len(found) == len(attempts)
    for p in asked.problems:
        ranks = [a.examined.rank for a in attempts if a.candidate.problem_id == p.id]
        assert [c.index for c in found if c.problem_id == p.id] == list(range(len(ranks)))
        mixed = [number for number in range(1, 9) if 1.0 in ranks[:number] and min(ranks[:number]) < 1.0]
        end = 2 if p.id in (solved, hopeless) else min([-(-mixed[0] // 2) * 2] if mixed else [8])
        assert len(ranks) == end
    assert len({len([c for c in found if c.problem_id == p.id]) for p in asked.problems[2:]}) > 1
    again = find_candidates(replace(asked, earlier={}), tmp_path / "d.jsonl")
    assert [c for c in again if c.problem_id not in (solved, hopeless)] == [
        c for c in found if c.problem_id not in (solved, hopeless)
    ]


def test_options_that_cannot_be_are_named() -> None:
    for name, options, why in (
        ("repai", {}, "repair"),
        ("repair", {"bredth": 2}, "breadth"),
        ("repair", {"breadth": 0}, "whole number"),
        ("repair", {"carry": "all"}, "best, round"),
        ("repair", {"models": [{"model": "m"}]}, "models.0 is .*model: NAME, from_round: N"),
        ("repair", {"models": [{"model": "m", "from_round": 3}]}, "models.0.from_round is 3; .* 1 to the depth, 2"),
        ("repair", {"models": [{"model": n, "from_round": 1} for n in "ab"]}, "models.1.from_round is 1; .* from 2"),
        ("repair", {"rank": "autochip"}, "feedback: reference"),
        ("best-of", {"scorer": "icaru"}, "icarus"),
        ("cluster", {"draws": True}, "draws"),
        ("adaptive", {"most": 0}, "most"),
        ("adaptive", {"scorer": "vector"}, "vectors"),
        ("adaptive", {"aim": "ppa"}, "leave it out"),
        ("adaptive", {"pools": [[10**400, 1]]}, "pools"),
        ("best-of", {"scorer": None}, "scorer is None"),
        ("cluster", {"steps": 10**400}, r"steps is 10{59}…; .* to 1000000"),
        ("tree-code", {"c": 10**400}, "c is"),
    ):
        with pytest.raises(UsageError, match=why):
            open_strategy(name, options)


KILLED = """
import os, sys
from pathlib import Path
from test_search import mixed, find_candidates
for point in (sys.argv[3], ""):  # imported once, and no thread begun before a fork
    child = os.fork()
    if child == 0:
        os.environ["ITERTL_KILL_AT"] = point
        find_candidates(mixed(Path(sys.argv[2])), Path(sys.argv[1]))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), Path(sys.argv[1]).exists(), flush=True)
"""


def mixed(other: Path) -> SamplingJob:
    """A search whose second and later rounds another model draws."""
    others = [{"model": str(other), "from_round": 2}]
    options = {"breadth": 2, "depth": 3, "feedback": "reference", "models": others}
    return job("repair", 2, 2, options=options)


@pytest.mark.parametrize("point", [pytest.param("search.batch:3", marks=pytest.mark.slow), "search.examined:1"])
def test_a_killed_search_ends_in_the_same_bytes(tmp_path: Path, point: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama"}')
    (other / "model.safetensors").write_bytes(b"weights")
    out, here = tmp_path / "killed.jsonl", str(Path(__file__).parent)
    call = [sys.executable, "-c", KILLED, str(out), str(other), point]
    done = subprocess.run(call, env={**os.environ, "PYTHONPATH": here}, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["-9 False", "0 True"], done.stderr
    whole = tmp_path / "whole.jsonl"
    find_candidates(mixed(other), whole)
    assert out.read_bytes() == whole.read_bytes()
    assert attempts_file(out).read_bytes() == attempts_file(whole).read_bytes()
    drawn_by = {(a.round >= 2, a.candidate.policy) for a in read_records(attempts_file(whole), Attempt)}
    assert len(drawn_by) == 2 and (False, "m") in drawn_by
    with pytest.raises(UsageError, match=r"strategy_options\.models: .*no-such"):
        find_candidates(mixed(tmp_path / "no-such"), tmp_path / "none.jsonl")


def test_a_runs_failures_become_repair_pairs(tmp_path: Path) -> None:
    """Of four distinct answers one is right, one has no module and two are wrong: both are taught the right one, the
    first because that was drawn behind it."""
    kept, judged, hard = (problem(instruction=f"Task {n}.") for n in ("one", "two", "three"))
    same = RIGHT.replace("if (rst) q <= 0; else q <= d;", "q <= rst ? 4'd0 : d;")
    run = report_builder.build_run(tmp_path / "run", iterations=1)
    write_records(run / "problems.jsonl", [kept, judged, hard])
    write_records(run / "bench-synth-heldout.jsonl", [judged.model_copy(update={"upstream_id": "t"})])

    def drawn(of: Problem, number: int, code: str, path: Sequence[int] = ()) -> Attempt:
        made = attempt(number, path=path)
        return made.model_copy(
            update={"candidate": made.candidate.model_copy(update={"problem_id": of.id, "code": code})}
        )

    said = [drawn(kept, 0, WRONG), drawn(kept, 1, same, [0]), drawn(kept, 2, "prose"), drawn(kept, 3, BROKEN)]
    said += [drawn(kept, 4, f"// once more\n{WRONG}"), drawn(judged, 0, WRONG), drawn(hard, 0, BROKEN)]
    write_records(run / "iter-00/candidates.attempts.jsonl", said)
    found = repair_pairs(run, effort=Effort(num_workers=1), tracker=SILENT)
    assert found.answers == 6 and found.by_reference == 1
    assert found.left_out == {"right": 1, "without a module": 1, "the problem stands in a benchmark of the run": 1}
    first, second, third = found.problems
    assert [p.reference for p in found.problems] == [same, same, RIGHT]
    assert first.instruction.startswith("Task one.\n\nThis answer to it is wrong:\nmodule keep(")
    assert "- step 4: q is 4'b0001, expected 4'b0000" in first.instruction and "does not compile" in second.instruction
    assert first.extra["repair"] == {
        "run": "demo", "problem": kept.id, "wrong": "iter-00/search 0/attempt 0",
        "right": "iter-00/search 0/attempt 1", "verdict": "wrong_output",
    }  # fmt: skip
    assert (third.header, third.top, third.source) == (hard.header, hard.top, "repair:test")
    with pytest.raises(DataError, match="no candidates"):
        (run / "iter-00/candidates.attempts.jsonl").unlink()
        repair_pairs(run, effort=Effort(), tracker=SILENT)


def talk(out: Path, lines: Sequence[str], told: list[str]) -> Conversation:
    asked = job("best-of", problems=1)
    with Conversation(asked.problems[0], asked, Scripted(), out, effort=Effort(), tell=told.append) as conversation:
        conversation.begin()
        for line in lines:
            conversation.enter(line)
    return conversation


@pytest.mark.usefixtures("here")
def test_a_conversation_goes_on_from_its_transcript_and_can_be_played_again(tmp_path: Path) -> None:
    bench = tmp_path / "tb.v"
    bench.write_text(
        "module tb; reg c = 0; wire [3:0] q; keep u(c, 1'b0, 4'd9, q); always #1 c = ~c;\n"
        'initial begin #9 $display("q=%0d", q); $finish; end endmodule\n'
    )
    told: list[str] = []
    first = talk(tmp_path / "a.jsonl", ["/auto 3", f"/simulate {bench}", "and now?", "/undo"], told)
    assert first.code.strip() == RIGHT.strip() and first.examined is not None and first.examined.rank == 1
    assert told[-1] == first.code and "The testbench prints:\nq=9" in told
    said = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [s["role"] for s in said[:3]] == ["task", "model", "tool"] and said[-1]["text"] == "/undo"
    again = talk(tmp_path / "a.jsonl", [f"/waveform {tmp_path / 'w.vcd'} {bench}", f"/save {tmp_path / 'd.v'}"], [])
    assert again.answers == first.answers and (tmp_path / "d.v").read_text() == first.code
    assert "$scope module u" in (tmp_path / "w.vcd").read_text()
    talk(tmp_path / "b.jsonl", list(lines_of(tmp_path / "a.jsonl")), [])
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    with pytest.raises(UsageError, match="another task"):
        Conversation(
            problem(instruction="x"),
            job("best-of"),
            Scripted(),
            tmp_path / "a.jsonl",
            effort=Effort(),
            tell=told.append,
        )


@pytest.mark.usefixtures("here")
def test_a_command_that_cannot_be_leaves_the_conversation_as_it_was(tmp_path: Path) -> None:
    asked = job("best-of", problems=1)
    with Conversation(
        asked.problems[0], asked, Scripted(), tmp_path / "a.jsonl", effort=Effort(), tell=str
    ) as open_one:
        open_one.begin()
        before = open_one.answers.copy()
        for line in ("/undo", "/save", "/simulate", "/auto many", "/waveform w.vcd no.v", "/write"):
            with pytest.raises((UsageError, DataError)):
                open_one.enter(line)
            assert open_one.answers == before
        assert open_one.enter("go on")
    assert len(talk(tmp_path / "a.jsonl", [], []).answers) == 2


class Failing(Scripted):
    """A server that is down for a while."""

    is_down = False

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        if self.is_down:
            raise ToolFailed("the server is down")
        return super().__call__(batch, settings)


@pytest.mark.usefixtures("here")
def test_a_line_is_in_the_transcript_only_once_it_has_had_its_effect(tmp_path: Path) -> None:
    out, bench, design = tmp_path / "a.jsonl", tmp_path / "tb.v", tmp_path / "my design.v"
    asked, backend = job("best-of", problems=1), Failing()
    with Conversation(asked.problems[0], asked, backend, out, effort=Effort(), tell=str) as open_one:
        open_one.begin()
        whole = out.read_bytes()
        backend.is_down = True
        bench.write_bytes(b"module tb; // \xff")
        for line in ("change it", "/auto", "/auto " + "9" * 5000, "/undo", f"/simulate {bench}", "/simulate none.v",
                     f"/save {out}", f"/waveform {out} {bench}", "/save 'x", f"/save {bench}/x"):  # fmt: skip
            with pytest.raises((UsageError, ToolFailed)):
                open_one.enter(line)
            assert out.read_bytes() == whole and len(open_one.answers) == 1
        backend.is_down = False
        assert open_one.enter("change it") and open_one.enter(f"/save '{design}'")
    assert design.read_text() == open_one.code
    bench.write_text("module tb; initial $finish; endmodule\n")  # what was refused before could be now
    again = talk(out, [], [])
    assert again.answers == open_one.answers and again.said == ["change it"]


@pytest.mark.usefixtures("here")
def test_a_replay_goes_on_where_it_was_stopped_and_leaves_out_what_has_no_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, played = tmp_path / "model", tmp_path / "played.jsonl"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(b"weights")
    recipe = build_recipe({"model": {"path": str(model)}, "sample": {"backend": f"{__name__}:open_scripted"}}, [])
    lines = ["/undo", "first", "second"]

    def play(out: Path, said: Sequence[str]) -> bytes:
        rows = [{"schema": "itertl.said/1", "role": "person", "text": line} for line in said]
        played.write_text("".join(json.dumps(row) + "\n" for row in rows))
        chat._talk(problem(), recipe, out, played, quiet=True)
        return out.read_bytes()

    whole = play(tmp_path / "whole.jsonl", lines)
    assert "/undo: there is one answer" in capsys.readouterr().err
    assert [s["text"] for s in map(json.loads, whole.splitlines()) if s["role"] == "person"] == lines[1:]
    out = tmp_path / "stopped.jsonl"
    for length in (3, 4, 5, len(whole.splitlines()) - 1):
        out.write_bytes(b"".join(whole.splitlines(keepends=True)[:length]) + b'{"schema": "itertl.s')
        assert play(out, lines) == whole
    assert play(out, lines) == whole  # nothing is said twice
    with pytest.raises(UsageError, match="other lines"):
        play(out, ["second"])


def test_a_file_that_is_not_a_transcript_is_left_alone(tmp_path: Path) -> None:
    for foreign in ("{}", '{"a": 1}\n', "notes\n"):
        (tmp_path / "x").write_text(foreign)
        with pytest.raises(UsageError, match="not a transcript"):
            check_transcript(tmp_path / "x")
        assert (tmp_path / "x").read_text() == foreign
    (tmp_path / "x").write_text('{"schema": "itertl.sa')  # torn as it was begun
    check_transcript(tmp_path / "x")
