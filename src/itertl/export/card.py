"""The model card of an export: what the weights were trained from, what was measured, what is not known.

The front matter is that of the Hugging Face hub (hub-docs, modelcard.md). Every figure is read from the run folder;
what the run does not say is said to be unknown. Names of files and folders are cut to their last part, so that no
path of the machine that trained the model gets out.
"""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from itertl.config import PromptConfig
from itertl.errors import DataError
from itertl.export.example import COMMAND, run_example
from itertl.export.source import ModelOrigin, Source, base_of, read_json
from itertl.model.prompt_form import FORM_FILE, read_form
from itertl.records import EvalSummary, IterationMetrics, Problem
from itertl.report.provenance import stage_versions
from itertl.report.series import full_name, pass_1, series_of
from itertl.runs import storage
from itertl.runs import wording as text
from itertl.runs.folder import package_versions
from itertl.runs.read import Run

AUDIT_FILE = "audit.json"  # `itertl data audit … --json > RUN/audit.json`
_SMALL = 200  # problems below which an interval of pass@1 is wider than most differences between models
_ABSOLUTE = re.compile(r"(?<![\w.:/~])(?:~|[A-Za-z]:)?[/\\][\w.+@-]+(?:[/\\][\w.+@-]+)+")
_WEIGHTS = (".safetensors", ".gguf")


def write_card(
    path: Path, source: Source, *, name: str, licence: str | None, hashes: Mapping[str, str],
    gguf: Mapping[str, Any] | None,
) -> None:  # fmt: skip
    """Write README.md into the finished folder, whose model runs the card's example.

    ``hashes``: SHA-256 of every exported file; ``gguf``: the GGUF file's entry in ``export.json``. Raises DataError for
    a run that cannot be read.
    """
    base = base_of(source)
    parts = [
        _front_matter(source, base, licence),
        f"# {text.one_line(name)}\n\n{_opening(source, base)}",
        f"## How it was trained\n\n{_training(source, base)}",
        f"## What was measured\n\n{_figures(source)}",
        f"## Limits\n\n{_bullets(_limits(source))}",
        f"## How to use it\n\n{_usage(path.parent, name, gguf)}",
        f"## Files\n\n{_files(hashes)}",
        *([f"## The GGUF file\n\n{_check(gguf)}"] if gguf else []),
    ]
    storage.write_text(path, "\n\n".join(parts) + "\n")


def shown(value: Any) -> Any:
    """A value without paths of this machine: strings that are or hold an absolute path keep its last part."""
    if isinstance(value, str):
        if value.startswith(("/", "~/")) and "\n" not in value:
            return Path(text.printable(value)).name
        return _ABSOLUTE.sub(lambda m: re.split(r"[/\\]", m.group())[-1], text.printable(value))
    if isinstance(value, Mapping):
        return {k: shown(v) for k, v in value.items()}
    return [shown(v) for v in value] if isinstance(value, list | tuple) else value


def _cell(value: Any) -> str:
    return text.one_line(str(shown(value))).replace("|", "\\|").replace("<", "&lt;")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _front_matter(source: Source, base: ModelOrigin | None, licence: str | None) -> str:
    tree: dict[str, Any] = {"license": licence} if licence else {}
    if base and base.hub:
        tree["base_model"] = base.hub
    method = [str(_cell(source.run.recipe.method))] if source.run else []
    tree |= {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": list(dict.fromkeys(["verilog", "rtl", "itertl", *method])),
    }
    missing = "" if licence else "# license: not known here; fill in that of the base model\n"
    return f"---\n{missing}{yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)}---"


def _opening(source: Source, base: ModelOrigin | None) -> str:
    began = f"`{_cell(base.name)}`" if base else "a base model that is not recorded"
    if source.run is None:
        what = "A peft adapter merged into" if source.is_adapter else "A checkpoint of"
        return f"{what} {began}. Exported without its run: how it was trained and how good it is are not known here."
    number = source.iteration or 0
    of = f"{number} of {_count(source.run.recipe.iterations, 'iteration')}"
    by = {"best": "the benchmarks below", "selected": _cell(source.run.recipe.select.benchmark or "")}.get(
        source.choice or ""
    )
    chosen = f" It was chosen among the iterations by its pass@1 on {by}, so that figure is flattering." if by else ""
    return f"Writes RTL (Verilog). Fine-tuned from {began} with itertl, {of}.{chosen}"


def _training(source: Source, base: ModelOrigin | None) -> str:
    began = f"base model: {_cell(base.name) if base else 'unknown'}"
    if source.run is None:
        return _bullets((began, "method, data, seeds: unknown", f"exported with {_versions(package_versions())}"))
    run, recipe = source.run, source.run.recipe
    lines = [
        began,
        f"method: `{_cell(recipe.method)}`, {_count(source.iteration, 'iteration')} of "
        f"{_count(recipe.train.epochs, 'epoch')}, {recipe.sample.num_candidates} candidates a problem",
        f"problems: {_problems(run)}",
        f"seed: {recipe.seed} (every stage's is derived from it)",
        f"made with {_versions({package: ' and '.join(found) for package, found in stage_versions(run).items()})}",
    ]
    tree = yaml.safe_dump(shown(recipe.model_dump(mode="json")), sort_keys=False, allow_unicode=True)
    folded = f"<details><summary>Recipe, every default spelled out</summary>\n\n```yaml\n{tree}```\n\n</details>"
    return f"{_bullets(lines)}\n\n{folded}"


def _problems(run: Run) -> str:
    file = run.folder / "problems.jsonl"
    if not file.is_file():
        return "not recorded"
    problems = storage.read_records(file, Problem)
    sources = Counter(
        _cell(p.source.partition(":")[0] if p.source.startswith("synth:") else p.source) for p in problems
    )
    licences = Counter(_cell(p.licence) for p in problems)
    named = ", ".join(f"{source} ({count})" for source, count in sources.most_common(12))
    more = f" and {len(sources) - 12} more sources" if len(sources) > 12 else ""
    return f"{len(problems)}, from {named}{more}; licences: {', '.join(licences)}"


def _versions(found: Mapping[str, str]) -> str:
    named = ", ".join(f"{_cell(package)} {_cell(version)}" for package, version in found.items())
    return named or "versions that are not recorded"


def _rows(source: Source) -> tuple[IterationMetrics | None, IterationMetrics | None]:
    """The figures of the untouched model and of the exported one; None where there are none."""
    by_number = {m.iterations: m for m in source.run.metrics} if source.run else {}
    return by_number.get(0), by_number.get(source.iteration or 0)


def _count(number: int | None, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _figures(source: Source) -> str:
    before, after = _rows(source)
    if after is None or not after.evals:
        return "Unknown: no benchmark was judged, or the figures did not come with the checkpoint."
    earlier = {series_of(e): e for e in before.evals} if before else {}
    head = (
        "| benchmark | T | problems | pass@1 before | pass@1 after | compiles after | judge's rule | simulator |",
        "|---|---|---|---|---|---|---|---|",
    )
    rows = [_figure(earlier.get(series_of(e)), e) for e in after.evals]
    note = (
        "Before: the untouched base model. In brackets 95% intervals over the problems, in percent (Clopper and "
        "Pearson's where all problems or none pass or each has one sample, else by bootstrap); they do not cover the "
        "choice of the training seed. Completions that could not be judged enter no rate."
    )
    return "\n".join([*head, *rows]) + f"\n\n{note}"


def _figure(before: EvalSummary | None, after: EvalSummary) -> str:
    cells = (
        full_name(series_of(after)), "–" if after.temperature is None else f"{after.temperature:g}", after.problems,
        text.rate_with_interval(pass_1(before)), text.rate_with_interval(pass_1(after)),
        text.percent(after.compile_rate), after.rule, after.simulator,
    )  # fmt: skip
    return f"| {' | '.join(_cell(c) for c in cells)} |"


def _limits(source: Source) -> Iterator[str]:
    yield "What it writes must be simulated and reviewed before use: a design that compiles need not work."
    _, after = _rows(source)
    if source.run is None or after is None:
        yield "No evaluation came with these weights: do not take any quality for granted."
        return
    names = dict.fromkeys(e.benchmark for e in after.evals if e.problems < _SMALL)
    if names:
        yield f"Small benchmarks ({', '.join(map(_cell, names))}): differences within the intervals are noise."
    if "synth" in source.run.recipe.data.paths and any(e.benchmark.startswith("synth") for e in after.evals):
        yield "Held-out synthetic problems come from the generator of the training pairs: they flatter the model."
    unjudged = sum(e.unjudged for e in after.evals)
    if unjudged:
        yield f"{unjudged} of {sum(e.total for e in after.evals)} completions could not be judged, by the tools' fault."
    yield _contamination(source.run.folder / AUDIT_FILE)


def _contamination(audit: Path) -> str:
    if not audit.is_file():
        return "Contamination is unknown: no audit of the training pairs (`itertl data audit`) lies with the run."
    found = read_json(audit)
    summary = found.get("summary")
    if found.get("schema") != "itertl.audit/1" or not isinstance(summary, dict):
        raise DataError(f"{audit}: not an audit; write it with `itertl data audit PROBLEMS --benchmark NAME --json`")
    count, total, tasks = summary.get("contaminated", 0), found.get("problems", 0), found.get("benchmark_tasks", 0)
    if count is None or not tasks:
        return "Contamination is unknown: the audit that lies with the run compared the pairs with no benchmark."
    return (
        f"Contamination: {count} of {total} training pairs overlap one of the {tasks} benchmark problems "
        "that they were audited against."
    )


def _usage(folder: Path, name: str, gguf: Mapping[str, Any] | None) -> str:
    """The form of the prompts, and an example that was run on the folder as it is exported."""
    form = read_form(folder)
    found = run_example(folder, name, (form or PromptConfig()).model_copy(update={"examples": None}))
    lines = [_prompt(form), f"```python\n{found.program}\n```"]
    if found.printed is None:
        lines.append(f"It could not be run when the model was exported: {_cell(found.reason)}.")
    else:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", found.printed)), default=0))
        printed = f"{fence}verilog\n{found.printed.rstrip()}\n{fence}"
        lines.append(f"Run when the model was exported, it printed:\n\n{printed}")
    command = f"```sh\n{COMMAND} {shlex.quote(name)}\n```"
    lines.append(f"The same with itertl, which takes the form from `{FORM_FILE}`:\n\n{command}")
    if gguf:
        lines.append(f"```sh\nllama-cli -m {gguf['file']}\n```")
    return "\n\n".join(lines)


def _prompt(form: PromptConfig | None) -> str:
    if form is None:
        return "The prompt that it was trained with is not known here; the example takes the simplest."
    header = {
        "append": "then the module's header",
        "prefill": "with the module's header as start of the answer",
        "omit": "without a header",
    }
    system = f", system message `{_cell(form.system)}`" if form.system else ""
    opening = f", the answer begun with {_cell(json.dumps(form.opening))}" if form.opening else ""
    shown = f", up to {form.examples.number} solved pairs before the question" if form.examples else ""
    style = "the tokenizer's chat template" if form.style == "chat" else "plain text"
    return (
        f"Trained with prompts as {style}{system}: `{_cell(form.template)}`, {header[form.header]}{opening}{shown}. "
        "Asked in another form it may write no Verilog at all."
    )


def _files(hashes: Mapping[str, str]) -> str:
    rows = [f"| {_cell(file)} | `{digest}` |" for file, digest in hashes.items() if file.endswith(_WEIGHTS)]
    return "\n".join(["| weights | SHA-256 |", "|---|---|", *rows]) + "\n\n`export.json` holds those of all files."


def _check(gguf: Mapping[str, Any]) -> str:
    check = gguf["check"]
    return "\n".join([
        f"`{gguf['file']}`: type {gguf['type']}, {gguf['bytes']:,} bytes. Loaded back with "
        f"{' and '.join(check['readers'])} and compared with the checkpoint:",
        "",
        f"- {check['tensors']} tensors, largest difference of an element {check['largest_error']:.3g}"
        + (" (exact)" if check["largest_error"] == 0 else ", within the type's rounding"),
        f"- logits at {check['positions']} positions: largest difference {check['largest_logit_difference']:.3g}, "
        f"the same next token at {check['same_next_token']}, {check['mean_kl']:.2g} nats a position on average",
        *([f"- {check['texts']} texts: the same tokens"] if check["texts"] else []),
        *(f"- {note}" for note in check["notes"]),
    ])  # fmt: skip
