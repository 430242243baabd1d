"""``vectors``: a candidate against its reference by simulation, on stimulus made from the reference alone.

``stimulus`` makes a list of input words from the reference's interface and constants, ``testbench`` applies any such
list to any design of these ports and prints what its outputs are, ``oracle`` has the reference's own answers, kept for
all candidates of a problem, and ``score`` compares. A candidate is simulated alone: there is no reference beside it
that it could read or disturb, and nothing in its simulation knows what is right. docs/rewards.md says what it sees and
what it is blind to.
"""
