"""The bundled generator: every family's references pass four real tools, testbenches have teeth, splits never cross."""

import random
import re
from collections import Counter

import pytest

from generator_checks import check, check_all, simulate
from itertl.errors import UsageError
from itertl.records import Problem, canonical_json
from itertl.synth import family_names, generate
from itertl.synth.design import DesignSpec, PortSpec, ResetSpec
from itertl.synth.generate import LARGEST_COUNT, split_of
from itertl.synth.registry import HELD_OUT_FAMILIES, families
from itertl.synth.rendering import instruction
from itertl.synth.testbench import testbench as make_testbench


@pytest.fixture(scope="module")
def many() -> list[Problem]:
    return generate(seed=0, count=4000)


def _key(problem: Problem) -> str:
    return canonical_json([problem.family, problem.extra["parameters"]])


def test_four_thousand_distinct_problems(many: list[Problem]) -> None:
    assert len({p.id for p in many}) == 4000
    assert len({(p.instruction, p.reference) for p in many}) == 4000
    assert len({_key(p) for p in many}) > 3000
    assert {p.split for p in many} == {"train"}


def test_families_are_many_and_balanced(many: list[Problem]) -> None:
    assert len(family_names()) >= 40
    assert len({f.category for f in families().values()}) >= 10
    counts = Counter(p.family for p in many)
    assert set(counts) == set(family_names()) - HELD_OUT_FAMILIES
    ordinary = len(many) / len(counts)
    assert sorted(counts.values())[len(counts) // 2] <= 1.3 * ordinary
    assert max(counts.values()) <= 2 * ordinary


def test_instructions_name_module_and_every_port(many: list[Problem]) -> None:
    for problem in many:
        names = re.findall(r"(\w+)(?=,?\n)", problem.header)[: problem.header.count("put ")]
        for name in [problem.top, *names]:
            assert name and re.search(rf"\b{name}\b", problem.instruction), (name, problem.instruction)
        text, left = problem.instruction, ""
        while text != left:  # designs that are given have concatenations within concatenations
            text, left = re.sub(r"\{[^{}]*\}", "", text), text
        assert "{" not in text and "\0" not in text, problem.instruction
        assert problem.reference is not None and problem.reference.startswith(problem.header)
        assert problem.reference.endswith("endmodule\n")


@pytest.mark.parametrize("name", family_names())
def test_each_phrasing_names_every_port(name: str) -> None:
    for seed in range(5):
        design = families()[name].build(random.Random(seed))
        assert len(design.descriptions) >= 3 and design.family == name
        words = [text for text, _ in (instruction(design, random.Random(n)) for n in range(30))]
        assert len(set(words)) >= 5
        for description in design.descriptions:
            for port in design.ports:
                assert re.search(rf"\b{port.name}\b", description) or re.search(r"\d+ to \d+|\.\.|so on", description)


# IEEE 1800-2017, table B.1: the words that are no identifiers to slang and to Icarus with -g2012.
_WORDS = (
    "accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind "
    "bins "
    "binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const "
    "constraint "
    "context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge else "
    "end endcase "
    "endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage "
    "endprimitive "
    "endprogram endproperty endspecify endsequence endtable endtask enum event eventually expect export extends "
    "extern final "
    "first_match for force foreach forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone "
    "ignore_bins illegal_bins implements implies import incdir include initial inout input inside instance int integer "
    "interconnect interface intersect join join_any join_none large let liblist library local localparam logic longint "
    "macromodule matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 "
    "notif1 "
    "null or output package packed parameter pmos posedge primitive priority program property protected pull0 pull1 "
    "pulldown "
    "pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg "
    "reject_on "
    "release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until "
    "s_until_with "
    "scalared sequence shortint shortreal showcancelled signed small soft solve specify specparam static string strong "
    "strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time "
    "timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0 "
    "unsigned "
    "until until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while "
    "wildcard wire "
    "with within wor xnor xor "
)
KEYWORDS = frozenset(_WORDS.split())


def test_no_port_or_module_has_a_reserved_name() -> None:
    for name, family in families().items():
        for seed in range(150):
            design = family.build(random.Random(seed))
            used = [design.module, *(port.name for port in design.ports)]
            assert not KEYWORDS & set(used), (name, used)
            assert len(set(used)) == len(used), (name, used)
            assert not {"tb", "reference_module"} & set(used), (name, used)


def test_problems_are_short_enough_to_train_on(many: list[Problem]) -> None:
    words = sorted(len(p.instruction.split()) for p in many)
    lines = sorted((p.reference or "").count("\n") for p in many)
    middle, high = len(many) // 2, len(many) * 9 // 10
    assert words[middle] <= 100 and words[high] <= 180 and words[-1] <= 360
    assert lines[middle] <= 20 and lines[high] <= 30


def test_same_seed_same_problems_and_a_shorter_list_is_a_prefix() -> None:
    first = generate(seed=3, count=300)
    assert first == generate(seed=3, count=300)
    assert first[:100] == generate(seed=3, count=100)
    assert {p.id for p in first} != {p.id for p in generate(seed=4, count=300)}


def test_splits_are_disjoint_for_different_seeds(many: list[Problem]) -> None:
    by_parameter = generate(seed=1, count=300, split="heldout-parameter")
    by_family = generate(seed=2, count=200, split="heldout-family")
    mixed = generate(seed=9, count=200, split="heldout")
    assert {p.family for p in by_family} == HELD_OUT_FAMILIES
    assert Counter(p.split for p in mixed).keys() == {"heldout-family", "heldout-parameter"}
    train = {_key(p) for p in many}
    assert not train & {_key(p) for p in [*by_parameter, *by_family, *mixed]}
    assert len({families()[name].category for name in HELD_OUT_FAMILIES}) >= 7
    assert len({p.family for p in by_parameter}) > 0.8 * len(set(family_names()) - HELD_OUT_FAMILIES)


def test_split_of_a_design_does_not_depend_on_its_names() -> None:
    build = families()["mux2"].build
    splits: dict[str, set[str]] = {}
    for seed in range(300):
        design = build(random.Random(seed))
        splits.setdefault(canonical_json(design.parameters), set()).add(split_of(design))
    assert all(len(found) == 1 for found in splits.values())


def test_wrong_requests_are_refused_with_the_mend() -> None:
    with pytest.raises(UsageError, match="did you mean 'popcount'"):
        generate(0, 1, families=["popcont"])
    with pytest.raises(UsageError, match="unknown split 'test'"):
        generate(0, 1, split="test")
    with pytest.raises(UsageError, match="heldout-family"):
        generate(0, 1, families=["stack"], split="train")
    with pytest.raises(UsageError, match="train"):
        generate(0, 1, families=["mux2"], split="heldout-family")
    for count in (-1, LARGEST_COUNT + 1):
        with pytest.raises(UsageError, match="count"):
            generate(0, count)
    assert generate(0, 0) == []


def test_a_request_beyond_reach_names_what_can_be_had() -> None:
    with pytest.raises(UsageError, match="only") as caught:
        generate(0, LARGEST_COUNT, families=["gate_bank"], split="heldout-parameter")
    reachable = int(re.findall(r"at most (\d+)", str(caught.value))[0])
    assert len(generate(0, reachable, families=["gate_bank"], split="heldout-parameter")) == reachable


def test_named_families_only() -> None:
    problems = generate(0, 10, families=["mux2", "popcount", "mux2"])
    assert [p.family for p in problems] == ["mux2", "popcount"] * 5


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_a_sample_of_the_families_passes_all_tools_and_fails_a_mutant(every: int) -> None:
    held_out = generate(seed=12, count=len(HELD_OUT_FAMILIES), split="heldout-family")
    problems = generate(seed=11, count=len(family_names()) - len(HELD_OUT_FAMILIES)) + held_out
    assert {p.family for p in problems} == set(family_names())
    problems = problems[::every]
    found = dict(check_all(problems, num_mutants=1))
    assert len(found) == len(problems)
    complaints = [(problems[n].family, c.complaints) for n, c in found.items() if c.complaints]
    assert not complaints
    assert all(c.mutants_killed >= 1 for c in found.values())


@pytest.mark.slow
def test_a_larger_sample_passes_all_tools() -> None:
    problems = generate(seed=21, count=600) + generate(seed=22, count=120, split="heldout")
    found = dict(check_all(problems))
    assert not [(problems[n].family, c.complaints) for n, c in found.items() if c.complaints]
    run, killed, missed = (
        sum(getattr(c, f"mutants_{what}") for c in found.values()) for what in ("run", "killed", "missed")
    )
    assert killed > 0.7 * run and missed < 0.01 * run  # most of the others are equal, where the reference is not X


def _flop(reset: ResetSpec | None = None, body: str = "") -> DesignSpec:
    ports = (
        PortSpec("clk", "input"),
        PortSpec("rst", "input"),
        PortSpec("d", "input", 4),
        PortSpec("q", "output", 4, reg=True),
    )
    return DesignSpec({}, "flop", ports, body, ("-",) * 3, clock="clk", reset=reset)


_SYNC = "  always @(posedge clk)\n    if (rst) q <= 4'd3;\n    else q <= d;\n"
_ASYNC = _SYNC.replace("posedge clk", "posedge clk or posedge rst")


def test_testbench_tells_synchronous_from_asynchronous_reset_and_edges() -> None:
    for mine, other, is_async in ((_SYNC, _ASYNC, False), (_ASYNC, _SYNC, True)):
        design = _flop(ResetSpec("rst", asynchronous=is_async), mine)
        bench = make_testbench(design)
        assert simulate(bench, design.reference).passed
        for wrong in (other, mine.replace("4'd3", "4'd2"), mine.replace("posedge clk", "negedge clk")):
            trial = simulate(bench, _flop(None, wrong).reference)
            assert trial.compiled and not trial.passed


def test_testbench_ignores_unknown_reference_outputs_but_not_unknown_answers() -> None:
    no_reset = _flop(None, "  always @(posedge clk) q <= rst ? q + d : q;\n")
    assert simulate(make_testbench(no_reset), _flop(None, "  always @(*) q = d & 4'd0;\n").reference).passed
    known = _flop(None, "  always @(*) q = d;\n")
    assert not simulate(make_testbench(known), _flop(None, "  always @(*) q = 4'bx;\n").reference).passed


def test_testbench_sees_a_latch_a_rare_constant_and_a_warning() -> None:
    ports = (PortSpec("a", "input", 3), PortSpec("y", "output", reg=True))
    design = DesignSpec({}, "l", ports, "  always @(*) y = a == 3'd5;\n", ("-",) * 3)
    bench = make_testbench(design)
    latch = "  always @(*) if (a == 3'd5) y = 1; else if (a < 3'd5) y = 0; else if (a == 3'd7) y = 0;\n"
    assert not simulate(bench, DesignSpec({}, "l", ports, latch, ("-",) * 3).reference).passed
    warned = design.reference.replace("endmodule", "  wire w = b;\nendmodule")
    assert not simulate(bench, warned).passed
    ports = (PortSpec("a", "input", 32), PortSpec("y", "output"))
    rare = DesignSpec({}, "r", ports, "  assign y = a == 32'hdeadbeef;\n", ("-",) * 3)
    assert not simulate(make_testbench(rare), rare.reference.replace("a == 32'hdeadbeef", "1'b0")).passed


def test_wide_ports_are_driven_in_every_bit() -> None:
    ports = (PortSpec("a", "input", 130), PortSpec("y", "output", 130))
    design = DesignSpec({}, "w", ports, "  assign y = ~a;\n", ("-",) * 3)
    bench = make_testbench(design)
    assert simulate(bench, design.reference).passed
    assert not simulate(bench, design.reference.replace("~a", "{~a[129:1], 1'b0}")).passed
    assert not simulate(bench, design.reference.replace("~a", "{1'b1, ~a[128:0]}")).passed


def test_a_design_that_ends_the_simulation_does_not_pass() -> None:
    problem = generate(0, 1, families=["popcount"])[0]
    assert problem.reference is not None and problem.testbench is not None
    early = problem.reference.replace("endmodule", "  initial #20 $finish;\nendmodule")
    assert not simulate(problem.testbench, early).passed


def test_the_check_complains_of_each_fault() -> None:
    good = generate(0, 1, families=["comparator"])[0]
    assert check(good).complaints == () and good.reference is not None
    broken = good.model_copy(update={"reference": good.reference.replace("endmodule", "assign ; endmodule")})
    assert {c.split(":")[0] for c in check(broken).complaints} >= {"icarus", "slang", "pyverilog", "yosys", "testbench"}
    toothless = 'module tb; initial $display("Mismatches: 0 in 5 samples"); endmodule\n'
    assert any("testbench" in c for c in check(good.model_copy(update={"testbench": toothless})).complaints)
    assert check(good.model_copy(update={"testbench": None})).complaints
