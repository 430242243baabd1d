"""The rule ``function``: a completion is right where it does what the problem's reference does; no testbench is needed.

It is simulated beside the reference first (the scorer ``vectors``), and where no output differs a proof is tried
(``equivalence``). Right is what agrees on every word and is not refuted; ``detail`` begins with ``PROVEN`` or
``AGREES``, which distinguishes the two. Where a scorer has no answer, because the reference cannot serve, say, the
completion is unjudged.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.completions import Completion
from itertl.judging.outcomes import Judgement, cut
from itertl.progress import Tracker
from itertl.records import EvalRow, Fault, Problem, Score, Verdict
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import check_tools
from itertl.tools import icarus, yosys
from itertl.verilog.header import derive_header, derive_top

SCORERS = ("vectors", "equivalence")
PROVEN, AGREES = "proven", "agrees on vectors"
TIMEOUT_S = 120.0  # for each scorer and completion; their own limits of processor time come before


def versions() -> dict[str, str]:
    """What a verdict depends on beside the texts. Raises ToolMissing."""
    return check_tools(SCORERS)


def tools() -> str:
    """Names and versions of the programs that judge."""
    return f"{icarus.version()} + {yosys.version()}"


def judge(
    benchmark: Benchmark, completions: Sequence[Completion], *, num_workers: int, partial: Path | None,
    cache: Path | None, tracker: Tracker,
) -> list[Judgement]:  # fmt: skip
    """A judgement for each completion, in order. Raises ToolMissing."""
    versions()
    taken = score_items(
        [_item(benchmark.by_id[completion.task_id], completion) for completion in completions],
        SCORERS, rungs=SCORERS, log=partial, on_done=tracker.advance,
        effort=Effort(num_workers=num_workers, timeout_s=TIMEOUT_S, cache=cache),
    )  # fmt: skip
    return [judgement({score.scorer: score for score in scores}) for scores in taken]


def _item(problem: Problem, completion: Completion) -> ScoreItem:
    reference = problem.reference or ""
    header = problem.header if problem.header.strip() else derive_header(reference)
    code = completion.text if completion.full_module or not completion.text.strip() else f"{header}\n{completion.text}"
    return ScoreItem(code=code, header=header, reference=problem.reference, top=problem.top or derive_top(reference))


def judgement(scores: dict[str, Score]) -> Judgement:
    """What the scores of one completion, by name, amount to."""
    simulated, proof = scores["vectors"], scores.get("equivalence")
    if simulated.verdict is not Verdict.PASSED or proof is None:
        return simulated.verdict, simulated.detail
    if proof.verdict.fault is Fault.MODEL:
        return proof.verdict, proof.detail
    if proof.verdict is Verdict.PASSED:
        return Verdict.PASSED, proof.detail if proof.detail.startswith(PROVEN) else f"{PROVEN}: {proof.detail}"
    return Verdict.PASSED, cut(f"{AGREES} ({simulated.detail}), and is not proven: {proof.detail}")


def support(rows: Iterable[EvalRow]) -> dict[str, int]:
    """Of the rows that passed, how many are proven and how many agree on the vectors alone."""
    found = Counter(PROVEN if row.detail.startswith(PROVEN) else AGREES for row in rows if row.passed)
    return {name: found[name] for name in (PROVEN, AGREES)}
