"""A model's changes to a design as SEARCH/REPLACE blocks, in place of the whole text once more.

A block's search text is looked for as whole lines (spaces at their ends do not count), then without their indentation,
then as a part of a line between other words. It must stand at one place.
"""

import re
from dataclasses import dataclass

from itertl.records import Candidate
from itertl.scoring.item import has_module
from itertl.verilog.extract import THOUGHT, extract
from itertl.verilog.text import unix_lines

REVISION = 1  # of how blocks are read and applied
# an example, for small models copy what only stands for lines
REQUEST = """Answer with blocks that change the last code, and with nothing else. A block looks like this one, which \
would change a line "assign y = a;":
<<<<<<< SEARCH
assign y = a;
=======
assign y = ~a;
>>>>>>> REPLACE"""
_BLOCK = re.compile(
    r"^[ \t]*<{5,9}[ \t]*SEARCH[^\n]*\n(?P<search>.*?)^[ \t]*={5,9}[ \t]*\n(?P<replace>.*?)"
    r"^[ \t]*>{5,9}[ \t]*REPLACE[^\n]*$",
    re.MULTILINE | re.DOTALL,
)
_BEGINNING = re.compile(r"^[ \t]*<{5,9}[ \t]*SEARCH", re.MULTILINE)
_SHOWN = 60  # characters of a block that a message names


@dataclass(frozen=True, slots=True)
class Edited:
    """The code that an answer amounts to, and what of it could not be used: "" where all could."""

    code: str
    trouble: str = ""


def answer_text(candidate: Candidate) -> str:
    """What the model wrote, without its thoughts."""
    text = candidate.text
    for dropped in candidate.dropped:
        if dropped.reason == THOUGHT:
            text = text.replace(dropped.text, "\n", 1)
    return text


def edited(code: str, text: str, *, header: str = "", top: str | None = None) -> Edited:
    """``code`` with the blocks of ``text``, all of them; or a whole module that ``text`` holds in their place.

    Where a block does not apply and there is no such module, the code stays as it is. Never raises.
    """
    text = unix_lines(text.replace("\r\n", "\n"))
    changed, trouble = _applied(code.replace("\r\n", "\n"), text)
    if not trouble:
        return Edited(changed)
    whole = _BLOCK.sub("\n", text)
    found = extract(whole, header=header, top=top).code if has_module(whole) and "endmodule" in whole else ""
    return Edited(found) if found else Edited(code, trouble)


def _applied(code: str, text: str) -> tuple[str, str]:
    blocks = list(_BLOCK.finditer(text))
    if not blocks:
        cut = _BEGINNING.search(text) is not None
        return code, "The block is not complete." if cut else "There is no SEARCH/REPLACE block in the answer."
    for number, block in enumerate(blocks, 1):
        places = _places(code, block["search"])
        if len(places) != 1:
            first = next((line.strip() for line in block["search"].splitlines() if line.strip()), "")
            why = "its lines are not in the code" if not places else f"its lines stand at {len(places)} places"
            why = why if first else "it searches for nothing"
            return code, f"Block {number} ({first[:_SHOWN]!r}) does not apply: {why}."
        [(start, end)] = places
        new = block["replace"] if code[start:end].endswith("\n") else block["replace"].removesuffix("\n")
        code = code[:start] + new + code[end:]
    if len(blocks) < len(_BEGINNING.findall(text)):
        return code, f"Block {len(blocks) + 1} is not complete."
    if not has_module(code):
        return code, "What the blocks leave is not a module."
    return code, ""


def _places(code: str, search: str) -> list[tuple[int, int]]:
    """Where ``search`` stands: (start, end) in ``code``, of the first of the three readings that finds any."""
    wanted = search.strip("\n").split("\n")
    if not search.strip():
        return []
    lines = code.splitlines(keepends=True)
    ends = [0]
    for line in lines:
        ends.append(ends[-1] + len(line))
    for bare in (str.rstrip, str.strip):
        target = [bare(line) for line in wanted]
        have = [bare(line) for line in lines]
        found = [n for n in range(len(have) - len(target) + 1) if have[n : n + len(target)] == target]
        if found:
            return [(ends[n], ends[n + len(target)]) for n in found]
    part = search.strip()
    return [(m.start(), m.end()) for m in re.finditer(rf"(?<!\w){re.escape(part)}(?!\w)", code)]
