"""``itertl audit``: what a model has kept of the texts that it was trained on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from itertl.cli import options
from itertl.cli.app import audit_app
from itertl.cli.options import print_json, recipe_of, show, warn
from itertl.progress import Reporter


@audit_app.command("memorised")
def audit_memorised(
    checkpoint: Annotated[
        str, typer.Argument(help="Alias, folder, .gguf file, hub name, or openai:NAME for what an endpoint serves.")
    ],
    overrides: options.Overrides = None,
    against: Annotated[Path, typer.Option("--against", help="A corpus that `data corpus` made.")] = Path(
        "corpus.jsonl"
    ),
    out: options.Out = Path("memorised.jsonl"),
    beginning: Annotated[
        int, typer.Option("--beginning", min=8, help="Tokens of Verilog of a file that the model goes on from.")
    ] = 64,
    passage: Annotated[int, typer.Option("--passage", min=10, help="Tokens from which a run is a passage.")] = 50,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Files of each licence that are asked for.")] = 100,
    instructions: Annotated[
        bool, typer.Option("--instructions/--no-instructions", help="Ask by what the files' comments say too.")
    ] = True,
    base_url: options.BaseUrl = None,
    recipe: options.RecipeOption = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """How often a model writes long passages of a corpus' files, by licence; goes on where a call stopped."""
    from itertl.evaluation.memorised import Question, drawn_files, memorised
    from itertl.model.policy import sampled_policy
    from itertl.model.prompt_form import with_form
    from itertl.runs import outputs
    from itertl.sampling.lengths import settled

    options.refuse_group("audit memorised")
    settings = settled(with_form(recipe_of(recipe, overrides or [], checkpoint, base_url), warn), lambda: ())
    question = Question(beginning, passage, limit, instructions)
    files = [out, *drawn_files(out).values()]
    with outputs.writing("audit memorised", files=files, inputs=[against, Path(checkpoint)], force=force):
        found = memorised(
            settings, sampled_policy(settings), against, out, question=question, reporter=Reporter(quiet=as_json)
        )
    print_json(found) if as_json else _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    from itertl.runs.wording import interval

    title = f"answers with a passage of {found['passage']} tokens and more of {found['corpus']} (95% interval)"
    table = Table(
        "licence", "asked by", "files", "as written", "protected", "renamed", "longest", title=title, pad_edge=False
    )
    for column in table.columns:  # nothing is cut where the terminal is narrow
        column.overflow = "fold"
    for row in found["table"]:
        exact, renamed = row["exact"], row["renamed"]
        shown = [f"{one['answers']}\n{interval(one['low'], one['high'])}%" for one in (exact, renamed)]
        cells = [row["licence"], row["asked"], row["prompts"], shown[0], exact["protected"], shown[1]]
        table.add_row(*map(str, cells), str(max(exact["longest"], renamed["longest"])))
    show(table)
    short = f"; {found['too_short']} texts are too short to be asked for" if found["too_short"] else ""
    print("protected: as written, and in no file under a permissive licence")
    print(f"each answer with what it holds in {found['out']}{short}")
