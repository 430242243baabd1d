"""SVG drawing that gives the same bytes for the same numbers, in colours that a page can swap for light or dark.

Every colour that a figure uses is one of the names below. A file on disk gets the light colours on white; the page
gets CSS variables instead (``inline``), which its style sheet sets for both modes. matplotlib is imported when drawn.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# name -> (light, dark). The light value is in the SVG that matplotlib writes, so each must be unique.
COLOURS: dict[str, tuple[str, str]] = {
    "ink": ("#1f2a37", "#e4e9ef"),
    "soft": ("#66707c", "#9aa5b1"),
    "grid": ("#e3e7ec", "#2c3540"),
    "paper": ("#fffffe", "#171c23"),
    "s0": ("#1f6fb2", "#62b0ec"),
    "s1": ("#c2571a", "#f0955c"),
    "s2": ("#2f8f5b", "#62c990"),
    "s3": ("#8b4fa8", "#c590e0"),
    "s4": ("#a98404", "#e0bf4c"),
    "s5": ("#b83a63", "#ef85a6"),
    "s6": ("#4b6b78", "#96b6c3"),
    "v-good": ("#2e8b57", "#4fb57f"),
    "v-output": ("#d99a2b", "#d9a545"),
    "v-runtime": ("#bf7416", "#c08336"),
    "v-timeout": ("#8c5a17", "#99703c"),
    "v-compile": ("#c0483e", "#d0675d"),
    "v-elaboration": ("#d4776f", "#b5544b"),
    "v-syntax": ("#a3332b", "#93413a"),
    "v-gamed": ("#2b3f8f", "#7d8fd6"),
    "v-none": ("#6d3b52", "#87506a"),
    "v-truncated": ("#7a63b0", "#957fd0"),
    "v-ours": ("#a9b3be", "#5d6874"),
}
NUM_SERIES = 7
_NAMES = {value: name for name, (value, _) in COLOURS.items()}
_COLOUR = re.compile("|".join(_NAMES))


def light(name: str) -> str:
    """The colour as matplotlib gets it."""
    return COLOURS[name][0]


def series_colour(position: int) -> str:
    """Colour of the n-th line; they repeat after ``NUM_SERIES``, and line styles distinguish the repeats."""
    return light(f"s{position % NUM_SERIES}")


def line_style(position: int) -> Literal["-", "--", ":", "-."]:
    """Solid for the first ``NUM_SERIES`` lines, then dashed, dotted, dash-dotted."""
    styles: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
    return styles[position // NUM_SERIES % 4]


def ordered_colour(position: int, total: int) -> str:
    """The n-th of ``total`` iterations between two colours that read on light and dark alike (blue to orange)."""
    share = position / (total - 1) if total > 1 else 0.0
    early, late = (0x2F, 0x7F, 0xC4), (0xD8, 0x6A, 0x1C)
    middle = (0x9A, 0x5F, 0xA8)
    start, end, part = (early, middle, share * 2) if share <= 0.5 else (middle, late, share * 2 - 1)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(start, end, strict=True))


_STYLE: dict[str, Any] = {
    "svg.hashsalt": "itertl",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": light("soft"),
    "axes.labelcolor": light("soft"),
    "axes.titlecolor": light("ink"),
    "axes.facecolor": "none",
    "figure.facecolor": light("paper"),
    "text.color": light("ink"),
    "xtick.color": light("soft"),
    "ytick.color": light("soft"),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": light("grid"),
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that the font lacks is the viewer's to find
        mpl.rcdefaults()  # whatever the reader's own matplotlibrc says
        for key, value in _STYLE.items():
            mpl.rcParams[key] = value  # pyright: ignore[reportArgumentType]
        yield


def draw(width: float, height: float, plot: Callable[["Figure"], None]) -> str:
    """Let ``plot`` fill a figure of that size (inches) and return its SVG text: no date, stable ids.

    Uses no pyplot and leaves no global state of matplotlib changed.
    """
    with _style():
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        plot(figure)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    return buffer.getvalue()


def panels(figure: "Figure", count: int, columns: int) -> "list[Axes]":
    """``count`` axes in rows of at most ``columns``; the places left over stay empty."""
    columns = max(1, min(columns, count))
    every: list[Axes] = list(figure.subplots(-(-count // columns), columns, squeeze=False).flat)
    for spare in every[count:]:
        spare.remove()
    return every[:count]


def legend(target: Any, handles: Sequence[Any], names: Sequence[str], **options: Any) -> None:
    """A legend that also shows names which begin with an underscore (matplotlib would drop them)."""
    target.legend(list(handles), [f" {n}" if n.startswith("_") else n for n in names], **options)


def inline(svg: str, prefix: str, label: str) -> Markup:
    """The figure as an element of an HTML page: CSS variables for colours, ids made unique by ``prefix``.

    ``label`` is its accessible name. A figure of one panel across is of class ``narrow``: it may shrink to a phone's
    width.
    """
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<[^>]*>", lambda tag: _inline_tag(tag[0], prefix), body)
    for side in ("width", "height"):
        body = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", body, count=1)
    kind = ' class="narrow"' if width_points(svg) < 560 else ""
    return Markup(body.replace("<svg", f'<svg{kind} role="img" aria-label="{escape(label)}"', 1))


def _inline_tag(tag: str, prefix: str) -> str:
    """One tag with its ids prefixed and its colours named; text between tags is never touched."""
    tag = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}-\1"', tag)
    tag = re.sub(r"url\(#([^)]*)\)", rf"url(#{prefix}-\1)", tag)
    tag = re.sub(r'\bxlink:href="#([^"]*)"', rf'xlink:href="#{prefix}-\1"', tag)
    return _COLOUR.sub(lambda found: f"var(--{_NAMES[found[0]]})", tag)


def width_points(svg: str) -> float:
    """Width of the figure in points (72 an inch), as its root element says."""
    found = re.search(r'<svg[^>]*? width="([\d.]+)pt"', svg)
    return float(found[1]) if found else 0.0
