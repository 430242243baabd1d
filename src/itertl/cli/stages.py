"""One stage alone, on files: ``itertl sample``, ``score`` and ``train``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from itertl.cli import options
from itertl.cli.app import app
from itertl.cli.options import print_json, recipe_of, require_sandbox_level, warn
from itertl.config import naming
from itertl.errors import UsageError
from itertl.progress import Reporter
from itertl.runs.storage import cache_folder


@app.command()
def sample(
    problems: Annotated[str, typer.Argument(help="Problems: a file that `data import` understands, or synth.")],
    overrides: options.Overrides = None,
    out: options.Out = Path("candidates.jsonl"),
    model: options.ModelOption = None,
    base_url: options.BaseUrl = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Sample candidates for each problem; goes on where an interrupted call stopped."""
    from itertl.loop import jobs
    from itertl.runs import outputs

    options.refuse_group("sample")
    settings = recipe_of(recipe, overrides or [], model, base_url)
    beside = _problems_beside(out)
    files = [out] if beside is None else [out, beside]
    read = [Path(problems), Path(settings.model.path)]
    with outputs.writing("sample", files=files, inputs=read, force=force), naming(recipe, overrides or []):
        result = jobs.sample(settings, problems, out, beside, reporter=Reporter(quiet=as_json), warn=warn)
    text = f"{result['candidates']} candidates of {result['problems']} problems in {out}"
    print_json(result) if as_json else print(text)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="Candidates of a run, RTLCoder records, or reference/completion lines.")],
    overrides: options.Overrides = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="Scorers by name, separated by commas; default: rtlcoder.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="Recipe whose scorers, ladder, weights and limits to take: adds z.")
    ] = None,
    out: options.Out = Path("scored.jsonl"),
    problems: Annotated[
        Path | None, typer.Option("--problems", help="problems.jsonl of candidates; default: beside their run.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Worker processes; 0: one for each core (the default).")
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="Seconds for each candidate and scorer; default: 30.")
    ] = None,
    vcd: Annotated[
        Path | None, typer.Option("--vcd", help="Folder for waveforms of what the scorer vectors finds wrong.")
    ] = None,
    keep_going: options.KeepGoing = False,
    recheck: Annotated[
        bool,
        typer.Option("--recheck", help="Check what the scorer equivalence proves by other seeds and by Yosys's sat."),
    ] = False,
    require_sandbox: options.RequireSandbox = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Score stored texts, whoever wrote them."""
    from itertl.loop import jobs
    from itertl.runs import outputs
    from itertl.scoring.candidates import effort_of
    from itertl.scoring.score_file import score_file

    limits = {"score.num_workers": workers, "score.timeout_s": timeout_s, "score.keep_going": keep_going or None}
    given = [f"{key}={json.dumps(value)}" for key, value in limits.items() if value is not None]
    place, others = options.split_compute(overrides)
    by_recipe = recipe is not None or bool(others)
    if by_recipe and scorer is not None:
        raise UsageError(
            f"--scorer {scorer} and {'--recipe' if recipe else 'KEY=VALUE'} both say which scores to take; leave out "
            "--scorer to score by the recipe, with z, or leave out the recipe's for these scores alone"
        )
    names = tuple(name.strip() for name in (scorer or "rtlcoder").split(",") if name.strip())
    if not names:
        raise UsageError("--scorer needs at least one name")
    config = jobs.scores(recipe_of(recipe, [*(overrides or []), *given], None))
    require_sandbox_level(require_sandbox)
    reporter = Reporter(quiet=as_json)
    guard = outputs.writing(
        "score", files=[out], folders=[vcd] if vcd else [], inputs=[file, problems, recipe], force=force
    )
    with (
        guard,
        options.machines(place, recipe),
        reporter.stage("score", 0) as tracker,
        naming(recipe, overrides or []),
    ):
        summary = score_file(
            file, config if by_recipe else names, out, problems=problems, effort=effort_of(config, cache_folder()),
            vcd=vcd, second_opinion=recheck, tracker=tracker,
        )  # fmt: skip
    print_json(summary) if as_json else print(json.dumps(summary, indent=1, ensure_ascii=False))


@app.command()
def train(
    scored: Annotated[Path, typer.Argument(help="scored.jsonl of a run or of `itertl score` on candidates.")],
    problems: Annotated[Path, typer.Option("--problems", help="The problems.jsonl that the candidates belong to.")],
    overrides: options.Overrides = None,
    out: options.Out = Path("checkpoint"),
    model: options.ModelOption = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """One round of training on scored candidates; goes on where an interrupted call stopped."""
    from itertl.loop import jobs
    from itertl.runs import outputs

    settings = recipe_of(recipe, overrides or [], model)
    read = [scored, problems, Path(settings.model.path)]
    with (
        outputs.writing("train", folders=[out], files=[jobs.train_log(out)], inputs=read, force=force),
        naming(recipe, overrides or []),
    ):
        result = jobs.train(settings, scored, problems, out, reporter=Reporter(quiet=as_json), warn=warn)
    text = f"checkpoint in {out} after {result['steps']} steps, loss {result['loss']}"
    print_json(result) if as_json else print(text)


def _problems_beside(out: Path) -> Path | None:
    """Where ``sample`` puts the problems of its candidates: ``problems.jsonl`` beside them, or ``NAME.problems.jsonl``
    where there is one that it did not make; None where the candidates go to a device or pipe."""
    from itertl.runs import outputs, storage

    if storage.is_node(out) or not out.name:  # "" and ".": refused with the other folders
        return None
    beside = out.with_name("problems.jsonl")
    is_free = not beside.exists() or outputs.is_made_by(beside, "sample")
    return beside if is_free else out.with_name(f"{out.stem}.problems.jsonl")
