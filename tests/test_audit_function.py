"""The audit of references by function: one small pair for each fault, the account, and what is kept."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from itertl.audit import function as module
from itertl.audit.audit import audit_source
from itertl.audit.function import audit_function
from itertl.audit.function_checks import PARTS, inspect
from itertl.audit.function_report import KINDS, general
from itertl.audit.netlist_faults import faults
from itertl.errors import ToolMissing
from itertl.progress import QUIET
from itertl.records import Problem, Verdict
from itertl.work.pool import Outcome, Workers

SOUND = "module m(input clk, rst, input [3:0] d, output reg [3:0] q); always @(posedge clk) if (rst) q <= 0; else q <= d; endmodule"
FAULTY = {
    "still output": (
        "module m(input clk, rst, output reg tick); reg [47:0] n; "
        "always @(posedge clk) if (rst) begin n <= 0; tick <= 0; end else begin n <= n + 1; tick <= n == "
        "48'hfff000000000; end endmodule"
    ),
    "refused": "module m(input a, output y); assign y = b; endmodule",
    "does not synthesize": "module m(input clk, a, output reg q); always @(posedge clk or posedge a or negedge a) if (a) q <= 0; else q <= ~q; endmodule",
    "undriven output": "module m(input a, output [3:0] y, output z); assign y[1:0] = {a, a}; assign z = a; endmodule",
    "undriven signal": "module m(input a, output y); wire t; assign y = t & a; endmodule",
    "latch": "module m(input e, d, output reg q); always @* if (e) q = d; endmodule",
    "X throughout": "module m(input a, output y, output z); assign y = 1'bx; assign z = a; endmodule",
    "X after reset": "module m(input clk, rst, e, d, output reg q, output reg p); always @(posedge clk) if (rst) q <= 0; else q <= d;\n"
    "always @(posedge clk) if (e && !rst && d) p <= d; endmodule",
    "X without a reset": "module m(input clk, e, d, output reg q); always @(posedge clk) if (e) q <= d; endmodule",
    "not simulated": "module m(input a, inout b, output y); assign b = a; assign y = a; endmodule",
}  # fmt: skip


def kinds(reference: str, top: str = "m") -> dict[str, str]:
    return dict(fault for part in PARTS for fault in inspect((part, reference, top)))


@pytest.mark.parametrize("kind", FAULTY)
def test_each_fault_is_found(kind: str) -> None:
    assert kind in kinds(FAULTY[kind])


def test_every_kind_has_an_example_and_sound_designs_have_none() -> None:
    assert set(FAULTY) == set(KINDS)
    assert kinds(SOUND) == {}
    assert (
        kinds(
            "module s(input a, output y); assign y = ~a; endmodule module m(input a, output y); s s1(.a(a), .y(y)); "
            "endmodule"
        )
        == {}
    )
    assert (
        kinds("module m(input [1:0] a, output reg y); always @* case (a) 0: y = 1; default: y = 0; endcase endmodule")
        == {}
    )


def test_details_name_ports_and_bits() -> None:
    assert kinds(FAULTY["undriven output"])["undriven output"] == "y[3:2]"
    assert kinds(FAULTY["undriven output"])["X throughout"] == "y (2 of 4 bits)"
    assert kinds(FAULTY["latch"])["latch"] == "q"
    assert kinds(FAULTY["undriven signal"])["undriven signal"] == "t"
    assert kinds(FAULTY["X after reset"])["X after reset"].startswith("p in up to ")
    hidden = "module s(input e, d, output reg q); always @* if (e) q = d; endmodule module m(input e, d, output z); wire w; s i(e, d, w); assign z = ~w; endmodule"
    assert kinds(hidden)["latch"] in ("w", "i.q")


def test_names_that_would_be_commands_never_reach_a_script(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    assert kinds(SOUND, f"m; exec -- touch {canary}").keys() == {"refused"}
    odd = f"module \\m;exec$--$touch${canary} (input a, output y); assign y = a; endmodule"
    assert "refused" in kinds(odd)
    assert not canary.exists()


def test_netlist_faults_by_hand() -> None:
    """Bits: 2 = a, 3 = q of a latch, 4 = y[0] driven, 5 = y[1] open, 6 = w open and read, 7 = c with an initial
    value."""
    net: dict[str, Any] = {
        "ports": {
            "a": {"direction": "input", "bits": [2]}, "q": {"direction": "output", "bits": [3]},
            "y": {"direction": "output", "bits": [4, 5, "x", "0", 7]},
        },
        "cells": {
            "$1": {"type": "$dlatch", "port_directions": {"D": "input", "EN": "input", "Q": "output"}, "connections": {"D": [2], "EN": [2], "Q": [3]}},
            "$2": {"type": "$and", "port_directions": {"A": "input", "B": "input", "Y": "output"}, "connections": {"A": [6], "B": [2], "Y": [4]}},
        },
        "netnames": {
            "q": {"bits": [3]}, "y": {"bits": [4, 5, "x", "0", 7]}, "w": {"bits": [6]},
            "c": {"bits": [7], "attributes": {"init": "1"}},
        },
    }  # fmt: skip
    assert faults(net) == [("undriven output", "y[1]"), ("undriven signal", "w"), ("latch", "q")]


def test_reasons_are_grouped_without_names() -> None:
    assert general("line 14: use of undeclared identifier 'carry'") == general(
        "line 2: use of undeclared identifier 'x'"
    )
    assert general("the sensitivity list lacks A") == general("the sensitivity list lacks b_2")
    assert general("a signal has several drivers") == "a signal has several drivers"
    assert (
        general("the problem's top module '' is not an identifier")
        == "the problem's top module '…' is not an identifier"
    )
    assert (
        general("port data is bidirectional")
        == general("port io_1 is bidirectional")
        != general("port io_1 has no name")
    )


def test_a_twin_is_the_same_design_in_another_text() -> None:
    found = module.twin("module a; endmodule\nmodule b; a x(); endmodule // endmodule\n")
    assert (
        found
        == "module a; \nwire itertl_twin;\nendmodule\nmodule b; a x(); \nwire itertl_twin;\nendmodule // endmodule\n"
    )
    assert module.twin("no code") == "no code"
    own = audit_function(
        [pair(SOUND, "sound"), pair(FAULTY["refused"], "refused")], names=("syntax", "equivalence"), num_workers=1
    ).scorers
    assert [(o.scorer, o.full, o.less, o.cannot_judge) for o in own] == [("syntax", 1, 1, 0), ("equivalence", 1, 0, 1)]


def pair(reference: str | None, name: str) -> Problem:
    return Problem.create(instruction=f"make {name}", reference=reference, source="s", upstream_id=name)


def test_the_report_accounts_for_every_reference(tmp_path: Path) -> None:
    problems = [
        pair(SOUND, "sound"),
        pair(SOUND, "again"),
        pair(None, "none"),
        *(pair(text, kind) for kind, text in FAULTY.items()),
    ]
    problems.append(pair("module a(input x); endmodule module b(input x); endmodule", "two tops"))
    problems.append(pair("no code at all", "prose"))
    report = audit_function(problems, names=("syntax", "ast", "rtlcoder"), cache=tmp_path, num_workers=1)
    assert (report.problems, report.references, report.unjudged) == (len(problems), len(problems) - 1, {})
    by_kind = {kind: {str(f.problem) for f in report.findings if f.kind == kind} for kind in KINDS}
    assert all(kind in by_kind[kind] for kind in KINDS)
    assert {"two tops", "prose", "refused"} <= by_kind["refused"]
    assert report.sound == 3  # sound, again, and that without a reset
    for own in report.scorers:
        assert own.full + own.less + own.cannot_judge == report.references
        assert sum(reason.count for reason in own.reasons) == own.less + own.cannot_judge
    ast = report.scorers[1]
    assert ast.cannot_judge == 3 and {r.verdict for r in ast.reasons} == {Verdict.UNJUDGEABLE.value}
    value = json.loads(json.dumps(report.to_json()))
    assert value["summary"]["latch"] == 1 and value["scorers"][0]["scorer"] == "syntax"
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(report.render())
    assert "X after reset" in console.export_text()


def test_what_was_inspected_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [pair(SOUND, "sound"), pair(FAULTY["latch"], "latch")]
    first = audit_function(problems, names=("syntax",), cache=tmp_path, num_workers=1)
    asked: list[int] = []

    def none_left(self: Workers, payloads: Iterable[object], **_: object) -> Any:
        asked.append(len(list(payloads)))
        return iter(())

    monkeypatch.setattr(Workers, "map_unordered", none_left)
    assert audit_function(problems, names=("syntax",), cache=tmp_path, num_workers=1) == first
    assert set(asked) <= {0}


def test_our_own_failures_are_not_the_references(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = Workers.map_unordered

    def crashing(self: Workers, payloads: Iterable[object], **options: Any) -> Any:
        if self.function.endswith(":inspect"):
            return iter([(0, Outcome("crashed", detail="worker: killed by signal 11 (SIGSEGV)"))])
        return real(self, payloads, **options)

    monkeypatch.setattr(Workers, "map_unordered", crashing)
    report = audit_function([pair(SOUND, "sound")], names=("syntax",), cache=tmp_path, num_workers=1)
    assert (report.findings, report.sound, report.unjudged) == (
        (),
        0,
        {"crashed: worker: killed by signal … (SIGSEGV)": 1},
    )
    missing = iter([(0, Outcome("raised", detail="ToolMissing: no Yosys"))])
    monkeypatch.setattr(Workers, "map_unordered", lambda *_a, **_k: missing)
    with pytest.raises(ToolMissing, match="no Yosys"):
        audit_function([pair(SOUND, "sound")], names=("syntax",), num_workers=1)


def test_the_command_gives_both_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "pairs.jsonl"
    file.write_text(
        "".join(
            json.dumps({"instruction": f"make {n}", "response": text}) + "\n"
            for n, text in enumerate([SOUND, FAULTY["latch"]])
        )
    )
    report, loaded, by_function = audit_source(
        str(file), [], format="auto", filter={}, check_tools=True, function=True, num_workers=1, reporter=QUIET
    )
    assert by_function is not None and by_function.summary()["latch"] == 1
    assert report.references_passed == 2 and loaded.skipped == {}
    assert {own.scorer for own in by_function.scorers} == set(module.SCORERS)
    assert (
        audit_source(
            str(file),
            [],
            format="auto",
            filter={},
            check_tools=False,
            function=False,
            num_workers=1,
            reporter=QUIET,
        )[2]
        is None
    )
