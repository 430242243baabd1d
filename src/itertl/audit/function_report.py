"""What an audit of references by function found, as a record for programs and as tables for people."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from itertl.audit.report import SHOWN, Member

EXAMPLES = 5  # ids that stand for a reason
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


class FunctionFinding(BaseModel):
    """One fault of one reference. Example: kind "latch", detail "q[3:0]"."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str  # one of KINDS
    problem: Member
    detail: str


class Reason(BaseModel):
    """Why a scorer gives references less than it gives right code: ``verdict`` and text without names and numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    verdict: str
    reason: str
    count: int
    examples: tuple[str, ...]


class SelfScore(BaseModel):
    """How one scorer takes the references scored against themselves: ``full + less + cannot_judge == references``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    scorer: str
    full: int  # value 1, or a measure without pass or fail
    less: int  # value below 1: the reference is refused or found wrong
    cannot_judge: int  # value None: pairs that this scorer cannot use
    reasons: tuple[Reason, ...]


class FunctionReport(BaseModel):
    """All findings about the references of a set of pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
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
        """Three tables for a terminal: faults, scorers, and the scorers' reasons."""
        return Group(self._faults(), self._scorers(), self._reasons())

    def _faults(self) -> Table:
        table = Table(
            title=f"References by function: {self.references} of {self.problems} problems have one, {self.sound} show "
            f"no fault"
        )
        for name, justify in (("fault", "left"), ("references", "right"), ("which", "left")):
            table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for kind, count in self.summary().items():
            named = dict.fromkeys(str(f.problem) for f in self.findings if f.kind == kind)
            table.add_row(Text(kind), str(count), Text(_some(list(named))))
        for reason, count in self.unjudged.items():
            table.add_row(Text(f"not judged, our fault: {reason}"), str(count), "")
        return table

    def _scorers(self) -> Table:
        table = Table(title="Each reference scored against itself")
        table.add_column("scorer")
        for name in ("full value", "less", "cannot be judged"):
            table.add_column(name, justify="right")
        for one in self.scorers:
            table.add_row(one.scorer, str(one.full), str(one.less), str(one.cannot_judge))
        return table

    def _reasons(self) -> Table:
        rows = [(one.scorer, reason) for one in self.scorers for reason in one.reasons[:SHOWN]]
        hidden = sum(len(one.reasons) for one in self.scorers) - len(rows)
        table = Table(title="Why not", caption=f"and {hidden} more, see --json" if hidden else None)
        for name in ("scorer", "verdict", "reason", "references", "for example"):
            table.add_column(name, overflow="fold", justify="right" if name == "references" else "left")
        for scorer, reason in rows:
            table.add_row(
                scorer, reason.verdict, Text(reason.reason), str(reason.count), Text(_some(list(reason.examples)))
            )
        return table


def general(detail: str) -> str:
    """A detail without what is peculiar to one design, so that equal reasons group.

    >>> general("line 14: use of undeclared identifier 'carry'")
    "line N: use of undeclared identifier '…'"
    """
    text = _NUMBER.sub("N", _NAMED.sub(r"\1 …", _QUOTED.sub("'…'", detail)))
    return " ".join(text.split())[:120]


def _some(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else "")
