"""A pair on its way through the filters: what was asked for it, what came of it, and where it was dropped.

``Funnel`` counts it: a step's ``reached`` is what the steps before it left, and the last step's ``left`` is kept.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text

from itertl.records import Candidate, JsonValue, Problem, Record
from itertl.writing.prompts import REVISION
from itertl.writing.teacher import Cost

OURS = "not judged: "  # begins a reason that is our own fault
NOT_ASKED = "not asked: the budget is used up"


class DroppedPair(Record):
    """A pair that a filter dropped, with all that is known of it."""

    schema_name: ClassVar[str] = "itertl.dropped_pair/1"

    name: str  # of the draft, unique in its file
    step: str  # the filter's name, as in the funnel
    reason: str
    detail: str = ""
    instruction: str = ""
    header: str = ""
    code: str = ""
    texts: tuple[str, ...] = ()  # what the teacher wrote, in the order of asking
    written: dict[str, JsonValue]  # as in a kept row's ``extra``


@dataclass(slots=True)
class Draft:
    """Example: name "mutation/17", parents ("keyword/3",), about {}."""

    name: str
    form: str
    parents: tuple[str, ...] = ()
    about: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    instruction: str = ""
    header: str = ""
    top: str | None = None
    codes: list[str] = field(default_factory=list[str])  # that are still in the running; of a kept row, its reference
    original: Problem | None = None  # what is described
    draws: list[tuple[Candidate, Cost]] = field(default_factory=list[tuple[Candidate, Cost]])
    passed: list[str] = field(default_factory=list[str])
    dropped: tuple[str, str, str] | None = None  # step, reason, detail

    def drop(self, step: str, reason: str, detail: str = "") -> None:
        self.dropped = (step, reason, detail)

    def keep_codes(self, step: str, wrong: Mapping[str, tuple[str, str]]) -> None:
        """Drop the codes for which there is a (reason, detail); the draft where none is left, for what is said of the
        first, our own fault last."""
        said = [wrong[code] for code in self.codes if code in wrong]
        self.codes = [code for code in self.codes if code not in wrong]
        if self.codes:
            self.passed.append(step)
        else:
            self.drop(step, *min(said, key=lambda why: why[0].startswith(OURS)))

    def written(self, teacher: str, form: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What a row keeps of how it came to be."""
        total = Cost(self.draws[0][1].price if self.draws else None)
        for _, cost in self.draws:
            total.include(cost)
        first = self.draws[0][0] if self.draws else None
        return {
            "teacher": teacher, "teacher_policy": first and first.policy,
            "form": self.form, "revision": REVISION, "prompt": dict(form),
            "sampling": first and first.settings.model_dump(mode="json"), "seeds": [c.seed for c, _ in self.draws],
            "cost": total.to_json(), "parents": list(self.parents), "passed": list(self.passed), **self.about,
        }  # fmt: skip

    def record(self, teacher: str, form: Mapping[str, JsonValue]) -> DroppedPair:
        """Of a draft that was dropped."""
        assert self.dropped is not None
        step, reason, detail = self.dropped
        original = self.original.reference or "" if self.original is not None else ""
        return DroppedPair(
            name=self.name, step=step, reason=reason, detail=detail, instruction=self.instruction, header=self.header,
            code=self.draws[-1][0].code if len(self.draws) > 1 else original,
            texts=tuple(c.text for c, _ in self.draws), written=self.written(teacher, form),
        )  # fmt: skip


def in_running(drafts: Sequence[Draft]) -> list[Draft]:
    """Those that no filter dropped."""
    return [draft for draft in drafts if draft.dropped is None]


@dataclass(frozen=True, slots=True)
class Funnel:
    """What share survives each filter. ``steps``: their names, in the order in which they were taken."""

    title: str
    drafts: Sequence[Draft]
    steps: Sequence[str]

    def rows(self) -> list[dict[str, Any]]:
        """One object a step; ``left`` = ``reached`` - ``dropped``, and the ``reasons`` add up to ``dropped``."""
        found: list[dict[str, Any]] = []
        left = len(self.drafts)
        for step in self.steps:
            reasons = Counter(d.dropped[1] for d in self.drafts if d.dropped is not None and d.dropped[0] == step)
            reached, left = left, left - reasons.total()
            share = round(left / reached, 4) if reached else None
            found.append(
                {
                    "step": step, "reached": reached, "dropped": reasons.total(), "left": left, "share": share,
                    "reasons": dict(reasons.most_common()),
                }
            )  # fmt: skip
        return found

    def render(self) -> Table:
        """For a terminal."""
        made = Table(title=self.title)
        for name in ("filter", "reached", "dropped", "left", "share", "dropped because"):
            is_number = name in ("reached", "dropped", "left", "share")
            made.add_column(name, overflow="fold", justify="right" if is_number else "left")
        for row in self.rows():
            reasons = "; ".join(f"{reason}: {count}" for reason, count in list(row["reasons"].items())[:4])
            share = "" if row["share"] is None else f"{100 * row['share']:.0f}%"
            cells = (row["step"], row["reached"], row["dropped"], row["left"], share, reasons)
            made.add_row(*(Text(str(cell)) for cell in cells))
        return made
