"""``itertl run``, ``study`` and ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from itertl.cli.app import app
from itertl.cli.options import (
    Force,
    Json,
    KeepGoing,
    Overrides,
    RequireSandbox,
    print_json,
    require_sandbox_level,
    show,
    warn,
)
from itertl.config import load_recipe
from itertl.errors import UsageError
from itertl.progress import Reporter


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe, for example recipes/demo.yaml.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/NAME.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the resolved recipe, the files, time and memory; run nothing.")
    ] = False,
    measured: Annotated[
        bool, typer.Option("--measure", help="With --plan: estimate from a few measured steps of the model.")
    ] = False,
    require_sandbox: RequireSandbox = None,
    keep_going: KeepGoing = False,
    resume_changed: Annotated[
        bool,
        typer.Option(
            "--resume-changed",
            help="Go on in a folder that holds a run of another recipe; what the change makes stale is made again.",
        ),
    ] = False,
    share_from: Annotated[
        Path | None,
        typer.Option(
            "--share-from",
            metavar="FOLDER",
            help="Link stages that a run below this folder has done from the same settings, inputs and seed.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """The loop: sample, score, train, evaluate, again. The same command goes on with an interrupted run."""
    from itertl.model.prompt_form import with_form
    from itertl.work import devices

    if devices.is_member():
        raise UsageError(
            "itertl run starts its own processes: call it once, without `accelerate launch` or `torchrun`, and set "
            "compute.processes and compute.strategy (default: one process for each GPU, ddp)"
        )
    resolved = with_form(
        load_recipe(recipe, [*(overrides or []), *(["score.keep_going=true"] if keep_going else [])]), warn
    )
    folder = out or Path("runs") / resolved.name
    if plan:
        from itertl.loop.plan import make_plan

        found = make_plan(resolved, folder, measured=measured)
        print_json(found.to_json()) if as_json else print(found.render())
        return
    if measured:
        raise UsageError("--measure goes with --plan, which runs nothing")
    from itertl.loop import run as loop
    from itertl.runs import outputs

    outputs.check_place(folder)
    outputs.check_apart(
        folder,
        [
            resolved.data.source,
            str(resolved.data.holdout),
            resolved.model.path,
            *(config.data for config in resolved.evals),
        ],
    )
    require_sandbox_level(require_sandbox)
    result = loop.run(
        resolved, folder, reporter=Reporter(quiet=as_json), resume_changed=resume_changed, share_from=share_from
    )
    if as_json:
        print_json(
            {
                "run": str(result.folder),
                "checkpoint": str(result.checkpoint),
                "report": str(result.page),
                "metrics": [m.model_dump(mode="json") for m in result.metrics],
            }
        )
        return
    print(f"checkpoint  {result.checkpoint}")
    print(f"report      {result.page}  (figures in {result.folder / 'figures'})")
    print(f"samples     {result.samples}")
    print(f'load it     transformers.AutoModelForCausalLM.from_pretrained("{result.checkpoint}")')


@app.command()
def study(
    file: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml", help="Study, for example recipes/studies/paper-small.yaml.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override keys of the recipes of all arms.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The study's folder; default runs/NAME.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ARM", help="Only this arm; may be given several times.")
    ] = None,
    background_core: Annotated[
        int | None,
        typer.Option(
            "--background-core",
            metavar="N",
            min=0,
            help="Work on processor core N alone, with one thread, behind everything else.",
        ),
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option("--at-once", metavar="N", min=1, help="Runs side by side; default: one for each GPU, else one."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print time, memory and disk of each arm; run nothing.")] = False,
    measured: Annotated[
        bool, typer.Option("--measure", help="With --plan: estimate from a few measured steps of each arm.")
    ] = False,
    keep_last: Annotated[
        bool,
        typer.Option(
            "--keep-last",
            help="Remove earlier iterations' checkpoints of runs that are finished, but those an arm starts from.",
        ),
    ] = False,
    resume_changed: Annotated[
        bool,
        typer.Option(
            "--resume-changed",
            help="Go on where runs of another recipe lie; what the change makes stale is made again.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Arms x seeds as ordinary runs that share equal stages, and one table of them. The same command goes on."""
    from itertl.loop.study import command, drive
    from itertl.progress import Reporter

    if background_core is not None:
        drive.pin(background_core)
    loaded = command.load(file, overrides or [], only or [])
    folder = out or Path("runs") / loaded.name
    if plan:
        from itertl.loop.study.estimate import plan_study
        from itertl.report.tables import rich_table

        found = plan_study(loaded, folder, only or [], measured=measured)
        print_json(found.to_json()) if as_json else show(rich_table(found.grid()))
        return
    if measured:
        raise UsageError("--measure goes with --plan, which runs nothing")
    result = command.run(
        loaded,
        folder,
        only=only or [],
        reporter=Reporter(quiet=as_json),
        at_once=at_once,
        resume_changed=resume_changed,
        keep_last=keep_last,
    )
    if as_json:
        print_json(result.to_json())
    else:
        for table in result.tables():
            show(table)
        for note in result.results.notes:
            print(note)
        print(f"page     {result.page}\ntables   {folder / 'table.md'}, {folder / 'table.csv'}")
    if result.outcome.failed or result.outcome.left_out:
        raise typer.Exit(1)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are drawn side by side.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; default: the run's own, or ./report for several.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Tables, figures and page of one run, or of runs side by side."""
    from itertl.report.write import make_report
    from itertl.runs import outputs

    if out is not None and [run.resolve() for run in runs] == [out.resolve()]:
        out = None  # the run's own
    pages = [] if out is None and len(runs) == 1 else [(out or Path("report")) / "report.html"]
    with outputs.writing("report", files=pages, force=force):
        paths = make_report(runs, out)
    if as_json:
        print_json({"page": str(paths.page), "figures": [str(p) for p in paths.figures]})
    else:
        from itertl.report.tables import run_tables
        from itertl.runs.read import read_runs

        for table in run_tables({run.name: run.metrics for run in read_runs(runs)}):
            show(table)
        print(f"page     {paths.page}")
        print("".join(f"figure   {p}\n" for p in paths.figures), end="")
