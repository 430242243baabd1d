"""What the run of the sandbox's tests by an ordinary user needs: a Python and a copy of the project that it can
read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import itertl


def _is_open(path: Path) -> bool:
    return all(place.stat().st_mode & 0o1 for place in [path, *path.parents])


def system_python() -> str | None:
    """A Python of this version or newer that any user may run, and that the packages of this one work with."""
    candidates = [
        sys.executable,
        *(shutil.which(f"python3.{n}", path="/usr/bin:/usr/local/bin") or "" for n in (11, 12, 13)),
    ]
    for name in filter(None, candidates):
        same = subprocess.run(
            [name, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if same.stdout.strip() == str(sys.version_info[:2]) and _is_open(Path(name).resolve()):
            return name
    return None


def copy_project(place: Path) -> list[str]:
    """Copy the package and these tests under ``place``; folders to import from, with those of the installed
    packages."""
    source = Path(itertl.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, place / "src" / "itertl", ignore=ignore)
    (place / "tests").mkdir()
    for name in ("test_sandbox.py", "test_sandbox_warm.py", "sandbox_user.py"):
        shutil.copy(Path(__file__).parent / name, place / "tests" / name)
    site = Path(os.path.dirname(os.__file__)) / "site-packages"  # noqa: PTH120
    installed = [path for path in sys.path if path.endswith("site-packages") and path != str(site)]
    return [str(place / "src"), str(place / "tests"), *installed]
