"""Questions about attempts, asked in disposable workers: equal ones once, answers in the order of the questions."""

from collections.abc import Callable, Hashable, Sequence

from itertl.records import Examined
from itertl.scoring.engine import Effort
from itertl.work.pool import map_unordered


def examine(
    function: str, questions: Sequence[Hashable], effort: Effort, lost: Callable[[str], Examined]
) -> list[Examined]:
    """What ``function`` ("module:function") says of each question. ``lost``: where its worker crashed or hung, with
    what is known of that; an exception of the function is a fault of ours, and raised."""
    distinct = list(dict.fromkeys(questions))
    found: dict[Hashable, Examined] = {}
    done = map_unordered(function, distinct, num_workers=effort.num_workers, timeout_s=effort.timeout_s)
    for number, outcome in done:
        found[distinct[number]] = (
            outcome.value if outcome.status == "ok" else lost(f"{outcome.status}: {outcome.detail}"[:300])
        )
    return [found[question] for question in questions]
