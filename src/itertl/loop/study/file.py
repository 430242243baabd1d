"""The study's file: a base recipe, arms that override it, seeds, a control, and what is held equal.

    name: score
    base: ../demo.yaml          # beside this file, or from where the command is called
    control: sft
    equal: reference_tokens     # candidate_tokens, steps or none
    seeds: [0, 1]
    arms:
      sft: {method: sft}
      itertl: {method: itertl, train: {epochs: 1}}
      later: {method: itertl, start: {arm: sft, iteration: 1}}

An arm's keys are those of a recipe, nested or dotted. Besides them an arm may say where it starts (``start``: another
arm's checkpoint of the same seed), in what it is made equal (``equal``) and to which arm (``equal_to``, else the
control).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from itertl.config import (
    Key,
    Recipe,
    build_recipe,
    bundled,
    explain,
    load_recipe,
    parse_yaml,
    place,
    read_tree,
    submodel,
)
from itertl.errors import RecipeError, nearest

Equal = Literal["reference_tokens", "candidate_tokens", "steps", "none"]
# the study's own
RESERVED = frozenset({"figures", "logs", "study.yaml", "study.json", "report.html", "table.md", "table.csv"})
_OF_STUDY = {"seed": "the study gives it (seeds)", "name": "the study gives it (the arm's)"}


class Start(BaseModel):
    """Another arm's checkpoint, of the same seed: ``iteration`` as in the report (1 is iter-00)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    arm: str
    iteration: int = Field(ge=1)


class _File(BaseModel):
    """The file as it is written; arms are looked into later."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1)
    base: str
    arms: dict[str, dict[str, Any]] = Field(min_length=1)
    control: str
    seeds: tuple[StrictInt, ...] = Field(min_length=1)
    equal: Equal = "none"


class _Extras(BaseModel):
    """What an arm says besides keys of the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    start: Start | None = None
    equal: Equal | None = None
    equal_to: str | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm: ``overrides`` of the base recipe as KEY=VALUE, in the order of the file."""

    name: str
    overrides: tuple[str, ...]
    start: Start | None
    equal: Equal
    equal_to: str


@dataclass(frozen=True, slots=True)
class Study:
    """A study, checked: every arm is a valid recipe, every name is one of its arms. ``arms``: each after
    those that it needs, and in the order of the file otherwise."""

    path: Path
    name: str
    base: Path
    arms: tuple[Arm, ...]
    control: str
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()  # for all arms

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def jobs(self) -> Iterator[tuple[Arm, int]]:
        """All arms of the first seed, then of the next."""
        return ((arm, seed) for seed in self.seeds for arm in self.arms)

    def settings(self, arm: Arm, seed: int, out: Path | None = None) -> tuple[str, ...]:
        """The KEY=VALUE arguments that make the base recipe this arm's with this seed. ``out``: the study's folder,
        which holds the checkpoint that the arm starts from."""
        found = (*self.overrides, *arm.overrides, f"name={json.dumps(f'{arm.name}-seed-{seed}')}", f"seed={seed}")
        if arm.start is None or out is None:
            return found
        begin = out.resolve() / arm.start.arm / f"seed-{seed}" / f"iter-{arm.start.iteration - 1:02d}"
        return (*found, f"model.path={json.dumps(str(begin / 'checkpoint'))}", "model.revision=null")

    def recipe(self, arm: Arm, seed: int, more: Sequence[str] = (), out: Path | None = None) -> Recipe:
        """That arm's recipe, with ``more`` KEY=VALUE; raises RecipeError that names the study's file and the arm."""
        tree = parse_yaml(self.base.read_text(encoding="utf-8"), str(self.base))
        tree = cast("dict[str, Any]", bundled.located(tree, self.base))
        own = (*self.settings(arm, seed, out)[len(self.overrides) :], *more)

        def where(key: Key) -> str:
            return f"{place(self.path, ('arms', arm.name, *key))}: arms.{arm.name}"

        return build_recipe(tree, self.overrides, where, own)


def load_study(path: Path, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Study:
    """Read a study's file. ``overrides``: KEY=VALUE for the recipes of all arms. ``only``: what must be names of arms.

    Raises RecipeError that names the file and the key, and says what to write.
    """
    path = bundled.find(path)
    raw = _read(path)
    base = _base(path, raw.base)
    for number, seed in enumerate(raw.seeds):
        if seed in raw.seeds[:number]:
            raise RecipeError(f"{place(path, ('seeds', number))}: seeds: {seed} is given twice; give each seed once")
    for name in raw.arms:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,79}", name) or name in RESERVED:
            taken = f"; {', '.join(sorted(RESERVED))} are the study's own" if name in RESERVED else ""
            raise RecipeError(f"{_at(path, name)}: an arm is a folder: letters, digits, '-', '_' and '.'{taken}")
    _require_arm(path, "control", raw.control, raw.arms)
    arms = _ordered(path, [_arm(path, raw, name, overrides) for name in raw.arms], raw.control)
    study = Study(path, raw.name, base, tuple(arms), raw.control, raw.seeds, tuple(overrides))
    for arm in study.arms:
        study.recipe(arm, raw.seeds[0])
    for arm in study.arms:
        if arm.start and arm.start.iteration > (has := study.recipe(study.arm(arm.start.arm), raw.seeds[0]).iterations):
            raise RecipeError(
                f"{_at(path, arm.name, 'start', 'iteration')}: {arm.start.iteration}, but {arm.start.arm} has {has} "
                "iterations"
            )
    for name in only:
        if name not in raw.arms:
            raise RecipeError(f"--only {name}: not an arm of {path}; arms: {', '.join(a.name for a in study.arms)}")
    return study


def _read(path: Path) -> _File:
    tree = read_tree(path, f"the path of a study, {bundled.said()}")
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: a study is a mapping of keys: {', '.join(_File.model_fields)}")
    arms = tree.get("arms")
    if arms is None and "base" not in tree and tree.keys() & Recipe.model_fields.keys() - _File.model_fields.keys():
        raise RecipeError(
            f"{path}: is a recipe, not a study (it has neither base nor arms); start it with `itertl run {path}`, or "
            "name it as the base of a study (docs/studies.md)"
        )
    if isinstance(arms, dict):  # "itertl:" alone is the base as it is
        tree["arms"] = {name: {} if own is None else own for name, own in arms.items()}
    try:
        return _File.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(explain(lambda key: place(path, key), error, _File, ": ")) from error


def _base(study: Path, name: str) -> Path:
    """The base recipe: beside the study's file, else from the current folder. Raises RecipeError."""
    beside, here = study.parent / name, bundled.find(Path(name))
    found = next((path for path in (beside, here) if path.is_file()), None)
    if found is None:
        tried = str(beside) if beside == here else f"{beside} and {here}"
        raise RecipeError(
            f"{place(study, ('base',))}: base: {name} is not a file (looked for {tried}); give the path of a recipe"
        )
    load_recipe(found)
    return found


def _require_arm(path: Path, key: str, name: str, arms: Mapping[str, Any]) -> None:
    if name not in arms:
        hint = nearest(name, arms, then=f"arms: {', '.join(arms)}")
        at = place(path, tuple(key.split(".")))
        raise RecipeError(f"{at}: {key}: {name!r} is not an arm; {hint}")


def _arm(path: Path, raw: _File, name: str, overrides: Sequence[str]) -> Arm:
    where = _at(path, name)
    tree = raw.arms[name]
    try:
        extras = _Extras.model_validate({key: tree[key] for key in _Extras.model_fields if key in tree})
    except ValidationError as error:

        def of(key: Key) -> str:
            return f"{place(path, ('arms', name, *key))}: arms.{name}"

        raise RecipeError(explain(of, error, _Extras, ": ")) from error
    _require_arm(path, f"arms.{name}.equal_to", extras.equal_to or raw.control, raw.arms)
    if extras.start is not None:
        _require_arm(path, f"arms.{name}.start.arm", extras.start.arm, raw.arms)
        if extras.start.arm == name:
            raise RecipeError(f"{_at(path, name, 'start', 'arm')}: an arm cannot start from itself")
    own = _flat({key: value for key, value in tree.items() if key not in _Extras.model_fields}, where)
    given = {override.partition("=")[0] for override in overrides}
    for key in own:
        if key in _OF_STUDY:
            raise RecipeError(f"{_at(path, name, key)}: cannot be set in an arm; {_OF_STUDY[key]}")
        if extras.start is not None and _overlap(key, "model.path"):
            raise RecipeError(
                f"{_at(path, name, key)}: conflicts with start, which gives the model; remove one of them"
            )
        clash = next((other for other in given if _overlap(key, other)), None)
        if clash is not None:
            raise RecipeError(
                f"override {clash}: is for all arms, and {where} sets {key}; change it there, or leave it out here"
            )
    if clash := given & _OF_STUDY.keys():
        raise RecipeError(f"override {min(clash)}: {_OF_STUDY[min(clash)]}; change it in {path}")
    settings = tuple(f"{key}={json.dumps(value)}" for key, value in own.items())
    return Arm(name, settings, extras.start, extras.equal or raw.equal, extras.equal_to or raw.control)


def _flat(tree: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values by dotted key; the parts of a recipe are gone into, tables of names and values are kept whole.

    Raises RecipeError where a key is said twice, once nested and once dotted.
    """
    found: dict[str, Any] = {}
    for key, value in _leaves(tree, Recipe, ""):
        clash = next((other for other in found if _overlap(key, other)), None)
        if clash is not None:
            raise RecipeError(f"{where}: {clash} and {key} say the same key; give it once")
        found[key] = value
    return found


def _leaves(tree: Mapping[str, Any], part: type[BaseModel], at: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{at}.{key}" if at else str(key)
        inner: type[BaseModel] | None = part
        for step in str(key).split("."):
            inner = submodel(inner, step)
        if isinstance(value, dict) and value and inner is not None:
            yield from _leaves(cast("dict[str, Any]", value), inner, name)
        else:
            yield name, value


def _at(path: Path, *key: str | int) -> str:
    """File, line and key of what lies in the arms under that key."""
    return f"{place(path, ('arms', *key))}: arms.{'.'.join(map(str, key))}"


def _overlap(key: str, other: str) -> bool:
    """Whether two dotted keys name the same value, or one a part of the other's."""
    a, b = (re.sub(r"\[(\d+)\]", r".\1", k) for k in (key, other))
    return a == b or a.startswith(b + ".") or b.startswith(a + ".")


def needs(arm: Arm) -> set[str]:
    """The arms that must be finished, of the same seed, before this one can begin."""
    found = {arm.start.arm} if arm.start else set[str]()
    return found | ({arm.equal_to} if arm.equal == "candidate_tokens" and arm.equal_to != arm.name else set())


def _named(arm: Arm) -> set[str]:
    """The arms that this one names."""
    return needs(arm) | ({arm.equal_to} if arm.equal != "none" and arm.equal_to != arm.name else set())


def _ordered(path: Path, arms: Sequence[Arm], control: str) -> list[Arm]:
    """The control first, then by the file, each after those that it names. Raises RecipeError for a circle."""
    waiting = sorted(arms, key=lambda arm: arm.name != control)
    done: list[Arm] = []
    while waiting:
        ready = next((arm for arm in waiting if _named(arm) <= {other.name for other in done}), None)
        if ready is None:
            raise RecipeError(
                f"{_at(path, waiting[0].name)}: {', '.join(arm.name for arm in waiting)} wait for each other "
                "(start, equal_to)"
            )
        done.append(ready)
        waiting.remove(ready)
    return done
