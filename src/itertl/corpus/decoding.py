"""Bytes of unknown encoding as text: UTF-8 and UTF-16 by their marks and form, old code pages by what they hold."""

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CODE_PAGES = ["gb18030", "big5", "shift_jis", "euc_kr", "cp1251", "cp1252"]
_FEW = 12  # bytes beyond ASCII that are too few to tell code pages apart
_GB2312 = re.compile(rb"(?:[\xb0-\xd7\xa1\xa3][\xa1-\xfe])+")  # its frequent characters and punctuation
_HIGH = re.compile(rb"[\x80-\xff]+")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")


def decoded(data: bytes) -> tuple[str, str] | None:
    """(text with LF as its line ends, encoding); None where the bytes are no text."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _by_form(data)
    for name in (encoding, "utf-8"):
        text = _strict(data, name) if name else None
        if text is not None and name is not None:
            break
    else:
        if b"\x00" in data:
            return None
        name = _code_page(data)
        text = data.decode(name, "replace")
    if len(_CONTROL.findall(text)) > len(text) // 200:
        return None
    text = _CONTROL.sub("", text.replace("\ufeff", "")).replace("\r\n", "\n").replace("\r", "\n")
    return text, name.removesuffix("-sig")


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, ValueError):
        return None


def _by_form(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of its ASCII is 0."""
    head = data[:1000]
    if head.count(0) < len(head) // 4:
        return None
    return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"


def _code_page(data: bytes) -> str:
    high = _HIGH.findall(data)
    if all(len(run) == 1 for run in high):  # accents and signs between ASCII letters
        return "cp1252"
    if sum(map(len, high)) <= _FEW and all(_GB2312.fullmatch(run) for run in high):
        return "gb18030"
    from charset_normalizer import from_bytes

    best = from_bytes(data[: 1 << 16], cp_isolation=_CODE_PAGES).best()
    return "cp1252" if best is None else best.encoding
