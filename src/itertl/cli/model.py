"""A model at work and for others: ``itertl generate``, ``export`` and ``model extend``; ``itertl doctor``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from itertl.cli import options
from itertl.cli.app import app, model_app
from itertl.cli.options import as_override, print_json, printable, recipe_of, show, warn
from itertl.config import Recipe
from itertl.progress import Reporter
from itertl.runs import storage

Gguf = Annotated[
    str | None,
    typer.Option(
        "--gguf",
        metavar="TYPE",
        help="Also one GGUF file for llama.cpp, loaded back and checked: f32, f16, bf16 or q8_0.",
    ),
]
Iteration = Annotated[
    str | None,
    typer.Option(
        "--iteration",
        metavar="N",
        help="Of a run: a number as in the report (1 is iter-00), best, or last; default: what the recipe selects, "
        "else last.",
    ),
]


@app.command()
def generate(
    instruction: Annotated[str | None, typer.Argument(help="What the module is to do; or use --file.")] = None,
    overrides: options.Overrides = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A text file with one instruction, or problems that `data import` understands."),
    ] = None,
    header: Annotated[str, typer.Option("--header", help="Module header that the code is to have.")] = "",
    strategy: options.StrategyOption = None,
    best_of: Annotated[
        int | None, typer.Option("--best-of", min=1, help="Samples, of which the scorer's best is taken; default: 1.")
    ] = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="What ranks them: icarus (default), syntax, or your module:function.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write JSON lines here, one for each problem.")] = None,
    model: options.ModelOption = None,
    base_url: options.BaseUrl = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Verilog for an instruction: the text as it is written on stderr, the code on stdout; status 1 where an answer
    holds none."""
    from itertl.loop import asked
    from itertl.runs import outputs

    if file is not None and (moved := as_override(instruction, overrides)):
        instruction, overrides = None, moved
    settings = asked.searching(recipe_of(recipe, overrides or [], model, base_url), strategy, best_of, scorer)
    with outputs.writing("generate", files=[out] if out else [], inputs=[file], force=force):
        found = _generate(settings, instruction, file, header, out=out, quiet=as_json)
    if as_json:
        print_json({"results": found})
    elif out is None:
        options.print_text("\n".join(row["code"] for row in found if row["code"]))
    if not all(row["code"] for row in found):
        raise typer.Exit(1)


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="Run folder, checkpoint folder, or folder with a peft adapter.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write: weights, tokenizer, model card.")],
    gguf: Gguf = None,
    iteration: Iteration = None,
    push: Annotated[
        str | None, typer.Option("--push", metavar="NAME", help="Upload to this repository of the Hugging Face hub.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="With --push: a private repository.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a folder that no export wrote, or that was altered.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """A trained model for others to use: checkpoint, model card, GGUF file, hub repository."""
    from itertl.export.bundle import export as export_model
    from itertl.runs import outputs

    outputs.check_place(out)
    done = export_model(source, out, iteration=iteration, kind=gguf, push_to=push, private=private, force=force)
    print_json(done.to_json()) if as_json else print(done.render())


@model_app.command("extend")
def model_extend(
    model: Annotated[str, typer.Argument(help="Alias, save_pretrained folder, .gguf file or hub name.")],
    corpus: Annotated[
        list[str],
        typer.Option(
            "--corpus",
            metavar="FILES",
            help="Verilog to learn on: rows with `text`, pairs, Verilog files, folders; may be given again.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write: an ordinary checkpoint.")],
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILES]...", help="More of --corpus.")] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", min=1, max=65536, help="So many new tokens at most; default: 2048.")
    ] = None,
    gain: Annotated[
        float | None,
        typer.Option("--gain", min=0.1, max=95, metavar="PERCENT", help="As few as save this share of the tokens."),
    ] = None,
    min_count: Annotated[
        int, typer.Option("--min-count", min=2, help="How often a new token must occur in the corpus.")
    ] = 10,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Tokens of the domain: learnt on Verilog text, added to a model, each begun as the mean of its old tokens."""
    from itertl.loop.extend import Wanted, extend_model
    from itertl.runs import outputs

    sources = [*corpus, *(files or [])]
    inputs = [Path(model), *map(Path, sources)]
    with outputs.writing("model extend", folders=[out], inputs=inputs, force=force):
        done = extend_model(model, sources, out, Wanted(tokens, gain, min_count), Reporter(quiet=as_json))
    print_json(done.to_json()) if as_json else options.print_text(done.render())


@app.command()
def doctor(as_json: options.Json = False) -> None:
    """What is installed, which versions, what works, how to get what is missing."""
    from itertl.doctor import doctor as checks

    found = checks.examine()
    if as_json:
        print_json(checks.to_json(found))
    else:
        show(checks.render(found))
    if any(c.status in ("missing", "broken") for c in found):
        raise typer.Exit(1)


def _generate(
    recipe: Recipe, instruction: str | None, file: Path | None, header: str, *, out: Path | None, quiet: bool
) -> list[dict[str, Any]]:
    """Draw, rank and write; says on stderr what is written, how it scores, and where there is no code."""
    from itertl.loop import asked
    from itertl.search.generate import problems_of

    def stream(text: str) -> None:
        print(printable(text), end="", file=sys.stderr, flush=True)

    problems = problems_of(instruction, file, header, recipe)
    ranked = asked.generate(recipe, problems, out=out, warn=warn, show=None if quiet else stream)
    rows = [item.to_json() for item in ranked]
    if out is not None:
        storage.write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for row in rows if not quiet else []:
        of = f", best of {len(row['scores'])}" if len(row["scores"]) > 1 else ""
        detail = f": {row['detail'].splitlines()[0]}" if row["detail"] else ""
        print(f"\n{row['scorer']}: {row['verdict']}{detail} ({row['finish_reason']}{of})", file=sys.stderr)
    without = [(row, problem) for row, problem in zip(rows, problems, strict=True) if not row["code"]]
    if without:
        which = "the answer holds" if len(rows) == 1 else f"{len(without)} of {len(rows)} answers hold"
        is_cut = all(row["finish_reason"] == "length" for row, _ in without)
        fix = "raise sample.max_new_tokens" if is_cut else "draw more by --best-of"
        if not any(problem.header.strip() for _, problem in without):
            fix += ", give the module's header by --header"
        warn(
            f"no code: {which} no Verilog module; {fix}, or check that the model is asked as it was trained (prompt.*)"
        )
    return rows
