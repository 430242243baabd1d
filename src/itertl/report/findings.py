"""What a run's numbers say in plain words, and the few of them that a reader looks for first.

Every sentence is made of measured values; what was not measured gets no sentence, and a difference is called one only
where the paired bootstrap over problems says so.
"""

from collections.abc import Mapping
from typing import NamedTuple

from itertl.records import EvalRow, IterationMetrics
from itertl.report import series
from itertl.report.paired import PairedDifference, paired_difference, pass_rates
from itertl.report.series import Point, Series
from itertl.runs import storage
from itertl.runs import wording as text
from itertl.runs.read import Run, evaluation_file
from itertl.runs.selection import best


class Tile(NamedTuple):
    """One key number: what it is, its value, and what to read it against."""

    label: str
    value: str
    note: str


def eval_folder(iterations: int) -> str:
    """Folder that holds the evaluation after so many iterations: 0 -> "base", 1 -> "iter-00"."""
    return "base" if iterations == 0 else f"iter-{iterations - 1:02d}"


def ends(run: Run, key: Series) -> tuple[Point | None, Point | None]:
    """The untouched model's evaluation, and the last trained one's; None where there is none."""
    judged = series.points(run.metrics, key)
    before = judged[0] if judged and judged[0].iterations == 0 else None
    after = judged[-1] if judged and judged[-1].iterations > 0 else None
    return before, after


def differences(run: Run) -> dict[Series, PairedDifference]:
    """The paired difference, untouched to last, of each series whose verdicts lie in the run folder.

    Raises DataError where a file of verdicts cannot be read.
    """
    found: dict[Series, PairedDifference] = {}
    for key in series.all_series(run.metrics):
        before, after = ends(run, key)
        if before is None or after is None:
            continue
        folders = [run.folder / eval_folder(p.iterations) for p in (before, after)]
        files = [file for folder in folders if (file := evaluation_file(folder, "eval", key.benchmark))]
        rates = [pass_rates(storage.read_records(file, EvalRow), key.temperature) for file in files]
        difference = paired_difference(rates[0], rates[1]) if len(rates) == 2 else None
        if difference is not None:
            found[key] = difference
    return found


def sentences(run: Run, paired: Mapping[Series, PairedDifference]) -> list[str]:
    """The summary of one run, a sentence each."""
    said = [_opening(run)]
    names = series.labels(series.all_series(run.metrics))
    for key, name in names.items():
        said += _pass_rate_sentences(run, key, name, paired.get(key))
    said += _candidate_sentences([m for m in run.metrics if m.telemetry is not None])
    unjudged = sum(e.unjudged for m in run.metrics for e in m.evals)
    if unjudged:
        said.append(
            f"Over all evaluations {text.count(unjudged)} completions could not be judged, through no fault of the "
            f"model; they are left out of every rate."
        )
    gamed = [(m.iterations, number) for m in run.metrics if (number := sum(text.gamed(e) for e in m.evals))]
    if gamed:
        when = {0: "untouched"}
        where = ", ".join(f"{text.count(number)} {when.get(n, f'after iteration {n}')}" for n, number in gamed)
        said.append(
            f"Designs that use what a design has no business with were refused unrun and count as wrong: {where}; a "
            f"table below gives the rules."
        )
    unscored = sum(m.telemetry.unscored for m in run.metrics if m.telemetry is not None)
    if unscored:
        said.append(
            f"{text.count(unscored)} candidates got no score, through no fault of the model; training left them out."
        )
    return said


def _opening(run: Run) -> str:
    recipe = run.recipe
    pairs = f" on {text.count(run.num_problems)} instruction and reference pairs" if run.num_problems else ""
    planned = f"{recipe.iterations} iteration{'s' if recipe.iterations != 1 else ''}"
    if run.is_finished:
        count = planned if run.iterations_done >= recipe.iterations else f"{run.iterations_done} of at most {planned}"
        return (
            f"This run trained {recipe.model.path} for {count} of the method “{recipe.method}”{pairs}.{_selected(run)}"
        )
    state = f"{run.iterations_done} of {planned}" if run.metrics else f"none of {planned} yet"
    return (
        f"This run is unfinished: {state} of the method “{recipe.method}” from {recipe.model.path}{pairs}. The same "
        f"command goes on with it."
    )


def _selected(run: Run) -> str:
    """Which checkpoint the recipe's ``select`` makes the result."""
    select = run.recipe.select
    row = best(run.metrics, select.benchmark) if select.benchmark is not None else None
    if row is None:
        return ""
    ended = " It ended early: no new best came any more." if run.iterations_done < run.recipe.iterations else ""
    return (
        f"{ended} Its result is the checkpoint of iteration {row.iterations}, chosen by pass@1 on {select.benchmark}; "
        "on that benchmark its figure is flattering."
    )


def _pass_rate_sentences(run: Run, key: Series, name: str, difference: PairedDifference | None) -> list[str]:
    before, after = ends(run, key)
    first = series.pass_1(before.summary) if before else None
    last = series.pass_1(after.summary) if after else None
    if last is None or after is None:
        rate = text.rate_with_interval(first)
        return [f"On {name} the untouched model passes {rate} of the problems."] if first else []
    reached = f"{text.rate_with_interval(last)} after iteration {after.iterations}"
    if first is None:
        return [f"On {name}, pass@1 is {reached}; the untouched model was not judged."]
    said = f"On {name}, pass@1 went from {text.rate_with_interval(first)} untouched to {reached}."
    noise = _noise(first.value or 0.0, last.value or 0.0, difference)
    return [f"{said} {noise}", *_peak_sentence(run, key, after)]


def _noise(first: float, last: float, difference: PairedDifference | None) -> str:
    if difference is None:
        return (
            f"The difference is {100 * (last - first):+.1f} points; without the verdicts of both, whether that is "
            f"noise cannot be said."
        )
    value, low, high = (f"{100 * rate:+.1f}" for rate in (difference.value, difference.low, difference.high))
    span = f"{value} points, 95% interval {low} to {high}, paired over {text.count(difference.problems)} problems"
    if difference.is_noise:
        return f"That lies within the noise of the choice of problems ({span})."
    direction = "gain" if difference.value > 0 else "loss"
    return f"That is a {direction} beyond the noise of the choice of problems ({span})."


def _peak_sentence(run: Run, key: Series, after: Point) -> list[str]:
    """Say so where an earlier iteration did better than the last: the decline that section 3.2 speaks of."""
    rated = [(p.iterations, rate.value) for p in series.points(run.metrics, key) if (rate := series.pass_1(p.summary))]
    peak, best = max(rated, key=lambda r: (r[1] or 0.0, -r[0]))
    last = series.pass_1(after.summary)
    if peak == after.iterations or last is None or (best or 0.0) <= (last.value or 0.0):
        return []
    where = "the untouched model" if peak == 0 else f"iteration {peak}"
    return [f"Its highest point was {text.percent(best)} at {where}, chosen with the test set in view."]


def _candidate_sentences(trained: list[IterationMetrics]) -> list[str]:
    """Parse rate of the training candidates, and how much of the score is left to learn from."""
    said = []
    watched = [(m.iterations, m.telemetry) for m in trained if m.telemetry]
    parses = [(n, text.percent(t.share_parses)) for n, t in watched if t.share_parses is not None]
    if parses:
        (first, before), (latest, after) = parses[0], parses[-1]
        course = f"{before} parsed in iteration {first} and {after} in iteration {latest}"
        said.append(f"Of the candidates sampled for training, {course if len(parses) > 1 else f'{after} parsed'}.")
    active = [t.share_active_pairs for _, t in watched if t.share_active_pairs is not None]
    if active:
        spent = " Little was left to rank." if active[-1] < 0.1 else ""
        share = text.percent(active[-1])
        said.append(f"In the last iteration {share} of the pairs were active, so gave a ranking signal.{spent}")
    last = trained[-1].telemetry if trained else None
    if last is not None and last.share_surrogate_wrong is not None:
        said.append(
            f"Of the candidates of the last iteration that the paper's score calls perfect, "
            f"{text.percent(last.share_surrogate_wrong)} are wrong by function; "
            f"it misses {text.percent(last.share_missed_by_surrogate)} of the pairs that function distinguishes."
        )
    return said


def tiles(run: Run) -> list[Tile]:
    """Key numbers of one run: pass@1 and compile rate of each series, of the chosen checkpoint where one was chosen,
    else of the last; then what training saw."""
    found: list[Tile] = []
    names = series.labels(series.all_series(run.metrics))
    select = run.recipe.select
    result = best(run.metrics, select.benchmark) if select.benchmark is not None else None
    for key, name in names.items():
        before, after = ends(run, key)
        judged = series.points(run.metrics, key)
        chosen = next((p for p in judged if result is not None and p.iterations == result.iterations), None)
        shown = chosen or after or before
        rate = series.pass_1(shown.summary) if shown else None
        if shown is None or rate is None:
            continue
        notes = [f"iteration {shown.iterations}, the chosen one"] if chosen else []
        if span := text.interval(rate.low, rate.high):
            notes.append(f"95% interval {span}")
        compiled = "of judged completions"
        if before and after:
            compiled = f"untouched {text.percent(before.summary.compile_rate)}"
            if first := series.pass_1(before.summary):
                notes.append(f"untouched {text.percent(first.value)}")
        found.append(Tile(f"pass@1, {name}", text.percent(rate.value), "; ".join(notes)))
        found.append(Tile(f"compiles, {name}", text.percent(shown.summary.compile_rate), compiled))
    return found + _training_tiles(run)


def _training_tiles(run: Run) -> list[Tile]:
    trained = [m for m in run.metrics if m.telemetry is not None]
    if not trained or trained[-1].telemetry is None:
        return []
    first, last = trained[0].telemetry, trained[-1].telemetry
    several = first is not None and len(trained) > 1
    found = []
    for label, field, show in (
        ("candidates that parse", "share_parses", text.percent),
        ("mean z of candidates", "mean_z", text.number),
        ("active pairs", "share_active_pairs", text.percent),
    ):
        value = getattr(last, field)
        if value is not None:
            note = f"iteration {trained[0].iterations}: {show(getattr(first, field))}" if several else ""
            found.append(Tile(label, show(value), note))
    seen = trained[-1].reference_tokens_seen
    beside = f"and {text.count(trained[-1].candidate_tokens_seen)} of candidates"
    return [*found, Tile("reference tokens seen", text.count(seen), beside)]
