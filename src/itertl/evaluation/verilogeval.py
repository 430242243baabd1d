"""VerilogEval v1 (Liu et al., 2023), read from a clone of NVlabs/verilog-eval, branch release/1.0.0.

Nothing of it is bundled. A data path is the clone, its data/ folder, a folder that holds ``verilogeval_v1_human.jsonl``
and ``verilogeval_v1_machine.jsonl``, or one problem file; each file may be gzipped.
"""

from functools import partial
from pathlib import Path
from typing import Any

from itertl.errors import DataError
from itertl.evaluation import clones, errata
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.fields import text_field
from itertl.records import Problem
from itertl.runs.rows import read_objects

VERSION = "1.0.0"
_FETCH = "git clone --branch release/1.0.0 https://github.com/NVlabs/verilog-eval, then --data verilog-eval"
_SETS = ("Human", "Machine")
_DESCRIPTIONS = ("detail_description", "simple_description")


def _load(which: str, data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """One of the two sets. ``seed`` is ignored: the set is fixed."""
    name = f"verilogeval-v1-{which.lower()}"
    file = _problem_file(name, which, data)
    descriptions = _descriptions(which, file)
    problems: dict[str, Problem] = {}
    for where, row in read_objects(file):
        ident = text_field(row, "task_id", where)
        if not ident.strip():
            raise DataError(f"{where}: task_id is blank; give the problem's name")
        if ident in problems:
            raise DataError(f"{where}: task_id {ident!r} comes twice; remove one of the lines")
        problems[ident] = _problem(row, where, f"verilog-eval-v1:{which}", descriptions.get(ident))
    if not problems:
        raise DataError(f"{file}: holds no problems; get a full copy: {_FETCH}")
    return Benchmark(
        name=name,
        version=VERSION,
        problems=tuple(problems.values())[:limit],
        **errata.known(name),
    )


human = partial(_load, "Human")  # 156 problems, described by people
machine = partial(_load, "Machine")  # 143 problems, described by a language model


def _problem(row: dict[str, Any], where: str, source: str, description: str | None) -> Problem:
    prompt, solution, test = (text_field(row, key, where) for key in ("prompt", "canonical_solution", "test"))
    own = next((text_field(row, key, where) for key in _DESCRIPTIONS if key in row), None)
    return Problem.create(
        instruction=own if own is not None else description or "", header=prompt,
        reference=f"{prompt}\n{solution}", top="top_module", testbench=test,
        source=source, licence="MIT", upstream_id=row["task_id"],
    )  # fmt: skip


def _descriptions(which: str, file: Path) -> dict[str, str]:
    """task_id -> description, from upstream's descriptions folder beside the problem file or beside its folder."""
    for folder in (file.parent / "descriptions", file.parent.parent / "descriptions"):
        found = _existing(folder / f"VerilogDescription_{which}.jsonl")
        if found is not None:
            return {text_field(row, "task_id", where): _description(row, where) for where, row in read_objects(found)}
    return {}


def _description(row: dict[str, Any], where: str) -> str:
    key = next((key for key in _DESCRIPTIONS if key in row), _DESCRIPTIONS[0])
    return text_field(row, key, where)


def _problem_file(name: str, which: str, data: Path | None) -> Path:
    roots = clones.roots(name, data, ("verilog-eval", "verilog-eval-v1"), _FETCH)
    if data is not None and data.is_file():
        return _checked_name(data, which)
    upstream = f"VerilogEval_{which}.jsonl"
    for root in roots:
        for path in (f"data/{upstream}", upstream, f"verilogeval_v1_{which.lower()}.jsonl"):
            found = _existing(root / path)
            if found is not None:
                return found
    raise DataError(f"{name}: {_missing(roots[0], which)}; {_FETCH}")


def _existing(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)


def _checked_name(file: Path, which: str) -> Path:
    """Refuse the other set's file, by its name: most ids are in both, so that nothing else distinguishes them."""
    other = next(name for name in _SETS if name != which)
    name = file.name.lower()
    if other.lower() in name and which.lower() not in name:
        raise DataError(
            f"{file}: this looks like the {other} set; use --benchmark verilogeval-v1-{other.lower()}, or rename it"
        )
    return file


def _missing(root: Path, which: str) -> str:
    if not root.exists():
        return f"{root} does not exist"
    if any(root.glob("dataset_*")):
        return f"{root} is a clone of another version of verilog-eval: check out release/1.0.0"
    return f"{root} holds no data/VerilogEval_{which}.jsonl"
