"""What both flows share: the task, the code that is asked for, and how drafts end as kept and dropped rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itertl.config import PromptConfig, Recipe
from itertl.errors import UsageError
from itertl.problems.hub_datasets import is_saved_dataset
from itertl.problems.load import LoadResult, from_config
from itertl.problems.mixture import refuse_benchmark
from itertl.problems.verilog_folder import SUFFIXES
from itertl.progress import QUIET, Reporter
from itertl.records import Candidate, Problem
from itertl.runs import storage
from itertl.runs.storage import cache_folder
from itertl.scoring.candidates import effort_of
from itertl.scoring.engine import Effort
from itertl.verilog.extract import ADDED_END
from itertl.verilog.text import modules
from itertl.writing.draft import NOT_ASKED, Draft, Funnel, in_running
from itertl.writing.filters import Texts, by_overlap, by_text
from itertl.writing.prompts import Question, code_form, meta_form
from itertl.writing.teacher import Budget, Teacher

MOST_CHARS = 8000  # of existing code that a teacher is shown, unless data.max_chars says another number


@dataclass(frozen=True, slots=True)
class Task:
    """Who writes, where to, how many answers each instruction gets, and what may be spent.

    ``benchmarks``: what the pairs must not overlap; None: nothing to compare with.
    """

    recipe: Recipe  # with its model's prompt form
    out: Path
    answers: int = 1
    budget: Budget = field(default_factory=Budget)
    benchmarks: Sequence[Problem] | None = None
    reporter: Reporter = QUIET

    def __post_init__(self) -> None:
        if self.answers > 1 and self.recipe.sample.temperature == 0:
            raise UsageError(
                f"temperature 0 draws the same answer {self.answers} times; set sample.temperature=0.7, or --answers 1"
            )

    @property
    def effort(self) -> Effort:
        """How tools are asked."""
        return effort_of(self.recipe.score, cache_folder())


def dropped_file(out: Path) -> Path:
    """Where the pairs lie that the filters dropped, each with its reason."""
    return out.with_name(f"{out.stem}.dropped.jsonl")


def existing(recipe: Recipe, source: str, command: str) -> LoadResult:
    """The modules of a source that a teacher is to be shown, each with its header: of a folder or file of Verilog
    whether they are commented or not, of pairs as the recipe's ``data`` reads them (columns, filter, limit). Raises
    DataError, also for a benchmark."""
    path, data = Path(source), recipe.data.of(source)
    is_code = path.suffix.lower() in SUFFIXES or (path.is_dir() and not is_saved_dataset(path))
    of_code = {"format": "modules", "columns": {}, "filter": {}} if is_code and data.format == "auto" else {}
    wanted = {"max_chars": data.max_chars or MOST_CHARS, "header": "derive", **of_code}
    loaded = from_config(data.model_copy(update=wanted), recipe.seed)
    refuse_benchmark(source, (), loaded.problems, command)
    return loaded


@dataclass(slots=True)
class Rounds:
    """What each round does: instructions are asked for, read and compared with earlier ones, and then their code.

    ``opening``: begins an instruction's answer. ``read``: takes the fields of the answers, as the filter ``answer``.
    """

    task: Task
    teacher: Teacher
    opening: str
    read: Callable[[Sequence[Draft]], None]
    texts: Texts = field(default_factory=Texts.of_examples)

    def take(self, planned: Sequence[tuple[Draft, Question]]) -> list[Draft]:
        """The drafts that the budget let begin, up to their code."""
        form = self.task.recipe.prompt
        questions = {draft.name: question.problem for draft, question in planned}
        found = self.teacher.ask(questions, meta_form(form, self.opening))
        begun = [draft for draft, _ in planned if draft.name in found]
        for draft in begun:
            draft.draws += found[draft.name]
        self.read(begun)
        by_text(in_running(begun), self.texts)
        ask_code(self.teacher, in_running(begun), form, self.task.answers)
        return begun


def ask_code(teacher: Teacher, drafts: Sequence[Draft], form: PromptConfig, answers: int) -> None:
    """Draw ``answers`` to the instruction of each draft; it goes on with those that hold a whole module."""
    questions = {
        f"{d.name}/answer": Problem.create(
            instruction=d.instruction, header=d.header, top=d.top, source="writing:answer"
        )
        for d in drafts
    }
    found = teacher.ask(questions, code_form(form), answers)
    for draft, name in zip(drafts, questions, strict=True):
        if name not in found:
            draft.drop("code", NOT_ASKED)
            continue
        draft.draws += found[name]
        lacks = [_lacks(candidate) for candidate, _ in found[name]]
        draft.codes = [c.code for (c, _), why in zip(found[name], lacks, strict=True) if not why]
        if draft.codes:
            draft.passed.append("code")
        else:
            draft.drop("code", lacks[0])


def _lacks(candidate: Candidate) -> str:
    """Why an answer holds no whole module, "" where it does."""
    is_whole = bool(modules(candidate.code)) and all(d.reason != ADDED_END for d in candidate.dropped)
    if candidate.is_cut and not is_whole:
        return "cut off"
    return "" if modules(candidate.code) else ("empty answer" if not candidate.text.strip() else "no module")


def finish(
    task: Task, teacher: Teacher, rows: Mapping[str, Problem], funnel: Funnel, more: Mapping[str, Any]
) -> tuple[dict[str, Any], Funnel]:
    """Take the last filter, write both files, and give the account and the whole funnel.

    ``rows``: the pair of each draft in the running. Dropped and kept add up to the drafts.
    """
    steps = list(funnel.steps)
    left = in_running(funnel.drafts)
    if task.benchmarks is not None:
        by_overlap(rows, left, task.benchmarks)
        steps.append("overlap")
    form = task.recipe.prompt.model_dump(mode="json")
    kept = [_signed(rows[d.name], d, task, form) for d in in_running(left)]
    storage.write_records(
        dropped_file(task.out), [d.record(task.recipe.model.path, form) for d in funnel.drafts if d.dropped is not None]
    )
    storage.write_records(task.out, kept)
    whole = Funnel(funnel.title, funnel.drafts, steps)
    account = {
        "teacher": task.recipe.model.path, "drafts": len(funnel.drafts), "kept": len(kept), **more,
        "funnel": whole.rows(), "cost": teacher.cost.to_json(), "answers": teacher.cost.answers,
        "stopped_by_budget": teacher.is_spent, "compared_with_benchmarks": task.benchmarks is not None,
        "out": str(task.out), "dropped_out": str(dropped_file(task.out)),
    }  # fmt: skip
    return account, whole


def _signed(row: Problem, draft: Draft, task: Task, form: Mapping[str, Any]) -> Problem:
    written = draft.written(task.recipe.model.path, form)
    return row.model_copy(update={"extra": {**row.extra, "written": written}})
