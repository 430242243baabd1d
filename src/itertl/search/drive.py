"""Many searches at once: each round, the draws that all of them ask for go through the back end in full batches.

``OUT`` gets the answers as candidates, and ``NAME.attempts.jsonl`` beside it every attempt, its parent and what it was
shown. A search that was stopped goes on from ``OUT.partial``: batches that were drawn and rounds that were examined
are read back, the rest is planned again from them, and ends in the same bytes.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itertl import faults
from itertl.config import SampleConfig
from itertl.errors import UsageError
from itertl.model.prompts import Turn, clean
from itertl.progress import SILENT, Tracker
from itertl.records import Attempt, Candidate, Examined, Problem, SearchCost
from itertl.runs.storage import AppendLog, parse_record, taken_up, write_records, write_text
from itertl.sampling.backend import Generation
from itertl.sampling.batching import SampleRequest, plan_batches, plan_requests
from itertl.sampling.draw import (
    SamplingJob,
    as_candidate,
    draw_batches,
    draw_candidates,
    encode,
    open_log,
    plan_hash,
)
from itertl.scoring.engine import Effort
from itertl.search import models
from itertl.search.models import Drawer
from itertl.search.plain_draws import expected_solved
from itertl.search.strategy import MOST, Ask, Drawn, Strategy, check_chance, is_right, open_strategy
from itertl.work.seeds import derive_seed

_PLACE = re.compile(r"\{(?:instruction|header)\}")
Key = tuple[str, int, int]  # problem's id, search, attempt


def attempts_file(out: Path) -> Path:
    """Where the attempts behind the answers in ``out`` lie."""
    return out.with_name(f"{out.stem}.attempts.jsonl")


def seconds_file(out: Path) -> Path:
    """Where the seconds that each attempt behind ``out`` took lie: ``{"drawing": s, "tools": s}`` a line, in the order
    of the attempts. A batch's seconds are shared among its draws by their tokens, a round's examination by tool calls.
    """
    return out.with_name(f"{out.stem}.seconds.jsonl")


def find_candidates(
    job: SamplingJob,
    out: Path,
    *,
    effort: Effort | None = None,
    tracker: Tracker = SILENT,
    ahead: Callable[[Sequence[Candidate]], object] | None = None,
    show: Callable[[str], None] | None = None,
    with_seconds: bool = False,
) -> list[Candidate]:
    """``draw_candidates``, or what the job's strategy finds in their place: as many answers, best first.

    A problem has one search for each answer; with ``job.is_one_search`` one alone, of which its first attempts in the
    strategy's order are the answers (all of them, where it ``adapts``). ``show``: with a strategy, gets the first text
    of each batch as it is written. ``with_seconds``: with a strategy, also writes ``seconds_file``, the one file that
    differs from call to call.
    Raises as ``draw_candidates``, and UsageError for a strategy that cannot be used.
    """
    config = job.config
    if config.strategy is None:
        return draw_candidates(job, out, tracker=tracker, ahead=ahead)
    strategy = open_strategy(config.strategy, config.strategy_options)
    strategy.check(job.problems)
    check_chance(strategy, [job.asked.temperature])
    with taken_up(out) as partial, models.opened(job, strategy.models) as drawers:
        backend = drawers[""].backend
        if strategy.continues and not backend.can_continue:
            raise UsageError(
                f"strategy {config.strategy} goes on from tokens of an answer, which the sampling back end "
                f"{config.backend!r} cannot; use sample.backend=transformers, or one of your own with can_continue"
            )
        if show is not None and backend.can_show:
            backend.show = show
        found = _Search(strategy, job, drawers, effort or Effort(), tracker)
        with open_log(partial, found.plan()) as log:
            found.run(log)
        write_records(attempts_file(out), found.attempts())
        if with_seconds:
            write_text(seconds_file(out), found.seconds())
        candidates = found.answers()
        write_records(out, candidates)
    return candidates


def draws_of(job: SamplingJob) -> int:
    """How many responses the job draws; 0 where a strategy decides on the way."""
    count = job.config.num_candidates if job.num_samples is None else job.num_samples
    return len(job.problems) * count if job.config.strategy is None else 0


def feedback_of(config: SampleConfig) -> str:
    """What the recipe's strategy looks at beside the model's own texts."""
    return open_strategy(str(config.strategy), config.strategy_options).feedback


def cost_of(job: SamplingJob, attempts: Sequence[Attempt], answers: int) -> SearchCost:
    """What the attempts of a job's searches took."""
    right = [a for a in attempts if is_right(a)]
    searches: dict[tuple[str, int], list[Attempt]] = {}
    for attempt in attempts:
        searches.setdefault((attempt.candidate.problem_id, attempt.search), []).append(attempt)
    plain = expected_solved(searches.values())
    return SearchCost(
        strategy=str(job.config.strategy),
        feedback=feedback_of(job.config),
        answers=answers,
        attempts=len(attempts),
        rounds=max((attempt.round + 1 for attempt in attempts), default=0),
        tool_calls=sum(attempt.examined.tool_calls for attempt in attempts),
        prompt_tokens=sum(attempt.read_tokens for attempt in attempts),
        completion_tokens=sum(attempt.drawn_tokens for attempt in attempts),
        solved=len({(a.candidate.problem_id, a.search) for a in right}),
        solved_at_once=len({(a.candidate.problem_id, a.search) for a in right if a.round == 0}),
        solved_by_plain=None if plain is None else round(plain, 3),
    )


@dataclass(frozen=True, slots=True)
class _Draw:
    """A draw that a search asked for."""

    key: Key
    ask: Ask
    request: SampleRequest


@dataclass(slots=True)
class _Search:
    """All searches of a job."""

    strategy: Strategy
    job: SamplingJob
    drawers: Mapping[str, Drawer]  # by the model's name, the job's own as ""
    effort: Effort
    tracker: Tracker
    problems: dict[str, Problem] = field(init=False)
    first: list[SampleRequest] = field(init=False)  # the plain prompts
    wanted: int = field(init=False)  # answers of each problem
    own: dict[str, Strategy] = field(init=False)  # the strategy for each problem
    tried: dict[tuple[str, int], list[Attempt]] = field(init=False)  # (problem's id, search) -> by number
    drawn: dict[Key, Candidate] = field(default_factory=dict[Key, Candidate])  # of this round
    took: dict[Key, list[float]] = field(default_factory=dict[Key, list[float]])  # seconds: drawing, tools

    def __post_init__(self) -> None:
        job = self.job
        self.wanted = job.config.num_candidates if job.num_samples is None else job.num_samples
        searches = 1 if job.is_one_search else self.wanted
        form, word = job.policy.prompt, job.first_word
        prompts = [(p.id, encode(self.drawers[""].backend, p, form, first_word=word)) for p in job.problems]
        self.first = plan_requests(prompts, 1, job.seed)  # raises where a problem comes twice
        self.problems = {p.id: p for p in job.problems}
        self.own = {p.id: self.strategy.of_problem(job.earlier.get(p.id)) for p in job.problems}
        self.tried = {(p.id, number): [] for p in job.problems for number in range(searches)}

    def plan(self) -> str:
        """A hash of all that the answers depend on."""
        job = self.job
        texts = {p.id: [p.instruction, p.header, p.reference, p.testbench] for p in job.problems}
        others = [
            [d.job.policy_name, d.backend.numerics, d.job.policy.prompt.model_dump(mode="json")]
            for d in self.drawers.values()
            if d.is_other
        ]
        more = [*([dict(job.earlier)] if job.earlier else []), *([others] if others else [])]
        searched = [texts, dict(self.strategy.settings()), self.wanted, job.is_one_search]
        return plan_hash([self.first], job, self.drawers[""].backend, *searched, *more)

    def run(self, log: AppendLog) -> None:
        """Round by round until no search asks for more."""
        known, examined = self._read(log)
        number = 0
        while asked := self._asked():
            self.drawn = {draw.key: known[draw.key] for draw in asked if draw.key in known}
            self.tracker.advance(len(self.drawn))
            for name in dict.fromkeys(draw.ask.model for draw in asked):
                self._draw([draw for draw in asked if draw.ask.model == name], models.alone(self.drawers, name), log)
            found, seconds = examined.get(number) or self._examine(asked, log, number)
            for draw, said, share in zip(asked, found, seconds, strict=True):
                self.took[draw.key][1] = share
                self._add(draw, number, said)
            number += 1

    def _read(self, log: AppendLog) -> tuple[dict[Key, Candidate], dict[int, tuple[list[Examined], list[float]]]]:
        """What an earlier call drew, and what it found of each round, in how many seconds."""
        known: dict[Key, Candidate] = {}
        examined: dict[int, tuple[list[Examined], list[float]]] = {}
        for number, line in enumerate(log.existing[1:], 2):
            for row in line.get("drawn", ()):
                ident, search, at = row["key"]
                known[ident, search, at] = parse_record(Candidate, row["candidate"], f"{log.path}:{number}")
                self.took[ident, search, at] = [row.get("seconds", 0.0), 0.0]
            if "examined" in line:
                found = [Examined.model_validate(said) for said in line["examined"]]
                examined[line["round"]] = found, line.get("seconds") or [0.0] * len(found)
        return known, examined

    def _asked(self) -> list[_Draw]:
        """The draws of the next round."""
        found: list[_Draw] = []
        for place, attempts in self.tried.items():
            asks = list(self.own[place[0]].next(attempts))
            designs = sum(not attempt.kind for attempt in attempts)
            wanted = self.wanted if self.job.is_one_search else 1
            if not asks and designs < wanted:
                asks = [Ask(wanted - designs)]
            at = len(attempts)
            for ask in asks:
                found += self._planned(place, attempts, ask, at)
                at += ask.count
        return found

    def _planned(self, place: tuple[str, int], attempts: Sequence[Attempt], ask: Ask, at: int) -> list[_Draw]:
        """The draws of one ask, numbered from ``at``."""
        ident, search = place
        drawer = self.drawers[ask.model]
        problem, form = self.problems[ident], drawer.job.policy.prompt
        top = problem.top if ask.instruction is None else None
        if ask.instruction is not None:
            places = {"{instruction}": problem.instruction, "{header}": problem.header}
            instruction = _PLACE.sub(lambda found: places[found.group()], ask.instruction)
            problem = problem.model_copy(update={"instruction": instruction, "header": ask.header, "reference": None})
        if ask.is_edit:
            form = form.model_copy(
                update={"opening": "", "header": "append" if form.header == "prefill" else form.header}
            )
        if at + ask.count > MOST:
            raise UsageError(f"a search has more than {MOST} attempts; give it a smaller budget")
        turns = tuple(Turn(attempts[n].candidate.code, attempts[n].examined.message) for n in ask.path)
        is_design = ask.instruction is None and not ask.is_edit
        prompt = encode(drawer.backend, problem, form, turns, first_word=self.job.first_word if is_design else "")
        wanted = ("", None) if ask.is_edit else (clean(problem.header), top)
        return [
            _Draw(
                (ident, search, number),
                ask,
                SampleRequest(
                    ident, search * MOST + number, derive_seed(self.job.seed, "search", ident, search, number), prompt,
                    *wanted, ask.continuation,
                ),
            )
            for number in range(at, at + ask.count)
        ]  # fmt: skip

    def _draw(self, asked: Sequence[_Draw], drawer: Drawer, log: AppendLog) -> None:
        """What a model draws of a round, into ``drawn``."""
        key_of = {(d.request.problem_id, d.request.index): d.key for d in asked}
        ask_of = {d.key: d.ask for d in asked}
        batches = plan_batches([d.request for d in asked], self.job.config.batch_size)
        left = [[r for r in batch if key_of[r.problem_id, r.index] not in self.drawn] for batch in batches]
        left = [batch for batch in left if batch]
        began = time.monotonic()

        def keep(batch: Sequence[SampleRequest], generations: Mapping[int, Generation]) -> None:
            nonlocal began
            rows: list[dict[str, Any]] = []
            before, began = began, time.monotonic()
            lengths = [len(generation.token_ids or ()) + 1 for _, generation in sorted(generations.items())]
            shares = iter(_shared(began - before, lengths))
            for place, generation in sorted(generations.items()):
                request = batch[place]
                key = key_of[request.problem_id, request.index]
                candidate = as_candidate(request, generation, self.job.asked, drawer.job.policy_name)
                candidate = drawer.signed(candidate).model_copy(update={"index": key[2]})
                earlier = self.tried[key[:2]]
                drawn = Drawn(self.problems[key[0]], candidate, ask_of[key], earlier, key[1])
                self.drawn[key] = self.strategy.taken(drawn)
                self.took[key] = [next(shares), 0.0]
                rows.append({"key": list(key), "candidate": _line(self.drawn[key]), "seconds": self.took[key][0]})
            log.append([{"drawn": rows}])
            self.tracker.advance(len(rows))

        draw_batches(drawer.backend, left, drawer.job, keep, point="search.batch", actors=drawer.actors)

    def _examine(self, asked: Sequence[_Draw], log: AppendLog, number: int) -> tuple[list[Examined], list[float]]:
        """What is said of a round's draws, and the seconds of each."""
        drawn = [
            Drawn(self.problems[d.key[0]], self.drawn[d.key], d.ask, self.tried[d.key[:2]], d.key[1]) for d in asked
        ]
        began = time.monotonic()
        found = self.strategy.examine(drawn, self.effort)
        shares = _shared(time.monotonic() - began, [said.tool_calls for said in found])
        said = [one.model_dump(mode="json") for one in found]
        log.append([{"round": number, "examined": said, "seconds": shares}])
        faults.point("search.examined")
        return found, shares

    def _add(self, draw: _Draw, number: int, said: Examined) -> None:
        ident, search, _ = draw.key
        attempts = self.tried[ident, search]
        shown = tuple((a, attempts[a].examined.message) for a in draw.ask.path)
        attempts.append(
            Attempt(
                candidate=self.drawn[draw.key],
                search=search,
                round=number,
                kind=draw.ask.kind,
                parent=draw.ask.parent,
                shown=shown,
                examined=said,
            )
        )

    def attempts(self) -> list[Attempt]:
        """By problem, search and number."""
        return [attempt for attempts in self.tried.values() for attempt in attempts]

    def seconds(self) -> str:
        """The text of ``seconds_file``."""
        keys = [(*place, number) for place, attempts in self.tried.items() for number in range(len(attempts))]
        took = [dict(zip(("drawing", "tools"), self.took[key], strict=True)) for key in keys]
        return "".join(f"{json.dumps(one)}\n" for one in took)

    def answers(self) -> list[Candidate]:
        """``wanted`` for each problem, in the order of the problems."""
        found: list[Candidate] = []
        for (_, search), attempts in self.tried.items():
            best = [number for number in self.strategy.order(attempts) if not attempts[number].kind]
            count = len(best) if self.strategy.adapts else self.wanted
            places = range(count) if self.job.is_one_search else [search]
            taken = best if self.job.is_one_search else best[:1]
            found += [
                attempts[number].candidate.model_copy(update={"index": place, "continued": None})
                for place, number in zip(places, taken, strict=False)
            ]
        return found


def _line(candidate: Candidate) -> dict[str, Any]:
    return {"schema": candidate.schema_name, **candidate.model_dump(mode="json")}


def _shared(seconds: float, parts: Sequence[int]) -> list[float]:
    """Seconds in proportion to the parts, or equal ones where these are all zero."""
    weights = parts if any(parts) else [1] * len(parts)
    return [round(seconds * weight / sum(weights), 6) for weight in weights]
