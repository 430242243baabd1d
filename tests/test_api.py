"""The Python API: what it gives back, what it raises, and that it works from a script without a main guard and in the
notebooks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import itertl
from itertl.errors import DataError, ItertlError, RecipeError, UsageError

ROWS = [
    {
        "completion": "module m(output y); assign y = 1; endmodule",
        "reference": "module m(output y); assign y = 1'b1; endmodule",
    },
    {"completion": "module m(output y) assign", "reference": "module m(output y); assign y = 1'b1; endmodule"},
]
SCRIPT = f"""
import itertl, sys
print("begins")
found = itertl.score({ROWS!r}, scorers="syntax", quiet=True)
print([one["syntax"].value for one in found])
try:
    itertl.run("no.yaml")
except itertl.errors.RecipeError as error:
    print("no.yaml" in str(error))
"""


def python(code: str, folder: Path) -> str:
    (folder / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "ITERTL_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    assert python("import itertl.errors\n" + SCRIPT, tmp_path) == "begins\n[1.0, 0.0]\nTrue\n"


def test_names_are_there_and_cost_nothing() -> None:
    code = "import sys, itertl; print('pydantic' in sys.modules); itertl.run; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert set(itertl.__all__) <= set(dir(itertl))
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = itertl.runn  # pyright: ignore


def test_recipes_are_paths_dicts_or_recipes(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("iterations: 3\n")
    by_path = itertl.load_recipe(file, {"train.epochs": 1}, model="qwen")
    by_dict = itertl.load_recipe({"iterations": 3, "train": {"epochs": 1}, "model": {"path": "qwen"}})
    by_recipe = itertl.load_recipe(itertl.load_recipe(str(file)), ["train.epochs=1"], model="qwen")
    assert by_path == by_dict == by_recipe
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        itertl.load_recipe({"train": {"epoch": 1}})
    with pytest.raises(RecipeError, match=r"override train\.epochs=-1"):
        itertl.load_recipe(file, {"train.epochs": -1})
    with pytest.raises(UsageError, match="give a path, a dict"):
        itertl.load_recipe(3)  # pyright: ignore
    with pytest.raises(UsageError, match="overrides is a text"):
        itertl.load_recipe({}, "train.epochs=1")


def test_the_recipe_may_have_a_term_of_ones_own() -> None:
    recipe = itertl.load_recipe({"method": {"base": "slic", "term": "mine:term"}})
    assert recipe.method == "slic+mine:term" and itertl.load_recipe({"method": "slic+mine:term"}) == recipe
    with pytest.raises(RecipeError, match="base: NAME, term"):
        itertl.load_recipe({"method": {"base": "slic"}})


def test_wrong_input_raises_and_never_exits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="candidates") as caught:
        itertl.score([{"completion": "x"}], quiet=True)
    assert str(tmp_path.parent) not in str(caught.value)
    for call in (
        lambda: itertl.evaluate(quiet=True),
        lambda: itertl.evaluate("a.jsonl", benchmark="no-such", quiet=True),
        lambda: itertl.reward("text", ["a", "b", "c", "d"]),
        lambda: itertl.generate(" "),
        lambda: itertl.compare(tmp_path / "a", tmp_path / "b"),
        lambda: itertl.study(tmp_path / "s.yaml", quiet=True),
        lambda: itertl.run({"method": "itrtl"}, out=tmp_path / "r", quiet=True),
    ):
        with pytest.raises(ItertlError):
            call()


@pytest.mark.parametrize("name", [pytest.param("first-run", marks=pytest.mark.slow), "own-code"])
def test_notebooks_run(name: str, repository: Path, tmp_path: Path) -> None:
    """Cell after cell in one namespace, within a running event loop, as in a notebook's kernel."""
    notebook = json.loads((repository / "docs" / "notebooks" / f"{name}.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    body = "".join(f"exec({cell!r}, names)\n    " for cell in cells)
    code = f"import asyncio\nnames = {{'__name__': '__main__'}}\nasync def main():\n    {body}print(names.get('found') and names['found'].pass_at_1)\nasyncio.run(main())\n"
    assert python(code, tmp_path).splitlines()[-1] == ("None" if name == "first-run" else "1.0")


@pytest.mark.parametrize(
    "call",
    [
        lambda: itertl.run({}),
        lambda: itertl.study("absent.yaml"),
        lambda: itertl.sample("synth"),
        lambda: itertl.evaluate(model="random:tiny"),
    ],
    ids=["run", "study", "sample", "evaluate"],
)
def test_a_member_of_a_group_is_refused(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="call it once, without `accelerate launch`"):
        call()


def test_what_is_sampled_judged_and_compared(tmp_path: Path) -> None:
    header = "module m(input a, input b, output y);"
    reference = f"{header} assign y = a & b; endmodule"
    problem = itertl.Problem.create(instruction="An AND gate.", header=header, reference=reference, source="test")
    short = {"sample.max_new_tokens": 8, "sample.num_candidates": 3, "sample.dtype": "float32"}
    drawn = itertl.sample([problem], model="random:tiny", overrides=short, quiet=True)
    assert [(c.problem_id, c.index) for c in drawn] == [(problem.id, 0), (problem.id, 1), (problem.id, 2)]
    design = itertl.generate("An AND gate.", header=header, model="random:tiny", overrides=short, best_of=2)
    assert design.attempts == 2 and design.verdict != "passed"
    found = [
        itertl.evaluate(model="random:tiny", limit=2, overrides=short, num_samples=1, out=tmp_path / name, quiet=True)
        for name in "AB"
    ]
    assert [(one.total, one.pass_at_1) for one in found] == [(2, 0.0), (2, 0.0)]
    compared = itertl.compare(*(tmp_path / name / "eval-synth-heldout.jsonl" for name in "AB"))
    assert compared.differences[0].difference == 0.0 and compared.problems == 2
    right, wrong, none = itertl.reward([reference, reference.replace("&", "|"), "no Verilog"], [reference] * 3)
    assert right.is_right and right.value == 1.0
    assert not wrong.is_right and 0.0 < (wrong.value or 0.0) < 1.0
    assert none.value == 0.0 and none.verdict == "no_code"
