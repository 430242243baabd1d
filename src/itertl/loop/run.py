"""The loop of the paper (section 3.1): sample from the current policy, score, train, evaluate; again from the new one.

Every line of ``run`` is a stage of the run folder: done before and still valid, it is skipped; interrupted, it resumes
from what it has saved. What a stage reads and writes is in ``stages``.
"""

import shlex
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import Recipe
from itertl.doctor.node import machines
from itertl.loop import prepare, stages, waves
from itertl.loop.trackers import Trackers
from itertl.model.policy import find_policy
from itertl.progress import Reporter
from itertl.records import IterationMetrics
from itertl.report.tables import iteration_table
from itertl.report.write import make_report
from itertl.runs import selection
from itertl.runs.folder import RunFolder
from itertl.runs.shared_stages import SharedStages


@dataclass(frozen=True, slots=True)
class RunResult:
    """Where a finished run left what it made."""

    folder: Path
    checkpoint: Path | str  # of the last iteration, or the one that ``select`` chooses
    page: Path
    samples: str  # pattern of the files of sampled completions
    metrics: tuple[IterationMetrics, ...]
    design: str  # the first that was won, with its waveform; "" where there is none

    def to_json(self) -> dict[str, Any]:
        metrics = [row.model_dump(mode="json") for row in self.metrics]
        return {
            "run": str(self.folder),
            "checkpoint": str(self.checkpoint),
            "report": str(self.page),
            "metrics": metrics,
        }

    def render(self) -> str:
        """For a terminal."""
        return (f"{self.design}\n\n" if self.design else "") + (
            f"checkpoint  {self.checkpoint}\nreport      {self.page}  (figures in {self.folder / 'figures'})\n"
            f"samples     {self.samples}\n"
            f'load it     transformers.AutoModelForCausalLM.from_pretrained("{self.checkpoint}")\n'
            f"{self._next_steps()}"
        )

    def _next_steps(self) -> str:
        """Commands that go on from here."""
        model = shlex.quote(str(self.checkpoint))
        run = shlex.quote(str(self.folder))
        commands = {
            "try it": f'itertl generate "An 8-bit counter with enable." --model {model}',
            "judge it": f"itertl eval --model {model} --benchmark synth-heldout --out {run}-eval",
            "export it": f"itertl export {run} --out {run}-model",
            "draw again": f"itertl report {run}",
        }
        return "\n".join(f"{name:<12}{command}" for name, command in commands.items())


def run(
    recipe: Recipe, out: Path, *, reporter: Reporter, resume_changed: bool = False, share_from: Path | None = None
) -> RunResult:
    """Run ``recipe`` in the folder ``out``, or continue the run that is there; one of another recipe is refused
    unless ``resume_changed``. ``share_from``: a folder of runs whose equal stages are linked instead of made again.

    Raises the errors of ``itertl.errors``; after any of them, or a kill, the same call continues where it stopped.
    """
    with machines(recipe.compute, reporter.say):
        return _run(recipe, out, reporter, resume_changed, share_from)


def _run(recipe: Recipe, out: Path, reporter: Reporter, resume_changed: bool, share_from: Path | None) -> RunResult:
    checked = prepare.check_inputs(recipe)  # before there is a folder
    recipe = checked.recipe
    policy = find_policy(recipe.model, recipe.prompt)
    _ = policy.digest  # raises where the files of its weights are not there
    share = SharedStages(share_from, out) if share_from is not None else None
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder(out, recipe, reporter, resume_changed=resume_changed, share=share))
        task = prepare.prepare(folder, checked)
        trackers = stack.enter_context(closing(Trackers(recipe, out, reporter)))
        policies = [policy]
        metrics = [stages.untouched_metrics(task, stages.evaluate(folder, task, policy, iteration=None))]
        folder.write_metrics(metrics)
        trackers.iteration(metrics[0])
        for iteration in range(recipe.iterations):
            if selection.is_exhausted(metrics, recipe.select):
                reporter.say(
                    f"ends before iteration {iteration + 1}: no new best on {recipe.select.benchmark} (select.patience)"
                )
                break
            reporter.say(f"[bold]Iteration {iteration + 1} of {recipe.iterations}[/bold], from {policy.name}")
            candidates = stages.sample(folder, task, policy, iteration)
            scored = stages.score(folder, task, candidates, iteration)
            begin = policies[0] if recipe.train.from_ == "start" else policy
            policy, trained = stages.train(folder, task, scored, begin, iteration)
            policies.append(policy)
            evals = stages.evaluate(folder, task, policy, iteration)
            metrics.append(stages.iteration_metrics(folder, task, scored, trained, evals, metrics[-1]))
            folder.write_metrics(metrics)
            trackers.iteration(metrics[-1], folder.iteration(iteration).path / "train.jsonl")
            reporter.say(iteration_table(metrics))
        design = waves.write_waves(out)
        chosen = policies[selection.chosen(metrics, recipe.select)]
        page = make_report([out]).page
    return RunResult(out, chosen.path, page, f"{out}/iter-*/samples-*.jsonl", tuple(metrics), design)
