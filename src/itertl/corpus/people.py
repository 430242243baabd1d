"""Takes people's names and addresses, and notices of copyright and licence, out of a text's comments.

The licence stays as an SPDX line at the head, where the text itself said which. Code is never touched: the tokens of
the text are the same before and after. What is not found: a name in running prose, or in a table of changes.
"""

import re
from collections.abc import Iterator

from itertl.problems.verilog_folder import ADDRESS, NAME, NOTICE, PEOPLE
from itertl.verilog.text import comments

_KEYED = re.compile(
    r"^\W*(?:(?:engineers?|designers?|maintainers?|contributors?|e-?mails?)\s*[:=]|@?(?:authors?|copyright)\b\s*[:=\s]"
    r"|(?:originally |last )?(?:written|modified|created|changed|updated|edited|designed|coded|copyright) by\b"
    r"|\(c\)|©|copyright\b|\$(?:author|id|header|log)\b|作者|版权|设计者|修改者|spdx-filecopyrighttext)",
    re.I,
)
_BY_NAME = re.compile(r"^\W*by:?\s+[A-Z][\w.'-]*(?:\s+[A-Z][\w.'-]*){0,3}\W*$")
_PART = r"[A-Za-z0-9-]{1,63}"
_DOT = r"(?:\.|\s?[(\[]dot[)\]]\s?)"
_MAIL = re.compile(
    rf"<?\b[\w.+-]{{1,64}}(?:@|\s?[(\[]at[)\]]\s?){_PART}(?:{_DOT}{_PART}){{0,5}}{_DOT}[A-Za-z]{{2,20}}\b>?"
    rf"|\b[\w.+-]{{1,64}} at {_PART}(?: dot {_PART}){{0,5}} dot [A-Za-z]{{2,20}}\b"
)
# how a paragraph on licence or copyright begins, which its own words below show to be one
_OPENS = re.compile(
    r"permission|redistribution|this (?:source )?(?:file|code|program|software|work|design|hardware|library)\b"
    r"|you (?:may|can)|the above|licensed|all rights|released",
    re.I,
)
_SPDX_LINE = re.compile(r"SPDX-License-Identifier:")
_BLANK = re.compile(r"^[\s*]*$")
_EMPTY = re.compile(r"^[\s/*#=+~_.|\-]*$")


def without_people(text: str, licence: str | None) -> tuple[str, int]:
    """(``text`` without names, addresses and notices in its comments, how many lines lost something).

    ``licence``: what the text says of itself, an SPDX expression; it then begins with that line. None: it says nothing.
    """
    pieces, at, removed = [], 0, 0
    for first, last in _blocks(text):
        kept, lost = _cleaned(text[first:last])
        pieces += [text[at:first], kept]
        removed += lost
        at = last
    cleaned = "".join([*pieces, text[at:]])
    if removed:
        cleaned = re.sub(r"\n{4,}", "\n\n\n", cleaned).lstrip("\n")
    if licence is not None and not _SPDX_LINE.search(cleaned[:2000]):
        cleaned = f"// SPDX-License-Identifier: {licence}\n{cleaned}"
    return cleaned, removed


def without_addresses(text: str) -> tuple[str, int]:
    """(a book's ``text`` without e-mail addresses, how many lines lost one)."""
    lines = text.split("\n")
    cleaned = [_MAIL.sub("", line) for line in lines]
    return "\n".join(cleaned), sum(a != b for a, b in zip(lines, cleaned, strict=True))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Spans of comments that only white space stands between: a line comment's block goes on over the next lines."""
    begun: tuple[int, int] | None = None
    for start, end in comments(text):
        if begun is not None:
            are_lines = text.startswith("//", begun[0]) and text.startswith("//", start)
            if are_lines and not text[begun[1] : start].strip():
                begun = (begun[0], end)
                continue
            yield begun
        begun = (start, end)
    if begun is not None:
        yield begun


def _cleaned(block: str) -> tuple[str, int]:
    """One block of comments without what is of people; how many lines lost something."""
    is_block = block.startswith("/*")
    tail = "*/" if is_block and block.endswith("*/") else ""
    lines = block.removesuffix(tail).split("\n") if tail else block.split("\n")
    drop = _people(lines) | _notices(lines)
    kept, lost = list[str](), 0
    for number, line in enumerate(lines):
        changed = "" if number in drop else _MAIL.sub("", line)
        lost += changed != line
        if number not in drop:
            kept.append(changed.rstrip() if changed != line else line)
        elif number == 0 and is_block:
            kept.append("/*")
    if not lost:
        return block, 0
    if all(_EMPTY.match(line) for line in kept):
        return (" " if is_block else ""), lost
    inner = [line for n, line in enumerate(kept) if not (n and _BLANK.match(line) and _BLANK.match(kept[n - 1]))]
    return "\n".join(inner) + tail, lost


def _people(lines: list[str]) -> set[int]:
    """Lines of names: those with a key, the names that go on below one, addresses."""
    found: set[int] = set()
    key: re.Match[str] | None = None
    for number, line in enumerate(lines):
        if _SPDX_LINE.search(line):
            key = None
            continue
        indent = len(line) - len(line.lstrip(" \t*/"))
        if key is not None and NAME.match(line) and (not key[3].strip() or indent > len(key[1]) + 2):
            found.add(number)
            continue
        key = PEOPLE.match(line)
        if key is not None or _KEYED.match(line) or _BY_NAME.match(line) or ADDRESS.match(line):
            found.add(number)
    return found


def _notices(lines: list[str]) -> set[int]:
    """Lines of paragraphs on copyright and licence: from the line that begins to speak of it to the paragraph's end."""
    found: set[int] = set()
    paragraph: list[int] = []
    for number in range(len(lines) + 1):
        if number < len(lines) and not _EMPTY.match(lines[number]):
            paragraph.append(number)
            continue
        speaks = [n for n in paragraph if NOTICE.search(lines[n]) and not _SPDX_LINE.search(lines[n])]
        if speaks:
            first = next(n for n in paragraph if n == speaks[0] or _OPENS.search(lines[n]))
            found |= {n for n in paragraph if n >= first and not _SPDX_LINE.search(lines[n])}
        paragraph = []
    return found
