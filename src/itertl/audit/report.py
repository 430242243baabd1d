"""What an audit found, as a record for programs and as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from itertl.records import Problem, Verdict

SHOWN = 12  # rows of each table; ``to_json`` has all
_MISSING = "not checked (--tools)", "not compared (--benchmark NAME)"


class Finding(BaseModel):
    """A part of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(Finding):
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


class Duplicates(Finding):
    """Problems that agree. ``similarity`` is 1 for exact kinds, else the weakest link of the group (Jaccard)."""

    kind: Literal["instruction", "code", "code after renaming", "near instruction", "near code"]
    members: tuple[Member, ...]
    similarity: float = 1.0


class Contamination(Finding):
    """A problem that overlaps a benchmark's task. ``evidence``: the words or code that they share, cut."""

    kind: Literal["instruction", "code", "code after renaming", "near code"]
    problem: Member
    task: str
    benchmark: str
    value: float  # share of common 8-grams, or Jaccard of code; 1 where equal
    evidence: str


class BadReference(Finding):
    """A reference that slang refuses."""

    problem: Member
    verdict: Verdict
    detail: str


class AuditReport(Finding):
    """All findings. ``references_passed + len(bad_references) + unjudged == with_reference`` where tools were asked."""

    problems: int
    with_reference: int
    benchmark_tasks: int
    duplicates: tuple[Duplicates, ...]
    contamination: tuple[Contamination, ...] | None  # None: not compared with a benchmark
    bad_references: tuple[BadReference, ...]
    references_passed: int | None  # None: not checked
    unjudged: dict[str, int]  # our own failures to check a reference: reason -> how often
    thresholds: dict[str, float]

    @property
    def contaminated_ids(self) -> tuple[str, ...]:
        """Ids of problems that overlap a benchmark, each once, in order."""
        return tuple(dict.fromkeys(finding.problem.id for finding in self.contamination or ()))

    @property
    def unsound_ids(self) -> frozenset[str]:
        """Ids of problems that overlap a benchmark, whose reference is refused, or that repeat an earlier one."""
        repeats = (member.id for group in self.duplicates for member in group.members[1:])
        return frozenset([*self.contaminated_ids, *(bad.problem.id for bad in self.bad_references), *repeats])

    def to_json(self) -> dict[str, Any]:
        """A JSON-able object with every finding and a summary of counts."""
        return {"schema": "itertl.audit/1", "summary": self.summary(), **self.model_dump(mode="json")}

    def summary(self) -> dict[str, int | None]:
        """How many problems each kind of finding names; None for what was not looked for."""
        counts: dict[str, int | None] = {
            f"duplicates: {kind}": 0 for kind in get_args(Duplicates.model_fields["kind"].annotation)
        }
        for group in self.duplicates:
            kind = f"duplicates: {group.kind}"
            counts[kind] = (counts[kind] or 0) + len(group.members)
        is_checked = self.references_passed is not None
        counts["contaminated"] = None if self.contamination is None else len(self.contaminated_ids)
        counts["references that fail"] = len(self.bad_references) if is_checked else None
        counts["references unjudged"] = sum(self.unjudged.values()) if is_checked else None
        return counts

    def render(self) -> RenderableType:
        """Tables for a terminal: counts first, then the findings of each kind, the first few."""
        parts: list[RenderableType] = [self._counts()]
        if self.duplicates:
            rows = [(g.kind, f"{g.similarity:.2f}", str(len(g.members)), some(g.members, 4)) for g in self.duplicates]
            parts.append(_findings("Duplicates", ("kind", "likeness", "problems", "which"), rows))
        if self.contamination:
            rows = [
                (c.kind, f"{c.value:.2f}", str(c.problem), f"{c.benchmark}/{c.task}", c.evidence)
                for c in self.contamination
            ]
            parts.append(_findings("Overlap with benchmarks", ("kind", "share", "problem", "task", "in common"), rows))
        if self.bad_references:
            rows = [(b.verdict.value, str(b.problem), b.detail) for b in self.bad_references]
            parts.append(_findings("References that slang refuses", ("verdict", "problem", "first message"), rows))
        return Group(*parts)

    def _counts(self) -> Table:
        counts = {
            **self.summary(), "without a reference": self.problems - self.with_reference,
            "references that parse and elaborate": self.references_passed, **not_judged(self.unjudged),
        }  # fmt: skip
        against = f" against {self.benchmark_tasks} benchmark tasks" if self.benchmark_tasks else ""
        rows = [(name, _MISSING[name == "contaminated"] if count is None else count) for name, count in counts.items()]
        return table(
            f"Audit of {self.problems} problems{against}", ("finding", "problems"), rows, numbers=("problems",)
        )


def not_judged(failures: Mapping[str, int]) -> dict[str, int]:
    """Our own failures as rows of a table."""
    return {f"not judged, our fault: {reason}": count for reason, count in failures.items()}


def some(names: Sequence[object], most: int) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    hidden: int = 0,
) -> Table:
    """``numbers``: the columns that hold numbers. ``hidden``: how many rows are left out, for the caption."""
    made = Table(title=title, caption=f"and {hidden} more, see --json" if hidden > 0 else None)
    for column in columns:
        made.add_column(column, overflow="fold", justify="right" if column in numbers else "left")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made


def _findings(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The first rows of a kind of finding."""
    short = [[cell if len(cell) <= 160 else cell[:157] + "…" for cell in row] for row in rows[:SHOWN]]
    return table(title, columns, short, hidden=len(rows) - SHOWN)
