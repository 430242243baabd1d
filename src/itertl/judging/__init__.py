"""Judging hostile text: what a design may contain, a testbench it cannot reach, and a verdict it cannot print.

``gate`` reads a design alone and returns the text that is simulated, or refuses it; ``bench`` makes a testbench into a
template whose names and nonce are drawn anew for each run; ``strict`` runs the two in the simulator and reads what the
testbench said. docs/judging.md has the threat model and the limits of each layer.
"""
