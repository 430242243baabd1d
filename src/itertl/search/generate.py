"""A model at work for a user: instructions in, Verilog out, the best of several samples where a scorer can judge them.

Without a reference only scorers that need none can rank: ``syntax``, ``icarus``, or the user's own. Of equal scores the
first sample wins. The text can be watched while it is written.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import PromptConfig, Recipe
from itertl.errors import UsageError
from itertl.model.policy import sampled_policy
from itertl.model.prompts import EncodedPrompt, clean
from itertl.problems.load import from_config
from itertl.records import Candidate, Problem, Score, Verdict
from itertl.runs import rows
from itertl.sampling.backend import Backend
from itertl.sampling.batching import plan_batches, plan_requests
from itertl.sampling.draw import SamplingJob, as_candidate, open_backend
from itertl.sandbox.bounds import Bound
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import check_scorers, check_tools, scorer_of
from itertl.work.seeds import derive_seed

Show = Callable[[str], None]  # gets each new part of the first sample's text


@dataclass(frozen=True, slots=True)
class Ranked:
    """The samples of one problem, best first, each with what the scorer says of it."""

    problem: Problem
    candidates: tuple[tuple[Candidate, Score], ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and ``--out``: one object."""
        (best, score), *_ = self.candidates
        return {
            "problem_id": self.problem.id, "instruction": self.problem.instruction, "policy": best.policy,
            "code": best.code, "text": best.text,
            "finish_reason": best.finish_reason, "scorer": score.scorer, "score": score.value,
            "verdict": _verdict(score),
            "detail": score.detail, "scores": [s.value for _, s in self.candidates],
        }  # fmt: skip


# what they find says nothing of function, so it is not called "passed"
_WORDS = {"icarus": "compiles", "syntax": "parses"}


def _verdict(score: Score) -> str:
    return _WORDS.get(score.scorer, score.verdict.value) if score.verdict is Verdict.PASSED else score.verdict.value


def problems_of(instruction: str | None, file: Path | None, header: str, recipe: Recipe) -> list[Problem]:
    """The one instruction, or those of a file: plain text is one, else what ``data import`` understands."""
    if (instruction is None) == (file is None):
        raise UsageError("give an instruction or --file, one of the two")
    if file is not None and file.suffix in (".txt", ".md"):
        instruction, file = rows.decode(rows.read_bytes(file), str(file)), None
    if file is None:
        if not (instruction or "").strip():
            raise UsageError("the instruction is empty")
        return [Problem.create(instruction=clean(instruction or ""), header=clean(header), source="generate")]
    data = recipe.data.model_copy(update={"source": str(file), "holdout": None})
    return list(from_config(data, recipe.seed).problems)


def generate(
    problems: Sequence[Problem], recipe: Recipe, *, best_of: int = 1, scorer: str = "icarus", show: Show | None = None
) -> list[Ranked]:
    """Draw ``best_of`` samples for each problem and rank them. ``show``: for one problem and one sample, its text as it
    comes.

    Raises UsageError for a scorer that needs a reference where a problem has none, ToolMissing without the scorer's
    tool.
    """
    check_scorers([scorer])
    check_tools([scorer])
    if scorer_of(scorer).needs_reference and not all(p.reference for p in problems):
        raise UsageError(f"scorer {scorer!r} compares with a reference, and there is none; use icarus or syntax")
    drawn = _draw(problems, recipe, best_of, show)
    items = [ScoreItem(code=c.code, header=p.header, reference=p.reference, top=p.top) for p, c in drawn]
    config = recipe.score
    effort = Effort(
        bound=Bound(config.budget_s, config.memory_mb), num_workers=config.num_workers, timeout_s=config.timeout_s
    )
    scores = score_items(items, [scorer], effort=effort)
    by_problem: dict[str, list[tuple[Candidate, Score]]] = {p.id: [] for p in problems}
    for (problem, candidate), (score,) in zip(drawn, scores, strict=True):
        by_problem[problem.id].append((candidate, score))
    return [Ranked(p, tuple(sorted(by_problem[p.id], key=_rank))) for p in problems]


def _rank(pair: tuple[Candidate, Score]) -> tuple[float, int]:
    candidate, score = pair
    return -(score.value if score.value is not None else float("-inf")), candidate.index


def _draw(
    problems: Sequence[Problem], recipe: Recipe, best_of: int, show: Show | None
) -> list[tuple[Problem, Candidate]]:
    """Every sample with its problem, in order."""
    job = SamplingJob(problems, sampled_policy(recipe), recipe.sample, derive_seed(recipe.seed, "generate"), best_of)
    by_id = {p.id: p for p in problems}
    wanted = {p.id: (clean(p.header), p.top) for p in problems}
    found: dict[tuple[str, int], Candidate] = {}
    with closing(open_backend(job.policy, job.config)) as backend:
        if show is not None and best_of == len(problems) == 1 and backend.can_show:
            backend.show = show
        prompts = [(p.id, _encode(backend, p, recipe.prompt)) for p in problems]
        requests = plan_requests(prompts, best_of, job.seed, wanted)
        for batch in plan_batches(requests, recipe.sample.batch_size):
            for request, generation in zip(batch, backend(batch, job.asked), strict=True):
                drawn = as_candidate(request, generation, job.asked, job.policy_name)
                found[request.problem_id, request.index] = drawn
    return [(by_id[r.problem_id], found[r.problem_id, r.index]) for r in requests]


_BEGINNING = "module"


def _encode(backend: Backend, problem: Problem, config: PromptConfig) -> EncodedPrompt:
    """The prompt. A model that goes on from a header and is given none still begins its answer as one does."""
    if config.header == "prefill" and not problem.header.strip():
        begun = backend.encode(problem.model_copy(update={"header": _BEGINNING}), config)
        if begun.prefill == _BEGINNING:
            return begun
    return backend.encode(problem, config)
