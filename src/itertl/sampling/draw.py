"""The stage: problems and a policy in, a file of candidates out; stop it anywhere and call it again.

All requests, seeds and batches are settled before the first token. A finished batch is appended, as one line, to
``OUT.partial``; a batch that a kill cut short is drawn again whole, so its rows meet the same numerics and give the
same text. A back end that could serve a part of a batch keeps that part (``BatchIncomplete``). The partial file begins with a
hash of the plan and is thrown away where the plan has changed.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from itertl import plugins
from itertl.config import PromptConfig, Recipe, SampleConfig
from itertl.errors import UsageError
from itertl.model import models
from itertl.model.prompts import clean
from itertl.progress import SILENT, Tracker
from itertl.records import Candidate, Problem, SamplingSettings, content_hash
from itertl.runs.storage import AppendLog, parse_record, partial_of, write_records
from itertl.sampling.backend import BACKENDS, Backend, BatchIncomplete, Generation
from itertl.sampling.batching import SampleRequest, plan_batches, plan_requests
from itertl.verilog.extract import extract
from itertl.verilog.thoughts import opens_thought
from itertl.work import faults
from itertl.work.ahead import Ahead

_KIND = "sampling back end"


def sample(
    problems: Sequence[Problem],
    *,
    model: str | Path,
    policy: str,
    config: SampleConfig,
    prompt: PromptConfig,
    seed: int,
    out: Path,
    num_samples: int | None = None,
    settings: SamplingSettings | None = None,
    tracker: Tracker = SILENT,
    trust_remote_code: bool = False,
    revision: str | None = None,
    ahead: Callable[[Sequence[Candidate]], object] | None = None,
) -> list[Candidate]:
    """Draw ``num_samples`` responses (None: ``config.num_candidates``) to each problem and write them to ``out``.

    ``settings`` None takes the recipe's. ``policy`` names the weights (``models.policy_id``). Candidates come in the
    order of ``problems``, then by index; ``out`` appears whole or not at all. A prompt that leaves no room in the
    model's context gives an empty candidate with finish reason "length". ``ahead`` is given what it drew while the rest
    is being drawn, and finished work of an earlier call too, where sampling leaves these cores free. Raises UsageError for an unknown back end or
    option, or a problem given twice.
    """
    backend = open_backend(model, config, trust_remote_code, revision)
    settings = settings or config.settings
    count = config.num_candidates if num_samples is None else num_samples
    wanted = {p.id: (clean(p.header), p.top) for p in problems}
    requests = plan_requests([(p.id, backend.encode(p, prompt)) for p in problems], count, seed, wanted)
    batches = plan_batches(requests, config.batch_size)
    plan = _plan_hash(batches, [policy, settings.model_dump(mode="json"), _lasting(config, backend)])

    def judge(request: SampleRequest, generation: Generation) -> Candidate:
        return as_candidate(request, generation, settings, policy)

    partial = partial_of(out)
    with contextlib.ExitStack() as stack:
        stack.callback(close_backend, backend)
        is_free = ahead is not None and not getattr(backend, "uses_these_cores", False)
        tell = stack.enter_context(Ahead(ahead)) if ahead is not None and is_free else _tell_no_one
        done = _draw_all(backend, batches, settings, partial, plan, judge, tracker, tell)
    place = {p.id: number for number, p in enumerate(problems)}
    candidates = sorted(done, key=lambda c: (place[c.problem_id], c.index))
    write_records(out, candidates)
    partial.unlink(missing_ok=True)
    return candidates


_FIXED_OPTIONS = ("dtype", "trust_remote_code", "revision")


def check_backend(config: SampleConfig) -> Callable[..., Backend]:
    """The back end's factory. Raises UsageError for an unknown name or an option that it does not take."""
    taken = sorted(set(_FIXED_OPTIONS) & set(config.options))
    if taken:
        raise UsageError(
            f"sample.options.{taken[0]}: set elsewhere in the recipe (sample.dtype, model.…); remove it here"
        )
    make = plugins.resolve(_KIND, config.backend, BACKENDS)
    plugins.check_arguments(_KIND, config.backend, make, config.options)
    return make


def open_policy(recipe: Recipe) -> tuple[Path | str, str]:
    """The model that the recipe samples, and its name in records. What an endpoint serves is not looked for on this machine."""
    name, config = recipe.model.path, recipe.sample
    if config.backend != "openai":
        path = models.resolve_model(recipe.model)
        return path, models.policy_id(path, revision=recipe.model.revision)
    needs_tokenizer = config.options.get("api") == "completions" and not name.startswith(models.API)
    model = models.resolve_model(recipe.model) if needs_tokenizer else name.removeprefix(models.API)
    return model, policy_name(config, str(model))


def policy_name(config: SampleConfig, otherwise: str) -> str:
    """What records call the policy that a back end samples: an endpoint's by the name under which it is served."""
    served = config.options.get("served_model") if config.backend == "openai" else None
    return otherwise if served is None else str(served)


def open_backend(model: str | Path, config: SampleConfig, trust_remote_code: bool, revision: str | None) -> Backend:
    """The recipe's back end for that model. Raises as ``check_backend``."""
    make = check_backend(config)
    return make(model, dtype=config.dtype, trust_remote_code=trust_remote_code, revision=revision, **config.options)


def _tell_no_one(candidates: Sequence[Candidate]) -> None:
    """Scoring waits until all is sampled."""


def close_backend(backend: Backend) -> None:
    """Let go of the server that a back end holds, if it holds one."""
    close: Callable[[], None] | None = getattr(backend, "close", None)
    if close is not None:
        close()


def _lasting(config: SampleConfig, backend: Backend) -> dict[str, Any]:
    """The settings that an answer depends on. How a server is reached and how often it is asked may change on the way."""
    incidental: frozenset[str] = getattr(backend, "incidental_options", frozenset())
    options = {name: value for name, value in config.options.items() if name not in incidental}
    return {**config.model_dump(mode="json"), "options": options, "numerics": getattr(backend, "numerics", None)}


def _plan_hash(batches: Sequence[Sequence[SampleRequest]], settings: Any) -> str:
    rows = [
        [
            [r.problem_id, r.index, r.seed, r.prompt.text, r.prompt.prefill, list(r.prompt.token_ids), r.header, r.top]
            for r in batch
        ]
        for batch in batches
    ]
    return content_hash([rows, settings])


def _draw_all(
    backend: Backend,
    batches: Sequence[Sequence[SampleRequest]],
    settings: SamplingSettings,
    partial: Path,
    plan: str,
    judge: Callable[[SampleRequest, Generation], Candidate],
    tracker: Tracker,
    tell: Callable[[Sequence[Candidate]], object],
) -> list[Candidate]:
    """Candidates of all batches: those that ``partial`` holds of this plan, then the rest, each appended when done."""
    with _open_log(partial, plan) as log:
        done = [
            parse_record(Candidate, row, f"{partial}:{number}")
            for number, line in enumerate(log.existing[1:], 2)
            for row in line["candidates"]
        ]
        tracker.advance(len(done))
        tell(done)

        def keep(requests: Mapping[int, SampleRequest], drawn: Mapping[int, Generation]) -> None:
            found = [judge(requests[place], generation) for place, generation in sorted(drawn.items())]
            log.append([{"candidates": [{"schema": c.schema_name, **c.model_dump(mode="json")} for c in found]}])
            done.extend(found)
            tracker.advance(len(found))
            tell(found)

        known = {(c.problem_id, c.index) for c in done}
        for batch in batches:
            left = [request for request in batch if (request.problem_id, request.index) not in known]
            if not left:
                continue
            try:
                drawn = dict(enumerate(backend(left, settings)))
            except BatchIncomplete as error:
                keep({place: left[place] for place in error.done}, error.done)
                raise
            keep(dict(enumerate(left)), drawn)
            faults.point("sample.batch")
    return done


def _open_log(partial: Path, plan: str) -> AppendLog:
    """The partial file with its first line in place; one of another plan is thrown away."""
    log = AppendLog(partial)
    is_ours = bool(log.existing) and log.existing[0] == {"plan": plan}
    if not is_ours:
        log.close()
        partial.unlink()
        log = AppendLog(partial)
        log.append([{"plan": plan}])
        log.existing.append({"plan": plan})
    return log


def as_candidate(request: SampleRequest, generation: Generation, settings: SamplingSettings, policy: str) -> Candidate:
    """The record of what was drawn, with the Verilog taken from it."""
    text = clean(generation.text)
    is_opened = opens_thought(request.prompt.text) is not None
    asked = request.prompt
    found = extract(
        text, header=request.header, prefill=asked.prefill, top=request.top, opened=is_opened, opening=asked.opening
    )
    prompt_tokens, completion_tokens = generation.counted or (0, 0)
    return Candidate(
        problem_id=request.problem_id, index=request.index, policy=policy, settings=settings, seed=request.seed,
        text=text, code=found.code, dropped=found.dropped, finish_reason=generation.finish_reason,
        prompt_tokens=len(request.prompt.token_ids) or prompt_tokens, completion_tokens=len(generation.token_ids or ()) or completion_tokens,
        token_ids=generation.token_ids, token_logprobs=generation.token_logprobs,
    )  # fmt: skip
