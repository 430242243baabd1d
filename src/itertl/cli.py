"""The command line. Each command parses, calls one function of the package, and prints; imports are made when needed.

Exit status: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted. ``--json`` prints one object on stdout.
"""

import contextlib
import dataclasses
import json
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from itertl import __version__
from itertl.config import Recipe, build_recipe, load_recipe
from itertl.errors import Interrupted, ItertlError, UsageError
from itertl.loop.study.cli import study
from itertl.progress import Reporter, interrupt, is_interrupted

app = typer.Typer(
    name="itertl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Iterative fine-tuning of language models for RTL code.",
)
data_app = typer.Typer(no_args_is_help=True, help="Instruction/reference pairs: import, look at, generate, audit.")
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Override keys of the recipe, for example train.learning_rate=1e-4."),
]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", help="Recipe to take settings from; default: every default.")
]
Out = Annotated[Path, typer.Option("--out", help="Where to write.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Alias, folder, .gguf file, hub name, or openai:NAME for what an endpoint serves."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url", metavar="URL", help="With --model openai:NAME: the endpoint, up to /v1; default: OpenAI's own."
    ),
]
Benchmark = Annotated[str, typer.Option("--benchmark", help="Benchmark's name, see docs/evaluation.md.")]
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
Workers = Annotated[int, typer.Option("--workers", min=0, help="Worker processes; 0: one for each core.")]


def main() -> None:
    """Entry point of the ``itertl`` command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # of a job in the background
            signal.signal(number, interrupt)
    _quiet_libraries()
    try:
        status = app(standalone_mode=False)  # gives back the status of a typer.Exit instead of raising it
        sys.stdout.flush()  # a full disk is told here, not by the interpreter when it ends
        if status == Interrupted.exit_status:  # which is how the library tells of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (Exception, KeyboardInterrupt) as error:
        _end(KeyboardInterrupt() if is_interrupted() else error)


def _end(error: BaseException) -> None:
    """Tell what ended the command, in one line, and end with its status; a fault of ours is raised."""
    usage: Callable[[], str] | None = getattr(
        error, "format_message", None
    )  # a usage error of the command-line library
    if isinstance(error, ItertlError):
        _fail(str(error), error.exit_status)
    elif isinstance(error, KeyboardInterrupt):
        _fail("interrupted; the same command goes on where it stopped", Interrupted.exit_status)
    elif isinstance(error, typer.Abort):
        _fail("aborted", 1)
    elif isinstance(error, BrokenPipeError):
        _close_stdout()
        sys.exit(1)
    elif isinstance(error, OSError):  # ordinary trouble with a path; ours are WriteFailed and DataError
        _fail(
            f"{error.filename or 'standard output'}: {error.strerror or error}; check the path, its permissions and the space left",
            1,
        )
    elif usage is not None and usage():
        _fail(usage().replace("\n", " "), 2)
    elif usage is not None:  # no command: its help is on the screen
        sys.exit(2)
    raise error


def _quiet_libraries() -> None:
    """A terminal shows our lines, not the remarks of libraries, also from processes that are started later. What the user sets stays."""
    for name, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    if not sys.warnoptions:
        for library in (
            "transformers",
            "torch",
            "peft",
            "accelerate",
            "huggingface_hub",
            "gguf",
            "safetensors",
            "datasets",
            "deepspeed",
        ):
            warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


def _fail(message: str, status: int) -> None:
    with contextlib.suppress(OSError):
        print(f"itertl: {message}", file=sys.stderr)
    try:
        if "--json" in sys.argv:
            print(json.dumps({"error": message, "exit_status": status}, ensure_ascii=False))
        sys.stdout.flush()
    except OSError:
        _close_stdout()
    sys.exit(status)


def _close_stdout() -> None:
    """The reader is gone, or its disk is full; nothing may write to it at exit."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123


def _show(table: Any) -> None:
    """A rich table on stdout."""
    from rich.console import Console

    Console().print(table)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _require_sandbox(level: str | None) -> None:
    """Raise ToolMissing where this machine cannot reach ``level``, UsageError where there is no such level."""
    if level is None:
        return
    from itertl.sandbox import sandbox

    if level not in sandbox.LEVELS:
        raise UsageError(f"--require-sandbox {level!r}: give one of {', '.join(sandbox.LEVELS)}")
    sandbox.require(level)


def _recipe(path: Path | None, overrides: list[str], model: str | None, base_url: str | None = None) -> Recipe:
    """The recipe with what the options say of the model; ``openai:NAME`` is asked at its endpoint."""
    from itertl.model.models import API

    given = list(overrides)
    if model is not None:
        given.append(f"model.path={json.dumps(model)}")
    if model is not None and model.startswith(API):
        given = ["sample.backend=openai", f"sample.options.served_model={json.dumps(model.removeprefix(API))}", *given]
    if base_url is not None:
        given.append(f"sample.options.base_url={json.dumps(base_url)}")
    recipe = build_recipe({}, given) if path is None else load_recipe(path, given)
    if base_url is not None and recipe.sample.backend != "openai":
        raise UsageError("--base-url goes with --model openai:NAME")
    return recipe


_OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")


def _as_override(first: object, overrides: list[str] | None) -> list[str] | None:
    """All overrides where an option takes the first argument's part and KEY=VALUE stands there; None where it does not."""
    return [str(first), *(overrides or [])] if first is not None and _OVERRIDE.match(str(first)) else None


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"itertl {__version__}")
        raise typer.Exit


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
    from itertl.loop.commands import warn
    from itertl.model.prompt_form import with_form

    resolved = with_form(
        load_recipe(recipe, [*(overrides or []), *(["score.keep_going=true"] if keep_going else [])]), warn
    )
    folder = out or Path("runs") / resolved.name
    if plan:
        from itertl.loop.plan import make_plan

        found = make_plan(resolved, folder, measured=measured)
        _print_json(found.to_json()) if as_json else print(found.render())
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
    _require_sandbox(require_sandbox)
    result = loop.run(
        resolved, folder, reporter=Reporter(quiet=as_json), resume_changed=resume_changed, share_from=share_from
    )
    if as_json:
        _print_json(
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


app.command()(study)


@app.command()
def sample(
    problems: Annotated[str, typer.Argument(help="Problems: a file that `data import` understands, or synth.")],
    overrides: Overrides = None,
    out: Out = Path("candidates.jsonl"),
    model: ModelOption = None,
    base_url: BaseUrl = None,
    recipe: RecipeOption = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Sample candidates for each problem; goes on where an interrupted call stopped."""
    from itertl.loop import commands
    from itertl.runs import outputs

    settings = _recipe(recipe, overrides or [], model, base_url)
    beside = commands.problems_beside(out)
    files = [out] if beside is None else [out, beside]
    with outputs.writing("sample", files=files, inputs=[Path(problems), Path(settings.model.path)], force=force):
        result = commands.sample(settings, problems, out, beside, reporter=Reporter(quiet=as_json))
    _print_json(result) if as_json else print(
        f"{result['candidates']} candidates of {result['problems']} problems in {out}"
    )


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="Candidates of a run, RTLCoder records, or reference/completion lines.")],
    scorer: Annotated[str, typer.Option("--scorer", help="Scorers by name, separated by commas.")] = "rtlcoder",
    out: Out = Path("scored.jsonl"),
    problems: Annotated[
        Path | None, typer.Option("--problems", help="problems.jsonl of candidates; default: beside their run.")
    ] = None,
    workers: Workers = 0,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds for each candidate and scorer.")
    ] = 30.0,
    vcd: Annotated[
        Path | None, typer.Option("--vcd", help="Folder for waveforms of what the scorer vectors finds wrong.")
    ] = None,
    keep_going: KeepGoing = False,
    recheck: Annotated[
        bool,
        typer.Option("--recheck", help="Check what the scorer equivalence proves by other seeds and by Yosys's sat."),
    ] = False,
    require_sandbox: RequireSandbox = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Score stored texts, whoever wrote them."""
    from itertl.model import models
    from itertl.runs import outputs
    from itertl.scoring.files import score_file

    names = tuple(name.strip() for name in scorer.split(",") if name.strip())
    if not names:
        raise UsageError("--scorer needs at least one name")
    _require_sandbox(require_sandbox)
    reporter = Reporter(quiet=as_json)
    guard = outputs.writing("score", files=[out], folders=[vcd] if vcd else [], inputs=[file, problems], force=force)
    with guard, reporter.stage("score", 0) as tracker:
        summary = score_file(
            file, names, out, problems=problems, num_workers=workers, timeout_s=timeout_s, cache=models.cache_folder(), vcd=vcd,
            second_opinion=recheck, keep_going=keep_going, tracker=tracker,
        )  # fmt: skip
    _print_json(summary) if as_json else print(json.dumps(summary, indent=1, ensure_ascii=False))


@app.command()
def train(
    scored: Annotated[Path, typer.Argument(help="scored.jsonl of a run or of `itertl score` on candidates.")],
    problems: Annotated[Path, typer.Option("--problems", help="The problems.jsonl that the candidates belong to.")],
    overrides: Overrides = None,
    out: Out = Path("checkpoint"),
    model: ModelOption = None,
    recipe: RecipeOption = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """One round of training on scored candidates; goes on where an interrupted call stopped."""
    from itertl.loop import commands
    from itertl.runs import outputs

    settings = _recipe(recipe, overrides or [], model)
    read = [scored, problems, Path(settings.model.path)]
    with outputs.writing("train", folders=[out], files=[commands.train_log(out)], inputs=read, force=force):
        result = commands.train(settings, scored, problems, out, reporter=Reporter(quiet=as_json))
    _print_json(result) if as_json else print(
        f"checkpoint in {out} after {result['steps']} steps, loss {result['loss']}"
    )


@app.command("eval")
def evaluate(
    samples: Annotated[
        Path | None, typer.Argument(help="Stored completions, one {task_id, completion[, full_module]} a line.")
    ] = None,
    overrides: Overrides = None,
    benchmark: Benchmark = "synth-heldout",
    data: Data = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for results.jsonl.")] = None,
    model: ModelOption = None,
    base_url: BaseUrl = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare", metavar="A B", help="Compare two result files (or folders that hold one), problem by problem."
        ),
    ] = None,
    self_test: Annotated[
        str | None,
        typer.Option(
            "--self-test", metavar="BENCH", help="Check a benchmark on this machine: references pass, broken ones fail."
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            "--rule",
            help="Verdict rule: default (the benchmark's own), strict, upstream to compare with published numbers, or your module:function.",
        ),
    ] = "default",
    temperature: Annotated[
        list[float] | None,
        typer.Option(
            "--temperature", help="With --model, and to choose rows with --compare; may be given several times."
        ),
    ] = None,
    num_samples: Annotated[
        int | None,
        typer.Option("--num-samples", min=1, help="With --model: samples a problem where T > 0; default: 1."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="With --model or --self-test: the first so many problems.")
    ] = None,
    shots: Annotated[
        int,
        typer.Option("--shots", min=0, help="In-context examples before each question, for benchmarks that have them."),
    ] = 0,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens", min=1, help="With --model; default: 512, or what sample.max_new_tokens=N says."
        ),
    ] = None,
    recipe: RecipeOption = None,
    workers: Workers = 0,
    require_sandbox: RequireSandbox = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Judge stored completions, or sample a model and judge it; compare two results; test a benchmark."""
    from itertl.evaluation import terminal
    from itertl.loop import commands
    from itertl.runs import outputs

    if model is not None and (moved := _as_override(samples, overrides)):
        samples, overrides = None, moved
    if sum(given is not None for given in (samples, model, compare, self_test)) != 1:
        raise UsageError("give one of SAMPLES.jsonl, --model PATH, --compare A B, --self-test BENCH")
    if model is None and (overrides or base_url):
        raise UsageError(
            f"{(overrides or ['--base-url'])[0]}: overrides and --base-url go with --model; nothing is sampled here"
        )
    if compare is not None:
        found = commands.eval_compare(*compare, temperatures=temperature)
        _print_json(found.to_json()) if as_json else _show(terminal.show_comparison(found))
        return
    _require_sandbox(require_sandbox)
    reporter = Reporter(quiet=as_json)
    if self_test is not None:
        tested, asked = commands.eval_self_test(
            self_test, data=data, rule=rule, limit=limit, shots=shots, num_workers=workers, reporter=reporter
        )
        _print_json({**tested.to_json(), "fingerprint": dataclasses.asdict(asked)}) if as_json else _show(
            terminal.show_self_test(tested, asked)
        )
        if tested.broken:
            raise typer.Exit(1)
        return
    if samples is not None:
        from itertl.evaluation.files import RESULTS, eval_file
        from itertl.model.models import cache_folder

        guard = outputs.writing("eval", files=[out / RESULTS] if out else [], inputs=[samples, data], force=force)
        with guard, reporter.stage("judge", 0) as tracker:
            result = eval_file(
                samples, benchmark, data=data, out=out, rule=rule, num_workers=workers, cache=cache_folder(),
                shots=shots, tracker=tracker,
            )  # fmt: skip
    else:
        settings = _recipe(recipe, overrides or [], model, base_url)
        by_hand = {override.partition("=")[0] for override in overrides or []}  # a recipe's own are for training
        result = commands.eval_model(
            settings, benchmark, data=data, out=out or Path("eval"), rule=rule, limit=limit, shots=shots, reporter=reporter, force=force,
            temperatures=temperature or ([settings.sample.temperature] if "sample.temperature" in by_hand else [0.0]),
            num_samples=num_samples or (settings.sample.num_candidates if "sample.num_candidates" in by_hand else 1),
            max_new_tokens=max_new_tokens or ("sample.max_new_tokens" in by_hand and settings.sample.max_new_tokens) or 512,
        )  # fmt: skip
    if as_json:
        _print_json(result)
        return
    for note in result.get("notes", []):
        commands.warn(note)
    _show(terminal.show_account(result))
    if where := result.get("results") or result.get("out"):
        print(f"results  {where}")


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
        _print_json({"page": str(paths.page), "figures": [str(p) for p in paths.figures]})
    else:
        from itertl.report.tables import run_tables
        from itertl.runs.read import read_runs

        for table in run_tables({run.name: run.metrics for run in read_runs(runs)}):
            _show(table)
        print(f"page     {paths.page}")
        print("".join(f"figure   {p}\n" for p in paths.figures), end="")


@app.command()
def generate(
    instruction: Annotated[str | None, typer.Argument(help="What the module is to do; or use --file.")] = None,
    overrides: Overrides = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A text file with one instruction, or problems that `data import` understands."),
    ] = None,
    header: Annotated[str, typer.Option("--header", help="Module header that the code is to have.")] = "",
    best_of: Annotated[int, typer.Option("--best-of", min=1, help="Samples, of which the scorer's best is taken.")] = 1,
    scorer: Annotated[
        str, typer.Option("--scorer", help="What ranks them: icarus, syntax, or your module:function.")
    ] = "icarus",
    out: Annotated[Path | None, typer.Option("--out", help="Write JSON lines here, one for each problem.")] = None,
    model: ModelOption = None,
    base_url: BaseUrl = None,
    recipe: RecipeOption = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Verilog for an instruction: the text as it is written on stderr, the code on stdout; status 1 where an answer holds none."""
    from itertl.loop import commands
    from itertl.runs import outputs

    if file is not None and (moved := _as_override(instruction, overrides)):
        instruction, overrides = None, moved
    settings = _recipe(recipe, overrides or [], model, base_url)
    with outputs.writing("generate", files=[out] if out else [], inputs=[file], force=force):
        found = commands.generate(
            settings, instruction, file, header, best_of=best_of, scorer=scorer, out=out, quiet=as_json
        )
    if as_json:
        _print_json({"results": found})
    elif out is None:
        code = "\n".join(row["code"] for row in found if row["code"])
        print(commands.printable(code) if sys.stdout.isatty() else code)
    if not all(row["code"] for row in found):
        raise typer.Exit(1)


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="Run folder, checkpoint folder, or folder with a peft adapter.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write: weights, tokenizer, model card.")],
    gguf: Annotated[
        str | None,
        typer.Option(
            "--gguf",
            metavar="TYPE",
            help="Also one GGUF file for llama.cpp, loaded back and checked: f32, f16, bf16 or q8_0.",
        ),
    ] = None,
    iteration: Annotated[
        str | None,
        typer.Option(
            "--iteration",
            metavar="N",
            help="Of a run: a number as in the report (1 is iter-00), best, or last; default: what the recipe selects, else last.",
        ),
    ] = None,
    push: Annotated[
        str | None, typer.Option("--push", metavar="NAME", help="Upload to this repository of the Hugging Face hub.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="With --push: a private repository.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a folder that no export wrote, or that was altered.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A trained model for others to use: checkpoint, model card, GGUF file, hub repository."""
    from itertl.export.bundle import export as export_model
    from itertl.runs import outputs

    outputs.check_place(out)
    done = export_model(source, out, iteration=iteration, kind=gguf, push_to=push, private=private, force=force)
    _print_json(done.to_json()) if as_json else print(done.render())


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is installed, which versions, what works, how to get what is missing."""
    from itertl.doctor import doctor as checks

    found = checks.examine()
    if as_json:
        _print_json(checks.to_json(found))
    else:
        _show(checks.render(found))
    if any(c.status in ("missing", "broken") for c in found):
        raise typer.Exit(1)


@data_app.command("import")
def data_import(
    source: Annotated[str, typer.Argument(help="File, folder, or hf:NAME[:split].")],
    out: Out = Path("problems.jsonl"),
    format: Annotated[str, typer.Option("--format", help="Importer's name; auto looks at the file.")] = "auto",
    column: Annotated[
        list[str] | None, typer.Option("--column", help="OURS=THEIRS, for example instruction=prompt.")
    ] = None,
    filter: Annotated[list[str] | None, typer.Option("--filter", help="COLUMN=VALUE: keep rows that have it.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="A fixed random subset of this size.")] = None,
    header: Annotated[
        str, typer.Option("--header", help="keep, or derive: take the module header from the reference.")
    ] = "keep",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Turn other formats into problems.jsonl."""
    from itertl.loop import commands
    from itertl.runs import outputs

    with outputs.writing("data import", files=[out], inputs=[Path(source)], force=force):
        result = commands.data_import(
            source, out, format=format, columns=_pairs(column, "--column"), filter=_pairs(filter, "--filter"), limit=limit,
            header=header, seed=seed,
        )  # fmt: skip
    _print_json(result) if as_json else print(json.dumps(result, indent=1, ensure_ascii=False))


@data_app.command("show")
def data_show(
    source: Annotated[str, typer.Argument(help="File, folder, hf:NAME[:split] or synth, as `data import` takes it.")],
    overrides: Overrides = None,
    model: ModelOption = None,
    recipe: RecipeOption = None,
    count: Annotated[
        int, typer.Option("--count", min=0, help="So many of the first pairs as the model sees them.")
    ] = 2,
    as_json: Json = False,
) -> None:
    """Counts, lengths in the model's tokens, what would be left out and why, and the first prompts with the trained part marked."""
    from itertl.loop import commands, show
    from itertl.model.prompt_form import with_form

    settings = with_form(
        _recipe(recipe, [*(overrides or []), f"data.source={json.dumps(source)}"], model), commands.warn
    )
    shown = show.show(settings, count)
    _print_json(shown.to_json()) if as_json else print(
        shown.render() if not sys.stdout.isatty() else commands.printable(shown.render())
    )


@data_app.command("synth")
def data_synth(
    count: Annotated[int, typer.Argument(min=1, help="How many problems.")] = 1000,
    out: Out = Path("problems.jsonl"),
    seed: Annotated[int, typer.Option("--seed")] = 0,
    family: Annotated[list[str] | None, typer.Option("--family", help="Only these families.")] = None,
    split: Annotated[
        str, typer.Option("--split", help="train, heldout, heldout-family or heldout-parameter.")
    ] = "train",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Generate problems with instruction, header, reference and self-checking testbench."""
    from itertl.loop import commands
    from itertl.runs import outputs

    with outputs.writing("data synth", files=[out], force=force):
        result = commands.data_synth(count, out, seed=seed, families=family or [], split=split)
    _print_json(result) if as_json else print(
        f"{result['problems']} problems of {result['families']} families in {out}"
    )


@data_app.command("audit")
def data_audit(
    source: Annotated[str, typer.Argument(help="Problems: a file that `data import` understands.")],
    benchmark: Annotated[
        list[str] | None, typer.Option("--benchmark", help="Look for contamination against these.")
    ] = None,
    data: Data = None,
    format: Annotated[str, typer.Option("--format")] = "auto",
    filter: Annotated[list[str] | None, typer.Option("--filter", help="COLUMN=VALUE: keep rows that have it.")] = None,
    tools: Annotated[bool, typer.Option("--tools/--no-tools", help="Parse and elaborate every reference.")] = True,
    function: Annotated[
        bool,
        typer.Option("--function", help="Also synthesize and simulate every reference, and score it against itself."),
    ] = False,
    sound: Annotated[
        Path | None,
        typer.Option("--keep-sound", metavar="OUT", help="Write the problems that no finding speaks against here."),
    ] = None,
    workers: Workers = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Duplicates, near-duplicates, contamination, references that do not parse or elaborate; with --function, unsound ones."""
    from itertl.loop import commands
    from itertl.runs import outputs

    with outputs.writing("data audit", files=[sound] if sound else [], inputs=[Path(source), data], force=force):
        found, result, by_function = commands.data_audit(
            source, benchmark or [], data, format=format, filter=_pairs(filter, "--filter"), check_tools=tools, function=function,
            num_workers=workers, reporter=Reporter(quiet=as_json),
        )  # fmt: skip
        kept = None if sound is None else commands.keep_sound(sound, result.problems, found, by_function)
    loaded: dict[str, Any] = {
        "format": result.format,
        "skipped": result.skipped,
        "notes": result.notes,
        "dropped": result.dropped,
    }
    if as_json:
        extra = {
            **({"function": by_function.to_json()} if by_function else {}),
            **({} if kept is None else {"kept": kept}),
        }
        _print_json({**found.to_json(), "loaded": loaded, **extra})
    else:
        _show(found.render())
        if by_function is not None:
            _show(by_function.render())
        print(
            "".join(
                f"{count} rows: {reason}\n" for part in ("skipped", "notes") for reason, count in loaded[part].items()
            ),
            end="",
        )
        print("".join(f"{line}\n" for line in result.dropped), end="")
        print(f"{kept} problems kept in {sound}\n" if kept is not None else "", end="")


def _pairs(items: list[str] | None, option: str) -> dict[str, Any]:
    from itertl.config import parse_yaml

    pairs: dict[str, Any] = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {item!r}: give NAME=VALUE")
        pairs[key] = value if option == "--column" else parse_yaml(value, f"{option} {key}")
    return pairs
