"""Which licence a text is under: SPDX lines and licence texts in its comments, licence files of the nearest folder.

What is found in the file itself counts for it; several licences of one place are joined by AND, because nothing says
that one of them may be chosen. Names are SPDX's; what SPDX has no name for is a ``LicenseRef``. A wording that nothing
here knows is "unknown".
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

UNKNOWN = "unknown"
PROPRIETARY = "LicenseRef-proprietary"
RESERVED = "LicenseRef-all-rights-reserved"
EVIDENCE_CHARS = 120

PERMISSIVE = frozenset(
    """
    0BSD AFL-3.0 Apache-1.1 Apache-2.0 Artistic-2.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause
    BSD-3-Clause-Clear BSD-4-Clause BSL-1.0 CC-BY-3.0 CC-BY-4.0 CC0-1.0 CERN-OHL-P-2.0 ECL-2.0 ISC MIT MIT-0
    MulanPSL-2.0 NCSA SHL-0.5 SHL-0.51 SHL-2.0 SHL-2.1 UPL-1.0 Unlicense WTFPL X11 Zlib LicenseRef-BSD
    LicenseRef-public-domain
    """.split()
)
_OTHERS = """
    AGPL-3.0-only AGPL-3.0-or-later CC-BY-NC-4.0 CC-BY-NC-SA-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CERN-OHL-1.2 CERN-OHL-S-2.0
    CERN-OHL-W-2.0 EPL-1.0 EPL-2.0 EUPL-1.2 GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MPL-1.1 MPL-2.0 OHL-1.0 TAPR-OHL-1.0
""".split()
KNOWN = frozenset((*PERMISSIVE, *_OTHERS, PROPRIETARY, RESERVED, UNKNOWN))
_SPELLED: dict[str, str] = {name.casefold(): name for name in KNOWN}
# the names that SPDX has given up
_SPELLED |= {f"{n}-{v}".casefold(): f"{n}-{v}-only" for n, v in (("AGPL", "3.0"), ("GPL", "2.0"), ("GPL", "3.0"),
                                                                ("LGPL", "2.1"), ("LGPL", "3.0"))}  # fmt: skip
_SPELLED |= {f"{old[:-5]}+".casefold(): f"{old[:-5]}-or-later" for old in _OTHERS if old.endswith("-only")}

SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9(][\w.+ \t()-]{0,100}[\w.+)])")

_KEY = re.compile(r"^[^\w\n]*licen[sc]e[ \t]*[:=][ \t]*([\w.+-]*[\w+])[ \t.*/]*$", re.I | re.M)

# phrases of words as ``_words`` leaves them; a text holds a licence where it has its phrase
_TEXTS: tuple[tuple[str, str], ...] = (
    ("Apache-2.0", "apache license version 2.0"),
    ("Apache-2.0", "apache license 2.0"),
    ("Apache-1.1", "apache software license version 1.1"),
    ("BSL-1.0", "granted free of charge to any person or organization obtaining a copy of the software"),
    ("MIT", "permission is hereby granted free of charge to any person obtaining a copy of this software"),
    ("MIT", "permission is hereby granted free of charge to any person obtaining a copy of this hardware"),
    ("MIT", "under the mit license"),
    ("MIT", "under the terms of the mit license"),
    ("Apache-2.0", "apache license v2.0"),
    ("Apache-2.0", "under apache 2.0"),
    ("Apache-2.0", "under the apache 2.0"),
    ("LicenseRef-BSD", "under the bsd license"),
    ("Unlicense", "this is free and unencumbered software released into the public domain"),
    ("CC0-1.0", "cc0 1.0 universal"),
    ("CC0-1.0", "creative commons zero"),
    ("WTFPL", "do what the fuck you want to"),
    ("Zlib", "altered source versions must be plainly marked as such"),
    ("NCSA", "university of illinois ncsa open source license"),
    ("MulanPSL-2.0", "mulan psl v2"),
    ("Artistic-2.0", "artistic license 2.0"),
    ("CERN-OHL-P-2.0", "cern open hardware licence version 2 permissive"),
    ("CERN-OHL-W-2.0", "cern open hardware licence version 2 weakly reciprocal"),
    ("CERN-OHL-S-2.0", "cern open hardware licence version 2 strongly reciprocal"),
    ("CERN-OHL-P-2.0", "cern ohl p v2"),
    ("CERN-OHL-W-2.0", "cern ohl w v2"),
    ("CERN-OHL-S-2.0", "cern ohl s v2"),
    ("CERN-OHL-1.2", "cern open hardware licence v1.2"),
    ("CERN-OHL-1.2", "cern ohl v.1.2"),
    ("TAPR-OHL-1.0", "tapr open hardware license"),
    ("EPL-2.0", "eclipse public license v 2.0"),
    ("EPL-2.0", "eclipse public license 2.0"),
    ("EPL-1.0", "eclipse public license v 1.0"),
    ("EPL-1.0", "eclipse public license v1.0"),
    ("LicenseRef-public-domain", "released into the public domain"),
    ("LicenseRef-public-domain", "is in the public domain"),
    ("LicenseRef-public-domain", "placed in the public domain"),
    ("LicenseRef-public-domain", "dedicated to the public domain"),
    ("LicenseRef-OpenCores", "this source file may be used and distributed without restriction provided that this"),
)  # fmt: skip
_BSD = "redistribution and use in source and binary forms"
_ISC = re.compile(r"permission to use copy modify and (?:or )?distribute this (?:software|hardware|file)")
_GNU = re.compile(r"gnu (affero general|lesser general|library general|general) public licen[sc]e")
_GNU_NAMES = {"affero general": "AGPL", "lesser general": "LGPL", "library general": "LGPL", "general": "GPL"}
_GPL_SHORT = re.compile(
    r"\b(?:licen[sc]ed?|released|distributed|terms of)\b(?: \w+){0,4} (a|l)?gpl ?v?(2\.1|2|3)?(?:\.0)?(\+)?(?![\w.])"
)
_MPL = re.compile(r"mozilla public licen[sc]e(?: \w+)?(?: v| version)? ?v?\.? ?(1\.1|2\.0)")
_SOLDERPAD = re.compile(r"solderpad hardware licen[sc]e(?: \w+)? (?:v|version) ?(0\.51|0\.5|2\.0|2\.1)")
_CREATIVE = re.compile(
    r"creative commons attribution( non ?commercial)?( no ?deriv\w*)?( share ?alike)?(?: licen[sc]e)?"
    r" (\d\.\d)(?: international| unported| generic)?"
)
_OWNED = re.compile(
    r"\b(?:proprietary (?:information|rights|property|and|to|notice|material|technology|data|code|software|source)"
    r"|(?:is|are) proprietary|trade secrets?|confidential (?:and proprietary|information|material|property)"
    r"|(?:strictly|company) confidential|unpublished work|strictly prohibited"
    r"|license agreement|without (?:the )?(?:express |prior )+written (?:permission|consent)"
    r"|may not be (?:copied|reproduced|disclosed))\b"
)
_LATER = ("any later version", "or later", "or newer", "or at your option any later")


@dataclass(frozen=True, slots=True)
class Found:
    """A licence and the words that show it. Example: ``Found("MIT", "line 3: SPDX-License-Identifier: MIT")``."""

    licence: str
    evidence: str


def _words(text: str) -> str:
    """Case-folded words with single spaces; comment marks and punctuation gone, full stops inside numbers kept."""
    return " ".join(re.findall(r"[a-z0-9]+(?:\.\d+)*\+?", text.casefold()))


def in_text(text: str, where: str) -> list[Found]:
    """The licences that a text says it is under, or is the text of; each once, by name."""
    found: dict[str, Found] = {}
    for match in SPDX.finditer(text):
        name = canonical(match.group(1))
        line = text.count("\n", 0, match.start()) + 1
        found.setdefault(name, Found(name, f"{where}:{line}: {match.group()}"[:EVIDENCE_CHARS]))
    for match in _KEY.finditer(text):
        if (name := canonical(match.group(1))) in KNOWN and name not in found:
            found[name] = Found(name, f"{where}: {match.group().strip()}"[:EVIDENCE_CHARS])
    words = _words(text)
    named = dict(_by_phrase(words))
    for name, phrase in sorted(named.items()):
        if not any(_same_family(name, other) for other in found):
            found[name] = Found(name, f"{where}: {phrase}"[:EVIDENCE_CHARS])
    if not found and (owned := _OWNED.search(words)):
        found[PROPRIETARY] = Found(PROPRIETARY, f"{where}: {owned.group().strip()}")
    elif not found and "all rights reserved" in words:
        found[RESERVED] = Found(RESERVED, f"{where}: all rights reserved")
    return [found[name] for name in sorted(found)]


def _same_family(name: str, other: str) -> bool:
    """Whether a phrase says again, perhaps less exactly, what an SPDX line says."""
    return any(part.split("-")[0] == name.split("-")[0] for part in re.split(r"[\s()]+", other) if part)


def _by_phrase(words: str) -> Iterable[tuple[str, str]]:
    """(licence, words that show it)."""
    for name, phrase in _TEXTS:
        if phrase in words:
            yield name, phrase
    if _BSD in words:
        yield _bsd(words), _BSD
    isc = _ISC.search(words)
    if isc:
        yield ("ISC" if "above copyright notice" in words else "0BSD"), isc.group()
    gnu = _GNU.search(words)
    if gnu:
        yield from _gnu(words, gnu)
    for pattern, name in ((_MPL, "MPL"), (_SOLDERPAD, "SHL")):
        if match := pattern.search(words):
            yield f"{name}-{match.group(1)}", match.group()
    match = _GPL_SHORT.search(words)
    if match and not gnu:
        name, is_later = f"{(match.group(1) or '').upper()}GPL", bool(match.group(3))
        is_later = is_later or any(phrase in words[match.end() : match.end() + 60] for phrase in _LATER)
        number = {None: "", "2": "2.1" if name == "LGPL" else "2.0", "3": "3.0"}.get(match.group(2), "2.1")
        ending = "or-later" if is_later else "only"
        yield f"{name}-{number}-{ending}" if number else f"LicenseRef-{name}", match.group()
    if match := _CREATIVE.search(words):
        parts = ["CC-BY", *(name for name, part in zip(("NC", "ND", "SA"), match.groups()[:3], strict=True) if part)]
        yield f"{'-'.join(parts)}-{match.group(4)}", match.group()


def _bsd(words: str) -> str:
    if "all advertising materials mentioning features" in words:
        return "BSD-4-Clause"
    if "no express or implied licenses to any party s patent rights" in words:
        return "BSD-3-Clause-Clear"
    endorses = (
        "neither the name",
        "may not be used to endorse",
        "may be used to endorse",
        "must not be used to endorse",
    )
    return "BSD-3-Clause" if any(phrase in words for phrase in endorses) else "BSD-2-Clause"


def _gnu(words: str, match: re.Match[str]) -> Iterable[tuple[str, str]]:
    """The first GNU licence that is named, with its version; a whole licence's text names the others later on."""
    name, near = _GNU_NAMES[match.group(1)], words[max(0, match.start() - 120) : match.end() + 400]
    version = re.search(r"\b(?:version|v) ?(3|2\.1|2)(?:\.0)?\b", words[match.end() : match.end() + 400])
    version = version or re.search(r"\bversion (3|2\.1|2)(?:\.0)?\b", near)
    number = version.group(1) if version else ("2.1" if name == "LGPL" else "2")
    number = "2.1" if name == "LGPL" and number == "2" else number
    is_whole = "everyone is permitted to copy and distribute verbatim copies" in words
    is_later = not is_whole and any(phrase in near for phrase in _LATER)
    full = f"{number}.0" if "." not in number else number
    yield (
        f"{name}-{full}-{'or-later' if is_later else 'only'}",
        match.group() + (f" {version.group()}" if version else ""),
    )


def canonical(expression: str) -> str:
    """An SPDX expression with its names and operators as SPDX spells them; unknown names stay."""
    parts: list[str] = re.findall(r"[()]|[\w.+-]+", expression)
    spelled = [p.upper() if p.upper() in ("AND", "OR", "WITH") else _SPELLED.get(p.casefold(), p) for p in parts]
    return " ".join(spelled).replace("( ", "(").replace(" )", ")")


def joined(found: Iterable[Found]) -> str:
    """One expression for all licences that were found in one place; ``UNKNOWN`` for none."""
    names = sorted({one.licence for one in found})
    parts = [f"({name})" if len(names) > 1 and " OR " in name else name for name in names]
    return " AND ".join(parts) or UNKNOWN


def permits(expression: str, allowed: Collection[str]) -> bool:
    """Whether an expression can be met by licences of ``allowed`` alone: any side of OR, all sides of AND.

    An exception (WITH) only permits more. What is not an expression is met by nothing.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    names = {name.casefold() for name in allowed}
    try:
        value, at = _met(tokens, 0, names, ("OR", "AND"))
    except IndexError:
        return False
    return value and at == len(tokens)


def _met(tokens: list[str], at: int, names: Collection[str], operators: Sequence[str]) -> tuple[bool, int]:
    """Whether the expression at ``at``, joined by ``operators`` (the loosest first), is met, and where it ends. Raises
    IndexError where it does not."""
    if not operators:
        return _one(tokens, at, names)
    operator, *tighter = operators
    values: list[bool] = []
    while not values or (at < len(tokens) and tokens[at].upper() == operator):
        value, at = _met(tokens, at + bool(values), names, tighter)
        values.append(value)
    return (any(values) if operator == "OR" else all(values)), at


def _one(tokens: list[str], at: int, names: Collection[str]) -> tuple[bool, int]:
    """A name, or an expression in brackets."""
    if tokens[at] == "(":
        value, at = _met(tokens, at + 1, names, ("OR", "AND"))
        if tokens[at] != ")":
            raise IndexError
        return value, at + 1
    value = tokens[at].casefold() in names
    return value, at + (3 if tokens[at + 1 : at + 2] and tokens[at + 1].upper() == "WITH" else 1)
