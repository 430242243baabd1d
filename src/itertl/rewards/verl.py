"""verl's reward function, by path and name: ``compute_score``, and ``compute_scores`` for its batch reward manager.

verl has no "not judged": a completion that cannot be judged by our fault gets the mean of what this process gave to
the same problem before (in a batch: in this batch), so that it pulls its group nowhere, else the mean of all so far,
else 0; ``judged`` 0 marks it. Every result has the same keys, with numbers and texts alone, as verl's logging wants.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from itertl.rewards.answer import Reward, canonical
from itertl.rewards.rewarder import Rewarder
from itertl.rewards.settings import TESTBENCH, Score, as_key, from_key

_MOST_PROBLEMS = 100_000  # of which means are kept


def compute_score(
    data_source: Any,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    score: Score = None,
    cache: str | bool = True,
    **other: Any,
) -> dict[str, Any]:
    """The reward of one solution, and its breakdown, for ``custom_reward_function``.

    ``ground_truth``: fields of ``answer.FIELDS``, or their JSON text, or a reference's Verilog; ``extra_info`` may hold
    ``header`` and ``top``. ``score`` and ``cache`` as of ``Rewarder``, by ``reward_kwargs``; ``other`` is not read.
    Returns ``score`` (the reward), ``acc`` (1 where it is right by function), ``judged`` (0: both are neutral
    values), ``verdict``, ``detail``, and the value of every scorer, 0 where it was not taken. Raises UsageError or
    ToolMissing at the first call, where the settings or the machine are unfit, and nothing later.
    """
    [found] = compute_scores([data_source], [solution_str], [ground_truth], [extra_info], score=score, cache=cache)
    return found


def compute_scores(
    data_sources: Sequence[Any],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any] | None] | None = None,
    *,
    score: Score = None,
    cache: str | bool = True,
    **other: Any,
) -> list[dict[str, Any]]:
    """``compute_score`` of a batch, whose completions are judged side by side."""
    rewarder = _rewarder(as_key(score), cache)
    infos = [None] * len(solution_strs) if extra_infos is None else list(extra_infos)
    beside = [info if isinstance(info, Mapping) else {} for info in infos]
    rewards = rewarder(list(solution_strs), list(ground_truths), beside)
    names = [canonical(truth) for truth in ground_truths]
    for name, reward in zip(names, rewards, strict=True):
        if reward.value is not None:
            _MEANS.note(name, (reward.value, float(reward.is_right is True)))
    scorers = (*rewarder.config.scorers, TESTBENCH)
    return [_row(reward, name, scorers) for name, reward in zip(names, rewards, strict=True)]


def _row(reward: Reward, name: str, scorers: Sequence[str]) -> dict[str, Any]:
    taken = {scorer: (reward.scores.get(scorer) or {}).get("value") for scorer in scorers}
    value, right = (
        _MEANS.of(name) if reward.value is None else (reward.value, float(reward.is_right is True))
    )  # fmt: skip
    return {
        "score": value,
        "acc": right,
        "judged": float(reward.value is not None),
        "verdict": reward.verdict,
        "detail": reward.detail,
        **{scorer: float(value or 0.0) for scorer, value in taken.items()},
    }


@functools.cache
def _rewarder(key: str, cache: str | bool) -> Rewarder:
    return Rewarder(from_key(key), cache=cache)


class _Means:
    """Means of the rewards given so far, and of how many were right: of each problem, and of all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: OrderedDict[str, tuple[float, float, int]] = OrderedDict()
        self._all = 0.0, 0.0, 0

    def note(self, name: str, found: tuple[float, float]) -> None:
        with self._lock:
            self._by_name[name] = _added(self._by_name.pop(name, (0.0, 0.0, 0)), found)
            self._all = _added(self._all, found)
            if len(self._by_name) > _MOST_PROBLEMS:
                self._by_name.popitem(last=False)

    def of(self, name: str) -> tuple[float, float]:
        values, rights, count = self._by_name.get(name, self._all)
        return (values / count, rights / count) if count else (0.0, 0.0)


def _added(sums: tuple[float, float, int], found: tuple[float, float]) -> tuple[float, float, int]:
    return sums[0] + found[0], sums[1] + found[1], sums[2] + 1


_MEANS = _Means()
