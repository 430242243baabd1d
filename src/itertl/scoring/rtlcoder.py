"""``rtlcoder``: the quality score z that the paper takes from RTLCoder (section 4.1).

RTLCoder has not released its scorer; the rule here reproduces the 30 candidate scores that its released training sample
carries. Blind to function: a module with an empty body that parses scores as high as the reference.
"""

from itertl.errors import ToolMissing
from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem, ScoreMaker, has_module
from itertl.scoring.rouge_l import rouge_l_f1
from itertl.tools import icarus, pyverilog


def version() -> str:
    """What a score depends on beside the item: Pyverilog preprocesses by Icarus, so both count. Raises ToolMissing."""
    try:
        preprocessor = icarus.version()
    except ToolMissing:
        preprocessor = "no Icarus Verilog"
    return f"{pyverilog.version()}, {preprocessor}"


def score(item: ScoreItem) -> Score:
    """1 where Pyverilog parses header + c, else the character-level Rouge-L F1 of c and r.

    c and r are candidate and reference without their first ``len(header)`` characters, whether or not they begin with
    the header. Where both are then empty, the score is 1 if the whole texts are equal and 0 if not. Without a reference
    nothing is scored: 1 for those that parse and nothing for the others would not be a measure.
    """
    result = ScoreMaker("rtlcoder", "pyverilog", pyverilog.version().rsplit(" ", 1)[-1])
    if item.reference is None:
        return result.unjudgeable("no reference")
    candidate, reference = item.code[len(item.header) :], item.reference[len(item.header) :]
    is_parsed, detail = pyverilog.parses(item.header + candidate)
    if is_parsed:
        return result(1.0, Verdict.PASSED)
    if candidate or reference:
        value = rouge_l_f1(candidate, reference)
    else:
        value = float(item.code == item.reference)
    return result(value, Verdict.SYNTAX_ERROR if has_module(item.code) else Verdict.NO_CODE, detail)
