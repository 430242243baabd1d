"""Validate a benchmark: every reference passes, and a broken one fails, before a model is judged.

A reference is broken in two ways: its body is taken out (what is left drives no output), and one place of it is changed
at a time. Where a problem shows a faulty module to fix (``extra["buggy"]``), that must fail too. Such a change may
change nothing (``a | b`` of bits that are never both set), so that of a problem's mutants one that the testbench
catches is enough; an emptied body must be caught. A testbench that misses them has no teeth: that is a finding about
the benchmark, and reported separately from a reference that fails, which is one about this machine.
"""

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itertl.evaluation import errata
from itertl.evaluation.benchmarks import Benchmark, task_id
from itertl.evaluation.completions import Completion
from itertl.evaluation.judge import judge
from itertl.evaluation.references import REFERENCE_FAILS
from itertl.evaluation.summary import joined
from itertl.progress import SILENT, Tracker
from itertl.records import EvalRow, Problem, Verdict
from itertl.synth.mutants import mutants
from itertl.verilog.header import derive_header, derive_top
from itertl.verilog.text import modules, tokenize
from itertl.work import engine
from itertl.work.seeds import derive_seed

# Their mutants seldom do the same as the original. Left out: dropped statements, which resemble an emptied body, and
# edges and resets, after which a testbench may wait for ever.
_CLASSES = ("operators", "constants", "branches", "selects")
_DRAW_S = 60
_RAN = (Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.RUNTIME_ERROR, Verdict.TIMEOUT)
_DIRECTIVE = re.compile(r"^[ \t]*`(?:[^\n]*\\\n)*[^\n]*$", re.MULTILINE)
_DECLARES_PORT = ("input", "output", "inout", "parameter", "localparam")
_OWN_PORTS = {"function": "endfunction", "task": "endtask"}  # inside these, declarations are not the module's


@dataclass(frozen=True, slots=True)
class MutantCounts:
    """Of the mutants of one problem's reference: drawn and judged, those that compiled and ran, and of them caught."""

    tried: int
    ran: int
    caught: int


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was found, as task_id -> reason. The benchmark can be trusted on this machine where ``broken`` is empty."""

    benchmark: str
    benchmark_hash: str
    rule: str
    simulator: str  # all that judged a row
    sandbox: str
    checked: int  # problems whose reference was judged
    without_reference: tuple[str, ...]
    errata: dict[str, str]  # known to be unjudgeable, and not tried
    broken: dict[str, str]  # the reference fails, and nothing is known of it
    known: dict[str, str]  # the reference fails, as is known
    toothless: dict[str, str]  # a design without a body, or every mutant, passes
    untried: dict[str, str]  # the emptied design was refused before it ran
    mutants: dict[str, MutantCounts]  # of each problem whose reference passes
    notices: tuple[str, ...] = ()  # the benchmark's: what this copy of it lacks

    @property
    def failures(self) -> dict[str, str]:
        """task_id -> which expectation did not hold, whatever it says about whom."""
        return self.broken | self.known | self.toothless


def emptied(problem: Problem) -> str:
    """The module that is asked for with nothing in it: the problem's header, or what declares the reference's ports."""
    header = problem.header if problem.header.strip() else _declarations(problem.reference or "", problem.top)
    return f"{header}\nendmodule\n"


def _declarations(reference: str, top: str | None) -> str:
    """Directives, header, and declarations of ports and parameters of module ``top``: all but what it does."""
    spans = modules(reference)
    wanted = top or derive_top(reference)
    span = next((span for span in spans if span.name == wanted), spans[0] if spans else None)
    if span is None:
        return ""
    own = reference[span.start : span.end]
    stream = tokenize(own)
    header = derive_header(own) or own[: next((token.end for token in stream if token.text == ";"), 0)]
    directives = "".join(found[0] + "\n" for found in _DIRECTIVE.finditer(reference[: span.start]))
    kept: list[str] = []
    start: int | None = None
    closing = ""  # what ends the function or task that we are in
    for token in stream:
        if token.start < len(header):
            continue
        if closing:
            closing = "" if token.text == closing else closing
        elif token.text in _OWN_PORTS:
            closing = _OWN_PORTS[token.text]
        elif start is None and token.text in _DECLARES_PORT:
            start = token.start
        elif start is not None and token.text == ";":
            kept.append(own[start : token.end] + "\n")
            start = None
    return f"{directives}{header}\n{''.join(kept)}"


def self_test(
    benchmark: Benchmark,
    *,
    rule: str | None = None,
    max_mutants: int = 4,
    num_workers: int = 0,
    tracker: Tracker = SILENT,
) -> SelfTest:
    """Judge the references, their emptied bodies, and up to ``max_mutants`` mutants of each. Faulty problems are left
    out.

    A problem whose reference holds nothing to change, or whose mutants all fail to compile, is asked only that its
    emptied body is caught. Raises what ``judge`` raises.
    """
    left = {task_id(p): p for p in benchmark.problems if task_id(p) not in benchmark.errata}
    problems = {ident: (p, p.reference) for ident, p in left.items() if p.reference is not None}
    mutated = _mutated({ident: reference for ident, (_, reference) in problems.items()}, max_mutants, num_workers)
    completions = [
        Completion(ident, index, text, full_module=True)
        for ident, (problem, reference) in problems.items()
        for index, text in enumerate([reference, emptied(problem), *_buggy(problem), *mutated[ident]])
    ]
    rows = judge(benchmark, completions, rule=rule, num_workers=num_workers, tracker=tracker)
    by_task: dict[str, list[EvalRow]] = {ident: [] for ident in problems}
    for row in rows:
        by_task[row.task_id].append(row)
    failing = {ident: _detail(each[0]) for ident, each in by_task.items() if each[0].verdict is not Verdict.PASSED}
    passing = {ident: each[1:] for ident, each in by_task.items() if ident not in failing}
    noted = errata.of(benchmark.name)
    known = {i: erratum.reason for i, erratum in noted.items() if erratum.kind in errata.NEEDS_ANOTHER_SIMULATOR}
    weak = {i: f" (known: {erratum.reason})" for i, erratum in noted.items() if erratum.kind is errata.Kind.WEAK}
    return SelfTest(
        benchmark=benchmark.label,
        benchmark_hash=benchmark.content_hash,
        rule=rows[0].rule if rows else rule or benchmark.default_rule,
        simulator=joined(row.simulator for row in rows),
        sandbox=joined(row.sandbox for row in rows),
        checked=len(problems),
        without_reference=tuple(ident for ident in left if ident not in problems),
        errata={ident: reason for ident, reason in benchmark.errata.items() if ident in benchmark.by_id},
        broken={ident: reason for ident, reason in failing.items() if ident not in known},
        known={ident: f"{known[ident]} ({reason})" for ident, reason in failing.items() if ident in known},
        toothless={
            i: reason + weak.get(i, "")
            for i, each in passing.items()
            if (reason := _toothless(each, len(_buggy(problems[i][0]))))
        },
        untried={ident: _detail(each[0]) for ident, each in passing.items() if each[0].verdict not in _RAN},
        mutants={ident: _counted(each[1 + len(_buggy(problems[ident][0])) :]) for ident, each in passing.items()},
        notices=benchmark.notices,
    )


def _buggy(problem: Problem) -> list[str]:
    """The faulty module that the problem shows, if it is one to fix."""
    return [str(problem.extra["buggy"])] if "buggy" in problem.extra else []


def _mutated(references: Mapping[str, str], count: int, num_workers: int) -> dict[str, list[str]]:
    """Up to ``count`` mutants of each reference, the same ones each time; none where slang cannot read it."""
    names = list(references)
    payloads = [(name, references[name], count) for name in names]
    drawn = engine.map_unordered(f"{__name__}:draw", payloads, num_workers=num_workers, timeout_s=_DRAW_S)
    return {names[number]: outcome.value if outcome.status == "ok" else [] for number, outcome in drawn}


def draw(payload: tuple[str, str, int]) -> list[str]:
    """The first mutants of a reference, in a worker process: task_id, reference, how many."""
    name, reference, count = payload
    rng = random.Random(derive_seed(0, "mutants", name))
    return [mutant.text for mutant in itertools.islice(mutants(reference, rng, _CLASSES), count)]


def _detail(row: EvalRow) -> str:
    return f"{row.verdict.value}: {row.detail.removeprefix(REFERENCE_FAILS)}"


def _counted(rows: Sequence[EvalRow]) -> MutantCounts:
    ran = [row for row in rows if row.verdict in _RAN]
    return MutantCounts(len(rows), len(ran), sum(row.verdict is not Verdict.PASSED for row in ran))


def _toothless(rows: Sequence[EvalRow], num_buggy: int) -> str:
    """What the testbench misses of a problem whose reference passes; "" where it misses nothing.

    The rows are those of the emptied module, of ``num_buggy`` faulty ones, and of the mutants.
    """
    empty, *others = (row.verdict for row in rows)
    buggy, mutated = others[:num_buggy], others[num_buggy:]
    if empty is Verdict.PASSED:
        return "a module without a body passes"
    if Verdict.PASSED in buggy:
        return "the faulty module that it asks to fix passes"
    ran = [verdict for verdict in mutated if verdict in _RAN]
    if ran and all(verdict is Verdict.PASSED for verdict in ran):
        return f"{len(ran)} mutants of its reference pass, and none is caught"
    return ""
