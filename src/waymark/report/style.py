"""How the page looks: light and dark, wide and narrow, on screen and on paper."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f4f6f8; --paper: #ffffff; --ink: #18212b; --soft: #525e6c; --line: #dbe0e6; --faint: #eef1f4;
  --band: #10283f; --band-ink: #ffffff; --band-soft: #c3d3e2;
  --model: #0b5cad; --best: #a04a00; --other: #66717e;
  --forward: #2f7fc1; --reentry: #12836f; --detour: #8a4fbf; --regression: #c4601a;
  --good: #0f6b3a; --good-back: #e5f4ea; --bad: #9c2410; --bad-back: #fdeae5; --calm-back: #e9eef3;
  --text: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
  --code: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #0e141a; --paper: #161e26; --ink: #e6ebf0; --soft: #a5b1bd; --line: #303c48; --faint: #222d38;
    --band: #0a1017; --band-ink: #f2f6fa; --band-soft: #9fb2c4;
    --model: #6cb3f5; --best: #f0a35e; --other: #95a2af;
    --forward: #4d9de0; --reentry: #3fbfa5; --detour: #b58ae6; --regression: #ec8f4e;
    --good: #7fd6a2; --good-back: #12301f; --bad: #ff9d86; --bad-back: #3b1b14; --calm-back: #25313d;
  }
}

* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 3.4rem; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 var(--text); overflow-wrap: break-word; }
a { color: var(--model); }
p { margin: 8px 0 12px; max-width: 80ch; }
h2 { margin: 0 0 10px; font-size: 1.38rem; line-height: 1.25; letter-spacing: -0.01em; }
h3 { margin: 30px 0 6px; font-size: 1.08rem; }
code { font-family: var(--code); font-size: .92em; background: var(--faint); border-radius: 4px; padding: 1px 5px; }
:focus-visible { outline: 3px solid var(--model); outline-offset: 2px; }
.wrap { max-width: 1160px; margin: 0 auto; padding: 0 24px; }
.note { color: var(--soft); font-size: .89rem; }
.skip { position: absolute; left: -99em; }
.skip:focus { left: 8px; top: 8px; z-index: 9; padding: 8px; background: var(--paper); }

header.top { background: var(--band); color: var(--band-ink); padding: 34px 0 26px; }
.eyebrow { margin: 0 0 6px; color: var(--band-soft); font-size: .9rem; }
h1 { margin: 0 0 14px; font-size: clamp(1.6rem, 4.4vw, 2.35rem); line-height: 1.18; letter-spacing: -0.012em; }
.lede { max-width: 84ch; margin: 8px 0 0; font-size: 1.04rem; line-height: 1.6; }
.lede + .lede { color: var(--band-soft); }
nav.contents { position: sticky; top: 0; z-index: 5; background: var(--paper); border-bottom: 1px solid var(--line); }
nav.contents ul { display: flex; gap: 4px 16px; margin: 0; padding: 0; overflow-x: auto; white-space: nowrap;
  list-style: none; scrollbar-width: none; }
nav.contents a { display: block; padding: 11px 0; color: var(--soft); text-decoration: none; font-size: .88rem; }
nav.contents a:hover { color: var(--ink); text-decoration: underline; }
section { margin: 22px 0; padding: 26px 28px 22px; background: var(--paper); border: 1px solid var(--line);
  border-radius: 12px; }
footer { padding: 2px 24px 40px; color: var(--soft); font-size: .9rem; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px; margin: 22px 0 0;
  padding: 0; list-style: none; }
.tiles li { padding: 15px 17px; background: var(--paper); border: 1px solid var(--line); border-radius: 10px; }
.tiles span { display: block; color: var(--soft); font-size: .85rem; line-height: 1.4; }
.tiles .value { color: var(--ink); font-size: 1.62rem; font-weight: 660; letter-spacing: -0.015em;
  font-variant-numeric: tabular-nums; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 13px 28px;
  margin: 12px 0 6px; }
.facts dt { color: var(--soft); font-size: .84rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.facts .code { padding-top: 2px; font-family: var(--code); font-size: .82rem; }
.box { margin: 14px 0; padding: 11px 15px; border-left: 5px solid; border-radius: 6px; }
.box strong { display: block; }
.box p { margin: 3px 0 0; color: var(--ink); }
.box ul { margin: 4px 0 0; padding-left: 20px; color: var(--ink); }
.box.warning { color: var(--bad); background: var(--bad-back); }
.box.notice { color: var(--soft); background: var(--calm-back); }
.box.good { color: var(--good); background: var(--good-back); }
.sum { display: flex; flex-wrap: wrap; gap: 8px 12px; margin: 14px 0; }
.sum > span { align-self: center; color: var(--soft); font-size: 1.3rem; }
.sum > div { padding: 8px 15px; background: var(--faint); border-radius: 8px; }
.sum b { display: block; font-size: 1.22rem; font-variant-numeric: tabular-nums; }
.sum small { color: var(--soft); font-size: .84rem; }
.columns { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 8px 40px; align-items: start; }
.columns h3 { margin-top: 16px; }

.scroll { position: relative; overflow-x: auto; margin: 14px 0; border-radius: 4px; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { padding: 0 0 7px; color: var(--soft); font-size: .89rem; text-align: left; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: 2px; }
thead th { border-bottom-width: 2px; color: var(--soft); font-size: .82rem; font-weight: 600; line-height: 1.35;
  vertical-align: bottom; }
tbody th { font-weight: 500; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.few { max-width: 720px; }
.range { display: block; color: var(--soft); font-size: .8rem; font-weight: 400; }
.badge { display: inline-block; padding: 1px 10px; border-radius: 99px; background: var(--calm-back); font-size: .8rem;
  font-weight: 600; white-space: nowrap; }
.badge.better { color: var(--good); background: var(--good-back); }
.badge.worse { color: var(--bad); background: var(--bad-back); }
.bar { display: block; min-width: 84px; height: 11px; margin-top: 6px; background: var(--faint); border-radius: 3px;
  overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--model); }
details { margin: 10px 0; }
summary { color: var(--model); font-size: .92rem; cursor: pointer; }

figure { margin: 14px 0; }
figcaption { margin-top: 6px; color: var(--soft); font-size: .87rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12.5px var(--text); fill: var(--ink); }
svg .tick, svg .axis { font-size: 11.5px; fill: var(--soft); }
.chart { max-width: 540px; }
.chart.square { max-width: 430px; }
.grid { stroke: var(--line); }
.zero { stroke: var(--soft); stroke-width: 1.3; }
.honest { stroke: var(--soft); stroke-width: 1.4; stroke-dasharray: 2 4; }
.whisker { stroke-width: 2; }
.dot { stroke-width: 2; fill: var(--paper); }
.whisker.model, .dot.model, .curve.model { stroke: var(--model); }
.whisker.best, .dot.best, .curve.best { stroke: var(--best); }
.whisker.other, .dot.other { stroke: var(--other); }
.dot.model, .column.model { fill: var(--model); }
.curve { fill: none; stroke-width: 1.6; opacity: .75; }
.curve.best { stroke-dasharray: 5 4; }
.step { fill: none; stroke: var(--best); stroke-width: 2.4; stroke-dasharray: 6 3; }
.key { display: inline-block; width: 13px; height: 13px; vertical-align: -2px; border-radius: 50%;
  background: var(--model); }
.key.best { border: 2px solid var(--best); border-radius: 0; background: none; }
.legend { display: flex; flex-wrap: wrap; gap: 5px 20px; margin: 10px 0 14px; padding: 0; list-style: none;
  color: var(--soft); font-size: .87rem; }
.legend .swatch { display: inline-block; width: 28px; height: 14px; vertical-align: -2px; }
.legend .strip { display: inline-block; width: 22px; height: 7px; border-radius: 2px; vertical-align: 2px; }
.legend .strip.silent { height: 11px; vertical-align: 0; }

.map { max-width: 620px; margin: 0 auto; }
.card-box { fill: var(--paper); stroke: var(--soft); stroke-width: 1.3; }
.off-path .card-box { stroke-dasharray: 4 3; }
.name text { font-weight: 640; }
svg .position { font-weight: 400; fill: var(--soft); }
.card .small { font-size: 10.5px; fill: var(--soft); }
.ribbon { fill-opacity: .9; }
.ribbon.forward { fill-opacity: .62; }
.ribbons g:hover .ribbon { fill-opacity: 1; stroke: var(--ink); }
.forward { fill: var(--forward); }
.ribbon.reentry { fill: url(#pattern-reentry); }
.ribbon.detour { fill: url(#pattern-detour); }
.ribbon.regression { fill: url(#pattern-regression); }
.head.reentry, .reentry .ground { fill: var(--reentry); }
.head.detour, .detour .ground, .detour .spot { fill: var(--detour); }
.head.regression, .regression .ground { fill: var(--regression); }
.pattern .ground { fill-opacity: .3; }
.pattern .mark { fill: none; stroke-width: 1.8; }
.reentry .mark { stroke: var(--reentry); }
.regression .mark { stroke: var(--regression); }
.counts text { font-size: 11px; font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 3px;
  stroke-linejoin: round; pointer-events: none; }
.active { fill: var(--forward); background: var(--forward); }
.silent { fill: var(--bad); background: var(--bad); }
.unscored { fill: var(--line); background: var(--line); stroke: var(--soft); stroke-width: .6;
  outline: 1px solid var(--soft); outline-offset: -1px; }

@media (max-width: 900px) {
  .columns { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 560px) {
  .wrap { padding: 0 12px; }
  header.top { padding: 22px 0 20px; }
  section { margin: 13px 0; padding: 19px 15px 14px; border-radius: 9px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 9px; margin-top: 13px; }
  .tiles li { padding: 11px 12px; }
  .tiles .value { font-size: 1.3rem; }
  .facts { grid-template-columns: 1fr 1fr; gap: 11px 16px; }
  .map { width: calc(100% + 26px); margin: 0 -13px; }
  .card .small { font-size: 11.2px; }
  .bar { min-width: 44px; }
  th, td { padding-right: 10px; }
  footer { padding: 2px 12px 30px; }
}
@media print {
  @page { margin: 14mm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { background: none; font-size: 10pt; }
  nav.contents, .skip { display: none; }
  header.top { padding: 0 0 8px; background: none; color: var(--ink); border-bottom: 2px solid var(--ink); }
  .eyebrow, .lede + .lede { color: var(--soft); }
  .wrap { max-width: none; padding: 0; }
  section { margin: 0; padding: 14px 0; border: 0; border-top: 1px solid var(--line); border-radius: 0; }
  figure, tr, .box, .tiles li, .facts div { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  .scroll { overflow: visible; }
  .map { max-height: 230mm; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
