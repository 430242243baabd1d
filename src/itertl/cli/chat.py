"""``itertl chat``: a person and a model design together in the terminal."""

import io
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from itertl.cli.app import app
from itertl.cli.options import (
    BaseUrl,
    Data,
    Json,
    ModelOption,
    Overrides,
    RecipeOption,
    as_override,
    asked_with_examples,
    print_json,
    printable,
    recipe_of,
    warn,
)
from itertl.config import Recipe
from itertl.errors import DataError, ItertlError, ToolFailed, UsageError, WriteFailed, nearest
from itertl.records import Problem


@app.command()
def chat(
    instruction: Annotated[
        str | None, typer.Argument(help="What the module is to do; or --benchmark and --task.")
    ] = None,
    overrides: Overrides = None,
    header: Annotated[str, typer.Option("--header", help="Module header that the code is to have.")] = "",
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", help="A problem of this benchmark, with --task.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Its task_id.")] = None,
    data: Data = None,
    out: Annotated[Path, typer.Option("--out", help="The transcript; one that is there is gone on with.")] = Path(
        "chat.jsonl"
    ),
    replay: Annotated[
        Path | None, typer.Option("--replay", help="Say what the person said in this transcript, instead of asking.")
    ] = None,
    model: ModelOption = None,
    base_url: BaseUrl = None,
    recipe: RecipeOption = None,
    as_json: Json = False,
) -> None:
    """Design with a model in a conversation; what the tools say of each answer enters by itself. /help lists what can
    be typed; the design is printed at the end."""
    if benchmark is not None and (moved := as_override(instruction, overrides)):
        instruction, overrides = None, moved
    settings = recipe_of(recipe, overrides or [], model, base_url)
    problem = _problem(instruction, header, benchmark, task, data, settings)
    found = _talk(problem, settings, out, replay, quiet=as_json)
    if as_json:
        print_json({**found, "out": str(out)})
    else:
        print(printable(found["code"]) if sys.stdout.isatty() else found["code"])


def _problem(
    instruction: str | None, header: str, benchmark: str | None, task: str | None, data: Path | None, recipe: Recipe
) -> Problem:
    """The one that is asked: of words, or of a benchmark, whose reference is then looked at."""
    if (instruction is None) == (benchmark is None):
        raise UsageError("give an instruction, or --benchmark NAME --task ID")
    if benchmark is None and (task is not None or data is not None):
        raise UsageError("--task and --data go with --benchmark NAME")
    if benchmark is not None and header:
        raise UsageError("--header goes with an instruction; a benchmark's problem has its own")
    if benchmark is None:
        from itertl.search.generate import problems_of

        return problems_of(instruction, None, header, recipe)[0]
    from itertl.evaluation import benchmarks

    known = benchmarks.load(benchmark, data).by_id
    if task is None or task not in known:
        where = benchmark if data is None else f"{benchmark} --data {data}"
        all_of_them = f"`itertl eval --benchmark {where} --list-tasks` lists all {len(known)}"
        some = f"{benchmark} has {', '.join(list(known)[:5])} …; {all_of_them}"
        hint = some if task is None else nearest(task, known, then=all_of_them, otherwise=some)
        raise UsageError(f"--task{'' if task is None else f' {task}'}: {hint}")
    return known[task]


def _talk(problem: Problem, recipe: Recipe, out: Path, replay: Path | None, *, quiet: bool) -> dict[str, Any]:
    from itertl.loop import jobs
    from itertl.model.policy import sampled_policy
    from itertl.model.prompt_form import with_form
    from itertl.sampling.draw import SamplingJob, open_backend
    from itertl.sampling.lengths import settled
    from itertl.search.conversation import Conversation, check_transcript, lines_of
    from itertl.work.seeds import derive_seed

    check_transcript(out)
    recipe = settled(with_form(recipe, warn), lambda: ())
    problem = asked_with_examples(recipe, [problem])[0]
    seed = derive_seed(recipe.seed, "chat")
    job = SamplingJob([problem], sampled_policy(recipe), recipe.sample, seed, num_samples=1, first_word="module")
    shown: list[str] = []

    def show(text: str) -> None:
        shown.append(text)
        print(printable(text), end="", file=sys.stderr, flush=True)

    def tell(text: str) -> None:
        if quiet or not text:
            return
        begin = "\n" if shown and not shown[-1].endswith("\n") else ""  # behind what was shown as it was written
        shown.clear()
        print(f"{begin}{printable(text)}", file=sys.stderr)

    with closing(open_backend(job.policy, job.config)) as backend:
        if backend.can_show and not quiet:
            backend.show = show
        tell(problem.instruction if problem.upstream_id else "")
        with Conversation(problem, job, backend, out, effort=jobs.effort(recipe), tell=tell) as conversation:
            lines = _typed() if replay is None else _left(list(lines_of(replay)), conversation.said, replay, out)
            conversation.begin()
            for line in lines:
                try:
                    if not conversation.enter(line):
                        break
                except (UsageError, ToolFailed, WriteFailed) as error:
                    if replay is not None and not _is_of_its_time(error):
                        raise
                    (tell if replay is None else warn)(str(error))
            said = conversation.examined
            return {
                "problem_id": problem.id, "code": conversation.code, "answers": len(conversation.answers),
                "verdict": said.verdict.value if said else None, "rank": said.rank if said else None,
            }  # fmt: skip


def _left(lines: list[str], said: list[str], replay: Path, out: Path) -> Iterator[str]:
    """What of the lines to play comes behind those of the transcript, which may lack some: they could not be said.
    Raises UsageError where it has others."""
    left = iter(lines)
    if not all(line in left for line in said):
        raise UsageError(f"{out}: holds other lines of the person's than --replay {replay}; give another --out")
    return left


def _is_of_its_time(error: ItertlError) -> bool:
    """Whether another model's answers may be why a line cannot be said: it has nothing to answer, say."""
    return isinstance(error, UsageError) and not isinstance(error, DataError)


def _typed() -> Iterator[str]:
    """Lines from the terminal, or from a pipe, until its end."""
    is_asked = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    while True:
        if is_asked:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line.rstrip("\n")
