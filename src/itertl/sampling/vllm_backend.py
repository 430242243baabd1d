"""Sampling from a vLLM server that is started here and ends with this process.

vLLM pins versions that exclude ours, so it lives in an environment of its own and is only ever a child process. It
starts with the first batch and is asked through the endpoint back end, with the token ids of our own prompts. The child
is a guard that runs vLLM in one process group and kills that group when its parent is gone, for any reason:
a signal on a parent's death would reach the server alone and leave its engines on the GPU.

Left out: the same batch may give another text, because vLLM's sums depend on what else it serves at the moment.
"""

import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from itertl.config import PromptConfig
from itertl.errors import ToolFailed, ToolMissing, UsageError
from itertl.model.load import load_tokenizer
from itertl.model.prompts import EncodedPrompt, Turn, encode_prompt
from itertl.records import Problem, SamplingSettings
from itertl.sampling.backend import Backend, BatchIncomplete, Generation
from itertl.sampling.batching import SampleRequest
from itertl.sampling.endpoint import Endpoint
from itertl.sampling.openai_backend import OpenAIBackend

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NAME = "itertl"  # under which the model is served
_STOP_AFTER_S = 15.0  # between asking the server to end and ending it
_GONE_AFTER_S = 10.0  # a killed process gives a large memory back within seconds
_POLL_S = 0.2
_HEALTH_TIMEOUT_S = 10.0
_LOG_LINES = 20
_CONCURRENCY = 512  # vLLM queues what it cannot take, and its own limit is below that
_REQUEST_TIMEOUT_S = 3600.0  # waiting in that queue included
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM has kernels for

# Its own program, so that it needs nothing of ours. It outlives SIGTERM to reap the server and pass its status on.
_GUARD = """
import os, signal, subprocess, sys, time
parent = int(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: None)
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
while True:
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)
    status = child.poll()
    if status is not None:
        sys.exit(status if status >= 0 else 128 - status)
    time.sleep(0.1)
"""


def open_backend(  # noqa: PLR0913 (options of a recipe, by name)
    model: str | Path, *, dtype: str = "bfloat16", trust_remote_code: bool = False, revision: str | None = None,
    python: str | None = None, command: Sequence[str] | None = None, port: int = 0, data_parallel: int = 1,
    tensor_parallel: int = 1, max_model_len: int | None = None, gpu_memory_utilization: float = 0.9,
    start_timeout_s: float = 600.0, extra_args: Sequence[str] = (),
) -> "VllmBackend":  # fmt: skip
    """The back end "vllm". ``command`` is a program that takes "serve …" in place of vllm; ``port`` 0: a free one.

    ``python`` None: what ITERTL_VLLM_PYTHON names, else the program ``vllm`` on the path. Raises ToolMissing where none
    is there, UsageError for a folder of an adapter without its base, or a key among ``extra_args``.
    """
    for word in extra_args:
        if word.split("=")[0].replace("_", "-") in ("--api-key", "--hf-token"):
            raise UsageError("sample.options.extra_args holds a key, which recipes and records would show; remove it")
    program = list(command) if command else find_vllm(python)
    served, base, base_revision = _model_arguments(model, revision)
    arguments = [
        *program, "serve", *served, "--host", "127.0.0.1", "--dtype", dtype, "--generation-config", "vllm",
        "--seed", "0", "--tensor-parallel-size", str(tensor_parallel), "--data-parallel-size", str(data_parallel),
        "--gpu-memory-utilization", str(gpu_memory_utilization), "--uvicorn-log-level", "warning",
    ]  # fmt: skip
    if max_model_len is not None:
        arguments += ["--max-model-len", str(max_model_len)]
    if trust_remote_code:
        arguments.append("--trust-remote-code")
    if base_revision is not None:
        arguments += ["--revision", base_revision, "--tokenizer-revision", base_revision]
    has_own = Path(model).is_dir() and (Path(model) / "tokenizer_config.json").is_file()
    source, at = (model, None) if has_own else (base, base_revision)
    tokenizer = load_tokenizer(source, trust_remote_code=trust_remote_code, revision=at)
    return VllmBackend(tokenizer, Server([*arguments, *extra_args], port, start_timeout_s))


def find_vllm(python: str | None = None) -> list[str]:
    """The command that starts vLLM. Raises UsageError where ``python`` is not a program, ToolMissing without any."""
    named = python or os.environ.get("ITERTL_VLLM_PYTHON")
    if named:
        path = Path(named).expanduser()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise UsageError(f"{named} is not a program; give the python of vLLM's environment (sample.options.python)")
        return [str(path.absolute()), "-m", "vllm.entrypoints.cli.main"]
    program = shutil.which("vllm")
    if program is None:
        raise ToolMissing(
            "vllm not found: make an environment for it (python -m venv vllm-env; vllm-env/bin/pip install vllm) and "
            "name its python by sample.options.python or ITERTL_VLLM_PYTHON"
        )
    return [program]


def _model_arguments(model: str | Path, revision: str | None) -> tuple[list[str], str, str | None]:
    """What to serve and under which name; the base model and its revision."""
    folder = Path(model)
    described = folder / "adapter_config.json"
    if not described.is_file():
        name = str(folder.absolute()) if folder.is_dir() else str(model)
        return [name, "--served-model-name", _NAME], name, None if folder.is_dir() else revision
    adapter = json.loads(described.read_text(encoding="utf-8"))
    base, rank = adapter.get("base_model_name_or_path"), adapter.get("r")
    if not base or not isinstance(rank, int) or rank > _LORA_RANKS[-1]:
        raise UsageError(
            f"{described}: needs base_model_name_or_path, and r up to {_LORA_RANKS[-1]}; merge the adapter instead"
        )
    size = next(size for size in _LORA_RANKS if rank <= size)
    # The base keeps another name: asked for by the adapter's, it would be what answers.
    names = ["--served-model-name", f"{_NAME}-base", "--lora-modules", f"{_NAME}={folder.absolute()}"]
    return [str(base), "--enable-lora", "--max-lora-rank", str(size), *names], str(base), adapter.get("revision")


class Server:
    """The child process, its log and its address. ``arguments`` lack the port, which each start chooses."""

    def __init__(self, arguments: Sequence[str], port: int, start_timeout_s: float) -> None:
        self._arguments = list(arguments)
        self._wanted_port = port
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._owner = os.getpid()
        self.url = ""

    def start(self) -> None:
        """Start and wait until it answers. Raises ToolFailed, with the log's end, where it dies or takes too long."""
        port = _free_port(self._wanted_port)
        self.url = f"http://127.0.0.1:{port}"
        self._folder = Path(tempfile.mkdtemp(prefix="itertl-vllm-"))
        command = [*self._arguments, "--port", str(port)]
        guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *command]
        atexit.register(self.stop)
        with (self._folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                guard, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=_environment(command[0]),
            )  # fmt: skip
        end = time.monotonic() + self._start_timeout_s
        while not self.is_healthy():
            if self._process.poll() is not None:
                raise self.failure(f"the vLLM server ended with status {self._process.returncode} while starting")
            if time.monotonic() > end:
                raise self.failure(
                    f"the vLLM server did not answer within {self._start_timeout_s:g} s and was stopped; "
                    "raise sample.options.start_timeout_s if it was still loading"
                )
            time.sleep(_POLL_S)

    def is_healthy(self) -> bool:
        """Whether the process lives and answers."""
        if self._process is None or self._process.poll() is not None:
            return False
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine is behind no proxy
        try:
            with opener.open(f"{self.url}/health", timeout=_HEALTH_TIMEOUT_S) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def failure(self, message: str) -> ToolFailed:
        """Stop it, and say ``message`` with the end of its log; the log is kept for the user."""
        folder, self._folder = self._folder, None
        self.stop()
        return ToolFailed(message if folder is None else f"{message}{_end_of(folder / 'server.log')}")

    def stop(self) -> None:
        """End the whole group, first by SIGTERM; nothing to do where it does not run. Also called when Python ends."""
        process, self._process = self._process, None
        if process is None or os.getpid() != self._owner:  # a fork of ours is not its parent
            return
        atexit.unregister(self.stop)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_AFTER_S)
        with contextlib.suppress(ProcessLookupError):  # engines that outlived their server too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end = time.monotonic() + _GONE_AFTER_S
        while _is_running(process.pid) and time.monotonic() < end:  # only then the GPU is free of them
            time.sleep(0.01)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class VllmBackend(Backend):
    """See the module. The server starts with the first batch and ends with ``close``."""

    serves_itself = True
    incidental_options = frozenset({"python", "port", "gpu_memory_utilization", "start_timeout_s"})

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", server: Server) -> None:
        self._tokenizer = tokenizer
        self._server = server
        self._endpoint: OpenAIBackend | None = None
        self._has_restarted = False

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        return encode_prompt(problem, config, self._tokenizer, turns)

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        """Draw one response a request. Raises ToolFailed where the server does not start or dies a second time,
        ``BatchIncomplete`` where it dies under the batch; what it had answered by then is kept."""
        try:
            return self._ready()(batch, settings)
        except BatchIncomplete as error:
            if self._server.is_healthy():
                raise
            died = self._server.failure(f"{error}; the vLLM server has died, or hangs")
            raise BatchIncomplete(str(died), error.done) from None
        except BaseException as error:  # a keyboard interrupt above all: it must not leave a server behind
            if not isinstance(error, Exception):
                self.close()
            raise

    def _ready(self) -> OpenAIBackend:
        """The endpoint of a server that answers, started anew once where it has died since the last batch."""
        if self._endpoint is not None and self._server.is_healthy():
            return self._endpoint
        if self._endpoint is not None:
            if self._has_restarted:
                raise self._server.failure("the vLLM server has died a second time")
            self._has_restarted = True
            self._server.stop()
        self._server.start()
        self._endpoint = OpenAIBackend(
            Endpoint(
                f"{self._server.url}/v1", _NAME, api="completions", api_key_env="ITERTL_VLLM_API_KEY", max_retries=2,
                max_concurrency=_CONCURRENCY, timeout_s=_REQUEST_TIMEOUT_S, extra_body={"return_token_ids": True},
            )
        )  # fmt: skip
        return self._endpoint

    def close(self) -> None:
        """Stop the server. A later batch starts it again."""
        self._server.stop()
        self._endpoint = None


def _free_port(wanted: int) -> int:
    """``wanted``, or a free one for 0. Raises UsageError where it is taken: another's server would answer for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise UsageError(f"port {wanted} cannot be used ({error.strerror}); give 0 for a free one") from error
        return probe.getsockname()[1]


def _is_running(group: int) -> bool:
    """Whether a process of that group has not ended; one that waits to be cleared away has. Linux alone can say."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended while we looked
            state, _, its_group = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in ("Z", "X"):
                return True
    return False


def _environment(program: str) -> dict[str, str]:
    """Ours without what would lead the other environment to our packages, with its programs first on the path."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "VLLM_API_KEY")}
    return {**kept, "PATH": f"{Path(program).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"}


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return f"; the end of {log}:\n" + "\n".join(lines)
