"""No attack passes, hurts or slows the judge, at any sandbox level that works here; see ``attacks``.

A batch of attacks goes through the judge once for each level; each test looks at its own row. All are tried at the level
that the machine offers, those that meet the sandbox at every level, and with ``-m slow`` all at every level. Attacks that
only end at a limit are tried by the sample ``HANGING_SAMPLE`` here, and all of them with ``-m slow``.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from attacks import ATTACKS, by_heart, judged, naive
from attacks.files import FILES
from attacks.judged import Batch
from attacks.naive_passes import PASSES
from attacks.suite import Attack
from attacks.targets import PROBLEMS, TARGETS
from itertl.records import Fault, Verdict
from itertl.sandbox import levels
from itertl.tools import icarus

HANGING_SAMPLE = frozenset(
    """
    ending-loop-at-zero ending-oscillator ending-repeat-huge ending-event-loop resources-flood-stdout
    resources-flood-width resources-memory-string resources-memory-task-recursion resources-memory-events
    resources-flood-monitor bombs-generate-long bombs-function-endless bombs-macros-recursive bombs-power macros-include-self
    """.split()
)
QUICK = tuple(a for a in ATTACKS if not a.hangs or a.name in HANGING_SAMPLE)
HANGING = tuple(a for a in ATTACKS if a.hangs and a.name not in HANGING_SAMPLE)
# What depends on the level: the gate, which refuses most of the others unrun, is the same at every level.
MEETS_SANDBOX = tuple(a for a in QUICK if a.kind in ("files", "resources", "ending", "printing"))
UNGATED = tuple(a for a in FILES if not a.hangs)
BY_NAME = {a.name: a for a in ATTACKS}


@pytest.fixture(scope="module", params=levels.LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    """Each sandbox level that works on this machine."""
    finding = levels.probe(request.param)
    if not finding.works:
        pytest.skip(f"{request.param} does not work here: {finding.detail}")
    return request.param


@cache
def quick(level: str) -> Batch:
    return judged.through_judge(level, QUICK)


@cache
def meeting(level: str) -> Batch:
    return quick(level) if level == levels.level() else judged.through_judge(level, MEETS_SANDBOX)


@cache
def hanging(level: str) -> Batch:
    return judged.through_judge(level, HANGING)


@cache
def ungated(level: str) -> Batch:
    return judged.without_gate(level, UNGATED)


def assert_held(batch: Batch, attack: Attack) -> None:
    """The verdict blames the design, and everything ended in time."""
    row = batch.rows[attack.name]
    assert row.verdict is not Verdict.PASSED, f"a wrong design passes; it tries: {attack.tries}"
    assert row.verdict.fault is Fault.MODEL, f"{row.verdict.value} hides it from the count: {row.detail}"
    assert attack.name not in batch.overruns, batch.overruns[attack.name]


def assert_nothing_left(batch: Batch) -> None:
    assert batch.after == batch.before
    assert batch.left == ()


@pytest.mark.parametrize("attack", QUICK, ids=lambda a: a.name)
def test_attack(attack: Attack) -> None:
    """At the level that is chosen on this machine."""
    assert_held(quick(levels.level()), attack)


def test_nothing_is_touched_or_left() -> None:
    assert_nothing_left(quick(levels.level()))


@pytest.mark.parametrize("attack", MEETS_SANDBOX, ids=lambda a: a.name)
def test_attack_that_meets_the_sandbox(level: str, attack: Attack) -> None:
    assert_held(meeting(level), attack)


def test_nothing_is_touched_or_left_at_any_level(level: str) -> None:
    assert_nothing_left(meeting(level))


@pytest.mark.slow
@pytest.mark.parametrize("attack", QUICK, ids=lambda a: a.name)
def test_every_attack_at_every_level(level: str, attack: Attack) -> None:
    assert_held(quick(level), attack)


@pytest.mark.slow
@pytest.mark.parametrize("attack", HANGING, ids=lambda a: a.name)
def test_hanging_attack(level: str, attack: Attack) -> None:
    assert_held(hanging(level), attack)


@pytest.mark.slow
def test_nothing_is_touched_or_left_by_what_hangs(level: str) -> None:
    assert_nothing_left(hanging(level))


@pytest.mark.parametrize("attack", UNGATED, ids=lambda a: a.name)
def test_file_attack_past_the_gate(level: str, attack: Attack) -> None:
    """The sandbox alone: the gate would refuse these unrun."""
    batch = ungated(level)
    assert batch.said[attack.name] is not None, "the worker died"
    assert attack.name not in batch.overruns, batch.overruns[attack.name]


def test_nothing_is_touched_or_left_past_the_gate(level: str) -> None:
    assert_nothing_left(ungated(level))


def test_suite_is_large_and_its_names_differ() -> None:
    assert len(ATTACKS) >= 140
    assert len(BY_NAME) == len(ATTACKS)
    assert len(set(Counter(a.kind for a in ATTACKS))) >= 15
    assert set(BY_NAME) >= HANGING_SAMPLE
    assert set(BY_NAME) >= PASSES


def test_references_pass_and_wrong_bodies_fail() -> None:
    """Otherwise an attack would fail for the target's sake."""
    for name, problem in PROBLEMS.items():
        assert problem.reference is not None
        assert naive.naive(name, problem.reference)
        assert not naive.naive(name, f"{TARGETS[name].header}{TARGETS[name].wrong}endmodule\n")


@pytest.mark.parametrize("text", [by_heart.by_inputs, by_heart.by_time])
def test_answers_by_heart_are_a_known_limit(text: Callable[[], str]) -> None:
    """What no judge with this testbench can see, so that nobody takes a verdict for more than it is."""
    attack = Attack("by-heart", "by-heart", "mux", text(), "knows the answers")
    batch = judged.through_judge(levels.level(), [attack])
    assert batch.rows["by-heart"].verdict is Verdict.PASSED


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_naive_harness_is_fooled() -> None:
    """How many attacks pass where testbench and design are one file and the first verdict line is believed."""
    with ThreadPoolExecutor(2) as threads:
        passing = threads.map(naive.passes, ATTACKS)
        found = {a.name for a, is_passing in zip(ATTACKS, passing, strict=True) if is_passing}
    print(f"{len(found)} of {len(ATTACKS)} attacks pass the naive harness")
    if icarus.version() == "Icarus Verilog 11.0":
        assert found == PASSES
    assert len(found) > 100
