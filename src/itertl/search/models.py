"""The models that draw in a search: the job's own, and others that its strategy names.

All are asked through the same back end, and one at a time holds its model. Another's prompts have the form that lies
with it, else the job's; with "openai" its name is the one under which the endpoint serves it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from itertl.config import ModelConfig
from itertl.errors import ItertlError, UsageError
from itertl.model import load
from itertl.model.policy import find_policy
from itertl.model.prompt_form import read_form
from itertl.records import Candidate
from itertl.sampling.backend import Backend
from itertl.sampling.draw import SamplingJob, actors_of, open_backend
from itertl.work.actors import Actors


@dataclass(frozen=True, slots=True)
class Drawer:
    """A model that draws. ``job``: as if it were the only one. ``actors``: where several devices draw, those that
    stay from round to round."""

    job: SamplingJob
    backend: Backend
    actors: Actors
    is_other: bool = False

    def signed(self, candidate: Candidate) -> Candidate:
        """Without token ids where they are another model's, which the trained one would misread."""
        return candidate.model_copy(update={"token_ids": None, "token_logprobs": None}) if self.is_other else candidate


@contextlib.contextmanager
def opened(job: SamplingJob, others: Sequence[str]) -> Iterator[dict[str, Drawer]]:
    """By name, the job's own as "". Raises UsageError for a model that cannot be found."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Drawer] = {}
        for name in dict.fromkeys(("", *others)):
            own = _with_model(job, name) if name else job
            backend = stack.enter_context(contextlib.closing(open_backend(own.policy, own.config)))
            actors = stack.enter_context(contextlib.closing(actors_of(own)))
            found[name] = Drawer(own, backend, actors, bool(name))
        yield found


def alone(drawers: Mapping[str, Drawer], name: str) -> Drawer:
    """The one of that name, with all others' models let go of; a later batch loads them again."""
    for other, drawer in drawers.items():
        if other != name:
            drawer.backend.close()
            drawer.actors.close()
    return drawers[name]


def _with_model(job: SamplingJob, name: str) -> SamplingJob:
    config = job.config
    if config.backend == "openai":
        served = name.removeprefix(load.API)
        options = {**config.options, "served_model": served}
        return replace(
            job, policy=replace(job.policy, known_digest=served), config=config.model_copy(update={"options": options})
        )
    try:
        form = read_form(name) or job.policy.prompt
        return replace(job, policy=find_policy(ModelConfig(path=name), form))
    except ItertlError as error:
        raise UsageError(f"sample.strategy_options.models: {error}") from error
