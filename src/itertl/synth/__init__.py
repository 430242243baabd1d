"""The bundled generator: RTL problems with instruction, header, reference and self-checking testbench, from a seed."""

from itertl.synth.generate import generate
from itertl.synth.registry import family_names

__all__ = ["family_names", "generate"]
