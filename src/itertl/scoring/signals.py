"""``signals``: the share of outputs that are right, and for each output the statements that drive it.

Which outputs are right is what ``vectors`` finds in the first run in which one is wrong; a text that does not get that
far has none. What drives them is read from the syntax tree (``drivers``). Training takes from both on which tokens two
answers differ in one output (``train.credit: signal``).
"""

import functools

from itertl.judging.outcomes import cut
from itertl.records import Score, Signal, Verdict
from itertl.scoring.drivers import Span, slices
from itertl.scoring.item import ScoreItem, ScoreMaker
from itertl.scoring.vectors import score as vectors
from itertl.tools import slang
from itertl.verilog.header import derive_top

REVISION = 1


def version() -> str:
    """What a score depends on beside the item. Raises ToolMissing."""
    return f"{vectors.version()}, {slang.version()}, signals {REVISION}"


def score(item: ScoreItem) -> Score:
    """Of one candidate; None where ``vectors`` has no answer. Raises ToolMissing."""
    result = ScoreMaker("signals", "pyslang", slang.version().rsplit(" ", 1)[-1])
    judged = vectors.simulated(item)
    if judged.value is None or item.reference is None:
        return result(None, judged.verdict, judged.detail)
    top = item.top or derive_top(item.reference) or ""
    of_reference = _of_reference(item.reference, top)
    if not of_reference:
        return result.unjudgeable("the outputs of the reference cannot be read from its text")
    ran = judged.verdict in (Verdict.PASSED, Verdict.WRONG_OUTPUT)
    own = slices(item.code, top) if ran else {}
    wrong = set(judged.wrong_outputs or of_reference) if judged.verdict is not Verdict.PASSED else set[str]()
    signals = tuple(
        Signal(output=name, is_right=name not in wrong, spans=own.get(name), reference_spans=spans)
        for name, spans in of_reference.items()
    )
    share = sum(signal.is_right for signal in signals) / len(signals)
    if not ran:
        return result(share, judged.verdict, judged.detail, signals=signals)
    detail = cut(f"wrong: {', '.join(name for name in of_reference if name in wrong)}") if wrong else "all are right"
    return result(share, Verdict.SCORED, detail, signals=signals)


@functools.lru_cache(maxsize=16)
def _of_reference(reference: str, top: str) -> dict[str, tuple[Span, ...] | None]:
    return slices(reference, top)
