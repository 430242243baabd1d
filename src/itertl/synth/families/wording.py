"""Names of ports that several families draw from, and numbers, widths and lists in English prose."""

from collections.abc import Iterable

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
OPERANDS = (("a", "b"), ("x", "y"), ("in0", "in1"), ("op_a", "op_b"), ("lhs", "rhs"), ("p0", "p1"))
VECTORS = ("in_vec", "d", "data", "x", "a", "vec", "data_in", "value", "word")
RESULTS = ("out", "res", "q", "result", "f", "data_out", "dout")
SELECTS = ("sel", "s", "select", "choice")
ENABLES = ("en", "enable", "ena")
SUMS = ("sum", "s", "total", "result", "res")
COUNTS = ("q", "count", "cnt", "out", "value")
FLAGS = ("flag", "valid", "hit", "ok", "yes", "match")
# valid, data and ready of a stream that comes in, and of one that goes out
STREAM_IN = (("in_valid", "s_valid", "up_valid"), ("in_data", "s_data", "up_data"), ("in_ready", "s_ready", "up_ready"))
STREAM_OUT = (
    ("out_valid", "m_valid", "dn_valid"),
    ("out_data", "m_data", "dn_data"),
    ("out_ready", "m_ready", "dn_ready"),
)


def number(value: int) -> str:
    """Small numbers in words, as English prose has them."""
    return _NUMBERS[value] if value < len(_NUMBERS) else str(value)


def a_bits(width: int) -> str:
    """ "a 4-bit", "an 8-bit"."""
    return f"{'an' if str(width).startswith(('8', '11', '18')) else 'a'} {width}-bit"


def bits(width: int) -> str:
    """ "one bit", "8 bits"."""
    return "one bit" if width == 1 else f"{width} bits"


def join(words: Iterable[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    parts = list(words)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
