"""Kill a run with SIGKILL at random times, go on with the same command, compare every file with an undisturbed run.

    python experiments/kill_and_resume.py --kills 20

Prints one line a trial and one summary; exit status 1 where a trial's files differ. What takes wall-clock time into
account (``timings.jsonl``, ``tensorboard/``) and the lock are left out of the comparison.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from itertl.runs.storage import hash_file

LEFT_OUT = ("timings.jsonl", ".lock")


def hashes(folder: Path) -> dict[str, str]:
    """Relative name -> SHA-256 of every file that a run promises to reproduce, and of every file left over."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in LEFT_OUT and not name.startswith("tensorboard/"):
            found[name] = hash_file(path)
    return found


def start(recipe: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "itertl", "run", str(recipe), "--out", str(out)]
    with log.open("ab") as handle:
        return subprocess.Popen(command, stdout=handle, stderr=handle, start_new_session=True)


def trial(recipe: Path, out: Path, log: Path, rng: random.Random, longest_s: float, kills: int) -> list[float]:
    """Run to the end with up to ``kills`` kills at random moments. Returns the moments."""
    moments: list[float] = []
    while True:
        process = start(recipe, out, log)
        if len(moments) == kills:
            if process.wait() != 0:
                raise SystemExit(f"the resumed run failed:\n{log.read_text(errors='replace')[-3000:]}")
            return moments
        moment = rng.uniform(0.5, longest_s)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(round(moment, 2))
        else:
            return moments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/smoke.yaml"))
    parser.add_argument("--kills", type=int, default=20, help="kills in all")
    parser.add_argument("--kills-per-run", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="itertl-kills-") as work:
        log, plain = Path(work) / "log", Path(work) / "plain"
        begin = time.monotonic()
        if start(arguments.recipe, plain, log).wait() != 0:
            raise SystemExit(log.read_text(errors="replace")[-3000:])
        length, wanted = time.monotonic() - begin, hashes(plain)
        print(f"undisturbed: {length:.1f} s, {len(wanted)} files", flush=True)
        done = same = runs = 0
        while done < arguments.kills:
            out = Path(work) / f"run-{runs}"
            moments = trial(
                arguments.recipe, out, log, rng, length, min(arguments.kills_per_run, arguments.kills - done)
            )
            found = hashes(out)
            differing = sorted(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
            runs, done, same = runs + 1, done + len(moments), same + (not differing)
            print(f"run {runs}: killed after {moments} s; {differing or 'identical'}", flush=True)
            shutil.rmtree(out)
        print(json.dumps({"kills": done, "runs": runs, "identical": same, "files": len(wanted)}))
    sys.exit(0 if same == runs else 1)


if __name__ == "__main__":
    main()
