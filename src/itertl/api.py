"""The Python API: what the commands of the same names do, on values instead of files.

Every function raises the errors of ``itertl.errors`` (``ItertlError`` is the base of all) and never ends the program.
``recipe`` is the path of a recipe, its keys as a dict, or a ``Recipe``; ``overrides`` are {"train.epochs": 1}, or
texts as on the command line. ``quiet``: no progress on stderr. Scripts need no main guard: workers do not import the
main module. Imports torch when a model is loaded, and not before.
"""

import functools
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from itertl.config import Recipe, build_recipe, naming
from itertl.config import load_recipe as read_recipe
from itertl.errors import DataError, UsageError
from itertl.progress import Reporter
from itertl.records import Candidate, IterationMetrics, PassAtK, Problem, Score
from itertl.rewards.answer import Reward
from itertl.work import children, devices

if TYPE_CHECKING:
    from itertl.evaluation.compare import Comparison
    from itertl.loop.study.command import StudyResult
    from itertl.rewards.rewarder import Rewarder

__all__ = [
    "Candidate", "Design", "Evaluation", "Problem", "Recipe", "Reward", "Run", "Score", "compare", "evaluate",
    "generate", "load_recipe", "reward", "run", "sample", "score", "study",
]  # fmt: skip

PathLike: TypeAlias = str | Path
RecipeLike: TypeAlias = str | Path | Mapping[str, Any] | Recipe
Overrides: TypeAlias = Mapping[str, Any] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run. ``metrics``: one row for the untouched model, then one for each iteration."""

    folder: Path
    checkpoint: str  # folder that transformers loads: of the last iteration, or the one that ``select`` chooses
    report: Path  # the page
    metrics: tuple[IterationMetrics, ...]

    @property
    def iterations(self) -> int:
        """How many were done: fewer than the recipe's where ``select.patience`` ended the run."""
        return self.metrics[-1].iterations


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a benchmark says of completions: correct + wrong + truncated + unjudged = total."""

    benchmark: str  # name and version
    problems: int
    total: int  # completions
    correct: int
    wrong: int
    truncated: int
    unjudged: int  # by a fault that is not the model's; never averaged in
    pass_at_k: Mapping[int, PassAtK]  # k -> value in 0 … 1 with its 95% interval over problems
    account: Mapping[str, Any]  # all that ``itertl eval --json`` prints

    @property
    def pass_at_1(self) -> float | None:
        """None where nothing was judged."""
        return self.pass_at_k[1].value if 1 in self.pass_at_k else None


@dataclass(frozen=True, slots=True)
class Design:
    """An answer to one instruction, the best of those that were drawn."""

    code: str  # Verilog; "" where the model wrote no module
    text: str  # the whole answer
    verdict: str
    detail: str
    attempts: int


def load_recipe(recipe: RecipeLike, overrides: Overrides = (), *, model: str | None = None) -> Recipe:
    """The recipe with overrides; ``model``: alias, folder, .gguf file, hub name, or openai:NAME. Raises RecipeError."""
    from itertl.loop import asked

    given = asked.with_model(_overrides(overrides), model)
    if isinstance(recipe, str | Path):
        return read_recipe(Path(recipe), given)
    if isinstance(recipe, Recipe):
        return recipe if not given else build_recipe(recipe.model_dump(mode="json", exclude_unset=True), given)
    if not isinstance(recipe, Mapping):
        raise UsageError(f"recipe is a {type(recipe).__name__}; give a path, a dict of keys, or an itertl.Recipe")
    return build_recipe(dict(recipe), given)


def run(
    recipe: RecipeLike, *, out: PathLike | None = None, overrides: Overrides = (), model: str | None = None,
    resume_changed: bool = False, share_from: PathLike | None = None, quiet: bool = False,
) -> Run:  # fmt: skip
    """The loop: sample, score, train, evaluate, again, in the folder ``out`` (default runs/NAME).

    The same call goes on with a run that was interrupted and skips what is done. ``resume_changed``: also with one of
    another recipe; ``share_from``: a folder of runs whose equal stages are linked. Raises RecipeError, DataError,
    RunError, ToolMissing, ToolFailed, TrainingDiverged, WriteFailed; KeyboardInterrupt passes.
    """
    from itertl.loop import asked
    from itertl.model.prompt_form import with_form
    from itertl.runs import outputs

    devices.refuse_group("itertl.run")
    children.quiet_libraries()
    given, place = _overrides(overrides), _place(recipe)
    with naming(place, given):
        resolved = with_form(load_recipe(recipe, given, model=model), _warner(quiet))
    folder = Path(out) if out is not None else Path("runs") / resolved.name
    outputs.check_run(folder, is_plan=False)
    done = asked.run(
        resolved, folder, place=place, overrides=given, reporter=Reporter(quiet=quiet), resume_changed=resume_changed,
        share_from=None if share_from is None else Path(share_from),
    )  # fmt: skip
    return Run(done.folder, str(done.checkpoint), done.page, done.metrics)


def study(
    file: PathLike, *, out: PathLike | None = None, overrides: Overrides = (), only: Sequence[str] = (),
    at_once: int | None = None, quiet: bool = False,
) -> "StudyResult":  # fmt: skip
    """Arms x seeds as ordinary runs below ``out`` (default runs/NAME), and their table: ``results.table``; runs that
    failed are in ``outcome``. Raises as ``run``."""
    from itertl.loop.study import command
    from itertl.loop.study.file import load_study
    from itertl.runs import outputs

    devices.refuse_group("itertl.study")
    children.quiet_libraries()
    given = _overrides(overrides)
    loaded = load_study(Path(file), given, only)
    folder = Path(out) if out is not None else Path("runs") / loaded.name
    outputs.check_run(folder, is_plan=False)
    with naming(Path(file), given):
        return command.run(loaded, folder, only=only, reporter=Reporter(quiet=quiet), at_once=at_once)


def sample(
    problems: PathLike | Sequence[Problem], *, recipe: RecipeLike | None = None, overrides: Overrides = (),
    model: str | None = None, out: PathLike | None = None, quiet: bool = False,
) -> list[Candidate]:  # fmt: skip
    """Candidates of the recipe's model for each problem, in the problems' order.

    ``problems``: records, "synth", or a file that `itertl data import` understands. ``out``: keep the candidates there,
    and go on from it after an interruption; what was made by something else is not written over.
    """
    from itertl.loop import jobs
    from itertl.runs import outputs, storage

    devices.refuse_group("itertl.sample")
    children.quiet_libraries()
    given = _overrides(overrides)
    settings = load_recipe({} if recipe is None else recipe, given, model=model)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = problems if isinstance(problems, str | Path) else folder / "problems.jsonl"
        if not isinstance(problems, str | Path):
            storage.write_records(Path(source), problems)
        target = folder / "candidates.jsonl" if out is None else Path(out)
        if out is not None:
            stack.enter_context(outputs.writing("sample", files=[target], inputs=[Path(source)]))
        stack.enter_context(naming(None if recipe is None else _place(recipe), given))
        jobs.sample(settings, str(source), target, None, reporter=Reporter(quiet=quiet), warn=_warner(quiet))
        return storage.read_records(target, Candidate)


def score(
    candidates: PathLike | Iterable[Mapping[str, Any]], *, scorers: str | Sequence[str] = "rtlcoder",
    recipe: RecipeLike | None = None, overrides: Overrides = (), quiet: bool = False,
) -> list[dict[str, Score]]:  # fmt: skip
    """The scores of each candidate, by scorer, in their order.

    ``candidates``: rows {"completion", "reference"[, "header", "top"]}, or a JSON Lines file of these or of a run's
    candidates. ``scorers``: names, or your own module:function. ``recipe`` and ``overrides``: limits of ``score``.
    """
    from itertl.loop import jobs
    from itertl.runs.storage import cache_folder
    from itertl.scoring.candidates import effort_of
    from itertl.scoring.score_file import score_file

    names = tuple(n.strip() for n in scorers.split(",")) if isinstance(scorers, str) else tuple(scorers)
    given = _overrides(overrides)
    config = jobs.scores(load_recipe({} if recipe is None else recipe, given))
    with tempfile.TemporaryDirectory() as folder, Reporter(quiet=quiet).stage("score", 0) as tracker:
        file, out = Path(folder) / "candidates", Path(folder) / "scored.jsonl"
        if isinstance(candidates, str | Path):
            file = Path(candidates)
        else:
            file.write_text("".join(json.dumps(dict(row)) + "\n" for row in candidates), encoding="utf-8")
        try:
            score_file(file, names, out, effort=effort_of(config, cache_folder()), tracker=tracker)
        except DataError as error:
            raise DataError(str(error).replace(f"{folder}/", "")) from error
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if any("scores" not in row for row in rows):
        raise DataError(f"{file}: holds RTLCoder records, which have scores for each Response; use `itertl score`")
    return [{name: Score(scorer=name, **found) for name, found in row["scores"].items()} for row in rows]


def evaluate(
    samples: PathLike | None = None, *, benchmark: str = "synth-heldout", data: PathLike | None = None,
    model: str | None = None, recipe: RecipeLike | None = None, overrides: Overrides = (), out: PathLike | None = None,
    rule: str = "default", temperature: float | None = None, num_samples: int | None = None, limit: int | None = None,
    quiet: bool = False,
) -> Evaluation:  # fmt: skip
    """Judge stored completions, or sample ``model`` (or the recipe's) on the benchmark and judge that.

    Give one of ``samples`` and ``model`` or ``recipe``. ``out``: folder for results, which is then gone on with.
    Raises UsageError, DataError, ToolMissing, ToolFailed.
    """
    from itertl.evaluation import benchmarks
    from itertl.evaluation.files import eval_file
    from itertl.loop import asked
    from itertl.runs import outputs
    from itertl.runs.storage import cache_folder

    devices.refuse_group("itertl.evaluate")
    children.quiet_libraries()
    if (samples is None) == (model is None and recipe is None):
        raise UsageError("give one of samples, and model or recipe (two results: itertl.compare)")
    where, reporter = None if data is None else Path(data), Reporter(quiet=quiet)
    bench = benchmarks.load(benchmark, where, limit=None if samples is not None else limit)
    with ExitStack() as stack:
        if samples is not None:
            folder = None if out is None else Path(out)
            if folder is not None:
                stack.enter_context(outputs.writing("eval", files=[folder / "results.jsonl"], inputs=[Path(samples)]))
            tracker = stack.enter_context(reporter.stage("judge", 0))
            found = eval_file(Path(samples), bench, out=folder, rule=rule, cache=cache_folder(), tracker=tracker)
            return _evaluation(found)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()) if out is None else out)
        files = [folder / f"{kind}-{bench.name}.jsonl" for kind in ("samples", "eval")]
        if out is not None:
            stack.enter_context(outputs.writing("eval", files=files, inputs=[where]))
        given = _overrides(overrides)
        settings = load_recipe({} if recipe is None else recipe, given, model=model)
        named = {"benchmark": benchmark, "data": None if data is None else str(data), "limit": limit, "rule": rule}
        draws = asked.Draws(None, None if temperature is None else [temperature], num_samples)
        found = asked.evaluate(settings, given, bench, named, draws, folder, reporter=reporter, warn=_warner(quiet))
        return _evaluation(found)


def compare(a: PathLike, b: PathLike, *, temperatures: Sequence[float] | None = None) -> "Comparison":
    """Two results of one benchmark, paired over its problems: the difference with its interval and p-value."""
    from itertl.evaluation.compare import compare as compare_results
    from itertl.evaluation.compare import read_results

    wanted = None if temperatures is None else list(temperatures)
    return compare_results(read_results(Path(a), wanted), read_results(Path(b), wanted))


def generate(
    instruction: str, *, header: str = "", model: str | None = None, recipe: RecipeLike | None = None,
    overrides: Overrides = (), strategy: str | None = None, best_of: int | None = None, scorer: str | None = None,
) -> Design:  # fmt: skip
    """Verilog for an instruction: the best of ``best_of`` draws by ``scorer``, or what ``strategy`` finds."""
    from itertl.loop import asked
    from itertl.search.generate import problems_of

    children.quiet_libraries()
    settings = load_recipe({} if recipe is None else recipe, overrides, model=model)
    settings = asked.searching(settings, strategy, best_of, scorer)
    ranked = asked.generate(settings, problems_of(instruction, None, header, settings), warn=lambda text: None)[0]
    found = ranked.to_json()
    return Design(found["code"], found["text"], found["verdict"], found["detail"], len(ranked.attempts))


def reward(
    completions: Sequence[str], truths: Sequence[Any], *, score: Mapping[str, Any] | str | None = None
) -> list[Reward]:
    """The reward of each completion by the truth beside it: {"reference"[, "header", "top"]}, or a reference's text.

    ``value`` is None where the fault is not the completion's. ``score``: the keys of a recipe's ``score`` section, or a
    recipe's path. Workers stay warm between calls. Raises UsageError where the lengths differ.
    """
    if isinstance(completions, str) or len(completions) != len(truths):
        raise UsageError("completions and truths are lists of one length, a truth for each completion")
    key = score if isinstance(score, str) or score is None else json.dumps(dict(score), sort_keys=True)
    return _rewarder(key, isinstance(score, Mapping))(list(completions), list(truths))


@functools.cache
def _rewarder(key: str | None, is_tree: bool) -> "Rewarder":
    from itertl.rewards.rewarder import Rewarder

    return Rewarder(json.loads(key) if is_tree and key is not None else key)


def _overrides(overrides: Overrides) -> list[str]:
    if isinstance(overrides, str):
        raise UsageError(f"overrides is a text; give a dict, or a list: [{overrides!r}]")
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    return list(overrides)


def _place(recipe: RecipeLike) -> Path | None:
    return Path(recipe) if isinstance(recipe, str | Path) else None


def _warner(quiet: bool) -> Any:
    return (lambda text: None) if quiet else (lambda text: print(f"itertl: {text}", file=sys.stderr, flush=True))


def _evaluation(account: Mapping[str, Any]) -> Evaluation:
    summary = account["summary"]
    counts = {name: summary[name] for name in ("problems", "total", "correct", "wrong", "truncated", "unjudged")}
    pass_at_k = {one["k"]: PassAtK(**one) for one in summary["pass_at_k"]}
    label = f"{account['benchmark']} {account['benchmark_version']}"
    return Evaluation(label, **counts, pass_at_k=pass_at_k, account=account)
