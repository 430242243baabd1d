"""Is one policy better than another on a benchmark? Two result files, paired over the problems that both judged.

Both answered the same problems, so what is tested is the difference on each problem: much sharper than to ask whether
two separate intervals overlap. The interval is a paired bootstrap over problems; the test is a sign-flip randomisation
test over problems, whose null hypothesis is that on each problem the two are exchangeable. Both speak of the choice of
problems and of the draw of samples; neither speaks of training seeds: one run of each says nothing of how another seed
would have done. Pass@k for several k is several tests; no correction is made for that.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from itertl.errors import DataError
from itertl.evaluation.passk import bootstrap_interval, exact_pass_at_k
from itertl.evaluation.significance import mcnemar, sign_flip
from itertl.evaluation.summary import by_verdict, counts_by_problem, gamed_by, joined, require_one_kind, rising
from itertl.records import EvalRow, Verdict
from itertl.runs.storage import read_records
from itertl.work.seeds import derive_seed

RESULTS = "results.jsonl"  # what ``itertl eval --out`` writes

Counts: TypeAlias = tuple[int, int]  # judged samples n, right ones c


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One result file. ``rows`` are of one benchmark and one rule, and no sample is there twice."""

    path: Path
    rows: tuple[EvalRow, ...]

    @property
    def benchmark(self) -> str:
        return self.rows[0].benchmark


@dataclass(frozen=True, slots=True)
class McNemar:
    """The exact test for one sample a problem: problems that only one of the two passed, and its two-sided p-value."""

    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True, slots=True)
class PassDifference:
    """pass@k of both over ``problems``, B − A with its 95% interval, and its test. All None where some n < k."""

    k: int
    problems: int
    a: float | None = None
    b: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    draws: int | None = None  # None: the test is exact


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem on which the share of right samples differs. ``a`` and ``b`` are (judged, right)."""

    task_id: str
    a: Counts
    b: Counts
    difference: float  # c/n of B minus c/n of A


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two files holds, over all its rows."""

    path: str
    rule: str
    simulator: str
    sandbox: str
    temperatures: tuple[float | None, ...]
    samples: tuple[int, ...]  # the numbers of judged samples that problems have
    total: int
    unjudged: int
    truncated: int
    by_verdict: Mapping[str, int]
    gamed_by: Mapping[str, int]
    strategy: str = ""  # by which the answers were searched for; "": single draws
    feedback: str = ""  # what the search looked at
    examples: str = ""  # shown before the questions; "": none


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two result files say. Differences are B − A: above zero, B is better."""

    benchmark: str
    a: Side
    b: Side
    problems: int  # judged by both
    only_a: tuple[str, ...]  # judged in A alone
    only_b: tuple[str, ...]
    differences: tuple[PassDifference, ...]
    mcnemar: McNemar | None  # None unless each problem has one sample on both sides
    flips: tuple[Flip, ...]  # the largest differences first
    warnings: tuple[str, ...]


def read_results(path: Path, temperatures: Collection[float] | None = None) -> ResultFile:
    """Read what ``itertl eval`` wrote (results.jsonl), an eval-NAME.jsonl of a run, or a folder that holds one of them.

    ``temperatures`` keeps the rows of these alone. Raises DataError, naming file and fix, where there is no such file
    or several, a line is malformed, rows are of several benchmarks or rules, or one sample is there twice.
    """
    file = _result_file(path)
    rows = read_records(file, EvalRow)
    if not rows:
        raise DataError(f"{file}: holds no verdicts; give a file that `itertl eval --out` or a run wrote")
    if temperatures is not None:
        has = sorted({f"{row.temperature:g}" for row in rows if row.temperature is not None})
        rows = [row for row in rows if row.temperature in temperatures]
        if not rows:
            raise DataError(f"{file}: has no verdicts at that temperature; it has: {', '.join(has) or 'none'}")
    try:
        require_one_kind(rows, rows[0].benchmark)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    (place, times), *_ = Counter((row.task_id, row.temperature, row.index) for row in rows).most_common(1)
    if times > 1:
        raise DataError(
            f"{file}: sample {place[2]} of {place[0]!r} comes {times} times; was the file appended to? judge it again"
        )
    return ResultFile(file, tuple(rows))


def _result_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / RESULTS] if (path / RESULTS).is_file() else sorted(path.glob("eval-*.jsonl"))
    if not found:
        raise DataError(f"{path}: holds no {RESULTS} and no eval-NAME.jsonl; give a file of verdicts, or its folder")
    if len(found) > 1:
        raise DataError(f"{path}: holds {', '.join(file.name for file in found)}; give one of them")
    return found[0]


def compare(a: ResultFile, b: ResultFile, *, ks: Sequence[int] = (1, 5, 10), seed: int = 0) -> Comparison:
    """Compare two result files problem by problem; ``seed`` is of the bootstrap and of a Monte Carlo test.

    Raises DataError where they are of different benchmarks (name or version), or share no problem that both judged.
    """
    if a.benchmark != b.benchmark:
        raise DataError(
            f"{a.path} is of {a.benchmark}, {b.path} of {b.benchmark}: figures of different problems cannot be compared"
        )
    counts_a, counts_b = counts_by_problem(a.rows, 1), counts_by_problem(b.rows, 1)
    shared = [task for task in counts_a if task in counts_b]
    if not shared:
        raise DataError(f"{a.path} and {b.path}: there is no problem that both judged, so there is nothing to compare")
    pairs = {task: (counts_a[task], counts_b[task]) for task in shared}
    sides = _side(a, counts_a), _side(b, counts_b)
    only = [tuple(t for t in mine if t not in other) for mine, other in ((counts_a, counts_b), (counts_b, counts_a))]
    return Comparison(
        benchmark=a.benchmark, a=sides[0], b=sides[1], problems=len(shared), only_a=only[0], only_b=only[1],
        differences=tuple(_difference(a.rows, b.rows, k, seed) for k in ks),
        mcnemar=_mcnemar_of(list(pairs.values())), flips=_flips(pairs),
        warnings=tuple(_warnings(sides, pairs, only)),
    )  # fmt: skip


def _side(results: ResultFile, counts: Mapping[str, Counts]) -> Side:
    rows = results.rows
    verdicts = Counter(row.verdict for row in rows)
    return Side(
        path=str(results.path), rule=rows[0].rule,
        simulator=joined(row.simulator for row in rows), sandbox=joined(row.sandbox for row in rows),
        temperatures=rising({row.temperature for row in rows}),
        samples=tuple(sorted({n for n, _ in counts.values()})), total=len(rows),
        unjudged=sum(row.passed is None for row in rows), truncated=verdicts[Verdict.TRUNCATED],
        by_verdict=by_verdict(verdicts), gamed_by=gamed_by(rows),
        strategy=joined(row.strategy for row in rows), feedback=joined(row.feedback for row in rows),
        examples=joined(row.examples for row in rows),
    )  # fmt: skip


def _difference(a: Sequence[EvalRow], b: Sequence[EvalRow], k: int, seed: int) -> PassDifference:
    """pass@k over the problems that enter it on both sides.

    Unknown where the protocol gave one fewer than k samples.
    """
    counts_a, counts_b = counts_by_problem(a, k), counts_by_problem(b, k)
    shared = [task for task in counts_a if task in counts_b]
    if not shared or any(n < k for task in shared for n, _ in (counts_a[task], counts_b[task])):
        return PassDifference(k, len(shared))
    rates_a, rates_b = ([exact_pass_at_k(*counts[task], k) for task in shared] for counts in (counts_a, counts_b))
    deltas = [after - before for before, after in zip(rates_a, rates_b, strict=True)]
    low, high = bootstrap_interval([float(delta) for delta in deltas], seed=derive_seed(seed, "paired bootstrap", k))
    test = sign_flip(deltas, seed=derive_seed(seed, "sign flip", k))
    mean_a, mean_b, mean_delta = (float(sum(values) / len(shared)) for values in (rates_a, rates_b, deltas))
    return PassDifference(k, len(shared), mean_a, mean_b, mean_delta, low, high, test.p_value, test.draws)


def _mcnemar_of(pairs: Sequence[tuple[Counts, Counts]]) -> McNemar | None:
    if any(n != 1 for pair in pairs for n, _ in pair):
        return None
    only_a = sum(a > b for (_, a), (_, b) in pairs)
    only_b = sum(b > a for (_, a), (_, b) in pairs)
    return McNemar(only_a, only_b, mcnemar(only_a, only_b))


def _flips(pairs: Mapping[str, tuple[Counts, Counts]]) -> tuple[Flip, ...]:
    """Problems whose shares differ, the largest difference first, by order of the file among equals."""
    shares = {task: Fraction(b[1], b[0]) - Fraction(a[1], a[0]) for task, (a, b) in pairs.items()}
    differing = sorted((task for task in pairs if shares[task]), key=lambda task: -abs(shares[task]))
    return tuple(Flip(task, *pairs[task], float(shares[task])) for task in differing)


def _warnings(
    sides: tuple[Side, Side], pairs: Mapping[str, tuple[Counts, Counts]], only: Sequence[Sequence[str]]
) -> list[str]:
    """What a reader must know before trusting the difference."""
    a, b = sides
    said = [
        f"{what} differs: A {before or 'not recorded'}, B {after or 'not recorded'}; part of the difference may be "
        "the judge's"
        for what, field in (("verdict rule", "rule"), ("simulator", "simulator"), ("sandbox", "sandbox"))
        if (before := getattr(a, field)) != (after := getattr(b, field))
    ]
    for name, one, other in (("A", a, b), ("B", b, a)):
        if "reference" in one.feedback and "reference" not in other.feedback:
            said.append(
                f"the answers of {name} were searched for ({one.strategy}) with the problems' references in sight, the "
                "others not: the difference is not the model's alone"
            )
    if a.examples != b.examples:
        said.append(
            f"examples in the prompts differ: A {a.examples or 'none'}, B {b.examples or 'none'}; the difference "
            "is not the model's alone"
        )
    if a.temperatures != b.temperatures:
        said.append(f"temperatures differ: A {_temperatures(a)}, B {_temperatures(b)}")
    elif len(a.temperatures) > 1:
        said.append(f"temperatures {_temperatures(a)} are pooled; choose one with --temperature")
    if any(x[0] != y[0] for x, y in pairs.values()):
        said.append("numbers of judged samples differ on some problems, so the test's p-value is approximate")
    for name, alone in zip("AB", only, strict=True):
        if alone:
            said.append(f"problems judged in {name} alone, and left out: {len(alone)} ({_some(alone)})")
    for name, side in zip("AB", sides, strict=True):
        if side.unjudged:
            said.append(f"{side.unjudged} of {side.total} completions of {name} could not be judged and are left out")
    return said


def _temperatures(side: Side) -> str:
    return ", ".join("not recorded" if t is None else f"{t:g}" for t in side.temperatures)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
