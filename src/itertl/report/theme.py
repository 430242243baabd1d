"""The page's style sheet: one column, system fonts, light and dark by the reader's setting, readable on a phone."""

from itertl.report.canvas import COLOURS

_SHEET = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
header.top { margin-bottom: 1.75rem; }
.kicker { color: var(--soft); font-size: .85rem; margin: 0 0 .3rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; letter-spacing: -.005em; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; }
.summary { max-width: 46rem; font-size: 1.05rem; overflow-wrap: anywhere; }
.state { display: inline-block; font-size: .8rem; font-weight: 600; padding: .1rem .6rem; border-radius: 1rem;
  border: 1px solid currentColor; margin-top: .6rem; }
.state.done { color: var(--v-good); }
.state.open { color: var(--v-runtime); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.2rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile { background: var(--paper); border: 1px solid var(--grid); border-radius: .6rem; padding: .8rem .95rem; }
.tile .label { color: var(--soft); font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; }
.tile .value { font-size: 1.65rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile .note { color: var(--soft); font-size: .8rem; line-height: 1.35; }
figure { margin: 1.25rem 0; background: var(--paper); border: 1px solid var(--grid); border-radius: .6rem; padding: 1rem; }
figure .scroll svg { display: block; width: 100%; height: auto; max-width: 60rem; margin: 0 auto; }
figure .scroll svg.narrow { max-width: 44rem; }
figure svg text { font-family: inherit !important; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .75rem; max-width: 48rem; }
figcaption b { color: var(--ink); font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: .4rem .5rem; text-align: right; border-bottom: 1px solid var(--grid); }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; min-width: 3.6rem; }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.muted td { color: var(--soft); }
table.text td { text-align: left; white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
table.text th { text-align: left; }
.under { color: var(--soft); font-size: .85rem; margin-top: .5rem; }
details { border: 1px solid var(--grid); border-radius: .6rem; background: var(--paper); margin: .75rem 0; padding: 0 1rem; }
summary { cursor: pointer; padding: .7rem 0; font-weight: 600; overflow-wrap: anywhere; }
summary .hint { font-weight: 400; color: var(--soft); }
details[open] { padding-bottom: 1rem; }
pre { margin: 0; padding: .8rem; background: var(--page); border: 1px solid var(--grid); border-radius: .45rem;
  font: .8rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-x: auto; max-height: 26rem; tab-size: 2; }
pre.wrap { white-space: pre-wrap; overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin-top: .75rem; }
.pair > div { min-width: 0; }
.pair h4 { margin: 0 0 .4rem; font-size: .85rem; font-weight: 600; }
.verdict { font-weight: 600; }
.verdict.good { color: var(--v-good); }
.verdict.bad { color: var(--v-compile); }
.notes { color: var(--soft); font-size: .9rem; padding-left: 1.2rem; }
footer { color: var(--soft); font-size: .85rem; margin-top: 3rem; border-top: 1px solid var(--grid); padding-top: 1rem; }
@media (max-width: 40rem) {
  main { padding: 1.5rem .9rem 3rem; }
  h1 { font-size: 1.55rem; }
  h2 { margin-top: 2.25rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: .55rem; }
  .tile { padding: .65rem .7rem; }
  .tile .value { font-size: 1.35rem; }
  .pair { grid-template-columns: 1fr; }
  figure { padding: .7rem; }
  figure .scroll svg { width: 40rem; max-width: none; }
  figure .scroll svg.narrow { width: 100%; min-width: 21rem; }
}
@media print { details, figure, .tile { break-inside: avoid; } }
"""


def style_sheet() -> str:
    """The whole sheet, with the figures' colours as variables for both modes."""
    variables = [" ".join(f"--{name}: {pair[mode]};" for name, pair in COLOURS.items()) for mode in (0, 1)]
    light = f":root {{ color-scheme: light dark; --page: #f6f7f9; {variables[0]} }}"
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ --page: #0f1318; {variables[1]} }} }}"
    return f"{light}\n{dark}\n{_SHEET.strip()}\n"
