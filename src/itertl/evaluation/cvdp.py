"""CVDP (Pinckney et al., 2025): records of nvidia/cvdp-benchmark-dataset, judged by their own harness of cocotb tests.

A data path is a JSON Lines file of the data set, agentic or not, or a folder that holds one. A record has a prompt,
files that belong to it (``context``), names of the files to write (``output.context``, or ``patch``, with or without
their content) and a harness: a docker-compose file whose commands call pytest, ``.env`` files, cocotb tests. Here the
same commands run in the sandbox (``cvdp_harness``), so records are left out, and counted by ``Benchmark.notices``, that
ask for no code, need a program or a Python module that is not here, or another simulator than Icarus.

What is not done: tool use of the agentic records (their files are shown in the prompt instead), and scores by
likeness to a text.
"""

import ast
import importlib.metadata
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from itertl.errors import DataError, ToolMissing
from itertl.evaluation import clones
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.fields import text_field
from itertl.evaluation.testbenches import declared
from itertl.records import Problem
from itertl.runs.rows import read_objects
from itertl.verilog.header import derive_header
from itertl.verilog.text import modules

REVISION = 1  # of the judging: raise it when a verdict may come out otherwise
CATEGORIES = {
    "cid002": "code completion", "cid003": "specification to RTL", "cid004": "code modification",
    "cid005": "module reuse", "cid006": "RTL correspondence", "cid007": "lint and quality of results",
    "cid008": "testbench correspondence", "cid009": "questions on RTL", "cid010": "questions on testbenches",
    "cid012": "testbench stimulus", "cid013": "testbench checker", "cid014": "assertions", "cid016": "debugging",
}  # fmt: skip
_NO_CODE = ("cid006", "cid008", "cid009", "cid010")
_COMMERCIAL = ("cid012", "cid013", "cid014")
_KEEPS_PORTS = ("cid002", "cid016")  # the file to write is given with the ports that it is to have
_FETCH = "download a .jsonl of nvidia/cvdp-benchmark-dataset from the hub, then --data FILE.jsonl"
_RTL = (".v", ".sv")
_PROGRAM = re.compile(r"""["'\s/](yosys|verilator|xrun|xmvlog|vcs|vsim|imc|openroad|ghdl)\b""")
_IMAGE = re.compile(r"__VERIF_EDA_IMAGE__|licnetwork")
_SHELL = re.compile(r"[;&|<>`]|\$\(")
_FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")


@dataclass(frozen=True, slots=True)
class Service:
    """One command of a harness, with its container's paths. Example: ``(("pytest", "/src/t.py"), {…}, "/code")``."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row. ``outputs``: file to write -> its right content, "" where that is not published."""

    ident: str
    category: str
    prompt: str
    context: dict[str, str]
    outputs: dict[str, str]
    harness: dict[str, str]
    services: tuple[Service, ...]


def cvdp(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """The records of one file that can be judged here. ``seed`` is ignored: the set is fixed.

    Raises ToolMissing without cocotb, DataError.
    """
    cocotb = cocotb_version()
    file = _file(data)
    problems: list[Problem] = []
    left: dict[tuple[str, str], list[str]] = {}
    for where, row in read_objects(file):
        record = read(row, where)
        reason = why_left_out(record)
        if reason:
            left.setdefault((record.category, reason), []).append(record.ident)
        else:
            problems.append(_problem(record, f"cocotb {cocotb}, {REVISION}"))
    notices = tuple(
        f"cvdp: {len(some)} of {category} ({CATEGORIES.get(category, 'unknown')}) left out, {reason}: {', '.join(some)}"
        for (category, reason), some in sorted(left.items())
    )
    if not problems:
        raise DataError(f"{file}: no record of it can be judged here. {'; '.join(notices) or f'It is empty; {_FETCH}'}")
    version = re.search(r"v(\d+\.\d+\.\d+)", file.name)
    return Benchmark(
        name="cvdp",
        version=version[1] if version else "unversioned",
        problems=tuple(problems[:limit]),
        judge="itertl.evaluation.cvdp_harness:run",
        rules=("harness",),
        default_rule="harness",
        upstream_rule="itertl.evaluation.cvdp_harness:verdict",
        notices=notices,
    )


def cocotb_version() -> str:
    """Raises ToolMissing, naming the extra, where cocotb or pytest is not installed."""
    missing = [name for name in ("cocotb", "pytest") if importlib.util.find_spec(name) is None]
    if missing:
        raise ToolMissing(f"benchmark cvdp: {' and '.join(missing)} not installed: pip install 'itertl[cvdp]'")
    return importlib.metadata.version("cocotb")


def _file(data: Path | None) -> Path:
    root = clones.roots("cvdp", data, (), _FETCH)[0]
    if root.is_file():
        return root
    found = sorted(root.glob("cvdp*.jsonl")) or sorted(root.glob("*.jsonl"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"cvdp: {root} holds {len(found)} .jsonl files ({names}); name one by --data, or {_FETCH}")
    return found[0]


def read(row: Mapping[str, Any], where: str) -> Record:
    """A row of the data set, agentic (``prompt``, ``context``, ``patch``) or not (``input``, ``output``).

    Raises DataError.
    """
    values = {key: _parsed(value) for key, value in row.items()}
    asked: dict[str, Any] = values["input"] if isinstance(values.get("input"), dict) else values
    ident, prompt = text_field(values, "id", where), text_field(asked, "prompt", where)
    categories = values.get("categories")
    if not isinstance(categories, list) or not categories:
        raise DataError(f"{where}: categories is {categories!r}; make it a list like ['cid003', 'easy']")
    category = next((str(word) for word in categories if re.fullmatch(r"cid\d+", str(word))), str(categories[0]))
    context = _texts(_parsed(asked.get("context")), f"{where}: context")
    answers = values["output"].get("context") if isinstance(values.get("output"), dict) else values.get("patch")
    outputs = _texts(_parsed(answers), f"{where}: files to write")
    harness = values.get("harness") or {}
    harness = _texts(_parsed(harness.get("files", harness)), f"{where}: harness")
    services = tuple(_services(harness, where))
    return Record(ident, category, prompt, context, _whole(outputs, context, where), harness, services)


def _parsed(value: Any) -> Any:
    """Columns of the hub may come as JSON texts of their objects."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _texts(value: Any, what: str) -> dict[str, str]:
    """File -> text; files that are null are not there. Raises DataError, also for a path that leaves the folder."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str | None) for text in value.values()):
        raise DataError(f"{what} is not an object of texts; make it {{file name: text}}")
    for name in value:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise DataError(f"{what}: {name!r} lies outside of the record's folder; give a path within it")
    return {str(PurePosixPath(name)): text for name, text in value.items() if text is not None}


def _whole(outputs: Mapping[str, str], context: Mapping[str, str], where: str) -> dict[str, str]:
    """Files to write; one that is given as a difference is applied to the context's. Raises DataError."""
    return {
        name: patched(context.get(name, ""), text, f"{where}: {name}") if _HUNK.match(text) else text
        for name, text in outputs.items()
    }


def patched(text: str, difference: str, where: str) -> str:
    """``text`` after a unified difference without file names. Raises DataError where it does not fit."""
    old, new, at = text.split("\n"), list[str](), 0
    for line in difference.split("\n"):
        hunk = _HUNK.match(line)
        if hunk is not None:
            start = int(hunk[1]) - (hunk[2] != "0")
            new += old[at:start]
            at = start
        elif line[:1] == "+":
            new.append(line[1:])
        elif line[:1] in (" ", "-") and line:
            if at >= len(old) or old[at].rstrip() != line[1:].rstrip():
                raise DataError(f"{where}: the patch does not fit its context; get a fresh copy")
            new += old[at : at + 1] if line[0] == " " else []
            at += 1
    return "\n".join([*new, *old[at:]])


def _services(harness: Mapping[str, str], where: str) -> Iterator[Service]:
    compose = harness.get("docker-compose.yml")
    if compose is None:
        return
    try:
        services = yaml.safe_load(compose)["services"].values()
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{where}: its docker-compose.yml cannot be read; get a fresh copy") from error
    for service in services:
        command = service.get("command")
        if not command:
            continue
        files = service.get("env_file") or []
        env: dict[str, str] = {}
        for name in [files] if isinstance(files, str) else files:
            env |= dict(_settings(harness.get(str(PurePosixPath(name)), "")))
        argv = [str(word) for word in command] if isinstance(command, list) else shlex.split(str(command))
        yield Service(tuple(argv), env, str(service.get("working_dir") or "/code/rundir"))


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            yield name.strip(), value.strip().strip("\"'")


def why_left_out(record: Record) -> str:
    """Why a record cannot be judged here, "" where it can."""
    scripts = {name: text for name, text in record.harness.items() if name.endswith(".py")}
    simulators = {service.env.get("SIM", "icarus") for service in record.services}
    programs = {found for text in scripts.values() for found in _PROGRAM.findall(re.sub(r"#.*", "", text))}
    if record.category in _NO_CODE:
        return "no code is asked for"
    if record.category in _COMMERCIAL or _IMAGE.search(record.harness.get("docker-compose.yml", "")):
        return "its harness needs commercial tools"
    if not record.services:
        return "it has no harness"
    if not any(name.endswith(_RTL) for name in outputs_of(record)):
        return "it names no Verilog file to write"
    for service in record.services:
        if service.argv[0] not in ("pytest", "python", "python3") or _SHELL.search(" ".join(service.argv)):
            return f"its harness runs {service.argv[0]}"
    if simulators != {"icarus"}:
        return f"its harness simulates with {', '.join(sorted(simulators))}"
    if programs:
        return f"its harness calls {', '.join(sorted(programs))}"
    absent = sorted(_absent_modules(scripts))
    return f"its harness imports {', '.join(absent)}, not installed here" if absent else ""


def _absent_modules(scripts: Mapping[str, str]) -> set[str]:
    """Modules that the scripts import and that neither they nor this Python have."""
    own = {PurePosixPath(name).stem for name in scripts} | {
        part for name in scripts for part in PurePosixPath(name).parts
    }
    wanted: set[str] = set()
    for text in scripts.values():
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue  # its run will say so
        tried = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if id(node) in tried:
                continue
            if isinstance(node, ast.Import):
                wanted |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                wanted.add(node.module)
    return {name for name in wanted if name.partition(".")[0] not in own and not _is_installed(name)}


def _is_installed(name: str) -> bool:
    top = name.partition(".")[0]
    try:  # what cocotb has differs from version to version; of others the name is enough
        return importlib.util.find_spec(name if top.startswith("cocotb") else top) is not None
    except (ImportError, ValueError):
        return False


def outputs_of(record: Record) -> list[str]:
    """Files to write: those that the record names, else the sources of its harness that are not given."""
    if record.outputs:
        return list(record.outputs)
    return [name.removeprefix("code/") for name in _sources(record) if name.removeprefix("code/") not in record.context]


def _sources(record: Record) -> list[str]:
    """``VERILOG_SOURCES`` of the harness, as paths below its container's root."""
    words = [word for service in record.services for word in service.env.get("VERILOG_SOURCES", "").split()]
    return list(dict.fromkeys(str(PurePosixPath(word.strip("\"'"))).lstrip("/") for word in words))


def _problem(record: Record, judged_with: str) -> Problem:
    outputs = outputs_of(record)
    solved = record.outputs if record.outputs and all(text.strip() for text in record.outputs.values()) else {}
    top = next((service.env["TOPLEVEL"] for service in record.services if "TOPLEVEL" in service.env), "")
    files = {f"code/{name}": text for name, text in record.context.items()}
    files |= {name: text for name, text in record.harness.items() if name.startswith("src/")}
    sources = _sources(record)
    around = [files[name] for name in sources if name in files and name.removeprefix("code/") not in outputs]
    is_asked = top and not any(top in declared(text) for text in around)
    several = {"code": [{name: text} for name, text in solved.items()]}
    return Problem.create(
        instruction=_instruction(record, outputs),
        header=_header(record, outputs, top),
        reference=(json.dumps(several) if len(solved) > 1 else next(iter(solved.values()))) if solved else None,
        top=top if is_asked else None,
        testbench="\n".join(text for name, text in sorted(files.items()) if name.endswith(".py")) or "no script",
        source=f"cvdp:{record.category}",
        licence="CC-BY-4.0",
        upstream_id=record.ident,
        extra={
            "files": files,
            "outputs": list(outputs),
            "sources": list(sources),
            "toplevel": top,
            "services": [{"argv": list(s.argv), "env": dict(s.env), "cwd": s.cwd} for s in record.services],
            "judged_with": judged_with,
        },
    )


def _instruction(record: Record, outputs: list[str]) -> str:
    """The given files, the request, and what to answer with."""
    given = "".join(
        f"Consider the following content for the file {name}:\n```\n{text.rstrip()}\n```\n\n"
        for name, text in record.context.items()
    )
    if len(outputs) == 1:
        wanted = f"Answer with the whole content of the file {outputs[0]}, in Verilog, and nothing else."
    else:
        wanted = (
            f"Answer with the modules of the files {', '.join(outputs)}, one after the other, in one block of Verilog."
        )
    return f"{given}{record.prompt.strip()}\n\n{wanted}\n"


def _header(record: Record, outputs: list[str], top: str) -> str:
    """The module's header where the record gives it, and the answer is to keep it."""
    if record.category not in _KEEPS_PORTS or len(outputs) != 1:
        return ""
    texts = [record.context.get(outputs[0], ""), *(fence[1] for fence in _FENCE.finditer(record.prompt))]
    for text in texts:
        for span in modules(text):
            if span.name == top:
                return derive_header(text[span.start : span.end])
    return ""
