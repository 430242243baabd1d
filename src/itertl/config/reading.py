"""Recipes and studies read from YAML files, with ``KEY=VALUE`` overrides, and what is said of one that is wrong.

Unknown keys are refused with the nearest known one; ``1e-5`` is a number (YAML 1.1 reads it as text).
"""

import contextlib
import copy
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from itertl.config import bundled
from itertl.config.recipe import EvalConfig, Recipe
from itertl.errors import RecipeError, UsageError, nearest


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-5 as a number, as YAML 1.2 does, and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain value", key_node.start_mark)
            key = (key_node.tag, key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key[1]!r} given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML text. Raises RecipeError that names ``where`` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error


def read_tree(path: Path, wanted: str) -> Any:
    """The YAML value of a file. Raises RecipeError, which asks for ``wanted`` where the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"not UTF-8 text: {error.reason}"
        raise RecipeError(f"{path}: cannot be read ({why}); give {wanted}") from error
    return parse_yaml(text, str(path))


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, a file or a bundled one by name, and apply ``KEY=VALUE`` overrides (dotted keys, YAML values).

    Raises RecipeError naming the file and the key, with the nearest known key for one that is unknown.
    """
    path = bundled.find(path)
    tree = bundled.located(read_tree(path, f"the path of a recipe, {bundled.said()}"), path)
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys, see recipes/demo.yaml")
    if {"arms", "base"} <= tree.keys():
        raise RecipeError(f"{path}: is a study (it has arms), not a recipe; start it with `itertl study {path}`")
    return build_recipe(cast("dict[str, Any]", tree), overrides, lambda key: place(path, key))


Key = tuple[str | int, ...]  # of a value in a tree, from the root
Where = str | Callable[[Key], str]  # what a message says of the place of a value


def build_recipe(
    tree: dict[str, Any], overrides: Sequence[str] = (), where: Where = "recipe", own: Sequence[str] = ()
) -> Recipe:
    """Validate a tree with overrides applied; those of ``own``, which stand in the file of ``where``, come last.

    Raises RecipeError that names the override at fault, else ``where``.
    """
    for override in overrides:
        tree = _apply_override(tree, override)
    for override in own:
        key = override.partition("=")[0]
        tree = _apply_override(tree, override, where if isinstance(where, str) else where(tuple(_parts(key))))
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:

        def of(key: Key) -> str:
            given = "" if overriding(key, own) else overriding(key, overrides)
            return given or (where if isinstance(where, str) else where(key))

        raise RecipeError(explain(of, error, Recipe)) from error


def overriding(key: Key, overrides: Sequence[str]) -> str:
    """ "override KEY=VALUE" of the last one that gives that value, a part of it, or what it is a part of; else ""."""
    wanted = [str(part) for part in key]
    for override in reversed(overrides):
        parts = _parts(override.partition("=")[0])
        if wanted and all(a == b for a, b in zip(parts, wanted, strict=False)):
            return f"override {override if len(override) < 80 else override[:77] + '...'}"
    return ""


def place(path: Path, key: Key) -> str:
    """ "FILE:LINE" of the value, or of the nearest around it, in a YAML file; "FILE" where no line can be given."""
    with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
        line, rest = None, _parts(".".join(map(str, key)))
        while rest and node is not None:
            found = _below(node, rest)
            if found is None:
                break
            line, node, rest = found
        return str(path) if line is None else f"{path}:{line}"
    return str(path)


def _below(node: yaml.Node, key: list[str]) -> tuple[int, yaml.Node, list[str]] | None:
    """Line and node of the first part of ``key`` (of several, where they are written as one dotted key), and the
    rest."""
    if isinstance(node, yaml.SequenceNode) and key[0].isdigit() and int(key[0]) < len(node.value):
        inner = node.value[int(key[0])]
        return inner.start_mark.line + 1, inner, key[1:]
    if isinstance(node, yaml.MappingNode):
        for name, inner in node.value:
            parts = _parts(str(name.value))
            if parts == key[: len(parts)]:
                return name.start_mark.line + 1, inner, key[len(parts) :]
    return None


@contextlib.contextmanager
def naming(path: Path | None, overrides: Sequence[str] = ()) -> Generator[None]:
    """What is found wrong with a recipe after it was read names its file, or the override, too: the key's, where the
    message begins with one, else that of the name which the message quotes."""
    path = None if path is None else bundled.find(path)
    try:
        yield
    except (RecipeError, UsageError) as error:
        said = str(error)
        is_recipes = type(error) in (RecipeError, UsageError)  # not those of data and runs, which name their own files
        if path is None or not is_recipes or str(path) in said or said.startswith("override "):
            raise
        key, quoted = re.match(r"[a-z]+(\.\w+)*", said), re.search(r"'([^'\n]+)'", said)
        parts = tuple(_parts(key[0])) if key and key[0].partition(".")[0] in Recipe.model_fields else ()
        given = overriding(parts, overrides) or _saying(path, overrides, quoted[1] if quoted else "")
        if not parts and not given and not isinstance(error, RecipeError):
            raise  # of the command's other arguments
        raise RecipeError(f"{given or place(path, parts)}: {said}") from error


def _saying(path: Path, overrides: Sequence[str], name: str) -> str:
    """The override that holds that name, else file and line; "" where none does."""
    if not name:
        return ""
    if found := next((override for override in reversed(overrides) if name in override), None):
        return f"override {found}"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", line):
                return f"{path}:{number}"
    return ""


def _parts(key: str) -> list[str]:
    return re.sub(r"\[(\d+)\]", r".\1", key).split(".")


def _apply_override(tree: dict[str, Any], override: str, where: str = "") -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"{override!r}: an override is KEY=VALUE, for example train.learning_rate=1e-4")
    said = where or f"override {key}"
    value = parse_yaml(text, said)
    parts = _parts(key)
    node: Any = copy.deepcopy(tree)
    tree = node
    for depth, part in enumerate(parts):
        at: Any = part
        inner: Any = node
        if isinstance(node, list):
            if not part.isdigit() or int(part) > len(inner):
                around = ".".join(parts[:depth])
                raise RecipeError(
                    f"{said}: {around} is a list of {len(inner)}; {part!r} is not an index of it "
                    f"({around}.{len(inner)} adds one)"
                )
            at = int(part)
            inner += [None] if at == len(inner) else []
        elif isinstance(node, dict):
            inner.setdefault(at)
        else:
            raise RecipeError(f"{said}: {'.'.join(parts[:depth])} is a value and has no key {part!r}")
        if depth == len(parts) - 1:
            inner[at] = value
        elif inner[at] is None:
            inner[at] = {}
        node = inner[at]
    return tree


def build_eval(**values: Any) -> EvalConfig:
    """One benchmark's settings as a command line gives them. Raises RecipeError that names the key."""
    try:
        return EvalConfig(**values)
    except ValidationError as error:
        raise RecipeError(explain("eval", error, EvalConfig)) from error


def explain(where: Where, errors: ValidationError, model: type[BaseModel], sign: str = "=") -> str:
    """Each error as a line "file: key: what is wrong; what to do". ``sign``: between key and value in an example."""
    return "\n".join(_explain_one(where, error, model, sign) for error in errors.errors())


def _explain_one(of: Where, error: Any, model: type[BaseModel], sign: str) -> str:
    loc: Key = error["loc"]
    named = re.match(r"[a-z]+(\.\w+)*", str(error["ctx"]["error"])) if error["type"] == "value_error" else None
    at = loc or (tuple(_parts(named[0])) if named else ())
    where = of if isinstance(of, str) else of(at)
    key = ".".join(str(p) for p in loc) or "(recipe)"
    if named and not loc:  # a rule of the whole recipe, which names its keys itself
        return f"{where}: {error['ctx']['error']}"
    kind, got = error["type"], f"(got {error['input']!r})"
    known = _known_keys(model, loc[:-1])
    every = f"known keys: {', '.join(known)}"
    if kind == "extra_forbidden":
        return f"{where}: {key}: unknown key; {nearest(str(loc[-1]), known, otherwise=every)}"
    if kind == "missing" and loc[-1] in known:
        return f"{where}: {key}: is missing; {every}"
    if kind in ("tuple_type", "list_type"):
        return f"{where}: {key}: takes a list {got}; write {key}{sign}[{error['input']}]"
    if kind in ("dict_type", "mapping_type"):
        return f"{where}: {key}: takes names and values {got}; write {key}{sign}{{NAME: VALUE}}"
    if kind == "model_type":
        keys = _known_keys(model, loc)
        return f"{where}: {key}: takes keys of its own {got}: {', '.join(keys)}; for example {key}.{keys[0]}{sign}VALUE"
    if kind == "value_error":  # of a rule of ours; of the whole recipe it says itself what it found
        return f"{where}: {key}: {error['ctx']['error']}" + (
            f" {got}" if loc and not isinstance(error["input"], dict) else ""
        )
    return f"{where}: {key}: {error['msg']} {got}"


def _known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    for step in loc:
        model = submodel(model, str(step)) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def submodel(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """The model of what lies under ``key``; None where that is a value, or a table of names and values."""
    if model is None or key not in model.model_fields:
        return None
    annotation = model.model_fields[key].annotation
    choices = (annotation, *get_args(annotation))
    return next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every default spelled out; ``load_recipe`` reads it back to an equal tree."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
