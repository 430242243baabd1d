"""ChipBench (zhongkaiyu/ChipBench, MIT), read from a clone: 45 modules to write, and 89 to fix, asked for in two ways.

Files are laid out as VerilogEval v2's, and prompts are composed as its ``spec-to-rtl``, which upstream's script is. A
debugging problem shows a faulty ``TopModule``; "zero shot" shows no more, "one shot" adds a waveform where upstream has
one. Nothing of it is bundled; a copy that lacks files is taken as it is, and ``Benchmark.notices`` names what it lacks.

Upstream compiles answer, testbench and reference together, and some references count on that. Here each is whole:
macros that a reference leaves to its testbench, and modules that it leaves to the prompt, are put to it; its own copies
of these modules are renamed, so that they do not meet those of the answer, which in turn need not repeat what the
prompt gives. A reference for which something is found nowhere makes its problem unjudgeable.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from itertl.errors import DataError
from itertl.evaluation import clones, errata
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.testbenches import declared, instantiated, renamed
from itertl.evaluation.verilogeval_v2 import SYSTEM, spec_prompt
from itertl.judging.bench import MISMATCHES
from itertl.records import Problem
from itertl.verilog.header import derive_header
from itertl.verilog.text import modules, strip_comments, tokens

VERSION = "1"
_FETCH = "git clone https://github.com/zhongkaiyu/ChipBench, then --data ChipBench"
_TOP, _REF = "TopModule", "RefModule"
_PARTS = ("prompt.txt", "ref.sv", "test.sv")
# dataset -> numbers of its problems
_GENERATION = {"self_contain": "0-17 20 23-28 30-34", "not_self_contain": "1-6", "cpu_ip": "1-9"}
_BUGS = {
    "assignment": "1-17 20-24 26-28 30-34",
    "arithmetic": "1-2 6-11 13-14 16-17 19 21-25 28 30-34",
    "timing": "1-10 12-18 21-23 25-28 30-34",
    "state_machine": "3-4 12 15 20 33",
}
_NO_COUNT = "No mismatched samples"  # what a testbench announces that does not count
_BUGGY = re.compile(r"\bhas bug\b.*?```\w*\n(.*?)```", re.DOTALL)
_FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_DEFINE = re.compile(r"^[ \t]*`define[ \t]+(\w+)(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_MACRO = re.compile(r"`([A-Za-z_]\w*)")
_DIRECTIVES = frozenset(
    """
    define undef undefineall ifdef ifndef elsif else endif include timescale default_nettype resetall celldefine
    endcelldefine line pragma begin_keywords end_keywords unconnected_drive nounconnected_drive __FILE__ __LINE__
    """.split()
)


def generation(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """45 descriptions; the answer is a whole module. ``seed`` is ignored: the set is fixed."""
    return _load("chipbench", {f"dataset_{kind}": numbers for kind, numbers in _GENERATION.items()}, data, limit)


def debugging(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """89 faulty modules, each with the bare code and with a waveform. ``seed`` is ignored: the set is fixed."""
    return _load("chipbench-debug", _shown("zero") | _shown("one"), data, limit)


def zero_shot(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """The 89 faulty modules with the bare code. ``seed`` is ignored: the set is fixed."""
    return _load("chipbench-debug-zero-shot", _shown("zero"), data, limit)


def one_shot(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """The 89 faulty modules with a waveform, where upstream has one. ``seed`` is ignored: the set is fixed."""
    return _load("chipbench-debug-one-shot", _shown("one"), data, limit)


def _shown(shot: str) -> dict[str, str]:
    return {f"dataset_debug_{shot}_shot_{bug}": numbers for bug, numbers in _BUGS.items()}


def _load(name: str, datasets: Mapping[str, str], data: Path | None, limit: int | None) -> Benchmark:
    folders = _folders(name, datasets, data)
    problems: list[Problem] = []
    faults: dict[str, str] = {}
    lacking: dict[str, list[str]] = {}
    for dataset, numbers in datasets.items():
        absent = {f"Prob{number:03}" for number in _numbers(numbers)}
        for stem, files in sorted(_files(folders.get(dataset)).items()):
            absent.discard(stem.partition("_")[0])
            if len(files) < len(_PARTS):
                without = ", ".join(part for part in _PARTS if part not in files)
                lacking.setdefault(dataset, []).append(f"{stem} (without {without})")
                continue
            ident = stem if name == "chipbench" else f"{dataset.removeprefix('dataset_debug_')}/{stem}"
            problem, fault = _problem(ident, files, f"ChipBench:{dataset.removeprefix('dataset_')}")
            problems.append(problem)
            if fault:
                faults[ident] = fault
        lacking.setdefault(dataset, []).extend(sorted(absent))
    if not problems:
        raise DataError(f"{name}: {', '.join(map(str, folders.values()))} holds no whole problem; {_FETCH}")
    expected = len(problems) + sum(map(len, lacking.values()))
    of_which = "" if len(problems) == expected else f" ({len(problems)} of {expected} problems)"
    return Benchmark(
        name=name,
        version=VERSION + of_which,
        problems=tuple(problems[:limit]),
        judge="itertl.evaluation.simulations:two_files",
        upstream_rule="itertl.evaluation.verilogeval_v2:upstream",
        errata={**faults, **errata.known(name)["errata"]},
        notes=errata.known(name)["notes"],
        notices=tuple(
            f"{name}: this copy lacks {len(some)} problems of {dataset}: "
            + (", ".join(some) if dataset in folders else "the folder is not there")
            for dataset, some in lacking.items()
            if some
        ),
    )


def _numbers(spans: str) -> Iterator[int]:
    for span in spans.split():
        first, _, last = span.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _folders(name: str, datasets: Iterable[str], data: Path | None) -> dict[str, Path]:
    """Those of ``datasets`` that are there: in a clone, in one of its halves, or the folder itself.

    Raises DataError where none is.
    """
    roots = clones.roots(name, data, ("ChipBench",), _FETCH)
    for root in roots:
        if root.is_file():
            raise DataError(f"{name}: {root} is a file; give the clone of ChipBench, or a folder of it")
        places = (root, root / "Verilog Gen", root / "Verilog Debugging")
        found = {dataset: place / dataset for dataset in datasets for place in places if (place / dataset).is_dir()}
        if root.resolve().name in datasets:
            found = {root.resolve().name: root}
        if found:
            return found
    raise DataError(f"{name}: {roots[0]} holds no {next(iter(datasets))}; {_FETCH}")


def _files(folder: Path | None) -> dict[str, dict[str, Path]]:
    """Problem's name -> its files by their last word."""
    found: dict[str, dict[str, Path]] = {}
    for path in folder.glob("Prob*_*") if folder is not None else ():
        stem, _, part = path.name.rpartition("_")
        if part in _PARTS:
            found.setdefault(stem, {})[part] = path
    return found


def _problem(ident: str, files: Mapping[str, Path], source: str) -> tuple[Problem, str]:
    """The problem, and why it cannot be judged ("" where it can)."""
    prompt, reference, test = (clones.read(files[part]) for part in _PARTS)
    if _REF not in declared(reference):
        raise DataError(f"{files['ref.sv']}: declares no {_REF}; get a fresh copy")
    shown = _BUGGY.search(prompt)
    buggy = shown[1] if shown else ""
    given = _given(prompt)
    used, missing = _used_modules(reference, given, test)
    design, undefined = _with_macros("\n".join([renamed(reference, _REF, _TOP), *used.values()]), test)
    header = derive_header(buggy)
    problem = Problem.create(
        instruction=spec_prompt(prompt)[0],
        header=header if _same_ports(header, derive_header(renamed(reference, _REF, _TOP))) else "",
        reference=design.lstrip(),
        top=_TOP,
        testbench=f"{test}\n{_private(reference, used, declared(test))}",
        source=source,
        licence="MIT",
        upstream_id=ident,
        extra={
            "system": SYSTEM,
            **({"given": given} if given else {}),
            **({"buggy": buggy} if buggy else {}),
            **({"marker": _NO_COUNT} if MISMATCHES not in test and _NO_COUNT in test else {}),
        },
    )
    nowhere = [f"the module {found}" for found in missing] + [f"the macro `{found}" for found in undefined]
    if not nowhere:
        return problem, ""
    return problem, f"its reference needs {', '.join(nowhere)}, of which its prompt and testbench have none"


def _given(prompt: str) -> dict[str, str]:
    """Modules beside ``TopModule`` whose code stands in the prompt, each with the macros that it needs."""
    found: dict[str, str] = {}
    for fence in _FENCE.finditer(prompt):
        code = fence[1]
        for span in modules(code):
            if span.name != _TOP and span.is_terminated:
                found[span.name] = _with_macros(code[span.start : span.end], code)[0]
    return found


def _used_modules(reference: str, given: Mapping[str, str], test: str) -> tuple[dict[str, str], list[str]]:
    """Modules that ``reference`` uses and does not declare, from the prompt or else the testbench; names of those that
    neither has."""
    own, used, missing = set(declared(reference)), dict[str, str](), list[str]()
    others = {span.name: test[span.start : span.end] for span in modules(test)} | dict(given)
    todo = instantiated(reference)
    while todo:
        name = todo.pop(0)
        if name in own or name in used or name in missing:
            continue
        if name in others:
            used[name] = others[name]
            todo += instantiated(others[name])
        else:
            missing.append(name)
    return used, missing


def _private(reference: str, used: Mapping[str, str], of_testbench: Iterable[str]) -> str:
    """The reference as the testbench's own, its other modules under names that an answer's modules do not have."""
    text = "\n".join([reference, *(code for name, code in used.items() if name not in of_testbench)])
    for name in declared(text):
        if name != _REF:
            text = renamed(text, name, f"{_REF}_{name}")
    return text


def _with_macros(code: str, source: str) -> tuple[str, list[str]]:
    """``code`` with those of ``source``'s macro definitions before it that it needs, and names that are defined
    nowhere."""
    offered = {found[1]: found[0] for found in _DEFINE.finditer(strip_comments(source))}
    own = {found[1] for found in _DEFINE.finditer(code)}
    needed: dict[str, str] = {}
    todo, undefined = [code], Counter[str]()
    while todo:
        for name in _MACRO.findall(strip_comments(todo.pop())):
            if name in own or name in needed or name in _DIRECTIVES:
                continue
            if name in offered:
                needed[name] = offered[name]
                todo.append(offered[name].partition(name)[2])
            else:
                undefined[name] += 1
    before = "".join(f"{text.strip()}\n" for name, text in offered.items() if name in needed)
    return before + code, list(undefined)


def _same_ports(one: str, other: str) -> bool:
    """Whether two headers say the same, whether ``reg`` or ``wire``: a wrong one is part of the bug."""
    kinds = ("reg", "wire", "logic")
    return [t for t in tokens(one) if t not in kinds] == [t for t in tokens(other) if t not in kinds]
