"""Names and headers read off a reference: which module is asked for, and where its port list ends."""

from itertl.tools.verilog_text import Token, modules, tokenize


def derive_header(reference: str) -> str:
    """The text up to and including the ``);`` that closes the port list of the first module.

    ``reference.startswith(derive_header(reference))`` always holds. "" where there is no module, no port list, or the
    list is not closed. Comments, strings, package imports and ``#(…)`` parameters are skipped over.
    """
    spans = modules(reference)
    if not spans:
        return ""
    stream = [token for token in tokenize(reference) if spans[0].start <= token.start < spans[0].end]
    index = 1
    while stream[index].kind not in ("identifier", "escaped"):  # module automatic NAME
        index += 1
    index += 1
    while index < len(stream):
        text = stream[index].text
        if text == "import":
            index = _after(stream, index, ";")
        elif text == "#" and index + 1 < len(stream) and stream[index + 1].text == "(":
            index = _after_parentheses(stream, index + 1)
        elif text == "(":
            index = _after_parentheses(stream, index)
            closed = index < len(stream) and stream[index].text == ";"
            return reference[: stream[index].end] if closed else ""
        elif stream[index].kind == "directive":
            index += 1
        else:
            return ""
    return ""


def _after(stream: list[Token], index: int, text: str) -> int:
    while index < len(stream) and stream[index].text != text:
        index += 1
    return index + 1


def _after_parentheses(stream: list[Token], index: int) -> int:
    """The index after the ``)`` that closes ``stream[index]``; the stream's length where none does."""
    depth = 0
    while index < len(stream):
        depth += (stream[index].text == "(") - (stream[index].text == ")")
        index += 1
        if depth == 0:
            return index
    return index


def derive_top(reference: str) -> str | None:
    """The one module that no other module of the text names; None where there is none, or more than one."""
    spans = modules(reference)
    if len(spans) < 2:
        return spans[0].name if spans else None
    names = {span.name for span in spans}
    used: set[str] = set()
    stream = tokenize(reference)
    for before, token in zip([None, *stream], stream, strict=False):
        name = token.text.removeprefix("\\")
        if token.kind not in ("identifier", "escaped") or name not in names:
            continue
        if before is None or before.text not in ("module", "macromodule", ".", ":", "automatic", "static"):
            used.add(name)
    tops = names - used
    return tops.pop() if len(tops) == 1 else None
