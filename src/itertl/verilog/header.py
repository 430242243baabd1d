"""Names and headers read off a reference: which module is asked for, and where its port list ends."""

import itertools
from collections.abc import Sequence

from itertl.verilog.text import NAME_KINDS, SIMULATION_TASKS, ModuleSpan, Token, modules, tokenize


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
    while stream[index].kind not in NAME_KINDS:  # module automatic NAME
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


def _after(stream: Sequence[Token], index: int, text: str) -> int:
    while index < len(stream) and stream[index].text != text:
        index += 1
    return index + 1


def _after_parentheses(stream: Sequence[Token], index: int) -> int:
    """The index after the ``)`` that closes ``stream[index]``; the stream's length where none does."""
    depth = 0
    while index < len(stream):
        depth += (stream[index].text == "(") - (stream[index].text == ")")
        index += 1
        if depth == 0:
            return index
    return index


def derive_top(reference: str) -> str | None:
    """The module that the others serve: of those that are not testbenches the one that no other instantiates.

    None where there is none, or more than one. A module that instantiates itself, or has a signal of its name, still
    counts.
    """
    spans = modules(reference)
    if len({span.name for span in spans}) < 2:
        return spans[0].name if spans else None
    used = instances(reference, spans)
    benches = {span.name for span in spans if is_testbench(reference[span.start : span.end])}
    designs = {span.name for span in spans} - benches
    served = {inner for outer, inner in used if outer != inner and outer in designs}
    tops = designs - served
    return tops.pop() if len(tops) == 1 else None


def instances(text: str, spans: Sequence[ModuleSpan]) -> set[tuple[str, str]]:
    """(module, name of what it instantiates) for every instance in ``text``, also of modules that are not in it.

    An instance is a name before ``#(`` or before another name and ``(`` or ``[``, where a statement begins.
    """
    found: set[tuple[str, str]] = set()
    stream = tokenize(text)
    for span in spans:
        inner = [token for token in stream if span.start <= token.start < span.end]
        for at in range(1, len(inner) - 2):
            before = inner[at - 1]
            is_labelled = at > 1 and inner[at - 2].text == ":"
            begins = before.text in _BEFORE_STATEMENT or before.kind == "directive" or is_labelled
            if begins and inner[at].kind in NAME_KINDS and _instantiates(inner, at):
                found.add((span.name, inner[at].text.removeprefix("\\")))
    return found


_BEFORE_STATEMENT = frozenset("; begin end else ) endfunction endtask generate endgenerate endcase *)".split())


def _instantiates(stream: Sequence[Token], at: int) -> bool:
    after = stream[at + 1 : at + 3]
    if after[0].text == "#":
        return after[1].text == "("
    return after[0].kind in NAME_KINDS and after[1].text in ("(", "[")


def is_testbench(module: str) -> bool:
    """Whether the text of one module is a testbench: it drives or prints by itself, and has no ports, or ends the run
    and instantiates what it tests."""
    stream = tokenize(module)
    if any(token.text in ("$finish", "$stop") for token in stream) and any(instances(module, modules(module))):
        return True
    names = [n for n, token in enumerate(stream) if token.kind in NAME_KINDS]
    if not names or not any(token.text == "initial" or token.text in SIMULATION_TASKS for token in stream):
        return False
    at = names[0] + 1
    while at < len(stream) and stream[at].text == "import":
        at = _after(stream, at, ";")
    if at + 1 < len(stream) and stream[at].text == "#" and stream[at + 1].text == "(":
        at = _after_parentheses(stream, at + 1)
    return at < len(stream) and (stream[at].text == ";" or [t.text for t in stream[at : at + 2]] == ["(", ")"])


def with_top_first(reference: str, top: str | None) -> str:
    """``reference`` with its module ``top`` before its other modules, whose order Verilog leaves open.

    Unchanged where it is first already, or where a directive or declaration stands between the modules, whose place
    matters.
    """
    spans = modules(reference)
    chosen = next((span for span in spans if span.name == top), None)
    if chosen is None or chosen is spans[0]:
        return reference
    between = "".join(reference[a.end : b.start] for a, b in itertools.pairwise(spans))
    inside = any(
        t.kind == "directive" and t.text in _ORDERED for t in tokenize(reference[spans[0].start : spans[-1].end])
    )
    if tokenize(between) or inside or not all(span.is_terminated for span in spans):
        return reference
    rest = [reference[span.start : span.end] for span in spans if span is not chosen]
    ordered = "\n\n".join([reference[chosen.start : chosen.end], *rest])
    return reference[: spans[0].start] + ordered + reference[spans[-1].end :]


_ORDERED = frozenset("`define `undef `ifdef `ifndef `else `elsif `endif `include `default_nettype `timescale".split())
