"""RTLLM 1.1 (Lu et al., 2024) and 2.0 (Liu et al., 2024), read from a clone of hkust-zhiyao/RTLLM.

Nothing of it is bundled. A data path is the clone (branch v1.1, or main for 2.0); for 1.1 also a JSON Lines file
``rtllm_v1_1.jsonl`` (name, description, testbench, reference, data_files) or its folder. A clone of 2.0 that lacks
some of its 50 designs is taken as it is, and its version says so. Upstream runs a commercial simulator; here it is
Icarus.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from itertl.errors import DataError
from itertl.evaluation import clones, errata
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.fields import text_field
from itertl.evaluation.simulations import log_says
from itertl.evaluation.testbenches import check_marker, declared, design_name, renamed, roots, top
from itertl.judging.outcomes import Judgement
from itertl.records import Problem
from itertl.runs.rows import read_objects
from itertl.tools.icarus import Simulation

MARKER = "Your Design Passed"  # in all testbenches of both versions, printed once, by the branch that counts no error
_DATA_SUFFIXES = (".txt", ".dat", ".hex", ".mem", ".bin")
_TEXTS = ("design_description.txt", "testbench.v")
_NUM_DESIGNS = {"1.1": 29, "2.0": 50}
_DEPTH = {"1.1": "*", "2.0": "*/*/*"}  # of a design's folder below the clone
_FOLDERS = {"1.1": ("RTLLM", "RTLLM-1.1"), "2.0": ("RTLLM", "RTLLM-2.0")}
_CLONE = "https://github.com/hkust-zhiyao/RTLLM"
_FETCH = {
    "1.1": f"git clone --branch v1.1 {_CLONE}, then --data RTLLM",
    "2.0": f"git clone {_CLONE}, then --data RTLLM",
}


def _load(version: str, data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """The designs of one version. ``seed`` is ignored: the set is fixed."""
    name = f"rtllm-{version}"
    places = clones.roots(name, data, _FOLDERS[version], _FETCH[version])
    problems = next((found for place in places if (found := _read(version, place))), [])
    if not problems:
        raise DataError(f"{name}: {_missing(version, places[0])}; {_FETCH[version]}")
    expected = _NUM_DESIGNS[version]
    return Benchmark(
        name=name,
        version=version if len(problems) == expected else f"{version} ({len(problems)} of {expected} designs)",
        problems=tuple(sorted(problems, key=lambda p: p.upstream_id or "")[:limit]),
        judge="itertl.evaluation.simulations:two_files",
        upstream_rule="itertl.evaluation.rtllm:upstream",
        **errata.known(name),
    )


v1_1 = partial(_load, "1.1")
v2_0 = partial(_load, "2.0")


def _read(version: str, place: Path) -> list[Problem]:
    lines = place if place.is_file() else place / "rtllm_v1_1.jsonl"
    if version == "1.1" and lines.is_file():
        return [_from_row(row, where) for where, row in read_objects(lines)]
    return [_from_folder(folder, version) for folder in _designs(place, version)]


def _designs(root: Path, version: str) -> list[Path]:
    found = [path.parent for path in root.glob(f"{_DEPTH[version]}/{_TEXTS[0]}")]
    return [folder for folder in found if (folder / _TEXTS[1]).is_file()]


def _missing(version: str, place: Path) -> str:
    other = next(v for v in _DEPTH if v != version)
    if place.is_dir() and _designs(place, other):
        return f"{place} is a clone of version {other}"
    return f"{place} holds no designs of version {version}"


def _from_folder(folder: Path, version: str) -> Problem:
    references = sorted(folder.glob("verified_*.v"))
    if len(references) != 1:
        raise DataError(f"{folder}: holds {len(references)} verified_*.v, one is expected; get a fresh copy")
    testbench = clones.read(folder / "testbench.v")
    data_files = {
        path.name: clones.read(path)
        for path in sorted(folder.iterdir())
        if path.suffix in _DATA_SUFFIXES and path.name not in _TEXTS and path.name in testbench
    }
    return _problem(
        folder.name, clones.read(folder / "design_description.txt"), testbench, clones.read(references[0]), data_files,
        str(folder), f"RTLLM-{version}",
    )  # fmt: skip


def _from_row(row: dict[str, Any], where: str) -> Problem:
    name, description, testbench, reference = (
        text_field(row, key, where) for key in ("name", "description", "testbench", "reference")
    )
    files = row.get("data_files") or {}
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise DataError(f"{where}: data_files is not an object of strings; make it {{file name: text}}")
    return _problem(name, description, testbench, reference, files, where, "RTLLM-1.1")


def _problem(
    ident: str, description: str, testbench: str, reference: str, data_files: Mapping[str, str], where: str, source: str
) -> Problem:
    name = design_name(testbench, where)
    extra: dict[str, Any] = {"marker": check_marker(testbench, MARKER, where), "testbench_top": top(testbench, where)}
    if data_files:
        extra["data_files"] = dict(data_files)
    return Problem.create(
        instruction=description, reference=_as_design(reference, name, where), top=name, testbench=testbench,
        source=source, licence="MIT", upstream_id=ident, extra=extra,
    )  # fmt: skip


def _as_design(reference: str, name: str, where: str) -> str:
    """The reference with its main module, ``verified_…`` upstream, called as the testbench calls the design."""
    if name in declared(reference):
        return reference
    found = roots(reference)
    if len(found) != 1:
        raise DataError(
            f"{where}: the reference has {len(found)} modules that none uses ({', '.join(found)}), one is expected"
        )
    return renamed(reference, found[0], name)


def upstream(simulation: Simulation) -> Judgement:
    """RTLLM's rule (``auto_run.py``): it compiled, and "Pass" or "pass" is anywhere in the simulation's log.

    Upstream gives the simulation 8 s by the clock; here it has the limits of ``judging.strict``.
    """
    return log_says(simulation, "Pass", "pass")
