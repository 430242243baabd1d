"""Templates of the pages: Jinja with automatic escaping; what neither XML nor a terminal can carry becomes U+FFFD."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from itertl.report import canvas
from itertl.runs import wording as text

MARK = " – itertl report</title>"  # by which a page is known to be one of ours


def render(template: str, title: str, **values: Any) -> str:
    """The page that ``templates/NAME.html.j2`` makes of ``values``; every text in it is escaped."""
    return _environment().get_template(f"{template}.html.j2").render(title=title, **values)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("itertl.report"), autoescape=True, undefined=StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters.update(one_line=text.one_line, printable=text.printable)
    made.globals.update(
        inline=canvas.inline, mark=Markup(MARK), style_sheet=_style_sheet(), browse_sheet=_sheet("browse.css")
    )
    return made


def _shown(value: object) -> object:
    return value if isinstance(value, Markup) else text.printable(str(value))


def _style_sheet() -> Markup:
    """The whole sheet, with the figures' colours as variables for light and dark."""
    variables = [" ".join(f"--{name}: {pair[mode]};" for name, pair in canvas.COLOURS.items()) for mode in (0, 1)]
    light = f":root {{ color-scheme: light dark; --page: #f6f7f9; {variables[0]} }}"
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ --page: #0f1318; {variables[1]} }} }}"
    return Markup(f"{light}\n{dark}\n{_sheet('style.css')}")


def _sheet(name: str) -> Markup:
    return Markup(PackageLoader("itertl.report").get_source(Environment(), name)[0])
