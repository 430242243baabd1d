"""Which of several modules of one name is the answer.

Modules with no prose between them are one group, and prose before a group presents it: as the answer ("Corrected
version:"), or as something else ("A common mistake:", "Alternatively", the next question of a text that runs on).
Within a group the first module of a name counts, of groups the last that is presented as the answer. What distinguishes
a full module from a sketch counts first: it is closed, has the ports that are asked for, and has statements.
"""

import re
from collections.abc import Sequence

from itertl.verilog.units import CodeUnit

_PRESENTS = re.compile(
    r"\b(?:correct(?:ed|ion)?|right|fix(?:ed|es)?|final|finished|updated?|revised?|improved|completed?|full|rewrit\w+"
    r"|working|works|proper(?:ly)?|actual(?:ly)?|"
    r"use (?:this|the following)|let me|let's|try)\b",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"\b(?:alternat\w+|mistakes?|wrong|incorrect\w*|bug\w*|broken|fault\w*|flawed|original\w*|previous\w*|earlier|old"
    r"|avoid|instead of|"
    r"do not|don't|never|not (?:work|correct|right|do)\w*|fail\w*|compar\w+|bad|naive|for example|example|usage|sketch|"
    r"another (?:way|option|version|variant|style)|other (?:way|option|version|variant|style)s?|variant|optional\w*|if "
    r"you (?:want|need|prefer|would)\w*)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\W*(?:alternat\w+|option\w*|as an? (?:alternative|example)|for (?:comparison|example|reference)|if you)\b",
    re.IGNORECASE,
)
_KINDS = (
    r"(?:original|previous|earlier|old|first|wrong|incorrect|bug\w*|faulty|broken|naive|bad|common|alternative|example)"
)
_OWN_FAULT = re.compile(  # "the previous version had an error": of what was shown, so the next is the answer
    r"\b(?:I|there|it|that|which|above|previous|original|earlier|old|first|code|version|attempt|one|module|draft|answer"
    r"|solution)"
    r"\s+(?:is|was|were|had|has|have|made|contains|contained|fails|failed|did|does|forgot|missed|misses|lacks?|lacked"
    r"|used)"
    rf"\s+(?!(?:the|an?|my|what)?\s*{_KINDS}\s+(?:{_KINDS}\s+)*(?:code|version|one|way|module|draft|attempt)\b"
    rf"|the\s+{_KINDS}\b)\w",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.;!?]\s+")
_NEXT_TASK = re.compile(
    r"<\|?(?:im_start|user|eot_id|im_end|endoftext|/s)\b|^\W*(?:instruction|question|problem|exercise|task|user|human"
    r"|prompt)\b[^\n]{0,20}(?::|$)",
    re.IGNORECASE | re.MULTILINE,
)
_BRANCH = re.compile(r"`(else|elsif|endif)\b")
_CLAUSE = re.compile(r"[.;!?,:]\s+|\n")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_FENCE_OR_SPACE = re.compile(r"[`~]{3,}[ \t]*[\w+#.-]*|[\s*#_>-]+")


def choose_versions(modules: Sequence[CodeUnit], before: Sequence[str], ports: frozenset[str]) -> dict[int, str]:
    """Of modules that share a name all but one, by place, with the reason to drop them.

    ``before``: for each module the text between the one before it and itself. ``ports``: identifiers of the header
    that is asked for. Modules of two branches of one ``ifdef`` are not versions: both are kept or both dropped.
    """
    group, is_answer, is_over, is_branch = 0, True, False, False
    branches: list[tuple[CodeUnit, CodeUnit]] = []
    ranks: dict[str, list[tuple[tuple[bool, bool, bool, bool, int, int], CodeUnit]]] = {}
    for place, (unit, text) in enumerate(zip(modules, before, strict=True)):
        said = _says(text, is_first=place == 0)
        if said is not None:
            group, is_answer = group + 1, said
            is_over |= place > 0 and _NEXT_TASK.search(text) is not None
        directives = _BRANCH.findall(_COMMENT.sub("", text))
        is_branch = directives[-1] != "endif" if directives else is_branch
        if is_branch and unit.name in ranks:
            branches.append((ranks[unit.name][-1][1], unit))
            continue
        rank = (unit.is_closed, ports <= unit.mentions, not unit.is_hollow, is_answer and not is_over, group, -place)
        ranks.setdefault(unit.name, []).append((rank, unit))
    reasons: dict[int, str] = {}
    for versions in ranks.values():
        best = max(rank for rank, _ in versions)
        for rank, unit in versions:
            if rank != best:
                reasons[unit.start] = "module defined again" if unit.is_closed else "unfinished module"
    reasons.update({unit.start: reasons[first.start] for first, unit in branches if first.start in reasons})
    return reasons


def _says(text: str, *, is_first: bool) -> bool | None:
    """Whether ``text`` presents what follows as the answer; None where it does not say, as most comments."""
    comments = " ".join(_COMMENT.findall(text))
    prose = _FENCE_OR_SPACE.sub(" ", _COMMENT.sub("\n", text)).strip()
    if prose or "```" in text or "~~~" in text:
        lines = [line for line in _COMMENT.sub("\n", text).split("\n") if _FENCE_OR_SPACE.sub("", line)]
        verdict = _of_line(lines[-1].strip(" \t:*#")) if lines else None
        return _of_clause(comments) is not False if verdict is None else verdict
    return _of_clause(comments) if comments and not is_first else None


def _of_line(line: str) -> bool | None:
    """The last clause decides, else how its sentence begins."""
    sentence = [part for part in _SENTENCE.split(line) if part.strip()] or [""]
    clauses = [part for part in _CLAUSE.split(sentence[-1]) if part.strip()] or [""]
    verdict = _of_clause(clauses[-1])
    return False if verdict is None and _ASIDE.match(sentence[-1]) else verdict


def _of_clause(clause: str) -> bool | None:
    """The word that comes first decides: a "fixed version of the wrong code" is an answer, "the wrong one, uncorrected"
    is not."""
    if _OWN_FAULT.search(clause):
        return True
    good, beside = _PRESENTS.search(clause), _BESIDE.search(clause)
    if good and beside:
        return good.start() < beside.start()
    return True if good else False if beside else None
