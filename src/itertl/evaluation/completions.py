"""A completion to judge, and what can be said of it without a simulator."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from itertl.errors import DataError, nearest
from itertl.evaluation.benchmarks import Benchmark
from itertl.judging.outcomes import Judgement
from itertl.records import Problem, Verdict
from itertl.verilog.text import modules

_MODULE = re.compile(r"\b(?:macro)?module\b")


@dataclass(frozen=True, slots=True)
class Completion:
    """One text to judge. ``full_module``: it is a whole module, so the problem's header does not go before it."""

    task_id: str
    index: int
    text: str
    full_module: bool
    truncated: bool = False  # generation hit its token limit
    temperature: float | None = None
    where: str = ""  # file and line, for messages
    is_stated: bool = False  # the file says itself whether it is a whole module

    def design(self, problem: Problem) -> str:
        """The Verilog that is judged."""
        code = self.text if self.full_module else f"{problem.header}\n{self.text}"
        given: dict[str, str] = problem.extra.get("given") or {}
        own = {span.name for span in modules(code)} if given else set[str]()
        return "\n".join([code, *(module for name, module in given.items() if name not in own)])


def check_tasks(benchmark: Benchmark, completions: Iterable[Completion]) -> None:
    """Raise DataError for the first completion whose task_id the benchmark does not have."""
    for position, completion in enumerate(completions):
        if completion.task_id in benchmark.by_id:
            continue
        like = f"its ids are like {', '.join(list(benchmark.by_id)[:3])}"
        hint = nearest(completion.task_id, benchmark.by_id, otherwise=f"{like} (--list-tasks prints all)")
        where = completion.where or f"completion {position}"
        said = [f"{benchmark.name} has no task_id {completion.task_id!r}", *benchmark.notices, hint]
        raise DataError(f"{where}: {'; '.join(said)} (--benchmark names another benchmark)")


def verdict_at_sight(benchmark: Benchmark, completion: Completion) -> Judgement | None:
    """The verdict, where it needs no simulator. A whole module that never says ``module`` cannot define one."""
    reason = benchmark.errata.get(completion.task_id)
    if reason is not None:
        return Verdict.UNJUDGEABLE, f"known fault of the problem: {reason}"
    if not completion.text.strip("\0\ufeff \t\r\n\f\v"):
        return Verdict.NO_CODE, "the completion is blank"
    if completion.full_module and not _MODULE.search(completion.text):
        return Verdict.NO_CODE, "no module in the completion"
    return None
