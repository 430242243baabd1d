"""What a scorer is given, and the one question about it that several scorers ask."""

import re
from dataclasses import dataclass

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
