"""Importers: every layout, every encoding, every broken file; and nothing is lost without being counted."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.config import DataConfig
from itertl.errors import DataError, ItertlError, UsageError
from itertl.problems.importers import Request
from itertl.problems.load import from_config, load_problems
from itertl.problems.verilog_folder import without_notices
from itertl.records import Problem, Verdict
from itertl.runs.storage import read_records, write_records
from itertl.tools.slang import check

MODULE = "module m(input a, output y);\nassign y = ~a;\nendmodule\n"


def lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_train_pairs_default_filter(shared_data: Path) -> None:
    result = load_problems(str(shared_data / "train_pairs.jsonl"))
    assert (result.format, len(result.problems), sum(result.skipped.values())) == ("train-pairs", 2413, 516)
    first = result.problems[0]
    assert (
        first.header == "" and first.upstream_id and first.licence != "unknown" and first.source != "train_pairs.jsonl"
    )
    assert len({p.id for p in result.problems}) == 2413


def test_train_pairs_filter_is_merged_and_can_be_taken_away(shared_data: Path) -> None:
    path = str(shared_data / "train_pairs.jsonl")
    everything = load_problems(path, filter={"compiles": "any", "bench_overlap_flag": "any"})
    assert len(everything.problems) == 2929 and not everything.skipped
    mit = load_problems(path, filter={"license": "MIT"}, header="derive")
    assert 0 < len(mit.problems) < 614 and {p.licence for p in mit.problems} == {"MIT"}
    assert all((p.reference or "").startswith(p.header) for p in mit.problems)
    derived = sum(p.header != "" for p in mit.problems)
    assert derived + mit.notes.get("no header could be derived", 0) == len(mit.problems) and derived > 0.9 * len(
        mit.problems
    )


def test_limit_is_a_fixed_subset_in_source_order(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", [{"prompt": f"i{n}", "completion": MODULE} for n in range(300)])
    order = [p.id for p in load_problems(path).problems]
    config = DataConfig(source=path, limit=64)
    chosen = [p.id for p in from_config(config, 7).problems]
    assert chosen == [p.id for p in from_config(config, 7).problems] != [p.id for p in from_config(config, 8).problems]
    assert chosen == [p.id for p in from_config(config.model_copy(update={"seed": 7}), 8).problems]
    assert len(chosen) == 64 and [order.index(i) for i in chosen] == sorted(order.index(i) for i in chosen)


def test_rtlcoder_scoring_sample(shared_data: Path) -> None:
    result = load_problems(str(shared_data / "rtlcoder_scoring_sample.jsonl"))
    raw = [json.loads(line) for line in (shared_data / "rtlcoder_scoring_sample.jsonl").open(encoding="utf-8")]
    assert result.format == "rtlcoder" and len(result.problems) == len(raw) == 10
    for problem, row in zip(result.problems, raw, strict=True):
        assert (problem.instruction, problem.header) == (row["Instruction"], row["Input"])
        assert [*problem.extra["responses"], problem.reference] == row["Response"]
        assert problem.extra["Score"] == row["Score"] and row["Score"][-1] == 1


def test_verilogeval_by_column_mapping_gets_whole_references(shared_data: Path) -> None:
    columns = {"instruction": "detail_description", "header": "prompt", "reference": "canonical_solution"}
    result = load_problems(str(shared_data / "verilogeval_v1_machine.jsonl"), columns=columns)
    assert len(result.problems) == 143 and result.format == "columns"
    assert all((p.reference or "").startswith(p.header) and p.top == "top_module" for p in result.problems)


ROWS = [{"Instruction": f"Invert {n}", "Input": "module m(input a);", "Response": [MODULE]} for n in range(3)]


@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("layout", ["array", "lines", "pretty", "wrapped", "wrapped-line"])
def test_json_layouts_and_encodings(tmp_path: Path, layout: str, encoding: str, crlf: bool) -> None:
    text = {
        "array": json.dumps(ROWS),
        "lines": "\n\n" + "\n".join(json.dumps(row) for row in ROWS),
        "pretty": "\n" + json.dumps(ROWS, indent=2),
        "wrapped": json.dumps({"data": ROWS}, indent=1),
        "wrapped-line": json.dumps({"data": ROWS, "version": 1}),
    }[layout]
    path = tmp_path / "pairs.whatever"
    data = (text.replace("\n", "\r\n") if crlf else text).encode(encoding)
    path.write_bytes(gzip.compress(data) if layout == "array" else data)
    result = load_problems(str(path))
    assert result.format == "rtlcoder"
    assert [(p.instruction, p.header, p.reference) for p in result.problems] == [
        (r["Instruction"], r["Input"], MODULE) for r in ROWS
    ]


@pytest.mark.parametrize(
    ("row", "format", "instruction", "header", "reference"),
    [
        ({"Instruction": "i", "Input": "h", "Response": "r"}, "rtlcoder", "i", "h", "r"),
        ({"Instruction": "i", "Response": ["x", "r"]}, "rtlcoder", "i", "", "r"),
        ({"prompt": "i", "completion": "r"}, "prompt-completion", "i", "", "r"),
        ({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "i"}],
          "completion": [{"role": "assistant", "content": "r"}]}, "prompt-completion", "i", "", "r"),
        ({"instruction": "i", "input": "", "output": "r"}, "instruction-response", "i", "", "r"),
        ({"instruction": "i", "input": "module m(input a);", "output": "r"}, "instruction-response", "i",
         "module m(input a);", "r"),
        ({"instruction": "i", "input": "4 bits", "output": "r"}, "instruction-response", "i\n\n4 bits", "", "r"),
        ({"Question": "i", "Answer": "r"}, "instruction-response", "i", "", "r"),
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "old"},
                       {"role": "assistant", "content": "older"}, {"role": "user", "content": "i"},
                       {"role": "assistant", "content": "r"}]}, "messages", "i", "", "r"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "i"}]},
                       {"role": "assistant", "content": "r"}, {"role": "user", "content": "thanks"}]},
         "messages", "i", "", "r"),
        ({"conversations": [{"from": "human", "value": "i"}, {"from": "gpt", "value": "r"}]}, "messages", "i", "", "r"),
    ],
)  # fmt: skip
def test_layouts_are_recognised(
    tmp_path: Path, row: dict[str, Any], format: str, instruction: str, header: str, reference: str
) -> None:
    source = lines(tmp_path / "x.jsonl", [{**row, "license": "MIT", "id": 7, "note": "n"}])
    result = load_problems(source)
    problem = result.problems[0]
    assert result.format == format
    assert (problem.instruction, problem.header, problem.reference) == (instruction, header, reference)
    assert (problem.licence, problem.upstream_id, problem.source) == ("MIT", "7", "x.jsonl")
    assert problem.extra["note"] == "n"
    if format == "messages" and len(row.get("messages", [])) == 5:
        assert problem.extra["system"] == "s" and problem.extra["earlier_turns"][0]["content"] == "old"


def test_csv_tsv_and_parquet_agree(tmp_path: Path) -> None:
    import pandas

    rows = [
        {"q": 'a, "b"\nc', "code": MODULE + "x" * 200_000, "ok": True, "n": 3},
        {"q": "d", "code": "e", "ok": False, "n": 4},
    ]
    frame = pandas.DataFrame(rows)
    frame.to_csv(tmp_path / "a.csv", index=False, lineterminator="\r\n", encoding="utf-8-sig")
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "b.csv", index=False, sep=";")
    frame.to_parquet(tmp_path / "a.parquet")
    lines(tmp_path / "a.jsonl", rows)
    columns = {"instruction": "q", "reference": "code"}
    expected = [(r["q"], r["code"]) for r in rows]
    for name in ("a.csv", "a.tsv", "b.csv", "a.parquet", "a.jsonl"):
        result = load_problems(str(tmp_path / name), columns=columns)
        assert [(p.instruction, p.reference) for p in result.problems] == expected, name
        kept = load_problems(str(tmp_path / name), columns=columns, filter={"ok": True, "n": [3, 9]})
        assert [p.instruction for p in kept.problems] == [rows[0]["q"]] and sum(kept.skipped.values()) == 1, name


def test_hugging_face_folders_and_splits(tmp_path: Path) -> None:
    import datasets

    data = datasets.Dataset.from_list([{"prompt": "i", "completion": MODULE, "score": float("nan")}])
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"a": data, "b": data}).save_to_disk(str(tmp_path / "two"))
    for source in (str(tmp_path / "one"), f"hf:{tmp_path}/one", f"hf:{tmp_path}/two:b"):
        result = load_problems(source)
        assert result.format == "prompt-completion" and result.problems[0].reference == MODULE
        result.problems[0].to_line()
    with pytest.raises(DataError, match="no split 'train'; it has a, b"):
        load_problems(f"hf:{tmp_path}/two")
    with pytest.raises(DataError, match="no split 'c'"):
        load_problems(f"hf:{tmp_path}/two:c")


def test_own_problems_come_back_as_written(tmp_path: Path) -> None:
    made = [Problem.create(instruction=f"i{n}", reference=MODULE, source="s", family="f") for n in range(4)]
    write_records(tmp_path / "problems.jsonl", made)
    result = load_problems(str(tmp_path / "problems.jsonl"))
    assert result.problems == made == read_records(tmp_path / "problems.jsonl", Problem) and result.format == "problems"
    edited = json.loads(made[0].to_line()) | {"instruction": "other"}
    result = load_problems(lines(tmp_path / "edited.jsonl", [edited]))
    assert result.problems[0].id == Problem.create(instruction="other", reference=MODULE, source="s").id
    assert result.notes == {"id did not fit the content and was made anew": 1}


def test_verilog_folder(tmp_path: Path) -> None:
    files = {
        "a.v": "`timescale 1ns/1ps\n// Copyright (c) 2020 X\n// SPDX-License-Identifier: MIT\n\n// Inverts a.\n"
        + MODULE,
        "sub/b.sv": "/* Also inverts.\r\n * Twice. */\r\nmodule b(input a);\r\nendmodule\r\nmodule c; endmodule\r\n",
        "none.v": MODULE,
        "licence.v": "// Copyright 2021 Y, all rights reserved\n" + MODULE,
        "open.v": "// Broken\nmodule m(input a);",
        "empty.v": "",
        ".git/x.v": "// hidden\n" + MODULE,
        "readme.txt": "// text\n" + MODULE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, newline="")
    (tmp_path / "latin.v").write_bytes("// Größe\n".encode("latin-1") + MODULE.encode())
    result = load_problems(str(tmp_path))
    assert result.format == "verilog-folder"
    assert [(p.upstream_id, p.instruction, p.licence) for p in result.problems] == [
        ("a.v", "Inverts a.", "MIT"), ("latin.v", "Größe", "unknown"), ("sub/b.sv", "Also inverts.\nTwice.", "unknown"),
    ]  # fmt: skip
    assert result.problems[0].reference == "`timescale 1ns/1ps\n\n" + MODULE
    assert result.problems[2].reference == "module b(input a);\nendmodule\n\nmodule c; endmodule\n"
    assert result.skipped == {
        "file without a comment that says what the module does": 2, "file with a module that has no endmodule": 1,
        "file without a module": 1,
    }  # fmt: skip
    assert result.notes == {"file read as Latin-1": 1}
    assert sorted(line.partition(":")[0] for line in result.dropped) == ["empty.v", "licence.v", "none.v", "open.v"]
    assert load_problems(str(tmp_path / "a.v")).problems[0].instruction == "Inverts a."


def test_a_folder_gives_whole_designs_and_no_names(tmp_path: Path) -> None:
    head = "// Company: Acme\n// Engineer: Jo Smith\n// Create Date: 1.2.2020\n// Description: Adds two bits.\n// Revision 0.01 - File Created\n"
    files = {
        "half.v": head + "module half(input a, b, output s, c); assign {c, s} = a + b; endmodule\n",
        "full.v": "// A full adder of halves.\nmodule full(input a, b, c, output s, k);\n wire p, x, y;\n half h0(.a(a), .b(b), .s(p), .c(x));\n"
        " half h1(.a(p), .b(c), .s(s), .c(y));\n assign k = x | y;\nendmodule\nmodule full_tb; reg a; full dut(a); "
        "initial $finish; endmodule\n",
        "guard.v": "// Turns a bit.\n`ifndef G\n`define G\nmodule turn(input a, output y); assign y = ~a; endmodule\n`endif // G\n",
        "two.v": "// One bit of it.\nmodule bit_(input a, output y); assign y = a; endmodule\n// Passes two bits on.\n"
        "module two(input [1:0] a, output [1:0] y); bit_ b0(a[0], y[0]); bit_ b1(a[1], y[1]); endmodule\n",
        "bench.v": "// Tests the adder.\nmodule tb; full f(); initial $display(1); endmodule\n",
        "held.v": "// Engineer:\n//   Ann Roe\n// Author: Max\n//         Muster Mann\n// Jo Poe <jo@x.org>\n// Version: a latch that holds when enabled.\n"
        "module held(input e, d, output y); (* keep *) half h(e, d, y, ); endmodule\n",
        "late.v": "module late(input a, output y); // passes a on\n assign y = a;\nendmodule\n",
        "tool.v": "// Company:\n// Engineer:\n// Module Name: blank\n// Description:\n" + MODULE,
        "inc.v": '// Uses a file.\n`include "x.vh"\n' + MODULE,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    result = load_problems(str(tmp_path))
    found = {str(p.upstream_id): p for p in result.problems}
    assert set(found) == {"full.v", "guard.v", "half.v", "held.v", "inc.v", "late.v", "two.v"}
    assert found["half.v"].instruction == "Adds two bits." and found["late.v"].instruction == "passes a on"
    assert found["held.v"].instruction == "Version: a latch that holds when enabled." and "module half" in (
        found["held.v"].reference or ""
    )
    assert (found["two.v"].instruction, found["two.v"].top) == ("Passes two bits on.", "two")
    full = found["full.v"].reference or ""
    assert found["full.v"].top == "full" and "module half" in full and "full_tb" not in full
    assert [line.strip() for line in (found["guard.v"].reference or "").split("\n") if line.startswith("`")] == [
        "`ifndef G",
        "`define G",
        "`endif",
    ]
    assert sorted(result.dropped) == [
        "bench.v: file that is a testbench",
        "tool.v: file without a comment that says what the module does",
    ]
    assert result.notes["file with an include, which is not opened"] == 1


def test_a_folder_gives_what_other_files_define(tmp_path: Path) -> None:
    files = {
        "rtl/defs.vh": "`define W 8\n`define TWICE (2*`W)\n",
        "rtl/size.vh": "localparam DEPTH = 4;\n",
        "rtl/top.v": "// Adds.\nmodule top(input [`TWICE-1:0] a, output [7:0] y); cell_ c(a[7:0], y); endmodule\n",
        "rtl/cell.v": "// One cell.\nmodule cell_(input [7:0] a, output [7:0] y); assign y = a + 1; endmodule\n",
        "old/cell.v": "// One old cell.\nmodule cell_(input [7:0] a, output [7:0] y); assign y = a; endmodule\n",
        "rtl/pk.sv": "package two;\n  localparam N = 2;\nendpackage : two\npackage pk;\n  import two::*;\n  typedef logic [N-1:0] word;\nendpackage\n",
        "rtl/bus.sv": "interface bus; logic v;\nendinterface\n",
        "rtl/use.sv": "// Uses them.\nmodule use_ import pk::*; (input word a, output word y); bus b(); assign y = a; endmodule\n",
        "rtl/mem.v": '// Keeps.\nmodule mem(input a, output y);\n`include "size.vh"\nassign y = a; endmodule\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    result = load_problems(str(tmp_path))
    found = {str(p.upstream_id): p.reference or "" for p in result.problems}
    assert found["rtl/top.v"].startswith("`define W 8\n`define TWICE (2*`W)\n") and "a + 1" in found["rtl/top.v"]
    assert "localparam DEPTH = 4;" in found["rtl/mem.v"] and "include" not in found["rtl/mem.v"]
    assert found["rtl/cell.v"].startswith("module cell_")
    assert all(check(text).verdict is Verdict.PASSED for text in found.values())
    assert result.notes["packages and interfaces taken from other files of the folder"] == 3
    assert result.notes["module that several files hold, taken from the nearest"] == 1


@pytest.mark.parametrize(
    ("comment", "kept"),
    [
        ("Engineer:\n    Jo Smith\nCounts up.", "Counts up."),
        ("Authors:\n  Jo Smith\n  A. Lee <a@b.org>\n\nCounts to four.", "Counts to four."),
        ("Version: 1.2\nDate: 3 May 2020, the day of the first release of all\nCounts.", "Counts."),
        (
            "Version: puts the eight bits of the version on the bus",
            "Version: puts the eight bits of the version on the bus",
        ),
        ("Author: Max\n        Muster Mann\nJo Poe <jo@x.org>\nLatches.", "Latches."),
        (
            "Description: Counts up,\n              and wraps.\nAdditional Comments: the reset is asynchronous, "
            "active low\n",
            "Counts up,\nand wraps.\nthe reset is asynchronous, active low",
        ),
        (
            "Copies d to q while en is high. Copyright (c) 2020 John Smith, MIT licence",
            "Copies d to q while en is high.",
        ),
        ("This file is part of Foo. Foo is free software: you may redistribute it.\n\nTurns a bit", "Turns a bit"),
        ("Device: xc7a35t\nTools: Vivado 2020.1\nTurns a bit", "Turns a bit"),
        (
            "Device: drives the select line of the device that is asked for",
            "Device: drives the select line of the device that is asked for",
        ),
    ],
)
def test_what_a_header_says_of_the_design_is_kept(comment: str, kept: str) -> None:
    assert without_notices(comment) == kept


@pytest.mark.parametrize(
    "answer",
    [
        "```verilog\n{}```", "Sure! Here is the code:\n\n```\n{}```\nIt turns a.",
        "<think>\nmodule m is asked\n</think>\n{}",
        "CODE BEGIN\n{}CODE END", "The module is as follows.\n{}", "{}\nThis module turns its input.",
        "<answer>{}</answer>",
    ],
)  # fmt: skip
def test_code_is_taken_out_of_a_wrapped_reference(answer: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"instruction": "Turn a.", "response": answer.format(MODULE)}))
    (problem,), notes = (result := load_problems(str(path))).problems, result.notes
    assert (problem.reference or "").strip() == MODULE.strip() and problem.top == "m"
    assert notes == {"code taken out of a reference with fences, thoughts or prose": 1}


@pytest.mark.parametrize(
    "before",
    [
        "// a comment about the module m\n",
        "`timescale 1ns/1ps\n`default_nettype none\n",
        "package p; localparam W = 1; endpackage\n",
        "typedef logic [7:0] byte_t;\n",
    ],
)
def test_a_plain_reference_stays_as_it_is(before: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"instruction": "Turn a.", "response": before + MODULE}))
    assert load_problems(str(path)).problems[0].reference == before + MODULE


def test_columns_lead_into_values_by_dots(tmp_path: Path) -> None:
    path = tmp_path / "nested.jsonl"
    inner = json.dumps({"answer": [{"code.sv": MODULE}]})
    path.write_text(
        json.dumps({"prompt": [{"role": "user", "content": "Turn a."}], "reward_model": {"ground_truth": inner}})
    )
    columns = {"instruction": "prompt", "reference": "reward_model.ground_truth.answer.0.code.sv"}
    assert load_problems(str(path), columns=columns).problems[0].reference == MODULE
    told = load_problems(str(path), columns={**columns, "reference": "reward_model.ground_truth"})
    assert any("JSON text" in note for note in told.notes)
    with pytest.raises(DataError, match=r"no row has 'reward_model\.nothing'"):
        load_problems(str(path), columns={**columns, "reference": "reward_model.nothing"})


def test_a_folder_of_data_files_is_told_from_verilog(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=f"give hf:{tmp_path}"):
        load_problems(str(tmp_path))
    (tmp_path / "part.arrow").write_bytes(b"")
    with pytest.raises(DataError, match=f"hf:{tmp_path}"):
        load_problems(str(tmp_path / "part.arrow"))


def test_a_derived_header_is_that_of_the_top(tmp_path: Path) -> None:
    helper = "module helper(input a, output y); assign y = a; endmodule"
    top = "module top(input a, output y);\n helper helper(.a(a), .y(y));\nendmodule"
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"instruction": "Pass a on.", "response": f"{helper}\n{top}\n"}))
    (problem,) = load_problems(str(path), header="derive").problems
    assert (problem.top, problem.header) == ("top", "module top(input a, output y);")
    assert problem.reference == f"{top}\n\n{helper}\n"


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "completion": "x", "keep": 1}, {"prompt": "a", "completion": "x", "keep": 1},
        {"prompt": None, "completion": "x", "keep": 1}, {"prompt": "b", "completion": " \n", "keep": 1},
        {"prompt": "b", "completion": None, "keep": 1}, {"prompt": "c", "completion": "x", "keep": 0},
        {"prompt": "d", "completion": "x", "keep": 1},
    ]  # fmt: skip
    result = load_problems(lines(tmp_path / "x.jsonl", rows), filter={"keep": 1}, limit=1)
    assert len(result.problems) + sum(result.skipped.values()) == len(rows)
    assert result.skipped == {
        "no instruction": 1, "no reference": 2, "filter: keep is not 1": 1,
        "duplicate of an earlier row": 1, "outside the random subset (limit)": 1,
    }  # fmt: skip


def test_odd_text_survives_and_can_be_written(tmp_path: Path) -> None:
    text = "a\ud83d\ude00b \ud800 \x00 \u2028 é" + "z" * 300_000
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"prompt": text, "completion": MODULE, "\udfff": "\udc00", "nan": float("nan")}) + "\n")
    problem = load_problems(str(path)).problems[0]
    assert problem.instruction == "a😀b � \x00 \u2028 é" + "z" * 300_000
    write_records(tmp_path / "out.jsonl", [problem])
    assert read_records(tmp_path / "out.jsonl", Problem) == [problem]


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty.jsonl": ("", r"empty\.jsonl: is empty"),
    "blank.json": (" \n\ufeff"[:2], "is empty"),
    "array.json": ("[]", "holds no rows"),
    "wrapped.json": ('{"data": []}', "holds no rows"),
    "item.json": ('[{"prompt":"a","completion":"b"}, 3]', "item 2: a int, not a JSON object"),
    "line.jsonl": ('{"prompt":"a","completion":"b"}\n{"prompt":\n', r"line\.jsonl:2: not JSON"),
    "list.jsonl": ('{"prompt":"a","completion":"b"}\n[1]\n', r"list\.jsonl:2: a list, not a JSON object"),
    "first.jsonl": ('\n{"prompt" "a"}\n', r"first\.jsonl:2: not JSON"),
    "cut.json": ('[{"prompt": "a",\n "completion": "b"},\n', r"cut\.json:3: not JSON"),
    "deep.jsonl": ('{"a":' + "[" * 100_000, r"deep\.jsonl:1: "),
    "text.txt": ("hello", "neither JSON"),
    "text.jsonl": ("\nhello", r"text\.jsonl:2: starts with 'h'"),
    "latin.jsonl": (b'{"prompt": "a"}\n{"prompt": "\xe9"}', r"latin\.jsonl:2: not utf-8 text"),
    "cells.csv": ("prompt,completion\na,b\nc\n", r"cells\.csv:3: 1 cells under 2 columns"),
    "quote.csv": ('prompt,completion\n"a"x,b\n', r"quote\.csv:2: not well-formed CSV"),
    "twice.csv": ("prompt,prompt\na,b\n", "column 'prompt' occurs twice"),
    "header.csv": ("prompt,completion\n", "holds no rows"),
    "bad.parquet": (b"PAR1 nothing PAR1", "not a whole Parquet file"),
    "bad.gz": (b"\x1f\x8b nothing", "cannot be read"),
    "unknown.jsonl": ('{"foo": "a", "bar": "b"}', r"its columns \(foo, bar\) are of no known layout"),
    "nested.jsonl": (
        '{"foo": {"x": "a", "y": 1}, "bar": "b"}',
        r"reference=foo\.x \(dots lead into values: foo\.x, foo\.y\)",
    ),
    "type.jsonl": ('{"Instruction": "a", "Response": 3}', r"type\.jsonl:1: column 'Response' holds a int, not text"),
    "types.jsonl": ('{"Instruction": "a", "Response": ["x", 3]}', "response 2 is a int"),
    "dict.jsonl": ('{"Instruction": {"a": 1}, "Response": "x"}', "column 'Instruction' holds a dict"),
    "missing.jsonl": (
        '{"Instruction": "a", "Response": "x"}\n{"Instruction": "b"}',
        r"missing\.jsonl:2: has no 'Response'",
    ),
    "absent.jsonl": ('{"Instruction": "a"}', "of no known layout"),
    "none.jsonl": ('{"prompt": "a", "completion": null}', "no problem is left .no reference: 1"),
    "chat.jsonl": ('{"messages": [1]}', r"chat\.jsonl:1: column 'messages' is not a list of messages"),
    "content.jsonl": ('{"messages": [{"role": "user", "content": 1}]}', "a message's content is a int"),
    "schema.jsonl": ('{"schema": "itertl.problem/9", "id": "x"}', r"schema\.jsonl:1: schema is 'itertl.problem/9'"),
    "field.jsonl": ('{"schema": "itertl.problem/1", "instruction": "x"}', r"field\.jsonl:1: field source"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        load_problems(str(tmp_path / name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"columns": {"instruction": "promt", "reference": "code"}},
            "no column 'promt' .for instruction.; did you mean 'prompt'",
        ),
        ({"columns": {"instrction": "prompt"}}, "'instrction' is not a field of a problem; did you mean 'instruction'"),
        ({"columns": {"instruction": "prompt"}}, "no column 'reference' .for reference.; .*it has: prompt, code"),
        ({"format": "rtlcoder"}, "no column 'Instruction'"),
        (
            {"columns": {"instruction": "prompt", "reference": "code"}, "filter": {"compile": 1}},
            "the filter's column is not one of the table",
        ),
        ({"format": "rtl-coder"}, "unknown importer 'rtl-coder': did you mean 'rtlcoder'"),
        ({"limit": 0}, "limit is 0"),
        ({"header": "cut"}, "header is 'cut'"),
    ],
)
def test_wrong_arguments_say_the_mend(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    source = lines(tmp_path / "x.jsonl", [{"prompt": "a", "code": "b"}])
    with pytest.raises(UsageError, match=message):
        load_problems(source, **arguments)


def test_absent_and_empty_sources(tmp_path: Path) -> None:
    for source in (str(tmp_path / "no.jsonl"), str(tmp_path), "hf:", str(tmp_path / "no:where")):
        with pytest.raises(DataError):
            load_problems(source)


def my_importer(request: Request, counts: Any) -> list[Problem]:
    counts.skipped["mine"] += 2
    return [Problem.create(instruction=request.source, reference=MODULE, source="mine")]


def test_users_own_importer() -> None:
    result = load_problems("anything", format="test_importers:my_importer", header="derive")
    assert result.problems[0].instruction == "anything" and result.skipped == {"mine": 2}
    assert result.problems[0].header == "module m(input a, output y);"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
COLUMNS = st.sampled_from(["Instruction", "Input", "Response", "prompt", "completion", "messages", "output", "x", "id"])


@settings(deadline=None, max_examples=150)
@given(rows=st.lists(st.dictionaries(COLUMNS, VALUES, max_size=5), max_size=4), array=st.booleans())
def test_any_json_loads_or_names_its_fault(tmp_path_factory: pytest.TempPathFactory, rows: Any, array: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(rows) if array else "\n".join(json.dumps(row) for row in rows))
    try:
        result = load_problems(str(path))
    except ItertlError as error:
        assert "any.json" in str(error)
    else:
        assert len(result.problems) + sum(result.skipped.values()) == len(rows)
        assert all(json.loads(p.to_line())["schema"] == "itertl.problem/1" for p in result.problems)


def test_texts_of_a_corpus_are_references_without_instructions(tmp_path: Path) -> None:
    own = {"schema": "itertl.text/1", "id": "x", "text": "module a; endmodule\n", "path": "ip/a.v", "licence": "MIT"}
    rows = [own, {**own, "path": "ip/b.v"}, {**own, "text": " \n", "path": "ip/c.v"}]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load_problems(str(path))
    (problem,) = loaded.problems
    assert (problem.instruction, problem.reference, problem.upstream_id) == ("", "module a; endmodule\n", "ip/a.v")
    assert (problem.licence, problem.source, loaded.format) == ("MIT", "corpus.jsonl", "corpus")
    assert loaded.skipped == {"no text": 1, "duplicate of an earlier row": 1}
    path.write_text(json.dumps({"content": "wire x;"}) + "\n")
    (other,) = load_problems(str(path), format="corpus", columns={"reference": "content"}).problems
    assert other.reference == "wire x;"
    with pytest.raises(DataError, match="no column 'text'"):
        load_problems(str(path), format="corpus")
    with pytest.raises(DataError, match="a corpus has no header"):
        load_problems(str(path), format="corpus", columns={"header": "content"})
