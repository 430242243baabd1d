"""Pairs that a teacher writes: the stages and filters against scripted teachers and a naive oracle, budgets, kills, and
a server that fails in every way."""

import json
import os
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import itertl
from itertl.config import PromptConfig, Recipe, build_recipe
from itertl.errors import DataError, ToolFailed, UsageError
from itertl.model.prompts import EncodedPrompt, Turn, compose
from itertl.problems.load import load_problems
from itertl.problems.normalize import words
from itertl.records import FinishReason, Problem
from itertl.runs.storage import partial_of, read_records
from itertl.sampling.backend import Backend, Generation
from itertl.sampling.batching import SampleRequest
from itertl.scoring.engine import Effort
from itertl.writing import fields, prompts
from itertl.writing.describe import describe
from itertl.writing.draft import Draft, DroppedPair
from itertl.writing.filters import Texts, by_agreement
from itertl.writing.flow import Task, dropped_file
from itertl.writing.pool import read_pool
from itertl.writing.teacher import Budget
from itertl.writing.write import Plan, write
from test_sampling_api import FakeServer, Reply, answer, server  # noqa: F401

# text, header, body: exercises with nothing in common
EXERCISES = {
    "lamp": ("The lamp is lit while both switches are closed.", "input a, input b, output y", "assign y = a & b;"),
    "pulses": (
        "Count events with four bits; a synchronous reset clears them to zero at once.",
        "input clk, input reset, input seen, output reg [3:0] q",
        "always @(posedge clk) if (reset) q <= 0; else if (seen) q <= q + 1;",
    ),
    "swap": (
        "Exchange upper and lower half of one byte.", "input [7:0] d, output [7:0] z", "assign z = {d[3:0], d[7:4]};"
    ),
    "edge1": (
        "Signal every rising slope of an input for exactly a cycle.", "input clk, input reset, input s, output p",
        "reg o; always @(posedge clk) o <= reset ? 1'b1 : s; assign p = s & ~o;",
    ),
    "odd": ("Report whether an odd amount of wires carries a one.", "input [4:0] w, output r", "assign r = ^w;"),
    "clip": (
        "Numbers above nine become nine, all others pass.", "input [3:0] n, output [3:0] m", "assign m = n > 9 ? 4'd9 : n;"
    ),
    "never": ("Hold whatever arrived last when gate was raised.", "input g, input [1:0] v, output reg [1:0] h", "always @* if (g) h = v;"),
    "task9": ("Choose between two buses by one select line.", "input [3:0] p, input [3:0] q, input k, output [3:0] t", "assign t = k ? q : p;"),
}  # fmt: skip


def header(name: str) -> str:
    return f"module {name}({EXERCISES[name][1]});"


def code(name: str) -> str:
    return f"{header(name)}\n{EXERCISES[name][2]}\nendmodule\n"


def exercise(name: str) -> str:
    return f"Instruction: {EXERCISES[name][0]}\nInput:\n{header(name)}\n"


SCRIPT: dict[str, str | list[str]] = {}  # a question's name -> its answer, or answers
ASKED: list[tuple[str, int, str]] = []  # name, index, prompt
CUT = "…"  # ends a text that is cut off


class Scripted(Backend):
    """Answers by the script: by a question's name, else by what its prompt says."""

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        text = compose(problem, config).plain
        return EncodedPrompt(text, tuple(range(len(text) // 4)), "")

    def __call__(self, batch: Sequence[SampleRequest], settings: Any) -> list[Generation]:
        ASKED.extend((r.problem_id, r.index, r.prompt.text) for r in batch)
        found: list[Generation] = []
        for r in batch:
            said = SCRIPT.get(r.problem_id) or by_prompt(r.prompt.text)
            text = said if isinstance(said, str) else said[r.index]
            reason: FinishReason = "length" if text.endswith(CUT) else "stop"
            found.append(Generation(text.removesuffix(CUT), reason, tuple(range(len(text) // 4 + 1))))
        return found


def by_prompt(text: str) -> str:
    """The code of the exercise whose header stands in the prompt."""
    named = [name for name in EXERCISES if header(name) in text]
    return f"Sure.\n```verilog\n{code(named[-1])}```\n" if named else ""


def open_scripted(model: object, **options: Any) -> Scripted:
    return Scripted()


def recipe(**sample: Any) -> Recipe:
    given = {"backend": f"{__name__}:open_scripted", "batch_size": 12, **sample}
    return build_recipe({"model": {"path": "teacher"}, "sample": given, "score": {"num_workers": 1}})


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools pass everything: for tests of what comes before them."""

    def passed(drafts: Sequence[Draft], *_: Any) -> None:
        for draft in drafts:
            draft.passed += ["parse", "elaborate", "sound"]

    def accepted(drafts: Sequence[Draft], *_: Any) -> None:
        for draft in drafts:
            draft.passed.append("answer")

    monkeypatch.setattr("itertl.writing.write.by_tools", passed)
    monkeypatch.setattr("itertl.writing.write.by_header", accepted)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    SCRIPT.clear()
    ASKED.clear()
    monkeypatch.setenv("ITERTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher").mkdir()
    for name in ("config.json", "model.safetensors"):  # never loaded
        (tmp_path / "teacher" / name).write_text("{}")


BENCHMARK = [Problem.create(instruction="A mux.", header="", reference=code("task9"), source="bench", upstream_id="t9")]
ALIKE = "The lamp is lit while both switches are not closed."  # one word more than the first
WRITTEN: dict[str, str | list[str]] = {
    "keyword/0": exercise("lamp"),
    "keyword/1": exercise("lamp").replace("input b, output y", "input input, output output"),
    "keyword/2": exercise("odd").replace("[4:0]", "[WIDTH-1:0]"),
    "keyword/3": "Instruction: A design that has" + CUT,
    "keyword/4": f"Instruction: Do it.\nInput:\n{header('odd')}",
    "keyword/5": f"**Instruction:** {ALIKE}\n**Input:**\n```verilog\n{header('lamp')}\n```",
    "keyword/6": exercise("odd"),
    "keyword/6/answer": "It is a parity, and parities are easy.",
    "keyword/7": exercise("clip"),
    "keyword/7/answer": code("clip").replace("assign m =", "assign m == ;"),
    "keyword/8": exercise("edge1"),
    "keyword/8/answer": code("edge1").replace("& ~o", "& ~older"),
    "keyword/9": exercise("swap"),
    "keyword/9/answer": code("swap").replace("output [7:0] z", "output [6:0] z"),
    "keyword/10": exercise("never"),
    "keyword/11": exercise("task9"),
    "mutation/12": exercise("pulses"),
    "mutation/13": "<think>Instruction: no</think>Instruction: Two tanks: open the valve when either one is full.\n"
    "Input: module valve(input l, input r, output open);\nassign open = l;\nendmodule",
    "mutation/13/answer": "module valve(input l, input r, output open);\nassign open = l | r;\nendmodule",
}
FUNNEL = [  # step, reached, reasons
    ("answer", 14, {"the header does not parse": 1, "the header does not elaborate": 1, "cut off": 1}),
    ("length", 11, {"fewer than 4 words": 1}),
    ("duplicate", 10, {"8-grams": 1}),
    ("code", 9, {"no module": 1}),
    ("parse", 8, {"does not parse": 1}),
    ("elaborate", 7, {"does not elaborate": 1, "other ports than the header's": 1}),
    ("sound", 5, {"latch": 1}),
    ("overlap", 4, {"code of bench": 1}),
]


def test_the_stages_and_every_filter_in_its_order(tmp_path: Path) -> None:
    SCRIPT.update(WRITTEN)
    task = Task(recipe(), tmp_path / "w.jsonl", benchmarks=BENCHMARK, budget=Budget(price=(2.0, 8.0)))
    account, funnel = write(task, Plan(14, {"one": ["first"], "two": ["second", "third"]}))
    assert [(r["step"], r["reached"], r["reasons"]) for r in account["funnel"]] == FUNNEL
    assert all(
        r["left"] == r["reached"] - r["dropped"] == r["reached"] - sum(r["reasons"].values()) for r in funnel.rows()
    )
    rows, dropped = read_records(task.out, Problem), read_records(dropped_file(task.out), DroppedPair)
    assert [row.upstream_id for row in rows] == ["keyword/0", "mutation/12", "mutation/13"] and len(dropped) == 11
    assert rows[0].reference == code("lamp") and rows[0].header == header("lamp") and rows[0].source == "write:keyword"
    mutant = rows[2]
    assert mutant.header == "module valve(input l, input r, output open);"
    assert mutant.instruction == "Two tanks: open the valve when either one is full." and mutant.top == "valve"

    (parent,) = mutant.extra["written"]["parents"]
    texts = {d.name: d for d in dropped} | {str(row.upstream_id): row for row in rows}
    asked = {name: prompt for name, _, prompt in ASKED}
    assert texts[parent].instruction in asked["mutation/13"] and texts[parent].header in asked["mutation/13"]
    assert [asked[f"keyword/{n}"].count("Topic: first") for n in range(3)].count(1) == 1  # each keyword in its turn

    written = rows[0].extra["written"]
    assert written["passed"] == [step for step, _, _ in FUNNEL] and written["teacher"] == "teacher"
    assert written["form"] == "keyword" and written["sampling"]["temperature"] == 0.7 and len(written["seeds"]) == 2
    own = [prompt for name, _, prompt in ASKED if name.partition("/answer")[0] == "keyword/0"]
    assert written["cost"]["prompt_tokens"] == sum(len(prompt) // 4 for prompt in own)
    cost = account["cost"]
    assert cost["money"] == pytest.approx((2 * cost["prompt_tokens"] + 8 * cost["completion_tokens"]) / 1e6, abs=1e-6)
    assert account["answers"] == len(ASKED) == 14 + 9 and cost["prompt_tokens"] == sum(len(p) // 4 for _, _, p in ASKED)
    late = next(d for d in dropped if d.step == "elaborate" and d.reason.startswith("other"))
    assert late.detail == "port z: 7 bits, the reference has 8" and "[6:0] z" in late.code and len(late.texts) == 2
    assert not partial_of(task.out).exists()


def both(out: Path) -> bytes:
    return out.read_bytes() + dropped_file(out).read_bytes()


@pytest.mark.usefixtures("no_tools")
def test_a_killed_call_ends_in_the_same_bytes_and_asks_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SCRIPT.update(WRITTEN)
    plan = Plan(14, {"one": ["first"]})

    def call(name: str, at: str = "") -> int:
        child = os.fork()
        if child == 0:
            monkeypatch.setenv("ITERTL_KILL_AT", at)
            ASKED.clear()
            write(Task(recipe(), tmp_path / name), plan)
            (tmp_path / "asked").write_text(json.dumps(sorted({(i, n) for i, n, _ in ASKED})))
            os._exit(0)
        return os.waitpid(child, 0)[1]

    assert call("whole.jsonl") == 0
    every = json.loads((tmp_path / "asked").read_text())
    for point, saved in (("writing.batch:1", 12), ("writing.batch:3", 21)):  # batches of 12, 7, 2, 2
        name = f"{point[-1]}.jsonl"
        assert os.WTERMSIG(call(name, point)) == signal.SIGKILL
        assert not (tmp_path / name).exists()
        log = partial_of(tmp_path / name)
        log.write_bytes(log.read_bytes() + b'{"drawn": [["torn')
        assert call(name) == 0
        assert both(tmp_path / name) == both(tmp_path / "whole.jsonl")
        assert len(every) - len(json.loads((tmp_path / "asked").read_text())) == saved
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.usefixtures("no_tools")
def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    SCRIPT.update(WRITTEN)
    plan, out = Plan(14, {"one": ["first"]}), tmp_path / "w.jsonl"
    few = recipe(batch_size=2, max_new_tokens=120)
    spent: list[int] = []
    for tokens in (200, 2000, 4500):
        account, _ = write(Task(few, out, budget=Budget(tokens)), plan)
        spent.append(account["cost"]["prompt_tokens"] + account["cost"]["completion_tokens"])
        assert spent[-1] <= tokens and account["stopped_by_budget"] and partial_of(out).exists()
        assert account["not_begun"] + account["drafts"] == 14
        assert account["drafts"] == account["kept"] + len(read_records(dropped_file(out), DroppedPair))
        rows = read_records(out, Problem)
    assert 0 == spent[0] < spent[1] < spent[2] and spent[2] > 3500 and rows  # whole pairs before the end of the money
    before, bytes_before = len(ASKED), both(out)
    assert before == len({(name, index) for name, index, _ in ASKED})  # nothing was asked twice
    write(Task(few, out, budget=Budget(4500)), plan)
    assert len(ASKED) == before and both(out) == bytes_before
    account, _ = write(Task(few, out, budget=Budget(money=1.0, price=(1.0, 1.0))), plan)
    assert not account["stopped_by_budget"] and account["not_begun"] == 0 and not partial_of(out).exists()
    write(Task(few, tmp_path / "x.jsonl", budget=Budget(price=(1.0, 1.0))), plan)
    assert both(out) == both(tmp_path / "x.jsonl")
    for wrong in (
        lambda: Budget(money=1.0),
        lambda: Budget(tokens=0),
        lambda: Budget(money=float("nan"), price=(1, 1)),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_descriptions_are_kept_where_their_code_is_proven_equal_to_the_original(tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    folder.mkdir()
    bench = "module tb; reg a, b; wire y; lamp d(a, b, y); initial begin #1 $finish; end endmodule\n"
    (folder / "a.v").write_text(f"// SPDX-License-Identifier: MIT\n{code('lamp')}{bench}")
    (folder / "b.v").write_text(code("clip") + code("odd"))  # two designs in a file, no comment
    (folder / "c.v").write_text(code("never"))
    chosen = f"`ifdef FAST\n{code('swap')}`else\n{code('swap').replace('z', 'zz')}`endif\n"
    (tmp_path / "chosen.v").write_text(chosen)
    (one,) = load_problems(str(tmp_path / "chosen.v"), format="modules").problems
    assert one.top == "swap" and "".join((one.reference or "").split()) == "".join(chosen.split())
    loaded = load_problems(str(folder), format="modules")
    ids = {str(p.upstream_id): p.id for p in load_problems(str(folder), format="modules", header="derive").problems}
    assert list(ids) == ["a.v", "b.v:clip", "b.v:odd", "c.v"] and loaded.problems[0].licence == "MIT"
    for name, said in (("a.v", "lamp"), ("b.v:clip", "clip"), ("b.v:odd", "odd")):
        SCRIPT[f"detailed/{ids[name]}"] = EXERCISES[said][0]
        SCRIPT[f"high-level/{ids[name]}"] = (
            "Always the same nonsense: assign y = a;" if said == "odd" else f"Cut {said}{CUT}"
        )
    right = "module clip(input [3:0] n, output reg [3:0] m);\nalways @* begin m = n; if (n[3] & (n[2] | n[1])) m = 9; end\nendmodule"
    SCRIPT[f"detailed/{ids['b.v:clip']}/answer"] = [code("clip").replace("> 9", "> 8").replace("4'd9", "4'd8"), right]
    SCRIPT[f"detailed/{ids['b.v:odd']}/answer"] = [code("odd").replace("^w", "|w"), "none"]
    task = Task(recipe(), tmp_path / "d.jsonl", answers=2)
    account, _ = describe(task, [str(folder)], ("high-level", "detailed"))
    rows = {str(row.upstream_id): row for row in read_records(task.out, Problem)}
    assert {name: row.instruction for name, row in rows.items()} == {
        "a.v": EXERCISES["lamp"][0],
        "b.v:clip": EXERCISES["clip"][0],
    }
    assert rows["b.v:clip"].reference == code("clip") and rows["b.v:clip"].extra["written"]["right"] == [1, 2]
    assert (
        rows["a.v"].licence == "MIT"
        and rows["a.v"].source == "describe:rtl"
        and rows["a.v"].extra["written"]["level"] == "detailed"
    )
    reasons = {r["step"]: r["reasons"] for r in account["funnel"] if r["dropped"]}
    assert reasons == {
        "sound": {"latch": 2},
        "answer": {"cut off": 2, "shows code": 1},
        "round trip": {"another function": 1},
    }
    assert not any("never" in prompt for _, _, prompt in ASKED)  # nothing is paid for an unsound module
    with pytest.raises(DataError, match="no code to describe"):
        describe(task, [save(tmp_path / "none.jsonl", Problem.create(instruction="x", source="s"))], ("detailed",))


def save(path: Path, *problems: Problem) -> str:
    path.write_text("".join(p.to_line() + "\n" for p in problems))
    return str(path)


def test_more_than_half_of_several_answers_must_behave_alike() -> None:
    again = code("lamp").replace("a & b", "~(~a | ~b)")
    wrong, other = code("lamp").replace("a & b", "a | b"), code("lamp").replace("a & b", "a ^ b")
    broken = code("lamp").replace("a & b", "a & c")
    drafts = [
        Draft(f"d{n}", "keyword", header=header("lamp"), top="lamp", codes=codes)
        for n, codes in enumerate([[wrong, again, code("lamp")], [wrong, again, other], [broken], [wrong, again]])
    ]
    by_agreement(drafts, 3, Effort(num_workers=1))
    assert drafts[0].codes == [again] and drafts[0].about["agreement"] == [2, 3] and drafts[0].passed == ["agreement"]
    assert [d.dropped and d.dropped[1] for d in drafts[1:]] == [
        "the answers disagree",
        "no answer runs",
        "the answers disagree",
    ]


def lcs(a: list[str], b: list[str]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def naive(text: str, earlier: str) -> bool:
    """Rouge-L F1 above 0.7, or half of the 8-grams of the shorter; a text of fewer words is one n-gram."""
    a, b = words(text), words(earlier)
    grams = [{tuple(t[i : i + 8]) for i in range(max(1, len(t) - 7))} if t else set() for t in (a, b)]
    shared, least = len(grams[0] & grams[1]), min(map(len, grams))
    return bool(a and b and 2 * lcs(a, b) / (len(a) + len(b)) > 0.7) or (shared > 0 and shared >= 0.5 * least)


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=24), max_size=7))
def test_duplicates_are_those_of_the_naive_rule(texts: list[list[str]]) -> None:
    known, kept = Texts(), list[str]()
    for number, text in enumerate(map(" ".join, texts)):
        alike = next((n for n, other in enumerate(kept) if naive(text, other)), None)
        found = known.like(text)
        assert (found and found[0]) == (None if alike is None else str(alike)), (number, text, kept)
        if alike is None:
            known.add(str(len(kept)), text)
            kept.append(text)


H = "module a(\n  input x,\n  output y\n);"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"### Instruction\nDo it (input: x).\nInput: x is a bit\n\n### Module header:\n```verilog\n{H}\nassign y = x;\nendmodule\n```", ("Do it (input: x).\nInput: x is a bit", H)),
        (f"[INSTRUCTION] Now.\n[INPUT]\n{H} more", ("Now.", H)),
        (f"Sure!\n- **Instruction**: The module adder (of bits); adds.\n{H}", ("The module adder (of bits); adds.", H)),
        ("Instruction: Old.\nInput:\nmodule a(x, y);\ninput x;", "no module header with directions of its ports"),
        (f" Begun.\nInput:\n{H}\n\nTopic: b\nInstruction: More.\nInput:\nmodule b(output z);", ("Begun.", H)),
        (f"Instruction:\nInput:\n{H}", "no instruction"),
        (f"Instruction: Copy this: assign y = x; and no more.\nInput:\n{H}", "shows code"),
        ("<think>" + f"Instruction: x\nInput: {H}", "empty answer"),
    ],
)  # fmt: skip
def test_fields_are_read_as_they_are_meant(text: str, expected: tuple[str, str] | str) -> None:
    found = fields.exercise(text)
    assert (found if isinstance(found, str) else (found.instruction, found.header)) == expected


def test_a_description_is_what_stands_between_its_mark_and_the_next_module() -> None:
    said = "Here is a detailed description of it:\n\nIt copies.\n\nModule:\n```"
    assert fields.description(said) == ("It copies.", "")
    assert fields.description("Description: ``\nModule:\nIt copies.") == ("", "empty answer")


@pytest.mark.usefixtures("no_tools")
def test_the_pool_and_how_it_grows(tmp_path: Path) -> None:
    pool = read_pool()
    every = [tuple(words(one)) for listed in pool.values() for one in listed]
    assert len(set(every)) == len(every) >= 400 and len(pool) >= 20
    for form in (*(prompts.description(H, level, 1) for level in prompts.LEVELS), prompts.from_code(H, 5)):
        assert H in form.text and form.text.isascii()
    SCRIPT.update(
        {
            "grow/0/0": "1. First\n2) gear shift - it shifts\n* `valve timing`: x\nvalve-timing\n\nfour five",
            "keyword/0": "",
        }
    )
    account, _ = write(Task(recipe(), tmp_path / "w.jsonl"), Plan(1, {"one": ["first"]}, grow=3))
    grown = json.loads((tmp_path / "w.keywords.json").read_text())
    assert grown == {"one": ["first", "gear shift", "valve timing", "four five"]}
    assert account["keywords"] == 4 and account["keywords_added"] == 3
    for text in ("[]", "{}", '{"a": [1]}', '{"a": [" - "]}', "{"):
        (tmp_path / "own.json").write_text(text)
        with pytest.raises(DataError, match=r"own\.json: "):
            read_pool(tmp_path / "own.json")


@pytest.mark.usefixtures("no_tools")
def test_code_gives_ideas_and_a_benchmark_never(tmp_path: Path) -> None:
    own = save(
        tmp_path / "own.jsonl", Problem.create(instruction="i", reference=code("clip"), source="mine", licence="MIT")
    )
    SCRIPT["code/1"] = exercise("swap")
    write(Task(recipe(), tmp_path / "w.jsonl"), Plan(2, {"one": ["first"]}, (own,)))
    (row,) = read_records(tmp_path / "w.jsonl", Problem)
    assert row.source == "write:code" and row.extra["written"]["of_licence"] == "MIT"
    assert code("clip").strip() in next(prompt for name, _, prompt in ASKED if name == "code/1")
    judged = save(tmp_path / "b.jsonl", Problem.create(instruction="i", reference=code("odd"), source="rtllm-1.1"))
    with pytest.raises(DataError, match="is a benchmark"):
        write(Task(recipe(), tmp_path / "x.jsonl"), Plan(2, {"one": ["first"]}, (judged,)))


# ---- a server ------------------------------------------------------------------------------------------------------


def served(asked: Any) -> str:
    """What a sound server says: an exercise for each keyword, and its code."""
    text = asked.body["messages"][-1]["content"]
    named = re.findall(r"Topic: (\w+)", text)
    return exercise(named[-1]) if named else by_prompt(text)


def api(at: FakeServer, **more: Any) -> Recipe:
    options = {"base_url": at.url, "served_model": "served-one", "max_retries": 1, **more}
    return build_recipe(
        {
            "model": {"path": "openai:served-one"},
            "sample": {"backend": "openai", "options": options},
            "score": {"num_workers": 1},
        }
    )


POOL = {"all": ["lamp", "pulses", "swap"]}
USAGE = {"prompt_tokens": 50, "completion_tokens": 7}


@pytest.mark.usefixtures("no_tools")
def test_a_server_that_fails_for_a_while_is_asked_again(server: FakeServer, tmp_path: Path) -> None:  # noqa: F811
    failures: Callable[[int], Reply] = [
        lambda count: Reply(429, headers={"retry-after": "0"}), lambda count: Reply(500), lambda count: Reply(body="{torn"),
        lambda count: Reply(body={"choices": []}), lambda count: Reply(drop=True),
    ].__getitem__  # fmt: skip
    seen: list[Any] = []

    def reply(asked: Any, count: int) -> Reply:
        if count == 1:
            seen.append(asked)
            return failures(len(seen) % 5)(count)
        return Reply(body={**answer(served(asked)), "usage": USAGE})

    server.reply = reply
    account, _ = write(Task(api(server), tmp_path / "w.jsonl"), Plan(3, POOL, mutate=0))
    assert account["kept"] == 3 and account["cost"] == {"prompt_tokens": 300, "completion_tokens": 42, "money": None}
    row = read_records(tmp_path / "w.jsonl", Problem)[0]
    assert (
        row.extra["written"]["teacher"] == "openai:served-one"
        and row.extra["written"]["teacher_policy"] == "served-one"
    )
    write(Task(api(server), tmp_path / "x.jsonl"), Plan(3, POOL, mutate=0))
    assert both(tmp_path / "w.jsonl") == both(tmp_path / "x.jsonl")


@pytest.mark.usefixtures("no_tools")
def test_what_a_server_leaves_out_is_asked_for_by_the_next_call(server: FakeServer, tmp_path: Path) -> None:  # noqa: F811
    task, plan = Task(api(server), tmp_path / "w.jsonl"), Plan(3, POOL, mutate=0)
    server.reply = lambda asked, count: (
        Reply(503) if "Topic: swap" in str(asked.body) else Reply(body=answer(served(asked)))
    )
    with pytest.raises(ToolFailed, match="1 of 3 requests failed"):
        write(task, plan)
    assert partial_of(task.out).exists() and not task.out.exists()
    server.reply = lambda asked, count: Reply(body=answer(served(asked)))
    before = len(server.asked)
    account, _ = write(task, plan)
    assert len(server.asked) - before == 1 + 3 and account["kept"] == 3
    assert account["cost"]["estimated_answers"] == 6 and account["cost"]["prompt_tokens"] > 6 * 30
    server.reply = lambda asked, count: Reply(401)
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        write(Task(api(server), tmp_path / "x.jsonl"), plan)


@pytest.mark.usefixtures("no_tools")
def test_odd_answers_of_a_server_are_dropped_with_their_reason(server: FakeServer, tmp_path: Path) -> None:  # noqa: F811
    texts = {
        "lamp": answer(f"{exercise('lamp')} and so on", "length"), "pulses": answer("Instruction: One that", "length"),
        "swap": answer(None), "odd": answer("No fields at all."), "clip": answer(exercise("clip")),
        "never": answer(json.dumps({"Instruction": "as JSON"})), "edge1": answer(exercise("edge1")),
    }  # fmt: skip
    codes = {
        "lamp": answer(f"{code('lamp')}It is an and, beca", "length"),
        "clip": answer(f"{header('clip')}\nassign m", "length"),
        "edge1": answer(""),
    }

    def reply(asked: Any, count: int) -> Reply:
        text = asked.body["messages"][-1]["content"]
        named = re.findall(r"Topic: (\w+)", text)
        name = named[-1] if named else next(n for n in codes if header(n) in text)
        return Reply(body=(texts if named else codes)[name])

    server.reply = reply
    account, _ = write(Task(api(server), tmp_path / "w.jsonl"), Plan(7, {"all": list(texts)}, mutate=0))
    reasons = {r["step"]: r["reasons"] for r in account["funnel"] if r["dropped"]}
    lacks = "no module header with directions of its ports"
    assert reasons == {"answer": {lacks: 2, "cut off": 1, "empty answer": 1}, "code": {"cut off": 1, "empty answer": 1}}
    assert account["kept"] == 1  # whole, though what follows it is cut


@pytest.mark.usefixtures("no_tools")
def test_the_commands(server: FakeServer, tmp_path: Path) -> None:  # noqa: F811
    server.reply = lambda asked, count: Reply(body=answer(served(asked)))
    (tmp_path / "pool.json").write_text(json.dumps(POOL))
    teacher = ("--teacher", "openai:served-one", "--base-url", server.url)
    line = [
        "data",
        "write",
        *teacher,
        "--keywords",
        "pool.json",
        "--count",
        "2",
        "--mutate",
        "0",
        "score.num_workers=1",
    ]
    done = itertl(*line, "--price", "1,2", "--json", cwd=tmp_path)
    account = json.loads(done.stdout)
    assert done.returncode == 0 and account["kept"] == 2 and account["cost"]["money"] > 0
    done = itertl(*line, "--budget-tokens", "900", cwd=tmp_path)
    assert done.returncode == 0 and "elaborate" in done.stdout and "the budget ended it" in done.stdout
    (tmp_path / "lamp.v").write_text(code("lamp"))
    server.reply = lambda asked, count: Reply(
        body=answer(
            by_prompt(text)
            if "Description:" not in (text := str(asked.body["messages"][-1]["content"]))
            else EXERCISES["lamp"][0]
        )
    )
    done = itertl(
        "data",
        "describe",
        "lamp.v",
        *teacher,
        "--level",
        "detailed",
        "--json",
        "score.num_workers=1",
        "seed=3",
        cwd=tmp_path,
    )
    assert json.loads(done.stdout)["kept"] == 1, done.stderr
    for words_, said in (
        (["write"], "name the teacher"), (["write", *teacher, "--budget-money", "1"], "--price"),
        (["write", *teacher, "--price", "1"], "--price 1"), (["write", *teacher, "--mutate", "1"], "--mutate 1"),
        (["write", *teacher, "--answers", "3", "sample.temperature=0"], "temperature 0 draws the same answer 3 times"),
        (["describe", "lamp.v", *teacher, "--level", "deep"], "--level deep"), (["describe", "seed=1", *teacher], "give the code"),
        (["describe", "nowhere.v", *teacher], "nowhere.v"), (["write", *teacher, "--benchmark", "rtlm-1.1"], "rtllm-1.1"),
    ):  # fmt: skip
        done = itertl("data", *words_, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
