"""Do the scorers of function see one-point changes, and do they leave right designs alone?

From golden references (VerilogEval's, where ``--data`` has them, and the bundled generator's) mutants are made that
compile; ``vectors`` and ``equivalence`` score each against its reference. Of what ``vectors`` lets through a long
simulation on plainly random inputs is a witness, and what it kills is put before the proof without the simulation
before it. A mutant counts as killable where a counterexample that was replayed or any simulation shows it different.
Also scored: each reference against itself, and VerilogEval v2's references against v1's, written independently. Mutants
to look at by hand are listed in a file. A stopped call goes on where it was.

``ours`` is the time of ``vectors`` for one candidate, ``theirs`` the long simulation's; ``agree``: no proof is
contradicted, no reference rejected against itself, and ``vectors`` kills 97% of the killable.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from itertl.records import Score, content_hash
from itertl.runs.storage import cache_folder
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.work import pool
from mutation.account import Judged, listing, rejections, table, verdicts
from mutation.golden import Case, Golden, compiling, draw, references, rewritten

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIMULATION, PROOF = "mutation.arbiter:simulation", "mutation.arbiter:proof"
SCORERS = ("vectors", "equivalence")
TIMED = 60  # mutants that are scored once more, alone, for their time


def judge(cases: Sequence[Case], arguments: argparse.Namespace) -> list[Judged]:
    """Both scorers on every mutant; the long simulation on those that ``vectors`` lets through, the bare proof on the
    rest."""
    rows = scored([case.item for case in cases], SCORERS, arguments)
    judged = [Judged(case, *row) for case, row in zip(cases, rows, strict=True)]
    for name in (SIMULATION, PROOF):
        asked = [n for n, one in enumerate(judged) if one.is_killed == (name == PROOF)]
        for n, (score,) in zip(asked, scored([cases[n].item for n in asked], [name], arguments), strict=True):
            judged[n] = replace(judged[n], **{name.rpartition(":")[2]: score})
    return judged


def scored(items: Sequence[ScoreItem], names: Sequence[str], arguments: argparse.Namespace) -> list[tuple[Score, ...]]:
    """Scores in the items' order; from ``--work``, what an earlier call has done."""
    name = content_hash([list(names), [[item.code, item.reference] for item in items]])
    log = arguments.work / f"{name}.jsonl"
    rows = score_items(
        items, names, log=log, effort=Effort(num_workers=arguments.workers, timeout_s=60, cache=cache_folder())
    )
    log.unlink(missing_ok=True)
    return rows


def seconds(name: str, cases: Sequence[Case]) -> list[float]:
    """Time of one scorer on each mutant, in one worker."""
    units = [(name, case.item) for case in cases]
    run = pool.map_unordered("mutation.arbiter:timed", units, num_workers=1, timeout_s=60)
    return [outcome.value[0] for _, outcome in run if outcome.status == "ok"]


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    start = time.perf_counter()
    arguments.work.mkdir(parents=True, exist_ok=True)
    goldens = references(arguments.data, arguments.references, arguments.seed)
    cases = compiling(
        draw(goldens, arguments.limit, arguments.seed), arguments.limit, arguments.workers, cache_folder()
    )
    judged = judge(cases, arguments)
    listed = arguments.work / "mutants.md"
    listed.write_text(listing(judged), encoding="utf-8")
    counts = table(judged)
    own, other = themselves(goldens, arguments), independent(arguments)
    ours, theirs = (
        statistics.median(seconds(name, cases[:: max(1, len(cases) // TIMED)])) for name in ("vectors", SIMULATION)
    )
    killed, killable = counts["all"]["killed_by_vectors"], counts["all"]["killable"]
    rejected = any(found["rejected"] for found in own.values())  # type: ignore[index, call-overload]
    return {
        "benchmark": "mutants", "unit": "seconds per candidate (median)", "ours": ours, "theirs": theirs,
        "ratio": theirs / ours,
        "agree": not counts["all"]["false_proofs"] and not rejected and killed >= 0.97 * killable,
        "references": len(goldens), "mutants": len(judged), "kill_rate": killed / max(1, killable), "by_class": counts,
        "verdicts": {name: verdicts([getattr(one, name) for one in judged])
                     for name in (*SCORERS, "simulation", "proof")},
        "golden_against_itself": own, "v2_against_v1": other, "listed_in": str(listed), "seed": arguments.seed,
        "seconds": time.perf_counter() - start,
    }  # fmt: skip


def themselves(goldens: Sequence[Golden], arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    rows = scored([ScoreItem(g.text, "", g.text, g.top) for g in goldens], SCORERS, arguments)
    return {name: rejections([g.name for g in goldens], [row[n] for row in rows]) for n, name in enumerate(SCORERS)}


def independent(arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    pairs = rewritten(arguments.data)
    rows = scored([item for _, item in pairs], SCORERS, arguments) if pairs else []
    return {name: rejections([name for name, _ in pairs], [row[n] for row in rows]) for n, name in enumerate(SCORERS)}


def show(result: dict[str, object]) -> None:
    counts: dict[str, dict[str, int]] = result["by_class"]  # type: ignore[assignment]
    columns = list(counts["all"])
    print("class        " + "  ".join(columns))
    for kind, row in counts.items():
        print(f"{kind:12} " + "  ".join(f"{row[column]:{len(column)}}" for column in columns))
    print(f"median time of a candidate: vectors {result['ours']:.3f} s, long simulation {result['theirs']:.3f} s")
    print(f"vectors kills {100 * float(result['kill_rate']):.2f}% of the killable")  # type: ignore[arg-type]
    for title in ("golden_against_itself", "v2_against_v1"):
        for name, found in dict(result[title]).items():  # type: ignore[call-overload]
            print(
                f"{title}, {name}: {found['passed']} of {found['designs']} passed; rejected {found['rejected']}; "
                f"other ports {found['other_ports']}; no answer {found['no_answer']}"
            )
    print(f"to look at by hand: {result['listed_in']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with VerilogEval's files")
    parser.add_argument("--limit", type=int, default=1200, help="mutants")
    parser.add_argument("--references", type=int, default=150, help="golden references")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="worker processes; 0: one for each core")
    parser.add_argument(
        "--work", type=Path, default=cache_folder() / "benchmarks", help="folder for progress and the list"
    )
    arguments = parser.parse_args()
    result = measure(arguments)
    print(json.dumps(result)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
