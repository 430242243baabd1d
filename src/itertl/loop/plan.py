"""``itertl run --plan``: what a recipe will do, where it writes, and an estimate of time and memory. Runs nothing.

The estimate counts tokens and divides them by rates. The counts are upper bounds: every sampled text as long as it may
be, every pair active. The rates are calculated, from the arithmetic of a token (2 N operations forward, 6 N forward and
backward for N parameters: Kaplan et al. 2020, section 2.1) and the speed of a matrix product measured here in half a
second, at the shares of it that decoding and training reach (``_DECODE_SHARE``, ``_TRAIN_SHARE``): good to a factor of
about two. Or they are measured (``--measure``): one batch sampled and a few micro-batches trained with the recipe's own
model.

Pairs or benchmark files that are not on this machine yet are assumed, where the recipe limits their number or the
benchmark's is known, and the plan says so: a run can be planned before anything is fetched. So can the models that the
recipes name (``find.configuration``).
"""

import dataclasses
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from itertl.config import OWN_HELDOUT, ComputeConfig, EvalConfig, Recipe, dump_recipe
from itertl.doctor.node import machines
from itertl.errors import ItertlError
from itertl.evaluation import pairs
from itertl.loop import shown
from itertl.loop.measure import Rates, measure
from itertl.loop.prepare import check_recipe
from itertl.problems.load import LoadResult
from itertl.records import Problem
from itertl.sampling import lengths
from itertl.training.methods import Method
from itertl.work import devices, engine

_DECODE_SHARE, _TRAIN_SHARE = 0.35, 0.45
_USUAL_PAIR = "x" * 800, "x" * 700  # instruction and reference: about the means of public instruction/Verilog pairs
_BENCHMARK_SIZES = {"verilogeval-v1-machine": 143, "verilogeval-v1-human": 156}
_CHARACTERS_PER_TOKEN = 3.2  # of Verilog and English under a 32-100k vocabulary


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, and about how long and how much it takes."""

    recipe: Recipe
    folder: Path
    problems: int
    parameters: int
    seconds: dict[str, float]  # one iteration of each stage, and "total"
    memory_gb: float
    disk_gb: float  # of the finished run, and of training's state while it is at work
    is_measured: bool  # rates and memory, on this machine with this model
    assumed: tuple[str, ...] = ()  # what is not here, and was taken for the estimate in its place
    held_out: int = 0  # pairs that training does not see
    processes: int = 1  # that sample, and that train together
    cluster: str = ""  # engine, address and nodes, where it is not this machine
    found: tuple[str, ...] = ()  # lengths that the recipe leaves to be found from the pairs, as "key: number"

    @property
    def devices(self) -> str:
        if self.cluster:
            return self.cluster
        here = len(devices.gpus())
        if not here and self.recipe.compute.strategy != "ddp":
            return "as many GPUs, of which this machine has none"
        return f"{min(here, self.processes)} of {here} GPUs" if here else "the processor's cores"

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.model_dump(mode="json"), "run": str(self.folder), "files": self.files(),
            "problems": self.problems, "parameters": self.parameters, "estimated_seconds": self.seconds,
            "estimated_memory_gb": self.memory_gb, "estimated_disk_gb": self.disk_gb, "measured": self.is_measured,
            "processes": self.processes, "devices": self.devices, "engine": self.recipe.compute.engine,
            "assumed": list(self.assumed), "held_out": self.held_out, "found": list(self.found),
        }  # fmt: skip

    def files(self) -> list[str]:
        """What a finished run holds, relative to its folder."""
        names = ["candidates.jsonl", "scored.jsonl", "checkpoint/", "train.jsonl", "manifest.json"]
        found = ["recipe.yaml", "problems.jsonl", *(f"base/{name}" for name in self._judged(None))]
        found += ["metrics.jsonl", "waves.jsonl", "report.html", "figures/"]
        for iteration in range(self.recipe.iterations):
            found += [f"iter-{iteration:02d}/{name}" for name in (*names, *self._judged(iteration))]
        return found

    def _judged(self, iteration: int | None) -> list[str]:
        due = [e.benchmark for e in self.recipe.evals if e.is_due(iteration, self.recipe.iterations)]
        return [f"{kind}-{name}.jsonl" for name in due for kind in ("samples", "eval")]

    def render(self) -> str:
        times = "\n".join(f"  {name:<28}{duration(s):>10}" for name, s in self.seconds.items())
        files = "\n".join(f"  {name}" for name in self.files())
        return (
            f"{dump_recipe(self.recipe)}\nrun folder {self.folder}\n{files}\n\n"
            + "".join(f"assumed: {line}\n" for line in self.assumed)
            + "".join(f"auto, by the lengths of the pairs: {line} tokens\n" for line in self.found)
            + f"{self.problems} problems, {f'{self.held_out} held out, ' if self.held_out else ''}"
            f"{self.parameters / 1e6:,.0f} million parameters\n"
            "estimated time (upper bound of tokens, "
            f"{'at measured rates' if self.is_measured else 'good to a factor of about two'}):"
            f"\n{times}\n"
            f"{self.processes} {'process' if self.processes == 1 else f'processes ({self.recipe.compute.strategy})'} "
            f"on {self.devices}\n"
            f"estimated memory: {self.memory_gb:.1f} GB{'' if self.processes == 1 else ' each'}, disk: "
            f"{self.disk_gb:.1f} GB"
        )


def duration(seconds: float) -> str:
    """For example "95 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def make_plan(recipe: Recipe, folder: Path, *, measured: bool = False) -> Plan:
    """Resolve everything that a run would, short of loading the model's weights. Raises what a run would raise.

    ``measured``: load the model after all, sample a batch and train a few micro-batches, and estimate from that;
    then nothing is assumed.
    """
    notes: list[str] = []
    with machines(recipe.compute, notes.append):
        plan = _make_plan(recipe, folder, measured)
    return dataclasses.replace(plan, assumed=(*plan.assumed, *notes))


def _make_plan(recipe: Recipe, folder: Path, measured: bool) -> Plan:
    method, assumed, asked = check_recipe(recipe), list[str](), recipe
    loaded = shown.load(recipe) if measured else _loaded(recipe, assumed)
    problems, recipe = loaded.problems, _settled(recipe, loaded, assumed)
    shape = _shape(recipe)
    parameters = shape.parameters
    if measured:
        rates = measure(recipe, problems, method)
    else:
        memory = _memory_gb(recipe, shape)
        rates = _calculated(recipe, problems, method, parameters, memory)
    at_once = max(1, min(len(devices.gpus()), _processes(recipe)))
    rates = dataclasses.replace(
        rates, sampled_per_s=at_once * rates.sampled_per_s, trained_per_s=at_once * rates.trained_per_s
    )
    seconds: dict[str, float] = {}
    if method.uses_candidates:
        tokens = len(problems) * recipe.sample.num_candidates * recipe.sample.max_new_tokens
        seconds["sample, an iteration"] = tokens / rates.sampled_per_s
    seconds["train, an iteration"] = recipe.train.epochs * rates.epoch_tokens / rates.trained_per_s
    for config in recipe.evals:
        count = _benchmark_size(config, loaded, assumed)
        samples = sum(config.num_samples if t > 0 else 1 for t in config.temperatures) * count
        seconds[f"eval {config.benchmark}"] = samples * config.max_new_tokens / rates.sampled_per_s
    rounds_judged = [None, *range(recipe.iterations)]
    evals = sum(
        seconds[f"eval {e.benchmark}"] * sum(e.is_due(i, recipe.iterations) for i in rounds_judged)
        for e in recipe.evals
    )
    rounds = 1 if method.single_round else recipe.iterations
    sampling = seconds.get("sample, an iteration", 0.0)
    seconds["total"] = rounds * sampling + recipe.iterations * seconds["train, an iteration"] + evals
    return Plan(
        recipe, folder, len(problems), parameters, seconds, rates.memory_gb, _disk_gb(recipe, parameters), measured,
        tuple(assumed), len(loaded.held), _processes(recipe), engine.current().described(),
        tuple(lengths.said(asked, recipe)),
    )  # fmt: skip


def _loaded(recipe: Recipe, assumed: list[str]) -> LoadResult:
    """The recipe's pairs; where their file is not here, as many usual ones as the recipe takes at most, and of a share
    held out as many."""
    data = recipe.data
    is_here = all(s == "synth" or s.startswith("hf:") or Path(s).exists() for s in data.paths)
    if is_here or data.limit is None:
        return shown.load(recipe)
    assumed.append(
        f"{data.label} is not here; {data.limit} pairs of {len(_USUAL_PAIR[0])} and {len(_USUAL_PAIR[1])} characters"
    )
    held = 0
    if data.holdout is not None:
        held = max(1, round(data.limit * (data.holdout if isinstance(data.holdout, float) else 0.0)))
        assumed.append(f"held out of it: {held} pairs")
    made = [Problem.create(instruction=_USUAL_PAIR[0], reference=_USUAL_PAIR[1], source="assumed")] * data.limit
    return LoadResult(made, {}, "assumed", held=made[:held])


def _settled(recipe: Recipe, loaded: LoadResult, assumed: list[str]) -> Recipe:
    """The recipe with numbers for its lengths; those of the defaults where the model's tokenizer cannot be had yet."""
    try:
        return lengths.settled(recipe, lambda: loaded.problems)
    except ItertlError as error:
        assumed.append(f"lengths that are auto: the defaults, for the tokenizer is not here ({error})")
        return lengths.settled(recipe, lambda: ())


def _benchmark_size(config: EvalConfig, loaded: LoadResult, assumed: list[str]) -> int:
    data, size = Path(config.data) if config.data else None, _BENCHMARK_SIZES.get(config.benchmark)
    if config.benchmark == OWN_HELDOUT and data is None and loaded.format == "assumed":
        return min(len(loaded.held), config.limit or len(loaded.held))
    if data is None or size is None or data.exists():
        return len(pairs.of_recipe(config, lambda: loaded).problems)
    size = min(size, config.limit or size)
    assumed.append(f"{config.data} is not here; {size} problems of {config.benchmark}")
    return size


def _calculated(
    recipe: Recipe, problems: Sequence[Problem], method: Method, parameters: int, memory_gb: float
) -> Rates:
    train = _matmul_speed(recipe.train.precision) * _TRAIN_SHARE / (6 * parameters)
    sample = _matmul_speed("float32" if recipe.sample.dtype == "float32" else "auto") * _DECODE_SHARE / (2 * parameters)
    candidates = recipe.sample.num_candidates if method.uses_candidates else 0
    return Rates(sum(_tokens(p, candidates) for p in problems), train, sample, memory_gb)


def _tokens(problem: Problem, candidates: int) -> float:
    """Of a packed group: its prompt once, and each candidate as long as the reference."""
    prompt, answer = len(problem.instruction) + len(problem.header), len(problem.reference or "")
    return (prompt + (1 + candidates) * answer) / _CHARACTERS_PER_TOKEN + 30


class Shape(NamedTuple):
    """What the memory of a model depends on. ``inner``: width between the two products of a feed-forward layer."""

    parameters: int
    hidden: int
    inner: int
    layers: int
    vocabulary: int


def _shape(recipe: Recipe) -> Shape:
    """From the model's configuration alone."""
    import torch
    from transformers import AutoModelForCausalLM

    from itertl.model import find

    config = find.configuration(recipe.model)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=recipe.model.trust_remote_code)
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    count = sum(p.numel() for p in model.parameters())
    return Shape(count, config.hidden_size, inner, config.num_hidden_layers, config.vocab_size)


@functools.cache
def _matmul_speed(precision: str) -> float:
    """Operations a second of a large matrix product on the device that would be used."""
    import torch

    from itertl.model import load

    device = load.pick_device()
    if precision == "auto":
        precision = "bf16" if load.has_fast_bf16() else "float32"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    size = 1024 if device == "cpu" else 8192
    a = torch.ones(size, size, device=device, dtype=dtype)
    (a @ a).sum().item()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.25:
        (a @ a)[0, 0].item()
        count += 1
    return count * 2 * size**3 / (time.perf_counter() - start)


def _processes(recipe: Recipe) -> int:
    """As many as the recipe says, whether or not this machine has the devices; else those of this machine."""
    if recipe.compute.engine != "local":
        return engine.current().processes(recipe.compute)
    return recipe.compute.processes or devices.processes(ComputeConfig())


_HIDDEN_BYTES, _HIDDEN_BYTES_LORA = 36, 26  # a hidden unit, layer and token: norms stay in float32


def activation_bytes(shape: Shape, *, width: int, lora: bool, checkpointing: bool) -> int:
    """Kept of one token until the backward pass, by autograd's own account (``saved_tensors_hooks`` on Qwen2's layers,
    with a gate): the feed-forward layer's four tensors of ``inner`` in ``width`` bytes, and those of
    ``hidden``; frozen weights need less. ``checkpointing``: each layer's input, and one layer whole."""
    of_layer = 4 * width * shape.inner + (_HIDDEN_BYTES_LORA if lora else _HIDDEN_BYTES) * shape.hidden
    return of_layer + shape.layers * width * shape.hidden if checkpointing else of_layer * shape.layers


def _memory_gb(recipe: Recipe, shape: Shape) -> float:
    """Of one process. Weights, gradients and both Adam moments in float32 (adapters: frozen weights in the model's
    type); under autocast the copies of float32 weights in 16 bits, which the backward pass needs; activations of one
    micro-batch; one chunk of logits, their softmax and gradient. FSDP cuts all states into pieces, ZeRO 2 gradients and
    moments."""
    from itertl.training.response_model import HEAD_CHUNK
    from itertl.training.session import resolve_precision, token_budget

    lora, parameters = recipe.train.lora, shape.parameters
    width = 4 if recipe.model.dtype == "float32" or lora is None else 2
    computed = 4 if resolve_precision(recipe.train) == "float32" else 2
    copied = computed if computed < width else 0
    width = 0.6 if lora is not None and lora.quantize else width  # 4 bits and their constants
    trained = parameters if lora is None else max(1, parameters // 50)
    processes, strategy = _processes(recipe), recipe.compute.strategy
    shares = {"ddp": (1, 1), "fsdp": (processes, processes), "deepspeed": (1, processes)}[strategy]
    states = parameters * (width + copied) / shares[0] + trained * 12 / shares[1]
    kept = activation_bytes(
        shape, width=computed, lora=lora is not None, checkpointing=recipe.train.gradient_checkpointing
    )
    return (states + token_budget(recipe.train) * kept + HEAD_CHUNK * shape.vocabulary * 12) / 1e9 + 0.6


def _disk_gb(recipe: Recipe, parameters: int) -> float:
    """A checkpoint for each iteration in the model's type, and once the state that training resumes from: its float32
    weights and both moments (adapters: theirs alone). What is sampled and judged takes a few MB."""
    width = 4 if recipe.model.dtype == "float32" else 2
    trained = parameters if recipe.train.lora is None else max(1, parameters // 100)
    return (recipe.iterations * parameters * width + trained * 12) / 1e9 + 0.05
