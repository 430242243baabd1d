"""The recipe as one frozen, validated tree: every key, its default and its bounds.

Names of methods, scorers, back ends and benchmarks are checked by ``plugins`` when the run is planned.
"""

import contextlib
import re
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from itertl.records import SamplingSettings

OWN_HELDOUT = "own-heldout"  # the benchmark of the pairs that data.holdout keeps out
_ADDRESS = re.compile(r"(ray://)?([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")
AUTO = 0  # means "auto" in a length: found from the pairs by ``sampling.lengths.settled`` before anything uses it


def _or_auto(value: Any, take: ValidatorFunctionWrapHandler) -> int:
    return AUTO if value == "auto" else take(value)


_Auto = (WrapValidator(_or_auto), PlainSerializer(lambda value: value or "auto", return_type=int | str))
Tokens = Annotated[int, Field(ge=1), *_Auto]  # a number of tokens, or "auto"
Temperature = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Window = Annotated[int, Field(ge=8), *_Auto]


def _is_unused(value: object) -> bool:
    """Of an option that came later: left out of what is hashed, so that runs from before it stay valid."""
    return value is None


def _later(default: Any = None, **bounds: Any) -> Any:
    return Field(default=default, exclude_if=_is_unused, **bounds)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)


class ModelConfig(_Part):
    """Which causal language model to start from."""

    path: str = "smollm2-135m"  # alias, local save_pretrained folder, .gguf file, or hub name; "random:tiny" for tests
    revision: str | None = None  # of a hub model
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"  # of the weights that are trained
    trust_remote_code: bool = False


class SourceConfig(_Part):
    """One of several sources that are mixed, with its own layout."""

    source: str  # as ``data.source``
    weight: float = Field(default=1.0, gt=0)  # its share of the pairs, against the weights of the others
    format: str = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    filter: dict[str, Any] = Field(default_factory=dict)
    families: tuple[str, ...] = ()
    max_chars: int | None = Field(default=None, ge=1)


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
    # several in place of ``source``, mixed by weight; what is not used is left out of what is hashed
    sources: tuple[SourceConfig, ...] = Field(default=(), exclude_if=lambda sources: not sources)
    # of the pairs; easy-first: short references first, or by ``difficulty``
    order: Literal["given", "easy-first"] = Field(default="given", exclude_if=lambda order: order == "given")
    # scored.jsonl of a run: a pair whose candidates scored high there is easy
    difficulty: str | None = Field(default=None, exclude_if=lambda path: path is None)

    @property
    def paths(self) -> tuple[str, ...]:
        """All sources, and the file that ``difficulty`` names."""
        named = tuple(part.source for part in self.sources) or (self.source,)
        return named if self.difficulty is None else (*named, self.difficulty)

    def of(self, source: str) -> Self:
        """The same for another source alone, of which nothing is held out."""
        own = {"source": source, "sources": (), "holdout": None, "order": "given", "difficulty": None}
        return self.model_copy(update=own)

    @property
    def label(self) -> str:
        """What messages call the source, or the sources together."""
        return " + ".join(part.source for part in self.sources) or self.source

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        own = [
            name for name in ("format", "columns", "filter", "families") if getattr(self, name) not in ("auto", {}, ())
        ]
        own += ["source"] if self.source != "synth" else []
        if self.sources and own:
            raise ValueError(f"{own[0]} stands beside sources; move it into an entry of sources")
        if self.difficulty is not None and self.order == "given":
            raise ValueError("difficulty needs order: easy-first")
        return self

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


class ExamplesConfig(_Part):
    """Solved pairs that are shown before the question: the nearest of a pool."""

    source: str  # "pairs": those that are trained on; or what ``data.source`` takes
    number: int = Field(default=2, ge=1)  # at most, of one question
    by: Literal["bm25", "embedding"] = "bm25"
    max_tokens: int = Field(default=1024, ge=1)  # of all examples together; the farthest are left out first


class PromptConfig(_Part):
    """How a problem becomes the text that the model continues."""

    style: Literal["auto", "chat", "plain"] = "auto"  # auto: chat where the tokenizer has a template
    system: str | None = None  # system message of a chat; None: the template's own default
    header: Literal["append", "prefill", "omit"] = "append"  # after the instruction, as start of the answer, or not
    opening: str = ""  # text that is put before the answer, such as "```verilog\n"; a prefilled header comes behind it
    template: str = "{instruction}"  # text around the instruction, and {header} where that is to be shown too
    examples: ExamplesConfig | None = _later()  # None: the question alone


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
    # of the groups; given: the first epoch goes through them in the order of the pairs (data.order), the others do not
    order: Literal["shuffled", "given"] = Field(default="shuffled", exclude_if=lambda order: order == "shuffled")
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
    strength: float | None = None  # of dpo and rso
    pair_reduction: Literal["sum", "mean"] | None = None  # eq. 2 over its pairs
    ranking_weight: Literal["stop_gradient_ce", "product"] | float | None = None  # lambda of eq. 4
    ce_target: Literal["reference", "best", "best-candidate", "verified"] | None = None  # whose cross-entropy
    ce_weight: float | None = None
    ce_reduction: Literal["mean", "sum"] | None = None  # eq. 3
    advantage_scale: Literal["std", "none"] | None = None  # of policy gradients
    clip_low: float | None = None
    clip_high: float | None = None
    kl_weight: float | None = None
    max_prompt_share: float | None = None  # prompts of at least this share of max_length are left out
    credit: Literal["sequence", "signal"] | None = _later()  # signal: pairs by output, over the tokens that drive it
    groups: Literal["all", "mixed"] | None = _later()  # mixed: candidates of one z teach nothing and are left out
    group_weight: Literal["none", "difficulty"] | None = _later()  # difficulty: sqrt(p(1 - p)), p the share of right
    negatives: Literal["all", "near", "beside-right", "none"] | None = _later()  # which responses may be pushed down
    negative_floor: float | None = _later()  # nats a token: how far one may fall below the round's first policy
    verified_share: float | None = _later()  # of candidates beside the reference, with ce_target verified
    max_verified: int | None = _later()  # candidates of a problem, likewise
    accept_beta: float | None = _later()  # of rso: candidates are accepted by exp((z - max z) / accept_beta)
    accept_share: float | None = _later()  # of rso: how many of a problem's candidates are accepted
    # trackers of experiments; None: TensorBoard where it is installed
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] | None = _later()
    # which model a round trains: the one that the round before made, or the untouched one again
    from_: Literal["current", "start"] = Field(default="current", alias="from", exclude_if=lambda f: f == "current")
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

    engine: Literal["local", "ray"] = "local"  # this machine, or the nodes of a Ray cluster
    address: str | None = _later()  # of the cluster: auto (the one that this machine is in), HOST:PORT, ray://HOST:PORT
    storage: str | None = _later()  # folder that all nodes see under this path; None: files go through Ray
    runtime_env: dict[str, Any] | None = _later()  # Ray's, of the processes that sample
    processes: int | None = Field(default=None, ge=1)  # that sample, and that train together; None: one a GPU, else one
    strategy: Literal["ddp", "fsdp", "deepspeed"] = "ddp"  # of training: copies of the model, pieces of it, or ZeRO 2

    @field_validator("address")
    @classmethod
    def _an_address(cls, given: str | None) -> str | None:
        if given is not None and given != "auto" and not _ADDRESS.fullmatch(given):
            raise ValueError(
                f"{given!r} is no address; give auto, HOST:PORT (6379 by default) or ray://HOST:PORT (10001)"
            )
        return given

    @model_validator(mode="after")
    def _of_one_engine(self) -> Self:
        stray = [name for name in ("address", "storage", "runtime_env") if getattr(self, name) is not None]
        if self.storage is not None and not self.storage.startswith("/"):
            raise ValueError(f"storage {self.storage!r}: give a path that begins with /, the same on all nodes")
        if self.engine == "local" and stray:
            raise ValueError(f"{stray[0]} is of a Ray cluster; set engine: ray beside it, or remove it")
        return self


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

    @field_validator("method", mode="before")
    @classmethod
    def _with_own_term(cls, given: Any) -> Any:
        """``{base: itertl, term: module:function}`` is written ``itertl+module:function``."""
        if not isinstance(given, dict):
            return given
        parts = cast("dict[str, Any]", given)
        if set(parts) != {"base", "term"} or not all(isinstance(part, str) and part for part in parts.values()):
            raise ValueError("takes a name, or {base: NAME, term: module:function} with a term of your own")
        return f"{parts['base']}+{parts['term']}"

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
        if (self.data.order == "given") != (self.train.order == "shuffled"):
            raise ValueError(
                "data.order and train.order go together: set data.order=easy-first and train.order=given, or neither"
            )
        if self.select.patience is not None and chosen is None:
            raise ValueError("select.patience counts judgements of select.benchmark: name one of evals there")
        return self
