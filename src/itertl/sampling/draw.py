"""The stage: problems and a policy in, a file of candidates out; stop it anywhere and call it again.

All requests, seeds and batches are settled before the first token. A finished batch is appended, as one line, to
``OUT.partial``; a batch that a kill cut short is drawn again whole, so its rows meet the same numerics and give the
same text. A back end that could serve a part of a batch keeps that part (``BatchIncomplete``). The partial file begins
with a hash of the plan and is removed where the plan has changed.
"""

import contextlib
import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from itertl import faults, plugins
from itertl.config import PromptConfig, SampleConfig
from itertl.errors import UsageError
from itertl.model.policy import Policy
from itertl.model.prompts import EncodedPrompt, Turn, clean
from itertl.progress import SILENT, Tracker
from itertl.records import Candidate, Continued, JsonValue, Problem, SamplingSettings, content_hash
from itertl.runs.storage import AppendLog, parse_record, taken_up, write_records
from itertl.sampling.backend import BACKENDS, Adapted, Backend, BatchIncomplete, Generation
from itertl.sampling.batching import SampleRequest, plan_batches, plan_requests
from itertl.verilog.extract import extract
from itertl.verilog.thoughts import opens_thought
from itertl.work import devices, engine, places
from itertl.work.actors import Actors
from itertl.work.ahead import Ahead

_KIND = "sampling back end"


@dataclass(frozen=True, slots=True)
class SamplingJob:
    """All that decides which responses are drawn."""

    problems: Sequence[Problem]
    policy: Policy
    config: SampleConfig
    seed: int
    num_samples: int | None = None  # for each problem; None: ``config.num_candidates``
    settings: SamplingSettings | None = None  # None: the recipe's
    first_word: str = ""  # begins answers that are to go on from a header where a problem has none
    is_one_search: bool = False  # with a search strategy: whether one search gives all answers of a problem
    # with a strategy that adapts: mean z of each problem's candidates in earlier iterations, by id
    earlier: Mapping[str, float] = field(default_factory=dict[str, float])
    processes: int = 1  # that draw, where the back end is one for each device; of no consequence for what is drawn

    @property
    def asked(self) -> SamplingSettings:
        return self.settings or self.config.settings

    @property
    def policy_name(self) -> str:
        """What records call the policy: an endpoint's by the name under which it is served."""
        served = self.config.options.get("served_model") if self.config.backend == "openai" else None
        return self.policy.digest if served is None else str(served)


def encode(
    backend: Backend, problem: Problem, form: PromptConfig, turns: Sequence[Turn] = (), *, first_word: str = ""
) -> EncodedPrompt:
    """The problem's prompt. ``first_word``: see ``SamplingJob``."""
    if first_word and form.header == "prefill" and not problem.header.strip():
        begun = backend.encode(problem.model_copy(update={"header": first_word}), form, turns)
        if begun.prefill == first_word:
            return begun
    return backend.encode(problem, form, turns)


def draw_candidates(
    job: SamplingJob,
    out: Path,
    *,
    tracker: Tracker = SILENT,
    ahead: Callable[[Sequence[Candidate]], object] | None = None,
) -> list[Candidate]:
    """Draw the responses of ``job`` and write them to ``out``.

    Candidates come in the order of the problems, then by index; ``out`` appears whole or not at all. A prompt that
    leaves no room in the model's context gives an empty candidate with finish reason "length". ``ahead`` is given what
    is drawn while the rest is being drawn, and finished work of an earlier call too, where sampling leaves these cores
    free. Raises UsageError for an unknown back end or option, or a problem given twice.
    """
    config, problems = job.config, job.problems
    count = config.num_candidates if job.num_samples is None else job.num_samples
    wanted = {p.id: (clean(p.header), p.top) for p in problems}
    place = {p.id: number for number, p in enumerate(problems)}
    with taken_up(out) as partial:
        with contextlib.ExitStack() as stack:
            backend = stack.enter_context(contextlib.closing(open_backend(job.policy, config)))
            prompts = [(p.id, encode(backend, p, job.policy.prompt, first_word=job.first_word)) for p in problems]
            batches = plan_batches(plan_requests(prompts, count, job.seed, wanted), config.batch_size)
            plan = plan_hash(batches, job, backend)
            report: Callable[[Sequence[Candidate]], object] = _wait
            if ahead is not None and not backend.uses_these_cores:
                report = stack.enter_context(Ahead(ahead))
            with open_log(partial, plan) as log:
                done = _draw_all(backend, batches, job, log, tracker, report)
        candidates = sorted(done, key=lambda c: (place[c.problem_id], c.index))
        write_records(out, candidates)
    return candidates


_FIXED_OPTIONS = ("dtype", "trust_remote_code", "revision")


def check_backend(config: SampleConfig) -> Callable[..., Backend]:
    """The back end's factory. Raises UsageError for an unknown name or an option that it does not take."""
    taken = sorted(set(_FIXED_OPTIONS) & set(config.options))
    if taken:
        raise UsageError(f"sample.options.{taken[0]}: set elsewhere in the recipe (sample.dtype, model.…); remove it")
    make = plugins.resolve(_KIND, config.backend, BACKENDS)
    plugins.check_arguments(_KIND, config.backend, make, config.options)
    return make


def open_backend(policy: Policy, config: SampleConfig) -> Backend:
    """The recipe's back end for that model. Raises as ``check_backend``."""
    found = check_backend(config)(
        policy.path, dtype=config.dtype, trust_remote_code=policy.trust_remote_code, revision=policy.revision,
        **config.options,
    )  # fmt: skip
    return found if isinstance(found, Backend) else Adapted(found)


def _wait(candidates: Sequence[Candidate]) -> None:
    """Scoring waits until all is sampled."""


def _lasting(config: SampleConfig, backend: Backend) -> dict[str, Any]:
    """The settings that an answer depends on.

    How a server is reached and how often it is asked may change on the way.
    """
    options = {name: value for name, value in config.options.items() if name not in backend.incidental_options}
    return {**config.model_dump(mode="json"), "options": options, "numerics": backend.numerics}


def plan_hash(batches: Sequence[Sequence[SampleRequest]], job: SamplingJob, backend: Backend, *more: JsonValue) -> str:
    """Of all that the answers depend on, and of ``more``."""

    def row(r: SampleRequest) -> list[Any]:
        asked = r.prompt
        return [r.problem_id, r.index, r.seed, asked.text, asked.prefill, list(asked.token_ids), r.header, r.top]

    settings = [job.policy_name, job.asked.model_dump(mode="json"), _lasting(job.config, backend), *more]
    return content_hash([[list(map(row, batch)) for batch in batches], settings])


def _draw_all(
    backend: Backend,
    batches: Sequence[Sequence[SampleRequest]],
    job: SamplingJob,
    log: AppendLog,
    tracker: Tracker,
    report: Callable[[Sequence[Candidate]], object],
) -> list[Candidate]:
    """Candidates of all batches: those that ``log`` holds, then the rest, each appended when done."""
    done = [
        parse_record(Candidate, row, f"{log.path}:{number}")
        for number, line in enumerate(log.existing[1:], 2)
        for row in line["candidates"]
    ]
    tracker.advance(len(done))
    report(done)

    def keep(requests: Sequence[SampleRequest], drawn: Mapping[int, Generation]) -> None:
        found = [
            as_candidate(requests[place], generation, job.asked, job.policy_name)
            for place, generation in sorted(drawn.items())
        ]
        log.append([{"candidates": [{"schema": c.schema_name, **c.model_dump(mode="json")} for c in found]}])
        done.extend(found)
        tracker.advance(len(found))
        report(found)

    known = {(c.problem_id, c.index) for c in done}
    left = [[r for r in batch if (r.problem_id, r.index) not in known] for batch in batches]
    left = [batch for batch in left if batch]
    draw_batches(backend, left, job, keep, point="sample.batch")
    return done


def draw_batches(
    backend: Backend,
    batches: Sequence[Sequence[SampleRequest]],
    job: SamplingJob,
    keep: Callable[[Sequence[SampleRequest], Mapping[int, Generation]], object],
    *,
    point: str,
    actors: Actors | None = None,
) -> None:
    """Draw all batches as ``answers`` does, and give each with its responses, by place in it, to ``keep``.

    Raises BatchIncomplete when what the batch has of them is kept. ``point``: see ``faults``, behind each batch.
    """
    with contextlib.closing(answers(backend, batches, job, actors)) as found:
        for number, drawn in found:
            if isinstance(drawn, BatchIncomplete):
                keep(batches[number], drawn.done)
                raise drawn
            keep(batches[number], dict(enumerate(drawn)))
            faults.point(point)


def actors_of(job: SamplingJob) -> Actors:
    """Those that draw for the job, one for each device."""
    policy = replace(job.policy, path=places.whole(job.policy.path))
    reads = [Path(policy.path)] if Path(policy.path).exists() else []
    arguments = policy, job.config
    return engine.current().actors("itertl.sampling.draw:drawing_actor", arguments, job.processes, reads)


def answers(
    backend: Backend, batches: Sequence[Sequence[SampleRequest]], job: SamplingJob, actors: Actors | None = None
) -> Generator[tuple[int, list[Generation] | BatchIncomplete]]:
    """(number, responses) of each batch as they come, drawn here or by one actor for each device: by ``actors`` where
    they are given, which stay for later batches."""
    used = engine.current()
    is_shared = used.is_apart(min(job.processes, len(batches))) or (actors is not None and actors.are_there)
    is_spread = backend.one_per_device or (backend.serves_itself and used.is_apart(1))
    if is_spread and is_shared and batches:
        parts = [(batch, job.asked) for batch in batches]
        if actors is not None:
            backend.close()  # what drew here before may hold the device's memory
            yield from actors.run(parts)
            return
        with contextlib.closing(actors_of(job)) as own:
            yield from own.run(parts)
        return
    for number, batch in enumerate(batches):
        try:
            yield number, backend(batch, job.asked)
        except BatchIncomplete as error:
            yield number, error


def drawing_actor(
    number: int, policy: Policy, config: SampleConfig
) -> Callable[[tuple[Sequence[SampleRequest], SamplingSettings]], list[Generation]]:
    """In an actor: the back end on the device of that number."""
    gpus = devices.gpus()
    takes_device = "device" in inspect.signature(check_backend(config)).parameters
    if gpus and takes_device and "device" not in config.options:
        config = config.model_copy(update={"options": {**config.options, "device": f"cuda:{number % len(gpus)}"}})
    backend = open_backend(replace(policy, path=places.here(policy.path)), config)
    return lambda part: backend(*part)


def open_log(partial: Path, plan: str) -> AppendLog:
    """The partial file with its first line in place; one of another plan is replaced."""
    log = AppendLog(partial)
    if log.existing[:1] != [{"plan": plan}]:
        log.close()
        partial.unlink()
        log = AppendLog(partial)
        log.append([{"plan": plan}])
    return log


def as_candidate(request: SampleRequest, generation: Generation, settings: SamplingSettings, policy: str) -> Candidate:
    """The record of what was drawn, with the Verilog taken from it."""
    text, asked = clean(generation.text), request.prompt
    found = extract(
        text, header=request.header, prefill=asked.prefill, top=request.top,
        opened=opens_thought(asked.text) is not None, opening=asked.opening,
    )  # fmt: skip
    prompt_tokens, completion_tokens = generation.counted or (0, 0)
    continued = None
    if request.continuation is not None:
        continued = Continued(prefix_tokens=len(request.begun), likely=generation.likely)
        settings = settings.model_copy(update={"temperature": 0.0})
    return Candidate(
        problem_id=request.problem_id, index=request.index, policy=policy, settings=settings, seed=request.seed,
        text=text, code=found.code, dropped=found.dropped, finish_reason=generation.finish_reason,
        prompt_tokens=len(asked.token_ids) or prompt_tokens,
        completion_tokens=len(generation.token_ids or ()) or completion_tokens,
        token_ids=generation.token_ids, token_logprobs=generation.token_logprobs, continued=continued,
    )  # fmt: skip
