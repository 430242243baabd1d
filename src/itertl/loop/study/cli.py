"""The command ``itertl study``: parses, calls ``study.command``, and prints. Imports are made when needed."""

from pathlib import Path
from typing import Annotated

import typer

from itertl.errors import UsageError


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
    from itertl.cli import _print_json, _show
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
        _print_json(found.to_json()) if as_json else _show(rich_table(found.grid()))
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
        _print_json(result.to_json())
    else:
        for table in result.tables():
            _show(table)
        for note in result.results.notes:
            print(note)
        print(f"page     {result.page}\ntables   {folder / 'table.md'}, {folder / 'table.csv'}")
    if result.outcome.failed or result.outcome.left_out:
        raise typer.Exit(1)
