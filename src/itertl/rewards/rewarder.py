"""Rewards asked of the keeper: warm workers, the cache by content, and no exception once a training runs."""

import atexit
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from itertl import errors
from itertl.config import ScoreConfig
from itertl.errors import ItertlError, ToolFailed
from itertl.records import Verdict
from itertl.rewards import keeper
from itertl.rewards.answer import Question, Reward, question, unjudged
from itertl.rewards.keeper import Kept, Settings
from itertl.rewards.settings import Score, config_of
from itertl.runs.storage import cache_folder

_LOG = logging.getLogger(__name__)
_LEAST_PATIENCE_S = 300.0  # without an answer to anybody, until a keeper counts as hung


class Rewarder:
    """Completions in, rewards out: ``Rewarder()(completions, ground_truths)``. Pickles; may be called from any thread,
    a forked child or a spawned one.

    ``score``: the keys of a recipe's ``score`` section, the path of a recipe, or None for ``settings.DEFAULT``.
    ``cache``: folder of answers kept by content, shared by all processes of a machine; True: the usual one, False:
    none. Raises RecipeError for settings that are wrong; what is missing on this machine shows at the first call.
    """

    def __init__(self, score: Score = None, *, cache: str | Path | bool = True) -> None:
        config = config_of(score)
        self.config, self._score = config, config.model_dump_json()
        self._cache = str(cache_folder()) if cache is True else None if cache is False else str(cache)
        self._is_checked = False

    def __call__(
        self, completions: Sequence[Any], truths: Sequence[Any], beside: Sequence[Mapping[str, Any]] | None = None
    ) -> list[Reward]:
        """The reward of each completion (a text, or messages of a chat) by the ground truth beside it.

        ``beside``: columns of each row that may hold header and top. The first call raises UsageError or ToolMissing
        where the settings or the machine are unfit; from then on what goes wrong is a reward without a value.
        """
        columns = [{}] * len(completions) if beside is None else beside
        asked = [question(*row) for row in zip(completions, truths, columns, strict=True)]
        found: dict[int, Reward] = {}
        trouble = ""
        for _ in range(2):
            left = [number for number in range(len(asked)) if number not in found]
            if not left and self._is_checked:
                break
            kept: Kept | None = None
            try:
                kept = _kept(self._kind)
                for place, reward in self._ask(kept, [asked[number] for number in left]):
                    found[left[place]] = reward
                self._is_checked = True
            except ItertlError as error:
                if not self._is_checked:
                    raise
                trouble = str(error)
            except (OSError, EOFError) as error:
                trouble = f"the process that keeps the workers is gone ({error or type(error).__name__})"
                _LOG.warning("%s; it is started again", trouble)
                _drop(self._kind, kept)
        if not self._is_checked:
            raise ToolFailed(f"{trouble}; itertl doctor shows what works here")
        return [found.get(number) or unjudged(Verdict.TOOL_FAILED.value, trouble) for number in range(len(asked))]

    @property
    def _kind(self) -> Settings:
        return Settings(_num_workers(self.config), self._cache)

    def _ask(self, kept: Kept, questions: Sequence[Question]) -> Iterator[tuple[int, Reward]]:
        """Answers as they come. Raises OSError or EOFError where the keeper is gone or hangs, and what it refuses."""
        with kept.address.connect() as connection:
            connection.send((self._score, list(questions)))
            for kind, number, reward in _messages(connection, self._patience()):
                if kind == "refused":
                    raise getattr(errors, str(number), ItertlError)(reward)
                if kind == "answer":
                    yield number, reward

    def _patience(self) -> float:
        return _LEAST_PATIENCE_S + 10 * max(self.config.timeout_s, self.config.budget_s)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_is_checked": False}


def _num_workers(config: ScoreConfig) -> int:
    """``num_workers``, or this process's share of the cores that it may use: of a machine's ranks each has one."""
    if config.num_workers:
        return config.num_workers
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, len(os.sched_getaffinity(0)) // max(1, int(ranks) if ranks.isdigit() else 1))


def _messages(connection: Connection, patience_s: float) -> Iterator[tuple[str, Any, Any]]:
    """What the keeper says up to the end of an answer. Raises TimeoutError where nothing at all gets done."""
    done, since = -1, time.monotonic()
    while True:
        if connection.poll(patience_s):
            message: tuple[str, Any, Any] = connection.recv()
            if message[0] != "beat" or message[1] != done:
                done, since = message[1] if message[0] == "beat" else done, time.monotonic()
            if message[0] == "end":
                return
            yield message
        if time.monotonic() - since > patience_s:
            raise TimeoutError(f"no answer within {patience_s:g} s")


# --- keepers of this process and of those that it was forked from

_keepers: dict[Settings, Kept] = {}
_lock = threading.Lock()


def _kept(kind: Settings) -> Kept:
    """The keeper that runs, or a new one. Raises OSError, EOFError."""
    with _lock:
        if kind not in _keepers:
            _keepers[kind] = keeper.start(kind)
        return _keepers[kind]


def _drop(kind: Settings, broken: Kept | None) -> None:
    """Of a keeper that is gone or hangs: the next call starts another, unless another thread has done so."""
    with _lock:
        if broken is None or _keepers.get(kind) is not broken:
            return
        del _keepers[kind]
    broken.pipe.close()
    with contextlib.suppress(ChildProcessError):  # of a forked child: it is the parent's
        if os.waitpid(broken.pid, os.WNOHANG) == (0, 0):
            os.kill(broken.pid, signal.SIGKILL)
            os.waitpid(broken.pid, 0)


def close_all() -> None:
    """Let go of all keepers: those that nobody else holds end. Later calls start new ones."""
    with _lock:
        for kept in _keepers.values():
            kept.pipe.close()
        _keepers.clear()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(close_all)
