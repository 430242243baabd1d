"""``itertl run``, ``study``, ``report`` and ``view``."""

import contextlib
import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from itertl.cli import completion, options
from itertl.cli.app import app
from itertl.cli.options import print_json, require_sandbox_level, show, warn
from itertl.config import bundled, load_recipe, naming
from itertl.errors import UsageError
from itertl.progress import Reporter

Measured = Annotated[bool, typer.Option("--measure", help="With --plan: estimate from a few measured steps.")]
ResumeChanged = Annotated[
    bool,
    typer.Option(
        "--resume-changed",
        help="Go on in a folder that holds a run of another recipe; what the change makes stale is made again.",
    ),
]
ShareFrom = Annotated[
    Path | None,
    typer.Option(
        "--share-from",
        metavar="FOLDER",
        help="Link stages that a run below this folder has done from the same settings, inputs and seed.",
    ),
]
BackgroundCore = Annotated[
    int | None,
    typer.Option(
        "--background-core",
        metavar="N",
        min=0,
        help="Work on processor core N alone, with one thread, behind everything else.",
    ),
]
AtOnce = Annotated[
    int | None,
    typer.Option("--at-once", metavar="N", min=1, help="Runs side by side; default: one for each GPU, else one."),
]
KeepLast = Annotated[
    bool,
    typer.Option(
        "--keep-last",
        help="Remove earlier iterations' checkpoints of runs that are finished, but those an arm starts from.",
    ),
]


@app.command()
def run(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="Recipe: a file, or the name of a bundled one (itertl init).", autocompletion=completion.recipes
        ),
    ],
    overrides: options.Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/NAME.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the resolved recipe, the files, time and memory; run nothing.")
    ] = False,
    measured: Measured = False,
    require_sandbox: options.RequireSandbox = None,
    keep_going: options.KeepGoing = False,
    resume_changed: ResumeChanged = False,
    share_from: ShareFrom = None,
    as_json: options.Json = False,
) -> None:
    """The loop: sample, score, train, evaluate, again. The same command goes on with an interrupted run."""
    from itertl.loop import asked
    from itertl.loop.plan import make_plan
    from itertl.model.prompt_form import with_form
    from itertl.runs import outputs

    options.refuse_group("run")
    recipe = bundled.find(recipe)
    given = [*(overrides or []), *(["score.keep_going=true"] if keep_going else [])]
    with naming(recipe, given):
        resolved = with_form(load_recipe(recipe, given), warn)
    folder = out or Path("runs") / resolved.name
    outputs.check_run(folder, is_plan=plan)
    if plan:
        with naming(recipe, given):
            found = make_plan(resolved, folder, measured=measured)
        print_json(found.to_json()) if as_json else print(found.render())
        return
    _refuse_measuring(measured)
    require_sandbox_level(require_sandbox)
    result = asked.run(
        resolved, folder, place=recipe, overrides=given, reporter=Reporter(quiet=as_json),
        resume_changed=resume_changed, share_from=share_from,
    )  # fmt: skip
    print_json(result.to_json()) if as_json else options.print_text(result.render())


def _refuse_measuring(measured: bool) -> None:
    if measured:
        raise UsageError("--measure goes with --plan, which runs nothing")


@app.command()
def study(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY.yaml",
            help="Study: a file, or the name of a bundled one (itertl init).",
            autocompletion=completion.recipes,
        ),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override keys of the recipes of all arms.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The study's folder; default runs/NAME.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ARM", help="Only this arm; may be given several times.")
    ] = None,
    background_core: BackgroundCore = None,
    at_once: AtOnce = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print time, memory and disk of each arm; run nothing.")] = False,
    measured: Measured = False,
    keep_last: KeepLast = False,
    resume_changed: ResumeChanged = False,
    as_json: options.Json = False,
) -> None:
    """Arms x seeds as ordinary runs that share equal stages, and one table of them. The same command goes on."""
    from itertl.loop.study import command, scheduler
    from itertl.loop.study.estimate import plan_study
    from itertl.loop.study.file import load_study
    from itertl.runs import outputs

    options.refuse_group("study")
    file = bundled.find(file)
    if background_core is not None:
        scheduler.pin(background_core)
    loaded = load_study(file, overrides or [], only or [])
    folder = out or Path("runs") / loaded.name
    outputs.check_run(folder, is_plan=plan)
    if plan:
        with naming(file, overrides or []):
            found = plan_study(loaded, folder, only or [], measured=measured)
        print_json(found.to_json()) if as_json else show(found.table())
        return
    _refuse_measuring(measured)
    with naming(file, overrides or []):
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
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Tables, figures and page of one run, or of runs side by side."""
    from itertl.report.tables import run_tables
    from itertl.report.write import make_report
    from itertl.runs import outputs
    from itertl.runs.read import read_runs

    if out is not None and [os.path.realpath(run) for run in runs] == [os.path.realpath(out)]:
        out = None  # the run's own
    pages = [] if out is None and len(runs) == 1 else [(out or Path("report")) / "report.html"]
    with outputs.writing("report", files=pages, force=force):
        paths = make_report(runs, out)
    if as_json:
        print_json({"page": str(paths.page), "figures": [str(p) for p in paths.figures]})
        return
    for table in run_tables({run.name: run.metrics for run in read_runs(runs)}):
        show(table)
    print(f"page     {paths.page}")
    print("".join(f"figure   {p}\n" for p in paths.figures), end="")


@app.command()
def view(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are shown side by side.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8321,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """The report's page with every answer of the runs, served to this machine until Ctrl-C."""
    from itertl.report.serve import ReportServer

    with ReportServer(runs, port) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"{server.url}  ({len(server.catalogue.answers):,} answers; Ctrl-C ends it)", flush=True)
        if browser and (sys.platform != "linux" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}):
            webbrowser.open(server.url)
        server.serve_forever()
    print("stopped")
