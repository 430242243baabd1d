"""Names become callables; a wrong name or option is refused with the nearest right one."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from itertl.config import TrainConfig
from itertl.errors import RecipeError, ToolFailed, UsageError, nearest
from itertl.plugins import check_arguments, resolve
from itertl.records import Verdict
from itertl.sandbox.bounds import Bound
from itertl.scoring.item import ScoreItem
from itertl.scoring.worker import Unit, score_unit
from itertl.training.batches import Group, Response
from itertl.training.methods import Method, resolve_method
from itertl.training.objective import group_loss

ROOT = Path(__file__).resolve().parent.parent

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


EXAMPLES = re.findall(r"```python\n(# (\w+)\.py: .*?)```", (ROOT / "docs" / "extending.md").read_text(), re.S)
PAIR = {
    "reference": "module m(output y);\nassign y = 1;\nendmodule",
    "completion": "module m(output y); assign y = 1; endmodule // longer than it",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, outside the package, with the documented examples; what was imported from it is forgotten."""
    for text, name in EXAMPLES:
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n")
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script, whose path does not begin with the current folder."""
    return subprocess.run([Path(sys.executable).with_name("itertl"), *arguments], capture_output=True, text=True)


def test_the_examples_are_three_and_short() -> None:
    assert [name for _, name in EXAMPLES] == ["short", "squared", "gates"]
    assert all(len(text.splitlines()) <= 20 for text, _ in EXAMPLES)


def test_the_scorer_example_runs_from_the_current_folder(folder: Path) -> None:
    done = command("score", "pairs.jsonl", "--scorer", "short:score", "--out", "out.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads((folder / "out.jsonl").read_text())["scores"]["short:score"]["value"]
    assert value == pytest.approx(len(PAIR["reference"]) / len(PAIR["completion"]))


def test_the_benchmark_example_judges(folder: Path) -> None:
    bodies = [" assign y = a & b; endmodule", " assign y = a | b; endmodule"]
    (folder / "samples.jsonl").write_text(
        "".join(json.dumps({"task_id": "and", "completion": body}) + "\n" for body in bodies)
    )
    done = command("eval", "samples.jsonl", "--benchmark", "gates:gates", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)["summary"]
    assert (summary["correct"], summary["wrong"]) == (1, 1)


def losses_of(method: Method) -> tuple[float, list[list[float]]]:
    """Loss of one group of a bad, a middling and the reference response, and its gradient."""
    responses = tuple(Response((i, i + 1), z, is_reference=z == 1.0) for i, z in ((1, 0.1), (3, 0.6), (5, 1.0)))
    group = Group("p", (9, 9), responses)
    assert set(group.needed(method)) == {0, 1, 2}
    logp = {i: torch.tensor([-1.0 - i, -0.5], requires_grad=True) for i in range(3)}
    total, _ = group_loss(group, logp, method)
    total.backward()
    return float(total.detach()), [[] if v.grad is None else v.grad.tolist() for v in logp.values()]


def test_a_term_gets_the_tensors_of_ours(folder: Path) -> None:
    text = (folder / "squared.py").read_text().replace("squared", "plain").replace(" ** 2", "")
    (folder / "plain.py").write_text(text)
    ours, own = (resolve_method(name, TrainConfig()) for name in ("itertl", "itertl+plain:term"))
    assert losses_of(own) == losses_of(ours)
    squared = resolve_method("itertl+squared:term", TrainConfig())
    assert losses_of(squared)[0] != losses_of(ours)[0]
    assert squared.settings()["term_content"] != own.settings()["term_content"] and "term" not in ours.settings()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("logp_K.no_such()", ["AttributeError", "bad.py:2"]),
        ("torch.relu(logp_K, 1, 2)", ["TypeError", "bad.py:2"]),  # raised in a library: the line that called it
        ("3.0", ["returned 3.0, not a tensor", "bad.py:1"]),
        ("torch.ones(2, 2)", ["shape (2, 2)", "bad.py:1"]),
        ("logp_K.detach()", ["do not depend on logp_K", "bad.py:1"]),
    ],
)
def test_a_broken_term_names_its_line(folder: Path, body: str, words: list[str]) -> None:
    (folder / "bad.py").write_text(f"def term(logp_K, z_K, *, alpha, beta):\n    return {body}\nimport torch\n")
    with pytest.raises(ToolFailed) as caught:
        losses_of(resolve_method("itertl+bad:term", TrainConfig()))
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def score(item:\n", ["SyntaxError", "bad.py", "1"]),
        ("import json\nx = json.loads('{')\n", ["JSONDecodeError", "bad.py:2"]),
        ("import no_such_package\n", ["no_such_package", "bad.py:1"]),
        ("def scor(item): ...\n", ["no attribute 'score'", "bad.py"]),
        ("score = 3\n", ["is a int, not a function"]),
    ],
)
def test_a_module_that_cannot_be_imported(folder: Path, text: str, words: list[str]) -> None:
    (folder / "bad.py").write_text(text)
    with pytest.raises(UsageError) as caught:
        resolve("scorer", "bad:score", {})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_module_that_is_not_there_says_where_to_put_it(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"put nowhere\.py into the current folder"):
        resolve("scorer", "nowhere:score", {})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("float('nan')", "not a finite number"),
        ("float('inf')", "not a finite number"),
        ("'0.5'", "returned '0.5', a str"),
        ("True", "returned True, a bool"),
        ("None", "returned None"),
        ("[0.1, 0.2]", "a list of 2"),
    ],
)
def test_what_is_no_score_is_never_the_models_fault(folder: Path, value: str, words: str) -> None:
    (folder / "bad.py").write_text(f"import math\ndef score(item):\n    return {value}\n")
    found = score_unit(Unit("bad:score", ScoreItem("x"), Bound()))
    assert (found.value, found.verdict) == (None, Verdict.TOOL_FAILED)
    assert words in found.detail and "bad.py:2" in found.detail


def test_a_number_is_a_score(folder: Path) -> None:
    (folder / "good.py").write_text("import numpy as np\ndef score(item):\n    return np.float32(0.5)\n")
    found = score_unit(Unit("good:score", ScoreItem("x"), Bound()))
    assert (found.scorer, found.value, found.verdict) == ("good:score", 0.5, Verdict.SCORED)


def test_a_term_needs_a_hinge_to_replace() -> None:
    with pytest.raises(RecipeError, match=r"dpo has no hinge.*itertl"):
        resolve_method("dpo+mine:term", TrainConfig())
