"""Published benchmarks: layouts, prompts, references under the names that testbenches use, and what is known of them.

The texts here are our own, in the layouts of the repositories; with the real ones beside the project every reference
meets its own testbench.
"""

import re
from pathlib import Path

import pytest

from itertl.errors import DataError, UsageError
from itertl.evaluation import errata, rtllm, simulations, testbenches, verilogeval_v2, vgen
from itertl.evaluation.benchmarks import Benchmark, load, task_id
from itertl.records import Problem, Verdict
from itertl.sandbox.sandbox import Completed
from itertl.tools import icarus
from itertl.tools.icarus import Simulation
from itertl.verilog.extract import extract
from itertl.verilog.header import derive_header
from itertl.verilog.text import modules

V2_TEST = """module tb;
  wire good, dut;
  RefModule r(.q(good));
  TopModule t(.q(dut));
  integer wrong = 0;
  initial begin #1 wrong = good !== dut; $finish; end
  final $display("Mismatches: %0d in 1 samples", wrong);
endmodule
"""
V2_REF = "module RefModule (output q);\n  assign q = 1'b1;\nendmodule\n"
RTLLM_TEST = """module bench;
  wire [3:0] q;
  integer errors = 0;
  reg [3:0] want [0:0];
  four #(.W(4)) uut (.q(q));
  initial begin
    $readmemh("want.txt", want);
    #1 if (q !== want[0]) errors = errors + 1;
    if (errors == 0) $display("=== Your Design Passed ==="); else $display("=== Failed ===");
  end
endmodule
"""
RTLLM_REF = """module half(output [1:0] q); assign q = 2'b01; endmodule
module verified_four #(parameter W = 2) (output [W-1:0] q);
  half low(.q(q[1:0]));
  half high (.q(q[3:2]));
endmodule
"""
VGEN_TEST = """module tb_not;
  reg a = 0; wire y;
  my_not UUT (.a(a), .y(y));
  initial begin #1 if (y !== 1) begin $display("test failed"); $finish; end $display("all tests passed"); $finish; end
endmodule
"""
VGEN_HEAD = "module my_not(\ninput a,\noutput y );"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def v2_clone(folder: Path, *, examples: bool = False) -> Path:
    files: dict[str, str] = {}
    prompts = {
        "spec-to-rtl": "\nMake TopModule:\n\n - output q\n\n",
        "code-complete-iccad2023": "\nBe one.\nAlways.\n\nmodule TopModule (\n  output q\n);\n\n",
    }
    for task, prompt in prompts.items():
        for number in ("002", "001"):
            stem = f"dataset_{task}/Prob{number}_one"
            files |= {f"{stem}_prompt.txt": prompt, f"{stem}_ref.sv": V2_REF, f"{stem}_test.sv": V2_TEST}
        if examples:
            files[f"scripts/verilog-example-prefix_{task}_2-shot.txt"] = f"two examples of {task}\n"
    return write(folder, files)


def rtllm_clone(folder: Path, below: str) -> Path:
    files = {
        "design_description.txt": "Make four.\n", "testbench.v": RTLLM_TEST, "verified_4.v": RTLLM_REF,
        "want.txt": "5\n",
        "makefile": "vcs:\n", "unused.txt": "not named in the testbench\n",
    }  # fmt: skip
    return write(folder, {f"{below}four/{name}": text for name, text in files.items()})


def vgen_clone(folder: Path) -> Path:
    base = "prompts-and-testbenches/basic1"
    prompts = {f"{base}/prompt{n}_not.v": f"// A not.\n{VGEN_HEAD}\n" + "// more\n" * n for n in (1, 2, 3)}
    return write(
        folder,
        {**prompts, f"{base}/tb_not.v": VGEN_TEST, f"{base}/answer_not.v": f"{VGEN_HEAD}\nassign y = ~a;\nendmodule\n"},
    )


def says(problem: Problem, code: str) -> str:
    """What the simulation prints, without the sandbox's account; "" where it does not compile."""
    done = simulations.two_files(problem, code)
    return done.ran.stdout if done.ran is not None else ""


def ran(stdout: str, *, compiled: str = "") -> Simulation:
    def ended(out: str, err: str) -> Completed:
        return Completed(0, out, err, timed_out=False, flooded=False, seconds=0.1)

    return Simulation(ended("", compiled), ended(stdout, ""))


class TestVerilogEval2:
    def test_the_question_is_composed_as_upstream_does(self, tmp_path: Path) -> None:
        problem = load("verilogeval-v2-spec-to-rtl", v2_clone(tmp_path)).problems[0]
        assert problem.header == ""
        assert problem.instruction == (
            "\nQuestion:\nMake TopModule:\n\n - output q\n"
            "\nEnclose your code with [BEGIN] and [DONE]. Only output the code snippet\nand do NOT output anything "
            "else.\n"
            "\nAnswer:\n"
        )

    def test_completion_comments_the_description_and_gives_the_header(self, tmp_path: Path) -> None:
        problem = load("verilogeval-v2-code-complete", v2_clone(tmp_path)).problems[0]
        assert problem.instruction.endswith("unless otherwise stated.\n// \n// Be one.\n// Always.\n// \n\n")
        assert problem.header == "module TopModule (\n  output q\n);\n"

    def test_problems_come_in_order_with_a_reference_of_the_design_s_name(self, tmp_path: Path) -> None:
        found = load("verilogeval-v2-spec-to-rtl", v2_clone(tmp_path))
        assert list(found.by_id) == ["Prob001_one", "Prob002_one"]
        problem = found.problems[0]
        assert problem.top == "TopModule"
        assert problem.reference == V2_REF.replace("RefModule", "TopModule")
        assert "Mismatches: 0 in 1 samples" in says(problem, problem.reference)
        assert "Mismatches: 1 in 1 samples" in says(problem, problem.reference.replace("1'b1", "1'b0"))

    @pytest.mark.parametrize("task", ["spec-to-rtl", "code-complete-iccad2023"])
    def test_shots_come_from_the_clone(self, tmp_path: Path, task: str) -> None:
        name = "verilogeval-v2-" + task.removesuffix("-iccad2023")
        clone = v2_clone(tmp_path, examples=True)
        plain, shown = load(name, clone), load(name, clone, shots=2)
        assert shown.problems[0].instruction == f"two examples of {task}\n" + plain.problems[0].instruction
        assert shown.version != plain.version

    def test_shots_without_their_file_say_how_to_get_it(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"3 shots need .*3-shot\.txt.*git clone"):
            load("verilogeval-v2-spec-to-rtl", v2_clone(tmp_path, examples=True), shots=3)

    @pytest.mark.parametrize(("name", "shots"), [("verilogeval-v2-spec-to-rtl", 5), ("vgen-low", 1), ("rtllm-2.0", -1)])
    def test_shots_that_a_benchmark_does_not_have(self, tmp_path: Path, name: str, shots: int) -> None:
        with pytest.raises(UsageError, match="shots"):
            load(name, vgen_clone(v2_clone(tmp_path)), shots=shots)

    def test_answers_of_both_tasks_are_extracted(self, tmp_path: Path) -> None:
        clone = v2_clone(tmp_path)
        whole = V2_REF.replace("RefModule", "TopModule")
        assert extract(f"[BEGIN]\n{whole}[DONE]\n", header="").code.strip() == whole.strip()
        header = load("verilogeval-v2-code-complete", clone).problems[0].header
        assert "".join(extract("  assign q = 1'b1;\nendmodule\n", header=header).code.split()) == "".join(whole.split())

    @pytest.mark.parametrize(
        ("simulation", "verdict"),
        [
            (ran("Mismatches: 0 in 9 samples\n"), Verdict.PASSED),
            (ran("Mismatches: 2 in 9 samples\n"), Verdict.WRONG_OUTPUT),
            (ran("TIMEOUT\nMismatches: 0 in 9 samples\n"), Verdict.TIMEOUT),
            (ran("Mismatches: 0 in 9 samples and more\n"), Verdict.RUNTIME_ERROR),
            (
                ran("Mismatches: 0 in 9 samples\n", compiled="x.sv:3: warning: y is declared here as wire"),
                Verdict.COMPILE_ERROR,
            ),
            (ran("Mismatches: 0 in 9 samples\n", compiled="x.sv:3: warning: something else"), Verdict.PASSED),
        ],
    )
    def test_upstream_s_rule(self, simulation: Simulation, verdict: Verdict) -> None:
        assert verilogeval_v2.upstream(simulation)[0] is verdict


class TestRtllm:
    @pytest.mark.parametrize(("version", "below"), [("1.1", ""), ("2.0", "Arithmetic/Adder/")])
    def test_a_clone(self, tmp_path: Path, version: str, below: str) -> None:
        found = load(f"rtllm-{version}", rtllm_clone(tmp_path, below))
        [problem] = found.problems
        assert (task_id(problem), problem.top) == ("four", "four")
        assert found.version.startswith(f"{version} (1 of ")
        assert problem.extra == {"marker": rtllm.MARKER, "testbench_top": "bench", "data_files": {"want.txt": "5\n"}}
        assert problem.reference == RTLLM_REF.replace("verified_four", "four")
        assert says(problem, problem.reference).count(rtllm.MARKER) == 1
        assert rtllm.MARKER not in says(problem, problem.reference.replace("2'b01", "2'b10"))

    def test_the_other_version_s_clone_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"clone of version 2\.0; git clone --branch v1\.1"):
            load("rtllm-1.1", rtllm_clone(tmp_path, "Arithmetic/Adder/"))

    def test_a_testbench_that_does_not_announce_success_is_refused(self, tmp_path: Path) -> None:
        clone = rtllm_clone(tmp_path, "")
        (clone / "four" / "testbench.v").write_text(RTLLM_TEST.replace("Your Design Passed", "fine"))
        with pytest.raises(DataError, match="'Your Design Passed' should be in one string"):
            load("rtllm-1.1", clone)

    def test_upstream_s_rule_is_any_pass(self) -> None:
        assert rtllm.upstream(ran("0 of 3 tests passed\n"))[0] is Verdict.PASSED
        assert rtllm.upstream(ran("=== Failed ===\n"))[0] is Verdict.WRONG_OUTPUT


class TestVgen:
    @pytest.mark.parametrize(("level", "number"), [("low", 1), ("medium", 2), ("high", 3)])
    def test_a_clone(self, tmp_path: Path, level: str, number: int) -> None:
        [problem] = load(f"vgen-{level}", vgen_clone(tmp_path)).problems
        assert (problem.instruction, problem.header) == ("// A not.\n", f"{VGEN_HEAD}\n" + "// more\n" * number)
        assert problem.reference is not None
        assert vgen.MARKER in says(problem, problem.reference)
        completed = extract("assign y = ~a;\nendmodule", header=problem.header).code
        assert vgen.MARKER in says(problem, completed)
        assert vgen.MARKER not in says(problem, completed.replace("~a", "a"))

    def test_without_an_answer_the_fullest_prompt_serves_if_it_is_whole(self, tmp_path: Path) -> None:
        clone = vgen_clone(tmp_path)
        folder = clone / "prompts-and-testbenches" / "basic1"
        (folder / "answer_not.v").unlink()
        assert load("vgen-low", clone).problems[0].reference is None
        (folder / "prompt3_not.v").write_text(f"// A not.\n{VGEN_HEAD}\nassign y = ~a;\nendmodule\n")
        assert load("vgen-low", clone).problems[0].reference is not None


@pytest.mark.parametrize(
    "name", ["verilogeval-v2-spec-to-rtl", "verilogeval-v2-code-complete", "rtllm-1.1", "rtllm-2.0", "vgen-low"]
)
class TestWhereDataComesFrom:
    def test_absent_data_says_how_to_get_it(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ITERTL_DATA", raising=False)
        with pytest.raises(DataError, match=r"git clone .*ITERTL_DATA"):
            load(name)
        with pytest.raises(DataError, match="does not exist"):
            load(name, tmp_path / "nowhere")
        with pytest.raises(DataError, match=r"holds n.*git clone"):
            load(name, tmp_path)

    def test_the_environment_names_a_folder_of_clones(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        v2_clone(tmp_path / "verilog-eval")
        rtllm_clone(tmp_path / "RTLLM-1.1", "")
        rtllm_clone(tmp_path / "RTLLM-2.0", "Control/Counter/")
        vgen_clone(tmp_path / "VGen")
        monkeypatch.setenv("ITERTL_DATA", str(tmp_path))
        assert load(name).problems


class TestTestbenches:
    def test_instances_are_told_from_calls_and_declarations(self) -> None:
        code = "module t; integer n; wire w;\ntask go(input a); endtask\na b(w); initial begin go(w); end c #(.P(f(1))) d (w);\nendmodule"
        assert testbenches.instantiated(code) == ["a", "c"]
        assert testbenches.declared(code) == ["t"]

    def test_a_port_of_the_module_s_name_keeps_its_name(self) -> None:
        code = "module old(output old); /* old */ assign old = 1; endmodule : old"
        assert (
            testbenches.renamed(code, "old", "new")
            == "module new(output old); /* old */ assign old = 1; endmodule : new"
        )

    def test_two_designs_are_refused(self) -> None:
        with pytest.raises(DataError, match="instantiates one design, this a, c"):
            testbenches.design_name("module t; a b(); c d(); endmodule", "x.v")


REAL = {
    "verilogeval-v1-human": (".", 156), "verilogeval-v1-machine": (".", 143),
    "verilogeval-v2-spec-to-rtl": ("upstream/verilog-eval-v2", 156),
    "verilogeval-v2-code-complete": ("upstream/verilog-eval-v2", 156),
    "rtllm-1.1": ("upstream/RTLLM-1.1", 29), "rtllm-2.0": ("upstream/RTLLM-2.0", 29),
    "vgen-low": (".", 17), "vgen-medium": (".", 17), "vgen-high": (".", 17),
    "chipbench": ("upstream/ChipBench", 23), "chipbench-debug": ("upstream/ChipBench", 92),
}  # fmt: skip


def real(shared_data: Path, name: str) -> Benchmark:
    return load(name, shared_data / REAL[name][0])


@pytest.mark.parametrize("name", REAL)
def test_real_copies_load_whole(shared_data: Path, name: str) -> None:
    found = real(shared_data, name)
    assert len(found.problems) == REAL[name][1]
    for problem in found.problems:
        assert problem.reference is not None and problem.top is not None and problem.instruction.strip()
        assert problem.top in testbenches.declared(problem.reference)


@pytest.mark.parametrize("name", REAL)
def test_errata_speak_of_problems_that_exist(shared_data: Path, name: str) -> None:
    absent = set(errata.of(name)) - set(real(shared_data, name).by_id)
    assert name == "rtllm-2.0" or not absent  # the copy beside the project has 29 of its 50 designs


def test_faults_notes_and_what_needs_four_states_are_distinguished(shared_data: Path) -> None:
    human, spec = real(shared_data, "verilogeval-v1-human"), real(shared_data, "verilogeval-v2-spec-to-rtl")
    assert (set(human.errata), human.four_state) == (set(), {"review2015_fancytimer"})
    assert set(human.notes) == {"review2015_fsm", "review2015_fancytimer", "m2014_q4d"}
    assert (set(spec.errata), spec.four_state) == ({"Prob099_m2014_q6c"}, {"Prob156_review2015_fancytimer"})


def test_both_sources_of_rtllm_1_1_are_the_same_problems(shared_data: Path) -> None:
    folders, lines = load("rtllm-1.1", shared_data / "upstream/RTLLM-1.1"), load("rtllm-1.1", shared_data)
    for one, other in zip(folders.problems, lines.problems, strict=True):
        assert (one.reference, one.testbench, one.extra) == (other.reference, other.testbench, other.extra)


@pytest.mark.parametrize("name", ["rtllm-1.1", "rtllm-2.0", "vgen-low", "vgen-high"])
def test_every_reference_says_its_marker_and_an_emptied_one_does_not(shared_data: Path, name: str) -> None:
    found = real(shared_data, name)
    for problem in found.problems:
        if task_id(problem) in errata.of(name) and name != "vgen-high":
            continue
        assert problem.reference is not None
        assert says(problem, problem.reference).count(str(problem.extra["marker"])) == 1, task_id(problem)
        assert str(problem.extra["marker"]) not in says(problem, emptied(problem)), task_id(problem)


@pytest.mark.parametrize("name", ["rtllm-1.1", "rtllm-2.0", "verilogeval-v1-human", "verilogeval-v2-spec-to-rtl"])
def test_problems_said_to_fail_here_do(shared_data: Path, name: str) -> None:
    if icarus.version() != "Icarus Verilog 11.0":
        pytest.skip(f"{icarus.version()} runs some of what Icarus 11 cannot")
    found = real(shared_data, name)
    for ident, erratum in errata.of(name).items():
        if ident in found.by_id and erratum.kind is not errata.Kind.WEAK:
            problem = found.by_id[ident]
            assert problem.reference is not None
            output = says(problem, problem.reference)
            assert "Your Design Passed" not in output and "Mismatches: 0 in" not in output, ident


def emptied(problem: Problem) -> str:
    """The design's module with its ports and parameters and nothing else."""
    assert problem.reference is not None
    span = next(span for span in modules(problem.reference) if span.name == problem.top)
    text = problem.reference[span.start : span.end]
    header = derive_header(text)
    old_style = not re.search(r"\b(?:input|output)\b", header)
    kept = re.findall(r"\b(?:input|output|parameter)\b[^;]*;", text[len(header) :]) if old_style else []
    return re.sub(r"\boutput\s+reg\b", "output", header) + "\n" + "\n".join(kept) + "\nendmodule\n"
