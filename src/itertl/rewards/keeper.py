"""The process beside a trainer that keeps the workers: begun with the first reward, ended with the last of its family.

A trainer calls rewards from threads that end, from children that it forks, from scripts without a ``__main__`` guard.
So the workers are not its children: the keeper is a fresh interpreter that has them, and whoever asks connects to it
by a socket that only holders of its key may use. Its threads live as long as it does, one to each worker. It ends when
no process holds the pipe that it was started with: the starter and what it forked.
"""

import contextlib
import hmac
import logging
import os
import queue
import secrets
import socket
import sys
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from itertl.rewards.answer import Question, Reward, unjudged

BEAT_S = 5.0  # from one sign of life to the next, of a keeper that has nothing to tell
_KEY_BYTES = 32
_MOST_KNOWN = 20_000  # answers that are remembered beside the cache
_MOST_TOGETHER = 16  # questions that one lane takes at a time
_START_S = 120.0  # for a fresh interpreter to import what it needs
_CODE = (
    "import sys; sys.path += [entry for entry in sys.argv[2:] if entry not in sys.path];"
    "from itertl.rewards.keeper import main; main(int(sys.argv[1]))"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What a keeper is started with. ``cache``: its folder."""

    num_workers: int
    cache: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a keeper is asked, and the key that it wants."""

    name: bytes  # abstract: nothing of it lies on disk
    key: bytes

    def connect(self) -> Connection:
        """A connection of the caller's own. Raises OSError or EOFError where there is no keeper any more."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.connect(self.name)
            end.sendall(self.key)
        except OSError:
            end.close()
            raise
        return Connection(end.detach())


@dataclass(frozen=True, slots=True)
class Kept:
    """A keeper that runs, as long as somebody holds ``pipe``."""

    address: Address
    pipe: Connection
    pid: int


def start(settings: Settings) -> Kept:
    """Start a keeper. Raises OSError, EOFError."""
    ours, theirs = socket.socketpair()
    root = str(Path(__file__).resolve().parents[2])
    with theirs:
        os.set_inheritable(theirs.fileno(), True)
        # modules are found where the trainer finds them: a scorer of the user's own may be among them
        argv = [sys.executable, "-P", "-c", _CODE, str(theirs.fileno()), *map(os.path.abspath, sys.path), root]
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
        pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions, setsid=True)
    pipe = Connection(ours.detach())
    pipe.send(settings)
    if not pipe.poll(_START_S):
        raise TimeoutError(f"it did not start within {_START_S:g} s")
    return Kept(pipe.recv(), pipe, pid)


def main(descriptor: int) -> None:
    """The keeper's life."""
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    settings: Settings = pipe.recv()
    logging.getLogger("itertl.work.content_cache").addFilter(_Once())
    address = Address(b"\0itertl-rewards-" + secrets.token_hex(16).encode(), secrets.token_bytes(_KEY_BYTES))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(address.name)
        door.listen(128)
        keeper = _Keeper(settings, address.key)
        threading.Thread(target=keeper.open, args=(door,), daemon=True).start()
        pipe.send(address)
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()  # nothing ever comes: it ends with the last that holds the other side
    keeper.close()
    os._exit(0)  # threads may be at work; what they started ends with this process


class _Once(logging.Filter):
    """A remark is made once, though every question may give cause for it."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        is_new = said not in self._seen
        self._seen.add(said)
        return is_new


class _Keeper:
    def __init__(self, settings: Settings, key: bytes) -> None:
        self._key, self._cache = key, None if settings.cache is None else Path(settings.cache)
        self._own = threading.local()
        self._lanes: list[Any] = []
        self._count = settings.num_workers
        self._pool = ThreadPoolExecutor(settings.num_workers, initializer=self._begin)
        self._done = 0  # answers so far, to whomever
        # what was answered lately, also what the cache on disk does not keep: proofs that came to no end
        self._known: OrderedDict[tuple[str, Question], Reward] = OrderedDict()

    def _begin(self) -> None:
        from itertl.rewards.scoring import Lane

        self._own.lane = Lane(self._cache)
        self._lanes.append(self._own.lane)

    def open(self, door: socket.socket) -> None:
        """Take callers in, each in a thread of its own."""
        while True:
            try:
                end, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()

    def _serve(self, end: socket.socket) -> None:
        end.settimeout(30)
        with contextlib.suppress(OSError):
            given = end.recv(_KEY_BYTES, socket.MSG_WAITALL)
            if not hmac.compare_digest(given, self._key):
                end.close()
                return
            end.settimeout(None)
            with Connection(end.detach()) as caller, contextlib.suppress(EOFError):
                while True:
                    score, questions = caller.recv()
                    self._answer(caller, score, questions)

    def _answer(self, caller: Connection, score: str, questions: list[Question]) -> None:
        """One request: ("answer", number, reward) of each question as they come, then ("end", None, None).

        Equal questions are asked once.
        """
        refused = _refused(score)
        if refused is not None:
            caller.send(("refused", *refused))
            return
        numbers: dict[Question, list[int]] = {}
        for number, one in enumerate(questions):
            numbers.setdefault(one, []).append(number)
        found: queue.SimpleQueue[tuple[Question, Reward]] = queue.SimpleQueue()
        left: list[Question] = []
        for one in numbers:
            known = self._known.get((score, one))
            left.append(one) if known is None else found.put((one, known))
        work = [self._pool.submit(self._some, score, chunk, found) for chunk in _chunks(left, self._count)]
        try:
            for _ in numbers:
                question, reward = self._next(found, caller)
                for number in numbers[question]:
                    caller.send(("answer", number, reward))
            caller.send(("end", None, None))
        finally:
            _forget(work)

    def _next(self, found: "queue.SimpleQueue[tuple[Question, Reward]]", caller: Connection) -> tuple[Question, Reward]:
        while True:
            try:
                return found.get(timeout=BEAT_S)
            except queue.Empty:
                caller.send(("beat", self._done, None))

    def _some(self, score: str, questions: list[Question], found: "queue.SimpleQueue[tuple[Question, Reward]]") -> None:
        left = dict.fromkeys(questions)
        try:
            for question, reward in self._own.lane.answers(questions, _config(score)):
                del left[question]
                self._done += 1
                if reward.value is not None:
                    self._known[score, question] = reward
                    if len(self._known) > _MOST_KNOWN:
                        self._known.popitem(last=False)
                found.put((question, reward))
        finally:  # whoever waits is told, whatever happened
            for question in left:
                found.put((question, unjudged("tool_failed", "the keeper of the workers broke on it")))


def _chunks(questions: list[Question], lanes: int) -> list[list[Question]]:
    """Questions for one lane at a time: of one ground truth, which a lane prepares once, and few enough for all
    lanes to have some."""
    most = max(1, min(_MOST_TOGETHER, len(questions) // (2 * lanes)))
    by_truth: dict[str, list[Question]] = {}
    for one in questions:
        by_truth.setdefault(one.truth, []).append(one)
    return [some[first : first + most] for some in by_truth.values() for first in range(0, len(some), most)]


def _forget(work: list[Future[None]]) -> None:
    """Of a caller that went away: what has not begun is not begun."""
    for future in work:
        future.cancel()


@lru_cache(maxsize=64)
def _config(score: str) -> Any:
    from itertl.config import ScoreConfig

    return ScoreConfig.model_validate_json(score)


@lru_cache(maxsize=64)
def _refused(score: str) -> tuple[str, str] | None:
    """Kind and text of the error where there can be no rewards by these settings."""
    from itertl.errors import ItertlError
    from itertl.rewards.scoring import check

    try:
        check(_config(score))
    except ItertlError as error:
        return type(error).__name__, str(error)
    return None
