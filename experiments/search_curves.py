"""Curves of search at test time: pass rate against drawn tokens, tool calls and seconds, from one search a strategy.

    python experiments/search_curves.py PLAN.yaml --out OUT

OUT gets the evaluations (``OUT/MODEL/SEARCH``, by ``itertl eval``; those that are there are not made again), and
``curves.json``, ``curves.md``, ``curves.svg``. The same command goes on where it was stopped. A plan:

    benchmark: verilogeval-v1-machine
    data: verilog-eval                # as --data of itertl eval; also: limit, rule, max_new_tokens
    area_delay: true                  # also the area-delay product of right answers, over that of the reference
    overrides: [sample.batch_size=16]
    models: {untouched: qwen2.5-coder-0.5b, trained: runs/a/iter_4/checkpoint}
    searches:                         # temperature 0.8 where none is given; models: [trained] for some of them alone
      greedy: {temperature: 0}
      best-of: {strategy: best-of, options: {draws: 16}}
      cluster: {strategy: cluster, options: {draws: 16}}
      # with the reference in sight, what searches that see it are compared with
      best-of-vectors: {strategy: best-of, options: {draws: 16, scorer: vectors}}
      repair: {strategy: repair, options: {breadth: 3, depth: 5}}
      tree-code: {strategy: tree-code, options: {nodes: 16}}
      beam-4: {beams: 4}              # transformers' beam search; its place is at 4 greedy answers' tokens
      # AutoChip's grid: one search for each breadth, at the largest depth
      k1: {strategy: repair, options: {breadth: 1, depth: 10, feedback: reference, rank: autochip, carry: round}}
      k5: {strategy: repair, options: {breadth: 5, depth: 10, feedback: reference, rank: autochip, carry: round}}

Budgets are 1, 2, 4, 8 and 16 times the greedy answer's mean tokens. What a search would have answered, had it stopped
there, follows from its log: the strategy's own ``order`` over the attempts that fit into the budget (the first design
always does; where the model writes tests, whole rounds alone, for their designs tell what is a test). So one search
gives its curve; best-of and cluster give one by draws, too, and repair one by rounds. Answers that no evaluation judged
are judged here. A budget is left out where a search draws 1.3 times as much; "ran out" is the share of searches that
their own limits ended before it, not right.

Each difference is to the same model's greedy answers, and to its best-of at the same place, by a paired bootstrap over
problems. Searches that saw the references have a table and panels of their own, and are compared with such a best-of.
Seconds are shares of the batches and rounds in which attempts were drawn and examined: of this machine, and of batches.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import beam_search
import search_tables
from itertl.errors import DataError, ItertlError, UsageError
from itertl.evaluation import benchmarks
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.completions import Completion
from itertl.evaluation.judge import judge
from itertl.evaluation.passk import estimate
from itertl.records import Attempt, Candidate, Problem
from itertl.report.paired import PairedDifference, paired_difference
from itertl.runs.rows import read_text
from itertl.runs.storage import cache_folder, read_records, write_json, write_text
from itertl.scoring import ppa
from itertl.scoring.engine import Effort
from itertl.search.aim import costs
from itertl.search.strategy import Strategy, is_right, open_strategy

BUDGETS = (1, 2, 4, 8, 16)
TEMPERATURE = 0.8
_MOST_OVER = 1.3
_PLAN_KEYS = {"area_delay", "benchmark", "data", "limit", "rule", "max_new_tokens", "overrides", "models", "searches"}
_SEARCH_KEYS = {"beams", "strategy", "options", "temperature", "num_samples", "models"}
Place = tuple[str, int]  # problem's id, which of its searches


@dataclass(slots=True)
class Log:
    """One search of the plan by one model: what it tried, and the seconds of each attempt (drawing, tools)."""

    model: str
    name: str
    folder: Path
    given: Mapping[str, Any]
    strategy: Strategy = field(init=False)
    tried: dict[Place, list[Attempt]] = field(default_factory=dict[Place, list[Attempt]])
    seconds: dict[Place, list[float]] = field(default_factory=dict[Place, list[float]])

    def __post_init__(self) -> None:
        self.strategy = open_strategy(self.given.get("strategy", "best-of"), self.options)

    @property
    def is_plain(self) -> bool:
        """Whether it is single answers, at temperature 0 in most plans."""
        return not self.given.keys() & {"strategy", "beams"}

    @property
    def options(self) -> dict[str, Any]:
        return {"draws": 1} if "strategy" not in self.given else dict(self.given.get("options") or {})

    @property
    def feedback(self) -> str:
        return self.strategy.feedback if "strategy" in self.given else "none"

    @property
    def saw_reference(self) -> bool:
        return self.feedback == "reference"

    def command(self, plan: Mapping[str, Any]) -> list[str]:
        """``itertl eval`` that makes it."""
        found = ["eval", "--model", str(plan["models"][self.model]), "--out", str(self.folder)]
        for key in ("benchmark", "data", "limit", "rule", "max_new_tokens"):
            if plan.get(key) is not None:
                found += [f"--{key.replace('_', '-')}", str(plan[key])]
        found += ["--strategy", self.given.get("strategy", "best-of")]
        found += ["--temperature", str(self.given.get("temperature", TEMPERATURE))]
        found += ["--num-samples", str(self.given.get("num_samples", 1)), *plan.get("overrides", [])]
        return found + [f"sample.strategy_options.{key}={json.dumps(value)}" for key, value in self.options.items()]

    def read(self, benchmark: str) -> None:
        files = sorted(self.folder.glob(f"samples-{benchmark}-t*.attempts.jsonl"))
        if len(files) != 1:
            raise DataError(f"{self.folder}: holds {len(files)} attempts files of {benchmark}; remove it and run again")
        attempts = read_records(files[0], Attempt)
        timed = files[0].with_name(files[0].name.replace(".attempts.", ".seconds."))
        took = [sum(json.loads(line).values()) for line in timed.read_text().splitlines()] if timed.exists() else []
        for number, attempt in enumerate(attempts):
            place = attempt.candidate.problem_id, attempt.search
            self.tried.setdefault(place, []).append(attempt)
            if took:
                self.seconds.setdefault(place, []).append(took[number])


@dataclass(frozen=True, slots=True)
class Point:
    """A search cut at one place. ``rates``: share of right answers of each problem that could be judged."""

    log: Log
    axis: str  # "tokens" (in greedy answers), "draws" or "depth"
    at: int
    rates: Mapping[str, float]
    tokens: float  # drawn, mean over searches; so are the others
    prompt_tokens: float
    tool_calls: float
    seconds: float | None
    ran_out: float
    area_delay: float | None  # geometric mean over right answers, the reference's being 1

    @property
    def rate(self) -> float:
        return sum(self.rates.values()) / len(self.rates) if self.rates else 0.0


def written(attempts: Iterable[Attempt]) -> int:
    """Tokens that the model drew."""
    return sum(attempt.drawn_tokens for attempt in attempts)


def within(attempts: Sequence[Attempt], budget: float, *, by_round: bool) -> int:
    """How many attempts fit into so many tokens. The first design is always among them."""
    total, number = 0, 0
    while number < len(attempts):
        end = number + 1
        while by_round and end < len(attempts) and attempts[end].round == attempts[number].round:
            end += 1
        total += written(attempts[number:end])
        if total > budget and any(not a.kind for a in attempts[:number]):
            break
        number = end
    return number


def answer(strategy: Strategy, attempts: Sequence[Attempt]) -> Candidate | None:
    """What a search answers that stopped after these."""
    best = [number for number in strategy.order(attempts) if not attempts[number].kind]
    return attempts[best[0]].candidate if best else None


def cuts(log: Log, unit: float) -> list[tuple[str, int, dict[Place, int]]]:
    """(axis, place on it, attempts of each search) for all places where a log is cut. ``unit``: a greedy answer's
    mean tokens."""
    if "beams" in log.given:
        return [("tokens", log.given["beams"], dict.fromkeys(log.tried, 1))]
    by_round = log.feedback == "own tests"
    found: list[tuple[str, int, dict[Place, int]]] = []
    for budget in [1] if log.is_plain else BUDGETS:
        taken = {p: within(tried, budget * unit, by_round=by_round) for p, tried in log.tried.items()}
        found.append(("tokens", budget, taken))
    if log.given.get("strategy") in ("best-of", "cluster") and "aim" not in log.options:
        counts = [n for n in BUDGETS if n <= log.options.get("draws", 8)]
        found += [("draws", n, {p: min(n, len(tried)) for p, tried in log.tried.items()}) for n in counts]
    if log.given.get("strategy") == "repair" and "aim" not in log.options:
        for depth in range(log.options.get("depth", 2) + 1):
            found.append(("depth", depth, {p: sum(a.round <= depth for a in t) for p, t in log.tried.items()}))
    return found


def points_of(logs: Sequence[Log], benchmark: Benchmark, plan: Mapping[str, Any]) -> list[Point]:
    """All points; every answer that one of them gives is judged once."""
    units = {log.model: _mean(written(tried) for tried in log.tried.values()) for log in logs if log.is_plain}
    for log in logs:
        if log.model not in units:
            raise UsageError(f"searches of {log.model}: none without a strategy, by whose tokens budgets are measured")
    task_of = {p.id: benchmarks.task_id(p) for p in benchmark.problems}
    cut = [(log, *one) for log in logs for one in cuts(log, units[log.model])]
    answers = [{p: answer(log.strategy, log.tried[p][:n]) for p, n in taken.items()} for log, _, _, taken in cut]
    distinct = {(c.problem_id, c.code, c.is_cut): c for some in answers for c in some.values() if c is not None}
    completions = [
        Completion(task_of[c.problem_id], number, c.code, full_module=True, truncated=c.is_cut)
        for number, c in enumerate(distinct.values())
    ]
    rows = judge(benchmark, completions, rule=plan.get("rule"), cache=cache_folder())
    passed = {key: row.passed for key, row in zip(distinct, rows, strict=True)}
    right = [c for key, c in distinct.items() if passed[key]]
    areas = relative_costs(right, {p.id: p for p in benchmark.problems}) if plan.get("area_delay") else {}

    def verdict(candidate: Candidate | None) -> bool | None:
        return passed[candidate.problem_id, candidate.code, candidate.is_cut] if candidate else False

    found: list[Point] = []
    for (log, axis, at, taken), given in zip(cut, answers, strict=True):
        unit = units[log.model]
        point = _point(log, axis, at, taken, {place: verdict(candidate) for place, candidate in given.items()}, unit)
        known = [areas[c.problem_id, c.code] for c in given.values() if c and (c.problem_id, c.code) in areas]
        if known:
            point = replace(point, area_delay=math.exp(_mean(map(math.log, known))))
        if axis != "tokens" or point.tokens <= _MOST_OVER * at * unit:
            found.append(point)
    return found


def relative_costs(right: Sequence[Candidate], problems: Mapping[str, Problem]) -> dict[tuple[str, str], float]:
    """(problem's id, code) -> its area-delay product over the reference's, where Yosys can say both."""
    codes = list(dict.fromkeys((c.problem_id, c.code) for c in right))
    asked = [(problems[ident], code) for ident, code in codes]
    asked += [(problems[ident], problems[ident].reference or "") for ident, _ in codes]
    said = [one.cost for one in costs(asked, str(ppa.liberty() or ""), Effort())]
    pairs = zip(codes, said[: len(codes)], said[len(codes) :], strict=True)
    return {key: mine / its for key, mine, its in pairs if mine and its}


def _has_run_out(log: Log, place: Place, number: int, left: float) -> bool:
    """Whether its own limits ended a search within its budget, of which so many tokens are left."""
    tried = log.tried[place]
    is_settled = log.given.get("strategy") != "cluster" and any(map(is_right, tried))
    return number == len(tried) and not is_settled and left - written(tried) > 0


def _point(
    log: Log, axis: str, at: int, taken: Mapping[Place, int], right: Mapping[Place, bool | None], unit: float
) -> Point:
    of_problem: dict[str, list[bool]] = {}
    for (problem, _), verdict in right.items():
        if verdict is not None:
            of_problem.setdefault(problem, []).append(verdict)
    tried = [log.tried[place][:number] for place, number in taken.items()]
    left = (at - 1) * unit if axis == "tokens" else 0.0
    return Point(
        log, axis, at, {problem: _mean(verdicts) for problem, verdicts in of_problem.items()},
        tokens=_mean(written(some) for some in tried),
        prompt_tokens=_mean(sum(a.read_tokens for a in some) for some in tried),
        tool_calls=0.0 if log.feedback == "none" else _mean(sum(a.examined.tool_calls for a in some) for some in tried),
        seconds=_mean(sum(log.seconds[p][:n]) for p, n in taken.items()) if log.seconds else None,
        ran_out=_mean(_has_run_out(log, place, number, left) for place, number in taken.items()),
        area_delay=None,
    )  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0


def compared(point: Point, points: Sequence[Point]) -> dict[str, PairedDifference | None]:
    """To the model's greedy answers, and to its best-of at the same place that saw as much."""
    mine = [other for other in points if other.log.model == point.log.model]
    greedy = next(other for other in mine if other.log.is_plain)
    best = next(
        (
            o for o in mine
            if o.log.given.get("strategy") == "best-of" and (o.axis, o.at) == (point.axis, point.at)
            and o.log.saw_reference == point.log.saw_reference and o.log is not point.log
        ),
        None,
    )  # fmt: skip
    return {
        "greedy": None if point.log.is_plain else paired_difference(greedy.rates, point.rates),
        "best_of": None if best is None or point.log.is_plain else paired_difference(best.rates, point.rates),
    }


def row(point: Point, points: Sequence[Point]) -> dict[str, Any]:
    shares = list(point.rates.values())
    bounds = estimate([(1, int(s)) for s in shares], 1, seed=0) if set(shares) <= {0.0, 1.0} else None
    differences = compared(point, points)
    return {
        "model": point.log.model, "search": point.log.name, "strategy": point.log.given.get("strategy"),
        "options": point.log.options, "feedback": point.log.feedback,
        "axis": point.axis, "at": point.at, "problems": len(shares), "pass_rate": point.rate,
        "interval": None if bounds is None else [bounds.low, bounds.high],
        "tokens": point.tokens, "prompt_tokens": point.prompt_tokens, "tool_calls": point.tool_calls,
        "seconds": point.seconds, "ran_out": point.ran_out,
        "area_delay": point.area_delay,
        **{f"to_{k}": None if d is None else [d.value, d.low, d.high] for k, d in differences.items()},
    }  # fmt: skip


def read_plan(path: Path) -> dict[str, Any]:
    """Raises UsageError for what it lacks or does not know."""
    try:
        plan = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(plan, dict) or not {"benchmark", "models", "searches"} <= plan.keys() <= _PLAN_KEYS:
        raise UsageError(f"{path}: a plan has benchmark, models and searches, and of {', '.join(sorted(_PLAN_KEYS))}")
    for key in ("models", "searches"):
        if not isinstance(plan[key], dict) or not plan[key]:
            raise UsageError(f"{path}: {key} is {plan[key]!r}; give a name for each of them, as NAME: …")
    for name, given in plan["searches"].items():
        if not isinstance(given, dict) or not given.keys() <= _SEARCH_KEYS:
            raise UsageError(f"{path}: searches.{name} has of {', '.join(sorted(_SEARCH_KEYS))}")
        for model in given.get("models", ()):
            if model not in plan["models"]:
                raise UsageError(f"{path}: searches.{name}.models: {model!r} is not one of {', '.join(plan['models'])}")
    return plan


def logs_of(plan: Mapping[str, Any], out: Path) -> list[Log]:
    return [
        Log(model, name, out / model / name, given)
        for model in plan["models"]
        for name, given in plan["searches"].items()
        if model in given.get("models", [model])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    plan = read_plan(given.plan)
    data = Path(plan["data"]) if plan.get("data") else None
    benchmark = benchmarks.load(plan["benchmark"], data, limit=plan.get("limit"))
    logs = logs_of(plan, given.out)
    for log in logs:
        if (log.folder / f"eval-{benchmark.name}.jsonl").exists():
            pass
        elif "beams" in log.given:
            model, most = str(plan["models"][log.model]), plan.get("max_new_tokens", 512)
            beam_search.search(model, plan.get("overrides", []), benchmark, log.given["beams"], most, log.folder)
        else:
            subprocess.run([sys.executable, "-m", "itertl", *log.command(plan)], check=True)
        log.read(benchmark.name)
    points = points_of(logs, benchmark, plan)
    rows = [row(point, points) for point in points]
    write_json(given.out / "curves.json", {"benchmark": benchmark.label, "rows": rows})
    write_text(given.out / "curves.md", search_tables.markdown(rows, benchmark.label))
    write_text(given.out / "curves.svg", search_tables.figure(rows))
    print(f"{given.out / 'curves.md'}: {len(rows)} points of {len(logs)} searches")


if __name__ == "__main__":
    try:
        main()
    except ItertlError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
