"""``itertl data``: pairs in, looked at, generated, audited."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from itertl.cli import options
from itertl.cli.app import data_app
from itertl.cli.options import named_values, print_json, recipe_of, show, warn
from itertl.errors import UsageError
from itertl.progress import Reporter

Filter = Annotated[list[str] | None, typer.Option("--filter", help="COLUMN=VALUE: keep rows that have it.")]


@data_app.command("import")
def data_import(
    source: Annotated[str, typer.Argument(help="File, folder, or hf:NAME[:split].")],
    out: options.Out = Path("problems.jsonl"),
    format: Annotated[str, typer.Option("--format", help="Importer's name; auto looks at the file.")] = "auto",
    column: Annotated[
        list[str] | None, typer.Option("--column", help="OURS=THEIRS, for example instruction=prompt.")
    ] = None,
    filter: Filter = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="A fixed random subset of this size.")] = None,
    header: Annotated[
        str, typer.Option("--header", help="keep, or derive: take the module header from the reference.")
    ] = "keep",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn other formats into problems.jsonl."""
    from itertl.problems.load import load_problems
    from itertl.runs import outputs, storage

    columns, wanted = named_values(column, "--column"), named_values(filter, "--filter")
    with outputs.writing("data import", files=[out], inputs=[Path(source)], force=force):
        loaded = load_problems(
            source, format=format, columns=columns, filter=wanted, limit=limit, seed=seed, header=header
        )
        storage.write_records(out, loaded.problems)
    result = {
        "problems": len(loaded.problems),
        "with_reference": sum(p.reference is not None for p in loaded.problems),
        **{name: getattr(loaded, name) for name in ("skipped", "notes", "dropped", "format")},
        "out": str(out),
    }
    print_json(result) if as_json else print(json.dumps(result, indent=1, ensure_ascii=False))


@data_app.command("show")
def data_show(
    source: Annotated[
        str | None,
        typer.Argument(
            help="File, folder, hf:NAME[:split] or synth, as `data import` takes it; default: what the recipe names."
        ),
    ] = None,
    overrides: options.Overrides = None,
    model: options.ModelOption = None,
    recipe: options.RecipeOption = None,
    count: Annotated[
        int, typer.Option("--count", min=0, help="So many of the first pairs as the model sees them.")
    ] = 2,
    as_json: options.Json = False,
) -> None:
    """Counts, lengths in the model's tokens, what would be left out and why, and the first prompts with the trained
    part marked."""
    from itertl.loop.show import show as show_pairs
    from itertl.model.prompt_form import with_form

    own = list(overrides or [])
    if source is not None and re.match(r"data\.\w+.*=", source):  # the recipe's own data, changed
        own, source = [source, *own], None
    if source is None and recipe is None and not own:
        raise UsageError("give a source, or the recipe whose data to show (--recipe)")
    own += [] if source is None else [f"data.source={json.dumps(source)}"]
    settings = with_form(recipe_of(recipe, own, model), warn)
    shown = show_pairs(settings, count)
    print_json(shown.to_json()) if as_json else options.print_text(shown.render())


@data_app.command("synth")
def data_synth(
    count: Annotated[int, typer.Argument(min=1, help="How many problems.")] = 1000,
    out: options.Out = Path("problems.jsonl"),
    seed: Annotated[int, typer.Option("--seed")] = 0,
    family: Annotated[list[str] | None, typer.Option("--family", help="Only these families.")] = None,
    split: Annotated[
        str, typer.Option("--split", help="train, heldout, heldout-family or heldout-parameter.")
    ] = "train",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Generate problems with instruction, header, reference and self-checking testbench."""
    from itertl.runs import outputs, storage
    from itertl.synth import generate

    with outputs.writing("data synth", files=[out], force=force):
        problems = generate(seed, count, family or [], split)
        storage.write_records(out, problems)
    families = len({p.family for p in problems})
    result = {"problems": len(problems), "families": families, "split": split, "out": str(out)}
    print_json(result) if as_json else print(f"{result['problems']} problems of {result['families']} families in {out}")


@data_app.command("repair")
def data_repair(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: options.Out = Path("repairs.jsonl"),
    workers: options.Workers = 0,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Pairs to learn repair from: a run's own wrong answers with what the tools say of them, and right ones."""
    from itertl.loop.repairs import repair_pairs
    from itertl.runs import outputs, storage
    from itertl.scoring.engine import Effort

    effort = Effort(num_workers=workers, cache=storage.cache_folder())
    with outputs.writing("data repair", files=[out], inputs=[run, run / "problems.jsonl"], force=force):
        with Reporter(quiet=as_json).stage("repair pairs", 0) as tracker:
            found = repair_pairs(run, effort=effort, tracker=tracker)
        storage.write_records(out, found.problems)
    result = {
        "pairs": len(found.problems), "to_the_reference": found.by_reference, "answers": found.answers,
        "left_out": dict(found.left_out), "out": str(out),
    }  # fmt: skip
    print_json(result) if as_json else print(json.dumps(result, indent=1, ensure_ascii=False))


@data_app.command("export")
def data_export(
    source: Annotated[str, typer.Argument(help="Folder of a run, or pairs as `data import` takes them.")],
    trainer: Annotated[str, typer.Option("--for", help="verl, trl, llama-factory or axolotl.")],
    overrides: options.Overrides = None,
    kind: Annotated[str, typer.Option("--kind", help="sft, preference (of a run), or rl.")] = "rl",
    out: options.Out = Path("exported"),
    truth: Annotated[
        str, typer.Option("--truth", help="What rl is judged by: reference, or testbench where pairs have one.")
    ] = "reference",
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", help="With rl: write this benchmark's problems to validate on.")
    ] = None,
    data: options.Data = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Pairs, a run's preferences, or prompts with ground truth, in the shape that another trainer reads."""
    from itertl.rewards import export, layouts
    from itertl.runs import outputs

    run = Path(source) if (Path(source) / "recipe.yaml").is_file() else None
    target = layouts.Target(
        options.choice(trainer, layouts.Trainer, "--for"), options.choice(kind, layouts.Kind, "--kind")
    )
    by = options.choice(truth, Literal["reference", "testbench"], "--truth")
    own = [*(overrides or []), *([] if run else [f"data.source={json.dumps(source)}"])]
    settings = recipe_of(recipe or (run and run / "recipe.yaml"), own, None)
    validation = None if benchmark is None else export.Validation(benchmark, data)
    files = target.files(out, with_test=True)
    with outputs.writing("data export", files=files, inputs=[Path(source), data], force=force):
        found = export.export(settings, target, run=run, truth=by, validation=validation)
        layouts.write(target, out, found.train, found.test)
    result = {
        "for": trainer, "kind": kind, "rows": len(found.train), "test_rows": len(found.test),
        "left_out": dict(+found.left_out),
        "files": [str(file) for file in target.files(out, with_test=bool(found.test))],
    }  # fmt: skip
    print_json(result) if as_json else print(json.dumps(result, indent=1, ensure_ascii=False))


@data_app.command("audit")
def data_audit(
    source: Annotated[str, typer.Argument(help="Problems: a file that `data import` understands.")],
    overrides: options.Overrides = None,
    benchmark: Annotated[
        list[str] | None, typer.Option("--benchmark", help="Look for contamination against these.")
    ] = None,
    data: options.Data = None,
    format: Annotated[str, typer.Option("--format")] = "auto",
    filter: Filter = None,
    tools: Annotated[bool, typer.Option("--tools/--no-tools", help="Parse and elaborate every reference.")] = True,
    function: Annotated[
        bool,
        typer.Option("--function", help="Also synthesize and simulate every reference, and score it against itself."),
    ] = False,
    sound: Annotated[
        Path | None,
        typer.Option("--keep-sound", metavar="OUT", help="Write the problems that no finding speaks against here."),
    ] = None,
    workers: options.Workers = 0,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Duplicates, near-duplicates, contamination, references that do not parse or elaborate; with --function, unsound
    ones."""
    from itertl.audit.audit import audit_source, keep_sound
    from itertl.evaluation import benchmarks
    from itertl.runs import outputs

    place, others = options.split_compute(overrides)
    if others:
        raise UsageError(f"{others[0]}: of a recipe, data audit takes compute.KEY=VALUE alone")
    against = [p for name in benchmark or [] for p in benchmarks.load(name, data).problems]
    with outputs.writing("data audit", files=[sound] if sound else [], inputs=[Path(source), data], force=force):
        with options.machines(place):
            found, result, by_function = audit_source(
                source, against, format=format, filter=named_values(filter, "--filter"), check_tools=tools,
                function=function, num_workers=workers, reporter=Reporter(quiet=as_json),
            )  # fmt: skip
        kept = None if sound is None else keep_sound(sound, result.problems, found, by_function)
    if as_json:
        loaded = {name: getattr(result, name) for name in ("format", "skipped", "notes", "dropped")}
        function_part = {"function": by_function.to_json()} if by_function else {}
        print_json({**found.to_json(), "loaded": loaded, **function_part, **({} if kept is None else {"kept": kept})})
        return
    show(found.render())
    if by_function is not None:
        show(by_function.render())
    for reason, count in (*result.skipped.items(), *result.notes.items()):
        print(f"{count} rows: {reason}")
    for line in result.dropped:
        print(line)
    if kept is not None:
        print(f"{kept} problems kept in {sound}")


@data_app.command("distil")
def data_distil(
    problems: Annotated[str, typer.Argument(help="Problems with references: a file that `data import` understands.")],
    overrides: options.Overrides = None,
    out: options.Out = Path("distilled.jsonl"),
    model: options.ModelOption = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Answers that are drawn to each problem.")] = 8,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Right answers of a problem that are kept at most.")] = 1,
    base_url: options.BaseUrl = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """A model's own answers as pairs: those that are proven equal to the reference; goes on where a call stopped."""
    from itertl.loop.distil import distil
    from itertl.runs import outputs
    from itertl.search.drive import attempts_file

    options.refuse_group("data distil")
    settings = recipe_of(recipe, overrides or [], model, base_url)
    files, read = [out, attempts_file(out)], [Path(problems), Path(settings.model.path)]
    with outputs.writing("data distil", files=files, inputs=read, force=force):
        found = distil(settings, problems, out, draws=draws, keep=keep, reporter=Reporter(quiet=as_json), warn=warn)
    said = f"{found['kept']} pairs of {found['solved']} solved problems, of {found['problems']}, in {out}: "
    said += f"{found['right']} of {found['draws']} answers are right"
    print_json(found) if as_json else print(said)


@data_app.command("corpus")
def data_corpus(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATHS...", help="Folders, git clones, archives, Verilog files, books.")
    ],
    out: options.Out = Path("corpus.jsonl"),
    licences: Annotated[
        list[str] | None,
        typer.Option("--licences", help="any (default), permissive, or SPDX names with commas between."),
    ] = None,
    max_chars: Annotated[
        int, typer.Option("--max-chars", min=0, help="Files of at most so many characters; 0: any length.")
    ] = 20_000,
    near: Annotated[
        float, typer.Option("--near", min=0.1, max=1, help="Likeness from which files are near-duplicates.")
    ] = 0.8,
    packages: Annotated[
        bool, typer.Option("--packages", help="Keep files with SystemVerilog packages or interfaces and no module too.")
    ] = False,
    window: Annotated[int, typer.Option("--window", min=200, help="Characters of a passage of a book.")] = 4000,
    overlap: Annotated[int, typer.Option("--overlap", min=0, help="Of them, shared with the passage before.")] = 400,
    workers: options.Workers = 0,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Existing code and books as texts for continued pre-training: filtered, each once, with its licence, without
    names."""
    from itertl.corpus import build as corpus
    from itertl.corpus.examine import Rules
    from itertl.runs import outputs

    if overlap > window // 2:
        raise UsageError(f"--overlap {overlap}: at most half of the passage (--window {window})")
    rules = Rules(max_chars, "all" if packages else "modules", window, overlap)
    wanted = corpus.wanted_licences(licences or ["any"])
    files = [out, corpus.left_out_file(out)]
    progress = Reporter(quiet=as_json).stage("corpus", 0)
    with outputs.writing("data corpus", files=files, inputs=paths, force=force), progress as tracker:
        found = corpus.build(paths, out, rules=rules, licences=wanted, near=near, num_workers=workers, tracker=tracker)
    if as_json:
        print_json(found.to_json())
        return
    show(found.render())
    for line in found.lines():
        print(line)
