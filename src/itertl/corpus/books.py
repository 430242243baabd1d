"""Books as text: PDF (by pypdf, the extra ``books``) and HTML, and the passages of a book that hold Verilog.

A passage is a window of the text that slides on with an overlap, ends where a paragraph does, and never cuts a module
that fits into it; it is kept where it holds a whole module, or several lines of Verilog. What setting did to code is
mended: typographic quotes, ligatures, hard spaces. Scanned pages have no text and are not read.
"""

import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser

from itertl.corpus.decoding import decoded
from itertl.errors import ToolMissing
from itertl.verilog.text import modules

SUFFIXES = (".pdf", ".html", ".htm", ".xhtml")
MAX_PAGES = 5000
_PAGE = "\f"
_LINES = re.compile(
    r"^[ \t]*(?:assign\b[^\n]*=[^\n]*;|always(?:_comb|_ff|_latch)?\b[^\n]*[@(*]"
    r"|(?:input|output|inout|wire|reg|logic)\b[^\n]*[;,)]"
    r"|endmodule\b|endcase\b|initial\s+begin\b|[\w.\[\]:]+\s*<=[^\n;]*;)",
    re.M,
)
_FEW = 3  # lines of Verilog in a passage without a whole module
_LIGATURES = {
    "ﬀ": "ff",
    "ﬁ": "fi",
    "ﬂ": "fl",
    "ﬃ": "ffi",
    "ﬄ": "ffl",
    "\xa0": " ",
    "\xad": "",
    "\u2028": "\n",
    "\u200b": "",
}
_QUOTE = re.compile(
    r"(?<=\d)[\u2018\u2019\u2032\u00b4`](?=s?[bodhBODH][0-9a-fA-FxXzZ?_])|(?<![\w'])[\u2019](?=[{01xz])"
)
_BACKTICK = re.compile(
    r"[\u2018\u2019](?=(?:timescale|define|include|ifdef|ifndef|else|elsif|endif|undef|default_nettype|resetall)\b)"
)
_STRINGS = re.compile("[\u201c\u201d]")


def read(data: bytes, suffix: str) -> list[str]:
    """The text of each page of a PDF, or of an HTML file as one page. Raises ValueError (why it cannot be read),
    ToolMissing without pypdf."""
    return [_mended(page) for page in (_pdf(data) if suffix == ".pdf" else [_html(data)])]


def _pdf(data: bytes) -> list[str]:
    try:
        import pypdf

        logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    except ImportError as error:
        raise ToolMissing("PDF books need pypdf: pip install 'itertl[books]', or pip install pypdf") from error
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("needs a password")
        if len(reader.pages) > MAX_PAGES:
            raise ValueError(f"has more than {MAX_PAGES} pages")
        pages = [page.extract_text() for page in reader.pages]
    except (MemoryError, ValueError):
        raise
    except Exception as error:  # a broken file fails in pypdf in many ways
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from error
    if not any(page.strip() for page in pages):
        raise ValueError("holds no text; scanned pages are not read")
    return _without_running_heads(pages)


def _without_running_heads(pages: Sequence[str]) -> list[str]:
    """Pages without the first and last lines that most of them share, page numbers aside."""

    def ends(page: str) -> set[str]:
        lines = [line for line in page.split("\n") if line.strip()]
        return {_bare(line) for line in (*lines[:2], *lines[-2:])}

    seen = Counter(line for page in pages for line in ends(page))
    repeated = {line for line, count in seen.items() if count >= max(4, len(pages) // 3)}
    kept: list[str] = []
    for page in pages:
        lines = page.split("\n")
        inner = [n for n, line in enumerate(lines) if line.strip()]
        outer = {n for n in (*inner[:2], *inner[-2:]) if _bare(lines[n]) in repeated}
        kept.append("\n".join(line for n, line in enumerate(lines) if n not in outer))
    return kept


def _bare(line: str) -> str:
    return re.sub(r"\d+", "#", line.strip().casefold())


class _Text(HTMLParser):
    """The text of a page: blocks on lines of their own, code as it is laid out, other white space made single."""

    _BLOCKS = frozenset(
        "p div br li ul ol table tr h1 h2 h3 h4 h5 h6 section article pre blockquote dt dd dl figure hr body".split()
    )
    _LEFT_OUT = frozenset("script style nav head template noscript svg".split())

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._pre = self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self._LEFT_OUT
        self._pre += tag in ("pre", "textarea")
        if tag in self._BLOCKS:
            self.parts.append("\n" if tag in ("br", "tr", "li") or self._pre else "\n\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in self._LEFT_OUT))
        self._pre = max(0, self._pre - (tag in ("pre", "textarea")))
        if tag in self._BLOCKS and tag != "br":
            self.parts.append("\n\n" if tag in ("p", "pre") else "\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data if self._pre else re.sub(r"\s+", " ", data))


_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]+)", re.I)


def _html(data: bytes) -> str:
    text, declared = None, _CHARSET.search(data[:4096])
    if declared and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            text = data.decode(declared.group(1).decode("ascii"))
        except (LookupError, UnicodeDecodeError, ValueError):
            text = None
    if text is None:
        found = decoded(data)
        if found is None:
            raise ValueError("is no text")
        text = found[0]
    parser = _Text()
    parser.feed(text)
    parser.close()
    lines = "".join(parser.parts).replace("\r\n", "\n").split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip("\n") + "\n"


def _mended(text: str) -> str:
    for sign, plain in _LIGATURES.items():
        text = text.replace(sign, plain)
    text = _BACKTICK.sub("`", _QUOTE.sub("'", text))
    text = _STRINGS.sub('"', text)
    return text.replace(_PAGE, "\n").replace("\x00", "")


def passages(pages: Sequence[str], size: int, overlap: int) -> Iterator[tuple[str, str, bool]]:
    """(place, text, whether it holds Verilog) of each window of at most ``size`` characters, or of one
    longer module. ``place``: "pages=3-4", or "part=2" where there is one page. Windows after the first begin up to
    ``overlap`` characters before the end of the one before."""
    text = _PAGE.join(pages)
    spans = [(span.start, span.end) for span in modules(text) if span.is_terminated]
    at, number = 0, 0
    while at < len(text):
        end = _end(text, at, size, spans)
        window = text[at:end].replace(_PAGE, "\n").strip("\n")
        number += 1
        if window.strip():
            first, last = text.count(_PAGE, 0, at) + 1, text.count(_PAGE, 0, end - 1) + 1
            place = f"pages={first}-{last}" if len(pages) > 1 else f"part={number}"
            is_code = any(at <= a and b <= end for a, b in spans)
            yield place, window + "\n", is_code or len(_LINES.findall(window)) >= _FEW
        if end >= len(text):
            return
        at = max(at + 1, _begin(text, end, overlap, spans))


def _end(text: str, at: int, size: int, spans: Sequence[tuple[int, int]]) -> int:
    """Where the window from ``at`` ends: at a paragraph's or line's end, before or after each module."""
    latest = at + size
    if latest >= len(text):
        return len(text)
    inside = next(((a, b) for a, b in spans if a < latest < b), None)
    if inside is not None:
        if inside[0] > at + size // 4:
            latest = inside[0]
        elif inside[0] <= at or inside[1] - at <= 2 * size:
            return inside[1]
        else:
            return inside[0]
    lowest = max([at + size // 2, *(b for a, b in spans if b <= latest and b > at)])
    for sign in ("\n\n", _PAGE, "\n"):
        found = text.rfind(sign, lowest, latest)
        if found > at:
            return found + len(sign)
    return latest


def _begin(text: str, end: int, overlap: int, spans: Sequence[tuple[int, int]]) -> int:
    """Where the next window begins: at a line's beginning, within the overlap and in no module."""
    begin = text.find("\n", max(0, end - overlap), end) + 1 or end
    inside = next(((a, b) for a, b in spans if a < begin < b), None)
    return begin if inside is None else min(end, inside[1])
