"""Run a recipe again and again in forked children, each killed at a named point; used by test_loop.py.

    python forked_runs.py RECIPE OUT [POINT ...]

The parent imports torch once and never computes, so that a fork is safe and costs nothing. Prints one line a child:
the point and the signal or status that it ended with; the point "--resume-changed" kills nothing and allows another recipe. After the last point one more child runs to the end.
"""

import os
import sys
from pathlib import Path

from itertl import loop
from itertl.config import load_recipe
from itertl.progress import QUIET


def main() -> None:
    recipe, out, points = load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), [*sys.argv[3:], ""]
    for name in points:
        child = os.fork()
        if child == 0:
            os.environ["ITERTL_KILL_AT"] = name
            try:
                loop.run(recipe, out, reporter=QUIET, resume_changed=name == "--resume-changed")
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(f"{name or 'end'} {-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}", flush=True)


if __name__ == "__main__":
    main()
