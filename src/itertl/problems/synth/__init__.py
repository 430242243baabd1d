"""The bundled generator: RTL problems with instruction, header, reference and self-checking testbench, from a seed."""

from itertl.problems.synth.generate import generate
from itertl.problems.synth.registry import family_names

__all__ = ["family_names", "generate"]
