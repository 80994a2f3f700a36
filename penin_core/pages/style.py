"""The style sheet of every page, and the hash under which a page may carry it inline."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

STYLE = """\
:root { color-scheme: light dark;
  --paper: #f5f6f8; --card: #fff; --ink: #16191d; --soft: #565d68; --rule: #e1e4e9; --line: #8b93a0;
  --old: #6b7280; --new: #0a5ec2; --good: #146c39; --warn: #855000; --bad: #b3161b;
  --good-bg: #e3f4ea; --warn-bg: #fcf0da; --bad-bg: #fde7e7; --add: #d3f0dd; --cut: #fbdcdd;
  --track: #e9ebef; --plain-bg: #eceef2; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #0f1216; --card: #171b21; --ink: #e7e9ec; --soft: #a2a9b5; --rule: #2a303a;
  --line: #6c7583; --old: #9aa3b0; --new: #6fb1fb; --good: #6dd196; --warn: #efb75c; --bad: #ff8d8d;
  --good-bg: #12301e; --warn-bg: #34280e; --bad-bg: #3d191c; --add: #1a472b; --cut: #522428;
  --track: #262c35; --plain-bg: #252b34; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
a { color: var(--new); text-underline-offset: 3px; text-decoration-thickness: 1px; }
a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 3px solid var(--new); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: var(--card); padding: 8px 12px; z-index: 1; }
header { background: var(--card); border-bottom: 1px solid var(--rule); }
header nav, main, footer { max-width: 1080px; margin: 0 auto; padding: 0 24px; }
header nav { display: flex; flex-wrap: wrap; gap: 0 22px; align-items: baseline; }
header nav a { padding: 14px 0 12px; text-decoration: none; color: var(--soft);
  border-bottom: 2px solid transparent; }
header nav a:hover { color: var(--ink); }
header nav a[aria-current] { color: var(--ink); font-weight: 600; border-color: var(--new); }
header nav strong { padding: 14px 6px 12px 0; letter-spacing: .02em; }
main { padding-top: 26px; padding-bottom: 20px; }
footer { color: var(--soft); font-size: 14px; padding-bottom: 32px; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 8px; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 14px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px;
  padding: 20px 24px 22px; margin: 18px 0; }
section > :last-child { margin-bottom: 0; }
.lead { font-size: 18px; margin: 0 0 14px; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 14px 24px;
  margin: 0 0 18px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
.actions { display: flex; flex-wrap: wrap; gap: 10px; margin: 0 0 16px; }
.actions a { border: 1px solid var(--line); border-radius: 8px; padding: 6px 14px;
  text-decoration: none; font-size: 15px; background: var(--card); }
.actions a:hover { border-color: var(--new); }
.tiles { list-style: none; display: grid; padding: 0; margin: 0 0 20px; gap: 12px;
  grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); }
.tiles li { background: var(--paper); border-radius: 10px; padding: 10px 14px 14px; }
.tiles span { color: var(--soft); font-size: 13px; display: block; }
.tiles strong { font-size: 24px; font-variant-numeric: tabular-nums; line-height: 1.4; }
.scroll { overflow-x: auto; margin: 0 0 14px; }
table { border-collapse: collapse; width: 100%; font-size: 15px; }
caption { text-align: left; color: var(--soft); font-size: 14px; padding: 0 0 8px; }
th, td { text-align: left; padding: 9px 16px 9px 0; border-top: 1px solid var(--rule);
  vertical-align: top; font-weight: 400; }
thead th { color: var(--soft); font-size: 13px; border-top: 0; padding-top: 0;
  white-space: nowrap; }
tbody th { font-weight: 600; } th, td { overflow-wrap: break-word; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font: 14px/1.5
  ui-monospace, "DejaVu Sans Mono", monospace; min-width: 12em; }
code { font: 14px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
ins { background: var(--add); text-decoration: none; border-radius: 3px; }
del { background: var(--cut); border-radius: 3px; }
details { margin: 0 0 14px; }
summary { cursor: pointer; color: var(--new); padding: 4px 0; }
details[open] > summary { margin-bottom: 8px; }
.badge { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 13.5px;
  font-weight: 600; background: var(--plain-bg); color: var(--soft); white-space: nowrap; }
dd .badge { white-space: normal; }
td > p:last-child { margin: 0; }
p.note { color: var(--soft); margin: 0 0 12px; }
.good, .warn, .bad { border-radius: 8px; }
p.good, p.warn, p.bad { padding: 9px 14px; margin: 0 0 14px; overflow-wrap: anywhere; }
.good { background: var(--good-bg); color: var(--good); }
.warn { background: var(--warn-bg); color: var(--warn); }
.bad { background: var(--bad-bg); color: var(--bad); }
figure { margin: 0 0 14px; max-width: 780px; } figure.narrow { max-width: 460px; }
figcaption { color: var(--soft); font-size: 14px; margin-top: 4px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; } svg .label { fill: var(--ink); }
.axis { stroke: var(--line); } .grid { stroke: var(--rule); }
polyline { fill: none; stroke-width: 2.4; stroke-linejoin: round; stroke-linecap: round; }
polyline.new, path.new { stroke: var(--new); } polyline.old, path.old { stroke: var(--old); }
polyline.bar { stroke: var(--bad); stroke-dasharray: 8 6; stroke-width: 2; }
polyline.even { stroke: var(--line); stroke-dasharray: 5 5; stroke-width: 1.6; }
polyline.old { stroke-width: 1.8; } path { fill: none; stroke-width: 1.8; }
circle.new, rect.new { fill: var(--new); } circle.old, rect.old { fill: var(--old); }
circle.good { fill: var(--good); } circle.bad { fill: var(--bad); }
circle.miss { fill: var(--card); stroke: var(--new); stroke-width: 2; }
rect.track { fill: var(--track); }
.bars { width: 100%; max-width: 210px; min-width: 110px; margin-top: 4px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0;
  margin: 0 0 8px; font-size: 14px; color: var(--soft); }
.key { display: inline-block; width: 20px; height: 4px; margin: 0 8px 3px 0; border-radius: 2px; }
.key.new { background: var(--new); } .key.old { background: var(--old); }
.key.bar { background: repeating-linear-gradient(90deg, var(--bad) 0 6px, transparent 6px 10px); }
.key.even { background: repeating-linear-gradient(90deg, var(--line) 0 5px, transparent 5px 9px); }
.key.good, .key.miss { width: 11px; height: 11px; border-radius: 50%; margin-bottom: 0; }
.key.good { background: var(--good); } .key.miss { border: 2px solid var(--new); }
.tuned { display: grid; gap: 18px 24px;
  grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); }
.tuned h3 { margin: 0; }
.lineage { display: flex; margin: 0 0 14px; }
.rail { flex: none; width: 84px; }
.lineage ol { list-style: none; margin: 0; padding: 0; flex: 1; min-width: 0; }
.lineage li { height: 64px; padding: 8px 0; line-height: 24px; }
.lineage li > * { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.lineage span { color: var(--soft); font-size: 14px; }
@media (max-width: 620px) {
  header nav { gap: 0 15px; font-size: 15px; } header strong { display: none; }
  header nav a { padding: 8px 0 6px; }
  header nav, main, footer { padding-left: 14px; padding-right: 14px; }
  section { padding: 16px 14px; border-radius: 10px; } h1 { font-size: 22px; }
  dl { grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 10px 16px; }
  .tiles { grid-template-columns: repeat(2, 1fr); } pre { min-width: 0; }
  .rail { margin-left: -22px; width: 84px; } svg text { font-size: 23px; }
  figure.narrow svg text, .tuned svg text { font-size: 15px; }
  .stack, .stack caption, .stack tbody, .stack tr, .stack th { display: block; }
  .stack thead { display: none; }
  .stack tr { border-top: 1px solid var(--rule); padding: 10px 0; }
  .stack th, .stack td { border: 0; padding: 2px 0; white-space: normal; }
  .stack td { display: grid; grid-template-columns: 7em minmax(0, 1fr); align-items: baseline;
    justify-items: start; }
  .stack td::before { content: attr(data-label); color: var(--soft); font-size: 13px; } }
@media print { header, .skip, .actions { display: none; } section { break-inside: avoid; } }
"""

#: What a content security policy calls this style sheet.
STYLE_HASH = f"sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}"
