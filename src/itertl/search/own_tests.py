"""A testbench that the model wrote, and designs of the same model run against it.

The verdict of a testbench is read from strings that it prints with "PASS" or "FAIL" (or their kin) in them, and from
``$error``. They are marked in its text before ``bench.prepare`` puts a nonce before each mark, so that no design can
print a verdict; the testbench's own ``$finish`` is marked too, so that a design that ends the run early is seen.

What it does not: look at whether a testbench is right. One that always prints "PASS" and could print "FAIL" agrees with
all.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from itertl.errors import DataError
from itertl.judging import bench, gate, strict
from itertl.judging.harmless import ENDING_CALL
from itertl.records import Examined, Problem, Verdict
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound, BoundReached
from itertl.sandbox.sandbox import Limits
from itertl.verilog.header import instances
from itertl.verilog.text import Token, modules, tokenize

REVISION = 1  # of the rules here
REQUEST = """Write a self-checking Verilog testbench, a module called tb, for the module that this asks for:

{instruction}

{header}

The testbench instantiates the module, drives its inputs, works out what each output should be, and compares. For each \
check it prints one line with $display that begins with PASS or FAIL and shows the inputs, the expected and the actual \
outputs. It ends with $finish. Write the testbench alone, not the module."""
HEADER = "module tb;\n"
LIMITS = Limits(wall_s=25, cpu_s=3, memory_mb=1024, file_mb=16, output_kb=1024)
MISFITS = frozenset({Verdict.SYNTAX_ERROR, Verdict.ELABORATION_ERROR, Verdict.COMPILE_ERROR, Verdict.UNJUDGEABLE})
_MARK = "itertl:"
_PRINTS = re.compile(r"\$(?:display|write|strobe|monitor|error|fatal|warning|info)[bho]?")
_REPORTS = ("$error", "$fatal")
_WORDS = {
    "pass": r"pass(?:ed|es)?|success(?:es|ful|fully)?|ok|correct(?:ly)?",
    "fail": r"fail(?:s|ed|ure)?|error|mismatch(?:ed)?|wrong|incorrect(?:ly)?|unexpected|time-?out|timed out",
    "many": r"errors|mismatches|failures|failed (?:tests|checks|cases)|(?:tests|checks|cases) failed|error count",
}
_PASS, _FAIL, _MANY = (re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", re.IGNORECASE) for words in _WORDS.values())
_NONE = re.compile(r"(?<![A-Za-z])(?:no|0|zero|without|without any)\s+(?:errors?|mismatch(?:es)?|failures?)\b", re.I)
_COUNT = re.compile(r"%0?\d*d", re.IGNORECASE)
_COUNTED = tuple(  # the number that belongs to the word, in the order in which it is looked for
    re.compile(pattern.format(_WORDS["many"]), re.IGNORECASE)
    for pattern in (r"(?:{})\W*[:=]\s*(\d+)", r"(\d+)\s+(?:\w+\s+)?(?:{})", r"(?:{})\D*(\d+)")
)
_PASS_COUNT = re.compile(rf"(?<![A-Za-z])(?:{_WORDS['pass']})\s*[:=]?\s*%", re.IGNORECASE)
_MOST_LINES, _LINE_CHARS = 5, 160


@dataclass(frozen=True, slots=True)
class Bench:
    """A testbench with its announcements marked. ``finishes``: whether its text holds a ``$finish`` of its own."""

    text: str
    root: str
    finishes: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """One design against one testbench."""

    test: str
    code: str
    top: str
    bound: Bound


def trial(question: Trial) -> Examined:
    """``rank``: the share of the checks that pass, 1 where all do; ``message``: what failed, a line each.

    A verdict of ``MISFITS`` says that testbench and design do not go together at all. Raises ToolMissing.
    """
    marked = announced(question.test, question.top)
    if isinstance(marked, str):
        return Examined(verdict=Verdict.UNJUDGEABLE, rank=0.0, message=marked)
    with bounds.held(question.bound):
        try:
            return _tried(marked, question)
        except BoundReached:
            return Examined(verdict=Verdict.TIMEOUT, rank=0.0, message="the run did not end")


def _tried(marked: Bench, question: Trial) -> Examined:
    found = gate.examine(question.code, question.top)
    if isinstance(found, gate.Refusal):
        return Examined(verdict=found.verdict, rank=0.0, message=found.detail)
    try:
        prepared = bench.prepare(
            marked.text, design=found.text, top=question.top, root=marked.root, marker=_MARK
        )  # fmt: skip
    except DataError as error:
        return Examined(verdict=Verdict.UNJUDGEABLE, rank=0.0, message=str(error))
    alone = Problem.create(instruction="", source="own tests")
    said = strict.run(alone, found.text, limits=LIMITS, prepared=prepared)
    if said.stopped is not None and said.stopped[0] in MISFITS:
        return Examined(verdict=said.stopped[0], rank=0.0, message=said.stopped[1], tool_calls=1)
    ends_itself = marked.finishes or ENDING_CALL.search(found.text) is None
    return _read(said, is_ended=any(line.startswith(f"{_MARK}E") for line in said.lines) or (
        not marked.finishes and ends_itself
    ))  # fmt: skip


def _read(said: strict.Said, *, is_ended: bool) -> Examined:
    """What the lines of a run amount to. ``is_ended``: by the testbench's own doing."""
    checks = [(is_passed, reported) for line in said.lines for is_passed, reported in _check(line)]
    passed, failed = sum(p for p, _ in checks), [reported for p, reported in checks if not p]
    if said.stopped is not None and not (failed and said.stopped[0] is Verdict.RUNTIME_ERROR):
        failed.append(said.stopped[1])  # after $fatal the status says no more than its line
    elif said.stopped is None and not is_ended:
        failed.append("the simulation ended before the testbench did")
    message = "\n".join(reported[:_LINE_CHARS] for reported in failed[:_MOST_LINES])
    if not failed:
        return Examined(verdict=Verdict.PASSED, rank=1.0, tool_calls=2)
    is_stall = said.stopped is not None and said.stopped[0] is Verdict.TIMEOUT
    return Examined(
        verdict=Verdict.TIMEOUT if is_stall else Verdict.WRONG_OUTPUT, rank=passed / (passed + len(failed)),
        message=message, tool_calls=2,
    )  # fmt: skip


def _check(line: str) -> Iterator[tuple[bool, str]]:
    """Whether an announced line says that a check passed, and its text; nothing for one that announces no check."""
    kind, _, reported = line.removeprefix(_MARK).partition(" ")
    if kind == "N":
        counted = next((found for pattern in _COUNTED if (found := pattern.search(reported))), None)
        kind = "P" if counted is not None and not counted[1].strip("0") else "F"
    if kind in ("P", "F"):
        yield kind == "P", " ".join(reported.split())


def announced(test: str, top: str) -> Bench | str:
    """The testbench alone, marked; or why it cannot serve. Needs no tool and never raises."""
    spans = modules(test)
    used = instances(test, [span for span in spans if span.name != top])
    outer = next((outer for outer, inner in sorted(used) if inner == top), None)
    if outer is None:
        return f"it does not instantiate the module {top}" if spans else "it holds no module"
    above = {inner: outer for outer, inner in used}
    for _ in spans:
        outer = above.get(outer, outer)
    own = next((span for span in spans if span.name == top), None)
    tokens = tokenize(test)
    edits = [edit for edit in _edits(test, tokens) if own is None or not own.start <= edit[0] < own.end]
    if not any(mark in ("F", "N") for *_, mark in edits):
        return "it has no check that could fail"
    edits += [(own.start, own.end, "", "")] if own is not None else []
    parts, at = [], 0
    for start, end, new, _ in sorted(edits):
        parts += (test[at:start], new)
        at = end
    return Bench("".join([*parts, test[at:]]), outer, any(mark == "E" for *_, mark in edits))


def _edits(text: str, tokens: Sequence[Token]) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, new text, mark) for each string that announces a check, and for each ``$finish``."""
    calls: list[str] = []
    for number, token in enumerate(tokens):
        if token.text == "(":
            before = tokens[number - 1] if number else None
            calls.append(before.text if before is not None and before.kind == "system" else "")
        elif token.text == ")" and calls:
            calls.pop()
        elif token.kind == "string":
            call = next((name for name in reversed(calls) if name), "")
            mark = _mark(token.text, call) if _PRINTS.fullmatch(call) else ""
            if mark:
                yield token.start + 1, token.start + 1, f"{_MARK}{mark} ", mark
        elif token.text in ("$finish", "$stop"):
            end = next((t.end for t in tokens[number + 1 : number + 5] if t.text == ";"), None)
            if end is not None:
                yield token.start, end, f'begin $display("{_MARK}E "); {text[token.start : end]} end', "E"


def _mark(string: str, call: str) -> str:
    """P: a check passed; F: one failed; N: how many failed; "": the string announces nothing."""
    if call in _REPORTS:
        return "F"
    if _NONE.search(string):
        return "P"
    passed, failed, many = _PASS.search(string), _FAIL.search(string), _MANY.search(string)
    if many and _COUNT.search(string) and not passed:
        return "N"
    if passed and (failed or many):
        first = min(m.start() for m in (failed, many) if m)
        return "" if _PASS_COUNT.search(string) else "P" if passed.start() < first else "F"
    return "P" if passed else "F" if failed or many else ""
