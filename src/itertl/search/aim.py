"""``aim: ppa``: once a strategy has a right design, further rounds ask for a smaller and faster one.

It stands around any strategy. The strategy goes its way to its end; the answer that it puts first is the base, if all
holds of it that the strategy looks at (where that is the compiler alone, that it compiles). Then each of ``aim_rounds``
draws ``aim_breadth`` designs behind the cheapest so far and its figures. Cost is cells times the longest path, both by
the script of the scorer ``ppa``; with a Liberty file, area times the cells on that path. A design counts where the
scorer ``equivalence`` proves that it does what the base does. The answer is the cheapest that counts.

What it does not: use a library's delays. ABC knows them for tables of its own form alone, and Yosys does not keep them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from itertl.errors import UsageError
from itertl.records import Attempt, Candidate, Examined, Problem, Verdict
from itertl.runs.storage import hash_file
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound, BoundReached
from itertl.scoring import ppa
from itertl.scoring.candidates import item_of
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.scorers import check_tools, version
from itertl.search import look
from itertl.search.strategy import RIGHT, Ask, Drawn, Strategy, check_count, is_right
from itertl.search.workers import examine

REVISION = 1  # of cost, messages and order
PROVEN = "proven"
_PROBE = "module probe(input a, input b, output y);\nassign y = a & b;\nendmodule\n"
_REQUEST = (
    "Write the whole module again, with the same ports and exactly the same behaviour, but smaller and faster: fewer "
    "cells, and fewer of them one behind the other."
)


class Smaller(Strategy):
    """See the module. ``liberty``: a file, in place of what ``ITERTL_LIBERTY`` names."""

    def __init__(self, inner: Strategy, aim_rounds: int = 2, aim_breadth: int = 3, liberty: str | None = None) -> None:
        check_count(aim_rounds=aim_rounds, aim_breadth=aim_breadth)
        self._inner, self._rounds, self._breadth = inner, aim_rounds, aim_breadth
        self._library = _liberty(liberty)
        self.feedback, self.continues, self.models = inner.feedback, inner.continues, inner.models

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        own = self._own(attempts)
        if own == len(attempts):
            asks = self._inner.next(attempts)
            if asks:
                return asks
        base = self._base(attempts[:own])
        done = {attempt.round for attempt in attempts[own:] if attempt.shown}
        if base is None or len(done) >= self._rounds:
            return []
        return [Ask(self._breadth, (self._counted(attempts, own, base)[0],))]

    def order(self, attempts: Sequence[Attempt]) -> Sequence[int]:
        """What counts, the cheapest first; then as the strategy has it; then what is not proven."""
        own = self._own(attempts)
        base = self._base(attempts[:own])
        counted = [] if base is None else self._counted(attempts, own, base)
        aimed = {number for number in range(own, len(attempts)) if attempts[number].shown}
        inner = [number for number in self._inner.order(attempts) if number not in counted]
        return [*counted, *(n for n in inner if n not in aimed), *(n for n in inner if n in aimed)]

    def taken(self, drawn: Drawn) -> Candidate:
        return drawn.candidate if self._is_aimed(drawn) else self._inner.taken(drawn)

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        aimed = [one for one in drawn if self._is_aimed(one)]
        others = [one for one in drawn if not self._is_aimed(one)]
        said_of_others = self._inner.examine(others, effort) if others else []
        found = {id(one): said for one, said in zip(others, said_of_others, strict=True)}
        found |= {id(one): said for one, said in zip(aimed, self._proven(aimed, effort), strict=True)}
        measured = [one for one in drawn if not one.ask.kind and found[id(one)].rank >= RIGHT]
        figures = costs([(one.problem, one.candidate.code) for one in measured], self._library, effort)
        found |= {id(one): _with_cost(found[id(one)], cost) for one, cost in zip(measured, figures, strict=True)}
        return [found[id(one)] for one in drawn]

    def check(self, problems: Sequence[Problem]) -> None:
        check_tools(["equivalence", "ppa"])
        self._inner.check(problems)
        if self._library:
            [probe] = examine(
                "itertl.search.aim:measure", [Question(_PROBE, "probe", self._library, Bound())], Effort(), _unmeasured
            )
            if probe.cost is None:
                raise UsageError(
                    f"sample.strategy_options.liberty: Yosys cannot map to {self._library} ({probe.message}); give a "
                    "Liberty file with a register, an inverter and gates"
                )

    def settings(self) -> Mapping[str, object]:
        library = hash_file(Path(self._library)) if self._library else "generic"
        versions = f"aim {REVISION}, {version('equivalence')}, {version('ppa')}, {library}"
        return {**self._inner.settings(), "aim": versions}

    def _own(self, attempts: Sequence[Attempt]) -> int:
        """How many attempts were made before the strategy ended: those of its own rounds."""
        for number, attempt in enumerate(attempts):
            is_first = not number or attempt.round != attempts[number - 1].round
            if is_first and not self._inner.next(attempts[:number]):
                return number
        return len(attempts)

    def _base(self, own: Sequence[Attempt]) -> int | None:
        """What the further rounds begin with; None where nothing is right, or its cost is not known."""
        best = next((n for n in self._inner.order(own) if is_right(own[n])), None)
        return best if best is not None and own[best].examined.cost is not None else None

    def _counted(self, attempts: Sequence[Attempt], own: int, base: int) -> list[int]:
        proven = [n for n in range(own, len(attempts)) if attempts[n].examined.proof.startswith(PROVEN)]
        costs = {n: attempts[n].examined.cost for n in (base, *proven)}
        return sorted((n for n, cost in costs.items() if cost is not None), key=lambda n: (costs[n], n))

    def _is_aimed(self, drawn: Drawn) -> bool:
        """Whether a draw is one of the further rounds'. What fills up a search that has ended has no path."""
        if not drawn.ask.path or drawn.ask.kind:
            return False
        own = self._own(drawn.earlier)
        return own < len(drawn.earlier) or not self._inner.next(drawn.earlier)

    def _proven(self, aimed: Sequence[Drawn], effort: Effort) -> list[Examined]:
        """What ``equivalence`` says, with the base as the reference."""
        items = []
        for one in aimed:
            base = self._base(one.earlier[: self._own(one.earlier)])
            assert base is not None
            reference = one.earlier[base].candidate.code
            top = look.top_of(one.problem, reference)
            items.append(replace(item_of(one.candidate, one.problem), reference=reference, top=top))
        found = []
        for (score,) in score_items(items, ["equivalence"], effort=effort) if items else []:
            is_proven = score.verdict is Verdict.PASSED
            said = score.detail or score.verdict.value
            proof = said if said.startswith(PROVEN) or not is_proven else f"{PROVEN}: {said}"
            found.append(
                Examined(
                    verdict=score.verdict, rank=RIGHT if is_proven else look.NO_RUN, proof=proof, tool_calls=2,
                    message="It does the same." if is_proven else said,
                )
            )  # fmt: skip
        return found


def costs(designs: Sequence[tuple[Problem, str]], library: str, effort: Effort) -> list[Examined]:
    """``measure`` of each design; ``library``: a Liberty file's path, or ""."""
    questions = [Question(code, look.top_of(problem, code) or "", library, effort.bound) for problem, code in designs]
    return examine("itertl.search.aim:measure", questions, effort, _unmeasured)


def _liberty(named: object) -> str:
    """The path of the library, "" for generic gates. Raises UsageError, ToolMissing."""
    if named is None:
        return str(ppa.liberty() or "")
    path = Path(str(named)).expanduser()
    if not isinstance(named, str) or not path.is_file() or not os.access(path, os.R_OK):
        raise UsageError(
            f"sample.strategy_options.liberty is {named!r}, which is not a file that can be read; give the path of a "
            "Liberty file, or leave it out for generic gates"
        )
    return str(path.resolve())


def _with_cost(said: Examined, measured: Examined) -> Examined:
    """A right design with its cost, and a message that asks for a cheaper one."""
    whole = said.message + "." * (said.message[-1:].isalnum())
    message = " ".join(part for part in (whole, measured.message, _REQUEST) if part)
    calls = said.tool_calls + measured.tool_calls
    return said.model_copy(update={"cost": measured.cost, "message": message, "tool_calls": calls})


def _unmeasured(detail: str) -> Examined:
    return Examined(verdict=Verdict.TOOL_FAILED, rank=0.0, message=f"It could not be measured: {detail}.")


@dataclass(frozen=True, slots=True)
class Question:
    """A design to measure. ``library``: a Liberty file's path, or ""."""

    code: str
    top: str
    library: str
    bound: Bound


def measure(question: Question) -> Examined:
    """``cost``, and the figures in words. In a worker. Raises ToolMissing.

    A path of no cell at all, as between ports and registers, counts as one: else all such designs cost nothing.
    """
    with bounds.held(question.bound):
        try:
            found = ppa.figures(question.code, question.top, question.library)
        except BoundReached:
            found = "synthesis did not end"
    if isinstance(found, str):
        return _unmeasured(found)
    size = found.size if question.library else found.cells
    area = f" of area {found.size:g}" if question.library else ""
    return Examined(
        verdict=Verdict.SCORED, rank=0.0, cost=size * max(1.0, found.depth), tool_calls=1,
        message=f"Synthesized, it has {found.cells:g} cells{area}, and {found.depth:g} of them on its longest path.",
    )  # fmt: skip
