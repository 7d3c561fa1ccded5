"""The frame around everything that is shown as HTML, with its style sheet.

Pages bring their own background, light or dark, which no media query knows for Jupyter. So text has
the color of the page around it, lines a part of its opacity, and the other colors suit both.
"""

from html import escape

BLUE = "#3b82d9"  # of scores; as in the style sheet

STYLE = """\
.sfj { font: 14px/1.5 system-ui, sans-serif; color: inherit; max-width: 60rem; }
.sfj p { margin: .3rem 0; }
.sfj .note { opacity: .75; font-size: .9em; }
.sfj table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
.sfj th { font-weight: 400; text-align: left; padding: .15rem .6rem .15rem 0; }
.sfj td { padding: .15rem 0; text-align: right; white-space: nowrap; background: none; }
.sfj td.bar { width: 55%; padding-right: .6rem; }
.sfj td.bar i { display: block; height: .75rem; border-radius: 3px; background: #3b82d9;
  min-width: 1px; }
.sfj .films { display: flex; flex-wrap: wrap; gap: .5rem; }
.sfj .films > * { max-width: 100%; height: auto; border-radius: 6px; }
.sfj video { min-width: 12rem; max-width: 100%; }
.sfj .row { display: grid; grid-template-columns: minmax(7rem, 13rem) 1fr 3rem; gap: .6rem;
  align-items: center; padding: .2rem .25rem; border-radius: 4px; }
.sfj summary.row { cursor: pointer; list-style: none; }
.sfj summary.row::-webkit-details-marker { display: none; }
.sfj summary.row:hover { background: rgba(128, 128, 128, .15); }
.sfj summary.row:focus-visible { outline: 2px solid #3b82d9; outline-offset: 1px; }
.sfj .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sfj .name::before { content: "▸"; display: inline-block; width: 1em; opacity: .7; }
.sfj details[open] > summary .name::before { content: "▾"; }
.sfj .axis .name::before { content: ""; }
.sfj details[open] > summary .name { white-space: normal; overflow-wrap: anywhere; }
.sfj .score { text-align: right; font-variant-numeric: tabular-nums; }
.sfj .track { position: relative; height: 1.1rem; border-radius: 3px; overflow: hidden;
  background: rgba(128, 128, 128, .18); }
.sfj .track i { position: absolute; top: 0; bottom: 0; }
.sfj .axis { opacity: .75; font-size: .85em; }
.sfj .axis .track { background: none; overflow: visible; }
.sfj .axis .track span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.sfj .axis .track span:first-child { transform: none; }
.sfj .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr));
  gap: .5rem; padding: .4rem 0 .8rem 1rem; }
.sfj .chart { width: 100%; max-width: 26rem; background: rgba(128, 128, 128, .08);
  border-radius: 6px; }
.sfj svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
.sfj svg .title { font-weight: 600; }
.sfj svg .tick { opacity: .75; }
.sfj svg .grid { stroke: currentColor; stroke-opacity: .2; fill: none; }
.sfj svg polyline { fill: none; stroke: #3b82d9; stroke-width: 1.6; stroke-linejoin: round; }
.sfj svg circle { fill: #3b82d9; }
@media (max-width: 40rem) {
  .sfj .row { grid-template-columns: 1fr 3rem; row-gap: .1rem; }
  .sfj .row .track { grid-column: 1 / -1; grid-row: 2; }
}
"""


def block(body: str) -> str:
    """HTML with its style sheet, which changes nothing outside of it."""
    return f'<div class="sfj"><style>{STYLE}</style>{body}</div>'


def note(text: str) -> str:
    """A line of secondary text."""
    return f'<p class="note">{escape(text)}</p>'
