"""Template and style sheet of report.html, for light and dark color schemes."""

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1f2328; --muted: #656d76; --line: #d8dee4; --panel: #f6f8fa;
  --first: #0969da; --second: #bc4c00; --right: #1a7f37; --wrong: #cf222e; --missed: #6e7781;
  --fifth: #8250df;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --ink: #e6edf3; --muted: #8d96a0; --line: #30363d; --panel: #161b22;
    --first: #4493f8; --second: #f0883e; --right: #3fb950; --wrong: #f85149; --missed: #8d96a0;
    --fifth: #a371f7;
  }
}
body {
  margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 {
  font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line);
}
p { color: var(--muted); margin: .5rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; }
.tiles div {
  background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem 1rem;
}
.tiles strong {
  display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums;
}
.tiles div:first-child strong { color: var(--first); font-size: 2.2rem; }
.tiles span { display: block; color: var(--muted); font-size: .85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 1rem; }
svg text { fill: var(--muted); font: 11px system-ui, sans-serif; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
.strip { max-width: 100%; height: auto; border-radius: 6px; }
.chart { width: 100%; max-width: 520px; background: var(--panel); border-radius: 8px; }
.chart .title { fill: var(--ink); font-weight: 600; }
.chart .grid { stroke: var(--line); fill: none; }
.chart polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.chart .line0 { stroke: var(--first); } .chart circle.line0 { fill: var(--first); }
.chart .line1 { stroke: var(--second); } .chart circle.line1 { fill: var(--second); }
.chart .line2 { stroke: var(--right); } .chart circle.line2 { fill: var(--right); }
.chart .line3 { stroke: var(--wrong); } .chart circle.line3 { fill: var(--wrong); }
.chart .line4 { stroke: var(--fifth); } .chart circle.line4 { fill: var(--fifth); }
.chart .line5 { stroke: var(--missed); } .chart circle.line5 { fill: var(--missed); }
.color0 { color: var(--first); } .color1 { color: var(--second); } .color2 { color: var(--right); }
.color3 { color: var(--wrong); } .color4 { color: var(--fifth); } .color5 { color: var(--missed); }
.legend {
  position: sticky; top: 0; z-index: 1; background: var(--page); padding: .5rem 0;
  overflow-wrap: anywhere;
}
.chart .text0 { fill: var(--first); } .chart .text1 { fill: var(--second); }
table { border-collapse: collapse; }
th { font-weight: 400; text-align: left; }
thead th { color: var(--muted); font-size: .85rem; }
.classes { width: 100%; max-width: 760px; font-variant-numeric: tabular-nums; }
.classes th, .classes td { padding: .18rem .5rem; }
.classes td, .classes thead th:nth-child(n+3) { text-align: right; }
.classes tbody tr:nth-child(odd) { background: var(--panel); }
.compared, .moved { width: 100%; max-width: 760px; font-variant-numeric: tabular-nums; }
.compared :is(th, td), .moved :is(th, td) { padding: .18rem .5rem; overflow-wrap: anywhere; }
.compared :is(td, thead th:nth-child(n+2)) { text-align: right; }
:is(.compared, .moved) tbody tr:nth-child(odd) { background: var(--panel); }
.bar { width: 45%; }
.bar div { background: var(--first); height: .7rem; border-radius: 3px; min-width: 1px; }
.wide { overflow-x: auto; }
.tall { max-height: 40rem; overflow-y: auto; }
.cell { fill: var(--first); } .cell.own { stroke: var(--muted); }
.matrix .strong { fill: var(--page); } .matrix .weak { fill: var(--ink); }
figure {
  display: inline-block; vertical-align: top; margin: .5rem 1rem 1rem 0;
  max-width: min(480px, 100%);
}
figure img {
  display: block; width: auto; height: auto; max-width: 100%; max-height: 360px; border-radius: 6px;
}
figcaption { margin-top: .4rem; font-size: .9rem; }
ol, ul { margin: .3rem 0 0; padding-left: 1.4rem; }
ul { list-style: none; padding-left: 0; }
video {
  display: block; width: auto; height: auto; max-width: 100%; max-height: 75vh; border-radius: 6px;
}
.chip {
  display: inline-block; border: 1px solid; border-radius: 999px; padding: 0 .5rem;
  margin: .1rem 0; font-size: .82rem;
}
.right {
  color: var(--right); } .wrong { color: var(--wrong); } .missed { color: var(--missed);
  border-style: dashed;
}
.facts th {
  color: var(--muted); padding: .15rem 1.5rem .15rem 0; vertical-align: top; white-space: nowrap;
}
.facts td { overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace; }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{name}</h1>
{body}
</main>
</body>
</html>
"""
