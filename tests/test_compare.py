"""The comparison of two result files: its tests against enumeration, its intervals, and what it refuses."""

import dataclasses
import itertools
import json
import os
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from itertl.errors import DataError
from itertl.evaluation.compare import ResultFile, compare, read_results
from itertl.evaluation.passk import exact_pass_at_k, pass_at_k
from itertl.evaluation.significance import mcnemar, sign_flip
from itertl.evaluation.summary import require_one_kind
from itertl.evaluation.terminal import p_value, show_comparison
from itertl.records import EvalRow, Fault, Verdict
from itertl.runs.storage import write_records

PASS, FAIL, OURS = Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.TOOL_FAILED


def row(task: str, index: int, verdict: Verdict, **fields: object) -> EvalRow:
    base: dict[str, object] = {
        "task_id": task, "index": index, "verdict": verdict,
        "passed": None if verdict.fault is Fault.OURS else verdict is PASS,
        "completion_hash": "0", "benchmark": "tiny 1", "simulator": "Icarus Verilog 11.0", "rule": "strict",
        "sandbox": "landlock",
    }  # fmt: skip
    return EvalRow.model_validate({**base, **fields})


def results(*problems: Sequence[Verdict], name: str = "a.jsonl", **fields: object) -> ResultFile:
    """Problems t0, t1 … with their samples' verdicts."""
    rows = [row(f"t{p}", i, verdict, **fields) for p, each in enumerate(problems) for i, verdict in enumerate(each)]
    return ResultFile(Path(name), tuple(rows))


def shares(*counts: tuple[int, int], name: str = "a.jsonl") -> ResultFile:
    """Problems with (n, c)."""
    return results(*([PASS] * c + [FAIL] * (n - c) for n, c in counts), name=name)


def enumerated(deltas: Sequence[Fraction]) -> Fraction:
    """Oracle: the share of all 2^m sign patterns whose sum is at least as far from zero."""
    observed = abs(sum(deltas))
    patterns = list(itertools.product((1, -1), repeat=len(deltas)))
    far = sum(abs(sum(s * d for s, d in zip(signs, deltas, strict=True))) >= observed for signs in patterns)
    return Fraction(far, len(patterns))


DELTAS = st.lists(st.fractions(-1, 1, max_denominator=12), max_size=9)


# --- the tests


def test_sign_flip_by_hand() -> None:
    """Differences 1, 1, 1, -1: sum 2. Of 16 patterns the sum is ±4 in 2 and ±2 in 8, so p = 10/16."""
    assert sign_flip([Fraction(d) for d in (1, 1, 1, -1)], seed=0).p_value == 10 / 16
    assert sign_flip([Fraction(1)] * 6 + [Fraction(0)] * 50, seed=0).p_value == 2 / 64
    assert sign_flip([Fraction(0)] * 5, seed=0).p_value == 1 and sign_flip([], seed=0).p_value == 1


@given(DELTAS)
@settings(deadline=None, max_examples=80)
def test_exact_sign_flip_equals_enumeration(deltas: list[Fraction]) -> None:
    found = sign_flip(deltas, seed=0)
    assert found.draws is None
    assert found.p_value == pytest.approx(float(enumerated(deltas)), abs=1e-12)
    assert sign_flip([-delta for delta in deltas], seed=0) == found


@given(DELTAS, st.integers(0, 2**30))
@settings(deadline=None, max_examples=15)
def test_monte_carlo_agrees_with_enumeration(deltas: list[Fraction], seed: int) -> None:
    """20,000 draws: a standard error of at most 0.0036, so 0.02 is more than five of them."""
    found = sign_flip(deltas, seed=seed, exact_problems=0, exact_sums=0)
    assert found == sign_flip(deltas, seed=seed, exact_problems=0, exact_sums=0)
    exact = float(enumerated(deltas))
    if any(deltas):
        assert found.draws == 20_000 and found.p_value >= 1 / 20_001
    assert found.p_value == pytest.approx(exact, abs=0.02)


def test_monte_carlo_is_never_zero() -> None:
    found = sign_flip([Fraction(1)] * 40, seed=1, exact_sums=0, draws=999)
    assert (found.p_value, found.draws) == (1 / 1000, 999)


def test_numbers_too_large_for_a_machine_word_are_exact() -> None:
    """pass@10 of 200 samples has a denominator of up to C(200, 10), 55 bits; several together have no bound."""
    huge = [Fraction(sign, 2**70 + i) for i, sign in enumerate((1, 1, -1, 1, 1))]
    assert sign_flip(huge, seed=0).p_value == float(enumerated(huge))
    drawn = sign_flip(huge, seed=0, exact_problems=0, exact_sums=0)
    assert drawn.draws is not None and drawn.p_value == pytest.approx(float(enumerated(huge)), abs=0.02)


@given(st.integers(0, 30), st.integers(0, 30))
@settings(deadline=None, max_examples=60)
def test_mcnemar_is_the_sign_flip_of_ones(only_a: int, only_b: int) -> None:
    """Both are exact, so the two roads must meet: the binomial tail, and the distribution of sums of ±1."""
    flipped = sign_flip([Fraction(1)] * only_b + [Fraction(-1)] * only_a, seed=0)
    assert flipped.draws is None
    assert mcnemar(only_a, only_b) == pytest.approx(flipped.p_value, abs=1e-12)


def test_mcnemar_by_hand() -> None:
    """1 against 5: 2·(1 + 6)/64 = 14/64. Even splits, and nothing at all, say nothing: p = 1."""
    assert mcnemar(1, 5) == mcnemar(5, 1) == 14 / 64
    assert mcnemar(4, 4) == mcnemar(0, 0) == 1


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_exact_rate_rounds_to_the_estimator(case: tuple[int, int, int]) -> None:
    assert float(exact_pass_at_k(*case)) == pass_at_k(*case)


def test_null_is_rejected_about_as_often_as_alpha() -> None:
    """400 pairs of equal policies, 30 problems of their own difficulty, 5 samples: at 5%, 20 rejections, and 4.4 is one
    standard deviation. The test is discrete, so it may reject a little less often."""
    rng = random.Random(7)
    rejected = 0
    for _ in range(400):
        rates = [rng.random() for _ in range(30)]
        deltas = [
            Fraction(sum(rng.random() < r for _ in range(5)) - sum(rng.random() < r for _ in range(5)), 5)
            for r in rates
        ]
        rejected += sign_flip(deltas, seed=0).p_value <= 0.05
    assert 6 <= rejected <= 34


def test_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    """200 draws of 40 problems whose true mean difference is 0.2: a 95% interval should miss about 10 times."""
    rng = random.Random(3)
    missed = 0
    for _ in range(200):
        pairs = [(rng.random() < 0.3, rng.random() < 0.5) for _ in range(40)]
        a, b = (results(*([PASS] if pair[i] else [FAIL] for pair in pairs)) for i in (0, 1))
        found = compare(a, b, ks=(1,)).differences[0]
        assert found.low is not None and found.high is not None
        missed += not found.low <= 0.2 <= found.high
    assert 2 <= missed <= 24


# --- the comparison


def test_comparison_by_hand() -> None:
    """c/n 2/4, 0/4, 4/4 against 4/4, 1/4, 4/4: pass@1 0.5 and 0.75; differences 0.5, 0.25, 0, so p = 2/4.

    pass@2 is 1 - C(n-c, 2)/C(4, 2): 5/6, 0, 1 against 1, 1/2, 1. There are four samples, so pass@5 is unknown.
    """
    found = compare(shares((4, 2), (4, 0), (4, 4)), shares((4, 4), (4, 1), (4, 4), name="b"), ks=(1, 2, 5))
    one, two, five = found.differences
    assert (one.a, one.b, one.difference, one.p_value, one.draws) == (0.5, 0.75, 0.25, 0.5, None)
    assert (two.a, two.b) == (pytest.approx(11 / 18), pytest.approx(5 / 6))
    assert (five.k, five.problems, five.a, five.p_value) == (5, 3, None, None)
    assert [(flip.task_id, flip.a, flip.b, flip.difference) for flip in found.flips] == [
        ("t0", (4, 2), (4, 4), 0.5), ("t1", (4, 0), (4, 1), 0.25),
    ]  # fmt: skip
    assert found.mcnemar is None and found.warnings == () and found.problems == 3
    assert json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))["differences"][2]["difference"] is None


def test_against_itself_there_is_no_difference() -> None:
    one = shares(*((10, c) for c in range(11)))
    found = compare(one, one)
    assert [(d.difference, d.low, d.high, d.p_value) for d in found.differences] == [(0, 0, 0, 1)] * 3
    assert found.flips == found.warnings == ()


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
@settings(deadline=None, max_examples=40)
def test_swapping_the_sides_turns_the_sign(pairs: list[tuple[int, int]]) -> None:
    a, b = (shares(*((6, pair[i]) for pair in pairs)) for i in (0, 1))
    forth, back = compare(a, b, ks=(1, 5)), compare(b, a, ks=(1, 5))
    for x, y in zip(forth.differences, back.differences, strict=True):
        assert x.difference is not None and y.difference is not None and x.low is not None and y.high is not None
        assert x.difference == -y.difference and x.p_value == y.p_value and x.low == pytest.approx(-y.high)
        assert x.low - 1e-12 <= x.difference <= -(y.low or 0.0) + 1e-12
    assert {flip.task_id for flip in forth.flips} == {flip.task_id for flip in back.flips}


def test_one_sample_a_problem_has_mcnemar() -> None:
    found = compare(results([PASS], [FAIL], [FAIL], [PASS]), results([FAIL], [PASS], [PASS], [PASS], name="b"))
    assert found.mcnemar is not None
    assert (found.mcnemar.only_a, found.mcnemar.only_b, found.mcnemar.p_value) == (1, 2, 1.0)
    assert found.differences[0].p_value == found.mcnemar.p_value


def test_what_could_not_be_judged_is_left_out_and_said() -> None:
    """t1 is unjudged in B, t2 has one of two samples left there; t3 is not in B at all."""
    a = results([PASS, FAIL], [PASS, PASS], [FAIL, FAIL], [PASS, PASS])
    b = results([PASS, PASS], [OURS, OURS], [OURS, PASS], name="b")
    found = compare(a, b, ks=(1, 2))
    assert [d.problems for d in found.differences] == [2, 1]  # our fault left t2 with one: it leaves pass@2, alone
    assert found.differences[1].b == 1.0
    assert found.only_a == ("t1", "t3") and found.only_b == ()
    said = " ".join(found.warnings)
    assert (
        "problems judged in A alone, and left out: 2 (t1, t3)" in said
        and "3 of 6 completions of B could not be judged" in said
    )
    assert "numbers of judged samples differ" in said


def test_judges_that_differ_are_said() -> None:
    b = results([PASS], name="b", rule="upstream", simulator="Icarus Verilog 12.0", sandbox="", temperature=0.2)
    said = compare(results([PASS]), b).warnings
    assert [what.partition(" differ")[0] for what in said] == ["verdict rule", "simulator", "sandbox", "temperatures"]
    assert "A strict, B upstream" in said[0] and "B not recorded" in said[2]


def test_two_simulators_in_one_file_are_both_named() -> None:
    mixed = ResultFile(Path("m"), (row("a", 0, PASS), row("b", 0, FAIL, simulator="Verilator 5.38"), row("c", 0, PASS)))
    assert compare(mixed, mixed).a.simulator == "Icarus Verilog 11.0 + Verilator 5.38"


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match=r"is of tiny 1, .* of tiny 2"):
        compare(results([PASS]), results([PASS], benchmark="tiny 2"))
    with pytest.raises(DataError, match="no problem that both judged"):
        compare(results([PASS], [OURS]), results([OURS], [PASS]))


# --- files


def test_files_and_folders(tmp_path: Path) -> None:
    mine = results([PASS, FAIL], temperature=0.5)
    write_records(tmp_path / "out/results.jsonl", mine.rows)
    write_records(tmp_path / "run/eval-tiny.jsonl", mine.rows)
    assert read_results(tmp_path / "out").rows == read_results(tmp_path / "run").rows == mine.rows
    assert read_results(tmp_path / "run", [0.5, 0.8]).rows == mine.rows
    with pytest.raises(DataError, match=r"no verdicts at that temperature; it has: 0\.5"):
        read_results(tmp_path / "run", [0.8])
    write_records(tmp_path / "run/eval-other.jsonl", mine.rows)
    with pytest.raises(DataError, match=r"holds eval-other\.jsonl, eval-tiny\.jsonl; give one"):
        read_results(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no results\.jsonl"):
        read_results(tmp_path / "empty")
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path / "absent.jsonl")


def test_malformed_files(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    for rows, message in (
        ((), "holds no verdicts"),
        ((row("a", 0, PASS), row("b", 0, PASS, rule="upstream")), "rule strict; tiny 1, rule upstream"),
        ((row("a", 0, PASS), row("b", 0, PASS, benchmark="other 1")), "cannot be summarized as tiny 1"),
        ((row("a", 3, PASS), row("a", 3, FAIL)), "sample 3 of 'a' comes 2 times"),
    ):
        write_records(path, rows)
        with pytest.raises(DataError, match=message):
            read_results(path)
    path.write_text('{"task_id": "a", "completion": "b"}\n')
    with pytest.raises(DataError, match=r"r\.jsonl:1: schema"):
        read_results(path)


def test_one_index_at_two_temperatures_is_two_samples(tmp_path: Path) -> None:
    rows = [row("a", 0, PASS, temperature=t) for t in (0.0, 0.8)]
    write_records(tmp_path / "r.jsonl", rows)
    found = read_results(tmp_path / "r.jsonl")
    assert any("temperatures 0, 0.8 are pooled" in warning for warning in compare(found, found).warnings)


# --- the terminal


def shown(table: object, width: int = 100) -> str:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        console = Console(width=width, record=True, file=nowhere)
        console.print(table)
    return console.export_text()


def test_terminal_shows_warnings_differences_and_flips() -> None:
    a = ResultFile(
        Path("[red]a"),
        (row("t0", 0, FAIL), row("t1", 0, PASS), row("t2", 0, Verdict.GAMED, detail="system-task: $fopen at line 3")),
    )
    b = results([PASS], [PASS], [FAIL], name="b\x1b[31m", rule="upstream")
    out = shown(show_comparison(compare(a, b)))
    for expected in (
        "warning: verdict rule differs",
        "33.3",
        "66.7",
        "+33.3 [+0.0, +100.0]",
        "1.000",
        "pass@5",
        "–",
        "B does better on 1 problem: t0",
        "system-task 1",
        "[red]a",
        "McNemar",
    ):
        assert expected in out, out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.000"), (0.0412, "0.041"), (0.00123, "0.0012"), (1e-9, "< 0.0001")]
)
def test_p_values_are_never_zero(value: float, text: str) -> None:
    assert p_value(value) == text


def test_answers_that_were_searched_for_with_the_reference_are_marked() -> None:
    plain, searched = results([PASS], [FAIL]), results([PASS], [PASS], strategy="repair", feedback="reference")
    said = compare(plain, searched).warnings
    assert len(said) == 1 and "of B were searched for (repair) with the problems' references in sight" in said[0]
    assert compare(searched, searched).warnings == ()
    assert compare(plain, results([PASS], [FAIL], strategy="cluster", feedback="compiler")).warnings == ()
    with pytest.raises(DataError, match="saw the reference"):
        require_one_kind([*plain.rows, *searched.rows], "tiny 1")


def test_examples_in_the_prompts_of_one_side_are_told() -> None:
    plain, shown = results([PASS], [FAIL]), results([PASS], [PASS], examples="2 by bm25 of pool.jsonl 1a2b3c4d")
    (said,) = compare(plain, shown).warnings
    assert "examples" in said and "A none, B 2 by bm25 of pool.jsonl 1a2b3c4d" in said
    assert compare(shown, shown).warnings == ()
