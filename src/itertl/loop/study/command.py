"""``itertl study``: the one function that the command line calls."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from itertl.errors import ItertlError
from itertl.loop.study import table
from itertl.loop.study.file import Study
from itertl.loop.study.fit import Fitter
from itertl.loop.study.results import StudyResults, gather
from itertl.loop.study.scheduler import Scheduler, StudyOutcome, locked
from itertl.progress import Reporter
from itertl.report.grids import rich_table
from itertl.runs import outputs, storage


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a call left: the numbers, the page, and what became of the runs."""

    results: StudyResults
    outcome: StudyOutcome
    page: Path
    out: Path

    def to_json(self) -> dict[str, Any]:
        study = self.results.study
        return {
            "study": study.name, "out": str(self.out), "control": study.control, "seeds": list(study.seeds),
            "arms": [arm.name for arm in study.arms],
            "table": [row.to_json() for row in self.results.table],
            "untouched": [row.to_json() for row in self.results.untouched],
            "notes": list(self.results.notes), "failed": self.outcome.failed, "left_out": self.outcome.left_out,
            "report": str(self.page), "markdown": str(self.out / "table.md"), "csv": str(self.out / "table.csv"),
        }  # fmt: skip

    def tables(self) -> list[Any]:
        """For a terminal."""
        return [rich_table(grid) for grid in table.arm_grids(self.results, narrow=True)]


def run(
    study: Study,
    out: Path,
    *,
    only: Sequence[str],
    reporter: Reporter,
    at_once: int | None = None,
    resume_changed: bool = False,
    keep_last: bool = False,
) -> StudyResult:
    """Do what is left of the study in ``out`` and write its table, again after each run that ends."""
    outputs.check_place(out)
    Fitter(study, out).check()
    with locked(out):
        storage.write_text(out / "study.yaml", study.path.read_text(encoding="utf-8"))

        def after() -> None:
            try:
                write(scheduler)
            except ItertlError as error:  # the other runs go on; writing the last table raises it again
                reporter.say(f"[red]no table yet[/red]: {escape(str(error))}")

        scheduler = Scheduler(
            study, out, reporter, after, at_once=at_once, resume_changed=resume_changed, keep_last=keep_last
        )
        scheduler.run(only)
        return write(scheduler)


def write(scheduler: Scheduler) -> StudyResult:
    """Write the table, the page and ``study.json`` of what is there."""
    results = gather(scheduler.study, scheduler.out)
    results = dataclasses.replace(results, notes=(*results.notes, *scheduler.notes(results.runs)))
    page = table.write(results, scheduler.out)
    found = StudyResult(results, scheduler.outcome, page, scheduler.out)
    storage.write_json(scheduler.out / "study.json", found.to_json())
    return found
