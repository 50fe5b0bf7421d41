import { timeAxis, type Drawing } from './chart';
import { time } from './figures';
import type { Html } from './html';
import type { HostReport } from './hosts';

/** A lane a host: when it was serviced, and from when to when any VM of it was dark. */
export function fleetChart(
  { Plot, draw }: Drawing,
  title: string,
  hosts: readonly HostReport[],
): Html | null {
  const lanes = hosts.flatMap((host) => {
    const [fromMs, toMs] = [host.run?.startedMs ?? null, endMs(host)];
    return fromMs === null || toMs === null ? [] : [{ host, fromMs, toMs }];
  });
  if (lanes.length < 2 || lanes.length > MOST_LANES) return null;
  const beganMs = Math.min(...lanes.map(({ fromMs }) => fromMs));
  const at = (ms: number) => (ms - beganMs) / 1_000;
  const placed = lanes.map((lane, place) => ({ ...lane, place }));
  type Lane = (typeof placed)[number];
  const dark = placed.flatMap(({ host, place }) => {
    const spans = host.vms.flatMap(({ timeline }) => timeline.dark);
    return spans.length === 0
      ? []
      : [
          {
            place,
            from: at(Math.min(...spans.map((s) => s.fromMs))),
            to: at(Math.max(...spans.map((s) => s.toMs))),
          },
        ];
  });
  const told = lanes.map(
    ({ host, fromMs, toMs }) => `${host.hostId}: ${host.outcome}, ${time(toMs - fromMs)}`,
  );
  return draw(title, told.join('. '), {
    height: 60 + 22 * lanes.length,
    marginLeft: 20 + 8 * Math.min(26, Math.max(...lanes.map(({ host }) => host.hostId.length))),
    marginRight: 110,
    marginTop: 6,
    marginBottom: 46,
    y: { domain: placed.map(({ place }) => place), label: null },
    marks: [
      Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 0.35 }),
      timeAxis(Plot, 's since the first host began'),
      Plot.axisY({
        tickSize: 0,
        tickFormat: (place: number) => placed[place]?.host.hostId.slice(0, 26) ?? '',
      }),
      Plot.barX(placed, {
        x1: ({ fromMs }: Lane) => at(fromMs),
        x2: ({ toMs }: Lane) => at(toMs),
        y: 'place',
        fill: 'var(--preparing)',
        stroke: 'var(--line)',
        strokeWidth: 0.5,
        insetTop: 4,
        insetBottom: 4,
      }),
      Plot.barX(dark, {
        x1: 'from',
        x2: 'to',
        y: 'place',
        fill: 'url(#dark)',
        insetTop: 4,
        insetBottom: 4,
      }),
      Plot.text(placed, {
        x: ({ toMs }: Lane) => at(toMs),
        y: 'place',
        text: ({ host }: Lane) => host.outcome,
        textAnchor: 'start',
        dx: 6,
        fill: 'currentColor',
        stroke: 'var(--page)',
        strokeWidth: 4,
      }),
    ],
  });
}

const MOST_LANES = 100;

/** An open run is drawn to the last that is known of it. */
function endMs({ run, vms }: HostReport): number | null {
  const known = [
    ...(run?.steps ?? []).flatMap(({ scheduledMs }) => scheduledMs ?? []),
    ...vms.flatMap(({ timeline }) => timeline.phases.map(({ toMs }) => toMs)),
  ];
  return run?.closedMs ?? (known.length === 0 ? null : Math.max(...known));
}
