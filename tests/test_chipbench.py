"""ChipBench: what its references leave to other files, what a copy lacks, and the faulty modules that must not pass.

The texts here are our own, in the repository's layout.
"""

import json
from pathlib import Path

import pytest

from itertl.errors import DataError
from itertl.evaluation.benchmarks import Benchmark, load, task_id
from itertl.evaluation.files import eval_file
from itertl.evaluation.judge import Completion, judge
from itertl.evaluation.self_test import self_test
from itertl.records import Verdict

TEST = """`timescale 1ps/1ps
`define WIDTH 2
module tb;
  reg [`WIDTH-1:0] a = 0; wire [1:0] good, dut; integer wrong = 0, clocks = 0;
  RefModule r(.a(a), .q(good));
  TopModule t(.a(a), .q(dut));
  initial begin repeat (4) begin #1 clocks = clocks + 1; if (good !== dut) wrong = wrong + 1; a = a + 1; end $finish; end
  final $display("Mismatches: %0d in %0d samples", wrong, clocks);
endmodule
"""
NO_COUNT = TEST.replace(
    '$display("Mismatches: %0d in %0d samples", wrong, clocks)', 'if (!wrong) $display("Hint: No mismatched samples.")'
)
PLAIN = "module RefModule(input [1:0] a, output [1:0] q);\n  assign q = ~a;\nendmodule\n"
WITH_MACRO = PLAIN.replace("[1:0]", "[`WIDTH-1:0]")
WITH_PART = "module RefModule(input [1:0] a, output [1:0] q);\n  inverter i(.x(a), .y(q));\nendmodule\n"
PART = "`define ONES 2'b11\nmodule inverter(input [1:0] x, output [1:0] y);\n  assign y = x ^ `ONES;\nendmodule\n"
WRONG = PLAIN.replace("~a", "a").replace("RefModule", "TopModule")
ASKED = "I would like you to implement a module named TopModule.\n"
MEND = "\nBased on the problem description above, the code below in TopModule has bug, please fix that:\n"


def fence(code: str) -> str:
    return f"```\n{code}\n```\n"


def clone(folder: Path, problems: dict[str, tuple[str, str, str]]) -> Path:
    """``problems``: dataset/name -> prompt, reference, testbench."""
    for name, texts in problems.items():
        half = "Verilog Debugging" if "debug" in name else "Verilog Gen"
        for part, text in zip(("prompt.txt", "ref.sv", "test.sv"), texts, strict=True):
            path = folder / half / f"dataset_{name}_{part}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


def generation(folder: Path) -> Benchmark:
    given = ASKED + "Provided:\n" + fence(PART)
    problems = {
        "self_contain/Prob001_plain": (ASKED, PLAIN, TEST), "cpu_ip/Prob002_macro": (ASKED, WITH_MACRO, TEST),
        "not_self_contain/Prob003_part": (given, WITH_PART, TEST), "cpu_ip/Prob004_no_count": (ASKED, PLAIN, NO_COUNT),
        "not_self_contain/Prob005_nowhere": (ASKED, WITH_PART, TEST),
        "self_contain/Prob007_fails": (ASKED, PLAIN, TEST.replace("good !== dut", "1")),
    }  # fmt: skip
    return load("chipbench", clone(folder, problems))


def debugging(folder: Path, buggy: str = WRONG) -> Benchmark:
    prompt = ASKED + MEND + fence(buggy)
    waveform = prompt + "\n======= VCD OUTPUT BEGIN =======\n$date\n$end\n"
    problems = {f"debug_zero_shot_{bug}/Prob002_one": (prompt, PLAIN, TEST) for bug in ("timing", "arithmetic")}
    return load(
        "chipbench-debug", clone(folder, {**problems, "debug_one_shot_timing/Prob002_one": (waveform, PLAIN, TEST)})
    )


def verdicts(found: Benchmark, answers: dict[str, str]) -> dict[str, tuple[Verdict, str]]:
    completions = [Completion(task, 0, text, full_module=True) for task, text in answers.items()]
    rows = judge(found, completions, num_workers=1)
    return {row.task_id: (row.verdict, row.detail) for row in rows}


def test_references_are_whole_or_their_problem_is_unjudgeable(tmp_path: Path) -> None:
    found = generation(tmp_path)
    said = verdicts(found, {task: problem.reference or "" for task, problem in found.by_id.items()})
    assert {task for task, (verdict, _) in said.items() if verdict is Verdict.PASSED} == {
        "Prob001_plain", "Prob002_macro", "Prob003_part", "Prob004_no_count",
    }  # fmt: skip
    assert said["Prob005_nowhere"][0] is said["Prob007_fails"][0] is Verdict.UNJUDGEABLE
    assert "needs the module inverter, of which its prompt and testbench have none" in said["Prob005_nowhere"][1]
    wrong = verdicts(found, dict.fromkeys(("Prob001_plain", "Prob004_no_count"), WRONG))
    assert {verdict for verdict, _ in wrong.values()} == {Verdict.WRONG_OUTPUT}


def test_a_module_of_the_prompt_need_not_be_repeated_and_never_serves_the_reference(tmp_path: Path) -> None:
    answer = WITH_PART.replace("RefModule", "TopModule")
    answers = [answer, answer + PART, answer + PART.replace("x ^", "x &")]
    given = [Completion("Prob003_part", i, text, full_module=True) for i, text in enumerate(answers)]
    found = [row.verdict for row in judge(generation(tmp_path), given, num_workers=1)]
    assert found == [Verdict.PASSED, Verdict.PASSED, Verdict.WRONG_OUTPUT]


def test_a_debugging_problem_shows_its_module_and_gives_its_header(tmp_path: Path) -> None:
    found = debugging(tmp_path)
    assert list(found.by_id) == [
        "zero_shot_arithmetic/Prob002_one", "zero_shot_timing/Prob002_one", "one_shot_timing/Prob002_one",
    ]  # fmt: skip
    problem = found.problems[1]
    assert problem.header == "module TopModule(input [1:0] a, output [1:0] q);"
    assert problem.extra["buggy"].strip() == WRONG.strip() and WRONG in problem.instruction
    assert "VCD" in found.problems[2].instruction and "VCD" not in problem.instruction
    halves = [load(f"chipbench-debug-{shot}-shot", tmp_path) for shot in ("zero", "one")]
    assert [task for half in halves for task in half.by_id] == list(found.by_id)


def test_a_header_that_the_bug_may_be_in_is_not_given(tmp_path: Path) -> None:
    problem = debugging(tmp_path, WRONG.replace("[1:0] q", "q")).problems[0]
    assert problem.header == "" and "output q" in problem.instruction


def test_the_self_test_finds_a_faulty_module_that_passes(tmp_path: Path) -> None:
    prompts = [ASKED + MEND + fence(code) for code in (WRONG, PLAIN.replace("RefModule", "TopModule"))]
    problems = {f"debug_zero_shot_timing/Prob00{n}_one": (prompt, PLAIN, TEST) for n, prompt in enumerate(prompts, 1)}
    found = self_test(load("chipbench-debug", clone(tmp_path, problems)), max_mutants=0, num_workers=1)
    assert found.checked == 2
    assert found.failures == {"zero_shot_timing/Prob002_one": "the faulty module that it asks to fix passes"}


def test_what_a_copy_lacks_is_named(tmp_path: Path) -> None:
    folder = clone(
        tmp_path / "copy", {"cpu_ip/Prob001_one": (ASKED, PLAIN, TEST), "cpu_ip/Prob004_two": (ASKED, PLAIN, TEST)}
    )
    (folder / "Verilog Gen/dataset_cpu_ip/Prob004_two_ref.sv").unlink()
    found = load("chipbench", folder / "Verilog Gen")
    assert (found.version, [task_id(p) for p in found.problems]) == ("1 (1 of 45 problems)", ["Prob001_one"])
    samples = tmp_path / "samples.jsonl"
    samples.write_text(json.dumps({"task_id": "Prob001_one", "completion": WRONG, "full_module": True}) + "\n")
    said = eval_file(samples, load("chipbench", folder), num_workers=1)
    assert any("Prob004_two (without ref.sv), Prob002, Prob003, Prob005" in note for note in said["notes"])
    assert any("30 problems of dataset_self_contain: the folder is not there" in note for note in said["notes"])
    with pytest.raises(DataError, match=r"holds no dataset_debug.*git clone"):
        load("chipbench-debug", folder)


def test_real_references_pass(shared_data: Path) -> None:
    found = load("chipbench", shared_data / "upstream/ChipBench")
    said = verdicts(found, {task: problem.reference or "" for task, problem in found.by_id.items()})
    failing = {task for task, (verdict, _) in said.items() if verdict is not Verdict.PASSED}
    assert failing == set(found.errata) == {"Prob006_cpu_top"}


@pytest.mark.slow
@pytest.mark.parametrize("shot", ["zero", "one"])
def test_no_real_faulty_module_passes_and_its_fixed_form_does(shared_data: Path, shot: str) -> None:
    found = load(f"chipbench-debug-{shot}-shot", shared_data / "upstream/ChipBench")
    fixed = verdicts(found, {task: problem.reference or "" for task, problem in found.by_id.items()})
    assert {verdict for verdict, _ in fixed.values()} == {Verdict.PASSED}
    faulty = verdicts(found, {task: problem.extra["buggy"] for task, problem in found.by_id.items()})
    failed = {Verdict.WRONG_OUTPUT, Verdict.TIMEOUT, Verdict.ELABORATION_ERROR}
    assert len(faulty) == 46 and {verdict for verdict, _ in faulty.values()} <= failed
