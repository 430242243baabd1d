"""A teacher: any sampling back end, asked question by question, with a journal, an account and a budget.

A question's key is a hash of all that its answer depends on, so that a call that was stopped, or whose budget was
raised, asks for what is missing and pays for nothing twice. Every answer that is used counts against the budget, from
the journal or not: where the money ends depends on the questions alone, not on how often the call was started.

The budget is never exceeded: a question is asked where its prompt and the longest answer that it may have still fit.
Where a server does not count its tokens, they are counted as a third of the bytes. What the account cannot see is
a request that failed after the server had done its work.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from itertl.config import PromptConfig, Recipe
from itertl.errors import UsageError
from itertl.model.policy import sampled_policy
from itertl.progress import SILENT, Tracker
from itertl.records import Candidate, Problem
from itertl.runs.storage import AppendLog, parse_record, partial_of
from itertl.sampling.backend import Generation
from itertl.sampling.batching import SampleRequest, plan_batches, plan_requests
from itertl.sampling.draw import SamplingJob, as_candidate, draw_batches, encode, plan_hash
from itertl.sampling.lengths import settled
from itertl.search import models
from itertl.search.models import Drawer
from itertl.work import engine
from itertl.work.seeds import derive_seed

TEMPERATURE = 0.7  # where the recipe says none
_BYTES_A_TOKEN = 3  # of text that a server has not counted: more tokens than it will be


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent, and what a million tokens cost: of prompts, and of answers. None: no limit, no price."""

    tokens: int | None = None
    money: float | None = None
    price: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.money is not None and self.price is None:
            raise UsageError("a budget in money needs what a million tokens cost: --price PROMPTS,ANSWERS")
        for name, value in (("--budget-tokens", self.tokens), ("--budget-money", self.money)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value}; give a number above 0, or leave it out for no limit")


@dataclass(slots=True)
class Cost:
    """Tokens of prompts and answers. ``estimated``: answers of which a server did not count them."""

    price: tuple[float, float] | None = None
    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0

    def add(self, candidate: Candidate, prompt: str) -> None:
        """``prompt``: its text, by which tokens are told that nobody counted."""
        is_counted = candidate.prompt_tokens > 0
        self.answers += 1
        self.estimated += not is_counted
        self.prompt_tokens += candidate.prompt_tokens or _estimated(prompt)
        self.completion_tokens += candidate.completion_tokens if is_counted else _estimated(candidate.text)

    @property
    def money(self) -> float | None:
        return None if self.price is None else _money(self.price, self.prompt_tokens, self.completion_tokens)

    def include(self, other: "Cost") -> None:
        self.answers += other.answers
        self.estimated += other.estimated
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens

    def to_json(self) -> dict[str, float | int | None]:
        """For a row or an account; money to a millionth."""
        found: dict[str, float | int | None] = {
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens,
            "money": None if self.money is None else round(self.money, 6),
        }  # fmt: skip
        return {**found, **({"estimated_answers": self.estimated} if self.estimated else {})}


@dataclass(slots=True)
class Teacher:
    """Made by ``opened``. ``is_spent``: a question did not fit into the budget, and no further one is asked."""

    drawer: Drawer
    budget: Budget
    cost: Cost
    log: AppendLog
    tracker: Tracker
    is_spent: bool = False
    _known: dict[str, Candidate] = field(default_factory=dict[str, Candidate])

    def ask(
        self, questions: Mapping[str, Problem], form: PromptConfig, count: int = 1
    ) -> dict[str, list[tuple[Candidate, Cost]]]:
        """``count`` answers to each question, by its name, each with what it took; those for which nothing is left in
        the budget are not in it. Raises what the back end raises; what was answered by then is kept."""
        backend, job = self.drawer.backend, self.drawer.job
        prompts = [(name, encode(backend, problem, form)) for name, problem in questions.items()]
        wanted = {name: (problem.header, problem.top) for name, problem in questions.items()}
        requests = plan_requests(prompts, count, job.seed, wanted)
        left = {name: requests[count * at : count * (at + 1)] for at, name in enumerate(questions)}
        found: dict[str, list[tuple[Candidate, Cost]]] = {}
        while left and not self.is_spent:
            wave = self._affordable(left)
            self.is_spent = not wave
            drawn = self._drawn([r for name in wave for r in left[name]])
            for name in wave:
                found[name] = [self._taken(r, drawn[r.problem_id, r.index]) for r in left.pop(name)]
        return found

    def rest(self) -> None:
        """Let go of the model while tools work; a later question loads it again."""
        self.drawer.backend.close()
        self.drawer.actors.close()

    def _taken(self, request: SampleRequest, candidate: Candidate) -> tuple[Candidate, Cost]:
        own = Cost(self.cost.price)
        own.add(candidate, request.prompt.text)
        self.cost.include(own)
        return candidate, own

    def _affordable(self, left: Mapping[str, Sequence[SampleRequest]]) -> list[str]:
        """The first questions that fit whatever their answers are, in their order."""
        limit, cost = self.drawer.job.asked.max_new_tokens, self.cost
        prompt, completion = cost.prompt_tokens, cost.completion_tokens
        for number, requests in enumerate(left.values()):
            prompt += sum(len(r.prompt.token_ids) or _estimated(r.prompt.text) for r in requests)
            completion += limit * len(requests)
            if not self._is_within(prompt, completion):
                return list(left)[:number]
        return list(left)

    def _is_within(self, prompt: int, completion: int) -> bool:
        tokens, money, price = self.budget.tokens, self.budget.money, self.budget.price
        is_too_many = tokens is not None and prompt + completion > tokens
        return not is_too_many and (money is None or price is None or _money(price, prompt, completion) <= money + 1e-9)

    def _drawn(self, requests: Sequence[SampleRequest]) -> dict[tuple[str, int], Candidate]:
        """The candidate of each request: from the journal, else drawn, a batch at a time, and kept."""
        backend, job = self.drawer.backend, self.drawer.job
        keys = {(r.problem_id, r.index): plan_hash([[r]], job, backend) for r in requests}
        batches = [
            [r for r in batch if keys[r.problem_id, r.index] not in self._known]
            for batch in plan_batches(requests, job.config.batch_size)
        ]
        batches = [batch for batch in batches if batch]
        self.tracker.advance(len(requests) - sum(map(len, batches)))

        def keep(batch: Sequence[SampleRequest], generations: Mapping[int, Generation]) -> None:
            rows: list[list[object]] = []
            for place, generation in sorted(generations.items()):
                request = batch[place]
                key = keys[request.problem_id, request.index]
                candidate = as_candidate(request, generation, job.asked, job.policy_name)
                self._known[key] = candidate = candidate.model_copy(update={"token_ids": None, "token_logprobs": None})
                rows.append([key, {"schema": candidate.schema_name, **candidate.model_dump(mode="json")}])
            self.log.append([{"drawn": rows}])
            self.tracker.advance(len(rows))

        draw_batches(backend, batches, job, keep, point="writing.batch", actors=self.drawer.actors)
        return {place: self._known[key] for place, key in keys.items()}


@contextlib.contextmanager
def opened(recipe: Recipe, out: Path, budget: Budget, tracker: Tracker = SILENT) -> Iterator[Teacher]:
    """The recipe's model as a teacher of the pairs in ``out``, whose journal lies beside it (``partial_of``).

    The journal goes where the block ends without an error and the budget was enough; it stays where the same call with
    a larger one could go on. The temperature is ``TEMPERATURE`` unless the recipe sets it; answers end behind the
    module that is asked for, and where they repeat themselves. Raises UsageError for a model that cannot be used.
    """
    recipe = settled(recipe, lambda: [])
    sample = recipe.sample
    warm = {} if "temperature" in sample.model_fields_set else {"temperature": TEMPERATURE}
    sample = sample.model_copy(update={**warm, "strategy": None, "strategy_options": {}})
    ends = {"stop_at_module": True, "stop_at_repetition": True}
    job = SamplingJob(
        (), sampled_policy(recipe), sample, derive_seed(recipe.seed, "writing"),
        settings=sample.settings.model_copy(update=ends), processes=engine.current().processes(recipe.compute),
    )  # fmt: skip
    partial = partial_of(out)
    with models.opened(job, ()) as drawers, AppendLog(partial) as log:
        found = Teacher(drawers[""], budget, Cost(budget.price), log, tracker)
        for number, line in enumerate(log.existing, 1):
            for key, row in line.get("drawn", ()):
                found._known[key] = parse_record(Candidate, row, f"{partial}:{number}")
        yield found
    if not found.is_spent:
        partial.unlink(missing_ok=True)


def _estimated(text: str) -> int:
    return math.ceil(len(text.encode()) / _BYTES_A_TOKEN)


def _money(price: tuple[float, float], prompt: int, completion: int) -> float:
    return (price[0] * prompt + price[1] * completion) / 1e6
