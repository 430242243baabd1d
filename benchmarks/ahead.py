"""How much of scoring hides behind sampling: a stage of each, one after the other, and with scoring done ahead.

Sampling is a stand-in for a GPU or a server: candidates (mutants of generated problems' references) come in batches at
a rate, and this machine's cores are free meanwhile. Scoring is real. The cache is fresh for each way; the scored
records must be the same bytes.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from itertl.config import PromptConfig, SampleConfig, ScoreConfig
from itertl.model.policy import Policy
from itertl.model.prompts import EncodedPrompt
from itertl.records import Problem, SamplingSettings
from itertl.sampling.backend import Generation
from itertl.sampling.batching import SampleRequest
from itertl.sampling.draw import SamplingJob, draw_candidates
from itertl.scoring.candidates import score_ahead, score_candidates
from itertl.synth import generate
from itertl.synth.mutants import mutants

PROBLEMS: dict[str, Problem] = {}
RATE = 0.0


class Stand:
    """Answers at ``RATE`` candidates a second."""

    def encode(self, problem: Problem, config: PromptConfig) -> EncodedPrompt:
        return EncodedPrompt(problem.instruction, (), "")

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        time.sleep(len(batch) / RATE)
        found: list[Generation] = []
        for request in batch:
            reference = PROBLEMS[request.problem_id].reference or ""
            made = [m.text for m in mutants(reference, random.Random(request.problem_id))]
            found.append(Generation(made[request.index % len(made)] if made else reference, "stop", None))
        return found


def open_backend(
    model: str | Path, *, dtype: str = "", trust_remote_code: bool = False, revision: str | None = None
) -> Stand:
    return Stand()


def once(problems: list[Problem], scorers: tuple[str, ...], *, is_ahead: bool) -> tuple[float, float, bytes]:
    """Seconds of sampling and of scoring, and what was scored."""
    score = ScoreConfig(scorers=scorers)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"

        def ahead(some: Sequence[Any]) -> None:
            score_ahead(some, PROBLEMS, config=score, cache=cache)

        start = time.perf_counter()
        job = SamplingJob(
            problems, Policy("stand", known_digest="stand"), SampleConfig(backend="ahead:open_backend"), 0
        )
        drawn = draw_candidates(job, Path(folder) / "candidates.jsonl", ahead=ahead if is_ahead else None)
        middle = time.perf_counter()
        out = Path(folder) / "scored.jsonl"
        score_candidates(drawn, PROBLEMS, config=score, out=out, cache=cache)
        return middle - start, time.perf_counter() - middle, out.read_bytes()


def main() -> None:
    global RATE
    sys.modules["ahead"] = sys.modules["__main__"]  # the recipe's name for the stand-in leads here
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="that sampling takes by itself")
    parser.add_argument("--scorers", default="rtlcoder,icarus")
    arguments = parser.parse_args()
    problems = generate(0, arguments.problems, (), "train")
    PROBLEMS.update({p.id: p for p in problems})
    RATE = 3 * len(problems) / arguments.seconds
    scorers = tuple(arguments.scorers.split(","))
    found = {is_ahead: once(problems, scorers, is_ahead=is_ahead) for is_ahead in (False, True)}
    whole = {is_ahead: sampling + scoring for is_ahead, (sampling, scoring, _) in found.items()}
    hidden = (whole[False] - whole[True]) / found[False][1]
    result = {
        "benchmark": "ahead", "unit": "seconds", "ours": whole[True], "theirs": whole[False],
        "ratio": whole[False] / whole[True],
        "agree": found[False][2] == found[True][2], "hidden_share": hidden, "candidates": 3 * len(problems),
        "sampling_s": {"after": found[False][0], "ahead": found[True][0]},
        "scoring_s": {"after": found[False][1], "ahead": found[True][1]},
        "cpus": os.cpu_count(),
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"one after the other: sampling {found[False][0]:.1f} s, scoring {found[False][1]:.1f} s; ahead: "
        f"{found[True][0]:.1f} and {found[True][1]:.1f} s"
    )
    print(f"{hidden:.0%} of scoring hidden; same bytes: {result['agree']}")
    print(f"{result['ratio']:.2f} times")


if __name__ == "__main__":
    main()
