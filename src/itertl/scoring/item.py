"""What a scorer is given, the two questions about it that several scorers ask, and how they answer."""

import re
from dataclasses import dataclass
from typing import Any

from itertl.records import Score, Verdict
from itertl.verilog import text as verilog_text

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One candidate to score, with what it is compared with. Pickles, so that it can travel to a worker.

    Example: ``ScoreItem(code="module m(output y); assign y = 1; endmodule", header="module m(output y);",
    reference="module m(output y); assign y = 1'b1; endmodule", top="m")``.
    """

    code: str  # whole module(s), header included; "" where the model wrote none
    header: str = ""  # header or skeleton given with the instruction
    reference: str | None = None  # a whole, right answer (header included)
    top: str | None = None  # name of the module asked for, where known


def has_module(code: str) -> bool:
    """Whether the text holds the keyword of a module outside comments and strings."""
    return any(token.text in ("module", "macromodule") for token in verilog_text.tokenize(code))


def is_plain_name(name: str) -> bool:
    """Whether ``name`` can be handed to a tool as a module's name."""
    return _PLAIN_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class ScoreMaker:
    """Makes the scores of one scorer. Example: ``ScoreMaker("icarus", "iverilog", "11.0")(1.0, Verdict.PASSED)``."""

    scorer: str
    tool: str
    tool_version: str

    def __call__(self, value: float | None, verdict: Verdict, detail: str = "", **more: Any) -> Score:
        """``more``: the fields of ``Score`` that few scorers fill."""
        return Score(
            scorer=self.scorer, value=value, verdict=verdict, detail=detail, tool=self.tool,
            tool_version=self.tool_version, **more,
        )  # fmt: skip

    def unjudgeable(self, reason: str) -> Score:
        """Where the problem is at fault."""
        return self(None, Verdict.UNJUDGEABLE, reason)

    def misnamed(self, top: str | None) -> Score:
        """Where the problem's top module has a name that is not handed to a tool."""
        return self.unjudgeable(f"the problem's top module name {(top or '')[:80]!r} is not an identifier")
