"""The recipe: one YAML file and ``KEY=VALUE`` overrides become one frozen, validated tree.

Unknown keys are refused with the nearest known one; ``1e-5`` is a number (YAML 1.1 reads it as text); imports no torch.
Names of methods, scorers, back ends and benchmarks are checked by ``plugins`` when the run is planned.
"""

import contextlib
import copy
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from itertl.errors import RecipeError, UsageError, nearest
from itertl.records import SamplingSettings

OWN_HELDOUT = "own-heldout"  # the benchmark of the pairs that data.holdout keeps out
AUTO = 0  # means "auto" in a length: found from the pairs by ``sampling.lengths.settled`` before anything uses it


def _or_auto(value: Any, take: ValidatorFunctionWrapHandler) -> int:
    return AUTO if value == "auto" else take(value)


_Auto = (WrapValidator(_or_auto), PlainSerializer(lambda value: value or "auto", return_type=int | str))
Tokens = Annotated[int, Field(ge=1), *_Auto]  # a number of tokens, or "auto"
Temperature = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Window = Annotated[int, Field(ge=8), *_Auto]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelConfig(_Part):
    """Which causal language model to start from."""

    path: str = "smollm2-135m"  # alias, local save_pretrained folder, .gguf file, or hub name; "random:tiny" for tests
    revision: str | None = None  # of a hub model
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"  # of the weights that are trained
    trust_remote_code: bool = False


class DataConfig(_Part):
    """Where the instruction/reference pairs come from."""

    source: str = "synth"  # "synth" (bundled generator), or a file or folder that `itertl data import` understands
    format: str = "auto"  # importer's name, or "auto"
    columns: dict[str, str] = Field(default_factory=dict)  # our field -> column, for tables
    filter: dict[str, Any] = Field(default_factory=dict)  # keep rows whose column has this value
    limit: int | None = Field(default=None, ge=1)  # a fixed random subset of this many problems
    max_chars: int | None = Field(default=None, ge=1)  # keep problems of at most so many characters, reference included
    families: tuple[str, ...] = ()  # of the generator; empty: all
    seed: int | None = None  # of generator and subset; None: the run's
    header: Literal["keep", "derive"] = "keep"  # derive: cut a missing header from the reference
    # kept out of training, for the benchmark own-heldout: a share as 0.1, a file of pairs, or a marking column:NAME
    holdout: float | str | None = None

    @field_validator("holdout", mode="before")
    @classmethod
    def _a_share(cls, given: Any) -> Any:
        value: Any = given
        if isinstance(given, dict) and list(cast("dict[str, Any]", given)) == ["column"]:  # column: NAME, as YAML reads
            value = f"column:{given['column'] or ''}"
        if isinstance(value, str) and not value.removeprefix("column:").strip():
            raise ValueError("names nothing; give a share as 0.1, a file of pairs, or column:NAME")
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            with contextlib.suppress(ValueError):
                value = float(value)
        is_path = isinstance(value, str) and not value.endswith("%")
        if not (value is None or is_path or (isinstance(value, float) and 0 < value < 1)):
            raise ValueError("a share lies between 0 and 1, for example 0.1; or give a file of pairs, or column:NAME")
        return value


class PromptConfig(_Part):
    """How a problem becomes the text that the model continues."""

    style: Literal["auto", "chat", "plain"] = "auto"  # auto: chat where the tokenizer has a template
    system: str | None = None  # system message of a chat; None: the template's own default
    header: Literal["append", "prefill", "omit"] = "append"  # after the instruction, as start of the answer, or not
    opening: str = ""  # text that is put before the answer, such as "```verilog\n"; a prefilled header comes behind it
    template: str = "{instruction}"  # text around the instruction, and {header} where that is to be shown too


class SampleConfig(_Part):
    """Candidates for training (paper, section 4.1)."""

    backend: str = "transformers"
    num_candidates: int = Field(default=3, ge=0)  # K - 1
    temperature: Temperature = 0.5
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: Tokens = 512  # auto: from the lengths of the references
    stop_at_module: bool = False  # end where the wanted module is complete
    stop_at_repetition: bool = False  # end where a text repeats itself
    batch_size: int = Field(default=64, ge=1)
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    options: dict[str, Any] = Field(default_factory=dict)  # of the back end
    # how a candidate is searched for, in place of one draw (docs/search.md); left out of what is hashed where unused
    strategy: str | None = Field(default=None, exclude_if=lambda name: name is None)
    strategy_options: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda options: not options)

    @property
    def settings(self) -> SamplingSettings:
        return SamplingSettings.model_validate(self, from_attributes=True)


class ScoreConfig(_Part):
    """Which scores are taken, and how they become z."""

    scorers: tuple[str, ...] = ("rtlcoder",)
    combine: Literal["weights", "ladder", "coderl", "rltf"] = "weights"  # the last two reward the last scorer's verdict
    weights: dict[str, float] = Field(default_factory=dict)  # empty: each scorer 1
    # scorer -> height reached when its value is 1, in order; two numbers: what a value just under 1 reaches, and 1
    ladder: dict[str, float | tuple[float, float]] = Field(default_factory=dict)
    # scorer beside the ladder -> heights that a value just above 0 and one of 1 hold z at least at: [0.3, 0.45]
    floor: dict[str, tuple[float, float]] = Field(default_factory=dict)
    # rungs that may stay open, no tool having failed: z is the height below; as the table of scorers has it
    optional: tuple[str, ...] = ("equivalence", "ppa")
    num_workers: int = Field(default=0, ge=0)  # 0: one for each core
    timeout_s: float = Field(default=30.0, gt=0)  # for each candidate and scorer
    budget_s: float = Field(default=30.0, gt=0)  # for each candidate, over all its scorers and their tools together
    memory_mb: int = Field(default=2048, ge=512)  # likewise: resident, of all their processes together
    keep_going: bool = False  # leave out candidates on which a scorer of your own raises, instead of stopping


class LoraConfig(_Part):
    """Low-rank adapters (peft), merged into the checkpoint at the end of each iteration."""

    quantize: Literal["nf4"] | None = None  # QLoRA: the frozen weights in 4 bits while training (bitsandbytes)
    rank: int = Field(default=16, ge=1)
    alpha: float = 32.0
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"


class TrainConfig(_Part):
    """Optimization within one iteration. None in a loss option: the method's own default (see docs/methods.md)."""

    epochs: int = Field(default=3, ge=0)
    learning_rate: float = Field(default=1e-5, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_ratio: float = Field(default=0.0, ge=0, le=1)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    groups_per_step: int = Field(default=64, ge=1)  # prompts in one optimizer step, over all processes
    micro_batch_tokens: int | None = Field(default=None, ge=1)  # through the model at once; None: 2048, on a GPU 16384
    packing: Literal["auto", "off"] = "auto"  # auto: share prompts and fill rows where the model's numbers stay equal
    attention: Literal["sdpa", "flex"] = "sdpa"  # flex: FlexAttention's block masks, for long rows on a GPU
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"  # autocast; auto: bf16 where the hardware has it
    max_length: Window = 2048  # tokens of prompt + response; longer: dropped and counted; auto: what the pairs need
    candidate_text: Literal["code", "raw"] = "code"  # what of a candidate is trained on
    gradient_checkpointing: bool = False
    lora: LoraConfig | None = None
    alpha: float | None = None  # margin of eq. 2
    beta: float | None = None  # threshold of eq. 2
    softmax: bool | None = None  # eq. 13
    length_normalizer: Literal["response", "sequence"] | None = None  # eq. 1
    length_exponent: float | None = None  # of the length in eq. 1
    rank_margin: float | None = None  # of brio
    strength: float | None = None  # of dpo
    pair_reduction: Literal["sum", "mean"] | None = None  # eq. 2 over its pairs
    ranking_weight: Literal["stop_gradient_ce", "product"] | float | None = None  # lambda of eq. 4
    ce_target: Literal["reference", "best", "best-candidate"] | None = None  # whose cross-entropy
    ce_weight: float | None = None
    ce_reduction: Literal["mean", "sum"] | None = None  # eq. 3
    advantage_scale: Literal["std", "none"] | None = None  # of policy gradients
    clip_low: float | None = None
    clip_high: float | None = None
    kl_weight: float | None = None
    max_prompt_share: float | None = None  # prompts of at least this share of max_length are left out
    save_every_steps: int = Field(default=0, ge=0)  # training state for resuming; 0: by time alone
    save_every_seconds: float = Field(default=600.0, ge=0)


class EvalConfig(_Part):
    """One benchmark, judged after each iteration."""

    benchmark: str = "synth-heldout"
    data: str | None = None  # path, for benchmarks that are not bundled
    limit: int | None = Field(default=None, ge=1)  # the first so many problems
    num_samples: int = Field(default=1, ge=1)
    temperatures: tuple[Temperature, ...] = Field(default=(0.0,), min_length=1)  # 0: greedy, one sample
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: Tokens = 512  # auto: that of sample
    rule: str = "default"  # verdict rule of the benchmark
    strategy: str | None = Field(default=None, exclude_if=lambda name: name is None)  # in place of single draws
    strategy_options: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda options: not options)
    every: int = Field(default=1, ge=1)  # iterations; the last one and the untouched model are always judged

    def is_due(self, iteration: int | None, iterations: int) -> bool:
        """Whether it is judged after this iteration (from 0; None: the untouched model) of so many."""
        return iteration is None or (iteration + 1) % self.every == 0 or iteration + 1 == iterations


class TelemetryConfig(_Part):
    """Measurements that cost time."""

    kl_problems: int = Field(default=32, ge=0)  # groups whose samples are scored under the old and the new policy
    surrogate_on_evals: bool = True  # take z on the held-out completions too


class SelectConfig(_Part):
    """Which checkpoint is the run's result, and after how many iterations without progress the run ends."""

    benchmark: str | None = None  # of ``evals``, by its pass@1; None: the last checkpoint
    patience: int | None = Field(default=None, ge=1)  # judgements without a new best until the run ends; None: no end


class ComputeConfig(_Part):
    """Where the work is done. Results do not depend on it, but for the order of sums in training."""

    engine: Literal["local"] = "local"  # this machine
    processes: int | None = Field(default=None, ge=1)  # that sample, and that train together; None: one a GPU, else one
    strategy: Literal["ddp", "fsdp", "deepspeed"] = "ddp"  # of training: copies of the model, pieces of it, or ZeRO 2


class Recipe(_Part):
    """A whole run. ``iterations`` rounds of sample, score, train, evaluate."""

    name: str = "run"
    seed: int = 0
    method: str = "itertl"
    iterations: int = Field(default=7, ge=1)
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    prompt: PromptConfig = PromptConfig()
    sample: SampleConfig = SampleConfig()
    score: ScoreConfig = ScoreConfig()
    train: TrainConfig = TrainConfig()
    evals: tuple[EvalConfig, ...] = (EvalConfig(),)
    select: SelectConfig = SelectConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    compute: ComputeConfig = ComputeConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        for table in ("weights", "ladder"):
            if stray := set(getattr(self.score, table)) - set(self.score.scorers):
                raise ValueError(f"score.{table} names {sorted(stray)}, which score.scorers does not take")
        judged, chosen = [e.benchmark for e in self.evals], self.select.benchmark
        if chosen is not None and chosen not in judged:
            raise ValueError(f"select.benchmark is {chosen!r}, which evals does not judge; it judges {judged}")
        if OWN_HELDOUT in [e.benchmark for e in self.evals if e.data is None] and self.data.holdout is None:
            raise ValueError(
                f"evals judges {OWN_HELDOUT}, but nothing is held out; set data.holdout, for example data.holdout=0.1"
            )
        if self.select.patience is not None and chosen is None:
            raise ValueError("select.patience counts judgements of select.benchmark: name one of evals there")
        return self


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
    """Read a recipe and apply ``KEY=VALUE`` overrides (dotted keys, YAML values).

    Raises RecipeError naming the file and the key, with the nearest known key for one that is unknown.
    """
    tree = read_tree(path, "the path of a recipe, for example recipes/demo.yaml")
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
        return f"{where}: {key}: {error['ctx']['error']}" + (f" {got}" if loc else "")
    return f"{where}: {key}: {error['msg']} {got}"


def _known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    for step in loc:
        model = submodel(model, str(step)) or model
    return list(model.model_fields)


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
