import Table from 'cli-table3';
import { time } from '../report/figures';
import { markdownTable } from '../markdown-table';
import { HONESTY, type Comparison, type WayFigures } from './comparison';

const HEAD = [
  'way',
  'blackout: median, longest',
  'VF path outage: median, longest',
  'guest events',
  'packets lost: median, most',
  'steps',
  'VF identity kept',
];

const row = (way: WayFigures): string[] => [
  way.name,
  `${time(way.blackoutMs.median)}, ${time(way.blackoutMs.max)}`,
  `${time(way.vfOutageMs.median)}, ${time(way.vfOutageMs.max)}`,
  String(way.guestVisibleEvents),
  `${way.packetsLost.median}, ${way.packetsLost.max}`,
  String(way.steps),
  way.identityKept ? 'yes' : 'no',
];

const conditions = ({ profile, timeScale, seed, packetsPerSecond, ways }: Comparison): string =>
  `${ways[0]?.vms.length ?? 0} VMs for each way, latency profile ${profile}, time scale ${timeScale}, seed ${seed}, ${packetsPerSecond} packets a second for each VM.`;

export function comparisonTable(comparison: Comparison): string {
  const table = new Table({
    head: HEAD,
    style: { head: [], border: [] },
    wordWrap: true,
    colWidths: [24, 20, 20, 8, 16, 7, 10],
  });
  for (const way of comparison.ways) table.push(row(way));
  const notes = HONESTY.map((note) => `- ${note}`).join('\n');
  return `${table.toString()}\n${conditions(comparison)}\n\n${notes}\n`;
}

/** The same as a page, with the plot beside it. */
export const comparisonPage = (comparison: Comparison, plot: string): string => `# Side by side

Made by \`npm run compare\`: four ways to get the VMs of a host out of the way of an update, on one latency profile and seed.
The numbers are medians of the VMs and the longest. ${conditions(comparison)}

${markdownTable([HEAD, ...comparison.ways.map(row)])}
![Blackout and VF path outage of each VM, by way](${plot})

## What the numbers are

${HONESTY.map((note) => `- ${note}`).join('\n')}
`;
