"""The report as a stage: read run folders, draw, write the page and the figures, each file whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.errors import DataError
from itertl.report import figures, page
from itertl.runs import storage
from itertl.runs.read import read_runs


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """What a report wrote: the page, and the figures that there was something to draw for."""

    page: Path
    figures: tuple[Path, ...]


def _check_ours(path: Path) -> None:
    """Raises DataError for a file that is no page of ours."""
    if path.is_file() and path.stat().st_size and page.MARK.encode() not in path.read_bytes():
        raise DataError(f"{path}: exists, and is no page of a report; move it, or give another --out")


def make_report(runs: Sequence[Path], out: Path | None = None) -> ReportPaths:
    """Write ``report.html`` and ``figures/*.svg`` of one run folder or of several side by side.

    ``out`` defaults to the run folder itself for one run and to ``report`` in the current folder for several. The same
    input gives the same bytes. A figure of an earlier report that no longer has anything to show is removed.
    Raises DataError, naming file and mend, where a folder is no run or a file in it cannot be read.
    """
    read = read_runs(runs)
    target = out if out is not None else (runs[0] if len(runs) == 1 else Path("report"))
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; give a folder with --out")
    _check_ours(target / "report.html")
    contents = [page.gather(run) for run in read]
    drawn = {name: svg for name, draw in figures.EVERY.items() if (svg := draw(read)) is not None}
    text = page.render(contents, drawn)
    written = []
    for name in figures.EVERY:
        path = target / "figures" / f"{name}.svg"
        if name in drawn:
            storage.write_text(path, drawn[name])
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    storage.write_text(target / "report.html", text)
    return ReportPaths(target / "report.html", tuple(written))
