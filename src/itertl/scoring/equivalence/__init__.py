"""``equivalence``: is the candidate the same function as the reference, on every input and in every state?

``rewrite`` and ``checks`` read the texts (slang), ``script`` makes Yosys read both and ``flat`` reads the netlists that
it writes; ``proof`` gives a miter of the two to ABC, ``replay`` runs a counterexample in the simulator, ``score`` gives
the verdict. docs/rewards.md says what a proof means here, and what it does not cover.
"""
