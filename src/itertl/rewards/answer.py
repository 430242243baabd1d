"""What is asked of a reward, and what is answered: plain values that travel between processes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from itertl.errors import DataError, nearest
from itertl.verilog.text import modules

TEXTS = ("reference", "header", "top", "testbench", "testbench_top", "marker", "benchmark", "task_id", "data")
TABLES = ("data_files", "given")  # name -> text
EXTRA = ("testbench_top", "marker", *TABLES)  # of ``Problem.extra``, that a testbench needs
FIELDS = (*TEXTS, *TABLES)


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one completion, and what it was made of. ``value`` is None exactly where the fault is ours."""

    value: float | None
    verdict: str  # ``records.Verdict`` of what decided: the first scorer that does not give all it can, else the last
    detail: str = ""
    is_right: bool | None = None  # by function or by testbench; None: nothing says
    # by scorer: {"value", "verdict", "detail"}; a rung above the first that was not held is absent
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


def unjudged(verdict: str, detail: str) -> Reward:
    """Of a completion that could not be judged, by our fault or its problem's."""
    return Reward(None, verdict, detail[:500])


@dataclass(frozen=True, slots=True)
class Question:
    """One completion, as the model wrote it, and the ground truth as the data has it."""

    text: str
    truth: str  # canonical JSON of the fields of ``FIELDS`` that are given, or "" where ``fault`` says why not
    fault: str = ""


def question(completion: Any, truth: Any, beside: Mapping[str, Any] | None = None) -> Question:
    """Of what a trainer hands over; never raises. ``beside``: columns that may hold what ``truth`` lacks."""
    try:
        return Question(text_of(completion), json.dumps(read_truth(truth, beside or {}), sort_keys=True))
    except (DataError, TypeError, ValueError, RecursionError) as error:
        return Question("", "", f"{error}"[:400])


def text_of(completion: Any) -> str:
    """A completion's text: itself, or of a chat the last message of the assistant, its text parts joined.

    Raises DataError.
    """
    if completion is None or isinstance(completion, str):
        return completion or ""
    if isinstance(completion, Mapping):
        completion = [completion]
    if isinstance(completion, Sequence) and not isinstance(completion, bytes | bytearray):
        messages = [cast("Mapping[str, Any]", one) for one in completion if isinstance(one, Mapping)]
        if len(messages) == len(completion):
            own = [one for one in messages if one.get("role", "assistant") == "assistant"]
            return _content(own[-1].get("content")) if own else ""
    raise DataError(f"the completion is a {type(completion).__name__}; give a text, or a list of messages")


def _content(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Sequence) and all(isinstance(part, Mapping) for part in content):
        return "".join(str(part.get("text") or "") for part in content if part.get("type", "text") == "text")
    raise DataError(f"a message's content is a {type(content).__name__}; give a text, or a list of parts")


def read_truth(truth: Any, beside: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ground truth: a mapping of ``FIELDS``, the JSON text of one, or a reference's Verilog alone.

    Absent and null are the same; ``header`` and ``top`` may stand in ``beside``. Raises DataError (field and fix).
    """
    given = _mapping(truth)
    unknown = next((name for name in given if name not in FIELDS), None)
    if unknown is not None:
        raise DataError(f"ground truth: unknown field {unknown!r}; {nearest(unknown, FIELDS, otherwise=_KNOWN)}")
    found = {name: value for name, value in given.items() if value is not None}
    for name in ("header", "top"):
        if isinstance(beside.get(name), str):
            found.setdefault(name, beside[name])
    for name, value in found.items():
        if not isinstance(value, str if name in TEXTS else Mapping):
            kind = "a text" if name in TEXTS else "names and texts"
            raise DataError(f"ground truth: field {name} is a {type(value).__name__}, not {kind}")
    if "benchmark" in found:
        if "task_id" not in found:
            raise DataError("ground truth: benchmark needs task_id beside it, the id of the problem there")
    elif not str(found.get("reference", "")).strip():
        raise DataError(f"ground truth: no reference; {_KNOWN}")
    return {name: dict(value) if name in TABLES else value for name, value in found.items()}


_KNOWN = f"it has reference (a right design), or benchmark and task_id, and of {', '.join(FIELDS)} what there is"


def _mapping(truth: Any) -> dict[str, Any]:
    if isinstance(truth, Mapping):
        return {str(name): value for name, value in truth.items()}
    if not isinstance(truth, str):
        raise DataError(f"ground truth: is a {type(truth).__name__}; {_KNOWN}")
    if truth.lstrip()[:1] == "{":
        try:
            return _mapping(json.loads(truth))
        except ValueError as error:
            raise DataError(f"ground truth: looks like JSON and is none ({error}); {_KNOWN}") from error
    if not modules(truth):
        raise DataError(f"ground truth: neither JSON nor a Verilog module; {_KNOWN}")
    return {"reference": truth}


def canonical(truth: Any) -> str:
    """One text for equal ground truths, whatever they are."""
    return truth if isinstance(truth, str) else json.dumps(truth, sort_keys=True, default=str)
