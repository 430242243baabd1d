"""Questions about attempts, asked in disposable workers: equal ones once, answers in the order of the questions."""

from collections.abc import Callable, Hashable, Sequence

from itertl.errors import ToolMissing
from itertl.records import Examined
from itertl.scoring.engine import Effort
from itertl.work.engine import map_unordered
from itertl.work.pool import Outcome


def examine(
    function: str, questions: Sequence[Hashable], effort: Effort, lost: Callable[[str], Examined]
) -> list[Examined]:
    """What ``function`` ("module:function") says of each question. ``lost``: where its worker crashed, hung or
    raised, with what is known of that. Raises ToolMissing."""
    distinct = list(dict.fromkeys(questions))
    found: dict[Hashable, Examined] = {}
    done = map_unordered(function, distinct, num_workers=effort.num_workers, timeout_s=effort.timeout_s)
    for number, outcome in done:
        if outcome.status == "timeout":  # other work may have slowed it: once more, alone
            ((_, outcome),) = map_unordered(function, [distinct[number]], num_workers=1, timeout_s=effort.timeout_s)
        found[distinct[number]] = _answer(outcome, lost)
    return [found[question] for question in questions]


def _answer(outcome: Outcome, lost: Callable[[str], Examined]) -> Examined:
    name, _, said = outcome.detail.partition(": ")
    if outcome.status == "raised" and name == ToolMissing.__name__:
        raise ToolMissing(said)
    return outcome.value if outcome.status == "ok" else lost(f"{outcome.status}: {outcome.detail}"[:300])
