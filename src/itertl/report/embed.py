"""The data that a page carries: a list of all answers, and the texts of as many as fit.

What is kept, in this order, until the page is full: of each problem of an evaluation its first answer under every
model; its further answers; then the training candidates, of each problem under each model the first, then the second
of every problem, and so on; among equals, those of the last model first. An answer whose texts do not fit stays in the
list, where it can be filtered by all but text. Of more than ``MOST_ROWS`` answers, the list too holds the first by this
order. ``itertl view`` serves the rest.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from itertl.records import Fault, Verdict
from itertl.report.catalogue import NOT_SCORED, TRAINING, Catalogue
from itertl.runs import wording as text

PAGE_BYTES = 20_000_000
MOST_ROWS = 120_000
_KINDS = {
    Verdict.PASSED: "good", Verdict.SCORED: "part", Verdict.WRONG_OUTPUT: "output", Verdict.RUNTIME_ERROR: "output",
    Verdict.TIMEOUT: "output", Verdict.GAMED: "gamed", Verdict.TRUNCATED: "cut",
}  # fmt: skip


def escaped(value: Any) -> Markup:
    """JSON that can stand in a script element: no character but ASCII, and none that HTML could take for markup."""
    plain = json.dumps(_printable(value), separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        plain = plain.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(plain)


def script() -> tuple[Markup, str]:
    """The page's script, and the source expression by which a content security policy allows it and no other."""
    parts = [
        PackageLoader("itertl.report").get_source(Environment(), f"{name}.js")[0] for name in ("drawing", "browse")
    ]
    code = '"use strict";\n{\n' + "".join(parts) + "}\n"
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return Markup(code), f"'sha256-{digest}'"


class Packed(NamedTuple):
    """The data of a page, and what it says of answers that are not in it."""

    data: Markup
    left_out: tuple[str, ...]


def payload(catalogue: Catalogue, room: int) -> Packed:
    """The data of a page of its own, at most ``room`` bytes where the list fits at all."""
    order = by_worth(catalogue)
    rows = sorted(order[:MOST_ROWS])
    number = {answer: position for position, answer in enumerate(rows)}
    head = _head(catalogue, rows)
    spare = room - len(escaped(head)) - 200
    details: dict[int, Markup] = {}
    problems: dict[int, Markup] = {}
    misfits = 0
    for answer in order[:MOST_ROWS]:
        task = catalogue.answers[answer].task
        detail = escaped(catalogue.detail(answer))
        problem = None if task in problems else escaped(problem_of(catalogue, task))
        cost = len(detail) + len(problem or "") + 20
        if cost > spare:
            misfits += 1
            if misfits == 20:  # full, but for answers much shorter than the others
                break
            continue
        spare -= cost
        details[number[answer]] = detail
        if problem is not None:
            problems[task] = problem
    parts = (f'"served":false,"details":{_joined(details)},"problems":{_joined(problems)}', str(escaped(head))[1:])
    return Packed(Markup("{" + ",".join(parts)), tuple(_left_out(len(order), len(rows), len(details))))


def _joined(values: Mapping[int, Markup]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in values.items()) + "}"


def _left_out(every: int, rows: int, texts: int) -> Iterator[str]:
    if rows < every:
        yield f"This file lists {text.count(rows)} of {text.count(every)} answers; itertl view RUN serves them all."
    if texts < rows:
        yield (
            f"This file holds the texts of {text.count(texts)} of its {text.count(rows)} answers, those of evaluations "
            f"first; the others can be filtered, not read or searched. itertl view RUN serves them all."
        )


def served_payload(catalogue: Catalogue) -> Markup:
    """The list of all answers, for a page that asks for their texts."""
    every = range(len(catalogue.answers))
    return escaped({**_head(catalogue, every), "served": True, "details": {}, "problems": {}})


def problem_of(catalogue: Catalogue, task: int) -> dict[str, str]:
    """What a problem asks, and its reference; empty texts where it is not known."""
    problem = catalogue.tasks[task].problem
    if problem is None:
        return {"prompt": "", "header": "", "reference": ""}
    return {"prompt": problem.instruction, "header": problem.header, "reference": problem.reference or ""}


def _head(catalogue: Catalogue, rows: Sequence[int]) -> dict[str, Any]:
    """Runs, tasks, verdicts and rungs by number, and the rows in columns."""
    answers = [catalogue.answers[row] for row in rows]
    verdicts = [v.value for v in Verdict if any(a.verdict == v.value for a in answers)]
    verdicts += [NOT_SCORED] if any(a.verdict == NOT_SCORED for a in answers) else []
    ladders = [name for run in catalogue.runs for name in run.recipe.score.ladder]
    rungs = ["", *dict.fromkeys([*ladders, *(a.rung for a in answers if a.rung)])]
    at_verdict, at_rung = ({name: n for n, name in enumerate(names)} for names in (verdicts, rungs))
    return {
        "runs": [{"name": run.name} for run in catalogue.runs],
        "tasks": [
            [task.group, task.name, text.one_line(task.problem.instruction, 100) if task.problem else ""]
            for task in catalogue.tasks
        ],
        "training": TRAINING,
        "verdicts": [[name, name.replace("_", " "), _kind(name)] for name in verdicts],
        "rungs": rungs,
        "rows": {
            "run": [a.run for a in answers], "model": [a.model for a in answers], "task": [a.task for a in answers],
            "index": [a.index for a in answers], "verdict": [at_verdict[a.verdict] for a in answers],
            "rung": [at_rung[a.rung] for a in answers],
            "value": [None if a.value is None else round(a.value, 4) for a in answers],
            "heat": [a.temperature for a in answers],
        },
    }  # fmt: skip


def _kind(verdict: str) -> str:
    """The class of the style sheet, which has the verdict's colour and sign."""
    if verdict == NOT_SCORED:
        return "ours"
    known = Verdict(verdict)
    return _KINDS.get(known, "ours" if known.fault is Fault.OURS else "compile")


def by_worth(catalogue: Catalogue) -> list[int]:
    """Numbers of all answers, the most worth keeping first."""
    seen: Counter[tuple[int, int, int, float | None]] = Counter()
    keyed: list[tuple[int, int, int, int]] = []
    for number, answer in enumerate(catalogue.answers):
        place = (answer.run, answer.model, answer.task, answer.temperature)
        rank = seen[place]
        seen[place] += 1
        is_candidate = catalogue.tasks[answer.task].group == TRAINING
        level = 2 if is_candidate else min(rank, 1)
        keyed.append((level, rank, -answer.model, number))
    return [number for *_, number in sorted(keyed)]


def _printable(value: Any) -> Any:
    """Every text without what a page cannot show; a number that JSON lacks as null."""
    if isinstance(value, str):
        return text.printable(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
