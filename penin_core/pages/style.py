"""The style sheet of every page, and the hash under which a page may carry it inline."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

STYLE = """\
:root { color-scheme: light dark;
  --paper: #f6f6f3; --card: #fff; --ink: #1c1e21; --soft: #5b616b; --rule: #dcdcd6;
  --old: #6b7280; --new: #0b63c5; --good: #17703a; --warn: #8a5300; --bad: #b3161b;
  --good-bg: #e6f4ea; --warn-bg: #fdf1dc; --bad-bg: #fde8e8; --add: #d9f2e0; --cut: #fbdfe0; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14161a; --card: #1d2026; --ink: #e8e9eb; --soft: #a3a9b4; --rule: #343a44;
  --old: #a3a9b4; --new: #6db3ff; --good: #6fd396; --warn: #f0b95a; --bad: #ff8f8f;
  --good-bg: #15301f; --warn-bg: #35290f; --bad-bg: #3d1a1c; --add: #1d4a2e; --cut: #55262a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
a { color: var(--new); text-underline-offset: 2px; }
:focus-visible { outline: 3px solid var(--new); outline-offset: 2px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: var(--card); padding: 8px; }
header { background: var(--card); border-bottom: 1px solid var(--rule); }
header nav, main, footer { max-width: 1060px; margin: 0 auto; padding: 0 20px; }
header nav { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: baseline; }
header nav a { padding: 12px 0; text-decoration: none; }
header nav a[aria-current] { color: var(--ink); font-weight: 600; box-shadow: 0 2px 0 var(--new); }
header nav strong { padding: 12px 8px 12px 0; }
main { padding-top: 22px; padding-bottom: 30px; }
footer { color: var(--soft); font-size: 14px; padding-bottom: 30px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 10px; }
h3 { font-size: 16px; margin: 16px 0 8px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 18px 20px; margin: 18px 0; }
section > :last-child { margin-bottom: 0; }
.lead { font-size: 18px; margin: 0 0 6px; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 12px 20px;
  margin: 0 0 16px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 0 0 12px; }
table { border-collapse: collapse; width: 100%; font-size: 15px; }
caption { text-align: left; color: var(--soft); font-size: 14px; padding: 0 0 6px; }
th, td { text-align: left; padding: 7px 12px 7px 0; border-top: 1px solid var(--rule);
  vertical-align: top; font-weight: 400; }
thead th { color: var(--soft); font-size: 13px; border-top: 0; white-space: nowrap; }
tbody th { font-weight: 600; }
td { overflow-wrap: break-word; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font: 14px/1.45
  ui-monospace, "DejaVu Sans Mono", monospace; min-width: 14em; }
code { font: 14px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
ins { background: var(--add); text-decoration: none; }
del { background: var(--cut); }
.badge { display: inline-block; padding: 1px 9px; border-radius: 99px; font-size: 14px;
  font-weight: 600; background: var(--paper); color: var(--soft); white-space: nowrap; }
p.note { color: var(--soft); margin: 0 0 10px; }
.good, .warn, .bad { border-radius: 8px; }
p.good, p.warn, p.bad { padding: 8px 12px; margin: 0 0 10px; overflow-wrap: anywhere; }
.good { background: var(--good-bg); color: var(--good); }
.warn { background: var(--warn-bg); color: var(--warn); }
.bad { background: var(--bad-bg); color: var(--bad); }
figure { margin: 0 0 12px; max-width: 760px; }
figcaption { color: var(--soft); font-size: 14px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; } svg .label { fill: var(--ink); }
svg .name { fill: var(--ink); font-size: 13px; } svg .lead { font-weight: 600; }
.frame { fill: none; stroke: var(--rule); } .grid { stroke: var(--rule); stroke-width: .6; }
polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
polyline.new, path.new { stroke: var(--new); } polyline.old, path.old { stroke: var(--old); }
polyline.bar { stroke: var(--bad); stroke-dasharray: 7 5; }
polyline.old { stroke-dasharray: 3 3; } path { fill: none; stroke-width: 1.6; }
circle.new, rect.new { fill: var(--new); } circle.old, rect.old { fill: var(--old); }
circle.good { fill: var(--good); } circle.bad { fill: var(--bad); }
.bars { width: 120px; height: auto; min-width: 90px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 0;
  margin: 0 0 8px; font-size: 14px; color: var(--soft); }
.key { display: inline-block; width: 18px; height: 4px; margin: 0 7px 4px 0; border-radius: 2px; }
.key.new { background: var(--new); } .key.old { background: var(--old); }
.key.bar { background: var(--bad); }
.tuned { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 14px; }
.tuned h3 { margin: 0; }
.tuned svg text { font-size: 22px; }
@media (max-width: 560px) {
  header nav { gap: 0 14px; font-size: 15px; } header strong { display: none; }
  header nav, main, footer { padding-left: 12px; padding-right: 12px; }
  section { padding: 14px 12px; } h1 { font-size: 22px; } .bars { min-width: 60px; }
  svg text { font-size: 20px; } svg .name { font-size: 20px; } svg .why { font-size: 18px; } }
@media print { header, .skip { display: none; } section { break-inside: avoid; } }
"""

#: What a content security policy calls this style sheet.
STYLE_HASH = f"sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}"
