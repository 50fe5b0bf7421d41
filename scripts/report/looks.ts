/**
 * How the page looks: light, dark and on paper. Colours are variables, so that charts follow; what a colour says is said
 * by a pattern, a shape or a word as well.
 */
export const STYLE = `
:root { color-scheme: light dark;
  --page: #fff; --text: #1b1f24; --soft: #57606a; --line: #8c959f; --frame: #f3f5f8; --link: #0550ae;
  --running: #e3f1e6; --preparing: #b6d4f4; --dark: #3b2e7e; --on-dark: #b9aef5; --stranded: #a40e26; --host: #6e7781;
  --vf: #1a7f37; --synthetic: #9a6700; --retried: #9a6700; --failed: #a40e26; --fault: #8250df;
  --modified: #0b5cad; --conventional: #b35900; --budget: #a40e26; }
@media screen and (prefers-color-scheme: dark) { :root {
  --page: #0d1117; --text: #e6edf3; --soft: #9da7b3; --line: #6e7681; --frame: #161b22; --link: #79c0ff;
  --running: #16331f; --preparing: #1f4d80; --dark: #8f7ff0; --on-dark: #2d2266; --stranded: #ff7b72; --host: #8b949e;
  --vf: #3fb950; --synthetic: #d29922; --retried: #e3b341; --failed: #ff7b72; --fault: #d2a8ff;
  --modified: #58a6ff; --conventional: #f0883e; --budget: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0 1rem 2rem; max-width: 72rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 1rem 0; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 0; display: inline; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -100rem; } .skip:focus { position: static; }
dl { margin: .5rem 0; } dl > div { display: flex; gap: 1rem; margin: .2rem 0; }
dt { flex: 0 0 10rem; color: var(--soft); } dd { margin: 0; flex: 1; min-width: 0; }
@media (max-width: 40rem) { dl > div { display: block; } }
.scroll { overflow-x: auto; margin: 1rem 0; position: relative; }
table { border-collapse: collapse; font-size: .875rem; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; white-space: nowrap; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line);
  font-weight: normal; max-width: 34rem; }
thead th { color: var(--soft); }
tbody th, td a { white-space: nowrap; }
td:empty::after { content: '–'; color: var(--soft); }
${rightAligned(10)} { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } figure .scroll { margin: 0; }
figure svg { display: block; width: 100%; min-width: 40rem; max-width: 62rem; height: auto; }
figcaption, .legend, footer { color: var(--soft); font-size: .875rem; }
details { margin: .4rem 0; } summary { cursor: pointer; padding: .2rem 0; }
.host { border: 1px solid var(--line); border-radius: 6px; padding: .4rem .8rem; margin: .8rem 0; }
.failure { border-left: 4px solid var(--failed); background: var(--frame); padding: .1rem 1rem .5rem; margin: 1rem 0; }
.failure h2 { margin-top: .6rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; }
.legend svg { width: 1.8rem; height: .9rem; vertical-align: -.1rem; overflow: visible; }
.definitions { position: absolute; width: 0; height: 0; }
@media print {
  :root { color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .skip { display: none; } a { color: inherit; text-decoration: none; }
  .scroll { overflow: visible; } figure, tr, .failure { break-inside: avoid; } h2, h3, caption, summary { break-after: avoid; }
  figure svg { min-width: 0; }
  .host::details-content { content-visibility: visible; block-size: auto; } }
`;

/** Columns are aligned by the classes of their table: `r3` is the third. */
function rightAligned(columns: number): string {
  return Array.from({ length: columns }, (_, index) => index + 1)
    .map((column) => `.r${column} :is(th, td):nth-child(${column})`)
    .join(', ');
}

/** Patterns that charts are filled with. */
export const DEFINITIONS = `<svg class="definitions" aria-hidden="true"><defs>
<pattern id="dark" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="var(--dark)"/><rect width="2" height="7" fill="var(--on-dark)"/></pattern>
<pattern id="stranded" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="var(--page)"/><path d="M0,0L6,6M6,0L0,6" stroke="var(--stranded)" stroke-width="1.5"/></pattern>
<pattern id="synthetic" width="5" height="5" patternUnits="userSpaceOnUse"><rect width="5" height="5" fill="var(--page)"/><rect width="3" height="5" fill="var(--synthetic)"/></pattern>
</defs></svg>`;

const swatch = (fill: string) =>
  `<svg viewBox="0 0 28 14" aria-hidden="true"><rect width="28" height="14" fill="${fill}" stroke="var(--line)"/></svg>`;
const mark = (path: string) =>
  `<svg viewBox="-14 -7 28 14" aria-hidden="true"><path d="${path}"/></svg>`;

/** What is in a chart of a host. */
export const LEGEND = `<ul class="legend">
<li>${swatch('var(--running)')} runs</li>
<li>${swatch('var(--preparing)')} runs, being prepared or concluded</li>
<li>${swatch('url(#dark)')} dark: paused, saved, being restored</li>
<li>${swatch('url(#stranded)')} stranded</li>
<li>${swatch('var(--host)')} steps of the host</li>
<li>${swatch('var(--vf)')} below: packets go over the VF</li>
<li>${swatch('url(#synthetic)')} over the synthetic adapter</li>
<li>${swatch('none')} nowhere</li>
<li>${mark('M0,-6L6,5L-6,5Z" fill="var(--retried)')} a step that was retried</li>
<li>${mark('M-5,-5L5,5M5,-5L-5,5" stroke-width="2.5" stroke="var(--failed)')} a step that failed</li>
<li>${mark('M0,-6L6,0L0,6L-6,0Z" fill="var(--fault)')} a fault was injected, and the step went through</li>
</ul>`;
