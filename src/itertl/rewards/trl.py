"""TRL's ``reward_funcs``: a callable that pickles; prompts, completions and columns in, floats or None out.

None is TRL's own "no reward": such a completion counts neither in its group's mean nor as an advantage.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from itertl.errors import UsageError
from itertl.rewards.answer import FIELDS, Reward
from itertl.rewards.rewarder import Rewarder
from itertl.rewards.settings import Score

_ONE = "ground_truth"


class VerilogReward:
    """A reward function for GRPOTrainer, RLOOTrainer and their kin: ``reward_funcs=VerilogReward()``.

    The data set holds the ground truth: a column ``ground_truth`` (fields of ``answer.FIELDS``, or their JSON text, or
    a reference's Verilog), or columns called as the fields are: ``reference``, ``header``, ``top``, ``testbench`` …
    ``last`` holds the rewards of the last call with all that they were made of. ``score`` and ``cache`` as of
    ``Rewarder``. Raises RecipeError for wrong settings, at the first call UsageError (no such column) or ToolMissing,
    and nothing later.
    """

    def __init__(self, score: Score = None, *, cache: str | bool = True, name: str = "verilog") -> None:
        self.__name__ = name  # in TRL's logs
        self._rewarder = Rewarder(score, cache=cache)
        self.last: list[Reward] = []

    def __call__(
        self, prompts: Sequence[Any] | None = None, completions: Sequence[Any] = (), **columns: Any
    ) -> list[float | None]:
        """A reward for each completion, a text or a list of messages; None where it could not be judged."""
        truths, beside = _truths(columns, len(completions))
        self.last = self._rewarder(completions, truths, beside)
        self._log(columns)
        return [reward.value for reward in self.last]

    def _log(self, columns: Mapping[str, Any]) -> None:
        """Into TRL's table of completions, and its metrics."""
        extra, metric, rewards = columns.get("log_extra"), columns.get("log_metric"), self.last
        if callable(extra):
            extra(f"{self.__name__}_verdict", [reward.verdict for reward in rewards])
            extra(f"{self.__name__}_detail", [reward.detail for reward in rewards])
        if not callable(metric) or not rewards:
            return
        metric(f"{self.__name__}/unjudged", sum(reward.value is None for reward in rewards) / len(rewards))
        said = [reward.is_right for reward in rewards if reward.is_right is not None]
        if said:
            metric(f"{self.__name__}/right", sum(said) / len(said))
        for scorer in self._rewarder.config.scorers:
            values = [reward.scores[scorer]["value"] for reward in rewards if scorer in reward.scores]
            known = [value for value in values if value is not None]
            if known:
                metric(f"{self.__name__}/{scorer}", sum(known) / len(known))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "last": []}


def _truths(columns: Mapping[str, Any], count: int) -> tuple[list[Any], list[Mapping[str, Any]]]:
    """Ground truth of each row, and the columns that may hold what it lacks. Raises UsageError."""
    rows = {
        name: list(column) for name, column in columns.items()
        if isinstance(column, Sequence) and not isinstance(column, str) and len(column) == count
    }  # fmt: skip
    own = [name for name in FIELDS if name in rows]
    beside = [{name: rows[name][row] for name in own} for row in range(count)]
    if _ONE in rows:
        return rows[_ONE], list(beside)
    if not {"reference", "benchmark"} & rows.keys():
        raise UsageError(
            f"the data set has no column {_ONE!r} or 'reference' (it has {', '.join(sorted(rows)) or 'none'}); "
            "itertl data export --for trl --kind rl writes one"
        )
    return list(beside), list(beside)
