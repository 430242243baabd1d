"""Which samples are drawn, in which batches, from which seeds: decided before the first token."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from itertl.errors import UsageError
from itertl.model.prompts import EncodedPrompt
from itertl.work.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Continuation:
    """How an answer that has begun goes on: by the most likely token each time, whatever the settings' temperature."""

    token_ids: tuple[int, ...] = ()  # the answer's first tokens; what is drawn comes behind them
    most: int | None = None  # new tokens; None: what the settings leave of the whole answer
    branches: int = 0  # how many of the most likely tokens are told, with their probabilities
    places: int = 1  # at so many places: behind ``token_ids``, and behind each token after them
    has_comments: bool = True  # without, neither of the strings // and /* is drawn


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One sample to draw. Example: ``SampleRequest("5f0c…", 0, derive_seed(7, "sample", "5f0c…", 0), prompt)``."""

    problem_id: str
    index: int  # 0 … n-1 within its problem
    seed: int  # of this sample alone
    prompt: EncodedPrompt
    header: str = ""  # of the module that is wanted
    top: str | None = None  # its name, where there is no header
    continuation: Continuation | None = None  # only for back ends with ``can_continue``

    @property
    def begun(self) -> tuple[int, ...]:
        """Tokens of the answer that are there already."""
        return self.continuation.token_ids if self.continuation else ()


def plan_requests(
    prompts: Sequence[tuple[str, EncodedPrompt]], num_samples: int, seed: int,
    wanted: Mapping[str, tuple[str, str | None]] = MappingProxyType({}),
) -> list[SampleRequest]:  # fmt: skip
    """``num_samples`` requests for each (problem id, prompt), in that order. ``wanted``: header and top of a problem's
    module.

    A seed depends on the run's seed, the problem and the index, not on what else is sampled. Raises UsageError where
    a problem comes twice, because its samples would be the same.
    """
    for ident, count in Counter(ident for ident, _ in prompts).items():
        if count > 1:
            raise UsageError(f"problem {ident} is given twice; remove the duplicate (itertl data audit finds them)")
    return [
        SampleRequest(ident, index, sample_seed(seed, ident, index), prompt, *wanted.get(ident, ("", None)))
        for ident, prompt in prompts
        for index in range(num_samples)
    ]


def sample_seed(seed: int, ident: str, index: int) -> int:
    """Of one sample of a problem, from the run's seed."""
    return derive_seed(seed, "sample", ident, index)


def plan_batches(requests: Sequence[SampleRequest], batch_size: int) -> list[list[SampleRequest]]:
    """Batches of at most ``batch_size`` requests, longest prompts first, equal prompts side by side.

    Sorting by length keeps padding small; longest first shows at once whether memory suffices. A problem's requests
    stay in one batch where they fit into one, so that its prompt is read once. The order depends on the requests alone,
    not on the order in which they are given.
    """
    ordered = sorted(requests, key=lambda r: (-len(r.prompt.token_ids), r.problem_id, r.index))
    batches: list[list[SampleRequest]] = []
    for _, group in itertools.groupby(ordered, key=lambda r: r.problem_id):
        members = list(group)
        if not batches or len(batches[-1]) + min(len(members), batch_size) > batch_size:
            batches.append([])
        room = batch_size - len(batches[-1])
        batches[-1] += members[:room]
        batches += [members[start : start + batch_size] for start in range(room, len(members), batch_size)]
    return batches
