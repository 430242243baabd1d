"""Hosts of a Ray cluster on one machine: each a network namespace with an address of its own, for tests and benchmarks.

They share processors and files; what differs is the network between them, which can be cut, and the Ray node on each,
which can be killed. Needs root, ``ip`` and the package ray.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PORT = 6379
ROOT = Path(__file__).resolve().parents[1]
_SOON = {  # a node that is cut off is given up within seconds instead of a minute
    "RAY_health_check_initial_delay_ms": "2000", "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000", "RAY_health_check_failure_threshold": "3",
}  # fmt: skip
_STORE = 100_000_000  # bytes of each node's object store


def has_ray() -> bool:
    return importlib.util.find_spec("ray") is not None


def why_not() -> str:
    """Why there can be no such hosts here; "" where there can."""
    if not has_ray():
        return "the package ray is not installed (pip install 'itertl[ray]')"
    if shutil.which("ip") is None:
        return "there is no program ip (apt-get install iproute2)"
    name = f"itx{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces are not permitted here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class Hosts:
    """Hosts 1, 2 … at 10.77.0.1, 10.77.0.2 …; the cluster's head is on host 1."""

    def __init__(self) -> None:
        self._mark = f"it{os.getpid() % 100000}"
        self.folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # Ray's sockets lie in it: a short path
        self.known: list[int] = []
        _ip("link", "add", f"{self._mark}b", "type", "bridge")
        _ip("link", "set", f"{self._mark}b", "up")

    address = f"10.77.0.1:{PORT}"

    def start(self, host: int, *, cpus: int = 1, env: Mapping[str, str] | None = None, core: int | None = None) -> None:
        """Begin a host's Ray node. ``core``: all that runs there is held to it."""
        if host not in self.known:
            self._add(host)
        joins = ["--head", "--port", str(PORT), "--include-dashboard", "false", "--temp-dir", str(self.folder / "t")]
        joins = joins if host == 1 else ["--address", self.address]
        command = [
            "-m", "ray.scripts.scripts", "start", *joins, "--node-ip-address", f"10.77.0.{host}",
            "--num-cpus", str(cpus), "--num-gpus", "0", "--object-store-memory", str(_STORE), "--disable-usage-stats",
        ]  # fmt: skip
        scratch = self.folder / f"h{host}"
        scratch.mkdir(exist_ok=True)
        given = {**_SOON, "TMPDIR": str(scratch), "RAY_TMPDIR": str(self.folder / "t"), **(env or {})}
        held = [] if core is None else ["taskset", "-c", str(core)]
        command = [*held, *self.command(host, command)]
        done = subprocess.run(command, env=_environment(given), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"no Ray node can be begun on host {host}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _add(self, host: int) -> None:
        name, ours, theirs = self.name(host), f"{self._mark}v{host}", f"{self._mark}w{host}"
        _ip("netns", "add", name)
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        _ip("link", "set", ours, "master", f"{self._mark}b", "up")
        _ip("-n", name, "link", "set", theirs, "name", "eth0")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "addr", "add", f"10.77.0.{host}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        self.known.append(host)

    def name(self, host: int) -> str:
        return f"{self._mark}h{host}"

    def command(self, host: int, arguments: Sequence[str]) -> list[str]:
        """Python with these arguments, on the host."""
        return ["ip", "netns", "exec", self.name(host), sys.executable, *arguments]

    def run(
        self, host: int, arguments: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """``itertl`` with these arguments, on the host."""
        command = self.command(host, ["-m", "itertl", *arguments])
        return subprocess.run(command, env=_environment(env or {}), capture_output=True, text=True, cwd=cwd)

    def begin(
        self, host: int, arguments: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """The same without waiting; what it says goes into ``log``."""
        with log.open("wb") as handle:
            command = self.command(host, ["-m", "itertl", *arguments])
            return subprocess.Popen(command, env=_environment(env or {}), stdout=handle, stderr=handle)

    def output(self, command: Sequence[str]) -> str:
        """What a command says, of ``command``; raises RuntimeError with its complaints where it fails."""
        done = subprocess.run(command, env=_environment({}), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        return done.stdout.strip().splitlines()[-1]

    def processes(self, host: int) -> dict[int, str]:
        """Of a host: the command line of each by its number."""
        listed = subprocess.run(["ip", "netns", "pids", self.name(host)], capture_output=True, text=True).stdout
        found: dict[int, str] = {}
        for pid in map(int, listed.split()):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found[pid] = line
        return found

    def kill(self, host: int) -> None:
        """End all processes of a host at once, as a power cut does."""
        for _ in range(3):
            for pid in self.processes(host):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)

    def cut(self, host: int) -> None:
        """Take away its network."""
        _ip("link", "set", f"{self._mark}v{host}", "down")

    def join(self, host: int) -> None:
        """Give it back."""
        _ip("link", "set", f"{self._mark}v{host}", "up")

    def living(self) -> list[str]:
        """The addresses of the nodes that the head takes for living."""
        code = f"import ray; ray.init('{self.address}', logging_level='ERROR'); "
        code += "print('\\n'.join(n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']))"
        asked = subprocess.run(self.command(1, ["-c", code]), env=_environment({}), capture_output=True, text=True)
        return asked.stdout.split()

    def close(self) -> None:
        """End all that runs on the hosts, and take them away."""
        for host in self.known:
            self.kill(host)
            subprocess.run(["ip", "netns", "del", self.name(host)], check=False)
        subprocess.run(["ip", "link", "del", f"{self._mark}b"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def hosts() -> Iterator[Hosts]:
    """Without nodes; ``start`` begins them."""
    found = Hosts()
    try:
        yield found
    finally:
        found.close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}
