"""Published pass@k on VerilogEval v1, to show beside a run's own: other model sizes, evaluators and simulators.

Source: table 1 of the ITERTL paper, which takes the rows of GPT-3.5, GPT-4, CodeGen, VeriGen and VerilogEval-SFT from
the VerilogEval paper and the RTLCoder rows from the RTLCoder paper. The paper's own row is the best over four sampling
temperatures, chosen on the test set. All figures hold for the whole sets: 143 and 156 problems.
"""

import re
from typing import Literal, NamedTuple

SOURCE = "table 1 of the ITERTL paper"
FULL_SIZE = {"machine": 143, "human": 156}

Split = Literal["machine", "human"]


class Published(NamedTuple):
    """pass@1 in percent on each of the two sets, and pass@5 and pass@10."""

    model: str
    machine: float
    human: float
    machine_more: tuple[float, float]
    human_more: tuple[float, float]

    def rate(self, split: Split, k: int) -> float | None:
        """pass@k in percent; None where the table has no such k."""
        first, more = (self.machine, self.machine_more) if split == "machine" else (self.human, self.human_more)
        return {1: first, 5: more[0], 10: more[1]}.get(k)


PASS_AT_1: tuple[Published, ...] = (
    Published("GPT-3.5", 46.7, 26.7, (69.1, 74.1), (45.8, 51.7)),
    Published("GPT-4", 60.0, 43.5, (70.6, 73.5), (55.8, 58.9)),
    Published("CodeGen-16B", 5.0, 1.6, (17.6, 25.8), (6.1, 9.4)),
    Published("VeriGen-16B", 33.8, 24.5, (59.2, 67.9), (45.3, 53.2)),
    Published("VerilogEval-SFT 16B", 46.2, 28.8, (67.3, 73.7), (45.9, 52.3)),
    Published("RTLCoder-DeepSeek 6.7B, 10k pairs", 55.3, 36.7, (70.4, 76.2), (47.0, 50.4)),
    Published("RTLCoder-DeepSeek 6.7B, 27k pairs", 61.2, 41.6, (76.5, 81.8), (50.1, 53.4)),
    Published("ITERTL-DeepSeek 6.7B, 10k pairs", 62.2, 42.9, (75.0, 79.0), (50.0, 53.8)),
)


def split_of(benchmark: str) -> Split | None:
    """Which of the two published sets a benchmark of this name is, if any.

    Only version 1 is split into Machine and Human, so a name that says version 2 is neither.
    """
    squeezed = re.sub(r"[^a-z0-9]", "", benchmark.lower())
    if "verilogeval" not in squeezed or re.search(r"verilogevalv?2", squeezed):
        return None
    if "machine" in squeezed:
        return "machine"
    return "human" if "human" in squeezed else None
