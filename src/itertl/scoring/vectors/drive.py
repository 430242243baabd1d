"""The stimulus that suits a design: clocked, with a state but no clock, or combinational."""

import random

from itertl.scoring.interface import Interface
from itertl.scoring.vectors import clocked, combinational
from itertl.scoring.vectors.stimulus import Inputs
from itertl.scoring.vectors.words import Hints


def make(interface: Interface, known: Hints, seed: int, steps: int) -> Inputs:
    """About ``steps`` steps for a design of that interface; ``known`` is what the reference's text suggests.

    Same seed, same words.
    """
    inputs = Inputs(interface.inputs, known, random.Random(seed))
    if interface.clocks:
        clocked.drive(inputs, interface, known, steps)
    elif interface.has_latch or interface.has_state:
        combinational.one_by_one(inputs, steps)
    else:
        combinational.drive(inputs, steps)
    return inputs
