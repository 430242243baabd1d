"""Actors: processes that each hold something costly, such as a model on a device, and do parts of a stage in turn.

Parts are planned before, so what comes of a part does not depend on the actor that does it. An actor that dies is
started again and its part is done again; three deaths of one part end the stage. All of them end with the caller,
whatever ends it.
"""

import multiprocessing
import os
import pickle
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from itertl import faults
from itertl.errors import ToolFailed
from itertl.work import children

_SPAWN = multiprocessing.get_context("spawn")
_END_S = 10.0  # that an actor gets to end by itself


class _Actor:
    def __init__(self, make: str, number: int, arguments: Sequence[Any], log: Path) -> None:
        ours, theirs = _SPAWN.Pipe()
        self.number, self.log = number, log
        self.process = _SPAWN.Process(target=_act, args=(make, number, arguments, theirs, os.getpid(), log))
        with children.starting():
            self.process.start()
        theirs.close()
        self.connection: Connection = ours
        self.part: int | None = None

    def give(self, part: int, payload: Any) -> None:
        self.part = part
        try:
            self.connection.send(payload)
        except OSError:  # it is dead: found when its answer is waited for
            return

    def answer(self) -> tuple[str, Any]:
        """What it sends; ("died", how) where it does not."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_END_S)
            return "died", children.ending(self.process.exitcode)

    def end(self) -> None:
        self.connection.close()
        if self.part is not None:
            self.process.kill()
        self.process.join(_END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Actors:
    """At most ``count`` of them, begun when parts first need them and kept until ``close``.

    ``make``: "module:function" that is called in each actor with its number and ``arguments``, and gives the function
    to which parts are given.
    """

    def __init__(self, make: str, arguments: Sequence[Any], count: int) -> None:
        self._make, self._arguments, self._count = make, arguments, count
        self._actors: list[_Actor] = []
        self._logs: tempfile.TemporaryDirectory[str] | None = None

    @property
    def are_there(self) -> bool:
        return bool(self._actors)

    def run(self, parts: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """(number, result) of each part, as they finish. One call at a time. Raises what the function raises, and
        ToolFailed where one part kills three actors; whatever ends it early ends all actors."""
        waiting, deaths = deque(range(len(parts))), Counter[int]()
        is_done = False
        try:
            for number in range(min(self._count, len(parts))):
                _give_next(self._actor(number), waiting, parts)
            while busy := {actor.connection: actor for actor in self._actors if actor.part is not None}:
                for connection in wait(list(busy)):
                    actor = busy[connection]  # type: ignore[index]
                    kind, value = actor.answer()
                    part = actor.part
                    assert part is not None
                    if kind == "raised":
                        raise value
                    if kind == "done":
                        _give_next(actor, waiting, parts)
                        yield part, value
                        continue
                    deaths[part] += 1
                    if deaths[part] >= children.ATTEMPTS:
                        raise ToolFailed(
                            f"part {part + 1} of {len(parts)} killed its worker {deaths[part]} times (the last: "
                            f"{value}); {children.last_words(actor.log)}"
                        )
                    actor.end()
                    self._actors[actor.number] = _Actor(self._make, actor.number, self._arguments, actor.log)
                    self._actors[actor.number].give(part, parts[part])
            is_done = True
        finally:
            if not is_done:
                self.close()

    def _actor(self, number: int) -> _Actor:
        if number == len(self._actors):
            self._logs = self._logs or tempfile.TemporaryDirectory(prefix="itertl-actors-")
            log = Path(self._logs.name) / f"actor-{number}.log"
            self._actors.append(_Actor(self._make, number, self._arguments, log))
        return self._actors[number]

    def close(self) -> None:
        """End them all. Later parts begin new ones."""
        for actor in self._actors:
            actor.end()
        self._actors.clear()
        if self._logs is not None:
            self._logs.cleanup()
            self._logs = None


def _give_next(actor: _Actor, waiting: deque[int], parts: Sequence[Any]) -> None:
    actor.part = None
    if waiting:
        number = waiting.popleft()
        actor.give(number, parts[number])


def _act(make: str, number: int, arguments: Sequence[Any], connection: Connection, parent: int, log: Path) -> None:
    """What an actor does."""
    children.serve(parent, log)
    module, _, name = make.partition(":")
    do: Callable[[Any], Any] | None = None
    while True:
        try:
            part = connection.recv()
        except EOFError:
            return
        try:
            do = do or getattr(import_module(module), name)(number, *arguments)
            assert do is not None
            answer = "done", do(part)
        except Exception as error:
            answer = "raised", sendable(error)
        faults.point("actor.part")
        connection.send(answer)


def sendable(error: Exception) -> Exception:
    """The error, or where it cannot be sent to another process its words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return ToolFailed(f"{type(error).__name__}: {error}")
    return error
