"""A design becomes a problem: header, reference, one phrasing of the instruction, testbench.

The instruction names the module and every port with its direction and width, so that it is a complete task with or
without the header behind it.
"""

import random
import re
from collections.abc import Sequence

from itertl.records import Problem
from itertl.synth.design import DesignSpec, Family, PortSpec
from itertl.synth.faults import wrong_design
from itertl.synth.testbench import testbench

LICENCE = "Apache-2.0"


def instruction(design: DesignSpec, rng: random.Random) -> tuple[str, str]:
    """One phrasing and its level. Draws the level, the frame around the description and how the ports are listed."""
    index = rng.randrange(len(design.descriptions))
    words, name, figure = design.descriptions[index], design.module, design.figure
    if design.repairs:
        figure = wrong_design(design, rng).rstrip()
    ports = _ports(design.ports, rng)
    text = rng.choice(_FRAMES).format(words=f"{words}{_FIGURE}" if figure else words, name=name, ports=ports)
    if figure:
        text = re.sub(f" *{_FIGURE}\\s*", lambda _: f"\n\n{figure}\n\n", text).rstrip()
    return text, _LEVELS[index]


_FIGURE = "\0"  # stands for the figure until the frame is laid
_LEVELS = ("terse", "plain", "detailed")
_FRAMES = (
    "Write a Verilog module named {name}. {words} {ports}",
    "Design a Verilog module called {name}. {words} {ports}",
    "Implement module {name} in Verilog. {words}\n{ports}",
    "Module {name}: {words}\n{ports}",
    "{words} Write this in Verilog as module {name}. {ports}",
    "Give the Verilog code of a module {name}.\n{ports}\n{words}",
    "{ports}\n{words}\nName the Verilog module {name}.",
)


def _ports(ports: Sequence[PortSpec], rng: random.Random) -> str:
    style = rng.randrange(3)
    if style == 0:
        return f"Ports: {', '.join(f'{p.direction} {p.type}{p.name}' for p in ports)}."
    sides = [(side, [p for p in ports if p.direction == side]) for side in ("input", "output")]
    named = [(side.capitalize() + ("s" if len(found) > 1 else ""), found) for side, found in sides]
    if style == 1:
        return " ".join(f"{side}: {', '.join(_in_words(p) for p in found)}." for side, found in named)
    return " ".join(f"{side}: {', '.join(p.type + p.name for p in found)}." for side, found in named)


def _in_words(port: PortSpec) -> str:
    if port.width == 1:
        return port.name
    return f"{port.name} ({port.width} bits{', signed' if port.signed else ''})"


def render(design: DesignSpec, family: Family, rng: random.Random, split: str) -> Problem | None:
    """The problem that a model is asked; None where a design to be mended has no error that shows.

    ``rng`` draws the phrasing alone (and which error is shown), never reference or function. Raises ToolMissing where
    an error has to be shown and there is no simulator.
    """
    words, level = instruction(design, rng)
    if design.repairs and "endmodule" not in words:
        return None
    return Problem.create(
        instruction=words,
        header=design.header,
        reference=design.reference,
        top=design.module,
        testbench=testbench(design),
        source=f"synth:{family.name}",
        licence=LICENCE,
        family=family.name,
        split=split,
        extra={"parameters": dict(design.parameters), "category": family.category, "level": level},
    )
