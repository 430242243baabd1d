"""What section 3.2 of the paper asks to watch, computed from one iteration's scored candidates and its training.

The share of active pairs is taken here over all groups that were sampled, with the reference as K-th response (z = 1).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from itertl.records import Problem, Scored, Telemetry, Verdict
from itertl.tools.verilog_text import strip_comments
from itertl.training.stage import TrainResult

_PARSES = (Verdict.PASSED, Verdict.SCORED)
_SYNTAX_SCORERS = ("rtlcoder", "syntax", "icarus")


def candidate_telemetry(
    rows: Sequence[Scored], values: Sequence[float | None], problems: Mapping[str, Problem], trained: TrainResult, *, beta: float
) -> Telemetry:
    """Telemetry of one iteration. ``values`` holds z of each row, None where our own fault left it open."""
    groups: dict[str, list[tuple[Scored, float | None]]] = defaultdict(list)
    for row, value in zip(rows, values, strict=True):
        groups[row.candidate.problem_id].append((row, value))
    known = [v for v in values if v is not None]
    return Telemetry(
        problems=len(groups),
        candidates=len(rows),
        unscored=len(values) - len(known),
        mean_z=sum(known) / len(known) if known else None,
        share_parses=share_that_parses(rows),
        share_duplicates=_share(sum(_duplicates(problems[p].reference, [r for r, _ in g]) for p, g in groups.items()), len(rows)),
        share_truncated=_share(sum(r.candidate.is_cut for r in rows), len(rows)),
        share_active_pairs=share_active([[v for _, v in g if v is not None] for g in groups.values()], beta),
        share_hinged_pairs=trained.share_hinged,
        mean_logp_old=trained.mean_logp_old,
        mean_logp_new=trained.mean_logp_new,
        kl_old_new=trained.kl_old_new,
        dropped_too_long=trained.dropped_too_long,
        references_too_long=trained.references_too_long,
    )


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def share_that_parses(rows: Sequence[Scored]) -> float | None:
    """Share of candidates that the first syntax-checking scorer accepts; None where none was taken."""
    verdicts = [
        next((s.verdict for s in row.scores if s.scorer in _SYNTAX_SCORERS and s.value is not None), None) for row in rows
    ]
    judged = [v for v in verdicts if v is not None]
    return sum(v in _PARSES for v in judged) / len(judged) if judged else None


def share_active(groups: Sequence[Sequence[float]], beta: float) -> float | None:
    """Share of the unordered pairs of each group, reference (z = 1) included, whose z differ by more than beta."""
    active = total = 0
    for values in groups:
        z = [*values, 1.0]
        total += len(z) * (len(z) - 1) // 2
        active += sum(low < high - beta for low in z for high in z)
    return active / total if total else None


def _duplicates(reference: str | None, rows: Sequence[Scored]) -> int:
    """How many candidates repeat an earlier one of their group, or the reference, up to comments and white space."""
    seen = set() if reference is None else {_plain(reference)}
    count = 0
    for row in rows:
        text = _plain(row.candidate.code)
        count += text in seen
        seen.add(text)
    return count


def _plain(code: str) -> str:
    return " ".join(strip_comments(code).split())
