"""Small problems, scored candidates and settings that the training tests share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import ModelConfig, PromptConfig, ScoreConfig, TrainConfig
from itertl.model.find import resolve_model
from itertl.model.load import load_tokenizer
from itertl.model.policy import Policy
from itertl.model.prompts import encode_prompt, encode_response
from itertl.progress import Reporter
from itertl.records import Candidate, Problem, SamplingSettings, Score, Scored, Verdict
from itertl.training.methods import resolve_method
from itertl.training.round import TrainingJob, TrainResult
from itertl.training.trainer import train

PROMPT = PromptConfig(style="plain", header="omit")
SCORE = ScoreConfig()


def problem(index: int, reference: str | None = None) -> Problem:
    code = f"module m{index}(output y);\nassign y = {index % 2};\nendmodule\n" if reference is None else reference
    return Problem.create(instruction=f"Module {index}.", reference=code, source="test")


def scored(
    of: Problem,
    index: int,
    code: str,
    z: float | None,
    *,
    text: str | None = None,
    token_ids: Any = None,
    finish: Any = "stop",
) -> Scored:
    candidate = Candidate(
        problem_id=of.id, index=index, policy="test", settings=SamplingSettings(), seed=index,
        text=code if text is None else text, code=code, finish_reason=finish, prompt_tokens=1, completion_tokens=1,
        token_ids=token_ids,
    )  # fmt: skip
    verdict = Verdict.SCORED if z is not None else Verdict.TOOL_FAILED
    return Scored(candidate=candidate, scores=(Score(scorer="rtlcoder", value=z, verdict=verdict),))


@dataclass(frozen=True)
class Case:
    """Problems with three candidates each: some pairs active, some not, one group without any."""

    problems: list[Problem]
    rows: list[Scored]


def case(count: int, tokenizer: Any = None) -> Case:
    problems = [problem(i) for i in range(count)]
    rows: list[Scored] = []
    for number, item in enumerate(problems):
        spread = [(0.2, 0.95, 0.5), (0.9, 1.0, 0.95), (0.1, 0.1, 1.0)][number % 3]
        for index, z in enumerate(spread):
            code = f"module m{number};\nwire w{index} = {'~' * (index + number % 4)}1;\nendmodule\n"
            ids = None
            if tokenizer is not None:
                ids = encode_response(code, encode_prompt(item, PROMPT, tokenizer), tokenizer)
            rows.append(scored(item, index, code, z, token_ids=ids))
    return Case(problems, rows)


def tiny(cache: Path) -> tuple[Path, Any]:
    folder = Path(resolve_model(ModelConfig(path="random:tiny"), cache=cache))
    return folder, load_tokenizer(folder)


class Hooked(Reporter):
    """Quiet, but for what a test wants to see: ``stage`` gives the tracker, ``say`` gets the lines."""

    def __init__(self, stage: Callable[[int, int], Any] | None, say: Callable[[object], None] | None) -> None:
        super().__init__(quiet=True)
        self._stage, self._say = stage, say

    def say(self, text: object) -> None:
        if self._say is not None:
            self._say(text)

    def stage(self, name: str, total: int, done: int = 0) -> Any:
        return self._stage(total, done) if self._stage is not None else super().stage(name, total, done)


def run_stage(
    folder: Path, model: Path, problems: Sequence[Problem], rows: Sequence[Scored], name: str = "itertl", *,
    options: dict[str, Any] | None = None, **settings: Any,
) -> TrainResult:  # fmt: skip
    """``train`` into ``folder`` with settings that suit a tiny model."""
    defaults: dict[str, Any] = {"epochs": 2, "learning_rate": 1e-3, "groups_per_step": 2, "precision": "float32"}
    config = TrainConfig(**{**defaults, **settings})
    given = dict(options or {})
    policy = Policy(model, dtype=given.pop("dtype", "float32"), prompt=PROMPT)
    reporter = Hooked(given.pop("stage", None), given.pop("say", None))
    job = TrainingJob(
        rows, problems, policy, config, resolve_method(name, config), SCORE, 7, out=folder / "checkpoint",
        log=folder / "train.jsonl", state=folder / "train-state", **{"kl_problems": 2, **given},
    )  # fmt: skip
    return train(job, reporter)
