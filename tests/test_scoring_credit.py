"""Partial credit of ``vectors``: against a naive oracle, its properties, and its order on designs that run in
real tools."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itertl.scoring.interface import Interface, Port
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors import credit, outcome, testbench
from itertl.scoring.vectors.oracle import ReferenceRun
from itertl.scoring.vectors.score import score
from itertl.scoring.vectors.stimulus import Stimulus

INPUTS = (Port("a", "input", 2, False), Port("b", "input", 1, False))
OUTPUTS = (Port("y", "output", 2, False), Port("z", "output", 1, False))


def run_of(words: Sequence[int], outputs: Sequence[str], compared: Sequence[bool]) -> ReferenceRun:
    """A run without a clock; ``z`` is the first character of a sample."""
    seen = Interface((), (), (), False, False, (), "m", (*INPUTS, *OUTPUTS), ())
    stimulus = Stimulus(tuple(words), tuple(compared))
    return ReferenceRun(
        {}, seen, stimulus, testbench.prepare(stimulus, seen), tuple(outputs), outcome.expect(outputs, compared)
    )


def naive(run: ReferenceRun, got: Sequence[str]) -> float:
    """The module's docstring, in loops."""
    rows = [
        (e, g, w)
        for e, g, w, c in zip(run.outputs, got, run.stimulus.words, run.stimulus.is_compared, strict=True)
        if c
    ]
    if not any({"0", "1"} <= {g[n] for _, g, _ in rows} for n in range(3)):
        return 0.0

    def fits(want: str, have: str) -> bool:
        return all(e not in "01" or e == g for e, g in zip(want, have, strict=True))

    def part(cut: slice, echoes: Sequence[Callable[[int], str]]) -> tuple[int, int, float]:
        """(right, known, guessed right) among the words that a slice of the samples is."""
        some = [(e[cut], g[cut], w) for e, g, w in rows if any(c in "01" for c in e[cut])]
        constant = max((sum(e == word for e, _, _ in some) for word in {e for e, _, _ in some}), default=0)
        counts = [sum(fits(e, echo(w)) for e, _, w in some) for echo in echoes]
        echo = max((c for c in counts if c < len(some)), default=0)
        return sum(fits(e, g) for e, g, _ in some), len(some), max(constant, min(echo, (constant + len(some)) / 2))

    def above(right: int, known: int, guess: float) -> float:
        if right == known:
            return 1.0
        return max(0.0, right - guess) / (known - guess) if known > guess else 0.0

    echoes: list[Callable[[int], str]] = [
        lambda w, n=n, flip=flip: str((w >> n & 1) ^ flip) for n in range(3) for flip in (0, 1)
    ]
    bits = [part(slice(n, n + 1), echoes) for n in range(3)]
    words = part(slice(1, 3), [lambda w: f"{w & 3:02b}"])
    both = (bits[1][0] + bits[2][0], bits[1][1] + bits[2][1], bits[1][2] + bits[2][2])
    own = [above(*bits[0])] if bits[0][1] > bits[0][2] else []  # an output that does not move does not count
    own += [(above(*both) + above(*words)) / 2] if both[1] > both[2] else []
    steps = part(slice(0, 3), [])
    return 0.5 * above(*steps) + 0.35 * sum(own) / max(1, len(own)) + 0.15 * steps[0] / steps[1]


@st.composite
def runs(draw: st.DrawFn) -> tuple[ReferenceRun, list[str]]:
    length = draw(st.integers(2, 10))
    words = draw(st.lists(st.integers(0, 7), min_size=length, max_size=length))
    samples = st.lists(st.text("0101x", min_size=3, max_size=3), min_size=length, max_size=length)
    outputs, got = draw(samples), draw(samples)
    compared = draw(st.lists(st.sampled_from([True, True, False]), min_size=length, max_size=length))
    if not any("0" in e or "1" in e for e, c in zip(outputs, compared, strict=True) if c):
        outputs[0], compared[0] = "010", True
    return run_of(words, outputs, compared), got


@given(runs())
def test_the_credit_is_the_naive_one(drawn: tuple[ReferenceRun, list[str]]) -> None:
    run, got = drawn
    assert credit.value(run, got) == pytest.approx(naive(run, got))


@given(runs(), st.data())
def test_credit_is_below_one_and_grows_with_what_is_right(
    drawn: tuple[ReferenceRun, list[str]], data: st.DataObject
) -> None:
    run, got = drawn
    compared = outcome.compare(run.expected, got)
    value = credit.value(run, got)
    assert 0 <= value <= 1
    if compared.is_equal:
        return
    assert value < 1
    wrong = [
        (step, bit) for step, (e, g) in enumerate(zip(run.outputs, got, strict=True)) if run.stimulus.is_compared[step]
        for bit in range(3) if e[bit] in "01" and e[bit] != g[bit]
    ]  # fmt: skip
    step, bit = data.draw(st.sampled_from(wrong))
    better = [*got]
    better[step] = got[step][:bit] + run.outputs[step][bit] + got[step][bit + 1 :]
    is_constant = not any(
        {"0", "1"} <= {s[n] for s, c in zip(better, run.stimulus.is_compared, strict=True) if c} for n in range(3)
    )
    assert is_constant or credit.value(run, better) >= value - 1e-12


@given(runs(), st.text("01x", min_size=3, max_size=3))
def test_constants_get_nothing(drawn: tuple[ReferenceRun, list[str]], word: str) -> None:
    run, got = drawn
    assert credit.value(run, [word] * len(got)) == 0


COUNTER = "input clk, input rst, input en, input [3:0] d, output reg [3:0] q, output full"
RIGHT = "always @(posedge clk) if (rst) q <= 0; else if (en) q <= q + d; assign full = &q;"
DIVIDER = "input clk, input rst, output reg slow"
SLOW = "reg [2:0] n; always @(posedge clk) if (rst) begin n <= 0; slow <= 0; end else if (n == 6) begin n <= 0; slow <= ~slow; end else n <= n + 1;"
SUM = "input [3:0] a, input [3:0] b, output [4:0] s, output less, output [3:0] least"
SUMS = "assign s = a + b, less = a < b, least = less ? a : b;"


def value(ports: str, right: str, body: str) -> float:
    reference, code = (f"module m({ports});\n{text}\nendmodule\n" for text in (right, body))
    found = score(ScoreItem(code, "", reference, "m")).value
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ports", "right", "body", "least", "most"),
    [
        # nothing for what only looks busy
        (COUNTER, RIGHT, "always @(posedge clk) q <= d; assign full = en;", 0, 0.12),
        (COUNTER, RIGHT, "always @(posedge clk) q <= ~q; assign full = q[0];", 0, 0.12),
        (COUNTER, RIGHT, "always @* q = ~d; assign full = ~en;", 0, 0.12),
        (SUM, SUMS, "assign s = {1'b0, a}, less = b[3], least = b;", 0, 0.15),
        (DIVIDER, SLOW, "always @(posedge clk) slow <= ~slow & ~rst;", 0, 0.15),
        # half of the outputs, and all of them at another time or in the other phase
        (SUM, SUMS, "assign s = a + b, less = a < b, least = 0;", 0.2, 0.5),
        (COUNTER, RIGHT, "reg [3:0] n; reg f; assign full = f; always @(posedge clk) begin if (rst) n <= 0; else if (en) n <= n + d; q <= n; f <= &n; end", 0.45, 0.75),
        (DIVIDER, SLOW, SLOW.replace("slow <= 0", "slow <= 1"), 0.15, 0.5),
        (DIVIDER, SLOW, SLOW.replace("n <= 0; slow <= 0", "n <= 1; slow <= 0"), 0.5, 0.95),
        # nearly all
        (SUM, SUMS, "assign s = a + b, less = a < b, least = a < b ? a : b ^ (a == 5);", 0.8, 1),
    ],
)  # fmt: skip
def test_order_of_designs(ports: str, right: str, body: str, least: float, most: float) -> None:
    assert least <= value(ports, right, body) < most
