"""The way in which published harnesses judge: testbench and design in one file, compile, run, believe the first verdict
line.

It is here to show that the attacks are real: see ``naive_passes`` for those that it lets through.
"""

import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

from attacks.files import CANARY
from attacks.suite import Attack
from attacks.targets import PROBLEMS

_LINE = re.compile(r"Mismatches: ([0-9]+) in ([0-9]+) samples")
_SECONDS = 5


def passes(attack: Attack) -> bool:
    """Whether the first verdict line on stdout counts no mismatch. Upstream's rule without its check of stderr."""
    with tempfile.TemporaryDirectory(prefix="naive-") as canary:
        return naive(attack.target, attack.text.replace(CANARY, canary))


def naive(target: str, text: str) -> bool:
    """As ``passes``, for any text."""
    found = _LINE.search(run(target, text))
    return found is not None and int(found[1]) == 0


def run(target: str, text: str) -> str:
    """What vvp wrote on stdout (at most 1 MiB of it), in a throwaway folder under small limits."""
    with tempfile.TemporaryDirectory(prefix="naive-") as name:
        folder = Path(name)
        source = f"{PROBLEMS[target].testbench}\n{text}".encode("utf-8", "surrogatepass")
        (folder / "design.sv").write_bytes(source)
        compiled = _call(["iverilog", "-g2012", "-s", "tb", "-o", "design.vvp", "design.sv"], folder)
        if compiled is None or not (folder / "design.vvp").exists():
            return ""
        return _call(["vvp", "-n", "design.vvp"], folder) or ""


def _call(argv: list[str], folder: Path) -> str | None:
    """Stdout, or None where the program failed or overran. Output goes to a file whose size is limited."""
    killer = shutil.which("timeout")
    assert killer is not None
    log = folder / "stdout.log"
    with log.open("wb") as out:
        done = subprocess.run(
            [killer, "-s", "KILL", str(_SECONDS), *argv],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            preexec_fn=_limit,
            check=False,
        )
    text = log.read_bytes()[: 1 << 20].decode("utf-8", "replace")
    return None if argv[0] == "iverilog" and done.returncode != 0 else text


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, 1 << 30),
        (resource.RLIMIT_CPU, _SECONDS),
        (resource.RLIMIT_FSIZE, 16 << 20),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
