"""Recipes: numbers as people write them, errors that name the key and the mend."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itertl.config import Recipe, build_recipe, dump_recipe, load_recipe, naming, parse_yaml
from itertl.errors import RecipeError, UsageError

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_of_the_project_is_valid_and_survives_a_round_trip(path: Path) -> None:
    recipe = load_recipe(path)
    assert Recipe.model_validate(parse_yaml(dump_recipe(recipe), "dump")) == recipe


def test_paper_recipe_has_the_papers_numbers(repository: Path) -> None:
    recipe = load_recipe(repository / "recipes" / "paper-6.7b.yaml")
    assert (recipe.iterations, recipe.train.epochs, recipe.sample.num_candidates + 1) == (7, 3, 4)
    assert (recipe.train.learning_rate, recipe.train.betas) == (1e-5, (0.9, 0.999))
    assert (recipe.train.alpha, recipe.train.beta, recipe.train.softmax) == (0.3, 0.2, False)
    assert (recipe.sample.temperature, recipe.sample.top_p, recipe.data.limit) == (0.5, 0.95, 10_000)
    assert recipe.evals[1].temperatures == (0.0, 0.2, 0.5, 0.8) and recipe.evals[1].num_samples == 10


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "1.0e-5", "+1e-05", "0.1e-4", ".1e-4"])
def test_scientific_notation_is_a_number(text: str) -> None:
    assert build_recipe({}, [f"train.learning_rate={text}"]).train.learning_rate == pytest.approx(1e-5)


@given(st.floats(min_value=1e-30, max_value=1e30, allow_nan=False))
def test_every_python_float_is_read_back(value: float) -> None:
    assert parse_yaml(repr(value), "x") == value


@pytest.mark.parametrize("text", ["e5", "1e", "abc", "1.2.3", "--1e5", "0x1e-", "1e5x"])
def test_what_is_no_number_stays_text(text: str) -> None:
    assert isinstance(parse_yaml(text, "x"), str)


@pytest.mark.parametrize(
    ("tree", "overrides", "words"),
    [
        ({"train": {"learning_rte": 1}}, [], ["train.learning_rte", "learning_rate"]),
        ({"iteratons": 1}, [], ["iteratons", "iterations"]),
        ({"evals": [{"benchmrk": "x"}]}, [], ["benchmrk", "'benchmark'"]),
        ({"train": {"lora": {"rnk": 4}}}, [], ["rnk", "'rank'"]),
        ({"train": {"epochs": "many"}}, [], ["train.epochs", "many"]),
        ({"train": {"epochs": -1}}, [], ["train.epochs"]),
        ({}, ["train.epochs"], ["KEY=VALUE"]),
        ({}, ["seed.x=1"], ["seed"]),
        ({"seed": 3}, ["seed.x=1"], ["seed"]),
        ({"evals": [{"benchmark": "x"}]}, ["evals.7.limit=1"], ["evals", "7"]),
        ({}, ["train.epochs=[1"], ["train.epochs"]),
        ({"score": {"scorers": ["syntax"], "weights": {"rouge-l": 1.0}}}, [], ["weights", "rouge-l"]),
    ],
)
def test_errors_name_the_key_and_the_mend(tree: dict[str, object], overrides: list[str], words: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe(tree, overrides)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.exit_status == 2


def test_overrides_reach_lists_and_leave_the_tree_alone() -> None:
    tree = {"evals": [{"benchmark": "a"}, {"benchmark": "b"}]}
    recipe = build_recipe(tree, ["evals.1.limit=5", "data.filter.kind=counter", "sample.num_candidates=0"])
    assert [e.limit for e in recipe.evals] == [None, 5]
    assert recipe.data.filter == {"kind": "counter"}
    assert tree == {"evals": [{"benchmark": "a"}, {"benchmark": "b"}]}


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "", "a: [", "a: 1\na: 2\n", "\x00", "a: !!python/object:os.system {}"])
def test_files_that_are_no_recipe(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"bad\.yaml"):
        load_recipe(path)


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nowhere"):
        load_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(RecipeError, match="latin"):
        load_recipe(tmp_path / "latin.yaml")


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        build_recipe({}).seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("seed: 1\ntrain:\n  epoch: 2\n", [], "r.yaml:3: train.epoch: unknown key"),
        ("train: {epochs: 2}\nevals:\n  - {limit: 3}\n  - limit: 0\n", [], "r.yaml:4: evals.1.limit: "),
        ("score:\n  weights: {gate: 1}\n", [], "r.yaml:2: score.weights names ['gate']"),
        ("train: {epochs: 2}\n", ["seed=1", "train.epochs=x"], "override train.epochs=x: train.epochs: "),
        ("train: {epochs: x}\n", ["seed=1"], "r.yaml:1: train.epochs: "),
    ],
)
def test_an_error_names_file_and_line_or_the_override(
    text: str, overrides: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.yaml", overrides)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(said), caught.value


def test_what_is_wrong_later_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("seed: 1\nscore:\n  scorers: [rtlcode]\n  combine: ladder\n")
    for overrides, error, said in (
        ([], UsageError("unknown scorer 'rtlcode': did you mean 'rtlcoder'?"), "r.yaml:3: unknown scorer"),
        ([], RecipeError("score.combine is ladder, but score.ladder is empty"), "r.yaml:4: score.combine is"),
        (["score.combine=ladder"], RecipeError("score.combine is ladder"), "override score.combine=ladder: score"),
        (["method=nope"], UsageError("unknown method 'nope'"), "override method=nope: unknown"),
        ([], UsageError("out: is a folder"), "out: is a folder"),
    ):
        with pytest.raises(UsageError) as caught, naming(tmp_path / "r.yaml", overrides):
            raise error
        assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(said), caught.value
