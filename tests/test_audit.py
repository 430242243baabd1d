"""The audit against naive oracles, against planted faults, and against published flags on real pairs."""

import json
import random
import time
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from itertl.audit import audit as audit_module
from itertl.audit.audit import audit
from itertl.problems.load import load_problems
from itertl.problems.normalize import Vocabulary, code_tokens, longest_shared_run, words
from itertl.problems.overlap import Inverted, Likeness, components, containment, jaccard, near_links
from itertl.records import Problem, Verdict
from itertl.work.pool import Outcome


def problem(instruction: str, reference: str | None = None, name: str | None = None) -> Problem:
    return Problem.create(instruction=instruction, reference=reference, source="s", upstream_id=name)


def sentence(seed: int, length: int = 40) -> str:
    return " ".join(f"w{n}" for n in random.Random(seed).sample(range(10_000), length))


SETS = st.lists(st.frozensets(st.integers(0, 12), max_size=9), max_size=14)


@settings(deadline=None, max_examples=300)
@given(
    sets=SETS,
    threshold=st.sampled_from([0.2, 0.5, 2 / 3, 0.75, 0.8, 1.0]),
    likeness=st.sampled_from([jaccard, containment]),
)
def test_near_groups_equal_those_of_all_pairs(sets: list[frozenset[int]], threshold: float, likeness: Likeness) -> None:
    """Oracle: compare all pairs, then follow chains."""
    group = list(range(len(sets)))
    for a, b in combinations(range(len(sets)), 2):
        whole = len(sets[a] | sets[b]) if likeness is jaccard else min(len(sets[a]), len(sets[b]))
        if sets[a] and sets[b] and len(sets[a] & sets[b]) >= threshold * whole - 1e-9:
            group = [group[a] if g == group[b] else g for g in group]
    expected = sorted(sorted(i for i, g in enumerate(group) if g == root) for root in set(group))
    found = components(near_links(sets, threshold, likeness))
    assert [members for members, _ in found] == [members for members in expected if len(members) > 1]
    for members, weakest in found:
        assert threshold - 1e-9 <= weakest <= max(likeness(sets[a], sets[b]) for a, b in combinations(members, 2))


@settings(deadline=None)
@given(sets=SETS, asked=st.frozensets(st.integers(0, 12), max_size=9))
def test_inverted_index_equals_direct_counting(sets: list[frozenset[int]], asked: frozenset[int]) -> None:
    index = Inverted.of(sets)
    sharing = {n for n, grams in enumerate(sets) if grams & asked}
    assert index.jaccards(asked) == pytest.approx({n: len(sets[n] & asked) / len(sets[n] | asked) for n in sharing})
    expected = {n: len(sets[n] & asked) / min(len(sets[n]), len(asked)) for n in sharing}
    assert index.containments(asked) == pytest.approx(expected)


@settings(deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from("abc"), max_size=12), min_size=2, max_size=5), size=st.integers(1, 5))
def test_gram_numbers_stand_for_grams(texts: list[list[str]], size: int) -> None:
    """Hashed n-gram sets overlap exactly as the sets of tuples do."""
    vocabulary = Vocabulary()
    hashed = [vocabulary.grams(text, size) for text in texts]
    plain = [{tuple(t[i : i + min(size, len(t))]) for i in range(len(t) - min(size, len(t)) + 1)} - {()} for t in texts]
    for (h1, p1), (h2, p2) in combinations(zip(hashed, plain, strict=True), 2):
        assert len(h1) == len(p1) and len(h1 & h2) == len(p1 & p2)


def test_longest_shared_run() -> None:
    first, second = list("xabcdyabcz"), list("abcdqabc")
    assert longest_shared_run(first, second, 3) == "a b c d"
    assert longest_shared_run(first, second, 5) == "" == longest_shared_run([], second, 3)
    assert longest_shared_run(["a"], ["a"], 8) == "a"


def test_words_ignore_case_markup_and_split_scripts_without_spaces() -> None:
    assert words("A **4-bit** `shift_reg`, ÄÖ") == ["a", "4", "bit", "shift", "reg", "äö"]
    assert words("设计 mux") == ["设", "计", "mux"]


MUX = "module mux(input a, input b, input s, output y);\n  assign y = s ? a : b; // pick\nendmodule\n"
RENAMED = "module choose(input p, input q, input r, output z); assign z = r ? p : q; endmodule"


def test_planted_duplicates_are_found() -> None:
    long = (
        "module big(input [7:0] a, output reg [7:0] y);\n"
        + "".join(f"wire t{n} = a[{n}];\n" for n in range(30))
        + "endmodule\n"
    )
    rows = [
        problem(sentence(1), MUX, "p0"),
        problem(sentence(1).upper() + "!", long, "p1"),
        problem(sentence(2), MUX.replace("  assign", "assign").replace("// pick", "/* choose */"), "p2"),
        problem(sentence(3), RENAMED, "p3"),
        problem(sentence(3) + " more", long.replace("a[29]", "a[0]"), "p4"),
        problem(sentence(4), None, "p5"),
        problem(sentence(5), None, "p6"),
    ]
    report = audit(rows, check_tools=False)
    found = {(d.kind, tuple(str(m) for m in d.members)) for d in report.duplicates}
    assert found == {
        ("instruction", ("p0", "p1")), ("code", ("p0", "p2")), ("code after renaming", ("p0", "p2", "p3")),
        ("near instruction", ("p3", "p4")), ("near code", ("p1", "p4")),
    }  # fmt: skip
    assert report.with_reference == 5 and report.references_passed is None


def test_planted_contamination_is_found_with_its_evidence() -> None:
    task_text = sentence(7)
    task = Problem.create(instruction=task_text, reference=MUX, source="bench", upstream_id="Task1")
    rows = [
        problem(sentence(8) + " " + task_text + " " + sentence(9), None, "quoted"),
        problem(sentence(10), RENAMED, "renamed"),
        problem(sentence(11), MUX.replace("// pick", ""), "same"),
        problem(sentence(12), MUX.replace("endmodule", "endmodule : mux"), "near"),
        problem(" ".join(task_text.split()[:12]) + " " + sentence(13), "module k; endmodule", "part"),
    ]
    report = audit(rows, benchmarks=[task], check_tools=False)
    assert [(c.kind, str(c.problem)) for c in report.contamination] == [
        ("instruction", "quoted"), ("code after renaming", "renamed"), ("code", "same"), ("near code", "near"),
    ]  # fmt: skip
    assert {(c.benchmark, c.task) for c in report.contamination} == {("bench", "Task1")}
    assert report.contamination[0].value == 1.0 and report.contamination[0].evidence.removesuffix("…") in task_text
    assert "assign z" in report.contamination[1].evidence
    assert report.contaminated_ids == tuple(p.id for p in rows[:4])


def test_a_solution_is_found_in_prose_and_among_other_modules() -> None:
    solution = (
        "module walker(input clk, input [3:0] bump, output reg [3:0] at);\n"
        + "".join(f"always @(posedge clk) if (bump[{n}]) at[{n}] <= ~at[{(n + 1) % 4}];\n" for n in range(4))
        + "endmodule\n"
    )
    task = Problem.create(instruction=sentence(7), reference=solution, source="bench", upstream_id="Task1")
    top = "module top(input clk, output [3:0] at);\nwire [3:0] b = 4'd5;\nwalker w(clk, b, at);\nendmodule\n"
    rows = [
        problem(
            sentence(8),
            "Here is the design that you asked for. "
            + 40 * "It walks and turns where it must. "
            + f"\n```verilog\n{solution}```\nGood luck!",
            "prose",
        ),
        problem(sentence(9), top + 3 * top.replace("top", "other") + solution, "among"),
        problem(sentence(10), top, "neither"),
    ]
    report = audit(rows, benchmarks=[task], check_tools=False)
    assert [str(c.problem) for c in report.contamination] == ["prose", "among"]


def test_findings_name_file_and_line(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [(sentence(1), MUX), (sentence(2), MUX.replace("? a", "? missing")), (sentence(1), MUX), (sentence(4), MUX)]
    pairs.write_text("".join(json.dumps({"instruction": asked, "response": code}) + "\n" for asked, code in rows))
    loaded = load_problems(str(pairs), header="derive")
    assert loaded.dropped == [f"{pairs}:3: the same as {pairs}:1"]
    report = audit(loaded.problems, num_workers=1, places=loaded.places)
    assert str(report.bad_references[0].problem) == f"{pairs}:2"
    assert [str(m) for m in report.duplicates[0].members] == [f"{pairs}:1", f"{pairs}:4"]


def test_references_are_checked_by_slang_and_accounted_for() -> None:
    rows = [
        problem("a", MUX), problem("b", MUX), problem("c", MUX.replace("? a", "? missing")), problem("d", "module m("),
        problem("e", "Sure, here it is"), problem("f", None),
    ]  # fmt: skip
    report = audit(rows, num_workers=1)
    assert [b.verdict for b in report.bad_references] == [
        Verdict.ELABORATION_ERROR,
        Verdict.SYNTAX_ERROR,
        Verdict.NO_CODE,
    ]
    assert "missing" in report.bad_references[0].detail
    assert report.references_passed == 2
    assert 2 + len(report.bad_references) + sum(report.unjudged.values()) == report.with_reference == 5


def test_our_own_failures_are_not_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [(0, Outcome("crashed", detail="worker: killed by signal 11 (SIGSEGV)"))]
    monkeypatch.setattr(audit_module.engine, "map_unordered", lambda *_args, **_kwargs: iter(outcomes))
    report = audit([problem("a", MUX), problem("b", MUX)])
    assert report.bad_references == () and report.references_passed == 0
    assert report.unjudged == {"slang crashed: worker: killed by signal 11 (SIGSEGV)": 2}


def test_report_as_json_and_as_tables() -> None:
    rows = [problem(sentence(1) + "[red]", MUX, "[bold]x"), problem(sentence(2), MUX, None)]
    task = Problem.create(instruction=sentence(1), reference=None, source="bench", upstream_id="T[/]")
    report = audit(rows, benchmarks=[task], check_tools=False)
    value = json.loads(json.dumps(report.to_json()))
    assert value["summary"]["duplicates: code"] == 2 and value["summary"]["contaminated"] == 1
    assert value["contamination"][0]["problem"]["upstream_id"] == "[bold]x"
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(report.render())
    text = console.export_text()
    assert "[bold]x" in text and "bench/T[/]" in text and rows[1].id in text
    assert audit([], benchmarks=[task], check_tools=True).to_json()["summary"]["contaminated"] == 0


def test_what_was_not_looked_for_is_not_counted_as_none() -> None:
    report = audit([problem(sentence(1), MUX)], check_tools=False)
    value = report.to_json()
    missing = ["contaminated", "references that fail", "references unjudged"]
    assert [value["summary"][name] for name in missing] == [None] * 3 and value["contamination"] is None
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(report.render())
    text = console.export_text()
    assert "not compared (--benchmark NAME)" in text and "not checked (--tools)" in text
    assert "benchmark tasks" not in text


@pytest.mark.slow
def test_five_thousand_problems_of_one_template_take_seconds() -> None:
    """The worst usual case: a generator's problems, alike in nearly all n-grams."""
    body = "".join(f"  wire [7:0] t{n} = a ^ 8'd{n};\n" for n in range(5))
    rows = [
        problem(
            f"Design module {n} that adds a constant to its input and registers it on the rising edge",
            f"module m{n}(input clk, input [7:0] a, output reg [7:0] y);\n{body}always @(posedge clk) y <= a + "
            f"{n};\nendmodule\n",
        )
        for n in range(5000)
    ]
    start = time.process_time()
    report = audit(rows, check_tools=False)
    assert time.process_time() - start < 20
    assert [len(d.members) for d in report.duplicates if d.kind == "near code"] == [5000]


def verilog_eval(folder: Path) -> list[Problem]:
    found: list[Problem] = []
    for kind in ("human", "machine"):
        for line in (folder / f"verilogeval_v1_{kind}.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            found.append(
                Problem.create(
                    instruction=row["detail_description"], reference=row["prompt"] + row["canonical_solution"],
                    source=f"verilogeval_{kind}", upstream_id=row["task_id"],
                )
            )  # fmt: skip
    for path in (folder / "upstream/verilog-eval-v2/dataset_spec-to-rtl").glob("*_ref.sv"):
        name = path.name.removesuffix("_ref.sv")
        asked = path.with_name(f"{name}_prompt.txt").read_text(encoding="utf-8")
        found.append(
            Problem.create(
                instruction=asked,
                reference=path.read_text(encoding="utf-8"),
                source="verilogeval_v2_spec",
                upstream_id=name,
            )
        )
    return found


def test_published_flags_are_reproduced_on_real_pairs(shared_data: Path) -> None:
    """Every row that the published columns flag because of VerilogEval is flagged here; and few others are."""
    benchmarks = verilog_eval(shared_data)
    tasks = {f"{b.source}/{b.upstream_id}" for b in benchmarks}
    everything = {"compiles": "any", "bench_overlap_flag": "any"}
    problems = load_problems(str(shared_data / "train_pairs.jsonl"), filter=everything).problems
    theirs: set[str | None] = set()
    for line in (shared_data / "train_pairs.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        text = row["bench_text_nearest"] in tasks and row["bench_text_overlap"] >= 0.5
        code = row["bench_code_nearest"] in tasks and row["bench_code_jaccard"] >= 0.7
        if text or code or set(row["bench_code_alpha_equal"]) & tasks:
            theirs.add(row["id"])
    problems = [p for n, p in enumerate(problems) if p.upstream_id in theirs or n % 3 == 0]
    report = audit(problems, benchmarks=benchmarks, check_tools=False)
    ours = {c.problem.upstream_id for c in report.contamination}
    assert len(theirs) >= 20 and theirs <= ours
    extra = [c for c in report.contamination if c.problem.upstream_id not in theirs]
    assert (
        sum(c.kind in ("near code", "instruction") and c.value < 1 for c in extra) <= 3
    )  # the rest are equal after renaming
    assert len(ours) < 50


def test_distinct_real_pairs_are_mostly_distinct_in_code(shared_data: Path) -> None:
    """Exact groups by the audit equal a direct grouping by token list."""
    problems = load_problems(str(shared_data / "train_pairs.jsonl"), limit=300, seed=3).problems
    groups: dict[tuple[str, ...], list[str]] = {}
    for p in problems:
        groups.setdefault(tuple(code_tokens(p.reference or "")[0]), []).append(p.id)
    report = audit(problems, check_tools=False)
    found = [[m.id for m in d.members] for d in report.duplicates if d.kind == "code"]
    assert found == [g for g in groups.values() if len(g) > 1]
    order = [p.id for p in problems]
    assert all(order.index(a) < order.index(b) for group in found for a, b in pairwise(group))
