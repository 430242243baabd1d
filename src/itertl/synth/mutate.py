"""One-point mutants of a reference: the proof that a testbench has teeth.

Works on text: operators, constants, edges, conditions and branches of the first module's body, with its header, its
comments and its declared ranges left alone. A mutant need not compile, and may be equivalent to the reference;
callers try several.
"""

import random
import re
from collections.abc import Iterator

_SWAPS = {
    "+": "-", "-": "+", "&": "|", "|": "&", "^": "&", "==": "!=", "!=": "==", "<": ">=", ">": "<=", ">=": "<",
    "&&": "||", "||": "&&", "<<": ">>", ">>": "<<", ">>>": ">>", "~": "", "!": "", "*": "+", "%": "/", "/": "*",
    "~^": "^", "^~": "^", "~&": "&", "~|": "|", "posedge": "negedge", "negedge": "posedge",
}  # fmt: skip
_TOKEN = re.compile(
    r"(?P<skip>//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<range>\[[^\[\]]*:[^\[\]]*\])"
    r"|(?P<sensitivity>@\s*\(\s*\*\s*\)|@\s*\*)"
    r"|(?P<number>\d*\s*'s?[bdhBDH][0-9a-fA-F_]+|(?<![\w$.'])\d+(?![\w']))"
    r"|(?P<operator>>>>|<<|>>|==|!=|<=|>=|&&|\|\||~\^|\^~|~&|~\||[+\-*/%&|^<>~!]|\b(?:pos|neg)edge\b)",
    re.DOTALL,
)
_ASSIGNED = re.compile(r"(?<![<>=!])(?:<=|=)(?!=)\s*(?P<value>[^;=<>]+(?:(?:[<>=!]=|[<>]+)[^;=<>]+)*);")


def body_span(reference: str) -> tuple[int, int]:
    """Where the first module's body starts and ends. ``(0, len)`` of a text without a module."""
    start = re.search(r"\bmodule\b", reference)
    if start is None:
        return 0, len(reference)
    depth, position = 0, start.end()
    while position < len(reference):
        sign = reference[position]
        depth += (sign == "(") - (sign == ")")
        position += 1
        if sign == ";" and depth == 0:
            break
    end = reference.find("endmodule", position)
    return position, end if end >= 0 else len(reference)


def mutants(reference: str, rng: random.Random) -> Iterator[str]:
    """Distinct one-point mutants in an order drawn from ``rng``; finite, none equal to ``reference``."""
    start, end = body_span(reference)
    body = reference[start:end]
    edits = [*_token_edits(body, rng), *_condition_edits(body), *_branch_edits(body), *_inversions(body)]
    rng.shuffle(edits)
    seen = {reference}
    for low, high, text in edits:
        mutant = reference[: start + low] + text + reference[start + high :]
        if mutant not in seen:
            seen.add(mutant)
            yield mutant


_Edit = tuple[int, int, str]  # replace body[low:high] by the text


def _token_edits(body: str, rng: random.Random) -> Iterator[_Edit]:
    for found in _TOKEN.finditer(body):
        low, high = found.span()
        if found["number"]:
            yield low, high, _other_number(found["number"], rng)
        elif found["operator"]:
            if found["operator"] != "<=":  # it may be an assignment: _comparisons has those that are not
                yield low, high, _SWAPS[found["operator"]]
            elif _in_parentheses(body, low):
                yield low, high, ">"


def _in_parentheses(body: str, position: int) -> bool:
    statement = max(body.rfind(";", 0, position), body.rfind("begin", 0, position))
    return body.count("(", statement + 1, position) > body.count(")", statement + 1, position)


def _other_number(number: str, rng: random.Random) -> str:
    """The same kind of literal with one bit turned, within its width."""
    if "'" not in number:
        return str(int(number) + 1)
    size, _, rest = number.partition("'")
    sign, rest = ("s", rest[1:]) if rest[0] == "s" else ("", rest)
    base, digits = rest[0], rest[1:].replace("_", "")
    try:
        value = int(digits, {"b": 2, "d": 10, "h": 16}[base.lower()])
    except ValueError:  # digits of another base: no number
        return number
    width = int(size) if size.strip() else max(1, value.bit_length())
    value ^= 1 << rng.randrange(max(1, width))
    shown = format(value, {"b": f"0{len(digits)}b", "d": "d", "h": f"0{len(digits)}x"}[base.lower()])
    return f"{size}'{sign}{base}{shown}"


def _closing(body: str, opening: int) -> int:
    """Position of the parenthesis that closes the one at ``opening``, or -1."""
    depth = 0
    for position in range(opening, len(body)):
        depth += (body[position] == "(") - (body[position] == ")")
        if depth == 0:
            return position
    return -1


def _condition_edits(body: str) -> Iterator[_Edit]:
    """``if (c)`` becomes ``if (!(c))``: both branches swap."""
    for found in re.finditer(r"\bif\s*\(", body):
        close = _closing(body, found.end() - 1)
        if close > 0:
            yield found.end(), close, f"!({body[found.end() : close]})"


def _branch_edits(body: str) -> Iterator[_Edit]:
    """``c ? a : b`` becomes ``c ? b : a``."""
    for position, sign in enumerate(body):
        if sign != "?":
            continue
        colon = _arm_end(body, position + 1, ":")
        end = _arm_end(body, colon + 1, ";") if colon > 0 else -1
        if end > 0:
            left, right = body[position + 1 : colon].strip(), body[colon + 1 : end].strip()
            yield position + 1, end, f" ({right}) : ({left})"


def _arm_end(body: str, start: int, stop: str) -> int:
    """Where an arm of ``c ? a : b`` ends: at ``stop``, or where the enclosing bracket closes; -1: nowhere."""
    depth = nested = 0
    for position in range(start, len(body)):
        sign = body[position]
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth < 0:
                return position if stop == ";" else -1
        elif depth == 0 and sign == "?":
            nested += 1
        elif depth == 0 and sign == ":" and stop == ":":
            if nested == 0:
                return position
            nested -= 1
        elif depth == 0 and (sign == ";" or (sign == "," and stop == ";")):
            return position if stop == ";" else -1
    return -1


def _inversions(body: str) -> Iterator[_Edit]:
    """``y = e;`` becomes ``y = ~(e);``."""
    for found in _ASSIGNED.finditer(body):
        yield found.start("value"), found.end("value"), f"~({found['value'].strip()})"
