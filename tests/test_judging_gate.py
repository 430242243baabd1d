"""The gate: what it refuses, with which rule, and what it hands on. The text handed on is what is simulated."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.judging.gate import MAX_BYTES, Design, GateResult, Refusal, examine
from itertl.records import Verdict

NAMES = frozenset({"tb", "good1", "reference_module", "stim1"})


def module(body: str, before: str = "") -> str:
    return f"{before}module top_module(input a, input [3:0] b, output y);\n{body}\nassign y = a;\nendmodule\n"


def found(code: str) -> GateResult:
    return examine(code, "top_module", testbench_names=NAMES)


REFUSED = {
    'integer f; initial f = $fopen("x");': "system-task: $fopen",
    "reg [3:0] m [1:0]; initial $readmemh(\"x\", m);": "system-task: $readmemh",
    "wire [31:0] r = $random;": "system-task: $random",
    "reg [63:0] s; initial $sformat(s, \"%m\");": "system-task: $sformat",
    "wire [63:0] t = $time;": "system-task: $time outside",
    "reg [63:0] t; initial begin $display(\"x\"); t = $time; end": "system-task: $time outside",
    "initial force a = 0;": "construct: force",
    "initial release a;": "construct: release",
    'reg r; final r = 1;': "construct: final",
    "tran(a, b[0]);": "construct: tran",
    "wire k; alias k = a;": "construct: alias",
    "bind top_module k u();": "construct: bind",
    'import "DPI-C" function int getpid();': "construct: DPI import",
    '(* _ivl_schedule_final *) initial $display("x");': "attribute: _ivl_schedule_final",
    "wire k = tb.x;": "hierarchy: tb.x",
    "wire k = top_module.a;": "hierarchy: top_module.a",
    "wire k = $root.tb.x;": "hierarchy: $root",
    "initial tb.stats = 0;": "hierarchy: tb.stats",
    "reference_module r(a, b, y);": "testbench-name: reference_module",
    "`line 1 \"x\" 0": "directive: `line",
    "`pragma protect": "directive: `pragma",
    "`ifdef __ICARUS__\nwire k;\n`endif": "directive: `ifdef __ICARUS__",
    "`ifndef VERILATOR\nwire k = a;\n`else\nwire k = ~a;\n`endif": "directive: `ifndef VERILATOR",
    "`ifdef X\n`elsif YOSYS\nwire k;\n`endif": "directive: `elsif YOSYS",
    "`begin_keywords \"1364-2001\"\n`end_keywords": "directive: `begin_keywords",
    "// \0": "text: holds the character U+0000",
    "// \u202e": "text: holds the character U+202E",
    'initial $display("\u200b");': "text: holds the invisible character U+200B",
    "initial $exit;": "system-task: $exit",
    "// " + "x" * MAX_BYTES: "text: longer than 64 KiB",
}  # fmt: skip


@pytest.mark.parametrize("body", REFUSED, ids=range(len(REFUSED)))
def test_what_a_design_may_not_do(body: str) -> None:
    refusal = found(module(body))
    assert isinstance(refusal, Refusal), refusal
    assert refusal.verdict is Verdict.GAMED
    assert refusal.detail.startswith(REFUSED[body]), refusal.detail


@pytest.mark.parametrize("before", ['`include "/etc/passwd"\n', "program p; endprogram\nmodule k; p u(); endmodule\n"])
def test_nor_above_the_module(before: str) -> None:
    used = "k u();" if "program" in before else ""
    refusal = found(module(used, before))
    assert isinstance(refusal, Refusal) and refusal.verdict is Verdict.GAMED


ALLOWED = [
    'initial $display("%t %d", $time, $signed(b));',
    'always @(a) if (b == 3) $error("b is %0d at %0t", b, $realtime);',
    "genvar i; generate for (i = 0; i < 2; i = i + 1) begin : g wire w; assign w = b[i]; end endgenerate wire k = "
    "g[0].w;",
    "typedef enum {A, B} st; st s; initial s = s.next();",
    "typedef struct packed {logic p; logic q;} pair; pair s; assign s.p = a;",
    "localparam W = $clog2(17); wire [W-1:0] k = {W{a}};",
    "`ifdef SYNTHESIS\ninitial $finish;\n`else\nwire k;\n`endif",
    "`define TWICE(x) (x + x)\nwire [3:0] k = `TWICE(b);",
    "(* keep = \"true\" *) wire k;",
    "wire \\plain_name = a;",
    "// 中文 \u200b comment\n/* $finish */ wire k; // `include",
    "supply0 gnd; wire k; buf u1(k, a);",
    "`ifdef VERILATOR\n/* lint off */\n`endif\nwire k;",
    "`ifdef __ICARUS__\ninitial begin $dumpfile(\"x\"); $dumpvars; end\n`endif",
    "function [1:0] f(input x); f = {x, x}; endfunction wire [1:0] k = f(a);",
]  # fmt: skip


@pytest.mark.parametrize("body", ALLOWED, ids=range(len(ALLOWED)))
def test_what_honest_designs_do(body: str) -> None:
    design = found(module(body))
    assert isinstance(design, Design), design
    assert "//" not in design.text and "`" not in design.text


HARMLESS = {  # and what is left of it
    "always @* if (1'b0) $finish;": "always @* if (1'b0) begin end",
    "localparam N = 3; initial case (N) 4: $stop; default: ; endcase": "localparam N = 3; initial case (N) 4: begin end default: ; endcase",
    'if (0) begin initial $fatal(1, "x"); end': "if (0) begin initial begin end end",
    'initial begin $dumpfile("ü.vcd"); $dumpvars(0, top_module); end': "initial begin begin end begin end end",
    'always @* begin l: assert (a) else $error("no"); end': "always @* begin begin end end",
    'property p; @(posedge a) b[0]; endproperty\nassert property (p) else begin $error("no"); $stop; end': "\n",
    "always @* if (b == 3) $finish;": "always @* if (b == 3) $finish;",
    "localparam N = 3; initial case (N) 3: $stop; default: ; endcase": "localparam N = 3; initial case (N) 3: $stop; default: ; endcase",
    "function f(input x); begin f = x; if (x) $finish; end endfunction wire k = f(a);": "function f(input x); begin f = x; if (x) $finish; end endfunction wire k = f(a);",
    "reg k; always @* assert (b == 3) else k = 1;": "reg k; always @* assert (b == 3) else k = 1;",
    "always_comb assert (a);": "always_comb begin end",
    'if (0) $fatal(1, "x"); else assert property (@(posedge a) b[0]); wire k;': "if (0) begin end else begin end wire k;",
    "always @* assert (a) else $fatal;": "always @* assert (a) else $fatal;",
    "wire \\odd.name = a;": "wire esc_6f64642e6e616d65 = a;",
    "task \\$finish ; begin end endtask initial \\$finish ;": "task esc_2466696e697368 ; begin end endtask initial esc_2466696e697368 ;",
}


@pytest.mark.parametrize("body", HARMLESS, ids=range(len(HARMLESS)))
def test_what_has_no_effect_is_taken_out(body: str) -> None:
    design = found(module(body))
    assert isinstance(design, Design), design
    assert design.text == module(HARMLESS[body]).removesuffix("\n") + "\n"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("", Verdict.NO_CODE),
        ("prose alone", Verdict.NO_CODE),
        (module("wire k = ;"), Verdict.SYNTAX_ERROR),
        (module("wire k = nowhere;"), Verdict.ELABORATION_ERROR),
        (module("nobody u(a);"), Verdict.ELABORATION_ERROR),
        (module("") + module(""), Verdict.ELABORATION_ERROR),
        (module("").replace("top_module", "other"), Verdict.ELABORATION_ERROR),
        ("module top_module(input a, output y); assign y = a;", Verdict.SYNTAX_ERROR),
    ],
)
def test_plain_mistakes_are_not_called_gaming(code: str, verdict: Verdict) -> None:
    refusal = found(code)
    assert isinstance(refusal, Refusal) and refusal.verdict is verdict, refusal


def test_an_error_is_placed_in_the_users_text() -> None:
    refusal = found(module("/* one\ntwo */\n`ifdef NO\nx\n`endif\nwire k = nowhere;"))
    assert isinstance(refusal, Refusal)
    assert refusal.detail.startswith("line 7: ")


def test_only_what_the_design_uses_is_handed_on() -> None:
    helper = "module helper(input x, output z); assign z = x; endmodule\n"
    bench = "module tb; initial begin #5 $finish; end top_module u(); endmodule\n"
    design = found(helper + module("wire k; helper u(.x(a), .z(k));") + bench)
    assert isinstance(design, Design)
    assert "module helper" in design.text and "finish" not in design.text


def test_an_unused_module_called_from_shared_text_is_checked() -> None:
    shared = "package p; function int f(); return 1; endfunction endpackage\n"
    assert isinstance(found(shared + module("wire [31:0] k = p::f();")), Design)
    bad = shared.replace("return 1;", "$exit; return 1;")
    assert isinstance(found(bad + module("wire [31:0] k = p::f();")), Refusal)


def test_time_scale_and_net_type_go_along() -> None:
    design = found("`timescale 1ns/1ps\n`default_nettype none\n" + module(""))
    assert isinstance(design, Design)
    assert design.text.startswith("`timescale 1ns/1ps\n`default_nettype none\n")
    assert "`" not in getattr(found("`timescale 1ns/1ps\n`resetall\n" + module("")), "text", "`")


def test_what_is_handed_on_is_handed_on_unchanged() -> None:
    first = found("`define W 4\n" + module("wire [`W-1:0] k; /* c */ wire [3:0] c = `W'b0101;"))
    assert isinstance(first, Design)
    second = found(first.text)
    assert isinstance(second, Design) and second.text.split() == first.text.split()


@given(st.text(st.sampled_from("`$\\/*\"'\n ();=.,#@aby0") | st.characters(exclude_categories=()), max_size=120))
@settings(deadline=None, max_examples=150)
def test_any_text_is_answered(body: str) -> None:
    answer = found(module(body))
    assert isinstance(answer, (Design, Refusal))
    if isinstance(answer, Design):
        assert "$finish" not in answer.text and "`include" not in answer.text


def test_a_tools_macro_is_judged_both_ways_where_its_caller_does() -> None:
    text = module("`ifdef __ICARUS__\nwire k = b[0];\n`else\nwire k = b[1];\n`endif")
    design = examine(text, "top_module", with_variants=True)
    assert isinstance(design, Design) and "b[1]" in design.text
    assert ["b[0]" in variant for variant in design.variants] == [True]
    assert isinstance(examine(text.replace("b[0]", "nowhere"), "top_module", with_variants=True), Refusal)


def test_a_module_of_an_escaped_name_is_kept() -> None:
    design = found(
        "module \\s+1 (input i, output o); assign o = i; endmodule\n" + module("wire k; \\s+1 \\u[0] (a, k);")
    )
    assert isinstance(design, Design) and design.text.count("esc_732b31") == 2
