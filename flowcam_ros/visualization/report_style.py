# SPDX-License-Identifier: Apache-2.0
"""The style sheet of the report page: light, dark, and on paper."""

_LIGHT = """
  --page: #f4f6f8; --card: #ffffff; --ink: #1f2933; --soft: #616e7c; --rule: #e4e7eb;
  --estimate: #1668dc; --start: #e08c0b; --third: #12927c; --truth: #9aa4b2; --error: #d4380d;
  --band: #f4f6f8; --good: #12805c; --good-back: #e6f6ef; --warning: #a15c00;
  --warning-back: #fff4de; --bad: #c02f0a; --bad-back: #fdebe6; --note: #45607f;
  --note-back: #eaf0f7;
"""
_DARK = """
  --page: #12161c; --card: #1b2129; --ink: #e6eaef; --soft: #98a4b3; --rule: #2e3742;
  --estimate: #69a8ff; --start: #f2ae46; --third: #4cc9b0; --truth: #6c7a8b; --error: #ff7d57;
  --band: #232b35; --good: #5fd6a4; --good-back: #16332a; --warning: #f5b95a;
  --warning-back: #3a2d14; --bad: #ff8c6b; --bad-back: #3d1f17; --note: #9dbbe0;
  --note-back: #1f2c3c;
"""

STYLE = f""":root {{ color-scheme: light dark; {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans",
  sans-serif; }}
main {{ max-width: 1160px; margin: 0 auto; padding: 32px 20px 48px; }}
header .kind {{ color: var(--soft); font-size: 12px; letter-spacing: .09em;
  text-transform: uppercase; }}
h1 {{ font-size: 27px; line-height: 1.25; margin: 2px 0 2px; overflow-wrap: anywhere; }}
header .source {{ color: var(--soft); font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }}
h2 {{ font-size: 16px; margin: 0 0 12px; }}
h3 {{ font-size: 13px; font-weight: 600; color: var(--soft); margin: 14px 0 6px; }}
.verdict {{ margin: 22px 0 16px; border-radius: 10px; padding: 18px 22px; border: 1px solid; }}
.verdict h2 {{ font-size: 19px; margin: 0; }}
.verdict.good {{ background: var(--good-back); border-color: var(--good); }}
.verdict.warning {{ background: var(--warning-back); border-color: var(--warning); }}
.verdict.bad {{ background: var(--bad-back); border-color: var(--bad); }}
.verdict ul {{ list-style: none; margin: 12px 0 0; padding: 0; }}
.verdict li {{ display: flex; gap: 11px; padding: 4px 0; }}
.verdict li p {{ margin: 0; }}
.verdict .remedy {{ color: var(--soft); }}
.badge {{ flex: none; width: 20px; height: 20px; margin-top: 2px; border-radius: 50%;
  font-size: 12px; line-height: 20px; text-align: center; font-weight: 700; color: var(--card); }}
.badge.good {{ background: var(--good); }} .badge.warning {{ background: var(--warning); }}
.badge.bad {{ background: var(--bad); }} .badge.note {{ background: var(--note); }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px;
  margin: 0 0 16px; padding: 0; }}
.tile {{ background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 12px 16px; }}
.tile dt {{ color: var(--soft); font-size: 12.5px; }}
.tile dd {{ margin: 1px 0 0; font-size: 20px; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums; }}
.tile dd small {{ display: block; font-size: 12.5px; font-weight: 400; color: var(--soft); }}
.cards {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }}
.card {{ background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 16px 20px; min-width: 0; }}
.card.wide {{ grid-column: 1 / -1; }}
.remark {{ color: var(--soft); font-size: 13px; margin: 8px 0 0; }}
figure {{ margin: 0; min-width: 0; }}
figcaption {{ color: var(--soft); font-size: 13px; display: flex; justify-content: space-between;
  gap: 8px; flex-wrap: wrap; }}
.pair {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 20px; }}
.triple {{ display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 18px; }}
.triple figure > img {{ width: 100%; height: auto; display: block; border-radius: 5px;
  image-rendering: auto; }}
.triple figcaption {{ margin-top: 3px; }}
.strip:first-of-type h3 {{ margin-top: 0; }}
.scale {{ display: inline-flex; align-items: center; gap: 6px;
  font-variant-numeric: tabular-nums; white-space: nowrap; }}
.scale img {{ border-radius: 2px; }}
.legend {{ list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 6px;
  padding: 0; font-size: 13px; color: var(--soft); }}
.legend i {{ display: inline-block; width: 18px; height: 0; border-top: 3px solid;
  margin-right: 7px; vertical-align: 4px; border-radius: 2px; }}
.legend .estimate {{ border-color: var(--estimate); }}
.legend .start {{ border-color: var(--start); }}
.legend .final {{ border-color: var(--soft); border-top-style: dashed; border-top-width: 2px; }}
.legend .third {{ border-color: var(--third); }}
.legend .truth {{ border-color: var(--truth); border-top-width: 5px; }}
.legend .loop {{ border-color: var(--error); border-top-style: dashed; border-top-width: 2px; }}
svg {{ width: 100%; height: auto; display: block; overflow: visible; }}
svg text {{ font-size: 11.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }}
svg .end {{ text-anchor: end; }} svg .middle {{ text-anchor: middle; }}
svg .grid {{ stroke: var(--rule); stroke-width: 1; }}
svg .rule {{ stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 3; }}
svg .line {{ fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }}
svg .line.estimate {{ stroke: var(--estimate); }} svg .line.start {{ stroke: var(--start); }}
svg .line.third {{ stroke: var(--third); }}
svg .line.truth {{ stroke: var(--truth); stroke-width: 5; }}
svg .line.loop {{ stroke: var(--error); stroke-width: 1.2; stroke-dasharray: 4 3; }}
svg .first {{ fill: var(--card); stroke: var(--ink); stroke-width: 1.6; }}
svg .last {{ fill: var(--ink); }} svg .band {{ fill: var(--band); }}
svg .sure {{ fill: var(--soft); opacity: .16; }} svg .no-band {{ fill: none; }}
svg .fill-estimate {{ fill: var(--estimate); }} svg .fill-error {{ fill: var(--error); }}
table {{ border-collapse: collapse; width: 100%; font-size: 13.5px; }}
th {{ text-align: left; font-weight: 400; color: var(--soft); padding: 3px 14px 3px 0;
  vertical-align: top; white-space: nowrap; }}
td {{ padding: 3px 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }}
.bars th {{ width: 1%; }} .bars .track {{ vertical-align: middle; }}
.bars .value {{ width: 1%; white-space: nowrap; text-align: right; padding-left: 12px; }}
.bar {{ display: block; height: 11px; border-radius: 3px; }}
.bar.fill-estimate {{ background: var(--estimate); }}
.bar.fill-third {{ background: var(--third); }}
footer {{ color: var(--soft); font-size: 12.5px; margin-top: 22px; }}
@media screen and (max-width: 760px) {{ .cards, .pair, .triple {{
  grid-template-columns: minmax(0, 1fr); }} th {{ white-space: normal; }} }}
@media print {{ body {{ background: #fff; font-size: 12px; }}
  main {{ max-width: none; padding: 0; }}
  .card, .tile, .verdict, .strip {{ break-inside: avoid; }}
  .verdict, .badge, .bar, svg, img {{ print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }} @page {{ margin: 14mm; }} }}
"""
