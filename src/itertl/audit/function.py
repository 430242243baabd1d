"""The audit of references by function: which of a set of pairs are sound hardware, and which scorers can use which.

Each distinct reference is inspected once (``function_checks``), in worker processes, and remembered by content; then it
is scored against itself by every scorer that trains on references. What the audit does not ask: whether the reference
does what the instruction says.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from itertl.audit.function_checks import PARTS, REVISION, HardwareFault
from itertl.audit.function_report import EXAMPLES, REMARKS, FunctionFinding, FunctionReport, Reason, SelfScore
from itertl.audit.function_report import general as generalized
from itertl.audit.report import Member
from itertl.errors import ToolMissing
from itertl.records import Problem, Score, content_hash
from itertl.sandbox.bounds import Bound
from itertl.scoring import scorers
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors.score import version as stimulus_version
from itertl.tools import icarus, slang, yosys
from itertl.verilog.header import derive_top
from itertl.verilog.text import modules
from itertl.work.desk import Desk, Form
from itertl.work.pool import Outcome

SCORERS = scorers.names_where(lambda scorer: scorer.in_audit)
INSPECT_TIMEOUT_S = 180.0  # for one reference: its own limits are far below
SCORE_TIMEOUT_S = 60.0
_WORKER = "itertl.audit.function_checks:inspect"
_NO_TOP = ("refused", "no module, or more than one that nothing else names")


def audit_function(
    problems: Sequence[Problem],
    *,
    names: Sequence[str] = SCORERS,
    num_workers: int = 0,
    cache: Path | None = None,
    on_done: Callable[[int], None] = lambda count: None,
    places: Mapping[str, str] = {},
) -> FunctionReport:
    """Inspect every reference and score it against itself by the scorers ``names``.

    ``cache``: folder of answers kept across calls; a call that was stopped goes on there. ``on_done`` is called with
    how many inspections (two a reference) and scored references were finished since its last call. ``places``: id ->
    where it came from. Raises ToolMissing, UsageError.
    """
    scorers.check_scorers(names)
    tools = {**_tools(), **scorers.check_tools(names)}
    texts = [(problem, problem.reference) for problem in problems if problem.reference is not None]
    paired = [(problem, text, problem.top or derive_top(text) or "") for problem, text in texts]
    asked = {(text, top) for _, text, top in paired}
    faults, unjudged = inspected(sorted(asked), num_workers=num_workers, cache=cache, on_done=on_done)
    findings: list[FunctionFinding] = []
    failures: Counter[str] = Counter()
    for problem, text, top in paired:
        key = text, top
        findings += [
            FunctionFinding(kind=kind, problem=Member.of(problem, places), detail=detail)
            for kind, detail in faults.get(key, [])
        ]
        failures.update([unjudged[key]] if key in unjudged else [])
    own = _score_themselves(paired, names, num_workers, cache, on_done, places)
    named = {finding.problem.id for finding in findings if finding.kind not in REMARKS}
    sound = sum(problem.id not in named for problem, _, _ in paired) - failures.total()
    return FunctionReport(
        problems=len(problems), references=len(paired), sound=sound, findings=tuple(findings), scorers=tuple(own),
        unjudged=dict(sorted(failures.items())), tools=tools,
    )  # fmt: skip


def _tools() -> dict[str, str]:
    """What inspections depend on beside the text. Raises ToolMissing."""
    return {
        "slang": slang.version(),
        "icarus": icarus.version(),
        "yosys": yosys.version(),
        "stimulus": stimulus_version(),
    }


def inspected(
    asked: Sequence[tuple[str, str]],
    *,
    num_workers: int = 0,
    cache: Path | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> tuple[dict[tuple[str, str], list[HardwareFault]], dict[tuple[str, str], str]]:
    """(faults of each (reference, its top module or "") that was inspected, why each other one was not).

    Options are those of ``audit_function``. Raises ToolMissing.
    """
    tools = _tools()
    units = {_key(part, text, top, tools): (part, text, top) for text, top in asked if top for part in PARTS}
    answers: dict[str, list[HardwareFault]] = {}
    failed: dict[tuple[str, str], str] = {}
    with Desk(_FORM, _WORKER, num_workers=num_workers, cache=cache) as desk:
        for key, answer in desk.ask(units, _answered, timeout_s=INSPECT_TIMEOUT_S):
            if isinstance(answer, str):
                failed[units[key][1:]] = answer
            else:
                answers[key] = answer
            on_done(1)
    found: dict[tuple[str, str], list[HardwareFault]] = {
        pair: [] if pair[1] else [_NO_TOP] for pair in asked if pair not in failed
    }
    for key, (_, text, top) in units.items():
        found.get((text, top), []).extend(answers.get(key, []))
    return found, failed


def _answered(key: str, outcome: Outcome) -> list[HardwareFault] | str:
    """The faults, or why they are not known: our own fault, which is not kept. Raises ToolMissing."""
    if outcome.detail.startswith("ToolMissing"):
        raise ToolMissing(outcome.detail.partition(": ")[2])
    return outcome.value if outcome.status == "ok" else f"{outcome.status}: {generalized(outcome.detail)}"


_FORM: Form[list[HardwareFault] | str] = Form(
    name="audit", point="audit.item", logged=lambda answer: None, from_log=lambda entry: None,
    kept=lambda answer: None if isinstance(answer, str) else json.dumps(answer),
    from_cache=lambda text: [(kind, detail) for kind, detail in json.loads(text)],
)  # fmt: skip


def _key(part: str, text: str, top: str, tools: Mapping[str, str]) -> str:
    """Content hash of all that a part of an inspection depends on."""
    used = [tools[name] for name in (("slang", "yosys") if part == "netlist" else ("slang", "stimulus"))]
    return content_hash(["function", REVISION, part, *used, text, top], 32)


def _score_themselves(
    paired: Sequence[tuple[Problem, str, str]], names: Sequence[str], num_workers: int, cache: Path | None,
    on_done: Callable[[int], None], places: Mapping[str, str],
) -> list[SelfScore]:  # fmt: skip
    """Each reference as a candidate. A proof is given its twin, for it takes a reference's own text as proven."""
    found: dict[str, SelfScore] = {}
    proofs = [name for name in names if scorers.scorer_of(name).needs_twin]
    for make, some in ((twin, proofs), (str, [name for name in names if name not in proofs])):
        items = [ScoreItem(make(text), problem.header, text, top or None) for problem, text, top in paired]
        effort = Effort(Bound(SCORE_TIMEOUT_S * len(some)), num_workers, SCORE_TIMEOUT_S, cache)
        rows = score_items(items, some, on_done=on_done, effort=effort) if items and some else []
        for number, name in enumerate(some):
            found[name] = _own(name, [row[number] for row in rows], [problem for problem, _, _ in paired], places)
    return [found[name] for name in names]


def twin(reference: str) -> str:
    """The same design with a wire more that nothing uses, in every module."""
    parts: list[str] = []
    at = 0
    for span in modules(reference):
        end = reference.rfind("endmodule", span.start, span.end)
        parts += [reference[at:end], "\nwire itertl_twin;\n"] if end > 0 else []
        at = end if end > 0 else at
    return "".join([*parts, reference[at:]])


def _own(name: str, scores: Sequence[Score], problems: Sequence[Problem], places: Mapping[str, str]) -> SelfScore:
    """How one scorer takes the references; reasons by how often, then by text."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for score, problem in zip(scores, problems, strict=True):
        if score.value is None or score.value < 1:
            groups[score.verdict.value, generalized(score.detail)].append(str(Member.of(problem, places)))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    reasons = [
        Reason(verdict=verdict, reason=reason, count=len(which), examples=tuple(which[:EXAMPLES]))
        for (verdict, reason), which in ordered
    ]
    silent = sum(score.value is None for score in scores)
    full = sum(score.value is not None and score.value >= 1 for score in scores)
    return SelfScore(
        scorer=name, full=full, less=len(scores) - full - silent, cannot_judge=silent, reasons=tuple(reasons)
    )
