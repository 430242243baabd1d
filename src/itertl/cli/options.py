"""Options that several commands take, and what commands print with."""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from itertl.cli import completion
from itertl.config import Recipe, parse_yaml
from itertl.errors import UsageError, nearest
from itertl.records import Problem

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Override keys of the recipe, for example train.learning_rate=1e-4.",
        autocompletion=completion.keys,
    ),
]
RecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        autocompletion=completion.recipes,
        help="Recipe to take settings from, a file or a bundled one's name; default: every default.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Where to write.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Alias, folder, .gguf file, hub name, or openai:NAME for what an endpoint serves.",
        autocompletion=completion.models,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url", metavar="URL", help="With --model openai:NAME: the endpoint, up to /v1; default: OpenAI's own."
    ),
]
BenchmarkOption = Annotated[
    str,
    typer.Option("--benchmark", help="Benchmark's name, see docs/benchmarks.md.", autocompletion=completion.benchmarks),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="The benchmark's files: a clone of its repository, or a JSONL.")
]
RequireSandbox = Annotated[
    str | None,
    typer.Option(
        "--require-sandbox",
        metavar="LEVEL",
        help="Refuse to work at a weaker level than rlimits, landlock or bubblewrap.",
    ),
]
KeepGoing = Annotated[
    bool,
    typer.Option(
        "--keep-going", help="Leave out candidates on which a scorer of your own raises, instead of stopping."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there, whoever made it.")]
Rule = Annotated[
    str,
    typer.Option(
        "--rule",
        help="Verdict rule: default (the benchmark's own), strict, upstream to compare with published numbers, "
        "or your module:function.",
    ),
]
Shots = Annotated[
    int,
    typer.Option("--shots", min=0, help="In-context examples before each question, for benchmarks that have them."),
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="How an answer is searched for: best-of, cluster, repair, tree-code, tree-tokens, or your "
        "module:function; its options are sample.strategy_options.NAME=VALUE (docs/search.md).",
    ),
]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Worker processes; 0: one for each core.")]


def show(table: Any) -> None:
    """A rich table on stdout."""
    from rich.console import Console

    Console().print(table)


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def require_sandbox_level(level: str | None) -> None:
    """Raise ToolMissing where this machine cannot reach ``level``, UsageError where there is no such level."""
    if level is not None:
        from itertl.sandbox import sandbox

        sandbox.require(level)


def split_compute(overrides: list[str] | None) -> tuple[list[str], list[str]]:
    """The overrides that say where work is done (``compute.…``), and the others."""
    given = overrides or []
    return [o for o in given if o.startswith("compute.")], [o for o in given if not o.startswith("compute.")]


def machines(overrides: list[str], recipe: Path | None = None) -> AbstractContextManager[object]:
    """Work where ``compute`` of the recipe with these overrides says. Raises as ``doctor.node.machines``."""
    from itertl.doctor.node import machines as used

    return used(recipe_of(recipe, overrides, None).compute, warn)


def refuse_group(command: str) -> None:
    """Raise UsageError where a launcher of several processes has started this one."""
    from itertl.work import devices

    devices.refuse_group(f"itertl {command}")


def recipe_of(path: Path | None, overrides: list[str], model: str | None, base_url: str | None = None) -> Recipe:
    """See ``asked.recipe_of``, which is imported when it is called."""
    from itertl.loop import asked

    return asked.recipe_of(path, overrides, model, base_url)


_OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")


def as_override(first: object, overrides: list[str] | None) -> list[str] | None:
    """All overrides where an option takes the first argument's part and KEY=VALUE stands there, else None."""
    return [str(first), *(overrides or [])] if first is not None and _OVERRIDE.match(str(first)) else None


def asked_with_examples(
    recipe: Recipe, problems: Sequence[Problem], benchmarks: Sequence[Problem] = ()
) -> list[Problem]:
    """The problems with what ``prompt.examples`` shows before each; says on stderr what was passed over. The pairs of
    a recipe are the pool only where it names its data."""
    from itertl.loop import asked

    return asked.with_examples(recipe, problems, benchmarks, warn=warn)


def is_override(text: str) -> bool:
    """Whether an argument is KEY=VALUE and not the path of something that is there."""
    return _OVERRIDE.match(text) is not None and not Path(text).exists()


def printable(text: str) -> str:
    """``text`` for a terminal: control characters, which could move its cursor, are shown as U+FFFD."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text.replace("\r\n", "\n"))


def print_text(text: str) -> None:
    """``text`` on stdout; ``printable`` where that is a terminal."""
    print(printable(text) if sys.stdout.isatty() else text)


def warn(text: str) -> None:
    """A line on stderr, under ``--json`` too."""
    print(f"itertl: {text}", file=sys.stderr, flush=True)


def named_values(items: list[str] | None, option: str) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {item!r}: give NAME=VALUE")
        pairs[key] = value if option == "--column" else parse_yaml(value, f"{option} {key}")
    return pairs


def choice(value: str, kind: Any, option: str) -> Any:
    """``value``, which is one of the texts of a Literal. Raises UsageError that names the option."""
    known = get_args(kind)
    if value not in known:
        every = f"give {', '.join(known)}"
        raise UsageError(f"{option} {value!r}: {nearest(value, known, otherwise=every)}")
    return value
