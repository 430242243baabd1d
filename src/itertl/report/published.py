"""Published pass@1 on VerilogEval v1, to stand beside a run's own: other model sizes, other hands, other simulators.

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
    """pass@1 in percent, on each of the two sets."""

    model: str
    machine: float
    human: float


PASS_AT_1: tuple[Published, ...] = (
    Published("GPT-3.5", 46.7, 26.7),
    Published("GPT-4", 60.0, 43.5),
    Published("CodeGen-16B", 5.0, 1.6),
    Published("VeriGen-16B", 33.8, 24.5),
    Published("VerilogEval-SFT 16B", 46.2, 28.8),
    Published("RTLCoder-DeepSeek 6.7B, 10k pairs", 55.3, 36.7),
    Published("RTLCoder-DeepSeek 6.7B, 27k pairs", 61.2, 41.6),
    Published("ITERTL-DeepSeek 6.7B, 10k pairs", 62.2, 42.9),
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
