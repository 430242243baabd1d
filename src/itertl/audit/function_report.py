"""What an audit of references by function found, as a record for programs and as tables for people."""

import re
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from itertl.audit.report import SHOWN, Finding, Member, not_judged, some, table

EXAMPLES = 5  # ids that are given for a reason
_QUOTED = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|`[^`']*'|\\\S+")
_KINDS_OF_NAME = "port|clock|reset|parameter|module|signal|input|output|instance|variable|function|wire|reads|lacks"
_NAMED = re.compile(
    rf"\b({_KINDS_OF_NAME}) (?!(?:of|on|in|is|has|with|does|that|whose|name|as|and|cannot)\b)[\w.\[\]]+"
)
_NUMBER = re.compile(r"(?<![\w-])\d[\w.]*")

# what can be wrong with a reference, in the order of the table
KINDS = {
    "refused": "the judge's gate does not let it through, or it has no clear top module",
    "does not synthesize": "Yosys does not read it, or finds no registers that do what a process says",
    "undriven output": "a bit of an output has no driver",
    "undriven signal": "something inside has no driver and is read",
    "latch": "Yosys: proc finds a latch",
    "X throughout": "an output bit is never 0 or 1",
    "X after reset": "an output bit is X at times though a reset has been given",
    "X without a reset": "an output bit is X at times, and there is no reset to give",
    "still output": "no input was found that moves an output: agreement on it proves nothing, and no candidate gets "
    "vectors 1",
    "not simulated": "its inputs cannot be driven, or its simulation does not end in time",
}
REMARKS = frozenset({"X without a reset"})  # usual in honest hardware: no fault by itself


class FunctionFinding(Finding):
    """One fault of one reference. Example: kind "latch", detail "q[3:0]"."""

    kind: str  # one of KINDS
    problem: Member
    detail: str


class Reason(Finding):
    """Why a scorer gives references less than it gives right code: ``verdict`` and text without names and numbers."""

    verdict: str
    reason: str
    count: int
    examples: tuple[str, ...]


class SelfScore(Finding):
    """How one scorer takes the references scored against themselves: ``full + less + cannot_judge == references``."""

    scorer: str
    full: int  # value 1, or a measure without pass or fail
    less: int  # value below 1: the reference is refused or found wrong
    cannot_judge: int  # value None: pairs that this scorer cannot use
    reasons: tuple[Reason, ...]


class FunctionReport(Finding):
    """All findings about the references of a set of pairs."""

    problems: int
    references: int
    sound: int  # references without a finding that is more than a remark
    findings: tuple[FunctionFinding, ...]
    scorers: tuple[SelfScore, ...]
    unjudged: dict[str, int]  # our own failures: reason -> how often
    tools: dict[str, str]

    def summary(self) -> dict[str, int]:
        """References with each kind of fault; one may have several."""
        return {kind: len({f.problem.id for f in self.findings if f.kind == kind}) for kind in KINDS}

    @property
    def unsound_ids(self) -> frozenset[str]:
        """Ids of problems whose reference has a fault that is more than a remark."""
        return frozenset(f.problem.id for f in self.findings if f.kind not in REMARKS)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able object with every finding."""
        return {"schema": "itertl.audit-function/1", "summary": self.summary(), **self.model_dump(mode="json")}

    def render(self) -> RenderableType:
        """Tables for a terminal: faults, scorers, and the scorers' reasons where there are some."""
        why = [self._reasons()] if any(one.reasons for one in self.scorers) else []
        return Group(self._faults(), self._scorers(), *why)

    def _faults(self) -> Table:
        named = {kind: dict.fromkeys(str(f.problem) for f in self.findings if f.kind == kind) for kind in KINDS}
        rows = [(kind, count, some(list(named[kind]), EXAMPLES)) for kind, count in self.summary().items()]
        rows += [(reason, count, "") for reason, count in not_judged(self.unjudged).items()]
        title = f"References by function: {self.references} of {self.problems} problems have one, {self.sound} show "
        return table(f"{title}no fault", ("fault", "references", "which"), rows, numbers=("references",))

    def _scorers(self) -> Table:
        counts = ("full value", "less", "cannot be judged")
        rows = [(one.scorer, one.full, one.less, one.cannot_judge) for one in self.scorers]
        return table("Each reference scored against itself", ("scorer", *counts), rows, numbers=counts)

    def _reasons(self) -> Table:
        rows = [
            (one.scorer, reason.verdict, reason.reason, reason.count, some(reason.examples, EXAMPLES))
            for one in self.scorers
            for reason in one.reasons[:SHOWN]
        ]
        hidden = sum(len(one.reasons) for one in self.scorers) - len(rows)
        columns = ("scorer", "verdict", "reason", "references", "for example")
        return table("Why not", columns, rows, numbers=("references",), hidden=hidden)


def general(detail: str) -> str:
    """A detail without what is peculiar to one design, so that equal reasons group.

    >>> general("line 14: use of undeclared identifier 'carry'")
    "line N: use of undeclared identifier '…'"
    """
    text = _NUMBER.sub("N", _NAMED.sub(r"\1 …", _QUOTED.sub("'…'", detail)))
    return " ".join(text.split())[:120]
