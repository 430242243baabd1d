"""What is wrong with a set of pairs before a model sees it: duplicates, overlap with benchmarks, broken references.

Text is compared by 8-grams of words, code by tokens and 6-grams of tokens, as written and with identifiers renamed.
What is not found: an instruction in other words, and a design built another way.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path

from itertl.audit.function_report import FunctionReport
from itertl.audit.report import AuditReport, BadReference, Contamination, Duplicates, Member
from itertl.errors import ToolMissing
from itertl.problems import normalize
from itertl.problems.load import LoadResult, load_problems
from itertl.problems.normalize import CODE_GRAM, TEXT_GRAM, Vocabulary
from itertl.problems.overlap import Grams, Inverted, components, near_links
from itertl.problems.prints import CODE_OVERLAP, TEXT_OVERLAP, Prints
from itertl.progress import QUIET, Reporter, Tracker
from itertl.records import Problem, Verdict
from itertl.runs import storage
from itertl.runs.storage import cache_folder
from itertl.work import engine

CHECK_TIMEOUT_S = 20.0  # for one reference
EVIDENCE_CHARS = 200
NEAR = 0.8  # Jaccard from which texts are near-duplicates


def audit(
    problems: Sequence[Problem],
    *,
    benchmarks: Sequence[Problem] = (),
    check_tools: bool = True,
    num_workers: int = 0,
    places: Mapping[str, str] = {},
    reporter: Reporter = QUIET,
) -> AuditReport:
    """Audit ``problems``, against ``benchmarks`` (tasks as problems: description, and solution with its header).

    ``places``: a problem's id -> where it came from, by which findings name it. ``check_tools``: parse and elaborate
    every reference in worker processes. Raises ToolMissing without pyslang.
    """
    with reporter.stage("audit: read", len(problems)) as tracker:
        prints = Prints.of(problems, tracker)
    bad, passed, unjudged = [], None, {}
    if check_tools:
        with reporter.stage("audit: elaborate", sum(p.reference is not None for p in problems)) as tracker:
            bad, passed, unjudged = _check_references(problems, num_workers, places, tracker)
    overlaps = None
    if benchmarks:
        with reporter.stage("audit: compare with benchmarks", len(problems)) as tracker:
            overlaps = tuple(_contamination(problems, prints, benchmarks, places, tracker))
    with reporter.stage("audit: compare with one another", 0):
        duplicates = tuple(_duplicates(problems, prints, places))
    return AuditReport(
        problems=len(problems),
        with_reference=sum(p.reference is not None for p in problems),
        benchmark_tasks=len(benchmarks),
        duplicates=duplicates,
        contamination=overlaps,
        bad_references=tuple(bad),
        references_passed=passed,
        unjudged=unjudged,
        thresholds={"near": NEAR, "text_overlap": TEXT_OVERLAP, "code_overlap": CODE_OVERLAP},
    )


def _duplicates(problems: Sequence[Problem], prints: Prints, places: Mapping[str, str]) -> Iterator[Duplicates]:
    """Exact groups of each kind, then near ones among distinct texts (of an exact group the first problem alone)."""
    same_code = _equal(prints.code)
    groups = {
        "instruction": _equal(prints.words),
        "code": same_code,
        "code after renaming": (found for found in _equal(prints.renamed) if found not in same_code),
        "near instruction": _near(prints.words, TEXT_GRAM),
        "near code": _near(prints.code, CODE_GRAM),
    }
    for kind, found in groups.items():
        for numbers, similarity in found:
            members = tuple(Member.of(problems[number], places) for number in sorted(numbers))
            yield Duplicates.model_validate({"kind": kind, "members": members, "similarity": similarity})


def _near(texts: Sequence[tuple[str, ...]], size: int) -> Iterator[tuple[list[int], float]]:
    """Groups of positions whose texts differ and are alike, with the weakest link's likeness."""
    first: dict[tuple[str, ...], int] = {}
    for number, text in enumerate(texts):
        if text:
            first.setdefault(text, number)
    vocabulary, numbers = Vocabulary(), list(first.values())
    for group, similarity in components(near_links([vocabulary.grams(text, size) for text in first], NEAR)):
        yield [numbers[i] for i in group], similarity


def _equal(texts: Sequence[Hashable]) -> list[tuple[list[int], float]]:
    """Groups of positions that hold equal, non-empty texts; their likeness is 1."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        if text:
            groups[text].append(number)
    return [(group, 1.0) for group in groups.values() if len(group) > 1]


def _contamination(
    problems: Sequence[Problem], prints: Prints, benchmarks: Sequence[Problem], places: Mapping[str, str],
    tracker: Tracker,
) -> Iterator[Contamination]:  # fmt: skip
    """Findings in the order of problems; of one problem and task, the strongest of text and of code."""
    theirs = Prints.of(benchmarks)
    text = _Neighbours(theirs.words, TEXT_GRAM, Inverted.containments)
    plain = _Neighbours(theirs.code, CODE_GRAM, Inverted.jaccards)
    renamed = _Neighbours(theirs.renamed, CODE_GRAM, Inverted.jaccards)
    for number, problem in enumerate(problems):
        words, code, anonymous = prints.words[number], prints.code[number], prints.renamed[number]
        tracker.advance(1)
        for task, value in text.near(words, TEXT_OVERLAP):
            shared = normalize.longest_shared_run(words, theirs.words[task], TEXT_GRAM)
            yield _overlap("instruction", Member.of(problem, places), benchmarks[task], value, shared)
        near: dict[int, float] = {}
        for written, anonymized in [(code, anonymous), *prints.parts[number]]:
            for task, value in (*renamed.near(anonymized, CODE_OVERLAP), *plain.near(written, CODE_OVERLAP)):
                near[task] = max(value, near.get(task, 0.0))
        for task, value in near.items():
            if code == theirs.code[task] or anonymous == theirs.renamed[task]:
                kind = "code" if code == theirs.code[task] else "code after renaming"
                yield _overlap(kind, Member.of(problem, places), benchmarks[task], 1.0, " ".join(code))
            else:
                shared = normalize.longest_shared_run(code, theirs.code[task], CODE_GRAM)
                shared = shared or normalize.longest_shared_run(anonymous, theirs.renamed[task], CODE_GRAM)
                yield _overlap("near code", Member.of(problem, places), benchmarks[task], value, shared)


class _Neighbours:
    """The benchmark's texts of one kind, asked for those that a text overlaps."""

    def __init__(
        self, texts: Sequence[tuple[str, ...]], size: int, measure: Callable[[Inverted, Grams], dict[int, float]]
    ) -> None:
        self.size, self.measure, self.vocabulary = size, measure, Vocabulary()
        self.index = Inverted.of([self.vocabulary.grams(text, size) for text in texts])

    def near(self, text: Sequence[str], threshold: float) -> list[tuple[int, float]]:
        """(task's number, likeness) of those that reach the threshold, by number."""
        found = self.measure(self.index, self.vocabulary.grams(text, self.size))
        return sorted((task, value) for task, value in found.items() if value >= threshold)


def _overlap(kind: str, problem: Member, task: Problem, value: float, evidence: str) -> Contamination:
    if len(evidence) > EVIDENCE_CHARS:
        evidence = evidence[: EVIDENCE_CHARS - 1] + "…"
    name = task.upstream_id or task.id
    return Contamination.model_validate(
        {"kind": kind, "problem": problem, "task": name, "benchmark": task.source, "value": value, "evidence": evidence}
    )


def _check_references(
    problems: Sequence[Problem], num_workers: int, places: Mapping[str, str], tracker: Tracker
) -> tuple[list[BadReference], int, dict[str, int]]:
    """(what slang refuses, how many pass, our own failures). Each distinct text is checked once."""
    owners: dict[str, list[int]] = defaultdict(list)
    for number, problem in enumerate(problems):
        if problem.reference is not None:
            owners[problem.reference].append(number)
    texts = list(owners)
    bad: dict[int, BadReference] = {}
    passed, unjudged = 0, Counter[str]()
    outcomes = engine.map_unordered(
        "itertl.tools.slang:check", texts, num_workers=num_workers, timeout_s=CHECK_TIMEOUT_S
    )
    for task, outcome in outcomes:
        numbers = owners[texts[task]]
        tracker.advance(len(numbers))
        if outcome.detail.startswith("ToolMissing"):
            raise ToolMissing(outcome.detail.partition(": ")[2])
        if outcome.status != "ok":
            unjudged[f"slang {outcome.status}: {outcome.detail}"] += len(numbers)
        elif outcome.value.verdict is Verdict.PASSED:
            passed += len(numbers)
        else:
            verdict, detail = outcome.value.verdict, outcome.value.detail
            for n in numbers:
                bad[n] = BadReference(problem=Member.of(problems[n], places), verdict=verdict, detail=detail)
    return [bad[number] for number in sorted(bad)], passed, dict(sorted(unjudged.items()))


def keep_sound(out: Path, problems: Sequence[Problem], report: AuditReport, by_function: FunctionReport | None) -> int:
    """Write the problems that have a reference and no finding against them to ``out``; how many."""
    unsound = report.unsound_ids | (by_function.unsound_ids if by_function is not None else frozenset())
    kept = [problem for problem in problems if problem.reference is not None and problem.id not in unsound]
    storage.write_records(out, kept)
    return len(kept)


def audit_source(
    source: str, benchmarks: Sequence[Problem], *, format: str, filter: Mapping[str, object], check_tools: bool,
    function: bool, num_workers: int, reporter: Reporter,
) -> tuple[AuditReport, LoadResult, FunctionReport | None]:  # fmt: skip
    """Audit the problems of ``source`` against those of benchmarks; also what was loaded, and, where ``function`` asks
    for it, what the references are as hardware."""
    loaded = load_problems(source, format=format, filter=filter)
    report = audit(
        loaded.problems, benchmarks=benchmarks, check_tools=check_tools, num_workers=num_workers, places=loaded.places,
        reporter=reporter,
    )  # fmt: skip
    by_function = None
    if function:
        from itertl.audit.function import audit_function

        with reporter.stage("audit: function", 0) as tracker:
            by_function = audit_function(
                loaded.problems, num_workers=num_workers, cache=cache_folder(), on_done=tracker.advance,
                places=loaded.places,
            )  # fmt: skip
    return report, loaded, by_function
