"""``itertl data write`` and ``itertl data describe``: pairs that a teacher writes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itertl.cli import options
from itertl.cli.app import data_app
from itertl.cli.options import print_json, recipe_of, show, warn
from itertl.config import Recipe
from itertl.errors import UsageError
from itertl.progress import Reporter
from itertl.records import Problem

if TYPE_CHECKING:
    from itertl.writing.draft import Funnel

TeacherOption = Annotated[
    str | None,
    typer.Option("--teacher", help="Alias, folder, .gguf file, hub name, or openai:NAME for what an endpoint serves."),
]
Answers = Annotated[int, typer.Option("--answers", min=1, help="Answers that are drawn to each instruction.")]
Tokens = Annotated[int | None, typer.Option("--budget-tokens", help="End before so many tokens are exceeded.")]
Money = Annotated[float | None, typer.Option("--budget-money", help="Likewise in money, with --price.")]
Price = Annotated[
    str | None, typer.Option("--price", metavar="PROMPTS,ANSWERS", help="What a million tokens cost, as 0.15,0.60.")
]
Against = Annotated[
    list[str] | None,
    typer.Option("--benchmark", metavar="NAME[=PATH]", help="Drop what overlaps it; may be given several times."),
]


@data_app.command("write")
def data_write(
    overrides: options.Overrides = None,
    teacher: TeacherOption = None,
    base_url: options.BaseUrl = None,
    out: options.Out = Path("written.jsonl"),
    count: Annotated[int, typer.Option("--count", min=1, help="Instructions that the teacher is asked for.")] = 100,
    mutate: Annotated[float, typer.Option("--mutate", help="Share of them that is changed from earlier ones.")] = 0.5,
    code: Annotated[
        list[str] | None, typer.Option("--from-code", help="Existing code that gives ideas, too: as `data describe`.")
    ] = None,
    keywords: Annotated[Path | None, typer.Option("--keywords", help="Your own pool: JSON, area -> keywords.")] = None,
    grow: Annotated[int, typer.Option("--grow", min=0, help="Keywords that the teacher adds to the pool.")] = 0,
    answers: Answers = 1,
    budget_tokens: Tokens = None,
    budget_money: Money = None,
    price: Price = None,
    benchmark: Against = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """A teacher's own pairs: instructions from keywords, code and earlier instructions, and code for them; goes on
    where a call stopped."""
    from itertl.model.prompt_form import with_form
    from itertl.runs import outputs
    from itertl.writing.flow import Task, dropped_file
    from itertl.writing.pool import read_pool
    from itertl.writing.teacher import Budget
    from itertl.writing.write import Plan, keywords_file, write

    options.refuse_group("data write")
    settings = _settings(recipe, overrides or [], teacher, base_url)
    budget = Budget(budget_tokens, budget_money, _price(price))
    plan = Plan(count, read_pool(keywords), code or [], grow, mutate)
    against = _tasks(benchmark)
    files = [out, dropped_file(out), *([keywords_file(out)] if grow else [])]
    read = [*map(Path, code or []), keywords, Path(settings.model.path)]
    with outputs.writing("data write", files=files, inputs=read, force=force):
        task = Task(with_form(settings, warn), out, answers, budget, against, Reporter(quiet=as_json))
        _say(*write(task, plan), as_json)


@data_app.command("describe")
def data_describe(
    code: Annotated[
        list[str],
        typer.Argument(
            metavar="CODE... [KEY=VALUE]...",
            help="Folders or files of Verilog, or pairs with references as `data import` takes them; then overrides.",
        ),
    ],
    teacher: TeacherOption = None,
    base_url: options.BaseUrl = None,
    out: options.Out = Path("described.jsonl"),
    level: Annotated[str, typer.Option("--level", help="high-level, detailed, or both.")] = "both",
    answers: Answers = 1,
    budget_tokens: Tokens = None,
    budget_money: Money = None,
    price: Price = None,
    benchmark: Against = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Descriptions of existing modules, each kept where the teacher's own code for it is proven equal to the module;
    goes on where a call stopped."""
    from itertl.model.prompt_form import with_form
    from itertl.runs import outputs
    from itertl.writing.describe import describe
    from itertl.writing.flow import Task, dropped_file
    from itertl.writing.prompts import LEVELS
    from itertl.writing.teacher import Budget

    options.refuse_group("data describe")
    if level not in (*LEVELS, "both"):
        raise UsageError(f"--level {level}: give {', '.join(LEVELS)} or both")
    overrides = [one for one in code if options.is_override(one)]
    sources = [one for one in code if one not in overrides]
    if not sources:
        raise UsageError("data describe: give the code to describe, before the overrides")
    settings = _settings(recipe, overrides, teacher, base_url)
    budget = Budget(budget_tokens, budget_money, _price(price))
    against = _tasks(benchmark)
    read = [*map(Path, sources), Path(settings.model.path)]
    with outputs.writing("data describe", files=[out, dropped_file(out)], inputs=read, force=force):
        task = Task(with_form(settings, warn), out, answers, budget, against, Reporter(quiet=as_json))
        _say(*describe(task, sources, LEVELS if level == "both" else (level,)), as_json)


def _price(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        prompts, answers = (float(part) for part in text.split(","))
        if not (0 <= prompts < float("inf") and 0 <= answers < float("inf")):
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"--price {text}: give two numbers, as 0.15,0.60: a million tokens of prompts, and of answers"
        ) from error
    return prompts, answers


def _tasks(named: list[str] | None) -> list[Problem] | None:
    """The problems of all benchmarks that are named, each with its own path."""
    from itertl.evaluation import benchmarks

    if not named:
        return None
    parts = (one.partition("=") for one in named)
    return [p for name, _, path in parts for p in benchmarks.load(name, Path(path) if path else None).problems]


def _settings(recipe: Path | None, overrides: list[str], teacher: str | None, base_url: str | None) -> Recipe:
    if teacher is None and recipe is None and not any(one.startswith("model.path=") for one in overrides):
        raise UsageError("name the teacher: --teacher NAME, or --recipe for the model of a recipe")
    return recipe_of(recipe, overrides, teacher, base_url)


def _say(account: dict[str, Any], funnel: "Funnel", as_json: bool) -> None:
    if as_json:
        print_json(account)
        return
    show(funnel.render())
    if not account["compared_with_benchmarks"]:
        print("not compared with a benchmark (--benchmark NAME=PATH)")
    cost = account["cost"]
    money = "" if cost["money"] is None else f", {cost['money']:.4f} in money"
    spent = f"{cost['prompt_tokens']} + {cost['completion_tokens']} tokens{money}"
    print(f"{account['kept']} pairs in {account['out']}, {account['drafts'] - account['kept']} dropped ones with their")
    print(f"reasons in {account['dropped_out']}; {account['answers']} answers of the teacher took {spent}")
    if account["stopped_by_budget"]:
        left = account["not_begun"]
        print(f"the budget ended it, {left} were not begun; the same command with a larger one goes on from here")
