import { startDrawing, timeAxis } from '../report/chart';
import { limit, time } from '../report/figures';
import type { Comparison } from './comparison';

interface Point {
  readonly way: string;
  readonly what: string;
  readonly ms: number;
}

/** A picture of its own, for a page or a slide: a white ground, and no colour that says something alone. */
const LOOKS = {
  blackout: { symbol: 'circle', fill: '#3b2e7e' },
  'VF path outage': { symbol: 'square', fill: '#b35900' },
} as const;
type What = keyof typeof LOOKS;
const WHATS = Object.keys(LOOKS) as readonly What[];

/** No time is drawn as this one: the axis is logarithmic. */
const LEAST_MS = 1;

/** Every VM's blackout and VF path outage, a row for each way, as SVG. */
export async function comparisonPlot({ ways }: Comparison): Promise<string> {
  const { Plot, draw } = await startDrawing();
  const points = ways.flatMap(({ name, vms }) =>
    vms.flatMap((vm): Point[] => [
      { way: name, what: 'blackout', ms: vm.blackoutMs },
      { way: name, what: 'VF path outage', ms: vm.vfOutageMs },
    ]),
  );
  const most = Math.max(LEAST_MS * 10, ...points.map(({ ms }) => ms));
  const description = ways
    .map(
      ({ name, blackoutMs, vfOutageMs }) =>
        `${name}: blackout ${time(blackoutMs.median)}, VF path outage ${time(vfOutageMs.median)}`,
    )
    .join('; ');
  const svg = draw('Blackout and VF path outage of each VM, by way', `Medians: ${description}.`, {
    height: 90 + ways.length * 46,
    marginLeft: 240,
    marginTop: 34,
    marginBottom: 46,
    x: { type: 'log', domain: [LEAST_MS, most * 1.3] },
    y: { type: 'band', domain: ways.map(({ name }) => name), padding: 0.25 },
    marks: [
      Plot.frame({ fill: '#ffffff', stroke: 'none', inset: -400 }),
      Plot.gridX({ stroke: '#8c959f', strokeOpacity: 0.35, ticks: 6 }),
      timeAxis(Plot, 'time, logarithmic', { ticks: 6, tickFormat: limit }),
      Plot.axisY({ label: null, tickSize: 0 }),
      ...WHATS.map((what, index) =>
        Plot.dot(
          points.filter((point) => point.what === what),
          {
            x: ({ ms }: Point) => Math.max(LEAST_MS, ms),
            y: 'way',
            dy: index === 0 ? -7 : 7,
            r: 4,
            fillOpacity: 0.75,
            ...LOOKS[what],
            title: ({ way, ms }: Point) => `${way}, ${what}: ${time(ms)}`,
          },
        ),
      ),
      Plot.text(['● blackout      ■ VF path outage'], {
        frameAnchor: 'top-left',
        textAnchor: 'start',
        dy: -20,
      }),
    ],
  });
  // Inside a page the namespace goes without saying, in a file of its own it does not.
  const file = (await svg).toString().replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ');
  return `${file}\n`;
}
