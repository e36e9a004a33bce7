"""The page's style: light and dark, wide and narrow."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1c1c; --quiet: #5a5a5a; --line: #d8d8d8; --soft: #f4f4f2;
  --pass: #2f6f9f; --warn: #9a6700; --fail: #b3261e; --through: #8a5fa8; --bad: #fbeae8; --odd: #fdf3dc; }
@media (prefers-color-scheme: dark) {
  :root { --back: #161616; --text: #ececec; --quiet: #a8a8a8; --line: #3c3c3c; --soft: #222; --pass: #7db4dc;
    --warn: #e0b050; --fail: #ff8a7d; --through: #c39ae0; --bad: #3a1f1c; --odd: #33290f; }
}
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: var(--back); color: var(--text);
  font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; overflow-wrap: anywhere; }
code { font-size: .92em; overflow-wrap: anywhere; }
.verdict b { display: inline-block; padding: .1rem .7rem; margin-right: .4rem; border-radius: .3rem; color: var(--back);
  text-transform: uppercase; letter-spacing: .05em; }
.verdict.pass b { background: var(--pass); } .verdict.warn b { background: var(--warn); }
.verdict.fail b { background: var(--fail); }
.reason { margin: .4rem 0; max-width: 60rem; }
.note, figcaption, summary { color: var(--quiet); font-size: .875rem; max-width: 60rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { vertical-align: bottom; } .t { text-align: left; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--back); }
tr.fail td { background: var(--bad); } tr.warn td { background: var(--odd); }
tr.fail td:last-child { color: var(--fail); font-weight: 600; } tr.warn td:last-child { color: var(--warn); }
figure { margin: 1rem 0; } figcaption { margin-top: .4rem; }
.legend span { margin-right: 1.2rem; white-space: nowrap; }
.legend i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .35rem; }
.legend .pass { background: var(--pass); } .legend .warn { background: var(--warn); }
.legend .fail { background: var(--fail); }
.legend .through, .legend .floor { border-radius: 0; height: .15rem; vertical-align: middle; }
.legend .through { background: var(--through); } .legend .floor { background: var(--quiet); }
svg { display: block; max-width: 100%; min-width: 44rem; height: auto; }
svg text { fill: var(--quiet); font: 11px system-ui, sans-serif; }
svg .end { text-anchor: end; } svg .grid { stroke: var(--line); }
svg .unit { stroke: var(--quiet); stroke-dasharray: 3 4; opacity: .7; }
svg polyline { fill: none; stroke-width: 1.3; } svg .through { stroke: var(--through); }
svg .floor { stroke: var(--quiet); opacity: .8; }
svg circle.pass { fill: var(--pass); } svg circle.warn { fill: var(--warn); } svg circle.fail { fill: var(--fail); }
svg .lost { stroke: var(--fail); stroke-width: 2; }
.clip { margin: .8rem 0; padding: .6rem .8rem; background: var(--soft); border-radius: .3rem; }
.clip p { margin: .2rem 0; overflow-wrap: anywhere; } .clip .who { color: var(--quiet); font-size: .8rem; }
.clip mark { background: var(--odd); color: inherit; border-bottom: 2px solid var(--warn); }
.clip.fail mark { background: var(--bad); border-color: var(--fail); }
@media (max-width: 45rem) { th, td { padding: .25rem .4rem; } .legend span { white-space: normal; display: block; }
  td:first-child { min-width: 6rem; max-width: 9rem; white-space: normal; overflow-wrap: break-word; } }
"""
