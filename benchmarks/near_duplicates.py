"""How long, and in how much memory, near-duplicates among many files are found: the exact index against MinHash.

Files are made up as tokens: lines of few forms over names of the file's own, a quarter of them copies of an earlier
file with one to thirty percent of the lines replaced. ``ours`` is ``overlap.near_earlier``, ``theirs`` datasketch's
MinHashLSH (128 permutations, candidates checked by their sketches) where that is installed, else the audit's
``near_links``; both get the same sets, and seconds are the processor's. ``agree``: on the first files ours is what
comparing all pairs says. ``found`` and ``theirs_found`` are how many files repeat one before them; ``quarter`` is the
time for a quarter of the files, which shows the growth.
"""

import argparse
import json
import resource
import time
from collections.abc import Sequence

import numpy as np

from itertl.problems.normalize import CODE_GRAM, window_hashes
from itertl.problems.overlap import near_earlier, near_links

NEAR = 0.8
CHECKED = 400  # files that are compared with all before them


def made(count: int, seed: int = 0) -> list[np.ndarray]:
    """The sets of n-grams of ``count`` files of about 350 tokens."""
    rng = np.random.default_rng(seed)
    forms = rng.integers(0, 60, (40, 10), dtype=np.uint64)
    names = rng.integers(1000, 2**60, 20_000, dtype=np.uint64)
    files: list[np.ndarray] = []
    for number in range(count):
        if number and rng.random() < 0.25:
            lines = files[rng.integers(number)].copy()
            share = rng.choice([0.01, 0.03, 0.1, 0.3])
            changed = rng.random(len(lines)) < share
            lines[changed] = rng.permutation(lines)[changed] + np.uint64(1)
        else:
            size = min(400, 5 + int(rng.lognormal(3.1, 0.8)))
            own = rng.choice(names, 15)
            lines = forms[rng.integers(0, 40, size)]
            lines[:, 2::3] = own[rng.integers(0, 15, (size, 3))]
        files.append(lines)
    return [np.unique(window_hashes(lines.ravel(), CODE_GRAM)) for lines in files]


def timed(sets: Sequence[np.ndarray]) -> tuple[float, list[bool]]:
    start = time.process_time()
    links = near_earlier(sets, NEAR)
    return time.process_time() - start, [link is not None for link in links]


def by_all_pairs(sets: Sequence[np.ndarray]) -> list[bool]:
    kept: list[set[int]] = []
    found: list[bool] = []
    for grams in (set(array.tolist()) for array in sets):
        repeats = any(len(grams & other) / len(grams | other) >= NEAR - 1e-12 for other in kept)
        found.append(repeats)
        kept += [] if repeats else [grams]
    return found


def theirs(sets: Sequence[np.ndarray]) -> tuple[str, float, int]:
    """(what, seconds, files that repeat one)."""
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        plain = [frozenset(grams.tolist()) for grams in sets]
        start = time.process_time()
        links = near_links(plain, NEAR)
        return "near_links", time.process_time() - start, len(links)
    start, found = time.process_time(), 0
    index, sketches = MinHashLSH(threshold=NEAR, num_perm=128), dict[int, MinHash]()
    for number, grams in enumerate(sets):
        sketch = MinHash(num_perm=128, hashfunc=int)
        sketch.update_batch((grams >> np.uint64(32)).tolist())
        if any(sketches[other].jaccard(sketch) >= NEAR for other in index.query(sketch)):
            found += 1
        else:
            sketches[number] = sketch
            index.insert(number, sketch)
    return "datasketch", time.process_time() - start, found


def memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--ours-alone", action="store_true", help="do not time the other one")
    arguments = parser.parse_args()
    sets = made(arguments.files)
    before = memory_mb()
    quarter, _ = timed(sets[: arguments.files // 4])
    ours, found = timed(sets)
    row = {
        "benchmark": "near_duplicates", "files": arguments.files, "grams": sum(map(len, sets)), "unit": "s",
        "ours": ours, "quarter": quarter, "found": sum(found), "memory_mb": memory_mb(), "sets_mb": before,
        "agree": found[:CHECKED] == by_all_pairs(sets[:CHECKED]),
    }  # fmt: skip
    if not arguments.ours_alone:
        what, seconds, count = theirs(sets)
        row |= {"against": what, "theirs": seconds, "ratio": seconds / ours, "theirs_found": count}
        row["theirs_memory_mb"] = memory_mb()
    print(json.dumps(row) if arguments.json else "\n".join(f"{name}: {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
