"""Prove the generator on N problems: four tools accept each reference, its testbench passes it and fails a mutant.

    python experiments/verify_generator.py --count 5000 --seed 0 [--split train] [--mutants 4] [--workers 0]

Prints a line per family (problems, complaints, mutants killed of those that compile) and every complaint; exit status 1
where there is any. Not proved: that a testbench catches every wrong design; the share of mutants killed says how many.
"""

import argparse
import sys
import time
from collections import Counter

from generator_checks import check_all
from itertl.errors import ItertlError
from itertl.synth import generate
from itertl.synth.generate import SPLITS
from itertl.tools import icarus, pyverilog, slang, yosys


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--family", action="append", default=[], help="only this family; may be given several times")
    parser.add_argument("--mutants", type=int, default=4, help="mutants that compile, a problem (default 4)")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one for each core")
    return parser.parse_args()


def main() -> int:
    """Exit status: 0 all good, 1 some complaint, 2 wrong usage or a tool missing."""
    given = _arguments()
    start = time.monotonic()
    problems = generate(given.seed, given.count, given.family, given.split)
    print(f"{len(problems)} problems generated in {time.monotonic() - start:.1f} s", flush=True)
    print("; ".join(tool.version() for tool in (icarus, slang, pyverilog, yosys)), flush=True)
    totals: dict[str, Counter[str]] = {p.family or "": Counter() for p in problems}
    for number, found in check_all(problems, num_mutants=given.mutants, num_workers=given.workers):
        problem = problems[number]
        row = totals[problem.family or ""]
        row.update(
            problems=1, bad=bool(found.complaints), run=found.mutants_run, killed=found.mutants_killed,
            missed=found.mutants_missed,
        )  # fmt: skip
        for complaint in found.complaints:
            print(f"{problem.family} {problem.id} {problem.extra['parameters']}: {complaint}", flush=True)
    print(f"{'family':<26}{'problems':>9}{'bad':>5}{'mutants':>9}{'killed':>8}{'missed':>8}")
    everything: Counter[str] = Counter()
    for name, row in [*totals.items(), ("all", everything)]:
        share = row["killed"] / row["run"] if row["run"] else 0.0
        print(f"{name:<26}{row['problems']:>9}{row['bad']:>5}{row['run']:>9}{share:>8.1%}{row['missed']:>8}")
        everything.update(row)
    print(f"{time.monotonic() - start:.0f} s in all")
    return 1 if everything["bad"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ItertlError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
