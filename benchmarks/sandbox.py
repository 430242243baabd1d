"""What each level of the sandbox adds to a compilation and a simulation: bare ``subprocess.run`` against ours.

A small design is compiled and simulated in turn by bare processes and at each level that works here, in a fresh folder
each time; medians. ``ours`` is the strongest level that works, ``theirs`` the bare processes; ``added_ms`` has all
levels, ``added_ms_tenth`` the same of each way's fastest tenth, which other work on the machine disturbs less.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from itertl.sandbox import launcher, levels, sandbox
from itertl.sandbox.sandbox import Limits
from itertl.tools import icarus

DESIGN = """
module adder(input [7:0] a, b, output [8:0] s);
  assign s = a + b;
endmodule
module tb;
  reg [7:0] a, b; wire [8:0] s; integer n, wrong = 0;
  adder dut(a, b, s);
  initial begin
    for (n = 0; n < 200; n = n + 1) begin
      a = n * 7; b = n * 13; #1;
      if (s !== a + b) wrong = wrong + 1;
    end
    $display("wrong %0d", wrong);
  end
endmodule
"""


def steps() -> list[list[str]]:
    """The two programs, for a folder that holds ``design.v``."""
    return [[icarus.find(), "-g2012", "-o", "design.vvp", "design.v"], [icarus.find("vvp"), "-n", "design.vvp"]]


def bare(folder: Path) -> str:
    """No sandbox at all; stdout of the simulation."""
    first, second = steps()
    subprocess.run(first, cwd=folder, capture_output=True, check=True)
    return subprocess.run(second, cwd=folder, capture_output=True, check=True, text=True).stdout


def at(level: str) -> Callable[[Path], str]:
    """The same at a level."""
    limits = [Limits(), Limits(processes=1)]

    def run(folder: Path) -> str:
        return launcher.execute(level, steps(), cwd=folder, limits=limits)[-1].stdout

    return run


def measure(ways: dict[str, Callable[[Path], str]], rounds: int) -> tuple[dict[str, list[float]], bool]:
    """Seconds of each way, sorted, and whether all gave the same output each time. One round more goes unmeasured."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    said: set[str] = set()
    for turn in range(rounds + 1):
        for name, run in ways.items():
            with sandbox.scratch() as folder:
                (folder / "design.v").write_text(DESIGN, encoding="ascii")
                start = time.perf_counter()
                said.add(run(folder))
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    return {name: sorted(values) for name, values in seconds.items()}, said == {"wrong 0\n"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    working = [name for name in sandbox.LEVELS if levels.probe(name).works]
    seconds, agree = measure({"bare": bare, **{name: at(name) for name in working}}, arguments.rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    low = {name: values[len(values) // 10] for name, values in seconds.items()}
    ours, theirs = medians[working[-1]], medians["bare"]
    result = {
        "ours": ours,
        "theirs": theirs,
        "ratio": theirs / ours,
        "agree": agree,
        "level": working[-1],
        "added_ms": {name: round((medians[name] - theirs) * 1000, 2) for name in working},
        "added_ms_tenth": {name: round((low[name] - low["bare"]) * 1000, 2) for name in working},
        "rounds": arguments.rounds,
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"bare: {theirs * 1000:.1f} ms for iverilog and vvp; output equal: {agree}")
    for name, added in result["added_ms"].items():
        print(f"{name:>12}: +{added:.1f} ms (of the fastest tenth: +{result['added_ms_tenth'][name]:.1f})")


if __name__ == "__main__":
    main()
