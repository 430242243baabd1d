"""Stored completions as a sampling back end: the whole loop without a model, and published outputs through our stages.

A line is a ``Candidate`` record, ``{"problem_id", "index", "text"}`` or ``{"task_id", "completion"}``. Without an index
a line's is its rank among its problem's lines. A problem is found by its id, or by the id that its source gave it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from itertl.config import PromptConfig
from itertl.errors import DataError, UsageError
from itertl.model.prompts import EncodedPrompt, Turn, clean
from itertl.records import Candidate, FinishReason, Problem, SamplingSettings
from itertl.runs.rows import read_lines
from itertl.runs.storage import parse_record
from itertl.sampling.backend import Backend, Generation
from itertl.sampling.batching import SampleRequest

_TEXTS = ("text", "completion")
_IDS = ("problem_id", "task_id")


def open_backend(
    model: str | Path, *, path: str | Path | None = None, dtype: str = "", trust_remote_code: bool = False,
    revision: str | None = None,
) -> "ReplayBackend":  # fmt: skip
    """The back end "replay"; option ``path`` names the JSON Lines file. The model and its options play no part."""
    del model, dtype, trust_remote_code, revision
    if path is None:
        raise UsageError("sampling back end 'replay' needs its file: sample.options.path=COMPLETIONS.jsonl")
    return ReplayBackend(Path(path))


class ReplayBackend(Backend):
    """See the module. Raises DataError that names file and line, or the problem that has no completion."""

    uses_these_cores = True  # it is done at once: there is nothing to work ahead of

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: dict[tuple[str, int], Generation] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        counts = Counter[str]()
        for number, value in read_lines(path):
            key, index, generation = _read(value, f"{path}:{number}")
            index = counts[key] if index is None else index
            counts[key] += 1
            if (key, index) in self._stored:
                raise DataError(f"{path}:{number}: a second completion {index} of {key}; give each its index")
            self._stored[key, index] = generation

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        """Instruction and header as text, without ids: nothing reads the prompt."""
        del config, turns
        self._keys[problem.id] = tuple(k for k in (problem.id, problem.upstream_id) if k is not None)
        return EncodedPrompt(clean(f"{problem.instruction}\n{problem.header}"), (), "")

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        """The stored completions of the requests. ``settings`` play no part: they were drawn elsewhere."""
        del settings
        return [self._find(request) for request in batch]

    def _find(self, request: SampleRequest) -> Generation:
        keys = self._keys.get(request.problem_id, (request.problem_id,))
        for key in keys:
            found = self._stored.get((key, request.index))
            if found is not None:
                return found
        raise DataError(
            f"{self._path}: no completion {request.index} of problem {' or '.join(keys)}; "
            "ask for fewer samples or fewer problems, or add it"
        )


def _read(value: dict[str, Any], where: str) -> tuple[str, int | None, Generation]:
    """Problem, index (None where the line has none) and completion of a line."""
    if "schema" in value:
        candidate = parse_record(Candidate, value, where)
        generation = Generation(clean(candidate.text), candidate.finish_reason, candidate.token_ids)
        return candidate.problem_id, candidate.index, generation
    key = next((value[name] for name in _IDS if value.get(name) is not None), None)
    text = next((value[name] for name in _TEXTS if value.get(name) is not None), None)
    index = value.get("index")
    reason: FinishReason = "length" if value.get("finish_reason") == "length" else "stop"
    if not isinstance(key, str) or not isinstance(text, str):
        missing = " or ".join(_TEXTS if isinstance(key, str) else _IDS)
        raise DataError(f"{where}: needs a text {missing}; keys there: {', '.join(sorted(value)) or 'none'}")
    if index is not None and (not isinstance(index, int) or isinstance(index, bool) or index < 0):
        raise DataError(f"{where}: index is {index!r}; give a number from 0 on, or leave it out")
    return key, index, Generation(clean(text), reason, None)
