import type { VmPhase } from '../../contract/host';
import type { VmState } from '../replay/vm-states';
import { WIDTH, timeAxis, type Drawing } from './chart';
import { time } from './figures';
import type { Html } from './html';
import type { HostReport } from './hosts';
import type { Dark, Mark, Span } from './timeline';
import type { VmReport } from './vms';

/** How phases and data paths are filled: by a colour of the page, or a pattern in it, so that print has them too. */
const PHASE_FILL: Readonly<Record<VmPhase, string>> = {
  running: 'var(--running)',
  preparing: 'var(--preparing)',
  paused: 'url(#dark)',
  crossed: 'url(#dark)',
  saved: 'url(#dark)',
  restoring: 'url(#dark)',
  recovering: 'url(#dark)',
  incoming: 'url(#dark)',
  relinquished: 'url(#dark)',
  stranded: 'url(#stranded)',
};
const PATH_FILL: Readonly<Record<VmState['path'], string>> = {
  vf: 'var(--vf)',
  synthetic: 'url(#synthetic)',
  none: 'none',
};

/** Where a lane's bars are in it, from 0 to 1. */
const PHASES = { top: 0.1, bottom: 0.58 };
const PATHS = { top: 0.66, bottom: 0.86 };
const LANE_HEIGHT = 38;
const LONGEST_NAME = 18;

type Range = readonly [fromMs: number, toMs: number];

/** A part of a VM's timeline, with the lane it belongs into. */
interface InLane<What> {
  readonly what: What;
  readonly lane: number;
  readonly vm: VmReport;
}

/**
 * One lane for the host, one for each VM: phases above, the data path below; where blackouts are a small part of it, they
 * are drawn once more, larger. Empty where no history tells of times.
 */
export function hostCharts(
  drawing: Drawing,
  name: string,
  vms: readonly VmReport[],
  hostSteps: HostReport['steps'],
): Html[] {
  const all = rangeOf(vms.flatMap(({ timeline }) => [...timeline.phases, ...timeline.dark]));
  if (all === null) return [];
  const whole = chart(drawing, `${name} over time`, vms, hostSteps, all);
  const dark = rangeOf(vms.flatMap(({ timeline }) => timeline.dark));
  if (dark === null || lengthOf(dark) > SMALL_PART * lengthOf(all)) return [whole];
  const margin = 0.15 * lengthOf(dark);
  const around: Range = [Math.max(all[0], dark[0] - margin), Math.min(all[1], dark[1] + margin)];
  return [whole, chart(drawing, `${name} around their blackouts`, vms, hostSteps, around, all[0])];
}

const SMALL_PART = 0.4;
const lengthOf = ([fromMs, toMs]: Range): number => toMs - fromMs;

function rangeOf(spans: readonly Span<unknown>[]): Range | null {
  return spans.length === 0
    ? null
    : [Math.min(...spans.map((span) => span.fromMs)), Math.max(...spans.map((span) => span.toMs))];
}

function chart(
  { Plot, draw }: Drawing,
  title: string,
  vms: readonly VmReport[],
  hostSteps: HostReport['steps'],
  [fromMs, toMs]: Range,
  zeroMs = fromMs,
): Html {
  const within = ({ fromMs: from, toMs: to }: Span<unknown>) => to > fromMs && from < toMs;
  const seen = hostSteps.filter(within);
  const names = [...(seen.length === 0 ? [] : ['host']), ...vms.map(({ vmId }) => vmId)];
  const firstVm = names.length - vms.length;
  const unitMs = toMs - fromMs > 10_000 ? 1_000 : 1;
  const at = (ms: number) => (Math.min(Math.max(ms, fromMs), toMs) - zeroMs) / unitMs;
  const marginLeft =
    20 + 8 * Math.min(LONGEST_NAME, Math.max(...names.map(({ length }) => length)));

  const inLanes = <What>(pick: (vm: VmReport) => readonly What[]): InLane<What>[] =>
    vms.flatMap((vm, index) => pick(vm).map((what) => ({ what, lane: firstVm + index, vm })));
  const bars = <What>(
    spans: readonly InLane<Span<What>>[],
    { top, bottom }: typeof PHASES,
    fill: string,
    name: (what: What) => string,
  ) =>
    Plot.rect(spans, {
      x1: ({ what }: InLane<Span<What>>) => at(what.fromMs),
      x2: ({ what }: InLane<Span<What>>) => at(what.toMs),
      y1: ({ lane }: InLane<Span<What>>) => lane + top,
      y2: ({ lane }: InLane<Span<What>>) => lane + bottom,
      fill,
      stroke: 'var(--line)',
      strokeWidth: 0.5,
      title: ({ what }: InLane<Span<What>>) =>
        `${name(what.what)}, ${time(what.toMs - what.fromMs)}`,
    });
  const phases = inLanes((vm) => vm.timeline.phases.filter(within));
  const paths = inLanes((vm) => vm.timeline.paths.filter(within));
  const marks = inLanes((vm) =>
    vm.timeline.marks.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs),
  );
  const widthOf = (step: Span<string>) =>
    ((at(step.toMs) - at(step.fromMs)) / (at(toMs) - at(fromMs))) * (WIDTH - marginLeft);

  return draw(title, description(vms), {
    height: 60 + names.length * LANE_HEIGHT,
    marginLeft,
    marginTop: 6,
    marginRight: 20,
    marginBottom: 46,
    x: { domain: [at(fromMs), at(toMs)] },
    y: { domain: [0, names.length], reverse: true },
    marks: [
      Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 0.35 }),
      timeAxis(Plot, `${unitMs === 1 ? 'ms' : 's'} since the first step of a VM`),
      Plot.axisY({
        ticks: names.map((_name, index) => index + 0.45),
        tickFormat: (place: number) => shortened(names[Math.floor(place)] ?? ''),
        tickSize: 0,
        label: null,
      }),
      Plot.rect(seen, {
        x1: (step: Span<string>) => at(step.fromMs),
        x2: (step: Span<string>) => at(step.toMs),
        y1: 0.2,
        y2: 0.72,
        fill: 'var(--host)',
        stroke: 'var(--page)',
        title: (step: Span<string>) => `${step.what}, ${time(step.toMs - step.fromMs)}`,
      }),
      Plot.text(
        seen.filter((step) => widthOf(step) > 9 * step.what.length),
        {
          x: (step: Span<string>) => at(step.fromMs),
          y: () => 0.46,
          text: 'what',
          textAnchor: 'start',
          dx: 5,
          fill: 'var(--page)',
        },
      ),
      ...PHASE_FILLS.map((fill) =>
        bars(
          phases.filter(({ what }) => PHASE_FILL[what.what] === fill),
          PHASES,
          fill,
          String,
        ),
      ),
      ...PATH_FILLS.map((fill) =>
        bars(
          paths.filter(({ what }) => PATH_FILL[what.what] === fill),
          PATHS,
          fill,
          (path) => `data path: ${path}`,
        ),
      ),
      Plot.text(
        inLanes((vm) => vm.timeline.dark.filter(within)),
        {
          x: ({ what }: InLane<Dark>) => at(what.toMs),
          y: ({ lane }: InLane<Dark>) => lane + 0.34,
          text: ({ what, vm }: InLane<Dark>) => darkText(what, vm),
          textAnchor: 'start',
          dx: 8,
          fill: 'currentColor',
          stroke: 'var(--page)',
          strokeWidth: 4,
        },
      ),
      ...MARK_KINDS.map((kind) =>
        Plot.dot(
          marks.filter(({ what }) => what.kind === kind),
          {
            x: ({ what }: InLane<Mark>) => at(what.atMs),
            y: ({ lane }: InLane<Mark>) => lane + PHASES.top,
            r: 5,
            title: ({ what }: InLane<Mark>) => markText(what),
            ...MARK_LOOKS[kind],
          },
        ),
      ),
    ],
  });
}

const PHASE_FILLS = [...new Set(Object.values(PHASE_FILL))];
const PATH_FILLS = Object.values(PATH_FILL);

const MARK_KINDS = ['fault', 'retried', 'failed'] as const satisfies readonly Mark['kind'][];
const MARK_LOOKS = {
  fault: { symbol: 'diamond', fill: 'var(--fault)', stroke: 'var(--page)' },
  retried: { symbol: 'triangle', fill: 'var(--retried)', stroke: 'var(--page)' },
  failed: { symbol: 'times', stroke: 'var(--failed)', strokeWidth: 2.5 },
} as const satisfies Record<Mark['kind'], object>;

export const markText = ({ kind, step, attempts, fault }: Mark): string =>
  [
    kind === 'failed' ? `${step} failed` : step,
    attempts === null || attempts < 2 ? '' : `, ${attempts} attempts`,
    fault === null ? '' : ` (fault injected: ${fault})`,
  ].join('');

/** The host's own number where the VM was dark once. */
function darkText(dark: Dark, { blackout, timeline }: VmReport): string {
  const ms =
    timeline.dark.length === 1 && blackout !== null ? blackout.ms : dark.toMs - dark.fromMs;
  return dark.ended ? `dark ${time(ms)}` : `dark ${time(ms)}, goes on`;
}

const shortened = (name: string): string =>
  name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 1)}…`;

function description(vms: readonly VmReport[]): string {
  const each = vms.map((vm) => {
    const dark = vm.timeline.dark.map((span) => darkText(span, vm)).join(', ');
    const marks = vm.timeline.marks.map(markText).join(', ');
    return `${vm.vmId}: ${[dark === '' ? 'never dark' : dark, marks].filter(Boolean).join('; ')}`;
  });
  return `One lane a VM, phases above its data path. ${each.join('. ')}.`;
}
