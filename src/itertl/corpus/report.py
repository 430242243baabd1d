"""What became of every file at the paths of a corpus: the funnel from files to rows, and the licences of what stays."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from itertl.corpus import examine, machine_made
from itertl.problems.texts import CorpusText, LeftOut

FAILED = "file that could not be examined"
LICENCE, REPEAT, NEAR_REPEAT = "licence that is not wanted", "repeat of another file", "near-duplicate of another file"
# rules in the order in which they are asked; reasons that are not here come first (kind, size, what cannot be read)
ORDER = (
    examine.NOT_TEXT, machine_made.ENCRYPTED, machine_made.BASE64, examine.NO_MODULE, examine.TOO_LONG,
    examine.GENERATED, examine.NETLIST, examine.NO_BOOK, examine.NO_VERILOG, FAILED, LICENCE, REPEAT, NEAR_REPEAT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """``files`` + ``passages`` = ``kept`` + the sum of ``left_out`` + the sum of ``opened``."""

    paths: list[str]
    files: int  # seen, of any kind
    passages: int  # that books were cut into
    opened: dict[str, int]  # read and no row themselves: books that were cut, licence files
    left_out: dict[str, int]  # reason -> files and passages, in the order of the rules
    kept: int
    kept_passages: int
    characters: int
    licences: dict[str, int]  # of what is kept, most frequent first
    changed: int  # rows that lost names, addresses or notices
    encodings: dict[str, int]  # other than UTF-8
    alike: int  # rows that a left-out file of another licence is like
    out: str
    left_out_file: str

    @staticmethod
    def of(
        paths: list[str], rows: Sequence[CorpusText], left_out: Sequence[LeftOut], opened: Mapping[str, int], *,
        files: int, out: str, left_out_file: str,
    ) -> "CorpusReport":  # fmt: skip
        reasons = Counter(one.reason for one in left_out)
        place = {reason: number for number, reason in enumerate(ORDER)}
        ordered = sorted(reasons, key=lambda reason: (place.get(reason, -1), reason))
        total = len(rows) + len(left_out) + sum(opened.values())
        encodings = Counter(row.encoding for row in rows if row.encoding != "utf-8")
        return CorpusReport(
            paths, files, total - files, dict(opened), {reason: reasons[reason] for reason in ordered},
            kept=len(rows), kept_passages=sum(row.kind == "passage" for row in rows),
            characters=sum(len(row.text) for row in rows),
            licences=dict(Counter(row.licence for row in rows).most_common()),
            changed=sum(row.removed > 0 for row in rows), encodings=dict(encodings.most_common()),
            alike=sum(bool(row.alike) for row in rows), out=out, left_out_file=left_out_file,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def render(self) -> Table:
        """The funnel, with what is left after each rule."""
        table = Table("rule", "left out", "left", title="from files to texts")
        left = self.files
        table.add_row("files", "", str(left))
        for what, count in self.opened.items():
            left -= count
            table.add_row(f"{what}, read", str(count), str(left))
        if self.passages:
            left += self.passages
            table.add_row("passages of books", f"+{self.passages}", str(left))
        for reason, count in self.left_out.items():
            left -= count
            table.add_row(reason, str(count), str(left))
        return table

    def lines(self) -> list[str]:
        """What the table does not say."""
        licences = ", ".join(f"{name} {count}" for name, count in self.licences.items())
        kinds = f", {self.kept_passages} of them passages" if self.kept_passages else ""
        found = [f"{self.kept} texts{kinds}, {self.characters:,} characters, in {self.out}", f"licences: {licences}"]
        if self.changed:
            found.append(f"{self.changed} texts without the names, addresses and notices that they had")
        if self.encodings:
            found.append("read as " + ", ".join(f"{name} {count}" for name, count in self.encodings.items()))
        if self.alike:
            found.append(f"{self.alike} texts are like a file under a licence that is not wanted (alike of their rows)")
        return [*found, f"each file that is left out, with its reason, in {self.left_out_file}"]
