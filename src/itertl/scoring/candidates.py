"""The scoring stage of a run: candidates of one iteration in, scored candidates out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from itertl.config import ScoreConfig
from itertl.errors import DataError
from itertl.progress import SILENT, Tracker
from itertl.records import Candidate, Problem, Score, Scored
from itertl.runs.storage import taken_up, write_records
from itertl.sandbox.bounds import Bound
from itertl.scoring.combine import check_combination, rungs
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem


def item_of(candidate: Candidate, problem: Problem) -> ScoreItem:
    """What is scored of a candidate: its extracted code, also where generation hit its token limit."""
    return ScoreItem(code=candidate.code, header=problem.header, reference=problem.reference, top=problem.top)


def effort_of(config: ScoreConfig, cache: Path | None) -> Effort:
    """How a recipe scores."""
    bound = Bound(config.budget_s, config.memory_mb)
    return Effort(bound, config.num_workers, config.timeout_s, cache, config.keep_going)


def score_ahead(
    candidates: Sequence[Candidate], problems: Mapping[str, Problem], *, config: ScoreConfig, cache: Path
) -> None:
    """Fill the cache with scores of these candidates, so that ``score_candidates`` finds them there."""
    _scores(candidates, problems, config, cache)


def score_candidates(
    candidates: Sequence[Candidate],
    problems: Mapping[str, Problem],
    *,
    config: ScoreConfig,
    out: Path,
    cache: Path | None = None,
    tracker: Tracker = SILENT,
) -> list[Scored]:
    """Score all candidates, write them to ``out`` in their order (atomically), and return them.

    ``problems`` by id. Progress lies in ``out``'s name + ".partial": a killed call goes on from there and ends in the
    same bytes. Raises DataError (a problem is absent), RecipeError, UsageError, ToolFailed.
    """
    check_combination(config)
    missing = next((c.problem_id for c in candidates if c.problem_id not in problems), None)
    if missing is not None:
        known = f"the {len(problems)} problems of the run"
        raise DataError(f"candidates for {out}: problem {missing!r} is not among {known}")
    with taken_up(out) as partial:
        rows = _scores(candidates, problems, config, cache, partial, tracker)
        scored = [Scored(candidate=c, scores=scores) for c, scores in zip(candidates, rows, strict=True)]
        write_records(out, scored)
    return scored


def _scores(
    candidates: Sequence[Candidate], problems: Mapping[str, Problem], config: ScoreConfig, cache: Path | None,
    log: Path | None = None, tracker: Tracker = SILENT,
) -> list[tuple[Score, ...]]:  # fmt: skip
    items = [item_of(candidate, problems[candidate.problem_id]) for candidate in candidates]
    effort, order = effort_of(config, cache), rungs(config)
    return score_items(items, config.scorers, rungs=order, effort=effort, log=log, on_done=tracker.advance)
