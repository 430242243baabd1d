"""slang, Pyverilog and Yosys on hand-made and odd texts; Pyverilog's answer against its own route."""

import contextlib
import io
import itertools
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itertl.errors import ToolMissing
from itertl.records import Verdict
from itertl.sandbox import sandbox
from itertl.tools import pyverilog, slang, yosys
from itertl.work import pool

GOOD = "module t(input clk, input [3:0] b, output reg [3:0] c);\nalways @(posedge clk) c <= b * 3;\nendmodule\n"


@pytest.mark.parametrize(
    ("code", "top", "verdict", "detail"),
    [
        (GOOD, None, Verdict.PASSED, ""),
        (GOOD, "t", Verdict.PASSED, ""),
        (GOOD, "other", Verdict.ELABORATION_ERROR, "no module named 'other'; the text has t"),
        ("", None, Verdict.NO_CODE, "no module"),
        ("Sure! Here it is.", None, Verdict.NO_CODE, ""),
        ("// module t; endmodule\n", None, Verdict.NO_CODE, "no module"),
        ("package p; endpackage", None, Verdict.NO_CODE, "no module"),
        ("module t(input a)\nendmodule", None, Verdict.SYNTAX_ERROR, "line 1: expected ';'"),
        ("module t; assign y = 1", None, Verdict.SYNTAX_ERROR, "line 1"),
        ("module t; wire \0; endmodule", None, Verdict.SYNTAX_ERROR, "NUL"),
        ("module t; foo x(); endmodule", None, Verdict.ELABORATION_ERROR, "line 1: unknown module 'foo'"),
        ("module t;\nassign y = x;\nendmodule", None, Verdict.ELABORATION_ERROR, "line 2"),
        ("module t(input [W-1:0] a);\nparameter W = 4;\nendmodule", "t", Verdict.PASSED, ""),
        ("\ufeff" + GOOD.replace("\n", "\r\n"), "t", Verdict.PASSED, ""),
        ("module t; endmodule // \udc80é", "t", Verdict.PASSED, ""),
    ],
)  # fmt: skip
def test_slang_verdict(code: str, top: str | None, verdict: Verdict, detail: str) -> None:
    check = slang.check(code, top)
    assert check.verdict is verdict, check
    assert detail in check.detail


def test_slang_opens_no_included_file(tmp_path: Path) -> None:
    """A named pipe that nobody writes would hang whoever opens it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    payloads = [f'`include "{pipe}"\nmodule t; endmodule', f"`include <{pipe}>\nmodule t; endmodule"]
    for _, outcome in pool.map_unordered("itertl.tools.slang:check", payloads, num_workers=1, timeout_s=10):
        assert outcome.status == "ok"
        assert outcome.value.verdict is Verdict.SYNTAX_ERROR


def upstream_parses(texts: Sequence[str], folder: Path, *, fresh: bool) -> list[bool]:
    """Pyverilog's own route: file, ``iverilog -E``, parser (a fresh one for each text, or one); any exception is
    a no."""
    from pyverilog.vparser.parser import VerilogCodeParser

    answers: list[bool] = []
    parser = None
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()):
        for code in texts:
            Path("design.v").write_bytes(code.encode("utf-8", "surrogatepass"))
            if parser is None or fresh:
                parser = VerilogCodeParser(["design.v"], outputdir=str(folder))
            try:
                parser.parse()
            except Exception:
                answers.append(False)
            else:
                answers.append(True)
    return answers


ODD_TEXTS = [
    "", "\n", "// nothing\n", "module t; endmodule", "module t; endmodule // no line end",
    "module t; endmodule /* open",
    "module t;\r\nwire a;\r\nendmodule\r\n", "module t;\rwire a;\rendmodule", "module t; wire \x0b a; endmodule",
    "module t; // é\nendmodule", "module t; // \udc80\nendmodule", "\ufeffmodule t; endmodule",
    "`define W 4\nmodule t(input [`W-1:0] a); endmodule", "`include \"absent.vh\"\nmodule t; endmodule",
    "module t; wire a = `UNDEFINED; endmodule", "`ifdef X\nmodule t; endmodule\n",
    "`timescale 1ns/1ps\nmodule t; endmodule",
    "`default_nettype none", "module t; /* `x */ endmodule", "module t; initial $display(\"a`b\"); endmodule",
    "module t; logic q; always_ff @(posedge q) q <= 1; endmodule", "module t(input logic [1:0] a[3]); endmodule",
]  # fmt: skip


def test_pyverilog_agrees_with_its_own_route_on_odd_texts(tmp_path: Path) -> None:
    theirs = upstream_parses(ODD_TEXTS, tmp_path, fresh=False)
    assert [pyverilog.parses(code)[0] for code in ODD_TEXTS] == theirs
    assert True in theirs and False in theirs


@pytest.mark.slow
def test_pyverilog_agrees_with_a_fresh_parser_for_each_text(tmp_path: Path) -> None:
    theirs = upstream_parses(ODD_TEXTS, tmp_path, fresh=True)
    assert [pyverilog.parses(code)[0] for code in ODD_TEXTS] == theirs


def test_pyverilog_agrees_with_its_own_route_on_real_wrong_answers(tmp_path: Path, shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "rtlfixer_wrong_solutions.jsonl").read_text().splitlines()]
    texts = [row["prompt"] + row["solution"] for row in rows]
    texts = texts[:: len(texts) // 40]
    theirs = upstream_parses(texts, tmp_path, fresh=False)
    assert [pyverilog.parses(code)[0] for code in texts] == theirs
    assert True in theirs and False in theirs


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.sampled_from(["\n", "\r", "\r\n", "\n\r", "//", "/*", "*/", '"', "\\", "\\\n", "\0", "é", "\x85", "\u2028", "a ", "(*", "\f", "\x1a"])
        | st.characters(exclude_characters="`", exclude_categories=["Cs"])
    )
)  # fmt: skip
def test_preprocessor_leaves_text_without_backticks_alone(pieces: list[str], tmp_path: Path) -> None:
    """The ground for leaving it out: ``iverilog -E`` only makes line ends LF."""
    code = "".join(pieces)
    assert pyverilog._as_read_back(code) == pyverilog._preprocess(code)


def test_pyverilog_order_of_calls_does_not_matter() -> None:
    texts = [*ODD_TEXTS[:12], *ODD_TEXTS[16:], GOOD, GOOD[:60], "module a; wire = ; endmodule", 'module s; initial "x']
    fresh = [pyverilog.parses(text) for text in texts]
    for seed in range(5):
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        for first, second in itertools.pairwise(order):
            assert pyverilog.parses(texts[first]) == fresh[first]
            assert pyverilog.parses(texts[second]) == fresh[second]


def test_pyverilog_writes_nothing_where_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it import a parsetab.py that lies there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "parsetab.py").write_text("raise SystemExit('imported')\n")
    pyverilog._parser.cache_clear()
    assert pyverilog.parses(GOOD) == (True, "")
    assert pyverilog.parses("`define A\n" + GOOD) == (True, "")
    assert [path.name for path in tmp_path.iterdir()] == ["parsetab.py"]


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters() | st.sampled_from("`\0\ud800\\\"'/*;()"), max_size=40))
def test_arbitrary_text_crashes_no_parser(text: str) -> None:
    for code in (text, f"module t; {text} endmodule"):
        if "`" not in code:  # those start a process each; the odd texts above have some
            assert isinstance(pyverilog.parses(code)[0], bool)
        assert slang.check(code, "t").verdict in (
            Verdict.PASSED, Verdict.NO_CODE, Verdict.SYNTAX_ERROR, Verdict.ELABORATION_ERROR,
        )  # fmt: skip


YOSYS_CASES = [
    ((GOOD, "t"), True, ""),
    ((GOOD, ""), True, ""),
    ((GOOD, "other"), False, "not found"),
    (("", ""), False, "no module"),
    (("module t; foo x(); endmodule", "t"), False, "foo"),
    (("modul t;", "t"), False, "syntax error"),
    (("module t; initial $dis\0play; endmodule // \ud800", "t"), False, "ERROR"),
    ((GOOD, "t; exec -- touch hacked"), False, "not a plain identifier"),
    ((GOOD, "-auto-top"), False, "not a plain identifier"),
]


def test_yosys_synthesizes() -> None:
    """Bad designs end no worker."""
    for design, expected, detail in YOSYS_CASES:
        answer, said = yosys.synthesizes(*design)
        assert answer is expected, said
        assert detail in said


def test_yosys_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yosys, "LIMITS", sandbox.Limits(wall_s=1, cpu_s=1, proc=True))
    divider = "module t(input [2047:0] a, b, output [2047:0] q); assign q = a / b; endmodule"
    answer, said = yosys.synthesizes(divider, "t")
    assert answer is False
    assert "did not end" in said


@pytest.mark.parametrize("module", [slang, pyverilog])
def test_missing_package_says_how_to_get_it(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyslang", "pyverilog.vparser.parser", "pyverilog.vparser.lexer"):
        monkeypatch.setitem(sys.modules, name, None)
    pyverilog._parser.cache_clear()
    with pytest.raises(ToolMissing, match="pip install"):
        module.check(GOOD) if module is slang else module.parses(GOOD)  # type: ignore[attr-defined]


def test_missing_yosys_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yosys, "has_library", lambda: False)
    monkeypatch.setenv("ITERTL_YOSYS", "/nonexistent/yosys")
    with pytest.raises(ToolMissing, match="pip install pyosys"):
        yosys.synthesizes(GOOD, "t")


def test_versions_name_their_tool() -> None:
    assert slang.version().startswith("slang ")
    assert pyverilog.version().startswith("Pyverilog ")
    assert yosys.version().startswith("Yosys ")
