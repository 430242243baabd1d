"""Why a text is not a person's design: written by a tool, a netlist of gates, encrypted, or encoded data."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from itertl.verilog.text import NAME_KINDS, Token, comment_before

ENCRYPTED, BASE64 = "encrypted (pragma protect)", "base64 data"
_PROTECTED = re.compile(
    r"^[ \t]*(?://[ \t]*|`)pragma[ \t]+protect\b|^[ \t]*`protected?\b|%%% ?protect(?:ed_file)?\b", re.M
)
_ENCODED = re.compile(r"(?:^[ \t]*(?://)?[ \t]*[A-Za-z0-9+/]{56,}={0,2}[ \t]*\n){5}", re.M)
_HEAD_CHARS = 6000
_TOOL = re.compile(
    r"^\W*(?:(?:this|the)\s+(?:verilog\s+|rtl\s+|hdl\s+)?(?:file|module|code|netlist|design|source)\s+"
    r"(?:is|was|has been)\s+(?:(?:auto\w*|machine)[ -]?)?(?:generated|produced|created|written)\b"
    r"|(?:(?:file|code|netlist|verilog|module)\s+)?(?:auto\w*|machine)[ -]?(?:generated|created|produced)\b"
    r"|(?:(?:file|code|netlist|verilog|module|hdl)\s+)?(?:generated|produced)\s+(?:automatically\s+)?(?:by|from|with|using|on)\b"
    r"(?!\s+(?:the|a|an|this|each|our|its)\b)"
    r"|(?:created|written)\s+by\s*:?\s*(?:synopsys|cadence|design compiler|genus|yosys|quartus|vivado|ise\b|coregen)"
    r"|program\s*:\s*(?:synopsys|design|encounter|genus)|generator\s*:|megafunction wizard|generation:\s*standard"
    r"|\W*do not (?:edit|modify|change|alter)\b|netlist\s+(?:written|created|produced)|xilinx.{0,40}netgen"
    r"|.{0,40}\bcauses synthesis tools to infer a black box)"
    r"|\b(?:core generator|ip catalog|qsys|platform designer|hdl coder|vivado\(tm\) hls|write_verilog|netgen)\b",
    re.I | re.M,
)  # fmt: skip
_SCALA = re.compile(r"@\[[\w./-]+\.(?:scala|fir)\b")
_CELL = re.compile(
    r"^(?:sky130_|gf180mcu|sg13g2_|\$_|(?:N?AND|N?OR|XN?OR|INV|BUF|AOI|OAI|MUX|MX|DFF|SDFF|LATCH|FA|HA|CLK|TIE)\w*[Xx_]?\d+\w*$"
    r"|LUT\d|CARRY[48]|FD[CPRS]E|MUXF[789]|IBUF|OBUF|BUFG|RAMB\d|DSP48|SB_|TRELLIS_|cyclone|stratix|arriaii)",
)
_GATES = frozenset("and nand or nor xor xnor not buf bufif0 bufif1 notif0 notif1 nmos pmos".split())
_BEHAVIOUR = frozenset("assign always always_comb always_ff always_latch initial".split())
_NUMBERED = re.compile(r"^\\?(?:_\d+_|n_?\d+|N\d+|net\d+|w\d+|new_n\d+_?|_T_\d+|U\d+)$")
GATES = 64  # instances of gates from which a text is looked at as a netlist
_SHARE = 0.9


def why_not_source(text: str) -> str | None:
    """``ENCRYPTED``, ``BASE64``, or None."""
    if _PROTECTED.search(text):
        return ENCRYPTED
    return BASE64 if _ENCODED.search(text) else None


def is_generated(text: str, first_module: int) -> bool:
    """Whether the comments before the module at ``first_module``, or the first inside it, have a tool's mark."""
    end = min(first_module + 400, _HEAD_CHARS)
    return bool(_TOOL.search(comment_before(text[:end], end))) or bool(_SCALA.search(text))


def is_netlist(stream: Sequence[Token]) -> bool:
    """Whether a design is gates and wires: most of its statements instantiate few kinds of cells that it does not
    define itself, or most of its names are numbers that a tool gave."""
    own = {after.text for token, after in itertools.pairwise(stream) if token.text == "module"}
    cells, behaviour = Counter[str](), 0
    begins = True
    for at, token in enumerate(stream[:-2]):
        if token.kind == "keyword" and token.text in _BEHAVIOUR:
            behaviour += 1
        elif begins and token.kind == "keyword" and token.text in _GATES:
            cells[token.text] += 1
        elif begins and token.kind in NAME_KINDS and token.text not in own and _follows_as_instance(stream, at):
            cells[token.text.removeprefix("\\")] += 1
        begins = token.text in (";", ")", "begin", "end", "endmodule", "generate") or token.kind == "directive"
    count = sum(cells.values())
    if count >= GATES and count >= _SHARE * (count + behaviour):
        known = sum(number for cell, number in cells.items() if cell in _GATES or _CELL.match(cell))
        return len(cells) <= count / 8 or known >= count / 2
    names = {token.text for token in stream if token.kind in NAME_KINDS}
    numbered = sum(bool(_NUMBERED.match(name)) or name.startswith("\\") for name in names)
    return numbered >= GATES and numbered >= 0.6 * len(names)


def _follows_as_instance(stream: Sequence[Token], at: int) -> bool:
    """``name name (`` or ``name #(``."""
    after, then = stream[at + 1], stream[at + 2]
    return (after.kind in NAME_KINDS and then.text == "(") or (after.text == "#" and then.text == "(")
