"""Waveforms of a design's ports: as SVG for the page, and as lines of text for a terminal.

A wrong value is marked where it stands, with the reference's value in the row below. Equal values that follow one
another are one box.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from markupsafe import Markup, escape

from itertl.runs import wording
from itertl.runs.waves import Lane, Wave

_STEP, _ROW, _HIGH = 34, 26, 16  # pixels: width of a step, height of a row, of a signal
_CHARS = 7.0  # pixels of a character of a value
_LONGEST_NAME, _LONGEST_VALUE = 28, 32  # characters; what is longer is cut
_BLOCKS = {"0": "▁", "1": "▔"}


def svg(wave: Wave) -> Markup:
    """The wave as an element of a page, in the page's colours."""
    rows = list(_rows(wave))
    left = 16 + max(int(_CHARS * len(name)) for name, _, _ in rows)
    steps = wave.steps
    width, height = left + steps * _STEP + 4, len(rows) * _ROW + 22
    parts = [_axis(wave, left, steps, height)]
    for number, (name, values, wrong) in enumerate(rows):
        parts.append(_row(name, values, wrong, left, 20 + number * _ROW))
    label = "waveform" if wave.mismatch is None else f"waveform; first mismatch at step {wave.mismatch}"
    body = "".join(parts)
    return Markup(
        f'<svg class="wave" role="img" aria-label="{label}" viewBox="0 0 {width} {height}" width="{width}">{body}</svg>'
    )


def text(wave: Wave, most: int = 12, columns: int = 100) -> str:
    """At most so many steps as lines that fit into ``columns``, those around the first mismatch where there is one:
    name, then one value a step.

    A single bit is drawn; a wrong value has a ! behind it.
    """
    rows = list(_rows(wave))
    cells = [
        [f"{_value(bits)}!" if bad else _BLOCKS.get(bits) or _value(bits) for bits, bad in zip(v, w, strict=True)]
        for _, v, w in rows
    ]
    wide, room = max(len(name) for name, _, _ in rows), max(len(cell) for row in cells for cell in row)
    count = max(1, min(most, wave.steps, (columns - wide - 1) // (room + 1)))
    at = 0 if wave.mismatch is None else wave.mismatch - wave.first
    start = max(0, min(at + min(3, count), wave.steps) - count)
    drawn = [
        " ".join(cell * room if cell in _BLOCKS.values() else cell.ljust(room) for cell in row[start : start + count])
        for row in cells
    ]
    return "\n".join(f"{name:<{wide}}  {line}".rstrip() for (name, _, _), line in zip(rows, drawn, strict=True))


def _value(bits: str) -> str:
    return wording.one_line(_cell(bits), _LONGEST_VALUE)


def _rows(wave: Wave) -> Iterator[tuple[str, Sequence[str], Sequence[bool]]]:
    """(name, values, whether each is wrong); behind an output that is wrong somewhere, what it should be."""
    for lane in wave.lanes:
        wrong = _wrong(lane)
        name = wording.one_line(lane.name, _LONGEST_NAME) + (f"[{lane.width - 1}:0]" if lane.width > 1 else "")
        yield name, lane.got, wrong
        if lane.expected is not None and any(wrong):
            yield f"{name} expected", lane.expected, [False] * len(wrong)


def _wrong(lane: Lane) -> list[bool]:
    """Where the reference has 0 or 1, another value is wrong."""
    if lane.expected is None:
        return [False] * len(lane.got)
    return [
        any(e in "01" and e != g for e, g in zip(right, bits, strict=True))
        for right, bits in zip(lane.expected, lane.got, strict=True)
    ]


def _cell(bits: str) -> str:
    """A single bit as it is, a word in hexadecimal digits; a digit that is not all 0 and 1 is x, or z where all its
    bits are."""
    if len(bits) == 1:
        return bits
    ends = range((len(bits) - 1) % 4 + 1, len(bits) + 1, 4)
    digits = (bits[max(0, end - 4) : end] for end in ends)
    return "".join(f"{int(d, 2):x}" if set(d) <= {"0", "1"} else "z" if set(d) == {"z"} else "x" for d in digits)


def _axis(wave: Wave, left: int, steps: int, height: int) -> str:
    parts: list[str] = []
    for at in range(steps):
        x, step = left + at * _STEP, wave.first + at
        mark = ' class="at"' if step == wave.mismatch else ""
        if mark:
            parts.append(f'<rect class="first" x="{x}" y="0" width="{_STEP}" height="{height}"/>')
        parts.append(f'<text{mark} x="{x + _STEP / 2}" y="12" text-anchor="middle">{step}</text>')
    return f'<g class="steps">{"".join(parts)}</g>'


def _row(name: str, values: Sequence[str], wrong: Sequence[bool], left: int, y: int) -> str:
    parts = [f'<text x="{left - 8}" y="{y + _HIGH - 3}" text-anchor="end">{escape(name)}</text>']
    at, last = 0, ""
    for (bits, bad), group in groupby(zip(values, wrong, strict=True)):
        count = sum(1 for _ in group)
        x, w = left + at * _STEP, count * _STEP
        kind = ' class="bad"' if bad else ""
        if len(bits) == 1 and bits in "01":
            level = y + (0 if bits == "1" else _HIGH)
            rise = (
                f"M{x} {y + _HIGH if bits == '1' else y}V{level}"
                if last in ("0", "1") and last != bits
                else f"M{x} {level}"
            )
            parts.append(f'<path{kind} d="{rise}H{x + w}"/>')
        else:
            parts.append(_box(_cell(bits), kind, x, y, w))
        at, last = at + count, bits
    return f"<g>{''.join(parts)}</g>"


def _box(value: str, kind: str, x: int, y: int, width: int) -> str:
    room = int((width - 8) / _CHARS)
    shown = value if len(value) <= room else value[: max(0, room - 1)] + "…"
    edge = f"M{x} {y + _HIGH / 2}l3 {-_HIGH / 2}H{x + width - 3}l3 {_HIGH / 2}l-3 {_HIGH / 2}H{x + 3}z"
    return (
        f'<path{kind} d="{edge}"><title>{value}</title></path>'
        f'<text{kind} x="{x + width / 2}" y="{y + _HIGH - 4}" text-anchor="middle">{shown}</text>'
    )
