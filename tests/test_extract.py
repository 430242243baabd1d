"""Extraction: what is kept, and that every character is accounted for."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.verilog.extract import ADDED_BREAK, ADDED_END, ADDED_HEADER, Extraction, extract
from itertl.verilog.text import unix_lines

HEADER = "module mux(input a, input b, input s, output y);\n"
BODY = "  assign y = s ? b : a;\nendmodule"
MODULE = HEADER + BODY
TESTBENCH = "module tb;\n  reg a;\n  mux u(a);\n  initial begin #1 $finish; end\nendmodule"


def account(text: str, found: Extraction, before: str) -> None:
    """Kept and dropped characters are those of the text, beside what stood before it and the noted additions."""
    notes = Counter(d.reason for d in found.dropped if not d.text)
    kept = Counter(found.code)
    kept.subtract(Counter("\n" * notes[ADDED_BREAK]))
    if notes[ADDED_END]:
        kept.subtract(Counter("endmodule" * notes[ADDED_END]))
    dropped = Counter("".join(d.text for d in found.dropped))
    total = Counter({c: n for c, n in (kept + dropped).items() if c != "\n"})
    want = Counter({c: n for c, n in (Counter(text) + Counter(before)).items() if c != "\n"})
    assert total == want
    position = 0  # the dropped pieces lie in the text in this order
    for piece in (d.text for d in found.dropped if d.text):
        position = text.index(piece, position) + len(piece)


@pytest.mark.parametrize(
    "text",
    [
        MODULE,
        f"\n\n{MODULE}\n\n",
        f"Sure, a module (a mux):\n```verilog\n{MODULE}\n```\nThis module picks an input.",
        f"```systemverilog\r\n{MODULE}\r\n```",
        f"```verilog\n{MODULE}",
        f"{MODULE}\n```\nIt works.",
        f"{MODULE}module mux(input a); endmodule",
        f"{MODULE}\n\n{TESTBENCH}\n",
        f"```\n{MODULE}\n```\nTestbench:\n```\n{TESTBENCH}\n```",
        f"{MODULE}\n{MODULE}",
        f"{MODULE}\nmodule other(input q);\nassign z = 1;\nendmodule",
        f"{MODULE}\nmodule other(input q);\nassign z",
        f"{MODULE}<|im_end|>\n<|im_start|>user\nMore, please",
        f"Mind the `endmodule`; and the word module.\n{MODULE}",
        f"// an endmodule; in a comment\nLet me think.\n\n{MODULE} I hope it helps!",
    ],
)
def test_a_whole_module_is_found_among_other_things(text: str) -> None:
    found = extract(text, header=HEADER)
    assert found.code.replace("\r", "") == MODULE
    account(text, found, "")


@pytest.mark.parametrize("prefill", ["", HEADER])
@pytest.mark.parametrize(
    "text", [BODY, f"{BODY}\n```\nDone.", f"{BODY}\n{TESTBENCH}", f"{BODY}\n```\nTest:\n```verilog\n{TESTBENCH}\n```"]
)
def test_a_body_goes_on_from_the_header(text: str, prefill: str) -> None:
    found = extract(text, header=HEADER, prefill=prefill)
    assert found.code == MODULE
    assert (ADDED_HEADER in {d.reason for d in found.dropped}) is (prefill == "")
    account(text, found, HEADER)


def test_a_body_in_a_fence_and_one_without_an_end() -> None:
    found = extract("Here:\n```verilog\n  assign y = s ? b : a;\n```", header=HEADER)
    assert found.code == MODULE
    assert {ADDED_HEADER, ADDED_END} <= {d.reason for d in found.dropped}


def test_a_repeated_header_is_not_doubled() -> None:
    assert extract(MODULE, header=HEADER, prefill=HEADER).code == MODULE
    assert extract(f"```verilog\n{MODULE}\n```", header=HEADER, prefill=HEADER).code == MODULE


def test_truncated_code_is_closed_and_says_so() -> None:
    found = extract(HEADER + "  assign y = s ?", header=HEADER)
    assert found.code == HEADER + "  assign y = s ?\nendmodule"
    assert [d.reason for d in found.dropped] == [ADDED_END]


def test_helpers_stay_and_strangers_go() -> None:
    helper = "module fa(input a);\nendmodule"
    top = "module top(input b);\n  fa u(b);\nendmodule"
    other = "module other(input c);\nendmodule"
    for text in (f"{helper}\n{top}\n{other}", f"{other}\n{helper}\n{top}"):
        assert extract(text, header="module top(input b);").code == f"{helper}\n{top}"
    assert extract(f"{helper}\n{top}\n{other}").code == f"{helper}\n{top}"
    found = extract(f"{top}\n```\nand\n```\n{helper}```", header="module top(input b);\n")
    assert found.code == f"{top}\n{helper}"


def test_comments_and_directives_before_the_module_stay() -> None:
    code = "`timescale 1ns/1ps\n`ifndef M\n`define M\n/* two\n   lines */\n// note\n" + MODULE + "\n`endif"
    assert extract(f"The file:\n\n{code}\nEnjoy!").code.lstrip("\n") == code


def test_a_package_and_a_typedef_stay() -> None:
    code = "package p;\n  parameter W = 4;\nendpackage\ntypedef enum logic {A, B} t;\n" + MODULE
    assert extract(f"Intro\n{code}\nBye").code == code


@pytest.mark.parametrize(
    "text", ["", " \n", "I cannot do that.", "Begin with module, then write endmodule.", "```\n```"]
)
def test_without_code_all_is_dropped(text: str) -> None:
    found = extract(text, header=HEADER)
    assert found.code == ""
    assert "".join(d.text for d in found.dropped) == text


def test_a_lonely_testbench_is_kept_for_the_judge() -> None:
    assert extract(TESTBENCH).code == TESTBENCH


PARTS = st.sampled_from(
    [
        *(
            "module ",
            "endmodule",
            "mux",
            "tb",
            "(",
            ")",
            ";",
            "\n",
            "\r\n",
            " ",
            "```",
            "```verilog\n",
            "//",
            "/*",
            "*/",
        ),
        *('"', "`", "`timescale 1ns/1ps\n", "assign y = a;", "<|im_end|>", "endmodulemodule", "é", "\x00", "\ud800"),
        *(
            "\ufeff",
            "~~~\n",
            "package p;",
            "endpackage",
            "typedef ",
            "$finish",
            "initial ",
            "\\",
            "`ifdef A\n",
            "`endif",
        ),
        *(MODULE, BODY, HEADER, TESTBENCH, "prose. "),
    ]
)
TEXTS = st.lists(PARTS | st.text(max_size=4), max_size=14).map("".join)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.sampled_from(["", HEADER, "module", MODULE, "\n"]), st.booleans())
def test_nothing_is_lost_and_nothing_raises(text: str, header: str, is_prefilled: bool) -> None:
    prefill = header if is_prefilled else ""
    found = extract(text, header=header, prefill=prefill)
    dropped = Counter("".join(d.text for d in found.dropped))
    have, want = Counter(found.code) + dropped, Counter(unix_lines(text))
    assert not want - have  # each character of the text is kept or dropped
    for piece in (d.text for d in found.dropped):
        assert piece in unix_lines(text)
    if not found.code:
        assert dropped == want
    else:
        notes = Counter(d.reason for d in found.dropped if not d.text)
        allowed = (
            Counter(header)
            + Counter(prefill)
            + Counter(("endmodule\n" * notes[ADDED_END]) + "\n" * (2 + notes[ADDED_BREAK]))
        )
        assert not (have - want) - allowed  # nothing is invented
        assert "endmodule" in found.code
        if not notes[ADDED_END]:  # an open block comment swallows the added one: a syntax error, as it should be
            assert extract(found.code, header=header).code.rstrip("\n") == found.code.rstrip("\n")


def test_real_model_outputs_keep_their_module(shared_data: Path) -> None:
    """Whole modules that a 7B model wrote come through as they are, with or without a fence and prose around them."""
    lines = (shared_data / "replay" / "dpskcoder7b_machine.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    prompts = {
        row["task_id"]: row["prompt"]
        for row in map(json.loads, (shared_data / "verilogeval_v1_machine.jsonl").read_text("utf-8").splitlines())
    }
    seen = 0
    for row in rows:
        text = row["completion"]
        if not (row["full_module"] and row["passed"] and text.count("endmodule") == 1):
            continue
        seen += 1
        whole = text[: text.rindex("endmodule") + len("endmodule")].strip()
        for shown in (text, f"Here you are:\n```verilog\n{text}\n```\nIt has one module."):
            assert extract(shown, header=prompts[row["task_id"]]).code.strip() == whole
    assert seen > 100


SOLUTION = "module m(input a, input b, output y);\n  assign y = a & b;\nendmodule\n"
DRAFT = "module m(input a, input b, output y);\n  assign y = a | b;\nendmodule\n"
SKELETON = "module m(input a, input b, output y);\n  // your code here\nendmodule\n"
THOUGHTS = {
    "a thought": f"<think>\nLet me try\n{DRAFT}\nno.\n</think>\n{SOLUTION}",
    "the opening mark came with the prompt": f"First\n```verilog\n{DRAFT}```\nhm</think>\n```verilog\n{SOLUTION}```\n",
    "begin_of_thought": f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>\n<|begin_of_solution|>\n{SOLUTION}<|end_of_solution|>",
    "reasoning and answer": f"<reasoning>\n{DRAFT}</reasoning>\n<answer>\n```verilog\n{SOLUTION}```\n</answer>",
    "answer alone": f"Draft: {DRAFT}\n<answer>{SOLUTION}</answer>",
    "two thoughts": f"<think>a {DRAFT}</think>well <think>{DRAFT}</think>\n{SOLUTION}",
    "a corrected version": f"```verilog\n{DRAFT}```\nWait, that is an OR. Corrected version:\n```verilog\n{SOLUTION}```",
    "a skeleton first": f"The skeleton:\n```verilog\n{SKELETON}```\nThe full module:\n```verilog\n{SOLUTION}```",
    "a mistake to avoid, last": f"```verilog\n{SOLUTION}```\nA common mistake:\n```verilog\n{DRAFT}```",
    "a fence right behind the mark": f"◁think▷{DRAFT}◁/think▷```verilog\n{SOLUTION}```",
    "channels": f"<|channel|>analysis<|message|>{DRAFT}<|channel|>final<|message|>```verilog\n{SOLUTION}```",
    "a mark that is only named": f"<think>I close with `</think>` later. {DRAFT}</think>\n{SOLUTION}\nBehind `</think>` stood nothing more.",
    "a thought behind the answer": f"<think>{DRAFT}</think>```verilog\n{SOLUTION}```<think>It holds.</think>\nDone.",
    "the fault is told of the draft": f"```verilog\n{DRAFT}```\nThe original had an error in it:\n```verilog\n{SOLUTION}```",
    "this instead of the draft": f"```verilog\n{DRAFT}```\nUse this instead of the previous code:\n```verilog\n{SOLUTION}```",
    "an alternative, last": f"```verilog\n{SOLUTION}```\nAlternatively, one could write:\n```verilog\n{DRAFT}```",
    "a body in a fence": f"<think>{DRAFT}</think>\n```verilog\n{SOLUTION.partition(chr(10))[2]}```",
    "without fences": f"{DRAFT}\nHmm, this fails. Final answer:\n\n{SOLUTION}",
}  # fmt: skip


@pytest.mark.parametrize("name", THOUGHTS)
def test_a_draft_is_no_answer(name: str) -> None:
    found = extract(THOUGHTS[name], header="module m(input a, input b, output y);")
    assert found.code.strip() == SOLUTION.strip()
    if "think" in THOUGHTS[name] or "<" in THOUGHTS[name]:
        assert any(d.reason == "thought" and "a | b" in d.text for d in found.dropped)


def test_a_thought_that_never_ends_holds_no_answer() -> None:
    assert extract(f"<think>\nmaybe\n{DRAFT}\nor", top="m").code == ""
    assert extract(f"maybe\n{DRAFT}\nor", top="m", opened=True).code == ""


def test_what_continues_a_prefilled_header_belongs_to_its_module() -> None:
    header = "module c(input clk, output reg q);"
    slip = extract("\n  always @(posedge clk) q <= ~q;\nend module c;", header=header, prefill=header).code
    assert slip.startswith(header) and "always @(posedge clk)" in slip and slip.endswith("endmodule")
    example = "\n  always @(posedge clk) q <= ~q;\nend\n// Example\nmodule t(input clk, output q);\n  c u(clk, q);\nendmodule\n"
    shown = extract(example, header=header, prefill=header).code
    assert shown.startswith(header) and "module t" not in shown
    twice = extract(
        f"\n  always @(posedge clk) q <= ~q;\nendmodule\n\n{header} assign q = 0;\nendmodule\n",
        header=header,
        prefill=header,
    ).code
    assert "always" in twice and "assign" not in twice  # a text that runs on: the first is the answer
    fenced = extract(
        "  always @(posedge clk) q <= ~q;\nend\n\nA test:\n```verilog\nmodule t;\n c u();\nendmodule\n```\n",
        header=header,
        prefill=header,
    ).code
    assert fenced.startswith(header) and "always @(posedge clk)" in fenced and "module t" not in fenced
    gates = extract("Here:\n```verilog\n  bufif1 u(q, clk, clk);\n```\n", header=header).code
    assert gates.startswith(header) and "bufif1 u(q, clk, clk);" in gates
    guard = "`ifndef C\n`define C\n"
    closed = extract(" always @(posedge clk) q <= ~q;\nendmodule\n", header=guard + header, prefill=guard + header)
    assert closed.code.endswith("endmodule\n`endif") and any("endif" in d.reason for d in closed.dropped)
    gate = extract("```\n  not u(q, clk);\nendmodule\n```", header=header).code
    assert gate == header + "\n  not u(q, clk);\nendmodule"
    again = extract(
        f"\nendmodule\n{header}\n  always @(posedge clk) q <= ~q;\nendmodule\n", header=header, prefill=header
    ).code
    assert again.count("module c") == 1 and "always" in again


def test_branches_of_an_ifdef_are_no_versions_and_tags_no_end() -> None:
    branches = f"`ifdef FAST\n{SOLUTION}\n`else\n{DRAFT}\n`endif\n"
    code = extract(f"```verilog\n{branches}```", header="module m(input a, input b, output y);").code
    assert (
        "a | b" in code and code.count("module m(") == 2 and "`ifdef FAST" in code and code.rstrip().endswith("`endif")
    )
    tagged = extract(
        f"{DRAFT}\n<strong>Corrected version</strong>\n{SOLUTION}", header="module m(input a, input b, output y);"
    ).code
    assert tagged.strip() == SOLUTION.strip()


def test_carriage_returns_alone_end_lines() -> None:
    assert extract("// a\rmodule m(input a, output y); // b\r assign y = a;\rendmodule\r").code.count("\n") >= 2


DRAFTED = (
    "<think>\n```verilog\n{head}\n  assign zz = (\nhm\n</think>\n```verilog\n{code}\n```\nIt works.",
    "maybe {draft}</think>{code}",
    "<reasoning>{draft}</reasoning><answer>```verilog\n{code}\n```</answer>",
    "```verilog\n{draft}```\nThat is wrong. Corrected version:\n```verilog\n{code}\n```",
    "{draft}\nFinal answer:\n\n{code}\n\nA common mistake:\n{draft}",
    "```verilog\n{head}\n// TODO\nendmodule\n```\nFull:\n```\n{code}\n```",
    "{code}\n\nCorrected version:\n```verilog\n{head}\n  assign zz = (",
)  # fmt: skip


def test_published_solutions_are_found_among_drafts(shared_data: Path) -> None:
    """Each of VerilogEval's solutions behind, before and between drafts, and nothing of a thought that never ends."""
    for name in ("human", "machine"):
        for row in map(json.loads, (shared_data / f"verilogeval_v1_{name}.jsonl").read_text("utf-8").splitlines()):
            head = row["prompt"]
            code, draft = (
                extract(head + row["canonical_solution"], header=head).code,
                f"{head}\n  assign zz = 1;\nendmodule\n",
            )
            for form in DRAFTED:
                assert (
                    extract(form.format(head=head, code=code, draft=draft), header=head).code.strip() == code.strip()
                ), (row["task_id"], form)
            assert extract(f"<think>\n{draft}", header=head).code == extract(draft, header=head, opened=True).code == ""


@pytest.mark.parametrize(
    "before",
    [
        "Sure! Here is the body:\n\n",
        "The module passes its input on.\nIt needs one line of code:\n",
        "",
        "// passes it on to the output\n",
        "assign unused_here = a;\n",
    ],
)
def test_prose_before_a_body_is_no_code(before: str) -> None:
    found = extract(f"{before}assign y = a;\nendmodule\n", header="module m(input a, output y);\n")
    kept = before if before.startswith(("//", "assign")) else ""
    assert found.code == f"module m(input a, output y);\n{kept}assign y = a;\nendmodule"
    always = "always @(posedge clk or negedge rst)\n  q <= d;\nendmodule\n"
    assert (
        "always @(posedge clk or negedge rst)"
        in extract(before + always, header="module m(input clk, rst, d, output reg q);\n").code
    )


FENCE = "```verilog\n"


def test_an_answer_that_begins_in_a_fence_ends_where_that_closes() -> None:
    """What follows is prose, and its code a second answer; the account knows the difference."""
    behind = f"\n```\n\nIt picks an input, assign y = 2;\n\n{FENCE}{TESTBENCH}\n```\n"
    found = extract(BODY + behind, header=HEADER, prefill=HEADER, opening=FENCE)
    assert found.code == MODULE
    account(BODY + behind, found, HEADER)
    reasons = {d.text.strip(): d.reason for d in found.dropped}
    assert reasons["It picks an input, assign y = 2;"] == "prose outside the code" and reasons[TESTBENCH] == "testbench"
    assert (
        extract(BODY + "```", header=HEADER, prefill=HEADER, opening=FENCE).code == MODULE
    )  # on the last line of the code
    unclosed = extract(
        "  assign y = a;\n```\nThat's all; assign y = 2;\n", header=HEADER, prefill=HEADER, opening=FENCE
    )
    assert unclosed.code == HEADER + "  assign y = a;\nendmodule"
    whole = extract(
        f"{MODULE}\n```\nBye.", header=HEADER, opening=f"Here it is:\n\n{FENCE}"
    )  # the header was not prefilled
    assert whole.code == MODULE and whole.dropped[-1].reason == "prose outside the code"


@pytest.mark.parametrize("text", ["", "\n", "```", "\n```", "\n```\n"])
@pytest.mark.parametrize("opening", ["", FENCE])
def test_a_prefilled_header_with_nothing_behind_it_is_no_code(text: str, opening: str) -> None:
    found = extract(text, header=HEADER, prefill=HEADER, opening=opening)
    assert found.code == "" and "".join(d.text for d in found.dropped) == text
