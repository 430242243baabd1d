"""Facts read off a testbench that somebody else wrote: its top module, the design that it instantiates, its marker.

Works on tokens, without a parser: testbenches of published benchmarks are well-formed, and a wrong guess shows at once
because the problem's reference then fails. Left out: instances whose parameters hold a semicolon, arrays of instances.
"""

from itertl.errors import DataError
from itertl.verilog.text import Token, modules, tokenize

_BEFORE_ITEM = {";", "end", "begin", "endtask", "endfunction", "endgenerate", "endcase", "join", ")"}
_NAMES = ("identifier", "escaped")


def declared(code: str) -> list[str]:
    """Names of the modules that ``code`` declares, in order."""
    return [span.name for span in modules(code)]


def instantiated(code: str) -> list[str]:
    """Names of the modules that ``code`` instantiates, each once, in order of first use."""
    stream = tokenize(code)
    found = [_name(stream[i]) for i in range(1, len(stream)) if _is_instance(stream, i)]
    return list(dict.fromkeys(found))


def roots(code: str) -> list[str]:
    """Declared modules that no other one of ``code`` instantiates."""
    used = set(instantiated(code))
    return [name for name in declared(code) if name not in used]


def top(testbench: str, where: str) -> str:
    """Name of the testbench's top module. Raises DataError where there is not exactly one."""
    found = roots(testbench)
    if len(found) != 1:
        raise DataError(
            f"{where}: a testbench has one top module, this has {', '.join(found) or 'none'}; get a fresh copy"
        )
    return found[0]


def design_name(testbench: str, where: str) -> str:
    """Name of the module under test: instantiated, not declared. Raises DataError where there is not exactly one."""
    own = set(declared(testbench))
    found = [name for name in instantiated(testbench) if name not in own]
    if len(found) != 1:
        raise DataError(
            f"{where}: a testbench instantiates one design, this {', '.join(found) or 'none'}; get a fresh copy"
        )
    return found[0]


def check_marker(testbench: str, marker: str, where: str) -> str:
    """Return ``marker``, which must be in exactly one string of ``testbench``. Raises DataError."""
    count = sum(marker in token.text for token in tokenize(testbench) if token.kind == "string")
    if count != 1:
        raise DataError(
            f"{where}: {marker!r} should be in one string of the testbench, it is in {count}; get a fresh copy"
        )
    return marker


def renamed(code: str, old: str, new: str) -> str:
    """``code`` with module ``old`` called ``new`` where it is declared, instantiated and named at its end."""
    stream = tokenize(code)
    places = [
        token
        for i, token in enumerate(stream)
        if token.kind in _NAMES
        and _name(token) == old
        and ((i and _is_module(stream[i - 1])) or _is_end_label(stream, i) or _is_instance(stream, i))
    ]
    for token in reversed(places):
        code = code[: token.start] + new + code[token.end :]
    return code


def _name(token: Token) -> str:
    return token.text.removeprefix("\\")


def _is_module(token: Token) -> bool:
    return token.kind == "keyword" and token.text in ("module", "macromodule")


def _is_end_label(stream: list[Token], index: int) -> bool:
    return index > 1 and stream[index - 1].text == ":" and stream[index - 2].text == "endmodule"


def _is_instance(stream: list[Token], index: int) -> bool:
    """Whether ``stream[index]`` begins ``NAME [#(…)] instance (``."""
    if stream[index].kind not in _NAMES or not index or stream[index - 1].text not in _BEFORE_ITEM:
        return False
    after = index + 1
    if after < len(stream) and stream[after].text == "#":
        after = _behind_brackets(stream, after + 1)
    following = [token.text for token in stream[after : after + 2]]
    return len(following) == 2 and stream[after].kind in _NAMES and following[1] == "("


def _behind_brackets(stream: list[Token], index: int) -> int:
    """Index after the bracketed group that begins at ``index``, or after one token where none begins there."""
    depth = 0
    for place in range(index, len(stream)):
        depth += {"(": 1, ")": -1}.get(stream[place].text, 0)
        if depth == 0:
            return place + 1
    return len(stream)
