"""What an audit found, as a record for programs and as tables for people."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from itertl.records import Problem, Verdict

SHOWN = 12  # rows of each table; ``to_json`` has all


class _Finding(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Finding):
    """A problem as a finding names it."""

    id: str
    upstream_id: str | None
    source: str
    where: str | None = None  # file and line, or file, that it came from

    @staticmethod
    def of(problem: Problem, places: Mapping[str, str] = {}) -> "Member":
        return Member(
            id=problem.id, upstream_id=problem.upstream_id, source=problem.source, where=places.get(problem.id)
        )

    def __str__(self) -> str:
        return self.where or self.upstream_id or self.id


class Duplicates(_Finding):
    """Problems that agree. ``similarity`` is 1 for exact kinds, else the weakest link of the group (Jaccard)."""

    kind: Literal["instruction", "code", "code after renaming", "near instruction", "near code"]
    members: tuple[Member, ...]
    similarity: float = 1.0


class Contamination(_Finding):
    """A problem that overlaps a benchmark's task. ``evidence``: the words or code that they share, cut."""

    kind: Literal["instruction", "code", "code after renaming", "near code"]
    problem: Member
    task: str
    benchmark: str
    value: float  # share of common 8-grams, or Jaccard of code; 1 where equal
    evidence: str


class BadReference(_Finding):
    """A reference that slang refuses."""

    problem: Member
    verdict: Verdict
    detail: str


class AuditReport(_Finding):
    """All findings. ``references_passed + len(bad_references) + unjudged == with_reference`` where tools were asked."""

    problems: int
    with_reference: int
    benchmark_tasks: int
    duplicates: tuple[Duplicates, ...]
    contamination: tuple[Contamination, ...]
    bad_references: tuple[BadReference, ...]
    references_passed: int | None  # None: not checked
    unjudged: dict[str, int]  # our own failures to check a reference: reason -> how often
    thresholds: dict[str, float]

    @property
    def contaminated_ids(self) -> tuple[str, ...]:
        """Ids of problems that overlap a benchmark, each once, in order."""
        return tuple(dict.fromkeys(finding.problem.id for finding in self.contamination))

    @property
    def unsound_ids(self) -> frozenset[str]:
        """Ids of problems that overlap a benchmark, whose reference is refused, or that repeat an earlier one."""
        repeats = (member.id for group in self.duplicates for member in group.members[1:])
        return frozenset([*self.contaminated_ids, *(bad.problem.id for bad in self.bad_references), *repeats])

    def to_json(self) -> dict[str, Any]:
        """A JSON-able object with every finding and a summary of counts."""
        return {"schema": "itertl.audit/1", "summary": self.summary(), **self.model_dump(mode="json")}

    def summary(self) -> dict[str, int]:
        """How many problems each kind of finding names."""
        counts = {f"duplicates: {kind}": 0 for kind in Duplicates.model_fields["kind"].annotation.__args__}  # type: ignore[union-attr]
        for group in self.duplicates:
            counts[f"duplicates: {group.kind}"] += len(group.members)
        counts["contaminated"] = len(self.contaminated_ids)
        counts["references that fail"] = len(self.bad_references)
        counts["references unjudged"] = sum(self.unjudged.values())
        return counts

    def render(self) -> RenderableType:
        """Tables for a terminal: counts first, then the findings of each kind, the first few."""
        parts: list[RenderableType] = [self._counts()]
        if self.duplicates:
            rows = [(g.kind, f"{g.similarity:.2f}", str(len(g.members)), _some(g.members)) for g in self.duplicates]
            parts.append(_table("Duplicates", ("kind", "likeness", "problems", "which"), rows))
        if self.contamination:
            rows = [
                (c.kind, f"{c.value:.2f}", str(c.problem), f"{c.benchmark}/{c.task}", c.evidence)
                for c in self.contamination
            ]
            parts.append(_table("Overlap with benchmarks", ("kind", "share", "problem", "task", "in common"), rows))
        if self.bad_references:
            rows = [(b.verdict.value, str(b.problem), b.detail) for b in self.bad_references]
            parts.append(_table("References that slang refuses", ("verdict", "problem", "first message"), rows))
        return Group(*parts)

    def _counts(self) -> Table:
        table = Table(title=f"Audit of {self.problems} problems against {self.benchmark_tasks} benchmark tasks")
        table.add_column("finding")
        table.add_column("problems", justify="right")
        for name, count in self.summary().items():
            table.add_row(name, str(count))
        table.add_row("without a reference", str(self.problems - self.with_reference))
        passed = "not checked" if self.references_passed is None else str(self.references_passed)
        table.add_row("references that parse and elaborate", passed)
        for reason, count in self.unjudged.items():
            table.add_row(Text(f"not judged, our fault: {reason}"), str(count))
        return table


def _some(members: tuple[Member, ...]) -> str:
    shown = ", ".join(str(member) for member in members[:4])
    return shown + (f" and {len(members) - 4} more" if len(members) > 4 else "")


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """The first rows of a finding's table; the caption says how many are not shown."""
    left = len(rows) - SHOWN
    table = Table(title=title, caption=f"and {left} more, see --json" if left > 0 else None)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows[:SHOWN]:
        table.add_row(*(Text(cell if len(cell) <= 160 else cell[:157] + "…") for cell in row))
    return table
