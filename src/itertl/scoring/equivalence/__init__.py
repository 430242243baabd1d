"""``equivalence``: is the candidate the same function as the reference, on every input and in every state?

``rewrite`` and ``checks`` read the texts (slang), ``script`` makes Yosys read both and ``flat`` looks at what came out
of it; ``proof`` puts a miter of the two before ABC, ``replay`` shows a counterexample to the simulator, ``score`` gives
the verdict. docs/rewards.md says what a proof means here, and what it does not cover.
"""
