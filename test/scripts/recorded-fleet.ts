import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { FORMAT, FORMAT_VERSION } from '../../scripts/recorded-runs/bundle-format';
import { recorded, type JsonHistory } from '../workflows/recorded';

/** Where the UI of such a bundle is said to be: nothing is there. */
export const UI = 'http://127.0.0.1:9/ui';

/**
 * Writes a bundle of a fleet update of any size, made of recorded runs: each host is `service-host.updated`, each VM the
 * save and restore of its first one, under names and run ids of their own.
 */
export function writeRecordedFleet(file: string, hosts: number, vms: number): void {
  const root = { workflowId: 'update-fleet/recorded', runId: randomUUID() };
  const ids = (count: number, name: string) =>
    Array.from({ length: count }, (_, index) => `${name}-${String(index + 1).padStart(2, '0')}`);
  const fleet = recorded('update-fleet.updated');
  const itsHosts = hostsIn(fleet).map((from, index): Rename => [
    from,
    ids(hosts, 'host')[index] ?? from,
  ]);
  const lines: object[] = [
    {
      kind: 'header',
      format: FORMAT,
      version: FORMAT_VERSION,
      exportedAt: '2026-11-24T00:00:00.000Z',
      holdfast: { version: '0.0.0', commit: null },
      server: { version: '1.31.0', namespace: 'recorded' },
      uiUrl: UI,
      root: { ...root, type: 'updateFleet' },
    },
    line(root, null, 0, renamed(fleet, itsHosts)),
  ];
  for (const hostId of ids(hosts, 'host')) {
    const run = { workflowId: `service-host/${hostId}`, runId: randomUUID() };
    const history = renamed(recorded('service-host.updated'), [['host-01', hostId]]);
    editResult(history, (result) => ({
      ...result,
      vms: ids(vms, 'vm').map((vmId) => ({ ...(result['vms'] as object[])[0], vmId })),
    }));
    lines.push(line(run, root.runId, 1, history));
    for (const vmId of ids(vms, 'vm')) {
      for (const kind of ['save', 'restore']) {
        const its = { workflowId: `fast-${kind}/${hostId}/${vmId}`, runId: randomUUID() };
        const recording = recorded(`fast-${kind}.in-servicing`);
        const renames = [
          ['host-01', hostId],
          ['vm-01', vmId],
        ] as const;
        lines.push(line(its, run.runId, 2, renamed(recording, renames)));
      }
    }
  }
  lines.push({ kind: 'end', runs: lines.length - 1, hosts: 0, journalEntries: 0 });
  writeFileSync(file, gzipSync(lines.map((each) => JSON.stringify(each)).join('\n')));
}

const line = (
  run: { readonly workflowId: string; readonly runId: string },
  parentRunId: string | null,
  depth: number,
  history: JsonHistory,
) => {
  const started = history.events[0]?.['workflowExecutionStartedEventAttributes'];
  Object.assign(started as object, { originalExecutionRunId: run.runId });
  return { kind: 'run', ...run, parentRunId, depth, missing: null, history };
};

/** Those that the fleet was started for. */
function hostsIn({ events: [started] }: JsonHistory): string[] {
  const { input } = started?.['workflowExecutionStartedEventAttributes'] as {
    input: { payloads: { data: string }[] };
  };
  const { hosts } = JSON.parse(decoded(input.payloads[0]?.data ?? '')) as { hosts: string[] };
  return hosts;
}

type Rename = readonly [from: string, to: string];

/** The same history with other names, also within its payloads. */
export function renamed(history: JsonHistory, renames: readonly Rename[]): JsonHistory {
  const text = (value: string) =>
    renames.reduce((changed, [from, to]) => changed.replaceAll(from, to), value);
  return JSON.parse(JSON.stringify(history), (key, value: unknown) => {
    if (typeof value !== 'string') return value;
    return key === 'data' ? encoded(text(decoded(value))) : text(value);
  }) as JsonHistory;
}

const decoded = (data: string): string => Buffer.from(data, 'base64').toString();
const encoded = (text: string): string => Buffer.from(text).toString('base64');

/** Changes what a completed run answered. */
function editResult(history: JsonHistory, edit: (result: Record<string, unknown>) => object): void {
  const end = history.events.at(-1)?.['workflowExecutionCompletedEventAttributes'] as {
    result: { payloads: { data: string }[] };
  };
  const [payload] = end.result.payloads;
  if (payload === undefined) throw new Error('it has no result');
  const result = JSON.parse(decoded(payload.data)) as Record<string, unknown>;
  payload.data = encoded(JSON.stringify(edit(result)));
}
