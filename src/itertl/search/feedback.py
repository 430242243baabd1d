"""What ``feedback`` of a strategy looks at: the compiler alone, tests that the model writes, or the reference.

With "own tests" the first round draws testbenches beside designs. One is left out, and its attempt says so, where it
does not compile with any of the first designs that compile, hangs with all of them, or finds no check right in any of
them, if they are two different texts at least. (One in which a few checks fail for all of them stays: else a single
test could only ever end a search.) A design's rank is the mean share of the checks of the rest that it passes; where
none is left, that it compiles.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from itertl.errors import UsageError
from itertl.judging import strict
from itertl.records import Attempt, Candidate, Examined, Problem, Verdict
from itertl.scoring.engine import Effort
from itertl.scoring.vectors import score as vectors
from itertl.search import edits, look, own_tests
from itertl.search.own_tests import MISFITS, Trial
from itertl.search.strategy import RIGHT, Ask, Drawn, Feedback, check_choice, check_count
from itertl.search.workers import examine
from itertl.tools import icarus, slang
from itertl.verilog.extract import extract
from itertl.verilog.header import derive_top
from itertl.verilog.text import modules
from itertl.verilog.units import find_units, module_name

FEEDBACK = ("compiler", "own tests", "reference")
TEST = "tests"  # the kind of an attempt that is a testbench
USABLE, UNTRIED, LEFT_OUT = 0.0, -1.0, -2.0  # its rank
UNTESTED = "The code compiles; there is no test to run."
_RAN = (Verdict.PASSED, Verdict.WRONG_OUTPUT)  # of designs that compile
_NEARLY = 0.999999  # the most of a share below 1
_MOST_LINES = 5


class Looking:
    """Examines attempts as ``feedback`` says. ``function`` looks at one design alone ("module:function")."""

    def __init__(self, feedback: Feedback, tests: int = 1, function: str = "itertl.search.look:look") -> None:
        check_choice("feedback", feedback, FEEDBACK)
        check_count(tests=tests)
        if tests != 1 and feedback != "own tests":
            raise UsageError(f"sample.strategy_options.tests is {tests}; add feedback: own tests, which draws them")
        self.feedback: Feedback = feedback
        self._tests, self._function = tests, function

    def asks(self, attempts: Sequence[Attempt]) -> list[Ask]:
        """What is drawn before the first design, or beside it."""
        if self.feedback != "own tests" or attempts:
            return []
        return [Ask(self._tests, kind=TEST, instruction=own_tests.REQUEST, header=own_tests.HEADER)]

    def taken(self, drawn: Drawn) -> Candidate:
        """Of a text that was to be a testbench and calls it otherwise that, and not the design that may stand beside
        it."""
        candidate = drawn.candidate
        names = {span.name for span in modules(candidate.code)}
        if drawn.ask.kind != TEST or module_name(own_tests.HEADER) in names:
            return candidate
        text = edits.answer_text(candidate)
        benches = [unit.name for unit in find_units(text) if unit.is_module and unit.is_testbench]
        found = extract(text, top=benches[0]) if benches else None
        return candidate.model_copy(update={"code": found.code, "dropped": found.dropped}) if found else candidate

    def examine(self, drawn: Sequence[Drawn], effort: Effort) -> list[Examined]:
        """What is to be said of each. Raises ToolMissing."""
        designs = [one for one in drawn if one.ask.kind != TEST]
        with_reference = self.feedback == "reference"
        texts = {one.problem.id: one.problem.model_dump_json() for one in designs}
        questions = [
            look.Question(texts[one.problem.id], one.candidate.code, with_reference, effort.bound) for one in designs
        ]
        said = dict(zip(map(id, designs), examine(self._function, questions, effort, lost=look.lost), strict=True))
        if self.feedback == "own tests":
            said.update(_tested(drawn, said, effort))
        return [said[id(one)] for one in drawn]

    def check(self, problems: Sequence[Problem]) -> None:
        """Raise UsageError where a problem lacks what is looked at."""
        if self.feedback == "reference" and not all(p.reference for p in problems):
            raise UsageError("feedback: reference needs one for each problem; use feedback: compiler")
        nameless = next((p for p in problems if not (p.top or derive_top(p.header))), None)
        if self.feedback == "own tests" and nameless is not None:
            raise UsageError(
                f"feedback: own tests needs a header for each problem, and {nameless.upstream_id or nameless.id} has "
                "none, so a test cannot know the module; add headers, or use feedback: compiler"
            )

    def version(self) -> str:
        """Of all that is said here. Raises ToolMissing."""
        found = f"{icarus.version()}, {slang.version()}, look {look.REVISION}, strict {strict.REVISION}"
        if self.feedback == "reference":
            found += f", {vectors.version()}"
        return f"{found}, own tests {own_tests.REVISION}" if self.feedback == "own tests" else found


@dataclass(slots=True)
class _Group:
    """A search's part of a round. ``designs``: those that compile, as text, each with its examination so far."""

    problem: Problem
    tests: dict[str, str]  # text -> why it is left out so far, or ""
    fresh: list[Drawn]  # testbenches of this round
    designs: list[tuple[Drawn, Examined]]
    base: list[str]  # the first designs that compile, of this round or an earlier one; none where all is decided


def _tested(drawn: Sequence[Drawn], said: dict[int, Examined], effort: Effort) -> dict[int, Examined]:
    """By ``id``: what is said of testbenches, and of designs that compile, by running them against each other."""
    rounds: dict[tuple[str, int], list[Drawn]] = {}
    for one in drawn:
        rounds.setdefault((one.problem.id, one.search), []).append(one)
    groups = [_group(members, said) for members in rounds.values()]
    trials = [list(_trials(group, effort)) for group in groups]
    asked = list(dict.fromkeys(one for some in trials for one in some))
    results = dict(zip(asked, examine("itertl.search.own_tests:trial", asked, effort, lost=look.lost), strict=True))
    found: dict[int, Examined] = {}
    for group, some in zip(groups, trials, strict=True):
        table = {(one.test, one.code): results[one] for one in some}
        _leave_out(group, table)
        found |= {id(one): _of_test(one, group) for one in group.fresh}
        found |= {id(one): _of_design(one.candidate.code, alone, group, table) for one, alone in group.designs}
    return found


def _group(members: Sequence[Drawn], said: dict[int, Examined]) -> _Group:
    earlier, fresh = members[0].earlier, [one for one in members if one.ask.kind == TEST]
    designs = [(one, said[id(one)]) for one in members if one.ask.kind != TEST and said[id(one)].rank >= RIGHT]
    known = [a for a in earlier if a.kind == TEST and a.examined.rank > LEFT_OUT]
    tests = dict.fromkeys([a.candidate.code for a in known] + [one.candidate.code for one in fresh], "")
    top = look.top_of(members[0].problem, "") or ""
    for test in tests:
        marked = own_tests.announced(test, top)
        tests[test] = marked if isinstance(marked, str) else ""
    base: list[str] = []
    if fresh or any(a.examined.rank == UNTRIED for a in known):
        ran = [a for a in earlier if not a.kind and a.examined.verdict in _RAN]
        first = min((a.round for a in ran), default=None)
        before = [a.candidate.code for a in ran if a.round == first]
        base = list(dict.fromkeys(before or [one.candidate.code for one, _ in designs]))
    return _Group(members[0].problem, tests, fresh, designs, base)


def _trials(group: _Group, effort: Effort) -> Iterator[Trial]:
    codes = dict.fromkeys([*(one.candidate.code for one, _ in group.designs), *group.base])
    for test, why in group.tests.items():
        if not why:
            yield from (Trial(test, code, look.top_of(group.problem, code) or "", effort.bound) for code in codes)


def _leave_out(group: _Group, table: dict[tuple[str, str], Examined]) -> None:
    """Say of each testbench that the first designs speak against why."""
    for test, why in group.tests.items():
        outcomes = _known(table[test, code] for code in group.base) if not why else []
        if not outcomes:
            continue
        if all(said.verdict in MISFITS for said in outcomes):
            group.tests[test] = f"it does not compile with any design: {outcomes[0].message}"
        elif all(said.verdict is Verdict.TIMEOUT for said in outcomes):
            group.tests[test] = "it does not come to an end with any design"
        elif len(outcomes) > 1 and all(said.rank <= 0 for said in outcomes):
            group.tests[test] = f"all {len(outcomes)} designs of the first round fail it: {outcomes[0].message}"


def _known(outcomes: Iterable[Examined]) -> list[Examined]:
    """Those that say something: not where a tool of ours broke."""
    return [said for said in outcomes if said.verdict is not Verdict.TOOL_FAILED]


def _of_test(one: Drawn, group: _Group) -> Examined:
    why = group.tests[one.candidate.code]
    if why:
        return Examined(verdict=Verdict.UNJUDGEABLE, rank=LEFT_OUT, message=f"Left out: {why}")
    if not group.base:
        return Examined(verdict=Verdict.UNDECIDED, rank=UNTRIED, message="No design to try it on compiles yet.")
    return Examined(verdict=Verdict.SCORED, rank=USABLE, message="Used.", tool_calls=2 * len(group.base))


def _of_design(code: str, alone: Examined, group: _Group, table: dict[tuple[str, str], Examined]) -> Examined:
    """Of one that compiles: by the testbenches that are left."""
    outcomes = _known(table[test, code] for test, why in group.tests.items() if not why)
    calls = alone.tool_calls + sum(said.tool_calls for said in outcomes)
    if not outcomes:
        return alone.model_copy(update={"message": UNTESTED, "tool_calls": calls})
    share = sum(said.rank for said in outcomes) / len(outcomes)
    if all(said.rank >= 1 for said in outcomes):
        return Examined(verdict=Verdict.PASSED, rank=RIGHT, message="All tests pass.", tool_calls=calls)
    failed = [line for said in outcomes if said.rank < 1 for line in said.message.splitlines()]
    reported = "\n".join(f"- {line}" for line in failed[:_MOST_LINES])
    return Examined(
        verdict=Verdict.WRONG_OUTPUT, rank=min(share, _NEARLY), tool_calls=calls,
        message=f"The code compiles, but a test of it fails:\n{reported}\n{look.AGAIN}",
    )  # fmt: skip
