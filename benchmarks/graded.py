"""Whether z of the ladder orders designs as they are right: graded designs of ten references, and pairs of a better and
a worse one.

``graded/*.v``: a reference, the stimulus of a testbench, six designs under ``//// level: NAME``, worst first, and pairs
``//// better: NAME``, ``//// worse: NAME``. How good a level is says plain Icarus: the share of looks at which all
outputs are right. For each reference: Spearman's rank correlation of z and that share; over all: pairs in which the
better design has the lower z, and those where it is lower by more than beta.

``--designs FILE.jsonl`` takes levels of a file instead: lines with ``reference``, ``completion``, ``top``, ``class``,
``level`` and ``quality``. ``ours`` is the mean Spearman of z, ``theirs`` that of the paper's score.
"""

import argparse
import itertools
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.config import ScoreConfig, load_recipe
from itertl.scoring.combine import combine
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.interface import Port, read
from itertl.scoring.item import ScoreItem

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "itertl-function.yaml"
BETA = 0.2
HELD_OUT = ("divider", "pipeline", "priority", "sequence", "serializer")  # not used to choose the values
_HEADING = re.compile(r"^//// (reference|stimulus|level|better|worse)(?:: (.+))?\n", re.M)


@dataclass(frozen=True, slots=True)
class Design:
    """One design: ``Design("alu", "level", "stub", item, 0.0)``; ``quality`` in [0, 1], None in a pair."""

    family: str
    role: str
    name: str
    item: ScoreItem
    quality: float | None


def designs(folder: Path) -> list[Design]:
    """All designs of ``folder``. Raises ValueError where plain Icarus cannot run a level."""
    found: list[Design] = []
    for path in sorted(folder.glob("*.v")):
        _, *parts = _HEADING.split(path.read_text(encoding="utf-8"))
        sections = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
        text = {role: body for role, _, body in sections if role in ("reference", "stimulus")}
        for role, name, body in sections:
            if role not in text:
                item = ScoreItem(body, "", text["reference"], "top")
                found.append(
                    Design(
                        path.stem, role, name, item, share_right(item, text["stimulus"]) if role == "level" else None
                    )
                )
    return found


def rows_of(file: Path) -> list[Design]:
    """The graded lines of a file, those without a level too: their quality is known."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        Design(
            row["class"],
            "level" if row["level"] is not None else "other",
            row["id"],
            ScoreItem(row["completion"], "", row["reference"], row["top"]),
            row["quality"],
        )
        for row in rows
        if row["set"] == "ladder"
    ]


def share_right(item: ScoreItem, stimulus: str) -> float:
    """The share of a testbench's looks at which all outputs are the reference's, in plain Icarus."""
    assert item.reference is not None
    ports = read(item.reference, "top").ports
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "dut.sv": item.code,
            "golden.v": re.sub(r"\bmodule top\b", "module golden", item.reference),
            "tb.v": _testbench(ports, stimulus),
        }
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["iverilog", "-g2012", "-s", "tb", "-o", "run", *files],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(
                f"plain Icarus does not compile a level of {item.reference[:60]!r}: {done.stderr}{item.code}"
            )
        run = subprocess.run(["vvp", "-n", "run"], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    bad, looks = map(int, run.stdout.split()[-2:])
    return 1 - bad / looks


def _testbench(ports: Sequence[Port], stimulus: str) -> str:
    inputs, outputs = [p for p in ports if p.direction == "input"], [p for p in ports if p.direction == "output"]

    def joined(mark: str) -> str:
        return "{" + ", ".join(f"{p.name}{mark}" for p in outputs) + "}"

    def links(mark: str) -> str:
        return ", ".join([*(f".{p.name}({p.name})" for p in inputs), *(f".{p.name}({p.name}{mark})" for p in outputs)])

    clocked = "clk = 0;" if any(p.name == "clk" for p in inputs) else ""
    return "\n".join([
        "module tb;", *(f"  reg [{p.width - 1}:0] {p.name} = 0;" for p in inputs),
        *(f"  wire [{p.width - 1}:0] {p.name}_0, {p.name}_1;" for p in outputs), "  integer bad = 0, looks = 0;",
        f"  golden golden_of({links('_0')});", f"  top design_of({links('_1')});",
        f"  task look; begin #4 looks = looks + 1; if ({joined('_0')} !== {joined('_1')}) bad = bad + 1; end endtask",
        "  task begin_count; begin bad = 0; looks = 0; end endtask",
        *(["  task cycle; begin look; #1 clk = 1; look; #1 clk = 0; end endtask"] if clocked else []),
        f"  initial begin {clocked} {stimulus} $display(\"%0d %0d\", bad, looks); $finish; end", "endmodule", "",
    ])  # fmt: skip


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, ties at the mean of theirs."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2 for value in values
    ]


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's correlation of the ranks; 0 where one of both is constant."""
    ra, rb = ranks([round(v, 9) for v in a]), ranks([round(v, 9) for v in b])
    middle = (len(ra) - 1) / 2
    xs, ys = [v - middle for v in ra], [v - middle for v in rb]
    both = sum(x * x for x in xs) * sum(y * y for y in ys)
    return sum(x * y for x, y in zip(xs, ys, strict=True)) / both**0.5 if both else 0.0


def taken(found: Sequence[Design], score: ScoreConfig, workers: int) -> tuple[list[float], list[float]]:
    """(z, the paper's score) of each design. What is open by a fault of ours counts as 0."""
    rungs = tuple(score.ladder)
    rows = score_items(
        [d.item for d in found], score.scorers, rungs=rungs, effort=Effort(num_workers=workers, timeout_s=120)
    )
    paper = [next((s.value for s in row if s.scorer == "rtlcoder"), None) for row in rows]
    return [combine(row, score) or 0.0 for row in rows], [value or 0.0 for value in paper]


def inverted(pairs: Iterable[tuple[int, int]], z: Sequence[float], margin: float) -> list[tuple[int, int]]:
    """Of pairs (better, worse): those in which the better one's z is lower by more than ``margin``."""
    return [(better, worse) for better, worse in pairs if z[better] < z[worse] - margin - 1e-9]


def measure(found: Sequence[Design], score: ScoreConfig, workers: int) -> dict[str, object]:
    z, paper = taken(found, score, workers)
    families = sorted({d.family for d in found})
    levels = {f: [n for n, d in enumerate(found) if d.family == f and d.role == "level"] for f in families}
    quality = [d.quality or 0.0 for d in found]
    rho, plain = (
        {f: spearman([v[n] for n in at], [quality[n] for n in at]) for f, at in levels.items()} for v in (z, paper)
    )
    graded = [n for n, d in enumerate(found) if d.quality is not None]
    by_truth = [
        (a, b)
        for a, b in itertools.permutations(graded, 2)
        if found[a].family == found[b].family and quality[a] > quality[b]
    ]
    given = [(n, n + 1) for n, d in enumerate(found) if d.role == "better"]
    held = [rho[f] for f in families if f in HELD_OUT]
    ours, theirs = (sum(v.values()) / len(v) for v in (rho, plain))
    bad = inverted([*given, *by_truth], z, BETA)
    return {
        "benchmark": "graded", "unit": "mean Spearman of z and true quality", "ours": ours, "theirs": theirs,
        "ratio": ours / theirs if theirs else None,
        "agree": ours >= 0.92 and not bad, "spearman": rho, "held_out": sum(held) / len(held) if held else None,
        "pairs": len(given),
        "inverted": [f"{found[a].family}: {found[a].name} ({z[a]:.3f}) < {found[b].name} "
            f"({z[b]:.3f})" for a, b in inverted(given, z, 0.0)],
        "inverted_beyond_beta": [f"{found[a].family}: {found[a].name} ({z[a]:.3f}) < {found[b].name} "
            f"({z[b]:.3f})" for a, b in bad],
        "table": [{"family": d.family, "role": d.role, "name": d.name, "quality": d.quality, "z": z[n]}
                  for n, d in enumerate(found)],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--designs", type=Path, default=HERE / "graded", help="folder of files in the same form, or a file of lines"
    )
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="whose ladder is taken")
    arguments = parser.parse_args()
    found = designs(arguments.designs) if arguments.designs.is_dir() else rows_of(arguments.designs)
    result = measure(found, load_recipe(arguments.recipe).score, arguments.workers)
    if arguments.json:
        print(json.dumps(result))
        return
    for row in result["table"]:  # type: ignore[attr-defined]
        quality = "      " if row["quality"] is None else f"{row['quality']:.4f}"
        print(f"{row['family']:12} {row['role']:6} {quality} z {row['z']:.4f}  {row['name']}")
    for name in ("spearman", "inverted", "inverted_beyond_beta"):
        print(f"{name}: {result[name]}")
    print(
        f"mean Spearman {result['ours']:.3f} (held out {result['held_out']}), the paper's score "
        f"{result['theirs']:.3f}; agree {result['agree']}"
    )


if __name__ == "__main__":
    main()
