"""What pairs are compared by: words of the instruction, tokens of the code as written and with identifiers renamed."""

from collections.abc import Sequence
from dataclasses import dataclass

from itertl.problems import normalize
from itertl.problems.cells import Counts
from itertl.problems.importers import code_of
from itertl.progress import SILENT, Tracker
from itertl.records import Problem
from itertl.verilog.text import modules

TEXT_OVERLAP, CODE_OVERLAP = 0.5, 0.7  # 8-grams in common, and likeness of code, from which two pairs are of one design
PART_TOKENS = 60  # of a module that is compared by itself: a flip-flop is in every design


@dataclass(frozen=True, slots=True)
class Prints:
    """What problems are compared by; one entry a problem, empty where it has no reference."""

    words: list[tuple[str, ...]]
    code: list[tuple[str, ...]]
    renamed: list[tuple[str, ...]]
    # the larger modules of code that has several: as written, and renamed
    parts: list[list[tuple[tuple[str, ...], tuple[str, ...]]]]

    @staticmethod
    def of(problems: Sequence[Problem], tracker: Tracker = SILENT) -> "Prints":
        found = Prints([], [], [], [])
        for problem in problems:
            code = code_of(problem.reference or "", problem.header, "", Counts())  # prose around it would dilute it
            spans = modules(code)
            inner = [code[span.start : span.end] for span in spans] if len(spans) > 1 else []
            whole, *parts = map(normalize.code_tokens, [code, *inner])
            found.words.append(tuple(normalize.words(problem.instruction)))
            found.code.append(whole[0])
            found.renamed.append(whole[1])
            found.parts.append([part for part in parts if len(part[0]) >= PART_TOKENS])
            tracker.advance(1)
        return found
