"""The report as a stage: read run folders, draw, write the page and the figures, each file whole or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.errors import DataError
from itertl.report import figures, html, page
from itertl.report.catalogue import read_catalogue
from itertl.runs import storage
from itertl.runs.read import Run, read_runs


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """What a report wrote: the page, and the figures that there was something to draw for."""

    page: Path
    figures: tuple[Path, ...]


def write_page(folder: Path, text: str, every: Iterable[str], drawn: Mapping[str, str]) -> ReportPaths:
    """Write ``report.html`` and, of the figures called ``every``, those that are ``drawn``; the others are removed."""
    paths = {name: folder / "figures" / f"{name}.svg" for name in every}
    for name, path in paths.items():
        storage.write_text(path, drawn[name]) if name in drawn else path.unlink(missing_ok=True)
    storage.write_text(folder / "report.html", text)
    return ReportPaths(folder / "report.html", tuple(path for name, path in paths.items() if name in drawn))


def check_ours(folder: Path) -> None:
    """Raises DataError where ``report.html`` is there and is not a page of a report."""
    path = folder / "report.html"
    if path.is_file() and path.stat().st_size and html.MARK.encode() not in path.read_bytes():
        raise DataError(f"{path}: exists, and is not a page of a report; move it, or give another --out")


def make_report(runs: Sequence[Path], out: Path | None = None) -> ReportPaths:
    """Write ``report.html`` and ``figures/*.svg`` of one run folder or of several side by side.

    ``out`` defaults to the run folder itself for one run and to ``report`` in the current folder for several. The same
    input gives the same bytes. A figure of an earlier report that no longer has anything to show is removed.
    Raises DataError, naming file and remedy, where a folder is not a run or a file in it cannot be read.
    """
    read = read_runs(runs)
    target = out if out is not None else (runs[0] if len(runs) == 1 else Path("report"))
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; give a folder with --out")
    check_ours(target)  # before the work
    contents = [page.gather(run) for run in read]
    return write_page(target, page.render(contents, drawn := draw(read), read_catalogue(read)), figures.EVERY, drawn)


def draw(runs: Sequence[Run]) -> dict[str, str]:
    """The SVG text of every figure that the runs have something to show in."""
    return {name: svg for name, make in figures.EVERY.items() if (svg := make(runs)) is not None}
