"""VerilogEval v2 (Pinckney et al., 2024), read from a clone of NVlabs/verilog-eval, branch main.

Nothing of it is bundled. A data path is the clone or one of its two ``dataset_…`` folders. Prompts are composed as
upstream's ``scripts/sv-generate`` does without ``--rules`` and ``--explain``; in-context examples come from the clone's
``scripts`` folder. Upstream sends its system message separately from the prompt: it is in ``Problem.extra["system"]``.
"""

import re
from functools import partial
from pathlib import Path

from itertl.errors import DataError, UsageError
from itertl.evaluation import clones, errata
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.testbenches import declared, renamed
from itertl.judging.outcomes import Judgement, compile_failure, cut, limit_or_kill
from itertl.records import Problem, Verdict
from itertl.tools.icarus import Simulation

VERSION = "2.0"
MAX_SHOTS = 4
_FETCH = "git clone https://github.com/NVlabs/verilog-eval, then --data verilog-eval"
_FOLDERS = ("verilog-eval", "verilog-eval-v2")
_TOP = "TopModule"
_SPEC = "spec-to-rtl"
_COMPLETE = "code-complete-iccad2023"
SYSTEM = "\nYou are a Verilog RTL designer that only writes code using correct Verilog syntax.\n"
_SYSTEM = {
    _SPEC: SYSTEM,
    _COMPLETE: (
        "\nYou only complete chats with syntax correct Verilog code. End the Verilog module code completion with "
        "'endmodule'. Do not include module, input and output definitions.\n"
    ),
}
_COMPLETE_PREFIX = (
    "\n// Implement the Verilog module based on the following description. "
    "Assume that signals are positive clock/clk triggered unless otherwise stated.\n"
)
_NO_EXPLANATION = (
    "\nEnclose your code with [BEGIN] and [DONE]. Only output the code snippet\nand do NOT output anything else.\n"
)


def _load(
    name: str, task: str, data: Path | None, *, limit: int | None = None, seed: int = 0, shots: int = 0
) -> Benchmark:
    """156 problems as one of the two tasks. ``seed`` is ignored: the set is fixed."""
    folder = _dataset(name, task, data)
    examples = _examples(name, task, folder, shots)
    idents = [path.name.removesuffix("_prompt.txt") for path in sorted(folder.glob("Prob*_prompt.txt"))]
    if not idents:
        raise DataError(f"{folder}: holds no Prob…_prompt.txt; get a fresh copy: {_FETCH}")
    return Benchmark(
        name=name,
        version=VERSION if shots == 0 else f"{VERSION} {shots}-shot",
        problems=tuple(_problem(folder, task, ident, examples) for ident in idents[:limit]),
        judge="itertl.evaluation.simulations:two_files",
        upstream_rule="itertl.evaluation.verilogeval_v2:upstream",
        **errata.known(name),
    )


# Specifications as chat questions, to be answered by a whole module; and modules to complete from their header.
spec_to_rtl = partial(_load, "verilogeval-v2-spec-to-rtl", _SPEC)
code_complete = partial(_load, "verilogeval-v2-code-complete", _COMPLETE)


def _problem(folder: Path, task: str, ident: str, examples: str) -> Problem:
    prompt, reference, test = (clones.read(folder / f"{ident}_{part}") for part in ("prompt.txt", "ref.sv", "test.sv"))
    where = str(folder / f"{ident}_ref.sv")
    if "RefModule" not in declared(reference):
        raise DataError(f"{where}: declares no RefModule; get a fresh copy")
    instruction, header = spec_prompt(prompt) if task == _SPEC else complete_prompt(prompt)
    return Problem.create(
        instruction=examples + instruction, header=header,
        reference=renamed(reference, "RefModule", _TOP), top=_TOP, testbench=f"{test}\n{reference}",
        source=f"verilog-eval-v2:{task}", licence="MIT", upstream_id=ident, extra={"system": _SYSTEM[task]},
    )  # fmt: skip


def spec_prompt(prompt: str) -> tuple[str, str]:
    """The user's message after the examples, and no header (``sv-generate``, task spec-to-rtl)."""
    return f"\nQuestion:\n{prompt.strip()}\n{_NO_EXPLANATION}\nAnswer:\n", ""


def complete_prompt(prompt: str) -> tuple[str, str]:
    """The user's message after the examples, split before its module header (task code-complete-iccad2023).

    The description becomes comments; instruction and header together are upstream's message, character by character.
    """
    lines = prompt.splitlines()
    start = next((n for n, line in enumerate(lines) if f"module {_TOP}" in line), len(lines))
    described = [f"// {line}" for line in lines[:start]]
    return _COMPLETE_PREFIX + "\n".join([*described, "", ""]), "\n".join(lines[start:])


def upstream(simulation: Simulation) -> Judgement:
    """VerilogEval v2's rule (``analyze_result`` in ``scripts/sv-iv-analyze``).

    One log holds what compiler and simulator wrote. Passed if a line is ``Mismatches: 0 in N samples`` and no line
    speaks of an error (the word in lower case), of a time-out, or of the warnings that upstream counts as failures.
    """
    compiled, ran = simulation.compiled, simulation.ran
    if ran is None:
        return compile_failure(compiled)
    stopped = limit_or_kill(ran)
    if stopped is not None:
        return stopped
    log = "\n".join([compiled.stdout, compiled.stderr, ran.stdout, ran.stderr])
    refused = next((line for line in log.splitlines() if any(sign in line for sign in _COMPILER_SIGNS)), None)
    if refused is not None:
        return Verdict.COMPILE_ERROR, cut(refused.strip())
    if "TIMEOUT" in log:
        return Verdict.TIMEOUT, "the testbench ran out of its own time"
    counts = [int(count) for count in _LINE.findall(log)]
    if not counts:
        return Verdict.RUNTIME_ERROR, "the simulation ended without a verdict line"
    if 0 in counts:
        return Verdict.PASSED, ""
    return Verdict.WRONG_OUTPUT, f"{counts[-1]} samples differ"


_LINE = re.compile(r"^Mismatches: (\d+) in \d+ samples$", re.MULTILINE | re.ASCII)
_COMPILER_SIGNS = (
    "error",
    "warning: always_comb process has no sensitivities",
    "found no sensitivities so it will never trigger",
    "is declared here as wire",
    "Unknown module type",
)


def _examples(name: str, task: str, folder: Path, shots: int) -> str:
    """The text of upstream's in-context examples, "" for none.

    Raises UsageError, and DataError where the clone lacks them.
    """
    if shots == 0:
        return ""
    if not 0 < shots <= MAX_SHOTS:
        raise UsageError(f"benchmark {name}: {shots} shots; upstream has examples for 1 to {MAX_SHOTS}")
    path = folder.parent / "scripts" / f"verilog-example-prefix_{task}_{shots}-shot.txt"
    if not path.is_file():
        raise DataError(
            f"{name}: {shots} shots need {path}, which is not there; use the whole clone ({_FETCH}) or 0 shots"
        )
    return clones.read(path)


def _dataset(name: str, task: str, data: Path | None) -> Path:
    found = clones.roots(name, data, _FOLDERS, _FETCH)
    for root in found:
        if root.is_file():
            raise DataError(f"{name}: {root} is a file; give the clone of verilog-eval, or its dataset_{task} folder")
        for folder in (root / f"dataset_{task}", root):
            if folder.name == f"dataset_{task}" and folder.is_dir():
                return folder
    if any(found[0].glob("data/VerilogEval_*.jsonl*")):
        raise DataError(f"{name}: {found[0]} is a clone of version 1: check out the branch main")
    raise DataError(f"{name}: {found[0]} holds no dataset_{task}; {_FETCH}")
