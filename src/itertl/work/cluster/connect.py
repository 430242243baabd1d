"""A Ray cluster: reached or refused in seconds, and which of its nodes may work.

What results depend on (versions of tools and of this package, the sandbox) is asked of every node before it gets work.
A node that differs from this machine is left out by name; one that joins later gets no work of this call.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from itertl.errors import RecipeError, ToolFailed, ToolMissing

try:
    import ray
    from ray.exceptions import GetTimeoutError, RayError
except ImportError as absent:
    raise ToolMissing(
        f"compute.engine: ray needs the package ray, which cannot be imported ({absent}): pip install 'itertl[ray]'"
    ) from absent

_REACH_S = 5.0
LOOK_S = 90.0  # that a node gets to tell of itself: its first process imports everything
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # of HTTP/2, with empty settings
_SETTINGS = 4  # kind of the frame with which a server of HTTP/2, such as Ray's, begins
_START = "start one by `ray start --head`, or correct compute.address"


@dataclass(frozen=True, slots=True)
class Node:
    """One that may work."""

    ident: str
    address: str
    cpus: int
    gpus: int

    def __str__(self) -> str:
        return f"{self.address} ({self.cpus} CPUs{f', {self.gpus} GPUs' if self.gpus else ''})"


def remote(work: Callable[..., Any], **options: Any) -> Any:
    """A function or class that Ray runs."""
    make: Any = ray.remote  # its types know less than it takes
    return make(**options)(work)


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Be a driver of the cluster. Raises RecipeError where there is none at the address, or where it does not take this
    process."""
    where = address if address != "auto" else os.environ.get("RAY_ADDRESS", "auto")
    if where != "auto":
        _reach(where)
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    quiet: dict[str, Any] = {"logging_level": "ERROR"}
    quiet |= {} if where.startswith("ray://") else {"log_to_driver": False}
    try:
        ray.init(where, **quiet)
    except (RayError, OSError, RuntimeError, ValueError, SystemExit) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        why = " ".join(dict.fromkeys([lines[0], lines[-1].strip()]))  # what failed, and of a trace its end
        raise RecipeError(f"compute.address: no Ray cluster can be joined at {where} ({why}); {_START}") from error
    finally:
        for number, handler in handlers.items():  # Ray sets its own
            signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Ray itself waits for two minutes. Raises RecipeError where nothing that may be Ray listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _REACH_S) as connection:
            connection.settimeout(_REACH_S)
            connection.sendall(_GREETING)
            frame = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise RecipeError(f"compute.address: {address} cannot be reached ({error}); {_START}") from error
    if len(frame) < 4 or frame[3] != _SETTINGS:
        raise RecipeError(f"compute.address: what listens at {address} is not Ray; {_START}")


def living() -> list[Node]:
    """The nodes of the cluster that live and have processors."""
    found = [
        Node(
            node["NodeID"], node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]  # fmt: skip
    return sorted((node for node in found if node.cpus), key=lambda node: (node.address, node.ident))


def on(nodes: list[Node]) -> dict[str, str]:
    """Ray's label selector for these nodes."""
    return {"ray.io/node-id": f"in({','.join(node.ident for node in nodes)})"}


def admitted(look: str, say: Callable[[str], object]) -> list[Node]:
    """The nodes that are like this machine. Raises ToolFailed where there is none."""
    module, _, name = look.partition(":")
    mine = getattr(import_module(module), name)()
    nodes = living()
    asked = {node: _LOOK.options(label_selector=on([node])).remote(look) for node in nodes}
    deadline = time.monotonic() + LOOK_S
    taken: list[Node] = []
    refused: list[str] = []
    for node, ref in asked.items():
        why = _told(mine, ref, deadline)
        if why:
            refused.append(f"{node.address}: {why}")
        else:
            taken.append(node)
    fix = "install the same there (itertl doctor on both shows what is installed), or take it out of the cluster"
    if not taken:
        raise ToolMissing(f"no node of the cluster can be used: {'; '.join(refused) or 'none has a CPU'}; {fix}")
    for line in refused:
        say(f"node refused, for verdicts depend on it: {line}; {fix}")
    return taken


def _told(mine: Mapping[str, str], ref: Any, deadline: float) -> str:
    """How a node differs, by what it tells of itself."""
    try:
        its: Any = ray.get(ref, timeout=max(1.0, deadline - time.monotonic()))
    except GetTimeoutError:
        ray.cancel(ref, force=True)
        return f"it does not answer within {LOOK_S:.0f} s"
    except RayError as error:
        return f"itertl cannot work there ({str(error).strip().splitlines()[-1]})"
    return difference(mine, its)


def difference(mine: Mapping[str, str], its: Mapping[str, str]) -> str:
    """What is not the same on another machine, in words; "" where all is."""
    apart = [name for name in mine if its.get(name) != mine[name]]
    return ", ".join(
        f"{name} is {its.get(name) or 'missing'} there and {mine[name] or 'missing'} here" for name in apart
    )


def _look(look: str) -> Mapping[str, str]:
    module, _, name = look.partition(":")
    return getattr(import_module(module), name)()


_LOOK = remote(_look, num_cpus=0, max_retries=0)


def check(nodes: list[Node]) -> list[Node]:
    """Those of the nodes that live. Raises ToolFailed where none does."""
    here = {node.ident for node in living()}
    left = [node for node in nodes if node.ident in here]
    if not left:
        raise ToolFailed(
            f"all nodes that worked are gone from the cluster ({', '.join(node.address for node in nodes)}); start "
            "them again, and the same command goes on"
        )
    return left


def said(error: BaseException) -> str:
    """What Ray says of a failure, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
