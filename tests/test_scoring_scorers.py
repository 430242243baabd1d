"""Each scorer on its own: published scores, a naive LCS, verdicts, odd text."""

import functools
import json
from collections.abc import Hashable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.config import ScoreConfig
from itertl.records import Fault, Verdict
from itertl.sandbox import sandbox
from itertl.scoring import compilation, rouge_l, rtlcoder, scorers, text_checks
from itertl.scoring.compilation import score as icarus_score
from itertl.scoring.item import ScoreItem
from itertl.scoring.rouge_l import rouge_l_f1

HEADER = "module m(input a, b, output y);\n"
REFERENCE = HEADER + "assign y = a & b;\nendmodule\n"


def item(code: str, header: str = HEADER, reference: str | None = REFERENCE, top: str | None = "m") -> ScoreItem:
    return ScoreItem(code, header, reference, top)


def naive_lcs(a: Sequence[object], b: Sequence[object]) -> int:
    @functools.cache
    def longest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    return longest(0, 0)


def lcs_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    return rouge_l_f1(a, b) * (len(a) + len(b)) / 2 if a or b else 0


few_letters = st.text("ab\u2028é\0\U0001f600", max_size=14)


@settings(deadline=None)
@given(few_letters, few_letters)
def test_lcs_of_texts_is_the_naive_one(a: str, b: str) -> None:
    assert lcs_length(a, b) == pytest.approx(naive_lcs(a, b))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["&", "|", "a", -1, -2, 2**61 - 1, 0]), max_size=12), st.lists(st.sampled_from(["&", "|", "b", -1, -2, 2**61 - 1, 0]), max_size=12))  # fmt: skip
def test_lcs_of_sequences_is_the_naive_one_also_where_hashes_collide(a: list[object], b: list[object]) -> None:
    assert hash(-1) == hash(-2) and hash(2**61 - 1) == hash(0)
    assert lcs_length(a, b) == pytest.approx(naive_lcs(a, b))  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.lists(st.integers(0, 3), max_size=20))
def test_rouge_l_is_symmetric_bounded_and_one_for_equal(a: list[int], b: list[int]) -> None:
    assert rouge_l_f1(a, b) == rouge_l_f1(b, a)
    assert 0 <= rouge_l_f1(a, b) <= 1
    assert rouge_l_f1(a, a) == 1


def test_rtlcoder_reproduces_all_published_scores(shared_data: Path) -> None:
    records = [json.loads(line) for line in (shared_data / "rtlcoder_scoring_sample.jsonl").read_text().splitlines()]
    published = [score for record in records for score in record["Score"][:-1]]
    ours = [
        rtlcoder.score(ScoreItem(response, record["Input"], record["Response"][-1])).value
        for record in records
        for response in record["Response"][:-1]
    ]
    assert len(ours) == 30
    assert ours == pytest.approx(published, abs=1e-9, rel=0)


def test_rtlcoder_by_hand() -> None:
    """c = "abXend" and r = "abYend" share a, b, e, n, d: z = 2·5 / (6 + 6)."""
    score = rtlcoder.score(ScoreItem("((abXend", "((", "((abYend"))
    assert (score.value, score.verdict) == (10 / 12, Verdict.NO_CODE)


def test_rtlcoder_cuts_by_length_also_where_the_header_is_not_the_beginning() -> None:
    """The candidate's own header has two characters more: they are what is left in front of its body."""
    longer = "module  m( input a, b, output y);\nendmodule"
    score = rtlcoder.score(item(longer))
    assert score.verdict is Verdict.SYNTAX_ERROR  # HEADER + ");\\nendmodule" is judged, not the candidate
    tail, reference = longer[len(HEADER) :], REFERENCE[len(HEADER) :]
    assert score.value == 2 * naive_lcs(tail, reference) / (len(tail) + len(reference))


@pytest.mark.parametrize(
    ("code", "header", "reference", "value", "verdict"),
    [
        (REFERENCE, HEADER, REFERENCE, 1.0, Verdict.PASSED),
        (HEADER + "endmodule", HEADER, REFERENCE, 1.0, Verdict.PASSED),  # what it is blind to
        (HEADER + "assign y = ;\nendmodule", HEADER, HEADER + "assign y = ;\nendmodule", 1.0, Verdict.SYNTAX_ERROR),
        ("", HEADER, REFERENCE, 0.0, Verdict.NO_CODE),
        ("", "", "", 1.0, Verdict.NO_CODE),  # the same text
        ("mod", HEADER, "rule", 0.0, Verdict.NO_CODE),  # both shorter than the header: nothing left to compare
        ("", "module m;\nendmodule\n", REFERENCE, 1.0, Verdict.PASSED),  # the skeleton itself parses
    ],
)
def test_rtlcoder_cases(code: str, header: str, reference: str, value: float, verdict: Verdict) -> None:
    score = rtlcoder.score(item(code, header, reference))
    assert (score.value, score.verdict) == (value, verdict)


@pytest.mark.parametrize("scorer", [rtlcoder.score, rouge_l.characters, rouge_l.tokens])
def test_without_a_reference_nothing_is_compared(scorer: object) -> None:
    score = scorer(item(REFERENCE, reference=None))  # type: ignore[operator]
    assert (score.value, score.verdict, score.detail) == (None, Verdict.UNJUDGEABLE, "no reference")


def test_token_likeness_sees_operators_and_not_layout() -> None:
    same = rouge_l.tokens(item("// one\n" + REFERENCE.replace(" ", "\n\t ")))
    other = rouge_l.tokens(item(REFERENCE.replace("&", "|")))
    assert same.value == 1
    assert other.value == 19 / 20  # module m ( input a , b , output y ) ; assign y = a & b ; endmodule


def test_character_likeness_by_hand() -> None:
    assert rouge_l.characters(item("abcd", reference="acde")).value == 2 * 3 / 8
    assert rouge_l.characters(item("", reference="acde")).value == 0
    assert rouge_l.characters(item("", reference="")).value == 1


VERDICTS = [
    (REFERENCE, "m", Verdict.PASSED, Verdict.PASSED),
    (REFERENCE, None, Verdict.PASSED, Verdict.PASSED),
    (REFERENCE, "top", Verdict.ELABORATION_ERROR, Verdict.COMPILE_ERROR),
    ("", "m", Verdict.NO_CODE, Verdict.NO_CODE),
    ("I cannot do that.", None, Verdict.NO_CODE, Verdict.NO_CODE),
    ("module m; assign endmodule", None, Verdict.SYNTAX_ERROR, Verdict.COMPILE_ERROR),
    ("module m; absent x(); endmodule", None, Verdict.ELABORATION_ERROR, Verdict.COMPILE_ERROR),
    (REFERENCE, "m -o/etc", Verdict.UNJUDGEABLE, Verdict.UNJUDGEABLE),
    (REFERENCE, "\ud800", Verdict.UNJUDGEABLE, Verdict.UNJUDGEABLE),
    ("module m; \0 \ud800 endmodule", None, Verdict.SYNTAX_ERROR, Verdict.COMPILE_ERROR),
]


@pytest.mark.parametrize(("code", "top", "by_slang", "by_icarus"), VERDICTS)
def test_syntax_and_icarus(code: str, top: str | None, by_slang: Verdict, by_icarus: Verdict) -> None:
    for scorer, verdict in ((text_checks.syntax, by_slang), (compilation.score, by_icarus)):
        score = scorer(item(code, top=top))
        assert score.verdict is verdict, score
        expected = None if verdict.fault is Fault.OURS else float(verdict is Verdict.PASSED)
        assert score.value == expected
        assert score.tool_version


@pytest.mark.parametrize(
    ("returncode", "stderr", "timed_out", "verdict"),
    [
        (0, "", False, Verdict.PASSED),
        (2, "design.v:1: syntax error", False, Verdict.COMPILE_ERROR),
        (-9, "", True, Verdict.TIMEOUT),
        (134, "terminate called: std::bad_alloc\nAborted", False, Verdict.TIMEOUT),
        (134, "ivl: net_func.cc: Assertion `0' failed.\nAborted", False, Verdict.UNDECIDED),
        (
            134,
            "design.v:1: error: part select d[-1:0] is out of order.\ndesign.v:1: assert: expr_synth.cc:102: failed "
            "assertion\nAborted",
            False,
            Verdict.COMPILE_ERROR,
        ),
        (-11, "", False, Verdict.UNDECIDED),
        (-9, "", False, Verdict.TOOL_FAILED),
    ],
)
def test_icarus_tells_the_texts_fault_from_its_own(
    returncode: int, stderr: str, timed_out: bool, verdict: Verdict
) -> None:
    assert compilation._judge(sandbox.Completed(returncode, "", stderr, timed_out, False, 0.1))[0] is verdict


@settings(deadline=None, max_examples=80)
@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=8))
def test_arbitrary_text_gets_a_score(code: str, reference: str, header: str) -> None:
    for scorer in (rtlcoder.score, text_checks.syntax, rouge_l.characters, rouge_l.tokens):
        if "`" in code + header:
            continue
        score = scorer(item(code, header, reference))
        assert score.value is not None and 0 <= score.value <= 1


def test_surrogates_and_nul_get_a_score() -> None:
    for code in (
        "\ud800",
        "module m; \udfff endmodule",
        "\0",
        "module m; // \0\nendmodule",
        "`\ud800",
        "\ufeff" + REFERENCE,
    ):
        for scorer in (rtlcoder.score, text_checks.syntax, rouge_l.characters, rouge_l.tokens, compilation.score):
            score = scorer(item(code))
            assert score.value is not None and 0 <= score.value <= 1


@pytest.mark.parametrize("count", [1, 130, 255, 256, 257])
def test_icarus_is_not_fooled_by_a_status_that_wraps_around(count: int) -> None:
    body = "\n".join(f"assign a{i} = b{i}.c;" for i in range(count))
    score = icarus_score(ScoreItem(code=f"module m;\n{body}\nendmodule\n", top="m"))
    assert (score.value, score.verdict) == (0.0, Verdict.COMPILE_ERROR)


def test_a_warning_that_speaks_of_an_error_signal_is_no_error() -> None:
    code = "module m(output reg error); initial error = 2'b111; wire [1:0] sorry = 9'h1ff; endmodule"
    assert icarus_score(ScoreItem(code=code, top="m")).verdict is Verdict.PASSED


def test_the_table_of_scorers_is_sound() -> None:
    order = list(scorers.SCORERS)
    for scorer in scorers.SCORERS.values():
        assert callable(scorers.get_scorer(scorer.name)) and scorers.version(scorer.name)
        named = {*scorer.repeats, *([scorer.refutes] if scorer.refutes else [])}
        assert named <= {*order}
        assert scorer.refutes is None or order.index(scorer.refutes) < order.index(scorer.name)
    assert ScoreConfig().optional == scorers.names_where(lambda scorer: scorer.may_stay_open)
    assert scorers.scorer_of("my.module:score") == scorers.Scorer("my.module:score", "my.module:score")
