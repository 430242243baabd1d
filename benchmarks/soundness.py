"""What the scorers of function make of designs known to be wrong or right, by class.

``soundness/*.v``: a reference, a testbench that shows the difference in plain Icarus, and designs, each under a line
``//// wrong: CLASS`` or ``//// right: CLASS``. The testbench is run on every design first: one whose heading it
contradicts ends the benchmark. Where Icarus cannot read a right design (SystemVerilog that it lacks), its heading is
taken at its word, and the table says so.

``ours`` is the time of ``vectors`` for one design, ``theirs`` that of the written testbench (compiled and run without a
sandbox); ``agree``: no wrong design is proven, and no right one is refuted or rejected.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem
from itertl.work import pool

DESIGNS = Path(__file__).resolve().parent / "soundness"
SCORERS = ("vectors", "equivalence")
_HEADING = re.compile(r"^//// (reference|witness|wrong|right)(?:: (.+))?\n", re.M)


@dataclass(frozen=True, slots=True)
class Design:
    """One design of a file: ``Design("counter", "wrong", "wraps one late", code, reference, witness)``."""

    file: str
    truth: str  # wrong or right
    kind: str
    code: str
    reference: str
    witness: str


def designs(folder: Path = DESIGNS) -> list[Design]:
    """All designs of ``folder``, in the order of the files. Raises ValueError for a heading without a class."""
    found: list[Design] = []
    for path in sorted(folder.glob("*.v")):
        _, *parts = _HEADING.split(path.read_text(encoding="utf-8"))
        sections = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
        text = {name: body for name, _, body in sections if name in ("reference", "witness")}
        for name, kind, body in sections:
            if name in text:
                continue
            if kind is None:
                raise ValueError(f"{path}: a heading '//// {name}' without a class; write '//// {name}: CLASS'")
            found.append(Design(path.stem, name, kind, body, text["reference"], text["witness"]))
    return found


def witnessed(design: Design) -> tuple[str, float]:
    """What plain Icarus says of a design (SAME, DIFFERENT, or "" where it cannot read it), and the seconds that it
    took."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "dut.sv": design.code,
            "golden.v": re.sub(r"\bmodule top\b", "module golden", design.reference),
            "tb.v": design.witness,
        }
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        command = ["iverilog", "-g2012", "-s", "tb", "-o", "run", *files]
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
            return "", time.perf_counter() - begin
        run = subprocess.run(["vvp", "-n", "run"], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    said = [line for line in run.stdout.split() if line in ("SAME", "DIFFERENT")]
    return (said[-1] if said else ""), time.perf_counter() - begin


def contradicted(found: Sequence[Design], said: Sequence[str]) -> list[str]:
    """Designs whose heading their testbench does not bear out."""
    lines: list[str] = []
    for design, word in zip(found, said, strict=True):
        wanted = {"wrong": ("DIFFERENT",), "right": ("SAME", "")}[design.truth]
        if word not in wanted:
            lines.append(f"{design.file}.v: {design.truth}: {design.kind}: the testbench says {word or 'nothing'}")
    return lines


def judged(found: Sequence[Design], name: str, workers: int) -> list[tuple[float, Score]]:
    """Seconds and score of each design by one scorer; a lost worker counts as a failed tool."""
    units = [(name, ScoreItem(code=d.code, reference=d.reference, top="top")) for d in found]
    rows: dict[int, tuple[float, Score]] = {}
    for number, outcome in pool.map_unordered("mutation.arbiter:timed", units, num_workers=workers, timeout_s=120):
        lost = Score(scorer=name, value=None, verdict=Verdict.TOOL_FAILED, detail=outcome.detail or "worker lost")
        seconds, score = outcome.value if outcome.status == "ok" else (120.0, None)
        rows[number] = (seconds, score or lost)
    return [rows[number] for number in range(len(found))]


def word(name: str, score: Score) -> str:
    """One word for a score: for ``equivalence`` proven, refuted or undecided; else accepted, rejected or open."""
    if score.value is None:
        return "undecided" if name == "equivalence" else "open"
    if score.value == 1:
        return "proven" if name == "equivalence" else "accepted"
    return "refuted" if name == "equivalence" else "rejected"


def measure(workers: int, folder: Path = DESIGNS) -> dict[str, object]:
    """The benchmark's one object. Raises ValueError where a testbench contradicts a heading."""
    found = designs(folder)
    seen = [witnessed(design) for design in found]
    wrong = contradicted(found, [said for said, _ in seen])
    if wrong:
        raise ValueError("\n".join(wrong))
    scores = {name: judged(found, name, workers) for name in SCORERS}
    table = [
        {
            "file": d.file, "truth": d.truth, "class": d.kind, "icarus": seen[n][0] or "cannot read it",
            **{name: word(name, scores[name][n][1]) for name in SCORERS},
            "detail": scores["equivalence"][n][1].detail,
        }
        for n, d in enumerate(found)
    ]  # fmt: skip
    counts = {
        truth: {name: dict(Counter(row[name] for row in table if row["truth"] == truth)) for name in SCORERS}
        for truth in ("wrong", "right")
    }
    ours = sum(seconds for seconds, _ in scores["vectors"]) / len(found)
    theirs = sum(seconds for _, seconds in seen) / len(found)
    bad = [r for r in table if r["equivalence"] == ("proven" if r["truth"] == "wrong" else "refuted")]
    bad += [r for r in table if r["truth"] == "right" and r["vectors"] == "rejected"]
    return {
        "benchmark": "soundness", "unit": "seconds per design", "ours": ours, "theirs": theirs, "ratio": theirs / ours,
        "agree": not bad, "designs": len(found), "counts": counts, "table": table,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--designs", type=Path, default=DESIGNS, help="folder of files in the same form")
    arguments = parser.parse_args()
    result = measure(arguments.workers, arguments.designs)
    if arguments.json:
        print(json.dumps(result))
        return
    for row in result["table"]:  # type: ignore[attr-defined]
        print(
            f"{row['file']:14} {row['truth']:6} {row['class']:52} vectors {row['vectors']:9} equivalence "
            f"{row['equivalence']}"
        )
    for truth, by in result["counts"].items():  # type: ignore[attr-defined]
        print(f"{truth}: {by}")
    print(
        f"agree {result['agree']}; a design takes {1000 * float(str(result['ours'])):.0f} ms, its testbench "
        f"{1000 * float(str(result['theirs'])):.0f} ms"
    )
    print(f"ratio {float(str(result['ratio'])):.2f}")


if __name__ == "__main__":
    main()
