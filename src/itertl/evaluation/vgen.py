"""VGen (Thakur et al., 2023): 17 problems at three levels of detail, read from a clone of shailja-thakur/VGen.

Nothing of it is bundled. A data path is the clone, its ``prompts-and-testbenches`` folder, a JSON Lines file
``vgen.jsonl`` (task_id, prompt1 to prompt3, answer, testbench), or its folder. A prompt is the beginning of a file,
which the model continues: comment, module header, more comments. It is kept in two parts, with the header where the
module begins.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from itertl.errors import DataError
from itertl.evaluation import clones, errata
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.fields import text_field
from itertl.evaluation.simulations import log_says
from itertl.evaluation.testbenches import check_marker, design_name, top
from itertl.judging.outcomes import Judgement
from itertl.records import Problem
from itertl.runs.rows import read_objects
from itertl.tools.icarus import Simulation
from itertl.verilog.text import modules

VERSION = "1"
MARKER = "all tests passed"  # printed by every testbench behind its last check; a failed check ends the simulation
_FETCH = "git clone --depth 1 https://github.com/shailja-thakur/VGen, then --data VGen"
_LEVELS = {"low": 1, "medium": 2, "high": 3}
_ORDER = ("basic", "intermediate", "advanced")


def _load(level: str, data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """The problems at one level of detail. ``seed`` is ignored: the set is fixed."""
    name = f"vgen-{level}"
    places = clones.roots(name, data, ("VGen", "vgen"), _FETCH)
    texts = next((found for place in places if (found := _read(place))), {})
    if not texts:
        raise DataError(f"{name}: {places[0]} holds neither prompts-and-testbenches/ nor vgen.jsonl; {_FETCH}")
    problems = [_problem(ident, parts, _LEVELS[level]) for ident, parts in sorted(texts.items(), key=_by_difficulty)]
    return Benchmark(
        name=name,
        version=VERSION,
        problems=tuple(problems[:limit]),
        judge="itertl.evaluation.simulations:two_files",
        upstream_rule="itertl.evaluation.vgen:upstream",
        **errata.known(name),
    )


low = partial(_load, "low")  # one sentence and the module header
medium = partial(_load, "medium")  # some comments on the ports and their use
high = partial(_load, "high")  # the behaviour in full


def _by_difficulty(item: tuple[str, object]) -> tuple[int, str]:
    ident = item[0]
    return next((n for n, word in enumerate(_ORDER) if ident.startswith(word)), len(_ORDER)), ident


def _read(place: Path) -> dict[str, dict[str, str]]:
    """task_id -> its texts: prompt1, prompt2, prompt3, answer ("" where there is none), testbench, and where
    they are."""
    lines = place if place.is_file() else place / "vgen.jsonl"
    if lines.is_file():
        keys = ("prompt1", "prompt2", "prompt3", "answer", "testbench")
        return {
            text_field(row, "task_id", where): {"where": where, **{key: text_field(row, key, where) for key in keys}}
            for where, row in read_objects(lines)
        }
    folder = place / "prompts-and-testbenches" if (place / "prompts-and-testbenches").is_dir() else place
    return {found.parent.name: _from_folder(found.parent) for found in folder.glob("*/tb_*.v")}


def _from_folder(folder: Path) -> dict[str, str]:
    patterns = {"prompt1": "prompt1_*.v", "prompt2": "prompt2_*.v", "prompt3": "prompt3_*.v", "testbench": "tb_*.v"}
    texts = {
        "where": str(folder),
        "answer": "".join(clones.read(path) for path in sorted(folder.glob("answer_*.v"))[:1]),
    }
    for key, pattern in patterns.items():
        found = sorted(folder.glob(pattern))
        if len(found) != 1:
            raise DataError(f"{folder}: holds {len(found)} {pattern}, one is expected; get a fresh copy: {_FETCH}")
        texts[key] = clones.read(found[0])
    return texts


def _problem(ident: str, texts: Mapping[str, str], level: int) -> Problem:
    where, testbench = texts["where"], texts["testbench"]
    name = design_name(testbench, where)
    instruction, header = split_prompt(texts[f"prompt{level}"], where)
    return Problem.create(
        instruction=instruction, header=header, reference=_reference(texts, name), top=name, testbench=testbench,
        source=f"VGen:prompt{level}", licence="Apache-2.0", upstream_id=ident,
        extra={"marker": check_marker(testbench, MARKER, where), "testbench_top": top(testbench, where)},
    )  # fmt: skip


def split_prompt(prompt: str, where: str) -> tuple[str, str]:
    """(comments before the module, the rest from the module's line on). Raises DataError where no module begins."""
    found = modules(prompt)
    if not found:
        raise DataError(f"{where}: a prompt begins no module; get a fresh copy")
    start = prompt.rfind("\n", 0, found[0].start) + 1
    return prompt[:start], prompt[start:]


def _reference(texts: Mapping[str, str], name: str) -> str | None:
    """The answer; where it is not a whole module (advanced3), the most detailed prompt, which there holds one."""
    for text in (texts["answer"], texts["prompt3"]):
        if any(span.name == name and span.is_terminated for span in modules(text)):
            return text
    return None


def upstream(simulation: Simulation) -> Judgement:
    """It compiled, and the testbench's success text is in the log.

    The repository holds testbenches and results but no program that judges; this is what its result files show.
    """
    return log_says(simulation, MARKER)
