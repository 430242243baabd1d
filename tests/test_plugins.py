"""Names become callables; a wrong name or option is refused with the nearest right one."""

import subprocess
import sys

import pytest

from itertl.errors import UsageError, nearest
from itertl.plugins import check_arguments, resolve

TABLE = {"rtlcoder": "json:dumps", "syntax": "json:loads"}


def test_built_in_and_own() -> None:
    import json
    import os.path

    assert resolve("scorer", "rtlcoder", TABLE) is json.dumps
    assert resolve("scorer", "os.path:join", TABLE) is os.path.join


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rtlcodr", ["rtlcodr", "did you mean 'rtlcoder'"]),
        ("zzz", ["rtlcoder, syntax", "package.module:function"]),
        ("no.such:thing", ["no.such"]),
        ("json:nothing", ["nothing"]),
        ("sys:maxsize", ["int", "not a function"]),
    ],
)
def test_wrong_names(name: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        resolve("scorer", name, TABLE)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_nearest_name() -> None:
    assert nearest("Sintax", ["syntax", "gate"], then="known: …") == "did you mean 'syntax'? known: …"
    assert nearest("sintax", ["Syntax"], otherwise="known: …") == "did you mean 'Syntax'?"
    assert nearest("zzz", ["syntax"], otherwise="it takes: syntax") == "it takes: syntax"
    assert nearest("zzz", ["syntax"], then="known: syntax") == "known: syntax"


def test_options_are_checked_against_the_signature() -> None:
    def function(value: int, *, margin: float = 0.3) -> None: ...

    check_arguments("method", "x", function, {"margin": 1})
    check_arguments("method", "x", lambda **options: None, {"anything": 1})
    with pytest.raises(UsageError, match=r"'margn'.*did you mean 'margin'"):
        check_arguments("method", "x", function, {"margn": 1})


@pytest.mark.parametrize(
    "module", ["itertl", "itertl.config", "itertl.records", "itertl.cli", "itertl.runs.folder", "itertl.model.load"]
)
def test_light_modules_import_no_heavy_package(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'transformers', 'pyslang', 'pyosys', 'datasets', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
