"""``itertl study``: the one function that the command line calls."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from itertl.errors import ItertlError, RecipeError
from itertl.loop.study import page as report
from itertl.loop.study.drive import Driver, Outcome, locked
from itertl.loop.study.file import Study, load_study
from itertl.loop.study.fit import Fitter
from itertl.loop.study.results import Results, gather
from itertl.progress import Reporter
from itertl.report import tables
from itertl.runs import outputs, storage


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a call left: the numbers, the page, and what became of the runs."""

    results: Results
    outcome: Outcome
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
        return [tables.rich_table(grid) for grid in report.arm_grids(self.results, narrow=True)]


def load(path: Path, overrides: Sequence[str], only: Sequence[str]) -> Study:
    """The study, and that ``only`` names arms of it. Raises RecipeError."""
    study = load_study(path, overrides)
    names = [arm.name for arm in study.arms]
    for name in only:
        if name not in names:
            raise RecipeError(f"--only {name}: no arm of {path}; arms: {', '.join(names)}")
    return study


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
    """Do what is left of the study in ``out`` and write its table, anew after each run that ends."""
    outputs.check_place(out)
    Fitter(study, out).check()
    with locked(out):
        storage.write_text(out / "study.yaml", study.path.read_text(encoding="utf-8"))

        def after() -> None:
            try:
                write(driver)
            except ItertlError as error:  # the other runs go on; the last table tells it again
                reporter.say(f"[red]no table yet[/red]: {escape(str(error))}")

        driver = Driver(
            study, out, reporter, after, at_once=at_once, resume_changed=resume_changed, keep_last=keep_last
        )
        outcome = driver.run(only)
        results, page = write(driver)
    return StudyResult(results, outcome, page, out)


def write(driver: Driver) -> tuple[Results, Path]:
    """The table, the page and ``study.json`` of what is there."""
    results = gather(driver.study, driver.out)
    results = dataclasses.replace(results, notes=(*results.notes, *driver.notes(results.runs)))
    page = report.write(results, driver.out)
    storage.write_json(driver.out / "study.json", StudyResult(results, driver.outcome, page, driver.out).to_json())
    return results, page
