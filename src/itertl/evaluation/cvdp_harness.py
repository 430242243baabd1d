"""A CVDP problem's own harness, run in the sandbox: what an answer's files are, how they are run, what that means.

An answer's text is read by the gate together with the sources that are given, and only what the gate lets through is
simulated: no design writes a file, so that cocotb's result files and pytest's exit status, from which alone a verdict
comes, say what the tests found. What a design prints counts for nothing. Seeds of ``random`` and of cocotb are fixed.

What it does not: a test that draws its seed from the time may judge the same text differently.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from itertl.judging import gate
from itertl.judging.gate import Design, Refusal
from itertl.judging.outcomes import Judgement, blamed, compile_failure, cut, limit_or_kill
from itertl.records import Problem, Verdict
from itertl.sandbox import bounds, sandbox
from itertl.sandbox.bounds import Bound
from itertl.sandbox.sandbox import Completed, Limits
from itertl.tools import icarus
from itertl.verilog.header import derive_top
from itertl.verilog.text import modules

WALL_S = 240.0  # for all commands of a harness; upstream gives 600 s to a container
_BUSY_S = 30.0  # processor time below which a run that the clock ended says nothing of the answer
LIMITS = Limits(wall_s=WALL_S, cpu_s=120, memory_mb=4096, file_mb=128, output_kb=8192, folder_mb=512)
_INCLUDE = re.compile(r'^[ \t]*`include[ \t]+"([^"]+)"[^\n]*$', re.MULTILINE)
_IN_CONTAINER = re.compile(r"""(?<![\w./])/(code|src|rundir)(?=[/"'\s:,)\]]|$)""")
_ENDED_EARLY = re.compile(r"\b(?:shut down|ended) prematurely")
_SEED = "import random\nrandom.seed(1)\n"
_MAX_XML = 8 << 20
_RESULTS = ("results", "cocotb tests")  # what cocotb 2.0 and 2.1 call theirs
_RTL = (".v", ".sv")


@dataclass(frozen=True, slots=True)
class Failure:
    """A cocotb test that failed. Example: ``("test_adder", "sum is 3, expected 4")``."""

    test: str
    message: str


@dataclass(frozen=True, slots=True)
class HarnessRun:
    """What came of an answer. ``refused``: why it was not run; ``num_tests``: in the result files that cocotb wrote."""

    refused: Judgement | None = None
    design: str = ""
    steps: tuple[Completed, ...] = ()
    num_tests: int = 0
    failures: tuple[Failure, ...] = ()


def run(problem: Problem, code: str) -> HarnessRun:
    """Gate, compile, and run the harness on an answer. Raises ToolMissing."""
    files: dict[str, str] = dict(problem.extra["files"])  # type: ignore[arg-type]
    given = answer_files(code, problem.extra["outputs"])  # type: ignore[arg-type]
    answer = {f"code/{name}": text for name, text in given.items()}
    sources = _sources(problem, files, answer)
    top = str(problem.extra["toplevel"]) or derive_top("\n".join(answer.values())) or ""
    found = _examined({name: {**files, **answer}[name] for name in sources}, answer, top)
    if isinstance(found, Refusal):
        return HarnessRun((found.verdict, found.detail))
    compiled = icarus.simulate({"design.sv": found.text}, top=top, run=False).compiled
    if compiled.returncode != 0:
        judgement = compile_failure(compiled)
        if icarus.LACKS.search(compiled.stderr):
            return HarnessRun((Verdict.UNDECIDED, cut(f"{icarus.version()} does not know it: {judgement[1]}")))
        return HarnessRun(judgement)
    main = next((name for name in sources if name in answer), next(iter(answer)))
    laid = {**files, **answer, **dict.fromkeys(sources, ""), main: found.text}
    return replace(_in_sandbox(problem.extra["services"], laid), design=found.text)  # type: ignore[arg-type]


def answer_files(code: str, outputs: Sequence[str]) -> dict[str, str]:
    """File -> text of an answer: upstream's JSON (``{"code": [{file: text}]}``), or plain Verilog.

    Plain text stands for all files at once and goes into the first; the others are empty.
    """
    if code.lstrip().startswith("{"):
        try:
            value = json.loads(code, strict=False)
        except ValueError:
            value = None
        parts = value.get("code", value) if isinstance(value, dict) else None
        named: dict[str, Any] = {}
        for part in parts if isinstance(parts, list) else [parts]:
            named |= part if isinstance(part, dict) else {}
        kept = {name: str(named[name]) for name in outputs if name in named}
        if kept:
            return {name: kept.get(name, "") for name in outputs}
    return {name: code if name == outputs[0] else "" for name in outputs}


def _sources(problem: Problem, files: Mapping[str, str], answer: Mapping[str, str]) -> list[str]:
    """What is compiled: what the harness names, else all Verilog of the record."""
    known = {**files, **answer}
    named = [str(name) for name in problem.extra["sources"] if name in known]  # type: ignore[union-attr]
    if not any(name in answer for name in named):
        named += [name for name in answer if name.endswith(_RTL)]
    if len(named) == len(answer) or problem.extra["sources"]:
        return list(dict.fromkeys(named))
    return [name for name in known if name.endswith(_RTL)]


def _examined(sources: Mapping[str, str], answer: Mapping[str, str], top: str) -> Design | Refusal:
    """All sources as one text that the gate let through. Refusals of what is given are not the answer's fault."""
    text = "\n".join(_with_includes(code, {**sources, **answer}) for code in sources.values())
    with bounds.held(Bound(bounds.READING_CPU_S, bounds.READING_MB)):
        if not any(modules(code) for code in answer.values()):
            return Refusal(Verdict.NO_CODE, "the answer holds no module")
        found = gate.examine(text, top)
        if isinstance(found, Design) or found.verdict is not Verdict.GAMED:
            return found
        given = "\n".join(code for name, code in sources.items() if name not in answer)
        for span in modules(given):
            refused = gate.examine(given, span.name)
            if isinstance(refused, Refusal) and refused.detail == found.detail:
                return Refusal(Verdict.UNJUDGEABLE, f"a file of the problem is refused: {found.detail}")
    return found


def _with_includes(code: str, files: Mapping[str, str], depth: int = 8) -> str:
    """``code`` with the record's own files in place of what includes them, by their last name."""
    named = {PurePosixPath(name).name: text for name, text in files.items()}

    def text_of(found: re.Match[str]) -> str:
        inner = named.get(PurePosixPath(found[1]).name)
        return found[0] if inner is None or not depth else _with_includes(inner, files, depth - 1)

    return _INCLUDE.sub(text_of, code)


def _in_sandbox(services: Iterable[Mapping[str, Any]], files: Mapping[str, str]) -> HarnessRun:
    """Lay the files out as in the container, below a private folder, and run the commands up to one that fails."""
    with sandbox.scratch() as folder:
        for name in ("code/rtl", "code/verif", "code/docs", "code/rundir", "src", "rundir/harness", "seed"):
            (folder / name).mkdir(parents=True)
        for name, text in {**files, "seed/sitecustomize.py": _SEED}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_moved(text, folder) if name.startswith("src/") else text, "utf-8", "surrogatepass")
        until = time.monotonic() + WALL_S
        steps: list[Completed] = []
        for service in services:
            cwd = Path(_moved(service["cwd"], folder))
            cwd = cwd if cwd.is_dir() and cwd.is_relative_to(folder) else folder / "code/rundir"
            argv = [
                sys.executable,
                "-c",
                f"import os, sys; os.chdir({str(cwd)!r}); os.execv(sys.argv[1], sys.argv[1:])",
            ]
            argv += _command([_moved(word, folder) for word in service["argv"]])
            limits = replace(LIMITS, wall_s=max(1.0, until - time.monotonic()), readable=_readable())
            steps.append(sandbox.run(argv, cwd=folder, limits=limits, env=_environment(service["env"], folder)))
            if steps[-1].returncode != 0:
                break
        number, failures = _results(folder)
    return HarnessRun(steps=tuple(steps), num_tests=number, failures=failures)


def _moved(text: str, folder: Path) -> str:
    """A text's paths of the container, below ``folder``."""
    return _IN_CONTAINER.sub(lambda found: f"{folder}/{found[1]}", text)


def _command(argv: list[str]) -> list[str]:
    """The harness's command with this Python. A script of pytest tests is given to pytest, which checks results."""
    if argv[0] != "pytest":
        script = Path(argv[1]) if len(argv) > 1 else None
        if script is None or not script.is_file() or "def test_" not in script.read_text("utf-8", "replace"):
            return [sys.executable, *argv[1:]]
        argv = ["pytest", str(script)]
    return [sys.executable, "-m", "pytest", "-x", *argv[1:]]  # one failure is enough


def _environment(settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    plain = sandbox.minimal_env()
    programs = [os.path.dirname(icarus.find(name)) for name in ("iverilog", "vvp")]  # noqa: PTH120
    ours = {
        "PATH": os.pathsep.join(dict.fromkeys([*programs, *plain["PATH"].split(os.pathsep)])),
        "HOME": str(folder / "code/rundir"),
        "COCOTB_RANDOM_SEED": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    theirs = {name: _moved(value, folder) for name, value in settings.items() if name not in ours}
    path = os.pathsep.join(part for part in (str(folder / "seed"), theirs.pop("PYTHONPATH", "")) if part)
    return {**plain, **theirs, **ours, "PYTHONPATH": path}


def _readable() -> tuple[str, ...]:
    """Where cocotb, pytest and Icarus lie, which the sandbox would else show for the Python alone."""
    from importlib.util import find_spec

    found = [
        Path(str(spec.origin)).parents[1] for name in ("cocotb", "pytest") if (spec := find_spec(name)) is not None
    ]
    for program in ("iverilog", "vvp"):
        prefix = Path(icarus.find(program)).resolve().parents[1]
        found += [prefix / "bin", prefix / "lib"]
    return tuple(str(path) for path in found)


def _results(folder: Path) -> tuple[int, tuple[Failure, ...]]:
    """Number of tests, and those that failed, in all result files that cocotb wrote."""
    number, failures = 0, list[Failure]()
    for path in sorted(folder.rglob("*.xml")):
        try:
            root = ElementTree.parse(path).getroot() if path.stat().st_size <= _MAX_XML else None
        except (OSError, ElementTree.ParseError):
            root = None
        if root is None or root.get("name") not in _RESULTS:
            continue
        for case in root.iter("testcase"):
            number += 1
            wrong = next((child for child in case if child.tag in ("failure", "error")), None)
            if wrong is not None:
                said = wrong.get("error_msg") or wrong.get("message") or wrong.get("error_type") or "failed"
                failures.append(Failure(case.get("name") or "?", said))
    return number, tuple(failures)


def verdict(ran: HarnessRun) -> Judgement:
    """What a run means: right where every command ended with status 0 and every cocotb test passed."""
    if ran.refused is not None:
        return ran.refused
    last = ran.steps[-1]
    if last.timed_out and last.cpu_s < _BUSY_S:
        return (
            Verdict.TOOL_FAILED,
            f"the machine is too busy: {last.cpu_s:.0f} s of processor time in {last.seconds:.0f} s",
        )
    stopped = limit_or_kill(last)
    if stopped is None and last.overran:
        stopped = Verdict.TIMEOUT, f"its {last.overran} grew beyond what is allowed"
    if stopped is not None:
        return stopped
    wrong = next((f for f in ran.failures if not _ENDED_EARLY.search(f.message)), None)
    if wrong is not None:
        return Verdict.WRONG_OUTPUT, cut(f"{wrong.test}: {wrong.message.splitlines()[0]}")
    if ran.failures:
        return blamed((Verdict.RUNTIME_ERROR, f"{ran.failures[0].test}: the simulation ended early"), ran.design)
    if last.returncode != 0 and last.cpu_s >= LIMITS.cpu_s:
        return Verdict.TIMEOUT, f"a simulation took more than {LIMITS.cpu_s} s of processor time"
    if last.returncode == 0:
        return (Verdict.PASSED, "") if ran.num_tests else (Verdict.UNJUDGEABLE, "its harness reports no test")
    if last.returncode in (2, 3, 4, 5):  # pytest could not even begin
        return Verdict.UNJUDGEABLE, cut(f"its harness cannot run here: {_said(last)}")
    return Verdict.RUNTIME_ERROR, cut(f"the harness ended with status {last.returncode}: {_said(last)}")


def _said(done: Completed) -> str:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if line.startswith(("E ", "ERROR", "FAILED"))), lines[-1] if lines else ""
    )
