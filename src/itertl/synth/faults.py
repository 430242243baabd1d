"""Designs with one error, shown to be wrong: one-point mutants that compile and that the design's testbench fails.

The proof is an input on which the outputs differ; it costs a simulation, so what was found of a design is kept for the
life of the process.
"""

import random
import re
from functools import lru_cache

from itertl.records import Verdict, content_hash
from itertl.synth.design import DesignSpec
from itertl.synth.mutants import mutants
from itertl.synth.testbench import testbench
from itertl.tools import icarus, slang

_TRIALS = 12  # mutants that are simulated at most
_WANTED = 1  # wrong designs of one: each costs a simulation or two
_VERDICT = re.compile(r"Mismatches: (\d+) in \d+ samples")


def wrong_design(design: DesignSpec, rng: random.Random) -> str:
    """A text like ``design.reference`` with one error; "" where none was found. Raises ToolMissing."""
    found = _wrong_designs(design.reference, design.module, testbench(design), design.fault_classes)
    return rng.choice(found) if found else ""


@lru_cache(maxsize=4096)
def _wrong_designs(reference: str, module: str, bench: str, classes: tuple[str, ...]) -> tuple[str, ...]:
    order = random.Random(content_hash([reference, list(classes)]))
    found: list[str] = []
    tried = 0
    for mutant in mutants(reference, order, classes):
        if tried == _TRIALS or len(found) == _WANTED:
            break
        if slang.check(mutant.text, module).verdict is not Verdict.PASSED:
            continue
        tried += 1
        done = icarus.simulate({"design.sv": f"{bench}\n{mutant.text}"}, top="tb")
        said = _VERDICT.search(done.ran.stdout) if done.ran is not None else None
        if said is not None and int(said[1]) > 0:
            found.append(re.sub(r"(?<=\S)  +", " ", mutant.text))  # a dropped operator leaves two spaces
    return tuple(found)
