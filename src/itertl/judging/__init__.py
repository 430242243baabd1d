"""Judging hostile text: what a design may say, a testbench it cannot talk to, and a verdict it cannot print.

``gate`` reads a design alone and gives back the text that is simulated, or refuses it; ``bench`` makes a testbench
into a template whose names and nonce are drawn anew for each run; ``strict`` joins the two in the simulator and reads
what the testbench said. docs/judging.md has the threat model and the limits of each layer.
"""
