"""What slang says of a written module: in a disposable worker, for a text can crash or stall it."""

from dataclasses import dataclass

from itertl.records import Examined, Verdict
from itertl.scoring import interface as interfaces
from itertl.scoring.interface import Unsupported
from itertl.tools import slang


@dataclass(frozen=True, slots=True)
class Question:
    """A whole text, the header that it is to have ("" for any, else one that elaborates by itself), and the name of its
    top module where known."""

    code: str
    header: str
    top: str | None


def empty(header: str) -> str:
    """The module of a header alone."""
    return f"{header}\nendmodule\n"


def check(question: Question) -> Examined:
    """PASSED where the text parses, elaborates and has the header's ports; ``group``: what it is else, in few words.

    Ports that this project cannot drive (bidirectional ones, say) are not compared. Raises ToolMissing.
    """
    found = slang.check(question.code, question.top)
    if found.verdict is not Verdict.PASSED or not question.header or question.top is None:
        return _said(found.verdict, found.detail)
    try:
        other = interfaces.same_ports(
            interfaces.read(question.code, question.top), interfaces.read(empty(question.header), question.top)
        )
    except Unsupported:
        return _said(Verdict.PASSED)
    return _said(Verdict.ELABORATION_ERROR, other, "other ports than the header's") if other else _said(Verdict.PASSED)


def _said(verdict: Verdict, detail: str = "", group: str = "") -> Examined:
    return Examined(verdict=verdict, rank=float(verdict is Verdict.PASSED), message=detail, group=group)
