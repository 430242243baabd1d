"""What section 3.2 of the paper asks to watch, computed from one iteration's scored candidates and its training.

The share of active pairs is taken here over all groups that were sampled, with the reference as K-th response (z = 1).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from itertl.config import ScoreConfig
from itertl.records import Problem, Scored, Telemetry, Verdict
from itertl.scoring.combine import climb, combine, is_right
from itertl.scoring.scorers import names_where
from itertl.training.round import TrainResult
from itertl.verilog.text import strip_comments

_PARSES = (Verdict.PASSED, Verdict.SCORED)
_SYNTAX_SCORERS = names_where(lambda scorer: scorer.judges_syntax)
SURROGATE = "rtlcoder"


def candidate_telemetry(
    rows: Sequence[Scored], score: ScoreConfig, problems: Mapping[str, Problem], trained: TrainResult, *, beta: float
) -> Telemetry:
    """Telemetry of one iteration. z is None where our own fault left it open."""
    values = [combine(row.scores, score) for row in rows]
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
        share_duplicates=_share(
            sum(_duplicates(problems[p].reference, [r for r, _ in g]) for p, g in groups.items()), len(rows)
        ),
        share_truncated=_share(sum(r.candidate.is_cut for r in rows), len(rows)),
        share_active_pairs=share_active([[v for _, v in g if v is not None] for g in groups.values()], beta),
        share_hinged_pairs=trained.share_hinged,
        mean_logp_old=trained.mean_logp_old,
        mean_logp_new=trained.mean_logp_new,
        kl_old_new=trained.kl_old_new,
        dropped_too_long=trained.dropped_too_long,
        references_too_long=trained.references_too_long,
        rungs=rung_counts(rows, score) if score.combine == "ladder" else None,
        share_surrogate_wrong=share_surrogate_wrong(rows),
        share_missed_by_surrogate=share_missed(groups.values(), beta),
        **_group_counts(list(groups.values())),
        groups_left_out=trained.groups_of_equal_z,
        candidates_rejected=trained.candidates_rejected,
        candidates_verified=trained.verified,
        share_compared_pairs=trained.share_active_pairs,
        signal_pairs=trained.signal_pairs,
        signal_pairs_clear=trained.signal_pairs_clear,
        share_slice_tokens=trained.share_slice_tokens,
    )


def _group_counts(groups: Sequence[Sequence[tuple[Scored, float | None]]]) -> dict[str, Any]:
    """How many groups have candidates of one z alone, and how many have a right one."""
    known = [{z for _, z in group if z is not None} for group in groups]
    right = [[is_right(row.scores) for row, _ in group] for group in groups]
    is_said = any(answer is not None for answers in right for answer in answers)
    return {
        "groups_of_equal_z": sum(len(values) == 1 for values in known),
        "groups_with_right": sum(any(answers) for answers in right) if is_said else None,
        "candidates_right": sum(answer is True for answers in right for answer in answers) if is_said else None,
    }


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def share_that_parses(rows: Sequence[Scored]) -> float | None:
    """Share of candidates that the first syntax-checking scorer accepts; None where none was taken."""
    taken = [[s.verdict for s in row.scores if s.scorer in _SYNTAX_SCORERS and s.value is not None] for row in rows]
    judged = [verdicts[0] for verdicts in taken if verdicts]
    return sum(v in _PARSES for v in judged) / len(judged) if judged else None


def share_active(groups: Sequence[Sequence[float]], beta: float) -> float | None:
    """Share of the unordered pairs of each group, reference (z = 1) included, whose z differ by more than beta."""
    active = total = 0
    for values in groups:
        z = [*values, 1.0]
        total += len(z) * (len(z) - 1) // 2
        active += sum(low < high - beta for low in z for high in z)
    return active / total if total else None


def rung_counts(rows: Sequence[Scored], score: ScoreConfig) -> dict[str, int]:
    """How many candidates have each rung as their highest, "" for none, in the ladder's order."""
    counts = dict.fromkeys(("", *score.ladder), 0)
    for row in rows:
        counts[climb(row.scores, score).held] += 1
    return counts


def share_surrogate_wrong(rows: Sequence[Scored]) -> float | None:
    """Of the candidates that the paper's score calls perfect, those that a scorer of function calls wrong; None for
    none."""
    right = [is_right(row.scores) for row in rows if _surrogate(row) == 1]
    judged = [answer for answer in right if answer is not None]
    return sum(not answer for answer in judged) / len(judged) if judged else None


def share_missed(groups: Iterable[Sequence[tuple[Scored, float | None]]], beta: float) -> float | None:
    """Of the pairs of candidates of one problem whose z differ by more than beta, those that the paper's score does not
    order so.

    None where that score was not taken, or is all that z is made of.
    """
    ordered = missed = 0
    for group in groups:
        known = [
            (z, s) for row, z in group if z is not None and (s := _surrogate(row)) is not None and len(row.scores) > 1
        ]
        for low, low_s in known:
            for high, high_s in known:
                if low < high - beta:
                    ordered += 1
                    missed += not low_s < high_s - beta
    return missed / ordered if ordered else None


def _surrogate(row: Scored) -> float | None:
    return next((score.value for score in row.scores if score.scorer == SURROGATE), None)


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
