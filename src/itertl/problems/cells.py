"""The values of one row: text, lists of responses, chats. Every function names row and column where a type is wrong."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from itertl.errors import DataError
from itertl.records import Problem
from itertl.runs.rows import SourceRow

MAX_NAMED = 200  # rows or files that are named one by one


@dataclass(slots=True)
class Counts:
    """What an importer leaves out (``skipped``, named in ``dropped``) or changes (``notes``): reason -> how often."""

    skipped: Counter[str] = field(default_factory=Counter[str])
    notes: Counter[str] = field(default_factory=Counter[str])
    dropped: list[str] = field(default_factory=list[str])  # "where: reason", the first MAX_NAMED
    # rows left out because they lack an instruction or a reference
    blank: list[SourceRow] = field(default_factory=list[SourceRow])
    order: list[str] = field(default_factory=list[str])  # where each problem came from, duplicates included
    # a problem's id -> the file and line, or file, that it came from
    places: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, other: "Counts") -> None:
        """Take in what was counted of another source."""
        self.skipped += other.skipped
        self.notes += other.notes
        self.dropped = (self.dropped + other.dropped)[:MAX_NAMED]
        self.blank += other.blank
        self.places = other.places | self.places

    def skip(self, reason: str, where: str) -> None:
        self.skipped[reason] += 1
        self.name(reason, where)

    def came_from(self, problem: Problem, where: str) -> Problem:
        """``problem``, with its place noted; one that an earlier row had already is named as left out."""
        self.order.append(where)
        if self.places.setdefault(problem.id, where) != where:
            self.name(f"the same as {self.places[problem.id]}", where)
        return problem

    def name(self, reason: str, where: str) -> None:
        if len(self.dropped) < MAX_NAMED:
            self.dropped.append(f"{where}: {reason}")


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(row: SourceRow, column: str, counts: Counts, *, plain: bool = False) -> str | None:
    """The text of a cell; None where it is null. ``plain``: numbers are taken too. Raises DataError."""
    value = row.values.get(column)
    if is_missing(value):
        return None
    if plain and isinstance(value, int | float | str) and not isinstance(value, bool):
        return repaired(str(value), counts)
    if isinstance(value, bytes):
        value = _decoded(value, f"{row.where}: column {column!r}")
    if not isinstance(value, str):
        raise DataError(
            f"{row.where}: column {column!r} holds a {type(value).__name__}, not text; fix the row or choose another "
            f"column"
        )
    return repaired(value, counts)


def _decoded(value: bytes, where: str) -> str:
    """Bytes of UTF-8 as text. Raises DataError, also for a pickle: opening one would run its code."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        what = (
            "a Python pickle, which is not opened because that runs code"
            if value[:1] == b"\x80"
            else "bytes that are not UTF-8"
        )
        raise DataError(f"{where} holds {what}; save the column as text") from error


def question_of(row: SourceRow, column: str, extra: dict[str, Any], counts: Counts) -> str | None:
    """What is asked. Of a chat it is the last message; the whole chat goes to ``extra["prompt_messages"]``."""
    value = row.values.get(column)
    if is_chat(value):
        if len(value) > 1:
            extra["prompt_messages"] = cleaned(value, Counts())
        return content_of(value[-1], row, column)
    return text_of(row, column, counts)


def reference_of(row: SourceRow, column: str, extra: dict[str, Any], counts: Counts) -> str | None:
    """The right answer. Of a list of responses it is the last; the others go to ``extra["responses"]``."""
    value = row.values.get(column)
    if isinstance(value, list) and not is_chat(value):
        for number, response in enumerate(value, 1):
            if response is not None and not isinstance(response, str):
                raise DataError(
                    f"{row.where}: column {column!r}: response {number} is a {type(response).__name__}, not text; fix "
                    f"the row"
                )
        if len(value) > 1:
            extra["responses"] = [repaired(response, counts) for response in value[:-1]]
        return value[-1] if value else None
    return content_of(value[-1], row, column) if is_chat(value) else text_of(row, column, counts)


def is_chat(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) for m in value)


_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant"} | {r: r for r in ("user", "assistant", "system")}


def conversation_of(row: SourceRow, column: str, extra: dict[str, Any]) -> tuple[str | None, str | None]:
    """(last user message before the answer, last assistant message); the system message goes to ``extra``."""
    messages = row.values.get(column)
    if isinstance(messages, str) and messages.lstrip().startswith("["):
        try:
            messages = json.loads(messages)
        except ValueError as error:
            raise DataError(f"{row.where}: column {column!r} is not a JSON list of messages ({error})") from error
    if is_missing(messages) or messages == []:
        return None, None
    if not is_chat(messages):
        raise DataError(f"{row.where}: column {column!r} is not a list of messages; each needs a role and a content")
    turns = [
        (_ROLES.get(str(m.get("role", m.get("from", ""))).lower(), "other"), content_of(m, row, column))
        for m in messages
    ]
    answers = [n for n, (role, _) in enumerate(turns) if role == "assistant"]
    last = answers[-1] if answers else len(turns)
    questions = [n for n, (role, _) in enumerate(turns[:last]) if role == "user"]
    system = [text for role, text in turns if role == "system"]
    if system:
        extra["system"] = system[0]
    if questions and any(role in ("user", "assistant") for role, _ in turns[: questions[-1]]):
        extra["earlier_turns"] = [
            {"role": role, "content": text} for role, text in turns[: questions[-1]] if role != "system"
        ]
    return (turns[questions[-1]][1] if questions else None), (turns[last][1] if answers else None)


def content_of(message: Mapping[str, Any], row: SourceRow, column: str) -> str | None:
    """Text of one chat message: a string, or a list of text parts."""
    content = message.get("content", message.get("value"))
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is not None and not isinstance(content, str):
        raise DataError(f"{row.where}: column {column!r}: a message's content is a {type(content).__name__}, not text")
    return content


_SURROGATE = re.compile("[\ud800-\udfff]")


def repaired(text: str | None, counts: Counts) -> str | None:
    """Text that UTF-8 can hold: surrogate pairs joined, lone surrogates made U+FFFD, and counted."""
    if text is None or not _SURROGATE.search(text):
        return text
    counts.notes["text with surrogates replaced"] += 1
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def cleaned(value: Any, counts: Counts) -> Any:
    """A JSON-able copy of any value: no NaN, no surrogates, keys as text; what JSON has no form for becomes text."""
    if isinstance(value, str):
        return repaired(value, counts)
    if isinstance(value, dict):
        return {repaired(str(k), counts): cleaned(v, counts) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(v, counts) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)
