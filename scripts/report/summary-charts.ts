import type { Mode } from '../../contract/inputs';
import { timeAxis, type Drawing } from './chart';
import { limit, percent, time } from './figures';
import type { Html } from './html';
import type { VmReport } from './vms';

/** A measured time of a VM. */
export interface Measured {
  readonly mode: Mode;
  readonly ms: number;
}

const LOOKS = {
  modified: { stroke: 'var(--modified)', strokeDasharray: 'none', symbol: 'circle' },
  conventional: { stroke: 'var(--conventional)', strokeDasharray: '7 4', symbol: 'square' },
} as const;

interface Point {
  readonly ms: number;
  /** Share of the VMs, percent. */
  readonly share: number;
}

/** Which share of VMs had at most how much of it; budgets as lines. Times far apart are on a logarithmic axis. */
export function distributionChart(
  { Plot, draw }: Drawing,
  title: string,
  label: string,
  measured: readonly Measured[],
  budgetsMs: readonly number[],
): Html {
  const series = (['modified', 'conventional'] as const).flatMap((mode) => {
    const times = measured.filter((m) => m.mode === mode && m.ms > 0);
    const sorted = times.map(({ ms }) => ms).sort((a, b) => a - b);
    const points = sorted.map((ms, index) => ({ ms, share: ((index + 1) / sorted.length) * 100 }));
    return points.length === 0 ? [] : [{ mode, points, last: points.slice(-1) }];
  });
  const all = [...series.flatMap(({ points }) => points.map(({ ms }) => ms)), ...budgetsMs];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const isLogarithmic = most / least > 8;
  const margin = 0.1 * (most - least) || 1;
  const domain = isLogarithmic ? [least * 0.8, most * 1.2] : [least - margin, most + margin];
  return draw(title, describe(series), {
    height: 260,
    marginLeft: 52,
    marginRight: 96,
    marginBottom: 46,
    marginTop: 26,
    x: { type: isLogarithmic ? 'log' : 'linear', domain },
    y: { domain: [0, 100] },
    marks: [
      Plot.gridY({ ticks: PERCENTS, stroke: 'var(--line)', strokeOpacity: 0.35 }),
      timeAxis(Plot, `${label}${isLogarithmic ? ', logarithmic' : ''}`, {
        ticks: isLogarithmic ? roundTimes(domain) : 6,
        tickFormat: limit,
      }),
      Plot.axisY({ ticks: PERCENTS, label: '% of VMs', labelArrow: 'none' }),
      Plot.ruleX(budgetsMs, { stroke: 'var(--budget)', strokeWidth: 2, strokeDasharray: '2 3' }),
      Plot.text(budgetsMs, {
        x: (ms: number) => ms,
        frameAnchor: 'top',
        dy: -18,
        text: (ms: number) => `budget ${limit(ms)}`,
      }),
      ...series.flatMap(({ mode, points, last }) => {
        const { symbol, ...line } = LOOKS[mode];
        return [
          Plot.line(points, { x: 'ms', y: 'share', curve: 'step-after', strokeWidth: 2, ...line }),
          Plot.dot(points.length > MOST_DOTS ? last : points, {
            x: 'ms',
            y: 'share',
            r: 3.5,
            symbol,
            fill: line.stroke,
            title: ({ ms }: Point) => time(ms),
          }),
          Plot.text(last, {
            x: 'ms',
            y: 'share',
            text: () => mode,
            textAnchor: 'start',
            dx: 8,
            dy: mode === 'modified' ? 0 : 14,
            stroke: 'var(--page)',
            strokeWidth: 4,
            fill: 'currentColor',
          }),
        ];
      }),
    ],
  });
}

const MOST_DOTS = 60;
const PERCENTS = [0, 25, 50, 75, 100];

const describe = (series: readonly { readonly mode: Mode; readonly points: readonly Point[] }[]) =>
  series
    .map(({ mode, points }) => {
      const [first, last] = [points[0]?.ms ?? 0, points.at(-1)?.ms ?? 0];
      return `${points.length} VMs ${mode}, from ${time(first)} to ${time(last)}.`;
    })
    .join(' ');

/** 1, 2 and 5 of each power of ten; only the powers where that would be too many. */
function roundTimes([from = 1, to = 1]: readonly number[]): number[] {
  const powers = Array.from({ length: 12 }, (_, index) => 10 ** (index - 4));
  const within = (ms: number) => ms >= from && ms <= to;
  const fine = powers.flatMap((power) => [power, 2 * power, 5 * power]).filter(within);
  return fine.length <= 9 ? fine : powers.filter(within);
}

export interface Spent {
  readonly vm: VmReport;
  /** Of the budget of one blackout, from 0; above 1 it was exceeded. */
  readonly share: number;
}

/** A bar a VM: how much of its blackout budget was spent. */
export function budgetChart({ Plot, draw }: Drawing, title: string, spent: readonly Spent[]): Html {
  const names = spent.map(({ vm }) => nameOf(vm));
  const most = Math.max(1, ...spent.map(({ share }) => share));
  const bars = spent.map(({ share }, place) => ({ place, percent: share * 100, share }));
  type Bar = (typeof bars)[number];
  return draw(
    title,
    spent.map(({ share }, i) => `${names[i] ?? ''}: ${percent(share)}`).join('. '),
    {
      height: 66 + 24 * spent.length,
      marginLeft: 20 + 7.6 * Math.max(...names.map(({ length }) => length)),
      marginRight: 60,
      marginBottom: 46,
      marginTop: 8,
      x: { domain: [0, most * 100] },
      y: { domain: bars.map(({ place }) => place), label: null },
      marks: [
        Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 0.35 }),
        timeAxis(Plot, '% of the budget', { ticks: 6 }),
        Plot.axisY({ tickSize: 0, tickFormat: (place: number) => names[place] ?? '' }),
        Plot.barX(bars, {
          x: 'percent',
          y: 'place',
          fill: 'var(--modified)',
          insetTop: 4,
          insetBottom: 4,
        }),
        Plot.text(bars, {
          x: 'percent',
          y: 'place',
          text: ({ share }: Bar) => percent(share),
          textAnchor: 'start',
          dx: 5,
          fill: 'currentColor',
          stroke: 'var(--page)',
          strokeWidth: 4,
        }),
        Plot.ruleX([100], { stroke: 'var(--budget)', strokeWidth: 2, strokeDasharray: '2 3' }),
      ],
    },
  );
}

/** Of hosts with long names the end tells more than the beginning. */
const nameOf = ({ hostId, vmId }: VmReport): string => {
  const name = hostId === null ? vmId : `${hostId} ${vmId}`;
  return name.length <= 26 ? name : `…${name.slice(-25)}`;
};
