"""``ppa``: figures of right designs next to the reference's; no value for wrong ones, none for text that does nothing."""

import math
from pathlib import Path

import pytest

from equivalence_cases import clocked, logic
from itertl.errors import ToolMissing
from itertl.records import Score, Verdict
from itertl.scoring import ppa
from itertl.scoring.item import ScoreItem
from itertl.scoring.ppa import Figures
from itertl.tools import yosys
from itertl.work import pool

XOR = logic("always @* y = a ^ b;")
PRODUCT = logic("always @* y = a * b;")
SUM = logic(
    "always @* y = (b[0] ? a : 4'd0) + (b[1] ? {a[2:0], 1'b0} : 4'd0) + (b[2] ? {a[1:0], 2'b0} : 4'd0) + (b[3] ? {a[0], 3'b0} : 4'd0);"
)
LIBERTY = """
library(tiny) {
  cell(INV) { area : 1; pin(A) { direction : input; } pin(Y) { direction : output; function : "A'"; } }
  cell(NAND) { area : 2; pin(A) { direction : input; } pin(B) { direction : input; } pin(Y) { direction : output; function : "(A*B)'"; } }
  cell(NOR) { area : 2; pin(A) { direction : input; } pin(B) { direction : input; } pin(Y) { direction : output; function : "(A+B)'"; } }
  cell(BUF) { area : 2; pin(A) { direction : input; } pin(Y) { direction : output; function : "A"; } }
  cell(AND) { area : 3; pin(A) { direction : input; } pin(B) { direction : input; } pin(Y) { direction : output; function : "A*B"; } }
  cell(FF) { area : 8; ff(IQ, IQN) { clocked_on : "C"; next_state : "D"; }
    pin(C) { direction : input; clock : true; } pin(D) { direction : input; } pin(Q) { direction : output; function : "IQ"; } }
}
"""


def scores(items: list[ScoreItem]) -> list[Score]:
    found = dict(pool.map_unordered("itertl.scoring.ppa:score", items, num_workers=1, timeout_s=120))
    assert all(outcome.status == "ok" for outcome in found.values()), found
    return [found[number].value for number in range(len(items))]


def test_right_designs_are_measured_and_wrong_ones_are_not() -> None:
    cases = [
        (XOR, XOR), (SUM, PRODUCT), (PRODUCT, SUM), (logic("always @* y = a | b;"), XOR),
        (logic("assign #1 y_ = a ^ b; wire [3:0] y_; always @* y = y_;"), XOR), ("", XOR),
        (XOR, logic("always @* y = 4'bx;")),
        (clocked("always @(posedge clk) q <= d & ~rst;"), clocked("always @(posedge clk) if (rst) q <= 0; else q <= d;")),
    ]  # fmt: skip
    same, larger, smaller, wrong, delayed, empty, undefined, register = scores(
        [ScoreItem(code=c, reference=r, top="m") for c, r in cases]
    )
    assert (same.verdict, same.value) == (Verdict.SCORED, 1.0)
    assert same.detail.startswith("cells 4 (reference 4), transistors ")
    assert larger.verdict is Verdict.SCORED
    assert larger.value is not None
    assert smaller.value is not None
    assert 0 < larger.value < smaller.value == 1.0
    assert (wrong.verdict, wrong.value) == (Verdict.WRONG_OUTPUT, 0.0)
    assert delayed.value is None or delayed.value == 0.0  # a delay is nothing to a synthesizer
    assert (empty.verdict, empty.value) == (Verdict.NO_CODE, 0.0)
    assert (undefined.verdict, undefined.value) == (Verdict.UNJUDGEABLE, None)
    assert register.value == 1.0
    assert "transistors" in register.detail


def test_value_is_the_geometric_mean_of_capped_ratios() -> None:
    """cells 3 against 7: 4/8; transistors 9 against 9: 1; depth 2 against 1, better: 1. Mean: 0.5 to the third part."""
    assert ppa._value(Figures(7, 9, 1), Figures(3, 9, 2)) == pytest.approx(0.5 ** (1 / 3))
    assert ppa._value(Figures(0, 0, 0), Figures(0, 0, 0)) == 1.0
    assert math.isclose(ppa._value(Figures(1, 1, 1), Figures(0, 0, 0)), 0.5)


def test_registers_that_yosys_has_no_number_for_count() -> None:
    module = {
        "estimated_num_transistors": "28+",
        "num_cells_by_type": {"$_DFF_P_": 1, "$_NOT_": 6, "$_DFF_PN0_": 2, "$_DLATCH_P_": 1},
    }
    assert ppa._transistors(module) == 28 + 2 * 24 + 12  # type: ignore[arg-type]


def test_a_liberty_file_gives_areas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "cells with a space; exec.lib"
    library.write_text(LIBERTY)
    monkeypatch.setenv("ITERTL_LIBERTY", str(library))
    assert ppa.liberty() == library
    reference = logic("always @* y = {3'b0, a[0]};")
    [found] = scores(
        [ScoreItem(code=logic("wire [3:0] t = ~{3'b111, ~a[0]}; always @* y = t;"), reference=reference, top="m")]
    )
    assert found.verdict is Verdict.SCORED
    assert "area 0 (0)" in found.detail
    [inverted] = scores(
        [
            ScoreItem(
                code=logic("always @* y = ~{3'b0, a[0]};"), reference=logic("always @* y = {3'b111, ~a[0]};"), top="m"
            )
        ]
    )
    assert "cells 1 (reference 1), area 1 (1)" in inverted.detail
    generic = ppa.version()
    library.write_text(LIBERTY.replace("area : 2", "area : 3"))
    assert ppa.version() != generic


def test_a_liberty_file_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_LIBERTY", "/nonexistent/cells.lib")
    with pytest.raises(ToolMissing, match="ITERTL_LIBERTY"):
        ppa.score(ScoreItem(code=XOR, reference=XOR, top="m"))


def test_missing_yosys_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yosys, "has_library", lambda: False)
    monkeypatch.setenv("ITERTL_YOSYS", "/nonexistent/yosys")
    with pytest.raises(ToolMissing, match="pip install pyosys"):
        ppa.figures(XOR, "m", "")
