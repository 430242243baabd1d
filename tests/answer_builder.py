"""Run folders with many training candidates, scores and waves, for the tests of the list of answers."""

import random
from pathlib import Path

import report_builder as make
from itertl.records import Candidate, Problem, SamplingSettings, Score, Scored, Verdict, content_hash
from itertl.runs.storage import write_records
from itertl.runs.waves import Lane, Wave

LADDER = {"syntax": 0.2, "elaboration": 0.4, "vectors": 1.0}
RECIPE = {"score": {"scorers": list(LADDER), "combine": "ladder", "ladder": LADDER}}
_FALLS = (Verdict.SYNTAX_ERROR, Verdict.ELABORATION_ERROR, Verdict.WRONG_OUTPUT, Verdict.PASSED)


def build(folder: Path, candidates: int = 40, iterations: int = 3, note: str = "model", seed: int = 0) -> Path:
    """A run as ``report_builder`` makes it, with ``candidates`` training candidates over its iterations, and the waves
    of the wrong answers of its last evaluation."""
    make.build_run(folder, iterations=iterations, note=note, recipe={**RECIPE, "seed": seed})
    problems = make.problems(8)
    draw = random.Random(seed)
    for n in range(iterations):
        count = candidates // iterations + (n < candidates % iterations)
        rows = [scored(problems[k % 8], k // 8, draw, note) for k in range(count)]
        write_records(folder / f"iter-{n:02d}/scored.jsonl", rows)
    bench = make.problems()
    verdicts = make.verdict_list(12, 6, make.TASKS - 19, 0, 1)
    right = {p.id: p for p in bench}
    codes = make.codes_for(bench, verdicts, note)
    waves = [
        wave(right[p.id], code)
        for p, verdict, code in zip(bench, verdicts, codes, strict=True)
        if verdict is Verdict.WRONG_OUTPUT
    ]
    write_records(folder / "waves.jsonl", waves)
    return folder


def scored(problem: Problem, index: int, draw: random.Random, note: str) -> Scored:
    """A candidate that falls at a rung drawn at random."""
    verdict = draw.choice(_FALLS)
    code = make.codes_for([problem], [verdict], f"{note} {draw.random()}")[0]
    settings = SamplingSettings(temperature=0.5, max_new_tokens=256)
    candidate = Candidate(
        problem_id=problem.id, index=index, policy="abc", settings=settings, seed=draw.randrange(1 << 40),
        text=f"Here is the design:\n```verilog\n{code}```\n", code=code, finish_reason="stop", prompt_tokens=40,
        completion_tokens=60,
    )  # fmt: skip
    taken = []
    for rung, fall in zip(LADDER, _FALLS, strict=False):
        fell = fall is verdict
        said = "y differs from step 3 on" if fall is Verdict.WRONG_OUTPUT else "line 2: expected an expression"
        taken.append(
            Score(scorer=rung, value=0.0 if fell else 1.0, verdict=verdict if fell else Verdict.PASSED, tool="slang",
                  tool_version="12", detail=said if fell else "")
        )  # fmt: skip
        if fell:
            break
    return Scored(candidate=candidate, scores=tuple(taken))


def wave(problem: Problem, code: str, benchmark: str = "synth-heldout") -> Wave:
    """What the swapped multiplexer does, with a clock beside it: first wrong at step 3."""
    width = int((problem.upstream_id or "task0").removeprefix("task")) + 1
    draw = random.Random(width)
    words = [[format(draw.randrange(1 << width), f"0{width}b") for _ in range(12)] for _ in "ab"]
    words[1][:3] = words[0][:3]
    words[1][3] = words[0][3][:-1] + "10"[int(words[0][3][-1])]
    select = [str(n // 2 % 2) for n in range(12)]
    right, wrong = ([words[(s == "1") != flip][n] for n, s in enumerate(select)] for flip in (False, True))
    lanes = (
        Lane(name="clk", width=1, got=tuple("01" * 6)), Lane(name="s", width=1, got=tuple(select)),
        Lane(name="a", width=width, got=tuple(words[0])), Lane(name="b", width=width, got=tuple(words[1])),
        Lane(name="y", width=width, got=tuple(wrong), expected=tuple(right)),
    )  # fmt: skip
    return Wave(
        benchmark=benchmark, task_id=problem.upstream_id or "", completion_hash=content_hash(code), first=0, mismatch=3,
        lanes=lanes,
    )  # fmt: skip
