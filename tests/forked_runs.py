"""Run recipes again and again in forked children, each killed at a named point; used by test_loop.py.

    echo '{"recipe": …, "out": …, "points": […], "cache": null}' | python forked_runs.py

The parent imports all that a run needs once, which takes longer than the run, and never computes, so that a fork is
safe and costs nothing. Prints one line a request: a JSON list with, of each child, its error if it had one, the point,
and the signal or status that it ended with; the point "--resume-changed" kills nothing and allows another recipe. After
the last point one more child runs to the end.
"""

import gc
import importlib
import json
import os
import sys
from pathlib import Path

from itertl.config import load_recipe
from itertl.loop import run as loop
from itertl.progress import QUIET

NEEDED = (
    "itertl.sampling.transformers_backend", "itertl.training.trainer", "itertl.evaluation.judge", "itertl.report.write",
    "itertl.tools.slang",
    "transformers.models.llama.modeling_llama", "transformers.models.gpt2.tokenization_gpt2",
    "accelerate.checkpointing", "torch.utils.tensorboard",
    "matplotlib.backends.backend_svg", "matplotlib.figure", "pyslang", "rapidfuzz.distance",
)  # fmt: skip


def run(recipe: str, out: str, points: list[str], cache: str | None) -> list[str]:
    """What each child ended with."""
    said: list[str] = []
    for name in [*points, ""]:
        sink, source = os.pipe()
        child = os.fork()
        if child == 0:
            os.environ.update({"ITERTL_KILL_AT": name, **({"ITERTL_CACHE": cache} if cache else {})})
            try:
                loop.run(
                    load_recipe(Path(recipe)), Path(out), reporter=QUIET, resume_changed=name == "--resume-changed"
                )
            except BaseException as error:
                os.write(source, f"{type(error).__name__}: {error}\n".encode())
                os._exit(1)
            os._exit(0)
        os.close(source)
        with os.fdopen(sink, encoding="utf-8") as told:
            _, status = os.waitpid(child, 0)
            said += told.read().splitlines()
        said.append(f"{name or 'end'} {-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}")
    return said


def main() -> None:
    for name in NEEDED:
        importlib.import_module(name)
    gc.freeze()  # each child collects garbage after each stage, and would look through all that was imported
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
